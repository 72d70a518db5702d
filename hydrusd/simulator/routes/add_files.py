"""Bringing files in and taking them out."""

from __future__ import annotations

import asyncio
from pathlib import Path

from hydrusd.simulator._answers import EMPTY, Answer
from hydrusd.simulator._errors import Refusal, Unforeseen, bad_request
from hydrusd.simulator._pictures import Picture, Unimportable, identify, looks_of
from hydrusd.simulator._recognising import ALREADY_THERE, recognise
from hydrusd.simulator._routing import Call, Route
from hydrusd.simulator._services import (
    ALL_LOCAL_MEDIA,
    FILE_STORAGE,
    LOCAL_FILES,
    MY_FILES_KEY,
)
from hydrusd.simulator._uploads import SPOOL_BYTES, Upload, upload_from

IMPORT_FILES = frozenset({1})

_IMPORTED = 1
_FAILED = 4
_VETOED = 7


async def _add_file(call: Call) -> Answer:
    source: Path | None = None
    upload = call.upload
    if upload is None:
        source = _given_path(call)
        upload = await asyncio.to_thread(upload_from, source, call.client.store.scratch)
    try:
        status, note, traceback = await _import(call, upload, _destinations(call))
    finally:
        upload.discard()
    if (
        source is not None
        and status in {_IMPORTED, ALREADY_THERE}
        and call.era.has("add_file_deletes_source")
        and call.arguments.flag("delete_after_successful_import", default=False)
    ):
        source.unlink(missing_ok=True)
    body: dict[str, object] = {"status": status, "hash": upload.sha256, "note": note}
    if traceback and call.era.has("add_file_traceback"):
        body["traceback"] = traceback
    elif traceback:
        body["note"] = traceback
    return call.json(body)


def _given_path(call: Call) -> Path:
    given = call.arguments.text("path")
    path = Path(given)
    if not path.exists():
        raise bad_request(f'Path "{given}" does not exist!')
    if not path.is_file():
        raise bad_request(f'Path "{given}" is not a file!')
    return path


def _destinations(call: Call) -> list[str]:
    if not call.era.has("add_file_domains"):
        return [MY_FILES_KEY]
    return sorted(_local_domains(call)) or [MY_FILES_KEY]


def _local_domains(call: Call) -> set[str]:
    domains = call.file_domains()
    if any(call.client.services.kind(key) != LOCAL_FILES for key in domains):
        raise bad_request(
            "Sorry, any custom file domain here must only declare local file domains."
        )
    return domains


async def _import(call: Call, upload: Upload, domains: list[str]) -> tuple[int, str, str]:
    client = call.client
    if known := _known_as(call, upload.sha256):
        await client.turn(client.config.known_seconds)
        return *(_known_as(call, upload.sha256) or known), ""
    # Looking at the file is part of the time that a real client is busy with it.
    turn = client.stand_in_line(client.config.import_seconds)
    picture = await _identified(call, upload)
    await client.wait_for(turn)
    # Another caller may have brought the same file while this one stood in line.
    if known := _known_as(call, upload.sha256):
        return *known, ""
    if isinstance(picture, Unimportable):
        exception = call.era.import_errors[picture.flaw]
        traceback = f"Traceback (most recent call last):\n  [frames of the simulator]\n{exception}"
        return _FAILED, exception.split(": ", 1)[1], traceback
    if reason := _veto(call, upload, picture):
        return _VETOED, reason, ""
    with client.store.lock:
        if known := _known_as(call, upload.sha256):
            return *known, ""
        client.store.add_file(upload, picture, domains)
    return _IMPORTED, "", ""


async def _identified(call: Call, upload: Upload) -> Picture | Unimportable:
    truncated_too = call.era.has("truncated_pictures")
    try:
        if upload.size <= SPOOL_BYTES:
            return identify(upload.content, truncated_too=truncated_too)
        return await asyncio.to_thread(
            lambda: identify(upload.content, truncated_too=truncated_too)
        )
    except Unimportable as outcome:
        return outcome


def _veto(call: Call, upload: Upload, picture: Picture) -> str | None:
    config = call.client.config
    if config.veto_over_bytes is not None and upload.size > config.veto_over_bytes:
        return f"file was {upload.size} bytes, but the limit is {config.veto_over_bytes}!"
    return config.veto(upload.sha256, upload.size, picture.kind.mime) if config.veto else None


def _known_as(call: Call, sha256: str) -> tuple[int, str] | None:
    with call.client.store.lock:
        entry = call.client.store.entries.get(sha256)
        known = recognise(call.era, entry.file if entry else None)
    return (known[0], f"file {known[1]}") if known else None


async def _delete_files(call: Call) -> Answer:
    client = call.client
    hashes = call.hashes()
    reason = call.arguments.text("reason", call.era.words["delete_reason"])
    asked = call.file_domains()
    kinds = {client.services.kind(key) for key in asked}
    everywhere = not asked or ALL_LOCAL_MEDIA in kinds
    await client.turn()
    with client.store.writing():
        if FILE_STORAGE in kinds:
            _refuse_locked(call, hashes)
        for sha256 in hashes:
            entry = client.store.entries.get(sha256)
            if entry is None or entry.file is None:
                continue
            if FILE_STORAGE in kinds:
                client.store.destroy_file(sha256, reason)
            else:
                domains = set(entry.file.domains) if everywhere else asked
                client.store.remove_file(sha256, domains, reason)
    return EMPTY


def _refuse_locked(call: Call, hashes: list[str]) -> None:
    if not (call.client.config.archived_files_delete_locked and call.era.has("delete_lock")):
        return
    entries = call.client.store.entries
    locked = sorted(
        sha256
        for sha256 in hashes
        if (entry := entries.get(sha256)) and entry.file and not entry.file.inbox
    )
    if locked:
        raise Refusal(
            409,
            "Sorry, some of the files you selected are currently delete locked. "
            "Their hashes are:\n\n" + "\n".join(locked),
        )


async def _undelete_files(call: Call) -> Answer:
    hashes = call.hashes()
    kind = call.client.services.kind
    domains = {key for key in call.file_domains() if kind(key) == LOCAL_FILES}
    await call.client.turn()
    with call.client.store.writing():
        for sha256 in hashes:
            call.client.store.restore_file(sha256, domains or None)
    return EMPTY


async def _archive_files(call: Call) -> Answer:
    return await _set_archived(call, archived=True)


async def _unarchive_files(call: Call) -> Answer:
    return await _set_archived(call, archived=False)


async def _set_archived(call: Call, *, archived: bool) -> Answer:
    hashes = call.hashes()
    await call.client.turn()
    call.client.store.archive(hashes, archived=archived)
    return EMPTY


async def _clear_file_deletion_record(call: Call) -> Answer:
    hashes = call.hashes()
    await call.client.turn()
    call.client.store.forget_removals(hashes)
    return EMPTY


async def _migrate_files(call: Call) -> Answer:
    client, hashes = call.client, call.hashes()
    if not (domains := _local_domains(call)):
        raise bad_request("Sorry, you need to set a destination for the migration!")
    await client.turn()
    with client.store.lock:
        for sha256 in hashes:
            entry = client.store.entries.get(sha256)
            if entry is None or entry.file is None or not entry.file.is_current:
                raise bad_request(
                    f'The file "{sha256} is not in any local file domains, so I cannot copy!'
                )
    client.store.do_later(
        client.config.migrate_seconds, lambda: client.store.put_into(hashes, domains)
    )
    return EMPTY


async def _generate_hashes(call: Call) -> Answer:
    upload = call.upload
    if upload is None:
        upload = await asyncio.to_thread(upload_from, _given_path(call), call.client.store.scratch)
    try:
        if not upload.size:
            raise Unforeseen("ZeroSizeFileException", call.era.import_errors["empty"])
        body: dict[str, object] = {"hash": upload.sha256}
        return call.json(body | await asyncio.to_thread(looks_of, upload.content))
    finally:
        upload.discard()


ROUTES = (
    Route(method="POST", path="/add_files/add_file", permissions=IMPORT_FILES, handler=_add_file),
    Route(
        method="POST",
        path="/add_files/delete_files",
        permissions=IMPORT_FILES,
        handler=_delete_files,
        since=15,
    ),
    Route(
        method="POST",
        path="/add_files/undelete_files",
        permissions=IMPORT_FILES,
        handler=_undelete_files,
        since=15,
    ),
    Route(
        method="POST",
        path="/add_files/archive_files",
        permissions=IMPORT_FILES,
        handler=_archive_files,
        since=15,
    ),
    Route(
        method="POST",
        path="/add_files/unarchive_files",
        permissions=IMPORT_FILES,
        handler=_unarchive_files,
        since=15,
    ),
    Route(
        method="POST",
        path="/add_files/clear_file_deletion_record",
        permissions=IMPORT_FILES,
        handler=_clear_file_deletion_record,
        since=63,
    ),
    Route(
        method="POST",
        path="/add_files/migrate_files",
        permissions=IMPORT_FILES,
        handler=_migrate_files,
        since=68,
    ),
    Route(
        method="POST",
        path="/add_files/generate_hashes",
        permissions=IMPORT_FILES,
        handler=_generate_hashes,
        since=55,
    ),
)
