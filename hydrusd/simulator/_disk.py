"""Committed state on disk: one SQLite file, the contents beside it, and a witness log.

Only a commit writes to the database, in one transaction with ``synchronous=FULL``:
a process killed at any moment leaves the last commit whole. Contents are written
as they arrive, as a real client does; a killed client leaves orphans, which nobody
looks at.

``acknowledged.log`` is no part of the client: each answered status 1 is appended
to it at once, outside any transaction, so that a test can prove after a kill how
often a file really was sent.
"""

from __future__ import annotations

import json
import sqlite3
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from hydrusd.simulator._entries import Entry

_SCHEMA = """
CREATE TABLE IF NOT EXISTS entries (hash TEXT PRIMARY KEY, document TEXT NOT NULL);
CREATE TABLE IF NOT EXISTS commits (
    number INTEGER PRIMARY KEY,
    time REAL NOT NULL,
    boot_id TEXT NOT NULL,
    imported TEXT NOT NULL,
    changed TEXT NOT NULL
);
CREATE TABLE IF NOT EXISTS documents (name TEXT PRIMARY KEY, document TEXT NOT NULL);
"""


@dataclass(frozen=True, slots=True)
class Commit:
    """One commit. ``number`` counts from 1 and never goes back; ``time`` as time.time() gives it.

    ``imported``: the hashes answered with status 1 since the commit before, as often as answered.
    ``changed``: every hash of which anything changed, tags included.
    """

    number: int
    time: float
    boot_id: str
    imported: tuple[str, ...]
    changed: tuple[str, ...]


class Disk:
    """A state directory."""

    def __init__(self, state_dir: Path) -> None:
        self.contents = state_dir / "contents"
        self.contents.mkdir(parents=True, exist_ok=True)
        self._witness = state_dir / "acknowledged.log"
        # Every use is under the store's lock, whichever thread that is.
        self._db = sqlite3.connect(state_dir / "simulator.sqlite3", check_same_thread=False)
        self._db.execute("PRAGMA journal_mode=WAL")
        self._db.execute("PRAGMA synchronous=FULL")
        self._db.executescript(_SCHEMA)

    def entries(self) -> Iterator[tuple[str, Entry]]:
        """Give all committed entries."""
        with closing(self._db.execute("SELECT hash, document FROM entries")) as rows:
            for sha256, document in rows:
                yield sha256, Entry.from_json(json.loads(document))

    def documents(self) -> dict[str, Any]:
        """Give all committed documents by name."""
        with closing(self._db.execute("SELECT name, document FROM documents")) as rows:
            return {name: json.loads(document) for name, document in rows}

    def commits(self) -> list[Commit]:
        """Give the journal, oldest first."""
        query = "SELECT number, time, boot_id, imported, changed FROM commits ORDER BY number"
        with closing(self._db.execute(query)) as rows:
            return [
                Commit(number, time, boot_id, tuple(json.loads(done)), tuple(json.loads(changed)))
                for number, time, boot_id, done, changed in rows
            ]

    def write(
        self, commit: Commit, changed: Mapping[str, Entry], documents: Mapping[str, Any]
    ) -> None:
        """Make a commit durable, all of it or nothing."""
        with self._db:
            self._db.executemany(
                "INSERT OR REPLACE INTO documents (name, document) VALUES (?, ?)",
                [(name, json.dumps(document)) for name, document in documents.items()],
            )
            self._db.executemany(
                "INSERT OR REPLACE INTO entries (hash, document) VALUES (?, ?)",
                [(sha256, json.dumps(entry.to_json())) for sha256, entry in changed.items()],
            )
            self._db.execute(
                "INSERT INTO commits (number, time, boot_id, imported, changed)"
                " VALUES (?, ?, ?, ?, ?)",
                (
                    commit.number,
                    commit.time,
                    commit.boot_id,
                    json.dumps(commit.imported),
                    json.dumps(commit.changed),
                ),
            )

    def acknowledge(self, sha256: str) -> None:
        """Note that status 1 was answered for that hash."""
        with self._witness.open("a", encoding="ascii") as log:
            log.write(sha256 + "\n")

    def acknowledged(self) -> Counter[str]:
        """Count how often status 1 was answered for each hash, lost imports included."""
        if not self._witness.exists():
            return Counter()
        return Counter(self._whole_lines())

    def close(self) -> None:
        """Let go of the directory."""
        self._db.close()

    def _whole_lines(self) -> Iterable[str]:
        for line in self._witness.read_text(encoding="ascii").splitlines():
            if len(line) == 64:  # a kill may have cut the last one
                yield line
