"""Puts files back into the inbox."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, ClassVar

from hydrusd.builtin.actions._changing import MetadataChange, not_here
from hydrusd.builtin.actions._states_back import inbox_back
from hydrusd.builtin.actions._taking_back import Change
from hydrusd.plugin import FileMetadata, HydrusClient, Permission


class UnarchiveFile(MetadataChange):
    """Put the file back into Hydrus' inbox. One that is there already stays as it is.

    Needs Client API ≥ 15.
    """

    action: ClassVar[str] = "unarchive_file"
    permissions: ClassVar[frozenset[Permission]] = frozenset({Permission.IMPORT_FILES})
    since_api: ClassVar[int] = 15
    verb: ClassVar[str] = "put into the inbox"
    past: ClassVar[str] = "put into the inbox"

    @classmethod
    def taking_back(
        cls, client: HydrusClient, file_hash: str, taken: Mapping[str, Any], state: FileMetadata
    ) -> tuple[Change | None, Sequence[str]]:
        """Archive it again."""
        del client, file_hash
        return inbox_back(taken, state)

    def refusal(self, client: HydrusClient, row: FileMetadata) -> str:
        """Say why it cannot be in the inbox."""
        del client
        return not_here(row)

    def is_due(self, client: HydrusClient, row: FileMetadata) -> bool:
        """Say whether it is archived."""
        del client
        return row.is_inbox is not True

    def before(self, client: HydrusClient, row: FileMetadata) -> Mapping[str, object]:
        """Tell that it was archived, and when, where the client says (API ≥ 89)."""
        del client
        at = row.archived_at
        return {"inbox": False, "archived_at": at.isoformat() if at else None}

    async def change(
        self,
        client: HydrusClient,
        hashes: Sequence[str],
        rows: Mapping[str, FileMetadata],
        rule: str,
    ) -> None:
        """Put the files into the inbox."""
        del rows, rule
        await client.unarchive_files(hashes)
