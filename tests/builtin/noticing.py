"""What the engine is to a trigger, for tests that hold the clock in their hands."""

from __future__ import annotations

import contextlib
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import anyio
import anyio.lowlevel

from hydrusd.clock import ManualClock
from hydrusd.hydrus import HydrusClient
from hydrusd.simulator import DEFAULT_ACCESS_KEY, Simulator, SimulatorConfig

MOST_AT_ONCE = 2_048
"""As many as a trigger hands over or asks about at once."""


class RecordingClock(ManualClock):
    """Keeps how long anyone wanted to sleep."""

    def __init__(self):
        super().__init__()
        self.asked_for = []

    async def sleep(self, seconds):
        self.asked_for.append(seconds)
        await super().sleep(seconds)


class Kept:
    """What outlives a run of the trigger: keys, reasons, memory."""

    def __init__(self):
        self.keys = set()
        self.passed = {}
        self.memory = {}


class Context:
    """Records what it is told; ``fail_emits`` many hand-overs fail before anything is kept."""

    def __init__(self, kept=None, client=None, *, step_seconds=0.5):
        self.clock = RecordingClock()
        self.step_seconds = step_seconds
        self.kept = kept or Kept()
        self.client = client
        self.events = []
        self.passed = []
        self.told = []
        self.warnings = []
        self.counts = []
        self.fail_emits = 0

    async def emit(self, events, *, remember=None):
        await self._keep(events, remember)
        self.events += [event for event in events if event.key not in self.kept.keys]
        self.kept.keys |= {event.key for event in events}

    async def pass_over(self, events, reason, *, remember=None):
        await self._keep(events, remember)
        self.passed += events
        self.kept.passed |= {event.key: reason for event in events}
        self.kept.keys |= {event.key for event in events}

    async def _keep(self, events, remember):
        assert len(events) <= MOST_AT_ONCE
        await anyio.lowlevel.checkpoint()
        if self.fail_emits:
            self.fail_emits -= 1
            raise RuntimeError("the disk is full")
        self.kept.memory |= remember or {}

    async def recall(self, name):
        return self.kept.memory.get(name)

    async def unseen(self, keys):
        assert 0 < len(keys) <= MOST_AT_ONCE
        await anyio.lowlevel.checkpoint()
        return set(keys) - self.kept.keys

    def waiting(self, reason):
        self.told.append(("waiting", reason))

    def working(self, detail=""):
        self.told.append(("working", detail))

    def counted(self, found, waiting, *, scanning=False):
        self.counts.append((found, waiting, scanning))

    def warn(self, message):
        self.warnings.append(message)

    def data(self, name):
        return [event.data[name] for event in self.events]

    async def until(self, condition):
        """Let time pass, slowly enough for disk and network, until something has happened."""
        with anyio.fail_after(20):
            while not condition():
                await self.pass_time(self.step_seconds)

    async def pass_time(self, seconds):
        await self.clock.advance(seconds)
        await anyio.sleep(0.002)

    async def until_told(self, state):
        await self.until(lambda: self.told and self.told[-1][0] == state)


@contextlib.asynccontextmanager
async def noticing(trigger, context):
    """Run a trigger meanwhile."""
    async with anyio.create_task_group() as tasks:
        tasks.start_soon(trigger.run, context)
        yield context
        tasks.cancel_scope.cancel()


@contextlib.asynccontextmanager
async def hydrus(stage, config=None, *, connected=True):
    """A simulated client on the stage: the simulator, and the client that speaks to it."""
    theatre, url = stage
    with Simulator(config or SimulatorConfig()) as simulator:
        theatre.simulator = simulator
        try:
            async with HydrusClient(url, DEFAULT_ACCESS_KEY) as client:
                if connected:
                    await client.connect()
                yield simulator, client
        finally:
            theatre.simulator = None


class Web:
    """A website on this machine: pages by path, and what was asked of it.

    A page is a body, or a status, headers and a body. As a proxy it is every website.
    """

    def __init__(self):
        self.pages = {}
        self.asked = []
        web = self

        class Handler(BaseHTTPRequestHandler):
            def do_GET(self):
                web.asked.append((self.path, {k.lower(): v for k, v in self.headers.items()}))
                page = web.pages.get(self.path, (404, {}, b""))
                status, headers, body = page if isinstance(page, tuple) else (200, {}, page)
                body = body.encode() if isinstance(body, str) else body
                self.send_response(status)
                for name, value in headers.items():
                    self.send_header(name, value)
                self.send_header("Content-Length", str(len(body)))
                self.end_headers()
                self.wfile.write(body)

            def log_message(self, *_):
                pass

        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.url = f"http://127.0.0.1:{self._server.server_port}"
        self._thread = threading.Thread(
            target=self._server.serve_forever, kwargs={"poll_interval": 0.01}
        )

    def __enter__(self):
        self._thread.start()
        return self

    def __exit__(self, *_):
        self._server.shutdown()
        self._thread.join()
        self._server.server_close()
