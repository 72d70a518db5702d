"""A lane on a bench: real client over HTTP, real ledger file, real pictures, and time by hand.

Events go in through the real intake, so nothing but the watching of folders is left out.
"""

from __future__ import annotations

import random
import sqlite3
from contextlib import asynccontextmanager, closing
from datetime import UTC, datetime, timedelta

import anyio

from hydrusd.daemon import read_configuration, reasons_to_park
from hydrusd.engine import Intake, Lane, MadeFiles, OffLimits, RuleBook, Signals
from hydrusd.hydrus import HydrusClient
from hydrusd.ledger import Ledger, LedgerReader, LedgerWriter
from hydrusd.model import Event
from hydrusd.plugin import FileSource
from hydrusd.simulator import DEFAULT_ACCESS_KEY, Permissions
from hydrusd.testing import paint

PATIENCE_SECONDS = 20

RULE = """
  - name: import
    on: {watch_folder: {path: inbox}}
    do:
      - add_file:
      - add_tags: {my tags: [one, two]}
      - move_source: {to: moved}
"""
IMPORT_ONLY = """
  - name: import
    on: {watch_folder: {path: inbox}}
    do: [add_file]
"""

PARTLY = frozenset({1, 2, 3})
"""Import, tags, search: what a careful user ticks."""


def key_for(*numbers):
    """A config whose only key may do these things."""
    allowed = Permissions(name="some", basic=frozenset(numbers))
    return {DEFAULT_ACCESS_KEY: allowed}


class StagedClock:
    """Stands still but for ``move``, and knows whether the lane has nothing to do."""

    def __init__(self):
        self.elapsed = 0.0
        self._sleepers = {}

    def now(self):
        return datetime(2026, 1, 1, tzinfo=UTC) + timedelta(seconds=self.elapsed)

    def monotonic(self):
        return self.elapsed

    async def sleep(self, seconds):
        woken = anyio.Event()
        name = anyio.get_current_task().name or ""
        self._sleepers[woken] = (self.elapsed + seconds, name)
        try:
            await woken.wait()
        finally:
            self._sleepers.pop(woken, None)

    @property
    def lane_rests(self):
        return any(name.startswith("rest of lane") for _, name in self._sleepers.values())

    def soonest(self):
        return min(due for due, _ in self._sleepers.values())

    def move(self, to):
        self.elapsed = max(self.elapsed, to)
        for woken, (due, _) in list(self._sleepers.items()):
            if due <= self.elapsed:
                del self._sleepers[woken]
                woken.set()


class Bench:
    """One folder, one simulated client, one ledger; a daemon's lane at a time."""

    def __init__(self, folder, simulator, url):
        self.folder = folder
        self.simulator = simulator
        self.url = url
        self.clock = StagedClock()
        self.told = []
        self.hashes = {}
        self.lane = None
        self.client = None
        self._book = None
        self._writer = None
        (folder / "inbox").mkdir(exist_ok=True)

    # --- one life of the daemon ----------------------------------------------------------

    @asynccontextmanager
    async def running(self, rules=RULE, *, commit_wait_seconds=60.0, timeout_seconds=20.0):
        """Run a lane under these rules; inside it works, afterwards it has stopped."""
        path = self.folder / "rules.yaml"
        text = f"client: {{url: {self.url}, access_key: {DEFAULT_ACCESS_KEY}}}\nrules:{rules}"
        path.write_text(text, encoding="utf-8")
        configuration = read_configuration(path)
        book = RuleBook(configuration.rules, configuration.vocabulary, configuration.expressions)
        ledger = Ledger.open(self.ledger_path)
        writer = LedgerWriter(ledger)
        client = HydrusClient(
            self.url, DEFAULT_ACCESS_KEY, clock=self.clock, timeout_seconds=timeout_seconds
        )
        lane = Lane(
            "hydrus",
            client,
            book,
            writer,
            self.clock,
            commit_wait_seconds=commit_wait_seconds,
            observe=self.told.append,
            on_connected=lambda info: reasons_to_park(book, "hydrus", client, info),
            chance=random.Random(7),
        )
        self.lane, self.client, self._book, self._writer = lane, client, book, writer
        try:
            await writer(
                Ledger.remember_rules,
                [(r.name, r.revision, r.spec.definition) for r in book],
                self.clock.now(),
            )
            async with client, anyio.create_task_group() as tasks:
                tasks.start_soon(lane.run, name="lane")
                yield self
                tasks.cancel_scope.cancel()
        finally:
            ledger.close()

    async def rest(self):
        """Wait until the lane has done all that it can do now."""
        with anyio.fail_after(PATIENCE_SECONDS):
            while not self.clock.lane_rests or self.lane._woken.is_set():  # noqa: ASYNC110 - no event
                await anyio.sleep(0.002)

    async def passes(self, seconds):
        """Let time pass, stopping wherever somebody is due."""
        end = self.clock.elapsed + seconds
        await self.rest()
        while (due := self.clock.soonest()) <= end:
            self.clock.move(due)
            await self.rest()
        self.clock.move(end)

    async def skip(self, hours=1, times=1):
        """Let hours pass at a stroke, so often: whatever is due then is done then."""
        for _ in range(times):
            await self.rest()
            self.clock.move(self.clock.elapsed + 3600 * hours)
        await self.rest()

    async def wait(self, condition):
        """Wait, in real time, for something that happens while the lane is at work."""
        with anyio.fail_after(PATIENCE_SECONDS):
            while not condition():  # noqa: ASYNC110 - any condition, known to no event
                await anyio.sleep(0.002)

    # --- what goes in --------------------------------------------------------------------

    def picture(self, name, content=None):
        path = self.folder / "inbox" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(paint(name) if content is None else content)
        return path

    async def notice(self, *names, content=None):
        """Make pictures in the folder and have the rules' triggers notice them."""
        for name in names:
            self.picture(name, content)
        await self.notice_there(*names)

    async def notice_there(self, *names):
        """Have the triggers notice files that are there."""
        root = self.folder / "inbox"
        events = []
        for name in names:
            source = FileSource.of(root / name, root, (root / name).stat())
            events.append(Event(source.key, {"file": source.to_data()}))
        for source in self._book.sources():
            intake = Intake(
                source,
                self._writer,
                self.clock,
                self.lane.wake,
                self.client,
                Signals(self._writer),
                OffLimits(self.folder / "state"),
                MadeFiles(),
            )
            await intake.emit(events)

    async def retry(self):
        return await self._writer(Ledger.retry, self.clock.now())

    # --- what came of it -----------------------------------------------------------------

    @property
    def ledger_path(self):
        return self.folder / "state" / "ledger.sqlite"

    def _read(self, what):
        reader = LedgerReader.open(self.ledger_path)
        try:
            return what(reader)
        finally:
            reader.close()

    @property
    def jobs(self):
        return self._read(lambda reader: reader.jobs(10_000))

    def job(self, name, rule=None):
        return next(
            job
            for job in reversed(self.jobs)
            if job.data["file"]["name"] == name and rule in (None, job.rule)
        )

    def state(self, name, rule=None):
        return self.job(name, rule).state.value

    def steps(self, name, rule=None):
        """``{action: (outcome, detail)}``."""
        return {s.action: (s.outcome.value, s.detail) for s in self.job(name, rule).steps}

    def receipt(self, name, action):
        return next(s.receipt for s in self.job(name).steps if s.action == action)

    def values(self, name, action):
        return next(s.values for s in self.job(name).steps if s.action == action)

    @property
    def dead(self):
        return {d.data["file"]["name"]: d for d in self._read(lambda r: r.dead(10_000))}

    def condition(self, kind, name):
        return next(
            (
                (c.state, c.reason)
                for c in self._read(lambda r: r.conditions())
                if (c.kind, c.name) == (kind, name)
            ),
            None,
        )

    def attempts(self, name):
        """Tries of the present step that were counted."""
        return self._column("attempt", name)

    def waits(self, name):
        """Seconds until the next try."""
        due = datetime.fromisoformat(self._column("run_at", name))
        return (due - self.clock.now()).total_seconds()

    def _column(self, column, name):
        # The reader shows these for dead letters only.
        with closing(sqlite3.connect(self.ledger_path)) as connection:
            [row] = connection.execute(
                f"SELECT {column} FROM job WHERE id = ?", [self.job(name).job_id]
            ).fetchall()
        return row[0]

    def is_there(self, name):
        return (self.folder / "inbox" / name).exists()

    def is_moved(self, name):
        return (self.folder / "moved" / name).exists()

    def hash_of(self, name):
        return self.job(name).file_hash

    def tags(self, name, service="my tags"):
        return self.simulator.tags(self.hash_of(name), service)
