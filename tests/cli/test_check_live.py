"""``hydrusd check --live`` meets the clients and folders before the rules do."""

from __future__ import annotations

import json
import os

import pytest

from hydrusd.simulator import DEFAULT_ACCESS_KEY, Permissions, Simulator, SimulatorConfig

KEY = DEFAULT_ACCESS_KEY
SMALL = "ab" * 32

RULES = """\
client:
  url: {url}
  access_key: {key}
rules:
  - name: r
    on:
      watch_folder: {{path: in, include: ["*.jpg"]}}
    do:
      - add_file:
      - add_tags:
          my tags: [a]
          my tagz: [b]
      - set_rating: {{service: favourites, rating: 4}}
      - archive_file:
      - trash_source:
"""


@pytest.fixture(scope="module")
def url():
    config = SimulatorConfig(
        access_keys={
            KEY: Permissions(permits_everything=True),
            SMALL: Permissions(name="small", basic=frozenset({1, 3})),
        }
    )
    with Simulator(config) as simulator, simulator.serve() as url:
        yield url


@pytest.fixture
def look(hydrusd, tmp_path):
    """Check a file; gives the exit code and all that was found."""
    (tmp_path / "in").mkdir()

    def look(url, key=KEY, rules=RULES, options=()):
        (tmp_path / "rules.yaml").write_text(rules.format(url=url, key=key), encoding="utf-8")
        code, printed, complaints = hydrusd("check", "--live", "--json", *options)
        assert complaints == ""
        assert key not in printed
        return code, json.loads(printed)

    return look


def places(found, severity):
    return [(p["line"], p["column"], p["message"]) for p in found if p["severity"] == severity]


def test_services_are_told_at_their_own_keys(look, url):
    code, found = look(url)
    assert code == 2
    (service, rating) = places(found, "error")
    assert service[:2] == (12, 11)
    assert service[2].startswith("no tag service is called 'my tagz'")
    assert rating[:2] == (13, 43)
    assert "          my tagz: [b]" in [each["excerpt"] for each in found]


def test_a_missing_permission_is_told_at_the_step(look, url):
    code, found = look(url, key=SMALL)
    assert code == 2
    lacks = [place for place in places(found, "error") if "the access key lacks" in place[2]]
    assert [line for line, _, _ in lacks] == [10, 13]
    assert lacks[0][2] == "add_tags: the access key lacks 'edit file tags'"


BRANCHING = """\
client:
  url: {url}
  access_key: {key}
rules:
  - name: r
    on: {{watch_folder: {{path: in}}}}
    do:
      - add_file:
      - if: file.size > 9
        do: [add_tags: {{my tags: a}}]
      - add_tags: {{my tags: b}}
"""


def test_a_permission_that_only_some_ways_need_is_doubted(look, url):
    message = "add_tags: the access key lacks 'edit file tags'"
    in_a_branch, _, _ = BRANCHING.rpartition("      - add_tags")
    code, found = look(url, key=SMALL, rules=in_a_branch)
    assert code == 0
    assert (10, 14, f"{message}: what comes here waits") in places(found, "warning")


def test_a_permission_that_each_way_needs_is_wrong_wherever_it_is_needed(look, url):
    message = "add_tags: the access key lacks 'edit file tags'"
    code, found = look(url, key=SMALL, rules=BRANCHING)
    assert code == 2
    assert {(10, 14, message), (11, 9, message)} <= {*places(found, "error")}


def test_how_a_folder_is_watched_is_told(look, tmp_path, url):
    (tmp_path / "in" / "a.jpg").write_bytes(b"a")
    (tmp_path / "in" / "b.txt").write_bytes(b"b")
    _, found = look(url)
    [note] = places(found, "note")
    assert note[:2] == (7, 22)
    assert note[2].startswith(f"{tmp_path / 'in'} is watched by ")
    assert note[2].endswith("; 1 file there")
    assert sorted(each.name for each in (tmp_path / "in").iterdir()) == ["a.jpg", "b.txt"]


def test_patterns_that_match_nothing_of_what_is_there_are_doubted(look, tmp_path, url):
    (tmp_path / "in" / "b.txt").write_bytes(b"b")
    _, found = look(url)
    assert places(found, "warning") == [(7, 32, "`include` matches nothing of what is there now")]


def test_a_folder_that_is_away_is_told(look, tmp_path, url):
    (tmp_path / "in").rmdir()
    code, found = look(url)
    assert code == 2
    missing = f"{tmp_path / 'in'} does not exist; create it or correct `path`"
    assert (7, 22, missing) in places(found, "error")


def test_a_folder_that_cannot_be_changed_is_told(look, tmp_path, url, monkeypatch):
    # Who may change everything, as root may, has no such folder: the system's word stands in.
    closed, may = tmp_path / "in", os.access
    monkeypatch.setattr(os, "access", lambda path, mode: path != closed and may(path, mode))
    _, found = look(url)
    told = f"nothing can be taken out of {closed}"
    assert (15, 9, told) in places(found, "error")


def test_a_client_that_is_away_is_told_at_its_address(look, free_port):
    code, found = look(f"http://127.0.0.1:{free_port}")
    assert code == 2
    [(line, column, message)] = places(found, "error")
    assert (line, column) == (2, 8)
    assert message.startswith("cannot connect to ")


def test_a_wrong_key_is_told(look, url):
    code, found = look(url, key="cd" * 32)
    assert code == 2
    [(line, column, _)] = places(found, "error")
    assert (line, column) == (2, 8)


def test_people_read_which_client_answered(hydrusd, tmp_path, url):
    (tmp_path / "in").mkdir()
    text = RULES.replace("          my tagz: [b]\n", "")
    text = "\n".join(line for line in text.splitlines() if "set_rating" not in line)
    (tmp_path / "rules.yaml").write_text(text.format(url=url, key=KEY), encoding="utf-8")
    code, printed, complaints = hydrusd("check", "--live")
    assert (code, complaints) == (0, "")
    assert printed.splitlines()[0] == "rules.yaml: 1 rule, no problems"
    assert f"  hydrus: Hydrus v682, Client API 95 at {url}" in printed
    assert "  line 7: " in printed


def test_a_client_that_cannot_tell_that_it_is_idle_is_told_at_the_key(look):
    rules = """\
client: {{url: "{url}", access_key: {key}}}
rules:
  - name: r
    on: manual
    allowed:
      days: [sat]
      client_idle: true
    do: [log: {{message: x}}]
"""
    with Simulator(SimulatorConfig(api_version=32)) as simulator, simulator.serve() as url:
        code, found = look(url, rules=rules)
    assert code == 2
    [(line, column, message)] = places(found, "error")
    assert (line, column) == (7, 7)
    assert "since Client API 92" in message
