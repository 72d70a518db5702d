"""Deletes files in Hydrus: to its trash, or for good where that is asked for."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Annotated, Any, ClassVar, Self

from pydantic import BeforeValidator, Field, model_validator

from hydrusd.builtin.actions._changing import (
    MetadataChange,
    as_list,
    is_here,
    local_domain,
    local_domains,
    wrong_domains,
)
from hydrusd.builtin.actions._states_back import places_back
from hydrusd.builtin.actions._taking_back import Change
from hydrusd.plugin import Data, Fault, FileMetadata, HydrusClient, Permission

REASON_SINCE_API = 28
SEVERAL_DOMAINS_SINCE_API = 41


class DeleteFile(MetadataChange):
    """Delete the file in Hydrus: out of all local file domains, into Hydrus' trash.

    This is about the file that Hydrus has; the file on your disk that was noticed is what
    `trash_source` and `delete_source` are for. Hydrus empties its trash by itself, as its
    options say; until then `undelete_file` brings a file back. Hydrus remembers what was
    deleted, and will not import it again.

    With `permanently: true` Hydrus deletes the file from its disk at once. Nothing brings it
    back. A file that Hydrus keeps locked against deletion becomes a dead letter.

    Needs Client API ≥ 15; for a domain or `permanently` 28, for several domains 41.
    """

    action: ClassVar[str] = "delete_file"
    permissions: ClassVar[frozenset[Permission]] = frozenset({Permission.IMPORT_FILES})
    since_api: ClassVar[int] = 15
    verb: ClassVar[str] = "delete in Hydrus"

    domains: Annotated[tuple[str, ...], BeforeValidator(as_list)] = Field(
        default=(),
        description=(
            "Delete it out of these local file domains only, by name or key; it stays in others. "
            "Without: out of all."
        ),
    )
    reason: str = Field(
        default="",
        description="What Hydrus notes as the reason. Without: hydrusd and the rule's name.",
    )
    permanently: bool = Field(
        default=False,
        description="Delete it from Hydrus' disk, past the trash. There is no way back.",
    )

    @model_validator(mode="after")
    def _whole_or_part(self) -> Self:
        if self.permanently and self.domains:
            raise ValueError("permanently deletes out of all domains: leave out domains")
        return self

    def preflight(self, client: HydrusClient) -> Iterable[Fault]:
        """Name what the client is too old for, and domains that it does not have."""
        yield from super().preflight(client)
        yield from wrong_domains(client, "domains", self.domains)

    @property
    def needs_api(self) -> int:
        """The Client API version that these parameters need."""
        if len(self.domains) > 1:
            return SEVERAL_DOMAINS_SINCE_API
        return REASON_SINCE_API if self.domains or self.permanently else self.since_api

    @property
    def told(self) -> str:
        """Where it is now."""
        if self.permanently:
            return "deleted for good"
        return "deleted out of " + ", ".join(self.domains) if self.domains else "in Hydrus' trash"

    @property
    def nothing(self) -> str:
        """Why there may be nothing to do."""
        return "Hydrus does not have it there (any more)"

    @property
    def extra_receipt(self) -> Mapping[str, object]:
        """Whether there is a way back."""
        return {"permanently": self.permanently}

    @classmethod
    def undo_refusal(cls, receipt: Data) -> str:
        """Say that there is no way back from past the trash."""
        gone = "Hydrus has deleted it for good"
        return gone if receipt.get("permanently") else super().undo_refusal(receipt)

    @classmethod
    def taking_back(
        cls, client: HydrusClient, file_hash: str, taken: Mapping[str, Any], state: FileMetadata
    ) -> tuple[Change | None, Sequence[str]]:
        """Bring it back from Hydrus' trash."""
        del file_hash
        return places_back(client, taken, state)

    def is_due(self, client: HydrusClient, row: FileMetadata) -> bool:
        """Say whether it is where it shall not be."""
        if self.permanently:
            return bool(row.is_local)
        if self.domains:
            return any(local_domain(client, one).reference in row.current for one in self.domains)
        return is_here(row)

    def before(self, client: HydrusClient, row: FileMetadata) -> Mapping[str, object]:
        """Tell where it was, and since when."""
        places = {key: row.current[key] for key in sorted(local_domains(client) & set(row.current))}
        return {
            "domains": {
                key: place.imported_at.isoformat() if place.imported_at else None
                for key, place in places.items()
            },
            "inbox": row.is_inbox,
            "trashed": row.is_trashed,
        }

    def kept(self, client: HydrusClient, row: FileMetadata) -> str:
        """Say why a file can still be there."""
        del client, row
        return "Hydrus said yes and kept the file: is it locked against deletion in its options?"

    async def change(
        self,
        client: HydrusClient,
        hashes: Sequence[str],
        rows: Mapping[str, FileMetadata],
        rule: str,
    ) -> None:
        """Delete the files."""
        del rows
        reason = self.reason
        if not reason and client.info.api_version >= REASON_SINCE_API:
            reason = f"hydrusd: {rule}"
        await client.delete_files(
            hashes, from_domains=self.domains, permanently=self.permanently, reason=reason
        )
