"""``hydrusd ledger``: is it sound, a copy of it, and what to do when it is not."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator
from contextlib import closing
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import click
from rich.console import Console

from hydrusd.cli._dead import to_json
from hydrusd.cli._paths import state_path
from hydrusd.cli._telling import indented, line, some, when
from hydrusd.cli._terminal import configure_logs, make_console, plain
from hydrusd.daemon import LEDGER_FILE, load_plugins
from hydrusd.errors import HydrusdError
from hydrusd.ledger import (
    Backup,
    Health,
    Ledger,
    Occasion,
    Repair,
    Repaired,
    back_up,
    backups,
    examine,
    export,
    forget_mount,
    mounts_written_to,
)

PROBLEMS_SHOWN = 5
LOST_SHOWN = 10
_OCCASIONS = {
    Occasion.DAILY: "made by itself",
    Occasion.UPGRADE: "made before an upgrade",
    Occasion.ASKED: "asked for",
}

# --- check -----------------------------------------------------------------------------------


def check_ledger(state_dir: Path | None, *, as_json: bool) -> None:
    """Print what is wrong with the ledger and its backups. Raises HydrusdError if the former is."""
    path = state_path(state_dir) / LEDGER_FILE
    health = examine(path)
    kept = [(backup, examine(backup.path)) for backup in backups(path)]
    if as_json:
        click.echo(to_json(_health_data(health) | {"backups": [_backup_data(*b) for b in kept]}))
    else:
        _tell_health(make_console(), health, kept)
    if health.problems:
        raise HydrusdError(
            "the ledger is damaged: stop hydrusd if it runs, then see what `hydrusd ledger "
            "repair` can bring back; it asks before it changes anything"
        )


def _health_data(health: Health) -> dict[str, Any]:
    return dataclasses.asdict(health) | {"path": str(health.path), "sound": not health.problems}


def _backup_data(backup: Backup, health: Health) -> dict[str, Any]:
    return _health_data(health) | {"made_at": backup.made_at, "occasion": backup.occasion.value}


def _tell_health(console: Console, health: Health, kept: list[tuple[Backup, Health]]) -> None:
    line(console, "ledger ", str(health.path.absolute()), whole=True)
    state = "damaged" if health.problems else f"sound, {_contents(health)}"
    console.print(f"  {size_in_words(health.size)}, {state}")
    for problem in health.problems[:PROBLEMS_SHOWN]:
        indented(console, problem, 4)
    if (more := len(health.problems) - PROBLEMS_SHOWN) > 0:
        console.print(f"    … and {more} more at least")
    if not kept:
        console.print("no backups (the daemon makes the first a minute after it has started)")
        return
    line(console, "backups in ", str(kept[0][0].path.parent.absolute()), whole=True)
    for backup, each in kept:
        state = f"damaged: {each.problems[0]}" if each.problems else "sound"
        start = f"  {when(backup.made_at)}  {size_in_words(each.size):>9}  "
        line(console, start, f"{_OCCASIONS[backup.occasion]}, {state}")


def _contents(health: Health) -> str:
    if not health.rows:
        return f"of an older version (its tables are at {health.version})"
    events, jobs = health.rows.get("event", 0), health.rows.get("job", 0)
    return f"{some(events, 'event')}, {some(jobs, 'job')}"


# --- backup ----------------------------------------------------------------------------------


def back_up_ledger(state_dir: Path | None, *, target: Path | None, as_json: bool) -> None:
    """Make a backup and say where it is."""
    path = state_path(state_dir) / LEDGER_FILE
    if not path.is_file():
        raise HydrusdError(f"there is no ledger at {path} that could be backed up")
    if target is not None:
        export(path, target)
        made = target
    else:
        made = back_up(path, Occasion.ASKED, datetime.now(UTC)).path
    size = made.stat().st_size
    if as_json:
        click.echo(to_json({"path": str(made.absolute()), "bytes": size}))
        return
    start = f"backed up, checked and found sound ({size_in_words(size)}): "
    line(make_console(), start, str(made), whole=True)


# --- mounts ----------------------------------------------------------------------------------


def forget_mount_point(state_dir: Path | None, *, mount: str, as_json: bool) -> None:
    """Have nothing wait for a disk any more. Raises HydrusdError where nothing does."""
    path = state_path(state_dir) / LEDGER_FILE
    if not path.is_file():
        raise HydrusdError(f"there is no ledger at {path}")
    with closing(Ledger.open(path, exclusive=False)) as ledger:
        if not forget_mount(ledger, mount):
            known = ", ".join(sorted(mounts_written_to(ledger))) or "none"
            raise HydrusdError(
                f"no step has written to a disk that was mounted at {mount}; known are: {known}"
            )
    if as_json:
        click.echo(to_json({"forgotten": mount}))
        return
    start = "forgotten; what waits for it goes on within five minutes: "
    line(make_console(), start, mount, whole=True)


# --- repair ----------------------------------------------------------------------------------


def repair_ledger(state_dir: Path | None, *, yes: bool, as_json: bool) -> None:
    """Show what can be brought back, and do it once a person has said yes."""
    configure_logs(level="error")
    path = state_path(state_dir) / LEDGER_FILE
    console, said = make_console(), make_console(stderr=True)
    if path.exists() and not examine(path).problems:
        raise HydrusdError(f"the ledger {path} is sound; there is nothing to repair")
    actions = load_plugins([]).actions

    def careful(action: str) -> bool:
        """Say whether it would be noticed twice; of actions that are not known here, it is."""
        known = actions.get(action)
        return known is None or known.repeat_shows

    with closing(Repair.begin(path)) as repair:
        now = datetime.now(UTC)
        result = repair.prepare(now, careful=careful, tell=lambda text: line(said, "… ", text))
        if not as_json:
            for text in _plan(result):
                indented(console, text, 0)
        if not yes:
            try:
                click.confirm("Put the repaired ledger in its place?", abort=True, err=True)
            except click.Abort:
                repair.give_up()
                raise
        kept = repair.finish(now)
    if as_json:
        click.echo(to_json(_repair_data(result, kept)))
        return
    if kept is not None:
        line(console, "The damaged ledger is kept as ", str(kept), whole=True)
    console.print("Done. `hydrusd run` goes on with it.")


def _repair_data(result: Repaired, kept: Path | None) -> dict[str, Any]:
    return dataclasses.asdict(result) | {
        "backup": None if result.backup is None else str(result.backup.path),
        "source": None if result.source is None else str(result.source),
        "kept": None if kept is None else str(kept),
        "whole": result.whole,
    }


def _plan(result: Repaired) -> Iterator[str]:
    """Say what the new ledger has, what it lacks, and what that means."""
    if result.finished_before:
        yield "A repaired ledger is there already: an earlier repair was killed before it ended."
        return
    jobs = some(result.rows.get("job", 0), "job")
    events = some(result.rows.get("event", 0), "event")
    yield f"The new ledger has {events} and {jobs}."
    if result.source is None:
        yield "Read from the ledger: nothing, it is not there."
    elif not result.tables:
        yield f"Read from {result.source.name}: nothing, it cannot be read at all."
    else:
        yield from _readings(result)
    if result.whole:
        yield "All rows could be read: as far as can be told nothing is missing."
        return
    yield from _consequences(result)


def _readings(result: Repaired) -> Iterator[str]:
    assert result.source is not None
    read = sum(salvage.rows for salvage in result.tables.values())
    yield f"Read from {result.source.name}: {some(read, 'row')}."
    for table, salvage in result.tables.items():
        if not salvage.whole:
            wrong = f", and refused {salvage.refused} that cannot be true" * bool(salvage.refused)
            places = some(salvage.gaps, "place")
            yield f"  {table}: read {salvage.rows:,}, could not read on at {places}{wrong}"


def _consequences(result: Repaired) -> Iterator[str]:
    if result.backup is None:
        yield "There is no backup that is sound, so what could not be read is gone."
    else:
        made = when(result.backup.made_at)
        yield (
            f"The rest is from the backup of {made} ({result.backup.path.name}): "
            f"{some(result.from_backup, 'job')} as known then."
        )
    if result.going_on:
        yield f"  {some(result.going_on, 'job')} that had not ended then will go on from there."
    if result.beginning:
        yield (
            f"  {some(result.beginning, 'job')} of which it is not known what their steps did "
            f"will begin again."
        )
    if result.asking:
        yield (
            f"  {some(result.asking, 'job')} that may have been done will wait as dead letters, "
            f"because doing them twice would show: decide with `hydrusd dead`."
        )
    if result.lost_jobs:
        yield (
            f"Gone: {some(result.lost_jobs, 'job')} of which no event can be read; what was a "
            f"file or a URL is noticed again:"
        )
        for job in result.lost[:LOST_SHOWN]:
            yield f"  job {job.job_id} of rule {plain(job.rule)!r}, which was {job.state}"
        if result.lost_jobs > LOST_SHOWN:
            yield f"  … and {result.lost_jobs - LOST_SHOWN:,} more"
    if result.unjudged:
        yield (
            f"Of {some(result.unjudged, 'event')} it is not known what the rules made of them: "
            f"files and URLs among them are noticed again, firings and webhooks are not."
        )
    yield (
        "What that means: no file is lost. What was noticed or done and is not in the new ledger "
        "is noticed again and done again. That changes nothing where it was done: a file that is "
        "in Hydrus is not sent again, tags and URLs that are there stay, a source that is gone is "
        "skipped. But a message, a command, a web request, a popup or a fired rule "
        "may happen a second time, viewing time may be counted twice, and what you have changed by "
        "hand in Hydrus since (a tag taken away, a rating) may be set once more."
    )


def size_in_words(size: int) -> str:
    """Give a size as people say it."""
    if size < 1024 * 1024:
        return f"{size / 1024:.0f} KB"
    return f"{size / 1024 / 1024:,.1f} MB"
