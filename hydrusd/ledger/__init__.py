"""The ledger: what was noticed, what is to be done about it, what was done.

The only room that knows SQL. Everything else asks it in words of the model.
"""

from hydrusd.ledger._backups import Backup, Occasion, back_up, backups, export
from hydrusd.ledger._conditions import forget_conditions
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
    RunSoFar,
    StepUpdate,
)
from hydrusd.ledger._looking import open_to_look
from hydrusd.ledger._mentioning import made_paths
from hydrusd.ledger._mounts import forget_mount, mounts_written_to, remember_mounts
from hydrusd.ledger._progressing import (
    Noticing,
    RuleProgress,
    forget_noticing,
    note_noticing,
    progress,
    rate,
)
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
from hydrusd.ledger._taking_turns import (
    BUSY_TOGETHER,
    Queue,
    busy_rules,
    last_activity,
    queues,
    rules_of,
    superseded_among,
)
from hydrusd.ledger._undoing import (
    NewUndo,
    PutBack,
    UndoHistory,
    UndoJob,
    enqueue_undo,
    has_undone,
    keep_steps,
    put_back,
    take_up_undo,
)
from hydrusd.ledger._watching import LedgerWatch
from hydrusd.ledger._writer import LedgerWriter

__all__ = [
    "BUSY_TOGETHER",
    "FOR_GOOD",
    "RETRIED",
    "Backup",
    "ClaimFilter",
    "Cursor",
    "DeadLetter",
    "FileHad",
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
    "LedgerWatch",
    "LedgerWriter",
    "Listener",
    "LostJob",
    "Memory",
    "NewJob",
    "NewUndo",
    "NotMatched",
    "NotTaken",
    "Noticing",
    "Occasion",
    "OpenJobs",
    "PassedOver",
    "PendingEvent",
    "Pruned",
    "PrunedJob",
    "PutBack",
    "Queue",
    "Repair",
    "Repaired",
    "Retention",
    "RuleCount",
    "RuleProgress",
    "RunSoFar",
    "RunView",
    "Salvage",
    "StepSummary",
    "StepTrace",
    "StepUpdate",
    "Trace",
    "UndoHistory",
    "UndoJob",
    "back_up",
    "backups",
    "busy_rules",
    "enqueue_undo",
    "examine",
    "export",
    "forget_conditions",
    "forget_mount",
    "forget_noticing",
    "has_undone",
    "keep_steps",
    "last_activity",
    "made_paths",
    "mounts_written_to",
    "note_noticing",
    "open_to_look",
    "progress",
    "put_back",
    "queues",
    "rate",
    "remember_mounts",
    "rules_of",
    "superseded_among",
    "take_up_undo",
    "waits_for",
]
