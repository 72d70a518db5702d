"""Rules made ready to run: conditions and templates compiled, actions at hand.

A step without templates makes its action once; one with templates makes one for each
job, from the rendered text, and pydantic judges it again: what a template yields is
input like any other.
"""

from __future__ import annotations

import itertools
import re
import sys
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import cast

from pydantic import ValidationError

from hydrusd.clock import Clock
from hydrusd.engine.program import (
    Arrival,
    Branch,
    End,
    ForEach,
    If,
    Loop,
    Node,
    Program,
    Stop,
    every,
)
from hydrusd.errors import ExpressionError
from hydrusd.expressions import Condition, Expressions, is_template
from hydrusd.hydrus import HydrusClient, Permission
from hydrusd.model import Data, Job, OutcomeKind, StepRecord
from hydrusd.plugin import AnyAction, Call, Trigger
from hydrusd.rules import BranchSpec, LoopSpec, NodeSpec, Rendered, RuleSpec, StepSpec, StopSpec

_HASH = re.compile(r"[0-9a-f]{64}")

_SIDECAR = re.compile(r"\{[{%][^}]*\bsidecar\b")

Render = Callable[[Mapping[str, object]], object]


class CompiledStep:
    """One entry of ``do``, ready to make its action."""

    def __init__(self, spec: StepSpec, expressions: Expressions, folder: Path) -> None:
        assert isinstance(spec.config, AnyAction)
        self.spec = spec
        self.condition = _condition(spec.condition, expressions)
        self.action_class = type(spec.config)
        self.certain = False
        """Whether each job of its rule that goes on so far comes to it."""
        self._folder = folder
        self._render = _compile(spec.raw, expressions)

    @property
    def name(self) -> str:
        """The action's name in YAML."""
        return self.spec.action

    @cached_property
    def takes_sidecars(self) -> bool:
        """Say whether it also runs for a sidecar that came after the rule has had its file."""
        return self.action_class.takes_sidecars or _speaks_of_sidecars(self.spec.raw)

    @cached_property
    def speaks_of_variables(self) -> bool:
        """Say whether a template in it may use a variable."""
        return speaks_of_variables(repr(self.spec.raw))

    def action(
        self, context: Callable[[], Mapping[str, object]], made: dict[str, AnyAction]
    ) -> AnyAction:
        """Make the action for one job. Raises ExpressionError where it cannot be rendered.

        ``made`` holds those of the same set by what was rendered: many jobs, few folders.
        """
        if self._render is None:
            assert isinstance(self.spec.config, AnyAction)
            return self.spec.config
        rendered = self._render(context())
        written = repr(rendered)
        if (alike := made.get(written)) is not None:
            return alike
        made[written] = action = self._validated(rendered)
        return action

    def _validated(self, rendered: object) -> AnyAction:
        try:
            return self.action_class.model_validate(rendered, context={"folder": self._folder})
        except ValidationError as error:
            first = error.errors(include_url=False)[0]
            place = ".".join(str(part) for part in first["loc"])
            raise ExpressionError(
                f"{self.name}: after rendering, {place or 'it'} is not valid: {first['msg']}"
            ) from error

    def rendered(self, context: Mapping[str, object]) -> object:
        """Give the step's parameters as written, templates filled in. Raises ExpressionError."""
        return self.spec.raw if self._render is None else self._render(context)


def speaks_of_variables(text: str) -> bool:
    """Say whether an expression may use a variable."""
    return "vars" in text


def _speaks_of_sidecars(value: object) -> bool:
    """Say whether a template in this piece of YAML uses what a sidecar says."""
    match value:
        case str():
            return bool(_SIDECAR.search(value))
        case Mapping():
            return any(map(_speaks_of_sidecars, (*value, *value.values())))
        case list() | tuple():
            return any(map(_speaks_of_sidecars, value))
        case _:
            return False


def _compile(value: object, expressions: Expressions) -> Render | None:
    """Give a function that renders this piece of YAML, or None if there is nothing to render."""
    match value:
        case str() if is_template(value):
            return _compile_text(value, expressions)
        case Mapping():
            keys = [(_compile(k, expressions), k) for k in value]
            parts = [_compile(v, expressions) for v in value.values()]
            if not any(parts) and not any(render for render, _ in keys):
                return None
            values = list(value.values())

            def render_mapping(context: Mapping[str, object]) -> object:
                rendered: dict[object, object] = {}
                for (render, key), part, plain in zip(keys, parts, values, strict=True):
                    name = render(context) if render else key
                    if isinstance(name, list):
                        raise ExpressionError(f"a list cannot be a key: {key}")
                    if name in rendered:
                        raise ExpressionError(f"after rendering, there are two keys {name!r}")
                    rendered[name] = part(context) if part else plain
                return rendered

            return render_mapping
        case list() | tuple():
            items = [(_compile(item, expressions), item) for item in value]
            if not any(render for render, _ in items):
                return None

            def render_list(context: Mapping[str, object]) -> object:
                listed: list[object] = []
                for render, item in items:
                    made = render(context) if render else item
                    # A list in the place of a text stands for its texts.
                    listed += made if isinstance(made, list) and isinstance(item, str) else [made]
                return listed

            return render_list
        case _:
            return None


def _compile_text(text: str, expressions: Expressions) -> Render:
    """Compile a text: one that is nothing but a list's name gives that list."""
    compiled = expressions.value(text) or expressions.template(text)

    def render_text(context: Mapping[str, object]) -> object:
        made = compiled.render(context)
        return Rendered(made) if isinstance(made, str) else [Rendered(each) for each in made]

    return render_text


@dataclass(frozen=True)
class CompiledRule:
    """A rule at one revision.

    ``steps`` go by position. A rule with blocks or conditions on steps has ``program``, which
    says where a job goes; in any other the steps just follow each other.
    """

    spec: RuleSpec
    condition: Condition | None
    steps: Sequence[CompiledStep]
    program: Program | None = None
    variables: Sequence[tuple[str, Render]] = ()

    @property
    def name(self) -> str:
        """The rule's name."""
        return self.spec.name

    @property
    def revision(self) -> str:
        """The revision of its meaning."""
        return self.spec.revision

    @property
    def trigger(self) -> Trigger:
        """Its trigger, with parameters."""
        assert isinstance(self.spec.trigger_config, Trigger)
        return self.spec.trigger_config

    @property
    def all_steps(self) -> Sequence[CompiledStep]:
        """Each step once, those in blocks too, in the order in which they are written."""
        if self.program is None:
            return self.steps
        return [node for node in every(self.program.nodes) if isinstance(node, CompiledStep)]

    @property
    def certain_permissions(self) -> frozenset[Permission]:
        """What each job of the rule needs, whatever its conditions say of it."""
        return _certain(self.steps if self.program is None else self.program.nodes)[0]

    @property
    def disposals(self) -> list[int]:
        """The positions of the steps that dispose of the source, of which none is in a loop."""
        placed = enumerate(self.steps) if self.program is None else self.program.placed()
        return [position for position, step in placed if step.action_class.disposes]

    def next_disposal(self, position: int) -> int:
        """Give the next step from here on that disposes of the source, or the end."""
        if self.program is not None:
            return self.program.next_disposal(position - 1)
        for here in range(position, len(self.steps)):
            if self.steps[here].action_class.disposes:
                return here
        return len(self.steps)

    def arrive(self, position: int, data: Data, records: Iterable[StepRecord]) -> Arrival:
        """Say where a job goes on that comes to a position, given what is recorded of it."""
        if self.program is None:
            return Arrival(position)

        def context(here: int, known: Mapping[int, StepRecord]) -> Mapping[str, object]:
            condition = getattr(self.steps[here], "condition", None)
            asked = condition is None or speaks_of_variables(condition.text)
            return self.context(data, list(known.values()), here, variables=asked)

        return self.program.arrive(position, {r.position: r for r in records}, context)

    def is_on_the_way(self, position: int, job: Job) -> bool:
        """Say whether what was decided for a job leads to a position."""
        if self.program is None:
            return True
        known = {record.position: record for record in job.steps}
        return self.program.is_on_the_way(position, known)

    def lacks_import(self, position: int, records: Iterable[StepRecord]) -> bool:
        """Say whether a step would dispose for good of what is not known to be in the client.

        The order of steps was checked when the rule was read; this is about the way that a job
        has really taken, and about what came of its steps.
        """
        if not self.steps[position].action_class.destroys:
            return False
        return not any(
            record.outcome is OutcomeKind.DONE
            and record.position < position
            and self.steps[record.position].action_class.imports
            and record.values.get("hash")
            for record in records
        )

    def call(
        self,
        position: int,
        job: Job,
        client: HydrusClient,
        clock: Clock,
        made: dict[str, AnyAction] | None = None,
    ) -> Call[AnyAction]:
        """Make what the action of a step is called with. Raises ExpressionError.

        ``made`` are the actions of the same set so far, and takes in a new one.
        """
        step = self.steps[position]
        return Call(
            action=step.action(
                lambda: self.context(
                    job.data, job.steps, position, variables=step.speaks_of_variables
                ),
                {} if made is None else made,
            ),
            job_id=job.id,
            rule=self.name,
            data=job.data,
            client=client,
            clock=clock,
            file_hashes=self._file_hashes(position, job),
            attempt=job.attempt,
            steps=job.steps,
            position=position,
        )

    def _file_hashes(self, position: int, job: Job) -> tuple[str, ...]:
        """Give the client's files that the job is about at a step: as last named before it."""
        if not job.steps and "hash" not in job.data and "hashes" not in job.data:
            return (job.file_hash,) if job.file_hash else ()
        for record in sorted(job.steps, key=_position, reverse=True):
            if record.outcome is not OutcomeKind.DONE or not record.position <= position:
                continue
            step = self.steps[record.position]
            if record.action != step.name:
                continue
            names = step.action_class.imports or step.action_class.names_files
            if names and (hashes := hashes_in(record.values)):
                return hashes
        return hashes_in(job.data) or ((job.file_hash,) if job.file_hash else ())

    def context(
        self,
        data: Data,
        steps: Sequence[StepRecord] = (),
        position: int | None = None,
        *,
        variables: bool = True,
    ) -> dict[str, object]:
        """Give what templates and conditions of this rule see, at a position or at the end.

        Without ``variables`` where these are not asked for: one that cannot be worked out for an
        item is nothing to an expression that does not use it.
        """
        here = sys.maxsize if position is None else position
        context: dict[str, object] = {
            **data,
            "rule": {"name": self.name},
            "steps": {
                record.action: record.values
                for record in sorted(steps, key=_position)
                if record.position < here and record.is_work and record.action not in _FLOW
            },
        }
        if self.variables and variables:
            context["vars"] = self._variables(data)
        if self.program is not None:
            known = {record.position: record for record in steps}
            context |= self.program.items(here, known)
        return context

    def _variables(self, data: Data) -> dict[str, object]:
        """Work out the variables: from what was noticed alone, so they never change."""
        values: dict[str, object] = {}
        context = {**data, "rule": {"name": self.name}, "vars": values}
        for name, render in self.variables:
            try:
                values[name] = render(context)
            except ExpressionError as error:
                raise ExpressionError(f"the variable {name!r}: {error}") from error
        return values


def _position(record: StepRecord) -> int:
    return record.position


_FLOW = frozenset(kind.action for kind in (If, ForEach, Stop))


def hashes_in(named: Data) -> tuple[str, ...]:
    """Give the client's files that an event or the values of a step name."""
    given = named.get("hashes") or [named.get("hash")]
    listed = given if isinstance(given, Sequence) and not isinstance(given, str) else ()
    found = (h for h in listed if isinstance(h, str) and _HASH.fullmatch(h))
    return tuple(dict.fromkeys(found))


def compile_rule(spec: RuleSpec, expressions: Expressions, folder: Path) -> CompiledRule:
    """Compile a rule. ``folder`` is where its relative paths start. Raises ExpressionError."""
    nodes = [_node(node, expressions, folder) for node in spec.body]
    plain = [node for node in nodes if isinstance(node, CompiledStep) and node.condition is None]
    program = Program(nodes) if len(plain) < len(nodes) else None
    for node in itertools.takewhile(_never_ends, nodes):
        if node in plain:
            node.certain = True
    return CompiledRule(
        spec,
        _condition(spec.condition, expressions),
        plain if program is None else cast("Sequence[CompiledStep]", program),
        program,
        [(name, _compile_kept(value, expressions)) for name, value in spec.variables],
    )


def _never_ends(node: Node) -> bool:
    """Say whether no job ends in a block, or by a ``stop``."""
    match node:
        case End():
            return False
        case Branch():
            return all(map(_never_ends, (*node.body, *node.otherwise)))
        case Loop():
            return all(map(_never_ends, node.body))
        case _:
            return True


def _certain(nodes: Iterable[Node]) -> tuple[frozenset[Permission], bool]:
    """Give the permissions that are needed on each way through some steps, and whether each of
    these ways comes to their end.
    """
    needed: frozenset[Permission] = frozenset()
    for node in nodes:
        match node:
            case Branch():
                body, goes_on = _certain(node.body)
                otherwise, goes_on_too = _certain(node.otherwise)
                needed |= body & otherwise
                if not (goes_on and goes_on_too):
                    return needed, False
            case End() | Loop() if not _never_ends(node):
                return needed, False
            case CompiledStep(condition=None):
                needed |= node.action_class.permissions
    return needed, True


def _condition(text: str | None, expressions: Expressions) -> Condition | None:
    return None if text is None else expressions.condition(text)


def _node(spec: NodeSpec, expressions: Expressions, folder: Path) -> Node:
    match spec:
        case BranchSpec():
            body = [_node(each, expressions, folder) for each in spec.body]
            otherwise = [_node(each, expressions, folder) for each in spec.otherwise]
            return Branch(expressions.condition(spec.condition), body, otherwise)
        case LoopSpec():
            body = [_node(each, expressions, folder) for each in spec.body]
            return Loop(_compile_kept(spec.items, expressions), spec.name, body)
        case StopSpec():
            reason = _compile_kept(spec.reason, expressions)
            return End(reason, _condition(spec.condition, expressions))
        case _:
            return CompiledStep(spec, expressions, folder)


def _compile_kept(value: object, expressions: Expressions) -> Render:
    """Give a function that works out a piece of YAML in which ``{{ … }}`` alone keeps its kind.

    What is a number or false in it is one then, and not a text that says so.
    """
    match value:
        case str() if is_template(value):
            if (result := expressions.result(value)) is not None:
                return result.evaluate
            return expressions.template(value).render
        case Mapping():
            parts = {key: _compile_kept(item, expressions) for key, item in value.items()}
            return lambda context: {key: part(context) for key, part in parts.items()}
        case list() | tuple():
            items = [_compile_kept(item, expressions) for item in value]
            return lambda context: [item(context) for item in items]
        case _:
            return lambda _: value
