"""Giving back a source that was disposed of: the client has the very same bytes.

What add_file has imported and Hydrus has committed is the file itself, known by its hash. So the
source can be written anew where it was, with its old time, as long as Hydrus has it.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

from anyio import to_thread

from hydrusd.builtin.actions._disk_back import (
    foresee_restored,
    in_client,
    is_there,
    left,
    left_alone,
    restore,
)
from hydrusd.builtin.actions._taking_back import joined_receipt
from hydrusd.plugin import (
    Call,
    Data,
    Foreseen,
    Outcome,
    PermanentError,
    TemporaryError,
    Undo,
    keep_receipts,
)


async def foresee_restoring(calls: Sequence[Call[Undo]], how: str) -> Sequence[Foreseen]:
    """Say which sources can be written anew, or which that were are to go again."""
    if not calls:
        return []
    there = await in_client(calls[0].client, [c.action.receipt["sha256"] for c in calls])
    for call in calls:  # what an undo has sent to the trash comes back before
        there |= {str((r.receipt or {}).get("trashed")) for r in call.action.before}
    return await _look(calls, how, there)


async def _look(calls: Sequence[Call[Undo]], how: str, there: set[str]) -> Sequence[Foreseen]:
    return await to_thread.run_sync(lambda: [_foreseen(call, how, there) for call in calls])


def _foreseen(call: Call[Undo], how: str, there: set[str]) -> Foreseen:
    receipt = call.action.receipt
    sha256 = receipt["sha256"]
    path = Path(receipt.get("restored") or receipt[how])
    if sha256 not in there:
        return left("Hydrus does not have the file (any more)")
    if "restored" in receipt:
        if is_there(path, sha256):
            return Foreseen(f"{path} {how} again")
        return left(f"{path} is no longer there, or has changed since")
    why = foresee_restored(call, path, sha256)
    without = _without_sidecars(receipt, how)
    return left(why) if why else Foreseen(f"{path} written anew, as Hydrus has it{without}")


def _without_sidecars(receipt: Data, how: str) -> str:
    """Say which sidecars do not come back with their file, of which alone Hydrus has a copy."""
    sidecars = receipt.get("sidecars")
    paths = list(map(Path, sidecars)) if isinstance(sidecars, Mapping) else []
    names = [path.name for path in paths if not os.path.lexists(path)]
    if not names:
        return ""
    listed = f"{', '.join(names)} {'does' if len(names) == 1 else 'do'} not come back"
    return f"; {listed}" + (" (see this computer's trash)" if how == "trashed" else "")


async def undo_disposal(
    calls: Sequence[Call[Undo]], how: str, dispose: Callable[[Path], None]
) -> None:
    """Write sources anew, one after the other; dispose again of those that were written anew."""
    if not calls:
        return
    there = await in_client(calls[0].client, [c.action.receipt["sha256"] for c in calls])
    foreseen = await _look(calls, how, there)
    due = {c: _receipt(c, how) for c, seen in zip(calls, foreseen, strict=True) if seen.changes}
    await keep_receipts({call: joined_receipt(call, new) for call, new in due.items()})
    for call, seen in zip(calls, foreseen, strict=True):
        if call not in due:
            call.finish(left_alone(call, seen.detail.removeprefix("left alone: ")))
            continue
        receipt, path = call.action.receipt, Path(next(iter(due[call].values())))
        try:
            if "restored" in receipt:
                await to_thread.run_sync(dispose, path)
            else:
                await restore(call, path, receipt["sha256"])
        except PermanentError as error:
            call.finish(left_alone(call, str(error)))
        except TemporaryError as error:
            call.finish(Outcome.retry(str(error)))
        except OSError as error:
            call.finish(Outcome.retry(f"{path}: {error.strerror or error}"))
        else:
            done = joined_receipt(call, due[call])
            call.finish(Outcome.done(seen.detail, receipt=done))


def _receipt(call: Call[Undo], how: str) -> dict[str, str]:
    receipt = call.action.receipt
    if "restored" in receipt:
        return {how: receipt["restored"], "sha256": receipt["sha256"]}
    return {"restored": receipt[how], "sha256": receipt["sha256"]}
