"""Tags: tidying them, and writing them to local domains and repositories."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from hydrusd.simulator._answers import EMPTY, Answer
from hydrusd.simulator._arguments import texts_of, wrong_type
from hydrusd.simulator._entries import CURRENT, DELETED, PENDING, PETITIONED, Entry, Statuses
from hydrusd.simulator._errors import Unforeseen, bad_request
from hydrusd.simulator._routing import Call, Route
from hydrusd.simulator._services import TAG_REPOSITORY
from hydrusd.simulator._tags import clean_tag, clean_tags

EDIT_TAGS = frozenset({2})

_ADD = 0
_DELETE = 1
_PEND = 2
_PETITION = 4
_NO_REASON = "Petitioned from API"


@dataclass(frozen=True, slots=True)
class _Flags:
    override_deleted: bool = True
    record_deletions: bool = True


@dataclass(frozen=True, slots=True)
class _Change:
    """One action on one service: the tags, each with the reason that a petition gives."""

    service_key: str
    action: int
    tags: dict[str, str]


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
    if tag in statuses.get(CURRENT, ()) or tag in statuses.get(PETITIONED, ()):
        return
    if tag not in statuses.get(DELETED, ()) or flags.override_deleted:
        statuses.setdefault(PENDING, set()).add(tag)


def _rescind_pend(statuses: Statuses, tag: str, _: _Flags) -> None:
    statuses.get(PENDING, set()).discard(tag)


def _petition(statuses: Statuses, tag: str, flags: _Flags) -> None:
    # A tag need not be there to be petitioned, but it must not be pending.
    if tag in statuses.get(PENDING, ()):
        return
    if tag in statuses.get(CURRENT, ()) or flags.record_deletions:
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


def _apply(entry: Entry, change: _Change, flags: _Flags) -> None:
    statuses = entry.statuses(change.service_key)
    act = _ACTIONS[change.action]
    for tag in change.tags:
        act(statuses, tag, flags)
    petitioned = statuses.get(PETITIONED, set())
    reasons = entry.reasons.get(change.service_key, {})
    if petitioned or reasons:
        if change.action == _PETITION:
            reasons = change.tags | reasons  # who petitions again changes no reason
        entry.reasons[change.service_key] = {
            tag: why for tag, why in reasons.items() if tag in petitioned
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
                _apply(entry, change, flags)
    return EMPTY


def _changes(call: Call) -> list[_Change]:
    """Read what is to be done; if actions are given, the plain map does not count."""
    if (actions := _by_service(call, "actions_to_tags")) is not None:
        changes = []
        for key, tags_of_action in actions.items():
            if not isinstance(tags_of_action, dict):
                raise wrong_type("actions_to_tags", tags_of_action, dict)
            for action, tags in tags_of_action.items():
                changes += _checked(call, key, action, tags)
        return changes
    if (plain := _by_service(call, "tags")) is not None:
        changes = []
        for key, tags in plain.items():
            if isinstance(tags, list):
                texts_of("tags in service_keys_to_tags", tags)
            changes += _checked(call, key, _plain_action(call, key), tags)
        return changes
    raise bad_request("Need a service_keys_to_tags or service_keys_to_actions_to_tags parameter!")


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
        call.check_tag_service(key)
    return found


def _plain_action(call: Call, key: str) -> int:
    return _PEND if call.client.services.kind(key) == TAG_REPOSITORY else _ADD


def _checked(call: Call, key: str, action: str | int, tags: object) -> list[_Change]:
    try:
        number = int(action)
    except ValueError as error:
        raise bad_request(f'Sorry, got an action, "{action}", that was not an integer!') from error
    is_repository = call.client.services.kind(key) == TAG_REPOSITORY
    if (number in {_ADD, _DELETE}) == is_repository:
        if not call.era.has("disallowed_actions_rejected"):
            return []
        raise bad_request(
            f'Sorry, you submitted a content action of "{action}" for service "{key}", but you '
            + (
                "cannot add/delete on a remote tag repository!"
                if is_repository
                else "can only add/delete on a local tag domain!"
            )
        )
    if not isinstance(tags, list):
        name = (
            "tags in service_keys_to_tags" if isinstance(action, int) else "tags in actions_to_tags"
        )
        raise wrong_type(name, tags, list)
    if not tags and not call.era.has("empty_tag_lists"):
        raise Unforeseen("IndexError", "IndexError: list index out of range")
    if number not in _ACTIONS:
        return []
    with_reasons = (_with_reason(item) for item in tags)
    cleaned = {clean_tag(tag): reason for tag, reason in with_reasons}
    return [_Change(key, number, {tag: reason for tag, reason in cleaned.items() if tag})]


def _with_reason(item: object) -> tuple[str, str]:
    """Give a tag and the reason given with it; no tag for what is neither."""
    match item:
        case str(tag):
            return tag, _NO_REASON
        case [str(tag), str(reason)]:
            return tag, reason
        case _:
            return "", ""


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
