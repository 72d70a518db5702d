"""What should be in the client is, nothing else, each once; and the daemon does not grow.

The short form. The long one is ``python tests/soak/soak_story.py --operations 100000``.
"""

from __future__ import annotations

import os
import sys

import pytest
from churn import INBOX, MOST_WRITERS, Churn, Model, counts
from soak_story import Resources, leaks, play

OPERATIONS = 100_000 if os.environ.get("HYDRUSD_LONG") == "1" else 1_500


def test_a_day_in_a_minute(tmp_path):
    report = play(tmp_path, OPERATIONS, seed=7)
    assert report.faults == [], report.line()
    assert report.operations == OPERATIONS
    # It would be no proof if hardly anything had come of it.
    assert report.imported >= report.required >= OPERATIONS / 30
    assert report.jobs["done"] >= report.imported
    assert len(report.by_kind) > 15
    assert bool(report.resources) == (sys.platform == "linux")


def test_the_model_is_the_disk(tmp_path):
    """The judge is judged: whatever was done, it knows what lies where."""
    churn = Churn(tmp_path, 3, Model(0.3, 1))
    for _ in range(2_000):
        churn.one()
        assert len(churn.writers) <= MOST_WRITERS
    churn.rest()
    assert churn.differences() == []
    inside = {n.sha256 for p, n in churn.nodes.items() if counts(p) and p.startswith(INBOX)}
    assert churn.model.present() == inside & churn.model.whole
    next(path for path in tmp_path.rglob("*.png") if path.is_file()).unlink()
    assert len(churn.differences()) == 1


def test_the_model_tells_what_may_be_there_from_what_must():
    model = Model(settle_seconds=2, must_seconds=5)
    model.whole |= {"short", "long", "touched"}
    model.becomes("inbox/a", "short", 10, 10.1)
    model.becomes("inbox/a", None, 11.5, 11.6)
    model.becomes("inbox/a", "piece", 20, 20.1)
    model.becomes("inbox/a", "long", 23, 23.1)
    model.becomes("inbox/a", None, 29, 29.1)
    model.becomes("inbox/b", "touched", 30, 30.1)
    model.becomes("inbox/b", "touched", 34, 34.1, touched=True)
    model.becomes("inbox/b", None, 38, 38.1)
    assert model.may == {"piece", "long", "touched"}
    assert model.must == {"long"}


@pytest.mark.parametrize(
    ("path", "counting"),
    [
        ("inbox/a.png", True),
        ("inbox/folder/a.png", True),
        ("outside/a.png", False),
        ("inbox/.folder/a.png", False),
        ("inbox/a.png.part", False),
        ("inbox/folder.tmp/a.png", False),
    ],
)
def test_what_counts(path, counting):
    assert counts(path) is counting


@pytest.mark.parametrize(
    ("late", "said"),
    [
        (Resources(2, 9, 15, 8, 9, 104), []),
        (Resources(2, 9, 15, 8, 11, 100), ["11 watches on 9 folders after 2 operations"]),
        (Resources(2, 9, 15, 8, 8, 100), ["8 watches on 9 folders after 2 operations"]),
        (Resources(2, 9, 20, 8, 9, 100), ["descriptors grew from 15 to 20"]),
        (Resources(2, 9, 15, 12, 9, 100), ["threads grew from 8 to 12"]),
        (Resources(2, 9, 15, 8, 9, 120), ["rss_mb grew from 100 to 120"]),
    ],
)
def test_leaks_are_told(late, said):
    early = Resources(1, 9, 15, 8, 9, 100)
    assert leaks([early, late]) == said
