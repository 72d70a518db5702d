"""Keeps what steps write from the place where a disk was that is away now.

A disk that is unplugged leaves its mount point behind, an empty folder on another disk, or
nothing at all; what is moved there then is lost from sight: no folder on the disk has it, and
plugged in again the disk hides it. So each mount point is remembered on which a step has written.
Where a target lies below one that is not mounted now, what would be written to it waits.

Only what has been seen counts. A target that never was on a mount of its own is written to, and a
folder that can be reached without the mount, too, for it is no other: a bind mount that is not
needed any more. Nothing is concluded from what lies in the place: files may be there of a time
when nobody looked. That a mount is gone for good, a person says.
"""

from __future__ import annotations

import contextlib
from collections.abc import Collection, Mapping
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path

from hydrusd.engine.asking_disks import in_own_thread
from hydrusd.ledger import LedgerWriter, mounts_written_to, remember_mounts
from hydrusd.mounts import FolderIdentity, Ground, grounds

AWAY_SECONDS = 300.0
"""When what would be written to a disk that is away is tried again."""


@dataclass(frozen=True, slots=True)
class Look:
    """What a look at some folders has shown.

    ``away`` are those that wait, each with the mount point of its disk; ``devices`` are the
    numbers of the file systems that others are on, and ``new`` mount points that were not known.
    """

    away: Mapping[Path, str] = field(default_factory=dict)
    devices: Mapping[Path, int] = field(default_factory=dict)
    new: Mapping[str, str] = field(default_factory=dict)


def waits_for(folder: Path, mount: str) -> str:
    """Say what a step waits for, and what to do."""
    said = f'"{mount}"' if " " in mount else mount
    return (
        f"{mount} is not mounted, and files were written to it before; mount it again, or say "
        f"`hydrusd ledger forget-mount {said}` to have {folder} made where the disk was"
    )


class Targets:
    """What is known of the disks that steps write to."""

    def __init__(self, ledger: LedgerWriter) -> None:
        self._ledger = ledger
        self._known: Mapping[str, str] | None = None

    async def look(self, folders: Collection[Path], *, remember: bool = True) -> Look:
        """See on what each folder lies, or would lie once it is made, before it is written to."""
        if self._known is None:
            self._known = await self._ledger(mounts_written_to)
        look = await in_own_thread(partial(_look, folders, self._known))
        if look.away:  # unless somebody has said meanwhile that it is not to be waited for
            self._known = await self._ledger(mounts_written_to)
            look = await in_own_thread(partial(_look, folders, self._known))
        if look.new and remember:
            await self._ledger(remember_mounts, look.new)
            self._known = {**self._known, **look.new}
        return look


def _look(folders: Collection[Path], known: Mapping[str, str]) -> Look:
    away, devices, new = dict[Path, str](), dict[Path, int](), dict[str, str]()
    for folder, ground in grounds(folders).items():
        if (mount := _missing(ground, known)) is not None:
            away[folder] = mount
            continue
        devices[folder] = ground.device
        if ground.mount not in known and ground.mount not in new and ground.mount not in {"", "/"}:
            new[ground.mount] = _kept(ground.mount)
    return Look(away, devices, new)


def _missing(ground: Ground, known: Mapping[str, str]) -> str | None:
    """Give the mount point of the disk on which this was, where that is away."""
    path = Path(ground.real)
    # Of one in another the inner one first: the path leads to that.
    for mount in sorted(known, key=len, reverse=True):
        if not path.is_relative_to(mount):
            continue
        if mount == ground.mount:
            return None
        if ground.mount and not Path(mount).is_relative_to(ground.mount):
            return None  # on a disk that is mounted further in
        if not _is_there(mount, known[mount]):
            return mount
    return None


def _is_there(mount: str, kept: str) -> bool:
    """Say whether the very folder that was mounted there is at its path without that."""
    was = FolderIdentity.from_text(kept)
    with contextlib.suppress(OSError):
        now = FolderIdentity.of(Path(mount))
        return was is not None and FolderIdentity(
            now.mount, was.device, was.inode, was.file_system
        ).is_folder_of(now)
    return False


def _kept(mount: str) -> str:
    with contextlib.suppress(OSError):
        return FolderIdentity.of(Path(mount)).to_text()
    return ""
