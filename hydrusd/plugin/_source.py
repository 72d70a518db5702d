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
from functools import lru_cache
from io import FileIO
from pathlib import Path, PurePath
from typing import TYPE_CHECKING, Any

from hydrusd.hydrus import FileChangedError
from hydrusd.model import KEY_FORM, Data
from hydrusd.mounts import FolderIdentity
from hydrusd.opening import open_descriptor, open_file, system_path

FILE_NAMES: Mapping[str, object] = {
    "path": None,
    "name": None,
    "stem": None,
    "suffix": None,
    "parent": {"name": None, "path": None},
    "root": None,
    "relative": None,
    "size": None,
    "mtime_ns": None,
    "inode": None,
    "root_identity": None,
    "linked": None,
}
"""What ``FileSource.to_data`` gives, for ``Trigger.gives``."""
_FACTS = frozenset({"path", "root", "size", "mtime_ns", "inode"})
_FOLDER, _LINKED = "root_identity", "linked"
# A link, a socket, a pipe, a device, a folder.
_NO_FILE = frozenset({errno.ELOOP, errno.ENXIO, errno.EINVAL, errno.ENODEV, errno.EISDIR})
_quoted = json.encoder.encode_basestring_ascii
_root = lru_cache(maxsize=256)(Path)  # many files, few folders that are watched


class SourceState(StrEnum):
    """What became of a source since it was noticed."""

    SAME = "same"
    CHANGED = "changed"
    GONE = "gone"
    ROOT_GONE = "root gone"
    UNREADABLE = "unreadable"


@dataclass(init=False, eq=False, repr=False, slots=True)
class FileSource:
    """A file as it was when it was noticed. It does not change.

    ``size`` in bytes, ``mtime_ns`` in nanoseconds since 1970 (UTC). ``inode`` is None
    where the file system has none to offer. ``root`` is the watched folder, and
    ``root_identity`` which folder that was; None where nobody looked. ``linked``: a symbolic
    link leads to it, and what is described here is what it leads to. ``text`` is the
    path as text, as ``Path`` writes it; most of what happens to a file needs no more, and to
    make a ``Path`` for each took a tenth of the time of known files.
    """

    path: Path
    root: Path
    size: int
    mtime_ns: int
    inode: int | None
    root_identity: FolderIdentity | None
    linked: bool
    text: str = field(init=False)
    _key: str = field(init=False)

    def __init__(
        self,
        path: Path | str,
        root: Path,
        size: int,
        mtime_ns: int,
        inode: int | None,
        root_identity: FolderIdentity | None = None,
        *,
        linked: bool = False,
    ) -> None:
        if isinstance(path, str):
            self.text = path
        else:
            self.path, self.text = path, str(path)
        self.root = root
        self.size = size
        self.mtime_ns = mtime_ns
        self.inode = inode
        self.root_identity = root_identity
        self.linked = linked
        self._key = ""

    if not TYPE_CHECKING:

        def __getattr__(self, name: str) -> Path:
            # Asked only for what is not there (yet).
            if name != "path":
                raise AttributeError(name)
            self.path = Path(self.text)
            return self.path

    def __repr__(self) -> str:
        return f"FileSource({self.text!r}, {self.size} bytes, {self.mtime_ns}, {self.inode})"

    def __eq__(self, other: object) -> bool:
        return (
            isinstance(other, FileSource)
            and self.text == other.text
            and self.size == other.size
            and self.mtime_ns == other.mtime_ns
            and self.inode == other.inode
            and self.root == other.root
        )

    def __hash__(self) -> int:
        return hash((self.text, self.size, self.mtime_ns))

    @classmethod
    def of(cls, path: Path | str, root: Path, status: os.stat_result) -> FileSource:
        """Describe a file from its stat. Windows' directory listing gives inode 0: no inode."""
        return cls(path, root, status.st_size, status.st_mtime_ns, status.st_ino or None)

    @classmethod
    def from_data(cls, data: Data) -> FileSource | None:
        """Read back what ``to_data`` put into an event; None where the event has no file."""
        if (file := _file_in(data)) is None:
            return None
        return cls(
            file["path"],
            _root(file["root"]),
            file["size"],
            file["mtime_ns"],
            file["inode"],
            FolderIdentity.from_text(file.get(_FOLDER)),
            linked=bool(file.get(_LINKED)),
        )

    @staticmethod
    def path_in(data: Data) -> str | None:
        """Give the path of the file that an event is about; None where it has no file."""
        file = _file_in(data)
        return None if file is None else str(file["path"])

    @classmethod
    def from_key(cls, key: str) -> FileSource | None:
        """Read back what ``key`` says; None where it is not that of a file.

        Which folder was watched is not in it: ``root`` is the folder that the file is in.
        """
        try:
            text, end = json.JSONDecoder().raw_decode(key)
            _, size, mtime_ns, inode = key[end:].partition(KEY_FORM)[0].split("|")
            path = Path(text)
            return cls(path, path.parent, int(size), int(mtime_ns), int(inode) if inode else None)
        except (TypeError, ValueError):
            return None

    def to_data(self) -> dict[str, object]:
        """Give the plain data that templates and conditions see as ``file``."""
        path, root = self.text, str(self.root)
        name = path[path.rfind(os.sep) + 1 :]
        suffix = _suffix(name)
        if path.startswith(root + os.sep):
            # By cutting the text: to have pathlib take it apart costs ten times as much.
            above = path[: -len(name) - 1]
            parent = {"name": above[above.rfind(os.sep) + 1 :], "path": above}
            relative = path[len(root) + 1 :].replace(os.sep, "/")
        else:  # a root that ends with a separator (a whole disk) or is not spelt out
            parent = {"name": self.path.parent.name, "path": str(self.path.parent)}
            relative = self.path.relative_to(self.root).as_posix()
        return {
            "path": path,
            "name": name,
            "stem": name[: -len(suffix)] if suffix else name,
            "suffix": suffix.lower(),
            "parent": parent,
            "root": root,
            "relative": relative,
            "size": self.size,
            "mtime_ns": self.mtime_ns,
            "inode": self.inode,
            **({_FOLDER: self.root_identity.to_text()} if self.root_identity else {}),
            **({_LINKED: True} if self.linked else {}),
        }

    @property
    def key(self) -> str:
        """The identity of this file, as text without surrogates, the path first."""
        if not self._key:
            inode = self.inode or ""
            self._key = f"{_quoted(self.text)}|{self.size}|{self.mtime_ns}|{inode}"
        return self._key

    def key_as(self, form: str) -> str:
        """Give the key for what is noticed about this file in some form of its own.

        When an event with it has done away with the file, the plain key is free again, too.
        """
        return f"{self.key}{KEY_FORM}{form.replace('|', '/')}"

    @staticmethod
    def key_start(path: Path | str) -> str:
        """Give what the keys of all that was ever noticed at a path begin with, and no others.

        A text is taken as it is: as ``Path`` would write it.
        """
        return f"{_quoted(str(path))}|"

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
            status = os.stat(system_path(self.text), follow_symlinks=self.linked)  # noqa: PTH116
        except (FileNotFoundError, NotADirectoryError):
            # An unplugged disk takes its files along; they are not deleted, only away.
            return SourceState.ROOT_GONE if self._root_is_gone() else SourceState.GONE
        except OSError:
            # A server that has gone answers for its whole share like this.
            return SourceState.UNREADABLE if _can_list(self.root) else SourceState.ROOT_GONE
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

        Never waits for the other end of a pipe, never follows a link unless it was noticed by
        one. Raises OSError, of which FileChangedError where another file, or no file, is at the
        path by now.
        """
        try:
            file, status = open_file(self.text, follow_link=self.linked)
        except OSError as error:
            if error.errno in _NO_FILE:
                raise self._replaced(error) from error
            raise
        if not self.matches(status):
            file.close()
            raise FileChangedError(f"{self.path} was replaced or written to")
        return file

    def content(self, most: int) -> bytes | None:
        """Give all bytes of the file, where it has at most so many; None where it has more.

        They are those of the file that was noticed, and nobody wrote to it meanwhile. Raises
        OSError like ``open``.
        """
        if self.size > most:
            return None
        try:
            descriptor, status = open_descriptor(self.text, follow_link=self.linked)
        except OSError as error:
            if error.errno in _NO_FILE:
                raise self._replaced(error) from error
            raise
        try:
            # By the descriptor and in few calls: each lets other threads go on, and a small file
            # is read sooner than it is this one's turn again.
            content = os.read(descriptor, self.size + 1) if self.matches(status) else b""
            if not self.matches(os.fstat(descriptor)):
                raise FileChangedError(f"{self.path} was replaced or written to")
        finally:
            os.close(descriptor)
        return content if len(content) == self.size else None

    def _replaced(self, error: OSError) -> FileChangedError:
        return FileChangedError(f"{self.path} was replaced: {error.strerror}")


def _file_in(data: Data) -> Mapping[str, Any] | None:
    file = data.get("file")
    # As it is read from the ledger, mostly; to ask for a mapping of any kind takes longer.
    if type(file) is not dict and not isinstance(file, Mapping):
        return None
    return file if _FACTS.issubset(file) else None


def _can_list(folder: Path) -> bool:
    try:
        with os.scandir(folder) as entries:
            next(entries, None)  # some can be opened, and fail only then
    except OSError:
        return False
    return True


@lru_cache(maxsize=1024)
def _ending(last: str) -> str:
    return PurePath(f"x{last}").suffix


def _suffix(name: str) -> str:
    """Give the suffix as ``Path`` has it; its makers change their mind about dots at the end."""
    at = name.rfind(".")
    return _ending(name[at:]) if at > 0 else ""
