"""Refuses orders of steps that could lose a file or could never work, on every way through a rule.

A rule with conditions is many rules: each way through its blocks is judged as one. What is done
on some ways only counts as not done where a file's safety hangs on it, and as done where it would
be in the way. The lane judges once more, by what a job has really done.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace

from hydrusd.plugin import AnyAction, Trigger
from hydrusd.rules import BranchSpec, LoopSpec, NodeSpec, RuleFault, RuleSpec, StepSpec, StopSpec


@dataclass(frozen=True, slots=True)
class _Way:
    """What is so by the time that one comes somewhere.

    ``imported``: on every way here some step has imported the file; ``maybe_imported``: on some
    way. ``disposed`` is the step that has disposed of it on some way. ``open`` is False where no
    way leads.
    """

    imported: bool = False
    maybe_imported: bool = False
    disposed: str = ""
    surely_disposed: bool = False
    open: bool = True


def check_rule(rule: RuleSpec) -> list[RuleFault]:
    """Find what is wrong with the order of a rule's steps."""
    faults: list[RuleFault] = []
    _walk(rule, rule.body, _Way(), (), faults, in_loop=False)
    return faults


def _walk(
    rule: RuleSpec,
    nodes: Sequence[NodeSpec],
    way: _Way,
    behind: tuple[Sequence[NodeSpec], ...],
    faults: list[RuleFault],
    *,
    in_loop: bool,
) -> _Way:
    """Go through a row of steps and blocks; ``behind`` is what follows on the blocks around it."""
    for index, node in enumerate(nodes):
        if not way.open:
            break
        rest = (*behind, nodes[index + 1 :])
        match node:
            case StepSpec():
                faults += _faults(rule, node, way, rest, in_loop=in_loop)
                way = _after(node, way)
            case StopSpec():
                way = replace(way, open=node.condition is not None)
            case BranchSpec():
                ways = [
                    _walk(rule, block, way, rest, faults, in_loop=in_loop)
                    for block in (node.body, node.otherwise)
                ]
                way = _joined(ways)
            case LoopSpec():
                turned = _walk(rule, node.body, way, rest, faults, in_loop=True)
                at_least_once = isinstance(node.items, tuple) and len(node.items) > 0
                way = turned if at_least_once else _joined([way, turned])
    return way


def _after(step: StepSpec, way: _Way) -> _Way:
    action = type(step.config)
    assert issubclass(action, AnyAction)
    sure = step.condition is None
    return replace(
        way,
        imported=way.imported or (action.imports and sure),
        maybe_imported=way.maybe_imported or action.imports,
        disposed=way.disposed or (step.action if action.disposes else ""),
        surely_disposed=way.surely_disposed or (action.disposes and sure),
    )


def _joined(ways: Sequence[_Way]) -> _Way:
    """Give what is so where several ways come together."""
    ways = [way for way in ways if way.open]
    if not ways:
        return _Way(open=False)
    return _Way(
        imported=all(way.imported for way in ways),
        maybe_imported=any(way.maybe_imported for way in ways),
        disposed=next((way.disposed for way in ways if way.disposed), ""),
        surely_disposed=all(way.surely_disposed for way in ways),
    )


def _faults(
    rule: RuleSpec,
    step: StepSpec,
    way: _Way,
    rest: tuple[Sequence[NodeSpec], ...],
    *,
    in_loop: bool,
) -> Iterator[RuleFault]:
    action = type(step.config)
    assert issubclass(action, AnyAction)
    if way.disposed and action.needs_source:
        has = "has" if way.surely_disposed else "may have"
        yield RuleFault(
            step.path,
            f"{step.action} needs the source, but {way.disposed} {has} disposed of it by then",
            f"put {step.action} before {way.disposed}"
            if not action.disposes
            else "a rule can dispose of its source once",
        )
    if action.destroys and not way.imported:
        if way.maybe_imported:
            message = "would dispose of files that were not imported on every way to it"
            hint = "put it under the same condition as the step that imports, and behind it"
        else:
            message = "would dispose of files that no step before it has imported"
            hint = "put add_file before it, or use move_source to only move files"
        yield RuleFault(step.path, f"{step.action} {message}", hint)
    if action.disposes and in_loop:
        message = f"{step.action} is in a loop, and the source can be disposed of once"
        yield RuleFault(step.path, message, "put it behind the loop")
    if action.disposes and getattr(rule.trigger_config, "leads_elsewhere", False):
        yield RuleFault(
            step.path,
            f"{step.action} would dispose of files that are not in the watched folder: "
            f"{rule.trigger} follows symbolic links",
            f"leave out {step.action}, or `symlinks: follow`",
        )
    yield from _about_sidecars(rule, step)
    yield from _about_disposing_next(step, rest)


def _about_sidecars(rule: RuleSpec, step: StepSpec) -> Iterator[RuleFault]:
    """Find a step on sidecars that nobody looks for."""
    assert isinstance(step.config, AnyAction)
    assert isinstance(rule.trigger_config, Trigger)
    if step.config.needs_sidecars and not rule.trigger_config.looks_for_sidecars:
        yield RuleFault(
            step.path,
            f"{step.action} needs sidecars, and the trigger looks for none",
            "name their formats, as in watch_folder: {path: …, sidecars: [txt, json]}",
        )


def _about_disposing_next(
    step: StepSpec, rest: tuple[Sequence[NodeSpec], ...]
) -> Iterator[RuleFault]:
    """Find a step that is to lead straight to the disposal of the source, where there is none."""
    assert isinstance(step.config, AnyAction)
    if not step.config.may_dispose_next:
        return
    sure = [
        type(node.config)
        for nodes in rest
        for node in nodes
        if isinstance(node, StepSpec) and node.condition is None
    ]
    if not any(issubclass(action, AnyAction) and action.disposes for action in sure):
        yield RuleFault(
            step.path,
            f"{step.action} is to dispose of files, but no step after it does so",
            "add trash_source, move_source or delete_source at the end, under no condition "
            "that this step is not under",
        )
