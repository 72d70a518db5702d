from __future__ import annotations

import json
import os
import sys
from pathlib import Path

import pytest
from hypothesis import given, strategies as st

from hydrusd.model import OutcomeKind, ParkScope
from hydrusd.plugin import FileChangedError, FileSource, SourceState, source_outcome


@pytest.fixture
def root(tmp_path):
    made = tmp_path / "inbox"
    (made / "album").mkdir(parents=True)
    return made


@pytest.fixture
def file(root):
    made = root / "album" / "A Picture.JPG"
    made.write_bytes(b"picture")
    return made


def noticed(file: Path, root: Path) -> FileSource:
    return FileSource.of(file, root, file.stat())


# --- all of it at once -----------------------------------------------------------------------


@pytest.mark.parametrize("size", [0, 1, 7, 4_096])
def test_a_small_file_is_read_whole(root, size):
    file = root / "small.bin"
    file.write_bytes(bytes(range(256)) * 16)
    os.truncate(file, size)
    content = (bytes(range(256)) * 16)[:size]
    assert noticed(file, root).content(size) == content
    assert noticed(file, root).content(1 << 20) == content


def test_a_larger_one_is_not(file, root):
    assert noticed(file, root).content(6) is None


@pytest.mark.parametrize("change", ["rewritten", "longer", "shorter", "replaced", "a folder"])
def test_of_another_file_nothing_is_given(file, root, change):
    source = noticed(file, root)
    match change:
        case "rewritten":
            file.write_bytes(b"PICTURE")
            os.utime(file, ns=(0, source.mtime_ns + 100))
        case "longer":
            file.write_bytes(b"picture!")
        case "shorter":
            os.truncate(file, 3)
        case "replaced":
            (root / "other").write_bytes(b"other and longer")
            (root / "other").replace(file)
        case _:
            file.unlink()
            file.mkdir()
    # Windows refuses to open a folder in its own words.
    errors = (FileChangedError, PermissionError) if change == "a folder" else FileChangedError
    with pytest.raises(errors):
        source.content(100)


def test_written_to_while_it_is_read_it_is_not_given(file, root, monkeypatch):
    source = noticed(file, root)
    read = os.read

    def reading(descriptor, size):
        content = read(descriptor, size)
        os.truncate(file, 0)
        file.write_bytes(b"another")
        os.utime(file, ns=(0, source.mtime_ns + 1_000_000))
        return content

    monkeypatch.setattr(os, "read", reading)
    with pytest.raises(FileChangedError):
        source.content(100)


def test_one_that_is_gone_is_not_there(file, root):
    source = noticed(file, root)
    file.unlink()
    with pytest.raises(FileNotFoundError):
        source.content(100)


# --- what became of it -----------------------------------------------------------------------


def test_untouched_it_is_the_same(file, root):
    assert noticed(file, root).state() is SourceState.SAME


def test_read_or_opened_it_is_still_the_same(file, root):
    source = noticed(file, root)
    file.read_bytes()
    with file.open("r+b"):
        assert source.state() is SourceState.SAME


def test_longer_it_has_changed(file, root):
    source = noticed(file, root)
    with file.open("ab") as stream:
        stream.write(b"!")
    os.utime(file, ns=(source.mtime_ns, source.mtime_ns))
    assert source.state() is SourceState.CHANGED


def test_rewritten_at_the_same_size_it_has_changed(file, root):
    source = noticed(file, root)
    file.write_bytes(b"PICTURE")
    os.utime(file, ns=(source.mtime_ns + 100, source.mtime_ns + 100))
    assert source.state() is SourceState.CHANGED


def test_replaced_by_another_of_the_same_size_and_time_it_has_changed(file, root):
    source = noticed(file, root)
    other = root / "other"
    other.write_bytes(b"PICTURE")
    os.utime(other, ns=(source.mtime_ns, source.mtime_ns))
    other.replace(file)
    assert source.state() is SourceState.CHANGED


# A link wants a privilege on Windows.
OTHERS = ["folder"] if sys.platform == "win32" else ["folder", "link"]


@pytest.mark.parametrize("other", OTHERS)
def test_replaced_by_what_is_no_file_it_has_changed(file, root, other):
    source = noticed(file, root)
    moved = file.rename(root / "moved.jpg")
    if other == "link":
        file.symlink_to(moved)
    else:
        file.mkdir()
    assert source.state() is SourceState.CHANGED


def test_only_a_file_is_ever_the_same(root):
    assert noticed(root / "album", root).state() is SourceState.CHANGED


def test_where_a_listing_knows_no_inode_size_and_time_decide(file, root):
    """Windows' directory listing says 0."""
    status = list(file.stat())
    status[1] = 0
    without = FileSource(file, root, file.stat().st_size, file.stat().st_mtime_ns, None)
    assert FileSource.of(file, root, os.stat_result(status)).inode is None
    assert without.state() is SourceState.SAME
    file.write_bytes(b"longer than before")
    assert without.state() is SourceState.CHANGED


def test_deleted_it_is_gone(file, root):
    source = noticed(file, root)
    file.unlink()
    assert source.state() is SourceState.GONE


def test_deleted_with_its_folder_it_is_gone(file, root):
    source = noticed(file, root)
    file.unlink()
    file.parent.rmdir()
    assert source.state() is SourceState.GONE


def test_a_file_where_its_folder_was_means_gone(file, root):
    source = noticed(file, root)
    file.unlink()
    file.parent.rmdir()
    file.parent.write_bytes(b"")
    assert source.state() is SourceState.GONE


def test_with_the_watched_folder_away_nothing_is_said_to_be_deleted(file, root, tmp_path):
    source = noticed(file, root)
    root.rename(tmp_path / "unplugged")
    assert source.state() is SourceState.ROOT_GONE
    (tmp_path / "unplugged").rename(root)
    assert source.state() is SourceState.SAME


def test_an_error_that_says_nothing_about_the_file_means_unreadable(root):
    """A name too long for any file system; Windows calls that "not found"."""
    source = FileSource(root / ("x" * 5000), root, 1, 1, None)
    expected = SourceState.GONE if sys.platform == "win32" else SourceState.UNREADABLE
    assert source.state() is expected


def test_each_state_has_its_outcome(file, root):
    source = noticed(file, root)
    outcomes = {state: source_outcome(state, source) for state in SourceState}
    assert outcomes[SourceState.SAME] is None
    assert {
        state: (outcome.kind, outcome.frees_event) for state, outcome in outcomes.items() if outcome
    } == {
        SourceState.CHANGED: (OutcomeKind.SKIPPED, True),
        SourceState.GONE: (OutcomeKind.SKIPPED, True),
        SourceState.ROOT_GONE: (OutcomeKind.PARK, False),
        SourceState.UNREADABLE: (OutcomeKind.RETRY, False),
    }
    assert outcomes[SourceState.ROOT_GONE].scope is ParkScope.RULE


# --- its data and its key --------------------------------------------------------------------

# Whatever bytes a Linux file name has, as Python shows them; and what other systems allow.
NAMES = st.one_of(
    st.text(st.characters(exclude_characters="/\\\0:", codec="utf-8"), min_size=1, max_size=20),
    st.binary(min_size=1, max_size=20).map(lambda b: b.decode("utf-8", "surrogateescape")),
    st.sampled_from(["a|b", '"quoted"', "{{ file.name }}", "new\nline", "nul\0", "~", "%41", ".a"]),
).filter(lambda name: name not in {".", ".."} and not set(name) & set("/\\:"))

SOURCES = st.builds(
    lambda names, size, mtime_ns, inode: FileSource(
        Path("watched folder", *names), Path("watched folder"), size, mtime_ns, inode
    ),
    st.lists(NAMES, min_size=1, max_size=3),
    st.integers(0, 2**63),
    st.integers(-(2**63), 2**63),
    st.none() | st.integers(1, 2**64),
)


@given(SOURCES)
def test_it_survives_being_stored(source):
    stored = json.loads(json.dumps(source.to_data()))
    assert FileSource.from_data({"file": stored}) == source
    assert stored["name"] == source.path.name
    assert stored["parent"]["name"] == source.path.parent.name


@given(SOURCES)
def test_its_key_is_text_that_any_database_takes(source):
    source.key.encode("ascii")
    assert "\0" not in source.key
    assert "\n" not in source.key


@given(SOURCES, SOURCES)
def test_different_files_have_different_keys(one, other):
    def identity(s):
        return (s.path, s.size, s.mtime_ns, s.inode)

    assert (one.key == other.key) == (identity(one) == identity(other))


def test_templates_see_plain_words(file, root):
    data = noticed(file, root).to_data()
    assert data["name"] == "A Picture.JPG"
    assert data["stem"] == "A Picture"
    assert data["suffix"] == ".jpg"
    assert data["relative"] == "album/A Picture.JPG"
    assert data["parent"] == {"name": "album", "path": str(file.parent)}
    assert data["size"] == 7


@pytest.mark.parametrize("data", [{}, {"file": None}, {"file": "a.jpg"}, {"other": {}}])
def test_an_event_without_a_file_has_no_source(data):
    assert FileSource.from_data(data) is None
