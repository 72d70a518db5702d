"""The tabs of the simulated client."""

from __future__ import annotations

import json
import math
import time

import pytest


@pytest.fixture
def client(started):
    return started(commit_seconds=math.inf)


def tree(http):
    return http.get("/manage_pages/get_pages").json()["pages"]


def info(http, key, **params):
    answer = http.get("/manage_pages/get_page_info", params={"page_key": key, **params})
    assert answer.status_code == 200, answer.text
    return answer.json()["page_info"]


def new(http, kind, **body):
    body = {"page_type": kind, "focus_page": False, **body}
    answer = http.post("/manage_pages/new_page", json=body)
    assert answer.status_code == 200, answer.text
    return answer.json()["page_key"]


def media(http, key):
    return info(http, key, simple="false")["media"]["hashes"]


def selected(http):
    names, level = [], tree(http)["pages"]
    while level:
        page = next((page for page in level if page["selected"]), None)
        if page is None:
            break
        names.append(page["name"])
        level = page.get("pages", [])
    return names


def test_new_pages_have_names_places_and_kinds(client):
    _, http = client
    kinds = {
        1: ("gallery", "multiple_gallery_import"),
        2: ("simple downloader", "simple_downloader_import"),
        3: ("import", "hdd_import"),
        6: ("files", None),
        7: ("url import", "urls_import"),
        8: ("duplicates", None),
        9: ("watcher", "multiple_watcher_import"),
    }
    for kind, (name, management) in kinds.items():
        page = info(http, new(http, kind))
        assert (page["name"], page["page_type"]) == (name, kind)
        assert list(page["management"]) == ([management] if management else [])
        assert page["media"]["num_files"] == 0
    parent = new(http, 10, page_name="parent")
    child = new(http, 6, page_name="child", page_of_pages_key=parent)
    assert set(info(http, parent)) == {
        "name",
        "page_key",
        "page_state",
        "page_type",
        "is_media_page",
    }
    last = tree(http)["pages"][-1]
    assert (last["name"], [page["page_key"] for page in last["pages"]]) == ("parent", [child])
    assert selected(http) == ["files"], "nothing was focused"


def test_names_that_cannot_be_chosen(client):
    _, http = client
    for kind, name in ((2, "simple downloader"), (3, "import")):
        assert info(http, new(http, kind, page_name="mine"))["name"] == name


def test_focusing_goes_down_the_tree(client):
    _, http = client
    parent = new(http, 10, page_name="parent")
    new(http, 6, page_name="first", page_of_pages_key=parent)
    second = new(http, 6, page_name="second", page_of_pages_key=parent)
    assert http.post("/manage_pages/focus_page", json={"page_key": second}).status_code == 200
    assert selected(http) == ["parent", "second"]
    new(http, 6, page_name="shown", focus_page=True)
    assert selected(http) == ["shown"]
    http.post("/manage_pages/focus_page", json={"page_key": parent})
    assert selected(http) == ["parent", "second"]
    http.post("/add_urls/add_url", json={"url": "http://192.0.2.1/"})
    parent_now = next(page for page in tree(http)["pages"] if page["name"] == "parent")
    assert parent_now["pages"][-1]["name"] == "url import", "into the notebook in front"


def test_a_search_page_searches_and_refreshes(client, picture):
    _, http = client
    cat, dog, late = (http.add(picture(number))["hash"] for number in range(3))
    http.tag([cat], ["cat"])
    http.tag([dog], ["dog"])
    key = new(http, 6, tags=["cat"])
    assert media(http, key) == [cat]
    http.post("/manage_pages/add_files", json={"page_key": key, "hashes": [dog, cat]})
    http.tag([late], ["cat"])
    assert media(http, key) == [cat, dog]
    http.post("/manage_pages/refresh_page", json={"page_key": key})
    assert media(http, key) == [cat, late]
    everything = {"tags": ["system:everything"], "file_sort_type": 2, "file_sort_asc": False}
    assert media(http, new(http, 6, **everything)) == [late, dog, cat]


def test_a_page_without_a_search_is_emptied_by_refreshing(client, picture):
    _, http = client
    sha256 = http.add(picture())["hash"]
    key = new(http, 6, hashes=[sha256])
    assert info(http, key)["media"]["num_files"] == 1
    http.post("/manage_pages/refresh_page", json={"page_key": key})
    assert media(http, key) == []


def test_files_nobody_has_get_an_id_and_are_shown(client):
    _, http = client
    key = new(http, 6)
    body = {"page_key": key, "hash": "cd" * 32}
    assert http.post("/manage_pages/add_files", json=body).status_code == 200
    assert media(http, key) == ["cd" * 32]


def test_an_import_page_imports_paths(client, picture, tmp_path):
    _, http = client
    good, text, none = (tmp_path / name for name in ("a.png", "b.txt", "none.png"))
    good.write_bytes(picture())
    text.write_bytes(b"no picture")
    paths = [str(path) for path in (good, none, text)]
    key = new(http, 3, paths=paths, delete_after_success=True)
    deadline = time.monotonic() + 20
    imports = {"total_processed": 0}
    while imports["total_processed"] < 3 and time.monotonic() < deadline:
        imports = info(http, key, simple="false")["management"]["hdd_import"]["imports"]
    assert [(item["status"], item["note"]) for item in imports["import_items"]] == [
        (1, ""),
        (7, "Source file does not exist!"),
        (4, "Unknown filetype!"),
    ]
    assert imports["import_items"][0]["source_time"] > 0
    assert imports["status"] == "1 successful, 1 ignored, 1 failed"
    assert not good.exists()
    assert text.exists()
    assert len(media(http, key)) == 1


@pytest.mark.parametrize(
    ("body", "status", "words"),
    [
        ({}, 400, 'The required parameter "page_type" was missing!'),
        ({"page_type": 4}, 400, "Unrecognised or unsupported page type!"),
        ({"page_type": 5}, 400, "Petitions page requires a service_key!"),
        ({"page_type": 5, "service_key": "6c6f63616c2074616773"}, 500, "AttributeError"),
        ({"page_type": 6, "page_of_pages_key": "ab" * 32}, 404, "Could not find a page of pages"),
        ({"page_type": 6, "file_sort_type": 99}, 400, "did not understand that sort type"),
        ({"page_type": 6, "file_sort_type": 2, "file_sort_namespaces": ["a"]}, 400, "not both"),
        ({"page_type": 6, "system_hash_locked": True}, 400, "requires hashes"),
        ({"page_type": 6, "tag_service_key": "ab" * 32}, 400, "Could not find the tag service"),
        ({"page_type": 6, "tags": ["system:blah blah"]}, 400, "Could not parse system predicate"),
    ],
)
def test_pages_that_cannot_be_made(client, body, status, words):
    _, http = client
    before = tree(http)
    answer = http.post("/manage_pages/new_page", json=body)
    assert (answer.status_code, words in answer.json()["error"]) == (status, True), answer.text
    assert tree(http) == before


def test_what_cannot_be_done_with_a_page(client, picture):
    _, http = client
    sha256 = http.add(picture())["hash"]
    parent = new(http, 10)
    cases = [
        ("add_files", {"page_key": parent, "hash": sha256}, 400, "not for a normal media page"),
        ("add_files", {"hash": sha256}, 400, "You need a page key"),
        ("add_files", {"page_key": parent}, 400, "Please include some files"),
        ("add_files", {"page_key": "ab" * 32, "hash": sha256}, 404, "Could not find that page!"),
        ("refresh_page", {"page_key": "ab" * 32}, 404, "Could not find that page!"),
        ("refresh_page", {"page_key": parent}, 500, "RefreshQuery"),
    ]
    for name, body, status, words in cases:
        answer = http.post(f"/manage_pages/{name}", json=body)
        assert (answer.status_code, words in answer.json()["error"]) == (status, True), answer.text
    answer = http.get("/manage_pages/get_page_info", params={"page_key": "ab" * 32})
    assert (answer.status_code, "Did not find a page for" in answer.text) == (404, True)


def test_keys_die_with_the_boot_but_pages_of_a_clean_end_return(client, picture):
    simulator, http = client
    sha256 = http.add(picture())["hash"]
    key = new(http, 6, page_name="kept", hashes=[sha256], focus_page=True)
    simulator.shut_down()
    answer = http.get("/manage_pages/get_page_info", params={"page_key": key})
    assert answer.status_code == 404
    again = next(page["page_key"] for page in tree(http)["pages"] if page["name"] == "kept")
    assert media(http, again) == [sha256]
    assert selected(http) == ["kept"]
    new(http, 6, page_name="lost")
    simulator.crash()
    assert [page["name"] for page in tree(http)["pages"]] == ["files", "kept"]


def test_old_clients_say_focused(started):
    _, http = started(api_version=32)
    http.post("/add_urls/add_url", json={"url": "http://192.0.2.1/"})
    root = tree(http)
    assert root["selected"] is True
    assert [page["focused"] for page in root["pages"]] == [True, False]
    assert "selected" not in json.dumps(root["pages"])
    assert http.post("/manage_pages/new_page", json={"page_type": 6}).status_code == 404
