"""A seam in place of the network, fed with what real clients answered."""

from __future__ import annotations

import contextlib
import json
from dataclasses import dataclass
from pathlib import Path

import httpx
import pytest

from hydrusd.clock import ManualClock
from hydrusd.hydrus import HydrusClient

pytest.register_assert_rewrite("files_behaviour")

ACCESS_KEY = "0123456789abcdef" * 4
RECORDED = Path(__file__).parent / "recorded"
ERAS = (11, 32, 95)


@dataclass(frozen=True)
class Asked:
    method: str
    target: str
    headers: httpx.Headers
    body: bytes

    @property
    def path(self):
        return self.target.partition("?")[0]

    @property
    def json(self):
        return json.loads(self.body)


@dataclass(frozen=True)
class Reply:
    status: int = 200
    body: object = b""
    content_type: str = ""

    def response(self):
        content, content_type = self.body, self.content_type
        if isinstance(content, dict):
            content, content_type = json.dumps(content).encode(), content_type or "application/json"
        elif isinstance(content, str):
            content = b"" if content == "<0 bytes>" else content.encode()
        headers = {"content-type": content_type} if content_type else {}
        return httpx.Response(self.status, headers=headers, content=content)


def recorded(era):
    return {
        entry["name"]: entry
        for path in sorted(RECORDED.glob(f"v{era}*.json"))
        for entry in json.loads(path.read_text("utf-8"))
    }


def reply_of(entry):
    return Reply(entry["status"], entry["body"], entry["content_type"])


class Network(httpx.AsyncBaseTransport):
    """Answers as a recorded client, or as the test says; remembers what it was asked."""

    def __init__(self, era):
        entries = recorded(era)
        self.asked: list[Asked] = []
        self.closed = False
        self._replies = {}
        for name in ("api_version", "session_key", "verify", "client_info", "get_services"):
            self.says(entries[name]["path"], reply_of(entries[name]))
        if era < 41:
            self.says("/add_tags/get_tag_services", reply_of(entries["get_tag_services_legacy"]))
        self.recorded = entries

    def says(self, path, *replies):
        """Answer a path with these in turn; the last one stays. An exception is raised."""
        self._replies[path] = list(replies)

    def replays(self, name, *, at=None):
        """Answer with what was recorded, on its own path or on another."""
        entry = self.recorded[name]
        self.says(at or entry["path"], reply_of(entry))

    def asked_for(self, path):
        return [asked for asked in self.asked if asked.path == path]

    async def handle_async_request(self, request):
        body = b"".join([piece async for piece in request.stream])
        target = request.extensions["target"].decode()
        asked = Asked(request.method, target, request.headers, body)
        self.asked.append(asked)
        replies = self._replies[asked.path]
        reply = replies.pop(0) if len(replies) > 1 else replies[0]
        if isinstance(reply, Exception):
            raise reply
        return (reply(asked) if callable(reply) else reply).response()

    async def aclose(self):
        self.closed = True


@pytest.fixture
def clock():
    return ManualClock()


@pytest.fixture
def network():
    """A recorded client of the newest era."""
    return Network(95)


@pytest.fixture
def client_of(clock):
    """Make a client, not yet connected, that speaks to a network."""

    def make(network, **options):
        return HydrusClient(
            "http://127.0.0.1:45869", ACCESS_KEY, clock=clock, transport=network, **options
        )

    return make


@pytest.fixture
def network_of():
    """Make the network of an era."""
    return Network


@pytest.fixture
def reply():
    """Make an answer."""
    return Reply


@pytest.fixture
def access_key():
    return ACCESS_KEY


@pytest.fixture(params=ERAS, ids=lambda era: f"api{era}")
def era(request):
    return request.param


@pytest.fixture
async def speaking(client_of):
    """Connect to a client that speaks a version of the API; gives our client and the network."""
    async with contextlib.AsyncExitStack() as stack:

        async def connect(version):
            era = 11 if version < 17 else 32 if version < 41 else 95
            network = Network(era)
            network.says("/api_version", Reply(body={"version": version}))
            client = await stack.enter_async_context(client_of(network))
            await client.connect()
            network.asked.clear()
            return client, network

        yield connect


@pytest.fixture
async def limited(client_of):
    """Connect with an access key of these permissions; gives our client and the network."""
    async with contextlib.AsyncExitStack() as stack:

        async def connect(*permissions, version=95):
            network = Network(95)
            network.says("/api_version", Reply(body={"version": version}))
            verified = {"basic_permissions": list(permissions), "name": "some"}
            network.says("/verify_access_key", Reply(body=verified))
            client = await stack.enter_async_context(client_of(network))
            await client.connect()
            network.asked.clear()
            return client, network

        yield connect
