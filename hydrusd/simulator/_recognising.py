"""What a client says of a file that it knows already."""

from __future__ import annotations

import time

from hydrusd.simulator._entries import StoredFile
from hydrusd.simulator._eras import Era
from hydrusd.simulator._services import FILE_STORAGE_KEY

ALREADY_THERE = 2
DELETED_BEFORE = 3


def recognise(era: Era, file: StoredFile | None) -> tuple[int, str] | None:
    """Give the import status of a known file and the words about it, to follow a prefix.

    None: the client never had it, or has been told to forget that it was deleted.
    """
    if file is None or not (file.on_disk or FILE_STORAGE_KEY in file.removals):
        return None
    if file.is_current:
        when = _when(era, file.imported_at)
        return ALREADY_THERE, f"recognised: Imported at {when} before this check."
    when = _when(era, file.deleted_at or file.imported_at)
    if file.is_trashed:
        words = f"Currently in trash ({file.delete_reason}). Sent there at {when}"
    else:
        words = f"Deleted from the client ({file.delete_reason}). Deleted at {when}"
    return DELETED_BEFORE, f"recognised: {words} before this check."


def _when(era: Era, moment: float) -> str:
    # The client writes its machine's own time of day, without a zone.
    written = time.strftime(era.time_format, time.localtime(moment))
    return f"{written}, which was {_ago(int(time.time() - moment))}"


def _ago(seconds: int) -> str:
    """Word a span in its two largest units."""
    words = []
    for name, length in (("day", 86400), ("hour", 3600), ("minute", 60), ("second", 1)):
        count, seconds = divmod(seconds, length)
        if count:
            words.append(f"{count} {name}{'s' * (count > 1)}")
    return " ".join(words[:2]) + " ago" if words else "now"
