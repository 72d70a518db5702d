"""Looking tags up: what a few letters could mean, who is related to whom, the favourites."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Callable, Iterable
from typing import Any

from hydrusd.simulator._answers import Answer
from hydrusd.simulator._arguments import texts_of
from hydrusd.simulator._entries import CURRENT, PENDING, Entry
from hydrusd.simulator._errors import bad_request
from hydrusd.simulator._routing import Call, Route, searched_domains
from hydrusd.simulator._tags import clean_tag, clean_tags, human_sorted
from hydrusd.simulator.routes.add_tags import EDIT_TAGS

SEARCH_TAGS = frozenset({3})
FAVOURITES = "favourite tags"

_WORD_STARTS = r"(?:^|.*[\W_])"


async def _search_tags(call: Call) -> Answer:
    arguments, store = call.arguments, call.client.store
    text = arguments.text("search").strip().lower()
    services = call.tag_domain()
    as_shown = arguments.text("tag_display_type", "storage") != "storage"
    domains = searched_domains(call)
    inclusive = not text.startswith("-")
    text = text.removeprefix("-").strip()
    counts: Counter[str] = Counter()
    await call.client.turn()
    if matches := _matcher(text):
        with store.lock:
            for sha256, entry in store.entries.items():
                if any(domain(sha256, entry) for domain in domains):
                    counts.update(_tags(call, entry, services, as_shown=as_shown))
    found = [
        {"value": tag, "count": count}
        for tag, count in sorted(counts.items(), key=lambda item: (-item[1], item[0]))
        if matches and matches(tag)
    ]
    body: dict[str, object] = {"tags": found}
    if call.era.has("autocomplete_text"):
        body = {"autocomplete_text": {"search_text": text, "inclusive": inclusive}, **body}
    return call.json(body)


def _tags(call: Call, entry: Entry, services: Iterable[str], *, as_shown: bool) -> set[str]:
    found: set[str] = set()
    for key in services:
        statuses = entry.tags.get(key, {})
        tags = statuses.get(CURRENT, set()) | statuses.get(PENDING, set())
        found |= call.client.display.shown(key, tags) if as_shown else tags
    return found


def _matcher(text: str) -> Callable[[str], bool] | None:
    """Say which tags a text means: those with a word that begins so. None for no text at all."""
    namespace, colon, subtag = text.partition(":") if ":" in text else ("", "", text)
    if not subtag.strip("* "):
        return None
    begin = "" if subtag.startswith("*") else _WORD_STARTS
    pattern = re.compile(begin + ".*".join(map(re.escape, subtag.split("*"))) + ".*", re.DOTALL)

    def matches(tag: str) -> bool:
        before, has_namespace, after = tag.partition(":")
        if not has_namespace:
            before, after = "", tag
        return bool(pattern.match(after)) and (not colon or before == namespace)

    return matches


async def _get_siblings_and_parents(call: Call) -> Answer:
    texts = texts_of("tags", call.arguments.items("tags"))
    for text in texts:
        if not clean_tag(text):
            raise bad_request(f'Tag "{text}" was empty!')
    services, display = call.client.services, call.client.display
    await call.client.turn()
    tags = {
        tag: {service.key: display.lookup(service.key, tag) for service in services.tag_services}
        for tag in clean_tags(texts)
    }
    return call.json({"tags": tags, **services.objects()})


async def _get_favourite_tags(call: Call) -> Answer:
    return _favourites_answer(call, call.client.store.document(FAVOURITES) or [])


async def _set_favourite_tags(call: Call) -> Answer:
    def given(name: str) -> list[str]:
        return clean_tags(texts_of(name, call.arguments.items(name, [])))

    store = call.client.store
    await call.client.turn()
    with store.lock:
        if "set" in call.arguments:
            tags = set(given("set"))
        else:
            added, removed = given("add"), given("remove")
            tags = {*(store.document(FAVOURITES) or ()), *added}.difference(removed)
        store.put_document(FAVOURITES, human_sorted(tags))
        return _favourites_answer(call, human_sorted(tags))


def _favourites_answer(call: Call, tags: list[Any]) -> Answer:
    return call.json({"favourite_tags": tags})


ROUTES = (
    Route(
        method="GET",
        path="/add_tags/search_tags",
        permissions=SEARCH_TAGS,
        handler=_search_tags,
        since=26,
    ),
    Route(
        method="GET",
        path="/add_tags/get_siblings_and_parents",
        permissions=EDIT_TAGS,
        handler=_get_siblings_and_parents,
        since=51,
    ),
    Route(
        method="GET",
        path="/add_tags/get_favourite_tags",
        permissions=EDIT_TAGS,
        handler=_get_favourite_tags,
        since=80,
    ),
    Route(
        method="POST",
        path="/add_tags/set_favourite_tags",
        permissions=EDIT_TAGS,
        handler=_set_favourite_tags,
        since=80,
    ),
)
