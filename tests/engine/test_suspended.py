"""The machine sleeps, or the process is stopped, for hours: what is still true then?"""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest
from bench import IMPORT_ONLY, PARTLY, StagedClock, key_for

pytestmark = pytest.mark.anyio

VERIFY = "/verify_access_key"
HOUR = 3600.0


class SleepyClock(StagedClock):
    """Its time of day goes on while the machine sleeps; ``monotonic`` does not, as on Linux."""

    def __init__(self):
        super().__init__()
        self.slept = 0.0

    def now(self):
        return datetime(2026, 1, 1, tzinfo=UTC) + timedelta(seconds=self.elapsed + self.slept)


@pytest.fixture
def at(bench):
    made = bench(access_keys=key_for(*PARTLY))
    made.clock = SleepyClock()
    return made


async def wakes(at):
    """Let the lane take its next look."""
    await at.passes(5)
    await at.rest()


async def test_after_a_sleep_it_connects_again_before_it_works(at):
    async with at.running(IMPORT_ONLY):
        await at.rest()
        asked = at.simulator.requests[VERIFY]
        await wakes(at)
        assert at.simulator.requests[VERIFY] == asked
        at.clock.slept += 8 * HOUR
        await wakes(at)
        assert at.simulator.requests[VERIFY] > asked
        assert at.condition("client", "hydrus")[0] == "connected"


async def test_a_process_that_was_stopped_knows_it_by_its_late_timer(at):
    async with at.running(IMPORT_ONLY):
        await at.rest()
        asked = at.simulator.requests[VERIFY]
        at.clock.move(at.clock.elapsed + 2 * HOUR)  # both clocks went on
        await at.rest()
        assert at.simulator.requests[VERIFY] > asked


async def test_a_client_that_restarted_meanwhile_is_noticed_and_what_it_lost_done_again(at):
    async with at.running():
        await at.notice("a.jpg")
        await at.rest()
        assert at.state("a.jpg") == "settling"
        at.clock.slept += 8 * HOUR
        at.simulator.crash()
        await wakes(at)
        assert at.is_there("a.jpg")
        await at.passes(200)
    assert at.state("a.jpg") == "done"
    assert at.is_moved("a.jpg")
    assert at.simulator.imports()[at.hash_of("a.jpg")] == 2


async def test_a_clock_that_jumps_forward_proves_nothing(at):
    """The wait for a commit is one of real time: 60 s of it have not passed."""
    async with at.running():
        await at.notice("a.jpg")
        await at.rest()
        at.clock.slept += 1000 * HOUR
        await at.passes(30)
        assert at.state("a.jpg") == "settling"
        assert at.is_there("a.jpg")
        await at.passes(60)
        assert at.state("a.jpg") == "done"
        # And back again: nothing waits for six weeks.
        at.clock.slept -= 1000 * HOUR
        await at.notice("b.jpg")
        await at.passes(100)
        assert at.state("b.jpg") == "done"
