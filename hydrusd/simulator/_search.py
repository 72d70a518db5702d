"""Finding files: tags, wildcards, OR groups and ``system:`` predicates (see ``_predicates``)."""

from __future__ import annotations

import random
import re
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

from hydrusd.simulator._arguments import wrong_type
from hydrusd.simulator._client import Client
from hydrusd.simulator._domains import Test
from hydrusd.simulator._entries import CURRENT, PENDING, Entry, StoredFile, Viewing
from hydrusd.simulator._errors import bad_request
from hydrusd.simulator._predicates import Predicates, unparsable
from hydrusd.simulator._tags import clean_tag

# What hydrusd sends most, so it is looked up and not tested file by file.
_HASHES = re.compile(r"hash ?(?:=|is) ?((?:[0-9a-f]{64}[\s,]*)+)(?:sha256)?")
_LIMIT = re.compile(r"limit ?(?:=|is) ?(\d+)")
_LONGEST = re.compile("[0-9a-f]{64}")

Sort = Callable[[StoredFile, Entry], Any]

_NEVER = Viewing()
_SORTS: dict[int, Sort] = {
    0: lambda file, _: file.size,
    1: lambda file, _: file.duration_ms or 0,
    3: lambda file, _: file.filetype_enum,
    4: lambda _file, _entry: random.random(),  # noqa: S311 - an order, no secret
    5: lambda file, _: file.width,
    6: lambda file, _: file.height,
    7: lambda file, _: file.width / file.height,
    8: lambda file, _: file.width * file.height,
    9: lambda _, entry: len({t for s in entry.tags.values() for t in s.get(CURRENT, ())}),
    10: lambda _, entry: entry.viewings.get(0, _NEVER).views,
    11: lambda _, entry: entry.viewings.get(0, _NEVER).seconds,
    12: lambda file, _: file.size / (file.duration_ms or 1),
    14: lambda file, entry: min([file.modified_at, *entry.site_times.values()]),
    15: lambda file, _: (file.num_frames or 0) / (file.duration_ms or 1),
    16: lambda file, _: file.num_frames or 0,
    18: lambda _, entry: entry.viewings.get(0, _NEVER).last or 0,
    19: lambda file, _: file.archived_at or 0,
}
_BY_IMPORT = 2
_BY_HASH = 20
_KNOWN_SORTS = frozenset(range(28)) - {17}


@dataclass(slots=True)
class Query:
    """A parsed search. ``only``: the hashes it can find at all, if the search names them."""

    tests: list[Test] = field(default_factory=list)
    only: set[str] | None = None
    limit: int | None = None


class Parser:
    """Turns the texts of a search into a query over certain tag services."""

    def __init__(
        self,
        client: Client,
        tag_services: frozenset[str],
        *,
        current: bool = True,
        pending: bool = True,
    ) -> None:
        self._era = client.era
        self._display = client.display
        self._tag_services = tag_services
        self._all_plain = all(map(client.display.is_plain, tag_services))
        self._statuses = [CURRENT] * current + [PENDING] * pending
        self._predicates = Predicates(client, self._tags)

    def parse(self, texts: Iterable[object]) -> Query:
        """Give the query, or refuse what cannot be parsed."""
        query = Query()
        for text in texts:
            if isinstance(text, list) and self._era.has("or_search"):
                query.tests.append(self._any_of(text))
            elif isinstance(text, str):
                self._add(query, text)
            elif not self._era.has("json_errors"):
                raise wrong_type("tags", text, str)
        return query

    def _any_of(self, texts: list[object]) -> Test:
        branches = [self.parse([text]) for text in texts]

        def test(sha256: str, entry: Entry) -> bool:
            return any(
                (branch.only is None or sha256 in branch.only)
                and all(inner(sha256, entry) for inner in branch.tests)
                for branch in branches
            )

        return test

    def _add(self, query: Query, text: str) -> None:
        if text.startswith("system:") and self._era.has("system_predicates"):
            self._add_system(query, text, text.removeprefix("system:").strip().lower())
            return
        tag = clean_tag(text)
        if not tag and self._era.has("json_errors"):
            raise bad_request(f'Could not understand the tag: "{text}"')
        tag_test = self._tag_test(tag)
        negative = text.lstrip().startswith("-")
        query.tests.append(
            (lambda sha256, entry: not tag_test(sha256, entry)) if negative else tag_test
        )

    def _add_system(self, query: Query, text: str, predicate: str) -> None:
        if match := _HASHES.fullmatch(predicate):
            named = set(_LONGEST.findall(match[1]))
            query.only = named if query.only is None else query.only & named
        elif match := _LIMIT.fullmatch(predicate):
            query.limit = int(match[1])
        elif predicate.startswith("limit"):
            raise unparsable(text)
        elif predicate != "everything":
            query.tests.append(self._predicates.test(predicate, text))

    def _tags(self, entry: Entry) -> set[str]:
        found: set[str] = set()
        for key, statuses in entry.tags.items():
            if key in self._tag_services:
                for status in self._statuses:
                    found |= self._display.shown(key, statuses.get(status, ()))
        return found

    def _tag_test(self, tag: str) -> Test:
        if "*" in tag and self._era.has("search_wildcards"):
            fits = _wildcard(tag)
            return lambda _, entry: any(map(fits, self._tags(entry)))
        if self._all_plain:
            return lambda _, entry: self._has_tag(entry, tag)
        # A tag finds what is shown as it, by whichever sibling it is asked for.
        shown = {
            key: min(self._display.shown(key, {tag}) - ancestors, default=tag)
            for key in self._tag_services
            for ancestors in (set(self._display.lookup(key, tag)["ancestors"]),)
        }
        return lambda _, entry: any(
            ideal in self._display.shown(key, entry.tags.get(key, {}).get(status, ()))
            for key, ideal in shown.items()
            for status in self._statuses
        )

    def _has_tag(self, entry: Entry, tag: str) -> bool:
        return any(
            tag in statuses.get(status, ())
            for key, statuses in entry.tags.items()
            if key in self._tag_services
            for status in self._statuses
        )


def _wildcard(tag: str) -> Callable[[str], bool]:
    """Say which tags a wildcard means: one without a namespace means tags without one."""
    namespace, colon, subtag = tag.rpartition(":") if tag.count(":") < 2 else tag.partition(":")
    patterns = [
        re.compile(".*".join(map(re.escape, part.split("*"))), re.DOTALL)
        for part in (namespace, subtag)
    ]

    def fits(found: str) -> bool:
        before, has_namespace, after = found.partition(":")
        if not has_namespace:
            before, after = "", found
        if not colon and before:
            return False
        return bool(patterns[0].fullmatch(before) and patterns[1].fullmatch(after))

    return fits


def find(
    entries: Mapping[str, Entry], query: Query, domains: list[Test]
) -> list[tuple[str, Entry]]:
    """Give all hits of a query in any of the domains, unsorted and unlimited."""
    hashes = entries.keys() if query.only is None else query.only & entries.keys()
    return [
        (sha256, entry)
        for sha256 in hashes
        for entry in (entries[sha256],)
        if any(test(sha256, entry) for test in domains)
        and all(test(sha256, entry) for test in query.tests)
    ]


def check_sort(sort_type: int) -> None:
    """Refuse a sort that the client does not have."""
    if sort_type not in _KNOWN_SORTS:
        raise bad_request("Sorry, did not understand that sort type!")


def sort_hits(
    hits: list[tuple[str, Entry]], sort_type: int, *, ascending: bool, whole_seconds: bool
) -> list[tuple[str, Entry]]:
    """Put hits in order. Files never imported come first, ties in the order of their ids.

    Sorts by what the simulator does not keep (colours, pixels) leave that order.
    """

    def key(hit: tuple[str, Entry]) -> Any:
        sha256, entry = hit
        if entry.file is None:
            return (0, 0)
        if sort_type == _BY_IMPORT:
            imported_at = entry.file.imported_at
            return (1, int(imported_at) if whole_seconds else imported_at)
        if sort_type == _BY_HASH:
            return (1, sha256)
        return (1, _SORTS[sort_type](entry.file, entry) if sort_type in _SORTS else 0)

    hits = sorted(hits, key=lambda hit: hit[1].file_id)
    return sorted(hits, key=key, reverse=not ascending)
