"""P7: what a daemon takes that watches a large tree in which nothing happens.

The tree is known, and the ledger vouches for it. Memory is that after the first scan and the first
backup of the ledger. Time is what it takes between two scans, and that of the start to the end of
the first scan, once in as long as it says that it waits for the next, and that of the backup, which
falls into the first minute of the first day, once a day.

    python benchmarks/idle.py [FILES] [SECONDS]
"""

from __future__ import annotations

import re
import sys
import time

from _measuring import KEY, Figure, folder, simulator
from _trees import DaemonProcess, make_tree

RULES = """\
client: {{url: "{url}", access_key: {key}}}
rules:
  - name: large ones
    on:
      watch_folder: {{path: inbox}}
    if: file.size > 1 * MB
    do:
      - add_file:
"""
SECONDS = {"second": 1, "minute": 60, "hour": 3600}
DAY_SECONDS = 86_400
MOST_MEGABYTES = 90.0
MOST_SHARE = 0.002


def main() -> None:
    """Have the tree known, then look at the daemon for a while."""
    count = int(sys.argv[1]) if len(sys.argv) > 1 else 100_000
    seconds = float(sys.argv[2]) if len(sys.argv) > 2 else 60.0
    with folder() as where, simulator() as url:
        rules = RULES.format(url=url, key=KEY)
        make_tree(where / "inbox", count)
        with DaemonProcess(where, rules) as daemon:
            daemon.wait_for("SELECT count(*) FROM not_matched", count)
        with DaemonProcess(where, rules) as daemon:
            daemon.said("watching")  # asked about each, and vouches by now
        with DaemonProcess(where, rules) as daemon:
            daemon.said("started with")
            before = daemon.cpu_seconds()
            daemon.said("watching")
            scan = daemon.cpu_seconds() - before
            pause = pause_told([line for _, line in daemon.lines])
            before, began = daemon.cpu_seconds(), time.perf_counter()
            daemon.said("backed up the ledger")
            time.sleep(5)
            backup, waited = daemon.cpu_seconds() - before, time.perf_counter() - began
            before = daemon.cpu_seconds()
            time.sleep(seconds)
            between = (daemon.cpu_seconds() - before) / seconds
            memory = daemon.memory()
    backup = max(backup - between * waited, 0.0)
    share = between + scan / pause + backup / DAY_SECONDS
    print(f"{count:,} files: {memory:.0f} MB; a scan {scan:.2f} s every {pause:.0f} s, ", end="")
    print(f"a backup {backup:.2f} s a day, {between:.3%} between them")
    Figure("P7 memory of an idle daemon", MOST_MEGABYTES, memory, "MB at most", 1).print()
    Figure("P7 CPU of an idle daemon", MOST_SHARE * 100, share * 100, "% at most", 1).print()


def pause_told(lines: list[str]) -> float:
    """Give the seconds from scan to scan that the daemon has spoken of."""
    [told] = [line for line in lines if "watching" in line]
    found = re.search(r"by a scan every (?:([\d.]+) )?(second|minute|hour)s?:", told)
    if found is None:
        raise SystemExit(f"it does not say how often it scans: {told}")
    return float(found[1] or 1) * SECONDS[found[2]]


if __name__ == "__main__":
    main()
