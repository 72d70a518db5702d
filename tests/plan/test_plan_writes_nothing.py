"""A plan writes nothing anywhere: not by any action, nor by any trigger, nor by a plugin."""

from __future__ import annotations

import re
import socketserver
import sys
from pathlib import Path

import anyio
import pytest
from planning_ahead import (
    LOOKS_BY_POST,
    NO_DIFFERENCE,
    WRITES_BY_GET,
    difference,
    plan_of,
    routes,
    world,
    writes,
    written,
)

from hydrusd.daemon import load_plugins
from hydrusd.errors import WriteRefused
from hydrusd.hydrus import HydrusClient
from hydrusd.hydrus._http import Request
from hydrusd.simulator import DEFAULT_ACCESS_KEY, Simulator
from hydrusd.testing import Project

sys.path.insert(0, str(Path(__file__).parents[1] / "examples"))

from exampling import documented
from test_examples import EXAMPLES

ACTIONS = load_plugins([]).actions


@pytest.fixture
def servers(monkeypatch):
    """Stop what examples serve beside the client: they do so themselves only where they are run."""
    started = []
    original = socketserver.BaseServer.serve_forever

    def serve_forever(server, poll_interval=0.5):
        started.append(server)
        original(server, poll_interval)

    monkeypatch.setattr(socketserver.BaseServer, "serve_forever", serve_forever)
    yield
    for server in started:
        server.shutdown()
        server.server_close()


@pytest.mark.usefixtures("servers")
@pytest.mark.parametrize("name", sorted(EXAMPLES))
def test_planning_an_example_changes_nothing(name, tmp_path, monkeypatch):
    example = EXAMPLES[name]
    text = documented(example.page, name)
    own = re.sub(r"^client:\n(?:[ #].*\n|\n)*", "", text, flags=re.MULTILINE)
    if name in ACTIONS:  # what a schedule brings is foreseen when its time has come
        own = re.sub(r"schedule: \{cron[^}]*\}", "startup: {}", own)
    for variable in ("HOME", "USERPROFILE"):
        monkeypatch.setenv(variable, str(tmp_path))
    for variable, value in example.environ.items():
        monkeypatch.setenv(variable, value)
    project = Project(tmp_path, {**example.files, "rules.yaml": own}, example.simulator)
    try:
        example.prepare(project)
        before = world(project)
        plan = plan_of(project, clock=example.clock() if example.clock else None)
        assert difference(project, before) == NO_DIFFERENCE
        assert plan.triggers
        assert [each for each in plan.triggers if "cannot be foreseen: " in each.detail] == []
        if name in ACTIONS:
            steps = [step for job in plan.jobs for step in job.steps if step.name == name]
            assert steps
            assert all(step.foreseen is not None for step in steps), steps
    finally:
        project.close()


def test_a_client_that_only_looks_sends_no_write():
    anyio.run(refuse_all_writes)


async def refuse_all_writes():
    with Simulator() as simulator, simulator.serve() as url:
        async with HydrusClient(url, DEFAULT_ACCESS_KEY, read_only=True) as client:
            await client.connect()
            known = routes().values()
            assert sum(map(writes, known)) >= 40
            for route in known:
                request = Request(route.method, route.path, body=b"{}" * (route.method != "GET"))
                if writes(route):
                    with pytest.raises(WriteRefused):
                        await client._session.send(request)
                    with pytest.raises(WriteRefused):
                        await client._wire.send(request)
            with pytest.raises(WriteRefused):
                await client.add_file(Path(__file__))
            with pytest.raises(WriteRefused):
                await client.request_new_permissions("me")
        assert written(simulator) == {}
        assert {LOOKS_BY_POST, WRITES_BY_GET} <= routes().keys()


PLUGIN = """
from hydrusd.plugin import Foreseen, Outcome, Action, hookimpl

class Sly(Action):
    \"\"\"Writes while it is only to look.\"\"\"
    action = "sly"
    no_undo = "it is a test"

    @classmethod
    async def plan(cls, calls):
        for call in calls:
            await call.client.archive_files(["ab" * 32])
        return [Foreseen("nothing") for _ in calls]

    async def run(self, call):
        return Outcome.done()

@hookimpl
def hydrusd_register_actions(register):
    register(Sly)
"""
SLY = """
rules:
  - name: sly
    on: startup
    do: [{sly: }, {log: {message: after}}]
"""


def test_a_plugin_that_writes_while_planning_is_refused(project):
    project = project({"rules.yaml": SLY, "plugins/sly.py": PLUGIN})
    plan = plan_of(project)
    [job] = plan.jobs
    assert "only looked" in job.steps[0].why
    assert job.steps[1].foreseen is None
    assert written(project.simulator) == {}
