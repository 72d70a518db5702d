"""What stands in for triggers and actions in a test: the same, kept from reaching outside.

Made of the very classes that the rules name, so that parameters, templates and checks are theirs;
plugins of one's own are stood in for like the built-ins.
"""

from __future__ import annotations

import inspect
import types
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import anyio
from anyio import to_thread
from pydantic import BaseModel, model_validator

from hydrusd.hydrus import HydrusClient
from hydrusd.model import Outcome
from hydrusd.plugin import Action, AnyAction, Call, Fault, SetAction, Trigger, TriggerContext
from hydrusd.rehearsal._stage import Stage
from hydrusd.rules import Vocabulary

NOT_RUN = "not really run: this is a test"


@dataclass
class Cast:
    """What the stand-ins of a test share.

    ``ran`` are the actions that would have been run, with their parameters; ``contexts`` those
    of the triggers that run, by the rules that listen.
    """

    stage: Stage
    answers: Mapping[str, Mapping[str, Any]] = field(default_factory=dict)
    for_real: Sequence[str] = ()
    ran: list[tuple[str, dict[str, Any]]] = field(default_factory=list)
    contexts: dict[str, TriggerContext] = field(default_factory=dict)

    def begin(self, answers: Mapping[str, Mapping[str, Any]], for_real: Sequence[str]) -> None:
        """Begin another test."""
        self.answers, self.for_real = answers, for_real
        self.ran.clear()
        self.contexts.clear()

    def note(self, action: AnyAction) -> Outcome:
        """Take note of what would have been run; give what the test says that it gives."""
        parameters = self.stage.told_tree(action.model_dump(mode="json", by_alias=True))
        assert isinstance(parameters, dict)
        self.ran.append((action.action, parameters))
        return Outcome.done(NOT_RUN, values=dict(self.answers.get(action.action, {})))

    def adapt(self, vocabulary: Vocabulary) -> Vocabulary:
        """Put stand-ins in the place of all triggers and actions."""
        return replace(
            vocabulary,
            triggers={n: _of_trigger(kind, self) for n, kind in vocabulary.triggers.items()},
            actions={n: _of_action(kind, self) for n, kind in vocabulary.actions.items()},
            check_client=lambda _: (),  # it is another client anyhow
        )


def _of_trigger(kind: type[BaseModel], cast: Cast) -> type[BaseModel]:
    assert issubclass(kind, Trigger)

    async def run(self: Trigger, context: TriggerContext) -> None:
        cast.contexts.update(dict.fromkeys(context.rules, context))
        if not kind.outside:
            await kind.run(self.for_test(), context)
            return
        context.working("notices what the test says")
        await anyio.sleep_forever()

    return _derived(kind, {"run": run})


def _of_action(kind: type[BaseModel], cast: Cast) -> type[BaseModel]:
    assert issubclass(kind, AnyAction)

    def for_test(self: AnyAction) -> AnyAction:
        return kind.for_test(self, cast.stage.scratch)

    members: dict[str, Any] = {"placed_for_test": model_validator(mode="after")(for_test)}
    if kind.outside:

        def preflight(self: AnyAction, client: HydrusClient) -> Iterable[Fault]:
            return kind.preflight(self, client) if kind.action in cast.for_real else ()

        members["preflight"] = preflight
        if issubclass(kind, SetAction):
            members["run_set"] = classmethod(_noted_set(kind, cast))
        elif issubclass(kind, Action):
            members["run"] = _noted(kind, cast)
    return _derived(kind, members)


def _noted(kind: type[Action], cast: Cast) -> Any:
    async def run(self: Action, call: Call[Action]) -> Outcome:
        if kind.action not in cast.for_real:
            return cast.note(self)
        if inspect.iscoroutinefunction(kind.run):
            return await kind.run(self, call)
        outcome = await to_thread.run_sync(kind.run, self, call)
        assert isinstance(outcome, Outcome)
        return outcome

    return run


def _noted_set(kind: type[SetAction], cast: Cast) -> Any:
    async def run_set(cls: type[SetAction], calls: Sequence[Call[SetAction]]) -> None:
        if kind.action in cast.for_real:
            await kind.run_set.__func__(cls, calls)  # type: ignore[attr-defined]
            return
        for call in calls:
            call.finish(cast.note(call.action))

    return run_set


def _derived(kind: type[BaseModel], members: Mapping[str, Any]) -> type[BaseModel]:
    about = {"__module__": kind.__module__, "__qualname__": kind.__qualname__}
    made: type[BaseModel] = types.new_class(
        kind.__name__,
        (kind,),
        exec_body=lambda space: space.update({**about, "__doc__": kind.__doc__, **members}),
    )
    return made
