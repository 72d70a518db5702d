"""How a folder is watched, and how it is found out how it has to be."""

from __future__ import annotations

import contextlib
import ctypes
import errno
import logging
import os
import subprocess
import sys
import textwrap
import threading
from datetime import timedelta

import anyio
import pytest
from mounting import CAN_MOUNT, FuseServer, mounted
from noticing import RecordingClock
from pydantic import ValidationError
from watchdog.utils import BaseThread
from watched import Context, how, names_in, until_noticed, watching

from hydrusd.builtin.triggers import _hints, watch_folder
from hydrusd.builtin.triggers._globs import Selection
from hydrusd.builtin.triggers._hints import PROBE, Listener
from hydrusd.builtin.triggers._looking import Looker
from hydrusd.builtin.triggers._methods import doubt_about, inodes_last, spoken
from hydrusd.builtin.triggers.watch_folder import WatchFolder
from hydrusd.plugin import FileSource, Mount, SourceState

if sys.platform == "linux":
    from watchdog.observers.inotify_move_event_grouper import PathedInotifyEvent

pytestmark = pytest.mark.anyio


@pytest.fixture
def on(monkeypatch):
    """Have the system say that the folder is on some file system."""

    def say(mount):
        monkeypatch.setattr(watch_folder, "mount_of", lambda _: mount)

    return say


def listeners():
    return [t for t in threading.enumerate() if isinstance(t, BaseThread)]


async def scan_pause(context):
    """Give how long it waits between two scans when nothing happens."""
    scans = len(context.told)
    await context.until(lambda: len(context.told) > scans)
    began, scans = context.clock.monotonic(), len(context.told)
    await context.until(lambda: len(context.told) > scans)
    return context.clock.monotonic() - began


# --- by the file system ----------------------------------------------------------------------


@pytest.mark.parametrize(
    "kind",
    ["ext4", "xfs", "btrfs", "zfs", "tmpfs", "overlay", "vfat", "exfat", "ntfs3", "fuseblk",
     "fuse.mergerfs", "fuse.gocryptfs", "apfs", "hfs", "ecryptfs", ""],
)  # fmt: skip
def test_file_systems_of_this_machine_tell_of_all(kind):
    assert doubt_about(Mount("/x", kind, "/dev/sda1")) == ""


@pytest.mark.parametrize(
    "kind",
    ["nfs", "nfs4", "cifs", "smb3", "SMBFS", "9p", "vboxsf", "virtiofs", "fuse.sshfs",
     "fuse.rclone", "fuse.never-heard-of", "fuse", "ceph", "autofs"],
)  # fmt: skip
def test_file_systems_that_others_write_to_do_not(kind):
    assert kind in doubt_about(Mount("/x", kind, "nas:/x"))


@pytest.mark.parametrize(
    ("kind", "last"),
    [("ext4", True), ("btrfs", True), ("tmpfs", True), ("overlay", True), ("nfs4", True),
     ("ntfs3", True), ("apfs", True), ("", True), ("vfat", False), ("exfat", False),
     ("fuseblk", False), ("fuse.sshfs", False), ("fuse.mergerfs", False), ("cifs", False)],
)  # fmt: skip
def test_file_systems_whose_files_keep_their_numbers(kind, last):
    assert inodes_last(Mount("/x", kind, "/dev/sda1")) is last


def test_what_the_system_says_of_a_drive_counts():
    assert doubt_about(Mount("Z:\\", "network drive", local=False))
    assert not doubt_about(Mount("C:\\", local=True))


@pytest.mark.parametrize(
    ("seconds", "words"), [(30, "30 seconds"), (300, "5 minutes"), (90.5, "90.5 seconds")]
)
def test_times_are_told_as_people_say_them(seconds, words):
    assert spoken(seconds) == words


async def test_network_share_is_scanned(root, on):
    on(Mount(str(root), "nfs4", "nas:/pictures"))
    async with watching(root) as context:
        assert listeners() == []
        assert "a scan every 30 seconds" in how(context)
        assert "nfs4, nas:/pictures" in how(context)
        (root / "a.jpg").write_bytes(b"a")
        await until_noticed(context, "a.jpg")
        assert 25 < await scan_pause(context) < 35
        assert context.warnings == []


async def test_network_share_is_scanned_as_often_as_its_owner_wants(root, on):
    on(Mount(str(root), "nfs4", "nas:/pictures"))
    async with watching(root, scan_every="2m") as context:
        assert "a scan every 2 minutes" in how(context)
        assert 115 < await scan_pause(context) < 125


async def test_native_listens_to_a_network_share_too(root, on):
    on(Mount(str(root), "cifs", "//nas/pictures"))
    async with watching(root, method="native") as context:
        assert listeners()
        assert "by the system's hints, and by a scan every 30 seconds" in how(context)
        assert "//nas/pictures" in how(context)
        (root / "a.jpg").write_bytes(b"a")
        await until_noticed(context, "a.jpg")


async def test_poll_listens_to_nothing(root):
    async with watching(root, method="poll") as context:
        assert listeners() == []
        assert how(context).endswith("by a scan every 30 seconds: as `method: poll` says")
        (root / "a.jpg").write_bytes(b"a")
        (root / "album").mkdir()
        (root / "album" / "b.jpg").write_bytes(b"b")
        await until_noticed(context, "a.jpg", "album/b.jpg")


def test_there_is_no_other_method(root):
    with pytest.raises(ValidationError):
        WatchFolder(path=root, method="inotify")


async def test_file_system_that_cannot_be_told_is_scanned_and_asked_again(root, monkeypatch):
    def refusing(folder):
        raise OSError(errno.EIO, "Input/output error", str(folder))

    mount_of = watch_folder.mount_of
    monkeypatch.setattr(watch_folder, "mount_of", refusing)
    async with watching(root) as context:
        assert "cannot be told (Input/output error)" in how(context)
        monkeypatch.setattr(watch_folder, "mount_of", mount_of)
        await context.until(lambda: "by the system's hints" in how(context))


# --- by a test -------------------------------------------------------------------------------


async def test_local_folder_is_listened_to_when_the_test_was_heard(root):
    async with watching(root) as context:
        assert "by the system's hints, and by a scan every" in how(context)
        assert "a test showed that hints come" in how(context)
        assert not any(root.iterdir())
        (root / "a.jpg").write_bytes(b"a")
        await until_noticed(context, "a.jpg")
        assert names_in(context) == ["a.jpg"]


async def test_system_that_never_tells_is_found_out(root, monkeypatch):
    kinds = _hints._KINDS
    monkeypatch.setattr(_hints, "_KINDS", [_hints.events.FileOpenedEvent])
    monkeypatch.setattr(_hints, "PROBE_SECONDS", 0.05)
    monkeypatch.setattr(watch_folder, "TEST_AGAIN_SECONDS", 120)
    monkeypatch.setattr(_hints._Handler, "dispatch", lambda self, event: None)
    async with watching(root) as context:
        assert listeners() == []
        assert not any(root.iterdir())
        assert len(context.warnings) == 1
        assert "the system did not tell of a change" in context.warnings[0]
        assert "by a scan every 30 seconds" in how(context)
        (root / "a.jpg").write_bytes(b"a")
        await until_noticed(context, "a.jpg")
        monkeypatch.undo()
        assert _hints._KINDS is kinds
        await context.until(lambda: "by the system's hints" in how(context))
        assert len(context.warnings) == 1


async def test_test_that_was_killed_in_the_middle_leaves_nothing(root):
    (root / PROBE).mkdir()
    async with watching(root, hidden=True) as context:
        assert "a test showed" in how(context)
        assert not any(root.iterdir())


def test_no_rule_notices_the_test():
    selection = Selection(["*"], [], hidden=True)
    assert not selection.takes(PROBE)
    assert not selection.enters(PROBE)


async def test_folder_where_nothing_can_be_written_is_listened_to_untested(root):
    (root / PROBE).write_bytes(b"somebody's file")  # nothing can be made in its place
    async with watching(root) as context:
        assert "nothing can be written to test it" in how(context)
        assert listeners()
    assert (root / PROBE).read_bytes() == b"somebody's file"


async def test_test_never_removes_what_is_not_its_own(root):
    (root / PROBE).mkdir()
    (root / PROBE / "precious.jpg").write_bytes(b"precious")
    async with watching(root):
        pass
    assert (root / PROBE / "precious.jpg").read_bytes() == b"precious"


async def test_several_rules_test_the_same_folder_at_once(root):
    async with contextlib.AsyncExitStack() as stack:
        contexts = [
            await stack.enter_async_context(watching(root, include=[pattern]))
            for pattern in ("*.jpg", "*.png", "*")
        ]
        assert all("by the system's hints" in how(context) for context in contexts)
        (root / "a.jpg").write_bytes(b"a")
        await until_noticed(contexts[0], "a.jpg")
        await until_noticed(contexts[2], "a.jpg")
        assert contexts[1].events == []
    assert [path.name for path in root.iterdir()] == ["a.jpg"]


# --- by the limits of the system -------------------------------------------------------------


class Limit:
    """The kernel's answer when it has no more to give: real, but for the count."""

    def __init__(self, monkeypatch, left, number=errno.ENOSPC):
        from watchdog.observers import inotify_c

        self.left = left
        add = inotify_c.inotify_add_watch

        def adding(descriptor, path, mask):
            if self.left <= 0:
                ctypes.set_errno(number)
                return -1
            self.left -= 1
            return add(descriptor, path, mask)

        monkeypatch.setattr(inotify_c, "inotify_add_watch", adding)


if sys.platform == "linux":

    async def test_what_does_not_fit_is_scanned_and_the_knob_is_named(root, monkeypatch):
        for name in ("one", "two", "three"):
            (root / name).mkdir()
        monkeypatch.setattr(watch_folder, "TEST_AGAIN_SECONDS", 120)
        limit = Limit(monkeypatch, 2)
        async with watching(root) as context:
            assert listeners()
            assert "by the system's hints, and by a scan every 30 seconds" in how(context)
            assert "sysctl fs.inotify.max_user_watches=" in how(context)
            assert len(context.warnings) == 1
            assert "sysctl fs.inotify.max_user_watches=" in context.warnings[0]
            for name in ("one", "two", "three"):
                (root / name / "a.jpg").write_bytes(b"a")
            (root / "b.jpg").write_bytes(b"b")
            await until_noticed(context, "b.jpg", "one/a.jpg", "two/a.jpg", "three/a.jpg")
            limit.left = 10_000
            await context.until(lambda: "a test showed" in how(context))

    @pytest.mark.parametrize(
        ("number", "knob"),
        [(errno.ENOSPC, "max_user_watches"), (errno.EMFILE, "max_user_instances")],
    )
    async def test_nothing_left_is_told_once_and_scans_go_on(root, monkeypatch, number, knob):
        limit = Limit(monkeypatch, 0, number)
        async with watching(root) as context:
            assert listeners() == []
            (root / "a.jpg").write_bytes(b"a")
            await until_noticed(context, "a.jpg")
            await context.until(lambda: len(context.told) > 3)
            assert len(context.warnings) == 1
            assert knob in context.warnings[0]
            limit.left = 10_000
            await context.until(lambda: "by the system's hints" in how(context))

    def test_limit_of_the_real_kernel(tmp_path):
        """In a user namespace of its own, where a limit can be set that binds nobody else."""
        program = """
            import anyio, sys
            from pathlib import Path
            from hydrusd.builtin.triggers._hints import HintsUnavailable, Listener

            async def main():
                limit = Path("/proc/sys/user/max_inotify_watches")
                for left in ("2", "0"):
                    limit.write_text(left)
                    listener = Listener(Path(sys.argv[1]), recursive=True, wake=lambda: None)
                    try:
                        await listener.start()
                        print("refused", listener.refused)
                    except HintsUnavailable as reason:
                        print("unavailable", reason)
                    finally:
                        await listener.stop()

            anyio.run(main)
        """
        for name in "abc":
            (tmp_path / name).mkdir()
        command = [sys.executable, "-c", textwrap.dedent(program), str(tmp_path)]
        done = subprocess.run(
            ["unshare", "--user", "--map-root-user", *command],
            capture_output=True, text=True, timeout=30, check=False,
        )  # fmt: skip
        if "unshare" in done.stderr:  # not allowed here; the tests above have shown it
            assert done.returncode != 0
            return
        partly, not_at_all = done.stdout.splitlines()
        assert partly.startswith("refused the system has no more inotify watches")
        assert not_at_all.startswith("unavailable the system has no more inotify watches")


# --- after a sleep ---------------------------------------------------------------------------


class SleepyClock(RecordingClock):
    """The clock of a machine that can be suspended."""

    def __init__(self, *, counts_sleep=False):
        super().__init__()
        self.counts_sleep = counts_sleep
        self.slept = 0.0

    def now(self):
        return super().now() + timedelta(seconds=self.slept)

    def monotonic(self):
        return super().monotonic() + (self.slept if self.counts_sleep else 0)

    def suspend(self, seconds):
        self.slept += seconds  # and no timer comes meanwhile


@pytest.mark.parametrize("counts_sleep", [False, True])
async def test_machine_that_was_asleep_is_looked_through(root, monkeypatch, counts_sleep):
    context = Context()
    context.clock = SleepyClock(counts_sleep=counts_sleep)
    async with watching(root, context=context, method="poll", scan_every="10h"):
        (root / "a.jpg").write_bytes(b"a")
        scans = len(context.told)
        for _ in range(30):
            await context.pass_time(1)
        assert len(context.told) == scans
        context.clock.suspend(7200)
        began = context.clock.monotonic()
        await until_noticed(context, "a.jpg")
        assert context.clock.monotonic() - began <= watch_folder.LOOK_SECONDS + 10


async def test_clock_that_is_set_back_or_a_little_forward_calls_for_nothing(root):
    context = Context()
    context.clock = SleepyClock()
    async with watching(root, context=context, method="poll", scan_every="10h"):
        scans = len(context.told)
        for seconds in (5, -3600, 20):
            context.clock.suspend(seconds)
            for _ in range(100):
                await context.pass_time(1)
        assert len(context.told) == scans


# --- on real file systems --------------------------------------------------------------------

if CAN_MOUNT:

    async def test_bind_mount_is_listened_to_whichever_way_files_come(tmp_path, root):
        other = tmp_path / "other"
        other.mkdir()
        with mounted("--bind", other, at=root):
            async with watching(root) as context:
                assert "by the system's hints" in how(context)
                (root / "a.jpg").write_bytes(b"a")
                (other / "b.jpg").write_bytes(b"b")
                await until_noticed(context, "a.jpg", "b.jpg")

    async def test_overlay_is_listened_to_and_scanned_for_what_comes_from_below(tmp_path, root):
        for name in ("lower", "upper", "work", "disk"):
            (tmp_path / name).mkdir()
        (tmp_path / "lower" / "old.jpg").write_bytes(b"old")
        disk = tmp_path / "disk"
        with mounted("-t", "tmpfs", "none", at=disk):  # an overlay cannot lie on an overlay
            for name in ("upper", "work"):
                (disk / name).mkdir()
            options = f"lowerdir={tmp_path}/lower,upperdir={disk}/upper,workdir={disk}/work"
            with mounted("-t", "overlay", "overlay", "-o", options, at=root):
                async with watching(root) as context:
                    assert "it is on overlay, and a test showed" in how(context)
                    (root / "new.jpg").write_bytes(b"new")
                    await until_noticed(context, "old.jpg", "new.jpg")

    async def test_read_only_file_system_is_listened_to_untested(tmp_path, root):
        other = tmp_path / "other"
        other.mkdir()
        with mounted("--bind", other, at=root):
            subprocess.run(["mount", "-o", "remount,ro,bind", root], check=True)  # noqa: ASYNC221
            async with watching(root) as context:
                assert "nothing can be written to test it" in how(context)
                (other / "a.jpg").write_bytes(b"a")
                await until_noticed(context, "a.jpg")

    async def test_full_disk_is_watched_all_the_same(root):
        with mounted("-t", "tmpfs", "-o", "size=64k,nr_inodes=6", "none", at=root):
            for n in range(5):
                (root / f"{n}.jpg").write_bytes(b"x")
            async with watching(root) as context:
                assert "nothing can be written to test it" in how(context)
                await until_noticed(context, *(f"{n}.jpg" for n in range(5)))

    async def test_what_a_server_writes_is_found_by_scans(root):
        server = FuseServer(root)
        try:
            server.files["there.jpg"] = b"there"
            async with watching(root) as context:
                assert listeners() == []
                assert "fuse.sshfs, server" in how(context)
                await until_noticed(context, "there.jpg")
                server.files["later.jpg"] = b"later"
                await until_noticed(context, "later.jpg")
                assert names_in(context) == ["there.jpg", "later.jpg"]
        finally:
            server.close()

    async def test_files_that_are_numbered_anew_are_no_new_files(root):
        """As they are by most programs, and by the system on cards and sticks."""
        server = FuseServer(root)
        try:
            server.files |= {"a.jpg": b"a", "b.jpg": b"b"}
            async with watching(root) as context:
                await until_noticed(context, "a.jpg", "b.jpg")
                before = (root / "a.jpg").stat().st_ino
                server.first_number += 1000
                assert (root / "a.jpg").stat().st_ino == before + 1000
                source = FileSource.from_data(context.events[0].data)
                assert source.state() is SourceState.SAME
                server.files["c.jpg"] = b"c"
                await until_noticed(context, "c.jpg")
                assert sorted(names_in(context)) == ["a.jpg", "b.jpg", "c.jpg"]
        finally:
            server.close()

    async def test_native_finds_on_a_server_what_no_hint_told(root):
        server = FuseServer(root)
        try:
            async with watching(root, method="native") as context:
                assert listeners()
                server.files["later.jpg"] = b"later"
                await until_noticed(context, "later.jpg")
        finally:
            server.close()

    async def test_server_that_stops_answering_holds_up_nobody_who_stops(root, monkeypatch):
        monkeypatch.setattr(watch_folder, "SILENT_SECONDS", 0.2)
        server = FuseServer(root)
        try:
            server.files["a.jpg"] = b"a"
            with anyio.fail_after(30):
                async with watching(root) as context:
                    await until_noticed(context, "a.jpg")
                    server.answering.clear()
                    await context.until_told("waiting")
                    assert "does not answer" in how(context)
            # What still waits for the server was left behind.
            assert not server.answering.is_set()
        finally:
            server.close()


async def test_folder_that_does_not_answer_is_told_and_so_is_its_answer(root, monkeypatch):
    monkeypatch.setattr(watch_folder, "SILENT_SECONDS", 0.2)
    identity, answering = Looker.identity, threading.Event()

    def waiting(self):
        answering.wait(30)
        return identity(self)

    async with watching(root, scan_every="60s") as context:
        before = how(context)
        monkeypatch.setattr(Looker, "identity", waiting)
        try:
            await context.until_told("waiting")
            assert "does not answer; is its disk or server there?" in how(context)
            (root / "a.jpg").write_bytes(b"a")
        finally:
            answering.set()
        await context.until_told("working")
        assert how(context) == before
        await until_noticed(context, "a.jpg")


async def test_listener_hears_what_happens_below_folders_that_come_later(root):
    woken = anyio.Event()
    listener = Listener(root, recursive=True, wake=woken.set)
    await listener.start()
    try:
        (root / "a" / "b").mkdir(parents=True)
        (root / "a" / "b" / "c.jpg").write_bytes(b"c")
        hints = set()
        with anyio.fail_after(10):
            while not {"a/b/c.jpg", "a"} & hints:
                await anyio.sleep(0.01)
                taken = listener.take()
                hints |= taken.files | taken.folders
    finally:
        await listener.stop()


async def test_a_folder_made_while_the_tree_is_walked_does_not_end_the_listening(root, monkeypatch):
    """It is come by twice: two rules on one folder test it with a folder, at the same time."""
    album, walk = root / "album", os.walk

    def meanwhile(*arguments, **options):
        album.mkdir(exist_ok=True)
        return walk(*arguments, **options)

    monkeypatch.setattr(os, "walk", meanwhile)
    listener = Listener(root, recursive=True, wake=lambda: None)
    await listener.start()
    try:
        album.mkdir(exist_ok=True)  # other systems do not walk
        (album / "a.jpg").write_bytes(b"a")
        hints = set()
        with anyio.fail_after(10):
            while "album/a.jpg" not in hints:
                await anyio.sleep(0.01)
                hints |= listener.take().files
        assert listener.listening
    finally:
        await listener.stop()


async def test_what_watchdog_trips_over_is_a_loss_and_not_the_end_of_hearing(root, monkeypatch):
    """It forgets a watch twice at times, and its thread would end with that."""
    if sys.platform != "linux":
        return  # only there are the watches our own
    listener = Listener(root, recursive=True, wake=lambda: None)
    await listener.start()
    try:
        reader = listener._observer._own

        def trip(self, event):
            raise KeyError(b"a path")

        with monkeypatch.context() as tripping:
            tripping.setattr(_hints.InotifyFD, "handle_event", trip)
            (root / "a.jpg").write_bytes(b"a")
            with anyio.fail_after(10):
                while listener.listening:  # noqa: ASYNC110 - a thread of watchdog tells nobody
                    await anyio.sleep(0.01)
        assert listener.take().lost
        assert reader.is_alive()
        await listener.start()  # as the trigger does with what no longer listens
        assert listener.listening
    finally:
        await listener.stop()


if sys.platform == "linux":

    @pytest.fixture
    async def emitter(root):
        """The thread of a listener that hands on what is read, listening."""
        listener = Listener(root, recursive=True, wake=lambda: None)
        await listener.start()
        [emitter] = listener._observer.emitters
        yield emitter
        await listener.stop()

    async def test_a_thread_that_comes_to_read_when_it_is_stopped_has_no_word_for_it(
        emitter, caplog
    ):
        emitter.stop()  # it may have asked before whether it should go on
        emitter.queue_events(1.0)
        assert caplog.records == []

    async def test_a_thread_that_is_stopped_while_it_reads_has_no_word_for_it(
        root, emitter, caplog, monkeypatch
    ):
        group = emitter._inotify
        event = _hints.InotifyEvent(1, _hints.InotifyConstants.IN_CLOSE_WRITE, 0, b"a.jpg")
        read = PathedInotifyEvent(event, os.fsencode(root / "a.jpg"))

        def read_event():
            emitter.stop()
            return read

        monkeypatch.setattr(group, "read_event", read_event)
        emitter.queue_events(1.0)
        assert caplog.records == []
        assert emitter._event_queue.empty()

    async def test_what_the_threads_complain_of_until_they_end_is_heard(root, monkeypatch):
        listener = Listener(root, recursive=True, wake=lambda: None)
        await listener.start()
        reader = listener._observer._own
        stop = reader.stop

        def overflow():
            logging.getLogger("watchdog.observers.inotify_c").warning("the queue overflowed")
            stop()

        monkeypatch.setattr(reader, "stop", overflow)
        await listener.stop()
        assert listener.take().lost
        assert logging.getLogger("watchdog").handlers == []
