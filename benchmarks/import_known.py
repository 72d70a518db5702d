"""P2: files that the client has already, against a loop that posts each again.

The client takes 3.5 ms to recognise a posted file, as a real one does (222 to 321 a second).

    python benchmarks/import_known.py [FILES]
"""

from __future__ import annotations

import sys

from _measuring import Figure, folder, make_pictures, simulator, work_off
from import_new import post_each

LOOP = 1000
"""Files that the loop posts again: its rate is the same however many there are."""


def main() -> None:
    """Have the client know all files, then measure both ways."""
    count = int(sys.argv[1]) if len(sys.argv) > 1 else 20_000
    with folder() as where, simulator(import_seconds=0, known_seconds=0.0035) as url:
        paths = make_pictures(where / "inbox", count)
        post_each(url, paths)
        theirs = post_each(url, paths[:LOOP])
        ours = work_off(where, url, count)
    Figure("P2 known files", count / ours, min(LOOP, count) / theirs, "files/s", 30).print()


if __name__ == "__main__":
    main()
