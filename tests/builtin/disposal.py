"""What the tests of the actions that dispose of a source share."""

from __future__ import annotations

import os
import sys
from dataclasses import replace

from hydrusd.model import OutcomeKind
from hydrusd.plugin import TemporaryError

CONTENT = b"the only copy" * 1000
MTIME_NS = 1_600_000_000_000_000_000


class Killed(BaseException):
    """What a killed daemon raises nowhere: it only stops changing the disk."""


class Power:
    """Lets the disk be changed so many times, and then never again, as if killed.

    Whatever still runs afterwards, ``finally`` and all, finds that it cannot touch a thing.
    """

    CHANGES = frozenset(
        {"os.chmod", "os.link", "os.mkdir", "os.remove", "os.rename", "os.utime", "shutil.move"}
    )

    def __init__(self):
        self.folder = None
        self.left = None
        self.used = 0
        sys.addaudithook(self._hook)

    def _hook(self, event, args):
        if self.folder is None:
            return
        writes = event == "open" and args[2] & (os.O_WRONLY | os.O_RDWR)
        if not (event in self.CHANGES or writes) or not self._inside(args[0]):
            return
        if self.left is not None:
            if self.left <= 0:
                raise Killed
            self.left -= 1
        self.used += 1

    def _inside(self, path):
        return isinstance(path, str | bytes | os.PathLike) and os.fsdecode(path).startswith(
            self.folder
        )

    def on(self, folder, changes=None):
        self.folder, self.left, self.used = str(folder), changes, 0

    def off(self):
        self.folder = None


def remains(folder):
    """Give every file below a folder by its path, with its content."""
    return {
        path.relative_to(folder).as_posix(): path.read_bytes()
        for path in folder.rglob("*")
        if path.is_file()
    }


async def dispose_of_all(calls):
    """Carry out a set of calls. What kills one of them, kills the daemon."""
    try:
        await type(calls[0].action).run_set(calls)
    except BaseExceptionGroup as group:
        if group.subgroup(Killed) is None:
            raise
        raise Killed from None


async def dispose(call):
    """Carry out a call as a set of one; give its outcome, or raise what another try may mend."""
    mine = replace(call)
    await dispose_of_all([mine])
    if mine.outcome.kind is OutcomeKind.RETRY:
        raise TemporaryError(mine.outcome.detail)
    return mine.outcome
