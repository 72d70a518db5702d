"""Importing files: bytes from a file of ours to the client, never more than a piece at a time.

The description of the file is read first and compared at every piece. A file that is
still being written would otherwise be imported cut short, which Hydrus cannot tell and
nobody would notice: a request that stops before its end is one that never happened.
"""

from __future__ import annotations

import os
from collections.abc import AsyncIterator, Callable
from pathlib import Path
from typing import BinaryIO

from anyio import to_thread

from ._calls import Calls, Route
from ._failures import last_words
from ._models import AddFileAnswer, AddFileResult, ImportStatus
from ._permissions import Permission

ADD_FILE = Route("POST", "/add_files/add_file", Permission.IMPORT_FILES)

_PIECE_BYTES = 256 * 1024
# An import reads the file several times, and a video is decoded in part: allow for a slow
# disk on top of the usual patience.
_BYTES_PER_EXTRA_SECOND = 2_000_000


class FileChangedError(OSError):
    """The file was written to while it was being sent. Nothing was imported."""


class FileRoutes(Calls):
    """Routes about files."""

    async def add_file(
        self, path: Path, *, on_sent: Callable[[], None] | None = None
    ) -> AddFileResult:
        """Import a file by sending its bytes; the client learns neither name nor path.

        ``on_sent`` is called when the last byte was handed to the network (once more if a
        dead session made it necessary to send again). The client is given the usual time
        to answer, and one second more for every 2 MB.

        The outcome of an import that was tried is a result, never an exception: look at
        its ``status``. Safe to repeat. Needs "import and delete files". Raises OSError
        where the file cannot be read, of which FileChangedError if it changed meanwhile.
        """
        self._require(ADD_FILE)
        file, description = await to_thread.run_sync(_open, path)
        try:
            body = _FileBody(file, description, on_sent)
            answer = await self._ask(
                AddFileAnswer,
                ADD_FILE,
                body=body,
                content_type="application/octet-stream",
                extra_seconds=body.size / _BYTES_PER_EXTRA_SECOND,
            )
        finally:
            file.close()
        return AddFileResult(answer.status, answer.hash, _note(answer))


def _note(answer: AddFileAnswer) -> str:
    note = last_words(answer.note)
    if note != answer.note and answer.status is ImportStatus.FAILED and ": " in note:
        # It was a traceback; its last line begins with the name of a class.
        return note.partition(": ")[2]
    return note


def _open(path: Path) -> tuple[BinaryIO, os.stat_result]:
    file = path.open("rb", buffering=0)
    try:
        return file, os.fstat(file.fileno())
    except OSError:
        file.close()
        raise


class _FileBody:
    """The bytes of an open file, from the first one each time it is iterated."""

    def __init__(
        self, file: BinaryIO, description: os.stat_result, on_sent: Callable[[], None] | None
    ) -> None:
        self.size = description.st_size
        self._file = file
        self._mtime_ns = description.st_mtime_ns
        self._on_sent = on_sent
        self._position = 0

    def __aiter__(self) -> AsyncIterator[bytes]:
        self._position = 0
        return self

    async def __anext__(self) -> bytes:
        # Asked for more, the network has taken what it got before.
        if self._position == self.size and (self._position or not self.size):
            if self._on_sent is not None:
                self._on_sent()
            raise StopAsyncIteration
        piece = await to_thread.run_sync(self._read)
        self._position += len(piece)
        return piece

    def _read(self) -> bytes:
        self._file.seek(self._position)
        piece = self._file.read(min(_PIECE_BYTES, self.size - self._position))
        now = os.fstat(self._file.fileno())
        if not piece or (now.st_size, now.st_mtime_ns) != (self.size, self._mtime_ns):
            raise FileChangedError(f"{self._file.name} was written to while it was being sent")
        return piece
