"""Fetching from strangers: real sockets, and a server that answers exactly what it is told."""

from __future__ import annotations

import gzip
import logging
import zlib
from contextlib import asynccontextmanager, suppress

import anyio
import pytest

from hydrusd import __version__
from hydrusd.errors import PermanentError, TemporaryError
from hydrusd.fetching import (
    AnswerLost,
    HttpReply,
    _checked,
    _Request,
    _same_host,
    _target,
    fetch,
)

pytestmark = pytest.mark.anyio

HANG_UP = b""
SILENCE = None


class Server:
    """Answers each request with the next of the bytes it was given, the last again and again."""

    def __init__(self, *answers):
        self._answers = list(answers)
        self.heads = []
        self.bodies = []
        self.url = ""

    async def handle(self, stream):
        async with stream:
            with suppress(anyio.EndOfStream):  # it was thought better of
                await self._answer(stream)

    async def _answer(self, stream):
        received = b""
        while b"\r\n\r\n" not in received:
            received += await stream.receive()
        head, _, body = received.partition(b"\r\n\r\n")
        lines = head.decode("latin-1").split("\r\n")
        headers = dict(line.lower().split(": ", 1) for line in lines[1:])
        while len(body) < int(headers.get("content-length", 0)):
            body += await stream.receive()
        self.heads.append((lines[0], headers))
        self.bodies.append(body)
        answer = self._answers.pop(0) if len(self._answers) > 1 else self._answers[0]
        if answer is SILENCE:
            await anyio.sleep_forever()
        await stream.send(answer.replace(b"{url}", self.url.encode()))


def answer(body=b"", status=200, **headers):
    headers = {"content-length": len(body)} | headers
    lines = [f"HTTP/1.1 {status} Whatever"]
    lines += [f"{name.replace('_', '-').title()}: {value}" for name, value in headers.items()]
    return "\r\n".join([*lines, "Connection: close", "", ""]).encode() + body


def redirect(location, status=302):
    return answer(status=status, location=location)


@asynccontextmanager
async def serving(*answers):
    server = Server(*answers)
    async with await anyio.create_tcp_listener(local_host="127.0.0.1") as listener:
        port = listener.extra(anyio.abc.SocketAttribute.local_port)
        server.url = f"http://127.0.0.1:{port}"
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(listener.serve, server.handle)
            yield server
            tasks.cancel_scope.cancel()


async def test_gives_status_headers_and_body_and_says_who_asks():
    async with serving(answer(b"hello", X_Mine="Yes")) as server:
        reply = await fetch(f"{server.url}/a?b=c", headers={"X-Asked": "so"})
    assert (reply.status, reply.body, reply.url) == (200, b"hello", f"{server.url}/a?b=c")
    assert reply.headers["x-mine"] == "Yes"
    [(line, headers)] = server.heads
    assert line == "GET /a?b=c HTTP/1.1"
    assert headers["user-agent"] == f"hydrusd/{__version__}"
    assert headers["x-asked"] == "so"


async def test_own_headers_stand_above_the_usual_ones():
    async with serving(answer()) as server:
        await fetch(server.url, headers={"user-agent": "Somebody"})
    assert server.heads[0][1]["user-agent"] == "somebody"


@pytest.mark.parametrize(
    "headers", [{"X": "a\r\nb: c"}, {"X": "\u20ac"}, {"\u00fc": "x"}, {"a b": "x"}]
)
async def test_what_is_no_header_is_not_sent(headers):
    async with serving(answer()) as server:
        with pytest.raises(PermanentError, match="a header holds what cannot be") as caught:
            await fetch(server.url, headers=headers)
        assert "hocus" not in str(caught.value)
        await fetch(server.url, headers={"X": "\u00fc"})
    assert len(server.heads) == 1


async def test_a_status_is_an_answer_and_no_error():
    async with serving(answer(b"no", status=404), answer(status=503)) as server:
        assert (await fetch(server.url)).status == 404
        assert (await fetch(server.url)).status == 503


async def test_sends_a_body():
    async with serving(answer()) as server:
        await fetch(server.url, method="PUT", body=b"x" * 100_000)
    assert server.heads[0][0] == "PUT / HTTP/1.1"
    assert server.bodies == [b"x" * 100_000]


async def test_the_reply_shows_nothing_of_its_content():
    reply = HttpReply(200, {"set-cookie": "precious"}, b"precious", "http://a/?token=precious")
    assert "precious" not in repr(reply)


# --- sizes and times -------------------------------------------------------------------------


@pytest.mark.parametrize("pack", [bytes, gzip.compress, zlib.compress])
async def test_too_large_an_answer_is_refused_or_cut(pack):
    encoding = {} if pack is bytes else {"content_encoding": "gzip"}
    async with serving(answer(pack(b"0" * 100_001), **encoding)) as server:
        with pytest.raises(PermanentError, match="larger than 100000 bytes"):
            await fetch(server.url, max_bytes=100_000)
        reply = await fetch(server.url, max_bytes=100_000, cut=True)
        assert (reply.body, reply.whole) == (b"0" * 100_000, False)
        reply = await fetch(server.url, max_bytes=100_001)
        assert (len(reply.body), reply.whole) == (100_001, True)


async def test_packed_streams_may_follow_each_other():
    packed = gzip.compress(b"one ") + gzip.compress(b"two")
    async with serving(answer(packed, content_encoding="gzip")) as server:
        assert (await fetch(server.url)).body == b"one two"


@pytest.mark.parametrize(
    ("sent", "told"),
    [
        (gzip.compress(b"x" * 1000, mtime=0)[:-12], "stopped in the middle"),
        (b"not packed at all", "broken data"),
    ],
)
async def test_a_broken_packed_answer_is_none(sent, told):
    async with serving(answer(sent, content_encoding="gzip")) as server:
        with pytest.raises(AnswerLost, match=told):
            await fetch(server.url)


async def test_an_answer_packed_as_nobody_asked():
    async with serving(answer(b"x", content_encoding="br")) as server:
        with pytest.raises(PermanentError, match="packed as 'br'"):
            await fetch(server.url)
    assert server.heads[0][1]["accept-encoding"] == "gzip"


async def test_the_time_in_all_is_bounded():
    async with serving(SILENCE) as server:
        with pytest.raises(AnswerLost, match=r"/slow did not answer within 0\.1 s"):
            await fetch(f"{server.url}/slow?a=b", timeout_seconds=0.1)


@pytest.mark.parametrize("cut_answer", [HANG_UP, answer(b"only a part", content_length=1000)])
async def test_an_answer_that_breaks_off_may_mean_that_all_was_done(cut_answer):
    async with serving(cut_answer) as server:
        with pytest.raises(AnswerLost, match="cannot be reached"):
            await fetch(server.url, method="POST", body=b"pay")


async def test_who_is_not_there_was_not_asked():
    async with serving(answer()) as server:
        pass
    with pytest.raises(TemporaryError, match="cannot be reached") as caught:
        await fetch(server.url, method="POST")
    assert not isinstance(caught.value, AnswerLost)


# --- URLs and secrets ------------------------------------------------------------------------


@pytest.mark.parametrize(
    "url",
    [
        "",
        "example.org/a",
        "file:///etc/passwd",
        "ftp://example.org/",
        "http://",
        "http://[::1",
        "http://a\x00b/",
        "http://127.0.0.1:99999/",
        "http://127.0.0.1/" + "x" * 20_000,
    ],
)
async def test_what_is_no_url_of_the_web_is_refused(url):
    with pytest.raises(PermanentError, match="is no URL"):
        await fetch(url)


@pytest.mark.parametrize("behaviour", [SILENCE, HANG_UP, answer(b"x" * 1000), redirect("x:/y")])
async def test_no_error_and_no_log_tells_what_a_url_hides(behaviour, caplog):
    caplog.set_level(logging.INFO)
    async with serving(behaviour) as server:
        url = server.url.replace("//", "//user:open-sesame@") + "/feed?key=abracadabra#hocus"
        with pytest.raises((TemporaryError, PermanentError)) as caught:
            await fetch(url, timeout_seconds=0.1, max_bytes=10)
        assert server.heads[0][1]["authorization"].startswith("basic ")
    told = f"{caught.value} {caught.value.__cause__} {caplog.text}"
    assert f"{server.url}/feed" in told
    for secret in ("sesame", "abracadabra", "hocus"):
        assert secret not in told


async def test_a_url_that_is_a_secret_as_a_whole_goes_by_another_name():
    async with serving(answer(b"x" * 1000)) as server:
        with pytest.raises(PermanentError, match=r"^the hook: the answer is larger"):
            await fetch(f"{server.url}/hooks/T0KEN", max_bytes=10, shown_as="the hook")


# --- redirects -------------------------------------------------------------------------------


async def test_follows_redirects_and_says_where_it_ended():
    async with serving(redirect("/b?c"), redirect("{url}/d", 308), answer(b"end")) as server:
        reply = await fetch(f"{server.url}/a")
    assert (reply.body, reply.url) == (b"end", f"{server.url}/d")
    assert [line for line, _ in server.heads] == [
        "GET /a HTTP/1.1",
        "GET /b?c HTTP/1.1",
        "GET /d HTTP/1.1",
    ]


async def test_does_not_follow_for_ever():
    async with serving(redirect("/again")) as server:
        with pytest.raises(PermanentError, match="redirected more than 5 times"):
            await fetch(server.url)
    assert len(server.heads) == 6


@pytest.mark.parametrize(
    "location", ["file:///etc/passwd", "gopher://x/", "data:,x", "http://a:99999/"]
)
async def test_does_not_follow_out_of_the_web(location):
    async with serving(redirect(location)) as server:
        with pytest.raises(PermanentError, match="redirected to what is no URL"):
            await fetch(server.url)


async def test_another_host_gets_no_keys():
    secrets = {"Authorization": "Bearer x", "Cookie": "a=b", "X-Api-Key": "k", "Accept": "a/b"}
    async with serving(answer(b"end")) as there, serving(redirect(there.url)) as here:
        await fetch(here.url, headers=secrets)
        assert {"authorization", "cookie", "x-api-key", "accept"} <= here.heads[0][1].keys()
        assert there.heads[0][1]["accept"] == "a/b"
        assert not {"authorization", "cookie", "x-api-key"} & there.heads[0][1].keys()


async def test_the_same_host_gets_them_again():
    async with serving(redirect("/b"), answer()) as server:
        await fetch(server.url, headers={"X-Api-Key": "k"})
    assert server.heads[1][1]["x-api-key"] == "k"


async def test_a_post_is_sent_again_only_where_that_was_said_and_to_the_same_host():
    async with serving(redirect("/b", 307), answer()) as server:
        await fetch(f"{server.url}/a", method="POST", body=b"x")
    assert server.bodies == [b"x", b"x"]
    async with serving(answer()) as there, serving(redirect(there.url, 307)) as here:
        reply = await fetch(f"{here.url}/a", method="POST", body=b"x")
    assert (reply.status, there.heads) == (307, [])


@pytest.mark.parametrize("status", [301, 302])
async def test_a_post_does_not_turn_into_a_get_unless_that_was_said(status):
    async with serving(redirect("/b", status)) as server:
        reply = await fetch(f"{server.url}/a", method="POST", body=b"x")
    assert (reply.status, len(server.heads)) == (status, 1)


async def test_see_other_is_read_and_nothing_sent_again():
    async with serving(redirect("/done", 303), answer(b"done")) as server:
        headers = {"Content-Type": "a/b", "X-Api-Key": "k"}
        reply = await fetch(f"{server.url}/a", method="POST", body=b"x", headers=headers)
    assert reply.body == b"done"
    line, sent = server.heads[1]
    assert line == "GET /done HTTP/1.1"
    assert "content-type" not in sent
    assert "x-api-key" in sent


async def test_from_https_no_way_leads_to_http():
    request = _Request("GET", _checked("https://example.org/a"), {}, b"", "")
    with pytest.raises(PermanentError, match="from https:// to plain http://"):
        _target(request, "http://example.org/a")
    assert str(_target(request, "/b")) == "https://example.org/b"


@pytest.mark.parametrize(
    ("one", "other", "same"),
    [
        ("http://a/", "https://a/", True),
        ("https://a/x", "https://a:443/y", True),
        ("http://a:8080/", "https://a/", False),
        ("https://a/", "https://b.a/", False),
        ("https://a/", "https://a:8443/", False),
    ],
)
async def test_what_one_host_is(one, other, same):
    assert _same_host(_checked(one), _checked(other)) is same
