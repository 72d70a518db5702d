"""Whether hints, and the numbers of files, can be relied on, by what a folder's file system is.

Pure: what is known of file systems, and the words for it. The test whether hints come at
all is made by the listener, because only a change that was really made can show it.
"""

from __future__ import annotations

from typing import Literal

from hydrusd.plugin import Mount

Method = Literal["auto", "native", "poll"]

SHARED_KINDS = frozenset(
    # Others write there too, another machine or the host of this one, and nobody tells.
    {
        "9p", "afpfs", "afs", "beegfs", "ceph", "cifs", "coda", "davfs", "drvfs", "fakeowner",
        "gfs2", "glusterfs", "gpfs", "grpcfuse", "gvfsd-fuse", "hgfs", "kio-fuse", "lustre",
        "ncpfs", "nfs", "nfs4", "ocfs2", "orangefs", "osxfs", "prl_fs", "pvfs2", "rclone", "s3fs",
        "smb", "smb2", "smb3", "smbfs", "sshfs", "vboxsf", "virtiofs", "vmhgfs", "vmhgfs-fuse",
        "webdav",
    }
)  # fmt: skip
LOCAL_FUSE_KINDS = frozenset(
    # Programs that only arrange what is on disks of this machine. FUSE is all that is known of
    # others: most of those lead to a server or a cloud.
    {
        "apfs", "apfs-fuse", "bindfs", "cryfs", "encfs", "exfat", "exfat-fuse", "fuse-exfat",
        "fuse-ext2", "fuse-overlayfs", "gocryptfs", "mergerfs", "mhddfs", "ntfs-3g", "securefs",
        "shfs", "unionfs", "unionfs-fuse", "veracrypt",
    }
)  # fmt: skip
PASSING_NUMBER_KINDS = frozenset(
    # The system numbers their files as it comes across them, having no number to go by.
    {
        "cifs", "exfat", "msdos", "ncpfs", "prl_fs", "smb", "smb2", "smb3", "smbfs", "vboxsf",
        "vfat", "vmhgfs",
    }
)  # fmt: skip
_PROGRAM_KINDS = frozenset({"fuse", "fuse3", "fuseblk", "fusefs", "macfuse", "osxfuse"})


def inodes_last(mount: Mount) -> bool:
    """Say whether a file keeps its inode number as long as it is there.

    Programs mostly have their files numbered anew when they are mounted, and whenever the system
    was short of memory: all files would look like new ones.
    """
    kind = mount.kind.lower()
    return not (kind.startswith("fuse.") or kind in _PROGRAM_KINDS | PASSING_NUMBER_KINDS)


def doubt_about(mount: Mount) -> str:
    """Say why the system does not tell of all that changes on a file system; "" where it does."""
    kind = mount.kind.lower().removeprefix("fuse.")
    name = f"{mount.kind}, {mount.source}" if mount.source not in {"", mount.kind} else mount.kind
    if mount.local is False or kind in SHARED_KINDS:
        return f"it is shared with other machines ({name}), and the system tells nothing of theirs"
    if kind == "autofs":
        return "it is mounted when somebody looks (autofs), and the system tells nothing until then"
    of_a_program = mount.kind.lower() != kind or kind in {"fuse", "fuse3"}
    if of_a_program and kind not in LOCAL_FUSE_KINDS:
        return f"it is a file system of a program ({name}), which may change it untold"
    return ""


def spoken(seconds: float) -> str:
    """Give a time as people say it."""
    if seconds >= 120 and seconds % 60 == 0:
        return f"{seconds / 60:g} minutes"
    return f"{seconds:g} seconds"
