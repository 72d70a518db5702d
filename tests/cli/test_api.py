"""``hydrusd api``: what a client holds, told without secrets and without harm to a terminal."""

from __future__ import annotations

import json
import subprocess
import sys

import anyio
import pytest
from invoking import invoke

from hydrusd.cli import cli
from hydrusd.hydrus import Cookie, HydrusClient
from hydrusd.simulator import (
    DEFAULT_ACCESS_KEY,
    Fault,
    FaultKind,
    Permissions,
    Service,
    Simulator,
    SimulatorConfig,
)
from hydrusd.testing import paint

ESCAPE = "\x1b]0;mine\x07"
HOSTILE = f"[bold]{ESCAPE}\nname[/bold]"
SHOWN = "[bold]\\x1b]0;mine\\x07\\nname[/bold]"
COOKIE = "cookie-value-5f1d0c"
LIMITED = "ab" * 32


@pytest.fixture(params=[95, 32, 11])
def api_version(request):
    return request.param


@pytest.fixture
def simulator(api_version):
    config = SimulatorConfig(
        api_version=api_version,
        access_keys={
            DEFAULT_ACCESS_KEY: Permissions(permits_everything=True),
            LIMITED: Permissions(name="small", basic=frozenset({1, 3})),
        },
        extra_services=(Service(HOSTILE, 5),),
    )
    with Simulator(config) as simulator:
        yield simulator


@pytest.fixture
def url(simulator):
    with simulator.serve() as url:
        yield url


@pytest.fixture
def rules(url, tmp_path, monkeypatch):
    """A rules file whose rules are half done."""
    monkeypatch.chdir(tmp_path)
    path = tmp_path / "rules.yaml"
    client = f"client:\n  url: {url}\n  access_key: ${{env:MINE}}\n"
    path.write_text(client + "rules:\n  - name: half\n    do: [what]\n", encoding="utf-8")
    monkeypatch.setenv("MINE", DEFAULT_ACCESS_KEY)
    return path


@pytest.fixture
def api(rules):
    def api(*arguments):
        return invoke("api", *arguments)

    return api


@pytest.fixture
def told(api):
    """Give what a command prints, as text and as JSON."""

    def told(*arguments):
        text, parsed = api(*arguments), api(*arguments, "--json")
        assert text.exit_code == parsed.exit_code == 0, text.output + parsed.output
        for each in (text, parsed):
            assert DEFAULT_ACCESS_KEY not in each.output
            assert all(c == "\n" or c.isprintable() for c in each.output)
        return text.output, json.loads(parsed.output)

    return told


@pytest.fixture
def do(url):
    def do(work):
        async def main():
            async with HydrusClient(url, DEFAULT_ACCESS_KEY) as client:
                await client.connect()
                return await work(client)

        return anyio.run(main)

    return do


@pytest.fixture
def file(do, tmp_path):
    """A file in the client, by its hash."""
    path = tmp_path / "a.png"
    path.write_bytes(paint("a.png"))
    return do(lambda client: client.add_file(path)).hash


def test_info(told, api_version):
    text, found = told("info")
    assert found["api_version"] == api_version
    assert found["name"] == "full"
    assert f"Client API {api_version}" in text
    if api_version == 95:
        assert found["permits_everything"] is True
        assert "may do everything" in text
    assert ("manage popups" in found["permissions"]) == (api_version == 95)


def test_info_of_a_key_that_may_little(told, monkeypatch, api_version):
    monkeypatch.setenv("MINE", LIMITED)
    text, found = told("info")
    words = {95: "import and delete files", 32: "import files", 11: "import files"}[api_version]
    assert words in found["permissions"]
    may, may_not = text.split("and may not")
    assert words in may
    assert "manage pages" in may_not


def test_services(told, api_version):
    text, found = told("services")
    mine = next(s for s in found if s["name"] == "my tags")
    assert mine["kind"] == "local tag domain"
    assert (mine["key"] is None) == (api_version < 21)
    assert HOSTILE in [s["name"] for s in found]
    assert SHOWN in text


def test_search(told, do, file, api_version):
    assert told("search", "system:inbox")[1] == [1]
    assert told("search", "system:inbox", "--limit", "5")[0] == "1\n"
    assert told("search", "system:archive") == ("", [])
    do(lambda c: c.add_tags([file], {"my tags": ["hat"]}))
    assert told("search", "hat", "system:inbox")[1] == [1]
    assert told("search", "system:inbox", "-hat")[1] == []
    if api_version >= 32:
        assert told("search", "hat", "--hashes") == (f"{file}\n", [file])


def test_tags(told, do, file):
    do(lambda c: c.add_tags([file], {"my tags": ["hat", "a[red]\u202eb"]}))
    text, found = told("tags", file, "cd" * 32)
    assert found["cd" * 32] == []
    [mine] = found[file]
    assert mine["service"] == "my tags"
    assert "hat" in mine["current"]
    assert text.startswith(f"{file}\n  my tags\n    a[red]")
    assert "\u202e" not in text
    assert text.endswith(f"{'cd' * 32}\n  no tags\n")


def test_cookies_without_their_values(told, do):
    cookie = Cookie("session", COOKIE, "example.com", "/", 2_000_000_000)
    do(lambda c: c.set_cookies([cookie, Cookie("hm[b]", COOKIE, "example.com")]))
    text, found = told("cookies", "example.com")
    assert {c["name"]: c["expires"] for c in found} == {
        "session": "2033-05-18T03:33:20+00:00",
        "hm[b]": None,
    }
    assert COOKIE not in text + json.dumps(found)
    assert "hm[b]" in text
    assert "with the session" in text


@pytest.mark.parametrize("api_version", [95], indirect=True)
def test_headers(told, do):
    secret = {"Authorization": "abc", "Accept": f"x{ESCAPE}"}
    do(lambda c: c.set_headers(secret, "example.com"))
    text, found = told("headers", "example.com")
    values = {header["name"]: header["value"] for header in found}
    assert values == {"Authorization": None, "Accept": f"x{ESCAPE}"}
    assert "abc" not in text
    assert "(not shown)" in text
    assert "User-Agent" in told("headers")[0]


def test_pages(told):
    text, found = told("pages")
    assert found["kind"] == "page of pages"
    assert found["pages"]
    lines = text.splitlines()
    assert lines[1].startswith("* ")
    assert found["pages"][0]["key"] in lines[2]


@pytest.mark.parametrize("api_version", [95], indirect=True)
def test_popups(told, do):
    assert told("popups") == ("There are none.\n", [])
    made = do(lambda c: c.add_popup(status_title=f"T{ESCAPE}[x]", popup_gauge_1=(3, 7)))
    text, [found] = told("popups")
    assert found["key"] == made.key
    assert text.startswith(f"{made.key}  done 3/7\n  T\\x1b]0;mine\\x07[x]")
    do(lambda c: c.update_popup(made.key, status_text_1="\n".join("abcdefg")))
    text, [found] = told("popups")
    assert text.count("\n") == 6
    assert "more lines" in text
    assert found["text"].splitlines()[-1].strip() != "c"


def test_urls(told, do, file):
    address = "https://example.com/a.png?b=100%25"
    do(lambda c: c.associate_url([file], urls_to_add=[address]))
    text, found = told("urls", address)
    assert found["files"][0]["hash"] == file
    assert found["files"][0]["status"] == "already in database"
    assert file in text
    assert "no files are known" in told("urls", "https://example.com/other")[0]


@pytest.mark.parametrize("api_version", [32], indirect=True)
def test_errors_are_words(api, simulator, monkeypatch):
    result = api("popups")
    assert result.exit_code == 1
    assert "needs Client API ≥ 57, this client speaks 32" in result.output
    monkeypatch.setenv("MINE", LIMITED)
    result = api("pages")
    assert result.exit_code == 1
    assert "manage pages" in result.output
    monkeypatch.setenv("MINE", "ef" * 32)
    result = api("info")
    assert result.exit_code == 1
    assert "the client refuses this access key" in result.output
    assert "ef" * 32 not in result.output
    monkeypatch.setenv("MINE", DEFAULT_ACCESS_KEY)
    simulator.inject(Fault(kind=FaultKind.STATUS, path="/verify_access_key", status=503))
    result = api("info")
    assert result.exit_code == 1
    assert "busy" in result.output
    assert "Traceback" not in result.output


@pytest.mark.parametrize("api_version", [95], indirect=True)
def test_where_the_client_is(api, url, rules, tmp_path, monkeypatch):
    monkeypatch.delenv("HYDRUS_ACCESS_KEY", raising=False)
    result = api("info", "--url", url)
    assert result.exit_code == 2
    assert "HYDRUS_ACCESS_KEY has to hold the access key" in result.output
    monkeypatch.setenv("HYDRUS_ACCESS_KEY", LIMITED)
    assert json.loads(api("info", "--url", url, "--json").stdout)["name"] == "small"
    assert api("info", "--url", url, "--rules", rules).exit_code == 2
    assert api("info", "--url", "hello").exit_code == 2
    result = api("info", "--url", "http://192.0.2.1:45869")
    assert result.exit_code == 2
    assert "plain http to another machine" in result.output
    elsewhere = rules.rename(tmp_path / "other.yaml")
    assert json.loads(api("info", "--rules", elsewhere, "--json").stdout)["name"] == "full"
    result = api("info")
    assert result.exit_code == 2
    assert "there are no rules" in result.output
    elsewhere.write_text("client: {url: http://127.0.0.1:1}\n", encoding="utf-8")
    result = api("info", "--rules", elsewhere)
    assert result.exit_code == 2
    assert "other.yaml:1:1: 'access_key' is missing" in result.output


def test_help_of_all_loads_none_of_them():
    watched = ("hydrusd.cli._api", "hydrusd.cli._setup", "hydrusd.hydrus", "httpx", "rich")
    program = (
        "import sys\nfrom hydrusd.cli import cli\n"
        "try:\n    cli(['--help'])\nexcept SystemExit:\n    pass\n"
        f"print(sorted(set({watched!r}) & set(sys.modules)))\n"
    )
    ended = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, check=True
    )
    assert "api" in ended.stdout
    assert ended.stdout.endswith("[]\n")


def test_every_command_and_option_says_what_it_does():
    result = invoke("api", "--help")
    assert result.exit_code == 0
    group = cli.commands["api"]
    names = group.list_commands(None)
    assert len(names) == 9
    for name in names:
        command = group.get_command(None, name)
        assert name in result.output
        assert command.help
        for parameter in command.params:
            if parameter.param_type_name == "option":
                assert parameter.help, (name, parameter.name)
