"""P4: a start over a large tree in which every file is known, against a bare walk of it.

The daemon takes in the whole tree first, and is killed. Then it is started twice: once when it
has to ask its ledger about each file, once when the ledger vouches for whole groups of them. The
time is that from ``started`` to the end of the first scan, with the watches of the system set up.

    python benchmarks/restart_known.py [FILES] [FILES_IN_A_FOLDER]
"""

from __future__ import annotations

import sys
import time
from pathlib import Path

from _measuring import KEY, Figure, folder
from _trees import CLOSED, DaemonProcess, make_tree, time_bare, walk_bare

RULES = f"""\
client: {{url: "{CLOSED}", access_key: {KEY}}}
rules:
  - name: large ones
    on:
      watch_folder: {{path: inbox}}
    if: file.size > 1 * MB
    do:
      - add_file:
"""
MOST_MEGABYTES = 200


def main() -> None:
    """Make the tree, have it known, and measure."""
    count = int(sys.argv[1]) if len(sys.argv) > 1 else 100_000
    in_folder = int(sys.argv[2]) if len(sys.argv) > 2 else 100
    with folder() as where:
        began = time.perf_counter()
        make_tree(where / "inbox", count, in_folder=in_folder)
        print(f"made {count:,} files in {time.perf_counter() - began:.0f} s", flush=True)
        with DaemonProcess(where, RULES) as daemon:
            began = daemon.said("started with")
            daemon.wait_for("SELECT count(*) FROM not_matched", count)
            took = time.perf_counter() - began
            print(f"first start: all judged at {count / took:,.0f} files/s, ", end="")
            print(f"at most {daemon.memory(peak=True):.0f} MB", flush=True)
        _measure(where, count, "restart, the ledger asked about each file", 0)
        _measure(where, count, "restart, the ledger vouches", 1 / 2.5)


def _measure(where: Path, count: int, name: str, reach: float) -> None:
    bare = time_bare(where / "inbox")
    with DaemonProcess(where, RULES) as daemon:
        began = daemon.said("started with")
        before = daemon.cpu_seconds()
        ours = daemon.said("watching") - began
        cpu = daemon.cpu_seconds() - before
        peak, read = daemon.memory(peak=True), daemon.bytes_read()
    bare_cpu = time.process_time()
    assert walk_bare(where / "inbox") == count
    bare_cpu = time.process_time() - bare_cpu
    bare = (bare + time_bare(where / "inbox")) / 2
    Figure(name, count / ours, count / bare, "files/s", reach).print()
    print(f"  {ours / bare:.2f} times the bare walk (at most 2.5); ", end="")
    print(f"CPU {cpu:.1f} s against {bare_cpu:.1f}: {cpu / bare_cpu:.2f} times; ", end="")
    print(f"peak {peak:.0f} MB (at most {MOST_MEGABYTES}), {read / 2**20:.0f} MB read", flush=True)


if __name__ == "__main__":
    main()
