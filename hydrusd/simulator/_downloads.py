"""The work behind import pages: fetching URLs and reading paths, one item after another.

Each page with something to do has a thread for as long as it has. The lock is never
held while one fetches or reads; what comes back counts only if the client is still
in the same boot, so a killed client finishes nothing.

Only this machine is fetched from, and hosts that the config names: a test or a demo
that is handed a real URL must not go out and get it.
"""

from __future__ import annotations

import http.client
import re
import threading
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Mapping
from contextlib import closing
from dataclasses import dataclass
from email.utils import parsedate_to_datetime
from ipaddress import ip_address
from pathlib import Path
from typing import IO, Any
from urllib.parse import urljoin, urlsplit

from hydrusd.simulator._config import SimulatorConfig
from hydrusd.simulator._entries import CURRENT, DELETED, PENDING
from hydrusd.simulator._eras import Era
from hydrusd.simulator._network import Network
from hydrusd.simulator._pages import (
    FAILED,
    IGNORED,
    IMPORT_PAGE,
    IMPORTED,
    Item,
    Page,
    Pages,
)
from hydrusd.simulator._pictures import Unimportable, identify
from hydrusd.simulator._recognising import recognise
from hydrusd.simulator._services import MY_FILES_KEY, TAG_REPOSITORY, Services
from hydrusd.simulator._store import Store
from hydrusd.simulator._uploads import CHUNK_BYTES, Spool, Upload, upload_from
from hydrusd.simulator._urls import lookup_forms, normalise

_FETCH_SECONDS = 30
_RETRY_SECONDS = 60
_FETCHED = ("http://", "https://")
_LINK = re.compile(r'href="([^"]+)"')


class _Away(Exception):
    """The host cannot be reached, now or (for hosts that are not fetched from) ever."""


class _Refused(Exception):
    """The server answered with an error status."""

    def __init__(self, status: int) -> None:
        self.status = status
        super().__init__(str(status))


@dataclass(slots=True)
class _Parked:
    """The items of a host that is away, and when (monotonic) to try it again."""

    until: float
    items: list[Item]


class _Fetched:
    """What a server gave; ``urls`` are those it is known by, the one redirected to included."""

    def __init__(self, upload: Upload, urls: list[str], modified: int | None) -> None:
        self.upload = upload
        self.urls = urls
        self.modified = modified


class Downloads:
    """Works through the items of import pages."""

    def __init__(
        self,
        config: SimulatorConfig,
        era: Era,
        services: Services,
        store: Store,
        pages: Pages,
        network: Network,
    ) -> None:
        self._config = config
        self._era = era
        self._services = services
        self._store = store
        self._pages = pages
        self._network = network
        self._boot = 0
        self._at_work: set[str] = set()
        self._wake = threading.Condition(store.lock)

    def boot(self) -> None:
        """Drop what is under way and go on with what the pages hold now."""
        with self._store.lock:
            self._boot += 1
            self._at_work.clear()
            self._wake.notify_all()
            for page in self._pages.media_pages():
                self.look_at(page)

    def close(self) -> None:
        """Drop what is under way and begin nothing more."""
        with self._store.lock:
            self._boot += 1
            self._wake.notify_all()

    @property
    def is_busy(self) -> bool:
        """Whether a page has something to do."""
        return bool(self._at_work)

    def look_at(self, page: Page) -> None:
        """Begin with what is new on a page."""
        with self._store.lock:
            self._wake.notify_all()
            if page.key in self._at_work or not page.todo:
                return
            self._at_work.add(page.key)
            threading.Thread(
                target=self._work,
                args=(page, self._boot),
                name="hydrus simulator page",
                daemon=True,
            ).start()

    def files_of(self, url: str) -> list[tuple[str, int, str]]:
        """Give hash, import status and note for each file known under a (normal) URL."""
        forms = set(lookup_forms(url))
        with self._store.lock:
            return [
                (sha256, known[0], f"url {known[1]}")
                for sha256 in self._store.hashes_with_url(forms)
                if (known := recognise(self._era, self._store.entries[sha256].file))
            ]

    def _work(self, page: Page, boot: int) -> None:
        away: dict[str, _Parked] = {}
        while True:
            with self._store.lock:
                item = self._next(page, boot, away)
            if item is None:
                return
            try:
                upload, finish = self._get(page, item)
            except _Away:
                away[_host(item.data)] = _Parked(time.monotonic() + _RETRY_SECONDS, [item])
                continue
            try:
                picture = None if upload is None else _identify(self._era, upload)
                with self._store.lock:
                    if self._boot != boot:
                        return
                    if upload is not None and picture is not None:
                        self._import(page, item, upload, picture)
                    finish()
                    self._settle(page, item)
            finally:
                if upload is not None:
                    upload.discard()

    def _next(self, page: Page, boot: int, away: dict[str, _Parked]) -> Item | None:
        """Give the next item; waits if all that is left has to wait."""
        while self._boot == boot:
            now = time.monotonic()
            for host in [host for host, parked in away.items() if parked.until <= now]:
                page.todo.extend(away.pop(host).items)
            while page.todo:
                item = page.todo.popleft()
                parked = away.get(_host(item.data))
                if parked is None:
                    return item
                parked.items.append(item)
            if not away:
                self._at_work.discard(page.key)
                return None
            self._wake.wait(min(parked.until for parked in away.values()) - now)
        return None

    def _get(self, page: Page, item: Item) -> tuple[Upload | None, Callable[[], Any]]:
        """Give the file of an item, if there is need and way to have it, and what to do last."""
        if page.type == IMPORT_PAGE:
            return self._read(page, item)
        if page.galleries.get(item.data) is item:
            return None, self._read_gallery(page, item)
        known = self.files_of(item.data)
        if len(known) == 1:
            sha256, status, note = known[0]
            return None, lambda: item.end(status, note, sha256)
        fetched = self._fetched(item)
        if not isinstance(fetched, _Fetched):
            return None, fetched

        def finish() -> None:
            item.source_time = fetched.modified
            if item.hash is not None and item.status in {IMPORTED, 2}:
                self._associate(item.hash, fetched)

        return fetched.upload, finish

    def _read(self, page: Page, item: Item) -> tuple[Upload | None, Callable[[], Any]]:
        path = Path(item.data)
        try:
            modified = int(path.stat().st_mtime)
            upload = upload_from(path, self._store.scratch)
        except OSError:
            return None, lambda: item.end(IGNORED, "Source file does not exist!")

        def finish() -> None:
            item.source_time = modified
            if page.deletes_sources and item.status in {IMPORTED, 2}:
                path.unlink(missing_ok=True)

        return upload, finish

    def _read_gallery(self, page: Page, item: Item) -> Callable[[], Any]:
        """Give what to do last with a gallery: queue what its links lead to."""
        fetched = self._fetched(item)
        if not isinstance(fetched, _Fetched):
            return fetched
        content = fetched.upload.content
        page_bytes = content.read_bytes() if isinstance(content, Path) else content
        fetched.upload.discard()
        found = _LINK.findall(page_bytes.decode("utf-8", "replace"))
        links = [normalise(self._era, urljoin(item.data, link)) for link in found]

        def finish() -> None:
            new = [link for link in dict.fromkeys(links) if link not in page.items]
            for link in new:
                page.add_item(link, item.tags)
            item.end(IMPORTED, f"{len(new)} new urls found")

        return finish

    def _fetched(self, item: Item) -> _Fetched | Callable[[], Any]:
        """Fetch a URL; gives what to do last where a server or the request itself is at fault."""
        try:
            return self._fetch(item.data)
        except _Refused as refusal:
            status, note = _verdict(refusal.status)
        except ValueError as error:  # what cannot be asked for, such as a header with a line break
            status, note = FAILED, _failure("ValueError", str(error))
        return lambda: item.end(status, note)

    def _fetch(self, url: str) -> _Fetched:
        if self._config.web is not None:
            return self._made_up(url, self._config.web)
        self._check(url)
        request = urllib.request.Request(url)  # noqa: S310 - only http(s) comes here
        self._network.dress(request)
        opener = urllib.request.build_opener(
            urllib.request.ProxyHandler({}), _Redirects(self._check)
        )
        try:
            with closing(opener.open(request, timeout=_FETCH_SECONDS)) as answer:
                upload = _spooled(answer, Spool(self._store.scratch))
                urls = [url, normalise(self._era, answer.geturl())]
                return _Fetched(upload, urls, _last_modified(answer.headers))
        except urllib.error.HTTPError as error:
            error.close()
            raise _Refused(error.code) from error
        except (OSError, http.client.HTTPException) as error:
            raise _Away from error

    def _made_up(self, url: str, web: Mapping[str, bytes]) -> _Fetched:
        found = {normalise(self._era, each): content for each, content in web.items()}
        if url not in found:
            raise _Refused(404)
        spool = Spool(self._store.scratch)
        spool.write(found[url])
        return _Fetched(spool.finish(), [url], None)

    def _check(self, url: str) -> None:
        host = _host(url)
        if not url.startswith(_FETCHED):
            raise _Away
        if not _is_loopback(host) and host not in self._config.fetch_hosts:
            raise _Away

    def _import(self, page: Page, item: Item, upload: Upload, picture: Any) -> None:
        sha256 = upload.sha256
        entry = self._store.entries.get(sha256)
        if known := recognise(self._era, entry.file if entry else None):
            item.end(known[0], f"file {known[1]}", sha256)
        elif isinstance(picture, Unimportable):
            item.end(FAILED, self._era.import_errors[picture.flaw].split(": ", 1)[1])
        elif reason := self._config.refusal(sha256, upload.size, picture.kind.mime):
            item.end(IGNORED, reason)
        else:
            self._store.add_file(upload, picture, page.domains or [MY_FILES_KEY])
            item.end(IMPORTED, "", sha256)

    def _settle(self, page: Page, item: Item) -> None:
        """Give the file its tags and a place on the page."""
        if item.hash is not None and item.status in {IMPORTED, 2}:
            with self._store.writing():
                entry = self._store.touch(item.hash)
                for key, tags in item.tags.items():
                    pends = self._services.kind(key) == TAG_REPOSITORY
                    statuses = entry.statuses(key)
                    wanted = set(tags) - statuses.get(CURRENT, set())
                    statuses.get(DELETED, set()).difference_update(wanted)
                    statuses.setdefault(PENDING if pends else CURRENT, set()).update(wanted)
            page.show([item.hash])
        self._pages.changed()

    def _associate(self, sha256: str, fetched: _Fetched) -> None:
        with self._store.writing():
            entry = self._store.touch(sha256)
            self._store.set_urls(sha256, [*entry.known_urls, *fetched.urls])
            if fetched.modified is not None:
                entry.site_times[_host(fetched.urls[0])] = float(fetched.modified)


class _Redirects(urllib.request.HTTPRedirectHandler):
    """Follows redirects only to where one may fetch from."""

    def __init__(self, check: Callable[[str], None]) -> None:
        self._check = check

    def redirect_request(
        self, req: Any, fp: Any, code: int, msg: str, headers: Any, newurl: str
    ) -> urllib.request.Request | None:
        self._check(newurl)
        return super().redirect_request(req, fp, code, msg, headers, newurl)


def _spooled(answer: IO[bytes], spool: Spool) -> Upload:
    try:
        while piece := answer.read(CHUNK_BYTES):
            spool.write(piece)
    except BaseException:
        spool.abandon()
        raise
    return spool.finish()


def _identify(era: Era, upload: Upload) -> Any:
    try:
        return identify(upload.content, truncated_too=era.has("truncated_pictures"))
    except Unimportable as outcome:
        return outcome


def _verdict(status: int) -> tuple[int, str]:
    if status in {403, 404}:
        return IGNORED, str(status)
    words = http.client.responses.get(status, "unknown status")
    return FAILED, _failure("ServerException", f"{status}: {words}")


def _failure(error: str, words: str) -> str:
    """Give the note of an error that a client did not foresee: a line, and its trace."""
    trace = f"Traceback (most recent call last):\n  …\n{error}: {words}\n"
    return f"{error}({words!r})… (Copy note to see full error)\n{trace}"


def _last_modified(headers: Any) -> int | None:
    try:
        return int(parsedate_to_datetime(headers["Last-Modified"]).timestamp())
    except (TypeError, ValueError):
        return None


def _host(url: str) -> str:
    try:
        return urlsplit(url).hostname or ""
    except ValueError:
        return ""


def _is_loopback(host: str) -> bool:
    try:
        return ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"
