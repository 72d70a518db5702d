"""Notes: named texts on one file."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from enum import IntEnum

from hydrusd.errors import RequestRejected

from ._calls import Calls, FileReference, Route
from ._http import Request
from ._models import NotesAnswer
from ._permissions import Permission

SET_NOTES = Route("POST", "/add_notes/set_notes", Permission.EDIT_NOTES, since_api=27)
DELETE_NOTES = Route("POST", "/add_notes/delete_notes", Permission.EDIT_NOTES, since_api=27)

_MERGING_SINCE_API = 38


class NoteConflict(IntEnum):
    """What becomes of a note whose name is taken by another text. The protocol's values."""

    REPLACE = 0
    IGNORE = 1
    APPEND = 2
    RENAME = 3


@dataclass(frozen=True, slots=True)
class NoteMerge:
    """How new notes are brought together with those which a file has.

    ``extend`` puts a longer text in the place of a note that it begins with; what conflicts
    even so is treated as ``conflict`` says.
    """

    extend: bool = True
    conflict: NoteConflict = NoteConflict.RENAME


class NoteRoutes(Calls):
    """Routes about notes; all need "edit file notes". A file is a hash, or an id from API 29."""

    async def set_notes(
        self, file: FileReference, notes: Mapping[str, str], *, merge: NoteMerge | None = None
    ) -> dict[str, str]:
        """Set notes of one file, name → text, and give those that were really set.

        Without ``merge``, a note replaces what has its name: safe to repeat. With it (API ≥
        38) the client decides, by what the file has: repeated, it may append once more.
        Texts come back as the client keeps them. Before API 38 it does not say, and the answer
        is what was asked.

        Needs Client API ≥ 27.
        """
        self._require(SET_NOTES)
        content: dict[str, object] = {"notes": dict(notes)}
        if merge is not None:
            self._require_api(_MERGING_SINCE_API, "merging notes")
            content |= {
                "merge_cleverly": True,
                "extend_existing_note_if_possible": merge.extend,
                "conflict_resolution": merge.conflict.value,
            }
        named = self._one_file(SET_NOTES, file)
        if not notes:
            return {}
        answer = await self._tell(SET_NOTES, {**named, **content})
        if not answer.body:
            return dict(notes)
        return self._parsed(NotesAnswer, Request(SET_NOTES.method, SET_NOTES.path), answer).notes

    async def delete_notes(self, file: FileReference, names: Sequence[str]) -> None:
        """Delete notes of one file by name; names that it does not have are passed over.

        Safe to repeat. Needs Client API ≥ 27.
        """
        self._require(DELETE_NOTES)
        if isinstance(names, str):
            raise RequestRejected("one name was given where a list of names is due")
        named = self._one_file(DELETE_NOTES, file)
        if names:
            await self._tell(DELETE_NOTES, {**named, "note_names": list(names)})

    def _one_file(self, route: Route, file: FileReference) -> dict[str, list[FileReference]]:
        (named,) = self._requests_for([file], f"{route.method} {route.path}")
        return named
