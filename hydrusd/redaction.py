"""Keeps secrets out of everything that is written down.

Over-redaction is on purpose: a hidden value can be looked up again by its owner,
a leaked one cannot be taken back. Two nets: values that were registered (the
access key as soon as it is read, each session key as soon as it is issued) are
replaced wherever they stand, and so is anything that looks like a Hydrus key in
a place where a key would stand.
"""

from __future__ import annotations

import re
import threading
from collections.abc import Mapping
from typing import Any

HIDDEN = "[hidden]"

# As headers, query strings and JSON write it: Hydrus-Client-API-Access-Key: 0123…
_KEYED = re.compile(
    r"(?i)((?:access|session)[-_ ]?key[\"']?\s*[:=]\s*[\"']?)[0-9a-z][0-9a-z_\-./+]{7,}"
)
_SECRET_NAMES = re.compile(r"(?i)access[-_ ]?key|session[-_ ]?key|cookie|password|secret|token")

_lock = threading.Lock()
_registered: set[str] = set()


def register(secret: str) -> None:
    """Hide this value from now on, wherever it turns up. Values under 6 characters are ignored."""
    if len(secret) >= 6:
        with _lock:
            _registered.add(secret)


def redact(text: str) -> str:
    """Give the text with every known or likely secret replaced by ``[hidden]``."""
    with _lock:
        secrets = sorted(_registered, key=len, reverse=True)
    for secret in secrets:
        if secret in text:
            text = text.replace(secret, HIDDEN)
    return _KEYED.sub(rf"\1{HIDDEN}", text)


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
