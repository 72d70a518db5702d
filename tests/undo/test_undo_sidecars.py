"""What sidecars gave a file is taken back, and sidecars come back with their file."""

from __future__ import annotations

import json
import os

import pytest
from test_undo_crash import Killing

from hydrusd.model import JobState

RULES = """
rules:
  - name: import
    on: {watch_folder: {path: inbox, settle: 100ms, sidecars: [txt, json], sidecar_wait: 200ms}}
    do:
      - add_file:
      - apply_sidecar:
      - DISPOSE
"""
MOVING = RULES.replace("DISPOSE", "move_source: {to: done, remove_emptied_folders: true}")
FILES = 3


def words(told):
    """Give what a table has told, without its lines."""
    return " ".join(told.split())


@pytest.fixture
def it(undoing):
    """A project with files that the client has already, each with two sidecars."""
    it = undoing(MOVING)
    for number in range(FILES):
        name = f"inbox/below/{number}.png"
        it.tag(it.made.seed(name), add=["mine", "one"])
        it.made.drop(name)
        sidecar = {
            "tags": ["one", "two"],
            "url": "https://site.example/1",
            "notes": {"title": "words"},
            "ratings": {"favourites": True},
            "times": {
                "modified": dict.fromkeys(["a.example", "b.example"], "2021-01-01T00:00:00Z")
            },
            "hash": it.made.sha256(name),
        }
        beside = it.folder / f"{name}.json"
        beside.write_text(json.dumps(sidecar), encoding="utf-8")
        beside.with_suffix(".txt").write_text(f"tag {number}\n", encoding="utf-8")
    it.before, it.dropped = everything(it), it.remains()
    return it


def everything(it):
    """Give what the client knows of its files, with their times."""
    rows = it.made.ask("/get_files/file_metadata", hashes=json.dumps(sorted(it.library())))
    times = {row["hash"]: row["time_modified_details"] for row in rows["metadata"]}
    return {
        file_hash: facts | {"times": times[file_hash]} for file_hash, facts in it.library().items()
    }


def test_what_sidecars_gave_and_where_they_were_and_all_of_it_again(it):
    it.run(jobs=FILES)
    after, moved = everything(it), it.remains()
    for facts in after.values():
        assert set(facts["tags"]) >= {"mine", "one", "two"}
        assert facts["notes"] == {"title": "words"}
        assert True in facts["ratings"].values()
        assert {"a.example", "b.example"} <= facts["times"].keys()
    assert {path.split("/")[0] for path in moved} == {"done"}
    assert not (it.folder / "inbox" / "below").exists()
    plan = words(it.undo("run", 1, "--plan", "--all"))
    assert "with 0.png.txt, 0.png.json" in plan
    it.undo("run", 1)
    assert everything(it) == it.before
    assert it.remains() == it.dropped
    it.undo("run", 2)
    assert everything(it) == after
    assert it.remains() == moved
    it.undo("run", 3)
    assert everything(it) == it.before
    assert it.remains() == it.dropped


def test_what_is_back_is_not_done_again(it):
    it.run(jobs=FILES)
    it.undo("run", 1)
    it.made.drop("inbox/z.png")
    it.made.run(jobs=2 * FILES + 1)
    assert it.remains().keys() - it.dropped.keys() == {"done/z.png"}
    # Nor when it comes back as other files, as from another disk.
    for path in (it.folder / "inbox").rglob("*.*"):
        content, status = path.read_bytes(), path.stat()
        path.unlink()
        path.write_bytes(content)
        os.utime(path, ns=(status.st_mtime_ns, status.st_mtime_ns))
    it.made.drop("inbox/y.png")
    it.made.run(jobs=2 * FILES + 2)
    assert it.remains().keys() - it.dropped.keys() == {"done/y.png", "done/z.png"}


def test_nothing_is_written_over_a_sidecar_that_is_there(it):
    it.run(jobs=FILES)
    taken = it.folder / "inbox/below/0.png.txt"
    taken.parent.mkdir()
    taken.write_text("mine", encoding="utf-8")
    changed = it.folder / "done/1.png.json"
    changed.write_text("{}", encoding="utf-8")
    plan = words(it.undo("run", 1, "--plan", "--all"))
    assert "0.png.txt is left alone" in plan
    assert "1.png.json is left alone" in plan
    it.undo("run", 1)
    assert taken.read_text(encoding="utf-8") == "mine"
    assert (it.folder / "done/0.png.txt").exists()
    assert changed.read_text(encoding="utf-8") == "{}"
    back = {path for path in it.remains() if path.startswith("inbox/")}
    assert back == it.dropped.keys() - {"inbox/below/1.png.json"}


def test_a_late_sidecar_goes_back_alone_and_only_it_is_passed_over(undoing):
    it = undoing(MOVING)
    it.made.drop("inbox/a.png")
    it.run(jobs=1)
    late = it.folder / "inbox/a.png.txt"
    late.write_text("late\n", encoding="utf-8")
    it.run(jobs=2)
    assert it.tags("inbox/a.png") == ["late"]
    assert set(it.remains()) == {"done/a.png", "done/a.png.txt"}
    it.undo("run", it.newest_run())
    assert it.tags("inbox/a.png") == []
    assert set(it.remains()) == {"done/a.png", "inbox/a.png.txt"}
    # Another one is another one.
    (it.folder / "inbox/a.png.json").write_text('{"tags": ["later"]}', encoding="utf-8")
    it.run(jobs=4)
    assert it.tags("inbox/a.png") == ["later"]
    assert set(it.remains()) == {"done/a.png", "done/a.png.json", "inbox/a.png.txt"}


@pytest.mark.parametrize("way", ["delete_source:", "trash_source: {folder: bin}"])
def test_of_sidecars_that_are_gone_for_good_it_says_so_beforehand(undoing, way):
    it = undoing(RULES.replace("DISPOSE", way))
    it.made.drop("inbox/a.png")
    (it.folder / "inbox/a.png.txt").write_text("tag\n", encoding="utf-8")
    dropped = it.remains()
    it.run(jobs=1)
    plan = words(it.undo("run", 1, "--plan", "--all"))
    gone = "a.png.txt does not come back"
    assert (gone in plan) is way.startswith("delete")
    it.undo("run", 1)
    kept = dropped.keys() - ({"inbox/a.png.txt"} if way.startswith("delete") else set())
    assert it.remains().keys() == kept


@pytest.mark.parametrize("at", ["/add_tags/add_tags", "/add_urls/associate_url"])
def test_what_a_killed_daemon_had_just_applied_is_its_own_all_the_same(it, at):
    killing = Killing(it)
    killing.start("run", "rules.yaml", at=at)
    killing.die()
    it.run(jobs=FILES)
    assert {job.state for job in it.made.jobs} == {JobState.DONE}
    it.undo("run", 1)
    assert everything(it) == it.before
