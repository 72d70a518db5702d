"""Finding the links of a web page.

No browser: what a page's scripts would add is not there. Python's own parser is enough for
that, and forgives what browsers forgive.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from email.message import Message
from html.parser import HTMLParser
from urllib.parse import urljoin

from hydrusd.builtin.triggers._url_lines import plain_form

_ADDRESSES = {"a": "href", "area": "href", "img": "src", "video": "src", "source": "src"}
_DECLARED = re.compile(rb"<meta[^>]+charset\s*=\s*[\"']?([\w.:-]+)", re.IGNORECASE)
_DECLARED_WITHIN_BYTES = 4096


class PageLinks(HTMLParser):
    """Title and links of a page. ``links``: absolute URL to the text of the link."""

    def __init__(self, url: str) -> None:
        super().__init__()
        self._base = url
        self._title: list[str] | None = None
        self._text: list[str] | None = None
        self._linked = ""
        self.title = ""
        self.links: dict[str, str] = {}

    def handle_starttag(self, tag: str, attrs: Sequence[tuple[str, str | None]]) -> None:
        """Note what the element leads to."""
        given = {name: value or "" for name, value in reversed(attrs)}  # the first one counts
        if tag == "base" and "href" in given:
            self._base = urljoin(self._base, given["href"])
        elif tag == "title" and not self.title:
            self._title = []
        elif address := given.get(_ADDRESSES.get(tag, ""), "").strip():
            self._link(tag, address)

    def _link(self, tag: str, address: str) -> None:
        try:
            url = urljoin(self._base, address)
        except ValueError:
            return
        if plain_form(url) is None:
            return
        self.links.setdefault(url, "")
        if tag == "a":
            self._linked, self._text = url, []

    def handle_data(self, data: str) -> None:
        """Collect text."""
        for text in (self._title, self._text):
            if text is not None:
                text.append(data)

    def handle_endtag(self, tag: str) -> None:
        """Keep the text collected."""
        if tag == "title" and self._title is not None:
            self.title, self._title = _words(self._title), None
        elif tag == "a" and self._text is not None:
            self.links[self._linked] = self.links[self._linked] or _words(self._text)
            self._text = None


def read_page(body: bytes, content_type: str, url: str) -> PageLinks:
    """Read a page that came from ``url``."""
    page = PageLinks(url)
    page.feed(_decoded(body, content_type))
    page.close()
    return page


def _decoded(body: bytes, content_type: str) -> str:
    header = Message()
    header["Content-Type"] = content_type
    declared = _DECLARED.search(body, 0, _DECLARED_WITHIN_BYTES)
    name = header.get_content_charset() or (declared[1].decode() if declared else "utf-8")
    try:
        return body.decode(name, "replace")
    except (LookupError, ValueError):  # no encoding, or one that is none of text
        return body.decode("utf-8", "replace")


def _words(text: Sequence[str]) -> str:
    return " ".join("".join(text).split())
