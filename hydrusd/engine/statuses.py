"""Finds branches on what came of a step that this can never have come to.

``if: steps.add_file.status == 'refused'`` waits for something that ends the job at ``add_file``,
unless that step is told to go on; ``== 'importd'`` waits for ever. Neither is wrong, and neither is
ever meant. An action that says which statuses lead on to the steps behind it is held against the
conditions there; what a branch has sorted out already is known to those that follow.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from typing import Protocol, runtime_checkable

from hydrusd.expressions import Asks, Conjunct, Expressions
from hydrusd.plugin import AnyAction, Trigger
from hydrusd.rules import (
    BranchSpec,
    LoopSpec,
    NodeSpec,
    RuleFault,
    RuleSpec,
    StepSpec,
    StopSpec,
    nearest,
)

DataPath = tuple[str | int, ...]
Possible = Mapping[str, frozenset[str]]
"""What the status of steps may be at some place, by their actions."""


@runtime_checkable
class _TellsStatuses(Protocol):
    """An action of which the steps behind it know ``steps.NAME.status``."""

    @property
    def later_statuses(self) -> Mapping[str, str]:
        """All there are; each with what has to be said so that a job goes on with it, if it does
        not anyway.
        """


def doubts_about_statuses(rule: RuleSpec, expressions: Expressions) -> list[RuleFault]:
    """Find conditions on a status that never hold, and branches that are never taken."""
    known: dict[str, dict[str, str]] = {}
    for step in rule.steps:
        for status, missing in _statuses(rule, step).items():
            # Of two steps of the same name, conditions see the last that was done.
            former = known.setdefault(step.action, {}).get(status, missing)
            known[step.action][status] = former and missing
    if not known:
        return []
    walk = _Walk(expressions, known)
    walk.through(rule.body, {})
    return walk.found


def _statuses(rule: RuleSpec, step: StepSpec) -> Mapping[str, str]:
    action = step.config
    assert isinstance(action, AnyAction)
    assert isinstance(rule.trigger_config, Trigger)
    if not isinstance(action, _TellsStatuses):
        return {}
    if action.takes_sidecars and rule.trigger_config.looks_for_sidecars:
        return dict.fromkeys(action.later_statuses, "")  # those go on in any case
    return action.later_statuses


class _Walk:
    """A way through the steps of a rule, on all ways that a job may take."""

    def __init__(self, expressions: Expressions, known: Mapping[str, Mapping[str, str]]) -> None:
        self._expressions = expressions
        self._known = known
        self.found: list[RuleFault] = []

    def through(self, nodes: Sequence[NodeSpec], possible: Possible) -> Possible | None:
        """Go through a list of steps; give what is possible behind it, None where nothing is."""
        for node in nodes:
            after = self._behind(node, possible)
            if after is None:
                return None
            possible = after
        return possible

    def _behind(self, node: NodeSpec, possible: Possible) -> Possible | None:
        condition = getattr(node, "condition", None)
        inside = outside = possible
        if condition is not None:
            inside, outside = self._judge(condition, (*node.path, "if"), possible)
        match node:
            case StepSpec() if node.action in self._known:
                given = (s for s, missing in self._known[node.action].items() if not missing)
                return {**possible, node.action: frozenset(given)}
            case StopSpec():
                return None if condition is None else outside
            case LoopSpec():
                self.through(node.body, possible)
            case BranchSpec():
                return self._behind_branch(node, inside, outside)
        return possible

    def _behind_branch(
        self, node: BranchSpec, inside: Possible, outside: Possible
    ) -> Possible | None:
        for action, statuses in outside.items():
            if node.otherwise and not statuses and inside[action]:
                message = f"this never runs: {_only(action, inside[action])}"
                self.found.append(RuleFault((*node.path, "else"), message, doubt=True))
        ends = (self.through(node.body, inside), self.through(node.otherwise, outside))
        ways = [end for end in ends if end is not None]
        if not ways:
            return None
        joined: dict[str, frozenset[str]] = {}
        for way in ways:
            for action, statuses in way.items():
                joined[action] = joined.get(action, frozenset()) | statuses
        return joined

    def _judge(
        self, condition: str, path: DataPath, possible: Possible
    ) -> tuple[Possible, Possible]:
        """Give what is possible where a condition holds, and where it does not.

        Where something is wrong with it, that is told, and nothing follows from it.
        """
        compiled = self._expressions.condition(condition)
        inside, outside = dict(possible), possible
        for conjunct in compiled.conjuncts:
            action = _action_of(conjunct)
            if action not in possible:
                continue
            asked = [text for text in conjunct.constants if isinstance(text, str)]
            if wrong := [text for text in asked if text not in self._known[action]]:
                self._misspelt(condition, path, action, wrong[0])
                return possible, possible
            before = inside[action]
            equal = conjunct.asks is Asks.EQUAL
            inside[action] = before.intersection(asked) if equal else before.difference(asked)
            if before and not inside[action]:
                self._never(condition, path, action, asked, before)
                return possible, possible
            if len(compiled.conjuncts) == 1:
                outside = {**possible, action: before - inside[action]}
        return inside, outside

    def _misspelt(self, condition: str, path: DataPath, action: str, text: str) -> None:
        known = self._known[action]
        near = nearest(text, known)
        hint = f"did you mean '{near}'?" if near else f"there are: {', '.join(known)}"
        message = f"steps.{action}.status is never '{text[:60]}'"
        self.found.append(RuleFault(path, message, hint, _place(condition, text), doubt=True))

    def _never(
        self,
        condition: str,
        path: DataPath,
        action: str,
        asked: Sequence[str],
        before: frozenset[str],
    ) -> None:
        missing = dict.fromkeys(filter(None, map(self._known[action].get, asked)))
        message = f"this is never true: {_only(action, before)}"
        hint = f"jobs go on with it only where {action} says {' and '.join(missing)}"
        place = _place(condition, asked[0] if asked else "")
        self.found.append(RuleFault(path, message, hint if missing else "", place, doubt=True))


def _action_of(conjunct: Conjunct) -> str:
    """Give the action whose status it asks for; nothing where it asks for anything else."""
    match conjunct.term.key:
        case ("steps", str() as action, "status") if conjunct.asks in {Asks.EQUAL, Asks.UNEQUAL}:
            return action
    return ""


def _only(action: str, statuses: frozenset[str]) -> str:
    listed = [f"'{status}'" for status in sorted(statuses)]
    said = " or ".join(filter(None, [", ".join(listed[:-1]), listed[-1]]))
    return f"steps.{action}.status can only be {said} here"


def _place(condition: str, text: str) -> tuple[int, int]:
    """Give where in a condition a text stands."""
    found = re.search(rf"""(['"]){re.escape(text)}\1""", condition)
    before = condition[: found.start() if found else 0]
    return before.count("\n") + 1, len(before) - before.rfind("\n")
