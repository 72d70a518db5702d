"""What a client knows of a file: one shape for callers, whatever the version answers.

Tags stood by the service's name at first, then by its key beside the names, and now in an
object of their own; times were whole seconds and became fractions; most of a row did not
exist at first. What a version does not tell is None or empty here, never made up.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Any

from pydantic import BaseModel

Statuses = dict[int, frozenset[str]]
Rating = bool | int | float | None

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


@dataclass(frozen=True, slots=True)
class FileTags:
    """The tags of one file in one service: status (see TagStatus) → tags.

    ``storage`` is what was written, and what to edit by; ``display`` is what people see,
    after siblings and parents (empty before API 15).
    """

    storage: Statuses
    display: Statuses


@dataclass(frozen=True, slots=True)
class FilePlace:
    """When a file came into one file service, and when it was deleted from it."""

    imported_at: datetime | None
    deleted_at: datetime | None = None


@dataclass(frozen=True, slots=True)
class FileUrl:
    """One known URL of a file, as the client understands it.

    ``kind`` is the protocol's number (0 post, 2 file, 3 gallery, 4 watchable, 5 unknown).
    """

    url: str
    kind: int
    kind_name: str
    url_class: str
    can_parse: bool
    cannot_parse_reason: str = ""


@dataclass(frozen=True, slots=True)
class FileViews:
    """How often and how long a file was looked at, in one place (see CanvasType)."""

    canvas: int
    views: int
    seconds: float
    last_viewed_at: datetime | None


@dataclass(frozen=True, slots=True)
class FileMetadata:
    """One file, as the client knows it.

    ``file_id`` is the client's own number for it; None means that the client has never heard
    of this hash, and then nothing else is told. ``size`` is in bytes. ``modified`` is the
    earliest of ``modified_times``: by web domain, and ``local`` for the file on disk. Services
    stand by key, before API 21 by name. ``has`` lists what is embedded in the file, in
    the protocol's words (``exif``, ``icc_profile``…). All times are aware, in UTC.
    """

    hash: str
    file_id: int | None = None
    size: int | None = None
    mime: str | None = None
    ext: str | None = None
    filetype: str | None = None
    filetype_forced: bool | None = None
    original_mime: str | None = None
    width: int | None = None
    height: int | None = None
    duration_ms: int | None = None
    frames: int | None = None
    words: int | None = None
    has_audio: bool | None = None
    thumbnail_width: int | None = None
    thumbnail_height: int | None = None
    blurhash: str | None = None
    pixel_hash: str | None = None
    has: frozenset[str] = frozenset()
    is_inbox: bool | None = None
    is_local: bool | None = None
    is_trashed: bool | None = None
    is_deleted: bool | None = None
    modified_at: datetime | None = None
    modified_times: dict[str, datetime] = field(default_factory=dict)
    archived_at: datetime | None = None
    current: dict[str, FilePlace] = field(default_factory=dict)
    deleted: dict[str, FilePlace] = field(default_factory=dict)
    urls: tuple[str, ...] = ()
    detailed_urls: tuple[FileUrl, ...] = ()
    notes: dict[str, str] = field(default_factory=dict)
    ratings: dict[str, Rating] = field(default_factory=dict)
    ipfs_multihashes: dict[str, str] = field(default_factory=dict)
    tags: dict[str, FileTags] = field(default_factory=dict)
    views: tuple[FileViews, ...] = ()

    @property
    def is_known(self) -> bool:
        """Whether the client has ever heard of this hash."""
        return self.file_id is not None


class _Tags(BaseModel):
    storage_tags: Statuses = {}
    display_tags: Statuses = {}


class _Place(BaseModel):
    time_imported: float | None = None
    time_deleted: float | None = None


class _Places(BaseModel):
    current: dict[str, _Place] = {}
    deleted: dict[str, _Place] = {}


class _Url(BaseModel):
    normalised_url: str
    url_type: int
    url_type_string: str = ""
    match_name: str = ""
    can_parse: bool = False
    cannot_parse_reason: str | None = None


class _Views(BaseModel):
    canvas_type: int
    views: int
    viewtime: float
    last_viewed_timestamp: float | None = None


_OldTags = dict[str, Statuses] | None

_EMBEDDED = (
    "transparency",
    "exif",
    "xmp",
    "iptc",
    "human_readable_embedded_metadata",
    "software_source",
    "icc_profile",
)


class Row(BaseModel, extra="allow"):
    """One row of GET /get_files/file_metadata, in any flavour of any version."""

    hash: str
    file_id: int | None = None
    size: int | None = None
    mime: str | None = None
    ext: str | None = None
    filetype_human: str | None = None
    filetype_forced: bool | None = None
    original_mime: str | None = None
    width: int | None = None
    height: int | None = None
    duration: float | None = None
    num_frames: int | None = None
    num_words: int | None = None
    has_audio: bool | None = None
    thumbnail_width: int | None = None
    thumbnail_height: int | None = None
    blurhash: str | None = None
    pixel_hash: str | None = None
    is_inbox: bool | None = None
    is_local: bool | None = None
    is_trashed: bool | None = None
    is_deleted: bool | None = None
    time_modified: float | None = None
    time_modified_details: dict[str, float | None] = {}
    time_archived: float | None = None
    file_services: _Places = _Places()
    known_urls: list[str] = []
    detailed_known_urls: list[_Url] = []
    notes: dict[str, str] = {}
    ratings: dict[str, Rating] = {}
    ipfs_multihashes: dict[str, Any] = {}
    tags: dict[str, _Tags] | None = None
    service_keys_to_statuses_to_tags: _OldTags = None
    service_keys_to_statuses_to_display_tags: _OldTags = None
    service_names_to_statuses_to_tags: _OldTags = None
    service_names_to_statuses_to_display_tags: _OldTags = None
    file_viewing_statistics: list[_Views] = []

    def metadata(self) -> FileMetadata:
        """Give the row in the shape for callers."""
        extra = self.model_extra or {}
        return FileMetadata(
            hash=self.hash,
            file_id=self.file_id,
            size=self.size,
            mime=self.mime,
            ext=self.ext,
            filetype=self.filetype_human,
            filetype_forced=self.filetype_forced,
            original_mime=self.original_mime,
            width=self.width,
            height=self.height,
            duration_ms=None if self.duration is None else round(self.duration),
            frames=self.num_frames,
            words=self.num_words,
            has_audio=self.has_audio,
            thumbnail_width=self.thumbnail_width,
            thumbnail_height=self.thumbnail_height,
            blurhash=self.blurhash,
            pixel_hash=self.pixel_hash,
            has=frozenset(name for name in _EMBEDDED if extra.get(f"has_{name}") is True),
            is_inbox=self.is_inbox,
            is_local=self.is_local,
            is_trashed=self.is_trashed,
            is_deleted=self.is_deleted,
            modified_at=_time(self.time_modified),
            modified_times={
                domain: at
                for domain, seconds in self.time_modified_details.items()
                if (at := _time(seconds)) is not None
            },
            archived_at=_time(self.time_archived),
            current=_places(self.file_services.current),
            deleted=_places(self.file_services.deleted),
            urls=tuple(self.known_urls),
            detailed_urls=tuple(
                FileUrl(
                    url.normalised_url,
                    url.url_type,
                    url.url_type_string,
                    url.match_name,
                    url.can_parse,
                    url.cannot_parse_reason or "",
                )
                for url in self.detailed_known_urls
            ),
            notes=self.notes,
            ratings=self.ratings,
            ipfs_multihashes={key: str(value) for key, value in self.ipfs_multihashes.items()},
            tags=self._tags(),
            views=tuple(
                FileViews(v.canvas_type, v.views, v.viewtime, _time(v.last_viewed_timestamp))
                for v in self.file_viewing_statistics
            ),
        )

    def _tags(self) -> dict[str, FileTags]:
        if self.tags is not None:
            return {
                service: FileTags(tags.storage_tags, tags.display_tags)
                for service, tags in self.tags.items()
            }
        if self.service_keys_to_statuses_to_tags is not None:
            storage = self.service_keys_to_statuses_to_tags
            display = self.service_keys_to_statuses_to_display_tags or {}
        else:
            storage = self.service_names_to_statuses_to_tags or {}
            display = self.service_names_to_statuses_to_display_tags or {}
        return {
            service: FileTags(storage.get(service, {}), display.get(service, {}))
            for service in {**storage, **display}
        }


class RowsAnswer(BaseModel):
    """GET /get_files/file_metadata."""

    metadata: list[Row]


def _places(places: dict[str, _Place]) -> dict[str, FilePlace]:
    return {
        service: FilePlace(_time(place.time_imported), _time(place.time_deleted))
        for service, place in places.items()
    }


def _time(seconds: float | None) -> datetime | None:
    if seconds is None:
        return None
    try:
        return _EPOCH + timedelta(seconds=seconds)
    except OverflowError:  # a year that no calendar has
        return None
