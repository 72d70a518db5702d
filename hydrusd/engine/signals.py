"""Wakes the triggers that listen to what happens inside hydrusd itself.

A signal is a row in the ledger: `hydrusd fire` in another process writes one, and so does
the transaction in which a job ends. The ledger is asked once for all listeners together, and
only when somebody has written into it: that keeps an idle daemon idle.
"""

from __future__ import annotations

import anyio

from hydrusd.ledger import Ledger, LedgerWriter


class Signals:
    """Tells when the ledger has new signals."""

    def __init__(self, ledger: LedgerWriter) -> None:
        self._ledger = ledger
        self._newest = 0
        self._arrived = anyio.Event()
        self._stirred = anyio.Event()

    def stir(self) -> None:
        """Say that the ledger has changed. Call it on the event loop."""
        self._stirred.set()

    async def run(self) -> None:
        """Look, each time when the ledger has changed, until cancelled."""
        while True:
            self._stirred = anyio.Event()
            newest = await self._ledger(Ledger.newest_signal)
            if newest != self._newest:
                self._newest = newest
                self._arrived.set()
                self._arrived = anyio.Event()
            await self._stirred.wait()

    async def newer(self, than: int) -> None:
        """Wait until there is a signal behind this one."""
        while self._newest <= than:
            await self._arrived.wait()

    @property
    def newest(self) -> int:
        """The newest signal seen so far."""
        return self._newest
