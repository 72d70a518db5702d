"""Statements that are compiled once: for many rows at once, or for a list of values.

SQLAlchemy builds the parameters of each row anew, and what it gives for each row of an answer,
with care for cases that do not occur in the ledger's few hot statements; for these that took half
of the time. What it knows (the SQL of this database, how a type is stored and read) is asked for
once here.
"""

from __future__ import annotations

import itertools
import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from operator import itemgetter
from typing import Any, NamedTuple, TypeVar

from sqlalchemy import JSON, ColumnClause, Connection, Dialect, Insert, Select, TableClause, table
from sqlalchemy.sql.compiler import SQLCompiler
from sqlalchemy.sql.dml import ReturningUpdate, UpdateBase

from hydrusd.errors import LedgerError

CHUNK = 500
"""Values in one IN list: SQLite's older limit is 999 parameters a statement."""

T = TypeVar("T")
_Convert = Callable[[Any], Any]


def chunks(items: Sequence[T]) -> Iterator[Sequence[T]]:
    """Give the items in pieces that one IN list takes."""
    for start in range(0, len(items), CHUNK):
        yield items[start : start + CHUNK]


ROWS = (256, 64, 16, 4, 1)
"""How many rows one statement takes: mostly a set of jobs, and few other sizes to compile."""


def given(*columns: ColumnClause[Any]) -> TableClause:
    """Give the table in which the UPDATE or DELETE of a `Batch` finds the rows that it is given."""
    return table(_GIVEN, *columns)


_GIVEN = "given"


class _Compiled(NamedTuple):
    """The statement in one database's SQL, by the number of its rows.

    ``stores`` say how the values of a row are stored, by their place; with each comes whether
    equal values are stored alike.
    """

    sql: Mapping[int, str]
    read: Callable[[Mapping[str, Any]], tuple[Any, ...]]
    stores: Sequence[tuple[int, _Convert, bool]]

    def values(self, rows: Sequence[Mapping[str, Any]]) -> list[tuple[Any, ...]]:
        values = list(map(self.read, rows))
        if not self.stores:
            return values
        # By columns: to go through the values of each row takes three times as long.
        columns: list[Sequence[Any]] = list(zip(*values, strict=True))
        for place, store, alike in self.stores:
            column = columns[place]
            if alike and column.count(column[0]) == len(column):
                # Most columns of a set have one value: its time, its state, what was said of it.
                columns[place] = [store(column[0])] * len(column)
            else:
                columns[place] = list(map(store, column))
        return list(zip(*columns, strict=True))


class Batch:
    """One INSERT, UPDATE or DELETE, for many rows at once.

    An INSERT is told the names of the columns that it brings. The others are told the table that
    `given` made for them: they read from it what their rows bring.

    Many rows go in one statement. The driver lets other threads go on whenever SQLite is at work,
    and has to wait for its next turn then: with a statement for each row, it waited most of the
    time.
    """

    def __init__(self, statement: UpdateBase, rows: Sequence[str] | TableClause) -> None:
        self._statement = statement
        self._rows = rows
        self._compiled: dict[str, _Compiled] = {}

    def execute(self, connection: Connection, rows: Sequence[Mapping[str, Any]]) -> int:
        """Execute it with all rows; give how many rows of the table it met.

        Raises LedgerError for values that cannot be stored.
        """
        if not rows:
            return 0
        dialect = connection.dialect
        compiled = self._compiled.get(dialect.name) or self._compiled.setdefault(
            dialect.name, self._compile(dialect)
        )
        try:
            values = compiled.values(rows)
        except (TypeError, ValueError) as error:
            raise LedgerError(f"the ledger cannot hold this: {error}") from error
        met = start = 0
        for size in ROWS:
            while len(values) - start >= size:
                some = itertools.chain.from_iterable(values[start : start + size])
                met += connection.exec_driver_sql(compiled.sql[size], tuple(some)).rowcount
                start += size
        return met

    def _compile(self, dialect: Dialect) -> _Compiled:
        assert dialect.positional
        rows = self._rows
        if isinstance(rows, TableClause):
            names, columns = rows.c.keys(), rows.c
            sql = str(self._statement.compile(dialect=dialect))
            called = ", ".join(f"column{n} AS {name}" for n, name in enumerate(names, 1))
            before, after = _parted(sql, rf"\bFROM {_GIVEN}\b")
            before += f"FROM (SELECT {called} FROM (VALUES "  # noqa: S608 - our own names
            after = f")) AS {_GIVEN}{after}"
        else:
            assert isinstance(self._statement, Insert)
            compiled = self._statement.compile(dialect=dialect, column_keys=list(rows))
            assert isinstance(compiled, SQLCompiler)
            names, columns = list(compiled.positiontup or ()), self._statement.table.c
            before, after = _parted(str(compiled), r"\bVALUES \([?, ]+\)")
            before += "VALUES "
        stores = []
        for place, name in enumerate(names):
            store = columns[name].type.dialect_impl(dialect).bind_processor(dialect)
            if store is not None:
                # In JSON, 1 and true differ, which for Python are equal.
                stores.append((place, store, not isinstance(columns[name].type, JSON)))
        row = f"({', '.join('?' * len(names))})"
        by_rows = {size: f"{before}{', '.join([row] * size)}{after}" for size in ROWS}
        return _Compiled(by_rows, _reader(names), stores)


def _parted(sql: str, at: str) -> tuple[str, str]:
    before, after = re.split(at, sql)  # there is just one
    assert "?" not in before + after, "whatever is told to it must come with its rows"
    return before, after


def _reader(names: Sequence[str]) -> Callable[[Mapping[str, Any]], tuple[Any, ...]]:
    if len(names) > 1:
        return itemgetter(*names)
    return lambda row: tuple(row[name] for name in names)


class _Asked(NamedTuple):
    """A query in one database's SQL, for so many values."""

    sql: str
    order: Sequence[str]
    positional: bool
    fixed: Mapping[str, Any]
    reads: Sequence[tuple[int, _Convert]]


class ListQuery:
    """One SELECT, or UPDATE … RETURNING, with ``… IN (many)``: ``many`` is an expanding parameter.

    Rows are plain tuples.

    The values must be texts or numbers, which need no conversion. It is compiled for 1, 2, 4, …
    of them; what is missing to the next such number is filled up with the last value.
    """

    def __init__(self, statement: Select[Any] | ReturningUpdate[Any], many: str = "many") -> None:
        self._statement = statement
        self._many = many
        self._compiled: dict[tuple[str, str, int], _Asked] = {}

    def rows(
        self, connection: Connection, many: Sequence[Any], **values: Any
    ) -> list[tuple[Any, ...]]:
        """Ask with these values, at most a chunk of them at once."""
        if not many:
            return []
        size = 1 << (len(many) - 1).bit_length()
        dialect = connection.dialect
        key = (dialect.name, dialect.paramstyle, size)
        asked = self._compiled.get(key) or self._compiled.setdefault(
            key, self._compile(dialect, size, values)
        )
        filled = [*many, *[many[-1]] * (size - len(many))]
        given = {**asked.fixed, **values}
        given |= {f"{self._many}_{at}": one for at, one in enumerate(filled, 1)}
        parameters: Any = tuple(given[name] for name in asked.order) if asked.positional else given
        result = connection.exec_driver_sql(asked.sql, parameters)
        cursor = result.cursor
        assert cursor is not None
        rows: list[tuple[Any, ...]] = list(cursor.fetchall())
        result.close()
        if not asked.reads:
            return rows
        return [_converted(row, asked.reads) for row in rows]

    def _compile(self, dialect: Dialect, size: int, values: Mapping[str, Any]) -> _Asked:
        compiled = self._statement.compile(dialect=dialect)
        assert isinstance(compiled, SQLCompiler)
        asked = compiled.construct_expanded_state({**values, self._many: list(range(size))})
        reads = []
        for place, column in enumerate(self._statement.exported_columns):
            read = column.type.dialect_impl(dialect).result_processor(dialect, None)
            if read is not None:
                reads.append((place, read))
        names = asked.positiontup or list(asked.parameters)
        return _Asked(
            asked.statement, names, asked.positiontup is not None, asked.parameters, reads
        )


def _converted(row: Sequence[Any], reads: Sequence[tuple[int, _Convert]]) -> tuple[Any, ...]:
    values = list(row)
    for place, read in reads:
        values[place] = read(values[place])
    return tuple(values)
