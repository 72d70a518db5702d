"""The disk under the ledger runs full in the middle of the work: everything waits, and goes on."""

from __future__ import annotations

import anyio
import pytest
from structlog.testing import capture_logs

from hydrusd.errors import LedgerFull
from hydrusd.ledger import Ledger, _writer

pytestmark = pytest.mark.anyio


def pages(ledger, most=None):
    """Say of how many pages the file may be: SQLite then answers as it does on a full disk."""
    with ledger._engine.connect() as connection:
        if most is None:
            most = connection.exec_driver_sql("PRAGMA page_count").scalar()
        return connection.exec_driver_sql(f"PRAGMA max_page_count={most}").scalar()


@pytest.fixture(autouse=True)
def _impatient(monkeypatch):
    monkeypatch.setattr(_writer, "FIRST_WAIT_SECONDS", 0.01)
    monkeypatch.setattr(_writer, "LONGEST_WAIT_SECONDS", 0.05)


def told(lines, words):
    return [line["event"] for line in lines if words in line["event"]]


async def test_work_waits_for_room_and_loses_nothing(bench):
    at = bench()
    names = [f"{n}.jpg" for n in range(40)]
    with capture_logs() as lines:
        async with at.running():
            await at.rest()
            await at.notice(*names[:5])
            await at.rest()
            await at._writer(pages)

            async with anyio.create_task_group() as tasks:
                tasks.start_soon(at.notice, *names[5:])
                await at.wait(lambda: told(lines, "everything waits"))
                # Looking is allowed meanwhile, and is no reason to say that there is room again.
                assert await at._writer(Ledger.newest_signal) == 0
                await anyio.sleep(0.2)
                assert len(at.jobs) == 5
                await at._writer(pages, 100_000)
            await at.rest()
            await at.passes(10)
    assert [at.state(name) for name in names] == ["done"] * 40
    assert set(at.simulator.imports().values()) == {1}
    assert all(at.is_moved(name) for name in names)
    # Told once each, however often it was tried.
    [waits] = told(lines, "everything waits")
    assert "make room on its disk" in waits
    assert len(told(lines, "there is room for the ledger again")) == 1


async def test_it_can_be_stopped_while_it_waits_and_goes_on_after_a_restart(bench):
    at = bench()
    names = [f"{n}.jpg" for n in range(30)]

    async def live():
        async with at.running():
            await at.notice(*names)
            await at.wait(lambda: sum(at.simulator.imports().values()) > 3)
            await at._writer(pages)
            async with anyio.create_task_group() as tasks:
                tasks.start_soon(at.notice, *(f"later {n}.jpg" for n in range(200)))
                await at.wait(lambda: at._writer._waiting)
                at._writer.close()  # as the daemon does when it is asked to stop

    with pytest.raises(ExceptionGroup) as caught:
        await live()
    assert caught.group_contains(LedgerFull)
    async with at.running():
        await at.rest()
        await at.passes(10)
    assert len(at.jobs) == 30  # what was not taken in will be noticed again
    assert [at.state(name) for name in names] == ["done"] * 30
    assert set(at.simulator.imports().values()) == {1}


async def test_who_waits_can_be_called_off(bench):
    at = bench()
    async with at.running():
        await at.rest()
        await at._writer(pages)
        with anyio.move_on_after(0.3) as scope:
            await at.notice(*(f"{n}.jpg" for n in range(200)))
        assert scope.cancelled_caught
        await at._writer(pages, 100_000)
    assert at.jobs == []
