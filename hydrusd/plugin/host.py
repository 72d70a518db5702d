"""Finds plugins, loads them one at a time, and answers typed questions about them.

pluggy's ``hook.x()`` is untyped and raises whatever a plugin raises; both stay in
here. A plugin that cannot be imported, misspells a hook, takes a name that is
taken or calls ``sys.exit`` becomes a ``PluginFault`` that the user is shown, and
the others load. There is no module-global manager: each host is a fresh one.
"""

from __future__ import annotations

import hashlib
import importlib.machinery
import importlib.metadata
import importlib.util
import inspect
import re
import sys
import traceback
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from types import CodeType, MappingProxyType, ModuleType
from typing import TypeVar

import pluggy

from hydrusd.model import FinishedJob
from hydrusd.plugin import hookspecs
from hydrusd.plugin._action import Action, AnyAction, SetAction
from hydrusd.plugin._sidecars import SidecarFormat
from hydrusd.plugin._trigger import Trigger
from hydrusd.rules import STEP_WORDS

ENTRY_POINT_GROUP = "hydrusd"
SETTINGS = (".toml", ".yaml", ".yml", ".ini", ".cfg")
"""How the names of files end in which plugins may keep what a user sets: a change reloads them."""

_NAME = re.compile(r"[a-z][a-z0-9_]*\Z")
_SUFFIX = re.compile(r"(\.[a-z0-9_-]+)+\Z")

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class PluginFault:
    """A plugin that was left out, where it came from, and why."""

    plugin: str
    origin: str
    message: str


@dataclass(slots=True)
class LoadedPlugin:
    """A plugin that is in use and what it brought."""

    name: str
    origin: str
    actions: list[str] = field(default_factory=list)
    triggers: list[str] = field(default_factory=list)
    filters: list[str] = field(default_factory=list)
    sidecar_formats: list[str] = field(default_factory=list)


class _Conflict(Exception):
    """What a plugin registers cannot be taken."""


class PluginHost:
    """All plugins of one daemon."""

    def __init__(self, former: PluginHost | None = None) -> None:
        """Make a host. Files that ``former`` has loaded, and that are the same, are used on."""
        self._former = former.files if former is not None else None
        self.files: dict[Path, tuple[bytes, ModuleType]] = {}
        """What was imported from files: a digest of their content, and the module."""
        self._manager = pluggy.PluginManager(hookspecs.PROJECT)
        self._manager.add_hookspecs(hookspecs)
        self._actions: dict[str, type[AnyAction]] = {}
        self._triggers: dict[str, type[Trigger]] = {}
        self._filters: dict[str, Callable[..., object]] = {}
        self._sidecar_formats: dict[str, SidecarFormat] = {}
        self.plugins: list[LoadedPlugin] = []
        self.faults: list[PluginFault] = []

    @property
    def actions(self) -> Mapping[str, type[AnyAction]]:
        """Every action by its name in YAML."""
        return MappingProxyType(self._actions)

    @property
    def triggers(self) -> Mapping[str, type[Trigger]]:
        """Every trigger by its name in YAML."""
        return MappingProxyType(self._triggers)

    @property
    def filters(self) -> Mapping[str, Callable[..., object]]:
        """Every filter for templates and conditions."""
        return MappingProxyType(self._filters)

    @property
    def sidecar_formats(self) -> Mapping[str, SidecarFormat]:
        """Every format of sidecars by its name in YAML."""
        return MappingProxyType(self._sidecar_formats)

    # --- loading -------------------------------------------------------------------------

    def load_modules(self, modules: Iterable[ModuleType]) -> None:
        """Load modules that are imported already: the built-ins, and plugins in tests."""
        for module in modules:
            self._load(module.__name__, module.__name__, lambda given: given, module)

    def load_folder(self, folder: Path) -> None:
        """Load each ``*.py`` of a folder (not those starting with ``_`` or ``.``), by name.

        The latter are what macOS and editors leave beside the files that they are about.
        """
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
            self._load(file.stem, str(file), self._import_file, file, shared)

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
        return [fault for fault in self.faults if fault.origin in loaded]

    def load_entry_points(self) -> None:
        """Load the plugins that installed packages announce."""
        for entry in importlib.metadata.entry_points(group=ENTRY_POINT_GROUP):
            origin = f"{entry.dist.name} {entry.dist.version}" if entry.dist else entry.value
            self._load(entry.name, origin, entry.load)

    def _load(self, name: str, origin: str, find: Callable[..., object], *given: object) -> None:
        if self._manager.has_plugin(name):
            self._fault(name, origin, "another plugin has this name and was loaded first")
            return
        plugin = LoadedPlugin(name, origin)
        before = (
            dict(self._actions),
            dict(self._triggers),
            dict(self._filters),
            dict(self._sidecar_formats),
        )
        module: object = None
        try:
            module = find(*given)
            _check_hooks(module)
            self._manager.register(module, name)
            self._manager.check_pending()
            self._collect(module, plugin)
        except (Exception, SystemExit) as error:  # noqa: BLE001 - the plugin boundary
            if self._manager.has_plugin(name):
                self._manager.unregister(name=name)
            self._actions, self._triggers, self._filters, self._sidecar_formats = before
            self._fault(name, origin, _reason(error, getattr(module, "__file__", None) or origin))
        else:
            self.plugins.append(plugin)

    def _fault(self, name: str, origin: str, message: str) -> None:
        self.faults.append(PluginFault(name, origin, message))

    def _collect(self, module: object, plugin: LoadedPlugin) -> None:
        """Let this plugin, and no other, register what it brings."""

        def register_action(action: type[AnyAction]) -> None:
            _check_action(action)
            if action.action in STEP_WORDS:
                raise _Conflict(f"action {action.action!r}: this word has a meaning of its own")
            _claim(self._actions, action.action, action, "action")
            plugin.actions.append(action.action)

        def register_trigger(trigger: type[Trigger]) -> None:
            _check_class(trigger, Trigger, getattr(trigger, "trigger", ""), "trigger")
            if trigger.run is Trigger.run:
                raise _Conflict(f"{trigger.__name__} has no run() of its own")
            _claim(self._triggers, trigger.trigger, trigger, "trigger")
            plugin.triggers.append(trigger.trigger)

        def register_filter(name: str, function: Callable[..., object]) -> None:
            if not _NAME.match(name) or not callable(function):
                raise _Conflict(f"filter {name!r}: wants a lower-case name and a function")
            _claim(self._filters, name, function, "filter")
            plugin.filters.append(name)

        def register_sidecar_format(given: SidecarFormat) -> None:
            _check_sidecar_format(given)
            _claim(self._sidecar_formats, given.name, given, "sidecar format")
            plugin.sidecar_formats.append(given.name)

        others = [p for p in self._manager.get_plugins() if p is not module]
        for hook, register in (
            ("hydrusd_register_actions", register_action),
            ("hydrusd_register_triggers", register_trigger),
            ("hydrusd_register_filters", register_filter),
            ("hydrusd_register_sidecar_formats", register_sidecar_format),
        ):
            self._manager.subset_hook_caller(hook, others)(register=register)

    # --- notifications -------------------------------------------------------------------

    @property
    def has_observers(self) -> bool:
        """Say whether any plugin wants to know of finished jobs."""
        return bool(self._manager.hook.hydrusd_job_finished.get_hookimpls())

    def job_finished(self, entry: FinishedJob) -> list[str]:
        """Tell all observers; give a sentence for each that failed at it."""
        failures = []
        for implementation in self._manager.hook.hydrusd_job_finished.get_hookimpls():
            wanted = {"entry": entry} if "entry" in implementation.argnames else {}
            try:
                implementation.function(**wanted)
            except (Exception, SystemExit) as error:  # noqa: BLE001 - the plugin boundary
                file = getattr(implementation.plugin, "__file__", None) or ""
                failures.append(f"plugin {implementation.plugin_name}: {_reason(error, file)}")
        return failures


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


def _claim(taken: dict[str, T], name: str, what: T, kind: str) -> None:
    if name in taken:
        owner = getattr(taken[name], "__module__", "another plugin")
        raise _Conflict(f"{kind} {name!r} is taken already, by {owner}")
    taken[name] = what


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
    text = "; ".join(line.strip() for line in str(error).strip().split("\n")[:3])
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
