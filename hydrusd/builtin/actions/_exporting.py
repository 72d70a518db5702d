"""Giving a new file its name in a folder, once it is whole, and never over another one.

What is exported is finished under a passing name beside its place, on the same disk, and
claims a free name then, as a moved file does. The same content there already will do:
a step that is done again leaves no second copy.
"""

from __future__ import annotations

import contextlib
import hashlib
import os
import stat as stat_module
import sys
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TypeVar

from hydrusd.builtin.actions._disposing import failure
from hydrusd.builtin.actions._placing import (
    MOST_NAMES,
    PART_SUFFIX,
    OnCollision,
    _claim,
    _digest,
    _sync_folder,
)
from hydrusd.plugin import AnyAction, Call, FileSource, PermanentError

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

    def prepare(self, source: FileSource | None) -> None:
        """Make the folder. Raises ``PermanentError`` for a place that cannot be one."""
        self.check(source)
        try:
            self.folder.mkdir(parents=True, exist_ok=True)
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

    def holding(self, content: bytes) -> Placed | None:
        """Find this content as ``there`` does."""
        return self.there(len(content), hashlib.sha256(content).hexdigest())

    def settle(self, part: Path, sha256: str) -> Placed:
        """Give a finished file its name, or find that its content has one. ``part`` is gone then.

        Raises as ``there`` does.
        """
        try:
            size = part.stat().st_size
            for target in self._names():
                try:
                    _claim(part, target)
                except FileExistsError:
                    if _is_same(target, size, sha256):
                        return Placed(target, sha256, is_new=False)
                else:
                    _sync_folder(self.folder)
                    return Placed(target, sha256, is_new=True)
        except OSError as error:
            raise failure(f"{self.folder / self.name} cannot be written", error) from error
        finally:
            with contextlib.suppress(OSError):
                part.unlink(missing_ok=True)
        raise self._taken()

    def write(self, content: bytes, job_id: int, use: str) -> Placed:
        """Write a small file, whole or not at all. Raises as ``there`` does."""
        if (placed := self.holding(content)) is not None:
            return placed
        part = self.part(job_id, use)
        try:
            part.unlink(missing_ok=True)
            with part.open("xb") as file:
                file.write(content)
                file.flush()
                os.fsync(file.fileno())
        except OSError as error:
            raise failure(f"{self.folder / self.name} cannot be written", error) from error
        return self.settle(part, hashlib.sha256(content).hexdigest())

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
