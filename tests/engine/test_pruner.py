"""The daemon prunes by itself, in pieces, and leaves the ledger alone between them."""

from __future__ import annotations

import sqlite3
from contextlib import closing
from datetime import UTC, datetime, timedelta

import anyio
import pytest
from anyio.lowlevel import checkpoint

from hydrusd.engine import Pruner
from hydrusd.engine.pruning import EVERY_SECONDS, FIRST_AFTER_SECONDS, PAUSE_SECONDS
from hydrusd.ledger import (
    ClaimFilter,
    JobUpdate,
    Ledger,
    LedgerWriter,
    Listener,
    NewJob,
    PendingEvent,
)
from hydrusd.ledger._pruning import BATCH
from hydrusd.model import Event, JobState
from hydrusd.rules import HistorySpec

pytestmark = pytest.mark.anyio
NOW = datetime(2026, 1, 1, tzinfo=UTC)
DAY = 86_400.0


class Clock:
    """Goes on when somebody sleeps. ``stop_after`` so many sleeps nobody wakes any more."""

    def __init__(self, stop_after=10_000):
        self.elapsed = 0.0
        self.slept = []
        self.stop_after = stop_after
        self.stopped = anyio.Event()

    def now(self):
        return NOW + timedelta(seconds=self.elapsed)

    def monotonic(self):
        return self.elapsed

    async def sleep(self, seconds):
        if len(self.slept) == self.stop_after:
            self.stopped.set()
            await anyio.sleep_forever()
        self.slept.append(seconds)
        self.elapsed += seconds
        await checkpoint()


@pytest.fixture
def ledger(tmp_path):
    opened = Ledger.open(tmp_path / "ledger.sqlite")
    yield opened
    opened.close()


def done(ledger, start, count, at):
    events = [Event(f"{start + n}", {"n": n}) for n in range(count)]
    new = NewJob("r", "1", "hydrus", needs_client=False)
    ledger.take_in("t", [PendingEvent(event, [new]) for event in events], at)
    while jobs := ledger.claim(ClaimFilter("hydrus"), "me", 256, at):
        updates = [
            JobUpdate(j.id, j.event_id, 1, JobState.DONE, 1, False, 0, at, None, None) for j in jobs
        ]
        ledger.checkpoint("me", updates, [], at)


def whole(tmp_path):
    with closing(sqlite3.connect(tmp_path / "ledger.sqlite")) as connection:
        query = "SELECT count(*) FROM event WHERE pruned_at IS NULL"
        return connection.execute(query).fetchone()[0]


async def test_it_goes_in_pieces_with_pauses(ledger, tmp_path):
    done(ledger, 0, 2 * BATCH + 10, NOW - timedelta(days=100))
    done(ledger, 10_000, 5, NOW - timedelta(days=1))
    ledger.post("x", {}, NOW - timedelta(days=200))
    clock = Clock()
    pruner = Pruner(LedgerWriter(ledger), clock, HistorySpec(90 * DAY, None), [])
    gone = await pruner.prune()
    assert (gone.events, gone.jobs, gone.runs, gone.signals) == (2 * BATCH + 10,) * 2 + (1, 1)
    assert whole(tmp_path) == 5
    assert len(clock.slept) >= 5
    assert min(clock.slept) >= PAUSE_SECONDS


async def test_it_does_so_every_day(ledger, tmp_path):
    done(ledger, 0, 3, NOW - timedelta(days=90))
    done(ledger, 10, 1, NOW)
    clock = Clock(stop_after=8)
    history = HistorySpec(None, 90 * DAY + 3600)
    with anyio.move_on_after(10):
        async with anyio.create_task_group() as tasks:
            pruner = Pruner(LedgerWriter(ledger), clock, history, [])
            tasks.start_soon(pruner.run)
            await clock.stopped.wait()
            tasks.cancel_scope.cancel()
    assert clock.slept[0] == FIRST_AFTER_SECONDS
    assert EVERY_SECONDS in clock.slept
    assert whole(tmp_path) == 1  # nothing came of the others, as far as is known: they are dull


async def test_nothing_goes_that_is_to_be_kept_for_ever_or_still_to_be_read(ledger, tmp_path):
    done(ledger, 0, 3, NOW - timedelta(days=5000))
    ledger.post("x", {}, NOW - timedelta(days=5000))
    writer = LedgerWriter(ledger)
    kept = await Pruner(writer, Clock(), HistorySpec(None, None), []).prune()
    assert (kept.events, kept.runs, kept.signals) == (0, 0, 0)
    listener = Listener("manual", "me", frozenset({"x"}))
    gone = await Pruner(writer, Clock(), HistorySpec(DAY, DAY), [listener]).prune()
    assert (gone.events, gone.signals) == (2, 0)
    assert whole(tmp_path) == 1
