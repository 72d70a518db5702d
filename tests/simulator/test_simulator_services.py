"""What waits for repositories, what the database tells of itself, and new keys."""

from __future__ import annotations

import pytest

from hydrusd.simulator import Permissions, Service

KEY_HEADER = "Hydrus-Client-API-Access-Key"
SVG = '<svg xmlns="http://www.w3.org/2000/svg"/>'
PTR = "9a" * 32
STARS = "9b" * 32


@pytest.fixture
def client(started):
    services = (Service("ptr", 0, PTR), Service("stars", 6, STARS, svg=SVG), Service("n", 22))
    return started(extra_services=services)


def counts(http):
    return http.get("/manage_services/get_pending_counts").json()["pending_counts"]


def repository(http, name):
    return http.post(f"/manage_services/{name}", json={"service_key": PTR})


def test_pending_tags_are_counted_and_committed(client, picture):
    simulator, http = client
    sha256 = http.add(picture())["hash"]
    http.tag([sha256], ["a", "b"], service_key=PTR)
    assert counts(http)[PTR] == {
        "pending_tag_mappings": 2,
        "petitioned_tag_mappings": 0,
        "pending_tag_siblings": 0,
        "petitioned_tag_siblings": 0,
        "pending_tag_parents": 0,
        "petitioned_tag_parents": 0,
    }
    answer = repository(http, "commit_pending")
    assert (answer.status_code, answer.json()) == (200, {"version": 95, "hydrus_version": 682})
    assert simulator.tags(sha256, "ptr") == {0: {"a", "b"}}
    body = {"hash": sha256, "service_keys_to_actions_to_tags": {PTR: {"4": ["a"]}}}
    http.post("/add_tags/add_tags", json=body)
    assert counts(http)[PTR]["petitioned_tag_mappings"] == 1
    repository(http, "commit_pending")
    assert simulator.tags(sha256, "ptr") == {0: {"b"}, 2: {"a"}}


def test_pending_tags_are_forgotten(client, picture):
    simulator, http = client
    sha256 = http.add(picture())["hash"]
    http.tag([sha256], ["a"], service_key=PTR)
    assert repository(http, "forget_pending").status_code == 200
    assert simulator.tags(sha256, "ptr") == {}
    assert counts(http)[PTR]["pending_tag_mappings"] == 0


def test_only_repositories_take_anything(client):
    _, http = client
    for key, words in (("ab" * 32, "Could not find"), (STARS, "not for an uploadable service")):
        answer = http.post("/manage_services/forget_pending", json={"service_key": key})
        assert answer.status_code == 400
        assert words in answer.json()["error"]


@pytest.mark.parametrize(
    ("params", "status", "words"),
    [
        ({"service_key": STARS}, 200, SVG),
        ({"service_name": "stars"}, 200, SVG),
        ({"service_name": "favourites"}, 404, "does not use a SVG icon!"),
        ({"service_name": "my tags"}, 404, "did not find a service with name"),
        ({"service_key": "6c6f63616c2074616773"}, 400, "not a like/dislike or numerical"),
        ({"service_key": "ab" * 32}, 404, "did not find a service with key"),
        ({}, 400, "you need to give a service_key or service_name!"),
    ],
)
def test_drawings_of_stars(client, params, status, words):
    _, http = client
    answer = http.get("/get_service_rating_svg", params=params)
    assert answer.status_code == status
    assert words in (answer.text if status == 200 else answer.json()["error"])
    assert answer.headers["content-type"].startswith("image/svg" if status == 200 else "app")


def bones(http, **params):
    return http.get("/manage_database/mr_bones", params=params).json()["boned_stats"]


def test_mr_bones_counts_what_a_search_finds(client, picture):
    _, http = client
    sizes = {http.add(picture(n))["hash"]: len(picture(n)) for n in range(3)}
    kept, tagged, gone = sizes
    http.tag([tagged], ["a"])
    http.post("/add_files/delete_files", json={"hash": gone})
    all_of_it = bones(http)
    assert (all_of_it["num_inbox"], all_of_it["num_deleted"]) == (2, 1)
    assert all_of_it["size_inbox"] == sizes[kept] + sizes[tagged]
    assert all_of_it["size_deleted"] == sizes[gone]
    assert all_of_it["earliest_import_time"] > 0
    found = bones(http, tags='["a"]')
    assert (found["num_inbox"], found["num_deleted"]) == (1, 0)
    assert "earliest_import_time" not in bones(http, tags='["nobody has this"]')
    trash = bones(http, file_service_key=b"trash".hex())
    assert trash["num_inbox"] + trash["num_archive"] == 1
    assert "num_deleted" not in trash
    known = {"file_service_key": b"all known files".hex()}
    assert http.get("/manage_database/mr_bones", params=known).status_code == 400


def test_options_come_with_the_services(client):
    _, http = client
    body = http.get("/manage_database/get_client_options").json()
    assert set(body) == {
        "hydrus_version",
        "old_options",
        "options",
        "services",
        "services_v2",
        "version",
    }


ASKED = {
    0: ("GET", "/add_urls/get_url_info"),
    4: ("GET", "/manage_pages/get_pages"),
    5: ("GET", "/manage_headers/get_headers"),
    6: ("GET", "/manage_database/mr_bones"),
    10: ("GET", "/manage_popups/get_popups"),
    12: ("GET", "/manage_services/get_pending_counts"),
}


@pytest.mark.parametrize("permission", ASKED)
def test_each_area_needs_its_permission(started, permission):
    held, other = "2b" * 32, "2c" * 32
    everything_else = frozenset(range(14)) - {permission}
    keys = {
        held: Permissions(name="one", basic=frozenset({permission})),
        other: Permissions(name="rest", basic=everything_else),
    }
    _, http = started(access_keys=keys)
    method, path = ASKED[permission]
    statuses = {
        key: http.request(
            method, path, params={"url": "http://x.example/"}, headers={KEY_HEADER: key}
        ).status_code
        for key in keys
    }
    assert statuses == {held: 200, other: 403}


def test_a_key_that_was_asked_for_works_once_approved(started):
    simulator, http = started()
    params = {"name": "new", "basic_permissions": "[0, 4]"}
    assert http.get("/request_new_permissions", params=params).status_code == 409
    simulator.open_permission_dialog()
    key = http.get("/request_new_permissions", params=params).json()["access_key"]
    http.headers[KEY_HEADER] = key
    assert http.get("/manage_pages/get_pages").status_code == 403
    simulator.approve_permissions()
    assert http.get("/manage_pages/get_pages").status_code == 200
    assert http.get("/manage_popups/get_popups").status_code == 403
    assert http.get("/verify_access_key").json()["basic_permissions"] == [0, 4]
