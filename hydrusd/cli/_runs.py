"""``hydrusd runs``: what each firing of a rule did, and how long it took."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping, Sequence
from contextlib import closing
from pathlib import Path
from typing import TypeVar

import click
from rich.console import Console
from rich.table import Table
from rich.text import Text

from hydrusd.cli._dead import to_json
from hydrusd.cli._paths import state_path
from hydrusd.cli._telling import NARROWEST, between, indented, line, subject, took, when
from hydrusd.cli._terminal import make_console, plain, shorten
from hydrusd.daemon import LEDGER_FILE
from hydrusd.errors import HydrusdError
from hydrusd.ledger import History, JobTrace, RunView, StepSummary, UndoHistory
from hydrusd.model import JobState, OutcomeKind
from hydrusd.redaction import redact

K = TypeVar("K", JobState, OutcomeKind)

JOBS_SHOWN = 20
MOST_JOBS = 100_000


def list_runs(
    state_dir: Path | None, *, rule: str | None, everything: bool, limit: int, as_json: bool
) -> None:
    """Print the newest runs, newest first."""
    with closing(History.open(state_path(state_dir) / LEDGER_FILE)) as history:
        runs = history.runs(limit, rule=rule, dull=everything)
    if as_json:
        click.echo(to_json([dataclasses.asdict(run) for run in runs]))
        return
    console = make_console()
    if runs:
        console.print(_table(runs, console.width))
    elif everything:
        console.print("Nothing has run yet.")
    else:
        console.print("Nothing has run yet of which anything came; --all shows every run.")


def _table(runs: Sequence[RunView], width: int) -> Table:
    table = Table(box=None, pad_edge=False, header_style="bold")
    rows = [
        (
            str(run.run_id),
            when(run.started_at),
            run.trigger,
            _counts(run.jobs),
            between(run.started_at, run.ended_at) or "not over",
        )
        for run in runs
    ]
    titles = ("run", "when", "by", "jobs", "took")
    taken = sum(max(len(row[n]) for row in [titles, *rows]) + 1 for n in range(len(titles)))
    room = max(width - taken - len(titles), NARROWEST)
    table.add_column("run", justify="right", no_wrap=True)
    for title in ("when", "rule", "by", "jobs", "took"):
        table.add_column(title, no_wrap=title not in {"by", "jobs"})
    for run, (number, started, trigger, jobs, ended) in zip(runs, rows, strict=True):
        name = shorten(plain(redact(run.rule)), room)
        table.add_row(number, started, Text(name), trigger, jobs, ended)
    return table


def _counts(counts: Mapping[K, int]) -> str:
    return ", ".join(f"{count} {state}" for state, count in sorted(counts.items())) or "none"


def show_run(run_id: int, *, everything: bool, state_dir: Path | None, as_json: bool) -> None:
    """Print a run with its jobs, their steps and how long these took."""
    with closing(UndoHistory.open(state_path(state_dir) / LEDGER_FILE)) as history:
        run = history.run(run_id)
        undone_by, undoes = history.runs_undoing(run_id), history.runs_undone_by(run_id)
        steps = history.steps_of(run_id)
        jobs = history.jobs_of(run_id, MOST_JOBS if everything or as_json else JOBS_SHOWN)
        was_there = history.run_was_there(run_id)
    if run is None and was_there:
        raise HydrusdError(f"run {run_id} is no longer kept: it ended long ago and was pruned")
    if run is None:
        raise HydrusdError(f"there is no run {run_id} (see hydrusd runs)")
    if as_json:
        found = {
            "run": dataclasses.asdict(run),
            "undone_by": undone_by,
            "undoes": undoes,
            "steps": [dataclasses.asdict(each) for each in steps],
            "jobs": [dataclasses.asdict(each) for each in jobs],
        }
        click.echo(to_json(found))
        return
    console = make_console()
    line(console, f"run {run_id} of rule ", repr(run.rule))
    timing = between(run.started_at, run.ended_at)
    ended = f"over after {timing}" if timing else "not over"
    indented(console, f"fired by {run.trigger} {when(run.started_at)}; {ended}", 2)
    indented(console, f"jobs: {_counts(run.jobs)}", 2)
    for other, count in undoes.items():
        indented(console, f"takes back run {other} ({count} jobs)", 2)
    for other, count in undone_by.items():
        indented(console, f"taken back by run {other} ({count} jobs)", 2)
    if steps:
        console.print(_step_table(steps))
    for item in jobs:
        _tell_job(console, item)
    if (more := sum(run.jobs.values()) - len(jobs)) > 0:
        console.print(f"… and {more} more jobs; --all shows them")


def _step_table(steps: Sequence[StepSummary]) -> Table:
    table = Table(box=None, pad_edge=False, header_style="bold")
    for title in ("  step", "jobs", "began", "took"):
        table.add_column(title, no_wrap=title != "jobs")
    for each in steps:
        table.add_row(
            f"  {each.position + 1} {plain(each.action)}",
            _counts(each.outcomes),
            when(each.began_at),
            between(each.began_at, each.ended_at),
        )
    return table


def _tell_job(console: Console, item: JobTrace) -> None:
    line(console, f"job {item.job_id}: {item.state} · ", subject(item.data))
    parts = [
        f"{each.action} {took(each.seconds)}".rstrip()
        for each in item.steps
        if each.outcome is not OutcomeKind.PASSED
    ]
    if parts:
        indented(console, " · ".join(parts), 4)
    if item.detail and item.state in {JobState.DEAD, JobState.SKIPPED}:
        indented(console, item.detail, 4)
