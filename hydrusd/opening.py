"""Opening what should be an ordinary file, and may have become something else.

Between a look at a file and its opening somebody can put a pipe in its place, whose opening
waits for a writer who never comes, or a link to another file. So nothing is waited for, and
what was opened is looked at once more.

Windows takes some names for devices (``NUL.jpg``), cuts off dots and spaces at their end, and
has a limit on the length of paths, unless they are written in a form of its own.
"""

from __future__ import annotations

import errno
import os
import re
import stat
import sys
from io import FileIO
from pathlib import Path

# Not all systems have them all: Windows has no such pipes, and asks for rights to make links.
_AT_ONCE = getattr(os, "O_NONBLOCK", 0) | getattr(os, "O_NOCTTY", 0)
_NO_LINK = getattr(os, "O_NOFOLLOW", 0)
_READING = os.O_RDONLY | getattr(os, "O_BINARY", 0) | _AT_ONCE

# What a name that begins like this means to Windows, whatever comes after the dot.
_DEVICE = re.compile(
    r"(con|prn|aux|nul|conin\$|conout\$|(com|lpt)[0-9¹²³])\s*(\.|:|$)", re.IGNORECASE
)
_LONGEST_PLAIN = 247  # a folder may have twelve characters less than a file, which has 259


def system_path(path: str) -> str:
    """Give the path in the form in which the system opens just this file."""
    return windows_path(path) if sys.platform == "win32" else path


def windows_path(path: str) -> str:
    """Give an absolute path in Windows' own form, where it would be taken for another one."""
    text = path.replace("/", "\\")
    if text.startswith(("\\\\?\\", "\\\\.\\")):
        return path
    share = text.startswith("\\\\")
    if not share and not re.match(r"[A-Za-z]:\\", text):
        return path
    parts = text.lstrip("\\").split("\\")[1:]
    if ".." in parts or "." in parts:
        return path  # in that form they would be names
    odd = any(_DEVICE.match(part) or part.endswith((".", " ")) for part in parts)
    if not odd and len(text) <= _LONGEST_PLAIN:
        return path
    return f"\\\\?\\UNC\\{text[2:]}" if share else f"\\\\?\\{text}"


def open_file(path: Path | str, *, follow_link: bool) -> tuple[FileIO, os.stat_result]:
    """Open a file for reading, unbuffered, and describe what was opened.

    Raises OSError, also where it is no ordinary file, or a link that is not to be followed.
    """
    descriptor, status = open_descriptor(path, follow_link=follow_link)
    try:
        return FileIO(str(path), "r", opener=lambda *_: descriptor), status  # it has a name so
    except BaseException:
        os.close(descriptor)
        raise


def open_descriptor(path: Path | str, *, follow_link: bool) -> tuple[int, os.stat_result]:
    """Do the same for whoever reads it at once: a descriptor, to be closed by the caller."""
    text = str(path)
    if not follow_link and not _NO_LINK and os.path.islink(text):  # noqa: PTH114 - it is a text
        raise OSError(errno.ELOOP, "is a symbolic link", text)
    descriptor = os.open(system_path(text), _READING | (0 if follow_link else _NO_LINK))
    try:
        status = os.fstat(descriptor)
        if not stat.S_ISREG(status.st_mode):
            raise OSError(errno.EINVAL, "is no ordinary file", text)
    except BaseException:
        os.close(descriptor)
        raise
    return descriptor, status
