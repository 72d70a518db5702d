"""The shipped plugin that looks files up on boards: a board on this machine, over real HTTP."""

from __future__ import annotations

import hashlib
import json
import sys
from pathlib import Path

import pytest
from pydantic import ValidationError

from hydrusd.clock import ManualClock
from hydrusd.daemon import load_plugins
from hydrusd.model import JobId, JobState, OutcomeKind, ParkScope, StepRecord
from hydrusd.plugin import Call, FileSource, HydrusUnavailable
from hydrusd.testing import paint

sys.path.insert(0, str(Path(__file__).parents[1] / "builtin"))

from outside import Hook

PICTURE = paint("a.png")
MD5 = hashlib.md5(PICTURE).hexdigest()


@pytest.fixture(scope="module")
def action():
    return load_plugins([]).actions["find_posts"]


@pytest.fixture
def board():
    hook = Hook()
    yield hook
    hook.close()


@pytest.fixture
def other():
    hook = Hook()
    yield hook
    hook.close()


class Looking:
    """Calls the step as a lane does, with a clock that is moved on for as long as it asks for."""

    def __init__(self, folder, action):
        self.path, self.action, self.clock = folder / "a.png", action, ManualClock()
        self.path.write_bytes(PICTURE)
        self.waited = 0.0

    def call(self, *boards, job_id=1, kind=None, values=None, **parameters):
        step = self.action.model_validate({"boards": list(boards), **parameters})
        data = {"file": FileSource.of(self.path, self.path.parent, self.path.lstat()).to_data()}
        steps = ()
        if kind is not None:
            steps = (StepRecord(0, "find_posts", kind, "as before", values or {}, None),)
        return Call(step, JobId(job_id), "a rule", data, None, self.clock, steps=steps)

    async def once(self, *boards, **given):
        call = self.call(*boards, **given)
        await self.action.run_set([call])
        return call.outcome

    async def look_up(self, *boards, **given):
        outcome = await self.once(*boards, **given)
        while outcome.kind is OutcomeKind.LATER:
            self.waited += outcome.delay_seconds
            await self.clock.advance(outcome.delay_seconds)
            kind, values = OutcomeKind.LATER, outcome.values
            outcome = await self.once(*boards, **given, kind=kind, values=values)
        return outcome


@pytest.fixture
def looking(tmp_path, action):
    return Looking(tmp_path, action)


def like(kind, hook, **more):
    return {"like": kind, "site": hook.url, **more}


POST = {"id": 17, "md5": MD5}


@pytest.mark.anyio
@pytest.mark.parametrize(
    ("kind", "answer", "asked", "page"),
    [
        ("danbooru", [POST], f"/posts.json?tags=md5:{MD5}&limit=1", "/posts/17"),
        (
            "gelbooru",
            {"@attributes": {"count": 1}, "post": [POST]},
            f"/index.php?page=dapi&s=post&q=index&json=1&limit=1&tags=md5:{MD5}",
            "/index.php?page=post&s=view&id=17",
        ),
        ("e621", {"posts": [{"id": 17, "file": {"md5": MD5.upper()}}]}, None, "/posts/17"),
        ("moebooru", [POST], f"/post.json?tags=md5:{MD5}&limit=1", "/post/show/17"),
    ],
)
async def test_boards_of_each_kind(looking, board, kind, answer, asked, page):
    board.answer(200, json.dumps(answer).encode())
    outcome = await looking.look_up(like(kind, board))
    assert outcome.kind is OutcomeKind.DONE, outcome.detail
    assert outcome.values["urls"] == [board.url + page]
    assert (outcome.values["url"], outcome.values["md5"]) == (board.url + page, MD5)
    [(method, path, headers, _)] = board.requests
    assert (method, headers["user-agent"].startswith("hydrusd/")) == ("GET", True)
    assert path == asked or asked is None


@pytest.mark.anyio
@pytest.mark.parametrize(
    "answer",
    [
        b"[]",
        b"",
        b"{}",
        b'{"posts": []}',
        b'{"posts": null}',
        # It has not understood, and gives what is newest; or it hides which file it is.
        json.dumps([{"id": 1, "md5": "0" * 32}]).encode(),
        b'[{"id": 1}]',
    ],
)
async def test_where_it_has_no_such_post_the_job_ends(looking, board, answer):
    board.answer(200, answer)
    outcome = await looking.look_up(like("danbooru", board))
    assert (outcome.kind, outcome.detail) == (OutcomeKind.SKIPPED, f"not on 127.0.0.1:{board.port}")
    board.answer(200, answer)
    await looking.clock.advance(5)
    outcome = await looking.look_up(like("danbooru", board), none="go_on")
    assert (outcome.kind, outcome.values["url"]) == (OutcomeKind.DONE, "")


@pytest.mark.anyio
async def test_boards_are_asked_in_their_order_until_one_has_it(looking, board, other):
    board.answer(200, b"[]")
    other.answer(200, json.dumps([POST]).encode())
    both = (like("danbooru", board), like("moebooru", other))
    outcome = await looking.look_up(*both)
    assert outcome.values["found"] == {board.url: "", other.url: f"{other.url}/post/show/17"}
    await looking.clock.advance(5)
    for hook in (board, other):
        hook.answer(200, json.dumps([POST]).encode())
    assert (await looking.look_up(*both)).values["urls"] == [f"{board.url}/posts/17"]
    await looking.clock.advance(5)
    board.answer(200, json.dumps([POST]).encode())
    outcome = await looking.look_up(*both, all_boards=True)
    assert outcome.values["urls"] == [f"{board.url}/posts/17", f"{other.url}/post/show/17"]


@pytest.mark.anyio
async def test_what_was_answered_is_not_asked_again(looking, board, other):
    board.answer(200, b"[]")
    both = (like("danbooru", board), like("moebooru", other))
    outcome = await looking.once(*both)
    assert (outcome.kind, outcome.values["found"]) == (OutcomeKind.LATER, {board.url: ""})
    # Killed here, it is called again with what was kept; also after a failure.
    other.answer(500)
    later = await looking.once(*both, kind=OutcomeKind.LATER, values=outcome.values)
    assert later.kind is OutcomeKind.RETRY
    await looking.clock.advance(60)
    other.answer(200, json.dumps([POST]).encode())
    done = await looking.once(*both, kind=OutcomeKind.RETRY, values=outcome.values)
    assert done.values["urls"] == [f"{other.url}/post/show/17"]
    again = await looking.once(*both, kind=OutcomeKind.DONE, values=done.values)
    assert (again.kind, again.values) == (OutcomeKind.DONE, done.values)
    assert (len(board.requests), len(other.requests)) == (1, 2)


@pytest.mark.anyio
async def test_a_board_is_asked_for_one_file_at_a_time_with_a_pause(looking, board):
    calls = [looking.call(like("danbooru", board), job_id=n, pause="3s") for n in range(4)]
    await looking.action.run_set(calls)
    assert len(board.requests) == 1
    assert [call.outcome.delay_seconds for call in calls[1:]] == [3, 6, 9]
    # Also where it is asked by several rules.
    assert (await looking.once(like("danbooru", board))).kind is OutcomeKind.LATER
    assert len(board.requests) == 1


@pytest.mark.anyio
async def test_one_in_trouble_is_left_alone_for_longer_and_longer(looking, board):
    for status, given, rest in [(503, {}, 30), (500, {}, 60), (429, {"Retry_After": "500"}, 500)]:
        board.answer(status, **given)
        outcome = await looking.once(like("danbooru", board))
        assert (outcome.kind, outcome.delay_seconds) == (OutcomeKind.RETRY, rest)
        waits = await looking.once(like("danbooru", board), job_id=2)
        assert (waits.kind, waits.delay_seconds) == (OutcomeKind.LATER, rest)
        await looking.clock.advance(rest)
    board.answer(200, b"<html>be right back")
    assert (await looking.once(like("danbooru", board))).detail.endswith("did not answer in JSON")
    assert len(board.requests) == 4


@pytest.mark.anyio
async def test_one_that_refuses_has_its_rule_wait(looking, board):
    board.answer(403)
    outcome = await looking.once(like("gelbooru", board))
    assert (outcome.kind, outcome.scope) == (OutcomeKind.PARK, ParkScope.RULE)
    assert "403: it may want a key" in outcome.detail


@pytest.mark.anyio
async def test_one_that_is_asked_wrongly_makes_a_dead_letter(looking, board):
    board.answer(404)
    own = {"site": board.url, "ask": "/find?h={md5}", "page": "/p/{id}", "posts": "data.0"}
    outcome = await looking.once(own)
    assert (outcome.kind, outcome.detail) == (
        OutcomeKind.DEAD,
        f"{board.url} answered 404: is `ask` right?",
    )
    await looking.clock.advance(5)
    board.answer(200, json.dumps({"data": [{"hash": MD5, "slug": "../x"}]}).encode())
    outcome = await looking.once({**own, "md5": "hash", "id": "slug"})
    assert (outcome.kind, "a post without a number" in outcome.detail) == (OutcomeKind.DEAD, True)


@pytest.mark.anyio
async def test_a_board_of_ones_own_and_its_key(looking, board, monkeypatch):
    monkeypatch.setenv("BOARD_KEY", "open-sesame-77")
    board.answer(200, json.dumps({"data": [{"hash": MD5, "slug": "a-b_c"}]}).encode())
    key = {"secret": "${env:BOARD_KEY}"}
    own = {
        "site": f"{board.url}/api/",
        "ask": "/find?h={md5}",
        "page": "/p/{id}",
        "posts": "data.0",
        "md5": "hash",
        "id": "slug",
        "query": {"api_key": key},
        "headers": {"User-Agent": "me", "X-Key": key},
    }
    outcome = await looking.look_up(own)
    assert outcome.values["url"] == f"{board.url}/api/p/a-b_c"
    [(_, path, headers, _)] = board.requests
    assert path == f"/api/find?h={MD5}&api_key=open-sesame-77"
    assert (headers["user-agent"], headers["x-key"]) == ("me", "open-sesame-77")
    assert "sesame" not in repr(looking.call(own).action)
    board.close()
    await looking.clock.advance(5)
    outcome = await looking.once(own)
    assert (outcome.kind, "sesame" in outcome.detail) == (OutcomeKind.RETRY, False)


@pytest.mark.anyio
async def test_where_hydrus_is_away_the_lane_is_told_so_and_the_others_go_on(looking, board, other):
    class Away:
        async def file_hashes(self, *_, **__):
            raise HydrusUnavailable("away")

    board.answer(200, json.dumps([POST]).encode())
    calls = [
        looking.call(like("danbooru", board), job_id=1),
        looking.call(like("danbooru", other), job_id=2),
    ]
    calls[1].data, calls[1].client, calls[1].file_hashes = {}, Away(), ["ab" * 32]
    with pytest.raises(HydrusUnavailable):
        await looking.action.run_set(calls)
    assert (calls[0].outcome.kind, calls[1].outcome) == (OutcomeKind.DONE, None)


@pytest.mark.anyio
async def test_planning_asks_nobody(looking, board):
    [seen] = await looking.action.plan([looking.call(like("danbooru", board))])
    assert (seen.changes, seen.detail) == (False, f"would ask 127.0.0.1:{board.port} for it")
    assert board.requests == []


@pytest.mark.parametrize(
    ("wrong", "told"),
    [
        ("danboru", "there is no board of that name here, but danbooru, gelbooru"),
        ({"site": "https://a.example"}, "say which board it is"),
        ({"site": "a.example", "like": "e621"}, "is no site"),
        ({"site": "https://me:pw@a.example", "like": "e621"}, "is no site"),
        ({"site": "https://a.example", "ask": "/find", "page": "/p/{id}"}, "must hold {md5}"),
        ({"site": "https://a.example", "like": "e621", "page": "/p"}, "must hold {md5}, and"),
        ({"site": "https://a.example", "like": "e621", "ask": "x{md5}"}, "must begin with /"),
    ],
)
def test_wrong_boards(action, wrong, told):
    with pytest.raises(ValidationError, match=told):
        action.model_validate({"boards": [wrong]})
    with pytest.raises(ValidationError, match="name at least one board"):
        action.model_validate({"boards": []})
    assert action.model_validate({"boards": "e621"}).boards[0].site == "https://e621.net"


RULES = """
rules:
  - name: where from
    on: {search: {tags: ["system:inbox"], backfill: true}}
    do:
      - find_posts: {boards: [{like: danbooru, site: "SITE"}], pause: 500ms}
      - associate_url: {add: "{{ steps.find_posts.urls }}"}
"""


def test_files_of_hydrus_get_the_address_of_their_post(project, board):
    made = project({"rules.yaml": RULES.replace("SITE", board.url)})
    sha256 = made.seed("a.png")
    board.answer(200, json.dumps([POST]).encode())
    made.run(jobs=1)
    assert [job.state for job in made.jobs] == [JobState.DONE], made.story()
    [row] = made.ask("/get_files/file_metadata", hash=sha256)["metadata"]
    assert row["known_urls"] == [f"{board.url}/posts/17"]
