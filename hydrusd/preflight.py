"""Looks at what rules will meet: the clients, their services, the watched folders.

What a rules file says can be right and still not work: a permission is not ticked, a service
is called otherwise, a share is not mounted. All of it shows without doing anything, at once and
with the line that it is about, which is better than one failure a night.
"""

from __future__ import annotations

import os
from collections.abc import Sequence
from dataclasses import dataclass

import anyio

from hydrusd.daemon import Configuration, live_problems, make_client
from hydrusd.engine import CompiledRule, RuleBook, missing_permissions
from hydrusd.errors import HydrusError, Problem
from hydrusd.hydrus import ClientInfo, HydrusClient
from hydrusd.plugin import AnyAction, Trigger
from hydrusd.rules import ClientSpec, Position, problem_at

CLIENT_SECONDS = 30.0
"""How long a client may take to answer; a busy one takes its time."""
FOLDERS_AT_ONCE = 4

_TICK = "tick it in Hydrus: services → review services → client api → edit"
_NO_SERVICES = "this access key may not see the services, so the rules' names of them are unchecked"


@dataclass(frozen=True, slots=True)
class Preflight:
    """What was found, in the order of the file, and which clients answered: a line for each."""

    problems: Sequence[Problem]
    clients: Sequence[str]


async def look_around(configuration: Configuration) -> Preflight:
    """Look at all clients and folders of the enabled rules. Changes nothing there."""
    book = RuleBook(configuration.rules, configuration.vocabulary, configuration.expressions)
    looking = _Looking(book)
    async with anyio.create_task_group() as tasks:
        for spec in configuration.rules.clients.values():
            tasks.start_soon(looking.at_client, spec, name=f"look at {spec.name}")
        told: list[Trigger] = []
        for rule in book:
            if rule.trigger not in told:  # rules may share one; once is enough
                told.append(rule.trigger)
                tasks.start_soon(looking.at_trigger, rule, name=f"look for {rule.name}")
    found = dict.fromkeys(looking.problems)
    problems = sorted(found, key=lambda problem: (problem.line, problem.column))
    return Preflight(problems, sorted(looking.clients))


class _Looking:
    """One look around."""

    def __init__(self, book: RuleBook) -> None:
        self._book = book
        self._few = anyio.CapacityLimiter(FOLDERS_AT_ONCE)
        self.problems: list[Problem] = []
        self.clients: list[str] = []

    async def at_client(self, spec: ClientSpec) -> None:
        """Ask a client what it is and may do, and hold it against each of its rules."""
        place = spec.position or Position("", 0, 0)
        async with make_client(spec) as client:
            try:
                with anyio.fail_after(CLIENT_SECONDS):
                    info = await client.connect()
            except TimeoutError:
                self._tell(place, f"Hydrus did not answer within {CLIENT_SECONDS:g} seconds")
                return
            except HydrusError as error:
                self._tell(place, str(error))
                return
            self.clients.append(f"{spec.name}: {_described(spec, info)}")
            if not client.services:
                message, hint = _NO_SERVICES, "tick one more permission, and check again"
                self.problems.append(problem_at(place, message, hint, "warning"))
            for rule in self._book:
                if rule.spec.client == spec.name:
                    self._at_rule(rule, client, info)

    def _at_rule(self, rule: CompiledRule, client: HydrusClient, info: ClientInfo) -> None:
        for step in rule.all_steps:
            place = rule.spec.place((*step.spec.path, step.name))
            needed = step.action_class.permissions
            for words in missing_permissions(needed & rule.certain_permissions, info):
                self._tell(place, f"{step.name}: the access key lacks {words!r}", _TICK)
            for words in missing_permissions(needed - rule.certain_permissions, info):
                message = f"{step.name}: the access key lacks {words!r}: what comes here waits"
                self.problems.append(problem_at(place, message, _TICK, "warning"))
            self._at_disposal(rule, place, step.spec.config)
        if client.services:
            self.problems += live_problems(rule, client)

    def _at_disposal(self, rule: CompiledRule, place: Position, action: object) -> None:
        folder = rule.trigger.folder
        if not isinstance(action, AnyAction) or not action.disposes or folder is None:
            return
        if folder.is_dir() and not os.access(folder, os.W_OK | os.X_OK):
            hint = "allow the user that runs hydrusd to write there"
            self._tell(place, f"nothing can be taken out of {folder}", hint)

    async def at_trigger(self, rule: CompiledRule) -> None:
        """Have a trigger look at this machine."""
        path = ("on", rule.trigger.trigger)
        async with self._few:
            try:
                faults = list(await rule.trigger.look())
            except (Exception, SystemExit) as error:  # noqa: BLE001 - the plugin boundary
                message = f"{rule.trigger.trigger} failed to look: {error!r}"
                place = rule.spec.place(path)
                self.problems.append(problem_at(place, message, "", "warning"))
                return
        for fault in faults:
            place = rule.spec.place((*path, *fault.path))
            self.problems.append(problem_at(place, fault.message, fault.hint, fault.severity))

    def _tell(self, place: Position, message: str, hint: str = "") -> None:
        self.problems.append(problem_at(place, message, hint, "error"))


def _described(spec: ClientSpec, info: ClientInfo) -> str:
    version = f"Hydrus v{info.hydrus_version}, " if info.hydrus_version else ""
    key = f", as {info.key_name!r}" if info.key_name else ""
    return f"{version}Client API {info.api_version} at {spec.url}{key}"
