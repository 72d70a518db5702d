"""What each action did and a restart of the client lost: looked up in batches, done again.

Also how often a client is told to commit, and one that can be told and has no boot id.
"""

from __future__ import annotations

import json
import math
from dataclasses import dataclass

import pytest
from bench import key_for

from hydrusd.simulator import Fault, FaultKind

pytestmark = pytest.mark.anyio

FORCE_COMMIT = "/manage_database/force_commit"
ADD_FILE = "/add_files/add_file"
FAVOURITES = "6661766f757269746573"
URL = "https://pictures.example/1"
DATED = 1_700_000_000
NEVER = {"commit_seconds": math.inf}


@dataclass(frozen=True)
class Doing:
    """A step, where its change goes to, and how to see in what is committed that it is done."""

    step: str
    path: str
    is_done: object


DOINGS = {
    "add_tags": Doing(
        "{my tags: one}",
        "/add_tags/add_tags",
        lambda entry: any(statuses.get(0) == {"one"} for statuses in entry.tags.values()),
    ),
    "associate_url": Doing(
        f"{{add: '{URL}'}}", "/add_urls/associate_url", lambda entry: entry.known_urls == (URL,)
    ),
    "set_notes": Doing(
        "{notes: {source: here}}", "/add_notes/set_notes", lambda e: e.notes == {"source": "here"}
    ),
    "set_rating": Doing(
        "{service: favourites, rating: like}",
        "/edit_ratings/set_rating",
        lambda entry: entry.ratings == {FAVOURITES: True},
    ),
    "set_time": Doing(
        f"{{kind: modified_on_web, domain: pictures.example, at: {DATED} s}}",
        "/edit_times/set_time",
        lambda entry: entry.site_times == {"pictures.example": DATED},
    ),
    "archive_file": Doing("{}", "/add_files/archive_files", lambda entry: not entry.file.inbox),
    "add_viewing_time": Doing(
        "{time: 10s}",
        "/edit_times/increment_file_viewtime",
        lambda entry: entry.viewings[0][:2] == (1, 10.0),
    ),
    "set_viewing_time": Doing(
        "{views: 3, time: 30s, canvas: preview}",
        "/edit_times/set_file_viewtime",
        lambda entry: entry.viewings[1][:2] == (3, 30.0),
    ),
}
EVERYTHING = [f"{name}: {doing.step}" for name, doing in DOINGS.items()]


def rules(*steps):
    listed = "".join(f"      - {step}\n" for step in ("add_file:", *steps))
    return (
        f"\n  - name: import\n    on: {{watch_folder: {{path: inbox}}}}\n    do:\n{listed}"
        "      - move_source: {to: moved}\n"
    )


def busy(path, times=1):
    return Fault(kind=FaultKind.STATUS, path=path, times=times, status=503)


def committed(at, name):
    return at.simulator._client.store.committed(at.hash_of(name))


@pytest.mark.parametrize("name", DOINGS)
async def test_what_a_step_did_is_done_again_from_that_step_on(bench, name):
    doing = DOINGS[name]
    at = bench(**NEVER)
    async with at.running(rules(f"{name}: {doing.step}")):
        await at.rest()
        at.simulator.inject(busy(doing.path))
        await at.notice("a.jpg")
        await at.rest()
        at.simulator.commit()  # the file, and not what comes after it
        at.simulator.inject(busy(FORCE_COMMIT))
        await at.passes(2)
        assert at.state("a.jpg") == "settling"
        at.simulator.crash()
        assert committed(at, "a.jpg").file.is_current
        before = at.simulator.requests.copy()
        await at.passes(5)
        assert (at.state("a.jpg"), at.is_moved("a.jpg")) == ("done", True)
        done = at.simulator.requests - before
    assert doing.is_done(committed(at, "a.jpg"))
    assert (done[doing.path], done[ADD_FILE]) == (1, 0)


async def test_what_was_kept_is_not_done_again(bench):
    at = bench(**NEVER)
    async with at.running(rules(*EVERYTHING)):
        await at.rest()
        at.simulator.inject(busy(FORCE_COMMIT))
        await at.notice("a.jpg")
        await at.rest()
        at.simulator.commit()
        at.simulator.crash()
        before = at.simulator.requests.copy()
        await at.passes(5)
        assert at.state("a.jpg") == "done"
        done = at.simulator.requests - before
    assert not done.keys() & {ADD_FILE, *(doing.path for doing in DOINGS.values())}
    assert done[FORCE_COMMIT] == 4  # the first two find it out, the others prove what is there


async def test_all_that_many_files_lost_is_looked_up_in_batches_and_done_again(bench):
    names = [f"{n}.png" for n in range(25)]
    at = bench(**NEVER)
    async with at.running(rules(*EVERYTHING)):
        await at.rest()
        at.simulator.inject(busy(FORCE_COMMIT))
        await at.notice(*names)
        await at.rest()
        at.simulator.crash()
        before = at.simulator.requests.copy()
        await at.passes(5)
        assert {at.state(name) for name in names} == {"done"}
        done = at.simulator.requests - before
    for name in names:
        entry = committed(at, name)
        assert [n for n, doing in DOINGS.items() if not doing.is_done(entry)] == []
    assert set(at.simulator.imports().values()) == {2}
    looks = {path: count for path, count in done.items() if path.startswith("/get_files/")}
    assert max(looks.values()) <= 2 * (len(DOINGS) + 2)  # a few for each step, none for each file


async def test_a_key_that_may_not_look_has_everything_done_again(bench):
    at = bench(**NEVER, access_keys=key_for(1, 2, 6))  # import, tags, commit; no search
    async with at.running():
        await at.rest()
        at.simulator.inject(busy(FORCE_COMMIT))
        await at.notice("a.jpg", "b.png")
        await at.rest()
        assert at.simulator.requests[ADD_FILE] == 2
        at.simulator.commit()
        at.simulator.crash()
        await at.passes(5)
        assert at.state("a.jpg") == at.state("b.png") == "done"
        assert at.simulator.requests[ADD_FILE] == 4
    assert set(at.simulator.imports().values()) == {1}
    for name in ("a.jpg", "b.png"):
        assert at.simulator.committed_tags(at.hash_of(name)) == {0: {"one", "two"}}


# --- how often ----------------------------------------------------------------------------


async def test_nothing_to_prove_is_no_commit(bench):
    at = bench(**NEVER)
    only_local = """
  - name: note
    on: {watch_folder: {path: inbox}}
    do: [log: {message: seen}]
"""
    async with at.running(only_local):
        await at.notice("a.jpg")
        await at.passes(120)
        assert at.state("a.jpg") == "done"
    assert at.simulator.requests[FORCE_COMMIT] == 0


async def test_one_commit_serves_all_rules(bench):
    at = bench(**NEVER)
    both = rules("add_tags: {my tags: one}").replace("move_source: {to: moved}", "archive_file:")
    async with at.running(both + both.replace("name: import", "name: again")):
        await at.notice(*(f"{n}.png" for n in range(20)))
        await at.rest()
        assert {job.state.value for job in at.jobs} == {"done"}
        assert len(at.jobs) == 40
    assert at.simulator.requests[FORCE_COMMIT] == 2


async def test_a_slow_commit_is_followed_by_a_rest(bench):
    at = bench(**NEVER)
    async with at.running():
        await at.rest()
        at.simulator.inject(Fault(kind=FaultKind.SLOW, path=FORCE_COMMIT, seconds=0.2))
        await at.notice("a.jpg", "b.png")
        await at.wait(lambda: at.simulator.requests[FORCE_COMMIT] == 1)
        at.clock.move(at.clock.elapsed + 0.3)  # so long it takes, by the lane's clock
        await at.rest()
        assert at.state("a.jpg") == "done"
        before = at.simulator.requests[FORCE_COMMIT]
        for number in range(5):
            await at.notice(f"{number}.png")
            await at.passes(0.5)
        assert at.simulator.requests[FORCE_COMMIT] == before
        assert {at.state(f"{n}.png") for n in range(5)} == {"settling"}
        await at.passes(1)
        assert {at.state(f"{n}.png") for n in range(5)} == {"done"}
        assert at.simulator.requests[FORCE_COMMIT] == before + 2


# --- a client that can be told to commit and has no boot id: API 76 to 91 -------------------


class WithoutBoots:
    """The newest client, but as it was when nothing told one run of it from another."""

    def __init__(self, simulator):
        self._app = simulator.app

    async def app(self, scope, receive, send):
        match scope["path"]:
            case "/api_version":
                await answer(send, 200, {"version": 85, "hydrus_version": 640})
            case "/client_info":
                await answer(send, 404, {"error": "This service does not support that request!"})
            case _:
                await self._app(scope, receive, send)


async def answer(send, status, content):
    body = json.dumps(content).encode()
    headers = [(b"content-type", b"application/json"), (b"content-length", b"%d" % len(body))]
    await send({"type": "http.response.start", "status": status, "headers": headers})
    await send({"type": "http.response.body", "body": body})


async def test_without_boot_ids_the_death_of_the_session_tells_of_a_restart(bench, stage):
    at = bench(**NEVER)
    stage[0].simulator = WithoutBoots(at.simulator)
    async with at.running():
        await at.rest()
        assert at.client.info.api_version == 85
        at.simulator.inject(busy(FORCE_COMMIT))
        await at.notice("a.jpg")
        await at.rest()
        assert at.state("a.jpg") == "settling"
        at.simulator.crash()
        await at.passes(3)
        assert (at.state("a.jpg"), at.is_moved("a.jpg")) == ("done", True)
        await at.notice("b.png")
        await at.rest()
        assert at.state("b.png") == "done"
    assert at.simulator.committed_files() == {at.hash_of("a.jpg"), at.hash_of("b.png")}
    assert at.simulator.committed_tags(at.hash_of("a.jpg")) == {0: {"one", "two"}}
    assert at.simulator.imports()[at.hash_of("a.jpg")] == 2
    assert at.simulator.requests["/client_info"] == 0


async def test_without_boot_ids_a_restart_after_the_commit_proves_nothing_but_costs_nothing(
    bench, stage
):
    at = bench(**NEVER)
    stage[0].simulator = WithoutBoots(at.simulator)
    async with at.running():
        await at.rest()
        at.simulator.inject(busy(FORCE_COMMIT))
        await at.notice("a.jpg")
        await at.rest()
        at.simulator.commit()
        at.simulator.crash()
        await at.passes(3)
        assert at.state("a.jpg") == "done"
    assert at.simulator.imports()[at.hash_of("a.jpg")] == 1
