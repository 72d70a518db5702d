"""What people ask the ledger: what became of this file, what did that run do?

Answers are found by identity, by words and by numbers, each with an index: they take the
same moment on a ledger of a million finished jobs as on an empty one.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from sqlalchemy import Connection, Engine, func, select

from hydrusd.ledger._ledger import FOR_GOOD
from hydrusd.ledger._reading import LaneStatus, LedgerReader
from hydrusd.ledger._tables import (
    event,
    job,
    mention,
    not_matched,
    pruned_job,
    rule_revision,
    run,
    step,
)
from hydrusd.model import Data, EventId, JobId, JobState, OutcomeKind

_OPEN = frozenset({JobState.READY, JobState.RUNNING, JobState.SETTLING})
_AFTER_BAR = "}"
"""The character behind ``|``: every key that begins with ``…|`` is less than ``…}``."""


@dataclass(frozen=True, slots=True)
class StepTrace:
    """A step as it went. ``began_at`` is None for what an older hydrusd did."""

    position: int
    action: str
    outcome: OutcomeKind
    detail: str
    values: Data
    receipt: Data | None
    began_at: datetime | None
    ended_at: datetime

    @property
    def seconds(self) -> float | None:
        """How long it took, from the begin of its set to the end being stored."""
        return None if self.began_at is None else (self.ended_at - self.began_at).total_seconds()


@dataclass(frozen=True, slots=True)
class JobTrace:
    """A job with all that it did. ``step`` is the position of its next step, or of its last."""

    job_id: JobId
    event_id: EventId
    run_id: int | None
    rule: str
    revision: str
    lane: str
    state: JobState
    step: int
    needs_client: bool
    attempt: int
    run_at: datetime
    file_hash: str | None
    detail: str
    created_at: datetime
    finished_at: datetime | None
    data: Data
    steps: Sequence[StepTrace]

    @property
    def is_open(self) -> bool:
        """Say whether it has not ended."""
        return self.state in _OPEN


@dataclass(frozen=True, slots=True)
class NotTaken:
    """The verdict of a rule that did not want an event.

    ``for_good``: its trigger passed it over, whatever the rule says.
    """

    rule: str
    revision: str
    reason: str
    judged_at: datetime
    for_good: bool


@dataclass(frozen=True, slots=True)
class PrunedJob:
    """What is left of a job that was pruned."""

    rule: str
    state: JobState
    finished_at: datetime


@dataclass(frozen=True, slots=True)
class Trace:
    """An event with all that followed from it.

    ``there`` is False where what it stood for is known to be gone: moved, trashed, replaced.
    Where it was pruned, ``data`` is empty and the reasons of ``not_taken`` are; ``pruned`` has
    the jobs that there were.
    """

    event_id: EventId
    trigger: str
    key: str
    data: Data
    noticed_at: datetime
    there: bool
    jobs: Sequence[JobTrace]
    not_taken: Sequence[NotTaken]
    pruned_at: datetime | None = None
    pruned: Sequence[PrunedJob] = ()


@dataclass(frozen=True, slots=True)
class RunView:
    """One firing of a rule. ``ended_at`` is None while a job of it is open.

    ``eventful`` is False where nothing was changed and nothing gave up.
    """

    run_id: int
    rule: str
    trigger: str
    started_at: datetime
    ended_at: datetime | None
    eventful: bool
    jobs: Mapping[JobState, int]


@dataclass(frozen=True, slots=True)
class StepSummary:
    """One step over all jobs of a run: how it ended for how many, and from when to when."""

    position: int
    action: str
    outcomes: Mapping[OutcomeKind, int]
    began_at: datetime | None
    ended_at: datetime


class History(LedgerReader):
    """Answers about items, jobs and runs. Each method is one snapshot."""

    # --- items ---------------------------------------------------------------------------

    def about_key(self, start: str, limit: int) -> list[Trace]:
        """Give the newest events whose key begins so, oldest first. ``start`` ends with ``|``."""
        end = start.removesuffix("|") + _AFTER_BAR
        ids: list[int] = []
        with self._engine.connect() as connection:
            for trigger in _triggers(connection):
                statement = (
                    select(event.c.id)
                    .where(event.c.trigger == trigger, event.c.key >= start, event.c.key < end)
                    .order_by(event.c.id.desc())
                    .limit(limit)
                )
                ids += connection.execute(statement).scalars()
            return _traces(connection, sorted(ids)[-limit:])

    def about_word(self, word: str, limit: int) -> list[Trace]:
        """Give the newest events with that file name, URL or hash in them, oldest first."""
        with self._engine.connect() as connection:
            return _traces(connection, sorted(_mentioned(connection, word, limit)))

    def about_hash(self, file_hash: str, limit: int) -> list[Trace]:
        """Give the newest events about a file of the client, oldest first."""
        # All that this asks for is in an index, which is smaller than the jobs by far.
        jobs = (
            select(job.c.id)
            .where(job.c.file_hash == file_hash, job.c.file_hash.is_not(None))
            .order_by(job.c.id.desc())
            .limit(limit)
        )
        statement = select(job.c.event_id).where(job.c.id.in_(jobs))
        with self._engine.connect() as connection:
            ids = {*connection.execute(statement).scalars()}
            ids.update(_mentioned(connection, file_hash, limit))
            return _traces(connection, sorted(ids)[-limit:])

    def about_job(self, job_id: int) -> Trace | None:
        """Give the event of a job, with all jobs that it led to; None where there is no such."""
        with self._engine.connect() as connection:
            ids = connection.execute(select(job.c.event_id).where(job.c.id == job_id)).scalars()
            return next(iter(_traces(connection, list(ids))), None)

    def job_was_there(self, job_id: int) -> bool:
        """Say whether a job of that number was made, though it may be pruned by now."""
        return _was_given(self._engine, job.c.id, job_id)

    def run_was_there(self, run_id: int) -> bool:
        """Say whether a run of that number was made, though it may be pruned by now."""
        return _was_given(self._engine, run.c.id, run_id)

    def definition(self, rule: str, revision: str) -> str | None:
        """Give the definition of a rule as it was at that revision."""
        statement = select(rule_revision.c.definition).where(
            rule_revision.c.rule == rule, rule_revision.c.revision == revision
        )
        with self._engine.connect() as connection:
            return connection.execute(statement).scalar()

    # --- runs ----------------------------------------------------------------------------

    def runs(self, limit: int, *, rule: str | None = None, dull: bool = False) -> list[RunView]:
        """Give the newest runs, newest first. Without ``dull`` only those worth a look:
        something was changed, gave up, or is not over.
        """
        of_rule = [] if rule is None else [run.c.rule == rule]
        with self._engine.connect() as connection:
            ids: set[int] = set() if dull else _open_runs(connection, rule)
            for eventful in (True, False) if dull else (True,):
                # One after the other: each is the end of an index, both together are not.
                statement = (
                    select(run.c.id)
                    .where(*of_rule, run.c.eventful == eventful)
                    .order_by(run.c.id.desc())
                    .limit(limit)
                )
                ids.update(connection.execute(statement).scalars())
            return _run_views(connection, sorted(ids, reverse=True)[:limit])

    def run(self, run_id: int) -> RunView | None:
        """Give one run; None where there is no such."""
        with self._engine.connect() as connection:
            return next(iter(_run_views(connection, [run_id])), None)

    def jobs_of(self, run_id: int, limit: int) -> list[JobTrace]:
        """Give the jobs of a run with their steps, the oldest first."""
        statement = select(job.c.id).where(job.c.run_id == run_id).order_by(job.c.id).limit(limit)
        with self._engine.connect() as connection:
            ids = connection.execute(statement).scalars().all()
            return _jobs(connection, job.c.id, ids)

    def open_in(self, run_id: int) -> dict[str, datetime]:
        """Give the lanes in which a run has open jobs, and when the first of these is due."""
        statement = (
            select(job.c.lane, func.min(job.c.run_at))
            .where(job.c.run_id == run_id, job.c.finished_at.is_(None))
            .group_by(job.c.lane)
        )
        with self._engine.connect() as connection:
            return dict(connection.execute(statement).all())

    def steps_of(self, run_id: int) -> list[StepSummary]:
        """Give the steps of a run, summed up over its jobs, in their order."""
        statement = (
            select(
                step.c.position,
                step.c.action,
                step.c.outcome,
                func.count(),
                func.min(step.c.began_at),
                func.max(step.c.ended_at),
            )
            .join(job, job.c.id == step.c.job_id)
            .where(job.c.run_id == run_id)
            .group_by(step.c.position, step.c.action, step.c.outcome)
        )
        with self._engine.connect() as connection:
            rows = connection.execute(statement).all()
        found: list[StepSummary] = []
        for position, action in sorted({(row[0], row[1]) for row in rows}):
            mine = [row for row in rows if (row[0], row[1]) == (position, action)]
            found.append(
                StepSummary(
                    position,
                    action,
                    {OutcomeKind(row[2]): row[3] for row in mine},
                    min((row[4] for row in mine if row[4] is not None), default=None),
                    max(row[5] for row in mine),
                )
            )
        return found


def waits_for(
    item: JobTrace, conditions: Sequence[LaneStatus], now: datetime, *, running: bool
) -> str:
    """Say in words what an open job waits for; nothing where it has ended.

    ``conditions`` are those of the daemon, of which ``running`` says whether there is one.
    """
    if not item.is_open:
        return ""
    own = _own_wait(item, now)
    if not running:
        return f"{own}; hydrusd is not running, and has to be started for that"
    for condition in conditions:
        if (condition.kind, condition.name) != ("rule", item.rule):
            continue
        # What has begun is held up by nothing but a rule that cannot work.
        begun = item.step > 0 or item.steps or item.state is not JobState.READY
        if condition.state == "parked" or (condition.state == "waiting" and not begun):
            return f"the rule waits: {condition.reason}"
        if condition.state == "invalid":
            return f"the rule is invalid, and has to be mended: {condition.reason}"
        if condition.state == "in turn" and not begun:
            return f"its turn: {condition.reason}"
    if item.needs_client or item.state is JobState.SETTLING:
        for condition in conditions:
            if (condition.kind, condition.name, condition.state) == (
                "client",
                item.lane,
                "waiting",
            ):
                return f"the client {item.lane!r} is away: {condition.reason}"
    return own


def _own_wait(item: JobTrace, now: datetime) -> str:
    if item.state is JobState.RUNNING:
        return f"its step {item.step + 1} is being worked on"
    if item.state is JobState.SETTLING:
        return "until Hydrus has committed what was done"
    last = next((each for each in item.steps if each.position == item.step), None)
    if item.run_at > now:
        when = f"{item.run_at.astimezone():%Y-%m-%d %H:%M:%S}"
        if last is not None and last.outcome is OutcomeKind.LATER:
            return f"{last.detail}; looked at again at {when}"
        if last is not None and last.outcome is OutcomeKind.RETRY:
            return f"tried again at {when} (tried {item.attempt} times): {last.detail}"
        return f"until {when}"
    return f"its turn, for its step {item.step + 1}"


def _was_given(engine: Engine, column: Any, number: int) -> bool:
    # The newest of all is never pruned, so numbers up to its have been given.
    with engine.connect() as connection:
        return 0 < number <= (connection.execute(select(func.max(column))).scalar() or 0)


# --- statements ------------------------------------------------------------------------------


def _triggers(connection: Connection) -> list[str]:
    """Give the names of all triggers that noticed something: one seek each, no walk."""
    names: list[str] = []
    last = ""
    while (
        name := connection.execute(
            select(func.min(event.c.trigger)).where(event.c.trigger > last)
        ).scalar()
    ) is not None:
        names.append(name)
        last = name
    return names


def _mentioned(connection: Connection, word: str, limit: int) -> Sequence[int]:
    statement = (
        select(mention.c.event_id)
        .where(mention.c.word == word)
        .order_by(mention.c.event_id.desc())
        .limit(limit)
    )
    return connection.execute(statement).scalars().all()


def _traces(connection: Connection, event_ids: Sequence[int]) -> list[Trace]:
    jobs: dict[int, list[JobTrace]] = {}
    for item in _jobs(connection, job.c.event_id, event_ids):
        jobs.setdefault(item.event_id, []).append(item)
    refusals: dict[int, list[NotTaken]] = {}
    statement = (
        select(not_matched)
        .where(not_matched.c.event_id.in_(event_ids))
        .order_by(not_matched.c.event_id, not_matched.c.rule)
    )
    for row in connection.execute(statement):
        verdict = NotTaken(
            row.rule, row.revision, row.reason, row.judged_at, row.revision == FOR_GOOD
        )
        refusals.setdefault(row.event_id, []).append(verdict)
    pruned: dict[int, list[PrunedJob]] = {}
    for row in connection.execute(
        select(pruned_job)
        .where(pruned_job.c.event_id.in_(event_ids))
        .order_by(pruned_job.c.event_id, pruned_job.c.rule)
    ):
        left = PrunedJob(row.rule, JobState(row.state), row.finished_at)
        pruned.setdefault(row.event_id, []).append(left)
    return [
        Trace(
            EventId(row.id),
            row.trigger,
            row.key,
            row.data,
            row.noticed_at,
            row.freed == 0,
            tuple(jobs.get(row.id, ())),
            tuple(refusals.get(row.id, ())),
            row.pruned_at,
            tuple(pruned.get(row.id, ())),
        )
        for row in connection.execute(
            select(event).where(event.c.id.in_(event_ids)).order_by(event.c.id)
        )
    ]


def _jobs(connection: Connection, column: Any, values: Sequence[int]) -> list[JobTrace]:
    """Give the jobs with one of these values in that column (one with an index), oldest first."""
    rows = connection.execute(
        select(job, event.c.data)
        .join(event, event.c.id == job.c.event_id)
        .where(column.in_(values))
        .order_by(job.c.id)
    ).all()
    steps: dict[int, list[StepTrace]] = {}
    statement = (
        select(step)
        .where(step.c.job_id.in_([row.id for row in rows]))
        .order_by(step.c.job_id, step.c.position)
    )
    for each in connection.execute(statement).mappings():
        trace = StepTrace(
            each["position"],
            each["action"],
            OutcomeKind(each["outcome"]),
            each["detail"],
            each["values"],
            each["receipt"],
            each["began_at"],
            each["ended_at"],
        )
        steps.setdefault(each["job_id"], []).append(trace)
    return [
        JobTrace(
            JobId(row.id),
            EventId(row.event_id),
            row.run_id,
            row.rule,
            row.revision,
            row.lane,
            JobState(row.state),
            row.step,
            row.needs_client,
            row.attempt,
            row.run_at,
            row.file_hash,
            row.detail,
            row.created_at,
            row.finished_at,
            row.data,
            tuple(steps.get(row.id, ())),
        )
        for row in rows
    ]


def _open_runs(connection: Connection, rule: str | None) -> set[int]:
    """Give the runs that are not over. Walks what is open, which is little beside what ended."""
    statement = select(job.c.run_id, job.c.rule).where(job.c.finished_at.is_(None))
    return {
        run_id
        for run_id, name in connection.execute(statement)
        if run_id is not None and rule in {None, name}
    }


def _run_views(connection: Connection, ids: Collection[int]) -> list[RunView]:
    counts: dict[int, dict[JobState, int]] = {}
    ends: dict[int, list[datetime | None]] = {}
    statement = (
        select(job.c.run_id, job.c.state, func.count(), func.max(job.c.finished_at))
        .where(job.c.run_id.in_(ids))
        .group_by(job.c.run_id, job.c.state)
    )
    for run_id, state, count, ended_at in connection.execute(statement):
        counts.setdefault(run_id, {})[JobState(state)] = count
        ends.setdefault(run_id, []).append(ended_at)
    rows = connection.execute(select(run).where(run.c.id.in_(ids)).order_by(run.c.id.desc()))
    return [
        RunView(
            row.id,
            row.rule,
            row.trigger,
            row.started_at,
            _last(ends.get(row.id, ())),
            row.eventful,
            counts.get(row.id, {}),
        )
        for row in rows
    ]


def _last(moments: Sequence[datetime | None]) -> datetime | None:
    ended = [moment for moment in moments if moment is not None]
    return max(ended) if ended and len(ended) == len(moments) else None
