"""What every test may use."""

from __future__ import annotations

import os
import sys
from pathlib import Path

import pytest

from hydrusd import redaction
from hydrusd.simulator._serving import Serving

pytest_plugins = ("hydrusd.testing",)

# Programs that were installed for the tests come before what a machine has of them.
os.environ["PATH"] = f"{Path(sys.executable).parent}{os.pathsep}{os.environ.get('PATH', '')}"


LONG = frozenset(
    {"crash", "examples", "e2e", "testing", "cli", "reload", "undo", "plugin", "soak", "engine"}
)
"""Folders of tests that take long for their number. At the end, one of them would leave all other
workers with nothing to do."""


def pytest_collection_modifyitems(items):
    """Begin with what takes longest."""
    items.sort(key=lambda item: LONG.isdisjoint(item.path.parts))


@pytest.hookimpl(optionalhook=True)
def pytest_xdist_auto_num_workers():
    """Tests of a daemon mostly wait: for files to settle, for a process to start."""
    return 2 * (os.cpu_count() or 1)


@pytest.fixture(scope="session")
def anyio_backend():
    return "asyncio"


@pytest.fixture(autouse=True)
def _own_secrets():
    """What a test registered as a secret is hidden from no other test."""
    before, passing = set(redaction._registered), redaction._passing
    redaction._passing = redaction._Passing()
    yield
    redaction._registered = before
    redaction._passing = passing


class Stage:
    """One server for all tests, in front of the simulator that is being tested."""

    request_line_bytes = 2 * 1024 * 1024

    def __init__(self):
        self.simulator = None

    async def app(self, scope, receive, send):
        await self.simulator.app(scope, receive, send)

    def shut_down(self):
        self.simulator = None


@pytest.fixture(scope="session")
def stage():
    """The stage and its URL: starting and stopping a server for each test takes too long."""
    stage = Stage()
    with Serving(stage, "127.0.0.1", 0) as url:
        yield stage, url


@pytest.fixture
def telling():
    """A plugin with an action ``tell``, which gives up while no file ``mended`` is beside it."""
    return '''
import pathlib
from hydrusd.plugin import Action, Outcome, PermanentError, hookimpl

class Tell(Action):
    """Tell of it, once it can."""
    action = "tell"
    needs_client = False
    changes_client = False

    def run(self, call):
        if not (pathlib.Path(__file__).parent / "mended").exists():
            raise PermanentError("nobody listens")
        return Outcome.done("told")

@hookimpl
def hydrusd_register_actions(register):
    register(Tell)
'''
