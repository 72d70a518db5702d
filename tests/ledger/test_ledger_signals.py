"""Signals and memory: stored with what caused them, read in order, once per listener's count."""

from __future__ import annotations

from datetime import UTC, datetime

from ledgering import NOW, match, noticed

from hydrusd.ledger import FOR_GOOD, Intake, Memory, NotMatched, PendingEvent
from hydrusd.model import Event


def test_signals_come_in_order_by_topic_and_behind_a_mark(ledger):
    for number, topic in enumerate(["a", "b", "a"], 1):
        ledger.post(topic, {"number": number}, NOW)
    assert [s.data["number"] for s in ledger.signals(["a"], 0, 10)] == [1, 3]
    assert [s.id for s in ledger.signals(["a", "b"], 1, 10)] == [2, 3]
    assert [s.id for s in ledger.signals(["a", "b"], 0, 1)] == [1]
    assert ledger.newest_signal() == 3


def test_memory_is_stored_with_the_events_or_not_at_all(ledger):
    ledger.take_in("clock", [noticed("a")], NOW, Memory("me", {"last": 1, "old": [2]}))
    ledger.remember("clock", Memory("other", {"last": 9}))
    ledger.take_in("clock", [], NOW, Memory("me", {"last": 2, "old": None}))
    assert ledger.recall("clock", "me") == {"last": 2}
    assert ledger.recall("clock", "other") == {"last": 9}
    assert ledger.recall("elsewhere", "me") == {}


def test_what_was_passed_over_for_good_never_becomes_a_job(ledger):
    over = PendingEvent(Event("a", {}), [NotMatched("import", FOR_GOOD, "was there before")])
    assert ledger.take_in("clock", [over], NOW) == Intake(1, 0)
    again = PendingEvent(Event("a", {}), [match("import", "r9")])
    assert ledger.take_in("clock", [again], NOW) == Intake(0, 0)
    assert ledger.unseen("clock", ["a", "b"], {"import": "r9"}) == {"b"}
    assert ledger.unseen("clock", ["a"], {"another": "r1"}) == {"a"}


def test_an_event_names_the_file_that_its_jobs_are_about(ledger):
    events = [Event("a", {"hash": "0" * 64}), Event("b", {"hash": "no hash"}), Event("c", {})]
    ledger.take_in("clock", [PendingEvent(e, [match()]) for e in events], NOW)
    jobs = ledger.unbegun({"tag": "another"}, 10)
    assert [job.file_hash for job in jobs] == ["0" * 64, None, None]


def test_times_of_signals_are_kept(ledger):
    at = datetime(2026, 11, 24, 4, 5, 6, tzinfo=UTC)
    ledger.post("a", {}, at)
    assert ledger.signals(["a"], 0, 1)[0].created_at == at
