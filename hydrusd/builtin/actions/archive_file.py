"""Takes files out of the inbox."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, ClassVar

from hydrusd.builtin.actions._changing import MetadataChange, not_here
from hydrusd.builtin.actions._states_back import inbox_back
from hydrusd.builtin.actions._taking_back import Change
from hydrusd.plugin import FileMetadata, HydrusClient, Permission


class ArchiveFile(MetadataChange):
    """Take the file out of Hydrus' inbox. One that is archived already stays as it is.

    Needs Client API ≥ 15.
    """

    action: ClassVar[str] = "archive_file"
    permissions: ClassVar[frozenset[Permission]] = frozenset({Permission.IMPORT_FILES})
    since_api: ClassVar[int] = 15
    verb: ClassVar[str] = "archive"
    past: ClassVar[str] = "archived"

    @classmethod
    def taking_back(
        cls, client: HydrusClient, file_hash: str, taken: Mapping[str, Any], state: FileMetadata
    ) -> tuple[Change | None, Sequence[str]]:
        """Put it back into the inbox."""
        del client, file_hash
        return inbox_back(taken, state)

    def refusal(self, client: HydrusClient, row: FileMetadata) -> str:
        """Say why it cannot be archived."""
        del client
        return not_here(row)

    def is_due(self, client: HydrusClient, row: FileMetadata) -> bool:
        """Say whether it is in the inbox."""
        del client
        return row.is_inbox is not False

    def before(self, client: HydrusClient, row: FileMetadata) -> Mapping[str, object]:
        """Tell that it was in the inbox."""
        del client, row
        return {"inbox": True}

    async def change(
        self,
        client: HydrusClient,
        hashes: Sequence[str],
        rows: Mapping[str, FileMetadata],
        rule: str,
    ) -> None:
        """Archive the files."""
        del rows, rule
        await client.archive_files(hashes)
