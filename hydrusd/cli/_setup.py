"""``hydrusd setup``: from nothing to a client that answers and a rules file that loads.

Each answer is tried out before the next question, and nothing is written before all of them
are known to be right. Nothing that exists is overwritten: not a rules file, not a key.
The access key is shown only to one who made it here, wants to keep it in an environment
variable, and says so.
"""

from __future__ import annotations

import importlib
import importlib.util
import itertools
import json
import os
import re
import sys
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

import anyio
import click
import platformdirs
from pydantic import SecretStr

from hydrusd.cli._api import KEY_VARIABLE
from hydrusd.cli._paths import RULES_FILE, rules_path
from hydrusd.cli._terminal import configure_logs, plain
from hydrusd.clock import Clock, SystemClock
from hydrusd.daemon import Configuration, read_client_only, read_configuration
from hydrusd.errors import AccessDenied, ConfigError, HydrusdError, HydrusError, HydrusUnavailable
from hydrusd.hydrus import (
    ClientInfo,
    HydrusClient,
    Permission,
    PermissionDialogClosed,
    Service,
    ServiceType,
)
from hydrusd.plugin import AnyAction
from hydrusd.redaction import redact, register

DEFAULT_URL = "http://127.0.0.1:45869"
KEY_NAME = "hydrusd"
KEY_FILE = "hydrus-key"
KEYRING_SERVICE = "hydrusd"
KEYRING_USER = "access-key"
POLL_SECONDS = 2.0
PATIENCE_SECONDS = 300.0
TIMEOUT_SECONDS = 20.0

# What any rules need so that settling is proved and quick.
_ALWAYS = frozenset({Permission.SEARCH_FILES, Permission.MANAGE_DATABASE})
_FIRST_RULES = _ALWAYS | {Permission.IMPORT_FILES, Permission.EDIT_TAGS}
_COMMITS_SINCE_API = 76  # before, a client cannot be told to commit, with permission or without
_KEY = re.compile(r"[0-9a-fA-F]{64}")
_MENU = "services > review services > local > client api"
_WITHOUT_QUOTES = re.compile(r"[A-Za-z$][\w./:${}-]*")

TEMPLATE = """\
# Rules for hydrusd, as `hydrusd setup` wrote them. Change them as you like, then
#   hydrusd check     says what is wrong with them, if anything
#   hydrusd run       works until it is stopped

client:
  url: {url}
  access_key: {access_key}
{more}
rules:
  # What lands in this folder goes into Hydrus. The files stay where they are, too: to have each
  # moved to the trash once Hydrus has committed it, take away the # before trash_source.
  - name: import my inbox
    on:
      watch_folder: {{path: ~/hydrus-inbox}}
    do:
      - add_file:
{tags}      # - trash_source:
"""


@dataclass(frozen=True)
class Answers:
    """What the command line has answered already; see the options of ``hydrusd setup``."""

    url: str | None = None
    key_file: Path | None = None
    store: str | None = None
    rules_file: Path | None = None
    allow_plain_http: bool = False
    tls_fingerprint: str | None = None
    show_key: bool = False
    yes: bool = False


@dataclass(frozen=True)
class _Key:
    """An access key that works, and what the client said to it."""

    value: SecretStr
    is_new: bool
    info: ClientInfo
    services: tuple[Service, ...]


def run_setup(answers: Answers) -> None:
    """Ask, try, store, write, check."""
    configure_logs(level="error")
    _Setup(answers, SystemClock()).run()


class _Setup:
    """One setup. Only what waits runs in an event loop: Ctrl-C has to end a question."""

    def __init__(self, answers: Answers, clock: Clock) -> None:
        self._answers = answers
        self._clock = clock
        self._url = ""
        self._allow_plain_http = answers.allow_plain_http
        self._tls_fingerprint = answers.tls_fingerprint
        self._tls_ca_file: Path | None = None

    def run(self) -> None:
        existing = self._existing_rules()
        rules_file = existing.rules.file if existing else self._new_rules_file()
        api_version = self._reach(existing)
        needed = _needed(existing, api_version)
        key = self._key([permission.words(api_version) for permission in needed], needed)
        missing = [p for p in needed if not key.info.permits_everything]
        missing = [p for p in missing if p not in key.info.permissions]
        if missing:
            _say(f"The access key lacks what the rules need; tick it in Hydrus ({_MENU}):")
            _say_each(permission.words(api_version) for permission in missing)
        reference = self._store(key, rules_file)
        if existing is None:
            self._write_rules(rules_file, reference, key.services)
        else:
            self._tell_of_rules(rules_file, reference, key)
        by_itself = rules_file == _rules_found()
        _say("Then: hydrusd run" + ("" if by_itself else f" {rules_file}"))

    # --- the rules file ------------------------------------------------------------------

    def _existing_rules(self) -> Configuration | None:
        path = self._answers.rules_file or _rules_found()
        if path is None or not path.exists():
            return None
        _say(f"There are rules in {path}; they stay as they are.")
        return read_configuration(path, resolve_secrets=False)

    def _new_rules_file(self) -> Path:
        if self._answers.rules_file is not None:
            return self._answers.rules_file
        usual = platformdirs.user_config_path("hydrusd") / RULES_FILE
        if self._answers.yes:
            return usual
        while True:
            path = Path(_ask("Where shall the first rules be written", str(usual))).expanduser()
            if not path.exists():
                return path
            _say(f"{path} is there already.")

    def _write_rules(self, path: Path, reference: str, services: Sequence[Service]) -> None:
        service = _tag_service(services)
        tags = f'      - add_tags:\n          {service}: ["from:inbox"]\n' if service else ""
        text = TEMPLATE.format(
            url=_yaml(self._url),
            access_key=_yaml(reference),
            more="".join(f"  {line}\n" for line in self._way_there()),
            tags=tags,
        )
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            with path.open("x", encoding="utf-8") as file:
                file.write(text)
        except OSError as error:
            raise HydrusdError(f"{path} cannot be written: {error.strerror or error}") from error
        # The variable is for the environment of the daemon, and need not be in ours.
        read_configuration(path, resolve_secrets=not reference.startswith("${env:"))
        _say(f"A first rule is in {path}: look at it, and change it.")

    def _tell_of_rules(self, path: Path, reference: str, key: _Key) -> None:
        try:
            client = read_client_only(path)
        except ConfigError:
            client = None  # its key is not to be had, here and now
        if client and client.url == self._url.rstrip("/") and client.access_key == key.value:
            _say(f"{path} has the same client and key already.")
            return
        _say(f"See to it that {path} says, under 'client:',")
        _say_each(
            [f"url: {_yaml(self._url)}", f"access_key: {_yaml(reference)}", *self._way_there()]
        )

    def _way_there(self) -> list[str]:
        return [
            *(["allow_plain_http: true"] if self._allow_plain_http else []),
            *([f"tls_ca_file: {_yaml(str(self._tls_ca_file))}"] if self._tls_ca_file else []),
            *(
                [f"tls_fingerprint: {json.dumps(self._tls_fingerprint)}"]
                if self._tls_fingerprint
                else []
            ),
        ]

    # --- the address ---------------------------------------------------------------------

    def _reach(self, existing: Configuration | None) -> int:
        """Find the client; give the version of its API."""
        usual = DEFAULT_URL
        if existing is not None and len(existing.rules.clients) == 1:
            [client] = existing.rules.clients.values()
            usual = client.url
            self._allow_plain_http |= client.allow_plain_http
            self._tls_ca_file = client.tls_ca_file
            self._tls_fingerprint = self._tls_fingerprint or client.tls_fingerprint
        url = self._answers.url or (usual if self._answers.yes else None)
        while True:
            self._url = (url or _ask("Where does Hydrus' Client API listen", usual)).strip()
            try:
                api_version, hydrus_version = anyio.run(self._versions)
            except ConfigError as error:
                if self._trusts_network(error):
                    url = self._url
                    continue
                if url is not None:
                    raise
            except ValueError as error:
                if url is not None:
                    raise click.BadParameter(str(error), param_hint="--url") from error
                _say(str(error))
            except HydrusError as error:
                if isinstance(error, HydrusUnavailable):
                    _say("Is Hydrus running, and its API on? services > manage services")
                if url is not None:
                    raise
                _say(str(error))
            else:
                version = f"v{hydrus_version}" if hydrus_version else "an old version"
                _say(f"Hydrus is there: {version}, Client API {api_version}")
                return api_version

    def _trusts_network(self, error: ConfigError) -> bool:
        """Say whether to go on over plain http; asks, where that is what is wrong."""
        message = error.problems[0].message
        if self._answers.yes or self._allow_plain_http or not message.startswith("plain http"):
            _say(message)
            return False
        _say(message)
        self._allow_plain_http = click.confirm("Do you trust that network", default=False)
        return self._allow_plain_http

    async def _versions(self) -> tuple[int, int | None]:
        async with self._client("") as client:
            return await client.versions()

    def _client(self, key: str) -> HydrusClient:
        return HydrusClient(
            self._url,
            key,
            clock=self._clock,
            timeout_seconds=TIMEOUT_SECONDS,
            allow_plain_http=self._allow_plain_http,
            tls_ca_file=self._tls_ca_file,
            tls_fingerprint=self._tls_fingerprint,
        )

    # --- the access key ------------------------------------------------------------------

    def _key(self, words: Sequence[str], needed: Sequence[Permission]) -> _Key:
        if self._answers.key_file is not None:
            return anyio.run(self._verified, _key_of_file(self._answers.key_file), False)
        if self._answers.yes or click.confirm("Shall Hydrus make an access key", default=True):
            _say("In Hydrus, open")
            _say_each([f"{_MENU} > add > from api request"])
            _say("hydrusd asks there for")
            _say_each(words)
            _say("Waiting for that window … (Ctrl-C stops)")
            value = anyio.run(self._requested, needed)
            _say("Hydrus shows what was asked for: apply it there, in both windows. Waiting …")
            return anyio.run(self._approved, value)
        while True:
            value = _ask_hidden(f"The access key (from {_MENU})").strip()
            register(value)
            if not _KEY.fullmatch(value):
                _say(f"This is no access key: it has 64 digits, 0-9 and a-f, not {len(value)}.")
                continue
            try:
                return anyio.run(self._verified, value, False)
            except AccessDenied as error:
                _say(str(error))

    async def _requested(self, permissions: Sequence[Permission]) -> str:
        """Ask for a key until the window for that is open."""
        began = self._clock.monotonic()
        async with self._client("") as client:
            while True:
                try:
                    key = await client.request_new_permissions(KEY_NAME, permissions)
                except (PermissionDialogClosed, HydrusUnavailable):
                    await self._wait(
                        began,
                        "the window was not opened within 5 minutes: run hydrusd setup again, or "
                        f"make an access key by hand ({_MENU}) and give it to hydrusd setup",
                    )
                else:
                    return key.get_secret_value()

    async def _approved(self, value: str) -> _Key:
        """Try a new key until the user has approved it."""
        began = self._clock.monotonic()
        while True:
            try:
                return await self._verified(value, True)
            except (AccessDenied, HydrusUnavailable):
                await self._wait(
                    began,
                    "the access key was not approved within 5 minutes: run hydrusd setup again and "
                    "apply the windows in Hydrus, the one behind too",
                )

    async def _verified(self, value: str, is_new: bool) -> _Key:
        async with self._client(value) as client:
            info = await client.connect()
            _say(f'The access key works; Hydrus calls it "{info.key_name}".')
            return _Key(SecretStr(value), is_new, info, client.services)

    async def _wait(self, began: float, advice: str) -> None:
        if self._clock.monotonic() - began >= PATIENCE_SECONDS:
            raise HydrusdError(advice)
        await self._clock.sleep(POLL_SECONDS)

    # --- where it is kept ----------------------------------------------------------------

    def _store(self, key: _Key, rules_file: Path) -> str:
        """Keep the key; give the reference to it for a rules file."""
        places = ["file", "env"]
        if importlib.util.find_spec("keyring") is not None:
            places.insert(1, "keyring")
        store = self._answers.store or ("file" if self._answers.yes else None)
        while True:
            place = store or _ask("Where shall the access key be kept", "file", places)
            try:
                match place:
                    case "file":
                        return _keep_in_file(key.value, rules_file.absolute().parent)
                    case "keyring":
                        return _keep_in_keyring(key.value)
                    case _:
                        return self._keep_in_environment(key)
            except HydrusdError as error:
                if store is not None:
                    raise
                _say(str(error))
                places.remove(place)

    def _keep_in_environment(self, key: _Key) -> str:
        _say(f"Set the environment variable {KEY_VARIABLE} where hydrusd is started.")
        if key.is_new and (
            self._answers.show_key
            or (
                not (self._answers.yes or self._answers.store)
                and click.confirm("Show the new key now, this once", default=False)
            )
        ):
            click.echo(key.value.get_secret_value())
        else:
            _say(f"Its value is what Hydrus copies: {_MENU}, 'copy api access key'.")
        return f"${{env:{KEY_VARIABLE}}}"


def _rules_found() -> Path | None:
    try:
        return rules_path(None)
    except ConfigError:
        return None


def _needed(existing: Configuration | None, api_version: int) -> list[Permission]:
    """Give what the access key has to be allowed, as far as this client knows of it."""
    wanted = set(_FIRST_RULES)
    if existing is not None:
        wanted = set(_ALWAYS)
        for rule in existing.rules.rules:
            for step in rule.steps if rule.enabled else ():
                assert isinstance(step.config, AnyAction)
                wanted |= step.config.permissions
    if api_version < _COMMITS_SINCE_API:
        wanted.discard(Permission.MANAGE_DATABASE)
    return sorted(permission for permission in wanted if permission.since_api <= api_version)


def _key_of_file(path: Path) -> str:
    try:
        text = sys.stdin.readline() if str(path) == "-" else path.read_text(encoding="utf-8-sig")
    except (OSError, UnicodeDecodeError) as error:
        raise click.BadParameter(f"{path} cannot be read", param_hint="--key-file") from error
    value = text.strip()
    register(value)
    if not _KEY.fullmatch(value):
        raise click.BadParameter(
            f"it holds no access key, which has 64 digits, 0-9 and a-f: {len(value)} characters",
            param_hint="--key-file",
        )
    return value


def _keep_in_file(value: SecretStr, beside: Path) -> str:
    # Elsewhere only its owner may read the file; on Windows that is so in the user's profile.
    folder = platformdirs.user_config_path("hydrusd") if os.name == "nt" else beside
    content = value.get_secret_value()
    try:
        folder.mkdir(parents=True, exist_ok=True)
        for path in (folder / f"{name}.txt" for name in _names(KEY_FILE)):
            try:
                descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
            except FileExistsError:
                if path.is_file() and path.read_bytes().strip() == content.encode():
                    break
                continue
            with os.fdopen(descriptor, "w", encoding="ascii") as file:
                file.write(f"{content}\n")
            break
    except OSError as error:
        raise HydrusdError(f"{folder}: {error.strerror or error}") from error
    _say(f"The access key is kept in {path}")
    return f"${{file:{path.name if folder == beside else path}}}"


def _keep_in_keyring(value: SecretStr) -> str:
    try:
        keyring = importlib.import_module("keyring")
        errors = importlib.import_module("keyring.errors")
    except ImportError as error:
        raise HydrusdError(
            "keeping it in the keyring needs: pip install hydrusd[keyring]"
        ) from error
    content = value.get_secret_value()
    try:
        for user in _names(KEYRING_USER):
            found = keyring.get_password(KEYRING_SERVICE, user)
            if found is None:
                keyring.set_password(KEYRING_SERVICE, user, content)
            elif found != content:
                continue
            break
    except errors.KeyringError as error:
        raise HydrusdError(
            f"the keyring cannot be used ({type(error).__name__}); a server often has none"
        ) from error
    _say(f"The access key is kept in the keyring, under {KEYRING_SERVICE}, {user}")
    return f"${{keyring:{KEYRING_SERVICE}/{user}}}"


def _names(name: str) -> Iterable[str]:
    """Give the name, and others for when that is taken."""
    return itertools.chain([name], (f"{name}-{number}" for number in itertools.count(2)))


def _tag_service(services: Sequence[Service]) -> str:
    """Give a local tag service as a key of YAML; empty where the client shows none."""
    local = [service for service in services if service.type == ServiceType.LOCAL_TAG_DOMAIN]
    if not local:
        return ""
    # Every client begins with these two, and the second is not for tags of one's own.
    rank = {"my tags": 0, "downloader tags": 2}
    chosen = min(local, key=lambda service: rank.get(service.name, 1))
    name = chosen.name
    alone = sum(service.name == name for service in services) == 1
    if not (alone and name.isprintable() and "{" not in name):
        name = chosen.reference
    return name if name == "my tags" else json.dumps(name, ensure_ascii=False)


def _yaml(text: str) -> str:
    return text if _WITHOUT_QUOTES.fullmatch(text) else json.dumps(text, ensure_ascii=False)


def _ask(question: str, usual: str, choices: Sequence[str] = ()) -> str:
    kind = click.Choice(choices) if choices else None
    return str(click.prompt(question, default=usual, type=kind))


def _ask_hidden(question: str) -> str:
    if sys.stdin.isatty():
        return str(click.prompt(question, hide_input=True))
    # From a pipe there is nothing to hide, and a terminal beside it is none of our business.
    click.echo(f"{question}: ")
    line = sys.stdin.readline()
    if not line:
        raise click.Abort
    return line


def _say(text: str) -> None:
    click.echo(redact(plain(text)))


def _say_each(texts: Iterable[str]) -> None:
    for text in texts:
        _say(f"  {text}")
