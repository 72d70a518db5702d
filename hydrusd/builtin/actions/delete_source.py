"""Deletes the file that was noticed, for good."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import ClassVar

from anyio import to_thread

from hydrusd.builtin.actions._disposing import (
    disposal,
    failure,
    foresee_all,
    reason_to_stop,
    source_of,
)
from hydrusd.builtin.actions._restoring import (
    disposed,
    done_before,
    foresee_restoring,
    undo_disposal,
)
from hydrusd.plugin import (
    Action,
    AnyAction,
    Call,
    Data,
    FileSource,
    Foreseen,
    Outcome,
    Permission,
    SourceState,
    Undo,
    keep_receipts,
)


class DeleteSource(Action):
    """Delete the file that was noticed, for good: `trash_source` keeps it for a while.

    To undo it is to write the file anew, as Hydrus has it.

    It runs when everything the rule did before is committed by Hydrus, and only if the
    file is still the one that was noticed: one that has changed meanwhile is left alone
    and noticed anew.
    """

    action: ClassVar[str] = "delete_source"
    needs_client: ClassVar[bool] = False
    changes_client: ClassVar[bool] = False
    needs_source: ClassVar[bool] = True
    disposes: ClassVar[bool] = True
    destroys: ClassVar[bool] = True
    undo_needs_client: ClassVar[bool | None] = True
    undo_permissions: ClassVar[frozenset[Permission] | None] = frozenset({Permission.SEARCH_FILES})

    @classmethod
    async def plan(cls, calls: Sequence[Call[AnyAction]]) -> Sequence[Foreseen]:
        """Say which files would be deleted."""
        return await foresee_all(calls, lambda call: disposal(source_of(call), "delete"))

    async def run(self, call: Call[Action]) -> Outcome:
        """Delete it, if it is still the same file."""
        source = source_of(call)
        receipt = disposed(call, "deleted", source)
        if await to_thread.run_sync(source.state) is SourceState.SAME:
            await keep_receipts({call: receipt})
        return await to_thread.run_sync(_delete, source, receipt, done_before(call))

    @classmethod
    def undo_refusal(cls, receipt: Data) -> str:
        """Say that nobody has the file."""
        gone = "it is deleted for good, and not known to be in Hydrus"
        return "" if receipt.get("sha256") else gone

    @classmethod
    async def undo_plan(cls, calls: Sequence[Call[Undo]]) -> Sequence[Foreseen]:
        """Say which files Hydrus can give back."""
        return await foresee_restoring(calls, "deleted")

    @classmethod
    async def undo_set(cls, calls: Sequence[Call[Undo]]) -> None:
        """Write the files anew, as Hydrus has them; or delete again what was written anew."""
        await undo_disposal(calls, "deleted", Path.unlink)


def _delete(source: FileSource, receipt: Data, before: Data | None) -> Outcome:
    if (stop := reason_to_stop(source.state(), source)) is not None:
        return replace(stop, receipt=before)
    try:
        source.path.unlink(missing_ok=True)
    except OSError as error:
        raise failure(f"{source.path} cannot be deleted", error) from error
    return Outcome.done("deleted", receipt=receipt, frees_event=True)
