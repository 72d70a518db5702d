"""What lies in folders and is no file, or no whole one, or one with an odd name or size."""

from __future__ import annotations

import contextlib
import ctypes
import errno
import os
import socket
import stat
import sys
import tempfile
import threading
import zipfile
from pathlib import Path

import anyio
import pytest
from watched import names_in, until_noticed, watching

from hydrusd.builtin.actions.add_file import _hash
from hydrusd.builtin.triggers._globs import Selection
from hydrusd.builtin.triggers.watch_folder import WatchFolder
from hydrusd.plugin import FileChangedError, FileSource, Outcome, OutcomeKind, SourceState

pytestmark = pytest.mark.anyio

MORE_THAN_32_BITS = 2**32 + 1
ITS_SHA256 = "fbb82f7b353676bb562eb82157fcf0ea42c36492ca13ee56dbf82c08b6802c5c"


def make_odd_things(folder, elsewhere):
    """Put into a folder all that is no file: what a person, a program or an attacker may."""
    (elsewhere / "deep").mkdir(parents=True, exist_ok=True)
    (elsewhere / "secret.jpg").write_bytes(b"secret")
    (folder / "link.jpg").symlink_to(elsewhere / "secret.jpg")
    (folder / "dangling.jpg").symlink_to(elsewhere / "nothing.jpg")
    (folder / "itself.jpg").symlink_to(folder / "itself.jpg")
    (folder / "linked folder").symlink_to(elsewhere, target_is_directory=True)
    (folder / "loop").symlink_to(folder, target_is_directory=True)
    (folder / "up").symlink_to(folder.parent, target_is_directory=True)
    (folder / "folder.jpg").mkdir()
    if sys.platform != "win32":
        os.mkfifo(folder / "pipe.jpg")
        with contextlib.chdir(folder), socket.socket(socket.AF_UNIX) as bound:
            bound.bind("socket.jpg")
        with contextlib.suppress(PermissionError):
            os.mknod(folder / "null.jpg", 0o666 | stat.S_IFCHR, os.makedev(1, 3))


# --- what is no file -------------------------------------------------------------------------


@pytest.mark.parametrize("method", ["native", "poll"])
async def test_what_is_no_file_is_passed_over_whether_scanned_or_hinted_at(root, tmp_path, method):
    (root / "before").mkdir()
    make_odd_things(root / "before", tmp_path / "elsewhere")
    async with watching(root, method=method, hidden=True) as context:
        (root / "after").mkdir()
        make_odd_things(root / "after", tmp_path / "elsewhere")
        (root / "before" / "a.jpg").write_bytes(b"a")
        (root / "after" / "b.jpg").write_bytes(b"b")
        await until_noticed(context, "before/a.jpg", "after/b.jpg")
        scans = len(context.told)
        await context.until(lambda: len(context.told) > scans)
        assert sorted(names_in(context)) == ["after/b.jpg", "before/a.jpg"]
        assert context.warnings == []


def test_why_a_link_is_not_noticed_is_told(root, tmp_path):
    make_odd_things(root, tmp_path / "elsewhere")
    trigger = WatchFolder(path=root)
    assert "symbolic link" in trigger.looker().objection("link.jpg")
    assert "symbolic link" in trigger.looker().objection("linked folder/secret.jpg")
    if sys.platform != "win32":
        assert "no ordinary file" in trigger.looker().objection("pipe.jpg")


def noticed(path, root):
    return FileSource.of(path, root, path.lstat())


def put_pipe(path, elsewhere):
    os.mkfifo(path)


def put_link(path, elsewhere):
    elsewhere.write_bytes(b"original")
    path.symlink_to(elsewhere)


def put_folder(path, elsewhere):
    path.mkdir()


def put_socket(path, elsewhere):
    with contextlib.chdir(path.parent), socket.socket(socket.AF_UNIX) as bound:
        bound.bind(path.name)


def put_device(path, elsewhere):
    path.symlink_to("/dev/zero")  # as good as the device: opened, it would never end


def put_other(path, elsewhere):
    elsewhere.write_bytes(b"ORIGINAL")
    os.utime(elsewhere, ns=(10**18, 10**18))
    elsewhere.replace(path)


SWAPS = [put_link, put_folder, put_other]
if sys.platform != "win32":
    SWAPS += [put_pipe, put_socket, put_device]


@pytest.mark.parametrize("put", SWAPS)
def test_what_takes_the_place_of_a_file_is_never_read(root, tmp_path, put):
    path = root / "a.jpg"
    path.write_bytes(b"original")
    os.utime(path, ns=(10**18, 10**18))
    source = noticed(path, root)
    kept = path.rename(tmp_path / "kept")  # or its inode might be given to the next one
    put(path, tmp_path / "elsewhere")
    assert kept.read_bytes() == b"original"
    # As if it had happened just after the last look. Opening a pipe in earnest waits for ever.
    caught = []

    def opening():
        try:
            source.open().close()
        except OSError as error:
            caught.append(error)

    thread = threading.Thread(target=opening, daemon=True)
    thread.start()
    thread.join(20)
    assert not thread.is_alive()
    assert [type(error) for error in caught] == [FileChangedError]
    outcome = _hash(source, threading.Event())
    assert isinstance(outcome, Outcome)
    assert outcome.kind is OutcomeKind.SKIPPED
    assert "changed" in outcome.detail


def test_link_to_a_file_that_looks_the_same_is_not_read(root, tmp_path):
    """Where files have no lasting inodes, size and time alone could not tell."""
    (root / "a.jpg").write_bytes(b"original")
    (tmp_path / "other.jpg").write_bytes(b"ORIGINAL")
    for path in (root / "a.jpg", tmp_path / "other.jpg"):
        os.utime(path, ns=(10**18, 10**18))
    status = (root / "a.jpg").lstat()
    source = FileSource(root / "a.jpg", root, status.st_size, status.st_mtime_ns, None)
    source.open().close()
    (root / "a.jpg").unlink()
    (root / "a.jpg").symlink_to(tmp_path / "other.jpg")
    with pytest.raises(FileChangedError):
        source.open()


def test_file_that_is_the_same_is_read_from_its_beginning(root):
    (root / "a.jpg").write_bytes(b"original")
    with noticed(root / "a.jpg", root).open() as file:
        assert file.read() == b"original"


def test_file_that_is_gone_is_not_called_changed(root):
    (root / "a.jpg").write_bytes(b"original")
    source = noticed(root / "a.jpg", root)
    (root / "a.jpg").unlink()
    with pytest.raises(FileNotFoundError):
        source.open()
    assert source.state() is SourceState.GONE


if sys.platform == "linux" or (sys.platform != "win32" and os.geteuid() != 0):

    @contextlib.contextmanager
    def as_nobody():
        """Have the file system take this thread for somebody without any rights."""
        libc = ctypes.CDLL(None)
        if os.geteuid() != 0:
            yield  # nobody but root can read what nobody may read
            return
        libc.setfsuid(65534)
        try:
            yield
        finally:
            libc.setfsuid(0)

    def test_unreadable_file_is_tried_again_and_told_of():
        with tempfile.TemporaryDirectory() as name:  # pytest's are closed to others altogether
            root = Path(name)
            root.chmod(0o755)
            path = root / "a.jpg"
            path.write_bytes(b"a")
            path.chmod(0)
            source = noticed(path, root)
            with as_nobody():
                with pytest.raises(PermissionError):
                    source.open()
                outcome = _hash(source, threading.Event())
            assert isinstance(outcome, Outcome)
            assert outcome.kind is OutcomeKind.RETRY
            assert str(path) in outcome.detail
            assert "Permission denied" in outcome.detail


def test_disk_that_gives_errors_is_not_a_folder_without_files(root, monkeypatch):
    (root / "a.jpg").write_bytes(b"a")
    source = noticed(root / "a.jpg", root)

    def failing(path, *_, **__):
        raise OSError(errno.ENOTCONN, "Transport endpoint is not connected", str(path))

    with monkeypatch.context() as broken:
        for look in ("lstat", "stat", "scandir"):
            broken.setattr(os, look, failing)
        assert source.state() is SourceState.ROOT_GONE
    assert source.state() is SourceState.SAME


@pytest.mark.parametrize(
    ("attributes", "tag", "hidden", "taken"),
    [(0x20, 0, False, True), (0x22, 0, False, False), (0x22, 0, True, True),
     (0x400, 0xA0000003, True, False), (0x400, 0x9000001A, False, True)],
    ids=["archive", "hidden", "hidden and wanted", "junction", "kept in a cloud"],
)  # fmt: skip
def test_what_windows_says_of_a_file_counts(root, monkeypatch, attributes, tag, hidden, taken):
    (root / "a.jpg").write_bytes(b"a")
    look = os.stat

    class Status:
        """As ``os.stat`` has it there."""

        st_file_attributes, st_reparse_tag = attributes, tag

        def __init__(self, status):
            self._status = status

        def __getattr__(self, name):
            return getattr(self._status, name)

    def as_on_windows(path, **options):
        return Status(look(path, **options))

    looker = WatchFolder(path=root, hidden=hidden).looker()
    monkeypatch.setattr(os, "stat", as_on_windows)
    found = looker.look_at(["a.jpg"])
    monkeypatch.undo()
    assert [source.path.name for source in found] == (["a.jpg"] if taken else [])


# --- how large it is -------------------------------------------------------------------------


def test_more_bytes_than_32_bits_can_count_are_hashed(root):
    path = root / "film.mkv"
    with path.open("wb") as file:
        file.truncate(MORE_THAN_32_BITS)  # sparse: none of it is on the disk
    source = noticed(path, root)
    assert source.size == MORE_THAN_32_BITS
    assert _hash(source, threading.Event()) == ITS_SHA256


async def test_sparse_and_huge_files_are_noticed_and_empty_ones_later(root):
    with (root / "huge.mkv").open("wb") as file:
        file.truncate(5 * 2**30)
    (root / "empty.jpg").touch()
    async with watching(root) as context:
        await until_noticed(context, "huge.mkv")
        assert context.data("file")[0]["size"] == 5 * 2**30
        assert names_in(context) == ["huge.mkv"]
        await until_noticed(context, "empty.jpg")
        assert context.clock.monotonic() >= 10


# --- what is not complete --------------------------------------------------------------------


async def test_archive_is_taken_when_it_is_whole(root):
    async with watching(root) as context:
        with zipfile.ZipFile(root / "album.zip", "w") as archive:
            for n in range(6):
                archive.writestr(f"{n}.txt", os.urandom(20_000))
                await context.pass_time(1)
        await until_noticed(context, "album.zip")
        assert [file["size"] for file in context.data("file")] == [
            (root / "album.zip").stat().st_size
        ]
        with zipfile.ZipFile(root / "album.zip") as archive:
            assert archive.testzip() is None


@pytest.mark.parametrize("ending", [".aria2", ".lftp-pget-status", ".st"])
async def test_download_under_its_final_name_waits_for_the_end(root, ending):
    (root / "a.jpg").write_bytes(b"half of it")
    (root / f"a.jpg{ending}").write_bytes(b"notes")
    async with watching(root) as context:
        for _ in range(60):
            await context.pass_time(1)
        assert context.events == []
        assert "not complete" in WatchFolder(path=root).looker().objection("a.jpg")
        with (root / "a.jpg").open("ab") as file:
            file.write(b", and the rest")
        (root / f"a.jpg{ending}").unlink()
        await until_noticed(context, "a.jpg")
        assert [file["size"] for file in context.data("file")] == [24]


async def test_name_that_a_browser_keeps_free_is_no_file_yet(root):
    (root / "a.jpg").touch()
    (root / "a.jpg.part").write_bytes(b"half")
    async with watching(root) as context:
        for _ in range(60):
            await context.pass_time(1)
        assert context.events == []
        (root / "a.jpg.part").rename(root / "a.jpg")
        await until_noticed(context, "a.jpg")
        assert [file["size"] for file in context.data("file")] == [4]


def test_file_with_something_in_it_does_not_wait_for_an_old_part_of_it(root):
    (root / "a.jpg").write_bytes(b"whole")
    (root / "a.jpg.part").write_bytes(b"old")
    assert WatchFolder(path=root).looker().objection("a.jpg") == ""


@pytest.mark.parametrize(
    "name",
    ["a.jpg.part", "Unconfirmed 12.crdownload", "a.mkv.!qB", "a.mkv.!ut", "a.mkv.bc!", "a.aria2",
     "a.mp4.ytdl", "a.jpg.filepart", "a.jpg.partial", "a.jpg.opdownload", "a.dtapart", "a.tmp",
     "a.jpg~", ".~lock.a.odt#", "~$a.docx", "a.swp", ".syncthing.a.jpg.tmp", ".#a.txt", "#a.txt#",
     ".nfs000001", ".fuse_hidden0001", ".smbdeleteAAA1", "__rar_12.345", ".com.google.Chrome.x1",
     ".pending-17-a.jpg", ".a.jpg.icloud", "._a.jpg", ".DS_Store", "Thumbs.db", "desktop.ini",
     "@eaDir/a.jpg/SYNOPHOTO_THUMB_XL.jpg", "#recycle/a.jpg", "$RECYCLE.BIN/S-1/a.jpg",
     ".Trash-1000/files/a.jpg", "System Volume Information/a.jpg", "lost+found/#12.jpg",
     "_UNPACK_album/a.jpg"],
)  # fmt: skip
async def test_names_of_what_is_not_complete_or_nobodys_file(root, name):
    (root / name).parent.mkdir(parents=True, exist_ok=True)
    (root / name).write_bytes(b"x")
    looker = WatchFolder(path=root, hidden=True).looker()
    assert [source for part in looker.walk() for source in part.sources] == []
    assert looker.look_at([name]) == []
    assert looker.objection(name)


@pytest.mark.parametrize(
    "name",
    ["partial.jpg", "a.part.jpg", "tmp.jpg", "a~b.jpg", "#1.jpg", "@eaDir.jpg", "recycle/a.jpg",
     "a.tmp.jpg", "st", "download.jpg", "unpack_me.jpg"],
)  # fmt: skip
def test_names_that_only_look_like_those(name):
    parts = name.split("/")
    selection = Selection(["*"], [], hidden=False)
    assert selection.takes(name)
    assert all(selection.enters("/".join(parts[:end])) for end in range(1, len(parts)))


# --- how it is called ------------------------------------------------------------------------

ODD_NAMES = [
    "two\nlines.jpg", "tab\there.jpg", " spaces .jpg", "-rf.jpg", "{{ 7*7 }}.jpg", "%s.jpg",
    "'quoted\".jpg", "back\\slash.jpg", "e\u0301.jpg", "\u202egpj.exe.jpg", "😀.jpg",
    "a" * 251 + ".jpg", "ends with a dot.", "*[?].jpg",
]  # fmt: skip


if sys.platform == "linux":

    @pytest.mark.parametrize("method", ["native", "poll"])
    async def test_odd_names_are_names_like_others(root, method):
        names = [*ODD_NAMES, os.fsdecode(b"caf\xe9.jpg"), "con.jpg", "a:b.jpg"]
        for name in names[::2]:
            (root / name).write_bytes(b"x")
        async with watching(root, method=method) as context:
            for name in names[1::2]:
                (root / name).write_bytes(b"x")
            await until_noticed(context, *names)
            assert sorted(names_in(context)) == sorted(names)
            for event in context.events:
                source = FileSource.from_data(event.data)
                assert source.state() is SourceState.SAME
                source.key.encode()

    @pytest.fixture
    def deep(root):
        """A file, made step by step, whose path is longer than any that can be opened."""
        name = "d" * 250
        with contextlib.chdir(root):
            for _ in range(20):
                Path(name).mkdir()
                os.chdir(name)
            Path("deep.jpg").write_bytes(b"x")
        yield
        with contextlib.chdir(root):  # pytest could not clear it away
            for _ in range(20):
                os.chdir(name)
            Path("deep.jpg").unlink()
            for _ in range(20):
                os.chdir("..")
                Path(name).rmdir()

    @pytest.mark.usefixtures("deep")
    async def test_path_that_is_longer_than_the_system_takes_is_told_of(root):
        async with watching(root) as context:
            (root / "a.jpg").write_bytes(b"a")
            await until_noticed(context, "a.jpg")
            assert any("cannot be read" in warning for warning in context.warnings)


async def test_loop_made_of_links_ends(root):
    (root / "a" / "b").mkdir(parents=True)
    (root / "a" / "b" / "back").symlink_to(root, target_is_directory=True)
    (root / "a" / "b" / "c.jpg").write_bytes(b"c")
    with anyio.fail_after(30):
        async with watching(root) as context:
            await until_noticed(context, "a/b/c.jpg")
            assert names_in(context) == ["a/b/c.jpg"]
