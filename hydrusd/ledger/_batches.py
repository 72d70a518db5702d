"""A statement that is compiled once and executed with many rows.

SQLAlchemy builds the parameters of each row anew, with care for cases that do not occur in the
ledger's few hot statements; for these that took half of the time. What it knows (the SQL of this
database, how a type is stored) is asked for once here.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any, NamedTuple

from sqlalchemy import Connection, Dialect
from sqlalchemy.sql.compiler import SQLCompiler
from sqlalchemy.sql.dml import UpdateBase

from hydrusd.errors import LedgerError

_Store = Callable[[Any], Any]


class _Compiled(NamedTuple):
    """The statement in one database's SQL, and how each of its parameters is stored."""

    sql: str
    positional: bool
    stores: Sequence[tuple[str, _Store | None]]
    fixed: Mapping[str, Any]

    def parameters(self, row: Mapping[str, Any]) -> list[Any]:
        fixed = self.fixed
        return [
            fixed[name] if name in fixed else row[name] if store is None else store(row[name])
            for name, store in self.stores
        ]


class Batch:
    """One INSERT or UPDATE, for many rows at once. ``names`` are the keys of its rows."""

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
            given: list[Any] = [compiled.parameters(row) for row in rows]
        except (TypeError, ValueError) as error:
            raise LedgerError(f"the ledger cannot hold this: {error}") from error
        if compiled.positional:
            given = [tuple(each) for each in given]
        else:
            names = [name for name, _ in compiled.stores]
            given = [dict(zip(names, each, strict=True)) for each in given]
        return connection.exec_driver_sql(compiled.sql, given).rowcount

    def _compile(self, dialect: Dialect) -> _Compiled:
        compiled = self._statement.compile(dialect=dialect, column_keys=self._names)
        assert isinstance(compiled, SQLCompiler)
        fixed = {}
        stores = []
        for name in compiled.positiontup or compiled.binds:
            bound = compiled.binds[name]
            store = bound.type.dialect_impl(dialect).bind_processor(dialect)
            stores.append((name, store))
            if not bound.required:
                value = bound.effective_value
                fixed[name] = value if store is None else store(value)
        return _Compiled(str(compiled), compiled.positiontup is not None, stores, fixed)
