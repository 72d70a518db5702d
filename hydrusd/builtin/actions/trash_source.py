"""Moves the file that was noticed to the trash.

The only module that imports send2trash.
"""

from __future__ import annotations

import errno
import sys
import threading
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import ClassVar

from pydantic import Field

from hydrusd.builtin.actions._disk_back import (
    foresee_each,
    foresee_moved_back,
    moved_back,
    moving_back,
    undo_each,
    was_moved,
)
from hydrusd.builtin.actions._disposing import (
    Disposing,
    disposal,
    disposals,
    disposed,
    done_before,
    foresee_all,
    reason_to_stop,
    source_of,
    with_sidecars,
)
from hydrusd.builtin.actions._placing import Move
from hydrusd.builtin.actions._restoring import foresee_restoring, undo_disposal
from hydrusd.builtin.actions._syncing import Steps
from hydrusd.plugin import (
    AnyAction,
    Call,
    Data,
    FileSource,
    FolderPath,
    Foreseen,
    Outcome,
    PermanentError,
    Permission,
    SidecarFile,
    TemporaryError,
    Undo,
)

_NO_TRASH = frozenset({errno.EACCES, errno.ENOTSUP, errno.EPERM, errno.EROFS})
_INSTEAD = (
    "nothing was deleted; give trash_source a `folder` of your own, "
    "or use move_source or delete_source"
)
# The library chooses a free name in the trash and then renames onto it: two files of one
# name at the same time, and the second would overwrite the first.
_ONE_AT_A_TIME = threading.Lock()


class TrashSource(Disposing):
    """Move the file that was noticed to the trash of this computer, or to a folder of yours.

    Network folders, containers and some disks have no trash: then nothing is deleted, and
    the job becomes a dead letter that says so. Give a `folder` there; the file is moved
    into it as `move_source` does, under a free name.

    It runs when everything the rule did before is committed by Hydrus, and only if the
    file is still the one that was noticed: one that has changed meanwhile is left alone
    and noticed anew. Sidecars that came with the file go with it.
    """

    action: ClassVar[str] = "trash_source"
    needs_client: ClassVar[bool] = False
    changes_client: ClassVar[bool] = False
    needs_source: ClassVar[bool] = True
    disposes: ClassVar[bool] = True
    destroys: ClassVar[bool] = True  # the system may empty its trash
    takes_sidecars: ClassVar[bool] = True
    writes_into: ClassVar[tuple[str, ...]] = ("folder",)
    undo_needs_client: ClassVar[bool | None] = True
    undo_permissions: ClassVar[frozenset[Permission] | None] = frozenset({Permission.SEARCH_FILES})

    folder: FolderPath | None = Field(
        default=None,
        description="A folder to use as the trash, outside of the watched one.",
    )

    @classmethod
    async def plan(cls, calls: Sequence[Call[AnyAction]]) -> Sequence[Foreseen]:
        """Say which files would go to which trash."""

        def look(call: Call[AnyAction]) -> Foreseen:
            assert isinstance(call.action, TrashSource)
            source = source_of(call)
            if call.action.folder is not None:
                move = _move(call, source, call.action.folder, source.path.name)
                return with_sidecars(call, move.foreseen())
            _refuse_without_trash(source.path)
            return with_sidecars(call, disposal(source, "trash"))

        return await foresee_all(calls, look)

    def for_test(self, scratch: Path) -> AnyAction:
        """Use a folder as the trash: the system's is a real one."""
        return self if self.folder else self.model_copy(update={"folder": scratch / "trash"})

    def about_to(self, call: Call[AnyAction]) -> Data:
        """Give what will be in the system's trash; what is moved elsewhere is found there."""
        return disposals(call, "trashed") if self.folder is None else {}

    def dispose(self, call: Call[AnyAction]) -> Steps:
        """Trash it, if it is still the same file."""
        source = source_of(call)
        if self.folder is None:
            return _trash(source, disposed(call, "trashed", source), done_before(call))
        return (yield from _move(call, source, self.folder, source.path.name).steps())

    def dispose_sidecar(self, call: Call[AnyAction], sidecar: SidecarFile, main: str) -> Steps:
        """Trash it, too."""
        source = sidecar.source
        if self.folder is None:
            return _trash(source, {"trashed": source.text}, None)
        name = sidecar.name_for(main)
        return (yield from _move(call, source, self.folder, name).steps())

    @classmethod
    def undo_refusal(cls, receipt: Data) -> str:
        """Say that only the system's trash has the file."""
        known = receipt.get("sha256") or was_moved(receipt)
        return "" if known else "it is in this computer's trash: have it restored there"

    @classmethod
    async def undo_plan(cls, calls: Sequence[Call[Undo]]) -> Sequence[Foreseen]:
        """Say which files can be moved back, or be had from Hydrus."""
        moved = [call for call in calls if was_moved(call.action.receipt)]
        other = [call for call in calls if not was_moved(call.action.receipt)]
        foreseen = dict(zip(moved, await foresee_each(moved, foresee_moved_back), strict=True))
        foreseen |= zip(other, await foresee_restoring(other, "trashed"), strict=True)
        return [foreseen[call] for call in calls]

    @classmethod
    async def undo_set(cls, calls: Sequence[Call[Undo]]) -> None:
        """Move back what went to a folder; write anew, as Hydrus has it, what went elsewhere.

        What the system has in its trash, sidecars for one, stays there: where that is, is
        nobody's to know.
        """
        moved = [call for call in calls if was_moved(call.action.receipt)]
        await undo_each(moved, moved_back, moving_back)
        other = [call for call in calls if not was_moved(call.action.receipt)]
        await undo_disposal(other, "trashed", _send_to_trash)


def _move(call: Call[AnyAction], source: FileSource, folder: Path, name: str) -> Move:
    made = call.make_folder
    return Move(source, folder, name, call.job_id, gone_will_do=True, make_folder=made)


def _trash(source: FileSource, receipt: Data, before: Data | None) -> Outcome:
    _refuse_without_trash(source.path)
    with _ONE_AT_A_TIME:
        if (stop := reason_to_stop(source.state(), source)) is not None:
            return replace(stop, receipt=before)
        _send(source.path)
    return Outcome.done("moved to the trash", receipt=receipt, frees_event=True)


def _send_to_trash(path: Path) -> None:
    _refuse_without_trash(path)
    with _ONE_AT_A_TIME:
        _send(path)


def _send(path: Path) -> None:
    from send2trash import TrashPermissionError, send2trash

    try:
        send2trash(path)
    except OSError as error:
        text = f"{path} cannot be moved to the trash ({error.strerror or error})"
        if isinstance(error, TrashPermissionError) or error.errno in _NO_TRASH:
            raise PermanentError(f"{text}: {_INSTEAD}") from error
        raise TemporaryError(f"{text}: {_INSTEAD}") from error


def _refuse_without_trash(path: Path) -> None:
    if not _has_trash(path):
        raise PermanentError(f"there is no recycle bin for {path}: {_INSTEAD}")


def _has_trash(path: Path) -> bool:
    """Say whether trying is safe: without a recycle bin, Windows' shell deletes without a word."""
    if sys.platform == "win32":
        import ctypes

        fixed_disk = 3
        return bool(ctypes.windll.kernel32.GetDriveTypeW(f"{path.drive}\\") == fixed_disk)
    return True
