"""The contract that everything keeps that a plugin can be, and a way of trying whether it does.

Rules run unattended on the only copy of a collection, and machines die in the middle. What
hydrusd makes of that rests on promises of whoever writes a plugin; none of them can be seen in a
run where all goes well. So for actions and triggers an example is run twice in a real daemon, and
each time made to go wrong; what else a plugin brings is called with all that may come its way:
see ``Promise``.
"""

from __future__ import annotations

import io
import json
import logging
import re
import traceback
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager, nullcontext, redirect_stderr, redirect_stdout
from dataclasses import dataclass, field
from enum import StrEnum
from pathlib import Path

from hydrusd.daemon import Configuration, shipped_plugins
from hydrusd.plugin import AnyAction, CookieAction, Trigger
from hydrusd.testing._example import Example
from hydrusd.testing._parts import Parts
from hydrusd.testing._project import NotAsExpected, Project
from hydrusd.testing._trying import Mishaps
from hydrusd.testing._world import Photographer, World, difference

_SHORTEST_SECRET = 6
# In the words of planning: the exception is behind it; and these are other steps' doing.
_FAILED = "cannot be foreseen: "
_OTHERS = ("hangs on a step before it", "is known only then")
_REFERENCE = re.compile(r"\$\{(env|file):([^}]+)\}")


class Promise(StrEnum):
    """What a plugin promises; the value says it in words.

    The first six are those of actions and triggers, the others of filters, readers of sidecars,
    commands and observers.
    """

    PLAN = "planning looks, and changes nothing"
    AGAIN = "called again after its work was done and the note of it lost, it changes nothing more"
    RECEIPT = "called again like this, it still knows by its receipt what it has changed"
    CANCEL = "cancelled at any moment, it stops, and what comes of the next try is the same"
    SECRETS = "secrets get into no outcome, event, log line, text form or plan"
    RESTART = "a client that dies before it has committed makes no difference in the end"
    FILTER = (
        "a filter gives the same for the same, in a moment, leaves alone what it is given, and "
        "says in words what it cannot take"
    )
    SIDECAR = (
        "whatever bytes a sidecar holds, its reader says the same of them each time, in whatever "
        "order they stand, or raises MalformedSidecar"
    )
    COMMAND = "a command tells what it does, and refuses options that it does not have"
    NOTICE = "told of anything that can happen, an observer takes note of it without an error"


@dataclass(frozen=True, slots=True)
class Broken:
    """A promise that was not kept, and what was seen."""

    promise: Promise
    name: str
    detail: str

    def __str__(self) -> str:
        """Say it to a person."""
        return f"{self.name} breaks the promise that {self.promise.value}:\n    {self.detail}"


class ContractBroken(AssertionError):
    """Promises were broken; ``broken`` are all that were found."""

    def __init__(self, broken: Sequence[Broken]) -> None:
        self.broken = tuple(broken)
        super().__init__("\n".join(map(str, broken)))


_BY_MISHAP = {
    Promise.AGAIN: "repeats",
    Promise.CANCEL: "cancels",
    Promise.RESTART: "restarts",
}


@dataclass
class _Round:
    """What came of one run."""

    world: World = field(default_factory=dict)
    configuration: Configuration | None = None
    broken: list[Broken] = field(default_factory=list)

    def note(self, promise: Promise, name: str, details: Iterable[str]) -> None:
        self.broken += [Broken(promise, name, detail) for detail in details]


@dataclass
class _Told:
    """What was printed, logged and planned."""

    stream: io.StringIO = field(default_factory=io.StringIO)
    texts: list[str] = field(default_factory=list)


def keep_contract(example: Example, *names: str, folder: Path) -> None:
    """Raise ContractBroken unless what has these names keeps the contract.

    Actions and triggers ``example`` has to use; filters, formats of sidecars, commands, and
    plugins that observe, need only be there. Without names it is about all that the example uses,
    or its plugins bring, and that does not come with hydrusd. ``folder`` is an empty one to work
    in. Raises ValueError where there is nothing to try, and NotAsExpected (or what ``check``
    raises) where the example does not work even when nothing goes wrong.
    """
    __tracebackhide__ = True
    known: Configuration | None = None
    if not names:
        with example.project(folder / "which") as project:
            known = project.configuration()
    broken: list[Broken] = []
    ran = False
    for name in names or _to_try(_parts(example, known)):
        if known is None or name in _used(known):
            try:
                found, known = _try_out(example, name, folder / name)
            except _NotUsed as unused:
                known = unused.configuration
            else:
                ran = True
                broken += found
        parts = _parts(example, known)
        if name not in _used(known) and not parts.has(name):
            raise ValueError(f"the rules of the example use no {name}: {', '.join(_used(known))}")
        for promise, detail in parts.broken(name):
            if Promise[promise] not in example.waived:
                broken.append(Broken(Promise[promise], name, detail))
    if broken:
        raise ContractBroken(broken)
    if not ran and not names:
        _run(example, "", folder / "plain", works=True)  # what is shown must work all the same


class _NotUsed(Exception):
    """The rules of an example use no such action or trigger."""

    def __init__(self, configuration: Configuration) -> None:
        self.configuration = configuration
        super().__init__("no such action or trigger is used")


def _parts(example: Example, configuration: Configuration | None) -> Parts:
    assert configuration is not None
    return Parts(configuration, example.filters, example.sidecars)


def _to_try(parts: Parts) -> list[str]:
    """Give the names of what the example uses, or its plugins bring, and hydrusd does not."""
    configuration = parts.configuration
    actions_and_triggers = sorted(_used(configuration).keys() - _ours(configuration))
    wanted = list(dict.fromkeys([*actions_and_triggers, *parts.strangers]))
    if not wanted:
        faults = [f"{f.plugin} was left out: {f.message}" for f in configuration.host.faults]
        why = "; ".join(faults) or "the rules of the example use nothing but hydrusd's own"
        raise ValueError(why)
    return wanted


def _used(configuration: Configuration) -> dict[str, type[AnyAction | Trigger]]:
    used: dict[str, type[AnyAction | Trigger]] = {}
    for rule in configuration.rules.rules:
        assert isinstance(rule.trigger_config, Trigger)
        used[rule.trigger] = type(rule.trigger_config)
        for step in rule.steps:
            assert isinstance(step.config, AnyAction)
            used[step.action] = type(step.config)
    return used


def _ours(configuration: Configuration) -> set[str]:
    shipped = str(shipped_plugins())
    ours: set[str] = set()
    for plugin in configuration.host.plugins:
        if plugin.origin.startswith(("hydrusd.builtin", shipped)):
            ours.update(plugin.actions, plugin.triggers)
    return ours


def _try_out(example: Example, name: str, folder: Path) -> tuple[list[Broken], Configuration]:
    """Try an action or a trigger. Raises ``_NotUsed`` where the rules use no such thing."""
    waived = set(example.waived)
    first = _run(
        example,
        name,
        folder / "again",
        plans=Promise.PLAN not in waived,
        repeats=Promise.AGAIN not in waived,
    )
    second = _run(
        example,
        name,
        folder / "hurt",
        cancels=Promise.CANCEL not in waived,
        restarts=Promise.RESTART not in waived,
    )
    broken = [b for b in (*first.broken, *second.broken) if b.promise not in waived]
    others = [b for b in broken if b.promise not in _BY_MISHAP]
    together = [b for b in broken if b.promise in _BY_MISHAP]
    assert first.configuration is not None
    if not together and not difference(first.world, second.world):
        return list(dict.fromkeys(others)), first.configuration
    # Something went wrong; now it pays to find out which mishap it came from.
    plain = _run(example, name, folder / "plain", works=True)
    broken = list(others)
    for promise, mishap in _BY_MISHAP.items():
        if promise in waived:
            continue
        alone = _run(example, name, folder / f"only-{mishap}", **{mishap: True})
        mine = [each for each in alone.broken if each.promise is promise]
        if not mine and (changed := difference(plain.world, alone.world)):
            mine = [Broken(promise, name, f"in the end it is not the same: {changed}")]
        broken += mine
    if broken == others and together:
        broken += together  # seen once, and not again
    elif broken == others:
        changed = difference(first.world, second.world)
        detail = f"cancelled before, and lost with the client then, it ended otherwise: {changed}"
        broken.append(Broken(Promise.RESTART, name, detail))
    return list(dict.fromkeys(broken)), first.configuration


def _run(
    example: Example,
    name: str,
    folder: Path,
    *,
    plans: bool = False,
    works: bool = False,
    repeats: bool = False,
    cancels: bool = False,
    restarts: bool = False,
) -> _Round:
    """Run an example with mishaps to one of its parts, if to any.

    One that ``works`` raises what it raises.
    """
    made = _Round()
    with example.project(folder) as project, _overheard() as told:
        if plans:
            made.note(Promise.PLAN, name, _what_planning_did(example, name, project, told))
        project.simulator.save()
        made.configuration = configuration = project.configuration()
        mishaps = Mishaps(project, repeats, cancels, restarts)
        kind = _used(configuration).get(name)
        if kind is None and name:
            raise _NotUsed(configuration)
        try:
            with mishaps.fitted(kind) if kind is not None else nullcontext():
                project.run(
                    jobs=example.jobs,
                    until=example.until,
                    clock=example.clock() if example.clock else None,
                    timeout_seconds=example.timeout_seconds,
                    configuration=configuration,
                )
            states = {job.state for job in project.jobs}
            if not states <= example.states:
                raise NotAsExpected(f"jobs ended otherwise; {project.story()}")
            example.check(project)
        except Exception as error:
            if works:
                raise
            happened = {"repeats": repeats, "cancels": cancels, "restarts": restarts}
            promise = next((p for p, m in _BY_MISHAP.items() if happened[m]), Promise.AGAIN)
            made.note(promise, name, [f"the example no longer works: {_words(error)}"])
        if kind is None:
            return made
        if not mishaps.calls and not made.broken:
            raise ValueError(f"{name} was never called in the example")
        made.note(Promise.AGAIN, name, mishaps.changed)
        made.note(Promise.RECEIPT, name, mishaps.forgotten)
        made.note(Promise.CANCEL, name, mishaps.stuck)
        kept = _kept_by_the_ledger(project)
        secrets = [*_secrets(example, project)]
        if issubclass(kind, CookieAction):
            secrets += _cookies_of(project)
        made.note(Promise.SECRETS, name, _leaks(secrets, mishaps.said, told, kept))
        made.world = mishaps.endings()
        if not issubclass(kind, Trigger):  # a trigger is answerable for the jobs alone
            made.world |= mishaps.world()
    return made


def _words(error: Exception) -> str:
    """Say what was wrong, and where: a bare ``assert`` says nothing itself."""
    *_, last = traceback.extract_tb(error.__traceback__)
    where = f"{Path(last.filename).name}:{last.lineno} {last.line}"
    return f"{str(error) or type(error).__name__} ({where})"


def _what_planning_did(example: Example, name: str, project: Project, told: _Told) -> Iterator[str]:
    photographer = Photographer.of(project)
    before = photographer.picture()
    plan = project.plan(clock=example.clock() if example.clock else None)
    told.texts.append(repr(plan))
    if changed := difference(before, photographer.picture()):
        yield f"planning changed {changed}"
    for trigger in plan.triggers:
        if trigger.name == name and _FAILED in trigger.detail:
            yield f"preview failed: {trigger.detail.partition(_FAILED)[2]}"
    for job in plan.jobs:
        for step in job.steps:
            if step.name == name and step.foreseen is None and not step.why.startswith(_OTHERS):
                yield f"plan failed: {step.why}"


def _kept_by_the_ledger(project: Project) -> bytes:
    files = project.state_dir.rglob("*")
    return b"".join(path.read_bytes() for path in sorted(files) if path.is_file())


def _leaks(
    secrets: Sequence[tuple[str, str]], said: Sequence[object], told: _Told, ledger: bytes
) -> Iterator[str]:
    """Tell where a secret stands that must not; not the secret, which would be one place more."""
    texts = {
        "what it handed to hydrusd": repr(said),
        "what was printed and logged": "\n".join([*told.texts, told.stream.getvalue()]),
        "the ledger": ledger.decode("utf-8", "ignore"),
    }
    for reference, secret in secrets:
        forms = {secret, json.dumps(secret)[1:-1], repr(secret)[1:-1]}
        for place, text in texts.items():
            if any(form in text for form in forms):
                yield f"what {reference} stands for is in {place}"


def _secrets(example: Example, project: Project) -> Iterator[tuple[str, str]]:
    """Give the references in the rules, each with its secret."""
    yield "the access key", project.access_key
    for kind, name in set(_REFERENCE.findall(example.rules)):
        file = project.folder / name
        if kind == "env":
            secret = example.environ.get(name, "")
        else:
            secret = file.read_text(encoding="utf-8").strip() if file.is_file() else ""
        if len(secret) >= _SHORTEST_SECRET:
            yield f"${{{kind}:{name}}}", secret


def _cookies_of(project: Project) -> Iterator[tuple[str, str]]:
    """Give the cookies that the client has by now: what they say opens accounts."""
    for name, value, domain, *_ in project.simulator.contents()["documents"].get("cookies", ()):
        if len(value) >= _SHORTEST_SECRET:
            yield f"the cookie {name} of {domain}", value


@contextmanager
def _overheard() -> Iterator[_Told]:
    """Listen to what is printed and logged, and print it all the same afterwards."""
    told = _Told()
    handler = logging.StreamHandler(told.stream)
    root = logging.getLogger()
    # Whatever the levels are: a command that ran before in this process may have raised them.
    levels = {logger: logger.level for logger in (root, logging.getLogger("hydrusd"))}
    root.addHandler(handler)
    try:
        for logger in levels:
            logger.setLevel(min(logger.getEffectiveLevel(), logging.INFO))
        with redirect_stdout(told.stream), redirect_stderr(told.stream):
            yield told
    finally:
        for logger, level in levels.items():
            logger.setLevel(level)
        root.removeHandler(handler)
