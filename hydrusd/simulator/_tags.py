"""How a client tidies the tags it is given.

Written from observed answers: a tag that begins with one colon gets a second
one, but only if nothing stands before the colon, blanks included (`` :)`` comes
back as ``)`` from every recorded client).
"""

from __future__ import annotations

import re
from collections.abc import Iterable

LONGEST_TAG = 1024

_BLANKS = re.compile(r"\s+")
_LEADING_GUMPF = re.compile(r"^(?:system:|[-\s])+")
_ONE_LEADING_COLON = re.compile(r"^:(?!:)")


def _tidy(text: str) -> str:
    return _BLANKS.sub(" ", _LEADING_GUMPF.sub("", text.strip())).strip()


def clean_tag(tag: str) -> str:
    """Give a tag as the client stores it; empty if nothing is left of it."""
    tag = tag[:LONGEST_TAG].lower()
    if tag.startswith(":"):
        return _tidy(_ONE_LEADING_COLON.sub("::", tag))
    tag = _tidy(tag)
    if ":" not in tag or tag.startswith("::"):
        return tag
    namespace, subtag = (_tidy(part) for part in tag.split(":", 1))
    if namespace:
        return f"{namespace}:{subtag}"
    return f":{subtag}" if ":" in subtag else subtag


def clean_tags(tags: Iterable[str]) -> list[str]:
    """Give all tags cleaned, sorted, each once, without the empty ones."""
    return sorted({cleaned for tag in tags if (cleaned := clean_tag(tag))})
