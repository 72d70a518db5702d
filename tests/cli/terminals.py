"""hydrusd as a user starts it: in a folder, as a process of its own."""

from __future__ import annotations

import os
import random
import signal
import subprocess
import sys
import time
from datetime import UTC, datetime
from pathlib import Path

from PIL import Image

from hydrusd.ledger import NewJob, PendingEvent
from hydrusd.model import Event
from hydrusd.simulator import DEFAULT_ACCESS_KEY

ON_WINDOWS = os.name == "nt"
DEADLINE_SECONDS = 60
STOP_SECONDS = 5

RULES = """\
client:
  url: {url}
  access_key: ${{env:HYDRUS_TEST_KEY}}

rules:
  - name: import all
    on:
      watch_folder: {{path: inbox, settle: 200ms, scan_every: 1s}}
    do:
      - add_file:
      - add_tags:
          {service}: [from:inbox]
      - trash_source: {{folder: trash}}
"""


class Running:
    """A hydrusd that runs in a process of its own; its output is in a file."""

    def __init__(self, arguments, *, folder, environment, number):
        self._log = folder / f"output-{number}.txt"
        with self._log.open("wb") as output:
            self.process = subprocess.Popen(
                arguments,
                cwd=folder,
                env=environment,
                stdout=output,
                stderr=subprocess.STDOUT,
                # On Windows only a process group of its own can be told to stop.
                creationflags=subprocess.CREATE_NEW_PROCESS_GROUP if ON_WINDOWS else 0,
            )

    @property
    def output(self):
        return self._log.read_text(encoding="utf-8")

    def wait_until(self, condition):
        """Wait until it is so; fail with the output when it cannot become so any more."""
        end = time.monotonic() + DEADLINE_SECONDS
        while not condition():
            ended = self.process.poll() is not None or time.monotonic() > end
            assert not ended or condition(), self.output
            time.sleep(0.05)

    def wait_for(self, *texts):
        """Wait until every text stands in the output."""
        self.wait_until(lambda: all(text in self.output for text in texts))

    def stop(self):
        """Tell it to stop as a service manager does; give its exit code."""
        self.process.send_signal(signal.CTRL_BREAK_EVENT if ON_WINDOWS else signal.SIGTERM)
        return self.process.wait(STOP_SECONDS)


class Terminal:
    """A folder, and hydrusd started in it as a user would."""

    def __init__(self, folder):
        self.folder = folder
        self.state = folder / "state"
        self.temporary = folder / "temporary"
        self.temporary.mkdir()
        self.environment = {
            **{k: v for k, v in os.environ.items() if k not in {"COLUMNS", "FORCE_COLOR"}},
            **dict.fromkeys(("TMPDIR", "TEMP", "TMP"), str(self.temporary)),
            "HYDRUSD_STATE_DIR": str(self.state),
            "HYDRUS_TEST_KEY": DEFAULT_ACCESS_KEY,
            "PYTHONIOENCODING": "utf-8",
        }
        self.started = []

    def write_rules(self, url="http://127.0.0.1:9", *, service="my tags", name="rules.yaml"):
        (self.folder / name).write_text(RULES.format(url=url, service=service), encoding="utf-8")

    def run(self, *arguments, **environment):
        """Run hydrusd to its end, with some environment variables of its own."""
        return subprocess.run(
            [sys.executable, "-m", "hydrusd", *arguments],
            cwd=self.folder,
            env=self.environment | environment,
            capture_output=True,
            encoding="utf-8",
            timeout=DEADLINE_SECONDS,
            check=False,
        )

    def start(self, *arguments, **environment):
        running = Running(
            [sys.executable, "-m", "hydrusd", *arguments],
            folder=self.folder,
            environment=self.environment | environment,
            number=len(self.started),
        )
        self.started.append(running)
        return running

    def paint(self, count, folder="inbox", *, first=0):
        """Put small pictures there, no two alike."""
        target = self.folder / folder
        target.mkdir(parents=True, exist_ok=True)
        for number in range(first, first + count):
            noise = random.Random(number).randbytes(24 * 18 * 3)
            Image.frombytes("RGB", (24, 18), noise).save(target / f"{number}.png")

    def trashed(self):
        return {path.name for path in (self.folder / "trash").glob("*")}


def kill_jobs(ledger, *paths, rule="import all", reason="it was garbage"):
    """Make a dead letter of each path."""
    now = datetime.now(UTC)
    pending = [
        PendingEvent(
            Event(ascii(path), {"file": {"path": path}}),
            [NewJob(rule, "r", "hydrus", True, reason)],
        )
        for path in paths
    ]
    ledger.take_in("watch_folder", pending, now)


def everything_in(folder: Path) -> bytes:
    """Give all bytes of all files there."""
    return b"".join(path.read_bytes() for path in folder.rglob("*") if path.is_file())
