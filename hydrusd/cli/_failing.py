"""Turns errors into a message and an exit code; nobody should meet a traceback."""

from __future__ import annotations

import sys
import traceback
from collections.abc import Iterator, Sequence
from contextlib import contextmanager

import click

from hydrusd.cli._terminal import plain
from hydrusd.errors import ConfigError, HydrusdError, Problem
from hydrusd.redaction import redact

EXIT_FAILED = 1
EXIT_RULES = 2
_MISTAKE = "hydrusd: this should not have happened; please report it with the lines above."


@contextmanager
def failing_plainly() -> Iterator[None]:
    """Print what went wrong on standard error and exit with its code.

    What hydrusd did not foresee is a mistake of its own: that is told with a traceback,
    which whoever mends it will need, and from which the secrets are removed.
    """
    try:
        yield
    except (Exception, BaseExceptionGroup) as error:  # noqa: BLE001 - the last boundary
        errors = list(_leaves(error))
        if any(isinstance(e, (SystemExit, KeyboardInterrupt)) for e in errors):
            sys.exit(EXIT_FAILED)  # nobody reads any more, or Ctrl-C before there was a handler
        problems = [p for e in errors if isinstance(e, ConfigError) for p in e.problems]
        if problems:
            print_problems(problems)
            sys.exit(EXIT_RULES)
        if not all(isinstance(e, HydrusdError) for e in errors):
            whole = "".join(traceback.format_exception(error))
            click.echo(plain(redact(whole), keep="\n\t") + _MISTAKE, err=True)
            sys.exit(EXIT_FAILED)
        for text in dict.fromkeys(map(str, errors)):
            click.echo(plain(f"hydrusd: {redact(text)}", keep="\n"), err=True)
        sys.exit(EXIT_FAILED)


def print_problems(problems: list[Problem]) -> None:
    """Print all problems of a rules file, and how many there are."""
    print_each(problems)
    click.echo(f"\n{count_of(problems)} found; nothing was done.", err=True)


def print_each(problems: Sequence[Problem]) -> None:
    """Print problems, one after the other."""
    for problem in problems:
        click.echo(plain(redact(problem.render()), keep="\n\t"), err=True)


def count_of(problems: Sequence[Problem]) -> str:
    """Say how many problems there are, and how many that are only doubts."""
    errors = sum(problem.severity == "error" for problem in problems)
    warnings = sum(problem.severity == "warning" for problem in problems)
    counts = [f"{errors or 'no'} problem{'s' if errors != 1 else ''}"]
    if warnings:
        counts.append(f"{warnings} warning{'s' if warnings != 1 else ''}")
    return " and ".join(counts if errors or not warnings else counts[1:])


def _leaves(error: BaseException) -> Iterator[BaseException]:
    # What runs in task groups arrives in groups of one.
    if isinstance(error, BaseExceptionGroup):
        for inner in error.exceptions:
            yield from _leaves(inner)
    else:
        yield error
