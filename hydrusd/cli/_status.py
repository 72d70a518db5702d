"""``hydrusd status`` and ``hydrusd retry``."""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import click
from rich.console import Console
from rich.table import Table
from rich.text import Text

from hydrusd.cli._paths import state_path
from hydrusd.daemon import LEDGER_FILE
from hydrusd.ledger import DeadLetter, LaneStatus, Ledger, LedgerReader, RuleCount
from hydrusd.model import Data, JobState
from hydrusd.redaction import redact

DEAD_SHOWN = 10


def show_status(state_dir: Path | None, *, as_json: bool) -> None:
    """Print what the ledger knows."""
    path = state_path(state_dir) / LEDGER_FILE
    reader = LedgerReader.open(path)
    try:
        counts, conditions, dead = reader.counts(), reader.conditions(), reader.dead(DEAD_SHOWN)
    finally:
        reader.close()
    running = Ledger.in_use(path)
    if as_json:
        click.echo(_as_json(path, counts, conditions, dead, running=running))
        return
    console = Console(highlight=False)
    console.print(Text(f"hydrusd is {'running' if running else 'not running'}; ledger {path}"))
    if running:
        for c in conditions:
            if c.state == "working" and not c.reason:
                continue
            reason = f": {redact(c.reason)}" if c.reason else ""
            console.print(Text(f"  {c.kind} {c.name} {c.state}{reason}"))
    if counts:
        console.print(_count_table(counts))
    else:
        console.print("Nothing has been noticed yet.")
    total = sum(c.jobs for c in counts if c.state is JobState.DEAD)
    if total:
        newest = f", the newest {DEAD_SHOWN}" if total > DEAD_SHOWN else ""
        console.print(Text(f"Dead letters: {total}{newest} (hydrusd retry puts them back)"))
        for letter in dead:
            what = f"  {letter.job_id}  {letter.rule} · {letter.action} · {_subject(letter.data)}"
            console.print(Text(what))
            console.print(Text(f"      {redact(letter.detail)}"))


def _count_table(counts: Sequence[RuleCount]) -> Table:
    table = Table(box=None, pad_edge=False, header_style="bold")
    table.add_column("rule")
    for state in JobState:
        table.add_column(state.value, justify="right")
    rules: dict[str, dict[JobState, int]] = {}
    for count in counts:
        rules.setdefault(count.rule, {})[count.state] = count.jobs
    for rule, by_state in rules.items():
        table.add_row(Text(rule), *(str(by_state.get(state, "")) for state in JobState))
    return table


def _subject(data: Data) -> str:
    file: Any = data.get("file")
    path = file.get("path") if isinstance(file, dict) else None
    return str(path or data).encode("utf-8", "backslashreplace").decode()


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
        "ledger": str(path),
        "rules": rules,
        "conditions": [dataclasses.asdict(c) for c in conditions] if running else [],
        "dead": [dataclasses.asdict(letter) for letter in dead],
    }
    return redact(json.dumps(found, indent=2, default=lambda moment: moment.isoformat()))


def retry_jobs(
    jobs: Sequence[int], *, rule: str | None, everything: bool, state_dir: Path | None
) -> None:
    """Put dead letters back to work and say how many."""
    if sum((bool(jobs), rule is not None, everything)) != 1:
        raise click.UsageError("say which: job numbers, or --rule NAME, or --all")
    path = state_path(state_dir) / LEDGER_FILE
    LedgerReader.open(path).close()  # a ledger that is not there is not made by asking
    ledger = Ledger.open(path, exclusive=False)
    try:
        count = ledger.retry(datetime.now(UTC), ids=jobs, rule=rule)
    finally:
        ledger.close()
    click.echo(f"{count} job{'s' if count != 1 else ''} put back to work")
    if jobs and count < len(set(jobs)):
        raise click.ClickException("the other numbers are no dead letters (see hydrusd status)")
