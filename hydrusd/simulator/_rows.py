"""The rows of ``/get_files/file_metadata``, as each era shapes them."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from hydrusd.simulator._client import Client
from hydrusd.simulator._entries import (
    CURRENT,
    PENDING,
    Entry,
    Statuses,
    StoredFile,
    Viewing,
    visible_statuses,
)
from hydrusd.simulator._services import (
    ALL_KNOWN_TAGS_KEY,
    ALL_LOCAL_MEDIA_KEY,
    COUNTING_RATING,
    DELETED_ANYWHERE,
    DELETED_ANYWHERE_KEY,
    FILE_STORAGE_KEY,
    TRASH_KEY,
)

_BASE83 = "0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz#$%*+,-.:;=?@[]^_{|}~"
_CANVASES = ((0, "media viewer"), (1, "preview viewer"), (4, "client api viewer"))
_UNKNOWN_FILETYPE = 101
_DELETED_ANYWHERE = {
    "name": "deleted from anywhere",
    "type": DELETED_ANYWHERE,
    "type_pretty": "virtual deleted file service",
}
_THUMBNAIL_PIXELS = 200

Row = dict[str, Any]


@dataclass(frozen=True, slots=True, kw_only=True)
class Wishes:
    """What a caller asked to have in the rows."""

    identifiers_only: bool = False
    basic_only: bool = False
    blurhash: bool = False
    detailed_urls: bool = False
    milliseconds: bool = False
    notes: bool = False


class Rows:
    """Makes rows for one request."""

    def __init__(self, client: Client, wishes: Wishes) -> None:
        self._client = client
        self._era = client.era
        self._wishes = wishes

    def row(self, sha256: str, entry: Entry | None) -> Row:
        """Give the row of one hash; ``entry`` is None where the client never heard of it."""
        row: Row = {"file_id": entry.file_id if entry else None, "hash": sha256}
        if entry is None or self._wishes.identifiers_only:
            return row
        row |= self._basics(sha256, entry.file)
        if self._wishes.basic_only:
            return row
        return row | self._details(entry) | self._tags(entry)

    def _basics(self, sha256: str, file: StoredFile | None) -> Row:
        era = self._era
        row: Row = {
            "size": file.size if file else None,
            "mime": file.mime if file else era.words["thing_no_type"],
        }
        if era.has("filetype_names"):
            row["filetype_human"] = file.filetype_human if file else era.words["thing_no_type"]
            row["filetype_enum"] = file.filetype_enum if file else _UNKNOWN_FILETYPE
            row["filetype_forced"] = False
        if era.has("file_status_flags"):
            row["ext"] = file.ext if file else ""
        row |= {
            "width": file.width if file else None,
            "height": file.height if file else None,
            "duration": file.duration_ms if file else None,
            "num_frames": file.num_frames if file else None,
            "num_words": None,
            "has_audio": False if file else None,
        }
        full = not self._wishes.basic_only
        if era.has("blurhash") and (full or self._wishes.blurhash):
            row["blurhash"] = _stand_in_blurhash(sha256) if file else None
        if era.has("blurhash") and full:
            row["pixel_hash"] = _stand_in_pixel_hash(sha256) if file else None
            if file:
                scale = min(1.0, _THUMBNAIL_PIXELS / max(file.width, file.height))
                row["thumbnail_width"] = max(1, round(file.width * scale))
                row["thumbnail_height"] = max(1, round(file.height * scale))
        return row

    def _details(self, entry: Entry) -> Row:
        era, file = self._era, entry.file
        row: Row = {}
        if self._wishes.notes and era.has("notes"):
            row["notes"] = dict(entry.notes)
        if era.has("file_services"):
            row["file_services"] = self._file_services(file)
        times = {site: self._time(when) for site, when in entry.site_times.items()}
        if file:
            times["local"] = self._time(file.modified_at)
        if era.has("file_services"):
            row["time_modified"] = min(times.values(), default=None)
        if era.has("filetype_names"):
            row["time_modified_details"] = times
        if era.has("time_archived") and file and file.archived_at is not None:
            row["time_archived"] = self._time(file.archived_at)
        if era.has("file_status_flags"):
            row["is_inbox"] = bool(file and file.is_current and file.inbox)
            row["is_local"] = bool(file and file.on_disk)
            row["is_trashed"] = bool(file and file.is_trashed)
        if era.has("filetype_names"):
            row |= {
                "is_deleted": bool(file and not file.is_current),
                "has_transparency": bool(file and file.has_transparency),
                "has_exif": bool(file and file.has_exif),
                "has_xmp": False,
                "has_iptc": False,
                "has_human_readable_embedded_metadata": False,
                "has_software_source": False,
                "has_icc_profile": bool(file and file.has_icc_profile),
                "ipfs_multihashes": {},
                "ratings": {
                    s.key: entry.ratings.get(s.key, 0 if s.type == COUNTING_RATING else None)
                    for s in self._client.services.rating_services
                },
                "file_viewing_statistics": [
                    {
                        "canvas_type": number,
                        "canvas_type_pretty": pretty,
                        "views": viewing.views,
                        "viewtime": viewing.seconds,
                        "last_viewed_timestamp": viewing.last,
                    }
                    for number, pretty in _CANVASES
                    for viewing in (entry.viewings.get(number, Viewing()),)
                ],
            }
        row["known_urls"] = list(entry.known_urls)
        if self._wishes.detailed_urls and era.has("detailed_urls"):
            row["detailed_known_urls"] = [
                {
                    "normalised_url": url,
                    "url_type": 5,
                    "url_type_string": "unknown url",
                    "match_name": "unknown url",
                    "can_parse": False,
                }
                for url in entry.known_urls
            ]
        return row

    def _file_services(self, file: StoredFile | None) -> Row:
        if file is None:
            return {"current": {}, "deleted": {}}
        current = dict(file.domains)
        if file.is_current:
            current[ALL_LOCAL_MEDIA_KEY] = file.imported_at
        if file.on_disk:
            current[FILE_STORAGE_KEY] = file.stored_at
        if file.is_trashed and file.deleted_at is not None:
            current[TRASH_KEY] = file.deleted_at
        if file.removals and self._era.has("service_types"):
            current[DELETED_ANYWHERE_KEY] = max(
                gone.time_deleted for gone in file.removals.values()
            )
        return {
            "current": {
                key: self._service(key) | {"time_imported": self._time(when)}
                for key, when in current.items()
            },
            "deleted": {
                key: self._service(key)
                | {
                    "time_deleted": self._time(removal.time_deleted),
                    "time_imported": self._time(removal.time_imported),
                }
                for key, removal in file.removals.items()
                if key not in current
            },
        }

    def _tags(self, entry: Entry) -> Row:
        services = self._client.services
        of_service = {s.key: entry.tags.get(s.key, {}) for s in services.tag_services}
        of_service[ALL_KNOWN_TAGS_KEY] = _union(of_service.values())
        stored = {key: visible_statuses(statuses) for key, statuses in of_service.items()}
        shown = self._display_tags(of_service) or stored
        if self._era.has("tags_object"):
            return {
                "tags": {
                    key: self._service(key) | {"storage_tags": tags, "display_tags": shown[key]}
                    for key, tags in stored.items()
                }
            }
        by_key = {key: tags for key, tags in stored.items() if tags}
        by_name = {services.by_key[key].name: tags for key, tags in by_key.items()}
        shown_by_key = {key: tags for key, tags in shown.items() if tags}
        shown_by_name = {services.by_key[key].name: tags for key, tags in shown_by_key.items()}
        row: Row = {"service_names_to_statuses_to_tags": by_name}
        if self._era.has("service_keys"):
            row |= {
                "service_keys_to_statuses_to_tags": by_key,
                "service_names_to_statuses_to_display_tags": shown_by_name,
                "service_keys_to_statuses_to_display_tags": shown_by_key,
            }
        return row

    def _display_tags(self, of_service: Mapping[str, Statuses]) -> dict[str, Row]:
        """Give the tags as siblings and parents show them; empty if that changes nothing."""
        display = self._client.display
        if all(display.is_plain(key) for key in of_service):
            return {}
        shown = {
            key: {
                # What was deleted and what shall go is shown as it is.
                status: display.shown(key, tags) if status in {CURRENT, PENDING} else tags
                for status, tags in statuses.items()
            }
            for key, statuses in of_service.items()
            if key != ALL_KNOWN_TAGS_KEY
        }
        shown[ALL_KNOWN_TAGS_KEY] = _union(shown.values())
        return {key: visible_statuses(statuses) for key, statuses in shown.items()}

    def _service(self, key: str) -> Row:
        if not self._era.has("service_types"):
            return {}
        if key == DELETED_ANYWHERE_KEY:
            return _DELETED_ANYWHERE
        described = self._client.services.described[key]
        return {name: described[name] for name in ("name", "type", "type_pretty")}

    def _time(self, seconds: float) -> float:
        return round(seconds, 3) if self._wishes.milliseconds else int(seconds)


def _union(all_statuses: Any) -> Statuses:
    union: Statuses = {CURRENT: set()}
    for statuses in all_statuses:
        for status, tags in statuses.items():
            union.setdefault(status, set()).update(tags)
    return union


def _stand_in_blurhash(sha256: str) -> str:
    """Give text that looks like a blurhash; nobody computes with it."""
    digest = hashlib.sha512(b"blur" + sha256.encode()).digest()
    return "U" + "".join(_BASE83[byte % 83] for byte in digest[:35])


def _stand_in_pixel_hash(sha256: str) -> str:
    """Give text that looks like a pixel hash, another one for each file."""
    return hashlib.sha256(b"pixels" + sha256.encode()).hexdigest()
