"""JSON as the standard library writes and reads it, mostly by a library that is ten times faster.

Four texts of JSON are written, and one is read, for each file that the daemon knows already:
that was a tenth of its work. The fast one disagrees in corners where something would be lost
without a word (it writes ``null`` for a NaN, and reads an integer of more than 64 bits as a
float), so whatever it cannot do exactly is left to the standard library, by what can be seen of
it: the standard library puts a space behind each colon, the fast one none.
"""

from __future__ import annotations

import json
import math
from collections.abc import Iterable
from typing import Any

import orjson

_OPTIONS = (
    orjson.OPT_PASSTHROUGH_DATACLASS
    | orjson.OPT_PASSTHROUGH_DATETIME
    | orjson.OPT_PASSTHROUGH_SUBCLASS
)


def encode(value: object) -> str:
    """Give plain data as JSON. Raises TypeError or ValueError for what has no form in JSON.

    Text that is not valid Unicode (lone surrogates) is written with escapes.
    """
    text = _quickly(value)
    if text is None or ("null" in text and _has_no_number(value)):
        return json.dumps(value)
    return text


def glance(value: object) -> str:
    """Give plain data as JSON, to look through it: a number that is none may stand as ``null``,
    and text that is not valid Unicode as it is. Raises as `encode` does.
    """
    text = _quickly(value)
    return json.dumps(value, ensure_ascii=False) if text is None else text


def _quickly(value: object) -> str | None:
    try:
        return orjson.dumps(value, option=_OPTIONS).decode()
    except TypeError:
        return None


def decode(text: str | bytes) -> Any:
    """Read JSON, whoever wrote it. Raises ValueError for what is none.

    TypeError where it is no text: SQLite gives back a number that stands alone as a number, by
    which SQLAlchemy knows it.
    """
    if isinstance(text, str) and text.startswith("{") and '": ' not in text:
        try:
            return orjson.loads(text)
        except orjson.JSONDecodeError:
            pass  # or it is only what the standard library takes: a lone surrogate
    return json.loads(text)


def _has_no_number(value: object) -> bool:
    """Say whether there is a float in it that is none: infinite, or not a number."""
    each: Iterable[object]
    if isinstance(value, dict):  # nothing else that maps is written by the fast one
        each = value.values()
    elif isinstance(value, list | tuple):
        each = value
    else:
        return isinstance(value, float) and not math.isfinite(value)
    for one in each:  # noqa: SIM110 - a generator would take twice as long
        if type(one) not in _WITHOUT_FLOATS and _has_no_number(one):
            return True
    return False


_WITHOUT_FLOATS = frozenset({str, int, bool, type(None)})
