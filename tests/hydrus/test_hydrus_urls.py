"""URLs: what real clients answered, what is sent in each era, what is refused before."""

from __future__ import annotations

import json
from pathlib import Path
from urllib.parse import unquote, unquote_plus

import pytest
from hypothesis import given, strategies as st

from hydrusd.errors import PermissionMissing, RequestRejected, VersionTooOld
from hydrusd.hydrus import AddUrlResult, Permission, UrlFile, UrlInfo, UrlType
from hydrusd.hydrus._http import encode_query

pytestmark = pytest.mark.anyio

KNOWN = "ce60b7fa29d98fc77d3a0a7ca3861febfce8c87e146a9548df90672f0a1ec197"
MY_TAGS = "6c6f63616c2074616773"
MY_FILES = "6c6f63616c2066696c6573"
NASTY = "https://a.example/b%20c/100%25?q=x&y=1+2&z=é🎉#top"

RECORDED = Path(__file__).parent / "recorded"
ENTRIES = [
    pytest.param(int(path.stem[1:3]), entry, id=f"{path.stem}-{entry['name']}")
    for path in sorted(RECORDED.glob("*.json"))
    for entry in json.loads(path.read_text("utf-8"))
    if entry["path"].startswith("/add_urls/")
]


async def call(client, path, asked):
    match path.rpartition("/")[2]:
        case "get_url_files":
            return await client.get_url_files(asked["url"])
        case "get_url_info":
            return await client.get_url_info(asked["url"])
        case "add_url":
            tags = asked.get("service_keys_to_additional_tags")
            return await client.add_url(
                asked["url"] or "made up",
                destination_page_name=asked.get("destination_page_name", ""),
                additional_tags=tags,
            )
        case "associate_url":
            return await client.associate_url([asked["hash"]], urls_to_add=[asked["url_to_add"]])


@pytest.mark.parametrize(("era", "entry"), ENTRIES)
async def test_every_recorded_answer(speaking, era, entry):
    client, network = await speaking(era)
    network.replays(entry["name"])
    asked, body = next(iter(entry["request"].values())), entry["body"]
    if entry["status"] == 400:
        with pytest.raises(RequestRejected) as caught:
            await call(client, entry["path"], asked)
        assert caught.value.excerpt == (body if isinstance(body, str) else body["error"])
        return
    result = await call(client, entry["path"], asked)
    if entry["path"].endswith("associate_url"):
        assert result is None
        return
    for name, value in body.items():
        if name in {"version", "hydrus_version"}:
            continue
        if name == "url_file_statuses":
            value = tuple(UrlFile(**one) for one in value)  # noqa: PLW2901 - as we give it
        assert getattr(result, name) == value


def test_recordings_are_found():
    assert {param.values[0] for param in ENTRIES} == {11, 32, 95}
    assert len(ENTRIES) > 25


async def test_a_file_that_came_from_a_url(network, speaking):
    client, network = await speaking(95)
    network.replays("get_url_files_new.jpg")
    (file,) = (await client.get_url_files("http://127.0.0.1:8099/new.jpg")).url_file_statuses
    assert file.in_database
    assert file.hash == "888ee2293563aefed034a7cada7011e2c9800866323516fe903d75e99b983043"
    assert file.note.startswith("url recognised: ")


async def test_info_of_both_shapes(speaking):
    url = "https://safebooru.org/index.php?page=post&s=view&id=2753608"
    client, network = await speaking(32)
    network.replays("get_url_info")
    assert await client.get_url_info(url) == UrlInfo(
        "https://safebooru.org/index.php?id=2753608&page=post&s=view",
        UrlType.POST,
        "post url",
        "safebooru file page",
        can_parse=True,
    )
    client, network = await speaking(95)
    network.replays("get_url_info")
    info = await client.get_url_info(url)
    assert (info.url_type, info.cannot_parse_reason) == (UrlType.UNKNOWN, "unknown url class")
    assert info.request_url == url


def twice_decoded(target):
    """What Hydrus makes of the parameters: the web server decodes, then it does itself."""
    pairs = (pair.partition("=") for pair in target.partition("?")[2].split("&"))
    return {name: unquote(unquote_plus(value)) for name, _, value in pairs}


@pytest.mark.parametrize("route", ["get_url_files", "get_url_info"])
@pytest.mark.parametrize(
    "url", [NASTY, "http://a/%2525", "http://a/%", "http://a/%zz%22", "http://a/ b\n\\'\"&&==;+"]
)
async def test_urls_survive_being_decoded_twice(speaking, route, url):
    client, network = await speaking(95)
    network.replays(route)
    await getattr(client, route)(url)
    assert twice_decoded(network.asked[0].target)["url"] == url


@given(st.text(st.characters(exclude_categories=["Cs"]), min_size=1))
def test_any_text_survives_being_decoded_twice(url):
    assert twice_decoded(f"?{encode_query({'url': url, 'x': True})}") == {"url": url, "x": "true"}


@given(st.text(st.characters(), max_size=5), st.text(st.characters(), max_size=5))
def test_half_a_character_is_refused(before, after):
    with pytest.raises(RequestRejected, match="not valid Unicode"):
        encode_query({"url": f"{before}\udc80{after}"})


async def test_posted_urls_are_sent_as_they_are(speaking, reply):
    client, network = await speaking(95)
    network.says("/add_urls/add_url", reply(body={"normalised_url": "n", "new": [1]}))
    network.replays("associate_url")
    assert await client.add_url(NASTY) == AddUrlResult("n", "")
    await client.associate_url([KNOWN], urls_to_add=[NASTY], urls_to_delete=["b%20"])
    added, associated = network.asked
    assert added.json == {"url": NASTY, "show_destination_page": False}
    assert associated.json == {
        "hashes": [KNOWN],
        "urls_to_add": [NASTY],
        "urls_to_delete": ["b%20"],
    }


@pytest.mark.parametrize(
    ("version", "sent"),
    [
        (14, {"service_names_to_additional_tags": {"my tags": ["A", "b"]}}),
        (20, {"service_names_to_additional_tags": {"my tags": ["A", "b"]}}),
        (21, {"service_keys_to_additional_tags": {MY_TAGS: ["A", "b"]}}),
        (95, {"service_keys_to_additional_tags": {MY_TAGS: ["A", "b"]}}),
    ],
)
async def test_tags_of_a_url_in_each_era(speaking, version, sent):
    client, network = await speaking(version)
    network.replays("add_url")
    await client.add_url(
        "http://a/b",
        destination_page_name="mine",
        show_destination_page=True,
        additional_tags={"my tags": ["A", " ", "b"]},
        filterable_tags=["", "c"],
    )
    assert network.asked[0].json == {
        "url": "http://a/b",
        "destination_page_name": "mine",
        "show_destination_page": True,
        "filterable_tags": ["c"],
        **sent,
    }


async def test_tags_that_are_nothing_are_no_tags(limited):
    client, network = await limited(Permission.IMPORT_URLS)
    network.replays("add_url")
    await client.add_url("http://a", additional_tags={"x": [" "]}, filterable_tags=["-"])
    assert network.asked[0].json == {"url": "http://a", "show_destination_page": False}


@pytest.mark.parametrize(
    ("since", "call"),
    [
        (14, lambda client: client.add_url("a", additional_tags={"my tags": ["a"]})),
        (14, lambda client: client.add_url("a", filterable_tags=["a"])),
        (68, lambda client: client.add_url("a", file_services=["my files"])),
        (64, lambda c: c.associate_url([KNOWN], urls_to_add=["a"], normalise_urls=False)),
        (29, lambda client: client.associate_url([12], urls_to_add=["a"])),
    ],
)
async def test_what_is_too_new_is_not_sent(speaking, since, call):
    client, network = await speaking(since - 1)
    with pytest.raises(VersionTooOld, match=f"≥ {since}, this client speaks {since - 1}"):
        await call(client)
    assert not network.asked
    client, network = await speaking(since)
    network.replays("add_url")
    network.replays("associate_url")
    await call(client)
    assert len(network.asked) == 1


async def test_what_version_68_and_64_brought(speaking):
    client, network = await speaking(95)
    network.replays("add_url")
    network.replays("associate_url")
    await client.add_url("a", file_services=["my files"])
    await client.associate_url([KNOWN, 12], urls_to_delete=["x"], normalise_urls=False)
    assert network.asked[0].json["file_service_keys"] == [MY_FILES]
    assert [asked.json["normalise_urls"] for asked in network.asked[1:]] == [False, False]
    assert network.asked[2].json["file_ids"] == [12]


async def test_looking_at_the_disk(speaking):
    for version, said in ((31, None), (32, "true"), (95, "true")):
        client, network = await speaking(version)
        network.replays("get_url_files")
        await client.get_url_files("http://a", doublecheck_file_system=True)
        asked = twice_decoded(network.asked[0].target)
        assert asked.get("doublecheck_file_system") == said


async def test_many_files_go_in_pieces(speaking):
    client, network = await speaking(95)
    network.replays("associate_url")
    hashes = [f"{number:064x}" for number in range(600)]
    await client.associate_url(hashes, urls_to_add=["http://a"])
    assert [hash_ for asked in network.asked for hash_ in asked.json["hashes"]] == hashes
    assert [len(asked.json["hashes"]) for asked in network.asked] == [256, 256, 88]


@pytest.mark.parametrize(
    "call",
    [
        lambda client: client.get_url_files(""),
        lambda client: client.get_url_info(" "),
        lambda client: client.add_url("\n"),
        lambda client: client.add_url("http://a/\udcff"),
        lambda client: client.associate_url([KNOWN]),
        lambda client: client.associate_url([KNOWN], urls_to_add=["a", ""]),
        lambda client: client.associate_url([KNOWN], urls_to_add="http://a"),
        lambda client: client.associate_url(["x"], urls_to_add=["a"]),
        lambda client: client.add_url("a", additional_tags={"my files": ["a"]}),
    ],
)
async def test_refused_before_anything_is_sent(speaking, call):
    client, network = await speaking(95)
    with pytest.raises(RequestRejected):
        await call(client)
    assert not network.asked


async def test_permissions(limited):
    client, network = await limited(Permission.IMPORT_FILES)
    with pytest.raises(PermissionMissing, match="import and edit urls"):
        await client.get_url_files("http://a")
    client, network = await limited(Permission.IMPORT_URLS)
    for tags in ({"additional_tags": {"my tags": ["a"]}}, {"filterable_tags": ["a"]}):
        with pytest.raises(PermissionMissing, match="edit file tags"):
            await client.add_url("http://a", **tags)
    with pytest.raises(PermissionMissing, match="manage pages"):
        await client.add_url("http://a", destination_page_key="ab" * 32)
    assert not network.asked


async def test_a_page_key_is_looked_up_first(speaking):
    client, network = await speaking(95)
    network.replays("get_pages_with_url_page")
    network.replays("add_url")
    found = "2fa0dd494fdd3b21dc7933a4d62b873814bdcf5a4bab081550a960d020aa3369"
    await client.add_url("http://a", destination_page_key=found.upper())
    assert network.asked[-1].json["destination_page_key"] == found
    network.asked.clear()
    with pytest.raises(RequestRejected, match="better go by its name"):
        await client.add_url("http://a", destination_page_key="ab" * 32)
    files = "10e329ebefdec77f63ba9cf68f424ed3af4d9c4cf81a8223d2a46fde22037686"
    with pytest.raises(RequestRejected, match="'files' does not download URLs"):
        await client.add_url("http://a", destination_page_key=files)
    assert not network.asked_for("/add_urls/add_url")
