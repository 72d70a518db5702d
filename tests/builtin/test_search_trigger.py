"""Files that enter a search: each once, none that was there before, whatever the client does."""

from __future__ import annotations

import hashlib

import pytest
from noticing import Context, Kept, hydrus, noticing
from pydantic import ValidationError

from hydrusd.builtin.triggers import search
from hydrusd.builtin.triggers.search import CONFIRM_SECONDS, MOST_GROWTH, Search
from hydrusd.errors import ConfigError, HydrusUnavailable, PermissionMissing, RequestRejected
from hydrusd.hydrus import FoundFiles, TagAction
from hydrusd.simulator import DEFAULT_ACCESS_KEY, Permissions, SimulatorConfig
from hydrusd.testing import paint

pytestmark = pytest.mark.anyio

SEARCHED = "/get_files/search_files"
MINUTE = 60.0


class Collection:
    """A client with files in it, and who speaks to it."""

    def __init__(self, simulator, client, folder):
        self.simulator = simulator
        self.client = client
        self._folder = folder

    async def add(self, name, *tags):
        content = paint(f"{name}.png")
        file = self._folder / f"{name}.png"
        file.write_bytes(content)
        await self.client.add_file(file)
        sha256 = hashlib.sha256(content).hexdigest()
        if tags:
            await self.client.add_tags([sha256], {"my tags": tags})
        return sha256

    async def tag(self, sha256, action):
        changes = {"my tags": {action: ["cat"]}}
        await self.client.change_tags([sha256], changes, readd_deleted=True)


@pytest.fixture(params=[95, 32, 11])
async def collection(stage, tmp_path, request):
    config = SimulatorConfig(api_version=request.param)
    async with hydrus(stage, config) as (simulator, client):
        yield Collection(simulator, client, tmp_path)


def searching(context, **parameters):
    return noticing(Search(**{"tags": ["cat"], **parameters}), context)


def listening(collection, kept=None):
    return Context(kept, collection.client, step_seconds=5)


async def test_from_now_on_only_what_enters_is_noticed(collection):
    there = await collection.add("a", "cat")
    await collection.add("b", "dog")
    async with searching(listening(collection)) as context:
        await context.until_told("working")
        first = await collection.add("c", "cat")
        await context.until(lambda: context.events)
        second = await collection.add("d", "cat")
        await context.until(lambda: len(context.events) == 2)
    assert context.data("hash") == [first, second]
    assert context.events[0].data["search"] == {
        "tags": ["cat"],
        "file_service": None,
        "tag_service": None,
    }
    assert [event.data["hash"] for event in context.passed] == [there]
    assert set(context.kept.passed.values()) == {"was in the search already when the rule began"}


async def test_backfill_takes_what_is_there_in_the_order_of_import(collection):
    hashes = [await collection.add(str(number), "cat") for number in range(5)]
    async with searching(listening(collection), backfill=True) as context:
        await context.until(lambda: len(context.events) == 5)
    assert context.data("hash") == hashes
    assert not context.passed


async def test_leaving_and_entering_again_is_no_news(collection):
    sha256 = await collection.add("a", "cat")
    async with searching(listening(collection), backfill=True) as context:
        await context.until(lambda: context.events)
        await collection.tag(sha256, TagAction.DELETE)
        asked = collection.simulator.requests[SEARCHED]
        await context.until(lambda: collection.simulator.requests[SEARCHED] > asked + 1)
        await collection.tag(sha256, TagAction.ADD)
        other = await collection.add("b", "cat")
        await context.until(lambda: len(context.events) > 1)
    assert context.data("hash") == [sha256, other]


async def test_what_enters_while_hydrusd_is_off_is_noticed_afterwards(collection):
    await collection.add("a", "cat")
    kept = Kept()
    async with searching(listening(collection, kept)) as context:
        await context.until_told("working")
    sha256 = await collection.add("b", "cat")
    async with searching(listening(collection, kept)) as again:
        await again.until(lambda: again.events)
    assert again.data("hash") == [sha256]
    assert not again.passed


async def test_a_beginning_that_was_cut_short_is_begun_again(collection, monkeypatch):
    monkeypatch.setattr(search, "BATCH", 2)
    hashes = [await collection.add(str(number), "cat") for number in range(5)]
    context = listening(collection)
    real = context.pass_over

    async def failing(events, reason, *, remember=None):
        if len(context.passed) == 4:
            raise RuntimeError("the disk is full")
        await real(events, reason, remember=remember)

    context.pass_over = failing
    with pytest.raises(ExceptionGroup):
        async with searching(context):
            await context.until(lambda: False)
    assert not context.kept.memory
    async with searching(listening(collection, context.kept)) as again:
        await again.until_told("working")
        assert set(again.kept.memory) == {"begun"}
        new = await collection.add("new", "cat")
        await again.until(lambda: again.events)
    assert again.data("hash") == [new]
    assert {key[-64:] for key in again.kept.passed} == set(hashes)


async def test_one_request_asks_for_all(stage, tmp_path):
    async with hydrus(stage) as (simulator, client):
        collection = Collection(simulator, client, tmp_path)
        await collection.add("a", "cat")
        async with searching(listening(collection)) as context:
            await context.until_told("working")
            before = simulator.requests
            polls = len(context.clock.asked_for)
            await context.until(lambda: len(context.clock.asked_for) >= polls + 4)
            asked = simulator.requests - before
            polls = len(context.clock.asked_for) - polls
    assert set(asked) == {"/get_files/search_files"}
    # One poll may have been under way when the counting began, another when it ended.
    assert abs(asked.total() - polls) <= 1


# --- clients that are away, or not themselves ------------------------------------------------


class Answers:
    """A client that answers each search as it is told: hashes, or an error."""

    def __init__(self, clock, *answers, took_seconds=0.0):
        self._answers = list(answers)
        self._clock = clock
        self._took_seconds = took_seconds
        self.asked = 0

    async def search_files(self, tags, **_):
        self.asked += 1
        if self._took_seconds:
            await self._clock.sleep(self._took_seconds)
        answer = self._answers.pop(0) if len(self._answers) > 1 else self._answers[0]
        if isinstance(answer, Exception):
            raise answer
        return FoundFiles((), tuple(answer))


HASHES = [f"{number:064x}" for number in range(1_200)]


def answered(*answers, kept=None, **how):
    context = Context(kept, step_seconds=5)
    context.client = Answers(context.clock, *answers, **how)
    return context


async def test_an_empty_answer_is_no_beginning_until_it_is_repeated():
    context = answered([], HASHES, HASHES)
    async with searching(context):
        await context.until(lambda: context.client.asked == 4)
    assert len(context.passed) == len(HASHES)
    assert not context.events
    assert context.clock.asked_for[0] == CONFIRM_SECONDS


async def test_an_empty_search_is_begun_when_it_was_empty_twice():
    context = answered([], [], HASHES[:1])
    async with searching(context):
        await context.until(lambda: context.events)
    assert not context.passed
    assert context.data("hash") == HASHES[:1]


async def test_a_client_lost_between_two_empty_answers_makes_no_beginning():
    kept = Kept()
    with pytest.raises(ExceptionGroup) as raised:
        async with searching(answered([], HydrusUnavailable("gone"), kept=kept)) as context:
            await context.until(lambda: False)
    assert raised.group_contains(HydrusUnavailable)
    assert not kept.memory
    async with searching(answered(HASHES, kept=kept)) as again:
        await again.until_told("working")
    assert len(again.passed) == len(HASHES)


async def test_an_empty_answer_later_makes_nothing_new_of_the_old():
    context = answered(HASHES, HASHES, [], HASHES)
    async with searching(context, backfill=True):
        await context.until(lambda: context.client.asked == 6)
    assert context.data("hash") == HASHES
    assert len(context.events) == len(HASHES)


async def test_only_what_was_not_there_the_last_time_is_compared():
    context = answered(HASHES)
    asked = []
    real = context.unseen

    async def counted(keys):
        asked.append(len(keys))
        return await real(keys)

    context.unseen = counted
    async with searching(context, backfill=True):
        await context.until(lambda: context.client.asked == 5)
    assert sum(asked) == len(HASHES)


async def test_while_nothing_comes_it_asks_less_often_and_then_as_before():
    one, two = HASHES[:1], HASHES[:2]
    context = answered(one, one, one, one, one, one, two)
    async with searching(context, every="1m", backfill=True):
        await context.until(lambda: len(context.clock.asked_for) >= 8)
    longest = MOST_GROWTH * MINUTE
    assert context.clock.asked_for[:8] == [60, 90, 135, 202.5, longest, longest, 60, 90]


async def test_a_client_that_takes_long_is_left_alone_for_long():
    context = answered(HASHES[:1], took_seconds=10.0)
    async with searching(context, every="1m", backfill=True):
        await context.until(lambda: len(context.clock.asked_for) >= 6)
    assert context.clock.asked_for[:4] == [10, 200, 10, 200]


async def test_a_hundred_thousand_files_are_passed_over_and_one_more_is_noticed():
    many = [f"{number:064x}" for number in range(100_000)]
    context = answered(many, [*many, "f" * 64])
    async with searching(context):
        await context.until(lambda: context.events)
    assert context.data("hash") == ["f" * 64]
    assert len(context.passed) == len(many)


async def test_errors_of_the_client_are_left_to_the_engine(stage):
    few = {DEFAULT_ACCESS_KEY: Permissions(name="few", basic=frozenset({1, 2}))}
    async with hydrus(stage, SimulatorConfig(access_keys=few)) as (_, client):
        with pytest.raises(ExceptionGroup) as raised:
            async with searching(Context(client=client)) as context:
                await context.until(lambda: False)
    assert raised.group_contains(PermissionMissing)
    async with hydrus(stage) as (_, client):
        with pytest.raises(ExceptionGroup) as raised:
            async with searching(Context(client=client), tags="system:nonsense") as context:
                await context.until(lambda: False)
    assert raised.group_contains(RequestRejected)


# --- what is searched for --------------------------------------------------------------------


@pytest.mark.parametrize("collection", [95, 32], indirect=True)
async def test_terms_are_those_of_hydrus(collection):
    await collection.add("a", "cat", "creator:x")
    wanted = await collection.add("b", "dog", "creator:y")
    await collection.add("c", "dog", "bad", "creator:y")
    tags = [["cat", "dog"], "-bad", "creator:*", "-creator:x", "system:inbox"]
    async with searching(listening(collection), tags=tags, backfill=True) as context:
        await context.until(lambda: context.events)
        await context.until(lambda: len(context.clock.asked_for) == 2)
    assert context.data("hash") == [wanted]
    assert context.events[0].data["search"]["tags"] == tags


@pytest.mark.parametrize("collection", [95, 32], indirect=True)
async def test_services_narrow_a_search(collection):
    sha256 = await collection.add("a", "cat")
    services = {"file_service": "my files", "tag_service": "my tags"}
    async with searching(listening(collection), backfill=True, **services) as context:
        await context.until(lambda: context.events)
    elsewhere = {"file_service": "trash", "tag_service": "all known tags"}
    async with searching(listening(collection), backfill=True, **elsewhere) as nothing:
        await nothing.until(lambda: len(nothing.clock.asked_for) == 2)
        await collection.client.delete_files([sha256])
        await nothing.until(lambda: nothing.events)
    assert nothing.data("hash") == context.data("hash") == [sha256]
    assert {event.key for event in nothing.events} != {event.key for event in context.events}


@pytest.mark.parametrize(
    ("wrong", "path"),
    [("file_service: my flies", "my files"), ("tag_service: my tgas", "my tags")],
)
def test_services_that_are_not_there_are_named_at_once(project, wrong, path):
    rules = f"""
rules:
  - name: a
    on:
      search:
        tags: cat
        {wrong}
    do: [add_tags: {{my tags: x}}]
"""
    with pytest.raises(ConfigError, match=f"did you mean '{path}'"):
        project({"rules.yaml": rules}).run()


def test_parameters_are_checked():
    for wrong in ({"tags": []}, {"tags": [" "]}, {"tags": [[]]}, {"tags": [[["a"]]]}, {}):
        with pytest.raises(ValidationError):
            Search(**wrong)
    assert Search(tags=" cat ").tags == ("cat",)


# --- with a daemon around it -----------------------------------------------------------------

RULES = """
client: {url: '{url}', access_key: '{access_key}', commit_wait: 100ms}
rules:
  - name: sort
    on: {search: {tags: [cat], every: 50ms, backfill: BACKFILL}}
    if: CONDITION
    do:
      - add_tags: {my tags: "found by {{ search.tags[0] }}"}
"""


def ruled(backfill, condition="1 == 1"):
    text = RULES.replace("BACKFILL", backfill).replace("CONDITION", condition)
    return {"rules.yaml": text}


def seeded(made, name):
    """Put a file with the tag into the client, as its user can."""
    sha256 = made.seed(name)
    client = made.simulator._client
    with client.store.writing():
        mine = client.store.touch(sha256).statuses(client.services.named("my tags").key)
        mine[0] = {"cat"}
    return sha256


def begun(made):
    return any(c.kind == "trigger" and c.state == "working" for c in made.conditions)


@pytest.mark.parametrize("api_version", [95, 32, 11])
def test_the_steps_are_about_the_file_found(project, api_version):
    config = SimulatorConfig(api_version=api_version)
    made = project(ruled("false"), config)
    there = seeded(made, "a.png")
    made.run(until=begun)
    new = seeded(made, "b.png")
    made.run(jobs=1).assert_success()
    assert made.simulator.tags(new) == {0: {"cat", "found by cat"}}
    assert made.simulator.tags(there) == {0: {"cat"}}
    assert len(made.jobs) == 1


def test_a_rewritten_rule_gets_what_it_did_not_want_but_not_what_was_passed_over(project):
    made = project(ruled("false", "hash == 'x'"))
    there = seeded(made, "a.png")
    made.run(until=begun)
    new = seeded(made, "b.png")
    asked = made.simulator.requests[SEARCHED]
    made.run(until=lambda made: made.simulator.requests[SEARCHED] > asked + 2)
    assert not made.jobs
    made.write(ruled("false"))
    made.run(jobs=1).assert_success()
    assert made.simulator.tags(new) == {0: {"cat", "found by cat"}}
    assert made.simulator.tags(there) == {0: {"cat"}}
