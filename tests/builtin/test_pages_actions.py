"""Pages: the right one or none, each asked for once a set, and made once for ever."""

from __future__ import annotations

import pytest
from library_acting import DEAD, DONE, acting

from hydrusd.builtin.actions.add_to_page import AddToPage
from hydrusd.builtin.actions.focus_page import FocusPage
from hydrusd.builtin.actions.new_page import NewPage
from hydrusd.builtin.actions.refresh_page import RefreshPage
from hydrusd.errors import ConfigError
from hydrusd.hydrus import PageType
from hydrusd.model import JobState
from hydrusd.plugin import VersionTooOld
from hydrusd.simulator import DEFAULT_ACCESS_KEY, Permissions, SimulatorConfig

pytestmark = pytest.mark.anyio

WRITES = ("new_page", "focus_page", "refresh_page", "add_files")
NESTED = ("downloads", "new")


def written(at):
    """Count the writing requests, by route."""
    counts = {name: at.simulator.requests[f"/manage_pages/{name}"] for name in WRITES}
    return {name: count for name, count in counts.items() if count}


async def page(at, name):
    """Give the only page of a name."""
    [found] = [each for each in (await at.client.get_pages()).walk() if each.name == name]
    return found


async def shown(at, name):
    info = await at.client.get_page_info((await page(at, name)).page_key, simple=False)
    return list(info.media.hashes)


async def make(at, name, parent="", kind=PageType.FILE_SEARCH, **more):
    made = await at.client.new_page(kind, page_name=name, page_of_pages_key=parent, **more)
    return made.page_key


async def make_nested(at):
    """Make a page of pages with a page in it; the key of that."""
    outer = await make(at, NESTED[0], kind=PageType.PAGE_OF_PAGES)
    return await make(at, NESTED[1], outer)


async def run(at, *actions):
    """Run different actions of one class as one set."""
    calls = [call for action in actions for call in at.calls(action, [])]
    await type(actions[0]).run_set(calls)
    return [call.outcome for call in calls]


async def foreseen(at, action, *files):
    """Foresee it, and fail if that wrote anything."""
    before = written(at)
    found = await type(action).plan(at.calls(action, *(files or ([],))))
    assert written(at) == before
    return found


# --- which page ----------------------------------------------------------------------------


@pytest.mark.parametrize("way", ["name", "path", "key"])
async def test_a_page_is_found_by_its_name_its_path_and_its_key(stage, tmp_path, way):
    async with acting(stage, tmp_path) as at:
        key = await make_nested(at)
        named = {"name": {"name": NESTED[1]}, "path": {"path": NESTED}, "key": {"key": key.upper()}}
        (outcome,) = await run(at, FocusPage(**named[way]))
        assert outcome.kind is DONE
        assert outcome.detail == "'downloads' > 'new'"
        assert outcome.values == {"page_key": key, "page_name": "new"}
        assert (await page(at, "new")).selected
        assert (await page(at, "downloads")).selected


async def test_a_name_may_hold_any_character(stage, tmp_path):
    async with acting(stage, tmp_path) as at:
        outer = await make(at, "a/b > c", kind=PageType.PAGE_OF_PAGES)
        await make(at, "[x], {{ y }}", outer)
        (outcome,) = await run(at, FocusPage(path=("a/b > c", "[x], {{ y }}")))
        assert outcome.kind is DONE
        assert (await page(at, "[x], {{ y }}")).selected


async def test_of_two_pages_of_a_name_none_is_taken_and_both_are_told(stage, tmp_path):
    async with acting(stage, tmp_path) as at:
        await make_nested(at)
        await make(at, "new")
        before = written(at)
        for action in (FocusPage(name="new"), RefreshPage(name="new"), NewPage(name="new")):
            (outcome,) = await run(at, action)
            assert outcome.kind is DEAD
            assert "2 pages are called 'new': 'downloads' > 'new', 'new'" in outcome.detail
            assert "`path`" in outcome.detail
        [outcome] = await at.run(AddToPage(name="new", create=True), ["ab" * 32])
        assert outcome.kind is DEAD
        assert written(at) == before
        (outcome,) = await run(at, FocusPage(path=("new",)))
        assert outcome.detail == "'new'"


async def test_of_two_pages_at_one_path_none_is_taken_either(stage, tmp_path):
    async with acting(stage, tmp_path) as at:
        await make(at, "twin")
        await make(at, "twin")
        (outcome,) = await run(at, FocusPage(path=("twin",)))
        assert outcome.kind is DEAD
        assert outcome.detail.endswith("rename one of them in Hydrus")


async def test_a_page_that_is_not_there_is_a_dead_letter_that_tells_what_is_like_it(
    stage, tmp_path
):
    async with acting(stage, tmp_path) as at:
        await make_nested(at)
        by_name, by_path, by_key, other = await run(
            at,
            FocusPage(name="nwe"),
            FocusPage(path=("news",)),
            FocusPage(key="ab" * 32),
            FocusPage(name="files"),
        )
        assert by_name.detail == "there is no page 'nwe'; there is 'downloads' > 'new'"
        assert "'downloads' > 'new'" in by_path.detail
        assert "keys die when Hydrus restarts" in by_key.detail
        assert [o.kind for o in (by_name, by_path, by_key, other)] == [DEAD, DEAD, DEAD, DONE]


@pytest.mark.parametrize("named", [{}, {"name": "a", "path": ["b"]}, {"name": "", "key": ""}])
def test_a_page_is_named_in_one_way(named):
    with pytest.raises(ValueError, match="one of 'name', 'path' and 'key'"):
        FocusPage(**named)


async def test_a_page_survives_a_restart_by_name_and_not_by_key(stage, tmp_path):
    async with acting(stage, tmp_path) as at:
        key = await make(at, "mine")
        at.simulator.shut_down()
        by_name, by_key = await run(at, FocusPage(name="mine"), FocusPage(key=key))
        assert (by_name.kind, by_key.kind) == (DONE, DEAD)


# --- focus_page and refresh_page ---------------------------------------------------------


async def test_a_set_asks_once_for_each_page_and_ends_with_the_last(stage, tmp_path):
    async with acting(stage, tmp_path) as at:
        await make(at, "a")
        await make(at, "b")
        actions = [FocusPage(name="a"), FocusPage(name="b")] * 20
        outcomes = await run(at, *actions, FocusPage(name="a"))
        assert {outcome.kind for outcome in outcomes} == {DONE}
        assert written(at)["focus_page"] == 2
        assert (await page(at, "a")).selected
        assert outcomes[1].receipt == {"focused": ["b"], "before": ["files"]}
        assert outcomes[0].receipt == {"focused": ["a"], "before": ["b"]}


async def test_focusing_is_foreseen(stage, tmp_path):
    async with acting(stage, tmp_path) as at:
        await make(at, "a")
        [before] = await foreseen(at, FocusPage(name="a"))
        assert (before.changes, before.detail) == (True, "would bring 'a' to the front")
        await run(at, FocusPage(name="a"))
        [after] = await foreseen(at, FocusPage(name="a"))
        assert (after.changes, after.detail) == (False, "'a' is in front")
        [missing] = await foreseen(at, FocusPage(name="b"))
        assert not missing.changes
        assert "there is no page 'b'" in missing.detail


async def test_the_oldest_clients_can_focus_too(stage, tmp_path):
    async with acting(stage, tmp_path, api_version=11) as at:
        (outcome,) = await run(at, FocusPage(name="files"))
        assert outcome.kind is DONE
        [told] = await foreseen(at, FocusPage(name="files"))
        assert told.changes  # they call more pages selected than are to be seen


async def test_a_refreshed_page_searches_again(stage, tmp_path):
    async with acting(stage, tmp_path) as at:
        await make(at, "inbox", tags=["system:inbox"])
        [sha256] = await at.add()
        assert await shown(at, "inbox") == []
        [told] = await foreseen(at, RefreshPage(name="inbox"))
        assert (told.changes, told.detail) == (True, "would refresh 'inbox'")
        outcomes = await run(at, *[RefreshPage(name="inbox")] * 5)
        assert outcomes[0].receipt == {"refreshed": ["inbox"]}
        assert await shown(at, "inbox") == [sha256]
        assert written(at)["refresh_page"] == 1


async def test_a_page_of_pages_has_nothing_to_refresh_and_shows_no_files(stage, tmp_path):
    async with acting(stage, tmp_path) as at:
        await make_nested(at)
        for action in (RefreshPage(name="downloads"), AddToPage(name="downloads")):
            (outcome,) = await at.run(action, ["ab" * 32])
            assert outcome.kind is DEAD
            assert "is a page of pages" in outcome.detail
            [told] = await foreseen(at, action, ["ab" * 32])
            assert not told.changes
            assert "is a page of pages" in told.detail
        assert set(written(at)) == {"new_page"}


# --- new_page ----------------------------------------------------------------------------


async def test_a_page_is_made_once_by_however_many_jobs_and_sets(stage, tmp_path):
    async with acting(stage, tmp_path) as at:
        action = NewPage(name="sort", tags=("system:inbox",))
        [told] = await foreseen(at, action)
        assert (told.changes, told.detail) == (True, "would make 'sort'")
        outcomes = [*await run(at, *[action] * 10), *await run(at, action)]
        assert [o.receipt for o in outcomes] == [{"made": ["sort"]}] + [{"made": None}] * 10
        assert {o.values["page_key"] for o in outcomes} == {(await page(at, "sort")).page_key}
        assert written(at) == {"new_page": 1}
        assert not (await page(at, "sort")).selected
        [told] = await foreseen(at, action)
        assert (told.changes, told.detail) == (False, "'sort' is there")
        at.simulator.shut_down()
        (outcome,) = await run(at, action)
        assert outcome.receipt == {"made": None}


async def test_a_page_counts_as_there_wherever_it_was_dragged_to(stage, tmp_path):
    async with acting(stage, tmp_path) as at:
        await make_nested(at)
        anywhere, right_there = await run(
            at, NewPage(name="new"), NewPage(name="new", within=("downloads",))
        )
        assert anywhere.receipt == right_there.receipt == {"made": None}


async def test_pages_of_pages_and_what_is_in_them_are_made_in_one_set(stage, tmp_path):
    async with acting(stage, tmp_path) as at:
        actions = [
            NewPage(name="downloads", kind="page_of_pages"),
            NewPage(name="new", kind="url_downloader", within=("downloads",), focus=True),
        ]
        calls = [call for action in actions for call in at.calls(action, [])]
        assert [told.changes for told in await NewPage.plan(calls)] == [True, True]
        outcomes = await run(at, *actions)
        assert outcomes[1].receipt == {"made": ["downloads", "new"]}
        outer = await page(at, "downloads")
        assert [p.page_type for p in outer.pages] == [PageType.URL_DOWNLOADER]
        assert (await page(at, "new")).selected


async def test_a_page_is_not_made_where_there_is_no_place_for_it(stage, tmp_path):
    async with acting(stage, tmp_path) as at:
        missing, wrong, other_kind = await run(
            at,
            NewPage(name="x", within=("nowhere",)),
            NewPage(name="x", within=("files",)),
            NewPage(name="files", kind="watcher"),
        )
        assert missing.detail == "there is no page of pages 'nowhere'"
        assert wrong.detail == "'files' is no page of pages"
        assert "no page of the kind 'watcher'" in other_kind.detail
        assert {o.kind for o in (missing, wrong, other_kind)} == {DEAD}
        assert written(at) == {}
        [told] = await foreseen(at, NewPage(name="x", within=("nowhere",)))
        assert not told.changes


@pytest.mark.parametrize(
    ("given", "complaint"),
    [
        ({"kind": "watcher", "tags": ["a"]}, "takes no 'tags'"),
        ({"kind": "page_of_pages", "file_service": "my files"}, "takes no 'file_service'"),
        ({"kind": "file_import"}, "file_search"),
        ({"name": ""}, "at least 1"),
    ],
)
def test_what_a_page_cannot_be_is_refused(given, complaint):
    with pytest.raises(ValueError, match=complaint):
        NewPage.model_validate({"name": "x", **given})


async def test_each_kind_is_what_hydrus_calls_so(stage, tmp_path):
    async with acting(stage, tmp_path) as at:
        kinds = ["gallery_downloader", "watcher", "duplicates", "url_downloader", "file_search"]
        await run(at, *[NewPage(name=f"a {kind}", kind=kind) for kind in kinds])
        for kind in kinds:
            assert (await page(at, f"a {kind}")).page_type == PageType[kind.upper()]


# --- add_to_page -------------------------------------------------------------------------


async def test_the_files_of_a_set_go_on_a_page_with_one_request(stage, tmp_path):
    async with acting(stage, tmp_path) as at:
        one, two, three = await at.add(3)
        await make(at, "show")
        outcomes = await at.run(AddToPage(name="show"), [one, two], [three], [one])
        assert [o.receipt for o in outcomes] == [{"page": ["show"], "made_page": False}] * 3
        assert await shown(at, "show") == [one, two, three]
        assert written(at) == {"new_page": 1, "add_files": 1}
        await at.run(AddToPage(name="show"), [two])
        assert await shown(at, "show") == [one, two, three]


async def test_a_page_for_files_is_made_once_where_the_rule_says_so(stage, tmp_path):
    async with acting(stage, tmp_path) as at:
        one, two = await at.add(2)
        action = AddToPage(name="show", create=True)
        [told] = await foreseen(at, action, [one])
        assert (told.changes, told.detail) == (True, "would make 'show' for it")
        outcomes = await at.run(action, [one], [two])
        assert [o.receipt["made_page"] for o in outcomes] == [True, False]
        assert await shown(at, "show") == [one, two]
        assert written(at) == {"new_page": 1, "add_files": 1}
        [told] = await foreseen(at, action, [two])
        assert (told.changes, told.detail) == (False, "'show' shows it already")
        [outcome] = await at.run(AddToPage(name="hide"), [one])
        assert outcome.kind is DEAD


async def test_a_page_for_files_is_made_at_the_end_of_its_path(stage, tmp_path):
    async with acting(stage, tmp_path) as at:
        await make_nested(at)
        [one] = await at.add()
        made, misplaced = [
            (await at.run(AddToPage(path=path, create=True), [one]))[0]
            for path in (("downloads", "done"), ("nowhere", "done"))
        ]
        assert made.receipt == {"page": ["downloads", "done"], "made_page": True}
        assert misplaced.detail == "there is no page of pages 'nowhere'"


async def test_what_a_page_lacks_is_foreseen(stage, tmp_path):
    async with acting(stage, tmp_path) as at:
        one, two, three = await at.add(3)
        await make(at, "show", hashes=[one])
        told = await foreseen(at, AddToPage(name="show"), [one, two, three], [one], [])
        assert [each.changes for each in told] == [True, False, True]
        assert told[0].detail == "would show 2 files on 'show'"


async def test_a_job_without_a_file_has_nothing_to_show(stage, tmp_path):
    async with acting(stage, tmp_path) as at:
        [outcome] = await at.run(AddToPage(name="show", create=True), [])
        assert outcome.detail == ("there is no file to show: put add_file or add_url before it")
        assert written(at) == {}


def test_a_page_cannot_be_made_by_key():
    with pytest.raises(ValueError, match="not by 'key'"):
        AddToPage(key="ab" * 32, create=True)


# --- versions and permissions ---------------------------------------------------------------


@pytest.mark.parametrize(
    ("action", "api_version", "needs"),
    [
        (RefreshPage(name="files"), 32, 39),
        (NewPage(name="x"), 32, 93),
        (NewPage(name="x", kind="page_of_pages"), 32, 94),
        (AddToPage(name="files"), 11, 18),
    ],
)
async def test_an_old_client_is_named_before_anything_is_tried(
    stage, tmp_path, action, api_version, needs
):
    async with acting(stage, tmp_path, api_version=api_version) as at:
        [fault] = action.preflight(at.client)
        assert f"needs Client API ≥ {needs}, this client speaks {api_version}" in fault.message
        with pytest.raises(VersionTooOld):
            await at.run(action, ["ab" * 32])


async def test_an_old_client_takes_files_for_a_page_that_is_there(stage, tmp_path):
    async with acting(stage, tmp_path, api_version=32) as at:
        [one] = await at.add()
        [outcome] = await at.run(AddToPage(name="files", create=True), [one])
        assert outcome.kind is DONE
        assert await shown(at, "files") == [one]


async def test_a_file_service_that_is_not_there_is_named(stage, tmp_path):
    async with acting(stage, tmp_path) as at:
        [fault] = NewPage(name="x", file_service="comix").preflight(at.client)
        assert "did you mean 'comics'" in fault.message
        assert not list(NewPage(name="x", file_service="{{ where }}").preflight(at.client))


RULES = """
rules:
  - name: show
    on: {watch_folder: {path: inbox, settle: 50ms}}
    do:
      - add_file:
      - new_page: {name: "page {{ file.suffix[1:] }}"}
      - add_to_page: {key: "{{ steps.new_page.page_key }}"}
      - focus_page: {key: "{{ steps.add_to_page.page_key }}"}
"""


def test_a_rule_hands_the_page_that_it_made_from_step_to_step(project):
    made = project({"rules.yaml": RULES})
    for name in ("a.png", "b.png", "c.jpg"):
        made.drop(f"inbox/{name}")
    made.run().assert_success()
    assert made.simulator.requests["/manage_pages/new_page"] == 2
    assert {job.steps[1].values["page_name"] for job in made.jobs} == {"page png", "page jpg"}


def test_a_rule_without_the_permission_waits(project):
    keys = {DEFAULT_ACCESS_KEY: Permissions(name="few", basic=frozenset({1, 3}))}
    made = project({"rules.yaml": RULES}, SimulatorConfig(access_keys=keys))
    made.drop("inbox/a.png")
    made.run(until=lambda made: any(c.state == "parked" for c in made.conditions))
    assert {job.state for job in made.jobs} <= {JobState.READY}


def test_rules_that_an_old_client_cannot_follow_are_refused(project):
    made = project({"rules.yaml": RULES}, SimulatorConfig(api_version=32))
    with pytest.raises(ConfigError, match="new_page needs Client API ≥ 93"):
        made.run()
