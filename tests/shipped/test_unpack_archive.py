"""The shipped plugin that unpacks archives: honest ones, and those that mean harm."""

from __future__ import annotations

import importlib
import io
import os
import stat
import struct
import zipfile
from pathlib import Path

import pytest

from hydrusd.clock import SystemClock
from hydrusd.daemon import load_plugins
from hydrusd.model import JobId, OutcomeKind
from hydrusd.plugin import Call, FileSource, PermanentError, TemporaryError


@pytest.fixture(scope="module")
def action():
    return load_plugins([]).actions["unpack_archive"]


def packed(*entries, method=zipfile.ZIP_DEFLATED):
    written = io.BytesIO()
    with zipfile.ZipFile(written, "w", method) as archive:
        for name, content in entries:
            archive.writestr(name, content)
    return written.getvalue()


class Place:
    def __init__(self, folder, action):
        self.folder, self.action = folder, action
        (folder / "in").mkdir()

    def call(self, content, name="comic.cbz", **parameters):
        path = self.folder / "in" / name
        path.write_bytes(content)
        step = self.action.model_validate({"to": str(self.folder / "out"), **parameters})
        data = {"file": FileSource.of(path, path.parent, path.lstat()).to_data()}
        return Call(step, JobId(1), "unpack", data, None, SystemClock())

    def unpack(self, content, name="comic.cbz", **parameters):
        call = self.call(content, name, **parameters)
        return call.action.run(call)

    def refuses(self, content, **parameters):
        """Give why; nothing may have been written, anywhere."""
        before = self.everything()
        try:
            outcome = self.unpack(content, **parameters)
        except PermanentError as error:
            why = str(error)
        else:
            assert outcome.kind is OutcomeKind.DEAD
            why = outcome.detail
        assert self.everything() - before <= {"in/comic.cbz", "out"}
        return why

    def everything(self):
        return {p.relative_to(self.folder).as_posix() for p in self.folder.rglob("*")}

    def files(self):
        out = self.folder / "out"
        return {p.relative_to(out).as_posix() for p in out.rglob("*") if p.is_file()}


@pytest.fixture
def place(tmp_path, action):
    return Place(tmp_path, action)


COMIC = packed(("1.png", b"one"), ("extras/2.png", b"two" * 1000), ("extras/", b""))


def test_an_archive_gets_a_folder_of_its_own(place):
    outcome = place.unpack(COMIC)
    assert place.files() == {"comic/1.png", "comic/extras/2.png"}
    assert (place.folder / "out/comic/extras/2.png").read_bytes() == b"two" * 1000
    assert outcome.values["files"] == 2
    assert outcome.values["paths"][0] == str(place.folder / "out" / "comic" / "1.png")
    assert (place.folder / "in/comic.cbz").exists()


def test_done_again_it_changes_nothing(place):
    place.unpack(COMIC)
    before = {p: p.stat().st_mtime_ns for p in (place.folder / "out").rglob("*")}
    assert "already" in place.unpack(COMIC).detail
    assert {p: p.stat().st_mtime_ns for p in (place.folder / "out").rglob("*")} == before


def test_another_archive_of_the_same_name_gets_another_folder(place):
    place.unpack(COMIC)
    place.unpack(packed(("1.png", b"ONE")), name="comic.zip")
    place.unpack(packed(("1.png", b"ONE")), name="comic.zip")
    assert place.files() == {"comic/1.png", "comic/extras/2.png", "comic (2)/1.png"}


def test_what_a_stopped_run_has_left_is_cleared_away(place):
    part = place.folder / "out" / ".hydrusd-1.part"
    part.mkdir(parents=True)
    (part / "1.png").write_bytes(b"half")
    place.unpack(COMIC)
    assert place.files() == {"comic/1.png", "comic/extras/2.png"}


@pytest.mark.parametrize(
    "name",
    [
        "../evil.png",
        "a/../../evil.png",
        "/etc/evil.png",
        "..\\evil.png",
        "C:\\evil.png",
        "C:evil.png",
        "a/\x01.png",
        "nul.png",
        "a/COM1",
        "evil. ",
        "evil.",
        "/".join("d" * 30),
        "x" * 201,
        "stream.png:hidden",
    ],
)
def test_no_name_leads_anywhere_else(place, name):
    assert "in the archive" in place.refuses(packed(("good.png", b"1"), (name, b"evil")))


def test_links_and_devices_are_refused(place):
    for kind in (stat.S_IFLNK, stat.S_IFIFO, stat.S_IFCHR):
        link = zipfile.ZipInfo("link")
        link.create_system, link.external_attr = 3, (kind | 0o777) << 16
        assert "a link or a device" in place.refuses(packed((link, "/etc/passwd")))


def test_names_that_some_systems_take_for_one_are_refused(place):
    assert "twice" in place.refuses(packed(("A.png", b"1"), ("a.PNG", b"2")))
    assert "twice" in place.refuses(packed(("é.png", b"1"), ("e\u0301.png", b"2")))
    assert "both a file and a folder" in place.refuses(packed(("a", b"1"), ("a/b", b"2")))


def test_bombs_are_refused_before_anything_is_written(place):
    bomb = packed(("zeros", b"\x00" * 5_000_000))
    assert len(bomb) < 10_000
    assert "more than 1048576 bytes" in place.refuses(bomb, most_bytes="1 MB")
    many = packed(*((f"{n}.txt", b"") for n in range(11)))
    assert "more than 10 files" in place.refuses(many, most_files=10)


def test_a_bomb_that_lies_about_its_size_is_stopped_by_counting(place):
    bomb = bytearray(packed(("zeros", b"\x00" * 5_000_000)))
    real, claimed = struct.pack("<I", 5_000_000), struct.pack("<I", 1000)
    assert bomb.count(real) == 2
    lying = bytes(bomb.replace(real, claimed))
    why = place.refuses(lying, most_bytes="1 MB")
    assert "broken" in why or "more than" in why


def test_encrypted_and_broken_archives_are_refused(place):
    whole = bytearray(COMIC)
    for at in (whole.index(b"PK\x01\x02") + 8, 6):
        whole[at] |= 1
    assert "encrypted" in place.refuses(bytes(whole))
    assert "broken" in place.refuses(COMIC[:-30])
    assert "broken" in place.refuses(b"no archive")
    torn = bytearray(packed(("1.png", os.urandom(5000)), method=zipfile.ZIP_STORED))
    torn[2000] ^= 0xFF
    assert "broken" in place.refuses(bytes(torn))
    assert "empty" in place.refuses(packed())
    unknown = bytearray(COMIC)
    for at in (unknown.index(b"PK\x01\x02") + 10, 8):
        unknown[at] = 97
    assert "cannot be unpacked" in place.refuses(bytes(unknown))


def test_it_does_not_unpack_into_the_watched_folder(place):
    for to in (place.folder / "in", place.folder / "in" / "sub"):
        with pytest.raises(PermanentError, match="lies in the watched folder"):
            place.unpack(COMIC, to=str(to))


def test_a_full_disk_is_waited_for(place, action, monkeypatch):
    plugin = importlib.import_module(action.__module__)
    monkeypatch.setattr(plugin, "SPARE_BYTES", 2**62)
    with pytest.raises(TemporaryError, match="there is no room"):
        place.unpack(COMIC)
    assert place.files() == set()


@pytest.mark.anyio
async def test_planning_writes_nothing(place, action):
    call = place.call(COMIC)
    [seen] = await action.plan([call])
    assert (seen.changes, seen.detail.startswith("would unpack 2 files")) == (True, True)
    assert place.everything() == {"in", "in/comic.cbz"}
    call.action.run(call)
    [seen] = await action.plan([call])
    assert not seen.changes


RULES = """
rules:
  - name: unpack
    on:
      watch_folder: {path: inbox, include: ["*.zip"], settle: 50ms}
    do:
      - unpack_archive: {to: unpacked}
  - name: unpack what was in archives
    on:
      watch_folder: {path: unpacked, include: ["*.zip"], settle: 50ms}
    do:
      - unpack_archive: {to: inbox}
"""


def test_rules_that_unpack_in_a_circle_end(project):
    inner = packed(("a.png", b"1"))
    made = project({"rules.yaml": RULES})
    made.drop("inbox/outer.zip", packed(("inner.zip", packed(("deep.zip", inner)))))
    made.run(until=lambda p: len(p.passed_over) >= 1)
    paths = {p.relative_to(made.folder).as_posix() for p in Path(made.folder).rglob("*.*")}
    assert "inbox/inner/deep.zip" in paths
    assert not any("a.png" in path for path in paths)
