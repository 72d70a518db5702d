"""The trigger that notices that a time has come.

What is asked again and again is one question: which of the schedule's times lie between
the last one that was dealt with, which the ledger remembers, and now? So it makes no
difference whether hydrusd was stopped meanwhile, the computer slept, or somebody set its
clock. A time is its own identity: however often it is come to, it fires once.
"""

from __future__ import annotations

import hashlib
import re
import zoneinfo
from collections import deque
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta, tzinfo
from typing import TYPE_CHECKING, Annotated, Any, ClassVar, Literal, Self

from anyio import to_thread
from pydantic import AfterValidator, BeforeValidator, Field, WithJsonSchema, model_validator

from hydrusd.builtin.triggers._cron import read_cron
from hydrusd.plugin import Duration, Event, Prospect, Trigger, TriggerContext, ZoneName

if TYPE_CHECKING:
    from hydrusd.builtin.triggers._calendar import Calendar

LONGEST_SLEEP_SECONDS = 60.0
"""A computer that slept, or a clock that was set, is found out after this at the latest."""
TIMES_TOLD = 3
"""How many of the next times a plan names."""
ON_TIME = timedelta(seconds=60)
"""What comes later than this was missed."""
MOST_MISSED = 1000
"""How many missed times are dealt with one by one."""
LONG_GAP = timedelta(days=1)
"""After a gap like this there may be many missed times: they are sought in a thread."""

NOT_RUNNING = "missed while hydrusd was not running"
ASLEEP = "missed while the computer slept or its clock was changed"

_WALL_TIME = re.compile(r"\d{4}-\d\d-\d\d[ T]\d\d:\d\d(:\d\d)?", re.ASCII)
_LAST = "last"
_NEVER = datetime.max.replace(tzinfo=UTC)

WEEKDAYS = ("monday", "tuesday", "wednesday", "thursday", "friday", "saturday", "sunday")


def _cron(text: str) -> str:
    read_cron(text)
    return text


def _wall_time(value: object) -> datetime:
    if isinstance(value, str) and _WALL_TIME.fullmatch(value.strip()):
        try:
            return datetime.fromisoformat(value.strip())
        except ValueError as error:
            raise ValueError(f"'{value}' does not exist: {error}") from None
    raise ValueError("must be a date and a time, as in 2026-12-24 18:00")


Cron = Annotated[str, AfterValidator(_cron)]
WallTime = Annotated[
    datetime,
    BeforeValidator(_wall_time),
    WithJsonSchema({"type": "string", "pattern": r"^\d{4}-\d\d-\d\d[ T]\d\d:\d\d(:\d\d)?$"}),
]


class Schedule(Trigger):
    """Fire at set times: by a cron line, at an interval, or on single dates.

    Give exactly one of `cron`, `every` and `at`.

    A schedule begins when hydrusd first sees it, and again when its parameters are changed:
    earlier times are not made up for. Later, times that came while hydrusd was not running or
    the computer slept (by more than a minute) are missed; `catch_up` says which of them still
    fire. Each of the others is recorded as passed over, with the reason.

    Where clocks are changed, a cron line that names hours (`30 2 * * *`) fires once for each
    time that it names: a time that the clocks skip fires when they skip it, one that they show
    twice fires the first time. A line for every hour (`*/15 * * * *`) follows the clocks, so
    that it stays a quarter of an hour. Intervals do not care about clocks.

    Conditions and templates see `date` (`2026-12-24`), `time` (`18:00`), `weekday` (`thursday`),
    and of the schedule `schedule.time` and `schedule.utc` (ISO 8601), `schedule.missed` (true
    where it is made up for) and `schedule.late_seconds`.
    """

    trigger: ClassVar[str] = "schedule"
    shared: ClassVar[bool] = False
    gives: ClassVar[Mapping[str, Any] | None] = {
        "schedule": {"time": None, "utc": None, "missed": None, "late_seconds": None},
        "date": None,
        "time": None,
        "weekday": None,
    }

    cron: Cron | None = Field(
        default=None,
        description="Minute, hour, day of the month, month, weekday; or an alias such as @daily. "
        "Sunday is 0, 7 or sun.",
    )
    every: Duration | None = Field(
        default=None,
        ge=1,
        description="An interval, counted from `start`, so that a restart does not shift it.",
    )
    at: tuple[WallTime, ...] | None = Field(
        default=None, description="Dates with their times, as in 2026-12-24 18:00."
    )
    start: WallTime | None = Field(
        default=None,
        description="For `every`: the first time. Without it, as if it had begun on Monday, "
        "2000-01-03 00:00.",
    )
    time_zone: ZoneName | None = Field(
        default=None,
        description="The zone that the times are in, as in Europe/Berlin. Without it, the "
        "machine's as it is when hydrusd starts.",
    )
    jitter: Duration = Field(
        default=0.0,
        ge=0,
        le=86_400,
        description="Fire up to so much later, by an amount that differs from time to time.",
        json_schema_extra={"default": "0s"},
    )
    catch_up: Literal["none", "once", "all"] = Field(
        default="once",
        description="Which missed times fire after all: none, the latest one, or all "
        "(the latest 1000).",
    )

    @model_validator(mode="after")
    def _fits_together(self) -> Self:
        kinds = [name for name in ("cron", "every", "at") if getattr(self, name) is not None]
        if len(kinds) != 1:
            said = f"{' and '.join(kinds)} are given" if kinds else "none is given"
            raise ValueError(f"a schedule has exactly one of cron, every and at; {said}")
        if self.at == ():
            raise ValueError("'at' names no date")
        if self.start is not None and self.every is None:
            raise ValueError("'start' goes with 'every' only")
        if self.every is not None and self.jitter > self.every:
            raise ValueError("'jitter' must not be longer than 'every'")
        return self

    @property
    def patience(self) -> float:
        """Give by how much it may be late."""
        return self.jitter

    async def preview(self, context: TriggerContext) -> Prospect:
        """Give the times that are made up for, and say which come next."""
        return await _Watch(self, context).foresee()

    async def run(self, context: TriggerContext) -> None:
        """Fire until cancelled."""
        await _Watch(self, context).run()


@dataclass(frozen=True, slots=True)
class _Look:
    """The times that have come: the latest of them, how many were before, and what is next."""

    come: Sequence[datetime]
    more: int
    next: datetime | None


class _Watch:
    """One run of the trigger."""

    def __init__(self, trigger: Schedule, context: TriggerContext) -> None:
        self._context = context
        self._clock = context.clock
        self._catch_up = trigger.catch_up
        self._jitter = trigger.jitter
        self._calendar, self._zone = _calendar_of(trigger)
        self._name = " ".join(context.rules)
        self._remembered = _NEVER
        self._answer: tuple[datetime, datetime | None] = (_NEVER, None)

    async def run(self) -> None:
        last = await self._dealt_with()
        reason = NOT_RUNNING
        told: datetime | str | None = ""
        while True:
            now = self._clock.now()
            # Where the clock was put back, what fired is known by its time and does not again.
            last = min(last, now)
            if now < self._remembered:
                await self._remember(now)
            look = await self._look(last, now)
            if look.come:
                await self._hand_over(look, now, reason)
            reason = ASLEEP
            # One that has come may still wait for its jitter.
            waits = look.next is not None and look.next <= now
            last = look.come[-1] if look.come and waits else last if waits else now
            if look.next != told:
                told = look.next
                self._context.working(self._prospect(look.next))
            await self._clock.sleep(self._pause(look.next))

    async def foresee(self) -> Prospect:
        now, last = self._clock.now(), await self._context.recall(_LAST)
        fired: list[Event] = []
        if isinstance(last, str):
            look = await self._look(min(datetime.fromisoformat(last), now), now)
            chosen, _ = await self._choose(look, now)
            fired = [self._event(moment, now) for moment in chosen]
        following, times = self._after(now), list[str]()
        while following is not None and len(times) < TIMES_TOLD:
            times.append(f"{following.astimezone(self._zone):%Y-%m-%d %H:%M:%S}")
            following = self._after(following)
        zone = getattr(self._zone, "key", now.astimezone(self._zone).tzname())
        coming = f"next at {', '.join(times)} ({zone})" if times else "no more times to come"
        return Prospect(fired, coming)

    async def _dealt_with(self) -> datetime:
        """Give the time up to which everything was dealt with; now, where this is a new rule."""
        last = await self._context.recall(_LAST)
        if isinstance(last, str):
            self._remembered = datetime.fromisoformat(last)
        else:
            await self._remember(self._clock.now())
        return self._remembered

    async def _remember(self, last: datetime) -> None:
        await self._context.emit([], remember={_LAST: last.isoformat()})
        self._remembered = last

    def _prospect(self, following: datetime | None) -> str:
        if following is None:
            return "no more times to come"
        local = following.astimezone(self._zone)
        return f"next at {local:%Y-%m-%d %H:%M:%S} ({getattr(self._zone, 'key', local.tzname())})"

    def _pause(self, following: datetime | None) -> float:
        if following is None:
            return LONGEST_SLEEP_SECONDS
        left = self._due(following) - self._clock.now()
        return min(max(left.total_seconds(), 0.0), LONGEST_SLEEP_SECONDS)

    # --- what has come -------------------------------------------------------------------

    async def _look(self, last: datetime, now: datetime) -> _Look:
        if now - last > LONG_GAP:
            return await to_thread.run_sync(self._look_now, last, now, abandon_on_cancel=True)
        return self._look_now(last, now)

    def _look_now(self, last: datetime, now: datetime) -> _Look:
        come: deque[datetime] = deque(maxlen=MOST_MISSED)
        count = 0
        following = self._after(last)
        while following is not None and self._due(following) <= now:
            come.append(following)
            count += 1
            following = self._after(following)
        return _Look(list(come), count - len(come), following)

    def _after(self, moment: datetime) -> datetime | None:
        """Give the first time that is later. It stays the answer until it has come."""
        asked, found = self._answer
        if moment < asked or (found is not None and moment >= found):
            found = self._calendar.after(moment)
            self._answer = (moment, found)
        return found

    def _due(self, moment: datetime) -> datetime:
        """Give the time with its jitter, which is the same whenever it is asked for."""
        if not self._jitter:
            return moment
        drawn = hashlib.sha256(self._key(moment).encode()).digest()[:8]
        share = int.from_bytes(drawn, "big") / 2**64
        return moment + timedelta(seconds=share * self._jitter)

    def _key(self, moment: datetime) -> str:
        return f"{self._name} {_iso(moment)}"

    # --- what becomes of it --------------------------------------------------------------

    async def _choose(
        self, look: _Look, now: datetime
    ) -> tuple[Sequence[datetime], Sequence[datetime]]:
        """Give what is on time or to be made up for, and what is not, of what is news."""
        unseen = await self._context.unseen([self._key(moment) for moment in look.come])
        news = [moment for moment in look.come if self._key(moment) in unseen]
        missed = [moment for moment in news if self._is_missed(moment, now)]
        fired = set(news).difference(missed)
        if self._catch_up == "all":
            fired.update(missed)
        elif self._catch_up == "once" and not fired:
            fired.update(missed[-1:])
        return [m for m in news if m in fired], [m for m in news if m not in fired]

    async def _hand_over(self, look: _Look, now: datetime, reason: str) -> None:
        """Fire what is on time and what is to be made up for; record the others."""
        fired, passed = await self._choose(look, now)
        if look.more:
            self._context.warn(
                f"{look.more} more times before {_iso(look.come[0])} were {reason}; "
                "they are not recorded one by one"
            )
        if passed:
            await self._context.pass_over([self._event(moment, now) for moment in passed], reason)
        last = look.come[-1]
        await self._context.emit(
            [self._event(moment, now) for moment in fired],
            remember={_LAST: last.isoformat()},
        )
        self._remembered = last

    def _is_missed(self, moment: datetime, now: datetime) -> bool:
        return now - self._due(moment) > ON_TIME

    def _event(self, moment: datetime, now: datetime) -> Event:
        local = moment.astimezone(self._zone)
        schedule = {
            "time": local.isoformat(),
            "utc": _iso(moment),
            "missed": self._is_missed(moment, now),
            "late_seconds": int((now - moment).total_seconds()),
        }
        return Event(
            self._key(moment),
            {
                "schedule": schedule,
                "date": f"{local:%Y-%m-%d}",
                "time": f"{local:%H:%M}",
                "weekday": WEEKDAYS[local.weekday()],
            },
        )


def _calendar_of(trigger: Schedule) -> tuple[Calendar, tzinfo]:
    # Imported late: APScheduler takes longer to import than all the rest of this trigger.
    from hydrusd.builtin.triggers import _calendar as kinds

    zone = zoneinfo.ZoneInfo(trigger.time_zone) if trigger.time_zone else kinds.machine_zone()
    if trigger.cron is not None:
        return kinds.CronCalendar(read_cron(trigger.cron), zone), zone
    if trigger.every is not None:
        start = kinds.moment_of(trigger.start or kinds.INTERVALS_BEGIN, zone)
        return kinds.IntervalCalendar(trigger.every, start), zone
    assert trigger.at is not None
    return kinds.DateCalendar([kinds.moment_of(wall, zone) for wall in trigger.at]), zone


def _iso(moment: datetime) -> str:
    return moment.astimezone(UTC).isoformat().replace("+00:00", "Z")
