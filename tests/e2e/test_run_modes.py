"""Each run mode once with a real daemon: what it says in the file is what happens."""

from __future__ import annotations

from contextlib import closing
from datetime import UTC, datetime, timedelta
from itertools import pairwise

import pytest

from hydrusd.daemon import LEDGER_FILE
from hydrusd.ledger import History
from hydrusd.model import JobState

PLUGIN = '''
import pathlib, time
import anyio
from hydrusd.plugin import Action, Event, Outcome, Trigger, hookimpl

class Four(Trigger):
    """Notice four things, one after the other."""
    trigger = "four"
    shared = False
    at_once: bool = True
    async def run(self, context):
        if self.at_once:
            await context.emit([Event(str(n), {"n": n}) for n in range(4)])
        else:
            for n in range(4):
                await context.emit([Event(str(n), {"n": n})])
        await anyio.sleep_forever()

class Work(Action):
    """Write down when it begins and when it ends."""
    action = "work"
    needs_client = False
    changes_client = False
    no_undo = "a test"
    def run(self, call):
        with (pathlib.Path(__file__).parent / "diary").open("a") as diary:
            diary.write(f"+{call.data['n']} "); diary.flush()
            time.sleep(0.02)
            diary.write(f"-{call.data['n']} ")
        return Outcome.done()

@hookimpl
def hydrusd_register_triggers(register):
    register(Four)

@hookimpl
def hydrusd_register_actions(register):
    register(Work)
'''
REST = timedelta(seconds=1)


@pytest.fixture
def made(project):
    def make(pace, on="four", do="work"):
        rule = f"  - {{name: r, on: {on}, {pace}, do: [{do}]}}\n"
        return project({"rules.yaml": f"rules:\n{rule}", "plugins/four.py": PLUGIN})

    return make


def diary(project):
    return (project.folder / "plugins" / "diary").read_text(encoding="utf-8").split()


def reasons(project):
    return [c.reason for c in project.conditions if (c.kind, c.name) == ("rule", "r")]


def test_queued(made):
    project = made("mode: queued").run(jobs=4)
    assert diary(project) == ["+0", "-0", "+1", "-1", "+2", "-2", "+3", "-3"]


def test_parallel(made):
    project = made("mode: parallel").run(jobs=4)
    assert sorted(diary(project)) == sorted(["+0", "-0", "+1", "-1", "+2", "-2", "+3", "-3"])


def test_single(made):
    project = made("mode: single").run(jobs=1)
    assert diary(project) == ["+0", "-0"]
    told = [each.reason for each in project.passed_over]
    assert len(told) == 3
    assert all("(mode: single)" in reason for reason in told)


def test_restart(made):
    project = made("mode: restart").run(jobs=4)
    assert diary(project) == ["+3", "-3"]
    states = {job.data["n"]: job.state for job in project.jobs}
    assert states == {0: "skipped", 1: "skipped", 2: "skipped", 3: "done"}


def test_restart_of_what_waits(made):
    project = made("mode: restart", "{four: {at_once: false}}", "{wait: {for: 1s}}, work")
    project.run(jobs=4)
    assert diary(project) == ["+3", "-3"]


def test_cooldown_over_a_restart_of_the_daemon(made):
    def done(count):
        return lambda p: sum(job.state is JobState.DONE for job in p.jobs) == count

    project = made(f"cooldown: {REST.seconds}s")
    project.run(until=done(1)).run(until=done(2)).run(until=done(3))
    with closing(History.open(project.state_dir / LEDGER_FILE)) as history:
        runs = [history.about_job(job.job_id).jobs[0] for job in project.jobs]
    worked = sorted((s.began_at, s.ended_at) for job in runs for s in job.steps)
    assert len(worked) == 3
    for (_, ended), (began, _) in pairwise(worked):
        assert began - ended >= REST - timedelta(milliseconds=100)  # clocks are corrected


def test_hours(made):
    soon = datetime.now(UTC) + timedelta(hours=3)
    span = f'"{soon:%H:%M}-{soon + timedelta(hours=1):%H:%M}"'
    project = made(f"allowed: {{hours: {span}, time_zone: UTC}}")
    project.run(until=lambda p: any("it begins jobs" in reason for reason in reasons(p)))
    assert {job.state for job in project.jobs} == {JobState.READY}
    assert f"{soon.astimezone():%H:%M}" in reasons(project)[0]


def test_an_idle_client(made):
    project = made("allowed: {client_idle: true}")
    project.run(until=lambda p: any("until Hydrus is idle" in reason for reason in reasons(p)))
    assert {job.state for job in project.jobs} == {JobState.READY}
    project.simulator.set_idle(True)
    project.run(jobs=4)
    assert len(diary(project)) == 8


def test_priority(made):
    project = made("allowed: {client_idle: true}, priority: -1")
    text = (project.folder / "rules.yaml").read_text(encoding="utf-8")
    second = text.partition("rules:\n")[2].replace("name: r", "name: first").replace("-1", "5")
    project.write({"rules.yaml": text + second})
    project.run(until=lambda p: len(p.jobs) == 8 and reasons(p))
    project.simulator.set_idle(True)
    project.run(jobs=8)
    assert [entry.rule for entry in project.finished] == ["first"] * 4 + ["r"] * 4
