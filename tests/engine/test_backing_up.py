"""The ledger is backed up by the time of day, whatever the machine does in between."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import anyio
import pytest
from structlog.testing import capture_logs

from hydrusd.clock import ManualClock
from hydrusd.engine import BackingUp
from hydrusd.errors import LedgerDamaged
from hydrusd.ledger import Ledger, LedgerReader, LedgerWriter, Occasion, back_up, backups

pytestmark = pytest.mark.anyio

START = datetime(2026, 1, 1, tzinfo=UTC)
HOUR, DAY = 3600.0, 24 * 3600.0


class Clock(ManualClock):
    """One whose time of day can be set."""

    def __init__(self):
        super().__init__(START)
        self.set_by = timedelta()

    def now(self):
        return super().now() + self.set_by


@pytest.fixture
def clock():
    return Clock()


@pytest.fixture
def path(tmp_path):
    return tmp_path / "ledger.sqlite"


@pytest.fixture
async def writer(path):
    ledger = Ledger.open(path)
    yield LedgerWriter(ledger)
    ledger.close()


@pytest.fixture
async def backing_up(path, writer, clock):
    made = BackingUp(path, writer, clock, every_seconds=DAY, keep=3)
    async with anyio.create_task_group() as tasks:
        tasks.start_soon(made.run)
        await anyio.wait_all_tasks_blocked()
        yield made
        tasks.cancel_scope.cancel()


async def passes(clock, seconds, until):
    """Let time pass; the copying itself takes real time."""
    await clock.advance(seconds)
    with anyio.fail_after(10):
        while not until():  # noqa: ASYNC110 - a file appears
            await anyio.sleep(0.005)
    with anyio.fail_after(10):
        while not clock._sleepers:  # noqa: ASYNC110 - it has gone to sleep again
            await anyio.sleep(0.005)


def count(path):
    return len(backups(path))


async def test_one_a_day_and_the_oldest_go(backing_up, path, clock):
    assert count(path) == 0
    await passes(clock, 60, lambda: count(path) == 1)
    for _ in range(23):
        await passes(clock, HOUR, lambda: True)
    assert count(path) == 1
    for day in range(1, 5):
        newest = backups(path)[0].made_at
        while backups(path)[0].made_at == newest:
            await passes(clock, HOUR, lambda: True)
        assert timedelta(hours=23) < backups(path)[0].made_at - newest < timedelta(hours=26)
        assert count(path) == min(day + 1, 3)


async def test_one_that_is_fresh_enough_will_do(path, writer, clock):
    back_up(path, Occasion.ASKED, START - timedelta(hours=20))
    made = BackingUp(path, writer, clock, every_seconds=DAY, keep=3)
    async with anyio.create_task_group() as tasks:
        tasks.start_soon(made.run)
        await anyio.wait_all_tasks_blocked()
        await passes(clock, 2 * HOUR, lambda: True)
        assert count(path) == 1
        await passes(clock, 2 * HOUR + 120, lambda: count(path) == 2)
        tasks.cancel_scope.cancel()


async def test_a_night_asleep_is_made_up_for(backing_up, path, clock):
    await passes(clock, 60, lambda: count(path) == 1)
    clock.set_by += timedelta(hours=30)  # and no timer has moved
    await passes(clock, HOUR, lambda: count(path) == 2)


async def test_a_clock_that_was_a_year_ahead_holds_nothing_up(backing_up, path, clock):
    clock.set_by += timedelta(days=365)
    await passes(clock, 60, lambda: count(path) == 1)
    clock.set_by -= timedelta(days=365)
    await passes(clock, HOUR, lambda: count(path) == 2)


async def test_what_keeps_it_from_being_made_is_told_and_tried_again(backing_up, path, clock):
    def told():
        reader = LedgerReader.open(path)
        try:
            return [(c.name, c.state, c.reason) for c in reader.conditions()]
        finally:
            reader.close()

    in_the_way = path.parent / "backups"
    in_the_way.write_text("", encoding="utf-8")
    with capture_logs() as lines:
        await passes(clock, 60, told)
        [(name, state, reason)] = told()
        assert (name, state) == ("backups", "waiting")
        assert "no backup of the ledger can be made" in reason
        in_the_way.unlink()
        await passes(clock, HOUR, lambda: count(path) == 1)
    await passes(clock, 1, lambda: told() == [("backups", "working", "")])
    assert [line["log_level"] for line in lines] == ["warning", "info"]


async def test_a_backup_that_shows_the_ledger_to_be_damaged_ends_everything(path, clock):
    ledger = Ledger.open(path)
    writer = LedgerWriter(ledger)
    await writer(Ledger.post, "t", {"text": "x" * 200_000}, START)
    ledger.close()
    content = bytearray(path.read_bytes())
    content[len(content) // 2 : len(content) // 2 + 8192] = b"\xff" * 8192
    path.write_bytes(content)

    ledger = Ledger.open(path)
    writer = LedgerWriter(ledger)
    made = BackingUp(path, writer, clock, every_seconds=DAY, keep=3)

    async def live():
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(made.run)
            tasks.start_soon(writer.watch)
            await anyio.wait_all_tasks_blocked()
            await clock.advance(60)

    with pytest.raises(ExceptionGroup) as caught:
        await live()
    assert caught.group_contains(LedgerDamaged)
    # And nobody writes any more, whoever it is.
    with pytest.raises(LedgerDamaged):
        await writer(Ledger.post, "t", {}, START)
    ledger.close()
