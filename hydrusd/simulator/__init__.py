"""A faithful stand-in for a Hydrus client, over real HTTP.

For demos, for our tests and for those of plugin authors. Its measure are answers
recorded from real clients; it shares no code with hydrusd's own client of that
API, so that a misreading cannot hide by being made twice. It forgets what it
did not commit, as the real one does.
"""

from hydrusd.simulator._config import (
    DEFAULT_ACCESS_KEY,
    Permissions,
    Service,
    SimulatorConfig,
    TagRules,
)
from hydrusd.simulator._disk import Commit
from hydrusd.simulator._faults import Fault, FaultKind
from hydrusd.simulator._running import run
from hydrusd.simulator._simulator import FileRecord, Simulator

__all__ = [
    "DEFAULT_ACCESS_KEY",
    "Commit",
    "Fault",
    "FaultKind",
    "FileRecord",
    "Permissions",
    "Service",
    "Simulator",
    "SimulatorConfig",
    "TagRules",
    "run",
]
