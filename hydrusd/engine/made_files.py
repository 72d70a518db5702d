"""Remembers which files rules have made, so that a rule does not feed on its own work.

A rule that copies a picture into the folder it watches would notice the copy, copy that, and so
on until the disk is full. Those of this life of the daemon are in memory; of former lives the
ledger knows (``Ledger.makers``).
"""

from __future__ import annotations

import os
from collections import OrderedDict

from hydrusd.ledger import made_paths
from hydrusd.model import Data, chain_of

FILES_KEPT = 100_000


class MadeFiles:
    """The files that steps wrote lately, and the chain of rules that led to each."""

    def __init__(self) -> None:
        self._chains: OrderedDict[str, tuple[str, ...]] = OrderedDict()

    def note(self, rule: str, data: Data, values: Data) -> None:
        """Note what a step of a rule made, going by its ``path`` and ``paths``."""
        for key in made_paths(values):
            self._chains[key] = (*chain_of(data), rule)
            self._chains.move_to_end(key)
            while len(self._chains) > FILES_KEPT:
                self._chains.popitem(last=False)

    def chain(self, path: str) -> tuple[str, ...]:
        """Give the rules that led to a file, the first first; none where nobody here made it."""
        return self._chains.get(os.path.normcase(path), ())
