"""What a trigger is given, and what keeps it running."""

from __future__ import annotations

import itertools
import sys
from contextlib import asynccontextmanager
from datetime import UTC, datetime

import anyio
import pytest
from bench import StagedClock
from ruling import EXPRESSIONS, rule_set

from hydrusd.engine import Intake, MadeFiles, OffLimits, Signals, Source
from hydrusd.engine.compiling import compile_rule
from hydrusd.ledger import (
    Ledger,
    LedgerReader,
    LedgerWriter,
    Noticing,
    note_noticing,
    progress,
)
from hydrusd.model import Event
from hydrusd.plugin import Trigger

pytestmark = pytest.mark.anyio

NOW = datetime(2026, 1, 1, tzinfo=UTC)

RULES = """
  - name: small
    on: {watch_folder: {path: inbox}}
    if: file.size < 100
    do: [add_file]
  - name: all
    on: {watch_folder: {path: inbox}}
    do: [add_file]
"""


class Told(Trigger):
    """Does what the test says."""

    trigger = "told"

    async def run(self, context):
        await TASK[0](context)


TASK = [None]


class Place:
    def __init__(self, folder):
        rules = [compile_rule(spec, EXPRESSIONS, folder) for spec in rule_set(RULES, folder).rules]
        self.clock = StagedClock()
        self.path = folder / "ledger.sqlite"
        self.ledger = Ledger.open(self.path)
        self.woken = 0
        writer = LedgerWriter(self.ledger)
        self.signals = Signals(writer)
        self.intake = Intake(
            Source(Told(), rules),
            writer,
            self.clock,
            self.wake,
            None,
            self.signals,
            OffLimits(folder / "state"),
            MadeFiles(),
        )

    def wake(self):
        self.woken += 1

    @asynccontextmanager
    async def running(self, task):
        TASK[0] = task
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(self.intake.run)
            yield
            tasks.cancel_scope.cancel()

    async def until(self, condition):
        with anyio.fail_after(10):
            while not condition():  # noqa: ASYNC110 - any condition, known to no event
                await anyio.sleep(0.002)

    def read(self, what):
        reader = LedgerReader.open(self.path)
        try:
            return what(reader)
        finally:
            reader.close()

    @property
    def condition(self):
        found = self.read(lambda reader: reader.conditions())
        return (found[0].state, found[0].reason) if found else None

    @property
    def jobs(self):
        return [job.rule for job in self.read(lambda reader: reader.jobs(100))]


@pytest.fixture
def place(tmp_path):
    place = Place(tmp_path)
    yield place
    place.ledger.close()


def event(key, size):
    return Event(key, {"file": {"size": size}})


async def test_an_event_is_stored_when_emit_returns_and_twice_is_once(place):
    await place.intake.emit([event("a", 10), event("b", 1000), event("a", 10)])
    assert sorted(place.jobs) == ["all", "all", "small"]
    assert place.woken == 1
    await place.intake.emit([event("a", 10)])
    assert len(place.jobs) == 3
    assert place.woken == 1
    assert await place.intake.unseen(["a", "b", "c"]) == {"c"}


@pytest.mark.parametrize(
    ("failure", "told"),
    [
        (RuntimeError("oh no"), "RuntimeError: oh no"),
        (OSError(5, "Input/output error"), "Input/output error"),
        (SystemExit(3), "it called sys.exit(3)"),
        (ExceptionGroup("several", [ValueError("one")]), "several"),
        (None, "ended by itself"),
    ],
    ids=repr,
)
async def test_a_trigger_that_ends_is_named_and_started_again_ever_later(place, failure, told):
    began = []

    async def task(context):
        began.append(context.clock.monotonic())
        if failure is not None:
            raise failure

    async with place.running(task):
        for count in range(1, 9):
            await place.until(lambda count=count: len(began) == count and place.clock._sleepers)
            await place.until(lambda: place.condition is not None)
            state, reason = place.condition
            assert state == "waiting"
            assert told in reason
            place.clock.move(place.clock.soonest())
    waits = [after - before for before, after in itertools.pairwise(began[:8])]
    assert waits == [5, 10, 20, 40, 80, 160, 300]


async def test_what_a_trigger_waits_for_is_shown_at_once_and_taken_back(place):
    go = anyio.Event()

    async def task(context):
        context.waiting("the folder is away")
        await go.wait()
        context.working()
        await anyio.sleep_forever()

    async with place.running(task):
        await place.until(lambda: place.condition == ("waiting", "the folder is away"))
        go.set()
        await place.until(lambda: place.condition == ("working", ""))


async def test_an_event_that_is_no_plain_data_fails_its_trigger_and_nothing_else(place):
    async def task(context):
        await context.emit([Event("a", {"file": {"size": 5, "path": sys}})])

    async with place.running(task):
        await place.until(lambda: place.condition is not None)
        assert "tried again" in place.condition[1]
    assert place.jobs == []


async def test_what_is_counted_is_stored_now_and_then_while_it_changes(place, monkeypatch):
    stored = []

    def noting(ledger, *what):
        stored.append(what[-1].found)
        note_noticing(ledger, *what)

    monkeypatch.setattr("hydrusd.engine.intake.note_noticing", noting)
    passed = []

    async def count(context):
        for found in range(1, 1001):
            context.counted(found, 3, scanning=True)
        context.counted(1000, 3)
        passed.append("the first scan")
        await context.clock.sleep(100)
        context.counted(0, 3, scanning=True)
        context.counted(1000, 3)
        passed.append("another one that found the same")
        await context.clock.sleep(100)
        context.counted(1000, 0)
        await anyio.sleep_forever()

    async with place.running(count):
        await place.until(lambda: len(place.clock._sleepers) == 2)
        place.clock.move(2)
        await place.until(lambda: stored == [1000])
        place.clock.move(100)
        await place.until(lambda: len(passed) == 2)
        place.clock.move(102)
        await place.until(lambda: len(place.clock._sleepers) == 1)
        place.clock.move(200)
        await place.until(lambda: len(place.clock._sleepers) == 1 and place.clock.soonest() == 202)
        place.clock.move(202)
        await place.until(lambda: len(stored) == 2)
    seen = {rule.rule: rule.noticing for rule in place.read(lambda r: progress(r, NOW))}
    assert seen == dict.fromkeys(["all", "small"], Noticing(1000, 0, scanning=False))
