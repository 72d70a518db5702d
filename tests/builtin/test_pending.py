"""Pending content: one upload for many jobs, none where nothing waits, and no second loss."""

from __future__ import annotations

import pytest
from edits_acting import PUBLIC, editing
from library_acting import DEAD, DONE, LATER

from hydrusd.builtin.actions.commit_pending import CommitPending
from hydrusd.builtin.actions.forget_pending import ForgetPending
from hydrusd.errors import ConfigError, HydrusFailed, HydrusUnavailable
from hydrusd.simulator import Fault, FaultKind, Service, SimulatorConfig

pytestmark = pytest.mark.anyio

COMMIT = "/manage_services/commit_pending"
FORGET = "/manage_services/forget_pending"
ACTIONS = [CommitPending(service="public"), ForgetPending(service=PUBLIC.upper())]


def of(action):
    return COMMIT if isinstance(action, CommitPending) else FORGET


async def pend(at, *tags):
    (one,) = await at.add()
    at.set_tags(one, {1: tags, 3: ["wrong"]}, "public")
    return one


async def test_256_jobs_commit_once_and_a_repeat_finds_nothing(stage, tmp_path):
    async with editing(stage, tmp_path) as at:
        one = await pend(at, "a", "b")
        outcomes = await at.run(ACTIONS[0], *([] for _ in range(256)))
        counts = {"pending_tag_mappings": 2, "petitioned_tag_mappings": 1}
        assert at.simulator.requests[COMMIT] == 1
        assert {outcome.kind for outcome in outcomes} == {DONE}
        assert outcomes[0].receipt == {"committed": {PUBLIC: counts}}
        assert outcomes[0].detail == ("committed: 2 pending tag mappings, 1 petitioned tag mapping")
        assert at.simulator.tags(one, "public") == {0: {"a", "b"}, 2: {"wrong"}}
        (again,) = await at.run(ACTIONS[0], [])
        assert (again.kind, again.detail) == (DONE, "nothing waits to be uploaded")
        assert at.simulator.requests[COMMIT] == 1


async def test_forgetting_destroys_once_and_says_how_much(stage, tmp_path):
    async with editing(stage, tmp_path) as at:
        one = await pend(at, "a", "b")
        (foreseen,) = await at.plan(ACTIONS[1], [])
        assert foreseen.detail == (
            "would throw away, for good: 2 pending tag mappings, 1 petitioned tag mapping"
        )
        outcomes = await at.run(ACTIONS[1], [], [])
        assert outcomes[0].receipt["forgotten"][PUBLIC]["pending_tag_mappings"] == 2
        assert at.simulator.tags(one, "public") == {}
        assert at.simulator.requests[FORGET] == 1
        assert not (await at.plan(ACTIONS[1], []))[0].changes


@pytest.mark.parametrize("action", ACTIONS)
async def test_what_was_ended_is_known_when_the_note_of_it_is_lost(stage, tmp_path, action):
    async with editing(stage, tmp_path) as at:
        await pend(at, "a")
        told, again = await at.run_and_forget(action, [])
        assert told.receipt == again.receipt
        assert again.receipt[action.past][PUBLIC]["pending_tag_mappings"] == 1
        assert again.detail == "nothing waits to be uploaded"


@pytest.mark.parametrize("action", ACTIONS)
async def test_what_was_not_ended_is_not_claimed(stage, tmp_path, action):
    async with editing(stage, tmp_path) as at:
        await pend(at, "a")
        at.simulator.inject(Fault(kind=FaultKind.STATUS, path=of(action), status=409))
        (outcome,) = await at.run(action, [])
        assert outcome.receipt == {action.past: {}}


@pytest.mark.parametrize("action", ACTIONS)
async def test_while_an_upload_runs_it_waits_and_spends_no_attempt(stage, tmp_path, action):
    async with editing(stage, tmp_path) as at:
        await pend(at, "a")
        at.simulator.inject(Fault(kind=FaultKind.STATUS, path=of(action), status=409))
        first, second = await at.run(action, [], [])
        assert (first.kind, second.kind, first.delay_seconds) == (LATER, LATER, 30.0)
        (done,) = await at.run(action, [])
        assert done.kind is DONE


async def test_what_the_user_must_look_at_is_a_dead_letter(stage, tmp_path):
    async with editing(stage, tmp_path) as at:
        await pend(at, "a")
        at.simulator.inject(Fault(kind=FaultKind.STATUS, path=COMMIT, status=422))
        (outcome,) = await at.run(ACTIONS[0], [])
        assert outcome.kind is DEAD
        assert "before its user has had a look" in outcome.detail


async def test_an_upload_that_is_not_answered_is_not_told_twice(stage, tmp_path):
    async with editing(stage, tmp_path) as at:
        await pend(at, "a")
        at.simulator.inject(Fault(kind=FaultKind.CUT, path=COMMIT))
        (outcome,) = await at.run(ACTIONS[0], [])
        assert outcome.kind is DEAD
        assert outcome.detail.startswith("unknown")
        assert "look at its window" in outcome.detail
        at.simulator.inject(Fault(kind=FaultKind.WORK_THEN_CUT, path=COMMIT))
        (outcome,) = await at.run(ACTIONS[0], [])
        assert outcome.receipt["committed"][PUBLIC]["pending_tag_mappings"] == 1


@pytest.mark.parametrize(
    ("action", "fault", "error"),
    [
        (ACTIONS[0], Fault(kind=FaultKind.STATUS, path=COMMIT, status=500), HydrusFailed),
        (ACTIONS[1], Fault(kind=FaultKind.CUT, path=FORGET), HydrusUnavailable),
    ],
)
async def test_other_failures_are_the_engines(stage, tmp_path, action, fault, error):
    async with editing(stage, tmp_path) as at:
        await pend(at, "a")
        at.simulator.inject(fault)
        with pytest.raises(error):
            await at.run(action, [])


async def test_after_a_crash_committed_is_committed_again(stage, tmp_path):
    async with editing(stage, tmp_path) as at:
        await pend(at, "a")
        at.simulator.commit()
        calls = at.calls(ACTIONS[0], [])
        await CommitPending.run_set(calls)
        done = [at.after(call) for call in calls]
        assert await CommitPending.lost(done) == []
        at.simulator.crash()
        await at.client.connect()
        assert await CommitPending.lost(done) == done


async def test_after_a_crash_only_what_was_forgotten_is_forgotten_again(stage, tmp_path):
    async with editing(stage, tmp_path) as at:
        one = await pend(at, "a")
        at.simulator.commit()
        calls = at.calls(ACTIONS[1], [])
        await ForgetPending.run_set(calls)
        done = [at.after(call) for call in calls]
        assert await ForgetPending.lost(done) == []
        at.simulator.crash()
        await at.client.connect()
        assert await ForgetPending.lost(done) == done
        at.set_tags(one, {1: ["a", "new"], 3: ["wrong"]}, "public")
        assert await ForgetPending.lost(done) == []


@pytest.mark.parametrize("action", [CommitPending, ForgetPending])
async def test_a_service_to_which_nothing_is_uploaded_is_refused(stage, tmp_path, action):
    async with editing(stage, tmp_path) as at:
        for name, words in (
            ("my tags", "nothing is uploaded to it"),
            ("publik", "did you mean 'public'"),
        ):
            wrong = action(service=name)
            (fault,) = wrong.preflight(at.client)
            assert words in fault.message
            (outcome,) = await at.run(wrong, [])
            assert (outcome.kind, words in outcome.detail) == (DEAD, True)
            (foreseen,) = await at.plan(wrong, [])
            assert not foreseen.changes
        assert list(action(service="{{ x }}").preflight(at.client)) == []


async def test_an_old_client_has_no_such_call(stage, tmp_path):
    async with editing(stage, tmp_path, api_version=32) as at:
        faults = [fault.message for fault in ACTIONS[0].preflight(at.client)]
        assert "needs Client API ≥ 66" in faults[0]


RULES = """
rules:
  - name: share
    on: {watch_folder: {path: inbox, settle: 50ms}}
    do:
      - add_file:
      - add_tags: {public: a}
      - commit_pending: {service: SERVICE}
"""


def test_a_rule_tags_and_uploads(project):
    config = SimulatorConfig(extra_services=(Service("public", 0, PUBLIC),))
    made = project({"rules.yaml": RULES.replace("SERVICE", "public")}, config)
    made.drop("inbox/a.png").drop("inbox/b.png").run().assert_success()
    assert made.simulator.tags(made.sha256("inbox/b.png"), "public") == {0: {"a"}}


def test_a_rule_that_names_no_such_service_stops_the_start(project):
    config = SimulatorConfig(extra_services=(Service("public", 0, PUBLIC),))
    made = project({"rules.yaml": RULES.replace("SERVICE", "my tags")}, config)
    (made.folder / "inbox").mkdir()
    with pytest.raises(ConfigError, match="nothing is uploaded to it"):
        made.run()
