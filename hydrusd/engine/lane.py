"""The queue of one Hydrus client, worked in sets.

A set is up to 256 ready jobs of one rule at one step, or more where that takes a moment (see
``set_sizes.py``). Its outcomes are stored while it runs, each time in one transaction, so that
a crash loses at most a moment's worth of knowledge, never of work: every action looks before it
repeats.

The lane knows three moods. *Working*: client there, jobs flow. *Parked*: client away or
the key refused; it asks again, ever less often, while steps that need no client go on.
*Settling* happens in between, see ``settling.py``.
"""

from __future__ import annotations

import inspect
import math
import random
import time
import uuid
from collections import Counter
from collections.abc import Awaitable, Callable, Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from functools import partial
from typing import NamedTuple, cast

import anyio
import structlog
from anyio.abc import TaskGroup

from hydrusd.clock import Clock, first_of
from hydrusd.engine.asking_disks import in_own_thread, unanswered
from hydrusd.engine.compiling import CompiledRule, CompiledStep
from hydrusd.engine.late_sidecars import outcome_without_running
from hydrusd.engine.limits import HOUR_SECONDS, Limits, Pause
from hydrusd.engine.made_files import MadeFiles
from hydrusd.engine.matching import judge
from hydrusd.engine.pacing import NO_TURNS, Pacing
from hydrusd.engine.permitting import missing_permissions
from hydrusd.engine.program import Arrival
from hydrusd.engine.retrying import (
    LONGEST_ASKED_SECONDS,
    MAX_ATTEMPTS,
    Verdict,
    backoff_seconds,
    judge_error,
    sound,
    sound_all,
)
from hydrusd.engine.rulebook import RuleBook
from hydrusd.engine.set_sizes import SetSizes
from hydrusd.engine.settling import Settling
from hydrusd.engine.targets import AWAY_SECONDS, Targets, waits_for
from hydrusd.engine.undoing import UndoRule, UndoStep, is_undo
from hydrusd.errors import (
    AccessDenied,
    ExpressionError,
    HydrusdError,
    HydrusError,
    HydrusFailed,
    HydrusUnavailable,
    LedgerDamaged,
    LedgerError,
    LedgerFull,
    PermissionMissing,
    RequestRejected,
)
from hydrusd.hydrus import ClientInfo, HydrusClient
from hydrusd.ledger import (
    RETRIED,
    ClaimFilter,
    JobUpdate,
    Ledger,
    LedgerWriter,
    Memory,
    StepUpdate,
    forget_conditions,
    keep_steps,
    superseded_among,
    take_up_undo,
)
from hydrusd.model import (
    ConditionChange,
    Data,
    FinishedJob,
    Job,
    JobId,
    JobState,
    Outcome,
    OutcomeKind,
    ParkScope,
    StepRecord,
    fired_topic,
    tells,
)
from hydrusd.plugin import Action, AnyAction, Call, SetAction, Undo
from hydrusd.plugin.accounts import Accounts
from hydrusd.plugin.calling import apart, in_thread
from hydrusd.rules import Mode

ONE_BY_ONE_WIDTH = 4
FLUSH_SECONDS = 0.5
RENEW_SECONDS = 60.0
IDLE_SECONDS = 5.0
"""Another process may put jobs back (``retry``); so often is looked for that."""
TOLD_IDLE_SECONDS = 300.0
"""The same where somebody else looks for it (see ``Lookout``)."""
RULE_PARK_SECONDS = 60.0
STEADY_SECONDS = 60.0
"""A connection that held for so long was a good one: the next outage is asked after at once."""
CLOCK_TOLERANCE = timedelta(seconds=5)
"""A clock that is put back by less is being corrected, as clocks are."""
SLEPT_SECONDS = 30.0
"""A timer that rings so much too late, or a time of day that is so much later than it should be,
means that the machine was suspended, the process stopped, or the clock set."""
DEAD_TOLD = 10
"""How many dead letters of one set are named in the log; `hydrusd status` shows the others."""
NOT_IMPORTED = (
    "{step} would dispose of a file that no step of this job has brought into Hydrus, or found "
    "there; it is left alone"
)
LIMITS = "limits"
"""Under what the ledger remembers how rules were failing."""
STUCK_SECONDS = 30.0
"""How long a plugin or a disk may finish no call of a set before the other rules go on without."""
ANSWER_SECONDS = 5.0
"""How long a disk may take to say whether a file is there (in real time) and still counts as one
that answers."""
HUNG_RESTS_SECONDS = 600.0
"""When what did not come back is tried again: it costs the others a while each time."""
PROBE_SECONDS = (1.0, 2.0, 4.0, 8.0, 15.0, 30.0, 60.0)

log = structlog.get_logger("hydrusd.lane")

Observe = Callable[[FinishedJob], None]
Notify = Callable[[ConditionChange], None]


@dataclass(slots=True)
class _Parked:
    """Why something waits, and until when (monotonic seconds)."""

    reason: str
    until: float


@dataclass(eq=False, slots=True)
class _Work:
    """A claimed job on its way through a step."""

    job: Job
    began_at: datetime
    call: Call[AnyAction] | None = None
    outcome: Outcome | None = None
    kept: Data | None = None
    stored: bool = False
    arrival: Arrival | None = None

    @property
    def result(self) -> Outcome | None:
        if self.outcome is None and self.call is not None and self.call.outcome is not None:
            self.outcome = sound(self.call.outcome)
        return self.outcome


class _Place(NamedTuple):
    """Where a job goes after a step. ``ending`` is how it ends when all is durable."""

    state: JobState
    step: int
    needs_client: bool
    attempt: int
    run_at: datetime
    boot: str | None
    ending: JobState | None


@dataclass(eq=False, slots=True)
class _Set:
    """Claimed jobs of one rule at one step. ``boot`` was read before their work began.

    ``passed`` is set when the lane need not wait for it any more. ``plugin`` is the one that
    brought the action, and ``too_long`` says so when its work was broken off by ``scope``.
    """

    work: Sequence[_Work]
    rule: CompiledRule | UndoRule | None
    boot: str
    passed: anyio.Event = field(default_factory=anyio.Event)
    plugin: str | None = None
    scope: anyio.CancelScope = field(default_factory=anyio.CancelScope)
    too_long: str = ""

    @property
    def position(self) -> int:
        return self.work[0].job.step

    def take_what_was_said(self) -> None:
        """Take the outcomes that the action gave, all at once where there are many."""
        said = [
            (item, item.call.outcome)
            for item in self.work
            if item.outcome is None and item.call is not None and item.call.outcome is not None
        ]
        for (item, _), outcome in zip(said, sound_all([o for _, o in said]), strict=True):
            item.outcome = outcome

    @property
    def can_wait(self) -> bool:
        """Say whether nothing hangs on storing this before the next set begins."""
        if self.rule is None or self.rule.steps[self.position].action_class.disposes:
            return False
        return all(w.result is not None and w.result.kind in _ORDINARY for w in self.work)

    @property
    def only_lingers(self) -> bool:
        """Say whether all that is still under way takes long by itself."""
        left = [work.call for work in self.work if work.result is None]
        return bool(left) and all(call is not None and call.lingers for call in left)


class Lane:
    """Works the jobs of one client until cancelled.

    While a set is under way, and mostly waiting for the client, the outcomes of the one before
    it are stored, the one after it is claimed, and what settles is proved.
    """

    def __init__(
        self,
        name: str,
        client: HydrusClient,
        rules: RuleBook,
        ledger: LedgerWriter,
        clock: Clock,
        *,
        commit_wait_seconds: float = 60.0,
        observe: Observe | None = None,
        on_connected: Callable[[ClientInfo], dict[str, str]] | None = None,
        chance: random.Random | None = None,
        made: MadeFiles | None = None,
        only_undos: bool = False,
        look: Callable[[], Awaitable[None]] | None = None,
        accounts: Accounts | None = None,
        notify: Notify | None = None,
        idle_seconds: float = IDLE_SECONDS,
    ) -> None:
        """Make a lane. ``look`` is called each time when the client is there again.

        ``observe`` is told of each finished job, ``notify`` of each change of a condition.
        ``on_connected`` may give reasons, by rule, why a rule cannot run on the client as it is
        now: these are parked. ``only_undos`` leaves all jobs alone but those that take something
        back. ``idle_seconds`` is how long a lane that nobody wakes rests at most.
        """
        self.name = name
        self._client = client
        self._rules = rules
        self._ledger = ledger
        self._clock = clock
        self._observe = observe
        self._on_connected = on_connected
        self._look = look
        self._made = made if made is not None else MadeFiles()
        self._accounts = accounts if accounts is not None else Accounts()
        self._notify = notify
        self._idle_seconds = idle_seconds
        self._stuck: dict[str, _Set] = {}
        self._chance = chance or random.Random()  # noqa: S311 - jitter, not a secret
        self._only_undos = only_undos
        self._owner = uuid.uuid4().hex
        self._woken = anyio.Event()
        self._parked: _Parked | None = _Parked("not connected yet", 0.0)
        self._probes = 0
        self._connected_at = clock.monotonic()
        self._parked_rules: dict[str, _Parked] = {}
        # What some jobs of a rule wait for while its others go on: the step, and in words.
        self._held: dict[str, tuple[CompiledStep, str]] = {}
        # Which step of a rule finds a disk full, or one away: that one's mount point.
        self._full: dict[str, tuple[str, str]] = {}
        self._targets = Targets(ledger)
        self._permissions_at = math.inf
        self._said: dict[str, str] = {}
        self._orphans: frozenset[str] = frozenset()
        self._next: tuple[RuleBook, Observe | None] | None = None
        self._ending = False
        self._limits = Limits()
        self._pacing = Pacing(name, client, ledger, clock, self._limits)
        self._turns = NO_TURNS
        self._sizes = SetSizes()
        self._raised: set[JobId] = set()
        self._claimed: list[Job] = []
        self._unstored: _Set | None = None
        self._lingering: _Set | None = None
        self._settled = anyio.Event()
        self._settled.set()
        self._refused: frozenset[str] = frozenset()
        self._boot = ""
        # What the time of day is at zero of the clock that never jumps.
        self._ahead = clock.now() - timedelta(seconds=clock.monotonic())
        self._slept = False
        self._settling = Settling(
            name,
            client,
            rules,
            ledger,
            clock,
            commit_wait_seconds=commit_wait_seconds,
            tell=self._tell,
            accounts=self._accounts,
        )

    def wake(self, *, slept: bool = False) -> None:
        """Say that there is something to do, or that the machine slept. Call it on the loop."""
        self._slept |= slept
        self._woken.set()

    def follow(self, rules: RuleBook, observe: Observe | None) -> None:
        """Work by these rules from the next set on. Call it on the event loop.

        What is under way ends by those that it began with.
        """
        self._next = (rules, observe)
        self.wake()

    def finish(self) -> None:
        """Say that the set under way is to be the last. Call it on the event loop."""
        self._ending = True
        self.wake()

    @property
    def waits_for(self) -> str:
        """Say what keeps the lane, or some rule on it, from working; nothing where nothing does."""
        if self._parked is not None:
            return self._parked.reason if self._probes else ""
        return next((parked.reason for parked in self._parked_rules.values()), "")

    # --- the loop ------------------------------------------------------------------------

    async def run(self) -> None:
        """Work until cancelled or finished; claimed jobs go back then, at no cost."""
        try:
            await self._begin()
            async with anyio.create_task_group() as tasks:
                while True:
                    self._woken = anyio.Event()
                    if self._ending:
                        break
                    if self._next is not None:
                        await self._take_rules(*self._next)
                    await self._follow_clock()
                    await self._connect_if_due()
                    await self._unpark_rules()
                    worked = await self._work_a_set(tasks)
                    if self._parked is None:
                        worked |= await self._settle(idle=not worked)
                    if not worked:
                        await self._rest()
        finally:
            with anyio.CancelScope(shield=True):
                await self._store_unstored()
                await self._ledger(Ledger.release, self._clock.now(), owner=self._owner)

    async def _follow_clock(self) -> None:
        """Move what is due later along with a clock that somebody put back.

        Otherwise a clock that was a year ahead for an hour would delay retries by a year. A clock
        that is suddenly later is that of a machine which has slept.
        """
        now = self._clock.now()
        expected = self._ahead + timedelta(seconds=self._clock.monotonic())
        self._ahead += now - expected
        if self._slept or now - expected > timedelta(seconds=SLEPT_SECONDS):
            await self._wake_up()
        if expected - now > CLOCK_TOLERANCE:
            log.warning(f"the clock went back by {expected - now}", lane=self.name)
            await self._ledger(Ledger.bring_forward, self.name, expected - now, now)

    async def _wake_up(self) -> None:
        """Take nothing for granted after a sleep: connections are dead, the client may be another.

        Connecting asks harmless questions, on which it costs nothing to find that out.
        """
        self._slept = False
        await self._ledger(Ledger.renew, self._owner, self._clock.now())
        if self._parked is None:
            log.info("the machine slept, or its clock was set: connecting again", lane=self.name)
            self._probes = 0
            self._parked = _Parked("the machine slept", self._clock.monotonic())
        else:
            self._parked.until = self._clock.monotonic()

    async def _sleep(self, seconds: float) -> None:
        began = self._clock.monotonic()
        await self._clock.sleep(seconds)
        self._note_lateness(began, seconds)

    def _note_lateness(self, began: float, seconds: float) -> None:
        self._slept |= self._clock.monotonic() - began - seconds > SLEPT_SECONDS

    async def _begin(self) -> None:
        latest = await self._ledger(Ledger.latest_time)
        if latest is not None and latest - self._clock.now() > CLOCK_TOLERANCE:
            by = latest - self._clock.now()
            log.warning(f"the clock is {by} behind what the ledger has seen", lane=self.name)
            await self._ledger(Ledger.bring_forward, self.name, by, self._clock.now())
        await self._settling.begin()
        if not self._only_undos:
            await self._recall_limits()
            await self._adopt(self._rules.revisions_on(self.name))
        await self._find_orphans()
        await self._park_missing()

    async def _park_missing(self) -> None:
        """Say which rules wait for a plugin that was left out."""
        for rule in self._rules.revisions_on(self.name).keys() & self._rules.missing.keys():
            reason = self._rules.missing[rule]
            log.warning(f"rule {rule!r} waits: {reason}", rule=rule)
            await self._condition("rule", rule, "parked", reason)

    async def _recall_limits(self) -> None:
        """Hold against the rules what they did in a former life of the daemon.

        One that is started anew every minute would allow them everything sixty times an hour.
        A rule that was stopped as it only failed is tried with one job, unless it was rewritten.
        """
        now, zero = self._clock.now(), self._clock.monotonic()
        since = now - timedelta(seconds=HOUR_SECONDS)
        for rule, minute, count in await self._ledger(Ledger.begun_since, since):
            # Until the end of the minute, which is later than it was.
            ago = (now - minute).total_seconds() - 60.0
            self._limits.begun(rule, count, zero - max(ago, 0.0))
        for rule, kept in (await self._ledger(Ledger.recall, LIMITS, self.name)).items():
            if isinstance(kept, Mapping) and kept.get("revision") == self._rules.revisions.get(
                rule
            ):
                self._limits.restore(rule, kept)

    async def _take_rules(self, rules: RuleBook, observe: Observe | None) -> None:
        """Go on with other rules, between two sets: as after a restart, with nothing interrupted.

        Jobs that have not begun are put under them, on whichever lane they are: their rule may
        have moved to another one, whose lane has looked for them while this one had them claimed.
        """
        self._next = None
        former, self._rules, self._observe = self._rules, rules, observe
        self._settling.follow(rules)
        claimed, self._claimed = self._claimed, []
        await self._put_back(claimed)
        now = rules.revisions
        changed = {name: now[name] for name in now if now[name] != former.revisions.get(name)}
        await self._adopt(changed)
        told = {rule for rule in self._orphans if rules.knows(rule)}
        self._orphans -= told
        for rule in (*changed, *(former.revisions.keys() - now.keys())):
            self._limits.rewritten(rule)
            self._parked_rules.pop(rule, None)
            held = self._held.pop(rule, None) is not None
            if (self._said.pop(rule, None) is not None or held) and rule not in rules.invalid:
                told.add(rule)
        if told:
            await self._ledger(forget_conditions, "rule", sorted(told))
        await self._find_orphans()
        await self._park_missing()
        if self._parked is None:
            await self._refuse(self._client.info)

    async def _find_orphans(self) -> None:
        """Find the rules of waiting jobs that nobody knows (any more)."""
        mine = {rule for lane, rule in await self._ledger(Ledger.open_rules) if lane == self.name}
        for rule in sorted(mine):
            if not self._rules.knows(rule):
                await self._orphan(rule)

    async def _orphan(self, rule: str) -> None:
        """Let the jobs of a rule wait that nobody knows."""
        reason = self._rules.why_unknown(rule)
        if rule not in self._orphans:
            log.warning(f"rule {rule!r}: {reason}", rule=rule)
        self._orphans |= {rule}
        if (invalid := self._rules.invalid.get(rule)) is not None:
            await self._condition("rule", rule, "invalid", invalid.reason)
        else:
            await self._condition("rule", rule, "parked", reason)

    async def _adopt(self, revisions: Mapping[str, str]) -> None:
        """Put jobs that have not begun under their rule as it is now, and on its client."""
        async with self._rules.adopting:
            while jobs := await self._ledger(Ledger.unbegun, revisions, 500):
                verdicts = [(job, judge(self._rules.current(job.rule), job.data)) for job in jobs]
                await self._ledger(Ledger.adopt, verdicts, self._clock.now())

    def _filter(self) -> ClaimFilter:
        blocked = self._orphans | frozenset(self._parked_rules)
        if self._stuck or self._rules.missing:
            blocked = blocked.union(self._stuck, self._rules.missing)
        return ClaimFilter(
            self.name,
            self._parked is not None,
            blocked,
            self._only_undos,
            self._turns.held,
            self._turns.turns,
            self._turns.at_most,
            sizes=self._sizes.grown,
        )

    async def _rest(self) -> None:
        """Wait until woken or until something becomes due, whichever is first."""
        now = self._clock.monotonic()
        waits = [self._idle_seconds]
        due = await self._ledger(Ledger.next_due, self._filter())
        if due is not None:
            waits.append((due - self._clock.now()).total_seconds())
        waits += [parked.until - now for parked in self._parked_rules.values()]
        if self._turns.seconds is not None:
            waits.append(self._turns.seconds)
        if self._parked is not None:
            waits.append(self._parked.until - now)
        elif (settles := self._settling.due_in_seconds()) is not None:
            waits.append(settles)
        began, seconds = self._clock.monotonic(), max(min(waits), 0.01)
        await first_of(self._woken, self._clock, seconds, name=f"rest of lane {self.name}")
        self._note_lateness(began, seconds)

    # --- parking -------------------------------------------------------------------------

    async def _condition(self, kind: str, name: str, state: str, reason: str) -> None:
        now = self._clock.now()
        await self._ledger(Ledger.set_condition, kind, name, state, reason, now)
        if self._notify is not None:
            self._notify(ConditionChange(kind, name, state, reason, now))

    async def _park(self, reason: str) -> None:
        was_connected = self._parked is None
        if was_connected and self._clock.monotonic() - self._connected_at > STEADY_SECONDS:
            self._probes = 0
        delay = PROBE_SECONDS[min(self._probes, len(PROBE_SECONDS) - 1)]
        self._probes += 1
        if self._parked is None or self._parked.reason != reason:
            log.warning(f"waiting for Hydrus (asked again by itself): {reason}", lane=self.name)
            await self._condition("client", self.name, "waiting", reason)
        self._parked = _Parked(reason, self._clock.monotonic() + delay)

    async def _connect_if_due(self) -> None:
        if self._parked is None or self._parked.until > self._clock.monotonic():
            return
        try:
            info = await self._client.connect()
        except HydrusError as error:
            await self._park(str(error))
            return
        self._boot = info.boot
        self._parked = None
        self._connected_at = self._clock.monotonic()
        hydrus = f" (v{info.hydrus_version})" if info.hydrus_version else ""
        detail = f"Client API {info.api_version}{hydrus}, key {info.key_name!r}"
        log.info(f"connected to Hydrus: {detail}", lane=self.name, client=detail)
        if not self._client.can_look_up_files:
            log.warning(
                "this access key may not search (or the client is too old for it): files that "
                "Hydrus has already cannot be recognised before they are sent, which is slow",
                lane=self.name,
            )
        await self._condition("client", self.name, "connected", detail)
        self._settling.connected()
        if self._look is not None:
            await self._look()
        await self._refuse(info)

    async def _refuse(self, info: ClientInfo) -> None:
        """Park the rules that cannot run on the client as it is now."""
        for rule, (step, _) in list(self._held.items()):
            if not missing_permissions(step.action_class.permissions, info):
                del self._held[rule]
                await self._condition("rule", rule, "working", "")
        if self._on_connected is None:
            return
        reasons = self._on_connected(info)
        for rule in self._refused - reasons.keys():
            self._parked_rules.pop(rule, None)
            await self._rule_works(rule)
        self._refused = frozenset(reasons)
        for rule, reason in reasons.items():
            await self._park_rule(rule, reason)

    async def _park_rule(
        self, rule: str, reason: str, *, seconds: float = RULE_PARK_SECONDS
    ) -> None:
        if self._said.get(rule) != reason:
            self._said[rule] = reason
            log.warning(f"rule {rule!r} waits: {reason}", rule=rule)
            await self._condition("rule", rule, "parked", reason)
        until = self._clock.monotonic() + seconds
        self._parked_rules[rule] = _Parked(reason, until)

    async def _rule_works(self, rule: str) -> None:
        if self._said.pop(rule, None) is not None:
            log.info(f"rule {rule!r} works again", rule=rule)
            self._pacing.said_otherwise(rule)
            await self._condition("rule", rule, "working", "")

    async def _unpark_rules(self) -> None:
        now = self._clock.monotonic()
        due = [rule for rule, parked in self._parked_rules.items() if parked.until <= now]
        if not due and now < self._permissions_at:
            return
        self._permissions_at = math.inf
        for rule in due:
            del self._parked_rules[rule]
        if self._parked is None:
            # What the key may do, which most rules wait for, is read only when connecting.
            self._parked = _Parked("reading the permissions again", now)
            await self._connect_if_due()

    # --- a set ---------------------------------------------------------------------------

    async def _work_a_set(self, tasks: TaskGroup) -> bool:
        """Claim a set and take it through its step. False where nothing was ready.

        Where only items that take long are left of it, it goes on beside the next sets: a film
        of some gigabytes holds up no picture behind it. One set at a time may do so.
        """
        jobs = await self._take()
        if not jobs:
            return False
        if not self._rules.knows(jobs[0].rule):
            # Put back by a person after the rule was taken out of the file.
            await self._put_back(jobs)
            await self._orphan(jobs[0].rule)
            return True
        if not jobs[0].revision or jobs[0].revision.startswith(RETRIED):
            # Put back by a person: what the rule says now decides.
            await self._put_back(jobs)
            if is_undo(jobs[0].rule):
                await self._ledger(take_up_undo, jobs[0].rule)
                return True
            present = self._rules.current(jobs[0].rule)
            await self._ledger(Ledger.take_up, present.name, present.revision, present.disposals)
            await self._adopt({present.name: present.revision})
            return True
        jobs = await self._within_limits(jobs)
        if not jobs:
            return True
        began_at = self._clock.now()
        work = [_Work(job, began_at) for job in jobs]
        try:
            rule = await self._rules.at(jobs[0].rule, jobs[0].revision, self._ledger)
        except LedgerError:
            raise  # says nothing of the rule
        except HydrusdError as error:
            reason = f"jobs that began under an older form of the rule cannot go on: {error}"
            if self._rules.left_out:
                await self._put_back(jobs)
                await self._park_rule(jobs[0].rule, f"{reason} ({self._rules.left_out})")
                return True
            for item in work:
                item.outcome = Outcome.dead(reason)
            await self._store(_Set(work, None, self._boot))
            return True
        current = _Set(work, rule, self._boot)
        step = rule.steps[jobs[0].step]
        await self._give_way(current)
        current.plugin = self._accounts.owner_of(_brought(step.action_class))
        made: dict[str, AnyAction] = {}
        for item in work:
            self._prepare(item, current, rule, made)
        tasks.start_soon(self._carry_out, current, step, tasks, name=f"a set of {step.name}")
        await current.passed.wait()
        await self._settled.wait()
        return True

    async def _carry_out(
        self, current: _Set, step: CompiledStep | UndoStep, of_lane: TaskGroup
    ) -> None:
        try:
            async with anyio.create_task_group() as tasks:
                tasks.start_soon(self._flush, current, name=f"checkpoints of {step.name}")
                size = self._sizes.of(current.work[0].job.rule, current.position)
                if len(current.work) >= size or self._unstored is not None:
                    tasks.start_soon(self._meanwhile, of_lane, name=f"beside {step.name}")
                await self._run_set(current, step)
                current.take_what_was_said()
                tasks.cancel_scope.cancel()
        except BaseException:
            # Also when the daemon stops in the middle: what was done by then is not forgotten.
            with anyio.CancelScope(shield=True):
                await self._store(current)
            raise
        lingered = self._lingering is current or current in self._stuck.values()
        if self._claimed and current.can_wait and not lingered:
            self._unstored = current
        else:
            with anyio.CancelScope(shield=True):
                await self._store(current)
        assert current.rule is not None
        _log_set(current.rule.name, step.name, current.work)
        if self._lingering is current:
            self._lingering = None
            self.wake()
        if self._stuck.get(current.rule.name) is current:
            del self._stuck[current.rule.name]
            self.wake()
        current.passed.set()

    async def _take(self) -> list[Job]:
        """Give the next set: the one claimed ahead, if it may still run, or another."""
        jobs, self._claimed = self._claimed, []
        if jobs and self._parked is None and jobs[0].rule not in self._filter().blocked_rules:
            return jobs
        await self._put_back(jobs)
        await self._store_unstored()
        if not self._only_undos:
            await self._pacing.follow(self._rules)
            blocked = self._filter().blocked_rules
            self._turns = await self._pacing.look(blocked, away=self._parked is not None)
        wanted = self._filter()
        if self._pacing.has_ranks and not self._pacing.is_fair_turn():
            wanted = replace(wanted, ranks=self._pacing.ranks, last=self._pacing.last)
        return await self._claim(wanted)

    async def _claim(self, wanted: ClaimFilter) -> list[Job]:
        now = self._clock.now()
        return await self._ledger(Ledger.claim, wanted, self._owner, self._sizes.smallest, now)

    async def _put_back(self, jobs: Sequence[Job]) -> None:
        if jobs:
            ids = [job.id for job in jobs]
            await self._ledger(Ledger.release, self._clock.now(), owner=self._owner, ids=ids)

    async def _meanwhile(self, tasks: TaskGroup) -> None:
        """Store the set before and claim the next one, while the present one is under way.

        What settles is proved beside that, in a task of the lane: a commit takes the client its
        time, and would be asked for again and again if the end of a set broke it off.
        """
        with anyio.CancelScope(shield=True):
            await self._store_unstored()
            if self._parked is None and self._settled.is_set():
                self._settled = anyio.Event()
                tasks.start_soon(self._settle_beside, name=f"settling beside on {self.name}")
            if self._parked is None and await self._pacing.may_claim_ahead():
                wanted, paced = self._filter(), self._pacing.paced
                wanted = replace(wanted, blocked_rules=wanted.blocked_rules | paced)
                self._claimed = await self._claim(wanted)

    async def _store_unstored(self) -> None:
        if self._unstored is not None:
            unstored, self._unstored = self._unstored, None
            await self._store(unstored)

    async def _within_limits(self, jobs: list[Job]) -> list[Job]:
        """Give those of the claimed jobs that their rule may begin now; the others go back."""
        rule, now = jobs[0].rule, self._clock.monotonic()
        fresh = [job for job in jobs if _is_fresh(job)]
        if not fresh or is_undo(rule):
            return jobs
        spec = self._rules.current(rule).spec
        allowed = self._limits.allowance(rule, spec.limits, len(fresh), now)
        surplus = fresh[allowed:]
        await self._put_back(surplus)
        if allowed:
            self._limits.begun(rule, allowed, now)
            self._pacing.began(rule)
        elif not self._limits.is_probing(rule):
            self._pacing.exhausted(spec)
        held = {job.id for job in surplus}
        return [job for job in jobs if job.id not in held]

    async def _pause(self, rule: str, pause: Pause) -> None:
        await self._park_rule(rule, pause.reason, seconds=pause.seconds)

    async def _count_endings(self, rule: str, updates: Sequence[JobUpdate]) -> None:
        """Hold the endings against the rule's limits."""
        dead = [u for u in updates if u.state is JobState.DEAD]
        general = [u for u in dead if u.job_id in self._raised or u.attempt >= MAX_ATTEMPTS]
        well = sum(u.state is not JobState.DEAD and u.attempt == 0 for u in updates)
        self._raised.difference_update(u.job_id for u in updates)
        if rule in self._rules.revisions and (general or well):
            spec = self._rules.current(rule).spec.limits
            why = general[-1].detail if general else ""
            before = self._limits.failing(rule)
            pause = self._limits.ended(rule, spec, failed=len(general), well=well, why=why)
            if (failing := self._limits.failing(rule)) != before:
                revision = self._rules.revisions[rule]
                kept = None if failing is None else {**failing, "revision": revision}
                await self._ledger(Ledger.remember, LIMITS, Memory(self.name, {rule: kept}))
            if pause is not None:
                await self._pause(rule, pause)

    async def _give_way(self, current: _Set) -> None:
        """End the jobs of a set in whose place a later one has come, where that is safe."""
        rule = current.rule
        if (
            not isinstance(rule, CompiledRule)
            or self._rules.current(rule.name).spec.pace.mode is not Mode.RESTART
        ):
            return
        ids = [item.job.id for item in current.work]
        reasons = await self._ledger(superseded_among, ids)
        for item in current.work:
            if item.job.id in reasons and _can_be_broken_off(item.job, rule):
                item.outcome = Outcome.skipped(reasons[item.job.id])

    def _prepare(
        self,
        item: _Work,
        current: _Set,
        rule: CompiledRule | UndoRule,
        made: dict[str, AnyAction],
    ) -> None:
        if isinstance(rule, CompiledRule):
            item.outcome = item.outcome or self._without_running(item, rule)
            if item.outcome is not None:
                return
        try:
            item.call = rule.call(item.job.step, item.job, self._client, self._clock, made)
            item.call.keeper = partial(self._keep, current)
        except ExpressionError as error:
            item.outcome = Outcome.dead(str(error))
            self._raised.add(item.job.id)

    def _without_running(self, item: _Work, rule: CompiledRule) -> Outcome | None:
        """Give the outcome of a step that is not to run; None where it is."""
        job = item.job
        if rule.program is not None:
            arrival = rule.arrive(job.step, job.data, job.steps)
            if arrival.position != job.step or arrival.failure:
                item.arrival = arrival
                return Outcome(OutcomeKind.PASSED)
        outcome = outcome_without_running(rule, job)
        if outcome is None and rule.lacks_import(job.step, job.steps):
            return Outcome.dead(NOT_IMPORTED.format(step=rule.steps[job.step].name))
        return outcome

    @staticmethod
    def _arrival(
        item: _Work, outcome: Outcome, rule: CompiledRule | UndoRule | None
    ) -> Arrival | None:
        """Say where a job of a rule with blocks goes on; None where steps just follow each other,
        or where it does not go on.
        """
        job = item.job
        if item.arrival is not None or not isinstance(rule, CompiledRule) or rule.program is None:
            return item.arrival
        if outcome.kind is not OutcomeKind.DONE:
            return None
        there = job.step + 1
        if outcome.disposes_next:
            there = rule.next_disposal(there)
        done = _as_done(item, rule.steps[job.step].name, outcome)
        before = [record for record in job.steps if record.position != job.step]
        return rule.arrive(there, job.data, [*before, done])

    async def _run_set(self, current: _Set, step: CompiledStep | UndoStep) -> None:
        """Have every call of a set finished; what a plugin costs goes on its account."""
        calls = [work.call for work in current.work if work.call is not None]
        began = time.perf_counter()
        with current.scope:
            await self._run_step(step, calls)
        seconds = time.perf_counter() - began
        first = current.work[0].job
        self._sizes.took(first.rule, first.step, jobs=len(current.work), seconds=seconds)
        if current.plugin is None:
            return
        if current.too_long:
            for call in _open(calls):
                self._raised.add(call.job_id)
                call.finish(Outcome.retry(current.too_long, delay_seconds=HUNG_RESTS_SECONDS))
        self._accounts.called(current.plugin, len(calls), seconds)

    async def _run_step(
        self, step: CompiledStep | UndoStep, calls: Sequence[Call[AnyAction]]
    ) -> None:
        """Have every call finished, by the action or by what it raised."""
        if not calls:
            return
        try:
            if step.action_class.needs_client:
                self._require_permissions(step)
            if step.action_class.writes_into:
                calls = await self._those_with_disks(step, calls)
                if not calls:
                    return
            if issubclass(step.action_class, SetAction):
                run_set, given = step.action_class.run_set, cast("Sequence[Call[SetAction]]", calls)
                plugin = self._accounts.owner_of(_brought(step.action_class))
                await apart(lambda: run_set(given), accounts=self._accounts, plugin=plugin)
            else:
                await self._one_by_one(cast("Sequence[Call[Action]]", calls))
        except (Exception, SystemExit) as error:  # noqa: BLE001 - the table decides what it means
            await self._settle_failure(step, calls, error)
        else:
            for call in _open(calls):
                call.finish(Outcome.retry(f"{step.name} did not say how it ended"))

    async def _those_with_disks(
        self, step: CompiledStep | UndoStep, calls: Sequence[Call[AnyAction]]
    ) -> Sequence[Call[AnyAction]]:
        """Give the calls that may write; others, whose disk is away, wait for it at no cost."""
        folders = {call: call.action.folders_written for call in calls}
        wanted = {each for some in folders.values() for each in some}
        if not wanted:
            return calls
        look = await self._targets.look(wanted)
        left = []
        for call in calls:
            away = next((each for each in folders[call] if each in look.away), None)
            if away is None:
                call.devices = look.devices
                left.append(call)
                continue
            why = waits_for(away, look.away[away])
            await self._tell_full(call, step.name, why, mount=look.away[away])
            later = Outcome.later(why, delay_seconds=AWAY_SECONDS)
            call.finish(_with_progress(later, call))
        return left

    async def _settle_failure(
        self, step: CompiledStep | UndoStep, calls: Sequence[Call[AnyAction]], error: BaseException
    ) -> None:
        left = _open(calls)
        if not left:
            log.error("an action failed after all its items were finished", error=str(error))
            return
        error = await self._sick(error) or error
        if isinstance(error, PermissionMissing) and not step.certain:
            assert isinstance(step, CompiledStep)
            await self._hold(step, left, str(error))
            return
        attempt = max(call.attempt for call in left)
        verdict = self._judge(error, step.action_class, attempt=attempt)
        if verdict.splits and len(calls) > 1:
            # Also where one is left: what spoilt the set may have been finished before.
            middle = len(left) // 2
            await self._run_step(step, left[:middle])
            await self._run_step(step, left[middle:])
            return
        if verdict.outcome.kind is OutcomeKind.LATER:
            await self._tell_full(left[0], step.name, verdict.outcome.detail)
        for call in left:
            self._raised.add(call.job_id)
            call.finish(_with_progress(verdict.outcome, call))

    def _judge(self, error: BaseException, action: type[AnyAction], *, attempt: int) -> Verdict:
        """Give the fate of what raised, and whose code that was."""
        verdict = judge_error(error, attempt=attempt)
        if isinstance(error, HydrusdError):
            return verdict
        log.debug("action failed", exc_info=error)
        detail, found = verdict.outcome.detail, self._accounts.blame(error)
        plugin = self._accounts.owner_of(_brought(action))
        if found is not None:
            plugin, place = found
            detail = f"{detail} (plugin {plugin}: {place})"
        if plugin is not None:
            self._accounts.failed(plugin, detail)
        return replace(verdict, outcome=replace(verdict.outcome, detail=detail))

    async def _one_by_one(self, calls: Sequence[Call[Action]]) -> None:
        """Run an action that knows one item at a time, a few at once.

        What one item raises is that item's fate, and is noted as such; only what concerns the
        client as a whole, as ``_sick`` may tell of an error, ends the set.
        """
        limiter = anyio.CapacityLimiter(ONE_BY_ONE_WIDTH)
        general: list[HydrusdError] = []
        plugin = self._accounts.owner_of(_brought(type(calls[0].action)))

        async def run(call: Call[Action], tasks: TaskGroup) -> None:
            async with limiter:
                try:
                    if inspect.iscoroutinefunction(call.action.run):
                        work = partial(call.action.run, call)
                        outcome = await apart(work, accounts=self._accounts, plugin=plugin)
                    else:
                        blocking = cast("Callable[[Call[Action]], Outcome]", call.action.run)
                        outcome = await in_thread(
                            blocking, call, accounts=self._accounts, plugin=plugin
                        )
                except (AccessDenied, PermissionMissing, LedgerFull, LedgerDamaged) as error:
                    general.append(error)
                    tasks.cancel_scope.cancel()
                    return
                except HydrusUnavailable as error:
                    if not error.outcome_unknown:
                        general.append(error)
                        tasks.cancel_scope.cancel()
                        return
                    outcome = judge_error(error, attempt=call.attempt).outcome
                except Exception as error:  # noqa: BLE001 - the table decides what it means
                    if (whole := await self._sick(error)) is not None:
                        general.append(whole)
                        tasks.cancel_scope.cancel()
                        return
                    self._raised.add(call.job_id)
                    judged = self._judge(error, type(call.action), attempt=call.attempt)
                    outcome = _with_progress(judged.outcome, call)
                    if outcome.kind is OutcomeKind.LATER:
                        await self._tell_full(call, call.action.action, outcome.detail)
                # What it said first counts, should it have called ``finish`` by itself.
                if call.outcome is None:
                    call.finish(outcome)

        async with anyio.create_task_group() as tasks:
            for call in calls:
                tasks.start_soon(run, call, tasks)
        if general:
            raise general[0]

    async def _sick(self, error: BaseException) -> HydrusUnavailable | None:
        """Say what is wrong with the client as a whole, where a failure may come from that.

        No item is sentenced by what answers in the client's place: another program on its port,
        a proxy, a client that fails at everything. It has to answer sensibly when it connects.
        """
        if not isinstance(error, HydrusFailed | RequestRejected) or error.status is None:
            return None
        try:
            await self._client.connect()
        except HydrusError as other:
            return HydrusUnavailable(str(other))
        return None

    def _require_permissions(self, step: CompiledStep | UndoStep) -> None:
        for words in missing_permissions(step.action_class.permissions, self._client.info):
            raise PermissionMissing(
                f"{step.name} needs the permission {words!r}: tick it for this access key in "
                f"Hydrus (services → review services → client api → edit)",
                permission=words,
            )

    async def _hold(
        self, step: CompiledStep, calls: Sequence[Call[AnyAction]], reason: str
    ) -> None:
        """Have jobs wait for a permission that others of their rule go on without."""
        rule = calls[0].rule
        if self._held.get(rule) != (step, reason):
            self._held[rule] = (step, reason)
            log.warning(f"rule {rule!r}: what comes to {step.name} waits: {reason}", rule=rule)
            waits = f"what comes to {step.name} waits, the rest goes on: {reason}"
            await self._condition("rule", rule, "working", waits)
        # What the key may do is read again before they are looked at again.
        self._permissions_at = self._clock.monotonic() + RULE_PARK_SECONDS
        for call in calls:
            call.finish(
                Outcome.later(reason, delay_seconds=RULE_PARK_SECONDS, values=call.progress)
            )

    async def _tell_full(
        self, call: Call[AnyAction], step: str, why: str, *, mount: str = ""
    ) -> None:
        """Say that jobs wait for a disk, or for room on one, while others of their rule go on."""
        if self._full.get(call.rule) == (step, mount):
            return
        self._full[call.rule] = (step, mount)
        waits = f"what comes to {step} waits, the rest goes on: {why}"
        log.warning(f"rule {call.rule!r}: {waits}", rule=call.rule)
        await self._condition("rule", call.rule, "working", waits)

    async def _look_for_room(self, rule: str, step: str, kinds: Collection[OutcomeKind]) -> None:
        """Say that it goes on, where some items of a set found a disk with room, and all did."""
        if OutcomeKind.DONE in kinds and OutcomeKind.LATER not in kinds:
            _, mount = self._full.pop(rule)
            found = f"{mount} again" if mount else "room again"
            log.info(f"rule {rule!r}: {step} finds {found}", rule=rule)
            await self._condition("rule", rule, "working", "")

    # --- storing -------------------------------------------------------------------------

    async def _flush(self, current: _Set) -> None:
        """Store outcomes while the rest of the set is still under way."""
        renewed = moved = self._clock.monotonic()
        left = len(current.work)
        while True:
            await self._sleep(FLUSH_SECONDS)
            now, still = self._clock.monotonic(), sum(w.result is None for w in current.work)
            if still != left:
                left, moved = still, now
            await self._mind(current, now - moved)
            with anyio.CancelScope(shield=True):
                await self._store(current)
                if self._clock.monotonic() - renewed >= RENEW_SECONDS:
                    renewed = self._clock.monotonic()
                    await self._ledger(Ledger.renew, self._owner, self._clock.now())
            if self._lingering is None and current.only_lingers:
                self._lingering = current
                current.passed.set()

    async def _mind(self, current: _Set, seconds: float) -> None:
        """Have what finishes nothing for so long keep up nobody but its own rule.

        That is a plugin, or a disk that does not answer; a slow client is what all wait for.
        """
        assert current.rule is not None
        rule, action = current.rule.name, current.rule.steps[current.position].action_class
        name = current.rule.steps[current.position].name
        if seconds >= STUCK_SECONDS and not current.passed.is_set():
            if current.plugin is not None:
                said = f"{name} of plugin {current.plugin} has finished nothing for {seconds:.0f} s"
            elif silent := await self._silent_disk(current):
                said = f"{name} has finished nothing for {seconds:.0f} s: {silent}"
            else:
                return
            log.warning(f"rule {rule!r} waits, and the others go on: {said}", rule=rule)
            self._stuck[rule] = current
            current.passed.set()
            self._said[rule] = said
            await self._condition("rule", rule, "parked", said)
        if current.plugin is None:
            return
        limit = _brought(action).time_limit_seconds
        if limit is not None and seconds >= limit and not current.too_long:
            current.too_long = (
                f"{name} of plugin {current.plugin} did not come back within {limit:g} s"
            )
            self._accounts.failed(current.plugin, current.too_long)
            log.error(current.too_long, rule=rule, plugin=current.plugin)
            current.scope.cancel()

    async def _silent_disk(self, current: _Set) -> str:
        """Say what does not answer of the disks that a set works on; nothing where all do."""
        assert current.rule is not None
        action = current.rule.steps[current.position].action_class
        left = [work.call for work in current.work if work.result is None]
        source = next((call.source for call in left if call is not None and call.source), None)
        if source is None or not action.needs_source:
            return ""
        with anyio.move_on_after(ANSWER_SECONDS):
            await in_own_thread(source.state)
            if action.needs_client:
                return ""
            return "a disk does not answer, or a large file is on its way"
        return unanswered(source.root)

    async def _keep(self, current: _Set, receipts: Mapping[JobId, Data]) -> None:
        """Store what steps are about to change; found by the next try, should this one die."""
        steps = []
        for item in current.work:
            if item.job.id not in receipts or item.result is not None:
                continue
            # Other people's words, too: see ``sound``.
            item.kept = sound(Outcome.done(receipt=receipts[item.job.id])).receipt
            assert item.call is not None
            record = StepRecord(
                item.job.step,
                item.call.action.action,
                OutcomeKind.LATER,
                "about to be done",
                item.call.progress,
                item.kept,
                item.began_at,
            )
            steps.append(StepUpdate(item.job.id, record))
        with anyio.CancelScope(shield=True):
            await self._ledger(keep_steps, self._owner, steps, self._clock.now())

    async def _store(self, done: _Set) -> None:
        rule, position = done.rule, done.position
        ready = [
            (item, self._fireable(item, outcome))
            for item in done.work
            if not item.stored and (outcome := item.result) is not None
        ]
        if not ready:
            return
        now = self._clock.now()
        updates: list[JobUpdate] = []
        steps: list[StepUpdate] = []
        places = _Places(rule, done.boot, now, self._chance)
        park = ""
        park_rule = ""
        action = rule.steps[position].name if rule is not None else ""
        for item, outcome in ready:
            arrival = self._arrival(item, outcome, rule)
            place = places.of(item.job, outcome, arrival)
            update = _update(item.job, rule, outcome, place, arrival)
            updates.append(update)
            if outcome.kind is OutcomeKind.PARK:
                if outcome.scope is ParkScope.LANE:
                    park = outcome.detail
                else:
                    park_rule = outcome.detail
                continue
            if outcome.kind is OutcomeKind.DONE and outcome.values:
                self._made.note(item.job.rule, item.job.data, outcome.values)
            if arrival is not None:
                steps += [StepUpdate(item.job.id, record) for record in arrival.records]
                if arrival.failure:
                    self._raised.add(item.job.id)
                    _log_failure(item.job, arrival.failure)
                if outcome.kind is OutcomeKind.DONE:
                    record = _as_done(item, action, outcome)
                    steps.append(StepUpdate(item.job.id, record))
                continue
            steps.append(StepUpdate(item.job.id, _record(item, action, update, outcome)))
        name = done.work[0].job.rule
        fresh = [outcome for item, outcome in ready if _is_fresh(item.job)] if not position else []
        began = {name: sum(outcome.kind is not OutcomeKind.PARK for outcome in fresh)}
        if not_begun := len(fresh) - began[name]:
            self._pacing.not_begun(name, not_begun)
        await self._ledger(
            Ledger.checkpoint,
            self._owner,
            updates,
            steps,
            now,
            began=began,
            found=_found(ready, rule, position),
        )
        for item, _ in ready:
            item.stored = True
        self._settling.entered([u.job_id for u in updates if u.state is JobState.SETTLING])
        await self._tell([u.job_id for u in updates if u.state in _ENDINGS])
        if action and self._full.get(name, ("", ""))[0] == action:
            await self._look_for_room(name, action, {outcome.kind for _, outcome in ready})
        if park:
            await self._park(park)
        if park_rule:
            await self._park_rule(name, park_rule)
        elif not park and name not in self._parked_rules:  # since other items of the same set
            await self._rule_works(name)
        await self._count_endings(name, updates)

    def _fireable(self, item: _Work, outcome: Outcome) -> Outcome:
        """Give the outcome, or another one where it fires a rule that cannot be fired."""
        if not outcome.fires:
            return outcome
        deaf = next((f.rule for f in outcome.fires if not self._rules.can_fire(f.rule)), None)
        if deaf is None:
            return outcome
        item.outcome = Outcome.dead(
            f"there is no rule {deaf!r} that is `on: manual`, so none can be fired"
        )
        return item.outcome

    # --- settling ------------------------------------------------------------------------

    async def _settle(self, *, idle: bool) -> bool:
        try:
            progress = await self._settling.settle(idle=idle)
        except HydrusError as error:
            await self._park(str(error))
            return False
        self._boot = self._settling.boot or self._boot
        return progress

    async def _settle_beside(self) -> None:
        try:
            await self._settle(idle=False)
        finally:
            self._settled.set()

    async def _tell(self, ids: Sequence[JobId]) -> None:
        await self._pacing.ended(ids)
        if ids and self._observe is not None:
            for entry in await self._ledger(Ledger.finished, ids):
                self._observe(entry)


_ORDINARY = frozenset(
    {OutcomeKind.DONE, OutcomeKind.PASSED, OutcomeKind.SKIPPED, OutcomeKind.LATER}
)
_ALIKE = frozenset({OutcomeKind.DONE, OutcomeKind.SKIPPED})
"""After these, jobs of a set that stand alike go the same way."""
_NAMES_NOTHING = frozenset({OutcomeKind.LATER, OutcomeKind.PASSED})
_UNTOLD = frozenset({OutcomeKind.PARK, OutcomeKind.LATER})
_ENDINGS = frozenset({JobState.DONE, JobState.SKIPPED, JobState.DEAD})


class _Places:
    """Where the jobs of a set go from a step; most go the same way, and it is decided once."""

    def __init__(
        self,
        rule: CompiledRule | UndoRule | None,
        boot: str,
        now: datetime,
        chance: random.Random,
    ) -> None:
        self._rule = rule
        self._boot = boot
        self._now = now
        self._chance = chance
        self._decided: dict[tuple[object, ...], _Place] = {}

    def of(self, job: Job, outcome: Outcome, arrival: Arrival | None) -> _Place:
        """Say where a job goes; ``arrival`` says it for a rule with blocks."""
        if arrival is not None or outcome.kind not in _ALIKE:
            return self._decide(job, outcome, arrival)
        alike = (outcome.kind, outcome.disposes_next, job.attempt, job.boot)
        if (place := self._decided.get(alike)) is None:
            place = self._decided[alike] = self._decide(job, outcome, None)
        return place

    def _decide(self, job: Job, outcome: Outcome, arrival: Arrival | None) -> _Place:
        rule = self._rule
        state, step, attempt, run_at = JobState.READY, job.step, job.attempt, self._now
        needs_client = True if rule is None else rule.steps[job.step].action_class.needs_client
        boot = job.boot
        ending: JobState | None = None
        match outcome.kind:
            case OutcomeKind.DONE | OutcomeKind.PASSED:
                assert rule is not None
                step, attempt = job.step + 1, 0
                if arrival is not None:
                    step = arrival.position
                elif outcome.disposes_next and isinstance(rule, CompiledRule):
                    step = rule.next_disposal(step)
                ran = outcome.kind is OutcomeKind.DONE
                if ran and rule.steps[job.step].action_class.changes_client:
                    # The oldest boot stays: that is what has to be proved durable.
                    boot = boot or self._boot
                if arrival is not None and arrival.failure:
                    state = JobState.DEAD
                elif step == len(rule.steps):
                    state = ending = JobState.DONE
                else:
                    needs_client = rule.steps[step].action_class.needs_client
                    if boot and rule.steps[step].action_class.disposes:
                        state = JobState.SETTLING
            case OutcomeKind.SKIPPED:
                state = ending = JobState.SKIPPED
            case OutcomeKind.LATER:
                # It got that far without failing: attempts count from here.
                attempt = 0
                run_at = self._now + timedelta(
                    seconds=min(outcome.delay_seconds or 0.0, LONGEST_ASKED_SECONDS)
                )
            case OutcomeKind.RETRY if job.attempt < MAX_ATTEMPTS:
                seconds = outcome.delay_seconds
                if seconds is None:
                    seconds = backoff_seconds(job.attempt, self._chance)
                run_at = self._now + timedelta(seconds=min(seconds, LONGEST_ASKED_SECONDS))
            case OutcomeKind.RETRY | OutcomeKind.DEAD:
                state = JobState.DEAD
            case OutcomeKind.PARK:
                attempt = job.attempt - 1
        if ending is not None and boot:
            state = JobState.SETTLING
        settles = ending if state is JobState.SETTLING else None
        return _Place(state, step, needs_client, attempt, run_at, boot, settles)


def _update(
    job: Job,
    rule: CompiledRule | UndoRule | None,
    outcome: Outcome,
    place: _Place,
    arrival: Arrival | None,
) -> JobUpdate:
    file_hash: object = job.file_hash
    if rule is not None and outcome.kind not in _NAMES_NOTHING:
        action = rule.steps[job.step].action_class
        if action.imports or action.names_files:
            # Only these know what the job is about; another's hash may be of anything.
            file_hash = outcome.values.get("hash", file_hash)
    fires = outcome.fires
    # By place: with their names, it takes twice as long, and there is one for each file.
    return JobUpdate(
        job.id,
        job.event_id,
        job.attempt,
        place.state,
        place.step,
        place.needs_client,
        place.attempt,
        place.run_at,
        file_hash if isinstance(file_hash, str) else None,
        place.boot,
        place.ending,
        outcome.detail if arrival is None else _detail(outcome, arrival),
        outcome.frees_event,
        tuple((fired_topic(f.rule), f.data) for f in fires) if fires else (),
        job.run_id,
    )


def _record(item: _Work, action: str, update: JobUpdate, outcome: Outcome) -> StepRecord:
    """Give what is kept of a step. One that is not over keeps what it knew before."""
    if outcome.kind is OutcomeKind.DONE:
        return _as_done(item, action, outcome)
    job, began_at = item.job, item.began_at
    kind = OutcomeKind.DEAD if update.state is JobState.DEAD else outcome.kind
    values, receipt = outcome.values, outcome.receipt
    former = _former(job)
    unfinished = {OutcomeKind.LATER, OutcomeKind.RETRY}
    if outcome.kind in unfinished:
        # Nobody knows: what was about to be changed may have been.
        receipt = receipt or item.kept or (former.receipt if former is not None else None)
    if former is not None and kind is OutcomeKind.RETRY and former.outcome in unfinished:
        values = former.values
    if former is not None and former.outcome is OutcomeKind.LATER:
        began_at = former.began_at or began_at
    return StepRecord(job.step, action, kind, outcome.detail, values, receipt, began_at)


def _as_done(item: _Work, action: str, outcome: Outcome) -> StepRecord:
    """Give what is kept of a step that is done."""
    job, began_at = item.job, item.began_at
    former = _former(job)
    if former is not None and former.outcome is OutcomeKind.LATER:
        began_at = former.began_at or began_at
    return StepRecord(
        job.step,
        action,
        OutcomeKind.DONE,
        outcome.detail,
        outcome.values,
        outcome.receipt,
        began_at,
    )


def _with_progress(outcome: Outcome, call: Call[AnyAction]) -> Outcome:
    """Have what is to be tried again without cost go on where it was."""
    return replace(outcome, values=call.progress) if outcome.kind is OutcomeKind.LATER else outcome


def _former(job: Job) -> StepRecord | None:
    """Give what is kept of an earlier try of the step at which a job is."""
    if not job.steps:
        return None
    return next((record for record in job.steps if record.position == job.step), None)


def _detail(outcome: Outcome, arrival: Arrival) -> str:
    """Say how a job stands that has gone on through blocks."""
    return arrival.failure or arrival.stopped or outcome.detail


def _is_fresh(job: Job) -> bool:
    """Say whether nothing of a job has begun."""
    return job.step == 0 and not job.steps


def _can_be_broken_off(job: Job, rule: CompiledRule) -> bool:
    """Say whether a job is at a point at which it may end: nothing is half done there.

    Not within a step that disposes of the source, nor within one that has said what it is about
    to change; one that only waits (for a time, for a download) is no reason to stay.
    """
    record = _former(job)
    if record is None:
        return True
    return not rule.steps[job.step].action_class.disposes and not tells(record.receipt)


def _found(
    ready: Sequence[tuple[_Work, Outcome]], rule: CompiledRule | UndoRule | None, position: int
) -> Counter[tuple[str, str]]:
    """Count the files that a step imported, and those that it found known."""
    found: Counter[tuple[str, str]] = Counter()
    if not isinstance(rule, CompiledRule) or not rule.steps[position].action_class.imports:
        return found
    for item, outcome in ready:
        if (
            outcome.kind is not OutcomeKind.DONE
            or outcome.receipt is None
            or not outcome.values.get("hash")
            # Done before, and lost by the client.
            or ((former := _former(item.job)) is not None and former.outcome is OutcomeKind.DONE)
        ):
            continue
        found[rule.name, "imported" if outcome.receipt.get("imported") else "known"] += 1
    return found


def _open(calls: Iterable[Call[AnyAction]]) -> list[Call[AnyAction]]:
    return [call for call in calls if call.outcome is None]


def _brought(action: type[AnyAction]) -> type[AnyAction]:
    """Give the class that somebody wrote: an undo is done by what it undoes."""
    return action.undoes if issubclass(action, Undo) else action


def _log_set(rule: str, step: str, work: Sequence[_Work]) -> None:
    """Tell how a set ended: in one line, and one for each dead letter, up to a few."""
    counts: dict[str, int] = {}
    dead: list[tuple[Job, str]] = []
    why = ""
    for item in work:
        outcome = item.result
        if outcome is None or outcome.kind in _UNTOLD or item.arrival is not None:
            continue  # that something has to wait is told where it is decided
        kind = outcome.kind
        if kind is OutcomeKind.RETRY and item.job.attempt >= MAX_ATTEMPTS:
            kind = OutcomeKind.DEAD
        counts[kind] = counts.get(kind, 0) + 1
        if kind is OutcomeKind.DEAD:
            dead.append((item.job, outcome.detail))
        elif kind is OutcomeKind.RETRY:
            why = why or f", because {outcome.detail}"
    if counts:
        ended = ", ".join(f"{counts[kind]} {kind}" for kind in OutcomeKind if kind in counts)
        log.info(f"rule {rule!r}: {step}: {ended}{why}", rule=rule, step=step, **counts)
    for job, detail in dead[:DEAD_TOLD]:
        text = f"rule {rule!r}: {step} gave up on {_subject(job)}: {detail}"
        log.warning(text, rule=rule, step=step, job=job.id)
    if more := len(dead[DEAD_TOLD:]):
        log.warning(f"rule {rule!r}: {step} gave up on {more} more", rule=rule, step=step)


def _log_failure(job: Job, why: str) -> None:
    text = f"rule {job.rule!r}: cannot go on with {_subject(job)}: {why}"
    log.warning(text, rule=job.rule, job=job.id)


def _subject(job: Job) -> str:
    file = job.data.get("file")
    return str(file.get("path", job.event_key) if isinstance(file, Mapping) else job.event_key)
