"""Notices when code of a plugin keeps the event loop from turning, and names it.

Everything hydrusd does goes round one loop, so one ``time.sleep`` in an ``async def`` stops it all.
Nothing on the loop can notice that; a thread beside it can, and sees on the loop's stack whose
code is at work. What has gone on for very long is broken off by raising in it, which reaches
code in Python; a call into a library written in C is left only when that call returns.
"""

from __future__ import annotations

import asyncio
import ctypes
import sys
import threading
import time
from collections.abc import Callable
from functools import partial

import anyio
import structlog

from hydrusd.plugin.accounts import Accounts
from hydrusd.plugin.surroundings import Surroundings

BEAT_SECONDS = 0.5
BLOCKED_SECONDS = 2.0
"""How long the loop may stand still before somebody is named."""
BREAK_OFF_SECONDS = 60.0
"""How long a plugin may block it before it is broken off."""

log = structlog.get_logger("hydrusd.plugins")


class LoopBlocked(BaseException):
    """Raised in code of a plugin that has kept the event loop waiting for far too long.

    No ``Exception``: a loop that blocks would catch that, and go on.
    """


class LoopWatch:
    """Watches the loop on which ``run`` is called, until that is cancelled."""

    def __init__(self, accounts: Accounts) -> None:
        self._accounts = accounts
        self._beat = time.monotonic()
        self._loop_thread = 0
        self._over = threading.Event()

    async def run(self) -> None:
        """Beat; the thread listens."""
        self._loop_thread = threading.get_ident()
        self._beat = time.monotonic()
        thread = threading.Thread(target=self._listen, name="watch over the loop", daemon=True)
        thread.start()
        loop = asyncio.get_running_loop()
        stop = loop.stop
        loop.stop = partial(self._stop, stop)  # type: ignore[method-assign]
        self._accounts.surroundings = Surroundings()
        try:
            while True:
                await anyio.sleep(BEAT_SECONDS)
                self._beat = time.monotonic()
                # Triggers, filters and observers are not looked after one by one.
                self._accounts.look_around(None)
        finally:
            self._over.set()
            self._accounts.look_around(None)
            self._accounts.surroundings = None
            del loop.stop

    def _stop(self, stop: Callable[[], None]) -> None:
        """Stop the loop, unless it is a plugin that wants it: all would end with it."""
        found = self._accounts.owner_on(sys._getframe(1))  # noqa: SLF001 - who calls is the question
        if found is None:
            stop()
            return
        plugin, line = found
        raise RuntimeError(f"plugin {plugin} wants to stop the event loop of hydrusd ({line})")

    def _listen(self) -> None:
        named = ""
        began = looked = time.monotonic()
        while not self._over.wait(BEAT_SECONDS):
            now, late = time.monotonic(), time.monotonic() - looked - BEAT_SECONDS
            looked = now
            if late > BEAT_SECONDS:
                # This thread stood still as well: the process was stopped, or the machine busy.
                self._beat = max(self._beat, now - BLOCKED_SECONDS / 2)
                continue
            still = now - self._beat
            if still < BLOCKED_SECONDS:
                if named:
                    log.warning(
                        f"plugin {named} has let go of the event loop after {now - began:.0f} s",
                        plugin=named,
                    )
                named = ""
                continue
            if not named:
                began = self._beat
                named = self._name(still)
            elif still > BREAK_OFF_SECONDS:
                self._break_off()

    def _name(self, seconds: float) -> str:
        """Say who blocks the loop, if that is a plugin."""
        frame = sys._current_frames().get(self._loop_thread)  # noqa: SLF001 - there is no other way
        found = self._accounts.owner_on(frame)
        if found is None:
            return ""
        plugin, line = found
        said = f"it blocks the event loop, so that everything waits ({line})"
        self._accounts.blocked(plugin)
        self._accounts.failed(plugin, said)
        log.error(
            f"plugin {plugin}: {said}, for {seconds:.0f} s so far; "
            f"in `async def` await what takes time, or write `def`",
            plugin=plugin,
        )
        return plugin

    def _break_off(self) -> None:
        frame = sys._current_frames().get(self._loop_thread)  # noqa: SLF001 - as above
        # No other thread runs Python between looking and raising, but for a few microseconds.
        if self._accounts.owner_on(frame) is not None:
            ctypes.pythonapi.PyThreadState_SetAsyncExc(
                ctypes.c_ulong(self._loop_thread), ctypes.py_object(LoopBlocked)
            )
