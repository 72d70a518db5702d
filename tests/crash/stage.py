"""What the real-process tests play on: real pictures, a client and a daemon to be killed.

Everything is done from the outside. The daemon and the simulated client are processes of
their own; what became of the files is read from the disk, from the ledger and from what
the client has committed.
"""

from __future__ import annotations

import hashlib
import http.client
import json
import os
import random
import shutil
import signal
import struct
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Callable, Mapping
from pathlib import Path, PurePosixPath

from PIL import Image

from hydrusd.errors import HydrusdError
from hydrusd.ledger import JobView, LedgerReader
from hydrusd.simulator import DEFAULT_ACCESS_KEY

KINDS = (("jpg", "JPEG"), ("png", "PNG"), ("webp", "WEBP"), ("gif", "GIF"))
ALBUMS = ("holiday/beach", "cats", "drawings")
MOST_FILES = 10_000
ON_WINDOWS = os.name == "nt"
STOP_SECONDS = 5
DEADLINE_SECONDS = 120

CLIENT = """\
client:
  url: {url}
  access_key: {key}
  commit_wait: {commit_wait:g}s

rules:
"""

RULES = """\
  - name: import all
    on:
      watch_folder: {{path: inbox, settle: {settle}}}
    do:
      - add_file:
      - add_tags:
          my tags:
            - from:inbox
            - "album:{{{{ file.parent.name }}}}"
            - "name:{{{{ file.stem }}}}"
      - trash_source: {{folder: trash}}
"""

# By Client API: what each of the clients that the simulator knows can be asked to do.
STEPS = (
    (11, "add_file:"),
    (11, ("add_tags: {{my tags: [from:inbox, 'album:{{{{ file.parent.name }}}}', "
         "'name:{{{{ file.stem }}}}']}}")),
    (11, "associate_url: {{add: 'https://pictures.example/{{{{ steps.add_file.hash }}}}'}}"),
    (38, ("set_notes: {{notes: {{source: 'from {{{{ file.relative }}}}'}}, merge: true, "
         "conflict: append}}")),
    (78, "add_viewing_time: {{time: 10s}}"),
    (11, "fire: {{rule: count, values: {{relative: '{{{{ file.relative }}}}'}}}}"),
    (11, "trash_source: {{folder: trash}}"),
)  # fmt: skip
FIRED = """\
  - name: count
    on: manual
    do: [log: {{message: "{{{{ relative }}}}", level: debug}}]
"""


def all_steps(api_version: int) -> str:
    """Give rules that do to each file all that could be lost or done twice on such a client."""
    steps = "".join(f"      - {step}\n" for since, step in STEPS if since <= api_version)
    return RULES.partition("    do:\n")[0] + "    do:\n" + steps + FIRED


def paint(folder: Path, count: int) -> dict[str, Path]:
    """Make small pictures, no two alike, in folders below; give each by its path in there.

    Every tenth has the name of another one, in another folder.
    """
    chance = random.Random(count)
    pictures: dict[str, Path] = {}
    for number in range(count):
        suffix, kind = KINDS[number % len(KINDS)]
        named = number - 4 if number % 10 == 9 else number
        relative = f"{ALBUMS[number % len(ALBUMS)]}/picture {named:04}.{suffix}"
        path = folder / relative
        path.parent.mkdir(parents=True, exist_ok=True)
        noise = Image.frombytes("RGB", (24, 18), chance.randbytes(24 * 18 * 3))
        noise.save(path, kind)
        pictures[relative] = path
    return pictures


def webm() -> bytes:
    """Give the smallest thing that is a WebM: its header, and a segment with nothing in it."""

    def element(identity: bytes, content: bytes) -> bytes:
        return identity + struct.pack(">Q", 1 << 56 | len(content)) + content

    header = element(b"\x42\x82", b"webm") + element(b"\x42\x87", b"\x04")
    return element(b"\x1a\x45\xdf\xa3", header) + element(b"\x18\x53\x80\x67", b"")


def tags_of(relative: str) -> set[str]:
    """Give the tags that the rule has for a file in the inbox."""
    path = PurePosixPath("inbox", relative)
    return {"from:inbox", f"album:{path.parent.name}", f"name:{path.stem}"}


def digest(path: Path) -> str:
    """Hash a file as the client does."""
    return hashlib.sha256(path.read_bytes()).hexdigest()


def wait_until(
    condition: Callable[[], object],
    what: str,
    *,
    pause: float = 0.02,
    seconds: float = DEADLINE_SECONDS,
) -> None:
    """Wait for a condition; AssertionError when it has not come true in that time."""
    end = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < end, f"{what}: not so after {seconds:g} seconds"
        time.sleep(pause)


class Place:
    """A folder with an inbox, a trash, the rules, and the state of both processes."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.inbox = folder / "inbox"
        self.trash = folder / "trash"
        self.ledger = folder / "state" / "ledger.sqlite"
        self.client_state = folder / "client"
        self.inbox.mkdir(parents=True)

    def write_rules(
        self,
        url: str,
        *,
        rules: str = RULES,
        settle: str = "200ms",
        commit_wait_seconds: float = 60,
    ) -> None:
        """Write the rules file; that of the main job, if nothing else is said."""
        text = (CLIENT + rules).format(
            url=url, key=DEFAULT_ACCESS_KEY, settle=settle, commit_wait=commit_wait_seconds
        )
        (self.folder / "rules.yaml").write_text(text, encoding="utf-8")

    def drop(self, relative: str, original: Path) -> None:
        """Put a copy of a file into the inbox."""
        target = self.inbox / relative
        target.parent.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(original, target)

    def waiting(self) -> set[str]:
        """Give what lies in the inbox."""
        return {p.relative_to(self.inbox).as_posix() for p in self.inbox.rglob("*") if p.is_file()}

    def trashed(self) -> list[Path]:
        """Give what lies in the trash, whatever it is."""
        return sorted(self.trash.iterdir()) if self.trash.is_dir() else []

    def jobs(self) -> list[JobView]:
        """Give all jobs of the ledger; none where there is no ledger yet."""
        try:
            reader = LedgerReader.open(self.ledger)
        except HydrusdError:
            return []
        try:
            return reader.jobs(MOST_FILES)
        finally:
            reader.close()

    def states(self) -> Counter[str]:
        """Count the jobs by state."""
        try:
            reader = LedgerReader.open(self.ledger)
        except HydrusdError:
            return Counter()
        try:
            states: Counter[str] = Counter()
            for count in reader.counts():  # one for each rule and state
                states[str(count.state)] += count.jobs
            return states
        finally:
            reader.close()

    def ended(self, jobs: int) -> bool:
        """Say whether so many jobs have come to an end and no other is left."""
        states = self.states()
        over = sum(states[state] for state in ("done", "skipped", "dead"))
        return over >= jobs and over == states.total()


class _Process:
    """A process of ours, its words going to a file; ``kill`` gives it no chance."""

    def __init__(
        self, folder: Path, name: str, arguments: list[str], *, launcher: Path | None = None
    ) -> None:
        """``launcher``: a script that runs the module in place of ``python -m``."""
        self._launcher = "-m" if launcher is None else str(launcher)
        self._command = [sys.executable, self._launcher, *arguments]
        self._folder = folder
        self.log = folder / f"{name}.log"
        self.process: subprocess.Popen[str] | None = None
        self._said_before = 0

    def _launch(self, *, stdout: int | None = None) -> subprocess.Popen[str]:
        # On Windows only a process group of its own can be sent a Ctrl-Break.
        flags = subprocess.CREATE_NEW_PROCESS_GROUP if sys.platform == "win32" else 0
        self.close()  # of one that has died by itself
        self._said_before = self.log.stat().st_size if self.log.exists() else 0
        with self.log.open("a", encoding="utf-8") as log:
            self.process = subprocess.Popen(
                self._command,
                cwd=self._folder,
                stdin=subprocess.DEVNULL,
                stdout=log if stdout is None else stdout,
                stderr=log,
                text=True,
                creationflags=flags,
            )
        return self.process

    def running(self) -> subprocess.Popen[str]:
        """Give the process, which has to be running."""
        assert self.process is not None
        assert self.process.poll() is None, f"it ended by itself:\n{self.words()}"
        return self.process

    def kill(self) -> None:
        """End it at once, and wait until it is really gone."""
        process = self.running()
        process.kill()
        process.wait()
        self.close()

    def is_dead(self) -> bool:
        """Say whether it was running and is no longer."""
        return self.process is not None and self.process.poll() is not None

    def close(self) -> None:
        """See to it that nothing is left of it."""
        if self.process is not None:
            self.process.kill()
            self.process.wait()
            if self.process.stdout:
                self.process.stdout.close()

    def said(self, words: str) -> bool:
        """Say whether these words are in its log since it was last started."""
        return words.encode() in self.log.read_bytes()[self._said_before :]

    def words(self) -> str:
        """Give the last lines of its log."""
        if not self.log.exists():
            return ""
        lines = self.log.read_text(encoding="utf-8", errors="replace").splitlines()
        return "\n".join(lines[-40:])


class DaemonProcess(_Process):
    """``hydrusd run`` on the rules of a place."""

    def __init__(self, place: Place, *, launcher: Path | None = None) -> None:
        state = str(place.ledger.parent)
        arguments = ["hydrusd", "run", "rules.yaml", "--state-dir", state]
        super().__init__(place.folder, "daemon", arguments, launcher=launcher)

    def start(self) -> None:
        """Start it. Does not wait until it is ready: it may be killed before."""
        self._launch()

    def wait_until_started(self) -> None:
        """Wait until it says that it has started."""
        wait_until(lambda: self.running() and self.said(" started "), "the daemon started")

    def stop(self, number: int | None = None) -> int | None:
        """Ask it to stop; give its exit code, or None where it did not stop in 5 seconds."""
        process = self.running()
        process.send_signal(number or stop_signal())
        try:
            return process.wait(timeout=STOP_SECONDS)
        except subprocess.TimeoutExpired:
            return None
        finally:
            self.close()


def stop_signal() -> int:
    """Give the signal by which a process is asked to stop on this system."""
    return signal.CTRL_BREAK_EVENT if sys.platform == "win32" else signal.SIGTERM


class ClientProcess(_Process):
    """A simulated client that keeps its port and its state when it is started again."""

    def __init__(
        self,
        place: Place,
        *,
        commit_seconds: float = 30,
        import_seconds: float = 0,
        api_version: int = 95,
        launcher: Path | None = None,
    ) -> None:
        self._port = 0
        self._options = [
            "hydrusd.simulator",
            *("--state-dir", str(place.client_state), "--control"),
            *("--commit-seconds", str(commit_seconds), "--import-seconds", str(import_seconds)),
            *("--api-version", str(api_version)),
        ]
        self._acknowledged = place.client_state / "acknowledged.log"
        super().__init__(place.folder, "client", [], launcher=launcher)

    def start(self) -> str:
        """Start it and give its URL."""
        self._command = [sys.executable, self._launcher, *self._options, "--port", str(self._port)]
        process = self._launch(stdout=subprocess.PIPE)
        assert process.stdout is not None
        url = process.stdout.readline().strip()
        assert url, f"the simulator did not start:\n{self.words()}"
        self._port = int(url.rpartition(":")[2])
        return url

    def acknowledged(self) -> list[str]:
        """Give the hashes answered with "imported", in order, over all its lives."""
        if not self._acknowledged.exists():
            return []
        return self._acknowledged.read_text(encoding="ascii").splitlines()

    def state(self) -> Mapping[str, object]:
        """Ask it what it holds; it has to be running."""
        connection = http.client.HTTPConnection("127.0.0.1", self._port, timeout=30)
        try:
            connection.request("GET", "/_simulator/state")
            answer = json.loads(connection.getresponse().read())
        finally:
            connection.close()
        assert isinstance(answer, dict)
        return answer
