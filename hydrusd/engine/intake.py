"""From a trigger to the ledger: what was noticed becomes jobs, or reasons for none.

``emit`` returns when the transaction has committed. That is the crash boundary:
before it the trigger has to notice again, after it the job will be done.
"""

from __future__ import annotations

import math
import secrets
import uuid
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from datetime import datetime
from functools import partial
from pathlib import Path
from typing import TypeGuard

import anyio
import structlog
from anyio import to_thread

from hydrusd.clock import Clock
from hydrusd.engine.made_files import MadeFiles
from hydrusd.engine.matching import judge
from hydrusd.engine.off_limits import OffLimits
from hydrusd.engine.rulebook import Source
from hydrusd.engine.signals import Signals
from hydrusd.errors import HydrusdError, HydrusError, LedgerDamaged
from hydrusd.hydrus import HydrusClient
from hydrusd.ledger import (
    FOR_GOOD,
    Ledger,
    LedgerWriter,
    Memory,
    NewJob,
    Noticing,
    NotMatched,
    PendingEvent,
    PutBack,
    RunSoFar,
    has_undone,
    note_noticing,
    put_back,
)
from hydrusd.model import ConditionChange, Event, JobsMade, chain_of
from hydrusd.plugin import Aside, Doubt, FileGroup, FileSource, HadFile, Signal, Start
from hydrusd.plugin.accounts import Accounts
from hydrusd.plugin.calling import Misbehaviour, apart
from hydrusd.rules import Mode

FIRST_RESTART_SECONDS = 5.0
LONGEST_RESTART_SECONDS = 300.0
LONGEST_RESTART_FOR_CLIENT_SECONDS = 30.0
"""A client that is back should not be waited for much longer."""
RUN_GAP_SECONDS = 10.0
"""What a trigger hands over in portions is one run as long as they come so close together…"""
LONGEST_RUN_SECONDS = 3600.0
"""… and for so long: what never pauses is no single run."""
COUNT_SECONDS = 2.0
"""How often at most what a trigger counts is stored."""
SIGNAL = "signal"
"""The name under which a trigger remembers the last signal that it has dealt with."""
SIGNALS_AT_ONCE = 256

log = structlog.get_logger("hydrusd.intake")


class Intake:
    """What one trigger sees of the engine (its ``TriggerContext``), and what keeps it running."""

    def __init__(
        self,
        source: Source,
        ledger: LedgerWriter,
        clock: Clock,
        wake: Callable[[], None],
        client: HydrusClient,
        signals: Signals,
        off_limits: OffLimits,
        made: MadeFiles,
        start: Start | None = None,
        accounts: Accounts | None = None,
        notify: Callable[[ConditionChange | JobsMade], None] | None = None,
    ) -> None:
        """Make an intake. ``start`` is that of hydrusd; without one it starts with this trigger.

        ``notify`` is told of new jobs, and of what the trigger waits for.
        """
        self._accounts = accounts if accounts is not None else Accounts()
        self._notify = notify
        self._off_limits = off_limits
        self._made = made
        self._client = client
        self._signals = signals
        self._source = source
        self._start = start or Start(uuid.uuid4().hex, clock.now(), clock.monotonic())
        self._ledger = ledger
        self._clock = clock
        self._wake = wake
        self._runs: dict[str, RunSoFar] = {}
        self._emitted_at = self._firing_since = -math.inf
        self._state = ""
        self._reports: list[tuple[str, str]] = []
        self._reported = anyio.Event()
        self._seen: Noticing | None = None
        self._counted = anyio.Event()
        self.name = f"{source.name} {_describe(source)}".strip()

    @property
    def clock(self) -> Clock:
        """The time."""
        return self._clock

    @property
    def client(self) -> HydrusClient:
        """The client."""
        return self._client

    @property
    def start(self) -> Start:
        """The start of hydrusd, and of this trigger in it."""
        return self._start

    @property
    def rules(self) -> Sequence[str]:
        """The names of the rules that listen."""
        return [rule.name for rule in self._source.rules]

    def follow(self, source: Source) -> None:
        """Go on with the same rules as they are made now; the trigger notices nothing of it."""
        self._source = replace(source, trigger=self._source.trigger)

    async def emit(
        self,
        events: Sequence[Event],
        *,
        aside: Sequence[Aside] = (),
        remember: Mapping[str, object] | None = None,
    ) -> None:
        """Store events with the verdict of each listening rule; wake the lane."""
        pending = await self.judged(events)
        if aside:
            pending += await self._set_all_aside(aside)
        await self._take_in(pending, remember)

    async def judged(self, events: Sequence[Event]) -> list[PendingEvent]:
        """Give events with the verdict of each listening rule. Reads; stores nothing."""
        paths = {e.key: path for e in events if (path := FileSource.path_in(e.data))}
        refused = await self._off_limits_among(paths)
        led_to, back = await self._history_of(events, paths)
        return [
            PendingEvent(event, self._refusals(refused[event.key]))
            if event.key in refused
            else self._judged(event, led_to.get(event.key, ()), back.get(event.key))
            for event in events
        ]

    async def _set_all_aside(self, aside: Sequence[Aside]) -> list[PendingEvent]:
        failed = [each.event for each in aside if each.failed]
        paths = {e.key: path for e in failed if (path := FileSource.path_in(e.data))}
        refused = await self._off_limits_among(paths)
        led_to, back = await self._history_of(failed, paths)
        return [
            self._set_aside(
                each,
                refused.get(each.event.key),
                led_to.get(each.event.key, ()),
                back.get(each.event.key),
            )
            for each in aside
        ]

    async def _history_of(
        self, events: Sequence[Event], paths: Mapping[str, str]
    ) -> tuple[dict[str, Sequence[str]], dict[str, PutBack]]:
        """Say what hydrusd itself has to do with files, by the keys of the events about them:
        which rules have made them, and what was put where it is to undo something.
        """
        if not events:
            return {}, {}
        chains: dict[str, Sequence[str]] = {
            key: chain for key, path in paths.items() if (chain := self._made.chain(path))
        }
        # Made in a former life of the daemon, maybe just before it ended.
        others = {path: key for key, path in paths.items() if key not in chains}
        earlier, any_undone = await self._ledger(_makers_and_whether_undone, list(others))
        chains |= {others[path]: chain for path, chain in earlier.items()}
        return chains, await self._put_back_among(events) if any_undone else {}

    async def _put_back_among(self, events: Sequence[Event]) -> dict[str, PutBack]:
        # A late sidecar's event has the sidecar in its key, and in its data the file.
        about = {e.key: s for e in events if (s := FileSource.from_data(e.data))}
        named = {e.key: s for e in events if (s := FileSource.from_key(e.key))}
        late = {k: s for k, s in named.items() if k in about and about[k].text != s.text}
        found: dict[str, PutBack] = {}
        for sources in (about, late):
            if sources:
                files = {k: (s.key_start(s.text), s.size, s.mtime_ns) for k, s in sources.items()}
                found |= await self._ledger(put_back, self._source.name, files)
        return found

    def _set_aside(
        self,
        aside: Aside,
        off_limits: str | None,
        made_by: Sequence[str],
        back: PutBack | None,
    ) -> PendingEvent:
        """Give what was noticed along with events its verdicts: reasons, or dead letters."""
        if off_limits is not None or not aside.failed:
            return PendingEvent(aside.event, self._refusals(off_limits or aside.reason))
        judged = self._judged(aside.event, made_by, back)
        verdicts = [
            replace(each, failure=aside.reason) if isinstance(each, NewJob) else each
            for each in judged.verdicts
        ]
        return PendingEvent(judged.event, verdicts)

    def _judged(self, event: Event, made_by: Sequence[str], back: PutBack | None) -> PendingEvent:
        """Have the rules judge an event; a rule that led to it does not get it.

        Nor does a rule get what was put back to undo its work, before it is rewritten.
        """
        if made_by:
            event = replace(event, data={**event.data, "chain": list(made_by)})
        chain = chain_of(event.data)
        if not chain and back is None:
            return PendingEvent(event, self._source.matching.judge(event.data))
        verdicts: list[NewJob | NotMatched] = []
        for rule in self._source.rules:
            if rule.name in chain:
                circle = " → ".join([*chain, rule.name])
                path = FileSource.path_in(event.data)
                place = f"at {path}" if path else "here"
                self.warn(f"a circle of rules ends {place}: {circle}")
                reason = f"it would run in a circle: {circle}"
                verdicts.append(NotMatched(rule.name, FOR_GOOD, reason))
            elif back and (rule.name != back.rule or rule.revision == back.revision):
                reason = f"job {back.job_id} has put it back, to undo what was done"
                verdicts.append(NotMatched(rule.name, rule.revision, reason))
            else:
                verdicts.append(judge(rule, event.data))
        return PendingEvent(event, verdicts)

    async def pass_over(
        self,
        events: Sequence[Event],
        reason: str,
        *,
        remember: Mapping[str, object] | None = None,
    ) -> None:
        """Store events that no listening rule is to have, and why."""
        pending = [PendingEvent(event, self._refusals(reason)) for event in events]
        await self._take_in(pending, remember)

    def _refusals(self, reason: str) -> list[NotMatched]:
        return [NotMatched(rule.name, FOR_GOOD, reason) for rule in self._source.rules]

    async def _off_limits_among(self, paths: Mapping[str, str]) -> dict[str, str]:
        """Give the keys of events about files that no rule may have, with the reasons."""
        if not paths:
            return {}
        reasons = await to_thread.run_sync(self._off_limits.reasons, set(paths.values()))
        return {key: reasons[text] for key, text in paths.items() if text in reasons}

    async def recall(self, name: str) -> object:
        """Give what was remembered last under this name; None where there is nothing."""
        source = self._source
        return (await self._ledger(Ledger.recall, source.name, source.identity)).get(name)

    async def signals(self, topics: Sequence[str], *, from_start: bool = False) -> Sequence[Signal]:
        """Wait for signals behind the last one remembered, and give them."""
        remembered = await self.recall(SIGNAL)
        after = remembered if isinstance(remembered, int) else 0
        if remembered is None:
            after = 0 if from_start else await self._ledger(Ledger.newest_signal)
            memory = Memory(self._source.identity, {SIGNAL: after})
            await self._ledger(Ledger.remember, self._source.name, memory)
        while True:
            seen = self._signals.newest
            kept = await self._ledger(Ledger.signals, topics, after, SIGNALS_AT_ONCE)
            if kept:
                return [Signal(each.id, each.topic, each.data, each.created_at) for each in kept]
            await self._signals.newer(seen)

    async def _take_in(
        self, pending: Sequence[PendingEvent], remember: Mapping[str, object] | None
    ) -> None:
        await self._store_reports()
        memory = None if remember is None else Memory(self._source.identity, remember)
        now = self._clock.now()
        taken = await self._ledger(
            Ledger.take_in,
            self._source.name,
            pending,
            now,
            memory,
            runs=self._present_runs(),
            single=self._in_mode(Mode.SINGLE),
            restart=self._in_mode(Mode.RESTART),
        )
        if self._notify is not None:
            self._tell_of_jobs(taken.runs, now)
        self._runs.update(taken.runs)
        for rule, present in taken.runs.items():
            if present.surplus:
                log.warning(
                    f"rule {rule!r}: {_some(present.surplus, 'job')} of {present.jobs:,} in one "
                    f"run {'are' if present.surplus != 1 else 'is'} beyond its limit of "
                    f"{present.limit:,} and {'wait' if present.surplus != 1 else 'waits'} for a "
                    f"person (see `hydrusd dead`)",
                    rule=rule,
                )
        for rule, events in taken.busy.items():
            log.info(
                f"rule {rule!r}: {_some(events, 'event')} passed over, as a job of the rule was "
                f"not over (mode: single)",
                rule=rule,
            )
        if taken.superseded:
            log.info(
                f"{_some(len(taken.superseded), 'job')} that had not begun gave way to a later "
                f"one (mode: restart)",
                trigger=self.name,
            )
        if taken.jobs:
            log.info(
                f"{self.name}: noticed {_some(taken.events, 'event')}, {_some(taken.jobs, 'job')}",
                trigger=self.name,
                events=taken.events,
                jobs=taken.jobs,
            )
            failed = {v.rule: v.failure for p in pending for v in p.verdicts if _failed(v)}
            for rule, failure in failed.items():
                log.warning(f"rule {rule!r} gave up at once: {failure}", rule=rule)
            self._wake()

    def _tell_of_jobs(self, runs: Mapping[str, RunSoFar], now: datetime) -> None:
        assert self._notify is not None
        for rule, present in runs.items():
            former = self._runs.get(rule)
            goes_on = former is not None and former.run_id == present.run_id
            jobs = present.jobs - (former.jobs if former is not None and goes_on else 0)
            if jobs:
                self._notify(JobsMade(rule, self._source.name, present.run_id, jobs, now))

    def _in_mode(self, mode: Mode) -> list[str]:
        # Asked each time: a reload may change a rule's mode and leave its trigger running.
        return [rule.name for rule in self._source.rules if rule.spec.pace.mode is mode]

    def _present_runs(self) -> Mapping[str, RunSoFar]:
        """Give the runs that new jobs belong to: those of the portion before, where it is near."""
        now = self._clock.monotonic()
        goes_on = (
            self._source.trigger.in_portions
            and now - self._emitted_at <= RUN_GAP_SECONDS
            and now - self._firing_since <= LONGEST_RUN_SECONDS
        )
        if not goes_on:
            self._firing_since = now
            self._runs = {
                rule.name: RunSoFar(rule.spec.limits.per_run) for rule in self._source.rules
            }
        self._emitted_at = now
        return self._runs

    async def unseen(self, keys: Sequence[str]) -> set[str]:
        """Give those of the keys that a rule listening here has not had yet."""
        await self._store_reports()
        return await self._ledger(Ledger.unseen, self._source.name, keys, self._source.revisions)

    async def doubt(self, digests: Mapping[FileGroup, bytes]) -> Doubt:
        """Give those groups of files that have to be asked about one by one."""
        token = secrets.token_bytes(16)
        groups = await self._ledger(Ledger.doubt, self._source.view, digests, token)
        return Doubt(groups, token)

    async def vouch(self, doubt: Doubt, digests: Mapping[FileGroup, bytes]) -> None:
        """Say of doubted groups that none of their files is unseen."""
        await self._ledger(Ledger.vouch, self._source.view, digests, doubt.token)

    async def forget_gone(self, groups: int) -> None:
        """Say how many groups there are in all."""
        await self._ledger(Ledger.forget_if_stale, self._source.view, groups)

    async def files_had(
        self, paths: Sequence[Path], *, stems: Sequence[Path] = ()
    ) -> Sequence[HadFile]:
        """Give what was noticed at these paths before, each as it was last."""
        found = await self._ledger(
            Ledger.files_had, self._source.name, [str(p) for p in paths], [str(p) for p in stems]
        )
        given = ((had, FileSource.from_data({"file": had.file})) for had in found)
        return [
            HadFile(source, had.rules & self._source.revisions.keys(), had.sha256, had.under_way)
            for had, source in given
            if source is not None
        ]

    def waiting(self, reason: str) -> None:
        """Say that nothing can be noticed at the moment, and why."""
        self._report("waiting", reason)

    def working(self, detail: str = "") -> None:
        """Say that all is well (again)."""
        self._report("working", detail)

    def counted(self, found: int, waiting: int, *, scanning: bool = False) -> None:
        """Say how many things were found so far."""
        seen = Noticing(found, waiting, scanning)
        if seen != self._seen:
            self._seen = seen
            self._counted.set()

    def warn(self, message: str) -> None:
        """Say something that does not stop the trigger."""
        log.warning(f"{self._source.name}: {message}", trigger=self.name)

    def _report(self, state: str, reason: str) -> None:
        if state != self._state or reason:
            if state == "waiting":
                log.warning(f"{self._source.name}: {reason}", trigger=self.name)
            elif self._state == "waiting":
                log.info(f"{self.name} works again", trigger=self.name)
            elif self._state != state:
                log.info(f"{self._source.name}: {reason or state}", trigger=self.name)
        self._state = state
        self._reports.append((state, reason))
        self._reported.set()

    async def _store_reports(self) -> None:
        if self._reports:
            state, reason = self._reports[-1]
            self._reports.clear()
            self._reported = anyio.Event()
            now = self._clock.now()
            await self._ledger(Ledger.set_condition, "trigger", self.name, state, reason, now)
            if self._notify is not None:
                self._notify(ConditionChange("trigger", self.name, state, reason, now))

    async def run(self) -> None:
        """Run the trigger for ever: one that fails is started again, after a while."""
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(self._tell, name=f"reports of {self.name}")
            tasks.start_soon(self._tell_counts, name=f"counts of {self.name}")
            await self._run()

    async def _tell(self) -> None:
        """Store reports as they come: a trigger that waits may ask for nothing else for days."""
        while True:
            await self._reported.wait()
            await self._store_reports()

    async def _tell_counts(self) -> None:
        """Store what was counted, now and then while it changes: for people, and no promise."""
        stored = None
        while True:
            await self._counted.wait()
            # A quick scan that finds what the one before has found is over by then.
            await self._clock.sleep(COUNT_SECONDS)
            self._counted = anyio.Event()
            if self._seen is not None and self._seen != stored:
                stored = self._seen
                await self._ledger(note_noticing, self.name, self.rules, stored)

    async def _run(self) -> None:
        delay = FIRST_RESTART_SECONDS
        trigger = self._source.trigger
        plugin = self._accounts.owner_of(type(trigger))
        while True:
            longest = LONGEST_RESTART_SECONDS
            began = self._clock.monotonic()
            try:
                await apart(partial(trigger.run, self), accounts=self._accounts, plugin=plugin)
                failure = "it ended by itself"
            except HydrusError as error:
                failure, longest = str(error), LONGEST_RESTART_FOR_CLIENT_SECONDS
            except LedgerDamaged:
                raise  # no trigger's fault, and nothing that a second try would mend
            except (HydrusdError, Misbehaviour) as error:
                failure = str(error)
            except Exception as error:
                failure = f"{type(error).__name__}: {error}"
                if found := self._accounts.blame(error):
                    failure += f" (plugin {found[0]}: {found[1]})"
                log.debug("trigger failed", trigger=self.name, exc_info=error)
            if plugin is not None:
                self._accounts.failed(plugin, f"trigger {trigger.trigger}: {failure}")
            if self._clock.monotonic() - began > LONGEST_RESTART_SECONDS:
                delay = FIRST_RESTART_SECONDS
            delay = min(delay, longest)
            # Without the seconds, or each try would be a condition and a warning of its own.
            self.waiting(f"{failure}; tried again by itself")
            await self._clock.sleep(delay)
            delay *= 2


def _failed(verdict: NewJob | NotMatched) -> TypeGuard[NewJob]:
    return isinstance(verdict, NewJob) and bool(verdict.failure)


def _some(count: int, noun: str) -> str:
    return f"{count} {noun}{'s' if count != 1 else ''}"


def _makers_and_whether_undone(
    ledger: Ledger, paths: Sequence[str]
) -> tuple[dict[str, list[str]], bool]:
    """Ask both at once: the ledger's thread is mostly busy, and each question waits its turn."""
    return ledger.makers(paths) if paths else {}, has_undone(ledger)


def _describe(source: Source) -> str:
    path = getattr(source.trigger, "path", None)
    return str(path) if path is not None else ", ".join(source.revisions)
