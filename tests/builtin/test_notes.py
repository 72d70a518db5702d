"""Notes: what is there is not written again, however often, and the receipt has the old text."""

from __future__ import annotations

import pytest
from edits_acting import editing
from library_acting import DEAD, DONE
from pydantic import ValidationError

from hydrusd.builtin.actions.delete_notes import DeleteNotes
from hydrusd.builtin.actions.set_notes import SetNotes
from hydrusd.errors import VersionTooOld

pytestmark = pytest.mark.anyio


def changed(file_hash, **notes):
    return {
        "changed": {file_hash: {name: {"before": b, "after": a} for name, (b, a) in notes.items()}}
    }


@pytest.mark.parametrize("api_version", [95, 32])
async def test_notes_take_the_place_of_their_namesakes(stage, tmp_path, api_version):
    async with editing(stage, tmp_path, api_version=api_version) as at:
        one, other = await at.add(2)
        await at.client.set_notes(one, {"a": "old", "b": "same", "c": "stays"})
        action = SetNotes(notes={"a": "new", "b": "same", "empty": " \n"})
        first, second = await at.run(action, [one], [other])
        assert first.receipt == changed(one, a=("old", "new"))
        assert second.receipt == changed(other, a=(None, "new"), b=(None, "same"))
        assert (first.detail, second.detail) == ("1 note set", "2 notes set")
        assert (await at.row(one)).notes == {"a": "new", "b": "same", "c": "stays"}
        written = at.written
        (again,) = await at.run(action, [one, other])
        assert (again.detail, at.written) == ("the notes are so already", written)


MERGED = pytest.mark.parametrize(
    ("conflict", "extend", "text", "kept"),
    [
        ("rename", True, "other", {"n": "first", "n (1)": "other"}),
        ("append", True, "other", {"n": "first\n\nother"}),
        ("replace", True, "other", {"n": "other"}),
        ("ignore", True, "other", {"n": "first"}),
        ("ignore", True, "the first of all", {"n": "the first of all"}),
        ("ignore", False, "the first of all", {"n": "first"}),
        ("rename", True, "first and more", {"n": "first and more"}),
        ("rename", False, "first and more", {"n": "first", "n (1)": "first and more"}),
    ],
)


@MERGED
async def test_merging_three_times_is_merging_once(stage, tmp_path, conflict, extend, text, kept):
    async with editing(stage, tmp_path) as at:
        (one,) = await at.add()
        await at.client.set_notes(one, {"n": "first"})
        action = SetNotes(notes={"n": text}, merge=True, conflict=conflict, extend=extend)
        (foreseen,) = await at.plan(action, [one])
        (outcome,) = await at.run(action, [one])
        assert (await at.row(one)).notes == kept
        assert foreseen.changes == (kept != {"n": "first"})
        new = {name: t for name, t in kept.items() if {"n": "first"}.get(name) != t}
        old = {"n": "first"}
        assert outcome.receipt.get("changed", {one: {}})[one] == {
            name: {"before": old.get(name), "after": t} for name, t in new.items()
        }
        assert await at.lost(action, [one]) == []
        written = at.written
        await at.run(action, [one])
        await at.run(action, [one])
        assert (await at.row(one)).notes == kept
        assert at.written == written


@MERGED
async def test_what_was_merged_is_known_when_the_note_of_it_is_lost(
    stage, tmp_path, conflict, extend, text, kept
):
    async with editing(stage, tmp_path) as at:
        (one,) = await at.add()
        await at.client.set_notes(one, {"n": "first", "another's": "stays"})
        action = SetNotes(notes={"n": text}, merge=True, conflict=conflict, extend=extend)
        told, again = await at.run_and_forget(action, [one])
        assert again.receipt == told.receipt
        assert (await at.row(one)).notes == {**kept, "another's": "stays"}


@pytest.mark.parametrize("conflict", ["rename", "append"])
async def test_a_text_that_hydrus_has_tidied_is_found_again(stage, tmp_path, conflict):
    async with editing(stage, tmp_path) as at:
        (one,) = await at.add()
        await at.client.set_notes(one, {"n": "first\n\nsecond line"})
        action = SetNotes(notes={"n": " second \r\n line  "}, merge=True, conflict=conflict)
        if conflict == "rename":
            await at.client.set_notes(one, {"n (1)": "second\nline"})
        written = at.written
        (outcome,) = await at.run(action, [one])
        assert (outcome.receipt, at.written) == ({}, written)


async def test_the_older_text_is_the_one_to_take_back_to(stage, tmp_path):
    async with editing(stage, tmp_path) as at:
        (one,) = await at.add()
        await at.client.set_notes(one, {"a": "old"})
        action = SetNotes(notes={"a": "new"})
        (outcome,) = await at.run(action, [one])
        await at.client.set_notes(one, {"a": "between"})
        again = await at.again(action, outcome, [one])
        assert again.receipt == changed(one, a=("old", "new"))


@pytest.mark.parametrize("api_version", [95, 32])
async def test_deleted_notes_are_kept_in_the_receipt(stage, tmp_path, api_version):
    async with editing(stage, tmp_path, api_version=api_version) as at:
        one, other = await at.add(2)
        await at.client.set_notes(one, {"a": "text", "b": "stays"})
        action = DeleteNotes(names=["a", "x", "a"])
        assert await at.lost(action, [one], [other]) == [0]
        (foreseen, _) = await at.plan(action, [one], [other])
        first, second = await at.run(action, [one], [other])
        assert foreseen.detail == "would change: 1 note deleted"
        assert first.receipt == changed(one, a=("text", None))
        assert (second.receipt, second.detail) == ({}, "there is no such note")
        assert (await at.row(one)).notes == {"b": "stays"}
        assert await at.lost(action, [one], [other]) == []


async def test_a_key_that_may_not_look_writes_all_the_same_and_claims_nothing(stage, tmp_path):
    async with editing(stage, tmp_path, basic={1, 7}) as at:
        (one,) = await at.add()
        (outcome,) = await at.run(SetNotes(notes={"a": "b"}), [one])
        assert (outcome.kind, outcome.receipt) == (DONE, None)
        (outcome,) = await at.run(DeleteNotes(names="a"), [one])
        assert (outcome.kind, outcome.receipt) == (DONE, None)
        assert await at.lost(SetNotes(notes={"a": "b"}), [one]) == [0]


async def test_an_old_client_cannot_merge_and_one_older_has_no_notes(stage, tmp_path):
    merging = SetNotes(notes={"a": "b"}, merge=True)
    async with editing(stage, tmp_path, api_version=32) as at:
        (one,) = await at.add()
        (fault,) = merging.preflight(at.client)
        assert "needs Client API ≥ 38, this client speaks 32" in fault.message
        with pytest.raises(VersionTooOld):
            await at.run(merging, [one])
        assert list(SetNotes(notes={"a": "b"}).preflight(at.client)) == []
    async with editing(stage, tmp_path, api_version=11) as at:
        (fault,) = DeleteNotes(names="a").preflight(at.client)
        assert "27" in fault.message


async def test_without_a_file_there_is_nothing_to_write_to(stage, tmp_path):
    async with editing(stage, tmp_path) as at:
        for action in (SetNotes(notes={"a": "b"}), DeleteNotes(names="a")):
            (outcome,) = await at.run(action, [])
            assert outcome.kind is DEAD
            assert "put add_file or add_url before it" in outcome.detail


@pytest.mark.parametrize(
    "parameters",
    [
        {},
        {"notes": {}},
        {"notes": {"a": "b"}, "conflict": "append"},
        {"notes": {"a": "b"}, "extend": False},
        {"notes": {"a": "b"}, "merge": True, "conflict": "guess"},
    ],
)
def test_parameters_that_mean_nothing_are_refused(parameters):
    with pytest.raises(ValidationError):
        SetNotes.model_validate(parameters)
