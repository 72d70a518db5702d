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
from hydrusd.hydrus import (
    FileChangedError,
    HydrusClient,
    ImportStatus,
    Permission,
    TagStatus,
    WrongFileError,
    clean_tag,
)
from hydrusd.model import Event, FinishedJob, Outcome, StepRecord
from hydrusd.plugin._action import Action, AnyAction, Call, Fault, SetAction, source_outcome
from hydrusd.plugin._source import FileSource, SourceState
from hydrusd.plugin._trigger import Trigger, TriggerContext
from hydrusd.plugin.hookspecs import hookimpl
from hydrusd.rules import Duration, FolderPath, Size

__all__ = [
    "Action",
    "AnyAction",
    "Call",
    "Clock",
    "Duration",
    "Event",
    "Fault",
    "FileChangedError",
    "FileSource",
    "FinishedJob",
    "FolderPath",
    "HydrusClient",
    "HydrusUnavailable",
    "ImportStatus",
    "Outcome",
    "PermanentError",
    "Permission",
    "PermissionMissing",
    "RequestRejected",
    "SetAction",
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
    "first_of",
    "hookimpl",
    "source_outcome",
]
