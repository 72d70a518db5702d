"""URLs: what the client knows of them, and handing it new ones to download.

``add_url`` only puts a URL into the queue of a page; how the download went stands in that
page (``get_page_info``) and, for a success, in ``get_url_files``.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from enum import IntEnum

from pydantic import BaseModel

from hydrusd.errors import RequestRejected

from ._calls import Calls, FileReference, Route
from ._models import ImportStatus
from ._pages import PageRoutes, PageType
from ._permissions import Permission
from ._services import KEYS_SINCE_API, LOCAL_DOMAINS, TAGS, ServiceRoutes
from ._tags import clean_tag

GET_URL_FILES = Route("GET", "/add_urls/get_url_files", Permission.IMPORT_URLS)
GET_URL_INFO = Route("GET", "/add_urls/get_url_info", Permission.IMPORT_URLS)
ADD_URL = Route("POST", "/add_urls/add_url", Permission.IMPORT_URLS)
_ADD_TAGGED_URL = Route("POST", "/add_urls/add_url", Permission.EDIT_TAGS)
ASSOCIATE_URL = Route("POST", "/add_urls/associate_url", Permission.IMPORT_URLS)

_DOUBLECHECK_SINCE_API = 32  # before, the file system was always looked at
_TAGS_SINCE_API = 14
_NORMALISE_SINCE_API = 64
_FILE_DOMAINS_SINCE_API = 68


class UrlType(IntEnum):
    """What kind of page a URL leads to. The values are the protocol's."""

    POST = 0
    FILE = 2
    GALLERY = 3
    WATCHABLE = 4
    UNKNOWN = 5


@dataclass(frozen=True, slots=True)
class UrlFile:
    """A file that came from a URL.

    ``status`` is one of ImportStatus, or 0 for "new" (the file should be there and is not).
    ``hash`` is its SHA-256 in hexadecimal, ``note`` the client's words.
    """

    status: int
    hash: str | None = None
    note: str = ""

    @property
    def in_database(self) -> bool:
        """Whether the client has the file."""
        return self.status == ImportStatus.ALREADY_IN_DATABASE


@dataclass(frozen=True, slots=True)
class UrlFiles:
    """What the client knows of a URL: nothing, or one or several files."""

    normalised_url: str
    url_file_statuses: tuple[UrlFile, ...] = ()


@dataclass(frozen=True, slots=True)
class UrlInfo:
    """What the client would do with a URL.

    ``url_type`` is one of UrlType, ``match_name`` the name of the URL class in the client's
    network settings. ``cannot_parse_reason`` (empty where it can) and ``request_url``, what
    would really be fetched, are told since API 63.
    """

    normalised_url: str
    url_type: int
    url_type_string: str
    match_name: str
    can_parse: bool
    cannot_parse_reason: str = ""
    request_url: str = ""


@dataclass(frozen=True, slots=True)
class AddUrlResult:
    """A URL is in a queue of the client now; that says nothing of its download."""

    normalised_url: str
    human_result_text: str = ""


class UrlFilesAnswer(BaseModel):
    """GET /add_urls/get_url_files."""

    normalised_url: str
    url_file_statuses: tuple[UrlFile, ...]


class UrlInfoAnswer(BaseModel):
    """GET /add_urls/get_url_info."""

    normalised_url: str
    url_type: int
    url_type_string: str = ""
    match_name: str = ""
    can_parse: bool
    cannot_parse_reason: str | None = None
    request_url: str | None = None


class AddUrlAnswer(BaseModel):
    """POST /add_urls/add_url."""

    human_result_text: str = ""
    normalised_url: str


class UrlRoutes(PageRoutes, ServiceRoutes, Calls):
    """Routes about URLs; all need "import and edit urls"."""

    async def get_url_files(self, url: str, *, doublecheck_file_system: bool = False) -> UrlFiles:
        """Give the files that the client knows to have come from a URL.

        ``doublecheck_file_system`` has it look whether each is really on its disk (status 0
        where not); before API 32 it always does. Needs "import and edit urls".
        """
        self._require(GET_URL_FILES)
        params: dict[str, object] = {"url": _checked(url)}
        if self.info.api_version >= _DOUBLECHECK_SINCE_API:
            params["doublecheck_file_system"] = doublecheck_file_system
        answer = await self._ask(UrlFilesAnswer, GET_URL_FILES, params=params)
        return UrlFiles(answer.normalised_url, answer.url_file_statuses)

    async def get_url_info(self, url: str) -> UrlInfo:
        """Give what the client would do with a URL; no website is asked.

        Raises RequestRejected for what is no URL to the client, which is strict about that
        only in old versions. Needs "import and edit urls".
        """
        self._require(GET_URL_INFO)
        answer = await self._ask(UrlInfoAnswer, GET_URL_INFO, params={"url": _checked(url)})
        return UrlInfo(
            answer.normalised_url,
            answer.url_type,
            answer.url_type_string,
            answer.match_name,
            answer.can_parse,
            answer.cannot_parse_reason or "",
            answer.request_url or "",
        )

    async def add_url(
        self,
        url: str,
        *,
        destination_page_name: str = "",
        destination_page_key: str = "",
        show_destination_page: bool = False,
        additional_tags: Mapping[str, Sequence[str]] | None = None,
        filterable_tags: Sequence[str] = (),
        file_services: Sequence[str] = (),
    ) -> AddUrlResult:
        """Put a URL into the queue of a page, as if it had been dropped onto the client.

        Best name the page: the client takes one of that name that fits, or makes it. A page
        key lives only as long as the client does, and the client overlooks one which it does
        not know and takes any other page: so a key is looked up first, and RequestRejected
        is raised where it leads to no page for URLs. That needs "manage pages" too. Even a
        good key is overruled by ``file_services`` where the page has other import options.
        Without name and key, any page for URLs will do.

        ``additional_tags`` are put on what is downloaded: for each tag service, by name or
        key, a list of tags. ``filterable_tags`` go through the tag import options of the
        page. Both need Client API ≥ 14 and "edit file tags". ``file_services`` are the local
        file domains to import to, by name or key, and need Client API ≥ 68.

        Queueing twice does no harm: the client finds the URL in its queue, or in its
        database. Needs "import and edit urls". Raises UnknownService or AmbiguousService,
        VersionTooOld and PermissionMissing before anything is sent, and RequestRejected for
        what is no URL or what the client cannot parse.
        """
        self._require(ADD_URL)
        api_version = self.info.api_version
        content: dict[str, object] = {
            "url": _checked(url),
            "show_destination_page": show_destination_page,
        }
        filterable = [text for text in filterable_tags if clean_tag(text)]
        kept = {
            name_or_key: [text for text in texts if clean_tag(text)]
            for name_or_key, texts in (additional_tags or {}).items()
        }
        if filterable or any(kept.values()):
            # An older client lets its import options drop them, and says nothing.
            self._require_api(_TAGS_SINCE_API, "tags for a URL")
            self._require(_ADD_TAGGED_URL)
        tags: dict[str, list[str]] = {}
        for name_or_key, texts in kept.items():
            if texts:
                tags.setdefault(self._service(name_or_key, TAGS).reference, []).extend(texts)
        if tags:
            services = "keys" if api_version >= KEYS_SINCE_API else "names"
            content[f"service_{services}_to_additional_tags"] = tags
        if filterable:
            content["filterable_tags"] = filterable
        if file_services:
            self._require_api(_FILE_DOMAINS_SINCE_API, "a file domain for a URL")
            content["file_service_keys"] = [
                self._service(name_or_key, LOCAL_DOMAINS).reference for name_or_key in file_services
            ]
        if destination_page_name:
            content["destination_page_name"] = destination_page_name
        if destination_page_key:
            content["destination_page_key"] = await self._living_page(destination_page_key)
        answer = await self._ask_by_post(AddUrlAnswer, ADD_URL, content)
        return AddUrlResult(answer.normalised_url, answer.human_result_text)

    async def _living_page(self, key: str) -> str:
        for page in (await self.get_pages()).walk():
            if page.page_key == key.lower():
                if page.page_type in {PageType.URL_DOWNLOADER, PageType.WATCHER}:
                    return page.page_key
                raise RequestRejected(f"the page {page.name!r} does not download URLs")
        raise RequestRejected("there is no page with that key (any more): better go by its name")

    async def associate_url(
        self,
        files: Sequence[FileReference],
        *,
        urls_to_add: Sequence[str] = (),
        urls_to_delete: Sequence[str] = (),
        normalise_urls: bool = True,
    ) -> None:
        """Note on files that they come from URLs, or no longer do. Safe to repeat.

        ``files`` are SHA-256 in hexadecimal, or file ids (Client API ≥ 29), 256 a request,
        so a failure may leave some done. The client need not have the files.

        URLs to add are normalised by the client (since hydrus v397), unless ``normalise_urls``
        is false, which needs Client API ≥ 64. URLs to delete must be exactly as the client
        shows them. Raises RequestRejected where there is no URL, or an empty one. Needs
        "import and edit urls".
        """
        self._require(ASSOCIATE_URL)
        for urls in (urls_to_add, urls_to_delete):
            if isinstance(urls, str):
                raise RequestRejected("one URL was given where a list of URLs is due")
        content: dict[str, object] = {}
        if urls_to_add:
            content["urls_to_add"] = [_checked(url) for url in urls_to_add]
        if urls_to_delete:
            content["urls_to_delete"] = [_checked(url) for url in urls_to_delete]
        if not content:
            raise RequestRejected("no URL to add or to delete was given")
        if not normalise_urls:
            self._require_api(_NORMALISE_SINCE_API, "adding a URL as it is")
            content["normalise_urls"] = False
        await self._tell_of(ASSOCIATE_URL, files, content)


def _checked(url: str) -> str:
    if not url.strip():
        raise RequestRejected("the URL is empty")
    return url
