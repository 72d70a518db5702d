"""Hashing a tree of mixed files, as `add_file` does it, against a bare loop.

The loop reads one file after the other and does nothing else, as `sha256sum` does. `add_file`
looks at each file before and after, and is to be the faster for every core that is idle. Both
read what is in the system's cache: a disk can only be slower for both.

    python benchmarks/hashing.py [MEGABYTES]
"""

from __future__ import annotations

import hashlib
import os
import random
import sys
import time
from collections.abc import Sequence
from pathlib import Path

import anyio
from _measuring import Figure, folder

from hydrusd.builtin.actions.add_file import hash_sources
from hydrusd.plugin import FileSource, Outcome

SET = 256
ROUNDS = 3
SIZES = (20_000, 80_000, 200_000, 500_000, 2_000_000, 8_000_000)
"""Bytes, of as many files each: thumbnails, pictures, scans, short videos."""
REACH = 1.0


def make_tree(where: Path, total: int) -> list[Path]:
    """Make files of these sizes, in a random order, until there are so many bytes."""
    chance = random.Random(7)
    paths: list[Path] = []
    content = chance.randbytes(max(SIZES))
    while total > 0:
        size = chance.choice(SIZES)
        path = where / f"{len(paths):06}"
        path.write_bytes(content[:size])
        paths.append(path)
        total -= size
    return paths


def hash_each(paths: Sequence[Path]) -> list[str]:
    """Hash one file after the other."""
    digests = []
    for path in paths:
        with path.open("rb") as file:
            digests.append(hashlib.file_digest(file, "sha256").hexdigest())
    return digests


async def hash_in_sets(sources: Sequence[FileSource]) -> list[str | Outcome]:
    """Hash as the action does, a set at a time."""
    digests: list[str | Outcome] = []
    for start in range(0, len(sources), SET):
        digests += await hash_sources(sources[start : start + SET])
    return digests


def main() -> None:
    """Measure both by turns, and see to it that they agree."""
    total = (int(sys.argv[1]) if len(sys.argv) > 1 else 1_000) * 1_000_000
    theirs = ours = 0.0
    with folder() as where:
        paths = make_tree(where, total)
        sources = [FileSource.of(path, where, path.stat()) for path in paths]
        hash_each(paths)  # into the system's cache
        for _ in range(ROUNDS):
            began = time.perf_counter()
            expected = hash_each(paths)
            between = time.perf_counter()
            found = anyio.run(hash_in_sets, sources)
            theirs += between - began
            ours += time.perf_counter() - between
            assert found == expected
    done = ROUNDS * sum(source.size for source in sources) / 1e6
    name = f"hashing {len(paths)} files on {os.cpu_count()} cores"
    Figure(name, done / ours, done / theirs, "MB/s", REACH).print()


if __name__ == "__main__":
    main()
