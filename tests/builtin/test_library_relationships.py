"""Relationships: said once, told as they were, and nothing merged or deleted that was not asked."""

from __future__ import annotations

import pytest
from library_acting import DEAD, DONE, acting
from pydantic import ValidationError

from hydrusd.builtin.actions.remove_potentials import RemovePotentials
from hydrusd.builtin.actions.set_king import SetKing
from hydrusd.builtin.actions.set_relationship import SetRelationship
from hydrusd.hydrus import HydrusClient, Pair, Relation

pytestmark = pytest.mark.anyio
SET = "/manage_file_relationships/set_file_relationships"
MY_FILES = b"local files".hex()


async def better(at, one, other):
    await at.client.set_file_relationships([Pair(one, other, Relation.A_IS_BETTER, merge=False)])


@pytest.mark.parametrize(
    "relation", ["potential", "not_related", "same_quality", "alternate", "better", "worse"]
)
async def test_each_relation_is_said_once_and_known_again(stage, tmp_path, relation):
    async with acting(stage, tmp_path) as at:
        one, other = await at.add(2)
        action = SetRelationship(to=other.upper(), relation=relation)
        (before,) = await at.plan(action, [one])
        (outcome,) = await at.run(action, [one])
        (after,) = await at.plan(action, [one])
        (again,) = await at.run(action, [one])
        assert (before.changes, after.changes) == (True, False)
        told = outcome.receipt["related"][one]
        assert (told["before"], told["kings"]) == ([], {one: one, other: other})
        assert (told["merged"], told["deleted"]) == (False, {})
        assert (again.kind, again.receipt) == (DONE, {"related": {}})
        assert at.simulator.requests[SET] == 1
        found = await at.related(one)
        assert {
            "potential": found.potentials == (other,),
            "not_related": found.false_positives == (other,),
            "same_quality": found.duplicates == (other,),
            "alternate": found.alternates == (other,),
            "better": found.duplicates == (other,) and found.is_king,
            "worse": found.duplicates == (other,) and found.king == other,
        }[relation]
        assert await at.lost(action, [one]) == []


async def test_pairs_of_many_jobs_go_in_one_request_and_know_groups(stage, tmp_path):
    async with acting(stage, tmp_path) as at:
        king, worse, *others = await at.add(6)
        await better(at, king, worse)
        action = SetRelationship(to=worse, relation="alternate")
        before = at.simulator.requests[SET]
        await at.run(action, others[:2], [others[2]], [others[2]])
        assert at.simulator.requests[SET] == before + 1
        # An alternate of a duplicate stands under the king of its group.
        assert set((await at.related(others[0])).alternates) >= {king}
        again = await at.run(action, others[:2])
        assert again[0].receipt == {"related": {}}
        (foreseen,) = await at.plan(SetRelationship(to=others[0], relation="potential"), [king])
        assert not foreseen.changes


async def test_merging_and_deleting_only_where_asked_and_not_twice(stage, tmp_path):
    async with acting(stage, tmp_path) as at:
        one, other = await at.add(2)
        await at.client.add_tags([other], {"my tags": ["good"]})
        await at.run(SetRelationship(to=other, relation="better"), [one])
        assert at.simulator.tags(one) == {}
        assert {file.status for file in at.simulator.files.values()} == {"current"}
        action = SetRelationship(to=other, relation="better", merge=True, delete_other=True)
        (outcome,) = await at.run(action, [one])
        told = outcome.receipt["related"][one]
        assert told["before"] == ["same_quality", "a_is_better"]
        # They were related so already: what is left to do is done, and nothing merged.
        assert (told["merged"], told["deleted"]) == (False, {other: [MY_FILES]})
        assert at.simulator.tags(one) == {}
        assert at.simulator.files[other].status == "trashed"
        (again,) = await at.run(action, [one])
        assert again.receipt == {"related": {}}


async def test_a_merge_with_the_relation(stage, tmp_path):
    async with acting(stage, tmp_path) as at:
        one, other = await at.add(2)
        await at.client.add_tags([other], {"my tags": ["good"]})
        action = SetRelationship(to=other, relation="better", merge=True, delete_this=True)
        (foreseen,) = await at.plan(action, [one])
        assert "merge" in foreseen.detail
        (outcome,) = await at.run(action, [one])
        assert outcome.receipt["related"][one]["merged"] is True
        assert at.simulator.tags(one) == {0: {"good"}}
        assert at.simulator.files[one].status == "trashed"


async def test_a_deletion_that_hydrus_does_not_carry_out_is_found_out(stage, tmp_path, monkeypatch):
    async with acting(stage, tmp_path) as at:
        one, other = await at.add(2)

        async def yes(*_, **__):
            """Answer 200 and do nothing."""

        monkeypatch.setattr(HydrusClient, "set_file_relationships", yes)
        action = SetRelationship(to=other, relation="better", delete_other=True)
        (outcome,) = await at.run(action, [one])
        assert (outcome.kind, "Hydrus kept" in outcome.detail) == (DEAD, True)
        assert outcome.receipt["related"][one]["deleted"] == {}


async def test_what_cannot_be_related_is_a_dead_letter(stage, tmp_path):
    async with acting(stage, tmp_path) as at:
        one, other = await at.add(2)
        unknown = SetRelationship(to="ab" * 32, relation="alternate")
        itself = SetRelationship(to=one, relation="alternate")
        rendered = SetRelationship(to="{{ nothing }}", relation="alternate")
        for action in (unknown, itself, rendered):
            (outcome,) = await at.run(action, [one])
            (foreseen,) = await at.plan(action, [one])
            assert (outcome.kind, foreseen.changes) == (DEAD, False)
        fine, none = await at.run(itself, [one, other], [])
        assert (fine.kind, set(fine.receipt["related"])) == (DONE, {other})
        assert "put add_file or add_url before it" in none.detail
        (foreseen,) = await at.plan(itself, [])
        assert foreseen.changes


@pytest.mark.parametrize(
    ("closer", "word"), [("alternate", "alternates"), ("better", "duplicates")]
)
async def test_what_hydrus_keeps_though_it_says_yes_is_a_dead_letter(stage, tmp_path, closer, word):
    async with acting(stage, tmp_path) as at:
        one, other = await at.add(2)
        await at.run(SetRelationship(to=other, relation=closer), [one])
        before = at.simulator.requests[SET]
        action = SetRelationship(to=other, relation="not_related")
        (outcome,) = await at.run(action, [one])
        (foreseen,) = await at.plan(action, [one])
        assert (outcome.kind, foreseen.changes) == (DEAD, False)
        assert f"has them as {word}" in outcome.detail
        assert at.simulator.requests[SET] == before


async def test_a_file_that_hydrus_has_never_heard_of_stays_unheard_of(stage, tmp_path):
    async with acting(stage, tmp_path) as at:
        (one,) = await at.add(1)
        action = SetRelationship(to="ab" * 32, relation="alternate")
        await at.plan(action, [one])
        for _ in range(2):
            (outcome,) = await at.run(action, [one])
            assert "never heard of" in outcome.detail
        assert set(at.simulator.files) == {one}


def test_wrong_words_are_found_when_the_rules_are_read():
    with pytest.raises(ValidationError, match="64 hexadecimal digits"):
        SetRelationship(to="abc", relation="better")
    with pytest.raises(ValidationError, match="relation"):
        SetRelationship(to="ab" * 32, relation="nicer")


async def test_without_permission_to_search_and_with_an_old_client(stage, tmp_path):
    async with acting(stage, tmp_path, basic={1, 8}) as at:
        one, other = await at.add(2)
        action = SetRelationship(to=other, relation="better", delete_other=True)
        (outcome,) = await at.run(action, [one])
        assert outcome.receipt["related"][one]["deleted"] == {other: None}
        assert at.simulator.files[other].status == "trashed"
        (again,) = await at.run(action, [one])
        assert again.receipt == {"related": {}}
    async with acting(stage, tmp_path, api_version=32) as at:
        for one in (action, SetKing(), RemovePotentials()):
            (fault,) = one.preflight(at.client)
            assert "needs Client API ≥" in fault.message


async def test_after_a_crash_the_older_state_is_kept(stage, tmp_path):
    async with acting(stage, tmp_path) as at:
        one, other = await at.add(2)
        at.simulator.add_potential_duplicates(one, other)
        at.simulator.commit()
        action = SetRelationship(to=other, relation="alternate")
        (outcome,) = await at.run(action, [one])
        assert outcome.receipt["related"][one]["before"] == ["potential"]
        at.simulator.crash()
        assert await at.lost(action, [one]) == [0]
        again = await at.again(action, outcome, [one])
        assert again.receipt == outcome.receipt


async def test_the_king(stage, tmp_path):
    async with acting(stage, tmp_path) as at:
        king, worse, alone = await at.add(3)
        await better(at, king, worse)
        foreseen = await at.plan(SetKing(), [worse], [king], [alone])
        assert [f.changes for f in foreseen] == [True, False, False]
        outcome, nothing = await at.run(SetKing(), [worse], [alone])
        assert outcome.receipt == {"before": {worse: {"king": king}}}
        assert nothing.receipt == {"before": {}}
        assert (await at.related(king)).king == worse
        (both,) = await at.run(SetKing(), [king, worse])
        (foreseen,) = await at.plan(SetKing(), [king, worse])
        assert (both.kind, foreseen.changes) == (DEAD, False)
        assert "which one is the best?" in both.detail
        assert (await at.related(king)).king == worse


async def test_potentials(stage, tmp_path):
    async with acting(stage, tmp_path) as at:
        one, other, alone = await at.add(3)
        at.simulator.add_potential_duplicates(one, other)
        foreseen = await at.plan(RemovePotentials(), [one], [alone])
        assert [f.changes for f in foreseen] == [True, False]
        outcome, nothing = await at.run(RemovePotentials(), [one], [alone])
        assert outcome.receipt == {"before": {one: {"potentials": [other]}}}
        assert (nothing.kind, nothing.receipt) == (DONE, {"before": {}})
        assert (await at.related(other)).potentials == ()
        (foreseen,) = await at.plan(RemovePotentials(), [one])
        assert not foreseen.changes
