"""Finding files: plain tags, wildcards, OR groups and a few system predicates.

The real client parses far more predicates. These are the ones hydrusd sends; the
others are refused in the real client's words for nonsense, so that a test notices.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

from hydrusd.simulator._arguments import wrong_type
from hydrusd.simulator._entries import CURRENT, PENDING, Entry, StoredFile
from hydrusd.simulator._eras import Era
from hydrusd.simulator._errors import Refusal, bad_request
from hydrusd.simulator._services import (
    ALL_KNOWN_FILES,
    ALL_LOCAL_MEDIA,
    FILE_STORAGE,
    LOCAL_FILES,
    TRASH,
)
from hydrusd.simulator._tags import clean_tag

Test = Callable[[str, Entry], bool]

_HASHES = re.compile(
    r"hash(?:es)?\s*(?:\(sha256\))?\s*(?:=|is)?\s*((?:[0-9a-f]{64}[\s,]*)+)(?:sha256)?\Z"
)
_LIMIT = re.compile(r"limit\s*(?:=|is)?\s*(\d+)\Z")
_NUMBER_OF_TAGS = re.compile(r"(?:number of|num) tags\s*([<>=])\s*(\d+)\Z")

_SORTS: dict[int, Callable[[StoredFile, int], Any]] = {
    0: lambda file, _: file.size,
    1: lambda file, _: file.duration_ms or 0,
    3: lambda file, _: file.filetype_enum,
    5: lambda file, _: file.width,
    6: lambda file, _: file.height,
    7: lambda file, _: file.width / file.height,
    8: lambda file, _: file.width * file.height,
    9: lambda _, tags: tags,
    14: lambda file, _: file.modified_at,
    16: lambda file, _: file.num_frames or 0,
}
_HIGHEST_SORT = 27


@dataclass(slots=True)
class Query:
    """A parsed search. ``only``: the hashes it can find at all, if the search names them."""

    tests: list[Test] = field(default_factory=list)
    only: set[str] | None = None
    limit: int | None = None


class Parser:
    """Turns the texts of a search into a query over certain tag services."""

    def __init__(
        self, era: Era, tag_services: frozenset[str], *, current: bool, pending: bool
    ) -> None:
        self._era = era
        self._tag_services = tag_services
        self._statuses = [CURRENT] * current + [PENDING] * pending

    def parse(self, texts: Iterable[object]) -> Query:
        """Give the query, or refuse what cannot be parsed."""
        query = Query()
        for text in texts:
            if isinstance(text, list) and self._era.has("or_search"):
                query.tests.append(self._any_of(text))
            elif not isinstance(text, str):
                raise wrong_type("tags", text, str)
            else:
                self._add(query, text)
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
        bare = text.strip().lower()
        if bare.startswith("system:") and self._era.has("system_predicates"):
            self._add_system(query, text, bare.removeprefix("system:").strip())
            return
        negative = bare.startswith("-")
        tag_test = self._tag_test(clean_tag(text))
        query.tests.append(
            (lambda sha256, entry: not tag_test(sha256, entry)) if negative else tag_test
        )

    def _add_system(self, query: Query, text: str, predicate: str) -> None:
        if match := _HASHES.match(predicate):
            named = set(re.findall(r"[0-9a-f]{64}", match[1]))
            query.only = named if query.only is None else query.only & named
        elif match := _LIMIT.match(predicate):
            query.limit = int(match[1])
        elif match := _NUMBER_OF_TAGS.match(predicate):
            query.tests.append(self._count_test(match[1], int(match[2])))
        elif predicate == "inbox":
            query.tests.append(lambda _, entry: entry.file is not None and entry.file.inbox)
        elif predicate == "archive":
            query.tests.append(lambda _, entry: entry.file is not None and not entry.file.inbox)
        elif predicate in {"untagged", "no tags"}:
            query.tests.append(self._count_test("=", 0))
        elif predicate in {"has tags", "tags"}:
            query.tests.append(self._count_test(">", 0))
        elif predicate != "everything":
            raise bad_request(f'Could not parse system predicate "{text}"!')

    def _tags(self, entry: Entry) -> set[str]:
        found: set[str] = set()
        for key, statuses in entry.tags.items():
            if key in self._tag_services:
                for status in self._statuses:
                    found |= statuses.get(status, set())
        return found

    def _tag_test(self, tag: str) -> Test:
        if "*" not in tag or not self._era.has("search_wildcards"):
            return lambda _, entry: self._has_tag(entry, tag)
        pattern = re.compile(".*".join(re.escape(part) for part in tag.split("*")) + r"\Z")
        return lambda _, entry: any(pattern.match(found) for found in self._tags(entry))

    def _has_tag(self, entry: Entry, tag: str) -> bool:
        return any(
            tag in statuses.get(status, ())
            for key, statuses in entry.tags.items()
            if key in self._tag_services
            for status in self._statuses
        )

    def _count_test(self, sign: str, number: int) -> Test:
        def test(_: str, entry: Entry) -> bool:
            count = len(self._tags(entry))
            return {"<": count < number, ">": count > number, "=": count == number}[sign]

        return test


def domain_test(key: str, kind: int | None, *, deleted: bool = False) -> Test:
    """Say how to tell whether a file is in a file service, or was deleted from it."""

    def in_domain(_: str, entry: Entry) -> bool:
        file = entry.file
        if deleted:
            return file is not None and key in file.removals
        if kind == ALL_KNOWN_FILES:
            return True
        if file is None:
            return False
        return {
            LOCAL_FILES: key in file.domains,
            ALL_LOCAL_MEDIA: file.is_current,
            FILE_STORAGE: file.on_disk,
            TRASH: file.is_trashed,
        }.get(kind if kind is not None else -1, False)

    return in_domain


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


def sort_hits(
    hits: list[tuple[str, Entry]], sort_type: int, *, ascending: bool, whole_seconds: bool
) -> list[tuple[str, Entry]]:
    """Put hits in order. Files never imported come first, ties in the order of their ids.

    Sorts by what the simulator does not keep (views, ratios of colours, …) leave that order.
    """
    if not 0 <= sort_type <= _HIGHEST_SORT:
        raise Refusal(400, f'Sorry, did not understand the sort type "{sort_type}"!')

    def key(hit: tuple[str, Entry]) -> Any:
        sha256, entry = hit
        if entry.file is None:
            return (0, 0)
        if sort_type == 2:
            imported_at = entry.file.imported_at
            return (1, int(imported_at) if whole_seconds else imported_at)
        if sort_type == 20:
            return (1, sha256)
        if sort_type not in _SORTS:
            return (1, 0)
        tags = len({t for s in entry.tags.values() for t in s.get(CURRENT, ())})
        return (1, _SORTS[sort_type](entry.file, tags))

    hits = sorted(hits, key=lambda hit: hit[1].file_id)
    return sorted(hits, key=key, reverse=not ascending)
