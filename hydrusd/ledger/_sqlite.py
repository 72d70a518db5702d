"""The one place that knows that the database is SQLite.

WAL, so that ``hydrusd status`` reads while the daemon writes; ``synchronous=FULL``,
because a job transition that a power cut takes back is a thing done twice;
``BEGIN IMMEDIATE``, so that a transaction that will write never fails half way
because somebody else began to write first.
"""

from __future__ import annotations

import shutil
import sqlite3
from functools import cache
from pathlib import Path
from typing import Any

from sqlalchemy import Connection, Engine, ExceptionContext, Table, create_engine, event
from sqlalchemy.dialects.sqlite import insert as sqlite_insert
from sqlalchemy.pool import StaticPool

from hydrusd.errors import LedgerDamaged, LedgerError, LedgerFull
from hydrusd.exact_json import decode, encode
from hydrusd.ledger._batches import Batch

BUSY_SECONDS = 30
CHECKPOINT_PAGES = 4_000
"""How many pages (of 4 KiB) are written beside the file before they go into it."""
SYNCHRONOUS = "hydrusd_synchronous"
ROOM_BYTES = 4 * 1024 * 1024
"""A disk with less than that is full: the system may say so in several ways."""

_DAMAGED = {sqlite3.SQLITE_CORRUPT, sqlite3.SQLITE_NOTADB}


def unhurried(engine: Engine) -> Engine:
    """Give the same engine for what a power cut may take back: its commits wait for no disk.

    In WAL mode they are whole or not there, in their order, and on the disk with the next commit
    that does wait.
    """
    return engine.execution_options(**{SYNCHRONOUS: "NORMAL"})


def open_engine(path: Path, *, writes: bool, alone: bool = False) -> Engine:
    """Open the file. The engine has one connection, to be used by one thread at a time.

    Whatever SQLite says against a statement is a LedgerError. ``alone`` says that nobody writes
    meanwhile: then reading leaves nothing beside the file, which it does otherwise.
    """

    def connect() -> sqlite3.Connection:
        mode = "rwc" if writes else "ro&immutable=1" if alone else "ro"
        connection = sqlite3.connect(
            f"{path.absolute().as_uri()}?mode={mode}",
            uri=True,
            timeout=BUSY_SECONDS,
            isolation_level=None,
            check_same_thread=False,
            cached_statements=512,
        )
        try:
            connection.execute("PRAGMA foreign_keys=ON")
            if writes:
                _write_ahead(connection, path)
        except BaseException:
            connection.close()
            raise
        return connection

    engine = create_engine(
        "sqlite://",
        creator=connect,
        poolclass=StaticPool,
        json_serializer=encode,
        json_deserializer=decode,
    )
    begin = "BEGIN IMMEDIATE" if writes else "BEGIN"
    synchronous = "FULL"

    @event.listens_for(engine, "begin")
    def _begin(connection: Connection) -> None:
        nonlocal synchronous
        wanted = connection.get_execution_options().get(SYNCHRONOUS, "FULL")
        if writes and wanted != synchronous:
            connection.exec_driver_sql(f"PRAGMA synchronous={wanted}")
            synchronous = wanted
        connection.exec_driver_sql(begin)

    @event.listens_for(engine, "handle_error")
    def _say_which_file(context: ExceptionContext) -> None:
        error = context.original_exception
        if isinstance(error, sqlite3.Error):
            raise ledger_error(path, error) from error

    try:
        with engine.connect() as connection:
            connection.exec_driver_sql("SELECT count(*) FROM sqlite_master")
    except LedgerError:
        engine.dispose()
        raise
    return engine


def ledger_error(path: Path, error: sqlite3.Error) -> LedgerError:
    """Give what SQLite said about a ledger as the error that tells what to do about it."""
    said = f"the ledger {path} cannot be used: {error}"
    code = getattr(error, "sqlite_errorcode", sqlite3.SQLITE_ERROR) & 0xFF
    if code == sqlite3.SQLITE_FULL or (code == sqlite3.SQLITE_IOERR and _is_full(path)):
        return LedgerFull(f"{said}; make room on its disk")
    if code in _DAMAGED:
        return damage(path, str(error))
    if code == sqlite3.SQLITE_IOERR:
        return LedgerDamaged(
            f"{said}. Its disk does not do as it is told: see that it is there, writable, within "
            f"its quota and sound, then start hydrusd again; it goes on where it was"
        )
    return LedgerError(said)


def damage(path: Path, problem: str) -> LedgerDamaged:
    """Give the error for a ledger that can no longer be used."""
    return LedgerDamaged(
        f"the ledger {path} cannot be used: {problem}. Nothing more is written to it. "
        f"`hydrusd ledger check` tells what is wrong, `hydrusd ledger repair` mends what can "
        f"be mended"
    )


def has_been_left_open(path: Path) -> bool:
    """Say whether somebody has the ledger open, or died while having it open."""
    try:
        return path.with_name(f"{path.name}-wal").stat().st_size > 0
    except OSError:
        return False


def _is_full(path: Path) -> bool:
    try:
        return shutil.disk_usage(path.parent).free < ROOM_BYTES
    except OSError:
        return False


def _write_ahead(connection: sqlite3.Connection, path: Path) -> None:
    journal = connection.execute("PRAGMA journal_mode=WAL").fetchone()[0]
    if journal != "wal":
        raise LedgerError(
            f"the ledger cannot be kept in {path.parent}: this disk does not allow "
            f"SQLite's WAL mode (a network mount?). Choose a local folder with --state-dir."
        )
    connection.execute("PRAGMA synchronous=FULL")
    # What is written again and again meanwhile goes into the file once.
    connection.execute(f"PRAGMA wal_autocheckpoint={CHECKPOINT_PAGES}")


def room(connection: Connection) -> tuple[int, int]:
    """Say how many bytes the file has, and how many of them are free for what comes."""
    page, pages, free = (
        connection.exec_driver_sql(f"PRAGMA {name}").scalar_one()
        for name in ("page_size", "page_count", "freelist_count")
    )
    return page * pages, page * free


def commits_of_others(connection: sqlite3.Connection) -> int:
    """Give a number that is another after each commit by any other connection or process."""
    [number] = connection.execute("PRAGMA data_version").fetchone()
    return int(number)


def compact(engine: Engine) -> None:
    """Write the file anew without what is free in it. Nobody else may have it open."""
    with engine.connect() as connection:
        # A statement of its own: SQLite does this only outside of transactions.
        driver = connection.connection.driver_connection
        assert isinstance(driver, sqlite3.Connection)
        try:
            driver.execute("VACUUM")
            driver.execute("PRAGMA wal_checkpoint(TRUNCATE)")
        except sqlite3.Error as error:
            raise LedgerError(
                f"the ledger could not be written anew, and is as it was: {error}"
            ) from error


def insert_ignoring(connection: Connection, table: Table, rows: list[dict[str, Any]]) -> None:
    """Insert what is not there yet; rows that meet a unique constraint are left as they are."""
    if rows:
        inserting_ignoring(table, tuple(rows[0])).execute(connection, rows)


def insert_or_update(connection: Connection, table: Table, rows: list[dict[str, Any]]) -> None:
    """Insert rows, or overwrite those with the same primary key."""
    if rows:
        inserting_or_updating(table, tuple(rows[0])).execute(connection, rows)


def insert_or_add(
    connection: Connection, table: Table, rows: list[dict[str, Any]], column: str
) -> None:
    """Insert rows, or add their ``column`` to that of the row with the same primary key."""
    if rows:
        _insert_or_add(table, tuple(rows[0]), column).execute(connection, rows)


@cache
def inserting_ignoring(table: Table, names: tuple[str, ...]) -> Batch:
    """Give the statement for rows that have these columns."""
    return Batch(sqlite_insert(table).on_conflict_do_nothing(), names)


@cache
def inserting_or_updating(table: Table, names: tuple[str, ...]) -> Batch:
    """Give the statement for rows that have these columns."""
    statement = sqlite_insert(table)
    keys = [column.name for column in table.primary_key]
    changed = {name: statement.excluded[name] for name in names if name not in keys}
    return Batch(statement.on_conflict_do_update(index_elements=keys, set_=changed), names)


@cache
def _insert_or_add(table: Table, names: tuple[str, ...], column: str) -> Batch:
    statement = sqlite_insert(table)
    keys = [key.name for key in table.primary_key]
    added = {column: table.c[column] + statement.excluded[column]}
    return Batch(statement.on_conflict_do_update(index_elements=keys, set_=added), names)
