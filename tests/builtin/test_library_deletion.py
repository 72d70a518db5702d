"""Deletion in Hydrus: where it was is told, for good only when asked, and back again."""

from __future__ import annotations

import pytest
from library_acting import COMICS, DEAD, DONE, LATER, acting
from pydantic import ValidationError

from hydrusd.builtin.actions.clear_deletion_record import ClearDeletionRecord
from hydrusd.builtin.actions.delete_file import DeleteFile
from hydrusd.builtin.actions.undelete_file import UndeleteFile
from hydrusd.hydrus import HydrusClient
from hydrusd.plugin import FileSource, PermissionMissing

pytestmark = pytest.mark.anyio
MY_FILES = b"local files".hex()


async def in_both(at, sha256):
    await at.client.migrate_files([sha256], ["comics"])
    while COMICS not in (await at.row(sha256)).current:
        pass


def noticed(path):
    return {"file": FileSource.of(path, path.parent, path.stat()).to_data()}


@pytest.mark.parametrize("api_version", [95, 32])
async def test_to_the_trash_by_default_and_where_it_was_is_told(stage, tmp_path, api_version):
    async with acting(stage, tmp_path, api_version=api_version) as at:
        one, two = await at.add(2)
        await at.client.archive_files([two])
        imported_at = (await at.row(one)).current[MY_FILES].imported_at.isoformat()
        (outcome,) = await at.run(DeleteFile(), [one, two])
        assert outcome.kind is DONE
        assert outcome.receipt["permanently"] is False
        was = {"domains": {MY_FILES: imported_at}, "inbox": True, "trashed": False}
        assert outcome.receipt["before"][one] == was
        assert outcome.receipt["before"][two]["inbox"] is False
        assert {file.status for file in at.simulator.files.values()} == {"trashed"}
        before = at.written
        (again,) = await at.run(DeleteFile(), [one, "ab" * 32])
        assert (again.kind, again.receipt["before"], at.written) == (DONE, {}, before)


async def test_the_reason_is_noted(stage, tmp_path):
    async with acting(stage, tmp_path) as at:
        one, two = await at.add(2)
        await at.run(DeleteFile(), [one])
        await at.run(DeleteFile(reason="too dark"), [two])
        entries = at.simulator._store.entries
        assert entries[one].file.delete_reason == "hydrusd: a rule"
        assert entries[two].file.delete_reason == "too dark"


async def test_out_of_one_domain_it_stays_in_the_other(stage, tmp_path):
    async with acting(stage, tmp_path) as at:
        one, two = await at.add(2)
        await in_both(at, one)
        outcomes = await at.run(DeleteFile(domains="comics"), [one], [two])
        assert set(outcomes[0].receipt["before"][one]["domains"]) == {MY_FILES, COMICS}
        assert outcomes[1].receipt["before"] == {}
        assert COMICS not in (await at.row(one)).current
        assert {file.status for file in at.simulator.files.values()} == {"current"}


async def test_for_good_only_where_asked_and_a_trashed_file_too(stage, tmp_path):
    async with acting(stage, tmp_path) as at:
        one, trashed = await at.add(2)
        await at.client.delete_files([trashed])
        (outcome,) = await at.run(DeleteFile(permanently=True), [one, trashed])
        assert outcome.receipt["permanently"] is True
        assert outcome.receipt["before"][trashed]["trashed"] is True
        assert {file.status for file in at.simulator.files.values()} == {"deleted"}


async def test_a_locked_file_is_a_dead_letter_and_spoils_it_for_no_other(stage, tmp_path):
    async with acting(stage, tmp_path, archived_files_delete_locked=True) as at:
        hashes = await at.add(5)
        await at.client.archive_files([hashes[3]])
        outcomes = await at.run(DeleteFile(permanently=True), *([h] for h in hashes))
        assert [outcome.kind for outcome in outcomes] == [DONE, DONE, DONE, DEAD, DONE]
        assert "delete locked" in outcomes[3].detail
        assert outcomes[3].receipt["before"] == {}
        files = at.simulator.files
        assert [files[h].status for h in hashes].count("current") == 1


async def test_what_hydrus_keeps_without_a_word_is_found_out(stage, tmp_path, monkeypatch):
    async with acting(stage, tmp_path) as at:
        (one,) = await at.add()

        async def yes(*_, **__):
            """Answer 200 and do nothing, as a client does with a locked file."""

        monkeypatch.setattr(HydrusClient, "delete_files", yes)
        (outcome,) = await at.run(DeleteFile(), [one])
        assert (outcome.kind, outcome.receipt["before"]) == (DEAD, {})
        assert "locked" in outcome.detail


def test_permanently_and_domains_exclude_each_other():
    with pytest.raises(ValidationError, match="leave out domains"):
        DeleteFile(permanently=True, domains="comics")


async def test_preflight_names_what_the_client_does_not_have(stage, tmp_path):
    async with acting(stage, tmp_path) as at:
        action = DeleteFile(domains=["comic", "{{ file.stem }}", "trash", "my files"])
        faults = list(action.preflight(at.client))
        assert [fault.path for fault in faults] == [("domains", 0), ("domains", 2)]
        assert "did you mean 'comics'" in faults[0].message
    async with acting(stage, tmp_path, api_version=32) as at:
        (fault,) = DeleteFile(domains=["comics", "my files"]).preflight(at.client)
        assert "needs Client API ≥ 41" in fault.message


async def test_the_plan_of_a_deletion(stage, tmp_path):
    async with acting(stage, tmp_path) as at:
        (one,) = await at.add()
        (before,) = await at.plan(DeleteFile(), [one])
        await at.run(DeleteFile(), [one])
        (after,) = await at.plan(DeleteFile(), [one])
        (for_good,) = await at.plan(DeleteFile(permanently=True), [one])
        assert [f.changes for f in (before, after, for_good)] == [True, False, True]


async def test_a_deletion_that_the_client_forgot_is_lost(stage, tmp_path):
    async with acting(stage, tmp_path) as at:
        (one,) = await at.add()
        at.simulator.commit()
        (outcome,) = await at.run(DeleteFile(), [one])
        assert await at.lost(DeleteFile(), [one]) == []
        at.simulator.crash()
        assert await at.lost(DeleteFile(), [one]) == [0]
        again = await at.again(DeleteFile(), outcome, [one])
        assert again.receipt == outcome.receipt


@pytest.mark.parametrize("api_version", [95, 32])
async def test_back_from_the_trash(stage, tmp_path, api_version):
    async with acting(stage, tmp_path, api_version=api_version) as at:
        one, two = await at.add(2)
        await at.client.delete_files([one])
        foreseen = await at.plan(UndeleteFile(), [one], [two])
        assert [f.changes for f in foreseen] == [True, False]
        outcome, nothing = await at.run(UndeleteFile(), [one], [two])
        assert MY_FILES in outcome.receipt["before"][one]["deleted_from"]
        assert (nothing.kind, nothing.receipt["before"]) == (DONE, {})
        assert {file.status for file in at.simulator.files.values()} == {"current"}
        (after,) = await at.plan(UndeleteFile(), [one])
        assert not after.changes


async def test_what_cannot_come_back_is_a_dead_letter(stage, tmp_path):
    async with acting(stage, tmp_path) as at:
        gone, trashed = await at.add(2)
        await at.client.delete_files([gone], permanently=True)
        await at.client.delete_files([trashed])
        (for_good,) = await at.run(UndeleteFile(), [gone])
        (elsewhere,) = await at.run(UndeleteFile(domains="comics"), [trashed])
        assert (for_good.kind, elsewhere.kind) == (DEAD, DEAD)
        assert "not even in its trash" in for_good.detail
        assert "use migrate_file" in elsewhere.detail


async def test_before_add_file_both_go_by_the_file_on_disk(stage, tmp_path):
    async with acting(stage, tmp_path) as at:
        path, sha256 = at.picture()
        data = noticed(path)
        for action in (UndeleteFile(), ClearDeletionRecord()):
            (outcome,) = await at.run(action, [], data=data)
            assert (outcome.kind, outcome.receipt["before"]) == (DONE, {})
            (foreseen,) = await at.plan(action, [], data=data)
            assert not foreseen.changes
        await at.client.add_file(path)
        await at.client.delete_files([sha256])
        (outcome,) = await at.run(UndeleteFile(), [], data=data)
        assert set(outcome.receipt["before"]) == {sha256}
        await at.client.delete_files([sha256], permanently=True)
        (nothing,) = await at.run(UndeleteFile(), [], data=data)
        assert nothing.kind is DONE
        (foreseen,) = await at.plan(ClearDeletionRecord(), [], data=data)
        assert foreseen.changes
        (outcome,) = await at.run(ClearDeletionRecord(), [], data=data)
        assert set(outcome.receipt["before"]) == {sha256}
        assert (await at.client.add_file(path)).status == 1
        path.write_bytes(b"something else")
        (changed,) = await at.run(UndeleteFile(), [], data=data)
        assert "has changed" in changed.detail


async def test_a_record_that_hydrus_clears_late_is_looked_for_and_given_up(
    stage, tmp_path, monkeypatch
):
    async with acting(stage, tmp_path) as at:
        (one,) = await at.add()
        await at.client.delete_files([one], permanently=True)
        real = HydrusClient.clear_file_deletion_record

        async def yes(*_, **__):
            """Answer 200 and do it later."""

        monkeypatch.setattr(HydrusClient, "clear_file_deletion_record", yes)
        action = ClearDeletionRecord(give_up_after="30s")
        (outcome,) = await at.run(action, [one])
        assert outcome.kind is LATER
        late = await at.again(action, outcome, [one])
        assert late.kind is LATER
        await real(at.client, [one])
        done = await at.again(action, late, [one])
        assert (done.kind, set(done.receipt["before"])) == (DONE, {one})
        await at.client.add_file(next(tmp_path.glob(f"{one[:8]}*")))
        await at.client.delete_files([one], permanently=True)
        (outcome,) = await at.run(action, [one])
        for _ in range(20):
            if outcome.kind is not LATER:
                break
            outcome = await at.again(action, outcome, [one])
        assert outcome.kind is DEAD
        assert "not cleared" in outcome.detail


async def test_without_permission_to_look_the_rule_waits(stage, tmp_path):
    async with acting(stage, tmp_path, basic={1}) as at:
        (one,) = await at.add()
        with pytest.raises(PermissionMissing):
            await at.run(ClearDeletionRecord(), [one])
