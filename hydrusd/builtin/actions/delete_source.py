"""Deletes the file that was noticed, for good."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import ClassVar

from hydrusd.builtin.actions._disposing import (
    Disposing,
    disposal,
    disposals,
    disposed,
    done_before,
    failure,
    foresee_all,
    reason_to_stop,
    source_of,
    with_sidecars,
)
from hydrusd.builtin.actions._restoring import foresee_restoring, undo_disposal
from hydrusd.builtin.actions._syncing import Steps
from hydrusd.plugin import (
    AnyAction,
    Call,
    Data,
    FileSource,
    Foreseen,
    Outcome,
    Permission,
    SidecarFile,
    Undo,
)


class DeleteSource(Disposing):
    """Delete the file that was noticed, for good: `trash_source` keeps it for a while.

    To undo it is to write the file anew, as Hydrus has it; its sidecars nobody has then.

    It runs when everything the rule did before is committed by Hydrus, and only if the
    file is still the one that was noticed: one that has changed meanwhile is left alone
    and noticed anew. Sidecars that came with the file go with it.
    """

    action: ClassVar[str] = "delete_source"
    needs_client: ClassVar[bool] = False
    changes_client: ClassVar[bool] = False
    needs_source: ClassVar[bool] = True
    disposes: ClassVar[bool] = True
    destroys: ClassVar[bool] = True
    takes_sidecars: ClassVar[bool] = True
    undo_needs_client: ClassVar[bool | None] = True
    undo_permissions: ClassVar[frozenset[Permission] | None] = frozenset({Permission.SEARCH_FILES})

    @classmethod
    async def plan(cls, calls: Sequence[Call[AnyAction]]) -> Sequence[Foreseen]:
        """Say which files would be deleted."""

        def look(call: Call[AnyAction]) -> Foreseen:
            return with_sidecars(call, disposal(source_of(call), "delete"))

        return await foresee_all(calls, look)

    def about_to(self, call: Call[AnyAction]) -> Data:
        """Give what will be deleted."""
        return disposals(call, "deleted")

    def dispose(self, call: Call[AnyAction]) -> Steps:
        """Delete it, if it is still the same file."""
        source = source_of(call)
        return _delete(source, disposed(call, "deleted", source), done_before(call))

    def dispose_sidecar(self, call: Call[AnyAction], sidecar: SidecarFile, main: str) -> Steps:
        """Delete it."""
        del call, main
        return _delete(sidecar.source, {"deleted": sidecar.source.text}, None)

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


def _delete(source: FileSource, receipt: Data, before: Data | None) -> Steps:
    if (stop := reason_to_stop(source.state(), source)) is not None:
        return replace(stop, receipt=before)
    try:
        source.path.unlink(missing_ok=True)
    except OSError as error:
        raise failure(f"{source.path} cannot be deleted", error) from error
    yield source.path.parent
    return Outcome.done("deleted", receipt=receipt, frees_event=True)
