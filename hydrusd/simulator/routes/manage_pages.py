"""The pages of the client's window."""

from __future__ import annotations

from typing import Any

from hydrusd.simulator._answers import EMPTY, Answer
from hydrusd.simulator._arguments import texts_of
from hydrusd.simulator._errors import Refusal, Unforeseen, bad_request
from hydrusd.simulator._matching import matching
from hydrusd.simulator._pages import (
    DUPLICATES_PAGE,
    GALLERY_PAGE,
    IMPORT_PAGE,
    PAGE_OF_PAGES,
    PETITIONS_PAGE,
    SEARCH_PAGE,
    SIMPLE_DOWNLOADER_PAGE,
    URL_PAGE,
    WATCHER_PAGE,
    Page,
    Watcher,
)
from hydrusd.simulator._routing import Call, Route
from hydrusd.simulator._search import check_sort, sort_hits
from hydrusd.simulator._services import (
    ALL_KNOWN_TAGS_KEY,
    ALL_LOCAL_MEDIA_KEY,
    FILE_REPOSITORY,
    REAL_TAG_TYPES,
    TAG_REPOSITORY,
)
from hydrusd.simulator._urls import GALLERY_URL, capability, normalise

MANAGE_PAGES = frozenset({4})

_BY_IMPORT_TIME = 2
_NAMES = {
    GALLERY_PAGE: "gallery",
    SEARCH_PAGE: "files",
    URL_PAGE: "url import",
    DUPLICATES_PAGE: "duplicates",
    WATCHER_PAGE: "watcher",
    PAGE_OF_PAGES: "pages",
}
# These are called so whatever name was asked for.
_FIXED_NAMES = {SIMPLE_DOWNLOADER_PAGE: "simple downloader", IMPORT_PAGE: "import"}


async def _get_pages(call: Call) -> Answer:
    with call.client.store.lock:
        return call.json({"pages": call.client.pages.tree()})


async def _get_page_info(call: Call) -> Answer:
    pages, key = call.client.pages, call.arguments.text("page_key")
    simple = call.arguments.flag("simple", default=True)
    with call.client.store.lock:
        page = pages.find(key)
        if page is None:
            raise Refusal(404, f'Did not find a page for "{key}"!')
        return call.json({"page_info": pages.details(page, simple=simple)})


async def _focus_page(call: Call) -> Answer:
    pages, key = call.client.pages, call.arguments.text("page_key")
    with call.client.store.lock:
        pages.focus(pages.require(key))
    return EMPTY


async def _refresh_page(call: Call) -> Answer:
    pages, key = call.client.pages, call.arguments.text("page_key")
    with call.client.store.lock:
        page = pages.require(key)
        if page.holds_pages:
            what = "'PagesNotebook' object has no attribute 'RefreshQuery'"
            raise Unforeseen("AttributeError", f"builtins.AttributeError: {what}")
        if page.type == SEARCH_PAGE:
            _search(call, page)
            pages.changed()
    return EMPTY


async def _add_files(call: Call) -> Answer:
    pages, store = call.client.pages, call.client.store
    if "page_key" not in call.arguments:
        raise bad_request("You need a page key for this request!")
    key = call.arguments.text("page_key")
    hashes = call.hashes()
    with store.lock:
        page = pages.require(key)
        if page.holds_pages:
            raise bad_request("That page key was not for a normal media page!")
        _show(call, page, hashes)
        pages.changed()
    return EMPTY


async def _get_media_viewers(call: Call) -> Answer:
    return call.json({"media_viewers": []})


async def _new_page(call: Call) -> Answer:
    client, arguments = call.client, call.arguments
    kind = arguments.number("page_type")
    name = arguments.text("page_name", "")
    parent_key = arguments.text("page_of_pages_key", "")
    focused = arguments.flag("focus_page", default=True)
    page = Page(name=_FIXED_NAMES.get(kind) or name or _NAMES.get(kind, ""), type=kind)
    page.search = _wanted_search(call)
    hashes = call.hashes(optional=True)
    if arguments.flag("system_hash_locked", default=False) and not hashes:
        raise bad_request("system_hash_locked requires hashes to be provided!")
    _fill(call, page)
    with client.store.lock:
        parent = client.pages.root
        if parent_key:
            found = client.pages.find(parent_key)
            if found is None or not found.holds_pages:
                raise Refusal(404, "Could not find a page of pages with that key!")
            parent = found
        if kind == SEARCH_PAGE:
            _search(call, page)
            _show(call, page, hashes)
        client.pages.add(page, parent)
        if focused:
            client.pages.focus(page)
        client.downloads.look_at(page)
    return call.json({"page_key": page.key, "page_type": kind, "page_name": page.name})


def _wanted_search(call: Call) -> dict[str, Any]:
    arguments = call.arguments
    by_namespaces = "file_sort_namespaces" in arguments
    sort_type = arguments.number("file_sort_type", _BY_IMPORT_TIME)
    if "file_sort_type" in arguments and by_namespaces:
        raise bad_request(
            "Provide either file_sort_type (system sort) or file_sort_namespaces "
            "(namespace sort), not both!"
        )
    check_sort(sort_type)
    tag_service = arguments.text("tag_service_key", ALL_KNOWN_TAGS_KEY)
    if (
        tag_service != ALL_KNOWN_TAGS_KEY
        and call.client.services.kind(tag_service) not in REAL_TAG_TYPES
    ):
        raise Refusal(400, call.era.words["service_key_missing"].format(key=tag_service))
    return {
        "texts": arguments.items("tags", []),
        "tag_service": tag_service,
        "domain": arguments.text("file_service_key", ALL_LOCAL_MEDIA_KEY),
        "sort_type": sort_type,
        "ascending": arguments.flag("file_sort_asc", default=True),
    }


def _fill(call: Call, page: Page) -> None:
    """Put into a new page what its kind takes, or refuse the kind."""
    arguments = call.arguments
    if page.type == URL_PAGE:
        for url in texts_of("urls", arguments.items("urls", [])):
            if len(url) > 1:
                form = normalise(call.era, url)
                is_gallery = capability(call.era, form).type == GALLERY_URL
                (page.add_gallery if is_gallery else page.add_item)(form, {})
    elif page.type == IMPORT_PAGE:
        for path in texts_of("paths", arguments.items("paths", [])):
            page.add_item(path, {})
        page.deletes_sources = arguments.flag("delete_after_success", default=False)
    elif page.type == WATCHER_PAGE and "url" in arguments:
        page.watchers.append(Watcher(normalise(call.era, arguments.text("url"))))
    elif page.type == PETITIONS_PAGE:
        if "service_key" not in arguments:
            raise bad_request("Petitions page requires a service_key!")
        service = call.client.services.by_key.get(arguments.text("service_key"))
        if service is None or service.type not in {TAG_REPOSITORY, FILE_REPOSITORY}:
            raise Unforeseen("AttributeError", "builtins.AttributeError: no such permission")
        page.name = f"{service.name} petitions"
    elif page.type not in _NAMES | _FIXED_NAMES:
        raise bad_request("Unrecognised or unsupported page type!")


def _search(call: Call, page: Page) -> None:
    """Show what a search page looks for; one that looks for nothing shows nothing."""
    wanted = page.search
    page.media.clear()
    if wanted.get("texts"):
        hits = matching(
            call.client, wanted["texts"], wanted["tag_service"], [wanted["domain"]]
        )  # fmt: skip
        hits = sort_hits(
            hits, wanted["sort_type"], ascending=wanted["ascending"], whole_seconds=False
        )
        page.show([sha256 for sha256, _ in hits])


def _show(call: Call, page: Page, hashes: list[str]) -> None:
    """Show files, also those that the client had never heard of."""
    store = call.client.store
    if novel := [sha256 for sha256 in hashes if sha256 not in store.entries]:
        with store.writing():
            for sha256 in novel:
                store.touch(sha256)
    page.show(hashes)


ROUTES = (
    Route(
        method="GET", path="/manage_pages/get_pages", permissions=MANAGE_PAGES, handler=_get_pages
    ),
    Route(
        method="GET",
        path="/manage_pages/get_page_info",
        permissions=MANAGE_PAGES,
        handler=_get_page_info,
        since=11,
    ),
    Route(
        method="POST",
        path="/manage_pages/focus_page",
        permissions=MANAGE_PAGES,
        handler=_focus_page,
        since=9,
    ),
    Route(
        method="POST",
        path="/manage_pages/refresh_page",
        permissions=MANAGE_PAGES,
        handler=_refresh_page,
        since=39,
    ),
    Route(
        method="POST",
        path="/manage_pages/add_files",
        permissions=MANAGE_PAGES,
        handler=_add_files,
        since=18,
    ),
    Route(
        method="GET",
        path="/manage_pages/get_media_viewers",
        permissions=MANAGE_PAGES,
        handler=_get_media_viewers,
        since=84,
    ),
    Route(
        method="POST",
        path="/manage_pages/new_page",
        permissions=MANAGE_PAGES,
        handler=_new_page,
        since=93,
    ),
)
