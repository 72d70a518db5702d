"""What waits to be sent to repositories: counting it, sending it, forgetting it.

There is no repository behind the simulator's services: what is committed counts as
accepted at once.
"""

from __future__ import annotations

from collections import Counter

from hydrusd.simulator._answers import Answer
from hydrusd.simulator._entries import CURRENT, DELETED, PENDING, PETITIONED
from hydrusd.simulator._errors import bad_request
from hydrusd.simulator._routing import Call, Route
from hydrusd.simulator._services import FILE_REPOSITORY, TAG_REPOSITORY

COMMIT_PENDING = frozenset({12})

_TAG_KINDS = (
    "pending_tag_mappings",
    "petitioned_tag_mappings",
    "pending_tag_siblings",
    "petitioned_tag_siblings",
    "pending_tag_parents",
    "petitioned_tag_parents",
)
_UPLOADABLE = {
    TAG_REPOSITORY: _TAG_KINDS,
    FILE_REPOSITORY: ("pending_files", "petitioned_files"),
}


async def _get_pending_counts(call: Call) -> Answer:
    services, store = call.client.services, call.client.store
    await call.client.turn()
    counts: dict[str, dict[str, int]] = {
        service.key: dict.fromkeys(_UPLOADABLE[service.type], 0)
        for service in services.by_key.values()
        if service.type in _UPLOADABLE
    }
    tag_keys = [key for key in counts if services.kind(key) == TAG_REPOSITORY]
    with store.lock:
        for key in tag_keys:
            waiting: Counter[int] = Counter()
            for entry in store.entries.values():
                for status, tags in entry.tags.get(key, {}).items():
                    waiting[status] += len(tags)
            counts[key]["pending_tag_mappings"] = waiting[PENDING]
            counts[key]["petitioned_tag_mappings"] = waiting[PETITIONED]
    return call.json({"pending_counts": counts, **services.objects()})


async def _commit_pending(call: Call) -> Answer:
    key = _uploadable(call)
    await call.client.turn()
    _end_waiting(call, key, accepted=True)
    return call.json({})


async def _forget_pending(call: Call) -> Answer:
    key = _uploadable(call)
    await call.client.turn()
    _end_waiting(call, key, accepted=False)
    return call.json({})


def _uploadable(call: Call) -> str:
    key = call.arguments.text("service_key")
    kind = call.client.services.kind(key)
    if kind is None:
        raise bad_request(f'Could not find the service "{key}"!')
    if kind not in _UPLOADABLE:
        raise bad_request(
            f'Sorry, the service key "{key}" was not for an uploadable service!'
        )  # fmt: skip
    return key


def _end_waiting(call: Call, key: str, *, accepted: bool) -> None:
    """Empty a service's pending and petitioned tags."""
    store = call.client.store
    with store.writing():
        for sha256, entry in list(store.entries.items()):
            statuses = entry.tags.get(key, {})
            if not statuses.get(PENDING) and not statuses.get(PETITIONED):
                continue
            statuses = store.touch(sha256).statuses(key)
            pending = statuses.pop(PENDING, set())
            petitioned = statuses.pop(PETITIONED, set())
            store.touch(sha256).reasons.pop(key, None)
            if accepted:
                current = statuses.setdefault(CURRENT, set())
                current |= pending
                current -= petitioned
                statuses.setdefault(DELETED, set()).update(petitioned)


ROUTES = (
    Route(
        method="GET",
        path="/manage_services/get_pending_counts",
        permissions=COMMIT_PENDING,
        handler=_get_pending_counts,
        since=66,
    ),
    Route(
        method="POST",
        path="/manage_services/commit_pending",
        permissions=COMMIT_PENDING,
        handler=_commit_pending,
        since=66,
    ),
    Route(
        method="POST",
        path="/manage_services/forget_pending",
        permissions=COMMIT_PENDING,
        handler=_forget_pending,
        since=66,
    ),
)
