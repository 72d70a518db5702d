"""``hydrusd check``."""

from __future__ import annotations

import dataclasses
import json
import sys
import threading
from collections.abc import Sequence
from pathlib import Path
from typing import Literal

import click

from hydrusd.cli._failing import EXIT_RULES, count_of, print_each
from hydrusd.cli._paths import rules_path
from hydrusd.cli._stopping import leave_threads_behind
from hydrusd.cli._telling import some
from hydrusd.cli._terminal import configure_logs, plain
from hydrusd.daemon import Configuration, read_configuration
from hydrusd.errors import ConfigError, Problem
from hydrusd.redaction import redact

Format = Literal["text", "json", "sarif"]


def check_rules(
    rules: Path | None, *, safe_mode: bool, live: bool, strict: bool, form: Format
) -> None:
    """Print all problems and doubts, or that there are none."""
    configure_logs(level="warning", as_json=form != "text")
    found: Configuration | None = None
    clients: Sequence[str] = ()
    path = None
    before = threading.enumerate()
    try:
        path = rules_path(rules)
        found = read_configuration(
            path, safe_mode=safe_mode, resolve_secrets=live, doubting=True, tolerant=True
        )
        problems = [*found.warnings, *(p for rule in found.rules.invalid for p in rule.problems)]
        if live:
            more, clients = _look_around(found)
            problems += more
        problems.sort(key=lambda p: (p.file, p.line, p.column))
    except ConfigError as error:
        problems = list(error.problems)
    if form == "json":
        click.echo(json.dumps([dataclasses.asdict(problem) for problem in problems], indent=2))
    elif form == "sarif":
        from hydrusd.cli._sarif import sarif

        click.echo(json.dumps(sarif(problems), indent=2))
    else:
        _tell(path, found, problems, clients)
    stopping = {"error", "warning"} if strict else {"error"}
    code = EXIT_RULES if any(each.severity in stopping for each in problems) else 0
    if live:
        leave_threads_behind(code, besides=before)
    if code:
        sys.exit(code)


def _look_around(found: Configuration) -> tuple[Sequence[Problem], Sequence[str]]:
    import anyio

    from hydrusd.preflight import look_around

    preflight = anyio.run(look_around, found)
    return preflight.problems, preflight.clients


def _tell(
    path: Path | None,
    found: Configuration | None,
    problems: Sequence[Problem],
    clients: Sequence[str],
) -> None:
    wrong = [problem for problem in problems if problem.severity != "note"]
    print_each(wrong)
    errors = [problem for problem in wrong if problem.severity == "error"]
    invalid = found.rules.invalid if found is not None else ()
    if errors:
        outcome = "`hydrusd run` leaves invalid rules out" if invalid else "nothing was done"
        click.echo(f"\n{count_of(wrong)} found; {outcome}.", err=True)
    if found is None:
        return
    what = "" if errors else f", {count_of(wrong)}"
    tests = f", {some(len(found.rules.tests), 'test')}" if found.rules.tests else ""
    click.echo(plain(f"{path}: {some(len(found.rules.rules), 'rule')}{tests}{what}"))
    for rule in found.rules.rules:
        off = "" if rule.enabled else " (not enabled)"
        steps = " → ".join(step.action for step in rule.steps)
        click.echo(plain(f"  {rule.name}: {rule.trigger} → {steps}{off}"))
    for left_out in invalid:
        click.echo(plain(f"  {left_out.name}: invalid"))
    for line in clients:
        click.echo(plain(redact(f"  {line}")))
    for problem in problems:
        if problem.severity == "note":
            click.echo(plain(redact(f"  line {problem.line}: {problem.message}")))
