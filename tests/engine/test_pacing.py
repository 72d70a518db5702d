"""Rules take their turns: one at a time, at their hours, in their order."""

from __future__ import annotations

from contextlib import closing

import pytest

from hydrusd.engine.pacing import FAIR_TURN, IDLE_LOOK_SECONDS
from hydrusd.ledger import History, waits_for
from hydrusd.simulator import Fault, FaultKind

pytestmark = pytest.mark.anyio

WAITING = """
  - name: slow
    on: {{watch_folder: {{path: inbox}}}}
    {pace}
    do:
      - wait: {{for: 10m}}
      - log: {{message: "{{{{ file.name }}}}"}}
"""
LOGGING = """
  - name: quick
    on: {{watch_folder: {{path: inbox}}}}
    {pace}
    do:
      - log: {{message: "{{{{ file.name }}}}"}}
"""
ABC = ("a.jpg", "b.jpg", "c.jpg")


def slow(pace):
    return WAITING.format(pace=pace)


def quick(pace):
    return LOGGING.format(pace=pace)


def states(at, *names):
    return [at.state(name) for name in names]


def begun(at, *names):
    """Of which of these a step has run."""
    return [bool(at.job(name).steps) for name in names]


async def leap(at, seconds):
    """Let so much time pass at a stroke."""
    await at.rest()
    at.clock.move(at.clock.elapsed + seconds)
    await at.rest()


def why(at, name, *, running=True):
    """What ``explain`` says that a job waits for."""
    with closing(History.open(at.ledger_path)) as history:
        trace = history.about_job(at.job(name).job_id)
        return waits_for(trace.jobs[0], history.conditions(), at.clock.now(), running=running)


async def test_in_parallel_all_wait_at_the_same_time(bench):
    at = bench()
    async with at.running(slow("mode: parallel")):
        await at.notice(*ABC)
        await at.rest()
        assert begun(at, *ABC) == [True, True, True]
        await leap(at, 600)
        assert states(at, *ABC) == ["done"] * 3


async def test_queued_jobs_go_one_after_the_other_in_their_order(bench):
    at = bench()
    async with at.running(slow("mode: queued")):
        await at.notice(*ABC)
        await at.rest()
        assert begun(at, *ABC) == [True, False, False]
        assert at.condition("rule", "slow")[0] == "in turn"
        assert "one after the other (mode: queued)" in why(at, "b.jpg")
        assert "looked at again at" in why(at, "a.jpg")
        await leap(at, 600)
        assert (states(at, *ABC)[0], begun(at, *ABC)) == ("done", [True, True, False])
    # Who was under way is asked of the ledger, not remembered.
    async with at.running(slow("mode: queued")):
        await at.passes(1)
        assert begun(at, *ABC) == [True, True, False]
        await leap(at, 600)
        await leap(at, 600)
        assert states(at, *ABC) == ["done"] * 3
        assert at.condition("rule", "slow") == ("working", "")


async def test_a_queue_waits_for_one_that_settles(bench):
    at = bench(api_version=32)  # cannot be told to commit: that takes its minute
    rule = "\n  - {name: import, on: {watch_folder: {path: inbox}}, mode: queued, do: [add_file]}\n"
    async with at.running(rule, commit_wait_seconds=60):
        await at.notice("a.jpg", "b.jpg")
        await at.rest()
        assert (at.state("a.jpg"), begun(at, "b.jpg")) == ("settling", [False])
        await leap(at, 61)
        assert (at.state("a.jpg"), begun(at, "b.jpg")) == ("done", [True])


async def test_a_retried_job_does_not_run_beside_another(bench):
    at = bench()
    broken = quick("mode: queued").replace("file.name", "file.nonsense")
    async with at.running(broken):
        await at.notice("a.jpg", "b.jpg")
        await at.rest()
        assert states(at, "a.jpg", "b.jpg") == ["dead", "dead"]
    async with at.running(slow("mode: queued").replace("slow", "quick")):
        await at.retry()
        at.lane.wake()
        await at.passes(10)
        assert sum(at.state(name) == "ready" for name in ("a.jpg", "b.jpg")) == 2
        assert [at.steps(n).get("wait", ("",))[0] for n in ("a.jpg", "b.jpg")] == ["later", ""]
        await leap(at, 600)
        await leap(at, 600)
        assert states(at, "a.jpg", "b.jpg") == ["done", "done"]


async def test_single_passes_over_what_comes_meanwhile_and_says_so(bench):
    at = bench()
    async with at.running(slow("mode: single")):
        await at.notice("a.jpg", "b.jpg")
        await at.rest()
        await at.notice("c.jpg")
        await leap(at, 600)
        assert at.state("a.jpg") == "done"
        assert [job.data["file"]["name"] for job in at.jobs] == ["a.jpg"]
        passed = {e.data["file"]["name"]: e.reason for e in at._read(lambda r: r.passed_over(9))}
        assert "together with it" in passed["b.jpg"]
        assert f"job {at.job('a.jpg').job_id} of the rule was not over" in passed["c.jpg"]
        # For good: that somebody looks again changes nothing. What comes now has its turn.
        await at.notice_there("b.jpg", "c.jpg")
        await at.notice("d.jpg")
        await leap(at, 600)
        assert {job.data["file"]["name"] for job in at.jobs} == {"a.jpg", "d.jpg"}


async def test_restart_ends_what_waits_and_begins_anew(bench):
    at = bench()
    async with at.running(slow("mode: restart")):
        await at.notice("a.jpg")
        await leap(at, 300)
        await at.notice("b.jpg")
        await at.rest()
        assert at.state("a.jpg") == "skipped"
        by = at.job("b.jpg").job_id
        assert at.steps("a.jpg")["wait"] == (
            "skipped",
            f"superseded: job {by} has taken its place (mode: restart)",
        )
        assert begun(at, "b.jpg") == [True]
        await leap(at, 590)
        assert at.state("b.jpg") == "ready"
        await at.passes(11)
        assert at.state("b.jpg") == "done"


async def test_restart_does_not_even_begin_what_is_superseded(bench):
    at = bench()
    async with at.running(slow("mode: restart")):
        await at.notice(*ABC)
        await at.rest()
        assert states(at, "a.jpg", "b.jpg") == ["skipped", "skipped"]
        assert begun(at, *ABC) == [False, False, True]
        with closing(History.open(at.ledger_path)) as history:
            [job] = history.about_job(at.job("a.jpg").job_id).jobs
        assert job.detail.startswith("superseded: job")


async def test_what_is_superseded_stays_so_through_a_restart(bench):
    at = bench()
    async with at.running(slow("mode: restart")):
        await at.notice("a.jpg")
        await at.rest()
    async with at.running(slow("mode: restart"), timeout_seconds=5):
        await at.rest()
        await at.notice("b.jpg")
    async with at.running(slow("mode: restart")):
        await at.passes(1)
        assert at.state("a.jpg") == "skipped"
        assert begun(at, "b.jpg") == [True]


RESTARTED = """
  - name: import
    on: {watch_folder: {path: inbox}}
    mode: restart
    do:
      - add_file:
      - wait: {for: 10m}
      - move_source: {to: moved}
"""


async def test_what_is_superseded_after_an_import_settles_and_keeps_its_source(bench):
    at = bench(api_version=32)
    async with at.running(RESTARTED, commit_wait_seconds=60):
        await at.notice("a.jpg")
        await leap(at, 100)
        await at.notice("b.jpg")
        await at.rest()
        assert at.state("a.jpg") == "settling"
        assert begun(at, "b.jpg") == [False]
        await leap(at, 61)
        assert at.state("a.jpg") == "skipped"
        assert at.is_there("a.jpg")
        await leap(at, 601)  # it has waited
        await leap(at, 61)  # and settled
        assert at.state("b.jpg") == "done"
        assert at.is_moved("b.jpg")


HALF = '''
import pathlib
from hydrusd.plugin import Action, Outcome, hookimpl

class Half(Action):
    """Dispose of half of it at each try."""
    action = "half"
    disposes = True
    needs_client = False
    changes_client = False
    no_undo = "a test"
    def run(self, call):
        path = pathlib.Path(__file__).parent / "halves"
        halves = path.read_text().split() if path.exists() else []
        path.write_text(" ".join([*halves, str(call.data["file"]["name"])]))
        tried = halves.count(call.data["file"]["name"])
        return Outcome.done() if tried else Outcome.retry("half", delay_seconds=3000)

@hookimpl
def hydrusd_register_actions(register):
    register(Half)
'''


async def test_no_disposal_is_broken_off_in_its_middle(bench):
    at = bench()
    (at.folder / "plugins").mkdir()
    (at.folder / "plugins" / "halves.py").write_text(HALF, encoding="utf-8")
    rule = """
  - name: half
    on: {watch_folder: {path: inbox}}
    mode: restart
    do: [half, log: {message: never}]
"""
    async with at.running(rule):
        await at.notice("a.jpg")
        await at.rest()
        assert at.steps("a.jpg")["half"][0] == "retry"
        await at.notice("b.jpg")
        await at.passes(5)
        halves = (at.folder / "plugins" / "halves").read_text(encoding="utf-8").split()
        assert halves == ["a.jpg", "a.jpg", "b.jpg"]
        assert at.steps("a.jpg")["half"][0] == "done"
        assert at.steps("a.jpg")["log"][0] == "skipped"
        assert at.state("a.jpg") == "skipped"


async def test_a_rule_rests_after_each_job_also_over_a_restart(bench):
    at = bench()
    rule = quick("cooldown: 10m")
    async with at.running(rule):
        await at.notice(*ABC)
        await at.rest()
        assert states(at, *ABC) == ["done", "ready", "ready"]
        assert "when it has rested" in why(at, "b.jpg")
        assert at.condition("rule", "quick")[0] == "waiting"
        await leap(at, 300)
    async with at.running(rule):
        await leap(at, 290)
        assert states(at, *ABC) == ["done", "ready", "ready"]
        await at.passes(11)
        assert states(at, *ABC) == ["done", "done", "ready"]
        await leap(at, 600)
        assert states(at, *ABC) == ["done"] * 3


async def test_a_rest_begins_with_a_job_in_parallel(bench):
    at = bench()
    async with at.running(slow("cooldown: 5m")):
        await at.notice("a.jpg", "b.jpg")
        await leap(at, 301)
        assert begun(at, "a.jpg", "b.jpg") == [True, True]


async def test_a_rest_begins_at_the_end_of_a_long_job_in_a_queue(bench):
    at = bench()
    async with at.running(slow("mode: queued\n    cooldown: 5m")):
        await at.notice("a.jpg", "b.jpg")
        await leap(at, 601)
        assert (at.state("a.jpg"), begun(at, "b.jpg")) == ("done", [False])
        await leap(at, 290)
        assert begun(at, "b.jpg") == [False]
        await at.passes(12)
        assert begun(at, "b.jpg") == [True]


async def test_jobs_wait_for_their_hours_and_say_until_when(bench):
    at = bench()  # it is Thursday, 2026-01-01 00:00 in UTC
    rule = quick('allowed: {hours: "22:00-06:00", time_zone: Asia/Tokyo}')
    async with at.running(rule):
        await at.notice("a.jpg")  # 09:00 in Tokyo
        await leap(at, 60)
        assert at.state("a.jpg") == "ready"
        state, reason = at.condition("rule", "quick")
        assert state == "waiting"
        opens = (at.clock.now().replace(hour=13, minute=0, second=0)).astimezone()
        told = f"until {opens:%a %Y-%m-%d %H:%M} as this machine counts"
        assert reason == f"{told}: it begins jobs 22:00-06:00 (Asia/Tokyo)"
        assert f"the rule waits: {reason}" == why(at, "a.jpg")
        await leap(at, 13 * 3600 - 90)
        assert at.state("a.jpg") == "ready"
        await at.passes(31)
        assert at.state("a.jpg") == "done"
        assert at.condition("rule", "quick") == ("working", "")


async def test_what_has_begun_goes_on_outside_its_hours(bench):
    at = bench()
    async with at.running(slow('allowed: {hours: "00:00-00:05", time_zone: UTC}')):
        await at.notice("a.jpg")
        await leap(at, 400)
        await at.notice("b.jpg")
        await leap(at, 400)
        assert states(at, "a.jpg", "b.jpg") == ["done", "ready"]
        assert begun(at, "b.jpg") == [False]


async def test_jobs_wait_for_an_idle_client(bench):
    at = bench()
    async with at.running(quick("allowed: {client_idle: true}")):
        await at.notice("a.jpg")
        await at.passes(3 * IDLE_LOOK_SECONDS)
        assert at.state("a.jpg") == "ready"
        assert "until Hydrus is idle" in why(at, "a.jpg")
        at.simulator.set_idle(True)
        await at.passes(IDLE_LOOK_SECONDS + 1)
        assert at.state("a.jpg") == "done"
        await at.notice("b.jpg")
        await at.passes(IDLE_LOOK_SECONDS + 1)
        assert at.state("b.jpg") == "done"
        at.simulator.set_idle(False)
        await at.passes(IDLE_LOOK_SECONDS + 1)
        await at.notice("c.jpg")
        await at.passes(2)
        assert at.state("c.jpg") == "ready"


async def test_a_client_that_cannot_tell_whether_it_is_idle_is_named(bench):
    at = bench(api_version=32)
    async with at.running(quick("allowed: {client_idle: true}")):
        await at.notice("a.jpg")
        await at.passes(5)
        assert at.state("a.jpg") == "ready"
        assert "since Client API 92" in why(at, "a.jpg")


async def test_no_more_begin_in_a_minute_than_allowed(bench):
    at = bench()
    names = [f"{n}.jpg" for n in range(7)]
    async with at.running(quick("limits: {per_minute: 3}")):
        await at.notice(*names)
        await at.rest()
        assert states(at, *names).count("done") == 3
        assert "3 jobs within a minute" in why(at, "6.jpg")
        await leap(at, 50)
        assert states(at, *names).count("done") == 3
        await at.passes(11)
        assert states(at, *names).count("done") == 6
    async with at.running(quick("limits: {per_minute: 3}")):
        await at.passes(30)
        assert states(at, *names).count("done") == 6
        await leap(at, 60)
        assert states(at, *names).count("done") == 7


async def test_what_the_client_was_away_for_counts_as_not_begun(bench):
    at = bench()
    rule = "\n  - {name: r, on: {watch_folder: {path: inbox}}, cooldown: 1h, do: [add_file]}\n"
    async with at.running(rule):
        await at.rest()
        at.simulator.inject(Fault(kind=FaultKind.STATUS, path="/add_files/add_file"))
        await at.notice("a.jpg")
        await leap(at, 90)
        assert at.state("a.jpg") == "done"


PRIORITIES = """
  - name: low
    on: {watch_folder: {path: inbox}}
    if: file.name[:3] == 'low'
    priority: -5
    do: [log: {message: low}]
  - name: plain
    on: {watch_folder: {path: inbox}}
    if: file.name[:5] == 'plain'
    do: [log: {message: plain}]
  - name: high
    on: {watch_folder: {path: inbox}}
    if: file.name[:4] == 'high'
    priority: 10
    do: [log: {message: high}]
"""


def finished_in_order(at):
    return [entry.rule for entry in at.told]


async def test_the_higher_priority_comes_first_and_nobody_starves(bench, monkeypatch):
    monkeypatch.setattr("hydrusd.engine.set_sizes.LARGEST_SET", 1)
    monkeypatch.setattr("hydrusd.engine.set_sizes.SMALLEST_SET", 1)
    at = bench()
    numbers = range(2 * FAIR_TURN)
    names = [f"{kind}{n}.jpg" for kind in ("low", "plain", "high") for n in numbers]
    async with at.running(PRIORITIES):
        await at.notice(*names)
        await at.rest()
        order = finished_in_order(at)
        assert len(order) == 6 * FAIR_TURN
        # The oldest, which are the low ones, have every fifth turn.
        assert order[: 2 * FAIR_TURN].count("low") in {1, 2}
        assert order[: 2 * FAIR_TURN].count("high") >= 2 * FAIR_TURN - 2
        assert order.index("plain") < len(order) - order[::-1].index("low")


async def test_rules_without_a_pace_ask_the_ledger_nothing(bench, monkeypatch):
    """A pace that no rule has costs nothing."""
    at = bench()

    def never(*_):
        raise AssertionError

    monkeypatch.setattr("hydrusd.engine.pacing.queues", never)
    async with at.running(quick("enabled: true")):
        await at.notice(*ABC)
        await at.rest()
        assert states(at, *ABC) == ["done"] * 3


async def test_a_clock_that_is_put_back_does_not_shut_a_rule_out_for_longer(bench):
    at = bench()
    async with at.running(quick('allowed: {hours: "12:00-13:00", time_zone: UTC}')):
        await at.notice("a.jpg")
        await leap(at, 11 * 3600)
        assert at.state("a.jpg") == "ready"
        await leap(at, 3601)
        assert at.state("a.jpg") == "done"
