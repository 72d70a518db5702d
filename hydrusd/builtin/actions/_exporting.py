"""Giving a new file its name in a folder, once it is whole, and never over another one.

What is exported is finished under a passing name beside its place, on the same disk, and
claims a free name then, as a moved file does. The same content there already will do:
a step that is done again leaves no second copy.
"""

from __future__ import annotations

import contextlib
import hashlib
import os
import shutil
import stat as stat_module
import sys
from collections.abc import AsyncIterator, Iterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar

from anyio import CancelScope, from_thread, to_thread

from hydrusd.builtin.actions._disposing import failure
from hydrusd.builtin.actions._placing import (
    MOST_NAMES,
    PART_SUFFIX,
    Announce,
    MakeFolder,
    OnCollision,
    _claim,
    _digest,
    just_make,
)
from hydrusd.builtin.actions._syncing import synced
from hydrusd.plugin import AnyAction, Call, FileSource, PermanentError, keep_receipts

A = TypeVar("A", bound=AnyAction)


class NameTaken(Exception):
    """Another file has the name, and it is to be left at that."""


@dataclass(frozen=True, slots=True)
class Placed:
    """Where a file is, and whether it was put there just now."""

    path: Path
    sha256: str
    is_new: bool


@dataclass(frozen=True, slots=True)
class Place:
    """Where a new file is to go. All of it blocks: call it in one of anyio's worker threads."""

    folder: Path
    name: str
    on_collision: OnCollision

    def prepare(self, source: FileSource | None, make_folder: MakeFolder = just_make) -> None:
        """Make the folder. Raises ``PermanentError`` for a place that cannot be one."""
        self.check(source)
        try:
            make_folder(self.folder)
        except OSError as error:
            raise failure(f"{self.folder} cannot be made", error) from error

    def check(self, source: FileSource | None) -> None:
        """Raise ``PermanentError`` for a place that cannot be one."""
        bad_on_windows = sys.platform == "win32" and ":" in self.name
        named_otherwise = Path(self.name).name != self.name or "\0" in self.name
        if self.name in {"", ".", ".."} or named_otherwise or bad_on_windows:
            raise PermanentError(f"{self.name!r} cannot be the name of a file")
        if source and self.folder.resolve().is_relative_to(source.root.resolve()):
            raise PermanentError(
                f"{self.folder} is in the watched folder {source.root}, where what is written "
                "would be noticed; choose a folder outside of it"
            )

    def part(self, job_id: int, use: str) -> Path:
        """Give the passing name; the same for each try, so that a killed one's is cleared away."""
        mark = hashlib.sha256(f"{self.name}|{use}".encode("utf-8", "surrogateescape")).hexdigest()
        return self.folder / f".{job_id}-{mark[:12]}{PART_SUFFIX}"

    @asynccontextmanager
    async def room(self, job_id: int, use: str) -> AsyncIterator[Path]:
        """Have a path at which nothing is, in a passing folder of its own beside the place.

        For what the client sends: it grows under a name that nobody knows beforehand, and would
        be left there by one that was killed.
        """
        folder = self.part(job_id, use)

        def clear() -> None:
            with contextlib.suppress(OSError):  # a plain file, as older versions left it
                folder.unlink()
            shutil.rmtree(folder, ignore_errors=True)

        await to_thread.run_sync(clear)
        try:
            await to_thread.run_sync(folder.mkdir)
            yield folder / "file"
        finally:
            with CancelScope(shield=True):
                await to_thread.run_sync(clear)

    def there(self, size: int | None, sha256: str) -> Placed | None:
        """Find the same content under a name that it could have; None where there is room.

        Raises ``NameTaken`` or ``PermanentError`` where another file has the name.
        """
        for target in self._names():
            try:
                if not os.path.lexists(target):
                    return None
                if _is_same(target, size, sha256):
                    return Placed(target, sha256, is_new=False)
            except OSError as error:
                raise failure(f"{target} cannot be looked at", error) from error
        raise self._taken()

    def free_name(self, content: bytes) -> Path | None:
        """Give the name that ``write`` would take now; None where it would write nothing."""
        for target in self._names():
            if not os.path.lexists(target):
                return target
            if _is_same(target, len(content), hashlib.sha256(content).hexdigest()):
                return None
        return None

    def holding(self, content: bytes) -> Placed | None:
        """Find this content as ``there`` does."""
        return self.there(len(content), hashlib.sha256(content).hexdigest())

    def settle(self, part: Path, sha256: str, announce: Announce | None = None) -> Placed:
        """Give a finished file its name, or find that its content has one. ``part`` is gone then.

        ``announce`` is told of each name before it is claimed. Raises as ``there`` does.
        """
        try:
            size = part.stat().st_size
            for target in self._names():
                try:
                    if announce is not None and not os.path.lexists(target):
                        announce(target, sha256)
                    _claim(part, target)
                except FileExistsError:
                    if _is_same(target, size, sha256):
                        return Placed(target, sha256, is_new=False)
                else:
                    synced(self.folder)
                    return Placed(target, sha256, is_new=True)
        except OSError as error:
            raise failure(f"{self.folder / self.name} cannot be written", error) from error
        finally:
            with contextlib.suppress(OSError):
                part.unlink(missing_ok=True)
        raise self._taken()

    def write(
        self, content: bytes, job_id: int, use: str, announce: Announce | None = None
    ) -> Placed:
        """Write a small file, whole or not at all. Raises as ``there`` does."""
        part = self.part(job_id, use)
        try:
            part.unlink(missing_ok=True)  # of a try that was killed, whatever came of it
            if (placed := self.holding(content)) is not None:
                return placed
            with part.open("xb") as file:
                file.write(content)
                file.flush()
                os.fsync(file.fileno())
        except OSError as error:
            with contextlib.suppress(OSError):
                part.unlink(missing_ok=True)  # half of it, on a disk that is full
            raise failure(f"{self.folder / self.name} cannot be written", error) from error
        return self.settle(part, hashlib.sha256(content).hexdigest(), announce)

    def _names(self) -> Iterator[Path]:
        yield self.folder / self.name
        if self.on_collision == "rename":
            stem, suffix = Path(self.name).stem, Path(self.name).suffix
            for number in range(2, MOST_NAMES):
                yield self.folder / f"{stem} ({number}){suffix}"

    def _taken(self) -> Exception:
        text = f"{self.folder / self.name} exists already, and is another file"
        return NameTaken(text) if self.on_collision == "skip" else PermanentError(text)


def digest_of(path: Path) -> str:
    """Give the SHA-256 of a file. Blocks."""
    with path.open("rb") as file:
        return _digest(file)


class Written:
    """What one call writes: noted in the ledger before it is there, told in the receipt after.

    A daemon that is killed in between finds its own file, and would leave it behind when the
    step is undone.
    """

    def __init__(self, call: Call[Any]) -> None:
        self._call = call
        self._noted = dict(written_earlier(call))
        self._placed: list[Placed] = []

    @classmethod
    async def expect(cls, expected: Mapping[Written, Mapping[Path, str]]) -> None:
        """Note at one go what calls of a set will probably write; else each name is noted alone."""
        for written, files in expected.items():
            written._noted |= {str(path): sha256 for path, sha256 in files.items()}  # noqa: SLF001
        await keep_receipts({w._call: w._note for w, files in expected.items() if files})  # noqa: SLF001

    @property
    def _note(self) -> dict[str, object]:
        return {"written": dict(self._noted)}

    def announce(self, target: Path, sha256: str) -> None:
        """Note what is about to get its name. Called in one of anyio's worker threads."""
        if self._noted.get(str(target)) == sha256:
            return
        self._noted[str(target)] = sha256
        from_thread.run(keep_receipts, {self._call: self._note})

    def add(self, placed: Placed) -> Placed:
        """Count what has its name now."""
        self._placed.append(placed)
        return placed

    @property
    def new(self) -> bool:
        """Say whether anything was written by this call."""
        return any(one.is_new for one in self._placed)

    @property
    def receipt(self) -> dict[str, object]:
        """What was written, by this call or by the same step before: path → SHA-256."""
        new = {str(one.path): one.sha256 for one in self._placed if one.is_new}
        return {"written": {**written_earlier(self._call), **new}}


def written_earlier(call: Call[A]) -> Mapping[str, object]:
    """Give what an earlier run of this step wrote: after a restart both are our doing."""
    receipt = call.earlier.receipt if call.earlier is not None else None
    written = (receipt or {}).get("written")
    return written if isinstance(written, Mapping) else {}


def _is_same(target: Path, size: int | None, sha256: str) -> bool:
    status = target.lstat()
    if not stat_module.S_ISREG(status.st_mode) or size not in {None, status.st_size}:
        return False
    return digest_of(target) == sha256
