"""Work on many files that waits for the disk together.

What must be on the disk before a file may go any further are mostly names in a folder, and to sync
a folder takes longer than all else that is done about a small file. So the work on a file is a
generator. It gives the folder that it has to wait for, and goes on when that is on the disk. Many
are taken through side by side: each as far as it comes, then each folder is synced once for all of
them, and so on. Nothing is done any earlier than by one after the other, only later, and in each
order that was there for safety's sake it stays.
"""

from __future__ import annotations

import contextlib
import time
from collections import deque
from collections.abc import Callable, Generator, Iterable, Sequence
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any

import anyio
from anyio import CapacityLimiter, from_thread, to_thread

from hydrusd.plugin import Call, Outcome, TemporaryError, found_no_room, sync_folder

Steps = Generator[Path, None, Outcome]
"""Work on one file: gives each folder that has to be on the disk before it goes on. Blocks."""

WIDTH = 4
"""How many files are worked on at once."""
TELL_SECONDS = 0.05
"""How often at most the event loop is told which files are through."""


def synced(folder: Path) -> None:
    """Have the names in a folder on the disk, where that can be had. Blocks."""
    with contextlib.suppress(OSError):  # some file systems refuse, and need no syncing
        sync_folder(folder)


def alone(steps: Steps) -> Outcome:
    """Carry out the work on one file. Blocks."""
    while True:
        try:
            folder = next(steps)
        except StopIteration as end:
            outcome: Outcome = end.value
            return outcome
        synced(folder)


def _all_synced(folders: Iterable[Path]) -> None:
    for folder in folders:
        synced(folder)


@dataclass(slots=True)
class _Round:
    """Files that are taken as far as they come; ``waiting`` are those that wait for a folder."""

    left: deque[tuple[Call[Any], Steps]]
    waiting: list[tuple[Call[Any], Steps]] = field(default_factory=list)
    folders: set[Path] = field(default_factory=set)
    failures: list[Exception] = field(default_factory=list)

    def advance(self, ended: list[tuple[Call[Any], Outcome]]) -> None:
        """Take files from those that are left, for a moment. In one of anyio's threads."""
        until = time.monotonic() + TELL_SECONDS
        while self.left and time.monotonic() < until:
            from_thread.check_cancelled()
            try:
                call, steps = self.left.popleft()
            except IndexError:  # another thread was quicker
                return
            try:
                folder = next(steps)
            except StopIteration as end:
                ended.append((call, end.value))
            except TemporaryError as error:
                if found_no_room(error):
                    self.failures.append(error)
                    continue
                delay = error.delay_seconds
                ended.append((call, Outcome.retry(str(error), delay_seconds=delay)))
            except Exception as error:  # noqa: BLE001 - it is raised when the others are through
                self.failures.append(error)
            else:
                self.waiting.append((call, steps))
                self.folders.add(folder)

    async def work(self, limiter: CapacityLimiter) -> None:
        while self.left:
            ended: list[tuple[Call[Any], Outcome]] = []
            try:
                await to_thread.run_sync(partial(self.advance, ended), limiter=limiter)
            finally:
                for call, outcome in ended:
                    call.finish(outcome)


async def together(calls: Sequence[Call[Any]], begin: Callable[[Call[Any]], Steps]) -> None:
    """Carry out the work on the files of a set, and finish each call as soon as it is through.

    Where any finds a disk full, or raises something else than ``TemporaryError``, the first of
    that is raised when all others are through, and their calls are left open: the set is then
    divided until each has its own.
    """
    limiter = CapacityLimiter(WIDTH)
    failures: list[Exception] = []
    waiting = [(call, begin(call)) for call in calls]
    while waiting:
        this = _Round(deque(waiting), failures=failures)
        async with anyio.create_task_group() as tasks:
            for _ in range(min(WIDTH, len(waiting))):
                tasks.start_soon(this.work, limiter)
        waiting = this.waiting
        await to_thread.run_sync(_all_synced, this.folders)
    if failures:
        raise failures[0]
