"""What a route is, and what it is given. Areas of the API add theirs in ``routes/``."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass
from typing import Any

from hydrusd.simulator._answers import Answer, json_answer
from hydrusd.simulator._arguments import Arguments
from hydrusd.simulator._client import Client
from hydrusd.simulator._config import Permissions
from hydrusd.simulator._eras import FOR_EVER, Era
from hydrusd.simulator._errors import Refusal, bad_request
from hydrusd.simulator._services import FILE_TYPES
from hydrusd.simulator._uploads import Upload

ANY_KEY: frozenset[int] = frozenset()


@dataclass(frozen=True, slots=True, kw_only=True)
class Call:
    """One request, checked as far as the transport can check it.

    ``upload`` is the body of a POST that is no JSON. ``access_key`` is empty on the
    routes that need none.
    """

    client: Client
    arguments: Arguments
    upload: Upload | None
    access_key: str
    permissions: Permissions
    range_header: str

    @property
    def era(self) -> Era:
        """The client's era."""
        return self.client.era

    def json(self, body: Mapping[str, Any]) -> Answer:
        """Give a JSON answer."""
        return json_answer(self.era, body)

    def given_ids(self) -> list[int]:
        """Give the file ids that were sent, checked."""
        arguments = self.arguments
        ids = [arguments.number("file_id")] if "file_id" in arguments else []
        ids += arguments.items("file_ids", []) if "file_ids" in arguments else []
        for file_id in ids:
            if not isinstance(file_id, int) or not 0 <= file_id <= 1024**5:
                raise bad_request(f'The file_id "{file_id}" is not possible!')
        novel = [file_id for file_id in ids if self.client.store.hash_of(file_id) is None]
        if novel:
            raise Refusal(
                404,
                "It seems you gave a file_id that does not exist! "
                f"Was asked about these novel hash_ids: {novel}",
            )
        return ids

    def hashes(self, *, by_id: bool | None = None) -> list[str]:
        """Give the files a request is about, each once, in the order given.

        ``by_id``: whether ids count too; by default as the era has it for POSTs.
        """
        by_id = self.era.has("files_by_id") if by_id is None else by_id
        hashes = self.arguments.union("hash", "hashes")
        for sha256 in hashes:
            if len(sha256) != 64:
                raise bad_request(f'The hash "{sha256}" was not 32 bytes long!')
        if by_id:
            found = (self.client.store.hash_of(file_id) for file_id in self.given_ids())
            hashes += [sha256 for sha256 in found if sha256]
        if not hashes:
            raise bad_request(self.era.words["no_files"])
        return list(dict.fromkeys(hashes))

    def file_domains(self, prefix: str = "") -> set[str]:
        """Give the file services named by ``file_service_key(s)``; empty if none were."""
        names = (f"{prefix}file_service_key", f"{prefix}file_service_keys")
        keys = set(self.arguments.union(*names))
        if not prefix and "file_service_name" in self.arguments:
            keys.add(self.service_key_of_name(self.arguments.text("file_service_name")))
        for key in keys:
            if self.client.services.kind(key) not in FILE_TYPES:
                raise bad_request(f'Could not find the file service "{key}"!')
        return keys

    def service_key_of_name(self, name: str) -> str:
        """Give the key behind a service's name, or refuse as the era does."""
        service = self.client.services.named(name)
        if service is None:
            status = 404 if self.era.has("service_types") else 400
            raise Refusal(status, self.era.words["service_name_missing"].format(name=name))
        return service.key


Handler = Callable[[Call], Awaitable[Answer]]


@dataclass(frozen=True, slots=True, kw_only=True)
class Route:
    """A route: who may use it (None: anybody, ``ANY_KEY``, or one of these permissions) and when.

    ``since`` and ``until`` are API versions: the first with it, the first without it.
    ``while_locked``: it works although the database is locked.
    """

    method: str
    path: str
    permissions: frozenset[int] | None
    handler: Handler
    since: int = 1
    until: int = FOR_EVER
    while_locked: bool = False
