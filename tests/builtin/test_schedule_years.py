"""Two years in four time zones: what fires is compared with a list made by brute force."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from functools import cache
from zoneinfo import ZoneInfo

import pytest
from scheduling import GRID, Memory, World, cron_times, iso, live, shown, times, utc

from hydrusd.builtin.triggers.schedule import ASLEEP, NOT_RUNNING, Schedule

pytestmark = pytest.mark.anyio

START, END = utc("2026-01-01"), utc("2028-01-01")
ZONES = ("Europe/Berlin", "America/New_York", "Asia/Kolkata", "Australia/Lord_Howe")

# As cron numbers them, Sunday is 0; as Python's isoweekday numbers them, it is 7.
LINES = {
    "30 2 * * *": lambda t: (t.hour, t.minute) == (2, 30),
    "0 3 * * 1": lambda t: (t.hour, t.minute, t.isoweekday()) == (3, 0, 1),
    "5,45 1-3 * * 0": lambda t: t.minute in {5, 45} and 1 <= t.hour <= 3 and t.isoweekday() == 7,
    "*/10 2 * * sat-7": lambda t: t.minute % 10 == 0 and t.hour == 2 and t.isoweekday() >= 6,
    "0 12 13 * fri": lambda t: (
        (t.hour, t.minute) == (12, 0) and (t.day == 13 or t.isoweekday() == 5)
    ),
    "15 4 */2 feb-apr 1": lambda t: (
        (t.hour, t.minute, t.isoweekday()) == (4, 15, 1) and t.month in {2, 3, 4} and t.day % 2 == 1
    ),
    "@monthly": lambda t: (t.hour, t.minute, t.day) == (0, 0, 1),
    "0 */2 20-31 3,10 *": lambda t: (
        t.minute == 0 and t.hour % 2 == 0 and t.day >= 20 and t.month in {3, 10}
    ),
    "0,20 * * mar,apr,oct,nov sun": lambda t: (
        t.minute in {0, 20} and t.month in {3, 4, 10, 11} and t.isoweekday() == 7
    ),
    "35 * 29 3 *": lambda t: t.minute == 35 and (t.month, t.day) == (3, 29),
}
EVERY_HOUR = {"0,20 * * mar,apr,oct,nov sun", "35 * 29 3 *"}


@cache
def walls(zone):
    return shown(ZoneInfo(zone), START - GRID, END)


@cache
def expected(zone, line):
    found = cron_times(walls(zone), LINES[line], every_hour=line in EVERY_HOUR)
    return [moment for moment in found if START < moment < END]


@pytest.mark.parametrize("zone", ZONES)
@pytest.mark.parametrize("line", LINES)
async def test_fires_exactly_when_cron_would(line, zone):
    due = expected(zone, line)
    memory = Memory()
    await live(Schedule(cron=line, time_zone=zone), World(START, due), memory, END)
    assert times(memory.fired) == [iso(moment) for moment in due]
    assert not memory.passed
    assert all(event.data["schedule"]["late_seconds"] == 0 for event in memory.fired)
    assert len(due) >= 12
    if line == "30 2 * * *":
        assert len(due) == (END - START).days  # once a day, whatever the clocks do


# What happens in these two years: hydrusd runs, is stopped, its computer sleeps (or the clock is
# put forward, which looks the same), or the clock is put back. Over changes of the clocks, too.
STORY = (
    ("run", "2026-01-01T00:00", "2026-03-28T20:07"),
    ("down", "2026-03-28T20:07", "2026-03-29T09:11"),  # Berlin puts its clocks forward
    ("run", "2026-03-29T09:11", "2026-05-05T10:02"),
    ("jump", "2026-05-05T10:02", "2026-05-20T10:33"),
    ("run", "2026-05-20T10:33", "2026-06-01T12:03"),
    ("jump", "2026-06-01T12:03", "2026-05-25T01:02"),
    ("run", "2026-05-25T01:02", "2026-10-03T02:07"),
    ("down", "2026-10-03T02:07", "2026-11-02T08:13"),  # all of them change theirs
    ("run", "2026-11-02T08:13", "2027-03-14T07:32"),
    ("jump", "2027-03-14T07:32", "2027-03-14T05:02"),  # New York: back over its own change
    ("run", "2027-03-14T05:02", "2027-04-03T14:02"),
    ("jump", "2027-04-03T14:02", "2027-04-03T17:01"),  # Lord Howe: asleep as it puts them back
    ("run", "2027-04-03T17:01", "2027-07-01T00:02"),
    ("down", "2027-07-01T00:02", "2027-06-20T00:03"),  # started with a clock that is behind
    ("run", "2027-06-20T00:03", "2027-10-05T05:01"),
    ("jump", "2027-10-05T05:01", "2027-12-01T05:02"),  # a wrong clock, put right an hour later
    ("run", "2027-12-01T05:02", "2027-12-01T06:02"),
    ("jump", "2027-12-01T06:02", "2027-10-05T06:01"),
    ("run", "2027-10-05T06:01", "2028-01-01T00:00"),
)


def told(due, catch_up):
    """Give what fires and what is passed over (with the reason) in the story, in its order."""
    fired, passed, dealt = [], [], set()
    for what, begin, end in STORY:
        come = [moment for moment in due if utc(begin) < moment <= utc(end)]
        news = [moment for moment in come if moment not in dealt]
        dealt.update(news)
        if what == "run" or catch_up == "all":
            fired += news
            continue
        reason = NOT_RUNNING if what == "down" else ASLEEP
        made_up = news[-1:] if catch_up == "once" else []
        fired += made_up
        passed += [(iso(moment), reason) for moment in news if moment not in made_up]
    return [iso(moment) for moment in fired], passed


async def lived(trigger, due):
    memory = Memory()
    start, jumps = utc(STORY[0][1]), []
    for what, begin, end in STORY:
        if what == "jump":
            jumps.append((utc(begin), utc(end)))
        elif what == "down":
            await live(trigger, World(start, due, jumps), memory, utc(begin))
            start, jumps = utc(end), []
    await live(trigger, World(start, due, jumps), memory, utc(STORY[-1][2]))
    return times(memory.fired), [(times([event])[0], reason) for event, reason in memory.passed]


@pytest.mark.parametrize("catch_up", ["none", "once", "all"])
@pytest.mark.parametrize("zone", ZONES)
@pytest.mark.parametrize("line", ["30 2 * * *", "5,45 1-3 * * 0"])
async def test_downtime_sleep_and_a_clock_that_is_set(line, zone, catch_up):
    due = expected(zone, line)
    trigger = Schedule(cron=line, time_zone=zone, catch_up=catch_up)
    assert await lived(trigger, due) == told(due, catch_up)


@pytest.mark.parametrize("catch_up", ["none", "once", "all"])
@pytest.mark.parametrize("zone", ZONES)
@pytest.mark.parametrize(
    ("begin", "hours", "parameters"),
    [
        ("2000-01-03 00:00", 55, {}),
        ("2026-02-28 13:05", 100, {"start": "2026-02-28 13:05"}),
    ],
)
async def test_intervals_are_elapsed_time(begin, hours, parameters, zone, catch_up):
    first = datetime.fromisoformat(begin).replace(tzinfo=ZoneInfo(zone)).astimezone(UTC)
    due = []
    while first < END:
        due += [first] if first > START else []
        first += timedelta(hours=hours)
    trigger = Schedule(every=f"{hours}h", time_zone=zone, catch_up=catch_up, **parameters)
    assert await lived(trigger, due) == told(due, catch_up)


async def test_dates_come_once_each_in_their_zone():
    at = [
        "2027-10-31 02:30",  # Berlin shows it twice
        "2026-12-24 18:00",
        "2025-12-31 23:59:59",  # before the rule
        "2027-03-28 02:30",  # Berlin never shows it
    ]
    due = ["2026-12-24T17:00:00Z", "2027-03-28T01:00:00Z", "2027-10-31T00:30:00Z"]
    memory = Memory()
    trigger = Schedule(at=at, time_zone="Europe/Berlin")
    context = await live(trigger, World(START, [utc(each[:-1]) for each in due]), memory, END)
    assert times(memory.fired) == due
    assert [event.data["time"] for event in memory.fired] == ["18:00", "03:00", "02:30"]
    assert context.told[-1] == ("working", "no more times to come")
