"""What a file is, as far as the simulator needs to know.

Pictures are opened with Pillow. Videos are told by their first bytes only; their
measures are made up, because nothing in hydrusd depends on them.
"""

from __future__ import annotations

import io
from dataclasses import dataclass
from pathlib import Path

from PIL import Image, UnidentifiedImageError

_FORMATS = ("JPEG", "PNG", "GIF", "WEBP")
_HEAD_BYTES = 4096
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
_VIDEOS = {
    "webm": Kind(mime="video/webm", enum=21, human="webm", ext=".webm"),
    "mkv": Kind(mime="video/x-matroska", enum=20, human="matroska", ext=".mkv"),
    "mp4": Kind(mime="video/mp4", enum=14, human="mp4", ext=".mp4"),
}


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
                has_transparency="transparency" in image.info or image.mode in {"RGBA", "LA", "PA"},
                has_exif="exif" in image.info,
                has_icc_profile="icc_profile" in image.info,
            )
    except UnidentifiedImageError as error:
        raise Unimportable("unknown") from error
    except (Image.DecompressionBombError, Image.DecompressionBombWarning) as error:
        raise Unimportable("bomb") from error
    except (OSError, EOFError, ValueError, SyntaxError) as error:
        # Pillow says all four of a file that begins as a picture and does not go on as one.
        raise Unimportable("damaged") from error
