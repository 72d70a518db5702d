"""The simulated client of a test: what it holds before, and what it holds afterwards.

Spoken to as a user's other programs would, over HTTP and past hydrusd's own client, whose
mistakes would otherwise be made twice.
"""

from __future__ import annotations

import json
import urllib.parse
from collections.abc import Iterable, Mapping
from contextlib import ExitStack
from dataclasses import dataclass
from typing import Any

from hydrusd.rehearsal._requests import request
from hydrusd.rules import Library
from hydrusd.simulator import DEFAULT_ACCESS_KEY, Service, Simulator, SimulatorConfig

KINDS = {
    "local tags": 5,
    "tag repository": 0,
    "local files": 2,
    "like rating": 7,
    "numerical rating": 6,
    "counting rating": 22,
}
"""Hydrus' numbers of the kinds of services."""
MY_TAGS = "my tags"
_ALL_KNOWN_TAGS = 10
_TAGS = frozenset({KINDS["local tags"], KINDS["tag repository"]})
_CURRENT_AND_PENDING = ("0", "1")


@dataclass(frozen=True, slots=True)
class Held:
    """What the client knows of a file. ``tags`` are by the names of services."""

    tags: Mapping[str, frozenset[str]]
    urls: frozenset[str]
    notes: Mapping[str, str]


class SimulatedLibrary:
    """A client that listens until closed. ``web`` is what it finds at URLs."""

    def __init__(self, library: Library, web: Mapping[str, bytes]) -> None:
        services = tuple(Service(name, KINDS[kind]) for name, kind in library.services.items())
        self._closing = ExitStack()
        config = SimulatorConfig(extra_services=services, web=web)
        self._simulator = self._closing.enter_context(Simulator(config))
        self.url = self._closing.enter_context(self._simulator.serve())
        self.access_key = DEFAULT_ACCESS_KEY
        self._services: dict[str, str] = {}

    def close(self) -> None:
        """Stop it."""
        self._closing.close()

    @property
    def is_busy(self) -> bool:
        """Whether it downloads something."""
        return self._simulator.is_busy

    def fill(self, library: Library, contents: Mapping[str, bytes]) -> dict[str, str]:
        """Put in what it is to hold; give the hashes by the names. Raises LookupError."""
        hashes = {}
        for name, had in library.has.items():
            hashes[name] = file_hash = self._add(contents[name])
            if had is None:
                continue
            tags = had.tags if isinstance(had.tags, dict) else {MY_TAGS: had.tags}
            for service, names in tags.items():
                if names:
                    key = self._service_key(service)
                    self._tell(
                        "/add_tags/add_tags",
                        hash=file_hash,
                        service_keys_to_tags={key: list(names)},
                    )
            for url in had.urls:
                self._tell("/add_urls/associate_url", hash=file_hash, url_to_add=url)
            if had.notes:
                self._tell("/add_notes/set_notes", hash=file_hash, notes=had.notes)
            if had.archived:
                self._tell("/add_files/archive_files", hash=file_hash)
        for name in library.deleted:
            hashes[name] = file_hash = self._add(contents[name])
            self._tell("/add_files/delete_files", hash=file_hash)
        self._simulator.commit()
        return hashes

    def held(self, hashes: Iterable[str]) -> dict[str, Held]:
        """Give what it knows of those of the files that it has, or had."""
        wanted = json.dumps(sorted(set(hashes)))
        query = urllib.parse.urlencode({"hashes": wanted, "include_notes": "true"})
        found = json.loads(self._request(f"/get_files/file_metadata?{query}"))
        return {each["hash"]: _held(each) for each in found["metadata"] if each.get("file_id")}

    def _service_key(self, name: str) -> str:
        if not self._services:
            services = json.loads(self._request("/get_services"))["services"]
            self._services = {
                about["name"]: key for key, about in services.items() if about["type"] in _TAGS
            }
        if name not in self._services:
            known = ", ".join(sorted(self._services))
            raise LookupError(
                f"the client has no tag service '{name}'; there are {known}; others are made by "
                f"`services`, as in client: {{services: {{{name}: local tags}}}}"
            )
        return self._services[name]

    def _add(self, content: bytes) -> str:
        answer = json.loads(self._request("/add_files/add_file", content))
        if answer["status"] not in {1, 2}:
            raise LookupError(f"the client does not take it: {answer.get('note', '')}")
        return str(answer["hash"])

    def _tell(self, path: str, **content: object) -> None:
        self._request(path, json.dumps(content).encode(), "application/json")

    def _request(
        self, path: str, body: bytes | None = None, kind: str = "application/octet-stream"
    ) -> bytes:
        return request(self.url, self.access_key, path, body, kind)


def _held(metadata: Mapping[str, Any]) -> Held:
    tags = {
        str(about["name"]): frozenset(
            tag
            for status in _CURRENT_AND_PENDING
            for tag in about.get("storage_tags", {}).get(status, ())
        )
        for about in metadata.get("tags", {}).values()
        if about.get("type") != _ALL_KNOWN_TAGS
    }
    return Held(
        {name: found for name, found in tags.items() if found},
        frozenset(metadata.get("known_urls", ())),
        dict(metadata.get("notes", {})),
    )
