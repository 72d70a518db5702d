"""A file on its way into the client: small ones in memory, large ones in a temporary file.

Hashed while it comes in, so that nobody reads two gigabytes twice.
"""

from __future__ import annotations

import hashlib
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import IO

SPOOL_BYTES = 1024 * 1024
CHUNK_BYTES = 256 * 1024


class Upload:
    """A file that arrived whole: its bytes, or the temporary file that holds them."""

    def __init__(self, content: bytes | Path, size: int, sha256: str) -> None:
        self.content = content
        self.size = size
        self.sha256 = sha256

    def discard(self) -> None:
        """Remove the temporary file, unless somebody has taken it away."""
        if isinstance(self.content, Path):
            self.content.unlink(missing_ok=True)


class Spool:
    """Takes a file in pieces. ``finish`` or ``abandon`` it.

    ``folder`` says where a large one goes; it is asked only then.
    """

    def __init__(self, folder: Callable[[], Path]) -> None:
        self._folder = folder
        self._pieces: list[bytes] = []
        self._size = 0
        self._digest = hashlib.sha256()
        self._file: IO[bytes] | None = None

    def write(self, piece: bytes) -> None:
        """Take the next piece."""
        self._size += len(piece)
        self._digest.update(piece)
        if self._file is None and self._size > SPOOL_BYTES:
            # Closed in finish and abandon; an Upload outlives this object's methods.
            self._file = tempfile.NamedTemporaryFile(  # noqa: SIM115 - see above
                prefix="upload-", dir=self._folder(), delete=False
            )
            self._file.write(b"".join(self._pieces))
            self._pieces.clear()
        if self._file is None:
            self._pieces.append(piece)
        else:
            self._file.write(piece)

    def finish(self) -> Upload:
        """Give what came in."""
        if self._file is None:
            return Upload(b"".join(self._pieces), self._size, self._digest.hexdigest())
        self._file.close()
        return Upload(Path(self._file.name), self._size, self._digest.hexdigest())

    def abandon(self) -> None:
        """Forget what came in."""
        if self._file is not None:
            self._file.close()
            Path(self._file.name).unlink(missing_ok=True)


def upload_from(path: Path, folder: Callable[[], Path]) -> Upload:
    """Copy a file in, as a client does before it looks at it. May raise OSError."""
    spool = Spool(folder)
    try:
        with path.open("rb") as source:
            while piece := source.read(CHUNK_BYTES):
                spool.write(piece)
    except OSError:
        spool.abandon()
        raise
    return spool.finish()
