"""Runs the tests that a rules file carries, one after the other."""

from __future__ import annotations

import contextvars
import hashlib
import os
import shutil
import tempfile
import time
import uuid
from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, closing, suppress
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from pathlib import Path
from types import TracebackType
from typing import Self

import anyio
from anyio import to_thread
from pydantic import SecretStr

from hydrusd.clock import Clock
from hydrusd.daemon import LEDGER_FILE, Configuration, Daemon, make_client, read_configuration
from hydrusd.errors import ConfigError, HydrusdError, LedgerError
from hydrusd.hydrus import HydrusClient
from hydrusd.ledger import History, JobTrace, Ledger, LedgerReader, waits_for
from hydrusd.model import Data, Event, JobState, OutcomeKind, fired_topic
from hydrusd.plugin import FileSource, Trigger
from hydrusd.rehearsal._clock import LOOK_SECONDS, RehearsalClock, Threads, come_to_rest
from hydrusd.rehearsal._judging import Difference, Facts, differences
from hydrusd.rehearsal._library import SimulatedLibrary
from hydrusd.rehearsal._pictures import painted
from hydrusd.rehearsal._stage import Stage
from hydrusd.rehearsal._stand_ins import Cast
from hydrusd.rules import (
    BackupsSpec,
    ClientSpec,
    Content,
    Happening,
    Library,
    RuleSet,
    RuleTest,
    named,
    rehearsing,
    resolve_path,
)

LONGEST_SECONDS = 60.0
"""How long (in real seconds) a test may take before it is taken to be stuck."""
USUAL_START = datetime(2026, 1, 1, 12)  # noqa: DTZ001 - noon, wherever the test runs
SOON_SECONDS = 3.0
"""What follows at once has come by then: signals are looked for once a second."""
FAR_SECONDS = 3600.0
"""What is farther away is gone to in one go, as if the machine had slept till shortly before."""
BEFORE_SECONDS = 60.0
MOST_LEAPS = 4
"""How often the clock goes at once to what open jobs wait for, while nothing comes of it."""
MOST_PATIENCE_SECONDS = 600.0
"""Who looks less often is waited for only where the test says so."""
STOP_SECONDS = 10.0
"""How long (in real seconds) the daemon may take to stop."""
MOST_JOBS = 10_000
OLD_SECONDS = 86_400.0
"""How old files are, unless the test says otherwise."""

_IMPORTED = frozenset({"imported"})
_KNOWN = frozenset({"already in Hydrus", "already there"})


@dataclass(frozen=True, slots=True)
class Result:
    """How a test went. It failed where there are differences, or a ``failure``, in words."""

    test: RuleTest
    seconds: float
    differences: tuple[Difference, ...] = ()
    failure: str = ""
    stories: Mapping[str, list[str]] = field(default_factory=dict)

    @property
    def passed(self) -> bool:
        """Whether all was as expected."""
        return not self.differences and not self.failure


class Rehearsal:
    """A rules file and its tests. Raises ConfigError for one that cannot be used.

    Close it, or use it in a ``with``: it has a temporary folder.
    """

    def __init__(self, path: Path, *, safe_mode: bool = False) -> None:
        self._closing = ExitStack()
        root = self._closing.enter_context(
            tempfile.TemporaryDirectory(prefix="hydrusd-test-", ignore_cleanup_errors=True)
        )
        self._folder = path.parent.absolute()
        self._stage = Stage(Path(root), self._folder)
        self._cast = Cast(self._stage)
        try:
            with rehearsing(self._stage.place):
                self.configuration: Configuration = read_configuration(
                    path, safe_mode=safe_mode, resolve_secrets=False, adapt=self._cast.adapt
                )
            # Made once: most of the time of opening a new one goes into its tables.
            self._blank = Path(root) / "blank" / LEDGER_FILE
            Ledger.open(self._blank).close()
        except BaseException:
            self._closing.close()
            raise

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self.close()

    def close(self) -> None:
        """Take the temporary folder away."""
        self._closing.close()

    @property
    def tests(self) -> tuple[RuleTest, ...]:
        """The tests, in the order of the file."""
        return self.configuration.rules.tests

    def run(self, test: RuleTest) -> Result:
        """Run one of the tests. Never raises for what its rules do."""
        began = time.monotonic()
        self._stage.clear()
        shutil.copyfile(self._blank, self._stage.state / LEDGER_FILE)
        self._cast.begin(test.given.answers, test.given.for_real)
        run = _Run(self._folder, self.configuration, self._stage, self._cast, test)
        try:
            # A thread of its own: whoever asks may be in an event loop.
            with ThreadPoolExecutor(1, "hydrusd test") as thread:
                facts = thread.submit(contextvars.Context().run, run.facts).result()
        except _CannotBeRunError as error:
            return Result(test, time.monotonic() - began, failure=self._stage.told(str(error)))
        except ConfigError as error:
            text = "\n".join(problem.render() for problem in error.problems)
            return Result(test, time.monotonic() - began, failure=self._stage.told(text))
        except (HydrusdError, OSError, LookupError, ValueError) as error:
            return Result(test, time.monotonic() - began, failure=self._stage.told(str(error)))
        found = tuple(differences(test, facts, run.same_path))
        seconds = time.monotonic() - began
        return Result(test, seconds, found, stories=facts.stories if found else {})


class _CannotBeRunError(Exception):
    """A test that makes no sense when it is run."""


class _Run:
    """One test on its way."""

    def __init__(
        self,
        folder: Path,
        configuration: Configuration,
        stage: Stage,
        cast: Cast,
        test: RuleTest,
    ) -> None:
        self._folder = folder
        self._stage = stage
        self._cast = cast
        self._test = test
        self._rules = self._rules_of(configuration.rules)
        self._configuration = replace(configuration, rules=self._rules)
        self._triggers = [
            rule.trigger_config
            for rule in self._rules.rules
            if rule.enabled and isinstance(rule.trigger_config, Trigger)
        ]
        longest = max((trigger.patience for trigger in self._triggers), default=0.0)
        self._patience = SOON_SECONDS + min(longest, MOST_PATIENCE_SECONDS)
        self._clock = RehearsalClock(self._start())
        self._threads = Threads()
        self._clients: list[HydrusClient] = []
        self._libraries: dict[str, SimulatedLibrary] = {}
        self._contents: dict[str, bytes] = {}
        self._hashes: dict[str, str] = {}
        self._deadline = 0.0
        self._failures: list[Exception] = []
        self._daemon: Daemon | None = None

    def same_path(self, one: str, other: str) -> bool:
        """Say whether two paths, as written or as told, are one."""
        return self._real(one) == self._real(other)

    def _rules_of(self, rules: RuleSet) -> RuleSet:
        wanted = self._test.rules
        return replace(
            rules,
            rules=tuple(
                replace(rule, enabled=rule.name in wanted if wanted else rule.enabled)
                for rule in rules.rules
            ),
            backups=BackupsSpec(keep=0),
        )

    def _start(self) -> datetime:
        if self._test.given.now is not None:
            return self._test.given.now
        first = next((step.at for step in self._test.when if step.at is not None), None)
        if first is None:
            return USUAL_START.astimezone()
        return first - timedelta(seconds=self._patience + BEFORE_SECONDS)

    def _real(self, path: str) -> Path:
        """Give where a path is that is written in the test."""
        try:
            return self._stage.place(resolve_path(path, self._folder))
        except RuntimeError:
            message = f"'{path}' begins with '~', but that home folder is not known"
            raise _CannotBeRunError(message) from None

    # --- what there is -------------------------------------------------------------------

    def facts(self) -> Facts:
        """Run the test and say what came of it. Raises HydrusdError where it cannot be run."""
        with ExitStack() as closing_all:
            closing_all.enter_context(rehearsing(self._stage.place))
            web = {url: self._content(url, each, {}) for url, each in self._test.given.web.items()}
            given = self._test.given
            for name in self._rules.clients:
                library = given.clients.get(name) or given.client
                made = SimulatedLibrary(library, web)
                closing_all.callback(made.close)
                self._libraries[name] = made
            self._stage.place(self._folder).mkdir(parents=True, exist_ok=True)
            for trigger in self._triggers:
                if trigger.folder is not None:
                    trigger.folder.mkdir(parents=True, exist_ok=True)
            self._write(given.files)
            for name in self._libraries:
                self._fill(name, given.clients.get(name) or given.client)
            with self._threads.counting():
                anyio.run(self._run)
            return self._gathered()

    def _write(self, files: Mapping[str, Content]) -> None:
        for name, content in files.items():
            made = self._content(name, content, self._test.files)
            path = self._real(name)
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(made)
            if content.copy_of is not None:
                shutil.copymode(resolve_path(content.copy_of, self._folder), path)
            changed = content.modified or self._clock.now() - timedelta(seconds=OLD_SECONDS)
            os.utime(path, (changed.timestamp(), changed.timestamp()))
            self._contents[name] = made
            self._hashes[name] = hashlib.sha256(made).hexdigest()

    def _content(self, name: str, content: Content, files: Mapping[str, Content]) -> bytes:
        if content.text is not None:
            return content.text.encode()
        if content.copy_of is not None:
            try:
                return resolve_path(content.copy_of, self._folder).read_bytes()
            except (OSError, RuntimeError) as error:
                why = getattr(error, "strerror", None) or error
                raise _CannotBeRunError(f"{content.copy_of} cannot be read: {why}") from error
        if content.same_as is not None:
            [other] = named(content.same_as, self._test.files)
            if self._test.files[other].same_as is not None:
                raise _CannotBeRunError(f"{name}: 'same_as' leads to a file that has one itself")
            return self._content(other, self._test.files[other], files)
        picture = name
        if "://" in name:
            suffix = Path(name.partition("?")[0]).suffix
            picture = name if suffix else f"{name}.png"
        try:
            return painted(picture, content.size)
        except ValueError as error:
            hint = "say what is in it: {text: …}, {copy_of: …} or {same_as: …}"
            raise _CannotBeRunError(f"{error}; {hint}") from error

    def _fill(self, client: str, library: Library) -> None:
        files = self._test.files
        contents = {}
        for name in (*library.has, *library.deleted):
            given = next(iter(named(name, files)), name)
            contents[name] = self._content(given, files.get(given, Content()), files)
        try:
            found = self._libraries[client].fill(library, contents)
        except LookupError as error:
            raise _CannotBeRunError(str(error.args[0])) from error
        for name, file_hash in found.items():
            self._hashes.setdefault(next(iter(named(name, files)), name), file_hash)

    # --- what happens --------------------------------------------------------------------

    def _connect(self, spec: ClientSpec, clock: Clock) -> HydrusClient:
        """Have the daemon speak to the simulated client in place of the real one."""
        library = self._libraries[spec.name]
        made = ClientSpec(library.url, SecretStr(library.access_key), name=spec.name)
        client = make_client(made, clock)
        self._clients.append(client)
        return client

    def _is_busy(self) -> bool:
        return (
            self._threads.under_way > 0
            or (self._daemon is not None and self._daemon.ledger_is_busy)
            or any(client.requests_under_way for client in self._clients)
            or any(library.is_busy for library in self._libraries.values())
        )

    async def _run(self) -> None:
        self._daemon = daemon = Daemon(
            self._configuration, self._stage.state, clock=self._clock, connect=self._connect
        )
        self._deadline = anyio.current_time() + LONGEST_SECONDS
        async with anyio.create_task_group() as tasks:

            async def run() -> None:
                try:
                    await daemon.run()
                except Exception as error:  # noqa: BLE001 - raised again below, out of the group
                    self._failures.append(error)
                tasks.cancel_scope.cancel()

            tasks.start_soon(run, name="the daemon")
            try:
                await self._settle(self._patience)
                for happening in self._test.when:
                    await self._happen(happening)
            except _CannotBeRunError as error:
                self._failures.append(error)
            daemon.stop()
            # Whatever it still waits for shall not be waited for either.
            with anyio.move_on_after(STOP_SECONDS):
                while True:
                    await anyio.sleep(LOOK_SECONDS)
                    self._clock.step(self._clock.monotonic() + BEFORE_SECONDS)
            tasks.cancel_scope.cancel()
        if self._failures:
            raise self._failures[0]

    async def _happen(self, happening: Happening) -> None:
        if happening.at is not None:
            seconds = (happening.at - self._clock.now()).total_seconds()
            if seconds < 0:
                raise _CannotBeRunError(
                    f"it is {self._clock.now().astimezone(happening.at.tzinfo):%Y-%m-%d %H:%M:%S} "
                    f"by then, so it cannot become {happening.at:%Y-%m-%d %H:%M:%S}"
                )
            await self._pass(seconds)
            jitter = max((t.patience for t in self._triggers if t.trigger == "schedule"), default=0)
            await self._settle(SOON_SECONDS + jitter)
        elif happening.wait is not None:
            await self._pass(happening.wait)
            await self._settle(SOON_SECONDS)
        elif happening.files is not None:
            self._write(happening.files)
            await self._settle(self._patience)
        elif happening.client is not None:
            for name in self._libraries:
                await to_thread.run_sync(self._fill, name, happening.client)
            await self._settle(self._patience)
        elif happening.fire is not None:
            await to_thread.run_sync(self._fire, happening)
            await self._settle(SOON_SECONDS)
        elif (notice := happening.notice) is not None:
            context = self._cast.contexts.get(notice.rule)
            if context is None:
                raise _CannotBeRunError(f"rule '{notice.rule}' does not run in this test")
            data = {**self._hashes_of(notice.files), **notice.data}
            await context.emit([Event(f"test {uuid.uuid4().hex}", data)])
            await self._settle(SOON_SECONDS)

    def _fire(self, happening: Happening) -> None:
        fire = happening.fire
        assert fire is not None
        rule = fire if isinstance(fire, str) else fire.rule
        values = {} if isinstance(fire, str) else {**self._hashes_of(fire.files), **fire.values}
        if not any(each.name == rule and each.trigger == "manual" for each in self._rules.rules):
            raise _CannotBeRunError(f"rule '{rule}' cannot be fired: it is not `on: manual`")
        with closing(Ledger.open(self._ledger, exclusive=False)) as ledger:
            data = {"by": "command", "chain": [], "values": values}
            ledger.post(fired_topic(rule), data, self._clock.now())

    def _hashes_of(self, names: Sequence[str]) -> dict[str, object]:
        """Say, as events do, that something is about some files."""
        known = [next(iter(named(name, self._test.names)), name) for name in names]
        if missing := [name for name in known if name not in self._hashes]:
            raise _CannotBeRunError(f"there is no file {missing[0]} yet")
        hashes = [self._hashes[name] for name in known]
        return {"hash": hashes[0], "hashes": hashes} if hashes else {}

    async def _pass(self, seconds: float) -> None:
        """Let so much time pass; of a long one, all but the last minute at once."""
        end = self._clock.monotonic() + seconds
        if seconds > FAR_SECONDS:
            await self._rest()
            self._clock.leap(end - BEFORE_SECONDS)
        await self._until(end)

    async def _until(self, end: float) -> None:
        while self._clock.monotonic() < end:
            await self._rest()
            self._clock.step(end)
        await self._rest()

    async def _rest(self) -> None:
        def is_busy() -> bool:
            if anyio.current_time() > self._deadline:
                raise _CannotBeRunError(f"it is not over within {LONGEST_SECONDS:g} seconds")
            return self._is_busy()

        await come_to_rest(is_busy)

    async def _settle(self, seconds: float) -> None:
        """Let so much time pass, and then as much as the open jobs need to come to an end."""
        await self._until(self._clock.monotonic() + seconds)
        leaps, last = 0, None
        while leaps <= MOST_LEAPS and (jobs := await to_thread.run_sync(self._open)):
            state = [(job.job_id, job.state, job.step, job.attempt) for job in jobs]
            if state == last:
                leaps += 1
                due = min((job.run_at - self._clock.now()).total_seconds() for job in jobs)
                self._clock.leap(self._clock.monotonic() + max(due, 0.0))
            last = state
            await self._until(self._clock.monotonic() + BEFORE_SECONDS)

    def _open(self) -> list[JobTrace]:
        return [job for job in self._jobs() if job.is_open]

    @property
    def _ledger(self) -> Path:
        return self._stage.state / LEDGER_FILE

    def _jobs(self) -> list[JobTrace]:
        """Give all jobs, oldest first."""
        try:
            with closing(History.open(self._ledger)) as history:
                runs = history.runs(MOST_JOBS, dull=True)
                jobs = [job for run in runs for job in history.jobs_of(run.run_id, MOST_JOBS)]
        except LedgerError:
            return []  # the daemon has not come that far, or never did
        return sorted(jobs, key=lambda job: job.job_id)

    # --- what came of it -----------------------------------------------------------------

    def _gathered(self) -> Facts:
        facts = Facts(hashes=dict(self._hashes), ran=list(self._cast.ran))
        labels = {self._real(name): name for name in self._test.files}
        by_hash = {file_hash: name for name, file_hash in self._hashes.items()}

        def label(data: Data, rule: str) -> str:
            if source := FileSource.from_data(data):
                return labels.get(source.path) or self._stage.told(str(source.path))
            for name in ("url", "normalised"):
                if isinstance(url := data.get(name), str):
                    return url
            return by_hash.get(str(data.get("hash")), rule)

        with closing(LedgerReader.open(self._ledger)) as reader:
            conditions = reader.conditions()
            passed_over = reader.passed_over(MOST_JOBS)
        taken: set[tuple[str, str]] = set()
        for job in self._jobs():
            item = label(job.data, job.rule)
            taken.add((job.rule, item))
            self._take_in(
                facts, item, job, waits_for(job, conditions, self._clock.now(), running=True)
            )
            if job.file_hash and "://" in item:
                facts.hashes[item] = job.file_hash
        for each in passed_over:
            item, reason = label(each.data, each.rule), self._stage.told(each.reason)
            if (each.rule, item) in taken:
                continue  # in another form, as a file is with its sidecars
            _put(facts, "passed_over", item, reason)
            facts.stories.setdefault(item, []).append(
                f"rule '{each.rule}' passed it over: {reason}"
            )
        for name in self._test.files:
            if name not in facts.stories:
                reason = self._overlooked(name)
                _put(facts, "unnoticed", name, reason)
                facts.stories[name] = [f"no trigger noticed it: {reason}"]
        for library in self._libraries.values():
            facts.held |= library.held(facts.hashes.values()) if facts.hashes else {}
        self._look_at_disk(facts)
        return facts

    def _take_in(self, facts: Facts, item: str, job: JobTrace, waits: str) -> None:
        for step in job.steps:
            status = step.values.get("status")
            if step.outcome in {OutcomeKind.DONE, OutcomeKind.SKIPPED} and isinstance(status, str):
                if status in _IMPORTED:
                    _put(facts, "imported", item, "")
                elif status in _KNOWN:
                    _put(facts, "known", item, "")
        detail = self._stage.told(job.detail)
        match job.state:
            case JobState.DONE:
                _put(facts, "done", item, "")
            case JobState.SKIPPED:
                _put(facts, "skipped", item, detail)
            case JobState.DEAD:
                _put(facts, "dead", item, detail)
            case _:
                _put(facts, "waiting", item, self._stage.told(waits))
        story = facts.stories.setdefault(item, [])
        story.append(f"rule '{job.rule}': {job.state}")
        for step in job.steps:
            ended = "" if step.outcome is OutcomeKind.DONE and step.detail else f"{step.outcome}: "
            story.append(self._stage.told(f"  {step.action}: {ended}{step.detail}".rstrip(": ")))
        if job.state not in {JobState.DONE, JobState.SKIPPED, JobState.DEAD}:
            story.append(f"  waits for: {self._stage.told(waits)}")
        elif detail and not job.steps:
            story.append(f"  {detail}")

    def _overlooked(self, name: str) -> str:
        path = self._real(name)
        whys = [trigger.overlooks(path) for trigger in self._triggers]
        said = [why for why in whys if why]
        if said:
            return "; ".join(dict.fromkeys(said))
        watched = any(why == "" for why in whys)
        return "it was gone, or is not complete" if watched else "no rule looks there"

    def _look_at_disk(self, facts: Facts) -> None:
        there: dict[str, list[Path]] = {}
        for folder in (self._stage.disk, self._stage.scratch):
            for path in sorted(p for p in folder.rglob("*") if p.is_file()):
                with suppress(OSError):
                    file_hash = hashlib.sha256(path.read_bytes()).hexdigest()
                    there.setdefault(file_hash, []).append(path)
        own = {self._real(name) for name in self._test.files}
        for name in self._test.files:
            path, found = self._real(name), there.get(self._hashes.get(name, ""), [])
            elsewhere = [p for p in found if p not in own]
            moved = [p for p in elsewhere if p.name == path.name] or elsewhere
            if path in found:
                facts.sources[name] = "stays"
            elif path.exists():
                facts.sources[name] = "changed"
            elif any(p.is_relative_to(self._stage.scratch) for p in moved):
                facts.sources[name] = "trashed"
            elif moved:
                facts.sources[name] = f"moved to {self._stage.told(str(moved[0]))}"
            else:
                facts.sources[name] = "deleted"
        for name in self._test.expect.files or {}:
            path = self._real(name)
            facts.texts[name] = path.read_bytes() if path.is_file() else None


def _put(facts: Facts, outcome: str, item: str, reason: str) -> None:
    facts.outcomes.setdefault(outcome, {}).setdefault(item, reason)
