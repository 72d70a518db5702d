"""Removing folders that a disposed source has left empty.

A folder goes only when nothing is in it but what systems put into any folder by themselves,
and never the watched one. The system itself has the last word: it refuses to remove a folder
that has something in it, be it from this very moment.
"""

from __future__ import annotations

import os
from pathlib import Path

JUNK = frozenset({"thumbs.db", "desktop.ini", ".ds_store"})
"""What counts as nothing, in lower case: views and settings of folders, made again at need."""


def remove_emptied(folder: Path, root: Path) -> list[Path]:
    """Remove a folder if it is empty, then the one above, up to and without ``root``.

    Gives those that were removed. What cannot be removed stays, without a word.
    """
    removed: list[Path] = []
    while folder != root and folder.is_relative_to(root):
        if os.path.lexists(folder):
            if folder.is_symlink() or not _removed(folder):
                break
            removed.append(folder)
        folder = folder.parent
    return removed


def _removed(folder: Path) -> bool:
    try:
        with os.scandir(folder) as entries:
            junk = []
            for entry in entries:
                is_file = entry.is_file(follow_symlinks=False)
                if not is_file or entry.name.lower() not in JUNK:
                    return False
                junk.append(Path(entry.path))
        for path in junk:
            path.unlink(missing_ok=True)
        folder.rmdir()
    except OSError:
        return False
    return True
