"""Reading what callers send, with the odd ways of the real client's parser.

GET values are percent-decoded twice, names the client does not know are dropped
without a word, and each known name has one fixed kind. POST bodies are JSON
members and never mix with the query.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterable
from typing import Any
from urllib.parse import unquote, unquote_plus

from hydrusd.simulator._errors import Refusal, Unforeseen, bad_request, missing_parameter

ACCESS_KEY = "Hydrus-Client-API-Access-Key"
SESSION_KEY = "Hydrus-Client-API-Session-Key"

INTEGERS = frozenset({
    "file_id", "file_sort_type", "duplicate_pair_sort_type", "potentials_search_type",
    "pixel_duplicates", "max_hamming_distance", "max_num_pairs", "width", "height",
    "render_format", "render_quality",
})  # fmt: skip
HEXES = frozenset({
    "hash", "page_key", "page_of_pages_key", "destination_page_key", "service_key",
    "file_service_key", "deleted_file_service_key", "tag_service_key", "tag_service_key_1",
    "tag_service_key_2", "rating_service_key", "job_status_key", ACCESS_KEY, SESSION_KEY,
})  # fmt: skip
TEXTS = frozenset({
    "name", "url", "domain", "search", "service_name", "reason", "tag_display_type",
    "source_hash_type", "desired_hash_type", "file_service_name", "tag_service_name",
})  # fmt: skip
JSONS = frozenset({
    "basic_permissions", "permits_everything", "tags", "tags_1", "tags_2", "file_ids", "download",
    "only_return_identifiers", "only_return_basic_information", "include_blurhash",
    "create_new_file_ids", "detailed_url_information", "duplicate_pair_sort_asc",
    "hide_service_keys_tags", "simple", "file_sort_asc", "group_mode", "return_hashes",
    "return_file_ids", "include_thumbnail_filetype", "include_notes", "include_milliseconds",
    "include_services_object", "doublecheck_file_system", "only_in_view", "include_current_tags",
    "include_pending_tags", "system_inbox", "system_archive",
})  # fmt: skip
HEX_LISTS = frozenset({"hashes", "file_service_keys", "deleted_file_service_keys"})

_HEX = re.compile(r"(?:[0-9a-fA-F]{2})+\Z")
_TYPE_NAMES = {
    str: "string",
    int: "integer",
    bool: "boolean",
    list: "list",
    dict: "object/dict",
    float: "float",
}


def is_hex(text: object) -> bool:
    """Say whether something is text of whole hex bytes."""
    return isinstance(text, str) and _HEX.match(text) is not None


def parse_query(query: bytes) -> dict[str, Any]:
    """Give the arguments of a GET."""
    arguments: dict[str, Any] = {}
    for pair in query.decode("latin-1").split("&"):
        raw_name, equals, raw_value = pair.partition("=")
        name = unquote_plus(raw_name)
        if not equals or name in arguments:
            continue  # a name given twice counts once, the first time
        value = unquote(unquote_plus(raw_value))
        if name in INTEGERS:
            arguments[name] = _integer(name, value)
        elif name in HEXES:
            arguments[name] = _hex(name, value)
        elif name in TEXTS:
            arguments[name] = value
        elif name in JSONS:
            arguments[name] = _json(name, value)
        elif name in HEX_LISTS:
            arguments[name] = _hex_list(name, _json(name, value))
    return arguments


def parse_json_body(body: bytes) -> dict[str, Any]:
    """Give the arguments of a POST whose content type is JSON."""
    try:
        text = body.decode("utf-8")
    except UnicodeDecodeError as error:
        raise Unforeseen("UnicodeDecodeError", f"builtins.UnicodeDecodeError: {error}") from error
    try:
        members = json.loads(text)
    except ValueError as error:
        raise bad_request("Could not parse the JSON body!") from error
    if not isinstance(members, dict):
        raise bad_request("The given JSON body was not an object!")
    for name in HEXES & members.keys():
        if members[name] is not None:
            members[name] = _hex(name, members[name])
    for name in HEX_LISTS & members.keys():
        if members[name] is not None:
            members[name] = _hex_list(name, members[name])
    return members


def _integer(name: str, value: str) -> int:
    try:
        return int(value)
    except ValueError as error:
        raise bad_request(
            f"I was expecting to parse '{name}' as an integer, but it failed."
        ) from error


def _json(name: str, value: str) -> Any:
    try:
        return json.loads(value)
    except ValueError as error:
        raise bad_request(
            f"I was expecting to parse '{name}' as a json-encoded string, but it failed."
        ) from error


def _hex(name: str, value: object) -> str:
    if isinstance(value, str):
        text = value.removeprefix("sha256:") if name in {"hash", "hashes"} else value
        if is_hex(text):
            return text.lower()
    raise bad_request(f"I was expecting to parse '{name}' as a hex string, but it failed.")


def _hex_list(name: str, values: object) -> list[str]:
    if not isinstance(values, list):
        raise wrong_type(name, values, list)
    return [_hex(name, value) for value in values]


def wrong_type(name: str, value: object, expected: type) -> Refusal:
    """Give the 400 of a parameter whose value has the wrong type."""
    return bad_request(
        f'The parameter "{name}", with value "{value}", was not the expected type: '
        f"{_TYPE_NAMES[expected]}!"
    )


class Arguments:
    """The arguments of one request, by name and with their types checked on the way out."""

    def __init__(self, values: dict[str, Any], *, null_is_absent: bool = True) -> None:
        self._sent = frozenset(values)
        if null_is_absent:
            values = {name: value for name, value in values.items() if value is not None}
        self._values = values

    def __contains__(self, name: str) -> bool:
        return name in self._values

    def sent(self, name: str) -> bool:
        """Say whether a name was sent at all, be it with null."""
        return name in self._sent

    def value(self, name: str) -> Any:
        """Give a value of whatever type; None for null and for what was not sent."""
        return self._values.get(name)

    def fraction(self, name: str, default: float | None = None) -> float:
        """Give a number, whole or not."""
        value = self._values.get(name)
        return value if isinstance(value, int) else float(self._typed(name, float, default))

    def text(self, name: str, default: str | None = None) -> str:
        """Give a text; without a default it is required."""
        return str(self._typed(name, str, default))

    def number(self, name: str, default: int | None = None) -> int:
        """Give a whole number; true and false pass as one, as in the real client."""
        return int(self._typed(name, int, default))

    def flag(self, name: str, *, default: bool) -> bool:
        """Give true or false."""
        return bool(self._typed(name, bool, default))

    def items(self, name: str, default: list[Any] | None = None) -> list[Any]:
        """Give a list."""
        return list(self._typed(name, list, default))

    def members(self, name: str) -> dict[str, Any]:
        """Give an object."""
        return dict(self._typed(name, dict, None))

    def union(self, *names: str) -> list[str]:
        """Give all hex values given under any of the names, single ones and lists, each once."""
        given: list[str] = []
        for name in names:
            if name in self._values:
                given += self.items(name) if name in HEX_LISTS else [self.text(name)]
        return list(dict.fromkeys(given))

    def _typed(self, name: str, expected: type, default: object) -> Any:
        if name not in self._values:
            if default is None:
                raise missing_parameter(name)
            return default
        value = self._values[name]
        if not isinstance(value, expected):
            raise wrong_type(name, value, expected)
        return value


def texts_of(name: str, values: Iterable[object]) -> list[str]:
    """Give values that must all be text."""
    checked = []
    for value in values:
        if not isinstance(value, str):
            raise wrong_item(f'The list parameter "{name}" held an item', value, str)
        checked.append(value)
    return checked


def wrong_item(where: str, item: object, expected: type) -> Refusal:
    """Give the 400 of a value of the wrong type inside a list or an object."""
    return bad_request(
        f'{where}, "{item}" that was {type(item)} and not the expected type: '
        f"{_TYPE_NAMES[expected]}!"
    )
