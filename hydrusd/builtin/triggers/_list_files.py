"""Reading a list that others write to at the same time.

A line that ends in a line break is complete, as long as the list only grows: what was read
before must still stand there, byte for byte. Anything else waits until the file has been
left alone for a while: a last line without a line break, because its other half may follow,
and a list that was rewritten, because it may be half old and half new.

Plain blocking code, meant for a worker thread. Lists are read in blocks and forgotten, so
that the memory needed does not depend on their length.
"""

from __future__ import annotations

import os
from dataclasses import dataclass, field
from hashlib import blake2b
from pathlib import Path
from typing import BinaryIO

from hydrusd.builtin.triggers._url_lines import BadLine, UrlLine, read_line

BLOCK_BYTES = 256 * 1024
_OTHER_BOMS = (b"\xff\xfe", b"\xfe\xff")

_Status = tuple[int, int, int]


@dataclass(slots=True)
class Piece:
    """Some lines of a list. ``more``: others can be had at once."""

    lines: list[UrlLine] = field(default_factory=list)
    bad: list[BadLine] = field(default_factory=list)
    more: bool = False


class ListFile:
    """A list and how far it has been read."""

    def __init__(self, path: Path, settle_seconds: float) -> None:
        self.path = path
        self._settle_seconds = settle_seconds
        self._status: _Status | None = None
        self._since = 0.0  # when the file was first seen as it is now
        self._verified: _Status | None = None  # as what it was found to begin as it did
        self._complete = False  # all is read of what the file is now
        self._begin()

    def _begin(self) -> None:
        self._offset = self._lines = 0
        self._digest = blake2b()
        self._overlong = False  # what comes next is the rest of a line that was given up

    @property
    def is_due(self) -> bool:
        """Whether there may be something to read; costs a look at the file's status."""
        try:
            return not (self._complete and _identity(self.path.stat()) == self._status)
        except OSError:
            return True

    def read(self, now: float) -> Piece:
        """Give the next lines. ``now`` is monotonic time. Raises OSError."""
        with self.path.open("rb") as file:
            status = _identity(os.fstat(file.fileno()))
            if status != self._status:
                self._status, self._since, self._complete = status, now, False
            if self._complete:
                return Piece()
            settled = now - self._since >= self._settle_seconds
            if self._verified != status:
                if not self._begins_as_before(file):
                    if not settled:
                        return Piece()
                    self._begin()
                self._verified = status
            file.seek(self._offset)
            block = file.read(BLOCK_BYTES)
            if _identity(os.fstat(file.fileno())) != status:
                return Piece()  # it was written to while it was read
        return self._take(block, status[0], settled=settled)

    def _begins_as_before(self, file: BinaryIO) -> bool:
        digest, left = blake2b(), self._offset
        while left and (block := file.read(min(left, BLOCK_BYTES))):
            digest.update(block)
            left -= len(block)
        return not left and digest.digest() == self._digest.digest()

    def _take(self, block: bytes, size: int, *, settled: bool) -> Piece:
        piece = Piece()
        if self._offset == 0 and block.startswith(_OTHER_BOMS):
            piece.bad.append(BadLine(1, "is in UTF-16; save the list as UTF-8, none of it is read"))
            self._complete = True
            return piece
        whole = block[: block.rfind(b"\n") + 1]
        if not whole and len(block) == BLOCK_BYTES:
            if not self._overlong:
                piece.bad.append(BadLine(self._lines + 1, f"has more than {BLOCK_BYTES} bytes"))
            self._overlong, whole = True, block
        else:
            for raw in whole.split(b"\n")[:-1]:
                self._add(piece, raw)
        self._digest.update(whole)
        self._offset += len(whole)
        tail = block[len(whole) :]
        at_end = self._offset + len(tail) == size
        if tail and at_end and settled:
            # Read once more, as a whole, should a line break or its other half follow.
            counted, overlong = self._lines, self._overlong
            self._add(piece, tail)
            self._lines, self._overlong = counted, overlong
        self._complete = at_end and (settled or not tail)
        piece.more = not at_end
        return piece

    def _add(self, piece: Piece, raw: bytes) -> None:
        self._lines += 1
        if self._overlong:
            self._overlong = False
            return
        line = read_line(self._lines, raw)
        if isinstance(line, BadLine):
            piece.bad.append(line)
        elif line is not None:
            piece.lines.append(line)


def _identity(status: os.stat_result) -> _Status:
    return status.st_size, status.st_mtime_ns, status.st_ino
