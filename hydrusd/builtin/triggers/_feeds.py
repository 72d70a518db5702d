"""Reading RSS and Atom: the one module that knows feedparser."""

from __future__ import annotations

import calendar
import io
import time
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any
from urllib.parse import urljoin

import feedparser

from hydrusd.builtin.triggers._url_lines import plain_form
from hydrusd.builtin.triggers._visits import Unreadable
from hydrusd.plugin import HttpReply

# Links that begin nowhere are completed with it; names are in lower case as in HTTP/2.
_LOCATION = "content-location"
# What its parser raises on bytes that nobody thought of: unknown encodings, odd elements.
_GAPS = (ArithmeticError, AssertionError, AttributeError, LookupError, TypeError, ValueError)


@dataclass(frozen=True, slots=True)
class Entry:
    """One entry of a feed. URLs are absolute; ``published`` is ISO 8601 in UTC, or empty."""

    url: str
    title: str
    author: str
    published: str
    tags: tuple[str, ...]
    enclosures: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Feed:
    """A feed as it is now, its entries in its order."""

    title: str
    entries: tuple[Entry, ...]


def read_feed(reply: HttpReply) -> Feed:
    """Make sense of a feed. Raises ``Unreadable``."""
    headers = {**reply.headers, _LOCATION: reply.url}
    try:
        # What is no file to feedparser might be taken for an address.
        found = feedparser.parse(io.BytesIO(reply.body), response_headers=headers)
    except _GAPS as error:
        raise Unreadable(f"this is no feed that can be read: {error!r}") from error
    if not found.get("version"):
        reason = found.get("bozo_exception", "nothing of it is known")
        raise Unreadable(f"this is no feed: {reason}")
    # As plain mappings: feedparser's own make up what is not there, with a warning.
    entries = (_entry(dict(entry), reply.url) for entry in found.entries)
    return Feed(_text(dict(found.feed), "title"), tuple(entries))


def _entry(entry: Mapping[str, Any], base: str) -> Entry:
    attached = (link for link in entry.get("links", ()) if link.get("rel") == "enclosure")
    # feedparser completes the link of an entry, but not these.
    linked = (_joined(base, str(link.get("href", ""))) for link in attached)
    return Entry(
        url=_on_the_web(_text(entry, "link")),
        title=_text(entry, "title"),
        author=_text(entry, "author"),
        published=_moment(entry.get("published_parsed") or entry.get("updated_parsed")),
        tags=tuple(str(t["term"]) for t in entry.get("tags", ()) if t.get("term")),
        enclosures=tuple(url for url in map(_on_the_web, linked) if url),
    )


def _text(found: Mapping[str, Any], name: str) -> str:
    return str(found.get(name) or "").strip()


def _joined(base: str, url: str) -> str:
    try:
        return urljoin(base, url)
    except ValueError:
        return ""


def _on_the_web(url: str) -> str:
    return url if plain_form(url) is not None else ""


def _moment(parsed: time.struct_time | None) -> str:
    if parsed is None:
        return ""
    try:
        return datetime.fromtimestamp(calendar.timegm(parsed), UTC).isoformat()
    except (ValueError, OverflowError, OSError):
        return ""  # no feed is too odd to exist
