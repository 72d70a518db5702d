"""URLs: normal forms, what is known by them, and a downloader that really fetches."""

from __future__ import annotations

import hashlib
import math
import time

import pytest

from hydrusd.simulator import Permissions, Service
from hydrusd.simulator._urls import lookup_forms

NEVER = math.inf
MY_TAGS = "6c6f63616c2074616773"
KEY_HEADER = "Hydrus-Client-API-Access-Key"


@pytest.fixture
def client(started):
    return started(commit_seconds=NEVER)


def add(http, url, **more):
    answer = http.post("/add_urls/add_url", json={"url": url, **more})
    assert answer.status_code == 200, answer.text
    return answer.json()


def page_named(http, name):
    pages = http.get("/manage_pages/get_pages").json()["pages"]["pages"]
    return next(page["page_key"] for page in pages if page["name"] == name)


def info(http, key):
    params = {"page_key": key, "simple": "false"}
    return http.get("/manage_pages/get_page_info", params=params).json()["page_info"]


def imports(http, name="url import"):
    page = info(http, page_named(http, name))
    return next(iter(page["management"].values()))["imports"]


def finished(http, name="url import"):
    """Wait until nothing is queued any more; give the items by the end of their URL."""
    deadline = time.monotonic() + 20
    while time.monotonic() < deadline:
        seen = imports(http, name)
        if seen["total_processed"] == seen["total_to_process"]:
            return {"/" + i["import_data"].rpartition("/")[2]: i for i in seen["import_items"]}
        time.sleep(0.005)
    raise AssertionError(f"still at work: {seen}")


def known(http, url):
    return http.get("/add_urls/get_url_files", params={"url": url}).json()["url_file_statuses"]


def hash_of(content):
    return hashlib.sha256(content).hexdigest()


def test_a_new_file_comes_with_its_tags_url_and_times(client, site, picture):
    simulator, http = client
    site.pages["/a.png"] = picture()
    add(http, f"{site.url}/a.png#top", service_keys_to_additional_tags={MY_TAGS: ["From: URL "]})
    item = finished(http)["/a.png"]
    assert (item["status"], item["note"], item["hash"]) == (1, "", hash_of(picture()))
    assert item["source_time"] == 1704067200
    assert simulator.tags(item["hash"]) == {0: {"from:url"}}
    [found] = known(http, f"{site.url}/a.png")
    assert (found["status"], found["hash"]) == (2, item["hash"])
    assert found["note"].startswith("url recognised: Imported at ")
    row = http.get("/get_files/file_metadata", params={"hash": item["hash"]}).json()["metadata"][0]
    assert row["known_urls"] == [f"{site.url}/a.png"]
    assert row["time_modified_details"]["127.0.0.1"] == 1704067200


def test_what_is_known_by_its_url_is_not_fetched_again(client, site, picture):
    _, http = client
    site.pages["/a.png"] = picture()
    add(http, f"{site.url}/a.png", destination_page_name="one")
    finished(http, "one")
    add(http, f"{site.url}/a.png", destination_page_name="two")
    item = finished(http, "two")["/a.png"]
    assert (item["status"], item["hash"]) == (2, hash_of(picture()))
    assert item["note"].startswith("url recognised: ")
    assert len(site.asked) == 1


def test_a_known_file_and_a_deleted_one_are_told_apart(client, site, picture):
    simulator, http = client
    site.pages |= {"/known.png": picture(1), "/deleted.png": picture(2)}
    kept, gone = (http.add(picture(number))["hash"] for number in (1, 2))
    http.post("/add_files/delete_files", json={"hash": gone, "reason": "why"})
    for name in ("known", "deleted"):
        tags = {MY_TAGS: ["new tag"]}
        add(http, f"{site.url}/{name}.png", service_keys_to_additional_tags=tags)
    items = finished(http)
    assert (items["/known.png"]["status"], items["/deleted.png"]["status"]) == (2, 3)
    assert "file recognised: Currently in trash (why)." in items["/deleted.png"]["note"]
    assert simulator.tags(kept) == {0: {"new tag"}}
    assert simulator.tags(gone) == {}
    assert len(known(http, f"{site.url}/known.png")) == 1
    assert known(http, f"{site.url}/deleted.png") == []
    assert imports(http)["status"] == "1 successful (all already in db), 1 previously deleted"


def test_what_cannot_be_had_or_imported(client, site, picture):
    _, http = client
    site.pages |= {
        "/text.bin": b"no picture",
        "/secret": (403, {}, b""),
        "/broken": (500, {}, b""),
        "/moved": (302, {"Location": "/a.png"}, b""),
        "/astray": (302, {"Location": "http://192.0.2.1/a.png"}, b""),
        "/a.png": picture(),
    }
    site.hold({"/text.bin"})
    for path in ("text.bin", "secret", "broken", "moved", "gone"):
        add(http, f"{site.url}/{path}")
    assert imports(http)["simple_status"] == "0/5"
    site.let_go({"/text.bin"})
    items = finished(http)
    assert "\nTraceback" in items["/broken"]["note"]
    assert {path: (i["status"], i["note"].partition("…")[0]) for path, i in items.items()} == {
        "/text.bin": (4, "Unknown filetype!"),
        "/secret": (7, "403"),
        "/broken": (4, "ServerException('500: Internal Server Error')"),
        "/moved": (1, ""),
        "/gone": (7, "404"),
    }
    assert imports(http)["status"] == "1 successful, 2 ignored, 2 failed"
    assert imports(http)["simple_status"] == "5 - 2Ign2F"
    assert len(known(http, f"{site.url}/a.png")) == len(known(http, f"{site.url}/moved")) == 1


@pytest.mark.parametrize(("answer", "before", "after"), [(500, 4, 1), (403, 7, 7)])
def test_what_failed_is_tried_again_when_sent_again_and_what_was_ignored_is_not(
    client, site, picture, answer, before, after
):
    _, http = client
    site.pages["/late.png"] = (answer, {}, b"")
    add(http, f"{site.url}/late.png")
    assert finished(http)["/late.png"]["status"] == before
    site.pages["/late.png"] = picture()
    add(http, f"{site.url}/late.png")
    assert finished(http)["/late.png"]["status"] == after
    assert len(site.asked) == (2 if after == 1 else 1)


@pytest.mark.parametrize("how", ["add_url", "new_page"])
def test_a_gallery_is_read_once_and_its_links_are_queued(client, site, picture, how):
    simulator, http = client
    site.pages |= {
        "/gallery/cats": b'<a href="/a.png">a</a> <a href="../gone.png#x">b</a>',
        "/a.png": picture(),
    }
    url = f"{site.url}/gallery/cats"

    def send():
        if how == "add_url":
            return add(http, url, service_keys_to_additional_tags={MY_TAGS: ["cat"]})
        body = {"page_type": 7, "urls": [url], "page_name": "url import"}
        return http.post("/manage_pages/new_page", json=body).raise_for_status()

    def log():
        page = info(http, page_named(http, "url import"))
        return page["management"]["urls_import"]["gallery_log"]

    send()
    deadline = time.monotonic() + 20
    while log()["total_processed"] == 0 and time.monotonic() < deadline:
        time.sleep(0.005)
    [line] = log()["log_items"]
    assert (line["url"], line["status"], line["note"]) == (url, 1, "2 new urls found")
    assert log()["status"] == "1 successful"
    assert {path: item["status"] for path, item in finished(http).items()} == {
        "/a.png": 1,
        "/gone.png": 7,
    }
    if how == "add_url":
        assert simulator.tags(hash_of(picture())) == {0: {"cat"}}
        send()
        finished(http)
        assert [path for path, _ in site.asked].count("/gallery/cats") == 1


def test_nothing_outside_this_machine_is_asked(client, site, picture):
    _, http = client
    site.pages |= {
        "/a.png": picture(),
        "/astray": (302, {"Location": "http://192.0.2.1/a.png"}, b""),
    }
    away = ["http://192.0.2.1/x.png", f"{site.url}/astray", "ftp://127.0.0.1/x"]
    for url in [*away[:1], f"{site.url}/a.png"]:
        add(http, url, destination_page_name="one")
    deadline = time.monotonic() + 20
    while imports(http, "one")["total_processed"] == 0 and time.monotonic() < deadline:
        time.sleep(0.005)
    statuses = [item["status"] for item in imports(http, "one")["import_items"]]
    assert statuses == [0, 1], "the first one waits, the other one need not"
    for url in away[1:]:
        add(http, url, destination_page_name="two")
    while len(site.asked) < 2 and time.monotonic() < deadline:
        time.sleep(0.005)
    assert [path for path, _ in site.asked] == ["/a.png", "/astray"]
    assert imports(http, "two")["total_processed"] == 0


def test_a_path_is_no_url_to_a_url_page(client, tmp_path, picture):
    simulator, http = client
    path = tmp_path / "a.png"
    path.write_bytes(picture())
    body = {"page_type": 7, "urls": [str(path), path.as_uri()], "page_name": "urls"}
    http.post("/manage_pages/new_page", json=body)
    page = imports(http, "urls")
    assert (page["total_to_process"], page["total_processed"]) == (2, 0)
    assert simulator.files == {}


def test_cookies_and_approved_headers_go_along(client, site, picture):
    _, http = client
    site.pages["/a.png"] = picture()
    cookies = [["session", "s3cret", "127.0.0.1", "/", None]]
    assert http.post("/manage_cookies/set_cookies", json={"cookies": cookies}).status_code == 200
    headers = {"X-Yes": {"value": "1"}, "X-No": {"value": "1", "approved": "denied"}}
    for domain, of_domain in (
        (site.url.removeprefix("http://"), headers),
        ("127.0.0.1", {"X-No": {"value": "a port is a part of the domain"}}),
    ):
        body = {"domain": domain, "headers": of_domain}
        assert http.post("/manage_headers/set_headers", json=body).status_code == 200
    add(http, f"{site.url}/a.png")
    finished(http)
    [(_, sent)] = site.asked
    assert sent["Cookie"] == "session=s3cret"
    assert sent["X-Yes"] == "1"
    assert "X-No" not in sent
    assert sent["User-Agent"] == "Mozilla/5.0 (compatible; Hydrus Client)"


def test_a_crash_loses_the_queue_and_what_is_under_way(client, site, picture):
    simulator, http = client
    site.pages["/a.png"] = picture()
    site.hold({"/a.png"})
    add(http, f"{site.url}/a.png", destination_page_name="lost")
    deadline = time.monotonic() + 20
    while not site.asked and time.monotonic() < deadline:
        time.sleep(0.005)
    simulator.crash()
    site.let_go({"/a.png"})
    names = [p["name"] for p in http.get("/manage_pages/get_pages").json()["pages"]["pages"]]
    assert names == ["files"]
    add(http, f"{site.url}/b.png", destination_page_name="after")
    finished(http, "after")
    assert simulator.files == {}


def test_a_queue_outlives_a_clean_end(started, site, picture, tmp_path):
    simulator, http = started(commit_seconds=NEVER, state_dir=tmp_path)
    site.pages["/a.png"] = picture()
    site.hold({"/a.png"})
    tags = {MY_TAGS: ["kept"]}
    add(http, f"{site.url}/a.png", service_keys_to_additional_tags=tags)
    before = page_named(http, "url import")
    simulator.close()
    site.let_go({"/a.png"})
    again, http = started(commit_seconds=NEVER, state_dir=tmp_path)
    assert finished(http)["/a.png"]["status"] == 1
    assert page_named(http, "url import") != before
    assert again.tags(hash_of(picture())) == {0: {"kept"}}


def test_urls_need_their_commit_like_all_else(client, picture):
    simulator, http = client
    sha256 = http.add(picture())["hash"]
    body = {"hash": sha256, "urls_to_add": ["https://x.example/kept"]}
    assert http.post("/add_urls/associate_url", json=body).status_code == 200
    http.commit()
    body = {"hash": sha256, "url_to_add": "https://x.example/lost"}
    http.post("/add_urls/associate_url", json=body)
    assert len(known(http, "https://x.example/lost")) == 1
    simulator.crash()
    assert known(http, "https://x.example/lost") == []
    assert [found["hash"] for found in known(http, "https://x.example/kept")] == [sha256]


def test_urls_are_added_and_deleted(client, picture):
    _, http = client
    sha256 = http.add(picture())["hash"]

    def associate(**body):
        answer = http.post("/add_urls/associate_url", json={"hash": sha256, **body})
        assert answer.status_code == 200, answer.text
        params = {"hash": sha256}
        return http.get("/get_files/file_metadata", params=params).json()["metadata"][0][
            "known_urls"
        ]

    assert associate(url_to_add="https://x.example/a b#c") == ["https://x.example/a%20b"]
    raw = associate(urls_to_add=["https://x.example/ü"], normalise_urls=False)
    assert raw[-1] == "https://x.example/ü"
    assert associate(url_to_delete="https://x.example/a%20b") == ["https://x.example/ü"]
    assert associate(url_to_add="https://x.example/ü", normalise_urls=False) == [raw[-1]]
    for body in ({}, {"urls_to_add": []}):
        answer = http.post("/add_urls/associate_url", json={"hash": sha256, **body})
        assert (answer.status_code, answer.json()["error"]) == (
            400,
            "Did not find any URLs to add or delete!",
        )


@pytest.mark.parametrize(
    ("url", "form", "kind", "name", "parses"),
    [
        ("http://x.example", "http://x.example/", 5, "unknown url", False),
        ("http://x.example/a b?q=ü&p=1#f", "http://x.example/a%20b?q=%C3%BC&p=1", 5, "", False),
        ("https://site.example/posts/7?junk=1", "https://site.example/posts/7", 0, "", True),
        ("https://site.example/files/a.png", "https://site.example/files/a.png", 2, "", False),
        ("https://site.example/posts?tags=b&page=2", None, 3, "simulated tag search", True),
        ("https://site.example/t/12", "https://site.example/t/12", 4, "simulated thread", True),
        ("not a url", "not a url", 5, "unknown url", False),
    ],
)
def test_what_a_client_makes_of_urls(client, url, form, kind, name, parses):
    _, http = client
    body = http.get("/add_urls/get_url_info", params={"url": url}).json()
    assert body["normalised_url"] == (form or "https://site.example/posts?page=2&tags=b")
    assert body["request_url"] == body["normalised_url"]
    assert (body["url_type"], body["can_parse"]) == (kind, parses)
    assert name in body["match_name"]
    assert ("cannot_parse_reason" in body) is not parses


def test_lookups_take_schemes_and_www_for_the_same(client, picture):
    _, http = client
    sha256 = http.add(picture())["hash"]
    body = {"hash": sha256, "url_to_add": "http://www.x.example/a"}
    http.post("/add_urls/associate_url", json=body)
    for same in ("http://x.example/a", "https://www.x.example/a"):
        assert [found["hash"] for found in known(http, same)] == [sha256]
    assert known(http, "http://x.example/b") == []
    assert list(lookup_forms("ftp://x/y")) == ["ftp://x/y"]


@pytest.mark.parametrize(
    ("body", "words"),
    [
        ({"url": ""}, "Given URL was empty!"),
        ({"url": "not a url"}, 'Could not parse "not a url" at all!'),
        ({"url": "http://"}, 'Could not parse "http://" at all!'),
        ({}, 'The required parameter "url" was missing!'),
        ({"url": "https://site.example/blog/1"}, "it cannot be parsed: does not have a parser"),
        (
            {"url": "http://x.example/", "service_keys_to_additional_tags": {"ab" * 32: ["x"]}},
            "Could not find the tag service",
        ),
        ({"url": "http://x.example/", "destination_page_key": "zz"}, "destination_page_key"),
    ],
)
def test_urls_that_are_refused(client, body, words):
    _, http = client
    answer = http.post("/add_urls/add_url", json=body)
    assert answer.status_code == 400
    assert words in answer.json()["error"]


def test_tags_for_a_url_need_their_own_permission(started):
    key = "2b" * 32
    _, http = started(access_keys={key: Permissions(name="urls", basic=frozenset({0}))})
    http.headers[KEY_HEADER] = key
    add(http, "http://192.0.2.1/")
    for more in ({"filterable_tags": ["x"]}, {"service_keys_to_additional_tags": {MY_TAGS: ["x"]}}):
        answer = http.post("/add_urls/add_url", json={"url": "http://192.0.2.1/", **more})
        assert answer.status_code == 403


def test_the_page_is_chosen_by_key_then_name_then_any(client):
    _, http = client
    url = "http://192.0.2.1/"

    def queued():
        pages = http.get("/manage_pages/get_pages").json()["pages"]["pages"]
        return {
            page["name"]: len(
                info(http, page["page_key"])["management"]["urls_import"]["imports"]["import_items"]
            )
            for page in pages
            if page["page_type"] == 7
        }

    add(http, url + "1", destination_page_name="one")
    add(http, url + "2", destination_page_name="two")
    assert queued() == {"one": 1, "two": 1}
    add(http, url + "3")
    assert queued() == {"one": 2, "two": 1}, "any page will do: the first"
    two = page_named(http, "two")
    add(http, url + "4", destination_page_key=two, destination_page_name="one")
    assert queued() == {"one": 2, "two": 2}, "the key goes before the name"
    add(http, url + "5", destination_page_key="ab" * 32, destination_page_name="one")
    assert queued() == {"one": 3, "two": 2}, "a key that is none is passed over"
    http.post("/manage_pages/focus_page", json={"page_key": two})
    add(http, url + "6")
    assert queued() == {"one": 3, "two": 3}, "the page in front goes first"
    add(http, url + "6", show_destination_page=True, destination_page_name="two")
    assert queued() == {"one": 3, "two": 3}, "nothing is queued twice"


def test_a_domain_overrules_the_page_key(started, site, picture):
    site.pages["/a.png"] = picture()
    _, http = started(extra_services=(Service("second", 2),))
    services = http.get("/get_services").json()["local_files"]
    second = next(s["service_key"] for s in services if s["name"] == "second")
    add(http, "http://192.0.2.1/", destination_page_name="plain")
    plain = page_named(http, "plain")
    add(
        http,
        f"{site.url}/a.png",
        destination_page_key=plain,
        destination_page_name="other",
        file_service_key=second,
    )
    assert finished(http, "other")["/a.png"]["status"] == 1
    row = http.get(
        "/get_files/file_metadata", params={"hash": hash_of(picture())}
    ).json()["metadata"][0]  # fmt: skip
    assert second in row["file_services"]["current"]
    assert MY_TAGS not in row["file_services"]["current"]


def test_watchable_urls_go_to_a_watcher_page(client):
    _, http = client
    answer = add(http, "https://site.example/t/5", destination_page_name="threads")
    assert answer["human_result_text"] == '"simulated thread" URL added successfully.'
    page = info(http, page_named(http, "threads"))
    assert page["page_type"] == 9
    [watcher] = page["management"]["multiple_watcher_import"]["watcher_imports"]
    assert watcher["url"] == "https://site.example/t/5"
    assert watcher["imports"]["total_to_process"] == 0


def test_adding_can_take_its_time(started):
    _, http = started(add_url_seconds=0.1)
    begun = time.monotonic()
    add(http, "http://192.0.2.1/")
    # Half of it: clocks are coarse. That it takes longer proves nothing and is not asked.
    assert time.monotonic() - begun >= 0.05


@pytest.mark.parametrize("api", [11, 32])
def test_old_clients_refuse_what_is_no_url(started, api):
    _, http = started(api_version=api)
    for call in (
        http.get("/add_urls/get_url_info", params={"url": "x"}),
        http.post("/add_urls/add_url", json={"url": "x"}),
    ):
        assert call.status_code == 400
        assert call.text == 'URL "x" was not recognised--did you forget the http:// or https://?'
