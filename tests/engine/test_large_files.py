"""What takes long by itself holds up nothing behind it, and is done all the same."""

from __future__ import annotations

import hashlib
import os

import anyio
import pytest
from bench import IMPORT_ONLY

from hydrusd.builtin.actions import add_file
from hydrusd.errors import HydrusUnavailable
from hydrusd.hydrus import HydrusClient
from hydrusd.plugin import FileSource, Outcome
from hydrusd.testing import paint

pytestmark = pytest.mark.anyio

RULE = """
  - name: import
    on: {watch_folder: {path: inbox}}
    do:
      - add_file:
      - move_source: {to: moved}
"""
LARGE_BYTES = 50_000
FLUSH_SECONDS = 1.0


@pytest.fixture
def at(bench, monkeypatch):
    """A bench on which fifty thousand bytes are a large file."""
    monkeypatch.setattr(add_file, "LARGE", LARGE_BYTES)
    return bench()


@pytest.fixture
def uploads(monkeypatch):
    """The names of uploads in the order in which they ended; large ones wait for ``released``."""
    uploads = Uploads()
    send = HydrusClient.add_file

    async def wait_and_send(client, path, **more):
        if path.stat().st_size >= LARGE_BYTES:
            uploads.begun.append(path.name)
            await uploads.released.wait()
            if uploads.failure is not None:
                raise uploads.failure
        result = await send(client, path, **more)
        uploads.ended.append(path.name)
        return result

    monkeypatch.setattr(HydrusClient, "add_file", wait_and_send)
    return uploads


class Uploads:
    def __init__(self):
        self.begun = []
        self.ended = []
        self.released = anyio.Event()
        self.failure = None


def large(name):
    """A picture that is followed by what makes it large; each another one."""
    return paint(name) + name.encode() + bytes(LARGE_BYTES)


async def lane_goes_on(at, *done):
    """Let time pass until the lane rests beside the large file, and these are done."""
    with anyio.fail_after(20):
        while not (at.clock.lane_rests and all(at.state(name) == "done" for name in done)):
            at.clock.move(at.clock.elapsed + FLUSH_SECONDS)
            await anyio.sleep(0.01)


async def test_what_comes_with_a_large_file_and_behind_it_does_not_wait(at, uploads):
    async with at.running(RULE):
        at.picture("film.png", large("film.png"))
        for name in ("a.png", "b.png"):
            at.picture(name)
        await at.notice_there("film.png", "a.png", "b.png")
        await at.wait(lambda: len(uploads.ended) == 2 and uploads.begun)
        await lane_goes_on(at, "a.png", "b.png")
        assert at.is_moved("a.png")
        await at.notice(*[f"{n}.png" for n in range(300)])
        await lane_goes_on(at, "299.png")
        assert at.state("film.png") == "running"
        assert at.is_there("film.png")
        uploads.released.set()
        await lane_goes_on(at, "film.png")
    assert at.is_moved("film.png")
    assert at.hash_of("film.png") == hashlib.sha256(large("film.png")).hexdigest()
    assert len(uploads.ended) == len(set(uploads.ended)) == 303


async def test_a_second_set_of_large_files_waits_for_the_first(at, uploads):
    async with at.running(IMPORT_ONLY):
        at.picture("first.png", large("first.png"))
        await at.notice_there("first.png")
        await at.wait(lambda: uploads.begun)
        await lane_goes_on(at)
        at.picture("second.png", large("second.png"))
        await at.notice_there("second.png")
        await at.wait(lambda: len(uploads.begun) == 2)
        for _ in range(3):
            at.clock.move(at.clock.elapsed + FLUSH_SECONDS)
            await anyio.sleep(0.01)
        assert {at.state(name) for name in ("first.png", "second.png")} == {"running"}
        uploads.released.set()
        await at.wait(lambda: len(uploads.ended) == 2)
        await at.rest()
    assert {job.state.value for job in at.jobs} == {"done"}


async def test_stopped_beside_a_large_file_it_is_put_back_at_no_cost(at, uploads):
    async with at.running(IMPORT_ONLY):
        at.picture("film.png", large("film.png"))
        await at.notice_there("film.png")
        await at.wait(lambda: uploads.begun)
        await lane_goes_on(at)
        await at.notice("a.png")
        await lane_goes_on(at, "a.png")
    assert at.state("film.png") == "ready"
    assert at.attempts("film.png") == 0
    uploads.released.set()
    async with at.running(IMPORT_ONLY):
        await at.rest()
    assert at.state("film.png") == "done"
    assert uploads.ended == ["a.png", "film.png"]


async def test_a_client_that_goes_away_meanwhile_costs_the_large_file_no_attempt(at, uploads):
    async with at.running(IMPORT_ONLY):
        at.picture("film.png", large("film.png"))
        await at.notice_there("film.png")
        await at.wait(lambda: uploads.begun)
        await lane_goes_on(at)
        uploads.failure = HydrusUnavailable("cannot connect", outcome_unknown=False)
        uploads.released.set()
        await at.wait(lambda: at.condition("client", "hydrus")[0] == "waiting")
        await at.rest()
        assert at.attempts("film.png") == 0
        uploads.failure = None
        await lane_goes_on(at, "film.png")
    assert uploads.ended == ["film.png"]


async def test_large_files_are_recognised_without_being_sent(at, uploads):
    uploads.released.set()
    async with at.running(IMPORT_ONLY):
        for name in ("one.png", "two.png"):
            at.picture(name, large("same.png"))
            await at.notice_there(name)
            await at.rest()
    assert uploads.ended == ["one.png"]
    assert at.values("two.png", "add_file")["status"] == "already in Hydrus"


async def test_files_of_any_size_are_hashed_whole_and_in_their_order(tmp_path):
    contents = [os.urandom(n) for n in (0, 1, 2**20 - 1, 2**20, 2**20 + 1, 3_000_000)] * 9
    sources = []
    for number, content in enumerate(contents):
        path = tmp_path / str(number)
        path.write_bytes(content)
        sources.append(FileSource.of(path, tmp_path, path.stat()))
    expected = [hashlib.sha256(content).hexdigest() for content in contents]
    assert await add_file.hash_sources(sources) == expected


@pytest.mark.parametrize("now", [b"", b"short", b"exactly as long", b"longer than it was before"])
async def test_a_file_that_is_another_one_has_no_hash(tmp_path, now):
    path = tmp_path / "a"
    path.write_bytes(b"exactly as long")
    source = FileSource.of(path, tmp_path, path.stat())
    path.write_bytes(now)
    os.utime(path, ns=(source.mtime_ns + 1000, source.mtime_ns + 1000))
    [found] = await add_file.hash_sources([source])
    assert isinstance(found, Outcome)
    assert found.frees_event
