"""Folders that are moved out of a watched folder, into it, and about in it."""

from __future__ import annotations

import os
import random
import shutil
import sys
from pathlib import Path

import anyio
import pytest
from watched import Context, names_in, until_noticed, watching

from hydrusd.builtin.triggers import watch_folder
from hydrusd.builtin.triggers._hints import Listener

pytestmark = pytest.mark.anyio


@pytest.fixture
def outside(tmp_path):
    folder = tmp_path / "outside"
    folder.mkdir()
    return folder


@pytest.fixture
async def listener(root):
    listener = Listener(root, recursive=True, wake=lambda: None)
    yield listener
    await listener.stop()


def folders_below(root):
    return {Path(folder) for folder, _, _ in os.walk(root)}


def inodes_watched(listener):
    """Give the inodes of the folders that the kernel watches, by its own account."""
    descriptor = listener._observer._own._inotify_fd
    lines = Path(f"/proc/self/fdinfo/{descriptor}").read_text().splitlines()
    watches = [dict(part.split(":", 1) for part in line.split()[1:4]) for line in lines[4:]]
    return sorted(int(watch["ino"], 16) for watch in watches)


def paths_watched(listener):
    """Give the paths under which hints would come."""
    group = listener._observer._own.group
    return {Path(os.fsdecode(path)) for path in group._active_callbacks_by_watch.values()}


async def until(condition):
    with anyio.fail_after(10):
        while not condition():  # noqa: ASYNC110 - a thread of watchdog tells nobody
            await anyio.sleep(0.005)


async def until_all_is_watched(listener, root):
    """Wait until just the folders in there are watched, each under its own path."""

    def right():
        inodes = sorted(folder.stat().st_ino for folder in folders_below(root))
        return inodes_watched(listener) == inodes and paths_watched(listener) == folders_below(root)

    await until(right)


# --- the watches, as the kernel counts them --------------------------------------------------

if sys.platform == "linux":

    async def test_a_folder_that_was_moved_out_is_watched_no_more(listener, root, outside):
        for name in ("stays", "goes", "goes/one", "goes/one/two", "goes along"):
            (root / name).mkdir()
        await listener.start()
        await until_all_is_watched(listener, root)
        (root / "goes").rename(outside / "gone")
        await until_all_is_watched(listener, root)
        listener.take()
        for folder in ("gone", "gone/one", "gone/one/two"):
            (outside / folder / "a.jpg").write_bytes(b"a")
        (outside / "gone" / "three").mkdir()
        (root / "goes along" / "b.jpg").write_bytes(b"b")
        hints = set()
        with anyio.fail_after(10):
            while "goes along/b.jpg" not in hints:
                await anyio.sleep(0.01)
                taken = listener.take()
                hints |= taken.files | taken.folders
        assert hints == {"goes along/b.jpg"}
        assert listener.listening
        assert not taken.lost

    async def test_folders_moved_out_all_at_once_are_given_back_together(listener, root, outside):
        for n in range(200):
            (root / f"{n}" / "below").mkdir(parents=True)
        await listener.start()
        for n in range(200):
            (root / f"{n}").rename(outside / f"{n}")
        await until_all_is_watched(listener, root)

    async def test_a_folder_moved_in_again_is_watched_under_its_new_path(listener, root, outside):
        (root / "a" / "below").mkdir(parents=True)
        await listener.start()
        for target in ("a", "b", "a/below/c", "a"):
            (root / "a").rename(outside / "a")
            (root / target).parent.mkdir(parents=True, exist_ok=True)
            (outside / "a").rename(root / target)
            (root / "a" / "below").mkdir(parents=True, exist_ok=True)
            await until_all_is_watched(listener, root)
        assert listener.listening

    async def test_another_folder_under_the_same_path_is_not_taken_for_it(listener, root, outside):
        (root / "a" / "below").mkdir(parents=True)
        await listener.start()
        for n in range(20):
            (root / "a").rename(outside / f"a{n}")
            (root / "a" / "below").mkdir(parents=True)
        await until_all_is_watched(listener, root)
        (outside / "a0" / "old.jpg").write_bytes(b"old")
        (root / "a" / "below" / "new.jpg").write_bytes(b"new")
        hints = set()
        with anyio.fail_after(10):
            while "a/below/new.jpg" not in hints:
                await anyio.sleep(0.01)
                hints |= listener.take().files
        assert "a/old.jpg" not in hints

    def made_in_what_is_moved(root, outside):
        (root / "a" / "new" / "below").mkdir(parents=True)
        (root / "a").rename(root / "b")

    def made_in_what_is_moved_twice(root, outside):
        made_in_what_is_moved(root, outside)
        (root / "b" / "new").rename(root / "new")
        (root / "b").rename(root / "new" / "a")

    def moved_in_and_on(root, outside):
        (outside / "in" / "below").mkdir(parents=True)
        (outside / "in").rename(root / "a" / "in")
        (root / "a").rename(root / "b")

    def made_under_a_name_that_was_just_given_up(root, outside):
        for n in range(5):
            (root / "unpacking" / "below").mkdir(parents=True)
            (root / "unpacking").rename(root / f"album {n}")
        (root / "unpacking").mkdir()

    def moved_away_from_a_name_that_another_has(root, outside):
        (root / "a").rename(root / "b")
        (root / "a" / "below").mkdir(parents=True)
        (root / "a").rename(outside / "a")
        (root / "b").rename(root / "a")

    @pytest.mark.parametrize(
        "do",
        [
            made_in_what_is_moved,
            made_in_what_is_moved_twice,
            moved_in_and_on,
            made_under_a_name_that_was_just_given_up,
            moved_away_from_a_name_that_another_has,
        ],
    )
    async def test_what_has_been_moved_when_the_word_of_it_comes_is_watched(
        listener, root, outside, do
    ):
        (root / "a" / "there").mkdir(parents=True)
        await listener.start()
        with listener._observer._own.group._lock:  # it hears of nothing until all is done
            do(root, outside)
        await until_all_is_watched(listener, root)
        assert listener.listening

    @pytest.mark.parametrize("seed", range(4))
    async def test_whatever_is_moved_about_just_what_is_there_is_watched(
        listener, root, outside, seed
    ):
        """Under few names, and often with the words of it coming late."""
        chance = random.Random(seed)

        def name_in(folders):
            return chance.choice(folders) / chance.choice("abcdef")

        for _ in range(30):
            name_in(sorted(folders_below(root))).mkdir(exist_ok=True)
        await listener.start()
        lock, held = listener._observer._own.group._lock, False
        for _ in range(400):
            inside, away = sorted(folders_below(root)), sorted(folders_below(outside))
            source, target = chance.choice(inside[1:] + away[1:]), name_in(inside + away)
            if target.exists():
                continue
            if chance.random() < 0.25:
                (lock.release if held else lock.acquire)()
                held = not held
            match chance.randrange(6):
                case 0:
                    target.mkdir()
                case 1:
                    shutil.rmtree(source)
                    target.mkdir(parents=True)
                case _ if not target.is_relative_to(source):
                    source.rename(target)
            if len(inside) > 60:
                shutil.rmtree(chance.choice(inside[1:]))
            if not held and chance.random() < 0.1:
                await anyio.sleep(0.01)
        if held:
            lock.release()
        await until_all_is_watched(listener, root)
        assert listener.listening

    async def test_the_watched_folder_itself_moved_away_is_told_at_once(root, outside):
        async with watching(root, context=Context(step_seconds=0.01)) as context:
            began = context.clock.monotonic()
            root.rename(outside / "gone")
            await context.until_told("waiting")
            # Neither a scan nor the look that is taken once a minute was due.
            assert context.clock.monotonic() - began < watch_folder.LOOK_SECONDS / 2
            context.step_seconds = 0.5
            (outside / "gone" / "a.jpg").write_bytes(b"a")
            root.mkdir()
            (root / "b.jpg").write_bytes(b"b")
            await until_noticed(context, "b.jpg")
            assert names_in(context) == ["b.jpg"]


# --- what becomes of files -------------------------------------------------------------------


async def seen_exactly(context, root, *names):
    """Prove that nothing more is on its way: a file that comes last is noticed last."""
    (root / "zz-last.jpg").write_bytes(b"last")
    await until_noticed(context, "zz-last.jpg")
    assert sorted(names_in(context)) == sorted([*names, "zz-last.jpg"])


async def test_nothing_is_noticed_of_a_folder_that_was_moved_out(root, outside):
    (root / "album" / "below").mkdir(parents=True)
    async with watching(root, scan_every="10h") as context:
        (root / "album" / "before.jpg").write_bytes(b"before")
        await until_noticed(context, "album/before.jpg")
        (root / "album" / "still growing.jpg").write_bytes(b"still")
        (root / "album").rename(outside / "album")
        (outside / "album" / "after.jpg").write_bytes(b"after")
        (outside / "album" / "below" / "after.jpg").write_bytes(b"after")
        await seen_exactly(context, root, "album/before.jpg")
        assert (outside / "album" / "still growing.jpg").exists()


async def test_a_folder_moved_out_and_in_again_brings_what_is_new_in_it(root, outside):
    (root / "album").mkdir()
    (root / "album" / "known.jpg").write_bytes(b"known")
    async with watching(root, scan_every="10h") as context:
        await until_noticed(context, "album/known.jpg")
        (root / "album").rename(outside / "album")
        (outside / "album" / "new.jpg").write_bytes(b"new")
        await seen_exactly(context, root, "album/known.jpg")
        (outside / "album").rename(root / "album")
        await until_noticed(context, "album/new.jpg")
        (root / "album" / "later.jpg").write_bytes(b"later")
        await until_noticed(context, "album/later.jpg")
        names = ["album/known.jpg", "zz-last.jpg", "album/new.jpg", "album/later.jpg"]
        assert names_in(context) == names


async def test_files_written_while_their_folder_is_moved_about_come_once(root):
    (root / "0").mkdir()
    async with watching(root, scan_every="10h") as context:
        for n in range(20):
            (root / f"{n}" / f"before {n}.jpg").write_bytes(b"before")
            (root / f"{n}").rename(root / f"{n + 1}")
            (root / f"{n + 1}" / f"after {n}.jpg").write_bytes(b"after")
        names = [f"20/{when} {n}.jpg" for n in range(20) for when in ("before", "after")]
        await until_noticed(context, *names)
        await seen_exactly(context, root, *names)
