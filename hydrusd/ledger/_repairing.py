"""Looks whether a ledger is sound, and makes a sound one of what is left of it.

What can be read of the damaged file is newer than any backup and goes first; what cannot be read
is filled in from the newest backup that is sound. The new ledger is made beside the old one,
checked, and put in its place by renaming, when a person has agreed. The damaged one is kept.

What then is older than the truth is the knowledge of what was done since. Forgetting that loses
no file: what is noticed again is done again, and steps look before they act. But a message would
be sent twice. So a job that is known from the backup alone, and has such a step before it, becomes
a dead letter that asks a person.
"""
# ruff: noqa: S608 - names of tables, for which no parameter can stand

from __future__ import annotations

import json
import os
import shutil
import sqlite3
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import closing, suppress
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Self

from filelock import FileLock

from hydrusd.errors import LedgerDamaged, LedgerError
from hydrusd.ledger._backups import (
    DAMAGED,
    REPAIRED,
    Backup,
    backups,
    leftovers,
    open_raw,
    problems_of,
)
from hydrusd.ledger._ledger import Ledger
from hydrusd.ledger._mentioning import words_in_event, words_in_values
from hydrusd.ledger._migrating import HEAD, KNOWN, migrate
from hydrusd.ledger._salvaging import Salvage, Wreck, table_names, with_first_page_of
from hydrusd.ledger._sqlite import ledger_error, open_engine
from hydrusd.ledger._tables import metadata
from hydrusd.model import JobState, OutcomeKind
from hydrusd.syncing import sync_folder

UNKNOWN_SINCE = (
    "the ledger was repaired, and what became of this job after {made_at:%Y-%m-%d %H:%M} UTC is "
    "not known: it may have been done since"
)
UNKNOWN_STEPS = (
    "the ledger was repaired, and what the steps of this job did is not known: begun again, it "
    "would do a second time what was done"
)
MOST_LOST_TOLD = 1_000
MOST_STEPS = 1_000
PAGE = 1_000
_SIDES = ("-wal", "-shm", "-journal")
_NEWEST = "repair_newest"
"""A table, while repairing: the jobs that the damaged ledger itself told of."""
_DERIVED = frozenset({"mention", "condition", "known_files", "alembic_version"})
"""Made anew: what follows from the other tables, and what a starting daemon forgets or learns."""

Careful = Callable[[str], bool]
"""Says of an action whether somebody would notice that it was done twice."""


@dataclass(frozen=True, slots=True)
class Health:
    """What a look at a ledger, or at a backup of one, showed. Sound where it has no problems."""

    path: Path
    size: int
    version: str | None
    problems: Sequence[str]
    rows: Mapping[str, int] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class LostJob:
    """A job of which no event is left: what it was about is not known."""

    job_id: int
    rule: str
    state: str


@dataclass(slots=True)
class Repaired:
    """What a repair would give.

    ``tables`` tells what was read of the damaged ledger, ``rows`` what the new one has.
    ``from_backup`` counts the jobs that are known from the backup alone; of those that had not
    ended ``going_on`` go on from where they were then. ``beginning`` counts jobs of which it is
    not known what their steps did: they begin again. ``asking`` are those of both that became
    dead letters instead.
    ``lost`` are jobs that are gone, the first thousand of ``lost_jobs``. ``unjudged`` counts
    events of which it is no longer known what the rules made of them.
    """

    backup: Backup | None = None
    source: Path | None = None
    tables: dict[str, Salvage] = field(default_factory=dict)
    rows: dict[str, int] = field(default_factory=dict)
    from_backup: int = 0
    going_on: int = 0
    beginning: int = 0
    asking: int = 0
    lost: list[LostJob] = field(default_factory=list)
    lost_jobs: int = 0
    unjudged: int = 0
    finished_before: bool = False

    @property
    def whole(self) -> bool:
        """Whether nothing at all is missing, as far as can be told."""
        return bool(self.tables) and all(table.whole for table in self.tables.values())


def examine(path: Path) -> Health:
    """Look at every page of a ledger. Raises LedgerError where there is none."""
    try:
        size = path.stat().st_size
    except OSError as error:
        raise LedgerError(f"there is no ledger at {path}: {error}") from error
    if size == 0:
        return Health(path, size, None, ["the file is empty"])
    problems = problems_of(path)
    version: str | None = None
    rows: Mapping[str, int] = {}
    if not problems:
        try:
            with closing(open_raw(path)) as connection:
                version, rows, problems = _inventory(connection)
        except sqlite3.Error as error:
            problems = [str(error)]
    return Health(path, size, version, problems, rows)


def _inventory(
    connection: sqlite3.Connection,
) -> tuple[str | None, dict[str, int], list[str]]:
    """Look whether what is well-formed is a ledger, too."""
    there = {row[0] for row in connection.execute("SELECT name FROM sqlite_master")}
    if "alembic_version" not in there:
        return None, {}, ["it is a database, but not a ledger of hydrusd"]
    found = connection.execute("SELECT version_num FROM alembic_version").fetchone()
    version = None if found is None else str(found[0])
    if version != HEAD:
        older = version in KNOWN
        return version, {}, [] if older else [f"its tables are at {version!r}, which is not known"]
    problems = [f"the table {name} is missing" for name in metadata.tables if name not in there]
    strays = connection.execute("PRAGMA foreign_key_check").fetchmany(PAGE)
    counted: dict[tuple[str, str], int] = {}
    for table, _, parent, _ in strays:
        counted[table, parent] = counted.get((table, parent), 0) + 1
    problems += [
        f"{n} rows of {t} are about a row of {p} that is not there" for (t, p), n in counted.items()
    ]
    return version, _count(connection, there & metadata.tables.keys()), problems


def _count(connection: sqlite3.Connection, tables: Iterator[str] | set[str]) -> dict[str, int]:
    return {
        name: connection.execute(f'SELECT count(*) FROM "{name}"').fetchone()[0]
        for name in sorted(tables)
    }


class Repair:
    """A repair of one ledger, during which no daemon can have it.

    ``prepare`` makes the new ledger beside the old one, ``finish`` puts it in its place. A repair
    that is given up, or killed, has changed nothing.
    """

    def __init__(self, ledger: Path, lock: FileLock) -> None:
        self._ledger = ledger
        self._lock = lock
        self._repaired = ledger.with_name(f"{ledger.stem}.{REPAIRED}{ledger.suffix}")
        self._unfinished = ledger.with_name(f"{self._repaired.name}.unfinished")
        self._wreck = ledger.with_name(f"{ledger.stem}.salvaging{ledger.suffix}")

    @classmethod
    def begin(cls, ledger: Path) -> Self:
        """Keep everybody else away. Raises LedgerLocked where a daemon is at work."""
        try:
            return cls(ledger, Ledger.take_lock(ledger))
        except OSError as error:
            raise LedgerError(f"the ledger {ledger} cannot be repaired: {error}") from error

    def close(self) -> None:
        """Let others in again."""
        self._remove(self._unfinished)
        self._remove(self._wreck)
        self._lock.release()

    def _remove(self, path: Path) -> None:
        for suffix in ("", *_SIDES):
            with suppress(OSError):
                path.with_name(path.name + suffix).unlink(missing_ok=True)

    # --- preparing -----------------------------------------------------------------------

    def prepare(
        self, now: datetime, *, careful: Careful, tell: Callable[[str], None] = lambda _: None
    ) -> Repaired:
        """Make the new ledger. Raises LedgerError where nothing can be made of what is there.

        ``tell`` is told what is being done: of a large ledger it takes minutes.
        """
        try:
            killed = not self._ledger.exists() and self._repaired.exists()
            if killed and not problems_of(self._repaired):
                return Repaired(finished_before=True)
            self._remove(self._repaired)
            self._remove(self._unfinished)
            return self._prepare(now, careful, tell)
        except sqlite3.Error as error:
            raise ledger_error(self._unfinished, error) from error
        except OSError as error:
            raise LedgerError(
                f"the ledger cannot be repaired in {self._ledger.parent}: {error}"
            ) from error

    def _prepare(self, now: datetime, careful: Careful, tell: Callable[[str], None]) -> Repaired:
        result = Repaired(source=self._source())
        tell("looking for the newest backup that is sound")
        result.backup = self._sound_backup()
        wreck = self._open_wreck(result)
        if wreck is None and result.backup is None:
            raise LedgerDamaged(
                f"nothing can be read of {result.source or self._ledger}, and there is no backup "
                f"that is sound. To begin anew, with everything to be noticed and done again, take "
                f"{self._ledger.name} and the folder beside it away"
            )
        try:
            self._lay_ground(result.backup, wreck.revision() if wreck else None)
            with closing(sqlite3.connect(self._unfinished, isolation_level=None)) as made:
                made.execute("PRAGMA synchronous=OFF")
                made.execute("BEGIN")
                if wreck is not None:
                    _fill(made, wreck, table_names(self._unfinished), result, tell)
                made.execute("COMMIT")
        finally:
            if wreck is not None:
                wreck.close()
        self._bring_up_to_date()
        with closing(sqlite3.connect(self._unfinished, isolation_level=None)) as made:
            made.execute("PRAGMA synchronous=OFF")
            made.execute("BEGIN")
            tell("putting the rows together")
            _put_together(made, result, now, careful)
            made.execute("COMMIT")
            made.execute("PRAGMA journal_mode=DELETE").fetchone()
            result.rows = _count(made, set(metadata.tables) - _DERIVED)
        tell("checking the new ledger")
        if problems := problems_of(self._unfinished):
            raise LedgerError(f"what was made of the ledger is not sound: {problems[0]}")
        if self._ledger.exists():
            shutil.copymode(self._ledger, self._unfinished)
        with self._unfinished.open("rb+") as written:
            os.fsync(written.fileno())
        self._unfinished.replace(self._repaired)
        sync_folder(self._ledger.parent)
        return result

    def _source(self) -> Path | None:
        """Give the damaged ledger: what is there, or what a repair that was killed put aside."""
        candidates = [self._ledger, *leftovers(self._ledger)]
        return next((p for p in candidates if p.exists() and p.stat().st_size > 0), None)

    def _sound_backup(self) -> Backup | None:
        for backup in backups(self._ledger):
            with suppress(sqlite3.Error, LedgerError):
                if not problems_of(backup.path) and _version_of(backup.path) in KNOWN:
                    return backup
        return None

    def _open_wreck(self, result: Repaired) -> Wreck | None:
        if result.source is None:
            return None
        with suppress(sqlite3.Error, LedgerError, ValueError):
            return _ledger_wreck(result.source)
        others = [result.source, *([result.backup.path] if result.backup else [])]
        for other in others:
            with suppress(sqlite3.Error, LedgerError, ValueError):
                self._remove(self._wreck)
                with_first_page_of(other, result.source, self._wreck)
                return _ledger_wreck(self._wreck)
        return None

    def _lay_ground(self, backup: Backup | None, version: str | None) -> None:
        """Begin with the backup, or with nothing, in the tables that the damaged ledger has."""
        if backup is not None:
            shutil.copyfile(backup.path, self._unfinished)
        reached = None if backup is None else _version_of(backup.path)
        wanted = version if version in KNOWN else reached or HEAD
        if reached is None or KNOWN.index(reached) < KNOWN.index(wanted):
            self._migrate(wanted)

    def _bring_up_to_date(self) -> None:
        self._migrate(HEAD)

    def _migrate(self, to: str) -> None:
        engine = open_engine(self._unfinished, writes=True)
        try:
            with engine.begin() as connection:
                migrate(connection, to)
        finally:
            engine.dispose()

    # --- finishing -----------------------------------------------------------------------

    def finish(self, now: datetime) -> Path | None:
        """Put the new ledger in the old one's place; give where the damaged one is now."""
        stamp = now.astimezone(UTC).strftime("%Y%m%dT%H%M%SZ")
        aside = self._ledger.with_name(
            f"{self._ledger.stem}.{DAMAGED}-{stamp}{self._ledger.suffix}"
        )
        kept = None
        try:
            if self._ledger.exists():
                self._ledger.replace(aside)
                kept = aside
            # Nothing of the old one may stay beside the new: SQLite would take it for its own.
            for suffix in _SIDES:
                left = self._ledger.with_name(self._ledger.name + suffix)
                if left.exists():
                    left.replace(aside.with_name(aside.name + suffix))
            aside.with_name(f"{aside.name}-shm").unlink(missing_ok=True)
            sync_folder(self._ledger.parent)
            self._repaired.replace(self._ledger)
            sync_folder(self._ledger.parent)
        except OSError as error:
            raise LedgerError(
                f"the repaired ledger cannot be put in its place: {error}. End whatever else has "
                f"it open, then start `hydrusd ledger repair` again"
            ) from error
        return kept

    def give_up(self) -> None:
        """Leave everything as it was."""
        if self._ledger.exists():
            self._remove(self._repaired)


def _ledger_wreck(path: Path) -> Wreck:
    """Open a wreck. Raises sqlite3.Error, and ValueError where it is none of a ledger."""
    wreck = Wreck(path)
    if not wreck.columns("event"):
        wreck.close()
        raise ValueError(f"{path} has no tables of a ledger")
    return wreck


def _version_of(path: Path) -> str | None:
    with closing(open_raw(path)) as connection:
        row = connection.execute("SELECT version_num FROM alembic_version").fetchone()
    return None if row is None else str(row[0])


# --- filling in --------------------------------------------------------------------------


def _fill(
    made: sqlite3.Connection,
    wreck: Wreck,
    tables: Sequence[str],
    result: Repaired,
    tell: Callable[[str], None],
) -> None:
    """Lay what can be read of the damaged ledger over what the backup says."""
    for table in tables:
        if table in _DERIVED:
            continue
        tell(f"reading the table {table}")
        salvage = result.tables.setdefault(table, Salvage())
        columns = [c for c in _columns(made, table) if c in wreck.columns(table)]
        if not columns:
            salvage.gaps += 1
            continue
        listed = ", ".join(f'"{c}"' for c in columns)
        made.execute(f'CREATE TEMP TABLE found AS SELECT {listed} FROM "{table}" WHERE 0')
        places = ", ".join("?" * len(columns))
        for rows in wreck.rows(table, columns, salvage):
            made.executemany(f"INSERT INTO temp.found VALUES ({places})", rows)
        if salvage.whole:
            # All of it is there, so what it no longer has was deleted on purpose.
            made.execute(f'DELETE FROM main."{table}"')
        elif table == "event":
            _free_older_events(made)
        made.execute(f'INSERT OR REPLACE INTO main."{table}" ({listed}) SELECT * FROM temp.found')
        if table == "job":
            made.execute(f"CREATE TABLE {_NEWEST} AS SELECT id FROM temp.found")
        made.execute("DROP TABLE temp.found")
    _keep_counting(made, wreck)


def _free_older_events(made: sqlite3.Connection) -> None:
    """Free events of the backup whose key stands for a newer one now."""
    made.execute('CREATE INDEX temp.by_key ON found ("trigger", "key")')
    made.execute(
        "UPDATE main.event SET freed = id WHERE freed = 0 AND EXISTS (SELECT 1 FROM temp.found f "
        'WHERE f."trigger" = event."trigger" AND f."key" = event."key" AND f.freed = 0 '
        "AND f.id <> event.id)"
    )


def _keep_counting(made: sqlite3.Connection, wreck: Wreck) -> None:
    """Never give a number again that listeners have seen: they would take it for an old one."""
    for name, reached in wreck.sequences().items():
        made.execute("UPDATE sqlite_sequence SET seq = max(seq, ?) WHERE name = ?", (reached, name))
        made.execute(
            "INSERT INTO sqlite_sequence (name, seq) SELECT ?, ? WHERE NOT EXISTS "
            "(SELECT 1 FROM sqlite_sequence WHERE name = ?)",
            (name, reached, name),
        )


def _columns(connection: sqlite3.Connection, table: str) -> list[str]:
    return [row[1] for row in connection.execute(f'PRAGMA table_info("{table}")')]


def _put_together(
    made: sqlite3.Connection, result: Repaired, now: datetime, careful: Careful
) -> None:
    """Make one whole of rows from two times."""
    # A job and a reason for none: the job is the later, and both would be counted as verdicts.
    made.execute(
        "DELETE FROM not_matched WHERE EXISTS (SELECT 1 FROM job "
        "WHERE job.event_id = not_matched.event_id AND job.rule = not_matched.rule)"
    )
    orphans = "FROM job WHERE event_id NOT IN (SELECT id FROM event)"
    result.lost_jobs = made.execute(f"SELECT count(*) {orphans}").fetchone()[0]
    lost = made.execute(
        f"SELECT id, rule, state {orphans} ORDER BY id DESC LIMIT ?", [MOST_LOST_TOLD]
    )
    result.lost = [LostJob(*row) for row in lost]
    _let_go_of_strays(made)
    made.execute("DELETE FROM condition")
    made.execute("DELETE FROM known_files")  # it would vouch for events that may be gone
    _find_words(made)
    _count_signals(made)
    doubts = _Doubts(made, now, careful)
    _begin_again(made, result, doubts)
    if result.backup is not None:
        _doubt(made, result, result.backup, doubts)
    result.asking = doubts.asking
    made.execute(f"DROP TABLE IF EXISTS {_NEWEST}")
    result.unjudged = made.execute(
        "SELECT count(*) FROM event WHERE freed = 0 AND id NOT IN (SELECT event_id FROM job) "
        "AND id NOT IN (SELECT event_id FROM not_matched)"
    ).fetchone()[0]


def _let_go_of_strays(made: sqlite3.Connection) -> None:
    """Do to rows whose other half is missing what deleting that would have done."""
    again = True
    while again:
        again = False
        for table in metadata.tables:
            for key in made.execute(f'PRAGMA foreign_key_list("{table}")').fetchall():
                parent, column, of_parent, on_delete = key[2], key[3], key[4], key[6]
                stray = (
                    f'"{column}" IS NOT NULL AND "{column}" NOT IN '
                    f'(SELECT "{of_parent}" FROM "{parent}")'
                )
                if on_delete == "SET NULL":
                    statement = f'UPDATE "{table}" SET "{column}" = NULL WHERE {stray}'
                else:
                    statement = f'DELETE FROM "{table}" WHERE {stray}'
                again |= made.execute(statement).rowcount > 0


def _find_words(made: sqlite3.Connection) -> None:
    """Find anew by what words events are asked for."""
    made.execute("DELETE FROM mention")
    for start in range(0, (made.execute("SELECT max(id) FROM event").fetchone()[0] or 0) + 1, PAGE):
        part = (start, start + PAGE)
        rows = made.execute("SELECT id, data FROM event WHERE id >= ? AND id < ?", part)
        words = {i: words_in_event(data) for i, text in rows if (data := _mapping(text))}
        values = made.execute(
            'SELECT job.event_id, job.file_hash, step."values" FROM job JOIN step '
            "ON step.job_id = job.id WHERE job.event_id >= ? AND job.event_id < ?",
            part,
        )
        for event_id, known, text in values:
            new = words_in_values(_mapping(text)) - {known}
            words.setdefault(event_id, set()).update(new)
        pairs = [(i, word) for i, found in words.items() for word in found]
        made.executemany("INSERT OR IGNORE INTO mention (event_id, word) VALUES (?, ?)", pairs)


def _mapping(text: str) -> dict[str, Any]:
    data = json.loads(text)
    return data if isinstance(data, dict) else {}


def _count_signals(made: sqlite3.Connection) -> None:
    """See to it that the next signal has a number that no listener has had."""
    heard = [
        int(value)
        for (value,) in made.execute("SELECT value FROM trigger_memory WHERE name = 'signal'")
        if str(value).isdecimal()
    ]
    newest = made.execute("SELECT max(id) FROM signal").fetchone()[0] or 0
    reached = max([newest, *heard])
    made.execute("UPDATE sqlite_sequence SET seq = max(seq, ?) WHERE name = 'signal'", [reached])
    made.execute(
        "INSERT INTO sqlite_sequence (name, seq) SELECT 'signal', ? WHERE NOT EXISTS "
        "(SELECT 1 FROM sqlite_sequence WHERE name = 'signal')",
        [reached],
    )


class _Doubts:
    """Makes dead letters of jobs that may have been done, where doing them twice would show."""

    def __init__(self, made: sqlite3.Connection, now: datetime, careful: Careful) -> None:
        self._made = made
        self._careful = careful
        self._moment = now.astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%S.%fZ")
        self.asking = 0

    def ask(self, jobs: Sequence[tuple[int, Sequence[str]]], detail: str) -> list[int]:
        """Do it for those of the jobs with such a step before them; give the others."""
        doubtful = [i for i, actions in jobs if any(map(self._careful, actions))]
        self._made.executemany(
            "UPDATE job SET state = ?, detail = ?, finished_at = ?, ending = NULL, owner = NULL, "
            "lease_until = NULL WHERE id = ?",
            [(JobState.DEAD.value, detail, self._moment, i) for i in doubtful],
        )
        self.asking += len(doubtful)
        asking = set(doubtful)
        return [i for i, _ in jobs if i not in asking]


_OPEN_JOBS = (
    "SELECT job.id, job.step, definition FROM job "
    "LEFT JOIN rule_revision r ON r.rule = job.rule AND r.revision = job.revision "
    "WHERE job.finished_at IS NULL AND "
)


def _begin_again(made: sqlite3.Connection, result: Repaired, doubts: _Doubts) -> None:
    """Have jobs begin again of which it is not known what each step before did.

    What a step did is looked up after a restart of the client, before a source is disposed of:
    what is not known to have been done would not be missed.
    """
    rows = made.execute(
        f"{_OPEN_JOBS} job.step > 0 AND job.step > (SELECT count(*) FROM step WHERE "
        "step.job_id = job.id AND step.position < job.step AND step.outcome = ?)",
        [OutcomeKind.DONE.value],
    ).fetchall()
    made.executemany(
        "UPDATE job SET step = 0, state = ?, attempt = 0, needs_client = 1, boot = NULL, "
        "ending = NULL, owner = NULL, lease_until = NULL WHERE id = ?",
        [(JobState.READY.value, i) for i, _, _ in rows],
    )
    jobs = [(i, _steps_of(definition)[:step]) for i, step, definition in rows]
    result.beginning = len(doubts.ask(jobs, UNKNOWN_STEPS))


def _doubt(made: sqlite3.Connection, result: Repaired, backup: Backup, doubts: _Doubts) -> None:
    """Decide what becomes of jobs that are known only as they were when the backup was made."""
    known = made.execute("SELECT 1 FROM sqlite_master WHERE name = ?", [_NEWEST]).fetchone()
    old = f"job.id NOT IN (SELECT id FROM {_NEWEST})" if known else "1"
    result.from_backup = made.execute(f"SELECT count(*) FROM job WHERE {old}").fetchone()[0]
    rows = made.execute(f"{_OPEN_JOBS} {old}").fetchall()
    jobs = [(i, _steps_of(definition)[step:]) for i, step, definition in rows]
    result.going_on = len(doubts.ask(jobs, UNKNOWN_SINCE.format(made_at=backup.made_at)))


def _steps_of(definition: str | None) -> list[str]:
    """Give the names of a rule's actions; many without a name where they are not known."""
    try:
        steps = json.loads(definition or "")["do"]
        return [next(iter(s)) if isinstance(s, dict) else str(s) for s in steps]
    except (ValueError, KeyError, TypeError, StopIteration):
        return [""] * MOST_STEPS
