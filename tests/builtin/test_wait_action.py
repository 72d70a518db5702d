"""Waiting: for a time or until one, over restarts, and through changes of the clock."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given, strategies as st
from outside import call_of, rules

from hydrusd.builtin.actions.wait import Wait
from hydrusd.clock import ManualClock, SystemClock
from hydrusd.errors import ConfigError
from hydrusd.model import JobState, OutcomeKind

ZONES = ["UTC", "Europe/Berlin", "America/New_York", "Asia/Kolkata", "Australia/Lord_Howe"]


async def called(action, clock, step=None):
    call = call_of(action, clock=clock, step=step)
    await Wait.run_set([call])
    return call.outcome


@pytest.mark.anyio
async def test_waits_so_long_and_not_anew_after_a_restart():
    action = Wait.model_validate({"for": "2h"})
    clock = ManualClock()
    first = await called(action, clock)
    assert (first.kind, first.delay_seconds) == (OutcomeKind.LATER, 7200)
    note = (OutcomeKind.LATER, first.values)
    await clock.advance(7000)  # the daemon was away, say, and starts again
    second = await called(action, clock, note)
    assert (second.kind, second.delay_seconds) == (OutcomeKind.LATER, 200)
    assert second.values == first.values
    await clock.advance(200)
    assert (await called(action, clock, note)).kind is OutcomeKind.DONE


@pytest.mark.anyio
async def test_what_has_waited_does_not_wait_again_with_the_steps_before_it():
    action = Wait.model_validate({"for": "2h"})
    again = await called(action, ManualClock(), (OutcomeKind.DONE, {}))
    assert again.kind is OutcomeKind.DONE


class LaterClock(SystemClock):
    """The clock of a machine that was off for some hours."""

    def now(self):
        return super().now() + timedelta(hours=3)


def test_the_job_goes_on_when_the_time_has_come(project):
    made = project({"rules.yaml": rules({"wait": {"for": "2h"}}, {"add_file": {}})})
    made.drop("inbox/a.jpg").run(until=lambda p: any(job.steps for job in p.jobs))
    [record] = made.job("inbox/a.jpg").steps
    assert record.outcome is OutcomeKind.LATER
    assert record.detail.startswith("waits until 2")
    made.run(clock=LaterClock()).assert_success()
    first, second = made.job("inbox/a.jpg").steps
    assert (first.detail, second.detail) == ("waited", "imported")


def test_others_do_not_wait_along(project):
    other = """
  - name: other
    on: {watch_folder: {path: other, settle: 50ms}}
    do: [add_file]
"""
    made = project({"rules.yaml": rules({"wait": {"for": "1h"}}) + other})
    made.drop("inbox/a.jpg").drop("other/b.jpg")
    made.run(until=lambda p: len(p.jobs) == 2 and JobState.DONE in {j.state for j in p.jobs})
    assert made.job("other/b.jpg").state is JobState.DONE
    assert made.job("inbox/a.jpg").state is JobState.READY


# --- until -----------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("zone", "until", "now", "end"),
    [
        ("UTC", "03:30", "2026-01-01T03:29:59+00:00", "2026-01-01T03:30:00+00:00"),
        ("UTC", "03:30", "2026-01-01T03:30:00+00:00", "2026-01-02T03:30:00+00:00"),
        ("UTC", "0:00", "2026-12-31T12:00:00+00:00", "2027-01-01T00:00:00+00:00"),
        ("Europe/Berlin", "12:00", "2026-03-28T12:00:00+00:00", "2026-03-29T10:00:00+00:00"),
        # There is no 02:30 on that day; it is an hour later then.
        ("Europe/Berlin", "02:30", "2026-03-28T12:00:00+00:00", "2026-03-29T01:30:00+00:00"),
        # There are two; the first counts, and a wait that begins behind it is one for tomorrow.
        ("Europe/Berlin", "02:30", "2026-10-25T00:00:00+00:00", "2026-10-25T00:30:00+00:00"),
        ("Europe/Berlin", "02:30", "2026-10-25T00:45:00+00:00", "2026-10-26T01:30:00+00:00"),
        ("Asia/Kolkata", "00:10", "2026-06-01T18:30:00+00:00", "2026-06-01T18:40:00+00:00"),
    ],
)
def test_the_next_time_of_the_day(zone, until, now, end):
    action = Wait(until=until, time_zone=zone)
    assert action.end(datetime.fromisoformat(now)) == datetime.fromisoformat(end)


@given(
    now=st.integers(1_577_836_800, 2_208_988_800).map(lambda s: datetime.fromtimestamp(s, UTC)),
    minutes=st.integers(0, 24 * 60 - 1),
    zone=st.sampled_from([*ZONES, None]),
)
def test_it_is_always_ahead_and_never_far(now, minutes, zone):
    end = Wait(until=f"{minutes // 60:02}:{minutes % 60:02}", time_zone=zone).end(now)
    assert end.tzinfo is UTC
    assert now < end <= now + timedelta(hours=26)


@pytest.mark.parametrize(
    ("given", "told"),
    [
        ({}, "give either for or until"),
        ({"for": "1h", "until": "03:30"}, "give either for or until"),
        ({"for": "1h", "time_zone": "UTC"}, "time_zone goes with until"),
        ({"until": "25:00"}, "until"),
        ({"until": "03:30", "time_zone": "Europe/Berln"}, "there is no time zone of this name"),
        ({"until": "03:30", "time_zone": "../../etc/passwd"}, "there is no time zone of this"),
        ({"for": "2"}, "has no unit"),
        ({"fro": "2s"}, "did you mean 'for'"),
    ],
)
def test_what_makes_no_sense_is_told_at_once(project, given, told):
    made = project({"rules.yaml": rules({"wait": given})})
    with pytest.raises(ConfigError, match=told):
        made.run()


@pytest.mark.anyio
async def test_planning_says_until_when():
    clock = ManualClock(datetime(2026, 1, 1, 12, 0).astimezone())
    [foreseen] = await Wait.plan([call_of(Wait(until="12:30"), clock=clock)])
    assert foreseen.detail == "would wait until 2026-01-01 12:30:00"
    assert not foreseen.changes
