"""A world for schedules: years that pass in seconds, and what must fire in them.

What must fire is found without the code under test: by going through time in steps of five
minutes and looking at what a clock on the wall shows at each.
"""

from __future__ import annotations

from bisect import bisect_right
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta

import anyio.lowlevel

GRID = timedelta(minutes=5)


class Over(Exception):
    """The world has come to its end."""


class World:
    """A clock that runs as fast as the trigger sleeps, and is put forward or back on the way.

    Most sleeps of a minute would only be followed by the next. Such a one goes on until shortly
    before the next moment that is ``interesting``, as it would in a computer that sleeps; where
    none is, each is slept.
    """

    def __init__(self, start, interesting=(), jumps=()):
        self.time = start
        self.elapsed = 0.0
        self.jumps = list(jumps)  # (when, to)
        self.leaps = bool(interesting)
        self.interesting = sorted([*interesting, *(when for when, _ in jumps)])
        self.end = None

    def now(self):
        return self.time

    def monotonic(self):
        return self.elapsed

    async def sleep(self, seconds):
        assert 0 <= seconds <= 60
        await anyio.lowlevel.checkpoint()
        target = self.time + timedelta(seconds=seconds)
        if seconds == 60 and self.leaps:
            place = bisect_right(self.interesting, target)
            far = self.interesting[place] if place < len(self.interesting) else self.end
            target = max(target, far - timedelta(seconds=61))
        self.elapsed += seconds
        if self.jumps and self.jumps[0][0] <= target:
            self.time = self.jumps.pop(0)[1]
        elif target >= self.end:
            raise Over
        else:
            self.time = target


@dataclass
class Memory:
    """What the ledger is to a trigger of one rule: keys are known for ever."""

    fired: list = field(default_factory=list)
    passed: list = field(default_factory=list)
    remembered: dict = field(default_factory=dict)
    known: set = field(default_factory=set)


class Context:
    rules = ("a rule",)

    def __init__(self, clock, memory):
        self.clock = clock
        self.memory = memory
        self.told = []
        self.warnings = []

    async def emit(self, events, *, remember=None):
        await anyio.lowlevel.checkpoint()
        self.memory.fired += [event for event in events if event.key not in self.memory.known]
        self._keep(events, remember)

    async def pass_over(self, events, reason, *, remember=None):
        await anyio.lowlevel.checkpoint()
        assert events
        self.memory.passed += [(event, reason) for event in events]
        self._keep(events, remember)

    def _keep(self, events, remember):
        assert len(events) <= 1000
        self.memory.known |= {event.key for event in events}
        self.memory.remembered |= remember or {}

    async def recall(self, name):
        return self.memory.remembered.get(name)

    async def unseen(self, keys):
        return set(keys) - self.memory.known

    def waiting(self, reason):
        self.told.append(("waiting", reason))

    def working(self, detail=""):
        self.told.append(("working", detail))

    def warn(self, message):
        self.warnings.append(message)


async def live(trigger, world, memory, end):
    """Let the trigger run until the end; give its context. The next run finds the memory."""
    world.end = end
    context = Context(world, memory)
    try:
        await trigger.run(context)
    except Over:
        return context
    raise AssertionError("the trigger ended by itself")


def times(events):
    return [event.data["schedule"]["utc"] for event in events]


# --- what must fire, by brute force --------------------------------------------------------


def shown(zone, start, end):
    """Give each moment of the grid, what a clock on the wall shows, what it skipped for that."""
    found = []
    moment, expected = start, None
    while moment < end:
        wall = moment.astimezone(zone).replace(tzinfo=None, fold=0)
        skipped = []
        while expected is not None and expected < wall:
            skipped.append(expected)
            expected += GRID
        found.append((moment, wall, skipped))
        moment, expected = moment + GRID, wall + GRID
    return found


def cron_times(clock, matches, *, every_hour):
    """Give the moments at which a cron line fires, from what the wall clock showed.

    ``matches`` judges what a clock shows. Lines that name hours: each time once, those that
    the clock skips when it skips them. Others: whenever the clock shows it.
    """
    if every_hour:
        return [moment for moment, wall, _ in clock if matches(wall)]
    found, had = [], set()
    for moment, wall, skipped in clock:
        if (matches(wall) and wall not in had) or any(map(matches, skipped)):
            found.append(moment)
            had.add(wall)
    return found


def utc(text):
    return datetime.fromisoformat(text).replace(tzinfo=UTC)


def iso(moment):
    return moment.isoformat().replace("+00:00", "Z")
