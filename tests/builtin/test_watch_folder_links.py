"""Symbolic links, where they are to be followed."""

from __future__ import annotations

import anyio
import pytest
from watched import how, names_in, until_noticed, watching

from hydrusd.builtin.triggers.watch_folder import WatchFolder
from hydrusd.errors import ConfigError
from hydrusd.model import JobState
from hydrusd.plugin import FileSource, SourceState

pytestmark = pytest.mark.anyio

RULES = """
client: {url: '{url}', access_key: '{access_key}', commit_wait: 100ms}
rules:
  - name: import
    on: {watch_folder: {path: inbox, settle: 50ms, symlinks: follow}}
    do:
      - add_file:
"""


@pytest.fixture
def other(tmp_path):
    folder = tmp_path / "other"
    (folder / "deep").mkdir(parents=True)
    (folder / "a.jpg").write_bytes(b"a")
    (folder / "deep" / "b.jpg").write_bytes(b"b")
    return folder


def found(root, **parameters):
    looker = WatchFolder(path=root, symlinks="follow", **parameters).looker()
    return {s.path.relative_to(root).as_posix() for part in looker.walk() for s in part.sources}


async def test_files_and_folders_that_links_lead_to_are_noticed(root, other):
    (root / "file.jpg").symlink_to(other / "a.jpg")
    (root / "folder").symlink_to(other, target_is_directory=True)
    (root / "own.jpg").write_bytes(b"own")
    async with watching(root, symlinks="follow") as context:
        assert "nothing is told of what symbolic links lead to" in how(context)
        await until_noticed(context, "file.jpg", "folder/a.jpg", "folder/deep/b.jpg", "own.jpg")
        (other / "deep" / "later.jpg").write_bytes(b"later")
        await until_noticed(context, "folder/deep/later.jpg")
        sources = {s.path.name: s for e in context.events if (s := FileSource.from_data(e.data))}
        assert {s.state() for s in sources.values()} == {SourceState.SAME}
        assert {name for name, s in sources.items() if not s.linked} == {"own.jpg"}
        with sources["file.jpg"].open() as file:
            assert file.read() == b"a"
        assert len(names_in(context)) == 5


def test_link_that_leads_elsewhere_by_now_is_another_file(root, other):
    (root / "file.jpg").symlink_to(other / "a.jpg")
    looker = WatchFolder(path=root, symlinks="follow").looker()
    (source,) = looker.look_at(["file.jpg"])
    (root / "file.jpg").unlink()
    (root / "file.jpg").symlink_to(other / "deep" / "b.jpg")
    assert source.state() is SourceState.CHANGED
    (other / "deep" / "b.jpg").unlink()
    assert source.state() is SourceState.GONE


@pytest.mark.parametrize("target", [".", "..", "sub", "sub/below"])
def test_links_to_what_is_looked_into_anyway_are_passed_over(root, target):
    (root / "sub" / "below").mkdir(parents=True)
    (root / "sub" / "a.jpg").write_bytes(b"a")
    (root / "loop").symlink_to((root / target).resolve(), target_is_directory=True)
    (root / "sub" / "below" / "loop").symlink_to((root / target).resolve())
    assert found(root) == {"sub/a.jpg"}
    looker = WatchFolder(path=root, symlinks="follow").looker()
    assert not looker.reaches("loop")
    if target in {".", "sub"}:
        name = "loop/sub/a.jpg" if target == "." else "loop/a.jpg"
        assert "looked into anyway" in looker.objection(name)
        assert looker.look_at([name]) == []


async def test_loop_outside_of_the_watched_folder_ends(root, other):
    (root / "out").symlink_to(other, target_is_directory=True)
    second = other.parent / "second"
    second.mkdir()
    (second / "c.jpg").write_bytes(b"c")
    (other / "on").symlink_to(second, target_is_directory=True)
    (second / "back").symlink_to(other, target_is_directory=True)
    (second / "self").symlink_to(second / "self")
    (second / "nothing").symlink_to(second / "not there")
    with anyio.fail_after(30):
        async with watching(root, symlinks="follow") as context:
            await until_noticed(context, "out/a.jpg", "out/deep/b.jpg", "out/on/c.jpg")
            assert len(names_in(context)) == 3
            assert context.warnings == []


def test_links_are_chosen_like_files(root, other):
    (root / "file.png").symlink_to(other / "a.jpg")
    (root / ".hidden.jpg").symlink_to(other / "a.jpg")
    (root / "@eaDir").symlink_to(other, target_is_directory=True)
    assert found(root, include=["*.jpg"]) == set()
    (root / "folder").symlink_to(other, target_is_directory=True)
    assert found(root, recursive=False) == {"file.png"}


def test_rule_that_follows_links_imports(project, other):
    made = project({"rules.yaml": RULES})
    made.drop("outside/a.jpg", noticed=False)
    (made.folder / "inbox").mkdir()
    (made.folder / "inbox" / "a.jpg").symlink_to(made.folder / "outside" / "a.jpg")
    made.run(jobs=1).assert_success()
    assert made.simulator.files.keys() == {made.sha256("outside/a.jpg")}
    assert made.job("inbox/a.jpg").state is JobState.DONE


@pytest.mark.parametrize("step", ["trash_source: ", "delete_source: ", "move_source: {to: moved}"])
def test_rule_that_follows_links_disposes_of_nothing(project, step):
    made = project({"rules.yaml": f"{RULES}      - {step}\n"})
    with pytest.raises(ConfigError, match="follows symbolic links") as caught:
        made.run()
    assert "symlinks: follow" in str(caught.value)
