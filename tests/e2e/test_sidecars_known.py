"""Sidecars of files that are known: vouched for as a group, or pruned."""

from __future__ import annotations

import os
import sqlite3
import sys
from contextlib import closing
from datetime import UTC, datetime, timedelta
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[1] / "builtin"))

from hurrying import HurryingClock

from hydrusd.daemon import LEDGER_FILE
from hydrusd.ledger import Ledger, Retention
from hydrusd.model import JobState

CURRENT = 0
RULES = """
rules:
  - name: keep
    on:
      watch_folder:
        path: inbox
        settle: 50ms
        scan_every: 1s
        method: poll
        sidecars: [txt]
        sidecar_wait: 100ms
    do:
      - add_file:
      - apply_sidecar:
"""
MOVING = RULES + "      - move_source: {to: done}\n"


def vouched(made):
    """Give the digests by which the ledger knows groups of files again."""
    with closing(sqlite3.connect(made.state_dir / LEDGER_FILE)) as connection:
        return {row[0] for row in connection.execute("SELECT digest FROM known_files")}


def until_vouched(made, jobs):
    """Run until there are so many jobs, all over, and nothing is asked about any more."""
    seen = []

    def stays(_):
        over = [job for job in made.jobs if job.state in {JobState.DONE, JobState.DEAD}]
        if len(over) < jobs:
            return False
        seen.append(vouched(made))
        return len(seen) > 40 and bool(seen[-1]) and all(each == seen[-1] for each in seen[-40:])

    made.run(until=stays)
    made.awaited.clear()
    return seen[-1]


def write(made, name, text):
    (made.folder / "inbox" / name).write_text(text, encoding="utf-8")


def tags(made, name):
    return made.simulator.tags(made.sha256(f"inbox/{name}")).get(CURRENT, set())


def prune(made):
    """Let go what has ended, as if that were long ago; of the newest job nothing goes."""
    with closing(Ledger.open(made.state_dir / LEDGER_FILE)) as ledger:
        now = datetime.now(UTC) + timedelta(days=1)
        return ledger.prune_events(Retention(now, now), now, after=None).jobs


def test_with_all_files_vouched_for_a_sidecar_that_is_new_or_changed_is_found(project):
    made = project({"rules.yaml": RULES})
    for name in ("a.png", "b.png", "c.png"):
        made.drop(f"inbox/{name}")
    write(made, "a.png.txt", "early\n")
    known = until_vouched(made, jobs=3)
    assert until_vouched(made, jobs=3) == known  # a restart, and nothing has changed
    assert tags(made, "a.png") == {"early"}
    write(made, "b.png.txt", "late\n")  # while nobody looked
    until_vouched(made, jobs=4)
    assert tags(made, "b.png") == {"late"}
    write(made, "a.png.txt", "early\nchanged\n")
    until_vouched(made, jobs=5)
    assert tags(made, "a.png") == {"early", "changed"}
    assert len(made.jobs) == 5
    assert {job.state for job in made.jobs} == {JobState.DONE}


def test_a_late_sidecar_of_a_pruned_file_that_is_still_there_counts(project):
    made = project({"rules.yaml": RULES})
    made.drop("inbox/a.png").run()
    made.drop("inbox/b.png").run()
    assert prune(made) == 1
    write(made, "a.png.txt", "late\n")
    until_vouched(made, jobs=2)
    assert tags(made, "a.png") == {"late"}
    [late] = [job for job in made.jobs if job.data["sidecar"]["late"]]
    assert late.data["sidecar"]["late_for"] == ["keep"]
    assert made.simulator.imports() == {made.sha256(f"inbox/{name}.png"): 1 for name in "ab"}


def test_a_late_sidecar_of_a_pruned_file_that_is_gone_stays_and_says_so(project):
    made = project({"rules.yaml": MOVING})
    made.drop("inbox/a.png").run()
    made.drop("inbox/b.png").run()
    assert prune(made) == 1
    write(made, "a.png.txt", "late\n")
    os.utime(made.folder / "inbox/a.png.txt", (1e9, 1e9))

    def told(_):
        return any("a.png, which is gone" in one.reason for one in made.passed_over)

    made.run(until=told, clock=HurryingClock())
    assert (made.folder / "inbox/a.png.txt").read_text(encoding="utf-8") == "late\n"
    assert tags(made, "a.png") == set()
