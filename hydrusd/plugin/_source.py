"""A file in a folder, and whether it is still the one that was noticed.

A path alone is no identity: between noticing and acting a file may be rewritten,
replaced or moved away. Whoever sends or disposes of a file asks first whether
path, size, modification time and inode are still those that the event named.

Nor does a path without a file mean that the file was deleted. The disk it is on may be
unplugged, which can leave an empty folder behind that looks just like the watched one.
"""

from __future__ import annotations

import errno
import json
import os
import stat as stat_module
from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from io import FileIO
from pathlib import Path

from hydrusd.hydrus import FileChangedError
from hydrusd.model import Data
from hydrusd.opening import open_file
from hydrusd.plugin._mounts import FolderIdentity

_FACTS = {"path", "root", "size", "mtime_ns", "inode"}
_FOLDER = "root_identity"
# A link, a socket, a pipe, a device, a folder.
_NO_FILE = frozenset({errno.ELOOP, errno.ENXIO, errno.EINVAL, errno.ENODEV, errno.EISDIR})


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
    where the file system has none to offer. ``root`` is the watched folder, and
    ``root_identity`` which folder that was; None where nobody looked.
    """

    path: Path
    root: Path
    size: int
    mtime_ns: int
    inode: int | None
    root_identity: FolderIdentity | None = field(default=None, compare=False)

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
            Path(file["path"]),
            Path(file["root"]),
            file["size"],
            file["mtime_ns"],
            file["inode"],
            FolderIdentity.from_data(file.get(_FOLDER)),
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
        } | ({_FOLDER: self.root_identity.to_data()} if self.root_identity else {})

    @property
    def key(self) -> str:
        """The identity of this file, as text without surrogates, the path first."""
        return f"{self.key_start(self.path)}{self.size}|{self.mtime_ns}|{self.inode or ''}"

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
            return SourceState.ROOT_GONE if self._root_is_gone() else SourceState.GONE
        except OSError:
            return SourceState.UNREADABLE if self.root.is_dir() else SourceState.ROOT_GONE
        return SourceState.SAME if self.matches(status) else SourceState.CHANGED

    def _root_is_gone(self) -> bool:
        try:
            now = FolderIdentity.of(self.root)
            if self.root_identity is None or self.root_identity.is_folder_of(now):
                return False
            if self.root_identity.was_unmounted(now):
                return True
            # Another folder. With something in it, somebody uses it in place of the first one.
            with os.scandir(self.root) as entries:
                return next(entries, None) is None
        except OSError:
            return True

    def open(self) -> FileIO:
        """Open the file for reading, unbuffered, if it is still the one that was noticed.

        Never waits for the other end of a pipe, never follows a link. Raises OSError, of
        which FileChangedError where another file, or no file, is at the path by now.
        """
        try:
            file, status = open_file(self.path, follow_link=False)
        except OSError as error:
            if error.errno in _NO_FILE:
                raise FileChangedError(f"{self.path} was replaced: {error.strerror}") from error
            raise
        if not self.matches(status):
            file.close()
            raise FileChangedError(f"{self.path} was replaced or written to")
        return file
