"""Notices that hydrusd has started."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, ClassVar

import anyio
from pydantic import Field

from hydrusd.plugin import Duration, Event, Prospect, Start, Trigger, TriggerContext


class Startup(Trigger):
    """Notice each start of hydrusd, once.

    Rules see `startup.at`, the time in ISO form (UTC).
    """

    trigger: ClassVar[str] = "startup"
    gives: ClassVar[Mapping[str, Any] | None] = {"startup": {"at": None}}

    delay: Duration = Field(default=0.0, description="how long after the start", ge=0)

    @property
    def patience(self) -> float:
        """Give its delay."""
        return self.delay

    async def preview(self, context: TriggerContext) -> Prospect:
        """Tell of the next start, as if it were now."""
        return Prospect([_event(context.start)], "when hydrusd starts the next time")

    async def run(self, context: TriggerContext) -> None:
        """Tell of it once. Each start is an event of its own: times may repeat, ids do not.

        Reading the rules again is no start: what began with that tells only what is still to come.
        """
        start = context.start
        left = start.seconds + self.delay - context.clock.monotonic()
        if left > 0 or not start.later:
            await context.clock.sleep(max(left, 0.0))
            await context.emit([_event(start)])
            context.working("told of the start")
        else:
            context.working("waits for the next start")
        await anyio.sleep_forever()


def _event(start: Start) -> Event:
    return Event(start.id, {"startup": {"at": start.at.isoformat(timespec="seconds")}})
