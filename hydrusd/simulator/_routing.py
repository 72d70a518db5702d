"""What a route is, and what it is given. Areas of the API add theirs in ``routes/``."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass
from typing import Any

from hydrusd.simulator._answers import Answer, json_answer
from hydrusd.simulator._arguments import Arguments
from hydrusd.simulator._client import Client
from hydrusd.simulator._config import Permissions
from hydrusd.simulator._domains import Test, domain_test
from hydrusd.simulator._eras import FOR_EVER, Era
from hydrusd.simulator._errors import Refusal, bad_request
from hydrusd.simulator._services import (
    ALL_KNOWN_TAGS_KEY,
    ALL_LOCAL_MEDIA_KEY,
    FILE_TYPES,
    REAL_TAG_TYPES,
)
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

    def hashes(self, *, by_id: bool | None = None, optional: bool = False) -> list[str]:
        """Give the files a request is about, each once, in the order given.

        ``by_id``: whether ids count too; by default as the era has it for POSTs. None at all is
        refused unless ``optional``.
        """
        by_id = self.era.has("files_by_id") if by_id is None else by_id
        hashes = self.arguments.union("hash", "hashes")
        for sha256 in hashes:
            if len(sha256) != 64:
                raise wrong_length(sha256, "sha256")
        if by_id:
            found = (self.client.store.hash_of(file_id) for file_id in self.given_ids())
            hashes += [sha256 for sha256 in found if sha256]
        if not hashes and not optional:
            raise bad_request(self.era.words["no_files"])
        return list(dict.fromkeys(hashes))

    def file_domains(self, prefix: str = "") -> set[str]:
        """Give the file services named by ``file_service_key(s)``; empty if none were."""
        names = (f"{prefix}file_service_key", f"{prefix}file_service_keys")
        keys = set(self.arguments.union(*names))
        if not prefix and "file_service_name" in self.arguments:
            keys.add(self.service_key_of_name(self.arguments.text("file_service_name")))
        for key in keys:
            kind = self.client.services.kind(key)
            if kind is None:
                raise bad_request(f'Could not find the file service "{key}"!')
            if kind not in FILE_TYPES:
                raise bad_request(f'Sorry, the service key "{key}" did not give a file service!')
        return keys

    def tag_domain(self, name: str = "tag_service_key") -> frozenset[str]:
        """Give the keys of the tag services that a request searches, all of them by default."""
        services = self.client.services
        key = ALL_KNOWN_TAGS_KEY
        if name in self.arguments:
            key = self.arguments.text(name)
        elif "tag_service_name" in self.arguments:
            key = self.service_key_of_name(self.arguments.text("tag_service_name"))
        if key == ALL_KNOWN_TAGS_KEY:
            return frozenset(service.key for service in services.tag_services)
        self.check_tag_service(key)
        return frozenset({key})

    def check_tag_service(self, key: str) -> None:
        """Refuse a key that is not one of a service that holds tags."""
        kind = self.client.services.kind(key)
        if kind is not None and kind not in REAL_TAG_TYPES and self.era.has("service_types"):
            raise bad_request(f'Sorry, the service key "{key}" did not give a tag service!')
        if kind not in REAL_TAG_TYPES:
            raise bad_request(self.era.words["service_key_missing"].format(key=key))

    def service_key_of_name(self, name: str) -> str:
        """Give the key behind a service's name, or refuse as the era does."""
        service = self.client.services.named(name)
        if service is None:
            status = 404 if self.era.has("service_types") else 400
            raise Refusal(status, self.era.words["service_name_missing"].format(name=name))
        return service.key


def searched_domains(call: Call) -> list[Test]:
    """Give tests, one a file domain that a request searches; a file is found if one passes."""
    kind = call.client.services.kind
    current: set[str] = set()
    deleted: set[str] = set()
    if call.era.has("search_domains"):
        current, deleted = call.file_domains(), call.file_domains("deleted_")
    if not current and not deleted:
        current = {ALL_LOCAL_MEDIA_KEY}
    return [
        *(domain_test(key, kind(key)) for key in current),
        *(domain_test(key, kind(key), deleted=True) for key in deleted),
    ]


HASH_BYTES = {"sha256": 32, "md5": 16, "sha1": 20, "sha512": 64}


def wrong_length(hash_: str, kind: str) -> Refusal:
    """Give the 400 of a hash that is too short or too long for its kind."""
    return bad_request(
        f"Sorry, one of the given hashes was the wrong length! {kind} hashes should be "
        f"{HASH_BYTES[kind]} bytes long, but {hash_} is {len(hash_) // 2} bytes long!"
    )


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
