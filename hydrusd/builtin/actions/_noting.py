"""Changing notes of files: what both actions on notes share.

Hydrus takes the notes of one file a request, and tidies their white space. Compared here is
therefore what is left of a text without it: a note that was set before is found again, which
is what keeps merging, of itself no safe thing to repeat, from adding the same text twice.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, ClassVar

from hydrusd.builtin.actions._editing import FileEdit, Wish
from hydrusd.builtin.actions._taking_back import NOTED, Change, count_of
from hydrusd.plugin import FileMetadata, HydrusClient, NoteConflict, NoteMerge, Permission


class NoteStep(FileEdit):
    """What actions share that change notes."""

    permissions: ClassVar[frozenset[Permission]] = frozenset({Permission.EDIT_NOTES})
    since_api: ClassVar[int] = 27

    @classmethod
    async def look(cls, client: HydrusClient, hashes: Sequence[str]) -> Mapping[str, FileMetadata]:
        """Give the files with their notes."""
        return {row.hash: row for row in await client.file_metadata(hashes, notes=True)}

    @classmethod
    def taking_back(
        cls, client: HydrusClient, file_hash: str, taken: Mapping[str, Any], state: FileMetadata
    ) -> tuple[NotesBack | None, Sequence[str]]:
        """Write what was there before, where what was written is still there."""
        del client
        back: list[tuple[str, str | None]] = []
        alone: list[str] = []
        for name, change in taken.get("changed", {}).items():
            now, after = state.notes.get(name), change["after"]
            if (now is None) == (after is None) and _bare(now or "") == _bare(after or ""):
                back.append((name, change["before"]))
            else:
                alone.append(f"the note {name!r} has changed since")
        return (NotesBack(file_hash, tuple(back)) if back else None), alone


@dataclass(frozen=True, slots=True)
class NewNotes(Change):
    """Notes that one file lacks."""

    file_hash: str
    notes: tuple[tuple[str, str], ...]
    merge: NoteMerge | None

    async def send(self, client: HydrusClient, hashes: Sequence[str]) -> Mapping[str, str]:
        """Set them; give those that Hydrus really set, under the names that it gave them."""
        (file_hash,) = hashes
        return await client.set_notes(file_hash, dict(self.notes), merge=self.merge)

    def words(self, answer: object = None) -> str:
        """Count them."""
        number = len(answer) if isinstance(answer, Mapping) else len(self.notes)
        return f"{count_of(number, 'note')} set"

    def intended(self, state: FileMetadata) -> Mapping[str, object]:
        """Give them; where merging can give them other names, the notes as they are."""
        if self.merge is not None:
            return {NOTED: dict(state.notes)}
        return self.kept(state, dict(self.notes))

    def kept(self, state: FileMetadata, answer: object) -> Mapping[str, object]:
        """Give each note as it was and as it is."""
        assert isinstance(answer, Mapping)
        return {"changed": {name: _was_is(state, name, text) for name, text in answer.items()}}


@dataclass(frozen=True, slots=True)
class NotesBack(Change):
    """Notes of one file as they were; None for those that were not there."""

    file_hash: str
    notes: tuple[tuple[str, str | None], ...]

    async def send(self, client: HydrusClient, hashes: Sequence[str]) -> None:
        """Set some and delete the others."""
        (file_hash,) = hashes
        if there := {name: text for name, text in self.notes if text is not None}:
            await client.set_notes(file_hash, there)
        if gone := [name for name, text in self.notes if text is None]:
            await client.delete_notes(file_hash, gone)

    def words(self, answer: object = None) -> str:
        """Count them."""
        del answer
        gone = sum(text is None for _, text in self.notes)
        counts = ((len(self.notes) - gone, "as before"), (gone, "deleted"))
        return ", ".join(f"{count_of(number, 'note')} {what}" for number, what in counts if number)

    def kept(self, state: FileMetadata, answer: object) -> Mapping[str, object]:
        """Give each note as it was and as it is."""
        del answer
        return {"changed": {name: _was_is(state, name, text) for name, text in self.notes}}


@dataclass(frozen=True, slots=True)
class NotesGone(Change):
    """Notes that one file has no more."""

    file_hash: str
    names: tuple[str, ...]

    async def send(self, client: HydrusClient, hashes: Sequence[str]) -> None:
        """Delete them."""
        (file_hash,) = hashes
        await client.delete_notes(file_hash, self.names)

    def words(self, answer: object = None) -> str:
        """Count them."""
        del answer
        return f"{count_of(len(self.names), 'note')} deleted"

    def kept(self, state: FileMetadata, answer: object) -> Mapping[str, object]:
        """Give what they said."""
        del answer
        return {"changed": {name: _was_is(state, name, None) for name in self.names}}


@dataclass(frozen=True, slots=True)
class NotesWanted(Wish):
    """Notes that each file is to have, in place of others of the name or beside them."""

    nothing: ClassVar[str] = "the notes are so already"

    notes: tuple[tuple[str, str], ...]
    merge: NoteMerge | None

    def change(self, file_hash: str, state: FileMetadata | None) -> NewNotes | None:
        """Leave out what is there."""
        has = {} if state is None else state.notes
        lacking = tuple(
            (name, text) for name, text in self.notes if self._is_lacking(has, name, text)
        )
        return NewNotes(file_hash, lacking, self.merge) if lacking else None

    def recognised(self, noted: Mapping[str, Any], state: FileMetadata) -> Mapping[str, object]:
        """Give the notes that hold what was to be written, and did not before."""
        before = noted.get(NOTED)
        if before is None:
            return {}
        texts = [_bare(text) for _, text in self.notes]
        ours = {
            name: {"before": before.get(name), "after": text}
            for name, text in state.notes.items()
            if _bare(before.get(name) or "") != _bare(text)
            and any(mine in _bare(text) for mine in texts)
        }
        return {"changed": ours} if ours else {}

    def diff(self, state: FileMetadata) -> Sequence[str]:
        """Show each note by its name."""
        return [
            f"{'+' if self._is_lacking(state.notes, name, text) else '='} note {name}"
            for name, text in self.notes
        ]

    def _is_lacking(self, has: Mapping[str, str], name: str, text: str) -> bool:
        there = {other: _bare(old) for other, old in has.items()}
        new = _bare(text)
        if self.merge is None:
            return there.get(name) != new
        if new in there.values():
            return False
        if name not in there:
            return True
        if self.merge.conflict is NoteConflict.APPEND:
            return new not in there[name]
        if self.merge.conflict is NoteConflict.IGNORE:
            # Hydrus looks for a note to extend under the names that it makes of this one, too.
            mine = [old for other, old in there.items() if other.startswith(name)]
            return self.merge.extend and any(old in new for old in mine)
        return True


@dataclass(frozen=True, slots=True)
class NotesUnwanted(Wish):
    """Notes that no file is to have."""

    nothing: ClassVar[str] = "there is no such note"

    names: tuple[str, ...]

    def change(self, file_hash: str, state: FileMetadata | None) -> NotesGone | None:
        """Leave out what is not there."""
        there = tuple(name for name in self.names if state is None or name in state.notes)
        return NotesGone(file_hash, there) if there else None

    def diff(self, state: FileMetadata) -> Sequence[str]:
        """Show each note that is there, by its name."""
        return [f"- note {name}" for name in self.names if name in state.notes]


def _bare(text: str) -> str:
    return " ".join(text.split())


def _was_is(state: FileMetadata, name: str, text: str | None) -> dict[str, str | None]:
    return {"before": state.notes.get(name), "after": text}
