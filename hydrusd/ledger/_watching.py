"""Whether anybody has written into a ledger, asked again and again at next to no cost.

SQLite counts for each connection the commits of all others. Asking for that number reads no page
and begins nothing that would keep a writer waiting, so it may be asked every second for months.
It tells that something was written, and not what: whoever wants to know looks for themselves.
"""

from __future__ import annotations

import sqlite3
import threading
from pathlib import Path

from hydrusd.ledger._backups import open_raw
from hydrusd.ledger._sqlite import commits_of_others


class LedgerWatch:
    """Watches a ledger that is open. To be closed before that is, or it counts as left open."""

    def __init__(self, path: Path) -> None:
        """Open it. Raises LedgerError where it cannot be."""
        self._lock = threading.Lock()
        self._connection: sqlite3.Connection | None = open_raw(path)
        self._commits: int | None = None

    def has_changed(self) -> bool:
        """Say whether there was a commit, by whomever, since this was last asked. Blocks.

        True at first, and where it cannot be told: what is wrong shows when the ledger is used.
        """
        with self._lock:
            if self._connection is None:
                return False
            try:
                commits = commits_of_others(self._connection)
            except sqlite3.Error:
                return True
            changed, self._commits = commits != self._commits, commits
            return changed

    def close(self) -> None:
        """Close it. In any thread, and also while another one asks."""
        with self._lock:
            if self._connection is not None:
                self._connection.close()
            self._connection = None
