"""Asking a folder that may not answer, as that of a server which has gone, while only looking.

A tree of a million files, or one far away, takes minutes to be looked through and must not be
given up, while a dead one never says anything. What tells them apart is not how long it takes
but whether answers still come: each entry, folder and file that was looked at is one.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import TypeVar

import anyio
from anyio import CapacityLimiter, to_thread

from hydrusd.builtin.triggers._looking import Looker, silent

SILENT_SECONDS = 30.0
"""How long a folder may leave one question unanswered before it is given up."""

T = TypeVar("T")


class Asking:
    """Calls in a thread what asks a folder through its looker, for as long as answers come.

    The thread of a question that was given up may never come back: it is left behind.
    """

    def __init__(self, looker: Looker) -> None:
        self._looker = looker
        self._limiter = CapacityLimiter(1)  # its own: others must not miss that thread

    async def __call__(self, work: Callable[[], T]) -> T:
        """Give what ``work`` gives. Raises ``FolderAway`` where the folder has fallen silent."""
        loop, scope = asyncio.get_running_loop(), anyio.CancelScope()
        timers: list[asyncio.TimerHandle] = []

        def listen(before: object) -> None:
            heard = self._looker.answers
            if heard == before:
                scope.cancel()
            else:
                timers[:] = [loop.call_later(SILENT_SECONDS, listen, heard)]

        listen(None)
        try:
            with scope:
                return await to_thread.run_sync(work, limiter=self._limiter, abandon_on_cancel=True)
        finally:
            timers[0].cancel()
        raise silent(self._looker.root)
