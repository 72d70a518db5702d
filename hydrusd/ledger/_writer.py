"""One thread at a time owns the writing connection.

SQLite has one writer anyhow; a queue in front of it in our own process is fair,
cannot time out and keeps the event loop free while the disk syncs. A call that
has begun is never abandoned: a cancelled task waits for its transaction to end,
so a shutdown cannot leave one half way.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Concatenate, ParamSpec, TypeVar

import anyio
from anyio import to_thread
from sqlalchemy.exc import StatementError

from hydrusd.errors import LedgerError
from hydrusd.ledger._ledger import Ledger

P = ParamSpec("P")
T = TypeVar("T")


class LedgerWriter:
    """Calls the ledger's methods in a thread, one after the other."""

    def __init__(self, ledger: Ledger) -> None:
        self._ledger = ledger
        self._limiter = anyio.CapacityLimiter(1)

    async def __call__(
        self, method: Callable[Concatenate[Ledger, P], T], /, *args: P.args, **kwargs: P.kwargs
    ) -> T:
        """Run ``method(ledger, …)`` and give its result.

        Values that the database cannot hold are a LedgerError, like everything it says itself.
        """
        try:
            return await to_thread.run_sync(
                lambda: method(self._ledger, *args, **kwargs), limiter=self._limiter
            )
        except StatementError as error:
            raise LedgerError(f"the ledger cannot hold this: {error.orig}") from error
