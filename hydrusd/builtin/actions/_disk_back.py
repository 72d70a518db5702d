"""Taking back what was done to files on the disk, without ever losing one.

Two rules stand above all others. Nothing is written over a file that is there. And nothing is
removed unless it is, to the last byte, what this job has put there, and another whole copy of
it is known to be somewhere else: read at that moment, not remembered.

All of it blocks: call it in one of anyio's worker threads.
"""

from __future__ import annotations

import contextlib
import os
import stat as stat_module
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from anyio import to_thread

from hydrusd.builtin.actions._disposing import failure
from hydrusd.builtin.actions._exporting import Place, digest_of
from hydrusd.builtin.actions._placing import Move, _claim, _sync_folder
from hydrusd.builtin.actions._taking_back import joined_receipt
from hydrusd.plugin import (
    Call,
    Data,
    FileSource,
    Foreseen,
    HydrusClient,
    Outcome,
    PermanentError,
    TemporaryError,
    Undo,
    keep_receipts,
    tells,
)

COARSEST_MTIME_NS = 2_000_000_000

Undoing = Call[Undo]


def left(why: str) -> Foreseen:
    """Say that something is left alone."""
    return Foreseen(f"left alone: {why}", changes=False)


def left_alone(call: Undoing, why: str) -> Outcome:
    """End a call that takes nothing back, unless a try before this one has."""
    receipt = joined_receipt(call, {})
    return Outcome.done("taken back" if tells(receipt) else f"left alone: {why}", receipt=receipt)


async def undo_each(
    calls: Sequence[Undoing],
    undo: Callable[[Undoing], Outcome],
    intended: Callable[[Undoing], Data],
) -> None:
    """Undo one call after the other, off the loop, each as soon as its intent is kept.

    ``intended`` gives what the receipt will say, nothing where nothing will be done.
    """
    kept = {call: await to_thread.run_sync(intended, call) for call in calls}
    await keep_receipts({c: joined_receipt(c, new) for c, new in kept.items() if tells(new)})
    for call in calls:
        try:
            call.finish(await to_thread.run_sync(undo, call))
        except PermanentError as error:
            call.finish(left_alone(call, str(error)))
        except TemporaryError as error:
            call.finish(Outcome.retry(str(error)))


async def foresee_each(
    calls: Sequence[Undoing], look: Callable[[Undoing], Foreseen]
) -> Sequence[Foreseen]:
    """Have a look at the disk for each call, off the loop."""

    def look_safely(call: Undoing) -> Foreseen:
        try:
            return look(call)
        except (OSError, PermanentError, TemporaryError) as error:
            return left(str(error))

    return await to_thread.run_sync(lambda: [look_safely(call) for call in calls])


# --- what is there ---------------------------------------------------------------------------


def is_there(path: Path, sha256: str) -> bool:
    """Say whether a file is there that has this content."""
    try:
        return stat_module.S_ISREG(path.lstat().st_mode) and digest_of(path) == sha256
    except OSError:
        return False


def copies(call: Undoing, sha256: str, *, besides: Path | None = None) -> Iterator[Path]:
    """Find whole copies of a file where it was noticed, and where steps of its job have put it."""
    source = call.source
    places: list[object] = [source.path] if source else []
    for record in (*call.action.others, *call.steps):
        receipt = record.receipt or {}
        places += [receipt.get(name) for name in ("from", "to", "copied", "restored")]
        written = receipt.get("written")
        places += list(written) if isinstance(written, Mapping) else []
    seen = {Path(place) for place in places if isinstance(place, str | Path)}
    for path in sorted(seen):
        if is_there(path, sha256) and not (besides and besides.exists() and path.samefile(besides)):
            yield path


def coming_back(call: Undoing) -> Path | None:
    """Say, before anything is undone, where the source will be by then, if it will."""
    source = call.source
    returns = any({"from", "deleted", "trashed"} & set(r.receipt or {}) for r in call.action.before)
    return source.path if source is not None and returns else None


def _as_left(path: Path, call: Undoing) -> os.stat_result | str:
    """Give the description of a file that is as the job left it, or say why it is not."""
    try:
        status = path.lstat()
    except OSError as error:
        return f"{path} is no longer there ({error.strerror or error})"
    source = call.source
    if source is None:
        return "what was noticed is not known any more"
    near = abs(status.st_mtime_ns - source.mtime_ns) <= COARSEST_MTIME_NS
    same = stat_module.S_ISREG(status.st_mode) and status.st_size == source.size
    if same and (near or (call.file_hash is not None and is_there(path, call.file_hash))):
        return status
    return f"{path} has changed since"


# --- moved -----------------------------------------------------------------------------------


def moved_back(call: Undoing) -> Outcome:
    """Move a file back to where it was; copy it, where it was merely found at its target."""
    receipt = call.action.receipt
    origin, target = Path(receipt["from"]), Path(receipt["to"])
    found = _as_left(target, call)
    if isinstance(found, str) and (target.exists() or not _has_arrived(origin, call)):
        return left_alone(call, found)
    source = call.source
    assert source is not None
    if not isinstance(found, str):
        source = FileSource.of(target, target.parent, found)
    else:
        source = FileSource(target, target.parent, source.size, source.mtime_ns, None)
    keeps = bool(receipt.get("there_already"))
    move = Move(
        source,
        origin.parent,
        origin.name,
        call.job_id,
        on_collision="fail",
        keeps=keeps,
        into_watched=True,
    )
    outcome = move.run()
    if outcome.receipt is None:
        return left_alone(call, outcome.detail)
    done: dict[str, object] = {"from": str(target), "to": str(origin)}
    done |= {"there_already": True} if outcome.receipt.get("there_already") else {}
    return Outcome.done(f"moved back to {origin}", receipt=_begun(call) or done)


def moving_back(call: Undoing) -> Data:
    """Give what ``moved_back`` will say that it has done."""
    if begun := _begun(call):
        return begun
    if not foresee_moved_back(call).changes:
        return {}
    receipt = call.action.receipt
    again = {"there_already": True} if Path(receipt["from"]).exists() else {}
    return {"from": receipt["to"], "to": receipt["from"], **again}


def foresee_moved_back(call: Undoing) -> Foreseen:
    """Say whether a file can be moved back."""
    receipt = call.action.receipt
    origin, target = Path(receipt["from"]), Path(receipt["to"])
    found = _as_left(target, call)
    if isinstance(found, str):
        return left(found)
    if os.path.lexists(origin) and not is_there(origin, digest_of(target)):
        return left(f"{origin} exists, and is another file")
    verb = "copied" if receipt.get("there_already") else "moved"
    return Foreseen(f"{verb} back from {target}")


def _has_arrived(origin: Path, call: Undoing) -> bool:
    """Say whether a try before this one has moved the file, and died before it could say so."""
    return bool(_begun(call)) and not isinstance(_as_left(origin, call), str)


def _begun(call: Undoing) -> Data:
    """Give what a try before this one was about to do: it knew what was there before."""
    return (call.earlier.receipt if call.earlier is not None else None) or {}


# --- written ---------------------------------------------------------------------------------

LONGEST_KEPT = 1_000_000
"""Bytes of a text that a receipt keeps, to be able to write it again."""


def foresee_removal(path: Path, sha256: str) -> str:
    """Say why a file that was written is left alone; nothing where it is as it was written."""
    if not os.path.lexists(path):
        return f"{path} is no longer there"
    return "" if is_there(path, sha256) else f"{path} has changed since"


def remove(path: Path, sha256: str) -> None:
    """Remove a file if it is still what was written. Raises ``PermanentError`` where not."""
    if why := foresee_removal(path, sha256):
        raise PermanentError(why)
    try:
        path.unlink()
    except FileNotFoundError:
        pass
    except OSError as error:
        raise failure(f"{path} cannot be removed", error) from error


def text_of(path: Path) -> str | None:
    """Give a small text, to be kept; None for what is large, or no text."""
    try:
        if path.stat().st_size <= LONGEST_KEPT:
            return path.read_bytes().decode()
    except (OSError, UnicodeDecodeError):
        pass
    return None


def write_again(path: Path, content: bytes, job_id: int) -> None:
    """Write a file where it was. Raises ``PermanentError`` where another one has the name."""
    place = Place(path.parent, path.name, "fail")
    place.prepare(None)
    place.write(content, job_id, "again")


def removals(receipt: Mapping[str, Any]) -> dict[str, dict[str, Any]]:
    """Give the files that an undo has removed: path → its hash and, if kept, its text."""
    return dict(receipt.get("removed", {}))


# --- restored --------------------------------------------------------------------------------


def foresee_restored(call: Undoing, path: Path, sha256: str) -> str:
    """Say why a file is not to be written back to a path; nothing where it can be."""
    if not os.path.lexists(path):
        source = call.source
        if source is not None and not source.root.is_dir():
            return f"the folder {source.root} is away"
        return ""
    return f"{path} is there again" if is_there(path, sha256) else f"{path} is another file now"


async def restore(call: Undoing, path: Path, sha256: str) -> None:
    """Fetch a file from the client and give it its old name and time. Nothing is overwritten.

    Raises ``PermanentError`` where the name is taken.
    """
    part = Place(path.parent, path.name, "fail").part(call.job_id, "restored")
    source = call.source

    def finish() -> None:
        try:
            if digest_of(part) != sha256:
                raise TemporaryError(f"what Hydrus gave for {path} is not what was asked for")
            if source is not None:
                os.utime(part, ns=(source.mtime_ns, source.mtime_ns))
            _claim(part, path)
            _sync_folder(path.parent)
        except FileExistsError:
            raise PermanentError(f"{path} exists") from None
        except OSError as error:
            raise failure(f"{path} cannot be written", error) from error

    try:
        await to_thread.run_sync(lambda: path.parent.mkdir(parents=True, exist_ok=True))
        await to_thread.run_sync(lambda: part.unlink(missing_ok=True))
        await call.client.save_file(sha256, part)
        await to_thread.run_sync(_synced, part)
        await to_thread.run_sync(finish)
    except OSError as error:
        raise failure(f"{path} cannot be written", error) from error
    finally:
        with contextlib.suppress(OSError):
            part.unlink(missing_ok=True)


def _synced(path: Path) -> None:
    with path.open("rb+") as file:
        os.fsync(file.fileno())


async def in_client(client: HydrusClient, hashes: Iterable[str]) -> set[str]:
    """Give those of the files that the client has, and not in its trash."""
    wanted = sorted(set(hashes))
    return await client.known_hashes(wanted) if wanted else set()
