"""What the client knows of how files relate, wherever they are.

Asked about all known files: a duplicate in the trash is one still, and a look among the
local files alone would not see it. An action would then do again what is done, and claim it.

Asking Hydrus about a hash that it has never heard of is enough for it to write it into its
database, as if it had: such hashes are left out.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import ClassVar

from hydrusd.builtin.actions._changing import FileChange, MetadataChange
from hydrusd.plugin import FileMetadata, FileRelationships, HydrusClient, Permission, ServiceType

DOMAINS_SINCE_API = 41


async def relationships(
    client: HydrusClient, hashes: Sequence[str], rows: Mapping[str, FileMetadata] | None
) -> dict[str, FileRelationships]:
    """Give what each file is to others; a file of which nothing is known is alone.

    ``rows`` is the metadata of the files, None where the key may not look.
    """
    heard = [h for h in hashes if rows is None or rows[h].is_known]
    everywhere = [s.reference for s in client.services if s.type == ServiceType.ALL_KNOWN_FILES]
    domains = everywhere if client.info.api_version >= DOMAINS_SINCE_API else []
    found = await client.get_file_relationships(heard, domains=domains) if heard else {}
    return {h: found.get(h) or FileRelationships(True, h, (), (), (), ()) for h in hashes}


class RelationshipChange(FileChange[FileRelationships]):
    """A change that shows in how files relate."""

    permissions: ClassVar[frozenset[Permission]] = frozenset({Permission.EDIT_RELATIONSHIPS})

    @classmethod
    async def look(
        cls, client: HydrusClient, hashes: Sequence[str]
    ) -> Mapping[str, FileRelationships] | None:
        """Give what the files are to others."""
        return await relationships(client, hashes, await MetadataChange.look(client, hashes))
