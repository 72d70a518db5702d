"""Reads what a camera or a photographer has written into a picture.

    rules:
      - name: import photos
        on:
          watch_folder: {path: ~/Pictures/photos}
        do:
          - add_file:
          - read_exif:
          - add_tags: {my tags: "{{ steps.read_exif.tags }}"}

It only reads; what becomes of it is said by the steps after it. So tags are added, told in
receipts and taken back by the one action that knows how. Nothing of the picture itself is
decoded, and a sidecar in XMP beside it (as darktable, digiKam and Lightroom write them) is
believed before what is in the file: it is what somebody edited last.

XMP is XML from strangers: what declares entities is not read, and nothing is read without end.
"""

from __future__ import annotations

import re
import xml.etree.ElementTree as ET
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, BinaryIO, ClassVar, Literal, cast

from pydantic import Field

from hydrusd.plugin import (
    AnyAction,
    Call,
    Data,
    FileSource,
    Outcome,
    ReadingAction,
    hookimpl,
    system_path,
)

if TYPE_CHECKING:
    from PIL import Image  # loaded when there is something to read, and not before

MOST_XMP_BYTES = 4 * 1024 * 1024
MOST_TEXT = 10_000
MOST_KEYWORDS = 500

_XMP_TAG = 700
"""Where TIFF keeps XMP."""
_RDF = "{http://www.w3.org/1999/02/22-rdf-syntax-ns#}"
_DC = "{http://purl.org/dc/elements/1.1/}"
_XMP = "{http://ns.adobe.com/xap/1.0/}"
_LIGHTROOM = "{http://ns.adobe.com/lightroom/1.0/}"
_TIME = re.compile(r"(\d{4})[:-](\d{2})[:-](\d{2})(?:[T ](\d{2}:\d{2}(?::\d{2})?))?")

Kind = Literal["keyword", "creator", "camera", "lens", "year", "rating"]


class ReadExif(ReadingAction):
    """Read EXIF and XMP of the file that was noticed.

    Later steps see `steps.read_exif.tags`: each keyword as it is, and what `take` names besides
    with a namespace, such as `camera:canon eos 6d`, `creator:…`, `year:2024`, `rating:4`. And
    `.title`, `.description`, `.creator`, `.camera`, `.lens` and `.taken` (`2024-05-01T12:30:00`,
    the camera's local time), empty where there is none; `.latitude` and `.longitude` in degrees,
    or none: these are never made tags of.

    What is no picture, or has no such data, gives empty ones.
    """

    action: ClassVar[str] = "read_exif"

    take: tuple[Kind, ...] = Field(
        default=("keyword", "creator", "camera", "lens", "year", "rating"),
        description="What to make tags of.",
    )
    sidecar: bool = Field(
        default=True, description="Read `NAME.jpg.xmp` or `NAME.xmp` beside the file, too."
    )

    def read(self, file: BinaryIO, call: Call[Any]) -> Outcome:
        """Read it, and what lies beside it."""
        found = _of_picture(file)
        if self.sidecar and call.source is not None:
            found = found.under(_sidecar(call.source))
        tags = list(dict.fromkeys(self._tags(found)))
        detail = ", ".join(tags[:10]) + (" …" if len(tags) > 10 else "")
        return Outcome.done(detail or "nothing is written in it", values=found.values(tags))

    def _tags(self, found: Found) -> Iterator[str]:
        for kind in self.take:
            match kind:
                case "keyword":
                    yield from found.keywords
                case "creator":
                    yield from (f"creator:{name}" for name in found.creators)
                case "year":
                    yield from ([f"year:{found.taken[:4]}"] if found.taken else [])
                case "rating":
                    yield from ([f"rating:{found.rating}"] if found.rating else [])
                case "camera" | "lens":
                    text = found.camera if kind == "camera" else found.lens
                    yield from ([f"{kind}:{text}"] if text else [])


@dataclass(frozen=True, slots=True)
class Found:
    """What was written in one place."""

    title: str = ""
    description: str = ""
    creators: tuple[str, ...] = ()
    keywords: tuple[str, ...] = ()
    camera: str = ""
    lens: str = ""
    taken: str = ""
    rating: int = 0
    place: tuple[float, float] | None = field(default=None, repr=False)

    def under(self, other: Found) -> Found:
        """Give what ``other`` says, and where that says nothing, what this one does."""
        names = Found.__dataclass_fields__
        return Found(**{name: getattr(other, name) or getattr(self, name) for name in names})

    def values(self, tags: list[str]) -> Data:
        """Give what later steps see; each name is always there."""
        return {
            "tags": tags,
            "title": self.title,
            "description": self.description,
            "creator": ", ".join(self.creators),
            "camera": self.camera,
            "lens": self.lens,
            "taken": self.taken,
            "latitude": self.place[0] if self.place else None,
            "longitude": self.place[1] if self.place else None,
        }


# --- EXIF ------------------------------------------------------------------------------------


def _of_picture(file: BinaryIO) -> Found:
    """Read a picture's own data. Gives nothing of what is no picture; raises OSError."""
    from PIL import Image, UnidentifiedImageError

    try:
        with Image.open(file) as picture:
            exif = picture.getexif()
            xmp = _raw_xmp(picture, exif)
            found = _of_exif(exif)
    except UnidentifiedImageError:
        return Found()
    except (Image.DecompressionBombError, Image.DecompressionBombWarning):
        return Found()  # larger than Pillow opens, if only to look
    except OSError as error:
        if error.errno is not None:
            raise
        return Found()  # broken, says Pillow; whether that matters is Hydrus' to say
    except (ValueError, SyntaxError, KeyError, TypeError, IndexError, AttributeError):
        return Found()  # what Pillow raises about broken EXIF has no class of its own
    return found.under(_of_xmp(xmp)) if xmp else found


def _raw_xmp(picture: Image.Image, exif: Image.Exif) -> bytes:
    raw = picture.info.get("xmp") or picture.info.get("XML:com.adobe.xmp") or exif.get(_XMP_TAG)
    return raw.encode() if isinstance(raw, str) else bytes(raw or b"")


def _of_exif(exif: Image.Exif) -> Found:
    from PIL import ExifTags

    details = exif.get_ifd(ExifTags.IFD.Exif)
    make, model = _text(exif.get(ExifTags.Base.Make)), _text(exif.get(ExifTags.Base.Model))
    # Half of the makers repeat their name in the model's.
    repeats = bool(make) and model.lower().startswith(make.split()[0].lower())
    camera = model if repeats else f"{make} {model}".strip()
    taken = details.get(ExifTags.Base.DateTimeOriginal) or exif.get(ExifTags.Base.DateTime)
    creator = _text(exif.get(ExifTags.Base.Artist))
    return Found(
        description=_text(exif.get(ExifTags.Base.ImageDescription)),
        creators=(creator,) if creator else (),
        camera=camera,
        lens=_text(details.get(ExifTags.Base.LensModel)),
        taken=_time(_text(taken)),
        place=_place(exif.get_ifd(ExifTags.IFD.GPSInfo)),
    )


def _text(value: object) -> str:
    if isinstance(value, bytes):
        value = value.decode("utf-8", "replace")
    if not isinstance(value, str):
        return ""
    return " ".join(value.replace("\x00", " ").split())[:MOST_TEXT]


def _time(text: str) -> str:
    """Give a time as ISO writes it; nothing for one that a camera without a clock has."""
    found = _TIME.match(text)
    if found is None or found[1] == "0000" or found[2] == "00" or found[3] == "00":
        return ""
    return f"{found[1]}-{found[2]}-{found[3]}" + (f"T{found[4]}" if found[4] else "")


def _place(gps: Mapping[int, Any]) -> tuple[float, float] | None:
    from PIL import ExifTags

    latitude = _degrees(gps.get(ExifTags.GPS.GPSLatitude), gps.get(ExifTags.GPS.GPSLatitudeRef))
    longitude = _degrees(gps.get(ExifTags.GPS.GPSLongitude), gps.get(ExifTags.GPS.GPSLongitudeRef))
    if latitude is None or longitude is None or abs(latitude) > 90 or abs(longitude) > 180:
        return None
    return latitude, longitude


def _degrees(parts: object, side: object) -> float | None:
    try:
        degrees, minutes, seconds = (float(part) for part in cast("Sequence[float]", parts))
    except (TypeError, ValueError, ZeroDivisionError):
        return None
    whole = degrees + minutes / 60 + seconds / 3600
    if whole != whole:  # noqa: PLR0124 - not a number: written as 0/0
        return None
    return round(-whole if side in {"S", "W"} else whole, 6)


# --- XMP -------------------------------------------------------------------------------------


def _sidecar(source: FileSource) -> Found:
    path = source.path
    for beside in (path.with_name(f"{path.name}.xmp"), path.with_suffix(".xmp")):
        try:
            with Path(system_path(str(beside))).open("rb") as file:
                return _of_xmp(file.read(MOST_XMP_BYTES + 1))
        except OSError:
            continue
    return Found()


def _of_xmp(raw: bytes) -> Found:
    raw = raw.strip(b"\x00 \r\n\t")
    if len(raw) > MOST_XMP_BYTES or b"\x00" in raw or b"<!" in raw.replace(b"<!--", b""):
        return Found()  # XMP is UTF-8 and declares nothing: who does so wants to harm
    try:
        root = ET.fromstring(raw)  # noqa: S314 - see above
    except (ET.ParseError, ValueError, LookupError):
        return Found()
    descriptions = list(root.iter(f"{_RDF}Description"))
    rating = _one(descriptions, f"{_XMP}Rating")
    keywords = _many(descriptions, f"{_DC}subject")
    for path in _many(descriptions, f"{_LIGHTROOM}hierarchicalSubject"):
        keywords += [part for part in path.split("|") if part not in keywords]
    return Found(
        title=_one(descriptions, f"{_DC}title"),
        description=_one(descriptions, f"{_DC}description"),
        creators=tuple(_many(descriptions, f"{_DC}creator")),
        keywords=tuple(dict.fromkeys(keywords))[:MOST_KEYWORDS],
        taken=_time(_one(descriptions, f"{_XMP}CreateDate")),
        rating=int(rating) if rating in {"1", "2", "3", "4", "5"} else 0,
    )


def _many(descriptions: Sequence[ET.Element], name: str) -> list[str]:
    """Give the texts of a property, which is written as an attribute, an element or a list."""
    found: list[str] = []
    for each in descriptions:
        found.append(_text(each.get(name)))
        for element in each.findall(name):
            items = list(element.iter(f"{_RDF}li"))
            found += [_text(item.text) for item in items or [element]]
    return [text for text in found if text]


def _one(descriptions: Sequence[ET.Element], name: str) -> str:
    return next(iter(_many(descriptions, name)), "")


@hookimpl
def hydrusd_register_actions(register: Callable[[type[AnyAction]], None]) -> None:
    """Register the action."""
    register(ReadExif)
