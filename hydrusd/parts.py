"""The running parts of a daemon, and how they become others while the rest goes on.

Each client has a lane, each trigger an intake, each of them a task that can be ended by itself.
``follow`` brings them in line with other rules: the first time there is nothing yet, and all of it
begins. So a daemon that has read its rules again is what a restart would have made of it, only that
nothing was interrupted that did not have to be.
"""

from __future__ import annotations

import uuid
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import replace
from pathlib import Path

import anyio
import structlog
from anyio.abc import TaskGroup

from hydrusd.clock import Clock
from hydrusd.engine import (
    TOLD_IDLE_SECONDS,
    BackingUp,
    Changes,
    Desired,
    Intake,
    Lane,
    Lookout,
    MadeFiles,
    OffLimits,
    Progress,
    Pruner,
    RuleBook,
    Seen,
    Signals,
    Source,
    Stores,
    reconcile,
    source_key,
)
from hydrusd.hydrus import ClientInfo, HydrusClient
from hydrusd.ledger import (
    Ledger,
    LedgerReader,
    LedgerWriter,
    forget_conditions,
    forget_noticing,
)
from hydrusd.model import ConditionChange, FinishedJob, JobsMade
from hydrusd.plugin import Start
from hydrusd.plugin.accounts import Accounts
from hydrusd.rules import BackupsSpec, ClientSpec, RuleSet

GRACE_SECONDS = 30.0
"""How long a client that is taken out of the rules may go on with what is under way."""

Observe = Callable[[FinishedJob], None]
Refusals = Callable[[RuleBook, str, HydrusClient, ClientInfo], dict[str, str]]

log = structlog.get_logger("hydrusd.parts")


class _Part:
    """A task that can be ended by itself."""

    def __init__(self) -> None:
        self._scope = anyio.CancelScope()
        self.ended = anyio.Event()

    def start(self, tasks: TaskGroup, work: Callable[[], Awaitable[None]], name: str) -> None:
        """Begin it."""

        async def run() -> None:
            try:
                with self._scope:
                    await work()
            finally:
                self.ended.set()

        tasks.start_soon(run, name=name)

    async def end(self) -> None:
        """End it, and wait until it has."""
        self._scope.cancel()
        await self.ended.wait()


class _ClientPart(_Part):
    """A client with its lane."""

    def __init__(self, client: HydrusClient, lane: Lane) -> None:
        super().__init__()
        self.client = client
        self.lane = lane

    async def finish(self) -> None:
        """End it when what is under way has ended, or has taken too long."""
        self.lane.finish()
        with anyio.move_on_after(GRACE_SECONDS):
            await self.ended.wait()
        await self.end()


class _SourcePart(_Part):
    """A trigger at work."""

    def __init__(self, intake: Intake) -> None:
        super().__init__()
        self.intake = intake


class Parts:
    """All of a daemon that depends on its rules. ``tasks`` is where it runs."""

    def __init__(
        self,
        tasks: TaskGroup,
        writer: LedgerWriter,
        clock: Clock,
        ledger_path: Path,
        *,
        make_client: Callable[[ClientSpec], HydrusClient],
        refusals: Refusals,
        accounts: Accounts,
        notify: Callable[[ConditionChange | JobsMade], None],
        written: Callable[[], None],
    ) -> None:
        """Take what does not change. ``refusals`` says which rules a client refuses, and why.

        ``notify`` is told of new jobs, and of what parts wait for; ``written`` is called some
        moments after anybody has written into the ledger.
        """
        self._written = written
        self._lookout = Lookout(ledger_path, clock, self._look)
        self._accounts = accounts
        self._notify = notify
        self._tasks = tasks
        self._writer = writer
        self._clock = clock
        self._ledger_path = ledger_path
        self._make_client = make_client
        self._refusals = refusals
        self._made = MadeFiles()
        self._stores = Stores(OffLimits(ledger_path.parent), writer)
        self._signals = Signals(writer)
        self._pruner: Pruner | None = None
        self._start = Start(uuid.uuid4().hex, clock.now(), clock.monotonic())
        self._present = Desired({})
        self._fresh: dict[str, HydrusClient] = {}
        self._clients: dict[str, _ClientPart] = {}
        self._sources: dict[tuple[str, str], _SourcePart] = {}
        self._book: RuleBook | None = None
        self._backups: BackupsSpec | None = None
        self._backing_up: _Part | None = None

    @property
    def clients(self) -> Mapping[str, HydrusClient]:
        """All clients by name, those that are prepared, too."""
        return {name: part.client for name, part in self._clients.items()} | self._fresh

    async def prepare(self, rules: RuleSet) -> None:
        """Make the clients that there are to be. Raises ConfigError, and then nothing has changed.

        They are closed with ``discard``, unless ``follow`` puts them to use.
        """
        changes = reconcile(self._present, Desired(rules.clients))
        try:
            for name in changes.new_clients:
                self._fresh[name] = self._make_client(rules.clients[name])
        except BaseException:
            await self.discard()
            raise

    async def discard(self) -> None:
        """Close the clients that were prepared for nothing."""
        fresh, self._fresh = self._fresh, {}
        with anyio.CancelScope(shield=True):
            for client in fresh.values():
                await client.close()

    async def follow(self, rules: RuleSet, book: RuleBook, observe: Observe | None) -> Changes:
        """Become what these rules ask for; ``prepare`` has been called with them.

        Jobs that are under way end by the rules that they began with.
        """
        desired = Desired.of(rules.clients, book)
        changes = reconcile(self._present, desired)
        await self._tell_ledger(book)
        gone = [self._sources.pop(source_key(source)) for source in changes.ending_sources]
        for ending in gone:
            await ending.end()
        async with anyio.create_task_group() as endings:
            for name in changes.ending_clients:
                log.info(f"client {name!r}: ending its lane, to go on with other rules", lane=name)
                endings.start_soon(self._clients.pop(name).finish, name=f"ending of {name}")
        await self._forget(changes, gone, book)
        self._book, self._present = book, desired
        for part in self._clients.values():
            part.lane.follow(book, observe)
        for source in changes.same_sources:
            self._sources[source_key(source)].intake.follow(source)
        for name in changes.new_clients:
            await self._begin_client(name, rules.clients[name], book, observe)
        await self._tell_of_missing_clients()
        await self._keep_up(rules, book)
        for source in changes.new_sources:
            self._begin_source(source)
        await self._writer(Ledger.listen, book.topics)
        self._start = replace(self._start, later=True)
        return changes

    async def _tell_ledger(self, book: RuleBook) -> None:
        """Have the ledger know the rules before there can be jobs of them."""
        former = self._book.topics if self._book is not None else frozenset()
        await self._writer(Ledger.listen, book.topics | former)
        await self._writer(
            Ledger.remember_rules,
            [(rule.name, rule.revision, rule.spec.definition) for rule in book],
            self._clock.now(),
        )
        await self._writer(Ledger.forget_other_views, [source.view for source in book.sources()])

    async def _forget(self, changes: Changes, gone: list[_SourcePart], book: RuleBook) -> None:
        """Forget what was said of parts that are no longer there; say which rules are left out."""
        there = {part.intake.name for part in self._sources.values()}
        triggers = sorted({part.intake.name for part in gone} - there)
        await self._writer(forget_conditions, "trigger", triggers)
        await self._writer(forget_noticing, triggers)
        await self._writer(forget_conditions, "client", changes.ending_clients)
        others = {*changes.new_rules, *changes.changed_rules, *changes.gone_rules}
        others |= self._book.invalid.keys() if self._book is not None else set()
        # What is invalid (still) is never said to be nothing in between.
        await self._writer(forget_conditions, "rule", sorted(others - book.invalid.keys()))
        now = self._clock.now()
        for rule in book.invalid.values():
            await self._writer(Ledger.set_condition, "rule", rule.name, "invalid", rule.reason, now)

    async def _begin_client(
        self, name: str, spec: ClientSpec, book: RuleBook, observe: Observe | None
    ) -> None:
        client = self._fresh[name]
        await self._stores.recall(name)

        def refusals(info: ClientInfo) -> dict[str, str]:
            assert self._book is not None
            return self._refusals(self._book, name, client, info)

        lane = Lane(
            name,
            client,
            book,
            self._writer,
            self._clock,
            commit_wait_seconds=spec.commit_wait_seconds,
            observe=observe,
            on_connected=refusals,
            made=self._made,
            look=lambda: self._stores.look(name, client, spec.path_map),
            accounts=self._accounts,
            notify=self._notify,
            idle_seconds=TOLD_IDLE_SECONDS,
        )
        # From here on, and not before, the part is what closes it, whatever is cancelled.
        del self._fresh[name]
        part = self._clients[name] = _ClientPart(client, lane)

        async def work() -> None:
            try:
                async with anyio.create_task_group() as tasks:
                    if spec.progress_popups_seconds is not None:
                        tell = self._tell_progress
                        title = f"progress popups of {name}"
                        tasks.start_soon(
                            tell, name, client, spec.progress_popups_seconds, name=title
                        )
                    await lane.run()
                    tasks.cancel_scope.cancel()
            finally:
                with anyio.CancelScope(shield=True):
                    await client.close()

        part.start(self._tasks, work, f"lane {name}")

    async def _tell_progress(self, name: str, client: HydrusClient, after_seconds: float) -> None:
        """Tell long runs in the client's window."""
        reader = LedgerReader.open(self._ledger_path)
        try:
            await Progress(name, client, reader, self._writer, self._clock, after_seconds).run()
        finally:
            reader.close()

    async def _tell_of_missing_clients(self) -> None:
        """Say what waits for a client that is gone."""
        lanes = {lane for lane, _ in await self._writer(Ledger.open_rules)}
        for lane in sorted(lanes - self._clients.keys()):
            reason = "it is no longer in the rules file; its jobs wait until it is back"
            log.warning(f"client {lane!r}: {reason}", lane=lane)
            now = self._clock.now()
            await self._writer(Ledger.set_condition, "client", lane, "waiting", reason, now)

    async def _keep_up(self, rules: RuleSet, book: RuleBook) -> None:
        """See to what does not belong to one client or trigger."""
        await self._back_up(rules.backups)
        if book.topics and not self._lookout.wants_signals:
            self._lookout.wants_signals = True
            self._tasks.start_soon(self._signals.run, name="signals")
        if self._pruner is None:
            self._tasks.start_soon(self._lookout.run, name="lookout")
            self._pruner = Pruner(self._writer, self._clock, rules.history, book.listeners())
            self._tasks.start_soon(self._pruner.run, name="pruning")
        else:
            self._pruner.follow(rules.history, book.listeners())

    def _look(self, seen: Seen) -> None:
        """Have everybody look who waits for what others do."""
        for part in self._clients.values():
            part.lane.wake(slept=seen.slept)
        self._signals.stir()
        self._written()

    async def _back_up(self, spec: BackupsSpec) -> None:
        """Have the ledger backed up now and then, unless the rules file says otherwise."""
        if spec == self._backups:
            return
        self._backups = spec
        if self._backing_up is not None:
            await self._backing_up.end()
            self._backing_up = None
        if spec.keep:
            backing_up = BackingUp(
                self._ledger_path,
                self._writer,
                self._clock,
                every_seconds=spec.every_seconds,
                keep=spec.keep,
            )
            self._backing_up = _Part()
            self._backing_up.start(self._tasks, backing_up.run, "backups")

    def _begin_source(self, source: Source) -> None:
        client = self._clients[source.client]
        intake = Intake(
            source,
            self._writer,
            self._clock,
            client.lane.wake,
            client.client,
            self._signals,
            self._stores.off_limits,
            self._made,
            self._start,
            self._accounts,
            self._notify,
        )
        part = self._sources[source_key(source)] = _SourcePart(intake)
        part.start(self._tasks, intake.run, f"trigger {intake.name}")
