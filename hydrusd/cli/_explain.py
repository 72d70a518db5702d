"""``hydrusd explain``: all that is known of a file, a URL, a hash or a job."""

from __future__ import annotations

import dataclasses
import os
import re
from collections.abc import Iterator, Mapping, Sequence
from contextlib import closing
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

import click
from rich.console import Console

from hydrusd.cli._dead import tell_step, to_json
from hydrusd.cli._paths import rules_path, state_path
from hydrusd.cli._telling import NARROWEST, between, indented, line, subject, when
from hydrusd.cli._terminal import configure_logs, make_console, shorten
from hydrusd.daemon import LEDGER_FILE, read_configuration
from hydrusd.errors import ConfigError, HydrusdError
from hydrusd.ledger import (
    History,
    JobTrace,
    LaneStatus,
    Ledger,
    NotTaken,
    Trace,
    UndoHistory,
    UndoJob,
    waits_for,
)
from hydrusd.plugin import FileSource, Trigger

MOST_EVENTS = 50
"""The newest so many events are told; a popular hash may be in thousands."""
MOST_OF_A_NAME = 1_000
MOST_PATHS = 20

_HASH = re.compile(r"[0-9a-fA-F]{64}")


@dataclass(frozen=True, slots=True)
class Found:
    """What was asked for, as it was understood, and what the ledger has of it."""

    kind: str
    asked: str
    events: Sequence[Trace]
    more: bool = False
    by_name: bool = False


@dataclass(frozen=True, slots=True)
class Daemon:
    """What is known of the daemon: whether it runs, and what it waits for."""

    running: bool
    conditions: Sequence[LaneStatus]


@dataclass(frozen=True, slots=True)
class Watched:
    """A rule that looks where a file is. ``objection`` says why it does not notice it."""

    rule: str
    trigger: str
    objection: str


@dataclass(frozen=True, slots=True)
class OnDisk:
    """A file as it is now.

    ``known``: it was noticed in just this form. ``problem``: why the rules cannot be read.
    """

    path: str
    there: bool
    known: bool
    watched: Sequence[Watched]
    problem: str = ""


@dataclass(frozen=True, slots=True)
class Undos:
    """Which jobs take back what others did: by the number of the job undone, and of the undo."""

    of: Mapping[int, Sequence[UndoJob]]
    by: Mapping[int, UndoJob]


def explain(asked: str, *, state_dir: Path | None, rules_file: Path | None, as_json: bool) -> None:
    """Print everything about it. Raises HydrusdError where nothing is known."""
    ledger_path = state_path(state_dir) / LEDGER_FILE
    with closing(UndoHistory.open(ledger_path)) as history:
        found = _find(history, asked)
        numbers = [item.job_id for trace in found.events for item in trace.jobs]
        undos = Undos(history.undos_of(numbers), history.undone_by(numbers))
        daemon = Daemon(Ledger.in_use(ledger_path), history.conditions())
    disk = _look(found, rules_file) if found.kind == "path" else None
    if not found.events and not (disk and disk.there):
        raise HydrusdError(f"nothing is known of {asked}: no trigger has ever noticed it")
    if as_json:
        click.echo(to_json(_as_data(found, daemon, disk, undos)))
        return
    console = make_console()
    if found.by_name:
        line(console, "Nothing of just this path; of its name: ", _subject(found.events[0]))
    if found.more:
        console.print(f"There is more; these are the newest {MOST_EVENTS} times it was noticed.")
    for trace in found.events:
        _tell(console, trace, daemon, undos)
    if disk is not None and (disk.there or not found.by_name):
        for text in _disk_in_words(disk, daemon, noticed=not found.by_name and bool(found.events)):
            indented(console, text, 0)


# --- finding ---------------------------------------------------------------------------------


def _find(history: History, asked: str) -> Found:
    limit = MOST_EVENTS + 1
    if asked.isdecimal() and len(asked) < 19:
        trace = history.about_job(int(asked))
        if trace is None and history.job_was_there(int(asked)):
            raise HydrusdError(
                f"job {asked} is no longer kept: it ended long ago and was pruned "
                f"(ask by the path, the URL or the hash that it was about)"
            )
        if trace is None:
            raise HydrusdError(f"there is no job {asked} (a file of that name is ./{asked})")
        return Found("job", asked, [trace])
    if _HASH.fullmatch(asked):
        return _found("hash", asked, history.about_hash(asked.lower(), limit))
    if "://" in asked:
        return _found("url", asked, history.about_word(asked.strip(), limit))
    # As it is written and as the links in it lead: a rule may name its folder in either way.
    path = Path(os.path.abspath(Path(asked).expanduser()))  # noqa: PTH100 - follows no links
    for form in dict.fromkeys((path, path.resolve())):
        # What was noticed there, and what wrote the file, if that was a rule's doing.
        events = history.about_key(FileSource.key_start(form), limit)
        events += history.about_word(os.path.normcase(form), limit)
        if events:
            events = sorted({each.event_id: each for each in events}.values(), key=_number)
            return _found("path", str(form), events)
    events = history.about_word(path.name, MOST_OF_A_NAME) if path.name else []
    if same := [trace for trace in events if _is_at(trace, path)]:
        return _found("path", str(path), same)
    paths = sorted({_subject(trace) for trace in events})
    if len(paths) > 1:
        shown = [*paths[:MOST_PATHS], *(["…"] if len(paths) > MOST_PATHS else [])]
        raise HydrusdError("\n  ".join([f"files called {path.name} were noticed here:", *shown]))
    found = _found("path", str(path), events)
    return dataclasses.replace(found, by_name=bool(events))


def _number(trace: Trace) -> int:
    return trace.event_id


def _is_at(trace: Trace, path: Path) -> bool:
    """Say whether what was noticed is at a path, however the way there was written."""
    source = _source(trace)
    return source is not None and source.path.resolve() == path.resolve()


def _source(trace: Trace) -> FileSource | None:
    """Give the file that was noticed, from what is left where that was pruned."""
    return FileSource.from_data(trace.data) or FileSource.from_key(trace.key)


def _subject(trace: Trace) -> str:
    """Say what an event is about; where that is no longer kept, by what it was told apart."""
    if trace.data:
        return subject(trace.data)
    source = FileSource.from_key(trace.key)
    return str(source.path) if source is not None else trace.key


def _found(kind: str, asked: str, events: Sequence[Trace]) -> Found:
    return Found(kind, asked, events[-MOST_EVENTS:], more=len(events) > MOST_EVENTS)


def _look(found: Found, rules_file: Path | None) -> OnDisk:
    """Look at the file as it is now, and at the rules for who watches it."""
    path = Path(found.asked)
    try:
        status = path.stat(follow_symlinks=False)
    except OSError:
        return OnDisk(found.asked, there=False, known=False, watched=())
    sources = map(_source, found.events)
    known = any(s is not None and s.matches(status) for s in sources) and not found.by_name
    configure_logs(level="error")
    try:
        rules = read_configuration(
            rules_path(rules_file), resolve_secrets=False, tolerant=True
        ).rules
    except ConfigError as error:
        if rules_file is not None:
            raise
        problem = error.problems[0].message
        return OnDisk(found.asked, there=True, known=known, watched=(), problem=problem)
    watched = []
    for left_out in rules.invalid:
        trigger = left_out.trigger_config
        if isinstance(trigger, Trigger) and trigger.overlooks(path) is not None:
            why = f"the rule is invalid: {left_out.reason}"
            watched.append(Watched(left_out.name, left_out.trigger, why))
    for rule in rules.rules:
        assert isinstance(rule.trigger_config, Trigger)
        objection = rule.trigger_config.overlooks(path)
        if objection is not None:
            off = "" if rule.enabled else "the rule is switched off (`enabled: false`)"
            watched.append(Watched(rule.name, rule.trigger, off or objection))
    return OnDisk(found.asked, there=True, known=known, watched=watched)


# --- telling ---------------------------------------------------------------------------------


def _tell(console: Console, trace: Trace, daemon: Daemon, undos: Undos) -> None:
    line(console, "", _subject(trace))
    gone = "" if trace.there else "; what was noticed is no longer there"
    indented(console, f"noticed {when(trace.noticed_at)} by {trace.trigger}{gone}", 2)
    for item in trace.jobs:
        _tell_job(console, item, daemon, undos)
    for verdict in trace.not_taken:
        _tell_refusal(console, verdict)
    if trace.pruned_at is not None:
        kept = "what was noticed and done is no longer kept, only that it was"
        indented(console, f"pruned on {trace.pruned_at.astimezone():%Y-%m-%d}: {kept}", 2)
    for left in trace.pruned:
        indented(
            console, f"rule {left.rule!r} has had it: {left.state}, {when(left.finished_at)}", 2
        )
    if not (trace.jobs or trace.not_taken or trace.pruned):
        indented(console, "no rule was asked, or what became of it is no longer kept", 2)


def _tell_job(console: Console, item: JobTrace, daemon: Daemon, undos: Undos) -> None:
    start = f"  job {item.job_id} of rule "
    parts = [str(item.state), when(item.finished_at), between(item.created_at, item.finished_at)]
    ended = f" ({item.revision[:8] or 'as it is now'}): {', '.join(filter(None, parts))}"
    room = max(console.width - len(start) - len(ended) - 2, NARROWEST)
    line(console, f"{start}{shorten(item.rule, room)!r}{ended}")
    for each in item.steps:
        tell_step(console, each, 4, own=item.file_hash)
    if undone := undos.by.get(item.job_id):
        run = f" of run {undone.of_run}" if undone.of_run else ""
        indented(console, f"takes back what job {undone.of_job}{run} did", 4)
    for undo in undos.of.get(item.job_id, ()):
        run = f" of run {undo.run_id}" if undo.run_id else ""
        indented(console, f"taken back by job {undo.job_id}{run}: {undo.state}", 4)
    if item.file_hash:
        line(console, "    in Hydrus: ", item.file_hash)
    last = item.steps[-1].detail if item.steps else ""
    if item.finished_at and item.detail and item.detail != last:
        indented(console, item.detail, 4)
    if waits := waits_for(item, daemon.conditions, datetime.now(UTC), running=daemon.running):
        indented(console, f"waits for: {waits}", 4)


def _tell_refusal(console: Console, verdict: NotTaken) -> None:
    revision = "" if verdict.for_good else f" ({verdict.revision[:8]})"
    how = "was not to have it" if verdict.for_good else "did not match"
    reason = f": {verdict.reason}" if verdict.reason else f", {when(verdict.judged_at)}"
    indented(console, f"rule {verdict.rule!r}{revision} {how}{reason}", 2)


def _disk_in_words(disk: OnDisk, daemon: Daemon, *, noticed: bool) -> Iterator[str]:
    if not disk.there:
        yield f"{disk.path} is not on the disk now."
        return
    if disk.known:
        yield f"{disk.path} is on the disk as it was noticed."
        return
    yield (
        f"{disk.path} is on the disk, and "
        + ("has changed since it was noticed." if noticed else "was never noticed.")
    )
    if disk.problem:
        yield f"Who watches it cannot be said, as the rules cannot be read: {disk.problem}"
    elif not disk.watched:
        yield "No rule watches the folder that it is in."
    for each in disk.watched:
        yield f"rule {each.rule!r} watches there by {each.trigger}, and {_expected(each, daemon)}"


def _expected(each: Watched, daemon: Daemon) -> str:
    if each.objection:
        return f"passes it over: {each.objection}"
    if not daemon.running:
        return "will notice it when hydrusd is started"
    return "will notice it at its next look, once it has been left alone for long enough"


def _as_data(found: Found, daemon: Daemon, disk: OnDisk | None, undos: Undos) -> dict[str, object]:
    now = datetime.now(UTC)
    events = []
    for trace in found.events:
        told = dataclasses.asdict(trace)
        for item, job in zip(trace.jobs, told["jobs"], strict=True):
            del job["data"]  # that of the event
            job["undone_by"] = [dataclasses.asdict(u) for u in undos.of.get(item.job_id, ())]
            job["undoes"] = (
                dataclasses.asdict(undos.by[item.job_id]) if item.job_id in undos.by else None
            )
            job["waits_for"] = waits_for(item, daemon.conditions, now, running=daemon.running)
        events.append(told)
    return {
        "asked": found.asked,
        "kind": found.kind,
        "by_name": found.by_name,
        "more": found.more,
        "events": events,
        "disk": None if disk is None else dataclasses.asdict(disk),
    }
