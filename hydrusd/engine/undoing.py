"""Taking back what jobs did, as jobs.

An undo is a rule that nobody has written: the steps of a job in reverse, each of which hands the
receipt of a step to the action that gave it. The lane works it like any other, and so it has all
that jobs have: claims, checkpoints, settling, parking, dead letters, receipts of its own.

What a step may take back was copied into the event when a person agreed to it. Of a step that an
undo has dealt with already nothing is taken back again by way of the job itself: the undo would
have to be undone, whose receipts say what it really did.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cache, partial
from typing import Any, ClassVar, cast

from hydrusd.clock import Clock
from hydrusd.engine.compiling import hashes_in
from hydrusd.errors import HydrusdError
from hydrusd.hydrus import HydrusClient
from hydrusd.ledger import JobTrace, NewUndo, StepTrace, UndoJob
from hydrusd.model import UNDO, UNDO_RULE, Data, Job, JobState, OutcomeKind, StepRecord, tells
from hydrusd.plugin import AnyAction, Call, Foreseen, Undo, calling
from hydrusd.plugin.accounts import Accounts

Actions = Mapping[str, type[Any]]

_UNDONE, _REDONE = "undo ", "redo "
SET_SIZE = 256
_OVER = frozenset({JobState.DONE, JobState.SKIPPED, JobState.DEAD})


def is_undo(rule: str) -> bool:
    """Say whether the jobs of a rule take something back."""
    return rule.startswith(UNDO_RULE)


def action_of(step: str) -> str:
    """Give the action behind a step, which may be the undoing of one."""
    return step.removeprefix(_UNDONE).removeprefix(_REDONE)


def undoing_of(step: str) -> str:
    """Give the name of the step that takes back this one."""
    return f"{_REDONE if step.startswith(_UNDONE) else _UNDONE}{action_of(step)}"


# --- working it ------------------------------------------------------------------------------


@dataclass(frozen=True)
class UndoStep:
    """A step that takes back another one."""

    name: str
    action_class: type[Undo]
    certain: ClassVar[bool] = True


@dataclass(frozen=True)
class UndoRule:
    """What takes back jobs that have done the same steps."""

    name: str
    revision: str
    steps: Sequence[UndoStep]

    def call(
        self,
        position: int,
        job: Job,
        client: HydrusClient,
        clock: Clock,
        made: dict[str, AnyAction] | None = None,
    ) -> Call[AnyAction]:
        """Make what the undoing of a step is called with, as ``CompiledRule.call`` does."""
        del made  # each takes back something else
        return Call(
            action=self.undo(position, cast("Mapping[str, Any]", job.data[UNDO])),
            job_id=job.id,
            rule=self.name,
            data=job.data,
            client=client,
            clock=clock,
            file_hashes=hashes_in(job.data) or ((job.file_hash,) if job.file_hash else ()),
            attempt=job.attempt,
            steps=job.steps,
            position=position,
        )

    def undo(self, position: int, taken: Mapping[str, Any], left: Collection[int] = ()) -> Undo:
        """Give a step what it is to take back, out of the event.

        ``left`` are the positions of steps that will have been left alone by then.
        """
        taken_back = [_record(each) for each in taken["steps"]]
        others = [*taken_back, *(_record(each) for each in taken["left"])]
        mine = taken["steps"][position]
        return self.steps[position].action_class.model_construct(
            receipt=mine["receipt"],
            values=mine["values"],
            others=tuple(sorted(others, key=lambda record: record.position)),
            before=tuple(r for r in taken_back[:position] if r.position not in left),
        )


def _record(kept: Mapping[str, Any]) -> StepRecord:
    return StepRecord(
        kept["position"], kept["action"], OutcomeKind.DONE, "", kept["values"], kept["receipt"]
    )


def undo_rule(name: str, definition: str, actions: Actions) -> UndoRule:
    """Make the rule that a definition stands for. Raises HydrusdError for actions that are gone."""
    steps = [UndoStep(step, _undo_class(step, actions)) for step in json.loads(definition)]
    return UndoRule(name, revision_of(definition), steps)


def revision_of(definition: str) -> str:
    """Give the revision of a definition."""
    return hashlib.sha256(definition.encode()).hexdigest()[:16]


def _undo_class(step: str, actions: Actions) -> type[Undo]:
    name = action_of(step)
    action = actions.get(name)
    if action is None or not issubclass(action, AnyAction):
        raise HydrusdError(f"there is no action {name!r} here: its plugin is missing")
    return _class_for(step, action)


@cache
def _class_for(step: str, action: type[AnyAction]) -> type[Undo]:
    needs_client, permissions = action.undo_needs_client, action.undo_permissions
    facts = {
        "__module__": __name__,
        "action": step,
        "undoes": action,
        "needs_client": action.needs_client if needs_client is None else needs_client,
        "permissions": action.permissions if permissions is None else permissions,
        "changes_client": action.changes_client,
        # What was restored goes away again only when all that was redone before is durable.
        "disposes": action.disposes and step.startswith(_REDONE),
    }
    return type(f"Undo{action.__name__}", (Undo,), facts)


# --- planning it -----------------------------------------------------------------------------


@dataclass(slots=True)
class PlannedStep:
    """A step, and what is to become of it.

    ``why_not`` says why it is not taken back; ``foreseen`` what would be, as far as looking can
    tell, None where nobody could look.
    """

    position: int
    name: str
    receipt: Data
    values: Data
    why_not: str = ""
    foreseen: Foreseen | None = None

    def to_data(self) -> dict[str, Any]:
        """Give what the event keeps of it."""
        return {
            "position": self.position,
            "action": self.name,
            "receipt": self.receipt,
            "values": self.values,
        }

    @property
    def is_to_do(self) -> bool:
        """Say whether something is to be taken back, as far as is known."""
        return not self.why_not and (self.foreseen is None or self.foreseen.changes)


@dataclass(slots=True)
class PlannedUndo:
    """A job, and how it is taken back. ``steps`` are in the order in which that is done.

    ``why_not`` says why nothing of it can be.
    """

    job: JobTrace
    steps: list[PlannedStep] = field(default_factory=list)
    why_not: str = ""
    seen: frozenset[int] = frozenset()

    @property
    def undone(self) -> list[PlannedStep]:
        """Give the steps that the undo would have."""
        return [] if self.why_not else [step for step in self.steps if not step.why_not]

    @property
    def is_to_do(self) -> bool:
        """Say whether anything is to be taken back, as far as is known."""
        return not self.why_not and any(step.is_to_do for step in self.steps)

    @property
    def definition(self) -> str:
        """The steps as the rule that is to work them."""
        return json.dumps([undoing_of(step.name) for step in self.undone])

    @property
    def data(self) -> dict[str, Any]:
        """What the event says: what the first one said, and what is to be taken back."""
        former = self.job.data.get(UNDO)
        origin = former["origin"] if isinstance(former, Mapping) else None
        return {
            **self.job.data,
            UNDO: {
                "job": self.job.job_id,
                "run": self.job.run_id,
                "origin": origin or {"rule": self.job.rule, "revision": self.job.revision},
                "steps": [step.to_data() for step in self.undone],
                "left": [
                    {**step.to_data(), "why": step.why_not} for step in self.steps if step.why_not
                ],
            },
        }

    def new(self, actions: Actions) -> NewUndo:
        """Give what the ledger is to make of it."""
        rule = undo_rule(f"{UNDO_RULE}{self.job.rule}", self.definition, actions)
        return NewUndo(
            of_job=self.job.job_id,
            rule=rule.name,
            revision=rule.revision,
            definition=self.definition,
            lane=self.job.lane,
            needs_client=rule.steps[0].action_class.needs_client,
            data=self.data,
            seen=self.seen,
        )


def plan_undo(
    job: JobTrace, undos: Sequence[UndoJob], undo_jobs: Mapping[int, JobTrace], actions: Actions
) -> PlannedUndo:
    """Say what of a job can be taken back, going by its receipts.

    ``undos`` are the jobs that have undone it before, or are at it, and ``undo_jobs`` these by
    their numbers.
    """
    planned = PlannedUndo(job, seen=frozenset(undo.job_id for undo in undos))
    if job.is_open:
        planned.why_not = f"it is not over: it is {job.state}"
        return planned
    for undo in undos:
        if undo.state not in _OVER:
            planned.why_not = f"job {undo.job_id} is at it"
            return planned
    taken = _taken_back(undos, undo_jobs)
    for step in reversed(job.steps):
        why = _refusal(step, taken, actions)
        if why is not None:
            planned.steps.append(
                PlannedStep(step.position, step.action, step.receipt or {}, step.values, why)
            )
    if not planned.steps:
        planned.why_not = "it has changed nothing"
    elif not planned.undone:
        by = next(iter(taken.values()), None)
        planned.why_not = (
            "nothing of what it did can be taken back"
            if by is None
            else f"job {by} has taken back what can be (to have it again, undo job {by})"
        )
    return planned


def _refusal(step: StepTrace, taken: Mapping[int, int], actions: Actions) -> str | None:
    """Say why a step is not to be taken back, nothing where it is; None where it did nothing."""
    if step.position in taken:
        by = taken[step.position]
        return f"job {by} has taken it back (to have it again, undo job {by})"
    done = step.outcome is OutcomeKind.DONE
    if step.receipt is not None and not tells(step.receipt):
        return None
    if step.receipt is None and not done:
        return None
    action = actions.get(action_of(step.action))
    if action is None:
        return f"there is no action {action_of(step.action)!r} here: its plugin is missing"
    if not action.can_undo():
        return cast("str", action.undo_refusal({}))
    if step.receipt is None:
        return "what it changed is not known: nobody could look at what was there before"
    return cast("str", action.undo_refusal(step.receipt))


def _taken_back(undos: Sequence[UndoJob], undo_jobs: Mapping[int, JobTrace]) -> dict[int, int]:
    """Give the positions of steps that were taken back, each with the job that did it."""
    taken: dict[int, int] = {}
    for undo in undos:
        trace = undo_jobs[undo.job_id]
        listed = cast("Mapping[str, Any]", trace.data[UNDO])["steps"]
        for step in trace.steps:
            if tells(step.receipt):
                taken[listed[step.position]["position"]] = undo.job_id
    return taken


async def foresee_undo(
    planned: Iterable[PlannedUndo],
    client: HydrusClient,
    clock: Clock,
    actions: Actions,
    accounts: Accounts,
    *,
    away: str = "",
) -> list[str]:
    """Look at what is there now, and note what would be taken back of it.

    ``away`` says why the client cannot be asked. Gives the reasons where nobody could look.
    """
    unseen = [away] if away else []
    groups: dict[tuple[int, str], list[tuple[PlannedStep, UndoRule, int, PlannedUndo]]] = {}
    for each in planned:
        if not each.undone:
            continue
        rule = undo_rule(f"{UNDO_RULE}{each.job.rule}", each.definition, actions)
        for position, step in enumerate(each.undone):
            groups.setdefault((step.position, step.name), []).append((step, rule, position, each))
    for _, group in sorted(groups.items(), key=lambda item: -item[0][0]):  # as it will be done
        for start in range(0, len(group), SET_SIZE):
            some = group[start : start + SET_SIZE]
            kind = some[0][1].steps[some[0][2]].action_class
            if away and kind.needs_client:
                continue
            calls = [_looking(rule, at, each, client, clock) for _, rule, at, each in some]
            plan = partial(kind.plan, calls)
            try:
                looked = await calling.looking(
                    plan,
                    accounts=accounts,
                    plugin=accounts.owner_of(kind.undoes),
                    name=kind.undoes.action,
                )
                for (step, *_), seen in zip(some, looked, strict=True):
                    step.foreseen = seen
            except (Exception, SystemExit) as error:  # noqa: BLE001 - the plugin boundary
                unseen.append(f"{kind.action}: {str(error) or type(error).__name__}")
    return unseen


def _looking(
    rule: UndoRule, position: int, planned: PlannedUndo, client: HydrusClient, clock: Clock
) -> Call[AnyAction]:
    job, data = planned.job, planned.data
    # What will be left alone by then does not prepare the ground for this.
    left = {step.position for step in planned.steps if not step.is_to_do}
    return Call(
        action=rule.undo(position, data[UNDO], left),
        job_id=job.job_id,
        rule=rule.name,
        data=data,
        client=client,
        clock=clock,
        file_hashes=hashes_in(data) or ((job.file_hash,) if job.file_hash else ()),
        position=position,
    )
