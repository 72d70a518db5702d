"""Keeps secrets out of everything that is written down.

Over-redaction is on purpose: a hidden value can be looked up again by its owner,
a leaked one cannot be taken back. Two nets: values that were registered (the
access key as soon as it is read, each session key as soon as it is issued) are
replaced wherever they stand, and so is anything that looks like a Hydrus key in
a place where a key would stand.

Keys are few and kept for good. Cookies change daily and come by the thousand, so only
the latest are kept, and finding them must not take longer the more there are: every
piece of a text that is as long as the shortest secret is looked up among their starts.
"""

from __future__ import annotations

import json
import re
import threading
from collections import OrderedDict
from collections.abc import Mapping
from typing import Any

HIDDEN = "[hidden]"

# As headers, query strings and JSON write it: Hydrus-Client-API-Access-Key: 0123…
_KEYED = re.compile(
    r"(?i)((?:access|session)[-_ ]?key[\"']?\s*[:=]\s*[\"']?)[0-9a-z][0-9a-z_\-./+]{7,}"
)
# In an address: https://site/hook?token=…
_IN_QUERY = re.compile(
    r"(?i)([?&][a-z0-9_.-]*(?:token|secret|passw(?:or)?d|api[-_]?key)[a-z0-9_.-]*=)[^&#\s\"'<>]+"
)
_SECRET_NAMES = re.compile(r"(?i)access[-_ ]?key|session[-_ ]?key|cookie|password|secret|token")

SHORTEST = 6
MOST_PASSING = 10_000
"""How many passing secrets are kept: the cookies of a whole browser, and those before them."""

# Sites keep settings in cookies too. Hidden, a "default" would spoil paths and tags.
_WORD = re.compile(r"[A-Za-z]{1,11}")


class _Passing:
    """The latest secrets of the kind that changes, findable by their first characters."""

    def __init__(self) -> None:
        self._latest: OrderedDict[str, None] = OrderedDict()
        self._by_start: dict[str, set[str]] = {}

    def __len__(self) -> int:
        return len(self._latest)

    def add(self, secret: str) -> None:
        self._latest[secret] = None
        self._latest.move_to_end(secret)
        self._by_start.setdefault(secret[:SHORTEST], set()).add(secret)
        while len(self._latest) > MOST_PASSING:
            oldest, _ = self._latest.popitem(last=False)
            alike = self._by_start[oldest[:SHORTEST]]
            alike.remove(oldest)
            if not alike:
                del self._by_start[oldest[:SHORTEST]]

    def found_in(self, text: str) -> set[str]:
        pieces = [text[at : at + SHORTEST] for at in range(len(text) - SHORTEST + 1)]
        starts = self._by_start.keys() & pieces
        return {secret for start in starts for secret in self._by_start[start] if secret in text}


_lock = threading.Lock()
# Replaced as a whole and never changed, so that no reader has to wait for another.
_registered: frozenset[str] = frozenset()
_passing = _Passing()


def register(secret: str, *, lasting: bool = True) -> None:
    """Hide this value from now on, wherever it turns up. Values under 6 characters are ignored.

    ``lasting=False`` is for what changes often (cookies): only the latest 10,000 are kept, and
    a short word is not one of them.
    """
    global _registered  # noqa: PLW0603 - see there
    if len(secret) < SHORTEST:
        return
    # As it is, and as JSON writes it: with \" for a quotation mark.
    for form in {secret, json.dumps(secret, ensure_ascii=False)[1:-1]}:
        with _lock:
            if lasting:
                _registered |= {form}
            elif not _WORD.fullmatch(form):
                _passing.add(form)


def redact(text: str) -> str:
    """Give the text with every known or likely secret replaced by ``[hidden]``."""
    found = {secret for secret in _registered if secret in text}
    if _passing:
        with _lock:
            found |= _passing.found_in(text)
    for secret in sorted(found, key=len, reverse=True) if found else ():
        text = text.replace(secret, HIDDEN)
    # Most texts speak of no key: to see that takes a tenth of what the pattern takes.
    text = _KEYED.sub(rf"\1{HIDDEN}", text) if "key" in text.lower() else text
    return _IN_QUERY.sub(rf"\1{HIDDEN}", text) if "=" in text else text


def redact_tree(value: object, *, name: str = "") -> object:
    """Give plain data (mappings, lists, strings) with the secrets in it replaced."""
    if name and _SECRET_NAMES.search(name) and value not in (None, "", False, True):
        return HIDDEN
    if isinstance(value, Mapping):
        return {
            redact(key) if isinstance(key, str) else key: redact_tree(item, name=str(key))
            for key, item in value.items()
        }
    if isinstance(value, list | tuple):
        return [redact_tree(item, name=name) for item in value]
    return redact(value) if isinstance(value, str) else value


def redact_strings(value: Any) -> Any:
    """Give plain data with the secrets in its texts replaced, whatever the names beside them."""
    if isinstance(value, Mapping):
        return {redact_strings(key): redact_strings(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [redact_strings(item) for item in value]
    return redact(value) if isinstance(value, str) else value
