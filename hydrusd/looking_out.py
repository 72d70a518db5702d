"""Looking every few seconds for what nobody tells of, at hardly any cost.

Other processes write into the ledger, people write into the files of rules and plugins. Nothing
that works everywhere tells of it, so it is looked for, for months on end. An idle daemon does
little else: waking an event loop, and from it a thread, takes a hundred times as long as the look
itself. So where the clock is the machine's own, the thread that looks sleeps by itself, and comes
back only when there is something to tell.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from typing import TypeVar

from anyio import CapacityLimiter, to_thread

from hydrusd.clock import Clock, SystemClock

T = TypeVar("T")


async def look_out(
    clock: Clock,
    seconds: Callable[[], float],
    look: Callable[[], T | None],
    *,
    phase: float = 0.0,
) -> T:
    """Have ``look`` called again and again in a thread, until what it gives is true; give that.

    Before each look it waits as long as ``seconds`` says; ``phase`` (in seconds) tells when in
    that time, so that two who look equally often do not do so at once: each would wait for the
    other several times, which takes ten times as long as both looks. A look that does not
    return, at a network folder that is away, keeps nobody from cancelling this.
    """
    if type(clock) is not SystemClock:  # one that a test has in its hands
        while True:
            await clock.sleep(seconds())
            if found := await to_thread.run_sync(look, abandon_on_cancel=True):
                return found
    over = threading.Lock()  # which takes half of what an event takes to wait for
    over.acquire()

    def wait() -> T:
        while not over.acquire(timeout=until_next(time.monotonic(), seconds(), phase)):
            if found := look():
                return found
        raise RuntimeError("nobody waits for this any more")

    try:
        # It is there for as long as this: none of the threads that others wait for.
        return await to_thread.run_sync(wait, limiter=CapacityLimiter(1), abandon_on_cancel=True)
    finally:
        over.release()


def until_next(now: float, period: float, phase: float) -> float:
    """Say how long it is until the next of the moments a period apart of which ``phase`` is one."""
    return period - (now - phase) % period
