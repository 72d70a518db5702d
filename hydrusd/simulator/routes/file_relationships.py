"""Duplicates and alternates: looking them up, and deciding what two files are to each other."""

from __future__ import annotations

import random
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, NamedTuple

from hydrusd.simulator._answers import EMPTY, Answer
from hydrusd.simulator._arguments import is_hex, wrong_item, wrong_type
from hydrusd.simulator._domains import Test
from hydrusd.simulator._entries import StoredFile
from hydrusd.simulator._errors import bad_request, missing_parameter
from hydrusd.simulator._merging import merge_content
from hydrusd.simulator._relationships import (
    ALTERNATE,
    BETTER,
    DOCUMENT,
    DUPLICATE,
    NOT_RELATED,
    POTENTIAL,
    SAME_QUALITY,
    WORSE,
    Potential,
    Relationships,
)
from hydrusd.simulator._routing import Call, Route, searched_domains, wrong_length
from hydrusd.simulator._search import Parser, Query
from hydrusd.simulator._store import Store

EDIT_RELATIONSHIPS = frozenset({8})

_ALLOWED = {POTENTIAL, NOT_RELATED, SAME_QUALITY, ALTERNATE, BETTER, WORSE}
_DELETE_REASON = "From Client API (duplicates processing)."
_PAIRS_AT_ONCE = 250

_ONE_MATCHES_FIRST, _BOTH_MATCH_FIRST = 0, 1
_MUST_BE_PIXEL_DUPLICATES, _MAY_BE, _MUST_NOT_BE = 0, 1, 2
_BY_LARGER, _BY_SIMILARITY, _BY_SMALLER = 0, 1, 2


class _Decision(NamedTuple):
    kind: int
    one: str
    other: str
    merges: bool
    deletes: tuple[bool, bool]


async def _get_file_relationships(call: Call) -> Answer:
    hashes, domains, store = call.hashes(), searched_domains(call), call.client.store
    await call.client.turn()
    with store.writing():
        for sha256 in hashes:
            if sha256 not in store.entries:
                store.touch(sha256)  # a real client writes a hash down only for being asked
        known = Relationships(store.document(DOCUMENT))
        found = {sha256: _shown(store, known, sha256, domains) for sha256 in hashes}
    return call.json({"file_relationships": found})


def _shown(
    store: Store, known: Relationships, sha256: str, domains: list[Test]
) -> dict[str, object]:
    entry = store.entries.get(sha256)
    king = known.king(sha256)
    shown: dict[str, object] = {
        "is_king": king == sha256,
        "king": king,
        # v682 answers these two about the file itself, whoever its king is.
        "king_is_on_file_domain": _is_in(store, sha256, domains),
        "king_is_local": bool(entry and entry.file and entry.file.on_disk),
    }
    for kind in (POTENTIAL, DUPLICATE, NOT_RELATED, ALTERNATE):
        relatives = known.relatives(sha256, kind)
        shown[str(kind)] = sorted(
            (other for other in relatives if _is_in(store, other, domains)),
            key=lambda other: store.entries[other].file_id,
        )
    return shown


def _is_in(store: Store, sha256: str, domains: list[Test]) -> bool:
    entry = store.entries.get(sha256)
    return entry is not None and any(test(sha256, entry) for test in domains)


async def _found_potentials(call: Call) -> list[Potential]:
    """Give the pairs of potential duplicates that a request asks about."""
    arguments, store = call.arguments, call.client.store
    domains = searched_domains(call)
    first, second = (
        Parser(call.client, call.tag_domain(f"tag_service_key_{number}")).parse(
            arguments.items(f"tags_{number}", [])
        )
        for number in (1, 2)
    )
    how = arguments.number("potentials_search_type", _ONE_MATCHES_FIRST)
    pixels = arguments.number("pixel_duplicates", _MAY_BE)
    distance = arguments.number("max_hamming_distance", 4)
    await call.client.turn()
    with store.lock:
        return [
            pair
            for pair in Relationships(store.document(DOCUMENT)).potentials()
            if _looks_right(pair, pixels, distance)
            and all(_is_in(store, sha256, domains) for sha256 in pair[:2])
            and _matches(store, pair, (first, second), how)
        ]


def _looks_right(pair: Potential, pixels: int, distance: int) -> bool:
    if pixels == _MUST_BE_PIXEL_DUPLICATES:
        return pair.same_pixels
    if pixels == _MUST_NOT_BE and pair.same_pixels:
        return False
    return pair.same_pixels or pair.distance <= distance


def _matches(store: Store, pair: Potential, queries: tuple[Query, Query], how: int) -> bool:
    def fits(query: Query, sha256: str) -> bool:
        entry = store.entries[sha256]
        return (query.only is None or sha256 in query.only) and all(
            test(sha256, entry) for test in query.tests
        )

    first, second = queries
    one, other = pair.one, pair.other
    if how == _ONE_MATCHES_FIRST:
        return fits(first, one) or fits(first, other)
    if how == _BOTH_MATCH_FIRST:
        return fits(first, one) and fits(first, other)
    return (fits(first, one) and fits(second, other)) or (fits(first, other) and fits(second, one))


async def _get_potentials_count(call: Call) -> Answer:
    return call.json({"potential_duplicates_count": len(await _found_potentials(call))})


async def _get_potential_pairs(call: Call) -> Answer:
    arguments = call.arguments
    number = arguments.number("max_num_pairs", _PAIRS_AT_ONCE)
    sort_type = arguments.number("duplicate_pair_sort_type", _BY_LARGER)
    ascending = arguments.flag("duplicate_pair_sort_asc", default=False)
    one_group = arguments.flag("group_mode", default=False)
    pairs = await _found_potentials(call)
    sizes = _sizes(call.client.store, pairs)

    def key(pair: Potential) -> float:
        both = sizes[pair.one], sizes[pair.other]
        if sort_type == _BY_LARGER:
            return max(both)
        if sort_type == _BY_SIMILARITY:
            return -pair.distance
        return min(both) if sort_type == _BY_SMALLER else random.random()  # noqa: S311 - an order

    pairs.sort(key=key, reverse=not ascending)
    shown = _connected(pairs) if one_group else pairs[:number]
    # Of each pair the larger file, likely the better one, comes first.
    ordered = [sorted(pair[:2], key=lambda sha256: -sizes[sha256]) for pair in shown]
    return call.json({"potential_duplicate_pairs": ordered})


def _sizes(store: Store, pairs: list[Potential]) -> dict[str, int]:
    with store.lock:
        files: dict[str, StoredFile | None] = {
            sha256: store.entries[sha256].file for pair in pairs for sha256 in pair[:2]
        }
    return {sha256: file.size if file else 0 for sha256, file in files.items()}


def _connected(pairs: list[Potential]) -> list[Potential]:
    """Give the first pair and all that hang together with it."""
    group: set[str] = set(pairs[0][:2]) if pairs else set()
    while more := {h for pair in pairs if group & set(pair[:2]) for h in pair[:2]} - group:
        group |= more
    return [pair for pair in pairs if pair.one in group]


async def _get_random_potentials(call: Call) -> Answer:
    pairs = await _found_potentials(call)
    group: list[str] = []
    if pairs:
        king = random.choice(pairs).one  # noqa: S311 - no secret
        group = list(dict.fromkeys(h for pair in pairs if king in pair[:2] for h in pair[:2]))
    return call.json({"random_potential_duplicate_hashes": group})


@contextmanager
def _editing(store: Store) -> Iterator[Relationships]:
    with store.lock:
        known = Relationships(store.document(DOCUMENT))
        yield known
        store.put_document(DOCUMENT, known.tables)


async def _remove_potentials(call: Call) -> Answer:
    hashes = call.hashes()
    await call.client.turn()
    with _editing(call.client.store) as known:
        known.remove_potentials(hashes)
    return EMPTY


async def _set_kings(call: Call) -> Answer:
    hashes = call.hashes()
    await call.client.turn()
    with _editing(call.client.store) as known:
        for sha256 in hashes:
            known.make_king(sha256)
    return EMPTY


async def _set_file_relationships(call: Call) -> Answer:
    decisions = [_decision(row) for row in call.arguments.items("relationships", [])]
    store = call.client.store
    await call.client.turn()
    if not decisions:
        return EMPTY
    with store.writing(), _editing(store) as known:
        for decision in decisions:
            pair = decision.one, decision.other
            for sha256 in pair:
                store.touch(sha256)
            if decision.merges:
                merge_content(call.client, decision.kind, *pair)
            for sha256, deletes in zip(pair, decision.deletes, strict=True):
                file = store.entries[sha256].file
                if deletes and file:
                    store.remove_file(sha256, set(file.domains), _DELETE_REASON)
            known.relate(decision.kind, *pair)
    return EMPTY


def _decision(row: object) -> _Decision:
    if not isinstance(row, dict):
        raise wrong_item('The list parameter "relationships" held an item', row, dict)
    kind = _member(row, "relationship", int)
    one, other = _member(row, "hash_a", str), _member(row, "hash_b", str)
    merges = _member(row, "do_default_content_merge", bool)
    deletes = (
        _member(row, "delete_a", bool, default=False),
        _member(row, "delete_b", bool, default=False),
    )
    if kind not in _ALLOWED:
        raise bad_request(
            f'The parameter "relationship", with value "{kind}", was not in the allowed values: '
            f"{_ALLOWED}!"
        )
    if not is_hex(one) or not is_hex(other):
        raise bad_request(f"Sorry, did not understand one of the hashes {one} or {other}!")
    for sha256 in (one, other):
        if len(sha256) != 64:
            raise wrong_length(sha256, "sha256")
    one, other = one.lower(), other.lower()
    if kind == WORSE:
        return _Decision(BETTER, other, one, merges, deletes[::-1])
    return _Decision(kind, one, other, merges, deletes)


def _member(row: dict[str, Any], name: str, expected: type, *, default: bool | None = None) -> Any:
    value = row.get(name)
    if value is None:
        if default is None:
            raise missing_parameter(name)
        return default
    if not isinstance(value, expected):
        raise wrong_type(name, value, expected)
    return value


def _routes() -> Iterator[Route]:
    for method, name, handler, since in (
        ("GET", "get_file_relationships", _get_file_relationships, 40),
        ("GET", "get_potentials_count", _get_potentials_count, 40),
        ("GET", "get_potential_pairs", _get_potential_pairs, 40),
        ("GET", "get_random_potentials", _get_random_potentials, 40),
        ("POST", "set_file_relationships", _set_file_relationships, 40),
        ("POST", "set_kings", _set_kings, 40),
        ("POST", "remove_potentials", _remove_potentials, 66),
    ):
        yield Route(
            method=method,
            path=f"/manage_file_relationships/{name}",
            permissions=EDIT_RELATIONSHIPS,
            handler=handler,
            since=since,
        )


ROUTES = tuple(_routes())
