"""Wakes the triggers that listen to what happens inside hydrusd itself.

A signal is a row in the ledger: `hydrusd fire` in another process writes one, and so does
the transaction in which a job ends. One look a second, for all listeners together, keeps
an idle daemon idle.
"""

from __future__ import annotations

import anyio

from hydrusd.clock import Clock
from hydrusd.ledger import Ledger, LedgerWriter

LOOK_EVERY_SECONDS = 1.0


class Signals:
    """Tells when the ledger has new signals."""

    def __init__(self, ledger: LedgerWriter, clock: Clock) -> None:
        self._ledger = ledger
        self._clock = clock
        self._newest = 0
        self._arrived = anyio.Event()

    async def run(self) -> None:
        """Look until cancelled."""
        while True:
            newest = await self._ledger(Ledger.newest_signal)
            if newest != self._newest:
                self._newest = newest
                self._arrived.set()
                self._arrived = anyio.Event()
            await self._clock.sleep(LOOK_EVERY_SECONDS)

    async def newer(self, than: int) -> None:
        """Wait until there is a signal behind this one."""
        while self._newest <= than:
            await self._arrived.wait()

    @property
    def newest(self) -> int:
        """The newest signal seen so far."""
        return self._newest
