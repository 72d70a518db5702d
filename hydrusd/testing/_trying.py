"""What is done to an action or a trigger while its example runs: the mishaps, in order.

Nothing is replaced by a fake. The class under trial does its own work in a real daemon; only
what comes between its calls is arranged: its work is done and the note of it lost, it is
cancelled after each thing that it asked of the client, the client dies before it has committed.
"""

from __future__ import annotations

import inspect
from collections.abc import Awaitable, Callable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass, field, replace
from typing import Any, cast

import anyio
from anyio import to_thread
from anyio.lowlevel import checkpoint

from hydrusd.hydrus import HydrusClient
from hydrusd.model import Data, Event, JobId, Outcome, OutcomeKind, StepRecord, tells
from hydrusd.plugin import Action, AnyAction, Aside, Call, Trigger, TriggerContext
from hydrusd.testing._project import Project
from hydrusd.testing._world import Photographer, World, difference

AnyCall = Call[AnyAction]
Do = Callable[[Sequence[AnyCall]], Awaitable[None]]

MOST_CUTS = 12
"""An action that asks the client more often is cancelled after the first so many times only."""
_ENDED = frozenset({OutcomeKind.DONE, OutcomeKind.SKIPPED})


@dataclass
class Mishaps:
    """What is to go wrong, and what was seen of it.

    ``said`` is everything that the class under trial handed to hydrusd, ``changed`` what it did
    again, ``forgotten`` what it knew no more then, ``stuck`` what a cancelled call left behind.
    ``calls`` counts how often it was called.
    """

    project: Project
    repeats: bool = False
    cancels: bool = False
    restarts: bool = False
    said: list[object] = field(default_factory=list)
    changed: list[str] = field(default_factory=list)
    forgotten: list[str] = field(default_factory=list)
    stuck: list[str] = field(default_factory=list)
    calls: int = 0

    def __post_init__(self) -> None:
        """Begin; the client's times are told apart from now on."""
        self._photographer = Photographer.of(self.project)
        self._cut = not self.cancels
        self._crashed = not self.restarts
        self._had: set[JobId] = set()
        self._life: anyio.CancelScope | None = None

    def world(self) -> World:
        """Give what there is now."""
        return self._photographer.picture()

    def endings(self) -> World:
        """Give how the jobs ended."""
        return self._photographer.endings()

    def fitted(self, kind: type[AnyAction | Trigger]) -> AbstractContextManager[None]:
        """Have this happen to a class, for as long as the context lasts."""
        if issubclass(kind, Trigger):
            return self._around_trigger(kind)
        return self._around_action(kind)

    # --- actions -------------------------------------------------------------------------

    @contextmanager
    def _around_action(self, kind: type[AnyAction]) -> Iterator[None]:
        if issubclass(kind, Action):
            run = kind.run

            async def one(self_: Action, call: Call[Action]) -> Outcome:
                async def do(calls: Sequence[AnyCall]) -> None:
                    for each in calls:
                        given = cast("Call[Action]", each)
                        if inspect.iscoroutinefunction(run):
                            outcome = await run(self_, given)
                        else:
                            outcome = cast("Outcome", await to_thread.run_sync(run, self_, given))
                        if each.outcome is None:
                            each.finish(outcome)

                await self._arrange([cast("AnyCall", call)], do)
                assert call.outcome is not None
                return call.outcome

            with _replaced(kind, "run", one):
                yield
        else:
            run_set = cast("Any", kind).run_set

            async def all_of(_: type[AnyAction], calls: Sequence[AnyCall]) -> None:
                await self._arrange(calls, run_set)

            with _replaced(kind, "run_set", classmethod(all_of)):
                yield

    async def _arrange(self, calls: Sequence[AnyCall], do: Do) -> None:
        self.calls += len(calls)
        kept = _Kept(calls)
        done: Sequence[AnyCall] | None = None
        if not self._cut:
            self._cut = True
            done = await self._cancel_each(calls, do, kept)
        if done is None:
            done = await _try(calls, do, kept)
        shows = calls[0].action.repeat_shows
        if self.repeats and not shows:
            done = await self._once_more(calls, done, do, kept)
        for call, copy in zip(calls, done, strict=True):
            self._note(copy)
            if copy.lingers:
                call.linger()
            if copy.outcome is not None:
                call.finish(copy.outcome)
        over = any(c.outcome and c.outcome.kind in _ENDED for c in done)
        if over and calls[0].action.changes_client and not self._crashed:
            self._crashed = True
            self.project.simulator.crash()

    async def _once_more(
        self, calls: Sequence[AnyCall], done: Sequence[AnyCall], do: Do, kept: _Kept
    ) -> Sequence[AnyCall]:
        """Lose the note of what ended now for the first time, and have it done again."""
        over = [
            c for c in done if c.outcome and c.outcome.kind in _ENDED and c.job_id not in self._had
        ]
        if not over:
            return done
        before = self.world()
        mine = [call for call in calls if any(c.job_id == call.job_id for c in over)]
        again = {copy.job_id: copy for copy in await _to_its_end(mine, do, kept)}
        for copy in over:
            self._had.add(copy.job_id)
            second = again[copy.job_id].outcome
            if second is None or second.kind not in _ENDED:
                how = "did not say how it ended" if second is None else f"{second.kind}: "
                self.changed.append(f"it failed then: {how}{second.detail if second else ''}")
            else:
                self._compare(again[copy.job_id], before)
                self._hold(copy, second, kept)
        return [again.get(copy.job_id, copy) for copy in done]

    def _compare(self, copy: AnyCall, before: World) -> None:
        if changed := difference(before, self.world()):
            self.changed.append(f"done again for job {copy.job_id}, it changed {changed}")

    def _hold(self, first: AnyCall, second: Outcome, kept: _Kept) -> None:
        """Hold the receipts against each other: by them alone an undo knows what to take back."""
        assert first.outcome is not None
        if not type(first.action).can_undo() or second.kind is OutcomeKind.SKIPPED:
            return
        told, since = first.outcome.receipt, second.receipt
        if tells(told) and not tells(since) and not kept.of(first.job_id):
            self.forgotten.append(
                f"its receipt was {told!r}; done again, it is {since!r}: what the step has "
                f"changed could no longer be undone (keep it with keep_receipts before the deed)"
            )

    async def _cancel_each(
        self, calls: Sequence[AnyCall], do: Do, kept: _Kept
    ) -> Sequence[AnyCall] | None:
        """Cancel it at once, then after what it asks of the client first, and second, …

        Give what came of the try that asked for less, and was not cancelled. That one counts:
        what it has begun may be under way.
        """
        shows = calls[0].action.repeat_shows
        for cut in range(1 if shows else MOST_CUTS):
            when = f"after {cut} answers of the client" if cut else "at once"
            before = _tasks()
            with anyio.CancelScope() as scope:
                copies = kept.copies(calls, _Watched(calls[0].client, cut, scope))
                if cut == 0:
                    scope.cancel()
                try:
                    await do(copies)
                except Exception:  # noqa: BLE001 - the try that counts raises it again
                    return None
            if not scope.cancel_called:
                return copies
            self.stuck += await _left_behind(before, when)
            bad = {OutcomeKind.DEAD, OutcomeKind.RETRY}
            if not scope.cancelled_caught:
                failed = [c.outcome for c in copies if c.outcome is None or c.outcome.kind in bad]
                if failed:
                    how = failed[0].detail if failed[0] else "nothing was said of it"
                    self.stuck.append(f"cancelled {when}, it took that for a failure: {how}")
            if not scope.cancelled_caught:
                return None
        return None

    def _note(self, copy: AnyCall) -> None:
        self.said += [repr(copy), repr(copy.action)]
        if copy.outcome is not None:
            outcome = copy.outcome
            self.said += [outcome.detail, outcome.values, outcome.receipt, outcome.fires]

    # --- triggers ------------------------------------------------------------------------

    @contextmanager
    def _around_trigger(self, kind: type[Trigger]) -> Iterator[None]:
        run = kind.run

        async def arranged(self_: Trigger, context: TriggerContext) -> None:
            self.calls += 1
            listening = cast("TriggerContext", _Listening(context, self._handed_over))
            if not self._cut:
                self._cut = True
                before = _tasks()
                with anyio.CancelScope() as scope:
                    scope.cancel()
                    await run(self_, listening)
                self.stuck += await _left_behind(before, "at once")
            if self.repeats and self._life is None:
                before = _tasks()
                with anyio.CancelScope() as self._life:
                    await run(self_, listening)
                if self._life.cancelled_caught:
                    self.stuck += await _left_behind(before, "after it had handed over")
            await run(self_, listening)

        with _replaced(kind, "run", arranged):
            yield

    async def _handed_over(self, given: Sequence[object]) -> None:
        """Let the trigger die, or the client, once the first events are stored."""
        self.said += given
        if not any(isinstance(each, Event) for each in given):
            return
        if not self._crashed:
            self._crashed = True
            self.project.simulator.crash()
        if self._life is not None and not self._life.cancel_called:
            self._life.cancel()
            await checkpoint()


class _Kept:
    """The receipts that calls had the ledger keep, as the next try will find them."""

    def __init__(self, calls: Sequence[AnyCall]) -> None:
        self._receipts: dict[JobId, Data] = {}
        self.progress: dict[JobId, Data] = {}
        """What calls have asked to be reminded of, by an outcome that the ledger never saw."""
        self._keepers = {call.job_id: call.keeper for call in calls}

    def of(self, job_id: JobId) -> bool:
        return tells(self._receipts.get(job_id))

    async def _keep(self, receipts: Mapping[JobId, Data]) -> None:
        self._receipts.update(receipts)
        keeper = next((self._keepers[job] for job in receipts), None)
        if keeper is not None:
            await keeper(receipts)

    def copies(self, calls: Sequence[AnyCall], client: object | None = None) -> list[AnyCall]:
        return [self._copy(call, client) for call in calls]

    def _copy(self, call: AnyCall, client: object | None) -> AnyCall:
        steps = call.steps
        if call.job_id in self._receipts or call.job_id in self.progress:
            others = [record for record in steps if record.position != call.position]
            about = StepRecord(
                call.position,
                call.action.action,
                OutcomeKind.LATER,
                "about to be done",
                self.progress.get(call.job_id, call.progress),
                self._receipts.get(call.job_id),
            )
            steps = (*others, about)
        given = cast("HydrusClient", client) if client is not None else call.client
        return replace(call, steps=steps, keeper=self._keep, client=given)


async def _try(calls: Sequence[AnyCall], do: Do, kept: _Kept) -> list[AnyCall]:
    copies = kept.copies(calls)
    await do(copies)
    return copies


async def _to_its_end(calls: Sequence[AnyCall], do: Do, kept: _Kept) -> list[AnyCall]:
    """Try it, and again whenever it says to be called later: nobody else is to act meanwhile."""
    copies = await _try(calls, do, kept)
    while late := [c for c in copies if c.outcome and c.outcome.kind is OutcomeKind.LATER]:
        waits = [c.outcome.delay_seconds or 0.0 for c in late if c.outcome is not None]
        await calls[0].clock.sleep(min(waits))
        kept.progress |= {c.job_id: c.outcome.values for c in late if c.outcome is not None}
        jobs = {copy.job_id for copy in late}
        again = await _try([call for call in calls if call.job_id in jobs], do, kept)
        newer = {copy.job_id: copy for copy in again}
        copies = [newer.get(copy.job_id, copy) for copy in copies]
    return copies


class _Watched:
    """A client that cancels a scope once it was asked so many things and has answered."""

    def __init__(self, client: HydrusClient, most: int, scope: anyio.CancelScope) -> None:
        self._client = client
        self._left = most
        self._scope = scope

    def __getattr__(self, name: str) -> object:
        value = getattr(self._client, name)
        if not inspect.iscoroutinefunction(value):
            return value

        async def asked(*given: object, **named: object) -> object:
            answer = await value(*given, **named)
            self._left -= 1
            if self._left <= 0:
                self._scope.cancel()
                await checkpoint()
            return answer

        return asked


class _Listening:
    """What a trigger sees of the engine, overheard."""

    def __init__(
        self, context: TriggerContext, told: Callable[[Sequence[object]], Awaitable[None]]
    ) -> None:
        self._context = context
        self._told = told

    def __getattr__(self, name: str) -> object:
        return getattr(self._context, name)

    async def emit(
        self,
        events: Sequence[Event],
        *,
        aside: Sequence[Aside] = (),
        remember: Mapping[str, object] | None = None,
    ) -> None:
        await self._context.emit(events, aside=aside, remember=remember)
        await self._told([*events, *aside, remember])


@contextmanager
def _replaced(kind: type, name: str, by: object) -> Iterator[None]:
    own = kind.__dict__.get(name, _inherited)
    setattr(kind, name, by)
    try:
        yield
    finally:
        if own is _inherited:
            delattr(kind, name)
        else:
            setattr(kind, name, own)


_inherited = object()


def _tasks() -> dict[int, str]:
    """Give the tasks that run and belong to no task group, which would not end before them."""
    return {task.id: str(task.name) for task in anyio.get_running_tasks() if task.parent_id is None}


async def _left_behind(before: Mapping[int, str], when: str) -> list[str]:
    """Give the tasks that a cancelled call has left running."""
    for _ in range(3):
        await checkpoint()
    left = [name for number, name in _tasks().items() if number not in before]
    return [f"cancelled {when}, it left the task {name} running" for name in left]
