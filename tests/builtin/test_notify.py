"""Notifications, sent by the real Apprise to a real server."""

from __future__ import annotations

import sys
import threading

import pytest
from outside import Hook, call_of, rules, to_the_end

from hydrusd.builtin.actions import notify
from hydrusd.builtin.actions.notify import Notify
from hydrusd.clock import ManualClock
from hydrusd.errors import ConfigError
from hydrusd.model import JobState, OutcomeKind
from hydrusd.plugin import _outside


@pytest.fixture
def hook(monkeypatch):
    hook = Hook()
    monkeypatch.setenv("CHAT", f"json://user:open-sesame@127.0.0.1:{hook.port}/chat")
    monkeypatch.setenv("PHONE", f"json://127.0.0.1:{hook.port}/phone")
    yield hook
    hook.close()


@pytest.fixture(autouse=True)
def _nothing_left():
    yield
    _outside._by_loop.clear()
    notify._begun.clear()


def step(**parameters):
    return {"notify": {"to": "${env:CHAT}", "body": "new: {{ file.name }}", **parameters}}


def test_tells_each_address(project, hook):
    send = step(to=["${env:CHAT}", "${env:PHONE}"], title="For you", kind="warning")
    made = project({"rules.yaml": rules(send)}).drop("inbox/a.jpg").run().assert_success()
    assert sorted(path for _, path, _, _ in hook.requests) == ["/chat", "/phone"]
    assert [(b["title"], b["message"], b["type"]) for b in hook.bodies] == [
        ("For you", "new: a.jpg", "warning")
    ] * 2
    [record] = made.job("inbox/a.jpg").steps
    assert record.detail == "sent to 2 of 2"
    assert record.values == {"sent": 2, "failed": []}


def test_the_title_is_the_rule_unless_told(project, hook):
    project({"rules.yaml": rules(step())}).drop("inbox/a.jpg").run().assert_success()
    assert hook.bodies[0]["title"] == "outside"


@pytest.mark.anyio
async def test_one_of_two_is_enough_and_none_is_tried_again(hook):
    action = Notify(to=["${env:CHAT}", "${env:PHONE}"], body="hello")
    hook.answer(500)
    outcome = await to_the_end(action)
    assert outcome.detail == "sent to 1 of 2; JSON did not take it"
    hook.answer(500)
    hook.answer(500)
    outcome = await to_the_end(action)
    assert outcome.kind is OutcomeKind.RETRY
    assert outcome.detail == "JSON and JSON did not take the notification"


def test_what_comes_together_is_told_together(project, hook):
    made = project({"rules.yaml": rules(step(each=False))})
    for number in range(13):
        made.drop(f"inbox/{number:02}.jpg")
    made.run().assert_success()
    # They may have been noticed in two goes; never one by one.
    assert len(hook.bodies) <= 3
    told = [line for body in hook.bodies for line in body["message"].splitlines()]
    more = [int(line.split()[1]) for line in told if line.endswith(" more")]
    assert len(told) - len(more) + sum(more) == 13


@pytest.mark.anyio
async def test_ten_and_how_many_more(hook):
    calls = [
        call_of(Notify(to="${env:CHAT}", body=f"{n}", each=False), job_id=n) for n in range(12)
    ]
    await Notify.run_set(calls)
    notes = {str(call.outcome.values) for call in calls}
    assert len(notes) == 1
    # Also those that come back by themselves, in two goes, are told of the one notification.
    for some in (calls[:5], calls[5:]):
        again = [
            call_of(c.action, step=(OutcomeKind.LATER, c.outcome.values), job_id=c.job_id)
            for c in some
        ]
        await Notify.run_set(again)
        assert {call.outcome.kind for call in again} == {OutcomeKind.DONE}
    [body] = hook.bodies
    assert body["message"].splitlines() == [*(str(n) for n in range(10)), "and 2 more"]


@pytest.mark.anyio
async def test_what_differs_is_not_joined(hook):
    several = [
        Notify(to="${env:CHAT}", body="1", each=False),
        Notify(to="${env:PHONE}", body="2", each=False),
        Notify(to="${env:CHAT}", body="3", each=False, title="other"),
        Notify(to="${env:CHAT}", body="4", each=True),
    ]
    groups = Notify.groups([call_of(action) for action in several])
    assert [len(group) for group in groups] == [1, 1, 1, 1]


@pytest.mark.anyio
async def test_they_keep_to_a_pace(hook, monkeypatch):
    monkeypatch.setattr(Notify, "at_once", 100)
    clock = ManualClock()

    async def begun():
        calls = [
            call_of(Notify(to="${env:CHAT}", body="x"), job_id=n, clock=clock) for n in range(30)
        ]
        await Notify.run_set(calls)
        return sum("begun" in call.outcome.values for call in calls)

    assert await begun() == notify.MOST_A_MINUTE
    assert await begun() == 0
    await clock.advance(61)
    assert await begun() == notify.MOST_A_MINUTE


# --- what can be wrong -----------------------------------------------------------------------


def test_an_address_that_is_none_is_told_before_anything_runs(project, monkeypatch):
    monkeypatch.setenv("CHAT", "nonsense://open-sesame-5005")
    made = project({"rules.yaml": rules(step())})
    with pytest.raises(ConfigError, match="holds is no address that Apprise knows") as caught:
        made.run()
    assert "sesame" not in str(caught.value)


def test_an_address_must_not_stand_in_the_rules(project):
    made = project({"rules.yaml": rules(step(to="json://user:open-sesame@127.0.0.1"))})
    with pytest.raises(ConfigError, match="must not stand in a rules file") as caught:
        made.run()
    assert "sesame" not in str(caught.value)


def test_without_the_package_it_says_how_to_get_it(project, hook, monkeypatch):
    monkeypatch.setitem(sys.modules, "apprise", None)
    made = project({"rules.yaml": rules(step())})
    with pytest.raises(ConfigError, match=r"notify needs the package 'apprise'[\s\S]*pip install"):
        made.run()


@pytest.mark.anyio
async def test_without_the_package_a_job_says_so_too(hook, monkeypatch):
    monkeypatch.setitem(sys.modules, "apprise", None)
    outcome = await to_the_end(Notify(to="${env:CHAT}", body="x"))
    assert outcome.kind is OutcomeKind.DEAD
    assert 'pip install "hydrusd[notify]"' in outcome.detail


@pytest.mark.anyio
@pytest.mark.parametrize("body", ["", " "])
async def test_an_empty_text_is_sent_as_what_stands_above_it(hook, body):
    outcome = await to_the_end(Notify(to="${env:CHAT}", body=body, title="only this"))
    assert outcome.kind is OutcomeKind.DONE
    assert hook.bodies[0]["title"] == "only this"


def test_no_password_is_kept_or_told(project, hook, capsys):
    for _ in range(3):
        hook.answer(500)
    made = project({"rules.yaml": rules(step())}).drop("inbox/a.jpg")
    made.run(until=lambda p: any(job.steps and job.steps[0].outcome == "retry" for job in p.jobs))
    told = capsys.readouterr()
    kept = b"".join(file.read_bytes() for file in made.state_dir.iterdir())
    assert b"sesame" not in kept
    assert "sesame" not in told.out + told.err + made.story()


def test_stopped_in_the_middle_it_is_not_sent_again(project, hook):
    hook.held.clear()
    made = project({"rules.yaml": rules(step())}).drop("inbox/a.jpg")
    # A server that does not answer must not keep the daemon from stopping.
    threading.Timer(5, hook.held.set).start()
    made.run(until=lambda _: bool(hook.requests))
    hook.held.set()
    made.run(jobs=1)
    assert made.job("inbox/a.jpg").state is JobState.DEAD
    assert len(hook.requests) == 1


@pytest.mark.anyio
async def test_planning_says_what_would_be_told_and_tells_nobody(hook):
    [foreseen] = await Notify.plan([call_of(Notify(to="${env:CHAT}", body="hello"))])
    assert (foreseen.detail, foreseen.changes) == ("would notify: hello", True)
    assert hook.requests == []
