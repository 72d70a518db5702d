"""The author API: what a plugin, the built-in ones included, may use of hydrusd."""

from hydrusd.clock import Clock, first_of
from hydrusd.errors import (
    HydrusUnavailable,
    PermanentError,
    PermissionMissing,
    RequestRejected,
    TemporaryError,
    VersionTooOld,
)
from hydrusd.fetching import AnswerLost, HttpReply, fetch
from hydrusd.hydrus import (
    FileChangedError,
    HydrusClient,
    ImportStatus,
    Permission,
    TagStatus,
    WrongFileError,
    clean_tag,
)
from hydrusd.model import Event, FinishedJob, Firing, Outcome, StepRecord
from hydrusd.plugin._action import (
    Action,
    AnyAction,
    Call,
    Fault,
    Foreseen,
    SetAction,
    source_outcome,
)
from hydrusd.plugin._source import FileSource, SourceState
from hydrusd.plugin._trigger import Signal, Trigger, TriggerContext
from hydrusd.plugin.hookspecs import hookimpl
from hydrusd.rules import Duration, FilePath, FolderPath, Secret, Size

__all__ = [
    "Action",
    "AnswerLost",
    "AnyAction",
    "Call",
    "Clock",
    "Duration",
    "Event",
    "Fault",
    "FileChangedError",
    "FilePath",
    "FileSource",
    "FinishedJob",
    "Firing",
    "FolderPath",
    "Foreseen",
    "HttpReply",
    "HydrusClient",
    "HydrusUnavailable",
    "ImportStatus",
    "Outcome",
    "PermanentError",
    "Permission",
    "PermissionMissing",
    "RequestRejected",
    "Secret",
    "SetAction",
    "Signal",
    "Size",
    "SourceState",
    "StepRecord",
    "TagStatus",
    "TemporaryError",
    "Trigger",
    "TriggerContext",
    "VersionTooOld",
    "WrongFileError",
    "clean_tag",
    "fetch",
    "first_of",
    "hookimpl",
    "source_outcome",
]
