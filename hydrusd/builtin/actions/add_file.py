"""Imports the file that was noticed."""

from __future__ import annotations

import contextlib
import hashlib
import itertools
import os
import threading
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from typing import ClassVar, Literal

import anyio
from anyio import to_thread
from pydantic import Field

from hydrusd.builtin.actions._disk_back import coming_back, copies, left_alone
from hydrusd.builtin.actions._states_back import REASON, REASON_SINCE_API
from hydrusd.builtin.actions._taking_back import joined_receipt
from hydrusd.plugin import (
    AnyAction,
    Call,
    Data,
    Detail,
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
    Undo,
    VersionTooOld,
    WrongFileError,
    keep_receipts,
    source_outcome,
)

HASHING_WIDTH = max(2, os.cpu_count() or 2)
UPLOAD_WIDTH = 2
"""A client imports one file at a time; the second request waits at its door, so that it
never waits for us."""

LARGE = 64 * 1024 * 1024
"""From so many bytes on a file is hashed and sent beside the others, which take moments."""
MUCH = 32 * 1024 * 1024
"""So many bytes are hashed by several threads from the start."""
HELP_SECONDS = 0.05
"""After so long (in real time) another thread helps to hash less, and after twice that one more. A
thousand small files take no longer, and threads that mostly wait for each other cost more than they
bring; but the files may be far away."""

Policy = Literal["go_on", "keep", "dispose"]

_POLICIES: Mapping[Policy, str] = {
    "go_on": "",
    "keep": "; left alone",
    "dispose": "; the source would be disposed of",
}
_CHUNK = 1024 * 1024
_THERE = "already in Hydrus"
_DELETED = "deleted before"
_REFUSED = "refused"
_AWAY = frozenset({SourceState.GONE, SourceState.CHANGED})
_LOOKS_ONLY_SINCE_API = 31  # before, asking about a hash makes the client remember it


class AddFile(SetAction):
    """Import the file into Hydrus.

    Files that the client has already are recognised by their hash, many at a time, and not
    sent again; later steps (tags) apply to them all the same, unless `duplicates` says
    otherwise. A file that was deleted in Hydrus before stays deleted: the job ends there and the
    source is left untouched, unless `deleted_before` says otherwise. One that Hydrus refuses
    becomes a dead letter, with its words, unless `refused` says otherwise. Whether bytes are sent
    or a path is told is what `client: transfer` says.

    Later steps see `steps.add_file.hash` and `steps.add_file.status`
    (`imported`, `already in Hydrus`, `deleted before` or `refused`); of a refused file there is no
    hash, but the words of Hydrus in `steps.add_file.note`. No step disposes of it for good.
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

    refused: Literal["dead", "go_on"] = Field(
        default="dead",
        description=(
            "For a file that Hydrus refuses, as broken or by its import options: a `dead` letter, "
            "or `go_on` with the next step, which a condition on `steps.add_file.status` can tell."
        ),
    )

    @property
    def may_dispose_next(self) -> bool:
        """Say whether a policy does."""
        return "dispose" in {self.duplicates, self.deleted_before}

    @property
    def later_statuses(self) -> Mapping[str, str]:
        """Give what `steps.add_file.status` may be, and what leads on with it where nothing does.

        What goes straight to the disposal of its source comes to the steps behind that.
        """
        known, deleted = self.duplicates == "keep", self.deleted_before == "keep"
        return {
            "imported": "",
            _THERE: "`duplicates: go_on`" if known else "",
            _DELETED: "`deleted_before: go_on`" if deleted else "",
            _REFUSED: "`refused: go_on`" if self.refused == "dead" else "",
        }

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
        looked = await hash_sources([call.source for call in calls])
        hashes = [found for found in looked if isinstance(found, str)]
        known = await _known(client, hashes)
        deleted = await _deleted(client, [h for h in hashes if h not in known])
        return [
            _foreseen(call, found, known, deleted)
            for call, found in zip(calls, looked, strict=True)
        ]

    @classmethod
    async def run_set(cls, calls: Sequence[Call[SetAction]]) -> None:
        """Hash, look up, and send what the client does not have; large files beside the rest."""
        await _finish_late([call for call in calls if call.is_late and call.file_hash])
        calls = [call for call in calls if call.outcome is None]
        large = [call for call in calls if call.source and call.source.size >= LARGE]
        if not large:
            await _import(calls)
            return
        for call in large:
            call.linger()
        failures: list[Exception] = []
        hashing = anyio.CapacityLimiter(HASHING_WIDTH)
        sending = anyio.Lock()

        async def work(some: Sequence[Call[SetAction]]) -> None:
            try:
                await _import(some)
            except Exception as error:  # noqa: BLE001 - raised again below
                failures.append(error)

        async def work_alone(call: Call[SetAction]) -> None:
            try:
                async with hashing:
                    hashes = {} if failures else await _unknown([call])
                async with sending:  # one at a time, or none of them would get there
                    if not failures:  # the one before may have had the same content
                        await _upload_all(await _still_unknown(hashes))
            except Exception as error:  # noqa: BLE001 - raised again below
                failures.append(error)

        async with anyio.create_task_group() as tasks:
            tasks.start_soon(work, [call for call in calls if call not in set(large)])
            for call in large:
                tasks.start_soon(work_alone, call)
        if failures:
            raise failures[0]

    @classmethod
    async def undo_plan(cls, calls: Sequence[Call[Undo]]) -> Sequence[Foreseen]:
        """Say which files would go to Hydrus' trash: those of which there is a copy elsewhere."""
        judged = await _judge_all(calls, foresee=True)
        return [
            Foreseen(f"left alone: {why}", changes=False) if why else Foreseen(words)
            for why, words in (judged[call] for call in calls)
        ]

    @classmethod
    async def undo_set(cls, calls: Sequence[Call[Undo]]) -> None:
        """Send the files to Hydrus' trash, or bring back those that an undo has sent there."""
        judged = await _judge_all(calls)
        due = [call for call in calls if not judged[call][0]]
        await keep_receipts({call: joined_receipt(call, _opposite(call)) for call in due})
        await _send_back(due)
        for call, (why, words) in judged.items():
            if why:
                call.finish(left_alone(call, why))
            else:
                receipt = joined_receipt(call, _opposite(call))
                call.finish(Outcome.done(words, receipt=receipt))

    @classmethod
    async def lost(cls, calls: Sequence[Call[AnyAction]]) -> Sequence[Call[AnyAction]]:
        """Give those whose file the client does not have (any more), or has with another size."""
        client = calls[0].client
        if not client.can_look_up_files:
            return calls
        # What was deleted is not there, and not lost.
        sent = [call for call in calls if not _was_not_taken(call)]
        try:
            known = await client.known_hashes([c.file_hash for c in sent if c.file_hash])
        except (PermissionMissing, VersionTooOld):
            return sent
        wrong = await _wrong_sizes([call for call in sent if call.file_hash in known])
        return [call for call in sent if call.file_hash not in known or call in wrong]


async def _wrong_sizes(calls: Sequence[Call[AnyAction]]) -> dict[Call[AnyAction], int]:
    """Give the calls whose file the client says to have with another size, and that size.

    Hydrus keeps what it knows in several databases, one commit after the other: one that dies
    in between can take what it knows of one file for another. The size gives that away, for
    one request more in 256 files.
    """
    by_hash = {call.file_hash: call for call in calls if call.file_hash and call.source}
    if not by_hash or not calls[0].client.can_search:
        return {}
    try:
        rows = await calls[0].client.file_metadata(list(by_hash), detail=Detail.BASIC)
    except (PermissionMissing, VersionTooOld):
        return {}
    sizes = {row.hash: row.size for row in rows if row.size is not None}
    return {
        call: sizes[call.file_hash]
        for call in calls
        if call.source and call.file_hash in sizes and sizes[call.file_hash] != call.source.size
    }


async def _refuse_wrong_sizes(calls: Sequence[Call[SetAction]]) -> None:
    """Finish those that were begun before and whose file is another one in the client."""
    for call, size in (await _wrong_sizes(calls)).items():
        assert call.source is not None
        call.finish(
            Outcome.dead(
                f"Hydrus has this file with {size} bytes, and it has {call.source.size}: its "
                f"databases disagree, probably since it was killed. Have them checked (in "
                f"Hydrus: database > check and repair), then retry; until then the source is "
                f"left alone"
            )
        )


def _foreseen(
    call: Call[AnyAction], found: str | Outcome, known: set[str], deleted: set[str]
) -> Foreseen:
    action = call.action
    assert isinstance(action, AddFile)
    if isinstance(found, Outcome):
        return Foreseen.of(found)
    if found in known:
        values = {"hash": found, "status": _THERE}
        detail = f"{_THERE}{_POLICIES[action.duplicates]}"
        return Foreseen.of(_by_policy(Outcome.done(detail, values=values), action.duplicates))
    if found in deleted:
        values = {"hash": found, "status": _DELETED}
        detail = f"it was deleted in Hydrus before{_POLICIES[action.deleted_before]}"
        return Foreseen.of(_by_policy(Outcome.done(detail, values=values), action.deleted_before))
    return Foreseen("would import it", values={"hash": found, "status": "imported"})


def _was_not_taken(call: Call[AnyAction]) -> bool:
    earlier = call.earlier
    return earlier is not None and earlier.values.get("status") in {_DELETED, _REFUSED}


async def _finish_late(calls: Sequence[Call[SetAction]]) -> None:
    """Finish those that are about a late sidecar of a file that is there; leave the others."""
    if not calls:
        return
    client = calls[0].client
    known: set[str] | None = None
    if client.can_look_up_files:
        with contextlib.suppress(PermissionMissing, VersionTooOld):
            known = await client.known_hashes([c.file_hash for c in calls if c.file_hash])
    for call in calls:
        assert call.file_hash is not None
        if known is None or call.file_hash in known:
            call.finish(_there(call, call.file_hash, _THERE))
        elif call.source is None or await to_thread.run_sync(call.source.state) in _AWAY:
            call.finish(Outcome.skipped("Hydrus does not have the file of this sidecar"))


async def _import(calls: Sequence[Call[SetAction]]) -> None:
    await _upload_all(await _unknown(calls))


async def _unknown(calls: Sequence[Call[SetAction]]) -> dict[Call[SetAction], str]:
    """Give those to be sent with their hashes; finish those that are known or cannot be sent."""
    hashes: dict[Call[SetAction], str] = {}
    for call, found in zip(calls, await hash_sources([c.source for c in calls]), strict=True):
        if isinstance(found, Outcome):
            call.finish(found)
        else:
            hashes[call] = found
    again = [call for call in hashes if any(r.position == call.position for r in call.steps)]
    await _refuse_wrong_sizes(again)
    return await _still_unknown({c: h for c, h in hashes.items() if c.outcome is None})


async def _still_unknown(hashes: dict[Call[SetAction], str]) -> dict[Call[SetAction], str]:
    """Finish those that the client has by now, and give the others."""
    client = next((call.client for call in hashes), None)
    known = await _known(client, list(hashes.values())) if client is not None else set()
    for call, file_hash in hashes.items():
        if file_hash in known:
            call.finish(_there(call, file_hash, _THERE))
    return {call: h for call, h in hashes.items() if call.outcome is None}


async def hash_sources(sources: Sequence[FileSource | None]) -> list[str | Outcome]:
    """Give the hash of each source, or why it cannot be sent. Streamed, off the loop."""
    found: dict[int, str | Outcome] = {}
    stop = threading.Event()
    turns = itertools.count()  # shared: no thread is idle while another has files left

    def work() -> None:
        while (turn := next(turns)) < len(sources) and not stop.is_set():
            found[turn] = _hash(sources[turn], stop)

    async def hash_some(after: float) -> None:
        if after:
            with anyio.move_on_after(after):
                await taken.wait()
        if not taken.is_set():
            await to_thread.run_sync(work, limiter=limiter, abandon_on_cancel=True)
            taken.set()

    taken = anyio.Event()  # set when no thread has to begin any more
    width = min(HASHING_WIDTH, len(sources))
    limiter = anyio.CapacityLimiter(HASHING_WIDTH)
    much = sum(source.size for source in sources if source is not None) >= MUCH
    try:
        async with anyio.create_task_group() as tasks:
            for helpers in range(width):
                tasks.start_soon(hash_some, 0.0 if much else helpers * HELP_SECONDS)
    finally:
        stop.set()  # a shutdown does not wait for the hash of a long video
    return [found[turn] for turn in range(len(sources))]


def _hash(source: FileSource | None, stop: threading.Event) -> str | Outcome:
    if source is None:
        return Outcome.dead(
            "there is no file to import: what this rule's trigger notices is not a file"
        )
    try:
        content = source.content(_CHUNK)  # of most files: all of it
        if content is not None:
            return hashlib.sha256(content).hexdigest()
        digest = _digest(source, stop)
    except OSError as error:  # another one by now, or gone, or its disk is
        return source_outcome(_state_after(error, source), source) or Outcome.retry(
            f"{source.path} cannot be read: {error.strerror or error}"
        )
    # Written to while it was read: neither the old bytes nor the new ones.
    return source_outcome(source.state(), source) or digest


def _state_after(error: OSError, source: FileSource) -> SourceState:
    return SourceState.CHANGED if isinstance(error, FileChangedError) else source.state()


def _digest(source: FileSource, stop: threading.Event) -> str:
    digest = hashlib.sha256()
    buffer = memoryview(bytearray(_CHUNK))
    with source.open() as file:
        while not stop.is_set() and (count := file.readinto(buffer)):
            digest.update(buffer[:count])
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
    """Send the files, in order, and of several with the same content only the first.

    What the others are is known when that one is there: their receipts must not say that they
    were sent, or a daemon that is killed would take them all for its own imports.
    """
    while hashes:
        first = {file_hash: call for call, file_hash in reversed(hashes.items())}
        await _upload_first({c: h for c, h in hashes.items() if first[h] is c})
        for call, file_hash in hashes.items():
            if call.outcome is None and _is_there(first[file_hash]):
                call.finish(_there(call, file_hash, _THERE))
        hashes = {call: h for call, h in hashes.items() if call.outcome is None}


def _is_there(sent: Call[SetAction]) -> bool:
    return sent.outcome is not None and sent.outcome.values.get("status") in {"imported", _THERE}


async def _upload_first(hashes: dict[Call[SetAction], str]) -> None:
    """Send files of different content. The first failure of the client ends it for those left."""
    if any(call.client.can_look_up_files for call in hashes):
        # Or it may have them already, and not by us.
        await keep_receipts({call: {"imported": h} for call, h in hashes.items()})
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
            return _there(call, file_hash, _THERE)
        case ImportStatus.PREVIOUSLY_DELETED:
            return _deleted_before(call, file_hash, result.note)
        case ImportStatus.VETOED:
            return _refused(call, f"Hydrus' import options refuse it: {result.note}", result.note)
        case _:
            return _refused(call, f"Hydrus cannot import it: {result.note}", result.note)


def _there(call: Call[SetAction], file_hash: str, status: str) -> Outcome:
    # Done again after a crash, a file that we brought is "already there" by our own doing.
    earlier = call.earlier
    ours = status == "imported" or (
        earlier is not None
        and earlier.receipt is not None
        and earlier.receipt.get("imported") == file_hash
    )
    # And rules that tell new files from known ones must not tell them apart by our crashes.
    values = {"hash": file_hash, "status": "imported" if ours else status}
    outcome = Outcome.done(status, values=values, receipt={"imported": file_hash if ours else None})
    assert isinstance(call.action, AddFile)
    # A file whose sidecar comes late was dealt with when it was noticed.
    return outcome if ours or call.is_late else _by_policy(outcome, call.action.duplicates)


def _deleted_before(call: Call[SetAction], file_hash: str, note: str) -> Outcome:
    assert isinstance(call.action, AddFile)
    detail = f"it was deleted in Hydrus before; not imported again ({note})"
    values = {"hash": file_hash, "status": _DELETED}
    outcome = Outcome.done(detail, values=values, receipt={"imported": None})
    return _by_policy(outcome, call.action.deleted_before)


def _refused(call: Call[SetAction], detail: str, note: str) -> Outcome:
    assert isinstance(call.action, AddFile)
    if call.action.refused == "dead":
        return Outcome.dead(detail)
    # No hash: it names no file of the client, and later steps must not take it for one.
    values = {"status": _REFUSED, "note": note}
    return Outcome.done(detail, values=values, receipt={"imported": None})


def _by_policy(outcome: Outcome, policy: Policy) -> Outcome:
    """Go on, end the job, or lead to the step that disposes of the source."""
    if policy == "keep":
        return Outcome.skipped(outcome.detail, values=outcome.values)
    return replace(outcome, disposes_next=True) if policy == "dispose" else outcome


# --- taking back -----------------------------------------------------------------------------


def _opposite(call: Call[Undo]) -> Data:
    """Give the receipt of what takes back a receipt."""
    receipt = call.action.receipt
    if (trashed := receipt.get("trashed")) is not None:
        return {"imported": trashed}
    return {"trashed": receipt["imported"]}


async def _judge_all(
    calls: Sequence[Call[Undo]], *, foresee: bool = False
) -> dict[Call[Undo], tuple[str, str]]:
    """Say of each why it is left alone, or nothing and what is done."""
    client = calls[0].client
    hashes = sorted({str(next(iter(_opposite(call).values()))) for call in calls})
    rows = {row.hash: row for row in await client.file_metadata(hashes)}
    judged = {}
    for call in calls:
        [(kind, sha256)] = _opposite(call).items()
        row = rows[str(sha256)]
        if kind == "imported":
            why = "" if row.is_trashed else "it is no longer in Hydrus' trash"
            judged[call] = (why, "brought back from Hydrus' trash")
            continue
        if row.is_trashed or not row.is_local:
            judged[call] = ("Hydrus does not have the file (any more)", "")
            continue
        judged[call] = await to_thread.run_sync(_judge_copy, call, str(sha256), foresee)
    return judged


def _judge_copy(call: Call[Undo], sha256: str, foresee: bool) -> tuple[str, str]:
    """Find another copy. Without one, what Hydrus has stays: it may be the last."""
    if copy := next(copies(call, sha256), None):
        return "", f"sent to Hydrus' trash; the file is at {copy}"
    if foresee and (coming := coming_back(call)):
        return "", f"sent to Hydrus' trash, once the file is back at {coming}"
    return "no copy of it was found outside of Hydrus, so it stays there", ""


async def _send_back(calls: Sequence[Call[Undo]]) -> None:
    """Send all of a set with one request for each kind."""
    back: dict[str, list[str]] = {}
    for call in calls:
        [(kind, sha256)] = _opposite(call).items()
        back.setdefault(kind, []).append(str(sha256))
    if hashes := back.get("trashed"):
        client = calls[0].client
        speaks = client.info.api_version >= REASON_SINCE_API
        await client.delete_files(list(dict.fromkeys(hashes)), reason=REASON if speaks else "")
    if hashes := back.get("imported"):
        await calls[0].client.undelete_files(list(dict.fromkeys(hashes)))
