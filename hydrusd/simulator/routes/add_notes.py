"""Notes: named texts on one file."""

from __future__ import annotations

from hydrusd.simulator._answers import EMPTY, Answer
from hydrusd.simulator._arguments import texts_of, wrong_item
from hydrusd.simulator._errors import bad_request
from hydrusd.simulator._notes import CONFLICTS, RENAME, merged, put
from hydrusd.simulator._routing import Call, Route

EDIT_NOTES = frozenset({7})


async def _set_notes(call: Call) -> Answer:
    arguments, store = call.arguments, call.client.store
    sha256 = _only_file(call)
    notes = arguments.members("notes")
    for text in notes.values():
        if not isinstance(text, str):
            raise wrong_item('The Object parameter "notes" held a value', text, str)
    merges = call.era.has("note_merge") and arguments.flag("merge_cleverly", default=False)
    extend, conflict = True, RENAME
    if merges:
        extend = arguments.flag("extend_existing_note_if_possible", default=True)
        conflict = arguments.number("conflict_resolution", RENAME)
        if conflict not in CONFLICTS:
            raise bad_request("The given conflict resolution type was not in the allowed range!")
    await call.client.turn()
    with store.writing():
        entry = store.entries.get(sha256)
        if merges:
            existing = entry.notes if entry else {}
            notes = merged(existing, notes, conflict=conflict, extend=extend)
        if notes:
            put(store.touch(sha256).notes, notes)
    return call.json({"notes": notes}) if call.era.has("notes_answered") else EMPTY


async def _delete_notes(call: Call) -> Answer:
    store = call.client.store
    sha256 = _only_file(call)
    names = texts_of("note_names", call.arguments.items("note_names"))
    await call.client.turn()
    with store.writing():
        if sha256 in store.entries:
            put(store.touch(sha256).notes, dict.fromkeys(names, ""))
    return EMPTY


def _only_file(call: Call) -> str:
    hashes = call.hashes()
    if len(hashes) != 1:
        raise bad_request("There was no file identifier or hash given!")
    return hashes[0]


ROUTES = (
    Route(
        method="POST",
        path="/add_notes/set_notes",
        permissions=EDIT_NOTES,
        handler=_set_notes,
        since=27,
    ),
    Route(
        method="POST",
        path="/add_notes/delete_notes",
        permissions=EDIT_NOTES,
        handler=_delete_notes,
        since=27,
    ),
)
