"""``hydrusd plan``: what a run would do, in totals and item by item."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from pathlib import Path

import anyio
import click
from rich.console import Console

from hydrusd.cli._dead import to_json
from hydrusd.cli._failing import print_each
from hydrusd.cli._paths import rules_path, state_path
from hydrusd.cli._stopping import leave_threads_behind
from hydrusd.cli._telling import indented, line, some, subject
from hydrusd.cli._terminal import configure_logs, make_console
from hydrusd.daemon import make_plan, problems_of, read_configuration
from hydrusd.engine import Flow, Plan, PlannedJob, PlannedTrigger, Prediction
from hydrusd.model import OutcomeKind
from hydrusd.redaction import redact_tree

JOBS_SHOWN = 20
REASONS_SHOWN = 5
_RULES_ENDINGS = (".yaml", ".yml")


def show_plan(
    subjects: Sequence[str],
    names: Sequence[str],
    *,
    everything: bool,
    state_dir: Path | None,
    safe_mode: bool,
    as_json: bool,
) -> None:
    """Make the plan and print it."""
    configure_logs(level="error", as_json=as_json)
    rules = None
    if subjects and subjects[0].lower().endswith(_RULES_ENDINGS) and "://" not in subjects[0]:
        rules, subjects = Path(subjects[0]), subjects[1:]
    configuration = read_configuration(rules_path(rules), safe_mode=safe_mode, tolerant=True)
    print_each(problems_of(configuration.rules))

    async def make() -> Plan:
        state = state_path(state_dir)
        return await make_plan(configuration, state, rules=names, subjects=subjects)

    plan = anyio.run(make)
    if as_json:
        click.echo(to_json(as_data(plan)))
        leave_threads_behind()
        return
    console = make_console()
    for name, why in plan.waits.items():
        indented(console, f"Rule {name!r} would wait: {why}", 0)
    for trigger in plan.triggers:
        _tell(console, trigger, everything=everything or bool(subjects))
    for asked, why in plan.unnoticed.items():
        line(console, "Nothing would be noticed of ", asked)
        indented(console, why, 2)
    console.print("Nothing was changed.")
    leave_threads_behind()


# --- for people ------------------------------------------------------------------------------


def _tell(console: Console, trigger: PlannedTrigger, *, everything: bool) -> None:
    for rule in trigger.rules:
        mine = [job for job in trigger.jobs if job.rule == rule]
        jobs = [job for job in mine if not job.passed_over]
        line(console, f"Rule {rule!r}, {some(len(jobs), 'job')}")
        indented(console, f"{trigger.name}: {trigger.detail}".rstrip(": "), 2)
        for label, counts in totals(jobs).items():
            told = ", ".join(f"{count:,} {what}" for what, count in counts.items())
            indented(console, f"{label}: {told}", 2)
        passed = Counter(job.passed_over for job in mine if job.passed_over)
        for reason, count in passed.most_common(REASONS_SHOWN):
            indented(console, f"passed over: {count:,}, {reason}", 2)
        if (more := len(passed) - REASONS_SHOWN) > 0:
            indented(console, f"passed over for {some(more, 'more reason')}", 2)
        shown = mine if everything else jobs[:JOBS_SHOWN]
        for job in shown:
            _tell_job(console, job)
        if (more := len(jobs) - len(shown)) > 0:
            console.print(f"  … and {some(more, 'more job')}; --all shows them")
        console.print()


def _tell_job(console: Console, job: PlannedJob) -> None:
    line(console, "  ", subject(job.event.data))
    if job.passed_over:
        indented(console, f"passed over: {job.passed_over}", 4)
        return
    for step in job.steps:
        indented(console, f"{step.name}: {_told(step)}", 4)
        for each in step.foreseen.diff if step.foreseen is not None else ():
            indented(console, each, 6)
    if job.ending is OutcomeKind.SKIPPED:
        indented(console, "the job ends there", 4)
    elif job.ending is OutcomeKind.DEAD:
        indented(console, f"dead letter{'' if job.steps else f': {job.ends_why}'}", 4)


def _told(step: Prediction) -> str:
    if step.foreseen is None:
        return f"cannot be foreseen: {step.why}"
    passed = "passed over, " if step.foreseen.outcome is OutcomeKind.PASSED else ""
    return f"{passed}{step.foreseen.detail}"


def totals(jobs: Sequence[PlannedJob]) -> dict[str, Counter[str]]:
    """Count by step what would come of the items, and by the tags (and the like) in the diffs."""
    counts: dict[str, Counter[str]] = {}
    for job in jobs:
        for step in job.steps:
            counted = counts.setdefault(step.name, Counter())
            counted[fate(step)] += 1
            for each in step.foreseen.diff if step.foreseen is not None else ():
                counted[_MARKS[each[0]]] += 1
    dead = sum(job.ending is OutcomeKind.DEAD and not job.steps for job in jobs)
    if dead:
        counts["dead letters before any step"] = Counter({"in all": dead})
    return counts


_MARKS = {"+": "to come (+)", "-": "to go (-)", "=": "there already (=)"}


def fate(step: Prediction) -> str:
    """Say in two words what a step would do with an item."""
    foreseen = step.foreseen
    if foreseen is None:
        return "not foreseen"
    if foreseen.outcome is OutcomeKind.DEAD:
        return "dead letter"
    if foreseen.outcome is OutcomeKind.PASSED:
        return "passed over"
    if issubclass(step.action, Flow):
        return _decided(foreseen.detail) if step.name == "if" else "gone through"
    status = foreseen.values.get("status")
    if step.action.imports and isinstance(status, str):
        return "to import" if foreseen.changes else status
    if foreseen.outcome is OutcomeKind.SKIPPED:
        return "skipped"
    if not foreseen.changes:
        return "nothing to do"
    return "to dispose of" if step.action.disposes else "to do"


def _decided(detail: str) -> str:
    return detail.partition(":")[0]


# --- for programs ----------------------------------------------------------------------------


def as_data(plan: Plan) -> object:
    """Give the whole plan as plain data, without secrets."""
    rules = [rule for trigger in plan.triggers for rule in trigger.rules]
    by_rule = {name: [j for j in plan.jobs if j.rule == name] for name in rules}
    return redact_tree(
        {
            "triggers": [
                {"trigger": t.name, "rules": list(t.rules), "detail": t.detail}
                for t in plan.triggers
            ],
            "waits": dict(plan.waits),
            "unnoticed": dict(plan.unnoticed),
            "totals": {
                name: {
                    s: dict(c) for s, c in totals([j for j in jobs if not j.passed_over]).items()
                }
                for name, jobs in by_rule.items()
            },
            "jobs": [_job_as_data(job) for job in plan.jobs],
        }
    )


def _job_as_data(job: PlannedJob) -> dict[str, object]:
    return {
        "rule": job.rule,
        "about": subject(job.event.data),
        "passed_over": job.passed_over,
        "ending": None if job.passed_over or job.ending is None else str(job.ending),
        "why": job.ends_why,
        "changes": job.changes,
        "hash": job.file_hash,
        "steps": [
            {
                "step": step.name,
                "fate": fate(step),
                "detail": _told(step),
                "changes": step.foreseen is not None and step.foreseen.changes,
                "diff": [] if step.foreseen is None else list(step.foreseen.diff),
            }
            for step in job.steps
        ],
    }
