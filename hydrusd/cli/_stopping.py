"""Signals, as wishes: Ctrl-C and its like to stop, SIGHUP to read the rules again."""

from __future__ import annotations

import asyncio
import os
import signal
import sys
import threading
import time
from collections.abc import Callable, Collection, Iterator
from contextlib import contextmanager
from types import FrameType

import structlog

STOPPING_SECONDS = 30.0
"""How long stopping may take; then the process ends as it is, which loses nothing."""
PATIENCE_SECONDS = 1.0
"""A second signal within this time is the first one told twice: a terminal tells a whole
process group, and programs that start others (timeout, uv, npm, a service manager) pass
on what they were told as well."""

log = structlog.get_logger("hydrusd.daemon")

_NAMES = ("SIGINT", "SIGTERM", "SIGBREAK")


@contextmanager
def stopping_on_signals(stop: Callable[[], None]) -> Iterator[None]:
    """Call ``stop`` on the event loop at SIGINT, SIGTERM or (Windows) SIGBREAK.

    What is not over ``STOPPING_SECONDS`` later ends then: a plugin may hang or block the loop.
    Another one later than ``PATIENCE_SECONDS`` ends the process at once. Plain ``signal``
    handlers, because event loops offer none on Windows.
    """
    loop = asyncio.get_running_loop()
    timers: list[threading.Timer] = []
    asked_at: float | None = None

    def handle(number: int, frame: FrameType | None) -> None:
        del frame
        nonlocal asked_at
        if asked_at is None:
            asked_at = time.monotonic()
            loop.call_soon_threadsafe(stop)
            last = threading.Timer(STOPPING_SECONDS, _end)
            last.daemon = True
            last.start()
            timers.append(last)
        elif time.monotonic() - asked_at > PATIENCE_SECONDS:
            signal.signal(number, signal.SIG_DFL)
            signal.raise_signal(number)

    numbers = [getattr(signal, name) for name in _NAMES if hasattr(signal, name)]
    former = {number: signal.signal(number, handle) for number in numbers}
    try:
        yield
    finally:
        for number, handler in former.items():
            signal.signal(number, handler)
        for timer in timers:
            timer.cancel()


@contextmanager
def reloading_on_hangup(reload: Callable[[], None], stop: Callable[[], None]) -> Iterator[None]:
    """Call ``reload`` on the event loop at SIGHUP; Windows has none.

    Where standard error was a terminal and no longer is, the user has closed it: that is a wish
    to stop. Whoever had the signal ignored, as ``nohup`` does, has said what it is to mean.
    """
    if sys.platform == "win32" or signal.getsignal(signal.SIGHUP) is signal.SIG_IGN:
        yield
        return
    loop = asyncio.get_running_loop()
    attached = _is_terminal()

    def handle(number: int, frame: FrameType | None) -> None:
        del number, frame
        loop.call_soon_threadsafe(stop if attached and not _is_terminal() else reload)

    former = signal.signal(signal.SIGHUP, handle)
    try:
        yield
    finally:
        signal.signal(signal.SIGHUP, former)


def _is_terminal() -> bool:
    """Say whether standard error is a terminal: one that was closed is none any more."""
    try:
        return os.isatty(sys.stderr.fileno())
    except (OSError, ValueError, AttributeError):
        return False


def _end() -> None:
    """End the process. The ledger is as it would be after a power cut: whole."""
    log.warning(f"stopping has taken {STOPPING_SECONDS:g} s; ending now, the ledger is whole")
    sys.stderr.flush()
    os._exit(0)


def leave_threads_behind(
    code: int = 0, *, besides: Collection[threading.Thread] = (), seconds: float = 1.0
) -> None:
    """End the process if there are threads that do not end: in a plugin, or before a dead mount.

    ``code`` is what it ends with then. Threads ``besides`` are not waited for.
    """
    until = time.monotonic() + seconds
    for thread in threading.enumerate():
        if thread is threading.main_thread() or thread.daemon or thread in besides:
            continue
        thread.join(max(until - time.monotonic(), 0.0))
        if thread.is_alive():
            log.warning(
                "a thread does not come to an end, in a plugin or before a disk that does not "
                "answer; it is left behind"
            )
            sys.stdout.flush()
            sys.stderr.flush()
            os._exit(code)
