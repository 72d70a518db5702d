"""Whoever dies at whichever boundary: nothing is lost, doubled or disposed of too early.

Each moment once, its victim by turns. Each with each victim, and many times over, is
``python tests/crash/matrix.py --times 10``.
"""

from __future__ import annotations

import random

import pytest
from dying import CLIENT_MOMENTS, DAEMON_MOMENTS, LOSS_MOMENTS, VICTIMS
from matrix import FILES_A_DEATH, OFTEN, boundaries, death, play

ALL = (*DAEMON_MOMENTS, *LOSS_MOMENTS, *CLIENT_MOMENTS)
VICTIM = {moment: VICTIMS[number % len(VICTIMS)] for number, moment in enumerate(ALL)}
# Together, what follows each other: a round of its own for each would take twice as long.
ROUNDS = (
    ("event stored", "job stored"),
    ("request sent", "answer received"),
    ("outcome stored", "batch half stored"),
    ("commit asked", "commit answered", "proof stored"),
    ("source disposed of", "loss noted"),
    ("file served", "change served"),
    ("commit promised", "commit written"),
)


def planned(names):
    chance = random.Random(" ".join(names))
    moments = [moment for name in names for moment in boundaries()[name]]
    return [each for moment in moments for each in death(moment, VICTIM[moment], chance)]


def test_every_boundary_has_its_round():
    assert sorted(name for names in ROUNDS for name in names) == sorted(boundaries())
    assert {moment.partition(":")[0] for moment in OFTEN} <= set(boundaries())


@pytest.mark.parametrize("names", ROUNDS, ids=" and ".join)
def test_a_death_at_a_boundary_does_no_harm(names, tmp_path, pictures):
    report = play(tmp_path / "place", pictures, planned(names))
    assert report.verdict.faults == [], "\n".join(report.kills)
    assert report.kills == [str(each) for each in planned(names)]
    assert report.files == len(report.kills) * FILES_A_DEATH
