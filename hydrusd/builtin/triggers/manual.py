"""Notices that somebody, or another rule, asks for a rule."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import ClassVar

from hydrusd.plugin import Event, Prospect, Signal, Trigger, TriggerContext, fired_topic


class Manual(Trigger):
    """Wait until the rule is fired: by `hydrusd fire RULE` or by the action `fire`.

    What it is fired with is there by its names: `hydrusd fire greet --set name=Ann` gives
    `{{ name }}`. A `hash` (or a list, `hashes`) says which files of Hydrus the steps are about.
    `fired.by` is the rule that fired it, or `command`; `fired.at` the time.
    """

    trigger: ClassVar[str] = "manual"
    shared: ClassVar[bool] = False

    def topics(self, rules: Sequence[str]) -> Sequence[str]:
        """Listen for the rules' own names."""
        return [fired_topic(rule) for rule in rules]

    async def preview(self, context: TriggerContext) -> Prospect:
        """Say what it waits for."""
        del context
        return Prospect(detail="waits to be fired: by `hydrusd fire`, or by another rule")

    async def run(self, context: TriggerContext) -> None:
        """Take each firing as an event; those from before the daemon's start count too."""
        topics = self.topics(context.rules)
        context.working("waiting to be fired")
        while True:
            signals = await context.signals(topics, from_start=True)
            events = [Event(str(signal.id), _data(signal)) for signal in signals]
            await context.emit(events, remember={"signal": signals[-1].id})


def _data(signal: Signal) -> dict[str, object]:
    values = signal.data.get("values")
    given = dict(values) if isinstance(values, Mapping) else {}
    fired = {"by": signal.data.get("by"), "at": signal.at.isoformat(timespec="seconds")}
    return {**given, "fired": fired, "chain": signal.data.get("chain", [])}
