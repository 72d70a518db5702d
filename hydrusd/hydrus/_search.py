"""Looking things up: which files the client has, which tags they carry."""

from __future__ import annotations

from collections.abc import Sequence

from ._calls import Calls, Route, checked_hashes, in_requests
from ._models import MetadataAnswer, MetadataRow, SearchAnswer
from ._permissions import Permission

SEARCH_FILES = Route("GET", "/get_files/search_files", Permission.SEARCH_FILES)
FILE_METADATA = Route("GET", "/get_files/file_metadata", Permission.SEARCH_FILES)

_HASHES_OF_SEARCH_SINCE_API = 25  # return_hashes; system predicates are older (18)
_PLACE_OF_FILES_SINCE_API = 12  # is_local and is_trashed in metadata
_SERVICES_OBJECT_SINCE_API = 46


class SearchRoutes(Calls):
    """Routes that search and fetch; all need "search for and fetch files"."""

    @property
    def can_search(self) -> bool:
        """Whether the access key may search; a tag filter on it shows only when it is used."""
        return self._allows(SEARCH_FILES)

    @property
    def can_look_up_files(self) -> bool:
        """Whether ``known_hashes`` would be sent: API ≥ 12 and permission to search."""
        return self.can_search and self.info.api_version >= _PLACE_OF_FILES_SINCE_API

    async def known_hashes(self, hashes: Sequence[str]) -> set[str]:
        """Give those of the hashes whose files the client has now, in lower case.

        Files in its trash, files deleted and files merely tagged do not count. ``hashes``
        are SHA-256 in hexadecimal, any number, sent 256 a request.

        Needs Client API ≥ 12, and the permission to search without a tag filter: raises
        VersionTooOld or PermissionMissing, and the caller may upload instead, since an
        upload finds out too.
        """
        self._require(SEARCH_FILES)
        self._require_api(_PLACE_OF_FILES_SINCE_API, "looking up many files")
        asked = checked_hashes(hashes)
        if self.info.api_version >= _HASHES_OF_SEARCH_SINCE_API:
            known = await self._searched(asked)
        else:
            known = {
                row.hash for row in await self._rows(asked) if row.is_local and not row.is_trashed
            }
        return known & set(asked)

    async def _searched(self, hashes: Sequence[str]) -> set[str]:
        # A search by hash looks into the local file domains, which the trash is none of,
        # and answers with the hashes alone: a fiftieth of what metadata would send, and
        # the client need not load the files' tags. Nobody's database grows by asking.
        known: set[str] = set()
        for some in in_requests(hashes):
            answer = await self._ask(
                SearchAnswer,
                SEARCH_FILES,
                params={"tags": [f"system:hash = {' '.join(some)}"], "return_hashes": True},
            )
            known.update(answer.hashes)
        return known

    async def tags(self, hashes: Sequence[str]) -> dict[str, dict[str, dict[int, set[str]]]]:
        """Give the storage tags of files: hash → service → status → tags.

        ``hashes`` are SHA-256 in hexadecimal, sent 256 a request; each gets an entry, empty
        for a file which the client has never heard of. Services stand by key, by name where
        the API has no keys (before API 21), and include the virtual "all known tags".
        Statuses are those of TagStatus. Before API 31 asking about a file makes the client
        remember its hash.
        """
        self._require(FILE_METADATA)
        asked = checked_hashes(hashes)
        found: dict[str, dict[str, dict[int, set[str]]]] = {one: {} for one in asked}
        for row in await self._rows(asked):
            found[row.hash] = _tags_of(row)
        return found

    async def _rows(self, hashes: Sequence[str]) -> list[MetadataRow]:
        rows: list[MetadataRow] = []
        for some in in_requests(hashes):
            params: dict[str, object] = {"hashes": some}
            if self.info.api_version >= _SERVICES_OBJECT_SINCE_API:
                params["include_services_object"] = False
            rows += (await self._ask(MetadataAnswer, FILE_METADATA, params=params)).metadata
        return rows


def _tags_of(row: MetadataRow) -> dict[str, dict[int, set[str]]]:
    if row.tags is not None:
        services = {reference: tags.storage_tags for reference, tags in row.tags.items()}
    else:
        services = (
            row.service_keys_to_statuses_to_tags or row.service_names_to_statuses_to_tags or {}
        )
    return {
        reference: {int(status): tags for status, tags in statuses.items()}
        for reference, statuses in services.items()
    }
