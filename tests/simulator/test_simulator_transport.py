"""The odd ways of the real client's HTTP."""

from __future__ import annotations

import json

import pytest

MY_TAGS = "6c6f63616c2074616773"
BODY = {"hash": "ab" * 32, "service_keys_to_tags": {MY_TAGS: ["a"]}}


def search(http, tags, **params):
    return http.get("/get_files/search_files", params={"tags": json.dumps(tags), **params})


def test_values_of_a_get_are_decoded_twice(started):
    _, http = started()
    http.tag(["ab" * 32], ["100%", '100"'])
    params = {"file_service_key": "616c6c206b6e6f776e2066696c6573", "tag_service_key": MY_TAGS}
    assert len(search(http, ["100%25"], **params).json()["file_ids"]) == 1
    assert len(search(http, ["100%"], **params).json()["file_ids"]) == 1
    assert search(http, ["100%22"], **params).status_code == 400


@pytest.mark.parametrize(
    ("content_type", "status"),
    [
        ("application/json", 200),
        ("application/json; charset=utf-8", 200),
        ("application/json;charset=utf-8", 200),
        ("multipart/form-data", 400),
        ("made/up", 400),
        ("application/x-www-form-urlencoded", 400),
        ("application/octet-stream", 400),
        (None, 400),
    ],
)
def test_content_types(started, content_type, status):
    _, http = started()
    headers = {"Content-Type": content_type} if content_type else {}
    answer = http.post("/add_tags/add_tags", content=json.dumps(BODY).encode(), headers=headers)
    assert answer.status_code == status


def test_the_oldest_client_wants_a_bare_content_type(started):
    _, http = started(api_version=11)
    body = json.dumps({"hash": "ab" * 32, "service_names_to_tags": {"my tags": ["a"]}}).encode()
    headers = {"Content-Type": "application/json; charset=utf-8"}
    assert http.post("/add_tags/add_tags", content=body, headers=headers).status_code == 400


@pytest.mark.parametrize(("content", "status"), [(b"", 400), (b"[1]", 400), (b'{"a":"\xff"}', 500)])
def test_bodies_that_are_no_object(started, content, status):
    _, http = started()
    headers = {"Content-Type": "application/json"}
    answer = http.post("/add_tags/add_tags", content=content, headers=headers)
    assert answer.status_code == status


def test_a_bad_key_hides_a_bad_argument(started):
    _, http = started()
    params = {"tags": "[nonsense"}
    assert http.get("/get_files/search_files", params=params).status_code == 400
    headers = {"Hydrus-Client-API-Access-Key": "ee" * 32}
    assert http.get("/get_files/search_files", params=params, headers=headers).status_code == 403


def test_only_the_first_of_a_repeated_name_counts_and_unknown_names_are_dropped(started):
    _, http = started()
    answer = http.get("/add_tags/clean_tags?tags=%5B%22A+b%22%5D&tags=nonsense&unknown=%5B")
    assert answer.json()["tags"] == ["a b"]


def test_null_is_absent(started):
    _, http = started()
    answer = http.post("/add_tags/add_tags", json={**BODY, "hashes": None})
    assert answer.status_code == 200


def test_other_verbs(started):
    _, http = started()
    assert http.put("/api_version").status_code == 501
    assert http.head("/api_version").status_code == 200
    assert http.head("/api_version").content == b""
    assert http.options("/api_version", headers={"Origin": "http://x"}).status_code == 401


def test_long_request_lines(started):
    _, http = started()
    hashes = [f"{number:064x}" for number in range(900)]
    answer = search(http, ["system:hash = " + " ".join(hashes)])
    assert answer.json()["file_ids"] == []


def test_hydrus_itself_is_turned_away(started):
    _, http = started()
    for agent, status in (("hydrusd/1.0", 200), ("hydrus/1", 426), ("hydrus/x", 500)):
        answer = http.get("/verify_access_key", headers={"User-Agent": agent})
        assert answer.status_code == status


def test_wrong_method_needs_a_key_all_the_same(started, call, stage):
    _, http = started()
    assert http.get("/add_tags/add_tags").status_code == 404
    assert call(stage[1], key=None).get("/add_tags/add_tags").status_code == 401


def test_a_locked_client_answers_nothing_but_lock_off(started, picture):
    simulator, http = started(commit_seconds=1000)
    sha256 = http.add(picture())["hash"]
    assert http.post("/manage_database/lock_on").status_code == 200
    assert simulator.committed_files() == {sha256}, "it lets go of its database"
    assert http.get("/api_version").status_code == 503
    assert http.post("/manage_database/lock_on").status_code == 503
    assert http.post("/manage_database/lock_off").status_code == 200
    assert http.get("/api_version").status_code == 200


def test_requests_are_counted_by_route(started):
    simulator, http = started()
    for path in ("/api_version", "/api_version", "/nope", "/neither"):
        http.get(path)
    assert simulator.requests == {"/api_version": 2, "(other)": 2}
