"""The nouns that every room shares: event, outcome, job, step.

All frozen: they cross threads and transactions, and a value that cannot change
cannot be half changed. Payloads are plain JSON, because they are stored.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from enum import StrEnum
from typing import NamedTuple, NewType

EventId = NewType("EventId", int)
JobId = NewType("JobId", int)
"""The number of a job in the ledger; no other one ever has it."""

KEY_FORM = "|as "
"""What stands in the key of an event between that of a thing and the form in which it was
noticed: when the thing is gone, its plain key is free again, too."""

Data = Mapping[str, object]
"""Plain JSON: strings, numbers, booleans, None, lists and mappings of such."""


@dataclass(frozen=True, slots=True)
class Event:
    """Something a trigger noticed.

    ``key`` is its identity: the same key twice is the same event, and the second
    is a no-op. ``data`` is what templates and conditions see, by its top-level names.
    """

    key: str
    data: Data


class OutcomeKind(StrEnum):
    """How a step ended, or that it has not. One that was passed over did not run, as the rule
    does not want it for this item; the job goes on behind it.
    """

    DONE = "done"
    PASSED = "passed over"
    SKIPPED = "skipped"
    LATER = "later"
    RETRY = "retry"
    DEAD = "dead"
    PARK = "park"


class ParkScope(StrEnum):
    """What has to wait: everything for one client, or one rule."""

    LANE = "lane"
    RULE = "rule"


def fired_topic(rule: str) -> str:
    """Give the topic of the signals that fire a rule."""
    return f"fired:{rule}"


def finished_topic(rule: str) -> str:
    """Give the topic of the signals that tell of the endings of a rule's jobs."""
    return f"finished:{rule}"


CHAIN_VARIABLE = "HYDRUSD_CHAIN"
"""The variable in which a command finds the rules that led to it, as a JSON list, …"""
CHAIN_HEADER = "Hydrusd-Chain"
"""… and the header in which a request to this machine says it, should that be hydrusd itself."""


def chain_of(data: Data) -> tuple[str, ...]:
    """Give the rules that led to an event, the first first."""
    chain = data.get("chain")
    return tuple(map(str, chain)) if isinstance(chain, list) else ()


@dataclass(frozen=True, slots=True)
class Firing:
    """A rule that is to be fired, and what it is fired with."""

    rule: str
    data: Data


@dataclass(frozen=True, slots=True)
class Outcome:
    """How one step of one job ended.

    ``values`` are for later steps (``steps.add_file.hash``); ``receipt`` is what the
    step really changed, kept for ``explain`` and ``undo``. ``frees_event`` says that
    what the event stood for is no longer there (the source was moved, trashed,
    replaced): should the same thing be noticed again, it is a new event. ``fires`` are
    rules to be fired by this step, stored together with it: never without, never twice.
    ``disposes_next`` leads straight to the next step that disposes of the source, or to the
    end where there is none.
    """

    kind: OutcomeKind
    detail: str = ""
    values: Data = field(default_factory=dict)
    receipt: Data | None = None
    delay_seconds: float | None = None
    scope: ParkScope = ParkScope.LANE
    frees_event: bool = False
    fires: Sequence[Firing] = ()
    disposes_next: bool = False

    @classmethod
    def done(
        cls,
        detail: str = "",
        *,
        values: Data | None = None,
        receipt: Data | None = None,
        frees_event: bool = False,
        fires: Sequence[Firing] = (),
    ) -> Outcome:
        """Say that the step did its work; the job goes on to the next one."""
        return cls(
            OutcomeKind.DONE,
            detail,
            values or {},
            receipt=receipt,
            frees_event=frees_event,
            fires=fires,
        )

    @classmethod
    def skipped(
        cls, detail: str, *, values: Data | None = None, frees_event: bool = False
    ) -> Outcome:
        """Say that the job ends here, on purpose: its remaining steps do not run."""
        return cls(OutcomeKind.SKIPPED, detail, values or {}, frees_event=frees_event)

    @classmethod
    def later(cls, detail: str, *, delay_seconds: float, values: Data | None = None) -> Outcome:
        """Say that the step is under way but not over: it is called again after the delay.

        For what takes long elsewhere (a download) or is not due yet. Costs no attempt; the
        daemon may be restarted in between. The next call finds ``values`` in ``progress``.
        """
        return cls(OutcomeKind.LATER, detail, values or {}, delay_seconds=delay_seconds)

    @classmethod
    def retry(cls, detail: str, *, delay_seconds: float | None = None) -> Outcome:
        """Say that it may work later; costs an attempt."""
        return cls(OutcomeKind.RETRY, detail, delay_seconds=delay_seconds)

    @classmethod
    def dead(cls, detail: str, *, values: Data | None = None) -> Outcome:
        """Say that repeating would not help: the job is kept as a dead letter."""
        return cls(OutcomeKind.DEAD, detail, values or {})

    @classmethod
    def park(cls, detail: str) -> Outcome:
        """Say that the client is away; costs no attempt."""
        return cls(OutcomeKind.PARK, detail)

    @classmethod
    def park_rule(cls, detail: str) -> Outcome:
        """Say that what this rule works on is away; other rules go on. Costs no attempt."""
        return cls(OutcomeKind.PARK, detail, scope=ParkScope.RULE)


def tells(receipt: object) -> bool:
    """Say whether there is anything in a receipt, so that something was changed."""
    if type(receipt) is dict or isinstance(receipt, Mapping):
        return any(map(tells, receipt.values()))
    if isinstance(receipt, list | tuple):
        return any(map(tells, receipt))
    return receipt is not None and receipt is not False and receipt != ""  # a 0 is something


UNDO = "undo"
"""The trigger that no rules file can name: a person who takes something back."""

UNDO_RULE = "undo of "
"""How the names of the rules begin under which that is done; no rule may be called so."""


class JobState(StrEnum):
    """Where a job is. The last three are endings."""

    READY = "ready"
    RUNNING = "running"
    SETTLING = "settling"
    DONE = "done"
    SKIPPED = "skipped"
    DEAD = "dead"


@dataclass(frozen=True, slots=True)
class StepRecord:
    """What the ledger keeps of one step of a job: its last outcome.

    ``began_at`` is when its set began, or the first of them where it went on later.
    """

    position: int
    action: str
    outcome: OutcomeKind
    detail: str
    values: Data
    receipt: Data | None
    began_at: datetime | None = None

    @property
    def is_work(self) -> bool:
        """Say whether it tells of anything done, or tried."""
        return self.outcome is not OutcomeKind.PASSED


class Job(NamedTuple):
    """One rule × one event, as claimed from the ledger.

    ``step`` is the position of the next step to run. ``boot`` is the run of the
    Hydrus client in which its oldest not yet durable change was made, or None
    where nothing waits to be committed. ``attempt`` counts tries of this step,
    the present one included; ``losses`` how often the client has lost what the job did.
    """

    id: JobId
    rule: str
    revision: str
    event_id: EventId
    event_key: str
    data: Data
    step: int
    attempt: int
    file_hash: str | None
    boot: str | None
    steps: Sequence[StepRecord] = ()
    run_id: int | None = None
    losses: int = 0


@dataclass(frozen=True, slots=True)
class FinishedJob:
    """What observers are told when a job has ended."""

    job_id: JobId
    rule: str
    state: JobState
    detail: str
    data: Data
    file_hash: str | None
    finished_at: datetime
    run_id: int | None = None


@dataclass(frozen=True, slots=True)
class JobsMade:
    """What observers are told when a rule has new jobs: how many, and in which run."""

    rule: str
    trigger: str
    run_id: int | None
    jobs: int
    made_at: datetime


@dataclass(frozen=True, slots=True)
class ConditionChange:
    """What observers are told when a ``client``, a ``rule`` or a ``trigger`` is in another state.

    A client is ``connected`` or ``waiting``, a rule ``working`` or ``parked``, a trigger
    ``working`` or ``waiting``; ``reason`` says more for people.
    """

    kind: str
    name: str
    state: str
    reason: str
    changed_at: datetime
