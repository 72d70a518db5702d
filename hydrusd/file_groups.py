"""The files of a folder in groups, and a digest that says whether a group is as it was.

To ask the ledger about each of a million files takes a minute, at every start and every
scan; to see that nothing has changed since it was asked last takes seconds. So what it
answered is remembered, not by file, which would be a second ledger, but by group: one
digest over name, size, modification time and inode of a few hundred files. If the digest
is the same, so is every file, and so is the answer. If not, each file of the group is asked
about again: a wrong "known" is as improbable as a collision of 128 bits, a wrong "unknown"
costs some questions.

Groups are made by halving: 1 is the whole folder, 2 and 3 its halves, 4 to 7 its quarters.
In which half a file is depends on its name alone, so that whoever has a path can say which
groups it has ever been in, and a new file in a folder of a million disturbs one group only.

The order in which a folder is listed does not matter. The digest of a part is the sum of those
of its files, so these need not be kept until all are there; only of a folder that is one group,
as almost all are, the files are put in order and digested in one go.
"""

from __future__ import annotations

import os
import zlib
from collections.abc import Iterable
from hashlib import blake2b

FileFacts = tuple[str, int, int, int | None]
"""A file in its folder: name, size in bytes, modification time in nanoseconds, inode."""

FileGroup = tuple[str, int]
"""The path of a folder, and which part of its files (1: all of them)."""

MOST_IN_GROUP = 256
"""How many files a group should have at most: so many are asked about when one has changed."""
DEEPEST = 12
"""How often the files of a folder are halved at most: beyond a million, groups grow."""
_LEAVES = 1 << DEEPEST
_MODULUS = 1 << 128


def part_of(name: str, depth: int) -> int:
    """Give the part in which a file is, by its name, when its folder was halved so often."""
    return (_LEAVES | zlib.crc32(_written(name)) & (_LEAVES - 1)) >> (DEEPEST - depth)


def depth_of(part: int) -> int:
    """Say how often a folder was halved to give this part."""
    return part.bit_length() - 1


def groups_ever_of(path: str) -> list[FileGroup]:
    """Give every group in which the file at a path can ever have been."""
    folder, name = os.path.split(path)
    return [(folder, part_of(name, depth)) for depth in range(DEEPEST + 1)]


class Tally:
    """Counts the files of one folder, or of some parts of it, into the digests of its groups.

    ``depth`` says how often the folder is halved; None lets that follow from how many files
    there are.
    """

    def __init__(self, depth: int | None = None) -> None:
        self._depth = depth
        self._few: list[FileFacts] = []
        self._leaves: dict[int, int] = {}
        self._count = 0

    def add(self, files: Iterable[FileFacts]) -> None:
        """Count some files in."""
        self._few += files
        if len(self._few) > MOST_IN_GROUP:
            self._spread()

    def _spread(self) -> None:
        """Sort those that were kept back into the smallest parts: there may be many more."""
        leaves = self._leaves
        for facts in self._few:
            name, size, mtime_ns, inode = facts
            written = _written(name)
            leaf = zlib.crc32(written) & (_LEAVES - 1)
            leaves[leaf] = leaves.get(leaf, 0) + _number(written, size, mtime_ns, inode)
        self._count += len(self._few)
        self._few = []

    def digests(self) -> dict[int, bytes]:
        """Give the digest of each part that has files."""
        if not self._leaves and not self._depth:
            return {1: _digest_of_few(self._few)} if self._few else {}
        self._spread()
        depth = _depth_for(self._count) if self._depth is None else self._depth
        sums: dict[int, int] = {}
        for leaf, total in self._leaves.items():
            part = (_LEAVES | leaf) >> (DEEPEST - depth)
            sums[part] = sums.get(part, 0) + total
        return {part: _digest(total) for part, total in sums.items()}


def _depth_for(count: int) -> int:
    return min(max(count - 1, 0) // MOST_IN_GROUP, _LEAVES - 1).bit_length()


def _written(name: str) -> bytes:
    return name.encode("utf-8", "surrogatepass")  # names need not be valid Unicode


def _number(name: bytes, size: int, mtime_ns: int, inode: int | None) -> int:
    # No name has a slash in it, so no two files give the same bytes.
    facts = blake2b(b"%b/%d/%d/%d" % (name, size, mtime_ns, inode or 0), digest_size=16)
    return int.from_bytes(facts.digest(), "little")


def _digest_of_few(files: Iterable[FileFacts]) -> bytes:
    # Half the price of a sum. No name has a slash or a zero in it, so no two lists give the same.
    texts = sorted([f"{name}/{size}/{mtime_ns}/{inode}" for name, size, mtime_ns, inode in files])
    return blake2b("\0".join(texts).encode("utf-8", "surrogatepass"), digest_size=16).digest()


def _digest(total: int) -> bytes:
    return (total % _MODULUS).to_bytes(16, "little")
