"""Puts files into other local file domains, or moves them there."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Annotated, Any, ClassVar

from pydantic import BeforeValidator, Field

from hydrusd.builtin.actions._changing import (
    MetadataChange,
    as_list,
    local_domain,
    local_domains,
    wrong_domains,
)
from hydrusd.builtin.actions._states_back import migration_back
from hydrusd.builtin.actions._taking_back import Change
from hydrusd.plugin import Duration, Fault, FileMetadata, HydrusClient, Permission


class MigrateFile(MetadataChange):
    """Put the file into other local file domains of Hydrus; with `move: true`, there only.

    Hydrus says yes at once and does it later, so the step looks until the file is in all of
    them, and takes it out of the others only then. A file in no local file domain (deleted,
    or in the trash) is a dead letter.

    Needs Client API ≥ 68.
    """

    action: ClassVar[str] = "migrate_file"
    permissions: ClassVar[frozenset[Permission]] = frozenset(
        {Permission.IMPORT_FILES, Permission.SEARCH_FILES}
    )
    since_api: ClassVar[int] = 68
    verb: ClassVar[str] = "migrate"

    to: Annotated[tuple[str, ...], BeforeValidator(as_list), Field(min_length=1)] = Field(
        description="The local file domains to put it into, by name or key."
    )
    move: bool = Field(
        default=False,
        description="Take it out of all other local file domains, once it is in these.",
    )
    give_up_after: Duration = Field(
        default=600.0,
        description="After so long without its being done the job becomes a dead letter.",
    )

    def preflight(self, client: HydrusClient) -> Iterable[Fault]:
        """Name what the client is too old for, and domains that it does not have."""
        yield from super().preflight(client)
        yield from wrong_domains(client, "to", self.to)

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
    def told(self) -> str:
        """Where it is now."""
        return f"in {', '.join(self.to)}{' only' if self.move else ''}"

    @property
    def extra_receipt(self) -> Mapping[str, object]:
        """Whether it was taken out of where it was."""
        return {"moved": self.move}

    @classmethod
    def taking_back(
        cls, client: HydrusClient, file_hash: str, taken: Mapping[str, Any], state: FileMetadata
    ) -> tuple[Change | None, Sequence[str]]:
        """Put it back where it was, and take it out of where it was put."""
        del file_hash
        return migration_back(client, taken, state)

    def refusal(self, client: HydrusClient, row: FileMetadata) -> str:
        """Say why it cannot be migrated."""
        if local_domains(client) & set(row.current):
            return ""
        return "Hydrus has the file in no local file domain"

    def is_due(self, client: HydrusClient, row: FileMetadata) -> bool:
        """Say whether it is not where it shall be, or where it shall not be."""
        return bool(self._missing(client, row) or self._others(client, row))

    def is_under_way(self, client: HydrusClient, row: FileMetadata) -> bool:
        """Say whether Hydrus may still be busy with it."""
        return bool(self._missing(client, row))

    def before(self, client: HydrusClient, row: FileMetadata) -> Mapping[str, object]:
        """Tell where it was, and since when, and what it is put into."""
        return {
            "domains": {
                key: at.isoformat() if (at := row.current[key].imported_at) else None
                for key in sorted(local_domains(client) & set(row.current))
            },
            "put_into": sorted(self._missing(client, row)),
        }

    def kept(self, client: HydrusClient, row: FileMetadata) -> str:
        """Say where it is not, or is too."""
        if missing := self._missing(client, row):
            return f"Hydrus has not put it into {_named(client, missing)}"
        others = _named(client, self._others(client, row))
        return f"it is in {', '.join(self.to)}, and Hydrus has not taken it out of {others}"

    async def change(
        self,
        client: HydrusClient,
        hashes: Sequence[str],
        rows: Mapping[str, FileMetadata],
        rule: str,
    ) -> None:
        """Ask for what is missing; take out of the other domains what is where it shall be."""
        missing = [h for h in hashes if self._missing(client, rows[h])]
        if missing:
            await client.migrate_files(missing, self.to)
        leaving: dict[frozenset[str], list[str]] = {}
        for sha256 in hashes:
            if sha256 not in missing:
                leaving.setdefault(self._others(client, rows[sha256]), []).append(sha256)
        for others, some in leaving.items():
            await client.delete_files(
                some, from_domains=sorted(others), reason=f"hydrusd: moved by {rule}"
            )

    def _missing(self, client: HydrusClient, row: FileMetadata) -> frozenset[str]:
        return self._wanted(client) - set(row.current)

    def _others(self, client: HydrusClient, row: FileMetadata) -> frozenset[str]:
        others = local_domains(client) & set(row.current) if self.move else set()
        return frozenset(others - self._wanted(client))

    def _wanted(self, client: HydrusClient) -> frozenset[str]:
        return frozenset(local_domain(client, one).reference for one in self.to)


def _named(client: HydrusClient, references: Iterable[str]) -> str:
    return ", ".join(sorted(client.file_service(one).name for one in references))
