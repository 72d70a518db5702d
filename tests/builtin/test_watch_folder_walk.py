from __future__ import annotations

import os
import sys

import pytest

from hydrusd.builtin.triggers import _looking
from hydrusd.builtin.triggers._globs import Selection
from hydrusd.builtin.triggers._looking import FolderAway, Looker


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
