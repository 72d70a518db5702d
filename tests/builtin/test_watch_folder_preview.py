"""Looking through a folder for a plan: a slow one is waited for, a silent one is given up."""

from __future__ import annotations

import os
import threading
import time

import anyio
import pytest
from mounting import CAN_MOUNT, FuseServer
from watched import Context, Listing

from hydrusd.builtin.triggers import _asking
from hydrusd.builtin.triggers.watch_folder import WatchFolder

pytestmark = pytest.mark.anyio

SILENT_SECONDS = 0.8


@pytest.fixture
def root(tmp_path, monkeypatch):
    monkeypatch.setattr(_asking, "SILENT_SECONDS", SILENT_SECONDS)
    root = tmp_path / "inbox"
    (root / "below").mkdir(parents=True)
    return root


def give_slowly(monkeypatch, wait):
    """Have each entry of a folder given only after ``wait`` has returned."""
    scandir = os.scandir

    def give(entries):
        entry = next(entries)
        wait(entry)
        return entry

    monkeypatch.setattr(os, "scandir", lambda path: Listing(scandir(path), give))


async def previewed(root):
    with anyio.fail_after(30):
        return await WatchFolder(path=root).preview(Context())


async def test_a_slow_folder_may_take_much_longer_than_one_answer(root, monkeypatch):
    for n in range(30):
        (root / "below" / f"{n}.jpg").write_bytes(b"x")
    give_slowly(monkeypatch, lambda entry: time.sleep(0.05))
    began = time.monotonic()
    prospect = await previewed(root)
    assert time.monotonic() - began > SILENT_SECONDS  # or it would show nothing
    assert len(prospect.events) == 30
    assert prospect.detail == "30 files there"


@pytest.mark.parametrize("name", ["a.jpg", "below"])
async def test_a_folder_that_falls_silent_in_the_middle_is_given_up(root, monkeypatch, name):
    (root / "a.jpg").write_bytes(b"x")
    answering = threading.Event()
    give_slowly(monkeypatch, lambda entry: entry.name != name or answering.wait(30))
    try:
        prospect = await previewed(root)
    finally:
        answering.set()
    assert not prospect.events
    assert prospect.detail == f"{root} does not answer; is its disk or server there?"


if CAN_MOUNT:

    async def test_a_server_that_has_gone_is_given_up(root):
        server = FuseServer(root)
        try:
            server.files["a.jpg"] = b"a"
            server.answering.clear()
            prospect = await previewed(root)
            assert prospect.detail == f"{root} does not answer; is its disk or server there?"
            # What still waits for the server was left behind.
            assert not server.answering.is_set()
            server.answering.set()
            assert [e.data["file"]["size"] for e in (await previewed(root)).events] == [1]
        finally:
            server.close()
