"""A disk that does not answer holds up what is on it, and nothing else."""

from __future__ import annotations

import threading

import anyio
import pytest

from hydrusd.builtin.actions import add_file
from hydrusd.builtin.actions._placing import Move
from hydrusd.engine import lane
from hydrusd.hydrus import HydrusClient
from hydrusd.plugin import FileSource, Outcome

pytestmark = pytest.mark.anyio

RULES = """
  - name: on the dead disk
    on: {watch_folder: {path: inbox}}
    if: file.name.startswith('dead')
    do:
      - add_file:
      - move_source: {to: moved}
  - name: elsewhere
    on: {watch_folder: {path: inbox}}
    if: not file.name.startswith('dead')
    do:
      - add_file:
      - move_source: {to: moved}
"""
RULE = "on the dead disk"
ONE_RULE = RULES.partition("  - name: elsewhere")[0].replace("if: file.name.startswith('dead')", "")


class Server:
    """Whoever asks for a file whose name begins with "dead" waits until it answers."""

    def __init__(self, monkeypatch):
        self.answering = threading.Event()
        self.answering.set()
        self.asked = []
        self._monkeypatch = monkeypatch

    def holds(self, owner, *names):
        """Have these methods of a file, or of what has a ``source``, ask it first."""
        for name in names:
            function = getattr(owner, name)

            def asking(of, *arguments, function=function, **options):
                if getattr(of, "source", of).path.name.startswith("dead"):
                    self.asked.append(function.__name__)
                    assert self.answering.wait(30)
                return function(of, *arguments, **options)

            self._monkeypatch.setattr(owner, name, asking)


@pytest.fixture
def server(monkeypatch):
    monkeypatch.setattr(lane, "ANSWER_SECONDS", 0.1)
    server = Server(monkeypatch)
    yield server
    server.answering.set()


async def until(at, condition):
    """Let time pass until something is so, without waiting for the lane to rest."""
    with anyio.fail_after(20):
        while not condition():
            at.clock.move(at.clock.elapsed + 0.5)
            await anyio.sleep(0.01)


async def see_others_go_on(at, server):
    """Notice a file on the dead disk, and see that one noticed behind it is dealt with."""
    await at.rest()
    server.answering.clear()
    await at.notice("dead.jpg")
    await until(at, lambda: server.asked)
    await at.notice("a.jpg")
    await until(at, lambda: at.state("a.jpg", "elsewhere") == "done")


def parked(at):
    condition = at.condition("rule", RULE)
    return condition is not None and condition[0] == "parked" and condition[1]


async def test_what_reads_from_it_waits_and_the_other_rules_go_on(bench, server):
    server.holds(FileSource, "state", "open", "content")
    at = bench()
    async with at.running(RULES):
        await see_others_go_on(at, server)
        assert "add_file has finished nothing for" in parked(at)
        assert "inbox does not answer; is its disk or server there?" in parked(at)
        assert at.state("dead.jpg", RULE) == "running"
        server.answering.set()
        await until(at, lambda: at.state("dead.jpg", RULE) == "done")
        await until(at, lambda: not parked(at))
        # What is noticed there now is no longer kept waiting.
        await at.notice("dead too.jpg")
        await until(at, lambda: at.state("dead too.jpg", RULE) == "done")
    assert len(at.simulator.files) == 3
    assert at.simulator.requests["/add_files/add_file"] == 3


async def test_what_is_moved_to_it_waits_and_the_other_rules_go_on(bench, server):
    server.holds(Move, "_place")
    at = bench()
    async with at.running(RULES):
        await see_others_go_on(at, server)
        assert "move_source has finished nothing for" in parked(at)
        assert "a disk does not answer, or a large file is on its way" in parked(at)
        server.answering.set()
        await until(at, lambda: at.state("dead.jpg", RULE) == "done")
        await until(at, lambda: not parked(at))
    assert sorted(path.name for path in (at.folder / "moved").iterdir()) == ["a.jpg", "dead.jpg"]


async def test_a_client_that_takes_its_time_is_no_dead_disk(bench, server, monkeypatch):
    send, answers = HydrusClient.add_file, anyio.Event()

    async def slowly(client, path, **options):
        await answers.wait()
        return await send(client, path, **options)

    monkeypatch.setattr(HydrusClient, "add_file", slowly)
    at = bench()
    async with at.running(RULES):
        await at.rest()
        await at.notice("dead.jpg")
        began = at.clock.elapsed
        await until(at, lambda: at.clock.elapsed > began + 2 * lane.STUCK_SECONDS)
        await at.notice("a.jpg")
        await until(at, lambda: at.clock.elapsed > began + 4 * lane.STUCK_SECONDS)
        assert at.state("a.jpg", "elsewhere") == "ready"  # one after the other, as always
        await until(at, lambda: not parked(at))
        answers.set()
        await until(at, lambda: at.state("a.jpg", "elsewhere") == "done")
    assert server.asked == []


async def test_a_lane_can_be_stopped_while_it_waits_and_nothing_is_lost(bench, server):
    server.holds(FileSource, "state", "open", "content")
    at = bench()
    with anyio.fail_after(10):
        async with at.running(RULES):
            await at.rest()
            server.answering.clear()
            await at.notice("dead.jpg")
            await until(at, lambda: parked(at))
    assert not server.answering.is_set()
    assert at.state("dead.jpg", RULE) == "ready"
    server.answering.set()
    async with at.running(RULES):
        await until(at, lambda: at.state("dead.jpg", RULE) == "done")
    assert at.simulator.requests["/add_files/add_file"] == 1


async def test_a_disk_that_goes_while_a_set_is_at_work_is_told_until_it_is_back(bench, monkeypatch):
    """Of what was read before, the rest is sent; the rule waits all the same, and says so."""
    send, hashed, seen = HydrusClient.add_file, add_file._hash, anyio.Event()
    gone = [True]

    async def slowly(client, path, **options):
        await seen.wait()
        return await send(client, path, **options)

    def before(source, stop):
        if gone and source.path.name == "dead.jpg":
            return Outcome.park_rule("the folder is away")
        return hashed(source, stop)

    monkeypatch.setattr(HydrusClient, "add_file", slowly)
    monkeypatch.setattr(add_file, "_hash", before)
    at = bench()
    async with at.running(ONE_RULE):
        await at.rest()
        await at.notice("dead.jpg", "read before.jpg")
        await until(at, lambda: parked(at))
        assert at.state("read before.jpg", RULE) == "running"
        seen.set()
        await until(at, lambda: at.state("read before.jpg", RULE) != "running")
        assert parked(at) == "the folder is away"
        assert at.state("dead.jpg", RULE) == "ready"
        gone.clear()
        await until(at, lambda: at.state("dead.jpg", RULE) == "done")
        await until(at, lambda: not parked(at))
    assert len(at.simulator.files) == 2
