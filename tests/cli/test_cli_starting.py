"""Asking for help is quick, and every way to start hydrusd leads to the same commands."""

from __future__ import annotations

import subprocess
import sys

import pytest

from hydrusd import __version__
from hydrusd.cli import cli

HEAVY = {"PIL", "alembic", "anyio", "httpx", "jinja2", "pydantic", "rich", "sqlalchemy", "yaml"}
COMMANDS = [
    "api",
    "check",
    "dead",
    "demo",
    "explain",
    "fire",
    "ledger",
    "plan",
    "reload",
    "run",
    "runs",
    "schema",
    "setup",
    "simulator",
    "status",
    "test",
    "undo",
]


@pytest.mark.parametrize("arguments", [["--help"], ["--version"], ["run", "--help"]])
def test_asking_for_help_imports_nothing_heavy(arguments):
    script = (
        "import atexit, sys\n"
        "tell = lambda: print('\\nimported:', *{name.partition('.')[0] for name in sys.modules})\n"
        "atexit.register(tell)\n"
        "from hydrusd.cli import main\n"
        f"sys.argv = ['hydrusd', *{arguments!r}]\n"
        "main()\n"
    )
    ended = subprocess.run(
        [sys.executable, "-c", script], capture_output=True, encoding="utf-8", check=True
    )
    imported = set(ended.stdout.rpartition("imported:")[2].split())
    assert {"click", "hydrusd"} <= imported
    assert not imported & HEAVY


def test_the_module_is_the_program(terminal):
    ended = terminal.run("--version")
    assert (ended.returncode, ended.stdout) == (0, f"hydrusd, version {__version__}\n")


def test_help_names_every_command(hydrusd):
    code, printed, _ = hydrusd("--help")
    assert code == 0
    assert sorted(cli.commands) == COMMANDS
    assert all(f"\n  {command} " in printed for command in COMMANDS)


@pytest.mark.parametrize("command", COMMANDS)
def test_the_help_of_a_command_fits_and_tells_the_exit_codes(hydrusd, command):
    code, printed, _ = hydrusd(command, "--help")
    assert code == 0
    assert "Exit codes:" in printed
    assert max(map(len, printed.splitlines())) <= 80


def test_a_command_that_does_not_exist_is_a_mistake_of_the_command_line(hydrusd):
    code, printed, complaints = hydrusd("runn")
    assert (code, printed) == (2, "")
    assert "No such command 'runn'" in complaints
