"""The command: it shows, asks, and has it done, here or by the daemon that runs."""

from __future__ import annotations

import json
import subprocess
import sys
from contextlib import closing
from datetime import UTC, datetime

import pytest
from stage import wait_until

from hydrusd.daemon import load_plugins
from hydrusd.engine import plan_undo
from hydrusd.errors import LedgerError
from hydrusd.ledger import Ledger, UndoHistory, enqueue_undo
from hydrusd.simulator import Fault, FaultKind

RULES = """
rules:
  - name: import
    on: {watch_folder: {path: inbox, settle: 100ms}}
    do:
      - add_file:
      - add_tags: {my tags: new}
      - log: {message: seen}
"""


@pytest.fixture
def it(undoing):
    made = undoing(RULES)
    made.made.drop("inbox/a.png").drop("inbox/b.png")
    return made.run(jobs=2)


def test_it_shows_what_would_be_done_and_what_cannot(it):
    before = it.library()
    told = it.hydrusd("undo", "run", 1, "--plan")
    for words in ("add_tags: 2 to take back", "1 tag deleted", "what was logged was logged"):
        assert words in told
    for steps in it.plan("run", 1).values():
        assert {s: step["fate"] for s, step in steps.items()} == {
            "log": "not taken back",
            "add_tags": "to take back",
            "add_file": "to take back",
        }
    assert it.library() == before
    assert it.newest_run() == 1


def test_it_asks_first(it):
    before = it.library()
    it.hydrusd("undo", "run", 1, answers=["n"], code=1)
    assert it.library() == before
    assert it.newest_run() == 1
    it.hydrusd("undo", "run", 1, answers=["y"])
    assert it.library() == {}


def test_one_job_is_taken_back_alone_and_once(it):
    job = it.made.job("inbox/a.png").job_id
    assert f"undo job {job}" not in it.undo("job", job)
    assert list(it.library()) == [it.made.sha256("inbox/b.png")]
    told = it.undo("job", job, code=1)
    assert "has taken back what can be" in told
    # Of the run, the other one is left.
    it.undo("run", 1)
    assert it.library() == {}


def test_relations_are_told(it):
    it.undo("run", 1)
    assert "taken back by run 2 (2 jobs)" in it.hydrusd("runs", "show", 1, rules=False)
    assert "takes back run 1 (2 jobs)" in it.hydrusd("runs", "show", 2, rules=False)
    job = it.query("SELECT job_id, of_job FROM undoing ORDER BY job_id LIMIT 1")[0]
    assert f"taken back by job {job[0]} of run 2: done" in it.hydrusd("explain", job[1])
    told = it.hydrusd("explain", it.folder / "inbox" / "a.png")
    assert "takes back what job" in told
    shown = json.loads(it.hydrusd("runs", "show", 2, "--json", rules=False))
    assert shown["undoes"] == {"1": 2}


def test_nothing_is_taken_back_of_what_is_not_known(it):
    assert "no run 99" in it.undo("run", 99, code=1)
    assert "no job 99" in it.undo("job", 99, code=1)


def test_a_client_that_is_away_gets_it_when_the_daemon_runs(it):
    rules = (it.folder / "rules.yaml").read_text()
    elsewhere = rules.replace(it.made.url, "http://127.0.0.1:9")
    (it.folder / "rules.yaml").write_text(elsewhere)
    told = it.undo("run", 1)
    assert "It cannot be seen now what has changed since" in told
    assert "What is left is done when hydrusd runs." in told
    assert len(it.library()) == 2
    (it.folder / "rules.yaml").write_text(rules)
    assert "is at it" in it.undo("run", 1, code=1)
    it.run(jobs=4)
    assert it.library() == {}


def test_a_daemon_that_runs_does_it(it):
    command = [sys.executable, "-m", "hydrusd", "run", "rules.yaml"]
    path = it.folder.parent / "daemon.log"
    log = path.open("wb")
    with (
        log,
        subprocess.Popen(
            [*command, "--state-dir", str(it.made.state_dir)],
            cwd=it.folder,
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=log,
        ) as daemon,
    ):
        try:
            wait_until(lambda: b"connected to Hydrus" in path.read_bytes(), "connected")
            assert "the daemon has it now" in it.undo("run", 1)
            wait_until(lambda: it.library() == {}, "undone")
        finally:
            daemon.kill()


def test_the_rule_may_be_gone_or_rewritten_by_then(it):
    client = (it.folder / "rules.yaml").read_text().split("rules:")[0]
    rule = "  - {name: other, on: startup, do: [{log: {message: x}}]}\n"
    (it.folder / "rules.yaml").write_text(f"{client}rules:\n{rule}")
    it.undo("run", 1)
    assert it.library() == {}


def test_a_rule_that_is_rewritten_gets_what_was_put_back(undoing):
    moving = RULES.replace("- log: {message: seen}", "- move_source: {to: done}")
    it = undoing(moving)
    it.made.drop("inbox/a.png")
    it.run(jobs=1)
    it.undo("run", 1)
    assert list(it.remains()) == ["inbox/a.png"]
    it.made.write(
        {
            "rules.yaml": moving.replace("new", "newer").replace(
                "- add_file:", "- undelete_file:\n      - add_file:"
            )
        }
    )
    it.run(jobs=3)
    assert list(it.remains()) == ["done/a.png"]
    assert it.tags("inbox/a.png") == ["newer"]


def test_no_rule_may_be_called_like_an_undo(it):
    it.made.write({"rules.yaml": RULES.replace("name: import", "name: undo of import")})
    assert "'name' cannot begin with 'undo of '" in it.hydrusd(
        "check", it.folder / "rules.yaml", code=2, rules=False, state=False
    )


def test_an_undo_that_gave_up_goes_on_when_it_is_retried(it):
    refusal = Fault(kind=FaultKind.STATUS, path="/add_files/delete_files", status=400, times=9)
    it.made.simulator.inject(refusal)
    told = it.undo("run", 1)
    assert "What gave up is told by `hydrusd dead`" in told
    assert {tuple(facts["tags"]) for facts in it.library().values()} == {()}
    assert len(it.library()) == 2
    it.made.simulator.clear_faults()
    it.hydrusd("dead", "retry", "--all", rules=False)
    it.run(jobs=4)
    assert it.library() == {}
    steps = it.query("SELECT action, outcome FROM step WHERE action LIKE 'undo %' ORDER BY 1")
    assert steps == [*[("undo add_file", "done")] * 2, *[("undo add_tags", "done")] * 2]


def test_what_somebody_else_has_begun_to_undo_is_not_undone_twice(it):
    with closing(UndoHistory.open(it.made.state_dir / "ledger.sqlite")) as history:
        jobs = history.finished_jobs(1)[0]
    actions = load_plugins([]).actions
    undos = [plan_undo(job, [], {}, actions).new(actions) for job in jobs]
    with closing(Ledger.open(it.made.state_dir / "ledger.sqlite")) as ledger:
        enqueue_undo(ledger, undos[:1], datetime.now(UTC))
        with pytest.raises(LedgerError, match="somebody else has just begun to undo job"):
            enqueue_undo(ledger, undos, datetime.now(UTC))
    assert it.query("SELECT count(*) FROM undoing") == [(1,)]
    assert it.newest_run() == 2
