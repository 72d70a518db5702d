"""Several clients: each has its lane, and one that is away holds up nobody else."""

from __future__ import annotations

import pytest

from hydrusd.errors import ConfigError
from hydrusd.model import JobState
from hydrusd.simulator import Simulator, SimulatorConfig

RULES = """
clients:
  main: {{url: "{url}", access_key: {key}}}
  nas: {{url: "{other}", access_key: {key}}}
rules:
  - name: to main
    client: main
    on: {{watch_folder: {{path: main, settle: 100ms}}}}
    do: [add_file]
  - name: to nas
    client: nas
    on: {{watch_folder: {{path: nas, settle: 100ms}}}}
    do: [add_file]
"""
AWAY = "http://127.0.0.1:9"


@pytest.fixture
def other():
    with Simulator(SimulatorConfig()) as simulator, simulator.serve() as url:
        yield simulator, url


def rules(made, other_url, text=RULES):
    filled = text.format(url=made.url, other=other_url, key=made.access_key)
    return made.write({"rules.yaml": filled})


@pytest.fixture
def made(project):
    made = project({"rules.yaml": "client: {url: '{url}', access_key: x}\nrules: []\n"})
    for folder in ("main", "nas"):
        (made.folder / folder).mkdir()
    return made


def test_each_rule_works_on_its_own_client(made, other):
    simulator, url = other
    rules(made, url).drop("main/a.png").drop("nas/b.png").run(jobs=2).assert_success()
    assert set(made.simulator.files) == {made.sha256("main/a.png")}
    assert set(simulator.files) == {made.sha256("nas/b.png")}


def test_one_that_is_away_holds_up_nobody_else(made):
    rules(made, AWAY).drop("nas/b.png").drop("main/a.png")
    made.run(until=lambda p: state(p, "to main") is JobState.DONE and state(p, "to nas"))
    assert state(made, "to nas") is JobState.READY
    conditions = {c.name: c.state for c in made.conditions if c.kind == "client"}
    assert conditions == {"main": "connected", "nas": "waiting"}


def state(project, rule):
    return next((job.state for job in project.jobs if job.rule == rule), None)


def test_a_rule_that_moves_to_another_client_takes_only_what_has_not_begun_along(made, other):
    simulator, url = other
    rules(made, AWAY).drop("nas/b.png").run(until=lambda p: state(p, "to nas"))
    moved = RULES.replace("client: nas", "client: main")
    rules(made, url, moved).run(jobs=1)
    assert state(made, "to nas") is JobState.DONE
    assert set(made.simulator.files) == {made.sha256("nas/b.png")}
    assert not simulator.files


def test_jobs_for_a_client_that_is_gone_from_the_file_wait(made, other):
    rules(made, AWAY).drop("nas/b.png").run(until=lambda p: state(p, "to nas"))
    one = RULES.replace('  nas: {{url: "{other}", access_key: {key}}}\n', "")
    one = one[: one.index("  - name: to nas")]
    rules(made, "", one).run(until=lambda p: "no longer in the rules" in p.story())
    assert state(made, "to nas") is JobState.READY
    rules(made, other[1]).run()
    assert state(made, "to nas") is JobState.DONE


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (("    client: nas\n", ""), "'client' is missing"),
        (("client: nas", "client: nsa"), "there is no client 'nsa'"),
        (("  nas:", "  NAS!:"), "'NAS!' is no name for a client"),
        (("clients:", "client: {{}}\nclients:"), "one of them is too many"),
    ],
)
def test_what_is_wrong_with_clients_is_said(made, change, message):
    rules(made, AWAY, RULES.replace(*change, 1))
    with pytest.raises(ConfigError, match=message):
        made.run(jobs=1)
