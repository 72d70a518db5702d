"""Having on the disk what a program has written, also if the power fails a moment later.

The content of a file reaches the disk by ``os.fsync`` of the file; its name does by that of the
folder which it is in.
"""

from __future__ import annotations

import os
from pathlib import Path


def sync_folder(folder: Path | str) -> None:
    """Have the names in a folder on the disk. Windows does that by itself.

    Raises OSError, also on file systems that refuse to be asked.
    """
    if os.name == "nt":
        return  # a folder cannot be opened there
    opened = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(opened)
    finally:
        os.close(opened)
