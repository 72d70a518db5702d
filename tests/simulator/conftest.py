"""A simulator, a caller for it, and pictures that no two tests need share."""

from __future__ import annotations

import http.server
import io
import random
import threading

import httpx
import pytest
from PIL import Image

from hydrusd.simulator import DEFAULT_ACCESS_KEY, Simulator, SimulatorConfig

KEY_HEADER = "Hydrus-Client-API-Access-Key"
RAW = {"Content-Type": "application/octet-stream"}
MY_TAGS = "6c6f63616c2074616773"


class Caller(httpx.Client):
    """An HTTP client with the shortest words for what most tests do."""

    def add(self, content):
        return self.post("/add_files/add_file", content=content, headers=RAW).json()

    def tag(self, hashes, tags, service_key=MY_TAGS, **more):
        body = {"hashes": hashes, "service_keys_to_tags": {service_key: tags}, **more}
        answer = self.post("/add_tags/add_tags", json=body)
        assert answer.status_code == 200, answer.text

    def commit(self):
        # The first answer promises the commit, the second one proves it.
        for _ in range(2):
            assert self.post("/manage_database/force_commit").status_code == 200


@pytest.fixture
def call():
    """``call(url)``: a caller with the default access key; closed after the test."""
    callers = []

    def make(url, key=DEFAULT_ACCESS_KEY):
        headers = {KEY_HEADER: key} if key else {}
        # No certificates: loading them takes longer than most of these tests.
        callers.append(
            Caller(base_url=url, headers=headers, timeout=20, trust_env=False, verify=False)
        )
        return callers[-1]

    yield make
    for caller in callers:
        caller.close()


@pytest.fixture
def started(stage, call):
    """``started(**config)``: a listening simulator and a caller for it, one a test."""
    front, url = stage
    running = []

    def start(**config):
        running.append(Simulator(SimulatorConfig(**config)))
        front.simulator = running[-1]
        return running[-1], call(url)

    yield start
    for simulator in running:
        simulator.close()


@pytest.fixture(scope="session")
def picture():
    """``picture(n)``: the n-th small picture, always the same bytes. Other formats by name."""

    def make(number=0, fmt="PNG", size=(64, 64), **options):
        noise = random.Random(number).randbytes(size[0] * size[1] * 3)
        buffer = io.BytesIO()
        Image.frombytes("RGB", size, noise).save(buffer, fmt, **options)
        return buffer.getvalue()

    return make


class Site:
    """A web server on this machine. ``pages``: path to body, or to a whole answer.

    An answer is (status, headers, body). Paths that are held answer once they are let go.
    ``asked`` lists the requests: path and headers.
    """

    modified = "Mon, 01 Jan 2024 00:00:00 GMT"

    def __init__(self):
        self.pages = {}
        self.asked = []
        self._held = {}
        site = self

        class Handler(http.server.BaseHTTPRequestHandler):
            def do_GET(self):
                site.asked.append((self.path, dict(self.headers)))
                if self.path in site._held:
                    site._held[self.path].wait(20)
                page = site.pages.get(self.path, (404, {}, b"not here"))
                if isinstance(page, bytes):
                    page = (200, {"Last-Modified": site.modified}, page)
                status, headers, body = page
                self.send_response(status)
                for name, value in {**headers, "Content-Length": str(len(body))}.items():
                    self.send_header(name, value)
                self.end_headers()
                self.wfile.write(body)

            def log_message(self, *args):
                pass

        self._server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self._thread = threading.Thread(target=self._server.serve_forever, args=(0.01,))
        self._thread.start()
        self.url = f"http://127.0.0.1:{self._server.server_port}"

    def hold(self, paths):
        self._held |= {path: threading.Event() for path in paths}

    def let_go(self, paths):
        for path in paths:
            self._held[path].set()

    def close(self):
        self.let_go(self._held)
        self._server.shutdown()
        self._thread.join()
        self._server.server_close()


@pytest.fixture
def site():
    site = Site()
    yield site
    site.close()
