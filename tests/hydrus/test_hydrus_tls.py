"""Who may be spoken to, and how: over real TLS on this machine."""

from __future__ import annotations

import contextlib
import hashlib
import ssl
import threading
from pathlib import Path

import anyio
import pytest
import uvicorn

from hydrusd.errors import ConfigError, HydrusdError, HydrusUnavailable
from hydrusd.hydrus import HydrusClient
from hydrusd.hydrus._tls import is_this_machine
from hydrusd.simulator import Permissions, Simulator, SimulatorConfig
from hydrusd.simulator._serving import bind

pytestmark = pytest.mark.anyio

DATA = Path(__file__).parent / "data"


def fingerprint(name):
    certificate = (DATA / f"{name}-cert.pem").read_text("ascii")
    return hashlib.sha256(ssl.PEM_cert_to_DER_cert(certificate)).hexdigest()


class Front:
    """A simulator behind TLS, counting the requests that came through."""

    def __init__(self, simulator):
        self.simulator = simulator
        self.requests = 0

    async def __call__(self, scope, receive, send):
        self.requests += 1
        await self.simulator.app(scope, receive, send)


@pytest.fixture(scope="module")
def simulator(module_key):
    keys = {module_key: Permissions(permits_everything=True)}
    with Simulator(SimulatorConfig(access_keys=keys)) as simulator:
        yield simulator


@pytest.fixture(scope="module")
def module_key():
    return "0123456789abcdef" * 4


@contextlib.contextmanager
def serving(front, certificate):
    listener, url = bind("127.0.0.1", 0)
    listener.listen()  # who comes before the server does waits for it
    server = uvicorn.Server(
        uvicorn.Config(
            front,
            loop="asyncio",
            interface="asgi3",
            lifespan="off",
            log_config=None,
            log_level="critical",
            ssl_certfile=DATA / f"{certificate}-cert.pem",
            ssl_keyfile=DATA / f"{certificate}-key.pem",
            timeout_graceful_shutdown=1,
        )
    )
    thread = threading.Thread(target=server.run, args=([listener],), daemon=True)
    thread.start()
    try:
        yield url.replace("http:", "https:")
    finally:
        server.should_exit = True
        thread.join()


@pytest.fixture(scope="module", params=["test", "nameless"])
def served(request, simulator):
    """A listening client, its address, and the name of its certificate."""
    front = Front(simulator)
    with serving(front, request.param) as url:
        yield front, url, request.param


@pytest.fixture
def client_of(access_key, served):
    def make(**options):
        return HydrusClient(served[1], access_key, **options)

    return make


async def connects(client):
    async with client:
        return (await client.connect()).api_version


@pytest.mark.parametrize("written", ["{}", "upper", "colons", "sha256:{}", " SHA-256={} "])
async def test_a_pinned_certificate(client_of, served, written):
    digits = fingerprint(served[2])
    if written == "upper":
        digits = digits.upper()
    elif written == "colons":
        digits = bytes.fromhex(digits).hex(":").upper()
    else:
        digits = written.format(digits)
    assert await connects(client_of(tls_fingerprint=digits)) == 95


async def test_another_certificate_than_the_pinned_one(client_of, served):
    front, _, certificate = served
    before = front.requests
    async with client_of(tls_fingerprint=fingerprint("other")) as client:
        with pytest.raises(HydrusUnavailable, match="another than the pinned one") as caught:
            await client.connect()
    assert bytes.fromhex(fingerprint(certificate)).hex(":") in str(caught.value)
    assert caught.value.outcome_unknown is False
    assert front.requests == before  # not a byte of a request was sent


async def test_an_authority_of_the_users_own(client_of, served):
    client = client_of(tls_ca_file=DATA / f"{served[2]}-cert.pem")
    if served[2] == "test":
        assert await connects(client) == 95
    else:  # signed by the right one, for nobody
        with pytest.raises(HydrusUnavailable, match="CERTIFICATE_VERIFY_FAILED"):
            await connects(client)


@pytest.mark.parametrize("options", [{}, {"tls_ca_file": DATA / "other-cert.pem"}])
async def test_a_certificate_that_nobody_vouches_for(client_of, served, options):
    before = served[0].requests
    with pytest.raises(HydrusUnavailable, match="tls_fingerprint"):
        await connects(client_of(**options))
    assert served[0].requests == before


async def test_a_connection_is_closed_when_its_handshake_is_cancelled(access_key):
    """By a daemon that is stopped, and has a client that takes its time for it."""
    listener, url = bind("127.0.0.1", 0)
    with listener:
        listener.listen()
        pinned = HydrusClient(url.replace("http:", "https:"), access_key, tls_fingerprint="ab" * 32)
        async with pinned, anyio.create_task_group() as tasks:
            tasks.start_soon(pinned.connect)
            connection, _ = await anyio.to_thread.run_sync(listener.accept)
            with connection:
                connection.settimeout(10)
                assert await anyio.to_thread.run_sync(connection.recv, 1)  # it has begun
                tasks.cancel_scope.cancel()
                with anyio.CancelScope(shield=True):
                    while await anyio.to_thread.run_sync(connection.recv, 4096):
                        pass  # or the time is up


async def test_a_pinned_client_that_speaks_plain_http(access_key):
    listener = await anyio.create_tcp_listener(local_host="127.0.0.1")
    port = listener.extra(anyio.abc.SocketAttribute.local_port)

    async def serve(stream):
        async with stream:
            await stream.receive()
            await stream.send(b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n")

    async with listener, anyio.create_task_group() as tasks:
        tasks.start_soon(listener.serve, serve)
        client = HydrusClient(
            f"https://127.0.0.1:{port}", access_key, tls_fingerprint=fingerprint("test")
        )
        with pytest.raises(HydrusUnavailable, match="cannot connect"):
            await connects(client)
        tasks.cancel_scope.cancel()


@pytest.mark.parametrize(
    "url", ["http://nas:45869", "http://192.168.1.5", "http://[fe80::1]", "http://localhost.evil"]
)
def test_plain_http_to_another_machine(url, access_key):
    with pytest.raises(ConfigError, match="allow_plain_http") as caught:
        HydrusClient(url, access_key)
    assert isinstance(caught.value, HydrusdError)
    assert access_key not in str(caught.value)
    (problem,) = caught.value.problems
    assert (problem.place, "https://" in problem.hint) == ("client", True)
    HydrusClient(url, access_key, allow_plain_http=True)
    HydrusClient(url.replace("http:", "https:"), access_key)


@pytest.mark.parametrize(
    "url", ["http://localhost:1", "http://LOCALHOST.", "http://127.9.9.9", "http://[::1]:5"]
)
def test_plain_http_to_this_machine(url, access_key):
    HydrusClient(url, access_key)


@pytest.mark.parametrize(
    ("host", "is_ours"),
    [("127.0.0.1", True), ("::1", True), ("::1%lo", True), ("10.0.0.1", False), ("", False)],
)
def test_this_machine(host, is_ours):
    assert is_this_machine(host) is is_ours


@pytest.mark.parametrize(
    ("url", "options", "said"),
    [
        ("https://a", {"tls_fingerprint": "ab" * 20}, "no SHA-256 fingerprint"),
        ("https://a", {"tls_fingerprint": ""}, "no SHA-256 fingerprint"),
        ("https://a", {"tls_ca_file": Path("/no/such/file")}, "no certificates could be read"),
        ("https://a", {"tls_ca_file": Path(__file__)}, "no certificates could be read"),
        ("http://127.0.0.1", {"tls_fingerprint": "ab" * 32}, "protect nothing over plain http"),
        (
            "https://a",
            {"tls_fingerprint": "ab" * 32, "tls_ca_file": DATA / "test-cert.pem"},
            "exclude each other",
        ),
    ],
)
def test_what_cannot_be_used(access_key, url, options, said):
    with pytest.raises(ConfigError, match=said):
        HydrusClient(url, access_key, **options)
