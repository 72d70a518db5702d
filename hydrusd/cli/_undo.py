"""``hydrusd undo``: takes back what a run or a job did, once a person has seen what that is."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from contextlib import closing
from datetime import UTC, datetime
from pathlib import Path

import anyio
import click
from rich.console import Console

from hydrusd.cli._dead import to_json
from hydrusd.cli._paths import rules_path, state_path
from hydrusd.cli._stopping import stopping_on_signals
from hydrusd.cli._telling import indented, line, subject
from hydrusd.cli._terminal import configure_logs, make_console, plain
from hydrusd.clock import SystemClock
from hydrusd.daemon import LEDGER_FILE, Configuration, Daemon, make_client, read_configuration
from hydrusd.engine import PlannedStep, PlannedUndo, foresee_undo, plan_undo
from hydrusd.errors import HydrusdError, HydrusError, LedgerLocked
from hydrusd.ledger import Ledger, UndoHistory, enqueue_undo
from hydrusd.model import JobState
from hydrusd.redaction import redact

JOBS_SHOWN = 20


def undo(
    kind: str,
    number: int,
    *,
    rules_file: Path | None,
    state_dir: Path | None,
    only_plan: bool,
    yes: bool,
    everything: bool,
    as_json: bool,
) -> None:
    """Show what would be taken back, ask, and have it done by the daemon or do it here."""
    configure_logs(level="warning")
    path = state_path(state_dir) / LEDGER_FILE
    with closing(UndoHistory.open(path)) as history:
        planned, still_open = _plan(history, kind, number)
        configuration = read_configuration(rules_path(rules_file), tolerant=True)
        actions = configuration.host.actions
        jobs = _judge(history, planned, actions)
    unseen = anyio.run(_foresee, jobs, configuration)
    due = [each for each in jobs if each.is_to_do]
    if not as_json:
        _show(kind, number, jobs, still_open, unseen, everything=everything)
    elif only_plan:
        click.echo(to_json({"jobs": [_as_data(each) for each in jobs], "unseen": unseen}))
    if not due:
        raise HydrusdError(f"nothing of {kind} {number} is to be taken back")
    if only_plan:
        return
    if not yes:
        text = f"Take this back for {_some(len(due), 'job')}?"
        click.confirm(plain(text), abort=True, err=True)
    with closing(Ledger.open(path, exclusive=False)) as ledger:
        run_id = enqueue_undo(ledger, [each.new(actions) for each in due], datetime.now(UTC))
    _work(configuration, state_path(state_dir), run_id, as_json=as_json)


# --- planning --------------------------------------------------------------------------------


def _plan(history: UndoHistory, kind: str, number: int) -> tuple[list[int], int]:
    """Give the numbers of the jobs that are meant, and how many more are not over."""
    if kind == "job":
        if not history.jobs_with([number]):
            raise HydrusdError(f"there is no job {number} (see hydrusd explain PATH)")
        return [number], 0
    found, still_open = history.finished_jobs(number)
    if not found and not still_open:
        raise HydrusdError(f"there is no run {number} with jobs in it (see hydrusd runs)")
    return [job.job_id for job in found], still_open


def _judge(
    history: UndoHistory, numbers: Sequence[int], actions: Mapping[str, type]
) -> list[PlannedUndo]:
    undos = history.undos_of(numbers)
    by = history.jobs_with({undo.job_id for some in undos.values() for undo in some})
    undo_jobs = {int(job.job_id): job for job in by}
    return [
        plan_undo(job, undos.get(job.job_id, []), undo_jobs, actions)
        for job in history.jobs_with(numbers)
    ]


async def _foresee(jobs: Sequence[PlannedUndo], configuration: Configuration) -> list[str]:
    """Look at what has changed since; give the reasons where nobody could look."""
    unseen: list[str] = []
    actions = configuration.host.actions
    for lane in sorted({each.job.lane for each in jobs}):
        mine = [each for each in jobs if each.job.lane == lane]
        spec = configuration.rules.clients.get(lane)
        if spec is None:
            for each in mine:
                each.why_not = each.why_not or f"its client {lane!r} is not in the rules file"
            continue
        clock = SystemClock()
        async with make_client(spec, clock, read_only=True) as client:
            away = ""
            try:
                await client.connect()
            except HydrusError as error:
                away = str(error)
            accounts = configuration.host.accounts
            unseen += await foresee_undo(mine, client, clock, actions, accounts, away=away)
    return list(dict.fromkeys(unseen))


# --- telling ---------------------------------------------------------------------------------


def _show(
    kind: str,
    number: int,
    jobs: Sequence[PlannedUndo],
    still_open: int,
    unseen: Sequence[str],
    *,
    everything: bool,
) -> None:
    console = make_console()
    rules = dict.fromkeys(each.job.rule for each in jobs)
    line(console, f"{kind} {number} of rule ", ", ".join(map(repr, rules)))
    if still_open:
        verb = "is" if still_open == 1 else "are"
        indented(console, f"{_some(still_open, 'job')} {verb} still at work, and left out", 2)
    _summarise(console, jobs)
    if any(each.is_to_do for each in jobs):
        console.print("What would be done, in this order:")
    shown = jobs if everything else jobs[:JOBS_SHOWN]
    for each in shown:
        _tell(console, each)
    if more := len(jobs) - len(shown):
        console.print(f"… and {_some(more, 'more job')}; --all shows them")
    for why in unseen:
        indented(console, f"It cannot be seen now what has changed since ({why}).", 0)
    if unseen:
        indented(console, "Looked at is again before anything is taken back.", 0)


def _summarise(console: Console, jobs: Sequence[PlannedUndo]) -> None:
    """Say for each step how many are taken back, left alone, or beyond taking back."""
    counts: dict[str, Counter[str]] = {}
    for each in jobs:
        for step in each.steps if not each.why_not else ():
            counts.setdefault(step.name, Counter())[_fate(each, step)] += 1
    for name, fates in counts.items():
        told = ", ".join(f"{count} {fate}" for fate, count in fates.items())
        indented(console, f"{name}: {told}", 2)
    if nothing := sum(bool(each.why_not) for each in jobs):
        indented(console, f"nothing to take back: {_some(nothing, 'job')}", 2)


def _fate(planned: PlannedUndo, step: PlannedStep) -> str:
    if step.why_not or planned.why_not:
        return "not taken back"
    return "to take back" if step.is_to_do else "left alone"


def _tell(console: Console, planned: PlannedUndo) -> None:
    line(console, f"job {planned.job.job_id}: ", subject(planned.job.data))
    if planned.why_not:
        indented(console, planned.why_not, 4)
        return
    for step in planned.steps:
        if step.why_not:
            indented(console, f"{step.name}: not taken back: {step.why_not}", 4)
        elif step.foreseen is None:
            indented(console, f"{step.name}: to be taken back, where it is as it was left", 4)
        else:
            indented(console, f"{step.name}: {step.foreseen.detail}", 4)


def _as_data(planned: PlannedUndo) -> dict[str, object]:
    return {
        "job": planned.job.job_id,
        "rule": planned.job.rule,
        "about": subject(planned.job.data),
        "why_not": planned.why_not,
        "steps": [
            {
                "step": step.name,
                "fate": _fate(planned, step),
                "detail": step.why_not or (step.foreseen.detail if step.foreseen else None),
                "receipt": step.receipt,
            }
            for step in planned.steps
        ],
    }


def _some(count: int, noun: str) -> str:
    return f"{count} {noun}{'' if count == 1 else 's'}"


# --- doing -----------------------------------------------------------------------------------


def _work(configuration: Configuration, state_dir: Path, run_id: int, *, as_json: bool) -> None:
    """Do it, unless a daemon runs, which takes it up by itself; say what came of it."""

    async def work() -> str:
        daemon = Daemon(configuration, state_dir)
        with stopping_on_signals(daemon.stop):
            return await daemon.undo(run_id)

    try:
        why = anyio.run(work)
    except LedgerLocked:
        why = "the daemon has it now"
    with closing(UndoHistory.open(state_dir / LEDGER_FILE)) as history:
        run = history.run(run_id)
    counts = {} if run is None else dict(run.jobs)
    if as_json:
        click.echo(to_json({"run": run_id, "jobs": counts, "waits_for": why}))
        return
    told = ", ".join(f"{count} {state}" for state, count in sorted(counts.items()))
    click.echo(plain(redact(f"run {run_id}: {told}{f'; {why}' if why else ''}")))
    if why and why != "the daemon has it now":
        click.echo("What is left is done when hydrusd runs.")
    elif counts.get(JobState.DEAD):
        click.echo("What gave up is told by `hydrusd dead`, and can be retried there.")
    hints = f"`hydrusd runs show {run_id}` tells of it; `hydrusd undo run {run_id}` takes it back."
    click.echo(hints)
