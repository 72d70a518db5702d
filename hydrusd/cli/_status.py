"""``hydrusd status``."""

from __future__ import annotations

import dataclasses
import io
import json
import signal
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from types import FrameType

import click
from rich.console import Console
from rich.live import Live
from rich.table import Table
from rich.text import Text

from hydrusd.cli._dead import tell_dead
from hydrusd.cli._paths import state_path
from hydrusd.cli._telling import NARROWEST, indented, line, took
from hydrusd.cli._terminal import is_said, make_console, plain, shorten
from hydrusd.daemon import LEDGER_FILE
from hydrusd.ledger import (
    DeadLetter,
    LaneStatus,
    Ledger,
    LedgerReader,
    RuleCount,
    RuleProgress,
    progress,
)
from hydrusd.redaction import redact

DEAD_SHOWN = 10
DEAD_IN_JSON = 1000
WATCH_SECONDS = 2.0
"""How often it looks again with ``--watch``."""
_ALWAYS = ("queued", "done", "dead")


@dataclass(frozen=True, slots=True)
class _Look:
    """What the ledger knew at one moment."""

    path: Path
    running: bool
    counts: Sequence[RuleCount]
    rules: Sequence[RuleProgress]
    conditions: Sequence[LaneStatus]
    dead: Sequence[DeadLetter]

    @classmethod
    def at(cls, path: Path, *, most_dead: int) -> _Look:
        reader = LedgerReader.open(path)
        try:
            counts, rules = reader.counts(), progress(reader, datetime.now(UTC))
            conditions, dead = reader.conditions(), reader.dead(most_dead)
        finally:
            reader.close()
        running = Ledger.in_use(path)
        if not running:  # what it saw, and how fast it was, is no longer so
            conditions = []
            rules = [dataclasses.replace(r, noticing=None, per_second=None) for r in rules]
        return cls(path, running, counts, rules, conditions, dead)


def show_status(state_dir: Path | None, *, as_json: bool, watch: bool = False) -> None:
    """Print what the ledger knows: once, or again and again until stopped."""
    path = state_path(state_dir) / LEDGER_FILE
    most_dead = DEAD_IN_JSON if as_json else DEAD_SHOWN
    look = _Look.at(path, most_dead=most_dead)
    if not watch:
        _print(look, make_console(), as_json=as_json)
        return
    with _until_stopped():
        console = make_console()
        if console.is_terminal and not as_json:
            _show_live(look, console)
            return
        before = ""
        while True:
            told = _as_json(look, indent=None) if as_json else _told(look, console)
            if told != before:
                click.echo(told if as_json or not before else f"\n{told}")
            before = told
            time.sleep(WATCH_SECONDS)
            look = _Look.at(path, most_dead=most_dead)


def _show_live(look: _Look, console: Console) -> None:
    with Live(console=console, auto_refresh=False) as live:
        while True:
            live.update(Text.from_ansi(_told(look, console)), refresh=True)
            time.sleep(WATCH_SECONDS)
            look = _Look.at(look.path, most_dead=DEAD_SHOWN)


class _StoppedError(Exception):
    """Whoever watched has seen enough."""


@contextmanager
def _until_stopped() -> Iterator[None]:
    """Leave the block in good order at Ctrl-C and SIGTERM."""

    def stop(number: int, frame: FrameType | None) -> None:
        del number, frame
        raise _StoppedError

    names = ("SIGINT", "SIGTERM", "SIGBREAK")
    numbers = [getattr(signal, name) for name in names if hasattr(signal, name)]
    former = {number: signal.signal(number, stop) for number in numbers}
    try:
        yield
    except _StoppedError:
        pass
    finally:
        for number, handler in former.items():
            signal.signal(number, handler)


def _told(look: _Look, console: Console) -> str:
    """Give what is printed for people, as one text for such a console."""
    file = io.StringIO()
    within = Console(
        file=file,
        width=console.width,
        force_terminal=console.is_terminal,
        color_system="standard" if console.color_system else None,
        legacy_windows=False,
        highlight=False,
        markup=False,
        emoji=False,
    )
    _print(look, within, as_json=False)
    return file.getvalue().removesuffix("\n")


def _print(look: _Look, console: Console, *, as_json: bool) -> None:
    if as_json:
        click.echo(_as_json(look, indent=2))
        return
    state = "running" if look.running else "not running"
    line(console, f"hydrusd is {state}; ledger ", str(look.path.absolute()))
    for condition in look.conditions:
        _tell_condition(console, condition)
    if look.rules:
        console.print(_table(look.rules, console.width))
        for rule in look.rules:
            _tell_pace(console, rule)
    else:
        console.print("Nothing has been noticed yet.")
    total = sum(rule.dead for rule in look.rules)
    if total:
        newest = f", the newest {DEAD_SHOWN}" if total > DEAD_SHOWN else ""
        console.print(f"Dead letters: {total}{newest} (see `hydrusd dead`)")
        for letter in look.dead:
            tell_dead(console, letter)


def _tell_condition(console: Console, condition: LaneStatus) -> None:
    since = f"{condition.since.astimezone():%Y-%m-%d %H:%M}"
    title = f"{condition.kind} {condition.name}"
    line(console, "  ", f"{title}: {condition.state} since {since}")
    if condition.reason and not is_said(condition.reason, f"{title} watching"):
        indented(console, condition.reason, 6)


def _columns(rule: RuleProgress) -> Mapping[str, int | None]:
    """Give the numbers of a rule, in the order of the way that its jobs take."""
    seen = rule.noticing
    return {
        "found": seen.found if seen else None,
        "waiting": seen.waiting if seen else None,
        "queued": rule.queued,
        "settling": rule.settling,
        "imported": rule.imported,
        "known": rule.known,
        "done": rule.done,
        "skipped": rule.skipped,
        "dead": rule.dead,
    }


def _table(rules: Sequence[RuleProgress], width: int) -> Table:
    table = Table(box=None, pad_edge=False, header_style="bold")
    table.add_column("rule", no_wrap=True)
    rows = [_columns(rule) for rule in rules]
    titles = [t for t in rows[0] if t in _ALWAYS or any(row[t] for row in rows)]
    for title in titles:
        table.add_column(title, justify="right", no_wrap=True)
        width -= max(len(title), *(len(_number(row[title])) for row in rows)) + 2
    for rule, row in zip(rules, rows, strict=True):
        name = shorten(plain(redact(rule.rule)), max(width, NARROWEST))
        table.add_row(Text(name), *(_number(row[title]) for title in titles))
    return table


def _number(number: int | None) -> str:
    return "" if number is None else str(number)


def _tell_pace(console: Console, rule: RuleProgress) -> None:
    """Say how fast a rule goes and how long it has to, where that can be said."""
    if rule.per_second is None:
        return
    pace = (
        f"{rule.per_second:.1f} a second"
        if rule.per_second >= 0.1
        else (f"{rule.per_second * 60:.1f} a minute")
    )
    text = f": {pace}"
    if (seconds := rule.remaining_seconds) is not None:
        more = ", or more: the scan goes on" if rule.noticing and rule.noticing.scanning else ""
        text += f", {rule.left:,} to go, about {took(max(seconds, 1.0))}{more}"
    if rule.later:
        text += f"; {rule.later:,} wait for a later time"
    name = shorten(plain(redact(rule.rule)), max(console.width - len(text), NARROWEST))
    console.print(Text(name + text))


def _as_json(look: _Look, *, indent: int | None) -> str:
    states: dict[str, dict[str, int]] = {}
    for count in look.counts:
        states.setdefault(count.rule, {})[count.state] = count.jobs
    found = {
        "running": look.running,
        "ledger": str(look.path.absolute()),
        "rules": states,
        "progress": {rule.rule: _progress_as_json(rule) for rule in look.rules},
        "conditions": [dataclasses.asdict(c) for c in look.conditions],
        "dead": [dataclasses.asdict(letter) for letter in look.dead],
    }
    return redact(json.dumps(found, indent=indent, default=lambda moment: moment.isoformat()))


def _progress_as_json(rule: RuleProgress) -> dict[str, object]:
    return {
        **_columns(rule),
        "scanning": rule.noticing.scanning if rule.noticing else None,
        "later": rule.later,
        "left": rule.left,
        "per_second": rule.per_second,
        "remaining_seconds": rule.remaining_seconds,
    }
