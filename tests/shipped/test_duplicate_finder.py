"""The shipped plugin that finds potential duplicates."""

from __future__ import annotations

import pytest
from pydantic import ValidationError

from hydrusd.daemon import load_plugins
from hydrusd.model import JobState

RULES = """
rules:
  - name: duplicates
    on: {startup: {}}
    do:
      - find_duplicates: PARAMETERS
      - add_tags: {my tags: to judge}
"""


@pytest.fixture
def made(project):
    def make(parameters):
        made = project({"rules.yaml": RULES.replace("PARAMETERS", parameters)})
        names = ("a.png", "b.png", "c.png", "d.png")
        made.files = {name: made.seed(name) for name in names}
        a, b, c, d = made.files.values()
        made.simulator.add_potential_duplicates(a, b, distance=0, same_pixels=True)
        made.simulator.add_potential_duplicates(c, d, distance=4)
        return made

    return make


def tagged(made):
    return {n for n, h in made.files.items() if made.simulator.tags(h)}


@pytest.mark.parametrize(
    ("parameters", "names"),
    [
        ("{}", {"a.png", "b.png", "c.png", "d.png"}),
        ("{alike: pixels}", {"a.png", "b.png"}),
        ("{alike: exactly}", {"a.png", "b.png"}),
        ("{alike: very}", {"a.png", "b.png"}),
        ("{alike: perhaps, at_least: 2}", {"a.png", "b.png", "c.png", "d.png"}),
    ],
)
def test_those_that_are_so_much_alike_are_handed_on(made, parameters, names):
    made = made(parameters)
    made.run(jobs=1).assert_success()
    assert tagged(made) == names


def test_where_there_are_too_few_the_job_ends(made):
    made = made("{at_least: 3}")
    made.run(jobs=1)
    [job] = made.jobs
    assert (job.state, job.steps[0].detail) == (JobState.SKIPPED, "2 pairs may be duplicates")
    assert tagged(made) == set()


def test_no_more_pairs_than_wanted_are_taken(made):
    made = made("{most_pairs: 1}")
    made.run(jobs=1).assert_success()
    assert len(tagged(made)) == 2
    assert made.jobs[0].steps[0].detail == "2 pairs may be duplicates, 1 taken"


def test_a_search_says_which_files_are_meant(made):
    found = load_plugins([]).actions["find_duplicates"]
    step = found.model_validate({"search": ["system:inbox", "cats"], "both": True})
    assert step.potentials.first == ("system:inbox", "cats")
    assert step.potentials.matching.name == "BOTH_MATCH_FIRST"
    made = made("{search: ['system:archive']}")
    made.run(jobs=1)
    assert tagged(made) == set()


@pytest.mark.parametrize("wrong", [{"alike": "twins"}, {"most_pairs": 0}, {"delete": "worse"}])
def test_wrong_parameters(wrong):
    with pytest.raises(ValidationError):
        load_plugins([]).actions["find_duplicates"].model_validate(wrong)
