"""``hydrusd dead``: what gave up, why, and what a person can do about it."""

from __future__ import annotations

import dataclasses
import json
import re
from collections.abc import Sequence
from contextlib import closing
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Protocol

import click
from rich.console import Console

from hydrusd.cli._paths import rules_path, state_path
from hydrusd.cli._telling import facts, indented, line, receipt_in_words, subject, took, when
from hydrusd.cli._terminal import configure_logs, make_console, plain
from hydrusd.daemon import LEDGER_FILE, Configuration, read_configuration
from hydrusd.engine import CompiledStep, compile_rule
from hydrusd.errors import ConfigError, ExpressionError, HydrusdError
from hydrusd.ledger import DeadLetter, History, JobTrace, Ledger, StepTrace
from hydrusd.model import JobState, StepRecord
from hydrusd.redaction import redact, redact_tree
from hydrusd.rules import entry_at, rule_from_definition

ADVICE = (
    (
        r"`if` cannot be judged",
        "mend the rule's `if` (`hydrusd check` reads it), start hydrusd anew, then retry",
    ),
    (
        r"limits: per_run",
        (
            "look whether the rule means so many (`hydrusd dead --rule NAME` lists them); retry "
            "lets them run, and a higher `limits: per_run` those of the next time"
        ),
    ),
    (
        r"service is called|there is no .*service",
        (
            "make that service in Hydrus (services > manage services), or name one that it has in "
            "the rule and start hydrusd anew; then retry"
        ),
    ),
    (
        r"^(?:GET|HEAD|POST|PUT|PATCH|DELETE) \S+ → \d{3}",
        (
            "see what the server says, mend the address or what is sent to it, start hydrusd anew, "
            "then retry"
        ),
    ),
    (
        r"^(?:exit code \d|killed by signal)|not over within",
        (
            "run the command by hand with the parameters above to see what ails it; mend it or "
            "the rule, then retry"
        ),
    ),
    (
        r"after rendering|is undefined|: there is no '|template|two keys",
        (
            "mend the template in this step (`hydrusd check` reads it; the event above shows what "
            "it can use), start hydrusd anew, then retry"
        ),
    ),
    (
        r"older form of the rule|no longer allows",
        (
            "retry: it begins again under the rule as it is now; what the rules file no longer "
            "allows has to be allowed first"
        ),
    ),
    (
        r"no rule .* that is `on: manual`",
        "make a rule of that name with `on: manual`, start hydrusd anew, then retry",
    ),
    (
        r"permission|may not \"|access key",
        (
            "tick the permission for hydrusd's access key in Hydrus (services > review services > "
            "client api), then retry"
        ),
    ),
    (r"needs Client API", "update Hydrus, or take this step out of the rule, then retry"),
    (
        r"Hydrus' import options refuse it",
        "Hydrus' import options (size, type, …) keep it out: change them and retry, or drop it",
    ),
    (
        r"Hydrus cannot import it|Hydrus ignored it",
        (
            "look at the file in another program: a damaged one has to be had anew, a kind that "
            "Hydrus does not know will not go in; then drop it"
        ),
    ),
    (
        r"changed since|is gone|is away|not there|no longer (?:there|exists)|does not exist",
        (
            "put the file back where it was and retry; a file that is there in another form is "
            "noticed by itself, and this one can be dropped"
        ),
    ),
    (
        r"there is no file to|is not a file|no URL|give `url`",
        (
            "the rule asks a step to work on what its trigger does not notice: mend the rule, then "
            "drop this"
        ),
    ),
    (
        r"No space left|disk is full|Read-only|Permission denied|cannot be (?:read|writ)",
        (
            "see to it that the user who runs hydrusd can read and write there, and that the disk "
            "has room; then retry"
        ),
    ),
    (
        r"→ 4(?:00|04|06|16|26)\]|refuses",
        (
            "Hydrus understood and refused: compare its words with the parameters above, mend the "
            "rule, start hydrusd anew, then retry"
        ),
    ),
    (
        r"→ (?:409|419|422|429|5\d\d)\]|failed at it|makes no sense",
        "Hydrus failed at it every time: look into its log (help > debug), restart it, then retry",
    ),
    (
        r"the action failed with|did not say how it ended|gave an outcome",
        "the action itself is at fault: update its plugin or tell its author the error, then retry",
    ),
)
"""What to try next, by what is in the error: the first that fits counts."""
OTHERWISE = "mend what the error names, then retry; or drop it"


def advice(error: str, job: int) -> str:
    """Say what to try next."""
    fitting = (text for pattern, text in ADVICE if re.search(pattern, error))
    ways = f"`hydrusd dead retry {job}`, `hydrusd dead drop {job}`"
    return f"{next(fitting, OTHERWISE)} ({ways})"


# --- list ------------------------------------------------------------------------------------


def list_dead(state_dir: Path | None, *, rule: str | None, limit: int, as_json: bool) -> None:
    """Print the newest dead letters."""
    with closing(History.open(state_path(state_dir) / LEDGER_FILE)) as history:
        letters = history.dead(limit + 1, rule=_storable(rule))
    more, letters = len(letters) > limit, letters[:limit]
    if as_json:
        click.echo(to_json([dataclasses.asdict(letter) for letter in letters]))
        return
    console = make_console()
    if not letters:
        console.print("No dead letters.")
        return
    for letter in letters:
        tell_dead(console, letter)
    if more:
        console.print(f"These are the newest {limit}; --limit shows more.")
    console.print("`hydrusd dead show JOB` tells all of one, and what to try next.")


def tell_dead(console: Console, letter: DeadLetter) -> None:
    """Print what a dead letter is about, and why it is one."""
    name = plain(letter.rule)
    told = " · ".join(filter(None, (name, letter.action, when(letter.ended_at))))
    line(console, f"  {letter.job_id}  ", told)
    line(console, "      ", subject(letter.data))
    tries = f" (tried {letter.attempts} times)" if letter.attempts > 1 else ""
    indented(console, f"{letter.detail}{tries}", 6)


def to_json(found: object) -> str:
    """Give what was found as JSON, without secrets."""
    return redact(json.dumps(redact_tree(found), indent=2, default=_text))


def _text(value: Any) -> str:
    return value.isoformat() if isinstance(value, datetime) else str(value)


# --- show ------------------------------------------------------------------------------------


def show_dead(
    job_id: int, *, state_dir: Path | None, rules_file: Path | None, as_json: bool
) -> None:
    """Print all that is known of a dead letter, and what to try next."""
    with closing(History.open(state_path(state_dir) / LEDGER_FILE)) as history:
        trace = history.about_job(job_id)
        item = next((j for j in trace.jobs if j.job_id == job_id), None) if trace else None
        definition = history.definition(item.rule, item.revision) if item else None
    if trace is None or item is None:
        raise HydrusdError(f"there is no job {job_id}")
    if item.state is not JobState.DEAD:
        raise HydrusdError(
            f"job {job_id} is no dead letter: it is {item.state} (see `hydrusd explain {job_id}`)"
        )
    rendered, why = _rendered(item, definition, rules_file)
    written = _written(item, definition) if why else None
    if as_json:
        found = dataclasses.asdict(item) | {
            "trigger": trace.trigger,
            "noticed_at": trace.noticed_at,
            "parameters": rendered,
            "parameters_missing": why,
            "written": written,
            "next": advice(item.detail, job_id),
        }
        click.echo(to_json(found))
        return
    console = make_console()
    line(console, f"job {job_id} of rule ", f"{item.rule!r} at revision {item.revision}")
    tries = f", tried {item.attempt} times" if item.attempt > 1 else ""
    line(console, f"  gave up {when(item.finished_at)}{tries}")
    console.print("error")
    indented(console, item.detail, 2)
    line(console, "event ", f"{trace.trigger}, noticed {when(trace.noticed_at)}")
    for fact in facts(item.data):
        line(console, "  ", fact)
    if item.steps:
        console.print("steps")
        for each in item.steps:
            tell_step(console, each, 2, own=item.file_hash)
    console.print("parameters")
    for fact in [why] if why else facts(rendered) or ["none"]:
        indented(console, fact, 2)
    if written:
        console.print("as written in the rule")
        for fact in facts(written):
            indented(console, fact, 2)
    console.print("next")
    indented(console, advice(item.detail, job_id), 2)


def tell_step(console: Console, each: StepTrace, columns: int, *, own: str | None) -> None:
    """Print how a step went, and what it changed; ``own`` is the file that the job is about."""
    timing = took(each.seconds)
    start = f"{each.position + 1} {each.action}: {each.outcome}" + (f", {timing}" if timing else "")
    indented(console, f"{start} · {each.detail}" if each.detail else start, columns)
    for fact in receipt_in_words(each.receipt, own=own):
        indented(console, f"changed: {fact}", columns + 4)


def _rendered(
    item: JobTrace, definition: str | None, rules_file: Path | None
) -> tuple[object, str]:
    """Render the parameters of the failed step as it saw them, or say why that cannot be done."""
    if not item.steps or item.steps[-1].position < item.step:
        return None, "it gave up before any step"
    if definition is None:
        return None, "not known: the ledger has not kept the rule as it was"
    configure_logs(level="error")
    try:
        configuration = read_configuration(
            rules_path(rules_file), resolve_secrets=False, tolerant=True
        )
        return redact_tree(_render(item, definition, configuration)), ""
    except ConfigError as error:
        problem = error.problems[0]
        return None, f"not rendered, as the rules cannot be read: {problem.message}"
    except ExpressionError as error:
        return None, f"they cannot be rendered: {error}"


def _written(item: JobTrace, definition: str | None) -> object:
    """Give what the rule said where it gave up: its condition, or its step; None if unknown."""
    try:
        said = json.loads(definition or "")
        if item.steps:
            return redact_tree(entry_at(said["do"], item.step))
        return redact_tree({"if": said["if"]}) if said["if"] is not None else None
    except (ValueError, LookupError, TypeError):
        return None


def _render(item: JobTrace, definition: str, configuration: Configuration) -> object:
    folder = configuration.rules.file.parent.absolute()
    spec = rule_from_definition(item.rule, definition, configuration.vocabulary, folder=folder)
    rule = compile_rule(spec, configuration.expressions, folder)
    before = [
        StepRecord(s.position, s.action, s.outcome, s.detail, s.values, s.receipt)
        for s in item.steps
        if s.position < item.step
    ]
    step = rule.steps[item.step]
    if not isinstance(step, CompiledStep):
        raise ExpressionError(f"{step.name} has no parameters")
    return {step.name: step.rendered(rule.context(item.data, before, item.step))}


# --- retry and drop --------------------------------------------------------------------------


def retry_dead(
    jobs: Sequence[int],
    *,
    rule: str | None,
    everything: bool,
    state_dir: Path | None,
    as_json: bool,
) -> None:
    """Put dead letters back to work and say how many."""
    path = _ledger_path(jobs, rule, state_dir, everything=everything)
    _change(path, Ledger.retry, "put back to work", jobs, rule, as_json=as_json)


def drop_dead(
    jobs: Sequence[int],
    *,
    rule: str | None,
    everything: bool,
    yes: bool,
    state_dir: Path | None,
    as_json: bool,
) -> None:
    """Let dead letters end for good, once a person has said yes, and say how many."""
    path = _ledger_path(jobs, rule, state_dir, everything=everything)
    if not yes:
        numbers = f"job{'s' if len(jobs) > 1 else ''} {', '.join(map(str, jobs))}"
        every = "all dead letters" + (f" of rule {rule!r}" if rule is not None else "")
        text = f"Drop {numbers if jobs else every}? They stay known, and are not done again."
        click.confirm(plain(text), abort=True, err=True)
    _change(path, Ledger.drop, "dropped", jobs, rule, as_json=as_json)


def _ledger_path(
    jobs: Sequence[int], rule: str | None, state_dir: Path | None, *, everything: bool
) -> Path:
    if sum((bool(jobs), rule is not None, everything)) != 1:
        raise click.UsageError("say which: job numbers, or --rule NAME, or --all")
    path = state_path(state_dir) / LEDGER_FILE
    History.open(path).close()  # a ledger that is not there is not made by asking
    return path


class _Change(Protocol):
    """``Ledger.retry`` or ``Ledger.drop``."""

    def __call__(
        self, ledger: Ledger, now: datetime, /, *, ids: Sequence[int] = (), rule: str | None = None
    ) -> int: ...


def _change(
    path: Path, change: _Change, told: str, jobs: Sequence[int], rule: str | None, *, as_json: bool
) -> None:
    now = datetime.now(UTC)
    with closing(Ledger.open(path, exclusive=False)) as ledger:
        # One by one, to be able to say which of them were none.
        changed = {job: change(ledger, now, ids=[job]) for job in dict.fromkeys(jobs)}
        count = sum(changed.values()) if jobs else change(ledger, now, rule=_storable(rule))
    wrong = [job for job, found in changed.items() if not found]
    if as_json:
        click.echo(to_json({"jobs": count, "no_dead_letters": wrong}))
    elif count or not (jobs or rule is not None):
        click.echo(f"{count} job{'s' if count != 1 else ''} {told}")
    if wrong:
        numbers = ", ".join(map(str, wrong))
        raise HydrusdError(f"no dead letter has the number {numbers} (see hydrusd dead)")
    if rule is not None and not count:
        raise HydrusdError(f"there are no dead letters of a rule {rule!r} (see hydrusd dead)")


def _storable(rule: str | None) -> str | None:
    # A command line may hold what is no Unicode; no rule is called so.
    return rule if rule is None else rule.encode(errors="replace").decode()
