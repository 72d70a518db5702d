"""URLs in lists: each once, by Hydrus' form of it, whatever becomes of list and client."""

from __future__ import annotations

import json
import os
from pathlib import Path

import pytest
from noticing import Context, Kept, hydrus, noticing
from pydantic import ValidationError

from hydrusd.builtin.triggers.url_list import MOST_TOLD, UrlList
from hydrusd.simulator import DEFAULT_ACCESS_KEY, Fault, FaultKind, Permissions, SimulatorConfig

pytestmark = pytest.mark.anyio

ASKED = "/add_urls/get_url_info"
SAFEBOORU = "https://safebooru.org/index.php?page=post&s=view&id={}"
SORTED = "https://safebooru.org/index.php?id={}&page=post&s=view"


def url(number):
    return f"https://site.example/posts/{number}"


def written(path, *lines, mode="w"):
    path.parent.mkdir(exist_ok=True)
    with path.open(mode, encoding="utf-8", newline="\n") as file:
        file.write("".join(f"{line}\n" for line in lines))
    return path


def watching(path, context, **parameters):
    return noticing(UrlList(path=path, **parameters), context)


@pytest.fixture
def path(tmp_path):
    return tmp_path / "lists" / "list.txt"


@pytest.fixture
async def client(stage):
    async with hydrus(stage, SimulatorConfig(api_version=32)) as (simulator, client):
        client.simulator = simulator
        yield client


async def test_each_line_is_an_event_with_its_tags(path, client):
    written(path, "# mine", f"{url(1)}#top  creator:a b, series:c  # why", "", url(2))
    context = Context(client=client)
    async with watching(path, context):
        await context.until(lambda: len(context.events) == 2)
    assert context.events[0].data == {
        "url": f"{url(1)}#top",
        "normalised": url(1),
        "tags": ["creator:a b", "series:c"],
        "list": {"path": str(path), "name": "list.txt"},
        "line": 2,
    }
    assert context.data("line") == [2, 4]
    assert context.told == [("working", f"watching {path}")]


async def test_the_same_page_written_differently_is_noticed_once(path, client):
    written(path, f"{SAFEBOORU.format(1)} first", f"{SORTED.format(1)} second", url(1), url(1))
    written(path, f"{SAFEBOORU.format(1)}&x=y", f"{url(2)}", mode="a")
    context = Context(client=client)
    async with watching(path, context):
        await context.until(lambda: url(2) in context.data("normalised"))
    assert context.data("normalised") == [SORTED.format(1), url(1), url(2)]
    assert context.events[0].data["url"] == SAFEBOORU.format(1)
    assert context.events[0].data["tags"] == ["first"]


async def test_appended_lines_are_noticed_and_the_others_not_asked_about_again(path, client):
    written(path, url(1))
    context = Context(client=client)
    async with watching(path, context):
        for number in range(2, 5):
            await context.until(lambda n=number: len(context.events) == n - 1)
            written(path, url(number), mode="a")
        await context.until(lambda: len(context.events) == 4)
    assert client.simulator.requests[ASKED] == 4
    assert context.data("line") == [1, 2, 3, 4]


async def test_of_a_rewritten_list_only_the_new_lines_are_news(path, client):
    written(path, url(1), url(2), url(3))
    context = Context(client=client)
    async with watching(path, context):
        await context.until(lambda: len(context.events) == 3)
        written(path, url(4), url(3), url(1))
        await context.until(lambda: len(context.events) == 4)
    assert context.data("normalised")[3:] == [url(4)]
    assert context.events[3].data["line"] == 1


async def test_a_list_moved_into_place_is_noticed(path, tmp_path, client):
    context = Context(client=client)
    async with watching(path, context):
        await context.until_told("waiting")
        assert "does not exist" in context.told[-1][1]
        written(tmp_path / "elsewhere.txt", url(1))
        path.parent.mkdir()
        (tmp_path / "elsewhere.txt").replace(path)
        await context.until(lambda: context.events)
        assert context.told[-1][0] == "working"


async def test_a_folder_has_lists_of_the_right_name_only(path, client):
    folder = path.parent
    written(folder / "a.txt", url(1))
    written(folder / "b.urls", url(2))
    written(folder / "c.txt.part", url(3))
    written(folder / "below" / "d.txt", url(4))
    context = Context(client=client)
    async with watching(folder, context):
        await context.until(lambda: len(context.events) == 2)
        written(folder / "e.txt", url(1), url(5))
        await context.until(lambda: len(context.events) == 3)
        (folder / "a.txt").unlink()
        written(folder / "e.txt", url(6), mode="a")
        await context.until(lambda: len(context.events) == 4)
    assert context.data("normalised") == [url(1), url(4), url(5), url(6)]
    assert [found["name"] for found in context.data("list")] == ["a.txt", "d.txt"] + ["e.txt"] * 2
    again = Context(client=client)
    async with watching(folder, again, include=["*.urls"], recursive=False):
        await again.until(lambda: again.events)
    assert again.data("normalised") == [url(2)]


async def test_a_restart_asks_the_client_nothing_that_it_has_said(path, client):
    written(path, *(SAFEBOORU.format(n) for n in range(30)), *(url(n) for n in range(30)))
    kept = Kept()
    async with watching(path, Context(kept, client)) as context:
        await context.until(lambda: len(context.events) == 60)
    asked = client.simulator.requests[ASKED]
    assert asked == 60
    written(path, url(99), mode="a")
    async with watching(path, Context(kept, client)) as again:
        await again.until(lambda: again.events)
    assert again.data("normalised") == [url(99)]
    assert client.simulator.requests[ASKED] == asked + 1


async def test_a_rule_that_was_rewritten_gets_again_what_it_did_not_want(path, client):
    written(path, SAFEBOORU.format(1), SAFEBOORU.format(2), url(3))
    kept = Kept()
    async with watching(path, Context(kept, client)) as context:
        await context.until(lambda: len(context.events) == 3)
    kept.keys -= {event.key for event in context.events[1:]}
    memory = dict(kept.memory)
    async with watching(path, Context(kept, client)) as again:
        await again.until(lambda: len(again.events) == 2)
    assert again.data("normalised") == [SORTED.format(2), url(3)]
    assert kept.memory == memory


async def test_nothing_is_lost_where_handing_over_fails(path, client):
    written(path, *(SAFEBOORU.format(n) for n in range(3)))
    kept = Kept()
    context = Context(kept, client)
    context.fail_emits = 1
    with pytest.raises(ExceptionGroup, match="unhandled"):
        async with watching(path, context):
            await context.until(lambda: False)
    assert not kept.keys
    assert not kept.memory
    async with watching(path, Context(kept, client)) as again:
        await again.until(lambda: len(again.events) == 3)


async def test_a_client_that_is_away_is_waited_for_and_nothing_is_lost(path, stage):
    written(path, url(1), "nonsense", SAFEBOORU.format(2))
    async with hydrus(stage, SimulatorConfig(api_version=32), connected=False) as (_, client):
        context = Context(client=client)
        async with watching(path, context):
            await context.until_told("waiting")
            for _ in range(100):
                await context.pass_time(1)
            assert context.told[-1][0] == "waiting"
            assert len(context.told) == 2
            await client.connect()
            await context.until(lambda: len(context.events) == 2)
            assert context.told[-1] == ("working", f"watching {path}")
    assert context.data("normalised") == [url(1), SORTED.format(2)]
    assert len(context.warnings) == 1


@pytest.mark.parametrize("api_version", [95, 32, 11])
async def test_a_line_that_is_no_url_is_named_once_with_its_place(path, stage, api_version):
    written(path, url(1), "www.site.example/2", url(3))
    async with hydrus(stage, SimulatorConfig(api_version=api_version)) as (_, client):
        context = Context(client=client)
        async with watching(path, context):
            await context.until(lambda: len(context.events) == 2)
            written(path, "", url(1), "www.site.example/2", url(3), url(4))
            await context.until(lambda: len(context.events) == 3)
    assert context.data("normalised") == [url(1), url(3), url(4)]
    (warning,) = context.warnings
    assert warning.startswith(f"{path}:2: is no URL: 'www.site.example/2'; does it lack https://")


async def test_a_file_full_of_nonsense_fills_no_log(path, client):
    written(path, *(f"nonsense {n} x{n}" for n in range(50)), *(f"n{n}" for n in range(50)), url(1))
    context = Context(client=client)
    async with watching(path, context):
        await context.until(lambda: context.events)
    assert len(context.warnings) <= MOST_TOLD + 1
    assert "no others are named" in context.warnings[-1]


async def test_what_the_client_refuses_is_named_and_the_others_go_on(path, client):
    written(path, url(1), url(2), url(3))
    client.simulator.inject(Fault(kind=FaultKind.STATUS, path=ASKED, status=400))
    context = Context(client=client)
    async with watching(path, context):
        await context.until(lambda: len(context.events) == 2)
    assert context.data("normalised") == [url(2), url(3)]
    assert f"{path}:1: is refused by Hydrus" in context.warnings[0]


async def test_what_the_client_stumbles_over_is_taken_as_it_is_written(path, client):
    written(path, SAFEBOORU.format(1), SAFEBOORU.format(2))
    client.simulator.inject(Fault(kind=FaultKind.STATUS, path=ASKED, status=500))
    context = Context(client=client)
    async with watching(path, context):
        await context.until(lambda: len(context.events) == 2)
    assert context.data("normalised") == [SAFEBOORU.format(1), SORTED.format(2)]


async def test_without_permission_urls_are_told_apart_as_they_are_written(path, stage):
    keys = {DEFAULT_ACCESS_KEY: Permissions(name="few", basic=frozenset({1, 2}))}
    written(path, "HTTPS://Site.example:443/posts/1", url(1), SAFEBOORU.format(1), url(2))
    config = SimulatorConfig(access_keys=keys, api_version=32)
    async with hydrus(stage, config) as (simulator, client):
        kept = Kept()
        async with watching(path, Context(kept, client)) as context:
            await context.until(lambda: len(context.events) == 3)
            written(path, url(3), mode="a")
            await context.until(lambda: len(context.events) == 4)
        assert simulator.requests[ASKED] == 0
    assert context.data("normalised") == [url(1), SAFEBOORU.format(1), url(2), url(3)]
    (warning,) = context.warnings
    assert "add urls for processing" in warning
    # Once the permission is there, nothing is noticed a second time.
    written(path, url(4), mode="a")
    async with hydrus(stage, SimulatorConfig(api_version=32)) as (_, client):
        async with watching(path, Context(kept, client)) as again:
            await again.until(lambda: again.events)
        assert again.data("normalised") == [url(4)]


async def test_a_permission_given_meanwhile_is_used(path, stage):
    few = {DEFAULT_ACCESS_KEY: Permissions(name="few", basic=frozenset({1, 2}))}
    written(path, url(1))
    async with hydrus(stage, SimulatorConfig(access_keys=few, api_version=32)) as (_, client):
        context = Context(client=client)
        async with watching(path, context):
            await context.until(lambda: context.events)
            with_all = SimulatorConfig(api_version=32)
            async with hydrus(stage, with_all):
                await client.connect()
                written(path, SAFEBOORU.format(1), mode="a")
                await context.until(lambda: len(context.events) == 2)
    assert context.data("normalised") == [url(1), SORTED.format(1)]


async def test_a_list_that_cannot_be_read_is_named_once(path, client, monkeypatch):
    written(path, url(1))
    real = Path.open
    locked = True

    def guarded(self, *args, **kwargs):
        if self == path and locked:
            raise PermissionError(13, "somebody else has it open")
        return real(self, *args, **kwargs)

    monkeypatch.setattr(Path, "open", guarded)
    context = Context(client=client)
    async with watching(path, context):
        await context.until(lambda: context.warnings)
        for _ in range(30):
            await context.pass_time(1)
        locked = False
        await context.until(lambda: context.events)
    assert context.warnings == [f"{path} cannot be read: somebody else has it open"]


async def test_a_folder_that_cannot_be_looked_into_is_named_once(path, client, monkeypatch):
    written(path, url(1))
    below = path.parent / "below"
    written(below / "b.txt", url(2))
    real = os.scandir
    locked = True

    def guarded(folder):
        if locked and Path(folder) == below:
            raise PermissionError(13, "no")
        return real(folder)

    monkeypatch.setattr(os, "scandir", guarded)
    context = Context(client=client)
    async with watching(path.parent, context):
        await context.until(lambda: context.events)
        for _ in range(30):
            await context.pass_time(1)
        locked = False
        await context.until(lambda: len(context.events) == 2)
    assert context.warnings == [f"{below} cannot be read: what is there is not noticed"]
    assert context.told == [("working", f"watching {path.parent}")]


async def test_many_lines_need_few_questions(path, client):
    count = 20_000
    written(path, *(f"https://big.example/{n}" for n in range(count)))
    kept = Kept()
    known = f"{json.dumps(str(path))}|https://big.example/"
    kept.keys = {f"{known}{n}" for n in range(count - 2)}
    context = Context(kept, client)
    async with watching(path, context):
        await context.until(lambda: len(context.events) == 2)
        written(path, *(f"https://big.example/{n}" for n in range(count + 1)))
        await context.until(lambda: len(context.events) == 3)
    assert client.simulator.requests[ASKED] == 3


def test_parameters_are_checked(tmp_path):
    for wrong in ({"include": []}, {"include": ["a\\b"]}, {"look_every": "0s"}, {"settle": 3}):
        with pytest.raises(ValidationError):
            UrlList(path=tmp_path, **wrong)


# --- with a daemon around it -----------------------------------------------------------------

RULES = """
rules:
  - name: urls
    on: {url_list: {path: list.txt, look_every: 50ms, settle: 50ms}}
    if: "CONDITION"
    do:
      - add_tags: {my tags: x}
"""


def test_a_rewritten_rule_is_given_what_it_did_not_want_and_nothing_twice(project):
    files = {
        "rules.yaml": RULES.replace("CONDITION", "'cat' in tags"),
        "list.txt": f"{SAFEBOORU.format(1)} cat\n{SAFEBOORU.format(2)} dog\n{SORTED.format(1)}\n",
    }
    made = project(files, SimulatorConfig(api_version=32)).run(jobs=1)
    made.run(until=lambda made: any(c.kind == "trigger" for c in made.conditions))
    asked = made.simulator.requests[ASKED]
    assert asked == 3
    made.write({"rules.yaml": RULES.replace("CONDITION", "normalised")}).run(jobs=2)
    assert [job.data["normalised"] for job in made.jobs] == [SORTED.format(1), SORTED.format(2)]
    assert [job.data["tags"] for job in made.jobs] == [["cat"], ["dog"]]
    assert made.simulator.requests[ASKED] == asked


def test_two_rules_with_lists_of_their_own_each_get_the_tags_of_theirs(project):
    rules = RULES.replace("CONDITION", "url")
    second = rules.replace("rules:", "").replace("name: urls", "name: others")
    files = {
        "rules.yaml": rules + second.replace("list.txt", "other.txt"),
        "list.txt": f"{url(1)} one\n",
        "other.txt": f"{url(1)} other\n",
    }
    made = project(files).run(jobs=2)
    assert {job.rule: job.data["tags"] for job in made.jobs} == {
        "urls": ["one"],
        "others": ["other"],
    }
