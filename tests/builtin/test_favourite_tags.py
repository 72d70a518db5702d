"""Favourite tags: changed where they differ, in the order of the jobs, with the old list kept."""

from __future__ import annotations

import pytest
from edits_acting import editing
from library_acting import DONE
from pydantic import ValidationError

from hydrusd.builtin.actions.set_favourite_tags import SetFavouriteTags
from hydrusd.errors import VersionTooOld

pytestmark = pytest.mark.anyio

SET = "/add_tags/set_favourite_tags"


@pytest.mark.parametrize(
    ("parameters", "after"),
    [
        ({"set": ["New ", "new", "-"]}, ["new"]),
        ({"set": []}, []),
        ({"add": " C"}, ["a", "b", "c"]),
        ({"remove": ["a", "x"]}, ["b"]),
        ({"add": ["a", "c"], "remove": "b"}, ["a", "c"]),
    ],
)
async def test_they_are_changed_once(stage, tmp_path, parameters, after):
    async with editing(stage, tmp_path) as at:
        await at.client.set_favourite_tags(["a", "b"])
        before = await at.client.get_favourite_tags()
        action = SetFavouriteTags.model_validate(parameters)
        assert await at.lost(action, []) == [0]
        assert (await at.plan(action, []))[0].changes
        written = at.written
        outcomes = await at.run(action, [], [])
        assert {outcome.kind for outcome in outcomes} == {DONE}
        assert sorted(await at.client.get_favourite_tags()) == sorted(after)
        now = await at.client.get_favourite_tags()
        assert outcomes[0].receipt == {"favourites": {"before": before, "after": now}}
        assert (outcomes[1].receipt, outcomes[1].detail) == ({}, "they are so already")
        assert at.written == written + 1
        assert await at.lost(action, []) == []
        assert not (await at.plan(action, []))[0].changes


async def test_another_order_is_no_change(stage, tmp_path):
    async with editing(stage, tmp_path) as at:
        await at.client.set_favourite_tags(["a", "b"])
        await at.run(SetFavouriteTags(set=["b", "a"]), [])
        assert at.simulator.requests[SET] == 1


async def test_the_plan_of_a_set_sees_each_call_after_the_one_before(stage, tmp_path):
    async with editing(stage, tmp_path) as at:
        await at.client.set_favourite_tags([])
        first, second = await at.plan(SetFavouriteTags(add="a"), [], [])
        assert first.detail == "would change the favourites: 1 tag new, 0 tags gone"
        assert (first.changes, second.changes) == (True, False)


async def test_an_old_client_has_no_such_call(stage, tmp_path):
    async with editing(stage, tmp_path, api_version=32) as at:
        action = SetFavouriteTags(add="a")
        (fault,) = action.preflight(at.client)
        assert "needs Client API ≥ 80" in fault.message
        with pytest.raises(VersionTooOld):
            await at.run(action, [])


@pytest.mark.parametrize("parameters", [{}, {"set": ["a"], "add": ["b"]}, {"ad": "a"}])
def test_parameters_that_mean_nothing_or_two_things_are_refused(parameters):
    with pytest.raises(ValidationError):
        SetFavouriteTags.model_validate(parameters)
