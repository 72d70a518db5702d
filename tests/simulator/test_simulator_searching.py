"""Searches and metadata of each era."""

from __future__ import annotations

import json

import pytest

from hydrusd.simulator import Service

MY_TAGS = "6c6f63616c2074616773"
TRASH = "7472617368"


@pytest.fixture
def library(started, picture):
    """Four files: three tagged, the fourth in the trash."""

    def make(**config):
        simulator, http = started(**config)
        hashes = [http.add(picture(number))["hash"] for number in range(4)]
        which = "names" if config.get("api_version") == 11 else "keys"
        service = "my tags" if which == "names" else MY_TAGS
        for sha256, tags in zip(hashes, (["red", "size:1"], ["red"], ["blue"]), strict=False):
            body = {"hash": sha256, f"service_{which}_to_tags": {service: tags}}
            http.post("/add_tags/add_tags", json=body)
        http.post("/add_files/delete_files", json={"hash": hashes[3]})
        return simulator, http, hashes

    return make


def search(http, tags, **params):
    params = {"tags": json.dumps(tags), "return_hashes": "true", **params}
    return http.get("/get_files/search_files", params=params)


@pytest.mark.parametrize(
    ("tags", "found"),
    [
        (["system:everything"], [0, 1, 2]),
        (["red"], [0, 1]),
        (["RED ", "-size:1"], [1]),
        (["-red"], [2]),
        (["size:*"], [0]),
        (["*e*"], [0, 1, 2]),
        ([["red", "blue"]], [0, 1, 2]),
        ([["blue", "size:1"], "-red"], [2]),
        (["system:inbox"], [0, 1, 2]),
        (["system:archive"], []),
        (["system:untagged"], []),
        (["system:number of tags > 1"], [0]),
        (["system:everything", "system:limit = 2"], [0, 1]),
        ([], []),
    ],
)
def test_searches(library, tags, found):
    _, http, hashes = library()
    assert search(http, tags).json()["hashes"] == [hashes[place] for place in found]


def test_hashes_are_found_in_sets(library):
    _, http, hashes = library()
    asked = "system:hash = " + " ".join([*hashes, "00" * 32])
    assert search(http, [asked]).json()["hashes"] == hashes[:3]
    assert search(http, [asked, "red"]).json()["hashes"] == hashes[:2]
    assert search(http, [f"system:hash is {hashes[2]}"]).json()["hashes"] == [hashes[2]]
    assert search(http, [asked], file_service_key=TRASH).json()["hashes"] == [hashes[3]]
    assert search(http, [["blue", f"system:hash = {hashes[0]}"]]).json()["hashes"] == [
        hashes[0],
        hashes[2],
    ]


def test_deleted_from_a_domain_is_a_domain_too(library):
    _, http, hashes = library()
    key = "6c6f63616c2066696c6573"
    found = search(http, ["system:everything"], deleted_file_service_key=key)
    assert found.json()["hashes"] == [hashes[3]]


@pytest.mark.parametrize("sort_type", [0, 2, 5, 9, 18, 20])
def test_orders_can_be_turned_round(library, sort_type):
    _, http, _ = library()
    both = [
        search(http, ["system:everything"], file_sort_type=sort_type, file_sort_asc=way).json()
        for way in ("true", "false")
    ]
    assert sorted(both[0]["hashes"]) == sorted(both[1]["hashes"])
    if sort_type == 20:
        assert both[0]["hashes"] == both[1]["hashes"][::-1] == sorted(both[0]["hashes"])


@pytest.mark.parametrize(
    "params",
    [
        {"tags": ["system:nonsense"]},
        {"tags": ["red", " "]},
        {"tags": ["red"], "file_sort_type": 99},
        {"tags": ["red"], "file_service_key": "00ff"},
        {"tags": ["red"], "tag_service_key": "00ff"},
        {"tags": ["red"], "file_service_key": "616c6c206b6e6f776e2066696c6573"},
    ],
)
def test_searches_that_are_refused(library, params):
    _, http, _ = library()
    assert search(http, **params).status_code == 400


def test_pending_tags_can_be_left_out(started, picture):
    _, http = started(extra_services=(Service("ptr", 0, "0e" * 32),))
    sha256 = http.add(picture())["hash"]
    http.tag([sha256], ["a"], service_key="0e" * 32)
    assert search(http, ["a"]).json()["hashes"] == [sha256]
    assert search(http, ["a"], include_pending_tags="false").json()["hashes"] == []
    assert search(http, ["a"], tag_service_key=MY_TAGS).json()["hashes"] == []


def test_the_oldest_client_searches_by_flags(library):
    _, http, _ = library(api_version=11)
    assert search(http, [], system_inbox="true").json() == {"file_ids": [4, 3, 2, 1]}
    assert search(http, [], system_archive="true").json() == {"file_ids": []}
    assert search(http, []).json() == {"file_ids": [4, 3, 2, 1]}, "no search is every file"
    assert search(http, ["system:inbox"]).json() == {"file_ids": []}, "a tag like any other"
    assert search(http, ["red", "-size:1"]).json() == {"file_ids": [2]}


def metadata(http, hashes, **params):
    params = {"hashes": json.dumps(hashes), "include_services_object": "false", **params}
    return http.get("/get_files/file_metadata", params=params).json()["metadata"]


def test_rows_come_in_the_order_asked_each_once(library):
    _, http, hashes = library()
    asked = [hashes[2], "00" * 32, hashes[0], hashes[2]]
    rows = metadata(http, asked, only_return_identifiers="true")
    assert [row["hash"] for row in rows] == [hashes[2], "00" * 32, hashes[0]]
    assert [row["file_id"] for row in rows] == [3, None, 1]


def test_ids_and_hashes_may_be_mixed(library):
    _, http, hashes = library()
    rows = metadata(http, [hashes[1]], file_ids="[3]")
    assert [row["file_id"] for row in rows] == [2, 3]
    assert http.get("/get_files/file_metadata").status_code == 400
    assert http.get("/get_files/file_metadata", params={"file_id": -1}).status_code == 400


@pytest.mark.parametrize(("api_version", "makes_ids"), [(95, False), (32, False), (11, True)])
def test_only_the_oldest_client_makes_ids_by_being_asked(started, api_version, makes_ids):
    _, http = started(api_version=api_version)
    (row,) = metadata(http, ["00" * 32])
    assert (row["file_id"] is not None) == makes_ids


def test_ids_are_made_on_request(started):
    simulator, http = started()
    (row,) = metadata(http, ["00" * 32], create_new_file_ids="true")
    assert row["file_id"] == 1
    assert simulator.files == {}


def test_flavours_add_and_leave_out(library):
    _, http, hashes = library()
    (basic,) = metadata(http, hashes[:1], only_return_basic_information="true")
    (more,) = metadata(
        http, hashes[:1], only_return_basic_information="true", include_blurhash="true"
    )
    assert set(more) - set(basic) == {"blurhash"}
    (full,) = metadata(http, hashes[:1], include_notes="true", detailed_url_information="true")
    assert {"notes", "detailed_known_urls", "tags"} <= set(full)
    assert isinstance(full["time_modified"], int)
    (exact,) = metadata(http, hashes[:1], include_milliseconds="true")
    assert isinstance(exact["time_modified"], float)


def test_services_are_told_by_name_and_key(started):
    _, http = started(extra_services=(Service("ptr", 0, "0e" * 32),))
    by_key = http.get("/get_service", params={"service_key": "0e" * 32}).json()["service"]
    assert by_key == http.get("/get_service", params={"service_name": "ptr"}).json()["service"]
    assert http.get("/get_service", params={"service_key": "00ff"}).status_code == 404
    assert http.get("/get_service").status_code == 400
    listed = http.get("/get_services").json()
    assert [service["name"] for service in listed["tag_repositories"]] == ["ptr"]
    assert listed["services"].keys() == {s["service_key"] for s in listed["services_v2"]}
