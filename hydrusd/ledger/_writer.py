"""One thread at a time owns the writing connection.

SQLite has one writer anyhow; a queue in front of it in our own process is fair,
cannot time out and keeps the event loop free while the disk syncs. A call that
has begun is never abandoned: a cancelled task waits for its transaction to end,
so a shutdown cannot leave one half way. The thread takes calls from the queue by itself: while
the event loop is busy with a set, the ledger goes on with what waits for it.

Each call is one transaction, so what a full disk refuses can be tried again as it is: the
caller waits here until there is room, and knows nothing of it. Not so with a damaged file or
a disk that fails: from then on every call fails, whoever may have swallowed the first error.
"""

from __future__ import annotations

import asyncio
import math
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from contextvars import copy_context
from typing import Concatenate, ParamSpec, Self, TypeVar

import anyio
import structlog
from sqlalchemy.exc import StatementError

from hydrusd.errors import LedgerDamaged, LedgerError, LedgerFull
from hydrusd.ledger._ledger import Ledger

FIRST_WAIT_SECONDS = 1.0
LONGEST_WAIT_SECONDS = 30.0
"""How soon, and how seldom at most, a full disk is tried again."""

log = structlog.get_logger("hydrusd.ledger")

P = ParamSpec("P")
T = TypeVar("T")


class LedgerWriter:
    """Calls the ledger's methods in a thread, one after the other.

    ``under_way`` says how many calls are on their way there or back. As a context, it waits at
    the end for a call that is still being made, and lets the thread go.
    """

    def __init__(self, ledger: Ledger) -> None:
        self.under_way = 0
        self._ledger = ledger
        self._thread = ThreadPoolExecutor(1, thread_name_prefix="ledger")
        self._waiting = 0
        self._closing = anyio.Event()
        self._damage: LedgerDamaged | None = None
        self._damaged = anyio.Event()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._thread.shutdown()

    async def __call__(
        self, method: Callable[Concatenate[Ledger, P], T], /, *args: P.args, **kwargs: P.kwargs
    ) -> T:
        """Run ``method(ledger, …)`` and give its result; wait where the disk is full.

        Values that the database cannot hold are a LedgerError, like everything it says itself.
        """

        def call() -> T:
            return method(self._ledger, *args, **kwargs)

        try:
            return await self._run(call)
        except LedgerFull as error:
            if self._closing.is_set():
                raise
            if not self._waiting:
                log.warning(f"everything waits: {error}. Nothing is lost; it goes on by itself")
        # Others may read meanwhile, or find room for less: what counts is who waits.
        self._waiting += 1
        try:
            result = await self._when_there_is_room(call)
        finally:
            self._waiting -= 1
        if not self._waiting:
            log.info("there is room for the ledger again; the work goes on")
        return result

    async def _when_there_is_room(self, call: Callable[[], T]) -> T:
        wait = FIRST_WAIT_SECONDS
        while True:
            # Real seconds: no clock of ours is asked how long a person needs to make room.
            with anyio.move_on_after(wait):
                await self._closing.wait()
            try:
                return await self._run(call)
            except LedgerFull:
                if self._closing.is_set():
                    raise
            wait = min(2 * wait, LONGEST_WAIT_SECONDS)

    async def _run(self, call: Callable[[], T]) -> T:
        if self._damage is not None:
            raise self._damage
        try:
            return await self._in_thread(call)
        except LedgerDamaged as error:
            self.damaged(error)
            raise
        except StatementError as error:
            raise LedgerError(f"the ledger cannot hold this: {error.orig}") from error

    async def _in_thread(self, call: Callable[[], T]) -> T:
        """Have the thread make a call; taken back where this is cancelled before it begins."""
        begun = self._thread.submit(copy_context().run, call)
        ended = asyncio.wrap_future(begun)
        self.under_way += 1
        try:
            await asyncio.wait([ended])
        except asyncio.CancelledError:
            if begun.cancel() or anyio.current_effective_deadline() != -math.inf:
                raise
            with anyio.CancelScope(shield=True):
                await asyncio.wait([ended])
        finally:
            self.under_way -= 1
        return ended.result()

    def close(self) -> None:
        """Wait for no room any more: the daemon stops. Call it on the event loop."""
        self._closing.set()

    def damaged(self, error: LedgerDamaged) -> None:
        """Write nothing more, because of this. Call it on the event loop."""
        self._damage = self._damage or error
        self._damaged.set()
        self._closing.set()

    async def watch(self) -> None:
        """Wait until the ledger proves to be damaged, and raise that."""
        await self._damaged.wait()
        assert self._damage is not None
        raise self._damage
