"""``hydrusd fire``."""

from __future__ import annotations

import json
import os
from collections.abc import Sequence
from datetime import UTC, datetime
from pathlib import Path

import click

from hydrusd.cli._paths import rules_path, state_path
from hydrusd.cli._terminal import configure_logs, plain
from hydrusd.daemon import LEDGER_FILE, read_configuration
from hydrusd.ledger import Ledger
from hydrusd.model import CHAIN_VARIABLE, fired_topic

RESERVED = frozenset({"chain", "fired", "rule", "steps"})


def fire_rule(
    rule: str, values: Sequence[str], *, rules_file: Path | None, state_dir: Path | None
) -> None:
    """Leave a firing in the ledger, for the daemon to find. Raises UsageError."""
    configure_logs(level="warning", as_json=False)
    given = _values(values)
    rules = read_configuration(rules_path(rules_file), resolve_secrets=False, tolerant=True).rules
    for invalid in rules.invalid:
        if invalid.name == rule:
            raise click.UsageError(f"rule {rule!r} is invalid: {invalid.reason}")
    manual = {each.name for each in rules.rules if each.trigger == "manual" and each.enabled}
    if rule not in manual:
        known = ", ".join(repr(name) for name in sorted(manual)) or "none"
        raise click.UsageError(f"no rule {rule!r} can be fired; those with 'on: manual': {known}")
    path = state_path(state_dir) / LEDGER_FILE
    running = path.exists() and Ledger.in_use(path)
    ledger = Ledger.open(path, exclusive=False)
    try:
        data = {"by": "command", "chain": _chain(), "values": given}
        ledger.post(fired_topic(rule), data, datetime.now(UTC))
    finally:
        ledger.close()
    when = "" if running else "; hydrusd is not running: it will happen when it is started"
    click.echo(plain(f"fired {rule!r}{when}"))


def _chain() -> list[str]:
    """Give the rules that led here, where this is run by a step of one (`run_command`)."""
    try:
        chain = json.loads(os.environ.get(CHAIN_VARIABLE, ""))
    except (ValueError, RecursionError):
        return []
    return list(map(str, chain)) if isinstance(chain, list) else []


def _values(texts: Sequence[str]) -> dict[str, str]:
    values: dict[str, str] = {}
    for text in texts:
        name, equals, value = text.partition("=")
        if not equals or not name.isidentifier():
            raise click.UsageError(f"--set wants NAME=VALUE with a plain name, not {text!r}")
        if name in RESERVED:
            raise click.UsageError(f"--set cannot say {name!r}: hydrusd itself does")
        if name in values:
            raise click.UsageError(f"--set says {name!r} twice")
        values[name] = value
    return values
