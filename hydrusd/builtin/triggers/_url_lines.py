"""What a line of a list says: a URL, and the tags for what comes from it.

The lists are written by hand, by browsers' add-ons and by scripts of all kinds. So a line
that makes no sense is named and passed over; it must not keep the others from being read.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from urllib.parse import urlsplit, urlunsplit

BOM = b"\xef\xbb\xbf"
_COMMENT = re.compile(r"(?:^|\s)#.*", re.DOTALL)
_UNPRINTABLE = re.compile(r"[\s\x00-\x1f\x7f]")
_PORTS = {"http": ":80", "https": ":443"}


@dataclass(frozen=True, slots=True)
class UrlLine:
    """A line with a URL. ``number`` counts from 1; ``plain`` is what ``plain_form`` gives."""

    number: int
    url: str
    plain: str
    tags: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class BadLine:
    """A line that says nothing that could be understood."""

    number: int
    problem: str


def read_line(number: int, raw: bytes) -> UrlLine | BadLine | None:
    """Read a line, without the character that ends it; None where it has no URL to give."""
    try:
        text = (raw.removeprefix(BOM) if number == 1 else raw).decode()
    except UnicodeDecodeError:
        return BadLine(number, "is not UTF-8")
    words = _COMMENT.sub("", text.strip(), count=1).split(maxsplit=1)
    if not words:
        return None
    url = words[0]
    plain = plain_form(url)
    if plain is None:
        hint = "" if "://" in url else "; does it lack https:// at its beginning?"
        return BadLine(number, f"is no URL: {url[:80]!r}{hint}")
    tags = (tag.strip() for tag in "".join(words[1:]).split(","))
    return UrlLine(number, url, plain, tuple(tag for tag in tags if tag))


def plain_form(url: str) -> str | None:
    """Give the URL in a form that is alike for what is surely the same; None if it is none.

    Only what no website can tell apart is made alike: the case of scheme and host, the
    usual port, a missing path.
    """
    try:
        parts = urlsplit(url)
        parts.port  # noqa: B018 - a port that is no number shows only when it is asked for
    except ValueError:
        return None
    usual = _PORTS.get(parts.scheme)
    if usual is None or not parts.hostname or _UNPRINTABLE.search(url):
        return None
    user, at, host = parts.netloc.rpartition("@")
    netloc = f"{user}{at}{host.lower().removesuffix(usual)}"
    return urlunsplit((parts.scheme, netloc, parts.path or "/", parts.query, parts.fragment))
