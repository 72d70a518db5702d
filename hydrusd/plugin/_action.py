"""What an action is, and what it is called with.

A class *is* its schema: the annotated fields are the parameters in YAML, the
docstring is the documentation. The engine renders the templates in a step's
parameters and makes one instance for each job, so an action never sees a
template, only values.

An action comes in one of two shapes. ``Action`` handles one item at a time and is
called at a bounded width. ``SetAction`` gets the whole set of up to 256 calls and
says of each how it ended with ``call.finish``, as soon as it knows: what was said
is stored even if the daemon dies a moment later.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from typing import ClassVar, Generic, TypeVar

from pydantic import BaseModel, ConfigDict

from hydrusd.clock import Clock
from hydrusd.hydrus import HydrusClient, Permission
from hydrusd.model import Data, JobId, Outcome, OutcomeKind, StepRecord
from hydrusd.plugin._sidecars import Sidecars
from hydrusd.plugin._source import FileSource, SourceState

A_co = TypeVar("A_co", bound="AnyAction", covariant=True)


@dataclass(frozen=True, slots=True)
class Fault:
    """Something that a look at the live client shows to be wrong with a step.

    ``path`` leads from the step's parameters to the wrong one.
    """

    message: str
    hint: str = ""
    path: tuple[str | int, ...] = ()


@dataclass(frozen=True, slots=True)
class Foreseen:
    """What a step would do to one item, as far as looking can tell.

    ``values`` are what later steps would see. ``changes`` is False where nothing would change.
    """

    detail: str
    changes: bool = True
    values: Data = field(default_factory=dict)


class AnyAction(BaseModel):
    """What both shapes of actions share. Subclass ``Action`` or ``SetAction`` instead."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    action: ClassVar[str] = ""
    """The name of the step in YAML."""
    permissions: ClassVar[frozenset[Permission]] = frozenset()
    """What the access key must be allowed; checked before the action is called."""
    needs_client: ClassVar[bool] = True
    """False for steps that can run while the client is away."""
    changes_client: ClassVar[bool] = True
    """True where the step's work must be committed by the client to last."""
    imports: ClassVar[bool] = False
    """True where the step puts the source into the client."""
    names_files: ClassVar[bool] = False
    """True where the outcome's values ``hash`` and ``hashes`` say which files of the client
    the steps after it are about."""
    needs_source: ClassVar[bool] = False
    """True where the step reads the file that was noticed, where it was noticed."""
    disposes: ClassVar[bool] = False
    """True where the source is no longer there afterwards: runs only when all is durable."""
    destroys: ClassVar[bool] = False
    """True where the source may be lost for good afterwards: wants an importing step before it."""
    takes_sidecars: ClassVar[bool] = False
    """True where the step also runs for a sidecar that came after the rule has had its file."""
    needs_sidecars: ClassVar[bool] = False
    """True where the step is about sidecars, so that the rule's trigger must look for them."""
    needs_allowing: ClassVar[bool] = False
    """True where the rules file has to name the action under ``allow``."""

    @property
    def may_dispose_next(self) -> bool:
        """Say whether the step may lead straight to the one that disposes of the source."""
        return False

    def check(self, rules: Mapping[str, str]) -> Iterable[Fault]:
        """Name what is wrong with these parameters, given all rules: name → trigger."""
        del rules
        return ()

    def preflight(self, client: HydrusClient) -> Iterable[Fault]:
        """Name what a look at the connected client shows to be wrong with these parameters."""
        del client
        return ()

    @classmethod
    async def lost(cls, calls: Sequence[Call[AnyAction]]) -> Sequence[Call[AnyAction]]:
        """Say which of these finished calls the client no longer knows, after it restarted.

        Those are done again. The default is all of them, which is always safe,
        because every action can be repeated without harm.
        """
        return calls

    @classmethod
    async def plan(cls, calls: Sequence[Call[AnyAction]]) -> Sequence[Foreseen]:
        """Say of each call, in order, what running it would change. Reads; never writes."""
        return [Foreseen(f"would run {cls.action}") for _ in calls]


class Action(AnyAction):
    """An action that handles one item at a time. ``run`` may be ``def`` or ``async def``."""

    async def run(self, call: Call[Action]) -> Outcome:
        """Do it for one item. Raise ``TemporaryError``, ``PermanentError`` or return an outcome."""
        raise NotImplementedError  # an abstract method: pydantic's metaclass leaves no room for ABC


class SetAction(AnyAction):
    """An action that handles a set at once: one request for many items."""

    @classmethod
    async def run_set(cls, calls: Sequence[Call[SetAction]]) -> None:
        """Do it for all of these, calling ``finish`` on each as soon as its end is known.

        An exception is the outcome of every call not yet finished.
        """
        raise NotImplementedError  # see Action.run


@dataclass(eq=False)
class Call(Generic[A_co]):
    """One item that an action is asked to handle."""

    action: A_co
    job_id: JobId
    rule: str
    data: Data
    client: HydrusClient
    clock: Clock
    file_hashes: Sequence[str] = ()
    attempt: int = 1
    steps: Sequence[StepRecord] = ()
    position: int = 0
    outcome: Outcome | None = field(default=None, init=False)

    def finish(self, outcome: Outcome) -> None:
        """Say how this call ended. Once only."""
        if self.outcome is not None:
            raise RuntimeError(f"call of job {self.job_id} was finished twice")
        self.outcome = outcome

    @cached_property
    def source(self) -> FileSource | None:
        """The file that was noticed, where the event has one."""
        return FileSource.from_data(self.data)

    @cached_property
    def sidecars(self) -> Sidecars | None:
        """The sidecars that came with it; None where the trigger does not look for any."""
        return Sidecars.from_data(self.data)

    @property
    def is_late(self) -> bool:
        """Say whether this is about sidecars only: the rule has had their file before."""
        return self.sidecars is not None and self.sidecars.come_late_for(self.rule)

    @property
    def file_hash(self) -> str | None:
        """The first of ``file_hashes``; None where the job is about no file of the client."""
        return self.file_hashes[0] if self.file_hashes else None

    @property
    def earlier(self) -> StepRecord | None:
        """What an earlier, finished run of this very step reached, where it is done again."""
        record = self._record
        if record is None or not (record.outcome is OutcomeKind.DONE or record.receipt):
            return None
        return record

    @property
    def progress(self) -> Data:
        """What the last ``Outcome.later`` of this step kept, failures since then or not."""
        record = self._record
        unfinished = {OutcomeKind.LATER, OutcomeKind.RETRY}
        return record.values if record is not None and record.outcome in unfinished else {}

    @property
    def _record(self) -> StepRecord | None:
        mine = (self.position, self.action.action)
        return next((r for r in self.steps if (r.position, r.action) == mine), None)


def source_outcome(state: SourceState, source: FileSource) -> Outcome | None:
    """Give the outcome of a step whose source is not the one noticed; None if it is the same.

    A changed file has an event of its own as it is now. One that is gone frees its
    event, so that it is noticed again should it come back.
    """
    match state:
        case SourceState.SAME:
            return None
        case SourceState.CHANGED:
            return Outcome.skipped(
                "the file has changed since it was noticed; what it is now gets a job of its own",
                frees_event=True,
            )
        case SourceState.GONE:
            return Outcome.skipped("the file is no longer there", frees_event=True)
        case SourceState.ROOT_GONE:
            return Outcome.park_rule(f"the folder {source.root} is away; waiting until it is back")
        case SourceState.UNREADABLE:
            return Outcome.retry(f"{source.path} cannot be read at the moment")
