"""What a trigger keeps: stored with its events, its own, and there after a restart."""

from __future__ import annotations

import pytest

from hydrusd.model import JobState

PLUGIN = '''
import anyio
from hydrusd.plugin import Action, Event, Outcome, Trigger, hookimpl

class Counting(Trigger):
    """Notice one number more at each start."""
    trigger = "counting"
    shared = SHARED
    step: int = 1

    async def run(self, context):
        last = await context.recall("last") or 0
        number = last + self.step
        old = [Event(f"old {i}", {"number": -i}) for i in range(3)]
        await context.pass_over(old, "from before", remember={"seen": len(old)})
        await context.emit([Event(f"{number}", {"number": number})], remember={"last": number})
        await context.emit(old)
        unseen = await context.unseen(["old 1", f"{number}", "never"])
        await context.emit([Event(f"unseen {number}", {"number": sorted(unseen)})])
        await anyio.sleep_forever()

class Note(Action):
    """Note the number."""
    action = "note"
    needs_client = False
    changes_client = False
    def run(self, call):
        return Outcome.done(values={"number": call.data["number"]})

@hookimpl
def hydrusd_register_triggers(register):
    register(Counting)

@hookimpl
def hydrusd_register_actions(register):
    register(Note)
'''
RULES = """
rules:
  - {name: a, on: counting, do: [note]}
"""


@pytest.fixture
def counting(project):
    def make(rules=RULES, *, shared=False):
        plugin = PLUGIN.replace("SHARED", str(shared))
        return project({"rules.yaml": rules, "plugins/counting.py": plugin})

    return make


def numbers(project, rule="a"):
    return [job.steps[0].values["number"] for job in project.jobs if job.rule == rule]


def test_what_was_remembered_is_there_after_a_restart(counting):
    made = counting().run(jobs=2).run(jobs=4).assert_success()
    assert numbers(made) == [1, ["never"], 2, ["never"]]


def test_what_was_passed_over_stays_so_even_for_a_rewritten_rule(counting):
    made = counting().run(jobs=2)
    made.write({"rules.yaml": RULES.replace("do: [note]", "if: number != 7, do: [note]")})
    made.run(jobs=4)
    assert numbers(made) == [1, ["never"], 2, ["never"]]
    assert [p.reason for p in made.passed_over] == ["from before"] * 3


def test_each_rule_has_its_own_memory_where_the_trigger_says_so(counting):
    made = counting().run(jobs=2)
    made.write({"rules.yaml": RULES + "  - {name: b, on: counting, do: [note]}\n"}).run(jobs=6)
    assert numbers(made) == [1, ["never"], 2, ["never"]]
    assert 1 in numbers(made, "b")


def test_rules_share_one_memory_where_they_share_the_trigger(counting):
    made = counting(RULES + "  - {name: b, on: counting, do: [note]}\n", shared=True).run(jobs=4)
    assert {job.state for job in made.jobs} == {JobState.DONE}
    made.run(jobs=8)
    assert numbers(made, "b") == numbers(made) == [1, ["never"], 2, ["never"]]


def test_other_parameters_are_another_memory(counting):
    made = counting().run(jobs=2)
    made.write({"rules.yaml": RULES.replace("on: counting", "on: {counting: {step: 5}}")})
    made.run(jobs=4)
    assert numbers(made) == [1, ["never"], 5, ["never"]]
