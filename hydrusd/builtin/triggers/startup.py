"""Notices that hydrusd has started."""

from __future__ import annotations

import uuid
from collections.abc import Mapping
from typing import Any, ClassVar

import anyio
from pydantic import Field

from hydrusd.plugin import Duration, Event, Prospect, Trigger, TriggerContext


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
        return Prospect([self._event(context)], "when hydrusd starts the next time")

    async def run(self, context: TriggerContext) -> None:
        """Tell of it once. Each start is an event of its own: times may repeat, ids do not."""
        event = self._event(context)
        await context.clock.sleep(self.delay)
        await context.emit([event])
        context.working("told of the start")
        await anyio.sleep_forever()

    def _event(self, context: TriggerContext) -> Event:
        at = context.clock.now()
        return Event(uuid.uuid4().hex, {"startup": {"at": at.isoformat(timespec="seconds")}})
