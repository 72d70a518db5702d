"""A rule does no more than its limit in an hour, and one that only fails is stopped."""

from __future__ import annotations

import json
from contextlib import closing
from datetime import UTC, datetime

import pytest

from hydrusd.daemon import LEDGER_FILE
from hydrusd.engine.limits import FIRST_PAUSE_SECONDS, HOUR_SECONDS, LONGEST_PAUSE_SECONDS, Limits
from hydrusd.ledger import Ledger
from hydrusd.model import JobState
from hydrusd.rules import LimitsSpec

SPEC = LimitsSpec(per_hour=10, failures=3)


def test_no_more_begin_in_an_hour_than_allowed():
    limits = Limits()
    assert limits.allowance("r", SPEC, 8, 0) == 8
    limits.begun("r", 8, 0)
    assert limits.allowance("r", SPEC, 8, 60) == 2
    limits.begun("r", 2, 60)
    assert limits.allowance("r", SPEC, 8, 61) == 0
    pause = limits.exhausted("r", SPEC, 61)
    assert pause.seconds == HOUR_SECONDS - 61
    assert "10 jobs within an hour" in pause.reason
    assert limits.allowance("r", SPEC, 9, HOUR_SECONDS) == 8
    assert limits.allowance("another", SPEC, 9, 61) == 9


def test_failures_in_a_row_pause_a_rule_ever_longer_until_one_goes_well():
    limits = Limits()
    assert limits.ended("r", SPEC, failed=2, well=0, why="x") is None
    assert limits.ended("r", SPEC, failed=0, well=1, why="") is None
    assert limits.ended("r", SPEC, failed=2, well=0, why="x") is None
    pause = limits.ended("r", SPEC, failed=1, well=0, why="the service is gone")
    assert pause.seconds == FIRST_PAUSE_SECONDS
    assert "3 of its jobs gave up in a row, the last because the service is gone" in pause.reason
    assert limits.allowance("r", SPEC, 256, 0) == 1
    again = limits.ended("r", SPEC, failed=1, well=0, why="x")
    assert again.seconds == 2 * FIRST_PAUSE_SECONDS
    assert limits.ended("r", SPEC, failed=0, well=1, why="") is None
    assert limits.allowance("r", SPEC, 9, 0) == 9
    assert limits.ended("r", SPEC, failed=2, well=0, why="x") is None


def test_a_rule_may_fail_for_years():
    limits = Limits()
    for _ in range(3000):
        pause = limits.ended("r", SPEC, failed=3, well=0, why="x")
    assert pause.seconds == LONGEST_PAUSE_SECONDS


def test_how_a_rule_fails_is_taken_up_again():
    limits = Limits()
    assert limits.failing("r") is None
    limits.ended("r", SPEC, failed=3, well=0, why="x")
    again = Limits()
    again.restore("r", json.loads(json.dumps(limits.failing("r"))))
    assert again.allowance("r", SPEC, 9, 0) == 1
    pause = again.ended("r", SPEC, failed=1, well=0, why="x")
    assert pause.seconds == 2 * FIRST_PAUSE_SECONDS
    for nonsense in (None, [], {"failures": "many", "probing": 7}):
        fresh = Limits()
        fresh.restore("r", nonsense)
        assert fresh.failing("r") is None


PLUGIN = '''
import pathlib
from hydrusd.plugin import Action, Event, Outcome, PermanentError, Trigger, hookimpl
import anyio

class Many(Trigger):
    """Notice twelve things."""
    trigger = "many"
    async def run(self, context):
        await context.emit([Event(str(n), {"n": n}) for n in range(12)])
        await anyio.sleep_forever()

class Portions(Many):
    """Notice them in three portions."""
    trigger = "portions"
    in_portions = True
    async def run(self, context):
        for first in (0, 4, 8):
            await context.emit([Event(str(n), {"n": n}) for n in range(first, first + 4)])
        await anyio.sleep_forever()

class Apart(Portions):
    """Notice three times four."""
    trigger = "apart"
    in_portions = False

class Work(Action):
    """Fail as told."""
    action = "work"
    needs_client = False
    changes_client = False
    how: str
    def run(self, call):
        if (pathlib.Path(__file__).parent / "mended").exists():
            return Outcome.done()
        if self.how == "raise":
            raise PermanentError("the world is broken")
        if self.how == "refuse":
            return Outcome.dead("this one is no good")
        return Outcome.done()

@hookimpl
def hydrusd_register_triggers(register):
    for trigger in (Many, Portions, Apart):
        register(trigger)

@hookimpl
def hydrusd_register_actions(register):
    register(Work)
'''


@pytest.fixture
def made(project):
    def make(how, limits, on="many"):
        rule = (
            f"rules:\n  - {{name: r, on: {on}, limits: {limits}, do: [{{work: {{how: {how}}}}}]}}\n"
        )
        return project({"rules.yaml": rule, "plugins/many.py": PLUGIN})

    return make


def states(project):
    return [job.state for job in project.jobs]


def reason(project):
    return next((c.reason for c in project.conditions if c.kind == "rule"), "")


def test_a_rule_at_its_limit_waits_and_says_so(made):
    project = made("well", "{per_hour: 5}")
    project.run(until=lambda p: "5 jobs within an hour" in reason(p))
    assert states(project).count(JobState.DONE) == 5
    assert states(project).count(JobState.READY) == 7


def test_a_rule_that_only_fails_is_stopped_before_it_has_spoilt_everything(made):
    project = made("raise", "{failures: 3, per_hour: 3}")
    project.run(until=lambda p: "gave up in a row" in reason(p))
    assert states(project).count(JobState.DEAD) == 3
    assert "the world is broken" in reason(project)
    assert states(project).count(JobState.READY) == 9


def test_items_that_are_refused_one_by_one_do_not_stop_the_others(made):
    project = made("refuse", "{failures: 3}").run(jobs=12)
    assert states(project).count(JobState.DEAD) == 12
    assert "in a row" not in reason(project)


def test_a_daemon_that_is_started_over_and_over_allows_no_more(made):
    project = made("well", "{per_hour: 5}")
    for _ in range(3):
        project.run(until=lambda p: "5 jobs within an hour" in reason(p))
        assert states(project).count(JobState.DONE) == 5


def test_a_rule_that_only_failed_is_tried_with_one_job_after_a_restart(made):
    project = made("raise", "{failures: 3, per_hour: 3}")
    project.run(until=lambda p: "gave up in a row" in reason(p))
    text = (project.folder / "rules.yaml").read_text(encoding="utf-8")
    project.write({"rules.yaml": text.replace("per_hour: 3", "per_hour: 1000")})
    project.run(until=lambda p: "4 of its jobs gave up in a row" in reason(p))
    assert states(project).count(JobState.DEAD) == 4
    # Whoever rewrites the rule means to have mended it.
    project.write({"rules.yaml": text.replace("per_hour: 3", "per_hour: 7").replace("raise", "x")})
    project.run(until=lambda p: "7 jobs within an hour" in reason(p))
    assert states(project).count(JobState.DONE) == 3


def test_a_run_has_no_more_jobs_than_its_rule_allows(made):
    """The others wait as dead letters for a person, who has the last word."""
    project = made("well", "{per_run: 5}").run(jobs=12)
    assert states(project).count(JobState.DONE) == 5
    assert states(project).count(JobState.DEAD) == 7
    assert all("limits: per_run" in letter.detail for letter in project.dead_letters)
    with closing(Ledger.open(project.state_dir / LEDGER_FILE)) as ledger:
        assert ledger.retry(datetime.now(UTC)) == 7
    project.run(jobs=12)
    assert states(project).count(JobState.DONE) == 12


def test_what_comes_in_portions_is_one_run(made):
    project = made("well", "{per_run: 5}", on="portions").run(jobs=12)
    assert states(project).count(JobState.DEAD) == 7
    project = made("well", "{per_run: 3}", on="apart").run(jobs=12)
    assert states(project).count(JobState.DEAD) == 3
