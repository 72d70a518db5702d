"""Finds plugins, loads them one at a time, and answers typed questions about them.

pluggy's ``hook.x()`` is untyped and raises whatever a plugin raises; both stay in
here. A plugin that cannot be imported, misspells a hook, takes a name that is
taken, does not come back or calls ``sys.exit`` becomes a ``PluginFault`` that the user is shown,
and the others load. There is no module-global manager: each host is a fresh one.
"""

from __future__ import annotations

import hashlib
import importlib.machinery
import importlib.metadata
import importlib.util
import inspect
import re
import sys
import threading
import time
import traceback
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, fields
from pathlib import Path
from types import CodeType, MappingProxyType, ModuleType
from typing import Any, TypeVar

import pluggy
import structlog

from hydrusd.errors import text_of
from hydrusd.plugin import hookspecs
from hydrusd.plugin._action import Action, AnyAction, SetAction
from hydrusd.plugin._decorating import DECORATED
from hydrusd.plugin._isolating import isolated
from hydrusd.plugin._sidecars import SidecarFormat
from hydrusd.plugin._trigger import Trigger
from hydrusd.plugin._trusting import reason_to_distrust
from hydrusd.plugin.accounts import PUT_BACK, Accounts
from hydrusd.plugin.observing import Observer, Observers
from hydrusd.plugin.prints import capturing_prints
from hydrusd.plugin.stand_ins import missing_action, missing_trigger
from hydrusd.plugin.surroundings import Surroundings
from hydrusd.rules import STEP_WORDS, PluginsSpec

ENTRY_POINT_GROUP = "hydrusd"
SETTINGS = (".toml", ".yaml", ".yml", ".ini", ".cfg")
"""How the names of files end in which plugins may keep what a user sets: a change reloads them."""
IMPORT_SECONDS = 30.0
"""How long a plugin may take to import, and to register what it brings."""
SLOW_IMPORT_SECONDS = 1.0
"""How long it may take before that is worth a word."""
BUILT_IN, SHIPPED, FOLDER, PACKAGE = "built in", "ships with hydrusd", "folder", "package"

_REGISTERING = "hydrusd_register_"
_NAME = re.compile(r"[a-z][a-z0-9_]*\Z")
_SUFFIX = re.compile(r"(\.[a-z0-9_-]+)+\Z")
_MOST_SOURCES = 200
_MOST_CHARACTERS = 1_000_000

T = TypeVar("T")

log = structlog.get_logger("hydrusd.plugins")


@dataclass(frozen=True, slots=True)
class PluginFault:
    """A plugin that was left out, where it came from, and why.

    ``deliberate``: because the user said so. ``sources`` are the files of its code; None where
    they are not known, so that it may bring anything.
    """

    plugin: str
    origin: str
    message: str
    deliberate: bool = False
    sources: Sequence[Path] | None = None

    def may_bring(self, name: str) -> bool:
        """Say whether the code of the plugin speaks of something by this name."""
        if self.sources is None:
            return not self.deliberate
        # As a text of its own (`action = "greet"`), or as a function that is made an action.
        name = re.escape(name)
        word = re.compile(rf"[\"']{name}[\"']|\bdef {name}\b")
        return any(word.search(_text_of(source)) for source in self.sources)


@dataclass(slots=True)
class LoadedPlugin:
    """A plugin that is in use, where it came from (``kind`` and ``origin``) and what it brought."""

    name: str
    origin: str
    kind: str = FOLDER
    actions: list[str] = field(default_factory=list)
    triggers: list[str] = field(default_factory=list)
    filters: list[str] = field(default_factory=list)
    sidecar_formats: list[str] = field(default_factory=list)
    commands: list[str] = field(default_factory=list)
    hooks: list[str] = field(default_factory=list)
    import_seconds: float = 0.0


class _Conflict(Exception):
    """What a plugin registers cannot be taken."""


@dataclass(slots=True)
class _Brought:
    """What a plugin has registered so far; none of it counts before all of it is there."""

    actions: dict[str, type[AnyAction]] = field(default_factory=dict)
    triggers: dict[str, type[Trigger]] = field(default_factory=dict)
    filters: dict[str, Callable[..., object]] = field(default_factory=dict)
    sidecar_formats: dict[str, SidecarFormat] = field(default_factory=dict)
    commands: dict[str, hookspecs.Command] = field(default_factory=dict)


class PluginHost:
    """All plugins of one daemon."""

    def __init__(
        self,
        settings: PluginsSpec | None = None,
        former: PluginHost | None = None,
        *,
        import_seconds: float | None = None,
    ) -> None:
        """Make an empty one. ``settings`` say which plugins are to be left out.

        Files that ``former`` has loaded, and that are the same, are used on, as are its accounts.
        """
        self._former = former.files if former is not None else None
        self.files: dict[Path, tuple[bytes, ModuleType]] = {}
        """What was imported from files: a digest of their content, and the module."""
        self._manager = pluggy.PluginManager(hookspecs.PROJECT)
        self._manager.add_hookspecs(hookspecs)
        self._settings = settings or PluginsSpec()
        self._import_seconds = IMPORT_SECONDS if import_seconds is None else import_seconds
        self._has = _Brought()
        self.accounts: Accounts = former.accounts if former is not None else Accounts()
        self.plugins: list[LoadedPlugin] = []
        self.faults: list[PluginFault] = []

    @property
    def actions(self) -> Mapping[str, type[AnyAction]]:
        """Every action by its name in YAML."""
        return MappingProxyType(self._has.actions)

    @property
    def triggers(self) -> Mapping[str, type[Trigger]]:
        """Every trigger by its name in YAML."""
        return MappingProxyType(self._has.triggers)

    @property
    def filters(self) -> Mapping[str, Callable[..., object]]:
        """Every filter for templates and conditions."""
        return MappingProxyType(self._has.filters)

    @property
    def sidecar_formats(self) -> Mapping[str, SidecarFormat]:
        """Every format of sidecars by its name in YAML."""
        return MappingProxyType(self._has.sidecar_formats)

    @property
    def commands(self) -> Mapping[str, hookspecs.Command]:
        """Every command of the command line that plugins add."""
        return MappingProxyType(self._has.commands)

    @property
    def has_strangers(self) -> bool:
        """Say whether there are plugins that do not come with hydrusd."""
        return any(plugin.kind in {FOLDER, PACKAGE} for plugin in self.plugins)

    # --- loading -------------------------------------------------------------------------

    def load_modules(self, modules: Iterable[ModuleType]) -> None:
        """Load modules that are imported already: the built-ins, and plugins in tests."""
        for module in modules:
            self._load(module.__name__, module.__name__, BUILT_IN, lambda given: given, module)

    def load_folder(self, folder: Path, *, kind: str = FOLDER, left_out: str = "") -> None:
        """Load each ``*.py`` of a folder (not those starting with ``_`` or ``.``), by name.

        The latter are what macOS and editors leave beside the files that they are about.
        ``left_out`` is a reason to load none of them.
        """
        folder = folder.absolute()  # as code knows its files
        try:
            files = sorted(
                p for p in folder.iterdir() if p.suffix == ".py" and p.name[0] not in "_."
            )
            shared = _digest(
                sorted(
                    p
                    for p in folder.iterdir()
                    if (p.name[0] == "_" and p.suffix == ".py") or p.suffix.lower() in SETTINGS
                )
            )
        except OSError as error:
            self.faults.append(PluginFault(folder.name, str(folder), f"cannot be read: {error}"))
            return
        for file in files:
            refused = self._refused(file.stem, kind) or left_out
            distrust = "" if refused else reason_to_distrust(folder, file)
            if refused or distrust:
                self.faults.append(
                    PluginFault(file.stem, str(file), refused or distrust, bool(refused), [file])
                )
                continue
            self.accounts.claim(file.stem, file=file)
            self._load(file.stem, str(file), kind, self._import_file, file, shared, sources=[file])

    def _import_file(self, file: Path, shared: bytes) -> ModuleType:
        """Import a file, or give the module that it was, with what its folder shares, before."""
        content = _digest([file]) + shared
        former = self._former.get(file) if self._former is not None else None
        if former is not None and former[0] == content:
            module = former[1]
        else:
            module = _import_file(file, anew=self._former is not None)
        self.files[file] = (content, module)
        return module

    def broken_since(self, former: PluginHost) -> list[PluginFault]:
        """Give the faults of plugins that the former host could load."""
        loaded = {plugin.origin for plugin in former.plugins}
        loaded |= {str(file.parent) for file in former.files}
        return [f for f in self.faults if f.origin in loaded and not f.deliberate]

    def load_entry_points(self, *, left_out: str = "") -> None:
        """Load the plugins that installed packages announce; see ``load_folder``."""
        for entry in importlib.metadata.entry_points(group=ENTRY_POINT_GROUP):
            origin = f"{entry.dist.name} {entry.dist.version}" if entry.dist else entry.value
            place, sources = _place_of(entry.module)
            if refused := self._refused(entry.name, PACKAGE) or left_out:
                self.faults.append(
                    PluginFault(entry.name, origin, refused, deliberate=True, sources=sources)
                )
                continue
            if place is not None and place.is_dir():
                self.accounts.claim(entry.name, folder=place)
            elif place is not None:
                self.accounts.claim(entry.name, file=place)
            self._load(entry.name, origin, PACKAGE, entry.load, sources=sources)

    def _refused(self, name: str, kind: str) -> str:
        """Say why the user does not want a plugin; nothing where it may be loaded."""
        if name in self._settings.disable:
            return "disabled in the rules file"
        only = self._settings.only
        if only is not None and kind in {FOLDER, PACKAGE} and name not in only:
            return "the rules file does not name it under `only`"
        return ""

    def _load(
        self,
        name: str,
        origin: str,
        kind: str,
        find: Callable[..., object],
        *given: object,
        sources: Sequence[Path] | None = None,
    ) -> None:
        if self._manager.has_plugin(name):
            message = "another plugin has this name and was loaded first"
            self.faults.append(PluginFault(name, origin, message, sources=sources))
            return
        plugin, brought = LoadedPlugin(name, origin, kind), _Brought()
        module: object = None
        before = Surroundings() if kind != BUILT_IN else None
        began = time.perf_counter()
        try:
            with capturing_prints(self.accounts):
                # What is imported already has nothing left to hang in.
                module = find(*given) if kind == BUILT_IN else self._in_time(find, *given)
                _check_version(module)
                _check_hooks(module)
                self._manager.register(module, name)
                self._manager.check_pending()
                if kind == BUILT_IN:
                    self._collect(module, brought)
                else:
                    self._in_time(self._collect, module, brought)
            self._isolate(name, brought)
        except (Exception, SystemExit) as error:  # noqa: BLE001 - the plugin boundary
            if self._manager.has_plugin(name):
                self._manager.unregister(name=name)
            reason = _reason(error, getattr(module, "__file__", None) or origin)
            self.faults.append(PluginFault(name, origin, reason, sources=sources))
        else:
            for mine, theirs in _pairs(self._has, brought):
                mine.update(theirs)
            plugin.actions, plugin.triggers = [*brought.actions], [*brought.triggers]
            plugin.filters, plugin.commands = [*brought.filters], [*brought.commands]
            plugin.sidecar_formats = [*brought.sidecar_formats]
            callers = self._manager.get_hookcallers(module) or []
            plugin.hooks = sorted(caller.name for caller in callers)
            plugin.import_seconds = time.perf_counter() - began
            self.plugins.append(plugin)
        if before is not None:
            self.accounts.of(name).import_seconds = time.perf_counter() - began
            if changed := before.put_back(imported=True):
                said = f"at its import {PUT_BACK}: {'; '.join(changed)}"
                self.accounts.failed(name, said)
                log.error(f"plugin {name}: {said}", plugin=name)

    def _in_time(self, work: Callable[..., T], *given: object) -> T:
        """Do it in a thread that is left behind if it does not come back."""
        results: list[T] = []
        errors: list[BaseException] = []

        def call() -> None:
            try:
                results.append(work(*given))
            except BaseException as error:  # noqa: BLE001 - raised again in the caller's thread
                errors.append(error)

        thread = threading.Thread(target=call, name="loading a plugin", daemon=True)
        thread.start()
        thread.join(self._import_seconds)
        if errors and isinstance(errors[0], Exception | SystemExit):
            raise errors[0]
        if errors:
            raise _Conflict(f"raised {type(errors[0]).__name__}") from errors[0]
        if not results:
            where = self.accounts.owner_on(sys._current_frames().get(thread.ident or 0))  # noqa: SLF001
            place = f" ({where[1]})" if where else ""
            raise _Conflict(f"it did not come back within {self._import_seconds:g} s{place}")
        return results[0]

    def _collect(self, module: object, brought: _Brought) -> None:
        """Let this plugin, and no other, register what it brings."""
        has = self._has

        def register_action(action: type[AnyAction]) -> None:
            _check_action(action)
            if action.action in STEP_WORDS:
                raise _Conflict(f"action {action.action!r}: this word has a meaning of its own")
            _claim(has.actions, brought.actions, action.action, action, "action")

        def register_trigger(trigger: type[Trigger]) -> None:
            _check_class(trigger, Trigger, getattr(trigger, "trigger", ""), "trigger")
            if trigger.run is Trigger.run:
                raise _Conflict(f"{trigger.__name__} has no run() of its own")
            _claim(has.triggers, brought.triggers, trigger.trigger, trigger, "trigger")

        def register_filter(name: str, function: Callable[..., object]) -> None:
            if not _NAME.match(name) or not callable(function):
                raise _Conflict(f"filter {name!r}: wants a lower-case name and a function")
            _claim(has.filters, brought.filters, name, function, "filter")

        def register_sidecar_format(given: SidecarFormat) -> None:
            _check_sidecar_format(given)
            formats = (has.sidecar_formats, brought.sidecar_formats)
            _claim(*formats, given.name, given, "sidecar format")

        def register_command(command: hookspecs.Command) -> None:
            name = getattr(command, "name", None)
            if not isinstance(name, str) or not callable(getattr(command, "make_context", None)):
                raise _Conflict(f"{command!r} is registered as command but is no click.Command")
            if not re.fullmatch(r"[a-z][a-z0-9-]*", name):
                raise _Conflict(f"command {name!r}: wants a name in lower case, as in find-lost")
            _claim(has.commands, brought.commands, name, command, "command")

        others = [p for p in self._manager.get_plugins() if p is not module]
        registering: tuple[tuple[str, Callable[..., None]], ...] = (
            ("actions", register_action),
            ("triggers", register_trigger),
            ("filters", register_filter),
            ("sidecar_formats", register_sidecar_format),
            ("commands", register_command),
        )
        for what, register in registering:
            self._manager.subset_hook_caller(_REGISTERING + what, others)(register=register)
        for action in _decorated_in(module):
            if brought.actions.get(action.action) is not action:
                register_action(action)

    def _isolate(self, name: str, brought: _Brought) -> None:
        memory = self._settings.isolate.get(name)
        if memory is None:
            return
        for step, action in brought.actions.items():
            if not issubclass(action, Action) or inspect.iscoroutinefunction(action.run):
                raise _Conflict(
                    f"cannot be isolated: {step} is `async def` or works on sets, and only what is "
                    f"written as `def run(self, call)` can run in another process"
                )
            brought.actions[step] = isolated(action, name, memory)

    # --- what is missing -----------------------------------------------------------------

    def missing(self, kind: str, name: str) -> str:
        """Say why there is nothing of this name, if a plugin that was left out may bring it."""
        for fault in self.faults:
            if fault.may_bring(name):
                return (
                    f"there is no {kind} {name!r}: plugin {fault.plugin} was left out: "
                    f"{fault.message}"
                )
        return ""

    def stand_in(self, kind: str, name: str) -> type[AnyAction | Trigger] | None:
        """Give what stands in a rule for an ``action`` or a ``trigger`` that is missing so."""
        reason = self.missing(kind, name)
        if not reason:
            return None
        return missing_action(name, reason) if kind == "action" else missing_trigger(name, reason)

    @property
    def left_out(self) -> str:
        """Say which plugins were left out, and why; nothing where all are there."""
        return "; ".join(f"plugin {f.plugin} was left out: {f.message}" for f in self.faults)

    # --- notifications -------------------------------------------------------------------

    @property
    def observers(self) -> Mapping[str, Sequence[Observer]]:
        """Who wants to be told of what, by the names of the hooks."""
        return {
            hook: found
            for hook in _observing_hooks()
            if (found := [*map(_observer, getattr(self._manager.hook, hook).get_hookimpls())])
        }

    def start_observers(self) -> Observers:
        """Give what tells them, each in a thread of its own."""
        return Observers(self.observers, self.accounts)


def _pairs(has: _Brought, brought: _Brought) -> Iterable[tuple[dict[str, Any], dict[str, Any]]]:
    for each in fields(_Brought):
        yield getattr(has, each.name), getattr(brought, each.name)


def _observing_hooks() -> list[str]:
    return [
        name
        for name in vars(hookspecs)
        if name.startswith(f"{hookspecs.PROJECT}_") and not name.startswith(_REGISTERING)
    ]


def _observer(implementation: pluggy.HookImpl) -> Observer:
    file = getattr(implementation.plugin, "__file__", None) or ""
    return Observer(
        implementation.plugin_name,
        implementation.function,
        frozenset(implementation.argnames),
        lambda error: _reason(error, file),
    )


def _text_of(source: Path) -> str:
    try:
        with source.open(encoding="utf-8", errors="replace") as file:
            return file.read(_MOST_CHARACTERS)
    except OSError:
        return ""


def _place_of(module: str) -> tuple[Path | None, Sequence[Path] | None]:
    """Give the folder or file of the package that a module is in, and its code. Imports nothing."""
    try:
        spec = importlib.util.find_spec(module.partition(".")[0])
    except (ImportError, ValueError):
        spec = None
    if spec is None:
        return None, None
    if spec.submodule_search_locations:
        place = Path(next(iter(spec.submodule_search_locations)))
        return place, sorted(place.rglob("*.py"))[:_MOST_SOURCES]
    if spec.origin is None:
        return None, None
    return Path(spec.origin), [Path(spec.origin)]


def _decorated_in(module: object) -> Iterable[type[AnyAction]]:
    """Give the actions that were made of functions in a module, and not merely imported there."""
    name = getattr(module, "__name__", "")
    for value in vars(module).values() if isinstance(module, ModuleType) else ():
        if (
            inspect.isclass(value)
            and issubclass(value, AnyAction)
            and vars(value).get(DECORATED)
            and (value.__module__ == name or value.__module__.startswith(f"{name}."))
        ):
            yield value


def _digest(files: Iterable[Path]) -> bytes:
    digest = hashlib.sha256()
    for file in files:
        digest.update(hashlib.sha256(file.read_bytes()).digest())
    return digest.digest()


class _Anew(importlib.machinery.SourceFileLoader):
    """Compiles what the file holds now.

    Python keeps what it has compiled, and knows a changed file by its size and the second of its
    last change: too little for one that is saved twice in a second.
    """

    def get_code(self, fullname: str) -> CodeType:
        path = self.get_filename(fullname)
        return self.source_to_code(self.get_data(path), path)


def _import_file(file: Path, *, anew: bool) -> ModuleType:
    name = f"hydrusd_plugin_{file.stem}"
    loader = _Anew(name, str(file)) if anew else None
    spec = importlib.util.spec_from_file_location(name, file, loader=loader)
    if spec is None or spec.loader is None:
        raise ImportError(f"{file} is not a Python file")
    module = importlib.util.module_from_spec(spec)
    former = sys.modules.get(name)
    sys.modules[name] = module
    try:
        spec.loader.exec_module(module)
    except BaseException:
        if former is None:
            sys.modules.pop(name, None)
        else:
            sys.modules[name] = former  # of another host
        raise
    return module


def _check_version(module: object) -> None:
    """Refuse a plugin that was written for another version of the author API."""
    wanted = getattr(module, "hydrusd_api", None)
    if wanted is None:
        return
    has = hookspecs.API_VERSION
    if not isinstance(wanted, tuple) or [type(part) for part in wanted] != [int, int]:
        raise _Conflict(f"hydrusd_api = {wanted!r}: wants two numbers, as in {has}")
    if wanted[0] != has[0] or wanted[1] > has[1]:
        theirs, ours = (".".join(map(str, each)) for each in (wanted, has))
        raise _Conflict(f"it is written for version {theirs} of the author API; this is {ours}")


def _claim(taken: Mapping[str, T], brought: dict[str, T], name: str, what: T, kind: str) -> None:
    there = taken.get(name) or brought.get(name)
    if there is not None:
        owner = getattr(there, "__module__", "another plugin")
        raise _Conflict(f"{kind} {name!r} is taken already, by {owner}")
    brought[name] = what


def _check_class(given: object, parent: type, name: str, kind: str) -> None:
    if not (inspect.isclass(given) and issubclass(given, parent)):
        raise _Conflict(
            f"{given!r} is registered as {kind} but is no subclass of {parent.__name__}"
        )
    if not _NAME.match(name):
        raise _Conflict(
            f"{given.__name__}.{kind} = {name!r}: wants a name in lower case, like add_file"
        )


def _check_action(given: type[AnyAction]) -> None:
    _check_class(given, AnyAction, getattr(given, "action", ""), "action")
    if issubclass(given, Action):
        own = given.run is not Action.run
    elif issubclass(given, SetAction):
        if not inspect.ismethod(given.run_set):
            raise _Conflict(f"{given.__name__}.run_set must be a classmethod")
        own = given.run_set.__func__ is not SetAction.run_set.__func__  # type: ignore[attr-defined]
    else:
        raise _Conflict(f"{given.__name__} must be a subclass of Action or SetAction")
    if wrong := set(given.writes_into) - given.model_fields.keys():
        raise _Conflict(f"{given.__name__}.writes_into names {min(wrong)!r}, which is no parameter")
    if not own:
        method = "run" if issubclass(given, Action) else "run_set"
        raise _Conflict(f"{given.__name__} has no {method}() of its own")


def _check_sidecar_format(given: object) -> None:
    if not isinstance(given, SidecarFormat):
        raise _Conflict(f"{given!r} is registered as sidecar format but is no SidecarFormat")
    if not _NAME.match(given.name) or not callable(given.read):
        raise _Conflict(f"sidecar format {given.name!r}: wants a lower-case name and a function")
    if not given.suffixes or not all(_SUFFIX.match(each) for each in given.suffixes):
        raise _Conflict(
            f"sidecar format {given.name!r}: wants suffixes in lower case with their dot, as .txt"
        )


def _check_hooks(plugin: object) -> None:
    """Refuse what pluggy would take without a word and never call as it was meant."""
    for name in dir(plugin):
        function = getattr(plugin, name, None)
        if not (name.startswith(f"{hookspecs.PROJECT}_") and inspect.isroutine(function)):
            continue
        options = getattr(function, f"{hookspecs.PROJECT}_impl", None)
        if options is None:
            raise _Conflict(f"{name}() lacks @hookimpl{_line_of(function)}")
        if inspect.iscoroutinefunction(function) or options["wrapper"] or options["hookwrapper"]:
            raise _Conflict(f"{name}() must be a plain def, no wrapper{_line_of(function)}")


def _reason(error: BaseException, plugin_file: str) -> str:
    """Say in one line what went wrong in a plugin, and on which line of it."""
    said = text_of(error)
    text = "; ".join(line.strip() for line in (said or "").strip().split("\n")[:3])
    if said is None:
        text = "it fails when it is asked what it says"
    if isinstance(error, SystemExit):
        text = f"called sys.exit({error.code!r})"
    elif isinstance(error, pluggy.PluginValidationError):
        named = (getattr(error.plugin, n) for n in dir(error.plugin) if repr(n) in text)
        return text + next(map(_line_of, named), "")
    elif not isinstance(error, _Conflict):
        text = f"{type(error).__name__}: {text}" if text else type(error).__name__
    # The plugin's own last line, not one in a library that it called.
    frames = list(traceback.walk_tb(error.__traceback__))
    own = [line for frame, line in frames if frame.f_code.co_filename == plugin_file]
    return f"{text} ({Path(plugin_file).name}, line {own[-1]})" if own else text


def _line_of(function: object) -> str:
    code = getattr(inspect.unwrap(function), "__code__", None)  # type: ignore[arg-type]
    return f" ({Path(code.co_filename).name}, line {code.co_firstlineno})" if code else ""
