"""Says when a schedule fires next. The one module that uses APScheduler.

APScheduler is asked for one thing only: the next *wall-clock* time that a cron line names,
in a world without time zones. What becomes of that time where clocks are changed is decided
here, because the library's own answer there depends on when it is asked. What has been
fired, and what was missed, is not its business either: that is remembered in the ledger.

All moments that come in and go out are aware, in UTC.
"""

from __future__ import annotations

import warnings
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta, tzinfo
from typing import Any, Protocol
from zoneinfo import ZoneInfoNotFoundError

import tzlocal
from apscheduler.triggers.combining import OrTrigger
from apscheduler.triggers.cron import CronTrigger

from hydrusd.builtin.triggers._cron import CronLine
from hydrusd.plugin import PermanentError

LOOK_SECONDS = 6 * 3600
"""How far apart to look for a change of the clocks: closer than any two of them ever were."""

INTERVALS_BEGIN = datetime(2000, 1, 3)  # noqa: DTZ001 - in whatever zone the schedule has
"""Where intervals are counted from: a Monday, so that weeks begin as weeks do."""

_MOMENT = timedelta(microseconds=1)


class Calendar(Protocol):
    """Any kind of schedule."""

    def after(self, moment: datetime) -> datetime | None:
        """Give the first time that is later than this moment; None where there is none."""
        ...


def machine_zone() -> tzinfo:
    """Give the time zone that this machine is set to. Raises PermanentError."""
    try:
        with warnings.catch_warnings():
            # It warns where nothing is set and takes UTC: as good a guess as any.
            warnings.simplefilter("ignore")
            return tzlocal.get_localzone()
    except (ZoneInfoNotFoundError, ValueError, OSError) as error:
        raise PermanentError(
            f"the time zone of this machine is not known ({error}); write 'time_zone'"
        ) from error


def moment_of(wall: datetime, zone: tzinfo) -> datetime:
    """Say when the clocks of a zone show this time.

    One that they show twice is taken the first time; one that they skip is the moment at
    which they skip it.
    """
    moment = wall.replace(tzinfo=zone, fold=0).astimezone(UTC)
    if moment.astimezone(zone).replace(tzinfo=None) == wall:
        return moment
    return _change(zone, wall.replace(tzinfo=zone, fold=1).astimezone(UTC), moment)


class CronCalendar:
    """The times of a cron line.

    Where it names hours, each time that it names comes once, also on days on which the clocks
    are changed. A line for every hour follows the clocks: what they skip does not come, what
    they show twice comes twice; so a quarter of an hour stays one.
    """

    def __init__(self, line: CronLine, zone: tzinfo) -> None:
        self._zone = zone
        self._every_hour = len(line.hours) == 24
        self._walls = _walls(line)

    def after(self, moment: datetime) -> datetime | None:
        """Give the first time that is later than this moment."""
        if self._every_hour:
            return self._following_clocks(moment)
        wall = self._wall_after(_shown(moment, _offset(self._zone, moment)))
        while wall is not None:
            found = moment_of(wall, self._zone)
            if found > moment:
                return found
            wall = self._wall_after(wall)  # clocks were put back: this was an hour ago
        return None

    def _following_clocks(self, moment: datetime) -> datetime | None:
        since = moment
        while True:
            offset = _offset(self._zone, since)
            wall = self._wall_after(_shown(moment, offset))
            if wall is None:
                return None
            found = wall.replace(tzinfo=UTC) - offset
            change = _next_change(self._zone, since, found)
            if change is None:
                return found
            # Never come to: from there on the clocks show something else.
            since, moment = change, change - _MOMENT

    def _wall_after(self, wall: datetime) -> datetime | None:
        found = self._walls.get_next_fire_time(None, wall.replace(tzinfo=UTC) + _MOMENT)
        return None if found is None else found.replace(tzinfo=None)


class IntervalCalendar:
    """Times that are equally far apart, whatever the clocks do."""

    def __init__(self, every_seconds: float, begin: datetime) -> None:
        self._every = timedelta(seconds=every_seconds)
        self._begin = begin

    def after(self, moment: datetime) -> datetime | None:
        """Give the first time that is later than this moment."""
        if moment < self._begin:
            return self._begin
        return self._begin + ((moment - self._begin) // self._every + 1) * self._every


class DateCalendar:
    """Single times."""

    def __init__(self, moments: Sequence[datetime]) -> None:
        self._moments = sorted(moments)

    def after(self, moment: datetime) -> datetime | None:
        """Give the first time that is later than this moment; None when all have passed."""
        return next((each for each in self._moments if each > moment), None)


def _walls(line: CronLine) -> Any:
    """Give what finds the wall-clock times of a line, calling them UTC."""
    restrictions = [{"day": _listed(line.days, 31), "day_of_week": _weekdays(line)}]
    if line.either_day:
        restrictions = [{name: value} for name, value in restrictions[0].items()]
    triggers = [
        CronTrigger(
            month=_listed(line.months, 12),
            hour=_listed(line.hours, 24),
            minute=_listed(line.minutes, 60),
            second=0,
            timezone=UTC,
            **restriction,
        )
        for restriction in restrictions
    ]
    return OrTrigger(triggers) if len(triggers) > 1 else triggers[0]


def _weekdays(line: CronLine) -> str:
    # Cron counts from Sunday, APScheduler from Monday.
    return _listed({(day - 1) % 7 for day in line.weekdays}, 7)


def _listed(values: frozenset[int] | set[int], all_of_them: int) -> str:
    return "*" if len(values) == all_of_them else ",".join(map(str, sorted(values)))


def _shown(moment: datetime, offset: timedelta) -> datetime:
    return (moment + offset).replace(tzinfo=None)


def _offset(zone: tzinfo, moment: datetime) -> timedelta:
    offset = moment.astimezone(zone).utcoffset()
    assert offset is not None
    return offset


def _next_change(zone: tzinfo, start: datetime, end: datetime) -> datetime | None:
    """Give the first change of the clocks after ``start`` and not after ``end``."""
    offset = _offset(zone, start)
    while start < end:
        look = min(start + timedelta(seconds=LOOK_SECONDS), end)
        if _offset(zone, look) != offset:
            return _change(zone, start, look)
        start = look
    return None


def _change(zone: tzinfo, start: datetime, end: datetime) -> datetime:
    """Find the second at which the clocks, which differ at these two moments, are changed."""
    offset = _offset(zone, start)
    before, after = int(start.timestamp()), int(end.timestamp())
    while after - before > 1:
        middle = (before + after) // 2
        if _offset(zone, datetime.fromtimestamp(middle, UTC)) == offset:
            before = middle
        else:
            after = middle
    return datetime.fromtimestamp(after, UTC)
