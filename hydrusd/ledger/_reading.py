"""The reading side: what `status` shows, from another process if need be.

Opens the file read-only, so that looking can never be in the way of working.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Self

from sqlalchemy import ColumnElement, Connection, Engine, case, func, select
from sqlalchemy.exc import SQLAlchemyError

from hydrusd.errors import LedgerError
from hydrusd.ledger._migrating import require_head
from hydrusd.ledger._sqlite import open_engine
from hydrusd.ledger._tables import DEAD, condition, ended, event, job, not_matched, step
from hydrusd.model import Data, JobId, JobState, OutcomeKind, StepRecord

ENDINGS = (JobState.DONE, JobState.SKIPPED, JobState.DEAD)


@dataclass(frozen=True, slots=True)
class RuleCount:
    """How many jobs of a rule are in a state."""

    rule: str
    state: JobState
    jobs: int


@dataclass(frozen=True, slots=True)
class OpenJobs:
    """The jobs of a rule that have not ended: how many, and the oldest.

    ``settling`` of them only wait for the client to commit, or for what follows that.
    """

    rule: str
    jobs: int
    settling: int
    oldest: JobId


@dataclass(frozen=True, slots=True)
class LaneStatus:
    """What a lane, rule or trigger is in, and since when."""

    kind: str
    name: str
    state: str
    reason: str
    since: datetime


@dataclass(frozen=True, slots=True)
class DeadLetter:
    """A job that gave up, as far as a person needs it to decide.

    ``action`` is that of the step which gave up; empty where it came to none.
    """

    job_id: JobId
    rule: str
    action: str
    detail: str
    data: Data
    attempts: int
    ended_at: datetime


@dataclass(frozen=True, slots=True)
class JobView:
    """A job with the outcome of each of its steps."""

    job_id: JobId
    rule: str
    state: JobState
    data: Data
    file_hash: str | None
    steps: Sequence[StepRecord]


@dataclass(frozen=True, slots=True)
class PassedOver:
    """An event that a rule did not want, and why."""

    rule: str
    reason: str
    data: Data


class LedgerReader:
    """Reads a ledger. Each method is one snapshot."""

    def __init__(self, engine: Engine) -> None:
        self._engine = engine

    @classmethod
    def open(cls, path: Path) -> Self:
        """Open an existing ledger. Raises LedgerError where there is none or it is not ours."""
        try:
            there = path.is_file()
        except OSError as error:
            raise LedgerError(f"the ledger {path} cannot be opened: {error}") from error
        if not there:
            raise LedgerError(
                f"there is no ledger at {path} yet: `hydrusd run` makes it "
                f"(another place is chosen with --state-dir)"
            )
        engine = open_engine(path, writes=False)
        try:
            with engine.connect() as connection:
                require_head(connection)
        except BaseException:
            engine.dispose()
            raise
        return cls(engine)

    def close(self) -> None:
        """Close the file."""
        self._engine.dispose()

    def counts(self) -> list[RuleCount]:
        """Count jobs by rule and state, those included that were pruned."""
        # By the names themselves SQLite would go through all jobs there ever were, in their order.
        name, state = job.c.rule.concat(""), job.c.state.concat("")
        of_some = select(name, state, func.count()).group_by(name, state)
        with self._engine.connect() as connection:
            found = [
                *connection.execute(
                    select(ended.c.rule, ended.c.state, ended.c.jobs).where(
                        ended.c.state.in_(ENDINGS)
                    )
                ),
                *connection.execute(of_some.where(job.c.finished_at.is_(None))),
                *connection.execute(of_some.where(job.c.state == DEAD)),
            ]
        return sorted(
            (RuleCount(rule, JobState(state), jobs) for rule, state, jobs in found),
            key=lambda count: (count.rule, count.state),
        )

    @contextmanager
    def snapshot(self) -> Iterator[Connection]:
        """Connect. What the database says against reading is a LedgerError."""
        try:
            with self._engine.connect() as connection:
                yield connection
        except SQLAlchemyError as error:
            raise LedgerError(f"the ledger cannot be read: {error}") from error

    def open_jobs(self, lane: str, until: datetime) -> list[OpenJobs]:
        """Count a lane's open jobs by rule, but those that are not due before ``until``."""
        settling = func.sum(case((job.c.state == JobState.SETTLING, 1), else_=0))
        # By the name itself SQLite would go through all jobs there ever were, in its order.
        name = job.c.rule.concat("")
        statement = (
            select(name, func.count(), settling, func.min(job.c.id))
            .where(job.c.lane == lane, job.c.finished_at.is_(None), job.c.run_at <= until)
            .group_by(name)
        )
        with self.snapshot() as connection:
            rows = connection.execute(statement).all()
        return [OpenJobs(rule, jobs, waits, JobId(oldest)) for rule, jobs, waits, oldest in rows]

    def newest_job(self) -> JobId:
        """Give the newest job; 0 where there is none."""
        with self.snapshot() as connection:
            return JobId(connection.execute(select(func.max(job.c.id))).scalar() or 0)

    def ended(self, rule: str, first: JobId, since: datetime) -> dict[JobState, int]:
        """Count by their ending the jobs of a rule, from ``first`` on, that ended since a time."""
        statement = (
            select(job.c.state, func.count())
            .where(*_of_run(rule, first, since), job.c.state.in_(ENDINGS))
            .group_by(job.c.state)
        )
        with self.snapshot() as connection:
            return {JobState(state): jobs for state, jobs in connection.execute(statement)}

    def files_of(self, rule: str, first: JobId, since: datetime, limit: int) -> list[str]:
        """Give the files of those of these jobs that are done, the newest of too many."""
        statement = (
            select(job.c.file_hash)
            .where(
                *_of_run(rule, first, since),
                job.c.state == JobState.DONE,
                job.c.file_hash.is_not(None),
            )
            .order_by(job.c.id.desc())
            .limit(limit)
        )
        with self.snapshot() as connection:
            return list(connection.execute(statement).scalars())[::-1]

    def conditions(self) -> list[LaneStatus]:
        """Say what lanes, rules and triggers are in."""
        statement = select(condition).order_by(condition.c.kind, condition.c.name)
        with self._engine.connect() as connection:
            return [LaneStatus(*row) for row in connection.execute(statement)]

    def dead(self, limit: int, *, rule: str | None = None) -> list[DeadLetter]:
        """Give the newest dead letters: all of them, or those of a rule."""
        statement = (
            select(
                job.c.id,
                job.c.rule,
                step.c.action,
                job.c.detail,
                event.c.data,
                job.c.attempt,
                job.c.finished_at,
            )
            .join(event, event.c.id == job.c.event_id)
            .outerjoin(step, (step.c.job_id == job.c.id) & (step.c.position == job.c.step))
            .where(job.c.state == DEAD)
            .order_by(job.c.finished_at.desc(), job.c.id.desc())
            .limit(limit)
        )
        if rule is not None:
            statement = statement.where(job.c.rule == rule)
        with self._engine.connect() as connection:
            return [
                DeadLetter(JobId(i), rule, action or "", detail, data, attempts, ended)
                for i, rule, action, detail, data, attempts, ended in connection.execute(statement)
            ]

    def passed_over(self, limit: int) -> list[PassedOver]:
        """Give the newest events that a rule did not want, oldest first."""
        statement = (
            select(not_matched, event.c.data)
            .join(event, event.c.id == not_matched.c.event_id)
            .order_by(not_matched.c.judged_at.desc(), event.c.id.desc())
            .limit(limit)
        )
        with self._engine.connect() as connection:
            return [
                PassedOver(row.rule, row.reason, row.data)
                for row in reversed(connection.execute(statement).all())
            ]

    def jobs(self, limit: int) -> list[JobView]:
        """Give the newest jobs with their steps, oldest first."""
        newest = select(job.c.id).order_by(job.c.id.desc()).limit(limit)
        with self._engine.connect() as connection:
            steps: dict[int, list[StepRecord]] = {}
            for row in connection.execute(
                select(step).where(step.c.job_id.in_(newest)).order_by(step.c.position)
            ).mappings():
                steps.setdefault(row["job_id"], []).append(
                    StepRecord(
                        row["position"],
                        row["action"],
                        OutcomeKind(row["outcome"]),
                        row["detail"],
                        row["values"],
                        row["receipt"],
                    )
                )
            found = connection.execute(
                select(job, event.c.data)
                .join(event, event.c.id == job.c.event_id)
                .where(job.c.id.in_(newest))
                .order_by(job.c.id)
            )
            return [
                JobView(
                    JobId(row.id),
                    row.rule,
                    JobState(row.state),
                    row.data,
                    row.file_hash,
                    tuple(steps.get(row.id, ())),
                )
                for row in found
            ]


def _of_run(rule: str, first: JobId, since: datetime) -> tuple[ColumnElement[bool], ...]:
    # The ids only spare the database the jobs of former years.
    return (job.c.rule == rule, job.c.id >= first, job.c.finished_at >= since)
