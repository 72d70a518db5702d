"""Moving or copying the file that was noticed to another folder without ever losing a file.

Renaming is simple and dangerous: on most systems it silently overwrites, and between
two disks it does not exist. So a free name is *claimed* in a way that fails if it is
taken: by a hard link, by a rename where that refuses (Windows), or by creating the name
first and replacing only what was created. Between disks the file is copied under a
passing name, synced and read back before it gets its own.

At each moment either the source is there or a whole copy of it that has its name, and a
repeated move finds out how far the one before came. On one disk, a set of moves is made in three
strides, each folder being synced once after each of them:

1. All get their new names, most of them beside the old ones. Killed here, both names lead to the
   same file, by which the next try knows it for its own; after a power cut the new one may be
   missing, and the old one is there.
2. The new names are on the disk. Only now the old ones go. Killed here, some files have both names
   and others only the new one; a power cut may bring old ones back, and takes no new one away.
3. The removals are on the disk, too, and only then any of it is told as done.

A copy, whose source is another file, goes all the way at once: if it were left lying beside its
source for longer, more of them would be taken for somebody else's after a kill.
"""

from __future__ import annotations

import contextlib
import errno
import hashlib
import os
import shutil
import stat as stat_module
import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from io import FileIO
from pathlib import Path
from typing import BinaryIO, Literal

from anyio import from_thread

from hydrusd.builtin.actions._disposing import failure, reason_to_stop
from hydrusd.builtin.actions._syncing import Steps, alone, synced
from hydrusd.plugin import (
    FileChangedError,
    FileSource,
    Foreseen,
    Outcome,
    PermanentError,
    SourceState,
    TemporaryError,
    source_outcome,
)

OnCollision = Literal["rename", "skip", "fail"]

Announce = Callable[[Path, str], None]
"""Told of a path and a SHA-256: a file that is whole is about to get its name."""

MakeFolder = Callable[[Path], None]
"""Makes a folder, see ``Call.make_folder``."""

PART_SUFFIX = ".hydrusd-part"
MOST_NAMES = 10_000
_CHUNK = 1024 * 1024
_COARSEST_MTIME_NS = 2_000_000_000  # FAT counts in steps of two seconds
_NO_LINKS = frozenset(
    {errno.EACCES, errno.EMLINK, errno.ENOSYS, errno.ENOTSUP, errno.EOPNOTSUPP, errno.EPERM}
)


def just_make(folder: Path) -> None:
    """Make a folder, and those above it, where they are not there."""
    folder.mkdir(parents=True, exist_ok=True)


@dataclass(slots=True)
class Move:
    """One file on its way. ``run`` blocks: call it in one of anyio's worker threads."""

    source: FileSource
    folder: Path
    name: str
    job_id: int
    on_collision: OnCollision = "rename"
    gone_will_do: bool = False  # that the source is away is all that is wanted
    keeps: bool = False  # the source stays: a copy, not a move
    into_watched: bool = False  # back to where it was noticed
    announce: Announce | None = None  # of a copy, before it gets its name
    make_folder: MakeFolder = just_make  # or with a look whether its disk is still there
    _digest: str | None = None
    _copied: bool = False
    _cleared: bool = False
    _where: str = ""

    def run(self) -> Outcome:
        """Move it. Raises ``PermanentError`` or ``TemporaryError``; nothing is lost then."""
        return alone(self.steps())

    def steps(self) -> Steps:
        """Move it step by step, see ``run``."""
        self._refuse_bad_places()
        stop = reason_to_stop if self.gone_will_do else source_outcome
        try:
            state = self.source.state()
            if (
                state is SourceState.GONE
                and not self.keeps
                and (arrived := self._arrived()) is not None
            ):
                return self._moved(arrived, "had been moved to")
            if (outcome := stop(state, self.source)) is not None:
                return outcome
            self.make_folder(self.folder)
            return (yield from self._move())
        except _Changed:
            outcome = source_outcome(SourceState.CHANGED, self.source)
            assert outcome is not None
            return outcome
        except OSError as error:
            how = "copied" if self.keeps else "moved"
            raise failure(f"{self.source.path} cannot be {how} to {self.folder}", error) from error
        finally:
            if not self._cleared:
                self._clear()

    def _clear(self) -> None:
        """Take away what this try, or one before that was killed, has left beside the target."""
        self._cleared = True
        for use in ("copy", "probe"):
            with contextlib.suppress(OSError):
                self._passing(use).unlink(missing_ok=True)

    def _refuse_bad_places(self) -> None:
        bad_on_windows = sys.platform == "win32" and ":" in self.name
        if self.name in {"", ".", ".."} or Path(self.name).name != self.name or bad_on_windows:
            raise PermanentError(f"{self.name!r} cannot be the name of a file")
        if self.into_watched:
            return
        if _is_inside(self.folder, self.source.root):
            raise PermanentError(
                f"{self.folder} is in the watched folder {self.source.root}, where the file would "
                "be noticed again; choose a folder outside of it"
            )

    def foreseen(self) -> Foreseen:
        """Say what ``run`` would do; look only."""
        try:
            self._refuse_bad_places()
            state = self.source.state()
            if state is SourceState.GONE and (arrived := self._arrived()):
                return Foreseen(f"had been moved to {arrived}", changes=False)
            if state is not SourceState.SAME:
                stop = reason_to_stop if self.gone_will_do else source_outcome
                outcome = stop(state, self.source)
                return Foreseen.of(outcome) if outcome else Foreseen("", changes=False)
            return self._foreseen_place()
        except (OSError, PermanentError, _Changed) as error:
            return Foreseen.dead(f"would fail: {error}")

    def _foreseen_place(self) -> Foreseen:
        for target in self._targets():
            values = {"path": str(target)} if self.keeps else {}
            if not os.path.lexists(target):
                return Foreseen(f"would {self._verb} it to {target}", values=values)
            if self._identical(target):
                there = f"the same file is there already: {target}"
                return Foreseen(there, changes=not self.keeps, values=values)
        taken = f"{self.folder / self.name} exists and is another file"
        if self.on_collision == "skip":
            return Foreseen.of(Outcome.skipped(f"{taken}: the source would be left alone"))
        return Foreseen.dead(f"{taken}: would fail")

    @property
    def _verb(self) -> str:
        return "copy" if self.keeps else "move"

    # --- finding a name ------------------------------------------------------------------

    def _move(self) -> Steps:
        for target in self._targets():
            try:
                self._place(target)
            except FileExistsError:
                if self._identical(target):
                    self._refuse_same_folder()
                    how = "the same file was there already:"
                    new = self._half_done(target)
                    return (yield from self._finish(target, how, new=new))
            else:
                how = "copied to" if self.keeps else "moved to"
                return (yield from self._finish(target, how))
        if self.on_collision == "skip":
            return Outcome.skipped(f"{self.folder / self.name} exists; the source was left alone")
        raise PermanentError(f"{self.folder / self.name} exists already, and is another file")

    def _targets(self) -> Iterator[Path]:
        yield self.folder / self.name
        if self.on_collision == "rename":
            stem, suffix = Path(self.name).stem, Path(self.name).suffix
            for number in range(2, MOST_NAMES):
                yield self.folder / f"{stem} ({number}){suffix}"

    def _arrived(self) -> Path | None:
        """Find the file where an earlier try of this job may have moved it."""
        if self.keeps:
            return None
        for target in self._targets():
            try:
                status = target.lstat()
            except OSError:
                return None
            age_ns = abs(status.st_mtime_ns - self.source.mtime_ns)
            same = stat_module.S_ISREG(status.st_mode) and status.st_size == self.source.size
            if same and age_ns <= _COARSEST_MTIME_NS:
                return target
        return None

    def _identical(self, target: Path) -> bool:
        status = target.lstat()
        if not stat_module.S_ISREG(status.st_mode) or status.st_size != self.source.size:
            return False
        if self._digest is None:
            with self._opened() as file:
                self._digest = _digest(file)
        with target.open("rb") as file:
            return _digest(file) == self._digest

    def _half_done(self, target: Path) -> bool:
        """Say whether a try before this one gave the source its new name, and died with both."""
        with contextlib.suppress(OSError):
            return not self.keeps and os.path.samestat(target.lstat(), self.source.path.lstat())
        return False

    def _refuse_same_folder(self) -> None:
        """Make sure that the file found at the target is not the source by another path.

        The same folder can be mounted twice and share no number that would tell. A file
        put into the one would show in the other.
        """
        probe = self._passing("probe")
        probe.touch()
        if (self.source.path.parent / probe.name).exists():
            raise PermanentError(f"{self.folder} is the folder that {self.source.path} is in")

    # --- getting there -------------------------------------------------------------------

    def _place(self, target: Path) -> None:
        """Have the file at a name that is free. Raises ``FileExistsError`` where it is not."""
        if not self.keeps and self._renamed_to(target):
            return
        if os.path.lexists(target):
            raise FileExistsError(target)
        copy = self._passing("copy")
        if not self._copied:
            self._copy_to(copy)
            self._copied = True
        if self.announce is not None and self._digest is not None:
            self.announce(target, self._digest)
        _claim(copy, target)
        copy.unlink(missing_ok=True)  # before the source: all that is left then is in its place

    def _renamed_to(self, target: Path) -> bool:
        """Give the source itself the name. False where that is on another disk."""
        try:
            _claim(self.source.path, target)
        except OSError as error:
            if error.errno != errno.EXDEV:
                raise
            return False
        if not self.source.matches(target.lstat()):
            self._put_back(target)
            raise _Changed
        return True

    def _put_back(self, target: Path) -> None:
        """Undo a claim that caught another file, put in the source's place that very moment."""
        with contextlib.suppress(FileExistsError):
            _claim(target, self.source.path)
        with contextlib.suppress(FileNotFoundError):
            if os.path.samestat(target.lstat(), self.source.path.lstat()):
                target.unlink()

    def _passing(self, use: str) -> Path:
        # The same for each try of this job, so that what a killed one left is cleared away;
        # yet another for another daemon's job of the same number.
        if not self._where:
            self._where = hashlib.sha256(os.fsencode(self.source.path)).hexdigest()[:12]
        return self.folder / f".{self.job_id}-{self._where}-{use}{PART_SUFFIX}"

    def _copy_to(self, part: Path) -> None:
        """Copy the source to a passing name, whole and synced."""
        part.unlink(missing_ok=True)
        _look_for_room(self.folder, self.source.size)
        with self._opened() as source, part.open("xb") as copy:
            digest = hashlib.sha256()
            while chunk := source.read(_CHUNK):
                from_thread.check_cancelled()
                digest.update(chunk)
                copy.write(chunk)
            copy.flush()
            os.fsync(copy.fileno())
            status = os.fstat(source.fileno())
        if not self.source.matches(status):
            raise _Changed
        with part.open("rb") as copy:
            if _digest(copy) != digest.hexdigest():
                raise TemporaryError(f"what was written to {self.folder} reads back otherwise")
        self._digest = digest.hexdigest()
        os.utime(part, ns=(status.st_atime_ns, status.st_mtime_ns))
        with contextlib.suppress(OSError):  # some file systems have no permissions to set
            part.chmod(stat_module.S_IMODE(status.st_mode))

    def _opened(self) -> FileIO:
        try:
            return self.source.open()
        except FileChangedError:
            raise _Changed from None

    # --- and leaving ---------------------------------------------------------------------

    def _finish(self, target: Path, how: str, *, new: bool = True) -> Steps:
        """Remove the source, once the file is at its target for good; or leave a copy's."""
        self._clear()  # nobody knows whether it will go on from where it waits
        if self._copied:
            synced(target.parent)
        else:
            yield target.parent
        if self.keeps:
            receipt: dict[str, object] = {"copied": str(target) if new else None}
            receipt |= {"sha256": self._digest} if new else {}
            return Outcome.done(f"{how} {target}", values={"path": str(target)}, receipt=receipt)
        match self.source.state():
            case SourceState.SAME:
                self.source.path.unlink()
            case SourceState.GONE | SourceState.CHANGED:
                pass  # renamed away by the claim; or something new is there, and stays
            case SourceState.ROOT_GONE | SourceState.UNREADABLE as state:
                stop = source_outcome(state, self.source)
                assert stop is not None
                return stop
        yield self.source.path.parent
        return self._moved(target, how, new=new)

    def _moved(self, target: Path, how: str, *, new: bool = True) -> Outcome:
        # What was there before is not ours to take away again.
        found = {} if new else {"there_already": True}
        return Outcome.done(
            f"{how} {target}",
            receipt={"from": str(self.source.path), "to": str(target), **found},
            frees_event=True,
        )


def _is_inside(folder: Path, root: Path) -> bool:
    """Say whether a folder really lies in another one, or is it."""
    # Asked of each file: with paths for texts it would take twice as long.
    inside, outside = (os.path.normcase(os.path.realpath(path)) for path in (folder, root))
    return f"{inside}{os.sep}".startswith(f"{outside.rstrip(os.sep)}{os.sep}")


class _Changed(Exception):
    """The source is no longer the file that was noticed."""


def _look_for_room(folder: Path, size: int) -> None:
    """Raise what a full disk would: a film that cannot fit is not written over and over again."""
    if sys.platform == "win32":
        free = shutil.disk_usage(folder).free
    else:
        status = os.statvfs(folder)
        if not status.f_blocks:
            return  # it does not say
        free = status.f_bfree * status.f_frsize
    if free < size:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC), str(folder))


def _claim(origin: Path, target: Path) -> None:
    """Give a file a name that nothing has yet; it may or may not keep its old one.

    Raises ``FileExistsError`` where the name is taken, ``OSError`` with ``EXDEV`` between disks.
    """
    if sys.platform == "win32":
        origin.rename(target)  # refuses there to overwrite
        return
    try:
        target.hardlink_to(origin)
    except OSError as error:
        if error.errno not in _NO_LINKS:
            raise
    else:
        return
    # A disk without hard links. A crash before the replacement leaves an empty file behind,
    # never a lost one.
    target.touch(exist_ok=False)
    try:
        origin.replace(target)
    except OSError:
        target.unlink()
        raise


def _digest(file: BinaryIO) -> str:
    digest = hashlib.sha256()
    while chunk := file.read(_CHUNK):
        from_thread.check_cancelled()
        digest.update(chunk)
    return digest.hexdigest()
