"""``hydrusd reload``."""

from __future__ import annotations

import json
import sys
import time
import uuid
from dataclasses import asdict
from datetime import UTC, datetime
from pathlib import Path

import click

from hydrusd.cli._failing import EXIT_RULES, count_of, print_each
from hydrusd.cli._paths import state_path
from hydrusd.cli._terminal import configure_logs, plain
from hydrusd.daemon import LEDGER_FILE
from hydrusd.errors import HydrusdError
from hydrusd.ledger import Ledger
from hydrusd.redaction import redact
from hydrusd.reloading import Report, answer_to, ask_for_reload

LOOK_EVERY_SECONDS = 0.1
LONGEST_SECONDS = 120.0
"""How long to wait: a client that is taken out may first end what is under way."""


def reload_rules(state_dir: Path | None, *, as_json: bool) -> None:
    """Have the running daemon read its rules again, and print what came of it."""
    configure_logs(level="warning", as_json=as_json)
    path = state_path(state_dir) / LEDGER_FILE
    if not (path.exists() and Ledger.in_use(path)):
        raise HydrusdError(
            "hydrusd is not running here, so there is nothing to reload: it reads its rules when "
            "it is started (--state-dir says which one is meant)"
        )
    report = _ask(path)
    if as_json:
        click.echo(redact(json.dumps(asdict(report), indent=2)))
    else:
        _tell(report)
    if report.problems:
        sys.exit(EXIT_RULES)


def _ask(path: Path) -> Report:
    ledger = Ledger.open(path, exclusive=False)
    try:
        request = uuid.uuid4().hex
        ask_for_reload(ledger, request, datetime.now(UTC))
        end = time.monotonic() + LONGEST_SECONDS
        while time.monotonic() < end:
            if (report := answer_to(ledger, request)) is not None:
                return report
            if not Ledger.in_use(path):
                raise HydrusdError("hydrusd was stopped meanwhile; it reads its rules at its start")
            time.sleep(LOOK_EVERY_SECONDS)
    finally:
        ledger.close()
    raise HydrusdError(
        f"hydrusd has not answered within {LONGEST_SECONDS:.0f} seconds; its log may say why"
    )


def _tell(report: Report) -> None:
    print_each(report.problems)
    if not report.taken:
        found = count_of(report.problems)
        click.echo(f"\n{found} found; hydrusd goes on by the rules that it had.", err=True)
        return
    if report.problems:
        click.echo(f"\n{count_of(report.problems)} found; the other rules are in force.", err=True)
    for change in report.changes or ["nothing has changed"]:
        click.echo(plain(redact(change)))
