"""Taking back files that were written into folders: sidecars and exports.

A file goes only if it is to the last byte what was written. What a sidecar said is kept in the
receipt, so that it can be written again; what was exported Hydrus can give once more.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from anyio import to_thread

from hydrusd.builtin.actions._disk_back import (
    foresee_removal,
    in_client,
    is_there,
    remove,
    restore,
    text_of,
    write_again,
)
from hydrusd.builtin.actions._taking_back import joined_receipt, with_left
from hydrusd.plugin import (
    Call,
    Foreseen,
    Outcome,
    PermanentError,
    TemporaryError,
    Undo,
    keep_receipts,
    tells,
)

Removed = dict[str, dict[str, Any]]


async def foresee_written(calls: Sequence[Call[Undo]]) -> Sequence[Foreseen]:
    """Say which files would go, or be written again."""
    there = await _needed_in_client(calls)
    foreseen = []
    for call in calls:
        done, alone = await to_thread.run_sync(_judge, call, there)
        foreseen.append(Foreseen(with_left(_words(done), alone), changes=bool(done)))
    return foreseen


async def undo_written(calls: Sequence[Call[Undo]]) -> None:
    """Remove the files that are as they were written; write those again that were removed."""
    there = await _needed_in_client(calls)
    judged = {call: await to_thread.run_sync(_judge, call, there) for call in calls}
    due = {call: joined_receipt(call, done) for call, (done, _) in judged.items() if done}
    await keep_receipts(due)
    for call, (done, alone) in judged.items():
        try:
            left = [
                *alone,
                *[why for path in _paths(done) if (why := await _one(call, done, path))],
            ]
        except TemporaryError as error:
            call.finish(Outcome.retry(str(error)))
            continue
        receipt = joined_receipt(call, done)
        words = _words(done) if done or not tells(receipt) else "taken back already"
        call.finish(Outcome.done(with_left(words, left), receipt=receipt))


async def _needed_in_client(calls: Sequence[Call[Undo]]) -> set[str]:
    """Give those of the files written that the client has: they are not the last copies."""
    hashes = {sha256 for call in calls for sha256 in _hashes(call) if sha256 in call.file_hashes}
    return await in_client(calls[0].client, hashes)


def _hashes(call: Call[Undo]) -> list[str]:
    receipt = call.action.receipt
    removed = [entry["sha256"] for entry in receipt.get("removed", {}).values()]
    return [*receipt.get("written", {}).values(), *removed]


def _judge(call: Call[Undo], there: set[str]) -> tuple[dict[str, Any], list[str]]:
    """Give the receipt of what is to be done, and what is left alone."""
    removed: Removed = {}
    written: dict[str, str] = {}
    alone: list[str] = []
    for name, sha256 in call.action.receipt.get("written", {}).items():
        path = Path(name)
        why = foresee_removal(path, sha256)
        if not why and sha256 in call.file_hashes and sha256 not in there:
            why = f"{path} may be the only copy: Hydrus does not have the file"
        if why:
            alone.append(why)
        else:
            text = None if sha256 in call.file_hashes else text_of(path)
            removed[name] = {"sha256": sha256, **({} if text is None else {"text": text})}
    for name, entry in call.action.receipt.get("removed", {}).items():
        if is_there(Path(name), entry["sha256"]):
            alone.append(f"{name} is there again")
        elif Path(name).exists():
            alone.append(f"{name} is another file now")
        elif "text" not in entry and entry["sha256"] not in there:
            alone.append(f"what was in {name} is not known any more")
        else:
            written[name] = entry["sha256"]
    both: dict[str, Any] = {"removed": removed, "written": written}
    return {kind: files for kind, files in both.items() if files}, alone


def _paths(done: dict[str, Any]) -> list[Path]:
    return [Path(name) for files in done.values() for name in files]


async def _one(call: Call[Undo], done: dict[str, Any], path: Path) -> str:
    """Remove or write one file; say why it is left alone, nothing where it is done."""
    removed, written = done.get("removed", {}), done.get("written", {})
    try:
        if str(path) in removed:
            await to_thread.run_sync(remove, path, removed[str(path)]["sha256"])
            return ""
        entry = call.action.receipt["removed"][str(path)]
        if "text" in entry:
            content = entry["text"].encode()
            await to_thread.run_sync(write_again, path, content, call.job_id)
        else:
            await restore(call, path, entry["sha256"])
    except PermanentError as error:
        (removed if str(path) in removed else written).pop(str(path))
        return str(error)
    return ""


def _words(done: dict[str, Any]) -> str:
    told = []
    for kind, word in (("removed", "removed"), ("written", "written again")):
        if files := done.get(kind):
            what = next(iter(files)) if len(files) == 1 else f"{len(files)} files"
            told.append(f"{what} {word}")
    return ", ".join(told) or "nothing"
