"""Queue, settling and client together: whoever dies, whenever, the promises hold.

The real lane, the real ledger in a file, the real client library and actions and the simulated
client, with only time, the network and death in the hands of the test. Hypothesis says what
happens: files come, requests meet a mishap, the daemon is killed in mid-request, in
mid-statement or in mid-move, the client forgets, answers what it no longer knows, takes a
request twice, commits when it likes. What must hold is asked of the outside world:

- a source is taken away only when all that was done with it is committed, at that very moment;
- no file is ever neither in its old place nor in its new one;
- one life of the client imports a file once, and never one that it has kept; nothing ends twice;
- when all goes well again, every file is in the client, with all its tags, and in its new place.

A killed daemon is one whose ledger is taken as it is on the disk at that moment, and whose old
self gets nothing more through to anybody.
"""

from __future__ import annotations

import contextvars
import hashlib
import math
import shutil
import sqlite3
import threading
from collections import Counter
from contextlib import closing, suppress
from dataclasses import dataclass

import anyio
import httpx
import pytest
from anyio.from_thread import start_blocking_portal
from bench import PARTLY, StagedClock, key_for
from hypothesis import HealthCheck, settings, strategies as st
from hypothesis.stateful import (
    RuleBasedStateMachine,
    initialize,
    invariant,
    precondition,
    rule,
    run_state_machine_as_test,
)

from hydrusd.builtin.actions import _placing
from hydrusd.daemon import read_configuration, reasons_to_park
from hydrusd.engine import Intake, Lane, MadeFiles, OffLimits, RuleBook, Signals, settling
from hydrusd.hydrus import HydrusClient
from hydrusd.ledger import Ledger, LedgerReader, LedgerWriter
from hydrusd.model import Event, JobState
from hydrusd.plugin import FileSource
from hydrusd.simulator import DEFAULT_ACCESS_KEY, Simulator, SimulatorConfig, _store
from hydrusd.testing import paint

URL = "http://127.0.0.1:45869"
COMMIT_SECONDS = 59
"""A client commits by itself so long after it was started, and again and again: just within …"""
COMMIT_WAIT_SECONDS = 60
PROMISE_SECONDS = 1.0
"""From its answer to ``force_commit`` to the commit; of real time, and in effect: not before the
next work for its database."""
PATIENCE_SECONDS = 20
FEWEST_LOSSES = 2
"""So that giving up, and being put back by a person, happen within one story."""

RULES = f"""
client: {{url: '{URL}', access_key: {DEFAULT_ACCESS_KEY}}}
rules:
  - name: import
    on: {{watch_folder: {{path: inbox}}}}
    do:
      - add_file:
      - add_tags: {{my tags: [one, "name:{{{{ file.stem }}}}"]}}
      - associate_url: {{add: 'https://pictures.example/{{{{ steps.add_file.hash }}}}'}}
      - move_source: {{to: moved}}
      - add_tags: {{my tags: late}}
"""

CLIENTS = {
    "commits when told": {},
    "may not be told": {"access_keys": key_for(*PARTLY, 0)},
    "API 32": {"api_version": 32},
    "API 11": {"api_version": 11},
}

MISHAPS = st.sampled_from(
    [
        "cut before the work",
        "cut after the work",
        "the client dies before the work",
        "the client has died and is there again before the work",
        "the client dies after the work",
        "the client dies after the work, and its answer comes yet",
        "the client takes it twice",
        "the client commits before the work",
        "the client commits before the work",
        "the daemon is killed before the work",
        "the daemon is killed after the work",
    ]
)
REQUESTS = st.sampled_from(
    [
        "",  # any
        "/manage_database/force_commit",
        "/client_info",  # where the boot is read
        "/add_files/add_file",
        "/add_tags/add_tags",
        "/get_files/",
    ]
)
BREAKS = st.sampled_from(["before", "after"])
EVENTS = st.lists(
    st.sampled_from(
        [
            "the client dies",
            "the client dies in the wait",
            "the client dies in the wait",
            "the client is closed and opened",
            "the client commits",
            "the client goes",
            "the client is back",
            "the daemon is killed",
            "a person retries",
            "some time passes",
            "a wait passes",
            "a wait passes",
        ]
    ),
    max_size=5,
)
WRONG = {
    "mishap": st.none() | st.tuples(MISHAPS, st.integers(1, 4), REQUESTS),
    "stroke": st.none() | st.none() | st.tuples(BREAKS, st.integers(1, 25)),
    "blow": st.none() | st.none() | st.tuples(BREAKS, st.integers(1, 3)),
    "then": EVENTS,
}
"""What a stretch of a story has: a request that meets a mishap, a statement and a move in which the
daemon is killed, and what happens afterwards."""

LIFE: contextvars.ContextVar[int] = contextvars.ContextVar("life")


class Killed(Exception):
    """What the old self of a killed daemon meets wherever it turns."""


@dataclass
class Countdown:
    """Something that happens after so many more of its kind."""

    what: str
    left: int
    where: str = ""

    def comes(self, where="") -> bool:
        if where.startswith(self.where):
            self.left -= 1
        return self.left == 0


class World:
    """Disk, client and daemon of one story."""

    def __init__(self, folder, configuration, template, config):
        self.folder = folder
        self.inbox = folder / "inbox"
        self.moved = folder / "moved"
        for place in (self.inbox, self.moved, folder / "state"):
            shutil.rmtree(place, ignore_errors=True)
        self.inbox.mkdir()
        self.simulator = Simulator(SimulatorConfig(commit_seconds=math.inf, **config))
        self.clock = StagedClock()
        self.ledger = folder / "state" / "0.sqlite"
        self.ledger.parent.mkdir()
        shutil.copy(template, self.ledger)
        self.configuration = configuration
        self.life = 0
        self.away = False
        self.mishap = None
        self.stroke = None
        self.blow = None
        self.dropped: dict[str, str] = {}
        self.kept: set[str] = set()
        self.imports_before: Counter[str] = Counter()
        self.faults: list[str] = []
        self.ended: Counter[int] = Counter()
        self.deaths = 0
        self.commits_at = COMMIT_SECONDS
        self._lock = threading.Lock()
        self._stop = None
        self._over = None
        self.lane = None

    # --- what is true ---------------------------------------------------------------------

    def lacks(self, name, *, late=False):
        """Give what is not committed of what is to be done with a file."""
        sha256 = self.dropped[name]
        entry = self.simulator._client.store.committed(sha256)
        if entry is None or entry.file is None or not entry.file.is_current:
            return ["file"]
        wanted = {"one", f"name:{name.partition('.')[0]}"} | ({"late"} if late else set())
        tags = self.simulator.committed_tags(sha256, "my tags").get(0, set())
        urls = {f"https://pictures.example/{sha256}"}
        lacking = sorted(wanted - tags)
        if set(entry.known_urls) != urls:
            lacking.append(f"url: {entry.known_urls}")
        return lacking + [f"not asked for: {tag}" for tag in tags - wanted - {"late"}]

    def places(self, name):
        content = paint(name)
        found = [self.inbox / name, *self.moved.glob("*")]
        return [p for p in found if p.exists() and p.read_bytes() == content]

    def jobs(self):
        reader = LedgerReader.open(self.ledger)
        try:
            return reader.jobs(1000)
        finally:
            reader.close()

    # --- the client -----------------------------------------------------------------------

    def client_dies(self):
        """It forgets, and is there again at once, as another run of itself."""
        self.simulator.crash()
        self._new_boot()

    def client_closes(self):
        self.simulator.shut_down()
        self._new_boot()

    def _new_boot(self):
        self.commits_at = self.clock.elapsed + COMMIT_SECONDS
        self.count_imports()
        self.kept = self.simulator.committed_files()
        self.imports_before = self.simulator.imports()

    def count_imports(self):
        for sha256, count in (self.simulator.imports() - self.imports_before).items():
            if count > 1 or sha256 in self.kept:
                self.faults.append(f"{sha256} imported {count} times, kept: {sha256 in self.kept}")

    # --- the daemon -----------------------------------------------------------------------

    def kill(self):
        """Take the ledger as it is, and cut the old self off from everything."""
        with self._lock:
            if LIFE.get(self.life) != self.life:
                return
            self.deaths += 1
            after = self.ledger.with_name(f"{self.deaths}.sqlite")
            with (
                closing(sqlite3.connect(self.ledger)) as old,
                closing(sqlite3.connect(after)) as new,
            ):
                old.backup(new)
            self.ledger = after
            self.life += 1

    @property
    def is_killed(self):
        return self.lane_life != self.life

    def check_alive(self):
        if LIFE.get() != self.life:
            raise Killed

    async def start(self, tasks):
        """Begin a life: as the daemon does, with all that lies in the inbox noticed (again)."""
        self.lane_life = self.life
        self._stop, self._over = anyio.Event(), anyio.Event()
        started = anyio.Event()
        LIFE.set(self.life)
        tasks.start_soon(self._live, started)
        await started.wait()

    async def _live(self, started):
        ledger = Ledger.open(self.ledger)
        writer = Writer(ledger, self)
        client = HydrusClient(URL, DEFAULT_ACCESS_KEY, clock=self.clock, transport=Wire(self))
        configuration = self.configuration
        book = RuleBook(configuration.rules, configuration.vocabulary, configuration.expressions)
        lane = Lane(
            "hydrus",
            client,
            book,
            writer,
            self.clock,
            commit_wait_seconds=COMMIT_WAIT_SECONDS,
            observe=self._hear,
            on_connected=lambda info: reasons_to_park(book, "hydrus", client, info),
        )
        self.lane = lane
        self._notice = lambda names: self._emit(names, book, writer, client)
        try:
            async with client, anyio.create_task_group() as tasks:
                now = self.clock.now()
                rules = [(r.name, r.revision, r.spec.definition) for r in book]
                await writer(Ledger.remember_rules, rules, now)
                await writer(Ledger.release, now)
                tasks.start_soon(lane.run, name="lane")
                await self._notice([p.name for p in self.inbox.iterdir()])
                started.set()
                await self._stop.wait()
                tasks.cancel_scope.cancel()
        except* Killed:
            pass
        finally:
            started.set()
            ledger.close()
            self._over.set()

    async def stop(self):
        self._stop.set()
        await self._over.wait()

    async def _emit(self, names, book, writer, client):
        events = []
        for name in names:
            path = self.inbox / name
            source = FileSource.of(path, self.inbox, path.stat())
            events.append(Event(source.key, {"file": source.to_data()}))
        for source in book.sources() if events else ():
            made, signals = MadeFiles(), Signals(writer)
            off_limits = OffLimits(self.folder / "state")
            intake = Intake(
                source, writer, self.clock, self.lane.wake, client, signals, off_limits, made
            )
            await intake.emit(events)

    def _hear(self, entry):
        if entry.state is JobState.DONE:
            self.ended[entry.job_id] += 1

    # --- time -----------------------------------------------------------------------------

    async def rest(self, tasks):
        """Have everything done that can be done now; a killed daemon is started again."""
        with anyio.fail_after(PATIENCE_SECONDS):
            while True:
                if self.is_killed:
                    await self.stop()
                    await self.start(tasks)
                elif self.clock.lane_rests and not self.lane._woken.is_set():
                    return
                await anyio.sleep(0.0005)

    async def passes(self, seconds, tasks):
        end = self.clock.elapsed + seconds
        await self.rest(tasks)
        while (due := min(self.clock.soonest(), self.commits_at)) <= end:
            self.clock.move(due)
            if due == self.commits_at:
                self.simulator.commit()
                self.commits_at += COMMIT_SECONDS
            await self.rest(tasks)
        self.clock.move(end)

    async def drop(self, names, tasks):
        for name in names:
            (self.inbox / name).write_bytes(paint(name))
        if not self.is_killed:
            async with anyio.create_task_group() as noticing:
                # A daemon that is killed meanwhile notices them when it is there again.
                noticing.start_soon(self._notice_unless_killed, names)
        await self.rest(tasks)

    async def _notice_unless_killed(self, names):
        LIFE.set(self.lane_life)
        with suppress(Killed):
            await self._notice(names)


class Wire(httpx.AsyncBaseTransport):
    """The network between the two, with one mishap at a time."""

    def __init__(self, world):
        self._world = world
        self._inner = httpx.ASGITransport(app=world.simulator.app)

    async def handle_async_request(self, request):
        world = self._world
        if LIFE.get() != world.life:
            await anyio.sleep_forever()  # until the old self is taken away
        if world.away:
            raise httpx.ConnectError("nobody is there")
        mishap = None
        if world.mishap is not None and world.mishap.comes(request.extensions["target"].decode()):
            mishap, world.mishap = world.mishap.what, None
        match mishap:
            case "cut before the work":
                raise httpx.ReadError("cut")
            case "the client dies before the work":
                world.client_dies()
                raise httpx.ReadError("cut")
            case "the client has died and is there again before the work":
                world.client_dies()
            case "the client commits before the work":
                world.simulator.commit()
            case "the daemon is killed before the work":
                world.kill()
                await anyio.sleep_forever()
            case "the client takes it twice":
                body = await request.aread()
                again = httpx.Request(
                    request.method,
                    request.url,
                    headers=request.headers,
                    content=body,
                    extensions=request.extensions,
                )
                await self._work(again)
        answer = await self._work(request)
        match mishap:
            case "cut after the work":
                raise httpx.ReadError("cut")
            case "the client dies after the work":
                world.client_dies()
                raise httpx.ReadError("cut")
            case "the client dies after the work, and its answer comes yet":
                world.client_dies()
            case "the daemon is killed after the work":
                world.kill()
                await anyio.sleep_forever()
        return answer

    async def _work(self, request):
        # The target is what goes over the wire; the transport below knows only the URL.
        target = request.extensions["target"].decode()
        request.url = httpx.URL(f"{URL}{target}")
        answer = await self._inner.handle_async_request(request)
        return httpx.Response(
            answer.status_code, headers=answer.headers, content=await answer.aread()
        )


class Writer(LedgerWriter):
    """Statements in the middle of which the daemon may be killed."""

    def __init__(self, ledger, world):
        super().__init__(ledger)
        self._world = world

    async def __call__(self, method, /, *args, **kwargs):
        world = self._world
        world.check_alive()
        stroke = None
        if world.stroke is not None and world.stroke.comes():
            stroke, world.stroke = world.stroke.what, None
        if stroke == "before":
            world.kill()
            raise Killed
        result = await super().__call__(method, *args, **kwargs)
        if stroke == "after":
            world.kill()
        world.check_alive()
        return result


class Story(RuleBasedStateMachine):
    make_world = None
    portal = None
    tasks = None

    def call(self, method, *args):
        return self.portal.call(method, *args, self.tasks)

    @initialize(client=st.sampled_from(sorted(CLIENTS)))
    def begin(self, client):
        self.world = self.make_world(CLIENTS[client])
        self.call(self.world.start)
        self.call(self.world.rest)

    # --- what can happen ------------------------------------------------------------------

    @rule(count=st.integers(1, 2), **WRONG)
    def files_come(self, count, mishap, stroke, blow, then):
        names = [f"{len(self.world.dropped) + n}.png" for n in range(count)]
        self.world.dropped |= {name: sha256(paint(name)) for name in names}
        self.go_wrong(mishap, stroke, blow)
        self.call(self.world.drop, names)
        self.go_on(then)

    @precondition(lambda self: self.world.dropped)
    @rule(**WRONG)
    def meanwhile(self, mishap, stroke, blow, then):
        self.go_wrong(mishap, stroke, blow)
        self.go_on(then)

    def go_wrong(self, mishap, stroke, blow):
        world = self.world
        world.mishap, world.stroke, world.blow = (
            None if each is None else Countdown(*each) for each in (mishap, stroke, blow)
        )

    def go_on(self, then):
        world = self.world
        for event in then:
            match event:
                case "the client dies":
                    world.client_dies()
                case "the client dies in the wait":
                    world.client_dies()
                    self.call(world.passes, COMMIT_WAIT_SECONDS + 1)
                case "the client is closed and opened":
                    world.client_closes()
                case "the client commits":
                    world.simulator.commit()
                case "the client goes" | "the client is back":
                    world.away = event == "the client goes"
                case "the daemon is killed":
                    world.kill()
                    self.call(world.rest)
                case "a person retries":
                    self.call(retry, world)
                case "some time passes":
                    self.call(world.passes, 20)
                case "a wait passes":
                    self.call(world.passes, COMMIT_WAIT_SECONDS + 1)

    # --- what always holds ----------------------------------------------------------------

    @invariant()
    def promises_hold(self):
        world = self.world
        world.count_imports()
        assert world.faults == []
        assert [name for name in world.dropped if not world.places(name)] == []
        assert [job for job, times in world.ended.items() if times > 1] == []

    def teardown(self):
        if not hasattr(self, "world"):
            return
        try:
            self.all_goes_well()
        finally:
            self.portal.call(self.world.stop)
            self.world.simulator.close()

    def all_goes_well(self):
        """From now on nothing happens but time, and a person who does not give up."""
        world = self.world
        world.away, world.mishap, world.stroke, world.blow = False, None, None, None
        for _ in range(30):
            states = {job.state for job in world.jobs()}
            if states <= {JobState.DONE} and not any(world.inbox.iterdir()):
                break
            self.call(retry, world)
            self.call(world.passes, 130)
        self.promises_hold()
        jobs = {job.data["file"]["name"]: job for job in world.jobs()}
        lacking = {n: what for n in world.dropped if (what := world.lacks(n, late=True))}
        assert lacking == {}, {name: str(job) for name, job in jobs.items()}
        assert sorted(path.name for path in world.moved.glob("*")) == sorted(world.dropped)
        told = Counter(job.data["file"]["name"] for job in world.jobs())
        assert told == Counter(list(world.dropped))
        assert {str(job.state) for job in world.jobs()} <= {"done"}


async def retry(world, tasks):
    await world.rest(tasks)
    writer = LedgerWriter(Ledger.open(world.ledger, exclusive=False))
    try:
        await writer(Ledger.retry, world.clock.now())
    finally:
        writer._ledger.close()
    world.lane.wake()
    await world.rest(tasks)


def sha256(content):
    return hashlib.sha256(content).hexdigest()


@pytest.fixture(scope="module")
def empty_ledger(tmp_path_factory):
    path = tmp_path_factory.mktemp("empty") / "ledger.sqlite"
    Ledger.open(path).close()
    return path


def test_no_promise_breaks_whoever_dies(tmp_path, empty_ledger, monkeypatch):
    (tmp_path / "rules.yaml").write_text(RULES, encoding="utf-8")
    (tmp_path / "inbox").mkdir()
    configuration = read_configuration(tmp_path / "rules.yaml")
    present = []
    steps = _placing.Move.steps

    def guarded_move(self):
        world = present[0]
        world.check_alive()
        blow = None
        if world.blow is not None and world.blow.comes():
            blow, world.blow = world.blow.what, None
        if blow == "before":
            world.kill()
            raise Killed
        # A repeated move finds its work done: what was so then was looked at then.
        name = self.source.path.name
        if self.source.path.exists() and (lacks := world.lacks(name)):
            world.faults.append(f"{name} was moved before this was committed: {lacks}")
        outcome = yield from steps(self)
        if blow == "after":
            world.kill()
        world.check_alive()
        return outcome

    monkeypatch.setattr(_placing.Move, "steps", guarded_move)
    monkeypatch.setattr(settling, "MOST_LOSSES", FEWEST_LOSSES)
    monkeypatch.setattr(_store, "_PROMISE_SECONDS", PROMISE_SECONDS)

    def make_world(config):
        present[:] = [World(tmp_path, configuration, empty_ledger, config)]
        return present[0]

    with start_blocking_portal() as portal, portal.wrap_async_context_manager(Tasks()) as tasks:

        class Here(Story):
            pass

        Here.make_world = staticmethod(make_world)
        Here.portal = portal
        Here.tasks = tasks
        run_state_machine_as_test(
            Here,
            settings=settings(
                max_examples=EXAMPLES,
                stateful_step_count=STEPS,
                deadline=None,
                report_multiple_bugs=False,
                suppress_health_check=[HealthCheck.too_slow],
            ),
        )


class Tasks:
    """A task group that lives as long as the test."""

    async def __aenter__(self):
        self._group = anyio.create_task_group()
        return await self._group.__aenter__()

    async def __aexit__(self, *raised):
        self._group.cancel_scope.cancel()
        return await self._group.__aexit__(*raised)


EXAMPLES = 15
STEPS = 6
