"""Files that no rule may have, whatever it matches: hydrusd's ledger, and Hydrus' own store.

Whoever watches a whole home folder means neither. A rule that moves what it is given would take
the ledger away under the daemon, or a picture out of the collection that it is to protect.

A client's store is known by its looks, and by what the client says of it where it may be asked: it
may be spread over disks, each with a few of its folders. What a client says is about its own
machine; it counts here only where just those folders are there.
"""

from __future__ import annotations

import os
import re
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path

FOLDERS_KEPT = 20_000
"""Verdicts on folders that are kept; a million files lie in far fewer."""

SHARDS = 32
"""A folder with so many folders called like a client's is its store; there are 256 of a kind."""

_SHARD = re.compile(r"[ft][0-9a-f]{2,3}")
_DATABASE = ("client.db", "client.master.db", "client.mappings.db")


class OffLimits:
    """Says which files belong to hydrusd or to a Hydrus client. Blocks on the disk."""

    def __init__(self, state_dir: Path) -> None:
        self._state_dir = Path(os.path.realpath(state_dir))
        self._verdicts: dict[str, str] = {}
        self._claimed: dict[Path, str] = {}

    def claim(self, client: str, stores: Mapping[str, Sequence[str]]) -> None:
        """Take what a client says of its store: folders as they are called here, and in each the
        names of those that its files are in.
        """
        for folder, names in stores.items():
            there = Path(os.path.realpath(folder))
            if names and all((there / name).is_dir() for name in names):
                self._claimed |= {there / name: client for name in names}
        self._verdicts = {}

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
            if above in self._claimed:
                client = self._claimed[above]
                return (
                    f"it belongs to the client {client!r}, which keeps its files in {above.parent}"
                )
            if all((above / name).is_file() for name in _DATABASE):
                return f"it belongs to the Hydrus client in {above}"
            if _SHARD.fullmatch(above.name) and _is_store(above.parent):
                return f"it belongs to a Hydrus client, which keeps its files in {above.parent}"
        return ""


def _is_store(folder: Path) -> bool:
    """Say whether a folder has the shards that a client spreads its files over."""
    try:
        with os.scandir(folder) as entries:
            shards = sum(bool(_SHARD.fullmatch(e.name)) and e.is_dir() for e in entries)
    except OSError:
        return False
    return shards >= SHARDS
