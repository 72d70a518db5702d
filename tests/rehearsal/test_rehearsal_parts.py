"""The clock and the stage of a test of rules."""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path, PurePath

import anyio
import pytest
from hypothesis import given, strategies as st

from hydrusd.plugin import FolderPath
from hydrusd.rehearsal._clock import RehearsalClock, Threads, come_to_rest
from hydrusd.rehearsal._stage import Stage
from hydrusd.rules import rehearsing

START = datetime(2026, 1, 1, tzinfo=UTC)


@pytest.mark.anyio
async def test_the_clock_goes_from_one_who_waits_to_the_next():
    clock, woken = RehearsalClock(START), []

    async def sleep(seconds):
        await clock.sleep(seconds)
        woken.append(clock.monotonic())

    async with anyio.create_task_group() as tasks:
        for seconds in (5, 1, 100, 1, 0):
            tasks.start_soon(sleep, seconds)
        with anyio.move_on_after(0):
            await clock.sleep(2)  # whoever gives up is not come to
        await come_to_rest(lambda: False)
        moments = []
        while clock.step(50):
            moments.append(clock.monotonic())
            await come_to_rest(lambda: False)
        assert moments == [1, 5]
        assert clock.monotonic() == 50
        assert woken == [0, 1, 1, 5]
        clock.leap(200)
        clock.leap(150)
    assert woken[-1] == 200
    assert (clock.now() - START).total_seconds() == 200


@pytest.mark.anyio
async def test_what_is_in_a_thread_is_not_passed_by():
    threads, clock, over = Threads(), RehearsalClock(START), []
    run_sync = anyio.to_thread.run_sync
    with threads.counting():

        async def work():
            over.append(await anyio.to_thread.run_sync(lambda: sum(range(300_000))))

        async with anyio.create_task_group() as tasks:
            tasks.start_soon(work)
            await come_to_rest(lambda: threads.under_way > 0)
            assert over == [sum(range(300_000))]
            assert not clock.step(0)
    assert anyio.to_thread.run_sync is run_sync


@pytest.fixture(scope="module")
def stage(tmp_path_factory):
    return Stage(tmp_path_factory.mktemp("stage"), Path.cwd())


@given(
    st.lists(st.sampled_from(["a", "B c", "..", ".", "~", "/"]), min_size=1, max_size=8).map(
        "/".join
    )
)
def test_no_path_leads_out_of_the_stage(stage, text):
    placed = stage.place(Path(text))
    assert placed.is_relative_to(stage.disk)
    assert ".." not in placed.parts
    assert stage.place(placed) == placed
    told = PurePath(stage.told(f"{placed}"))
    assert stage.place(Path(told)) == placed or placed == stage.disk


def test_a_path_of_rules_is_on_the_stage_only_while_they_are_tried_out(stage, tmp_path):
    from pydantic import TypeAdapter

    paths = TypeAdapter(FolderPath)
    real = tmp_path / "in"
    with rehearsing(stage.place):
        placed = paths.validate_python(str(real))
        assert placed == stage.place(real)
        assert stage.told(f"in {placed}/x") == f"in {real}/x"
    assert paths.validate_python(str(real)) == real
