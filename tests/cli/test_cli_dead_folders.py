"""Commands that look at a folder which does not answer: they say so, go on, and come to an end."""

from __future__ import annotations

import json
import os
import subprocess
import sys

import pytest

RULES = """
rules:
  - name: from the server
    on: {watch_folder: {path: mute}}
    do:
      - add_file:
  - name: a list there
    on: {url_list: {path: mute/lists}}
    do:
      - add_url:
  - name: from here
    on: {watch_folder: {path: here}}
    do:
      - add_file:
      - move_source: {to: "%s"}
"""

# Whoever asks for what lies in "mute" waits for ever, as before a mount whose server has gone, and
# so does whoever hashes a file whose name begins with "stuck".
HANGING = """
import os, sys, time
from pathlib import Path
from hydrusd import cli
from hydrusd.builtin.actions import add_file
from hydrusd.builtin.triggers import _asking, watch_folder
from hydrusd.engine import planning
from hydrusd.plugin import FileSource, calling

_asking.SILENT_SECONDS = watch_folder.LOOK_TIMEOUT_SECONDS = 0.5
planning.ANSWER_SECONDS = calling.PATIENCE_SECONDS = 0.5

def held(function, is_held):
    def asking(first, *rest, **options):
        if is_held(first):
            time.sleep(600)
        return function(first, *rest, **options)
    return asking

def mute(path):
    return not isinstance(path, int) and "mute" in Path(os.fsdecode(path)).parts

for name in ("stat", "lstat", "scandir", "listdir", "access"):
    setattr(os, name, held(getattr(os, name), mute))

def stuck(source):
    return source.path.name.startswith("stuck")

add_file._hash = held(add_file._hash, stuck)
FileSource.state = held(FileSource.state, stuck)
cli.main()
"""


@pytest.fixture
def hydrusd(project):
    """Run a command over the rules; gives its exit code and all that it printed."""
    made = project({"rules.yaml": RULES % "moved"})
    (made.folder / "mute").mkdir()

    def run(*words, to="moved"):
        text = (made.folder / "rules.yaml").read_text(encoding="utf-8")
        (made.folder / "rules.yaml").write_text(text.replace('"moved"', f'"{to}"'), "utf-8")
        words = [sys.executable, "-c", HANGING, *words]
        ended = subprocess.run(
            words,
            cwd=made.folder,
            capture_output=True,
            text=True,
            timeout=60,
            check=False,
            env={**os.environ, "COLUMNS": "400"},
        )
        return ended.returncode, ended.stdout + ended.stderr

    run.drop = made.drop
    return run


def unbroken(text):
    return " ".join(text.split())


def test_a_plan_names_the_folder_and_goes_on_with_the_other_rules(hydrusd):
    hydrusd.drop("here/a.jpg")
    code, told = hydrusd("plan", "rules.yaml", "--state-dir", "state", "--json")
    assert code == 0, told
    plan = json.loads(told)
    first, second, third = plan["triggers"]
    assert first["detail"].endswith("mute does not answer; is its disk or server there?")
    assert second["detail"].endswith("lists does not answer; is its disk or server there?")
    assert third["detail"] == "1 files there"
    assert [job["rule"] for job in plan["jobs"]] == ["from here"]


def test_a_plan_of_a_file_there_says_so(hydrusd):
    code, told = hydrusd("plan", "rules.yaml", "mute/a.jpg", "--state-dir", "state")
    assert code == 0, told
    _, _, about = unbroken(told).partition("Nothing would be noticed of mute/a.jpg")
    assert about.count("does not answer; is its disk or server there?") == 1


def test_a_disk_that_falls_silent_while_its_files_are_hashed(hydrusd):
    hydrusd.drop("here/stuck.jpg")
    code, told = hydrusd("plan", "rules.yaml", "--rule", "from here", "--state-dir", "state")
    assert code == 0, told
    assert "Rule 'from here', 1 job" in told
    words = unbroken(told)
    assert "add_file: cannot be foreseen: " in words
    assert "here does not answer; is its disk or server there?" in words


def test_a_target_that_does_not_answer(hydrusd):
    hydrusd.drop("here/a.jpg")
    words = ("plan", "rules.yaml", "--rule", "from here", "--state-dir", "state")
    code, told = hydrusd(*words, to="mute/moved")
    assert code == 0, told
    assert "add_file: would import it" in told
    assert "move_source: cannot be foreseen: waits: " in unbroken(told)
    assert "moved does not answer; is its disk or server there?" in unbroken(told)


def test_a_live_check_ends_with_the_code_of_what_it_found(hydrusd):
    code, told = hydrusd("check", "--live", "rules.yaml")
    assert code == 2, told
    assert "mute does not answer" in told
    assert "here is watched by" in told or "here does not exist" in told
