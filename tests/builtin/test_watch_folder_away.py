"""Disks that are pulled out: what was there is away, never deleted."""

from __future__ import annotations

import contextlib
import errno
import os
import shutil

import pytest
from mounting import CAN_MOUNT, Disk, FuseServer, mounted
from watched import Context, Listing, how, names_in, until_noticed, watching

from hydrusd.builtin.triggers import watch_folder
from hydrusd.plugin import FileSource, FolderIdentity, OutcomeKind, SourceState, source_outcome

pytestmark = pytest.mark.anyio

WAYS = ["moved", "mounted"] if CAN_MOUNT else ["moved"]


@pytest.fixture(params=WAYS)
def disk(request, tmp_path):
    disk = Disk(tmp_path, real=request.param == "mounted")
    yield disk
    disk.close()


def noticed(path, root):
    source = FileSource.of(path, root, path.lstat())
    source.root_identity = FolderIdentity.of(root)
    return FileSource.from_data({"file": source.to_data()})


# --- what a job finds ------------------------------------------------------------------------


def test_file_on_a_disk_that_is_away_is_not_gone(disk):
    (disk.root / "a.jpg").write_bytes(b"a")
    source = noticed(disk.root / "a.jpg", disk.root)
    assert source.state() is SourceState.SAME
    disk.unplug()
    assert not any(disk.root.iterdir())
    assert source.state() is SourceState.ROOT_GONE
    outcome = source_outcome(source.state(), source)
    assert (outcome.kind, outcome.frees_event) == (OutcomeKind.PARK, False)
    disk.plug()
    assert source.state() is SourceState.SAME
    (disk.root / "a.jpg").unlink()
    assert source.state() is SourceState.GONE


def test_root_that_is_missing_altogether_is_away(disk):
    (disk.root / "a.jpg").write_bytes(b"a")
    source = noticed(disk.root / "a.jpg", disk.root)
    disk.unplug()
    disk.root.rmdir()
    assert source.state() is SourceState.ROOT_GONE
    disk.root.write_bytes(b"a file in its place")
    assert source.state() is SourceState.ROOT_GONE
    disk.root.unlink()
    disk.root.mkdir()
    disk.plug()
    assert source.state() is SourceState.SAME


def test_what_is_written_to_the_place_of_a_disk_does_not_delete_what_is_on_it(disk):
    (disk.root / "a.jpg").write_bytes(b"a")
    source = noticed(disk.root / "a.jpg", disk.root)
    disk.unplug()
    (disk.root / "b.jpg").write_bytes(b"b")
    # A folder that is used in place of another one stays; a mount point is known for what it is.
    expected = SourceState.ROOT_GONE if disk.real else SourceState.GONE
    assert source.state() is expected


def test_source_whose_folder_nobody_looked_at_is_judged_by_the_path_alone(disk):
    (disk.root / "a.jpg").write_bytes(b"a")
    source = FileSource.of(disk.root / "a.jpg", disk.root, (disk.root / "a.jpg").lstat())
    disk.unplug()
    assert source.state() is SourceState.GONE


# --- what the trigger does -------------------------------------------------------------------


async def test_disk_pulled_out_while_it_is_watched(disk):
    (disk.root / "a.jpg").write_bytes(b"a")
    async with watching(disk.root) as context:
        await until_noticed(context, "a.jpg")
        disk.unplug()
        if disk.real:
            await context.until_told("waiting")
            assert "away, not deleted" in how(context)
        else:
            scans = len(context.told)
            await context.until(lambda: len(context.told) > scans)
        disk.plug()
        (disk.root / "b.jpg").write_bytes(b"b")
        await until_noticed(context, "b.jpg")
        # The system's hints come from what is there now.
        (disk.root / "c.jpg").write_bytes(b"c")
        await until_noticed(context, "c.jpg")
        await context.until_told("working")
        assert names_in(context) == ["a.jpg", "b.jpg", "c.jpg"]
        assert context.warnings == []


async def test_another_folder_is_seen_within_a_minute_and_not_only_by_the_next_scan(disk):
    async with watching(disk.root, method="poll", scan_every="10h") as context:
        await context.pass_time(1)
        began = context.clock.monotonic()
        disk.unplug()
        (disk.root / "b.jpg").write_bytes(b"b")
        await until_noticed(context, "b.jpg")
        assert context.clock.monotonic() - began <= watch_folder.LOOK_SECONDS + 10


async def test_daemon_that_starts_while_the_disk_is_away(disk):
    (disk.root / "a.jpg").write_bytes(b"a")
    async with watching(disk.root) as first:
        await until_noticed(first, "a.jpg")
    disk.unplug()
    async with watching(disk.root, first.kept) as second:
        assert second.told[-1][0] == ("waiting" if disk.real else "working")
        disk.plug()
        (disk.root / "b.jpg").write_bytes(b"b")
        await until_noticed(second, "b.jpg")
        await second.until_told("working")
        assert names_in(second) == ["b.jpg"]


async def test_event_names_the_folder_it_was_noticed_in(disk):
    (disk.root / "a.jpg").write_bytes(b"a")
    async with watching(disk.root) as context:
        await until_noticed(context, "a.jpg")
    source = FileSource.from_data(context.events[0].data)
    assert source.root_identity == FolderIdentity.of(disk.root)
    disk.unplug()
    assert source.state() is SourceState.ROOT_GONE


async def test_files_in_the_place_of_a_disk_are_noticed_all_the_same(disk):
    (disk.root / "a.jpg").write_bytes(b"a")
    async with watching(disk.root) as context:
        await until_noticed(context, "a.jpg")
        disk.unplug()
        (disk.root / "b.jpg").write_bytes(b"b")
        await until_noticed(context, "b.jpg")


async def test_folder_that_its_owner_makes_anew_is_simply_watched(tmp_path):
    root = tmp_path / "inbox"
    root.mkdir()
    (root / "a.jpg").write_bytes(b"a")
    async with watching(root) as context:
        await until_noticed(context, "a.jpg")
        shutil.rmtree(root)
        await context.until_told("waiting")
        root.mkdir()
        await context.until_told("working")
        (root / "b.jpg").write_bytes(b"b")
        await until_noticed(context, "b.jpg")


@pytest.mark.parametrize("folder", [".", "below"])
async def test_disk_pulled_out_between_notice_and_second_look(disk, folder):
    (disk.root / folder).mkdir(exist_ok=True)
    (disk.root / folder / "a.jpg").write_bytes(b"a")
    async with watching(disk.root, settle="30s") as context:
        await context.pass_time(1)
        disk.unplug()
        for _ in range(80):
            await context.pass_time(1)
        assert context.events == []
        disk.plug()
        await context.until(lambda: context.events)
        assert [file["name"] for file in context.data("file")] == ["a.jpg"]


# --- a disk that answers with nothing but errors ---------------------------------------------

ERRORS = [errno.EIO, errno.EINVAL, errno.ESTALE, errno.ENOTCONN, errno.EACCES]


@contextlib.contextmanager
def failing(monkeypatch, folder, error):
    """Have the listing of a folder fail as it is read; it can be opened."""
    scandir = os.scandir

    def fail(entries):
        raise OSError(error, os.strerror(error), str(folder))

    def listing(path):
        entries = scandir(path)
        return Listing(entries, fail) if os.fspath(path) == str(folder) else entries

    with monkeypatch.context() as broken:
        broken.setattr(os, "scandir", listing)
        yield


@pytest.mark.parametrize("error", ERRORS, ids=errno.errorcode.get)
async def test_folder_that_can_be_opened_and_not_listed_is_waited_for(tmp_path, monkeypatch, error):
    root = tmp_path / "inbox"
    root.mkdir()
    (root / "a.jpg").write_bytes(b"a")
    with contextlib.ExitStack() as broken:
        broken.enter_context(failing(monkeypatch, root, error))
        async with watching(root, method="poll") as context:
            await context.pass_time(30)
            [(state, told)] = context.told
            assert (state, context.events, context.warnings) == ("waiting", [], [])
            assert told.startswith(f"{root} cannot be read ({os.strerror(error)}); ")
            hint = "allow the user" if error == errno.EACCES else "is its disk or server there?"
            assert hint in told
            broken.close()
            await until_noticed(context, "a.jpg")
            await context.until_told("working")


async def test_folder_below_that_cannot_be_listed_is_told_with_what_goes_on(tmp_path, monkeypatch):
    root = tmp_path / "inbox"
    (root / "below").mkdir(parents=True)
    (root / "a.jpg").write_bytes(b"a")
    with contextlib.ExitStack() as broken:
        broken.enter_context(failing(monkeypatch, root / "below", errno.EIO))
        async with watching(root, method="poll", scan_every="10s") as context:
            await until_noticed(context, "a.jpg")
            assert context.told[-1][0] == "working"
            below = root / "below"
            assert how(context).endswith(
                f"; what is in {below} is not noticed, because it cannot be read"
            )
            assert context.warnings == [f"{below} cannot be read; what is there is not noticed"]
            (root / "below" / "b.jpg").write_bytes(b"b")
            broken.close()
            await until_noticed(context, "below/b.jpg")
            assert "cannot be read" not in how(context)


if CAN_MOUNT:

    async def test_server_that_answers_with_errors_only_is_waited_for(tmp_path):
        root = tmp_path / "inbox"
        root.mkdir()
        server = FuseServer(root)
        try:
            server.files["a.jpg"] = b"a"
            server.error = errno.EIO
            async with watching(root) as context:
                assert context.told[-1][0] == "waiting"
                assert "cannot be read (Input/output error)" in how(context)
                server.error = 0
                await until_noticed(context, "a.jpg")
                await context.until_told("working")
                source = FileSource.from_data(context.events[0].data)
                server.error = errno.EINVAL
                # It costs the job no attempt: it is the whole folder that is away.
                assert source.state() is SourceState.ROOT_GONE
                server.error = 0
                assert source.state() is SourceState.SAME
        finally:
            server.close()

    @pytest.mark.parametrize("kind", ["tmpfs", "bind"])
    def test_folder_that_is_mounted_over_later(tmp_path, kind):
        root, other = tmp_path / "inbox", tmp_path / "other"
        root.mkdir()
        other.mkdir()
        (root / "a.jpg").write_bytes(b"a")
        source = noticed(root / "a.jpg", root)
        words = ("-t", "tmpfs", "none") if kind == "tmpfs" else ("--bind", other)
        with mounted(*words, at=root):
            assert source.state() is SourceState.ROOT_GONE
            (root / "b.jpg").write_bytes(b"b")
            assert source.state() is SourceState.GONE  # in use now, and nothing was unmounted
        assert source.state() is SourceState.SAME

    async def test_unmounting_is_told_by_the_system(tmp_path):
        root = tmp_path / "inbox"
        root.mkdir()
        with contextlib.ExitStack() as disk:
            disk.enter_context(mounted("-t", "tmpfs", "none", at=root))
            async with watching(root, context=Context(step_seconds=0.01)) as context:
                await context.until_told("working")
                began = context.clock.monotonic()
                disk.close()
                await context.until_told("waiting")
                # Neither a scan nor the look that is taken once a minute was due.
                assert context.clock.monotonic() - began < watch_folder.LOOK_SECONDS / 2
