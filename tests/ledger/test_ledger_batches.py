from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import example, given, strategies as st
from sqlalchemy import (
    JSON,
    Boolean,
    Column,
    Integer,
    MetaData,
    Table,
    Text,
    bindparam,
    column,
    create_engine,
    insert,
    select,
    update,
)
from sqlalchemy.pool import StaticPool

from hydrusd.errors import LedgerError
from hydrusd.ledger import _batches
from hydrusd.ledger._batches import FEW, Batch, given as given_rows
from hydrusd.ledger._sqlite import inserting_or_updating, open_engine
from hydrusd.ledger._tables import Moment

NOW = datetime(2026, 1, 1, tzinfo=UTC)
TABLE = Table(
    "thing",
    MetaData(),
    Column("id", Integer, primary_key=True),
    Column("name", Text),
    Column("told", JSON),
    Column("yes", Boolean),
    Column("at", Moment),
)
# Not in the order of the table.
NAMES = ("at", "told", "id", "name", "yes")


def rows_of(details):
    return [
        {"id": n, "name": name, "told": told, "yes": yes, "at": at}
        for n, (name, told, yes, at) in enumerate(details, 1)
    ]


def stored(connection):
    found = connection.execute(select(TABLE).order_by(TABLE.c.id)).mappings()
    return [dict(row) for row in found]


@pytest.fixture
def connection(tmp_path):
    engine = open_engine(tmp_path / "things.sqlite", writes=True)
    with engine.connect() as connection:
        TABLE.create(connection)
        yield connection
    engine.dispose()


details = st.lists(
    st.tuples(
        st.sampled_from(["a", "b", None]),
        st.sampled_from([1, True, 0, False, {"a": 1}, {"a": True}, [1.0], [1]]),
        st.booleans() | st.none(),
        st.sampled_from([NOW, NOW + timedelta(seconds=1)]),
    ),
    min_size=1,
    max_size=3 * FEW,
)
ALIKE = [("a", 1, True, NOW)] * (FEW + 1)


@given(details)
@example(ALIKE)
@example([*ALIKE, ("a", True, True, NOW)])  # for Python both are one
@example([("a", {"a": 1}, None, NOW)] * 100)
def test_rows_are_stored_as_they_are_whatever_is_alike_in_them(details):
    engine = create_engine("sqlite://", poolclass=StaticPool)
    with engine.connect() as connection:
        TABLE.create(connection)
        rows = rows_of(details)
        assert Batch(insert(TABLE), NAMES).execute(connection, rows) == len(rows)
        assert repr(stored(connection)) == repr(rows)
        as_tuples = [tuple(row[name] for name in NAMES) for row in rows]
        again = inserting_or_updating(TABLE, NAMES)
        assert again.execute_rows(connection, as_tuples) == len(rows)
        assert repr(stored(connection)) == repr(rows)
    engine.dispose()


@pytest.mark.parametrize("count", [1, FEW - 1, FEW, 1_023, 1_024, 1_025, 2_049, 5_000])
def test_any_number_of_rows_goes_in_and_is_met(connection, count):
    rows = rows_of([(f"n{n}", n, n % 3 == 0, NOW) for n in range(count)])
    assert Batch(insert(TABLE), NAMES).execute(connection, rows) == count
    assert stored(connection) == rows
    new = given_rows(column("which", Integer), column("word", Text), column("moment", Moment))
    rename = Batch(update(TABLE).where(TABLE.c.id == new.c.which).values(name=new.c.word), new)
    wanted = [{"which": row["id"], "word": "same", "moment": NOW} for row in rows]
    assert rename.execute(connection, [*wanted, {"which": -1, "word": "x", "moment": NOW}]) == count
    assert {row["name"] for row in stored(connection)} == {"same"}


def test_many_rows_that_differ_in_one_column_bind_little_else(connection, monkeypatch):
    told: list[int] = []
    run = type(connection).exec_driver_sql

    def counting(self, sql, parameters):
        told.append(len(parameters))
        return run(self, sql, parameters)

    monkeypatch.setattr(type(connection), "exec_driver_sql", counting)
    rows = rows_of([("a", {"a": n}, True, NOW) for n in range(1_024)])
    Batch(insert(TABLE), NAMES).execute(connection, rows)
    # Of the first column each row tells its own: it is there to say how many rows there are.
    assert told == [3 * 1_024 + 2]


def test_rows_too_wide_for_one_statement_go_in_several(connection):
    names = [f"c{n}" for n in range(40)]
    wide = Table("wide", MetaData(), *(Column(name, Integer) for name in names))
    wide.create(connection)
    rows = [tuple(range(n, n + 40)) for n in range(2_048)]
    assert Batch(insert(wide), names).execute_rows(connection, rows) == 2_048
    assert list(map(tuple, connection.execute(wide.select()))) == rows


def test_there_are_not_more_statements_than_ways_of_being_alike(connection):
    batch = Batch(insert(TABLE), NAMES)
    for n in range(1, FEW):
        batch.execute(connection, rows_of([("a", n, True, NOW)] * n))
        connection.execute(TABLE.delete())
    [compiled] = batch._compiled.values()
    assert {same for _, same in compiled._made} == {()}


def test_what_cannot_be_stored_is_told_as_such(connection):
    rows = rows_of([("a", object(), True, NOW)])
    with pytest.raises(LedgerError, match="cannot hold this"):
        Batch(insert(TABLE), NAMES).execute(connection, rows)
    naive = rows_of([("a", 1, True, NOW.replace(tzinfo=None))] * FEW)
    with pytest.raises(LedgerError, match="no time zone"):
        Batch(insert(TABLE), NAMES).execute(connection, naive)


def test_a_list_of_ids_is_asked_about_in_one_piece(connection):
    rows = rows_of([(f"n{n}", n, True, NOW) for n in range(_batches.CHUNK)])
    Batch(insert(TABLE), NAMES).execute(connection, rows)
    many = bindparam("many", expanding=True)
    ask = _batches.ListQuery(
        select(TABLE.c.id, TABLE.c.told).where(
            TABLE.c.yes == bindparam("yes"), TABLE.c.id.in_(many), TABLE.c.id > bindparam("above")
        )
    )
    ids = [row["id"] for row in rows]
    for some in (ids[:1], ids[:3], ids):
        found = ask.rows(connection, some, yes=True, above=1)
        assert sorted(found) == [(i, i - 1) for i in some if i > 1]
    assert ask.rows(connection, [], yes=True, above=1) == []
