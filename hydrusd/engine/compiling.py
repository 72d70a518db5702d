"""Rules made ready to run: conditions and templates compiled, actions at hand.

A step without templates makes its action once; one with templates makes one for each
job, from the rendered text, and pydantic judges it again: what a template yields is
input like any other.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

from pydantic import ValidationError

from hydrusd.clock import Clock
from hydrusd.errors import ExpressionError
from hydrusd.expressions import Condition, Expressions, is_template
from hydrusd.hydrus import HydrusClient
from hydrusd.model import Data, Job, OutcomeKind, StepRecord
from hydrusd.plugin import AnyAction, Call, Trigger
from hydrusd.rules import Rendered, RuleSpec, StepSpec

_HASH = re.compile(r"[0-9a-f]{64}")

_SIDECAR = re.compile(r"\{[{%][^}]*\bsidecar\b")

Render = Callable[[Mapping[str, object]], object]


class CompiledStep:
    """One entry of ``do``, ready to make its action."""

    def __init__(self, spec: StepSpec, expressions: Expressions, folder: Path) -> None:
        assert isinstance(spec.config, AnyAction)
        self.spec = spec
        self.action_class = type(spec.config)
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
    """A rule at one revision."""

    spec: RuleSpec
    condition: Condition | None
    steps: Sequence[CompiledStep]

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

    def next_disposal(self, position: int) -> int:
        """Give the next step from here on that disposes of the source, or the end."""
        for here in range(position, len(self.steps)):
            if self.steps[here].action_class.disposes:
                return here
        return len(self.steps)

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
                lambda: self.context(job.data, job.steps), {} if made is None else made
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
        done = {r.position: r for r in job.steps if r.outcome is OutcomeKind.DONE}
        for here in range(min(position, len(self.steps) - 1), -1, -1):
            step, record = self.steps[here], done.get(here)
            if record is None or record.action != step.name:
                continue
            names = step.action_class.imports or step.action_class.names_files
            if names and (hashes := hashes_in(record.values)):
                return hashes
        return hashes_in(job.data) or ((job.file_hash,) if job.file_hash else ())

    def context(self, data: Data, steps: Sequence[StepRecord] = ()) -> dict[str, object]:
        """Give what templates and conditions of this rule see."""
        return {
            **data,
            "rule": {"name": self.name},
            "steps": {record.action: record.values for record in steps},
        }


def hashes_in(named: Data) -> tuple[str, ...]:
    """Give the client's files that an event or the values of a step name."""
    given = named.get("hashes") or [named.get("hash")]
    listed = given if isinstance(given, Sequence) and not isinstance(given, str) else ()
    found = (h for h in listed if isinstance(h, str) and _HASH.fullmatch(h))
    return tuple(dict.fromkeys(found))


def compile_rule(spec: RuleSpec, expressions: Expressions, folder: Path) -> CompiledRule:
    """Compile a rule. ``folder`` is where its relative paths start. Raises ExpressionError."""
    condition = None if spec.condition is None else expressions.condition(spec.condition)
    steps = tuple(CompiledStep(step, expressions, folder) for step in spec.steps)
    return CompiledRule(spec, condition, steps)
