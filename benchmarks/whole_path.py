"""The whole path, with a client that answers at once: what hydrusd itself costs.

Files that the client has already go through the watched folder, the ledger, the lane, and are
settled; by rules of several shapes. Their pictures are small, so that next to nothing but hydrusd
is measured. The peer does the least that a careful program must do, and no more: it inserts each
file into a bare SQLite table with one index, and later marks it as done, 256 to a transaction,
each synced to the disk.

    python benchmarks/whole_path.py [FILES]
"""

from __future__ import annotations

import json
import sqlite3
import sys
import time
from collections.abc import Sequence
from pathlib import Path

from _measuring import RULES, Figure, folder, make_pictures, simulator, work_off
from import_new import post_each

SET = 256
SHAPES = {
    "add_file": "",
    "add_file, add_tags": """\
      - add_tags:
          my tags: [benchmark, "folder:{{{{ file.parent.name }}}}"]
""",
    "add_file, add_tags, move_source": """\
      - add_tags:
          my tags: [another, "folder:{{{{ file.parent.name }}}}"]
      - move_source: {{to: moved}}
""",
}
REACH = 0.03


def insert_each(where: Path, paths: Sequence[Path]) -> float:
    """Keep what was noticed and that it was done, in the barest way; give seconds."""
    began = time.perf_counter()
    connection = sqlite3.connect(where / "bare.sqlite", isolation_level=None)
    connection.execute("PRAGMA journal_mode=WAL")
    connection.execute("PRAGMA synchronous=FULL")
    connection.execute(
        "CREATE TABLE file (id INTEGER PRIMARY KEY, key TEXT UNIQUE, data TEXT, state TEXT)"
    )
    for start in range(0, len(paths), SET):
        rows = []
        for path in paths[start : start + SET]:
            status = path.stat()
            data = {"path": str(path), "size": status.st_size, "mtime_ns": status.st_mtime_ns}
            rows.append((f"{path}|{status.st_size}|{status.st_mtime_ns}", json.dumps(data)))
        connection.execute("BEGIN IMMEDIATE")
        connection.executemany("INSERT INTO file (key, data, state) VALUES (?, ?, 'new')", rows)
        connection.execute("COMMIT")
    for start in range(0, len(paths), SET):
        done = [(number + 1,) for number in range(start, min(start + SET, len(paths)))]
        connection.execute("BEGIN IMMEDIATE")
        connection.executemany("UPDATE file SET state = 'done' WHERE id = ?", done)
        connection.execute("COMMIT")
    connection.close()
    return time.perf_counter() - began


def main() -> None:
    """Measure the peer, then each shape on a ledger of its own."""
    count = int(sys.argv[1]) if len(sys.argv) > 1 else 10_000
    with folder() as where, simulator() as url:
        paths = make_pictures(where / "inbox", count)
        post_each(url, paths)
        theirs = insert_each(where, paths)
        for shape, steps in SHAPES.items():
            place = where / shape.replace(", ", "-")
            place.mkdir()
            (where / "inbox").rename(place / "inbox")
            ours = work_off(place, url, count, RULES + steps)
            (place / "inbox").rename(where / "inbox")
            name = f"whole path: {shape}"
            Figure(name, count / ours, count / theirs, "files/s", REACH).print()


if __name__ == "__main__":
    main()
