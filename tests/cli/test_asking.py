"""What people ask: what gave up, what became of a file, what a run did. On a real run's ledger."""

from __future__ import annotations

import json

import pytest
from invoking import invoke

from hydrusd.model import JobState

RULES = """
rules:
  - name: import
    on: {watch_folder: {path: inbox, settle: 100ms}}
    if: file.suffix != '.txt'
    do:
      - add_file:
      - add_tags: {my tags: ["from:inbox"]}
"""


@pytest.fixture
def ran(project):
    made = project({"rules.yaml": RULES})
    made.drop("inbox/good.png").drop("inbox/bad.png", b"no picture").drop("inbox/notes.txt", b"x")
    return made.run(jobs=2)


@pytest.fixture
def ask(ran):
    def ask(*arguments, code=0, answers=()):
        ended = invoke(*arguments, "--state-dir", ran.state_dir, answers=answers)
        assert ended.exit_code == code, ended.output
        return ended.output

    return ask


def number(ran, name):
    return str(ran.job(f"inbox/{name}").job_id)


def test_what_gave_up_is_listed_and_shown_whole(ran, ask):
    dead = number(ran, "bad.png")
    for listed in (ask("dead"), ask("dead", "list", "--rule", "import")):
        assert "bad.png" in listed
        assert "good.png" not in listed
    [found] = json.loads(ask("dead", "--json"))
    assert str(found["job_id"]) == dead
    shown = ask("dead", "show", dead, "--rules-file", ran.folder / "rules.yaml")
    assert "bad.png" in shown
    assert "add_file" in shown
    assert "Hydrus cannot import it" in shown


def test_a_job_that_is_no_dead_letter_is_not_shown_as_one(ran, ask):
    assert "good.png" not in ask("dead", "show", number(ran, "good.png"), code=1)
    ask("dead", "show", "99", code=1)


def test_dropping_asks_first_and_keeps_the_file_known(ran, ask):
    dead = number(ran, "bad.png")
    ask("dead", "drop", dead, answers=["n"], code=1)
    assert ran.job("inbox/bad.png").state is JobState.DEAD
    ask("dead", "drop", dead, answers=["y"])
    assert ran.job("inbox/bad.png").state is JobState.SKIPPED
    ran.run(jobs=2)
    assert len(ran.jobs) == 2


@pytest.mark.parametrize("by", ["path", "name", "hash", "job"])
def test_a_file_is_explained_whatever_it_is_called(ran, ask, by):
    asked = {
        "path": ran.folder / "inbox" / "good.png",
        "name": "good.png",
        "hash": ran.sha256("inbox/good.png"),
        "job": number(ran, "good.png"),
    }[by]
    told = ask("explain", asked, "--rules-file", ran.folder / "rules.yaml")
    for word in ("good.png", "import", "add_file", "add_tags", "1 tag"):
        assert word in told
    assert "bad.png" not in told


def test_why_a_rule_did_not_want_a_file_is_explained(ran, ask):
    told = ask("explain", "notes.txt", "--rules-file", ran.folder / "rules.yaml")
    assert "not so: file.suffix != '.txt'" in told.replace("\n", " ")


def test_of_what_nobody_knows_nothing_is_said(ran, ask):
    told = ask("explain", "0" * 64, "--rules-file", ran.folder / "rules.yaml", code=1)
    assert "0" * 64 in told


def test_runs_are_listed_and_shown_with_what_they_did(ran, ask):
    listed = json.loads(ask("runs", "--json"))
    assert {each["rule"] for each in listed} == {"import"}
    told = ask("runs", "show", str(listed[0]["run_id"]))
    assert "add_file" in told
    assert "import" in ask("runs")
    ask("runs", "show", "99", code=1)
