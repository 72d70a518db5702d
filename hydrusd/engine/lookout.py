"""Notices what others do to a daemon: processes that write into its ledger, and sleep.

`hydrusd dead retry`, `undo`, `fire` and `reload` write beside the daemon. Whoever waits for that is
told that something was written, by one look for all of them, and reads the ledger only then.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from hydrusd.clock import Clock
from hydrusd.ledger import LedgerWatch
from hydrusd.looking_out import look_out

LOOK_SECONDS = 4.0
"""How often to look."""
SIGNAL_SECONDS = 1.0
"""How often where somebody waits for signals."""
SLEPT_SECONDS = 30.0
"""A timer that rings so much too late means that the machine slept, or the process was stopped."""
JUMP_SECONDS = 5.0
"""A clock that is off by more has been set, or that of a machine which was asleep."""


@dataclass(frozen=True, slots=True)
class Seen:
    """What a look has shown. ``slept`` says of a timer that it rang far too late."""

    written: bool
    slept: bool
    jumped: bool


class Lookout:
    """Looks for everybody. ``tell`` is called on the event loop, a moment after it happened."""

    def __init__(self, ledger: Path, clock: Clock, tell: Callable[[Seen], None]) -> None:
        """Take a ledger that is open by now, and is closed only after ``run`` has ended."""
        self._ledger = ledger
        self._clock = clock
        self._tell = tell
        self.wants_signals = False

    async def run(self) -> None:
        """Look until cancelled."""
        watch = LedgerWatch(self._ledger)
        clock = self._clock
        at, time_of_day = clock.monotonic(), clock.now().timestamp()

        def look() -> Seen | None:
            nonlocal at, time_of_day
            before, at = at, clock.monotonic()
            earlier, time_of_day = time_of_day, clock.now().timestamp()
            passed = at - before
            slept = passed > LOOK_SECONDS + SLEPT_SECONDS
            jumped = abs(time_of_day - earlier - passed) > JUMP_SECONDS
            written = watch.has_changed()
            return Seen(written, slept, jumped) if written or slept or jumped else None

        try:
            while True:
                self._tell(await look_out(clock, self._seconds, look))
        finally:
            watch.close()

    def _seconds(self) -> float:
        return SIGNAL_SECONDS if self.wants_signals else LOOK_SECONDS
