"""Pruning by hand, on a real run's ledger that is made to look old."""

from __future__ import annotations

import json
import sqlite3
from contextlib import closing
from hashlib import sha256

import pytest
from invoking import invoke

from hydrusd.daemon import LEDGER_FILE
from hydrusd.ledger import Ledger

RULES = """
rules:
  - name: import
    on: {watch_folder: {path: inbox, settle: 100ms}}
    if: file.suffix != '.txt'
    do:
      - add_file:
      - add_tags: {my tags: ["from:inbox"]}
"""
TIMES = {
    "event": ["noticed_at"],
    "job": ["created_at", "finished_at", "run_at"],
    "not_matched": ["judged_at"],
    "run": ["started_at"],
    "step": ["began_at", "ended_at"],
}


def make_old(project):
    """Have everything in the ledger happen twenty years ago."""
    with closing(sqlite3.connect(project.state_dir / LEDGER_FILE)) as connection:
        for table, columns in TIMES.items():
            for name in columns:
                connection.execute(
                    f"UPDATE {table} SET {name} = "
                    f"(substr({name}, 1, 4) - 20) || substr({name}, 5) WHERE {name} IS NOT NULL"
                )
        connection.commit()


@pytest.fixture
def old(project):
    made = project({"rules.yaml": RULES})
    made.drop("inbox/bad.png", b"no picture").drop("inbox/notes.txt", b"x")
    made.drop("inbox/good.png").run(jobs=2)
    make_old(made)
    made.drop("inbox/new.png").run(jobs=3)
    return made


@pytest.fixture
def ask(old):
    def ask(*arguments, code=0, answers=()):
        ended = invoke(*arguments, "--state-dir", old.state_dir, answers=answers)
        assert ended.exit_code == code, ended.output
        return ended.output

    return ask


def test_what_is_old_goes_and_is_not_done_again(old, ask):
    foreseen = ask("ledger", "prune", "--older-than", "90d", "--dry-run")
    assert "To be let go: the details of 2 events (1 job with 2 steps, 1 reason" in foreseen
    for age in ("90", "1h", "long ago"):
        assert "--older-than" in ask("ledger", "prune", "--older-than", age, code=2)
    ask("ledger", "prune", "--older-than", "90d", answers=["n"], code=1)
    assert len(old.jobs) == 3
    number = old.job("inbox/good.png").job_id
    told = ask("ledger", "prune", "--older-than", "90d", answers=["y"])
    assert "Let go: the details of 2 events" in told
    assert sorted(job.data["file"]["name"] for job in old.jobs) == ["bad.png", "new.png"]
    assert "Nothing in the ledger is that old" in ask(
        "ledger", "prune", "--older-than", "90d", "--yes"
    )

    explained = ask("explain", old.folder / "inbox" / "good.png")
    assert "good.png" in explained
    assert "pruned on 20" in explained
    assert "rule 'import' has had it: done" in explained
    assert "is on the disk as it was noticed" in explained
    by_hash = ask("explain", sha256((old.folder / "inbox" / "good.png").read_bytes()).hexdigest())
    assert "good.png" in by_hash
    assert "rule 'import'" in ask("explain", old.folder / "inbox" / "notes.txt")
    assert "no longer kept" in ask("explain", number, code=1)

    sent = old.simulator.requests["/add_files/add_file"]
    old.drop("inbox/third.png").run(jobs=3)
    assert sorted(job.data["file"]["name"] for job in old.jobs) == [
        "bad.png",
        "new.png",
        "third.png",
    ]
    assert old.simulator.requests["/add_files/add_file"] == sent + 1


def test_the_rules_file_says_how_old(old, ask):
    rules = old.folder / "rules.yaml"
    told = json.loads(ask("ledger", "prune", "--dry-run", "--json", "--rules-file", rules))
    assert (told["dry_run"], told["events"], told["jobs"]) == (True, 2, 1)
    old.write({"rules.yaml": f"history: {{keep: forever, keep_dull: forever}}\n{RULES}"})
    told = json.loads(ask("ledger", "prune", "--yes", "--json", "--rules-file", rules))
    assert told["events"] == 0
    assert told["bytes"] > told["free_bytes"]


def test_the_file_is_made_smaller_only_while_nobody_has_it(old, ask):
    path = old.state_dir / LEDGER_FILE
    with closing(Ledger.open(path)):
        assert "stop it first" in ask(
            "ledger", "prune", "--older-than", "90d", "--yes", "--compact", code=1
        )
    told = json.loads(ask("ledger", "prune", "--older-than", "90d", "--yes", "--compact", "--json"))
    assert (told["events"], told["free_bytes"]) == (2, 0)
    assert told["bytes"] == path.stat().st_size
    assert len(old.jobs) == 2
