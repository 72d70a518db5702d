"""The ledger: what was noticed, what is to be done about it, what was done.

The only room that knows SQL. Everything else asks it in words of the model.
"""

from hydrusd.ledger._ledger import (
    ClaimFilter,
    Intake,
    JobUpdate,
    Ledger,
    NewJob,
    NotMatched,
    PendingEvent,
    StepUpdate,
)
from hydrusd.ledger._reading import DeadLetter, JobView, LaneStatus, LedgerReader, RuleCount
from hydrusd.ledger._writer import LedgerWriter

__all__ = [
    "ClaimFilter",
    "DeadLetter",
    "Intake",
    "JobUpdate",
    "JobView",
    "LaneStatus",
    "Ledger",
    "LedgerReader",
    "LedgerWriter",
    "NewJob",
    "NotMatched",
    "PendingEvent",
    "RuleCount",
    "StepUpdate",
]
