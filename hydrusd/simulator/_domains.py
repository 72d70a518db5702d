"""Which files a file service has, or had."""

from __future__ import annotations

from collections.abc import Callable

from hydrusd.simulator._entries import Entry
from hydrusd.simulator._services import (
    ALL_KNOWN_FILES,
    ALL_LOCAL_MEDIA,
    FILE_STORAGE,
    LOCAL_FILES,
    TRASH,
)

Test = Callable[[str, Entry], bool]


def domain_test(key: str, kind: int | None, *, deleted: bool = False) -> Test:
    """Say how to tell whether a file is in a file service, or was deleted from it."""

    def in_domain(_: str, entry: Entry) -> bool:
        file = entry.file
        if deleted:
            return file is not None and key in file.removals
        if kind == ALL_KNOWN_FILES:
            return True
        if file is None:
            return False
        if kind == LOCAL_FILES:
            return key in file.domains
        if kind == ALL_LOCAL_MEDIA:
            return file.is_current
        if kind == FILE_STORAGE:
            return file.on_disk
        return kind == TRASH and file.is_trashed

    return in_domain
