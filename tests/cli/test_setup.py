"""``hydrusd setup``: ends with a client that answers and rules that load, or with advice."""

from __future__ import annotations

import importlib.util
import os
import stat
import subprocess
import sys
from types import ModuleType

import anyio
import platformdirs
import pytest
from invoking import invoke

from hydrusd.cli import _setup
from hydrusd.daemon import read_configuration
from hydrusd.hydrus import HydrusClient, Permission, Service
from hydrusd.simulator import (
    DEFAULT_ACCESS_KEY,
    Fault,
    FaultKind,
    Permissions,
    Simulator,
    SimulatorConfig,
)

KEY = DEFAULT_ACCESS_KEY
SMALL = "ab" * 32
UNKNOWN = "ef" * 32


@pytest.fixture
def api_version():
    return 95


@pytest.fixture
def simulator(api_version):
    config = SimulatorConfig(
        api_version=api_version,
        access_keys={
            KEY: Permissions(permits_everything=True),
            SMALL: Permissions(name="small", basic=frozenset({1, 3})),
        },
    )
    with Simulator(config) as simulator:
        yield simulator


@pytest.fixture
def url(simulator):
    with simulator.serve() as url:
        yield url


@pytest.fixture
def rules(tmp_path, monkeypatch):
    """Where the rules shall be."""
    (tmp_path / "here").mkdir()
    monkeypatch.chdir(tmp_path / "here")
    usual = tmp_path / "config"
    monkeypatch.setattr(platformdirs, "user_config_path", lambda _: usual)
    return tmp_path / "mine" / "rules.yaml"


class PeopleClock:
    """A clock on which each wait is the time in which somebody does the next thing."""

    def __init__(self):
        self.elapsed = 0.0
        self.doings = []

    def monotonic(self):
        return self.elapsed

    async def sleep(self, seconds):
        self.elapsed += seconds
        if self.doings:
            self.doings.pop(0)()


@pytest.fixture
def clock(monkeypatch):
    clock = PeopleClock()
    monkeypatch.setattr(_setup, "SystemClock", lambda: clock)
    return clock


@pytest.fixture
def setup(rules, clock):
    def setup(*options, answers=()):
        return invoke("setup", *options, answers=answers)

    return setup


@pytest.fixture
def keyring(monkeypatch):
    """A keyring that is there."""
    entries = {}
    module, errors = ModuleType("keyring"), ModuleType("keyring.errors")
    errors.KeyringError = RuntimeError
    module.get_password = lambda service, user: entries.get((service, user))

    def set_password(service, user, value):
        entries[service, user] = value

    module.set_password = set_password
    module.__spec__ = importlib.util.spec_from_loader("keyring", None)
    monkeypatch.setitem(sys.modules, "keyring", module)
    monkeypatch.setitem(sys.modules, "keyring.errors", errors)
    module.entries = entries
    return module


def held_by(configuration):
    """Give what the key of a rules file is allowed."""
    spec = configuration.rules.clients["hydrus"]

    async def ask():
        async with HydrusClient(spec.url, spec.access_key.get_secret_value()) as client:
            return (await client.connect()).permissions

    return anyio.run(ask)


def key_file(folder, key=KEY):
    path = folder / "given.txt"
    path.write_text(f"{key}\n", encoding="utf-8")
    return path


def test_a_key_asked_for_and_approved(setup, clock, simulator, url, rules):
    clock.doings = [
        lambda: None,
        simulator.open_permission_dialog,
        lambda: None,
        simulator.approve_permissions,
    ]
    result = setup("--rules-file", rules, answers=[url, "y", "file"])
    assert result.exit_code == 0, result.output
    assert "add > from api request" in result.output
    configuration = read_configuration(rules)
    assert held_by(configuration) == {
        Permission.IMPORT_FILES,
        Permission.EDIT_TAGS,
        Permission.SEARCH_FILES,
        Permission.MANAGE_DATABASE,
    }
    key = configuration.rules.clients["hydrus"].access_key.get_secret_value()
    assert key not in result.output
    assert not configuration.host.faults
    [rule] = configuration.rules.rules
    assert [step.action for step in rule.steps] == ["add_file", "add_tags"]
    assert rule.steps[1].raw == {"my tags": ["from:inbox"]}
    assert f"hydrusd run {rules}" in result.output
    if os.name == "posix":
        kept = rules.parent / "hydrus-key.txt"
        assert stat.S_IMODE(kept.stat().st_mode) == 0o600
        assert "access_key: ${file:hydrus-key.txt}" in rules.read_text(encoding="utf-8")


@pytest.mark.parametrize("api_version", [32, 11])
def test_without_questions_and_of_old_clients(setup, clock, simulator, url, api_version, tmp_path):
    clock.doings = [simulator.open_permission_dialog, simulator.approve_permissions]
    result = setup("--yes", "--url", url)
    assert result.exit_code == 0, result.output
    configuration = read_configuration(tmp_path / "config" / "rules.yaml")
    # That client cannot be told to commit: there is nothing to be allowed.
    assert held_by(configuration) == {
        Permission.IMPORT_FILES,
        Permission.EDIT_TAGS,
        Permission.SEARCH_FILES,
    }
    assert result.output.endswith("Then: hydrusd run\n")


def test_only_what_the_rules_need_is_asked_for(setup, clock, simulator, url, rules):
    text = (
        f"client: {{url: '{url}', access_key: '${{env:NOWHERE}}'}}\n"
        "rules:\n"
        "  - {name: a, on: {watch_folder: {path: a}}, do: [add_file: ]}\n"
        "  - {name: b, enabled: false, on: {watch_folder: {path: a}}, do: [add_tags: {my tags: x}]}"
    )
    rules.parent.mkdir()
    rules.write_text(text, encoding="utf-8")
    clock.doings = [simulator.open_permission_dialog, simulator.approve_permissions]
    result = setup("--yes", "--rules-file", rules)
    assert result.exit_code == 0, result.output
    assert rules.read_text(encoding="utf-8") == text
    assert "edit file tags" not in result.output
    assert "access_key: ${file:" in result.output
    folder = rules.parent if os.name == "posix" else platformdirs.user_config_path("hydrusd")
    rules.write_text(
        text.replace("${env:NOWHERE}", f"${{file:{folder / 'hydrus-key.txt'}}}"), encoding="utf-8"
    )
    assert held_by(read_configuration(rules)) == {
        Permission.IMPORT_FILES,
        Permission.SEARCH_FILES,
        Permission.MANAGE_DATABASE,
    }


@pytest.mark.parametrize(
    ("names", "chosen"),
    [
        (("downloader tags", "my tags"), "my tags"),
        (("downloader tags", 'mine: "#1" \\ ü'), '"mine: \\"#1\\" \\\\ ü"'),
        (("downloader tags",), '"downloader tags"'),
        (("same", "same"), '"00"'),
        (("{{ x }}",), '"00"'),
        ((), ""),
    ],
)
def test_the_tag_service_of_the_first_rule(names, chosen):
    services = [Service(name, f"{number:02}", 5) for number, name in enumerate(names)]
    assert _setup._tag_service(services) == chosen


def test_rules_that_say_all_already(setup, url, rules, tmp_path):
    options = ("--yes", "--url", url, "--key-file", key_file(tmp_path), "--rules-file", rules)
    assert setup(*options).exit_code == 0
    before = {path: path.read_bytes() for path in rules.parent.iterdir()}
    result = setup(*options)
    assert result.exit_code == 0, result.output
    assert "has the same client and key already" in result.output
    assert {path: path.read_bytes() for path in rules.parent.iterdir()} == before


def test_rules_that_are_wrong_end_it_before_anything_is_done(setup, simulator, url, rules):
    rules.parent.mkdir()
    rules.write_text("rules: []\n", encoding="utf-8")
    result = setup("--yes", "--url", url, "--rules-file", rules)
    assert result.exit_code == 2
    assert "'client' is missing" in result.output
    assert not simulator.requests


def test_keys_that_exist_are_left_alone(setup, url, rules, tmp_path):
    folder = rules.parent if os.name == "posix" else platformdirs.user_config_path("hydrusd")
    folder.mkdir()
    (folder / "hydrus-key.txt").write_text(SMALL, encoding="utf-8")
    result = setup("--yes", "--url", url, "--key-file", key_file(tmp_path), "--rules-file", rules)
    assert result.exit_code == 0, result.output
    assert (folder / "hydrus-key.txt").read_text(encoding="utf-8") == SMALL
    assert (folder / "hydrus-key-2.txt").read_text(encoding="utf-8") == f"{KEY}\n"
    assert read_configuration(rules).rules.clients["hydrus"].access_key.get_secret_value() == KEY


def test_a_pasted_key(setup, simulator, url, rules):
    simulator.inject(Fault(kind=FaultKind.STATUS, path="/session_key", status=403))
    answers = [url, "n", "too short", UNKNOWN, KEY, "env"]
    result = setup("--rules-file", rules, answers=answers)
    assert result.exit_code == 0, result.output
    assert "it has 64 digits, 0-9 and a-f, not 9" in result.output
    assert "the client refuses this access key" in result.output
    assert "Set the environment variable HYDRUS_ACCESS_KEY" in result.output
    assert "Show the new key" not in result.output
    assert KEY not in result.output
    assert UNKNOWN not in result.output
    assert "access_key: ${env:HYDRUS_ACCESS_KEY}" in rules.read_text(encoding="utf-8")


@pytest.mark.parametrize("shown", [True, False])
def test_a_new_key_for_the_environment_is_shown_if_asked_for(
    setup, clock, simulator, url, rules, shown, monkeypatch
):
    clock.doings = [simulator.open_permission_dialog, simulator.approve_permissions]
    offered = []
    offer = simulator._client.access.offer
    monkeypatch.setattr(
        simulator._client.access, "offer", lambda p: offered.append(offer(p)) or offered[-1]
    )
    answers = [url, "y", "env", "y" if shown else "n"]
    result = setup("--rules-file", rules, answers=answers)
    assert result.exit_code == 0, result.output
    [key] = offered
    assert result.output.count(key) == shown
    assert key not in rules.read_text(encoding="utf-8")


def test_the_keyring(setup, keyring, url, rules, tmp_path):
    keyring.entries["hydrusd", "access-key"] = SMALL
    given = key_file(tmp_path)
    result = setup("--url", url, "--key-file", given, "--rules-file", rules, answers=["keyring"])
    assert result.exit_code == 0, result.output
    assert keyring.entries == {
        ("hydrusd", "access-key"): SMALL,
        ("hydrusd", "access-key-2"): KEY,
    }
    assert read_configuration(rules).rules.clients["hydrus"].access_key.get_secret_value() == KEY


def test_a_keyring_that_does_not_work(setup, keyring, url, rules, tmp_path):
    def refuse(*_):
        raise RuntimeError(KEY)

    keyring.set_password = refuse
    options = ("--url", url, "--key-file", key_file(tmp_path), "--rules-file", rules)
    result = setup(*options, "--store", "keyring")
    assert result.exit_code == 1
    assert "the keyring cannot be used (RuntimeError)" in result.output
    assert not rules.exists()
    result = setup(*options, answers=["keyring", "keyring", "file"])
    assert result.exit_code == 0, result.output
    assert "'keyring' is not one of 'file', 'env'" in result.output
    assert KEY not in result.output


def test_without_a_keyring(setup, url, rules, tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "keyring", None)
    options = ("--url", url, "--key-file", key_file(tmp_path), "--rules-file", rules)
    result = setup(*options, "--store", "keyring")
    assert result.exit_code == 1
    assert "pip install hydrusd[keyring]" in result.output
    assert "(file, env)" in setup(*options, answers=["file"]).output


def test_what_the_key_lacks_is_said(setup, url, rules, tmp_path):
    result = setup(
        "--yes", "--url", url, "--key-file", key_file(tmp_path, SMALL), "--rules-file", rules
    )
    assert result.exit_code == 0, result.output
    lacking = result.output.partition("lacks")[2].splitlines()[1:3]
    assert lacking == ["  edit file tags", "  manage database"]


def test_nobody_opens_the_window(setup, clock, url, rules):
    result = setup("--yes", "--url", url, "--rules-file", rules)
    assert result.exit_code == 1
    assert "the window was not opened within 5 minutes" in result.output
    assert clock.elapsed == 300
    assert not rules.exists()


def test_nobody_approves(setup, clock, simulator, url, rules):
    simulator.open_permission_dialog()
    result = setup("--yes", "--url", url, "--rules-file", rules)
    assert result.exit_code == 1
    assert "was not approved within 5 minutes" in result.output
    assert clock.elapsed == 300
    assert not rules.parent.exists()


def test_addresses_that_lead_nowhere(setup, url, rules, tmp_path):
    given = key_file(tmp_path)
    answers = ["hello", "http://127.0.0.1:9", "http://192.0.2.1", "n", url, "file"]
    result = setup("--key-file", given, "--rules-file", rules, answers=answers)
    assert result.exit_code == 0, result.output
    assert "not the address of a Hydrus client: 'hello'" in result.output
    assert "cannot connect to http://127.0.0.1:9" in result.output
    assert "Is Hydrus running" in result.output
    assert "plain http to another machine (192.0.2.1)" in result.output
    for wrong, code in (("hello", 2), ("http://127.0.0.1:9", 1), ("http://192.0.2.1", 2)):
        assert setup("--yes", "--url", wrong, "--key-file", given).exit_code == code


def test_a_network_that_is_trusted(setup, simulator, rules, tmp_path, monkeypatch):
    # The one way to have another machine here is to forget that this is ours.
    monkeypatch.setattr("hydrusd.hydrus._tls.is_this_machine", lambda _: False)
    given = key_file(tmp_path)
    with simulator.serve() as url:
        result = setup(
            *["--url", url, "--key-file", given, "--rules-file", rules], answers=["y", "file"]
        )
        assert result.exit_code == 0, result.output
        assert read_configuration(rules).rules.clients["hydrus"].allow_plain_http
        rules.unlink()
        options = ("--yes", "--url", url, "--key-file", given, "--rules-file", rules)
        assert setup(*options).exit_code == 2
        assert not rules.exists()
        assert setup(*options, "--allow-plain-http").exit_code == 0
    assert read_configuration(rules).rules.clients["hydrus"].allow_plain_http


def test_what_is_no_key_file(setup, url, rules, tmp_path):
    options = ("--yes", "--url", url, "--rules-file", rules, "--key-file")
    assert setup(*options, key_file(tmp_path, "x")).exit_code == 2
    assert setup(*options, tmp_path / "nowhere").exit_code == 2
    result = setup(*options, key_file(tmp_path, UNKNOWN))
    assert result.exit_code == 1
    assert UNKNOWN not in result.output
    assert not rules.parent.exists()


def test_in_a_process_of_its_own(url, rules, tmp_path):
    def hydrusd(*arguments, typed=""):
        ended = subprocess.run(
            [sys.executable, "-m", "hydrusd", *map(str, arguments)],
            input=typed,
            capture_output=True,
            check=False,
            encoding="utf-8",
            timeout=60,
        )
        assert ended.returncode == 0, ended.stdout + ended.stderr
        assert KEY not in ended.stdout + ended.stderr
        assert ended.stderr == ""

    hydrusd("setup", "--rules-file", rules, typed=f"{url}\nn\n{KEY}\nfile\n")
    hydrusd("check", rules)
    assert read_configuration(rules).rules.clients["hydrus"].access_key.get_secret_value() == KEY
    other = tmp_path / "other.yaml"
    options = ("--rules-file", other, "--yes", "--url", url, "--key-file", "-")
    hydrusd("setup", *options, typed=f"{KEY}\n")
    assert read_configuration(other).rules.clients["hydrus"].access_key.get_secret_value() == KEY
