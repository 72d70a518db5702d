"""On which mounts steps have written files: kept where triggers keep what they remember."""

from __future__ import annotations

import json
from collections.abc import Mapping

from sqlalchemy import delete, select

from hydrusd.ledger._ledger import Ledger
from hydrusd.ledger._sqlite import insert_or_update
from hydrusd.ledger._tables import trigger_memory

_MOUNTS = "mounts written to"
_FOLDER = "folder"


def mounts_written_to(ledger: Ledger) -> dict[str, str]:
    """Give their mount points, each with what was kept about the folder there."""
    statement = select(trigger_memory.c.identity, trigger_memory.c.value).where(
        trigger_memory.c.trigger == _MOUNTS, trigger_memory.c.name == _FOLDER
    )
    with ledger.engine.connect() as connection:
        return {json.loads(row.identity): row.value for row in connection.execute(statement)}


def remember_mounts(ledger: Ledger, mounts: Mapping[str, str]) -> None:
    """Keep these, too: mount point → what there is to keep about the folder there."""
    rows = [
        {"trigger": _MOUNTS, "identity": json.dumps(point), "name": _FOLDER, "value": folder}
        for point, folder in mounts.items()
    ]
    with ledger.engine.begin() as connection:
        insert_or_update(connection, trigger_memory, rows)


def forget_mount(ledger: Ledger, point: str) -> bool:
    """Forget a mount point; say whether it was known."""
    statement = delete(trigger_memory).where(
        trigger_memory.c.trigger == _MOUNTS, trigger_memory.c.identity == json.dumps(point)
    )
    with ledger.engine.begin() as connection:
        return connection.execute(statement).rowcount > 0
