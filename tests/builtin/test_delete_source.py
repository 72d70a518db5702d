from __future__ import annotations

import errno
from pathlib import Path

import pytest
from disposal import dispose

from hydrusd.builtin.actions.delete_source import DeleteSource
from hydrusd.builtin.actions.move_source import MoveSource
from hydrusd.builtin.actions.trash_source import TrashSource
from hydrusd.model import OutcomeKind, ParkScope
from hydrusd.plugin import PermanentError, TemporaryError

pytestmark = pytest.mark.anyio


async def test_deletes_the_file(call, picture):
    outcome = await dispose(call(DeleteSource(), picture))
    assert not picture.exists()
    assert outcome.kind is OutcomeKind.DONE
    assert outcome.receipt == {"deleted": str(picture)}
    assert outcome.frees_event


async def test_repeated_after_a_crash_it_is_done(call, picture):
    again = call(DeleteSource(), picture)
    await dispose(call(DeleteSource(), picture))
    outcome = await dispose(again)
    assert outcome.kind is OutcomeKind.DONE
    assert "no longer there" in outcome.detail
    assert outcome.frees_event


async def test_leaves_another_file_of_the_name_alone(call, picture):
    before = call(DeleteSource(), picture)
    picture.write_bytes(b"another")
    outcome = await dispose(before)
    assert picture.read_bytes() == b"another"
    assert outcome.kind is OutcomeKind.SKIPPED
    assert outcome.frees_event


async def test_waits_while_the_folder_is_away(call, picture, inbox, tmp_path):
    before = call(DeleteSource(), picture)
    inbox.rename(tmp_path / "unplugged")
    outcome = await dispose(before)
    assert (outcome.kind, outcome.scope) == (OutcomeKind.PARK, ParkScope.RULE)


@pytest.mark.parametrize(
    ("number", "error"), [(errno.EACCES, TemporaryError), (errno.EROFS, PermanentError)]
)
async def test_failure_says_what_the_system_said(call, picture, monkeypatch, number, error):
    def refusing(self, missing_ok=False):
        raise OSError(number, "the system's words", str(self))

    monkeypatch.setattr(Path, "unlink", refusing)
    with pytest.raises(error, match="cannot be deleted: the system's words"):
        await dispose(call(DeleteSource(), picture))
    assert picture.exists()


@pytest.mark.parametrize("action", [DeleteSource(), TrashSource(), MoveSource(to="elsewhere")])
async def test_event_without_a_file_is_refused(call, picture, action):
    without = call(action, picture)
    without.data = {"time": "12:00"}
    with pytest.raises(PermanentError, match="not a file"):
        await dispose(without)


@pytest.mark.parametrize("action", [DeleteSource, TrashSource, MoveSource])
def test_runs_only_when_all_is_durable_and_needs_no_client(action):
    assert action.disposes
    assert action.needs_source
    assert not action.needs_client
    assert not action.changes_client
    assert action.destroys == (action is not MoveSource)
