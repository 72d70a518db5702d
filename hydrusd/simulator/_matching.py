"""Searches that the client makes for itself: what a search page shows, what Mr. Bones counts."""

from __future__ import annotations

from collections.abc import Iterable

from hydrusd.simulator._client import Client
from hydrusd.simulator._domains import domain_test
from hydrusd.simulator._entries import Entry
from hydrusd.simulator._search import Parser, find
from hydrusd.simulator._services import ALL_KNOWN_TAGS_KEY


def matching(
    client: Client,
    texts: list[object],
    tag_service_key: str,
    domain_keys: Iterable[str],
    *,
    deleted: bool = False,
) -> list[tuple[str, Entry]]:
    """Give the hits of a search in any of the file services, by id. Hold the store's lock.

    ``deleted``: among the files that were deleted from there. No texts find everything.
    """
    services = client.services
    tag_services = {tag_service_key}
    if tag_service_key == ALL_KNOWN_TAGS_KEY:
        tag_services = {service.key for service in services.tag_services}
    query = Parser(client, frozenset(tag_services)).parse(texts)
    domains = [domain_test(key, services.kind(key), deleted=deleted) for key in domain_keys]
    hits = find(client.store.entries, query, domains)
    return sorted(hits, key=lambda hit: hit[1].file_id)[: query.limit]
