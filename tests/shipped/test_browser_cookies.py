"""The shipped plugin that reads browsers: real profiles, made here, read by the real yt-dlp."""

from __future__ import annotations

import importlib
import sqlite3
import subprocess
import sys
import time
from http.cookiejar import Cookie as JarCookie

import anyio
import pytest
from pydantic import ValidationError

from hydrusd.clock import SystemClock
from hydrusd.daemon import load_plugins
from hydrusd.hydrus import HydrusClient
from hydrusd.model import JobId
from hydrusd.plugin import Call, PermanentError, TemporaryError
from hydrusd.simulator import DEFAULT_ACCESS_KEY, Simulator

DAY = 86_400
NOW = int(time.time())
LATER = NOW + 100 * DAY
SECRET = "v4lue-nobody-may-see"
SET = "/manage_cookies/set_cookies"

TABLE = """CREATE TABLE moz_cookies (
    id INTEGER PRIMARY KEY, originAttributes TEXT NOT NULL DEFAULT '', name TEXT, value TEXT,
    host TEXT, path TEXT, expiry INTEGER, isSecure INTEGER, isHttpOnly INTEGER)"""


@pytest.fixture(scope="module")
def action():
    return load_plugins([]).actions["set_browser_cookies"]


def firefox(folder, *rows, version=17):
    """Make a profile: rows of name, value, host and expiry in seconds, and the container."""
    folder.mkdir(parents=True, exist_ok=True)
    with sqlite3.connect(folder / "cookies.sqlite") as database:
        database.execute(f"PRAGMA user_version = {version}")
        database.execute(TABLE)
        for name, value, host, expires, *container in rows:
            # Since schema 16 Firefox counts milliseconds.
            expiry = expires * 1000 if version >= 16 else expires
            attributes = f"^userContextId={container[0]}" if container else ""
            database.execute(
                "INSERT INTO moz_cookies (originAttributes, name, value, host, path, expiry,"
                " isSecure, isHttpOnly) VALUES (?, ?, ?, ?, '/', ?, 1, 1)",
                (attributes, name, value, host, expiry),
            )
    database.close()
    return folder


def read(action, **config):
    """Read a profile; the call is not looked at."""
    return action.model_validate({"browser": "firefox", **config}).read(None)


RULES = """
client: {url: '{url}', access_key: '{access_key}', commit_wait: 100ms}
rules:
  - name: refresh cookies
    on: {startup: {}}
    do:
      - set_browser_cookies:
          browser: firefox
          profile: ~/.mozilla/firefox/abc.default
          domains: [example.com]
          warn_before: 7d
"""


def test_cookies_of_a_profile_are_sent_and_only_what_changed(project, monkeypatch, capfd, caplog):
    made = project({"rules.yaml": RULES})
    for variable in ("HOME", "USERPROFILE"):
        monkeypatch.setenv(variable, str(made.folder))
    firefox(
        made.folder / ".mozilla/firefox/abc.default",
        ("id", SECRET, ".example.com", LATER),
        ("soon", "s", "www.example.com", NOW + 2 * DAY + 7200),
        ("dead", "d", ".example.com", NOW - 5),
        ("id", "c0ntained", ".example.com", LATER, 2),
        ("other", "o", ".example.org", LATER),
    )
    made.run(jobs=1).assert_success()
    network = made.simulator._client.network
    assert sorted(network.cookies("example.com")) == [
        ("id", SECRET, ".example.com", "/", LATER),
        ("soon", "s", "www.example.com", "/", NOW + 2 * DAY + 7200),
    ]
    assert network.cookies("example.org") == []
    [step] = made.jobs[0].steps
    assert step.detail.startswith("2 cookies: 2 new, 0 changed; left out: 1 expired; 'soon' of ")
    assert step.values["faults"] == []
    writes = made.simulator.requests[SET]
    made.run(jobs=2).assert_success()
    assert made.simulator.requests[SET] == writes
    written = capfd.readouterr()
    kept = b"".join(path.read_bytes() for path in made.state_dir.rglob("*") if path.is_file())
    for secret in (SECRET, "c0ntained"):
        assert secret.encode() not in kept
        assert secret not in caplog.text + written.out + written.err + made.story()


@pytest.mark.parametrize("version", [15, 16, 17])
def test_expiries_are_seconds_whatever_the_profile_counts(action, tmp_path, version):
    profile = firefox(tmp_path / "p", ("id", "1", "example.com", LATER), version=version)
    [cookie] = read(action, profile=str(profile)).cookies
    assert (cookie.domain, cookie.expires) == ("example.com", LATER)


def test_a_profile_newer_than_yt_dlp_knows_is_read_with_a_warning(action, tmp_path):
    profile = firefox(tmp_path / "p", ("id", "1", "example.com", LATER), version=99)
    found = read(action, profile=str(profile))
    assert len(found.cookies) == 1
    assert len(found.faults) == 1
    assert "99" in found.faults[0]


def test_a_profile_that_is_not_there_is_waited_for(action, tmp_path):
    with pytest.raises(TemporaryError, match=r"there are no cookies of firefox, profile .*nowhere"):
        read(action, profile=str(tmp_path / "nowhere"))


def test_a_profile_that_is_damaged_is_tried_again(action, tmp_path):
    profile = firefox(tmp_path / "p")
    (profile / "cookies.sqlite").write_bytes(b"SQLite format 3\0 and then nothing of use" * 100)
    with pytest.raises(TemporaryError, match="cannot be read"):
        read(action, profile=str(profile))


def test_a_container_that_does_not_exist(action, tmp_path):
    profile = firefox(tmp_path / "p")
    (profile / "containers.json").write_text('{"identities": []}', encoding="utf-8")
    with pytest.raises(PermanentError, match="could not find firefox container"):
        read(action, profile=str(profile), container="Banking")


def test_a_container_by_its_name(action, tmp_path):
    rows = [("out", "1", "e.com", LATER), ("in", "1", "e.com", LATER, 7)]
    profile = firefox(tmp_path / "p", *rows)
    names = '{"identities": [{"name": "Art", "userContextId": 7}]}'
    (profile / "containers.json").write_text(names, encoding="utf-8")
    found = read(action, profile=str(profile), container="Art")
    assert [cookie.name for cookie in found.cookies] == ["in"]


def test_without_yt_dlp_the_way_to_get_it_is_told(action, monkeypatch):
    monkeypatch.setitem(sys.modules, "yt_dlp.cookies", None)
    with pytest.raises(PermanentError, match=r"needs yt-dlp: pip install 'hydrusd\[browser-cook"):
        read(action)


def test_yt_dlp_is_not_loaded_before_it_is_needed():
    program = (
        "import sys; from hydrusd.daemon import load_plugins; "
        "assert 'set_browser_cookies' in load_plugins([]).actions; "
        "assert 'yt_dlp' not in sys.modules"
    )
    subprocess.run([sys.executable, "-c", program], check=True)


class Reader:
    """A yt-dlp of another day."""

    def __init__(self, monkeypatch):
        self._cookies = importlib.import_module("yt_dlp.cookies")
        self._patch = monkeypatch

    def gives(self, function):
        self._patch.setattr(self._cookies, "extract_cookies_from_browser", function)

    def is_gone(self):
        self._patch.delattr(self._cookies, "extract_cookies_from_browser")


@pytest.fixture
def reader(monkeypatch):
    return Reader(monkeypatch)


def jar_cookie(expires, value=SECRET):
    pairs = {"version": 0, "name": "id", "value": value, "port": None, "port_specified": False}
    pairs |= {"domain": ".e.com", "domain_specified": True, "domain_initial_dot": True, "path": "/"}
    pairs |= {"path_specified": True, "secure": True, "expires": expires, "discard": False}
    return JarCookie(**pairs, comment=None, comment_url=None, rest={})


def test_another_yt_dlp_is_named_as_the_reason(action, reader):
    reader.gives(lambda browser: [])
    with pytest.raises(PermanentError, match="reads cookies in another way than hydrusd knows"):
        read(action)
    reader.gives(lambda *given, **more: [{"name": "id", "value": SECRET}])
    with pytest.raises(PermanentError, match="in another form than hydrusd knows") as caught:
        read(action)
    assert SECRET not in str(caught.value)
    reader.is_gone()
    with pytest.raises(PermanentError, match="extract_cookies_from_browser"):
        read(action)


@pytest.mark.parametrize(
    ("given", "seconds"),
    [
        (None, None),
        (0, None),
        (1_900_000_000, 1_900_000_000),
        (1_900_000_000.5, 1_900_000_000),
        # Chromium's own: microseconds since 1601. yt-dlp hands them on as they are.
        ((1_900_000_000 + 11_644_473_600) * 1_000_000, 1_900_000_000),
    ],
)
def test_expiries_of_chromium(action, reader, given, seconds):
    reader.gives(lambda *_, **__: [jar_cookie(given)])
    [cookie] = read(action, browser="chrome").cookies
    assert cookie.expires == seconds


def test_what_could_not_be_decrypted_is_owned_up_to(action, reader):
    def extract(browser, profile, *, logger):
        logger.debug("nothing of interest")
        logger.info("Extracting cookies from chrome")
        logger.info("Extracted 1 cookies from chrome (3 could not be decrypted)")
        logger.error("cannot decrypt v10 cookies", only_once=True)
        return [jar_cookie(None), jar_cookie(None, "\udc80")]

    reader.gives(extract)
    found = read(action, browser="chrome")
    assert len(found.cookies) == 1
    assert found.faults[0].startswith("cookie 2: the cookie 'id' of '.e.com' cannot be sent")
    assert found.faults[1:] == [
        "Extracted 1 cookies from chrome (3 could not be decrypted)",
        "cannot decrypt v10 cookies",
    ]


@pytest.mark.parametrize("more", [{"browser": "netscape"}, {"delete_missing": True}])
def test_wrong_parameters(action, more):
    with pytest.raises(ValidationError):
        action.model_validate({"browser": "firefox", **more})


def test_planning_tells_the_truth_and_writes_nothing(action, tmp_path, stage):
    stage, url = stage
    profile = firefox(tmp_path / "p", ("id", SECRET, ".example.com", LATER))
    step = action.model_validate({"browser": "firefox", "profile": str(profile)})

    async def scenario():
        async with HydrusClient(url, DEFAULT_ACCESS_KEY) as client:
            await client.connect()
            call = Call(step, JobId(1), "r", {}, client, SystemClock())
            [before] = await action.plan([call])
            assert (before.changes, before.detail) == (True, "1 cookie: 1 new, 0 changed")
            assert stage.simulator.requests[SET] == 0
            await step.run(call)
            [after] = await action.plan([call])
            assert (after.changes, after.detail) == (False, "1 cookie: all are there already")

    with Simulator() as stage.simulator:
        anyio.run(scenario)
