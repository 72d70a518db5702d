"""Files out of the client: streamed, whole or in part, checked, and never over anything."""

from __future__ import annotations

import hashlib
import random

import httpx
import pytest

from hydrusd.errors import HydrusFailed, HydrusUnavailable, RequestRejected
from hydrusd.hydrus import Fetched, RenderFormat, Saved

pytestmark = pytest.mark.anyio

FILE = "/get_files/file"
CONTENT = random.Random(1).randbytes(1000)
HASH = hashlib.sha256(CONTENT).hexdigest()
PNG = "image/png"


class Streaming(httpx.AsyncByteStream):
    """A body piece by piece, with a look at the world before each."""

    def __init__(self, pieces, *, look=lambda: None, fails=None):
        self._pieces = pieces
        self._look = look
        self._fails = fails

    async def __aiter__(self):
        for piece in self._pieces:
            self._look()
            yield piece
        if self._fails:
            raise self._fails

    async def aclose(self):
        pass


class Answering:
    """What the network says, as a stream."""

    def __init__(self, stream, status=200, headers=None):
        self._response = httpx.Response(
            status, headers={"content-type": PNG, **(headers or {})}, stream=stream
        )

    def response(self):
        return self._response


def streamed(pieces, status=200, headers=None, **options):
    return lambda _: Answering(Streaming(pieces, **options), status, headers)


@pytest.fixture
async def client(speaking, reply):
    client, network = await speaking(95)
    row = {"file_id": 1, "hash": HASH, "size": len(CONTENT)}
    network.says("/get_files/file_metadata", reply(body={"metadata": [row]}))
    client.network = network
    return client


async def test_whole(client, tmp_path):
    client.network.says(FILE, streamed([CONTENT[:400], CONTENT[400:]]))
    assert await client.get_file(HASH.upper()) == Fetched(CONTENT, PNG)
    path = tmp_path / "a.png"
    assert await client.save_file(1, path) == Saved(path, 1000, PNG)
    assert path.read_bytes() == CONTENT
    assert list(tmp_path.iterdir()) == [path]
    targets = [asked.target for asked in client.network.asked]
    assert targets == [f"{FILE}?hash={HASH}", f"{FILE}?file_id=1"]
    assert "range" not in client.network.asked[0].headers


async def test_memory_holds_a_piece_and_not_the_file(client, tmp_path):
    """Each piece is on the disk before the next one is asked for."""
    piece = bytes(1024)
    seen = []

    def look():
        (growing,) = tmp_path.iterdir()
        seen.append(growing.stat().st_size)

    client.network.says(FILE, streamed([piece] * 64, look=look))
    await client.save_file(1, tmp_path / "a.png")
    assert seen == [1024 * n for n in range(64)]


@pytest.mark.parametrize(
    ("start", "length", "header", "given"),
    [
        (100, 50, "bytes=100-149", (100, 149)),
        (100, None, "bytes=100-", (100, 999)),
        (0, 10, "bytes=0-9", (0, 9)),
        # Real clients say nothing for ever if the end is one byte too far.
        (5, 996, "bytes=5-999", (5, 999)),
        (0, 10**9, "bytes=0-999", (0, 999)),
    ],
)
async def test_a_part(client, tmp_path, start, length, header, given):
    first, last = given
    part = CONTENT[first : last + 1]
    content_range = {"content-range": f"bytes {first}-{last}/1000"}
    client.network.says(FILE, streamed([part], 206, content_range))
    assert (await client.get_file(HASH, start=start, length=length)).content == part
    saved = await client.save_file(HASH, tmp_path / "part", start=start, length=length)
    assert (saved.path.read_bytes(), saved.size) == (part, len(part))
    assert [asked.headers["range"] for asked in client.network.asked_for(FILE)] == [header] * 2


@pytest.mark.parametrize(("start", "length"), [(1000, None), (1000, 1), (5000, 5)])
async def test_a_part_behind_the_end_is_not_asked_for(client, start, length):
    with pytest.raises(RequestRejected, match="the file has 1000"):
        await client.get_file(HASH, start=start, length=length)
    assert not client.network.asked_for(FILE)


@pytest.mark.parametrize(
    ("status", "content_range"),
    [(200, ""), (206, ""), (206, "bytes 0-49/1000"), (206, "nonsense")],
)
async def test_another_part_than_asked_for(client, tmp_path, status, content_range):
    headers = {"content-range": content_range} if content_range else {}
    client.network.says(FILE, streamed([CONTENT[:50]], status, headers))
    with pytest.raises(HydrusFailed, match="another part"):
        await client.save_file(HASH, tmp_path / "a", start=100, length=50)
    assert not list(tmp_path.iterdir())


async def test_another_file_than_asked_for(client, tmp_path):
    client.network.says(FILE, streamed([CONTENT[:-1]]))
    with pytest.raises(HydrusFailed, match="is not the file that was asked for"):
        await client.get_file(HASH)
    with pytest.raises(HydrusFailed, match="is not the file that was asked for"):
        await client.save_file(HASH, tmp_path / "a")
    assert not list(tmp_path.iterdir())


async def test_cut_off_in_the_middle(client, tmp_path):
    cut = httpx.RemoteProtocolError("peer closed connection")
    client.network.says(FILE, streamed([CONTENT[:500]], fails=cut))
    with pytest.raises(HydrusUnavailable, match="was cut") as caught:
        await client.save_file(HASH, tmp_path / "a")
    assert caught.value.outcome_unknown is False
    assert not list(tmp_path.iterdir())


async def test_nothing_is_overwritten(client, tmp_path):
    client.network.says(FILE, streamed([CONTENT]))
    there = tmp_path / "a"
    there.write_bytes(b"mine")
    with pytest.raises(FileExistsError):
        await client.save_file(HASH, there)
    assert not client.network.asked
    late = tmp_path / "late"  # somebody else writes there meanwhile
    client.network.says(FILE, streamed([CONTENT], look=lambda: late.write_bytes(b"theirs")))
    with pytest.raises(FileExistsError):
        await client.save_file(HASH, late)
    assert (there.read_bytes(), late.read_bytes()) == (b"mine", b"theirs")
    assert sorted(tmp_path.iterdir()) == [there, late]


async def test_without_hard_links(client, tmp_path, monkeypatch):
    def no_links(*_):
        raise PermissionError(1, "Operation not permitted")

    monkeypatch.setattr("os.link", no_links)
    late = tmp_path / "late"
    client.network.says(FILE, streamed([CONTENT]))
    assert (await client.save_file(HASH, late)).path.read_bytes() == CONTENT
    late.unlink()
    client.network.says(FILE, streamed([CONTENT], look=lambda: late.write_bytes(b"theirs")))
    with pytest.raises(FileExistsError):
        await client.save_file(HASH, late)
    assert late.read_bytes() == b"theirs"
    assert list(tmp_path.iterdir()) == [late]


async def test_no_such_folder(client, tmp_path):
    client.network.says(FILE, streamed([CONTENT]))
    with pytest.raises(FileNotFoundError):
        await client.save_file(HASH, tmp_path / "no such folder" / "a")


async def test_a_session_that_died_begins_anew(client, tmp_path, reply):
    answers = [reply(419, {"error": "gone"}), streamed([CONTENT])]
    client.network.says(FILE, *answers)
    assert (await client.save_file(HASH, tmp_path / "a")).path.read_bytes() == CONTENT


async def test_refusals(client, reply):
    client.network.says(FILE, reply(404, {"error": "The client does not have this file!"}))
    with pytest.raises(RequestRejected, match="does not have this file"):
        await client.get_file(HASH)


async def test_thumbnails_and_renders(client, tmp_path):
    for path in ("/get_files/thumbnail", "/get_files/render"):
        client.network.says(path, streamed([b"img"]))
    assert (await client.get_thumbnail(HASH)).content == b"img"
    assert (await client.save_thumbnail(7, tmp_path / "t")).path.read_bytes() == b"img"
    assert (await client.get_render(HASH)).content == b"img"
    choices = {"render_format": RenderFormat.WEBP, "quality": 80, "size": (30, 20)}
    assert (await client.save_render(HASH, tmp_path / "r", **choices)).size == 3
    target = client.network.asked[-1].target
    assert target.endswith("&render_format=33&render_quality=80&width=30&height=20")
