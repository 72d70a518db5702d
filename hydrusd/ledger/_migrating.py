"""Brings the tables of an older ledger to what this version needs.

Alembic is imported only when there is something to do: a start with an
up-to-date ledger asks one row, and one without a ledger makes the tables as they are now.
"""

from __future__ import annotations

from pathlib import Path

from sqlalchemy import Column, Connection, MetaData, String, Table, insert, inspect, text

from hydrusd.errors import LedgerError
from hydrusd.ledger._tables import metadata

HEAD = "0009"
"""The newest migration; a test holds it against the versions folder."""

KNOWN = ("0001", "0002", "0003", "0004", "0005", "0006", "0007", "0008", "0009")


def revision(connection: Connection) -> str | None:
    """Say which migration the ledger is at; None for an empty one."""
    if not inspect(connection).has_table("alembic_version"):
        return None
    return connection.execute(text("SELECT version_num FROM alembic_version")).scalar()


def require_head(connection: Connection) -> None:
    """Raise LedgerError where the tables are not those that this version reads."""
    present = revision(connection)
    _refuse_newer(present)
    if present != HEAD:
        raise LedgerError(
            f"this ledger is at {present or 'no version'}, this hydrusd reads {HEAD}: "
            f"start `hydrusd run` once to bring it up to date"
        )


def _refuse_newer(present: str | None) -> None:
    if present is not None and present not in KNOWN:
        raise LedgerError(
            f"this ledger was written by a newer hydrusd (its tables are at {present!r}, "
            f"this version knows up to {HEAD!r}). Upgrade hydrusd; nothing was changed."
        )


def is_outdated(connection: Connection) -> bool:
    """Say whether ``migrate`` would change tables that hold something."""
    present = revision(connection)
    return present in KNOWN and present != HEAD


def migrate(connection: Connection, to: str = HEAD) -> None:
    """Bring the tables up to date (or to what they were ``to``), in the caller's transaction.

    Raises LedgerError for a ledger that a newer hydrusd has written.
    """
    present = revision(connection)
    if present in {HEAD, to}:
        return
    _refuse_newer(present)
    if present is None:
        if inspect(connection).get_table_names():
            raise LedgerError(
                "this database belongs to something else: it has tables, but none of a hydrusd "
                "ledger. Choose another folder with --state-dir; nothing was changed."
            )
        if to == HEAD:
            _make(connection)
            return
    from alembic import command
    from alembic.config import Config

    config = Config()
    # Alembic reads its options with interpolation; a folder may be called "100%".
    folder = str(Path(__file__).parent / "migrations").replace("%", "%%")
    config.set_main_option("script_location", folder)
    config.attributes["connection"] = connection
    command.upgrade(config, to)


def _make(connection: Connection) -> None:
    """Make the tables as they are now: a new ledger needs none of what led there."""
    metadata.create_all(connection)
    marks = Table(
        "alembic_version",
        MetaData(naming_convention={"pk": "%(table_name)s_pkc"}),  # as Alembic itself makes it
        Column("version_num", String(32), primary_key=True),
    )
    marks.create(connection)
    connection.execute(insert(marks).values(version_num=HEAD))
