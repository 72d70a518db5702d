from __future__ import annotations

from datetime import UTC, datetime, timedelta

import anyio
import pytest

from hydrusd.clock import ManualClock, SystemClock

pytestmark = pytest.mark.anyio


async def test_a_manual_clock_stands_still_until_it_is_advanced():
    clock = ManualClock(datetime(2026, 5, 1, tzinfo=UTC))
    assert (clock.now(), clock.monotonic()) == (datetime(2026, 5, 1, tzinfo=UTC), 0.0)
    await clock.advance(90)
    assert (clock.now(), clock.monotonic()) == (datetime(2026, 5, 1, 0, 1, 30, tzinfo=UTC), 90.0)
    assert ManualClock().now().tzinfo is UTC


async def test_sleepers_wake_in_order_at_their_own_time():
    clock = ManualClock()
    woke = []

    async def sleeper(name, seconds):
        await clock.sleep(seconds)
        woke.append((name, clock.monotonic()))

    async with anyio.create_task_group() as tasks:
        tasks.start_soon(sleeper, "late", 10)
        tasks.start_soon(sleeper, "middle", 5)
        tasks.start_soon(sleeper, "early", 2)
        await clock.advance(1.9)
        assert woke == []
        await clock.advance(4)
        assert woke == [("early", 2), ("middle", 5)]
        await clock.advance(4.1)
        assert woke[2:] == [("late", 10)]


async def test_one_advance_wakes_who_sleeps_again_meanwhile():
    clock = ManualClock()
    woke = []

    async def ticker():
        for _ in range(3):
            await clock.sleep(10)
            woke.append(clock.monotonic())

    async with anyio.create_task_group() as tasks:
        tasks.start_soon(ticker)
        await clock.advance(25)
        assert woke == [10, 20]
        await clock.advance(5)
        assert woke == [10, 20, 30]


async def test_sleeping_for_no_time_only_lets_others_go_on():
    clock = ManualClock()
    went_on = anyio.Event()
    async with anyio.create_task_group() as tasks:
        tasks.start_soon(clock.sleep, 0)
        tasks.start_soon(clock.sleep, -3)
        tasks.start_soon(_set, went_on)
        await went_on.wait()
    assert clock.monotonic() == 0


async def _set(event):
    event.set()


async def test_a_sleep_can_be_cancelled_and_is_in_nobodys_way():
    clock = ManualClock()
    with anyio.CancelScope() as scope:
        scope.cancel()
        await clock.sleep(5)
    assert scope.cancelled_caught
    await clock.advance(10)
    assert clock.monotonic() == 10


async def test_the_system_clock_is_aware_and_never_goes_back():
    clock = SystemClock()
    before, began = datetime.now(UTC), clock.monotonic()
    await clock.sleep(0.001)
    assert clock.now().utcoffset() == timedelta(0)
    assert clock.now() >= before
    assert clock.monotonic() > began
