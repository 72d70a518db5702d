"""How calls reach the ledger: one after the other, whatever becomes of who asked."""

import asyncio
import threading

import anyio
import pytest

from hydrusd.ledger import Ledger, LedgerWriter

pytestmark = pytest.mark.anyio


@pytest.fixture
def writer(tmp_path):
    ledger = Ledger.open(tmp_path / "ledger.sqlite")
    yield LedgerWriter(ledger)
    ledger.close()


async def test_calls_are_made_in_their_order_by_one_thread(writer):
    made = []

    def call(_, number):
        made.append((number, threading.get_ident()))
        return number

    async with anyio.create_task_group() as tasks:
        for number in range(50):
            tasks.start_soon(writer, call, number)
    assert [number for number, _ in made] == list(range(50))
    assert len({thread for _, thread in made}) == 1
    assert made[0][1] != threading.get_ident()


async def test_the_next_call_begins_while_the_event_loop_is_busy(writer):
    second = threading.Event()
    async with anyio.create_task_group() as tasks:
        tasks.start_soon(writer, lambda _: None)
        tasks.start_soon(writer, lambda _: second.set())
        await anyio.lowlevel.checkpoint()
        await anyio.lowlevel.checkpoint()
        assert second.wait(30)  # on the loop, which does nothing else meanwhile


async def test_a_call_that_waits_is_taken_back_and_one_that_has_begun_ends(writer):
    begun, may_end, made = threading.Event(), threading.Event(), []

    def slow(_):
        begun.set()
        may_end.wait(30)
        made.append("slow")
        return "its result"

    async def ask(results):
        results.append(await writer(slow))

    got = []
    async with anyio.create_task_group() as tasks:
        tasks.start_soon(ask, got)
        tasks.start_soon(writer, lambda _: made.append("never"))
        await anyio.to_thread.run_sync(begun.wait)
        tasks.cancel_scope.cancel()
        asyncio.get_running_loop().call_later(0.05, may_end.set)
    assert (made, got) == (["slow"], ["its result"])
    assert await writer(lambda _: "and it goes on") == "and it goes on"
    assert made == ["slow"]


async def test_a_loop_that_is_torn_down_does_not_wait(writer):
    """Cancelled by asyncio itself, as at the second Ctrl+C: nobody keeps that from happening."""
    begun, may_end = threading.Event(), threading.Event()

    def slow(_):
        begun.set()
        may_end.wait(30)

    task = asyncio.get_running_loop().create_task(writer(slow))
    await anyio.to_thread.run_sync(begun.wait)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    may_end.set()
