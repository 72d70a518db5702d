"""Copies of the ledger, made while it is in use, for the day on which it cannot be read.

A copy is one snapshot: it is read on a connection of its own, which in WAL mode keeps nobody
from writing. It is written beside its final name, checked as a whole, synced, and only then
named, so that what is called a backup is one. Checking the copy checks the ledger as well: a
page that rots there is found when the next copy is made, and not in a year.
"""

from __future__ import annotations

import contextlib
import os
import re
import shutil
import sqlite3
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from enum import Enum
from pathlib import Path

from hydrusd.errors import LedgerDamaged, LedgerError, LedgerFull
from hydrusd.ledger._sqlite import BUSY_SECONDS, damage, ledger_error
from hydrusd.syncing import sync_folder

FOLDER = "backups"
DAMAGED = "damaged"
REPAIRED = "repaired"
"""In the names of what a repair puts aside, and of what is to take its place."""
PAGES_AT_ONCE = 2_000
"""Between so many pages (8 MB) a backup can be called off."""
STEPS_AT_ONCE = 200_000
"""The same for checking, in steps of SQLite's virtual machine."""
MOST_PROBLEMS = 20
"""How many problems of a damaged file are named."""

_TIME = "%Y%m%dT%H%M%SZ"
_NAME = re.compile(r"ledger-(\d{8}T\d{6}Z)(?:-(\d+))?-(daily|upgrade|asked)\.sqlite")
_UNFINISHED = ".unfinished"


class Occasion(Enum):
    """Why a backup was made; those of each kind push out only their own."""

    DAILY = "daily"
    UPGRADE = "upgrade"
    ASKED = "asked"


KEPT = {Occasion.DAILY: 3, Occasion.UPGRADE: 2, Occasion.ASKED: 5}


@dataclass(frozen=True, slots=True, order=True)
class Backup:
    """A backup that lies in the folder. Whether it can still be read is another question."""

    made_at: datetime
    number: int
    path: Path
    occasion: Occasion

    @property
    def size(self) -> int:
        """Bytes on the disk."""
        return self.path.stat().st_size


def backups(ledger: Path) -> list[Backup]:
    """Give the backups of a ledger, the newest first."""
    found = []
    with contextlib.suppress(OSError):
        for path in (ledger.parent / FOLDER).iterdir():
            if match := _NAME.fullmatch(path.name):
                made_at = datetime.strptime(match[1], _TIME).replace(tzinfo=UTC)
                found.append(Backup(made_at, int(match[2] or 0), path, Occasion(match[3])))
    return sorted(found, reverse=True)


def leftovers(ledger: Path) -> list[Path]:
    """Give what a repair has put aside or was about to put in the ledger's place, newest first."""
    pattern = f"{ledger.stem}.{DAMAGED}-*{ledger.suffix}"
    aside = sorted(ledger.parent.glob(pattern), key=lambda p: p.name, reverse=True)
    repaired = ledger.with_name(f"{ledger.stem}.{REPAIRED}{ledger.suffix}")
    return [*([repaired] if repaired.exists() else []), *aside]


def refuse_what_is_left(ledger: Path) -> None:
    """Raise LedgerDamaged where a ledger has vanished of which there are backups.

    An empty one in its place would know nothing: everything would be new, and be done again.
    """
    try:
        if ledger.stat().st_size > 0:
            return
        what = "is empty"
    except FileNotFoundError:
        what = "is gone"
    except OSError as error:
        raise LedgerError(f"the ledger {ledger} cannot be opened: {error}") from error
    if found := leftovers(ledger) or [backup.path for backup in backups(ledger)]:
        raise LedgerDamaged(
            f"the ledger {ledger} {what}, but there is {found[0]}. `hydrusd ledger repair` brings "
            f"back what it can; to begin anew, with everything to be noticed and done again, "
            f"take that and {FOLDER!r} away"
        )


def back_up(
    ledger: Path,
    occasion: Occasion,
    now: datetime,
    *,
    keep: int | None = None,
    still_wanted: Callable[[], object] = lambda: None,
) -> Backup:
    """Make a backup, beside whoever writes, and delete the oldest of its kind.

    ``still_wanted`` is asked now and then; what it raises ends this, and leaves nothing behind.
    Raises LedgerDamaged where the ledger itself proves to be damaged, LedgerFull where there is
    no room, LedgerError for all else that keeps it from being made.
    """
    folder = ledger.parent / FOLDER
    try:
        folder.mkdir(exist_ok=True)
        for left in folder.glob(f"*{_UNFINISHED}*"):  # by a process that was killed
            left.unlink(missing_ok=True)
        made = _next(ledger, occasion, now)
        unfinished = made.path.with_name(made.path.name + _UNFINISHED)
        try:
            _copy(ledger, unfinished, still_wanted)
            unfinished.replace(made.path)
            sync_folder(folder)
        finally:
            for suffix in ("", "-journal", "-wal", "-shm"):
                unfinished.with_name(unfinished.name + suffix).unlink(missing_ok=True)
    except OSError as error:
        raise LedgerError(f"no backup of the ledger can be made in {folder}: {error}") from error
    _delete_oldest(ledger, occasion, KEPT[occasion] if keep is None else keep, made)
    return made


def export(ledger: Path, target: Path) -> None:
    """Make a backup at a place of somebody's choice, where nothing is yet.

    Raises LedgerError, as ``back_up`` does.
    """
    unfinished = target.with_name(target.name + _UNFINISHED)
    try:
        if target.exists():
            raise LedgerError(f"{target} exists already; nothing was done")
        try:
            _copy(ledger, unfinished, lambda: None)
            unfinished.replace(target)
            sync_folder(target.parent)
        finally:
            unfinished.unlink(missing_ok=True)
    except OSError as error:
        raise LedgerError(f"no backup of the ledger can be made at {target}: {error}") from error


def _next(ledger: Path, occasion: Occasion, now: datetime) -> Backup:
    made_at = now.astimezone(UTC).replace(microsecond=0)
    # Behind all of the same second, though some of these may have been deleted again.
    number = max((b.number + 1 for b in backups(ledger) if b.made_at == made_at), default=0)
    again = f"-{number}" if number else ""
    name = f"ledger-{made_at.strftime(_TIME)}{again}-{occasion.value}.sqlite"
    return Backup(made_at, number, ledger.parent / FOLDER / name, occasion)


def _delete_oldest(ledger: Path, occasion: Occasion, keep: int, made: Backup) -> None:
    # By the clock, which may have been put back: what was just made is never the one to go.
    others = [b for b in backups(ledger) if b.occasion is occasion and b.path != made.path]
    for old in others[max(keep - 1, 0) :]:
        with contextlib.suppress(OSError):  # the next time, then
            old.path.unlink()


def _copy(ledger: Path, target: Path, still_wanted: Callable[[], object]) -> None:
    """Copy a ledger to a file that is whole and self-contained."""

    def look(*_: object) -> None:
        still_wanted()

    try:
        with (
            closing(open_raw(ledger)) as source,
            closing(sqlite3.connect(target, isolation_level=None)) as copy,
        ):
            # One snapshot from beginning to end: otherwise each write by others would have the
            # copying begin anew.
            source.execute("BEGIN")
            source.execute("SELECT count(*) FROM sqlite_master").fetchone()
            source.backup(copy, pages=PAGES_AT_ONCE, progress=look, sleep=0)
            source.execute("ROLLBACK")
            # One file, that can be carried away without what WAL mode keeps beside it.
            copy.execute("PRAGMA journal_mode=DELETE").fetchone()
    except sqlite3.Error as error:
        _blame(ledger, target, error)
    shutil.copymode(ledger, target)
    with target.open("rb+") as written:
        os.fsync(written.fileno())
    if problems := problems_of(target, still_wanted):
        if own := problems_of(ledger, still_wanted):
            raise damage(ledger, own[0])
        raise LedgerError(f"the copy of the ledger that was just made is damaged: {problems[0]}")


def _blame(ledger: Path, target: Path, error: sqlite3.Error) -> None:
    """Say whose fault it is that copying failed: it is told of both files in the same way."""
    if error.sqlite_errorcode & 0xFF in {sqlite3.SQLITE_CORRUPT, sqlite3.SQLITE_NOTADB}:
        raise ledger_error(ledger, error) from error
    told = ledger_error(target, error)
    kind = LedgerFull if isinstance(told, LedgerFull) else LedgerError
    raise kind(f"no backup of the ledger can be made at {target.parent}: {error}") from error


def problems_of(
    path: Path, still_wanted: Callable[[], object] = lambda: None, *, quick: bool = False
) -> list[str]:
    """Give what is wrong with the file of a ledger, in SQLite's words; nothing where it is sound.

    Looks at every page, so a gigabyte takes seconds. ``quick``: does not compare the indexes.
    """
    check = "quick_check" if quick else "integrity_check"
    with checking(path, still_wanted) as connection:
        try:
            found = connection.execute(f"PRAGMA {check}({MOST_PROBLEMS})").fetchall()
        except sqlite3.Error as error:
            if error.sqlite_errorcode == sqlite3.SQLITE_INTERRUPT:
                still_wanted()
            return [str(error)]
    # SQLite puts what it says of one table into one text.
    told = [line for row in found for line in str(row[0]).splitlines()]
    return [line for line in told if line != "ok" and not line.startswith("***")]


@contextmanager
def checking(
    path: Path, still_wanted: Callable[[], object] = lambda: None
) -> Iterator[sqlite3.Connection]:
    """Open a ledger, or a part of one, to read it; long statements can be called off."""

    def look() -> bool:
        try:
            still_wanted()
        except BaseException:  # noqa: BLE001 - SQLite hands on no exception: it is asked again
            return True
        return False

    with closing(open_raw(path)) as connection:
        connection.set_progress_handler(look, STEPS_AT_ONCE)
        yield connection


def open_raw(path: Path) -> sqlite3.Connection:
    """Open a ledger only to read, whatever state it is in."""
    try:
        return sqlite3.connect(
            f"{path.absolute().as_uri()}?mode=ro",
            uri=True,
            timeout=BUSY_SECONDS,
            isolation_level=None,
            check_same_thread=False,
        )
    except sqlite3.Error as error:
        raise ledger_error(path, error) from error
