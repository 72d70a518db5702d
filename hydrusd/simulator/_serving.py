"""A simulator on a real socket, with connections that can really be cut."""

from __future__ import annotations

import asyncio
import contextlib
import os
import socket
import threading
from collections.abc import Iterator
from typing import Any, Protocol

import uvicorn
from starlette.types import ASGIApp, Receive, Scope, Send
from uvicorn.protocols.http.h11_impl import H11Protocol

from hydrusd.simulator._application import CUT_EXTENSION

_KEEP_ALIVE_SECONDS = 60
_GRACE_SECONDS = 1
STARTUP_SECONDS = 10


class _CuttableProtocol(H11Protocol):
    """Uvicorn's own protocol, whose application can reach the transport under its request."""

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        super().connection_made(transport)
        app: Any = self.app

        async def cut(at_once: bool) -> None:
            if at_once:
                transport.abort()
            else:
                transport.close()
            # Until the loop has told uvicorn, it would answer 500 for us.
            while self in self.connections:  # noqa: ASYNC110 - there is no event to wait for
                await asyncio.sleep(0.001)

        async def app_with_cut(scope: Scope, receive: Receive, send: Send) -> None:
            scope.setdefault("extensions", {})[CUT_EXTENSION] = cut
            await app(scope, receive, send)

        self.app = app_with_cut


class Server(uvicorn.Server):
    """A uvicorn that leaves signals alone and says when it listens."""

    def __init__(self, app: ASGIApp, request_line_bytes: int) -> None:
        super().__init__(
            uvicorn.Config(
                app,
                loop="asyncio",
                http=_CuttableProtocol,
                ws="none",
                interface="asgi3",
                lifespan="off",
                log_config=None,
                log_level="critical",
                access_log=False,
                server_header=False,
                timeout_keep_alive=_KEEP_ALIVE_SECONDS,
                timeout_graceful_shutdown=_GRACE_SECONDS,
                h11_max_incomplete_event_size=request_line_bytes,
            )
        )
        self.listening = threading.Event()
        self._loop: asyncio.AbstractEventLoop | None = None
        self._stopping = asyncio.Event()

    def stop(self) -> None:
        """End serving soon. From any thread, and from a signal handler."""
        self.should_exit = True
        if self._loop:
            with contextlib.suppress(RuntimeError):  # the loop has ended by itself meanwhile
                self._loop.call_soon_threadsafe(self._stopping.set)

    @contextlib.contextmanager
    def capture_signals(self) -> Iterator[None]:
        """Capture none: whoever runs the simulator decides what ends it."""
        yield

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        """Start listening."""
        self._loop = asyncio.get_running_loop()
        await super().startup(sockets=sockets)
        self.listening.set()

    async def main_loop(self) -> None:
        """Wait for ``stop``, once a second letting uvicorn renew its Date header."""
        while not await self.on_tick(0):
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(self._stopping.wait(), timeout=1)


def bind(host: str, port: int) -> tuple[socket.socket, str]:
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    # The protocol is spelled out because asyncio turns Nagle's algorithm off only for sockets
    # that say they are TCP; with it, each small answer takes 40 ms.
    listener = socket.socket(family, socket.SOCK_STREAM, socket.IPPROTO_TCP)
    if os.name == "posix":
        # Here a port in TIME_WAIT may be taken again; on Windows this flag would let two
        # programs share one port.
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    try:
        listener.bind((host, port))
    except OSError:
        listener.close()
        raise
    shown = f"[{host}]" if ":" in host else host
    return listener, f"http://{shown}:{listener.getsockname()[1]}"


class Served(Protocol):
    """What can be put on a socket: a simulator, or what stands in front of several."""

    @property
    def app(self) -> ASGIApp:
        """The ASGI application."""
        ...

    @property
    def request_line_bytes(self) -> int:
        """How long a request line with its headers may be."""
        ...

    def shut_down(self) -> None:
        """Called when it no longer listens."""
        ...


class Serving:
    """``with`` or ``async with``: the simulator listens inside, the value is its URL.

    Leaving commits, as a client that is closed does, and counts as the end of a boot.
    """

    def __init__(self, served: Served, host: str, port: int) -> None:
        self._served = served
        self._host = host
        self._port = port
        self._server: Server | None = None
        self._thread: threading.Thread | None = None

    def __enter__(self) -> str:
        listener, url = bind(self._host, self._port)
        server = Server(self._served.app, self._served.request_line_bytes)
        thread = threading.Thread(
            target=server.run, args=([listener],), name="hydrus simulator", daemon=True
        )
        thread.start()
        if not server.listening.wait(STARTUP_SECONDS):
            server.stop()
            raise RuntimeError("the simulator did not start to listen")
        self._server, self._thread = server, thread
        return url

    def __exit__(self, *_: object) -> None:
        if self._server and self._thread:
            self._server.stop()
            self._thread.join()
        self._served.shut_down()

    async def __aenter__(self) -> str:
        return await asyncio.to_thread(self.__enter__)

    async def __aexit__(self, *_: object) -> None:
        await asyncio.to_thread(self.__exit__)
