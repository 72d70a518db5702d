"""Which file system a folder is on, and whether it is still the folder that it was.

A disk that is unplugged leaves an empty folder behind, at the very path at which its files
were. To whoever looks at paths alone they have all been deleted. What tells the two apart is
where the file system begins that the folder is on: its mount point is a path, and stays the
same when the disk gets another device number, or when the machine or the daemon is restarted.

Plain blocking code, meant for a worker thread: a dead network mount may keep it for ever.
"""

from __future__ import annotations

import contextlib
import os
import re
import subprocess
import sys
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path

_MOUNTINFO = "/proc/self/mountinfo"
_MOUNT_SECONDS = 10.0
_ESCAPE = re.compile(r"\\([0-7]{3})")
_BSD_LINE = re.compile(r"(?P<source>.*?) on (?P<point>/.*) \((?P<options>[^()]*)\)")
WINDOWS_REMOTE = 4
_WINDOWS_UNKNOWN = 0


@dataclass(frozen=True, slots=True)
class Mount:
    """A file system in its place.

    ``point`` is the folder at which it begins, ``kind`` its type as the system names it
    (``ext4``, ``nfs4``, ``fuse.sshfs``; empty where the system does not say), ``source`` the
    device or share. ``local`` is what the system itself says of that; None where it does not.
    """

    point: str
    kind: str = ""
    source: str = ""
    local: bool | None = None


@dataclass(frozen=True, slots=True)
class FolderIdentity:
    """What tells a folder from another one that is put in its place.

    ``mount`` is the mount point of its file system; ``file_system`` is the number that the
    file system has for itself, 0 where it has none: unlike ``device`` many keep it.
    """

    mount: str
    device: int
    inode: int
    file_system: int

    @classmethod
    def of(cls, folder: Path) -> FolderIdentity:
        """Look at a folder. Raises OSError where there is none, or it cannot be listed."""
        with os.scandir(folder):
            status = folder.stat()
        number = 0 if sys.platform == "win32" else os.statvfs(folder).f_fsid
        return cls(_mount_point(folder), status.st_dev, status.st_ino, number)

    @classmethod
    def from_text(cls, text: object) -> FolderIdentity | None:
        """Read back what ``to_text`` gave; None where it is nothing of the kind."""
        return _from_text(text) if isinstance(text, str) else None

    def to_text(self) -> str:
        """Give it as one piece of text, the mount point last."""
        return f"{self.device} {self.inode} {self.file_system} {self.mount}"

    def is_folder_of(self, other: FolderIdentity) -> bool:
        """Say whether both are the same folder, perhaps mounted anew."""
        same_disk = self.device == other.device or 0 != self.file_system == other.file_system
        return self.mount == other.mount and self.inode == other.inode and same_disk

    def was_unmounted(self, now: FolderIdentity) -> bool:
        """Say whether what is there now is only what a file system had been mounted over."""
        return now.mount != self.mount and Path(self.mount).is_relative_to(now.mount)


@dataclass(frozen=True, slots=True)
class Ground:
    """What a path lies on, or would lie on once it is made.

    ``real`` is the path without links; ``mount`` is the mount point, empty where nothing above
    the path is there either, as on a drive of Windows that is away; ``device`` is the number of
    the file system.
    """

    real: str
    mount: str
    device: int


@lru_cache(maxsize=256)  # every file of a watched folder has the same
def _from_text(text: str) -> FolderIdentity | None:
    numbers, mount = text.split(" ", 3)[:3], text.split(" ", 3)[3:]
    if len(numbers) < 3 or not mount or not all(map(str.isdecimal, numbers)):
        return None
    device, inode, file_system = map(int, numbers)
    return FolderIdentity(mount[0], device, inode, file_system)


def mount_of(folder: Path) -> Mount:
    """Say on which file system a folder is. Raises OSError where there is no such folder."""
    if sys.platform != "linux":
        point = _mount_point(folder)
        if sys.platform == "win32":
            return windows_mount(point, windows_drive_type(point))
        return next((m for m in reversed(_bsd_mounts()) if m.point == point), Mount(point))
    return _linux_mount(folder)


def grounds(paths: Iterable[Path]) -> dict[Path, Ground]:
    """Say on what each path lies; those of which the system does not tell are left out."""
    # Read before any folder is opened: what is unmounted in between is then not taken for there.
    table = mount_table() if sys.platform == "linux" else []
    found = {}
    for path in paths:
        with contextlib.suppress(OSError):
            found[path] = _ground(path, table)
    return found


def _ground(path: Path, table: Sequence[tuple[int, Mount]]) -> Ground:
    real = Path(os.path.realpath(path))
    for folder in (real, *real.parents):
        try:
            device = folder.stat().st_dev
            mount = _mount_point(folder, table)
        except (FileNotFoundError, NotADirectoryError):
            continue
        return Ground(str(real), mount, device)
    return Ground(str(real), "", 0)


def mount_table() -> list[tuple[int, Mount]]:
    """Give all mounts in the order they were made in, each with a number of its own.

    Empty where the system does not tell, as Windows does not.
    """
    if sys.platform == "win32":
        return []
    if sys.platform != "linux":
        return list(enumerate(_bsd_mounts()))
    try:
        text = Path(_MOUNTINFO).read_text(encoding="utf-8", errors="surrogateescape")
    except OSError:
        return []  # no /proc in this jail
    return parse_mountinfo(text)


def _mount_point(folder: Path, table: Sequence[tuple[int, Mount]] = ()) -> str:
    if sys.platform != "linux":
        return mount_point_above(folder)
    return _linux_mount(folder, table).point


def mount_point_above(folder: Path) -> str:
    """Give the nearest folder at or above this one at which a file system begins."""
    path = folder.resolve()
    while not os.path.ismount(path) and path != path.parent:  # Path.is_mount: not on Windows
        path = path.parent
    return str(path)


# --- Linux -----------------------------------------------------------------------------------


def _linux_mount(folder: Path, table: Sequence[tuple[int, Mount]] = ()) -> Mount:
    # Asked of the open folder, and not of its path: one mount may hide another, or all below it.
    descriptor = os.open(folder, os.O_RDONLY | getattr(os, "O_DIRECTORY", 0))
    try:
        number = _mount_number(descriptor)
    finally:
        os.close(descriptor)
    return covering(os.path.realpath(folder), table or mount_table(), number)


def _mount_number(descriptor: int) -> int | None:
    try:
        text = Path(f"/proc/self/fdinfo/{descriptor}").read_text(encoding="ascii")
    except (OSError, UnicodeDecodeError):
        return None
    found = re.search(r"^mnt_id:\s*(\d+)$", text, re.MULTILINE)
    return int(found[1]) if found else None


def parse_mountinfo(text: str) -> list[tuple[int, Mount]]:
    """Read Linux' table of mounts: each with its number, in the order they were made in."""
    mounts = []
    for line in text.split("\n"):
        own, separator, kind = line.partition(" - ")
        fields, kinds = own.split(" "), kind.split(" ")
        if separator and len(fields) >= 6 and len(kinds) >= 2 and fields[0].isdigit():
            mount = Mount(_unescaped(fields[4]), _unescaped(kinds[0]), _unescaped(kinds[1]))
            mounts.append((int(fields[0]), mount))
    return mounts


def covering(path: str, mounts: Sequence[tuple[int, Mount]], number: int | None = None) -> Mount:
    """Give the mount with this number; where there is none, the one that the path leads into."""
    for each, mount in mounts:
        if each == number:
            return mount
    around = [m for _, m in mounts if Path(path).is_relative_to(m.point)]
    # Of two at the same place the later one lies on top.
    return max(reversed(around), key=lambda m: len(m.point), default=Mount("/"))


def _unescaped(text: str) -> str:
    # What is escaped there are bytes: space, tab, newline, backslash, #.
    return _ESCAPE.sub(lambda found: chr(int(found[1], 8)), text)


# --- macOS and BSD ---------------------------------------------------------------------------


def _bsd_mounts() -> list[Mount]:
    try:
        done = subprocess.run(
            ["/sbin/mount"],
            capture_output=True,
            timeout=_MOUNT_SECONDS,
            check=True,
        )
    except (OSError, subprocess.SubprocessError):
        return []
    return parse_bsd_mounts(os.fsdecode(done.stdout))


def parse_bsd_mounts(text: str) -> list[Mount]:
    """Read what ``mount`` prints on macOS and BSD: type first, and ``local`` where it is."""
    mounts = []
    for line in text.splitlines():
        if found := _BSD_LINE.fullmatch(line):
            options = [option.strip() for option in found["options"].split(",")]
            mounts.append(
                Mount(found["point"], options[0], found["source"], local="local" in options)
            )
    return mounts


# --- Windows ---------------------------------------------------------------------------------


def windows_drive_type(point: str) -> int:
    """Ask Windows what kind of drive begins there; 0, which is unknown, on another system."""
    if sys.platform == "win32":
        import ctypes

        return int(ctypes.windll.kernel32.GetDriveTypeW(point.rstrip("\\") + "\\"))
    return _WINDOWS_UNKNOWN


def windows_mount(point: str, drive_type: int) -> Mount:
    """Say what Windows tells of a drive. What begins with two backslashes is a share."""
    share = point.startswith("\\\\") and not point.startswith(("\\\\?\\", "\\\\.\\"))
    unc = point.upper().startswith("\\\\?\\UNC\\")
    if share or unc or drive_type == WINDOWS_REMOTE:
        return Mount(point, "network drive", local=False)
    return Mount(point, local=None if drive_type == _WINDOWS_UNKNOWN else True)
