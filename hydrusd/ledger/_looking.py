"""A ledger that is only looked into, for whoever plans what a run would do.

The statements are those of the daemon, so that a plan and a run get the same answers; what
would write fails. Where there is no ledger yet, an empty one in memory stands in for it: the
question what a first run would do is the most common of all, and must not make the ledger.
"""

from __future__ import annotations

from pathlib import Path

from sqlalchemy import create_engine
from sqlalchemy.pool import StaticPool

from hydrusd.ledger._ledger import Ledger
from hydrusd.ledger._migrating import migrate, require_head
from hydrusd.ledger._sqlite import has_been_left_open, open_engine


def open_to_look(path: Path) -> Ledger:
    """Open a ledger to ask it, or an empty one that is nowhere. Nothing on the disk changes.

    Raises LedgerError where it cannot be read, or is from another version.
    """
    if not path.is_file():
        engine = create_engine(
            "sqlite://", poolclass=StaticPool, connect_args={"check_same_thread": False}
        )
        with engine.begin() as connection:
            migrate(connection)
        return Ledger(engine, None)
    engine = open_engine(path, writes=False, alone=not has_been_left_open(path))
    try:
        with engine.connect() as connection:
            require_head(connection)
    except BaseException:
        engine.dispose()
        raise
    return Ledger(engine, None)
