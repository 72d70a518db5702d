"""Conditions that no longer hold, because what they were about is no longer there."""

from __future__ import annotations

from collections.abc import Iterable

from sqlalchemy import delete

from hydrusd.ledger._batches import chunks
from hydrusd.ledger._ledger import Ledger
from hydrusd.ledger._tables import condition


def forget_conditions(ledger: Ledger, kind: str, names: Iterable[str]) -> None:
    """Forget what lanes, rules or triggers of these names were in."""
    with ledger.engine.begin() as connection:
        for chunk in chunks(list(names)):
            connection.execute(
                delete(condition).where(condition.c.kind == kind, condition.c.name.in_(chunk))
            )
