"""A file reaches the client by the way that the rules say, and never as another one."""

from __future__ import annotations

import hashlib

import pytest

from hydrusd.model import JobState
from hydrusd.simulator.routes import add_files
from hydrusd.testing import paint

RULES = """\
client:
  url: {url}
  access_key: {access_key}
  transfer: MODE
MAP
rules:
  - name: import
    on:
      watch_folder: {path: inbox, settle: 50ms}
    do:
      - add_file:
      - trash_source: {folder: trash}
"""


@pytest.fixture
def told(monkeypatch):
    """The paths that the client was told."""
    paths = []
    given = add_files._given_path

    def look(call):
        paths.append(call.arguments.text("path"))
        return given(call)

    monkeypatch.setattr(add_files, "_given_path", look)
    return paths


@pytest.fixture
def made(project):
    def made(mode, path_map=""):
        return project({"rules.yaml": RULES.replace("MODE", mode).replace("MAP", path_map)})

    return made


def to(folder):
    """Give the lines of a map from the inbox to where the client is said to see it."""
    return f"  path_map:\n    - {{here: inbox, there: '{folder}'}}\n"


@pytest.mark.parametrize("mode", ["bytes", "path", "auto"])
def test_each_way_imports_the_file(made, told, mode):
    project = made(mode)
    project.drop("inbox/a.png").drop("inbox/ü [b]/ß.jpg").run().assert_success()
    names = ("inbox/a.png", "inbox/ü [b]/ß.jpg")
    hashes = {project.sha256(name) for name in names}
    assert project.simulator.committed_files() == hashes
    assert not any((project.folder / name).exists() for name in names)
    expected = [] if mode == "bytes" else sorted(str(project.folder / name) for name in names)
    assert sorted(told) == expected


@pytest.mark.parametrize("mode", ["path", "auto"])
def test_the_client_sees_it_elsewhere(made, told, tmp_path, mode):
    there = tmp_path / "mounted"
    there.mkdir()
    (there / "a.png").write_bytes(paint("inbox/a.png"))
    project = made(mode, to(there))
    project.drop("inbox/a.png").run().assert_success()
    assert told == [str(there / "a.png")]
    assert project.simulator.committed_files() == {project.sha256("inbox/a.png")}


def test_auto_falls_back_where_the_client_sees_nothing(made, told, tmp_path):
    project = made("auto", to(tmp_path / "nowhere"))
    for number in range(5):
        project.drop(f"inbox/{number}.png")
    project.run().assert_success()
    assert len(told) == 1
    assert len(project.simulator.committed_files()) == 5


def test_path_gives_up_the_file_that_the_client_does_not_see(made, tmp_path):
    there = tmp_path / "mounted"
    there.mkdir()
    (there / "b.png").write_bytes(paint("inbox/b.png"))
    project = made("path", to(there))
    project.drop("inbox/a.png").drop("inbox/b.png").run()
    [dead] = project.dead_letters
    assert "does not exist" in dead.detail
    assert (project.folder / "inbox/a.png").exists()
    assert project.job("inbox/b.png").state is JobState.DONE


@pytest.mark.parametrize("mode", ["path", "auto"])
def test_another_file_there_is_noticed_and_the_source_kept(made, told, tmp_path, mode):
    there = tmp_path / "mounted"
    there.mkdir()
    for number in range(3):
        (there / f"{number}.png").write_bytes(paint(f"another {number}.png"))
    project = made(mode, to(there))
    for number in range(3):
        project.drop(f"inbox/{number}.png")
    project.run()
    # After the first doubt no path is told any more; bytes are still beyond doubt.
    assert len(told) == 1
    states = [job.state for job in project.jobs]
    assert states.count(JobState.DEAD) == (3 if mode == "path" else 1)
    wrong = [d for d in project.dead_letters if "the client has another file at" in d.detail]
    assert len(wrong) == 1
    assert told[0] in wrong[0].detail
    for number in range(3):
        sha256 = project.sha256(f"inbox/{number}.png")
        kept = (project.folder / f"inbox/{number}.png").exists()
        assert kept != (sha256 in project.simulator.committed_files())


def test_a_file_that_changes_while_the_client_reads_it(made, monkeypatch):
    project = made("path")
    half, whole = (paint("inbox/a.png") + more for more in (b"1", b"2"))
    read = add_files.upload_from

    def read_half(path, scratch):
        monkeypatch.setattr(add_files, "upload_from", read)
        path.write_bytes(half)
        upload = read(path, scratch)
        path.write_bytes(whole)
        return upload

    monkeypatch.setattr(add_files, "upload_from", read_half)
    project.drop("inbox/a.png").run(jobs=2)
    first, second = project.jobs
    assert first.state is JobState.SKIPPED
    # The client has it now, and somebody has to know.
    taken = hashlib.sha256(half).hexdigest()
    assert f"written to meanwhile; the client took what has the hash {taken}" in (
        first.steps[0].detail
    )
    assert second.state is JobState.DONE
    assert (project.folder / "trash" / "a.png").read_bytes() == whole
