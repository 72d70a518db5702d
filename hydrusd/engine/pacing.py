"""Which rules may begin jobs now, and why the others have to wait.

A rule may want its jobs one after the other, at certain hours, only while the client is idle,
so many a minute, or with a rest between them. All of that is about *beginning* a job. One that
has begun goes on to its end: half a job (imported, and not yet tagged) until the next night helps
nobody. A rule that asks for none of it costs nothing here.

What has to outlive the daemon is asked of the ledger: the jobs under way each time, since they are
what they are; when one last began or ended at the start, and then kept along.
"""

from __future__ import annotations

import math
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta

import structlog

from hydrusd.clock import Clock
from hydrusd.engine.limits import Limits
from hydrusd.engine.rulebook import RuleBook
from hydrusd.errors import HydrusError, VersionTooOld
from hydrusd.hydrus import ClientInfo, HydrusClient
from hydrusd.ledger import Ledger, LedgerWriter, Queue, last_activity, queues, rules_of
from hydrusd.model import JobId
from hydrusd.plugin import Fault
from hydrusd.rules import Hours, RuleSpec

IDLE_SINCE_API = 92
IDLE_LOOK_SECONDS = 15.0
"""So often a client is asked whether it is idle, while jobs wait for that."""
FAIR_TURN = 5
"""Every so many sets, the oldest job has its turn, whatever its rule's priority."""
LONGEST_HOLD_SECONDS = 60.0
"""A clock that was set is found out after this at the latest."""

log = structlog.get_logger("hydrusd.lane")


@dataclass(frozen=True, slots=True)
class Hold:
    """Why a rule begins nothing now; looked at again after so many seconds."""

    reason: str
    seconds: float


@dataclass(frozen=True, slots=True)
class Turns:
    """Whose turn it is, in the words of a claim (see ``ClaimFilter``)."""

    held: frozenset[str] = frozenset()
    turns: Mapping[str, JobId | None] = field(default_factory=dict)
    at_most: Mapping[str, int] = field(default_factory=dict)
    seconds: float | None = None
    """After how long to look again; None where nothing waits for a time."""


NO_TURNS = Turns()


def out_of_hours(hours: Hours, now: datetime) -> Hold | None:
    """Say why nothing is to begin at this time of day, and for how long; None where it may."""
    if hours.are_now(now):
        return None
    opens = hours.next(now)
    here = " as this machine counts" if hours.zone else ""
    return Hold(
        f"until {opens.astimezone():%a %Y-%m-%d %H:%M}{here}: it begins jobs {hours}",
        (opens - now).total_seconds(),
    )


def fault_of_idling(info: ClientInfo) -> Fault | None:
    """Say of a client that cannot tell whether it is idle what would help; None of any other."""
    if info.api_version >= IDLE_SINCE_API:
        return None
    message = f"a client can tell that it is idle since Client API {IDLE_SINCE_API}"
    return Fault(message, "update Hydrus, or leave out 'client_idle'")


class Pacing:
    """Paces the rules of one lane."""

    def __init__(
        self,
        lane: str,
        client: HydrusClient,
        ledger: LedgerWriter,
        clock: Clock,
        limits: Limits,
    ) -> None:
        self._lane = lane
        self._client = client
        self._ledger = ledger
        self._clock = clock
        self._limits = limits
        self._book: RuleBook | None = None
        self._lanes: Collection[str] = {lane}
        self._paced: Mapping[str, RuleSpec] = {}
        self._exhausted: dict[str, RuleSpec] = {}
        # When a job of a rule last began or ended, on the clock that never jumps.
        self._active: dict[str, float] = {}
        self._before: dict[str, float | None] = {}
        self._idle: tuple[float, Hold | None] | None = None
        self._closed: dict[str, tuple[datetime, datetime, Hold]] = {}
        self._said: dict[str, tuple[str, str]] = {}
        self._claims = 0
        self._waiting: frozenset[str] = frozenset()
        self._look_again_at = math.inf
        self.ranks: Sequence[frozenset[str]] = ()
        self.last: Sequence[frozenset[str]] = ()

    async def may_claim_ahead(self) -> bool:
        """Say whether the set after the present one may be chosen before that has ended.

        Not where somebody may be waiting of whom it is not known then whether it is their turn.
        """
        if self.has_ranks or self._clock.monotonic() >= self._look_again_at:
            return False
        free = [name for name in self._paced if name not in self._waiting]
        if not free:
            return True
        return not await self._ledger(queues, free)

    @property
    def paced(self) -> frozenset[str]:
        """The rules whose jobs must not be claimed before it is clear that it is their turn."""
        return frozenset(self._paced) | frozenset(self._exhausted)

    @property
    def has_ranks(self) -> bool:
        """Say whether some rules come before others."""
        return bool(self.ranks or self.last)

    # --- the rules -----------------------------------------------------------------------

    async def follow(self, book: RuleBook) -> None:
        """Pace by these rules from now on; ask the ledger what they did last."""
        if book is self._book:
            return
        former, self._book = self._book, book
        mine = {rule.name: rule.spec for rule in book if rule.spec.client == self._lane}
        self._paced = {
            name: spec
            for name, spec in mine.items()
            if spec.pace.holds or spec.limits.per_minute is not None
        }
        self._exhausted = {name: mine[name] for name in self._exhausted if name in mine}
        self._closed.clear()
        await self._tell_anew(former, mine)
        self.ranks, self.last = _ranks(mine.values())
        self._lanes = {rule.spec.client for rule in book}
        resting = [n for n, s in self._paced.items() if s.pace.cooldown_seconds]
        if new := [name for name in resting if name not in self._active]:
            now, zero = self._clock.now(), self._clock.monotonic()
            for name, at in (await self._ledger(last_activity, new)).items():
                self._active[name] = zero - max((now - at).total_seconds(), 0.0)

    async def _tell_anew(self, former: RuleBook | None, mine: Mapping[str, RuleSpec]) -> None:
        """See to it that nothing old is told of rules that are others now.

        What is said of a rule that was rewritten, or is gone, is forgotten with that (see
        ``Parts``). One that merely is paced no longer has nobody else to say that it works.
        """
        revisions = former.revisions if former is not None else {}
        for rule in list(self._said):
            if rule not in mine or mine[rule].revision != revisions.get(rule):
                del self._said[rule]
            elif rule not in self._paced and rule not in self._exhausted:
                await self._say(rule, "working", "")
                del self._said[rule]

    # --- what happens --------------------------------------------------------------------

    def began(self, rule: str) -> None:
        """Note that a job of a rule begins."""
        if rule in self._paced:
            self._before[rule] = self._active.get(rule)
            self._active[rule] = self._clock.monotonic()

    def not_begun(self, rule: str, jobs: int) -> None:
        """Take that back: so many jobs wait for the client as if nothing had been."""
        self._limits.taken_back(rule, jobs)
        if rule in self._before:
            before = self._before.pop(rule)
            if before is None:
                self._active.pop(rule, None)
            else:
                self._active[rule] = before

    async def ended(self, ids: Sequence[JobId]) -> None:
        """Note that jobs have ended."""
        resting = {name for name, spec in self._paced.items() if spec.pace.cooldown_seconds}
        if resting and ids:
            now = self._clock.monotonic()
            self._active |= dict.fromkeys(resting & await self._ledger(rules_of, ids), now)

    def exhausted(self, spec: RuleSpec) -> None:
        """Note that a rule has begun as many jobs as it may for now."""
        self._exhausted[spec.name] = spec

    def is_fair_turn(self) -> bool:
        """Say whether the oldest job has the next turn, whatever its rule's priority. Counts."""
        self._claims += 1
        return self._claims % FAIR_TURN == 0

    # --- whose turn ----------------------------------------------------------------------

    async def look(self, blocked: Collection[str], *, away: bool) -> Turns:
        """Say whose turn it is, and tell users what waits. ``away``: the client is.

        What a rule in ``blocked`` waits for is told already.
        """
        asked = {n: s for n, s in {**self._paced, **self._exhausted}.items() if n not in blocked}
        for rule in blocked:
            self._said.pop(rule, None)
        if not asked:
            self._waiting, self._look_again_at = frozenset(), math.inf
            return NO_TURNS
        waiting = await self._ledger(queues, list(asked), self._lanes)
        held: set[str] = set()
        still: set[str] = set()
        turns: dict[str, JobId | None] = {}
        at_most: dict[str, int] = {}
        seconds: list[float] = []
        for rule, spec in asked.items():
            queue = waiting.get(rule)
            if queue is None:
                if rule not in self._paced:
                    del self._exhausted[rule]
                await self._say(rule, "working", "")
                continue
            hold = await self._hold(spec, away=away) if queue.unbegun else None
            if hold is None:
                at_most[rule] = self._at_most(spec)
                self._exhausted.pop(rule, None)
            else:
                held.add(rule)
                still.add(rule)
                seconds.append(hold.seconds)
            if spec.pace.mode.one_at_a_time:
                held.discard(rule)
                free = queue.first_has_begun or hold is None
                turns[rule] = queue.first if free else None
            await self._tell(spec, queue, hold)
        soonest = min([*seconds, LONGEST_HOLD_SECONDS]) if seconds else None
        self._waiting = frozenset(still)
        now = self._clock.monotonic()
        self._look_again_at = math.inf if soonest is None else now + soonest
        return Turns(frozenset(held), turns, at_most, soonest)

    def _at_most(self, spec: RuleSpec) -> int:
        if spec.pace.cooldown_seconds or spec.pace.mode.one_at_a_time:
            return 1
        return self._limits.allowance(spec.name, spec.limits, 1_000_000, self._clock.monotonic())

    async def _hold(self, spec: RuleSpec, *, away: bool) -> Hold | None:
        """Say why a rule is to begin nothing now; None where it may."""
        pace, now = spec.pace, self._clock.monotonic()
        if pace.hours is not None and (hold := self._out_of_hours(spec.name, pace.hours)):
            return hold
        if pace.cooldown_seconds and (hold := self._resting(spec.name, pace.cooldown_seconds)):
            return hold
        if not self._limits.allowance(spec.name, spec.limits, 1, now):
            pause = self._limits.exhausted(spec.name, spec.limits, now)
            return Hold(pause.reason, pause.seconds)
        if pace.client_idle:  # last, as it asks the client
            return await self._busy_client(away=away)
        return None

    def _out_of_hours(self, rule: str, hours: Hours) -> Hold | None:
        now = self._clock.now()
        if (known := self._closed.get(rule)) is not None:
            since, until, hold = known
            if since <= now < until:
                return Hold(hold.reason, (until - now).total_seconds())
            del self._closed[rule]
        closed = out_of_hours(hours, now)
        if closed is not None:
            self._closed[rule] = (now, now + timedelta(seconds=closed.seconds), closed)
        return closed

    def _resting(self, rule: str, rest_seconds: float) -> Hold | None:
        last = self._active.get(rule)
        left = 0.0 if last is None else last + rest_seconds - self._clock.monotonic()
        if left <= 0:
            return None
        until = self._clock.now() + timedelta(seconds=left)
        return Hold(
            f"until {until.astimezone():%Y-%m-%d %H:%M:%S}, when it has rested (cooldown)", left
        )

    async def _busy_client(self, *, away: bool) -> Hold | None:
        now = self._clock.monotonic()
        if away:
            return Hold("until Hydrus is idle, and it is away", IDLE_LOOK_SECONDS)
        if self._idle is not None and now - self._idle[0] < IDLE_LOOK_SECONDS:
            hold = self._idle[1]
            left = IDLE_LOOK_SECONDS - (now - self._idle[0])
            return None if hold is None else Hold(hold.reason, left)
        hold = await self._ask_client()
        self._idle = (now, hold)
        return hold

    async def _ask_client(self) -> Hold | None:
        try:
            if (await self._client.client_info()).currently_idle:
                return None
        except VersionTooOld as error:
            return Hold(f"until Hydrus is idle, and {error}", IDLE_LOOK_SECONDS)
        except HydrusError as error:
            # Whether the client is away is found out by those who need it for their work.
            return Hold(f"until Hydrus is idle, which it does not say: {error}", IDLE_LOOK_SECONDS)
        reason = "until Hydrus is idle (allowed: client_idle)"
        return Hold(reason, IDLE_LOOK_SECONDS)

    # --- telling -------------------------------------------------------------------------

    def said_otherwise(self, rule: str) -> None:
        """Note that users were told something else of a rule since."""
        self._said.pop(rule, None)

    async def _tell(self, spec: RuleSpec, queue: Queue, hold: Hold | None) -> None:
        if hold is not None:
            await self._say(spec.name, "waiting", hold.reason)
        elif spec.pace.mode.one_at_a_time and queue.unbegun:
            reason = f"its jobs are done one after the other (mode: {spec.pace.mode})"
            await self._say(spec.name, "in turn", reason)
        else:
            await self._say(spec.name, "working", "")

    async def _say(self, rule: str, state: str, reason: str) -> None:
        before = self._said.get(rule)
        if before == (state, reason) or (before is None and state == "working"):
            return
        self._said[rule] = (state, reason)
        if state == "waiting":
            log.info(f"rule {rule!r} waits: {reason}", rule=rule)
        now = self._clock.now()
        await self._ledger(Ledger.set_condition, "rule", rule, state, reason, now)


def _ranks(
    specs: Iterable[RuleSpec],
) -> tuple[Sequence[frozenset[str]], Sequence[frozenset[str]]]:
    """Give the rules that come before those without a priority, and those that come after."""
    ranked: dict[int, set[str]] = {}
    for spec in specs:
        if spec.pace.priority:
            ranked.setdefault(spec.pace.priority, set()).add(spec.name)
    high = sorted((p for p in ranked if p > 0), reverse=True)
    low = sorted((p for p in ranked if p < 0), reverse=True)
    return [frozenset(ranked[p]) for p in high], [frozenset(ranked[p]) for p in low]
