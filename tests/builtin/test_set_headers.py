"""Setting headers: only what differs, spelt as the client spells it, values kept to itself."""

from __future__ import annotations

import anyio
import pytest
from pydantic import ValidationError

from hydrusd.builtin.actions.set_headers import HYDRUS_USER_AGENT, SetHeaders
from hydrusd.clock import SystemClock
from hydrusd.errors import ConfigError, PermanentError
from hydrusd.hydrus import HydrusClient
from hydrusd.model import JobId, OutcomeKind, StepRecord
from hydrusd.plugin import Call
from hydrusd.simulator import DEFAULT_ACCESS_KEY, Simulator, SimulatorConfig

SET, SET_USER_AGENT = "/manage_headers/set_headers", "/manage_headers/set_user_agent"
SECRET = "t0ken-nobody-may-see"


class Direct:
    """The action, called for itself."""

    def __init__(self, simulator, url):
        self.simulator = simulator
        self.network = simulator._client.network
        self._url = url

    def headers(self, domain="example.com"):
        return {n: (h.value, h.approved) for n, h in self.network.headers(domain).items()}

    def run(self, headers, domain="example.com", steps=()):
        return self.ask(lambda call: call.action.run(call), headers, domain, steps)

    def plan(self, headers, domain="example.com"):
        [foreseen] = self.ask(lambda call: SetHeaders.plan([call]), headers, domain)
        return foreseen

    def ask(self, what, headers, domain, steps=()):
        action = SetHeaders.model_validate({"domain": domain, "headers": headers})

        async def ask():
            async with HydrusClient(self._url, DEFAULT_ACCESS_KEY) as client:
                await client.connect()
                clock = SystemClock()
                return await what(Call(action, JobId(1), "r", {}, client, clock, steps=steps))

        return anyio.run(ask)


@pytest.fixture
def direct(stage):
    stage, url = stage
    with Simulator() as stage.simulator:
        yield Direct(stage.simulator, url)


@pytest.fixture
def old(stage):
    stage, url = stage
    with Simulator(SimulatorConfig(api_version=32)) as stage.simulator:
        yield Direct(stage.simulator, url)


def test_new_changed_and_removed(direct):
    direct.network.set_header("example.com", "X-Old", "gone", None, None)
    direct.network.set_header("example.com", "Referer", "before", "denied", "mine")
    headers = {
        "User-Agent": "Mozilla/5.0",
        "Referer": "https://example.com/",
        "X-Old": None,
        "X-Never": None,
        "X-Ask": {"value": "1", "approved": "pending", "reason": "asked"},
    }
    outcome = direct.run(headers)
    assert direct.headers() == {
        "Referer": ("https://example.com/", "denied"),
        "User-Agent": ("Mozilla/5.0", "approved"),
        "X-Ask": ("1", "pending"),
    }
    assert direct.network.headers("example.com")["X-Ask"].reason == "asked"
    assert outcome.detail == "User-Agent new, Referer changed, X-Old removed, X-Ask new"
    assert outcome.values == {"changed": ["User-Agent", "Referer", "X-Old", "X-Ask"]}
    assert outcome.receipt == {
        "domain": "example.com",
        "headers": {
            "User-Agent": None,
            "Referer": {"approved": "denied", "reason": "mine"},
            "X-Old": {"approved": "approved", "reason": "Set by Client API"},
            "X-Ask": None,
        },
    }
    writes = direct.simulator.requests[SET]
    again = direct.run(headers)
    assert (again.detail, again.receipt["headers"]) == ("all is as it should be", {})
    assert direct.simulator.requests[SET] == writes


def test_approval_changes_beside_a_value_that_does_not(direct):
    """Hydrus overlooks it, where the value is sent along."""
    direct.run({"A": "1"})
    direct.run({"A": {"value": "1", "approved": "denied", "reason": "no"}})
    assert direct.headers() == {"A": ("1", "denied")}
    assert direct.network.headers("example.com")["A"].reason == "no"
    direct.run({"A": {"approved": "approved"}})
    assert direct.headers() == {"A": ("1", "approved")}


def test_a_header_has_one_spelling(direct):
    direct.network.set_header("example.com", "user-agent", "old", None, None)
    outcome = direct.run({"User-Agent": "new"})
    assert direct.headers() == {"user-agent": ("new", "approved")}
    assert outcome.receipt["headers"]["user-agent"]["value"] == "old"


def test_the_user_agent_for_all_websites_and_back(direct):
    direct.run({"User-Agent": "Mozilla/5.0"}, None)
    assert direct.headers("")["User-Agent"][0] == "Mozilla/5.0"
    back = direct.run({"User-Agent": None}, None)
    assert direct.headers("")["User-Agent"][0] == HYDRUS_USER_AGENT
    assert back.detail == "User-Agent as Hydrus has it"
    assert back.receipt["headers"]["User-Agent"]["value"] == "Mozilla/5.0"
    resets = direct.simulator.requests[SET_USER_AGENT]
    assert direct.run({"User-Agent": None}, None).detail == "all is as it should be"
    assert direct.simulator.requests[SET_USER_AGENT] == resets == 1


def test_what_does_not_exist_cannot_be_approved_and_nothing_is_sent(direct):
    with pytest.raises(PermanentError, match="there is no header X-New yet: it needs a value"):
        direct.run({"A": "1", "X-New": {"approved": "approved"}})
    assert direct.headers() == {}
    assert "X-New" in direct.plan({"X-New": {"approved": "approved"}}).detail


def test_secrets(direct, monkeypatch, tmp_path):
    monkeypatch.setenv("TOKEN", SECRET)
    outcome = direct.run({"Authorization": {"secret": "Bearer ${env:TOKEN}"}})
    assert direct.headers() == {"Authorization": (f"Bearer {SECRET}", "approved")}
    assert SECRET not in f"{outcome}"
    monkeypatch.setenv("TOKEN", f"an0ther-{SECRET}")
    outcome = direct.run({"authorization": {"secret": "Bearer ${env:TOKEN}"}})
    assert outcome.detail == "Authorization changed"
    assert SECRET not in f"{outcome}"
    action = SetHeaders.model_validate({"headers": {"A": {"secret": "${env:TOKEN}"}}})
    assert SECRET not in repr(action)
    monkeypatch.delenv("TOKEN")
    with pytest.raises(PermanentError, match="TOKEN is not set"):
        direct.run({"A": {"secret": "${env:TOKEN}"}})
    (tmp_path / "token").write_text(f"{SECRET}\nmore", encoding="utf-8")
    with pytest.raises(PermanentError, match="holds a line break") as caught:
        direct.run({"A": {"secret": f"${{file:{tmp_path / 'token'}}}"}})
    assert SECRET not in str(caught.value)
    assert "A" not in direct.headers()


def test_a_repeated_run_keeps_what_was_before_the_first(direct):
    direct.network.set_header("example.com", "User-Agent", "ours", None, None)
    earlier = {"domain": "example.com", "headers": {"User-Agent": None}}
    steps = [StepRecord(0, "set_headers", OutcomeKind.DONE, "", {}, earlier)]
    outcome = direct.run({"User-Agent": "new", "B": "1"}, steps=steps)
    assert outcome.receipt["headers"] == {"User-Agent": None, "B": None}


def test_planning_tells_the_truth_and_writes_nothing(direct):
    headers = {"A": "1", "B": None}
    foreseen = direct.plan(headers)
    assert (foreseen.changes, foreseen.detail) == (True, "A new")
    assert foreseen.values == {"changed": ["A"]}
    assert direct.headers() == {}
    direct.run(headers)
    assert not direct.plan(headers).changes
    assert direct.simulator.requests[SET] == 1


def test_what_a_restart_lost_is_found_out(direct):
    lost = lambda: direct.ask(lambda call: SetHeaders.lost([call]), {"A": "1"}, "example.com")  # noqa: E731
    direct.run({"A": "1"})
    assert lost() == []
    direct.simulator.crash()
    assert len(lost()) == 1


def test_an_old_client_can_be_given_a_user_agent(old):
    outcome = old.run({"user-agent": "Mozilla/5.0"}, None)
    assert old.network.headers("")["User-Agent"].value == "Mozilla/5.0"
    assert outcome.receipt is None
    assert old.plan({"User-Agent": None}, None).changes
    old.run({"User-Agent": None}, None)
    assert old.network.headers("")["User-Agent"].value == HYDRUS_USER_AGENT
    assert old.simulator.requests[SET_USER_AGENT] == 2


@pytest.mark.parametrize(
    ("headers", "why"),
    [
        ({}, "at least 1"),
        ({"a b": "1"}, "is no name of a header"),
        ({"A": "1", "a": "2"}, "named twice"),
        ({"A": {}}, "says nothing"),
        ({"A": {"approved": "maybe"}}, "approved"),
        ({"A": {"valeu": "1"}}, "valeu"),
        ({"A": "a\r\nX: y"}, "line break"),
        ({"A": "\N{SNOWMAN}"}, "a character that a header cannot"),
        ({"A": "Bearer ${env:X}"}, "must not refer to a secret"),
        ({"A": {"secret": "${environ:X}"}}, "no kind of secret"),
        ({"A": {"secret": "abcdef"}}, "must not stand in a rules file"),
        ({"A": {"secret": "{{ file.name }} ${env:X}"}}, "must not hold a template"),
        ({"A": {"secret": "${env:X}", "value": "1"}}, "both a value and a secret"),
    ],
)
def test_wrong_parameters(headers, why):
    with pytest.raises(ValidationError, match=why):
        SetHeaders.model_validate({"headers": headers})


@pytest.mark.parametrize(
    ("written", "meant"),
    [("*.Example.COM", "example.com"), ("Nas.Example:8080", "nas.example:8080"), ("{{ x }}",) * 2],
)
def test_a_port_is_a_part_of_the_domain(written, meant):
    assert SetHeaders.model_validate({"domain": written, "headers": {"A": "1"}}).domain == meant


@pytest.mark.parametrize("written", ["nas:8080", "a.b:", "a.b:x", "a.b:123456", "https://a.b", ""])
def test_what_is_no_domain(written):
    with pytest.raises(ValidationError, match="is no domain"):
        SetHeaders.model_validate({"domain": written, "headers": {"A": "1"}})


RULES = """
client: {url: '{url}', access_key: '{access_key}', commit_wait: 100ms}
rules:
  - name: dress
    on: {startup: {}}
    do:
      - set_headers:
          domain: example.com
          headers:
            DNT: 1
            X-Rule: "{{ rule.name }} 5"
            Authorization: {secret: "${env:TOKEN}"}
            X-Gone:
"""


def test_from_a_rule(project, monkeypatch, caplog, capfd):
    monkeypatch.setenv("TOKEN", SECRET)
    made = project({"rules.yaml": RULES})
    made.simulator._client.network.set_header("example.com", "X-Gone", "old-" + SECRET, None, None)
    made.run(jobs=1).assert_success()
    headers = made.simulator._client.network.headers("example.com")
    assert {name: header.value for name, header in headers.items()} == {
        "DNT": "1",
        "X-Rule": "dress 5",
        "Authorization": SECRET,
    }
    written = capfd.readouterr()
    kept = b"".join(path.read_bytes() for path in made.state_dir.rglob("*") if path.is_file())
    assert SECRET.encode() not in kept
    assert SECRET not in caplog.text + written.out + written.err + made.story() + repr(made.jobs)


def test_from_a_rule_with_a_secret_that_is_not_there(project, monkeypatch):
    monkeypatch.delenv("TOKEN", raising=False)
    with pytest.raises(ConfigError, match="the environment variable TOKEN is not set"):
        project({"rules.yaml": RULES}).run()


def test_from_a_rule_on_a_client_that_is_too_old(project, monkeypatch):
    monkeypatch.setenv("TOKEN", SECRET)
    made = project({"rules.yaml": RULES}, SimulatorConfig(api_version=32))
    with pytest.raises(ConfigError, match="headers need Client API ≥ 43, this client speaks 32"):
        made.run()


def test_a_file_that_is_called_like_a_secret_gives_none_away(project, monkeypatch):
    monkeypatch.setenv("TOKEN", SECRET)
    rules = RULES.replace("startup: {}", "watch_folder: {path: inbox, settle: 50ms}")
    made = project({"rules.yaml": rules.replace("{{ rule.name }}", "{{ file.name }}")})
    made.drop("inbox/${env:TOKEN}.jpg").run()
    [letter] = made.dead_letters
    assert "must not refer to a secret" in letter.detail
    assert SECRET not in letter.detail
    assert made.simulator._client.network.headers("example.com") == {}
