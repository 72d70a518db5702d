"""Plain HTTP to the world that is not Hydrus: feeds, pages, hooks of other services.

The other end is a stranger. So everything is bounded (the time in all, the size as it is
unpacked, the redirects), nothing that was meant for one host is told to another, and no
error repeats what a URL may hide: the user, the password, the query.

What a server answers is the caller's business, also a 404. Raised is only what kept it from
answering, and ``AnswerLost`` where the request had left by then: it may have been carried
out, which is for the caller to consider before it asks a second time.
"""

from __future__ import annotations

import logging
import zlib
from collections.abc import AsyncIterator, Callable, Mapping
from dataclasses import dataclass, field
from functools import cache
from types import MappingProxyType
from typing import TYPE_CHECKING, Literal
from urllib.parse import urlsplit

import anyio
import httpx

from hydrusd import __version__
from hydrusd.errors import PermanentError, TemporaryError
from hydrusd.redaction import redact, register

if TYPE_CHECKING:
    import ssl

MAX_BYTES = 5 * 1024 * 1024
MAX_REDIRECTS = 5
MAX_URL_LENGTH = 16 * 1024

Method = Literal["GET", "HEAD", "POST", "PUT", "PATCH", "DELETE"]

_READING = frozenset({"GET", "HEAD"})
_REDIRECTS = frozenset({301, 302, 303, 307, 308})
_ABOUT_THE_BODY = frozenset({"content-type", "content-length", "content-encoding"})
_HARMLESS = frozenset(
    {"accept", "accept-language", "if-modified-since", "if-none-match", "user-agent"}
)
_NOWHERE = "redirected to what is no URL of http:// or https://"
_UNSENDABLE = "what cannot be sent in one"
_PORTS = {"http": 80, "https": 443}
# Here no proxy of the environment can be meant.
_THIS_MACHINE = ("all://127.0.0.1", "all://localhost", "all://[::1]")

# It tells whole URLs, with what they hide.
logging.getLogger("httpx").setLevel(logging.WARNING)


class AnswerLost(TemporaryError):
    """The request was sent and no whole answer came: it may have been carried out."""


@dataclass(frozen=True, slots=True)
class HttpReply:
    """What came back.

    ``headers`` are in lower case. ``url`` is where the answer came from, after redirects,
    without a user and password. ``whole`` is False where ``cut`` was asked for and the body
    went on.
    """

    status: int
    headers: Mapping[str, str] = field(repr=False)
    body: bytes = field(repr=False)
    url: str = field(repr=False)
    whole: bool = True


async def fetch(
    url: str,
    *,
    method: Method = "GET",
    headers: Mapping[str, str] = MappingProxyType({}),
    body: bytes = b"",
    timeout_seconds: float = 30.0,
    max_bytes: int = MAX_BYTES,
    cut: bool = False,
    shown_as: str = "",
) -> HttpReply:
    """Send one request and give the answer, whatever its status.

    ``timeout_seconds`` is for all of it, redirects included; ``max_bytes`` is for the body,
    unpacked: a larger one is refused, or with ``cut`` given as far as that. ``shown_as`` is
    what errors call the URL, where even its path is a secret.

    Redirects are followed as long as nothing but reading is repeated; one of a ``POST`` that
    would have to be sent again elsewhere is given back as it is. Another host gets neither
    keys nor cookies.

    Raises TemporaryError for trouble on the way (AnswerLost, if the request had been sent),
    PermanentError for what is no URL, too large, or redirected to no good place.
    """
    request = _Request(method, _checked(url), dict(headers), body, shown_as)
    try:
        with anyio.fail_after(timeout_seconds):
            async with httpx.AsyncClient(
                verify=_trusted(),
                timeout=None,  # noqa: S113 - the time in all is bounded
                mounts=dict.fromkeys(_THIS_MACHINE),
            ) as client:
                return await _follow(client, request, max_bytes, cut=cut)
    except TimeoutError:
        raise request.failure(f"did not answer within {timeout_seconds:g} s") from None
    except httpx.LocalProtocolError:  # its text would show the header
        raise PermanentError(f"{request.name}: a header holds {_UNSENDABLE}") from None
    except httpx.InvalidURL:  # httpx looks at every redirect, asked or not
        raise PermanentError(f"{request.name}: {_NOWHERE}") from None
    except httpx.HTTPError as error:
        said = redact(str(error)) or type(error).__name__
        raise request.failure(f"cannot be reached: {said}") from None


@dataclass(slots=True)
class _Request:
    """A request on its way, and how far it came."""

    method: Method
    url: httpx.URL
    headers: dict[str, str]
    body: bytes
    shown_as: str
    sent: bool = False

    @property
    def name(self) -> str:
        return self.shown_as or _shown(self.url)

    def failure(self, text: str) -> TemporaryError:
        return (AnswerLost if self.sent else TemporaryError)(f"{self.name} {text}")

    async def note(self, event: str, info: Mapping[str, object]) -> None:
        """Be told by the connection what it is about to do."""
        del info
        self.sent = self.sent or event.endswith("send_request_headers.started")

    def go_to(self, status: int, target: httpx.URL) -> bool:
        """Turn into the request that a redirect asks for; False where that is not ours to do."""
        elsewhere = not _same_host(self.url, target)
        if self.method not in _READING:
            if status in {301, 302} or (status in {307, 308} and elsewhere):
                return False
            if status == 303:
                self.method, self.body = "GET", b""
                self._keep(lambda name: name not in _ABOUT_THE_BODY)
        if elsewhere:
            self._keep(lambda name: name in _HARMLESS)
        self.url = target
        return True

    def _keep(self, wanted: Callable[[str], bool]) -> None:
        self.headers = {n: v for n, v in self.headers.items() if wanted(n.lower())}


async def _follow(
    client: httpx.AsyncClient, request: _Request, max_bytes: int, *, cut: bool
) -> HttpReply:
    for _ in range(MAX_REDIRECTS + 1):
        async with client.stream(
            request.method,
            request.url,
            content=request.body or None,
            headers=_headers(request),
            extensions={"trace": request.note},
        ) as response:
            location = response.headers.get("location", "")
            redirected = bool(location) and response.status_code in _REDIRECTS
            if redirected and request.go_to(response.status_code, _target(request, location)):
                continue
            taken, whole = await _taken(response, request, max_bytes, cut=cut)
        return HttpReply(
            response.status_code,
            {name.lower(): value for name, value in response.headers.items()},
            taken,
            str(request.url.copy_with(userinfo=b"")),
            whole,
        )
    raise PermanentError(f"{request.name}: redirected more than {MAX_REDIRECTS} times")


def _headers(request: _Request) -> list[tuple[bytes, bytes]]:
    # What is packed otherwise could not be unpacked within bounds.
    own = {"User-Agent": f"hydrusd/{__version__}", "Accept": "*/*", "Accept-Encoding": "gzip"}
    given = {name.lower() for name in request.headers}
    sent = {n: v for n, v in own.items() if n.lower() not in given} | request.headers
    try:
        return [(name.encode("ascii"), value.encode("latin-1")) for name, value in sent.items()]
    except UnicodeEncodeError:
        raise PermanentError(f"{request.name}: a header holds {_UNSENDABLE}") from None


async def _taken(
    response: httpx.Response, request: _Request, max_bytes: int, *, cut: bool
) -> tuple[bytes, bool]:
    """Give the body, unpacked, and whether that is all of it."""
    taken = bytearray()
    async for piece in _unpacked(response, request, max_bytes + 1):
        taken += piece
        if len(taken) > max_bytes:
            if not cut:
                raise PermanentError(f"{request.name}: the answer is larger than {max_bytes} bytes")
            return bytes(taken[:max_bytes]), False
    return bytes(taken), True


async def _unpacked(
    response: httpx.Response, request: _Request, most_bytes: int
) -> AsyncIterator[bytes]:
    """Give the body in pieces of at most so many bytes: a few can unpack to gigabytes."""
    encoding = response.headers.get("content-encoding", "").strip().lower()
    if encoding in {"", "identity"} or request.method == "HEAD":
        async for piece in response.aiter_raw():
            yield piece
        return
    if encoding not in {"gzip", "x-gzip", "deflate"}:
        raise PermanentError(f"{request.name}: the answer is packed as {redact(encoding)!r}")
    unpacker = zlib.decompressobj(zlib.MAX_WBITS | 32)
    begun = False
    try:
        async for packed in response.aiter_raw():
            left, begun = packed, True
            while left:
                if unpacker.eof:  # one stream may follow another
                    unpacker = zlib.decompressobj(zlib.MAX_WBITS | 32)
                yield unpacker.decompress(left, most_bytes)
                left = unpacker.unconsumed_tail or unpacker.unused_data
    except zlib.error as error:
        raise request.failure("answered with broken data") from error
    if begun and not unpacker.eof:
        raise request.failure("stopped in the middle of its answer")


# --- URLs ------------------------------------------------------------------------------------


def _checked(url: str) -> httpx.URL:
    """Give a URL that can be asked for. Raises PermanentError."""
    try:
        parts = urlsplit(url.strip())
        parsed = httpx.URL(url.strip())
    except (httpx.InvalidURL, UnicodeError, ValueError):
        raise PermanentError("this is no URL") from None
    register(parts.password or "")
    register(parsed.password)
    if not _usable(parsed) or len(url) > MAX_URL_LENGTH:
        raise PermanentError(f"{_shown(parsed)!r} is no URL of http:// or https://")
    return parsed


def _target(request: _Request, location: str) -> httpx.URL:
    """Give where a redirect leads. Raises PermanentError where it should lead nowhere."""
    try:
        target = request.url.join(location)
    except (httpx.InvalidURL, UnicodeError, ValueError):
        target = httpx.URL("")
    if not _usable(target):
        raise PermanentError(f"{request.name}: {_NOWHERE}")
    if request.url.scheme == "https" and target.scheme == "http":
        raise PermanentError(f"{request.name}: redirected from https:// to plain http://")
    return target


def _usable(url: httpx.URL) -> bool:
    return url.scheme in _PORTS and bool(url.host) and (url.port or 0) < 65536


def _same_host(one: httpx.URL, other: httpx.URL) -> bool:
    """Say whether both are one server, which may have led from http to https."""
    ports = [url.port or _PORTS[url.scheme] for url in (one, other)]
    upgraded = (one.scheme, other.scheme) == ("http", "https") and ports == [80, 443]
    return one.host == other.host and (ports[0] == ports[1] or upgraded)


def _shown(url: httpx.URL) -> str:
    return redact(str(url.copy_with(userinfo=b"", query=None, fragment=None)))


@cache
def _trusted() -> ssl.SSLContext:
    return httpx.create_ssl_context()  # takes 20 ms
