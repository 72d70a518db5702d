"""What a file is, as far as the simulator needs to know.

Pictures are opened with Pillow. Videos are told by their first bytes only; their
measures are made up, because nothing in hydrusd depends on them.
"""

from __future__ import annotations

import hashlib
import io
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from PIL import Image, UnidentifiedImageError

_FORMATS = ("JPEG", "PNG", "GIF", "WEBP")
_HEAD_BYTES = 4096
_GREY = (128, 128, 128)
# What Pillow says of a file that begins as a picture and does not go on as one.
_FLAWS = (OSError, EOFError, ValueError, SyntaxError)
_STILL_BRANDS = (b"avif", b"avis", b"heic", b"heix", b"mif1", b"msf1")


@dataclass(frozen=True, slots=True, kw_only=True)
class Kind:
    """A file type: mime, Hydrus' number and name of it, and its suffix."""

    mime: str
    enum: int
    human: str
    ext: str


_KINDS = {
    "JPEG": Kind(mime="image/jpeg", enum=1, human="jpeg", ext=".jpg"),
    "MPO": Kind(mime="image/jpeg", enum=1, human="jpeg", ext=".jpg"),
    "PNG": Kind(mime="image/png", enum=2, human="png", ext=".png"),
    "APNG": Kind(mime="image/apng", enum=23, human="apng", ext=".png"),
    "GIF": Kind(mime="image/gif", enum=68, human="static gif", ext=".gif"),
    "AGIF": Kind(mime="image/gif", enum=3, human="animated gif", ext=".gif"),
    "WEBP": Kind(mime="image/webp", enum=33, human="webp", ext=".webp"),
    "AWEBP": Kind(mime="image/webp", enum=83, human="animated webp", ext=".webp"),
}
_RENDERED = {1: "JPEG", 2: "PNG", 33: "WEBP"}
RENDER_FORMATS = frozenset(_RENDERED)
STILL_PICTURES = frozenset({1, 2, 33, 68})
PICTURES = STILL_PICTURES | {3, 23, 83}

_VIDEOS = {
    "webm": Kind(mime="video/webm", enum=21, human="webm", ext=".webm"),
    "mkv": Kind(mime="video/x-matroska", enum=20, human="matroska", ext=".mkv"),
    "mp4": Kind(mime="video/mp4", enum=14, human="mp4", ext=".mp4"),
}


def _filetypes() -> dict[str, frozenset[int]]:
    """Give what a search may call the types: their mimes, names and families."""
    still = {"JPEG", "PNG", "GIF", "WEBP"}
    named: dict[str, set[int]] = {"image/jpg": {1}, "jpg": {1}, "mkv": {20}}
    empty = ("application", "audio", "archive", "image project")
    families = {family: set[int]() for family in empty}
    for name, kind in (*_KINDS.items(), *_VIDEOS.items()):
        for called in (kind.mime, kind.mime.split("/")[1], kind.human):
            named.setdefault(called, set()).add(kind.enum)
        family = "video" if name in _VIDEOS else "image" if name in {*still, "MPO"} else "animation"
        families[family] = families.get(family, set()) | {kind.enum}
    return {name: frozenset(enums) for name, enums in (named | families).items()}


FILETYPES = _filetypes()


@dataclass(frozen=True, slots=True, kw_only=True)
class Picture:
    """What is known about a file's content. ``duration_ms`` and ``num_frames`` only if it moves."""

    kind: Kind
    width: int
    height: int
    duration_ms: int | None = None
    num_frames: int | None = None
    has_transparency: bool = False
    has_exif: bool = False
    has_icc_profile: bool = False


class Unimportable(Exception):
    """A file the client will not take. ``flaw`` is a key of ``Era.import_errors``."""

    def __init__(self, flaw: str) -> None:
        self.flaw = flaw
        super().__init__(flaw)


def identify(content: bytes | Path, *, truncated_too: bool) -> Picture:
    """Say what a file is, or raise Unimportable.

    ``truncated_too``: a picture whose end is missing is accepted if its start can be read.
    """
    if isinstance(content, Path):
        with content.open("rb") as stream:
            head = stream.read(_HEAD_BYTES)
    else:
        head = content[:_HEAD_BYTES]
    if not head:
        raise Unimportable("empty")
    if video := _video(head):
        return Picture(kind=video, width=640, height=360, duration_ms=1000, num_frames=25)
    return _picture(content, truncated_too=truncated_too)


def looks_of(content: bytes | Path) -> dict[str, Any]:
    """Give what ``generate_hashes`` tells of how a picture looks; empty for what is none.

    The pixel hash is one of the pixels, so two files of one picture share it, and the perceptual
    hash one of its brightness, coarsely; neither is computed as the real client does.
    """
    try:
        with _opened(content) as image:
            pixels = image.convert("RGBA")
    except _FLAWS:
        return {}
    size = f"{pixels.width}x{pixels.height} ".encode()
    tones = list(pixels.convert("L").resize((8, 8)).tobytes())
    middle = sorted(tones)[len(tones) // 2]
    bits = sum((tone >= middle) << place for place, tone in enumerate(tones))
    return {
        "perceptual_hashes": [f"{bits:016x}"],
        "pixel_hash": hashlib.sha256(size + pixels.tobytes()).hexdigest(),
    }


def thumbnail_of(content: bytes | Path, *, longest: int, jpeg: bool) -> tuple[bytes, str]:
    """Give a small picture of a picture and its mime; PNG for one that is partly transparent.

    What cannot be shown (a video here) has a plain grey one.
    """
    try:
        with _opened(content) as image:
            image.thumbnail((longest, longest))
            shown = image.convert("RGBA" if _is_transparent(image) else "RGB")
    except _FLAWS:
        shown = Image.new("RGB", (longest, longest), _GREY)
    as_jpeg = jpeg and shown.mode == "RGB"
    return _encoded(shown, "JPEG" if as_jpeg else "PNG"), "image/jpeg" if as_jpeg else "image/png"


def render(
    content: bytes | Path, enum: int, *, quality: int | None, size: tuple[int, int] | None
) -> tuple[bytes, str]:
    """Give a still picture in another format and size, and its mime."""
    name = _RENDERED[enum]
    with _opened(content) as image:
        shown = image.convert("RGB" if name == "JPEG" or not _is_transparent(image) else "RGBA")
    if size:
        shown = shown.resize(size)
    options = {} if name == "PNG" or quality is None else {"quality": quality}
    return _encoded(shown, name, **options), _KINDS[name].mime


def _opened(content: bytes | Path) -> Image.Image:
    source = io.BytesIO(content) if isinstance(content, bytes) else content
    image = Image.open(source, formats=_FORMATS)
    try:
        image.load()
    except _FLAWS:
        # Of a picture cut short the real client shows what there is, here it is all grey:
        # Pillow's only switch for that is global.
        with image:
            return Image.new("RGB", image.size, _GREY)
    return image


def _is_transparent(image: Image.Image) -> bool:
    return "transparency" in image.info or image.mode in {"RGBA", "LA", "PA"}


def _encoded(image: Image.Image, name: str, **options: int) -> bytes:
    buffer = io.BytesIO()
    image.save(buffer, name, **options)
    return buffer.getvalue()


def _video(head: bytes) -> Kind | None:
    if head.startswith(b"\x1a\x45\xdf\xa3"):
        return _VIDEOS["webm" if b"webm" in head else "mkv"]
    if head[4:8] == b"ftyp" and head[8:12] not in _STILL_BRANDS:
        return _VIDEOS["mp4"]
    return None


def _picture(content: bytes | Path, *, truncated_too: bool) -> Picture:
    source = io.BytesIO(content) if isinstance(content, bytes) else content
    try:
        with Image.open(source, formats=_FORMATS) as image:
            if not truncated_too:
                image.load()
            frames = getattr(image, "n_frames", 1)
            moves = frames > 1 and image.format != "MPO"
            name = str(image.format)
            duration_ms = int(image.info.get("duration", 100)) * frames
            return Picture(
                kind=_KINDS["A" + name if moves else name],
                width=image.width,
                height=image.height,
                duration_ms=duration_ms if moves else None,
                num_frames=frames if moves else None,
                has_transparency=_is_transparent(image),
                has_exif="exif" in image.info,
                has_icc_profile="icc_profile" in image.info,
            )
    except UnidentifiedImageError as error:
        raise Unimportable("unknown") from error
    except (Image.DecompressionBombError, Image.DecompressionBombWarning) as error:
        raise Unimportable("bomb") from error
    except _FLAWS as error:
        raise Unimportable("damaged") from error
