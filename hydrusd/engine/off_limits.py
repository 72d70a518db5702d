"""Files that no rule may have, whatever it matches: hydrusd's ledger, and Hydrus' own store.

Whoever watches a whole home folder means neither. A rule that moves what it is given would take
the ledger away under the daemon, or a picture out of the collection that it is to protect.
"""

from __future__ import annotations

import os
import re
from collections.abc import Iterable
from pathlib import Path

FOLDERS_KEPT = 20_000
"""Verdicts on folders that are kept; a million files lie in far fewer."""

_SHARD = re.compile(r"[ft][0-9a-f]{2}")
_DATABASE = ("client.db", "client.master.db", "client.mappings.db")


class OffLimits:
    """Says which files belong to hydrusd or to a Hydrus client. Blocks on the disk."""

    def __init__(self, state_dir: Path) -> None:
        self._state_dir = Path(os.path.realpath(state_dir))
        self._verdicts: dict[str, str] = {}

    def reasons(self, paths: Iterable[str]) -> dict[str, str]:
        """Give the paths that no rule may have, each with the reason."""
        if len(self._verdicts) > FOLDERS_KEPT:
            self._verdicts.clear()
        judged = {path: self._folder(os.path.dirname(path)) for path in paths}  # noqa: PTH120 - quicker
        return {path: reason for path, reason in judged.items() if reason}

    def _folder(self, folder: str) -> str:
        if folder not in self._verdicts:
            self._verdicts[folder] = self._look(Path(os.path.realpath(folder)))
        return self._verdicts[folder]

    def _look(self, folder: Path) -> str:
        if folder == self._state_dir or self._state_dir in folder.parents:
            return f"it lies in {self._state_dir}, where hydrusd keeps its ledger"
        for above in (folder, *folder.parents):
            if all((above / name).is_file() for name in _DATABASE):
                return f"it belongs to the Hydrus client in {above}"
            if _SHARD.fullmatch(above.name) and _is_store(above.parent):
                return f"it belongs to a Hydrus client, which keeps its files in {above.parent}"
        return ""


def _is_store(folder: Path) -> bool:
    """Say whether a folder has the shards that a client spreads its files over."""
    return all((folder / name).is_dir() for name in ("f00", "f7f", "fff"))
