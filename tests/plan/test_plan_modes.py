"""A plan knows of turns: what is passed over, what is superseded, what waits for its hour."""

from __future__ import annotations

import sys
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from planning_ahead import plan_of

sys.path.insert(0, str(Path(__file__).parents[1] / "builtin"))

from mounting import CAN_MOUNT, Disk

from hydrusd.simulator import DEFAULT_ACCESS_KEY, Permissions

RULES = """
rules:
  - name: r
    on: {{watch_folder: {{path: inbox, settle: 100ms}}}}
    {pace}
    do: [add_file]
"""


@pytest.fixture
def made(project):
    def make(pace, *names):
        made = project({"rules.yaml": RULES.format(pace=pace)})
        for name in names or ("a.jpg", "b.jpg", "c.jpg"):
            made.drop(f"inbox/{name}")
        return made

    return make


def told(plan):
    """What becomes of each job, in the order of the plan."""
    return [job.passed_over or job.ends_why or "done" for job in plan.jobs]


def test_single_takes_the_first(made):
    plan = plan_of(made("mode: single"))
    assert told(plan) == [
        "done",
        *["another event came together with it, and before it (mode: single)"] * 2,
    ]


def test_restart_takes_the_last_in_portions_too(made):
    names = [f"{number:03}.png" for number in range(300)]
    plan = plan_of(made("mode: restart", *names))
    superseded = "a later event takes its place (mode: restart)"
    assert told(plan) == [superseded] * 299 + ["done"]
    assert [len(job.steps) for job in plan.jobs] == [0] * 299 + [1]


def test_a_plan_says_until_when_rules_wait(made):
    soon = datetime.now(UTC) + timedelta(hours=3)
    span = f'"{soon:%H:%M}-{soon + timedelta(hours=1):%H:%M}"'
    plan = plan_of(made(f"allowed: {{hours: {span}, time_zone: UTC}}"))
    assert f"until {soon.astimezone():%a %Y-%m-%d %H:%M}" in plan.waits["r"]
    assert told(plan) == ["done"] * 3  # what would be done then


@pytest.mark.parametrize("pace", ["mode: single", "mode: restart"])
def test_the_plan_of_a_mode_is_what_happens(made, pace):
    project = made(pace)
    planned = {
        job.event.data["file"]["name"]
        for job in plan_of(project).jobs
        if not job.passed_over and not job.ends_why
    }
    project.run(until=lambda p: any(job.state == "done" for job in p.jobs))
    done = {j.data["file"]["name"] for j in project.jobs if j.state == "done"}
    assert len(done) == len(planned) == 1


def test_a_plan_says_what_would_wait_for_a_permission(project):
    rules = """
rules:
  - name: r
    on: {watch_folder: {path: inbox, settle: 100ms}}
    do:
      - add_file:
      - if: file.name == 'a.jpg'
        do: [add_tags: {my tags: a}]
      - move_source: {to: moved}
"""
    made = project({"rules.yaml": rules})
    made.drop("inbox/a.jpg")
    made.drop("inbox/b.jpg")
    some = Permissions(name="some", basic=frozenset({1, 3}))
    made.simulator._client.access._keys.update({DEFAULT_ACCESS_KEY: some})
    plan = plan_of(made)
    assert plan.waits == {}
    assert told(plan) == ["waits: the access key lacks 'edit file tags'", "done"]


if CAN_MOUNT:

    def test_a_plan_says_which_disk_is_waited_for(project):
        step = "- move_source: {to: \"{{ 'disk' if file.stem != 'c' else 'here' }}\"}"
        made = project(
            {"rules.yaml": RULES.format(pace="").replace("[add_file]", f"\n      {step}")}
        )
        disk = Disk(made.folder, real=True, name="disk")
        try:
            made.drop("inbox/a.jpg").run(jobs=1)
            disk.unplug()
            made.drop("inbox/b.jpg").drop("inbox/c.jpg")
            waits, goes = told(plan_of(made))
            assert waits.startswith(f"waits: {disk.root} is not mounted")
            assert goes == "done"
            assert list(disk.root.iterdir()) == []
        finally:
            disk.close()
