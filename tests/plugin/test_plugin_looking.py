"""A plugin that only looks may fail or hang as it likes: it is named, and the plan is made."""

from __future__ import annotations

import pytest

from hydrusd.plugin import blocking, calling

RULES = """
rules:
  - name: bad
    on: {watch_folder: {path: inbox, settle: 10ms}}
    do: [{mine: }]
  - name: good
    on: {watch_folder: {path: inbox, settle: 10ms}}
    do: [{log: {message: hello}}]
"""
PLUGIN = """
import asyncio, sys, time
from hydrusd.plugin import *

class Mine(Action):
    "Mine."
    action = "mine"

    @classmethod
    async def plan(cls, calls):
        PLAN

    async def run(self, call):
        return Outcome.done()

    @classmethod
    async def undo_plan(cls, calls):
        PLAN

    @classmethod
    async def undo_set(cls, calls):
        for call in calls:
            call.finish(Outcome.done())

class Seen(Trigger):
    "Seen."
    trigger = "seen"

    async def preview(self, context):
        PLAN

    async def run(self, context):
        await asyncio.sleep(9)

@hookimpl
def hydrusd_register_actions(register):
    register(Mine)

@hookimpl
def hydrusd_register_triggers(register):
    register(Seen)
"""
CLINGS = """while True:
            try:
                await asyncio.sleep(9)
            except asyncio.CancelledError:
                pass"""
LATE = "of plugin mine did not say within 0.3 s what it would do"
BAD = [
    ("await asyncio.Event().wait()", LATE),
    (CLINGS, LATE),
    ("while True: pass", "it was broken off, because it blocked the event loop"),
    ("sys.exit(3)", "it called sys.exit(3)"),
    ("raise KeyboardInterrupt", "it raised KeyboardInterrupt"),
    ("raise GeneratorExit", "it raised GeneratorExit"),
    ("raise asyncio.CancelledError", "it was cancelled, and not by hydrusd"),
    ("raise LookupError('nowhere')", "LookupError: nowhere"),
]


WRONG = [
    ("return [None for _ in calls]", "mine gave NoneType for what it foresees"),
    ("return [Foreseen('x', values=[1]) for _ in calls]", "mine gave Foreseen for what"),
    ("return []", "mine did not say of each item"),
    ("return 7", "TypeError: 'int' object is not iterable"),
]


@pytest.fixture(autouse=True)
def impatient(monkeypatch):
    monkeypatch.setattr(calling, "LOOK_SECONDS", 0.3)
    monkeypatch.setattr(calling, "GRACE_SECONDS", 0.1)
    monkeypatch.setattr(blocking, "BEAT_SECONDS", 0.05)
    monkeypatch.setattr(blocking, "BLOCKED_SECONDS", 0.1)
    monkeypatch.setattr(blocking, "BREAK_OFF_SECONDS", 0.2)


def planned(project, plan, rules=RULES):
    made = project({"rules.yaml": rules, "plugins/mine.py": PLUGIN.replace("PLAN", plan)})
    for name in ("a.png", "b.png", "c.png"):
        made.drop(f"inbox/{name}")
    return made.plan()


@pytest.mark.parametrize(("plan", "why"), [*BAD, *WRONG])
def test_a_plan_that_misbehaves_is_named_and_the_others_are_made(project, plan, why):
    jobs = planned(project, plan).jobs
    bad = [job.steps for job in jobs if job.rule == "bad"]
    good = [job.steps for job in jobs if job.rule == "good"]
    assert len(bad) == len(good) == 3
    for (step,) in bad:
        assert step.foreseen is None
        assert why in step.why
    assert all(step.foreseen is not None for (step,) in good)


SHAPES = [
    ("return None", "seen gave NoneType for what it would notice, and no Prospect"),
    ("return Prospect(events=7)", "seen gave int for a list of events"),
    ("return Prospect(events=[1])", "seen gave int for an event with a key"),
    ("return Prospect(events=[Event('k', [1])])", "seen gave list for the data of an event"),
]


@pytest.mark.parametrize(("plan", "why"), [BAD[0], BAD[4], *SHAPES])
def test_a_trigger_that_does_not_say_what_it_would_notice_is_named(project, plan, why):
    rules = RULES.replace("watch_folder: {path: inbox, settle: 10ms}", "seen: {}", 1)
    seen, watched = planned(project, plan, rules).triggers
    assert "cannot be foreseen" in seen.detail
    assert why in seen.detail
    assert len(watched.jobs) == 3
