"""`hydrusd plugins`, the commands that plugins add, and help that knows of none of them."""

from __future__ import annotations

import json
import subprocess
import sys

import pytest
from invoking import invoke

from hydrusd.daemon import LEDGER_FILE, PLUGINS_MEMORY
from hydrusd.ledger import Ledger, Memory
from hydrusd.plugin.accounts import Accounts

RULES = f"client: {{url: http://127.0.0.1:1, access_key: {'ab' * 32}}}\nrules: []\n"
GOOD = """\
import click
from hydrusd.plugin import action, hookimpl

@action
def greet(call):
    "Greet."

@click.command("greet-all")
@click.argument("name")
def greet_all(name):
    "Greet everybody."
    click.echo(f"hello {name}")

@hookimpl
def hydrusd_register_commands(register):
    register(greet_all)

@hookimpl
def hydrusd_job_finished(entry):
    pass
"""


@pytest.fixture
def place(tmp_path, monkeypatch):
    (tmp_path / "plugins").mkdir()
    (tmp_path / "plugins" / "good.py").write_text(GOOD, encoding="utf-8")
    (tmp_path / "plugins" / "bad.py").write_text("import no_such_library\n", encoding="utf-8")
    (tmp_path / "rules.yaml").write_text(RULES, encoding="utf-8")
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("COLUMNS", "200")
    monkeypatch.setenv("HYDRUSD_STATE_DIR", str(tmp_path / "state"))
    return tmp_path


def test_it_tells_what_is_loaded_from_where_and_what_was_left_out(place):
    result = invoke("plugins")
    assert result.exit_code == 0
    lines = result.stdout.splitlines()
    start = lines.index(f"good  folder {place / 'plugins' / 'good.py'}")
    assert [line.strip() for line in lines[start + 1 : start + 4]] == [
        "actions: greet",
        "commands: greet-all",
        "observes: hydrusd_job_finished",
    ]
    assert lines[start + 4].strip().startswith("imported in ")
    left = lines.index(f"bad  LEFT OUT  {place / 'plugins' / 'bad.py'}")
    assert lines[left + 1].strip() == (
        "ModuleNotFoundError: No module named 'no_such_library' (bad.py, line 1)"
    )
    assert "add_file" not in result.stdout
    assert lines[-1].endswith("1 left out; author API 1.0")
    assert "hydrusd.builtin.actions  built in" in invoke("plugins", "--all").stdout


def test_it_tells_what_the_last_daemon_has_counted(place):
    accounts = Accounts()
    accounts.called("good", 1200, 3.5)
    accounts.failed("good", "ValueError: no good (good.py, line 7)", 2)
    accounts.hangs("good", 1)
    (place / "state").mkdir()
    ledger = Ledger.open(place / "state" / LEDGER_FILE)
    kept = {"accounts": accounts.told(), "since": "2026-03-01T10:11:12+00:00"}
    ledger.remember(PLUGINS_MEMORY, Memory(PLUGINS_MEMORY, kept))
    ledger.close()
    said = invoke("plugins").stdout
    assert "1,200 calls in 3.5 s; 2 errors; 1 call that never came back" in said
    assert "last error: ValueError: no good (good.py, line 7)" in said
    assert "what they cost is counted since 2026-03-01 10:11 UTC" in said
    told = json.loads(invoke("plugins", "--json").stdout)
    [good] = [plugin for plugin in told["plugins"] if plugin["name"] == "good"]
    assert (good["cost"]["calls"], good["cost"]["hanging"]) == (1200, 1)
    assert told["counted_since"] == "2026-03-01T10:11:12+00:00"


def test_in_safe_mode_all_are_left_out_on_purpose(place):
    told = json.loads(invoke("plugins", "--safe-mode", "--json").stdout)
    assert {plugin["kind"] for plugin in told["plugins"]} == {"built in"}
    left_out = {fault["plugin"]: fault for fault in told["left_out"]}
    assert left_out["good"]["message"] == "hydrusd runs in safe mode"
    assert all(fault["deliberate"] for fault in left_out.values())


@pytest.mark.usefixtures("place")
def test_a_command_of_a_plugin_is_a_command():
    result = invoke("greet-all", "Ann")
    assert (result.exit_code, result.stdout) == (0, "hello Ann\n")
    assert "Greet everybody." in invoke("greet-all", "--help").stdout


@pytest.mark.usefixtures("place")
def test_a_command_that_nobody_has_is_a_mistake():
    result = invoke("greet-none")
    assert result.exit_code == 2
    assert "No such command 'greet-none'" in result.stderr


def test_help_imports_no_plugin(place):
    (place / "plugins" / "loud.py").write_text("raise SystemExit('imported')\n", encoding="utf-8")
    code = (
        "import sys\n"
        "from hydrusd.cli import cli\n"
        "cli(['--help'], standalone_mode=False)\n"
        "assert not [n for n in sys.modules if n.startswith('hydrusd_plugin_')]\n"
        "assert 'hydrusd.plugin' not in sys.modules\n"
    )
    done = subprocess.run([sys.executable, "-c", code], cwd=place, capture_output=True, check=True)
    assert b"hydrusd plugins" in done.stdout
