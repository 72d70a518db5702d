"""Types for the fields of triggers and actions whose text means more than text.

A number without a unit is refused where a duration is wanted: ``settle: 2`` would be
two of what? Sizes count in 1024s, as Hydrus does when it shows them.
"""

from __future__ import annotations

import difflib
import math
import re
import zoneinfo
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated

from pydantic import (
    AfterValidator,
    BeforeValidator,
    GetJsonSchemaHandler,
    ValidationInfo,
    WithJsonSchema,
)
from pydantic.json_schema import JsonSchemaValue
from pydantic_core import CoreSchema, PydanticCustomError

from hydrusd.rules._rehearsing import placed

LONGEST_SECONDS = 10 * 366 * 86_400
LARGEST_SIZE = 2**63 - 1
FOR_EVER = "forever"
SHORTEST_AGE_SECONDS = 86_400.0

_SECONDS = {"ms": 0.001, "s": 1.0, "m": 60.0, "h": 3600.0, "d": 86_400.0}
_PART = r"(\d{1,15}(?:\.\d{1,9})?)\s*(ms|s|m|h|d)"
_DURATION = re.compile(rf"(?:{_PART}\s*)+", re.ASCII)
_SIZE = re.compile(r"(\d{1,20}(?:\.\d{1,9})?)\s*(?:([KMGT])i?)?B?", re.ASCII | re.IGNORECASE)
_CONTROL = re.compile("[\x00-\x1f\x7f-\xa0\u2028\u2029]")
_POWERS = {"": 0, "K": 1, "M": 2, "G": 3, "T": 4}


def _wrong(message: str, hint: str = "") -> PydanticCustomError:
    # The text goes in as a value: pydantic would read braces in a template as fields.
    return PydanticCustomError("hydrusd", "{message}", {"message": message, "hint": hint})


def _duration(value: object) -> float:
    hint = "write it with its unit, as in 500ms, 2s, 15m, 1h30m or 1d"
    if isinstance(value, int | float) and not isinstance(value, bool):
        raise _wrong(f"{value} has no unit", hint)
    if not isinstance(value, str):
        raise _wrong("must be a duration", hint)
    text = value.strip()
    if len(text) > 100 or not _DURATION.fullmatch(text):
        bare = re.fullmatch(r"\d+(\.\d+)?", text)
        raise _wrong(f"{text[:40]} has no unit" if bare else f"{text[:40]!r} is no duration", hint)
    seconds = math.fsum(float(n) * _SECONDS[unit] for n, unit in re.findall(_PART, text))
    if seconds > LONGEST_SECONDS:
        raise _wrong("is longer than ten years")
    return seconds


def _age(value: object) -> float | None:
    if value == FOR_EVER:
        return None
    seconds = _duration(value)
    if seconds < SHORTEST_AGE_SECONDS:
        # What has only just ended may still be looked at by whoever waited for it.
        raise _wrong("must be a day or more", f"as in 90d, or {FOR_EVER}")
    return seconds


def _size(value: object) -> int:
    hint = "write it as in 10 KB, 1.5 MB or 2 GB; a number alone counts bytes"
    if isinstance(value, bool) or not isinstance(value, int | str):
        raise _wrong("must be a size", hint)
    if isinstance(value, int):
        size = value
    else:
        found = _SIZE.fullmatch(value.strip()) if len(value) <= 100 else None
        if not found:
            raise _wrong(f"{value[:40]!r} is no size", hint)
        number, scale = found[1], 1024 ** _POWERS[(found[2] or "").upper()]
        size = round(float(number) * scale) if "." in number else int(number) * scale
    if not 0 <= size <= LARGEST_SIZE:
        raise _wrong("must not be negative" if size < 0 else "is too large")
    return size


def _path(value: object, info: ValidationInfo) -> Path:
    if isinstance(value, Path):
        return value
    if not isinstance(value, str):
        raise _wrong("must be a path")
    if not value.strip():
        raise _wrong("must be a path, not an empty text")
    if _CONTROL.search(value):
        # "C:\temp" holds a tab: nobody means that, and a wrong folder would be watched.
        raise _wrong(
            "must be a path: this holds a special character",
            "in double quotes a backslash begins one; write the path in single quotes",
        )
    context = info.context
    known = isinstance(context, Mapping) and "folder" in context
    folder = context["folder"] if known else None  # type: ignore[index]
    try:
        path = resolve_path(value, folder)
    except RuntimeError:
        raise _wrong("begins with '~', but that home folder is not known") from None
    if known and not path.is_absolute():
        raise _wrong("is a relative path, and it is not known from where")
    return placed(path)


def _zone(name: str) -> str:
    try:
        zoneinfo.ZoneInfo(name)
    except (zoneinfo.ZoneInfoNotFoundError, ValueError, OSError):
        known = {each.lower(): each for each in zoneinfo.available_timezones()}
        near = difflib.get_close_matches(name.lower(), known, 1)
        hint = f"did you mean '{known[near[0]]}'?" if near else "write it as in Europe/Berlin"
        raise ValueError(f"there is no time zone '{name[:60]}'; {hint}") from None
    return name


def resolve_path(text: str, folder: Path | None) -> Path:
    """Give the path with ``~`` expanded, taken from ``folder`` where it is relative.

    Raises RuntimeError for a ``~`` without a home folder.
    """
    path = Path(text).expanduser()
    return path if folder is None else folder / path


class OrOne:
    """Marks a list of which a single item may be written without the list; for the schema.

    What takes the item for a list is a validator before it.
    """

    def __get_pydantic_json_schema__(
        self, core: CoreSchema, handler: GetJsonSchemaHandler
    ) -> JsonSchemaValue:
        """Give the schema of a list or of an item of it."""
        listed = handler(core)
        return {"anyOf": [listed.get("items", {}), listed]}


OR_ONE = OrOne()
"""Marks a tuple as a parameter that may also be written as a single value."""

Age = Annotated[
    float | None,
    BeforeValidator(_age),
    WithJsonSchema(
        {
            "anyOf": [
                {"const": FOR_EVER},
                {"type": "string", "pattern": r"^\s*(\d+(\.\d+)?\s*(ms|s|m|h|d)\s*)+$"},
            ]
        }
    ),
]
"""How long to keep something, in seconds: a day or more; None is for ever."""

Duration = Annotated[
    float,
    BeforeValidator(_duration),
    WithJsonSchema(
        {
            "type": "string",
            "pattern": r"^\s*(\d+(\.\d+)?\s*(ms|s|m|h|d)\s*)+$",
            "description": "a duration, such as 500ms, 2s, 15m, 1h30m or 1d",
        }
    ),
]
"""Written ``500ms``, ``2s``, ``15m``, ``1h30m``, ``1d``; the value is in seconds."""

Size = Annotated[
    int,
    BeforeValidator(_size),
    WithJsonSchema(
        {
            "anyOf": [
                {"type": "integer", "minimum": 0},
                {"type": "string", "pattern": r"^\s*\d+(\.\d+)?\s*([KMGTkmgt]i?)?[Bb]?\s*$"},
            ],
            "description": "a size, such as 10 KB or 1.5 MB (1 KB is 1024 bytes)",
        }
    ),
]
"""Written ``10 KB``, ``1.5 MB`` or as a number of bytes; the value is in bytes."""

FolderPath = Annotated[
    Path,
    BeforeValidator(_path),
    WithJsonSchema({"type": "string", "format": "path", "description": "a folder"}),
]
"""A folder; ``~`` is the home folder, a relative path starts at the rules file's folder."""

FilePath = Annotated[
    Path,
    BeforeValidator(_path),
    WithJsonSchema({"type": "string", "format": "path", "description": "a file"}),
]
"""A file; ``~`` is the home folder, a relative path starts at the rules file's folder."""

ZoneName = Annotated[str, AfterValidator(_zone)]
"""The name of a time zone, as in ``Europe/Berlin``."""
