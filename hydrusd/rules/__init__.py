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
    read_plugins,
    rule_from_definition,
)
from hydrusd.rules._problems import nearest, problem_at
from hydrusd.rules._schema import FILE_PARTS, Setting, schema, settings
from hydrusd.rules._secrets import Rendered, Secret
from hydrusd.rules._specs import (
    ONLY_CLIENT,
    BackupsSpec,
    ClientSpec,
    HistorySpec,
    LimitsSpec,
    PluginsSpec,
    Position,
    RuleFault,
    RuleSet,
    RuleSpec,
    StepSpec,
    Vocabulary,
)
from hydrusd.rules._units import OR_ONE, Age, Duration, FilePath, FolderPath, OrOne, Size

__all__ = [
    "FILE_PARTS",
    "ONLY_CLIENT",
    "OR_ONE",
    "Age",
    "BackupsSpec",
    "ClientSpec",
    "Duration",
    "FilePath",
    "FolderPath",
    "HistorySpec",
    "LimitsSpec",
    "OrOne",
    "PluginsSpec",
    "Position",
    "Rendered",
    "RuleFault",
    "RuleSet",
    "RuleSpec",
    "Secret",
    "Setting",
    "Size",
    "StepSpec",
    "Vocabulary",
    "load",
    "nearest",
    "parse",
    "problem_at",
    "read_clients",
    "read_plugins",
    "rule_from_definition",
    "schema",
    "settings",
]
