"""When a file was made, came, went and was looked at.

Only what a web site told of its modification (type 0) may be added and taken away;
every other time must be there already, on each file, to be set to another.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass, replace

from hydrusd.simulator._answers import EMPTY, Answer
from hydrusd.simulator._entries import Entry, Removal, StoredFile, Viewing
from hydrusd.simulator._errors import Refusal, bad_request
from hydrusd.simulator._routing import Call, Route
from hydrusd.simulator._services import (
    ALL_LOCAL_MEDIA,
    ALL_LOCAL_MEDIA_KEY,
    FILE_REPOSITORY,
    FILE_STORAGE,
    FILE_STORAGE_KEY,
    LOCAL_FILES,
    TRASH,
    UPDATES,
)

EDIT_TIMES = frozenset({11})

_SITE, _DISK, _IMPORTED, _DELETED, _ARCHIVED, _LAST_VIEWED, _IMPORTED_BEFORE = 0, 1, 3, 4, 5, 6, 7
_LOCAL = "local"
_CANVASES = {0: "media viewer", 1: "preview viewer", 4: "client api viewer"}
_DATED_SERVICES = frozenset(
    {FILE_REPOSITORY, LOCAL_FILES, TRASH, FILE_STORAGE, UPDATES, ALL_LOCAL_MEDIA}
)

Change = Callable[[Entry, float], Entry | None]
"""Gives the entry with another time, None if there is none to set."""


@dataclass(frozen=True, slots=True)
class _Time:
    """One kind of time: what it is called, and how it is set."""

    name: str
    change: Change


def _on_file(change: Callable[[StoredFile, float], StoredFile | None]) -> Change:
    def changed(entry: Entry, when: float) -> Entry | None:
        file = change(entry.file, when) if entry.file else None
        return replace(entry, file=file) if file else None

    return changed


def _imported(key: str) -> Change:
    def change(file: StoredFile, when: float) -> StoredFile | None:
        if key == FILE_STORAGE_KEY and file.on_disk:
            return replace(file, stored_at=when)
        if key == ALL_LOCAL_MEDIA_KEY and file.is_current:
            return replace(file, imported_at=when)
        if key in file.domains:
            return replace(file, domains={**file.domains, key: when})
        return None

    return _on_file(change)


def _removed(key: str, member: str) -> Change:
    def change(file: StoredFile, when: float) -> StoredFile | None:
        if key not in file.removals:
            return None
        removal: Removal = file.removals[key]._replace(**{member: when})
        return replace(file, removals={**file.removals, key: removal})

    return _on_file(change)


def _last_viewed(canvas: int) -> Change:
    def change(entry: Entry, when: float) -> Entry | None:
        viewing = entry.viewings.get(canvas, Viewing())
        if viewing.last is None:
            return None
        return replace(entry, viewings={**entry.viewings, canvas: viewing._replace(last=when)})

    return change


async def _set_time(call: Call) -> Answer:
    arguments, store = call.arguments, call.client.store
    hashes = call.hashes()
    when = _timestamp(call)
    if not (arguments.sent("timestamp") or arguments.sent("timestamp_ms")):
        raise bad_request(
            'Sorry, you have to specify a timestamp, even if you want to send "null"!'
        )
    number = arguments.number("timestamp_type")
    site = ""
    if number == _SITE and (site := arguments.text("domain")) != _LOCAL:
        await call.client.turn()
        with store.writing():
            for sha256 in hashes:
                times = store.touch(sha256).site_times
                if when is None:
                    times.pop(site, None)
                else:
                    times[site] = when
        return EMPTY
    kind = _kind_of_time(call, _DISK if site == _LOCAL else number)
    if when is None:
        raise bad_request(
            "Sorry, you can only delete web domain timestamps (type 0) for now! "
            f"You sent ({number})!"
        )
    await call.client.turn()
    with store.writing():
        changed = {
            sha256: _changed(store.entries.get(sha256), kind, when, sha256) for sha256 in hashes
        }
        for sha256, new in changed.items():
            entry = store.touch(sha256)
            entry.file, entry.viewings = new.file, new.viewings
    return EMPTY


def _changed(entry: Entry | None, kind: _Time, when: float, sha256: str) -> Entry:
    changed = kind.change(entry, when) if entry else None
    if changed is None:
        raise bad_request(
            "Sorry, if the timestamp type is other than 0 (web domain), then you cannot add new "
            "timestamps, only edit existing ones. I did not see the given timestamp type "
            f"({kind.name}) on one of the files you sent, specifically: {sha256}"
        )
    return changed


def _kind_of_time(call: Call, number: int) -> _Time:
    match number:
        case 1:
            return _Time(
                "file modified time", _on_file(lambda file, when: replace(file, modified_at=when))
            )
        case 5:
            return _Time(
                "archived time",
                _on_file(
                    lambda file, when: (
                        None if file.archived_at is None else replace(file, archived_at=when)
                    )
                ),
            )
        case 6:
            canvas = _canvas(call, 0)
            return _Time(f"{_CANVASES[canvas]} last viewed time", _last_viewed(canvas))
        case 3 | 4 | 7:
            key = call.arguments.text("file_service_key")
            service = call.client.services.by_key.get(key)
            if service is None:
                raise bad_request("Sorry, do not know that service!")
            if service.type not in _DATED_SERVICES:
                raise bad_request("Sorry, you have to specify a file service service key!")
            name, change = {
                _IMPORTED: ("imported time", _imported(key)),
                _DELETED: ("deleted time", _removed(key, "time_deleted")),
                _IMPORTED_BEFORE: (
                    "previous imported time (for undelete)",
                    _removed(key, "time_imported"),
                ),
            }[number]
            return _Time(f'"{service.name}" {name}', change)
        case _:
            raise bad_request(f'Sorry, do not understand that timestamp type "{number}"!')


def _timestamp(call: Call) -> float | None:
    arguments = call.arguments
    if arguments.sent("timestamp"):
        # Milliseconds are all that a client keeps.
        return (
            round(float(arguments.fraction("timestamp")), 3) if "timestamp" in arguments else None
        )
    return arguments.number("timestamp_ms") / 1000 if "timestamp_ms" in arguments else None


def _canvas(call: Call, default: int | None = None) -> int:
    canvas = call.arguments.number("canvas_type", default)
    if canvas not in _CANVASES:
        raise bad_request("Sorry, the canvas type needs to be either 0, 1, or 4!")
    return canvas


async def _increment_file_viewtime(call: Call) -> Answer:
    return await _edit_viewings(call, views_default=1, add=True)


async def _set_file_viewtime(call: Call) -> Answer:
    return await _edit_viewings(call, views_default=None, add=False)


async def _edit_viewings(call: Call, *, views_default: int | None, add: bool) -> Answer:
    arguments, store = call.arguments, call.client.store
    if not call.client.config.viewing_statistics:
        raise Refusal(403, "Sorry, the user has disabled file viewing statistics on this client!")
    canvas = _canvas(call)
    given = arguments.sent("timestamp") or arguments.sent("timestamp_ms")
    last = _timestamp(call) if given or not add else round(time.time(), 3)
    views, seconds = arguments.number("views", views_default), arguments.fraction("viewtime")
    for name, number in (("Views", views), ("Viewtime", seconds)):
        if number < 0:
            raise bad_request(f"{name} cannot be a negative number!")
    hashes = call.hashes()
    seconds = int(seconds * 1000) / 1000
    await call.client.turn()
    with store.writing():
        for sha256 in hashes:
            entry = store.touch(sha256)
            before = entry.viewings.get(canvas, Viewing())
            if add:
                moments = [moment for moment in (before.last, last) if moment is not None]
                viewing = Viewing(
                    before.views + views, before.seconds + seconds, max(moments, default=None)
                )
            else:
                viewing = Viewing(views, seconds, before.last if last is None else last)
            entry.viewings[canvas] = viewing
    return EMPTY


ROUTES = (
    Route(
        method="POST",
        path="/edit_times/set_time",
        permissions=EDIT_TIMES,
        handler=_set_time,
        since=59,
    ),
    Route(
        method="POST",
        path="/edit_times/increment_file_viewtime",
        permissions=EDIT_TIMES,
        handler=_increment_file_viewtime,
        since=78,
    ),
    Route(
        method="POST",
        path="/edit_times/set_file_viewtime",
        permissions=EDIT_TIMES,
        handler=_set_file_viewtime,
        since=78,
    ),
)
