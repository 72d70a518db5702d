"""Times and viewings, as they are written in rules and as Hydrus keeps them.

A time says of itself which moment it is, or it is refused: a number without a unit could be
seconds or nanoseconds, a text without a time zone any of 24 moments. Guessed wrong, either
would be written to thousands of files before anybody notices.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Annotated, ClassVar, Literal

from pydantic import BeforeValidator, WithJsonSchema

from hydrusd.builtin.actions._editing import OR_TEMPLATE
from hydrusd.plugin import CanvasType, Duration, FileMetadata

NO_TIME = "none"

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_MILLISECOND = timedelta(milliseconds=1)
_STAMP = re.compile(r"(-?\d{1,25})(?:\.(\d{1,9}))?\s*(s|ms|us|ns)", re.ASCII)
_PER_SECOND = {"s": 1, "ms": 10**3, "us": 10**6, "ns": 10**9}
_HINT = "write it as 2026-11-24T09:30:00Z, or as a number with its unit since 1970, as 1790000000 s"


def _moment(value: object) -> datetime | None:
    if value is None or value == NO_TIME:
        return None
    if isinstance(value, datetime):
        return value
    if not isinstance(value, str):
        raise ValueError(f"must be a time, not {value!r}: {_HINT}")  # noqa: TRY004 - what pydantic catches
    text = value.strip()
    if found := _STAMP.fullmatch(text):
        return _since_1970(found)
    try:
        at = datetime.fromisoformat(text)
    except ValueError:
        raise ValueError(f"{text[:60]!r} is no time: {_HINT}") from None
    if at.tzinfo is None:
        raise ValueError(
            f"{text[:60]!r} has no time zone: end it with Z for UTC, or with +01:00, say"
        )
    try:
        return _to_the_millisecond(at.astimezone(UTC))
    except OverflowError:
        raise ValueError(f"{text[:60]!r} is beyond any calendar") from None


def _since_1970(found: re.Match[str]) -> datetime:
    # In whole numbers: nanoseconds of today do not fit into a float.
    fraction = found[2] or ""
    units = int(found[1] + fraction)
    milliseconds = units * 1000 // (_PER_SECOND[found[3]] * 10 ** len(fraction))
    try:
        return _EPOCH + timedelta(milliseconds=milliseconds)
    except OverflowError:
        raise ValueError(f"{found[0]!r} is beyond any calendar") from None


def _to_the_millisecond(at: datetime) -> datetime:
    """Cut off what Hydrus does not keep."""
    return at.replace(microsecond=at.microsecond // 1000 * 1000)


def _count(value: object) -> int:
    text = str(value).strip()
    if isinstance(value, bool | float) or not re.fullmatch(r"\d{1,9}", text, re.ASCII):
        raise ValueError(f"must be a whole number from 0 on, not {value!r}")
    return int(text)


Moment = Annotated[
    datetime | None,
    BeforeValidator(_moment),
    OR_TEMPLATE,
    WithJsonSchema({"type": ["string", "null"]}),
]
"""A time; None where `none` was written."""

Views = Annotated[
    int,
    BeforeValidator(_count),
    OR_TEMPLATE,
    WithJsonSchema({"type": ["integer", "string"], "minimum": 0}),
]
"""How often."""

ViewTime = Annotated[Duration, OR_TEMPLATE, WithJsonSchema({"type": "string"})]
"""How long, in seconds."""

Canvas = Literal["media_viewer", "preview", "client_api"]


def canvas_type(name: Canvas) -> CanvasType:
    """Give the protocol's number of where a file was viewed."""
    return CanvasType[name.upper()]


def written(at: datetime | None) -> str | None:
    """Give a time as it is kept in receipts."""
    return None if at is None else at.astimezone(UTC).isoformat(timespec="milliseconds")


def read(text: str | None) -> datetime | None:
    """Read back what ``written`` gave."""
    return None if text is None else datetime.fromisoformat(text)


def same_time(one: datetime | None, other: datetime | None) -> bool:
    """Say whether two times are the same millisecond, which is all that Hydrus keeps."""
    if one is None or other is None:
        return one is other
    return round((one - other) / _MILLISECOND) == 0


@dataclass(frozen=True, slots=True)
class Viewed:
    """How often and how long a file was viewed in a place, as receipts keep it."""

    SECONDS_APART: ClassVar[float] = 0.002
    """Hydrus cuts thousandths off, by way of binary fractions: so little is no difference."""

    views: int
    seconds: float
    last_at: datetime | None

    @classmethod
    def of(cls, file: FileMetadata, canvas: CanvasType) -> Viewed:
        """Take it from what the client knows; never, where it has no record."""
        for found in file.views:
            if found.canvas == canvas:
                return cls(found.views, found.seconds, found.last_viewed_at)
        return cls(0, 0.0, None)

    def to_data(self) -> Mapping[str, object]:
        """Give plain JSON."""
        return {"views": self.views, "seconds": self.seconds, "last_viewed": written(self.last_at)}

    @classmethod
    def from_data(cls, data: object) -> Viewed:
        """Read back what ``to_data`` gave."""
        assert isinstance(data, Mapping)
        return cls(data["views"], data["seconds"], read(data.get("last_viewed")))

    def is_like(self, other: Viewed) -> bool:
        """Say whether it counts the same."""
        return self.views == other.views and abs(self.seconds - other.seconds) < self.SECONDS_APART
