"""A disk that fills up while files are moved or written to it: what finds no room waits for it."""

from __future__ import annotations

import contextlib
import errno
import os
import sys
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).parents[1] / "builtin"))

from mounting import CAN_MOUNT, mounted

from hydrusd.builtin.actions import _placing
from hydrusd.engine import retrying

pytestmark = pytest.mark.anyio

RULE = """
  - name: import
    on: {{watch_folder: {{path: inbox}}}}
    do:
      - add_file:
      - {step}
"""
STEPS = {
    "move_source": "move_source: {to: moved}",
    "copy_source": "copy_source: {to: moved}",
    "export_file": "export_file: {to: moved}",
    "write_sidecar": "write_sidecar: {to: moved, format: json}",
}
SIZE_BYTES = 256 * 1024
HOURS = 1.01 * retrying.NO_ROOM_SECONDS / 3600


def no_room(*_):
    raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))


@pytest.fixture
def disk(tmp_path, monkeypatch):
    """A small disk, on which ``moved`` is; ``fill`` leaves no room on it, ``empty`` makes some."""
    disk = SmallDisk(tmp_path / "moved", monkeypatch)
    with disk.mounted:
        yield disk


class SmallDisk:
    def __init__(self, folder, monkeypatch):
        self.folder = folder
        self.mounted = contextlib.ExitStack()
        self._monkeypatch = monkeypatch
        folder.mkdir()
        if CAN_MOUNT:
            options = ("-t", "tmpfs", "-o", f"size={SIZE_BYTES}", "none")
            self.mounted.enter_context(mounted(*options, at=folder))

    def fill(self):
        if CAN_MOUNT:
            with contextlib.suppress(OSError), (self.folder / ".filler").open("wb") as file:
                file.write(bytes(2 * SIZE_BYTES))
            return
        # As it would be if the folder were on another disk, and that full.
        self._monkeypatch.setattr(os, "fsync", no_room)
        self._monkeypatch.setattr(_placing, "_claim", other_disk(_placing._claim))

    def empty(self):
        if CAN_MOUNT:
            (self.folder / ".filler").unlink()
        else:
            self._monkeypatch.undo()

    @property
    def names(self):
        return sorted(path.name for path in self.folder.iterdir() if path.name != ".filler")


def other_disk(claim):
    def claiming(origin, target):
        if origin.parent.name == "inbox":
            raise OSError(errno.EXDEV, os.strerror(errno.EXDEV))
        claim(origin, target)

    return claiming


@pytest.mark.parametrize("name", STEPS)
async def test_what_finds_a_disk_full_waits_for_room_and_is_never_given_up(bench, disk, name):
    at, rule = bench(), RULE.format(step=STEPS[name])
    disk.fill()
    async with at.running(rule):
        await at.notice("a.jpg", "b.jpg")
        for _ in range(10):  # an error of the ordinary kind would have been given up by now
            await at.skip(HOURS)
        assert [at.state(name) for name in ("a.jpg", "b.jpg")] == ["ready", "ready"]
        assert disk.names == []
        assert {path.name for path in (at.folder / "inbox").iterdir()} == {"a.jpg", "b.jpg"}
        state, reason = at.condition("rule", "import")
        assert state == "working"
        assert f"what comes to {name} waits, the rest goes on" in reason
        assert "No space left on device" in reason
        outcome, detail = at.steps("a.jpg")[name]
        assert outcome == "later"
        assert detail.endswith("No space left on device; it waits for room")
        # New ones are imported all the same.
        await at.notice("c.jpg")
        await at.rest()
        assert len(at.simulator.files) == 3
        disk.empty()
        await at.skip(HOURS)
        assert [at.state(name) for name in ("a.jpg", "b.jpg", "c.jpg")] == ["done"] * 3
        assert at.condition("rule", "import") == ("working", "")
        assert len(disk.names) == 3
        # Should it fill up once more, that is told once more.
        disk.fill()
        await at.notice("d.jpg")
        await at.rest()
        assert "waits, the rest goes on" in at.condition("rule", "import")[1]
    assert at.simulator.requests["/add_files/add_file"] == 4


if CAN_MOUNT:

    async def test_a_file_that_cannot_fit_is_not_begun_and_keeps_up_no_smaller_one(
        bench, disk, monkeypatch
    ):
        begun = []
        opened = _placing.Move._opened

        def opening(move):
            begun.append(move.source.path.name)
            return opened(move)

        monkeypatch.setattr(_placing.Move, "_opened", opening)
        at = bench()
        async with at.running(RULE.format(step=STEPS["move_source"])):
            large = at.picture("large.jpg").read_bytes() + bytes(2 * SIZE_BYTES)
            await at.notice("large.jpg", content=large)
            await at.notice("a.jpg")
            await at.skip(HOURS)
            assert at.state("a.jpg") == "done"
            assert at.state("large.jpg") == "ready"
        assert begun == ["a.jpg"]
        assert disk.names == ["a.jpg"]
        assert (at.folder / "inbox" / "large.jpg").read_bytes() == large
