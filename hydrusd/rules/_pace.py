"""When a rule may begin its jobs, and how many of them at a time.

None of this belongs to what a rule means: a file that it has dealt with is dealt with, however
patiently that was done. So it is no part of the rule's revision, and what is changed here holds
for the jobs that wait already.

Hours are those that a clock on the wall shows. Where clocks are put back, an hour that they show
twice is allowed twice; one that they skip is not there to be allowed. Whoever writes
``22:00-06:00`` means the clock on the wall.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from enum import StrEnum
from functools import cached_property
from typing import Annotated, Any, Self
from zoneinfo import ZoneInfo

from pydantic import (
    AfterValidator,
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    StrictBool,
    WithJsonSchema,
    model_validator,
)

from hydrusd.rules._units import OR_ONE, Duration, ZoneName

WEEKDAYS = ("mon", "tue", "wed", "thu", "fri", "sat", "sun")
_LONG_WEEKDAYS = ("monday", "tuesday", "wednesday", "thursday", "friday", "saturday", "sunday")
_SPAN = re.compile(r"([01]?\d|2[0-3]):([0-5]\d)\s*-\s*(24:00|([01]?\d|2[0-3]):([0-5]\d))", re.ASCII)
_MINUTE = timedelta(minutes=1)
_DAY_MINUTES = 24 * 60
_LONGEST_WAIT = timedelta(days=9)
"""Longer than a week and a change of the clocks: by then every span has come round."""
MOST_PRIORITY = 100


class Mode(StrEnum):
    """What becomes of an event that comes while a job of the rule is not over."""

    SINGLE = "single"
    QUEUED = "queued"
    PARALLEL = "parallel"
    RESTART = "restart"

    @property
    def one_at_a_time(self) -> bool:
        """Say whether no two jobs of the rule may be under way."""
        return self is not Mode.PARALLEL


@dataclass(frozen=True, slots=True)
class Span:
    """A part of the day, in minutes since midnight. One that ends before it begins ends the next
    day.
    """

    begin: int
    end: int

    def shows(self, minute: int, day: int, days: frozenset[int]) -> bool:
        """Say whether a clock that shows this minute of this weekday (0 is Monday) is within it.

        ``days`` are those on which it begins.
        """
        if self.begin < self.end:
            return day in days and self.begin <= minute < self.end
        return (minute >= self.begin and day in days) or (
            minute < self.end and (day - 1) % 7 in days
        )

    def __str__(self) -> str:
        """Write it as it is written in a rules file."""
        ends = (self.begin, self.end)
        return "-".join(f"{minutes // 60:02}:{minutes % 60:02}" for minutes in ends)


_WHOLE_DAY = Span(0, _DAY_MINUTES)
_EVERY_DAY = frozenset(range(7))


@dataclass(frozen=True)
class Hours:
    """The hours and days on which a rule may begin jobs. ``zone`` is empty for the machine's."""

    spans: tuple[Span, ...] = (_WHOLE_DAY,)
    days: frozenset[int] = _EVERY_DAY
    zone: str = ""

    @cached_property
    def _tzinfo(self) -> ZoneInfo | None:
        return ZoneInfo(self.zone) if self.zone else None

    def are_now(self, now: datetime) -> bool:
        """Say whether jobs may begin at this time."""
        local = now.astimezone(self._tzinfo)
        minute, day = local.hour * 60 + local.minute, local.weekday()
        return any(span.shows(minute, day, self.days) for span in self.spans)

    def next(self, now: datetime) -> datetime:
        """Give the first minute, from now on, at which jobs may begin.

        Minute by minute: what the clocks do in between is whatever they do. A week of that takes
        some hundredths of a second, once for each time that a rule has to wait.
        """
        moment = now.astimezone(UTC)
        if self.are_now(moment):
            return moment
        moment = moment.replace(second=0, microsecond=0)
        end = moment + _LONGEST_WAIT
        while moment < end:
            moment += _MINUTE
            if self.are_now(moment):
                break
        return moment

    def __str__(self) -> str:
        """Say them in words."""
        words = []
        if self.spans != (_WHOLE_DAY,):
            words.append(", ".join(map(str, self.spans)))
        if self.days != _EVERY_DAY:
            words.append(f"on {', '.join(WEEKDAYS[day] for day in sorted(self.days))}")
        return " ".join(words) + (f" ({self.zone})" if self.zone else "")

    @property
    def are_always(self) -> bool:
        """Say whether there is no time at which they keep a rule waiting."""
        days = {s for s in self.spans if s == _WHOLE_DAY or s.begin == s.end}
        return bool(days) and self.days == _EVERY_DAY


@dataclass(frozen=True, slots=True)
class PaceSpec:
    """How a rule takes up its jobs.

    ``hours`` is None where all are allowed. ``client_idle``: only while the client says that it
    is. Of the rules of a client, those with the higher ``priority`` come first.
    """

    mode: Mode = Mode.PARALLEL
    cooldown_seconds: float = 0.0
    hours: Hours | None = None
    client_idle: bool = False
    priority: int = 0

    @property
    def holds(self) -> bool:
        """Say whether it can keep a job waiting that is not kept by what it works on."""
        return bool(
            self.mode.one_at_a_time or self.cooldown_seconds or self.hours or self.client_idle
        )


AT_ONCE = PaceSpec()
"""The pace of a rule that says nothing of it."""


def _listed(value: object) -> object:
    return value if isinstance(value, list | tuple) else (value,)


def _span(value: object) -> object:
    if isinstance(value, Span):
        return value
    found = _SPAN.fullmatch(value.strip()) if isinstance(value, str) else None
    if found is None:
        raise ValueError("must be hours of the day, as in 22:00-06:00")
    begin = int(found[1]) * 60 + int(found[2])
    end = _DAY_MINUTES if found[3] == "24:00" else int(found[4]) * 60 + int(found[5])
    if begin == end:
        raise ValueError("begins when it ends; leave 'hours' out for the whole day")
    return Span(begin, end)


def _day(value: object) -> object:
    name = value.strip().lower() if isinstance(value, str) else ""
    for names in (WEEKDAYS, _LONG_WEEKDAYS):
        if name in names:
            return names.index(name)
    raise ValueError(f"must be a weekday: {', '.join(WEEKDAYS)}")


def _some(value: tuple[Any, ...]) -> tuple[Any, ...]:
    if not value:
        raise ValueError("must not be empty: the rule would never begin anything")
    return value


_SPAN_SCHEMA = {
    "type": "string",
    "pattern": r"^\s*\d{1,2}:\d\d\s*-\s*\d{1,2}:\d\d\s*$",
    "description": "hours of the day, such as 22:00-06:00",
}
_DAY_SCHEMA = {"enum": [*WEEKDAYS, *_LONG_WEEKDAYS]}
_SpanField = Annotated[Span, BeforeValidator(_span), WithJsonSchema(_SPAN_SCHEMA)]
_DayField = Annotated[int, BeforeValidator(_day), WithJsonSchema(_DAY_SCHEMA)]


class Allowed(BaseModel):
    """When a rule may begin jobs; what has begun goes on to its end."""

    model_config = ConfigDict(extra="forbid")

    hours: Annotated[
        tuple[_SpanField, ...], BeforeValidator(_listed), OR_ONE, AfterValidator(_some)
    ] = Field(
        default=(_WHOLE_DAY,),
        description="Hours of the day, as in 22:00-06:00, or a list of such.",
        json_schema_extra={"default": "00:00-24:00"},
    )
    days: Annotated[
        tuple[_DayField, ...], BeforeValidator(_listed), OR_ONE, AfterValidator(_some)
    ] = Field(
        default=tuple(range(7)),
        description="Weekdays, as in sat, sun: those on which the hours begin.",
        json_schema_extra={"default": "mon, tue, wed, thu, fri, sat, sun"},
    )
    time_zone: ZoneName | None = Field(
        default=None,
        description="The zone that hours and days are in, as in Europe/Berlin. Without it, the "
        "machine's.",
    )
    client_idle: StrictBool = Field(
        default=False,
        description="Whether Hydrus must say that it is idle. Needs Client API 92.",
    )

    @model_validator(mode="after")
    def _has_a_use(self) -> Self:
        if self.time_zone and not {"hours", "days"} & self.model_fields_set:
            raise ValueError("'time_zone' goes with 'hours' or 'days' only")
        return self

    def as_hours(self) -> Hours | None:
        """Give the hours; None where all are allowed."""
        hours = Hours(self.hours, frozenset(self.days), self.time_zone or "")
        return None if hours.are_always else hours


class Pace(BaseModel):
    """How a rule takes up its jobs: keys of the rule itself."""

    model_config = ConfigDict(extra="forbid")

    mode: Mode = Field(
        default=Mode.PARALLEL,
        description="What becomes of an event while a job of the rule is not over: it is passed "
        "over (`single`), waits (`queued`), or takes the place of the older one (`restart`).",
    )
    cooldown: Duration = Field(
        default=0.0,
        description="How long the rule rests after a job began, and after one ended.",
        json_schema_extra={"default": "0s"},
    )
    allowed: Allowed = Field(default_factory=Allowed, description="When the rule may begin jobs.")
    priority: int = Field(
        default=0,
        ge=-MOST_PRIORITY,
        le=MOST_PRIORITY,
        description="Of the rules of one client, those with the higher number come first.",
    )

    def spec(self) -> PaceSpec:
        """Give it as the engine reads it."""
        allowed = self.allowed
        return PaceSpec(
            self.mode, self.cooldown, allowed.as_hours(), allowed.client_idle, self.priority
        )


PACE: Mapping[str, str] = {
    name: field.description or "" for name, field in Pace.model_fields.items()
}
"""The keys of a rule that are about its pace, and what they mean."""
