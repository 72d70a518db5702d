"""Copies: whole ones, over nothing, and a single one however often the step is done."""

from __future__ import annotations

import errno
import hashlib
import os
from pathlib import Path

import pytest
from disposal import CONTENT, MTIME_NS, Killed, remains
from outside import rules

from hydrusd.builtin.actions.copy_source import CopySource
from hydrusd.model import OutcomeKind, StepRecord
from hydrusd.plugin import PermanentError, TemporaryError

pytestmark = pytest.mark.anyio


async def copy(call, picture, **parameters):
    action = CopySource(**parameters)
    return await action.run(call(action, picture))


async def test_copies_the_file_and_keeps_its_time(call, picture, tmp_path):
    to = tmp_path / "copies" / "2020"
    outcome = await copy(call, picture, to=to)
    assert picture.read_bytes() == CONTENT
    assert remains(to) == {"a.jpg": CONTENT}
    assert (to / "a.jpg").stat().st_mtime_ns == MTIME_NS
    assert outcome.kind is OutcomeKind.DONE
    assert outcome.detail == f"copied to {to / 'a.jpg'}"
    assert outcome.values == {"path": str(to / "a.jpg")}
    sha256 = hashlib.sha256(CONTENT).hexdigest()
    assert outcome.receipt == {"copied": str(to / "a.jpg"), "sha256": sha256}
    assert not outcome.frees_event


async def test_a_copy_is_a_file_of_its_own(call, picture, tmp_path):
    await copy(call, picture, to=tmp_path / "copies")
    with (tmp_path / "copies" / "a.jpg").open("r+b") as file:
        file.write(b"changed")
    assert picture.read_bytes() == CONTENT


async def test_done_again_it_makes_no_second_copy(call, picture, tmp_path):
    action = CopySource(to=tmp_path / "copies")
    first = await action.run(call(action, picture))
    again = await action.run(call(action, picture))
    assert "the same file was there already" in again.detail
    assert again.receipt == {"copied": None}
    assert again.values == first.values
    # After the client lost the work before it, the copy is still the one that this step made.
    after_restart = call(action, picture)
    after_restart.steps = (
        StepRecord(0, "copy_source", OutcomeKind.DONE, "", first.values, first.receipt),
    )
    assert (await action.run(after_restart)).receipt == first.receipt
    assert remains(tmp_path / "copies") == {"a.jpg": CONTENT}


async def test_nothing_is_overwritten(call, picture, tmp_path):
    to = tmp_path / "copies"
    to.mkdir()
    (to / "a.jpg").write_bytes(b"another")
    outcome = await copy(call, picture, to=to, on_collision="skip")
    assert outcome.kind is OutcomeKind.SKIPPED
    with pytest.raises(PermanentError, match="exists already, and is another file"):
        await copy(call, picture, to=to, on_collision="fail")
    assert remains(to) == {"a.jpg": b"another"}
    outcome = await copy(call, picture, to=to)
    assert outcome.values == {"path": str(to / "a (2).jpg")}
    assert remains(to) == {"a.jpg": b"another", "a (2).jpg": CONTENT}


async def test_a_name_of_its_own(call, picture, tmp_path):
    await copy(call, picture, to=tmp_path / "copies", name="b.jpeg")
    assert remains(tmp_path / "copies") == {"b.jpeg": CONTENT}
    with pytest.raises(PermanentError, match="cannot be the name of a file"):
        await copy(call, picture, to=tmp_path / "copies", name="../b.jpeg")


async def test_a_copy_in_the_watched_folder_is_refused(call, picture, inbox, tmp_path):
    with pytest.raises(PermanentError, match="noticed again; choose a folder outside of it"):
        await copy(call, picture, to=inbox / "copies")
    assert remains(tmp_path) == {"inbox/a.jpg": CONTENT}


async def test_another_file_of_the_name_is_not_copied(call, picture, tmp_path):
    action = CopySource(to=tmp_path / "copies")
    before = call(action, picture)
    picture.write_bytes(b"another")
    outcome = await action.run(before)
    assert outcome.kind is OutcomeKind.SKIPPED
    assert outcome.frees_event
    picture.unlink()
    assert (await action.run(before)).kind is OutcomeKind.SKIPPED
    assert remains(tmp_path) == {}


async def test_full_disk_leaves_no_rest(call, picture, tmp_path, monkeypatch):
    def full(descriptor):
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(TemporaryError, match=r"cannot be copied to .*: No space left"):
        await copy(call, picture, to=tmp_path / "copies")
    assert remains(tmp_path) == {"inbox/a.jpg": CONTENT}


async def test_killed_at_any_moment_a_repeat_leaves_one_whole_copy(call, picture, tmp_path, power):
    to = tmp_path / "copies"
    action = CopySource(to=to)
    for changes in range(50):
        power.on(to, changes)
        killed = False
        try:
            await action.run(call(action, picture))
        except Killed:
            killed = True
        power.off()
        whole = [name for name in remains(to) if not name.endswith("-part")]
        assert all(remains(to)[name] == CONTENT for name in whole)
        outcome = await action.run(call(action, picture))
        assert outcome.kind is OutcomeKind.DONE
        assert remains(to) == {"a.jpg": CONTENT}
        assert picture.read_bytes() == CONTENT
        (to / "a.jpg").unlink()
        if not killed:
            assert changes >= 3
            break
    else:
        pytest.fail("never came to an end")


def test_later_steps_know_where_the_copy_is(project):
    steps = (
        {"copy_source": {"to": "copies/{{ file.suffix[1:] }}"}},
        {"log": {"message": "{{ steps.copy_source.path }}"}},
        {"add_file": {}},
        {"trash_source": {"folder": "trash"}},
    )
    made = project({"rules.yaml": rules(*steps)}).drop("inbox/a.jpg").run().assert_success()
    assert (made.folder / "copies/jpg/a.jpg").is_file()
    assert (made.folder / "trash/a.jpg").is_file()
    assert not (made.folder / "inbox/a.jpg").exists()
    path = Path(made.job("inbox/a.jpg").steps[0].values["path"])
    assert path.samefile(made.folder / "copies/jpg/a.jpg")
