"""Runs a module in a process that dies, or has the other one die, at a moment with a name.

``python dying.py hydrusd run …`` is ``python -m hydrusd run …`` but for this: at each moment
below, it looks into ``moment.json`` in its working directory, and at the n-th time that this
is the very moment asked for, it kills whom it is told to, without a word. Nothing in hydrusd
knows of it: the moments are put around its statements, requests and moves from the outside.

What two processes die of together is one SIGKILL after the other, microseconds apart.
"""

from __future__ import annotations

import functools
import inspect
import json
import os
import runpy
import signal
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import httpx

ORDER = Path("moment.json")
NAMES = {"hydrusd": "daemon", "hydrusd.simulator": "client"}
KILL = getattr(signal, "SIGKILL", signal.SIGTERM)  # on Windows, SIGTERM gives no chance either
FORCE_COMMIT = "/manage_database/force_commit"
ADD_FILE = "/add_files/add_file"

DAEMON_MOMENTS = (
    "job stored: before",
    "event stored: within",  # in the transaction, before its jobs
    "job stored: within",  # in the transaction, before it is committed
    "job stored: after",
    "request sent: before",
    "request sent: after",  # the last byte; no answer yet
    "answer received: within",  # its head, not its body
    "answer received: after",
    "outcome stored: before",
    "outcome stored: after",
    "batch half stored: within",  # jobs, not their steps
    "batch half stored: after",  # some of a set, while the others are under way
    "commit asked: before",
    "commit asked: after",
    "commit answered: within",  # to the first of the two requests, which proves nothing
    "commit answered: after",
    "proof stored: before",
    "proof stored: after",
    "source disposed of: before",
    "source disposed of: within",  # in its new place, and in the old one too
    "source disposed of: after",
)
LOSS_MOMENTS = ("loss noted: before", "loss noted: after")
"""These come only when a client has died with something uncommitted before."""
CLIENT_MOMENTS = (
    "file served: before",
    "file served: within",  # imported, not answered
    "file served: after",
    "change served: before",
    "change served: within",
    "change served: after",
    "commit promised: before",
    "commit promised: after",  # answered, not yet written
    "commit written: before",
    "commit written: within",
    "commit written: after",
)
VICTIMS = (("daemon",), ("client",), ("client", "daemon"))

Wrapped = Callable[..., Any]


class Watch:
    """Counts how often the moment asked for has come, and kills."""

    def __init__(self, mine: str) -> None:
        self._mine = mine
        self._number = -1
        self._left = 0

    def passes(self, moment: str) -> None:
        """Say that a moment has come."""
        try:
            order = json.loads(ORDER.read_text(encoding="utf-8"))
        except FileNotFoundError:
            return
        if order["moment"] != moment:
            return
        done = Path(f"moment-{order['number']}")
        if self._number != order["number"]:
            self._number, self._left = order["number"], order["n"]
        self._left -= 1
        if self._left == 0 and not done.exists():
            done.touch()
            self._kill(order["victims"])

    def _kill(self, victims: list[str]) -> None:
        for name in victims:
            if name != self._mine:
                os.kill(int(Path(f"{name}.pid").read_text(encoding="ascii")), KILL)
        if self._mine in victims:
            os.kill(os.getpid(), KILL)
            time.sleep(60)  # nothing more happens in this thread


def put(owner: Any, name: str, value: object) -> None:
    """Put something in the place of what a module or a class has under a name."""
    assert hasattr(owner, name), f"{owner} has no {name} any more"
    setattr(owner, name, value)


def around(watch: Watch, boundary: str, function: Wrapped, *, before: bool = True) -> Wrapped:
    """Give the function with a moment before and one after it."""
    if inspect.iscoroutinefunction(function):

        @functools.wraps(function)
        async def awaited(*args: Any, **kwargs: Any) -> Any:
            if before:
                watch.passes(f"{boundary}: before")
            result = await function(*args, **kwargs)
            watch.passes(f"{boundary}: after")
            return result

        return awaited

    @functools.wraps(function)
    def called(*args: Any, **kwargs: Any) -> Any:
        if before:
            watch.passes(f"{boundary}: before")
        result = function(*args, **kwargs)
        watch.passes(f"{boundary}: after")
        return result

    return called


# --- the daemon --------------------------------------------------------------------------


def prepare_daemon(watch: Watch) -> None:
    """Put the moments around what the daemon does."""
    from hydrusd.builtin.actions import _placing
    from hydrusd.engine import lane
    from hydrusd.ledger import Ledger

    _prepare_transactions(watch)
    _prepare_wire(watch)
    # Or a set of a few files would be over before half of it is stored.
    put(lane, "FLUSH_SECONDS", 0.05)
    # Only so that a death takes no longer than it must.
    put(lane, "PROBE_SECONDS", (0.1,))
    put(lane, "backoff_seconds", lambda *_: 0.1)
    put(Ledger, "take_in", around(watch, "job stored", Ledger.take_in))
    put(Ledger, "settle", around(watch, "proof stored", Ledger.settle))
    put(Ledger, "resettle", around(watch, "loss noted", Ledger.resettle))
    _prepare_checkpoint(watch)
    move = _placing.Move
    steps = move.steps

    def stepped(self: Any) -> Any:
        watch.passes("source disposed of: before")
        outcome = yield from steps(self)
        watch.passes("source disposed of: after")
        return outcome

    put(move, "steps", stepped)
    claim = _placing._claim

    def claimed(origin: Path, target: Path) -> None:
        claim(origin, target)
        watch.passes("source disposed of: within")

    put(_placing, "_claim", claimed)


def _prepare_transactions(watch: Watch) -> None:
    from hydrusd.ledger import _ledger
    from hydrusd.ledger._batches import Batch

    moments = {
        id(_ledger._EVENTS): "event stored: within",
        id(_ledger._NEW_JOBS): "job stored: within",
        id(_ledger._FINISH): "batch half stored: within",
    }
    execute = Batch._execute

    def executed(self: Batch, *args: Any) -> int:
        count = execute(self, *args)
        if id(self) in moments:
            watch.passes(moments[id(self)])
        return count

    put(Batch, "_execute", executed)


def _prepare_checkpoint(watch: Watch) -> None:
    from hydrusd.ledger import Ledger

    under_way: set[int] = set()
    claim, checkpoint = Ledger.claim, around(watch, "outcome stored", Ledger.checkpoint)

    def claimed(*args: Any) -> Any:
        jobs = claim(*args)
        under_way.update(job.id for job in jobs)
        return jobs

    def stored(self: Any, owner: str, updates: Any, *rest: Any, **more: Any) -> None:
        checkpoint(self, owner, updates, *rest, **more)
        under_way.difference_update(item.job_id for item in updates)
        if updates and under_way:
            watch.passes("batch half stored: after")

    put(Ledger, "claim", claimed)
    put(Ledger, "checkpoint", stored)


def _prepare_wire(watch: Watch) -> None:
    from hydrusd.hydrus import _http

    send, build, received = _http.Wire.send, _http.Wire._build, _http._received
    commits = [0]

    async def sent(self: Any, request: Any) -> Any:
        is_commit = request.path == FORCE_COMMIT
        if is_commit:
            watch.passes("commit asked: before")
        elif request.method == "POST":
            watch.passes("request sent: before")
        answer = await send(self, request)
        if is_commit:
            commits[0] += 1
            which = "within" if commits[0] % 2 else "after"
            watch.passes(f"commit answered: {which}")
        elif request.method == "POST":
            watch.passes("answer received: after")
        return answer

    def built(self: Any, request: Any) -> Any:
        made = build(self, request)
        if request.method == "POST":
            which = "commit asked" if request.path == FORCE_COMMIT else "request sent"
            made.stream = _Told(made.stream, lambda: watch.passes(f"{which}: after"))
        return made

    async def had_head(response: Any, sink: Any) -> Any:
        # A POST's head: what was asked for is known, what came of it is not.
        if sink is None and response.status_code == 200:
            watch.passes("answer received: within")
        return await received(response, sink)

    put(_http.Wire, "send", sent)
    put(_http.Wire, "_build", built)
    put(_http, "_received", had_head)


class _Told(httpx.AsyncByteStream):
    """A request's body that tells when all of it was handed over."""

    def __init__(self, stream: Any, tell: Callable[[], None]) -> None:
        self._stream = stream
        self._tell = tell

    async def __aiter__(self) -> Any:
        async for piece in self._stream:
            yield piece
        self._tell()

    async def aclose(self) -> None:
        await self._stream.aclose()


# --- the client --------------------------------------------------------------------------


def prepare_client(watch: Watch) -> None:
    """Put the moments around what the simulated client does."""
    from hydrusd.simulator._application import Application
    from hydrusd.simulator._disk import Disk

    call, answer = Application.__call__, Application._answer

    def which(scope: Any) -> str:
        if scope["path"] == FORCE_COMMIT:
            return "commit promised"
        return "file served" if scope["path"] == ADD_FILE else "change served"

    async def called(self: Any, scope: Any, receive: Any, send: Any) -> None:
        is_change = scope["type"] == "http" and scope["method"] == "POST"
        if is_change:
            watch.passes(f"{which(scope)}: before")
        await call(self, scope, receive, send)
        if is_change:
            watch.passes(f"{which(scope)}: after")

    async def answered(self: Any, scope: Any, receive: Any) -> Any:
        made = await answer(self, scope, receive)
        if scope["method"] == "POST":
            watch.passes(f"{which(scope)}: within")
        return made

    put(Application, "__call__", called)
    put(Application, "_answer", answered)
    write = around(watch, "commit written", Disk.write)

    def written(self: Any, *args: Any) -> None:
        self._db = _Halfway(self._db, lambda: watch.passes("commit written: within"))
        try:
            write(self, *args)
        finally:
            self._db = self._db.real

    put(Disk, "write", written)


class _Halfway:
    """The client's database, which tells when a commit has all but its last row."""

    def __init__(self, real: Any, tell: Callable[[], None]) -> None:
        self.real = real
        self._tell = tell

    def __enter__(self) -> Any:
        return self.real.__enter__()

    def __exit__(self, *raised: object) -> Any:
        return self.real.__exit__(*raised)

    def executemany(self, *args: Any) -> Any:
        return self.real.executemany(*args)

    def execute(self, *args: Any) -> Any:
        self._tell()
        return self.real.execute(*args)


def main() -> None:
    """Run the module named first on the command line, with the moments in place."""
    module = sys.argv[1]
    name = NAMES[module]
    prepare = prepare_daemon if name == "daemon" else prepare_client
    prepare(Watch(name))
    del sys.argv[1]
    runpy.run_module(module, run_name="__main__", alter_sys=True)


if __name__ == "__main__":
    main()
