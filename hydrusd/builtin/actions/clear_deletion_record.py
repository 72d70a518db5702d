"""Makes Hydrus forget that files were deleted for good."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import ClassVar

from pydantic import Field

from hydrusd.builtin.actions._changing import MetadataChange
from hydrusd.plugin import Duration, FileMetadata, HydrusClient, Permission, ServiceType


class ClearDeletionRecord(MetadataChange):
    """Make Hydrus forget that it has deleted the file for good, so that it can be imported again.

    Its place is before `add_file`, which skips what was deleted before: it goes by the hash of
    the file that was noticed there. Where there is no such record, it does nothing. A file that
    is still in Hydrus' trash has none: `undelete_file` is for that.

    Hydrus does it a moment after it has said yes, so the step looks until it is done.

    Needs Client API ≥ 63.
    """

    action: ClassVar[str] = "clear_deletion_record"
    no_undo: ClassVar[str] = "Hydrus' API cannot make it remember a deletion"
    permissions: ClassVar[frozenset[Permission]] = frozenset(
        {Permission.IMPORT_FILES, Permission.SEARCH_FILES}
    )
    since_api: ClassVar[int] = 63
    verb: ClassVar[str] = "clear the deletion record of"
    past: ClassVar[str] = "deletion record cleared"
    goes_by_source: ClassVar[bool] = True

    give_up_after: Duration = Field(
        default=600.0,
        description="After so long without its being done the job becomes a dead letter.",
    )

    @classmethod
    async def look(
        cls, client: HydrusClient, hashes: Sequence[str]
    ) -> Mapping[str, FileMetadata] | None:
        """Give the metadata of files. A key that may not look parks the rule: 200 is not done."""
        return {row.hash: row for row in await client.file_metadata(hashes)}

    @property
    def give_up_seconds(self) -> float:
        """How long to look for it."""
        return self.give_up_after

    @property
    def nothing(self) -> str:
        """Why there may be nothing to do."""
        return "there is no deletion record"

    def is_due(self, client: HydrusClient, row: FileMetadata) -> bool:
        """Say whether there is such a record."""
        storage = _storage(client)
        return not row.is_local and storage is not None and storage in row.deleted

    def before(self, client: HydrusClient, row: FileMetadata) -> Mapping[str, object]:
        """Tell since when it was deleted."""
        at = row.deleted[_storage(client) or ""].deleted_at
        return {"deleted_at": at.isoformat() if at else None}

    def kept(self, client: HydrusClient, row: FileMetadata) -> str:
        """Say that the record is still there."""
        del client, row
        return "Hydrus has not cleared the deletion record"

    async def change(
        self,
        client: HydrusClient,
        hashes: Sequence[str],
        rows: Mapping[str, FileMetadata],
        rule: str,
    ) -> None:
        """Clear the records."""
        del rows, rule
        await client.clear_file_deletion_record(hashes)


def _storage(client: HydrusClient) -> str | None:
    for service in client.services:
        if service.type == ServiceType.LOCAL_FILE_STORAGE:
            return service.reference
    return None
