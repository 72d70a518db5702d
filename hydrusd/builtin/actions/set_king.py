"""Makes files the best of their duplicates."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, ClassVar

from hydrusd.builtin.actions._relating import RelationshipChange
from hydrusd.builtin.actions._states_back import king_back
from hydrusd.builtin.actions._taking_back import Change
from hydrusd.plugin import FileRelationships, HydrusClient


class SetKing(RelationshipChange):
    """Make the file the best of its group of duplicates, which Hydrus calls the king.

    A file without duplicates is that already. Where a job is about several files that are
    duplicates of each other, it becomes a dead letter: one of them can be the best.

    Needs Client API ≥ 40.
    """

    action: ClassVar[str] = "set_king"
    since_api: ClassVar[int] = 40
    verb: ClassVar[str] = "make the best of its duplicates"
    past: ClassVar[str] = "made the best of its duplicates"
    # Two jobs of one set may name two files of one group: the later one wins, which is no fault.
    looks_again: ClassVar[bool] = False

    @property
    def nothing(self) -> str:
        """Why there may be nothing to do."""
        return "it is the best already, or has no duplicates"

    @classmethod
    def taking_back(
        cls,
        client: HydrusClient,
        file_hash: str,
        taken: Mapping[str, Any],
        state: FileRelationships,
    ) -> tuple[Change | None, Sequence[str]]:
        """Make the one before the best again."""
        del client
        return king_back(file_hash, taken, state)

    def objection(self, rows: Sequence[FileRelationships]) -> str:
        """Refuse to choose between the files of one group."""
        kings = [row.king for row in rows if row.king is not None]
        if len(set(kings)) == len(kings):
            return ""
        return "several of the job's files are duplicates of each other: which one is the best?"

    def is_due(self, client: HydrusClient, row: FileRelationships) -> bool:
        """Say whether another one is the best."""
        del client
        return not row.is_king

    def before(self, client: HydrusClient, row: FileRelationships) -> Mapping[str, object]:
        """Tell which one was the best."""
        del client
        return {"king": row.king}

    async def change(
        self,
        client: HydrusClient,
        hashes: Sequence[str],
        rows: Mapping[str, FileRelationships],
        rule: str,
    ) -> None:
        """Make the files the best of their groups, in order."""
        del rows, rule
        await client.set_kings(hashes)
