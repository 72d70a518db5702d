"""Tells disks of this machine from those of others.

SQLite's WAL mode wants memory that all who have the file open share, and locks that hold. Over a
network there is neither, and mostly nobody says so: the file is damaged one day. Each system tells
in its own way where a folder lies; where it does not, nothing is claimed.
"""

from __future__ import annotations

import ntpath
import os
import platform
import re
import subprocess
import sys
from collections.abc import Iterable
from pathlib import Path

_NETWORK = re.compile(
    r"nfs\d?|cifs|smb\w*|afpfs|ncpfs|afs|ceph|glusterfs|lustre|beegfs|gpfs|webdav|davfs"
    r"|fuse\.(?:sshfs|rclone|davfs2?|s3fs|gvfsd-fuse|ceph|glusterfs|curlftpfs|smbnetfs|goofys"
    r"|gcsfuse|blobfuse2?|juicefs|seaweedfs)"
    r"|macfuse_sshfs|osxfuse_sshfs"
)
_ESCAPED = re.compile(r"\\([0-7]{3})")
# What `mount` prints on macOS and the BSDs: server/share on /Volumes/share (smbfs, nodev, …)
_MOUNTED = re.compile(r"^(?P<what>.*?) on (?P<where>/.*) \((?P<kind>[^,)]+)[^)]*\)$", re.MULTILINE)
_REMOTE_DRIVE = 4
MOUNT_SECONDS = 5.0


def network_mount(folder: Path) -> str | None:
    """Say on what network disk a folder lies; None where it lies on none, as far as is known."""
    if os.name == "nt":
        return _on_windows(folder)
    try:
        mounts = _mounts()
    except (OSError, ValueError, subprocess.SubprocessError):
        return None
    return network_mount_among(mounts, os.path.realpath(folder))


def network_mount_among(mounts: Iterable[tuple[str, str]], real: str) -> str | None:
    """Do it for a real path, given all mounts as ``(where, kind)``; of two at one place the later.

    The longest place that is above the path counts.
    """
    found = ("", "")
    for where, kind in mounts:
        inside = where.rstrip("/") + "/"
        if (real == where or real.startswith(inside)) and len(where) >= len(found[0]):
            found = (where, kind)
    where, kind = found
    return f"a network disk ({kind} at {where})" if _NETWORK.fullmatch(kind.lower()) else None


def _mounts() -> list[tuple[str, str]]:
    if platform.system() == "Linux":
        table = Path("/proc/self/mountinfo").read_text(encoding="utf-8", errors="surrogateescape")
        return mounts_of_linux(table)
    told = subprocess.run(
        ["/sbin/mount"], capture_output=True, text=True, timeout=MOUNT_SECONDS, check=True
    )
    return mounts_as_printed(told.stdout)


def mounts_of_linux(table: str) -> list[tuple[str, str]]:
    """Read ``/proc/self/mountinfo``."""
    mounts = []
    for line in table.splitlines():
        before, separator, after = line.partition(" - ")
        fields = before.split(" ")
        if separator and len(fields) > 4:
            where = _ESCAPED.sub(lambda found: chr(int(found[1], 8)), fields[4])
            mounts.append((where, after.split(" ")[0]))
    return mounts


def mounts_as_printed(text: str) -> list[tuple[str, str]]:
    """Read what ``mount`` prints on macOS and the BSDs."""
    return [(found["where"], found["kind"].strip()) for found in _MOUNTED.finditer(text)]


def _on_windows(folder: Path) -> str | None:
    real = os.path.realpath(folder)
    if server := server_named_in(real):
        return f"a network disk ({server})"
    if sys.platform == "win32":
        import ctypes

        drive = ntpath.splitdrive(real)[0]
        if ctypes.windll.kernel32.GetDriveTypeW(f"{drive}\\") == _REMOTE_DRIVE:
            return f"a network disk (drive {drive})"
    return None


def server_named_in(real: str) -> str | None:
    """Give the server and share that a real path of Windows begins with; None for a drive."""
    # \\?\ and \\.\ are other ways to write local paths; \\?\UNC\ is not.
    found = re.match(r"\\\\(?:\?\\UNC\\)?(?![?.]\\)([^\\]+\\[^\\]+)", real, re.IGNORECASE)
    return f"\\\\{found[1]}" if found else None
