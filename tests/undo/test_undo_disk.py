"""What was done to files on the disk is taken back, and never is the last copy of one lost."""

from __future__ import annotations

import hashlib
import sys

import pytest

MOVING = """
rules:
  - name: import
    on: {watch_folder: {path: inbox, settle: 100ms}}
    do:
      - add_file:
      - move_source: {to: done}
"""
WRITING = """
rules:
  - name: import
    on: {watch_folder: {path: inbox, settle: 100ms}}
    do:
      - add_file:
      - add_tags: {my tags: new}
      - copy_source: {to: copies}
      - export_file: {to: exported}
      - export_file: {to: thumbnails, what: thumbnail}
      - write_sidecar: {to: sidecars, format: json}
      - DISPOSE
"""
WAYS = ["delete_source:", "trash_source: {folder: bin}"]


@pytest.mark.parametrize("way", WAYS, ids=["deleted", "in a folder for trash"])
def test_all_that_was_written_goes_and_the_source_comes_back(undoing, way):
    it = undoing(WRITING.replace("DISPOSE", way))
    for number in range(3):
        it.made.drop(f"inbox/{number}.png")
    dropped = it.remains()
    times = {p.name: p.stat().st_mtime_ns for p in (it.folder / "inbox").iterdir()}
    it.run(jobs=3)
    written = it.remains()
    assert {name.split("/")[0] for name in written} >= {"copies", "exported", "sidecars"}
    it.undo("run", it.newest_run())
    assert it.remains() == dropped
    assert it.library() == {}
    back = {p.name: p.stat().st_mtime_ns for p in (it.folder / "inbox").iterdir()}
    if sys.platform != "win32":
        assert back == times
    it.undo("run", it.newest_run())
    # What a thumbnail was is not kept.
    assert it.remains() == {n: c for n, c in written.items() if not n.startswith("thumbnails/")}
    assert len(it.library()) == 3


def contents(it):
    """Give the hashes of all that is left, on the disk or in the client."""
    on_disk = {hashlib.sha256(content).hexdigest() for content in it.remains().values()}
    return on_disk | set(it.library())


def test_what_only_the_client_has_stays_there(undoing):
    it = undoing(MOVING)
    it.made.drop("inbox/a.png").drop("inbox/b.png")
    it.run(jobs=2)
    whole = contents(it)
    (it.folder / "done" / "a.png").unlink()
    (it.folder / "done" / "b.png").write_bytes(b"another one")
    told = it.undo("run", 1, "--plan", code=1)
    assert "no copy of it was found outside of Hydrus" in told.replace("\n", " ").replace("  ", "")
    assert set(it.library()) == whole
    assert (it.folder / "done" / "b.png").read_bytes() == b"another one"


def test_nothing_is_written_over_a_file_that_is_there(undoing):
    it = undoing(MOVING)
    it.made.drop("inbox/a.png")
    it.run(jobs=1)
    # Another file has taken the old place since.
    (it.folder / "inbox" / "a.png").write_bytes(b"mine")
    job = it.query("SELECT max(id) FROM job")[0][0]
    fates = {step: s["fate"] for step, s in it.plan("job", job)[job].items()}
    assert fates == {"move_source": "left alone", "add_file": "to take back"}
    it.undo("job", job)
    assert (it.folder / "inbox" / "a.png").read_bytes() == b"mine"
    assert it.made.sha256("inbox/a.png") in contents(it)
    assert it.library() == {}


def test_what_was_changed_since_it_was_written_stays(undoing):
    it = undoing(WRITING.replace("DISPOSE", "move_source: {to: done}"))
    it.made.drop("inbox/a.png")
    it.run(jobs=1)
    [sidecar] = (it.folder / "sidecars").iterdir()
    sidecar.write_text("mine")
    (it.folder / "copies" / "a.png").write_bytes(b"mine, too")
    it.undo("run", 1)
    assert sidecar.read_text() == "mine"
    assert (it.folder / "copies" / "a.png").read_bytes() == b"mine, too"
    assert not list((it.folder / "exported").iterdir())
    assert (it.folder / "inbox" / "a.png").exists()


def test_what_was_there_before_stays_when_a_move_that_found_it_is_taken_back(undoing):
    it = undoing(MOVING)
    it.made.drop("inbox/a.png")
    content = (it.folder / "inbox" / "a.png").read_bytes()
    (it.folder / "done").mkdir()
    (it.folder / "done" / "a.png").write_bytes(content)
    before = it.remains()
    it.run(jobs=1)
    assert list(it.remains()) == ["done/a.png"]
    it.undo("run", 1)
    assert it.remains() == before
    it.undo("run", 2)
    assert list(it.remains()) == ["done/a.png"]
