"""Cookies and headers, and when they are safe."""

from __future__ import annotations

import math

import pytest

NEVER = math.inf


@pytest.fixture
def client(started):
    return started(commit_seconds=NEVER)


def set_cookies(http, *rows):
    return http.post("/manage_cookies/set_cookies", json={"cookies": list(rows)})


def cookies(http, domain):
    return http.get("/manage_cookies/get_cookies", params={"domain": domain}).json()["cookies"]


def set_headers(http, headers, **more):
    return http.post("/manage_headers/set_headers", json={"headers": headers, **more})


def headers(http, **params):
    return http.get("/manage_headers/get_headers", params=params).json()["headers"]


def test_a_site_shares_its_cookies(client):
    _, http = client
    site = ["a", "1", ".x.example", "/", None]
    sub = ["b", "2", "www.x.example", "/p", 1999999999]
    other = ["c", "3", ".y.example", "/", None]
    assert set_cookies(http, site, sub, other).status_code == 200
    assert cookies(http, "x.example") == cookies(http, "deep.www.x.example") == [site, sub]
    assert cookies(http, "y.example") == [other]
    assert set_cookies(http, ["a", "new", ".x.example", "/", None]).status_code == 200
    assert cookies(http, "x.example")[0][1] == "new"


def test_expired_cookies_are_not_kept(client):
    _, http = client
    assert set_cookies(http, ["a", "1", "x.example", "/", 1]).status_code == 200
    assert cookies(http, "x.example") == []


def test_newer_clients_know_shared_suffixes(client, started):
    _, http = client
    rows = [["a", "1", "x.co.uk", "/", None], ["b", "2", "y.co.uk", "/", None]]
    set_cookies(http, *rows)
    assert cookies(http, "x.co.uk") == rows[:1]
    _, old = started(api_version=32)
    set_cookies(old, *rows)
    assert cookies(old, "x.co.uk") == rows


def test_rows_before_a_bad_one_count(client):
    _, http = client
    good, bad = ["a", "1", "x.example", "/", None], ["b", "1", "x.example", "/", 1.0]
    answer = set_cookies(http, good, bad, ["c", "1", "x.example", "/", None])
    assert answer.status_code == 400
    assert "expires needs to be null or an integer!" in answer.json()["error"]
    assert cookies(http, "x.example") == [good]


@pytest.mark.parametrize("row", [["a", None, "x.example", "/", None], 5])
def test_rows_that_trip_the_client_up(client, row):
    _, http = client
    answer = set_cookies(http, row)
    assert answer.status_code == 500
    assert answer.json()["exception_type"] == ("TypeError" if row == 5 else "KeyError")


@pytest.mark.parametrize("row", [["a", "1"], "abc", [1, "1", "x.example", "/", None]])
def test_rows_that_are_refused(client, row):
    _, http = client
    assert set_cookies(http, row).status_code == 400


def test_clearing_takes_one_cookie(client):
    _, http = client
    kept = ["b", "2", "x.example", "/", None]
    set_cookies(http, ["a", "1", "x.example", "/", None], kept)
    assert set_cookies(http, ["a", None, "x.example", "/", None]).status_code == 200
    assert cookies(http, "x.example") == [kept]


def test_no_commit_makes_cookies_safe_but_a_clean_end_does(client):
    simulator, http = client
    row = ["a", "1", "x.example", "/", 1999999999]
    set_cookies(http, row)
    set_headers(http, {"X-A": {"value": "1"}}, domain="x.example")
    http.commit()
    simulator.crash()
    assert (cookies(http, "x.example"), headers(http, domain="x.example")) == ([], {})
    set_cookies(http, row)
    set_headers(http, {"X-A": {"value": "1"}}, domain="x.example")
    simulator.shut_down()
    simulator.crash()
    assert cookies(http, "x.example") == [row]
    assert headers(http, domain="x.example")["X-A"]["value"] == "1"
    assert "User-Agent" in headers(http)


def test_a_state_directory_keeps_them(started, tmp_path):
    simulator, http = started(commit_seconds=NEVER, state_dir=tmp_path)
    row = ["a", "1", "x.example", "/", None]
    set_cookies(http, row)
    simulator.close()
    _, http = started(commit_seconds=NEVER, state_dir=tmp_path)
    assert cookies(http, "x.example") == [row]


def test_a_client_that_loses_nothing_keeps_them_at_once(started):
    simulator, http = started(commit_seconds=NEVER, lose_uncommitted=False)
    row = ["a", "1", "x.example", "/", None]
    set_cookies(http, row)
    simulator.crash()
    assert cookies(http, "x.example") == [row]


def test_headers_are_set_changed_and_cleared(client):
    _, http = client
    first = {"value": "1", "approved": "pending", "reason": "because"}
    assert set_headers(http, {"X-A": first}, domain=None).status_code == 200
    assert headers(http)["X-A"] == first
    set_headers(http, {"X-A": {"approved": "denied"}})
    assert headers(http)["X-A"] == {**first, "approved": "denied"}
    set_headers(http, {"X-A": {"value": "1", "approved": "approved"}})
    assert headers(http)["X-A"]["approved"] == "denied", "the same value: all is passed over"
    set_headers(http, {"X-A": {"value": "2"}})
    assert headers(http)["X-A"] == {"value": "2", "approved": "denied", "reason": "because"}
    answer = set_headers(http, {"X-A": {"value": None}, "X-Never-There": {"value": None}})
    assert answer.status_code == 200
    assert "X-A" not in headers(http)


@pytest.mark.parametrize(
    ("body", "words"),
    [
        ({"headers": {"X-A": {"approved": "denied"}}}, "that entry does not exist"),
        ({"headers": {"X-A": {}}}, "you have to set a value, approved, or reason"),
        ({"headers": {"X-A": "text"}}, "you have to set a value, approved, or reason"),
        ({"headers": {"X-A": {"value": "1", "approved": "maybe"}}}, "not in the permitted list"),
        ({"headers": {"X-A": {"value": 1}}}, "was not a string"),
        ({"headers": {"X-A": {"value": "1", "reason": 2}}}, "was not a string"),
        ({"headers": {}, "domain": "nodot"}, "does not seem to be a domain"),
        ({}, 'required parameter "headers"'),
    ],
)
def test_headers_that_are_refused(client, body, words):
    _, http = client
    answer = http.post("/manage_headers/set_headers", json=body)
    assert answer.status_code == 400
    assert words in answer.json()["error"]


def test_the_user_agent_is_a_global_header(client):
    _, http = client
    default = headers(http)["User-Agent"]
    for given, kept in (("me/1", "me/1"), ("", default["value"])):
        answer = http.post("/manage_headers/set_user_agent", json={"user-agent": given})
        assert answer.status_code == 200
        assert headers(http)["User-Agent"] == {**default, "value": kept}


def test_secrets_are_in_no_repr(client):
    simulator, http = client
    set_cookies(http, ["a", "s3cret", "x.example", "/", None])
    http.post("/manage_headers/set_headers", json={"headers": {"X-A": {"value": "s3cret"}}})
    client_parts = simulator._client
    assert "s3cret" not in repr(client_parts.network)
    assert "s3cret" not in repr(client_parts.network.headers(""))
