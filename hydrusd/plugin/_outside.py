"""Work done in the world outside, which nobody can look at afterwards: begun once, then followed.

Whether a file is in Hydrus can be asked; whether a program has run, or a server has taken an
order, cannot. So the intent to begin is stored first, and only then it begins. A daemon that
finds such a note and has begun nothing of the kind itself knows that another was interrupted,
and that it cannot know how far that one came. Then the rule decides, not a guess.

It runs beside the lane, which has other sets to do: the step is called again until the work
is over. A daemon that stops cancels it. What can be done any number of times needs no note, but
may take as long: a program, a download. That is what is common to both.
"""

from __future__ import annotations

import asyncio
import time
import uuid
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import partial
from typing import Any, ClassVar, Literal
from weakref import WeakKeyDictionary

import anyio
from pydantic import Field

from hydrusd.errors import PermanentError, TemporaryError
from hydrusd.model import JobId, Outcome, OutcomeKind
from hydrusd.plugin._action import Call, SetAction

MOST_TRIES = 8
QUICK_SECONDS = 1.0
"""What is over by then needs no second call."""
TURN_SECONDS = 5.0
"""After so long one that has to wait for others asks again."""
_DROP_SECONDS = 10.0
_FIRST_DELAY_SECONDS = 5.0
_LONGEST_DELAY_SECONDS = 3600.0
_STALE_SECONDS = 60.0

_NOBODY_KNOWS = (
    "whether it was done, nobody knows; `hydrusd dead retry` does it again, "
    "and `if_interrupted: repeat` would always"
)


@dataclass(eq=False, slots=True)
class _Work:
    """Something that is about to begin, under way or over.

    ``waiting`` are the jobs that have not heard of its end yet; ``tries`` which try of each job
    this is.
    """

    token: str
    kind: type[BesideAction]
    start: Callable[[], Awaitable[Outcome | Mapping[JobId, Outcome]]]
    waiting: set[JobId]
    tries: Mapping[JobId, int]
    made_at: float = field(default_factory=time.monotonic)
    task: asyncio.Task[Outcome | Mapping[JobId, Outcome]] | None = None

    @property
    def takes_room(self) -> bool:
        if self.task is not None:
            return not self.task.done()
        return time.monotonic() - self.made_at < _STALE_SECONDS  # else its job went elsewhere

    def note(self, job_id: JobId) -> Mapping[str, object]:
        return {"begun": self.token, "tries": self.tries[job_id]}

    def begin(self) -> bool:
        """Begin unless it has begun; say whether it has only now."""
        if self.task is not None:
            return False
        self.made_at = time.monotonic()
        # No group of tasks: it outlives this call, and ends with the event loop at the latest.
        self.task = asyncio.get_running_loop().create_task(self._run(), name=f"work {self.token}")
        return True

    async def _run(self) -> Outcome | Mapping[JobId, Outcome]:
        return await self.start()

    def collect(self, job_id: JobId) -> Outcome:
        """Give how it ended, to one of its jobs."""
        assert self.task is not None
        self.waiting.discard(job_id)
        if not self.waiting:
            _works().pop(self.token, None)
        cancelled = self.task.cancelled()  # else it would look as if the lane were
        error = asyncio.CancelledError() if cancelled else self.task.exception()
        match error:
            case None:
                result = self.task.result()
                outcome = result if isinstance(result, Outcome) else result[job_id]
            case TemporaryError(delay_seconds=delay):
                outcome = Outcome.retry(str(error), delay_seconds=delay)
            case PermanentError():
                outcome = Outcome.dead(str(error))
            case _:
                told = f"failed with {type(error).__name__}: {error}"
                outcome = Outcome.dead(f"{told}; {_NOBODY_KNOWS}")
        if outcome.kind is not OutcomeKind.RETRY:
            return outcome
        tries = self.tries[job_id]
        if tries >= MOST_TRIES:
            return Outcome.dead(f"{outcome.detail} (after {tries} tries)")
        # To store the intent sets the count of attempts back: it is kept here instead.
        delay = min(_FIRST_DELAY_SECONDS * 2.0 ** (tries - 1), _LONGEST_DELAY_SECONDS)
        return replace(outcome, delay_seconds=outcome.delay_seconds or delay)


_by_loop: WeakKeyDictionary[asyncio.AbstractEventLoop, dict[str, _Work]] = WeakKeyDictionary()


def _works() -> dict[str, _Work]:
    """Give what this daemon has announced, by the token in its note."""
    return _by_loop.setdefault(asyncio.get_running_loop(), {})


class BesideAction(SetAction):
    """An action whose work takes long and is done beside the lane: a program, a download.

    Subclasses write ``perform``, and say in ``groups`` what is done together. What they give or
    raise is stored when it is over; until then, the step is called again. Where hydrusd was
    stopped meanwhile, it is done again from the start: ``perform`` must be able to.
    """

    needs_client: ClassVar[bool] = False
    changes_client: ClassVar[bool] = False
    outside: ClassVar[bool] = True
    at_once: ClassVar[int] = 4
    """How many may be under way."""

    @property
    def harmless(self) -> bool:
        """Say whether it can be done any number of times."""
        return True

    @property
    def repeats(self) -> bool:
        """Say whether it is done again where nobody knows whether it was."""
        return self.harmless

    @classmethod
    def groups(cls, calls: Sequence[Call[Any]]) -> Sequence[Sequence[Call[Any]]]:
        """Give what is done together."""
        return [[call] for call in calls]

    @classmethod
    def may_begin(cls, call: Call[Any]) -> bool:
        """Say whether another one may begin now, as far as it is not a matter of room."""
        del call
        return True

    @classmethod
    async def perform(cls, calls: Sequence[Call[Any]]) -> Outcome | Mapping[JobId, Outcome]:
        """Do it for one group; give how it ended, for all of them or for each job."""
        raise NotImplementedError  # see Action.run

    def unknown(self, detail: str) -> Outcome:
        """Give the outcome where nobody can say whether it was done."""
        if self.repeats:
            return Outcome.retry(detail)
        return Outcome.dead(f"{detail}; {_NOBODY_KNOWS}")

    @classmethod
    async def run_set(cls, calls: Sequence[Call[SetAction]]) -> None:
        """Store the intent of what is new, begin what was stored, and ask after what runs."""
        new: list[Call[SetAction]] = []
        mine: list[tuple[Call[SetAction], _Work]] = []
        for call in calls:
            assert isinstance(call.action, BesideAction)
            earlier = call.earlier
            work = _works().get(str(call.progress.get("begun")))
            if earlier is not None and earlier.outcome is OutcomeKind.DONE:
                # Others of its steps are done again after the client lost them. Not this one.
                again = Outcome.done(earlier.detail, values=earlier.values, receipt=earlier.receipt)
                call.finish(again)
            elif work is not None and call.job_id in work.waiting:
                mine.append((call, work))
            elif "begun" not in call.progress or call.attempt > 1:
                new.append(call)  # nothing was begun, or it failed since, and that was stored
            elif call.action.repeats:
                new.append(call)
            else:
                call.finish(call.action.unknown("hydrusd was stopped while this was under way"))
        at_once = cls._announce(new)
        try:
            await _follow([*mine, *at_once])
        except asyncio.CancelledError:
            await _drop([work for _, work in at_once])
            raise

    @classmethod
    def _announce(cls, calls: Sequence[Call[SetAction]]) -> list[tuple[Call[SetAction], _Work]]:
        """Note of each that it is about to begin. Gives those that need no note."""
        at_once: list[tuple[Call[SetAction], _Work]] = []
        room = cls.at_once - sum(w.takes_room for w in _works().values() if w.kind is cls)
        for group in cls.groups(calls):
            first = group[0]
            if room <= 0 or not cls.may_begin(first):
                for call in group:
                    waiting = {"tries": _tries(call)}
                    detail = "waits until others are over"
                    call.finish(Outcome.later(detail, delay_seconds=TURN_SECONDS, values=waiting))
                continue
            room -= 1
            tries = {call.job_id: _tries(call) for call in group}
            work = _Work(uuid.uuid4().hex, cls, partial(cls.perform, group), set(tries), tries)
            _works()[work.token] = work
            for call in group:
                if isinstance(first.action, BesideAction) and first.action.harmless:
                    at_once.append((call, work))
                else:
                    note = work.note(call.job_id)
                    call.finish(Outcome.later("about to begin", delay_seconds=0, values=note))
        return at_once


class OutsideAction(BesideAction):
    """An action that does something which cannot be looked at afterwards.

    That it is about to begin is stored first. Where hydrusd was stopped in the middle, the rule
    says what is to be done.
    """

    if_interrupted: Literal["dead", "repeat"] = Field(
        default="dead",
        description=(
            "What to do where hydrusd was stopped in the middle, or nobody can say whether it was "
            "done: `dead` makes it a dead letter for you to look at, `repeat` does it again."
        ),
    )

    @property
    def harmless(self) -> bool:
        """Say whether it can be done any number of times."""
        return False

    @property
    def repeats(self) -> bool:
        """Say whether it is done again where nobody knows whether it was."""
        return self.harmless or self.if_interrupted == "repeat"


async def _follow(mine: Sequence[tuple[Call[SetAction], _Work]]) -> None:
    begun = [work for _, work in mine if work.begin()]
    if begun:
        await asyncio.wait([w.task for w in begun if w.task is not None], timeout=QUICK_SECONDS)
    for call, work in mine:
        assert work.task is not None
        if work.task.done():
            call.finish(work.collect(call.job_id))
        else:
            seconds = time.monotonic() - work.made_at
            delay = min(max(seconds / 4, 0.5), 15.0)
            detail = f"under way for {seconds:.0f} s"
            call.finish(Outcome.later(detail, delay_seconds=delay, values=work.note(call.job_id)))


async def _drop(works: Sequence[_Work]) -> None:
    """End what was begun without a note: nobody would ever ask after it, and it is done again."""
    tasks = [work.task for work in works if work.task is not None]
    for work in works:
        _works().pop(work.token, None)
    for task in tasks:
        task.cancel()
    if tasks:
        with anyio.CancelScope(shield=True):
            await asyncio.wait(tasks, timeout=_DROP_SECONDS)


def _tries(call: Call[SetAction]) -> int:
    """Give the number of the try that this is."""
    former = call.progress.get("tries")
    return (former if isinstance(former, int) else 1) + call.attempt - 1
