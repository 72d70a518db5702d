"""What the ledger does for rules that take turns, and what it costs the others."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest

from hydrusd.ledger import (
    FOR_GOOD,
    ClaimFilter,
    JobUpdate,
    Ledger,
    NewJob,
    PendingEvent,
    StepUpdate,
    busy_rules,
    last_activity,
    queues,
    superseded_among,
)
from hydrusd.model import Event, JobState, OutcomeKind, StepRecord

NOW = datetime(2026, 1, 1, tzinfo=UTC)
LANE = "hydrus"


@pytest.fixture
def ledger(tmp_path):
    ledger = Ledger.open(tmp_path / "ledger.sqlite")
    yield ledger
    ledger.close()


def take_in(ledger, *keys, rule="r", failure="", **modes):
    pending = [
        PendingEvent(
            Event(k, {"n": k}), [NewJob(rule, "1", LANE, needs_client=False, failure=failure)]
        )
        for k in keys
    ]
    return ledger.take_in("t", pending, NOW, **modes)


def claim(ledger, limit=256, now=NOW, **wanted):
    return ledger.claim(ClaimFilter(LANE, **wanted), "me", limit, now)


def end(ledger, jobs, state=JobState.DONE, *, outcome=OutcomeKind.DONE, run_at=NOW, receipt=None):
    updates = [
        JobUpdate(j.id, j.event_id, j.attempt, state, j.step, False, j.attempt, run_at, None, None)
        for j in jobs
    ]
    steps = [StepUpdate(j.id, StepRecord(j.step, "x", outcome, "", {}, receipt, NOW)) for j in jobs]
    ledger.checkpoint("me", updates, steps, NOW)


def keys(jobs):
    return [job.event_key for job in jobs]


def rows(ledger, table="job"):
    with ledger.engine.connect() as connection:
        return connection.exec_driver_sql(f"SELECT * FROM {table}").mappings().all()


def test_a_single_rule_has_one_open_job_whatever_comes(ledger):
    assert take_in(ledger, "a", "b", single=["r"]).jobs == 1
    taken = take_in(ledger, "c", "d", single=["r"])
    assert (taken.jobs, taken.busy) == (0, {"r": 2})
    reasons = {row["revision"]: row["reason"] for row in rows(ledger, "not_matched")}
    assert set(reasons) == {FOR_GOOD}
    end(ledger, claim(ledger))
    assert take_in(ledger, "b", "c", single=["r"]).jobs == 0  # passed over for good
    assert take_in(ledger, "e", single=["r"]).jobs == 1
    assert busy_rules(ledger, ["r", "other"]).keys() == {"r"}


def test_a_dead_letter_keeps_no_single_rule_busy(ledger):
    assert take_in(ledger, "a", failure="what?", single=["r"]).jobs == 1
    assert take_in(ledger, "b", single=["r"]).jobs == 1
    assert take_in(ledger, "c", failure="what?", single=["r"]).jobs == 1  # for a person to see


def test_others_are_not_asked_about_modes(ledger):
    take_in(ledger, "a", rule="other", single=["r"], restart=["r"])
    assert take_in(ledger, "b", rule="other", single=["r"], restart=["r"]).jobs == 1


def test_a_restarted_rule_has_only_its_newest_job_begin(ledger):
    taken = take_in(ledger, "a", "b", restart=["r"])
    assert len(taken.superseded) == 1
    assert keys(claim(ledger)) == ["b"]
    [ended] = rows(ledger, "ended")
    assert (ended["state"], ended["jobs"]) == ("skipped", 1)


def test_what_has_begun_is_marked_and_due_at_once(ledger):
    take_in(ledger, "a", "b", rule="r")
    later = NOW + timedelta(hours=5)
    begun = claim(ledger)
    end(ledger, begun[:1], JobState.READY, outcome=OutcomeKind.LATER, run_at=later)
    taken = take_in(ledger, "c", restart=["r"])
    assert taken.superseded == []
    assert set(superseded_among(ledger, [j.id for j in begun])) == {j.id for j in begun}
    assert keys(claim(ledger)) == ["a", "c"]  # hours before its time


def test_a_dead_letter_that_is_put_back_is_no_longer_superseded(ledger):
    take_in(ledger, "a")
    begun = claim(ledger)
    take_in(ledger, "b", restart=["r"])
    end(ledger, begun, JobState.DEAD, outcome=OutcomeKind.DEAD)
    assert superseded_among(ledger, [begun[0].id])
    assert ledger.retry(NOW) == 1
    assert superseded_among(ledger, [begun[0].id]) == {}


def test_held_rules_go_on_with_what_has_begun(ledger):
    take_in(ledger, "a", "b")
    [first] = claim(ledger, limit=1)
    end(ledger, [first], JobState.READY, outcome=OutcomeKind.LATER)
    take_in(ledger, "x", rule="other")
    held = frozenset({"r"})
    assert ledger.next_due(ClaimFilter(LANE, held=held)) is not None
    assert keys(claim(ledger, held=held)) == ["a"]
    assert keys(claim(ledger, held=held)) == ["x"]
    assert claim(ledger, held=held) == []
    assert ledger.next_due(ClaimFilter(LANE, held=held)) is None


def test_a_turn_is_one_jobs(ledger):
    take_in(ledger, "a", "b")
    queue = queues(ledger, ["r", "none"], [LANE])
    assert list(queue) == ["r"]
    assert (queue["r"].first_has_begun, queue["r"].unbegun) == (False, True)
    assert claim(ledger, turns={"r": None}) == []
    [first] = claim(ledger, turns={"r": queue["r"].first})
    assert first.event_key == "a"
    assert queues(ledger, ["r"], [LANE])["r"].first is None  # one is at work
    end(ledger, [first], JobState.READY, outcome=OutcomeKind.LATER)
    again = queues(ledger, ["r"], [LANE])["r"]
    assert (again.first, again.first_has_begun, again.unbegun) == (first.id, True, True)


def test_no_more_are_claimed_than_may_begin(ledger):
    take_in(ledger, *"abcde")
    assert keys(claim(ledger, at_most={"r": 2})) == ["a", "b"]
    assert keys(claim(ledger)) == ["c", "d", "e"]


def test_ranks_go_before_age(ledger):
    for rule in ("low", "plain", "high", "higher"):
        take_in(ledger, rule, rule=rule)
    ranks = [frozenset({"higher"}), frozenset({"high"})]
    last = [frozenset({"low"})]
    order = [claim(ledger, ranks=ranks, last=last)[0].rule for _ in range(4)]
    assert order == ["higher", "high", "plain", "low"]
    assert claim(ledger, ranks=ranks, last=last) == []


def test_when_a_rule_was_last_active_outlives_everything(ledger):
    assert last_activity(ledger, ["r"]) == {}
    take_in(ledger, "a", "b", failure="")
    assert last_activity(ledger, ["r"]) == {}  # nothing has begun
    begun = claim(ledger, limit=1)
    end(ledger, begun, JobState.READY, outcome=OutcomeKind.LATER)
    assert last_activity(ledger, ["r"]) == {"r": NOW}
    later = NOW + timedelta(hours=2)
    [again] = claim(ledger, limit=1, now=later)
    update = JobUpdate(
        again.id,
        again.event_id,
        again.attempt,
        JobState.DONE,
        0,
        False,
        0,
        later,
        None,
        None,
    )
    ledger.checkpoint("me", [update], [], later)
    assert last_activity(ledger, ["r", "other"]) == {"r": later}
