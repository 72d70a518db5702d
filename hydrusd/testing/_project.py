"""A rules file, a folder and a client to try them on, and what came of it.

``run`` waits for facts, never for a time: it ends when every file that was dropped has been
judged and every job has ended. Where that does not happen, the failure tells what the ledger
knows, because "timed out" alone sends its reader back to the start.
"""

from __future__ import annotations

import hashlib
import json
import urllib.parse
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from dataclasses import dataclass, replace
from datetime import datetime
from functools import cache, partial
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any, Self, TypeVar

import anyio
from anyio import to_thread

from hydrusd.clock import Clock, SystemClock
from hydrusd.daemon import LEDGER_FILE, Configuration, Daemon, make_plan, read_configuration
from hydrusd.engine import Plan, RuleBook
from hydrusd.errors import LedgerError
from hydrusd.ledger import (
    DeadLetter,
    JobView,
    LaneStatus,
    Ledger,
    LedgerReader,
    PassedOver,
)
from hydrusd.model import FinishedJob, JobState
from hydrusd.plugin import FileSource
from hydrusd.plugin.host import PluginHost
from hydrusd.rehearsal import paint, request
from hydrusd.simulator import DEFAULT_ACCESS_KEY, Simulator, SimulatorConfig

RULES_FILE = "rules.yaml"
QUICKEST_LOOK, SLOWEST_LOOK = 0.02, 0.1
"""How many seconds are between two looks whether all is over."""
MOST_JOBS = 100_000
MOST_JOBS_TOLD = 20

T = TypeVar("T")

_NO_RULES = f"""\
client: {{url: "http://127.0.0.1:9", access_key: {DEFAULT_ACCESS_KEY}}}
rules: [{{name: nothing, on: manual, do: [log: {{message: nothing}}]}}]
"""


class NotAsExpected(AssertionError):
    """A project did not do what it was to do; the text tells what its ledger knows."""


_ENDINGS = frozenset({JobState.DONE, JobState.SKIPPED, JobState.DEAD})


@dataclass(frozen=True)
class _Beginning:
    """What each project begins with, and would take longer to make than most of what is tried.

    ``read`` is the reading of rules that say nothing, ``ledger`` the content of an empty ledger.
    """

    read: Configuration
    ledger: bytes

    def former(self) -> Configuration:
        """Give the former reading, of which what comes with hydrusd is used on, and no more."""
        host = PluginHost()
        host.files.update(self.read.host.files)
        return replace(self.read, host=host)


@cache
def _beginning() -> _Beginning:
    with TemporaryDirectory(prefix="hydrusd-") as folder:
        rules, ledger = Path(folder, RULES_FILE), Path(folder, LEDGER_FILE)
        rules.write_text(_NO_RULES, encoding="utf-8")
        read = read_configuration(rules)
        Ledger.open(ledger).close()
        return _Beginning(read, ledger.read_bytes())


@dataclass(frozen=True, slots=True)
class Dropped:
    """A file that has to be noticed."""

    path: Path
    keys: tuple[str, ...]


class Project:
    """A folder with a rules file, a simulated client that listens, and a daemon at request.

    A rules file without ``client:`` is given one; one that has it may write ``{url}`` and
    ``{access_key}`` there. Plugins in ``plugins/`` are found as in real life; ``plugins`` are
    folders elsewhere, which the rules file then names.

    ``folder`` is where the files are, ``simulator`` the client, ``finished`` what observers
    were told so far, ``awaited`` the files that the next ``run`` has to see judged.
    """

    def __init__(
        self,
        folder: Path,
        files: Mapping[str, str | bytes],
        simulator: SimulatorConfig | None = None,
        plugins: Sequence[Path] = (),
    ) -> None:
        self.folder = folder
        self._plugins = plugins
        self.finished: list[FinishedJob] = []
        self._hashes: dict[str, str] = {}
        self.awaited: list[Dropped] = []
        self._closing = ExitStack()
        self.simulator = self._closing.enter_context(Simulator(simulator))
        self.access_key = next(iter(self.simulator.config.access_keys), DEFAULT_ACCESS_KEY)
        self.url = self._closing.enter_context(self.simulator.serve())
        folder.mkdir(parents=True, exist_ok=True)
        self.write(files)

    def close(self) -> None:
        """Stop the client. What is on the disk stays."""
        self._closing.close()

    # --- what is there -------------------------------------------------------------------

    def write(self, files: Mapping[str, str | bytes]) -> Self:
        """Write files, by their paths in the folder: a rewritten rules file, a plugin."""
        for name, content in files.items():
            path = self.folder / name
            path.parent.mkdir(parents=True, exist_ok=True)
            text = self._with_client(content) if name == RULES_FILE else content
            path.write_bytes(text.encode() if isinstance(text, str) else text)
        return self

    def drop(self, name: str, content: bytes | None = None, *, noticed: bool = True) -> Self:
        """Put a file into the folder: a picture of the kind its suffix says, or ``content``.

        ``noticed=False`` is for files that no trigger is to notice: ``run`` does not wait.
        """
        path = self.folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        if content is None:
            content = paint(name)
        path.write_bytes(content)
        self._hashes[name] = hashlib.sha256(content).hexdigest()
        if noticed:
            source = FileSource.of(path, path.parent, path.stat())
            # Some systems' listings show no inode; then it is no part of the key.
            keys = (source.key, replace(source, inode=None).key)
            self.awaited.append(Dropped(path, keys))
        return self

    def seed(self, name: str, content: bytes | None = None) -> str:
        """Put a file into the client, as if its user had; give its hash."""
        content = paint(name) if content is None else content
        self._request("/add_files/add_file", content)
        self._hashes[name] = hashlib.sha256(content).hexdigest()
        return self._hashes[name]

    def ask(self, path: str, **parameters: str) -> Any:
        """Ask the client by a GET route, and give its answer: what is there after a run."""
        return json.loads(self._request(f"{path}?{urllib.parse.urlencode(parameters)}"))

    def tell(self, path: str, **content: object) -> None:
        """Change something in the client by a POST route, as if its user had."""
        self._request(path, json.dumps(content).encode(), "application/json")

    def _request(
        self, path: str, body: bytes | None = None, kind: str = "application/octet-stream"
    ) -> bytes:
        return request(self.url, self.access_key, path, body, kind)

    def sha256(self, name: str) -> str:
        """Give the hash of a file as it was dropped."""
        return self._hashes[name]

    def _with_client(self, content: str | bytes) -> str:
        text = content if isinstance(content, str) else content.decode()
        if not any(line.startswith(("client:", "clients:")) for line in text.splitlines()):
            text = f"client:\n  url: {{url}}\n  access_key: {{access_key}}\n\n{text}"
        if self._plugins:
            text = f"plugins: {json.dumps([str(p) for p in self._plugins])}\n{text}"
        return text.replace("{url}", self.url).replace("{access_key}", self.access_key)

    def configuration(self) -> Configuration:
        """Read the rules file, with the plugins. Raises ConfigError."""
        return read_configuration(self.folder / RULES_FILE, former=_beginning().former())

    def plan(self, *, clock: Clock | None = None) -> Plan:
        """Say what a run would do, as ``hydrusd plan`` does; changes nothing."""
        configuration = self.configuration()
        with ThreadPoolExecutor(1, "hydrusd") as thread:
            make = partial(make_plan, configuration, self.state_dir, clock=clock)
            return thread.submit(anyio.run, make).result()

    # --- running -------------------------------------------------------------------------

    def run(
        self,
        *,
        jobs: int = 0,
        until: Callable[[Project], bool] | None = None,
        clock: Clock | None = None,
        timeout_seconds: float = 20.0,
        configuration: Configuration | None = None,
    ) -> Self:
        """Run a daemon until all that was dropped was judged and all jobs have ended.

        ``jobs``: there must be that many jobs, too, for triggers that notice no files.
        ``until``: what to wait for instead; asked again and again, in a thread. ``clock``: the
        daemon's, the system's if none is given. ``configuration``: that of this project, read
        before. Raises NotAsExpected after ``timeout_seconds``, with all that the ledger knows;
        else what the daemon raises, ConfigError for rules that cannot be used.
        """
        __tracebackhide__ = True
        configuration = configuration or self.configuration()
        if not self.state_dir.exists():
            self.state_dir.mkdir()
            (self.state_dir / LEDGER_FILE).write_bytes(_beginning().ledger)
        clock = clock or SystemClock()
        watch = _Watch(self, configuration, jobs, clock.now())
        over = (lambda: until(self)) if until else watch.over
        # A thread of its own: the test may be running in an event loop itself.
        with ThreadPoolExecutor(1, "hydrusd") as thread, watch:
            in_time = thread.submit(
                anyio.run, self._run, configuration, over, watch, clock, timeout_seconds
            ).result()
        if not in_time:
            raise NotAsExpected(f"not over within {timeout_seconds:g} s; {self.story()}")
        self.awaited.clear()
        return self

    async def _run(
        self,
        configuration: Configuration,
        over: Callable[[], bool],
        watch: _Watch,
        clock: Clock,
        timeout_seconds: float,
    ) -> bool:
        daemon = Daemon(configuration, self.state_dir, clock=clock, observe=self.finished.append)
        failures: list[Exception] = []
        in_time = False
        async with anyio.create_task_group() as tasks:

            async def run() -> None:
                try:
                    await daemon.run()
                except Exception as error:  # noqa: BLE001 - raised again below, out of the group
                    failures.append(error)
                tasks.cancel_scope.cancel()

            tasks.start_soon(run, name="the daemon")
            began = anyio.current_time()
            with anyio.move_on_after(timeout_seconds):
                while not in_time:
                    # What takes long need not be looked at so often.
                    lasted = anyio.current_time() - began
                    await anyio.sleep(min(max(QUICKEST_LOOK, lasted / 10), SLOWEST_LOOK))
                    in_time = await to_thread.run_sync(over)
            watch.close()
            daemon.stop()
        if failures:
            raise failures[0]
        return in_time

    # --- what came of it -----------------------------------------------------------------

    @property
    def state_dir(self) -> Path:
        """Where the ledger lies."""
        return self.folder / "state"

    @property
    def jobs(self) -> list[JobView]:
        """All jobs with their steps, oldest first."""
        return self._read(lambda reader: reader.jobs(MOST_JOBS), [])

    @property
    def dead_letters(self) -> list[DeadLetter]:
        """The jobs that gave up, newest first."""
        return self._read(lambda reader: reader.dead(MOST_JOBS), [])

    @property
    def passed_over(self) -> list[PassedOver]:
        """What was noticed and not wanted, with the reasons, oldest first."""
        return self._read(lambda reader: reader.passed_over(MOST_JOBS), [])

    @property
    def conditions(self) -> list[LaneStatus]:
        """What client, rules and triggers are in."""
        return self._read(lambda reader: reader.conditions(), [])

    def job(self, name: str) -> JobView:
        """Give the newest job of a file. Raises LookupError where there is none."""
        for job in reversed(self.jobs):
            if (source := FileSource.from_data(job.data)) and source.path == self.folder / name:
                return job
        raise LookupError(f"no job for {name}; {self.story()}")

    def assert_success(self) -> Self:
        """Raise NotAsExpected unless there are jobs and all of them are done."""
        __tracebackhide__ = True
        states = {job.state for job in self.jobs}
        if states != {JobState.DONE}:
            raise NotAsExpected(f"not all jobs are done; {self.story()}")
        return self

    def story(self) -> str:
        """Tell what the ledger knows, for people: conditions, jobs, steps, reasons."""
        lines = ["the ledger knows:"]
        lines += [f"  {c.kind} {c.name}: {c.state} {c.reason}".rstrip() for c in self.conditions]
        jobs = self.jobs
        details = {letter.job_id: letter.detail for letter in self.dead_letters}
        for job in jobs[-MOST_JOBS_TOLD:]:
            source = FileSource.from_data(job.data)
            what = source.path.relative_to(source.root) if source else dict(job.data)
            reason = f": {details[job.job_id]}" if not job.steps and job.job_id in details else ""
            lines.append(f"  job {job.job_id} of '{job.rule}', {what}: {job.state}{reason}")
            lines += [f"    {s.action}: {s.outcome} {s.detail}".rstrip() for s in job.steps]
        if len(jobs) > MOST_JOBS_TOLD:
            lines.insert(1, f"  {len(jobs)} jobs, of which the newest are told")
        lines += [f"  not noticed: {dropped.path}" for dropped in self._unnoticed(jobs)]
        return "\n".join([*lines, *([] if jobs else ["  no jobs"])])

    def _unnoticed(self, jobs: Sequence[JobView]) -> list[Dropped]:
        noticed = {s.path for job in jobs if (s := FileSource.from_data(job.data))}
        return [dropped for dropped in self.awaited if dropped.path not in noticed]

    def _read(self, what: Callable[[LedgerReader], T], nothing: T) -> T:
        if not (self.state_dir / LEDGER_FILE).is_file():
            return nothing
        reader = LedgerReader.open(self.state_dir / LEDGER_FILE)
        try:
            return what(reader)
        finally:
            reader.close()


class _Watch:
    """Looks whether all is over: everything judged, every job ended."""

    def __init__(
        self, project: Project, configuration: Configuration, jobs: int, began: datetime
    ) -> None:
        book = RuleBook(configuration.rules, configuration.vocabulary, configuration.expressions)
        self._sources = book.sources()
        self._path = project.state_dir / LEDGER_FILE
        self._jobs = jobs
        self._awaited = list(project.awaited)
        self._began = began
        self._reader: LedgerReader | None = None

    def __enter__(self) -> Self:
        """Give itself; leaving closes it."""
        return self

    def __exit__(self, *_: object) -> None:
        """Close it."""
        self.close()

    def close(self) -> None:
        """Let go of the ledger, before the daemon closes it: the last one tidies up."""
        if self._reader is not None:
            self._reader.close()
            self._reader = None

    def over(self) -> bool:
        """Say whether it is. Called in a thread."""
        if self._reader is None:
            try:
                self._reader = LedgerReader.open(self._path)
            except LedgerError:
                return False  # the daemon has only just begun
        reader = self._reader
        if self._awaited:
            noticed = {_identity(job) for job in reader.jobs(MOST_JOBS)}
            self._awaited = [d for d in self._awaited if not noticed.intersection(d.keys)]
        if self._awaited:
            self._awaited = self._unjudged()
        # Counted last: what was judged by now has its jobs by now.
        counts = reader.counts()
        # Before the lane has looked for the client, rules may still prove to be wrong.
        begun = any(c.kind == "client" and c.since >= self._began for c in reader.conditions())
        open_jobs = any(count.state not in _ENDINGS for count in counts)
        enough = sum(count.jobs for count in counts) >= self._jobs
        return begun and enough and not self._awaited and not open_jobs

    def _unjudged(self) -> list[Dropped]:
        """Give those that await their verdict; where no rule wanted a file, it has made no job."""
        ledger = Ledger.open(self._path, exclusive=False)
        try:
            return [d for d in self._awaited if not self._judged(ledger, d)]
        finally:
            ledger.close()

    def _judged(self, ledger: Ledger, dropped: Dropped) -> bool:
        return any(
            len(ledger.unseen(source.name, dropped.keys, source.revisions)) < len(dropped.keys)
            for source in self._sources
        )


def _identity(job: JobView) -> str:
    source = FileSource.from_data(job.data)
    return source.key if source else ""
