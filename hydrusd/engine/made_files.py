"""Remembers which files rules have made, so that a rule does not feed on its own work.

A rule that copies a picture into the folder it watches would notice the copy, copy that, and so
on until the disk is full. Kept in memory only: after a restart a circle goes round once more
before it is seen again.
"""

from __future__ import annotations

import os
from collections import OrderedDict
from collections.abc import Iterable, Mapping, Sequence

from hydrusd.model import Data

FILES_KEPT = 100_000


class MadeFiles:
    """The files that steps wrote lately, and the chain of rules that led to each."""

    def __init__(self) -> None:
        self._chains: OrderedDict[str, tuple[str, ...]] = OrderedDict()

    def note(self, rule: str, data: Data, values: Data) -> None:
        """Note what a step of a rule made, going by its ``path`` and ``paths``."""
        for path in _paths(values):
            key = os.path.normcase(path)
            self._chains[key] = (*chain_of(data), rule)
            self._chains.move_to_end(key)
            while len(self._chains) > FILES_KEPT:
                self._chains.popitem(last=False)

    def chain(self, path: str) -> tuple[str, ...]:
        """Give the rules that led to a file, the first first; none where nobody here made it."""
        return self._chains.get(os.path.normcase(path), ())


def chain_of(data: Data) -> tuple[str, ...]:
    """Give the rules that led to an event."""
    chain = data.get("chain")
    return (
        tuple(map(str, chain)) if isinstance(chain, Sequence) and not isinstance(chain, str) else ()
    )


def _paths(values: Data) -> Iterable[str]:
    if "path" not in values and "paths" not in values:
        return ()
    several = values.get("paths")
    listed = several.values() if isinstance(several, Mapping) else several
    found = [values.get("path"), *(listed if isinstance(listed, Iterable) else ())]
    return {path for path in found if isinstance(path, str)}
