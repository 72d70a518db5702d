"""What an action is, and what it is called with.

A class *is* its schema: the annotated fields are the parameters in YAML, the
docstring is the documentation. The engine renders the templates in a step's
parameters and makes one instance for each job, so an action never sees a
template, only values.

An action comes in one of two shapes. ``Action`` handles one item at a time and is
called at a bounded width. ``SetAction`` gets the whole set (256 calls, and up to 2,048 where that
many take less than a second) and says of each how it ended with ``call.finish``, as soon as it
knows: what was said is stored even if the daemon dies a moment later.

What an action has changed it tells in its *receipt*, and by that alone it is undone: the rule
may be rewritten or gone by then. So a receipt holds only what was really new, and what was there
before; and what undoing changes is told in a receipt of the same kind, which makes an undo
something that can be undone.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, ClassVar, Generic, TypeVar

from pydantic import BaseModel, ConfigDict

from hydrusd.clock import Clock
from hydrusd.errors import Severity, TemporaryError
from hydrusd.hydrus import HydrusClient, Permission
from hydrusd.model import Data, JobId, Outcome, OutcomeKind, StepRecord, chain_of
from hydrusd.plugin._sidecars import Sidecars
from hydrusd.plugin._source import FileSource, SourceState

A_co = TypeVar("A_co", bound="AnyAction", covariant=True)


@dataclass(frozen=True, slots=True)
class Fault:
    """Something that is wrong with a trigger or a step, or (a warning) probably not meant.

    ``path`` leads from its parameters to the wrong one. A note only tells what was found.
    """

    message: str
    hint: str = ""
    path: tuple[str | int, ...] = ()
    severity: Severity = "error"


@dataclass(frozen=True, slots=True)
class Foreseen:
    """What a step would do to one item, as far as looking can tell.

    ``values`` are what later steps would see. ``changes`` is False where nothing would change.
    ``outcome`` is how the step would end: after SKIPPED and DEAD no later step would run. ``diff``
    are lines that show the change: what comes begins with ``+ ``, what goes with ``- ``, and what
    was asked for and is so already with ``= ``.
    """

    detail: str
    changes: bool = True
    values: Data = field(default_factory=dict)
    outcome: OutcomeKind = OutcomeKind.DONE
    diff: Sequence[str] = ()

    @classmethod
    def of(cls, outcome: Outcome) -> Foreseen:
        """Foresee that nothing would change, because the step would end like this."""
        return cls(outcome.detail, False, outcome.values, outcome.kind)

    @classmethod
    def dead(cls, detail: str) -> Foreseen:
        """Foresee a dead letter."""
        return cls(detail, changes=False, outcome=OutcomeKind.DEAD)


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
    needs_files: ClassVar[bool] = False
    """True where the step has nothing to work on unless the job is about files of the client."""
    needs_source: ClassVar[bool] = False
    """True where the step reads the file that was noticed, where it was noticed."""
    writes_into: ClassVar[tuple[str, ...]] = ()
    """The parameters that name folders which it writes files into. While a disk is away on which
    there was such a folder before, the calls that would write to where it was wait."""
    disposes: ClassVar[bool] = False
    """True where the source is no longer there afterwards: runs only when all is durable."""
    destroys: ClassVar[bool] = False
    """True where the source may be lost for good afterwards: wants an importing step before it."""
    repeat_shows: ClassVar[bool] = False
    """True where somebody would notice that it was done twice (a message, a command, a counter):
    where hydrusd can no longer tell whether it was, a person is asked."""
    takes_sidecars: ClassVar[bool] = False
    """True where the step also runs for a sidecar that came after the rule has had its file."""
    needs_sidecars: ClassVar[bool] = False
    """True where the step is about sidecars, so that the rule's trigger must look for them."""
    needs_allowing: ClassVar[bool] = False
    """True where the rules file has to name the action under ``allow``."""
    outside: ClassVar[bool] = False
    """True where the step works on something beside the client and the folders that its parameters
    name: programs, servers, a browser. In tests of rules it is noted and not run."""
    time_limit_seconds: ClassVar[float | None] = 600.0
    """How long a set may go on without finishing a call, where the action comes from a plugin:
    then it is broken off, and the items are tried again later. None is for as long as it takes."""
    no_undo: ClassVar[str] = ""
    """Why nothing that it does can ever be taken back."""
    undo_needs_client: ClassVar[bool | None] = None
    """Whether undoing needs the client; None where that is as with doing."""
    undo_permissions: ClassVar[frozenset[Permission] | None] = None
    """What undoing must be allowed; None where that is as with doing."""

    @property
    def folders_written(self) -> Sequence[Path]:
        """The folders that ``writes_into`` names, those that are given."""
        given = (getattr(self, name) for name in self.writes_into)
        return [each for each in given if isinstance(each, Path)]

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

    def for_test(self, scratch: Path) -> AnyAction:
        """Give the step as it is to be in a test of rules.

        For what lies elsewhere without a path among the parameters saying so: let it be in
        ``scratch`` then, a folder of the test. The paths that are parameters are there already.
        """
        del scratch
        return self

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

    # --- taking back ---------------------------------------------------------------------

    @classmethod
    def can_undo(cls) -> bool:
        """Say whether the action has a way of taking back what it does."""
        own = _function(cls.undo_set) is not _function(AnyAction.undo_set)
        return own and not cls.no_undo

    @classmethod
    def undo_refusal(cls, receipt: Data) -> str:
        """Say why what a receipt tells of cannot be taken back; nothing where it can.

        Asked before anything is undone, and shown to the person who wants it undone.
        """
        del receipt
        return (
            "" if cls.can_undo() else cls.no_undo or f"{cls.action} does not say how it is undone"
        )

    @classmethod
    async def undo_plan(cls, calls: Sequence[Call[Undo]]) -> Sequence[Foreseen]:
        """Say of each call, in order, what ``undo_set`` would take back. Reads; never writes."""
        return [Foreseen(f"would undo {cls.action}") for _ in calls]

    @classmethod
    async def undo_set(cls, calls: Sequence[Call[Undo]]) -> None:
        """Take back what the receipts (``call.action.receipt``) tell of, finishing each call.

        Looks first. What is no longer as it was left has been changed by somebody since, and is
        left alone, with a word about it. The receipt of the outcome is of the kind that the
        action itself gives, and says what was changed now: by it the undo is undone.
        """
        raise NotImplementedError  # can_undo() says so

    @classmethod
    async def undo_lost(cls, calls: Sequence[Call[Undo]]) -> Sequence[Call[Undo]]:
        """Say of which of these calls the client no longer knows, after it restarted.

        They are done again. All of them by default, which is safe where ``undo_set`` looks first.
        """
        return calls


def _function(method: object) -> object:
    return getattr(method, "__func__", method)


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


class Undo(SetAction):
    """What an action is asked to take back: one step of a job that is over.

    The engine makes a class of these for each action. ``receipt`` and ``values`` are those of
    the step; ``others`` are all steps of its job that have changed something, in their order,
    and ``before`` those of them that are taken back before this one.
    """

    undoes: ClassVar[type[AnyAction]]

    receipt: dict[str, Any]
    values: dict[str, Any]
    others: tuple[StepRecord, ...] = ()
    before: tuple[StepRecord, ...] = ()

    @classmethod
    async def run_set(cls, calls: Sequence[Call[SetAction]]) -> None:
        """Have the action undo them."""
        await cls.undoes.undo_set(calls)  # type: ignore[arg-type]

    @classmethod
    async def plan(cls, calls: Sequence[Call[AnyAction]]) -> Sequence[Foreseen]:
        """Have the action foresee it."""
        return await cls.undoes.undo_plan(calls)  # type: ignore[arg-type]

    @classmethod
    async def lost(cls, calls: Sequence[Call[AnyAction]]) -> Sequence[Call[AnyAction]]:
        """Have the action look."""
        return await cls.undoes.undo_lost(calls)  # type: ignore[arg-type]


Keep = Callable[[Mapping[JobId, Data]], Awaitable[None]]


@dataclass(eq=False, slots=True, weakref_slot=True)
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
    keeper: Keep | None = field(default=None, repr=False)
    devices: Mapping[Path, int] = field(default_factory=dict, repr=False)
    outcome: Outcome | None = field(default=None, init=False)
    lingers: bool = field(default=False, init=False)
    _source: FileSource | None = field(default=None, init=False, repr=False)
    _has_source: bool = field(default=False, init=False, repr=False)
    _sidecars: Sidecars | None = field(default=None, init=False, repr=False)
    _has_sidecars: bool = field(default=False, init=False, repr=False)

    def linger(self) -> None:
        """Say that this call takes far longer than most: sets behind it need not wait for it."""
        self.lingers = True

    def make_folder(self, folder: Path) -> None:
        """Make a folder that a parameter in ``writes_into`` names, if need be. Blocks.

        A set of large files takes hours: raises ``TemporaryError`` where the disk that was there
        when the set began is no longer there. Raises OSError where the folder cannot be made.
        """
        folder.mkdir(parents=True, exist_ok=True)
        device = self.devices.get(folder)
        if device is not None and folder.stat().st_dev != device:
            raise TemporaryError(f"the disk on which {folder} was is no longer there")

    def finish(self, outcome: Outcome) -> None:
        """Say how this call ended. Once only."""
        if self.outcome is not None:
            raise RuntimeError(f"call of job {self.job_id} was finished twice")
        self.outcome = outcome

    @property
    def source(self) -> FileSource | None:
        """The file that was noticed, where the event has one."""
        if not self._has_source:
            self._source, self._has_source = FileSource.from_data(self.data), True
        return self._source

    @property
    def sidecars(self) -> Sidecars | None:
        """The sidecars that came with it; None where the trigger does not look for any."""
        if not self._has_sidecars:
            self._sidecars, self._has_sidecars = Sidecars.from_data(self.data), True
        return self._sidecars

    @property
    def is_late(self) -> bool:
        """Say whether this is about sidecars only: the rule has had their file before."""
        if "sidecar" not in self.data:
            return False  # as mostly
        return self.sidecars is not None and self.sidecars.come_late_for(self.rule)

    @property
    def file_hash(self) -> str | None:
        """The first of ``file_hashes``; None where the job is about no file of the client."""
        return self.file_hashes[0] if self.file_hashes else None

    @property
    def chain(self) -> tuple[str, ...]:
        """The rules that led here, each fired by the one before it; this one is the last."""
        return (*chain_of(self.data), self.rule)

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
        if not self.steps:
            return None
        mine = (self.position, self.action.action)
        return next((r for r in self.steps if (r.position, r.action) == mine), None)


async def keep_receipts(receipts: Mapping[Call[Any], Data]) -> None:
    """Have the ledger keep what calls of one set are about to change, before anything is sent.

    A daemon that dies between the deed and the note of it finds the deed done, and would take
    it for somebody else's. What is kept here is then found in ``Call.earlier``.
    """
    keeper = next((call.keeper for call in receipts), None)
    if keeper is not None:
        await keeper({call.job_id: receipt for call, receipt in receipts.items()})


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
