"""The shipped plugin that tells of failures together, through restarts of hydrusd."""

from __future__ import annotations

from datetime import timedelta

import pytest

from hydrusd.clock import SystemClock
from hydrusd.daemon import read_configuration
from hydrusd.errors import ConfigError
from hydrusd.model import JobState

RULES = """
rules:
  - name: imports
    on:
      watch_folder: {path: inbox, settle: 50ms}
    do:
      - add_file:
  - name: digest
    on:
      failures: {rule: imports, every: EVERY}
    do:
      - log: {message: "{{ failures.text }}"}
"""
BROKEN = b"this is no picture"


class TwoHoursLater(SystemClock):
    """The system's clock, two hours ahead."""

    def now(self):
        return super().now() + timedelta(hours=2)


def nothing_is_collected(project):
    return any("no failures of imports" in c.reason for c in project.conditions)


def digests(project):
    return [job for job in project.jobs if job.rule == "digest"]


def dead(project):
    return [job for job in project.jobs if job.state is JobState.DEAD]


def collected(project):
    """Say whether the trigger says that it has collected something."""
    return any("2 jobs failed since" in c.reason for c in project.conditions)


def test_failures_are_told_of_together_after_a_restart_too(project):
    made = project({"rules.yaml": RULES.replace("EVERY", "1h")})
    made.drop("inbox/good.png").drop("inbox/a.png", BROKEN).drop("inbox/sub/b.png", BROKEN + b"2")
    made.run(until=lambda p: len(dead(p)) == 2 and collected(p))
    assert digests(made) == []
    later = TwoHoursLater()
    made.run(until=lambda p: any(j.state is JobState.DONE for j in digests(p)), clock=later)
    [digest] = digests(made)
    told = digest.data["failures"]
    assert told["count"] == 2
    assert {item["name"] for item in told["items"]} == {"a.png", "sub/b.png"}
    assert told["text"].startswith("2 jobs failed since ")
    assert "imports: 2" in told["text"].splitlines()
    # Told once: what was collected is gone with the telling.
    made.run(until=nothing_is_collected, clock=later)
    assert digests(made) == [digest]


def test_it_does_not_wait_for_its_own_failures(project):
    text = RULES.replace("EVERY", "100ms").replace("rule: imports", "rule: [imports, digest]")
    text = text.replace("{{ failures.text }}", "{{ failures.nothing }}")
    made = project({"rules.yaml": text}).drop("inbox/a.png", BROKEN)
    made.run(until=lambda p: len(dead(p)) == 2)
    made.run(jobs=2)
    assert len(digests(made)) == 1


def test_many_failures_are_counted_and_the_first_told(project):
    made = project({"rules.yaml": RULES.replace("EVERY", "1s")})
    for number in range(103):
        made.drop(f"inbox/{number}.png", BROKEN + bytes([number]))
    made.run(until=lambda p: sum(j.data["failures"]["count"] for j in digests(p)) == 103)
    for digest in digests(made):
        told = digest.data["failures"]
        assert len(told["items"]) == min(told["count"], 100)
        assert ("more" in told["text"]) == (told["count"] > 100)


def test_a_rule_that_is_not_there_is_named(project):
    made = project({"rules.yaml": RULES.replace("EVERY", "1h").replace("rule: imports", "rule: x")})
    with pytest.raises(ConfigError, match="waits for 'x', and there is no such rule"):
        read_configuration(made.folder / "rules.yaml")
