from __future__ import annotations

import contextlib
import errno
import logging
import os
import shutil
import sys
import threading
from collections import Counter

import anyio
import anyio.lowlevel
import pytest
from pydantic import ValidationError
from watchdog.utils import BaseThread

from hydrusd.builtin.triggers import _hints, watch_folder
from hydrusd.builtin.triggers._looking import Looker
from hydrusd.builtin.triggers.watch_folder import WatchFolder
from hydrusd.clock import ManualClock
from hydrusd.plugin import Doubt

pytestmark = pytest.mark.anyio

STEP_SECONDS = 0.25


class RecordingClock(ManualClock):
    """Stands still but for ``Context.until``, and keeps how long anyone wanted to sleep."""

    def __init__(self):
        super().__init__()
        self.asleep = []
        self.ever = []

    async def sleep(self, seconds):
        self.asleep.append(seconds)
        self.ever.append(seconds)
        try:
            await super().sleep(seconds)
        finally:
            self.asleep.remove(seconds)


class Context:
    """What the engine is to a trigger: remembers keys, records what it is told."""

    def __init__(self, known=()):
        self.clock = RecordingClock()
        self.known = set(known)
        self.memory = {}
        self.events = []
        self.told = []
        self.warnings = []
        self.asked = 0
        self.vouched = {}
        self.counts = []

    async def emit(self, events, *, remember=None):
        assert (0 if remember else 1) <= len(events) <= 2_048
        await anyio.lowlevel.checkpoint()
        self.memory |= remember or {}
        self.events += events
        self.known |= {event.key for event in events}

    async def recall(self, name):
        return self.memory.get(name)

    async def unseen(self, keys):
        assert 0 < len(keys) <= watch_folder.BATCH
        self.asked += len(keys)
        await anyio.lowlevel.checkpoint()
        return set(keys) - self.known

    async def doubt(self, digests):
        await anyio.lowlevel.checkpoint()
        groups = {group for group, digest in digests.items() if self.vouched.get(group) != digest}
        return Doubt(frozenset(groups), b"token")

    async def vouch(self, doubt, digests):
        await anyio.lowlevel.checkpoint()
        assert digests.keys() <= doubt.groups
        self.vouched |= digests

    async def forget_gone(self, groups):
        await anyio.lowlevel.checkpoint()
        self.groups = groups

    def waiting(self, reason):
        self.told.append(("waiting", reason))

    def working(self, detail=""):
        self.told.append(("working", detail))

    def counted(self, found, waiting, *, scanning=False):
        self.counts.append((found, waiting, scanning))

    def warn(self, message):
        self.warnings.append(message)

    @property
    def names(self):
        return [event.data["file"]["relative"] for event in self.events]

    async def until(self, condition):
        """Let time pass, slowly enough for disk and threads, until something has happened."""
        with anyio.fail_after(20):
            while not condition():
                await self.clock.advance(STEP_SECONDS)
                await anyio.sleep(0.002)

    async def until_emitted(self, *names):
        await self.until(lambda: set(names) <= set(self.names))

    async def until_working(self):
        await self.until(lambda: self.told and self.told[-1][0] == "working")


@contextlib.asynccontextmanager
async def watching(root, context=None, **parameters):
    """Run the trigger, already through with its first scan."""
    context = context or Context()
    trigger = WatchFolder(path=root, **{"settle": "2s", "scan_every": "10h", **parameters})
    async with anyio.create_task_group() as tasks:
        tasks.start_soon(trigger.run, context)
        await context.until(lambda: context.told)
        yield context
        tasks.cancel_scope.cancel()


async def seen_exactly(context, root, *names):
    """Prove that nothing more is on its way: a file that comes last is noticed last."""
    (root / "zz-last.jpg").write_bytes(b"last")
    await context.until_emitted("zz-last.jpg")
    assert Counter(context.names) == Counter([*names, "zz-last.jpg"])


# --- how a file can come ---------------------------------------------------------------------


async def test_file_that_was_there_before(root):
    (root / "sub").mkdir()
    (root / "sub" / "Old One.JPG").write_bytes(b"12345")
    async with watching(root) as context:
        await context.until_emitted("sub/Old One.JPG")
        event = context.events[0]
        assert event.data["file"]["size"] == 5
        assert event.data["file"]["suffix"] == ".jpg"
        assert event.data["file"]["parent"]["name"] == "sub"
        assert event.data["file"]["root"] == str(root)
        await seen_exactly(context, root, "sub/Old One.JPG")


async def test_file_that_is_written(root):
    async with watching(root) as context:
        (root / "new.jpg").write_bytes(b"new")
        await context.until_emitted("new.jpg")
        await seen_exactly(context, root, "new.jpg")


async def test_file_that_is_written_slowly_is_taken_whole(root):
    async with watching(root) as context:
        with (root / "slow.jpg").open("wb") as file:
            for _ in range(8):
                file.write(b"x" * 1000)
                file.flush()
                for _ in range(6):
                    await context.clock.advance(STEP_SECONDS)
                    await anyio.sleep(0.002)
        await context.until_emitted("slow.jpg")
        assert [event.data["file"]["size"] for event in context.events] == [8000]


async def test_download_that_is_renamed_when_complete(root):
    async with watching(root) as context:
        part = root / "picture.jpg.part"
        part.write_bytes(b"half")
        (root / "meanwhile.jpg").write_bytes(b"x")
        await context.until_emitted("meanwhile.jpg")
        part.rename(root / "picture.jpg")
        await context.until_emitted("picture.jpg")
        await seen_exactly(context, root, "meanwhile.jpg", "picture.jpg")


async def test_file_moved_in_from_outside(root, tmp_path):
    async with watching(root) as context:
        (tmp_path / "outside.jpg").write_bytes(b"outside")
        (tmp_path / "outside.jpg").rename(root / "inside.jpg")
        await context.until_emitted("inside.jpg")
        await seen_exactly(context, root, "inside.jpg")


async def test_folder_moved_in_from_outside(root, tmp_path):
    album = tmp_path / "album"
    (album / "deep" / "deeper").mkdir(parents=True)
    (album / "a.jpg").write_bytes(b"a")
    (album / "deep" / "deeper" / "b.jpg").write_bytes(b"b")
    async with watching(root) as context:
        album.rename(root / "album")
        await context.until_emitted("album/a.jpg", "album/deep/deeper/b.jpg")
        (root / "album" / "deep" / "later.jpg").write_bytes(b"later")
        await context.until_emitted("album/deep/later.jpg")
        await seen_exactly(
            context, root, "album/a.jpg", "album/deep/deeper/b.jpg", "album/deep/later.jpg"
        )


async def test_hard_link(root, tmp_path):
    (tmp_path / "original.jpg").write_bytes(b"original")
    async with watching(root) as context:
        (root / "linked.jpg").hardlink_to(tmp_path / "original.jpg")
        await context.until_emitted("linked.jpg")
        await seen_exactly(context, root, "linked.jpg")


async def test_burst_of_files_in_new_folders(root):
    names = [f"folder {f}/{n:03}.jpg" for f in range(20) for n in range(100)]

    def burst():
        for f in range(20):
            (root / f"folder {f}").mkdir()
            for n in range(100):
                (root / f"folder {f}" / f"{n:03}.jpg").write_bytes(b"x")

    async with watching(root) as context:
        await anyio.to_thread.run_sync(burst)
        await context.until(lambda: len(set(context.names)) == len(names))
        await seen_exactly(context, root, *names)


async def test_folder_that_is_a_link_itself(root, tmp_path):
    link = tmp_path / "link"
    link.symlink_to(root, target_is_directory=True)
    async with watching(link) as context:
        (root / "through.jpg").write_bytes(b"x")
        await context.until_emitted("through.jpg")
        assert context.events[0].data["file"]["path"] == str(link / "through.jpg")


async def test_name_that_is_no_utf8(root):
    # Only Linux has such names; elsewhere the system makes sure that all are Unicode.
    name = os.fsdecode(b"caf\xe9.jpg") if sys.platform == "linux" else "café.jpg"
    async with watching(root) as context:
        (root / name).write_bytes(b"x")
        await context.until_emitted(name)
        event = context.events[0]
        event.key.encode()
        assert event.data["file"]["path"] == str(root / name)


# --- what becomes of it before it is stable --------------------------------------------------


async def test_file_rewritten_in_place_before_it_is_stable(root):
    async with watching(root) as context:
        (root / "a.jpg").write_bytes(b"first")
        for _ in range(6):
            await context.clock.advance(STEP_SECONDS)
            await anyio.sleep(0.01)
        (root / "a.jpg").write_bytes(b"second")
        await context.until_emitted("a.jpg")
        assert [event.data["file"]["size"] for event in context.events] == [6]
        await seen_exactly(context, root, "a.jpg")


async def test_file_deleted_before_it_is_stable(root):
    async with watching(root) as context:
        (root / "gone.jpg").write_bytes(b"x")
        await context.clock.advance(1)
        await anyio.sleep(0.01)
        (root / "gone.jpg").unlink()
        await seen_exactly(context, root)


async def test_changed_file_is_another_event(root):
    async with watching(root) as context:
        (root / "a.jpg").write_bytes(b"first")
        await context.until_emitted("a.jpg")
        (root / "a.jpg").write_bytes(b"second!")
        await context.until(lambda: len(context.events) == 2)
        assert [event.data["file"]["size"] for event in context.events] == [5, 7]


async def test_modification_time_in_the_future_does_not_hold_a_file_back(root):
    (root / "a.jpg").write_bytes(b"x")
    os.utime(root / "a.jpg", (4e9, 4e9))
    async with watching(root) as context:
        await context.until_emitted("a.jpg")


async def test_empty_file_waits_for_longer(root):
    (root / "empty.jpg").touch()
    (root / "full.jpg").write_bytes(b"x")
    async with watching(root) as context:
        await context.until_emitted("full.jpg")
        assert context.names == ["full.jpg"]
        await context.until_emitted("empty.jpg")
        assert context.clock.monotonic() >= 10


# --- what is passed over ---------------------------------------------------------------------


async def test_only_what_is_wanted_whether_scanned_or_hinted_at(root, tmp_path):
    def fill(where):
        for name in ("a.jpg", "B.JPG", "c.png", ".hidden.jpg", "~$d.jpg", "skip/e.jpg"):
            (where / name).parent.mkdir(parents=True, exist_ok=True)
            (where / name).write_bytes(b"x")
        (where / ".git").mkdir()
        (where / ".git" / "f.jpg").write_bytes(b"x")
        (where / "link.jpg").symlink_to(where / "a.jpg")
        (where / "linked").symlink_to(tmp_path / "elsewhere", target_is_directory=True)

    (tmp_path / "elsewhere").mkdir()
    (tmp_path / "elsewhere" / "g.jpg").write_bytes(b"x")
    (root / "before").mkdir()
    (root / "hinted").mkdir()
    fill(root / "before")
    async with watching(root, include=["*.jpg"], exclude=["skip"]) as context:
        fill(root / "hinted")
        wanted = ["before/a.jpg", "before/B.JPG", "hinted/a.jpg", "hinted/B.JPG"]
        await context.until_emitted(*wanted)
        await seen_exactly(context, root, *wanted)


async def test_hidden_files_when_asked_for(root):
    (root / ".stash").mkdir()
    (root / ".stash" / ".a.jpg").write_bytes(b"x")
    async with watching(root, hidden=True) as context:
        await context.until_emitted(".stash/.a.jpg")


async def test_folders_below_are_left_alone_when_not_recursive(root):
    (root / "sub").mkdir()
    (root / "sub" / "a.jpg").write_bytes(b"x")
    async with watching(root, recursive=False) as context:
        (root / "sub" / "b.jpg").write_bytes(b"x")
        (root / "c.jpg").write_bytes(b"x")
        await context.until_emitted("c.jpg")
        await seen_exactly(context, root, "c.jpg")


@pytest.mark.parametrize("pattern", ["", "/", "a\\b", "../a.jpg", "[z-a]"])
def test_pattern_that_cannot_work_is_refused(root, pattern):
    with pytest.raises(ValidationError):
        WatchFolder(path=root, include=[pattern])


def test_parameters_that_would_watch_nothing_or_take_unstable_files_are_refused(root):
    for wrong in ({"include": []}, {"settle": "0s"}, {"scan_every": "10ms"}, {"pth": "x"}):
        with pytest.raises(ValidationError):
            WatchFolder(path=root, **wrong)


# --- what costs, and what does not -----------------------------------------------------------


async def test_restart_over_known_files_looks_at_none_twice(root, monkeypatch):
    for n in range(30):
        (root / f"{n}.jpg").write_bytes(b"x")
    async with watching(root) as first:
        await first.until(lambda: len(first.events) == 30)
    looked = []
    look_at = Looker.look_at
    monkeypatch.setattr(
        Looker, "look_at", lambda self, names: look_at(self, (looked.extend(names), names)[1])
    )
    async with watching(root, Context(first.known)) as second:
        await second.until_working()
        assert (second.asked, looked) == (30, [])
        await seen_exactly(second, root)
        assert looked == ["zz-last.jpg"] * len(looked)


async def test_idle_folder_wakes_nobody_but_for_the_scan(root):
    async with watching(root) as context:
        await seen_exactly(context, root)
        slept, scans, asked = len(context.clock.ever), len(context.told), context.asked
        for _ in range(60):
            await context.clock.advance(60)
            await anyio.sleep(0.002)
        # Once a minute it is seen whether the folder is still that folder; no file is looked at.
        assert len(context.clock.ever) - slept <= 60
        assert (len(context.told), context.asked) == (scans, asked)
        assert len(context.clock.asleep) <= 1


async def test_more_files_than_may_settle_at_once(root, monkeypatch):
    monkeypatch.setattr(watch_folder, "MOST_SETTLING", 5)
    monkeypatch.setattr(watch_folder, "BATCH", 4)
    for n in range(50):
        (root / f"{n}.jpg").write_bytes(b"x")
    context = Context()
    async with anyio.create_task_group() as tasks:
        tasks.start_soon(WatchFolder(path=root, settle="2s").run, context)
        await context.until(lambda: len(context.events) == 50)
        tasks.cancel_scope.cancel()
    assert len(set(context.names)) == 50
    assert max(waiting for _, waiting, _ in context.counts) <= 5 + 4  # and one batch beyond


async def test_stopping_leaves_no_thread_behind(root):
    def watchers():
        return [t for t in threading.enumerate() if isinstance(t, BaseThread)]

    async with watching(root):
        assert watchers()
    assert not watchers()
    assert not [h for h in logging.getLogger("watchdog").handlers if "hydrusd" in str(type(h))]


# --- what can go wrong -----------------------------------------------------------------------


async def test_folder_that_appears_later_goes_and_comes_again(tmp_path):
    root = tmp_path / "inbox"
    async with watching(root) as context:
        assert context.told == [("waiting", f"{root} does not exist; create it or correct `path`")]
        root.mkdir()
        (root / "a.jpg").write_bytes(b"x")
        await context.until_emitted("a.jpg")
        assert context.told[-1][0] == "working"
        shutil.rmtree(root)
        await context.until(lambda: context.told[-1][0] == "waiting")
        root.mkdir()
        await context.until_working()
        (root / "b.jpg").write_bytes(b"x")
        await context.until_emitted("b.jpg")
        assert [state for state, _ in context.told].count("waiting") == 2


async def test_path_that_is_a_file(tmp_path):
    (tmp_path / "file").write_bytes(b"x")
    async with watching(tmp_path / "file") as context:
        assert context.told == [("waiting", f"{tmp_path / 'file'} is not a folder; correct `path`")]


async def test_folder_replaced_by_another_is_found_by_the_next_scan(root, tmp_path):
    async with watching(root, scan_every="5s") as context:
        root.rename(tmp_path / "old inbox")
        root.mkdir()
        (root / "a.jpg").write_bytes(b"x")
        await context.until_emitted("a.jpg")
        (root / "b.jpg").write_bytes(b"x")
        await context.until_emitted("b.jpg")
        (tmp_path / "old inbox" / "c.jpg").write_bytes(b"x")
        await seen_exactly(context, root, "a.jpg", "b.jpg")


async def test_unreadable_folder_is_named_once_and_the_rest_goes_on(root, monkeypatch):
    (root / "locked").mkdir()
    (root / "open").mkdir()
    (root / "open" / "a.jpg").write_bytes(b"x")
    scandir = os.scandir

    def refusing(path):
        if os.fsdecode(path) == str(root / "locked"):
            raise PermissionError(errno.EACCES, "Permission denied", str(path))
        return scandir(path)

    monkeypatch.setattr(os, "scandir", refusing)
    async with watching(root, scan_every="5s") as context:
        await context.until_emitted("open/a.jpg")
        await context.until(lambda: len(context.told) > 1)
        assert context.warnings == [
            f"{root / 'locked'} cannot be read; what is there is not noticed"
        ]


async def test_scan_finds_what_no_hint_told_and_then_looks_more_often(root, monkeypatch):
    monkeypatch.setattr(_hints, "_KINDS", [_hints.events.DirDeletedEvent])
    async with watching(root, scan_every="60s", method="native") as context:
        (root / "a.jpg").write_bytes(b"x")
        await context.until_emitted("a.jpg")
        scans = len(context.told)
        await context.until(lambda: len(context.told) > scans + 1)
        assert 30 in context.clock.ever


async def test_lost_hints_lead_to_a_scan_at_once(root, monkeypatch):
    monkeypatch.setattr(_hints, "_KINDS", [_hints.events.DirDeletedEvent])
    async with watching(root, method="native") as context:
        (root / "a.jpg").write_bytes(b"x")
        logging.getLogger("watchdog.observers.inotify_c").warning("the queue overflowed")
        await context.until_emitted("a.jpg")


async def test_more_hints_than_may_wait_lead_to_a_scan(root, monkeypatch):
    monkeypatch.setattr(_hints, "MOST_WAITING", 3)
    names = [f"{n}.jpg" for n in range(100)]
    async with watching(root) as context:
        for name in names:  # the loop does not get its turn in between
            (root / name).write_bytes(b"x")
        await context.until_emitted(*names)
        await seen_exactly(context, root, *names)


async def test_engine_failing_ends_the_trigger_cleanly(root):
    class Failing(Context):
        async def emit(self, events, *, remember=None):
            if events:
                raise RuntimeError("the disk is full")

    (root / "a.jpg").write_bytes(b"x")

    async def watch():
        async with watching(root, Failing()) as context:
            await context.until(lambda: False)

    with pytest.raises(ExceptionGroup) as caught:
        await watch()
    assert caught.group_contains(RuntimeError, match="the disk is full")
    assert not [t for t in threading.enumerate() if isinstance(t, BaseThread)]
