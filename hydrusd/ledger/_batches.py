"""Statements that are compiled once: for many rows at once, or for a list of values.

SQLAlchemy builds the parameters of each row anew, and what it gives for each row of an answer,
with care for cases that do not occur in the ledger's few hot statements; for these that took half
of the time. What it knows (the SQL of this database, how a type is stored and read) is asked for
once here.
"""

from __future__ import annotations

import itertools
import re
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from operator import itemgetter
from typing import Any, NamedTuple, TypeVar

from sqlalchemy import (
    JSON,
    ColumnClause,
    Connection,
    CursorResult,
    Dialect,
    Insert,
    Select,
    TableClause,
    table,
)
from sqlalchemy.sql.compiler import SQLCompiler
from sqlalchemy.sql.dml import ReturningUpdate, UpdateBase

from hydrusd.errors import LedgerError

CHUNK = 2_048
"""Values in one IN list: as many as a set has jobs."""
MOST_VALUES = 32_766
"""In one statement: so many SQLite takes since before RETURNING."""

T = TypeVar("T")
_Convert = Callable[[Any], Any]


def chunks(items: Sequence[T]) -> Iterator[Sequence[T]]:
    """Give the items in pieces that one IN list takes."""
    for start in range(0, len(items), CHUNK):
        yield items[start : start + CHUNK]


def as_kept(result: CursorResult[Any]) -> list[tuple[Any, ...]]:
    """Give the rows of an answer as the database has them: times as text, JSON as text."""
    cursor = result.cursor
    assert cursor is not None
    rows: list[tuple[Any, ...]] = list(cursor.fetchall())
    result.close()
    return rows


ROWS = (2048, 1024, 256, 64, 16, 4, 1)
"""How many rows one statement takes: mostly a set of jobs, and few other sizes to compile."""

FEW = 16
"""So many rows or more have what is alike in all of them told once. Of fewer, each tells all, or
there would be a statement for each way in which two rows can be alike."""


def given(*columns: ColumnClause[Any]) -> TableClause:
    """Give the table in which the UPDATE or DELETE of a `Batch` finds the rows that it is given."""
    return table(_GIVEN, *columns)


_GIVEN = "given"


class _Compiled:
    """The statement in one database's SQL.

    ``stores`` say how the values of a column are stored, by their place; with each comes whether
    equal values are stored alike. ``order`` gives the places in the order in which an INSERT
    wants them; None where they are read by their names.
    """

    def __init__(
        self,
        before: str,
        after: str,
        names: Sequence[str],
        stores: Mapping[int, tuple[_Convert, bool]],
        order: Sequence[int] | None,
    ) -> None:
        self._before = before
        self._after = after
        self._names = names
        self.read = _reader(names)
        self._stores = stores
        self._order = order
        self._made: dict[tuple[int, tuple[int, ...]], str] = {}

    def columns(
        self, rows: Iterable[tuple[Any, ...]]
    ) -> tuple[tuple[int, ...], list[Any], list[Sequence[Any]]]:
        """Give the places of the columns that have one value in all rows, these values, and what
        the others have, row by row.

        Most columns of a set have one value: its time, its state, what was said of it.
        """
        columns: list[Sequence[Any]] = list(zip(*rows, strict=True))
        many = len(columns[0]) >= FEW
        same: dict[int, Any] = {}
        others: list[Sequence[Any]] = []
        for place, column in enumerate(columns):
            first = column[0]
            store, alike = self._stores.get(place, _AS_IT_IS)
            # By columns: to go through the values of each row takes three times as long.
            if many and place and alike and column.count(first) == len(column):
                same[place] = first if store is None else store(first)
            else:
                others.append(column if store is None else list(map(store, column)))
        places = tuple(same)
        if self._order is not None:
            return places, [same[place] for place in self._order if place in same], others
        return places, list(same.values()), others

    def sql(self, size: int, same: tuple[int, ...]) -> str:
        """Give the SQL for so many rows with these columns told once."""
        found = self._made.get((size, same))
        return found or self._made.setdefault((size, same), self._make(size, same))

    def _make(self, size: int, same: tuple[int, ...]) -> str:
        order = range(len(self._names)) if self._order is None else self._order
        # What is told once comes first, in its order in the statement.
        places = [place for place in range(len(self._names)) if place not in same]
        told = ["?" if at in same else f"column{places.index(at) + 1}" for at in order]
        if self._order is None:
            told = [f"{each} AS {name}" for each, name in zip(told, self._names, strict=True)]
        rows = ", ".join([f"({', '.join('?' * len(places))})"] * size)
        # Without a WHERE, SQLite takes the ON CONFLICT of an INSERT for that of a join.
        source = f"SELECT {', '.join(told)} FROM (VALUES {rows}) WHERE true"  # noqa: S608 - our own names
        return f"{self._before}{source}{self._after}"


_AS_IT_IS: tuple[_Convert | None, bool] = (None, True)


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
        return self._execute(connection, map(self._on(connection).read, rows)) if rows else 0

    def execute_rows(self, connection: Connection, rows: Sequence[tuple[Any, ...]]) -> int:
        """Do it with rows whose values stand in the order in which the columns were named.

        To make a mapping of each row of a large set, and take it apart, takes as long as SQLite.
        """
        return self._execute(connection, rows) if rows else 0

    def _on(self, connection: Connection) -> _Compiled:
        dialect = connection.dialect
        return self._compiled.get(dialect.name) or self._compiled.setdefault(
            dialect.name, self._compile(dialect)
        )

    def _execute(self, connection: Connection, rows: Iterable[tuple[Any, ...]]) -> int:
        compiled = self._on(connection)
        try:
            same, once, others = compiled.columns(rows)
        except (TypeError, ValueError) as error:
            raise LedgerError(f"the ledger cannot hold this: {error}") from error
        values = list(zip(*others, strict=True))
        met = start = 0
        for size in ROWS:
            while len(values) - start >= size and size * len(others) + len(once) <= MOST_VALUES:
                some = itertools.chain(once, *values[start : start + size])
                sql = compiled.sql(size, same)
                met += connection.exec_driver_sql(sql, tuple(some)).rowcount
                start += size
        return met

    def _compile(self, dialect: Dialect) -> _Compiled:
        assert dialect.positional
        rows = self._rows
        if isinstance(rows, TableClause):
            names, columns, order = rows.c.keys(), rows.c, None
            sql = str(self._statement.compile(dialect=dialect))
            before, after = _parted(sql, rf"\bFROM {_GIVEN}\b")
            before, after = f"{before}FROM (", f") AS {_GIVEN}{after}"
        else:
            assert isinstance(self._statement, Insert)
            compiled = self._statement.compile(dialect=dialect, column_keys=list(rows))
            assert isinstance(compiled, SQLCompiler)
            names, columns = list(rows), self._statement.table.c
            order = [names.index(name) for name in compiled.positiontup or ()]
            before, after = _parted(str(compiled), r"\bVALUES \([?, ]+\)")
        stores = {}
        for place, name in enumerate(names):
            store = columns[name].type.dialect_impl(dialect).bind_processor(dialect)
            if store is not None:
                # In JSON, 1 and true differ, which for Python are equal.
                stores[place] = (store, not isinstance(columns[name].type, JSON))
        return _Compiled(before, after, names, stores, order)


def _parted(sql: str, at: str) -> tuple[str, str]:
    before, after = re.split(at, sql)  # there is just one
    assert "?" not in before + after, "whatever is told to it must come with its rows"
    return before, after


def _reader(names: Sequence[str]) -> Callable[[Mapping[str, Any]], tuple[Any, ...]]:
    if len(names) > 1:
        return itemgetter(*names)
    return lambda row: tuple(row[name] for name in names)


class _Asked(NamedTuple):
    """A query in one database's SQL, for so many values: these, in one piece, and the others that
    come ``before`` and ``after`` them, by their names.
    """

    sql: str
    size: int
    before: Sequence[str]
    after: Sequence[str]
    fixed: Mapping[str, Any]
    reads: Sequence[tuple[int, _Convert]]

    def parameters(self, many: Sequence[Any], values: Mapping[str, Any]) -> tuple[Any, ...]:
        given = {**self.fixed, **values}
        return (
            *(given[name] for name in self.before),
            *many,
            *itertools.repeat(many[-1], self.size - len(many)),
            *(given[name] for name in self.after),
        )


class ListQuery:
    """One SELECT, or UPDATE … RETURNING, with ``… IN (many)``: ``many`` is an expanding parameter.

    Rows are plain tuples.

    The values must be texts or numbers, which need no conversion. It is compiled for 1, 2, 4, …
    of them; what is missing to the next such number is filled up with the last value.
    """

    def __init__(self, statement: Select[Any] | ReturningUpdate[Any], many: str = "many") -> None:
        self._statement = statement
        self._many = many
        self._compiled: dict[tuple[str, int], _Asked] = {}

    def rows(
        self, connection: Connection, many: Sequence[Any], **values: Any
    ) -> list[tuple[Any, ...]]:
        """Ask with these values, at most a chunk of them at once."""
        if not many:
            return []
        size = 1 << (len(many) - 1).bit_length()
        dialect = connection.dialect
        key = (dialect.name, size)
        asked = self._compiled.get(key) or self._compiled.setdefault(
            key, self._compile(dialect, size, values)
        )
        parameters = asked.parameters(many, values)
        rows = as_kept(connection.exec_driver_sql(asked.sql, parameters))
        if not asked.reads:
            return rows
        return [_converted(row, asked.reads) for row in rows]

    def _compile(self, dialect: Dialect, size: int, values: Mapping[str, Any]) -> _Asked:
        assert dialect.positional
        compiled = self._statement.compile(dialect=dialect)
        assert isinstance(compiled, SQLCompiler)
        asked = compiled.construct_expanded_state({**values, self._many: list(range(size))})
        reads = []
        for place, column in enumerate(self._statement.exported_columns):
            read = column.type.dialect_impl(dialect).result_processor(dialect, None)
            if read is not None:
                reads.append((place, read))
        names = list(asked.positiontup or ())
        begins = names.index(f"{self._many}_1")
        ends = begins + size
        assert names[begins:ends] == [f"{self._many}_{at}" for at in range(1, size + 1)]
        return _Asked(asked.statement, size, names[:begins], names[ends:], asked.parameters, reads)


def _converted(row: Sequence[Any], reads: Sequence[tuple[int, _Convert]]) -> tuple[Any, ...]:
    values = list(row)
    for place, read in reads:
        values[place] = read(values[place])
    return tuple(values)
