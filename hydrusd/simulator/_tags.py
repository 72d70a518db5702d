"""How a client tidies the tags it is given.

Written from what a real client (v682) answered. What surprises: a tag with one
colon, at its very start, gets a second one, so that it is no empty namespace;
blanks before the colon hide it from that rule (`` :)`` comes back as ``)`` from
every recorded client). Leading minuses go once, not until none is left.
"""

from __future__ import annotations

import re
from collections.abc import Iterable

LONGEST_TAG = 1024

_NEVER_SHOWN = re.compile(
    "["
    "\x00-\x1f\x7f-\x9f"  # controls
    "\u200b\u200e\u200f\u202a-\u202e\u2066-\u2069\ufeff"  # width and direction
    "\ud800-\udfff"  # halves of characters
    "\ue000-\uf8ff\U000f0000-\U000ffffd\U00100000-\U0010fffd"  # private use
    "]"
)
_JOINERS = str.maketrans("", "", "\u200c\u200d")
_WESTERN = re.compile("[ -~\u00a0-\u024f\u200c\u200d]*")
_KOREAN = re.compile("[\u1100-\u11ff\uac00-\ud7af]")
_FILLER = "\u3164"
_BLANKS = re.compile(r"\s+")
_SIGNS = re.compile(r"(?:-|system:)*")
_DIGITS = re.compile(r"(\d+)")


def _tidy(text: str) -> str:
    text = _BLANKS.sub(" ", _NEVER_SHOWN.sub("", text)).strip()
    text = text[_SIGNS.match(text).end() :].strip()  # type: ignore[union-attr] # it may match nothing, but it matches
    if _FILLER in text and not _KOREAN.search(text):
        text = text.replace(_FILLER, "")
    bare = text.translate(_JOINERS)
    if not bare or _WESTERN.fullmatch(text):
        text = bare
    return _BLANKS.sub(" ", text).strip()


def clean_tag(tag: str) -> str:
    """Give a tag as the client stores it; empty if nothing is left of it."""
    tag = tag[:LONGEST_TAG].lower()
    if len(tag) > 1 and tag.rfind(":") == 0:
        tag = ":" + tag
    if ":" not in tag:
        return _tidy(tag)
    # Whole, then each part: what had a colon once is tidied twice, even if the colon went.
    *before, subtag = map(_tidy, _tidy(tag).split(":", 1))
    namespace = before[0] if before else ""
    if not subtag:
        return ""
    return f"{namespace}:{subtag}" if namespace or ":" in subtag else subtag


def clean_tags(tags: Iterable[str]) -> list[str]:
    """Give all tags cleaned, sorted as people sort, each once, without the empty ones."""
    return human_sorted({cleaned for tag in tags if (cleaned := clean_tag(tag))})


def human_sorted(texts: Iterable[str]) -> list[str]:
    """Sort texts so that 2 comes before 10."""

    def key(text: str) -> list[tuple[int, int, str]]:
        parts = enumerate(_DIGITS.split(text))
        return [(1, 0, part) if place % 2 == 0 else (0, int(part), "") for place, part in parts]

    return sorted(texts, key=key)
