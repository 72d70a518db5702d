"""P6: from the moment that a file is closed to the one that it is sent.

The time that a file has to be left alone is taken off: what remains is ours. The client is a
simulator in this process, asked a thousand times a second whether the file has come.

    python benchmarks/latency.py [FILES]
"""

from __future__ import annotations

import random
import statistics
import sys
import time
from pathlib import Path

from _measuring import KEY, Figure, folder, make_pictures
from _trees import DaemonProcess

from hydrusd.simulator import DEFAULT_ACCESS_KEY, Simulator, SimulatorConfig

SETTLE_SECONDS = 0.5
MOST_SECONDS = 0.1
ROUTE = "/add_files/add_file"

RULES = """\
client: {{url: "{url}", access_key: {key}}}
rules:
  - name: import
    on:
      watch_folder: {{path: inbox, settle: {settle:.0f}ms}}
    do:
      - add_file:
"""


def main() -> None:
    """Drop one picture after the other, and wait for each."""
    count = int(sys.argv[1]) if len(sys.argv) > 1 else 100
    chance = random.Random(6)
    assert KEY == DEFAULT_ACCESS_KEY
    with folder() as where, Simulator(SimulatorConfig()) as simulator, simulator.serve() as url:
        pictures = make_pictures(where / "originals", count)
        inbox = where / "inbox"
        inbox.mkdir()
        rules = RULES.format(url=url, key=KEY, settle=SETTLE_SECONDS * 1000)
        with DaemonProcess(where, rules) as daemon:
            daemon.said("watching")
            late = []
            for number, picture in enumerate(pictures):
                time.sleep(chance.uniform(0.05, 0.4))
                late.append(_wait(simulator, number, inbox / picture.name, picture.read_bytes()))
    late.sort()
    p95 = late[int(0.95 * len(late))]
    print(f"median {statistics.median(late) * 1000:.0f} ms, most {late[-1] * 1000:.0f} ms")
    Figure("P6 from closed to sent, p95", MOST_SECONDS * 1000, p95 * 1000, "ms at most", 1).print()


def _wait(simulator: Simulator, sent: int, path: Path, content: bytes) -> float:
    """Write a file; give by how many seconds it was sent later than it had settled."""
    path.write_bytes(content)
    closed = time.perf_counter()
    while simulator.requests[ROUTE] <= sent:
        time.sleep(0.001)
        if time.perf_counter() > closed + 60:
            raise SystemExit("the file was not sent within a minute")
    return time.perf_counter() - closed - SETTLE_SECONDS


if __name__ == "__main__":
    main()
