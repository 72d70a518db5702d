"""Proves that what was done is durable, before anything irreversible follows from it.

A client answers "imported" long before it commits (every 30 seconds or so), and what it
has not committed is gone when it dies. So a job whose remote steps are done *settles*:

1. It carries the boot of the client that was read *before* its oldest unproved change.
2. The client is told to commit, or, where it cannot be told, is given longer than its
   commit period.
3. Only then the boot is asked for again. The same boot before the work and after the
   commit means that no restart lies between them: the commit covers the work.
4. Another boot means a restart: what the job did is looked up, and whatever is missing
   is done again from its first lost step. What is there settles once more, in the new
   boot, because being there does not say whether the client has committed it.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Awaitable, Callable, Sequence

import anyio
import structlog

from hydrusd.clock import Clock
from hydrusd.engine.compiling import CompiledRule, CompiledStep
from hydrusd.engine.rulebook import RuleBook
from hydrusd.engine.undoing import UndoRule, UndoStep
from hydrusd.errors import AccessDenied, HydrusdError, HydrusUnavailable, LedgerError
from hydrusd.hydrus import HydrusClient
from hydrusd.ledger import Ledger, LedgerWriter
from hydrusd.model import Job, JobId, OutcomeKind

COMMIT_AT_LEAST_EVERY_SECONDS = 5.0
COMMIT_AT_JOBS = 2000
COMMIT_RESTS = 10
"""A commit is followed by so many times as long without one, five seconds at most: files that
trickle in one by one do not keep a client with a slow disk at nothing but committing."""
LOOK_UP_JOBS = 256
MOST_LOSSES = 10

NO_FILE = "0" * 64
"""A hash that no file has."""

log = structlog.get_logger("hydrusd.settling")


class Settling:
    """The settling jobs of one lane.

    Since when a job settles is kept in memory, on the clock that never jumps: after a
    restart of the daemon all waits begin anew, which costs a minute and proves more.
    """

    def __init__(
        self,
        lane: str,
        client: HydrusClient,
        rules: RuleBook,
        ledger: LedgerWriter,
        clock: Clock,
        *,
        commit_wait_seconds: float,
        tell: Callable[[Sequence[JobId]], Awaitable[None]],
    ) -> None:
        self._lane = lane
        self._tell = tell
        self._client = client
        self._rules = rules
        self._ledger = ledger
        self._clock = clock
        self._wait_seconds = commit_wait_seconds
        self._entered: deque[tuple[float, list[JobId]]] = deque()
        self.boot = ""
        self._said_waiting = False
        self._no_commit_before = 0.0

    def follow(self, rules: RuleBook) -> None:
        """Go on with other rules; not while ``settle`` runs."""
        self._rules = rules

    async def begin(self) -> None:
        """Take over what settled when the daemon last stopped."""
        self.entered(await self._ledger(Ledger.settling, self._lane))

    def connected(self) -> None:
        """Learn that permissions and version were read anew."""
        self._said_waiting = False

    def entered(self, ids: Sequence[JobId]) -> None:
        """Note that these jobs settle from now on."""
        if ids:
            self._entered.append((self._clock.monotonic(), list(ids)))

    def due_in_seconds(self) -> float | None:
        """Say when to look again; None where nothing settles."""
        if not self._entered:
            return None
        if self._client.can_force_commit:
            due = self._no_commit_before
        else:
            due = self._entered[0][0] + self._wait_seconds
        return max(due - self._clock.monotonic(), 0.0)

    async def settle(self, *, idle: bool) -> bool:
        """Prove what can be proved now; False where there was nothing to prove.

        ``idle``: there is nothing else to do for the client. ``tell`` hears of what ended.
        Raises HydrusError where the client is away; nothing is taken as durable then.
        """
        ripe = self._ripe(idle=idle)
        if not ripe:
            return False
        if self._client.can_force_commit:
            await self._commit()
        elif self._client.can_look_up_files:
            # Its answer proves that no long task has kept the database from committing.
            await self._client.known_hashes([NO_FILE])
        self.boot = await self._client.boot()
        ids = [job_id for _, group in ripe for job_id in group]
        # What has ended is told of even if the daemon is just being stopped.
        with anyio.CancelScope(shield=True):
            await self._tell(await self._ledger(Ledger.settle, ids, self.boot, self._clock.now()))
        await self._redo_lost(self.boot)
        settled = sum(len(group) for _, group in ripe)  # those of another boot have left them
        for _ in ripe:
            self._entered.popleft()
        self._entered = deque((since, group) for since, group in self._entered if group)
        if settled:
            what = f"{settled} job{'s' if settled != 1 else ''}"
            log.info(f"settled {what}: Hydrus has committed them", jobs=settled, lane=self._lane)
        return True

    async def _commit(self) -> None:
        began = self._clock.monotonic()
        await self._client.force_commit()
        now = self._clock.monotonic()
        rest = min((now - began) * COMMIT_RESTS, COMMIT_AT_LEAST_EVERY_SECONDS)
        self._no_commit_before = now + rest

    def _ripe(self, *, idle: bool) -> list[tuple[float, list[JobId]]]:
        """Give the groups, oldest first, that the next look can prove durable."""
        if not self._entered:
            return []
        now = self._clock.monotonic()
        if not self._client.can_force_commit:
            self._say_waiting()
            return [group for group in self._entered if now - group[0] >= self._wait_seconds]
        if now < self._no_commit_before:
            return []
        waiting = sum(len(group) for _, group in self._entered)
        oldest = now - self._entered[0][0]
        due = idle or waiting >= COMMIT_AT_JOBS or oldest >= COMMIT_AT_LEAST_EVERY_SECONDS
        return list(self._entered) if due else []

    def _say_waiting(self) -> None:
        if not self._said_waiting:
            self._said_waiting = True
            log.info(
                f"this client cannot be told to commit (that needs Client API ≥ 76 and the "
                f"permission 'manage database'): waiting {self._wait_seconds:.0f} s for it to "
                f"do so by itself before sources are disposed of",
                lane=self._lane,
            )

    async def _redo_lost(self, boot: str) -> None:
        """Send jobs of an earlier boot back to what they lost; the others settle anew."""
        seen = JobId(0)
        while jobs := await self._ledger(
            Ledger.unsettled_elsewhere, self._lane, boot, LOOK_UP_JOBS, after=seen
        ):
            seen = jobs[-1].id
            back: dict[JobId, tuple[int, bool] | None] = {}
            for (name, revision), group in _by_rule(jobs).items():
                if not self._rules.knows(name):
                    # The rule is gone from the file: nothing of it can be done again now. Its
                    # jobs keep the boot they were done in, unproved, until the rule is back.
                    continue
                try:
                    rule = await self._rules.at(name, revision, self._ledger)
                except LedgerError:
                    raise
                except HydrusdError:
                    # Can neither be proved nor done again: the lane makes dead letters of them.
                    # From the first step on: at a later one all before it would count as proved.
                    back |= {job.id: (0, True) for job in group}
                else:
                    back |= await self._first_lost(rule, group)
            if not back:
                continue
            await self._give_up_on([job for job in jobs if back.get(job.id)], back)
            await self._ledger(Ledger.resettle, back, boot, self._clock.now())
            for _, waiting in self._entered:
                # Or work done again would count as old as what it replaces.
                waiting[:] = [job_id for job_id in waiting if job_id not in back]
            intact = [job_id for job_id, step in back.items() if step is None]
            self.entered(intact)
            log.warning(
                "Hydrus restarted before it had committed everything: looked up what is there",
                lost=len(back) - len(intact),
                there=len(intact),
            )

    async def _give_up_on(
        self, lost: Sequence[Job], back: dict[JobId, tuple[int, bool] | None]
    ) -> None:
        """Take those out that are lost again and again: they may be what the client dies of."""
        hopeless = [job.id for job in lost if job.losses + 1 >= MOST_LOSSES]
        if not hopeless:
            return
        for job_id in hopeless:
            del back[job_id]
        for _, waiting in self._entered:
            waiting[:] = [job_id for job_id in waiting if job_id not in set(hopeless)]
        detail = (
            f"Hydrus has restarted {MOST_LOSSES} times before it had committed what this job did; "
            f"it may be this very file that it dies of"
        )
        await self._ledger(Ledger.give_up, hopeless, detail, self._clock.now())
        await self._tell(hopeless)

    async def _first_lost(
        self, rule: CompiledRule | UndoRule, jobs: Sequence[Job]
    ) -> dict[JobId, tuple[int, bool] | None]:
        """Find for each job the first step whose work the client no longer has."""
        back: dict[JobId, tuple[int, bool] | None] = {}
        left = {job.id: job for job in jobs}
        done_at = {r.position for job in jobs for r in job.steps if r.outcome is OutcomeKind.DONE}
        for position in sorted(at for at in done_at if at < len(rule.steps)):
            step: CompiledStep | UndoStep = rule.steps[position]
            if not step.action_class.changes_client:
                continue
            done = [job for job in left.values() if _to_prove(rule, job, position)]
            if done:
                for job_id in await self._lost(rule, position, done):
                    back[job_id] = (position, step.action_class.needs_client)
                    del left[job_id]
        return back | dict.fromkeys(left, None)

    async def _lost(
        self, rule: CompiledRule | UndoRule, position: int, jobs: Sequence[Job]
    ) -> frozenset[JobId]:
        """Ask a step's action whose work is lost. All of it is, where that cannot be told."""
        step = rule.steps[position]
        everyone = frozenset(job.id for job in jobs)
        try:
            calls = [rule.call(position, job, self._client, self._clock) for job in jobs]
            lost = await step.action_class.lost(calls)
            return everyone.intersection(call.job_id for call in lost)
        except (HydrusUnavailable, AccessDenied):
            raise
        except (Exception, SystemExit) as error:  # noqa: BLE001 - the plugin boundary
            # Doing it again is harmless, and the step itself will say what is wrong.
            log.warning(
                f"{step.name} cannot look up what the restart lost, and does it again: {error}",
                rule=rule.name,
                jobs=len(jobs),
            )
            return everyone


def _to_prove(rule: CompiledRule | UndoRule, job: Job, position: int) -> bool:
    """Say whether a job has done this step, on this way through it, and not yet proved it.

    A step that disposes of the source ran only when all before it was proved.
    """
    done = [r.position for r in job.steps if r.outcome is OutcomeKind.DONE]
    return (
        position in done
        and position < job.step
        and not any(
            rule.steps[at].action_class.disposes for at in done if position <= at < job.step
        )
        # A client that lost what a decision hung on may have led the job another way since.
        and (not isinstance(rule, CompiledRule) or rule.is_on_the_way(position, job))
    )


def _by_rule(jobs: Sequence[Job]) -> dict[tuple[str, str], list[Job]]:
    grouped: dict[tuple[str, str], list[Job]] = {}
    for job in jobs:
        grouped.setdefault((job.rule, job.revision), []).append(job)
    return grouped
