"""Reads what can be read of a damaged SQLite file, and believes only what can be true.

A damaged page takes the rows on it along, or, where it leads to others, those on these. SQLite
gives up at the first; here the rows behind are looked for, by their numbers. A page may also be
full of something that is well-formed and wrong: a row is taken only if each of its values is one
that hydrusd could have written.
"""
# ruff: noqa: S608 - names of tables, for which no parameter can stand

from __future__ import annotations

import json
import re
import shutil
import sqlite3
from collections.abc import Callable, Iterator, Sequence
from contextlib import closing
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any

from sqlalchemy import JSON, Boolean, Integer, Table

from hydrusd.ledger._backups import open_raw
from hydrusd.ledger._tables import Moment, metadata
from hydrusd.model import JobState, OutcomeKind

ROWS_AT_ONCE = 1_000
LARGEST_ROWID = 2**62
HEADER_BYTES = 100

_MOMENT = re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{6}Z")
_WORDS = {
    ("job", "state"): frozenset(JobState),
    ("job", "ending"): frozenset(JobState),
    ("step", "outcome"): frozenset(OutcomeKind),
}

Row = tuple[Any, ...]


@dataclass(slots=True)
class Salvage:
    """How it went with one table. ``gaps``: so often rows could not be read."""

    rows: int = 0
    gaps: int = 0
    refused: int = 0

    @property
    def whole(self) -> bool:
        """Whether every row was read and could be believed."""
        return not (self.gaps or self.refused)


class Wreck:
    """A damaged ledger, opened to read. Nothing in the file is changed."""

    def __init__(self, path: Path) -> None:
        """Open it. Raises sqlite3.Error where not even its tables' names can be read."""
        self._connection = open_raw(path)
        try:
            # As bytes: what is no text would end the whole look otherwise.
            self._connection.text_factory = bytes
            self._columns = self._read_columns()
        except BaseException:
            self._connection.close()
            raise

    def close(self) -> None:
        """Close the file."""
        self._connection.close()

    def _read_columns(self) -> dict[str, list[str]]:
        names = self._connection.execute("SELECT name FROM sqlite_master WHERE type = 'table'")
        tables = [row[0].decode("utf-8", "replace") for row in names]
        return {
            table: [
                row[1].decode()
                for row in self._connection.execute(f"PRAGMA table_info({_quoted(table)})")
            ]
            for table in tables
        }

    def columns(self, table: str) -> list[str]:
        """Give the names of a table's columns; nothing where the table is not there."""
        return self._columns.get(table, [])

    def revision(self) -> str | None:
        """Say which migration it is at, if that can be read."""
        try:
            row = self._connection.execute("SELECT version_num FROM alembic_version").fetchone()
        except sqlite3.Error:
            return None
        return None if row is None else bytes(row[0]).decode("ascii", "replace")

    def sequences(self) -> dict[str, int]:
        """Give how far tables that never use a number twice have counted, if that can be read."""
        try:
            found = self._connection.execute("SELECT name, seq FROM sqlite_sequence").fetchall()
        except sqlite3.Error:
            return {}
        return {n.decode("utf-8", "replace"): s for n, s in found if isinstance(s, int)}

    def rows(self, table: str, columns: Sequence[str], salvage: Salvage) -> Iterator[list[Row]]:
        """Give the believable rows, some at a time, and count in ``salvage``."""
        check = _checker(table, columns)
        for raw in self._raw(table, columns, salvage):
            good = [row for each in raw if (row := check(each)) is not None]
            salvage.rows += len(good)
            salvage.refused += len(raw) - len(good)
            yield good

    def _raw(self, table: str, columns: Sequence[str], salvage: Salvage) -> Iterator[list[Row]]:
        listed = ", ".join(map(_quoted, columns))
        if not self._has_rowid(table):
            yield from self._from_both_ends(table, listed, salvage)
            return
        query = (
            f"SELECT rowid, {listed} FROM {_quoted(table)} NOT INDEXED "
            f"WHERE rowid > ? ORDER BY rowid LIMIT ?"
        )
        last = -1
        while True:
            found, failed = self._read(query, last, ROWS_AT_ONCE)
            if found:
                last = found[-1][0]
                yield [row[1:] for row in found]
            if failed:
                salvage.gaps += 1
                behind = self._next_readable(query, last)
                if behind is None:
                    return
                last = behind - 1
            elif len(found) < ROWS_AT_ONCE:
                return

    def _has_rowid(self, table: str) -> bool:
        known = metadata.tables.get(table)
        return known is None or known.dialect_options["sqlite"]["with_rowid"] is not False

    def _from_both_ends(self, table: str, listed: str, salvage: Salvage) -> Iterator[list[Row]]:
        """Read a table that is kept by its primary key: up to the first damage from either end."""
        query = f"SELECT {listed} FROM {_quoted(table)}"
        found, failed = self._read(query)
        yield found
        if failed:
            salvage.gaps += 1
            keys = ", ".join(f"{_quoted(c.name)} DESC" for c in metadata.tables[table].primary_key)
            yield self._read(f"{query} ORDER BY {keys}")[0]

    def _read(self, query: str, *values: int) -> tuple[list[Row], bool]:
        """Give the rows before the first damage, and whether there was one."""
        found: list[Row] = []
        try:
            for row in self._connection.execute(query, values):
                found.append(row)  # noqa: PERF402 - what came before the error counts
        except sqlite3.Error:
            return found, True
        return found, False

    def _next_readable(self, query: str, after: int) -> int | None:
        """Find the number of the next row behind a damage; None where there is none.

        Ever larger steps until something can be read again, then back towards the damage.
        """
        step = 1
        while after + step < LARGEST_ROWID:
            found, failed = self._read(query, after + step, 1)
            if not failed:
                break
            step *= 2
        else:
            return None
        if not found:
            return None
        unreadable, readable = after + step // 2, after + step
        first = int(found[0][0])
        while readable - unreadable > 1:
            middle = (unreadable + readable) // 2
            found, failed = self._read(query, middle, 1)
            if failed or not found:
                unreadable = middle
            else:
                readable, first = middle, int(found[0][0])
        return first


def with_first_page_of(other: Path, ledger: Path, target: Path) -> None:
    """Copy a ledger that SQLite does not even open, with a first page that it may like better.

    That page says where the tables begin, which no daily work changes, so that of a backup will
    do; and how many pages there are, which is counted anew: a file that was cut off still has
    those before the cut. ``other`` may be the ledger itself. Raises OSError, and ValueError where
    the two do not go together.
    """
    with other.open("rb") as opened:
        header = opened.read(HEADER_BYTES)
        if not header.startswith(b"SQLite format 3\0"):
            raise ValueError(f"{other} has no first page")
        size = int.from_bytes(header[16:18], "big")
        size = 65536 if size == 1 else size
        page = bytearray(header + opened.read(size - HEADER_BYTES))
    pages = ledger.stat().st_size // size
    if not pages or len(page) != size:
        raise ValueError(f"{ledger} has no whole page")
    page[18:20] = b"\2\2"  # in WAL mode, as the ledger was
    page[28:32] = pages.to_bytes(4, "big")
    page[92:96] = page[24:28]  # so that the number of pages counts
    shutil.copyfile(ledger, target)
    log = ledger.with_name(f"{ledger.name}-wal")
    if log.exists():
        shutil.copyfile(log, target.with_name(f"{target.name}-wal"))
    with target.open("rb+") as copied:
        copied.write(page)
        copied.truncate(pages * size)


def table_names(path: Path) -> list[str]:
    """Give the names of a sound ledger's own tables."""
    with closing(open_raw(path)) as connection:
        names = connection.execute(
            "SELECT name FROM sqlite_master "
            "WHERE type = 'table' AND substr(name, 1, 7) <> 'sqlite_'"
        )
        return [row[0] for row in names]


def _quoted(name: str) -> str:
    return '"' + name.replace('"', '""') + '"'


def _checker(table: str, columns: Sequence[str]) -> Callable[[Row], Row | None]:
    """Give what makes values of raw ones, or None where hydrusd cannot have written them."""
    known = metadata.tables.get(table)
    reads = [_reader(known, table, name) for name in columns]

    def check(row: Row) -> Row | None:
        try:
            return tuple(read(value) for read, value in zip(reads, row, strict=True))
        except (ValueError, TypeError, RecursionError):
            return None

    return check


def _reader(table: Table | None, name: str, column: str) -> Callable[[Any], Any]:
    known = None if table is None else table.columns.get(column)
    kind = None if known is None else known.type
    words = _WORDS.get((name, column))

    def read(value: object) -> object:
        if value is None:
            if known is not None and not known.nullable:
                raise ValueError("it has to be there")
            return None
        if isinstance(kind, (Integer, Boolean)):
            if not isinstance(value, int):
                raise TypeError("no number")
            return value
        text = value.decode() if isinstance(value, bytes) else value
        if isinstance(kind, JSON):
            json.loads(str(text))  # SQLite keeps one that is a number as a number
            return text
        if known is not None and not isinstance(text, str):
            raise TypeError("no text")
        if isinstance(kind, Moment):
            if not _MOMENT.fullmatch(str(text)):
                raise ValueError("no time")
            datetime.fromisoformat(str(text))
        if words is not None and text not in words:
            raise ValueError("no such word")
        return text

    return read
