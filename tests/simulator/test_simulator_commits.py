"""What a client holds back, when it commits, and what a crash takes."""

from __future__ import annotations

import hashlib
import math
import time

import pytest
from hypothesis import settings, strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, rule

from hydrusd.simulator import Simulator, SimulatorConfig, _store

NEVER = math.inf


def test_acknowledged_work_is_gone_after_a_crash(started, picture):
    simulator, http = started(commit_seconds=NEVER)
    sha256 = http.add(picture())["hash"]
    http.tag([sha256], ["a"])
    assert sha256 in simulator.files
    assert simulator.tags(sha256) == {0: {"a"}}
    assert simulator.committed_files() == set()
    assert simulator.committed_tags(sha256) == {}
    simulator.crash()
    assert simulator.files == {}
    assert simulator.tags(sha256) == {}


def test_forced_commits_survive_a_crash(started, picture):
    simulator, http = started(commit_seconds=NEVER)
    kept = http.add(picture(1))["hash"]
    http.tag([kept], ["a"])
    before = time.time()
    http.commit()
    after = time.time()
    lost = http.add(picture(2))["hash"]
    http.tag([kept], ["b"])
    simulator.crash()
    assert set(simulator.files) == simulator.committed_files() == {kept}
    assert simulator.tags(kept) == {0: {"a"}}
    assert before <= simulator.committed_at(kept) <= after
    assert simulator.committed_at(lost) is None
    assert [c.number for c in simulator.commits] == [1]
    assert simulator.commits[0].imported == (kept,)


def test_a_forced_commit_is_answered_before_it_is_done(started, picture, monkeypatch):
    monkeypatch.setattr(_store, "_PROMISE_SECONDS", 3600)
    simulator, http = started(commit_seconds=NEVER)
    lost = http.add(picture(1))["hash"]
    assert http.post("/manage_database/force_commit").status_code == 200
    assert simulator.committed_files() == set()
    simulator.crash()
    kept = http.add(picture(2))["hash"]
    assert http.post("/manage_database/force_commit").status_code == 200
    http.get("/get_files/search_files", params={"tags": '["system:everything"]'})
    assert simulator.committed_files() == {kept} != {lost}


def test_a_promised_commit_comes_by_itself(started, picture):
    simulator, http = started(commit_seconds=NEVER)
    sha256 = http.add(picture())["hash"]
    assert http.post("/manage_database/force_commit").status_code == 200
    assert simulator.wait_for_commit(1, 10)
    assert simulator.committed_files() == {sha256}


def test_the_clock_commits_too(started, picture):
    simulator, http = started(commit_seconds=0.01)
    sha256 = http.add(picture())["hash"]
    assert simulator.wait_for_commit(1, 10)
    assert simulator.committed_files() == {sha256}


def test_a_client_that_loses_nothing_commits_each_write(started, picture):
    simulator, http = started(commit_seconds=NEVER, lose_uncommitted=False)
    sha256 = http.add(picture())["hash"]
    simulator.crash()
    assert simulator.committed_files() == {sha256}


def test_reading_leaves_nothing_to_commit(started, picture):
    simulator, http = started(commit_seconds=NEVER)
    http.get("/get_services")
    http.add(b"garbage")
    http.commit()
    assert simulator.commits == ()


def test_a_restart_shows_in_boot_id_and_sessions(started):
    simulator, http = started()
    boot = http.get("/client_info").json()["boot_id"]
    session = http.get("/session_key").json()["session_key"]
    simulator.crash()
    assert http.get("/client_info").json()["boot_id"] == simulator.boot_id != boot
    asked = http.get("/verify_access_key", headers={"Hydrus-Client-API-Session-Key": session})
    assert asked.status_code == 200, "the access key goes first"
    del http.headers["Hydrus-Client-API-Access-Key"]
    asked = http.get("/verify_access_key", headers={"Hydrus-Client-API-Session-Key": session})
    assert asked.status_code == 419


def test_each_import_is_counted_also_the_lost_ones(started, picture):
    simulator, http = started(commit_seconds=NEVER)
    sha256 = http.add(picture())["hash"]
    simulator.crash()
    assert http.add(picture())["status"] == 1
    assert http.add(picture())["status"] == 2
    http.commit()
    assert simulator.imports()[sha256] == 2
    assert simulator.committed_imports()[sha256] == 1
    record = simulator.files[sha256]
    assert (record.times_imported, record.times_committed) == (2, 1)


def test_a_state_directory_holds_the_committed_state_only(started, picture, tmp_path):
    _, http = started(commit_seconds=NEVER, state_dir=tmp_path)
    kept = http.add(picture(1))["hash"]
    http.tag([kept], ["a", "b"])
    http.post(
        "/add_files/delete_files", json={"hash": http.add(picture(3))["hash"], "reason": "why"}
    )
    http.commit()
    lost = http.add(picture(2))["hash"]
    # What the disk says now is what a process killed now would leave.
    with Simulator(SimulatorConfig(state_dir=tmp_path)) as found:
        assert found.committed_files() == {kept}
        assert found.tags(kept) == {0: {"a", "b"}}
        assert lost not in found.files
        assert sorted(record.status for record in found.files.values()) == ["current", "trashed"]
        assert found.imports()[lost] == 1
        assert found.committed_imports()[lost] == 0
        assert [c.number for c in found.commits] == [1]


def test_a_clean_end_commits(picture, call, tmp_path):
    config = SimulatorConfig(commit_seconds=NEVER, state_dir=tmp_path)
    with Simulator(config) as simulator, simulator.serve() as url:
        sha256 = call(url).add(picture())["hash"]
    with Simulator(config) as again, again.serve() as url:
        http = call(url)
        assert http.add(picture())["status"] == 2
        content = http.get("/get_files/file", params={"hash": sha256}).content
    assert hashlib.sha256(content).hexdigest() == sha256


def test_commit_numbers_go_on_over_boots(started, picture, tmp_path):
    for number in range(1, 4):
        simulator, http = started(commit_seconds=NEVER, state_dir=tmp_path)
        http.add(picture(number))
        http.commit()
        assert [c.number for c in simulator.commits] == list(range(1, number + 1))
        simulator.close()
    assert len({c.boot_id for c in simulator.commits}) == 3


class CommitsAndCrashes(RuleBasedStateMachine):
    """Any order of work, commits and crashes: the client shows what a plain model says."""

    @initialize()
    def start(self):
        self.simulator = Simulator(SimulatorConfig(commit_seconds=NEVER))
        self.store = self.simulator._store
        self.now: dict[str, set[str]] = {}
        self.safe: dict[str, set[str]] = {}

    @rule(name=st.sampled_from("abc"), tag=st.sampled_from("xyz"))
    def add_tag(self, name, tag):
        with self.store.writing():
            statuses = self.store.touch(name * 64).statuses("6c6f63616c2074616773")
            statuses.setdefault(0, set()).add(tag)
        self.now.setdefault(name, set()).add(tag)

    @rule()
    def commit(self):
        self.simulator.commit()
        self.safe = {name: set(tags) for name, tags in self.now.items()}

    @rule()
    def crash(self):
        self.simulator.crash()
        self.now = {name: set(tags) for name, tags in self.safe.items()}

    @invariant()
    def shows_what_was_done_and_what_is_safe(self):
        for name in "abc":
            assert self.simulator.tags(name * 64).get(0, set()) == self.now.get(name, set())
            safe = self.simulator.committed_tags(name * 64).get(0, set())
            assert safe == self.safe.get(name, set())
        ids = [entry.file_id for entry in self.store.entries.values()]
        assert len(ids) == len(set(ids))
        assert all(self.store.hash_of(number) for number in ids)


TestCommitsAndCrashes = CommitsAndCrashes.TestCase
TestCommitsAndCrashes.settings = settings(max_examples=30, stateful_step_count=20, deadline=None)


def test_only_recorded_clients_can_be_simulated():
    with pytest.raises(ValueError, match="no client of API 50"):
        Simulator(SimulatorConfig(api_version=50))
