"""A daemon in a thread of its own, on a clock that hurries, and what came of its reloads."""

from __future__ import annotations

import threading
import time
import uuid
from collections import Counter
from datetime import timedelta

import anyio
import pytest

from hydrusd import reloading
from hydrusd.clock import SystemClock
from hydrusd.daemon import LEDGER_FILE, Daemon, read_configuration
from hydrusd.errors import LedgerError
from hydrusd.ledger import Ledger
from hydrusd.model import JobState
from hydrusd.reloading import answer_to, ask_for_reload

SPEED = 10
DEADLINE_SECONDS = 60
SELDOM_SECONDS = 98_765.0
"""A time that nobody else sleeps for."""
ENDINGS = {JobState.DONE, JobState.SKIPPED, JobState.DEAD}


class Hurrying(SystemClock):
    """Runs faster than others."""

    def __init__(self, speed=SPEED):
        self.speed = speed
        self._began = super().now()
        self._zero = super().monotonic()
        self.sleeps = Counter()

    def now(self):
        return self._began + timedelta(seconds=self.monotonic())

    def monotonic(self):
        return (super().monotonic() - self._zero) * self.speed

    async def sleep(self, seconds):
        self.sleeps[seconds] += 1
        try:
            while seconds == SELDOM_SECONDS == reloading.LOOK_SECONDS:  # noqa: ASYNC110 - set in another thread
                await anyio.sleep(0.005)
            await anyio.sleep(0 if seconds == SELDOM_SECONDS else seconds / self.speed)
        finally:
            self.sleeps[seconds] -= 1


class Living:
    """A project whose daemon reads its rules again, as that of `hydrusd run` does."""

    def __init__(self, project):
        self.project = project
        self.folder = project.folder
        self._path = project.state_dir / LEDGER_FILE
        self._thread = threading.Thread(target=anyio.run, args=(self._run,), name="daemon")
        self._loop_calls = []
        self._clock = Hurrying()
        self._daemon = None
        self.failure = None

    # --- the daemon ----------------------------------------------------------------------

    def start(self):
        self._thread.start()
        self.wait_until(self._has_begun)

    def _has_begun(self):
        try:
            return self.condition("client") is not None
        except LedgerError:
            return False  # it is just being made

    def stop(self):
        if self._thread.is_alive():
            self._token.run_sync(self._daemon.stop)
            self._thread.join(DEADLINE_SECONDS)
        assert not self._thread.is_alive()
        if self.failure is not None:
            raise self.failure

    async def _run(self):
        path = self.folder / "rules.yaml"
        self._token = Token()
        try:
            self._daemon = Daemon(
                read_configuration(path, tolerant=True),
                self.project.state_dir,
                clock=self._clock,
                observe=self.project.finished.append,
                read_again=lambda former: read_configuration(path, tolerant=True, former=former),
            )
            await self._daemon.run()
        except Exception as error:  # noqa: BLE001 - raised again by whoever waits
            self.failure = error

    # --- reading the rules again ---------------------------------------------------------

    def write(self, files):
        self.project.write(files)

    def reload(self, files=None):
        """Write files, ask the daemon to read them, and give its answer.

        It looks at them by itself, too, and what it has found has then nothing new in it for
        who asks: so it is made to rest before they are written.
        """
        if files is None:
            return self._ask()
        often = reloading.LOOK_SECONDS
        reloading.LOOK_SECONDS = SELDOM_SECONDS
        try:
            self.wait_until(lambda: self._clock.sleeps[SELDOM_SECONDS])
            self.write(files)
            return self._ask()
        finally:
            reloading.LOOK_SECONDS = often
            self.wait_until(lambda: not self._clock.sleeps[SELDOM_SECONDS])

    def _ask(self):
        ledger = Ledger.open(self._path, exclusive=False)
        try:
            request = uuid.uuid4().hex
            ask_for_reload(ledger, request, SystemClock().now())
            self.wait_until(lambda: answer_to(ledger, request) is not None)
            return answer_to(ledger, request)
        finally:
            ledger.close()

    # --- what came of it -----------------------------------------------------------------

    def drop(self, *names):
        for name in names:
            self.project.drop(name)

    def wait_until(self, condition):
        end = time.monotonic() + DEADLINE_SECONDS
        while not condition():
            if self.failure is not None:
                raise self.failure
            if time.monotonic() > end:
                pytest.fail(f"not so in time; {self.project.story()}", pytrace=False)
            time.sleep(0.02)

    def wait_for_jobs(self, count):
        """Wait until there are so many jobs and all of them have ended."""
        self.wait_until(
            lambda: [job.state in ENDINGS for job in self.project.jobs] == [True] * count
        )

    def tags(self, name):
        return self.project.simulator.tags(self.project.sha256(name))[0]

    def condition(self, kind, name=None):
        """Give the state of what is called like this; None where nothing is said of it."""
        found = [c for c in self.project.conditions if c.kind == kind]
        return next((c for c in found if name is None or c.name == name), None)

    def reason(self, kind):
        found = self.condition(kind)
        return found.reason if found is not None else ""

    def state_of(self, name):
        """Give the state of the newest job of a file; None where there is none (yet)."""
        try:
            return self.project.job(name).state
        except LookupError:
            return None


class Token:
    """What another thread needs to have something called on this event loop."""

    def __init__(self):
        self._token = anyio.lowlevel.current_token()

    def run_sync(self, function):
        anyio.from_thread.run_sync(function, token=self._token)
