from __future__ import annotations

import os
import sys
from dataclasses import replace
from pathlib import Path

import pytest

from hydrusd.mounts import (
    covering,
    grounds,
    mount_point_above,
    parse_bsd_mounts,
    parse_mountinfo,
    windows_mount,
)
from hydrusd.plugin import FolderIdentity, Mount, mount_of

MOUNTINFO = r"""
21 27 0:20 / /proc rw,nosuid - proc proc rw
27 1 254:0 / / rw,relatime shared:1 - ext4 /dev/sda1 rw
40 27 0:45 / /mnt/nas\040of\040mine rw,relatime shared:7 master:1 - nfs4 nas:/pic\040tures rw
41 27 0:46 / /mnt/share rw - cifs //server/share rw
42 27 0:47 / /home/me/remote rw - fuse.sshfs me@host:/pictures rw,user_id=1000
43 27 254:0 /srv/inbox /mnt/bound rw - ext4 /dev/sda1 rw
44 27 0:48 / /mnt/auto rw - autofs systemd-1 rw
45 44 0:49 / /mnt/auto rw - nfs4 nas:/auto rw
46 27 8:17 / /mnt rw - vfat /dev/sdb1 rw
torn line
"""


@pytest.mark.parametrize(
    ("path", "mount"),
    [
        ("/srv/inbox", Mount("/", "ext4", "/dev/sda1")),
        ("/mnt/nas of mine/a", Mount("/mnt/nas of mine", "nfs4", "nas:/pic tures")),
        ("/mnt/share", Mount("/mnt/share", "cifs", "//server/share")),
        ("/mnt/shared", Mount("/mnt", "vfat", "/dev/sdb1")),
        ("/home/me/remote/x/y", Mount("/home/me/remote", "fuse.sshfs", "me@host:/pictures")),
        ("/mnt/bound/x", Mount("/mnt/bound", "ext4", "/dev/sda1")),
        ("/mnt/auto", Mount("/mnt/auto", "nfs4", "nas:/auto")),
        ("/", Mount("/", "ext4", "/dev/sda1")),
    ],
)
def test_mount_that_covers_a_path(path, mount):
    assert covering(path, parse_mountinfo(MOUNTINFO)) == mount


def test_mount_that_the_system_numbers_counts_more_than_the_path():
    # Mounted later, /mnt hides what had been mounted below it.
    assert covering("/mnt/share", parse_mountinfo(MOUNTINFO), 46).kind == "vfat"
    assert covering("/mnt/share", parse_mountinfo(MOUNTINFO), 9999).kind == "cifs"
    assert covering("/anywhere", []) == Mount("/")


def test_what_mount_prints_on_macos():
    text = (
        "/dev/disk3s1s1 on / (apfs, sealed, local, read-only, journaled)\n"
        "//me@server/share on /Volumes/share (smbfs, nodev, nosuid, mounted by me)\n"
        "map auto_home on /System/Volumes/Data/home (autofs, automounted, nobrowse)\n"
        "/dev/disk4s1 on /Volumes/My (old) disk (exfat, local, nodev, noowners)\n"
    )
    assert parse_bsd_mounts(text) == [
        Mount("/", "apfs", "/dev/disk3s1s1", local=True),
        Mount("/Volumes/share", "smbfs", "//me@server/share", local=False),
        Mount("/System/Volumes/Data/home", "autofs", "map auto_home", local=False),
        Mount("/Volumes/My (old) disk", "exfat", "/dev/disk4s1", local=True),
    ]


@pytest.mark.parametrize(
    ("point", "drive_type", "local"),
    [
        ("C:\\", 3, True),
        ("E:\\", 2, True),
        ("Z:\\", 4, False),
        ("\\\\server\\share\\", 0, False),
        ("\\\\?\\UNC\\server\\share\\", 0, False),
        ("\\\\?\\C:\\", 3, True),
        ("Q:\\", 0, None),
    ],
)
def test_drives_of_windows(point, drive_type, local):
    assert windows_mount(point, drive_type).local is local


def test_what_this_machine_says(tmp_path):
    mount = mount_of(tmp_path)
    assert tmp_path.resolve().is_relative_to(mount.point)
    assert os.path.ismount(mount.point)
    assert mount_of(Path(mount.point)) == mount
    if sys.platform == "linux":
        assert mount.kind
        assert mount_of(Path("/proc/self")).kind == "proc"
        assert mount_point_above(Path("/proc/self")) == "/proc"
    with pytest.raises(FileNotFoundError):
        mount_of(tmp_path / "not there")


def test_identity_survives_being_stored_and_knows_its_folder(tmp_path):
    identity = FolderIdentity.of(tmp_path)
    assert FolderIdentity.from_text(identity.to_text()) == identity
    spaced = replace(identity, mount="/mnt/two  words")
    assert FolderIdentity.from_text(spaced.to_text()) == spaced
    for text in (None, 1, "", "/", "1 2 3", "1 2 x /mnt"):
        assert FolderIdentity.from_text(text) is None
    (tmp_path / "a").mkdir()
    assert not identity.is_folder_of(FolderIdentity.of(tmp_path / "a"))
    (tmp_path / "file").touch()
    with pytest.raises(NotADirectoryError):
        FolderIdentity.of(tmp_path / "file")


def test_disk_that_comes_back_under_another_number_is_the_same():
    before = FolderIdentity("/mnt/disk", device=100, inode=2, file_system=77)
    assert before.is_folder_of(replace(before, device=101))
    assert not before.is_folder_of(replace(before, device=101, file_system=78))
    assert not before.is_folder_of(replace(before, inode=3))
    nameless = replace(before, file_system=0)
    assert nameless.is_folder_of(nameless)
    assert not nameless.is_folder_of(replace(nameless, device=101))


@pytest.mark.parametrize(
    ("before", "now", "unmounted"),
    [
        ("/mnt/disk", "/", True),
        ("/mnt/disk", "/mnt", True),
        ("/mnt/disk", "/mnt/disk", False),
        ("/", "/mnt/disk", False),
        ("/mnt/disk", "/mnt/dis", False),
    ],
)
def test_what_lay_below_a_mount_is_recognised(before, now, unmounted):
    def at(mount):
        return FolderIdentity(mount, 1, 1, 1)

    assert at(before).was_unmounted(at(now)) is unmounted


# --- what something would lie on -------------------------------------------------------------


def test_what_is_not_there_yet_would_lie_on_what_is_above_it(tmp_path):
    (tmp_path / "a file").write_bytes(b"")
    (tmp_path / "link").symlink_to(tmp_path / "not there" / "either")
    paths = {tmp_path: "", tmp_path / "a file": "a file"}
    paths |= {tmp_path / "new" / "newer": "new/newer", tmp_path / "link": "not there/either"}
    found = grounds(paths)
    assert {path: ground.real for path, ground in found.items()} == {
        path: str(tmp_path.resolve() / real) for path, real in paths.items()
    }
    [(mount, device)] = {(ground.mount, ground.device) for ground in found.values()}
    assert (mount, device) == (FolderIdentity.of(tmp_path).mount, tmp_path.stat().st_dev)


def test_what_cannot_be_looked_at_is_left_out(tmp_path, monkeypatch):
    closed, stat = tmp_path / "closed", Path.stat

    def refusing(path, **options):
        if path == closed:
            raise PermissionError(13, "Permission denied", str(path))
        return stat(path, **options)

    closed.mkdir()
    monkeypatch.setattr(Path, "stat", refusing)
    assert list(grounds([closed, closed.parent])) == [closed.parent]
