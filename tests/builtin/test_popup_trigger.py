"""What a user put away is told once; what went otherwise is not."""

from __future__ import annotations

import sqlite3
from contextlib import closing

import pytest
from noticing import Context, Kept, hydrus, noticing

from hydrusd.builtin.triggers.popup import PopupPutAway
from hydrusd.plugin import PermissionMissing, VersionTooOld
from hydrusd.simulator import DEFAULT_ACCESS_KEY, Fault, FaultKind, Permissions, SimulatorConfig

pytestmark = pytest.mark.anyio

GET = "/manage_popups/get_popups"
HASH = "ab" * 32


async def show(client, name="n", *, passing=False, hashes=(), **more):
    mark = {"name": name, "told": [], "passing": passing}
    label = "x" if hashes else ""
    popup = await client.add_popup(
        api_data={"hydrusd": mark},
        hashes=hashes,
        files_label=label,
        **({"status_title": "title", "status_text_1": "text"} | more),
    )
    return popup.key


async def looked(context, times=2):
    """Let the trigger end so many looks, of which the last ones began after this."""
    goal = len(context.clock.asked_for) + times
    await context.until(lambda: len(context.clock.asked_for) >= goal)


async def test_a_popup_that_is_put_away_is_told_with_its_files(stage):
    async with hydrus(stage) as (_simulator, client):
        context = Context(client=client)
        key = await show(client, hashes=[HASH])
        async with noticing(PopupPutAway(name="n"), context):
            await looked(context)
            assert context.events == []
            await client.dismiss_popup(key)
            await context.until(lambda: context.events)
            await looked(context)
        [event] = context.events
        assert event.data == {
            "popup": {"name": "n", "title": "title", "message": "text", "files": 1},
            "hash": HASH,
            "hashes": [HASH],
        }
        assert event.key == f"{key} put away"


async def test_also_one_that_is_put_away_while_hydrusd_is_not_running(stage):
    async with hydrus(stage) as (_simulator, client):
        kept = Kept()
        key, other = await show(client), await show(client)
        before = Context(kept, client)
        async with noticing(PopupPutAway(name="n"), before):
            await looked(before)
        await client.dismiss_popup(key)
        for expected in ([f"{key} put away"], []):
            after = Context(kept, client)
            async with noticing(PopupPutAway(name="n"), after):
                await looked(after)
            assert [event.key for event in after.events] == expected
        await client.dismiss_popup(other)
        last = Context(kept, client)
        async with noticing(PopupPutAway(name="n"), last):
            await last.until(lambda: last.events)


async def test_what_goes_with_a_closed_client_was_not_put_away(stage):
    async with hydrus(stage) as (simulator, client):
        context = Context(client=client)
        await show(client)
        async with noticing(PopupPutAway(name="n"), context):
            await looked(context)
            simulator.crash()
            await looked(context, 3)
            key = await show(client)
            await looked(context)
            await client.dismiss_popup(key)
            await context.until(lambda: context.events)
        assert [event.key for event in context.events] == [f"{key} put away"]


async def test_neither_was_what_goes_by_itself_or_has_another_name(stage):
    async with hydrus(stage) as (_simulator, client):
        context = Context(client=client)
        passing = await show(client, passing=True)
        other = await show(client, "other")
        foreign = (await client.add_popup(status_text_1="x", api_data={"hydrusd": []})).key
        turned = await show(client)
        mine = await show(client)
        async with noticing(PopupPutAway(name="n"), context):
            await looked(context)
            mark = {"name": "n", "told": [], "passing": True}
            await client.update_popup(turned, api_data={"hydrusd": mark})
            await looked(context)
            for key in (passing, other, foreign, turned, mine):
                await client.dismiss_popup(key)
            await context.until(lambda: context.events)
            await looked(context)
        assert [event.key for event in context.events] == [f"{mine} put away"]


async def test_a_popup_that_was_changed_is_told_as_it_was_last(stage):
    async with hydrus(stage) as (_simulator, client):
        context = Context(client=client)
        key = await show(client)
        async with noticing(PopupPutAway(name="n"), context):
            await looked(context)
            await client.update_popup(key, status_text_1="changed")
            await looked(context)
            await client.dismiss_popup(key)
            await context.until(lambda: context.events)
        assert context.data("popup")[0]["message"] == "changed"


async def test_an_event_that_could_not_be_stored_is_told_by_the_next_run(stage):
    async with hydrus(stage) as (_simulator, client):
        kept = Kept()
        key = await show(client)
        context = Context(kept, client)
        async with noticing(PopupPutAway(name="n"), context):
            await looked(context)
        await client.dismiss_popup(key)
        failing = Context(kept, client)
        failing.fail_emits = 1
        with pytest.raises(RuntimeError, match="disk is full"):
            await PopupPutAway(name="n").run(failing)
        again = Context(kept, client)
        async with noticing(PopupPutAway(name="n"), again):
            await again.until(lambda: again.events)


async def test_a_client_that_is_away_is_waited_for_and_said_once(stage):
    async with hydrus(stage) as (simulator, client):
        context = Context(client=client)
        key = await show(client)
        async with noticing(PopupPutAway(name="n"), context):
            await looked(context)
            simulator.inject(Fault(kind=FaultKind.STATUS, path=GET, times=3))
            await context.until_told("waiting")
            await client.dismiss_popup(key)
            await context.until(lambda: context.events)
        assert [state for state, _ in context.told] == ["working", "waiting", "working"]


@pytest.mark.parametrize(
    ("config", "error"),
    [
        (SimulatorConfig(api_version=32), VersionTooOld),
        (
            SimulatorConfig(access_keys={DEFAULT_ACCESS_KEY: Permissions(basic=frozenset({3}))}),
            PermissionMissing,
        ),
    ],
)
async def test_what_makes_it_impossible_is_left_to_the_engine_to_tell(stage, config, error):
    async with hydrus(stage, config) as (_, client):
        with pytest.raises(error):
            await PopupPutAway(name="n").run(Context(client=client))


RULES = """
client: {url: '{url}', access_key: '{access_key}', commit_wait: 100ms}
rules:
  - name: tell
    on: {watch_folder: {path: inbox, settle: 50ms}}
    do: [{add_file: }, {show_popup: {message: "new", name: scans, files: true}}]
  - name: archive
    on: {popup: {name: scans, every: 1s}}
    if: popup.files == 2
    do: [archive_file]
"""


def remembered(made):
    """Give what the trigger knew when it looked last."""
    with closing(sqlite3.connect(made.state_dir / "ledger.sqlite")) as ledger:
        statement = "SELECT value FROM trigger_memory WHERE trigger = 'popup' AND name = 'open'"
        return (ledger.execute(statement).fetchone() or [""])[0]


def test_one_rule_asks_and_another_one_acts(project):
    made = project({"rules.yaml": RULES}).drop("inbox/a.png").drop("inbox/b.png")

    def over(made):
        popups = made.simulator._client.popups
        seen = remembered(made)
        if all(made.sha256(f"inbox/{name}.png") in seen for name in "ab"):
            for popup in list(popups._popups.values()):
                popups.dismiss(popup)
        return any(job.rule == "archive" and job.state == "done" for job in made.jobs)

    made.run(until=over)
    assert not any(file.inbox for file in made.simulator.files.values())
