"""The queue against a model of it: whatever happens in whatever order, both say the same.

After every move the whole table of jobs is compared, so that a statement that touches
one row too many is found as surely as one that forgets a row.
"""

from __future__ import annotations

import shutil
import tempfile
from collections import Counter
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from pathlib import Path

import pytest
from hypothesis import HealthCheck, settings, strategies as st
from hypothesis.stateful import (
    RuleBasedStateMachine,
    initialize,
    invariant,
    precondition,
    rule,
    run_state_machine_as_test,
)
from ledgering import LANE, NOW, claim, ended, noticed, onward, record, rows

from hydrusd.errors import LedgerError
from hydrusd.ledger import Intake, Ledger, LedgerReader, NewJob, Retention
from hydrusd.model import Job, JobState

OWNERS = st.sampled_from(["one", "two"])
RULES = ("tag", "move")
BOOTS = st.sampled_from(["boot 1", "boot 2"])
KEYS = st.lists(st.sampled_from("abcdef"), min_size=1, max_size=4)
STEPS = 2
FATES = st.sampled_from(
    ["on", "on", "settle", "settle", "retry", "dead", "park", "skip", "still at it"]
)
ENDINGS = {JobState.DONE, JobState.SKIPPED, JobState.DEAD}


@dataclass
class Expected:
    """What one row of the table of jobs should hold."""

    id: int
    key: str
    rule: str
    revision: str
    run_at: datetime
    needs_client: bool = True
    state: JobState = JobState.READY
    step: int = 0
    attempt: int = 0
    owner: str | None = None
    boot: str | None = None
    ending: JobState | None = None
    ended: bool = False
    ended_at: datetime = NOW
    freed: bool = False

    def row(self) -> tuple:
        return (
            self.id,
            self.key,
            self.rule,
            self.revision,
            f"{self.run_at:%Y-%m-%dT%H:%M:%S.%fZ}",
            int(self.needs_client),
            str(self.state),
            self.step,
            self.attempt,
            self.owner,
            self.boot,
            self.ending,
            int(self.ended),
            int(self.freed),
            int(self.owner is not None),
        )


TABLE = """
SELECT job.id, key, rule, revision, run_at, needs_client, state, step, attempt, owner, boot, ending,
       finished_at IS NOT NULL, freed != 0, lease_until IS NOT NULL, event_id
FROM job JOIN event ON event.id = event_id ORDER BY job.id
"""


class Queue(RuleBasedStateMachine):
    template: Path

    @initialize()
    def begin(self):
        self.folder = tempfile.TemporaryDirectory()
        self.path = Path(shutil.copy(self.template, Path(self.folder.name) / "ledger.sqlite"))
        self.ledger = Ledger.open(self.path)
        self.reader = LedgerReader.open(self.path)
        self.now = NOW
        self.jobs: dict[int, Expected] = {}
        self.held: dict[int, Job] = {}
        self.stale: list[tuple[str, Job]] = []
        self.events: dict[int, int] = {}
        self.over: dict[int, JobState] = {}
        self.pruned: set[tuple[str, str]] = set()
        self.pruned_keys: set[str] = set()
        self.counts: Counter[tuple[str, JobState]] = Counter()
        self.enqueue(keys="abcd", rules=set(RULES), revision="r1")
        self.both_say_the_same()

    def teardown(self):
        if hasattr(self, "ledger"):
            self.ledger.close()
            self.reader.close()
            self.folder.cleanup()

    def in_state(self, *states: JobState) -> list[Expected]:
        return [job for job in self.jobs.values() if job.state in states]

    # --- what can happen ---------------------------------------------------------------------

    @rule(
        keys=KEYS,
        rules=st.sets(st.sampled_from(RULES), min_size=1),
        revision=st.sampled_from(["r1", "r2"]),
    )
    def enqueue(self, keys, rules, revision):
        verdicts = [NewJob(name, revision, LANE, name == "tag") for name in sorted(rules)]
        pending = [noticed(key, *verdicts) for key in keys]
        taken = self.ledger.take_in("folder", pending, self.now)
        known = {job.key for job in self.jobs.values() if not job.freed} | self.pruned_keys
        had = {(job.key, job.rule) for job in self.jobs.values() if not job.freed} | self.pruned
        due = dict.fromkeys((key, name) for key in keys for name in sorted(rules))
        made = [pair for pair in due if pair not in had]
        assert taken == Intake(len(set(keys) - known), len(made))
        first = max(self.jobs, default=0) + 1
        for job_id, (key, name) in enumerate(made, first):
            self.jobs[job_id] = Expected(
                job_id, key, name, revision, self.now, needs_client=name == "tag"
            )

    @rule(
        owner=OWNERS,
        limit=st.integers(1, 4),
        without_client=st.sampled_from([False, False, False, True]),
        blocked=st.sets(st.sampled_from(RULES), max_size=1),
    )
    def claim(self, owner, limit, without_client, blocked):
        due = [
            job
            for job in self.in_state(JobState.READY)
            if job.run_at <= self.now
            and not (without_client and job.needs_client)
            and job.rule not in blocked
        ]
        group = [
            job
            for job in due
            if (job.rule, job.revision, job.step) == (due[0].rule, due[0].revision, due[0].step)
        ][:limit]
        claimed = claim(
            self.ledger,
            owner=owner,
            limit=limit,
            now=self.now,
            without_client=without_client,
            blocked_rules=frozenset(blocked),
        )
        assert [job.id for job in claimed] == [job.id for job in group]
        for job, expected in zip(claimed, group, strict=True):
            expected.state = JobState.RUNNING
            expected.owner = owner
            expected.attempt += 1
            assert (job.attempt, job.step, job.boot) == (
                expected.attempt,
                expected.step,
                expected.boot,
            )
            self.held[job.id] = job

    def _held_by(self, owner: str) -> list[Job]:
        return [job for i, job in self.held.items() if self.jobs[i].owner == owner]

    @rule(owner=OWNERS, data=st.data(), limit=st.integers(2, 4))
    def work(self, owner, data, limit):
        """Both at once, so that jobs come a long way in few moves."""
        self.claim(owner, limit, without_client=False, blocked=set())
        self.checkpoint(owner, data)

    @precondition(lambda self: self.held)
    @rule(owner=OWNERS, data=st.data())
    def checkpoint(self, owner, data):
        updates, steps = [], []
        for job in self._held_by(owner):
            expected = self.jobs[job.id]
            fate = data.draw(FATES)
            last = job.step >= STEPS - 1
            match fate:
                case "still at it":
                    continue
                case "retry":
                    soon = self.now + timedelta(seconds=data.draw(st.integers(0, 60)))
                    update = onward(job, step=job.step, attempt=job.attempt, run_at=soon)
                case "park":
                    update = onward(job, step=job.step, attempt=job.attempt - 1, run_at=self.now)
                case "dead" | "skip":
                    state = JobState.DEAD if fate == "dead" else JobState.SKIPPED
                    update = ended(job, state, step=job.step, frees_event=fate == "skip")
                case "settle":
                    update = onward(
                        job,
                        state=JobState.SETTLING,
                        boot=job.boot or data.draw(BOOTS),
                        ending=JobState.DONE if last else None,
                        attempt=data.draw(st.integers(0, 3)),
                        needs_client=last,
                    )
                case _:
                    update = ended(job) if last else onward(job, run_at=self.now)
            updates.append(update)
            steps.append(record(job))
            self.jobs[job.id] = replace(
                expected,
                state=update.state,
                step=update.step,
                attempt=update.attempt,
                run_at=update.run_at,
                needs_client=update.needs_client,
                boot=update.boot,
                ending=update.ending,
                owner=None,
                ended=update.state in ENDINGS,
            )
            if update.frees_event:
                self._free(job)
            self.stale.append((owner, self.held.pop(job.id)))
        self.ledger.checkpoint(owner, updates, steps, self.now)

    def _free(self, job: Job) -> None:
        for other in self.jobs.values():
            if self.events[other.id] == job.event_id:
                other.freed = True

    @precondition(lambda self: self.stale)
    @rule(data=st.data(), owner=OWNERS)
    def checkpoint_without_a_lease(self, data, owner):
        """An end that comes too late spoils the whole set, and stores nothing of it."""
        former, job = data.draw(st.sampled_from(self.stale))
        present = self.jobs.get(job.id)
        if present.owner == former and present.attempt == job.attempt:
            return  # claimed again at the same attempt after a release: the same lease in effect
        updates = [ended(j) for j in self._held_by(owner) if j.id != job.id]
        with pytest.raises(LedgerError):
            self.ledger.checkpoint(former, [*updates, ended(job)], [record(job)], self.now)

    @rule(owner=st.none() | OWNERS, killed=st.booleans())
    def crash(self, owner, killed):
        """Everything (or everything of one owner) that runs goes back, at no cost."""
        if killed:
            self.reopen()
        gone = [job for job in self.in_state(JobState.RUNNING) if owner in {None, job.owner}]
        assert self.ledger.release(self.now, owner=owner) == len(gone)
        for job in gone:
            self.stale.append((job.owner, self.held.pop(job.id)))
            job.state = JobState.READY
            job.owner = None
            job.attempt -= 1
            job.run_at = self.now

    @rule()
    def reopen(self):
        self.ledger.close()
        self.ledger = Ledger.open(self.path)

    @rule(seconds=st.integers(1, 60))
    def time_passes(self, seconds):
        self.now += timedelta(seconds=seconds)

    @rule(data=st.data(), boot=BOOTS)
    def settle(self, data, boot):
        waiting = [job.id for job in self.in_state(JobState.SETTLING)]
        assert sorted(self.ledger.settling(LANE)) == waiting
        everything = sorted(self.jobs)
        ids = data.draw(st.just(set(everything)) | st.sets(st.sampled_from(everything)))
        durable = [
            job for job in self.in_state(JobState.SETTLING) if job.id in ids and job.boot == boot
        ]
        over = self.ledger.settle(sorted(ids), boot, self.now)
        assert sorted(over) == [job.id for job in durable if job.ending]
        for job in durable:
            job.boot = None
            if job.ending:
                job.state, job.ended = job.ending, True
            else:
                job.state, job.run_at = JobState.READY, self.now

    @rule(data=st.data(), boot=BOOTS)
    def restart_of_the_client(self, data, boot):
        elsewhere = [job for job in self.in_state(JobState.SETTLING) if job.boot != boot]
        found = self.ledger.unsettled_elsewhere(LANE, boot, 100)
        assert [job.id for job in found] == [job.id for job in elsewhere]
        back = {
            job.id: data.draw(st.none() | st.tuples(st.integers(0, job.step - 1), st.booleans()))
            for job in elsewhere
        }
        self.ledger.resettle(back, boot, self.now)
        for job in elsewhere:
            job.boot, job.run_at = boot, self.now
            if back[job.id] is not None:
                job.step, job.needs_client = back[job.id]
                job.state, job.ending, job.attempt = JobState.READY, None, 0

    @precondition(lambda self: self.in_state(JobState.DEAD))
    @rule(data=st.data())
    def retry(self, data):
        ids = data.draw(st.lists(st.sampled_from(sorted(self.jobs)), min_size=1, unique=True))
        revived = [job for job in self.in_state(JobState.DEAD) if job.id in ids]
        assert self.ledger.retry(self.now, ids=ids) == len(revived)
        for job in revived:
            self.over.pop(job.id, None)
            job.state, job.ended, job.revision = JobState.READY, False, f"?{job.revision}"
            job.attempt, job.needs_client = 0, False
            job.run_at = self.now

    @rule(age=st.integers(0, 90))
    def prune(self, age):
        """What ended so long ago goes, event by event; that it was there does not."""
        before = self.now - timedelta(seconds=age)
        events: dict[int, list[Expected]] = {}
        for job in self.jobs.values():
            events.setdefault(self.events[job.id], []).append(job)
        newest = max(self.jobs, default=0)
        gone = [
            jobs
            for jobs in events.values()
            if all(
                job.ended
                and job.state is not JobState.DEAD
                and job.ended_at < before
                and job.id != newest
                for job in jobs
            )
        ]
        pruned = self.ledger.prune_events(Retention(before, None), self.now, after=None)
        assert (pruned.events, pruned.jobs) == (len(gone), sum(map(len, gone)))
        for job in (job for jobs in gone for job in jobs):
            del self.jobs[job.id]
            self.over.pop(job.id)
            self.stale = [(owner, old) for owner, old in self.stale if old.id != job.id]
            if not job.freed:
                self.pruned.add((job.key, job.rule))
                self.pruned_keys.add(job.key)

    # --- what always holds -------------------------------------------------------------------

    @invariant()
    def both_say_the_same(self):
        found = rows(self.path, TABLE)
        assert [row[:-1] for row in found] == [job.row() for job in self.jobs.values()]
        self.events = {row[0]: row[-1] for row in found}

    @invariant()
    def nothing_ends_twice_and_all_endings_are_counted(self):
        for job_id, state in self.over.items():
            assert self.jobs[job_id].state == state
        for job in self.jobs.values():
            if job.ended and job.id not in self.over:
                job.ended_at = self.now
                self.counts[job.rule, job.state] += job.state is not JobState.DEAD
        self.over = {job.id: job.state for job in self.jobs.values() if job.ended}
        dead = Counter((job.rule, job.state) for job in self.in_state(JobState.DEAD))
        found = {(c.rule, c.state): c.jobs for c in self.reader.counts() if c.state in ENDINGS}
        assert found == +(self.counts + dead)

    @invariant()
    def one_open_job_for_a_rule_and_what_is_there(self):
        present = [(job.key, job.rule) for job in self.jobs.values() if not job.freed]
        assert len(present) == len(set(present))


def test_the_queue_does_what_its_model_does(fresh_ledger):
    class Here(Queue):
        template = fresh_ledger

    run_state_machine_as_test(
        Here,
        settings=settings(
            max_examples=40,
            stateful_step_count=50,
            deadline=None,
            suppress_health_check=[HealthCheck.too_slow],
        ),
    )
