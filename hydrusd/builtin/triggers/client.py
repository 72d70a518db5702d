"""The trigger that notices what becomes of the client itself.

Every happening is told once, also across restarts of hydrusd: what was told is remembered in
the transaction that stores the event. A run of the client has an id, so that a restart is
never guessed from a short silence; silence alone only counts when it has lasted, because a
client that is busy with its database does not answer either.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any, ClassVar, Literal, Self

from pydantic import Field, model_validator

from hydrusd.plugin import (
    Duration,
    Event,
    Fault,
    HydrusClient,
    HydrusUnavailable,
    Trigger,
    TriggerContext,
    VersionTooOld,
)

BOOT_IDS_SINCE_API = 92
AWAY_SECONDS = 60.0
"""So long a client must not answer to count as having been away."""
MISSED = "it happened while hydrusd was not running"

_MEMORY = "state"

When = Literal["online", "offline", "restarted", "idle"]


@dataclass(frozen=True, slots=True)
class Spell:
    """Something that has been so at every look since a time."""

    since: datetime
    seconds: float


@dataclass(frozen=True, slots=True)
class Look:
    """What one look at the client showed, and what the looks before it.

    ``boot`` is empty where the client is away or too old to tell. ``first``: nobody looked
    before, in this run of the trigger.
    """

    at: datetime
    there: bool
    boot: str = ""
    away: Spell | None = None
    idle: Spell | None = None
    first: bool = False


@dataclass(frozen=True, slots=True)
class Verdict:
    """What to remember after a look, and what happened, if anything: a key and since when.

    ``missed``: it happened while nobody looked.
    """

    memory: Mapping[str, object]
    key: str = ""
    since: datetime | None = None
    missed: bool = False


class ClientTrigger(Trigger):
    """Notice that Hydrus comes online, goes offline, was restarted or becomes idle.

    - `online`: it answers after a minute or more of silence, or as another run of itself.
    - `offline`: it has not answered for `for` (a minute unless you say otherwise). Only steps that
      need no client can run then; others wait until it is back.
    - `restarted`: it answers, and it is not the run of it that answered before.
    - `idle`: it says that it is idle, and has said so for `for`. Hydrus' own options say what idle
      means; if they let requests keep it awake, `every` must be longer than what is set there.

    What a rule finds when it is new is where it begins; being offline or idle is told also
    then. The last two need Client API ≥ 92; with an older client, `online` cannot tell a
    restart that took less than a minute.

    Conditions and templates see `client.when`, `client.since` (a time) and `client.boot`.
    """

    trigger: ClassVar[str] = "client"
    shared: ClassVar[bool] = False
    gives: ClassVar[Mapping[str, Any] | None] = {
        "client": {"when": None, "since": None, "boot": None}
    }

    when: When = Field(description="`online`, `offline`, `restarted` or `idle`.")
    lasting: Duration | None = Field(
        default=None,
        alias="for",
        description="How long it must have been `offline` (`1m`) or `idle` (`0s`).",
    )
    every: Duration = Field(
        default=15.0,
        ge=1,
        description="How often to look.",
        json_schema_extra={"default": "15s"},
    )
    missed: bool = Field(
        default=True,
        description="Whether a start of Hydrus while hydrusd was not running counts as well.",
    )

    @model_validator(mode="after")
    def _fits(self) -> Self:
        if self.lasting is not None and self.when not in {"offline", "idle"}:
            raise ValueError("'for' is for 'when: offline' and 'when: idle'")
        if not self.missed and self.when not in {"online", "restarted"}:
            raise ValueError("'missed' is for 'when: online' and 'when: restarted'")
        return self

    def preflight(self, client: HydrusClient) -> Iterable[Fault]:
        """Name a client that cannot tell."""
        if self.when in {"restarted", "idle"} and client.info.api_version < BOOT_IDS_SINCE_API:
            yield Fault(self._too_old, "update Hydrus", ("when",))

    @property
    def _too_old(self) -> str:
        return f"a client can tell that it is {self.when} since Client API {BOOT_IDS_SINCE_API}"

    @property
    def patience(self) -> float:
        """Give how often it asks."""
        return self.every

    async def run(self, context: TriggerContext) -> None:
        """Look until cancelled."""
        remembered = await context.recall(_MEMORY)
        memory = dict(remembered) if isinstance(remembered, Mapping) else {}
        watch = _Watch(context, waits=self.when != "offline")
        while True:
            look = await watch.look()
            if look.there and not look.boot and self.when in {"restarted", "idle"}:
                watch.wait(self._too_old)
            else:
                verdict = self.judge(memory, look)
                await self._tell(context, verdict, memory, look.boot)
                memory = dict(verdict.memory)
            await context.clock.sleep(self.every)

    async def _tell(
        self, context: TriggerContext, verdict: Verdict, memory: Mapping[str, object], boot: str
    ) -> None:
        if verdict.memory == memory and not verdict.key:
            return
        remember = {_MEMORY: dict(verdict.memory)}
        if not verdict.key:
            await context.emit([], remember=remember)
            return
        assert verdict.since is not None
        told = {"when": self.when, "since": verdict.since.isoformat(), "boot": boot}
        event = Event(f"{self.when} {verdict.key}", {"client": told})
        if verdict.missed and not self.missed:
            await context.pass_over([event], MISSED, remember=remember)
        else:
            await context.emit([event], remember=remember)

    # --- what a look means ---------------------------------------------------------------

    def judge(self, memory: Mapping[str, object], look: Look) -> Verdict:
        """Say what a look means, given what is remembered of those before. Pure."""
        match self.when:
            case "online":
                return self._online(memory, look)
            case "offline":
                return self._offline(memory, look)
            case "restarted":
                return self._restarted(memory, look)
            case "idle":
                return self._idle(memory, look)

    def _online(self, memory: Mapping[str, object], look: Look) -> Verdict:
        boot, away = memory.get("boot"), memory.get("away")
        if not look.there:
            # A client without boot ids may have been restarted together with hydrusd.
            unsure = look.first and not boot
            gone = look.away is not None and (unsure or look.away.seconds >= AWAY_SECONDS)
            return Verdict({"away": look.at.isoformat(), **memory} if gone else memory)
        now: dict[str, object] = {"boot": look.boot}
        other = bool(boot) and bool(look.boot) and boot != look.boot
        if away is None and not other:
            return Verdict(now)
        return Verdict(
            now, f"{look.boot} after {away or boot}", look.at, missed=look.first and other
        )

    def _offline(self, memory: Mapping[str, object], look: Look) -> Verdict:
        if look.there:
            return Verdict({})
        lasting = AWAY_SECONDS if self.lasting is None else self.lasting
        if memory.get("told") or look.away is None or look.away.seconds < lasting:
            return Verdict(memory)
        since = look.away.since.isoformat()
        return Verdict({"told": since}, since, look.away.since)

    def _restarted(self, memory: Mapping[str, object], look: Look) -> Verdict:
        boot = memory.get("boot")
        if not look.there or look.boot == boot:
            return Verdict(memory)
        now = {"boot": look.boot}
        if boot is None:
            return Verdict(now)
        return Verdict(now, look.boot, look.at, missed=look.first)

    def _idle(self, memory: Mapping[str, object], look: Look) -> Verdict:
        if not look.there:
            return Verdict(memory)
        if look.idle is None:
            return Verdict({})
        if memory.get("told") == look.boot or look.idle.seconds < (self.lasting or 0.0):
            return Verdict(memory)
        key = f"{look.boot} {look.idle.since.isoformat()}"
        return Verdict({"told": look.boot}, key, look.idle.since)


class _Watch:
    """Looks at the client, and tells the user once whenever that changes.

    ``waits``: nothing can be noticed while the client is away.
    """

    def __init__(self, context: TriggerContext, *, waits: bool) -> None:
        self._context = context
        self._waits = waits
        self._away_from: tuple[datetime, float] | None = None
        self._idle_from: tuple[datetime, float] | None = None
        self._boot = ""
        self._first = True
        self._said: str | None = None

    def wait(self, reason: str) -> None:
        """Say why nothing can be noticed."""
        if self._said != reason:
            self._said = reason
            self._context.waiting(reason)

    async def look(self) -> Look:
        """Ask the client."""
        client, clock = self._context.client, self._context.clock
        there, boot, idle = True, "", False
        try:
            try:
                run = await client.client_info()
                boot, idle = run.boot_id, run.currently_idle
            except VersionTooOld:
                await client.versions()
        except HydrusUnavailable as error:
            there = False
            if self._waits:
                self.wait(str(error))
        if (there or not self._waits) and self._said != "":
            self._said = ""
            self._context.working()
        now = (clock.now(), clock.monotonic())
        self._away_from = None if there else self._away_from or now
        if there and boot != self._boot:
            self._idle_from, self._boot = None, boot
        self._idle_from = (self._idle_from or now) if idle else None
        first, self._first = self._first, False
        return Look(
            now[0], there, boot, _spell(self._away_from, now), _spell(self._idle_from, now), first
        )


def _spell(begun: tuple[datetime, float] | None, now: tuple[datetime, float]) -> Spell | None:
    # Measured by the clock that nobody sets.
    return Spell(begun[0], now[1] - begun[1]) if begun else None
