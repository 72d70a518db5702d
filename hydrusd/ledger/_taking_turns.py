"""Whose turn it is among the jobs of a rule, and which of them give way to others.

Only rules that ask for it come by here. Whether one has a job under way is asked of the jobs
themselves each time: what a daemon remembered of it would be wrong after the first crash.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import TYPE_CHECKING, Any

from sqlalchemy import ColumnElement, Connection, bindparam, delete, func, or_, select, update

from hydrusd.ledger._batches import ListQuery, chunks
from hydrusd.ledger._sqlite import insert_or_update
from hydrusd.ledger._tables import job, pruned_job, step, superseded
from hydrusd.model import JobId, JobState

if TYPE_CHECKING:
    from hydrusd.ledger._ledger import Ledger

SUPERSEDED = "superseded: job {by} has taken its place (mode: restart)"
BUSY = "job {by} of the rule was not over (mode: single)"
BUSY_TOGETHER = "another event came together with it, and before it (mode: single)"
_AT_WORK = (JobState.RUNNING, JobState.SETTLING)

NOTHING_BEGUN = (job.c.step == 0) & ~select(step.c.job_id).where(step.c.job_id == job.c.id).exists()
"""Says of a job that waits that no step of it has run."""


@dataclass(frozen=True, slots=True)
class Queue:
    """The jobs of a rule that wait, as far as its turns hang on them.

    ``first`` is the oldest of all, unless one is at work; ``first_has_begun`` says whether some
    of its steps have run. ``unbegun``: there are such of which nothing has.
    """

    first: JobId | None = None
    first_has_begun: bool = False
    unbegun: bool = False


def queues(ledger: Ledger, rules: Sequence[str], lanes: Collection[str] = ()) -> dict[str, Queue]:
    """Give the queues of these rules, of those that have jobs waiting.

    ``lanes`` are those in which jobs may be at work.
    """
    found: dict[str, Queue] = {}
    with ledger.engine.connect() as connection:
        at_work = select(job.c.rule).where(
            job.c.lane.in_(lanes), job.c.state.in_(_AT_WORK), job.c.finished_at.is_(None)
        )
        busy = set(connection.execute(at_work.distinct()).scalars())
        for rule in rules:
            named = {"name": rule}
            unbegun = connection.execute(_UNBEGUN, named).scalar() is not None
            first = connection.execute(_FIRST, named).first()
            if first is None:
                continue
            own = None if rule in busy else JobId(first[0])
            found[rule] = Queue(own, not first[1], unbegun)
    return found


def last_activity(ledger: Ledger, rules: Sequence[str]) -> dict[str, datetime]:
    """Say when a job of these rules last began or ended; of those of which one ever did.

    Goes through all that there is: ask once, and keep count then.
    """
    ran = select(step.c.job_id).where(step.c.job_id == job.c.id).exists()
    statements = (
        select(job.c.rule, func.max(job.c.finished_at)).where(job.c.rule.in_(rules), ran),
        select(job.c.rule, func.max(step.c.began_at))
        .join(step, job.c.id == step.c.job_id)
        .where(job.c.rule.in_(rules), job.c.finished_at.is_(None)),
        select(pruned_job.c.rule, func.max(pruned_job.c.finished_at)).where(
            pruned_job.c.rule.in_(rules)
        ),
    )
    found: dict[str, datetime] = {}
    with ledger.engine.connect() as connection:
        for statement in statements:
            for rule, at in connection.execute(statement.group_by(statement.selected_columns[0])):
                if at is not None:
                    found[rule] = max(at, found.get(rule, at))
    return found


def rules_of(ledger: Ledger, ids: Sequence[JobId]) -> set[str]:
    """Give the rules of these jobs."""
    with ledger.engine.connect() as connection:
        return {
            rule for chunk in chunks(ids) for (rule,) in _RULES_OF.rows(connection, list(chunk))
        }


def superseded_among(ledger: Ledger, ids: Sequence[JobId]) -> dict[JobId, str]:
    """Give those of these jobs that are to end for a later one, each with the reason."""
    with ledger.engine.connect() as connection:
        return {
            JobId(job_id): SUPERSEDED.format(by=by)
            for chunk in chunks(ids)
            for job_id, by in _SUPERSEDED_AMONG.rows(connection, list(chunk))
        }


def open_jobs_of(connection: Connection, rules: Collection[str]) -> dict[str, JobId]:
    """Give the newest job that is not over of each of these rules that has one."""
    newest: dict[str, JobId] = {}
    for rule in rules:
        statement = select(func.max(job.c.id)).where(
            job.c.rule == rule, job.c.finished_at.is_(None)
        )
        if (job_id := connection.execute(statement).scalar()) is not None:
            newest[rule] = JobId(job_id)
    return newest


def busy_rules(ledger: Ledger, rules: Collection[str]) -> dict[str, str]:
    """Give those of these rules that have a job which is not over, with the reason to pass over."""
    with ledger.engine.connect() as connection:
        found = open_jobs_of(connection, rules)
    return {rule: BUSY.format(by=job_id) for rule, job_id in found.items()}


def pass_over_while_busy(
    connection: Connection, new_jobs: list[dict[str, Any]], single: Collection[str]
) -> list[tuple[dict[str, Any], str]]:
    """Take those jobs out that come while another one of their rule is not over; say why.

    One that is a dead letter from the start keeps nobody waiting, and is for a person to see.
    """
    wanted = {row["rule"] for row in new_jobs} & set(single)
    if not wanted:
        return []
    why = {rule: BUSY.format(by=i) for rule, i in open_jobs_of(connection, wanted).items()}
    kept: list[dict[str, Any]] = []
    passed: list[tuple[dict[str, Any], str]] = []
    for row in new_jobs:
        rule = row["rule"]
        if rule not in wanted or row["finished_at"] is not None:
            kept.append(row)
        elif rule in why:
            passed.append((row, why[rule]))
        else:
            kept.append(row)
            why[rule] = BUSY_TOGETHER
    new_jobs[:] = kept
    return passed


def supersede(connection: Connection, rules: Collection[str], now: datetime) -> list[JobId]:
    """Have the newest open job of each rule take the place of all others; give those that ended.

    Where nothing has begun there is nothing to break off. The others end when they next come to
    a point at which that is safe, which only their lane can tell: they are marked, and due now.
    """
    over: list[JobId] = []
    for rule, newest in open_jobs_of(connection, rules).items():
        older = (job.c.rule == rule, job.c.id < newest, job.c.finished_at.is_(None))
        ended = connection.execute(
            update(job)
            .where(*older, job.c.state == JobState.READY, NOTHING_BEGUN)
            .values(state=JobState.SKIPPED, detail=SUPERSEDED.format(by=newest), finished_at=now)
            .returning(job.c.id)
        )
        over += map(JobId, ended.scalars())
        left = connection.execute(select(job.c.id).where(*older)).scalars()
        rows = [{"job_id": job_id, "by_job": newest} for job_id in left]
        insert_or_update(connection, superseded, rows)
        if rows:
            connection.execute(
                update(job)
                .where(*older, job.c.state == JobState.READY, job.c.run_at > now)
                .values(run_at=now)
            )
    return sorted(over)


def no_longer_superseded(connection: Connection, chosen: Sequence[ColumnElement[bool]]) -> None:
    """Let these jobs run, for a person has put them back."""
    connection.execute(
        delete(superseded).where(superseded.c.job_id.in_(select(job.c.id).where(*chosen)))
    )


def may_be_claimed(
    held: Collection[str], turns: Mapping[str, JobId | None]
) -> list[ColumnElement[bool]]:
    """Give what chooses jobs whose turn it may be.

    Those of ``held`` rules only if they have begun; of the rules in ``turns`` only the one named.
    """
    chosen: list[ColumnElement[bool]] = []
    if held:
        chosen.append(or_(job.c.rule.not_in(held), ~NOTHING_BEGUN))
    if turns:
        named = [job_id for job_id in turns.values() if job_id is not None]
        chosen.append(or_(job.c.rule.not_in(list(turns)), job.c.id.in_(named)))
    return chosen


_NAMED = job.c.rule == bindparam("name")
_WAITS = (_NAMED, job.c.state == JobState.READY, job.c.finished_at.is_(None))
_FIRST = select(job.c.id, NOTHING_BEGUN).where(*_WAITS).order_by(job.c.id).limit(1)
_UNBEGUN = select(job.c.id).where(*_WAITS, NOTHING_BEGUN).order_by(job.c.id).limit(1)

_MANY: Any = bindparam("many", expanding=True)
_RULES_OF = ListQuery(select(job.c.rule).where(job.c.id.in_(_MANY)).distinct())
_SUPERSEDED_AMONG = ListQuery(
    select(superseded.c.job_id, superseded.c.by_job).where(superseded.c.job_id.in_(_MANY))
)
