"""What a restless user does to a watched folder, and a model of what a client should have then.

Each operation is done to real files and noted in the model, with the time right before and right
after it: nobody knows better when a content came to be under a name, or ceased to. Two bounds
follow for how long it lay there unchanged. By the longer one a file *may* be in the client; by
the shorter one it *must* be. So a slow machine makes the model lenient, and never wrong.

Contents belong to inodes, as on the disk: who writes through one name changes what is under all.
"""

from __future__ import annotations

import hashlib
import os
import random
import shutil
import struct
import sys
import time
import zlib
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path, PurePosixPath

INBOX, OUTSIDE = "inbox", "outside"
MOST_FILES = 300
MOST_FOLDERS = 40
MOST_WRITERS = 8
DEEPEST = 4
UNCOUNTED = (".part", ".crdownload", ".tmp", "~")
EMPTY = hashlib.sha256(b"").hexdigest()

NAMES = [
    *["picture {}.png"] * 12,
    "UPPER {}.PNG", "no suffix {}", "猫 {}.png", "-rf {}.png", " in front {}.png", "'\"; {}.png",
    "{{{{ 7 * 7 }}}} {}.png", "[a-z]? {}.png", "%s %00 {}.png", "con {}.png", "e\u0301 {}.png",
]  # fmt: skip
UNCOUNTED_NAMES = [
    *[".hidden {}.png", "on its way {}.png.part"] * 3,
    "loading {}.crdownload",
    "{}.tmp",
    "old {}.png~",
]
if sys.platform == "linux":
    NAMES += [
        "line\nbreak {}.png",
        os.fsdecode(b"latin \xe9 {}.png"),
        "back\\slash {}.png",
        "x" * 240 + "{:>011}.png",
    ]
FOLDERS = [
    *["folder {}"] * 6,
    "line\nfolder {}" if sys.platform == "linux" else "f {}",
    "Ordner {}",
]
UNCOUNTED_FOLDERS = [".folder {}", "folder {}.tmp"]


def picture(chance):
    """Give a picture that no other one is like, of some hundred to some thousand bytes."""

    def chunk(kind, data):
        return (
            struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))
        )

    rows = b"".join(b"\0" + chance.randbytes(12) for _ in range(4))
    return (
        b"\x89PNG\r\n\x1a\n"
        + chunk(b"IHDR", struct.pack(">IIBBBBB", 4, 4, 8, 2, 0, 0, 0))
        + chunk(
            b"tEXt", b"Comment\0" + chance.randbytes(chance.choice([20, 200, 3000])).hex().encode()
        )
        + chunk(b"IDAT", zlib.compress(rows))
        + chunk(b"IEND", b"")
    )


def counts(path):
    """Say whether a rule that takes all is to notice a file of that path."""
    root, *parts = PurePosixPath(path).parts
    return root == INBOX and not any(
        part.startswith(".") or part.lower().endswith(UNCOUNTED) for part in parts
    )


@dataclass(eq=False)
class Node:
    """What is under one name or more. ``sha256`` is None for what is no file."""

    sha256: str | None
    size: int = 0


@dataclass
class Span:
    """A content under a name that counts, since when at the earliest and at the latest.

    ``steady`` is the same for it and its times: a touch is a new beginning.
    """

    sha256: str
    early: float
    late: float
    steady: float


@dataclass(eq=False)
class Writer:
    """Somebody who writes a file bit by bit, whatever becomes of its name."""

    file: object
    node: Node
    data: bytes
    written: int = 0


@dataclass
class Model:
    """What should be in the client, if a file has to lie still for ``settle_seconds``."""

    settle_seconds: float
    must_seconds: float
    whole: set = field(default_factory=set)
    may: set = field(default_factory=set)
    must: set = field(default_factory=set)
    _open: dict = field(default_factory=dict)

    def becomes(self, path, sha256, early, late, *, touched=False):
        """Note what is under a name now; None for nothing, or what does not count."""
        span = self._open.get(path)
        if span is not None and sha256 == span.sha256 and not touched:
            return
        if span is not None:
            self._judge(span, early, late)
        if sha256 is None:
            self._open.pop(path, None)
        elif span is not None and sha256 == span.sha256:
            span.steady = late
        else:
            self._open[path] = Span(sha256, early, late, late)

    def present(self):
        """Give the whole contents that lie under names that count."""
        return {s.sha256 for s in self._open.values()} & self.whole

    def settle(self):
        """Judge what is there by now."""
        now = time.monotonic()
        for span in self._open.values():
            self._judge(span, now, now)

    def _judge(self, span, early, late):
        # The clocks of two processes, and of files, agree to some milliseconds only.
        if late - span.early >= self.settle_seconds - 0.05:
            self.may.add(span.sha256)
        if early - span.steady >= self.must_seconds and span.sha256 in self.whole:
            self.must.add(span.sha256)


class Churn:
    """Does things to the files below a folder: ``inbox``, and ``outside`` on the same disk."""

    def __init__(self, base, seed, model):
        self.base = Path(base)
        self.model = model
        self.chance = random.Random(seed)
        self.folders = {INBOX, OUTSIDE}
        self.nodes = {}
        self.writers = []
        self.done = 0
        self.by_kind = {}
        self._number = 0
        for folder in self.folders:
            (self.base / folder).mkdir(exist_ok=True)
        self._operations = {
            self.create: 20, self.create_in_pieces: 8, self.go_on_writing: 14, self.trickle: 2,
            self.rewrite: 6, self.overwrite: 3, self.append: 2, self.touch: 5, self.rename: 12,
            self.finish_download: 5, self.replace: 5, self.link: 4, self.delete: 10,
            self.change_mode: 2, self.make_folder: 3, self.move_folder: 4, self.delete_folder: 1,
            self.make_symlink: 2, self.make_pipe: 1, self.make_garbage: 1, self.copy: 3,
        }  # fmt: skip

    # --- doing and noting ----------------------------------------------------------------

    def one(self):
        """Do something."""
        operations = list(self._operations)
        weights = list(self._operations.values())
        while True:
            crowded = len(self.nodes) > MOST_FILES or len(self.folders) > MOST_FOLDERS
            if crowded:
                operation = self.chance.choice([self.delete, self.delete, self.delete_folder])
            else:
                [operation] = self.chance.choices(operations, weights)
            if operation() is not False:
                break
        self.done += 1
        name = operation.__name__
        self.by_kind[name] = self.by_kind.get(name, 0) + 1

    def rest(self):
        """Have all writers come to an end."""
        while self.writers:
            self._write_on(self.writers[0], len(self.writers[0].data))

    def differences(self):
        """Give what is otherwise on the disk than the model has it: nothing, or it is broken."""
        found = {}
        for root in (INBOX, OUTSIDE):
            for folder, _, _ in os.walk(self.base / root):
                with os.scandir(folder) as entries:
                    for entry in entries:
                        if not entry.is_dir(follow_symlinks=False):
                            path = Path(entry.path)
                            is_file = entry.is_file(follow_symlinks=False)
                            name = path.relative_to(self.base).as_posix()
                            data = path.read_bytes() if is_file else None
                            found[name] = None if data is None else hashlib.sha256(data).hexdigest()
        modelled = {path: node.sha256 for path, node in self.nodes.items()}
        return sorted(found.items() ^ modelled.items())

    @contextmanager
    def _change(self, *paths, touched=False):
        """Do something, and note what is under these names afterwards."""
        early = time.monotonic()
        yield
        late = time.monotonic()
        for path in paths:
            node = self.nodes.get(path)
            sha256 = node.sha256 if node is not None and counts(path) else None
            self.model.becomes(path, sha256, early, late, touched=touched)

    def _names_of(self, node):
        return [path for path, other in self.nodes.items() if other is node]

    def _write(self, node, write, sha256):
        with self._change(*self._names_of(node), touched=True):
            write()
            node.sha256 = sha256

    # --- choosing ------------------------------------------------------------------------

    def _fresh(self, folder=None):
        self._number += 1
        names = UNCOUNTED_NAMES if self.chance.random() < 0.2 else NAMES
        return f"{folder or self._folder()}/{self.chance.choice(names).format(self._number)}"

    def _folder(self):
        # Most of what happens outside is of no interest.
        inside = [f for f in self.folders if f.startswith(INBOX)]
        chosen = inside if self.chance.random() < 0.85 else list(self.folders)
        return self.chance.choice(sorted(chosen))

    def _file(self, *, plain=True):
        files = [p for p, n in self.nodes.items() if not plain or n.sha256 is not None]
        return self.chance.choice(files) if files else None

    def _picture(self):
        data = picture(self.chance)
        self.model.whole.add(hashlib.sha256(data).hexdigest())
        return data

    # --- the operations: False where there is nothing to do it to -------------------------

    def create(self, data=None):
        path, data = self._fresh(), data or self._picture()
        node = Node(EMPTY)
        with self._change(path):
            file = (self.base / path).open("xb", buffering=0)
            self.nodes[path] = node
        with file:
            self._write(node, lambda: file.write(data), hashlib.sha256(data).hexdigest())

    def make_garbage(self):
        self.create(self.chance.randbytes(50))

    def create_in_pieces(self):
        if len(self.writers) >= MOST_WRITERS:
            return False
        path, node = self._fresh(), Node(EMPTY)
        with self._change(path):
            file = (self.base / path).open("xb", buffering=0)
            self.nodes[path] = node
        self.writers.append(Writer(file, node, self._picture()))
        return True

    def go_on_writing(self):
        if not self.writers:
            return False
        writer = self.chance.choice(self.writers)
        self._write_on(writer, self.chance.randint(1, 800))
        return True

    def trickle(self):
        """Write with pauses that are too short to be taken for an end."""
        if self.create_in_pieces() is False:
            return False
        writer = self.writers[-1]
        for _ in range(4):
            self._write_on(writer, len(writer.data) // 4)
            time.sleep(self.model.settle_seconds / 20)
        if writer in self.writers:
            self._write_on(writer, len(writer.data))
        return True

    def _write_on(self, writer, most):
        piece = writer.data[writer.written : writer.written + most]
        writer.written += len(piece)
        sha256 = hashlib.sha256(writer.data[: writer.written]).hexdigest()
        self._write(writer.node, lambda: writer.file.write(piece), sha256)
        if writer.written == len(writer.data):
            writer.file.close()
            self.writers.remove(writer)

    def rewrite(self):
        path = self._file()
        if path is None or any(w.node is self.nodes[path] for w in self.writers):
            return False
        node = self.nodes[path]
        file = (self.base / path).open("r+b", buffering=0)
        self._write(node, lambda: file.truncate(0), EMPTY)
        writer = Writer(file, node, self._picture())
        self.writers.append(writer)
        if len(self.writers) > MOST_WRITERS or self.chance.random() < 0.6:
            self._write_on(writer, len(writer.data))
        return True

    def overwrite(self):
        """Write other bytes over a file, in one go; its size may be the same."""
        path = self._file()
        if path is None or any(w.node is self.nodes[path] for w in self.writers):
            return False
        data = self._picture()
        node = self.nodes[path]
        with (self.base / path).open("r+b", buffering=0) as file:
            data += file.read()[len(data) :]
            file.seek(0)
            sha256 = hashlib.sha256(data).hexdigest()
            self.model.whole.add(sha256)  # whatever follows the end of a picture does no harm
            self._write(node, lambda: file.write(data), sha256)
        return True

    def append(self):
        path = self._file()
        if path is None or any(w.node is self.nodes[path] for w in self.writers):
            return False
        node, more = self.nodes[path], self.chance.randbytes(10)
        with (self.base / path).open("r+b", buffering=0) as file:
            sha256 = hashlib.sha256(file.read() + more).hexdigest()
            if node.sha256 in self.model.whole:
                self.model.whole.add(sha256)
            self._write(node, lambda: file.write(more), sha256)
        return True

    def touch(self):
        path = self._file()
        if path is None:
            return False
        node, at = self.nodes[path], self.chance.randrange(10**18, 2 * 10**18)
        with self._change(*self._names_of(node), touched=True):
            os.utime(self.base / path, ns=(at, at))
        return True

    def rename(self):
        path = self._file(plain=False)
        if path is None:
            return False
        target = self._fresh()
        with self._change(path, target):
            (self.base / path).rename(self.base / target)
            self.nodes[target] = self.nodes.pop(path)
        return True

    def finish_download(self):
        unfinished = [p for p in self.nodes if p.endswith(".part")]
        if not unfinished:
            self.create_in_pieces()
            return True
        path = self.chance.choice(unfinished)
        target = path.removesuffix(".part")
        if target in self.nodes:
            return False
        with self._change(path, target):
            (self.base / path).rename(self.base / target)
            self.nodes[target] = self.nodes.pop(path)
        return True

    def replace(self):
        """Put one file in the place of another, which may just be waiting."""
        path, target = self._file(), self._file(plain=False)
        if path is None or path == target or self.nodes[path] is self.nodes[target]:
            return False
        with self._change(path, target):
            (self.base / path).replace(self.base / target)
            self.nodes[target] = self.nodes.pop(path)
        return True

    def link(self):
        path = self._file()
        if path is None:
            return False
        target = self._fresh()
        with self._change(target):
            os.link(self.base / path, self.base / target)
            self.nodes[target] = self.nodes[path]
        return True

    def copy(self):
        """Have the same bytes under a second name."""
        path = self._file()
        if path is None:
            return False
        data = (self.base / path).read_bytes()
        if data:
            self.create(data)
        return bool(data)

    def delete(self):
        path = self._file(plain=False)
        if path is None:
            return False
        with self._change(path):
            (self.base / path).unlink()
            del self.nodes[path]
        return True

    def change_mode(self):
        path = self._file()
        if path is None:
            return False
        with self._change(path):
            (self.base / path).chmod(self.chance.choice([0o600, 0o644, 0o755]))
        return True

    def make_symlink(self):
        target = self.chance.choice([*self.nodes, *self.folders, "nothing"])
        path = self._fresh()
        with self._change(path), suppress(NotImplementedError):
            (self.base / path).symlink_to(self.base / target)
            self.nodes[path] = Node(None)

    def make_pipe(self):
        if not hasattr(os, "mkfifo"):
            return False
        path = self._fresh()
        with self._change(path):
            os.mkfifo(self.base / path)
            self.nodes[path] = Node(None)
        return True

    def make_folder(self):
        self._number += 1
        name = self.chance.choice(FOLDERS if self.chance.random() < 0.8 else UNCOUNTED_FOLDERS)
        path = f"{self._folder()}/{name.format(self._number)}"
        if path.count("/") > DEEPEST:
            return False
        (self.base / path).mkdir()
        self.folders.add(path)
        if self.chance.random() < 0.5:  # before anybody can have begun to watch it
            self.create()
        return True

    def move_folder(self):
        movable = sorted(self.folders - {INBOX, OUTSIDE})
        if not movable:
            return False
        path, (folder, name) = self.chance.choice(movable), (self._folder(), None)
        self._number += 1
        names = FOLDERS if self.chance.random() < 0.8 else UNCOUNTED_FOLDERS
        name = self.chance.choice(names).format(self._number)
        target = f"{folder}/{name}"
        below = path + "/"
        depth = max(f.count("/") for f in self.folders if f == path or f.startswith(below))
        if folder == path or folder.startswith(below):
            return False
        if target.count("/") + depth - path.count("/") > DEEPEST:
            return False
        moved = {p: target + p[len(path) :] for p in self.nodes if p.startswith(below)}
        with self._change(*moved, *moved.values()):
            (self.base / path).rename(self.base / target)
            for old, new in moved.items():
                self.nodes[new] = self.nodes.pop(old)
        gone = {f for f in self.folders if f == path or f.startswith(below)}
        self.folders = (self.folders - gone) | {target + f[len(path) :] for f in gone}
        return True

    def delete_folder(self):
        deletable = sorted(self.folders - {INBOX, OUTSIDE})
        if not deletable:
            return False
        path = self.chance.choice(deletable)
        below = path + "/"
        gone = [p for p in self.nodes if p.startswith(below)]
        with self._change(*gone):
            shutil.rmtree(self.base / path)
            for each in gone:
                del self.nodes[each]
        self.folders = {f for f in self.folders if f != path and not f.startswith(below)}
        return True
