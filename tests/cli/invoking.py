"""All of hydrusd, as click's runner for tests wants it."""

from __future__ import annotations

import logging

import structlog
from click.testing import CliRunner

from hydrusd.cli import cli
from hydrusd.cli._failing import failing_plainly


class _Whole:
    """A command that does what ``hydrusd.cli.main`` does, and leaves the logs as they were."""

    name = "hydrusd"

    def main(self, **how):
        root, ours = logging.getLogger(), logging.getLogger("hydrusd")
        before = root.handlers[:], root.level, ours.level
        try:
            with failing_plainly():
                cli.main(**how)
        finally:
            root.handlers[:] = before[0]
            root.setLevel(before[1])
            ours.setLevel(before[2])
            structlog.reset_defaults()


def invoke(*arguments, answers=()):
    """Run a command in this process; ``answers`` are the lines that somebody types."""
    typed = "".join(f"{answer}\n" for answer in answers)
    return CliRunner().invoke(_Whole(), [str(argument) for argument in arguments], input=typed)
