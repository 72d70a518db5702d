"""Copies the file that was noticed to another folder."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import ClassVar

from anyio import from_thread, to_thread
from pydantic import Field

from hydrusd.builtin.actions._disk_back import (
    copies,
    foresee_each,
    foresee_removal,
    is_there,
    left,
    left_alone,
    remove,
    undo_each,
)
from hydrusd.builtin.actions._disposing import foresee_all, source_of
from hydrusd.builtin.actions._placing import Move, OnCollision
from hydrusd.builtin.actions._taking_back import joined_receipt
from hydrusd.plugin import (
    Action,
    AnyAction,
    Call,
    Data,
    FileSource,
    FolderPath,
    Foreseen,
    Outcome,
    Undo,
    keep_receipts,
)


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
    writes_into: ClassVar[tuple[str, ...]] = ("to",)

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

        def announce(target: Path, sha256: str) -> None:
            copied: Data = {"copied": str(target), "sha256": sha256}
            from_thread.run(keep_receipts, {call: copied})

        return Move(
            source,
            self.to,
            name,
            call.job_id,
            self.on_collision,
            keeps=True,
            announce=announce,
            make_folder=call.make_folder,
        )

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
        earlier = (call.earlier.receipt if call.earlier is not None else None) or {}
        path = earlier.get("copied")
        if not isinstance(path, str) or (outcome.receipt or {}).get("copied"):
            return outcome
        # Done again: what was noted before, and is there as it was noted, is our own doing.
        noted = await to_thread.run_sync(is_there, Path(path), str(earlier.get("sha256")))
        return replace(outcome, receipt=earlier) if noted else outcome

    @classmethod
    async def undo_plan(cls, calls: Sequence[Call[Undo]]) -> Sequence[Foreseen]:
        """Say which copies are as they were written, and not the last ones."""

        def look(call: Call[Undo]) -> Foreseen:
            if call.action.receipt.get("removed"):
                return _foresee_again(call)
            why = _why_left(call)
            return left(why) if why else Foreseen(f"{call.action.receipt['copied']} removed")

        return await foresee_each(calls, look)

    @classmethod
    async def undo_set(cls, calls: Sequence[Call[Undo]]) -> None:
        """Remove each copy, or copy again what an undo has removed."""
        await undo_each(calls, _undo, _intended)


def _why_left(call: Call[Undo]) -> str:
    """Say why a copy stays; nothing where it can go."""
    receipt = call.action.receipt
    path, sha256 = Path(receipt["copied"]), receipt.get("sha256")
    if sha256 is None:
        return f"what {path} was when it was written is not known"
    if why := foresee_removal(path, sha256):
        return why
    if next(copies(call, sha256, besides=path), None) is None:
        return f"{path} may be the only copy"
    return ""


def _foresee_again(call: Call[Undo]) -> Foreseen:
    receipt = call.action.receipt
    path = Path(receipt["removed"])
    if path.exists():
        return left(f"{path} is there again")
    found = next(copies(call, receipt["sha256"]), None)
    return Foreseen(f"copied again to {path}") if found else left("there is nothing to copy")


def _intended(call: Call[Undo]) -> Data:
    receipt = call.action.receipt
    if path := receipt.get("removed"):
        there = _foresee_again(call).changes
        return {"copied": path, "sha256": receipt["sha256"]} if there else {}
    why = _why_left(call)
    return {} if why else {"removed": receipt["copied"], "sha256": receipt["sha256"]}


def _undo(call: Call[Undo]) -> Outcome:
    receipt = call.action.receipt
    if path := receipt.get("removed"):
        if not (looked := _foresee_again(call)).changes:
            return left_alone(call, looked.detail.removeprefix("left alone: "))
        origin = next(copies(call, receipt["sha256"]))
        source = FileSource.of(origin, origin.parent, origin.lstat())
        target = Path(path)
        Move(
            source,
            target.parent,
            target.name,
            call.job_id,
            on_collision="fail",
            keeps=True,
            into_watched=True,
        ).run()
        done: Data = {"copied": path, "sha256": receipt["sha256"]}
        return Outcome.done(f"copied again to {path}", receipt=joined_receipt(call, done))
    if why := _why_left(call):
        return left_alone(call, why)
    remove(Path(receipt["copied"]), receipt["sha256"])
    done = {"removed": receipt["copied"], "sha256": receipt["sha256"]}
    return Outcome.done(f"{receipt['copied']} removed", receipt=joined_receipt(call, done))
