"""What a rules file says, once it is known to be right."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from pydantic import BaseModel, SecretStr

from hydrusd.errors import Problem
from hydrusd.rules._pace import AT_ONCE, PaceSpec

if TYPE_CHECKING:
    from hydrusd.rules._tests import RuleTest

ONLY_CLIENT = "hydrus"
"""The name of a client that a rules file gives no name."""


@dataclass(frozen=True, slots=True)
class Position:
    """A place in a rules file; ``line`` and ``column`` count from 1, 0 is nowhere."""

    file: str
    line: int
    column: int


@dataclass(frozen=True, slots=True)
class Sources:
    """What the rules were read from, the first file first.

    ``files`` has those too that are to be included and are not there (yet), ``folders`` those in
    which any file is a rules file: a change of any of these may change the rules.
    """

    files: tuple[Path, ...] = ()
    folders: tuple[Path, ...] = ()


@dataclass(frozen=True, slots=True)
class StepSpec:
    """One entry of ``do``. ``config`` is what the action's model made of ``raw``.

    ``path`` leads to it in its rule. Where its ``condition`` does not hold it is passed over.
    """

    action: str
    config: BaseModel
    raw: Mapping[str, object]
    position: Position
    path: tuple[str | int, ...] = ()
    condition: str | None = None


@dataclass(frozen=True, slots=True)
class BranchSpec:
    """Steps under a condition, and others for where it does not hold."""

    condition: str
    body: tuple[NodeSpec, ...]
    otherwise: tuple[NodeSpec, ...]
    position: Position
    path: tuple[str | int, ...] = ()


@dataclass(frozen=True, slots=True)
class LoopSpec:
    """Steps that are done for each item of a list, which templates call ``name``.

    ``items`` are these, or a text: one template that gives them.
    """

    items: str | tuple[object, ...]
    name: str
    body: tuple[NodeSpec, ...]
    position: Position
    path: tuple[str | int, ...] = ()


@dataclass(frozen=True, slots=True)
class StopSpec:
    """The end of the job, as done. ``reason`` is a text for people, and may be a template."""

    reason: str
    position: Position
    path: tuple[str | int, ...] = ()
    condition: str | None = None


NodeSpec = StepSpec | BranchSpec | LoopSpec | StopSpec
"""What may stand under ``do``."""

STEP_WORDS = frozenset({"if", "do", "else", "for_each", "as", "stop"})
"""What leads through the steps: no action can be called so."""

MAX_ITEMS = 100
"""How many items one loop may have: each of its steps is kept, and looked at, by itself."""


def steps_in(body: Iterable[NodeSpec]) -> Iterator[StepSpec]:
    """Give all steps, those in blocks too, in the order in which they are written."""
    for node in body:
        if isinstance(node, StepSpec):
            yield node
        elif isinstance(node, BranchSpec):
            yield from steps_in(node.body)
            yield from steps_in(node.otherwise)
        elif isinstance(node, LoopSpec):
            yield from steps_in(node.body)


def entry_at(entries: Sequence[Mapping[str, Any]], position: int) -> Mapping[str, Any]:
    """Give what is written at a position of a rule, out of the ``do`` of its definition.

    Raises LookupError where there is nothing.
    """
    for entry in entries:
        if position == 0:
            return entry
        body, otherwise = entry.get("do", ()), entry.get("else", ())
        inside = _positions(body), _positions(otherwise)
        if "for_each" in entry and position <= MAX_ITEMS * inside[0]:
            return entry_at(body, (position - 1) % inside[0])
        if "for_each" not in entry and position <= inside[0]:
            return entry_at(body, position - 1)
        if "for_each" not in entry and position <= sum(inside):
            return entry_at(otherwise, position - 1 - inside[0])
        position -= _positions([entry])
    raise LookupError(position)


def _positions(entries: Sequence[Mapping[str, Any]]) -> int:
    """Count the positions that entries of ``do`` take."""
    total = 0
    for entry in entries:
        inside = _positions(entry.get("do", ())) + _positions(entry.get("else", ()))
        total += 1 + (MAX_ITEMS * inside if "for_each" in entry else inside)
    return total


@dataclass(frozen=True, slots=True)
class LimitsSpec:
    """How many jobs a rule may begin in an hour and in a minute (None: as many as that allows),
    how many one run may have, and how many may give up in a row.
    """

    per_hour: int = 1_000_000
    per_run: int = 1_000_000
    failures: int = 25
    per_minute: int | None = None


@dataclass(frozen=True, slots=True)
class HistorySpec:
    """How long what has ended is kept whole, in seconds; None is for ever.

    ``dull`` holds for jobs of which nothing came, and for what no rule wanted.
    """

    keep: float | None = 366 * 86_400.0
    keep_dull: float | None = 60 * 86_400.0


@dataclass(frozen=True, slots=True)
class RuleSpec:
    """One rule.

    ``body`` is what stands under ``do``; ``variables`` are those that it uses, each behind those
    that it uses itself. ``definition`` is the canonical JSON of all that: the same for the
    same meaning however it was written, and enough to rebuild the rule later.
    ``revision`` is a short hash of it. Neither knows the name, nor whether it is enabled.
    ``client`` is the name of the client that it works on. ``places`` are those of its keys and
    list items, by their paths in the rule: what a blueprint says may stand in another file.
    """

    name: str
    trigger: str
    trigger_config: BaseModel
    condition: str | None
    body: tuple[NodeSpec, ...]
    revision: str
    definition: str
    position: Position
    enabled: bool = True
    client: str = ONLY_CLIENT
    limits: LimitsSpec = LimitsSpec()
    variables: tuple[tuple[str, object], ...] = ()
    pace: PaceSpec = AT_ONCE
    places: Mapping[tuple[str | int, ...], Position] = field(
        default_factory=dict, compare=False, repr=False
    )

    @property
    def steps(self) -> tuple[StepSpec, ...]:
        """All its steps, those in blocks too, in the order in which they are written."""
        return tuple(steps_in(self.body))

    def place(self, path: tuple[str | int, ...]) -> Position:
        """Give the place of what a path leads to, or of the nearest thing around it."""
        while path and path not in self.places:
            path = path[:-1]
        return self.places[path] if path else self.position


@dataclass(frozen=True, slots=True)
class InvalidRule:
    """A rule that cannot be used, where what is wrong with it is about nothing else in the file.

    ``trigger`` and ``trigger_config`` are what it waits for; "" and None where that is wrong, too.
    """

    name: str
    problems: tuple[Problem, ...]
    trigger: str = ""
    trigger_config: BaseModel | None = None
    client: str = ONLY_CLIENT

    @property
    def reason(self) -> str:
        """What is wrong with it, in one line."""
        return "; ".join(f"{problem.place}: {problem.message}" for problem in self.problems)


@dataclass(frozen=True, slots=True)
class ClientSpec:
    """How to reach the Hydrus client.

    ``access_key`` is empty where ``resolve_secrets`` was False.
    ``commit_wait_seconds`` is how long to wait for a client that cannot be told to commit.
    ``transfer`` says how files are handed over, ``path_map`` gives pairs of folders as this
    machine and as the client call them; the ``allow`` and ``tls`` fields are about a client on
    another machine. Runs that take longer than ``progress_popups_seconds`` are told in popups.
    """

    url: str
    access_key: SecretStr
    commit_wait_seconds: float = 60.0
    timeout_seconds: float = 120.0
    transfer: Literal["auto", "bytes", "path"] = "bytes"
    path_map: tuple[tuple[str, str], ...] = ()
    allow_plain_http: bool = False
    tls_ca_file: Path | None = None
    tls_fingerprint: str | None = None
    progress_popups_seconds: float | None = None
    name: str = ONLY_CLIENT
    position: Position | None = field(default=None, compare=False)


@dataclass(frozen=True, slots=True)
class BackupsSpec:
    """How often the ledger is backed up, and how many of these are kept; 0: it is not."""

    every_seconds: float = 24 * 3600.0
    keep: int = 3


@dataclass(frozen=True, slots=True)
class RuleSet:
    """A whole rules file. ``allow`` names the actions that run only where a user says so.

    ``warnings`` are what is allowed in it and probably not meant, ``tests`` those that the rules
    carry, both in the order of the file. ``sources`` are the files that were read for it,
    ``secret_files`` those named for secrets. ``invalid`` are rules that were left out.
    """

    clients: Mapping[str, ClientSpec]
    rules: tuple[RuleSpec, ...]
    plugin_folders: tuple[Path, ...]
    file: Path
    allow: frozenset[str] = frozenset()
    backups: BackupsSpec = BackupsSpec()
    history: HistorySpec = HistorySpec()
    warnings: tuple[Problem, ...] = ()
    tests: tuple[RuleTest, ...] = ()
    sources: Sources = Sources()
    invalid: tuple[InvalidRule, ...] = ()
    secret_files: tuple[Path, ...] = ()


@dataclass(frozen=True, slots=True)
class RuleFault:
    """What the caller found wrong with a rule, or with ``client``, that is well-formed.

    ``path`` leads to it from there: ``("do", 2)``, ``("on",)``, ``("do", 1, "add_tags")``; with
    ``within`` to a character (line and column from 1) of the text there. A fault that is only a
    ``doubt`` becomes a warning.
    """

    path: tuple[str | int, ...]
    message: str
    hint: str = ""
    within: tuple[int, int] | None = None
    doubt: bool = False


def _no_faults(_: object) -> Sequence[RuleFault]:
    """Find nothing wrong."""
    return ()


def _unchecked(_: str) -> None:
    """Take a text for right."""


@dataclass(frozen=True)
class Vocabulary:
    """What rules may say: known only once the plugins are loaded.

    ``check_condition``, ``check_template`` and ``check_list`` (a template that gives the items of
    a loop) raise an ExpressionError, which may carry ``line`` and ``column`` within the text,
    ``message`` and ``hint``.
    ``check_rule`` looks at a whole rule that has no other problems, ``check_client`` at such
    a client. ``sidecar_formats`` is passed on to the validators of parameters.
    """

    triggers: Mapping[str, type[BaseModel]]
    actions: Mapping[str, type[BaseModel]]
    check_condition: Callable[[str], object]
    check_template: Callable[[str], object]
    check_list: Callable[[str], object] = _unchecked
    check_rule: Callable[[RuleSpec], Sequence[RuleFault]] = _no_faults
    check_client: Callable[[ClientSpec], Sequence[RuleFault]] = _no_faults
    sidecar_formats: Mapping[str, object] = field(default_factory=dict)
