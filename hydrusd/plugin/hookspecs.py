"""Everything a plugin can hook into, on one page.

Registration goes by callback: a plugin calls ``register`` as often as it likes
and returns nothing, so that the host never has to guess what a list of lists
meant. Hooks are called with named arguments; an implementation takes only those
it wants, which is why a hook may gain arguments later without breaking anyone.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

import pluggy

from hydrusd.model import FinishedJob

if TYPE_CHECKING:
    from hydrusd.plugin._action import Action
    from hydrusd.plugin._sidecars import SidecarFormat
    from hydrusd.plugin._trigger import Trigger

PROJECT = "hydrusd"

hookspec = pluggy.HookspecMarker(PROJECT)
hookimpl = pluggy.HookimplMarker(PROJECT)


@hookspec
def hydrusd_register_actions(register: Callable[[type[Action]], None]) -> None:
    """Call ``register`` with each class of action that the plugin brings."""


@hookspec
def hydrusd_register_triggers(register: Callable[[type[Trigger]], None]) -> None:
    """Call ``register`` with each class of trigger that the plugin brings."""


@hookspec
def hydrusd_register_filters(register: Callable[[str, Callable[..., object]], None]) -> None:
    """Call ``register`` with the name and function of each filter for templates and conditions."""


@hookspec
def hydrusd_register_sidecar_formats(register: Callable[[SidecarFormat], None]) -> None:
    """Call ``register`` with each format of sidecars that the plugin can read."""


@hookspec
def hydrusd_job_finished(entry: FinishedJob) -> None:
    """Learn that a job has ended: done, skipped or dead. Observes only; errors are logged."""
