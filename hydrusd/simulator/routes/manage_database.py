"""Committing the database, and holding it still for a backup."""

from __future__ import annotations

from hydrusd.simulator._answers import EMPTY, Answer
from hydrusd.simulator._errors import bad_request
from hydrusd.simulator._routing import Call, Route

MANAGE_DATABASE = frozenset({6})


async def _force_commit(call: Call) -> Answer:
    await call.client.turn()
    call.client.store.promise_commit()
    return EMPTY


async def _lock_on(call: Call) -> Answer:
    # To let go of its database a client first commits what it holds.
    await call.client.turn()
    call.client.store.commit()
    call.client.locked = True
    return EMPTY


async def _lock_off(call: Call) -> Answer:
    if not call.client.locked:
        raise bad_request("The server is not busy!")
    call.client.locked = False
    return EMPTY


ROUTES = (
    Route(
        method="POST",
        path="/manage_database/force_commit",
        permissions=MANAGE_DATABASE,
        handler=_force_commit,
        since=76,
    ),
    Route(
        method="POST",
        path="/manage_database/lock_on",
        permissions=MANAGE_DATABASE,
        handler=_lock_on,
        since=17,
    ),
    Route(
        method="POST",
        path="/manage_database/lock_off",
        permissions=MANAGE_DATABASE,
        handler=_lock_off,
        since=17,
        while_locked=True,
    ),
)
