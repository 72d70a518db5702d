"""What the benchmarks about folders share: trees of files, a bare walk, a daemon to watch.

The daemon is the real program in a process of its own, whose memory and time the system
counts: Linux tells both in ``/proc``.
"""

from __future__ import annotations

import json
import os
import signal
import sqlite3
import subprocess
import sys
import threading
import time
from contextlib import closing
from pathlib import Path
from typing import Self

from hydrusd.daemon import LEDGER_FILE

CLOSED = "http://127.0.0.1:9"
"""A client that is away."""


def make_tree(where: Path, count: int, *, in_folder: int = 100) -> None:
    """Make tiny files, so many to a folder and 100 folders to a folder."""
    for first in range(0, count, in_folder):
        folder = where / f"{first // in_folder // 100:04}" / f"{first // in_folder % 100:02}"
        folder.mkdir(parents=True, exist_ok=True)
        for number in range(first, min(first + in_folder, count)):
            make_file(f"{folder}/picture {number:07}.jpg", b"%d" % number)


def make_file(path: str, content: bytes) -> None:
    """Write a file with as few calls as that takes."""
    handle = os.open(path, os.O_CREAT | os.O_WRONLY | os.O_TRUNC, 0o644)
    os.write(handle, content)
    os.close(handle)


def walk_bare(where: Path) -> int:
    """List and stat everything below a folder, the barest a program can do; count the files."""
    count, folders = 0, [str(where)]
    while folders:
        with os.scandir(folders.pop()) as entries:
            for entry in entries:
                if entry.is_dir(follow_symlinks=False):
                    folders.append(entry.path)
                else:
                    entry.stat(follow_symlinks=False)
                    count += 1
    return count


def time_bare(where: Path) -> float:
    """Give the seconds of a bare walk with the system's caches warm."""
    walk_bare(where)
    began = time.perf_counter()
    walk_bare(where)
    return time.perf_counter() - began


class DaemonProcess:
    """``hydrusd run`` with a rules file in ``where`` and the ledger beside it.

    ``lines`` are what it has logged, with the seconds of this process's clock at which it came.
    """

    def __init__(self, where: Path, rules: str) -> None:
        (where / "rules.yaml").write_text(rules, encoding="utf-8")
        self.ledger = where / "state" / LEDGER_FILE
        self.lines: list[tuple[float, str]] = []
        command = [sys.executable, "-m", "hydrusd", "run", str(where / "rules.yaml"), "--json"]
        self.process = subprocess.Popen(
            [*command, "--state-dir", str(where / "state"), "--safe-mode"],
            stderr=subprocess.PIPE,
            stdout=subprocess.STDOUT if sys.platform == "win32" else subprocess.DEVNULL,
            text=True,
        )
        threading.Thread(target=self._read, daemon=True).start()

    def _read(self) -> None:
        assert self.process.stderr is not None
        for line in self.process.stderr:
            self.lines.append((time.perf_counter(), json.loads(line)["event"]))

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        """End it the hard way: what matters must survive that anyhow."""
        self.process.send_signal(signal.SIGKILL)
        self.process.wait()

    def said(self, words: str, seconds: float = 3600) -> float:
        """Wait until it logs some words; give when that was."""
        until = time.perf_counter() + seconds
        while time.perf_counter() < until:
            for at, line in self.lines:
                if words in line:
                    return at
            if self.process.poll() is not None:
                break
            time.sleep(0.005)
        raise SystemExit(f"the daemon did not say {words!r}: {self.lines[-5:]}")

    def memory(self, *, peak: bool = False) -> float:
        """Give its resident memory in MB, now or at its most."""
        status = Path(f"/proc/{self.process.pid}/status").read_text(encoding="ascii")
        return int(status.split("VmHWM:" if peak else "VmRSS:")[1].split()[0]) / 1024

    def bytes_read(self) -> int:
        """Say how many bytes it has read by any call so far."""
        text = Path(f"/proc/{self.process.pid}/io").read_text(encoding="ascii")
        return int(text.split("rchar:")[1].split()[0])

    def cpu_seconds(self) -> float:
        """Give the time for which it has kept a core busy so far."""
        text = Path(f"/proc/{self.process.pid}/stat").read_text(encoding="ascii")
        fields = text.rpartition(")")[2].split()
        return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")

    def ask(self, query: str) -> int:
        """Ask the ledger for a number, from outside."""
        uri = f"{self.ledger.absolute().as_uri()}?mode=ro"
        with closing(sqlite3.connect(uri, uri=True, timeout=60)) as connection:
            return int(connection.execute(query).fetchone()[0])

    def wait_for(self, query: str, count: int, *, pause: float = 0.5) -> None:
        """Wait until the ledger gives this number for a query."""
        self.said("started with")
        while self.ask(query) < count:
            if self.process.poll() is not None:
                raise SystemExit(f"the daemon ended: {self.lines[-5:]}")
            time.sleep(pause)
