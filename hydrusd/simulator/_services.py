"""The services of a simulated client and how they are shown to callers."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Iterator
from dataclasses import replace
from typing import Any

from hydrusd.simulator._config import Service
from hydrusd.simulator._eras import Era

TAG_REPOSITORY = 0
FILE_REPOSITORY = 1
LOCAL_FILES = 2
LOCAL_TAGS = 5
NUMERICAL_RATING = 6
LIKE_RATING = 7
ALL_KNOWN_TAGS = 10
ALL_KNOWN_FILES = 11
TRASH = 14
FILE_STORAGE = 15
DELETED_ANYWHERE = 19
UPDATES = 20
ALL_LOCAL_MEDIA = 21
COUNTING_RATING = 22

FILE_TYPES = frozenset({
    FILE_REPOSITORY, LOCAL_FILES, ALL_KNOWN_FILES, TRASH, FILE_STORAGE, UPDATES, ALL_LOCAL_MEDIA
})  # fmt: skip
REAL_TAG_TYPES = frozenset({TAG_REPOSITORY, LOCAL_TAGS})
RATING_TYPES = frozenset({NUMERICAL_RATING, LIKE_RATING, COUNTING_RATING})

_TYPES_PRETTY = {
    TAG_REPOSITORY: "hydrus tag repository",
    FILE_REPOSITORY: "hydrus file repository",
    LOCAL_FILES: "local file domain",
    LOCAL_TAGS: "local tag domain",
    NUMERICAL_RATING: "local numerical rating service",
    LIKE_RATING: "local like/dislike rating service",
    ALL_KNOWN_TAGS: "virtual combined tag domain",
    ALL_KNOWN_FILES: "virtual combined file domain",
    TRASH: "local trash file domain",
    FILE_STORAGE: "virtual combined local file domain",
    UPDATES: "local update file domain",
    ALL_LOCAL_MEDIA: "virtual combined local media domain",
    COUNTING_RATING: "local inc/dec rating service",
}

# In the order of the lists in /get_services; the last ones have no list of their own there.
_LISTS = {
    "local_tags": LOCAL_TAGS,
    "tag_repositories": TAG_REPOSITORY,
    "local_files": LOCAL_FILES,
    "local_updates": UPDATES,
    "file_repositories": FILE_REPOSITORY,
    "all_local_files": FILE_STORAGE,
    "all_local_media": ALL_LOCAL_MEDIA,
    "all_known_files": ALL_KNOWN_FILES,
    "all_known_tags": ALL_KNOWN_TAGS,
    "trash": TRASH,
}
_ORDER = (*(kind for kind in _LISTS.values() if kind != TRASH), *sorted(RATING_TYPES), TRASH)

_COLOURS = {"like": "#F0F041", "dislike": "#C85078", "null": "#BFBFBF", "mixed": "#5F5F5F"}

Shown = dict[str, Any]


def _hex(name: str) -> str:
    return name.encode().hex()


MY_TAGS_KEY = _hex("local tags")
MY_FILES_KEY = _hex("local files")
ALL_LOCAL_MEDIA_KEY = _hex("all local media")
FILE_STORAGE_KEY = _hex("all local files")
ALL_KNOWN_FILES_KEY = _hex("all known files")
ALL_KNOWN_TAGS_KEY = _hex("all known tags")
TRASH_KEY = _hex("trash")
DELETED_ANYWHERE_KEY = _hex("all deleted files")


def _defaults(era: Era) -> Iterator[Service]:
    renamed = era.has("service_types")
    yield Service("my tags", LOCAL_TAGS, MY_TAGS_KEY)
    if era.has("service_keys"):
        yield Service("downloader tags", LOCAL_TAGS, _hex("downloader tags"))
    yield Service("my files", LOCAL_FILES, MY_FILES_KEY)
    yield Service("repository updates", UPDATES, _hex("repository updates"))
    storage = "hydrus local file storage" if renamed else "all local files"
    yield Service(storage, FILE_STORAGE, FILE_STORAGE_KEY)
    media = "combined local file domains" if renamed else "all my files"
    yield Service(media, ALL_LOCAL_MEDIA, ALL_LOCAL_MEDIA_KEY)
    yield Service("all known files", ALL_KNOWN_FILES, ALL_KNOWN_FILES_KEY)
    yield Service("all known tags", ALL_KNOWN_TAGS, ALL_KNOWN_TAGS_KEY)
    yield Service("favourites", LIKE_RATING, _hex("favourites"))
    yield Service("trash", TRASH, TRASH_KEY)


class Services:
    """All services of one client; immutable after the start."""

    def __init__(self, era: Era, extra: Iterable[Service]) -> None:
        made = [
            service
            if service.key
            else replace(
                service,
                key=hashlib.sha256(f"{place} {service.type} {service.name}".encode()).hexdigest(),
            )
            for place, service in enumerate(extra)
        ]
        everyone = [*_defaults(era), *made]
        everyone.sort(key=lambda s: (_ORDER.index(s.type), s.name, s.key))
        self._era = era
        self.by_key = {service.key: service for service in everyone}
        if len(self.by_key) != len(everyone):
            raise ValueError("two services have the same key")
        self.tag_services = [s for s in everyone if s.type in REAL_TAG_TYPES]
        self.rating_services = [s for s in everyone if s.type in RATING_TYPES]
        self.described = {service.key: self._describe(service) for service in everyone}
        self.lists: dict[str, list[Shown]] = {
            name: [
                {**self._brief(service), "service_key": service.key}
                for service in everyone
                if service.type == kind
            ]
            for name, kind in _LISTS.items()
        }

    def named(self, name: str) -> Service | None:
        """Give the service of that name; the first one where several have it."""
        return next((s for s in self.by_key.values() if s.name == name), None)

    def kind(self, key: str) -> int | None:
        """Give the type of the service with that key, or None."""
        service = self.by_key.get(key)
        return service.type if service else None

    def objects(self) -> Shown:
        """Give the services objects that accompany many answers, as far as the era has them."""
        shown: Shown = {}
        if self._era.has("services_object"):
            shown["services"] = self.described
        if self._era.has("services_v2"):
            shown["services_v2"] = [
                {"name": description["name"], "service_key": key, **description}
                for key, description in self.described.items()
            ]
        return shown

    def _brief(self, service: Service) -> Shown:
        if not self._era.has("service_types"):
            return {"name": service.name}
        pretty = _TYPES_PRETTY[service.type]
        return {"name": service.name, "type": service.type, "type_pretty": pretty}

    def _describe(self, service: Service) -> Shown:
        shown = self._brief(service)
        if service.type not in RATING_TYPES:
            return shown
        states = ("like", "mixed") if service.type == COUNTING_RATING else tuple(_COLOURS)
        shown |= {"show_in_thumbnail": False, "show_in_thumbnail_even_when_null": False}
        if service.type != COUNTING_RATING:
            shown["star_shape"] = "fat star"
        shown["colours"] = {state: {"pen": "#000000", "brush": _COLOURS[state]} for state in states}
        if service.type == NUMERICAL_RATING:
            shown |= {
                "allows_zero": service.allows_zero,
                "min_stars": 0 if service.allows_zero else 1,
                "max_stars": service.stars,
            }
        return shown
