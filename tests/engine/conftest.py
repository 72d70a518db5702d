"""The bench, set up anew for each test."""

from __future__ import annotations

import logging

import pytest
import structlog
from bench import Bench

from hydrusd.simulator import Simulator, SimulatorConfig


@pytest.fixture
def bench(tmp_path, stage):
    """``bench(**config)``: a folder and a listening client; the keywords are the client's."""
    front, url = stage
    running = []

    def make(**config):
        running.append(Simulator(SimulatorConfig(**config)))
        front.simulator = running[-1]
        return Bench(tmp_path, running[-1], url)

    yield make
    for simulator in running:
        simulator.close()


@pytest.fixture(autouse=True)
def quiet():
    """Leave out debug lines: a traceback drawn with all its values takes half a second."""
    before = structlog.get_config()
    structlog.configure(wrapper_class=structlog.make_filtering_bound_logger(logging.INFO))
    yield
    structlog.configure(**before)
