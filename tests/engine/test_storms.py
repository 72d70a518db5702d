"""A client that answers, but nothing sensible, to everything and for hours: no item pays for it."""

from __future__ import annotations

import pytest
from bench import IMPORT_ONLY

from hydrusd.simulator import Fault, FaultKind

pytestmark = pytest.mark.anyio

ADD_FILE = "/add_files/add_file"
FOR_HOURS = 1_000_000
STORMS = {
    "busy": Fault(kind=FaultKind.STATUS, status=503, times=FOR_HOURS),
    "no session": Fault(kind=FaultKind.STATUS, status=419, times=FOR_HOURS),
    "sick": Fault(kind=FaultKind.STATUS, status=500, times=FOR_HOURS),
    "another program": Fault(kind=FaultKind.STATUS, status=404, times=FOR_HOURS),
    "a web page": Fault(kind=FaultKind.NOT_JSON, times=FOR_HOURS),
    "cut": Fault(kind=FaultKind.CUT, times=FOR_HOURS),
}


@pytest.mark.parametrize("storm", STORMS)
async def test_a_storm_of_hours_costs_nothing_and_does_not_spin(bench, storm):
    at = bench()
    async with at.running():
        await at.rest()
        at.simulator.inject(STORMS[storm])
        before = at.simulator.requests.total()
        await at.notice(*(f"{n}.jpg" for n in range(3)))
        await at.passes(200)
        await at.skip(hours=10)
        asked = at.simulator.requests.total() - before
        assert asked < 100
        assert at.condition("client", "hydrus")[0] == "waiting"
        # What was sent and never answered may have been carried out: that alone is counted.
        assert {at.state(f"{n}.jpg") for n in range(3)} == {"ready"}
        assert {at.attempts(f"{n}.jpg") for n in range(3)} == {0}
        at.simulator.clear_faults()
        await at.passes(120)
    assert {at.state(f"{n}.jpg") for n in range(3)} == {"done"}
    assert set(at.simulator.imports().values()) == {1}


async def test_one_route_that_never_knows_the_session_is_asked_ever_less_often(bench):
    at = bench()
    async with at.running(IMPORT_ONLY):
        await at.rest()
        at.simulator.inject(
            Fault(kind=FaultKind.STATUS, path=ADD_FILE, status=419, times=FOR_HOURS)
        )
        await at.notice("a.jpg")
        await at.passes(600)
        assert 10 <= at.simulator.requests[ADD_FILE] <= 40
        assert (at.state("a.jpg"), at.attempts("a.jpg")) == ("ready", 0)
        at.simulator.clear_faults()
        await at.passes(120)
    assert at.state("a.jpg") == "done"


async def test_a_client_away_for_a_night_in_the_middle_of_much_work(bench):
    at = bench()
    names = [f"{n}.jpg" for n in range(20)]
    async with at.running():
        await at.rest()
        # Twelve are in by then.
        at.simulator.inject(Fault(kind=FaultKind.CUT, path=ADD_FILE, skip=12, times=FOR_HOURS))
        await at.notice(*names)
        await at.wait(lambda: at.simulator.requests[ADD_FILE] > 12)
        at.simulator.inject(Fault(kind=FaultKind.CUT, times=FOR_HOURS))
        await at.skip(hours=1, times=8)
        assert not at.dead
        at.simulator.clear_faults()
        await at.passes(400)
    assert {at.state(name) for name in names} == {"done"}
    assert set(at.simulator.imports().values()) == {1}


async def test_what_one_file_is_refused_for_is_still_its_own_fault(bench):
    at = bench()
    async with at.running(IMPORT_ONLY):
        await at.rest()
        at.simulator.inject(Fault(kind=FaultKind.STATUS, path=ADD_FILE, status=400, times=9))
        await at.notice("a.jpg")
        await at.rest()
    assert at.state("a.jpg") == "dead"
