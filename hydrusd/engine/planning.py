"""What a run would do, found out by looking.

The way is that of a run: the triggers look, intake judges, templates are rendered, and each
step's action says what it would change. Only nothing is stored and nothing is sent that could
change anything: the ledger is opened to be read, and the client refuses to write. What a step
would give to the later ones is taken from what it foresees; where it cannot know that (a page
that Hydrus has yet to download), the steps that hang on it are said not to be foreseen, rather
than guessed.
"""

from __future__ import annotations

import os
import re
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any, NoReturn

import anyio
import structlog

from hydrusd.clock import Clock
from hydrusd.engine.asking_disks import in_own_thread, unanswered
from hydrusd.engine.compiling import CompiledRule, CompiledStep
from hydrusd.engine.intake import Intake
from hydrusd.engine.made_files import MadeFiles
from hydrusd.engine.off_limits import OffLimits
from hydrusd.engine.permitting import missing_permissions
from hydrusd.engine.rulebook import RuleBook, Source
from hydrusd.engine.signals import Signals
from hydrusd.engine.targets import Targets, waits_for
from hydrusd.errors import (
    ExpressionError,
    HydrusdError,
    HydrusUnavailable,
    PermanentError,
    PermissionMissing,
    RequestRejected,
    WriteRefused,
)
from hydrusd.hydrus import HydrusClient
from hydrusd.ledger import (
    BUSY_TOGETHER,
    Ledger,
    LedgerWriter,
    NewJob,
    PendingEvent,
    busy_rules,
)
from hydrusd.model import Event, EventId, Job, JobId, OutcomeKind, StepRecord
from hydrusd.plugin import (
    AnyAction,
    Aside,
    Call,
    Doubt,
    FileGroup,
    FileSource,
    Foreseen,
    HadFile,
    Prospect,
    Signal,
    Start,
    calling,
)
from hydrusd.plugin.accounts import Accounts
from hydrusd.rules import Mode

SET_SIZE = 256
ANSWER_SECONDS = 10.0
"""How long a disk may leave one question unanswered before nothing of it is foreseen."""
_ENDS = frozenset({OutcomeKind.SKIPPED, OutcomeKind.DEAD})
_THERE = "already in Hydrus"
_STEPS = re.compile(r"\bsteps\.(\w+)")

log = structlog.get_logger("hydrusd.planning")


@dataclass(frozen=True, slots=True)
class Prediction:
    """What a step would do to an item; ``foreseen`` is None where nobody knows, and ``why``."""

    action: type[AnyAction]
    foreseen: Foreseen | None
    why: str = ""

    @property
    def name(self) -> str:
        """The step's name in YAML."""
        return self.action.action


@dataclass(eq=False)
class PlannedJob:
    """What a rule would do with an event.

    ``passed_over`` says why it would do nothing with it, and is empty where there would be a job.
    """

    rule: str
    event: Event
    passed_over: str = ""
    steps: list[Prediction] = field(default_factory=list)
    ending: OutcomeKind | None = OutcomeKind.DONE
    """How the job would end; None where that is not known."""
    ends_why: str = ""
    file_hash: str | None = None
    records: list[StepRecord] = field(default_factory=list, repr=False)

    @property
    def changes(self) -> bool:
        """Whether anything would change."""
        return any(step.foreseen is not None and step.foreseen.changes for step in self.steps)

    @property
    def is_open(self) -> bool:
        """Whether more of its steps would run."""
        return not self.passed_over and self.ending is OutcomeKind.DONE

    def give_way(self) -> None:
        """Say that a later job takes its place before anything of it has begun."""
        self.steps.clear()
        self.end(OutcomeKind.SKIPPED, "a later event takes its place (mode: restart)")

    def end(self, outcome: OutcomeKind | None, why: str) -> None:
        """Say that no more of them would, and why."""
        self.ending, self.ends_why = outcome, why


@dataclass(frozen=True, slots=True)
class PlannedTrigger:
    """What a trigger would notice: in its own words, and as jobs of the rules that listen."""

    name: str
    rules: Sequence[str]
    detail: str
    jobs: Sequence[PlannedJob]


@dataclass(frozen=True, slots=True)
class Plan:
    """What a run would do.

    ``waits`` says of rules why they would wait (the client is away, a permission is missing).
    ``unnoticed`` says of paths and URLs that were asked for why nothing would happen with them.
    """

    triggers: Sequence[PlannedTrigger]
    waits: Mapping[str, str] = field(default_factory=dict)
    unnoticed: Mapping[str, str] = field(default_factory=dict)

    @property
    def jobs(self) -> list[PlannedJob]:
        """All of them, in the order of the rules file."""
        return [job for trigger in self.triggers for job in trigger.jobs]


class Planner:
    """Foresees what rules would do. Changes nothing.

    ``ledger`` is one that was opened to look, ``clients`` are read-only. ``waits`` says of rules
    why they could not work now. A plugin that does not come back is named, on its account too.
    """

    def __init__(
        self,
        book: RuleBook,
        clients: Mapping[str, HydrusClient],
        ledger: LedgerWriter,
        clock: Clock,
        off_limits: OffLimits,
        waits: Mapping[str, str],
        accounts: Accounts,
    ) -> None:
        self._accounts = accounts
        self._book = book
        self._clients = clients
        self._ledger = ledger
        self._targets = Targets(ledger)
        self._clock = clock
        self._off_limits = off_limits
        self._waits = waits
        self._imported: set[str] = set()
        # Folders that did not answer, and what to say of them; and those with such targets in them.
        self._silent: dict[Path, str] = {}
        self._mute: dict[Path, str] = {}

    async def plan(self, rules: Collection[str] = (), subjects: Sequence[str] = ()) -> Plan:
        """Plan for some rules, or all; for some paths and URLs, or all that would be noticed."""
        triggers = []
        noticed: set[str] = set()
        overlooked: dict[str, list[str]] = {subject: [] for subject in subjects}
        for source in self._book.sources():
            listening = [rule for rule in source.rules if not rules or rule.name in rules]
            if not listening:
                continue
            source = Source(source.trigger, tuple(listening))  # noqa: PLW2901 - the same, narrowed
            prospect = await self._prospect(source, asked_for=bool(subjects))
            events = list(prospect.events)
            if subjects:
                named = {s: [e for e in events if _is_about(e, s)] for s in subjects}
                noticed |= {subject for subject, found in named.items() if found}
                for subject, why in (await self._overlooked(source, subjects)).items():
                    overlooked[subject].append(why)
                events = list({e.key: e for found in named.values() for e in found}.values())
            detail, jobs = prospect.detail, list[PlannedJob]()
            try:
                jobs = await self._jobs(source, events)
            except calling.Silence as silence:
                detail = "; ".join(filter(None, [detail, str(silence)]))
            names = [rule.name for rule in listening]
            triggers.append(PlannedTrigger(source.name, names, detail, jobs))
        unnoticed = {
            subject: "; ".join(dict.fromkeys(whys)) or "no trigger notices it now"
            for subject, whys in overlooked.items()
            if subject not in noticed
        }
        wanted = {name: why for name, why in self._waits.items() if not rules or name in rules}
        return Plan(triggers, wanted, unnoticed)

    # --- what is noticed -----------------------------------------------------------------

    async def _prospect(self, source: Source, *, asked_for: bool) -> Prospect:
        looking = _Looking(source, self._intake(source), self._ledger, all_new=asked_for)
        try:
            kind = type(source.trigger)
            prospect = await calling.looking(
                lambda: source.trigger.preview(looking),
                accounts=self._accounts,
                plugin=self._accounts.owner_of(kind),
                name=kind.trigger,
            )
            if wrong := _wrong_in(prospect):
                raise HydrusdError(f"{kind.trigger} gave {wrong}")
        except (Exception, SystemExit) as error:  # noqa: BLE001 - the plugin boundary
            return Prospect(detail=f"what it would notice cannot be foreseen: {_words(error)}")
        told = "; ".join([prospect.detail, *looking.warnings[:3]])
        return Prospect(prospect.events, told.strip("; "))

    async def _overlooked(self, source: Source, subjects: Sequence[str]) -> dict[str, str]:
        """Give those of some paths that are in what the trigger watches and not noticed, and why.

        Of what does not answer that is said; nothing else is asked in the same folder.
        """
        whys: dict[str, str] = {}
        for subject in subjects:
            if "://" in subject:
                continue
            path = Path.cwd() / subject
            if path.parent not in self._silent:
                with anyio.move_on_after(ANSWER_SECONDS):
                    if why := await in_own_thread(partial(source.trigger.overlooks, path)):
                        whys[subject] = why
                    continue
                self._silent[path.parent] = unanswered(path.parent)
            whys[subject] = self._silent[path.parent]
        return whys

    async def _judged(self, source: Source, events: Sequence[Event]) -> list[PendingEvent]:
        """Have intake judge some events. Raises ``Silence`` where a disk does not answer."""
        intake = self._intake(source)
        found = (FileSource.from_data(event.data) for event in events)
        sources = [each for each in found if each is not None]
        return await calling.while_answered(
            lambda: intake.judged(events), partial(self._silence, sources), name="intake"
        )

    async def _silence(self, sources: Sequence[FileSource]) -> str:
        """Say which of the folders that these are in does not answer; nothing where all do."""
        for source in sources:
            with anyio.move_on_after(ANSWER_SECONDS):
                await in_own_thread(source.state)
                continue
            self._silent[source.root] = unanswered(source.root)
            return self._silent[source.root]
        return ""

    def _intake(self, source: Source) -> Intake:
        return Intake(
            source,
            self._ledger,
            self._clock,
            lambda: None,
            self._clients[source.client],
            Signals(self._ledger),
            self._off_limits,
            MadeFiles(),
        )

    async def _jobs(self, source: Source, events: Sequence[Event]) -> list[PlannedJob]:
        jobs: list[PlannedJob] = []
        runs: dict[str, int] = {}
        keys = [event.key for event in events]
        news = {
            rule.name: await self._ledger(
                Ledger.unseen, source.name, keys, {rule.name: rule.revision}
            )
            for rule in source.rules
        }
        limits = {rule.name: rule.spec.limits.per_run for rule in source.rules}
        modes = {rule.name: rule.spec.pace.mode for rule in source.rules}
        single = [name for name, mode in modes.items() if mode is Mode.SINGLE]
        busy = await self._ledger(busy_rules, single)
        newest: dict[str, PlannedJob] = {}
        for start in range(0, len(events), SET_SIZE):
            some = events[start : start + SET_SIZE]
            fresh: list[PlannedJob] = []
            for pending in await self._judged(source, some):
                for verdict in pending.verdicts:
                    job = PlannedJob(verdict.rule, pending.event)
                    if pending.event.key not in news[verdict.rule]:
                        job.passed_over = "the rule has dealt with it already"
                    elif not isinstance(verdict, NewJob):
                        job.passed_over = verdict.reason
                    elif verdict.rule in busy and not verdict.failure:
                        job.passed_over = busy[verdict.rule]
                    else:
                        runs[verdict.rule] = runs.get(verdict.rule, 0) + 1
                        if verdict.failure:
                            job.end(OutcomeKind.DEAD, verdict.failure)
                        elif runs[verdict.rule] > limits[verdict.rule]:
                            limit = f"{limits[verdict.rule]:,}"
                            why = f"one run of its rule may have {limit} jobs (limits: per_run)"
                            job.end(OutcomeKind.DEAD, why)
                        if job.is_open and modes[job.rule] is Mode.SINGLE:
                            busy[job.rule] = BUSY_TOGETHER
                        elif job.is_open and modes[job.rule] is Mode.RESTART:
                            if job.rule in newest:
                                newest[job.rule].give_way()
                            newest[job.rule] = job
                    fresh.append(job)
            jobs += fresh
            for rule in source.rules:
                await self._walk(rule, [j for j in fresh if j.rule == rule.name and j.is_open])
        return jobs

    # --- what the steps would do ---------------------------------------------------------

    async def _walk(self, rule: CompiledRule, jobs: Sequence[PlannedJob]) -> None:
        """Take jobs through their steps, each on its own way, and those at one step together."""
        waiting: dict[int, list[PlannedJob]] = {}
        for job in jobs:
            self._go_on(rule, job, 0, waiting)
        while waiting:
            position = min(waiting)
            here = waiting.pop(position)
            await self._step(rule, position, here)
            for job in here:
                if job.is_open:
                    self._go_on(rule, job, position + 1, waiting)
                elif job.ending is None:
                    _leave_open(rule, job, position)

    @staticmethod
    def _go_on(
        rule: CompiledRule,
        job: PlannedJob,
        position: int,
        waiting: dict[int, list[PlannedJob]],
    ) -> None:
        """Lead a job to its next step, as the conditions say on the way there."""
        arrival = rule.arrive(position, job.event.data, job.records)
        for record in sorted(arrival.records, key=lambda each: each.position):
            kind = rule.steps[record.position].action_class
            if record.outcome is OutcomeKind.DEAD:
                continue
            decided = record.outcome is not OutcomeKind.PASSED
            detail = f"{record.detail}{_reserve(job, record) if decided else ''}"
            foreseen = Foreseen(detail, changes=False, outcome=record.outcome)
            job.steps.append(Prediction(kind, foreseen))
            job.records.append(record)
        if arrival.failure:
            kind = rule.steps[arrival.position].action_class
            if job.changes and "steps" in arrival.failure:
                why = f"is known only then: {arrival.failure}"
                job.steps.append(Prediction(kind, None, why))
                job.end(None, arrival.failure)
                _leave_open(rule, job, arrival.position)
            else:
                job.steps.append(Prediction(kind, Foreseen.dead(arrival.failure)))
                job.end(OutcomeKind.DEAD, arrival.failure)
        elif arrival.position < len(rule.steps):
            waiting.setdefault(arrival.position, []).append(job)

    async def _step(self, rule: CompiledRule, position: int, jobs: Sequence[PlannedJob]) -> None:
        """Foresee what a step would do to these."""
        step = rule.steps[position]
        made: dict[str, AnyAction] = {}
        calls: dict[PlannedJob, Call[AnyAction]] = {}
        for job in jobs:
            try:
                calls[job] = rule.call(
                    position,
                    _as_job(rule, job, position),
                    self._clients[rule.spec.client],
                    self._clock,
                    made,
                )
            except ExpressionError as error:
                self._unrendered(job, step, error)
        if calls:
            predictions = await self._foresee(step, list(calls.values()))
            for job, prediction in zip(calls, predictions, strict=True):
                self._take_in(job, position, prediction)

    def _unrendered(self, job: PlannedJob, step: CompiledStep, error: ExpressionError) -> None:
        """Take a template that cannot be rendered: for good, or for want of what is not known."""
        if job.changes and "steps." in repr(step.spec.raw):
            job.steps.append(Prediction(step.action_class, None, f"is known only then: {error}"))
            job.end(None, str(error))
        else:
            job.steps.append(Prediction(step.action_class, Foreseen.dead(str(error))))
            job.end(OutcomeKind.DEAD, str(error))

    async def _foresee(
        self, step: CompiledStep, calls: Sequence[Call[AnyAction]]
    ) -> list[Prediction]:
        """Have the action look at all of a set; at each alone, where the set as a whole fails."""
        kind = step.action_class
        if why := self._held_back(step, calls[0]):
            return [Prediction(kind, None, why) for _ in calls]
        sources = [call.source for call in calls if call.source and kind.needs_source]
        if silent := next((self._silent[s.root] for s in sources if s.root in self._silent), ""):
            return [Prediction(kind, None, silent) for _ in calls]
        if waiting := await self._without_disk(calls):
            rest = [call for call in calls if call not in waiting]
            others = dict(zip(rest, await self._foresee(step, rest), strict=True)) if rest else {}
            return [
                Prediction(kind, None, waiting[call]) if call in waiting else others[call]
                for call in calls
            ]
        try:
            told = await calling.looking(
                lambda: kind.plan(calls),
                accounts=self._accounts,
                plugin=self._accounts.owner_of(kind),
                name=step.name,
                silence=partial(self._silence, sources),
            )
            foreseen = list(told)
            if len(foreseen) != len(calls):
                raise HydrusdError(f"{step.name} did not say of each item what it would do")
            if wrong := [each for each in foreseen if not _is_foreseen(each)]:
                what = type(wrong[0]).__name__
                raise HydrusdError(f"{step.name} gave {what} for what it foresees")
        except (PermanentError, RequestRejected) as error:
            if len(calls) == 1:
                return [Prediction(kind, Foreseen.dead(f"would become a dead letter: {error}"))]
        except (
            HydrusUnavailable,
            PermissionMissing,
            calling.Misbehaviour,
            calling.Silence,
        ) as error:
            return [Prediction(kind, None, str(error)) for _ in calls]
        except (Exception, SystemExit) as error:  # noqa: BLE001 - the plugin boundary
            if isinstance(error, WriteRefused):
                log.warning(f"{step.name} wanted to change something while it was only to look")
            if len(calls) == 1 or isinstance(error, WriteRefused):
                return [Prediction(kind, None, _words(error)) for _ in calls]
        else:
            return [Prediction(kind, each) for each in foreseen]
        middle = len(calls) // 2
        first = await self._foresee(step, calls[:middle])
        return first + await self._foresee(step, calls[middle:])

    async def _without_disk(self, calls: Sequence[Call[AnyAction]]) -> dict[Call[AnyAction], str]:
        """Say for which disk those would wait that would write where one is away."""
        folders = {call: call.action.folders_written for call in calls}
        wanted = {each for some in folders.values() for each in some}
        if not wanted:
            return {}
        away = await self._away_among(list(wanted))
        return {
            call: f"waits: {away[each]}"
            for call, some in folders.items()
            for each in some
            if each in away
        }

    async def _away_among(self, folders: Sequence[Path]) -> dict[Path, str]:
        """Give those folders that cannot be written to, each with what to say of it.

        Where one does not answer, nothing else is asked in the same folder.
        """
        away = {each: self._mute[each.parent] for each in folders if each.parent in self._mute}
        asked = [each for each in folders if each not in away]
        if asked:
            with anyio.move_on_after(ANSWER_SECONDS):
                return away | await self._away_now(asked)
        # It keeps up all the others; alone each shows whether it is the one.
        for each in asked:
            if each.parent not in self._mute:
                with anyio.move_on_after(ANSWER_SECONDS):
                    away |= await self._away_now([each])
                    continue
                self._mute[each.parent] = unanswered(each)
            away[each] = self._mute[each.parent]
        return away

    async def _away_now(self, folders: Sequence[Path]) -> dict[Path, str]:
        look = await self._targets.look(folders, remember=False)
        return {each: waits_for(each, mount) for each, mount in look.away.items()}

    def _held_back(self, step: CompiledStep, call: Call[AnyAction]) -> str:
        """Say for which permission those would wait that come here, where their rule would not."""
        if step.certain or call.rule in self._waits:
            return ""
        lacking = missing_permissions(step.action_class.permissions, call.client.info)
        words = " and ".join(map(repr, lacking))
        return f"waits: the access key lacks {words}" if lacking else ""

    def _take_in(self, job: PlannedJob, position: int, prediction: Prediction) -> None:
        """Let the later steps see what this one would leave."""
        foreseen, action = prediction.foreseen, prediction.action
        if foreseen is None:
            job.steps.append(prediction)
            job.end(None, prediction.why)
            return
        named = foreseen.values.get("hash")
        if action.imports and isinstance(named, str) and foreseen.changes:
            if named in self._imported:
                why = f"{_THERE} by then: another file with the same content comes before it"
                values = {**foreseen.values, "status": _THERE}
                foreseen = Foreseen(why, changes=False, values=values)
            self._imported.add(named)
        job.steps.append(Prediction(action, foreseen))
        if foreseen.outcome in _ENDS:
            job.end(foreseen.outcome, foreseen.detail)
            return
        if (action.imports or action.names_files) and isinstance(named, str):
            job.file_hash = named
        job.records.append(
            StepRecord(
                position, prediction.name, OutcomeKind.DONE, foreseen.detail, foreseen.values, None
            )
        )


def _leave_open(rule: CompiledRule, job: PlannedJob, position: int) -> None:
    """Say of all steps behind this one that they hang on it."""
    left = rule.steps[position + 1 :] if rule.program is None else rule.program.behind(position)
    why = "hangs on a step before it"
    job.steps += [Prediction(step.action_class, None, why) for step in left]


def _reserve(job: PlannedJob, record: StepRecord) -> str:
    """Say of a decision that it hangs on what is only foreseen, where it does."""
    read = set(_STEPS.findall(record.detail))
    for step in job.steps:
        if step.name in read and step.foreseen is not None and step.foreseen.changes:
            return f" (if {step.name} ends as foreseen)"
    return ""


class _Looking:
    """What a trigger sees of the engine while it only looks (its ``TriggerContext``)."""

    def __init__(
        self, source: Source, intake: Intake, ledger: LedgerWriter, *, all_new: bool
    ) -> None:
        self._source = source
        self._intake = intake
        self._ledger = ledger
        self._all_new = all_new
        self.warnings: list[str] = []

    @property
    def clock(self) -> Clock:
        return self._intake.clock

    @property
    def client(self) -> HydrusClient:
        return self._intake.client

    @property
    def start(self) -> Start:
        return self._intake.start

    @property
    def rules(self) -> Sequence[str]:
        return self._intake.rules

    async def recall(self, name: str) -> object:
        return await self._intake.recall(name)

    async def unseen(self, keys: Sequence[str]) -> set[str]:
        if self._all_new:
            return set(keys)
        return await self._ledger(Ledger.unseen, self._source.name, keys, self._source.revisions)

    async def doubt(self, digests: Mapping[FileGroup, bytes]) -> Doubt:
        return Doubt(frozenset(digests), b"")

    async def signals(self, topics: Sequence[str], *, from_start: bool = False) -> Sequence[Signal]:
        del topics, from_start
        self._refuse()

    async def files_had(
        self, paths: Sequence[Path], *, stems: Sequence[Path] = ()
    ) -> Sequence[HadFile]:
        return await self._intake.files_had(paths, stems=stems)

    async def emit(
        self,
        events: Sequence[Event],
        *,
        aside: Sequence[Aside] = (),
        remember: Mapping[str, object] | None = None,
    ) -> None:
        del events, aside, remember
        self._refuse()

    async def pass_over(
        self,
        events: Sequence[Event],
        reason: str,
        *,
        remember: Mapping[str, object] | None = None,
    ) -> None:
        del events, reason, remember
        self._refuse()

    async def vouch(self, doubt: Doubt, digests: Mapping[FileGroup, bytes]) -> None:
        del doubt, digests
        self._refuse()

    async def forget_gone(self, groups: int) -> None:
        del groups
        self._refuse()

    def _refuse(self) -> NoReturn:
        raise WriteRefused(f"{self._source.name} wanted to store something while it only looks")

    def counted(self, found: int, waiting: int, *, scanning: bool = False) -> None:
        """Nobody watches how far a look has come."""

    def waiting(self, reason: str) -> None:
        self.warnings.append(reason)

    def working(self, detail: str = "") -> None:
        del detail

    def warn(self, message: str) -> None:
        self.warnings.append(message)


def _as_job(rule: CompiledRule, job: PlannedJob, position: int) -> Job:
    return Job(
        id=JobId(0),
        rule=rule.name,
        revision=rule.revision,
        event_id=EventId(0),
        event_key=job.event.key,
        data=job.event.data,
        step=position,
        attempt=1,
        file_hash=job.file_hash,
        boot=None,
        steps=tuple(job.records),
    )


def _is_about(event: Event, subject: str) -> bool:
    """Say whether an event is about this URL, this file, or a file in this folder."""
    if subject in {event.data.get("url"), event.data.get("normalised"), event.data.get("hash")}:
        return True
    text = FileSource.path_in(event.data)
    if text is None:
        return False
    here = Path(os.path.normcase(os.path.abspath(subject)))  # noqa: PTH100 - keeps links as they are
    return Path(os.path.normcase(text)).is_relative_to(here)


def _wrong_in(prospect: Any) -> str:
    """Say what of it is not what a preview has to give; nothing where all is."""
    if not isinstance(prospect, Prospect) or not isinstance(prospect.detail, str):
        return f"{type(prospect).__name__} for what it would notice, and no Prospect"
    events: Any = prospect.events
    if not isinstance(events, Sequence):
        return f"{type(events).__name__} for a list of events"
    for event in events:
        if not isinstance(event, Event) or not isinstance(event.key, str):
            return f"{type(event).__name__} for an event with a key"
        data: Any = event.data
        if not isinstance(data, Mapping):
            return f"{type(data).__name__} for the data of an event"
    return ""


def _is_foreseen(told: object) -> bool:
    """Say whether it is what a plan has to give: who writes Python may give anything."""
    return (
        isinstance(told, Foreseen)
        and isinstance(told.detail, str)
        and isinstance(told.values, Mapping)
        and isinstance(told.outcome, OutcomeKind)
    )


def _words(error: BaseException) -> str:
    own = isinstance(error, HydrusdError | calling.Misbehaviour)
    return str(error) if own else f"{type(error).__name__}: {error}"
