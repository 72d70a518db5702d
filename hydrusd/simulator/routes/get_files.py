"""Searching files, and fetching what is known about them and the files themselves."""

from __future__ import annotations

import re

from hydrusd.simulator._answers import Answer
from hydrusd.simulator._entries import Entry
from hydrusd.simulator._errors import Refusal, bad_request
from hydrusd.simulator._routing import Call, Route
from hydrusd.simulator._rows import Rows, Wishes
from hydrusd.simulator._search import Parser, Test, domain_test, find, sort_hits
from hydrusd.simulator._services import (
    ALL_KNOWN_FILES_KEY,
    ALL_KNOWN_TAGS_KEY,
    ALL_LOCAL_MEDIA_KEY,
    REAL_TAG_TYPES,
)

FETCH_FILES = frozenset({3})

_RANGE = re.compile(r"bytes=(\d*)-(\d*)\Z")
_YEAR_SECONDS = 365 * 24 * 60 * 60


async def _search_files(call: Call) -> Answer:
    era, arguments, store = call.era, call.arguments, call.client.store
    texts = arguments.items("tags", [])
    flags: list[Test] = []
    if era.has("search_flags"):
        if arguments.flag("system_inbox", default=False):
            flags.append(lambda _, entry: entry.file is not None and entry.file.inbox)
        if arguments.flag("system_archive", default=False):
            flags.append(lambda _, entry: entry.file is not None and not entry.file.inbox)
    parser = Parser(
        era,
        _searched_tag_services(call),
        current=arguments.flag("include_current_tags", default=True),
        pending=arguments.flag("include_pending_tags", default=True),
    )
    query = parser.parse(texts)
    query.tests += flags
    domains = _searched_domains(call)
    sort_type, ascending = 2, era.has("oldest_first")
    if era.has("search_domains"):
        sort_type = arguments.number("file_sort_type", 2)
        ascending = arguments.flag("file_sort_asc", default=ascending)
    await call.client.turn()
    if not texts and era.has("empty_search_finds_nothing"):
        hits = []
    else:
        with store.lock:
            hits = find(store.entries, query, domains)
            hits = sort_hits(
                hits,
                sort_type,
                ascending=ascending,
                whole_seconds=not era.has("filetype_names"),
            )[: query.limit]
            if not era.has("search_domains"):
                hits.sort(key=lambda hit: -hit[1].file_id)
    return _hits_answer(call, hits)


def _hits_answer(call: Call, hits: list[tuple[str, Entry]]) -> Answer:
    arguments = call.arguments
    ids = [entry.file_id for _, entry in hits]
    if not call.era.has("return_hashes"):
        return call.json({"file_ids": ids})
    body: dict[str, object] = {}
    if arguments.flag("return_hashes", default=False):
        body["hashes"] = [sha256 for sha256, _ in hits]
    if arguments.flag("return_file_ids", default=True):
        body["file_ids"] = ids
    return call.json(body)


def _searched_tag_services(call: Call) -> frozenset[str]:
    services = call.client.services
    key = ALL_KNOWN_TAGS_KEY
    if "tag_service_key" in call.arguments:
        key = call.arguments.text("tag_service_key")
    elif "tag_service_name" in call.arguments:
        key = call.service_key_of_name(call.arguments.text("tag_service_name"))
    if key == ALL_KNOWN_TAGS_KEY:
        return frozenset(service.key for service in services.tag_services)
    if services.kind(key) not in REAL_TAG_TYPES:
        raise Refusal(400, call.era.words["service_key_missing"].format(key=key))
    return frozenset({key})


def _searched_domains(call: Call) -> list[Test]:
    kind = call.client.services.kind
    current: set[str] = set()
    deleted: set[str] = set()
    if call.era.has("search_domains"):
        current, deleted = call.file_domains(), call.file_domains("deleted_")
    if not current and not deleted:
        current = {ALL_LOCAL_MEDIA_KEY}
    named_tags = {"tag_service_key", "tag_service_name"}
    if ALL_KNOWN_FILES_KEY in current and not any(name in call.arguments for name in named_tags):
        raise bad_request("Sorry, all known tags over all known files cannot be searched!")
    return [
        *(domain_test(key, kind(key)) for key in current),
        *(domain_test(key, kind(key), deleted=True) for key in deleted),
    ]


async def _file_metadata(call: Call) -> Answer:
    era, arguments, store = call.era, call.arguments, call.client.store
    hashes = call.hashes(by_id=True)
    wishes = Wishes(
        identifiers_only=arguments.flag("only_return_identifiers", default=False),
        basic_only=era.has("basic_information")
        and arguments.flag("only_return_basic_information", default=False),
        blurhash=arguments.flag("include_blurhash", default=False),
        detailed_urls=arguments.flag("detailed_url_information", default=False),
        milliseconds=era.has("filetype_names")
        and arguments.flag("include_milliseconds", default=False),
        notes=arguments.flag("include_notes", default=False),
    )
    makes_ids = not era.has("create_new_file_ids") or arguments.flag(
        "create_new_file_ids", default=False
    )
    await call.client.turn()
    rows = Rows(call.client, wishes)
    with store.lock:
        novel = [sha256 for sha256 in hashes if sha256 not in store.entries] if makes_ids else []
        if novel:
            with store.writing():
                for sha256 in novel:
                    store.touch(sha256)
        metadata = [rows.row(sha256, store.entries.get(sha256)) for sha256 in hashes]
    if not era.has("rows_in_request_order"):
        metadata.sort(key=lambda row: (row["file_id"] is None, row["file_id"]))
    body: dict[str, object] = {"metadata": metadata}
    if arguments.flag("include_services_object", default=True):
        body |= call.client.services.objects()
    return call.json(body)


async def _file(call: Call) -> Answer:
    arguments, store = call.arguments, call.client.store
    if "file_id" in arguments:
        sha256 = store.hash_of(arguments.number("file_id")) or ""
    else:
        sha256 = arguments.text("hash")
    await call.client.turn()
    with store.lock:
        entry = store.entries.get(sha256)
        file = entry.file if entry else None
        content = store.content(sha256) if file and file.on_disk else None
    if file is None or content is None:
        raise Refusal(404, call.era.words["file_missing"], "FileMissingException")
    disposition = "attachment" if arguments.flag("download", default=False) else "inline"
    headers = {
        "Cache-Control": f"max-age={_YEAR_SECONDS}",
        "Content-Disposition": f'{disposition}; filename="{sha256}{file.ext}"',
    }
    answer = Answer(body=content, content_type=file.mime, headers=headers)
    return _part(answer, call.range_header) if call.era.has("range") else answer


def _part(answer: Answer, asked: str) -> Answer:
    headers = {**answer.headers, "Accept-Ranges": "bytes"}
    whole = Answer(body=answer.body, content_type=answer.content_type, headers=headers)
    if not asked:
        return whole
    match = _RANGE.match(asked)
    if not match or not any(match.groups()):
        raise Refusal(416, f'Could not serve the range "{asked}"!')
    size = answer.size
    if match[1]:
        start = int(match[1])
        end = min(int(match[2]), size - 1) if match[2] else size - 1
    else:
        start, end = max(0, size - int(match[2])), size - 1
    if not 0 <= start <= end:
        raise Refusal(416, f'Could not serve the range "{asked}"!')
    return Answer(
        status=206,
        body=answer.body,
        content_type=answer.content_type,
        headers={**headers, "Content-Range": f"bytes {start}-{end}/{size}"},
        start=start,
        length=end - start + 1,
    )


ROUTES = (
    Route(
        method="GET",
        path="/get_files/search_files",
        permissions=FETCH_FILES,
        handler=_search_files,
    ),
    Route(
        method="GET",
        path="/get_files/file_metadata",
        permissions=FETCH_FILES,
        handler=_file_metadata,
    ),
    Route(method="GET", path="/get_files/file", permissions=FETCH_FILES, handler=_file),
)
