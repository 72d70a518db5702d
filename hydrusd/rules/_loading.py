"""Reads a rules file, top to bottom, and goes on after every problem it can.

The structure around triggers and actions is checked here by hand rather than by one
generated model: what people get wrong (two actions in one step, a step without its
dash, ``on`` with two triggers) deserves an answer of its own.
"""

from __future__ import annotations

import contextlib
import dataclasses
import hashlib
import json
import re
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path, PurePosixPath, PureWindowsPath
from typing import Any
from urllib.parse import urlsplit

from pydantic import BaseModel, SecretStr, ValidationError

from hydrusd.errors import ConfigError, ExpressionError, Problem
from hydrusd.model import UNDO_RULE
from hydrusd.rules import _yaml
from hydrusd.rules._assembling import assemble
from hydrusd.rules._files import Gathering, read_text
from hydrusd.rules._pace import PACE, Pace, PaceSpec
from hydrusd.rules._problems import Problems, nearest
from hydrusd.rules._secrets import REFERENCE, SecretError, access_key
from hydrusd.rules._settings import Backups, Client, History, Limits, Plugins
from hydrusd.rules._specs import (
    MAX_ITEMS,
    ONLY_CLIENT,
    BackupsSpec,
    BranchSpec,
    ClientSpec,
    HistorySpec,
    InvalidRule,
    LimitsSpec,
    LoopSpec,
    NodeSpec,
    PluginsSpec,
    Position,
    RuleSet,
    RuleSpec,
    Sources,
    StepSpec,
    StopSpec,
    Vocabulary,
)
from hydrusd.rules._tests import RuleTest, TestsReader
from hydrusd.rules._units import resolve_path
from hydrusd.rules._wording import validate
from hydrusd.rules._yaml import Document, Path as DataPath

_TOP = (
    "client",
    "clients",
    "plugins",
    "allow",
    "backups",
    "history",
    "include",
    "vars",
    "defaults",
    "blueprints",
    "rules",
    "tests",
)
_RULE = ("name", "client", "on", "if", "vars", "do", "limits", *PACE, "enabled", "tests")
_CLIENT_NAME = re.compile(r"[a-z0-9][a-z0-9_-]{0,62}")
_URL_HINT = "as in http://127.0.0.1:45869"
# What looks like a space, or like nothing, and is neither to YAML: pasted from a web page.
_SPECIAL_SPACES = tuple("\u00a0\u2007\u200b\u202f\u3000\ufeff")
NAME = re.compile(r"[A-Za-z_][A-Za-z0-9_]*")
_BRANCH = ("if", "do", "else")
_LOOP = ("for_each", "as", "do")
_STOP = ("stop", "if")
_TAKEN = frozenset(
    {"steps", "vars", "rule", "loop", "true", "false", "none", "KB", "MB", "GB", "TB"}
)
"""What an item of a loop cannot be called."""
_VARIABLE = re.compile(r"\bvars\s*(?:\.\s*|\[\s*['\"])([A-Za-z_][A-Za-z0-9_]*)")
MAX_LOOPS = 2
MAX_NAME = 200
MAX_PLACES_DEPTH = 3
"""How deep in a step or a trigger places are kept: its action, a parameter, an item."""


def load(
    path: Path,
    vocabulary: Vocabulary,
    *,
    environ: Mapping[str, str],
    resolve_secrets: bool = True,
    tolerant: bool = False,
) -> RuleSet:
    """Read a rules file. Raises ConfigError with every problem, in the order of the file.

    With ``resolve_secrets=False`` references to secrets are checked for their form only. With
    ``tolerant=True`` rules with problems of their own are left out, and are in ``invalid``.
    """
    text = _read_file(path)
    return parse(
        text,
        vocabulary,
        file=str(path),
        folder=path.parent,
        environ=environ,
        resolve_secrets=resolve_secrets,
        tolerant=tolerant,
    )


def read_sources(path: Path) -> Sources:
    """Say which files and folders the rules are read from, whatever may be wrong with them.

    Never fails: ``load`` tells what is wrong.
    """
    try:
        text = _read_file(path)
    except ConfigError:
        return Sources((path,))
    gathering = Gathering(Problems(str(path), text))
    gathering.first(path, text)
    return gathering.sources


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
    tolerant: bool = False,
) -> RuleSet:
    """Do what ``load`` does, with a text. ``folder`` is where relative paths start."""
    problems = Problems(file, text)
    folder = (folder if folder is not None else Path(file).parent).absolute()
    gathering = Gathering(problems)
    if not gathering.first(folder / Path(file).name, text):
        problems.raise_if_any()
        raise AssertionError  # nothing is read only where there is a problem
    document = assemble(gathering.read, problems, vocabulary, _RULE)
    reading = _Reading(document, problems, vocabulary, folder)
    rules = reading.file(environ, resolve_secrets=resolve_secrets, tolerant=tolerant)
    problems.raise_if_any()
    assert rules is not None
    return dataclasses.replace(rules, sources=gathering.sources)


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
    rule = reading.rule((), {})
    problems.raise_if_any()
    assert rule is not None
    return rule


def _read_file(path: Path) -> str:
    problems = Problems(str(path))
    text = read_text(path, problems, (0, 0))
    problems.raise_if_any()
    assert text is not None
    return text


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
        self._shared: dict[str, tuple[object, DataPath]] = {}
        self._rule_path: DataPath = ()

    def file(
        self, environ: Mapping[str, str], *, resolve_secrets: bool, tolerant: bool
    ) -> RuleSet | None:
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
        self._shared = self._variables(data.get("vars"), ("vars",))
        # What is wrong around the rules may be wrong for all of them.
        invalid: list[InvalidRule] | None = [] if tolerant and not self._problems else None
        rules = self._rules(data, invalid)
        tests = self._tests(data)
        if self._problems:
            return None
        return RuleSet(
            self._clients,
            rules,
            plugins,
            Path(self._problems.file),
            self._allow,
            backups,
            history,
            self._problems.warnings,
            tests,
            invalid=tuple(invalid or ()),
            secret_files=self._secret_files(),
        )

    def _secret_files(self) -> tuple[Path, ...]:
        """Give the files that secrets are kept in."""
        texts = (str(node.value) for node in self._document.scalars.values())
        named = {n for t in texts for kind, n in REFERENCE.findall(t) if kind == "file" and n}
        found = []
        for name in sorted(named):
            with contextlib.suppress(RuntimeError, ValueError):
                found.append(resolve_path(name, self._folder or Path()))
        return tuple(found)

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

    def _rules(
        self, data: dict[str, Any], invalid: list[InvalidRule] | None
    ) -> tuple[RuleSpec, ...]:
        """Read the rules; those with problems of their own go into ``invalid``, where it is given.

        One without a name that is its own is not among them: nobody knows whose jobs are meant.
        """
        if "rules" not in data:
            self._missing(data, (), "rules", "it is a list of rules, here or in what is included")
            return ()
        raw = data["rules"]
        if not isinstance(raw, list):
            self._problem_at(
                ("rules",), "'rules' must be a list", "begin each rule with '- name: …'"
            )
            return ()
        names: dict[str, None] = {}
        read = []
        for index in range(len(raw)):
            known, before = len(names), self._problems.noted
            rule = self.rule(("rules", index), names)
            if rule is not None:
                read.append(rule)
            elif invalid is not None and len(names) > known:
                problems = self._problems.take(before)
                invalid.append(self._invalid(("rules", index), next(reversed(names)), problems))
        return tuple(read)

    def _invalid(self, path: DataPath, name: str, problems: tuple[Problem, ...]) -> InvalidRule:
        """Tell of a rule with problems what can be told."""
        raw = self._at(path)
        assert isinstance(raw, dict)
        before = self._problems.noted
        client, trigger = self._client_of(raw, path), self._trigger(raw, path)
        self._problems.take(before)  # they are known
        kind, config, _ = trigger or ("", None, None)
        return InvalidRule(name, problems, kind, config, client or ONLY_CLIENT)

    def rule(self, path: DataPath, names: dict[str, None]) -> RuleSpec | None:
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
        pace = self._pace(raw, path)
        trigger = self._trigger(raw, path)
        condition = self._condition(raw, path)
        self._rule_path = path
        own = self._variables(raw.get("vars"), (*path, "vars"))
        body = self._body(raw, path)
        enabled = raw.get("enabled", True)
        if not isinstance(enabled, bool):
            self._problem_at((*path, "enabled"), "'enabled' must be true or false")
        if len(self._problems) > before or name is None or trigger is None or client is None:
            return None
        trigger_name, trigger_config, trigger_raw = trigger
        meant: dict[str, Any] = {
            "on": {trigger_name: trigger_raw},
            "if": condition,
            "do": list(map(_written, body)),
            **({"client": client} if "client" in raw else {}),
        }
        variables = self._in_order(_used_variables(meant, self._shared | own))
        if variables:
            meant["vars"] = dict(variables)
        definition = _canonical(meant)
        if len(self._problems) > before:
            return None
        rule = RuleSpec(
            name=name,
            trigger=trigger_name,
            trigger_config=trigger_config,
            condition=condition,
            body=body,
            revision=hashlib.sha256(definition.encode()).hexdigest()[:16],
            definition=definition,
            position=self._position(self._document.value(path)),
            enabled=bool(enabled),
            client=client,
            limits=limits,
            variables=variables,
            pace=pace,
            places=self._places(raw, path),
        )
        for fault in self._vocabulary.check_rule(rule):
            at = (*path, *fault.path)
            within = fault.within
            place = self._document.within(at, *within) if within else self._document.key(at)
            add = self._problems.warn if fault.doubt else self._problems.add
            add(place, fault.message, fault.hint)
        return rule if len(self._problems) == before else None

    def _places(self, raw: dict[str, Any], path: DataPath) -> dict[DataPath, Position]:
        """Give the places of what a fault that shows later may be about."""
        places: dict[DataPath, Position] = {}
        waiting: list[tuple[DataPath, object, int]] = [
            (("on",), raw.get("on"), MAX_PLACES_DEPTH),
            (("do",), raw.get("do"), MAX_PLACES_DEPTH),
            (("if",), raw.get("if"), 0),
            (("vars",), raw.get("vars"), 1),
            *(((key,), raw[key], MAX_PLACES_DEPTH) for key in PACE if key in raw),
        ]
        while waiting:
            at, value, left = waiting.pop()
            places[at] = self._position(self._document.key((*path, *at)))
            if isinstance(value, list) and at[-1] in {"do", "else"}:
                waiting += [((*at, i), item, MAX_PLACES_DEPTH) for i, item in enumerate(value)]
            elif left <= 0:
                continue
            elif isinstance(value, dict):
                waiting += [((*at, key), item, left - 1) for key, item in value.items()]
            elif isinstance(value, list):
                waiting += [((*at, i), item, left - 1) for i, item in enumerate(value)]
        return places

    def _name(self, raw: dict[str, Any], path: DataPath, names: dict[str, None]) -> str | None:
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
        names[name] = None
        return name

    def _limits(self, raw: dict[str, Any], path: DataPath) -> LimitsSpec:
        at = (*path, "limits")
        if "limits" not in raw:
            return LimitsSpec()
        if not isinstance(raw["limits"], dict):
            hint = "it knows: 'per_hour', 'per_minute', 'per_run', 'failures'"
            self._problem_at(at, "'limits' must be a mapping", hint)
            return LimitsSpec()
        read, _ = self._validated(Limits, raw["limits"], at)
        return LimitsSpec(**read.model_dump()) if read is not None else LimitsSpec()

    def _pace(self, raw: dict[str, Any], path: DataPath) -> PaceSpec:
        """Read how a rule takes up its jobs."""
        given = {key: raw[key] for key in PACE if key in raw}
        if not given:
            return PaceSpec()
        read, _ = self._validated(Pace, given, path)
        return read.spec() if isinstance(read, Pace) else PaceSpec()

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

    # -- variables ----------------------------------------------------------------

    def _variables(self, raw: object, at: DataPath) -> dict[str, tuple[object, DataPath]]:
        """Read variables, each with its path; those with problems are left out."""
        if raw is None:
            return {}
        if not isinstance(raw, dict):
            self._problem_at(at, "'vars' must be a mapping", "as in: vars: {artist: …}")
            return {}
        right: dict[str, tuple[object, DataPath]] = {}
        for name, value in raw.items():
            before = len(self._problems)
            if not NAME.fullmatch(name):
                place = self._document.key((*at, name))
                self._problems.add(place, "a variable is called by letters, digits and _")
            self._check_templates(value, (*at, name))
            if len(self._problems) == before:
                right[name] = (value, (*at, name))
        return right

    def _in_order(
        self, variables: Mapping[str, tuple[object, DataPath]]
    ) -> tuple[tuple[str, object], ...]:
        """Put each variable behind those that it uses."""
        ordered: dict[str, object] = {}
        left = {
            name: _variables_in(value) & variables.keys()
            for name, (value, _) in sorted(variables.items())
        }
        while left:
            ready = [name for name, uses in left.items() if uses <= ordered.keys()]
            if not ready:
                name = next(iter(left))
                words = ", ".join(f"vars.{other}" for other in left)
                self._problems.add(
                    self._document.key(variables[name][1]),
                    f"the variable '{name}' uses itself, maybe by a detour",
                    f"look at {words}",
                )
                break
            for name in ready:
                ordered[name] = variables[name][0]
                del left[name]
        return tuple(ordered.items())

    # -- steps and blocks -----------------------------------------------------------

    def _body(self, raw: dict[str, Any], path: DataPath) -> tuple[NodeSpec, ...]:
        if "do" not in raw:
            self._missing(raw, path, "do", "it is a list of steps")
            return ()
        return self._nodes(raw["do"], (*path, "do"), "this rule would do nothing")

    def _nodes(self, do: object, at: DataPath, empty: str, loops: int = 0) -> tuple[NodeSpec, ...]:
        if not isinstance(do, list):
            self._problem_at(at, f"'{at[-1]}' must be a list of steps", "begin each step with '- '")
            return ()
        if not do:
            self._problem_at(at, f"'{at[-1]}' is empty: {empty}")
            return ()
        nodes = [self._node(item, (*at, index), loops) for index, item in enumerate(do)]
        return tuple(node for node in nodes if node is not None)

    def _node(self, raw: object, path: DataPath, loops: int) -> NodeSpec | None:
        if isinstance(raw, dict):
            if "for_each" in raw:
                return self._loop(raw, path, loops)
            if "stop" in raw:
                return self._stop(raw, path)
            if {"do", "else"} & {*raw} or [*raw] == ["if"]:
                return self._branch(raw, path, loops)
        elif raw == "stop":
            return StopSpec("", self._position(self._document.value(path)), self._inside(path))
        return self._step(raw, path)

    def _inside(self, path: DataPath) -> DataPath:
        """Give a path as it leads from the rule."""
        return path[len(self._rule_path) :]

    def _branch(self, raw: dict[str, Any], path: DataPath, loops: int) -> BranchSpec | None:
        before = len(self._problems)
        self._refuse_unknown(raw, path, _BRANCH)
        if "if" not in raw:
            self._missing(raw, path, "if", "steps under 'do' or 'else' need a condition")
        condition = self._condition(raw, path)
        if "if" in raw and condition is None and len(self._problems) == before:
            self._problem_at((*path, "if"), "'if' must be a condition")
        body: tuple[NodeSpec, ...] = ()
        if "do" in raw:
            body = self._nodes(raw["do"], (*path, "do"), "leave the block out", loops)
        elif "else" not in raw:
            self._missing(raw, path, "do", "it is a list of steps, for where the condition holds")
        otherwise: tuple[NodeSpec, ...] = ()
        if "else" in raw:
            otherwise = self._nodes(raw["else"], (*path, "else"), "leave it out", loops)
        if len(self._problems) > before or condition is None:
            return None
        place = self._position(self._document.key((*path, "if")))
        return BranchSpec(condition, body, otherwise, place, self._inside(path))

    def _loop(self, raw: dict[str, Any], path: DataPath, loops: int) -> LoopSpec | None:
        before = len(self._problems)
        self._refuse_unknown(raw, path, _LOOP)
        if loops >= MAX_LOOPS:
            place = self._document.key((*path, "for_each"))
            hint = "let a rule of its own do the inner part, by `fire`"
            self._problems.add(place, f"loops go {MAX_LOOPS} deep at most", hint)
            return None
        at = (*path, "for_each")
        items = raw["for_each"]
        if isinstance(items, list):
            if len(items) > MAX_ITEMS:
                self._problem_at(at, f"a loop goes over {MAX_ITEMS} items at most")
            self._check_templates(items, at)
            items = tuple(items)
        elif isinstance(items, str) and items.strip().startswith("{{"):
            try:
                self._vocabulary.check_list(items)
            except ExpressionError as error:
                self._expression_problem(at, error)
        else:
            hint = 'as in: for_each: [a, b], or: for_each: "{{ steps.unpack_archive.paths }}"'
            self._problem_at(at, "'for_each' must be a list, or one {{ … }} that gives one", hint)
        name = raw.get("as", "item")
        if not isinstance(name, str) or not NAME.fullmatch(name) or name in _TAKEN:
            hint = f"letters, digits and _, and none of: {', '.join(sorted(_TAKEN))}"
            self._problem_at((*path, "as"), "'as' must be a name for the item", hint)
        body: tuple[NodeSpec, ...] = ()
        if "do" not in raw:
            self._missing(raw, path, "do", "it is a list of steps, done for each item")
        else:
            body = self._nodes(raw["do"], (*path, "do"), "leave the loop out", loops + 1)
        if len(self._problems) > before:
            return None
        position = self._position(self._document.key(at))
        return LoopSpec(items, name, body, position, self._inside(path))

    def _stop(self, raw: dict[str, Any], path: DataPath) -> StopSpec | None:
        self._refuse_unknown(raw, path, _STOP)
        at = (*path, "stop")
        reason = "" if raw["stop"] is None else self._as_text(raw["stop"], at)
        if reason is None:
            self._problem_at(at, "'stop' may have a reason, as text", "as in: - stop: it is known")
            return None
        self._check_templates(reason, at)
        condition = self._condition(raw, path)
        return StopSpec(
            reason, self._position(self._document.key(at)), self._inside(path), condition
        )

    def _step(self, raw: object, path: DataPath) -> StepSpec | None:
        actions = self._vocabulary.actions
        condition = None
        if isinstance(raw, dict) and "if" in raw and len(raw) == 2:
            condition = self._condition(raw, path)
            raw = {key: value for key, value in raw.items() if key != "if"}
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
        place = self._position(self._document.key((*path, action)))
        return StepSpec(action, model, data, place, self._inside(path), condition)

    def _two_keys(self, raw: dict[str, Any], path: DataPath) -> None:
        first, second = [key for key in raw if key != "if"][:2]
        place = self._document.key((*path, second))
        if second in self._vocabulary.actions or first not in self._vocabulary.actions:
            hint = f"begin a step of its own: '- {second}:'"
        else:
            hint = f"indent '{second}' further if it belongs to '{first}'"
        number = len([key for key in raw if key != "if"])
        self._problems.add(place, f"a step names one action, this one {number}", hint)

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
            if _is_template(text):
                try:
                    self._vocabulary.check_template(text)
                except ExpressionError as error:
                    self._expression_problem(at, error)
        for at, text in _yaml.keys(data, path):
            if _is_template(text):
                try:
                    self._vocabulary.check_template(text)
                except ExpressionError as error:
                    hint = str(getattr(error, "hint", "") or "")
                    message = str(getattr(error, "message", "") or error)
                    self._problems.add(self._document.key(at), message, hint)

    # -- their tests --------------------------------------------------------------

    def _tests(self, data: dict[str, Any]) -> tuple[RuleTest, ...]:
        """Read the tests of rules, and of the file, in the order in which they stand there."""
        raw = data.get("rules")
        written = [each for each in raw if isinstance(each, dict)] if isinstance(raw, list) else []
        if "tests" not in data and not any("tests" in each for each in written):
            return ()
        names = [str(each.get("name", "")).strip() for each in written]
        reader = TestsReader(
            self._document,
            self._problems,
            self._validated,
            rules=names,
            clients=self._clients or (),
            actions=self._vocabulary.actions,
        )
        tests: list[RuleTest] = []
        for index, each in enumerate(raw if isinstance(raw, list) else ()):
            if isinstance(each, dict) and "tests" in each:
                name = str(each.get("name", "")).strip()
                tests += reader.read(each["tests"], ("rules", index, "tests"), name)
        tests += reader.read(data.get("tests"), ("tests",))
        return tuple(sorted(tests, key=lambda test: test.position.line))

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
        return self._problems.position(place)

    def _at(self, path: DataPath) -> object:
        value: Any = self._document.data
        for part in path:
            value = value[part]
        return value


def _written(node: NodeSpec) -> dict[str, Any]:
    """Give a step or a block as the ledger keeps it."""
    match node:
        case StepSpec():
            written: dict[str, Any] = {node.action: node.raw}
        case StopSpec():
            written = {"stop": node.reason}
        case LoopSpec():
            items = node.items if isinstance(node.items, str) else list(node.items)
            return {"for_each": items, "as": node.name, "do": list(map(_written, node.body))}
        case BranchSpec():
            return {
                "if": node.condition,
                **({"do": list(map(_written, node.body))} if node.body else {}),
                **({"else": list(map(_written, node.otherwise))} if node.otherwise else {}),
            }
    return written if node.condition is None else {**written, "if": node.condition}


def _variables_in(value: object) -> set[str]:
    """Give the names of the variables that a piece of a rule speaks of."""
    texts = [text for _, text in (*_yaml.strings(value, ()), *_yaml.keys(value, ()))]
    return {found for text in texts for found in _VARIABLE.findall(text)}


def _used_variables(
    meant: object, variables: Mapping[str, tuple[object, DataPath]]
) -> dict[str, tuple[object, DataPath]]:
    """Give those that a rule uses: a change of any other is no change of the rule."""
    if not variables:
        return {}
    used: dict[str, tuple[object, DataPath]] = {}
    waiting = _variables_in(meant)
    while waiting:
        name = waiting.pop()
        if name in variables and name not in used:
            used[name] = variables[name]
            waiting |= _variables_in(variables[name][0])
    return used


def _needs_allowing(action: type[BaseModel]) -> bool:
    return bool(getattr(action, "needs_allowing", False))


def _is_template(text: str) -> bool:
    return any(opening in text for opening in ("{{", "{%", "{#"))


def _is_folder(path: Path) -> bool:
    try:
        return path.is_dir()
    except OSError:
        return False
