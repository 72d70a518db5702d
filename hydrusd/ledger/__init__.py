"""The ledger: what was noticed, what is to be done about it, what was done.

The only room that knows SQL. Everything else asks it in words of the model.
"""

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
from hydrusd.ledger._undoing import (
    NewUndo,
    PutBack,
    UndoHistory,
    UndoJob,
    enqueue_undo,
    keep_steps,
    put_back,
    take_up_undo,
)
from hydrusd.ledger._writer import LedgerWriter

__all__ = [
    "FOR_GOOD",
    "RETRIED",
    "ClaimFilter",
    "Cursor",
    "DeadLetter",
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
    "Memory",
    "NewJob",
    "NewUndo",
    "NotMatched",
    "NotTaken",
    "OpenJobs",
    "PassedOver",
    "PendingEvent",
    "Pruned",
    "PrunedJob",
    "PutBack",
    "Retention",
    "RuleCount",
    "RunSoFar",
    "RunView",
    "StepSummary",
    "StepTrace",
    "StepUpdate",
    "Trace",
    "UndoHistory",
    "UndoJob",
    "enqueue_undo",
    "keep_steps",
    "made_paths",
    "put_back",
    "take_up_undo",
    "waits_for",
]
