"""Mishaps on order, and the way to order them from another process."""

from __future__ import annotations

import httpx
import pytest

from hydrusd.simulator import Fault, FaultKind

ADD_FILE = "/add_files/add_file"


@pytest.mark.parametrize(
    ("status", "exception_name"),
    [
        (503, "ServerBusyException"),
        (509, "BandwidthException"),
        (419, "SessionException"),
        (403, "InsufficientCredentialsException"),
        (500, "ServerException"),
    ],
)
def test_error_answers(started, picture, status, exception_name):
    simulator, http = started()
    simulator.inject(Fault(kind=FaultKind.STATUS, path=ADD_FILE, times=2, status=status, words="x"))
    assert http.get("/api_version").status_code == 200
    for _ in range(2):
        answer = http.post(ADD_FILE, content=picture())
        assert answer.status_code == status
        assert answer.json()["exception_type"] == exception_name
    assert simulator.files == {}
    assert http.add(picture())["status"] == 1


def test_old_clients_say_it_in_plain_text(started):
    simulator, http = started(api_version=11)
    simulator.inject(Fault(kind=FaultKind.STATUS, words="busy"))
    assert http.get("/api_version").text == "busy"


def test_a_cut_leaves_nothing_done(started, picture):
    simulator, http = started()
    simulator.inject(Fault(kind=FaultKind.CUT))
    with pytest.raises(httpx.TransportError):
        http.add(picture())
    assert simulator.files == {}
    assert http.add(picture())["status"] == 1


def test_an_unknown_outcome_is_done_all_the_same(started, picture):
    simulator, http = started()
    simulator.inject(Fault(kind=FaultKind.WORK_THEN_CUT, path=ADD_FILE))
    with pytest.raises(httpx.TransportError):
        http.add(picture())
    assert len(simulator.files) == 1
    assert http.add(picture())["status"] == 2


def test_an_answer_can_break_off(started, picture):
    simulator, http = started()
    sha256 = http.add(picture())["hash"]
    for path in ("/api_version", "/get_files/file"):
        simulator.inject(Fault(kind=FaultKind.CUT_BODY, path=path))
        with pytest.raises(httpx.RemoteProtocolError, match="without sending complete"):
            http.get(path, params={"hash": sha256})
    assert http.get("/api_version").status_code == 200


def test_an_answer_can_be_late(started):
    simulator, http = started()
    simulator.inject(Fault(kind=FaultKind.SLOW, seconds=0.5))
    with pytest.raises(httpx.ReadTimeout):
        http.get("/api_version", timeout=0.05)
    simulator.inject(Fault(kind=FaultKind.SLOW, seconds=0.01))
    assert http.get("/api_version").json()["version"] == 95


def test_something_else_may_answer(started):
    simulator, http = started()
    simulator.inject(Fault(kind=FaultKind.NOT_JSON))
    answer = http.get("/api_version")
    assert answer.status_code == 200
    assert answer.text.startswith("<!DOCTYPE html>")


def test_faults_wait_their_turn_and_can_be_cancelled(started):
    simulator, http = started()
    simulator.inject(Fault(kind=FaultKind.STATUS, path="/api_version", skip=1, times=2))
    assert [http.get("/api_version").status_code for _ in range(2)] == [200, 503]
    assert simulator.faults_waiting == 1
    simulator.clear_faults()
    assert http.get("/api_version").status_code == 200


def test_control_from_another_process(started, picture):
    _, http = started(control=True)
    sha256 = http.add(picture())["hash"]
    http.tag([sha256], ["a"])
    fault = {"kind": "status", "path": "/api_version", "status": 509, "times": 2}
    assert http.post("/_simulator/faults", json=fault).json() == {"waiting": 2}
    assert http.get("/api_version").status_code == 509
    assert http.post("/_simulator/faults", json={"clear": True}).json() == {"waiting": 0}
    http.commit()
    state = http.get("/_simulator/state").json()
    assert state["files"][sha256]["status"] == "current"
    assert state["tags"] == {sha256: {"my tags": {"0": ["a"]}}}
    assert state["committed_files"] == [sha256]
    assert state["imports"] == state["committed_imports"] == {sha256: 1}
    assert state["requests"]["/api_version"] == 1
    assert [commit["number"] for commit in state["commits"]] == [1]


@pytest.mark.parametrize(
    "body", [b"[]", b"{}", b'{"kind": "no such"}', b'{"kind": "cut", "times": 0}']
)
def test_control_refuses_what_is_no_fault(started, body):
    _, http = started(control=True)
    assert http.post("/_simulator/faults", content=body).status_code == 400
    assert http.get("/_simulator/nope").status_code == 404


def test_without_leave_there_is_no_control(started):
    _, http = started()
    assert http.get("/_simulator/state").status_code == 404
