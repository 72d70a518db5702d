"""The ledger: what was noticed, what is to be done about it, what was done.

The only room that knows SQL. Everything else asks it in words of the model.
"""

from hydrusd.ledger._explaining import (
    History,
    JobTrace,
    NotTaken,
    RunView,
    StepSummary,
    StepTrace,
    Trace,
    waits_for,
)
from hydrusd.ledger._had import FileHad
from hydrusd.ledger._ledger import (
    FOR_GOOD,
    RETRIED,
    ClaimFilter,
    Intake,
    JobUpdate,
    KeptSignal,
    Ledger,
    Memory,
    NewJob,
    NotMatched,
    PendingEvent,
    StepUpdate,
)
from hydrusd.ledger._reading import (
    DeadLetter,
    JobView,
    LaneStatus,
    LedgerReader,
    OpenJobs,
    PassedOver,
    RuleCount,
)
from hydrusd.ledger._writer import LedgerWriter

__all__ = [
    "FOR_GOOD",
    "RETRIED",
    "ClaimFilter",
    "DeadLetter",
    "FileHad",
    "History",
    "Intake",
    "JobTrace",
    "JobUpdate",
    "JobView",
    "KeptSignal",
    "LaneStatus",
    "Ledger",
    "LedgerReader",
    "LedgerWriter",
    "Memory",
    "NewJob",
    "NotMatched",
    "NotTaken",
    "OpenJobs",
    "PassedOver",
    "PendingEvent",
    "RuleCount",
    "RunView",
    "StepSummary",
    "StepTrace",
    "StepUpdate",
    "Trace",
    "waits_for",
]
