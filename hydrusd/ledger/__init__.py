"""The ledger: what was noticed, what is to be done about it, what was done.

The only room that knows SQL. Everything else asks it in words of the model.
"""

from hydrusd.ledger._backups import Backup, Occasion, back_up, backups, export
from hydrusd.ledger._explaining import (
    History,
    JobTrace,
    NotTaken,
    PrunedJob,
    RunView,
    StepSummary,
    StepTrace,
    Trace,
    waits_for,
)
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
    RunSoFar,
    StepUpdate,
)
from hydrusd.ledger._mentioning import made_paths
from hydrusd.ledger._pruning import Cursor, Listener, Pruned, Retention
from hydrusd.ledger._reading import (
    DeadLetter,
    JobView,
    LaneStatus,
    LedgerReader,
    OpenJobs,
    PassedOver,
    RuleCount,
)
from hydrusd.ledger._repairing import Health, LostJob, Repair, Repaired, examine
from hydrusd.ledger._salvaging import Salvage
from hydrusd.ledger._writer import LedgerWriter

__all__ = [
    "FOR_GOOD",
    "RETRIED",
    "Backup",
    "ClaimFilter",
    "Cursor",
    "DeadLetter",
    "Health",
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
    "Listener",
    "LostJob",
    "Memory",
    "NewJob",
    "NotMatched",
    "NotTaken",
    "Occasion",
    "OpenJobs",
    "PassedOver",
    "PendingEvent",
    "Pruned",
    "PrunedJob",
    "Repair",
    "Repaired",
    "Retention",
    "RuleCount",
    "RunSoFar",
    "RunView",
    "Salvage",
    "StepSummary",
    "StepTrace",
    "StepUpdate",
    "Trace",
    "back_up",
    "backups",
    "examine",
    "export",
    "made_paths",
    "waits_for",
]
