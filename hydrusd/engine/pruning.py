"""Lets go once a day of what ended long ago, a little at a time, while the lanes go on.

The ledger's writer does one thing after the other, so each piece is small and is followed by a
pause that is longer than it took: whoever has work to store waits for one piece at most.
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime, timedelta

import structlog

from hydrusd.clock import Clock
from hydrusd.engine.limits import HOUR_SECONDS
from hydrusd.ledger import Ledger, LedgerWriter, Listener, Pruned, Retention
from hydrusd.rules import HistorySpec

FIRST_AFTER_SECONDS = 600.0
"""A daemon that starts has other things to do first."""
EVERY_SECONDS = 86_400.0
PAUSE_SECONDS = 0.2
REST = 4.0
"""How many times as long as a piece took the ledger is left alone after it."""

log = structlog.get_logger("hydrusd.pruning")


def retention(spec: HistorySpec, now: datetime) -> Retention:
    """Say up to when what has ended is let go now."""

    def before(seconds: float | None) -> datetime | None:
        return None if seconds is None else now - timedelta(seconds=seconds)

    return Retention(before(spec.keep), before(spec.keep_dull))


class Pruner:
    """Prunes the ledger of a daemon. ``listeners`` are those who have signals to read."""

    def __init__(
        self,
        ledger: LedgerWriter,
        clock: Clock,
        history: HistorySpec,
        listeners: Sequence[Listener],
    ) -> None:
        self._ledger = ledger
        self._clock = clock
        self._history = history
        self._listeners = listeners

    def follow(self, history: HistorySpec, listeners: Sequence[Listener]) -> None:
        """Go on by another part of the rules file, from the next time on."""
        self._history = history
        self._listeners = listeners

    async def run(self) -> None:
        """Prune once a day until cancelled."""
        await self._clock.sleep(FIRST_AFTER_SECONDS)
        while True:
            gone = await self.prune()
            if gone.events or gone.runs or gone.signals:
                log.info(
                    f"pruned what {gone.events} events led to, which ended long ago: "
                    f"{gone.jobs} jobs; {gone.runs} runs, {gone.signals} signals",
                    events=gone.events,
                    jobs=gone.jobs,
                    runs=gone.runs,
                    signals=gone.signals,
                )
            await self._clock.sleep(EVERY_SECONDS)

    async def prune(self) -> Pruned:
        """Prune once, from the oldest on; say what went."""
        now = self._clock.now()
        limits = retention(self._history, now)
        await self._ledger(Ledger.forget_begun, now - timedelta(seconds=2 * HOUR_SECONDS))
        total = Pruned()
        cursor, is_first = None, True
        while is_first or cursor is not None:
            is_first, began = False, self._clock.monotonic()
            part = await self._ledger(Ledger.prune_events, limits, now, after=cursor)
            total, cursor = total + part, part.cursor
            await self._pause(began)
        after: int | None = 0
        while after is not None:
            began = self._clock.monotonic()
            after, runs = await self._ledger(Ledger.prune_runs, limits, after=after)
            total += Pruned(runs=runs)
            await self._pause(began)
        after = 0
        while after is not None:
            began = self._clock.monotonic()
            before = limits.latest
            after, signals = await self._ledger(
                Ledger.prune_signals, before, self._listeners, after=after
            )
            total += Pruned(signals=signals)
            await self._pause(began)
        return total

    async def _pause(self, began: float) -> None:
        took = self._clock.monotonic() - began
        await self._clock.sleep(max(PAUSE_SECONDS, took * REST))
