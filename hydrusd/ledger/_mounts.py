"""On which mounts steps have written files: kept where triggers keep what they remember."""

from __future__ import annotations

import json
from collections.abc import Mapping

from sqlalchemy import select

from hydrusd.ledger._ledger import Ledger, Memory
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
    for point, folder in mounts.items():
        ledger.remember(_MOUNTS, Memory(json.dumps(point), {_FOLDER: folder}))


def forget_mount(ledger: Ledger, point: str) -> bool:
    """Forget a mount point; say whether it was known."""
    known = point in mounts_written_to(ledger)
    ledger.remember(_MOUNTS, Memory(json.dumps(point), {_FOLDER: None}))
    return known
