from __future__ import annotations

import subprocess
import sys
from datetime import UTC, datetime, timedelta
from zoneinfo import ZoneInfo

import pytest
from pydantic import ValidationError
from scheduling import Context, Memory, World, iso, live, times, utc

from hydrusd.builtin.triggers import _calendar, schedule
from hydrusd.builtin.triggers._cron import read_cron
from hydrusd.builtin.triggers.schedule import ASLEEP, NOT_RUNNING, Schedule
from hydrusd.clock import SystemClock
from hydrusd.errors import ConfigError, PermanentError
from hydrusd.model import JobState

pytestmark = pytest.mark.anyio

START = utc("2026-05-01T00:00")
HOUR = timedelta(hours=1)


def hours(*numbers):
    return [START + HOUR * number for number in numbers]


def known(event):
    return event.data["schedule"]


async def lived(trigger, *sessions, memory=None, jumps=()):
    """Run the trigger from hour to hour, with nothing between; give its memory and contexts."""
    memory = memory or Memory()
    contexts = []
    for begin, end in sessions:
        [first, last] = hours(begin, end)
        contexts.append(await live(trigger, World(first, [], jumps), memory, last))
    return memory, contexts


# --- what a cron line means ---------------------------------------------------------------


@pytest.mark.parametrize(
    ("text", "field", "values"),
    [
        ("0-20/5,40 * * * *", "minutes", {0, 5, 10, 15, 20, 40}),
        ("*/25 * * * *", "minutes", {0, 25, 50}),
        ("0 22-23,1 * * *", "hours", {1, 22, 23}),
        ("0 0 */10 * *", "days", {1, 11, 21, 31}),
        ("0 0 * JAN,mar-May *", "months", {1, 3, 4, 5}),
        ("0 0 * * 0", "weekdays", {0}),
        ("0 0 * * 7", "weekdays", {0}),
        ("0 0 * * 1", "weekdays", {1}),
        ("0 0 * * Mon-fri", "weekdays", {1, 2, 3, 4, 5}),
        ("0 0 * * fri-sun", "weekdays", {5, 6, 0}),
        ("0 0 * * 5-7", "weekdays", {5, 6, 0}),
        ("0 0 * * sun-tue", "weekdays", {0, 1, 2}),
        ("0 0 * * */2", "weekdays", {0, 2, 4, 6}),
        ("@weekly", "weekdays", {0}),
        ("@Hourly", "minutes", {0}),
    ],
)
async def test_the_values_of_a_field(text, field, values):
    assert getattr(read_cron(text), field) == values


@pytest.mark.parametrize(
    ("text", "either"),
    [
        ("0 0 13 * 5", True),
        ("0 0 1-31 * 5", True),
        ("0 0 * * 5", False),
        ("0 0 */2 * 5", False),
        ("0 0 13 * */2", False),
    ],
)
async def test_a_day_is_one_of_both_kinds_only_where_neither_begins_with_a_star(text, either):
    assert read_cron(text).either_day is either


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        ("60 * * * *", "the minute '60' is not between 0 and 59"),
        ("0 24 * * *", "the hour '24' is not between 0 and 23"),
        ("0 0 0 * *", "the day of the month '0' is not between 1 and 31"),
        ("0 0 * 13 *", "the month '13' is not between 1 and 12"),
        ("0 0 * * 8", "the weekday '8' is not between 0 and 7"),
        ("0 0 * * monday", "the weekday 'monday' is no name; did you mean 'mon'?"),
        ("0 0 * * foo", "the weekday 'foo' is neither a number nor a name such as mon"),
        ("x 0 * * *", "the minute 'x' is not a number"),
        ("0 ³ * * *", "the hour '³' is not a number"),
        ("0 0 ? * 1", "the day of the month '?' means nothing to cron; write *"),
        ("0 0, * * *", "the hour '' is empty"),
        ("5/15 * * * *", "the minute '5/15' has no end; write 5-59/15"),
        ("0 20-4 * * *", "the hour '20-4' ends before it begins; write 20-23,…"),
        ("*/0 * * * *", "the minute '*/0' needs a number above 0 after the '/'"),
        ("*/90 * * * *", "too large a step: each field begins anew; for intervals use 'every'"),
        ("0 3 * *", "4 fields instead of five: minute, hour, day of the month, month and weekday"),
        ("0 0 3 * * *", "6 fields instead of five (there is none for seconds: use 'every')"),
        ("", "0 fields instead of five"),
        ("0 0 31 2,4 *", "the day of the month '31' is in none of the months '2,4'"),
        ("0 0 30 feb *", "the day of the month '30' is in none of the months 'feb'"),
        ("@reboot", "'@reboot' is no time; use the trigger 'startup'"),
        ("@often", "there is no '@often'; there are @yearly"),
    ],
)
async def test_what_is_wrong_with_a_line_is_said(text, problem):
    with pytest.raises(ValueError) as raised:
        read_cron(text)
    assert problem in str(raised.value)


async def test_a_leap_day_is_waited_for():
    calendar = _calendar.CronCalendar(read_cron("0 0 29 2 *"), ZoneInfo("Europe/Berlin"))
    first = calendar.after(START)
    assert [first, calendar.after(first)] == [utc("2028-02-28T23:00"), utc("2032-02-28T23:00")]


async def test_a_whole_day_that_was_skipped_fires_when_it_was():
    # Samoa went from 29 to 31 December 2011.
    zone = ZoneInfo("Pacific/Apia")
    calendar = _calendar.CronCalendar(read_cron("0 3 * * *"), zone)
    moment, found = utc("2011-12-29T00:00"), []
    for _ in range(4):
        moment = calendar.after(moment)
        found.append(f"{moment.astimezone(zone):%d %H:%M}")
    assert found == ["29 03:00", "31 00:00", "31 03:00", "01 03:00"]


# --- what rules may say ------------------------------------------------------------------


@pytest.mark.parametrize(
    ("parameters", "problem"),
    [
        ("{}", "a schedule has exactly one of cron, every and at; none is given"),
        ("{cron: '@daily', every: 1h}", "exactly one of cron, every and at; cron and every are"),
        ("{cron: 0 25 * * *}", "'cron': the hour '25' is not between 0 and 23"),
        ("{every: 15}", "'every': 15 has no unit"),
        ("{every: 500ms}", "'every' must be at least 1"),
        ("{every: 1h, jitter: 2h}", "'jitter' must not be longer than 'every'"),
        ("{cron: '@daily', start: 2026-01-01 00:00}", "'start' goes with 'every' only"),
        ("{at: 2026-12-24 18:00}", "'at' must be a list"),
        ("{at: [2026-12-24]}", "'at[1]' must be a date and a time, as in 2026-12-24 18:00"),
        ("{at: [2026-02-30 18:00]}", "'2026-02-30 18:00' does not exist"),
        ("{at: ['2026-12-24 18:00+01:00']}", "must be a date and a time"),
        ("{at: []}", "'at' names no date"),
        ("{cron: '@daily', time_zone: Europe/Belrin}", "did you mean 'Europe/Berlin'?"),
        ("{cron: '@daily', time_zone: ../../etc/passwd}", "write it as in Europe/Berlin"),
        ("{cron: '@daily', catch_up: twice}", "must be one of 'none', 'once' or 'all'"),
        ("{cron: '@daily', time_zoen: UTC}", "did you mean 'time_zone'?"),
    ],
)
async def test_what_is_wrong_with_the_parameters_is_said(parameters, problem, project):
    text = f"rules:\n- name: a\n  on:\n    schedule: {parameters}\n  do: [log: {{message: a}}]\n"
    with pytest.raises(ConfigError) as raised:
        project({"rules.yaml": text}).run()
    [found] = raised.value.problems
    assert problem in f"{found.message}; {found.hint}"
    assert found.excerpt == f"    schedule: {parameters}"


async def test_unquoted_dates_are_taken_as_written():
    trigger = Schedule(every="1d", start="2026-01-01T06:00:30")
    assert trigger.start == datetime(2026, 1, 1, 6, 0, 30)  # noqa: DTZ001 - its zone is apart
    with pytest.raises(ValidationError):
        Schedule(every="1d", start=20260101)


# --- firing ------------------------------------------------------------------------------


async def test_what_rules_see():
    memory, _ = await lived(Schedule(cron="30 2 * * *", time_zone="Asia/Kolkata"), (0, 23))
    [event] = memory.fired
    assert event.key == "a rule 2026-05-01T21:00:00Z"
    assert event.data == {
        "schedule": {
            "time": "2026-05-02T02:30:00+05:30",
            "utc": "2026-05-01T21:00:00Z",
            "missed": False,
            "late_seconds": 0,
        },
        "date": "2026-05-02",
        "time": "02:30",
        "weekday": "saturday",
    }


async def test_nothing_is_made_up_for_before_the_rule_began():
    trigger = Schedule(every="5h", start="2026-05-01 00:00", catch_up="all", time_zone="UTC")
    memory, _ = await lived(trigger, (100, 101))
    assert not memory.fired
    assert not memory.passed
    assert memory.remembered == {"last": hours(100)[0].isoformat()}
    # but from that moment on, even if it never fired before it was stopped
    await lived(trigger, (120, 121), memory=memory)
    assert times(memory.fired) == [iso(moment) for moment in hours(105, 110, 115, 120)]


async def test_a_restart_that_takes_seconds_misses_nothing():
    trigger = Schedule(every="1h", start="2026-05-01 00:00", time_zone="UTC", catch_up="none")
    memory = Memory()
    down = START + HOUR - timedelta(seconds=20)
    await live(trigger, World(START), memory, down)
    await live(trigger, World(down + timedelta(seconds=50)), memory, down + HOUR / 2)
    [event] = memory.fired
    assert known(event)["late_seconds"] == 30
    assert not known(event)["missed"]


@pytest.mark.parametrize(
    ("catch_up", "fired"), [("none", []), ("once", [9]), ("all", [3, 6, 9])], ids=str
)
async def test_missed_times_are_made_up_for_and_recorded(catch_up, fired):
    trigger = Schedule(every="3h", start="2026-05-01 00:00", time_zone="UTC", catch_up=catch_up)
    memory, _ = await lived(trigger, (1, 2), (10, 11))
    assert times(memory.fired) == [iso(moment) for moment in hours(*fired)]
    assert all(known(event)["missed"] for event in memory.fired)
    assert [known(event)["late_seconds"] for event in memory.fired] == [
        3600 * (10 - hour) for hour in fired
    ]
    passed = [hour for hour in (3, 6, 9) if hour not in fired]
    assert [known(event)["utc"] for event, _ in memory.passed] == [iso(m) for m in hours(*passed)]
    assert {reason for _, reason in memory.passed} <= {NOT_RUNNING}


async def test_a_time_that_is_on_time_makes_up_for_those_missed():
    trigger = Schedule(every="3h", start="2026-05-01 00:00", time_zone="UTC")
    memory, _ = await lived(trigger, (1, 2), (9, 10))
    assert times(memory.fired) == [iso(hours(9)[0])]
    assert not known(memory.fired[0])["missed"]
    assert len(memory.passed) == 2


async def test_a_crash_between_recording_and_firing_fires_once():
    trigger = Schedule(every="3h", start="2026-05-01 00:00", time_zone="UTC")
    memory, _ = await lived(trigger, (1, 2))
    crashed = Memory(remembered=dict(memory.remembered))
    world = World(hours(10)[0])
    world.end = hours(11)[0]
    context = Context(world, crashed)
    keep = context.emit

    async def crash(events, *, remember=None):
        raise OSError("the disk is full")

    context.emit = crash
    with pytest.raises(OSError, match="full"):
        await trigger.run(context)
    assert len(crashed.passed) == 2
    context.emit = keep
    await live(trigger, World(hours(10)[0]), crashed, hours(11)[0])
    assert times(crashed.fired) == [iso(hours(9)[0])]
    assert len(crashed.passed) == 2


async def test_of_very_many_missed_times_the_latest_are_dealt_with():
    trigger = Schedule(cron="* * * * *", time_zone="UTC", catch_up="all")
    memory, [_, context] = await lived(trigger, (0, 0.01), (50, 50.5))
    assert len(memory.fired) == 1000 + 29
    assert times(memory.fired)[0] == iso(hours(50)[0] - timedelta(minutes=999))
    [warning] = context.warnings
    assert warning == (
        "2000 more times before 2026-05-02T09:21:00Z were missed while hydrusd was not running; "
        "they are not recorded one by one"
    )


async def test_jitter_is_the_same_after_a_restart():
    trigger = Schedule(cron="0 * * * *", time_zone="UTC", jitter="50m")
    whole, _ = await lived(trigger, (0.5, 6))
    pieces, _ = await lived(trigger, *[(0.5 + n / 10, 0.6 + n / 10) for n in range(55)])
    assert times(whole.fired) == times(pieces.fired) == [iso(m) for m in hours(1, 2, 3, 4, 5)]
    late = [known(event)["late_seconds"] for event in whole.fired]
    assert [known(event)["late_seconds"] for event in pieces.fired] == late
    assert len(set(late)) == 5
    assert all(0 <= seconds <= 3000 for seconds in late)


async def test_jitter_longer_than_the_time_between_loses_nothing():
    trigger = Schedule(cron="*/10 * * * *", time_zone="UTC", jitter="1h", catch_up="all")
    memory, _ = await lived(trigger, (0.01, 5))
    due = [iso(START + timedelta(minutes=10 * n)) for n in range(1, 30)]
    assert times(memory.fired)[:23] == due[:23]
    assert not memory.passed


async def test_a_clock_far_ahead_that_is_put_right_stops_nothing():
    trigger = Schedule(every="3h", start="2026-05-01 00:00", time_zone="UTC", catch_up="none")
    jumps = [(hours(4)[0], hours(400)[0]), (hours(402)[0], hours(5)[0])]
    memory, [context] = await lived(trigger, (1, 409), jumps=jumps)
    # What was passed over meanwhile stays so; what was not come to fires in its time.
    assert times(memory.fired) == [iso(m) for m in hours(3, 402, 405, 408)]
    assert {reason for _, reason in memory.passed} == {ASLEEP}
    assert len(memory.passed) == 132
    assert datetime.fromisoformat(memory.remembered["last"]) == hours(408)[0]
    assert not context.warnings


async def test_a_clock_that_was_wrong_when_stopped_does_not_stop_the_schedule():
    trigger = Schedule(every="3h", start="2026-05-01 00:00", time_zone="UTC", catch_up="none")
    memory, _ = await lived(trigger, (4000, 4004), (1, 2), (4, 7))
    assert memory.remembered["last"] == hours(6)[0].isoformat()
    assert [known(event)["utc"] for event, _ in memory.passed] == [iso(hours(3)[0])]
    assert times(memory.fired)[1:] == [iso(hours(6)[0])]


async def test_without_a_zone_the_machine_s_is_taken(monkeypatch):
    monkeypatch.setattr(_calendar.tzlocal, "get_localzone", lambda: ZoneInfo("Asia/Kolkata"))
    memory, [context] = await lived(Schedule(at=["2026-05-01 12:00"]), (0, 10))
    assert times(memory.fired) == ["2026-05-01T06:30:00Z"]
    assert context.told[0] == ("working", "next at 2026-05-01 12:00:00 (Asia/Kolkata)")


async def test_a_machine_without_a_zone_is_said(monkeypatch):
    def lost():
        raise ValueError("two of them")

    monkeypatch.setattr(_calendar.tzlocal, "get_localzone", lost)
    with pytest.raises(PermanentError, match=r"two of them\); write 'time_zone'"):
        await lived(Schedule(every="1h"), (0, 10))


# --- the whole way -----------------------------------------------------------------------


class Shifted(SystemClock):
    """The system's clock, ahead so that it shows a wanted time now."""

    def __init__(self, now):
        self.ahead = now - datetime.now(UTC)

    def now(self):
        return super().now() + self.ahead


RULES = """
rules:
  - name: a
    on:
      schedule: {cron: 0 4 * * *, time_zone: Europe/Berlin, catch_up: %s}
    if: weekday != 'sunday'
    do:
      - log: {message: "{{ date }} {{ time }} {{ schedule.missed }}"}
  - name: b
    on:
      schedule: {cron: 0 4 * * *, time_zone: Europe/Berlin, catch_up: %s}
    do:
      - log: {message: "{{ date }}"}
"""


async def test_end_to_end_with_a_restart(project):
    made = project({"rules.yaml": RULES % ("all", "all")})
    before = datetime(2030, 5, 2, 3, 59, 59, 300_000, tzinfo=ZoneInfo("Europe/Berlin"))
    made.run(jobs=2, clock=Shifted(before))
    assert {(job.rule, job.data["schedule"]["late_seconds"]) for job in made.jobs} == {
        ("a", 0),
        ("b", 0),
    }
    made.run(jobs=9, clock=Shifted(before + timedelta(days=4, hours=1)))
    assert {job.state for job in made.jobs} == {JobState.DONE}
    # 5 May 2030 is a Sunday.
    days = {
        rule: [job.data["date"] for job in made.jobs if job.rule == rule] for rule in ("a", "b")
    }
    assert days["b"] == [f"2030-05-0{n}" for n in (2, 3, 4, 5, 6)]
    assert days["a"] == [f"2030-05-0{n}" for n in (2, 3, 4, 6)]
    assert [job.data["schedule"]["missed"] for job in made.jobs if job.rule == "b"] == [
        False, True, True, True, True,
    ]  # fmt: skip


async def test_end_to_end_what_is_passed_over_stays_so(project):
    made = project({"rules.yaml": RULES % ("once", "none")})
    before = datetime(2030, 5, 7, 3, 59, 59, 500_000, tzinfo=ZoneInfo("Europe/Berlin"))
    made.run(jobs=2, clock=Shifted(before))
    made.run(jobs=3, clock=Shifted(before + timedelta(days=3, hours=1)))
    assert [(job.rule, job.data["date"]) for job in made.jobs][2:] == [("a", "2030-05-10")]
    passed = [(each.rule, each.data["date"], each.reason) for each in made.passed_over]
    assert sorted(passed) == [
        *(("a", f"2030-05-{day}", NOT_RUNNING) for day in ("08", "09")),
        *(("b", f"2030-05-{day}", NOT_RUNNING) for day in ("08", "09", "10")),
    ]


def test_reading_rules_needs_no_library_that_calculates():
    code = (
        "import sys, hydrusd.builtin.triggers as t\n"
        "from hydrusd.builtin.triggers.schedule import Schedule\n"
        "Schedule(cron='@daily', time_zone='UTC')\n"
        "print([m for m in ('apscheduler', 'tzlocal', 'uvicorn', 'starlette') if m in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"


async def test_a_long_gap_is_gone_through_in_a_thread(monkeypatch):
    asked = []
    run_sync = schedule.to_thread.run_sync

    async def spy(function, *arguments, **options):
        asked.append(arguments)
        return await run_sync(function, *arguments, **options)

    monkeypatch.setattr(schedule.to_thread, "run_sync", spy)
    trigger = Schedule(every="10h", start="2026-05-01 00:00", time_zone="UTC")
    await lived(trigger, (1, 2), (4, 5), (90, 91))
    assert asked == [(hours(1)[0], hours(90)[0])]
