from __future__ import annotations

import sqlite3
from contextlib import closing
from datetime import datetime

import pytest
from ledgering import LANE, NOW, claim, ended, enqueue, later, match, noticed, onward, record, rows

from hydrusd.errors import LedgerError
from hydrusd.ledger import Intake, Ledger, LedgerReader, LedgerWriter, NewJob, NotMatched
from hydrusd.model import JobState, OutcomeKind


def passed(rule="tag", revision="r1", reason="too small"):
    return NotMatched(rule, revision, reason)


def test_what_is_noticed_becomes_a_job_for_each_match(ledger, path):
    taken = enqueue(ledger, "a", "b", verdicts=[match("tag"), match("move"), passed("third")])
    assert taken == Intake(events=2, jobs=4)
    assert rows(path, "SELECT rule, count(*) FROM job GROUP BY rule") == [("move", 2), ("tag", 2)]
    assert rows(path, "SELECT rule, reason FROM not_matched") == [("third", "too small")] * 2
    assert rows(path, "SELECT rule, trigger FROM run ORDER BY rule") == [
        ("move", "folder"),
        ("tag", "folder"),
    ]


def test_the_same_again_is_a_no_op(ledger, path):
    enqueue(ledger, "a", "b")
    before = rows(path, "SELECT * FROM job"), rows(path, "SELECT * FROM event")
    assert enqueue(ledger, "a", "b", now=later(60)) == Intake(0, 0)
    assert (rows(path, "SELECT * FROM job"), rows(path, "SELECT * FROM event")) == before


def test_the_same_again_is_a_no_op_when_the_job_has_ended(ledger, path):
    enqueue(ledger, "a")
    [job] = claim(ledger)
    ledger.checkpoint("me", [ended(job)], [], NOW)
    assert enqueue(ledger, "a") == Intake(0, 0)
    assert rows(path, "SELECT state FROM job") == [("done",)]


def test_one_call_may_name_a_key_twice(ledger):
    assert enqueue(ledger, "a", "a", "b") == Intake(2, 2)


def test_one_call_may_name_a_key_twice_far_apart(ledger):
    """More events than are handled at once, with repeats in every part of them."""
    keys = [f"k{n}" for n in range(700)]
    assert enqueue(ledger, *keys, *keys, *keys) == Intake(700, 700)


def test_triggers_do_not_share_keys(ledger):
    enqueue(ledger, "a")
    assert ledger.take_in("clock", [noticed("a")], NOW) == Intake(1, 1)


def test_a_second_rule_gets_its_job_of_a_known_event(ledger, path):
    enqueue(ledger, "a", verdicts=[match("tag")])
    assert enqueue(ledger, "a", verdicts=[match("tag"), match("new")]) == Intake(0, 1)
    assert rows(path, "SELECT rule FROM job ORDER BY rule") == [("new",), ("tag",)]


def test_a_condition_that_cannot_be_judged_is_a_dead_letter(ledger, path):
    enqueue(
        ledger, "a", verdicts=[NewJob("tag", "r1", LANE, True, failure="file.sise is undefined")]
    )
    assert claim(ledger) == []
    assert rows(path, "SELECT state, detail FROM job WHERE finished_at IS NOT NULL") == [
        ("dead", "file.sise is undefined")
    ]


def test_a_rewritten_rule_that_matches_takes_the_place_of_the_reason(ledger, path):
    enqueue(ledger, "a", verdicts=[passed(revision="r1", reason="too small")])
    enqueue(ledger, "a", verdicts=[passed(revision="r2", reason="too large")])
    assert rows(path, "SELECT revision, reason FROM not_matched") == [("r2", "too large")]
    assert enqueue(ledger, "a", verdicts=[match(revision="r3")]) == Intake(0, 1)
    assert rows(path, "SELECT * FROM not_matched") == []


def test_a_rule_that_has_its_job_never_passes_the_event_over(ledger, path):
    enqueue(ledger, "a", verdicts=[match(revision="r1")])
    assert enqueue(ledger, "a", verdicts=[passed(revision="r2")]) == Intake(0, 0)
    assert rows(path, "SELECT * FROM not_matched") == []


def test_unseen_asks_for_each_rule_and_revision(ledger):
    assert ledger.unseen("folder", ["a", "b"], {"tag": "r1"}) == {"a", "b"}
    enqueue(ledger, "a", verdicts=[match("tag"), passed("move")])
    now = {"tag": "r1", "move": "r1"}
    assert ledger.unseen("folder", ["a", "b"], now) == {"b"}
    assert ledger.unseen("clock", ["a"], now) == {"a"}
    assert ledger.unseen("folder", ["a"], now | {"new": "r1"}) == {"a"}
    assert ledger.unseen("folder", ["a"], now | {"move": "r2"}) == {"a"}
    # A rule that made its job has had the event for good.
    assert ledger.unseen("folder", ["a"], now | {"tag": "r2"}) == set()


def test_unseen_is_not_confused_by_rules_that_are_no_longer_there(ledger):
    enqueue(ledger, "a", verdicts=[match("old"), passed("older")])
    assert ledger.unseen("folder", ["a"], {"tag": "r1"}) == {"a"}


def test_unseen_takes_more_keys_than_one_statement_does(ledger):
    keys = [f"k{n}" for n in range(1200)]
    enqueue(ledger, *keys[:1100])
    assert ledger.unseen("folder", keys, {"tag": "r1"}) == set(keys[1100:])
    assert ledger.unseen("folder", [], {"tag": "r1"}) == set()


def test_a_freed_event_can_be_noticed_again(ledger, path):
    enqueue(ledger, "a", "b")
    first, second = claim(ledger)
    ledger.checkpoint("me", [ended(first, frees_event=True), ended(second)], [], NOW)
    assert ledger.unseen("folder", ["a", "b"], {"tag": "r1"}) == {"a"}
    assert enqueue(ledger, "a", "b") == Intake(1, 1)
    [again] = claim(ledger)
    assert again.event_key == "a"
    assert again.event_id != first.event_id
    ledger.checkpoint("me", [ended(again, frees_event=True)], [], NOW)
    assert enqueue(ledger, "a") == Intake(1, 1)
    assert rows(path, "SELECT count(*) FROM event WHERE key = 'a'") == [(3,)]


def test_a_set_of_thousands_of_events_can_be_freed_at_once(ledger):
    keys = [f"k{n}" for n in range(1100)]
    enqueue(ledger, *keys)
    jobs = claim(ledger, limit=1100)
    ledger.checkpoint("me", [ended(job, frees_event=True) for job in jobs], [], NOW)
    assert ledger.unseen("folder", keys, {"tag": "r1"}) == set(keys)


ODD = ["lone \udcff surrogate", "nul \0 inside", "emoji \U0001f9a9", "'; DROP TABLE job; --", ""]


@pytest.mark.parametrize("odd", ODD)
def test_odd_names_survive_in_data_and_values(ledger, path, odd):
    ledger.take_in("folder", [noticed("k", data={"name": odd, odd: [odd]})], NOW)
    [job] = claim(ledger)
    assert job.data == {"name": odd, odd: [odd]}
    ledger.checkpoint("me", [ended(job, detail=odd)], [], NOW)
    readable = odd.encode("utf-8", "backslashreplace").decode()
    assert ledger.finished([job.id])[0].detail == readable
    reader = LedgerReader.open(path)
    assert reader.jobs(1)[0].data["name"] == odd
    reader.close()


@pytest.mark.parametrize("odd", ODD)
def test_odd_names_survive_in_reasons_and_conditions(ledger, path, odd):
    readable = odd.encode("utf-8", "backslashreplace").decode()
    enqueue(ledger, "a", verdicts=[passed(reason=odd)])
    ledger.set_condition("trigger", odd, "waiting", odd, NOW)
    assert rows(path, "SELECT reason FROM not_matched") == [(readable,)]
    ledger.set_condition("trigger", odd, "working", "", NOW)
    reader = LedgerReader.open(path)
    assert [(c.name, c.state) for c in reader.conditions()] == [(readable, "working")]
    reader.close()


def test_a_time_without_a_zone_is_refused_and_nothing_is_stored(ledger, path):
    with pytest.raises(LedgerError, match="has no time zone"):
        enqueue(ledger, "a", now=datetime(2026, 1, 1))  # noqa: DTZ001 - that is the point
    assert rows(path, "SELECT * FROM event") == []


def test_times_sort_as_text_whatever_their_zone(ledger, path):
    early = later(-7200).astimezone(datetime.fromisoformat("2026-01-01T00:00:00+05:00").tzinfo)
    enqueue(ledger, "a", now=early)
    assert rows(path, "SELECT noticed_at FROM event") == [("2026-01-01T10:00:00.000000Z",)]


@pytest.mark.anyio
async def test_the_writer_gives_results_and_turns_what_sql_says_into_ledger_errors(ledger, path):
    writer = LedgerWriter(ledger)
    pending = [noticed("a")]
    assert await writer(Ledger.take_in, "folder", pending, NOW) == Intake(1, 1)
    with pytest.raises(LedgerError, match="not JSON serializable"):
        await writer(Ledger.take_in, "folder", [noticed("b", data={"x": object()})], NOW)
    assert await writer(Ledger.unseen, "folder", ["a", "b"], {"tag": "r1"}) == {"b"}
    with closing(sqlite3.connect(path)) as another:
        another.execute("DROP TABLE condition")
    with pytest.raises(LedgerError, match="cannot be used: no such table"):
        await writer(Ledger.clear_conditions)


def test_definitions_are_kept_by_revision(ledger):
    ledger.remember_rules([("tag", "r1", "one"), ("tag", "r2", "two")], NOW)
    ledger.remember_rules([("tag", "r1", "another"), ("move", "r1", "three")], later(5))
    ledger.remember_rules([], NOW)
    assert ledger.definition("tag", "r1") == "one"
    assert ledger.definition("tag", "r2") == "two"
    assert ledger.definition("move", "r1") == "three"
    assert ledger.definition("move", "r2") is None


def test_conditions_say_since_when(ledger, path):
    reader = LedgerReader.open(path)
    ledger.set_condition("client", "hydrus", "waiting", "refused", NOW)
    ledger.set_condition("client", "hydrus", "waiting", "refused", later(60))
    assert [c.since for c in reader.conditions()] == [NOW]
    ledger.set_condition("client", "hydrus", "connected", "", later(90))
    ledger.set_condition("rule", "hydrus", "parked", "no permission", later(91))
    assert [(c.kind, c.state, c.since) for c in reader.conditions()] == [
        ("client", "connected", later(90)),
        ("rule", "parked", later(91)),
    ]
    ledger.clear_conditions()
    assert reader.conditions() == []
    reader.close()


def test_unbegun_gives_what_an_older_form_of_a_rule_has_waiting(ledger):
    enqueue(ledger, "begun")
    [begun] = claim(ledger)
    ledger.checkpoint("me", [onward(begun)], [], NOW)
    enqueue(ledger, "other", verdicts=[match("move")])
    enqueue(ledger, "old 1", "old 2", "old 3")
    enqueue(ledger, "new", verdicts=[match(revision="r2")])
    waiting = ledger.unbegun({"tag": "r2"}, 10)
    assert [job.event_key for job in waiting] == ["old 1", "old 2", "old 3"]
    assert [job.event_key for job in ledger.unbegun({"tag": "r2"}, 2)] == ["old 1", "old 2"]
    both = ledger.unbegun({"move": "r2", "tag": "r2"}, 3)
    assert [job.event_key for job in both] == ["other", "old 1", "old 2"]
    assert ledger.unbegun({"tag": "r1", "move": "r1"}, 10) != []
    assert ledger.unbegun({}, 10) == []


def test_adopted_jobs_go_on_under_the_new_form_or_are_dropped(ledger, path):
    enqueue(ledger, "stays", "goes", "fails")
    stays, goes, fails = ledger.unbegun({"tag": "r2"}, 10)
    ledger.adopt(
        [
            (stays, match(revision="r2", needs_client=False)),
            (goes, passed(revision="r2", reason="too small")),
            (fails, NewJob("tag", "r2", LANE, True, failure="cannot be judged")),
        ],
        later(5),
    )
    assert ledger.unbegun({"tag": "r2"}, 10) == []
    assert rows(path, "SELECT id, state, revision, needs_client FROM job") == [
        (stays.id, "ready", "r2", 0),
        (fails.id, "dead", "r2", 1),
    ]
    assert rows(path, "SELECT event_id, reason FROM not_matched") == [(goes.event_id, "too small")]
    assert ledger.unseen("folder", ["stays", "goes", "fails"], {"tag": "r2"}) == set()
    assert [job.id for job in claim(ledger, without_client=True)] == [stays.id]


def test_adopting_leaves_alone_what_has_begun_meanwhile(ledger, path):
    enqueue(ledger, "a", "b")
    a, b = ledger.unbegun({"tag": "r2"}, 10)
    claim(ledger)
    ledger.adopt([(a, passed(revision="r2")), (b, match(revision="r2"))], NOW)
    assert rows(path, "SELECT state, revision FROM job") == [("running", "r1")] * 2


def test_retried_jobs_are_adopted_whatever_their_rule_was(ledger):
    enqueue(ledger, "a")
    [job] = claim(ledger)
    ledger.checkpoint("me", [ended(job, JobState.DEAD)], [], NOW)
    ledger.retry(NOW)
    ledger.take_up("tag", "r2")
    [again] = ledger.unbegun({"tag": "r1"}, 10)
    assert (again.id, again.revision, again.step) == (job.id, "", 0)


def failed_at(ledger, step, **changes):
    """Make a job that gave up at a step, and put it back to work."""
    enqueue(ledger, "a")
    [job] = claim(ledger)
    ledger.checkpoint("me", [ended(job, JobState.DEAD, step=step, **changes)], [], NOW)
    ledger.retry(NOW)
    return job


def test_a_retried_job_goes_on_where_it_failed_if_its_rule_is_the_same(ledger):
    failed_at(ledger, 2)
    ledger.take_up("tag", "r1")
    [again] = claim(ledger)
    assert (again.revision, again.step, again.attempt) == ("r1", 2, 1)


@pytest.mark.parametrize("change", [{"boot": "boot 0"}, {"step": 0}])
def test_a_retried_job_begins_again_if_something_is_not_proved_or_nothing_was_done(ledger, change):
    failed_at(ledger, **{"step": 2, **change})
    ledger.take_up("tag", "r1")
    [again] = ledger.unbegun({"tag": "r1"}, 10)
    assert (again.revision, again.step) == ("", 0)


@pytest.mark.parametrize(
    ("done", "stood_at", "goes_on_at"),
    [
        ({0: OutcomeKind.DONE, 1: OutcomeKind.DONE}, 3, 2),
        ({0: OutcomeKind.DONE, 1: OutcomeKind.DONE}, 2, 2),
        # It never came so far this time, or its source was left alone: it has to begin again.
        ({0: OutcomeKind.DONE, 1: OutcomeKind.DONE}, 1, 0),
        ({0: OutcomeKind.DONE, 1: OutcomeKind.SKIPPED}, 3, 0),
        ({0: OutcomeKind.DONE}, 3, 0),
    ],
)
def test_a_retried_job_whose_source_is_disposed_of_goes_on_behind_that(
    ledger, done, stood_at, goes_on_at
):
    enqueue(ledger, "a")
    [job] = claim(ledger)
    steps = [record(job, position=at, outcome=outcome) for at, outcome in done.items()]
    given_up = ended(job, JobState.DEAD, step=stood_at, boot="boot 0")
    ledger.checkpoint("me", [given_up], steps, NOW)
    ledger.retry(NOW)
    ledger.take_up("tag", "r1", [1])
    [again] = ledger.unbegun({"tag": "r1"}, 10) or claim(ledger)
    expected = ("r1", goes_on_at, None) if goes_on_at else ("", 0, "boot 0")
    assert (again.revision, again.step, again.boot) == expected


def test_a_retried_job_begins_again_under_a_rewritten_rule(ledger):
    failed_at(ledger, 2)
    ledger.take_up("another", "r1")
    ledger.take_up("tag", "r2")
    [again] = ledger.unbegun({"tag": "r2"}, 10)
    assert (again.revision, again.step) == ("", 0)


def test_open_rules_are_those_with_work_left(ledger):
    enqueue(ledger, "a", verdicts=[match("tag"), match("move")])
    [job] = claim(ledger, blocked_rules=frozenset({"tag"}))
    ledger.checkpoint("me", [ended(job)], [], NOW)
    assert ledger.open_rules() == {(LANE, "tag")}
