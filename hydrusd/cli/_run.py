"""``hydrusd run``."""

from __future__ import annotations

from functools import partial
from pathlib import Path

import anyio

from hydrusd.cli._paths import rules_path, state_path
from hydrusd.cli._stopping import (
    leave_threads_behind,
    reloading_on_hangup,
    stopping_on_signals,
)
from hydrusd.cli._terminal import configure_logs
from hydrusd.daemon import Configuration, Daemon, read_configuration, spare_collector


def run_daemon(
    rules: Path | None, state_dir: Path | None, *, safe_mode: bool, log_level: str, as_json: bool
) -> None:
    """Run until stopped."""
    configure_logs(level=log_level, as_json=as_json)
    # Where it is now is where it will be read again, whatever else appears meanwhile.
    read = partial(read_configuration, rules_path(rules), safe_mode=safe_mode, tolerant=True)
    configuration = read()

    def read_again(present: Configuration) -> Configuration:
        return read(former=present)

    async def run() -> None:
        daemon = Daemon(configuration, state_path(state_dir), read_again=read_again)
        spare_collector()
        with stopping_on_signals(daemon.stop), reloading_on_hangup(daemon.reload, daemon.stop):
            await daemon.run()

    anyio.run(run)
    leave_threads_behind()
