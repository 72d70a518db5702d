from __future__ import annotations

import os
import sys

import pytest

from hydrusd.builtin.triggers import _looking
from hydrusd.builtin.triggers._globs import Selection
from hydrusd.builtin.triggers._looking import FolderAway, Looker
from hydrusd.plugin import part_of


@pytest.fixture
def looker(tmp_path):
    return Looker(tmp_path, Selection(["*"], [], hidden=False), recursive=True)


def found(slices):
    return sorted(s.path.name for part in slices for s in part.sources)


def test_walk_comes_in_bounded_slices(looker, tmp_path, monkeypatch):
    monkeypatch.setattr(_looking, "SLICE_ENTRIES", 10)
    for n in range(95):
        (tmp_path / f"{n:02}").write_bytes(b"x")
    slices = list(looker.walk())
    assert max(part.entries for part in slices) == 10
    assert found(slices) == [f"{n:02}" for n in range(95)]


def test_walk_of_a_folder_below(looker, tmp_path):
    (tmp_path / "a" / "b").mkdir(parents=True)
    for name in ("top", "a/one", "a/b/two"):
        (tmp_path / name).write_bytes(b"x")
    assert found(looker.walk("a")) == ["one", "two"]
    assert found(looker.walk("a/b")) == ["two"]


def test_walk_of_a_folder_that_is_not_reached(looker, tmp_path):
    (tmp_path / ".hidden" / "a").mkdir(parents=True)
    (tmp_path / ".hidden" / "a" / "file").write_bytes(b"x")
    (tmp_path / "link").symlink_to(tmp_path / ".hidden", target_is_directory=True)
    for folder in (".hidden/a", "link", "link/a", "not there"):
        assert found(looker.walk(folder)) == []
        assert looker.look_at([f"{folder}/file"]) == []


def test_scan_and_hint_give_a_file_the_same_key(looker, tmp_path):
    (tmp_path / "sub").mkdir()
    (tmp_path / "sub" / "file").write_bytes(b"x")
    (scanned,) = [s for part in looker.walk() for s in part.sources]
    (hinted,) = looker.look_at(["sub/file"])
    assert scanned == hinted
    assert scanned.key == hinted.key


def test_only_regular_files(looker, tmp_path):
    (tmp_path / "file").write_bytes(b"x")
    (tmp_path / "link").symlink_to(tmp_path / "file")
    (tmp_path / "folder").mkdir()
    if sys.platform != "win32":
        os.mkfifo(tmp_path / "pipe")
    assert found(looker.walk()) == ["file"]
    names = ["file", "link", "folder", "pipe"]
    assert [s.path.name for s in looker.look_at(names)] == ["file"]


def test_folder_that_vanishes_during_the_walk(looker, tmp_path, monkeypatch):
    monkeypatch.setattr(_looking, "SLICE_ENTRIES", 1)
    (tmp_path / "a").mkdir()
    (tmp_path / "b").mkdir()
    (tmp_path / "b" / "file").write_bytes(b"x")
    walk = looker.walk()
    parts = [next(walk), next(walk)]
    (tmp_path / "a").rmdir()
    parts += walk
    assert found(parts) == ["file"]
    assert [path for part in parts for path in part.unreadable] == []


def test_folder_that_cannot_be_listed_says_so(looker, tmp_path, monkeypatch):
    def refusing(path):
        raise PermissionError(13, "Permission denied", str(path))

    monkeypatch.setattr(os, "scandir", refusing)
    with pytest.raises(FolderAway, match="allow the user that runs hydrusd"):
        looker.identity()


def test_folder_whose_listing_breaks_off_gives_what_came_before(looker, tmp_path, monkeypatch):
    class Breaking:
        def __init__(self, entries):
            self.entries = entries

        def __enter__(self):
            return self

        def __exit__(self, *_):
            self.entries.close()

        def __iter__(self):
            yield next(self.entries)
            raise OSError(5, "Input/output error")

        def __next__(self):
            raise AssertionError

    for name in "ab":
        (tmp_path / name).write_bytes(b"x")
    scandir = os.scandir
    monkeypatch.setattr(os, "scandir", lambda path: Breaking(scandir(path)))
    walk = looker.walk()
    assert len(next(walk).sources) == 1
    with pytest.raises(FolderAway, match="Input/output error"):
        next(walk)


# --- surveys: whole folders, and whether they are as they were -------------------------------


def fill(folder, count, first=0):
    folder.mkdir(exist_ok=True)
    for n in range(first, first + count):
        (folder / f"{n:04}").write_bytes(b"x" * n)


def surveyed(looker):
    """All digests, and all files by asking for those of every group."""
    digests, files = {}, []
    for survey in looker.survey():
        before = dict(survey.digests)
        for batch in looker.files_in(survey, [*survey.digests], 7):
            assert 0 < len(batch) <= 7
            files += batch
        assert survey.digests == before
        digests |= before
    return digests, files


@pytest.mark.parametrize("most_held", [20_000, 100])
def test_survey_gives_every_file_in_its_group_once(looker, tmp_path, monkeypatch, most_held):
    monkeypatch.setattr(_looking, "MOST_HELD", most_held)
    monkeypatch.setattr(_looking, "SLICE_ENTRIES", 40)
    for name, count in (("a", 600), ("b", 3), ("empty", 0)):
        fill(tmp_path / name, count)
    digests, files = surveyed(looker)
    assert [*digests].count((str(tmp_path / "b"), 1)) == 1
    assert {folder for folder, _ in digests} == {str(tmp_path / "a"), str(tmp_path / "b")}
    assert {group for _, group in files} == digests.keys()
    assert sorted(source.path for source, _ in files) == sorted(
        path for path in tmp_path.rglob("*") if path.is_file()
    )
    walked = [source for part in looker.walk() for source in part.sources]
    assert {source.key for source, _ in files} == {source.key for source in walked}


def test_digests_are_the_same_whether_files_are_held_or_not(looker, tmp_path, monkeypatch):
    fill(tmp_path / "a", 600)
    held, _ = surveyed(looker)
    monkeypatch.setattr(_looking, "MOST_HELD", 100)
    monkeypatch.setattr(_looking, "SLICE_ENTRIES", 40)
    assert surveyed(looker)[0] == held
    assert len(held) == 4


def test_of_a_folder_that_is_not_held_only_what_is_asked_for_is_looked_at_again(
    looker, tmp_path, monkeypatch
):
    monkeypatch.setattr(_looking, "MOST_HELD", 100)
    fill(tmp_path / "a", 600)
    [survey] = [each for each in looker.survey() if each.digests]
    group = (str(tmp_path / "a"), part_of("0600", 2))
    other = next(iter(survey.digests.keys() - {group}))
    before = dict(survey.digests)
    fill(tmp_path / "a", 40, first=600)  # meanwhile
    files = [each for batch in looker.files_in(survey, [group], 1000) for each in batch]
    assert {each for _, each in files} == {group}
    assert tmp_path / "a" / "0600" in {source.path for source, _ in files}
    assert 100 < len(files) < 250
    assert survey.digests[group] != before[group]  # it tells of the files that were given
    assert survey.digests[other] == before[other]


def test_large_folder_that_is_gone_when_it_is_looked_at_again(looker, tmp_path, monkeypatch):
    monkeypatch.setattr(_looking, "MOST_HELD", 100)
    fill(tmp_path / "a", 600)
    [survey] = [each for each in looker.survey() if each.digests]
    (tmp_path / "a").rename(tmp_path.parent / f"{tmp_path.name} away")
    assert list(looker.files_in(survey, [*survey.digests], 1000)) == []
    assert survey.digests == {}
