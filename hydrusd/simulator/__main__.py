"""``python -m hydrusd.simulator``: a simulated client in a process of its own, to be killed.

Prints one line with its URL once it listens.
"""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

from hydrusd.simulator import (
    DEFAULT_ACCESS_KEY,
    Permissions,
    SimulatorConfig,
    run,
)


def _announce(url: str) -> None:
    sys.stdout.write(url + "\n")
    sys.stdout.flush()


def main() -> None:
    """Read the command line and run until told to stop."""
    parser = argparse.ArgumentParser(prog="python -m hydrusd.simulator", description=__doc__)
    parser.add_argument("--port", type=int, default=45869, help="0 takes a free one")
    parser.add_argument("--state-dir", type=Path, help="keep committed state there")
    parser.add_argument("--api-version", type=int, choices=(95, 32, 11), default=95)
    parser.add_argument("--commit-seconds", type=float, default=30.0)
    parser.add_argument("--import-seconds", type=float, default=0.0)
    parser.add_argument("--known-seconds", type=float, default=0.0)
    parser.add_argument("--access-key", default=DEFAULT_ACCESS_KEY, help="64 hex digits")
    parser.add_argument("--control", action="store_true", help="answer /_simulator/… too")
    given = parser.parse_args()
    config = SimulatorConfig(
        api_version=given.api_version,
        access_keys={given.access_key: Permissions(name="full", permits_everything=True)},
        state_dir=given.state_dir,
        commit_seconds=given.commit_seconds,
        import_seconds=given.import_seconds,
        known_seconds=given.known_seconds,
        control=given.control,
    )
    run(config, port=given.port, on_ready=_announce)


if __name__ == "__main__":
    main()
