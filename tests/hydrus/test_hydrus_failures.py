"""Every row of the table that turns what came back into an error."""

from __future__ import annotations

import socket

import anyio
import httpx
import pytest

from hydrusd.errors import (
    AccessDenied,
    HydrusError,
    HydrusFailed,
    HydrusUnavailable,
    PermissionMissing,
    RequestRejected,
    VersionTooOld,
)
from hydrusd.hydrus import HydrusClient

pytestmark = pytest.mark.anyio

COMMIT = "/manage_database/force_commit"
PAGE = (
    "<!DOCTYPE html><html><head><title>No</title></head><body><h1>No &amp; never</h1></body></html>"
)


async def answered(client_of, network, answer):
    """Connect, have the next write answered so, and give the error."""
    async with client_of(network) as client:
        await client.connect()
        network.says(COMMIT, answer)
        with pytest.raises(HydrusError) as caught:
            await client.force_commit()
    error = caught.value
    assert (error.method, error.path) == ("POST", COMMIT)
    return error


@pytest.mark.parametrize(
    ("status", "kind"),
    [
        (302, HydrusFailed),
        (400, RequestRejected),
        (401, AccessDenied),
        (404, RequestRejected),
        (405, RequestRejected),
        (406, RequestRejected),
        (408, HydrusFailed),
        (409, HydrusFailed),
        (413, RequestRejected),
        (416, RequestRejected),
        (422, HydrusFailed),
        (426, RequestRejected),
        (429, HydrusFailed),
        (500, HydrusFailed),
        (502, HydrusFailed),
        (503, HydrusUnavailable),
        (504, HydrusFailed),
        (509, HydrusUnavailable),
    ],
)
@pytest.mark.parametrize(
    ("body", "words"),
    [
        ({"error": "in its words", "exception_type": "X", "status_code": 1}, "in its words"),
        ("in its  words\n", "in its words"),
        (PAGE, "No & never"),
        ("", ""),
    ],
    ids=["json", "text", "html", "empty"],
)
async def test_statuses(client_of, network, reply, status, kind, body, words):
    error = await answered(client_of, network, reply(status, body))
    assert type(error) is kind
    assert error.status == status
    assert error.excerpt == words
    assert words in str(error)
    if kind is HydrusUnavailable:
        assert error.outcome_unknown is False


@pytest.mark.parametrize(
    ("words", "kind", "advice"),
    [
        ("You do not have permission to: manage database", PermissionMissing, '"manage database"'),
        (
            "You need at least one these permissions: import files, manage pages",
            PermissionMissing,
            '"import files, manage pages"',
        ),
        (
            "Sorry, if you want to search without tags, you need permission to search everything!",
            PermissionMissing,
            "let it search all tags",
        ),
        (
            "You do not have permission to see all files, so you cannot do this.",
            PermissionMissing,
            "let it search all tags",
        ),
        (
            "You do not have permission to do this search. Your tag search permissions are: no",
            PermissionMissing,
            "let it search all tags",
        ),
        ("Did not find an entry for that access key!", AccessDenied, "look whether it exists"),
        ("Only local access allowed!", AccessDenied, "allow non-local connections"),
        ("Something nobody has heard of", AccessDenied, "refuses this access key"),
    ],
)
async def test_forbidden_has_many_meanings(client_of, network, reply, words, kind, advice):
    error = await answered(client_of, network, reply(403, {"error": words}))
    assert type(error) is kind
    assert advice in error.message
    assert error.excerpt == words


async def test_a_malformed_key_told_as_400(client_of, network):
    async with client_of(network) as client:
        await client.connect()
        network.replays("bad_key_short", at=COMMIT)
        with pytest.raises(AccessDenied, match="malformed"):
            await client.force_commit()


async def test_of_a_traceback_the_last_line_is_told(client_of, network, reply):
    frames = "".join(f'  File "hydrus/a{n}.py", line {n}, in f\n    x\n' for n in range(500))
    text = f"It broke!\n\nTraceback (most recent call last):\n{frames}ValueError: the news\n\n"
    for body in (text, {"error": text, "exception_type": "ValueError"}):
        error = await answered(client_of, network, reply(500, body))
        assert error.excerpt == "ValueError: the news"


async def test_words_are_cut(client_of, network, reply):
    error = await answered(client_of, network, reply(400, "x" * 100_000))
    assert error.excerpt == "x" * 256


@pytest.mark.parametrize(
    "answer",
    [
        (PAGE, "text/html"),
        ("ok", "text/plain"),
    ],
)
async def test_success_by_somebody_else_is_no_success(client_of, network, reply, answer):
    body, content_type = answer
    error = await answered(client_of, network, reply(200, body, content_type))
    assert isinstance(error, HydrusFailed)
    assert "is there a Hydrus client at this address?" in error.message


@pytest.mark.parametrize(
    "body", [PAGE, "", "[]", '{"status": 1', {"hash": "ab"}, {"status": 5, "hash": None}]
)
async def test_an_answer_that_is_not_the_one_due(client_of, network, reply, tmp_path, body):
    path = tmp_path / "a.png"
    path.write_bytes(b"x")
    network.says("/add_files/add_file", reply(200, body))
    async with client_of(network) as client:
        await client.connect()
        with pytest.raises(HydrusFailed, match="the answer makes no sense"):
            await client.add_file(path)


@pytest.mark.parametrize("status", [200, 404])
async def test_another_program_on_the_port_costs_no_job_its_life(client_of, network, reply, status):
    network.says("/api_version", reply(status, PAGE, "text/html"))
    async with client_of(network) as client:
        with pytest.raises(HydrusFailed, match="Hydrus client"):
            await client.connect()


async def test_a_client_older_than_any_that_was_tried(client_of, network, reply):
    network.says("/api_version", reply(body={"version": 10}))
    async with client_of(network) as client:
        with pytest.raises(VersionTooOld, match="needs Client API ≥ 11, this client speaks 10"):
            await client.connect()


async def test_permissions_of_the_future_are_no_problem(client_of, network, reply):
    network.says("/verify_access_key", reply(body={"basic_permissions": [3, 14, 99]}))
    async with client_of(network) as client:
        info = await client.connect()
        assert len(info.permissions) == 1
        assert not client.can_force_commit


async def test_a_failed_connect_leaves_what_was_known(client_of, network, reply):
    async with client_of(network) as client:
        info = await client.connect()
        network.says("/get_services", reply(503, "busy"))
        with pytest.raises(HydrusUnavailable):
            await client.connect()
        assert client.info == info
        assert client.tag_service("my tags")


@pytest.mark.parametrize(
    ("failure", "unknown"),
    [
        (httpx.ConnectError("refused"), False),
        (httpx.ConnectTimeout("slow"), False),
        (httpx.ReadTimeout("slow"), True),
        (httpx.WriteTimeout("slow"), True),
        (httpx.ReadError("reset"), True),
        (httpx.WriteError("reset"), True),
        (httpx.RemoteProtocolError("half an answer"), True),
    ],
)
async def test_the_outcome_of_a_write_is_unknown_once_it_was_sent(
    client_of, network, failure, unknown
):
    error = await answered(client_of, network, failure)
    assert isinstance(error, HydrusUnavailable)
    assert error.outcome_unknown is unknown
    assert error.status is None


async def test_the_outcome_of_a_question_is_never_unknown(client_of, network):
    async with client_of(network) as client:
        await client.connect()
        network.says("/client_info", httpx.ReadTimeout("slow"))
        with pytest.raises(HydrusUnavailable) as caught:
            await client.boot()
    assert caught.value.outcome_unknown is False


async def test_nobody_listens(access_key):
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))  # bound and not listening: refused, and nobody else's
        address = f"http://127.0.0.1:{taken.getsockname()[1]}"
        async with HydrusClient(address, access_key) as client:
            with pytest.raises(HydrusUnavailable, match=f"cannot connect to {address}") as caught:
                await client.connect()
    assert caught.value.outcome_unknown is False


async def test_no_such_host(access_key):
    async with HydrusClient(
        "http://nowhere.invalid:45869", access_key, allow_plain_http=True
    ) as client:
        with pytest.raises(HydrusUnavailable, match="cannot connect"):
            await client.connect()


@pytest.mark.parametrize(
    "answer",
    [b"", b"HTTP/1.1 200 OK\r\nContent-Length: 99\r\n\r\nhalf", b"SSH-2.0-OpenSSH\r\n", None],
    ids=["cut", "cut in the body", "not http", "silence"],
)
async def test_a_real_connection_that_goes_wrong(access_key, answer):
    async def serve(stream):
        async with stream:
            await stream.receive()
            if answer is None:
                await anyio.sleep_forever()
            await stream.send(answer)

    listener = await anyio.create_tcp_listener(local_host="127.0.0.1")
    port = listener.extra(anyio.abc.SocketAttribute.local_port)
    async with listener, anyio.create_task_group() as tasks:
        tasks.start_soon(listener.serve, serve)
        client = HydrusClient(f"http://127.0.0.1:{port}", access_key, timeout_seconds=0.1)
        async with client:
            with pytest.raises(HydrusUnavailable):
                await client.connect()
        tasks.cancel_scope.cancel()


@pytest.mark.parametrize(
    "url",
    [
        "",
        "127.0.0.1:45869",
        "ftp://127.0.0.1",
        "http://",
        "file:///etc/passwd",
        "https://n\ufffdas",
    ],
)
def test_what_is_no_address(url, access_key):
    with pytest.raises(ValueError, match="not the address of a Hydrus client"):
        HydrusClient(url, access_key)


def test_an_address_with_a_password_is_refused_without_telling_it(access_key):
    with pytest.raises(ValueError, match="user name or password") as caught:
        HydrusClient("http://me:s3cret-word@127.0.0.1", access_key)
    assert "s3cret-word" not in str(caught.value)


@pytest.mark.parametrize(
    ("url", "address", "target"),
    [
        ("http://127.0.0.1:45869/", "http://127.0.0.1:45869", "/api_version"),
        ("http://nas/hydrus client/", "http://nas", "/hydrus%20client/api_version"),
        (" http://[::1]:5 ", "http://[::1]:5", "/api_version"),
    ],
)
async def test_addresses(network, reply, access_key, url, address, target):
    network.says(target, reply(503, "busy"))
    async with HydrusClient(url, access_key, transport=network, allow_plain_http=True) as client:
        assert address in repr(client)
        with pytest.raises(HydrusUnavailable):
            await client.connect()
    assert [asked.target for asked in network.asked] == [target]
