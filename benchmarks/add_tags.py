"""P3: tags on many files, against one call a file.

Ours is the whole way: a trigger notices files that the client knows, each becomes a job in the
ledger, looks at its tags, gets what it lacks, and is settled. The peer is the bare client in a
loop, which looks at nothing and remembers nothing. A request for one file takes 3.3 ms, one for
a set of 256 takes 14.4, as with a real client (300 and 17,800 files a second).

    python benchmarks/add_tags.py [FILES]
"""

from __future__ import annotations

import json
import sys
import time
import urllib.request
from collections.abc import Sequence
from pathlib import Path

import anyio
from _measuring import KEY, Figure, folder, simulator, work_off

from hydrusd.hydrus import HydrusClient

LOOP = 1000
"""Files that the loop tags: its rate is the same however many there are."""
TAGS = ("benchmark", "source:hydrusd")
ONE_SECONDS, SET_SECONDS = 0.0033, 0.0144

RULES = """\
client: {{url: "{url}", access_key: {key}}}
rules:
  - name: tag
    on:
      known_files: {{count: COUNT}}
    do:
      - add_tags:
          my tags: [TAGS]
"""

TRIGGER = '''\
"""Notices files that the client has: as many as it is told, all at once."""

from typing import ClassVar

import anyio

from hydrusd.plugin import Event, Trigger, hookimpl


class KnownFiles(Trigger):
    """As many as `count`."""

    trigger: ClassVar[str] = "known_files"
    count: int

    async def run(self, context):
        for start in range(0, self.count, 5000):
            hashes = [f"{number:064x}" for number in range(start, min(start + 5000, self.count))]
            await context.emit([Event(each, {"hash": each}) for each in hashes])
        await anyio.sleep_forever()


@hookimpl
def hydrusd_register_triggers(register):
    register(KnownFiles)
'''


def answer_after(url: str, seconds: float) -> None:
    """Have the client take so long for every request that writes tags."""
    slow = {"kind": "slow", "path": "/add_tags/add_tags", "seconds": seconds, "times": 10**9}
    for order in ({"clear": True}, slow):
        request = urllib.request.Request(
            f"{url}/_simulator/faults",
            json.dumps(order).encode(),
            {"Content-Type": "application/json"},
        )
        urllib.request.urlopen(request).close()


async def tag_each(url: str, hashes: Sequence[str]) -> float:
    """Tag files one by one through the same client; give seconds."""
    async with HydrusClient(url, KEY) as client:
        await client.connect()
        began = time.perf_counter()
        for each in hashes:
            await client.add_tags([each], {"my tags": TAGS})
        return time.perf_counter() - began


def tag_in_sets(where: Path, url: str, count: int) -> float:
    """Tag files through the daemon; give seconds."""
    (where / "plugins").mkdir()
    (where / "plugins" / "known_files.py").write_text(TRIGGER, encoding="utf-8")
    tags = ", ".join(f'"{tag}"' for tag in TAGS)
    rules = RULES.replace("COUNT", str(count)).replace("TAGS", tags)
    return work_off(where, url, count, rules)


def main() -> None:
    """Measure both on one client, each on files of its own."""
    count = int(sys.argv[1]) if len(sys.argv) > 1 else 30_000
    with folder() as where, simulator(control=True) as url:
        answer_after(url, ONE_SECONDS)
        loop = [f"{number:064x}" for number in range(count, count + LOOP)]
        theirs = anyio.run(tag_each, url, loop)
        answer_after(url, SET_SECONDS)
        ours = tag_in_sets(where, url, count)
    Figure("P3 tags on files", count / ours, LOOP / theirs, "files/s", 30).print()


if __name__ == "__main__":
    main()
