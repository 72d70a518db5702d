from __future__ import annotations

from datetime import timedelta

import pytest
from ledgering import (
    LANE,
    NOW,
    claim,
    ended,
    enqueue,
    later,
    match,
    onward,
    record,
    rows,
    settling,
    states,
)

from hydrusd.errors import LedgerError
from hydrusd.ledger import ClaimFilter
from hydrusd.model import FinishedJob, JobState, OutcomeKind


def keys(jobs):
    return [job.event_key for job in jobs]


# --- claim -----------------------------------------------------------------------------------


def test_a_claim_is_the_oldest_jobs_of_one_rule_revision_and_step(ledger):
    enqueue(ledger, "a", "b", verdicts=[match("tag")])
    enqueue(ledger, "c", verdicts=[match("move")])
    enqueue(ledger, "d", verdicts=[match("tag", "r2")])
    enqueue(ledger, "e", verdicts=[match("tag")])
    assert keys(claim(ledger)) == ["a", "b", "e"]
    assert keys(claim(ledger)) == ["c"]
    assert keys(claim(ledger)) == ["d"]
    assert claim(ledger) == []


def test_a_claim_never_mixes_steps(ledger):
    enqueue(ledger, "a", "b")
    [a] = claim(ledger, limit=1)
    ledger.checkpoint("me", [onward(a)], [record(a)], NOW)
    [a] = claim(ledger)
    assert (a.event_key, a.step, a.attempt) == ("a", 1, 1)
    assert [(r.position, r.action, r.values) for r in a.steps] == [(0, "add_file", {"hash": "ab"})]
    assert [(job.event_key, job.step) for job in claim(ledger)] == [("b", 0)]


def test_a_claim_takes_no_more_than_its_limit(ledger):
    enqueue(ledger, "a", "b", "c")
    assert keys(claim(ledger, limit=2)) == ["a", "b"]
    assert keys(claim(ledger, limit=2)) == ["c"]


def test_a_claim_respects_run_at(ledger):
    enqueue(ledger, "a", "b")
    a, b = claim(ledger)
    ledger.checkpoint(
        "me", [onward(a, step=0, attempt=1, run_at=later(10)), onward(b, run_at=later(5))], [], NOW
    )
    wanted = ClaimFilter(LANE)
    assert claim(ledger, now=later(4.9)) == []
    assert ledger.next_due(wanted) == later(5)
    assert keys(claim(ledger, now=later(5))) == ["b"]
    assert ledger.next_due(wanted) == later(10)
    [a] = claim(ledger, now=later(10))
    assert a.attempt == 2
    assert ledger.next_due(wanted) is None


def test_a_claim_leaves_blocked_rules_and_other_lanes_alone(ledger):
    enqueue(ledger, "a", verdicts=[match("tag"), match("move")])
    enqueue(ledger, "b", lane="another")
    blocked = frozenset({"tag"})
    assert [job.rule for job in claim(ledger, blocked_rules=blocked)] == ["move"]
    assert claim(ledger, blocked_rules=blocked) == []
    assert ledger.next_due(ClaimFilter(LANE, blocked_rules=blocked)) is None
    assert keys(claim(ledger)) == ["a"]
    assert ledger.next_due(ClaimFilter("another")) == NOW


def test_without_client_only_what_needs_none(ledger):
    enqueue(ledger, "a", verdicts=[match("tag"), match("move", needs_client=False)])
    assert [job.rule for job in claim(ledger, without_client=True)] == ["move"]
    assert claim(ledger, without_client=True) == []
    assert ledger.next_due(ClaimFilter(LANE, without_client=True)) is None
    assert [job.rule for job in claim(ledger)] == ["tag"]


def test_nobody_claims_what_is_claimed(ledger):
    enqueue(ledger, "a")
    [job] = claim(ledger, owner="one")
    assert claim(ledger, owner="two", now=later(3600)) == []
    assert job.attempt == 1


# --- checkpoint ------------------------------------------------------------------------------


def test_a_checkpoint_stores_outcomes_and_steps(ledger, path):
    enqueue(ledger, "a")
    [job] = claim(ledger)
    receipt = {"tags": ["a"], "before": None}
    update = ended(job, detail="tagged", file_hash="ab" * 32)
    ledger.checkpoint("me", [update], [record(job, receipt=receipt)], later(3))
    assert ledger.finished([job.id]) == [
        FinishedJob(
            job.id, "tag", JobState.DONE, "tagged", {"name": "a"}, "ab" * 32, later(3), job.run_id
        )
    ]
    assert rows(path, "SELECT owner, lease_until FROM job") == [(None, None)]
    assert rows(path, "SELECT position, outcome, ended_at FROM step") == [
        (0, "done", "2026-01-01T12:00:03.000000Z")
    ]


def test_a_step_keeps_its_last_outcome(ledger):
    enqueue(ledger, "a")
    [job] = claim(ledger)
    failed = record(job, outcome=OutcomeKind.RETRY, values={}, detail="timed out")
    ledger.checkpoint("me", [onward(job, step=0, attempt=1)], [failed], NOW)
    [job] = claim(ledger)
    assert [(r.outcome, r.detail) for r in job.steps] == [(OutcomeKind.RETRY, "timed out")]
    ledger.checkpoint("me", [onward(job)], [record(job)], NOW)
    [job] = claim(ledger)
    assert [(r.outcome, r.receipt) for r in job.steps] == [(OutcomeKind.DONE, None)]


def test_an_empty_checkpoint_is_nothing(ledger):
    ledger.checkpoint("me", [], [], NOW)


@pytest.mark.parametrize("loss", ["released", "of another", "older attempt", "twice", "ended"])
def test_a_lost_lease_stores_nothing_of_the_whole_set(ledger, path, loss):
    enqueue(ledger, "held", "lost")
    held, lost = claim(ledger)
    updates = [ended(held, frees_event=True), ended(lost)]
    owner = "me"
    match loss:
        case "released":
            ledger.release(NOW, owner="me")
            claim(ledger, limit=1)
        case "of another":
            owner = "somebody else"
        case "older attempt":
            ledger.checkpoint("me", [onward(lost, step=0, attempt=1)], [], NOW)
            assert keys(claim(ledger)) == ["lost"]
        case "twice":
            updates.append(updates[-1])
        case "ended":
            ledger.checkpoint("me", [ended(lost)], [], NOW)
    before = [rows(path, f"SELECT * FROM {table}") for table in ("job", "event", "step")]
    with pytest.raises(LedgerError, match=r"lost the lease of \d of \d jobs; nothing"):
        ledger.checkpoint(owner, updates, [record(held), record(lost)], NOW)
    assert [rows(path, f"SELECT * FROM {table}") for table in ("job", "event", "step")] == before


# --- release ---------------------------------------------------------------------------------


def test_release_puts_back_what_runs_and_gives_the_attempt_back(ledger):
    enqueue(ledger, "a")
    enqueue(ledger, "b", verdicts=[match("move")])
    [mine] = claim(ledger, owner="me")
    claim(ledger, owner="you")
    assert ledger.release(later(1), owner="me") == 1
    assert claim(ledger) == []
    [again] = claim(ledger, now=later(1))
    assert (again.id, again.attempt) == (mine.id, 1)
    assert ledger.release(later(2)) == 2
    assert ledger.release(later(2)) == 0


def test_release_touches_nothing_else(ledger, path):
    enqueue(ledger, "ready", "settling", "dead", "done")
    jobs = {job.event_key: job for job in claim(ledger)}
    ledger.checkpoint(
        "me",
        [
            onward(jobs["ready"], attempt=3, run_at=later(99)),
            settling(jobs["settling"]),
            ended(jobs["dead"], JobState.DEAD),
            ended(jobs["done"]),
        ],
        [],
        NOW,
    )
    before = rows(path, "SELECT * FROM job")
    assert ledger.release(later(5)) == 0
    assert rows(path, "SELECT * FROM job") == before


def test_a_lease_can_be_renewed(ledger, path):
    enqueue(ledger, "a")
    enqueue(ledger, "b", verdicts=[match("move")])
    claim(ledger, owner="me")
    claim(ledger, owner="you")
    ledger.renew("me", NOW + timedelta(hours=1))
    assert rows(path, "SELECT owner, lease_until FROM job") == [
        ("me", "2026-01-01T13:10:00.000000Z"),
        ("you", "2026-01-01T12:10:00.000000Z"),
    ]


# --- settling --------------------------------------------------------------------------------


def test_only_what_was_done_in_this_boot_settles(ledger, path):
    enqueue(ledger, "ends", "goes on", "other boot", "not asked", "ready")
    jobs = {job.event_key: job for job in claim(ledger)}
    ledger.checkpoint(
        "me",
        [
            settling(jobs["ends"], ending=JobState.SKIPPED, detail="there already"),
            settling(jobs["goes on"], needs_client=False),
            settling(jobs["other boot"], "boot 0", ending=JobState.DONE),
            settling(jobs["not asked"], ending=JobState.DONE),
            onward(jobs["ready"], boot="boot 1", run_at=later(50)),
        ],
        [],
        NOW,
    )
    assert claim(ledger) == []
    waiting = ledger.settling(LANE)
    assert sorted(waiting) == sorted(
        jobs[k].id for k in ("ends", "goes on", "other boot", "not asked")
    )
    asked = [job.id for key, job in jobs.items() if key != "not asked"]
    assert ledger.settle(asked, "boot 1", later(1)) == [jobs["ends"].id]
    assert states(path) == {
        "ends": "skipped",
        "goes on": "ready",
        "other boot": "settling",
        "not asked": "settling",
        "ready": "ready",
    }
    [ended_job] = ledger.finished([jobs["ends"].id])
    assert (ended_job.detail, ended_job.finished_at) == ("there already", later(1))
    [local] = claim(ledger, without_client=True, now=later(1))
    assert (local.event_key, local.boot, local.step) == ("goes on", None, 1)
    assert ledger.settle(asked, "boot 1", later(2)) == []
    # A job that waits for another try keeps the boot that has to be proved.
    assert rows(path, "SELECT boot FROM job WHERE state = 'ready'") == [("boot 1",)]


def test_thousands_settle_at_once(ledger):
    enqueue(ledger, *(f"k{n}" for n in range(1100)))
    jobs = claim(ledger, limit=1100)
    ledger.checkpoint("me", [settling(job, ending=JobState.DONE) for job in jobs], [], NOW)
    assert len(ledger.settle([job.id for job in jobs], "boot 1", NOW)) == 1100
    assert len(ledger.finished([job.id for job in jobs])) == 1100
    assert ledger.open_rules() == set()


def test_what_another_boot_did_is_looked_up_and_goes_back_or_settles_again(ledger, path):
    enqueue(ledger, "lost", "there", "fresh")
    lost, there, fresh = claim(ledger)
    ledger.checkpoint(
        "me",
        [
            settling(lost, "boot 0", ending=JobState.DONE, needs_client=False, attempt=4),
            settling(there, "boot 0", ending=JobState.DONE),
            settling(fresh, "boot 1", ending=JobState.DONE),
        ],
        [record(lost), record(there)],
        NOW,
    )
    former = ledger.unsettled_elsewhere(LANE, "boot 1", 10)
    assert [(job.event_key, len(job.steps)) for job in former] == [("lost", 1), ("there", 1)]
    assert keys(ledger.unsettled_elsewhere(LANE, "boot 1", 1)) == ["lost"]
    assert keys(ledger.unsettled_elsewhere(LANE, "boot 1", 9, after=lost.id)) == ["there"]
    assert ledger.unsettled_elsewhere("another", "boot 1", 10) == []
    ledger.resettle({lost.id: (0, True), there.id: None}, "boot 1", later(1))
    assert ledger.unsettled_elsewhere(LANE, "boot 1", 10) == []
    assert sorted(ledger.settling(LANE)) == sorted([there.id, fresh.id])
    assert rows(path, f"SELECT ending FROM job WHERE id = {lost.id}") == [(None,)]
    [again] = claim(ledger, now=later(1))
    assert (again.id, again.step, again.attempt, again.boot) == (lost.id, 0, 1, "boot 1")
    assert sorted(ledger.settle([lost.id, there.id, fresh.id], "boot 1", later(2))) == sorted(
        [there.id, fresh.id]
    )
    # Sent back, it no longer ends when it settles: its step has to be done first.
    ledger.checkpoint("me", [settling(again)], [], later(2))
    assert ledger.settle([lost.id], "boot 1", later(3)) == []
    assert keys(claim(ledger, now=later(3))) == ["lost"]


def test_resettling_touches_only_what_settles(ledger, path):
    enqueue(ledger, "a")
    [job] = claim(ledger)
    ledger.checkpoint("me", [ended(job)], [], NOW)
    before = rows(path, "SELECT * FROM job")
    ledger.resettle({job.id: (0, True)}, "boot 9", later(1))
    assert rows(path, "SELECT * FROM job") == before


# --- what a person does ----------------------------------------------------------------------


def test_retry_puts_the_chosen_dead_letters_back(ledger, path):
    enqueue(ledger, "a", "b", "done", "skipped")
    enqueue(ledger, "c", verdicts=[match("move")])
    a, b, done, skipped = claim(ledger)
    [c] = claim(ledger)
    ledger.checkpoint(
        "me",
        [
            *(ended(job, JobState.DEAD, detail="no") for job in (a, b, c)),
            ended(done),
            ended(skipped, JobState.SKIPPED),
        ],
        [],
        NOW,
    )
    assert ledger.retry(later(1), ids=[a.id, done.id, 99]) == 1
    assert ledger.retry(later(1), ids=[b.id], rule="move") == 0
    assert ledger.retry(later(1), rule="move") == 1
    assert states(path) == {
        "a": "ready",
        "b": "dead",
        "c": "ready",
        "done": "done",
        "skipped": "skipped",
    }
    assert ledger.retry(later(2)) == 1
    assert ledger.retry(later(2)) == 0
    [a, b] = claim(ledger, now=later(2))
    assert [(job.revision, job.step, job.attempt) for job in (a, b)] == [
        ("?r1", job.step, 1) for job in (a, b)
    ]
    assert ledger.finished([a.id]) == []


def test_a_retried_job_keeps_what_is_still_unproved(ledger):
    enqueue(ledger, "a")
    [job] = claim(ledger)
    ledger.checkpoint("me", [ended(job, JobState.DEAD, boot="boot 0")], [], NOW)
    ledger.retry(NOW)
    assert claim(ledger)[0].boot == "boot 0"


def test_finished_describes_only_what_has_ended(ledger):
    enqueue(ledger, "a", "b")
    a, b = claim(ledger)
    ledger.checkpoint("me", [ended(a, JobState.DEAD, detail="broken")], [], NOW)
    assert [(f.job_id, f.state, f.detail) for f in ledger.finished([a.id, b.id])] == [
        (a.id, JobState.DEAD, "broken")
    ]
    assert ledger.finished([]) == []
