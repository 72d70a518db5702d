"""What a client copies between two duplicates, with the options that it comes with (v682)."""

from __future__ import annotations

from dataclasses import replace

from hydrusd.simulator._client import Client
from hydrusd.simulator._entries import CURRENT, DELETED, Entry
from hydrusd.simulator._notes import merged, put
from hydrusd.simulator._relationships import BETTER, SAME_QUALITY
from hydrusd.simulator._services import LOCAL_TAGS, RATING_TYPES


def merge_content(client: Client, kind: int, one: str, other: str) -> None:
    """Bring the content of two files together. Only inside ``writing``.

    A better file takes over the other one's tags and ratings and a copy of its URLs and notes;
    two of the same quality share all that. If one is archived, both are.
    """
    if kind not in {BETTER, SAME_QUALITY}:
        return
    ours, theirs = client.store.touch(one), client.store.touch(other)
    for key, service in client.services.by_key.items():
        if service.type == LOCAL_TAGS:
            _merge_tags(ours, theirs, key, moves=kind == BETTER)
        elif service.type in RATING_TYPES:
            _merge_ratings(ours, theirs, key, moves=kind == BETTER)
    targets = [(ours, theirs)] if kind == BETTER else [(ours, theirs), (theirs, ours)]
    for target, source in targets:
        target.known_urls = tuple(dict.fromkeys([*target.known_urls, *source.known_urls]))
        put(target.notes, merged(target.notes, source.notes, extend=True))
    _share_archiving(ours, theirs)


def _merge_tags(ours: Entry, theirs: Entry, key: str, *, moves: bool) -> None:
    mine, others = ours.statuses(key), theirs.statuses(key)
    tags = others.get(CURRENT, set()) | (set() if moves else mine.get(CURRENT, set()))
    for statuses in (mine,) if moves else (mine, others):
        # What the user took off the file on purpose does not come back by a merge.
        new = tags - statuses.get(DELETED, set())
        statuses[CURRENT] = statuses.get(CURRENT, set()) | new
    if moves and tags:
        others[CURRENT] = set()
        others[DELETED] = others.get(DELETED, set()) | tags


def _merge_ratings(ours: Entry, theirs: Entry, key: str, *, moves: bool) -> None:
    both = [entry.ratings[key] for entry in (ours, theirs) if key in entry.ratings]
    if not both:
        return
    ours.ratings[key] = max(both)
    if moves:
        theirs.ratings.pop(key, None)
    else:
        theirs.ratings[key] = max(both)


def _share_archiving(ours: Entry, theirs: Entry) -> None:
    times = [
        entry.file.archived_at
        for entry in (ours, theirs)
        if entry.file and entry.file.archived_at is not None
    ]
    for entry in (ours, theirs):
        if times and entry.file and entry.file.inbox:
            entry.file = replace(entry.file, inbox=False, archived_at=max(times))
