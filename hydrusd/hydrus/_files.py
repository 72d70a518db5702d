"""Files of ours on their way in, and what can be done to files that are there.

Bytes go a piece at a time. The description of the file is read first and compared at every
piece: a file that is still being written would otherwise be imported cut short, which
Hydrus cannot tell and nobody would notice. A request that stops before its end is one that
never happened.

What removes files is spelled out: to trash is the default, for good takes a word of its own.
"""

from __future__ import annotations

import hashlib
import os
from collections.abc import AsyncIterator, Callable, Sequence
from io import FileIO
from pathlib import Path

from anyio import to_thread

from hydrusd.errors import HydrusFailed, RequestRejected
from hydrusd.opening import open_file

from ._calls import FileReference, Route
from ._failures import last_words
from ._http import Body, to_json
from ._models import (
    AddFileAnswer,
    AddFileResult,
    GeneratedHashes,
    GeneratedHashesAnswer,
    ImportStatus,
    Service,
    ServiceType,
)
from ._permissions import Permission
from ._services import FILES, LOCAL_DOMAINS, ServiceRoutes
from ._transfer import Transfer, WrongFileError

ADD_FILE = Route("POST", "/add_files/add_file", Permission.IMPORT_FILES)
GENERATE_HASHES = Route("POST", "/add_files/generate_hashes", Permission.IMPORT_FILES, since_api=55)
DELETE_FILES = Route("POST", "/add_files/delete_files", Permission.IMPORT_FILES, since_api=15)
UNDELETE_FILES = Route("POST", "/add_files/undelete_files", Permission.IMPORT_FILES, since_api=15)
ARCHIVE_FILES = Route("POST", "/add_files/archive_files", Permission.IMPORT_FILES, since_api=15)
UNARCHIVE_FILES = Route("POST", "/add_files/unarchive_files", Permission.IMPORT_FILES, since_api=15)
CLEAR_FILE_DELETION_RECORD = Route(
    "POST", "/add_files/clear_file_deletion_record", Permission.IMPORT_FILES, since_api=63
)
MIGRATE_FILES = Route("POST", "/add_files/migrate_files", Permission.IMPORT_FILES, since_api=68)

_DOMAIN_AND_REASON_SINCE_API = 28
SEVERAL_DOMAINS_SINCE_API = 41
_DESTINATION_SINCE_API = 68
_DELETING_SOURCES_SINCE_API = 70

_PIECE_BYTES = 256 * 1024
# An import reads the file several times, and a video is decoded in part: allow for a slow
# disk on top of the usual patience.
_BYTES_PER_EXTRA_SECOND = 2_000_000

_IMPORTED = frozenset(
    {
        ImportStatus.IMPORTED,
        ImportStatus.ALREADY_IN_DATABASE,
        ImportStatus.PREVIOUSLY_DELETED,
    }
)


class FileChangedError(OSError):
    """The file was written to or replaced while it was being sent. Nothing was imported.

    Unless the client was reading it by itself: then the text says what it took.
    """


class FileRoutes(ServiceRoutes):
    """Routes about files; all need "import and delete files".

    A list of files is one of SHA-256 hashes in hexadecimal or, from API 29 on, of file ids,
    or of both. 256 go into a request, so a failure may leave some done: safe to repeat.
    """

    _transfer: Transfer

    async def add_file(
        self,
        path: Path,
        *,
        sha256: str | None = None,
        on_sent: Callable[[], None] | None = None,
    ) -> AddFileResult:
        """Import a file of this machine, by the way that ``transfer`` says.

        Sent as bytes, the client learns neither name nor path. ``sha256`` is what the caller
        has hashed: bytes that make another hash are never sent to their end, and where a path
        is told the file need not be hashed again.

        ``on_sent`` is called when the last byte was handed to the network (once more if the
        request had to be sent again, or bytes had to follow a path). The client is given
        the usual time to answer, and one second more for every 2 MB.

        The outcome of an import that was tried is a result, never an exception: look at
        its ``status``. Safe to repeat. Raises OSError where the file cannot be read, of
        which FileChangedError if it changed meanwhile, and WrongFileError where the client
        found another file at the path.
        """
        self._require(ADD_FILE)
        seen = self._transfer.seen_by_client(path)
        if seen is not None:
            result = await self._add_seen(path, seen, sha256, on_sent)
            if result is not None:
                return result
        return await self._add_bytes(path, sha256, on_sent)

    async def add_file_by_path(
        self,
        client_path: str,
        *,
        domains: Sequence[str] = (),
        delete_after_import: bool = False,
    ) -> AddFileResult:
        """Import a file of the client's own machine, by the path which that knows it by.

        Nothing is compared: ``add_file`` does that. ``domains`` are local file domains, by
        name or key, to import into, in place of what the import options say (API ≥ 68).
        ``delete_after_import`` has the client delete the file if it imported it or had it
        already (API ≥ 70), at once and so before it has committed the import: a client that
        dies within the next half minute has lost both.

        Raises RequestRejected where there is no file at that path.
        """
        self._require(ADD_FILE)
        content: dict[str, object] = {"path": client_path}
        if domains:
            self._require_api(_DESTINATION_SINCE_API, "choosing file domains for an import")
            content |= domain_content([self._service(domain, LOCAL_DOMAINS) for domain in domains])
        if delete_after_import:
            self._require_api(_DELETING_SOURCES_SINCE_API, "deleting a file after its import")
            content["delete_after_successful_import"] = True
        return _result(await self._ask_by_post(AddFileAnswer, ADD_FILE, content))

    async def generate_hashes(self, path: Path) -> GeneratedHashes:
        """Have the client compute the hashes of a file of this machine, and import nothing.

        The file is sent as bytes. Needs Client API ≥ 55. Raises OSError where the file cannot
        be read, and HydrusFailed for an image that cannot be.
        """
        self._require(GENERATE_HASHES)
        file, description = await to_thread.run_sync(_open, path)
        try:
            body = _FileBody(file, description, None)
            answer = await self._ask(
                GeneratedHashesAnswer,
                GENERATE_HASHES,
                body=body,
                content_type="application/octet-stream",
                extra_seconds=body.size / _BYTES_PER_EXTRA_SECOND,
            )
        finally:
            file.close()
        return GeneratedHashes(answer.hash, tuple(answer.perceptual_hashes), answer.pixel_hash)

    async def delete_files(
        self,
        files: Sequence[FileReference],
        *,
        from_domains: Sequence[str] = (),
        permanently: bool = False,
        reason: str = "",
    ) -> None:
        """Send files to the trash, out of all local file domains or out of those named.

        ``from_domains`` are names or keys; a file that is in others too stays there.
        ``permanently`` deletes the files from the client's disk now, past the trash. That
        cannot be undone, and a file that the user has locked against it makes the whole
        request fail with HydrusFailed (409). ``reason`` goes into the deletion record.

        Needs Client API ≥ 15; for domains, reason or ``permanently`` 28, for several domains 41.
        """
        self._require(DELETE_FILES)
        if permanently and from_domains:
            raise RequestRejected("deleting permanently deletes from all domains: name none")
        self._require_domains(1 if permanently else len(from_domains))
        domains = [self._deletable(domain) for domain in from_domains]
        content = domain_content([self._storage()] if permanently else domains)
        if reason:
            self._require_api(_DOMAIN_AND_REASON_SINCE_API, "a reason for a deletion")
            content["reason"] = reason
        await self._tell_of(DELETE_FILES, files, content)

    async def undelete_files(
        self, files: Sequence[FileReference], *, to_domains: Sequence[str] = ()
    ) -> None:
        """Bring files back from the trash, to where they were or to the domains named.

        Files that the client has no more are passed over in silence. Needs Client API ≥ 15;
        for domains 28, for several 41.
        """
        self._require(UNDELETE_FILES)
        self._require_domains(len(to_domains))
        domains = [self._service(domain, LOCAL_DOMAINS) for domain in to_domains]
        await self._tell_of(UNDELETE_FILES, files, domain_content(domains))

    async def clear_file_deletion_record(self, files: Sequence[FileReference]) -> None:
        """Forget that files were deleted for good, so that they can be imported again.

        The client does it a moment after it has answered. Needs Client API ≥ 63.
        """
        self._require(CLEAR_FILE_DELETION_RECORD)
        await self._tell_of(CLEAR_FILE_DELETION_RECORD, files, {})

    async def migrate_files(
        self, files: Sequence[FileReference], to_domains: Sequence[str]
    ) -> None:
        """Put files into more local file domains, by name or key; they stay where they are.

        To return means that the client has begun, not that it has done: look the files up
        (``file_metadata``, its ``current``) before deleting them from anywhere. All of them
        must be in some local file domain, or the request is rejected.

        Needs Client API ≥ 68.
        """
        self._require(MIGRATE_FILES)
        if not to_domains:
            raise RequestRejected("no file domain was named to put the files into")
        domains = [self._service(domain, LOCAL_DOMAINS) for domain in to_domains]
        await self._tell_of(MIGRATE_FILES, files, domain_content(domains))

    async def archive_files(self, files: Sequence[FileReference]) -> None:
        """Take files out of the inbox. Needs Client API ≥ 15."""
        self._require(ARCHIVE_FILES)
        await self._tell_of(ARCHIVE_FILES, files, {})

    async def unarchive_files(self, files: Sequence[FileReference]) -> None:
        """Put files back into the inbox. Needs Client API ≥ 15."""
        self._require(UNARCHIVE_FILES)
        await self._tell_of(UNARCHIVE_FILES, files, {})

    def _deletable(self, name_or_key: str) -> Service:
        service = self._service(name_or_key, FILES)
        if service.type == ServiceType.LOCAL_FILE_STORAGE:
            raise RequestRejected(
                f"deleting from {service.name!r} deletes for good: say permanently=True for that"
            )
        if service.type not in {
            ServiceType.LOCAL_FILE_DOMAIN,
            ServiceType.COMBINED_LOCAL_FILE_DOMAINS,
        }:
            # The client would say yes and do nothing.
            raise RequestRejected(f"files cannot be deleted from {service.name!r}")
        return service

    def _storage(self) -> Service:
        for service in self.services:
            if service.type == ServiceType.LOCAL_FILE_STORAGE:
                return service
        raise RequestRejected("the client does not say where its files are stored")

    def _require_domains(self, count: int) -> None:
        if count:
            self._require_api(_DOMAIN_AND_REASON_SINCE_API, "a file domain")
        if count > 1:
            self._require_api(SEVERAL_DOMAINS_SINCE_API, "several file domains")

    async def _add_bytes(
        self, path: Path, sha256: str | None, on_sent: Callable[[], None] | None
    ) -> AddFileResult:
        file, description = await to_thread.run_sync(_open, path)
        try:
            body = _FileBody(file, description, on_sent, sha256)
            answer = await self._post_file(body, "application/octet-stream", body.size)
        finally:
            file.close()
        return _result(answer)

    async def _post_file(self, body: Body, content_type: str, file_size: int) -> AddFileAnswer:
        return await self._ask(
            AddFileAnswer,
            ADD_FILE,
            body=body,
            content_type=content_type,
            extra_seconds=file_size / _BYTES_PER_EXTRA_SECOND,
        )

    async def _add_seen(
        self, path: Path, seen: str, sha256: str | None, on_sent: Callable[[], None] | None
    ) -> AddFileResult | None:
        """Import by path, or give None where bytes must do it."""
        transfer = self._transfer
        if transfer.trusted:
            return await self._try_path(path, seen, sha256, on_sent)
        async with transfer.trying:  # one file finds out for all
            if transfer.seen_by_client(path) is None:
                return None
            return await self._try_path(path, seen, sha256, on_sent)

    async def _try_path(
        self, path: Path, seen: str, sha256: str | None, on_sent: Callable[[], None] | None
    ) -> AddFileResult | None:
        transfer = self._transfer
        before = await to_thread.run_sync(_described, path)
        body = _TextBody(to_json({"path": seen}), on_sent)
        try:
            answer = await self._post_file(body, "application/json", before.st_size)
        except (RequestRejected, HydrusFailed) as error:
            if transfer.mode == "path":
                raise
            transfer.give_up(f"the client could not import {seen!r}: {error.message}")
            return None
        if answer.hash is None:
            if answer.status in _IMPORTED:
                raise HydrusFailed(f"the client imported {seen!r} and does not say what it was")
            # It found nothing that it could read, so nothing says that it saw our file.
            return None if transfer.mode == "auto" else _result(answer)
        found = answer.hash.lower()
        if sha256 is None or found != sha256.lower():
            ours, after = await to_thread.run_sync(_hashed, path)
            if found != ours:
                took = f"the client took what has the hash {found}"
                if _state(before) != _state(after):
                    raise FileChangedError(f"{path} was written to meanwhile; {took}")
                transfer.give_up(f"at {seen!r} {took}, which is not that of {path}")
                raise WrongFileError(
                    f"the client has another file at {seen!r} than ours at {path} and took that "
                    f"(status {answer.status.value}, hash {found}): look it up in the client, "
                    "and correct path_map, or set transfer to bytes"
                )
        transfer.trusted = True
        return _result(answer)


def domain_content(domains: Sequence[Service]) -> dict[str, object]:
    """Give the parameters that name file domains; one is named as all versions know it."""
    keys = list(dict.fromkeys(domain.reference for domain in domains))
    if len(keys) > 1:
        return {"file_service_keys": keys}
    return {"file_service_key": keys[0]} if keys else {}


def _result(answer: AddFileAnswer) -> AddFileResult:
    return AddFileResult(answer.status, answer.hash, _note(answer))


def _note(answer: AddFileAnswer) -> str:
    note = last_words(answer.note)
    if note != answer.note and answer.status is ImportStatus.FAILED and ": " in note:
        # It was a traceback; its last line begins with the name of a class.
        return note.partition(": ")[2]
    return note


def _open(path: Path) -> tuple[FileIO, os.stat_result]:
    return open_file(path, follow_link=True)


def _described(path: Path) -> os.stat_result:
    file, description = _open(path)
    file.close()
    return description


def _hashed(path: Path) -> tuple[str, os.stat_result]:
    file, description = _open(path)
    with file:
        return hashlib.file_digest(file, "sha256").hexdigest(), description


def _state(description: os.stat_result) -> tuple[int, int]:
    return description.st_size, description.st_mtime_ns


class _TextBody:
    """Bytes held in memory, which tell when they were handed over."""

    def __init__(self, content: bytes, on_sent: Callable[[], None] | None) -> None:
        self.size = len(content)
        self._content = content
        self._on_sent = on_sent

    async def __aiter__(self) -> AsyncIterator[bytes]:
        yield self._content
        if self._on_sent is not None:
            self._on_sent()


class _FileBody:
    """The bytes of an open file, from the first one each time it is iterated.

    Where their hash is given, the last of them are kept back if they make another one: times
    and sizes can be set by anyone, and what is imported cannot be taken back.
    """

    def __init__(
        self,
        file: FileIO,
        description: os.stat_result,
        on_sent: Callable[[], None] | None,
        sha256: str | None = None,
    ) -> None:
        self.size = description.st_size
        self._file = file
        self._state = _state(description)
        self._on_sent = on_sent
        self._wanted = sha256.lower() if sha256 is not None else None
        self._digest = hashlib.sha256()
        self._position = 0

    def __aiter__(self) -> AsyncIterator[bytes]:
        self._digest = hashlib.sha256()
        self._position = 0
        return self

    async def __anext__(self) -> bytes:
        # Asked for more, the network has taken what it got before.
        if self._position == self.size and (self._position or not self.size):
            if self._on_sent is not None:
                self._on_sent()
            raise StopAsyncIteration
        piece = await to_thread.run_sync(self._read)
        self._position += len(piece)
        return piece

    def _read(self) -> bytes:
        self._file.seek(self._position)
        piece = self._file.read(min(_PIECE_BYTES, self.size - self._position))
        if not piece or _state(os.fstat(self._file.fileno())) != self._state:
            raise FileChangedError(f"{self._file.name} was written to while it was being sent")
        if self._wanted is not None:
            self._digest.update(piece)
            at_end = self._position + len(piece) == self.size
            if at_end and self._digest.hexdigest() != self._wanted:
                raise FileChangedError(f"{self._file.name} is no longer what was hashed")
        return piece
