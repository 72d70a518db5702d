"""``hydrusd check``."""

from __future__ import annotations

import dataclasses
import json
import sys
from pathlib import Path

import click

from hydrusd.cli._failing import EXIT_RULES, print_problems
from hydrusd.cli._paths import rules_path
from hydrusd.cli._terminal import configure_logs, plain
from hydrusd.daemon import read_configuration
from hydrusd.errors import ConfigError


def check_rules(rules: Path | None, *, safe_mode: bool, as_json: bool) -> None:
    """Print all problems, or that there are none."""
    configure_logs(level="warning", as_json=as_json)
    try:
        path = rules_path(rules)
        found = read_configuration(path, safe_mode=safe_mode, resolve_secrets=False)
    except ConfigError as error:
        if as_json:
            click.echo(json.dumps([dataclasses.asdict(p) for p in error.problems], indent=2))
        else:
            print_problems(list(error.problems))
        sys.exit(EXIT_RULES)
    if as_json:
        click.echo("[]")
        return
    count = len(found.rules.rules)
    click.echo(plain(f"{path}: {count} rule{'s' if count != 1 else ''}, no problems"))
    for rule in found.rules.rules:
        off = "" if rule.enabled else " (not enabled)"
        steps = " → ".join(step.action for step in rule.steps)
        click.echo(plain(f"  {rule.name}: {rule.trigger} → {steps}{off}"))
