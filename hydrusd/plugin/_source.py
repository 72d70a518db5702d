"""A file in a folder, and whether it is still the one that was noticed.

A path alone is no identity: between noticing and acting a file may be rewritten,
replaced or moved away. Whoever sends or disposes of a file asks first whether
path, size, modification time and inode are still those that the event named.
"""

from __future__ import annotations

import json
import os
import stat as stat_module
from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path

from hydrusd.model import KEY_FORM, Data

_FACTS = {"path", "root", "size", "mtime_ns", "inode"}


class SourceState(StrEnum):
    """What became of a source since it was noticed."""

    SAME = "same"
    CHANGED = "changed"
    GONE = "gone"
    ROOT_GONE = "root gone"
    UNREADABLE = "unreadable"


@dataclass(frozen=True, slots=True)
class FileSource:
    """A file as it was when it was noticed.

    ``size`` in bytes, ``mtime_ns`` in nanoseconds since 1970 (UTC). ``inode`` is None
    where the file system has none to offer. ``root`` is the watched folder.
    """

    path: Path
    root: Path
    size: int
    mtime_ns: int
    inode: int | None

    @classmethod
    def of(cls, path: Path, root: Path, status: os.stat_result) -> FileSource:
        """Describe a file from its stat. Windows' directory listing gives inode 0: no inode."""
        return cls(path, root, status.st_size, status.st_mtime_ns, status.st_ino or None)

    @classmethod
    def from_data(cls, data: Data) -> FileSource | None:
        """Read back what ``to_data`` put into an event; None where the event has no file."""
        file = data.get("file")
        if not isinstance(file, Mapping) or not file.keys() >= _FACTS:
            return None
        return cls(
            Path(file["path"]), Path(file["root"]), file["size"], file["mtime_ns"], file["inode"]
        )

    def to_data(self) -> dict[str, object]:
        """Give the plain data that templates and conditions see as ``file``."""
        return {
            "path": str(self.path),
            "name": self.path.name,
            "stem": self.path.stem,
            "suffix": self.path.suffix.lower(),
            "parent": {"name": self.path.parent.name, "path": str(self.path.parent)},
            "root": str(self.root),
            "relative": self.path.relative_to(self.root).as_posix(),
            "size": self.size,
            "mtime_ns": self.mtime_ns,
            "inode": self.inode,
        }

    @property
    def key(self) -> str:
        """The identity of this file, as text without surrogates, the path first."""
        return f"{self.key_start(self.path)}{self.size}|{self.mtime_ns}|{self.inode or ''}"

    def key_as(self, form: str) -> str:
        """Give the key for what is noticed about this file in some form of its own.

        When an event with it has done away with the file, the plain key is free again, too.
        """
        return f"{self.key}{KEY_FORM}{form.replace('|', '/')}"

    @staticmethod
    def key_start(path: Path) -> str:
        """Give what the keys of all that was ever noticed at a path begin with, and no others."""
        return f"{json.dumps(str(path))}|"

    def matches(self, status: os.stat_result) -> bool:
        """Say whether a stat describes the very file that was noticed."""
        same_inode = not (self.inode and status.st_ino) or self.inode == status.st_ino
        return (
            stat_module.S_ISREG(status.st_mode)
            and status.st_size == self.size
            and status.st_mtime_ns == self.mtime_ns
            and same_inode
        )

    def state(self) -> SourceState:
        """Look at the disk and say what became of the file."""
        try:
            status = self.path.stat(follow_symlinks=False)
        except (FileNotFoundError, NotADirectoryError):
            # An unplugged disk takes its files along; they are not deleted, only away.
            return SourceState.GONE if self.root.is_dir() else SourceState.ROOT_GONE
        except OSError:
            return SourceState.UNREADABLE
        return SourceState.SAME if self.matches(status) else SourceState.CHANGED
