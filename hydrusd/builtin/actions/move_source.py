"""Moves the file that was noticed to another folder."""

from __future__ import annotations

from collections.abc import Sequence
from typing import ClassVar

from pydantic import Field

from hydrusd.builtin.actions._disk_back import (
    foresee_each,
    foresee_moved_back,
    moved_back,
    moving_back,
    undo_each,
)
from hydrusd.builtin.actions._disposing import Disposing, foresee_all, source_of, with_sidecars
from hydrusd.builtin.actions._placing import Move, OnCollision
from hydrusd.builtin.actions._syncing import Steps
from hydrusd.plugin import (
    AnyAction,
    Call,
    FolderPath,
    Foreseen,
    SidecarFile,
    Undo,
)


class MoveSource(Disposing):
    """Move the file that was noticed to another folder, on the same disk or another one.

    Nothing is ever overwritten. Where the name is taken, `on_collision` decides; if what
    has the name is the very same file, to the last byte, the source is removed and counts
    as moved. Between disks the file is copied and read back before the source is removed.

    The folder must lie outside of the watched one, or the file would be noticed again.
    It is created if need be.

    It runs when everything the rule did before is committed by Hydrus, and only if the
    file is still the one that was noticed: one that has changed meanwhile is left alone
    and noticed anew. Sidecars that came with the file go with it, named after it.
    """

    action: ClassVar[str] = "move_source"
    needs_client: ClassVar[bool] = False
    changes_client: ClassVar[bool] = False
    needs_source: ClassVar[bool] = True
    disposes: ClassVar[bool] = True
    takes_sidecars: ClassVar[bool] = True
    writes_into: ClassVar[tuple[str, ...]] = ("to",)

    to: FolderPath = Field(
        description="The folder to move it to, outside of the watched one; may hold templates."
    )
    name: str | None = Field(
        default=None,
        description="Its new name, with the suffix; may hold templates. Without: as it is.",
    )
    on_collision: OnCollision = Field(
        default="rename",
        description=(
            "Where another file has the name: `rename` takes the next free one, as in "
            "`name (2).jpg`; `skip` leaves the source alone and ends the job; `fail` makes it "
            "a dead letter."
        ),
    )

    def move_of(self, call: Call[AnyAction]) -> Move:
        """Give the move that is to be made for a call."""
        source = source_of(call)
        name = source.path.name if self.name is None else self.name
        made = call.make_folder
        return Move(source, self.to, name, call.job_id, self.on_collision, make_folder=made)

    @classmethod
    async def plan(cls, calls: Sequence[Call[AnyAction]]) -> Sequence[Foreseen]:
        """Say where each would be moved to."""

        def look(call: Call[AnyAction]) -> Foreseen:
            assert isinstance(call.action, MoveSource)
            return with_sidecars(call, call.action.move_of(call).foreseen())

        return await foresee_all(calls, look)

    def dispose(self, call: Call[AnyAction]) -> Steps:
        """Move it, if it is still the same file."""
        return self.move_of(call).steps()

    def dispose_sidecar(self, call: Call[AnyAction], sidecar: SidecarFile, main: str) -> Steps:
        """Move it beside its file, under a free name in any case."""
        if call.is_late and self.name is not None:
            main = self.name
        name = sidecar.name_for(main)
        return Move(
            sidecar.source,
            self.to,
            name,
            call.job_id,
            gone_will_do=True,
            make_folder=call.make_folder,
        ).steps()

    @classmethod
    async def undo_plan(cls, calls: Sequence[Call[Undo]]) -> Sequence[Foreseen]:
        """Say whether each is still where it was put, and its old place free."""
        return await foresee_each(calls, foresee_moved_back)

    @classmethod
    async def undo_set(cls, calls: Sequence[Call[Undo]]) -> None:
        """Move each back, never over another file."""
        await undo_each(calls, moved_back, moving_back)
