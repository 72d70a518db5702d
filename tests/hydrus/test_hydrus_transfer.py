"""By which way a file reaches the client."""

from __future__ import annotations

import hashlib
from pathlib import Path, PurePosixPath, PureWindowsPath

import anyio
import pytest
from hypothesis import assume, given, strategies as st

from hydrusd.errors import ConfigError, HydrusFailed, HydrusUnavailable, RequestRejected
from hydrusd.hydrus import FileChangedError, HydrusClient, ImportStatus, WrongFileError
from hydrusd.hydrus._transfer import PathMap

pytestmark = pytest.mark.anyio

ADD_FILE = "/add_files/add_file"
CONTENT = b"some bytes"
HASH = hashlib.sha256(CONTENT).hexdigest()
OTHER = "ab" * 32


@pytest.fixture
def path(tmp_path):
    path = tmp_path / "a.png"
    path.write_bytes(CONTENT)
    return path


@pytest.fixture
async def client_with(network, access_key):
    """Connect a client with a way of transfer; the network remembers what it was asked."""
    clients = []

    async def connect(transfer, *, url="http://127.0.0.1:45869", **options):
        options = {"allow_plain_http": True, "transport": network, **options}
        clients.append(HydrusClient(url, access_key, transfer=transfer, **options))
        await clients[-1].connect()
        network.asked.clear()
        return clients[-1]

    yield connect
    for client in clients:
        await client.close()


@pytest.fixture
def answers(network, reply):
    """Have imports by path answered so, and imports of bytes with their hash."""

    def answer(*by_path):
        waiting = list(by_path)

        def say(asked):
            if asked.headers["content-type"] == "application/json":
                return waiting.pop(0) if len(waiting) > 1 else waiting[0]
            return reply(body=took(hashlib.sha256(asked.body).hexdigest()))

        network.says(ADD_FILE, say)

    return answer


def took(sha256, status=1, note=""):
    return {"status": status, "hash": sha256, "note": note}


def ways(network):
    return [
        asked.json["path"] if asked.headers["content-type"] == "application/json" else asked.body
        for asked in network.asked_for(ADD_FILE)
    ]


async def test_bytes_are_the_default(network, client_of, reply, path):
    network.says(ADD_FILE, reply(body=took(HASH)))
    async with client_of(network) as client:
        await client.connect()
        await client.add_file(path)
    assert ways(network) == [CONTENT]


async def test_auto_goes_on_by_path_once_that_worked(network, client_with, reply, answers, path):
    answers(reply(body=took(HASH)))
    client = await client_with("auto")
    for _ in range(3):
        assert (await client.add_file(path)).hash == HASH
    assert ways(network) == [str(path)] * 3


@pytest.mark.parametrize(
    "refusal",
    [
        (400, {"error": 'Path "/a" does not exist!'}),
        (400, {"error": 'Path "/a" is not a file!'}),
        (500, {"error": "PermissionError: nobody", "exception_type": "PermissionError"}),
    ],
)
async def test_auto_tries_a_path_once(network, client_with, reply, answers, path, refusal):
    answers(reply(*refusal))
    client = await client_with("auto")
    for _ in range(3):
        assert (await client.add_file(path)).hash == HASH
    assert ways(network) == [str(path), CONTENT, CONTENT, CONTENT]
    await client.connect()  # a new connection, perhaps to a client that sees more
    await client.add_file(path)
    assert ways(network)[4:] == [str(path), CONTENT]


async def test_a_path_that_fails_later_is_the_last_one(network, client_with, reply, answers, path):
    gone = reply(400, {"error": 'Path "/a" does not exist!'})
    answers(reply(body=took(HASH)), gone)
    client = await client_with("auto")
    for _ in range(3):
        await client.add_file(path)
    assert ways(network) == [str(path), str(path), CONTENT, CONTENT]


async def test_many_at_once_try_one_path(network, client_with, reply, answers, path):
    answers(reply(400, {"error": 'Path "/a" does not exist!'}))
    client = await client_with("auto")
    async with anyio.create_task_group() as tasks:
        for _ in range(5):
            tasks.start_soon(client.add_file, path)
    assert sorted(ways(network), key=str) == sorted([str(path), *[CONTENT] * 5], key=str)


async def test_a_client_elsewhere_is_not_told_paths(network, client_with, answers, reply, path):
    answers(reply(body=took(HASH)))
    client = await client_with("auto", url="http://nas:45869")
    await client.add_file(path)
    assert ways(network) == [CONTENT]


async def test_a_client_elsewhere_is_told_mapped_paths(network, client_with, answers, reply, path):
    answers(reply(body=took(HASH)))
    pairs = [(str(path.parent), "Z:\\pictures")]
    client = await client_with("auto", url="http://nas:45869", path_map=pairs)
    await client.add_file(path)
    assert ways(network) == ["Z:\\pictures\\a.png"]
    elsewhere = path.parent.parent / f"{path.parent.name}-not"
    elsewhere.mkdir()
    (elsewhere / "a.png").write_bytes(CONTENT)
    await client.add_file(elsewhere / "a.png")
    assert ways(network)[1:] == [CONTENT]


@pytest.mark.parametrize("mode", ["auto", "path"])
async def test_another_file_at_the_path_is_an_error(
    network, client_with, reply, answers, path, mode
):
    answers(reply(body=took(OTHER)))
    client = await client_with(mode)
    with pytest.raises(WrongFileError, match=f"another file.*{OTHER}.*path_map") as caught:
        await client.add_file(path)
    assert isinstance(caught.value, RequestRejected)
    # No path is risked any more, and nothing is sent as bytes where paths were asked for.
    if mode == "auto":
        assert (await client.add_file(path)).hash == HASH
        assert ways(network) == [str(path), CONTENT]
    else:
        with pytest.raises(RequestRejected, match="no path is told"):
            await client.add_file(path)
        assert ways(network) == [str(path)]


@pytest.mark.parametrize("status", [1, 2, 3, 4, 7])
async def test_any_outcome_proves_the_file_by_its_hash(
    network, client_with, reply, answers, path, status
):
    answers(reply(body=took(HASH.upper(), status, "note")))
    client = await client_with("auto")
    assert (await client.add_file(path, sha256=HASH)).status == status
    assert ways(network) == [str(path)]
    answers(reply(body=took(OTHER, status)))
    with pytest.raises(WrongFileError):
        await client.add_file(path, sha256=HASH)


async def test_no_hash_proves_nothing(network, client_with, reply, answers, path):
    answers(reply(body=took(None, 4, "cannot read")))
    client = await client_with("auto")
    assert (await client.add_file(path)).hash == HASH
    assert ways(network) == [str(path), CONTENT]
    client = await client_with("path")
    result = await client.add_file(path)
    assert (result.status, result.note) == (ImportStatus.FAILED, "cannot read")
    answers(reply(body=took(None, 1)))
    with pytest.raises(HydrusFailed, match="does not say what it was"):
        await client.add_file(path)


async def test_a_file_that_changes_while_the_client_reads_it(network, client_with, reply, path):
    def changed(_):
        path.write_bytes(b"other bytes, and more")
        return reply(body=took(OTHER))

    network.says(ADD_FILE, changed)
    client = await client_with("path")
    with pytest.raises(FileChangedError, match=f"meanwhile; the client took .* {OTHER}"):
        await client.add_file(path, sha256=HASH)


async def test_a_hash_that_is_older_than_the_file(network, client_with, reply, answers, path):
    answers(reply(body=took(HASH)))
    client = await client_with("path")
    # What the client took is what is there: the caller compares the hashes, as with bytes.
    assert (await client.add_file(path, sha256=OTHER)).hash == HASH


async def test_path_mode_sends_no_bytes(network, client_with, reply, answers, path):
    answers(reply(400, {"error": 'Path "/a" does not exist!'}))
    client = await client_with("path", url="http://nas")
    for _ in range(2):
        with pytest.raises(RequestRejected, match="does not exist"):
            await client.add_file(path)
    assert ways(network) == [str(path)] * 2
    client = await client_with("path", path_map=[("/nowhere", "/there")])
    with pytest.raises(RequestRejected, match="path_map does not cover it"):
        await client.add_file(path)
    assert not network.asked


async def test_a_client_that_goes_away_is_not_doubted(network, client_with, reply, path):
    network.says(ADD_FILE, reply(503, {"error": "locked"}), reply(body=took(HASH)))
    client = await client_with("auto")
    with pytest.raises(HydrusUnavailable):
        await client.add_file(path)
    await client.add_file(path)
    assert ways(network) == [str(path)] * 2


async def test_a_relative_path_is_told_whole(
    network, client_with, reply, answers, path, monkeypatch
):
    answers(reply(body=took(HASH)))
    monkeypatch.chdir(path.parent)
    client = await client_with("path")
    await client.add_file(Path("a.png"))
    assert ways(network) == [str(path)]
    with pytest.raises(RequestRejected, match=r"has \.\. in it"):
        await client.add_file(Path("b") / ".." / "a.png")


async def test_a_name_that_is_no_unicode_goes_as_bytes(network, client_with, reply, answers, path):
    answers(reply(body=took(HASH)))
    odd = path.with_name("caf\udce9.png")
    try:
        path.rename(odd)
    except (OSError, UnicodeEncodeError):
        odd = path  # a file system that has no such names
    client = await client_with("auto")
    await client.add_file(odd)
    assert ways(network) == [CONTENT if odd != path else str(path)]


async def test_sent_is_told_by_either_way(network, client_with, reply, answers, path):
    answers(reply(400, {"error": 'Path "/a" does not exist!'}))
    client = await client_with("auto")
    sent = []
    await client.add_file(path, on_sent=lambda: sent.append(len(network.asked)))
    assert sent == [0, 1]  # by each way before its answer came


async def test_no_such_file(network, client_with, reply, answers, path):
    answers(reply(body=took(HASH)))
    path.unlink()
    for mode in ("auto", "path"):
        client = await client_with(mode)
        with pytest.raises(FileNotFoundError):
            await client.add_file(path)
        assert not network.asked


@pytest.mark.parametrize(
    ("pairs", "path", "told"),
    [
        ([("/data", "/mnt/nas")], "/data/a/b.png", "/mnt/nas/a/b.png"),
        ([("/data/", "D:/pictures/")], "/data/a/b.png", "D:\\pictures\\a\\b.png"),
        ([("/data", "\\\\nas\\share\\x")], "/data/b.png", "\\\\nas\\share\\x\\b.png"),
        ([("C:\\pics", "/data")], "c:\\PICS\\Sub Dir\\B.png", "/data/Sub Dir/B.png"),
        ([("C:\\", "/c")], "C:/x/y.png", "/c/x/y.png"),
        ([("\\\\nas\\a", "/a")], "//NAS/a/b.png", "/a/b.png"),
        ([("/", "/host")], "/x.png", "/host/x.png"),
        ([("/d", "/1"), ("/d/e", "/2")], "/d/e/x", "/2/x"),
        ([("/d/e", "/2"), ("/d", "/1")], "/d/f/x", "/1/f/x"),
        ([("/d", "/1")], "/data/x", None),
        ([("/d", "/1")], "/D/x", None),
        ([("/d", "/1")], "/d/../x", None),
        ([("/d", "/1")], "C:\\d\\x", None),
        # Names that mean something else, or nothing, to Windows.
        *[
            ([("/d", "C:\\d")], f"/d/{name}", None)
            for name in ("a\\b.png", "a:b", "a?", "a*", "a ", "a.", "x./y", 'a"b', "a\tb")
        ],
        ([("/d", "/1")], "/d/a\\b", "/1/a\\b"),
    ],
)
def test_translating(pairs, path, told):
    assert PathMap(pairs).translated(path) == told


names = st.text(
    st.characters(exclude_categories=["Cs", "Cc"], exclude_characters='<>:"/\\|?*'), min_size=1
).filter(lambda name: name.strip(". ") == name)


@given(st.lists(names, min_size=1, max_size=4))
def test_any_path_there_and_back(parts):
    posix, windows = PurePosixPath("/d", *parts), PureWindowsPath("C:\\e", *parts)
    assume(windows.parts[1:] == ("e", *parts))
    there = PathMap([("/d", "C:\\e")]).translated(str(posix))
    assert there == str(windows)
    assert PathMap([("C:\\e", "/d")]).translated(there) == str(posix)


@pytest.mark.parametrize("folder", ["", "data", "./data", "~/data", "C:data", "C:", "/a/../b"])
def test_folders_that_are_none(access_key, folder):
    for pair in ((folder, "/a"), ("/a", folder)):
        with pytest.raises(ConfigError, match="path_map"):
            HydrusClient("http://127.0.0.1", access_key, path_map=[pair])


def test_a_way_that_there_is_not(access_key):
    with pytest.raises(ConfigError, match="transfer: there is no 'carrier pigeon'"):
        HydrusClient("http://127.0.0.1", access_key, transfer="carrier pigeon")
