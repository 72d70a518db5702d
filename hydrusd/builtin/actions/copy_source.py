"""Copies the file that was noticed to another folder."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import ClassVar

from anyio import to_thread
from pydantic import Field

from hydrusd.builtin.actions._disposing import foresee_all, source_of
from hydrusd.builtin.actions._placing import Move, OnCollision
from hydrusd.plugin import Action, AnyAction, Call, FolderPath, Foreseen, Outcome


class CopySource(Action):
    """Copy the file that was noticed to another folder, on the same disk or another one.

    Nothing is ever overwritten. Where the name is taken, `on_collision` decides; if what
    has the name is the very same file, to the last byte, nothing is left to do. The copy is
    read back before it gets its name.

    The folder must lie outside of the watched one, or the copy would be noticed in turn.
    It is created if need be. Later steps see `steps.copy_source.path`.
    """

    action: ClassVar[str] = "copy_source"
    needs_client: ClassVar[bool] = False
    changes_client: ClassVar[bool] = False
    needs_source: ClassVar[bool] = True

    to: FolderPath = Field(
        description="The folder to copy it to, outside of the watched one; may hold templates."
    )
    name: str | None = Field(
        default=None,
        description="The name of the copy, with the suffix; may hold templates. Without: as it is.",
    )
    on_collision: OnCollision = Field(
        default="rename",
        description=(
            "Where another file has the name: `rename` takes the next free one, as in "
            "`name (2).jpg`; `skip` ends the job; `fail` makes it a dead letter."
        ),
    )

    def copy_of(self, call: Call[Action] | Call[AnyAction]) -> Move:
        """Give the copy that is to be made for a call."""
        source = source_of(call)
        name = source.path.name if self.name is None else self.name
        return Move(source, self.to, name, call.job_id, self.on_collision, keeps=True)

    @classmethod
    async def plan(cls, calls: Sequence[Call[AnyAction]]) -> Sequence[Foreseen]:
        """Say where each would be copied to."""

        def look(call: Call[AnyAction]) -> Foreseen:
            assert isinstance(call.action, CopySource)
            return call.action.copy_of(call).foreseen()

        return await foresee_all(calls, look)

    async def run(self, call: Call[Action]) -> Outcome:
        """Copy it, if it is still the same file."""
        outcome = await to_thread.run_sync(self.copy_of(call).run)
        earlier = call.earlier.receipt if call.earlier is not None else None
        if earlier and outcome.receipt == {"copied": None} and earlier.get("copied"):
            return replace(outcome, receipt=earlier)  # done again: the copy is our own doing
        return outcome
