"""``hydrusd status``."""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Sequence
from pathlib import Path

import click
from rich.console import Console
from rich.table import Table
from rich.text import Text

from hydrusd.cli._dead import tell_dead
from hydrusd.cli._paths import state_path
from hydrusd.cli._telling import NARROWEST, indented, line
from hydrusd.cli._terminal import is_said, make_console, plain, shorten
from hydrusd.daemon import LEDGER_FILE
from hydrusd.ledger import DeadLetter, LaneStatus, Ledger, LedgerReader, RuleCount
from hydrusd.model import JobState
from hydrusd.redaction import redact

DEAD_SHOWN = 10
DEAD_IN_JSON = 1000


def show_status(state_dir: Path | None, *, as_json: bool) -> None:
    """Print what the ledger knows."""
    path = state_path(state_dir) / LEDGER_FILE
    reader = LedgerReader.open(path)
    try:
        counts, conditions = reader.counts(), reader.conditions()
        dead = reader.dead(DEAD_IN_JSON if as_json else DEAD_SHOWN)
    finally:
        reader.close()
    running = Ledger.in_use(path)
    if as_json:
        click.echo(_as_json(path, counts, conditions, dead, running=running))
        return
    console = make_console()
    state = "running" if running else "not running"
    line(console, f"hydrusd is {state}; ledger ", str(path.absolute()))
    if running:
        for condition in conditions:
            _tell_condition(console, condition)
    if counts:
        console.print(_count_table(counts, console.width))
    else:
        console.print("Nothing has been noticed yet.")
    total = sum(c.jobs for c in counts if c.state is JobState.DEAD)
    if total:
        newest = f", the newest {DEAD_SHOWN}" if total > DEAD_SHOWN else ""
        console.print(f"Dead letters: {total}{newest} (see `hydrusd dead`)")
        for letter in dead:
            tell_dead(console, letter)


def _tell_condition(console: Console, condition: LaneStatus) -> None:
    since = f"{condition.since.astimezone():%Y-%m-%d %H:%M}"
    title = f"{condition.kind} {condition.name}"
    line(console, "  ", f"{title}: {condition.state} since {since}")
    if condition.reason and not is_said(condition.reason, f"{title} watching"):
        indented(console, condition.reason, 6)


def _count_table(counts: Sequence[RuleCount], width: int) -> Table:
    table = Table(box=None, pad_edge=False, header_style="bold")
    table.add_column("rule", no_wrap=True)
    rules: dict[str, dict[JobState, int]] = {}
    for count in counts:
        rules.setdefault(count.rule, {})[count.state] = count.jobs
    for state in JobState:
        table.add_column(state.value, justify="right", no_wrap=True)
        widest = max(len(str(by_state.get(state, ""))) for by_state in rules.values())
        width -= max(len(state.value), widest) + 2
    for rule, by_state in rules.items():
        name = shorten(plain(rule), max(width, NARROWEST))
        table.add_row(Text(name), *(str(by_state.get(state, "")) for state in JobState))
    return table


def _as_json(
    path: Path,
    counts: Sequence[RuleCount],
    conditions: Sequence[LaneStatus],
    dead: Sequence[DeadLetter],
    *,
    running: bool,
) -> str:
    rules: dict[str, dict[str, int]] = {}
    for count in counts:
        rules.setdefault(count.rule, {})[count.state] = count.jobs
    found = {
        "running": running,
        "ledger": str(path.absolute()),
        "rules": rules,
        "conditions": [dataclasses.asdict(c) for c in conditions] if running else [],
        "dead": [dataclasses.asdict(letter) for letter in dead],
    }
    return redact(json.dumps(found, indent=2, default=lambda moment: moment.isoformat()))
