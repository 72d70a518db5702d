"""What becomes of the client: each happening once, and none made up."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given, settings, strategies as st
from noticing import Context, Kept, hydrus, noticing

from hydrusd.builtin.triggers.client import AWAY_SECONDS, ClientTrigger, Look, Spell
from hydrusd.errors import ConfigError
from hydrusd.simulator import Fault, FaultKind, SimulatorConfig

pytestmark = pytest.mark.anyio

INFO = "/client_info"


def trigger(when, **more):
    return ClientTrigger.model_validate({"when": when, **more})


def go_away(simulator):
    """Be busy until ``come_back``: the lock, a refused connection and this are all one to it."""
    simulator.inject(Fault(kind=FaultKind.STATUS, times=10**6))


def come_back(simulator):
    simulator.clear_faults()


async def looked(context, times=2):
    """Let the trigger end so many looks, of which the last ones began after this."""
    goal = len(context.clock.asked_for) + times
    await context.until(lambda: len(context.clock.asked_for) >= goal)


async def pass_minutes(context, minutes):
    for _ in range(int(minutes * 4)):
        await context.pass_time(15)


def keys(context):
    return [event.key.split()[0] for event in context.events]


# --- restarted ------------------------------------------------------------------------------


async def test_each_restart_is_told_once_and_the_first_sight_is_none(stage):
    async with hydrus(stage) as (simulator, client):
        context = Context(client=client)
        async with noticing(trigger("restarted"), context):
            await looked(context)
            assert context.events == []
            for number in (1, 2):
                simulator.crash()
                await context.until(lambda number=number: len(context.events) == number)
                await looked(context)
        first, second = context.events
        assert first.key != second.key
        assert second.key == f"restarted {simulator.boot_id}"
        told = second.data["client"]
        assert (told["when"], told["boot"]) == ("restarted", simulator.boot_id)
        assert datetime.fromisoformat(told["since"]).tzinfo is UTC


@pytest.mark.parametrize("missed", [True, False])
@pytest.mark.parametrize("when", ["restarted", "online"])
async def test_a_start_while_hydrusd_was_not_running_counts_if_it_is_to(stage, when, missed):
    async with hydrus(stage) as (simulator, client):
        kept = Kept()
        for restarts in (False, True, False):
            if restarts:
                simulator.shut_down()
            context = Context(kept, client)
            async with noticing(trigger(when, missed=missed), context):
                await looked(context)
            assert len(context.events) == (restarts and missed)
            assert len(context.passed) == (restarts and not missed)
        assert list(kept.passed.values()) == (
            [] if missed else ["it happened while hydrusd was not running"]
        )


@pytest.mark.parametrize("when", ["restarted", "online"])
async def test_a_restart_while_hydrusd_runs_is_not_missed(stage, when):
    async with hydrus(stage) as (simulator, client):
        context = Context(client=client)
        async with noticing(trigger(when, missed=False), context):
            await looked(context)
            simulator.crash()
            await context.until(lambda: context.events)
        assert context.passed == []


# --- offline and online ------------------------------------------------------------------


async def test_going_offline_is_told_when_it_has_lasted(stage):
    async with hydrus(stage) as (simulator, client):
        context = Context(client=client)
        async with noticing(trigger("offline", **{"for": "5m"}), context):
            await looked(context)
            for _ in range(3):
                go_away(simulator)
                await pass_minutes(context, 4)
                come_back(simulator)
                await looked(context)
            assert context.events == []
            go_away(simulator)
            await pass_minutes(context, 20)
            assert keys(context) == ["offline"]
            come_back(simulator)
            await looked(context)
            go_away(simulator)
            await context.until(lambda: len(context.events) == 2)
        first, second = context.events
        assert first.key != second.key
        assert "waiting" not in {state for state, _ in context.told}


async def test_one_absence_is_told_once_however_often_hydrusd_starts(stage):
    async with hydrus(stage) as (simulator, client):
        kept = Kept()
        go_away(simulator)
        for expected in (["offline"], [], []):
            context = Context(kept, client)
            async with noticing(trigger("offline"), context):
                await pass_minutes(context, 3)
            assert keys(context) == expected


async def test_a_client_that_was_never_reached_is_offline_too(stage):
    async with hydrus(stage, connected=False) as (_, client):
        context = Context(client=client)
        async with noticing(trigger("offline"), context):
            await context.until(lambda: context.events)


async def test_coming_back_is_told_after_a_silence_that_lasted(stage):
    async with hydrus(stage) as (simulator, client):
        context = Context(client=client)
        async with noticing(trigger("online"), context):
            await looked(context)
            go_away(simulator)
            await pass_minutes(context, 0.5)
            come_back(simulator)
            await looked(context)
            assert context.events == []
            go_away(simulator)
            await pass_minutes(context, 2)
            assert context.told[-1][0] == "waiting"
            come_back(simulator)
            await context.until(lambda: context.events)
            await looked(context)
        assert keys(context) == ["online"]
        assert [state for state, _ in context.told] == ["working", "waiting"] * 2 + ["working"]


async def test_coming_back_is_told_if_hydrusd_began_without_the_client(stage):
    async with hydrus(stage) as (simulator, client):
        context = Context(client=client)
        go_away(simulator)
        async with noticing(trigger("online"), context):
            await looked(context, 1)
            come_back(simulator)
            await context.until(lambda: context.events)


async def test_a_quick_restart_is_a_coming_online(stage):
    async with hydrus(stage) as (simulator, client):
        context = Context(client=client)
        async with noticing(trigger("online"), context):
            await looked(context)
            simulator.crash()
            await context.until(lambda: context.events)
        assert keys(context) == ["online"]


# --- idle ----------------------------------------------------------------------------------


async def test_idleness_is_told_once_until_it_ends(stage):
    async with hydrus(stage) as (simulator, client):
        kept = Kept()
        context = Context(kept, client)
        async with noticing(trigger("idle"), context):
            await looked(context)
            assert context.events == []
            simulator.set_idle(True)
            await context.until(lambda: context.events)
            await looked(context, 3)
            assert keys(context) == ["idle"]
        context = Context(kept, client)
        async with noticing(trigger("idle"), context):
            await looked(context, 3)
            assert context.events == []
            await context.pass_time(60)
            simulator.set_idle(False)
            await looked(context)
            simulator.set_idle(True)
            await context.until(lambda: context.events)
        assert len(kept.keys) == 2


async def test_idleness_may_have_to_last(stage):
    async with hydrus(stage) as (simulator, client):
        context = Context(client=client)
        async with noticing(trigger("idle", **{"for": "10m"}), context):
            simulator.set_idle(True)
            await pass_minutes(context, 8)
            simulator.set_idle(False)
            await looked(context)
            simulator.set_idle(True)
            await pass_minutes(context, 8)
            simulator.crash()
            simulator.set_idle(True)
            await pass_minutes(context, 8)
            assert context.events == []
            await context.until(lambda: context.events)


async def test_another_run_of_the_client_is_idle_anew(stage):
    async with hydrus(stage) as (simulator, client):
        context = Context(client=client)
        simulator.set_idle(True)
        async with noticing(trigger("idle"), context):
            await context.until(lambda: context.events)
            simulator.crash()
            simulator.set_idle(True)
            await context.until(lambda: len(context.events) == 2)


# --- old clients ---------------------------------------------------------------------------


@pytest.mark.parametrize("api_version", [32, 11])
@pytest.mark.parametrize("when", ["restarted", "idle"])
async def test_what_an_old_client_cannot_tell_is_not_guessed(stage, when, api_version):
    async with hydrus(stage, SimulatorConfig(api_version=api_version)) as (simulator, client):
        [fault] = trigger(when).preflight(client)
        assert "since Client API 92" in fault.message
        context = Context(client=client)
        async with noticing(trigger(when), context):
            await looked(context)
            simulator.crash()
            await looked(context)
        assert context.events == []
        assert [state for state, _ in context.told][-1] == "waiting"


@pytest.mark.parametrize("when", ["online", "offline"])
async def test_an_old_client_comes_and_goes_all_the_same(stage, when):
    async with hydrus(stage, SimulatorConfig(api_version=32)) as (simulator, client):
        assert not list(trigger(when).preflight(client))
        kept = Kept()
        context = Context(kept, client)
        async with noticing(trigger(when), context):
            await looked(context)
            go_away(simulator)
            await pass_minutes(context, 2)
            come_back(simulator)
            await context.until(lambda: context.events)
            await looked(context)
        assert keys(context) == [when]
        again = Context(kept, client)
        async with noticing(trigger(when), again):
            await looked(again)
        assert again.events == []


async def test_an_old_client_started_together_with_hydrusd_comes_online(stage):
    async with hydrus(stage, SimulatorConfig(api_version=32)) as (simulator, client):
        kept = Kept()
        first = Context(kept, client)
        async with noticing(trigger("online"), first):
            await looked(first)
        go_away(simulator)
        context = Context(kept, client)
        async with noticing(trigger("online"), context):
            await looked(context, 1)
            come_back(simulator)
            await context.until(lambda: context.events)


# --- the judgement -----------------------------------------------------------------------


NOW = datetime(2026, 1, 1, tzinfo=UTC)
# What happens before a look: is the client there, restarted, idle; was hydrusd started again?
WORLDS = st.lists(st.tuples(*[st.booleans()] * 4), max_size=30)


@settings(max_examples=100)
@given(worlds=WORLDS, when=st.sampled_from(["online", "offline", "restarted", "idle"]))
def test_whatever_happens_no_happening_is_told_twice(worlds, when):
    judge = trigger(when).judge
    memory, told, away, idle, seen, first, boots = {}, [], None, None, 0, True, 1
    for number, (there, restarts, is_idle, starts_again) in enumerate(worlds):
        now = NOW + timedelta(seconds=30 * number)
        boots += restarts
        if starts_again:
            away, idle, first = None, None, True
        away = None if there else away or now
        if there and boots != seen:
            idle, seen = None, boots
        idle = (idle or now) if there and is_idle else None
        spells = [s and Spell(s, (now - s).total_seconds()) for s in (away, idle)]
        look = Look(now, there, f"boot {boots}" if there else "", *spells, first)
        first = False
        verdict = judge(memory, look)
        if verdict.key:
            told.append(verdict.key)
            assert verdict.since is not None
            assert there == (when != "offline")
            # The same look again, with what is remembered now, tells nothing.
            assert not judge(verdict.memory, look).key
        memory = verdict.memory
    assert len(told) == len(set(told))
    if when == "restarted":
        assert len(told) <= boots - 1


def test_the_time_that_counts_as_away_is_the_one_documented():
    assert AWAY_SECONDS == 60


# --- rules ---------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("written", "complaint"),
    [
        ("{when: online, for: 1m}", "'for' is for"),
        ("{when: idle, missed: false}", "'missed' is for"),
        ("{when: asleep}", "'online', 'offline', 'restarted' or 'idle'"),
        ("{when: offline, lasting: 1m}", "there is no 'lasting' here"),
        ("{when: offline, for: 60}", "unit"),
    ],
)
def test_what_makes_no_sense_is_refused(project, written, complaint):
    rules = f"rules: [{{name: r, on: {{client: {written}}}, do: [{{show_popup: {{message: x}}}}]}}]"
    with pytest.raises(ConfigError, match=complaint):
        project({"rules.yaml": rules}).run()


async def test_a_rule_for_an_old_client_is_refused(project):
    rules = "rules: [{name: r, on: {client: {when: idle}}, do: [{focus_page: {name: files}}]}]"
    with pytest.raises(ConfigError, match="since Client API 92"):
        project({"rules.yaml": rules}, SimulatorConfig(api_version=32)).run()
