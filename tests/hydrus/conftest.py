"""A seam in place of the network, fed with what real clients answered."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path

import httpx
import pytest

from hydrusd.clock import ManualClock
from hydrusd.hydrus import HydrusClient

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
    entries = json.loads((RECORDED / f"v{era}.json").read_text("utf-8"))
    return {entry["name"]: entry for entry in entries}


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
