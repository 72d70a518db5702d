"""How a client brings new notes in beside those that a file has already."""

from __future__ import annotations

from collections.abc import Mapping
from itertools import count

REPLACE = 0
IGNORE = 1
APPEND = 2
RENAME = 3
CONFLICTS = frozenset({REPLACE, IGNORE, APPEND, RENAME})


def merged(
    existing: Mapping[str, str], new: Mapping[str, str], *, conflict: int = RENAME, extend: bool
) -> dict[str, str]:
    """Give the notes to set: none whose text is there already, under whatever name.

    ``extend``: a longer text takes the place of the shorter one that it holds.
    """
    notes = dict(existing)
    to_set: dict[str, str] = {}
    for name, text in sorted(new.items()):
        settled = _settled(notes, name, text, conflict=conflict, extend=extend)
        if settled:
            to_set |= settled
            notes |= settled
    return to_set


def _settled(
    notes: Mapping[str, str], name: str, text: str, *, conflict: int, extend: bool
) -> dict[str, str]:
    """Give what to set for one new note: one name and text, or nothing."""
    if text in notes.values():
        return {}
    if name not in notes or (extend and _extends(text, notes[name])):
        return {name: text}
    # Renamed once, a note is found again under its new name and extended there.
    renamed = sorted(other for other in notes if other != name and other.startswith(name))
    if extend and (shorter := [other for other in renamed if _extends(text, notes[other])]):
        return {shorter[0]: text}
    if conflict == REPLACE:
        return {name: text}
    if conflict == RENAME:
        return {next(n for n in (f"{name} ({i})" for i in count(1)) if n not in notes): text}
    if conflict == IGNORE or _extends(notes[name], text):
        return {}
    return {name: f"{notes[name]}\n\n{text}"}


def _extends(longer: str, shorter: str) -> bool:
    return len(longer) > len(shorter) and shorter in longer


def put(notes: dict[str, str], new: Mapping[str, str]) -> None:
    """Write notes; an empty text takes its note away."""
    for name, text in new.items():
        if text:
            notes[name] = text
        else:
            notes.pop(name, None)
