"""Steps that are not over when they return: looked at again later, at no cost, with a memory."""

from __future__ import annotations

import pytest

from hydrusd.model import JobState, OutcomeKind

PLUGIN = '''
import json, pathlib
from hydrusd.plugin import Action, Event, Outcome, TemporaryError, Trigger, hookimpl
import anyio

class Slow(Action):
    """Take a few looks."""
    action = "slow"
    needs_client = False
    changes_client = False
    names_files = True
    looks: int
    fails_at: int = -1

    def run(self, call):
        seen = call.progress.get("seen", 0)
        log = pathlib.Path(__file__).parent / "looks.txt"
        with log.open("a") as file:
            file.write(f"{seen}:{call.attempt} ")
        if seen == self.fails_at and call.attempt == 1:
            raise TemporaryError("for once", delay_seconds=0)
        if seen < self.looks:
            delay = 0.01 if seen < 3 else 3600
            return Outcome.later("not yet", delay_seconds=delay, values={"seen": seen + 1})
        hashes = ["a" * 64, "b" * 64]
        return Outcome.done("at last", values={"hash": hashes[0], "hashes": hashes})

class Files(Action):
    """Say which files it is about."""
    action = "files"
    needs_client = False
    changes_client = False
    def run(self, call):
        return Outcome.done(values={"files": list(call.file_hashes), "first": call.file_hash})

class Undated(Action):
    """Forget to say when."""
    action = "undated"
    needs_client = False
    changes_client = False
    def run(self, call):
        import dataclasses
        return dataclasses.replace(Outcome.later("x", delay_seconds=1), delay_seconds=None)

@hookimpl
def hydrusd_register_actions(register):
    for action in (Slow, Files, Undated):
        register(action)
'''


@pytest.fixture
def rules(project):
    def make(*steps):
        listed = "".join(f"      - {step}\n" for step in steps)
        text = f"rules:\n  - name: r\n    on: startup\n    do:\n{listed}"
        return project({"rules.yaml": text, "plugins/slowly.py": PLUGIN})

    return make


def looks(project):
    return (project.folder / "plugins" / "looks.txt").read_text().split()


def test_it_is_called_again_with_what_it_kept_and_no_attempt_is_spent(rules):
    made = rules("slow: {looks: 2}", "files").run(jobs=1).assert_success()
    assert looks(made) == ["0:1", "1:1", "2:1"]
    [job] = made.jobs
    assert [step.outcome for step in job.steps] == [OutcomeKind.DONE, OutcomeKind.DONE]
    assert job.file_hash == "a" * 64
    assert job.steps[1].values == {"files": ["a" * 64, "b" * 64], "first": "a" * 64}


def test_a_failure_in_between_forgets_nothing(rules):
    made = rules("slow: {looks: 2, fails_at: 1}").run(jobs=1).assert_success()
    assert looks(made) == ["0:1", "1:1", "1:2", "2:1"]


def test_it_goes_on_after_a_restart_of_the_daemon(rules):
    made = rules("slow: {looks: 4}")
    made.run(until=lambda p: p.jobs and p.jobs[0].steps and "4" in str(p.jobs[0].steps[0].values))
    [job] = made.jobs
    assert job.state is JobState.READY
    assert job.steps[0].outcome is OutcomeKind.LATER
    assert job.file_hash is None
    made.run(until=lambda p: len(p.jobs) == 2 and p.jobs[1].steps and looks(p)[-1] == "3:1")
    assert looks(made) == ["0:1", "1:1", "2:1", "3:1"] * 2  # the second start's own job


def test_later_without_a_time_is_a_failure_that_says_so(rules):
    made = rules("undated").run(until=lambda p: p.jobs and p.jobs[0].steps)
    assert "has to say when" in made.jobs[0].steps[0].detail
    assert made.jobs[0].steps[0].outcome is OutcomeKind.RETRY
