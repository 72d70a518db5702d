"""Tags: how they are tidied, and what each action does to which service."""

from __future__ import annotations

import pytest
from hypothesis import given, strategies as st

from hydrusd.simulator import Service
from hydrusd.simulator._tags import clean_tag, clean_tags

SHA256 = "ab" * 32
MY_TAGS = "6c6f63616c2074616773"
REPOSITORY = "0e" * 32
PTR = Service("ptr", 0, REPOSITORY)


@pytest.mark.parametrize(
    ("given_tag", "cleaned"),
    [
        ("Blue   Eyes ", "blue eyes"),
        (" character : samus aran ", "character:samus aran"),
        (":)", "::)"),
        (" :)", ")"),
        ("-minus", "minus"),
        ("system:inbox", "inbox"),
        ("a\tb\nc", "abc"),
        ("a:", ""),
        (":a:b", ":a:b"),
        ("::", "::"),
        ("- -a", "-a"),
        ("--a", "a"),
        ("system: -\u3164a", "a"),
        ("a\u200cb", "ab"),
        (" a : - b", "a:b"),
        ("x" * 2000, "x" * 1024),
        ("   ", ""),
    ],
)
def test_cleaning(given_tag, cleaned):
    assert clean_tag(given_tag) == cleaned


@given(st.text(max_size=40))
def test_a_clean_tag_has_nothing_left_to_tidy(text):
    cleaned = clean_tag(text)
    assert cleaned == " ".join(cleaned.split()) == cleaned.lower()


def test_cleaned_lists_are_sorted_and_unique():
    assert clean_tags(["b", "A", " a ", ""]) == ["a", "b"]


def act(http, action, *tags, service_key=MY_TAGS, **flags):
    changes = {service_key: {str(action): list(tags)}}
    body = {"hash": SHA256, "service_keys_to_actions_to_tags": changes, **flags}
    return http.post("/add_tags/add_tags", json=body).status_code


def test_unknown_hashes_take_tags(started):
    simulator, http = started()
    http.tag([SHA256], ["A"])
    assert simulator.tags(SHA256) == {0: {"a"}}
    assert simulator.files == {}


def test_a_deleted_tag_comes_back_only_by_hand(started):
    simulator, http = started()
    act(http, 0, "a")
    act(http, 1, "a")
    assert simulator.tags(SHA256) == {2: {"a"}}
    http.tag([SHA256], ["a", "b"], override_previously_deleted_mappings=False)
    assert simulator.tags(SHA256) == {0: {"b"}, 2: {"a"}}
    http.tag([SHA256], ["a"])
    assert simulator.tags(SHA256) == {0: {"a", "b"}}


def test_clients_before_the_flags_ignore_them(started):
    simulator, http = started(api_version=32)
    act(http, 1, "a")
    http.tag([SHA256], ["a"], override_previously_deleted_mappings=False)
    assert simulator.tags(SHA256) == {0: {"a"}}


def test_a_delete_leaves_a_record_unless_told_not_to(started):
    simulator, http = started()
    act(http, 1, "a")
    act(http, 1, "b", create_new_deleted_mappings=False)
    assert simulator.tags(SHA256) == {2: {"a"}}


def test_repositories_get_pending_tags(started):
    simulator, http = started(extra_services=(PTR,))
    http.tag([SHA256], ["a", "b"], service_key=REPOSITORY)
    assert simulator.tags(SHA256, "ptr") == {1: {"a", "b"}}
    assert act(http, 3, "a", service_key=REPOSITORY) == 200
    assert simulator.tags(SHA256, "ptr") == {1: {"b"}}
    assert act(http, 4, ["b", "a reason"], service_key=REPOSITORY) == 200
    assert simulator.tags(SHA256, "ptr") == {1: {"b"}}, "only current tags can be petitioned"


def test_each_kind_of_service_has_its_actions(started):
    _, http = started(extra_services=(PTR,))
    assert act(http, 0, "a", service_key=REPOSITORY) == 400
    assert act(http, 2, "a") == 400
    assert act(http, "x", "a") == 400


def test_old_clients_skip_actions_that_do_not_fit(started):
    simulator, http = started(api_version=32)
    assert act(http, 2, "a") == 200
    assert simulator.tags(SHA256) == {}


def test_actions_go_before_the_plain_map(started):
    simulator, http = started()
    http.post(
        "/add_tags/add_tags",
        json={
            "hash": SHA256,
            "service_keys_to_tags": {MY_TAGS: ["plain"]},
            "service_keys_to_actions_to_tags": {MY_TAGS: {"0": ["acted", 7]}},
        },
    )
    assert simulator.tags(SHA256) == {0: {"acted"}}


@pytest.mark.parametrize(
    "body",
    [
        {"hash": SHA256},
        {"hash": "abcd", "service_keys_to_tags": {MY_TAGS: ["a"]}},
        {"hash": "xyz", "service_keys_to_tags": {MY_TAGS: ["a"]}},
        {"hash": SHA256, "service_keys_to_tags": {MY_TAGS: "a"}},
        {"hash": SHA256, "service_keys_to_tags": []},
        {"hash": SHA256, "service_keys_to_tags": {"6c6f63616c2066696c6573": ["a"]}},
    ],
)
def test_what_makes_no_sense_is_refused(started, body):
    simulator, http = started()
    assert http.post("/add_tags/add_tags", json=body).status_code == 400
    assert simulator.tags(SHA256) == {}


def test_the_oldest_client_falls_over_an_empty_list(started):
    _, http = started(api_version=11)
    body = {"hash": SHA256, "service_names_to_tags": {"my tags": []}}
    assert http.post("/add_tags/add_tags", json=body).status_code == 500


def test_names_may_be_shared_keys_are_not(started):
    _, http = started(extra_services=(Service("my tags", 5), Service("my tags", 5)))
    listed = http.get("/get_services").json()["local_tags"]
    named = [service["service_key"] for service in listed if service["name"] == "my tags"]
    assert len(set(named)) == 3


def test_petitions_and_their_reasons(started):
    simulator, http = started(extra_services=(PTR,))

    def do(action, *tags, **flags):
        assert act(http, action, *tags, service_key=REPOSITORY, **flags) == 200

    do(4, ["b", "a reason"], "c", ["d"], 5)
    assert simulator.tags(SHA256, "ptr") == {3: {"b", "c"}}, "what is no tag is passed over"
    do(4, ["b", "another"])
    assert simulator.petition_reasons(SHA256, "ptr") == {
        "b": "a reason",
        "c": "Petitioned from API",
    }
    do(2, "b")
    assert simulator.tags(SHA256, "ptr") == {3: {"b", "c"}}, "not both at once"
    do(5, "b")
    assert simulator.petition_reasons(SHA256, "ptr") == {"c": "Petitioned from API"}
    do(4, "e", create_new_deleted_mappings=False)
    assert simulator.tags(SHA256, "ptr") == {3: {"c"}}


@pytest.mark.parametrize(
    ("key", "actions", "words"),
    [
        (MY_TAGS, {"2": ["a"]}, "only add/delete on a local"),
        (REPOSITORY, {"0": ["a"]}, "cannot add/delete on a remote"),
        (MY_TAGS, {"x": ["a"]}, "not an integer"),
        (MY_TAGS, {"0": "a"}, "expected type: list"),
        (MY_TAGS, ["a"], "expected type: object/dict"),
        ("6661766f757269746573", {"0": ["a"]}, "did not give a tag service"),
    ],
)
def test_actions_that_are_refused(started, key, actions, words):
    _, http = started(extra_services=(PTR,))
    body = {"hash": SHA256, "service_keys_to_actions_to_tags": {key: actions}}
    answer = http.post("/add_tags/add_tags", json=body)
    assert answer.status_code == 400
    assert words in answer.json()["error"]
