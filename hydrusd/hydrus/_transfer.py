"""By which way a file reaches the client: as bytes, or as a path that it opens by itself.

A path saves sending gigabytes to a program on the same machine. It is also a claim about
somebody else's file system: in a container, or under another root, the same path may name
nothing, or worse, another file. So a path is tried only where there is reason to believe
in it, the client's hash of what it found is compared with that of our file, and after the
first doubt no path is told any more until the next connection.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from pathlib import Path, PurePath, PurePosixPath, PureWindowsPath
from typing import Literal, get_args

import anyio

from hydrusd.errors import RequestRejected

from ._tls import refused

TransferMode = Literal["auto", "bytes", "path"]

_WINDOWS_ROOT = re.compile(r"[A-Za-z]:[\\/]|[\\/]{2}[^\\/]")
# What Windows does not allow in a name, or takes for something else.
_NOT_ON_WINDOWS = re.compile(r'[<>:"/\\|?*\x00-\x1f]|[. ]$')


class WrongFileError(RequestRejected):
    """The client found another file at the path than ours, and may have imported that."""


class PathMap:
    """Pairs of folders: as this machine calls them, and as the client does.

    Raises ConfigError for a folder that is not absolute, in Windows' or in POSIX' manner.
    """

    def __init__(self, pairs: Sequence[tuple[str, str]]) -> None:
        # The most specific first: a share mounted inside another one is not that other one.
        self._pairs = sorted(
            ((_folder(ours), _folder(theirs)) for ours, theirs in pairs),
            key=lambda pair: -len(pair[0].parts),
        )

    def __bool__(self) -> bool:
        return bool(self._pairs)

    def translated(self, path: str) -> str | None:
        """Give an absolute path of this machine as the client writes it.

        None where no pair covers it, and where it cannot be written there: a name with a
        backslash in it would mean another file to Windows.
        """
        for ours, theirs in self._pairs:
            absolute = type(ours)(path)
            if ".." in absolute.parts or not absolute.is_relative_to(ours):
                continue
            inner = absolute.relative_to(ours).parts
            if isinstance(theirs, PureWindowsPath) and any(map(_NOT_ON_WINDOWS.search, inner)):
                return None
            return str(theirs.joinpath(*inner))
        return None


class Transfer:
    """What the user wants, and what the client was found to see since it was connected to."""

    def __init__(
        self, mode: TransferMode, path_map: Sequence[tuple[str, str]], *, this_machine: bool
    ) -> None:
        if mode not in get_args(TransferMode):
            raise refused(f"transfer: there is no {mode!r}", f"one of {get_args(TransferMode)}")
        self.mode: TransferMode = mode
        self.trying = anyio.Lock()
        self.trusted = False
        self.given_up = ""
        self._map = PathMap(path_map)
        self._this_machine = this_machine

    def begin(self) -> None:
        """Forget what was found: there is a new connection, perhaps to a client moved elsewhere."""
        self.trusted = False
        self.given_up = ""

    def give_up(self, why: str) -> None:
        """Tell no more paths."""
        self.trusted = False
        self.given_up = why

    def seen_by_client(self, path: Path) -> str | None:
        """Give the path to tell the client, None to send bytes.

        Raises RequestRejected where the mode is ``path`` and no path can be told.
        """
        if self.mode == "bytes" or (self.mode == "auto" and self.given_up):
            return None
        if self.given_up:
            raise RequestRejected(f"no path is told the client any more: {self.given_up}")
        told: str | None = str(path.absolute())  # resolve() would follow the user's links
        if self._map:
            assert told is not None
            told = self._map.translated(told)
        elif self.mode == "auto" and not self._this_machine:
            told = None
        # Beyond a link, .. is not what it looks like.
        if told is not None and ".." not in path.parts and _writable(told):
            return told
        if self.mode == "path":
            why = "path_map does not cover it" if told is None else "it has .. in it, or no Unicode"
            raise RequestRejected(f"{path!a} cannot be told to the client as a path: {why}")
        return None


def _folder(text: str) -> PurePath:
    if _WINDOWS_ROOT.match(text):
        folder: PurePath = PureWindowsPath(text)
    elif text.startswith("/"):
        folder = PurePosixPath(text)
    else:
        raise refused(
            f"path_map: not an absolute folder: {text!r}", "as /data/pictures, C:\\data, \\\\nas\\a"
        )
    if ".." in folder.parts:
        raise refused(f"path_map: a folder with .. in it: {text!r}")
    return folder


def _writable(text: str) -> bool:
    try:
        text.encode()
    except UnicodeEncodeError:
        return False
    return True
