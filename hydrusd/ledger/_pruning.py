"""Lets go of what has ended long ago, and keeps what it was.

An event stays for good, with its key and with which rules have had it: that is what keeps a
file from being imported twice. What goes is what only people ask for: the data of the event,
the jobs with their steps and receipts, the reasons of rules that did not want it, runs without
jobs, signals that everyone has read. Dead letters and what is not over are never touched.

It goes a few events at a time, each time in a transaction of its own, so that nobody waits for
it and a crash in the middle costs nothing.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from sqlalchemy import (
    Connection,
    Engine,
    delete,
    func,
    insert,
    literal,
    select,
    tuple_,
    update,
)

from hydrusd.ledger._sqlite import compact, insert_ignoring, room
from hydrusd.ledger._tables import (
    begun,
    event,
    job,
    mention,
    not_matched,
    pruned_job,
    run,
    signal,
    step,
    trigger_memory,
)
from hydrusd.model import UNDO_RULE, JobState

BATCH = 50
"""How many events one transaction looks at."""
RUNS_BATCH = 1_000
MOST_WORDS_LEFT = 8
"""An event of more words is a list of files, by which nobody will look for it."""

Cursor = tuple[datetime, int]


@dataclass(frozen=True, slots=True)
class Retention:
    """Before which times what has ended is let go; None keeps it for ever.

    ``dull`` holds for jobs of which nothing came, and for events that no rule wanted.
    """

    whole: datetime | None
    dull: datetime | None

    @property
    def latest(self) -> datetime | None:
        """The later of the two: nothing that ended after it goes."""
        return max((at for at in (self.whole, self.dull) if at is not None), default=None)


@dataclass(frozen=True, slots=True)
class Pruned:
    """What a batch let go, or would. ``cursor`` is where the next one begins; None at the end."""

    cursor: Cursor | None = None
    events: int = 0
    jobs: int = 0
    steps: int = 0
    reasons: int = 0
    runs: int = 0
    signals: int = 0

    def __add__(self, other: Pruned) -> Pruned:
        """Sum up two batches that follow each other."""
        return Pruned(
            other.cursor,
            self.events + other.events,
            self.jobs + other.jobs,
            self.steps + other.steps,
            self.reasons + other.reasons,
            self.runs + other.runs,
            self.signals + other.signals,
        )


@dataclass(frozen=True, slots=True)
class Listener:
    """A trigger that reads signals: under what it remembers its place, and on which topics."""

    trigger: str
    identity: str
    topics: frozenset[str]


class Pruning:
    """The part of the ledger that lets go."""

    _engine: Engine

    def prune_events(
        self, retention: Retention, now: datetime, *, after: Cursor | None, dry_run: bool = False
    ) -> Pruned:
        """Let go what a few events led to, the oldest first, from behind ``after`` on.

        Kept are the newest job and run, whose numbers would be given anew otherwise.
        """
        latest = retention.latest
        if latest is None:
            return Pruned()
        statement = (
            select(event.c.noticed_at, event.c.id, event.c.freed)
            .where(event.c.pruned_at.is_(None), event.c.noticed_at < latest)
            .order_by(event.c.noticed_at, event.c.id)
            .limit(BATCH)
        )
        if after is not None:
            statement = statement.where(
                tuple_(event.c.noticed_at, event.c.id) > tuple_(*map(_bound, _COLUMNS, after))
            )
        with self._engine.begin() as connection:
            rows = connection.execute(statement).all()
            cursor = (rows[-1].noticed_at, rows[-1].id) if len(rows) == BATCH else None
            found = _judge(connection, {row.id: row.noticed_at for row in rows}, retention)
            jobs = [each for each in found.jobs if each.event_id in found.ids]
            steps = _count(connection, step.c.job_id, [each.id for each in jobs])
            reasons = _count(connection, not_matched.c.event_id, found.ids)
            if not dry_run:
                _let_go(connection, found.ids, jobs, now)
        return Pruned(cursor, len(found.ids), len(jobs), steps, reasons)

    def prune_runs(
        self, retention: Retention, *, after: int, dry_run: bool = False
    ) -> tuple[int | None, int]:
        """Let go runs without jobs that began so long ago; give where to go on, and how many."""
        if retention.latest is None:
            return None, 0
        with self._engine.begin() as connection:
            newest = connection.execute(select(func.max(run.c.id))).scalar() or 0
            rows = connection.execute(
                select(run.c.id, run.c.started_at, run.c.eventful)
                .where(run.c.id > after, run.c.id < newest)
                .order_by(run.c.id)
                .limit(RUNS_BATCH)
            ).all()
            ids = [row.id for row in rows if _is_over(row.started_at, row.eventful, retention)]
            kept = set(
                connection.execute(
                    select(job.c.run_id).where(job.c.run_id.in_(ids)).distinct()
                ).scalars()
            )
            gone = [i for i in ids if i not in kept]
            if gone and not dry_run:
                connection.execute(delete(run).where(run.c.id.in_(gone)))
        # What is young has only younger ones behind it, unless a clock was wrong: another day.
        is_end = len(rows) < RUNS_BATCH or not ids
        return None if is_end else rows[-1].id, len(gone)

    def prune_signals(
        self, before: datetime | None, listeners: Sequence[Listener], *, after: int
    ) -> tuple[int | None, int]:
        """Let go signals of before that time, but those that a listener has not read yet.

        Gives where to go on, and how many went.
        """
        if before is None:
            return None, 0
        with self._engine.begin() as connection:
            read = _read_by(connection, listeners)
            rows = connection.execute(
                select(signal.c.id, signal.c.topic, signal.c.created_at)
                .where(signal.c.id > after)
                .order_by(signal.c.id)
                .limit(RUNS_BATCH)
            ).all()
            old = [row for row in rows if row.created_at < before]
            gone = [row.id for row in old if row.id <= read.get(row.topic, row.id)]
            if gone:
                connection.execute(delete(signal).where(signal.c.id.in_(gone)))
        is_end = len(rows) < RUNS_BATCH or not old
        return None if is_end else rows[-1].id, len(gone)

    def room(self) -> tuple[int, int]:
        """Say how many bytes the file has, and how many of them are free for what comes."""
        with self._engine.begin() as connection:
            return room(connection)

    def compact(self) -> None:
        """Write the file anew without what is free in it, for which twice the room is needed.

        Nobody else may have the ledger open. Raises LedgerError where it cannot be done.
        """
        compact(self._engine)

    def forget_begun(self, before: datetime) -> None:
        """Forget how many jobs began before a time."""
        with self._engine.begin() as connection:
            connection.execute(delete(begun).where(begun.c.minute < before))


_COLUMNS = (event.c.noticed_at, event.c.id)


def _bound(column: Any, value: object) -> Any:
    """Give a value as the column stores it: inside a tuple nothing else says so."""
    return literal(value, column.type)


@dataclass(frozen=True, slots=True)
class _Judged:
    """Which events may go, and all jobs that were looked at."""

    ids: Sequence[int]
    jobs: Sequence[Any]


def _judge(
    connection: Connection, noticed: Mapping[int, datetime], retention: Retention
) -> _Judged:
    newest = connection.execute(select(func.max(job.c.id))).scalar() or 0
    jobs = connection.execute(
        select(
            job.c.id,
            job.c.event_id,
            job.c.rule,
            job.c.state,
            job.c.file_hash,
            job.c.finished_at,
            run.c.eventful,
        )
        .outerjoin(run, run.c.id == job.c.run_id)
        .where(job.c.event_id.in_(noticed))
    ).all()
    judged = connection.execute(
        select(not_matched.c.event_id, func.max(not_matched.c.judged_at))
        .where(not_matched.c.event_id.in_(noticed))
        .group_by(not_matched.c.event_id)
    )
    last = dict(noticed)
    for event_id, at in judged:
        last[event_id] = max(last[event_id], at)
    held: set[int] = set()
    eventful: set[int] = set()
    for each in jobs:
        if each.finished_at is None or each.state == JobState.DEAD or each.id == newest:
            held.add(each.event_id)
            continue
        last[each.event_id] = max(last[each.event_id], each.finished_at)
        # Of a run that is not known any more nothing is known; an undo, even of nothing, says
        # what became of its job, and must not be asked for a second time.
        if each.eventful is not False or each.rule.startswith(UNDO_RULE):
            eventful.add(each.event_id)
    ids = [i for i in noticed if i not in held and _is_over(last[i], i in eventful, retention)]
    return _Judged(ids, jobs)


def _is_over(last: datetime, eventful: bool, retention: Retention) -> bool:
    limits = [retention.whole] if eventful else [retention.whole, retention.dull]
    return any(limit is not None and last < limit for limit in limits)


def _let_go(connection: Connection, ids: Sequence[int], jobs: Sequence[Any], now: datetime) -> None:
    if not ids:
        return
    many = connection.execute(
        select(mention.c.event_id)
        .where(mention.c.event_id.in_(ids))
        .group_by(mention.c.event_id)
        .having(func.count() > MOST_WORDS_LEFT)
    ).scalars()
    connection.execute(delete(mention).where(mention.c.event_id.in_(many.all())))
    if jobs:
        connection.execute(
            insert(pruned_job),
            [
                {
                    "event_id": each.event_id,
                    "rule": each.rule,
                    "state": each.state,
                    "finished_at": each.finished_at,
                }
                for each in jobs
            ],
        )
        _still_found(connection, jobs)
        connection.execute(delete(job).where(job.c.id.in_([each.id for each in jobs])))
    connection.execute(update(not_matched).where(not_matched.c.event_id.in_(ids)).values(reason=""))
    connection.execute(update(event).where(event.c.id.in_(ids)).values(data={}, pruned_at=now))


def _still_found(connection: Connection, jobs: Iterable[Any]) -> None:
    """Have the events found by the files that their jobs were about, as before."""
    words = {(each.event_id, each.file_hash) for each in jobs if each.file_hash}
    insert_ignoring(connection, mention, [{"event_id": i, "word": word} for i, word in words])


def _count(connection: Connection, column: Any, values: Sequence[int]) -> int:
    statement = select(func.count()).where(column.in_(values))
    return connection.execute(statement).scalar() or 0


def _read_by(connection: Connection, listeners: Sequence[Listener]) -> dict[str, int]:
    """Give up to which signal each topic was read by all that listen to it."""
    kept = connection.execute(
        select(trigger_memory.c.trigger, trigger_memory.c.identity, trigger_memory.c.value).where(
            trigger_memory.c.name == "signal"
        )
    )
    positions = {(trigger, identity): value for trigger, identity, value in kept}
    read: dict[str, int] = {}
    for each in listeners:
        position = positions.get((each.trigger, each.identity))
        # One that has not begun to read may want all of it.
        up_to = position if isinstance(position, int) else 0
        for topic in each.topics:
            read[topic] = min(up_to, read.get(topic, up_to))
    return read
