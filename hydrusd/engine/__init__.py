"""The engine: intake, matching, lanes, settling, retrying, planning."""

from hydrusd.engine.backing_up import BackingUp
from hydrusd.engine.checking import DataPath, doubts_about, doubts_between
from hydrusd.engine.compiling import CompiledRule, compile_rule
from hydrusd.engine.intake import Intake
from hydrusd.engine.lane import Lane
from hydrusd.engine.made_files import MadeFiles
from hydrusd.engine.off_limits import OffLimits
from hydrusd.engine.planning import Plan, PlannedJob, PlannedTrigger, Planner, Prediction
from hydrusd.engine.progress import Progress
from hydrusd.engine.pruning import Pruner, retention
from hydrusd.engine.rulebook import RuleBook, Source, missing_parts
from hydrusd.engine.signals import Signals
from hydrusd.engine.stores import Stores
from hydrusd.engine.undoing import PlannedStep, PlannedUndo, foresee_undo, plan_undo

__all__ = [
    "BackingUp",
    "CompiledRule",
    "DataPath",
    "Intake",
    "Lane",
    "MadeFiles",
    "OffLimits",
    "Plan",
    "PlannedJob",
    "PlannedStep",
    "PlannedTrigger",
    "PlannedUndo",
    "Planner",
    "Prediction",
    "Progress",
    "Pruner",
    "RuleBook",
    "Signals",
    "Source",
    "Stores",
    "compile_rule",
    "doubts_about",
    "doubts_between",
    "foresee_undo",
    "missing_parts",
    "plan_undo",
    "retention",
]
