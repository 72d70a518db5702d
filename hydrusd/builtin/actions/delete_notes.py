"""Deletes notes of the files that the job is about."""

from __future__ import annotations

from typing import Annotated, ClassVar

from pydantic import BeforeValidator, Field

from hydrusd.builtin.actions._changing import as_list
from hydrusd.builtin.actions._noting import NoteStep, NotesUnwanted
from hydrusd.plugin import OR_ONE, HydrusClient


class DeleteNotes(NoteStep):
    """Delete notes of the file, by their names. The receipt keeps what they said."""

    action: ClassVar[str] = "delete_notes"
    verb: ClassVar[str] = "delete notes of"

    names: Annotated[tuple[str, ...], BeforeValidator(as_list), OR_ONE] = Field(
        description="a name, or a list of names", min_length=1
    )

    def wish(self, client: HydrusClient) -> NotesUnwanted:
        """Name them once each."""
        del client
        return NotesUnwanted(tuple(dict.fromkeys(self.names)))
