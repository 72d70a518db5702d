"""The composition root: builds the parts, runs them, stops them.

Everything that is wired is wired here; no other module knows all the others.
"""

from __future__ import annotations

import gc
import importlib
import os
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from contextlib import AsyncExitStack, closing, suppress
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path

import anyio
import structlog
from anyio import to_thread
from anyio.abc import TaskGroup

from hydrusd import builtin
from hydrusd.clock import Clock, SystemClock
from hydrusd.engine import (
    BackingUp,
    CompiledRule,
    DataPath,
    Intake,
    Lane,
    MadeFiles,
    OffLimits,
    Plan,
    Planner,
    Progress,
    Pruner,
    RuleBook,
    Signals,
    Stores,
    doubts_about,
    doubts_between,
    missing_parts,
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
    LedgerReader,
    LedgerWriter,
    Listener,
    Memory,
    forget_noticing,
    open_to_look,
)
from hydrusd.model import ConditionChange, FinishedJob, JobsMade
from hydrusd.plugin import AnyAction, Fault, Trigger
from hydrusd.plugin.blocking import LoopWatch
from hydrusd.plugin.host import BUILT_IN, SHIPPED, SLOW_IMPORT_SECONDS, PluginHost
from hydrusd.plugin.observing import Observers
from hydrusd.plugin.prints import capturing_prints
from hydrusd.plugin.stand_ins import FILTER, missing_in
from hydrusd.rules import (
    ClientSpec,
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
"""How often that is stored, where it changes."""
SOON = timedelta(seconds=30)
"""What is due later than that is not waited for by a command."""

log = structlog.get_logger("hydrusd.daemon")


@dataclass(frozen=True)
class Configuration:
    """A rules file that was read and understood, with the plugins it speaks of."""

    rules: RuleSet
    host: PluginHost
    expressions: Expressions
    vocabulary: Vocabulary
    warnings: tuple[Problem, ...] = ()


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
    folders: Sequence[Path], *, safe_mode: bool = False, settings: PluginsSpec | None = None
) -> PluginHost:
    """Load the built-ins, then (unless in safe mode) what ships, is installed, and is yours."""
    host = PluginHost(settings)
    host.load_modules(importlib.import_module(name) for name in builtin.PLUGINS)
    left_out = "hydrusd runs in safe mode" if safe_mode else ""
    if shipped := shipped_plugins():
        host.load_folder(shipped, kind=SHIPPED, left_out=left_out)
    for folder in folders:
        host.load_folder(folder, left_out=left_out)
    host.load_entry_points(left_out=left_out)
    for fault in host.faults:
        if not fault.deliberate:
            log.error(f"plugin left out: {fault.message}", plugin=fault.plugin, origin=fault.origin)
    for plugin in host.plugins:
        if plugin.import_seconds > SLOW_IMPORT_SECONDS and plugin.kind != BUILT_IN:
            log.warning(
                f"plugin {plugin.name} took {plugin.import_seconds:.1f} s to import; what is heavy "
                f"should be imported where it is used",
                plugin=plugin.name,
            )
    return host


def load_plugins_of(path: Path, *, safe_mode: bool = False) -> PluginHost:
    """Load the plugins that a rules file has: beside it, and in the folders that it names."""
    settings = read_plugins(path)
    beside = path.parent / "plugins"
    shipped = shipped_plugins()
    folders = [f for f in (beside, *settings.folders) if f.is_dir() or f != beside]
    folders = [f for f in dict.fromkeys(folders) if shipped is None or f.resolve() != shipped]
    return load_plugins(folders, safe_mode=safe_mode, settings=settings)


def schema_of(host: PluginHost) -> dict[str, object]:
    """Give the JSON Schema of rules files for these plugins."""
    return schema(Vocabulary(host.triggers, host.actions, _unchecked, _unchecked))


def read_configuration(
    path: Path, *, safe_mode: bool = False, resolve_secrets: bool = True, doubting: bool = False
) -> Configuration:
    """Read a rules file with the plugins beside it. Raises ConfigError with all its problems.

    Plugins are looked for in ``plugins/`` beside the rules file and in the folders that its
    ``plugins`` names. ``doubting`` also looks for what is allowed and probably not meant.
    """
    host = load_plugins_of(path, safe_mode=safe_mode)
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
        check_rule=check_whole_rule,
        check_client=check_client,
        sidecar_formats=host.sidecar_formats,
        stand_in=host.stand_in,
        missing_filters=missing_filters,
        left_out=host.left_out,
    )
    rules = load(path, vocabulary, environ=os.environ, resolve_secrets=resolve_secrets)
    found = sorted(
        [
            *rules.warnings,
            *_check_together(rules, doubting=doubting),
            *_missing_parts(rules, vocabulary, severity="error" if doubting else "warning"),
            *_unknown_plugins(rules, host),
        ],
        key=lambda problem: (problem.line, problem.column),
    )
    if any(problem.severity == "error" for problem in found):
        raise ConfigError(found)
    return Configuration(rules, host, expressions, vocabulary, tuple(found))


def _missing_filters(path: Path, host: PluginHost) -> dict[str, str]:
    """Give the filters in a rules file that a plugin which was left out may bring, and why not."""
    if not host.faults:
        return {}
    try:
        text = path.read_text(encoding="utf-8", errors="replace")
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


def _check_together(rules: RuleSet, *, doubting: bool) -> Iterator[Problem]:
    """Find what is wrong with rules only in view of the others."""
    triggers = {rule.name: rule.trigger for rule in rules.rules}
    looks: list[tuple[Callable[[Mapping[str, str]], Iterable[Fault]], RuleSpec, DataPath]] = []
    for rule in rules.rules:
        assert isinstance(rule.trigger_config, Trigger)
        looks.append((rule.trigger_config.check, rule, ("on", rule.trigger)))
        for position, step in enumerate(rule.steps):
            assert isinstance(step.config, AnyAction)
            looks.append((step.config.check, rule, ("do", position, step.action)))
    for look, rule, path in looks:
        try:
            faults = list(look(triggers))
        except (Exception, SystemExit) as error:  # noqa: BLE001 - the plugin boundary
            log.warning(f"{path[-1]} failed to check its parameters: {error!r}", rule=rule.name)
            continue
        for fault in faults:
            if doubting or fault.severity == "error":
                yield _problem(rule.place((*path, *fault.path)), fault)
    if doubting:
        for doubt in doubts_between(rules.rules):
            fault = Fault(doubt.message, doubt.hint, severity="warning")
            yield _problem(doubt.rule.place(doubt.path), fault)


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
    return faults


def check_rule(rule: RuleSpec) -> list[RuleFault]:
    """Find orders of steps that could lose a file or could never work."""
    faults = []
    disposed = imported = ""
    for position, step in enumerate(rule.steps):
        action = type(step.config)
        assert issubclass(action, AnyAction)
        if disposed and action.needs_source:
            faults.append(
                RuleFault(
                    ("do", position),
                    f"{step.action} needs the source, but {disposed} has disposed of it by then",
                    f"put {step.action} before {disposed}"
                    if not action.disposes
                    else "a rule can dispose of its source once",
                )
            )
        if action.destroys and not imported:
            faults.append(
                RuleFault(
                    ("do", position),
                    f"{step.action} would dispose of files that no step before it has imported",
                    "put add_file before it, or use move_source to only move files",
                )
            )
        if action.disposes and getattr(rule.trigger_config, "leads_elsewhere", False):
            faults.append(
                RuleFault(
                    ("do", position),
                    f"{step.action} would dispose of files that are not in the watched folder: "
                    f"{rule.trigger} follows symbolic links",
                    f"leave out {step.action}, or `symlinks: follow`",
                )
            )
        faults += _about_sidecars_and_disposal(rule, position)
        imported = imported or (step.action if action.imports else "")
        disposed = disposed or (step.action if action.disposes else "")
    return faults


def _about_sidecars_and_disposal(rule: RuleSpec, position: int) -> list[RuleFault]:
    """Find a step on sidecars that nobody looks for, and one that leads to no disposal."""
    step = rule.steps[position]
    assert isinstance(step.config, AnyAction)
    assert isinstance(rule.trigger_config, Trigger)
    faults = []
    if step.config.needs_sidecars and not rule.trigger_config.looks_for_sidecars:
        faults.append(
            RuleFault(
                ("do", position),
                f"{step.action} needs sidecars, and the trigger looks for none",
                "name their formats, as in watch_folder: {path: …, sidecars: [txt, json]}",
            )
        )
    later = (type(each.config) for each in rule.steps[position + 1 :])
    disposes = any(issubclass(each, AnyAction) and each.disposes for each in later)
    if step.config.may_dispose_next and not disposes:
        faults.append(
            RuleFault(
                ("do", position),
                f"{step.action} is to dispose of files, but no step after it does so",
                "add trash_source, move_source or delete_source at the end",
            )
        )
    return faults


def spare_collector() -> None:
    """Have the garbage collector leave alone what is loaded by now, and come by less often.

    For a process that is a daemon and nothing else: rules, plugins and libraries live as long as
    it does, and looking through them again and again took a tenth of its time.
    """
    gc.collect()
    gc.freeze()
    gc.set_threshold(20_000, 20, 20)


class Daemon:
    """One rules file, one ledger, at work for its Hydrus clients until stopped."""

    def __init__(
        self,
        configuration: Configuration,
        state_dir: Path,
        *,
        clock: Clock | None = None,
        observe: Callable[[FinishedJob], None] | None = None,
    ) -> None:
        self._configuration = configuration
        self._state_dir = state_dir
        self._clock = clock or SystemClock()
        self._observe_also = observe
        self._stopped = anyio.Event()

    def stop(self) -> None:
        """Ask the daemon to stop. Call it on the event loop."""
        self._stopped.set()

    async def run(self) -> None:
        """Work until stopped.

        Raises LedgerError where the ledger cannot be had, and ConfigError where a reachable
        client shows that the rules cannot work (a service that it does not have).
        """
        ledger = Ledger.open(self._state_dir / LEDGER_FILE)
        try:
            async with AsyncExitStack() as open_clients:
                clients = {
                    name: await open_clients.enter_async_context(make_client(spec, self._clock))
                    for name, spec in self._configuration.rules.clients.items()
                }
                await self._run(clients, LedgerWriter(ledger))
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
                    name: await open_clients.enter_async_context(make_client(spec, self._clock))
                    for name, spec in self._configuration.rules.clients.items()
                }
                history = open_clients.enter_context(closing(History.open(path)))
                return await self._undo(clients, LedgerWriter(ledger), history, run_id)
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
        await self._take_over(clients, writer)
        made, stores = MadeFiles(), Stores(OffLimits(self._state_dir), writer)
        lanes = [
            self._lane(name, client, book, writer, made, stores, only_undos=True)
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
        return RuleBook(
            self._configuration.rules,
            self._configuration.vocabulary,
            self._configuration.expressions,
        )

    async def _run(self, clients: Mapping[str, HydrusClient], writer: LedgerWriter) -> None:
        host = self._configuration.host
        observers = host.start_observers()
        try:
            with capturing_prints(host.accounts):
                await self._work(clients, writer, observers)
        finally:
            observers.tell("hydrusd_stopping")
            with anyio.CancelScope(shield=True):
                await to_thread.run_sync(observers.close)

    async def _work(
        self, clients: Mapping[str, HydrusClient], writer: LedgerWriter, observers: Observers
    ) -> None:
        book, host = self._book(), self._configuration.host
        async with anyio.create_task_group() as tasks:

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
            await self._look_first(clients, book)
            await writer(Ledger.listen, book.topics)
            await writer(
                Ledger.remember_rules,
                [(rule.name, rule.revision, rule.spec.definition) for rule in book],
                self._clock.now(),
            )
            await writer(Ledger.clear_conditions)
            await writer(forget_noticing)
            await writer(Ledger.forget_other_views, [source.view for source in book.sources()])
            await self._take_over(clients, writer)
            made = MadeFiles()
            stores = Stores(OffLimits(self._state_dir), writer)
            lanes = {
                name: self._lane(name, each, book, writer, made, stores, observers=observers)
                for name, each in clients.items()
            }
            for name in clients:
                await stores.recall(name)
            for lane in lanes.values():
                tasks.start_soon(lane.run, name=f"lane {lane.name}")
            if host.has_strangers:
                tasks.start_soon(LoopWatch(host.accounts).run, name="watch over the event loop")
            tasks.start_soon(self._keep_accounts, writer, name="accounts of plugins")
            for name, client in clients.items():
                self._tell_progress(name, client, writer, tasks)
            signals = Signals(writer, self._clock)
            if book.topics:
                tasks.start_soon(signals.run, name="signals")
            self._back_up(writer, tasks)
            tasks.start_soon(self._pruner(book, writer).run, name="pruning")
            for source in book.sources():
                wake, client = lanes[source.client].wake, clients[source.client]
                intake = Intake(
                    source,
                    writer,
                    self._clock,
                    wake,
                    client,
                    signals,
                    stores.off_limits,
                    made,
                    host.accounts,
                    _telling_of_intake(observers),
                )
                tasks.start_soon(intake.run, name=f"trigger {intake.name}")
            path, count = str(self._state_dir / LEDGER_FILE), len(list(book))
            rules = f"{count} rule{'s' if count != 1 else ''}"
            log.info(f"started with {rules}; ledger {path}", rules=count, ledger=path)
            observers.tell("hydrusd_started", rules=[r.name for r in book], clients=[*clients])
        log.info("stopped")

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
                await self._clock.sleep(ACCOUNTS_SECONDS)
        finally:
            with anyio.CancelScope(shield=True), suppress(LedgerError):
                await keep()

    def _back_up(self, writer: LedgerWriter, tasks: TaskGroup) -> None:
        """Have the ledger backed up now and then, unless the rules file says otherwise."""
        path, spec = self._state_dir / LEDGER_FILE, self._configuration.rules.backups
        if spec.keep:
            backing_up = BackingUp(
                path, writer, self._clock, every_seconds=spec.every_seconds, keep=spec.keep
            )
            tasks.start_soon(backing_up.run, name="backups")

    def _pruner(self, book: RuleBook, writer: LedgerWriter) -> Pruner:
        listeners = [
            Listener(source.name, source.identity, source.topics)
            for source in book.sources()
            if source.topics
        ]
        return Pruner(writer, self._clock, self._configuration.rules.history, listeners)

    def _tell_progress(
        self, name: str, client: HydrusClient, writer: LedgerWriter, tasks: TaskGroup
    ) -> None:
        """Have long runs told in the client's window, if the rules file says so."""
        after_seconds = self._configuration.rules.clients[name].progress_popups_seconds
        if after_seconds is None:
            return

        async def tell() -> None:
            reader = LedgerReader.open(self._state_dir / LEDGER_FILE)
            try:
                await Progress(name, client, reader, writer, self._clock, after_seconds).run()
            finally:
                reader.close()

        tasks.start_soon(tell, name=f"progress popups of {name}")

    def _lane(
        self,
        name: str,
        client: HydrusClient,
        book: RuleBook,
        writer: LedgerWriter,
        made: MadeFiles,
        stores: Stores,
        *,
        only_undos: bool = False,
        observers: Observers | None = None,
    ) -> Lane:
        path_map = self._configuration.rules.clients[name].path_map
        return Lane(
            name,
            client,
            book,
            writer,
            self._clock,
            commit_wait_seconds=self._configuration.rules.clients[name].commit_wait_seconds,
            observe=self._telling_of_ends(observers),
            on_connected=lambda info: reasons_to_park(book, name, client, info),
            made=made,
            only_undos=only_undos,
            look=lambda: stores.look(name, client, path_map),
            accounts=self._configuration.host.accounts,
            notify=_telling_of_conditions(observers),
        )

    async def _take_over(self, clients: Mapping[str, HydrusClient], writer: LedgerWriter) -> None:
        """Take up what a daemon left under way; say what waits for a client that is gone."""
        if freed := await writer(Ledger.release, self._clock.now()):
            log.info(f"took up {freed} jobs again that a daemon left under way", jobs=freed)
        lanes = {lane for lane, _ in await writer(Ledger.open_rules)}
        for lane in sorted(lanes - clients.keys()):
            reason = "it is no longer in the rules file; its jobs wait until it is back"
            log.warning(f"client {lane!r}: {reason}", lane=lane)
            now = self._clock.now()
            await writer(Ledger.set_condition, "client", lane, "waiting", reason, now)

    async def _look_first(self, clients: Mapping[str, HydrusClient], book: RuleBook) -> None:
        """Refuse to start on rules that a client, if it is there, shows to be wrong."""

        async def look(name: str, client: HydrusClient) -> None:
            with anyio.move_on_after(FIRST_LOOK_SECONDS), suppress(HydrusError):
                await client.connect()
                if client.services:  # or the key may not even see them: the lane says why
                    seen.add(name)

        seen: set[str] = set()
        async with anyio.create_task_group() as tasks:
            for name, client in clients.items():
                tasks.start_soon(look, name, client, name=f"first look at {name}")
        problems = [
            problem
            for rule in book
            if rule.spec.client in seen
            for problem in errors_among(live_problems(rule, clients[rule.spec.client]))
        ]
        if problems:
            raise ConfigError(problems)

    def _telling_of_ends(self, observers: Observers | None) -> Callable[[FinishedJob], None] | None:
        # Describing finished jobs for nobody would cost a tenth of the time.
        wanted = observers is not None and observers.want("hydrusd_job_finished")
        if self._observe_also is None and not wanted:
            return None

        def tell(entry: FinishedJob) -> None:
            if self._observe_also is not None:
                self._observe_also(entry)
            if observers is not None:
                observers.tell("hydrusd_job_finished", entry=entry)

        return tell


def _telling_of_conditions(
    observers: Observers | None,
) -> Callable[[ConditionChange], None] | None:
    if observers is None or not observers.want("hydrusd_condition_changed"):
        return None
    return lambda entry: observers.tell("hydrusd_condition_changed", entry=entry)


def _telling_of_intake(
    observers: Observers,
) -> Callable[[ConditionChange | JobsMade], None] | None:
    hooks = {
        ConditionChange: "hydrusd_condition_changed",
        JobsMade: "hydrusd_jobs_made",
    }
    if not any(map(observers.want, hooks.values())):
        return None
    return lambda entry: observers.tell(hooks[type(entry)], entry=entry)


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
    book = RuleBook(configuration.rules, configuration.vocabulary, configuration.expressions)
    if unknown := sorted(set(rules) - book.revisions.keys()):
        known = ", ".join(repr(name) for name in book.revisions)
        file = str(configuration.rules.file)
        message = f"there is no rule {unknown[0]!r} that is enabled"
        raise ConfigError([Problem(file, 0, 0, message, f"there are {known}")])
    ledger = open_to_look(state_dir / LEDGER_FILE)
    try:
        async with AsyncExitStack() as open_clients:
            writer, waits = LedgerWriter(ledger), dict(book.missing)
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
            planner = Planner(book, clients, writer, clock, stores.off_limits, waits)
            with capturing_prints(configuration.host.accounts):
                return await planner.plan(rules, subjects)
    finally:
        ledger.close()


def live_problems(rule: CompiledRule, client: HydrusClient) -> Iterator[Problem]:
    """Give what the connected client shows to be wrong with a rule, with its place."""
    looks: list[tuple[str, DataPath, Callable[[HydrusClient], Iterable[Fault]]]] = [
        (rule.trigger.trigger, ("on", rule.trigger.trigger), rule.trigger.preflight)
    ]
    for position, step in enumerate(rule.steps):
        assert isinstance(step.spec.config, AnyAction)
        looks.append((step.name, ("do", position, step.name), step.spec.config.preflight))
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


def missing_permissions(action: type[AnyAction], info: ClientInfo) -> list[str]:
    """Give what an access key may not do and an action must, in the words of Hydrus."""
    return sorted(
        permission.words(info.api_version)
        for permission in action.permissions
        if not info.permits_everything and permission not in info.permissions
    )


def reasons_to_park(
    book: RuleBook, name: str, client: HydrusClient, info: ClientInfo
) -> dict[str, str]:
    """Say which rules cannot run on their client as it is now, and what would help."""
    reasons: dict[str, str] = {}
    for rule in book:
        if rule.spec.client != name:
            continue
        missing = {
            words for step in rule.steps for words in missing_permissions(step.action_class, info)
        }
        if missing:
            words = " and ".join(repr(word) for word in sorted(missing))
            reasons[rule.name] = (
                f"the access key lacks {words}: tick it in Hydrus "
                f"(services → review services → client api → edit); looked at again every minute"
            )
        elif problems := errors_among(live_problems(rule, client)):
            reasons[rule.name] = "; ".join(f"{p.place}: {p.message}" for p in problems)
    return reasons
