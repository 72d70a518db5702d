from __future__ import annotations

import errno
import os
import tempfile
from pathlib import Path

import anyio
import pytest
from disposal import CONTENT, MTIME_NS, Killed, dispose, remains

from hydrusd.builtin.actions import _placing, _syncing
from hydrusd.builtin.actions.move_source import MoveSource
from hydrusd.model import OutcomeKind
from hydrusd.plugin import PermanentError, TemporaryError

pytestmark = pytest.mark.anyio


def _other_disk():
    """Give a folder on another disk than the temporary one, where this machine has one."""
    memory = Path("/dev/shm")
    there = memory.is_dir() and os.access(memory, os.W_OK)
    elsewhere = there and memory.stat().st_dev != Path(tempfile.gettempdir()).stat().st_dev
    return memory if elsewhere else None


WAYS = ["same disk", "no hard links", "made-up disk", *(["real disk"] if _other_disk() else [])]


@pytest.fixture(params=WAYS)
def to(request, tmp_path, monkeypatch, picture):
    """A destination that does not exist yet, reached in each way that a file can take."""
    claim = _placing._claim

    def other_disk(origin, target):
        if origin == picture:
            raise OSError(errno.EXDEV, "Invalid cross-device link")
        claim(origin, target)

    def no_links(self, target):
        raise PermissionError(errno.EPERM, "Operation not permitted")

    match request.param:
        case "no hard links":
            monkeypatch.setattr(Path, "hardlink_to", no_links)
        case "made-up disk":
            monkeypatch.setattr(_placing, "_claim", other_disk)
        case "real disk":
            with tempfile.TemporaryDirectory(dir=_other_disk()) as folder:
                yield Path(folder, "sorted", "2020")
            return
    yield tmp_path / "sorted" / "2020"


async def move(call, picture, **parameters):
    action = MoveSource(**parameters)
    return await dispose(call(action, picture))


async def test_moves_the_file_and_keeps_its_time(call, picture, to):
    outcome = await move(call, picture, to=to)
    assert not picture.exists()
    assert remains(to) == {"a.jpg": CONTENT}
    assert (to / "a.jpg").stat().st_mtime_ns == MTIME_NS
    assert outcome.kind is OutcomeKind.DONE
    assert outcome.receipt == {"from": str(picture), "to": str(to / "a.jpg")}
    assert outcome.frees_event


async def test_new_name(call, picture, to):
    outcome = await move(call, picture, to=to, name="b.jpeg")
    assert remains(to) == {"b.jpeg": CONTENT}
    assert outcome.receipt["to"] == str(to / "b.jpeg")


@pytest.mark.parametrize("name", ["", ".", "..", "x/y.jpg", "../y.jpg", "/y.jpg"])
async def test_name_that_is_none_is_refused(call, picture, tmp_path, name):
    with pytest.raises(PermanentError, match="cannot be the name of a file"):
        await move(call, picture, to=tmp_path / "sorted", name=name)
    assert remains(tmp_path) == {"inbox/a.jpg": CONTENT}


# --- a name that is taken --------------------------------------------------------------------


@pytest.fixture
def taken(to):
    to.mkdir(parents=True)
    (to / "a.jpg").write_bytes(b"?" * len(CONTENT))
    (to / "a (2).jpg").mkdir()
    (to / "a (3).jpg").symlink_to(to / "nowhere")
    return to / "a.jpg"


async def test_taken_name_leads_to_the_next_free_one(call, picture, to, taken):
    outcome = await move(call, picture, to=to)
    assert outcome.receipt["to"] == str(to / "a (4).jpg")
    assert remains(to) == {"a.jpg": b"?" * len(CONTENT), "a (4).jpg": CONTENT}
    assert not (to / "nowhere").exists()
    assert not picture.exists()


async def test_taken_name_can_mean_to_leave_the_source_alone(call, picture, to, taken):
    outcome = await move(call, picture, to=to, on_collision="skip")
    assert outcome.kind is OutcomeKind.SKIPPED
    assert not outcome.frees_event
    assert picture.read_bytes() == CONTENT
    assert remains(to) == {"a.jpg": b"?" * len(CONTENT)}


async def test_taken_name_can_mean_to_fail(call, picture, to, taken):
    with pytest.raises(PermanentError, match="is another file"):
        await move(call, picture, to=to, on_collision="fail")
    assert picture.read_bytes() == CONTENT
    assert remains(to) == {"a.jpg": b"?" * len(CONTENT)}


@pytest.mark.parametrize("on_collision", ["rename", "skip", "fail"])
async def test_same_file_there_already_counts_as_moved(call, picture, to, on_collision):
    to.mkdir(parents=True)
    (to / "a.jpg").write_bytes(CONTENT)
    outcome = await move(call, picture, to=to, on_collision=on_collision)
    assert outcome.kind is OutcomeKind.DONE
    assert not picture.exists()
    assert remains(to) == {"a.jpg": CONTENT}


# --- the wrong file --------------------------------------------------------------------------


async def test_leaves_another_file_of_the_name_alone(call, picture, to):
    action = MoveSource(to=to)
    before = call(action, picture)
    picture.write_bytes(b"another")
    outcome = await dispose(before)
    assert outcome.kind is OutcomeKind.SKIPPED
    assert outcome.frees_event
    assert picture.read_bytes() == b"another"
    assert not to.exists()


async def test_file_put_in_its_place_at_the_last_moment_stays(call, picture, to, monkeypatch):
    """Replaced after the look at it and before the move: the window that cannot be closed."""
    mkdir = Path.mkdir

    def replacing(self, *args, **kwargs):
        mkdir(self, *args, **kwargs)
        if not (picture.parent / "done").exists():
            (picture.parent / "done").touch()
            (picture.parent / "new").write_bytes(b"another")
            (picture.parent / "new").replace(picture)

    monkeypatch.setattr(Path, "mkdir", replacing)
    outcome = await move(call, picture, to=to)
    assert outcome.kind is OutcomeKind.SKIPPED
    assert picture.read_bytes() == b"another"
    assert remains(to) == {}


async def test_file_put_in_its_place_after_the_move_stays(call, picture, to, monkeypatch):
    sync = _syncing.sync_folder

    def replacing(folder):
        sync(folder)
        (picture.parent / "new").write_bytes(b"another")
        (picture.parent / "new").replace(picture)

    monkeypatch.setattr(_syncing, "sync_folder", replacing)
    outcome = await move(call, picture, to=to)
    assert outcome.kind is OutcomeKind.DONE
    assert picture.read_bytes() == b"another"
    assert remains(to) == {"a.jpg": CONTENT}


async def test_file_that_someone_else_took_away(call, picture, to):
    action = MoveSource(to=to)
    before = call(action, picture)
    picture.unlink()
    outcome = await dispose(before)
    assert outcome.kind is OutcomeKind.SKIPPED
    assert outcome.frees_event
    assert not to.exists()


# --- the wrong place -------------------------------------------------------------------------


async def test_watched_folder_is_no_destination(call, picture, inbox, tmp_path):
    (tmp_path / "link").symlink_to(inbox, target_is_directory=True)
    for to in (inbox, inbox / "done", tmp_path / "link" / "done", inbox / ".." / "inbox"):
        with pytest.raises(PermanentError, match="choose a folder outside of it"):
            await move(call, picture, to=to)
    assert remains(tmp_path) == {"inbox/a.jpg": CONTENT}


async def test_same_folder_under_another_path_does_not_swallow_the_file(
    call, picture, inbox, tmp_path, monkeypatch
):
    """As when a share is mounted twice: nothing but the folder's content tells."""
    (tmp_path / "mounted twice").symlink_to(inbox, target_is_directory=True)
    monkeypatch.setattr(_placing.Move, "_refuse_bad_places", lambda self: None)
    with pytest.raises(PermanentError, match="is the folder that"):
        await move(call, picture, to=tmp_path / "mounted twice")
    assert remains(tmp_path) == {"inbox/a.jpg": CONTENT}


async def test_destination_that_is_a_file(call, picture, tmp_path):
    (tmp_path / "file").write_bytes(b"x")
    with pytest.raises((PermanentError, TemporaryError), match="cannot be moved to"):
        await move(call, picture, to=tmp_path / "file")
    assert picture.read_bytes() == CONTENT


async def test_full_disk_leaves_the_source_and_no_rest(call, picture, to, monkeypatch):
    def full(descriptor):
        raise OSError(errno.ENOSPC, "No space left on device")

    def no_space(origin, target):
        if origin == picture:
            raise OSError(errno.EXDEV, "Invalid cross-device link")
        raise AssertionError

    monkeypatch.setattr(_placing, "_claim", no_space)
    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(TemporaryError, match="No space left"):
        await move(call, picture, to=to)
    assert picture.read_bytes() == CONTENT
    assert remains(to) == {}


async def test_copy_that_reads_back_otherwise_is_not_trusted(call, picture, tmp_path, monkeypatch):
    def no_links(origin, target):
        raise OSError(errno.EXDEV, "Invalid cross-device link")

    monkeypatch.setattr(_placing, "_claim", no_links)
    monkeypatch.setattr(_placing, "_digest", lambda file: "of bad memory")
    with pytest.raises(TemporaryError, match="reads back otherwise"):
        await move(call, picture, to=tmp_path / "sorted")
    assert remains(tmp_path) == {"inbox/a.jpg": CONTENT}


async def test_file_that_grows_while_it_is_copied_stays(call, picture, tmp_path, monkeypatch):
    def other_disk(origin, target):
        raise OSError(errno.EXDEV, "Invalid cross-device link")

    opened = _placing.Move._opened

    def opening(move):
        file = opened(move)
        with picture.open("ab") as writer:
            writer.write(b"more")
        return file

    monkeypatch.setattr(_placing, "_claim", other_disk)
    monkeypatch.setattr(_placing.Move, "_opened", opening)
    outcome = await move(call, picture, to=tmp_path / "sorted")
    assert outcome.kind is OutcomeKind.SKIPPED
    assert "changed" in outcome.detail
    assert remains(tmp_path) == {"inbox/a.jpg": CONTENT + b"more"}


async def test_stopping_in_the_middle_of_a_copy_leaves_the_source(
    call, picture, tmp_path, monkeypatch
):
    def other_disk(origin, target):
        anyio.from_thread.run_sync(scope.cancel)
        raise OSError(errno.EXDEV, "Invalid cross-device link")

    monkeypatch.setattr(_placing, "_claim", other_disk)
    monkeypatch.setattr(_placing, "_CHUNK", 100)
    with anyio.CancelScope() as scope:
        await move(call, picture, to=tmp_path / "sorted")
    assert scope.cancelled_caught
    assert remains(tmp_path) == {"inbox/a.jpg": CONTENT}


# --- killed ----------------------------------------------------------------------------------


@pytest.mark.parametrize("already_there", [False, True])
async def test_killed_at_any_moment_nothing_is_lost_and_a_repeat_finishes(
    call, picture, to, power, already_there
):
    action = MoveSource(to=to)
    for changes in range(50):
        picture.write_bytes(CONTENT)
        os.utime(picture, ns=(MTIME_NS, MTIME_NS))
        if already_there:
            to.mkdir(parents=True, exist_ok=True)
            (to / "a.jpg").write_bytes(b"?" * len(CONTENT))
        before = call(action, picture)
        power.on(Path(os.path.commonpath([picture, to])), changes)
        killed = False
        try:
            await dispose(before)
        except Killed:
            killed = True
        power.off()
        # Whole, and under a name that people look at.
        left = [*remains(picture.parent).items(), *remains(to).items()]
        assert CONTENT in [content for name, content in left if not name.endswith("-part")]
        outcome = await dispose(call(action, picture, source=before.source))
        assert outcome.kind is OutcomeKind.DONE
        target = to / Path(outcome.receipt["to"]).name
        assert target.stat().st_mtime_ns == MTIME_NS
        assert not picture.exists()
        kept = remains(to)
        assert kept[target.name] == CONTENT
        assert [name for name in kept if name.endswith("-part")] == []
        assert list(kept.values()).count(CONTENT) == 1
        if already_there:
            assert kept["a.jpg"] == b"?" * len(CONTENT)
        for name in kept:
            (to / name).unlink()
        if not killed:
            assert changes >= 2
            break
    else:
        pytest.fail("never came to an end")
