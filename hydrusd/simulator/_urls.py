"""What a client makes of a URL: whether it is one, its normal form, and its class.

A real client knows hundreds of sites from its downloaders; here is a handful, enough
for one URL of each type. ``can_parse`` says what a client with the site's parser would
answer; parsed are galleries alone, for their links.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from urllib.parse import quote, urlsplit, urlunsplit

from hydrusd.simulator._eras import FOR_EVER, Era
from hydrusd.simulator._errors import Refusal, bad_request

POST_URL = 0
FILE_URL = 2
GALLERY_URL = 3
WATCHABLE_URL = 4
UNKNOWN_URL = 5

_TYPE_NAMES = {
    POST_URL: "post url",
    FILE_URL: "file url",
    GALLERY_URL: "gallery url",
    WATCHABLE_URL: "watchable url",
    UNKNOWN_URL: "unknown url",
}
# What stays as it is in a path or a query; everything else that is not ASCII text is encoded.
_KEPT = "%/:;,!$&'()*+=@~[]?"


@dataclass(frozen=True, slots=True, kw_only=True)
class UrlClass:
    """A kind of page on a site. ``parameters`` are the query's names that matter."""

    name: str
    type: int
    host: str
    path: str
    parameters: tuple[str, ...] = ()
    can_parse: bool = True
    until: int = FOR_EVER


# The recorded v682 had been set up without downloaders, so it did not know safebooru.
_CLASSES = (
    UrlClass(
        name="safebooru file page",
        type=POST_URL,
        host="safebooru.org",
        path="/index.php",
        parameters=("id", "page", "s"),
        until=95,
    ),
    UrlClass(name="simulated file page", type=POST_URL, host="site.example", path=r"/posts/\d+"),
    UrlClass(name="simulated file", type=FILE_URL, host="site.example", path=r"/files/.+"),
    UrlClass(
        name="simulated tag search",
        type=GALLERY_URL,
        host="site.example",
        path="/posts",
        parameters=("page", "tags"),
    ),
    UrlClass(name="local gallery", type=GALLERY_URL, host="127.0.0.1", path=r"/gallery/.+"),
    UrlClass(name="simulated thread", type=WATCHABLE_URL, host="site.example", path=r"/t/\d+"),
    UrlClass(
        name="simulated blog post",
        type=POST_URL,
        host="site.example",
        path=r"/blog/\d+",
        can_parse=False,
    ),
)


@dataclass(frozen=True, slots=True)
class Capability:
    """What a client can do with a URL; ``reason`` says why it cannot parse it."""

    type: int
    match_name: str
    can_parse: bool
    reason: str = ""

    @property
    def type_name(self) -> str:
        """The words for the type."""
        return _TYPE_NAMES[self.type]


def require_full_url(era: Era, text: str) -> None:
    """Refuse what is no URL with a scheme and a host, in the era's words."""
    if _looks_full(text):
        return
    if era.has("odd_urls_tolerated"):
        raise bad_request(f'Could not parse "{text}" at all!')
    raise Refusal(
        400, f'URL "{text}" was not recognised--did you forget the http:// or https://?'
    )  # fmt: skip


def normalise(era: Era, url: str) -> str:
    """Give the normal form: encoded, without a fragment, parameters sorted in known classes.

    What is no URL at all comes back unchanged, or is refused (before API 63).
    """
    if not _looks_full(url):
        if not era.has("odd_urls_tolerated"):
            require_full_url(era, url)
        return url
    parts = urlsplit(url)
    query = parts.query
    if known := _class_of(era, url):
        pairs = [pair for pair in query.split("&") if pair.partition("=")[0] in known.parameters]
        query = "&".join(sorted(pairs))
    path = quote(parts.path or "/", safe=_KEPT)
    return urlunsplit((parts.scheme, parts.netloc, path, quote(query, safe=_KEPT), ""))


def capability(era: Era, url: str) -> Capability:
    """Say what the client can do with a URL in its normal form."""
    known = _class_of(era, url)
    if known is None:
        return Capability(UNKNOWN_URL, "unknown url", False, "unknown url class")
    if known.type == FILE_URL:
        return Capability(known.type, known.name, False, "url is a file url, nothing to parse")
    reason = "" if known.can_parse else "does not have a parser"
    return Capability(known.type, known.name, known.can_parse, reason)


def lookup_forms(url: str) -> Iterator[str]:
    """Give the URL and those that a look-up takes for the same one: http or https, with www."""
    parts = urlsplit(url)
    if parts.scheme not in {"http", "https"}:
        yield url
        return
    bare = parts.netloc.removeprefix("www.")
    hosts = [parts.netloc]
    if bare != parts.netloc or bare.count(".") == 1:
        hosts = [bare, "www." + bare]
    for scheme in ("http", "https"):
        for host in hosts:
            yield urlunsplit((scheme, host, *parts[2:]))


def _looks_full(text: str) -> bool:
    try:
        parts = urlsplit(text.strip())
    except ValueError:
        return False
    return bool(parts.scheme and parts.netloc)


def _class_of(era: Era, url: str) -> UrlClass | None:
    if not _looks_full(url):
        return None
    parts = urlsplit(url)
    host = (parts.hostname or "").removeprefix("www.")
    given = {pair.partition("=")[0] for pair in parts.query.split("&")}
    for known in _CLASSES:
        if (
            era.api < known.until
            and host == known.host
            and re.fullmatch(known.path, parts.path)
            and (known.type == GALLERY_URL or given >= set(known.parameters))
        ):
            return known
    return None
