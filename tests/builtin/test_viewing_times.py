"""Adding viewing times: never counted twice, whatever is lost, cut off or started anew."""

from __future__ import annotations

from datetime import timedelta

import pytest
from edits_acting import editing
from library_acting import DEAD, DONE, LATER

from hydrusd.builtin.actions.add_viewing_time import AddViewingTime
from hydrusd.clock import SystemClock
from hydrusd.errors import HydrusUnavailable
from hydrusd.hydrus import CanvasType, HydrusClient
from hydrusd.model import Outcome, OutcomeKind
from hydrusd.simulator import DEFAULT_ACCESS_KEY, Fault, FaultKind

pytestmark = pytest.mark.anyio

ADD = "/edit_times/increment_file_viewtime"
ACTION = AddViewingTime(views=1, time="10s")


async def viewed(at, file_hash):
    first, *_ = (await at.row(file_hash)).views
    return (first.views, first.seconds)


async def stored(at, *files):
    """Run the first half, and give the calls of the second as the engine makes them."""
    calls = at.calls(ACTION, *files)
    await AddViewingTime.run_set(calls)
    assert {call.outcome.kind for call in calls} == {LATER}
    assert at.written == 0 or at.simulator.requests[ADD] == at.written
    return [at.after(call) for call in calls]


async def test_it_is_stored_first_and_added_then(stage, tmp_path):
    async with editing(stage, tmp_path) as at:
        (one,) = await at.add()
        (call,) = await stored(at, [one])
        assert await viewed(at, one) == (0, 0)
        await AddViewingTime.run_set([call])
        assert call.outcome.kind is DONE
        assert call.outcome.detail == "1 view of 10 s added"
        before = {"views": 0, "seconds": 0.0, "last_viewed": None}
        added = {"canvas": "media_viewer", "views": 1, "seconds": 10.0, "before": before}
        assert call.outcome.receipt == {"added": {one: added}}
        assert await viewed(at, one) == (1, 10)


async def test_two_jobs_about_a_file_count_twice_and_many_files_share_a_request(stage, tmp_path):
    async with editing(stage, tmp_path) as at:
        one, other, third = await at.add(3)
        calls = await stored(at, [one], [other, third], [one])
        await AddViewingTime.run_set(calls)
        assert await viewed(at, one) == (2, 20)
        assert await viewed(at, third) == (1, 10)
        assert at.simulator.requests[ADD] == 2


@pytest.mark.parametrize("kind", [FaultKind.WORK_THEN_CUT, FaultKind.CUT])
async def test_after_a_lost_answer_it_looks_and_counts_once(stage, tmp_path, kind):
    async with editing(stage, tmp_path) as at:
        (one,) = await at.add()
        (call,) = await stored(at, [one])
        at.simulator.inject(Fault(kind=kind, path=ADD))
        with pytest.raises(HydrusUnavailable):
            await AddViewingTime.run_set([call])
        again = at.after(call, _kept(call))
        await AddViewingTime.run_set([again])
        assert again.outcome.kind is DONE
        assert again.outcome.receipt["added"][one]["before"]["views"] == 0
        assert await viewed(at, one) == (1, 10)


def _kept(call):
    """What the ledger keeps of a step that failed after ``later``."""
    (record,) = call.steps
    return Outcome(OutcomeKind.RETRY, "cut off", record.values, record.receipt)


@pytest.mark.parametrize("was_done", [True, False])
async def test_a_daemon_that_died_in_between_looks_and_counts_once(stage, tmp_path, was_done):
    async with editing(stage, tmp_path) as at:
        one, other = await at.add(2)
        (call,) = await stored(at, [one, other])
        if was_done:  # for one of the files: 256 go into a request
            await at.client.increment_file_viewtime([one], CanvasType.MEDIA_VIEWER, seconds=10)
        async with HydrusClient(at.client._wire.address, DEFAULT_ACCESS_KEY) as anew:
            await anew.connect()
            call.client = anew
            await AddViewingTime.run_set([call])
        assert call.outcome.kind is DONE
        assert await viewed(at, one) == await viewed(at, other) == (1, 10)


async def test_what_the_user_viewed_meanwhile_may_cost_a_view_but_never_adds_one(stage, tmp_path):
    async with editing(stage, tmp_path) as at:
        (one,) = await at.add()
        (call,) = await stored(at, [one])
        await at.client.increment_file_viewtime([one], CanvasType.MEDIA_VIEWER, seconds=60)
        async with HydrusClient(at.client._wire.address, DEFAULT_ACCESS_KEY) as anew:
            await anew.connect()
            call.client = anew
            await AddViewingTime.run_set([call])
        assert await viewed(at, one) == (1, 60)


async def test_what_a_crash_of_the_client_lost_is_added_again_once(stage, tmp_path):
    async with editing(stage, tmp_path) as at:
        (one,) = await at.add()
        at.simulator.commit()
        (call,) = await stored(at, [one])
        await AddViewingTime.run_set([call])
        done = at.after(call)
        assert await AddViewingTime.lost([done]) == []
        at.simulator.crash()
        await at.client.connect()
        assert await AddViewingTime.lost([done]) == [done]
        await AddViewingTime.run_set([done])
        second = at.after(done)
        await AddViewingTime.run_set([second])
        assert await viewed(at, one) == (1, 10)
        assert await AddViewingTime.lost([at.after(second)]) == []


async def test_a_key_that_may_not_look_counts_once_and_rather_not_at_all_than_twice(
    stage, tmp_path
):
    async with editing(stage, tmp_path, basic={1, 11}) as at:
        (one,) = await at.add()
        (call,) = await stored(at, [one])
        await AddViewingTime.run_set([call])
        assert (call.outcome.kind, call.outcome.receipt) == (DONE, None)
        assert at.simulator.requests[ADD] == 1
        assert await AddViewingTime.lost([at.after(call)]) == []
        (call,) = await stored(at, [one])
        at.simulator.inject(Fault(kind=FaultKind.WORK_THEN_CUT, path=ADD))
        with pytest.raises(HydrusUnavailable):
            await AddViewingTime.run_set([call])
        again = at.after(call, _kept(call))
        await AddViewingTime.run_set([again])
        assert "not added once more" in again.outcome.detail
        assert at.simulator.requests[ADD] == 2


async def test_the_plan_tells_what_would_be_added(stage, tmp_path):
    async with editing(stage, tmp_path) as at:
        known, unknown = await at.plan(ACTION, ["ab" * 32, "cd" * 32], [])
        assert known.detail == "would add 1 view of 10 s to 2 files"
        assert "the steps before it name" in unknown.detail
        left = AddViewingTime(views="{{ x }}", time="1s")
        assert not (await at.plan(left, ["ab" * 32]))[0].changes
        (outcome,) = await at.run(left, ["ab" * 32])
        assert outcome.kind is DEAD
        (outcome,) = await at.run(ACTION, [])
        assert "put add_file or add_url before it" in outcome.detail


async def test_an_old_client_does_not_count(stage, tmp_path):
    async with editing(stage, tmp_path, api_version=32) as at:
        (fault,) = ACTION.preflight(at.client)
        assert "needs Client API ≥ 78" in fault.message


RULES = """
rules:
  - name: view
    on: {watch_folder: {path: inbox, settle: 50ms}}
    do:
      - add_file:
      - add_viewing_time: {time: 5s}
"""


class AnHourLater(SystemClock):
    """For what waits after a failure."""

    def now(self):
        return super().now() + timedelta(hours=1)


def test_the_whole_way_with_an_answer_lost(project):
    made = project({"rules.yaml": RULES})
    made.simulator.inject(Fault(kind=FaultKind.WORK_THEN_CUT, path=ADD))
    made.drop("inbox/a.png")
    made.run(until=lambda p: p.jobs and len(p.jobs[0].steps) == 2 and p.simulator.requests[ADD])
    made.run(clock=AnHourLater()).assert_success()
    entry = made.simulator._client.store.entries[made.sha256("inbox/a.png")]
    assert (entry.viewings[0].views, entry.viewings[0].seconds) == (1, 5)
    assert made.simulator.requests[ADD] == 1
