"""Runs a program."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping, Sequence
from typing import Annotated, Any, ClassVar, Literal

from pydantic import Field, field_validator

from hydrusd.plugin import (
    CHAIN_VARIABLE,
    AnyAction,
    Call,
    Duration,
    Fault,
    FolderPath,
    Foreseen,
    HydrusClient,
    Outcome,
    OutsideAction,
    ProgramEnd,
    TextOrSecret,
    find_program,
    program_environment,
    revealed,
    run_program,
)


class RunCommand(OutsideAction):
    """Run a program.

    There is no shell: `command` is a list, and each entry of it is one argument, whatever a file
    name in it may hold. The program itself must be named, not rendered. What it prints is
    kept up to 64 KB. Off unless the rules file says `allow: [run_command]`.

    Later steps see `steps.run_command.exit_code`, `.stdout` (its beginning), `.stderr` (its
    end), and `.json` where `stdout` is JSON.
    """

    action: ClassVar[str] = "run_command"
    no_undo: ClassVar[str] = "only who wrote the command knows how it is undone"
    needs_allowing: ClassVar[bool] = True
    repeat_shows: ClassVar[bool] = True

    command: Annotated[list[str], Field(min_length=1)] = Field(
        description="The program and its arguments; the arguments may hold templates."
    )
    timeout: Duration = Field(
        default=60.0,
        gt=0,
        description="How long it may take; then it is stopped, with all that it started.",
    )
    ok: list[int] = Field(default=[0], description="The exit codes that mean success.")
    retry_on: list[int] = Field(
        default=[], description="The exit codes that mean: try again, later."
    )
    folder: FolderPath = Field(
        default=".",
        validate_default=True,
        description="The folder to run it in; relative paths start at the rules file's folder.",
    )
    env: dict[str, TextOrSecret] = Field(
        default={},
        description='Variables to add to the environment; secrets as `{secret: "${env:NAME}"}`.',
    )
    inherit_env: bool = Field(
        default=False,
        description=(
            "Pass on the whole environment of hydrusd, but for its secrets. Without: `PATH`, "
            "`HOME`, and what else every program takes for granted."
        ),
    )
    stdin: Literal["none", "event"] = Field(
        default="none", description="`event` gives it `rule`, `event` and `hashes` as JSON to read."
    )

    @field_validator("command")
    @classmethod
    def _program_is_named(cls, command: list[str]) -> list[str]:
        if not command[0].strip() or "{{" in command[0] or "{%" in command[0]:
            raise ValueError("the program must be named; only its arguments may hold templates")
        return command

    def preflight(self, client: HydrusClient) -> Iterable[Fault]:
        """Name a program that is not there."""
        del client
        if find_program(self.command[0], self.folder, self._environment({})) is None:
            yield Fault(
                f"there is no program {self.command[0]!r} that could be run",
                "give its whole path, or put it where PATH leads",
                ("command", 0),
            )

    @classmethod
    async def plan(cls, calls: Sequence[Call[AnyAction]]) -> Sequence[Foreseen]:
        """Say what would be run."""
        plans = []
        for call in calls:
            assert isinstance(call.action, RunCommand)
            plans.append(Foreseen(f"would run {json.dumps(call.action.command)}"))
        return plans

    @classmethod
    async def perform(cls, calls: Sequence[Call[Any]]) -> Outcome:
        """Run it for one item."""
        call = calls[0]
        action = call.action
        assert isinstance(action, RunCommand)
        ended = await run_program(
            action.command,
            folder=action.folder,
            environment=action._environment(  # noqa: SLF001 - its own
                {CHAIN_VARIABLE: json.dumps(call.chain), **revealed(action.env)}
            ),
            stdin=_event(call) if action.stdin == "event" else None,
            timeout_seconds=action.timeout,
        )
        return action._outcome(ended)  # noqa: SLF001 - its own

    def _environment(self, added: Mapping[str, str]) -> dict[str, str]:
        return {**program_environment(whole=self.inherit_env), **added}

    def _outcome(self, ended: ProgramEnd) -> Outcome:
        if ended.exit_code is None:
            return self.unknown(f"not over within {self.timeout:g} s; {ended.story}")
        stdout, stderr = (text.decode("utf-8", "replace") for text in (ended.stdout, ended.stderr))
        values: dict[str, object] = {
            "exit_code": ended.exit_code,
            "stdout": stdout,
            "stderr": stderr,
        }
        if ended.whole and (found := _json(stdout)) is not None:
            values["json"] = found
        if ended.exit_code in self.ok:
            return Outcome.done(f"exit code {ended.exit_code}", values=values)
        if ended.exit_code in self.retry_on:
            return Outcome.retry(ended.story)
        return Outcome.dead(ended.story, values=values)


def _event(call: Call[Any]) -> bytes:
    told = {"rule": call.rule, "event": call.data, "hashes": list(call.file_hashes)}
    return json.dumps(told).encode()


def _json(text: str) -> object:
    try:
        return json.loads(text)
    except (ValueError, RecursionError):
        return None
