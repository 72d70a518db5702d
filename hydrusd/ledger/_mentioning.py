"""By which words an event is found again: the name of its file, its URLs, its hashes.

They stand in a table of their own, because a million events cannot be opened one by one
to look for a URL in them. Whole paths need no word: the identity of a file begins with
its path.
"""

from __future__ import annotations

import os
import re
from collections.abc import Iterable, Mapping

from hydrusd.model import Data

MOST_WORDS = 1_000
"""How many words of one event are kept: what speaks of more is found by other ways."""
LONGEST_WORD = 2_000

SPEAKING = frozenset({"hash", "hashes", "path", "paths"})
"""What the values of a step must have one of, for it to be asked for by a word."""

_HASH = re.compile(r"[0-9a-f]{64}")


def words_in_event(data: Data) -> set[str]:
    """Give the words by which what a trigger noticed can be asked for."""
    file = data.get("file")
    name = file.get("name") if type(file) is dict or isinstance(file, Mapping) else None
    names = (name, data.get("url"), data.get("normalised"))
    texts = {storable(n) for n in names if isinstance(n, str) and 0 < len(n) <= LONGEST_WORD}
    return texts | hashes if (hashes := words_in_values(data)) else texts


def made_paths(values: Data) -> set[str]:
    """Give the files that a step wrote, going by its ``path`` and ``paths``, as the system
    tells paths apart.
    """
    if "path" not in values and "paths" not in values:
        return set()
    several = values.get("paths")
    listed: object = list(several.values()) if isinstance(several, Mapping) else several
    found = [values.get("path"), *(listed if isinstance(listed, list) else ())]
    return {os.path.normcase(path) for path in found if isinstance(path, str) and path}


def words_in_step(values: Data) -> set[str]:
    """Give the words by which a step can be asked for: what it speaks of, and what it wrote."""
    paths = {storable(path) for path in made_paths(values) if len(path) <= LONGEST_WORD}
    return words_in_values(values) | set(sorted(paths)[:MOST_WORDS])


def words_in_values(values: Data) -> set[str]:
    """Give the hashes of the client's files that an event or a step speaks of."""
    if "hash" not in values and "hashes" not in values:
        return set()
    named = values.get("hashes")
    listed: Iterable[object] = named if isinstance(named, list) else ()
    hashes = [h for h in (values.get("hash"), *listed) if isinstance(h, str)]
    return set([h for h in hashes if _HASH.fullmatch(h)][:MOST_WORDS])


def storable(text: str) -> str:
    """Give a text as the ledger keeps it: lone surrogates as escapes, no database takes them."""
    return text if text.isascii() else text.encode("utf-8", "backslashreplace").decode()
