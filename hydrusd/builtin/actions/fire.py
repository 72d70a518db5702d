"""Fires another rule."""

from __future__ import annotations

import difflib
from collections.abc import Iterable, Mapping, Sequence
from typing import ClassVar

from pydantic import Field, JsonValue

from hydrusd.plugin import Action, AnyAction, Call, Fault, Firing, Foreseen, Outcome


class Fire(Action):
    """Fire another rule, one that is `on: manual`.

    It sees what `values` says, by these names, and is about the same files of Hydrus unless
    `values` has a `hash` of its own. The other rule runs by itself, later: this step does not wait
    for it. A rule that would fire one which led to it becomes a dead letter that shows the chain.
    """

    action: ClassVar[str] = "fire"
    no_undo: ClassVar[str] = "what it has fired is a run of its own: undo that"
    needs_client: ClassVar[bool] = False
    changes_client: ClassVar[bool] = False
    repeat_shows: ClassVar[bool] = True

    rule: str = Field(description="the name of the rule to fire")
    values: dict[str, JsonValue] = Field(default={}, description="what it is fired with")

    def check(self, rules: Mapping[str, str]) -> Iterable[Fault]:
        """Name a rule that is not there, or that cannot be fired."""
        if "{{" in self.rule or "{%" in self.rule:
            return
        if self.rule not in rules:
            near = difflib.get_close_matches(self.rule, rules, 1)
            hint = f"did you mean {near[0]!r}?" if near else ""
            yield Fault(f"there is no rule {self.rule!r} to fire", hint, ("rule",))
        elif rules[self.rule] != "manual":
            yield Fault(
                f"rule {self.rule!r} listens to {rules[self.rule]}, it cannot be fired",
                "only rules with 'on: manual' can",
                ("rule",),
            )

    async def run(self, call: Call[Action]) -> Outcome:
        """Leave a firing, which is stored together with this outcome."""
        if (earlier := call.earlier) is not None:
            # Steps before it are done again, after the client has lost them. Not this one.
            return Outcome.done(earlier.detail, values=earlier.values)
        chain = list(call.chain)
        if self.rule in chain:
            return Outcome.dead(f"it would run in a circle: {' → '.join([*chain, self.rule])}")
        values = dict(self.values)
        if call.file_hashes and not values.keys() & {"hash", "hashes"}:
            values |= {"hash": call.file_hashes[0], "hashes": list(call.file_hashes)}
        firing = Firing(self.rule, {"by": call.rule, "chain": chain, "values": values})
        return Outcome.done(f"fired {self.rule!r}", fires=[firing])

    @classmethod
    async def plan(cls, calls: Sequence[Call[AnyAction]]) -> Sequence[Foreseen]:
        """Say which rule would be fired."""
        rules = [call.action.rule for call in calls if isinstance(call.action, Fire)]
        return [Foreseen(f"would fire {rule!r}") for rule in rules]
