"""Long runs in the client's window: shown when long, true while they last, never left behind."""

from __future__ import annotations

import sqlite3
from contextlib import asynccontextmanager, closing
from datetime import timedelta

import anyio
import pytest
import sqlalchemy
import structlog

from hydrusd.clock import ManualClock
from hydrusd.engine import progress
from hydrusd.engine.progress import Progress
from hydrusd.errors import LedgerError
from hydrusd.hydrus import HydrusClient
from hydrusd.ledger import (
    ClaimFilter,
    JobUpdate,
    Ledger,
    LedgerReader,
    LedgerWriter,
    NewJob,
    PendingEvent,
)
from hydrusd.model import Event, JobState
from hydrusd.simulator import (
    DEFAULT_ACCESS_KEY,
    Fault,
    FaultKind,
    Permissions,
    Simulator,
    SimulatorConfig,
)

pytestmark = pytest.mark.anyio

ADD, UPDATE, END, DISMISS = (
    f"/manage_popups/{name}_popup" for name in ("add", "update", "finish_and_dismiss", "dismiss")
)
RULES = ("import", "other")


class Work:
    """A ledger with jobs that come and end as a test says, and a client to tell of them."""

    def __init__(self, path, client, simulator):
        self.path = path
        self.ledger = Ledger.open(path)
        self.reader = LedgerReader.open(path)
        self.client = client
        self.simulator = simulator
        self.clock = ManualClock()
        self._count = 0

    def close(self):
        self.reader.close()
        self.ledger.close()

    def add(self, count, rule="import"):
        """Let so many jobs come."""
        pending = [
            PendingEvent(
                Event(f"{self._count + n}", {}), [NewJob(rule, "1", "hydrus", needs_client=True)]
            )
            for n in range(count)
        ]
        self._count += count
        self.ledger.take_in("test", pending, self.clock.now())

    def end(self, count, rule="import", state=JobState.DONE, *, later=0.0, ending=None):
        """Let so many jobs of a rule, the oldest, be as ``state`` says; the files of them."""
        now = self.clock.now()
        others = frozenset(RULES) - {rule}
        jobs = self.ledger.claim(ClaimFilter("hydrus", blocked_rules=others), "me", count, now)
        assert len(jobs) == count
        updates = [
            JobUpdate(
                job_id=job.id,
                event_id=job.event_id,
                claimed_attempt=job.attempt,
                state=state,
                step=job.step,
                needs_client=True,
                attempt=job.attempt,
                run_at=now + timedelta(seconds=later),
                file_hash=f"{job.id:064x}",
                boot="b" if state is JobState.SETTLING else None,
                ending=ending,
            )
            for job in jobs
        ]
        self.ledger.checkpoint("me", updates, [], now)
        return [update.file_hash for update in updates]

    @property
    def popups(self):
        """The popups that are there, as callers see them."""
        return self.simulator._client.popups.bodies(only_in_view=False)

    @property
    def texts(self):
        return [popup["status_text_1"] for popup in self.popups]

    def put_away(self):
        """Do as a user does with every popup."""
        popups = self.simulator._client.popups
        for popup in list(popups._popups.values()):
            popups.dismiss(popup)

    @asynccontextmanager
    async def told(self, after_seconds=10.0):
        """Have it told meanwhile."""
        telling = Progress(
            "hydrus",
            self.client,
            self.reader,
            LedgerWriter(self.ledger),
            self.clock,
            after_seconds,
        )
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(telling.run, name="progress")
            await self.looks()
            yield telling
            tasks.cancel_scope.cancel()

    async def looks(self, times=1):
        """Let it look that often, from beginning to end."""
        with anyio.fail_after(20):
            for _ in range(times):
                await self._until_asleep()
                due = min(self.clock._sleepers.values())
                await self.clock.advance(due - self.clock.monotonic())
            await self._until_asleep()

    async def _until_asleep(self):
        while not self.clock._sleepers:  # noqa: ASYNC110 - it tells nobody that it sleeps
            await anyio.sleep(0.002)

    async def passes(self, seconds):
        """Let time pass, with all the looks that belong into it."""
        end = self.clock.monotonic() + seconds
        while self.clock.monotonic() < end:
            await self.looks()


@asynccontextmanager
async def working(stage, path, **config):
    server, url = stage
    with Simulator(SimulatorConfig(**config)) as simulator:
        server.simulator = simulator
        async with HydrusClient(url, DEFAULT_ACCESS_KEY) as client:
            await client.connect()
            work = Work(path / "ledger.sqlite", client, simulator)
            try:
                yield work
            finally:
                work.close()


@pytest.fixture
def work(stage, tmp_path):
    return lambda **config: working(stage, tmp_path, **config)


# --- a run -------------------------------------------------------------------------------


async def test_a_long_run_is_shown_from_its_time_on_and_ends_with_its_files(work):
    async with work() as at, at.told():
        at.add(2000)
        files = at.end(100)
        await at.passes(8)
        assert at.popups == []
        await at.passes(12)
        [popup] = at.popups
        assert popup["status_title"] == "import"
        assert popup["status_text_1"] == "100 of 2,000 done"
        assert popup["popup_gauge_1"] == [100, 2000]
        assert popup["is_done"]  # its user can put it away at any time
        files += at.end(412)
        at.end(3, state=JobState.DEAD)
        at.end(2, state=JobState.SKIPPED)
        at.add(500)
        await at.looks()
        [popup] = at.popups
        assert popup["status_text_1"] == "517 of 2,500 done, 2 skipped, 3 gave up"
        files += at.end(1983)
        await at.looks()
        [popup] = at.popups
        assert popup["status_text_1"] == "2,495 done, 2 skipped, 3 gave up"
        assert "popup_gauge_1" not in popup
        assert popup["files"] == {"hashes": files, "label": "done"}
        [shown] = at.simulator._client.popups._popups.values()
        assert shown.dismiss_at is not None
        assert at.simulator.requests[ADD] == 1


async def test_a_run_that_is_soon_over_is_not_shown(work):
    async with work() as at, at.told():
        for _ in range(10):
            at.add(5)
            await at.looks()
            at.end(5)
            await at.passes(6)
        assert at.simulator.requests[ADD] == 0


async def test_each_rule_has_a_popup_of_its_own_and_the_next_run_another(work):
    async with work() as at, at.told():
        at.add(3)
        at.add(7, "other")
        await at.passes(20)
        assert at.texts == ["0 of 3 done", "0 of 7 done"]
        files = at.end(3)
        await at.looks()
        assert at.texts == ["3 done", "0 of 7 done"]
        at.add(5)
        await at.passes(20)
        assert at.texts == ["3 done", "0 of 7 done", "0 of 5 done"]
        at.end(5)
        await at.looks()
        assert at.popups[0]["files"]["hashes"] == files
        assert len(at.popups[2]["files"]["hashes"]) == 5


async def test_nothing_new_is_not_told_again(work):
    async with work() as at, at.told():
        at.add(10)
        await at.passes(60)
        assert (at.simulator.requests[ADD], at.simulator.requests[UPDATE]) == (1, 0)
        at.end(1)
        await at.passes(60)
        assert at.simulator.requests[UPDATE] == 1


async def test_what_waits_for_the_commit_counts_as_done(work):
    async with work() as at, at.told():
        at.add(10)
        at.end(4, state=JobState.SETTLING, ending=JobState.DONE)
        await at.passes(20)
        assert at.texts == ["4 of 10 done"]


async def test_what_waits_for_a_later_time_is_no_part_of_it(work):
    async with work() as at, at.told():
        at.add(5)
        at.end(5, state=JobState.READY, later=3600)
        await at.passes(60)
        assert at.popups == []
        at.add(3)
        at.end(1)
        await at.passes(20)
        assert at.texts == ["1 of 3 done"]


async def test_a_run_without_files_offers_none(work, monkeypatch):
    monkeypatch.setattr(progress, "MOST_FILES", 0)
    async with work() as at, at.told():
        at.add(2)
        await at.passes(20)
        at.end(2)
        await at.looks()
        assert at.texts == ["2 done"]
        assert "files" not in at.popups[0]


async def test_of_too_many_files_the_newest_are_offered(work, monkeypatch):
    monkeypatch.setattr(progress, "MOST_FILES", 3)
    async with work() as at, at.told():
        at.add(5)
        await at.passes(20)
        files = at.end(5)
        await at.looks()
        assert at.popups[0]["files"]["hashes"] == files[-3:]


async def test_a_run_that_stands_still_is_no_longer_shown_until_it_goes_on(work, monkeypatch):
    monkeypatch.setattr(progress, "STALLED_SECONDS", 60.0)
    async with work() as at, at.told():
        at.add(10)
        at.end(2)
        await at.passes(20)
        assert at.texts == ["2 of 10 done"]
        await at.passes(70)
        assert at.popups == []
        at.end(1)
        await at.passes(4)
        assert at.popups == []
        await at.passes(10)
        assert at.texts == ["3 of 10 done"]


# --- popups that go ------------------------------------------------------------------------


async def test_a_user_who_puts_it_away_is_left_alone_until_the_next_run(work):
    async with work() as at, at.told():
        at.add(10)
        await at.passes(24)
        at.put_away()
        at.end(1)
        await at.passes(30)
        at.end(9)
        await at.passes(30)
        assert at.popups == []
        at.add(2)
        await at.passes(20)
        assert at.texts == ["0 of 2 done"]


async def test_a_client_that_was_restarted_is_shown_it_again(work):
    async with work() as at, at.told():
        at.add(10)
        await at.passes(24)
        at.simulator.crash()
        at.end(1)
        await at.passes(6)
        assert at.texts == ["1 of 10 done"]


@pytest.mark.parametrize(("ended", "text"), [(1, "1 of 10 done"), (10, "10 done")])
async def test_a_popup_that_takes_time_to_appear_is_waited_for(work, ended, text):
    async with work() as at, at.told():
        at.add(10)
        while not at.popups:
            await at.looks()
        words = "This job key doesn't exist!"
        at.simulator.inject(
            Fault(kind=FaultKind.STATUS, path=UPDATE, status=400, words=words, times=2)
        )
        at.end(ended)
        await at.looks(4)
        assert at.simulator.faults_waiting == 0
        assert at.texts == [text]
        assert at.simulator.requests[ADD] == 1


async def test_a_run_goes_on_where_a_killed_daemon_left_it_and_counts_what_is_left(work):
    async with work() as at:
        at.add(10)
        at.end(4)
        await at.clock.advance(60)
        async with at.told():
            at.end(1)
            await at.passes(20)
            assert at.texts == ["1 of 6 done"]


async def test_what_comes_back_from_waiting_brings_nothing_else_along(work):
    async with work() as at, at.told():
        at.add(3)
        at.end(3, state=JobState.READY, later=300)
        at.add(50)
        at.end(50)
        await at.passes(300)
        at.end(1)
        await at.passes(20)
        assert at.texts == ["1 of 3 done"]


async def test_the_end_is_told_to_a_client_that_was_away_at_the_time(work):
    async with work() as at, at.told():
        at.add(10)
        await at.passes(20)
        at.simulator.inject(Fault(kind=FaultKind.STATUS, times=10**6))
        at.end(10)
        await at.passes(60)
        at.simulator.clear_faults()
        await at.looks(2)
        assert at.texts == ["10 done"]


async def test_stopping_takes_the_popups_away(work):
    async with work() as at:
        async with at.told():
            at.add(10)
            await at.passes(20)
            assert len(at.popups) == 1
        assert at.popups == []


async def test_what_a_killed_daemon_left_is_taken_away_at_the_next_start_and_nothing_else(work):
    async with work() as at:
        async with at.told():
            at.add(10)
            await at.passes(20)
            # Killed: it has no time to say goodbye.
            at.simulator.inject(Fault(kind=FaultKind.STATUS, path=DISMISS, times=10))
        at.simulator.clear_faults()
        assert at.texts == ["0 of 10 done"]
        for data in ({"hydrusd": {"progress": "another one's"}}, {"hydrusd": 1}, {"progress": 1}):
            await at.client.add_popup(status_text_1="not ours", api_data=data)
        async with at.told():
            assert at.texts == ["not ours"] * 3
            await at.passes(20)
            assert at.texts == ["not ours"] * 3 + ["0 of 10 done"]


async def test_it_is_marked_before_it_is_shown(work):
    async with work() as at, at.told():
        with closing(sqlite3.connect(at.path)) as ledger:
            rows = ledger.execute("SELECT trigger, value FROM trigger_memory").fetchall()
        assert len(rows) == 1
        assert at.simulator.requests[ADD] == 0
        at.add(1)
        await at.passes(20)
        assert rows[0][1].strip('"') == at.popups[0]["api_data"]["hydrusd"]["progress"]


# --- what may go wrong -------------------------------------------------------------------


@pytest.mark.parametrize(
    ("config", "reason"),
    [
        ({"api_version": 32}, "needs Client API ≥ 57"),
        (
            {"access_keys": {DEFAULT_ACCESS_KEY: Permissions(basic=frozenset({1, 2, 3}))}},
            "manage popups",
        ),
    ],
)
async def test_a_client_that_does_not_allow_it_costs_one_line_of_the_log(work, config, reason):
    async with work(**config) as at:
        with structlog.testing.capture_logs() as logs:
            async with at.told():
                at.add(10)
                await at.passes(60)
                at.end(10)
                await at.passes(60)
        [line] = [entry for entry in logs if entry["log_level"] != "debug"]
        assert reason in line["event"]
        assert line["log_level"] == "info"


async def test_a_permission_that_is_ticked_later_is_used(work):
    few = Permissions(basic=frozenset({3}))
    async with work(access_keys={DEFAULT_ACCESS_KEY: few}) as at, at.told():
        at.add(10)
        await at.passes(20)
        at.simulator._client.access._keys[DEFAULT_ACCESS_KEY] = Permissions(permits_everything=True)
        await at.client.connect()
        await at.passes(4)
        assert at.texts == ["0 of 10 done"]


@pytest.mark.parametrize("kind", list(FaultKind))
async def test_no_mishap_of_the_client_ends_it(work, kind):
    async with work() as at:
        with structlog.testing.capture_logs() as logs:
            async with at.told():
                at.add(10)
                at.simulator.inject(Fault(kind=kind, times=8, status=500))
                for _ in range(9):
                    at.end(1)
                    await at.passes(4)
                at.simulator.clear_faults()
                at.end(1)
                await at.passes(20)
                assert at.texts == ["10 done"]
        assert {entry["log_level"] for entry in logs} <= {"debug"}


async def test_a_ledger_that_cannot_be_read_does_not_end_it(work, monkeypatch):
    async with work() as at, at.told():
        with monkeypatch.context() as broken:

            def fail(_reader, _lane, _until):
                raise LedgerError("the disk is gone")

            broken.setattr(LedgerReader, "open_jobs", fail)
            await at.passes(20)
        at.add(1)
        await at.passes(20)
        assert at.texts == ["0 of 1 done"]


async def test_counting_goes_through_open_jobs_and_those_of_the_run_only(work):
    async with work() as at:
        at.add(300)
        at.end(256)
        asked = []
        sqlalchemy.event.listen(
            at.reader._engine, "before_cursor_execute", lambda *given: asked.append(given[2:4])
        )
        [jobs] = at.reader.open_jobs("hydrus", at.clock.now())
        assert (jobs.rule, jobs.jobs, jobs.settling) == ("import", 44, 0)
        assert at.reader.ended("import", jobs.oldest, at.clock.now()) == {}
        assert at.reader.files_of("import", jobs.oldest, at.clock.now(), 5) == []
        with closing(sqlite3.connect(at.path)) as ledger:
            plans = [
                ledger.execute(f"EXPLAIN QUERY PLAN {statement}", given).fetchall()[0][3]
                for statement, given in asked
                if statement.startswith("SELECT")
            ]
        assert plans == [
            "SEARCH job USING INDEX ix_job_open (lane=?)",
            "SEARCH job USING INTEGER PRIMARY KEY (rowid>?)",
            "SEARCH job USING INDEX ix_job_hashed (id>?)",
        ]
