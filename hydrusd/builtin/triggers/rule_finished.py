"""Notices that a job of another rule has ended."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Annotated, Any, ClassVar, Literal

from pydantic import BeforeValidator, Field

from hydrusd.plugin import OR_ONE, Event, Fault, Signal, Trigger, TriggerContext, finished_topic

Ending = Literal["done", "skipped", "dead"]


def _listed(value: object) -> object:
    return [value] if isinstance(value, str) else value


class RuleFinished(Trigger):
    """Notice each job of other rules that ends, from the time on that the rule is there.

    Rules see `finished.rule`, `finished.state`, `finished.detail` and `finished.job`, and as
    `event` what that job's own rule saw: `event.file.name`. The files of Hydrus that it was
    about are those of the steps here. A chain of rules that would come back to a rule which is
    part of it ends there, and the ledger keeps why.
    """

    trigger: ClassVar[str] = "rule_finished"
    shared: ClassVar[bool] = False
    gives: ClassVar[Mapping[str, Any] | None] = {
        "finished": {"rule": None, "state": None, "detail": None, "job": None},
        "event": None,
        "hash": None,
        "hashes": None,
    }

    rule: Annotated[tuple[str, ...], BeforeValidator(_listed), OR_ONE] = Field(
        description="the rule, or rules, to wait for", min_length=1
    )
    state: Annotated[tuple[Ending, ...], BeforeValidator(_listed), OR_ONE] = Field(
        default=("done",), description="the endings that count: done, skipped, dead", min_length=1
    )

    def check(self, rules: Mapping[str, str]) -> Iterable[Fault]:
        """Name the rules that are not there."""
        for rule in self.rule:
            if rule not in rules:
                yield Fault(f"rule_finished waits for {rule!r}, and there is no such rule")

    def topics(self, rules: Sequence[str]) -> Sequence[str]:
        """Listen for their endings."""
        del rules
        return [finished_topic(rule) for rule in self.rule]

    async def run(self, context: TriggerContext) -> None:
        """Take each ending that counts as an event, unless that would close a circle."""
        topics = self.topics(context.rules)
        context.working(f"waiting for {', '.join(self.rule)} to finish")
        while True:
            signals = await context.signals(topics)
            events: list[Event] = []
            circles: list[Event] = []
            for signal in signals:
                if signal.data["state"] not in self.state:
                    continue
                event = _event(signal)
                chain = event.data["chain"]
                assert isinstance(chain, list)
                (circles if set(context.rules) & set(chain) else events).append(event)
            for event in circles:
                chain = event.data["chain"]
                assert isinstance(chain, list)
                circle = " → ".join([*chain, *context.rules])
                context.warn(f"a circle of rules ends here: {circle}")
                await context.pass_over([event], f"it would run in a circle: {circle}")
            await context.emit(events, remember={"signal": signals[-1].id})


def _event(signal: Signal) -> Event:
    ended = signal.data
    event = ended["event"]
    assert isinstance(event, Mapping)
    before = event.get("chain")
    chain = [*(before if isinstance(before, list) else []), ended["rule"]]
    data: dict[str, object] = {
        "finished": {name: ended[name] for name in ("rule", "state", "detail", "job")},
        "event": {name: value for name, value in event.items() if name != "chain"},
        "chain": chain,
    }
    if isinstance(ended["hashes"], list) and ended["hashes"]:
        data |= {"hash": ended["hashes"][0], "hashes": ended["hashes"]}
    return Event(str(signal.id), data)
