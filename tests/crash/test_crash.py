"""Nothing is lost, doubled or disposed of too early, whatever is killed and when.

The short form. The long one, 1,000 files a round, 200 kills of the daemon, 200 of the client
and 100 of both, is ``python tests/crash/story.py``; this file with ``HYDRUSD_LONG=1`` lies between.
"""

from __future__ import annotations

import os

import pytest
from story import TARGETS, Plan, play

LONG = os.environ.get("HYDRUSD_LONG") == "1"
ROUNDS = (
    {"daemon": 50, "simulator": 50, "both": 50}
    if LONG
    else {"daemon": 1, "simulator": 1, "both": 1}
)


def test_all_goes_well_when_nobody_is_killed(unharmed):
    assert unharmed.verdict.faults == []


@pytest.mark.parametrize(
    ("target", "seed"),
    [(target, seed) for target in TARGETS for seed in range(1, ROUNDS[target] + 1)],
)
def test_a_kill_at_a_random_moment_does_no_harm(target, seed, tmp_path, pictures, few, unharmed):
    files = pictures if LONG else few
    plan = Plan.of(target, seed, unharmed.working_seconds / (1 if LONG else 2))
    report = play(tmp_path / "place", files, target, plan)
    assert report.verdict.faults == [], report.line()
    assert len(report.kills) == len(plan.moments)
