"""The engine: intake, matching, lanes, settling, retrying, planning."""

from hydrusd.engine.backing_up import BackingUp
from hydrusd.engine.checking import DataPath, check_list, doubts_about, doubts_between
from hydrusd.engine.compiling import CompiledRule, CompiledStep, compile_rule
from hydrusd.engine.intake import Intake
from hydrusd.engine.lane import TOLD_IDLE_SECONDS, Lane
from hydrusd.engine.lookout import Lookout, Seen
from hydrusd.engine.made_files import MadeFiles
from hydrusd.engine.off_limits import OffLimits
from hydrusd.engine.ordering import check_rule
from hydrusd.engine.pacing import fault_of_idling, out_of_hours
from hydrusd.engine.permitting import missing_permissions
from hydrusd.engine.planning import Plan, PlannedJob, PlannedTrigger, Planner, Prediction
from hydrusd.engine.program import Flow
from hydrusd.engine.progress import Progress
from hydrusd.engine.pruning import Pruner, retention
from hydrusd.engine.reconciling import Changes, Desired, reconcile, source_key
from hydrusd.engine.rulebook import RuleBook, Source, missing_parts
from hydrusd.engine.signals import Signals
from hydrusd.engine.stores import Stores
from hydrusd.engine.undoing import PlannedStep, PlannedUndo, foresee_undo, plan_undo

__all__ = [
    "TOLD_IDLE_SECONDS",
    "BackingUp",
    "Changes",
    "CompiledRule",
    "CompiledStep",
    "DataPath",
    "Desired",
    "Flow",
    "Intake",
    "Lane",
    "Lookout",
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
    "Seen",
    "Signals",
    "Source",
    "Stores",
    "check_list",
    "check_rule",
    "compile_rule",
    "doubts_about",
    "doubts_between",
    "fault_of_idling",
    "foresee_undo",
    "missing_parts",
    "missing_permissions",
    "out_of_hours",
    "plan_undo",
    "reconcile",
    "retention",
    "source_key",
]
