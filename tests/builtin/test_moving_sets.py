"""A set of files that is disposed of: each folder is synced once, and in which order things go."""

from __future__ import annotations

import os
from collections import Counter
from dataclasses import replace
from pathlib import Path

import anyio
import pytest
from disposal import Killed, dispose_of_all, remains

from hydrusd.builtin.actions import _syncing
from hydrusd.builtin.actions.delete_source import DeleteSource
from hydrusd.builtin.actions.move_source import MoveSource
from hydrusd.model import OutcomeKind
from hydrusd.plugin import PermanentError

pytestmark = pytest.mark.anyio

FILES = 40


@pytest.fixture
def pictures(inbox):
    """Files in two folders."""
    made = [inbox / "ab"[n % 2] / f"{n:02}.jpg" for n in range(FILES)]
    for path in made:
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(path.name.encode())
    return made


@pytest.fixture
def calls(call, pictures):
    """Give a set of calls for these files."""

    def make(action, paths=pictures):
        return [replace(call(action, path), job_id=n) for n, path in enumerate(paths, 1)]

    return make


@pytest.fixture
def synced(monkeypatch):
    """Give what was synced, and what was in these folders then."""
    seen = []
    sync_folder = _syncing.sync_folder

    def noting(folder):
        seen.append((folder, frozenset(os.listdir(folder))))  # noqa: PTH208 - names only
        sync_folder(folder)

    monkeypatch.setattr(_syncing, "sync_folder", noting)
    return seen


async def test_each_folder_is_synced_once_for_all_files(calls, pictures, tmp_path, synced):
    to = tmp_path / "moved"
    made = calls(MoveSource(to=to))
    await MoveSource.run_set(made)
    assert {call.outcome.kind for call in made} == {OutcomeKind.DONE}
    assert remains(to) == {path.name: path.name.encode() for path in pictures}
    assert not any(path.exists() for path in pictures)
    folders = {path.parent for path in pictures}
    assert Counter(folder for folder, _ in synced) == Counter([to, *folders])
    # All new names were on the disk before the first old one went, and that before the end.
    assert synced[0] == (to, {path.name for path in pictures})
    assert {names for _, names in synced[1:]} == {frozenset()}


async def test_while_the_new_names_are_not_on_the_disk_no_old_one_goes(
    calls, pictures, tmp_path, monkeypatch
):
    there = []

    def looking(folder):
        there.append([path.exists() for path in pictures])

    monkeypatch.setattr(_syncing, "sync_folder", looking)
    await MoveSource.run_set(calls(MoveSource(to=tmp_path / "moved")))
    assert there[0] == [True] * FILES
    assert there[-1] == [False] * FILES


async def test_nothing_is_told_as_done_before_the_removals_are_on_the_disk(
    calls, tmp_path, monkeypatch
):
    made = calls(MoveSource(to=tmp_path / "moved"))
    ended = []
    monkeypatch.setattr(
        _syncing, "sync_folder", lambda folder: ended.append(any(c.outcome for c in made))
    )
    await MoveSource.run_set(made)
    assert ended == [False] * len(ended)
    assert all(call.outcome for call in made)


async def test_a_kill_at_each_moment_loses_nothing_and_doubles_nothing(
    call, inbox, tmp_path, power
):
    to = tmp_path / "moved"
    paths = [inbox / f"{n}.jpg" for n in range(4)]
    for changes in range(100):
        for path in paths:
            path.write_bytes(path.name.encode())
        action = MoveSource(to=to)
        sources = [call(action, path) for path in paths]
        made = [replace(each, job_id=n) for n, each in enumerate(sources, 1)]
        power.on(tmp_path, changes)
        killed = False
        try:
            await dispose_of_all(made)
        except Killed:
            killed = True
        power.off()
        left = [*remains(inbox).values(), *remains(to).values()]
        assert {path.name.encode() for path in paths} <= set(left)
        again = [replace(each) for each in made]
        await MoveSource.run_set(again)
        assert [each.outcome.kind for each in again] == [OutcomeKind.DONE] * len(paths)
        # Its own work, however far it came, is not taken for what was there before.
        assert not any("there_already" in each.outcome.receipt for each in again)
        assert remains(tmp_path) == {f"moved/{path.name}": path.name.encode() for path in paths}
        for path in to.iterdir():
            path.unlink()
        if not killed:
            break
    assert not killed


async def test_one_that_fails_keeps_none_of_the_others_back(calls, pictures, tmp_path):
    made = calls(MoveSource(to=tmp_path / "moved"))
    made[3] = replace(made[3], action=MoveSource(to=tmp_path / "moved", name="a/b"))
    with pytest.raises(PermanentError, match="cannot be the name of a file"):
        await MoveSource.run_set(made)
    assert made[3].outcome is None
    assert {call.outcome.kind for n, call in enumerate(made) if n != 3} == {OutcomeKind.DONE}
    assert pictures[3].exists()


async def test_what_can_be_tried_again_is_told_of_its_own_file(calls, pictures, monkeypatch):
    made = calls(DeleteSource())
    unlink = Path.unlink

    def busy(path, missing_ok=False):
        if path.name in {"05.jpg", "08.jpg"}:
            raise PermissionError(13, "Permission denied")
        unlink(path, missing_ok)

    monkeypatch.setattr(Path, "unlink", busy)
    await DeleteSource.run_set(made)
    again = [call for call in made if call.outcome.kind is OutcomeKind.RETRY]
    assert [call.source.path.name for call in again] == ["05.jpg", "08.jpg"]
    assert all(str(call.source.path) in call.outcome.detail for call in again)
    assert sum(path.exists() for path in pictures) == 2


async def test_what_is_about_to_be_deleted_is_kept_for_all_at_once(calls, pictures):
    kept = []

    async def keep(receipts):
        assert all(path.exists() for path in pictures)
        kept.append(receipts)

    made = [replace(each, keeper=keep) for each in calls(DeleteSource())]
    await DeleteSource.run_set(made)
    [receipts] = kept
    assert receipts == {c.job_id: {"deleted": str(c.source.path)} for c in made}


async def test_stopped_in_the_middle_it_is_finished_by_the_next_try(
    calls, pictures, tmp_path, monkeypatch
):
    to = tmp_path / "moved"
    made = calls(MoveSource(to=to))
    monkeypatch.setattr(
        _syncing, "sync_folder", lambda folder: anyio.from_thread.run_sync(scope.cancel)
    )
    with anyio.CancelScope() as scope:
        await MoveSource.run_set(made)
    assert scope.cancelled_caught
    assert not any(call.outcome for call in made)
    assert all(path.exists() for path in pictures)
    monkeypatch.undo()
    again = [replace(call) for call in made]
    await MoveSource.run_set(again)
    assert {call.outcome.kind for call in again} == {OutcomeKind.DONE}
    assert not any("there_already" in call.outcome.receipt for call in again)
    assert remains(tmp_path) == {f"moved/{path.name}": path.name.encode() for path in pictures}
