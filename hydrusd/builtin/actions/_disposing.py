"""What all actions share that take the source away, and its sidecars with it.

The file on disk may be the only copy, so each looks at the very last moment whether it
is still the file that was noticed, and each can be repeated: a daemon that was killed
between the deed and the note of it finds the work half done, and has to finish it.

The file goes first and its sidecars after it, under the name that it got. A sidecar that
cannot go, or is another one by now, stays where it is, and that is told: it holds up no file.

A set is worked on as a whole: what is about to be done is kept for all of it at once, and each
folder is synced once for all files that wait for it.
"""

from __future__ import annotations

import contextlib
import errno
import os
from collections.abc import Callable, Generator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path, PurePath
from typing import Any

from anyio import to_thread
from pydantic import Field

from hydrusd.builtin.actions._emptying import remove_emptied
from hydrusd.builtin.actions._syncing import Steps, together
from hydrusd.builtin.actions._taking_back import joined_receipt
from hydrusd.plugin import (
    AnyAction,
    Call,
    Data,
    FileSource,
    Foreseen,
    Outcome,
    OutcomeKind,
    PermanentError,
    SetAction,
    SidecarFile,
    SourceState,
    TemporaryError,
    keep_receipts,
    source_outcome,
)

_HOPELESS = frozenset(
    {
        errno.EINVAL,
        errno.EISDIR,
        errno.ELOOP,
        errno.ENAMETOOLONG,
        errno.ENOTDIR,
        errno.EROFS,
    }
)


def source_of(call: Call[Any]) -> FileSource:
    """Give the file that was noticed. Raises ``PermanentError`` where there is none."""
    source = call.source
    if source is None:
        raise PermanentError("what this rule's trigger notices is not a file")
    return source


def reason_to_stop(state: SourceState, source: FileSource) -> Outcome | None:
    """Give the outcome unless the file is still the one that was noticed.

    Like ``source_outcome``, for steps that only want the file gone. If it is, whoever took
    it away, that is done: after a crash nobody knows whether it was the daemon itself.
    """
    if state is SourceState.GONE:
        return Outcome.done(f"{source.path} is no longer there", frees_event=True)
    return source_outcome(state, source)


async def foresee_all(
    calls: Sequence[Call[AnyAction]], look: Callable[[Call[AnyAction]], Foreseen]
) -> Sequence[Foreseen]:
    """Have a look at the disk for each call, off the loop."""

    def look_safely(call: Call[AnyAction]) -> Foreseen:
        try:
            return look(call)
        except PermanentError as error:
            return Foreseen.dead(f"would fail: {error}")

    return await to_thread.run_sync(lambda: [look_safely(call) for call in calls])


def disposal(source: FileSource, verb: str) -> Foreseen:
    """Say what a step would do that only wants the file gone."""
    if (stop := reason_to_stop(source.state(), source)) is not None:
        return Foreseen.of(stop)
    return Foreseen(f"would {verb} {source.path}")


def failure(doing: str, error: OSError) -> PermanentError | TemporaryError:
    """Turn what the system said into the error to raise: is it worth another try?"""
    text = f"{doing}: {error.strerror or error}"
    return PermanentError(text) if error.errno in _HOPELESS else TemporaryError(text)


def disposed(call: Call[Any], how: str, source: FileSource) -> Data:
    """Give the receipt of a source that is disposed of: its path, and what Hydrus knows it by."""
    known = {"sha256": call.file_hash} if call.file_hash else {}
    return {how: source.text, **known}


def disposals(call: Call[Any], how: str) -> Data:
    """Give the receipt of what is there to be disposed of: the source, and its sidecars. Blocks."""
    source, receipt = source_of(call), dict[str, object]()
    if not call.is_late and source.state() is SourceState.SAME:
        receipt |= disposed(call, how, source)
    sidecars = {
        each.source.text: {how: each.source.text}
        for each in (call.sidecars.files if call.sidecars is not None else ())
        if each.source.state() is SourceState.SAME
    }
    return receipt | ({"sidecars": sidecars} if sidecars else {})


def done_before(call: Call[Any]) -> Data | None:
    """Give the receipt of a try before this one, which may have done it and died."""
    return call.earlier.receipt if call.earlier is not None else None


class Disposing(SetAction):
    """What actions share that take the source and its sidecars away."""

    remove_emptied_folders: bool = Field(
        default=False,
        description=(
            "Remove the source's folder, and those above, if nothing is left in them (what "
            "systems leave, as `Thumbs.db`, counts as nothing). The watched folder stays."
        ),
    )

    def about_to(self, call: Call[AnyAction]) -> Data:
        """Give what the receipt will say, where nobody could tell it afterwards. Blocks."""
        del call
        return {}

    def dispose(self, call: Call[AnyAction]) -> Steps:
        """Take the source itself away."""
        raise NotImplementedError  # see Action.run

    def dispose_sidecar(self, call: Call[AnyAction], sidecar: SidecarFile, main: str) -> Steps:
        """Take a sidecar of a file, which is called ``main`` by now, away."""
        raise NotImplementedError  # see Action.run

    @classmethod
    async def run_set(cls, calls: Sequence[Call[SetAction]]) -> None:
        """Take the sources away that are still the same files, and their sidecars."""
        if intended := await to_thread.run_sync(_intended, calls):
            await keep_receipts(intended)
        await together(calls, _disposal)

    def steps(self, call: Call[AnyAction]) -> Steps:
        """Take one source away, and its sidecars."""
        source = source_of(call)
        # A late sidecar's file has been disposed of, or is to stay: that was another job's.
        outcome = Outcome.done() if call.is_late else (yield from self.dispose(call))
        if outcome.kind is not OutcomeKind.DONE:
            return outcome
        gone = yield from self._dispose_of_sidecars(call, outcome)
        if isinstance(gone, Outcome):
            return gone
        folders: list[Path] = []
        if self.remove_emptied_folders:
            folders = remove_emptied(source.path.parent, source.root)
        return gone.told(outcome, folders, late=call.is_late, before=done_before(call))

    def _dispose_of_sidecars(
        self, call: Call[AnyAction], outcome: Outcome
    ) -> Generator[Path, None, _Gone | Outcome]:
        gone = _Gone()
        source = source_of(call)
        main = PurePath(str((outcome.receipt or {}).get("to") or source.path)).name
        for sidecar in call.sidecars.files if call.sidecars is not None else ():
            path, name = sidecar.source.text, sidecar.source.path.name
            state = sidecar.source.state()
            if state in {SourceState.ROOT_GONE, SourceState.UNREADABLE}:
                stop = source_outcome(state, sidecar.source)
                assert stop is not None
                return stop
            if state is SourceState.CHANGED:
                gone.left[path] = f"{name} stays: it has changed, and is noticed anew"
            elif state is SourceState.SAME and (other := _other_file_of(call, sidecar)):
                gone.left[path] = f"{name} stays: it belongs to {other}, too"
            else:
                # One that is gone, too: it may be that a kill has left something to clear away.
                try:
                    one = yield from self.dispose_sidecar(call, sidecar, main)
                except PermanentError as error:
                    gone.left[path] = f"{name} stays: {error}"
                    continue
                if one.kind is not OutcomeKind.DONE:
                    gone.left[path] = f"{name} stays: {one.detail}"
                    continue
                if one.receipt is not None:
                    gone.names.append(name)
                    gone.receipts[path] = one.receipt
        return gone


def _disposal(call: Call[Any]) -> Steps:
    assert isinstance(call.action, Disposing)
    return call.action.steps(call)


def _intended(calls: Sequence[Call[SetAction]]) -> dict[Call[SetAction], Data]:
    """Give what the receipts of calls will say, where nobody could tell it afterwards. Blocks."""
    intended = {}
    for call in calls:
        assert isinstance(call.action, Disposing)
        with contextlib.suppress(PermanentError):  # which is raised again, for that call alone
            if receipt := call.action.about_to(call):
                intended[call] = joined_receipt(call, receipt)
    return intended


@dataclass(slots=True)
class _Gone:
    """What became of the sidecars: names, and receipts by path; and what stays, and why."""

    names: list[str] = field(default_factory=list)
    receipts: dict[str, object] = field(default_factory=dict)
    left: dict[str, str] = field(default_factory=dict)

    def told(
        self, outcome: Outcome, folders: Sequence[Path], *, late: bool, before: Data | None
    ) -> Outcome:
        """Add it to what became of the file, and what a try ``before`` this one may have done."""
        details = [outcome.detail] if outcome.detail else []
        if self.names:
            details.append(f"{'' if late else 'with '}{', '.join(self.names)}")
        details += self.left.values()
        if folders:
            details.append(f"removed {', '.join(map(str, folders))}, which was empty")
        receipt = dict(outcome.receipt or {})
        former = (before or {}).get("sidecars")
        sidecars = dict(former) if isinstance(former, Mapping) else {}
        sidecars |= self.receipts
        receipt["sidecars"] = {p: r for p, r in sidecars.items() if p not in self.left}
        if not receipt["sidecars"]:
            del receipt["sidecars"]
        if folders:
            receipt["removed_folders"] = [str(folder) for folder in folders]
        return replace(
            outcome,
            detail="; ".join(details) or "there was nothing left to dispose of",
            receipt=receipt or outcome.receipt,
            # A sidecar that stays must stay known, or it would be noticed again and again.
            frees_event=not self.left if late else outcome.frees_event,
        )


def with_sidecars(call: Call[AnyAction], foreseen: Foreseen) -> Foreseen:
    """Add to what would become of a file that its sidecars go with it."""
    if call.sidecars is None or not call.sidecars.files or not foreseen.changes:
        return foreseen
    names = ", ".join(each.source.path.name for each in call.sidecars.files)
    return replace(foreseen, detail=f"{foreseen.detail}, with {names}")


def _other_file_of(call: Call[AnyAction], sidecar: SidecarFile) -> str:
    """Name another file that is there still and has the same sidecar; nothing where none is."""
    if sidecar.form != "stem" or call.sidecars is None:
        return ""
    path = sidecar.source.path
    base = path.name[: -len(sidecar.suffix)]
    passed = {path.name, source_of(call).path.name}
    passed |= {each.source.path.name for each in call.sidecars.files}
    try:
        with os.scandir(path.parent) as entries:
            for entry in entries:
                name = entry.name
                is_other = PurePath(name).stem == base and name not in passed
                if is_other and not name.lower().endswith(call.sidecars.suffixes):
                    return name
    except OSError:
        return "another file, perhaps: its folder cannot be looked into"
    return ""
