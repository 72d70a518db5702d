"""What the benchmarks share: a simulator in a process of its own, a daemon, a table.

The simulator gets its own process, so that what is measured is not slowed down by what it
is measured against. Figures are ratios of two ways of doing the same in one run: machines
differ, ratios hardly do.
"""

from __future__ import annotations

import json
import sqlite3
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import closing, contextmanager
from dataclasses import dataclass
from pathlib import Path

import anyio
from PIL import Image

from hydrusd import logs
from hydrusd.daemon import LEDGER_FILE, Daemon, read_configuration, spare_collector
from hydrusd.simulator import DEFAULT_ACCESS_KEY

KEY = DEFAULT_ACCESS_KEY

RULES = """\
client: {{url: "{url}", access_key: {key}}}
rules:
  - name: import
    on:
      watch_folder: {{path: inbox, settle: 100ms}}
    do:
      - add_file:
"""


@contextmanager
def simulator(
    *, import_seconds: float = 0, known_seconds: float = 0, control: bool = False
) -> Iterator[str]:
    """Run a simulated client as long as the block lasts; give its URL.

    With ``control`` it can be told to be slow, see ``hydrusd.simulator._control``.
    """
    command = [sys.executable, "-m", "hydrusd.simulator", "--port", "0", "--access-key", KEY]
    command += ["--import-seconds", str(import_seconds), "--known-seconds", str(known_seconds)]
    command += ["--control"] if control else []
    process = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)
    try:
        assert process.stdout is not None
        yield process.stdout.readline().split()[-1]
    finally:
        process.terminate()
        process.wait(10)


@contextmanager
def folder() -> Iterator[Path]:
    """Give an empty folder for as long as the block lasts."""
    with tempfile.TemporaryDirectory(prefix="hydrusd-benchmark-") as name:
        yield Path(name)


def make_pictures(where: Path, count: int, *, first: int = 0) -> list[Path]:
    """Make small PNGs, each different, 1,000 to a folder."""
    paths = []
    for number in range(first, first + count):
        path = where / f"{number // 1000:04}" / f"{number:07}.png"
        path.parent.mkdir(parents=True, exist_ok=True)
        colour = (number & 255, number >> 8 & 255, number >> 16 & 255)
        Image.new("RGB", (16, 16), colour).save(path)
        paths.append(path)
    return paths


def work_off(where: Path, url: str, count: int, text: str = RULES) -> float:
    """Run a real daemon until so many jobs are done and settled; give seconds.

    The rules are by default those that import all files of ``where/inbox``. Of plugins, only
    those in ``where/plugins`` are loaded.
    """
    logs.configure(level="warning")
    rules = where / "rules.yaml"
    rules.write_text(text.format(url=url, key=KEY), encoding="utf-8")
    configuration = read_configuration(rules, safe_mode=not (where / "plugins").is_dir())
    spare_collector()  # as `hydrusd run` does

    async def run() -> float:
        daemon = Daemon(configuration, where / "state")
        began = time.perf_counter()
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(daemon.run)
            ledger = where / "state" / LEDGER_FILE
            while await anyio.to_thread.run_sync(_done, ledger) < count:  # noqa: ASYNC110 - it is told of by a file
                await anyio.sleep(0.05)  # as an onlooker in another process would
            seconds = time.perf_counter() - began
            daemon.stop()
        return seconds

    return anyio.run(run)


def _done(ledger: Path) -> int:
    """Give how many jobs are done and settled: they are counted as they end."""
    if not ledger.exists():
        return 0
    with closing(sqlite3.connect(f"{ledger.as_uri()}?mode=ro", uri=True)) as connection:
        try:
            found = connection.execute("SELECT sum(jobs) FROM ended WHERE state = 'done'")
            return int(found.fetchone()[0] or 0)
        except sqlite3.OperationalError:
            return 0  # it is only just being made


@dataclass(frozen=True)
class Figure:
    """One ratio, what it is held against, and both rates."""

    name: str
    ours: float
    peers: float
    unit: str
    reach: float

    @property
    def ratio(self) -> float:
        """Ours over the peer's."""
        return self.ours / self.peers

    def print(self) -> None:
        """Print it for people, and as a JSON line for programs."""
        print(
            f"{self.name}: {self.ours:,.1f} {self.unit} against {self.peers:,.1f}: "
            f"{self.ratio:.2f} (to reach: {self.reach:g})"
        )
        print(json.dumps({"name": self.name, "ratio": round(self.ratio, 3), "reach": self.reach}))
