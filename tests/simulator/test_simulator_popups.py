"""Messages to the user of the simulated client."""

from __future__ import annotations

import pytest

KEY = "job_status_key"


@pytest.fixture
def http(started):
    _, http = started()
    return http


def post(http, name, **body):
    return http.post(f"/manage_popups/{name}", json=body)


def add(http, **body):
    answer = post(http, "add_popup", **body)
    assert answer.status_code == 200, answer.text
    return answer.json()["job_status"]


def shown(http, **params):
    return http.get("/manage_popups/get_popups", params=params).json()["job_statuses"]


def test_only_what_can_be_stopped_is_not_done_yet(http):
    assert add(http)["is_done"] is True
    for kind in ("is_cancellable", "is_pausable"):
        popup = add(http, **{kind: True})
        assert (popup["is_done"], popup[kind]) == (False, True)


def test_a_popup_is_updated_and_cleared(http):
    popup = add(http, status_title="a", status_text_2="b", popup_gauge_1=[0, 2], api_data={"x": 1})
    assert popup["nice_string"] == "a\nb"
    answer = post(http, "update_popup", **{KEY: popup["key"], "status_title": None})
    after = answer.json()["job_status"]
    assert "status_title" not in after
    assert after["nice_string"] == "b"
    answer = post(http, "update_popup", **{KEY: popup["key"], "popup_gauge_1": None})
    assert "popup_gauge_1" not in answer.json()["job_status"]
    assert shown(http) == [answer.json()["job_status"]]


def test_files_need_a_label_and_count_once(http):
    assert post(http, "add_popup", hashes=["ab" * 32]).status_code == 400
    popup = add(http, hashes=["ab" * 32, "ab" * 32], files_label="new")
    assert popup["files"] == {"hashes": ["ab" * 32], "label": "new"}
    answer = post(http, "update_popup", **{KEY: popup["key"], "hashes": []})
    assert answer.json()["job_status"]["files"] == popup["files"]


def test_mergable_files_go_to_the_popup_that_is_there(http):
    one = {"attached_files_mergable": True, "files_label": "new"}
    add(http, hashes=["aa" * 32], **one)
    add(http, hashes=["bb" * 32], **one)
    add(http, hashes=["cc" * 32], **{**one, "files_label": "other"})
    assert [popup["files"]["hashes"] for popup in shown(http)] == [
        ["aa" * 32, "bb" * 32],
        ["cc" * 32],
    ]


def test_ends(http):
    popup = add(http, is_cancellable=True)["key"]
    assert post(http, "dismiss_popup", **{KEY: popup}).status_code == 200
    assert len(shown(http)) == 1, "one that is at work stays"
    post(http, "cancel_popup", **{KEY: popup})
    [after] = shown(http)
    assert (after["is_cancelled"], after["is_done"], after["is_cancellable"]) == (True, True, False)
    post(http, "dismiss_popup", **{KEY: popup})
    assert shown(http) == []
    assert post(http, "finish_popup", **{KEY: popup}).status_code == 400


def test_finished_ones_cannot_be_cancelled(http):
    popup = add(http, is_cancellable=True)["key"]
    post(http, "finish_popup", **{KEY: popup})
    assert post(http, "cancel_popup", **{KEY: popup}).status_code == 200
    [after] = shown(http)
    assert (after["is_done"], after["is_cancelled"]) == (True, False)


def test_dismissal_now_and_later(http):
    soon, later = (add(http, is_pausable=True)["key"] for _ in range(2))
    post(http, "finish_and_dismiss_popup", **{KEY: soon})
    post(http, "finish_and_dismiss_popup", **{KEY: later, "seconds": 3600})
    [left] = shown(http)
    assert (left["key"], left["is_done"]) == (later, True)


def test_ten_are_in_view(http):
    for number in range(12):
        add(http, status_title=str(number))
    assert (len(shown(http)), len(shown(http, only_in_view="true"))) == (12, 10)


@pytest.mark.parametrize(
    ("body", "words"),
    [
        ({"popup_gauge_1": [1]}, "invalid number of items"),
        ({"popup_gauge_1": [1.5, 2]}, 'held an item, "1.5" that was'),
        ({"popup_gauge_2": [None, 3]}, 'held an item, "None" that was'),
        ({"popup_gauge_1": 3}, "was not the expected type: list!"),
        ({"status_title": 3}, "was not the expected type: string!"),
        ({"api_data": []}, "was not the expected type"),
    ],
)
def test_popups_that_are_refused(http, body, words):
    answer = post(http, "add_popup", **body)
    assert answer.status_code == 400
    assert words in answer.json()["error"]
    assert shown(http) == []


def test_nothing_can_be_called_and_no_boot_is_outlived(started):
    simulator, http = started()
    key = add(http)["key"]
    answer = post(http, "call_user_callable", **{KEY: key})
    assert answer.json()["error"] == "This job doesn't have a user callable!"
    simulator.shut_down()
    assert shown(http) == []
