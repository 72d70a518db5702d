"""How requests are put: encodings, batches, file bodies, gates."""

from __future__ import annotations

import hashlib
import json
import os
import re
import sys
from urllib.parse import unquote, unquote_plus

import anyio
import pytest
from hypothesis import given, strategies as st

from hydrusd.errors import PermissionMissing, RequestRejected, VersionTooOld
from hydrusd.hydrus import AmbiguousService, FileChangedError, UnknownService, clean_tag
from hydrusd.hydrus._http import MAX_CONNECTIONS, encode_query, to_json
from hydrusd.hydrus._tags import _to_send

pytestmark = pytest.mark.anyio

ADD_FILE = "/add_files/add_file"
ADD_TAGS = "/add_tags/add_tags"
SEARCH = "/get_files/search_files"

text = st.text(st.characters(exclude_categories=["Cs"]))
surrogates = st.characters(categories=["Cs"])


def as_hydrus_decodes(query):
    """Twisted decodes a query once, Hydrus decodes each value once more."""
    pairs = (pair.split("=") for pair in query.split("&"))
    return {unquote_plus(name): unquote(unquote_plus(value)) for name, value in pairs}


@given(st.lists(text, min_size=1))
def test_any_tag_survives_being_decoded_twice(tags):
    decoded = as_hydrus_decodes(encode_query({"tags": tags, "flag": True, "number": 7}))
    assert json.loads(decoded["tags"]) == tags
    assert (decoded["flag"], decoded["number"]) == ("true", "7")


@given(text)
def test_any_text_survives_being_decoded_twice(value):
    query = encode_query({"url": value})
    assert as_hydrus_decodes(query)["url"] == value
    assert query.isascii()
    assert not set(query.partition("=")[2]) & set(" +&=#?;\"'")


@pytest.mark.parametrize("hostile", ["100%22", "%25", "%", "%%41", "a%20b+c", "&x=1", "\0", "…"])
async def test_hostile_tags_arrive(client_of, network, reply, hostile):
    network.says("/add_tags/clean_tags", reply(body={"tags": []}))
    async with client_of(network) as client:
        await client.connect()
        await client.clean_tags([hostile])
    target = network.asked[-1].target
    assert json.loads(as_hydrus_decodes(target.partition("?")[2])["tags"]) == [hostile]


@given(text, surrogates, text)
def test_half_a_character_is_refused_in_words(before, half, after):
    broken = before + half + after
    for refuse in (lambda: encode_query({"url": broken}), lambda: to_json({"a": [broken]})):
        with pytest.raises(RequestRejected, match="not valid Unicode") as caught:
            refuse()
        str(caught.value).encode()  # the refusal itself can be written anywhere


async def test_half_a_character_in_a_tag_is_not_lost_in_cleaning(client_of, network):
    async with client_of(network) as client:
        await client.connect()
        network.asked.clear()
        with pytest.raises(RequestRejected, match="not valid Unicode"):
            await client.add_tags(["ab" * 32], {"my tags": ["caf\udce9"]})
    assert not network.asked


async def test_lists_of_hashes_go_in_batches_of_256(client_of, network, reply):
    hashes = [f"{n:064x}" for n in range(600)]
    network.says(ADD_TAGS, reply())
    async with client_of(network) as client:
        await client.connect()
        await client.add_tags([*hashes, *hashes], {"my tags": ["a"]})
    assert [len(asked.json["hashes"]) for asked in network.asked_for(ADD_TAGS)] == [256, 256, 88]


async def test_files_are_recognised_by_2048_at_a_time(client_of, network, reply):
    hashes = [f"{n:064x}" for n in range(2500)]
    network.says(SEARCH, lambda asked: reply(body={"hashes": hashes_in(asked)[::2]}))
    async with client_of(network) as client:
        await client.connect()
        known = await client.known_hashes(hashes)
    assert [len(hashes_in(asked)) for asked in network.asked_for(SEARCH)] == [2048, 452]
    assert known == set(hashes[::2])


@pytest.mark.parametrize("status", [400, 414, 431])
async def test_a_proxy_that_takes_no_such_long_lines_gets_shorter_ones(
    client_of, network, reply, status
):
    hashes = [f"{n:064x}" for n in range(2500)]

    def answer(asked):
        if len(asked.target) > 20_000:
            return reply(status=status, body="<html>too long</html>", content_type="text/html")
        return reply(body={"hashes": hashes_in(asked)[::2]})

    network.says(SEARCH, answer)
    async with client_of(network) as client:
        await client.connect()
        assert await client.known_hashes(hashes) == set(hashes[::2])
    asked = [len(hashes_in(asked)) for asked in network.asked_for(SEARCH)]
    assert asked == [2048, *[256] * 9, 196]


async def test_what_is_refused_for_another_reason_is_not_asked_again_for_ever(
    client_of, network, reply
):
    network.says(SEARCH, reply(status=400, body={"error": "no"}))
    async with client_of(network) as client:
        await client.connect()
        with pytest.raises(RequestRejected):
            await client.known_hashes([f"{n:064x}" for n in range(2500)])
    assert len(network.asked_for(SEARCH)) == 2


def hashes_in(asked):
    arguments = as_hydrus_decodes(asked.target.partition("?")[2])
    assert arguments["return_hashes"] == "true"
    (predicate,) = json.loads(arguments["tags"])
    assert predicate.startswith("system:hash = ")
    return predicate.removeprefix("system:hash = ").split()


async def test_a_hash_which_nobody_asked_about_is_not_given(client_of, network, reply):
    network.says(SEARCH, reply(body={"hashes": ["aa" * 32, "bb" * 32]}))
    async with client_of(network) as client:
        await client.connect()
        assert await client.known_hashes(["AA" * 32]) == {"aa" * 32}


async def test_no_hashes_no_request(client_of, network):
    async with client_of(network) as client:
        await client.connect()
        network.asked.clear()
        assert await client.known_hashes([]) == set()
        assert await client.tags([]) == {}
        await client.add_tags([], {"my tags": ["a"]})
        await client.add_tags(["ab" * 32], {"my tags": [], "downloader tags": [" ", "-", "a:"]})
    assert not network.asked


@pytest.mark.parametrize("bad", ["", "ab", "ab" * 32 + " system:everything", "zz" * 32])
async def test_what_is_no_hash_is_not_sent(client_of, network, bad):
    async with client_of(network) as client:
        await client.connect()
        network.asked.clear()
        for call in (
            client.known_hashes([bad]),
            client.tags([bad]),
            client.add_tags([bad], {"my tags": ["a"]}),
        ):
            with pytest.raises(RequestRejected, match="not a SHA-256"):
                await call
    assert not network.asked


async def test_tags_that_the_user_removed_come_back_only_if_asked(client_of, network, reply):
    network.says(ADD_TAGS, reply())
    async with client_of(network) as client:
        await client.connect()
        await client.add_tags(["ab" * 32], {"my tags": ["a"]})
        await client.add_tags(["ab" * 32], {"my tags": ["a"]}, readd_deleted=True)
    flags = [
        asked.json["override_previously_deleted_mappings"] for asked in network.asked_for(ADD_TAGS)
    ]
    assert flags == [False, True]


async def test_a_service_by_name_and_by_key_is_one(client_of, network, reply):
    network.says(ADD_TAGS, reply())
    async with client_of(network) as client:
        await client.connect()
        key = client.tag_service("my tags").key
        await client.add_tags(["ab" * 32], {"my tags": ["a", "b"], key: ["b", "c"]})
    assert network.asked[-1].json["service_keys_to_tags"] == {key: ["a", "b", "c"]}


@given(text)
def test_a_tag_is_sent_so_that_cleaning_it_gives_what_was_said(tag):
    assert clean_tag(_to_send(tag, clean_tag(tag))) == clean_tag(tag)


async def test_tags_are_sent_clean_unless_cleaning_again_would_change_them(
    client_of, network, reply
):
    network.says(ADD_TAGS, reply())
    async with client_of(network) as client:
        await client.connect()
        await client.add_tags(["ab" * 32], {"my tags": [" A  b", "a b", "- -c", "a:"]})
    (tags,) = network.asked[-1].json["service_keys_to_tags"].values()
    assert tags == ["a b", "- -c"]


async def test_names_of_services_are_not_guessed(client_of, network, reply):
    network.says(
        "/get_services",
        reply(
            body={
                "services_v2": [
                    {"name": "twin", "service_key": "aa" * 32, "type": 5},
                    {"name": "twin", "service_key": "bb" * 32, "type": 0},
                    {"name": "My Tags", "service_key": "cc" * 32, "type": 5},
                    {"name": "my files", "service_key": "dd" * 32, "type": 2},
                    {"name": "my files", "service_key": "ee" * 32, "type": 5},
                    {"name": "stars", "service_key": "ff" * 32, "type": 6},
                ]
            }
        ),
    )
    async with client_of(network) as client:
        await client.connect()
        network.asked.clear()
        with pytest.raises(AmbiguousService) as ambiguous:
            client.tag_service("twin")
        assert "aa" * 32 in str(ambiguous.value)
        assert "bb" * 32 in str(ambiguous.value)
        assert client.tag_service("bb" * 32).name == "twin"
        assert client.tag_service("my files").key == "ee" * 32
        with pytest.raises(UnknownService, match=r"there is: .*'twin'.*mean 'My Tags'\?"):
            client.tag_service("my tags")
        with pytest.raises(UnknownService, match="tags cannot be written to it"):
            client.tag_service("stars")
        with pytest.raises(UnknownService):
            await client.add_tags(["ab" * 32], {"twins": ["a"]})
    assert not network.asked


async def test_a_key_that_may_not_see_services_can_still_import(
    client_of, network, reply, tmp_path
):
    path = tmp_path / "a.png"
    path.write_bytes(b"x")
    network.says(
        "/get_services", reply(403, {"error": "You need at least one these permissions: a, b"})
    )
    network.says(ADD_FILE, reply(body={"status": 1, "hash": "ab" * 32, "note": ""}))
    async with client_of(network) as client:
        await client.connect()
        assert client.services == ()
        assert (await client.add_file(path)).status == 1
        with pytest.raises(UnknownService, match="shows this access key none"):
            client.tag_service("my tags")


async def test_nothing_is_sent_that_cannot_work(client_of, network, network_of, reply, tmp_path):
    network.says("/verify_access_key", reply(body={"basic_permissions": []}))
    async with client_of(network) as client:
        await client.connect()
        network.asked.clear()
        assert not client.can_search
        assert not client.can_look_up_files
        assert not client.can_force_commit
        for call, words in (
            (client.add_file(tmp_path / "is not even there"), "import and delete files"),
            (client.known_hashes(["ab" * 32]), "search for and fetch files"),
            (client.tags(["ab" * 32]), "search for and fetch files"),
            (client.add_tags(["ab" * 32], {"my tags": ["a"]}), "edit file tags"),
            (client.force_commit(), "manage database"),
        ):
            with pytest.raises(PermissionMissing, match=f'"{words}": tick it') as caught:
                await call
            assert caught.value.permission == words
            assert caught.value.status is None
    assert not network.asked
    old = network_of(32)
    async with client_of(old) as client:
        await client.connect()
        old.asked.clear()
        with pytest.raises(VersionTooOld, match="POST /manage_database/force_commit needs"):
            await client.force_commit()
    assert not old.asked


@pytest.mark.parametrize("size", [0, 1, 262_143, 262_144, 262_145, 3_000_000])
async def test_files_are_sent_whole_with_their_length(client_of, network, reply, tmp_path, size):
    content = bytes(range(256)) * (size // 256 + 1)
    path = tmp_path / "a.bin"
    path.write_bytes(content[:size])
    network.says(ADD_FILE, reply(body={"status": 1, "hash": "ab" * 32, "note": ""}))
    sent = []
    async with client_of(network) as client:
        await client.connect()
        await client.add_file(path, on_sent=lambda: sent.append(len(network.asked)))
    asked = network.asked[-1]
    assert asked.body == content[:size]
    assert asked.headers["content-length"] == str(size)
    assert "transfer-encoding" not in asked.headers
    assert sent == [len(network.asked) - 1]  # all was sent, and not answered yet
    path.unlink()  # nobody holds it open (which Windows would not allow)


async def test_a_file_is_sent_again_from_its_beginning(client_of, network, reply, tmp_path):
    content = b"0123456789" * 60_000
    path = tmp_path / "a.bin"
    path.write_bytes(content)
    network.says(ADD_FILE, reply(419), reply(body={"status": 2, "hash": "ab" * 32, "note": ""}))
    async with client_of(network) as client:
        await client.connect()
        assert (await client.add_file(path)).status == 2
    assert [asked.body for asked in network.asked_for(ADD_FILE)] == [content, content]


@pytest.mark.parametrize("change", ["grow", "shrink", "rewrite"])
async def test_a_file_that_changes_on_the_way_is_not_imported(client_of, network, tmp_path, change):
    path = tmp_path / "a.bin"
    path.write_bytes(b"x" * 600_000)

    class Meddling(type(network)):
        async def handle_async_request(self, request):
            if request.extensions["target"] == ADD_FILE.encode():
                pieces = aiter(request.stream)
                await anext(pieces)
                with path.open("r+b") as file:
                    if change == "shrink":
                        file.truncate(300_000)
                    else:
                        file.seek(600_000 if change == "grow" else 599_000)
                        file.write(b"y")
                while True:
                    await anext(pieces)
            return await super().handle_async_request(request)

    meddling = Meddling(95)
    async with client_of(meddling) as client:
        await client.connect()
        with pytest.raises(FileChangedError, match="written to while it was being sent"):
            await client.add_file(path)
    assert not meddling.asked_for(ADD_FILE)


@pytest.mark.parametrize("size", [0, 5, 600_000])
async def test_what_is_not_what_was_hashed_is_never_sent_to_its_end(
    client_of, network, reply, tmp_path, size
):
    path = tmp_path / "a.bin"
    path.write_bytes(b"x" * size)
    os.utime(path, ns=(10**18, 10**18))
    sha256 = hashlib.sha256(path.read_bytes()).hexdigest()
    network.says(ADD_FILE, reply(body={"status": 1, "hash": sha256, "note": ""}))
    async with client_of(network) as client:
        await client.connect()
        assert (await client.add_file(path, sha256=sha256.upper())).hash == sha256
        if not size:
            return
        with path.open("r+b") as file:  # another content of the same size and time
            file.seek(size // 2)
            file.write(b"y")
        os.utime(path, ns=(10**18, 10**18))
        asked = len(network.asked_for(ADD_FILE))
        with pytest.raises(FileChangedError, match="no longer what was hashed"):
            await client.add_file(path, sha256=sha256)
        assert len(network.asked_for(ADD_FILE)) == asked


@pytest.mark.skipif(sys.platform == "win32", reason="there are no such pipes")
async def test_a_pipe_is_no_file_and_nobody_waits_for_it(client_of, network, tmp_path):
    os.mkfifo(tmp_path / "a.bin")
    async with client_of(network) as client:
        await client.connect()
        with anyio.fail_after(20), pytest.raises(OSError, match="no ordinary file"):
            await client.add_file(tmp_path / "a.bin")


async def test_a_file_that_cannot_be_read_is_the_callers_to_judge(client_of, network, tmp_path):
    async with client_of(network) as client:
        await client.connect()
        with pytest.raises(FileNotFoundError):
            await client.add_file(tmp_path / "gone.png")
        with pytest.raises(OSError, match=re.escape(tmp_path.name)):  # a folder
            await client.add_file(tmp_path)


async def test_a_large_file_gets_more_time(client_of, network, reply, tmp_path):
    path = tmp_path / "a.bin"
    with path.open("wb") as file:
        file.truncate(20_000_000)
    waits = {}
    handle = network.handle_async_request

    async def noting(request):
        waits[request.extensions["target"].decode()] = request.extensions["timeout"]
        return await handle(request)

    network.handle_async_request = noting
    network.says(ADD_FILE, reply(body={"status": 1, "hash": "ab" * 32, "note": ""}))
    async with client_of(network, timeout_seconds=33) as client:
        await client.connect()
        await client.add_file(path)
    assert waits["/verify_access_key"]["read"] == 33
    assert waits["/verify_access_key"]["connect"] == 10
    assert waits[ADD_FILE]["read"] == 33 + 10


async def test_at_most_eight_requests_are_under_way(client_of, network, reply):
    under_way = most = 0
    handle = network.handle_async_request

    async def counting(request):
        nonlocal under_way, most
        under_way += 1
        most = max(most, under_way)
        await anyio.lowlevel.checkpoint()
        under_way -= 1
        return await handle(request)

    network.says("/manage_database/force_commit", reply())
    async with client_of(network) as client:
        await client.connect()
        network.handle_async_request = counting
        async with anyio.create_task_group() as tasks:
            for _ in range(50):
                tasks.start_soon(client.force_commit)
    assert most == MAX_CONNECTIONS == 8


@pytest.mark.parametrize(
    ("tag", "clean"),
    [
        (" bikini ", "bikini"),
        ("blue    eyes", "blue eyes"),
        (" character : samus aran ", "character:samus aran"),
        (" :)", ")"),
        (":)", "::)"),
        ("::)", "::)"),
        (":weird:stuff", ":weird:stuff"),
        ("   ", ""),
        ("", ""),
        ("-", ""),
        ("--system:-A", "a"),
        ("system:inbox", "inbox"),
        ("creator:system:x", "creator:x"),
        ("creator:", ""),
        (":", ""),
        ("a\tb\ncd", "abcd"),
        ("a\u00a0\u2003b", "a b"),
        ("x" * 2000, "x" * 1024),
        ("blue\u200ceyes", "blueeyes"),
        ("क्\u200cष", "क्\u200cष"),
        ("\u200d\u200c", ""),
        ("\ufeffbom", "bom"),
        ("한\u3164", "한\u3164"),
        ("a\u3164", "a"),
        ("İ", "i̇"),
    ],
)
def test_cleaning_as_hydrus_does(tag, clean):
    assert clean_tag(tag) == clean


tag_pieces = st.lists(
    st.one_of(
        st.sampled_from([":", "-", " ", "system:", "\t", "\u200d", "한", "A"]), st.characters()
    )
).map("".join)


@given(tag_pieces)
def test_a_clean_tag_has_nothing_left_to_trim(tag):
    clean = clean_tag(tag)
    namespace, colon, subtag = clean.partition(":")
    assert namespace == namespace.strip()
    assert subtag == subtag.strip()
    assert subtag or not colon
    assert "  " not in clean
    assert not any(c < " " or "\x7f" <= c <= "\x9f" or "\ud800" <= c <= "\udfff" for c in clean)


@given(st.text("abC :/(\t\u00e9\u200c"))
def test_cleaning_twice_changes_nothing(tag):
    # Not so for every tag: of "- - a" Hydrus takes one sign each time.
    assert clean_tag(clean_tag(tag)) == clean_tag(tag)
