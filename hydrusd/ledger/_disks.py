"""Tells disks of this machine from those of others.

SQLite's WAL mode wants memory that all who have the file open share, and locks that hold. Over a
network there is neither, and mostly nobody says so: the file is damaged one day. Each system tells
in its own way where a folder lies; where it does not, nothing is claimed.
"""

from __future__ import annotations

import ntpath
import os
import re
from collections.abc import Sequence
from pathlib import Path

from hydrusd.mounts import WINDOWS_REMOTE, Mount, covering, mount_table, windows_drive_type

_NETWORK = re.compile(
    r"nfs\d?|cifs|smb\w*|afpfs|ncpfs|afs|ceph|glusterfs|lustre|beegfs|gpfs|webdav|davfs"
    r"|fuse\.(?:sshfs|rclone|davfs2?|s3fs|gvfsd-fuse|ceph|glusterfs|curlftpfs|smbnetfs|goofys"
    r"|gcsfuse|blobfuse2?|juicefs|seaweedfs)"
    r"|macfuse_sshfs|osxfuse_sshfs"
)


def network_mount(folder: Path) -> str | None:
    """Say on what network disk a folder lies; None where it lies on none, as far as is known."""
    if os.name == "nt":
        return _on_windows(folder)
    return network_mount_among(mount_table(), os.path.realpath(folder))


def network_mount_among(mounts: Sequence[tuple[int, Mount]], real: str) -> str | None:
    """Do it for a real path, given all mounts: the innermost that it leads into counts."""
    mount = covering(real, mounts)
    known = _NETWORK.fullmatch(mount.kind.lower())
    return f"a network disk ({mount.kind} at {mount.point})" if known else None


def _on_windows(folder: Path) -> str | None:
    real = os.path.realpath(folder)
    if server := server_named_in(real):
        return f"a network disk ({server})"
    drive = ntpath.splitdrive(real)[0]
    remote = windows_drive_type(drive) == WINDOWS_REMOTE
    return f"a network disk (drive {drive})" if remote else None


def server_named_in(real: str) -> str | None:
    """Give the server and share that a real path of Windows begins with; None for a drive."""
    # \\?\ and \\.\ are other ways to write local paths; \\?\UNC\ is not.
    found = re.match(r"\\\\(?:\?\\UNC\\)?(?![?.]\\)([^\\]+\\[^\\]+)", real, re.IGNORECASE)
    return f"\\\\{found[1]}" if found else None
