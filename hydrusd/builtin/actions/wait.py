"""Lets an item wait before its next step."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime, time, timedelta, tzinfo
from typing import ClassVar, Self
from zoneinfo import ZoneInfo

from pydantic import Field, field_validator, model_validator

from hydrusd.plugin import AnyAction, Call, Duration, Foreseen, Outcome, OutcomeKind, SetAction


class Wait(SetAction):
    """Let an item wait before its next step: for some time, or until a time of the day.

    The end is fixed when the step is first reached: hydrusd may be stopped and started
    meanwhile. Other items and rules go on.
    """

    action: ClassVar[str] = "wait"
    no_undo: ClassVar[str] = "time does not go back"
    needs_client: ClassVar[bool] = False
    changes_client: ClassVar[bool] = False

    for_: Duration | None = Field(default=None, alias="for", description="How long, as in `2h`.")
    until: str | None = Field(
        default=None,
        pattern=r"^([01]?\d|2[0-3]):[0-5]\d$",
        description="Instead of `for`: the time of the day, as in `03:30`.",
    )
    time_zone: str | None = Field(
        default=None,
        description="The time zone of `until`, as in `Europe/Berlin`. Without: this computer's.",
    )

    @field_validator("time_zone")
    @classmethod
    def _is_known(cls, name: str | None) -> str | None:
        if name is not None:
            try:
                ZoneInfo(name)
            except (OSError, ValueError, KeyError):
                raise ValueError("there is no time zone of this name") from None
        return name

    @model_validator(mode="after")
    def _makes_sense(self) -> Self:
        if (self.for_ is None) == (self.until is None):
            raise ValueError("give either for or until")
        if self.time_zone is not None and self.until is None:
            raise ValueError("time_zone goes with until")
        return self

    @classmethod
    async def plan(cls, calls: Sequence[Call[AnyAction]]) -> Sequence[Foreseen]:
        """Say until when each would wait."""
        plans = []
        for call in calls:
            assert isinstance(call.action, Wait)
            end = call.action.end(call.clock.now())
            plans.append(Foreseen(f"would wait until {_shown(end)}", changes=False))
        return plans

    @classmethod
    async def run_set(cls, calls: Sequence[Call[SetAction]]) -> None:
        """Fix the end at first, and go on when it has come."""
        for call in calls:
            assert isinstance(call.action, Wait)
            now = call.clock.now()
            kept = call.progress.get("until")
            end = datetime.fromisoformat(kept) if isinstance(kept, str) else call.action.end(now)
            earlier = call.earlier
            waited = earlier is not None and earlier.outcome is OutcomeKind.DONE
            if waited or now >= end:
                call.finish(Outcome.done("waited"))
                continue
            detail = f"waits until {_shown(end)}"
            seconds = (end - now).total_seconds()
            values = {"until": end.isoformat()}
            call.finish(Outcome.later(detail, delay_seconds=seconds, values=values))

    def end(self, now: datetime) -> datetime:
        """Give when the wait is over that begins now."""
        if self.for_ is not None:
            return now + timedelta(seconds=self.for_)
        assert self.until is not None
        hour, minute = map(int, self.until.split(":"))
        zone: tzinfo | None = ZoneInfo(self.time_zone) if self.time_zone else None
        here = now.astimezone(zone)
        for days in range(3):
            day = here.date() + timedelta(days=days)
            # Naive and read anew each day: its distance from UTC may be another one tomorrow.
            local = datetime.combine(day, time(hour, minute), zone)
            end = local.astimezone(UTC)
            if end > now:
                return end
        raise AssertionError(f"no {self.until} after {now}")


def _shown(end: datetime) -> str:
    return f"{end.astimezone():%Y-%m-%d %H:%M:%S}"
