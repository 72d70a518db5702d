"""The inbox: what was not so already is changed, claimed and, after a crash, changed again."""

from __future__ import annotations

import pytest
from library_acting import DEAD, DONE, acting

from hydrusd.builtin.actions.archive_file import ArchiveFile
from hydrusd.builtin.actions.unarchive_file import UnarchiveFile
from hydrusd.errors import ConfigError
from hydrusd.simulator import SimulatorConfig

pytestmark = pytest.mark.anyio
RULES = """
rules:
  - name: archive
    on: {watch_folder: {path: inbox, settle: 50ms}}
    do: [{add_file: }, {archive_file: }]
"""


@pytest.mark.parametrize("api_version", [95, 32])
async def test_a_set_is_archived_by_one_request_and_each_old_state_told(
    stage, tmp_path, api_version
):
    async with acting(stage, tmp_path, api_version=api_version) as at:
        one, two, there = await at.add(3)
        await at.client.archive_files([there])
        before = at.written
        outcomes = await at.run(ArchiveFile(), [one, there], [two], [there])
        assert [outcome.kind for outcome in outcomes] == [DONE] * 3
        assert outcomes[0].receipt == {"before": {one: {"inbox": True}}}
        assert outcomes[1].receipt == {"before": {two: {"inbox": True}}}
        assert outcomes[2].receipt == {"before": {}}
        assert at.written == before + 1
        assert not any(file.inbox for file in at.simulator.files.values())
        await at.run(ArchiveFile(), [one], [two])
        assert at.written == before + 1


async def test_the_same_file_in_two_jobs_is_claimed_by_one(stage, tmp_path):
    async with acting(stage, tmp_path) as at:
        (one,) = await at.add()
        first, second = await at.run(ArchiveFile(), [one], [one])
        assert first.receipt == {"before": {one: {"inbox": True}}}
        assert second.receipt == {"before": {}}


async def test_back_into_the_inbox_with_the_time_it_was_archived(stage, tmp_path):
    async with acting(stage, tmp_path) as at:
        (one,) = await at.add()
        await at.client.archive_files([one])
        archived_at = (await at.row(one)).archived_at
        (outcome,) = await at.run(UnarchiveFile(), [one])
        state = {"inbox": False, "archived_at": archived_at.isoformat()}
        assert outcome.receipt == {"before": {one: state}}
        assert at.simulator.files[one].inbox


@pytest.mark.parametrize("action", [ArchiveFile(), UnarchiveFile()])
async def test_what_is_not_there_is_a_dead_letter_unless_others_are(stage, tmp_path, action):
    async with acting(stage, tmp_path) as at:
        here, trashed = await at.add(2)
        await at.client.delete_files([trashed])
        outcomes = await at.run(action, ["ab" * 32], [trashed], [here, trashed], [])
        assert [outcome.kind for outcome in outcomes] == [DEAD, DEAD, DONE, DEAD]
        assert "does not have the file" in outcomes[0].detail
        assert "trash" in outcomes[1].detail
        assert "not 1" in outcomes[2].detail
        assert "put add_file or add_url before it" in outcomes[3].detail


async def test_a_key_that_may_not_look_archives_all_the_same_and_claims_nothing(stage, tmp_path):
    async with acting(stage, tmp_path, basic={1}) as at:
        (one,) = await at.add()
        (outcome,) = await at.run(ArchiveFile(), [one])
        assert (outcome.kind, outcome.receipt) == (DONE, None)
        assert not at.simulator.files[one].inbox
        assert await at.lost(ArchiveFile(), [one]) == [0]


async def test_the_plan_tells_the_truth_before_and_after(stage, tmp_path):
    async with acting(stage, tmp_path) as at:
        (one,) = await at.add()
        (before,) = await at.plan(ArchiveFile(), [one])
        await at.run(ArchiveFile(), [one])
        after, new, none = await at.plan(ArchiveFile(), [one], ["ab" * 32], [])
        assert [f.changes for f in (before, after, new, none)] == [True, False, True, True]


async def test_lost_is_what_is_in_the_inbox_again(stage, tmp_path):
    async with acting(stage, tmp_path) as at:
        one, two = await at.add(2)
        at.simulator.commit()
        await at.run(ArchiveFile(), [one])
        at.simulator.commit()
        (outcome,) = await at.run(ArchiveFile(), [two])
        at.simulator.crash()
        assert await at.lost(ArchiveFile(), [one], [two]) == [1]
        again = await at.again(ArchiveFile(), outcome, [two])
        assert again.receipt == outcome.receipt
        assert not at.simulator.files[two].inbox


def test_from_a_rule_and_after_a_crash_of_the_client(project):
    made = project({"rules.yaml": RULES}).drop("inbox/a.png").run().assert_success()
    assert not made.simulator.files[made.sha256("inbox/a.png")].inbox
    assert set(made.job("inbox/a.png").steps[1].receipt["before"]) == {made.sha256("inbox/a.png")}


def test_a_client_too_old_for_it_is_told_before_anything_happens(project):
    made = project({"rules.yaml": RULES}, SimulatorConfig(api_version=11)).drop("inbox/a.png")
    with pytest.raises(ConfigError, match="needs Client API ≥ 15, this client speaks 11"):
        made.run()
