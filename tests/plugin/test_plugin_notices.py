"""What a plugin is told of, by a real daemon and in its order."""

from __future__ import annotations

import json

PLUGIN = """
import json
import pathlib

from hydrusd.plugin import hookimpl

TOLD = pathlib.Path(__file__).parent.parent / "told"


def note(hook, said):
    with TOLD.open("a", encoding="utf-8") as file:
        file.write(json.dumps([hook, said]) + "\\n")


@hookimpl
def hydrusd_started(rules, clients):
    note("started", [rules, clients])


@hookimpl
def hydrusd_jobs_made(entry):
    note("jobs made", [entry.rule, entry.jobs])


@hookimpl
def hydrusd_job_finished(entry):
    note("finished", [entry.rule, entry.state])


@hookimpl
def hydrusd_condition_changed(entry):
    note("condition", [entry.kind, entry.name, entry.state])


@hookimpl
def hydrusd_stopping():
    note("stopping", None)
"""
RULES = """
rules:
  - name: import
    on: {watch_folder: {path: inbox, settle: 100ms}}
    do: [add_file]
"""


def test_a_plugin_is_told_of_all_that_happens(project):
    made = project({"rules.yaml": RULES, "plugins/telling.py": PLUGIN})
    made.drop("inbox/a.png").run()
    lines = (made.folder / "told").read_text(encoding="utf-8").splitlines()
    told = [tuple(json.loads(line)) for line in lines]
    hooks = [hook for hook, _ in told]
    said = dict(told)
    assert said["started"] == [["import"], ["hydrus"]]
    assert said["jobs made"] == ["import", 1]
    assert said["finished"] == ["import", "done"]
    assert ("condition", ["client", "hydrus", "connected"]) in told
    assert hooks.index("started") < hooks.index("jobs made") < hooks.index("finished")
    assert hooks[-1] == "stopping"
