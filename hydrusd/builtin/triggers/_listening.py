"""The port on which webhooks listen. The one module here that knows starlette and uvicorn.

Rules that name the same address share one listener, each with a path of its own; the last
that leaves closes it. The listener belongs to the event loop and to no trigger: one that is
started again must not cut off the others.

Whoever reaches the port can send bytes, long before anyone can ask for the secret. So what a
connection may cost is bounded: it makes one request, has a few seconds to say it whole, and
there are only so many at a time.
"""

from __future__ import annotations

import asyncio
import socket
import sys
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass, field

import anyio
import uvicorn
from anyio.lowlevel import RunVar
from starlette.requests import ClientDisconnect, Request
from starlette.responses import JSONResponse, Response
from starlette.types import Receive, Scope, Send
from uvicorn.protocols.http.h11_impl import H11Protocol

MOST_CONNECTIONS = 64
MOST_HEADER_BYTES = 16 * 1024
REQUEST_SECONDS = 10.0
"""How long a client may take from connecting to the end of its request."""
GRACE_SECONDS = 2
"""How long requests that are under way may take to end when the listener closes."""


class ListenerError(Exception):
    """It is not possible to listen here at the moment, and why."""


@dataclass(frozen=True, slots=True)
class Delivery:
    """A POST request, whole. Names of headers are in lower case."""

    path: str
    query: str
    headers: Mapping[str, str]
    body: bytes


@dataclass(frozen=True, slots=True)
class Reply:
    """What the sender is told."""

    status: int
    content: Mapping[str, object]
    headers: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Place:
    """One path of a listener: who gets what is sent there, and how large it may be."""

    receive: Callable[[Delivery], Awaitable[Reply]]
    most_bytes: int


@asynccontextmanager
async def listening(host: str, port: int, path: str, place: Place) -> AsyncIterator[None]:
    """Hand over what is sent to this path as long as the context is open.

    Raises ListenerError where the port cannot be had, or the path is taken.
    """
    listeners = _listeners()
    address = (host, port)
    if address not in listeners:
        listeners[address] = _Listener(_bound(host, port))
    listener = listeners[address]
    if path in listener.places:
        raise ListenerError(f"another rule, with other parameters, listens at {path}")
    listener.places[path] = place
    try:
        await listener.open()
        yield
    finally:
        del listener.places[path]
        if not listener.places:
            del listeners[address]
            await listener.close()


_OF_THIS_LOOP: RunVar[dict[tuple[str, int], _Listener]] = RunVar("webhook listeners")


def _listeners() -> dict[tuple[str, int], _Listener]:
    try:
        return _OF_THIS_LOOP.get()
    except LookupError:
        _OF_THIS_LOOP.set({})
        return _OF_THIS_LOOP.get()


def _bound(host: str, port: int) -> socket.socket:
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    # So that a port that was just left can be taken again; on Windows that flag would let two
    # programs share one, and another forbids it.
    if sys.platform == "win32":
        option = socket.SO_EXCLUSIVEADDRUSE
    else:
        option = socket.SO_REUSEADDR
    listener = socket.socket(family, socket.SOCK_STREAM, socket.IPPROTO_TCP)
    try:
        listener.setsockopt(socket.SOL_SOCKET, option, 1)
        listener.bind((host, port))
        listener.listen()
    except OSError as error:
        listener.close()
        raise ListenerError(
            f"cannot listen on port {port} of {host}: {error.strerror or error}"
        ) from error
    return listener


class _Listener:
    """One open port."""

    def __init__(self, bound: socket.socket) -> None:
        self.places: dict[str, Place] = {}
        self._socket = bound
        self._server = _Server(self._app)
        self._opening = anyio.Lock()

    async def open(self) -> None:
        with anyio.CancelScope(shield=True):  # half open is nothing that others could join
            async with self._opening:
                await self._server.open(self._socket)

    async def close(self) -> None:
        with anyio.CancelScope(shield=True):
            await self._server.close(self._socket)

    async def _app(self, scope: Scope, receive: Receive, send: Send) -> None:
        request = Request(scope, receive)
        try:
            response = await self._respond(request)
        except ClientDisconnect:
            return
        response.headers["Connection"] = "close"
        await response(scope, receive, send)

    async def _respond(self, request: Request) -> Response:
        # Not request.url, which is put together with whatever the header Host says.
        path = request.scope["path"]
        place = self.places.get(path)
        if place is None:
            return JSONResponse({"error": "there is nothing here"}, 404)
        if request.method != "POST":
            return JSONResponse({"error": "use POST"}, 405, {"Allow": "POST"})
        body = await _body(request, place.most_bytes)
        if body is None:
            error = f"the body is larger than {place.most_bytes} bytes"
            return JSONResponse({"error": error}, 413)
        query = request.scope["query_string"].decode("latin-1")
        reply = await place.receive(Delivery(path, query, dict(request.headers), body))
        return JSONResponse(reply.content, reply.status, reply.headers)


async def _body(request: Request, most_bytes: int) -> bytes | None:
    """Read the body; None where it is too large, without reading on."""
    if int(request.headers.get("content-length", 0)) > most_bytes:
        return None
    body = bytearray()
    async for chunk in request.stream():
        body += chunk
        if len(body) > most_bytes:
            return None
    return bytes(body)


class _Connection(H11Protocol):
    """Uvicorn's own protocol, but for one that takes its time, or is one too many."""

    _deadline: asyncio.TimerHandle | None = None

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        super().connection_made(transport)
        if len(self.connections) > MOST_CONNECTIONS:
            transport.abort()
        else:
            self._deadline = self.loop.call_later(REQUEST_SECONDS, self._end_if_slow)

    def connection_lost(self, exc: Exception | None) -> None:
        if self._deadline is not None:
            self._deadline.cancel()
        super().connection_lost(exc)

    def _end_if_slow(self) -> None:
        if self.cycle is None or self.cycle.more_body:
            self.transport.abort()


class _Server(uvicorn.Server):
    """A uvicorn that is opened and closed by whoever needs it: no loop, no signals, no log."""

    def __init__(self, app: Callable[[Scope, Receive, Send], Awaitable[None]]) -> None:
        super().__init__(
            uvicorn.Config(
                app,
                http=_Connection,
                ws="none",
                interface="asgi3",
                lifespan="off",
                log_config=None,
                log_level="error",
                access_log=False,
                server_header=False,
                date_header=False,  # it would have to be renewed each second
                proxy_headers=False,
                timeout_graceful_shutdown=GRACE_SECONDS,
                h11_max_incomplete_event_size=MOST_HEADER_BYTES,
            )
        )

    async def open(self, bound: socket.socket) -> None:
        if not self.started:
            self.config.load()
            self.lifespan = self.config.lifespan_class(self.config)
            await self.startup(sockets=[bound])

    async def close(self, bound: socket.socket) -> None:
        if self.started:
            await self.shutdown(sockets=[bound])
        else:
            bound.close()
