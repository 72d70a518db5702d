"""``hydrusd schema``."""

from __future__ import annotations

import json
from pathlib import Path

import click

from hydrusd.cli._paths import rules_path
from hydrusd.cli._terminal import configure_logs
from hydrusd.daemon import load_plugins_of, schema_of
from hydrusd.errors import ConfigError


def print_schema(rules: Path | None, *, included: bool, safe_mode: bool) -> None:
    """Print the schema; what is wrong with the rules does not matter, nor that there are none."""
    configure_logs(level="warning", as_json=False)
    try:
        path = rules_path(rules)
    except ConfigError:
        path = Path("rules.yaml")
    made = schema_of(load_plugins_of(path, safe_mode=safe_mode), included=included)
    # In ASCII: a shell on Windows may write what is redirected in an encoding of its own.
    click.echo(json.dumps(made, indent=2))
