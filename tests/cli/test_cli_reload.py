"""`hydrusd reload` and SIGHUP, with a daemon of its own process."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys

import pytest
from terminals import ON_WINDOWS

SECOND = """
  - name: second
    on: {watch_folder: {path: second, settle: 200ms}}
    do: [add_file]
"""


@pytest.fixture(autouse=True)
def _hangups_count():
    """Daemons inherit what these tests were started with, which may be `nohup`."""
    if ON_WINDOWS:
        yield
        return
    before = signal.signal(signal.SIGHUP, signal.SIG_DFL)
    yield
    signal.signal(signal.SIGHUP, before)


@pytest.fixture
def running(terminal):
    """A daemon whose client is away: reading rules has nothing to do with that."""
    terminal.write_rules()
    daemon = terminal.start("run")
    daemon.wait_for("started with 1 rule")
    return daemon


def add(terminal, text):
    rules = terminal.folder / "rules.yaml"
    rules.write_text(rules.read_text(encoding="utf-8") + text, encoding="utf-8")


def test_the_daemon_answers_what_has_changed_or_is_wrong(terminal, running):
    done = terminal.run("reload")
    assert (done.returncode, done.stdout) == (0, "nothing has changed\n")
    add(terminal, SECOND)
    done = terminal.run("reload", "--json")
    assert done.returncode == 0
    assert json.loads(done.stdout)["taken"] is True
    add(terminal, SECOND.replace("second", "third").replace("add_file", "add_fil"))
    done = terminal.run("reload")
    assert done.returncode == 2
    assert "rule 'third' is left out: there is no action 'add_fil'" in done.stderr
    assert done.stderr.endswith("1 problem found; the other rules are in force.\n")
    add(terminal, "nonsense: [\n")
    done = terminal.run("reload")
    assert done.returncode == 2
    status = terminal.run("status").stdout
    assert "rule third: invalid since" in status
    assert "rules rules.yaml: not taken since" in status
    assert done.stdout == ""
    assert done.stderr.endswith("hydrusd goes on by the rules that it had.\n")
    assert running.stop() == 0
    done = terminal.run("reload")
    assert done.returncode == 1
    assert "hydrusd is not running" in done.stderr


def test_what_a_run_would_leave_out_is_told_beforehand(terminal):
    terminal.write_rules()
    add(terminal, SECOND.replace("add_file", "add_fil"))
    done = terminal.run("check")
    assert done.returncode == 2
    assert done.stderr.endswith("1 problem found; `hydrusd run` leaves invalid rules out.\n")
    assert done.stdout.endswith("\n  second: invalid\n")


@pytest.mark.skipif(ON_WINDOWS, reason="Windows has no SIGHUP; `hydrusd reload` is its other half")
def test_a_hangup_is_a_wish_to_read_the_rules_again(terminal, running):
    running.process.send_signal(signal.SIGHUP)
    running.wait_for("was read again: nothing has changed")
    assert running.stop() == 0


@pytest.mark.skipif(ON_WINDOWS, reason="Windows ends the programs of a terminal that is closed")
def test_a_terminal_that_is_closed_stops_the_daemon(terminal):
    terminal.write_rules()
    leader, follower = os.openpty()
    process = subprocess.Popen(
        [sys.executable, "-c", ON_A_TERMINAL, os.ttyname(follower)],
        cwd=terminal.folder,
        env=terminal.environment,
        start_new_session=True,
        stdin=subprocess.DEVNULL,
    )
    try:
        heard = b""
        while b"started with 1 rule" not in heard:
            heard += os.read(leader, 4096)
        os.close(follower)
        os.close(leader)
        assert process.wait(10) == 0
    finally:
        process.kill()
        process.wait()


# The first terminal that the leader of a session opens is the one whose closing it is told of.
ON_A_TERMINAL = """
import os, sys
terminal = os.open(sys.argv[1], os.O_RDWR)
for stream in (0, 1, 2):
    os.dup2(terminal, stream)
os.execv(sys.executable, [sys.executable, "-m", "hydrusd", "run"])
"""
