"""The ledger: what was noticed, what is to be done about it, what was done.

The only room that knows SQL. Everything else asks it in words of the model.
"""

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
    "Intake",
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
    "OpenJobs",
    "PassedOver",
    "PendingEvent",
    "RuleCount",
    "StepUpdate",
]
