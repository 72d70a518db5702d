"""Every recorded answer about files through our calls; the list is read from the recordings."""

from __future__ import annotations

import json
from datetime import UTC, datetime
from pathlib import Path

import pytest

from hydrusd.errors import HydrusError, RequestRejected, VersionTooOld
from hydrusd.hydrus import (
    CanvasType,
    Detail,
    FileMetadata,
    FilePath,
    FileRelationships,
    GeneratedHashes,
    HashType,
    ImportStatus,
    Pair,
    Relation,
    TagAction,
    TagCount,
    TimeKind,
)

pytestmark = pytest.mark.anyio

RECORDED = Path(__file__).parent / "recorded"
KNOWN = "ce60b7fa29d98fc77d3a0a7ca3861febfce8c87e146a9548df90672f0a1ec197"
OTHER = "a201a2e0847a8f0530bebfadaf1f970a0ba65f8aa290b3ce1d4638b59bf9eddf"
THIRD = "e5ba0880c3d23dcbd1ccf74b0939b53f9888472dcc54a3988fc11877d284e0f6"
NEVER = "12" * 32
LOCAL = "6c6f63616c2066696c6573"
WHEN = datetime(2020, 9, 13, 12, 26, 40, tzinfo=UTC)

CALLS = {
    "add_file_path": lambda c: c.add_file_by_path("/pictures/f3.png"),
    "add_file_path_missing": lambda c: c.add_file_by_path("/pictures/none.png"),
    "add_tags_unknown_hash": lambda c: c.add_tags(["ab" * 32], {"my tags": ["a"]}),
    "add_tags_actions": lambda c: c.change_tags(
        [KNOWN], {"my tags": {TagAction.ADD: ["n"], TagAction.DELETE: ["a"]}}
    ),
    "search_tags": lambda c: c.search_tags("blu"),
    "search_files_tag": lambda c: c.search_files(["creator:me"]),
    "search_files_empty": lambda c: c.search_files(["system:everything"], ascending=False),
    "file": lambda c: c.get_file(1),
    "file_unknown": lambda c: c.get_file("ab" * 32),
    "thumbnail": lambda c: c.get_thumbnail(KNOWN),
    "set_notes": lambda c: c.set_notes(KNOWN, {"n": "text"}),
    "delete_file": lambda c: c.delete_files([KNOWN]),
    "undelete_files": lambda c: c.undelete_files([OTHER]),
    "archive_files": lambda c: c.archive_files([OTHER]),
    "unarchive_files": lambda c: c.unarchive_files([OTHER]),
    "clear_file_deletion_record": lambda c: c.clear_file_deletion_record([OTHER]),
    "generate_hashes": lambda c: c.generate_hashes(Path(__file__)),
    "get_siblings_and_parents": lambda c: c.get_siblings_and_parents(["blue eyes"]),
    "get_favourite_tags": lambda c: c.get_favourite_tags(),
    "set_favourite_tags": lambda c: c.set_favourite_tags(add=["blue eyes"]),
    "set_rating_like": lambda c: c.set_rating([OTHER], "favourites", rating=True),
    "set_rating_wrong": lambda c: c.set_rating([OTHER], "favourites", rating=None),
    "set_time": lambda c: c.set_time([OTHER], TimeKind.MODIFIED_ON_WEB, WHEN, domain="example.com"),
    "set_time_bad": lambda c: c.set_time([OTHER], TimeKind.MODIFIED_ON_DISK, WHEN),
    "increment_file_viewtime": lambda c: c.increment_file_viewtime(
        [OTHER], CanvasType.CLIENT_API, seconds=2.5
    ),
    "set_file_viewtime": lambda c: c.set_file_viewtime(
        [OTHER], CanvasType.CLIENT_API, seconds=9.5, views=2
    ),
    "delete_notes": lambda c: c.delete_notes(OTHER, ["n"]),
    "file_hashes": lambda c: c.file_hashes([OTHER], desired=HashType.MD5),
    "file_metadata_everything": lambda c: c.file_metadata(
        [OTHER], notes=True, blurhash=True, detailed_urls=True, milliseconds=True
    ),
    "file_metadata_identifiers": lambda c: c.file_metadata(
        [OTHER, NEVER], detail=Detail.IDENTIFIERS
    ),
    "file_metadata_basic": lambda c: c.file_metadata([OTHER, NEVER], detail=Detail.BASIC),
    "file_path": lambda c: c.file_path(OTHER),
    "thumbnail_path": lambda c: c.thumbnail_path(OTHER),
    "local_file_storage_locations": lambda c: c.local_file_storage_locations(),
    "render": lambda c: c.get_render(OTHER),
    "file_range": lambda c: c.get_file(1),
    "get_file_relationships": lambda c: c.get_file_relationships([OTHER]),
    "get_potentials_count": lambda c: c.get_potentials_count(),
    "get_potential_pairs": lambda c: c.get_potential_pairs(),
    "get_random_potentials": lambda c: c.get_random_potentials(),
    "set_file_relationships": lambda c: c.set_file_relationships(
        [Pair(OTHER, THIRD, Relation.ALTERNATE, merge=False)]
    ),
    "set_kings": lambda c: c.set_kings([OTHER]),
    "remove_potentials": lambda c: c.remove_potentials([OTHER]),
}
# What these give, of the newest era unless an older one stands before it.
GIVES = {
    "search_tags": [TagCount("blue eyes", 1)],
    "search_files_tag": ((1,), ()),
    "search_files_empty": ((2, 1), ()),
    "set_notes": {"n": "text"},
    "get_favourite_tags": [],
    "set_favourite_tags": ["blue eyes"],
    "generate_hashes": GeneratedHashes(
        "c9ca9cd8f7e3b339d9dd6e0d99fae63d748c1ff105c8a80f5e57e5925cf4a2d2",
        ("98047248de6c77b7",),
        "d20821e00dbae53b3d0dc12f1b11b79cd41942d9e51a926d8cc7cceb9c20a62f",
    ),
    "file_hashes": {OTHER: "e3077d8127a57c29f6246f24908a538e"},
    "file_metadata_identifiers": [FileMetadata(OTHER, 3), FileMetadata(NEVER)],
    "file_path": FilePath(f"/home/user/hydrus-db/client_files/fa2/{OTHER}.png", "image/png", 2000),
    "get_file_relationships": {
        OTHER: FileRelationships(
            True, OTHER, (), (), (), (), king_is_on_file_domain=True, king_is_local=True
        )
    },
    "get_potentials_count": 0,
    "get_potential_pairs": [],
    "get_random_potentials": [],
}
ENTRIES = [
    pytest.param(era, entry, id=f"api{era}-{entry['name']}")
    for era in (11, 32, 95)
    for entry in json.loads((RECORDED / f"v{era}-files.json").read_text("utf-8"))
]


@pytest.mark.parametrize(("era", "entry"), ENTRIES)
async def test_every_recorded_answer(speaking, reply, era, entry):
    client, network = await speaking(era)
    name, status = entry["name"], entry["status"]
    body = reply(status, entry["body"], entry["content_type"])
    network.says(entry["path"], body)
    call = CALLS[name](client)
    no_route = status == 404 and entry["content_type"].startswith("text/html; charset=utf-8")
    if no_route and "No Such Resource" in entry["body"]:
        with pytest.raises(VersionTooOld):
            await call
        assert not network.asked
    elif status in {200, 206} and name != "file_range":
        given = await call
        if name in {"file", "thumbnail", "render"}:
            assert given.content_type == entry["content_type"]
        else:
            expected = GIVES.get(name, given)
            if name.startswith("search_files"):
                given = (given.file_ids, given.hashes)
            assert given == expected
        assert [asked.method for asked in network.asked] == [entry["method"]]
    else:
        # A part that nobody asked for makes no sense, all else is refused for good.
        with pytest.raises(HydrusError if name == "file_range" else RequestRejected):
            await call
        assert network.asked


async def test_a_file_by_path(speaking, era):
    client, network = await speaking(era)
    network.replays("add_file_path")
    result = await client.add_file_by_path("/pictures/f3.png")
    assert (result.status, result.hash) == (ImportStatus.IMPORTED, THIRD)
    assert network.asked[-1].json == {"path": "/pictures/f3.png"}


async def test_metadata_of_three_shapes(speaking, era):
    client, network = await speaking(era)
    network.replays("file_metadata")
    (found,) = await client.file_metadata([KNOWN.upper()])
    assert (found.hash, found.file_id, found.size, found.mime) == (KNOWN, 1, 12420, "image/png")
    assert (found.width, found.duration_ms, found.urls) == (64, None, ("https://example.com/a",))
    where = "my tags" if era == 11 else "646f776e6c6f616465722074616773"
    storage = {0: {"n", "blue eyes", "creator:me", "x y"}, 2: {"a"}}
    assert found.tags[where].storage == storage
    assert found.tags[where].display == ({} if era == 11 else storage)
    assert found.is_inbox is (None if era == 11 else True)
    imported = {32: 1795477700, 95: 1795477046}.get(era)
    if imported:
        at = datetime.fromtimestamp(imported, UTC)
        assert found.current[LOCAL].imported_at == found.modified_at == at
        assert not found.deleted
    assert (found.pixel_hash or "be4f")[:4] == "be4f"
    assert (found.pixel_hash is None) == (era != 95)


async def test_a_file_that_is_only_tagged(speaking, era):
    client, network = await speaking(era)
    network.replays("file_metadata_unknown")
    (found,) = await client.file_metadata(["ab" * 32])
    assert found.is_known
    assert (found.size, found.modified_at) == (None, None)
    assert found.is_local is (None if era == 11 else False)


async def test_all_that_can_be_told(speaking):
    client, network = await speaking(95)
    network.replays("file_metadata_everything")
    (found,) = await client.file_metadata(
        [OTHER], notes=True, detailed_urls=True, milliseconds=True
    )
    assert found.modified_times["example.com"] == found.modified_at == WHEN
    assert found.modified_times["local"].microsecond == 765000
    assert found.ratings == {"6661766f757269746573": True}
    api = found.views[2]
    assert (api.canvas, api.views, api.seconds) == (CanvasType.CLIENT_API, 2, 9.5)
    assert api.last_viewed_at == datetime(2026, 11, 24, 0, 20, 29, 578000, UTC)
    assert found.has == frozenset()


async def test_what_no_version_says_yet_is_no_problem(speaking, reply):
    client, network = await speaking(95)
    row = {
        "file_id": 7,
        "hash": KNOWN,
        "size": 1,
        "duration": 1234.5,
        "has_exif": True,
        "has_soul": True,
        "new": {"deep": [1]},
        "tags": {"ab": {"storage_tags": {"9": ["a"]}, "name": "x", "colour": 1}},
        "ratings": {"l": None, "n": 3, "f": 0.5},
        "time_modified": 10**18,
        "time_modified_details": {"a.b": None},
        "notes": {"n": "t"},
        "detailed_known_urls": [{"normalised_url": "u", "url_type": 99, "extra": 1}],
    }
    network.says("/get_files/file_metadata", reply(body={"metadata": [row], "more": 1}))
    (found,) = await client.file_metadata([KNOWN])
    assert found.tags["ab"].storage == {9: {"a"}}
    assert found.ratings == {"l": None, "n": 3, "f": 0.5}
    assert (found.modified_at, found.modified_times, found.has) == (None, {}, {"exif"})
    assert (found.notes, found.detailed_urls[0].kind, found.duration_ms) == ({"n": "t"}, 99, 1234)
