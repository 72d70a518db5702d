"""What a rules file says, once it is known to be right."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal

from pydantic import BaseModel, SecretStr

from hydrusd.errors import Problem

ONLY_CLIENT = "hydrus"
"""The name of a client that a rules file gives no name."""


@dataclass(frozen=True, slots=True)
class Position:
    """A place in a rules file; ``line`` and ``column`` count from 1, 0 is nowhere."""

    file: str
    line: int
    column: int


@dataclass(frozen=True, slots=True)
class StepSpec:
    """One entry of ``do``. ``config`` is what the action's model made of ``raw``."""

    action: str
    config: BaseModel
    raw: Mapping[str, object]
    position: Position


@dataclass(frozen=True, slots=True)
class LimitsSpec:
    """How many jobs a rule may begin in an hour, how many one run may have, and how many may
    give up in a row.
    """

    per_hour: int = 1_000_000
    per_run: int = 1_000_000
    failures: int = 25


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

    ``definition`` is the canonical JSON of ``on``, ``if`` and ``do``: the same for the
    same meaning however it was written, and enough to rebuild the rule later.
    ``revision`` is a short hash of it. Neither knows the name, nor whether it is enabled.
    ``client`` is the name of the client that it works on. ``places`` are the lines and columns of
    its keys and list items, by their paths in the rule.
    """

    name: str
    trigger: str
    trigger_config: BaseModel
    condition: str | None
    steps: tuple[StepSpec, ...]
    revision: str
    definition: str
    position: Position
    enabled: bool = True
    client: str = ONLY_CLIENT
    limits: LimitsSpec = LimitsSpec()
    places: Mapping[tuple[str | int, ...], tuple[int, int]] = field(
        default_factory=dict, compare=False, repr=False
    )

    def place(self, path: tuple[str | int, ...]) -> Position:
        """Give the place of what a path leads to, or of the nearest thing around it."""
        while path and path not in self.places:
            path = path[:-1]
        if not path:
            return self.position
        return Position(self.position.file, *self.places[path])


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
class PluginsSpec:
    """Which plugins are loaded, and how.

    ``only``: no other plugins than these and those that come with hydrusd; None is all.
    ``isolate`` are those whose steps run in a process of their own, with the bytes of memory
    that it may take.
    """

    folders: tuple[Path, ...] = ()
    only: frozenset[str] | None = None
    disable: frozenset[str] = frozenset()
    isolate: Mapping[str, int] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class RuleSet:
    """A whole rules file. ``allow`` names the actions that run only where a user says so.

    ``warnings`` are what is allowed in it and probably not meant, in the order of the file.
    """

    clients: Mapping[str, ClientSpec]
    rules: tuple[RuleSpec, ...]
    plugins: PluginsSpec
    file: Path
    allow: frozenset[str] = frozenset()
    backups: BackupsSpec = BackupsSpec()
    history: HistorySpec = HistorySpec()
    warnings: tuple[Problem, ...] = ()


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


def _no_stand_in(_: str, __: str) -> None:
    """Know of nothing that is missing."""


@dataclass(frozen=True)
class Vocabulary:
    """What rules may say: known only once the plugins are loaded.

    ``check_condition`` and ``check_template`` raise an ExpressionError, which may carry
    ``line`` and ``column`` within the text, ``message`` and ``hint``.
    ``check_rule`` looks at a whole rule that has no other problems, ``check_client`` at such
    a client. ``sidecar_formats`` is passed on to the validators of parameters. ``stand_in`` is
    asked for what is neither among ``triggers`` nor ``actions``, by ``"trigger"`` or ``"action"``
    and the name: for what a plugin that was left out may bring. ``missing_filters`` are such
    filters, with the reasons; ``left_out`` names all such plugins.
    """

    triggers: Mapping[str, type[BaseModel]]
    actions: Mapping[str, type[BaseModel]]
    check_condition: Callable[[str], object]
    check_template: Callable[[str], object]
    check_rule: Callable[[RuleSpec], Sequence[RuleFault]] = _no_faults
    check_client: Callable[[ClientSpec], Sequence[RuleFault]] = _no_faults
    sidecar_formats: Mapping[str, object] = field(default_factory=dict)
    stand_in: Callable[[str, str], type[BaseModel] | None] = _no_stand_in
    missing_filters: Mapping[str, str] = field(default_factory=dict)
    left_out: str = ""
