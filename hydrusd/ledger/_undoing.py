"""Taking back what jobs did: jobs of their own, and which job they are about.

To undo is to do something: an event that a person caused, jobs, steps, receipts, a run. What is
to be taken back is copied into the event, so that neither a rewritten rule nor a pruned ledger
can change what the person has agreed to.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from sqlalchemy import Connection, and_, bindparam, case, func, insert, select, update

from hydrusd.errors import LedgerError
from hydrusd.ledger._batches import ListQuery, chunks
from hydrusd.ledger._explaining import History, JobTrace, _jobs
from hydrusd.ledger._ledger import (
    _NEW_JOBS,
    KEEP_STEPS,
    RETRIED,
    Ledger,
    StepUpdate,
    _add_events,
    _mention,
    step_row,
)
from hydrusd.ledger._mentioning import words_in_event
from hydrusd.ledger._sqlite import insert_ignoring
from hydrusd.ledger._tables import event, job, rule_revision, run, undoing
from hydrusd.model import UNDO, Data, JobState

_AFTER_BAR = "}"


@dataclass(frozen=True, slots=True)
class NewUndo:
    """One job that is to be taken back, and by what.

    ``data`` is what the new event says, ``definition`` the steps of the rule ``rule`` at
    ``revision``. ``seen`` are the jobs that were known to undo it when that was planned.
    """

    of_job: int
    rule: str
    revision: str
    definition: str
    lane: str
    needs_client: bool
    data: Data
    seen: frozenset[int] = frozenset()


@dataclass(frozen=True, slots=True)
class UndoJob:
    """A job that takes back what another one did."""

    job_id: int
    run_id: int | None
    state: JobState
    of_job: int
    of_run: int | None


@dataclass(frozen=True, slots=True)
class PutBack:
    """A file that an undo has put back, or is about to: by which job, of what rule's doing."""

    job_id: int
    rule: str
    revision: str


# --- writing ---------------------------------------------------------------------------------


def enqueue_undo(ledger: Ledger, undos: Sequence[NewUndo], now: datetime) -> int:
    """Make a run of jobs that take back what others did; give its number.

    All of them or none. Raises LedgerError where one of these has been put back to work, or
    where somebody else has begun to undo it since that was planned.
    """
    with ledger.engine.begin() as connection:
        keys = _still_over(connection, undos)
        former = _refuse_doubles(connection, undos)
        definitions = [
            {"rule": r, "revision": v, "definition": d, "first_seen_at": now}
            for r, v, d in {(u.rule, u.revision, u.definition) for u in undos}
        ]
        insert_ignoring(connection, rule_revision, definitions)
        made = insert(run).values(rule=undos[0].rule, trigger=UNDO, started_at=now, eventful=False)
        run_id = int(connection.execute(made.returning(run.c.id)).scalar_one())
        for some in chunks(undos):
            _enqueue(connection, some, keys, former, run_id, now)
    return run_id


def _enqueue(
    connection: Connection,
    undos: Sequence[NewUndo],
    about: Mapping[int, tuple[str, int | None, str | None]],
    former: Mapping[int, int],
    run_id: int,
    now: datetime,
) -> None:
    keys = {
        f"{about[u.of_job][0]}|{UNDO}|{u.of_job}|{former.get(u.of_job, 0) + 1}": u for u in undos
    }
    made, _ = _add_events(connection, UNDO, {key: u.data for key, u in keys.items()}, now)
    ids = {event_id: keys[key] for key, event_id in made.items()}
    _mention(connection, {i: words_in_event(u.data) for i, u in ids.items()})
    jobs = [
        {
            "event_id": event_id,
            "rule": u.rule,
            "revision": u.revision,
            "lane": u.lane,
            "state": JobState.READY,
            "step": 0,
            "needs_client": u.needs_client,
            "attempt": 0,
            "run_at": now,
            "detail": "",
            "created_at": now,
            "finished_at": None,
            "file_hash": about[u.of_job][2],
            "run_id": run_id,
        }
        for event_id, u in ids.items()
    ]
    _NEW_JOBS.execute(connection, jobs)
    numbers = select(job.c.id, job.c.event_id).where(job.c.event_id.in_(ids))
    rows = [
        {"job_id": i, "of_job": ids[e].of_job, "of_run": about[ids[e].of_job][1]}
        for i, e in connection.execute(numbers)
    ]
    insert_ignoring(connection, undoing, rows)


def _still_over(
    connection: Connection, undos: Sequence[NewUndo]
) -> dict[int, tuple[str, int | None, str | None]]:
    """Give of each job to be undone the key of its event, its run and its file."""
    found: dict[int, tuple[str, int | None, str | None]] = {}
    for some in chunks([u.of_job for u in undos]):
        statement = (
            select(job.c.id, event.c.key, job.c.run_id, job.c.file_hash)
            .join(event, event.c.id == job.c.event_id)
            .where(job.c.id.in_(some), job.c.finished_at.is_not(None))
        )
        found |= {
            row.id: (row.key, row.run_id, row.file_hash) for row in connection.execute(statement)
        }
    for each in undos:
        if each.of_job not in found:
            raise LedgerError(f"job {each.of_job} is at work again; nothing is undone")
    return found


def _refuse_doubles(connection: Connection, undos: Sequence[NewUndo]) -> dict[int, int]:
    """Count how often each was undone before; refuse what was not known when it was planned."""
    seen = {u.of_job: u.seen for u in undos}
    former: dict[int, int] = {}
    for some in chunks(list(seen)):
        statement = select(undoing.c.of_job, undoing.c.job_id).where(undoing.c.of_job.in_(some))
        for of_job, job_id in connection.execute(statement):
            if job_id not in seen[of_job]:
                raise LedgerError(
                    f"somebody else has just begun to undo job {of_job} (by job {job_id}); "
                    f"nothing more is undone"
                )
            former[of_job] = former.get(of_job, 0) + 1
    return former


def take_up_undo(ledger: Ledger, rule: str) -> None:
    """Let retried jobs of an undo go on where they failed, if all before that is durable."""
    with ledger.engine.begin() as connection:
        connection.execute(
            update(job)
            .where(
                job.c.rule == rule,
                job.c.state == JobState.READY,
                job.c.finished_at.is_(None),
                job.c.revision.startswith(RETRIED, autoescape=True),
            )
            .values(
                revision=func.substr(job.c.revision, len(RETRIED) + 1),
                step=case((job.c.boot.is_(None), job.c.step), else_=0),
                needs_client=True,
            )
        )


def keep_steps(ledger: Ledger, owner: str, steps: Sequence[StepUpdate], now: datetime) -> None:
    """Keep what steps are about to change, before they do.

    Raises LedgerError where one of their jobs is no longer this owner's.
    """
    ids = sorted({item.job_id for item in steps})
    with ledger.engine.begin() as connection:
        for chunk in chunks(ids):
            leased = _LEASED.rows(connection, chunk, leased_by=owner)
            if len(leased) < len(chunk):
                raise LedgerError("lost the lease of jobs that were about to change something")
        KEEP_STEPS.execute_rows(connection, [step_row(item, now) for item in steps])


_LEASED = ListQuery(
    select(job.c.id).where(
        job.c.id.in_(bindparam("many", expanding=True)),
        job.c.owner == bindparam("leased_by"),
        job.c.state == bindparam("leased_state", JobState.RUNNING),
    )
)


# --- reading ---------------------------------------------------------------------------------


def has_undone(ledger: Ledger) -> bool:
    """Say whether anything was ever taken back."""
    with ledger.engine.connect() as connection:
        return connection.execute(_ANY_UNDO).first() is not None


_ANY_UNDO = select(event.c.id).where(event.c.trigger == UNDO).limit(1)


def put_back(
    ledger: Ledger, trigger: str, files: Mapping[str, tuple[str, int, int]]
) -> dict[str, PutBack]:
    """Give those of the events, by their keys, whose file an undo has put back.

    ``files`` says of each key how the keys of its path begin, the size of the file and its
    time of modification in nanoseconds. Events that were noticed before are left out: what
    was to be said of them was said then.
    """
    found: dict[str, PutBack] = {}
    with ledger.engine.connect() as connection:
        for some in chunks(list(files)):
            known = select(event.c.key).where(
                event.c.trigger == trigger, event.c.freed == 0, event.c.key.in_(some)
            )
            for key in set(some) - set(connection.execute(known).scalars()):
                start, size, mtime_ns = files[key]
                end = start.removesuffix("|") + _AFTER_BAR
                statement = (
                    select(job.c.id, event.c.key, event.c.data)
                    .join(job, job.c.event_id == event.c.id)
                    .where(event.c.trigger == UNDO, event.c.key >= start, event.c.key < end)
                    .order_by(job.c.id.desc())
                )
                for row in connection.execute(statement):
                    if (back := _put_back(row, start, size, mtime_ns)) is not None:
                        found[key] = back
                        break
    return found


COARSEST_MTIME_NS = 2_000_000_000
"""FAT counts in steps of two seconds."""


def _put_back(row: Any, start: str, size: int, mtime_ns: int) -> PutBack | None:
    taken = row.data.get(UNDO)
    if not isinstance(taken, Mapping):
        return None
    try:
        # By the key, not by what the event is about: what came late is known by its own key.
        of_size, of_mtime_ns, *_ = row.key[len(start) :].split("|")
        same = int(of_size) == size and abs(int(of_mtime_ns) - mtime_ns) <= COARSEST_MTIME_NS
    except ValueError:
        return None  # not noticed as a file
    origin = taken.get("origin", {})
    return PutBack(row.id, origin.get("rule", ""), origin.get("revision", "")) if same else None


class UndoHistory(History):
    """Answers about what was taken back. Each method is one snapshot."""

    def finished_jobs(self, run_id: int) -> tuple[list[JobTrace], int]:
        """Give the jobs of a run that are over, the oldest first, and how many are not."""
        of_run = job.c.run_id == run_id
        over = select(job.c.id).where(of_run, job.c.finished_at.is_not(None)).order_by(job.c.id)
        still = select(func.count()).where(of_run, job.c.finished_at.is_(None))
        found: list[JobTrace] = []
        with self._engine.connect() as connection:
            for some in chunks(connection.execute(over).scalars().all()):
                found += _jobs(connection, job.c.id, some)
            return found, connection.execute(still).scalar() or 0

    def jobs_with(self, ids: Collection[int]) -> list[JobTrace]:
        """Give jobs by their numbers, with their steps."""
        found: list[JobTrace] = []
        with self._engine.connect() as connection:
            for some in chunks(sorted(ids)):
                found += _jobs(connection, job.c.id, some)
        return found

    def undos_of(self, jobs: Collection[int]) -> dict[int, list[UndoJob]]:
        """Give the jobs that take back what these did, by these, the oldest first."""
        return self._undos(undoing.c.of_job, jobs, "of_job")

    def undone_by(self, jobs: Collection[int]) -> dict[int, UndoJob]:
        """Say what these jobs take back, for those that do."""
        found = self._undos(undoing.c.job_id, jobs, "job_id")
        return {job_id: only for job_id, [only] in found.items()}

    def _undos(self, column: Any, ids: Collection[int], by: str) -> dict[int, list[UndoJob]]:
        found: dict[int, list[UndoJob]] = {}
        with self._engine.connect() as connection:
            for some in chunks(sorted(ids)):
                statement = (
                    select(undoing, job.c.run_id, job.c.state)
                    .join(job, job.c.id == undoing.c.job_id)
                    .where(column.in_(some))
                    .order_by(undoing.c.job_id)
                )
                for row in connection.execute(statement):
                    item = UndoJob(
                        row.job_id, row.run_id, JobState(row.state), row.of_job, row.of_run
                    )
                    found.setdefault(getattr(item, by), []).append(item)
        return found

    def runs_undoing(self, run_id: int) -> dict[int, int]:
        """Give the runs that take back what jobs of this one did, with how many of them."""
        return self._related_runs(job.c.run_id, undoing.c.of_run == run_id)

    def runs_undone_by(self, run_id: int) -> dict[int, int]:
        """Give the runs of which this one takes jobs back, with how many."""
        return self._related_runs(undoing.c.of_run, job.c.run_id == run_id)

    def _related_runs(self, wanted: Any, where: Any) -> dict[int, int]:
        statement = (
            select(wanted, func.count())
            .select_from(undoing.join(job, job.c.id == undoing.c.job_id))
            .where(and_(where, wanted.is_not(None)))
            .group_by(wanted)
            .order_by(wanted)
        )
        with self._engine.connect() as connection:
            return dict(connection.execute(statement).all())
