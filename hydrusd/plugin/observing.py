"""Tells plugins what has happened, each in a thread of its own.

Whoever observes may take as long as it likes, fail, or never come back: nothing waits for it. What
it was not told in time is counted and said once; the ledger, which forgets nothing, is where to
look for what must not be missed.
"""

from __future__ import annotations

import queue
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field

import structlog

from hydrusd.plugin.accounts import Accounts

MOST_WAITING = 10_000
"""How many notices may wait for one plugin."""
GOODBYE_SECONDS = 2.0
"""How long all plugins together have to take note of the end."""

log = structlog.get_logger("hydrusd.plugins")


@dataclass(frozen=True, slots=True)
class Observer:
    """One hook of one plugin that is told of things: the arguments that it takes, and how
    to say in one line what it raised.
    """

    plugin: str
    function: Callable[..., object]
    wants: frozenset[str]
    reason: Callable[[BaseException], str]

    def told(self, named: Mapping[str, object]) -> str:
        """Tell it; give what went wrong, or nothing."""
        try:
            self.function(**{name: named[name] for name in self.wants})
        except BaseException as error:  # noqa: BLE001 - the plugin boundary; the thread is its own
            return self.reason(error)
        return ""


@dataclass(eq=False, slots=True)
class _Listening:
    """The thread of one plugin, and what it has still to be told."""

    notices: queue.Queue[tuple[Observer, Mapping[str, object]] | None]
    thread: threading.Thread
    missed: int = field(default=0)


class Observers:
    """All plugins that observe. ``tell`` may be called from any one thread, and never waits."""

    def __init__(self, hooks: Mapping[str, Sequence[Observer]], accounts: Accounts) -> None:
        """Make them ready; ``hooks`` are the observers by the names of their hooks."""
        self._hooks = hooks
        self._accounts = accounts
        self._listening: dict[str, _Listening] = {}

    def follow(self, hooks: Mapping[str, Sequence[Observer]]) -> None:
        """Tell these from now on; plugins that have changed, in the threads that they have."""
        self._hooks = hooks

    def want(self, hook: str) -> bool:
        """Say whether anybody wants to know of this."""
        return bool(self._hooks.get(hook))

    def tell(self, hook: str, **named: object) -> None:
        """Have all who want to know told, each in its turn."""
        for observer in self._hooks.get(hook, ()):
            listening = self._listening.get(observer.plugin) or self._start(observer.plugin)
            try:
                listening.notices.put_nowait((observer, named))
            except queue.Full:
                self._miss(observer.plugin, listening)

    def _start(self, plugin: str) -> _Listening:
        notices: queue.Queue[tuple[Observer, Mapping[str, object]] | None]
        notices = queue.Queue(MOST_WAITING)
        # A daemon thread: one that hangs must not keep the process.
        thread = threading.Thread(
            target=self._work, args=(plugin, notices), name=f"plugin {plugin}", daemon=True
        )
        self._listening[plugin] = listening = _Listening(notices, thread)
        thread.start()
        return listening

    def _work(
        self, plugin: str, notices: queue.Queue[tuple[Observer, Mapping[str, object]] | None]
    ) -> None:
        said = ""
        while (notice := notices.get()) is not None:
            observer, named = notice
            began = time.perf_counter()
            failure = observer.told(named)
            self._accounts.called(plugin, 1, time.perf_counter() - began)
            if failure:
                self._accounts.failed(plugin, failure)
                # Over and over the same would bury everything else.
                tell = log.debug if failure == said else log.error
                tell(f"an observer failed: plugin {plugin}: {failure}", plugin=plugin)
                said = failure

    def _miss(self, plugin: str, listening: _Listening) -> None:
        if not listening.missed:
            said = f"it is behind by {MOST_WAITING:,} notices, and is not told of what is new"
            self._accounts.failed(plugin, said)
            log.error(f"an observer is too slow: plugin {plugin}: {said}", plugin=plugin)
        listening.missed += 1

    def close(self, seconds: float = GOODBYE_SECONDS) -> None:
        """Let them take note of what they were told; leave behind those that do not come to it."""
        for listening in self._listening.values():
            with suppress(queue.Full):
                listening.notices.put_nowait(None)
        until = time.monotonic() + seconds
        for plugin, listening in self._listening.items():
            listening.thread.join(max(until - time.monotonic(), 0.0))
            if listening.thread.is_alive():
                log.warning(f"plugin {plugin} does not come to an end; left behind", plugin=plugin)
        self._listening.clear()
