"""Turns errors into a message and an exit code; nobody should meet a traceback."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from contextlib import contextmanager

import click

from hydrusd.errors import ConfigError, HydrusdError, Problem
from hydrusd.redaction import redact

EXIT_FAILED = 1
EXIT_RULES = 2


@contextmanager
def failing_plainly() -> Iterator[None]:
    """Print what went wrong on standard error and exit with its code."""
    try:
        yield
    except (HydrusdError, ExceptionGroup) as error:
        errors = list(_leaves(error))
        problems = [p for e in errors if isinstance(e, ConfigError) for p in e.problems]
        if problems:
            print_problems(problems)
            sys.exit(EXIT_RULES)
        if not all(isinstance(e, HydrusdError) for e in errors):
            raise
        for text in dict.fromkeys(map(str, errors)):
            click.echo(f"hydrusd: {redact(text)}", err=True)
        sys.exit(EXIT_FAILED)


def print_problems(problems: list[Problem]) -> None:
    """Print all problems of a rules file, and how many there are."""
    for problem in problems:
        click.echo(redact(problem.render()), err=True)
    count = f"{len(problems)} problem{'s' if len(problems) != 1 else ''}"
    click.echo(f"\n{count} found; nothing was done.", err=True)


def _leaves(error: BaseException) -> Iterator[BaseException]:
    # What runs in task groups arrives in groups of one.
    if isinstance(error, BaseExceptionGroup):
        for inner in error.exceptions:
            yield from _leaves(inner)
    else:
        yield error
