"""URLs: what the client makes of them, which files it has from them, and fetching new ones."""

from __future__ import annotations

import asyncio
from collections.abc import Iterable

from hydrusd.simulator._answers import EMPTY, Answer
from hydrusd.simulator._arguments import texts_of, wrong_type
from hydrusd.simulator._errors import Refusal, bad_request
from hydrusd.simulator._pages import URL_PAGE, WATCHER_PAGE, Watcher
from hydrusd.simulator._routing import Call, Route
from hydrusd.simulator._services import LOCAL_FILES, REAL_TAG_TYPES
from hydrusd.simulator._tags import clean_tags
from hydrusd.simulator._urls import (
    GALLERY_URL,
    POST_URL,
    WATCHABLE_URL,
    capability,
    normalise,
    require_full_url,
)

EDIT_URLS = frozenset({0})
_EDIT_TAGS = frozenset({2})

_INFO_SECONDS = 600
_IN_DB_SECONDS = 30
_PARSED_TYPES = frozenset({POST_URL, GALLERY_URL, WATCHABLE_URL})


def _asked_url(call: Call) -> str:
    url = call.arguments.text("url")
    if not url:
        raise bad_request("Given URL was empty!")
    return url


def _cached(answer: Answer, seconds: int) -> Answer:
    headers = {**answer.headers, "Cache-Control": f"max-age={seconds}"}
    return Answer(body=answer.body, content_type=answer.content_type, headers=headers)


async def _get_url_info(call: Call) -> Answer:
    url = normalise(call.era, _asked_url(call))
    found = capability(call.era, url)
    body: dict[str, object] = {
        "normalised_url": url,
        "url_type": found.type,
        "url_type_string": found.type_name,
        "match_name": found.match_name,
        "can_parse": found.can_parse,
    }
    if call.era.has("url_requests"):
        if not found.can_parse:
            body["cannot_parse_reason"] = found.reason
        body["request_url"] = url
    return _cached(call.json(body), _INFO_SECONDS)


async def _get_url_files(call: Call) -> Answer:
    url = normalise(call.era, _asked_url(call))
    await call.client.turn()
    statuses = [
        {"status": status, "hash": sha256, "note": note}
        for sha256, status, note in call.client.downloads.files_of(url)
    ]
    answer = call.json({"normalised_url": url, "url_file_statuses": statuses})
    return _cached(answer, _IN_DB_SECONDS) if all(s["status"] == 2 for s in statuses) else answer


async def _add_url(call: Call) -> Answer:
    client, era, arguments = call.client, call.era, call.arguments
    given = _asked_url(call)
    if "filterable_tags" in arguments and era.has("additional_tags"):
        # Only a parser's import options would let these through, and no page is parsed here.
        client.access.demand(call.permissions, _EDIT_TAGS)
        texts_of("filterable_tags", arguments.items("filterable_tags"))
    tags = _additional_tags(call)
    name = arguments.text("destination_page_name", "") or None
    key = arguments.text("destination_page_key", "")
    shown = arguments.flag("show_destination_page", default=False)
    domains = _domains(call)
    require_full_url(era, given)
    url = normalise(era, given)
    found = capability(era, url)
    if found.type in _PARSED_TYPES and not found.can_parse:
        raise bad_request(
            f'This URL was recognised as a "{found.match_name}" but it cannot be parsed: '
            f"{found.reason}"
        )
    watched = found.type == WATCHABLE_URL
    kind, default_name = (WATCHER_PAGE, "watcher") if watched else (URL_PAGE, "url import")
    with client.store.lock:
        page = client.pages.importer(kind, default_name, key=key, name=name, domains=domains)
        if shown:
            client.pages.focus(page)
        if watched:
            if all(watcher.url != url for watcher in page.watchers):
                page.watchers.append(Watcher(url))
        else:
            (page.add_gallery if found.type == GALLERY_URL else page.add_item)(url, tags)
            client.downloads.look_at(page)
        client.pages.changed()
    if client.config.add_url_seconds:
        await asyncio.sleep(client.config.add_url_seconds)
    return call.json(
        {
            "human_result_text": f'"{found.match_name}" URL added successfully.',
            "normalised_url": url,
        }
    )


def _additional_tags(call: Call) -> dict[str, list[str]]:
    """Give service key to tags, whichever way this era or an older one spelled it."""
    newer = call.era.has("additional_tags")
    names = ["service_names_to_tags"]
    if newer:
        names.append("service_names_to_additional_tags")
    if newer and call.era.has("service_keys"):
        names.append("service_keys_to_additional_tags")
    wanted: dict[str, list[str]] = {}
    for name in names:
        if name not in call.arguments:
            continue
        call.client.access.demand(call.permissions, _EDIT_TAGS)
        for service, tags in call.arguments.members(name).items():
            named = name.startswith("service_names")
            key = call.service_key_of_name(service) if named else service
            if call.client.services.kind(key) not in REAL_TAG_TYPES:
                raise Refusal(400, call.era.words["service_key_missing"].format(key=key))
            if not isinstance(tags, list):
                raise wrong_type(name, tags, list)
            if cleaned := clean_tags(texts_of(name, tags)):
                wanted[key] = cleaned
    return wanted


def _domains(call: Call) -> list[str]:
    if not call.era.has("add_url_domains"):
        return []
    domains = call.file_domains()
    if any(call.client.services.kind(key) != LOCAL_FILES for key in domains):
        raise bad_request("Sorry, a file can only be imported to local file domains!")
    return sorted(domains)


async def _associate_url(call: Call) -> Answer:
    era, arguments, store = call.era, call.arguments, call.client.store
    added = _urls(call, "url_to_add", "urls_to_add")
    deleted = _urls(call, "url_to_delete", "urls_to_delete")
    chosen = era.has("associate_without_normalising")
    if not chosen or arguments.flag("normalise_urls", default=True):
        added = [normalise(era, url) for url in added]
    if not added and not deleted:
        raise bad_request("Did not find any URLs to add or delete!")
    hashes = call.hashes()
    await call.client.turn()
    with store.writing():
        for sha256 in hashes:
            kept = [*store.touch(sha256).known_urls, *added]
            store.set_urls(sha256, [url for url in kept if url not in deleted])
    return EMPTY


def _urls(call: Call, one: str, many: str) -> list[str]:
    urls: list[str] = [call.arguments.text(one)] if one in call.arguments else []
    listed: Iterable[object] = call.arguments.items(many, []) if many in call.arguments else ()
    return [*urls, *texts_of(many, listed)]


ROUTES = (
    Route(
        method="GET", path="/add_urls/get_url_info", permissions=EDIT_URLS, handler=_get_url_info
    ),
    Route(
        method="GET", path="/add_urls/get_url_files", permissions=EDIT_URLS, handler=_get_url_files
    ),
    Route(method="POST", path="/add_urls/add_url", permissions=EDIT_URLS, handler=_add_url),
    Route(
        method="POST",
        path="/add_urls/associate_url",
        permissions=EDIT_URLS,
        handler=_associate_url,
    ),
)
