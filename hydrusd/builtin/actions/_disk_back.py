"""Taking back what was done to files on the disk, without ever losing one.

Two rules stand above all others. Nothing is written over a file that is there. And nothing is
removed unless it is, to the last byte, what this job has put there, and another whole copy of
it is known to be somewhere else: read at that moment, not remembered.

All of it blocks: call it in one of anyio's worker threads.
"""

from __future__ import annotations

import os
import stat as stat_module
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from anyio import to_thread

from hydrusd.builtin.actions._disposing import failure
from hydrusd.builtin.actions._exporting import Place, digest_of
from hydrusd.builtin.actions._placing import Move, _claim, just_make
from hydrusd.builtin.actions._syncing import synced
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


def _as_left(path: Path, source: FileSource | None, sha256: str | None) -> os.stat_result | str:
    """Give the description of a file that is as the job left it, or say why it is not."""
    try:
        status = path.lstat()
    except OSError as error:
        return f"{path} is no longer there ({error.strerror or error})"
    if source is None:
        return "what was noticed is not known any more"
    near = abs(status.st_mtime_ns - source.mtime_ns) <= COARSEST_MTIME_NS
    same = stat_module.S_ISREG(status.st_mode) and status.st_size == source.size
    if same and (near or (sha256 is not None and is_there(path, sha256))):
        return status
    return f"{path} has changed since"


# --- moved -----------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class _Moved:
    """A file that was moved: the source, or one of its sidecars.

    ``source`` is what it was when it was noticed, ``begun`` what a try before this one was about
    to do with it: that one knew what was there before.
    """

    origin: Path
    target: Path
    found: bool  # the same file was there already
    source: FileSource | None
    sha256: str | None
    begun: Data

    @property
    def has_arrived(self) -> bool:
        """Say whether a try before this one has moved it, and died before it could say so."""
        return bool(self.begun) and not isinstance(self.as_left(self.origin), str)

    def as_left(self, path: Path) -> os.stat_result | str:
        """Give the description of the file at a path if it is as the job left it, or why not."""
        return _as_left(path, self.source, self.sha256)

    def back(self, job_id: int) -> Data:
        """Move it back; copy it, where it was merely found at its target. Gives the receipt.

        Raises ``PermanentError`` where it is left alone.
        """
        found = self.as_left(self.target)
        if isinstance(found, str) and (self.target.exists() or not self.has_arrived):
            raise PermanentError(found)
        assert self.source is not None
        if not isinstance(found, str):
            source = FileSource.of(self.target, self.target.parent, found)
        else:
            size, mtime_ns = self.source.size, self.source.mtime_ns
            source = FileSource(self.target, self.target.parent, size, mtime_ns, None)
        move = Move(
            source,
            self.origin.parent,
            self.origin.name,
            job_id,
            on_collision="fail",
            keeps=self.found,
            into_watched=True,
        )
        outcome = move.run()
        if outcome.receipt is None:
            raise PermanentError(outcome.detail)
        return self.begun or self._receipt(again=bool(outcome.receipt.get("there_already")))

    def coming(self) -> Data:
        """Give what ``back`` will say that it has done; nothing where it will do nothing."""
        if self.begun:
            return self.begun
        return {} if self.why_not() else self._receipt(again=self.origin.exists())

    def why_not(self) -> str:
        """Say why it cannot be moved back; nothing where it can."""
        found = self.as_left(self.target)
        if isinstance(found, str):
            return found
        if os.path.lexists(self.origin) and not is_there(self.origin, digest_of(self.target)):
            return f"{self.origin} exists, and is another file"
        return ""

    def _receipt(self, *, again: bool) -> Data:
        there = {"there_already": True} if again else {}
        return {"from": str(self.target), "to": str(self.origin), **there}


def was_moved(receipt: Data) -> bool:
    """Say whether a receipt tells where something was moved to, be it only sidecars."""
    return "to" in receipt or any("to" in each for each in _of_sidecars(receipt).values())


def _of_sidecars(receipt: Data) -> Mapping[str, Data]:
    sidecars = receipt.get("sidecars")
    return sidecars if isinstance(sidecars, Mapping) else {}


def _moved(call: Undoing) -> tuple[_Moved | None, list[_Moved]]:
    """Give the source, where it was moved, and its sidecars."""
    receipt, begun = call.action.receipt, _begun(call)
    main = None
    if "to" in receipt:
        own = {name: begun[name] for name in ("from", "to", "there_already") if name in begun}
        main = _one_moved(receipt, call.source, call.file_hash, own)
    files = call.sidecars.files if call.sidecars is not None else ()
    known = {each.source.text: each.source for each in files}
    sidecars = []
    for each in _of_sidecars(receipt).values():
        if "to" in each:
            source = known.get(str(each["from"])) or known.get(str(each["to"]))
            own = dict(_of_sidecars(begun).get(str(each["to"]), {}))
            sidecars.append(_one_moved(each, source, None, own))
    return main, sidecars


def _one_moved(receipt: Data, source: FileSource | None, sha256: str | None, begun: Data) -> _Moved:
    origin, target = Path(str(receipt["from"])), Path(str(receipt["to"]))
    return _Moved(origin, target, bool(receipt.get("there_already")), source, sha256, begun)


def moved_back(call: Undoing) -> Outcome:
    """Move a file back to where it was, and its sidecars after it.

    A sidecar that cannot go back stays, and that is told; without its file none goes back.
    """
    main, sidecars = _moved(call)
    receipt: dict[str, object] = {}
    told = ""
    if main is not None:
        receipt |= main.back(call.job_id)
        told = f"moved back to {main.origin}"
    gone: dict[str, Data] = {}
    names, stay = [], []
    for each in sidecars:
        try:
            gone[str(each.target)] = each.back(call.job_id)
            names.append(each.origin.name)
        except PermanentError as error:
            stay.append(f"{each.target.name} is left alone: {error}")
    if gone:
        receipt["sidecars"] = gone
    if main is None and not gone:
        return left_alone(call, "; ".join(stay))
    return Outcome.done(_told(told, names, stay), receipt=receipt)


def moving_back(call: Undoing) -> Data:
    """Give what ``moved_back`` will say that it has done."""
    main, sidecars = _moved(call)
    receipt = dict(main.coming()) if main is not None else {}
    if main is not None and not receipt:
        return {}
    coming = {str(each.target): new for each in sidecars if (new := each.coming())}
    return receipt | ({"sidecars": coming} if coming else {})


def foresee_moved_back(call: Undoing) -> Foreseen:
    """Say whether a file can be moved back, and its sidecars."""
    main, sidecars = _moved(call)
    told = ""
    if main is not None:
        if why := main.why_not():
            return left(why)
        told = f"{'copied' if main.found else 'moved'} back from {main.target}"
    names, stay = [], []
    for each in sidecars:
        if why := each.why_not():
            stay.append(f"{each.target.name} is left alone: {why}")
        else:
            names.append(each.origin.name)
    if main is None and not names:
        return left("; ".join(stay))
    return Foreseen(_told(told, names, stay))


def _told(main: str, names: Sequence[str], stay: Sequence[str]) -> str:
    listed = ", ".join(names)
    first = f"{main}, with {listed}" if main and names else main or f"{listed} moved back"
    return "; ".join([first, *stay])


def _begun(call: Undoing) -> Data:
    """Give what a try before this one was about to do."""
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
    place = Place(path.parent, path.name, "fail")
    source = call.source

    def finish(part: Path) -> None:
        try:
            if digest_of(part) != sha256:
                raise TemporaryError(f"what Hydrus gave for {path} is not what was asked for")
            if source is not None:
                os.utime(part, ns=(source.mtime_ns, source.mtime_ns))
            _claim(part, path)
            synced(path.parent)
        except FileExistsError:
            raise PermanentError(f"{path} exists") from None
        except OSError as error:
            raise failure(f"{path} cannot be written", error) from error

    try:
        await to_thread.run_sync(just_make, path.parent)
        async with place.room(call.job_id, "restored") as part:
            await call.client.save_file(sha256, part)
            await to_thread.run_sync(_synced, part)
            await to_thread.run_sync(finish, part)
    except OSError as error:
        raise failure(f"{path} cannot be written", error) from error


def _synced(path: Path) -> None:
    with path.open("rb+") as file:
        os.fsync(file.fileno())


async def in_client(client: HydrusClient, hashes: Iterable[str]) -> set[str]:
    """Give those of the files that the client has, and not in its trash."""
    wanted = sorted(set(hashes))
    return await client.known_hashes(wanted) if wanted else set()
