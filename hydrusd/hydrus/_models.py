"""What the client answers, as the rest of hydrusd sees it.

The classes whose names end in Answer (and their parts) have the shape of the wire; they name
only what is used, so that a client that says more, or less of the rest, is no problem.
The others are what callers get: plain, frozen, the same for every API version.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime
from enum import IntEnum
from typing import Annotated

from pydantic import BaseModel, BeforeValidator

from ._permissions import Permission


def _moment(stamp: object) -> object:
    if not isinstance(stamp, int | float) or not stamp:
        return None
    try:
        return datetime.fromtimestamp(stamp, UTC)
    except (OverflowError, ValueError, OSError):
        return None  # beyond what a date can say, which is no reason to lose the rest


# A time in seconds since 1970, on the wire; 0 is how Hydrus says never.
Moment = Annotated[datetime | None, BeforeValidator(_moment)]


class ImportStatus(IntEnum):
    """How an import ended. The values are the protocol's."""

    IMPORTED = 1
    ALREADY_IN_DATABASE = 2
    PREVIOUSLY_DELETED = 3
    FAILED = 4
    VETOED = 7


class TagStatus(IntEnum):
    """What a tag is to a file, in one tag service. The values are the protocol's."""

    CURRENT = 0
    PENDING = 1
    DELETED = 2
    PETITIONED = 3


class ServiceType(IntEnum):
    """The kinds of services that hydrusd asks about. The values are the protocol's."""

    TAG_REPOSITORY = 0
    FILE_REPOSITORY = 1
    LOCAL_FILE_DOMAIN = 2
    LOCAL_TAG_DOMAIN = 5
    NUMERICAL_RATING = 6
    LIKE_RATING = 7
    ALL_KNOWN_TAGS = 10
    ALL_KNOWN_FILES = 11
    IPFS = 13
    TRASH = 14
    LOCAL_FILE_STORAGE = 15
    REPOSITORY_UPDATES = 20
    COMBINED_LOCAL_FILE_DOMAINS = 21
    COUNTING_RATING = 22


TAG_SERVICE_TYPES = frozenset({ServiceType.TAG_REPOSITORY, ServiceType.LOCAL_TAG_DOMAIN})


@dataclass(frozen=True, slots=True)
class ClientInfo:
    """What the client said of itself and of the access key when it was last asked.

    ``hydrus_version`` is None for clients too old to tell (before API 17).
    ``permissions`` leaves out what this hydrusd does not know; ``permits_everything``
    holds for those too. ``boot`` names the run of the client, see ``HydrusClient.boot``.
    ``key_name`` is what the user called the access key.
    """

    api_version: int
    hydrus_version: int | None
    permissions: frozenset[Permission]
    permits_everything: bool
    boot: str
    key_name: str


@dataclass(frozen=True, slots=True)
class Service:
    """One service of the client.

    ``key`` is hexadecimal, or None where the API speaks of services by name only (before
    API 21). ``type`` is one of ServiceType, or a number which that does not list.
    ``min_stars`` and ``max_stars`` are those of a numerical rating service (API ≥ 46).
    """

    name: str
    key: str | None
    type: int
    min_stars: int | None = None
    max_stars: int | None = None

    @property
    def reference(self) -> str:
        """By what the API calls the service: its key, before API 21 its name."""
        return self.name if self.key is None else self.key

    @property
    def takes_tags(self) -> bool:
        """Whether tags can be written to it."""
        return self.type in TAG_SERVICE_TYPES


@dataclass(frozen=True, slots=True)
class AddFileResult:
    """How the client took a file.

    ``hash`` is its SHA-256 as 64 hexadecimal digits, None where the client did not get
    so far. ``note`` is the client's reason in one line; for an import it is empty.
    """

    status: ImportStatus
    hash: str | None
    note: str


@dataclass(frozen=True, slots=True)
class GeneratedHashes:
    """The hashes of a file, all in hexadecimal.

    ``hash`` is its SHA-256. Only pictures and videos have ``perceptual_hashes``, only pictures
    a ``pixel_hash``: the SHA-256 of what they show.
    """

    hash: str
    perceptual_hashes: tuple[str, ...]
    pixel_hash: str | None


@dataclass(frozen=True, slots=True)
class FilePath:
    """Where the client keeps a file, its type and its size in bytes (these since API 73)."""

    path: str
    filetype: str | None
    size: int | None


@dataclass(frozen=True, slots=True)
class ThumbnailPath:
    """Where the client keeps a thumbnail, and its type where that was asked for."""

    path: str
    filetype: str | None


@dataclass(frozen=True, slots=True)
class StorageLocation:
    """One folder that a client spreads its files over.

    ``prefixes`` name the subfolders that are there: ``f`` for files, ``t`` for thumbnails, and
    the first two digits of the hash. ``max_bytes`` is None where the user set no limit.
    """

    path: str
    ideal_weight: int
    max_bytes: int | None
    prefixes: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class TagCount:
    """A tag, and on how many files it is."""

    tag: str
    count: int


@dataclass(frozen=True, slots=True)
class TagRelations:
    """What a tag is to others in one service; read-only in the API."""

    ideal_tag: str
    siblings: frozenset[str]
    descendants: frozenset[str]
    ancestors: frozenset[str]


class ApiVersionAnswer(BaseModel):
    """GET /api_version."""

    version: int
    hydrus_version: int | None = None


class VerifyAnswer(BaseModel):
    """GET /verify_access_key; the last two since API 71."""

    basic_permissions: list[int]
    human_description: str = ""
    name: str | None = None
    permits_everything: bool = False


class ClientInfoAnswer(BaseModel):
    """GET /client_info."""

    boot_id: str
    boot_time: Moment = None
    currently_idle: bool = False


class ServiceEntry(BaseModel):
    """One service, in whatever list it stands; key and type may stand outside."""

    name: str
    service_key: str | None = None
    type: int | None = None
    min_stars: int | None = None
    max_stars: int | None = None


class NamedService(BaseModel):
    """The service of GET /get_service."""

    name: str
    service_key: str
    type: int


class ServiceAnswer(BaseModel):
    """GET /get_service."""

    service: NamedService


class ServicesAnswer(BaseModel):
    """GET /get_services: a list since API 90, a map since 46, lists by kind since 17."""

    services_v2: list[ServiceEntry] | None = None
    services: dict[str, ServiceEntry] | None = None
    local_tags: list[ServiceEntry] = []
    tag_repositories: list[ServiceEntry] = []
    local_files: list[ServiceEntry] = []
    local_updates: list[ServiceEntry] = []
    file_repositories: list[ServiceEntry] = []
    all_local_files: list[ServiceEntry] = []
    all_local_media: list[ServiceEntry] = []
    all_known_files: list[ServiceEntry] = []
    all_known_tags: list[ServiceEntry] = []
    trash: list[ServiceEntry] = []


class TagServicesAnswer(BaseModel):
    """GET /add_tags/get_tag_services, removed in API 41: names only."""

    local_tags: list[str]
    tag_repositories: list[str]


class AddFileAnswer(BaseModel):
    """POST /add_files/add_file. Before API 45 the note of a failure is a traceback."""

    status: ImportStatus
    hash: str | None = None
    note: str = ""


class GeneratedHashesAnswer(BaseModel):
    """POST /add_files/generate_hashes."""

    hash: str
    perceptual_hashes: list[str] = []
    pixel_hash: str | None = None


class SearchAnswer(BaseModel):
    """GET /get_files/search_files with return_hashes."""

    hashes: list[str]


class FoundAnswer(BaseModel):
    """GET /get_files/search_files."""

    file_ids: list[int] | None = None
    hashes: list[str] | None = None


class FileHashesAnswer(BaseModel):
    """GET /get_files/file_hashes: what is unknown is left out."""

    hashes: dict[str, str]


class ServiceTags(BaseModel):
    """The tags of one file in one service."""

    storage_tags: dict[TagStatus, set[str]]


class MetadataRow(BaseModel):
    """One file of GET /get_files/file_metadata; tags by name, then by key, then in an object."""

    hash: str
    is_local: bool | None = None
    is_trashed: bool | None = None
    tags: dict[str, ServiceTags] | None = None
    service_keys_to_statuses_to_tags: dict[str, dict[TagStatus, set[str]]] | None = None
    service_names_to_statuses_to_tags: dict[str, dict[TagStatus, set[str]]] | None = None


class MetadataAnswer(BaseModel):
    """GET /get_files/file_metadata."""

    metadata: list[MetadataRow]


class CleanTagsAnswer(BaseModel):
    """GET /add_tags/clean_tags: sorted and without doubles, so not in the order asked."""

    tags: list[str]


class FilePathAnswer(BaseModel):
    """GET /get_files/file_path."""

    path: str
    filetype: str | None = None
    size: int | None = None


class ThumbnailPathAnswer(BaseModel):
    """GET /get_files/thumbnail_path."""

    path: str
    filetype: str | None = None


class StorageLocationEntry(BaseModel):
    """One of the client's folders."""

    path: str
    ideal_weight: int
    max_num_bytes: int | None = None
    prefixes: list[str]


class StorageLocationsAnswer(BaseModel):
    """GET /get_files/local_file_storage_locations."""

    locations: list[StorageLocationEntry]


class FoundTag(BaseModel):
    """One tag that begins with what was searched for."""

    value: str
    count: int


class SearchTagsAnswer(BaseModel):
    """GET /add_tags/search_tags."""

    tags: list[FoundTag]


class TagRelationsEntry(BaseModel):
    """One tag in one service."""

    ideal_tag: str
    siblings: frozenset[str]
    descendants: frozenset[str]
    ancestors: frozenset[str]


class TagRelationsAnswer(BaseModel):
    """GET /add_tags/get_siblings_and_parents."""

    tags: dict[str, dict[str, TagRelationsEntry]]


class FavouriteTagsAnswer(BaseModel):
    """GET /add_tags/get_favourite_tags, POST /add_tags/set_favourite_tags."""

    favourite_tags: list[str]


class NotesAnswer(BaseModel):
    """POST /add_notes/set_notes; before API 38 nothing is answered."""

    notes: dict[str, str]
