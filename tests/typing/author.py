"""A plugin author's program: all shapes of a plugin, as mypy's strict mode sees them from outside.

It is checked by `mypy` along with everything else, and loaded by a test: what is promised in types
has to hold at run time, too.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any, BinaryIO, ClassVar

import click
from pydantic import Field

from hydrusd.plugin import (
    API_VERSION,
    Action,
    AnyAction,
    Call,
    Command,
    ConditionChange,
    Duration,
    Event,
    Fault,
    FinishedJob,
    Foreseen,
    HydrusClient,
    JobsMade,
    Outcome,
    PermanentError,
    Permission,
    ReadingAction,
    SetAction,
    SidecarData,
    SidecarFormat,
    Size,
    TemporaryError,
    Trigger,
    TriggerContext,
    Undo,
    action,
    hookimpl,
)

hydrusd_api = (1, 0)
version: tuple[int, int] = API_VERSION


@action(permissions={Permission.EDIT_TAGS}, no_undo="it is an example")
async def tag_large(call: Call[Any], over: Size = 1_000_000, service: str = "my tags") -> str:
    """Tag large files."""
    if call.source is None or call.file_hash is None or call.source.size <= over:
        return "not large"
    await call.client.add_tags([call.file_hash], {service: ["size:large"]})
    return "size:large"


@action
def count_bytes(call: Call[Any]) -> Outcome:
    """Count the bytes of the file."""
    if call.source is None:
        raise PermanentError("count_bytes is for files")
    return Outcome.done(f"{call.source.size} bytes", values={"bytes": call.source.size})


decorated: type[Action] = tag_large


class Wait(Action):
    """Wait until the file is old enough."""

    action: ClassVar[str] = "wait_until_old"
    needs_client: ClassVar[bool] = False
    changes_client: ClassVar[bool] = False
    time_limit_seconds: ClassVar[float | None] = 30.0

    age: Duration = Field(description="How old it has to be.")

    async def run(self, call: Call[Action]) -> Outcome:
        """Look at the clock."""
        source = call.source
        if source is None:
            return Outcome.dead("wait_until_old is for files")
        left = self.age - (call.clock.now().timestamp() - source.mtime_ns / 1e9)
        return Outcome.later("too young", delay_seconds=left) if left > 0 else Outcome.done()

    def check(self, rules: Mapping[str, str]) -> Iterable[Fault]:
        """Doubt what takes very long."""
        if self.age > 86_400 * 30 and rules:
            yield Fault("that is more than a month", path=("age",), severity="warning")

    def preflight(self, client: HydrusClient) -> Iterable[Fault]:
        """Find nothing wrong."""
        return ()


class FirstBytes(ReadingAction):
    """Tell how the file begins."""

    action: ClassVar[str] = "first_bytes"

    def read(self, file: BinaryIO, call: Call[Any]) -> Outcome:
        """Read them."""
        return Outcome.done(values={"start": file.read(4).hex()})


class Mark(SetAction):
    """Mark files, all at once."""

    action: ClassVar[str] = "mark_all"
    words: tuple[str, ...] = ()

    @classmethod
    async def run_set(cls, calls: Sequence[Call[SetAction]]) -> None:
        """Mark them."""
        for call in calls:
            assert isinstance(call.action, Mark)
            if not call.file_hashes:
                raise TemporaryError("not yet", delay_seconds=5.0)
            tags = {"my tags": list(call.action.words)}
            await call.client.add_tags(list(call.file_hashes), tags)
            call.finish(Outcome.done(receipt={"words": list(call.action.words)}))

    @classmethod
    async def plan(cls, calls: Sequence[Call[AnyAction]]) -> Sequence[Foreseen]:
        """Say so."""
        return [Foreseen("would mark it", diff=["+ mark"]) for _ in calls]

    @classmethod
    async def undo_set(cls, calls: Sequence[Call[Undo]]) -> None:
        """Leave the marks."""
        for call in calls:
            call.finish(Outcome.skipped(f"left {call.action.receipt['words']}"))


class Ticks(Trigger):
    """Tick."""

    trigger: ClassVar[str] = "ticks"
    gives: ClassVar[Mapping[str, Any] | None] = {"tick": {"number": None}}

    every: Duration = Field(default=60.0, description="How often.")

    async def run(self, context: TriggerContext) -> None:
        """Count for ever."""
        last = await context.recall("last")
        number = last if isinstance(last, int) else 0
        while True:
            number += 1
            event = Event(str(number), {"tick": {"number": number}})
            await context.emit([event], remember={"last": number})
            await context.clock.sleep(self.every)


def shout(text: object) -> str:
    """Write it large."""
    return str(text).upper()


def read_lyrics(content: bytes) -> SidecarData:
    """Read a text."""
    return SidecarData(notes={"lyrics": content.decode()})


@click.command("count-ticks")
@click.option("--from", "start", type=int, default=0, help="Where to begin.")
def count_ticks(start: int) -> None:
    """Count."""
    click.echo(str(start))


told: list[object] = []


@hookimpl
def hydrusd_register_actions(register: Callable[[type[AnyAction]], None]) -> None:
    """Register those that are classes; what is decorated registers itself."""
    register(Wait)
    register(FirstBytes)
    register(Mark)


@hookimpl
def hydrusd_register_triggers(register: Callable[[type[Trigger]], None]) -> None:
    """Register the trigger."""
    register(Ticks)


@hookimpl
def hydrusd_register_filters(register: Callable[[str, Callable[..., object]], None]) -> None:
    """Register the filter."""
    register("shout", shout)


@hookimpl
def hydrusd_register_sidecar_formats(register: Callable[[SidecarFormat], None]) -> None:
    """Register the format."""
    register(SidecarFormat("lyrics", (".lrc",), read_lyrics))


@hookimpl
def hydrusd_register_commands(register: Callable[[Command], None]) -> None:
    """Register the command."""
    register(count_ticks)


@hookimpl
def hydrusd_started(rules: Sequence[str]) -> None:
    """Take note."""
    told.append(list(rules))


@hookimpl
def hydrusd_jobs_made(entry: JobsMade) -> None:
    """Take note."""
    told.append((entry.rule, entry.jobs, entry.run_id))


@hookimpl
def hydrusd_job_finished(entry: FinishedJob) -> None:
    """Take note."""
    told.append((entry.rule, entry.state, entry.run_id))


@hookimpl
def hydrusd_condition_changed(entry: ConditionChange) -> None:
    """Take note."""
    told.append((entry.kind, entry.name, entry.state))


@hookimpl
def hydrusd_stopping() -> None:
    """Take note."""
    told.append("stopping")
