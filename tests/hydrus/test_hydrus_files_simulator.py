"""What files_behaviour.py says, of simulated clients of three eras, over real HTTP."""

from __future__ import annotations

import pytest
from files_behaviour import *  # noqa: F403 - its tests are the tests

from hydrusd.simulator import Permissions, Simulator, SimulatorConfig

pytestmark = pytest.mark.anyio


@pytest.fixture
def address(era, access_key, stage):
    keys = {access_key: Permissions(permits_everything=True)}
    with Simulator(SimulatorConfig(api_version=era, access_keys=keys)) as simulator:
        stage[0].simulator = simulator
        yield stage[1], access_key
