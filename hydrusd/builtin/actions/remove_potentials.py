"""Makes Hydrus forget which files may be duplicates of a file."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import ClassVar

from hydrusd.builtin.actions._relating import RelationshipChange
from hydrusd.plugin import FileRelationships, HydrusClient


class RemovePotentials(RelationshipChange):
    """Take the file out of all pairs that Hydrus' duplicate filter would show.

    What was decided about it already (duplicates, alternates) stays. Hydrus finds the pairs
    again if it is told to search for similar files anew.

    Needs Client API ≥ 66.
    """

    action: ClassVar[str] = "remove_potentials"
    no_undo: ClassVar[str] = (
        "Hydrus finds such pairs again by itself: have it search for potential duplicates"
    )
    since_api: ClassVar[int] = 66
    verb: ClassVar[str] = "take out of potential pairs"
    past: ClassVar[str] = "taken out of potential pairs"

    @property
    def nothing(self) -> str:
        """Why there may be nothing to do."""
        return "it is in no potential pair"

    def is_due(self, client: HydrusClient, row: FileRelationships) -> bool:
        """Say whether it is in such a pair."""
        del client
        return bool(row.potentials)

    def before(self, client: HydrusClient, row: FileRelationships) -> Mapping[str, object]:
        """Tell with which files."""
        del client
        return {"potentials": list(row.potentials)}

    async def change(
        self,
        client: HydrusClient,
        hashes: Sequence[str],
        rows: Mapping[str, FileRelationships],
        rule: str,
    ) -> None:
        """Take the files out of their pairs."""
        del rows, rule
        await client.remove_potentials(hashes)
