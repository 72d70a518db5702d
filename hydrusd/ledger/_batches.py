"""Statements that are compiled once: for many rows at once, or for a list of values.

SQLAlchemy builds the parameters of each row anew, and what it gives for each row of an answer,
with care for cases that do not occur in the ledger's few hot statements; for these that took half
of the time. What it knows (the SQL of this database, how a type is stored and read) is asked for
once here.
"""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from operator import itemgetter
from typing import Any, NamedTuple, TypeVar

from sqlalchemy import Connection, Dialect, Select
from sqlalchemy.sql.compiler import SQLCompiler
from sqlalchemy.sql.dml import UpdateBase

from hydrusd.errors import LedgerError

CHUNK = 500
"""Values in one IN list: SQLite's older limit is 999 parameters a statement."""

T = TypeVar("T")
_Convert = Callable[[Any], Any]


def chunks(items: Sequence[T]) -> Iterator[Sequence[T]]:
    """Give the items in pieces that one IN list takes."""
    for start in range(0, len(items), CHUNK):
        yield items[start : start + CHUNK]


class _Compiled(NamedTuple):
    """The statement in one database's SQL, and how each of its parameters is stored.

    ``names`` are those that a row brings, in order; ``stores`` are by their place among them;
    ``fixed`` are the others, by their place in the whole.
    """

    sql: str
    order: Sequence[str]
    positional: bool
    read: Callable[[Mapping[str, Any]], tuple[Any, ...]]
    stores: Sequence[tuple[int, _Convert]]
    fixed: Sequence[tuple[int, Any]]

    def parameters(self, rows: Sequence[Mapping[str, Any]]) -> list[tuple[Any, ...]]:
        values = list(map(self.read, rows))
        if not (self.stores or self.fixed):
            return values
        # By columns: to go through the values of each row takes three times as long.
        columns: list[Iterable[Any]] = list(zip(*values, strict=True))
        for place, store in self.stores:
            columns[place] = map(store, columns[place])
        for place, value in self.fixed:
            columns.insert(place, itertools.repeat(value, len(rows)))
        return list(zip(*columns, strict=True))


class Batch:
    """One INSERT, UPDATE or DELETE, for many rows at once. ``names`` are the keys of its rows."""

    def __init__(self, statement: UpdateBase, names: Sequence[str] | None = None) -> None:
        self._statement = statement
        self._names = None if names is None else list(names)
        self._compiled: dict[tuple[str, str], _Compiled] = {}

    def execute(self, connection: Connection, rows: Sequence[Mapping[str, Any]]) -> int:
        """Execute it with all rows; give how many rows of the table it met.

        Raises LedgerError for values that cannot be stored.
        """
        if not rows:
            return 0
        dialect = connection.dialect
        key = (dialect.name, dialect.paramstyle)
        compiled = self._compiled.get(key) or self._compiled.setdefault(key, self._compile(dialect))
        try:
            given: list[Any] = compiled.parameters(rows)
        except (TypeError, ValueError) as error:
            raise LedgerError(f"the ledger cannot hold this: {error}") from error
        if not compiled.positional:
            given = [dict(zip(compiled.order, each, strict=True)) for each in given]
        return connection.exec_driver_sql(compiled.sql, given).rowcount

    def _compile(self, dialect: Dialect) -> _Compiled:
        compiled = self._statement.compile(dialect=dialect, column_keys=self._names)
        assert isinstance(compiled, SQLCompiler)
        order = list(compiled.positiontup or compiled.binds)
        brought, stores, fixed = list[str](), list[tuple[int, _Convert]](), list[tuple[int, Any]]()
        for place, name in enumerate(order):
            bound = compiled.binds[name]
            store = bound.type.dialect_impl(dialect).bind_processor(dialect)
            if bound.required:
                if store is not None:
                    stores.append((len(brought), store))
                brought.append(name)
            else:
                value = bound.effective_value
                fixed.append((place, value if store is None else store(value)))
        return _Compiled(
            str(compiled), order, compiled.positiontup is not None, _reader(brought), stores, fixed
        )


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
    """One SELECT with ``… IN (many)``: ``many`` is an expanding parameter. Rows are plain tuples.

    The values must be texts or numbers, which need no conversion. It is compiled for 1, 2, 4, …
    of them; what is missing to the next such number is filled up with the last value.
    """

    def __init__(self, statement: Select[Any], many: str = "many") -> None:
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
        for place, column in enumerate(self._statement.selected_columns):
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
