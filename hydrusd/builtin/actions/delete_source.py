"""Deletes the file that was noticed, for good."""

from __future__ import annotations

from collections.abc import Sequence
from typing import ClassVar

from hydrusd.builtin.actions._disposing import (
    Disposing,
    disposal,
    failure,
    foresee_all,
    reason_to_stop,
    source_of,
    with_sidecars,
)
from hydrusd.plugin import (
    Action,
    AnyAction,
    Call,
    FileSource,
    Foreseen,
    Outcome,
    SidecarFile,
)


class DeleteSource(Disposing):
    """Delete the file that was noticed. There is no way back: `trash_source` has one.

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

    @classmethod
    async def plan(cls, calls: Sequence[Call[AnyAction]]) -> Sequence[Foreseen]:
        """Say which files would be deleted."""

        def look(call: Call[AnyAction]) -> Foreseen:
            return with_sidecars(call, disposal(source_of(call), "delete"))

        return await foresee_all(calls, look)

    def dispose(self, call: Call[Action]) -> Outcome:
        """Delete it, if it is still the same file."""
        return _delete(source_of(call))

    def dispose_sidecar(self, call: Call[Action], sidecar: SidecarFile, main: str) -> Outcome:
        """Delete it."""
        del call, main
        return _delete(sidecar.source)


def _delete(source: FileSource) -> Outcome:
    if (stop := reason_to_stop(source.state(), source)) is not None:
        return stop
    try:
        source.path.unlink(missing_ok=True)
    except OSError as error:
        raise failure(f"{source.path} cannot be deleted", error) from error
    return Outcome.done("deleted", receipt={"deleted": str(source.path)}, frees_event=True)
