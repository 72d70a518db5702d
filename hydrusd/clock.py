"""The only source of time, so that tests can hold it in their hands.

Two clocks, because they answer different questions: ``now`` says what to write
into the ledger and may jump (a user sets the clock, NTP corrects it);
``monotonic`` measures how long something really took and never goes back.
"""

from __future__ import annotations

import math
import time
from datetime import UTC, datetime, timedelta
from typing import Protocol

import anyio


class Clock(Protocol):
    """What the engine, the triggers and the client know of time."""

    def now(self) -> datetime:
        """Give the time of day, aware, in UTC."""
        ...

    def monotonic(self) -> float:
        """Give seconds since some fixed moment; never goes back."""
        ...

    async def sleep(self, seconds: float) -> None:
        """Wait that many seconds of this clock."""
        ...


async def first_of(
    event: anyio.Event, clock: Clock, seconds: float | None, *, name: str = "timer"
) -> None:
    """Wait for the event, at most so many seconds of the clock; None for as long as it takes."""
    if event.is_set() or (seconds is not None and seconds <= 0):
        await anyio.lowlevel.checkpoint()
        return
    async with anyio.create_task_group() as tasks:
        if seconds is not None:

            async def ring() -> None:
                await clock.sleep(seconds)
                tasks.cancel_scope.cancel()

            tasks.start_soon(ring, name=name)
        await event.wait()
        tasks.cancel_scope.cancel()


class SystemClock:
    """The machine's own clocks."""

    def now(self) -> datetime:
        """Give the time of day, aware, in UTC."""
        return datetime.now(UTC)

    def monotonic(self) -> float:
        """Give seconds since some fixed moment; never goes back."""
        return time.monotonic()

    async def sleep(self, seconds: float) -> None:
        """Wait that many seconds."""
        await anyio.sleep(seconds)


class ManualClock:
    """A clock that stands still until ``advance`` moves it. For tests.

    Sleepers wake when the clock reaches their time; the advancing task yields to
    them before it goes on, so that a test reads like a story.
    """

    def __init__(self, start: datetime | None = None) -> None:
        self._start = start or datetime(2026, 1, 1, tzinfo=UTC)
        self._elapsed = 0.0
        self._sleepers: dict[anyio.Event, float] = {}

    def now(self) -> datetime:
        """Give the time of day, aware, in UTC."""
        return self._start + timedelta(seconds=self._elapsed)

    def monotonic(self) -> float:
        """Give the seconds by which the clock was advanced so far."""
        return self._elapsed

    async def sleep(self, seconds: float) -> None:
        """Wait until the clock has been advanced by that many seconds."""
        if seconds <= 0:
            await anyio.lowlevel.checkpoint()
            return
        woken = anyio.Event()
        self._sleepers[woken] = self._elapsed + seconds
        try:
            await woken.wait()
        finally:
            self._sleepers.pop(woken, None)

    def leap(self, to: float) -> None:
        """Go to a moment at once, whoever waited for one before; never back."""
        self._elapsed = max(self._elapsed, to)
        for woken, due in list(self._sleepers.items()):
            if due <= self._elapsed:
                del self._sleepers[woken]
                woken.set()

    async def advance(self, seconds: float) -> None:
        """Move the clock on, waking in order all who sleep until then."""
        target = self._elapsed + seconds
        while True:
            # Tasks woken in the last round may have gone to sleep again meanwhile.
            for _ in range(20):
                await anyio.lowlevel.checkpoint()
            due = min(self._sleepers.values(), default=math.inf)
            if due > target:
                break
            self.leap(due)
        self._elapsed = target
