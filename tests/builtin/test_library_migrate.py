"""Migration: 200 is not done, and nothing leaves a domain before it is in the other."""

from __future__ import annotations

import pytest
from library_acting import COMICS, DEAD, DONE, LATER, acting

from hydrusd.builtin.actions.migrate_file import MigrateFile
from hydrusd.simulator import Service, SimulatorConfig

pytestmark = pytest.mark.anyio
MY_FILES = b"local files".hex()
MIGRATE = "/add_files/migrate_files"
DELETE = "/add_files/delete_files"


async def over(at, action, hashes):
    """Go on until the step is over; the outcome, and how often it said later."""
    (outcome,) = await at.run(action, hashes)
    laters = 0
    while outcome.kind is LATER:
        laters += 1
        outcome = await at.again(action, outcome, hashes)
    return outcome, laters


async def test_it_is_looked_for_until_it_is_there(stage, tmp_path):
    async with acting(stage, tmp_path, migrate_seconds=0.1) as at:
        one, two = await at.add(2)
        foreseen, _ = await at.plan(MigrateFile(to="comics"), [one], [])
        assert foreseen.changes
        outcome, laters = await over(at, MigrateFile(to="comics", give_up_after="1d"), [one, two])
        assert (outcome.kind, laters > 0) == (DONE, True)
        assert set(outcome.receipt["before"]) == {one, two}
        assert set(outcome.receipt["before"][one]["domains"]) == {MY_FILES}
        assert at.simulator.requests[DELETE] == 0
        assert {MY_FILES, COMICS} <= set((await at.row(one)).current)
        (foreseen,) = await at.plan(MigrateFile(to="comics"), [one])
        assert not foreseen.changes
        (again,) = await at.run(MigrateFile(to="comics"), [one])
        assert (again.kind, again.receipt["before"]) == (DONE, {})


async def test_a_move_leaves_only_what_it_has_reached(stage, tmp_path):
    async with acting(stage, tmp_path, migrate_seconds=1e6) as at:
        (one,) = await at.add()
        action = MigrateFile(to=["comics"], move=True, give_up_after="2m")
        (outcome,) = await at.run(action, [one])
        waits = []
        while outcome.kind is LATER:
            waits.append(outcome.delay_seconds)
            outcome = await at.again(action, outcome, [one])
        assert outcome.kind is DEAD
        assert "not put it into comics" in outcome.detail
        assert outcome.receipt["before"] == {}
        assert at.simulator.requests[DELETE] == 0
        assert (waits, sum(waits) >= 120) == (sorted(waits), True)
        # Asked again now and then, should the client have forgotten, and not at every look.
        assert 1 < at.simulator.requests[MIGRATE] < len(waits)


async def test_a_move(stage, tmp_path):
    async with acting(stage, tmp_path) as at:
        (one,) = await at.add()
        action = MigrateFile(to="comics", move=True, give_up_after="1d")
        outcome, _ = await over(at, action, [one])
        assert outcome.kind is DONE
        assert outcome.receipt["moved"] is True
        assert set(outcome.receipt["before"][one]["domains"]) == {MY_FILES}
        row = await at.row(one)
        assert COMICS in row.current
        assert MY_FILES in row.deleted
        assert at.simulator.files[one].status == "current"
        assert await at.lost(action, [one]) == []


async def test_what_is_in_no_domain_is_a_dead_letter_and_spoils_nothing(stage, tmp_path):
    async with acting(stage, tmp_path) as at:
        one, trashed = await at.add(2)
        await at.client.delete_files([trashed])
        fine, dead, unknown = await at.run(MigrateFile(to="comics"), [one], [trashed], ["ab" * 32])
        assert [o.kind for o in (fine, dead, unknown)] == [LATER, DEAD, DEAD]
        assert "no local file domain" in dead.detail


async def test_a_migration_that_the_client_forgot_is_lost(stage, tmp_path):
    async with acting(stage, tmp_path) as at:
        (one,) = await at.add()
        at.simulator.commit()
        action = MigrateFile(to="comics", give_up_after="1d")
        await over(at, action, [one])
        at.simulator.crash()
        assert await at.lost(action, [one]) == [0]


async def test_preflight(stage, tmp_path):
    async with acting(stage, tmp_path) as at:
        (fault,) = MigrateFile(to=["comics", "trash"]).preflight(at.client)
        assert (fault.path, "no local file domain" in fault.message) == (("to", 1), True)
    async with acting(stage, tmp_path, api_version=32) as at:
        (fault,) = MigrateFile(to="my files").preflight(at.client)
        assert "needs Client API ≥ 68" in fault.message


def test_from_a_rule_and_a_restart_of_the_daemon_in_the_middle(project):
    rules = """
rules:
  - name: move
    on: {watch_folder: {path: inbox, settle: 50ms}}
    do: [{add_file: }, {migrate_file: {to: comics, move: true}}]
"""
    config = SimulatorConfig(extra_services=(Service("comics", 2, COMICS),), migrate_seconds=0.8)
    made = project({"rules.yaml": rules}, config).drop("inbox/a.png")
    made.run(until=lambda made: made.simulator.requests[MIGRATE] == 1)
    made.run(jobs=1).assert_success()
    sha256 = made.sha256("inbox/a.png")
    assert set(made.simulator._store.entries[sha256].file.domains) == {COMICS}
    assert set(made.job("inbox/a.png").steps[1].receipt["before"][sha256]["domains"]) == {MY_FILES}
