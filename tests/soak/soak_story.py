"""A day in a minute: a restless folder, a daemon that watches it, and a model of what is right.

The daemon and the simulated client are processes of their own. Bursts of random operations on
files alternate with pauses, and now and then with a lull: all that lies in the folder then has to
arrive in the client. In the end, what should be in the client is, nothing else, and each file was
sent once; and the daemon has no more descriptors, threads, watches or memory than it had early on.
What is done follows from the seed; when, from the machine. The long form::

    python tests/soak/soak_story.py --operations 100000 --seed 1
"""

from __future__ import annotations

import argparse
import shutil
import sqlite3
import sys
import tempfile
import time
from collections import Counter
from contextlib import closing, suppress
from dataclasses import dataclass, field
from pathlib import Path

if __name__ == "__main__":
    sys.path.insert(0, str(Path(__file__).parents[1] / "crash"))

from churn import INBOX, Churn, Model, counts
from stage import ClientProcess, DaemonProcess, Place, wait_until

SETTLE_SECONDS = 0.3
SCAN_SECONDS = 1.0
SLACK_SECONDS = 20.0
"""How late a busy machine may be, while it goes on."""
LULL_EVERY = 400
SLOW_SECONDS = 4.0
"""After how long it is told what is still to arrive."""
LULL_SECONDS = 120.0
"""How long all that lies in the folder may take to arrive."""
WATCHES_SECONDS = 5.0
"""How soon each folder has to be watched that is there, and none that is not."""
PARTS = 4
"""How often the daemon's resources are looked at."""
RULES = f"""\
  - name: import all
    on:
      watch_folder: {{{{path: inbox, settle: {{settle}}, scan_every: {SCAN_SECONDS:g}s}}}}
    do:
      - add_file:
"""


@dataclass(frozen=True)
class Resources:
    """What a process holds. Measured on Linux only."""

    operations: int
    folders: int
    descriptors: int
    threads: int
    watches: int
    rss_mb: float

    @classmethod
    def of(cls, pid, operations, folders):
        """Look at a process. ``folders``: how many it should watch."""
        proc = Path("/proc") / str(pid)
        watches = sum(
            line.startswith("inotify ")
            for info in (proc / "fdinfo").iterdir()
            for line in _lines(info)
        )
        pages = int((proc / "statm").read_text().split()[1])
        return cls(
            operations,
            folders,
            len(list((proc / "fd").iterdir())),
            len(list((proc / "task").iterdir())),
            watches,
            pages * 4096 / 1e6,
        )


def _lines(path):
    try:
        return path.read_text().splitlines()
    except OSError:
        return []  # closed meanwhile


@dataclass
class Report:
    """How it went. No faults: all is well."""

    seed: int
    operations: int = 0
    seconds: float = 0
    imported: int = 0
    required: int = 0
    allowed: int = 0
    jobs: Counter = field(default_factory=Counter)
    by_kind: dict = field(default_factory=dict)
    slowest_lull_seconds: float = 0
    resources: list = field(default_factory=list)
    faults: list = field(default_factory=list)

    def line(self):
        return (
            f"seed {self.seed}: {self.operations:,} operations in {self.seconds:.0f} s; "
            f"{self.required:,} contents had to be in the client, {self.allowed:,} could be, "
            f"{self.imported:,} are; jobs {dict(self.jobs)}; the slowest lull took "
            f"{self.slowest_lull_seconds:.1f} s; {len(self.faults)} faults"
        )


class Soak:
    """One day."""

    def __init__(self, folder, operations, seed, say=lambda _: None):
        self.place = Place(folder)
        self.client = ClientProcess(self.place)
        self.daemon = DaemonProcess(self.place)
        self.operations = operations
        self.model = Model(SETTLE_SECONDS, SETTLE_SECONDS + SCAN_SECONDS + SLACK_SECONDS)
        self.churn = Churn(folder, seed, self.model)
        self.report = Report(seed)
        self._say = say
        self._sent = Counter()
        self._read = 0

    def play(self):
        self.place.write_rules(
            self.client.start(), rules=RULES, settle=f"{SETTLE_SECONDS * 1000:g}ms"
        )
        try:
            self.daemon.start()
            self.daemon.wait_until_started()
            began = time.monotonic()
            self._churn()
            self.report.seconds = time.monotonic() - began
            self._judge()
            if self.daemon.stop() != 0:
                self.report.faults.append("the daemon did not stop in good order")
        finally:
            self.churn.rest()
            self.daemon.close()
            self.client.close()
        return self.report

    def _churn(self):
        churn, chance = self.churn, self.churn.chance
        samples = [round(self.operations * part / PARTS) for part in range(1, PARTS + 1)]
        lull_at = LULL_EVERY
        while churn.done < self.operations:
            for _ in range(chance.randint(1, 80)):
                churn.one()
                if churn.done in samples:
                    break
            if churn.done >= min(lull_at, samples[0]):
                self._lull()
                lull_at = churn.done + chance.randint(LULL_EVERY // 2, 2 * LULL_EVERY)
            if churn.done >= samples[0]:
                del samples[0]
                self._look()
            time.sleep(chance.choice([0, 0, 0.01, 0.05, 0.1, 0.4]))

    def _lull(self):
        """Wait until all that lies in the folder is in the client."""
        self.churn.rest()
        wanted, began = self.model.present(), time.monotonic()
        try:
            for seconds in (SLOW_SECONDS, LULL_SECONDS):
                arrived = lambda: self.daemon.running() and wanted <= self.sent().keys()  # noqa: E731
                try:
                    wait_until(arrived, "all has arrived", seconds=seconds)
                    break
                except AssertionError:
                    if seconds == LULL_SECONDS:
                        raise
                    self._say(f"slow: {self._lacking(wanted)}; {self.place.states()}")
        except AssertionError as error:
            lacking = self._lacking(wanted)
            self.report.faults.append(f"{error}: {lacking} after {self.churn.done} operations")
            raise _OverError from error
        self.model.must |= wanted
        took = time.monotonic() - began
        self.report.slowest_lull_seconds = max(self.report.slowest_lull_seconds, took)

    def _lacking(self, wanted):
        lacking = wanted - self.sent().keys()
        return [p for p, n in self.churn.nodes.items() if n.sha256 in lacking and counts(p)]

    def _look(self):
        """Have everything come to rest, and measure."""
        wait_until(lambda: self.daemon.running() and self.place.ended(0), "all jobs have ended")
        if differences := self.churn.differences():
            self.report.faults.append(f"the model is not the disk: {differences}")
            raise _OverError
        if sys.platform == "linux":
            folders = len([f for f in self.churn.folders if f.startswith(INBOX)])
            seen = lambda: Resources.of(self.daemon.running().pid, self.churn.done, folders)  # noqa: E731
            with suppress(AssertionError):  # the last word of a folder may still be on its way
                wait_until(lambda: seen().watches == folders, "", seconds=WATCHES_SECONDS)
            self.report.resources.append(seen())
            self._say(f"{self.report.resources[-1]}; {self.place.states()}")

    def sent(self):
        """Count how often each hash was answered with "imported"."""
        log = self.place.client_state / "acknowledged.log"
        if log.exists():
            with log.open("rb") as file:
                file.seek(self._read)
                whole = file.read().rpartition(b"\n")[0]
            self._read += len(whole) + 1 if whole else 0
            self._sent.update(whole.decode("ascii").split())
        return self._sent

    def _judge(self):
        report, model = self.report, self.model
        time.sleep(SETTLE_SECONDS + 2 * SCAN_SECONDS)  # for what should not come
        wait_until(lambda: self.place.ended(0), "all jobs have ended")
        model.settle()
        model.must |= model.present()
        sent = self.sent()
        report.operations, report.by_kind = self.churn.done, self.churn.by_kind
        report.imported, report.jobs = len(sent), self.place.states()
        report.required, report.allowed = len(model.must), len(model.may)
        if missing := model.must - sent.keys():
            report.faults.append(f"{len(missing)} were never sent: {sorted(missing)[:5]}")
        if unwanted := sent.keys() - model.may:
            whole = len(unwanted & model.whole)
            report.faults.append(
                f"{len(unwanted)} ({whole} of them whole) were sent that never lay still under a "
                f"name that counts: {sorted(unwanted)[:5]}"
            )
        if twice := [sha256 for sha256, times in sent.items() if times > 1]:
            report.faults.append(f"{len(twice)} were sent twice: {twice[:5]}")
        if set(self.client.state()["committed_files"]) != sent.keys():
            report.faults.append("what the client has committed is not what it was sent")
        report.faults += leaks(report.resources)
        if given_up := self._dead() & model.whole:
            report.faults.append(f"{len(given_up)} whole pictures were given up: {given_up}")
        words = self.daemon.log.read_text(encoding="utf-8", errors="replace")
        if "Traceback" in words or "[error" in words:
            report.faults.append(f"the daemon complains:\n{self.daemon.words()}")

    def _dead(self):
        with closing(sqlite3.connect(self.place.ledger)) as database:
            rows = database.execute("SELECT file_hash FROM job WHERE state = 'dead'")
            return {sha256 for (sha256,) in rows if sha256}


class _OverError(Exception):
    """It makes no sense to go on."""


def leaks(resources):
    """Say what the process holds more of than it should: nothing, if all is well.

    Of each half of the samples the least counts, which is what it holds at rest.
    """
    found = [
        f"{each.watches} watches on {each.folders} folders after {each.operations} operations"
        for each in resources
        if each.watches != each.folders
    ]
    for name, (early, late) in trend(resources).items():
        share, more = _MORE[name]
        if late > early * (1 + share) + more:
            found.append(f"{name} grew from {early:g} to {late:g}")
    return found


_MORE = {"descriptors": (0, 3), "threads": (0, 3), "rss_mb": (0.1, 8)}
"""What the second half may hold more than the first: a share of it, and so many."""


def trend(resources):
    """Give the least of each half of the samples, by name."""
    if len(resources) < 2:
        return {}
    half = len(resources) // 2
    return {
        name: tuple(min(getattr(r, name) for r in p) for p in (resources[:half], resources[half:]))
        for name in _MORE
    }


def play(folder, operations, seed, say=lambda _: None):
    """Play a day in an empty folder."""
    soak = Soak(folder, operations, seed, say)
    try:
        return soak.play()
    except _OverError:
        return soak.report


def main():
    """Play a day, and print what it came to."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--operations", type=int, default=100_000)
    parser.add_argument("--seed", type=int, default=1)
    given = parser.parse_args()
    folder = Path(tempfile.mkdtemp(prefix="hydrusd-soak-"))
    report = play(folder, given.operations, given.seed, _say)
    _say(report.line())
    _say(f"operations: {report.by_kind}")
    for name, (early, late) in trend(report.resources).items():
        _say(f"{name}: {early:g} in the first half, {late:g} in the second")
    for fault in report.faults:
        _say(f"  FAULT ({folder} is kept): {fault}")
    if report.faults:
        return 1
    shutil.rmtree(folder)
    return 0


def _say(text):
    sys.stdout.write(f"{text}\n")
    sys.stdout.flush()


if __name__ == "__main__":
    sys.exit(main())
