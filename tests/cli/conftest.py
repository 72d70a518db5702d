from __future__ import annotations

import logging
import socket
import sys

import pytest
import structlog
from terminals import Terminal

from hydrusd import cli
from hydrusd.ledger import Ledger


@pytest.fixture
def terminal(tmp_path):
    terminal = Terminal(tmp_path)
    yield terminal
    for running in terminal.started:
        if running.process.poll() is None:
            running.process.kill()
        running.process.wait()


@pytest.fixture
def hydrusd(tmp_path, monkeypatch, capsys):
    """Run a command in this process; gives its exit code, what it printed and its complaints."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("HYDRUSD_STATE_DIR", str(tmp_path / "state"))
    monkeypatch.setenv("COLUMNS", "80")
    monkeypatch.delenv("FORCE_COLOR", raising=False)
    root, ours = logging.getLogger(), logging.getLogger("hydrusd")
    before = root.handlers[:], root.level, ours.level

    def run(*arguments):
        monkeypatch.setattr(sys, "argv", ["hydrusd", *map(str, arguments)])
        with pytest.raises(SystemExit) as ending:
            cli.main()
        printed = capsys.readouterr()
        return ending.value.code or 0, printed.out, printed.err

    yield run
    root.handlers[:] = before[0]
    root.setLevel(before[1])
    ours.setLevel(before[2])
    structlog.reset_defaults()


@pytest.fixture
def ledger(tmp_path):
    """A ledger in the state folder, to be filled with dead letters."""
    ledger = Ledger.open(tmp_path / "state" / "ledger.sqlite")
    yield ledger
    ledger.close()


@pytest.fixture
def free_port():
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]
