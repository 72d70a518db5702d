"""What became of a URL that a client was given.

``add_url`` is answered as soon as the URL is in a queue. How it went stands in two places:
in the queue of a page, for as long as the page and the entry are there, and, for a file
that came of it, among the client's known URLs, for good. The page tells failures and needs
the permission to see pages; the known URLs tell only of success. What neither tells is
not known, and is not made up here.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from datetime import datetime, timedelta
from enum import IntEnum, StrEnum
from typing import Self

from hydrusd.plugin import (
    GalleryItem,
    HydrusClient,
    ImportItem,
    ImportStatus,
    Outcome,
    PageInfo,
    PageType,
    Permission,
    RequestRejected,
    UrlFile,
    UrlInfo,
    UrlType,
)

GONE_NOTE = "404"
_TRACE_FOLLOWS = "… (Copy note to see full error)"
CHILDREN_WITHIN = timedelta(seconds=5)


class ItemStatus(IntEnum):
    """What an entry of a page can be besides an ``ImportStatus``. The protocol's values."""

    OPEN = 0
    SKIPPED = 8
    HAS_CHILDREN = 9


class Kind(StrEnum):
    """What the client does with a URL, and so where it can be followed."""

    FILE = "file"  # a file, or a post with one or several
    GALLERY = "gallery"  # a page that lists posts: the client reads it once
    WATCHER = "watcher"  # a thread: the client looks at it again and again

    @classmethod
    def of(cls, info: UrlInfo) -> Kind:
        """Give the kind of a URL."""
        match info.url_type:
            case UrlType.GALLERY:
                return cls.GALLERY
            case UrlType.WATCHABLE:
                return cls.WATCHER
            case _:
                return cls.FILE

    @property
    def page_type(self) -> PageType:
        """The type of the page that such URLs go to."""
        return PageType.WATCHER if self is Kind.WATCHER else PageType.URL_DOWNLOADER


@dataclass(frozen=True, slots=True)
class Sending:
    """A URL in the client's hands, as the ledger keeps it between two looks.

    ``forms`` are the ways in which the client may write it, ``since`` is when it was sent,
    ``boot`` the run of the client that took it. ``before`` is how its entry stood where there
    was one already: while that stays so, the client has not tried again.
    """

    url: str
    forms: tuple[str, ...]
    kind: Kind
    since: datetime
    boot: str
    before: str = ""

    def to_data(self) -> dict[str, object]:
        """Give it as plain JSON."""
        return asdict(self) | {"since": self.since.isoformat(), "forms": list(self.forms)}

    @classmethod
    def from_data(cls, data: Mapping[str, object]) -> Self | None:
        """Read back what ``to_data`` made; None where nothing was sent yet."""
        match data:
            case {
                "url": str(url),
                "forms": [*forms],
                "kind": str(kind),
                "since": str(since),
                "boot": str(boot),
                "before": str(before),
            }:
                moment = datetime.fromisoformat(since)
                return cls(url, tuple(map(str, forms)), Kind(kind), moment, boot, before)
        return None

    def in_boot(self, boot: str, now: datetime) -> Self:
        """Give it for another run of the client, in which all waits begin anew."""
        return self if boot == self.boot else replace(self, boot=boot, since=now)


@dataclass(frozen=True, slots=True)
class Entry:
    """The entry of a URL on a page, and the files of the entries that came of it."""

    page: PageInfo
    status: int
    note: str
    hash: str | None
    modified: datetime | None
    children: tuple[ImportItem, ...] = ()

    @property
    def is_open(self) -> bool:
        """Whether the client is not through with it."""
        return self.status == ItemStatus.OPEN or any(
            child.status == ItemStatus.OPEN for child in self.children
        )

    @property
    def changed(self) -> str:
        """How it stands, and since when: text to compare."""
        return f"{self.status} {self.modified.isoformat() if self.modified else ''}"

    @property
    def imported(self) -> tuple[str, ...]:
        """The hashes of those files that were new to the client."""
        all_of_it = [(self.status, self.hash), *((c.status, c.hash) for c in self.children)]
        return tuple(h for status, h in all_of_it if h and status == ImportStatus.IMPORTED)


class Pages:
    """The pages of a client, each read at most once: one look at it."""

    def __init__(self, client: HydrusClient) -> None:
        self._client = client
        self._read: dict[tuple[str, PageType], list[PageInfo]] = {}

    @property
    def visible(self) -> bool:
        """Whether the access key may see pages."""
        info = self._client.info
        return info.permits_everything or Permission.MANAGE_PAGES in info.permissions

    async def entry(self, name: str, sending: Sending) -> Entry | None:
        """Find a URL on the pages of that name. None where it is not there or not to be seen."""
        entries = [
            entry
            for page in await self._named(name, sending.kind.page_type)
            if (entry := _entry(page, sending))
        ]
        # The name can be there twice. Where the client is still at work is what counts.
        return next((e for e in entries if e.is_open), entries[-1] if entries else None)

    async def _named(self, name: str, page_type: PageType) -> list[PageInfo]:
        if not self.visible:
            return []
        key = (name, page_type)
        if key not in self._read:
            self._read[key] = []
            for page in (await self._client.get_pages()).walk():
                if (page.name, page.page_type) == key:
                    try:
                        info = await self._client.get_page_info(page.page_key, simple=False)
                    except RequestRejected:
                        continue  # closed this very moment
                    self._read[key].append(info)
        return self._read[key]


def _entry(page: PageInfo, sending: Sending) -> Entry | None:
    for importer in page.importers:
        if sending.kind is Kind.WATCHER:
            if importer.url in sending.forms:
                return Entry(page, ImportStatus.IMPORTED, "", None, importer.created)
            continue
        items = importer.imports.import_items
        for number, item in enumerate(items if sending.kind is Kind.FILE else (), 1):
            if item.import_data in sending.forms:
                children = tuple(_children(item, items[number:]))
                return Entry(page, item.status, item.note, item.hash, item.modified, children)
        logged = importer.gallery_log.log_items if importer.gallery_log else ()
        for line in logged if sending.kind is Kind.GALLERY else ():
            if line.url in sending.forms:
                return _gallery_entry(page, line)
    return None


def _gallery_entry(page: PageInfo, line: GalleryItem) -> Entry:
    return Entry(page, line.status, line.note, None, line.modified)


def _children(parent: ImportItem, behind: Iterable[ImportItem]) -> Iterable[ImportItem]:
    """Give the entries that were made when the client read ``parent``, theirs included.

    They are put right behind it. An entry does not name its parent, so this may give some
    that were sent in that very moment. That is good enough to know when all is over, not to
    know whose a file is.
    """
    made = _read_at(parent)
    for item in behind:
        if not any(item.created and abs(item.created - t) <= CHILDREN_WITHIN for t in made):
            return
        yield item
        made += _read_at(item)


def _read_at(item: ImportItem) -> list[datetime]:
    """Give when entries were made of one, if they were."""
    return [item.modified] if item.status == ItemStatus.HAS_CHILDREN and item.modified else []


@dataclass(frozen=True, slots=True)
class Found:
    """Files of the client that a URL leads to: the good end.

    ``imported`` are those of them that were new, None where nobody can tell.
    """

    hashes: tuple[str, ...]
    imported: tuple[str, ...] | None


def known_files(files: Iterable[UrlFile]) -> tuple[str, ...]:
    """Give the hashes of those that the client has now."""
    return tuple(dict.fromkeys(f.hash for f in files if f.in_database and f.hash))


def deleted_before(url: str, files: Iterable[UrlFile]) -> Outcome | None:
    """Give the outcome of a URL whose files were deleted; None where that is not so."""
    for file in files:
        if file.status == ImportStatus.PREVIOUSLY_DELETED:
            return _deleted(url, [file.hash] if file.hash else [], file.note)
    return None


def _deleted(url: str, hashes: Sequence[str], note: str) -> Outcome:
    return Outcome.skipped(
        f"its file was deleted in Hydrus before; not downloaded again ({note})",
        values=values(url, "deleted before", hashes),
    )


def judge(sending: Sending, entry: Entry, files: Sequence[UrlFile]) -> Found | Outcome:
    """Say how a URL ended whose entry on a page has. ``files`` are those known by the URL."""
    hashes = known_files(files)
    url, note = sending.url, entry.note.partition("\n")[0].removesuffix(_TRACE_FOLLOWS)
    again = ""
    if sending.before and sending.before == entry.changed:
        again = f"; {_no_new_try(entry)}"
    match entry.status:
        case ImportStatus.IMPORTED | ImportStatus.ALREADY_IN_DATABASE:
            if sending.kind is not Kind.FILE:
                return handed_over(sending, entry.page.name, note)
            mine = (entry.hash,) if entry.hash else hashes
            new = entry.status == ImportStatus.IMPORTED
            return Found(mine, mine if new else ())
        case ImportStatus.PREVIOUSLY_DELETED:
            return _deleted(url, [entry.hash] if entry.hash else [], note)
        case ImportStatus.VETOED if note.strip() == GONE_NOTE:
            return Outcome.skipped(
                f"the link leads nowhere any more ({note}{again})", values=values(url, "gone")
            )
        case ImportStatus.VETOED:
            return Outcome.dead(f"Hydrus ignored it: {note}{again}", values=values(url, "ignored"))
        case ItemStatus.SKIPPED:
            return Outcome.skipped(
                f"its user skipped it in Hydrus{again}", values=values(url, "skipped")
            )
        case ItemStatus.HAS_CHILDREN:
            return (
                _judge_children(entry, hashes)
                or deleted_before(url, files)
                or (
                    Outcome.dead(
                        f"Hydrus found more behind it ({note}), and has no file of that",
                        values=values(url, "failed"),
                    )
                )
            )
        case ImportStatus.FAILED:
            return Outcome.dead(
                f"Hydrus cannot import it: {note}{again}", values=values(url, "failed")
            )
        case status:
            return Outcome.dead(
                f"Hydrus gave it a status that hydrusd does not know: {status} {note}",
                values=values(url, "unknown"),
            )


def stale(sending: Sending, entry: Entry) -> Outcome:
    """Give the outcome where Hydrus takes for done what it no longer has."""
    what = "the file that came of it is not in Hydrus (any more)"
    if sending.kind is Kind.GALLERY:
        when = f" at {entry.modified:%Y-%m-%d %H:%M} UTC" if entry.modified else ""
        what = f"Hydrus has read this gallery already{when}"
    return Outcome.dead(
        f"{what}, and {_no_new_try(entry)}",
        values=values(sending.url, "failed"),
    )


def _no_new_try(entry: Entry) -> str:
    return (
        f"Hydrus does not try again what it has dealt with as long as it stands on the page "
        f"{entry.page.name!r}: remove it there, then retry"
    )


def _judge_children(entry: Entry, hashes: tuple[str, ...]) -> Found | None:
    # Whose a file is, only the known URLs tell: an entry does not name its parent.
    new = set(entry.imported)
    return Found(hashes, tuple(h for h in hashes if h in new)) if hashes else None


def handed_over(sending: Sending, page: str, note: str = "") -> Outcome:
    """Give the outcome of a URL that stands for many files, which are not followed."""
    what = "thread" if sending.kind is Kind.WATCHER else "gallery"
    more = f": {note}" if note else ""
    return Outcome.done(
        f"handed over: Hydrus has the {what} on the page {page!r}{more}",
        values=values(sending.url, "handed over"),
        receipt={"imported": []},
    )


def values(url: str, status: str, hashes: Sequence[str] = ()) -> dict[str, object]:
    """Give what later steps see of it."""
    first = {"hash": hashes[0]} if hashes else {}
    return {"url": url, "status": status, "hashes": list(hashes), **first}
