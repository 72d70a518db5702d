"""Backs the ledger up now and then, while it is in use.

Whether one is due is asked of the backups that lie there and of the time of day, so that a
machine which sleeps at night, and a daemon that is restarted every day, have theirs all the same.
"""

from __future__ import annotations

from datetime import timedelta
from pathlib import Path

import structlog
from anyio import from_thread, to_thread

from hydrusd.clock import Clock
from hydrusd.errors import LedgerDamaged, LedgerError
from hydrusd.ledger import Ledger, LedgerWriter, Occasion, back_up, backups

FIRST_LOOK_SECONDS = 60.0
"""A daemon that has just started has other things to do."""
LOOK_EVERY_SECONDS = 3600.0
"""At least; what failed is tried again then, too."""
CONDITION = ("ledger", "backups")

log = structlog.get_logger("hydrusd.backups")


class BackingUp:
    """Makes a backup every so often, and keeps so many."""

    def __init__(
        self,
        path: Path,
        ledger: LedgerWriter,
        clock: Clock,
        *,
        every_seconds: float,
        keep: int,
    ) -> None:
        self._path = path
        self._ledger = ledger
        self._clock = clock
        self._every = timedelta(seconds=every_seconds)
        self._keep = keep
        self._failed = False

    async def run(self) -> None:
        """Make backups until cancelled. Raises LedgerDamaged where one shows the ledger to be."""
        await self._clock.sleep(FIRST_LOOK_SECONDS)
        while True:
            seconds = LOOK_EVERY_SECONDS
            if await self._due_in() <= timedelta():
                await self._make()
            else:
                seconds = min((await self._due_in()).total_seconds(), seconds)
            await self._clock.sleep(seconds)

    async def _due_in(self) -> timedelta:
        # Those that come with an upgrade or that somebody asked for are as good as any.
        found = await to_thread.run_sync(backups, self._path)
        now = self._clock.now()
        past = [backup.made_at for backup in found if backup.made_at <= now]
        return max(past) + self._every - now if past else timedelta()

    async def _make(self) -> None:
        try:
            made = await to_thread.run_sync(
                lambda: back_up(
                    self._path,
                    Occasion.DAILY,
                    self._clock.now(),
                    keep=self._keep,
                    still_wanted=from_thread.check_cancelled,
                )
            )
            size = await to_thread.run_sync(lambda: made.size)
        except LedgerDamaged as error:
            self._ledger.damaged(error)
            raise
        except LedgerError as error:
            self._failed = True
            log.warning(f"{error}; tried again within the hour")
            await self._tell("waiting", str(error))
            return
        log.info(f"backed up the ledger: {made.path}", path=str(made.path), bytes=size)
        if self._failed:
            self._failed = False
            await self._tell("working", "")

    async def _tell(self, state: str, reason: str) -> None:
        await self._ledger(Ledger.set_condition, *CONDITION, state, reason, self._clock.now())
