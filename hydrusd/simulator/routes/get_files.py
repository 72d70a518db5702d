"""Searching files, and fetching what is known about them."""

from __future__ import annotations

from hydrusd.simulator._answers import Answer
from hydrusd.simulator._domains import Test
from hydrusd.simulator._entries import Entry
from hydrusd.simulator._errors import bad_request
from hydrusd.simulator._routing import Call, Route, searched_domains
from hydrusd.simulator._rows import Rows, Wishes
from hydrusd.simulator._search import Parser, check_sort, find, sort_hits
from hydrusd.simulator._services import ALL_KNOWN_FILES_KEY

FETCH_FILES = frozenset({3})


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
        call.client,
        call.tag_domain(),
        current=arguments.flag("include_current_tags", default=True),
        pending=arguments.flag("include_pending_tags", default=True),
    )
    query = parser.parse(texts)
    query.tests += flags
    domains = searched_domains(call)
    named_tags = {"tag_service_key", "tag_service_name"}
    if ALL_KNOWN_FILES_KEY in call.file_domains() and not any(
        name in arguments for name in named_tags
    ):
        raise bad_request("Sorry, search for all known tags over all known files is not supported!")
    sort_type, ascending = 2, era.has("oldest_first")
    if era.has("search_domains"):
        sort_type = arguments.number("file_sort_type", 2)
        ascending = arguments.flag("file_sort_asc", default=ascending)
    check_sort(sort_type)
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
)
