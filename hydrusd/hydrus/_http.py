"""The only module that knows httpx: bytes out, bytes in, and what can go wrong between.

It speaks to httpx's transport and not to its client, because everything which the client
adds is unwanted here: cookies, redirects (a redirected POST is a lost POST), proxies from
the environment, a second parse of every URL. What is left is faster, and the request
target goes out byte for byte as built, which the double decoding of Hydrus asks for.

A file that is fetched goes to a ``Sink`` piece by piece, so that its size does not matter.

A failure on the way becomes ``HydrusUnavailable``, with ``outcome_unknown`` where a write
may have been carried out although nobody said so.
"""

from __future__ import annotations

import json
import re
from collections.abc import AsyncIterator, Mapping
from dataclasses import dataclass, field, replace
from typing import Any, Protocol
from urllib.parse import quote, urlsplit

import anyio
import httpx

from hydrusd import __version__
from hydrusd.errors import HydrusFailed, HydrusUnavailable, RequestRejected, WriteRefused
from hydrusd.redaction import redact, register

from ._tls import Security, is_this_machine

# Tests put an httpx transport of their own here; everyone else leaves it None.
Transport = httpx.AsyncBaseTransport

MAX_CONNECTIONS = 8
CONNECT_TIMEOUT_SECONDS = 10.0

_HOW_TO_TRUST = (
    "; a Hydrus client makes its own certificate, which nobody has signed: give its SHA-256 "
    "fingerprint as tls_fingerprint, or its authority's file as tls_ca_file"
)

# All but what `quote` leaves alone, which is nearly all of what is sent: hashes.
_UNSAFE = re.compile(r"[^A-Za-z0-9_.~ -]+")

# All that is asked by GET only looks, but for this, which has the client's user asked.
_WRITES_BY_GET = frozenset({"/request_new_permissions"})
_LOOKS_BY_POST = frozenset({"/add_files/generate_hashes"})

# Failures before a single byte of the request left this machine.
_NOT_SENT = (httpx.ConnectError, httpx.ConnectTimeout, httpx.PoolTimeout, httpx.UnsupportedProtocol)


class Body(Protocol):
    """A request body too large to hold: its size in bytes, and its bytes, each time anew."""

    size: int

    def __aiter__(self) -> AsyncIterator[bytes]:
        """Begin at the first byte: a request may have to be repeated."""
        ...


class Sink(Protocol):
    """Where the body of a success goes that is too large to hold."""

    async def begin(self, answer: Answer) -> None:
        """Begin anew: here is all but the body. A request may have to be repeated."""
        ...

    async def take(self, piece: bytes) -> None:
        """Take the next piece of the body."""
        ...


@dataclass(frozen=True, slots=True)
class Request:
    """One HTTP request, without the address of the client it goes to."""

    method: str
    path: str
    query: str = ""
    body: bytes | Body = b""
    content_type: str = ""
    headers: tuple[tuple[str, str], ...] = field(default=(), repr=False)
    extra_seconds: float = 0.0
    sink: Sink | None = None

    def with_header(self, name: str, value: str) -> Request:
        """Give the same request with one header more."""
        return replace(self, headers=(*self.headers, (name, value)))

    def into(self, sink: Sink) -> Request:
        """Give the same request with the body of a success going to ``sink``."""
        return replace(self, sink=sink)


@dataclass(frozen=True, slots=True)
class Answer:
    """What came back: never partial, never interpreted. Not shown, it may hold a session key.

    ``body`` is empty where a sink took it.
    """

    status: int
    content_type: str
    body: bytes = field(repr=False)
    content_range: str = ""


def encode_query(params: Mapping[str, object]) -> str:
    """Give a query string that survives Hydrus, which decodes percent signs twice.

    Text goes as it is, everything else as JSON (a Python ``True`` would be refused).
    Raises RequestRejected for text that is not Unicode.
    """
    parts: list[str] = []
    for name, value in params.items():
        text = value if isinstance(value, str) else to_json(value).decode()
        try:
            # Hashes are many, and with a space between any two: all of these at once.
            parts.append(f"{name}={_UNSAFE.sub(_quoted, text).replace(' ', '%20')}")
        except UnicodeEncodeError:
            raise _not_unicode(text) from None
    return "&".join(parts)


def _quoted(found: re.Match[str]) -> str:
    return quote(found[0].replace("%", "%25"), safe="")


def to_json(value: object) -> bytes:
    """Give the value as JSON in UTF-8. Raises RequestRejected for text that is not Unicode."""
    text = json.dumps(value, ensure_ascii=False, separators=(",", ":"))
    try:
        return text.encode()
    except UnicodeEncodeError:
        raise _not_unicode(text) from None


def _not_unicode(text: str) -> RequestRejected:
    # File names that are no valid UTF-8 come from the system with lone surrogates in them.
    at = next(i for i, c in enumerate(text) if "\ud800" <= c <= "\udfff")
    near = ascii(text[max(0, at - 20) : at + 20])
    return RequestRejected(f"this text cannot be sent, it is not valid Unicode: {redact(near)}")


class Wire:
    """Connections to one Hydrus client, at most 8 at a time.

    ``url`` is http or https, host, port, and perhaps a path before which a proxy put it.
    ``timeout_seconds`` is the longest silence while an answer is awaited: a busy client
    simply blocks, so it is long. Raises ValueError for what is no address, and ConfigError
    for one that ``security`` forbids.
    """

    def __init__(
        self,
        url: str,
        *,
        timeout_seconds: float,
        transport: Transport | None,
        security: Security,
        read_only: bool = False,
    ) -> None:
        self._read_only = read_only
        parts = urlsplit(url.strip())
        if parts.scheme not in {"http", "https"} or not parts.hostname:
            raise ValueError(f"not the address of a Hydrus client: {redact(url)!r}")
        if parts.username is not None or parts.password is not None:
            register(parts.password or "")
            raise ValueError("an address with a user name or password in it is not supported")
        context = security.checked(parts.scheme, parts.hostname)
        self.is_this_machine = is_this_machine(parts.hostname)
        host = f"[{parts.hostname}]" if ":" in parts.hostname else parts.hostname
        self.address = f"{parts.scheme}://{host}" + (f":{parts.port}" if parts.port else "")
        try:
            self._url = httpx.URL(self.address)
        except httpx.InvalidURL:  # a host in letters that no name of a host has
            raise ValueError(f"not the address of a Hydrus client: {redact(url)!r}") from None
        self._prefix = quote(parts.path.rstrip("/"), safe="/%")
        self._timeout_seconds = timeout_seconds
        self._headers = (
            (b"Host", self._url.netloc),
            (b"Accept", b"application/json"),
            (b"User-Agent", f"hydrusd/{__version__}".encode()),
        )
        # httpx hands out connections in quadratic time when many wait: let them wait here.
        self.under_way = 0
        self._turns = anyio.Semaphore(MAX_CONNECTIONS, fast_acquire=True)
        self._transport = transport or httpx.AsyncHTTPTransport(
            verify=True if context is None else context,
            trust_env=False,
            limits=httpx.Limits(
                max_connections=MAX_CONNECTIONS, max_keepalive_connections=MAX_CONNECTIONS
            ),
        )

    async def close(self) -> None:
        """Close all connections."""
        await self._transport.aclose()

    async def send(self, request: Request) -> Answer:
        """Send the request and give the whole answer, whatever its status.

        Raises HydrusUnavailable where no whole answer came, and WriteRefused where a request
        could change something and nothing may be changed.
        """
        # Here and nowhere above: whatever way a request took, it comes by.
        if self._read_only and not _only_looks(request):
            raise WriteRefused(
                "this would change something in Hydrus, and now is only looked",
                method=request.method,
                path=request.path,
            )
        self.under_way += 1
        try:
            return await self._sent(request)
        finally:
            self.under_way -= 1

    async def _sent(self, request: Request) -> Answer:
        async with self._turns:
            try:
                response = await self._transport.handle_async_request(self._build(request))
                try:
                    answer = await _received(response, request.sink)
                finally:
                    await response.aclose()
            except httpx.LocalProtocolError as error:
                raise HydrusFailed(
                    f"the request is no valid HTTP: {redact(str(error))}",
                    method=request.method,
                    path=request.path,
                ) from error
            except httpx.RequestError as error:
                raise self._unavailable(request, error) from error
        return answer

    def _build(self, request: Request) -> httpx.Request:
        headers = list(self._headers)
        if isinstance(request.body, bytes):
            stream: httpx.AsyncByteStream = httpx.ByteStream(request.body)
            size = len(request.body)
        else:
            stream = _Stream(request.body)
            size = request.body.size
        if request.method != "GET":
            headers.append((b"Content-Length", str(size).encode()))
            headers.append((b"Content-Type", request.content_type.encode()))
        headers += [(name.encode(), value.encode()) for name, value in request.headers]
        target = f"{self._prefix}{request.path}" + (f"?{request.query}" if request.query else "")
        trace = {"trace": _Handshake()} if self._url.scheme == "https" else {}
        return httpx.Request(
            request.method,
            self._url,
            headers=headers,
            stream=stream,
            extensions={
                "target": target.encode(),
                "timeout": {
                    "connect": CONNECT_TIMEOUT_SECONDS,
                    "read": self._timeout_seconds + request.extra_seconds,
                    "write": self._timeout_seconds,
                    "pool": None,
                },
                **trace,
            },
        )

    def _unavailable(self, request: Request, error: httpx.RequestError) -> HydrusUnavailable:
        if isinstance(error, httpx.ConnectTimeout):
            what = f"no connection to {self.address} within {CONNECT_TIMEOUT_SECONDS:g} s"
        elif isinstance(error, httpx.ConnectError):
            what = (
                f"cannot connect to {self.address}: {error}; "
                "is Hydrus running, with its Client API turned on?"
            )
            if "CERTIFICATE_VERIFY_FAILED" in str(error):
                what += _HOW_TO_TRUST
        elif isinstance(error, httpx.ReadTimeout):
            waited = self._timeout_seconds + request.extra_seconds
            what = f"no answer from {self.address} within {waited:g} s"
        elif isinstance(error, httpx.WriteTimeout):
            what = f"{self.address} stopped taking the request for {self._timeout_seconds:g} s"
        else:
            what = f"the connection to {self.address} was cut: {str(error) or type(error).__name__}"
        return HydrusUnavailable(
            redact(what),
            outcome_unknown=request.method != "GET" and not isinstance(error, _NOT_SENT),
            method=request.method,
            path=request.path,
        )


def _only_looks(request: Request) -> bool:
    if request.method == "GET":
        return request.path not in _WRITES_BY_GET
    return request.method == "POST" and request.path in _LOOKS_BY_POST


async def _received(response: httpx.Response, sink: Sink | None) -> Answer:
    head = Answer(
        response.status_code,
        response.headers.get("content-type", ""),
        b"",
        response.headers.get("content-range", ""),
    )
    if sink is None or response.status_code not in {200, 206}:
        return replace(head, body=await response.aread())
    await sink.begin(head)
    async for piece in response.aiter_bytes():
        await sink.take(piece)
    return head


class _Handshake:
    """Closes a connection whose handshake was cancelled; httpcore, which tells of it, does not."""

    def __init__(self) -> None:
        self._connection: Any = None

    async def __call__(self, event: str, told: Mapping[str, Any]) -> None:
        if event == "connection.connect_tcp.complete":
            self._connection = told["return_value"]
        elif event == "connection.start_tls.failed" and self._connection is not None:
            with anyio.CancelScope(shield=True):
                await self._connection.aclose()


class _Stream(httpx.AsyncByteStream):
    """A body as httpx wants it."""

    def __init__(self, body: Body) -> None:
        self._body = body

    def __aiter__(self) -> AsyncIterator[bytes]:
        return self._body.__aiter__()
