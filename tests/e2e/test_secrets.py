"""Keys and cookies of a whole run are in nothing that hydrusd writes, prints, shows or keeps."""

from __future__ import annotations

import json
import logging
import secrets
import sys
import traceback
from contextlib import contextmanager

import anyio
import pytest
import structlog
from stage import DaemonProcess, Place, paint, wait_until

from hydrusd import cli
from hydrusd.daemon import check_client, make_client, read_configuration
from hydrusd.errors import ConfigError, HydrusError
from hydrusd.hydrus import Cookie, Header, HydrusClient
from hydrusd.redaction import redact
from hydrusd.simulator import Fault, FaultKind, Permissions, Simulator, SimulatorConfig

RULES = """\
client:
  url: {url}
  access_key: {key}
rules:
  - name: import
    on:
      watch_folder: {{path: inbox, settle: 50ms}}
    do:
      - add_file:
      - log_in: {{cookie_file: cookie.txt}}
      - add_tags:
          my tags: ["from:inbox"]
      - trash_source: {{folder: trash}}
"""

# As careless as a plugin can be: what it knows it writes to the log, and into its errors.
PLUGIN = '''\
import logging
from pathlib import Path

import structlog

from hydrusd.hydrus import Cookie
from hydrusd.plugin import Action, Outcome, PermanentError, TemporaryError, hookimpl


class LogIn(Action):
    """Hand the client a cookie."""

    action = "log_in"
    cookie_file: str

    async def run(self, call):
        value = Path(self.cookie_file).read_text(encoding="utf-8")
        cookie = Cookie("id", value, "example.com", "/", 2_000_000_000.5)
        await call.client.set_cookies([cookie])
        held = await call.client.get_cookies("example.com")
        await call.client.set_headers({"Authorization": "Bearer " + value}, "example.com")
        await call.client.get_headers("example.com")
        text = f"{cookie} {held} {value} {call.client} {vars(call.client)} {call}"
        structlog.get_logger("hydrusd.plugins.log_in").debug(text, cookies=held, value=value)
        logging.getLogger("hydrusd.plugins.log_in").debug("careless: %s", value)
        try:
            raise ValueError(text)
        except ValueError:
            logging.getLogger("hydrusd.plugins.log_in").exception("also careless")
        match call.source.path.stem[-1]:
            case "1":
                raise PermanentError(text)
            case "2":
                return Outcome.dead(text)
            case "3":
                return Outcome.skipped(text)
        if call.attempt == 1:
            raise TemporaryError(text, delay_seconds=0.01)
        if call.attempt == 2:
            call.finish(Outcome.retry(text, delay_seconds=0.01))
            return None
        return Outcome.done(text, values={"text": text, value: [value]}, receipt={"a": [text]})


@hookimpl
def hydrusd_register_actions(register):
    register(LogIn)


@hookimpl
def hydrusd_job_finished(entry):
    value = Path("cookie.txt").read_text(encoding="utf-8")
    raise RuntimeError(f"an observer fails: {Cookie('id', value, 'example.com')} {value}")
'''


@pytest.fixture
def key():
    return secrets.token_hex(32)


@pytest.fixture
def cookie():
    return f"{secrets.token_urlsafe(24)}%3D+/=="


@pytest.fixture
def sessions():
    """All session keys that were given out."""
    return []


@pytest.fixture
def simulator(key, sessions):
    config = SimulatorConfig(access_keys={key: Permissions(permits_everything=True)})
    with Simulator(config) as simulator:
        access = simulator._client.access
        give = access.new_session

        def new_session(access_key):
            sessions.append(give(access_key))
            return sessions[-1]

        access.new_session = new_session
        yield simulator


@pytest.fixture
def url(simulator):
    with simulator.serve() as url:
        yield url


@pytest.fixture
def place(tmp_path, key, cookie, url):
    place = Place(tmp_path / "place")
    (place.folder / "plugins").mkdir()
    (place.folder / "plugins" / "careless.py").write_text(PLUGIN, encoding="utf-8")
    (place.folder / "cookie.txt").write_text(cookie, encoding="utf-8")
    (place.folder / "key.txt").write_text(key, encoding="utf-8")
    return place


@pytest.fixture
def clean(key, cookie, sessions):
    """See that none of the secrets is in a text or in bytes."""

    def clean(what):
        content = what if isinstance(what, bytes) else what.encode("utf-8", "surrogatepass")
        for secret in (key, cookie, *sessions):
            for form in (secret, secret.upper(), json.dumps(secret)[1:-1], repr(secret)[1:-1]):
                assert form.encode() not in content
        return what

    return clean


@pytest.fixture
def hydrusd(place, monkeypatch, capsys, clean):
    """Run a command; gives its exit code and what it said, which has to be clean."""
    monkeypatch.chdir(place.folder)
    monkeypatch.setenv("HYDRUSD_STATE_DIR", str(place.ledger.parent))
    root, ours = logging.getLogger(), logging.getLogger("hydrusd")
    before = root.handlers[:], root.level, ours.level

    def run(*arguments):
        monkeypatch.setattr(sys, "argv", ["hydrusd", *map(str, arguments)])
        code = 0
        try:
            cli.main()
        except SystemExit as ended:
            code = ended.code or 0
        printed = capsys.readouterr()
        return code, clean(printed.out + printed.err)

    yield run
    root.handlers[:] = before[0]
    root.setLevel(before[1])
    ours.setLevel(before[2])
    structlog.reset_defaults()


@contextmanager
def daemon_of(place, *options):
    daemon = DaemonProcess(place)
    daemon._command += ["--log-level", "debug", *options]
    daemon.start()
    try:
        wait_until(lambda: daemon.running() and daemon.said("started with"), "it started")
        yield daemon
        assert daemon.stop() == 0
    finally:
        daemon.close()


@pytest.mark.parametrize("as_json", [False, True])
def test_a_whole_run(
    place, simulator, url, key, cookie, sessions, clean, tmp_path, as_json, hydrusd
):
    # Once the key stands in the file itself, once in one of its own.
    text = RULES.format(url=url, key=key if as_json else "${file:key.txt}")
    (place.folder / "rules.yaml").write_text(text, encoding="utf-8")
    pictures = list(paint(tmp_path / "pictures", 4).values())
    for number, picture in enumerate(pictures):
        place.drop(f"{number}{picture.suffix}", picture)
    # What a client says may hold anything.
    echo = f"no such thing: {key}"
    simulator.inject(
        Fault(kind=FaultKind.STATUS, path="/add_files/add_file", status=400, words=echo)
    )
    with daemon_of(place, *(["--json"] if as_json else [])) as daemon:
        wait_until(lambda: place.ended(4), "all ended")
        simulator.expire_sessions()
        place.drop("again.png", next(p for p in pictures if p.suffix == ".png"))
        wait_until(lambda: place.ended(5), "the next one too")
        simulator.revoke(key)
        simulator.expire_sessions()
        place.drop("more.png", pictures[0])
        wait_until(lambda: daemon.said("refuses this access key"), "the key is refused")
    assert len(sessions) >= 2
    assert place.states()["dead"] >= 2
    log = clean(daemon.log.read_bytes())
    assert b"also careless" in log
    assert b"an observer fails" in log
    assert b"[hidden]" in log
    for path in place.ledger.parent.iterdir():
        clean(path.read_bytes())
    dead = hydrusd("status")[1]
    assert "[hidden]" in dead
    assert json.loads(hydrusd("status", "--json")[1])["dead"]
    assert simulator.files


def test_commands(place, url, key, cookie, hydrusd, simulator, monkeypatch, tmp_path):
    rules = place.folder / "rules.yaml"
    rules.write_text(RULES.format(url=url, key=key), encoding="utf-8")

    async def fill():
        async with HydrusClient(url, key) as client:
            await client.connect()
            await client.set_cookies([Cookie("id", cookie, "example.com")])
            await client.set_headers({"X-Token": cookie}, "example.com")
            return (await client.add_file(next(iter(paint(tmp_path / "p", 1).values())))).hash

    sha256 = anyio.run(fill)
    assert hydrusd("check")[0] == 0
    for form in ("text", "json", "sarif"):
        hydrusd("check", "--live", "--strict", "--format", form)
    commands = (
        ["info"],
        ["services"],
        ["search", "system:inbox", "--hashes"],
        ["tags", sha256],
        ["cookies", "example.com"],
        ["headers", "example.com"],
        ["headers"],
        ["pages"],
        ["popups"],
        ["urls", f"https://example.com/?session_key={key}"],
    )
    for command in commands:
        assert hydrusd("api", *command)[0] == 0
        assert hydrusd("api", *command, "--json")[0] == 0
    monkeypatch.setenv("HYDRUS_ACCESS_KEY", key)
    assert hydrusd("api", "info", "--url", url)[0] == 0
    # Wrong in ways that tempt one to show what is wrong.
    assert hydrusd("api", "info", "--url", url.replace("//", f"//me:{key}@"))[0] == 2
    assert hydrusd("api", "tags", key)[0] == 0
    assert hydrusd("api", "tags", f"{key}0")[0] == 1
    simulator.inject(
        Fault(kind=FaultKind.STATUS, path="/manage_pages/get_pages", status=500, words=key)
    )
    assert hydrusd("api", "pages")[0] == 1
    for line in (f"access_key: {key}0", f"acess_key: {key}", f"access_key: [{key}]", f"{key}: x"):
        text = RULES.format(url=url, key=key).replace(f"access_key: {key}", line)
        rules.write_text(text, encoding="utf-8")
        assert hydrusd("check")[0] == 2
        assert hydrusd("check", "--json")[0] == 2
        assert hydrusd("check", "--live", "--format", "sarif")[0] == 2
        assert hydrusd("schema")[0] == 0
        assert hydrusd("api", "info")[0] == 2
    rules.unlink()
    options = ("setup", "--yes", "--url", url, "--rules-file", rules, "--key-file")
    assert hydrusd(*options, place.folder / "key.txt")[0] == 0
    assert hydrusd(*options, place.folder / "cookie.txt")[0] == 2
    simulator.revoke(key)
    simulator.expire_sessions()
    assert hydrusd(*options, place.folder / "key.txt")[0] == 1
    assert hydrusd("api", "info")[0] == 1


def test_objects_and_errors(place, simulator, url, key, cookie, clean):
    rules = place.folder / "rules.yaml"
    rules.write_text(RULES.format(url=url, key=key), encoding="utf-8")
    configuration = read_configuration(rules)
    spec = configuration.rules.clients["hydrus"]
    client = make_client(spec)
    shown = [configuration, configuration.rules, spec, client, vars(client), check_client(spec)]
    shown += [Cookie("id", cookie, "example.com"), Header(cookie), vars(client._session)]
    errors = []

    async def fail():
        async with client:
            await client.connect()
            shown.append(client.info)
            for fault in (
                Fault(kind=FaultKind.STATUS, status=500, words=f"KeyError: {key} {cookie}"),
                Fault(kind=FaultKind.STATUS, status=403, words=f"permission to {key} {cookie}"),
                Fault(kind=FaultKind.STATUS, status=400, words=f"{cookie} is bad"),
                Fault(kind=FaultKind.NOT_JSON),
                Fault(kind=FaultKind.CUT),
            ):
                simulator.inject(fault)
                try:
                    await client.set_cookies([Cookie("id", cookie, "example.com")])
                except HydrusError as error:
                    errors.append(error)
            simulator.revoke(key)
            simulator.expire_sessions()
            for ask in (client.connect, client.get_pages):
                try:
                    await ask()
                except HydrusError as error:
                    errors.append(error)

    anyio.run(fail)
    assert len(errors) >= 6
    for path in (f"//me:{key}@host", f"//{key}/?a={key}"):
        try:
            HydrusClient(f"ftp:{path}", key)
        except ValueError as error:
            errors.append(error)
    rules.write_text(f"client: {{url: 'http://a', access_key: '{key}x'}}", encoding="utf-8")
    with pytest.raises(ConfigError) as caught:
        read_configuration(rules)
    errors += [caught.value, *caught.value.problems]
    for each in shown:
        clean(repr(each))
        clean(str(each))
    for error in errors:
        clean(repr(error))
        clean(str(error))
        clean(str(vars(error)) if isinstance(error, Exception) else "")
        if isinstance(error, Exception):
            # A traceback is only ever written by way of redaction.
            clean(redact("".join(traceback.format_exception(error))))
