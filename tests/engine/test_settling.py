"""Settling: nothing irreversible happens to a source before the client has committed it."""

from __future__ import annotations

import math
from dataclasses import replace

import pytest
from bench import PARTLY, key_for

from hydrusd.engine import settling
from hydrusd.simulator import DEFAULT_ACCESS_KEY, Fault, FaultKind

pytestmark = pytest.mark.anyio

ADD_TAGS = "/add_tags/add_tags"
FORCE_COMMIT = "/manage_database/force_commit"
SEARCH = "/get_files/search_files"
METADATA = "/get_files/file_metadata"

NEVER = {"commit_seconds": math.inf}
PARTLY_ALLOWED = {**NEVER, "access_keys": key_for(*PARTLY)}
FALLBACKS = [PARTLY_ALLOWED, {**NEVER, "api_version": 32}, {**NEVER, "api_version": 11}]

TWO_STEPS = """
  - name: import
    on: {watch_folder: {path: inbox}}
    do:
      - add_file:
      - add_tags: {my tags: one}
      - add_tags: {my tags: two}
      - move_source: {to: moved}
"""


def busy(path, times=1, **more):
    return Fault(kind=FaultKind.STATUS, path=path, times=times, status=503, **more)


async def until_settling(at, *names):
    await at.wait(lambda: all(at.state(name) == "settling" for name in names))


# --- the client can be told to commit -----------------------------------------------------


async def test_one_commit_serves_many_jobs(bench):
    at = bench(**NEVER)
    async with at.running():
        await at.notice(*(f"{n}.png" for n in range(30)))
        await at.rest()
    assert {job.state.value for job in at.jobs} == {"done"}
    # Two requests are one commit: the answer to the first comes before its commit.
    assert at.simulator.requests[FORCE_COMMIT] == 2
    assert len(at.simulator.commits) == 1


async def test_a_crash_before_the_commit_is_noticed_and_all_of_it_done_again(bench):
    at = bench(**NEVER)
    async with at.running():
        await at.rest()
        at.simulator.inject(busy(FORCE_COMMIT))
        await at.notice("a.jpg", "b.png")
        await at.rest()
        assert at.state("a.jpg") == at.state("b.png") == "settling"
        hashes = {at.hash_of("a.jpg"), at.hash_of("b.png")}
        at.simulator.crash()
        assert at.simulator.files == {}
        assert at.is_there("a.jpg")
        assert at.is_there("b.png")
        await at.passes(2)
        assert at.state("a.jpg") == at.state("b.png") == "done"
    assert at.simulator.committed_files() == hashes
    for name in ("a.jpg", "b.png"):
        assert at.simulator.committed_tags(at.hash_of(name)) == {0: {"one", "two"}}
        assert at.simulator.imports()[at.hash_of(name)] == 2
        assert at.is_moved(name)
        assert at.receipt(name, "add_file") == {"imported": at.hash_of(name)}


async def test_a_crash_between_import_and_tags_brings_the_file_back(bench):
    at = bench(**NEVER)
    async with at.running():
        await at.rest()
        at.simulator.inject(busy(ADD_TAGS))
        await at.notice("a.jpg")
        await at.rest()
        # What it is about to change is kept by then, and that it has not said how it ended.
        assert at.steps("a.jpg")["add_tags"] == ("later", "about to be done")
        at.simulator.crash()
        await at.passes(3)
        assert at.state("a.jpg") == "done"
    # Tags are taken for files that a client does not have: only the look-up shows the loss.
    assert at.simulator.committed_files() == {at.hash_of("a.jpg")}
    assert at.simulator.committed_tags(at.hash_of("a.jpg")) == {0: {"one", "two"}}
    assert at.is_moved("a.jpg")


async def test_what_survived_a_crash_is_not_sent_again_but_committed(bench):
    at = bench(**NEVER)
    async with at.running():
        await at.rest()
        at.simulator.inject(busy(FORCE_COMMIT))
        await at.notice("a.jpg")
        await at.rest()
        at.simulator.commit()
        at.simulator.crash()
        await at.passes(2)
        assert at.state("a.jpg") == "done"
    assert at.simulator.imports()[at.hash_of("a.jpg")] == 1
    assert at.simulator.requests[ADD_TAGS] == 1


async def test_a_tag_that_a_crash_lost_is_put_back_without_the_others(bench):
    at = bench(**NEVER)
    async with at.running(TWO_STEPS):
        await at.rest()
        at.simulator.inject(busy(ADD_TAGS, skip=1))
        await at.notice("a.jpg")
        await at.rest()
        at.simulator.commit()  # the file and the first tag
        at.simulator.inject(busy(FORCE_COMMIT))
        await at.passes(1)
        assert at.state("a.jpg") == "settling"
        at.simulator.crash()
        before = at.simulator.requests[ADD_TAGS]
        await at.passes(2)
        assert at.state("a.jpg") == "done"
        assert at.simulator.requests[ADD_TAGS] - before == 1
    assert at.simulator.committed_tags(at.hash_of("a.jpg")) == {0: {"one", "two"}}
    added = [a for step in at.job("a.jpg").steps[1:3] for a in step.receipt["added"].values()]
    assert [tags for each in added for tags in each.values()] == [["one"], ["two"]]
    assert at.simulator.imports()[at.hash_of("a.jpg")] == 1


async def test_a_file_that_the_user_deleted_meanwhile_is_not_forced_back(bench):
    at = bench(**NEVER)
    async with at.running():
        await at.rest()
        at.simulator.inject(busy(FORCE_COMMIT))
        await at.notice("a.jpg")
        await at.rest()
        at.simulator.commit()
        at.simulator._client.store.destroy_file(at.hash_of("a.jpg"), "by the user")
        at.simulator.commit()
        at.simulator.crash()
        await at.passes(2)
        assert at.state("a.jpg") == "skipped"
    assert at.simulator.files[at.hash_of("a.jpg")].status == "deleted"
    assert at.is_there("a.jpg")


@pytest.mark.parametrize("api_version", [95, 32])
async def test_a_file_that_a_restart_left_with_another_size_keeps_its_source(bench, api_version):
    # What a kill within a real client's commit can lead to: it takes one file for another.
    at = bench(**NEVER, api_version=api_version)
    async with at.running():
        await at.rest()
        if api_version == 95:
            at.simulator.inject(busy(FORCE_COMMIT))
        await at.notice("a.jpg", "b.png")
        await at.rest()
        at.simulator.commit()
        resize(at, at.hash_of("a.jpg"), 7)
        at.simulator.commit()
        at.simulator.crash()
        await at.passes(130)
        assert at.state("a.jpg") == "dead"
        assert (at.state("b.png"), at.is_moved("b.png")) == ("done", True)
        assert at.is_there("a.jpg")
        size = (at.folder / "inbox" / "a.jpg").stat().st_size
        assert f"with 7 bytes, and it has {size}" in at.dead["a.jpg"].detail
        assert await at.retry() == 1
        await at.passes(130)
        assert (at.state("a.jpg"), at.is_there("a.jpg")) == ("dead", True)
        resize(at, at.hash_of("a.jpg"), size)
        assert await at.retry() == 1
        await at.passes(130)
        assert (at.state("a.jpg"), at.is_moved("a.jpg")) == ("done", True)


def resize(at, sha256, size):
    """Let the client take a file for one of another size."""
    store = at.simulator._client.store
    with store.writing():
        entry = store.touch(sha256)
        entry.file = replace(entry.file, size=size)


async def test_a_tag_that_the_user_removed_meanwhile_is_not_forced_back(bench):
    at = bench(**NEVER)
    async with at.running():
        await at.rest()
        at.simulator.inject(busy(FORCE_COMMIT))
        await at.notice("a.jpg")
        await at.rest()
        remove_tag(at, at.hash_of("a.jpg"), "one")
        at.simulator.commit()
        at.simulator.crash()
        await at.passes(2)
        assert at.state("a.jpg") == "done"
    assert at.simulator.tags(at.hash_of("a.jpg")) == {0: {"two"}, 2: {"one"}}


def remove_tag(at, sha256, tag):
    """Remove a tag as the user can in the client."""
    store = at.simulator._client.store
    key = at.simulator._client.services.named("my tags").key
    with store.writing():
        statuses = store.touch(sha256).statuses(key)
        statuses.setdefault(0, set()).discard(tag)
        statuses.setdefault(2, set()).add(tag)


async def test_a_restart_while_the_daemon_is_down_is_noticed_too(bench):
    at = bench(**NEVER)
    async with at.running():
        await at.rest()
        at.simulator.inject(busy(FORCE_COMMIT))
        await at.notice("a.jpg")
        await at.rest()
    assert at.state("a.jpg") == "settling"
    at.simulator.crash()
    async with at.running():
        await at.rest()
        assert at.state("a.jpg") == "done"
    assert at.simulator.committed_files() == {at.hash_of("a.jpg")}
    assert at.simulator.imports()[at.hash_of("a.jpg")] == 2


async def test_a_client_that_goes_away_during_the_look_up_is_asked_again_later(bench):
    at = bench(**NEVER)
    async with at.running():
        await at.rest()
        at.simulator.inject(busy(FORCE_COMMIT))
        await at.notice("a.jpg")
        await at.rest()
        at.simulator.crash()
        at.simulator.inject(busy(SEARCH, times=2))
        await at.passes(1)
        assert (at.state("a.jpg"), at.is_there("a.jpg")) == ("settling", True)
        await at.passes(10)
        assert at.state("a.jpg") == "done"
    assert [entry.state.value for entry in at.told] == ["done"]


async def test_jobs_that_ended_are_told_of_even_if_the_look_up_of_others_fails(bench):
    tag_only = """
  - name: import
    on: {watch_folder: {path: inbox}}
    do: [add_file]
"""
    at = bench(**NEVER)
    async with at.running(tag_only):
        await at.rest()
        at.simulator.inject(busy(FORCE_COMMIT))
        await at.notice("old.jpg")
        await at.rest()
        at.simulator.crash()
        at.simulator.inject(busy(FORCE_COMMIT, skip=0))
        await at.passes(1)  # connected again, in the new boot; the commit is refused once more
        await at.notice("new.jpg")
        at.simulator.inject(busy(SEARCH, skip=1))  # the first is new.jpg's own look-up
        await at.passes(30)
        assert at.state("old.jpg") == at.state("new.jpg") == "done"
    assert sorted(entry.data["file"]["name"] for entry in at.told) == ["new.jpg", "old.jpg"]


async def test_a_look_up_that_cannot_be_done_does_it_again_instead_of_guessing(bench):
    at = bench(**NEVER)
    async with at.running():
        await at.rest()
        at.simulator.inject(busy(FORCE_COMMIT))
        await at.notice("a.jpg")
        await at.rest()
        at.simulator.crash()
        at.simulator.inject(
            Fault(kind=FaultKind.STATUS, path=SEARCH, status=500, words="index is damaged")
        )
        await at.passes(2)
        assert at.state("a.jpg") == "done"
    assert at.simulator.committed_files() == {at.hash_of("a.jpg")}


LOST = '''
from hydrusd.plugin import Action, Outcome, hookimpl

class Note(Action):
    """Changes the client in a way that it cannot look up."""

    action = "note"

    async def run(self, call):
        await call.client.add_tags([call.file_hash], {{"my tags": ["noted"]}})
        return Outcome.done("noted")

    {lost}

@hookimpl
def hydrusd_register_actions(register):
    register(Note)
'''

NOTE = """
  - name: import
    on: {watch_folder: {path: inbox}}
    do:
      - add_file:
      - note:
      - move_source: {to: moved}
"""


@pytest.mark.parametrize(
    "lost",
    [
        "",
        "@classmethod\n    async def lost(cls, calls): raise RuntimeError('oh')",
        "@classmethod\n    async def lost(cls, calls): raise SystemExit(3)",
        "@classmethod\n    async def lost(cls, calls): return None",
        "@classmethod\n    def lost(cls, calls): return list(calls)",
    ],
    ids=["default", "raises", "exits", "none", "sync"],
)
async def test_a_plugin_that_cannot_look_up_does_it_again(bench, lost):
    at = bench(**NEVER)
    (at.folder / "plugins").mkdir()
    (at.folder / "plugins" / "mine.py").write_text(LOST.format(lost=lost), encoding="utf-8")
    async with at.running(NOTE):
        await at.rest()
        at.simulator.inject(busy(ADD_TAGS))
        await at.notice("a.jpg")
        await at.rest()
        at.simulator.commit()  # the file, but not the note
        at.simulator.inject(busy(FORCE_COMMIT))
        await at.passes(1)
        assert at.state("a.jpg") == "settling"
        before = at.simulator.requests[ADD_TAGS]
        at.simulator.crash()
        await at.passes(2)
        assert at.state("a.jpg") == "done"
    assert at.simulator.committed_tags(at.hash_of("a.jpg")) == {0: {"noted"}}
    assert at.simulator.requests[ADD_TAGS] == before + 1
    assert at.simulator.imports()[at.hash_of("a.jpg")] == 1


async def test_what_is_disposed_of_is_not_looked_up_again_for_the_steps_after(bench):
    after = """
  - name: import
    on: {watch_folder: {path: inbox}}
    do:
      - add_file:
      - move_source: {to: moved}
      - add_tags: {my tags: late}
"""
    at = bench(**NEVER)
    async with at.running(after):
        await at.rest()
        at.simulator.inject(busy(FORCE_COMMIT, skip=2))  # the commit after the tags
        await at.notice("a.jpg")
        await at.rest()
        assert at.state("a.jpg") == "settling"
        assert at.is_moved("a.jpg")
        at.simulator.crash()
        at.simulator.inject(
            Fault(
                kind=FaultKind.STATUS,
                path=SEARCH,
                times=1000,
                status=500,
                words="index is damaged",
            )
        )
        await at.passes(2)
        assert at.state("a.jpg") == "done"
    assert at.simulator.committed_tags(at.hash_of("a.jpg")) == {0: {"late"}}


async def test_a_rule_that_cannot_be_looked_up_proves_nothing(bench):
    at = bench(**NEVER)
    async with at.running():
        await at.rest()
        at.simulator.inject(busy(FORCE_COMMIT))
        await at.notice("a.jpg")
        await at.rest()
    at.simulator.crash()
    other = "\n  - {name: other, on: {watch_folder: {path: inbox}}, do: [add_file]}\n"
    async with at.running(other):
        await at.notice("b.jpg")
        await at.skip(times=2)
        assert at.state("b.jpg") == "done"
        assert (at.state("a.jpg"), at.is_there("a.jpg")) == ("settling", True)
    async with at.running():
        await at.rest()
        assert at.state("a.jpg") == "done"
    assert at.hash_of("a.jpg") in at.simulator.committed_files()


async def test_a_settling_job_whose_former_rule_no_longer_loads_keeps_its_source(bench):
    at = bench(**NEVER)
    plugins = at.folder / "plugins"
    plugins.mkdir()
    (plugins / "mine.py").write_text(LOST.format(lost=""), encoding="utf-8")
    async with at.running(NOTE):
        await at.rest()
        at.simulator.inject(busy(FORCE_COMMIT))
        await at.notice("a.jpg")
        await at.rest()
    at.simulator.crash()
    (plugins / "mine.py").unlink()
    async with at.running():
        await at.rest()
        assert at.state("a.jpg") == "dead"
        assert "older form of the rule" in at.dead["a.jpg"].detail
        assert at.is_there("a.jpg")
        assert await at.retry() == 1
        await at.passes(6)
        assert at.state("a.jpg") == "done"
    assert at.simulator.committed_files() == {at.hash_of("a.jpg")}
    assert at.is_moved("a.jpg")


# --- the client cannot be told ------------------------------------------------------------


@pytest.mark.parametrize("config", FALLBACKS, ids=["no permission", "API 32", "API 11"])
async def test_without_force_commit_the_source_stays_for_the_whole_wait(bench, config):
    at = bench(**config)
    async with at.running(commit_wait_seconds=60):
        await at.notice("a.jpg")
        await at.passes(59)
        assert (at.state("a.jpg"), at.is_there("a.jpg")) == ("settling", True)
        await at.passes(2)
        assert (at.state("a.jpg"), at.is_moved("a.jpg")) == ("done", True)
    assert at.simulator.requests[FORCE_COMMIT] == 0


@pytest.mark.parametrize("config", FALLBACKS, ids=["no permission", "API 32", "API 11"])
async def test_a_crash_during_the_wait_redoes_and_restarts_it(bench, config):
    at = bench(**config)
    async with at.running(commit_wait_seconds=60):
        await at.notice("a.jpg")
        await at.passes(30)
        at.simulator.crash()
        await at.passes(31)
        # Looked up when the wait was over, and sent again: the wait begins anew.
        assert at.state("a.jpg") == "settling"
        assert list(at.simulator.imports().values()) == [2]
        assert at.simulator.tags(at.hash_of("a.jpg")) == {0: {"one", "two"}}
        await at.passes(58)
        assert (at.state("a.jpg"), at.is_there("a.jpg")) == ("settling", True)
        await at.passes(4)
        assert (at.state("a.jpg"), at.is_moved("a.jpg")) == ("done", True)


@pytest.mark.parametrize("config", FALLBACKS, ids=["no permission", "API 32", "API 11"])
async def test_a_restart_that_lost_nothing_restarts_the_wait_too(bench, config):
    at = bench(**config)
    async with at.running(commit_wait_seconds=60):
        await at.notice("a.jpg")
        await at.passes(30)
        at.simulator.shut_down()
        await at.passes(31)
        assert (at.state("a.jpg"), at.is_there("a.jpg")) == ("settling", True)
        await at.passes(60)
        assert at.state("a.jpg") == "done"
    assert list(at.simulator.imports().values()) == [1]


async def test_work_done_again_waits_as_long_as_any_other(bench):
    # Two files some time apart: the first one's look-up finds out what the second one lost.
    at = bench(**PARTLY_ALLOWED)
    async with at.running(commit_wait_seconds=60):
        await at.notice("a.jpg")
        await at.passes(40)
        await at.notice("b.jpg")
        await at.passes(10)
        at.simulator.crash()
        await at.passes(12)  # 62 s: the first is ripe, both are sent again
        assert at.state("a.jpg") == at.state("b.jpg") == "settling"
        assert set(at.simulator.imports().values()) == {2}
        await at.passes(45)  # 107 s: b's first wait would be over, the second one is not
        assert (at.state("b.jpg"), at.is_there("b.jpg")) == ("settling", True)
        await at.passes(20)
        assert at.state("a.jpg") == at.state("b.jpg") == "done"


async def test_a_daemon_that_starts_anew_begins_the_wait_anew(bench):
    at = bench(**PARTLY_ALLOWED)
    async with at.running(commit_wait_seconds=60):
        await at.notice("a.jpg")
        await at.passes(50)
    async with at.running(commit_wait_seconds=60):
        await at.passes(50)
        assert (at.state("a.jpg"), at.is_there("a.jpg")) == ("settling", True)
        await at.passes(11)
        assert at.state("a.jpg") == "done"


async def test_a_permission_to_commit_that_is_taken_away_means_waiting(bench):
    at = bench(**NEVER)
    async with at.running(commit_wait_seconds=60):
        await at.rest()
        at.simulator._client.access._keys.update(key_for(*PARTLY))
        await at.notice("a.jpg")
        await at.rest()
        assert at.state("a.jpg") == "settling"
        await at.passes(30)
        assert (at.state("a.jpg"), at.is_there("a.jpg")) == ("settling", True)
        await at.passes(40)
        assert (at.state("a.jpg"), at.is_moved("a.jpg")) == ("done", True)


async def test_a_client_that_cannot_commit_keeps_all_sources(bench):
    at = bench(**NEVER)
    async with at.running():
        await at.rest()
        at.simulator.inject(
            Fault(
                kind=FaultKind.STATUS,
                path=FORCE_COMMIT,
                times=10_000,
                status=500,
                words="database or disk is full",
            )
        )
        await at.notice("a.jpg")
        await at.passes(60)
        assert (at.state("a.jpg"), at.is_there("a.jpg")) == ("settling", True)
        at.simulator.clear_faults()
        await at.passes(61)
        assert at.state("a.jpg") == "done"
    assert DEFAULT_ACCESS_KEY not in str(at.condition("client", "hydrus"))


async def test_what_is_lost_again_and_again_is_given_up(bench, monkeypatch):
    monkeypatch.setattr(settling, "MOST_LOSSES", 2)
    at = bench(**PARTLY_ALLOWED)
    async with at.running():
        await at.rest()
        await at.notice("a.jpg")
        await at.rest()
        for _ in range(2):
            assert at.state("a.jpg") == "settling"
            at.simulator.crash()
            await at.passes(65)
        assert at.state("a.jpg") == "dead"
    assert at.is_there("a.jpg")
    assert [entry.state.value for entry in at.told] == ["dead"]
    assert "restarted 2 times" in at.told[0].detail


async def test_what_was_given_up_begins_again_and_keeps_its_source_until_then(bench, monkeypatch):
    monkeypatch.setattr(settling, "MOST_LOSSES", 2)
    at = bench(**PARTLY_ALLOWED)
    async with at.running():
        await at.rest()
        await at.notice("a.jpg")
        await at.rest()
        for _ in range(2):
            at.simulator.crash()
            await at.passes(65)
        assert at.state("a.jpg") == "dead"
        assert at.simulator.files == {}
        assert await at.retry() == 1
        await at.passes(30)
        # Nothing of it is in the client: it must not go on where it stood, at moving the source.
        assert (at.state("a.jpg"), at.is_there("a.jpg")) == ("settling", True)
        await at.passes(130)
        assert (at.state("a.jpg"), at.is_moved("a.jpg")) == ("done", True)
    assert at.simulator.tags(at.hash_of("a.jpg")) == {0: {"one", "two"}}
