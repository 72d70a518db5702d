"""How far each rule is, told from what is tallied and from what is open; never a wild guess."""

from __future__ import annotations

import re
from datetime import timedelta

import pytest
from ledgering import LANE, NOW, claim, ended, enqueue, later, match, onward, settling
from sqlalchemy import event as sqlalchemy_event

from hydrusd.ledger import (
    LedgerReader,
    Noticing,
    RuleProgress,
    forget_noticing,
    note_noticing,
    progress,
    rate,
)
from hydrusd.model import JobState

WALKS = re.compile(r"SCAN (?!CONSTANT ROW|job USING INDEX ix_job_(?:open|open_rule|dead)\b)")
THIS = NOW.replace(second=0)


@pytest.fixture
def reader(ledger, path):
    opened = LedgerReader.open(path)
    yield opened
    opened.close()


def at_work(ledger):
    """Have the rule ``tag`` begin 60 jobs in each of the last three minutes."""
    ledger.set_condition("client", LANE, "connected", "v682", NOW)
    for ago in (3, 2, 1):
        then = NOW - timedelta(minutes=ago)
        enqueue(ledger, f"{ago}", now=then)
        jobs = claim(ledger, now=then)
        ledger.checkpoint("me", [ended(job) for job in jobs], [], then, began={"tag": 60})


def test_nothing_has_been_noticed(reader):
    assert progress(reader, NOW) == []


def test_each_job_is_counted_where_it_is(ledger, reader):
    enqueue(ledger, *"abcdefg")
    a, b, c, d, e, f = claim(ledger, limit=6)
    updates = [
        ended(a),
        ended(b, JobState.SKIPPED),
        ended(c, JobState.DEAD),
        settling(d),
        onward(e),
        onward(f, step=0, run_at=later(3600)),
    ]
    found = {("tag", "imported"): 3, ("tag", "known"): 2}
    ledger.checkpoint("me", updates, [], NOW, found=found)
    assert progress(reader, NOW) == [
        RuleProgress(
            "tag", queued=3, unbegun=1, later=1, settling=1, imported=3, known=2, done=1,
            skipped=1, dead=1,
        )
    ]  # fmt: skip
    # What is due by then is no longer for later.
    (rule,) = progress(reader, later(3600))
    assert (rule.later, rule.unbegun, rule.left) == (0, 2, 2)
    # How files were found is no state of a job.
    assert {count.state for count in reader.counts()} == set(JobState) - {JobState.RUNNING}


def test_what_a_trigger_sees_belongs_to_each_of_its_rules(ledger, reader):
    enqueue(ledger, "a")
    note_noticing(ledger, "watch_folder /in", ["tag", "move"], Noticing(10, 2, scanning=True))
    note_noticing(ledger, "watch_folder /in", ["tag", "move"], Noticing(12, 3, scanning=False))
    move, tag = progress(reader, NOW)
    assert (move.rule, move.queued, move.left) == ("move", 0, 3)
    assert (tag.rule, tag.queued, tag.left) == ("tag", 1, 4)
    assert tag.noticing == move.noticing == Noticing(12, 3, scanning=False)
    forget_noticing(ledger)
    assert [each.noticing for each in progress(reader, NOW)] == [None]


def test_a_rate_and_the_time_that_is_left(ledger, reader):
    at_work(ledger)
    enqueue(ledger, *map(str, range(100, 110)))
    (rule,) = progress(reader, NOW)
    # The first of the three minutes is not taken: who knows when in it the work began.
    assert rule.per_second == 1
    assert rule.remaining_seconds == 10
    (rule,) = progress(reader, later(30))
    assert rule.per_second == pytest.approx(120 / 150)


def test_no_time_is_told_where_nothing_is_left(ledger, reader):
    at_work(ledger)
    assert [rule.remaining_seconds for rule in progress(reader, NOW)] == [None]


@pytest.mark.parametrize(
    ("kind", "name", "state"), [("client", LANE, "waiting"), ("rule", "tag", "parked")]
)
def test_what_waits_has_no_rate(ledger, reader, kind, name, state):
    at_work(ledger)
    ledger.set_condition(kind, name, state, "it is so", NOW)
    assert [rule.per_second for rule in progress(reader, NOW)] == [None]
    ledger.set_condition("rule", "tag", "working", "", NOW)
    ledger.set_condition("client", LANE, "connected", "", NOW)
    assert [rule.per_second for rule in progress(reader, NOW)] == [1]


@pytest.mark.parametrize(
    ("jobs", "seconds", "expected"),
    [
        ({}, 30, None),
        ({0: 500}, 59, None),  # since when in this minute?
        ({1: 500}, 30, None),
        ({1: 500, 0: 100}, 30, None),  # a whole minute is needed
        ({2: 9, 1: 60, 0: 30}, 30, 1.0),
        ({2: 9, 1: 60}, 0, 1.0),
        ({2: 9, 1: 60}, 30, 60 / 90),  # nothing so far in this one: it slows down
        ({3: 600, 2: 600}, 30, None),  # over
        ({4: 600, 1: 60, 0: 60}, 59, None),  # begun anew
        ({5: 60, 4: 60, 3: 60, 2: 60, 1: 60, 0: 30}, 30, 1.0),
        ({9: 600, 5: 60, 4: 60, 3: 60, 2: 60, 1: 60}, 0, 1.0),
    ],
)
def test_a_rate_takes_a_whole_minute_of_going_on(jobs, seconds, expected):
    by_minute = {THIS - timedelta(minutes=ago): count for ago, count in jobs.items()}
    found = rate(by_minute, THIS + timedelta(seconds=seconds))
    assert found == (None if expected is None else pytest.approx(expected))


def test_nothing_is_counted_by_walking_the_ledger(ledger, reader):
    enqueue(ledger, "a", verdicts=[match()])
    plans = []

    def explain(connection, cursor, statement, parameters, context, executemany):
        plan = connection.connection.cursor().execute(f"EXPLAIN QUERY PLAN {statement}", parameters)
        plans.extend((row[3], statement) for row in plan.fetchall())

    sqlalchemy_event.listen(reader._engine, "before_cursor_execute", explain)
    progress(reader, NOW)
    assert any("ix_job_open" in plan for plan, _ in plans)
    small = ("ended", "begun", "condition", "trigger_memory")  # a few rows for each rule
    walks = [plan for plan in plans if WALKS.search(plan[0])]
    assert [
        plan for plan in walks if not plan[0].startswith(tuple(f"SCAN {s}" for s in small))
    ] == []
