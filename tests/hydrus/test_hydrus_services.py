"""Services, what waits for them, the database, and asking for an access key."""

from __future__ import annotations

import json
from datetime import UTC, datetime
from pathlib import Path

import pytest

from hydrusd import redaction
from hydrusd.errors import (
    AccessDenied,
    HydrusFailed,
    HydrusUnavailable,
    PermissionMissing,
    RequestRejected,
    VersionTooOld,
)
from hydrusd.hydrus import (
    ClientOptions,
    ClientRun,
    HydrusClient,
    Permission,
    PermissionDialogClosed,
    Service,
    UnknownService,
)

pytestmark = pytest.mark.anyio

MY_TAGS = "6c6f63616c2074616773"
PTR = "cd" * 32
ASKING = "/request_new_permissions"
AREAS = ("/get_service", "/manage_services/", "/manage_database/", ASKING, "/client_info")

RECORDED = Path(__file__).parent / "recorded"
ENTRIES = [
    pytest.param(int(path.stem[1:3]), entry, id=f"{path.stem}-{entry['name']}")
    for path in sorted(RECORDED.glob("*.json"))
    for entry in json.loads(path.read_text("utf-8"))
    if entry["path"].startswith(AREAS)
]
CALLS = {
    "/get_services": lambda client, asked: client.connect(),
    "/get_service": lambda client, asked: client.get_service(name=asked["service_name"]),
    "/get_service_rating_svg": lambda client, asked: client.get_service_rating_svg(
        key=asked["service_key"]
    ),
    "/client_info": lambda client, asked: client.client_info(),
    ASKING: lambda client, asked: client.request_new_permissions(
        asked["name"], [Permission(one) for one in json.loads(asked["basic_permissions"])]
    ),
    "/manage_services/get_pending_counts": lambda client, asked: client.get_pending_counts(),
    "/manage_services/commit_pending": lambda client, asked: client.commit_pending(PTR),
    "/manage_services/forget_pending": lambda client, asked: client.forget_pending(PTR),
    "/manage_database/force_commit": lambda client, asked: client.force_commit(),
    "/manage_database/lock_on": lambda client, asked: client.lock_on(),
    "/manage_database/lock_off": lambda client, asked: client.lock_off(),
    "/manage_database/mr_bones": lambda client, asked: client.mr_bones(),
    "/manage_database/get_client_options": lambda client, asked: client.get_client_options(),
}
SINCE = {"/client_info": 92, "/manage_database/force_commit": 76, "/manage_database/mr_bones": 23}


@pytest.mark.parametrize(("era", "entry"), ENTRIES)
async def test_every_recorded_answer(speaking, reply, era, entry):
    client, network = await speaking(era)
    network.replays(entry["name"])
    path, body = entry["path"], entry["body"]
    call, asked = CALLS[path], next(iter(entry["request"].values()), {})
    if era < SINCE.get(path, 0):
        assert entry["status"] == 404
        with pytest.raises(VersionTooOld, match=f"≥ {SINCE[path]}, this client speaks {era}"):
            await call(client, asked)
        assert not network.asked
    elif path == ASKING:
        assert entry["status"] in {403, 409}
        with pytest.raises(PermissionDialogClosed, match="services > review services") as caught:
            await call(client, asked)
        assert caught.value.excerpt.startswith("The permission registration dialog is not open")
    elif entry["status"] in {400, 404} and path != "/get_services":
        with pytest.raises(RequestRejected) as caught:
            await call(client, asked)
        assert caught.value.excerpt == body["error"]
    elif path == "/manage_database/mr_bones":
        stats = await call(client, asked)
        for name, value in body["boned_stats"].items():
            if name == "earliest_import_time":
                assert stats.earliest_import_time == datetime.fromtimestamp(value, UTC)
            else:
                assert getattr(stats, name) == (tuple(value) if name == "total_viewtime" else value)
    elif path == "/manage_database/get_client_options":
        # The recording tells only types, so the values are made up.
        assert (body["options"], body["old_options"]) == ("<dict>", "<dict>")
        said = {"options": {"strings": {"a": "b"}}, "old_options": {"c": None}, "services": {}}
        network.says(path, reply(body=said))
        options = await call(client, asked)
        assert options == ClientOptions({"strings": {"a": "b"}}, {"c": None})
        assert "strings" not in repr(options)
    else:
        result = await call(client, asked)
        expected = {
            "/get_service": Service("my tags", MY_TAGS, 5),
            "/manage_services/get_pending_counts": {},
        }
        if path == "/client_info":
            began = datetime.fromtimestamp(body["boot_time"], UTC)
            assert result == ClientRun(body["boot_id"], began, currently_idle=False)
        elif path == "/get_services":
            assert client.services
        else:
            assert result == expected.get(path)


def test_recordings_are_found():
    assert {param.values[0] for param in ENTRIES} == {11, 32, 95}
    assert {param.values[1]["path"] for param in ENTRIES} == set(CALLS)


async def test_one_service(speaking, reply):
    client, network = await speaking(95)
    service = {"name": "n", "service_key": "AB", "type": 99, "type_pretty": "?", "more": 1}
    network.says("/get_service", reply(body={"service": service}))
    assert await client.get_service(key="ab") == Service("n", "ab", 99)
    assert network.asked[0].target == "/get_service?service_key=ab"
    for name, key in (("", ""), ("n", "ab")):
        with pytest.raises(RequestRejected, match="by its name, or by its key"):
            await client.get_service(name=name, key=key)


async def test_the_picture_of_a_rating(speaking, reply):
    client, network = await speaking(95)
    path = "/get_service_rating_svg"
    network.says(path, reply(200, "<svg/>", "image/svg+xml"))
    assert await client.get_service_rating_svg(name="stars & more") == b"<svg/>"
    assert network.asked[0].target == f"{path}?service_name=stars%20%26%20more"
    network.says(path, reply(200, "<html>", "text/html"))
    with pytest.raises(HydrusFailed, match="an SVG picture is due"):
        await client.get_service_rating_svg(name="stars")


@pytest.mark.parametrize("route", ["get_service", "get_service_rating_svg"])
async def test_who_may_see_services(limited, reply, route):
    client, network = await limited(
        Permission.IMPORT_URLS, Permission.MANAGE_HEADERS, Permission.MANAGE_POPUPS
    )
    with pytest.raises(PermissionMissing, match="may not see the client's services"):
        await getattr(client, route)(name="my tags")
    assert not network.asked
    client, network = await limited(Permission.EDIT_NOTES)
    network.says(f"/{route}", reply(404, {"error": "none"}))
    with pytest.raises(RequestRejected, match="none"):
        await getattr(client, route)(name="my tags")


async def test_uploading_and_forgetting(speaking, reply):
    client, network = await speaking(95)
    for name in ("commit_pending", "forget_pending"):
        network.says(f"/manage_services/{name}", reply(body={}))
        method = getattr(client, name)
        # What is uploaded to stands in no list here, as IPFS services never do: only keys.
        await method(PTR.upper())
        assert network.asked[-1].json == {"service_key": PTR}
        network.asked.clear()
        for wrong in ("my tags", MY_TAGS, "PTR", "nope"):
            with pytest.raises(UnknownService):
                await method(wrong)
        assert not network.asked


async def test_a_repository_goes_by_its_name(network, client_of, reply):
    repository = {"name": "PTR", "service_key": PTR, "type": 0}
    local = {"name": "own", "service_key": "ef" * 32, "type": 5}
    network.says("/get_services", reply(body={"services_v2": [repository, local]}))
    network.says("/manage_services/commit_pending", reply(body={}))
    async with client_of(network) as client:
        await client.connect()
        await client.commit_pending("PTR")
        assert network.asked[-1].json == {"service_key": PTR}
        with pytest.raises(UnknownService, match="nothing is uploaded to it"):
            await client.commit_pending("ef" * 32)


@pytest.mark.parametrize("status", [409, 422])
async def test_uploads_that_cannot_start_are_worth_another_try(speaking, reply, status):
    client, network = await speaking(95)
    network.says("/manage_services/commit_pending", reply(status, {"error": "look at it"}))
    with pytest.raises(HydrusFailed, match="look at it"):
        await client.commit_pending(PTR)


async def test_pending_counts(speaking, reply):
    client, network = await speaking(95)
    counts = {PTR: {"pending_tag_mappings": 3, "petitioned_files": 0}}
    network.says("/manage_services/get_pending_counts", reply(body={"pending_counts": counts}))
    assert await client.get_pending_counts() == counts


async def test_bones_of_a_part(speaking, reply):
    client, network = await speaking(52)
    network.says("/manage_database/mr_bones", reply(body={"boned_stats": {"num_inbox": 3}}))
    stats = await client.mr_bones(
        tags=["system:inbox", ["a", "b"]], file_service="my files", tag_service="my tags"
    )
    assert (stats.num_inbox, stats.num_deleted, stats.earliest_import_time) == (3, None, None)
    target = network.asked[0].target
    assert "tags=%5B%22system%3Ainbox%22%2C%5B%22a%22%2C%22b%22%5D%5D" in target
    assert "file_service_key=6c6f63616c2066696c6573&tag_service_key=6c6f63616c2074616773" in target


@pytest.mark.parametrize(
    ("since", "call"),
    [
        (41, lambda client: client.get_service(name="a")),
        (83, lambda client: client.get_service_rating_svg(name="a")),
        (66, lambda client: client.get_pending_counts()),
        (66, lambda client: client.commit_pending(PTR)),
        (66, lambda client: client.forget_pending(PTR)),
        (17, lambda client: client.lock_on()),
        (17, lambda client: client.lock_off()),
        (23, lambda client: client.mr_bones()),
        (52, lambda client: client.mr_bones(tags=["a"])),
        (52, lambda client: client.mr_bones(file_service="my files")),
        (55, lambda client: client.get_client_options()),
        (92, lambda client: client.client_info()),
    ],
)
async def test_what_is_too_new_is_not_sent(speaking, since, call):
    client, network = await speaking(since - 1)
    with pytest.raises(VersionTooOld, match=f"≥ {since}, this client speaks {since - 1}"):
        await call(client)
    assert not network.asked


@pytest.mark.parametrize(
    ("words", "call"),
    [
        ("commit pending", lambda client: client.commit_pending(PTR)),
        ("commit pending", lambda client: client.get_pending_counts()),
        ("manage database", lambda client: client.lock_on()),
        ("manage database", lambda client: client.lock_off()),
        ("manage database", lambda client: client.mr_bones()),
        ("manage database", lambda client: client.get_client_options()),
    ],
)
async def test_permissions(limited, words, call):
    client, network = await limited(Permission.SEARCH_FILES)
    with pytest.raises(PermissionMissing) as caught:
        await call(client)
    assert caught.value.permission == words
    assert not network.asked


async def test_unlocking_needs_no_session(network, client_of, access_key, reply):
    """After a crash of ours there is nobody else to do it, and no session to be had."""
    for path in ("/api_version", "/session_key"):
        network.replays("while_locked_api_version", at=path)
    network.replays("lock_off")
    async with client_of(network) as client:
        with pytest.raises(HydrusUnavailable):
            await client.connect()
        network.asked.clear()
        await client.lock_off()
        network.replays("lock_off_again")
        with pytest.raises(RequestRejected, match="not busy"):
            await client.lock_off()
    first, _ = network.asked
    assert first.headers["Hydrus-Client-API-Access-Key"] == access_key
    assert first.headers["content-type"] == "application/json"
    assert first.body == b"{}"
    network.says("/manage_database/lock_off", reply(403, {"error": "no"}))
    async with client_of(network) as client:
        with pytest.raises(AccessDenied):
            await client.lock_off()


async def test_asking_for_a_key(network, reply):
    network.says(ASKING, reply(body={"access_key": "fe" * 32}))
    async with HydrusClient("http://127.0.0.1:45869", "", transport=network) as client:
        key = await client.request_new_permissions(
            "hydrusd & co", [Permission.EDIT_TAGS, Permission.IMPORT_FILES, Permission.EDIT_TAGS]
        )
        await client.request_new_permissions("x", permits_everything=True)
    _, asked, _, everything = network.asked
    assert asked.target == f"{ASKING}?name=hydrusd%20%26%20co&basic_permissions=%5B1%2C2%5D"
    assert everything.target == f"{ASKING}?name=x&basic_permissions=%5B%5D&permits_everything=true"
    assert not any("key" in name for name in asked.headers)
    assert key.get_secret_value() == "fe" * 32
    assert "fe" * 32 not in repr(key)
    assert redaction.redact("fe" * 32) == "[hidden]"


@pytest.mark.parametrize(
    ("version", "asked", "words"),
    [
        (16, [Permission.MANAGE_DATABASE], '"manage database" needs Client API ≥ 17'),
        (32, [Permission.EDIT_TAGS, Permission.EDIT_TIMES], "needs Client API ≥ 59"),
        (70, [Permission.SEE_LOCAL_PATHS], "this client speaks 70"),
        (10, [], "needs Client API ≥ 11"),
    ],
)
async def test_boxes_that_a_client_does_not_have(network, reply, version, asked, words):
    network.says("/api_version", reply(body={"version": version}))
    async with HydrusClient("http://127.0.0.1:45869", "", transport=network) as client:
        with pytest.raises(VersionTooOld, match=words):
            await client.request_new_permissions("x", asked)
        if version > 10:
            with pytest.raises(VersionTooOld, match="for everything needs Client API ≥ 71"):
                await client.request_new_permissions("x", permits_everything=True)
    assert {one.path for one in network.asked} == {"/api_version"}


async def test_another_conflict_is_no_closed_dialog(network, reply):
    network.says(ASKING, reply(409, {"error": "something else"}))
    async with HydrusClient("http://127.0.0.1:45869", "", transport=network) as client:
        with pytest.raises(HydrusFailed, match="something else") as caught:
            await client.request_new_permissions("x")
    assert not isinstance(caught.value, PermissionDialogClosed)
