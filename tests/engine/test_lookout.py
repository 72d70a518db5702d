"""What others do is noticed, and while nobody does anything nothing is asked."""

from __future__ import annotations

import threading
from datetime import UTC, datetime

import anyio
import pytest

from hydrusd.clock import ManualClock, SystemClock
from hydrusd.engine import Lookout, Signals, lookout as lookout_module
from hydrusd.engine.lookout import LOOK_SECONDS, SIGNAL_SECONDS
from hydrusd.ledger import Ledger, LedgerReader, LedgerWatch, LedgerWriter
from hydrusd.looking_out import look_out, until_next
from hydrusd.reloading import LOOK_SECONDS as RELOAD_SECONDS, PHASE_SECONDS

pytestmark = pytest.mark.anyio

NOW = datetime(2026, 1, 1, tzinfo=UTC)


class Counting(LedgerWriter):
    """Counts what it is asked."""

    def __init__(self, ledger):
        super().__init__(ledger)
        self.calls = 0

    async def __call__(self, *args, **kwargs):
        self.calls += 1
        return await super().__call__(*args, **kwargs)


class Sleepy(ManualClock):
    """Its time of day goes on while the machine sleeps; ``monotonic`` does not, as on Linux."""

    def __init__(self):
        super().__init__()
        self.off = 0.0

    def now(self):
        return datetime.fromtimestamp(super().now().timestamp() + self.off, UTC)


class Bench:
    """A ledger with a lookout, and what that has told."""

    def __init__(self, folder):
        self.path = folder / "ledger.sqlite"
        self.ledger = Ledger.open(self.path)
        self.writer = Counting(self.ledger)
        self.clock = Sleepy()
        self.signals = Signals(self.writer)
        self.seen = []
        self.lookout = Lookout(self.path, self.clock, self.tell)

    def tell(self, seen):
        self.seen.append(seen)
        self.signals.stir()

    async def pass_looks(self, count=1):
        for _ in range(count):
            await self.clock.advance(lookout_module.LOOK_SECONDS)
            for _ in range(3):  # the look itself is made in a thread
                await anyio.sleep(0.01)

    def write_elsewhere(self):
        """Write as another process does."""
        other = Ledger.open(self.path, exclusive=False)
        other.post("fired:rule", {}, NOW)
        other.close()


@pytest.fixture
def bench(tmp_path):
    made = Bench(tmp_path)
    yield made
    made.ledger.close()


@pytest.fixture
async def looking(bench):
    async with anyio.create_task_group() as tasks:
        tasks.start_soon(bench.lookout.run)
        tasks.start_soon(bench.signals.run)
        await bench.pass_looks(2)  # the first one has nothing to compare with
        bench.seen.clear()
        yield bench
        tasks.cancel_scope.cancel()


async def test_where_nothing_is_written_the_ledger_is_asked_nothing(looking):
    asked = looking.writer.calls
    await looking.pass_looks(10)
    assert looking.writer.calls == asked
    assert not looking.seen


async def test_what_another_process_writes_is_told_once_and_read(looking):
    looking.write_elsewhere()
    await looking.pass_looks(3)
    assert [(s.written, s.slept, s.jumped) for s in looking.seen] == [(True, False, False)]
    assert looking.signals.newest == 1


async def test_what_the_daemon_writes_itself_is_told_and_reading_is_not(looking):
    await looking.writer(Ledger.post, "fired:rule", {}, NOW)
    await looking.pass_looks(3)
    assert len(looking.seen) == 1
    await looking.writer(Ledger.recall, "trigger", "identity")
    await looking.pass_looks(3)
    assert len(looking.seen) == 1


async def test_a_machine_that_slept_is_noticed(looking):
    looking.clock.off += 3600  # the clock that never jumps stood still
    await looking.pass_looks(2)
    assert [(s.slept, s.jumped) for s in looking.seen] == [(False, True)]


async def test_a_timer_that_rings_far_too_late_is_noticed(looking):
    looking.clock.leap(looking.clock.monotonic() + 3600)
    await looking.pass_looks(2)
    assert [(s.slept, s.jumped) for s in looking.seen] == [(True, False)]


async def test_a_watch_leaves_no_trace_beside_a_ledger_that_is_closed_after_it(tmp_path):
    path = tmp_path / "ledger.sqlite"
    ledger = Ledger.open(path)
    watch = LedgerWatch(path)
    assert watch.has_changed()  # nothing to compare with
    assert not watch.has_changed()
    ledger.post("fired:rule", {}, NOW)
    assert watch.has_changed()
    watch.close()
    assert not watch.has_changed()
    ledger.close()
    assert not path.with_name("ledger.sqlite-wal").exists()
    LedgerReader.open(path).close()


async def test_by_the_machines_own_clock_one_thread_looks_until_there_is_something():
    threads, loop = set(), threading.current_thread()

    def look():
        threads.add(threading.current_thread())
        looks.append(None)
        return len(looks) == 5 and "found"

    looks = []
    with anyio.fail_after(10):
        assert await look_out(SystemClock(), lambda: 0.01, look) == "found"
    assert len(looks) == 5
    assert len(threads) == 1
    assert loop not in threads


@pytest.mark.parametrize("began", [0.0, 3.2, 1e6 + 1.7])
def test_who_looks_as_often_at_another_phase_never_does_so_at_once(began):
    now = began
    for _ in range(50):
        now += until_next(now, LOOK_SECONDS, 0.0)
        other = until_next(now, RELOAD_SECONDS, PHASE_SECONDS)
        assert 0.4 < other < RELOAD_SECONDS - 0.4
        # Nor do those who look each second while the first one does.
        assert 0.4 < other % SIGNAL_SECONDS < 0.6
        now += 0.01  # what a look takes


async def test_nothing_is_looked_at_any_more_when_it_is_cancelled():
    looks = []
    with anyio.move_on_after(0.1):
        await look_out(SystemClock(), lambda: 0.01, lambda: looks.append(None))
    await anyio.sleep(0.05)
    count = len(looks)
    assert count > 1
    await anyio.sleep(0.1)
    assert len(looks) == count


async def test_a_look_that_does_not_return_keeps_nobody_from_stopping():
    hangs, over, returned = threading.Event(), threading.Event(), threading.Event()

    def look():
        hangs.set()
        over.wait(20)
        returned.set()

    async with anyio.create_task_group() as tasks:
        tasks.start_soon(look_out, SystemClock(), lambda: 0.01, look)
        while not hangs.is_set():  # noqa: ASYNC110 - set in a thread
            await anyio.sleep(0.01)
        tasks.cancel_scope.cancel()
    assert not returned.is_set()
    over.set()
    assert await anyio.to_thread.run_sync(returned.wait, 20)
