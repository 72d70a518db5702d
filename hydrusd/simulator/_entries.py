"""What a client knows about one hash: the file itself, if it ever had it, and its tags.

``StoredFile`` is frozen and replaced as a whole, so a snapshot of an entry (the
store takes one before each first uncommitted change) copies little more than tags.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass, field, replace
from typing import Any, NamedTuple

CURRENT = 0
PENDING = 1
DELETED = 2
PETITIONED = 3

Statuses = dict[int, set[str]]


Rating = bool | int


class Viewing(NamedTuple):
    """How often and how long a file was looked at in one kind of viewer, and when last."""

    views: int = 0
    seconds: float = 0.0
    last: float | None = None


class Removal(NamedTuple):
    """That a file was taken out of a file service: when, and when it had come in."""

    time_deleted: float
    time_imported: float


@dataclass(frozen=True, slots=True, kw_only=True)
class StoredFile:
    """A file that was imported once, wherever it is now. Times are seconds since the epoch.

    ``domains``: local file domain to time of import; ``imported_at`` is that of all of them
    together and ``stored_at`` that of the file storage. ``on_disk`` is False once it was
    physically deleted; on disk but in no domain means in the trash.
    """

    size: int
    mime: str
    filetype_enum: int
    filetype_human: str
    ext: str
    width: int
    height: int
    duration_ms: int | None
    num_frames: int | None
    has_transparency: bool
    has_exif: bool
    has_icc_profile: bool
    imported_at: float
    modified_at: float
    domains: Mapping[str, float]
    removals: Mapping[str, Removal] = field(default_factory=dict)
    stored_at: float
    inbox: bool = True
    archived_at: float | None = None
    on_disk: bool = True
    delete_reason: str = ""
    deleted_at: float | None = None

    @property
    def is_current(self) -> bool:
        """Whether some local file domain has it."""
        return bool(self.domains)

    @property
    def is_trashed(self) -> bool:
        """Whether it is on disk only."""
        return self.on_disk and not self.domains


@dataclass(slots=True)
class Entry:
    """All that a client knows about one hash. ``tags``: service key to status to tags.

    ``reasons``: service key to petitioned tag to why. ``ratings``: by service key. ``notes``: by
    name. ``site_times``: web domain to the time of modification it told. ``viewings``: by canvas.
    """

    file_id: int
    file: StoredFile | None = None
    tags: dict[str, Statuses] = field(default_factory=dict)
    known_urls: tuple[str, ...] = ()
    reasons: dict[str, dict[str, str]] = field(default_factory=dict)
    ratings: dict[str, Rating] = field(default_factory=dict)
    notes: dict[str, str] = field(default_factory=dict)
    site_times: dict[str, float] = field(default_factory=dict)
    viewings: dict[int, Viewing] = field(default_factory=dict)

    def copy(self) -> Entry:
        """Give a copy that later changes of this entry do not touch."""
        tags = {
            key: {status: set(of_status) for status, of_status in statuses.items()}
            for key, statuses in self.tags.items()
        }
        return replace(
            self,
            tags=tags,
            reasons={key: dict(of_tag) for key, of_tag in self.reasons.items()},
            ratings=dict(self.ratings),
            notes=dict(self.notes),
            site_times=dict(self.site_times),
            viewings=dict(self.viewings),
        )

    def statuses(self, service_key: str) -> Statuses:
        """Give a tag service's statuses, to be changed in place."""
        return self.tags.setdefault(service_key, {})

    def to_json(self) -> dict[str, Any]:
        """Give the entry as JSON can hold it."""
        return {
            "file_id": self.file_id,
            "file": asdict(self.file) if self.file else None,
            "tags": {
                key: {str(status): sorted(of_status) for status, of_status in statuses.items()}
                for key, statuses in self.tags.items()
            },
            "known_urls": list(self.known_urls),
            "reasons": self.reasons,
            "ratings": self.ratings,
            "notes": self.notes,
            "site_times": self.site_times,
            "viewings": {str(canvas): viewing for canvas, viewing in self.viewings.items()},
        }

    @classmethod
    def from_json(cls, document: dict[str, Any]) -> Entry:
        """Give back what ``to_json`` made."""
        file = None
        if kept := document["file"]:
            removals = {key: Removal(*pair) for key, pair in kept.pop("removals").items()}
            file = StoredFile(**kept, removals=removals)
        tags = {
            key: {int(status): set(of_status) for status, of_status in statuses.items()}
            for key, statuses in document["tags"].items()
        }
        return cls(
            document["file_id"],
            file,
            tags,
            tuple(document["known_urls"]),
            document["reasons"],
            document["ratings"],
            document["notes"],
            document["site_times"],
            {int(canvas): Viewing(*viewing) for canvas, viewing in document["viewings"].items()},
        )


def visible_statuses(statuses: Statuses) -> dict[str, list[str]]:
    """Give statuses as answers show them: numbers as text, tags sorted, nothing empty."""
    return {
        str(status): sorted(of_status)
        for status, of_status in sorted(statuses.items())
        if of_status
    }
