"""The tabs of a client's window: what they are called, what waits in them, what they show.

The tree is guarded by the store's lock, as everything else that a client holds. A
client saves its pages now and then and when it is closed, and opens them again
under new keys; a killed one opens what it saved last.
"""

from __future__ import annotations

import secrets
import time
from collections import Counter, deque
from collections.abc import Iterator
from dataclasses import asdict, dataclass, field
from typing import Any

from hydrusd.simulator._eras import Era
from hydrusd.simulator._errors import Refusal
from hydrusd.simulator._saving import Saving
from hydrusd.simulator._store import Store

GALLERY_PAGE = 1
SIMPLE_DOWNLOADER_PAGE = 2
IMPORT_PAGE = 3
PETITIONS_PAGE = 5
SEARCH_PAGE = 6
URL_PAGE = 7
DUPLICATES_PAGE = 8
WATCHER_PAGE = 9
PAGE_OF_PAGES = 10

QUEUED = 0
IMPORTED = 1
FAILED = 4
IGNORED = 7

_SESSION = "session"
_SESSION_SECONDS = 300
_STATUS_WORDS = ((7, "ignored"), (3, "previously deleted"), (4, "failed"), (8, "skipped"))

Shown = dict[str, Any]


def _now() -> int:
    return int(time.time())


def _new_key() -> str:
    return secrets.token_hex(32)


@dataclass(slots=True)
class Item:
    """One URL or path that a page imports. ``tags``: service key to tags for the file."""

    data: str
    tags: dict[str, list[str]] = field(default_factory=dict)
    created: int = field(default_factory=_now)
    modified: int = field(default_factory=_now)
    source_time: int | None = None
    status: int = QUEUED
    note: str = ""
    hash: str | None = None

    def end(self, status: int, note: str = "", sha256: str | None = None) -> None:
        """Say what came of it."""
        self.status, self.note, self.hash, self.modified = status, note, sha256, _now()


@dataclass(slots=True)
class Watcher:
    """A thread that a watcher page looks at again and again. Nobody does so here."""

    url: str
    key: str = field(default_factory=_new_key)
    created: int = field(default_factory=_now)


@dataclass(slots=True, kw_only=True)
class Page:
    """One tab. ``domains``: where its imports go; ``search``: what a search page looks for.

    ``items`` are kept by what they import, ``galleries`` (what is read for more of them) by
    their URLs, ``media`` is the hashes it shows; all in order. ``todo``: what nobody has
    begun with, of both.
    """

    name: str
    type: int
    key: str = field(default_factory=_new_key)
    media: dict[str, None] = field(default_factory=dict)
    items: dict[str, Item] = field(default_factory=dict)
    galleries: dict[str, Item] = field(default_factory=dict)
    watchers: list[Watcher] = field(default_factory=list)
    domains: list[str] = field(default_factory=list)
    search: Shown = field(default_factory=dict)
    deletes_sources: bool = False
    todo: deque[Item] = field(default_factory=deque, repr=False)
    pages: list[Page] = field(default_factory=list)
    selected: int = 0

    @property
    def holds_pages(self) -> bool:
        """Whether it is a page of pages."""
        return self.type == PAGE_OF_PAGES

    @property
    def current(self) -> Page | None:
        """The selected one of its pages."""
        return self.pages[self.selected] if self.pages else None

    def add_item(self, data: str, tags: dict[str, list[str]]) -> None:
        """Queue something; what failed before is tried again, what was ignored is not."""
        item = self.items.get(data)
        if item is None:
            item = self.items[data] = Item(data)
            self.todo.append(item)
        for key, of_service in tags.items():
            item.tags[key] = sorted({*item.tags.get(key, []), *of_service})
        if item.status == FAILED:
            item.end(QUEUED)
            self.todo.append(item)

    def add_gallery(self, url: str, tags: dict[str, list[str]]) -> None:
        """Queue a gallery, to be read once; one that is there is never read again."""
        if url not in self.galleries:
            self.galleries[url] = Item(url, tags)
            self.todo.append(self.galleries[url])

    def show(self, hashes: list[str]) -> None:
        """Show more files."""
        self.media.update(dict.fromkeys(hashes))

    def to_json(self) -> Shown:
        """Give what a session keeps: all but the key, and what follows from the items."""
        parts = {name: getattr(self, name) for name in self.__slots__}
        kept = {name: part for name, part in parts.items() if name not in {"key", "todo"}}
        return kept | {
            "pages": [page.to_json() for page in self.pages],
            "media": list(self.media),
            "items": [asdict(item) for item in self.items.values()],
            "galleries": [asdict(item) for item in self.galleries.values()],
            "watchers": [{"url": w.url, "created": w.created} for w in self.watchers],
        }

    @classmethod
    def from_json(cls, kept: Shown) -> Page:
        """Give back what ``to_json`` made, under a new key."""
        items = [Item(**item) for item in kept["items"]]
        galleries = [Item(**item) for item in kept.get("galleries", ())]
        return cls(
            **kept
            | {
                "pages": [cls.from_json(page) for page in kept["pages"]],
                "media": dict.fromkeys(kept["media"]),
                "items": {item.data: item for item in items},
                "galleries": {item.data: item for item in galleries},
                "todo": deque(i for i in [*galleries, *items] if i.status == QUEUED),
                "watchers": [Watcher(w["url"], created=w["created"]) for w in kept["watchers"]],
            }
        )


class Pages:
    """All pages of one client. Hold ``store.lock`` while working with one."""

    def __init__(self, era: Era, store: Store, saving: Saving) -> None:
        self._era = era
        self._store = store
        self._saving = saving
        self.root = _blank()
        saving.keep(_SESSION, _SESSION_SECONDS, self._dump)

    def boot(self) -> None:
        """Open what was saved last, under new keys."""
        kept = self._store.document(_SESSION)
        self.root = Page.from_json(kept) if kept else _blank()

    def _dump(self) -> Shown:
        return self.root.to_json()

    def changed(self) -> None:
        """Have the pages saved soon."""
        self._saving.changed(_SESSION)

    def find(self, key: str) -> Page | None:
        """Give the page with a key."""
        return next((page for page in _walk(self.root) if page.key == key), None)

    def require(self, key: str) -> Page:
        """Give the page with a key, or refuse."""
        if page := self.find(key):
            return page
        raise Refusal(404, "Could not find that page!")

    def media_pages(self) -> Iterator[Page]:
        """Give all that are no pages of pages, in their order."""
        return (page for page in _walk(self.root) if not page.holds_pages)

    def add(self, page: Page, parent: Page | None = None) -> None:
        """Put a new page at the right end of ``parent``, or of the notebook in front."""
        if parent is None:
            parent = self.root
            while (inner := parent.current) and inner.holds_pages:
                parent = inner
        parent.pages.append(page)
        self.changed()

    def focus(self, page: Page) -> None:
        """Bring a page to the front."""

        def select_in(notebook: Page) -> bool:
            for place, inner in enumerate(notebook.pages):
                if inner is page or select_in(inner):
                    notebook.selected = place
                    return True
            return False

        select_in(self.root)
        self.changed()

    def current_media_page(self) -> Page | None:
        """Give the page in front, if it is no empty page of pages."""
        page: Page | None = self.root
        while page and page.holds_pages:
            page = page.current
        return page

    def importer(
        self, kind: int, default_name: str, *, key: str, name: str | None, domains: list[str]
    ) -> Page:
        """Give the page of a kind that new URLs go to; made if none fits.

        A key counts if it is one of these pages', else the name does; with ``domains`` the page
        must have exactly those. The page in front goes first.
        """
        fitting = [page for page in self.media_pages() if page.type == kind]
        if any(page.key == key for page in fitting):
            fitting = [page for page in fitting if page.key == key]
        elif name is not None:
            fitting = [page for page in fitting if page.name == name]
        if domains:
            fitting = [page for page in fitting if page.domains == domains]
        if not fitting:
            page = Page(name=default_name if name is None else name, type=kind, domains=domains)
            self.add(page)
            return page
        current = self.current_media_page()
        return current if current and any(p is current for p in fitting) else fitting[0]

    def tree(self) -> Shown:
        """Give the whole tree as ``get_pages`` shows it."""
        return self._node(self.root, selected=True)

    def details(self, page: Page, *, simple: bool) -> Shown:
        """Give one page as ``get_page_info`` shows it."""
        body = self._head(page)
        if page.holds_pages:
            return body
        return body | {
            "management": self._management(page, simple=simple),
            "media": self._media(page, simple=simple),
        }

    def _head(self, page: Page) -> Shown:
        head: Shown = {"name": page.name, "page_key": page.key, "page_type": page.type}
        if self._era.has("page_states"):
            head["page_state"] = 0
        if self._era.has("is_media_page"):
            head["is_media_page"] = not page.holds_pages
        return head

    def _node(self, page: Page, *, selected: bool) -> Shown:
        head = self._head(page)
        if page.holds_pages or self._era.has("selected_everywhere"):
            head["selected"] = selected
        else:
            head["focused"] = selected
        if page.holds_pages:
            # Old clients called all pages of the notebook in front the focused ones.
            loose = not self._era.has("one_focused_page")
            head["pages"] = [
                self._node(inner, selected=selected and (loose or inner is page.current))
                for inner in page.pages
            ]
        return head

    def _management(self, page: Page, *, simple: bool) -> Shown:
        imports = self._imports(page, simple=simple)
        if page.type == URL_PAGE:
            log = _log(page, simple=simple)
            return {"urls_import": {"imports": imports, "gallery_log": log, "files_paused": False}}
        if page.type == IMPORT_PAGE:
            return {"hdd_import": {"imports": imports, "files_paused": False}}
        if page.type == SIMPLE_DOWNLOADER_PAGE:
            return {
                "simple_downloader_import": {
                    "imports": imports,
                    "gallery_log": _log(page, simple=simple),
                    "files_paused": False,
                    "gallery_paused": False,
                }
            }
        if page.type == GALLERY_PAGE:
            return {"multiple_gallery_import": {"gallery_imports": [], "highlight": None}}
        if page.type == WATCHER_PAGE:
            watchers = [_watcher(w, imports, _log(page, simple=simple)) for w in page.watchers]
            return {"multiple_watcher_import": {"watcher_imports": watchers, "highlight": None}}
        return {}

    def _imports(self, page: Page, *, simple: bool) -> Shown:
        counts = Counter(item.status for item in page.items.values())
        total, done = len(page.items), len(page.items) - counts[QUEUED]
        body: Shown = {
            "status": _status(counts),
            "simple_status": _simple_status(counts, done, total),
            "total_processed": done,
            "total_to_process": total,
        }
        if not simple:
            body["import_items"] = [self._item(item) for item in page.items.values()]
        return body

    def _item(self, item: Item) -> Shown:
        body: Shown = {
            "import_data": item.data,
            "created": item.created,
            "modified": item.modified,
            "source_time": item.source_time,
            "status": item.status,
            "note": item.note,
        }
        if self._era.has("hashes_of_page_items"):
            body["hash"] = item.hash
        return body

    def _media(self, page: Page, *, simple: bool) -> Shown:
        entries = self._store.entries
        hashes = [sha256 for sha256 in page.media if sha256 in entries]
        body: Shown = {
            "num_files": len(hashes),
            "hash_ids": [entries[sha256].file_id for sha256 in hashes],
        }
        chosen = self._era.has("selected_files")
        if chosen:
            body |= {"num_files_selected": 0, "hash_ids_selected": []}
        if not simple:
            body["hashes"] = hashes
            if chosen:
                body["hashes_selected"] = []
        return body


def _blank() -> Page:
    files = Page(name="files", type=SEARCH_PAGE)
    return Page(name="top page notebook", type=PAGE_OF_PAGES, pages=[files])


def _walk(page: Page) -> Iterator[Page]:
    yield page
    for inner in page.pages:
        yield from _walk(inner)


def _log(page: Page, *, simple: bool) -> Shown:
    counts = Counter(line.status for line in page.galleries.values())
    total = len(page.galleries)
    log: Shown = {
        "status": _status(counts),
        "total_processed": total - counts[QUEUED],
        "total_to_process": total,
    }
    return log if simple else log | {"log_items": [_line(g) for g in page.galleries.values()]}


def _line(gallery: Item) -> Shown:
    return {
        "url": gallery.data,
        "created": gallery.created,
        "modified": gallery.modified,
        "status": gallery.status,
        "note": gallery.note,
    }


def _watcher(watcher: Watcher, imports: Shown, log: Shown) -> Shown:
    return {
        "url": watcher.url,
        "watcher_key": watcher.key,
        "created": watcher.created,
        "last_check_time": 0,
        "next_check_time": watcher.created,
        "files_paused": False,
        "checking_paused": False,
        "checking_status": 0,
        "subject": "unknown subject",
        "imports": imports,
        "gallery_log": log,
    }


def _status(counts: Counter[int]) -> str:
    words = []
    new, known = counts[1], counts[2]
    if new and known:
        words.append(f"{new + known} successful ({known} already in db)")
    elif new or known:
        words.append(f"{new + known} successful" + " (all already in db)" * (not new))
    words += [f"{counts[status]} {name}" for status, name in _STATUS_WORDS if counts[status]]
    return ", ".join(words)


def _simple_status(counts: Counter[int], done: int, total: int) -> str:
    if not total:
        return ""
    progress = f"{done}/{total}" if done < total else f"{total}"
    letters = ((7, "Ign"), (4, "F"), (8, "S"))
    short = "".join(f"{counts[status]}{name}" for status, name in letters if counts[status])
    return f"{progress} - {short}" if short else progress
