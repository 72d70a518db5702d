"""Writes a line to the log of hydrusd."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from typing import ClassVar, Literal

import structlog
from pydantic import Field

from hydrusd.plugin import AnyAction, Call, Foreseen, Outcome, SetAction

_LEVELS = {
    "debug": logging.DEBUG,
    "info": logging.INFO,
    "warning": logging.WARNING,
    "error": logging.ERROR,
}

_TOLD_CHARACTERS = 200

log = structlog.get_logger("hydrusd.log")


class Log(SetAction):
    """Write a line to the log of hydrusd."""

    action: ClassVar[str] = "log"
    no_undo: ClassVar[str] = "what was logged was logged"
    needs_client: ClassVar[bool] = False
    changes_client: ClassVar[bool] = False

    message: str = Field(description="What to write; may hold templates.")
    level: Literal["debug", "info", "warning", "error"] = Field(
        default="info", description="How important it is; `debug` is not shown unless asked for."
    )

    @classmethod
    async def plan(cls, calls: Sequence[Call[AnyAction]]) -> Sequence[Foreseen]:
        """Say what would be written."""
        plans = []
        for call in calls:
            assert isinstance(call.action, Log)
            plans.append(Foreseen(f"would log: {call.action.message}", changes=False))
        return plans

    @classmethod
    async def run_set(cls, calls: Sequence[Call[SetAction]]) -> None:
        """Write one line for each item."""
        for call in calls:
            assert isinstance(call.action, Log)
            log.log(_LEVELS[call.action.level], call.action.message, rule=call.rule)
            call.finish(Outcome.done(f"logged: {call.action.message[:_TOLD_CHARACTERS]}"))
