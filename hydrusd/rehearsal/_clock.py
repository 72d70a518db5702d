"""A clock that is moved on when everybody has come to rest.

What waits for the clock waits for nothing real, so all that can still happen happens by itself,
in threads and over sockets. While any of that is under way the clock stands still; then it goes
to the next moment for which somebody waits, and no further. Whatever the machine is like, things
come in the same order and at the same times.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from typing import Any

import anyio
from anyio import to_thread

from hydrusd.clock import ManualClock

ROUNDS = 30
"""How often tasks are let run that hand something on to each other before they rest."""
LOOK_SECONDS = 0.001


class RehearsalClock(ManualClock):
    """Time as a test has it. Starts at ``start``, which is aware."""

    def __init__(self, start: datetime) -> None:
        super().__init__(start.astimezone(UTC))

    def step(self, until: float) -> bool:
        """Go to the next moment for which somebody waits; False where that is ``until`` itself."""
        due = min(self._sleepers.values(), default=until)
        self.leap(min(due, until))
        return self._elapsed < until


class Threads:
    """Counts what is under way in threads."""

    def __init__(self) -> None:
        self.under_way = 0

    @contextmanager
    def counting(self) -> Iterator[None]:
        """Count, inside.

        Everything in hydrusd and its plugins but the ledger gets into a thread by this one function
        of anyio, and anyio does not say how many are there.
        """
        run_sync = to_thread.run_sync

        async def counted(*args: Any, **options: Any) -> Any:
            self.under_way += 1
            try:
                return await run_sync(*args, **options)
            finally:
                self.under_way -= 1

        to_thread.run_sync = counted  # type: ignore[assignment]
        try:
            yield
        finally:
            to_thread.run_sync = run_sync


async def come_to_rest(is_busy: Callable[[], bool]) -> None:
    """Return when nothing is under way and all tasks wait."""
    while True:
        while is_busy():  # noqa: ASYNC110 - threads and sockets set no event of ours
            await anyio.sleep(LOOK_SECONDS)
        for _ in range(ROUNDS):
            await anyio.lowlevel.checkpoint()
            if is_busy():
                break
        else:
            return
