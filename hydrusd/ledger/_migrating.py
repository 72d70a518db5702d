"""Brings the tables of an older ledger to what this version needs.

Alembic is imported only when there is something to do: a start with an
up-to-date ledger asks one row.
"""

from __future__ import annotations

from pathlib import Path

from sqlalchemy import Connection, inspect, text

from hydrusd.errors import LedgerError

HEAD = "0001"
"""The newest migration; a test holds it against the versions folder."""

KNOWN = ("0001",)


def revision(connection: Connection) -> str | None:
    """Say which migration the ledger is at; None for an empty one."""
    if not inspect(connection).has_table("alembic_version"):
        return None
    return connection.execute(text("SELECT version_num FROM alembic_version")).scalar()


def migrate(connection: Connection) -> None:
    """Bring the tables up to date, inside the caller's transaction.

    Raises LedgerError for a ledger that a newer hydrusd has written.
    """
    present = revision(connection)
    if present == HEAD:
        return
    if present is not None and present not in KNOWN:
        raise LedgerError(
            f"this ledger was written by a newer hydrusd (its tables are at {present!r}, "
            f"this version knows up to {HEAD!r}). Upgrade hydrusd; nothing was changed."
        )
    from alembic import command
    from alembic.config import Config

    config = Config()
    config.set_main_option("script_location", str(Path(__file__).parent / "migrations"))
    config.attributes["connection"] = connection
    command.upgrade(config, "head")
