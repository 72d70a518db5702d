"""Real mounts for tests: disks that can be pulled out, and a server that writes untold.

Where this process may not mount anything there is another real way for each test that needs
one: a folder that is renamed away, with an empty one put in its place.
"""

from __future__ import annotations

import contextlib
import ctypes
import errno
import os
import struct
import subprocess
import sys
import tempfile
import threading
from pathlib import Path

_DETACH = 2


def _run(*words):
    subprocess.run(list(map(str, words)), check=True, capture_output=True, timeout=20)


@contextlib.contextmanager
def mounted(*words, at: Path):
    """``mount … at`` for as long as the block lasts."""
    _run("mount", *words, at)
    try:
        yield
    finally:
        unmount(at)


def unmount(at: Path) -> None:
    """Take a file system away as pulling the plug does: whoever still uses it or not."""
    _run("umount", "-l", at)


def _can_mount() -> bool:
    if sys.platform != "linux":
        return False
    with tempfile.TemporaryDirectory() as folder:
        try:
            with mounted("-t", "tmpfs", "none", at=Path(folder)):
                return True
        except (OSError, subprocess.SubprocessError):
            return False


CAN_MOUNT = _can_mount()


class Disk:
    """A folder on a disk: it is at ``root`` as long as that is plugged in."""

    def __init__(self, folder: Path, *, real: bool, name: str = "inbox") -> None:
        self.root = folder / name
        self.real = real
        self._aside = folder / "aside"
        self.root.mkdir()
        if real:
            self._aside.mkdir()
            _run("mount", "-t", "tmpfs", "none", self._aside)
            (self._aside / "disk").mkdir()
            self._aside /= "disk"
            _run("mount", "--bind", self._aside, self.root)

    def unplug(self) -> None:
        """Leave an empty folder behind."""
        if self.real:
            unmount(self.root)
        else:
            self.root.rename(self._aside)
            self.root.mkdir()

    def plug(self) -> None:
        """Bring everything back."""
        if self.real:
            _run("mount", "--bind", self._aside, self.root)
        else:
            self.root.rmdir()
            self._aside.rename(self.root)

    def close(self) -> None:
        if self.real:
            with contextlib.suppress(subprocess.SubprocessError):
                unmount(self.root)
            unmount(self._aside.parent)


class FuseServer:
    """A file system whose files are in ``files``, by name: read-only, one folder, no hints.

    It speaks the kernel's protocol itself, and calls itself what ``kind`` says. It is what a
    network share is to this machine: what is put into ``files`` was written by another one.
    With ``answering`` cleared it is a server that has stopped answering, with ``error`` one that
    answers just this to whoever looks at files or lists them. ``first_number`` is the inode of its
    first file, which the next mount may have otherwise.
    """

    def __init__(self, at: Path, kind: str = "fuse.sshfs") -> None:
        self.at = at
        self.files: dict[str, bytes] = {}
        self.first_number = 2
        self.error = 0
        self.answering = threading.Event()
        self.answering.set()
        self._fd = os.open("/dev/fuse", os.O_RDWR)
        options = f"fd={self._fd},rootmode=40000,user_id={os.getuid()},group_id={os.getgid()}"
        self._libc = ctypes.CDLL(None, use_errno=True)
        try:
            if self._libc.mount(b"server", os.fsencode(at), kind.encode(), 0, options.encode()):
                raise OSError(ctypes.get_errno(), "fuse cannot be mounted")
        except OSError:
            os.close(self._fd)
            raise
        self._thread = threading.Thread(target=self._serve, name="fuse server")
        self._thread.start()

    def close(self) -> None:
        self.answering.set()
        self._libc.umount2(os.fsencode(self.at), _DETACH)
        self._thread.join(10)
        os.close(self._fd)

    def _serve(self) -> None:
        while True:
            try:
                request = os.read(self._fd, 1 << 20)
            except OSError as error:
                if error.errno in {errno.ENOENT, errno.EINTR}:
                    continue
                return  # unmounted
            self.answering.wait()
            _, opcode, unique, node = struct.unpack_from("<IIQQ", request)
            if opcode in {2, 36, 42}:  # forget, interrupt, batch forget: no answer
                continue
            answer = self._answer(opcode, node, request[40:])
            code, body = (-answer, b"") if isinstance(answer, int) else (0, answer)
            with contextlib.suppress(OSError):  # whoever asked has gone
                os.write(self._fd, struct.pack("<IiQ", 16 + len(body), code, unique) + body)
            if opcode == 38:
                return

    def _answer(self, opcode, node, body):
        names = list(self.files)
        if self.error and opcode in {1, 14, 15, 28}:  # lookup, open, read, readdir
            return self.error
        match opcode:
            case 26:  # init
                return struct.pack("<IIIIHHI", 7, 31, 0, 0, 0, 0, 4096) + bytes(40)
            case 1:  # lookup
                name = os.fsdecode(body.rstrip(b"\0"))
                if name not in self.files:
                    return errno.ENOENT
                number = names.index(name) + 2
                return struct.pack("<QQQQII", number, 0, 0, 0, 0, 0) + self._attributes(number)
            case 3:  # getattr
                return struct.pack("<QII", 0, 0, 0) + self._attributes(node)
            case 14 | 27:  # open, opendir
                return struct.pack("<QII", 0, 0, 0)
            case 15:  # read
                _, offset, size = struct.unpack_from("<QQI", body)
                return self.files[names[node - 2]][offset : offset + size]
            case 28:  # readdir
                _, offset, size = struct.unpack_from("<QQI", body)
                return b"" if offset else self._listing(names, size)
            case 17:  # statfs
                return struct.pack("<QQQQQIIII", 0, 0, 0, 0, 0, 4096, 255, 4096, 0) + bytes(24)
            case 18 | 25 | 29 | 34 | 38:  # release, flush, releasedir, access, destroy
                return b""
            case _:
                return errno.EROFS

    def _listing(self, names, size):
        listing = b""
        for position, name in enumerate(names):
            text = os.fsencode(name)
            entry = (
                struct.pack("<QQII", position + self.first_number, position + 1, len(text), 8)
                + text
            )
            listing += entry + bytes(-len(entry) % 8)
        assert len(listing) <= size
        return listing

    def _attributes(self, node):
        folder = node == 1
        size = 0 if folder else len(self.files[list(self.files)[node - 2]])
        mode = 0o40755 if folder else 0o100644
        times = (1_700_000_000,) * 3
        number = node if folder else node - 2 + self.first_number
        return struct.pack(
            "<QQQQQQIIIIIIIIII", number, size, 1, *times, 0, 0, 0, mode, 1, 0, 0, 0, 4096, 0
        )
