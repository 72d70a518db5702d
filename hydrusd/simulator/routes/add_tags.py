"""Tags: tidying them, and writing them to local domains and repositories."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from hydrusd.simulator._answers import EMPTY, Answer
from hydrusd.simulator._arguments import texts_of, wrong_type
from hydrusd.simulator._entries import CURRENT, DELETED, PENDING, PETITIONED, Statuses
from hydrusd.simulator._errors import Refusal, Unforeseen, bad_request
from hydrusd.simulator._routing import Call, Route
from hydrusd.simulator._services import LOCAL_TAGS, REAL_TAG_TYPES, TAG_REPOSITORY
from hydrusd.simulator._tags import clean_tag, clean_tags

EDIT_TAGS = frozenset({2})

_ADD = 0
_PEND = 2
_ALLOWED = {LOCAL_TAGS: frozenset({0, 1}), TAG_REPOSITORY: frozenset({2, 3, 4, 5})}


@dataclass(frozen=True, slots=True)
class _Flags:
    override_deleted: bool = True
    record_deletions: bool = True


@dataclass(frozen=True, slots=True)
class _Change:
    service_key: str
    action: int
    tags: list[str]


def _add(statuses: Statuses, tag: str, flags: _Flags) -> None:
    if tag in statuses.get(DELETED, ()):
        if not flags.override_deleted:
            return
        statuses[DELETED].discard(tag)
    statuses.setdefault(CURRENT, set()).add(tag)


def _delete(statuses: Statuses, tag: str, flags: _Flags) -> None:
    had_it = tag in statuses.get(CURRENT, ())
    if had_it:
        statuses[CURRENT].discard(tag)
    if had_it or flags.record_deletions:
        statuses.setdefault(DELETED, set()).add(tag)


def _pend(statuses: Statuses, tag: str, flags: _Flags) -> None:
    if tag in statuses.get(CURRENT, ()):
        return
    if tag not in statuses.get(DELETED, ()) or flags.override_deleted:
        statuses.setdefault(PENDING, set()).add(tag)


def _rescind_pend(statuses: Statuses, tag: str, _: _Flags) -> None:
    statuses.get(PENDING, set()).discard(tag)


def _petition(statuses: Statuses, tag: str, _: _Flags) -> None:
    if tag in statuses.get(CURRENT, ()):
        statuses.setdefault(PETITIONED, set()).add(tag)


def _rescind_petition(statuses: Statuses, tag: str, _: _Flags) -> None:
    statuses.get(PETITIONED, set()).discard(tag)


_ACTIONS: dict[int, Callable[[Statuses, str, _Flags], None]] = {
    0: _add,
    1: _delete,
    2: _pend,
    3: _rescind_pend,
    4: _petition,
    5: _rescind_petition,
}


async def _add_tags(call: Call) -> Answer:
    hashes = call.hashes()
    changes = _changes(call)
    flags = _Flags()
    if call.era.has("mapping_flags"):
        flags = _Flags(
            call.arguments.flag("override_previously_deleted_mappings", default=True),
            call.arguments.flag("create_new_deleted_mappings", default=True),
        )
    await call.client.turn()
    store = call.client.store
    with store.writing():
        for sha256 in hashes:
            entry = store.touch(sha256)
            for change in changes:
                statuses = entry.statuses(change.service_key)
                act = _ACTIONS[change.action]
                for tag in change.tags:
                    act(statuses, tag, flags)
    return EMPTY


def _changes(call: Call) -> list[_Change]:
    """Read what is to be done; if actions are given, the plain map does not count."""
    if (actions := _by_service(call, "actions_to_tags")) is not None:
        changes = []
        for key, tags_of_action in actions.items():
            if not isinstance(tags_of_action, dict):
                raise wrong_type(key, tags_of_action, dict)
            for action, tags in tags_of_action.items():
                changes += _checked(call, key, action, tags)
        return changes
    if (plain := _by_service(call, "tags")) is not None:
        return [
            change
            for key, tags in plain.items()
            for change in _checked(call, key, _plain_action(call, key), tags)
        ]
    raise bad_request("Need some tags in the request: service_keys_to_tags or …_actions_to_tags!")


def _by_service(call: Call, what: str) -> dict[str, Any] | None:
    """Give one of the two maps with keys for names, whichever way it was spelled."""
    found: dict[str, Any] | None = None
    if call.era.has("service_keys") and f"service_keys_to_{what}" in call.arguments:
        found = call.arguments.members(f"service_keys_to_{what}")
    if f"service_names_to_{what}" in call.arguments:
        named = call.arguments.members(f"service_names_to_{what}")
        found = {
            **(found or {}),
            **{call.service_key_of_name(name): value for name, value in named.items()},
        }
    for key in found or {}:
        if call.client.services.kind(key) not in REAL_TAG_TYPES:
            raise Refusal(400, call.era.words["service_key_missing"].format(key=key))
    return found


def _plain_action(call: Call, key: str) -> int:
    return _PEND if call.client.services.kind(key) == TAG_REPOSITORY else _ADD


def _checked(call: Call, key: str, action: str | int, tags: object) -> list[_Change]:
    if not isinstance(tags, list):
        raise wrong_type(key, tags, list)
    try:
        number = int(action)
    except ValueError as error:
        raise bad_request(f'The content action "{action}" was not an integer!') from error
    if number not in _ALLOWED[call.client.services.kind(key) or TAG_REPOSITORY]:
        if call.era.has("disallowed_actions_rejected"):
            raise bad_request(f"The content action {number} is not allowed for that service!")
        return []
    if not tags and not call.era.has("empty_tag_lists"):
        raise Unforeseen("IndexError", "IndexError: list index out of range")
    texts = [tag[0] if isinstance(tag, list) and tag else tag for tag in tags]
    cleaned = [clean_tag(text) for text in texts if isinstance(text, str)]
    return [_Change(key, number, [tag for tag in cleaned if tag])]


async def _clean_tags(call: Call) -> Answer:
    return call.json({"tags": clean_tags(texts_of("tags", call.arguments.items("tags")))})


async def _get_tag_services(call: Call) -> Answer:
    lists = call.client.services.lists
    return call.json(
        {
            name: [service["name"] for service in lists[name]]
            for name in ("local_tags", "tag_repositories")
        }
    )


ROUTES = (
    Route(method="POST", path="/add_tags/add_tags", permissions=EDIT_TAGS, handler=_add_tags),
    Route(method="GET", path="/add_tags/clean_tags", permissions=EDIT_TAGS, handler=_clean_tags),
    Route(
        method="GET",
        path="/add_tags/get_tag_services",
        permissions=EDIT_TAGS,
        handler=_get_tag_services,
        until=41,
    ),
)
