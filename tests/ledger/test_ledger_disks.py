"""Which disks are of another machine, as each system tells it."""

from __future__ import annotations

import os
import subprocess
import sys

import pytest

from hydrusd import mounts
from hydrusd.errors import LedgerError
from hydrusd.ledger import Ledger, LedgerReader, _disks
from hydrusd.ledger._disks import network_mount_among, server_named_in
from hydrusd.mounts import Mount, mount_table, parse_bsd_mounts, parse_mountinfo

LINUX = r"""
22 27 0:21 / /proc rw,relatime - proc proc rw
27 1 254:0 / / rw,relatime - ext4 /dev/vda rw,discard
31 27 0:28 / /home rw,relatime shared:7 master:1 - btrfs /dev/vdb rw
40 27 0:41 / /mnt/nas rw,relatime shared:9 - nfs4 nas:/volume1 rw,vers=4.2,addr=10.0.0.2
41 40 0:42 / /mnt/nas/local rw - xfs /dev/vdc rw
42 27 0:43 / /mnt/win\040share rw - cifs //server/share rw,user=me
43 27 0:44 / /home/me/box rw,nosuid - fuse.sshfs me@box: rw,user_id=1000
44 27 0:45 / /home/me/cloud rw,nosuid - fuse.rclone remote: rw
45 27 0:46 / /mnt/usb rw - fuseblk /dev/sdb1 rw
46 27 0:47 / /over rw - nfs nas:/old rw
47 27 0:48 / /over rw - tmpfs tmpfs rw
48 27 0:49 / /docker rw - overlay overlay rw
a line of another kind
"""
MACOS = """\
/dev/disk3s1s1 on / (apfs, sealed, local, read-only, journaled)
devfs on /dev (devfs, local, nobrowse)
/dev/disk3s5 on /System/Volumes/Data (apfs, local, journaled, nobrowse)
map auto_home on /System/Volumes/Data/home (autofs, automounted, nobrowse)
//me@nas._smb._tcp.local/pictures on /Volumes/pictures (smbfs, nodev, nosuid, mounted by me)
nas:/volume1 on /Volumes/NAS (old) (nfs, nodev, nosuid, mounted by me)
/dev/disk4s1 on /Volumes/USB (exfat, local, nodev)
"""


@pytest.mark.parametrize(
    ("folder", "kind"),
    [
        ("/home/me/.local/state/hydrusd", None),
        ("/mnt/nas", "nfs4 at /mnt/nas"),
        ("/mnt/nas/hydrusd", "nfs4 at /mnt/nas"),
        ("/mnt/nas/local/hydrusd", None),
        ("/mnt/nasty", None),
        ("/mnt/win share/x", "cifs at /mnt/win share"),
        ("/home/me/box/x", "fuse.sshfs at /home/me/box"),
        ("/home/me/cloud", "fuse.rclone at /home/me/cloud"),
        ("/mnt/usb/x", None),
        ("/over/x", None),
        ("/docker/x", None),
    ],
)
def test_linux(folder, kind):
    told = network_mount_among(parse_mountinfo(LINUX), folder)
    assert told == (kind and f"a network disk ({kind})")


@pytest.mark.parametrize(
    ("folder", "kind"),
    [
        ("/Users/me/Library/Application Support/hydrusd", None),
        ("/Volumes/pictures/x", "smbfs at /Volumes/pictures"),
        ("/Volumes/NAS (old)/x", "nfs at /Volumes/NAS (old)"),
        ("/Volumes/USB/x", None),
    ],
)
def test_macos(folder, kind):
    told = network_mount_among(list(enumerate(parse_bsd_mounts(MACOS))), folder)
    assert told == (kind and f"a network disk ({kind})")


@pytest.mark.skipif(os.name == "nt", reason="Windows has no list of mounts")
def test_this_machine_tells_its_mounts():
    """Whatever this system is, it is understood: the root, at least, is mounted."""
    assert "/" in {mount.point for _, mount in mount_table()}


def test_where_a_test_keeps_its_files_is_a_local_disk(tmp_path):
    assert _disks.network_mount(tmp_path) is None


def test_a_system_that_tells_nothing_is_believed_to_be_local(tmp_path, monkeypatch):
    def fails(*_, **__):
        raise subprocess.SubprocessError

    monkeypatch.setattr(subprocess, "run", fails)
    monkeypatch.setattr(mounts, "_MOUNTINFO", str(tmp_path / "none"))
    assert _disks.network_mount(tmp_path) is None


@pytest.mark.skipif(sys.platform == "win32", reason="there are no mounts to make believe in")
def test_a_ledger_on_a_network_disk_is_refused_with_what_helps(path, monkeypatch):
    Ledger.open(path).close()
    here = os.path.realpath(path.parent)
    table = list(enumerate([Mount("/", "ext4"), Mount(here, "nfs4")]))
    monkeypatch.setattr(_disks, "mount_table", lambda: table)
    for exclusive in (True, False):
        with pytest.raises(LedgerError, match=r"a network disk \(nfs4 at .*--state-dir"):
            Ledger.open(path, exclusive=exclusive)
    # Looking at it is another matter.
    LedgerReader.open(path).close()


@pytest.mark.parametrize(
    ("path", "server"),
    [
        (r"\\nas\share\state", r"\\nas\share"),
        (r"\\?\UNC\nas\share\state", r"\\nas\share"),
        (r"\\wsl$\Debian\home", r"\\wsl$\Debian"),
        (r"C:\Users\me", None),
        (r"\\?\C:\Users\me", None),
        (r"\\.\C:\Users", None),
    ],
)
def test_windows_paths_that_name_a_server(path, server):
    assert server_named_in(path) == server
