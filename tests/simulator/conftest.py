"""A simulator, a caller for it, and pictures that no two tests need share."""

from __future__ import annotations

import io
import random

import httpx
import pytest
from PIL import Image

from hydrusd.simulator import DEFAULT_ACCESS_KEY, Simulator, SimulatorConfig
from hydrusd.simulator._serving import Serving

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


class Stage:
    """One listening server for all tests, in front of the simulator that is being tested."""

    request_line_bytes = 2 * 1024 * 1024

    def __init__(self):
        self.simulator = None

    async def app(self, scope, receive, send):
        await self.simulator.app(scope, receive, send)

    def shut_down(self):
        self.simulator = None


@pytest.fixture(scope="session")
def stage():
    stage = Stage()
    with Serving(stage, "127.0.0.1", 0) as url:
        yield stage, url


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
