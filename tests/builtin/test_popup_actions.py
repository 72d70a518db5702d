"""Popups: one for a set, one for a name, none twice, and none that does not go as it should."""

from __future__ import annotations

import pytest
from library_acting import DEAD, DONE, LATER, acting

from hydrusd.builtin.actions.show_popup import APPEARS_LOOKS, MOST_FILES, ShowPopup
from hydrusd.errors import HydrusUnavailable
from hydrusd.plugin import VersionTooOld
from hydrusd.simulator import DEFAULT_ACCESS_KEY, Fault, FaultKind, Permissions, SimulatorConfig

pytestmark = pytest.mark.anyio

ADD, UPDATE, DISMISS_LATER = (
    f"/manage_popups/{name}_popup" for name in ("add", "update", "finish_and_dismiss")
)
WRITES = ("add", "update", "finish", "finish_and_dismiss", "dismiss", "cancel")


def written(at):
    counts = {name: at.simulator.requests[f"/manage_popups/{name}_popup"] for name in WRITES}
    return {name: count for name, count in counts.items() if count}


async def run(at, *actions, files=()):
    """Run different actions as one set, as jobs of their own."""
    calls = [at.calls(action, files)[0] for action in actions]
    for number, call in enumerate(calls, 100):
        call.job_id = number
    await ShowPopup.run_set(calls)
    return [call.outcome for call in calls]


async def run_as(at, job, action, files=()):
    """Run it as the step of one job, once more or for the first time."""
    (call,) = at.calls(action, files)
    call.job_id = job
    await ShowPopup.run_set([call])
    return call.outcome


async def foreseen(at, job, action):
    before = written(at)
    (call,) = at.calls(action, [])
    call.job_id = job
    (told,) = await ShowPopup.plan([call])
    assert written(at) == before
    return told


def refuse(at, path, times=1):
    """Have the client say that it knows no such popup, which is also what a new one may hear."""
    words = "This job key doesn't exist!"
    at.simulator.inject(
        Fault(kind=FaultKind.STATUS, path=path, status=400, words=words, times=times)
    )


async def test_a_set_shares_one_popup_with_each_message_once_and_all_files(stage, tmp_path):
    async with acting(stage, tmp_path) as at:
        one, two, three = await at.add(3)
        calls = [
            call
            for text, files in (("a", [one, two]), ("b", [three]), ("a", [one]))
            for call in at.calls(ShowPopup(message=text, files=True), files)
        ]
        await ShowPopup.run_set(calls)
        [popup] = await at.client.get_popups()
        assert (popup.status_title, popup.status_text_1) == ("a rule", "a\nb")
        assert (popup.files.hashes, popup.files.label) == ((one, two, three), "a rule")
        assert popup.is_done
        assert {call.outcome.kind for call in calls} == {DONE}
        assert {call.outcome.values["popup_key"] for call in calls} == {popup.key}
        assert calls[0].outcome.receipt == {"shown": popup.key}
        assert written(at) == {"add": 1}


async def test_many_messages_are_counted(stage, tmp_path):
    async with acting(stage, tmp_path) as at:
        await run(at, *[ShowPopup(message=f"line {number}", title="t") for number in range(256)])
        [popup] = await at.client.get_popups()
        lines = popup.status_text_1.splitlines()
        assert lines == [f"line {number}" for number in range(10)] + ["… and 246 more"]
        assert popup.status_title == "t"


async def test_what_differs_in_more_than_the_message_is_a_popup_of_its_own(stage, tmp_path):
    async with acting(stage, tmp_path) as at:
        await run(
            at,
            ShowPopup(message="x", title="one"),
            ShowPopup(message="x", title="two"),
            ShowPopup(message="y", title="one"),
        )
        assert [p.status_text_1 for p in await at.client.get_popups()] == ["x\ny", "x"]


async def test_a_step_done_again_shows_no_second_popup(stage, tmp_path):
    async with acting(stage, tmp_path) as at:
        action = ShowPopup(message="once")
        assert (await foreseen(at, 1, action)).detail == "would show: once"
        first = await run_as(at, 1, action)
        told = await foreseen(at, 1, action)
        assert (told.changes, told.detail) == (False, "shown already")
        again = await run_as(at, 1, action)
        assert again.values == first.values
        other = await run_as(at, 2, action)
        assert other.values != first.values
        assert written(at) == {"add": 2}


async def test_a_popup_whose_answer_was_lost_is_found_and_seen_through(stage, tmp_path):
    async with acting(stage, tmp_path) as at:
        action = ShowPopup(message="once", dismiss_after="60s")
        at.simulator.inject(Fault(kind=FaultKind.WORK_THEN_CUT, path=ADD))
        with pytest.raises(HydrusUnavailable):
            await run_as(at, 1, action)
        outcome = await run_as(at, 1, action)
        [popup] = await at.client.get_popups()
        assert outcome.values == {"popup_key": popup.key}
        assert written(at) == {"add": 1, "finish_and_dismiss": 1}


async def test_a_popup_goes_after_its_time(stage, tmp_path):
    async with acting(stage, tmp_path) as at:
        await run(at, *[ShowPopup(message="x", dismiss_after="1500ms")] * 10)
        [popup] = at.simulator._client.popups._popups.values()
        assert popup.dismiss_at is not None
        assert written(at) == {"add": 1, "finish_and_dismiss": 1}


async def test_a_popup_that_takes_time_to_appear_is_waited_for(stage, tmp_path):
    async with acting(stage, tmp_path) as at:
        refuse(at, DISMISS_LATER)
        action = ShowPopup(message="x", dismiss_after="1m")
        first = await run_as(at, 1, action)
        assert first.kind is LATER
        second = await at.again(action, first, [])
        assert (second.kind, second.detail) == (DONE, "shown")
        assert second.values == {"popup_key": first.values["popup_key"]}
        assert written(at) == {"add": 1, "finish_and_dismiss": 2}


async def test_a_popup_that_its_user_put_away_at_once_is_not_waited_for_for_ever(stage, tmp_path):
    async with acting(stage, tmp_path) as at:
        refuse(at, DISMISS_LATER, times=APPEARS_LOOKS)
        action = ShowPopup(message="x", dismiss_after="1m")
        outcome = await run_as(at, 1, action)
        for _ in range(APPEARS_LOOKS - 1):
            assert outcome.kind is LATER
            outcome = await at.again(action, outcome, [])
        assert (outcome.kind, outcome.detail) == (DONE, "shown, and put away by now")
        assert written(at)["add"] == 1


# --- names -------------------------------------------------------------------------------


async def test_popups_of_one_name_are_one_that_gathers_the_files(stage, tmp_path):
    async with acting(stage, tmp_path) as at:
        one, two, three = await at.add(3)
        for job, (text, files) in enumerate((("first", [one, two]), ("then", [two, three])), 1):
            await run_as(at, job, ShowPopup(message=text, name="n", files=True), files)
        await run_as(at, 3, ShowPopup(message="other", name="m"))
        popup, other = await at.client.get_popups()
        assert (popup.status_text_1, other.status_text_1) == ("then", "other")
        assert popup.files.hashes == (one, two, three)
        assert written(at) == {"add": 2, "update": 1}


async def test_also_within_one_set(stage, tmp_path):
    async with acting(stage, tmp_path) as at:
        await run(at, *[ShowPopup(message="x", title=title, name="n") for title in "abc"])
        [popup] = await at.client.get_popups()
        assert popup.status_title == "c"
        assert written(at) == {"add": 1, "update": 2}


async def test_a_named_popup_that_was_put_away_is_shown_anew(stage, tmp_path):
    async with acting(stage, tmp_path) as at:
        first = await run_as(at, 1, ShowPopup(message="first", name="n"))
        await at.client.dismiss_popup(first.values["popup_key"])
        await run_as(at, 2, ShowPopup(message="then", name="n"))
        [popup] = await at.client.get_popups()
        assert popup.status_text_1 == "then"


async def test_a_named_popup_put_away_in_that_very_moment_is_shown_anew(stage, tmp_path):
    async with acting(stage, tmp_path) as at:
        await run_as(at, 1, ShowPopup(message="first", name="n"))
        refuse(at, UPDATE)
        outcome = await run_as(at, 2, ShowPopup(message="then", name="n"))
        popups = await at.client.get_popups()
        assert outcome.values == {"popup_key": popups[-1].key}
        assert popups[-1].status_text_1 == "then"


async def test_a_named_popup_whose_time_runs_makes_room_for_one_that_stays(stage, tmp_path):
    async with acting(stage, tmp_path) as at:
        await run_as(at, 1, ShowPopup(message="first", name="n", dismiss_after="1h"))
        await run_as(at, 2, ShowPopup(message="then", name="n", dismiss_after="1h"))
        [popup] = await at.client.get_popups()
        assert popup.status_text_1 == "then"
        assert written(at) == {"add": 1, "update": 1, "finish_and_dismiss": 2}
        await run_as(at, 3, ShowPopup(message="stays", name="n"))
        [staying] = await at.client.get_popups()
        assert (staying.status_text_1, staying.key != popup.key) == ("stays", True)
        assert written(at)["dismiss"] == 1


async def test_a_popup_gathers_only_so_many_files(stage, tmp_path):
    async with acting(stage, tmp_path) as at:
        hashes = [f"{number:064x}" for number in range(MOST_FILES + 5)]
        await run_as(at, 1, ShowPopup(message="x", name="n", files=True), hashes[:MOST_FILES])
        await run_as(at, 2, ShowPopup(message="x", name="n", files=True), hashes[MOST_FILES:])
        [popup] = await at.client.get_popups()
        assert popup.files.hashes == tuple(hashes[5:])


async def test_popups_of_others_are_left_alone(stage, tmp_path):
    async with acting(stage, tmp_path) as at:
        for data in (None, {"hydrusd": 7}, {"hydrusd": {"name": "n"}}, {"else": {"told": []}}):
            await at.client.add_popup(status_text_1="not ours", api_data=data)
        await run_as(at, 1, ShowPopup(message="ours", name="n"))
        texts = [popup.status_text_1 for popup in await at.client.get_popups()]
        assert texts == ["not ours"] * 4 + ["ours"]


# --- what cannot be ----------------------------------------------------------------------


async def test_files_are_shown_only_where_there_are_some(stage, tmp_path):
    async with acting(stage, tmp_path) as at:
        outcome = await run_as(at, 1, ShowPopup(message="x", files=True))
        assert outcome.kind is DEAD
        assert "put add_file or add_url before it" in outcome.detail
        assert written(at) == {}


async def test_an_old_client_is_named_before_anything_is_tried(stage, tmp_path):
    async with acting(stage, tmp_path, api_version=32) as at:
        [fault] = ShowPopup(message="x").preflight(at.client)
        assert "show_popup needs Client API ≥ 57, this client speaks 32" in fault.message
        with pytest.raises(VersionTooOld):
            await run_as(at, 1, ShowPopup(message="x"))


def test_a_popup_without_words_is_refused():
    with pytest.raises(ValueError, match="at least 1"):
        ShowPopup(message="")


RULES = """
rules:
  - name: tell
    on: {watch_folder: {path: inbox, settle: 50ms}}
    do: [{add_file: }, {show_popup: {message: "{{ file.name }}", files: true}}]
"""


def test_a_rule_tells_of_each_file(project):
    made = project({"rules.yaml": RULES}).drop("inbox/a.png").drop("inbox/b.png")
    made.run().assert_success()
    popups = made.ask("/manage_popups/get_popups")["job_statuses"]
    assert {line for popup in popups for line in popup["status_text_1"].splitlines()} == {
        "a.png",
        "b.png",
    }
    files = {sha256 for popup in popups for sha256 in popup["files"]["hashes"]}
    assert files == set(made.simulator.files)


def test_a_rule_without_the_permission_waits(project):
    keys = {DEFAULT_ACCESS_KEY: Permissions(name="few", basic=frozenset({1, 3}))}
    made = project({"rules.yaml": RULES}, SimulatorConfig(access_keys=keys)).drop("inbox/a.png")
    made.run(until=lambda made: any("popups" in c.reason for c in made.conditions))
    assert not made.dead_letters
