"""A place with a daemon of its own process, and a simulated client to look into."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).parents[1] / "crash"))

from stage import DaemonProcess, Place

from hydrusd.simulator import Simulator, SimulatorConfig


@pytest.fixture
def place(tmp_path):
    return Place(tmp_path / "place")


@pytest.fixture
def settle():
    """How long a file must be left alone."""
    return "200ms"


@pytest.fixture
def simulator(place, settle):
    """A client that commits only when it is told to; the place's rules lead to it."""
    config = SimulatorConfig(import_seconds=0.01, commit_seconds=1000)
    with Simulator(config) as client, client.serve() as url:
        place.write_rules(url, settle=settle)
        yield client


@pytest.fixture
def daemon(place, simulator):
    process = DaemonProcess(place)
    process.start()
    process.wait_until_started()
    yield process
    process.close()
