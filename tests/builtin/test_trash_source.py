from __future__ import annotations

import errno
import os
import subprocess
import sys

import pytest
import send2trash
from disposal import dispose

from hydrusd.builtin.actions.trash_source import TrashSource
from hydrusd.model import OutcomeKind
from hydrusd.plugin import PermanentError, TemporaryError

pytestmark = pytest.mark.anyio

SAME_NAME_AT_ONCE = """
import sys
from pathlib import Path
import anyio
from hydrusd.builtin.actions.trash_source import TrashSource
from hydrusd.plugin import Call, FileSource

async def main(inbox):
    sources = [FileSource.of(path, inbox, path.lstat()) for path in inbox.rglob("*.jpg")]
    action = TrashSource()
    await TrashSource.run_set(
        [Call(action, 1, "a rule", {"file": each.to_data()}, None, None) for each in sources]
    )

anyio.run(main, Path(sys.argv[1]))
"""


def test_system_trash_keeps_every_file_of_the_same_name(inbox, tmp_path):
    # In a process of its own: where the trash is, is settled when send2trash is imported.
    for n in range(40):
        (inbox / str(n)).mkdir()
        (inbox / str(n) / "same.jpg").write_bytes(str(n).encode())
    home = tmp_path / "home"
    home.mkdir()
    environment = {**os.environ, "HOME": str(home), "XDG_DATA_HOME": str(home / "data")}
    subprocess.run(
        [sys.executable, "-c", SAME_NAME_AT_ONCE, str(inbox)], check=True, env=environment
    )
    assert list(inbox.rglob("*.jpg")) == []
    if sys.platform == "linux":  # the other systems' trash cannot be put elsewhere, to be read
        kept = {path.read_bytes() for path in (home / "data/Trash/files").iterdir()}
        assert kept == {str(n).encode() for n in range(40)}


@pytest.fixture
def trash(tmp_path, monkeypatch):
    """A trash that is certainly not the one of whoever runs the tests."""
    folder = tmp_path / "trash"
    folder.mkdir()

    def put(path):
        os.replace(path, folder / os.path.basename(path))  # noqa: PTH105, PTH119 - as it is called

    monkeypatch.setattr(send2trash, "send2trash", put)
    return folder


async def test_trashes_the_file(call, picture, trash):
    outcome = await dispose(call(TrashSource(), picture))
    assert (trash / "a.jpg").exists()
    assert not picture.exists()
    assert outcome.kind is OutcomeKind.DONE
    assert outcome.receipt == {"trashed": str(picture)}
    assert outcome.frees_event


async def test_repeated_after_a_crash_it_is_done(call, picture, trash):
    again = call(TrashSource(), picture)
    await dispose(call(TrashSource(), picture))
    outcome = await dispose(again)
    assert outcome.kind is OutcomeKind.DONE
    assert outcome.frees_event
    assert len(list(trash.iterdir())) == 1


async def test_leaves_another_file_of_the_name_alone(call, picture, trash):
    before = call(TrashSource(), picture)
    picture.write_bytes(b"another")
    outcome = await dispose(before)
    assert picture.read_bytes() == b"another"
    assert outcome.kind is OutcomeKind.SKIPPED


@pytest.mark.parametrize(
    ("failure", "error"),
    [
        (send2trash.TrashPermissionError("/mnt/nas/.Trash"), PermanentError),
        (OSError(errno.EROFS, "Read-only file system"), PermanentError),
        (OSError(errno.EBUSY, "Device or resource busy"), TemporaryError),
        (OSError("words without a number"), TemporaryError),
    ],
)
async def test_nothing_is_deleted_where_there_is_no_trash(
    call, picture, monkeypatch, failure, error
):
    def refusing(path):
        raise failure

    monkeypatch.setattr(send2trash, "send2trash", refusing)
    with pytest.raises(error, match=r"nothing was deleted; give trash_source a `folder`"):
        await dispose(call(TrashSource(), picture))
    assert picture.exists()


async def test_folder_of_ones_own(call, picture, tmp_path, trash):
    bin_folder = tmp_path / "my trash"
    bin_folder.mkdir()
    (bin_folder / "a.jpg").write_bytes(b"thrown away before")
    action = TrashSource(folder=bin_folder)
    outcome = await dispose(call(action, picture))
    assert not picture.exists()
    assert (bin_folder / "a (2).jpg").exists()
    assert outcome.receipt == {"from": str(picture), "to": str(bin_folder / "a (2).jpg")}
    assert list(trash.iterdir()) == []


async def test_folder_of_ones_own_repeated_after_a_crash(call, picture, tmp_path):
    action = TrashSource(folder=tmp_path / "my trash")
    again = call(action, picture)
    first = await dispose(call(action, picture))
    second = await dispose(again)
    assert second.kind is OutcomeKind.DONE
    assert second.receipt == first.receipt


async def test_file_that_someone_else_took_away_counts_as_trashed(call, picture, tmp_path):
    action = TrashSource(folder=tmp_path / "my trash")
    gone = call(action, picture)
    picture.unlink()
    outcome = await dispose(gone)
    assert outcome.kind is OutcomeKind.DONE
    assert outcome.frees_event
