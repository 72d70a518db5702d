"""The pages of the client's window: seeing what they hold, and making new ones.

Page keys live only as long as the client runs, or until its user loads another session;
names last, but need not be unique. Everything here waits for the client's user interface.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from enum import IntEnum
from typing import Annotated

from pydantic import AliasChoices, BaseModel, Field

from hydrusd.errors import RequestRejected

from ._calls import Calls, FileReference, Route, checked_hashes
from ._models import Moment, ServiceType
from ._permissions import Permission
from ._services import FILES, SEARCHED_TAGS, Kind, ServiceRoutes

GET_PAGES = Route("GET", "/manage_pages/get_pages", Permission.MANAGE_PAGES)
GET_PAGE_INFO = Route("GET", "/manage_pages/get_page_info", Permission.MANAGE_PAGES)
ADD_FILES = Route("POST", "/manage_pages/add_files", Permission.MANAGE_PAGES, since_api=18)
FOCUS_PAGE = Route("POST", "/manage_pages/focus_page", Permission.MANAGE_PAGES)
REFRESH_PAGE = Route("POST", "/manage_pages/refresh_page", Permission.MANAGE_PAGES, since_api=39)
GET_MEDIA_VIEWERS = Route(
    "GET", "/manage_pages/get_media_viewers", Permission.MANAGE_PAGES, since_api=84
)
NEW_PAGE = Route("POST", "/manage_pages/new_page", Permission.MANAGE_PAGES, since_api=93)

_PAGE_OF_PAGES_SINCE_API = 94  # the version before fell over it

REPOSITORIES = Kind(
    "repository",
    frozenset({ServiceType.TAG_REPOSITORY, ServiceType.FILE_REPOSITORY}),
    "nobody petitions there",
)


class PageType(IntEnum):
    """What kind of page. The values are the protocol's."""

    GALLERY_DOWNLOADER = 1
    SIMPLE_DOWNLOADER = 2
    FILE_IMPORT = 3
    PETITIONS = 5
    FILE_SEARCH = 6
    URL_DOWNLOADER = 7
    DUPLICATES = 8
    WATCHER = 9
    PAGE_OF_PAGES = 10


class PageState(IntEnum):
    """How far a page is. The values are the protocol's."""

    READY = 0
    INITIALISING = 1
    SEARCHING = 2
    SEARCH_CANCELLED = 3


@dataclass(frozen=True, slots=True)
class Page:
    """One page, with the pages in it.

    ``page_type`` is one of PageType and ``page_state``, told since API 41, one of PageState;
    either may be a number which that does not list. ``selected`` is true for a page in
    front, in its own row: it is to be seen if those around it are selected as well. Before
    API 20 clients tell it wrongly for nested pages.
    """

    name: str
    page_key: str
    page_type: int
    page_state: int | None = None
    # Before API 40 the pages that hold no others say it in another word.
    selected: Annotated[bool, Field(validation_alias=AliasChoices("selected", "focused"))] = False
    pages: tuple[Page, ...] = ()

    @property
    def is_media_page(self) -> bool:
        """Whether it shows files, which all do but pages of pages."""
        return self.page_type != PageType.PAGE_OF_PAGES

    def walk(self) -> Iterator[Page]:
        """Give the page itself and all pages in it, in the order seen on the screen."""
        yield self
        for page in self.pages:
            yield from page.walk()


@dataclass(frozen=True, slots=True)
class ImportItem:
    """One URL or path in the queue of a page.

    ``status`` is one of ImportStatus, or 0 for unknown yet, 8 skipped and 9 successful with
    child files. ``hash`` is told since API 61, for what has become a file.
    """

    import_data: str
    status: int
    note: str = ""
    hash: str | None = None
    created: Moment = None
    modified: Moment = None
    source_time: Moment = None


@dataclass(frozen=True, slots=True)
class ImportQueue:
    """The files of a downloader. ``import_items`` is empty in a simple answer."""

    status: str = ""
    simple_status: str = ""
    total_processed: int = 0
    total_to_process: int = 0
    import_items: tuple[ImportItem, ...] = ()


@dataclass(frozen=True, slots=True)
class GalleryItem:
    """One gallery page or check of a downloader; ``status`` as for an ImportItem."""

    url: str
    status: int
    note: str = ""
    created: Moment = None
    modified: Moment = None


@dataclass(frozen=True, slots=True)
class GalleryLog:
    """The gallery pages of a downloader. ``log_items`` is empty in a simple answer."""

    status: str = ""
    total_processed: int = 0
    total_to_process: int = 0
    log_items: tuple[GalleryItem, ...] = ()


@dataclass(frozen=True, slots=True)
class Importer:
    """One downloader or import of a page: one for most types, any number for some.

    A gallery's have ``gallery_key``, ``query_text`` and ``source``. A watcher's have the
    rest from ``watcher_key`` on; ``checking_status`` is 0 for alive, 1 for dead, 2 for gone
    (404), and ``next_check_time`` is None where there will be no other.
    """

    imports: ImportQueue = ImportQueue()
    gallery_log: GalleryLog | None = None
    files_paused: bool = False
    gallery_paused: bool = False
    gallery_key: str | None = None
    query_text: str | None = None
    source: str | None = None
    watcher_key: str | None = None
    url: str | None = None
    subject: str | None = None
    created: Moment = None
    last_check_time: Moment = None
    next_check_time: Moment = None
    checking_paused: bool = False
    checking_status: int = 0


@dataclass(frozen=True, slots=True)
class PageMedia:
    """The files on a page: ids always, and hashes unless the answer is simple.

    What is selected is told since API 82.
    """

    num_files: int = 0
    hash_ids: tuple[int, ...] = ()
    hashes: tuple[str, ...] = ()
    num_files_selected: int = 0
    hash_ids_selected: tuple[int, ...] = ()
    hashes_selected: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class PageInfo:
    """One page in depth; a page of pages has neither importers nor media.

    ``highlight`` is the key of the gallery or watcher whose files the page shows.
    """

    name: str
    page_key: str
    page_type: int
    page_state: int | None
    importers: tuple[Importer, ...]
    highlight: str | None
    media: PageMedia | None


@dataclass(frozen=True, slots=True)
class MediaViewer:
    """One open media viewer, and the file it shows if any.

    ``canvas_type`` is 0 for the media viewer, 2 for the duplicates filter and 3 for the
    archive/delete filter.
    """

    canvas_type: int
    canvas_key: str
    hash: str | None
    file_id: int | None


@dataclass(frozen=True, slots=True)
class NewPage:
    """A page just made; its name may not be the one asked for."""

    page_key: str
    page_type: int
    page_name: str


class PagesAnswer(BaseModel):
    """GET /manage_pages/get_pages."""

    pages: Page


class GalleryImports(BaseModel):
    """The management of a gallery downloader."""

    gallery_imports: tuple[Importer, ...] = ()
    highlight: str | None = None


class WatcherImports(BaseModel):
    """The management of a thread watcher."""

    watcher_imports: tuple[Importer, ...] = ()
    highlight: str | None = None


class Management(BaseModel):
    """The left side of a page, under a name of its own for each type of page."""

    urls_import: Importer | None = None
    hdd_import: Importer | None = None
    simple_downloader_import: Importer | None = None
    multiple_gallery_import: GalleryImports = GalleryImports()
    multiple_watcher_import: WatcherImports = WatcherImports()


class PageInfoEntry(BaseModel):
    """One page of GET /manage_pages/get_page_info."""

    name: str
    page_key: str
    page_type: int
    page_state: int | None = None
    management: Management = Management()
    media: PageMedia | None = None


class PageInfoAnswer(BaseModel):
    """GET /manage_pages/get_page_info."""

    page_info: PageInfoEntry


class ShownMedia(BaseModel):
    """What is used of the metadata of the file in a media viewer."""

    hash: str | None = None
    file_id: int | None = None


class MediaViewerEntry(BaseModel):
    """One viewer of GET /manage_pages/get_media_viewers."""

    canvas_type: int
    canvas_key: str
    current_media: ShownMedia | None = None


class MediaViewersAnswer(BaseModel):
    """GET /manage_pages/get_media_viewers."""

    media_viewers: list[MediaViewerEntry]


class NewPageAnswer(BaseModel):
    """POST /manage_pages/new_page."""

    page_key: str
    page_type: int
    page_name: str


# What each type of page takes; the client overlooks everything else without a word.
_TAKES: Mapping[PageType, frozenset[str]] = {
    PageType.FILE_SEARCH: frozenset(
        {
            "tags",
            "file_service",
            "tag_service",
            "hashes",
            "file_sort_type",
            "file_sort_namespaces",
            "collect_namespaces",
            "system_hash_locked",
        }
    ),
    PageType.URL_DOWNLOADER: frozenset({"urls"}),
    PageType.WATCHER: frozenset({"url"}),
    PageType.FILE_IMPORT: frozenset({"paths", "delete_after_success"}),
    PageType.PETITIONS: frozenset({"service"}),
    PageType.DUPLICATES: frozenset({"file_service"}),
}


class PageRoutes(ServiceRoutes, Calls):
    """Routes about pages; all need "manage pages".

    Those that take the key of a page raise RequestRejected where there is no such page
    (any more).
    """

    async def get_pages(self) -> Page:
        """Give the outermost page of pages, with all others in it. Needs "manage pages"."""
        self._require(GET_PAGES)
        return (await self._ask(PagesAnswer, GET_PAGES)).pages

    async def get_page_info(self, page_key: str, *, simple: bool = True) -> PageInfo:
        """Give what a page holds; not ``simple``, with every item of it, which may be much.

        Needs "manage pages".
        """
        self._require(GET_PAGE_INFO)
        answer = await self._ask(
            PageInfoAnswer, GET_PAGE_INFO, params={"page_key": page_key, "simple": simple}
        )
        page, held = answer.page_info, answer.page_info.management
        single = (held.urls_import, held.hdd_import, held.simple_downloader_import)
        return PageInfo(
            page.name,
            page.page_key,
            page.page_type,
            page.page_state,
            (
                *(importer for importer in single if importer is not None),
                *held.multiple_gallery_import.gallery_imports,
                *held.multiple_watcher_import.watcher_imports,
            ),
            held.multiple_gallery_import.highlight or held.multiple_watcher_import.highlight,
            page.media,
        )

    async def add_files_to_page(self, page_key: str, files: Sequence[FileReference]) -> None:
        """Append files to what a page shows, as if dropped there. Safe to repeat.

        ``files`` are SHA-256 in hexadecimal, or file ids (Client API ≥ 29), 256 a request in
        their order. Raises RequestRejected for a page of pages. Needs Client API ≥ 18 and
        "manage pages".
        """
        self._require(ADD_FILES)
        await self._tell_of(ADD_FILES, files, {"page_key": page_key})

    async def focus_page(self, page_key: str) -> None:
        """Bring a page to the front. Needs "manage pages"."""
        self._require(FOCUS_PAGE)
        await self._tell(FOCUS_PAGE, {"page_key": page_key})

    async def refresh_page(self, page_key: str) -> None:
        """Have a page search again, or sort again where it does not search.

        Returns at once: ``page_state`` tells when it is done. Needs Client API ≥ 39 and
        "manage pages".
        """
        self._require(REFRESH_PAGE)
        await self._tell(REFRESH_PAGE, {"page_key": page_key})

    async def get_media_viewers(self) -> list[MediaViewer]:
        """Give the open media viewers. Needs Client API ≥ 84 and "manage pages"."""
        self._require(GET_MEDIA_VIEWERS)
        answer = await self._ask(MediaViewersAnswer, GET_MEDIA_VIEWERS)
        return [
            MediaViewer(
                viewer.canvas_type,
                viewer.canvas_key,
                viewer.current_media.hash if viewer.current_media else None,
                viewer.current_media.file_id if viewer.current_media else None,
            )
            for viewer in answer.media_viewers
        ]

    async def new_page(
        self,
        page_type: PageType,
        *,
        page_name: str = "",
        page_of_pages_key: str = "",
        focus_page: bool = False,
        tags: Sequence[str | Sequence[str]] = (),
        file_service: str = "",
        tag_service: str = "",
        hashes: Sequence[str] = (),
        file_sort_type: int | None = None,
        file_sort_namespaces: Sequence[str] = (),
        file_sort_asc: bool = True,
        collect_namespaces: Sequence[str] = (),
        system_hash_locked: bool = False,
        urls: Sequence[str] = (),
        url: str = "",
        paths: Sequence[str] = (),
        delete_after_success: bool = False,
        service: str = "",
    ) -> NewPage:
        """Make a page, in the background unless ``focus_page``. Not safe to repeat.

        It stands in the outermost page of pages, or in the one of ``page_of_pages_key``.
        What else may be given depends on the type; RequestRejected is raised for the rest,
        which the client would overlook:

        - FILE_SEARCH: ``tags`` to search for (a list in the list is "any of these"),
          ``file_service`` and ``tag_service`` by name or key, ``hashes`` to begin with,
          ``file_sort_type`` (a number) or ``file_sort_namespaces`` with ``file_sort_asc``,
          ``collect_namespaces``, and ``system_hash_locked`` to search no further than these.
        - URL_DOWNLOADER: ``urls``. WATCHER: ``url``. DUPLICATES: ``file_service``.
        - FILE_IMPORT: ``paths`` on the client's machine. ``delete_after_success`` has the
          client delete them for good, without knowing what was committed.
        - PETITIONS: ``service``, a repository by name or key.

        Needs Client API ≥ 93 (≥ 94 for a page of pages) and "manage pages". Raises
        UnknownService or AmbiguousService before anything is sent.
        """
        self._require(NEW_PAGE)
        if page_type == PageType.PAGE_OF_PAGES:
            self._require_api(_PAGE_OF_PAGES_SINCE_API, "making a page of pages")
        special = {
            "tags": list(tags),
            "file_service": file_service,
            "tag_service": tag_service,
            "hashes": checked_hashes(hashes),
            "file_sort_type": file_sort_type,
            "file_sort_namespaces": list(file_sort_namespaces),
            "collect_namespaces": list(collect_namespaces),
            "system_hash_locked": system_hash_locked,
            "urls": list(urls),
            "url": url,
            "paths": list(paths),
            "delete_after_success": delete_after_success,
            "service": service,
        }
        given = {
            name: value
            for name, value in special.items()
            if value or (name == "file_sort_type" and value is not None)
        }
        content = self._checked_page(PageType(page_type), given)
        content |= {"page_type": int(page_type), "focus_page": focus_page}
        if page_name:
            content["page_name"] = page_name
        if page_of_pages_key:
            content["page_of_pages_key"] = page_of_pages_key
        if file_sort_type is not None or file_sort_namespaces:
            content["file_sort_asc"] = file_sort_asc
        answer = await self._ask_by_post(NewPageAnswer, NEW_PAGE, content)
        return NewPage(answer.page_key, answer.page_type, answer.page_name)

    def _checked_page(self, page_type: PageType, given: Mapping[str, object]) -> dict[str, object]:
        if alien := sorted(given.keys() - _TAKES.get(page_type, frozenset())):
            raise RequestRejected(f"a page of type {page_type.name} takes no {alien[0]}")
        if "file_sort_type" in given and "file_sort_namespaces" in given:
            raise RequestRejected("a page is sorted by a type or by namespaces, not by both")
        if "system_hash_locked" in given and "hashes" not in given:
            raise RequestRejected("a page can be locked only to hashes that are given")
        if "delete_after_success" in given and "paths" not in given:
            raise RequestRejected("there are no paths to delete after success")
        if page_type is PageType.PETITIONS and "service" not in given:
            raise RequestRejected("a page for petitions needs a service")
        kinds = {"file_service": FILES, "tag_service": SEARCHED_TAGS, "service": REPOSITORIES}
        content: dict[str, object] = {}
        for name, value in given.items():
            if kind := kinds.get(name):
                content[f"{name}_key"] = self._service(str(value), kind).reference
            else:
                content[name] = value
        return content
