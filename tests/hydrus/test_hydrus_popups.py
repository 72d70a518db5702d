"""Popups: what is shown, changed, cleared and finished."""

from __future__ import annotations

import json
from datetime import UTC, datetime
from pathlib import Path

import pytest

from hydrusd.errors import PermissionMissing, RequestRejected, VersionTooOld
from hydrusd.hydrus import UNCHANGED, Permission, PopupFiles

pytestmark = pytest.mark.anyio

KEY = "ab" * 32
KNOWN = "ce60b7fa29d98fc77d3a0a7ca3861febfce8c87e146a9548df90672f0a1ec197"

RECORDED = Path(__file__).parent / "recorded"
ENTRIES = [
    pytest.param(int(path.stem[1:3]), entry, id=f"{path.stem}-{entry['name']}")
    for path in sorted(RECORDED.glob("*.json"))
    for entry in json.loads(path.read_text("utf-8"))
    if entry["path"].startswith("/manage_popups/")
]


async def call(client, path, asked):
    asked = dict(asked)
    method = getattr(client, path.rpartition("/")[2])
    key = asked.pop("job_status_key", None)
    return await (method(**asked) if key is None else method(key, **asked))


def check(popup, said):
    assert popup.text == said["nice_string"]
    assert popup.creation_time == datetime.fromtimestamp(said["creation_time"], UTC)
    for name, value in said.items():
        if name.startswith("popup_gauge"):
            assert list(getattr(popup, name)) == value
        elif name == "files":
            assert popup.files == PopupFiles(tuple(value["hashes"]), value["label"])
        elif name not in {"nice_string", "creation_time"}:
            assert getattr(popup, name) == value


@pytest.mark.parametrize(("era", "entry"), ENTRIES)
async def test_every_recorded_answer(speaking, era, entry):
    client, network = await speaking(era)
    network.replays(entry["name"])
    asked, body = next(iter(entry["request"].values()), {}), entry["body"]
    if era < 57:
        assert entry["status"] == 404
        with pytest.raises(VersionTooOld, match=f"≥ 57, this client speaks {era}"):
            await call(client, entry["path"], asked)
        assert not network.asked
    elif entry["status"] == 400:
        with pytest.raises(RequestRejected, match="This job key doesn't exist!"):
            await call(client, entry["path"], asked)
    elif "job_statuses" in body:
        for popup, said in zip(await client.get_popups(), body["job_statuses"], strict=True):
            check(popup, said)
    elif "job_status" in body:
        check(await call(client, entry["path"], asked), body["job_status"])
        assert network.asked[-1].json.items() >= asked.items()
    else:
        assert await call(client, entry["path"], asked) is None
        assert network.asked[-1].json == asked


def test_recordings_are_found():
    assert {param.values[0] for param in ENTRIES} == {11, 32, 95}
    assert len({param.values[1]["path"] for param in ENTRIES}) == 8


async def test_what_an_update_sends(speaking):
    client, network = await speaking(95)
    network.replays("update_popup")
    await client.update_popup(KEY)
    await client.update_popup(KEY, status_title=None, popup_gauge_1=None, api_data=None)
    await client.update_popup(
        KEY,
        status_text_1="100%",
        status_text_2=UNCHANGED,
        popup_gauge_2=(0, 3),
        hashes=[KNOWN.upper()],
        files_label="a",
    )
    assert [asked.json for asked in network.asked] == [
        {"job_status_key": KEY},
        {"job_status_key": KEY, "status_title": None, "popup_gauge_1": None, "api_data": None},
        {
            "job_status_key": KEY,
            "status_text_1": "100%",
            "popup_gauge_2": [0, 3],
            "hashes": [KNOWN],
            "files_label": "a",
        },
    ]


async def test_what_is_added(speaking):
    client, network = await speaking(95)
    network.replays("add_popup_full")
    await client.add_popup(status_title="t", popup_gauge_1=(1, 4), is_pausable=True)
    assert network.asked[0].json == {
        "status_title": "t",
        "popup_gauge_1": [1, 4],
        "is_cancellable": False,
        "is_pausable": True,
        "attached_files_mergable": False,
    }


@pytest.mark.parametrize(
    "fields",
    [
        {"popup_gauge_1": (0.5, 4)},
        {"popup_gauge_2": (1, 4.0)},
        {"popup_gauge_1": (True, 4)},
        {"popup_gauge_1": (-1, 4)},
        {"popup_gauge_1": (1,)},
        {"hashes": [KNOWN]},
        {"hashes": ["x"], "files_label": "a"},
        {"status_title": "\udc80"},
    ],
)
async def test_refused_before_anything_is_sent(speaking, fields):
    client, network = await speaking(95)
    with pytest.raises(RequestRejected):
        await client.add_popup(**fields)
    with pytest.raises(RequestRejected):
        await client.update_popup(KEY, **fields)
    assert not network.asked


async def test_seconds_are_whole(speaking, reply):
    client, network = await speaking(95)
    network.says("/manage_popups/finish_and_dismiss_popup", reply())
    await client.finish_and_dismiss_popup(KEY)
    await client.finish_and_dismiss_popup(KEY, seconds=0)
    assert [asked.json for asked in network.asked] == [
        {"job_status_key": KEY},
        {"job_status_key": KEY, "seconds": 0},
    ]
    for seconds in (1.5, True, -1):
        with pytest.raises(RequestRejected, match="seconds is in whole numbers"):
            await client.finish_and_dismiss_popup(KEY, seconds=seconds)


async def test_only_those_in_view(speaking, reply):
    client, network = await speaking(95)
    # One of the client's own, with a gauge that does not know its end.
    popup = {"key": KEY, "popup_gauge_1": [None, None], "network_job": {"url": "http://a"}}
    network.says("/manage_popups/get_popups", reply(body={"job_statuses": [popup]}))
    (found,) = await client.get_popups(only_in_view=True)
    assert network.asked[0].target == "/manage_popups/get_popups?only_in_view=true"
    assert (found.popup_gauge_1, found.network_job) == ((None, None), {"url": "http://a"})
    assert (found.text, found.creation_time, found.files) == ("", None, None)


CALLS = [
    lambda client: client.get_popups(),
    lambda client: client.add_popup(),
    lambda client: client.update_popup(KEY),
    lambda client: client.finish_popup(KEY),
    lambda client: client.finish_and_dismiss_popup(KEY),
    lambda client: client.dismiss_popup(KEY),
    lambda client: client.cancel_popup(KEY),
    lambda client: client.call_user_callable(KEY),
]


@pytest.mark.parametrize("call", CALLS)
async def test_version_and_permission(speaking, limited, call):
    client, network = await speaking(56)
    with pytest.raises(VersionTooOld, match="≥ 57, this client speaks 56"):
        await call(client)
    assert not network.asked
    client, network = await limited(Permission.MANAGE_PAGES)
    with pytest.raises(PermissionMissing, match="manage popups"):
        await call(client)
    assert not network.asked
