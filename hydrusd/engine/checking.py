"""Finds what a rules file may say and probably does not mean.

What is said here stops nothing: a rule that never matches harms nobody but the person who
waits for it. That person is told before the first night in which nothing happens. Whatever
would lose a file is not doubted but refused, elsewhere. A doubt is told only where the rules
themselves show it; to be told of nothing too often is the surest way not to be read.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from hydrusd.engine.statuses import doubts_about_statuses
from hydrusd.errors import ExpressionError
from hydrusd.expressions import Expressions, Read, is_template
from hydrusd.model import finished_topic
from hydrusd.plugin import AnyAction, Trigger
from hydrusd.rules import (
    BranchSpec,
    LoopSpec,
    Mode,
    NodeSpec,
    RuleFault,
    RuleSpec,
    StepSpec,
    StopSpec,
    nearest,
)

_EVERYWHERE: Mapping[str, Any] = {"rule": {"name": None}, "chain": None}
_FILES = frozenset({"hash", "hashes"})
DataPath = tuple[str | int, ...]


@dataclass(frozen=True, slots=True)
class Doubt:
    """Something about a rule that only the others show. ``path`` leads to it in the rule."""

    rule: RuleSpec
    path: DataPath
    message: str
    hint: str = ""


def doubts_about(rule: RuleSpec, expressions: Expressions) -> list[RuleFault]:
    """Find what is probably not meant in one rule that is otherwise right."""
    return [
        *_about_the_condition(rule, expressions),
        *_about_blocks(rule, rule.body, expressions),
        *doubts_about_statuses(rule, expressions),
        *_about_names(rule, expressions),
        *_about_files(rule),
        *_about_pace(rule),
    ]


def doubts_between(rules: Sequence[RuleSpec]) -> Iterator[Doubt]:
    """Find what is probably not meant by rules together."""
    rules = [rule for rule in rules if rule.enabled] + [rule for rule in rules if not rule.enabled]
    yield from _about_silence(rules)
    yield from _about_ranks([rule for rule in rules if rule.enabled])
    yield from _about_fights([rule for rule in rules if rule.enabled])


# --- one rule ------------------------------------------------------------------------------------


def check_list(expressions: Expressions, text: str) -> None:
    """Refuse what cannot give the items of a loop. Raises ExpressionError."""
    expressions.template(text)
    if expressions.result(text) is None:
        raise ExpressionError("'for_each' needs one {{ … }} that gives a list, and nothing else")


def _about_the_condition(rule: RuleSpec, expressions: Expressions) -> Iterator[RuleFault]:
    holds = None if rule.condition is None else _constant(rule.condition, expressions)
    if holds is None:
        return
    assert rule.condition is not None
    if holds:
        message = "this is always true: it looks at nothing of what was noticed"
        hint = _about_quotes(rule.condition)
    else:
        message = "this is never true: the rule will never do anything"
        hint = "write `enabled: false` to put a rule aside"
    yield RuleFault(("if",), message, hint, (1, 1), doubt=True)


def _constant(text: str, expressions: Expressions) -> bool | None:
    """Give what a condition is worth that looks at nothing; None for any other."""
    if expressions.reads(text, condition=True) or _looks_at_something(text):
        return None
    try:
        return expressions.condition(text).holds({})
    except ExpressionError:
        return None  # it fails for want of something; that is told by its name


def _about_quotes(text: str) -> str:
    return "quotes around the whole condition make a mere text of it" if _quoted(text) else ""


def _about_blocks(
    rule: RuleSpec, nodes: Sequence[NodeSpec], expressions: Expressions
) -> Iterator[RuleFault]:
    """Find steps that can never run."""
    for index, node in enumerate(nodes):
        condition = getattr(node, "condition", None)
        holds = None if condition is None else _constant(condition, expressions)
        if holds is not None:
            assert condition is not None
            at = (*node.path, "if")
            if not holds:
                message = "this is never true: what is under it never runs"
                yield RuleFault(at, message, "", (1, 1), doubt=True)
            elif isinstance(node, BranchSpec) and node.otherwise:
                message = "this is always true: what is under its `else` never runs"
                yield RuleFault(at, message, _about_quotes(condition), (1, 1), doubt=True)
            else:
                message = "this is always true: it looks at nothing of what was noticed"
                yield RuleFault(at, message, _about_quotes(condition), (1, 1), doubt=True)
        if isinstance(node, BranchSpec):
            yield from _about_blocks(rule, node.body, expressions)
            yield from _about_blocks(rule, node.otherwise, expressions)
        elif isinstance(node, LoopSpec):
            if node.items == ():
                message = "this list is empty: what is under it never runs"
                yield RuleFault((*node.path, "for_each"), message, doubt=True)
            yield from _about_blocks(rule, node.body, expressions)
        if _always_ends(node) and nodes[index + 1 :]:
            behind = nodes[index + 1]
            message = "this can never run: the job always ends before it"
            hint = "give the `stop` before it an `if`, or leave this out"
            yield RuleFault(behind.path, message, hint, doubt=True)
            return


def _always_ends(node: NodeSpec) -> bool:
    """Say whether nothing behind it is ever reached."""
    if isinstance(node, StopSpec):
        return node.condition is None
    if isinstance(node, BranchSpec):
        return any(map(_always_ends, node.body)) and any(map(_always_ends, node.otherwise))
    return False


def _looks_at_something(text: str) -> bool:
    # ``file is defined`` needs nothing, and still asks what was noticed.
    return re.search(r"\b(default|d|defined|undefined)\b", text) is not None


def _quoted(text: str) -> bool:
    return text[:1] in {"'", '"'} and text[-1:] == text[:1]


def _about_names(rule: RuleSpec, expressions: Expressions) -> Iterator[RuleFault]:
    trigger = rule.trigger_config
    assert isinstance(trigger, Trigger)
    given = type(trigger).gives
    if rule.condition is not None:
        for read in expressions.reads(rule.condition, condition=True):
            yield from _about_read(read, ("if",), rule.trigger, given, [])
    if given is not None:
        given = {**given, "vars": dict.fromkeys(name for name, _ in rule.variables)}
    for name, value in rule.variables:
        for path, text in _texts(value, ("vars", name)):
            for read in expressions.reads(text):
                yield from _about_read(read, path, rule.trigger, given, [])
    yield from _names_in(rule, rule.body, expressions, given, [])


def _names_in(
    rule: RuleSpec,
    nodes: Sequence[NodeSpec],
    expressions: Expressions,
    given: Mapping[str, Any] | None,
    before: list[str],
) -> Iterator[RuleFault]:
    """Look at the names in steps and blocks; ``before`` takes in the steps gone through."""

    def look(path: DataPath, value: object) -> Iterator[RuleFault]:
        for at, text in _texts(value, path):
            for read in expressions.reads(text):
                yield from _about_read(read, at, rule.trigger, given, before)

    for node in nodes:
        if (condition := getattr(node, "condition", None)) is not None:
            for read in expressions.reads(condition, condition=True):
                yield from _about_read(read, (*node.path, "if"), rule.trigger, given, before)
        match node:
            case StepSpec():
                yield from look((*node.path, node.action), node.raw)
                before.append(node.action)
            case StopSpec():
                yield from look((*node.path, "stop"), node.reason)
            case BranchSpec():
                yield from _names_in(rule, node.body, expressions, given, before)
                yield from _names_in(rule, node.otherwise, expressions, given, before)
            case LoopSpec():
                yield from look((*node.path, "for_each"), node.items)
                own = {node.name: None, f"{node.name}_number": None}
                inner = None if given is None else {**given, **own}
                yield from _names_in(rule, node.body, expressions, inner, before)


def _about_read(
    read: Read,
    path: DataPath,
    trigger: str,
    given: Mapping[str, Any] | None,
    before: Sequence[str],
) -> Iterator[RuleFault]:
    root, *inner = read.names
    if root == "steps":
        if inner and inner[0] not in before:
            yield _unknown_step(read, path, before)
        return
    if given is None:
        return  # a trigger that does not say what it gives
    known: Mapping[str, Any] | None = {**_EVERYWHERE, "steps": None, **given}
    for depth, name in enumerate(read.names):
        if known is None:
            return
        if name not in known:
            said = ".".join(read.names[: depth + 1])
            if near := nearest(name, known):
                hint = f"did you mean '{near}'?"
            else:
                hint = f"there are: {', '.join(sorted({*known} - {'chain', 'rule', 'steps'}))}"
            message = f"{said}: {trigger} gives no '{name}'"
            if root == "vars":
                message = f"{said}: there is no variable '{name}'"
                hint = hint if near else "name it under 'vars', in the rule or at the top level"
            yield RuleFault(path, message, hint, read.places[depth], doubt=True)
            return
        known = known[name]


def _unknown_step(read: Read, path: DataPath, before: Sequence[str]) -> RuleFault:
    name = read.names[1]
    if not before:
        where = "a condition is looked at before any step" if path == ("if",) else "this is first"
        message, hint = f"steps.{name}: no step comes before ({where})", ""
    else:
        near = nearest(name, before)
        message = f"steps.{name}: there is no step '{name}' before this one"
        hint = f"did you mean '{near}'?" if near else f"there are: {', '.join(before)}"
    return RuleFault(path, message, hint, read.places[1], doubt=True)


def _texts(value: object, path: DataPath) -> Iterator[tuple[DataPath, str]]:
    """Give every template among parameters, with its path; keys have the path of their value."""
    if isinstance(value, str):
        if is_template(value):
            yield path, value
    elif isinstance(value, Mapping):
        for key, item in value.items():
            if isinstance(key, str) and is_template(key):
                yield (*path, key), key
            yield from _texts(item, (*path, key))
    elif isinstance(value, list | tuple):
        for index, item in enumerate(value):
            yield from _texts(item, (*path, index))


def _about_files(rule: RuleSpec) -> Iterator[RuleFault]:
    """Find steps on files of the client where nothing before them names any."""
    given = getattr(type(rule.trigger_config), "gives", None)
    if given is None or _FILES & {*given}:
        return
    steps = rule.steps
    for position, step in enumerate(steps):
        action = type(step.config)
        assert issubclass(action, AnyAction)
        if action.imports or action.names_files:
            return
        if action.needs_files:
            behind = ", and the steps behind it are never reached" if steps[position + 1 :] else ""
            message = (
                f"{step.action} would find no file to work on{behind}: "
                f"{rule.trigger} names no file of Hydrus, nor does a step before this one"
            )
            hint = "put add_file or add_url before it"
            yield RuleFault(step.path, message, hint, doubt=True)
            return


_GIVES_WAY = {
    Mode.SINGLE: "whatever is found while a job of the rule is not over is passed over for good",
    Mode.RESTART: "of all that is found at once, only the last is done",
}


def _about_pace(rule: RuleSpec) -> Iterator[RuleFault]:
    """Find paces that would pass over what should not be missed, or that change nothing."""
    assert isinstance(rule.trigger_config, Trigger)
    pace, limits = rule.pace, rule.limits
    if pace.mode in _GIVES_WAY and rule.trigger_config.in_portions:
        message = f"{rule.trigger} with `mode: {pace.mode}`: {_GIVES_WAY[pace.mode]}"
        hint = "with `mode: queued` each waits for its turn"
        yield RuleFault(("mode",), message, hint, doubt=True)
    if limits.per_minute is not None and limits.per_minute >= limits.per_hour:
        message = f"this has no effect: `per_hour` allows {limits.per_hour:,} in all"
        yield RuleFault(("limits", "per_minute"), message, doubt=True)


# --- several rules -------------------------------------------------------------------------------


def _about_silence(rules: Iterable[RuleSpec]) -> Iterator[Doubt]:
    """Find rules that wait for rules which are put aside."""
    listed = list(rules)
    silent = {finished_topic(rule.name): rule.name for rule in listed if not rule.enabled}
    for rule in listed:
        assert isinstance(rule.trigger_config, Trigger)
        if not rule.enabled:
            continue
        topics = rule.trigger_config.topics([rule.name])
        if topics and all(topic in silent for topic in topics):
            names = ", ".join(f"'{silent[topic]}'" for topic in topics)
            message = f"this rule never begins: it waits for {names}, which is not enabled"
            yield Doubt(rule, ("on",), message, "enable that one, or put this one aside, too")


def _about_ranks(rules: Iterable[RuleSpec]) -> Iterator[Doubt]:
    """Find priorities that nothing comes before or after."""
    by_client: dict[str, list[RuleSpec]] = {}
    for rule in rules:
        by_client.setdefault(rule.client, []).append(rule)
    for mates in by_client.values():
        first = mates[0]
        if first.pace.priority and len({rule.pace.priority for rule in mates}) == 1:
            message = "this has no effect: all rules of the client have the same priority"
            yield Doubt(first, ("priority",), message)


def _about_fights(rules: Iterable[RuleSpec]) -> Iterator[Doubt]:
    """Find rules that would dispose of the same files."""
    watching: dict[Path, list[RuleSpec]] = {}
    disposing = [rule for rule in rules if _disposal(rule) is not None]
    for rule in disposing:
        assert isinstance(rule.trigger_config, Trigger)
        if rule.trigger_config.folder is not None:
            watching.setdefault(rule.trigger_config.folder, []).append(rule)
    told: set[frozenset[str]] = set()
    for rule in disposing:
        assert isinstance(rule.trigger_config, Trigger)
        for sample in rule.trigger_config.samples():
            for folder in sample.parents:
                for other in watching.get(folder, ()):
                    pair = frozenset({rule.name, other.name})
                    if other is rule or pair in told or not _may_meet(rule, other, sample):
                        continue
                    told.add(pair)
                    yield _fight(*sorted((rule, other), key=lambda r: r.position.line))


def _may_meet(rule: RuleSpec, other: RuleSpec, sample: Path) -> bool:
    # Two conditions may well divide the files among the rules: only a person can tell.
    divided = rule.condition and other.condition and rule.condition != other.condition
    assert isinstance(other.trigger_config, Trigger)
    return not divided and other.trigger_config.overlooks(sample) == ""


def _fight(first: RuleSpec, second: RuleSpec) -> Doubt:
    theirs, ours = _disposal(first), _disposal(second)
    assert theirs is not None
    assert ours is not None
    message = (
        f"two rules dispose of the same files: {ours.action} here, "
        f"and {theirs.action} in '{first.name}'; whichever is first takes them away"
    )
    hint = "tell them apart by `include`, or by an `if` in each; or do all in one rule"
    return Doubt(second, ours.path, message, hint)


def _disposal(rule: RuleSpec) -> StepSpec | None:
    for step in rule.steps:
        assert isinstance(step.config, AnyAction)
        if step.config.disposes:
            return step
    return None
