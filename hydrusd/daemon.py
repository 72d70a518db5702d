"""The composition root: builds the parts, runs them, stops them.

Everything that is wired is wired here; no other module knows all the others.
"""

from __future__ import annotations

import gc
import importlib
import os
from collections.abc import Awaitable, Callable, Collection, Iterable, Iterator, Mapping, Sequence
from contextlib import AsyncExitStack, closing, contextmanager, suppress
from dataclasses import dataclass, field, replace
from datetime import timedelta
from functools import partial
from pathlib import Path

import anyio
import structlog
from anyio import to_thread
from anyio.abc import TaskGroup

from hydrusd import builtin
from hydrusd.clock import Clock, SystemClock, first_of
from hydrusd.engine import (
    CompiledRule,
    DataPath,
    Lane,
    MadeFiles,
    OffLimits,
    Plan,
    Planner,
    RuleBook,
    Stores,
    check_list,
    check_rule,
    doubts_about,
    doubts_between,
    fault_of_idling,
    missing_parts,
    missing_permissions,
    out_of_hours,
)
from hydrusd.errors import (
    ConfigError,
    HydrusdError,
    HydrusError,
    LedgerError,
    Problem,
    Severity,
)
from hydrusd.expressions import Expressions, filters_told
from hydrusd.hydrus import ClientInfo, HydrusClient
from hydrusd.ledger import (
    History,
    Ledger,
    LedgerWriter,
    Memory,
    forget_noticing,
    open_to_look,
)
from hydrusd.model import ConditionChange, FinishedJob, JobsMade
from hydrusd.parts import Parts
from hydrusd.plugin import AnyAction, Fault, Trigger
from hydrusd.plugin.accounts import Accounts
from hydrusd.plugin.blocking import LoopWatch
from hydrusd.plugin.host import BUILT_IN, SHIPPED, SLOW_IMPORT_SECONDS, PluginHost
from hydrusd.plugin.observing import Observers
from hydrusd.plugin.prints import capturing_prints
from hydrusd.plugin.stand_ins import FILTER, missing_in
from hydrusd.reloading import Look, Reloading, Report, look_at
from hydrusd.rules import (
    ClientSpec,
    InvalidRule,
    PluginsSpec,
    Position,
    RuleFault,
    RuleSet,
    RuleSpec,
    Vocabulary,
    load,
    nearest,
    problem_at,
    read_clients,
    read_plugins,
    read_sources,
    schema,
)

LEDGER_FILE = "ledger.sqlite"
FIRST_LOOK_SECONDS = 10.0
"""How long a client may take to answer before the daemon starts without having asked it."""
LOOK_SECONDS = 0.1
"""How often to look whether what is to be undone is."""
PLUGINS_MEMORY = "engine:plugins"
"""Under what the ledger remembers what plugins have cost."""
ACCOUNTS_SECONDS = 10.0
"""How long after something was written that is stored, where it has changed…"""
ACCOUNTS_SELDOM_SECONDS = 60.0
"""… and how often at least: plugins also work where nothing comes of it."""
SOON = timedelta(seconds=30)
"""What is due later than that is not waited for by a command."""

log = structlog.get_logger("hydrusd.daemon")


@dataclass(frozen=True)
class Configuration:
    """A rules file that was read and understood, with the plugins it speaks of.

    ``look`` is what it was made of: files and folders, and what they looked like before.
    """

    rules: RuleSet
    host: PluginHost
    expressions: Expressions
    vocabulary: Vocabulary
    warnings: tuple[Problem, ...] = ()
    safe_mode: bool = False
    look: Look = field(default_factory=dict, compare=False, repr=False)


def shipped_plugins() -> Path | None:
    """Say where the plugins that come with hydrusd are: in the package, or beside its source."""
    here = Path(__file__).parent
    for folder in (here / "shipped_plugins", here.parent / "plugins"):
        if folder.is_dir() and (folder == here / "shipped_plugins" or _is_source(here.parent)):
            return folder
    return None


def _is_source(folder: Path) -> bool:
    return (folder / "pyproject.toml").is_file()


def load_plugins(
    folders: Sequence[Path],
    *,
    safe_mode: bool = False,
    settings: PluginsSpec | None = None,
    former: PluginHost | None = None,
) -> PluginHost:
    """Load the built-ins, then (unless in safe mode) what ships, is installed, and is yours.

    Given a ``former`` host, plugins whose files are the same are used on. Raises ConfigError
    where one that it has can no longer be loaded.
    """
    host = PluginHost(settings, former)
    host.load_modules(importlib.import_module(name) for name in builtin.PLUGINS)
    left_out = "hydrusd runs in safe mode" if safe_mode else ""
    if shipped := shipped_plugins():
        host.load_folder(shipped, kind=SHIPPED, left_out=left_out)
    for folder in folders:
        host.load_folder(folder, left_out=left_out)
    host.load_entry_points(left_out=left_out)
    if former is not None and (broken := host.broken_since(former)):
        hint = "until it can, everything goes on as it was"
        raise ConfigError(
            [
                Problem(fault.origin, 0, 0, f"this plugin cannot be loaded: {fault.message}", hint)
                for fault in broken
            ]
        )
    known = {(f.plugin, f.message) for f in former.faults} if former is not None else set()
    for fault in host.faults:
        if not fault.deliberate and (fault.plugin, fault.message) not in known:
            log.error(f"plugin left out: {fault.message}", plugin=fault.plugin, origin=fault.origin)
    for plugin in host.plugins:
        if plugin.import_seconds > SLOW_IMPORT_SECONDS and plugin.kind != BUILT_IN:
            log.warning(
                f"plugin {plugin.name} took {plugin.import_seconds:.1f} s to import; what is heavy "
                f"should be imported where it is used",
                plugin=plugin.name,
            )
    return host


def plugin_folders_of(path: Path, settings: PluginsSpec) -> list[Path]:
    """Give the folders with plugins that a rules file has: beside it, and those that it names."""
    beside = path.parent / "plugins"
    shipped = shipped_plugins()
    folders = [f for f in (beside, *settings.folders) if f.is_dir() or f != beside]
    return [f for f in dict.fromkeys(folders) if shipped is None or f.resolve() != shipped]


def load_plugins_of(path: Path, *, safe_mode: bool = False) -> PluginHost:
    """Load the plugins that a rules file has."""
    settings = read_plugins(path)
    return load_plugins(plugin_folders_of(path, settings), safe_mode=safe_mode, settings=settings)


def schema_of(host: PluginHost, *, included: bool = False) -> dict[str, object]:
    """Give the JSON Schema of rules files, or of files that these include, for these plugins."""
    vocabulary = Vocabulary(host.triggers, host.actions, _unchecked, _unchecked)
    return schema(vocabulary, included=included)


@contextmanager
def _without_collecting() -> Iterator[None]:
    """Put the garbage collector off: reading makes hardly any garbage.

    It would look through all that has been read, again and again: of ten thousand rules, that
    took a quarter of the time.
    """
    was_on = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if was_on:
            gc.enable()


@_without_collecting()
def read_configuration(
    path: Path,
    *,
    safe_mode: bool = False,
    resolve_secrets: bool = True,
    doubting: bool = False,
    adapt: Callable[[Vocabulary], Vocabulary] = lambda vocabulary: vocabulary,
    tolerant: bool = False,
    former: Configuration | None = None,
) -> Configuration:
    """Read a rules file with the plugins beside it. Raises ConfigError with all its problems.

    Plugins are looked for in ``plugins/`` beside the rules file and in the folders that its
    ``plugins`` names. ``doubting`` also looks for what is allowed and probably not meant.
    ``adapt`` may put other triggers and actions in the place of those that there are.
    ``tolerant`` leaves rules out that have problems of their own, as long as any is left; they
    are in ``rules.invalid``. What is the same as in a ``former`` reading is used on.
    """
    look = look_at([path, path.parent / "plugins"])
    settings = read_plugins(path)
    folders = plugin_folders_of(path, settings)
    look |= look_at(folders)
    host = load_plugins(
        folders,
        safe_mode=safe_mode,
        settings=settings,
        former=former.host if former else None,
    )
    missing_filters = _missing_filters(path, host)
    expressions = Expressions(filters={**host.filters, **dict.fromkeys(missing_filters, _nothing)})

    def check_whole_rule(rule: RuleSpec) -> list[RuleFault]:
        # What a step would do that is not there is not known; the rule is parked as a whole.
        if any(missing_in(part.config) for part in rule.steps) or missing_in(rule.trigger_config):
            return []
        return check_rule(rule) + (doubts_about(rule, expressions) if doubting else [])

    vocabulary = Vocabulary(
        triggers=host.triggers,
        actions=host.actions,
        check_condition=expressions.condition,
        check_template=expressions.template,
        check_list=partial(check_list, expressions),
        check_rule=check_whole_rule,
        check_client=check_client,
        sidecar_formats=host.sidecar_formats,
        stand_in=host.stand_in,
        missing_filters=missing_filters,
        left_out=host.left_out,
    )
    vocabulary = adapt(vocabulary)
    rules = load(
        path,
        vocabulary,
        environ=os.environ,
        resolve_secrets=resolve_secrets,
        tolerant=tolerant,
    )
    more = (*rules.sources.files, *rules.sources.folders, *rules.secret_files)
    look |= look_at(path for path in more if path not in look)
    found = [
        *rules.warnings,
        *_missing_parts(rules, vocabulary, severity="error" if doubting else "warning"),
        *_unknown_plugins(rules, host),
    ]
    wrong: dict[str, list[Problem]] = {}
    for rule, problem in _check_together(rules, doubting=doubting):
        if tolerant and problem.severity == "error":
            wrong.setdefault(rule.name, []).append(problem)
        else:
            found.append(problem)
    rules = _leave_out(rules, wrong)
    found.sort(
        key=lambda problem: (problem.file != str(path), problem.file, problem.line, problem.column)
    )
    if any(problem.severity == "error" for problem in found):
        raise ConfigError([*(p for rule in rules.invalid for p in rule.problems), *found])
    if rules.invalid and not any(rule.enabled for rule in rules.rules):
        raise ConfigError([*(p for rule in rules.invalid for p in rule.problems), *found])
    return Configuration(rules, host, expressions, vocabulary, tuple(found), safe_mode, look)


def _missing_filters(path: Path, host: PluginHost) -> dict[str, str]:
    """Give the filters in a rules file that a plugin which was left out may bring, and why not."""
    if not host.faults:
        return {}
    try:
        files = read_sources(path).files
        text = "\n".join(f.read_text(encoding="utf-8", errors="replace") for f in files)
    except OSError:
        return {}  # which is told where it is read
    names = set(FILTER.findall(text)) - host.filters.keys() - filters_told().keys()
    reasons = {name: host.missing("filter", name) for name in names}
    return {name: reason for name, reason in reasons.items() if reason}


def _nothing(_: object) -> None:
    """Stand for a filter that is missing; no rule that has it is run."""


def _missing_parts(
    rules: RuleSet, vocabulary: Vocabulary, *, severity: Severity
) -> Iterator[Problem]:
    """Tell of the rules that wait because a plugin was left out."""
    for rule in rules.rules:
        for path, reason in missing_parts(rule, vocabulary):
            hint = "hydrusd plugins shows all that was left out; until then the rule waits"
            yield problem_at(rule.place(path), reason, hint, severity)


def _unknown_plugins(rules: RuleSet, host: PluginHost) -> Iterator[Problem]:
    """Tell of names of plugins in the rules file that no plugin has."""
    known = {each.name for each in host.plugins} | {each.plugin for each in host.faults}
    spec = rules.plugins
    for key, names in (
        ("disable", spec.disable),
        ("only", spec.only or ()),
        ("isolate", spec.isolate),
    ):
        for name in sorted(set(names) - known):
            hint = nearest(name, known)
            yield Problem(
                str(rules.file),
                0,
                0,
                f"`plugins: {key}:` names {name!r}, and there is no such plugin",
                f"did you mean {hint!r}?" if hint else "hydrusd plugins lists them",
                severity="warning",
            )


def _leave_out(rules: RuleSet, wrong: Mapping[str, Sequence[Problem]]) -> RuleSet:
    """Make those rules invalid that are wrong in view of the others."""
    if not wrong:
        return rules
    invalid = [
        InvalidRule(r.name, tuple(wrong[r.name]), r.trigger, r.trigger_config, r.client)
        for r in rules.rules
        if r.name in wrong
    ]
    left = tuple(rule for rule in rules.rules if rule.name not in wrong)
    return replace(rules, rules=left, invalid=(*rules.invalid, *invalid))


def _check_together(rules: RuleSet, *, doubting: bool) -> Iterator[tuple[RuleSpec, Problem]]:
    """Find what is wrong with rules only in view of the others."""
    # What is left out is there all the same: nobody has misspelt its name.
    triggers = {rule.name: rule.trigger for rule in rules.invalid}
    triggers |= {rule.name: rule.trigger for rule in rules.rules}
    looks: list[tuple[Callable[[Mapping[str, str]], Iterable[Fault]], RuleSpec, DataPath]] = []
    for rule in rules.rules:
        assert isinstance(rule.trigger_config, Trigger)
        looks.append((rule.trigger_config.check, rule, ("on", rule.trigger)))
        for step in rule.steps:
            assert isinstance(step.config, AnyAction)
            looks.append((step.config.check, rule, (*step.path, step.action)))
    for look, rule, path in looks:
        try:
            faults = list(look(triggers))
        except (Exception, SystemExit) as error:  # noqa: BLE001 - the plugin boundary
            log.warning(f"{path[-1]} failed to check its parameters: {error!r}", rule=rule.name)
            continue
        for fault in faults:
            if doubting or fault.severity == "error":
                yield rule, _problem(rule.place((*path, *fault.path)), fault)
    if doubting:
        for doubt in doubts_between(rules.rules):
            fault = Fault(doubt.message, doubt.hint, severity="warning")
            yield doubt.rule, _problem(doubt.rule.place(doubt.path), fault)


def read_client_only(
    path: Path, name: str | None = None, *, resolve_secrets: bool = True
) -> ClientSpec:
    """Read how to reach a client; what is wrong with the rules does not matter.

    Where the file has several, ``name`` says which. Raises ConfigError.
    """
    nothing = Vocabulary({}, {}, _unchecked, _unchecked, check_client=check_client)
    clients = read_clients(path, nothing, environ=os.environ, resolve_secrets=resolve_secrets)
    return choose_client(path, clients, name)


def choose_client(path: Path, clients: Mapping[str, ClientSpec], name: str | None) -> ClientSpec:
    """Give the client of that name, or the only one. Raises ConfigError."""
    if name is None and len(clients) == 1:
        return next(iter(clients.values()))
    if name is not None and name in clients:
        return clients[name]
    message = f"there is no client {name!r}" if name else "there is more than one client"
    hint = f"say which with --client: {', '.join(clients)}"
    raise ConfigError([Problem(str(path), 0, 0, message, hint)])


def _unchecked(_: str) -> None:
    """Take a text for right."""


def make_client(
    spec: ClientSpec, clock: Clock | None = None, *, read_only: bool = False
) -> HydrusClient:
    """Make the client that a rules file asks for. Raises ConfigError for what it refuses."""
    return HydrusClient(
        spec.url,
        spec.access_key.get_secret_value(),
        clock=clock,
        timeout_seconds=spec.timeout_seconds,
        allow_plain_http=spec.allow_plain_http,
        tls_ca_file=spec.tls_ca_file,
        tls_fingerprint=spec.tls_fingerprint,
        transfer=spec.transfer,
        path_map=spec.path_map,
        read_only=read_only,
    )


def check_client(spec: ClientSpec) -> list[RuleFault]:
    """Find what about a client cannot work, without asking it."""
    faults = []
    try:
        make_client(spec)
    except ConfigError as error:
        for problem in error.problems:
            # What is wrong begins with the name of what it is wrong in; or it is the address.
            name = problem.message.partition(" ")[0].rstrip(":")
            place = name if name in ClientSpec.__dataclass_fields__ else "url"
            faults.append(RuleFault((place,), problem.message, problem.hint))
    except ValueError as error:
        faults.append(RuleFault(("url",), str(error), "as in http://127.0.0.1:45869"))
    return faults


def spare_collector() -> None:
    """Have the garbage collector leave alone what is loaded by now, and come by less often.

    For a process that is a daemon and nothing else: rules, plugins and libraries live as long as
    it does, and looking through them again and again took a tenth of its time.
    """
    gc.collect()
    gc.freeze()
    gc.set_threshold(20_000, 20, 20)


def spare_collector_again() -> None:
    """Do it anew where it was done: what has been replaced since is garbage, and can go."""
    if gc.get_freeze_count():
        gc.unfreeze()
        spare_collector()


@dataclass(frozen=True)
class _Built:
    """A configuration and its rules, ready to run."""

    configuration: Configuration
    book: RuleBook

    @property
    def look(self) -> Look:
        return self.configuration.look


def _book_of(configuration: Configuration) -> RuleBook:
    return RuleBook(configuration.rules, configuration.vocabulary, configuration.expressions)


def problems_of(rules: RuleSet) -> list[Problem]:
    """Give what is wrong with the rules that are left out."""
    return [
        replace(problem, message=f"rule {rule.name!r} is left out: {problem.message}")
        for rule in rules.invalid
        for problem in rule.problems
    ]


def _other_changes(former: RuleSet, rules: RuleSet) -> list[str]:
    """Say what has changed where no rule and no client has, in words."""
    paces = [{rule.name: rule.pace for rule in each.rules} for each in (former, rules)]
    limits = [{rule.name: rule.limits for rule in each.rules} for each in (former, rules)]
    parts = (
        ("when rules begin their jobs", paces[0], paces[1]),
        ("limits of rules", limits[0], limits[1]),
        ("'allow'", former.allow, rules.allow),
        ("'backups'", former.backups, rules.backups),
        ("'history'", former.history, rules.history),
    )
    return [f"changed: {name}" for name, before, now in parts if before != now]


class Daemon:
    """One rules file, one ledger, at work for its Hydrus clients until stopped."""

    def __init__(
        self,
        configuration: Configuration,
        state_dir: Path,
        *,
        clock: Clock | None = None,
        observe: Callable[[FinishedJob], None] | None = None,
        connect: Callable[[ClientSpec, Clock], HydrusClient] = make_client,
        read_again: Callable[[Configuration], Configuration] | None = None,
    ) -> None:
        """Make a daemon.

        ``connect`` makes its clients. ``read_again`` gives the configuration anew, or raises
        ConfigError: called in a thread, with the present one, when its files have changed. Without
        it they may change as they like.
        """
        self._connect = connect
        self._observers = Observers({}, configuration.host.accounts)
        self._loop_is_watched = False
        self._configuration = configuration
        self._state_dir = state_dir
        self._clock = clock or SystemClock()
        self._observe_also = observe
        self._read_again = read_again
        self._stopped = anyio.Event()
        self._written = anyio.Event()
        self._reloading: Reloading[_Built] | None = None
        self._writer: LedgerWriter | None = None

    @property
    def ledger_is_busy(self) -> bool:
        """Whether something that it asked of its ledger is still under way."""
        return self._writer is not None and self._writer.under_way > 0

    def stop(self) -> None:
        """Ask the daemon to stop. Call it on the event loop."""
        self._stopped.set()

    def reload(self) -> None:
        """Ask the daemon to read its rules again now. Call it on the event loop."""
        if self._reloading is not None:
            self._reloading.ask()

    async def run(self) -> None:
        """Work until stopped.

        Raises LedgerError where the ledger cannot be had, and ConfigError where a reachable
        client shows that the rules cannot work (a service that it does not have).
        """
        ledger = Ledger.open(self._state_dir / LEDGER_FILE)
        try:
            with LedgerWriter(ledger) as self._writer:
                await self._run(self._writer)
        except BaseExceptionGroup as group:
            # What runs in task groups arrives in groups, mostly of one.
            only: BaseException = group
            while isinstance(only, BaseExceptionGroup) and len(only.exceptions) == 1:
                only = only.exceptions[0]
            if isinstance(only, HydrusdError):
                raise only from only.__cause__
            raise
        finally:
            ledger.close()

    async def undo(self, run_id: int) -> str:
        """Work off what is to be undone, and nothing else; for when no daemon runs.

        Ends when the run is over, is stopped, or cannot go on for now: gives the reason then,
        nothing where it is over. Raises LedgerLocked where a daemon runs, which will do it.
        """
        path = self._state_dir / LEDGER_FILE
        ledger = Ledger.open(path)
        try:
            async with AsyncExitStack() as open_clients:
                clients = {
                    name: await open_clients.enter_async_context(self._connect(spec, self._clock))
                    for name, spec in self._configuration.rules.clients.items()
                }
                history = open_clients.enter_context(closing(History.open(path)))
                writer = open_clients.enter_context(LedgerWriter(ledger))
                return await self._undo(clients, writer, history, run_id)
        finally:
            ledger.close()

    async def _undo(
        self,
        clients: Mapping[str, HydrusClient],
        writer: LedgerWriter,
        history: History,
        run_id: int,
    ) -> str:
        book = self._book()
        # What settles beside it may end, and others may listen for that.
        await writer(Ledger.listen, book.topics)
        await self._release(writer)
        made, stores = MadeFiles(), Stores(OffLimits(self._state_dir), writer)
        lanes = [
            self._undoing_lane(name, client, book, writer, made, stores)
            for name, client in clients.items()
        ]
        async with anyio.create_task_group() as tasks:
            for lane in lanes:
                tasks.start_soon(lane.run, name=f"lane {lane.name}")
            why = ""
            while not why:
                await self._clock.sleep(LOOK_SECONDS)
                run = await to_thread.run_sync(history.run, run_id)
                if run is None or run.ended_at is not None:
                    break
                jobs = await to_thread.run_sync(history.open_in, run_id)
                why = "it was stopped" if self._stopped.is_set() else ""
                why = why or next((lane.waits_for for lane in lanes if lane.name in jobs), "")
                if (
                    jobs
                    and not why
                    and all(due > self._clock.now() + SOON for due in jobs.values())
                ):
                    why = "what failed is tried again later"
            tasks.cancel_scope.cancel()
        return why

    def _book(self) -> RuleBook:
        return _book_of(self._configuration)

    async def _run(self, writer: LedgerWriter) -> None:
        host = self._configuration.host
        self._observers = host.start_observers()
        try:
            with capturing_prints(host.accounts):
                await self._work(writer)
        finally:
            self._observers.tell("hydrusd_stopping")
            with anyio.CancelScope(shield=True):
                await to_thread.run_sync(self._observers.close)

    async def _work(self, writer: LedgerWriter) -> None:
        built = _Built(self._configuration, self._book())
        path = self._state_dir / LEDGER_FILE
        async with anyio.create_task_group() as tasks:
            parts = Parts(
                tasks,
                writer,
                self._clock,
                path,
                make_client=lambda spec: self._connect(spec, self._clock),
                refusals=reasons_to_park,
                accounts=self._configuration.host.accounts,
                notify=self._notify,
                written=self._hear_of_writing,
            )

            async def stop() -> None:
                try:
                    await self._stopped.wait()
                    log.info("stopping")
                    tasks.cancel_scope.cancel()
                finally:
                    writer.close()

            # From the first moment on: a busy client may not answer for minutes.
            tasks.start_soon(stop, name="stopping")
            tasks.start_soon(writer.watch, name="health of the ledger")
            try:
                await parts.prepare(self._configuration.rules)
                problems = await self._look_first(parts.clients, built.book)
                for problem in (*problems_of(self._configuration.rules), *problems):
                    log.error(f"{problem.place}: {problem.message}", hint=problem.hint)
                await writer(Ledger.clear_conditions)
                await writer(forget_noticing)
                await self._release(writer)
                await parts.follow(self._configuration.rules, built.book, self._telling_of_ends())
            finally:
                await parts.discard()
            self._watch_loop(tasks)
            tasks.start_soon(self._keep_accounts, writer, name="accounts of plugins")
            if self._read_again is not None:
                self._follow_files(built, parts, writer, problems, tasks)
                assert self._reloading is not None
                tasks.start_soon(self._reloading.run, name="reading the rules again")
            count, left_out = len(list(built.book)), len(self._configuration.rules.invalid)
            rules = f"{count} rule{'s' if count != 1 else ''}"
            if left_out:
                rules += f", {left_out} left out"
            log.info(f"started with {rules}; ledger {path}", rules=count, ledger=str(path))
            self._observers.tell(
                "hydrusd_started", rules=[r.name for r in built.book], clients=[*parts.clients]
            )
        log.info("stopped")

    def _hear_of_writing(self) -> None:
        """Take in that somebody, be it the daemon itself, has written into the ledger."""
        self._written.set()
        if self._reloading is not None:
            self._reloading.stir()

    async def _keep_accounts(self, writer: LedgerWriter) -> None:
        """Have the ledger know what plugins have cost so far, for `hydrusd plugins`."""
        accounts, kept = self._configuration.host.accounts, None

        async def keep() -> None:
            nonlocal kept
            if (told := dict(accounts.told())) != kept:
                kept = told
                since = self._clock.now().isoformat() if not told else None
                values = {"accounts": told} | ({"since": since} if since else {})
                await writer(Ledger.remember, PLUGINS_MEMORY, Memory(PLUGINS_MEMORY, values))

        try:
            while True:
                await keep()
                seldom = ACCOUNTS_SELDOM_SECONDS - ACCOUNTS_SECONDS
                await first_of(self._written, self._clock, seldom, name="accounts of plugins")
                await self._clock.sleep(ACCOUNTS_SECONDS)
                self._written = anyio.Event()
        finally:
            with anyio.CancelScope(shield=True), suppress(LedgerError):
                await keep()

    def _watch_loop(self, tasks: TaskGroup) -> None:
        """Watch over the event loop from the first plugin on that does not come with hydrusd."""
        host = self._configuration.host
        if host.has_strangers and not self._loop_is_watched:
            self._loop_is_watched = True
            tasks.start_soon(LoopWatch(host.accounts).run, name="watch over the event loop")

    def _follow_files(
        self,
        built: _Built,
        parts: Parts,
        writer: LedgerWriter,
        problems: Sequence[Problem],
        tasks: TaskGroup,
    ) -> None:
        read_again = self._read_again
        assert read_again is not None

        def read(present: _Built) -> _Built:
            configuration = read_again(present.configuration)
            return _Built(configuration, _book_of(configuration))

        async def apply(fresh: _Built) -> Report:
            return await self._take(fresh, parts, tasks)

        self._reloading = Reloading(
            built,
            read=read,
            apply=apply,
            file=built.configuration.rules.file,
            ledger=writer,
            clock=self._clock,
            problems=[*problems_of(built.configuration.rules), *problems],
        )

    async def _take(self, fresh: _Built, parts: Parts, tasks: TaskGroup) -> Report:
        """Go on by rules that were read again. Raises ConfigError where nothing has changed."""
        former, rules = self._configuration.rules, fresh.configuration.rules
        try:
            await parts.prepare(rules)
            self._configuration = fresh.configuration
            self._observers.follow(fresh.configuration.host.observers)
            changes = await parts.follow(rules, fresh.book, self._telling_of_ends())
            self._watch_loop(tasks)
        finally:
            await parts.discard()
        spare_collector_again()
        affected = {*changes.new_rules, *changes.changed_rules}
        live = [
            problem
            for rule in fresh.book
            if rule.name in affected and (client := parts.clients[rule.spec.client]).services
            for problem in errors_among(live_problems(rule, client))
        ]
        told = changes.told(fresh.book.invalid) or _other_changes(former, rules)
        return Report(taken=True, changes=told, problems=[*problems_of(rules), *live])

    def _undoing_lane(
        self,
        name: str,
        client: HydrusClient,
        book: RuleBook,
        writer: LedgerWriter,
        made: MadeFiles,
        stores: Stores,
    ) -> Lane:
        spec = self._configuration.rules.clients[name]
        return Lane(
            name,
            client,
            book,
            writer,
            self._clock,
            commit_wait_seconds=spec.commit_wait_seconds,
            observe=self._telling_of_ends(),
            on_connected=lambda info: reasons_to_park(book, name, client, info),
            made=made,
            only_undos=True,
            look=lambda: stores.look(name, client, spec.path_map),
            accounts=self._configuration.host.accounts,
        )

    async def _release(self, writer: LedgerWriter) -> None:
        """Take up what a daemon left under way."""
        if freed := await writer(Ledger.release, self._clock.now()):
            log.info(f"took up {freed} jobs again that a daemon left under way", jobs=freed)

    async def _look_first(
        self, clients: Mapping[str, HydrusClient], book: RuleBook
    ) -> list[Problem]:
        """Find the rules that a client, if it is there, shows to be wrong: their lane parks them.

        Raises ConfigError where there are no others.
        """

        async def look(name: str, client: HydrusClient) -> None:
            with anyio.move_on_after(FIRST_LOOK_SECONDS), suppress(HydrusError):
                await client.connect()
                if client.services:  # or the key may not even see them: the lane says why
                    seen.add(name)

        seen: set[str] = set()
        async with anyio.create_task_group() as tasks:
            for name, client in clients.items():
                tasks.start_soon(look, name, client, name=f"first look at {name}")
        problems: list[Problem] = []
        fit = 0
        for rule in book:
            found = (
                errors_among(live_problems(rule, clients[rule.spec.client]))
                if rule.spec.client in seen
                else []
            )
            problems += found
            fit += not found
        if problems and not fit:
            raise ConfigError(problems)
        return problems

    def _telling_of_ends(self) -> Callable[[FinishedJob], None] | None:
        # Describing finished jobs for nobody would cost a tenth of the time.
        if self._observe_also is None and not self._observers.want("hydrusd_job_finished"):
            return None

        def tell(entry: FinishedJob) -> None:
            if self._observe_also is not None:
                self._observe_also(entry)
            self._observers.tell("hydrusd_job_finished", entry=entry)

        return tell

    def _notify(self, entry: ConditionChange | JobsMade) -> None:
        """Tell observers of what happens while nothing ends."""
        hook = "hydrusd_jobs_made" if isinstance(entry, JobsMade) else "hydrusd_condition_changed"
        self._observers.tell(hook, entry=entry)


def errors_among(problems: Iterable[Problem]) -> list[Problem]:
    """Leave out what is only doubted or told."""
    return [problem for problem in problems if problem.severity == "error"]


async def make_plan(
    configuration: Configuration,
    state_dir: Path,
    *,
    rules: Collection[str] = (),
    subjects: Sequence[str] = (),
    clock: Clock | None = None,
) -> Plan:
    """Find out what a run would do, by looking only: nothing is written anywhere.

    ``rules`` are names, ``subjects`` paths and URLs; without them it is about all. Raises
    ConfigError for a rule that there is not, and LedgerError for a ledger that cannot be read.
    """
    clock = clock or SystemClock()
    book = _book_of(configuration)
    if unknown := sorted(set(rules) - book.revisions.keys()):
        known = ", ".join(repr(name) for name in book.revisions)
        file = str(configuration.rules.file)
        message = f"there is no rule {unknown[0]!r} that is enabled"
        raise ConfigError([Problem(file, 0, 0, message, f"there are {known}")])
    ledger = open_to_look(state_dir / LEDGER_FILE)
    try:
        async with AsyncExitStack() as open_clients:
            writer = open_clients.enter_context(LedgerWriter(ledger))
            waits = {**reasons_to_hold(book, clock), **book.missing}
            stores = Stores(OffLimits(state_dir), writer)
            clients: dict[str, HydrusClient] = {}
            for name, spec in configuration.rules.clients.items():
                client = make_client(spec, clock, read_only=True)
                clients[name] = await open_clients.enter_async_context(client)
                await stores.recall(name)
                try:
                    waits |= reasons_to_park(book, name, client, await client.connect())
                    await stores.look_only(name, client, spec.path_map)
                except HydrusError as error:
                    waits |= dict.fromkeys(book.revisions_on(name), str(error))
            accounts = configuration.host.accounts
            planner = Planner(book, clients, writer, clock, stores.off_limits, waits, accounts)
            with capturing_prints(accounts):
                return await _watched(partial(planner.plan, rules, subjects), accounts)
    finally:
        ledger.close()


async def _watched(plan: Callable[[], Awaitable[Plan]], accounts: Accounts) -> Plan:
    """Make a plan, and name a plugin that blocks the event loop meanwhile."""
    found: list[Plan] = []
    failure: Exception | None = None
    async with anyio.create_task_group() as tasks:
        tasks.start_soon(LoopWatch(accounts).run, name="watch over the event loop")
        try:
            found.append(await plan())
        except Exception as error:  # noqa: BLE001 - raised below: the group would wrap it
            failure = error
        tasks.cancel_scope.cancel()
    if failure is not None:
        raise failure
    return found[0]


def reasons_to_hold(book: RuleBook, clock: Clock) -> dict[str, str]:
    """Say which rules begin nothing at this time of day."""
    now = clock.now()
    return {
        rule.name: hold.reason
        for rule in book
        if (hours := rule.spec.pace.hours) and (hold := out_of_hours(hours, now))
    }


def live_problems(rule: CompiledRule, client: HydrusClient) -> Iterator[Problem]:
    """Give what the connected client shows to be wrong with a rule, with its place."""
    looks: list[tuple[str, DataPath, Callable[[HydrusClient], Iterable[Fault]]]] = [
        (rule.trigger.trigger, ("on", rule.trigger.trigger), rule.trigger.preflight)
    ]
    for step in rule.all_steps:
        assert isinstance(step.spec.config, AnyAction)
        looks.append((step.name, (*step.spec.path, step.name), step.spec.config.preflight))
    if rule.spec.pace.client_idle and (fault := fault_of_idling(client.info)):
        yield _problem(rule.spec.place(("allowed", "client_idle")), fault)
    for name, path, look in looks:
        try:
            faults = list(look(client))
        except (Exception, SystemExit) as error:  # noqa: BLE001 - the plugin boundary
            log.warning(f"{name} failed to look at the client: {error!r}", rule=rule.name)
            continue
        for fault in faults:
            yield _problem(rule.spec.place((*path, *fault.path)), fault)


def _problem(place: Position, fault: Fault) -> Problem:
    """Give a fault with its place and its line."""
    return problem_at(place, fault.message, fault.hint, fault.severity)


def reasons_to_park(
    book: RuleBook, name: str, client: HydrusClient, info: ClientInfo
) -> dict[str, str]:
    """Say which rules cannot run on their client as it is now, and what would help.

    A permission that not each of a rule's jobs needs is no such reason: those that do will wait.
    """
    reasons: dict[str, str] = {}
    for rule in book:
        if rule.spec.client != name:
            continue
        if missing := missing_permissions(rule.certain_permissions, info):
            words = " and ".join(map(repr, missing))
            reasons[rule.name] = (
                f"the access key lacks {words}: tick it in Hydrus "
                f"(services → review services → client api → edit); looked at again every minute"
            )
        elif problems := errors_among(live_problems(rule, client)):
            reasons[rule.name] = "; ".join(f"{p.place}: {p.message}" for p in problems)
    return reasons
