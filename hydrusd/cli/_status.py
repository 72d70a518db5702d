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
from rich.padding import Padding
from rich.table import Table
from rich.text import Text

from hydrusd.cli._paths import state_path
from hydrusd.cli._terminal import is_said, make_console, plain, shorten
from hydrusd.daemon import LEDGER_FILE
from hydrusd.errors import HydrusdError
from hydrusd.ledger import DeadLetter, LaneStatus, Ledger, LedgerReader, RuleCount
from hydrusd.model import Data, JobState
from hydrusd.redaction import redact

DEAD_SHOWN = 10
DEAD_IN_JSON = 1000
NARROWEST = 12
"""Names and paths are not shortened below this, however narrow the terminal."""


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
    _line(console, f"hydrusd is {state}; ledger ", str(path.absolute()))
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
        console.print(f"Dead letters: {total}{newest} (`hydrusd retry` puts them back to work)")
        for letter in dead:
            _tell_dead(console, letter)


def _line(console: Console, start: str, subject: str) -> None:
    """Print one line, its subject shortened so that it stays one."""
    room = max(console.width - len(start), NARROWEST)
    console.print(Text(plain(start) + shorten(plain(subject), room)), soft_wrap=True)


def _indented(console: Console, text: str, columns: int) -> None:
    console.print(Padding(Text(plain(redact(text))), (0, 0, 0, columns), expand=False))


def _tell_condition(console: Console, condition: LaneStatus) -> None:
    since = f"{condition.since.astimezone():%Y-%m-%d %H:%M}"
    title = f"{condition.kind} {condition.name}"
    _line(console, "  ", f"{title}: {condition.state} since {since}")
    if condition.reason and not is_said(condition.reason, f"{title} watching"):
        _indented(console, condition.reason, 6)


def _tell_dead(console: Console, letter: DeadLetter) -> None:
    rule = shorten(plain(letter.rule), max(console.width // 3, NARROWEST))
    _line(console, f"  {letter.job_id}  {rule} · {letter.action} · ", _subject(letter.data))
    _indented(console, letter.detail, 6)


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


def _subject(data: Data) -> str:
    file: Any = data.get("file")
    path = file.get("path") if isinstance(file, dict) else None
    return str(path or json.dumps(data))


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


def retry_jobs(
    jobs: Sequence[int], *, rule: str | None, everything: bool, state_dir: Path | None
) -> None:
    """Put dead letters back to work and say how many."""
    if sum((bool(jobs), rule is not None, everything)) != 1:
        raise click.UsageError("say which: job numbers, or --rule NAME, or --all")
    path = state_path(state_dir) / LEDGER_FILE
    LedgerReader.open(path).close()  # a ledger that is not there is not made by asking
    ledger = Ledger.open(path, exclusive=False)
    now = datetime.now(UTC)
    try:
        if jobs:
            # One by one, to be able to say which of them were none.
            revived = {job: ledger.retry(now, ids=[job]) for job in dict.fromkeys(jobs)}
        else:
            # A command line may hold what is no Unicode; no rule is called so.
            name = rule if rule is None else rule.encode(errors="replace").decode()
            revived = {0: ledger.retry(now, rule=name)}
    finally:
        ledger.close()
    count = sum(revived.values())
    if count or everything:
        click.echo(f"{count} job{'s' if count != 1 else ''} put back to work")
    if jobs and not all(revived.values()):
        numbers = ", ".join(str(job) for job, found in revived.items() if not found)
        raise HydrusdError(f"no dead letter has the number {numbers} (see hydrusd status)")
    if rule is not None and not count:
        raise HydrusdError(f"there are no dead letters of a rule {rule!r} (see hydrusd status)")
