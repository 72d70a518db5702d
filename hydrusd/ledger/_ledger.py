"""The ledger's statements: take in, claim, checkpoint, settle, recover.

Every method is one transaction, so a crash leaves either all of it or nothing.
A claim is a lease (owner, expiry, attempt): whoever finishes must still hold it,
and writes nothing where it does not.
"""

from __future__ import annotations

import contextlib
import os
import re
import sys
from collections import Counter
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any, NamedTuple

from filelock import FileLock, Timeout
from sqlalchemy import (
    JSON,
    BindParameter,
    ColumnElement,
    Connection,
    Engine,
    Integer,
    Text,
    and_,
    bindparam,
    case,
    column,
    delete,
    func,
    insert,
    literal,
    null,
    select,
    tuple_,
    update,
)

from hydrusd.errors import LedgerError, LedgerLocked
from hydrusd.exact_json import decode
from hydrusd.ledger._backups import Occasion, back_up, problems_of, refuse_what_is_left
from hydrusd.ledger._batches import Batch, ListQuery, as_kept, chunks, given
from hydrusd.ledger._disks import network_mount
from hydrusd.ledger._had import FileHad, files_had, free_plain_keys
from hydrusd.ledger._known_files import KnownFiles, forget_files_of
from hydrusd.ledger._mentioning import (
    SPEAKING,
    made_paths,
    storable,
    words_in_event,
    words_in_step,
)
from hydrusd.ledger._migrating import is_outdated, migrate
from hydrusd.ledger._pruning import Pruning
from hydrusd.ledger._sqlite import (
    damage,
    has_been_left_open,
    insert_ignoring,
    insert_or_add,
    insert_or_update,
    inserting_ignoring,
    inserting_or_updating,
    open_engine,
    unhurried,
)
from hydrusd.ledger._tables import (
    DEAD,
    begun,
    condition,
    ended,
    event,
    job,
    mention,
    not_matched,
    pruned_job,
    rule_revision,
    run,
    signal,
    step,
    trigger_memory,
    written,
)
from hydrusd.ledger._taking_turns import (
    may_be_claimed,
    no_longer_superseded,
    pass_over_while_busy,
    supersede,
)
from hydrusd.model import (
    UNDO_RULE,
    Data,
    Event,
    EventId,
    FinishedJob,
    Job,
    JobId,
    JobState,
    OutcomeKind,
    StepRecord,
    chain_of,
    finished_topic,
    tells,
)

LEASE = timedelta(minutes=10)

DROPPED = "dropped by a person: "

TOO_MANY = (
    "one run of its rule may have {limit:,} jobs, and this is beyond them (limits: per_run says "
    "how many)"
)

RUNS_KEPT = 10_000
"""How many runs are known to be marked; the mark of any other is set once more."""

RETRIED = "?"
"""Before the revision of a job that a person has put back to work, until a daemon takes it up."""

FOR_GOOD = "*"
"""Stands for all revisions of a rule, where no rewriting brings an event back."""


_HASH_ALONE = frozenset({"hash"})
_HASH = re.compile(r"[0-9a-f]{64}")


@dataclass(frozen=True, slots=True)
class NewJob:
    """A rule matched: a job is to be made.

    ``failure`` is set where the condition could not be judged: the job is then made
    as a dead letter at once, for a person to see, instead of guessing yes or no.
    """

    rule: str
    revision: str
    lane: str
    needs_client: bool
    failure: str = ""


@dataclass(frozen=True, slots=True)
class NotMatched:
    """A rule did not match, because …"""

    rule: str
    revision: str
    reason: str


@dataclass(frozen=True, slots=True)
class PendingEvent:
    """An event with the verdict of every rule that listens to its trigger."""

    event: Event
    verdicts: Sequence[NewJob | NotMatched]


@dataclass(frozen=True, slots=True)
class Memory:
    """What a trigger wants to be kept under its identity; None forgets a name."""

    identity: str
    values: Mapping[str, object]


@dataclass(frozen=True, slots=True)
class KeptSignal:
    """A signal as it is kept."""

    id: int
    topic: str
    data: Data
    created_at: datetime


@dataclass(frozen=True, slots=True)
class RunSoFar:
    """The run that an intake makes for a rule, or goes on with.

    ``limit`` is how many jobs it may have; those beyond it, ``surplus`` of them in the last
    intake, are dead letters from the start.
    """

    limit: int
    run_id: int | None = None
    jobs: int = 0
    surplus: int = 0


@dataclass(frozen=True, slots=True)
class Intake:
    """What an intake stored. ``runs`` are those that it made or went on with, by rule.

    ``busy`` says how many events were passed over as a job of the rule was not over;
    ``superseded`` are the jobs that ended for a new one.
    """

    events: int
    jobs: int
    runs: Mapping[str, RunSoFar] = field(default_factory=dict, compare=False)
    busy: Mapping[str, int] = field(default_factory=dict, compare=False)
    superseded: Sequence[JobId] = field(default=(), compare=False)


@dataclass(frozen=True, slots=True)
class ClaimFilter:
    """Which jobs may be claimed now.

    Of rules in ``held`` only those that have begun; of those in ``turns`` only the one that is
    named; of those in ``at_most`` not more than so many at once. ``ranks`` are rules that come
    before all others (the first of them first), ``last`` those that come after them. ``sizes``
    say, by rule and step, how many jobs are claimed at once where that is not what is asked for.
    """

    lane: str
    without_client: bool = False
    blocked_rules: frozenset[str] = frozenset()
    only_undos: bool = False
    held: frozenset[str] = frozenset()
    turns: Mapping[str, JobId | None] = field(default_factory=dict)
    at_most: Mapping[str, int] = field(default_factory=dict)
    ranks: Sequence[frozenset[str]] = ()
    last: Sequence[frozenset[str]] = ()
    sizes: Mapping[tuple[str, int], int] = field(default_factory=dict)


class JobUpdate(NamedTuple):
    """What becomes of a claimed job. ``claimed_attempt`` proves the lease."""

    job_id: JobId
    event_id: EventId
    claimed_attempt: int
    state: JobState
    step: int
    needs_client: bool
    attempt: int
    run_at: datetime
    file_hash: str | None
    boot: str | None
    ending: JobState | None = None
    detail: str = ""
    frees_event: bool = False
    signals: Sequence[tuple[str, Data]] = ()
    run_id: int | None = None


class StepUpdate(NamedTuple):
    """The last outcome of a step, as it is to be kept."""

    job_id: JobId
    record: StepRecord


class Ledger(KnownFiles, Pruning):
    """The writing side. Calls block on the disk: use it through ``LedgerWriter``."""

    def __init__(self, engine: Engine, lock: FileLock | None) -> None:
        self._engine = engine
        self._lock = lock
        self._listened: frozenset[str] = frozenset()
        self._eventful: set[int] = set()

    # --- opening and closing -------------------------------------------------------------

    @classmethod
    def open(cls, path: Path, *, exclusive: bool = True) -> Ledger:
        """Open or make the ledger and bring its tables up to date.

        ``exclusive`` is for the daemon: two on one ledger would work against each other,
        so the second gets LedgerLocked with the pid of the first. Commands that only
        mark jobs (``retry``) open it beside a running daemon. Before older tables are changed
        a backup is made. Raises LedgerError where the file is not a ledger, is from a newer
        version or lies on an unsuitable disk; LedgerDamaged where it can no longer be used,
        or has vanished while its backups are there.
        """
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            lock = cls.take_lock(path) if exclusive else None
        except (OSError, NotImplementedError) as error:  # the latter: a disk without file locks
            raise LedgerError(f"the ledger cannot be kept in {path.parent}: {error}") from error
        try:
            if problem := network_mount(path.parent):
                raise LedgerError(
                    f"the ledger cannot be kept in {path.parent}: it lies on {problem}, where "
                    f"SQLite can lose or damage it. Choose a folder on a disk of this machine "
                    f"with --state-dir"
                )
            refuse_what_is_left(path)
            unclean = exclusive and has_been_left_open(path)
            engine = open_engine(path, writes=True)
            try:
                if unclean and (problems := problems_of(path, quick=True)):
                    raise damage(path, problems[0])
                with engine.connect() as connection:
                    outdated = is_outdated(connection)
                if outdated:
                    back_up(path, Occasion.UPGRADE, datetime.now(UTC))
                with engine.begin() as connection:
                    migrate(connection)
            except BaseException:
                engine.dispose()
                raise
        except BaseException:
            if lock is not None:
                lock.release()
            raise
        return cls(engine, lock)

    @staticmethod
    def take_lock(path: Path) -> FileLock:
        """Keep every daemon away from a ledger. Raises LedgerLocked where one is at work."""
        # By default each thread has a lock of its own, and could not release this one.
        lock = FileLock(path.with_suffix(".lock"), thread_local=False)
        owner = path.with_suffix(".pid")
        try:
            lock.acquire(timeout=0)
        except Timeout:
            pid = None
            with contextlib.suppress(OSError, ValueError):
                pid = int(owner.read_text(encoding="utf-8"))
            process = f"process {pid}" if pid else "another process"
            raise LedgerLocked(
                f"the ledger {path} is in use by {process}: a hydrusd is already running. "
                f"Stop it first, or give this one a ledger of its own with --state-dir.",
                pid=pid,
            ) from None
        try:
            owner.write_text(str(os.getpid()), encoding="utf-8")
        except OSError:
            lock.release()
            raise
        return lock

    @staticmethod
    def in_use(path: Path) -> bool:
        """Say whether a daemon has this ledger open."""
        lock = FileLock(path.with_suffix(".lock"))
        try:
            with lock.acquire(timeout=0):
                return False
        except Timeout:
            return True

    @property
    def engine(self) -> Engine:
        """The connection, for the other statements of this room."""
        return self._engine

    def close(self) -> None:
        """Close the file and let the next daemon in."""
        self._engine.dispose()
        if self._lock is not None:
            self._lock.release()

    # --- intake --------------------------------------------------------------------------

    def remember_rules(self, definitions: Iterable[tuple[str, str, str]], now: datetime) -> None:
        """Keep ``(rule, revision, definition)``, so that begun jobs can end as they began."""
        with self._engine.begin() as connection:
            insert_ignoring(
                connection,
                rule_revision,
                [
                    {"rule": r, "revision": v, "definition": d, "first_seen_at": now}
                    for r, v, d in definitions
                ],
            )

    def definition(self, rule: str, revision: str) -> str | None:
        """Give the definition of a rule as it was at that revision."""
        statement = select(rule_revision.c.definition).where(
            rule_revision.c.rule == rule, rule_revision.c.revision == revision
        )
        with self._engine.connect() as connection:
            return connection.execute(statement).scalar()

    def unseen(self, trigger: str, keys: Sequence[str], rules: Mapping[str, str]) -> set[str]:
        """Give the keys that some of these rules (name → revision) has not judged yet.

        A rule that made a job of an event has had it for good; one that did not match is
        asked again when it has been rewritten.
        """
        unseen = set(keys)
        wanted = len(rules)
        with self._engine.connect() as connection:
            for chunk in chunks(list(unseen)):
                ids = self.event_ids(connection, trigger, chunk)
                judged = dict.fromkeys(ids.values(), 0)
                for event_id, rule in _MADE.rows(connection, list(judged)):
                    judged[event_id] += rule in rules
                for event_id, rule in _HAD.rows(connection, list(judged)):
                    judged[event_id] += rule in rules
                for event_id, rule, revision in _PASSED.rows(connection, list(judged)):
                    judged[event_id] += rule in rules and revision in {rules[rule], FOR_GOOD}
                unseen.difference_update(key for key, i in ids.items() if judged[i] >= wanted)
        return unseen

    def makers(self, paths: Sequence[str]) -> dict[str, list[str]]:
        """Give those of these files that a job here wrote, with the rules that led to it.

        The last of the rules is that of the job.
        """
        wanted = {storable(os.path.normcase(path)): path for path in paths}
        found: dict[str, list[str]] = {}
        with self._engine.connect() as connection:
            for every in chunks(list(wanted)):
                # Almost no file was made here: to ask first for the bare words is far quicker.
                chunk = [word for (word,) in _MENTIONED.rows(connection, every)]
                if not chunk:
                    continue
                statement = (
                    select(mention.c.word, job.c.rule, event.c.data, step.c["values"])
                    .join(event, event.c.id == mention.c.event_id)
                    .join(job, job.c.event_id == mention.c.event_id)
                    .join(step, step.c.job_id == job.c.id)
                    .where(mention.c.word.in_(chunk), step.c.outcome == OutcomeKind.DONE)
                    .order_by(job.c.id)
                )
                for word, rule, data, values in connection.execute(statement):
                    if word in set(map(storable, made_paths(values))):
                        found[wanted[word]] = [*chain_of(data), rule]
        return found

    @staticmethod
    def event_ids(connection: Connection, trigger: str, keys: Sequence[str]) -> dict[str, EventId]:
        """Give the ids of what is there under these keys, a chunk of them at most."""
        return dict(_IDS_BY_KEY.rows(connection, keys, event_trigger=trigger))

    def files_had(self, trigger: str, paths: Sequence[str], stems: Sequence[str]) -> list[FileHad]:
        """Give what was noticed at these paths, and at these with any suffix, as it was last."""
        with self._engine.connect() as connection:
            return files_had(connection, trigger, paths, stems)

    def take_in(
        self,
        trigger: str,
        pending: Sequence[PendingEvent],
        now: datetime,
        memory: Memory | None = None,
        *,
        runs: Mapping[str, RunSoFar] | None = None,
        single: Collection[str] = (),
        restart: Collection[str] = (),
    ) -> Intake:
        """Store events, a job for each match and a reason for each other verdict.

        ``runs`` are the runs that the new jobs of these rules belong to; others get a new one.
        Rules in ``single`` get no job while they have one that is not over; a new job of one in
        ``restart`` takes the place of those that are not.

        Known events and rules that already have their job are left as they are. What the
        trigger wants to remember is stored along with them, or not at all.
        """
        intake_events = 0
        new_jobs: list[dict[str, Any]] = []
        passed: list[dict[str, Any]] = []
        # Over all chunks: what is noticed twice in one call still makes one job.
        had: set[tuple[EventId, str]] = set()
        judged: set[EventId] = set()
        told: dict[EventId, Data] = {}
        with self._engine.begin() as connection:
            for chunk in chunks(pending):
                noticed = {each.event.key: each.event.data for each in chunk}
                ids, newest = _add_events(connection, trigger, noticed, now)
                known = {event_id for event_id in ids.values() if event_id <= newest}
                judged |= known
                fresh = {i: noticed[key] for key, i in ids.items() if i not in known}
                intake_events += len(fresh)
                _mention(connection, {i: words_in_event(data) for i, data in fresh.items()})
                had |= self._dealt_with(connection, known)
                for item in chunk:
                    event_id = ids[item.event.key]
                    for verdict in item.verdicts:
                        if (event_id, verdict.rule) in had:
                            continue
                        had.add((event_id, verdict.rule))
                        if isinstance(verdict, NewJob):
                            row = _job_row(event_id, verdict, now)
                            row["file_hash"] = _hash_in(item.event.data)
                            new_jobs.append(row)
                        else:
                            passed.append(_passed_row(event_id, verdict, now))
                        if event_id in known:
                            told[event_id] = item.event.data
            self._make_whole(connection, told)
            busy = pass_over_while_busy(connection, new_jobs, single) if single else []
            passed += [_passed_over(row, why, now) for row, why in busy]
            present = _into_runs(connection, trigger, new_jobs, runs or {}, now)
            self._store_verdicts(connection, new_jobs, passed, judged)
            if memory is not None:
                self._remember(connection, trigger, memory)
            dead = [(row["event_id"], row["rule"]) for row in new_jobs if row["finished_at"]]
            self._tell_of_stillborn(connection, dead, now)
            over: list[JobId] = []
            if restart:
                alive = {row["rule"] for row in new_jobs if row["finished_at"] is None}
                over = supersede(connection, alive & set(restart), now)
                _count_ended(connection, over)
                self._tell_of_endings(connection, over, now)
        refused = Counter(row["rule"] for row, _ in busy)
        return Intake(intake_events, len(new_jobs), present, refused, over)

    @staticmethod
    def _make_whole(connection: Connection, told: Mapping[EventId, Data]) -> None:
        """Give known events their data back where it was pruned: a rule wants it anew."""
        if not told:
            return
        rows = [{"event": event_id, "told": data} for event_id, data in told.items()]
        if _WHOLE.execute(connection, rows):
            _mention(connection, {i: words_in_event(data) for i, data in told.items()})

    @staticmethod
    def _dealt_with(
        connection: Connection, event_ids: Iterable[EventId]
    ) -> set[tuple[EventId, str]]:
        """Give the events and rules that no verdict can change any more."""
        ids = list(event_ids)
        if not ids:
            return set()
        made = _MADE.rows(connection, ids)
        passed = _PASSED.rows(connection, ids)
        had = _HAD.rows(connection, ids)
        return {(EventId(i), rule) for i, rule in (*made, *had)} | {
            (EventId(i), rule) for i, rule, revision in passed if revision == FOR_GOOD
        }

    @staticmethod
    def _remember(connection: Connection, trigger: str, memory: Memory) -> None:
        rows = [
            {"trigger": trigger, "identity": memory.identity, "name": name, "value": value}
            for name, value in memory.values.items()
        ]
        insert_or_update(connection, trigger_memory, [r for r in rows if r["value"] is not None])
        for row in rows:
            if row["value"] is None:
                connection.execute(
                    delete(trigger_memory).where(
                        trigger_memory.c.trigger == trigger,
                        trigger_memory.c.identity == memory.identity,
                        trigger_memory.c.name == row["name"],
                    )
                )

    def remember(self, trigger: str, memory: Memory) -> None:
        """Keep what belongs to a trigger, or to another part of the engine by a name of its own."""
        with self._engine.begin() as connection:
            self._remember(connection, trigger, memory)

    def recall(self, trigger: str, identity: str) -> dict[str, object]:
        """Give all that is kept under an identity."""
        statement = select(trigger_memory.c.name, trigger_memory.c.value).where(
            trigger_memory.c.trigger == trigger, trigger_memory.c.identity == identity
        )
        with self._engine.connect() as connection:
            return {row.name: row.value for row in connection.execute(statement)}

    # --- signals -------------------------------------------------------------------------

    def listen(self, topics: Iterable[str]) -> None:
        """Say on which topics somebody listens: endings on others are not stored."""
        self._listened = frozenset(topics)

    def post(self, topic: str, data: Data, now: datetime) -> None:
        """Store a signal for whoever listens, or will."""
        with self._engine.begin() as connection:
            _post(connection, [(topic, data)], now)

    def signals(self, topics: Sequence[str], after: int, limit: int) -> list[KeptSignal]:
        """Give the signals on these topics behind ``after``, oldest first."""
        statement = (
            select(signal)
            .where(signal.c.topic.in_(topics), signal.c.id > after)
            .order_by(signal.c.id)
            .limit(limit)
        )
        with self._engine.connect() as connection:
            return [
                KeptSignal(row.id, row.topic, row.data, row.created_at)
                for row in connection.execute(statement)
            ]

    def newest_signal(self) -> int:
        """Give the id of the newest signal on any topic; 0 where there is none."""
        with self._engine.connect() as connection:
            return connection.execute(select(func.max(signal.c.id))).scalar() or 0

    def _tell_of_endings(self, connection: Connection, ids: Sequence[JobId], now: datetime) -> None:
        """Post a signal for each of these jobs whose rule somebody listens to."""
        if not self._listened:
            return
        posts = []
        for chunk in chunks(ids):
            statement = (
                select(job, event.c.data)
                .join(event, event.c.id == job.c.event_id)
                .where(job.c.id.in_(chunk), job.c.finished_at.is_not(None))
                .order_by(job.c.id)
            )
            values = select(step.c.job_id, step.c["values"]).where(step.c.job_id.in_(chunk))
            named = {i: v["hashes"] for i, v in connection.execute(values) if v.get("hashes")}
            for row in connection.execute(statement):
                topic = finished_topic(row.rule)
                if topic not in self._listened:
                    continue
                ended: Data = {
                    "job": row.id,
                    "rule": row.rule,
                    "state": row.state,
                    "detail": row.detail,
                    "hashes": _hashes_of(row.file_hash, named.get(row.id), row.data),
                    "event": row.data,
                }
                posts.append((topic, ended))
        _post(connection, posts, now)

    def _tell_of_stillborn(
        self, connection: Connection, jobs: Sequence[tuple[EventId, str]], now: datetime
    ) -> None:
        """Do it for jobs that were dead when they were made."""
        if not jobs or not self._listened:
            return
        ids: list[JobId] = []
        for chunk in chunks(jobs):
            statement = select(job.c.id).where(
                job.c.event_id.in_([event_id for event_id, _ in chunk]),
                job.c.rule.in_({rule for _, rule in chunk}),
                job.c.finished_at == now,
            )
            ids += map(JobId, connection.execute(statement).scalars())
        self._tell_of_endings(connection, ids, now)

    @staticmethod
    def _store_verdicts(
        connection: Connection,
        new_jobs: list[dict[str, Any]],
        passed: list[dict[str, Any]],
        judged: set[EventId],
    ) -> None:
        _note_eventful(connection, {row["run_id"] for row in new_jobs if row["finished_at"]})
        if new_jobs:
            _NEW_JOBS.execute(connection, new_jobs)
            # A rewritten rule may match what it passed over before.
            _NO_LONGER_PASSED.execute(
                connection,
                [
                    {"event": row["event_id"], "name": row["rule"]}
                    for row in new_jobs
                    if row["event_id"] in judged
                ],
            )
        insert_or_update(connection, not_matched, passed)

    # --- a rule was rewritten ------------------------------------------------------------

    def unbegun(self, revisions: Mapping[str, str], limit: int) -> list[Job]:
        """Give jobs that no step of has run yet and that are not at their rule's revision.

        ``revisions`` maps rules to what they are now. Jobs put back by ``retry`` count.
        """
        with self._engine.connect() as connection:
            rows: list[tuple[Any, ...]] = []
            for name, revision in revisions.items():
                statement = (
                    _JOBS.where(
                        job.c.rule == name,
                        job.c.state == JobState.READY,
                        job.c.finished_at.is_(None),
                        job.c.revision != revision,
                        job.c.step == 0,
                    )
                    .where(
                        (job.c.revision == "")
                        | ~select(step.c.job_id).where(step.c.job_id == job.c.id).exists()
                    )
                    .limit(limit - len(rows))
                )
                rows += as_kept(connection.execute(statement))
                if len(rows) >= limit:
                    break
            return _with_steps(connection, rows)

    def adopt(self, verdicts: Sequence[tuple[Job, NewJob | NotMatched]], now: datetime) -> None:
        """Put unbegun jobs under the present revision of their rule, or end them.

        One that never ran leaves no trace but the reason; one put back by ``retry`` is skipped.
        """
        with self._engine.begin() as connection:
            for item, verdict in verdicts:
                if isinstance(verdict, NotMatched) and item.steps:
                    # It has a history, which stays; there is only nothing more to do.
                    connection.execute(
                        update(job)
                        .where(job.c.id == item.id, job.c.state == JobState.READY)
                        .values(
                            state=JobState.SKIPPED,
                            revision=verdict.revision,
                            detail=f"the rule as it is now does not match: {verdict.reason}",
                            finished_at=now,
                        )
                    )
                    _count_ended(connection, [item.id])
                    self._tell_of_endings(connection, [item.id], now)
                    continue
                if isinstance(verdict, NotMatched):
                    connection.execute(
                        delete(job).where(job.c.id == item.id, job.c.state == JobState.READY)
                    )
                    insert_or_update(
                        connection, not_matched, [_passed_row(item.event_id, verdict, now)]
                    )
                    continue
                row = _job_row(item.event_id, verdict, now)
                changed = ("revision", "lane", "state", "needs_client", "detail", "finished_at")
                connection.execute(
                    update(job)
                    .where(job.c.id == item.id, job.c.state == JobState.READY)
                    .values({name: row[name] for name in changed})
                )
                if row["finished_at"] is not None:
                    self._tell_of_endings(connection, [item.id], now)

    # --- claiming and finishing ----------------------------------------------------------

    def claim(self, wanted: ClaimFilter, owner: str, limit: int, now: datetime) -> list[Job]:
        """Lease up to ``limit`` due jobs (or what ``wanted.sizes`` says) of one rule, revision and
        step; the oldest first.

        It does not wait for the disk: a lease that a power cut takes back was held by a daemon
        that the same cut has ended, and would go back at no cost all the same.
        """
        due = [
            job.c.lane == wanted.lane,
            job.c.state == JobState.READY,
            job.c.finished_at.is_(None),
            job.c.run_at <= now,
        ]
        if wanted.without_client:
            due.append(job.c.needs_client.is_(False))
        if wanted.blocked_rules:
            due.append(job.c.rule.not_in(wanted.blocked_rules))
        if wanted.only_undos:
            due.append(job.c.rule.startswith(UNDO_RULE))
        due += may_be_claimed(wanted.held, wanted.turns)
        with unhurried(self._engine).begin() as connection:
            first = _first_in_rank(connection, due, wanted)
            if first is None:
                return []
            limit = wanted.sizes.get((first.rule, first.step), limit)
            if first.step == 0:
                limit = min(limit, wanted.at_most.get(first.rule, limit))
            alike = (
                *due,
                job.c.id >= first.id,  # so that no index is walked up to there again
                job.c.rule == first.rule,
                job.c.revision == first.revision,
                job.c.step == first.step,
            )
            rows = as_kept(connection.execute(_JOBS.where(*alike).limit(limit)))
            connection.execute(
                update(job)
                .where(*alike, job.c.id <= rows[-1][0])  # the oldest: just these
                .values(
                    state=JobState.RUNNING,
                    owner=owner,
                    lease_until=now + LEASE,
                    attempt=job.c.attempt + 1,
                )
            )
            return _with_steps(connection, rows, tries=1)

    def renew(self, owner: str, now: datetime) -> None:
        """Keep the leases of work that takes long."""
        with self._engine.begin() as connection:
            connection.execute(
                update(job)
                .where(
                    job.c.owner == owner,
                    job.c.state == JobState.RUNNING,
                    job.c.finished_at.is_(None),
                )
                .values(lease_until=now + LEASE)
            )

    def checkpoint(
        self,
        owner: str,
        updates: Sequence[JobUpdate],
        steps: Sequence[StepUpdate],
        now: datetime,
        *,
        began: Mapping[str, int] | None = None,
        found: Mapping[tuple[str, str], int] | None = None,
    ) -> None:
        """Store how steps ended and where their jobs go next: all of it, or nothing.

        ``began`` says how many jobs of a rule had their first step now; ``found``, by rule and
        kind (``imported``, ``known``), how many files an import step brought, or found there.

        Raises LedgerError where a lease was lost: somebody else has the job now, and what
        this owner knows of it no longer counts.
        """
        if not updates:
            return
        with self._engine.begin() as connection:
            done = _FINISH.execute_rows(connection, [_update_row(i, owner, now) for i in updates])
            if done != len(updates):
                raise LedgerError(
                    f"lost the lease of {len(updates) - done} of {len(updates)} jobs; "
                    f"nothing of this checkpoint was stored"
                )
            KEEP_STEPS.execute_rows(connection, [step_row(item, now) for item in steps])
            eventful = self._note_what_happened(connection, updates, steps)
            _count_begun(connection, began or {}, now)
            _count_ended(connection, [u.job_id for u in updates if u.state in _COUNTED])
            _add_ended(connection, found or {})
            _post(connection, [post for item in updates for post in item.signals], now)
            self._tell_of_endings(
                connection, [u.job_id for u in updates if u.state in _ENDINGS], now
            )
            self._free_events(connection, [u.event_id for u in updates if u.frees_event])
        if len(self._eventful) > RUNS_KEPT:
            self._eventful.clear()
        self._eventful |= eventful  # now that it is stored

    def _note_what_happened(
        self, connection: Connection, updates: Sequence[JobUpdate], steps: Sequence[StepUpdate]
    ) -> set[int]:
        """Keep by what the jobs can be found again, and which runs something has now come of."""
        items = {item.job_id: item for item in updates}
        words: dict[EventId, set[str]] = {}
        for each in steps:
            values = each.record.values
            speaks = SPEAKING.intersection(values)
            if speaks and (item := items.get(each.job_id)):
                if speaks == _HASH_ALONE and values["hash"] == item.file_hash:
                    continue  # as mostly; the job itself is found by that
                new = words_in_step(values) - {item.file_hash}
                if new:
                    words.setdefault(item.event_id, set()).update(new)
        _mention(connection, words)
        runs = {
            item.run_id
            for each in steps
            if (item := items.get(each.job_id))
            and item.run_id is not None
            and item.run_id not in self._eventful
            and _is_eventful(each.record)
        }
        _note_eventful(connection, runs)
        return runs

    @staticmethod
    def _free_events(connection: Connection, event_ids: Sequence[EventId]) -> None:
        for chunk in chunks(event_ids):
            connection.execute(update(event).where(event.c.id.in_(chunk)).values(freed=event.c.id))
            free_plain_keys(connection, chunk)
        forget_files_of(connection, event_ids)

    def release(
        self, now: datetime, *, owner: str | None = None, ids: Sequence[JobId] | None = None
    ) -> int:
        """Put running jobs back: those of an owner, or (None) all, when this daemon is alone.

        ``ids``: no others than these, at most a claim's worth.

        Costs no attempt: that a daemon died says nothing about the job.
        """
        mine = [job.c.state == JobState.RUNNING, job.c.finished_at.is_(None)]
        if owner is not None:
            mine.append(job.c.owner == owner)
        if ids is not None:
            mine.append(job.c.id.in_(ids))
        with self._engine.begin() as connection:
            freed = connection.execute(
                update(job)
                .where(*mine)
                .values(
                    state=JobState.READY,
                    owner=None,
                    lease_until=None,
                    attempt=case((job.c.attempt > 0, job.c.attempt - 1), else_=0),
                    run_at=now,
                )
            )
            return freed.rowcount

    def next_due(self, wanted: ClaimFilter) -> datetime | None:
        """Say when the next waiting job becomes due."""
        statement = select(func.min(job.c.run_at)).where(
            job.c.lane == wanted.lane,
            job.c.state == JobState.READY,
            job.c.finished_at.is_(None),
        )
        if wanted.without_client:
            statement = statement.where(job.c.needs_client.is_(False))
        if wanted.blocked_rules:
            statement = statement.where(job.c.rule.not_in(wanted.blocked_rules))
        if wanted.only_undos:
            statement = statement.where(job.c.rule.startswith(UNDO_RULE))
        statement = statement.where(*may_be_claimed(wanted.held, wanted.turns))
        with self._engine.connect() as connection:
            return connection.execute(statement).scalar()

    def latest_time(self) -> datetime | None:
        """Give the time at which the newest job was made; None where there is none."""
        newest = select(job.c.created_at).where(
            job.c.id == select(func.max(job.c.id)).scalar_subquery()
        )
        with self._engine.connect() as connection:
            return connection.execute(newest).scalar()

    def bring_forward(self, lane: str, by: timedelta, now: datetime) -> None:
        """Make waiting jobs due earlier, but not before now: the clock was put back that far."""
        waiting = [
            job.c.lane == lane,
            job.c.state == JobState.READY,
            job.c.finished_at.is_(None),
            job.c.run_at > now,
        ]
        with self._engine.begin() as connection:
            due = connection.execute(select(job.c.id, job.c.run_at).where(*waiting)).all()
            if due:
                connection.execute(
                    update(job)
                    .where(job.c.id == bindparam("waiting_id"))
                    .values(run_at=bindparam("new_run_at")),
                    [{"waiting_id": i, "new_run_at": max(now, at - by)} for i, at in due],
                )

    # --- settling ------------------------------------------------------------------------

    def settling(self, lane: str) -> list[JobId]:
        """Give the jobs whose work is done but not yet known to be durable."""
        statement = select(job.c.id).where(
            job.c.lane == lane, job.c.state == JobState.SETTLING, job.c.finished_at.is_(None)
        )
        with self._engine.connect() as connection:
            return [JobId(i) for i in connection.execute(statement).scalars()]

    def settle(self, ids: Sequence[JobId], boot: str, now: datetime) -> list[JobId]:
        """Take what these jobs did in this boot of the client as durable; give those that ended.

        Jobs whose work was done in another boot are left alone; jobs with local steps left
        become ready for these.
        """
        ended: list[JobId] = []
        counts: Counter[tuple[str, str]] = Counter()
        durable = {"proved_boot": boot, "proved_at": written(now)}
        with self._engine.begin() as connection:
            for chunk in chunks(ids):
                over = _END_DURABLE.rows(connection, chunk, **durable)
                now_over = sorted(JobId(i) for i, _, _ in over)
                ended += now_over
                counts.update((rule, state) for _, rule, state in over if state in _COUNTED)
                self._tell_of_endings(connection, now_over, now)
                if len(now_over) < len(chunk):
                    _GO_ON_DURABLE.rows(connection, chunk, **durable)
            _add_ended(connection, counts)
        return ended

    def unsettled_elsewhere(self, lane: str, boot: str, limit: int, *, after: int = 0) -> list[Job]:
        """Give settling jobs whose work was done in another boot of the client than this.

        In the order of their ids, those behind ``after``.
        """
        statement = _JOBS.where(
            job.c.lane == lane,
            job.c.state == JobState.SETTLING,
            job.c.finished_at.is_(None),
            job.c.boot != boot,
            job.c.id > after,
        ).limit(limit)
        with self._engine.connect() as connection:
            return _with_steps(connection, as_kept(connection.execute(statement)))

    def resettle(
        self, jobs: Mapping[JobId, tuple[int, bool] | None], boot: str, now: datetime
    ) -> None:
        """Say what a restart of the client did to settling jobs.

        A job mapped to ``(step, needs_client)`` lost what it did there and goes back to it;
        one mapped to None lost nothing and settles again, in the present boot.
        """
        with self._engine.begin() as connection:
            for job_id, back in jobs.items():
                values: dict[str, Any] = {"boot": boot, "run_at": now}
                if back is not None:
                    values |= {
                        "state": JobState.READY,
                        "step": back[0],
                        "needs_client": back[1],
                        "ending": None,
                        "attempt": 0,
                        "losses": job.c.losses + 1,
                    }
                connection.execute(
                    update(job)
                    .where(job.c.id == job_id, job.c.state == JobState.SETTLING)
                    .values(values)
                )

    def give_up(self, ids: Sequence[JobId], detail: str, now: datetime) -> None:
        """Make dead letters of settling jobs: what they do does not last.

        They keep the boot, unproved, so that ``retry`` has them begin again.
        """
        with self._engine.begin() as connection:
            for chunk in chunks(ids):
                connection.execute(
                    update(job)
                    .where(job.c.id.in_(chunk), job.c.state == JobState.SETTLING)
                    .values(state=JobState.DEAD, detail=detail, ending=None, finished_at=now)
                )
            self._tell_of_endings(connection, ids, now)

    # --- what a person does --------------------------------------------------------------

    def retry(self, now: datetime, *, ids: Sequence[int] = (), rule: str | None = None) -> int:
        """Put dead letters back to work: these jobs, those of a rule, or all. Gives how many.

        They go on at the step that failed, or begin again where the rule was rewritten since:
        ``take_up`` decides, when a daemon that knows the rule comes by.
        """
        with self._engine.begin() as connection:
            no_longer_superseded(connection, _dead(ids, rule))
            revived = connection.execute(
                update(job)
                .where(*_dead(ids, rule))
                .values(
                    state=JobState.READY,
                    revision=literal(RETRIED, Text).concat(job.c.revision),
                    attempt=0,
                    losses=0,
                    needs_client=False,
                    run_at=now,
                    owner=None,
                    ending=None,
                    finished_at=None,
                )
            )
            return revived.rowcount

    def take_up(self, rule: str, revision: str, disposals: Collection[int] = ()) -> None:
        """Let retried jobs of a rule, which is at this revision, go on or begin again.

        A job goes on where it failed if all before that was done under the very same rule and is
        durable: its source may be gone by then, and could not be had a second time. Of one that
        has disposed of its source (the steps at ``disposals`` do), all before that is durable,
        and what came after it is done again.
        """
        retried = [
            job.c.rule == rule,
            job.c.state == JobState.READY,
            job.c.finished_at.is_(None),
        ]
        with self._engine.begin() as connection:
            connection.execute(
                update(job)
                .where(*retried, job.c.revision == RETRIED + revision, job.c.boot.is_(None))
                .where(job.c.step > 0)
                .values(revision=revision, needs_client=True)
            )
            disposed = (
                select(func.max(step.c.position))
                .where(
                    step.c.job_id == job.c.id,
                    step.c.position < job.c.step,
                    step.c.position.in_(disposals),
                    step.c.outcome == OutcomeKind.DONE,
                )
                .scalar_subquery()
            )
            connection.execute(
                update(job)
                .where(*retried, job.c.revision == RETRIED + revision, disposed.is_not(None))
                .values(revision=revision, step=disposed + 1, needs_client=True, boot=None)
            )
            connection.execute(
                update(job)
                .where(*retried, job.c.revision.startswith(RETRIED, autoescape=True))
                .values(revision="", step=0)
            )

    def drop(self, now: datetime, *, ids: Sequence[int] = (), rule: str | None = None) -> int:
        """Let dead letters end: these jobs, those of a rule, or all. Gives how many.

        They end as skipped and stay known, so that the same thing is not done again.
        """
        with self._engine.begin() as connection:
            dropped = connection.execute(
                update(job)
                .where(*_dead(ids, rule))
                .values(
                    state=JobState.SKIPPED,
                    detail=literal(DROPPED, Text).concat(job.c.detail),
                    finished_at=now,
                )
                .returning(job.c.rule)
            )
            counts = Counter(dropped.scalars())
            _add_ended(connection, {(name, JobState.SKIPPED): n for name, n in counts.items()})
            return counts.total()

    def set_condition(self, kind: str, name: str, state: str, reason: str, now: datetime) -> None:
        """Note what a lane, a rule or a trigger is in, and since when, for ``status`` to show.

        Saying the same again changes nothing, the time included.
        """
        same = and_(
            condition.c.kind == kind,
            condition.c.name == name,
            condition.c.state == state,
            condition.c.reason == reason,
        )
        with self._engine.begin() as connection:
            if connection.execute(select(condition.c.since).where(same)).first() is not None:
                return
            insert_or_update(
                connection,
                condition,
                [{"kind": kind, "name": name, "state": state, "reason": reason, "since": now}],
            )

    def clear_conditions(self) -> None:
        """Forget what a daemon that no longer runs was waiting for."""
        with self._engine.begin() as connection:
            connection.execute(delete(condition))

    def begun_since(self, since: datetime) -> list[tuple[str, datetime, int]]:
        """Give rule, minute and number of the jobs that began since a time, the oldest first."""
        statement = select(begun).where(begun.c.minute >= since).order_by(begun.c.minute)
        with self._engine.connect() as connection:
            return [(row.rule, row.minute, row.jobs) for row in connection.execute(statement)]

    def open_rules(self) -> set[tuple[str, str]]:
        """Give the lane and rule of all jobs that have not ended, each pair once."""
        statement = select(job.c.lane, job.c.rule).where(job.c.finished_at.is_(None)).distinct()
        with self._engine.connect() as connection:
            return {(lane, rule) for lane, rule in connection.execute(statement)}

    def finished(self, ids: Sequence[JobId]) -> list[FinishedJob]:
        """Describe jobs that have ended, for observers."""
        found: list[FinishedJob] = []
        with self._engine.connect() as connection:
            for chunk in chunks(ids):
                statement = (
                    select(job, event.c.data)
                    .join(event, event.c.id == job.c.event_id)
                    .where(job.c.id.in_(chunk), job.c.finished_at.is_not(None))
                )
                found += [
                    FinishedJob(
                        JobId(row.id),
                        row.rule,
                        JobState(row.state),
                        row.detail,
                        row.data,
                        row.file_hash,
                        row.finished_at,
                        row.run_id,
                    )
                    for row in connection.execute(statement)
                ]
        return found


_JOBS = (
    select(
        job.c.id,
        job.c.rule,
        job.c.revision,
        job.c.event_id,
        job.c.step,
        job.c.attempt,
        job.c.file_hash,
        job.c.boot,
        job.c.losses,
        job.c.run_id,
        event.c.key,
        event.c.data,
    )
    .join(event, event.c.id == job.c.event_id)
    .order_by(job.c.id)
)

_NEW_JOBS = Batch(
    insert(job),
    (
        "event_id",
        "rule",
        "revision",
        "lane",
        "state",
        "step",
        "needs_client",
        "attempt",
        "run_at",
        "detail",
        "created_at",
        "finished_at",
        "file_hash",
        "run_id",
    ),
)


def _with_steps(
    connection: Connection, rows: Sequence[tuple[Any, ...]], *, tries: int = 0
) -> list[Job]:
    """Make jobs of their rows, as ``_JOBS`` gives them. ``tries`` are added to their attempts."""
    records: dict[int, list[StepRecord]] = {}
    for chunk in chunks([row[0] for row in rows]):
        for job_id, position, action, outcome, *rest in _STEPS_BY_JOB.rows(connection, chunk):
            record = StepRecord(position, action, OutcomeKind(outcome), *rest)
            records.setdefault(job_id, []).append(record)
    return [
        Job(
            JobId(job_id),
            rule,
            revision,
            EventId(event_id),
            key,
            decode(data),
            position,
            attempt + tries,
            file_hash,
            boot,
            tuple(records[job_id]) if job_id in records else (),
            run_id,
            losses,
        )
        for (
            job_id,
            rule,
            revision,
            event_id,
            position,
            attempt,
            file_hash,
            boot,
            losses,
            run_id,
            key,
            data,
        ) in rows
    ]


_STEPS = select(
    step.c.job_id,
    step.c.position,
    step.c.action,
    step.c.outcome,
    step.c.detail,
    step.c["values"],
    step.c.receipt,
    step.c.began_at,
).order_by(step.c.position)

_MANY: BindParameter[Any] = bindparam("many", expanding=True)
_STEPS_BY_JOB = ListQuery(_STEPS.where(step.c.job_id.in_(_MANY)))
_MADE = ListQuery(select(job.c.event_id, job.c.rule).where(job.c.event_id.in_(_MANY)))
_HAD = ListQuery(
    select(pruned_job.c.event_id, pruned_job.c.rule).where(pruned_job.c.event_id.in_(_MANY))
)
_PASSED = ListQuery(
    select(not_matched.c.event_id, not_matched.c.rule, not_matched.c.revision).where(
        not_matched.c.event_id.in_(_MANY)
    )
)
_IDS_BY_KEY = ListQuery(
    select(event.c.key, event.c.id).where(
        event.c.trigger == bindparam("event_trigger"), event.c.freed == 0, event.c.key.in_(_MANY)
    )
)

_MENTIONS = inserting_ignoring(mention, ("event_id", "word"))
_MENTIONED = ListQuery(select(mention.c.word).where(mention.c.word.in_(_MANY)).distinct())

_NEWEST_EVENT = select(func.max(event.c.id))
_EVENTS = inserting_ignoring(event, ("id", "trigger", "key", "data", "noticed_at"))

_TOLD = given(column("event", Integer), column("told", JSON))
_WHOLE = Batch(
    update(event)
    .where(event.c.id == _TOLD.c.event, event.c.pruned_at.is_not(None))
    .values(data=_TOLD.c.told, pruned_at=null()),
    _TOLD,
)

_MATCHED = given(column("event", Integer), column("name", Text))
_NO_LONGER_PASSED = Batch(
    delete(not_matched).where(
        tuple_(not_matched.c.event_id, not_matched.c.rule).in_(
            select(_MATCHED.c.event, _MATCHED.c.name)
        )
    ),
    _MATCHED,
)

_NEW = (
    "state",
    "step",
    "needs_client",
    "attempt",
    "run_at",
    "file_hash",
    "boot",
    "ending",
    "detail",
    "finished_at",
)
_CLAIMED = given(
    column("claimed_id", Integer),
    column("claimed_by", Text),
    column("claimed_attempt", Integer),
    column("claimed_state", Text),
    *(column(f"new_{name}", job.c[name].type) for name in _NEW),
)
_FINISH = Batch(
    update(job)
    .where(
        job.c.id == _CLAIMED.c.claimed_id,
        job.c.owner == _CLAIMED.c.claimed_by,
        job.c.attempt == _CLAIMED.c.claimed_attempt,
        job.c.state == _CLAIMED.c.claimed_state,
    )
    .values(
        {name: _CLAIMED.c[f"new_{name}"] for name in _NEW}
        | {"owner": null(), "lease_until": null()}
    ),
    _CLAIMED,
)


_DURABLE = (
    job.c.id.in_(_MANY),
    job.c.state == JobState.SETTLING,
    job.c.boot == bindparam("proved_boot"),
)
_END_DURABLE = ListQuery(
    update(job)
    .where(*_DURABLE, job.c.ending.is_not(None))
    .values(state=job.c.ending, finished_at=bindparam("proved_at"), boot=None)
    .returning(job.c.id, job.c.rule, job.c.state)
)
_GO_ON_DURABLE = ListQuery(
    update(job)
    .where(*_DURABLE)
    .values(state=JobState.READY, boot=None, run_at=bindparam("proved_at"))
    .returning(job.c.id)
)


KEEP_STEPS = inserting_or_updating(
    step,
    (
        "job_id",
        "position",
        "action",
        "outcome",
        "detail",
        "values",
        "receipt",
        "began_at",
        "ended_at",
    ),
)

_ENDINGS = frozenset({JobState.DONE, JobState.SKIPPED, JobState.DEAD})
_COUNTED = frozenset({JobState.DONE, JobState.SKIPPED})
"""Endings that are only counted: too many to be counted when somebody asks."""
_COUNTED_AMONG = ListQuery(
    select(job.c.rule, job.c.state, func.count())
    .where(job.c.id.in_(_MANY), job.c.state.in_(sorted(_COUNTED)))
    .group_by(job.c.rule, job.c.state)
)


def _first_in_rank(
    connection: Connection, due: Sequence[ColumnElement[bool]], wanted: ClaimFilter
) -> Any:
    """Give the oldest due job of the first rank that has one; None where none has."""
    columns = select(job.c.id, job.c.rule, job.c.revision, job.c.step)
    oldest = columns.where(*due).order_by(job.c.id).limit(1)
    # By the lane itself SQLite would go through all that is open in it to find one rule.
    others = due[1:]
    of_rule = columns.where(*others, job.c.lane.concat("") == wanted.lane).order_by(job.c.id)

    def of_rules(rules: Iterable[str]) -> Any:
        found = [
            connection.execute(of_rule.where(job.c.rule == rule).limit(1)).first() for rule in rules
        ]
        return min((row for row in found if row is not None), default=None)

    for rules in wanted.ranks:
        if (first := of_rules(rules)) is not None:
            return first
    if wanted.last:
        last = frozenset[str]().union(*wanted.last)
        first = connection.execute(oldest.where(job.c.rule.not_in(last))).first()
        if first is not None:
            return first
        return next((row for rules in wanted.last if (row := of_rules(rules)) is not None), None)
    return connection.execute(oldest).first()


def _dead(ids: Sequence[int], rule: str | None) -> list[ColumnElement[bool]]:
    """Give what chooses dead letters: these jobs, those of a rule, or all."""
    chosen = [job.c.state == DEAD]
    if ids:
        chosen.append(job.c.id.in_(ids))
    if rule is not None:
        chosen.append(job.c.rule == rule)
    return chosen


def _count_ended(connection: Connection, ids: Sequence[JobId]) -> None:
    """Count these jobs under their rule, those that ended for good."""
    counts: Counter[tuple[str, str]] = Counter()
    for chunk in chunks(ids):
        for rule, state, jobs in _COUNTED_AMONG.rows(connection, chunk):
            counts[rule, state] += jobs
    _add_ended(connection, counts)


def _add_ended(connection: Connection, counts: Mapping[tuple[str, str], int]) -> None:
    rows = [{"rule": rule, "state": state, "jobs": n} for (rule, state), n in counts.items()]
    insert_or_add(connection, ended, rows, "jobs")


def _count_begun(connection: Connection, began: Mapping[str, int], now: datetime) -> None:
    minute = now.replace(second=0, microsecond=0)
    rows = [{"rule": rule, "minute": minute, "jobs": jobs} for rule, jobs in began.items() if jobs]
    insert_or_add(connection, begun, rows, "jobs")


def _add_events(
    connection: Connection, trigger: str, events: Mapping[str, Data], now: datetime
) -> tuple[dict[str, EventId], EventId]:
    """Store those that are new, data by key; give the ids of all, and the newest of before."""
    newest = EventId(connection.execute(_NEWEST_EVENT).scalar() or 0)
    # Chosen here, where nobody else writes meanwhile, they need not be asked for.
    ids = {key: EventId(newest + at) for at, key in enumerate(events, 1)}
    added = _EVENTS.execute_rows(
        connection, [(ids[key], trigger, key, data, now) for key, data in events.items()]
    )
    if added < len(ids):  # mostly all are new, as whoever brings them has asked before
        for some in chunks(list(ids)):
            ids |= Ledger.event_ids(connection, trigger, some)
    return ids, newest


def _mention(connection: Connection, words: Mapping[EventId, Iterable[str]]) -> None:
    _MENTIONS.execute_rows(connection, [(i, word) for i, some in words.items() for word in some])


def _note_eventful(connection: Connection, runs: Collection[int]) -> None:
    if runs:
        connection.execute(
            update(run).where(run.c.id.in_(runs), run.c.eventful.is_(False)).values(eventful=True)
        )


def _is_eventful(record: StepRecord) -> bool:
    """Say whether a step changed something, as far as is known, or gave up."""
    if record.receipt is None:
        return record.outcome in {OutcomeKind.DONE, OutcomeKind.DEAD}
    return record.outcome is OutcomeKind.DEAD or tells(record.receipt)


def _post(connection: Connection, posts: Sequence[tuple[str, Data]], now: datetime) -> None:
    if posts:
        rows = [{"topic": topic, "data": data, "created_at": now} for topic, data in posts]
        connection.execute(insert(signal), rows)


def _hashes_of(first: str | None, *lists: object) -> list[str]:
    """Give all files of the client that a job was about; ``first`` says which list is theirs."""
    if first is None:
        return []
    for named in (n.get("hashes") if isinstance(n, Mapping) else n for n in lists):
        if isinstance(named, list) and named and named[0] == first:
            return named
    return [first]


def _hash_in(data: Data) -> str | None:
    """Give the file of the client that an event is about, where it names one."""
    named = data.get("hash")
    return named if isinstance(named, str) and _HASH.fullmatch(named) else None


def _into_runs(
    connection: Connection,
    trigger: str,
    new_jobs: list[dict[str, Any]],
    given: Mapping[str, RunSoFar],
    now: datetime,
) -> dict[str, RunSoFar]:
    """Give each new job its run, and an end to those that are too many for it."""
    runs: dict[str, RunSoFar] = {}
    by_rule: dict[str, list[dict[str, Any]]] = {}
    for row in new_jobs:
        by_rule.setdefault(row["rule"], []).append(row)
    for rule, rows in by_rule.items():
        present = given.get(rule, RunSoFar(sys.maxsize))
        run_id = present.run_id
        if run_id is None:
            made = connection.execute(
                insert(run)
                .values(rule=rule, trigger=trigger, started_at=now, eventful=False)
                .returning(run.c.id)
            )
            run_id = made.scalar_one()
        room, surplus = max(present.limit - present.jobs, 0), 0
        for row in rows:
            row["run_id"] = run_id
        for row in rows[room:]:
            if not row["finished_at"]:
                detail = TOO_MANY.format(limit=present.limit)
                row |= {"state": JobState.DEAD, "detail": detail, "finished_at": now}
                surplus += 1
        jobs = present.jobs + len(rows)
        runs[rule] = replace(present, run_id=run_id, jobs=jobs, surplus=surplus)
    return runs


def _job_row(event_id: EventId, verdict: NewJob, now: datetime) -> dict[str, Any]:
    failed = bool(verdict.failure)
    return {
        "event_id": event_id,
        "rule": verdict.rule,
        "revision": verdict.revision,
        "lane": verdict.lane,
        "state": JobState.DEAD if failed else JobState.READY,
        "step": 0,
        "needs_client": verdict.needs_client,
        "attempt": 0,
        "run_at": now,
        "detail": verdict.failure,
        "created_at": now,
        "finished_at": now if failed else None,
    }


def _passed_over(row: Mapping[str, Any], reason: str, now: datetime) -> dict[str, Any]:
    """Give what is kept of a job that is not to be, for good."""
    verdict = NotMatched(row["rule"], FOR_GOOD, reason)
    return _passed_row(row["event_id"], verdict, now)


def _passed_row(event_id: EventId, verdict: NotMatched, now: datetime) -> dict[str, Any]:
    return {
        "event_id": event_id,
        "rule": verdict.rule,
        "revision": verdict.revision,
        "reason": verdict.reason,
        "judged_at": now,
    }


def _update_row(item: JobUpdate, owner: str, now: datetime) -> tuple[Any, ...]:
    """Give a row of ``_CLAIMED``."""
    return (
        item.job_id,
        owner,
        item.claimed_attempt,
        JobState.RUNNING,
        item.state,
        item.step,
        item.needs_client,
        item.attempt,
        item.run_at,
        item.file_hash,
        item.boot,
        item.ending,
        item.detail,
        now if item.state in _ENDINGS else None,
    )


def step_row(item: StepUpdate, now: datetime) -> tuple[Any, ...]:
    """Give a row for `KEEP_STEPS`."""
    record = item.record
    return (
        item.job_id,
        record.position,
        record.action,
        record.outcome,
        record.detail,
        record.values,
        record.receipt,
        record.began_at,
        now,
    )
