"""Which files are duplicates, alternates or no relatives of each other, as a client keeps it.

Files that are duplicates form a *group* with one king, its best file. Groups that are
alternates of each other form a *family*. Not being related is said of two families, a
potential duplicate of two groups. Every file has a group of its own to begin with, which
is not written down before something is said about it.

The tables are plain JSON, replaced and never changed in place: the store keeps them as a
document that takes part in its commits.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from typing import Any, NamedTuple

POTENTIAL = 0
NOT_RELATED = 1
SAME_QUALITY = 2
ALTERNATE = 3
BETTER = 4
WORSE = 7
DUPLICATE = 8

DOCUMENT = "file relationships"

Tables = dict[str, Any]


class Potential(NamedTuple):
    """Two files, the kings of their groups, that may be duplicates."""

    one: str
    other: str
    distance: int
    same_pixels: bool


class Relationships:
    """The relationships of all files; every change makes new tables (``tables``)."""

    def __init__(self, tables: Tables | None) -> None:
        tables = tables or {}
        self._group_of: dict[str, str] = dict(tables.get("group_of", {}))
        self._members: dict[str, list[str]] = dict(tables.get("members", {}))
        self._kings: dict[str, str] = dict(tables.get("kings", {}))
        self._family_of: dict[str, str] = dict(tables.get("family_of", {}))
        self._strangers: list[list[str]] = list(tables.get("strangers", []))
        self._potentials: list[list[Any]] = list(tables.get("potentials", []))
        self._made: int = tables.get("made", 0)

    @property
    def tables(self) -> Tables:
        """All of this as JSON can hold it."""
        return {
            "group_of": self._group_of,
            "members": self._members,
            "kings": self._kings,
            "family_of": self._family_of,
            "strangers": self._strangers,
            "potentials": self._potentials,
            "made": self._made,
        }

    # Looking

    def king(self, sha256: str) -> str:
        """Give the king of a file's group; the file itself if it is alone."""
        group = self._group_of.get(sha256)
        return self._kings[group] if group else sha256

    def relatives(self, sha256: str, kind: int) -> list[str]:
        """Give a file's duplicates, or the kings of the groups it has that relationship with."""
        group = self._group_of.get(sha256)
        if group is None:
            return []
        if kind == DUPLICATE:
            return [member for member in self._members[group] if member != sha256]
        if kind == POTENTIAL:
            groups = {g for row in self._potentials if group in row[:2] for g in row[:2]}
        elif kind == ALTERNATE:
            groups = set(self._family(self._family_of[group]))
        else:
            ours = self._family_of[group]
            families = {f for pair in self._strangers if ours in pair for f in pair} - {ours}
            groups = {g for family in families for g in self._family(family)}
        return [self._kings[other] for other in groups - {group}]

    def potentials(self) -> Iterator[Potential]:
        """Give all pairs of potential duplicates."""
        for one, other, distance, same_pixels in self._potentials:
            yield Potential(self._kings[one], self._kings[other], distance, same_pixels)

    # Changing

    def add_potential(self, one: str, other: str, distance: int, *, same_pixels: bool) -> None:
        """Say that two files may be duplicates, unless it is known what they are."""
        ours, theirs = self._group(one), self._group(other)
        families = {self._family_of[ours], self._family_of[theirs]}
        if ours == theirs or len(families) == 1 or self._are_strangers(families):
            return
        self._drop_potentials(lambda row: set(row[:2]) == {ours, theirs})
        self._potentials.append([ours, theirs, distance, same_pixels])

    def remove_potentials(self, hashes: Iterable[str]) -> None:
        """Forget all potential duplicates of files."""
        groups = {group for sha256 in hashes if (group := self._group_of.get(sha256))}
        self._drop_potentials(lambda row: bool(groups & set(row[:2])))

    def make_king(self, sha256: str) -> None:
        """Make a file the best one of its group."""
        self._kings[self._group(sha256)] = sha256

    def relate(self, kind: int, one: str, other: str) -> None:
        """Say what two files are to each other; ``BETTER`` says that ``one`` is."""
        ours, theirs = self._group(one), self._group(other)
        self._drop_potentials(lambda row: set(row[:2]) == {ours, theirs})
        if one == other:
            return
        if kind == POTENTIAL:
            self.add_potential(one, other, 0, same_pixels=False)
        elif kind == NOT_RELATED:
            self._estrange(ours, theirs)
        elif kind == ALTERNATE:
            self._make_alternates(one, other)
        elif kind == BETTER:
            self._make_better(one, other)
        elif ours != theirs:
            self._make_equal(one, other)

    def _make_better(self, one: str, other: str) -> None:
        ours, theirs = self._group(one), self._group(other)
        other_is_king = self._kings[theirs] == other
        if ours != theirs:
            self._merge(ours, theirs if other_is_king else self._leave(other))
        elif other_is_king:
            self._kings[ours] = one

    def _make_equal(self, one: str, other: str) -> None:
        ours, theirs = self._group(one), self._group(other)
        if self._kings[theirs] == other:
            self._merge(ours, theirs)
        elif self._kings[ours] == one:
            # The other group has a better file still, so its king stays.
            self._merge(theirs, ours)
        else:
            self._merge(ours, self._leave(other))

    def _make_alternates(self, one: str, other: str) -> None:
        ours, theirs = self._group(one), self._group(other)
        if ours == theirs:
            self._leave(other if self._kings[ours] == one else one)
            ours, theirs = self._group(one), self._group(other)
        self._join_families(self._family_of[ours], self._family_of[theirs])

    def _estrange(self, ours: str, theirs: str) -> None:
        families = {self._family_of[ours], self._family_of[theirs]}
        if len(families) == 2 and not self._are_strangers(families):
            self._strangers.append(sorted(families))
            self._drop_settled_potentials()

    def _merge(self, group: str, gone: str) -> None:
        """Put the files of one group into another, whose king stays."""
        self._join_families(self._family_of[group], self._family_of[gone])
        for sha256 in self._members[gone]:
            self._group_of[sha256] = group
        self._members[group] = self._members[group] + self._members.pop(gone)
        del self._kings[gone], self._family_of[gone]
        rows, self._potentials = self._potentials, []
        for one, other, *rest in rows:
            pair = [group if name == gone else name for name in (one, other)]
            if pair[0] != pair[1] and not any(row[:2] == pair for row in self._potentials):
                self._potentials.append([*pair, *rest])
        self._drop_settled_potentials()

    def _leave(self, sha256: str) -> str:
        """Take a file out of its group into one of its own."""
        group = self._group_of.pop(sha256)
        left = [member for member in self._members[group] if member != sha256]
        self._members[group] = left
        if self._kings[group] == sha256:
            self._kings[group] = left[0]
        return self._group(sha256)

    def _join_families(self, family: str, gone: str) -> None:
        if family == gone:
            return
        self._family_of = {
            group: family if of == gone else of for group, of in self._family_of.items()
        }
        pairs = (
            sorted({family if name == gone else name for name in pair}) for pair in self._strangers
        )
        self._strangers = [list(pair) for pair in {tuple(p) for p in pairs if len(p) == 2}]
        self._drop_settled_potentials()

    def _drop_settled_potentials(self) -> None:
        def is_settled(row: list[Any]) -> bool:
            families = {self._family_of[group] for group in row[:2]}
            return len(families) == 1 or self._are_strangers(families)

        self._drop_potentials(is_settled)

    def _drop_potentials(self, condition: Callable[[list[Any]], bool]) -> None:
        self._potentials = [row for row in self._potentials if not condition(row)]

    def _are_strangers(self, families: set[str]) -> bool:
        return sorted(families) in self._strangers

    def _family(self, family: str) -> list[str]:
        return [group for group, of in self._family_of.items() if of == family]

    def _group(self, sha256: str) -> str:
        """Give a file's group, written down if need be."""
        if sha256 not in self._group_of:
            self._made += 1
            name = str(self._made)
            self._group_of[sha256] = self._family_of[name] = name
            self._members[name], self._kings[name] = [sha256], sha256
        return self._group_of[sha256]
