"""What stands in a rule for something that a plugin would bring, had it been loaded.

A rule that uses a plugin which could not be loaded is neither wrong nor gone. With stand-ins it
stays a rule: it is parked, whatever else it waits for goes on being noticed, and all other rules
run. Nothing of a stand-in is ever carried out.
"""

from __future__ import annotations

import re
import types
from typing import Any, ClassVar, cast

from pydantic import BaseModel, ConfigDict

from hydrusd.model import Outcome
from hydrusd.plugin._action import Action, Call
from hydrusd.plugin._trigger import Trigger, TriggerContext

FILTER = re.compile(r"\|\s*([a-z][a-z0-9_]*)")


class MissingAction(Action):
    """Stands for an action that a plugin which was left out may bring."""

    model_config = ConfigDict(extra="allow", frozen=True)

    missing: ClassVar[str] = ""
    no_undo: ClassVar[str] = "its plugin was left out"

    async def run(self, call: Call[Any]) -> Outcome:
        """Wait."""
        del call
        return Outcome.park_rule(self.missing)


class MissingTrigger(Trigger):
    """Stands for a trigger that a plugin which was left out may bring."""

    model_config = ConfigDict(extra="allow", frozen=True)

    missing: ClassVar[str] = ""

    async def run(self, context: TriggerContext) -> None:
        """Notice nothing."""
        context.waiting(self.missing)
        await context.clock.sleep(float("inf"))


def missing_action(name: str, reason: str) -> type[MissingAction]:
    """Make a stand-in for an action."""
    return cast("type[MissingAction]", _made(MissingAction, reason, action=name))


def missing_trigger(name: str, reason: str) -> type[MissingTrigger]:
    """Make a stand-in for a trigger."""
    return cast("type[MissingTrigger]", _made(MissingTrigger, reason, trigger=name))


def _made(kind: type[BaseModel], reason: str, **named: str) -> type:
    about = {
        "__annotations__": dict.fromkeys(["missing", *named], ClassVar[str]),
        "__module__": __name__,
        "__doc__": reason,
        "missing": reason,
        **named,
    }
    return types.new_class(kind.__name__, (kind,), exec_body=lambda body: body.update(about))


def missing_in(config: BaseModel | type[BaseModel]) -> str:
    """Say why something cannot be used; nothing where it is no stand-in."""
    kind = config if isinstance(config, type) else type(config)
    return kind.missing if issubclass(kind, MissingAction | MissingTrigger) else ""
