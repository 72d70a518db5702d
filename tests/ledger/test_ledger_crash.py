"""A daemon that is killed at any moment has lost nothing that it was told is stored."""

from __future__ import annotations

import json
import os
import random
import subprocess
import sys
from contextlib import ExitStack
from pathlib import Path

import pytest
from ledgering import NOW, claim, ended, onward, rows

from hydrusd.ledger import Ledger
from hydrusd.model import JobState

ROUNDS = 10
STEPS = 3
BATCH = 5

CHILD = f"""
import json, sys
from pathlib import Path
from ledgering import NOW, claim, ended, enqueue, onward, record
from hydrusd.ledger import Ledger

def say(what, names):
    print(json.dumps([what, names]), flush=True)

sys.stdin.readline()
ledger = Ledger.open(Path(sys.argv[1]))
ledger.release(NOW)
for n in range(1_000_000):
    keys = [f"{{sys.argv[2]}} {{n}} {{i}}" for i in range({BATCH})]
    enqueue(ledger, *keys)
    say("stored", keys)
    while jobs := claim(ledger, limit=3):
        say("claimed", [job.id for job in jobs])
        last = jobs[0].step == {STEPS} - 1
        updates = [ended(job, frees_event=True) if last else onward(job) for job in jobs]
        ledger.checkpoint("me", updates, [record(job) for job in jobs], NOW)
        say("done" if last else "went on", [[job.id, job.step] for job in jobs])
        if n % 3 == 0 and last:
            break  # leaves work for the next life
"""


@pytest.fixture
def children(tmp_path, path):
    """Processes that wait for a word to begin: their start is what takes long."""
    with ExitStack() as stack:
        yield [
            stack.enter_context(
                subprocess.Popen(
                    [sys.executable, "-c", CHILD, str(path), f"life {life}"],
                    stdin=subprocess.PIPE,
                    stdout=subprocess.PIPE,
                    text=True,
                    env=os.environ | {"PYTHONPATH": str(Path(__file__).parent)},
                )
            )
            for life in range(ROUNDS)
        ]


def test_nothing_acknowledged_is_lost_and_nothing_is_done_twice(children, path):
    chance = random.Random(20260101)
    stored: set[str] = set()
    finished: set[int] = set()
    went_on: set[tuple[int, int]] = set()
    for child in children:
        child.stdin.write("go\n")
        child.stdin.flush()
        said = [child.stdout.readline() for _ in range(chance.randrange(1, 60))]
        child.kill()
        said += child.stdout.readlines()
        for line in said:
            if not line.endswith("\n"):
                continue  # cut in the middle: never heard
            what, names = json.loads(line)
            match what:
                case "stored":
                    stored |= set(names)
                case "claimed":
                    assert not finished & set(names)
                case _:
                    now = {tuple(pair) for pair in names}
                    assert not went_on & now
                    went_on |= now
                    if what == "done":
                        finished |= {job_id for job_id, _ in now}
        child.wait()
        _check(path, stored, finished, went_on)
    assert finished
    assert any(key.startswith("life 9") for key in stored)
    _finish_the_rest(path)


def _check(path, stored, finished, went_on):
    ledger = Ledger.open(path)
    ledger.release(NOW)
    ledger.close()
    assert rows(path, "PRAGMA integrity_check") == [("ok",)]
    assert rows(path, "PRAGMA foreign_key_check") == []
    events = {key for (key,) in rows(path, "SELECT key FROM event")}
    assert stored <= events
    # Taking in is all or nothing, and each event has its one job.
    assert len(events) % BATCH == 0
    assert rows(path, "SELECT count(*), count(DISTINCT event_id) FROM job") == [
        (len(events), len(events))
    ]
    # So is a checkpoint: a job at step n has n steps behind it, and has freed its event at the end.
    jobs = rows(
        path,
        "SELECT job.id, state, step, freed, finished_at IS NOT NULL, attempt,"
        " (SELECT count(*) FROM step WHERE job_id = job.id)"
        " FROM job JOIN event ON event.id = event_id",
    )
    for job_id, state, step, freed, has_ended, attempt, steps in jobs:
        over = step == STEPS
        assert (state, has_ended, freed != 0) == (
            (JobState.DONE, 1, True) if over else (JobState.READY, 0, False)
        )
        assert (attempt, steps) == (0, step)
        assert over or job_id not in finished
    reached = {job_id: step for job_id, _, step, *_ in jobs}
    assert all(reached[job_id] > step for job_id, step in went_on)


def _finish_the_rest(path):
    """After all the crashes the work goes on as if there had been none."""
    ledger = Ledger.open(path)
    unfinished = rows(path, "SELECT id FROM job WHERE finished_at IS NULL")
    assert unfinished
    while jobs := claim(ledger):
        updates = [ended(job) if job.step == STEPS - 1 else onward(job) for job in jobs]
        ledger.checkpoint("me", updates, [], NOW)
    assert rows(path, "SELECT DISTINCT state FROM job") == [(JobState.DONE,)]
    ledger.close()
