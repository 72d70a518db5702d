"""What files_behaviour.py says, of simulated clients of three eras, over real HTTP."""

from __future__ import annotations

import pytest
from files_behaviour import *  # noqa: F403 - its tests are the tests

from hydrusd.simulator import Permissions, Simulator, SimulatorConfig
from hydrusd.simulator._serving import Serving

pytestmark = pytest.mark.anyio


class Stage:
    """One server for the whole module, each test with a simulator of its own behind it."""

    request_line_bytes = 2 * 1024 * 1024
    player: Simulator

    async def app(self, scope, receive, send):
        await self.player.app(scope, receive, send)

    def shut_down(self):
        pass


@pytest.fixture(scope="module")
def stage():
    stage = Stage()
    with Serving(stage, "127.0.0.1", 0) as url:
        yield stage, url


@pytest.fixture
def address(era, access_key, stage):
    keys = {access_key: Permissions(permits_everything=True)}
    with Simulator(SimulatorConfig(api_version=era, access_keys=keys)) as simulator:
        stage[0].player = simulator
        yield stage[1], access_key
