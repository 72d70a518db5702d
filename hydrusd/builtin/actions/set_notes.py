"""Writes notes to the files that the job is about."""

from __future__ import annotations

from typing import ClassVar, Literal, Self

from pydantic import Field, model_validator

from hydrusd.builtin.actions._noting import NoteStep, NotesWanted
from hydrusd.plugin import HydrusClient, NoteConflict, NoteMerge

_MERGING_SINCE_API = 38


class SetNotes(NoteStep):
    """Write notes to the file.

    A note takes the place of one with the same name. With `merge: true` Hydrus brings them
    together instead, as it does for downloads: a text that the file has already, under
    whatever name, is not written again; a longer one takes the place of the shorter that it
    holds (`extend`); and `conflict` says what becomes of one whose name is taken.

    Nothing is written that is there already, so a repeat adds nothing. A text that is empty
    is left out; `delete_notes` deletes.
    """

    action: ClassVar[str] = "set_notes"
    verb: ClassVar[str] = "write notes to"

    notes: dict[str, str] = Field(description="the notes: name and text", min_length=1)
    merge: bool = Field(default=False, description="bring together with the notes that are there")
    extend: bool = Field(
        default=True,
        description="with `merge`: a longer text takes the place of the shorter that it holds",
    )
    conflict: Literal["replace", "ignore", "append", "rename"] = Field(
        default="rename",
        description=(
            "with `merge`, where another text has the name: `replace` it, `ignore` the new one, "
            "`append` it, or `rename` it, as in `name (1)`"
        ),
    )

    @model_validator(mode="after")
    def _merges_only_if_told(self) -> Self:
        idle = {"extend", "conflict"} & self.model_fields_set
        if idle and not self.merge:
            raise ValueError(f"{' and '.join(sorted(idle))} mean something with 'merge: true' only")
        return self

    @property
    def needs_api(self) -> int:
        """Merging is younger than notes."""
        return _MERGING_SINCE_API if self.merge else self.since_api

    def wish(self, client: HydrusClient) -> NotesWanted:
        """Leave out texts that are empty."""
        del client
        merge = NoteMerge(self.extend, NoteConflict[self.conflict.upper()]) if self.merge else None
        notes = ((name, text) for name, text in self.notes.items() if text.strip())
        return NotesWanted(tuple(notes), merge)
