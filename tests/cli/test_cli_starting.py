"""Asking for help is quick, and every way to start hydrusd leads to the same commands."""

from __future__ import annotations

import subprocess
import sys

import pytest

from hydrusd import __version__
from hydrusd.cli import cli
from hydrusd.ledger import Ledger

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
    "plugin",
    "plugins",
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


RULES = """
client: {url: "http://127.0.0.1:9", access_key: "%s"}
rules:
  - name: import
    on: {watch_folder: {path: inbox}}
    if: file.size > 1 * KB
    do: [add_file, {move_source: {to: moved}}]
"""
TELLING = """
import pathlib, signal, sys
from hydrusd.plugin import hookimpl

@hookimpl
def hydrusd_started(rules, clients):
    (pathlib.Path(__file__).parent / "loaded").write_text("\\n".join(sys.modules))
    signal.raise_signal(signal.SIGINT)
"""


def test_a_daemon_loads_nothing_that_only_others_need(tmp_path):
    (tmp_path / "plugins").mkdir()
    (tmp_path / "inbox").mkdir()
    (tmp_path / "rules.yaml").write_text(RULES % ("0" * 64), encoding="utf-8")
    (tmp_path / "plugins" / "telling.py").write_text(TELLING, encoding="utf-8")
    Ledger.open(tmp_path / "state" / "ledger.sqlite").close()  # or its tables are made first
    command = [sys.executable, "-m", "hydrusd", "run", "rules.yaml", "--state-dir", "state"]
    subprocess.run(command, check=True, cwd=tmp_path, timeout=60, capture_output=True)
    loaded = set((tmp_path / "plugins" / "loaded").read_text(encoding="utf-8").split())
    assert "hydrusd.builtin.triggers.watch_folder" in loaded
    unwanted = {
        "PIL",
        "alembic",
        "apscheduler",
        "hydrusd.rehearsal",
        "hydrusd.simulator",
        "hydrusd.testing",
        "pygments",
        "regex",
        "rich",
        "send2trash",
        "sqlalchemy.dialects.postgresql",
        "sqlalchemy.orm",
        "starlette",
        "uvicorn",
    }
    assert sorted(unwanted & loaded) == []
