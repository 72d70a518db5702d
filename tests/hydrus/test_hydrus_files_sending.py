"""How requests about files are put: gates, parameters, many files, and what is refused here."""

from __future__ import annotations

import json
from datetime import UTC, datetime, timedelta, timezone
from itertools import pairwise
from pathlib import Path
from urllib.parse import unquote, unquote_plus

import pytest
from hypothesis import given, strategies as st

from hydrusd.errors import PermissionMissing, RequestRejected, VersionTooOld
from hydrusd.hydrus import (
    CanvasType,
    Detail,
    FileSort,
    HashType,
    NoteConflict,
    NoteMerge,
    Pair,
    PairSort,
    Permission,
    PixelDuplicates,
    Potentials,
    PotentialsSearch,
    Relation,
    RenderFormat,
    TagAction,
    TimeKind,
    UnknownService,
)
from hydrusd.hydrus._http import encode_query
from hydrusd.hydrus._times import _milliseconds

pytestmark = pytest.mark.anyio

A, B = "aa" * 32, "bb" * 32
MY_TAGS = "6c6f63616c2074616773"
MY_FILES = "6c6f63616c2066696c6573"
ALL_MEDIA = "616c6c206c6f63616c206d65646961"
STORAGE = "616c6c206c6f63616c2066696c6573"
FAVOURITES = "6661766f757269746573"
STARS, COUNT = "57" * 32, "c0" * 32
REPOSITORY = "4e" * 32
WHEN = datetime(2021, 2, 3, 4, 5, 6, 789_000, tzinfo=UTC)
MANY = [f"{n:064x}" for n in range(1, 601)]
SEARCH = "/get_files/search_files"
METADATA = "/get_files/file_metadata"
ADD_TAGS = "/add_tags/add_tags"
SERVICES = [
    ("my tags", MY_TAGS, 5),
    ("downloader tags", "646f776e6c6f616465722074616773", 5),
    ("shared", REPOSITORY, 0),
    ("all known tags", "616c6c206b6e6f776e2074616773", 10),
    ("my files", MY_FILES, 2),
    ("more files", "0f" * 32, 2),
    ("all local", ALL_MEDIA, 21),
    ("storage", STORAGE, 15),
    ("trash", "7472617368", 14),
    ("favourites", FAVOURITES, 7),
    ("stars", STARS, 6),
    ("count", COUNT, 22),
]


@pytest.fixture
async def at(speaking, reply):
    """Connect at a version, to a client with services of all kinds that takes anything."""

    async def connect(version):
        client, network = await speaking(version)
        if version >= 46:
            listed = [{"name": n, "service_key": k, "type": t} for n, k, t in SERVICES]
            network.says("/get_services", reply(body={"services_v2": listed}))
            await client.connect()
        for path in (
            *("delete_files", "undelete_files", "archive_files", "unarchive_files"),
            *("clear_file_deletion_record", "migrate_files"),
        ):
            network.says(f"/add_files/{path}", reply())
        for path in ("set_rating", "set_time", "increment_file_viewtime", "set_file_viewtime"):
            network.says(f"/edit_ratings/{path}", reply())
            network.says(f"/edit_times/{path}", reply())
        network.says("/add_notes/set_notes", reply(body={"notes": {}}))
        network.says("/add_notes/delete_notes", reply())
        network.says(ADD_TAGS, reply())
        network.says(SEARCH, reply(body={"file_ids": [3, 1, 2], "hashes": [A, B]}))
        network.asked.clear()
        return client, network

    return connect


def decoded(asked):
    """Decode a query as Hydrus does: twice, and then by kind."""
    pairs = (pair.split("=") for pair in asked.target.partition("?")[2].split("&"))
    values = {name: unquote(unquote_plus(value)) for name, value in pairs}
    for name, value in values.items():
        try:
            values[name] = json.loads(value)
        except ValueError:
            values[name] = value
    return values


# What needs which version: the call, the newest version that cannot do it.
GATES = [
    (lambda c: c.delete_files([A]), 14),
    (lambda c: c.delete_files([A], reason="r"), 27),
    (lambda c: c.delete_files([A], permanently=True), 27),
    (lambda c: c.delete_files([A], from_domains=["my files"]), 27),
    (lambda c: c.delete_files([7]), 28),
    (lambda c: c.undelete_files([A]), 14),
    (lambda c: c.undelete_files([A], to_domains=["my files"]), 27),
    (lambda c: c.archive_files([A]), 14),
    (lambda c: c.unarchive_files([A]), 14),
    (lambda c: c.clear_file_deletion_record([A]), 62),
    (lambda c: c.migrate_files([A], ["my files"]), 67),
    (lambda c: c.add_file_by_path("/a", domains=["my files"]), 67),
    (lambda c: c.add_file_by_path("/a", delete_after_import=True), 69),
    (lambda c: c.generate_hashes(Path("a")), 54),
    (lambda c: c.search_tags("a"), 25),
    (lambda c: c.search_tags("a", display=True), 32),
    (lambda c: c.search_tags("a", domain="my files"), 40),
    (lambda c: c.get_siblings_and_parents(["a"]), 50),
    (lambda c: c.get_favourite_tags(), 79),
    (lambda c: c.set_favourite_tags(["a"]), 79),
    (lambda c: c.change_tags([7], {"my tags": {TagAction.ADD: ["a"]}}), 28),
    (
        lambda c: c.change_tags(
            [A], {"my tags": {TagAction.DELETE: ["a"]}}, record_absent_as_deleted=False
        ),
        64,
    ),
    (lambda c: c.set_rating([A], "favourites", rating=True), 47),
    (lambda c: c.set_time([A], TimeKind.MODIFIED_ON_DISK, WHEN), 58),
    (lambda c: c.increment_file_viewtime([A], CanvasType.PREVIEW, seconds=1), 77),
    (lambda c: c.set_file_viewtime([A], CanvasType.PREVIEW, seconds=1, views=1), 77),
    (lambda c: c.set_notes(A, {"n": "t"}), 26),
    (lambda c: c.set_notes(A, {"n": "t"}, merge=NoteMerge()), 37),
    (lambda c: c.set_notes(7, {"n": "t"}), 28),
    (lambda c: c.delete_notes(A, ["n"]), 26),
    (lambda c: c.search_files(["a*"]), 15),
    (lambda c: c.search_files(["system:untagged"]), 17),
    (lambda c: c.search_files(["-system:inbox"]), 17),
    (lambda c: c.search_files(["a"], sort=FileSort.SIZE), 18),
    (lambda c: c.search_files(["a"], tag_service="my tags"), 18),
    (lambda c: c.search_files([["a", "b"]]), 19),
    (lambda c: c.search_files(["a"], hashes=True), 24),
    (lambda c: c.search_files(["a"], deleted_from=["my files"]), 40),
    (lambda c: c.search_files(["a"], include_pending_tags=False), 68),
    (lambda c: c.search_files(["a"], include_current_tags=False), 68),
    (lambda c: c.file_hashes([A], desired=HashType.MD5), 36),
    (lambda c: c.file_metadata([A], detailed_urls=True), 12),
    (lambda c: c.file_metadata([A], notes=True), 26),
    (lambda c: c.file_metadata([A], detail=Detail.BASIC), 28),
    (lambda c: c.file_metadata([A], create_file_ids=True), 30),
    (lambda c: c.file_metadata([A], blurhash=True), 52),
    (lambda c: c.file_metadata([A], milliseconds=True), 58),
    (lambda c: c.get_file(A, start=1), 15),
    (lambda c: c.get_file(A, length=1), 15),
    (lambda c: c.get_render(A), 51),
    (lambda c: c.get_render(A, render_format=RenderFormat.PNG), 67),
    (lambda c: c.get_render(A, quality=9), 67),
    (lambda c: c.get_render(A, size=(1, 1)), 67),
    (lambda c: c.file_path(A), 70),
    (lambda c: c.thumbnail_path(A), 70),
    (lambda c: c.local_file_storage_locations(), 71),
    (lambda c: c.get_file_relationships([A]), 39),
    (lambda c: c.get_file_relationships([A], domains=["my files"]), 40),
    (lambda c: c.get_potentials_count(), 39),
    (lambda c: c.get_potentials_count(Potentials(domains=("my files",))), 40),
    (lambda c: c.get_potential_pairs(), 39),
    (lambda c: c.get_potential_pairs(sort=PairSort.SIMILARITY), 80),
    (lambda c: c.get_potential_pairs(group_mode=True), 80),
    (lambda c: c.get_random_potentials(), 39),
    (lambda c: c.remove_potentials([A]), 65),
    (lambda c: c.set_kings([A]), 39),
    (lambda c: c.set_file_relationships([Pair(A, B, Relation.ALTERNATE, merge=False)]), 40),
]


@pytest.mark.parametrize(("call", "version"), GATES)
async def test_what_a_version_cannot_do_is_not_sent(speaking, limited, call, version):
    if version < 17:
        client, network = await speaking(version)
    else:
        client, network = await limited(*range(14), version=version)
    with pytest.raises(VersionTooOld, match=f"≥ {version + 1}, this client speaks {version}:"):
        await call(client)
    assert not network.asked


@pytest.mark.parametrize(
    ("call", "permission"),
    [
        (lambda c: c.archive_files([A]), Permission.IMPORT_FILES),
        (lambda c: c.generate_hashes(Path("a")), Permission.IMPORT_FILES),
        (lambda c: c.add_file_by_path("/a"), Permission.IMPORT_FILES),
        (lambda c: c.change_tags([A], {}), Permission.EDIT_TAGS),
        (lambda c: c.get_favourite_tags(), Permission.EDIT_TAGS),
        (lambda c: c.search_tags("a"), Permission.SEARCH_FILES),
        (lambda c: c.file_metadata([A]), Permission.SEARCH_FILES),
        (lambda c: c.get_thumbnail(A), Permission.SEARCH_FILES),
        (lambda c: c.file_path(A), Permission.SEARCH_FILES),
        (lambda c: c.file_path(A), Permission.SEE_LOCAL_PATHS),
        (lambda c: c.set_notes(A, {}), Permission.EDIT_NOTES),
        (lambda c: c.set_kings([A]), Permission.EDIT_RELATIONSHIPS),
        (lambda c: c.get_potentials_count(), Permission.EDIT_RELATIONSHIPS),
        (lambda c: c.set_rating([A], "x", rating=None), Permission.EDIT_RATINGS),
        (lambda c: c.set_time([A], TimeKind.ARCHIVED, WHEN), Permission.EDIT_TIMES),
    ],
)
async def test_a_missing_permission_is_not_sent(limited, call, permission):
    client, network = await limited(*(set(Permission) - {permission}))
    with pytest.raises(PermissionMissing) as caught:
        await call(client)
    assert caught.value.permission == permission.words(95)
    assert not network.asked


@pytest.mark.parametrize("call", ["archive_files", "undelete_files", "clear_file_deletion_record"])
async def test_many_files_go_256_at_a_time_in_order(at, call):
    client, network = await at(95)
    await getattr(client, call)([*MANY[:300], 7, *MANY[300:], *MANY, 7])
    sent = [asked.json for asked in network.asked]
    assert [len(one.get("hashes", one.get("file_ids"))) for one in sent] == [256, 44, 1, 256, 44]
    assert [one for some in sent for one in some.get("hashes", [])] == MANY
    assert sent[2] == {"file_ids": [7]}


async def test_many_rows_are_joined_in_the_order_asked(at, reply):
    client, network = await at(95)

    def rows(asked):
        # As a client before API 44: in an order of its own.
        given = decoded(asked)
        found = [{"file_id": 10**6 + int(h, 16), "hash": h} for h in given.get("hashes", [])]
        found += [{"file_id": n, "hash": f"{n - 10**6:064x}"} for n in given.get("file_ids", [])]
        return reply(body={"metadata": found[::-1]})

    network.says(METADATA, rows)
    asked = [MANY[5], 10**6 + 3, *MANY, 10**6 + 9]
    found = await client.file_metadata(asked, detail=Detail.IDENTIFIERS)
    in_order = list(dict.fromkeys(asked))
    assert [one.hash for one in found] == [
        one if isinstance(one, str) else f"{one - 10**6:064x}" for one in in_order
    ]
    sizes = [
        len(given.get("hashes", given.get("file_ids")))
        for given in map(decoded, network.asked_for(METADATA))
    ]
    assert sizes == [256, 256, 88, 2]


async def test_many_hashes_are_translated_in_order(at, reply):
    client, network = await at(95)
    network.says(
        "/get_files/file_hashes",
        lambda asked: reply(
            body={"hashes": {h: h[:32] for h in sorted(decoded(asked)["hashes"]) if h[-1] != "0"}}
        ),
    )
    found = await client.file_hashes(MANY[::-1], desired=HashType.MD5)
    assert list(found) == [one for one in MANY[::-1] if one[-1] != "0"]
    assert len(network.asked) == 3
    assert decoded(network.asked[0])["desired_hash_type"] == "md5"


async def test_many_tags_and_pairs_and_relationships(at, reply):
    client, network = await at(95)
    relations = {"ideal_tag": "a", "siblings": [], "descendants": [], "ancestors": []}
    network.says(
        "/add_tags/get_siblings_and_parents",
        lambda asked: reply(
            body={"tags": {tag: {MY_TAGS: relations} for tag in decoded(asked)["tags"]}}
        ),
    )
    tags = [f"tag {n}" for n in range(300)]
    assert list(await client.get_siblings_and_parents(tags)) == tags
    base = "/manage_file_relationships"
    network.says(f"{base}/set_file_relationships", reply())
    pairs = [Pair(a, b, Relation.ALTERNATE, merge=False) for a, b in pairwise(MANY)]
    await client.set_file_relationships(pairs)
    sent = [asked.json["relationships"] for asked in network.asked if asked.method == "POST"]
    assert [len(rows) for rows in sent] == [256, 256, 87]
    assert sent[0][0] == {
        "hash_a": MANY[0],
        "hash_b": MANY[1],
        "relationship": 3,
        "do_default_content_merge": False,
        "delete_a": False,
        "delete_b": False,
    }
    row = {"is_king": True, "king": A}
    network.says(
        f"{base}/get_file_relationships",
        lambda asked: reply(
            body={"file_relationships": dict.fromkeys(sorted(decoded(asked)["hashes"]), row)}
        ),
    )
    assert list(await client.get_file_relationships(MANY[::-1])) == MANY[::-1]


async def test_deleting_says_from_where(at):
    client, network = await at(95)
    await client.delete_files([A], reason="why")
    await client.delete_files([A], from_domains=["my files"])
    await client.delete_files([A], from_domains=["my files", "all local"])
    await client.delete_files([A], permanently=True)
    await client.undelete_files([A], to_domains=["more files"])
    await client.migrate_files([A], ["my files", "more files"])
    assert [asked.json for asked in network.asked] == [
        {"hashes": [A], "reason": "why"},
        {"hashes": [A], "file_service_key": MY_FILES},
        {"hashes": [A], "file_service_keys": [MY_FILES, ALL_MEDIA]},
        {"hashes": [A], "file_service_key": STORAGE},
        {"hashes": [A], "file_service_key": "0f" * 32},
        {"hashes": [A], "file_service_keys": [MY_FILES, "0f" * 32]},
    ]


@pytest.mark.parametrize(
    "call",
    [
        # What would go through and do nothing, or more than was meant.
        lambda c: c.delete_files([A], from_domains=["storage"]),
        lambda c: c.delete_files([A], from_domains=["trash"]),
        lambda c: c.delete_files([A], from_domains=["my tags"]),
        lambda c: c.delete_files([A], from_domains=["my files"], permanently=True),
        lambda c: c.undelete_files([A], to_domains=["trash"]),
        lambda c: c.migrate_files([A], []),
        lambda c: c.migrate_files([A], ["all local"]),
        lambda c: c.archive_files(A),
        lambda c: c.archive_files(["xyz"]),
        lambda c: c.archive_files([A, True]),
        lambda c: c.archive_files([A, -1]),
        lambda c: c.archive_files([A, 2**63]),
        lambda c: c.archive_files([A, 1.5]),
        lambda c: c.search_files([]),
        lambda c: c.search_files("tag"),
        lambda c: c.search_files(["a", " "]),
        lambda c: c.search_files(["-"]),
        lambda c: c.search_files(["system:"]),
        lambda c: c.search_files([[]]),
        lambda c: c.search_files([["a", ""]]),
        lambda c: c.search_files(["a"], file_ids=False),
        lambda c: c.search_files(["a"], domains=["my tags"]),
        lambda c: c.search_files(["caf\udce9"]),
        lambda c: c.file_hashes([A], source=HashType.MD5, desired=HashType.SHA1),
        lambda c: c.file_hashes(["zz" * 32], desired=HashType.SHA1),
        lambda c: c.change_tags([A], {"my tags": {TagAction.PEND: ["a"]}}),
        lambda c: c.change_tags([A], {"shared": {TagAction.DELETE: ["a"]}}),
        lambda c: c.change_tags([A], {"shared": {TagAction.PEND: [("a", "reason")]}}),
        lambda c: c.change_tags([A], {"shared": {TagAction.PETITION: [("a", "\udce9")]}}),
        lambda c: c.change_tags([A], {"all known tags": {TagAction.ADD: ["a"]}}),
        lambda c: c.get_siblings_and_parents(["a", ""]),
        lambda c: c.set_favourite_tags(["a"], add=["b"]),
        lambda c: c.set_rating([A], "favourites", rating=1),
        lambda c: c.set_rating([A], "stars", rating=True),
        lambda c: c.set_rating([A], "count", rating=None),
        lambda c: c.set_rating([A], "count", rating=-1),
        lambda c: c.set_rating([A], "count", rating=False),
        lambda c: c.set_rating([A], "my tags", rating=True),
        lambda c: c.set_time([A], TimeKind.MODIFIED_ON_WEB, WHEN),
        lambda c: c.set_time([A], TimeKind.MODIFIED_ON_WEB, WHEN, domain="local"),
        lambda c: c.set_time([A], TimeKind.MODIFIED_ON_WEB, WHEN, domain=""),
        lambda c: c.set_time([A], TimeKind.MODIFIED_ON_DISK, None),
        lambda c: c.set_time([A], TimeKind.MODIFIED_ON_DISK, WHEN, domain="a.b"),
        lambda c: c.set_time([A], TimeKind.IMPORTED, WHEN),
        lambda c: c.set_time([A], TimeKind.LAST_VIEWED, WHEN),
        lambda c: c.set_time([A], TimeKind.ARCHIVED, WHEN, file_service="my files"),
        lambda c: c.set_time([A], TimeKind.ARCHIVED, WHEN.replace(tzinfo=None)),
        lambda c: c.increment_file_viewtime([A], CanvasType.PREVIEW, seconds=-1),
        lambda c: c.increment_file_viewtime([A], CanvasType.PREVIEW, seconds=float("nan")),
        lambda c: c.set_file_viewtime([A], CanvasType.PREVIEW, seconds=1, views=-1),
        lambda c: c.delete_notes(A, "n"),
        lambda c: c.set_notes("n", {"n": "t"}),
        lambda c: c.get_file(A, start=-1),
        lambda c: c.get_file(A, length=0),
        lambda c: c.get_render(A, size=(0, 5)),
        lambda c: c.get_thumbnail(""),
        lambda c: c.get_potential_pairs(max_pairs=0),
        lambda c: c.set_file_relationships([Pair(A, A.upper(), Relation.ALTERNATE, merge=False)]),
    ],
)
async def test_what_is_refused_before_it_is_sent(at, call):
    client, network = await at(95)
    with pytest.raises(RequestRejected) as caught:
        await call(client)
    str(caught.value).encode()
    assert not network.asked


async def test_no_files_no_request(at):
    client, network = await at(95)
    await client.archive_files([])
    await client.delete_files([])
    await client.set_rating([], "stars", rating=3)
    await client.change_tags([A], {"my tags": {TagAction.ADD: [" "]}})
    await client.change_tags([], {"my tags": {TagAction.ADD: ["a"]}})
    assert await client.set_notes(A, {}) == {}
    await client.delete_notes(A, [])
    assert await client.file_metadata([]) == []
    assert await client.file_hashes([], desired=HashType.MD5) == {}
    assert await client.get_siblings_and_parents([]) == {}
    assert await client.get_file_relationships([]) == {}
    await client.set_file_relationships([])
    assert not network.asked


async def test_services_are_named_for_what_they_are(at):
    client, _ = await at(95)
    with pytest.raises(UnknownService, match=r"'my tags' is a service of the client, but files"):
        client.rating_service("my tags")
    with pytest.raises(UnknownService, match=r"no file service is called 'my fils'.*'my files'\?"):
        client.file_service("my fils")
    assert client.file_service(MY_FILES.upper()).name == "my files"


async def test_all_six_actions(at):
    client, network = await at(95)
    await client.change_tags(
        [A],
        {
            "my tags": {TagAction.ADD: ["A ", "a"], TagAction.DELETE: ["b"]},
            "shared": {
                TagAction.PEND: ["c"],
                TagAction.RESCIND_PEND: ["d"],
                TagAction.PETITION: [("E", "wrong"), "f"],
                TagAction.RESCIND_PETITION: ["g"],
            },
        },
        readd_deleted=True,
        record_absent_as_deleted=False,
    )
    assert network.asked[-1].json == {
        "hashes": [A],
        "service_keys_to_actions_to_tags": {
            MY_TAGS: {"0": ["a"], "1": ["b"]},
            REPOSITORY: {"2": ["c"], "3": ["d"], "4": [["e", "wrong"], "f"], "5": ["g"]},
        },
        "override_previously_deleted_mappings": True,
        "create_new_deleted_mappings": False,
    }


async def test_actions_by_service_name_on_old_clients(at):
    client, network = await at(11)
    await client.change_tags([A], {"my tags": {TagAction.DELETE: ["a"]}})
    assert network.asked[-1].json == {
        "hashes": [A],
        "service_names_to_actions_to_tags": {"my tags": {"1": ["a"]}},
        "add_siblings_and_parents": False,
    }


@pytest.mark.parametrize("version", [11, 17, 18, 19, 20, 25, 29, 32, 46, 69, 95])
async def test_a_search_in_the_words_of_each_version(at, version):
    client, network = await at(version)
    found = await client.search_files(["a b", "-c", "system:inbox"], ascending=False)
    given = decoded(network.asked[-1])
    if version < 18:
        assert given == {"tags": ["a b", "-c"], "system_inbox": True}
    elif version == 18:
        assert given == {"tags": ["a b", "-c", "system:inbox"]}
    else:
        assert given["file_sort_asc"] is False
        assert given["file_sort_type"] == 2
    assert found.file_ids == (3, 1, 2)
    turned = (await client.search_files(["a"])).file_ids
    assert turned == ((2, 1, 3) if version < 19 else (3, 1, 2))


async def test_old_flags(at):
    client, network = await at(11)
    await client.search_files([" System:Archive"])
    assert decoded(network.asked[-1]) == {"system_archive": True}
    await client.search_files(["system:everything"])
    assert network.asked[-1].target == SEARCH


@pytest.mark.parametrize(("version", "word"), [(19, "name"), (21, "key")])
async def test_searching_in_one_place(at, version, word):
    client, network = await at(version)
    tags = client.tag_service("my tags")
    assert (tags.key is None) == (word == "name")
    await client.search_files(["a"], tag_service="my tags", domains=["my files"])
    given = decoded(network.asked[-1])
    assert given[f"tag_service_{word}"] == tags.reference
    assert given[f"file_service_{word}"] == client.file_service("my files").reference


async def test_a_search_in_full(at):
    client, network = await at(95)
    found = await client.search_files(
        ["a", ["b", "system:inbox"]],
        domains=["my files", "trash"],
        deleted_from=["all local"],
        tag_service="all known tags",
        include_pending_tags=False,
        sort=FileSort.RANDOM,
        ascending=True,
        file_ids=False,
        hashes=True,
    )
    assert (found.file_ids, found.hashes) == ((), (A, B))
    assert decoded(network.asked[-1]) == {
        "tags": ["a", ["b", "system:inbox"]],
        "file_service_keys": [MY_FILES, "7472617368"],
        "deleted_file_service_keys": [ALL_MEDIA],
        "tag_service_key": "616c6c206b6e6f776e2074616773",
        "include_current_tags": True,
        "include_pending_tags": False,
        "return_hashes": True,
        "return_file_ids": False,
        "file_sort_type": 4,
        "file_sort_asc": True,
    }


async def test_metadata_asks_for_what_is_wanted(at, reply):
    client, network = await at(95)
    network.says(METADATA, reply(body={"metadata": []}))
    await client.file_metadata([A])
    await client.file_metadata(
        [A],
        detail=Detail.BASIC,
        notes=True,
        detailed_urls=True,
        blurhash=True,
        milliseconds=True,
        create_file_ids=True,
    )
    plain, all_of_it = map(decoded, network.asked)
    assert plain == {"hashes": [A], "include_services_object": False}
    assert all_of_it == {
        **plain,
        "only_return_basic_information": True,
        "include_notes": True,
        "detailed_url_information": True,
        "include_blurhash": True,
        "include_milliseconds": True,
        "create_new_file_ids": True,
    }


async def test_a_row_that_is_missing_means_unknown(at, reply):
    client, network = await at(95)
    network.says(METADATA, reply(body={"metadata": []}))
    (found,) = await client.file_metadata([A])
    assert (found.hash, found.is_known) == (A, False)
    with pytest.raises(RequestRejected, match="does not know these file ids"):
        await client.file_metadata([5])


@pytest.mark.parametrize(
    ("service", "ratings"),
    [("favourites", [True, False, None]), (STARS, [0, 5, None]), ("count", [0, 7])],
)
async def test_three_kinds_of_ratings(at, service, ratings):
    client, network = await at(95)
    for rating in ratings:
        await client.set_rating([A], service, rating)
    assert [asked.json["rating"] for asked in network.asked] == ratings
    key = client.rating_service(service).key
    assert network.asked[0].json == {"hashes": [A], "rating_service_key": key, "rating": ratings[0]}


async def test_times(at):
    client, network = await at(95)
    milliseconds = 1612325106789
    await client.set_time([A], TimeKind.MODIFIED_ON_WEB, WHEN, domain="a.b")
    await client.set_time([A], TimeKind.MODIFIED_ON_WEB, None, domain="a.b")
    await client.set_time([A], TimeKind.DELETED, WHEN, file_service="my files")
    await client.set_time([A], TimeKind.LAST_VIEWED, WHEN, canvas=CanvasType.MEDIA_VIEWER)
    await client.increment_file_viewtime([A], CanvasType.PREVIEW, seconds=2)
    await client.set_file_viewtime([A], CanvasType.PREVIEW, seconds=2.5, views=0, at=WHEN)
    viewed = {"hashes": [A], "canvas_type": 1}
    assert [asked.json for asked in network.asked] == [
        {"hashes": [A], "timestamp_type": 0, "domain": "a.b", "timestamp_ms": milliseconds},
        {"hashes": [A], "timestamp_type": 0, "domain": "a.b", "timestamp_ms": None},
        {
            "hashes": [A],
            "timestamp_type": 4,
            "file_service_key": MY_FILES,
            "timestamp_ms": milliseconds,
        },
        {"hashes": [A], "timestamp_type": 6, "canvas_type": 0, "timestamp_ms": milliseconds},
        {**viewed, "viewtime": 2.0, "views": 1},
        {**viewed, "viewtime": 2.5, "views": 0, "timestamp_ms": milliseconds},
    ]


@given(
    st.datetimes(datetime(1700, 1, 1), datetime(2300, 1, 1)),  # noqa: DTZ001 - the zone follows
    st.integers(-14 * 60, 14 * 60),
)
def test_any_time_is_whole_milliseconds(naive, minutes):
    when = naive.replace(tzinfo=timezone(timedelta(minutes=minutes)))
    sent = _milliseconds(when)
    back = datetime(1970, 1, 1, tzinfo=UTC) + timedelta(milliseconds=sent)
    assert timedelta(0) <= when - back < timedelta(milliseconds=1)


async def test_statistics_that_the_user_turned_off(at, reply):
    client, network = await at(95)
    words = "Sorry, the user has disabled file viewing statistics on this client!"
    network.says("/edit_times/increment_file_viewtime", reply(403, {"error": words}))
    with pytest.raises(RequestRejected, match="keeps no viewing statistics"):
        await client.increment_file_viewtime([A], CanvasType.PREVIEW, seconds=1)


async def test_notes(at, reply):
    client, network = await at(95)
    network.says("/add_notes/set_notes", reply(body={"notes": {"n (1)": "t"}}))
    merge = NoteMerge(extend=False, conflict=NoteConflict.APPEND)
    assert await client.set_notes(A, {"n": "t"}, merge=merge) == {"n (1)": "t"}
    assert network.asked[-1].json == {
        "hashes": [A],
        "notes": {"n": "t"},
        "merge_cleverly": True,
        "extend_existing_note_if_possible": False,
        "conflict_resolution": 2,
    }
    network.says("/add_notes/set_notes", reply())
    assert await client.set_notes(7, {"n": "t"}) == {"n": "t"}
    assert network.asked[-1].json == {"file_ids": [7], "notes": {"n": "t"}}


async def test_potentials(at, reply):
    client, network = await at(95)
    path = "/manage_file_relationships/get_potential_pairs"
    network.says(path, reply(body={"potential_duplicate_pairs": [[A, B]]}))
    wanted = Potentials(
        first=["a", ["b", "c"]],
        second=["system:inbox"],
        first_tag_service="my tags",
        matching=PotentialsSearch.EACH_MATCHES_ONE,
        pixel_duplicates=PixelDuplicates.MUST_BE,
        max_distance=0,
        domains=("my files",),
    )
    pairs = await client.get_potential_pairs(
        wanted, max_pairs=5, group_mode=True, sort=PairSort.SIMILARITY, ascending=True
    )
    assert pairs == [(A, B)]
    assert decoded(network.asked[-1]) == {
        "tags_1": ["a", ["b", "c"]],
        "tags_2": ["system:inbox"],
        "tag_service_key_1": MY_TAGS,
        "potentials_search_type": 2,
        "pixel_duplicates": 0,
        "max_hamming_distance": 0,
        "file_service_key": MY_FILES,
        "max_num_pairs": 5,
        "group_mode": True,
        "duplicate_pair_sort_type": 1,
        "duplicate_pair_sort_asc": True,
    }


text = st.text(st.characters(exclude_categories=["Cs"]))


@given(st.lists(st.one_of(text, st.lists(text, min_size=1)), min_size=1), st.booleans())
def test_any_search_survives_being_decoded_twice(tags, ascending):
    query = encode_query({"tags": tags, "file_sort_asc": ascending})
    pairs = (pair.split("=") for pair in query.split("&"))
    values = {name: json.loads(unquote(unquote_plus(value))) for name, value in pairs}
    assert values == {"tags": tags, "file_sort_asc": ascending}
