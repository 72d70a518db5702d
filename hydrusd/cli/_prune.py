"""``hydrusd ledger prune``: lets go of what ended long ago, at once instead of bit by bit."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import closing
from datetime import UTC, datetime
from pathlib import Path

import click
from pydantic import TypeAdapter, ValidationError

from hydrusd.cli._dead import to_json
from hydrusd.cli._paths import rules_path, state_path
from hydrusd.cli._telling import some
from hydrusd.cli._terminal import configure_logs
from hydrusd.daemon import LEDGER_FILE, read_configuration
from hydrusd.engine import retention
from hydrusd.errors import HydrusdError
from hydrusd.ledger import History, Ledger, Pruned, Retention
from hydrusd.rules import Age, HistorySpec


def prune_ledger(
    *,
    older_than: str | None,
    dry_run: bool,
    compact: bool,
    yes: bool,
    state_dir: Path | None,
    rules_file: Path | None,
    as_json: bool,
) -> None:
    """Prune the ledger, once a person has said yes, and say what went."""
    path = state_path(state_dir) / LEDGER_FILE
    History.open(path).close()  # a ledger that is not there, or is older, is not touched
    limits = _limits(older_than, rules_file)
    if compact and not dry_run and Ledger.in_use(path):
        raise HydrusdError(
            "hydrusd is running: stop it first to have the file made smaller "
            "(without --compact it may run; what is freed is used again)"
        )
    with closing(Ledger.open(path, exclusive=compact and not dry_run)) as ledger:
        if dry_run or not yes:
            foreseen = _prune(ledger, limits, dry_run=True)
            if dry_run:
                _tell(foreseen, ledger, done=False, as_json=as_json)
                return
            if _is_something(foreseen):
                text = f"{_words(foreseen, done=False)}\nIt cannot be had back. Prune?"
                click.confirm(text, abort=True, err=True)
        gone = _prune(ledger, limits)
        if compact:
            ledger.compact()
        _tell(gone, ledger, done=True, as_json=as_json)


def _limits(older_than: str | None, rules_file: Path | None) -> Retention:
    if older_than is not None:
        try:
            seconds = TypeAdapter[float | None](Age).validate_python(older_than)
        except ValidationError as error:
            found = error.errors()[0]
            hint = found["ctx"].get("hint", "")
            raise click.BadParameter(
                f"{found['msg']}; {hint}" if hint else found["msg"], param_hint="--older-than"
            ) from error
        spec = HistorySpec(seconds, seconds)
    else:
        configure_logs(level="error")
        spec = read_configuration(
            rules_path(rules_file), resolve_secrets=False, tolerant=True
        ).rules.history
    return retention(spec, datetime.now(UTC))


def _prune(ledger: Ledger, limits: Retention, *, dry_run: bool = False) -> Pruned:
    total = Pruned()
    for part in _parts(ledger, limits, dry_run=dry_run):
        total += part
    return total


def _parts(ledger: Ledger, limits: Retention, *, dry_run: bool) -> Iterator[Pruned]:
    """Prune bit by bit, each bit a transaction: a daemon beside this is hardly held up."""
    now = datetime.now(UTC)
    part = ledger.prune_events(limits, now, after=None, dry_run=dry_run)
    yield part
    while part.cursor is not None:
        part = ledger.prune_events(limits, now, after=part.cursor, dry_run=dry_run)
        yield part
    after: int | None = 0
    while after is not None:
        after, runs = ledger.prune_runs(limits, after=after, dry_run=dry_run)
        yield Pruned(runs=runs)


def _is_something(pruned: Pruned) -> bool:
    return bool(pruned.events or pruned.runs)


def _tell(pruned: Pruned, ledger: Ledger, *, done: bool, as_json: bool) -> None:
    size, free = ledger.room()
    if as_json:
        found = {
            "dry_run": not done,
            "events": pruned.events,
            "jobs": pruned.jobs,
            "steps": pruned.steps,
            "reasons": pruned.reasons,
            "runs": pruned.runs,
            "bytes": size,
            "free_bytes": free,
        }
        click.echo(to_json(found))
        return
    click.echo(_words(pruned, done=done))
    click.echo(f"The ledger has {_bytes(size)}, of which {_bytes(free)} are free for what comes.")
    if done and free > size // 4:
        click.echo(
            "`hydrusd ledger prune --compact` gives them back to the disk, while it is idle."
        )


def _words(pruned: Pruned, *, done: bool) -> str:
    if not _is_something(pruned):
        return "Nothing in the ledger is that old."
    start = "Let go" if done else "To be let go"
    runs = f", and {some(pruned.runs, 'run')}" if pruned.runs else ""
    return (
        f"{start}: the details of {some(pruned.events, 'event')} "
        f"({some(pruned.jobs, 'job')} with {some(pruned.steps, 'step')}, "
        f"{some(pruned.reasons, 'reason')} why a rule did not match){runs}. "
        f"What they were stays known, so nothing is done a second time."
    )


def _bytes(count: int) -> str:
    return f"{count / 1024**2:,.1f} MB"
