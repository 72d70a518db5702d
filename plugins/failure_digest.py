"""Collects the jobs that have failed, and tells of them together, once a day or so.

    rules:
      - name: what went wrong today
        on:
          failures: {rule: [import my downloads, feeds], every: 1d}
        do:
          - notify: {to: {secret: "${env:ME}"}, message: "{{ failures.text }}"}

A message for each of a thousand broken files is read by nobody. This one message comes when the
first failure is `every` old, and tells of all until then; where nothing fails, nothing comes.

What was collected is remembered in the ledger in the same transaction that moves on from it:
killed at any moment, it neither forgets a failure nor tells of it twice.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from datetime import datetime, timedelta
from typing import Annotated, Any, ClassVar

import anyio
from pydantic import BeforeValidator, Field

from hydrusd.plugin import (
    OR_ONE,
    Duration,
    Event,
    Fault,
    Signal,
    Trigger,
    TriggerContext,
    finished_topic,
    hookimpl,
    redact,
)

MOST_TOLD = 100
"""How many failures are told of one by one; the others are counted."""
DETAIL_CHARACTERS = 300
LONGEST_SLEEP_SECONDS = 60.0
"""A computer that slept, or a clock that was set, is found out after this at the latest."""

_KEPT = "collected"


def _listed(value: object) -> object:
    return [value] if isinstance(value, str) else value


class Failures(Trigger):
    """Notice, once in a while, all that has failed: jobs that became dead letters.

    Rules see `failures.count`, `failures.text` (a few lines to send to somebody) and
    `failures.items`: the first 100, each with `rule`, `job`, `detail` and `name`.
    """

    trigger: ClassVar[str] = "failures"
    shared: ClassVar[bool] = False

    rule: Annotated[tuple[str, ...], BeforeValidator(_listed), OR_ONE] = Field(
        description="The rule, or rules, whose failures count.", min_length=1
    )
    every: Duration = Field(
        default=86_400.0, gt=0, description="How long to collect, from the first failure on."
    )

    def check(self, rules: Mapping[str, str]) -> Iterable[Fault]:
        """Name the rules that are not there."""
        for rule in self.rule:
            if rule not in rules:
                yield Fault(f"failures waits for {rule!r}, and there is no such rule")

    def topics(self, rules: Sequence[str]) -> Sequence[str]:
        """Listen for their endings. Not for its own: a message that fails would be told of."""
        return [finished_topic(rule) for rule in self.rule if rule not in rules]

    async def run(self, context: TriggerContext) -> None:
        """Collect, and tell when it is time."""
        topics = self.topics(context.rules)
        if not topics:
            context.waiting("it would only wait for its own failures: name other rules")
            await context.clock.sleep(float("inf"))
        kept = await context.recall(_KEPT)
        collected: dict[str, Any] = dict(kept) if isinstance(kept, Mapping) else {}
        while True:
            context.working(_said(collected, ", ".join(self.rule)))
            due = self._seconds_left(collected, context.clock.now())
            if due is not None and due <= 0:
                await context.emit([_event(collected)], remember={_KEPT: None})
                collected = {}
                continue
            signals = await _signals(context, topics, due)
            if not signals:
                continue
            failed = [signal for signal in signals if signal.data["state"] == "dead"]
            if failed:
                collected = _with(collected, failed)
            remember: dict[str, object] = {"signal": signals[-1].id, _KEPT: collected or None}
            await context.emit([], remember=remember)

    def _seconds_left(self, collected: Mapping[str, Any], now: datetime) -> float | None:
        if not collected:
            return None
        since = datetime.fromisoformat(collected["since"])
        return (since + timedelta(seconds=self.every) - now).total_seconds()


async def _signals(
    context: TriggerContext, topics: Sequence[str], due: float | None
) -> Sequence[Signal]:
    """Wait for signals, or until it is time to look at the clock again."""
    if due is None:
        return await context.signals(topics)
    found: Sequence[Signal] = ()
    async with anyio.create_task_group() as tasks:

        async def ring() -> None:
            await context.clock.sleep(min(due, LONGEST_SLEEP_SECONDS))
            tasks.cancel_scope.cancel()

        tasks.start_soon(ring, name="failures: the time")
        found = await context.signals(topics)
        tasks.cancel_scope.cancel()
    return found


def _with(collected: Mapping[str, Any], failed: Sequence[Signal]) -> dict[str, Any]:
    """Add failures to what was collected."""
    items = [*collected.get("items", []), *map(_item, failed)][:MOST_TOLD]
    rules = Counter(collected.get("rules", {}))
    rules.update(str(signal.data["rule"]) for signal in failed)
    return {
        "since": collected.get("since") or failed[0].at.isoformat(),
        "first": collected.get("first") or failed[0].id,
        "count": collected.get("count", 0) + len(failed),
        "rules": dict(rules),
        "items": items,
    }


def _item(signal: Signal) -> dict[str, object]:
    told = signal.data
    event = told["event"]
    file = event.get("file") if isinstance(event, Mapping) else None
    name = file.get("relative", "") if isinstance(file, Mapping) else ""
    detail = redact(str(told["detail"]))[:DETAIL_CHARACTERS]
    return {"rule": told["rule"], "job": told["job"], "detail": detail, "name": name}


def _event(collected: Mapping[str, Any]) -> Event:
    """Give all of it as one event, known by the first failure in it."""
    count, items = collected["count"], collected["items"]
    lines = [_said(collected, "")]
    lines += [f"{rule}: {number}" for rule, number in sorted(collected["rules"].items())]
    for item in items:
        name = f"{item['name']}: " if item["name"] else ""
        lines.append(f"- {name}{item['detail']} (job {item['job']})")
    if count > len(items):
        lines.append(f"… and {count - len(items)} more")
    lines.append("hydrusd dead list shows them all")
    told = {"count": count, "items": items, "text": "\n".join(lines)}
    return Event(str(collected["first"]), {"failures": told})


def _said(collected: Mapping[str, Any], rules: str) -> str:
    if not collected:
        return f"no failures of {rules}"
    count = collected["count"]
    return f"{count} job{'' if count == 1 else 's'} failed since {collected['since'][:16]}"


@hookimpl
def hydrusd_register_triggers(register: Callable[[type[Trigger]], None]) -> None:
    """Register the trigger."""
    register(Failures)
