"""Imports the file that was noticed."""

from __future__ import annotations

import contextlib
import hashlib
import os
import threading
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import ClassVar, Literal

import anyio
from anyio import to_thread
from pydantic import Field

from hydrusd.plugin import (
    AnyAction,
    Call,
    Fault,
    FileChangedError,
    FileSource,
    Foreseen,
    HydrusClient,
    HydrusUnavailable,
    ImportStatus,
    Outcome,
    Permission,
    PermissionMissing,
    SetAction,
    SourceState,
    VersionTooOld,
    WrongFileError,
    source_outcome,
)

HASHING_WIDTH = max(2, os.cpu_count() or 2)
UPLOAD_WIDTH = 2
"""A client imports one file at a time; the second request waits at its door, so that it
never waits for us."""

Policy = Literal["go_on", "keep", "dispose"]

_POLICIES: Mapping[Policy, str] = {
    "go_on": "",
    "keep": "; left alone",
    "dispose": "; the source would be disposed of",
}
_CHUNK = 1024 * 1024
_DELETED = "deleted before"
_SENDING = "sending"
_AWAY = frozenset({SourceState.GONE, SourceState.CHANGED})
_LOOKS_ONLY_SINCE_API = 31  # before, asking about a hash makes the client remember it


class AddFile(SetAction):
    """Import the file into Hydrus.

    Files that the client has already are recognised by their hash, 256 at a time, and not
    sent again; later steps (tags) apply to them all the same, unless `duplicates` says
    otherwise. A file that was deleted in Hydrus before stays deleted: the job ends there and the
    source is left untouched, unless `deleted_before` says otherwise. One that Hydrus refuses
    becomes a dead letter, with its words. Whether bytes are sent or a path is told is what
    `client: transfer` says.

    Later steps see `steps.add_file.hash` and `steps.add_file.status`
    (`imported`, `already in Hydrus` or `deleted before`).
    """

    action: ClassVar[str] = "add_file"
    permissions: ClassVar[frozenset[Permission]] = frozenset({Permission.IMPORT_FILES})
    imports: ClassVar[bool] = True
    needs_source: ClassVar[bool] = True
    takes_sidecars: ClassVar[bool] = True

    duplicates: Policy = Field(
        default="go_on",
        description=(
            "For a file that Hydrus has already: `go_on` with the next step; `keep` the source and "
            "end the job; `dispose`: go straight to the step that disposes of the source."
        ),
    )
    deleted_before: Policy = Field(
        default="keep",
        description=(
            "The same for a file that was deleted in Hydrus: it is not imported in any case."
        ),
    )

    @property
    def may_dispose_next(self) -> bool:
        """Say whether a policy does."""
        return "dispose" in {self.duplicates, self.deleted_before}

    def preflight(self, client: HydrusClient) -> Iterable[Fault]:
        """Say where a policy wants to know what the key may not ask."""
        if self.duplicates != "go_on" and not client.can_look_up_files:
            yield Fault(
                f"duplicates: {self.duplicates} needs an access key that may search for files, and "
                "Client API ≥ 11",
                "tick the permission to search in Hydrus, or leave `duplicates` out",
                ("duplicates",),
            )

    @classmethod
    async def plan(cls, calls: Sequence[Call[AnyAction]]) -> Sequence[Foreseen]:
        """Hash, and look up what the client has and what it has deleted."""
        client = calls[0].client
        looked = await _hash_sources([call.source for call in calls])
        hashes = [found for found in looked if isinstance(found, str)]
        known = await _known(client, hashes)
        deleted = await _deleted(client, [h for h in hashes if h not in known])
        return [
            _foreseen(call, found, known, deleted)
            for call, found in zip(calls, looked, strict=True)
        ]

    @classmethod
    async def run_set(cls, calls: Sequence[Call[SetAction]]) -> None:
        """Hash, look up, and send what the client does not have."""
        client = calls[0].client
        await _finish_late(client, [call for call in calls if call.is_late and call.file_hash])
        hashes = await _hash_all([call for call in calls if call.outcome is None])
        known = await _known(client, list(hashes.values()))
        sending: set[str] = set()
        for call, file_hash in hashes.items():
            if file_hash in known:
                call.finish(_there(call, file_hash, "already in Hydrus"))
            elif _tells_duplicates(call) and call.progress.get(_SENDING) != file_hash:
                call.finish(_announced(file_hash, first=file_hash not in sending))
                sending.add(file_hash)
        await _upload_all({call: h for call, h in hashes.items() if call.outcome is None})

    @classmethod
    async def lost(cls, calls: Sequence[Call[AnyAction]]) -> Sequence[Call[AnyAction]]:
        """Give those whose file the client does not have (any more)."""
        client = calls[0].client
        if not client.can_look_up_files:
            return calls
        # What was deleted is not there, and not lost.
        sent = [call for call in calls if not _was_deleted(call)]
        try:
            known = await client.known_hashes([c.file_hash for c in sent if c.file_hash])
        except (PermissionMissing, VersionTooOld):
            return sent
        return [call for call in sent if call.file_hash not in known]


def _foreseen(
    call: Call[AnyAction], found: str | Outcome, known: set[str], deleted: set[str]
) -> Foreseen:
    action = call.action
    assert isinstance(action, AddFile)
    if isinstance(found, Outcome):
        return Foreseen(found.detail, changes=False)
    if found in known:
        values = {"hash": found, "status": "already in Hydrus"}
        detail = f"already in Hydrus{_POLICIES[action.duplicates]}"
        return Foreseen(detail, changes=False, values=values)
    if found in deleted:
        values = {"hash": found, "status": _DELETED}
        detail = f"it was deleted in Hydrus before{_POLICIES[action.deleted_before]}"
        return Foreseen(detail, False, values)
    return Foreseen("would import it", values={"hash": found, "status": "imported"})


def _tells_duplicates(call: Call[SetAction]) -> bool:
    assert isinstance(call.action, AddFile)
    return call.action.duplicates != "go_on"


def _announced(file_hash: str, *, first: bool) -> Outcome:
    """Put off sending until it is stored that this job is about to send the file.

    Else a daemon that was killed in between would take the file that it has sent itself for a
    duplicate, and never tag it. Of several with the same content only the first is sent: what
    the others are is looked up when it is there.
    """
    if first:
        return Outcome.later("about to send it", delay_seconds=0, values={_SENDING: file_hash})
    return Outcome.later("another file with this content is being sent", delay_seconds=1)


def _was_deleted(call: Call[AnyAction]) -> bool:
    return call.earlier is not None and call.earlier.values.get("status") == _DELETED


async def _finish_late(client: HydrusClient, calls: Sequence[Call[SetAction]]) -> None:
    """Finish those that are about a late sidecar of a file that is there; leave the others."""
    if not calls:
        return
    known: set[str] | None = None
    if client.can_look_up_files:
        with contextlib.suppress(PermissionMissing, VersionTooOld):
            known = await client.known_hashes([c.file_hash for c in calls if c.file_hash])
    for call in calls:
        assert call.file_hash is not None
        if known is None or call.file_hash in known:
            status = "already in Hydrus"
            values = {"hash": call.file_hash, "status": status}
            call.finish(Outcome.done(status, values=values, receipt={"imported": None}))
        elif call.source is None or await to_thread.run_sync(call.source.state) in _AWAY:
            call.finish(Outcome.skipped("Hydrus does not have the file of this sidecar"))


async def _hash_all(calls: Sequence[Call[SetAction]]) -> dict[Call[SetAction], str]:
    """Hash the sources, finishing those that cannot be sent."""
    hashes: dict[Call[SetAction], str] = {}
    for call, found in zip(calls, await _hash_sources([c.source for c in calls]), strict=True):
        if isinstance(found, Outcome):
            call.finish(found)
        else:
            hashes[call] = found
    return hashes


async def _hash_sources(sources: Sequence[FileSource | None]) -> list[str | Outcome]:
    """Give the hash of each source, or why it cannot be sent. Streamed, off the loop."""
    limiter = anyio.CapacityLimiter(HASHING_WIDTH)
    found: dict[int, list[str | Outcome]] = {}
    stop = threading.Event()

    async def work(start: int) -> None:
        # Small slices: one hop to a thread for many files, yet no thread idle for long.
        found[start] = await to_thread.run_sync(
            lambda: [_hash(source, stop) for source in sources[start : start + 32]],
            limiter=limiter,
            abandon_on_cancel=True,
        )

    try:
        async with anyio.create_task_group() as tasks:
            for start in range(0, len(sources), 32):
                tasks.start_soon(work, start)
    finally:
        stop.set()  # a shutdown does not wait for the hash of a long video
    return [each for start in sorted(found) for each in found[start]]


def _hash(source: FileSource | None, stop: threading.Event) -> str | Outcome:
    if source is None:
        return Outcome.dead(
            "there is no file to import: what this rule's trigger notices is not a file"
        )
    outcome = source_outcome(source.state(), source)
    if outcome is not None:
        return outcome
    try:
        digest = _digest(source.path, stop)
    except FileNotFoundError:
        return source_outcome(SourceState.GONE, source) or Outcome.retry("the file is away")
    except OSError as error:
        return Outcome.retry(f"{source.path} cannot be read: {error.strerror or error}")
    # Written to while it was read: neither the old bytes nor the new ones.
    return source_outcome(source.state(), source) or digest


def _digest(path: Path, stop: threading.Event) -> str:
    with path.open("rb", buffering=0) as file:
        digest = hashlib.sha256()
        while not stop.is_set() and (chunk := file.read(_CHUNK)):
            digest.update(chunk)
    return digest.hexdigest()


async def _known(client: HydrusClient, hashes: Sequence[str]) -> set[str]:
    """Give the hashes that the client has; none where it cannot be asked, as sending finds out."""
    if not hashes or not client.can_look_up_files:
        return set()
    try:
        return await client.known_hashes(hashes)
    except (PermissionMissing, VersionTooOld):
        return set()


async def _deleted(client: HydrusClient, hashes: Sequence[str]) -> set[str]:
    """Give the hashes of files that were deleted, as far as asking leaves no trace."""
    if not hashes or not client.can_search or client.info.api_version < _LOOKS_ONLY_SINCE_API:
        return set()
    try:
        found = await client.file_metadata(hashes)
    except (PermissionMissing, VersionTooOld):
        return set()
    return {file.hash for file in found if file.is_deleted or file.is_trashed or file.deleted}


async def _upload_all(hashes: dict[Call[SetAction], str]) -> None:
    """Send the files, in order. The first failure of the client ends it for those left."""
    failures: list[Exception] = []
    waiting = iter(list(hashes.items()))

    async def work() -> None:
        for call, file_hash in waiting:
            if failures:
                return
            try:
                call.finish(await _upload(call, file_hash))
            except HydrusUnavailable as error:
                if not error.outcome_unknown:
                    failures.append(error)
                    return
                # This one may have made the client stumble: let it bear the attempt alone.
                call.finish(Outcome.retry(str(error)))
            except Exception as error:  # noqa: BLE001 - raised again below, for the engine to judge
                failures.append(error)
                return

    async with anyio.create_task_group() as tasks:
        for _ in range(min(UPLOAD_WIDTH, len(hashes))):
            tasks.start_soon(work)
    if failures:
        raise failures[0]


async def _upload(call: Call[SetAction], file_hash: str) -> Outcome:
    source = call.source
    assert source is not None
    try:
        result = await call.client.add_file(source.path, sha256=file_hash)
    except WrongFileError as error:
        # Raised again for the set, it would be tried another way: nobody would hear of it.
        return Outcome.dead(str(error))
    except OSError as error:
        state = await to_thread.run_sync(source.state)
        outcome = source_outcome(state, source) or Outcome.retry(
            f"{source.path} cannot be read: {error.strerror or error}"
        )
        if isinstance(error, FileChangedError):  # the client may have taken what it was meanwhile
            return replace(outcome, detail=f"{outcome.detail} ({error})")
        return outcome
    if result.hash is not None and result.hash != file_hash:
        # What was sent is not what was hashed: someone wrote to it in between.
        return source_outcome(SourceState.CHANGED, source) or Outcome.retry("the file changed")
    match result.status:
        case ImportStatus.IMPORTED:
            return _there(call, file_hash, "imported")
        case ImportStatus.ALREADY_IN_DATABASE:
            return _there(call, file_hash, "already in Hydrus")
        case ImportStatus.PREVIOUSLY_DELETED:
            return _deleted_before(call, file_hash, result.note)
        case ImportStatus.VETOED:
            return Outcome.dead(f"Hydrus' import options refuse it: {result.note}")
        case _:
            return Outcome.dead(f"Hydrus cannot import it: {result.note}")


def _there(call: Call[SetAction], file_hash: str, status: str) -> Outcome:
    # Done again after a crash, a file that we brought is "already there" by our own doing.
    earlier = call.earlier
    ours = (
        status == "imported"
        or call.progress.get(_SENDING) == file_hash
        or (
            earlier is not None
            and earlier.receipt is not None
            and earlier.receipt.get("imported") == file_hash
        )
    )
    values = {"hash": file_hash, "status": status}
    outcome = Outcome.done(status, values=values, receipt={"imported": file_hash if ours else None})
    assert isinstance(call.action, AddFile)
    return outcome if ours else _by_policy(outcome, call.action.duplicates)


def _deleted_before(call: Call[SetAction], file_hash: str, note: str) -> Outcome:
    assert isinstance(call.action, AddFile)
    detail = f"it was deleted in Hydrus before; not imported again ({note})"
    values = {"hash": file_hash, "status": _DELETED}
    outcome = Outcome.done(detail, values=values, receipt={"imported": None})
    return _by_policy(outcome, call.action.deleted_before)


def _by_policy(outcome: Outcome, policy: Policy) -> Outcome:
    """Go on, end the job, or lead to the step that disposes of the source."""
    if policy == "keep":
        return Outcome.skipped(outcome.detail, values=outcome.values)
    return replace(outcome, disposes_next=policy == "dispose")
