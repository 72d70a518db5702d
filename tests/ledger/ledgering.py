"""Short words for what the ledger's tests do again and again."""

from __future__ import annotations

import sqlite3
from contextlib import closing
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path

from hydrusd.ledger import ClaimFilter, JobUpdate, Ledger, NewJob, PendingEvent, StepUpdate
from hydrusd.model import Event, Job, JobState, OutcomeKind, StepRecord

NOW = datetime(2026, 1, 1, 12, tzinfo=UTC)
LANE = "hydrus"


def later(seconds: float) -> datetime:
    return NOW + timedelta(seconds=seconds)


def match(
    rule: str = "tag", revision: str = "r1", *, lane: str = LANE, needs_client: bool = True
) -> NewJob:
    return NewJob(rule, revision, lane, needs_client)


def noticed(key: str, *verdicts, data=None) -> PendingEvent:
    return PendingEvent(Event(key, data or {"name": key}), verdicts or (match(),))


def enqueue(ledger: Ledger, *keys: str, verdicts=(), lane: str = LANE, now: datetime = NOW):
    verdicts = verdicts or (match(lane=lane),)
    return ledger.take_in("folder", [noticed(key, *verdicts) for key in keys], now)


def claim(
    ledger: Ledger, *, owner: str = "me", limit: int = 256, now: datetime = NOW, **wanted
) -> list[Job]:
    return ledger.claim(ClaimFilter(LANE, **wanted), owner, limit, now)


def onward(job: Job, **changes) -> JobUpdate:
    """The update of a job whose step is done and that has another one to run."""
    update = JobUpdate(
        job_id=job.id,
        event_id=job.event_id,
        claimed_attempt=job.attempt,
        state=JobState.READY,
        step=job.step + 1,
        needs_client=True,
        attempt=0,
        run_at=NOW,
        file_hash=job.file_hash,
        boot=job.boot,
        run_id=job.run_id,
    )
    return update._replace(**changes)


def ended(job: Job, state: JobState = JobState.DONE, **changes) -> JobUpdate:
    return onward(job, state=state, **changes)


def settling(job: Job, boot: str = "boot 1", **changes) -> JobUpdate:
    return onward(job, state=JobState.SETTLING, boot=boot, **changes)


def record(job: Job, **changes) -> StepUpdate:
    made = StepRecord(job.step, "add_file", OutcomeKind.DONE, "imported", {"hash": "ab"}, None)
    return StepUpdate(job.id, replace(made, **changes))


def rows(path: Path, query: str) -> list[tuple]:
    """What anyone with a SQL shell sees."""
    with closing(sqlite3.connect(path)) as connection:
        return connection.execute(query).fetchall()


def states(path: Path) -> dict[str, str]:
    """The state of each job, by the key of its event."""
    return dict(rows(path, "SELECT key, state FROM job JOIN event ON event.id = event_id"))
