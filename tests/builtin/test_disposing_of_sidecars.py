"""Sidecars go where their file goes, after it; and emptied folders go, if that is asked for."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import pytest
from disposal import CONTENT, Killed, dispose, remains

from hydrusd.builtin.actions import _emptying, trash_source
from hydrusd.builtin.actions.delete_source import DeleteSource
from hydrusd.builtin.actions.move_source import MoveSource
from hydrusd.builtin.actions.trash_source import TrashSource
from hydrusd.plugin import FileSource, OutcomeKind, SidecarFile, TemporaryError

pytestmark = pytest.mark.anyio


def sidecar(path, root, form="name", suffix=".txt"):
    return SidecarFile(FileSource.of(path, root, path.lstat()), "txt", form, suffix)


@pytest.fixture
def unit(call, inbox, picture):
    """Make the call for the picture with two sidecars, one of each form."""
    (inbox / "a.jpg.txt").write_bytes(b"by name")
    (inbox / "a.json").write_bytes(b"by stem")
    files = [sidecar(inbox / "a.jpg.txt", inbox), sidecar(inbox / "a.json", inbox, "stem", ".json")]

    def make(action, *, late=(), files=files, source=None):
        made = call(action, picture, source=source)
        told = {
            "late_for": list(late),
            "fault": "",
            "files": [each.to_data() for each in files],
            "suffixes": [".txt", ".json"],
        }
        return replace(made, data=json.loads(json.dumps({**made.data, "sidecar": told})))

    return make


async def run(call):
    return await dispose(call)


async def test_moved_with_the_name_that_the_file_got(unit, tmp_path):
    to = tmp_path / "done"
    to.mkdir()
    (to / "a.jpg").write_bytes(b"another")
    outcome = await run(unit(MoveSource(to=to)))
    assert outcome.kind is OutcomeKind.DONE
    assert outcome.frees_event
    assert remains(tmp_path) == {
        "done/a.jpg": b"another",
        "done/a (2).jpg": CONTENT,
        "done/a (2).jpg.txt": b"by name",
        "done/a (2).json": b"by stem",
    }
    assert outcome.detail.endswith("a (2).jpg; with a.jpg.txt, a.json")
    assert {each["to"] for each in outcome.receipt["sidecars"].values()} == {
        str(to / "a (2).jpg.txt"),
        str(to / "a (2).json"),
    }


async def test_deleted(unit, tmp_path):
    outcome = await run(unit(DeleteSource()))
    assert outcome.kind is OutcomeKind.DONE
    assert remains(tmp_path) == {}


async def test_put_into_a_folder_of_ones_own_as_trash(unit, tmp_path):
    assert (await run(unit(TrashSource(folder=tmp_path / "trash")))).kind is OutcomeKind.DONE
    assert set(remains(tmp_path)) == {"trash/a.jpg", "trash/a.jpg.txt", "trash/a.json"}


async def test_put_into_the_trash_of_the_system(unit, tmp_path, monkeypatch):
    import send2trash

    trashed = []

    def trash(path):
        trashed.append(Path(path).name)
        Path(path).unlink()

    monkeypatch.setattr(trash_source, "_has_trash", lambda path: True)
    monkeypatch.setattr(send2trash, "send2trash", trash)
    await run(unit(TrashSource()))
    assert trashed == ["a.jpg", "a.jpg.txt", "a.json"]


async def test_none_goes_where_the_file_stays(unit, picture, tmp_path):
    made = unit(DeleteSource())
    picture.write_bytes(b"another by now")
    before = remains(tmp_path)
    outcome = await run(made)
    assert outcome.kind is OutcomeKind.SKIPPED
    assert remains(tmp_path) == before


async def test_one_that_has_changed_stays_and_holds_nothing_up(unit, inbox, tmp_path):
    made = unit(DeleteSource())
    (inbox / "a.jpg.txt").write_bytes(b"new words")
    outcome = await run(made)
    assert outcome.kind is OutcomeKind.DONE
    assert outcome.detail == (
        "deleted; with a.json; a.jpg.txt stays: it has changed, and is noticed anew"
    )
    assert remains(tmp_path) == {"inbox/a.jpg.txt": b"new words"}


async def test_one_that_another_file_has_too_stays(unit, inbox, tmp_path):
    (inbox / "a.png").write_bytes(b"another")
    outcome = await run(unit(DeleteSource()))
    assert "a.json stays: it belongs to a.png, too" in outcome.detail
    assert set(remains(tmp_path)) == {"inbox/a.png", "inbox/a.json"}


async def test_a_late_one_goes_alone_and_its_file_stays(unit, inbox, tmp_path):
    late = [sidecar(inbox / "a.json", inbox, "stem", ".json")]
    made = unit(MoveSource(to=tmp_path / "done"), late=["a rule"], files=late)
    outcome = await run(made)
    assert outcome.detail == "a.json"
    assert outcome.frees_event
    assert set(remains(tmp_path)) == {"inbox/a.jpg", "inbox/a.jpg.txt", "done/a.json"}


async def test_one_that_cannot_go_now_is_tried_again_with_the_file_gone(
    unit, tmp_path, monkeypatch
):
    made = unit(DeleteSource())
    unlink = Path.unlink

    def busy(path, missing_ok=False):
        if path.name == "a.jpg.txt":
            raise PermissionError(13, "Permission denied")
        unlink(path, missing_ok)

    with monkeypatch.context() as patch:
        patch.setattr(Path, "unlink", busy)
        with pytest.raises(TemporaryError, match=r"a\.jpg\.txt cannot be deleted"):
            await run(made)
    assert set(remains(tmp_path)) == {"inbox/a.jpg.txt", "inbox/a.json"}
    outcome = await run(made)
    assert outcome.kind is OutcomeKind.DONE
    assert outcome.frees_event
    assert remains(tmp_path) == {}


async def test_killed_after_any_change_of_the_disk_nothing_is_lost(unit, tmp_path, power):
    to = tmp_path / "done"
    made = unit(MoveSource(to=to))
    whole = sorted([CONTENT, b"by name", b"by stem"])
    changes = 0
    while True:
        power.on(tmp_path, changes)
        try:
            outcome = await run(made)
        except Killed:
            power.off()
            assert {*whole} <= {*remains(tmp_path).values()}
            changes += 1
            continue
        power.off()
        break
    assert outcome.kind is OutcomeKind.DONE
    assert changes > 3
    assert remains(tmp_path) == {
        "done/a.jpg": CONTENT,
        "done/a.jpg.txt": b"by name",
        "done/a.json": b"by stem",
    }


async def test_plans_name_the_sidecars(unit, tmp_path):
    [foreseen] = await MoveSource.plan([unit(MoveSource(to=tmp_path / "done"))])
    assert foreseen.detail.endswith("a.jpg, with a.jpg.txt, a.json")


# --- emptied folders -------------------------------------------------------------------------


@pytest.fixture
def deep(inbox):
    folder = inbox / "one" / "two"
    folder.mkdir(parents=True)
    path = folder / "b.jpg"
    path.write_bytes(CONTENT)
    return path


async def test_emptied_folders_go_up_to_the_watched_one(call, deep, inbox, tmp_path):
    for junk in ("Thumbs.db", ".DS_Store", "desktop.ini"):
        (deep.parent / junk).write_bytes(b"junk")
    outcome = await run(call(DeleteSource(remove_emptied_folders=True), deep))
    assert inbox.is_dir()
    assert list(inbox.iterdir()) == []
    assert outcome.receipt["removed_folders"] == [str(deep.parent), str(deep.parent.parent)]
    # Done again, as after a kill: there is nothing left to do.
    again = call(DeleteSource(remove_emptied_folders=True), inbox, source=_gone(deep, inbox))
    assert (await run(again)).kind is OutcomeKind.DONE
    assert inbox.is_dir()


def _gone(path, root):
    return FileSource(path, root, len(CONTENT), 1, None)


@pytest.mark.parametrize("name", ["c.jpg", ".hidden", "Thumbs.db.bak", "thumbs.db/"])
async def test_a_folder_with_anything_in_it_stays(call, deep, name):
    (deep.parent / "Thumbs.db.keep").unlink(missing_ok=True)
    other = deep.parent / name.rstrip("/")
    other.mkdir() if name.endswith("/") else other.write_bytes(b"x")
    (deep.parent / ".DS_Store").write_bytes(b"junk")
    await run(call(DeleteSource(remove_emptied_folders=True), deep))
    assert other.exists()
    assert (deep.parent / ".DS_Store").exists()


async def test_folders_stay_unless_asked(call, deep):
    await run(call(DeleteSource(), deep))
    assert deep.parent.is_dir()


async def test_a_file_that_comes_that_very_moment_is_never_lost(deep, inbox, monkeypatch):
    deep.unlink()
    rmdir = Path.rmdir

    def late(path):
        (path / "new.jpg").write_bytes(b"new")
        rmdir(path)

    monkeypatch.setattr(Path, "rmdir", late)
    assert _emptying.remove_emptied(deep.parent, inbox) == []
    assert (deep.parent / "new.jpg").read_bytes() == b"new"
