"""Brings files back from Hydrus' trash."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Annotated, Any, ClassVar

from pydantic import BeforeValidator, Field

from hydrusd.builtin.actions._changing import (
    MetadataChange,
    as_list,
    is_here,
    local_domain,
    wrong_domains,
)
from hydrusd.builtin.actions._states_back import places_back
from hydrusd.builtin.actions._taking_back import Change
from hydrusd.builtin.actions.delete_file import REASON_SINCE_API, SEVERAL_DOMAINS_SINCE_API
from hydrusd.plugin import Fault, FileMetadata, HydrusClient, Permission


class UndeleteFile(MetadataChange):
    """Bring the file back from Hydrus' trash, to where it was.

    One that was not deleted stays as it is. One that Hydrus has deleted for good cannot be
    brought back: that is a dead letter.

    It may stand before `add_file`, which imports nothing that is in the trash; it goes by
    the hash of the file that was noticed then.

    Needs Client API ≥ 15, for a domain 28, for several 41.
    """

    action: ClassVar[str] = "undelete_file"
    permissions: ClassVar[frozenset[Permission]] = frozenset({Permission.IMPORT_FILES})
    since_api: ClassVar[int] = 15
    verb: ClassVar[str] = "bring back"
    past: ClassVar[str] = "brought back"
    goes_by_source: ClassVar[bool] = True

    domains: Annotated[tuple[str, ...], BeforeValidator(as_list)] = Field(
        default=(),
        description=(
            "Bring it back to these local file domains only, by name or key. "
            "Without: to all that it was deleted from."
        ),
    )

    def preflight(self, client: HydrusClient) -> Iterable[Fault]:
        """Name what the client is too old for, and domains that it does not have."""
        yield from super().preflight(client)
        yield from wrong_domains(client, "domains", self.domains)

    @property
    def needs_api(self) -> int:
        """The Client API version that these parameters need."""
        if len(self.domains) > 1:
            return SEVERAL_DOMAINS_SINCE_API
        return REASON_SINCE_API if self.domains else self.since_api

    @property
    def nothing(self) -> str:
        """Why there may be nothing to do."""
        return "it is not in Hydrus' trash"

    @classmethod
    def taking_back(
        cls, client: HydrusClient, file_hash: str, taken: Mapping[str, Any], state: FileMetadata
    ) -> tuple[Change | None, Sequence[str]]:
        """Delete it again."""
        del file_hash
        return places_back(client, taken, state)

    def refusal(self, client: HydrusClient, row: FileMetadata) -> str:
        """Say why it cannot be brought back."""
        if not row.is_local:
            return "Hydrus does not have the file any more, not even in its trash"
        if row.is_trashed and self.domains:
            keys = {local_domain(client, one).reference for one in self.domains}
            if not keys & set(row.deleted):
                return (
                    f"it was never deleted from {', '.join(self.domains)}: bring it back without "
                    "domains, then use migrate_file"
                )
        return ""

    def is_due(self, client: HydrusClient, row: FileMetadata) -> bool:
        """Say whether it is in the trash."""
        del client
        return not is_here(row)

    def before(self, client: HydrusClient, row: FileMetadata) -> Mapping[str, object]:
        """Tell what it was deleted from, and when."""
        del client
        return {
            "deleted_from": {
                key: place.deleted_at.isoformat() if place.deleted_at else None
                for key, place in sorted(row.deleted.items())
            }
        }

    async def change(
        self,
        client: HydrusClient,
        hashes: Sequence[str],
        rows: Mapping[str, FileMetadata],
        rule: str,
    ) -> None:
        """Bring the files back."""
        del rows, rule
        await client.undelete_files(hashes, to_domains=self.domains)
