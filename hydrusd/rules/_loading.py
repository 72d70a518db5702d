"""Reads a rules file, top to bottom, and goes on after every problem it can.

The structure around triggers and actions is checked here by hand rather than by one
generated model: what people get wrong (two actions in one step, a step without its
dash, ``on`` with two triggers) deserves an answer of its own.
"""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path, PurePosixPath, PureWindowsPath
from typing import Any
from urllib.parse import urlsplit

from pydantic import BaseModel, SecretStr, ValidationError

from hydrusd.errors import ConfigError, ExpressionError
from hydrusd.model import UNDO_RULE
from hydrusd.rules import _yaml
from hydrusd.rules._problems import Problems, nearest
from hydrusd.rules._secrets import SecretError, access_key
from hydrusd.rules._settings import Backups, Client, History, Limits, Plugins
from hydrusd.rules._specs import (
    ONLY_CLIENT,
    BackupsSpec,
    ClientSpec,
    HistorySpec,
    LimitsSpec,
    PluginsSpec,
    Position,
    RuleSet,
    RuleSpec,
    StepSpec,
    Vocabulary,
)
from hydrusd.rules._units import resolve_path
from hydrusd.rules._wording import validate
from hydrusd.rules._yaml import Document, Path as DataPath

_TOP = ("client", "clients", "plugins", "allow", "backups", "history", "rules")
_RULE = ("name", "client", "on", "if", "do", "limits", "enabled")
_CLIENT_NAME = re.compile(r"[a-z0-9][a-z0-9_-]{0,62}")
_URL_HINT = "as in http://127.0.0.1:45869"
# What looks like a space, or like nothing, and is neither to YAML: pasted from a web page.
_SPECIAL_SPACES = tuple("\u00a0\u2007\u200b\u202f\u3000\ufeff")
MAX_NAME = 200
MAX_PLACES_DEPTH = 5
"""How deep in a rule places are kept: ``do``, the step, its action, a parameter, an item."""


def load(
    path: Path, vocabulary: Vocabulary, *, environ: Mapping[str, str], resolve_secrets: bool = True
) -> RuleSet:
    """Read a rules file. Raises ConfigError with every problem, in the order of the file.

    With ``resolve_secrets=False`` references to secrets are checked for their form only.
    """
    text = _read_file(path)
    return parse(
        text,
        vocabulary,
        file=str(path),
        folder=path.parent,
        environ=environ,
        resolve_secrets=resolve_secrets,
    )


def read_clients(
    path: Path, vocabulary: Vocabulary, *, environ: Mapping[str, str], resolve_secrets: bool = True
) -> Mapping[str, ClientSpec]:
    """Read how to reach the clients, and nothing of the rules, which may be wrong or half done.

    Raises ConfigError with every problem of that part.
    """
    text = _read_file(path)
    problems = Problems(str(path), text)
    document = _yaml.read(text, problems)
    problems.raise_if_any()
    assert document is not None
    reading = _Reading(document, problems, vocabulary, path.parent.absolute())
    clients = reading.clients_only(environ, resolve_secrets=resolve_secrets)
    problems.raise_if_any()
    return clients


def parse(
    text: str,
    vocabulary: Vocabulary,
    *,
    file: str,
    environ: Mapping[str, str],
    folder: Path | None = None,
    resolve_secrets: bool = True,
) -> RuleSet:
    """Do what ``load`` does, with a text. ``folder`` is where relative paths start."""
    problems = Problems(file, text)
    document = _yaml.read(text, problems)
    if document is None:
        problems.raise_if_any()
        raise AssertionError  # read() gives None only with a problem
    reading = _Reading(
        document,
        problems,
        vocabulary,
        (folder if folder is not None else Path(file).parent).absolute(),
    )
    rules = reading.file(environ, resolve_secrets=resolve_secrets)
    problems.raise_if_any()
    assert rules is not None
    return rules


def read_plugins(path: Path) -> PluginsSpec:
    """Give what ``plugins:`` says, before anything else of the file is looked at.

    Gives what can be read and never fails: ``load`` tells what is wrong.
    """
    try:
        text = _read_file(path)
    except ConfigError:
        return PluginsSpec()
    document = _yaml.read(text, Problems(str(path), text))
    if document is None or not isinstance(document.data, dict):
        return PluginsSpec()
    raw, folder = document.data.get("plugins"), path.parent.absolute()
    if not isinstance(raw, dict):
        return PluginsSpec(tuple(_plugin_folders_in(raw, folder)))
    readable: dict[str, Any] = {}
    for name in Plugins.model_fields.keys() & raw.keys():
        with suppress(ValidationError):
            read = Plugins.model_validate({name: raw[name]}, context={"folder": folder})
            readable[name] = getattr(read, name)
    if "folders" not in readable:
        readable["folders"] = _plugin_folders_in(raw.get("folders"), folder)
    # An allow-list that cannot be read allows nothing.
    if "only" in raw and "only" not in readable:
        readable["only"] = []
    return _plugins_spec(Plugins.model_construct(**readable))


def _plugins_spec(read: Plugins) -> PluginsSpec:
    return PluginsSpec(
        tuple(read.folders),
        None if read.only is None else frozenset(read.only),
        frozenset(read.disable),
        read.isolate,
    )


def rule_from_definition(
    name: str, definition: str, vocabulary: Vocabulary, *, folder: Path | None = None
) -> RuleSpec:
    """Rebuild a rule from its ``definition``, as it was when that was stored.

    ``folder`` is where relative paths start. Raises ConfigError where the rule can no
    longer be understood: an action is gone, or asks for more than it did.
    """
    file = f"rule '{name}' as stored"
    problems = Problems(file)
    document = Document()
    try:
        data = json.loads(definition)
    except ValueError:
        data = None
    if not isinstance(data, dict):
        problems.add((0, 0), "the stored definition is damaged")
        problems.raise_if_any()
    document.data = {**data, "name": name}
    document.values[()] = (0, 0)
    reading = _Reading(document, problems, vocabulary, folder)
    rule = reading.rule((), set())
    problems.raise_if_any()
    assert rule is not None
    return rule


def _read_file(path: Path) -> str:
    problems = Problems(str(path))
    try:
        # A pipe or a device would be waited for, maybe for ever.
        if path.exists() and not path.is_file():
            kind = "a folder" if path.is_dir() else "not a file"
            problems.add((0, 0), f"this is {kind}", "give the path of a rules file")
        else:
            with path.open("rb") as opened:
                content = opened.read(_yaml.MAX_BYTES + 1)
            if len(content) <= _yaml.MAX_BYTES:
                return content.decode("utf-8-sig")
            problems.add((0, 0), _yaml.TOO_LARGE)
    except FileNotFoundError:
        problems.add((0, 0), "there is no such file", "see rules.example.yaml for a start")
    except UnicodeDecodeError as error:
        before = error.object[: error.start].decode("utf-8-sig", "replace")
        lines = before.splitlines() or [""]
        if before.endswith(("\n", "\r")):
            lines.append("")
        problems.add(
            (len(lines), len(lines[-1]) + 1),
            "the file is not UTF-8 text",
            "save it as UTF-8 in your editor",
        )
    except OSError as error:
        problems.add((0, 0), f"the file cannot be read: {error.strerror or error}")
    problems.raise_if_any()
    raise AssertionError  # every way here added a problem


def _listed(value: object) -> list[object]:
    return value if isinstance(value, list) else [] if value is None else [value]


def _plugin_folders_in(raw: object, folder: Path) -> list[Path]:
    found = (_plugin_folder(item, folder) for item in _listed(raw))
    return [each for each in found if each is not None]


def _plugin_folder(item: object, folder: Path) -> Path | None:
    if not isinstance(item, str) or not item.strip() or "\0" in item:
        return None
    try:
        return resolve_path(item, folder)
    except RuntimeError:
        return None


def _canonical(data: object) -> str:
    return json.dumps(
        data, ensure_ascii=False, sort_keys=True, separators=(",", ":"), allow_nan=False
    )


class _Reading:
    """One file on its way from plain data to a RuleSet."""

    def __init__(
        self,
        document: Document,
        problems: Problems,
        vocabulary: Vocabulary,
        folder: Path | None,
    ) -> None:
        self._document = document
        self._problems = problems
        self._vocabulary = vocabulary
        self._folder = folder
        self._environ: Mapping[str, str] | None = None
        # What is rebuilt from the ledger is held against what is allowed when it is compiled.
        self._allow: frozenset[str] | None = None
        self._clients: Mapping[str, ClientSpec] | None = None

    def file(self, environ: Mapping[str, str], *, resolve_secrets: bool) -> RuleSet | None:
        self._cover_secrets()
        data = self._document.data
        if not isinstance(data, dict):
            self._problem_at((), "a rules file is a mapping", "it needs 'client:' and 'rules:'")
            return None
        # Where anchors may be kept, as other tools do: x-tags: &tags [...]
        named = {key: value for key, value in data.items() if not key.startswith("x-")}
        self._refuse_unknown(named, (), _TOP)
        self._environ = environ if resolve_secrets else None
        self._clients = self._all_clients(data, environ, resolve_secrets=resolve_secrets)
        plugins = self._plugins(data)
        self._allow = self._allowed(data)
        backups = self._backups(data)
        history = self._history(data)
        rules = self._rules(data)
        if self._problems:
            return None
        file = Path(self._problems.file)
        warnings = self._problems.warnings
        return RuleSet(self._clients, rules, plugins, file, self._allow, backups, history, warnings)

    def clients_only(
        self, environ: Mapping[str, str], *, resolve_secrets: bool
    ) -> Mapping[str, ClientSpec]:
        """Read the part about the clients."""
        self._cover_secrets()
        data = self._document.data
        if not isinstance(data, dict):
            self._problem_at((), "a rules file is a mapping", "it needs 'client:' and 'rules:'")
            return {}
        return self._all_clients(data, environ, resolve_secrets=resolve_secrets)

    def _cover_secrets(self) -> None:
        for path, node in self._document.scalars.items():
            is_key = path[-1:] == ("access_key",) and path[0] in {"client", "clients"}
            if is_key and not str(node.value).strip().startswith("${"):
                self._problems.cover(*self._document.extent(path))

    # -- the clients --------------------------------------------------------------

    def _all_clients(
        self, data: dict[str, Any], environ: Mapping[str, str], *, resolve_secrets: bool
    ) -> Mapping[str, ClientSpec]:
        """Read ``client``, or ``clients`` by their names; those with problems are left out."""
        if "clients" not in data:
            if "client" not in data:
                self._missing(data, (), "client", "it says how to reach Hydrus")
                return {}
            found = self._client(("client",), ONLY_CLIENT, environ, resolve_secrets=resolve_secrets)
            return {ONLY_CLIENT: found} if found else {}
        if "client" in data:
            place = self._document.key(("client",))
            hint = "give it a name and put it under 'clients'"
            self._problems.add(
                place, "there are 'client' and 'clients'; one of them is too many", hint
            )
            return {}
        raw = data["clients"]
        if not isinstance(raw, dict) or not raw:
            hint = "as in: clients: {main: {url: …, access_key: …}}"
            self._problem_at(("clients",), "'clients' must be a mapping of names", hint)
            return {}
        clients = {}
        for name in raw:
            if not _CLIENT_NAME.fullmatch(name):
                place = self._document.key(("clients", name))
                hint = "in lower case, with digits, - and _"
                self._problems.add(place, f"'{name[:60]}' is no name for a client", hint)
            elif found := self._client(
                ("clients", name), name, environ, resolve_secrets=resolve_secrets
            ):
                clients[name] = found
        return clients

    def _client(
        self, path: DataPath, name: str, environ: Mapping[str, str], *, resolve_secrets: bool
    ) -> ClientSpec | None:
        raw = self._at(path)
        if not isinstance(raw, dict):
            message = f"'{path[-1]}' must be a mapping"
            self._problem_at(path, message, "it needs 'url' and 'access_key'")
            return None
        secret = raw.get("access_key")
        # A key of digits alone is still a text, and must not be shown as a wrong number.
        if isinstance(secret, bool | int | float):
            raw = {**raw, "access_key": self._document.text((*path, "access_key"))}
        elif secret is not None and not isinstance(secret, str):
            self._problem_at((*path, "access_key"), "'access_key' must be text")
            raw = {**raw, "access_key": ""}
        client, _ = self._validated(Client, raw, path)
        text = raw.get("access_key")
        key = None
        if isinstance(text, str):
            key = self._access_key((*path, "access_key"), text, environ, resolve_secrets)
        if not isinstance(client, Client):
            return None
        before = len(self._problems)
        url = self._url((*path, "url"), client.url)
        path_map = self._path_map((*path, "path_map"), client)
        if url is None or key is None or len(self._problems) > before:
            return None
        spec = ClientSpec(
            url,
            SecretStr(key),
            client.commit_wait,
            client.timeout,
            client.transfer,
            path_map,
            client.allow_plain_http,
            client.tls_ca_file,
            client.tls_fingerprint,
            client.progress_popups,
            name,
            self._position(self._document.value((*path, "url"))),
        )
        for fault in self._vocabulary.check_client(spec):
            self._problem_at((*path, *fault.path), fault.message, fault.hint)
        return spec

    def _path_map(self, path: DataPath, client: Client) -> tuple[tuple[str, str], ...]:
        if client.path_map and client.transfer == "bytes":
            hint = "write 'transfer: auto', or 'transfer: path' to send no bytes ever"
            self._problem_at(path, "'path_map' has no effect while files go as bytes", hint)
        for index, pair in enumerate(client.path_map):
            there = (PurePosixPath(pair.there), PureWindowsPath(pair.there))
            if not any(form.is_absolute() for form in there):
                hint = "as the client's own system writes it: /data/pictures, C:\\data, \\\\nas\\a"
                self._problem_at((*path, index, "there"), "this is not an absolute folder", hint)
            for name, parts in (("here", pair.here.parts), ("there", there[1].parts)):
                if ".." in parts:
                    message = "a folder with '..' in it is not what it looks like beyond a link"
                    self._problem_at((*path, index, name), message)
        return tuple((str(pair.here), pair.there) for pair in client.path_map)

    def _access_key(
        self, path: DataPath, text: str, environ: Mapping[str, str], resolve: bool
    ) -> str | None:
        folder = self._folder or Path()
        try:
            return access_key(text, environ=environ, folder=folder, resolve=resolve)
        except SecretError as error:
            if text:
                self._problem_at(path, error.message, error.hint)
            return None

    def _url(self, path: DataPath, url: str) -> str | None:
        message = ""
        try:
            parts = urlsplit(url)
            _ = parts.port
        except ValueError:
            message = "'url' is not an address"
        else:
            if parts.scheme not in {"http", "https"}:
                message = "'url' must begin with http:// or https://"
            elif not parts.hostname or any(c.isspace() for c in url):
                message = "'url' names no host"
            elif parts.username is not None or parts.password is not None:
                message = "'url' must not hold a user or a password"
            elif parts.query or parts.fragment:
                message = "'url' must end before '?' and '#'"
        if message:
            self._problem_at(path, message, _URL_HINT)
            return None
        return url.rstrip("/")

    def _plugins(self, data: dict[str, Any]) -> PluginsSpec:
        raw, at = data.get("plugins"), ("plugins",)
        if isinstance(raw, dict):
            read, _ = self._validated(Plugins, raw, at)
            if not isinstance(read, Plugins):
                return PluginsSpec()
            self._plugin_folders(raw.get("folders"), ("plugins", "folders"))
            return _plugins_spec(read)
        if not isinstance(raw, list | str | None):
            hint = "or a mapping, as in: plugins: {disable: [NAME]}"
            self._problem_at(at, "'plugins' must be a list of folders", hint)
            return PluginsSpec()
        return PluginsSpec(self._plugin_folders(raw, at))

    def _plugin_folders(self, raw: object, at: DataPath) -> tuple[Path, ...]:
        found = []
        for index, item in enumerate(_listed(raw)):
            path: DataPath = (*at, index) if isinstance(raw, list) else at
            folder = _plugin_folder(item, self._folder or Path())
            if folder is None:
                self._problem_at(path, "this must be the path of a folder")
            elif not _is_folder(folder):
                self._problem_at(path, f"there is no folder {folder}")
            else:
                found.append(folder)
        return tuple(found)

    def _allowed(self, data: dict[str, Any]) -> frozenset[str]:
        """Give the actions that are allowed on top of those that always are."""
        raw = data.get("allow")
        if not isinstance(raw, list | str | None):
            self._problem_at(("allow",), "'allow' must be a list of actions")
            return frozenset()
        names = _listed(raw)
        for index, name in enumerate(names):
            path: DataPath = ("allow", index) if isinstance(raw, list) else ("allow",)
            guarded = [n for n, a in self._vocabulary.actions.items() if _needs_allowing(a)]
            if name not in guarded and self._vocabulary.stand_in("action", str(name)) is None:
                hint = self._problems.suggest(str(name), guarded, kind="actions")
                self._problem_at(path, "this is no action that needs to be allowed", hint)
        return frozenset(name for name in names if isinstance(name, str))

    def _backups(self, data: dict[str, Any]) -> BackupsSpec:
        """Say how often the ledger is backed up, and how many backups are kept."""
        raw, at = data.get("backups"), ("backups",)
        if raw is None:
            return BackupsSpec()
        if not isinstance(raw, dict):
            hint = "as in: backups: {every: 1d, keep: 3}"
            self._problem_at(at, "'backups' must be a mapping", hint)
            return BackupsSpec()
        read, _ = self._validated(Backups, raw, at)
        return BackupsSpec(read.every, read.keep) if isinstance(read, Backups) else BackupsSpec()

    def _history(self, data: dict[str, Any]) -> HistorySpec:
        """Read how long what has ended is kept."""
        if "history" not in data:
            return HistorySpec()
        if not isinstance(data["history"], dict):
            self._problem_at(
                ("history",), "'history' must be a mapping", "as in: history: {keep: 180d}"
            )
            return HistorySpec()
        read, _ = self._validated(History, data["history"], ("history",))
        return HistorySpec(**read.model_dump()) if read is not None else HistorySpec()

    # -- the rules ----------------------------------------------------------------

    def _rules(self, data: dict[str, Any]) -> tuple[RuleSpec, ...]:
        if "rules" not in data:
            self._missing(data, (), "rules", "it is a list of rules")
            return ()
        raw = data["rules"]
        if not isinstance(raw, list):
            self._problem_at(
                ("rules",), "'rules' must be a list", "begin each rule with '- name: …'"
            )
            return ()
        names: set[str] = set()
        read = [self.rule(("rules", index), names) for index in range(len(raw))]
        return tuple(rule for rule in read if rule is not None)

    def rule(self, path: DataPath, names: set[str]) -> RuleSpec | None:
        """Read one rule; None where there were problems."""
        before = len(self._problems)
        raw = self._at(path)
        if not isinstance(raw, dict):
            self._problem_at(path, "a rule is a mapping", "it needs 'name', 'on' and 'do'")
            return None
        self._refuse_unknown(raw, path, _RULE)
        name = self._name(raw, path, names)
        client = self._client_of(raw, path)
        limits = self._limits(raw, path)
        trigger = self._trigger(raw, path)
        condition = self._condition(raw, path)
        steps = self._steps(raw, path)
        enabled = raw.get("enabled", True)
        if not isinstance(enabled, bool):
            self._problem_at((*path, "enabled"), "'enabled' must be true or false")
        if len(self._problems) > before or name is None or trigger is None or client is None:
            return None
        trigger_name, trigger_config, trigger_raw = trigger
        definition = _canonical(
            {
                "on": {trigger_name: trigger_raw},
                "if": condition,
                "do": [{step.action: step.raw} for step in steps],
                **({"client": client} if "client" in raw else {}),
            }
        )
        rule = RuleSpec(
            name=name,
            trigger=trigger_name,
            trigger_config=trigger_config,
            condition=condition,
            steps=steps,
            revision=hashlib.sha256(definition.encode()).hexdigest()[:16],
            definition=definition,
            position=self._position(self._document.value(path)),
            enabled=bool(enabled),
            client=client,
            limits=limits,
            places=self._places(raw, path),
        )
        for fault in self._vocabulary.check_rule(rule):
            at = (*path, *fault.path)
            within = fault.within
            place = self._document.within(at, *within) if within else self._document.key(at)
            add = self._problems.warn if fault.doubt else self._problems.add
            add(place, fault.message, fault.hint)
        return rule if len(self._problems) == before else None

    def _places(
        self, raw: dict[str, Any], path: DataPath
    ) -> dict[tuple[str | int, ...], tuple[int, int]]:
        """Give the places of what a fault that shows later may be about."""
        places: dict[tuple[str | int, ...], tuple[int, int]] = {}
        waiting: list[tuple[DataPath, object]] = [((key,), raw.get(key)) for key in ("on", "do")]
        while waiting:
            at, value = waiting.pop()
            places[at] = self._document.key((*path, *at))
            if len(at) >= MAX_PLACES_DEPTH:
                continue
            if isinstance(value, dict):
                waiting += [((*at, key), item) for key, item in value.items()]
            elif isinstance(value, list):
                waiting += [((*at, index), item) for index, item in enumerate(value)]
        return places

    def _name(self, raw: dict[str, Any], path: DataPath, names: set[str]) -> str | None:
        at = (*path, "name")
        if "name" not in raw:
            self._missing(raw, path, "name", "every rule needs a name of its own")
            return None
        name = self._as_text(raw["name"], at)
        if name is None or not name.strip():
            self._problem_at(at, "'name' must be text")
            return None
        if len(name) > MAX_NAME or len(name.splitlines()) > 1:
            self._problem_at(at, f"'name' must be one line of at most {MAX_NAME} characters")
            return None
        name = name.strip()
        if name.startswith(UNDO_RULE):
            hint = f"jobs that take something back go by names that begin with '{UNDO_RULE}'"
            self._problem_at(at, f"'name' cannot begin with '{UNDO_RULE}'", hint)
            return None
        if name in names:
            self._problem_at(at, f"there is another rule called '{name}'", "names must differ")
            return None
        names.add(name)
        return name

    def _limits(self, raw: dict[str, Any], path: DataPath) -> LimitsSpec:
        at = (*path, "limits")
        if "limits" not in raw:
            return LimitsSpec()
        if not isinstance(raw["limits"], dict):
            hint = "it knows: 'per_hour', 'per_run', 'failures'"
            self._problem_at(at, "'limits' must be a mapping", hint)
            return LimitsSpec()
        read, _ = self._validated(Limits, raw["limits"], at)
        return LimitsSpec(**read.model_dump()) if read is not None else LimitsSpec()

    def _client_of(self, raw: dict[str, Any], path: DataPath) -> str | None:
        """Give the name of the client that a rule works on."""
        at = (*path, "client")
        if self._clients is None:  # rebuilt from the ledger: whether it is still there shows later
            return str(raw.get("client", ONLY_CLIENT))
        if "client" not in raw:
            if len(self._clients) > 1:
                names = ", ".join(self._clients)
                self._problem_at(path, "'client' is missing", f"one of: {names}")
                return None
            return next(iter(self._clients), ONLY_CLIENT)
        name = raw["client"]
        if name not in self._clients:
            if self._clients:  # otherwise what is wrong with them is said already
                hint = self._problems.suggest(str(name), self._clients, kind="clients")
                self._problem_at(at, f"there is no client '{str(name)[:60]}'", hint)
            return None
        return str(name)

    def _trigger(
        self, raw: dict[str, Any], path: DataPath
    ) -> tuple[str, BaseModel, dict[str, Any]] | None:
        at = (*path, "on")
        if "on" not in raw:
            self._missing(raw, path, "on", "it says what the rule waits for")
            return None
        on = raw["on"]
        if isinstance(on, str):
            return self._named(on, {}, at, at, "trigger", self._vocabulary.triggers)
        if not isinstance(on, dict) or not on:
            self._problem_at(at, "'on' must name a trigger", self._triggers_hint())
            return None
        if len(on) > 1:
            second = [*on][1]
            self._problems.add(
                self._document.key((*at, second)),
                f"'on' names {len(on)} triggers; a rule has one",
                "write a rule of its own for each; or indent its parameters further",
            )
            return None
        [(name, config)] = on.items()
        return self._named(name, config, (*at, name), at, "trigger", self._vocabulary.triggers)

    def _triggers_hint(self) -> str:
        return self._problems.suggest("", self._vocabulary.triggers, kind="triggers")

    def _condition(self, raw: dict[str, Any], path: DataPath) -> str | None:
        at = (*path, "if")
        if "if" not in raw or (raw["if"] is None and not self._document.scalars.get(at)):
            return None
        text = self._as_text(raw["if"], at)
        if text is None:
            self._problem_at(at, "'if' must be a condition", "as in: file.size > 10 * KB")
            return None
        try:
            self._vocabulary.check_condition(text)
        except ExpressionError as error:
            self._expression_problem(at, error)
        return text.strip()

    def _steps(self, raw: dict[str, Any], path: DataPath) -> tuple[StepSpec, ...]:
        at = (*path, "do")
        if "do" not in raw:
            self._missing(raw, path, "do", "it is a list of steps")
            return ()
        do = raw["do"]
        if not isinstance(do, list):
            hint = "begin each step with '- '"
            self._problem_at(at, "'do' must be a list of steps", hint)
            return ()
        if not do:
            self._problem_at(at, "'do' is empty: this rule would do nothing")
            return ()
        steps = [self._step(item, (*at, index)) for index, item in enumerate(do)]
        return tuple(step for step in steps if step is not None)

    def _step(self, raw: object, path: DataPath) -> StepSpec | None:
        actions = self._vocabulary.actions
        if isinstance(raw, str):
            named = self._named(raw, {}, path, path, "action", actions)
        elif not isinstance(raw, dict) or not raw:
            self._problem_at(
                path, "a step names an action", self._problems.suggest("", actions, kind="actions")
            )
            return None
        elif len(raw) > 1:
            self._two_keys(raw, path)
            return None
        else:
            [(name, config)] = raw.items()
            self._check_templates(config, (*path, name))
            named = self._named(name, config, (*path, name), path, "action", actions)
        if named is None:
            return None
        action, model, data = named
        if self._allow is not None and _needs_allowing(type(model)) and action not in self._allow:
            self._problems.add(
                self._document.key((*path, action)),
                f"{action} is off until the rules file allows it",
                f"write 'allow: [{action}]' at the top level, if you trust this file",
            )
            return None
        return StepSpec(action, model, data, self._position(self._document.key((*path, action))))

    def _two_keys(self, raw: dict[str, Any], path: DataPath) -> None:
        first, second = [*raw][:2]
        place = self._document.key((*path, second))
        if second in self._vocabulary.actions or first not in self._vocabulary.actions:
            hint = f"begin a step of its own: '- {second}:'"
        else:
            hint = f"indent '{second}' further if it belongs to '{first}'"
        self._problems.add(place, f"a step names one action, this one {len(raw)}", hint)

    def _named(
        self,
        name: str,
        config: object,
        path: DataPath,
        at: DataPath,
        kind: str,
        models: Mapping[str, type[BaseModel]],
    ) -> tuple[str, BaseModel, dict[str, Any]] | None:
        """Look up a trigger or action by its name, and check its parameters."""
        model = models.get(name) or self._vocabulary.stand_in(kind, name)
        if kind == "trigger" and isinstance(config, dict):
            model = self._without_formats(config) or model
        if model is None:
            self._problems.add(
                self._document.key(path),
                f"there is no {kind} '{name[:60]}'",
                self._problems.suggest(name, models, kind=f"{kind}s"),
            )
            return None
        if config is None:
            config = {}
        if not isinstance(config, dict):
            fields = ", ".join(f"'{field}'" for field in model.model_fields) or "none"
            self._problem_at(
                path, f"the parameters of '{name}' must be a mapping", f"it knows: {fields}"
            )
            return None
        validated, data = self._validated(model, config, path if path != at else (*at, name))
        if validated is None:
            return None
        assert isinstance(data, dict)
        return name, validated, data

    def _without_formats(self, config: dict[str, Any]) -> type[BaseModel] | None:
        """Give what stands for a trigger that looks for sidecars of a format that is missing.

        Without the format it would take the sidecars for files.
        """
        named = config.get("sidecars")
        for name in named if isinstance(named, list | dict) else _listed(named):
            if isinstance(name, str) and name not in self._vocabulary.sidecar_formats:
                stand_in = self._vocabulary.stand_in("sidecar format", name)
                if stand_in is not None:
                    return stand_in
        return None

    def _check_templates(self, data: object, path: DataPath) -> None:
        for at, text in _yaml.strings(data, path):
            if not any(opening in text for opening in ("{{", "{%", "{#")):
                continue
            try:
                self._vocabulary.check_template(text)
            except ExpressionError as error:
                self._expression_problem(at, error)

    # -- what all of them need ----------------------------------------------------

    def _validated(
        self, model: type[BaseModel], data: object, path: DataPath
    ) -> tuple[BaseModel | None, object]:
        return validate(
            model,
            data,
            path,
            document=self._document,
            problems=self._problems,
            context={
                "folder": self._folder,
                "environ": self._environ,
                "sidecar_formats": self._vocabulary.sidecar_formats,
            },
        )

    def _expression_problem(self, path: DataPath, error: ExpressionError) -> None:
        line, column = getattr(error, "line", 1), getattr(error, "column", 1)
        message = str(getattr(error, "message", "") or error)
        hint = str(getattr(error, "hint", "") or "")
        self._problems.add(self._document.within(path, line, column), message, hint)

    def _refuse_unknown(self, data: dict[str, Any], path: DataPath, known: tuple[str, ...]) -> None:
        for key in data:
            if key not in known:
                place = self._document.key((*path, key))
                hint = self._problems.suggest(key, known)
                if key[:1] in _SPECIAL_SPACES:
                    hint = f"this begins with U+{ord(key[0]):04X}; write plain spaces"
                self._problems.add(place, f"there is no '{key[:60]}' here", hint)

    def _missing(self, raw: dict[str, Any], path: DataPath, key: str, hint: str) -> None:
        # What is misspelt is not missing as well: that is said already.
        if not any(nearest(other, (key,)) for other in [*raw][:100] if other != key):
            self._problem_at(path, f"'{key}' is missing", hint)

    def _problem_at(self, path: DataPath, message: str, hint: str = "") -> None:
        self._problems.add(self._document.value(path), message, hint)

    def _as_text(self, value: object, path: DataPath) -> str | None:
        """Give a text, and a number or boolean as it was written."""
        if isinstance(value, str):
            return value
        return self._document.text(path) if isinstance(value, bool | int | float) else None

    def _position(self, place: tuple[int, int]) -> Position:
        return Position(self._problems.file, *place)

    def _at(self, path: DataPath) -> object:
        value: Any = self._document.data
        for part in path:
            value = value[part]
        return value


def _needs_allowing(action: type[BaseModel]) -> bool:
    return bool(getattr(action, "needs_allowing", False))


def _is_folder(path: Path) -> bool:
    try:
        return path.is_dir()
    except OSError:
        return False
