"""Opening what should be an ordinary file, and may have become something else.

Between a look at a file and its opening somebody can put a pipe in its place, whose opening
waits for a writer who never comes, or a link to another file. So nothing is waited for, and
what was opened is looked at once more.
"""

from __future__ import annotations

import errno
import os
import stat
from io import FileIO
from pathlib import Path

# Not all systems have them all: Windows has no such pipes, and asks for rights to make links.
_AT_ONCE = getattr(os, "O_NONBLOCK", 0) | getattr(os, "O_NOCTTY", 0)
_NO_LINK = getattr(os, "O_NOFOLLOW", 0)


def open_file(path: Path, *, follow_link: bool) -> tuple[FileIO, os.stat_result]:
    """Open a file for reading, unbuffered, and describe what was opened.

    Raises OSError, also where it is no ordinary file, or a link that is not to be followed.
    """
    flags = _AT_ONCE | (0 if follow_link else _NO_LINK)
    if not follow_link and not _NO_LINK and path.is_symlink():
        raise OSError(errno.ELOOP, "is a symbolic link", str(path))
    file = FileIO(path, "r", opener=lambda name, given: os.open(name, given | flags))
    try:
        status = os.fstat(file.fileno())
        if not stat.S_ISREG(status.st_mode):
            raise OSError(errno.EINVAL, "is no ordinary file", str(path))
    except OSError:
        file.close()
        raise
    return file, status
