"""P1: new files through the whole daemon, settled, against a raw loop of POSTs.

The client takes 60 ms for each import, as a real one does, and one at a time.

    python benchmarks/import_new.py [FILES]
"""

from __future__ import annotations

import sys
import time
from collections.abc import Sequence
from pathlib import Path

import httpx
from _measuring import KEY, Figure, folder, make_pictures, simulator, work_off


def post_each(url: str, paths: Sequence[Path]) -> float:
    """Send one file after the other, the fastest a simple script can; give seconds."""
    headers = {
        "Hydrus-Client-API-Access-Key": KEY,
        "Content-Type": "application/octet-stream",
    }
    began = time.perf_counter()
    with httpx.Client(base_url=url, headers=headers, timeout=60) as client:
        for path in paths:
            client.post("/add_files/add_file", content=path.read_bytes()).raise_for_status()
    return time.perf_counter() - began


def main() -> None:
    """Measure both ways on files of their own."""
    count = int(sys.argv[1]) if len(sys.argv) > 1 else 500
    with folder() as where, simulator(import_seconds=0.06, known_seconds=0.0035) as url:
        theirs = post_each(url, make_pictures(where / "loop", count))
        make_pictures(where / "inbox", count, first=count)
        ours = work_off(where, url, count)
    Figure("P1 new files", count / ours, count / theirs, "files/s", 0.98).print()


if __name__ == "__main__":
    main()
