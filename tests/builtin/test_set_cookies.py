"""Sending cookies: only what changed, nothing that is dead, and never a value in a text."""

from __future__ import annotations

import json
import os
import time

import anyio
import pytest
from pydantic import ValidationError

from hydrusd.builtin.actions.set_cookies import SetCookies
from hydrusd.clock import SystemClock
from hydrusd.errors import ConfigError
from hydrusd.hydrus import HydrusClient
from hydrusd.model import JobId, JobState
from hydrusd.plugin import Call, PermanentError
from hydrusd.simulator import DEFAULT_ACCESS_KEY, Permissions, Simulator, SimulatorConfig

GET, SET = "/manage_cookies/get_cookies", "/manage_cookies/set_cookies"
SET_HEADERS = "/manage_headers/set_headers"
DAY = 86_400
NOW = int(time.time())
LATER = NOW + 100 * DAY
SECRET = "v4lue-nobody-may-see"


def rules(more="domains: [example.com]", source="cookies.txt"):
    return f"""
client: {{url: '{{url}}', access_key: '{{access_key}}', commit_wait: 100ms}}
rules:
  - name: refresh cookies
    on: {{startup: {{}}}}
    do:
      - set_cookies: {{from: '{source}', {more}}}
"""


def row(name, value=SECRET, domain=".example.com", expires=LATER, path="/"):
    below = "TRUE" if domain.startswith(".") else "FALSE"
    return "\t".join([domain, below, path, "TRUE", str(expires), name, value]) + "\n"


def put(made, *rows, name="cookies.txt"):
    """Write a cookie file, some time ago."""
    path = made.folder / name
    path.write_text("".join(rows), encoding="utf-8", newline="")
    os.utime(path, (NOW - 3600, NOW - 3600))
    return made


def network(made):
    return made.simulator._client.network


def held(made, domain="example.com"):
    """The client's cookies, by domain and name."""
    return {(row[2], row[0]): (row[1], row[4]) for row in network(made).cookies(domain)}


def last(made):
    return made.jobs[-1].steps[-1]


class Direct:
    """The action, called for itself."""

    def __init__(self, simulator, url, folder):
        self.simulator = simulator
        self.network = simulator._client.network
        self._url = url
        self._file = folder / "cookies.txt"

    def write(self, rows):
        self._file.write_text("".join(rows), encoding="utf-8", newline="")
        os.utime(self._file, (NOW - 3600, NOW - 3600))

    def run(self, rows, **config):
        self.write(rows)
        return self.ask(lambda call: call.action.run(call), **config)

    def plan(self, **config):
        [foreseen] = self.ask(lambda call: SetCookies.plan([call]), **config)
        return foreseen

    def ask(self, what, **config):
        action = SetCookies.model_validate({"from": self._file, **config})

        async def ask():
            async with HydrusClient(self._url, DEFAULT_ACCESS_KEY) as client:
                await client.connect()
                return await what(Call(action, JobId(1), "a rule", {}, client, SystemClock()))

        return anyio.run(ask)


@pytest.fixture
def direct(stage, tmp_path):
    stage, url = stage
    with Simulator() as stage.simulator:
        yield Direct(stage.simulator, url, tmp_path)


@pytest.fixture
def made(project):
    def make(more="domains: [example.com]", *, rows=(), config=None):
        return put(project({"rules.yaml": rules(more)}, config), *rows)

    return make


@pytest.mark.parametrize("api_version", [95, 32, 11])
def test_cookies_of_the_domains_are_sent(made, api_version):
    rows = (
        row("id"),
        row("www", "w", "www.example.com"),
        row("session", "s", expires=0),
        row("other", "o", ".example.org"),
        row("tail", "t", ".notexample.com"),
    )
    one = made(rows=rows, config=SimulatorConfig(api_version=api_version))
    one.run(jobs=1).assert_success()
    assert held(one) == {
        (".example.com", "id"): (SECRET, LATER),
        ("www.example.com", "www"): ("w", LATER),
        (".example.com", "session"): ("s", None),
    }
    assert held(one, "example.org") == held(one, "notexample.com") == {}
    assert last(one).detail == "3 cookies: 3 new, 0 changed"
    assert last(one).receipt == {
        "new": [
            [".example.com", "/", "id"],
            ["www.example.com", "/", "www"],
            [".example.com", "/", "session"],
        ],
        "changed": [],
        "removed": [],
        "user_agents": {},
    }


def test_without_domains_all_are_sent_but_those_that_cannot_be_asked_about(made):
    one = made(
        "session_cookies: keep", rows=(row("a"), row("b", domain="x.org"), row("c", domain="nas"))
    )
    one.run(jobs=1).assert_success()
    assert set(held(one)) == {(".example.com", "a")}
    assert set(held(one, "x.org")) == {("x.org", "b")}
    assert last(one).detail == "2 cookies: 2 new, 0 changed; left out: 1 of a host without a dot"


def test_only_what_changed_is_sent(made):
    one = made(rows=(row("same"), row("value"), row("expiry"), row("path", path="/a"), row("dot")))
    one.run(jobs=1).assert_success()
    before = one.simulator.requests[SET]
    one.run(jobs=2).assert_success()
    assert one.simulator.requests[SET] == before
    assert last(one).detail == "5 cookies: all are there already"
    assert last(one).receipt["new"] == last(one).receipt["changed"] == []
    put(
        one,
        row("same"),
        row("value", "another"),
        row("expiry", expires=LATER + 1),
        row("path", path="/b"),
        row("dot", domain="example.com"),
    ).run(jobs=3).assert_success()
    assert last(one).detail == "5 cookies: 2 new, 2 changed"
    assert last(one).receipt["changed"] == [
        [".example.com", "/", "value"],
        [".example.com", "/", "expiry"],
    ]
    assert held(one)[".example.com", "value"] == ("another", LATER)
    assert len(network(one).cookies("example.com")) == 7


def test_what_has_expired_is_not_sent(made):
    one = made(rows=(row("dead", expires=NOW - 5), row("ancient", expires=1), row("alive")))
    one.run(jobs=1).assert_success()
    assert set(held(one)) == {(".example.com", "alive")}
    assert last(one).detail == "1 cookie: 1 new, 0 changed; left out: 2 expired"


def test_session_cookies_may_be_left_out(made):
    one = made("session_cookies: drop", rows=(row("s", expires=0), row("p")))
    one.run(jobs=1).assert_success()
    assert set(held(one)) == {(".example.com", "p")}
    assert "left out: 1 without expiry" in last(one).detail


def test_of_two_rows_for_one_cookie_the_last_living_one_counts(made):
    one = made(rows=(row("a", "1"), row("a", "2"), row("a", "3", expires=NOW - 5)))
    one.run(jobs=1).assert_success()
    assert held(one) == {(".example.com", "a"): ("2", LATER)}


def test_an_export_as_json_and_a_name_with_a_template(project):
    made = project({"rules.yaml": rules(source="{{ rule.name }}.json")})
    cookie = {
        "name": "id",
        "value": SECRET,
        "domain": ".example.com",
        "expirationDate": LATER + 0.5,
    }
    put(made, json.dumps([cookie]), name="refresh cookies.json").run(jobs=1).assert_success()
    assert held(made) == {(".example.com", "id"): (SECRET, LATER)}


def test_bad_lines_are_named_and_the_others_sent(made):
    one = made(rows=("# a\n", row("a"), f"example.com\t{SECRET}\n", row("b"), f"{SECRET}\n"))
    one.run(jobs=1).assert_success()
    assert set(held(one)) == {(".example.com", "a"), (".example.com", "b")}
    assert last(one).values["faults"] == [
        "line 3: it has 2 columns, not 7",
        "line 5: it has 1 columns, not 7",
    ]
    assert "not read: line 3: it has 2 columns, not 7; line 5: " in last(one).detail


@pytest.mark.parametrize("delete_missing", [False, True])
@pytest.mark.parametrize(
    ("rows", "why"),
    [
        ((), "is empty"),
        (("# Netscape HTTP Cookie File\n",), "holds no cookies"),
        ((row("a", domain=".example.org"),), "there is no cookie of example.com in .*cookies.txt"),
        ((row("a", expires=NOW - 5),), "that can be sent: 1 expired"),
    ],
)
def test_where_there_is_nothing_to_send_nothing_is_touched(direct, delete_missing, rows, why):
    direct.network.set_cookie(("kept", "x", ".example.com", "/", LATER))
    with pytest.raises(PermanentError, match=why):
        direct.run(rows, domains="example.com", delete_missing=delete_missing)
    assert [cookie[0] for cookie in direct.network.cookies("example.com")] == ["kept"]
    assert direct.simulator.requests[SET] == 0


def test_a_missing_file_is_waited_for(made):
    one = made()
    (one.folder / "cookies.txt").unlink()
    one.run(until=lambda made: any(job.steps for job in made.jobs))
    assert one.jobs[0].state is JobState.READY
    assert "there is no file" in last(one).detail


def test_missing_cookies_are_removed_where_the_rule_says_so(made):
    rows = (row("a"), row("dead", expires=NOW - 5), row("s", expires=0))
    more = "domains: [example.com, shop.example.org], delete_missing: true, session_cookies: drop"
    one = made(more, rows=rows)
    for name, domain in [
        ("gone", ".example.com"),
        ("gone", "www.example.com"),
        ("dead", ".example.com"),  # the file has it still
        ("s", ".example.com"),
        ("silent", "shop.example.org"),  # nothing of this one in the file
        ("other", "example.org"),
    ]:
        network(one).set_cookie((name, SECRET, domain, "/", LATER))
    one.run(jobs=1).assert_success()
    assert set(held(one)) == {(".example.com", name) for name in ("a", "dead", "s")}
    assert set(held(one, "example.org")) == {
        ("shop.example.org", "silent"),
        ("example.org", "other"),
    }
    assert "1 new, 0 changed, 2 removed" in last(one).detail
    assert "none to send of shop.example.org" in last(one).detail
    assert last(one).receipt["removed"] == [
        [".example.com", "/", "gone"],
        ["www.example.com", "/", "gone"],
    ]


def test_nothing_is_removed_on_the_word_of_a_damaged_file(made):
    one = made("domains: example.com, delete_missing: true", rows=(row("a"), "what\tis this\n"))
    network(one).set_cookie(("gone", "x", ".example.com", "/", LATER))
    one.run(jobs=1).assert_success()
    assert set(held(one)) == {(".example.com", "a"), (".example.com", "gone")}
    assert "nothing removed, since not all could be read" in last(one).detail


def test_unknown_endings_share_a_session_and_are_kept_apart(made):
    """Hydrus keeps the cookies of all hosts in one place whose ending nobody registered."""
    one = made("domains: [one.lan], delete_missing: true", rows=(row("a", domain="one.lan"),))
    network(one).set_cookie(("b", "x", "two.lan", "/", LATER))
    one.run(jobs=1).assert_success()
    one.run(jobs=2).assert_success()
    assert ("two.lan", "b") in {**held(one, "one.lan"), **held(one, "two.lan")}
    assert one.simulator.requests[SET] == 1


def test_a_warning_before_a_cookie_dies(made, caplog, capfd):
    rows = (row("id", expires=NOW + 3 * DAY + 7200), row("ad", expires=NOW + 7200), row("x"))
    one = made("warn_before: 7d, warn_names: [id, x]", rows=rows)
    one.run(jobs=1).assert_success()
    [soon] = last(one).values["expiring"]
    assert (soon["domain"], soon["name"], soon["days_left"]) == (".example.com", "id", 3)
    assert "'id' of .example.com expires at 20" in last(one).detail
    written = capfd.readouterr()
    assert "expires at" in caplog.text + written.out + written.err
    assert SECRET not in caplog.text + written.out + written.err


def test_the_user_agent_goes_to_each_domain_once(made):
    agent = "Mozilla/5.0 (X11; rv:140.0) Gecko/20100101 Firefox/140.0"
    more = f"domains: [example.com, example.org], user_agent: '{agent}'"
    one = made(more, rows=(row("a"),))
    network(one).set_header("example.org", "user-agent", "old", None, None)
    one.run(jobs=1).assert_success()
    assert {n: h.value for n, h in network(one).headers("example.com").items()} == {
        "User-Agent": agent
    }
    assert {n: h.value for n, h in network(one).headers("example.org").items()} == {
        "user-agent": agent
    }
    assert last(one).receipt["user_agents"] == {"example.com": None, "example.org": "old"}
    assert "User-Agent of example.com, example.org" in last(one).detail
    before = one.simulator.requests[SET_HEADERS]
    one.run(jobs=2).assert_success()
    assert one.simulator.requests[SET_HEADERS] == before


def test_a_client_too_old_for_the_user_agent_is_told_at_once(made):
    one = made(
        "domains: example.com, user_agent: x",
        rows=(row("a"),),
        config=SimulatorConfig(api_version=32),
    )
    with pytest.raises(ConfigError, match="needs Client API ≥ 43, this client speaks 32"):
        one.run(jobs=1)
    assert held(one) == {}


@pytest.mark.parametrize(
    ("more", "why"),
    [
        ({"domains": ["localhost"]}, "is no domain"),
        ({"domains": ["https://example.com"]}, "is no domain"),
        ({"domains": [""]}, "is no domain"),
        ({"delete_missing": True}, "'delete_missing' needs 'domains'"),
        ({"user_agent": "x"}, "'user_agent' needs 'domains'"),
        ({"domains": "e.com", "user_agent": "a\nb"}, "line break"),
        ({"domains": "e.com", "user_agent": "\u2028"}, "a character that a header cannot"),
        ({"session_cookies": "maybe"}, "session_cookies"),
    ],
)
def test_wrong_parameters(more, why):
    with pytest.raises(ValidationError, match=why):
        SetCookies.model_validate({"from": "cookies.txt", **more})


def test_a_problem_is_shown_in_its_line(made):
    with pytest.raises(ConfigError, match=r"rules.yaml:\d+:\d+: 'domains\[1\]' is no domain"):
        made("domains: [localhost]").run()


@pytest.mark.parametrize("domain", ["*.Example.COM", ".example.com", "EXAMPLE.com."])
def test_a_domain_may_be_written_in_several_ways(direct, domain):
    outcome = direct.run([row("a"), row("b", domain="www.example.com")], domains=[domain])
    assert outcome.detail == "2 cookies: 2 new, 0 changed"


def test_a_key_without_the_permission_parks_the_rule(made):
    keys = {DEFAULT_ACCESS_KEY: Permissions(name="few", basic=frozenset({1, 6}))}
    one = made(rows=(row("a"),), config=SimulatorConfig(access_keys=keys))
    one.run(until=lambda made: any(c.kind == "rule" and c.reason for c in made.conditions))
    [reason] = [c.reason for c in one.conditions if c.kind == "rule"]
    assert "manage cookies and headers" in reason


def test_what_a_restart_lost_is_sent_again_and_stays_in_the_receipt(project):
    keys = {DEFAULT_ACCESS_KEY: Permissions(name="few", basic=frozenset({5}))}
    made = project(
        {"rules.yaml": rules().replace("commit_wait: 100ms", "commit_wait: 500ms")},
        SimulatorConfig(access_keys=keys, commit_seconds=3600),
    )
    put(made, row("a"), row("b"))
    lost = []

    def over(made):
        if not lost and any(job.state is JobState.SETTLING for job in made.jobs):
            lost.append(set(held(made)))
            put(made, row("b"), row("c"))
            made.simulator.crash()
        return any(job.state is JobState.DONE for job in made.jobs)

    made.run(until=over)
    assert lost == [{(".example.com", "a"), (".example.com", "b")}]
    assert set(held(made)) == {(".example.com", "b"), (".example.com", "c")}
    assert [row[2] for row in last(made).receipt["new"]] == ["a", "b", "c"]


def test_planning_tells_the_truth_and_writes_nothing(direct):
    foreseen = direct.plan(domains="example.com")
    assert not foreseen.changes
    assert "there is no file" in foreseen.detail
    direct.write([row("a"), row("b", expires=NOW - 5)])
    foreseen = direct.plan(domains="example.com", user_agent="x")
    assert foreseen.changes
    assert (
        foreseen.detail
        == "1 cookie: 1 new, 0 changed, User-Agent of example.com; left out: 1 expired"
    )
    assert foreseen.values["new"] == 1
    assert direct.simulator.requests[SET] == direct.simulator.requests[SET_HEADERS] == 0
    assert direct.network.cookies("example.com") == []
    done = direct.run([row("a"), row("b", expires=NOW - 5)], domains="example.com", user_agent="x")
    assert done.detail == foreseen.detail
    writes = direct.simulator.requests[SET]
    foreseen = direct.plan(domains="example.com", user_agent="x")
    assert not foreseen.changes
    assert foreseen.detail == "1 cookie: all are there already; left out: 1 expired"
    assert direct.simulator.requests[SET] == writes


def test_values_are_in_nothing_that_is_kept_or_written(made, caplog, capfd):
    """Short ones too, which redaction would not hide: nothing relies on it."""
    secrets = [SECRET, "~zq7", "J" * 300, "Zz;=%&"]
    rows = [row(f"n{number}", value) for number, value in enumerate(secrets)]
    rows += [f"broken\t{secrets[1]}\n", row("dead", secrets[0], expires=5)]
    more = "domains: example.com, delete_missing: true, warn_before: 1000d"
    one = made(more, rows=rows)
    network(one).set_cookie(("there", "old-v4lue~", ".example.com", "/", LATER))
    one.run(jobs=1).assert_success()
    put(one, *(row(f"n{number}", value) for number, value in enumerate(secrets[1:]))).run(jobs=2)
    one.assert_success()
    put(one, row("x", secrets[1], ".example.org")).run(jobs=3)
    assert one.dead_letters
    written = capfd.readouterr()
    kept = b"".join(path.read_bytes() for path in one.state_dir.rglob("*") if path.is_file())
    told = (
        caplog.text + written.out + written.err + one.story() + repr(one.jobs) + repr(one.finished)
    )
    for secret in [*secrets, "old-v4lue~"]:
        assert secret.encode() not in kept
        assert secret not in told
