"""Looking things up: which files the client has, what it knows of them.

A search without anything to search for is a question that clients before API 33 answer
with the whole collection. What would become one is refused here.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from enum import Enum, IntEnum

from hydrusd.errors import RequestRejected

from ._calls import (
    FILES_PER_REQUEST,
    FileReference,
    Route,
    checked_files,
    checked_hashes,
    in_requests,
)
from ._files import SEVERAL_DOMAINS_SINCE_API
from ._metadata import FileMetadata, RowsAnswer
from ._models import (
    FileHashesAnswer,
    FoundAnswer,
    MetadataAnswer,
    MetadataRow,
    SearchAnswer,
    Service,
)
from ._permissions import Permission
from ._services import FILES, KEYS_SINCE_API, SEARCHED_TAGS, ServiceRoutes
from ._tags import clean_tag

SEARCH_FILES = Route("GET", "/get_files/search_files", Permission.SEARCH_FILES)
FILE_METADATA = Route("GET", "/get_files/file_metadata", Permission.SEARCH_FILES)
FILE_HASHES = Route("GET", "/get_files/file_hashes", Permission.SEARCH_FILES, since_api=37)

_PLACE_OF_FILES_SINCE_API = 12  # is_local and is_trashed in metadata
_WILDCARDS_SINCE_API = 16
_SYSTEM_PREDICATES_SINCE_API = 18
_SORT_AND_DOMAIN_SINCE_API = 19
_OR_SINCE_API = 20
_HASHES_OF_SEARCH_SINCE_API = 25  # return_hashes; system predicates are older (18)
_FLAVOURS_SINCE_API = 29  # return_file_ids, only_return_basic_information
_SERVICES_OBJECT_SINCE_API = 46
_PENDING_CHOICE_SINCE_API = 69

HASHES_PER_SEARCH = 2048
"""In a line of 140 KB. All clients that can be asked so take one of a megabyte, and what a request
costs beside its hashes was half of what it took to recognise files."""
_TOO_LONG = frozenset({400, 413, 414, 431})

# What clients without system predicates have in place of the few that matter.
_OLD_FLAGS = {"system:inbox": "system_inbox", "system:archive": "system_archive"}
_EVERYTHING = "system:everything"

SearchTags = Sequence["str | Sequence[str]"]


class FileSort(IntEnum):
    """What search results are sorted by. The values are the protocol's."""

    SIZE = 0
    DURATION = 1
    IMPORT_TIME = 2
    FILETYPE = 3
    RANDOM = 4
    WIDTH = 5
    HEIGHT = 6
    RATIO = 7
    PIXELS = 8
    TAG_COUNT = 9
    VIEWS = 10
    VIEWTIME = 11
    BITRATE = 12
    HAS_AUDIO = 13
    MODIFIED_TIME = 14
    FRAMERATE = 15
    FRAMES = 16
    LAST_VIEWED = 18
    ARCHIVED_TIME = 19
    HASH = 20
    PIXEL_HASH = 21
    BLURHASH = 22
    COLOUR_LIGHTNESS = 23
    COLOUR_CHROMA = 24
    COLOUR_GREEN_RED = 25
    COLOUR_BLUE_YELLOW = 26
    COLOUR_HUE = 27


class HashType(Enum):
    """The hashes that a client keeps of a file; the values are the protocol's."""

    SHA256 = "sha256"
    MD5 = "md5"
    SHA1 = "sha1"
    SHA512 = "sha512"


_DIGITS = {HashType.SHA256: 64, HashType.MD5: 32, HashType.SHA1: 40, HashType.SHA512: 128}


class Detail(Enum):
    """How much of each file ``file_metadata`` tells."""

    IDENTIFIERS = "identifiers"  # hash and id
    BASIC = "basic"  # and what the file is: size, type, dimensions (API ≥ 29)
    FULL = "full"  # and what the client knows of it


@dataclass(frozen=True, slots=True)
class FoundFiles:
    """What a search found, in its order. What was not asked for is empty."""

    file_ids: tuple[int, ...]
    hashes: tuple[str, ...]


class SearchRoutes(ServiceRoutes):
    """Routes that search and look up; all need "search for and fetch files".

    To a key that may search for some tags only, the client refuses all that goes by hash.
    """

    _hashes_per_search: int = HASHES_PER_SEARCH

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
        are SHA-256 in hexadecimal, any number, sent 2,048 a request (256 before API 25).

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
        asked = 0
        while asked < len(hashes):
            some = hashes[asked : asked + self._hashes_per_search]
            params = {"tags": [f"system:hash = {' '.join(some)}"], "return_hashes": True}
            try:
                known.update((await self._ask(SearchAnswer, SEARCH_FILES, params=params)).hashes)
            except RequestRejected as error:
                if error.status not in _TOO_LONG or len(some) <= FILES_PER_REQUEST:
                    raise
                # Not the client, which takes far longer ones: a proxy before it.
                self._hashes_per_search = FILES_PER_REQUEST
            else:
                asked += len(some)
        return known

    async def search_files(
        self,
        tags: SearchTags,
        *,
        domains: Sequence[str] = (),
        deleted_from: Sequence[str] = (),
        tag_service: str | None = None,
        include_current_tags: bool = True,
        include_pending_tags: bool = True,
        sort: FileSort = FileSort.IMPORT_TIME,
        ascending: bool = True,
        file_ids: bool = True,
        hashes: bool = False,
    ) -> FoundFiles:
        """Search, and give all that is found: put ``system:limit = N`` among the tags for less.

        ``tags`` must all apply: tags, ``-`` before those that must not, ``*`` as a wildcard
        (API ≥ 16), system predicates as text (API ≥ 18; before that only ``system:inbox``,
        ``system:archive`` and ``system:everything``). A list among them applies if one
        of its entries does (API ≥ 20).

        Searched are the files that are in ``domains`` now, or were deleted from those in
        ``deleted_from`` (API ≥ 41): names or keys, all local files if none (one domain since
        API 19, several since 41). Tags count in all tag services, or in ``tag_service`` (API
        ≥ 19), and can be told to leave out what is current or pending (API ≥ 69).

        Clients before API 19 sort by import time and give no more files than their user
        allows for a search. ``hashes`` asks for SHA-256 as well (API ≥ 25); one of these and
        ``file_ids``, or both, must be wanted.

        Raises RequestRejected for an empty search, and for what the client cannot parse.
        """
        self._require(SEARCH_FILES)
        if not (file_ids or hashes):
            raise RequestRejected("a search must ask for file ids, or hashes, or both")
        params = self._searched_for(tags)
        params |= self._searched_in(domains, deleted_from)
        if tag_service is not None:
            self._require_api(_SORT_AND_DOMAIN_SINCE_API, "searching in one tag service")
            params |= self._service_param("tag", tag_service)
        if not (include_current_tags and include_pending_tags):
            self._require_api(_PENDING_CHOICE_SINCE_API, "choosing between current and pending")
            params["include_current_tags"] = include_current_tags
            params["include_pending_tags"] = include_pending_tags
        if hashes:
            self._require_api(_HASHES_OF_SEARCH_SINCE_API, "hashes as the result of a search")
            params["return_hashes"] = True
            if not file_ids and self.info.api_version >= _FLAVOURS_SINCE_API:
                params["return_file_ids"] = False
        if self.info.api_version >= _SORT_AND_DOMAIN_SINCE_API:
            # Newer clients take the opposite for granted than older ones: always said.
            params |= {"file_sort_type": sort.value, "file_sort_asc": ascending}
        elif sort is not FileSort.IMPORT_TIME:
            self._require_api(_SORT_AND_DOMAIN_SINCE_API, "sorting by anything but import time")
        answer = await self._ask(FoundAnswer, SEARCH_FILES, params=params)
        found = answer.file_ids or []
        if self.info.api_version < _SORT_AND_DOMAIN_SINCE_API and ascending:
            found = found[::-1]  # they begin with the newest
        return FoundFiles(
            tuple(found) if file_ids else (), tuple(answer.hashes or ()) if hashes else ()
        )

    def _searched_for(self, tags: SearchTags) -> dict[str, object]:
        self._check_search(tags)
        if self.info.api_version >= _SYSTEM_PREDICATES_SINCE_API:
            return {"tags": list(tags)}
        params: dict[str, object] = {}
        plain = []
        for tag in tags:
            text = str(tag).strip().lower()
            if text in _OLD_FLAGS:
                params[_OLD_FLAGS[text]] = True
            elif text.lstrip("-").startswith("system:"):
                if text != _EVERYTHING:
                    self._require_api(_SYSTEM_PREDICATES_SINCE_API, f"the search for {text!r}")
            else:
                plain.append(tag)
        return {**params, "tags": plain} if plain else params

    def _check_search(self, tags: SearchTags) -> None:
        if isinstance(tags, str) or not tags:
            raise RequestRejected("a search needs a list of tags, and at least one in it")
        for tag in tags:
            if isinstance(tag, str):
                self._check_searched(tag)
                continue
            self._require_api(_OR_SINCE_API, "a search for one of several tags")
            if not tag:
                raise RequestRejected("there is nothing in a list of which one must apply")
            for alternative in tag:
                self._check_searched(alternative)

    def _check_searched(self, tag: str) -> None:
        if not clean_tag(tag):
            raise RequestRejected(f"this is no tag that could be searched for: {tag[:80]!r}")
        if "*" in tag:
            self._require_api(_WILDCARDS_SINCE_API, "a search with a wildcard")

    def _searched_in(
        self, domains: Sequence[str], deleted_from: Sequence[str]
    ) -> dict[str, object]:
        if deleted_from or len(domains) > 1:
            self._require_api(SEVERAL_DOMAINS_SINCE_API, "several file domains, or deleted files")
            named = {"file_service_keys": domains, "deleted_file_service_keys": deleted_from}
            return {
                param: [self._service(one, FILES).reference for one in some]
                for param, some in named.items()
                if some
            }
        if domains:
            self._require_api(_SORT_AND_DOMAIN_SINCE_API, "searching in one file domain")
            return self._service_param("file", domains[0])
        return {}

    def _service_param(self, kind: str, name_or_key: str) -> dict[str, object]:
        if kind == "file":
            service = self._service(name_or_key, FILES)
        else:
            service = self._searched_tag_service(name_or_key)
        word = "key" if self.info.api_version >= KEYS_SINCE_API else "name"
        return {f"{kind}_service_{word}": service.reference}

    def _searched_tag_service(self, name_or_key: str) -> Service:
        return self._service(name_or_key, SEARCHED_TAGS)

    async def file_hashes(
        self,
        hashes: Sequence[str],
        *,
        desired: HashType,
        source: HashType = HashType.SHA256,
    ) -> dict[str, str]:
        """Give other hashes of files that the client has or had: what is unknown is left out.

        Hashes are hexadecimal; those given stand as keys, in lower case. Sent 256 a request.
        Needs Client API ≥ 37.
        """
        self._require(FILE_HASHES)
        asked = list(dict.fromkeys(one.lower() for one in hashes))
        for one in asked:
            if len(one) != _DIGITS[source] or set(one) - set("0123456789abcdef"):
                raise RequestRejected(f"not a {source.value} hash in hexadecimal: {one[:160]!r}")
        found: dict[str, str] = {}
        for some in in_requests(asked):
            params: dict[str, object] = {
                "hashes": some,
                "source_hash_type": source.value,
                "desired_hash_type": desired.value,
            }
            found |= (await self._ask(FileHashesAnswer, FILE_HASHES, params=params)).hashes
        return {one: found[one] for one in asked if one in found}

    async def file_metadata(
        self,
        files: Sequence[FileReference],
        *,
        detail: Detail = Detail.FULL,
        notes: bool = False,
        detailed_urls: bool = False,
        blurhash: bool = False,
        milliseconds: bool = False,
        create_file_ids: bool = False,
    ) -> list[FileMetadata]:
        """Give what the client knows of files, in the order asked, each once.

        ``files`` are SHA-256 hashes in hexadecimal, or file ids, or both, sent 256 a request.
        A hash of which the client has never heard gives an entry without ``file_id``, unless
        ``create_file_ids`` (API ≥ 31) has the client make one; before API 31 it always
        does. An id which it does not have is refused, with all others of that request.

        ``notes`` asks for them (API ≥ 27), ``detailed_urls`` for what the client thinks of each
        URL (13), ``blurhash`` for it where ``detail`` is BASIC (53; FULL has it anyway),
        ``milliseconds`` for exact times (59). BASIC needs API ≥ 29.
        """
        self._require(FILE_METADATA)
        wanted: dict[str, object] = {}
        flags = (
            (detail is Detail.IDENTIFIERS, "only_return_identifiers", 0),
            (detail is Detail.BASIC, "only_return_basic_information", _FLAVOURS_SINCE_API),
            (notes, "include_notes", 27),
            (detailed_urls, "detailed_url_information", 13),
            (blurhash, "include_blurhash", 53),
            (milliseconds, "include_milliseconds", 59),
            (create_file_ids, "create_new_file_ids", 31),
        )
        for asked_for, name, since_api in flags:
            if asked_for:
                self._require_api(since_api, name)
                wanted[name] = True
        asked = checked_files(files)
        by_hash = [one for one in asked if isinstance(one, str)]
        by_id = [one for one in asked if isinstance(one, int)]
        found: dict[FileReference, FileMetadata] = {}
        for name, some in (
            *(("hashes", some) for some in in_requests(by_hash)),
            *(("file_ids", some) for some in in_requests(by_id)),
        ):
            params = {name: some, **wanted, **self._without_services()}
            for row in (await self._ask(RowsAnswer, FILE_METADATA, params=params)).metadata:
                metadata = row.metadata()
                found[metadata.hash] = metadata
                if metadata.file_id is not None:
                    found[metadata.file_id] = metadata
        missing = [one for one in by_id if one not in found]
        if missing:
            raise RequestRejected(f"the client does not know these file ids: {missing[:5]}")
        return [found.get(one) or FileMetadata(hash=str(one)) for one in asked]

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
            params: dict[str, object] = {"hashes": some, **self._without_services()}
            rows += (await self._ask(MetadataAnswer, FILE_METADATA, params=params)).metadata
        return rows

    def _without_services(self) -> dict[str, bool]:
        if self.info.api_version < _SERVICES_OBJECT_SINCE_API:
            return {}
        return {"include_services_object": False}


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
