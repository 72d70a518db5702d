"""Committing the database, holding it still for a backup, and what it tells of itself."""

from __future__ import annotations

from collections import Counter

from hydrusd.simulator._answers import EMPTY, Answer
from hydrusd.simulator._entries import Entry
from hydrusd.simulator._errors import Refusal, bad_request
from hydrusd.simulator._matching import matching
from hydrusd.simulator._relationships import ALTERNATE, DOCUMENT, DUPLICATE, Relationships
from hydrusd.simulator._routing import Call, Route
from hydrusd.simulator._services import (
    ALL_KNOWN_FILES,
    ALL_KNOWN_TAGS_KEY,
    ALL_LOCAL_MEDIA_KEY,
    MY_FILES_KEY,
    REAL_TAG_TYPES,
    TRASH,
)

MANAGE_DATABASE = frozenset({6})

_MEDIA_VIEWER = 0
_PREVIEW = 1

_Hits = list[tuple[str, Entry]]


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


async def _mr_bones(call: Call) -> Answer:
    era, client = call.era, call.client
    texts: list[object] = []
    domains, tag_service = {ALL_LOCAL_MEDIA_KEY}, ALL_KNOWN_TAGS_KEY
    if era.has("mr_bones_search"):
        texts = call.arguments.items("tags", [])
        domains = call.file_domains() or domains
        tag_service = call.arguments.text("tag_service_key", tag_service)
    kinds = {client.services.kind(key) for key in domains}
    if tag_service != ALL_KNOWN_TAGS_KEY:
        if client.services.kind(tag_service) not in REAL_TAG_TYPES:
            raise Refusal(400, era.words["service_key_missing"].format(key=tag_service))
    elif ALL_KNOWN_FILES in kinds:
        raise bad_request(
            "Sorry, search for all known tags over all known files is not supported!"
        )  # fmt: skip
    await client.turn()
    # A search over one domain is repeated over what was deleted from it, if that can be.
    goes_back = len(domains) == 1 and not kinds & {TRASH, ALL_KNOWN_FILES}
    with client.store.lock:
        current = matching(client, texts, tag_service, domains)
        gone: _Hits = []
        if goes_back:
            gone = matching(client, texts, tag_service, domains, deleted=True)
        stats = _stats(current, gone if goes_back else None)
        relationships = Relationships(client.store.document(DOCUMENT))
        stats |= _related(call, relationships, [sha256 for sha256, _ in current])
    return call.json({"boned_stats": stats})


def _stats(current: _Hits, deleted: _Hits | None) -> dict[str, object]:
    files = [entry.file for _, entry in current if entry.file]
    gone = [entry.file for _, entry in deleted or () if entry.file]
    inbox = [file.size for file in files if file.inbox]
    archive = [file.size for file in files if not file.inbox]
    stats: dict[str, object] = {
        "num_inbox": len(inbox),
        "num_archive": len(archive),
        "size_inbox": sum(inbox),
        "size_archive": sum(archive),
    }
    if deleted is not None:
        stats |= {"num_deleted": len(deleted), "size_deleted": sum(file.size for file in gone)}
        if imported := [file.imported_at for file in [*files, *gone]]:
            stats["earliest_import_time"] = int(min(imported))
    seen = [entry.viewings for _, entry in [*current, *(deleted or ())]]
    viewtime: list[float] = []
    for canvas in (_MEDIA_VIEWER, _PREVIEW):
        viewings = [of_entry[canvas] for of_entry in seen if canvas in of_entry]
        viewtime += [sum(v.views for v in viewings), sum(v.seconds for v in viewings)]
    return stats | {"total_viewtime": viewtime}


def _related(call: Call, relationships: Relationships, hashes: list[str]) -> dict[str, object]:
    counts: dict[str, object] = {
        name: sum(bool(relationships.relatives(sha256, kind)) for sha256 in hashes)
        for name, kind in (
            ("total_alternate_files", ALTERNATE),
            ("total_duplicate_files", DUPLICATE),
        )
    }
    if call.era.has("mr_bones_search"):
        families = Counter(relationships.tables["family_of"].values())
        return counts | {"total_alternate_groups": sum(n > 1 for n in families.values())}
    return counts | {"total_potential_pairs": len(list(relationships.potentials()))}


async def _get_client_options(call: Call) -> Answer:
    # The real client has some 500 options and promises nothing of them; these are a sample.
    options = {
        "booleans": {"advanced_mode": False, "notify_client_api_cookies": False},
        "strings": {"app_display_name": "hydrus client", "namespace_connector": ":"},
        "noneable_strings": {"backup_path": None, "web_browser_path": None},
        "integers": {"max_connection_attempts_allowed": 5},
        "noneable_integers": {"forced_search_limit": None, "num_recent_tags": 20},
        "keys": {"default_tag_service_search_page": ALL_KNOWN_TAGS_KEY},
        "colors": {"default": {}, "darkmode": {}},
        "media_zooms": [0.5, 1.0, 2.0],
        "slideshow_durations": [1.0, 5.0, 10.0, 30.0, 60.0],
        "suggested_tags_favourites": {},
        "default_local_location_context": {
            "current_service_keys": [MY_FILES_KEY],
            "deleted_service_keys": [],
        },
    }
    old_options = {"confirm_client_exit": False, "default_gui_session": "last session"}
    services = call.client.services.objects()
    return call.json({"old_options": old_options, "options": options, **services})


ROUTES = (
    Route(
        method="GET",
        path="/manage_database/mr_bones",
        permissions=MANAGE_DATABASE,
        handler=_mr_bones,
        since=23,
    ),
    Route(
        method="GET",
        path="/manage_database/get_client_options",
        permissions=MANAGE_DATABASE,
        handler=_get_client_options,
        since=55,
    ),
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
