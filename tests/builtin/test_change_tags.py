"""Changing tags: each of the six actions sends what it changes, claims that, and nothing else."""

from __future__ import annotations

import pytest
from edits_acting import PUBLIC, editing
from library_acting import DEAD, DONE

from hydrusd.builtin.actions.add_tags import AddTags
from hydrusd.builtin.actions.change_tags import ChangeTags
from hydrusd.builtin.actions.remove_tags import RemoveTags
from hydrusd.errors import ConfigError, VersionTooOld
from hydrusd.simulator import Service, SimulatorConfig

pytestmark = pytest.mark.anyio

MINE = "6c6f63616c2074616773"
CURRENT, PENDING, DELETED, PETITIONED = range(4)


def change(**services):
    return ChangeTags.model_validate({name.replace("_", " "): of for name, of in services.items()})


# --- several files ---------------------------------------------------------------------------


async def test_each_file_of_a_job_gets_what_it_lacks_and_the_receipt_tells_which(stage, tmp_path):
    async with editing(stage, tmp_path) as at:
        bare, half, full = await at.add(3)
        at.set_tags(half, {CURRENT: ["a"]})
        at.set_tags(full, {CURRENT: ["a", "b"]})
        (outcome,) = await at.run(AddTags(**{"my tags": ["a", "b"]}), [bare, half, full])
        assert outcome.receipt == {"added": {bare: {MINE: ["a", "b"]}, half: {MINE: ["b"]}}}
        assert outcome.detail == "2 tags added on 1 of 3 files; 1 tag added on 1 of 3 files"
        assert all(at.simulator.tags(h) == {0: {"a", "b"}} for h in (bare, half, full))
        assert at.written == 2


async def test_256_jobs_that_need_the_same_share_a_request(stage, tmp_path):
    async with editing(stage, tmp_path) as at:
        hashes = [f"{number:064x}" for number in range(256)]
        outcomes = await at.run(AddTags(**{"my tags": "a"}), *([h] for h in hashes))
        assert {outcome.kind for outcome in outcomes} == {DONE}
        assert at.written == 1


async def test_of_two_jobs_about_a_file_the_second_sees_what_the_first_left(stage, tmp_path):
    async with editing(stage, tmp_path) as at:
        (one,) = await at.add()
        first, second = await at.run(AddTags(**{"my tags": "a"}), [one], [one])
        assert first.receipt == {"added": {one: {MINE: ["a"]}}}
        assert second.receipt == {}
        assert at.written == 1


async def test_after_a_restart_both_runs_are_in_the_receipt(stage, tmp_path):
    async with editing(stage, tmp_path) as at:
        one, other = await at.add(2)
        action = AddTags(**{"my tags": ["a", "b"]})
        (outcome,) = await at.run(action, [one, other])
        at.set_tags(one, {CURRENT: ["a"]})  # what a crash left
        outcome = await at.again(action, outcome, [one, other])
        assert outcome.receipt == {"added": {h: {MINE: ["a", "b"]} for h in (one, other)}}


# --- removing --------------------------------------------------------------------------------


@pytest.mark.parametrize("api_version", [95, 32, 11])
async def test_tags_are_removed_only_where_they_are(stage, tmp_path, api_version):
    async with editing(stage, tmp_path, api_version=api_version) as at:
        has, has_not = await at.add(2)
        at.set_tags(has, {CURRENT: ["a", "stays"]})
        reference = MINE if api_version > 11 else "my tags"
        one, other = await at.run(RemoveTags(**{"my tags": [" A ", "b"]}), [has], [has_not])
        assert one.receipt == {"deleted": {has: {reference: ["a"]}}}
        assert (other.receipt, other.detail) == ({}, "the tags are so already")
        assert at.simulator.tags(has) == {CURRENT: {"stays"}, DELETED: {"a"}}
        assert at.simulator.tags(has_not) == {}
        written = at.written
        await at.run(RemoveTags(**{"my tags": ["a", "b"]}), [has], [has_not])
        assert at.written == written


async def test_tags_are_kept_off_files_that_lack_them_where_the_rule_says_so(stage, tmp_path):
    async with editing(stage, tmp_path) as at:
        has, has_not = await at.add(2)
        at.set_tags(has, {CURRENT: ["a"]})
        action = RemoveTags(**{"my tags": "a", "keep_off": True})
        one, other = await at.run(action, [has], [has_not])
        assert one.receipt == {"deleted": {has: {MINE: ["a"]}}}
        assert other.receipt == {"kept_off": {has_not: {MINE: ["a"]}}}
        (later,) = await at.run(AddTags(**{"my tags": "a"}), [has_not])
        assert later.receipt == {}
        assert at.simulator.tags(has_not) == {DELETED: {"a"}}


async def test_in_a_repository_pending_is_taken_back_and_current_petitioned(stage, tmp_path):
    async with editing(stage, tmp_path) as at:
        (one,) = await at.add()
        at.set_tags(one, {PENDING: ["new"], CURRENT: ["old", "stays"]}, "public")
        action = RemoveTags(public=["new", "old", "absent"], reason="not in the picture")
        (outcome,) = await at.run(action, [one])
        assert outcome.receipt == {
            "rescinded_pend": {one: {PUBLIC: ["new"]}},
            "petitioned": {one: {PUBLIC: ["old"]}},
        }
        assert at.simulator.tags(one, "public") == {CURRENT: {"old", "stays"}, PETITIONED: {"old"}}
        assert at.simulator.petition_reasons(one, "public") == {"old": "not in the picture"}
        assert await at.lost(action, [one]) == []


async def test_a_key_that_may_not_look_removes_and_records_nothing_that_was_not_there(
    stage, tmp_path
):
    async with editing(stage, tmp_path, basic={1, 2}) as at:
        has, has_not = await at.add(2)
        at.set_tags(has, {CURRENT: ["a"]})
        one, other = await at.run(RemoveTags(**{"my tags": "a"}), [has], [has_not])
        assert (one.kind, one.receipt, other.receipt) == (DONE, None, None)
        assert at.simulator.tags(has) == {DELETED: {"a"}}
        assert at.simulator.tags(has_not) == {}


async def test_an_old_client_that_cannot_be_looked_at_records_nothing_either(stage, tmp_path):
    async with editing(stage, tmp_path, basic={1, 2}, api_version=32) as at:
        hashes = await at.add()
        with pytest.raises(VersionTooOld, match="65"):
            await at.run(RemoveTags(**{"my tags": "a"}), hashes)
        assert at.simulator.tags(hashes[0]) == {}


# --- all six ---------------------------------------------------------------------------------


async def test_every_action_changes_what_it_can_and_claims_that(stage, tmp_path):
    async with editing(stage, tmp_path) as at:
        (one,) = await at.add()
        at.set_tags(one, {CURRENT: ["here"]})
        at.set_tags(one, {PENDING: ["b", "p"], CURRENT: ["c", "d"], PETITIONED: ["d"]}, "public")
        action = ChangeTags.model_validate(
            {
                "my tags": {"add": ["here", "new"], "delete": ["here", "none"]},
                PUBLIC.upper(): {
                    "pend": ["a", "b", "c"],
                    "rescind_pend": ["p", "c"],
                    "petition": ["c", "d", "x"],
                    "rescind_petition": ["d", "c"],
                },
                "reason": "because",
            }
        )
        (foreseen,) = await at.plan(action, [one])
        (outcome,) = await at.run(action, [one])
        assert outcome.receipt == {
            "added": {one: {MINE: ["new"]}},
            "deleted": {one: {MINE: ["here"]}},
            "pended": {one: {PUBLIC: ["a"]}},
            "rescinded_pend": {one: {PUBLIC: ["p"]}},
            "petitioned": {one: {PUBLIC: ["c"]}},
            "rescinded_petition": {one: {PUBLIC: ["d"]}},
        }
        assert foreseen.detail == f"would change: {outcome.detail}"
        assert at.simulator.tags(one) == {CURRENT: {"new"}, DELETED: {"here"}}
        assert at.simulator.tags(one, "public") == {
            CURRENT: {"c", "d"},
            PENDING: {"a", "b"},
            PETITIONED: {"c"},
        }
        assert at.written == 1


async def test_a_deleted_tag_is_pended_again_only_if_told(stage, tmp_path):
    async with editing(stage, tmp_path) as at:
        (one,) = await at.add()
        at.set_tags(one, {DELETED: ["a"]}, "public")
        (kept,) = await at.run(change(public={"pend": "a"}), [one])
        assert kept.receipt == {}
        action = ChangeTags.model_validate({"public": {"pend": "a"}, "readd_deleted": True})
        (put_back,) = await at.run(action, [one])
        assert put_back.receipt == {"pended": {one: {PUBLIC: ["a"]}}}


async def test_lost_are_those_that_need_it_again(stage, tmp_path):
    async with editing(stage, tmp_path) as at:
        one, other = await at.add(2)
        action = change(my_tags={"add": "a", "delete": "b"})
        await at.run(action, [one], [other])
        at.set_tags(other, {CURRENT: ["a", "b"]})
        assert await at.lost(action, [one], [other]) == [1]


# --- what cannot be --------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("action", "words"),
    [
        (change(my_tags={"pend": "a"}), "'my tags' is a local tag service, which takes no pend"),
        (change(public={"add": "a"}), "'public' is a tag repository, which takes no add"),
        (change(public={"delete": "a"}), "but pend, rescind_pend, petition"),
        (AddTags(nowhere="a"), "no tag service is called 'nowhere'"),
        (RemoveTags(**{"all known tags": "a"}), "tags cannot be written to it"),
    ],
)
async def test_a_service_that_does_not_take_it_is_found_before_and_at_run_time(
    stage, tmp_path, action, words
):
    async with editing(stage, tmp_path) as at:
        (fault,) = action.preflight(at.client)
        assert words in fault.message
        right = AddTags(**{"my tags": "x"})
        calls = [*at.calls(action, ["ab" * 32]), *at.calls(right, ["cd" * 32])]
        await AddTags.run_set(calls)
        assert calls[0].outcome.kind is DEAD
        assert words in calls[0].outcome.detail
        assert calls[1].outcome.kind is DONE  # one wrong item spoils no other
        (foreseen,) = await at.plan(action, ["ab" * 32])
        assert not foreseen.changes
        assert words in foreseen.detail


async def test_a_service_in_a_template_is_not_judged_before_it_is_known(stage, tmp_path):
    async with editing(stage, tmp_path) as at:
        assert list(AddTags(**{"{{ x }}": "a"}).preflight(at.client)) == []


async def test_two_services_of_one_name_are_never_guessed_between(stage, tmp_path):
    twins = (Service("twin", 0, "aa" * 32), Service("twin", 0, "bb" * 32))
    async with editing(stage, tmp_path, extra_services=twins) as at:
        (outcome,) = await at.run(AddTags(twin="a"), ["ab" * 32])
        assert outcome.kind is DEAD
        assert "2 tag services are called 'twin'" in outcome.detail
        assert at.written == 0


@pytest.mark.parametrize(
    ("step", "words"),
    [
        ("change_tags: {my tags: {ad: x}}", "ad"),
        ("change_tags: {my tags: x}", "mapping"),
        ("remove_tags: {reason: x}", "name a tag service"),
        ("change_tags: {my tags: {pend: x}}", "takes no pend"),
    ],
)
def test_rules_that_cannot_work_are_refused_at_the_start(project, step, words):
    rules = f"""
rules:
  - name: tag
    on: {{watch_folder: {{path: inbox}}}}
    do: [{{add_file: }}, {{{step}}}]
"""
    made = project({"rules.yaml": rules, "inbox/.keep": ""}, SimulatorConfig())
    with pytest.raises(ConfigError, match=words):
        made.run()


# --- plan ------------------------------------------------------------------------------------


async def test_the_plan_is_what_the_run_then_does_and_nothing_afterwards(stage, tmp_path):
    async with editing(stage, tmp_path) as at:
        (one,) = await at.add()
        at.set_tags(one, {CURRENT: ["a"]})
        action = AddTags(**{"my tags": ["a", "b"]})
        for file_hash in (one, "ef" * 32):
            (foreseen,) = await at.plan(action, [file_hash])
            (outcome,) = await at.run(action, [file_hash])
            assert (foreseen.detail, foreseen.changes) == (f"would change: {outcome.detail}", True)
            (foreseen,) = await at.plan(action, [file_hash])
            assert not foreseen.changes
        (unknown,) = await at.plan(action, [])
        assert "the steps before it name" in unknown.detail


async def test_the_plan_of_a_key_that_may_not_look_says_so(stage, tmp_path):
    async with editing(stage, tmp_path, basic={1, 2}) as at:
        (foreseen,) = await at.plan(AddTags(**{"my tags": "a"}), ["ab" * 32])
        assert "may not look" in foreseen.detail
