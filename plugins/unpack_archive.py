"""Unpacks zip and cbz archives into a folder, so that another rule can import what is in them.

    rules:
      - name: unpack
        on:
          watch_folder: {path: ~/Pictures/archives, include: ["*.zip", "*.cbz"]}
        do:
          - unpack_archive: {to: ~/Pictures/unpacked}
      - name: import what was in archives
        on:
          watch_folder: {path: ~/Pictures/unpacked}
        do:
          - add_file:

An archive comes from anywhere, and everything it says about itself may be a lie. So all names
are judged before the first byte is written, every byte is counted as it comes out, and the
folder gets its name only when everything in it is whole and on the disk: a rule that watches
there never sees half an archive. One bad entry, and nothing at all is unpacked: leaving it out
would be a guess at what is worth having.

An archive in an archive is a file like others. It is not unpacked in turn by the same rule,
which does not get what it has made itself; so one that holds itself ends there.
"""

from __future__ import annotations

import os
import re
import shutil
import stat
import unicodedata
import zipfile
import zlib
from collections.abc import Callable, Iterator
from pathlib import Path, PurePosixPath
from typing import Any, BinaryIO, ClassVar

from pydantic import Field

from hydrusd.plugin import (
    AnyAction,
    Call,
    FolderPath,
    Foreseen,
    Outcome,
    PermanentError,
    ReadingAction,
    Size,
    TemporaryError,
    hookimpl,
    sync_folder,
    system_path,
)

PIECE_BYTES = 1024 * 1024
SPARE_BYTES = 256 * 1024 * 1024
"""What stays free on the disk, whatever is unpacked."""
MOST_PATHS_TOLD = 1000
LONGEST_NAME = 200
DEEPEST = 20
_GB = 1024**3

# What no system can have in a name, and what Windows makes something else of.
_BAD = re.compile(r'[\x00-\x1f\x7f<>:"|?*\\]')
_DEVICES = re.compile(r"(con|prn|aux|nul|com[0-9¹²³]|lpt[0-9¹²³])(\..*)?", re.IGNORECASE)


class UnpackArchive(ReadingAction):
    """Unpack a zip or cbz archive into a folder of its own, whole or not at all.

    The folder is made in `to` and has the archive's name without its suffix; where that is taken
    by something else, `NAME (2)`. Nothing is ever overwritten. What is there already, whole, is
    not unpacked again. The archive itself stays.

    A dead letter becomes of an archive that is encrypted or broken, that would write outside of
    its folder (`../x`), holds links, two names that some systems take for one, or unpacks to more
    than `most_files` or `most_bytes`.

    Later steps see `steps.unpack_archive.folder`, `.files` (how many), and `.paths` (the first
    1000).
    """

    action: ClassVar[str] = "unpack_archive"
    writes_into: ClassVar[tuple[str, ...]] = ("to",)
    time_limit_seconds: ClassVar[float | None] = None  # as long as there is to write
    no_undo: ClassVar[str] = (
        "what was unpacked may have been moved on or be the only copy by now: "
        "delete the folder yourself"
    )

    to: FolderPath = Field(
        description="The folder to unpack into, outside of the watched one; may hold templates."
    )
    most_files: int = Field(default=10_000, gt=0, description="How many files it may hold.")
    most_bytes: Size = Field(default=10 * _GB, gt=0, description="What it may unpack to.")

    def read(self, file: BinaryIO, call: Call[Any]) -> Outcome:
        """Judge the archive, then unpack it."""
        return self._opened_archive(file, call, unpacks=True)

    def foresee(self, file: BinaryIO, call: Call[Any]) -> Foreseen:
        """Judge the archive."""
        outcome = self._opened_archive(file, call, unpacks=False)
        changes = outcome.detail.startswith("would")
        return Foreseen(outcome.detail, changes=changes, values=outcome.values)

    def _opened_archive(self, file: BinaryIO, call: Call[Any], *, unpacks: bool) -> Outcome:
        assert call.source is not None
        name = call.source.path.stem.strip(". ") or "archive"
        try:
            with zipfile.ZipFile(file) as archive:
                entries = self._judged(archive)
                for folder in self._folders(name):
                    if not os.path.lexists(system_path(str(folder))):
                        break
                    if _is_unpacked(folder, entries):
                        return _done("was unpacked already", folder, entries)
                if not unpacks:
                    return _done(f"would unpack {len(entries)} files", folder, entries)
                self._unpack(archive, entries, folder, call)
        except zipfile.BadZipFile as error:
            return Outcome.dead(f"the archive is broken: {error}")
        except (NotImplementedError, zlib.error, EOFError, UnicodeError) as error:
            return Outcome.dead(f"the archive cannot be unpacked: {error}")
        return _done(f"{len(entries)} files unpacked", folder, entries)

    def _folders(self, name: str) -> Iterator[Path]:
        yield self.to / name
        yield from (self.to / f"{name} ({number})" for number in range(2, 1000))

    def _judged(self, archive: zipfile.ZipFile) -> dict[PurePosixPath, zipfile.ZipInfo]:
        """Give the files by their paths. Raises PermanentError where one must not be written."""
        entries: dict[PurePosixPath, zipfile.ZipInfo] = {}
        seen: set[str] = set()
        folders: set[str] = set()
        total = 0
        for entry in archive.infolist():
            path = _path(entry)
            if entry.is_dir():
                folders.add(_folded(path))
                continue
            if entry.flag_bits & 0x1:
                raise PermanentError("the archive is encrypted: unpack it yourself")
            if _folded(path) in seen:
                raise PermanentError(f"the archive holds {str(path)!r} twice, as some systems see")
            seen.add(_folded(path))
            folders.update(_folded(parent) for parent in path.parents)
            entries[path] = entry
            total += entry.file_size
            if len(entries) > self.most_files:
                raise PermanentError(f"the archive holds more than {self.most_files} files")
            if total > self.most_bytes:
                raise PermanentError(self._too_large)
        if both := seen & folders:
            raise PermanentError(f"{min(both)!r} is both a file and a folder in the archive")
        if not entries:
            raise PermanentError("the archive is empty")
        return entries

    @property
    def _too_large(self) -> str:
        return f"the archive unpacks to more than {self.most_bytes} bytes (most_bytes)"

    def _unpack(
        self,
        archive: zipfile.ZipFile,
        entries: dict[PurePosixPath, zipfile.ZipInfo],
        folder: Path,
        call: Call[Any],
    ) -> None:
        """Unpack under another name, hidden from watchers; the last thing is to rename it."""
        source = call.source
        assert source is not None
        if self.to == source.root or source.root in self.to.parents:
            raise PermanentError(f"{self.to} lies in the watched folder: unpack elsewhere")
        call.make_folder(self.to)
        needed = sum(entry.file_size for entry in entries.values())
        if shutil.disk_usage(self.to).free < needed + SPARE_BYTES:
            raise TemporaryError(f"there is no room for {needed} bytes in {self.to}")
        part = self.to / f".hydrusd-{call.job_id}.part"
        if part.exists():
            shutil.rmtree(system_path(str(part)))  # what is left of a run that was stopped
        left = self.most_bytes
        try:
            for path, entry in entries.items():
                left -= self._write(archive, entry, part / path, left)
            _sync_folders(part)
            Path(system_path(str(part))).rename(system_path(str(folder)))
            sync_folder(self.to)
        finally:
            shutil.rmtree(system_path(str(part)), ignore_errors=True)

    def _write(
        self, archive: zipfile.ZipFile, entry: zipfile.ZipInfo, path: Path, most_bytes: int
    ) -> int:
        """Write one file, and give its size as counted."""
        target = Path(system_path(str(path)))
        target.parent.mkdir(parents=True, exist_ok=True)
        written = 0
        with archive.open(entry) as packed, target.open("xb") as file:
            while piece := packed.read(PIECE_BYTES):
                written += len(piece)
                if written > min(most_bytes, entry.file_size):
                    raise PermanentError(
                        self._too_large
                        if written > most_bytes
                        else f"{entry.filename!r} holds more than the archive says"
                    )
                file.write(piece)
            file.flush()
            os.fsync(file.fileno())
        return written


def _path(entry: zipfile.ZipInfo) -> PurePosixPath:
    """Give where an entry belongs. Raises PermanentError where that is no good place."""
    name = entry.orig_filename
    shown = repr(name[:LONGEST_NAME])
    # zipfile itself turns the backslashes of careless Windows programs on Windows only.
    name = name.replace("\\", "/")
    path = PurePosixPath(unicodedata.normalize("NFC", name))
    if name.startswith("/") or not path.parts:
        raise PermanentError(f"{shown} in the archive is no path inside of it")
    kind = stat.S_IFMT(entry.external_attr >> 16)
    if kind not in {0, stat.S_IFREG, stat.S_IFDIR}:
        raise PermanentError(f"{shown} in the archive is a link or a device")
    if len(path.parts) > DEEPEST:
        raise PermanentError(f"{shown} in the archive lies too deep")
    for part in path.parts:
        if part == ".." or _BAD.search(part) or _DEVICES.fullmatch(part):
            raise PermanentError(f"{shown} in the archive is no safe path")
        if part != part.strip(" ") or part.endswith(".") or len(part.encode()) > LONGEST_NAME:
            raise PermanentError(f"{shown} in the archive is a name that not every system can have")
    return path


def _folded(path: PurePosixPath) -> str:
    return str(path).casefold()


def _is_unpacked(folder: Path, entries: dict[PurePosixPath, zipfile.ZipInfo]) -> bool:
    """Say whether a folder holds all of it, to the last byte."""
    return all(_is_same(folder / path, entry) for path, entry in entries.items())


def _is_same(path: Path, entry: zipfile.ZipInfo) -> bool:
    target = Path(system_path(str(path)))
    try:
        status = target.lstat()
        if not stat.S_ISREG(status.st_mode) or status.st_size != entry.file_size:
            return False
        crc = 0
        with target.open("rb") as file:
            while piece := file.read(PIECE_BYTES):
                crc = zlib.crc32(piece, crc)
    except OSError:
        return False
    return crc == entry.CRC


def _done(detail: str, folder: Path, entries: dict[PurePosixPath, zipfile.ZipInfo]) -> Outcome:
    paths = [str(folder / path) for path in list(entries)[:MOST_PATHS_TOLD]]
    values = {"folder": str(folder), "files": len(entries), "paths": paths}
    receipt = {"unpacked": str(folder), "files": len(entries)}
    return Outcome.done(f"{detail}: {folder}", values=values, receipt=receipt)


def _sync_folders(top: Path) -> None:
    for folder, _, _ in os.walk(system_path(str(top))):
        sync_folder(Path(folder))


@hookimpl
def hydrusd_register_actions(register: Callable[[type[AnyAction]], None]) -> None:
    """Register the action."""
    register(UnpackArchive)
