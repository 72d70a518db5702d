"""Long runs, told in the client's window: one popup a rule, with a gauge.

It looks at the ledger and at nothing else, on a connection that only reads; the lane does not
know of it. It may fail in any way without harm: whatever the client says is at most a line
in the debug log.

The popups are of the kind that a user can put away at any time; whoever does so is not
bothered again until the next run. One that a killed daemon left behind would show for ever
what was true when it died. So each carries a mark, the same for as long as there is this
ledger and stored before the first popup is shown, and what carries it at a start is taken away.
"""

from __future__ import annotations

import uuid
from collections.abc import Awaitable, Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from datetime import datetime, timedelta

import anyio
import structlog
from anyio import to_thread

from hydrusd.clock import Clock
from hydrusd.errors import (
    HydrusError,
    LedgerError,
    PermissionMissing,
    RequestRejected,
    VersionTooOld,
)
from hydrusd.hydrus import HydrusClient, Popup
from hydrusd.ledger import Ledger, LedgerReader, LedgerWriter, Memory, OpenJobs
from hydrusd.model import JobId, JobState

UPDATE_SECONDS = 2.0
LONGEST_PAUSE_SECONDS = 10.0
"""How often to look while nothing is long enough to be told."""
LOOKING_SHARE = 20
"""Looking takes at most one part in so many of the time."""
SOON = timedelta(seconds=60)
"""What is due later than that waits for something, and is no part of a run."""
STALLED_SECONDS = 600.0
"""A run in which nothing ends for so long is not going on."""
APPEARS_SECONDS = 10.0
"""A new popup may not be known by its key until the client's window has got round to it."""
DISMISS_SECONDS = 600
GOODBYE_SECONDS = 2.0
MOST_FILES = 10_000

_MARK = "hydrusd"
_MEMORY = ("engine:progress", "popups")
_KINDS = {JobState.SKIPPED: "skipped", JobState.DEAD: "gave up"}

log = structlog.get_logger("hydrusd.progress")


@dataclass(slots=True)
class _Shown:
    """A popup that is there, and since when."""

    key: str
    boot: str
    since: float
    text: str


@dataclass(eq=False, slots=True)
class _Run:
    """The jobs of a rule, from ``first`` on, since it last had none to do.

    ``began`` and ``moved`` (when a job last ended) are monotonic seconds. ``put_away``: the
    user does not want to see it.
    """

    first: JobId
    since: datetime
    began: float
    moved: float
    open_jobs: int = 0
    settling: int = 0
    ended: Mapping[JobState, int] = field(default_factory=dict)
    shown: _Shown | None = None
    put_away: bool = False

    @property
    def done(self) -> int:
        """How many jobs have all but ended."""
        return self.settling + sum(self.ended.values())

    @property
    def total(self) -> int:
        """How many jobs there are so far."""
        return self.open_jobs + sum(self.ended.values())

    def take(self, jobs: OpenJobs, ended: Mapping[JobState, int], now: float) -> None:
        """Take in what was counted."""
        before = self.done
        self.open_jobs, self.settling, self.ended = jobs.jobs, jobs.settling, ended
        if self.done != before:
            if now - self.moved > STALLED_SECONDS:
                self.began = now
            self.moved = now

    @property
    def odd(self) -> str:
        """What went another way, in words."""
        return "".join(
            f", {self.ended[state]:,} {words}"
            for state, words in _KINDS.items()
            if self.ended.get(state)
        )


class Progress:
    """Shows how far the long runs are."""

    def __init__(
        self,
        lane: str,
        client: HydrusClient,
        reader: LedgerReader,
        ledger: LedgerWriter,
        clock: Clock,
        after_seconds: float,
    ) -> None:
        """Show runs that have been going on for longer than ``after_seconds``."""
        self._lane = lane
        self._client = client
        self._reader = reader
        self._ledger = ledger
        self._clock = clock
        self._after_seconds = after_seconds
        self._runs: dict[str, _Run] = {}
        self._ending: list[tuple[str, _Run]] = []
        self._mark = ""
        # Whether there may be popups of ours that we do not know: left by a daemon that died,
        # or by an answer that was lost.
        self._unsure = True
        self._off = False
        self._looked: tuple[JobId, datetime] | None = None  # the newest job then, and when

    async def run(self) -> None:
        """Look until cancelled; the popups are taken away then."""
        try:
            while True:
                began = self._clock.monotonic()
                await self._look()
                ended = self._clock.monotonic()
                await self._clock.sleep(max(self._pause(), LOOKING_SHARE * (ended - began)))
        finally:
            with anyio.move_on_after(GOODBYE_SECONDS, shield=True):
                for run in [*self._runs.values(), *(run for _, run in self._ending)]:
                    await self._quietly(self._take_away(run))

    def _pause(self) -> float:
        if self._runs or self._ending:
            return UPDATE_SECONDS
        return min(max(self._after_seconds / 2, UPDATE_SECONDS), LONGEST_PAUSE_SECONDS)

    # --- looking -------------------------------------------------------------------------

    async def _look(self) -> None:
        if self._unsure:
            await self._quietly(self._clear_left())
        await self._quietly(self._count())
        now = self._clock.monotonic()
        for rule, run in self._runs.items():
            stalled = now - run.moved > STALLED_SECONDS
            if stalled or run.put_away:
                await self._quietly(self._take_away(run))
            elif now - run.began >= self._after_seconds:
                await self._quietly(self._show(rule, run))
        for ending in list(self._ending):
            await self._quietly(self._finish(*ending))

    async def _count(self) -> None:
        """Find the runs that go on, and those that are over."""
        at, newest = self._clock.now(), await to_thread.run_sync(self._reader.newest_job)
        open_jobs = await to_thread.run_sync(self._reader.open_jobs, self._lane, at + SOON)
        found = {each.rule: each for each in open_jobs}
        for rule in self._runs.keys() - found.keys():
            run = self._runs[rule]
            run.ended = await self._ended(rule, run)
            del self._runs[rule]
            if run.shown is not None:
                self._ending.append((rule, run))
        for rule, jobs in found.items():
            now = self._clock.monotonic()
            if rule not in self._runs:
                # Some of its jobs may have come and ended since the last look.
                last, since = self._looked or (jobs.oldest, at)
                first = min(jobs.oldest, JobId(last + 1))
                self._runs[rule] = _Run(first, since, began=now, moved=now)
            run = self._runs[rule]
            run.take(jobs, await self._ended(rule, run), now)
        self._looked = (newest, at)

    async def _ended(self, rule: str, run: _Run) -> Mapping[JobState, int]:
        return await to_thread.run_sync(self._reader.ended, rule, run.first, run.since)

    async def _quietly(self, work: Awaitable[None]) -> None:
        """Try it. Nobody is to suffer because nobody can be told."""
        try:
            await work
        except (PermissionMissing, VersionTooOld) as error:
            if not self._off:
                self._off = True
                log.info(f"long runs are not shown in Hydrus: {error}")
        except (HydrusError, LedgerError) as error:
            log.debug("a popup could not be seen to", error=str(error))

    # --- popups --------------------------------------------------------------------------

    async def _clear_left(self) -> None:
        """Take away all popups that carry our mark and belong to no run."""
        self._mark = self._mark or await self._own_mark()
        runs = [*self._runs.values(), *(run for _, run in self._ending)]
        known = {run.shown.key for run in runs if run.shown is not None}
        for popup in await self._client.get_popups():
            if _marked(popup) == self._mark and popup.key not in known:
                await self._client.dismiss_popup(popup.key)
        self._unsure = False

    async def _own_mark(self) -> str:
        """Give the mark that goes with this ledger; kept there before it is used."""
        trigger, identity = _MEMORY
        kept = (await self._ledger(Ledger.recall, trigger, identity)).get(_MARK)
        if isinstance(kept, str):
            return kept
        mark = uuid.uuid4().hex
        await self._ledger(Ledger.remember, trigger, Memory(identity, {_MARK: mark}))
        return mark

    async def _show(self, rule: str, run: _Run) -> None:
        """Show how far a run is, in the popup it has or a new one."""
        if self._unsure:
            return
        text, gauge = f"{run.done:,} of {run.total:,} done{run.odd}", (run.done, run.total)
        shown = run.shown
        if shown is None:
            self._unsure = True  # until the client has answered
            popup = await self._client.add_popup(
                status_title=rule,
                status_text_1=text,
                popup_gauge_1=gauge,
                api_data={_MARK: {"progress": self._mark}},
            )
            self._unsure = False
            run.shown = _Shown(popup.key, self._client.info.boot, self._clock.monotonic(), text)
            return
        if shown.text == text:
            return
        try:
            await self._client.update_popup(shown.key, status_text_1=text, popup_gauge_1=gauge)
        except RequestRejected:
            await self._miss(run, shown)
        else:
            shown.text = text

    async def _miss(self, run: _Run, shown: _Shown) -> None:
        """Find out what it means that a popup is not there."""
        if self._clock.monotonic() - shown.since < APPEARS_SECONDS:
            return  # it may still be to come
        run.put_away = await self._client.boot() == shown.boot
        run.shown = None

    async def _take_away(self, run: _Run) -> None:
        if run.shown is not None:
            with suppress(RequestRejected):
                await self._client.dismiss_popup(run.shown.key)
            run.shown = None

    async def _finish(self, rule: str, run: _Run) -> None:
        """Say what became of a run, and offer its files; tried again until the client heard it."""
        shown = run.shown
        if shown is not None:
            try:
                await self._tell_end(rule, run, shown.key)
            except RequestRejected:
                if self._clock.monotonic() - shown.since < APPEARS_SECONDS:
                    return
        self._ending.remove((rule, run))

    async def _tell_end(self, rule: str, run: _Run, key: str) -> None:
        files = await to_thread.run_sync(
            self._reader.files_of, rule, run.first, run.since, MOST_FILES
        )
        await self._client.update_popup(
            key,
            status_text_1=f"{run.ended.get(JobState.DONE, 0):,} done{run.odd}",
            popup_gauge_1=None,
            hashes=files,
            files_label="done" if files else "",
        )
        await self._client.finish_and_dismiss_popup(key, seconds=DISMISS_SECONDS)


def _marked(popup: Popup) -> object:
    """Give the mark of a progress popup; None for any other."""
    mark = (popup.api_data or {}).get(_MARK)
    return mark.get("progress") if isinstance(mark, Mapping) else None
