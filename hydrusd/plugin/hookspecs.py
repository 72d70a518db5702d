"""Everything a plugin can hook into, on one page.

Registration goes by callback: a plugin calls ``register`` as often as it likes
and returns nothing, so that the host never has to guess what a list of lists
meant. Hooks are called with named arguments; an implementation takes only those
it wants, which is why a hook may gain arguments later without breaking anyone.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any, Protocol

import pluggy

from hydrusd.model import ConditionChange, FinishedJob, JobsMade

if TYPE_CHECKING:
    from hydrusd.plugin._action import Action
    from hydrusd.plugin._sidecars import SidecarFormat
    from hydrusd.plugin._trigger import Trigger

PROJECT = "hydrusd"

API_VERSION = (1, 0)
"""The version of the author API: all that ``hydrusd.plugin`` shows, and the hooks.

As long as the first number stays, what worked goes on working: names stay, functions and hooks
may gain parameters with defaults, classes gain members. The second number grows with that. A
plugin that says ``hydrusd_api = (1, 0)`` is left out, with the reason, by a hydrusd whose first
number is another or whose second is smaller. What is to go is named in the changelog one version
before.
"""

SINCE: dict[str, tuple[int, int]] = {}
"""What was not there in version 1.0: each name of the author API, with the version that brought it.
The reference tells it."""

hookspec = pluggy.HookspecMarker(PROJECT)
hookimpl = pluggy.HookimplMarker(PROJECT)
"""Stands before a function that is a hook, as `@hookimpl`."""


class Command(Protocol):
    """A command for the command line: a ``click.Command``."""

    name: str | None
    help: str | None

    def make_context(self, info_name: str | None, args: list[str], **extra: Any) -> Any:
        """Read its arguments."""
        ...


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
def hydrusd_register_commands(register: Callable[[Command], None]) -> None:
    """Call ``register`` with each ``click.Command`` that is to become ``hydrusd NAME``."""


@hookspec
def hydrusd_started(rules: Sequence[str], clients: Sequence[str]) -> None:
    """Learn that the daemon has started, with which rules and clients, by their names."""


@hookspec
def hydrusd_jobs_made(entry: JobsMade) -> None:
    """Learn that a trigger has noticed something, and that a rule has new jobs in a run."""


@hookspec
def hydrusd_job_finished(entry: FinishedJob) -> None:
    """Learn that a job has ended: done, skipped or dead."""


@hookspec
def hydrusd_condition_changed(entry: ConditionChange) -> None:
    """Learn that a client went away or is back, that a rule or trigger waits or works again."""


@hookspec
def hydrusd_stopping() -> None:
    """Learn that the daemon stops; there are two seconds left."""
