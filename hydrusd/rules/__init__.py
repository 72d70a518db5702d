"""From a YAML file to rules that can be run, or to everything that is wrong with it.

The file is written by hand, by people who look after their own collection, so a
mistake has to be answered with its place, its line and the next step; and all
mistakes at once, because each round trip costs patience. What actions and triggers
accept comes from the caller as pydantic models, after the plugins are loaded.
"""

from __future__ import annotations

from hydrusd.rules._loading import (
    load,
    parse,
    read_clients,
    read_plugin_folders,
    read_sources,
    rule_from_definition,
)
from hydrusd.rules._pace import Hours, Mode, PaceSpec, Span
from hydrusd.rules._problems import nearest, problem_at
from hydrusd.rules._rehearsing import rehearsing
from hydrusd.rules._schema import FILE_PARTS, Setting, schema, settings
from hydrusd.rules._secrets import Rendered, Secret
from hydrusd.rules._specs import (
    MAX_ITEMS,
    ONLY_CLIENT,
    STEP_WORDS,
    BackupsSpec,
    BranchSpec,
    ClientSpec,
    HistorySpec,
    InvalidRule,
    LimitsSpec,
    LoopSpec,
    NodeSpec,
    Position,
    RuleFault,
    RuleSet,
    RuleSpec,
    Sources,
    StepSpec,
    StopSpec,
    Vocabulary,
    entry_at,
    steps_in,
)
from hydrusd.rules._tests import (
    OUTCOMES,
    SOURCE,
    Content,
    Expect,
    Given,
    Happening,
    Library,
    RuleTest,
    named,
)
from hydrusd.rules._units import (
    OR_ONE,
    Age,
    Duration,
    FilePath,
    FolderPath,
    OrOne,
    Size,
    ZoneName,
    resolve_path,
)

__all__ = [
    "FILE_PARTS",
    "MAX_ITEMS",
    "ONLY_CLIENT",
    "OR_ONE",
    "OUTCOMES",
    "SOURCE",
    "STEP_WORDS",
    "Age",
    "BackupsSpec",
    "BranchSpec",
    "ClientSpec",
    "Content",
    "Duration",
    "Expect",
    "FilePath",
    "FolderPath",
    "Given",
    "Happening",
    "HistorySpec",
    "Hours",
    "InvalidRule",
    "Library",
    "LimitsSpec",
    "LoopSpec",
    "Mode",
    "NodeSpec",
    "OrOne",
    "PaceSpec",
    "Position",
    "Rendered",
    "RuleFault",
    "RuleSet",
    "RuleSpec",
    "RuleTest",
    "Secret",
    "Setting",
    "Size",
    "Sources",
    "Span",
    "StepSpec",
    "StopSpec",
    "Vocabulary",
    "ZoneName",
    "entry_at",
    "load",
    "named",
    "nearest",
    "parse",
    "problem_at",
    "read_clients",
    "read_plugin_folders",
    "read_sources",
    "rehearsing",
    "resolve_path",
    "rule_from_definition",
    "schema",
    "settings",
    "steps_in",
]
