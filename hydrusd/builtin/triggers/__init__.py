"""The triggers that come with hydrusd, registered like anyone's."""

from __future__ import annotations

from collections.abc import Callable

from hydrusd.builtin.triggers.watch_folder import WatchFolder
from hydrusd.plugin import Trigger, hookimpl


@hookimpl
def hydrusd_register_triggers(register: Callable[[type[Trigger]], None]) -> None:
    """Register them all."""
    register(WatchFolder)
