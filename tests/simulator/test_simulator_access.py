"""Keys, sessions and permissions."""

from __future__ import annotations

import pytest

from hydrusd.simulator import DEFAULT_ACCESS_KEY, Permissions, SimulatorConfig

ACCESS = "Hydrus-Client-API-Access-Key"
SESSION = "Hydrus-Client-API-Session-Key"
TAGGER = "7a" * 32
KEYS = {TAGGER: Permissions(name="tagger", basic=frozenset({2, 99}))}


def test_a_key_may_do_what_it_may_and_no_more(started, call, stage):
    started(access_keys=KEYS)
    http = call(stage[1], TAGGER)
    told = http.get("/verify_access_key").json()
    assert told["basic_permissions"] == [2]
    assert told["human_description"] == "API Permissions (tagger): edit file tags"
    assert http.get("/get_services").status_code == 200
    refused = http.post("/manage_database/force_commit")
    assert refused.status_code == 403
    assert refused.json()["error"] == "You do not have permission to: manage database"


def test_keys_and_sessions_come_by_header_query_or_body(started, call, stage):
    started()
    http = call(stage[1], key=None)
    key = {ACCESS: DEFAULT_ACCESS_KEY}
    session = {SESSION: http.get("/session_key", params=key).json()["session_key"]}
    for credentials in (key, session):
        assert http.get("/verify_access_key", params=credentials).status_code == 200
        assert http.get("/verify_access_key", headers=credentials).status_code == 200
        body = {"tags": [], **credentials}
        assert http.post("/manage_database/force_commit", json=body).status_code == 200
        # A POST never reads the query.
        path = "/manage_database/force_commit"
        assert http.post(path, params=credentials, json={}).status_code == 401


def test_a_session_can_make_a_session(started, call, stage):
    started()
    http = call(stage[1], key=None)
    first = http.get("/session_key", params={ACCESS: DEFAULT_ACCESS_KEY}).json()["session_key"]
    second = http.get("/session_key", headers={SESSION: first}).json()["session_key"]
    assert http.get("/verify_access_key", headers={SESSION: second}).status_code == 200


@pytest.mark.parametrize(("api_version", "status"), [(95, 500), (32, 419), (11, 419)])
def test_an_expired_session(started, call, stage, api_version, status):
    simulator, http = started(api_version=api_version)
    session = http.get("/session_key").json()["session_key"]
    simulator.expire_sessions()
    answer = call(stage[1], key=None).get("/verify_access_key", headers={SESSION: session})
    assert answer.status_code == status
    if status == 500:
        assert answer.json()["exception_type"] == "KeyError"


def test_a_session_dies_with_its_key(started, call, stage):
    simulator, http = started()
    session = http.get("/session_key").json()["session_key"]
    simulator.revoke(DEFAULT_ACCESS_KEY)
    answer = call(stage[1], key=None).get("/verify_access_key", headers={SESSION: session})
    assert answer.status_code == 403


def test_new_permissions_work_once_approved(started, call, stage):
    simulator, _ = started()
    simulator.open_permission_dialog()
    http = call(stage[1], key=None)
    asked = http.get(
        "/request_new_permissions", params={"name": "daemon", "basic_permissions": "[1, 2]"}
    )
    http.headers[ACCESS] = asked.json()["access_key"]
    assert http.get("/verify_access_key").status_code == 403
    simulator.approve_permissions()
    assert http.get("/verify_access_key").json()["basic_permissions"] == [1, 2]
    assert http.get("/request_new_permissions", params={"name": "x"}).status_code == 409


def test_keys_do_not_show_in_a_repr():
    assert DEFAULT_ACCESS_KEY not in repr(SimulatorConfig())


def test_whether_the_user_is_away_can_be_told(started):
    simulator, http = started()
    simulator.set_idle(True)
    assert http.get("/client_info").json()["currently_idle"] is True
