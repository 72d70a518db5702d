"""Small real pictures: a client refuses anything less, and takes two alike for one."""

from __future__ import annotations

import io
import random
from pathlib import PurePath

from PIL import Image

_FORMATS = {".gif": "GIF", ".jpeg": "JPEG", ".jpg": "JPEG", ".png": "PNG", ".webp": "WEBP"}
_SIZE = (24, 18)


def paint(name: str) -> bytes:
    """Give a picture of the kind that the suffix says, the same for the same name only.

    Raises ValueError for a suffix that is no picture's.
    """
    suffix = PurePath(name).suffix.lower()
    if suffix not in _FORMATS:
        known = ", ".join(_FORMATS)
        raise ValueError(f"{name}: only {known} can be painted; give the content yourself")
    width, height = _SIZE
    noise = random.Random(name).randbytes(width * height * 3)  # noqa: S311 - noise, not a secret
    buffer = io.BytesIO()
    Image.frombytes("RGB", _SIZE, noise).save(buffer, _FORMATS[suffix])
    return buffer.getvalue()


def painted(name: str, size: int | None = None) -> bytes:
    """Give a picture of just so many bytes: as ``paint`` does, and something behind its end.

    Raises ValueError where it would be larger than that, or is no picture.
    """
    content = paint(name)
    if size is None:
        return content
    if size < len(content):
        raise ValueError(f"{name}: a picture has {len(content)} bytes at least, not {size}")
    return content.ljust(size, b"\0")
