"""Follows the tutorial to the letter: saves its files, runs its commands, holds what they print
against what it says they print.

As a script it does so in a fresh environment, from ``pip install`` on (``.ci/run`` has it use a
wheel of this very source: ``python tests/meta/following.py WHEELS``). The test uses the present
environment, and skips nothing but the installing.
"""

from __future__ import annotations

import os
import re
import shlex
import shutil
import socket
import subprocess
import sys
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path

TUTORIAL = Path(__file__).parents[2] / "docs" / "your-first-plugin.md"
PATIENCE_SECONDS = 120.0
PORT = "45870"
_BLOCK = re.compile(r"^```(\w+)\n(.*?)^```", re.MULTILINE | re.DOTALL)
_SAVE = re.compile(r"[Ss]ave this as `([^`]+)`:\s*\Z")
_BESIDE = re.compile(r"\bIn a (second|third) terminal\b")


@dataclass(frozen=True)
class Block:
    """One block of the tutorial, and the paragraph before it."""

    language: str
    text: str
    before: str


def blocks_of(text):
    """Give the blocks of a tutorial, in order."""
    found, end = [], 0
    for block in _BLOCK.finditer(text):
        before = text[end : block.start()].strip().rpartition("\n\n")[2]
        found.append(Block(block[1], block[2], before))
        end = block.end()
    return found


class Follower:
    """Someone who does what the tutorial says, in a folder. ``environ`` is that of the commands."""

    def __init__(self, folder, environ, *, installs):
        self.folder = folder
        self.environ = environ
        self.installs = installs
        self.port = _free_port()
        self.done = []
        self._beside = []

    def follow(self, text):
        """Do all of it; raise AssertionError where it is not as told."""
        blocks = blocks_of(text.replace(PORT, str(self.port)))
        try:
            for block, after in zip(blocks, [*blocks[1:], None], strict=True):
                wanted = after.text if after and after.language == "text" else ""
                self._do(block, wanted)
        finally:
            self._stop()

    def _do(self, block, wanted):
        if block.language == "text":
            return
        if block.language == "sh" and _BESIDE.search(block.before):
            self._begin(block.text)
        elif block.language == "sh":
            self._run(block.text, wanted)
        else:
            saved = _SAVE.search(block.before)
            assert saved, f"nobody says what becomes of the block after: {block.before}"
            path = self.folder / saved[1]
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(block.text, encoding="utf-8")
            self.done.append(f"saved {saved[1]}")

    def _run(self, text, wanted):
        if not self.installs and "pip install" in text:
            return
        # What has to come about by itself may take a moment.
        until = time.monotonic() + PATIENCE_SECONDS * ("hydrusd api" in text or "explain" in text)
        while True:
            ended = subprocess.run(
                ["bash", "-euc", text],
                cwd=self.folder,
                env=self.environ,
                stdin=subprocess.DEVNULL,
                stdout=subprocess.PIPE,
                stderr=subprocess.STDOUT,
                text=True,
                encoding="utf-8",
                timeout=600,
                check=False,
            )
            if ended.returncode == 0 and _fits(ended.stdout, wanted):
                self.done.append(f"ran {text.strip()}")
                return
            self._look_beside()
            told = f"{text}exit code {ended.returncode}:\n{ended.stdout}\nwanted:\n{wanted}"
            assert time.monotonic() < until, told
            time.sleep(0.3)

    def _begin(self, text):
        with (self.folder / f"terminal-{len(self._beside) + 2}.txt").open("w") as told:
            process = subprocess.Popen(
                shlex.split(text),
                cwd=self.folder,
                env=self.environ,
                stdin=subprocess.DEVNULL,
                stdout=told,
                stderr=subprocess.STDOUT,
            )
        self._beside.append((text.strip(), process, Path(told.name)))
        if "simulator" in text:
            _wait_for(self.port)
        self.done.append(f"began {text.strip()}")

    def _look_beside(self):
        for text, process, told in self._beside:
            assert process.poll() is None, f"{text} has ended:\n{told.read_text()}"

    def _stop(self):
        for _, process, _ in reversed(self._beside):
            process.terminate()
            process.wait(60)


def _fits(printed, wanted):
    """Say whether lines were printed as told; ``…`` stands for anything, alone for any lines."""
    pattern = ""
    for line in wanted.splitlines():
        if line == "…":
            pattern += r"(?:.*\n)*?"
        else:
            pattern += ".*".join(map(re.escape, line.split("…"))) + r"\s*\n"
    return not wanted or re.search(pattern, f"{printed}\n") is not None


def _free_port():
    with socket.socket() as found:
        found.bind(("127.0.0.1", 0))
        return found.getsockname()[1]


def _wait_for(port):
    until = time.monotonic() + PATIENCE_SECONDS
    while True:
        try:
            socket.create_connection(("127.0.0.1", port), 1).close()
        except OSError:
            assert time.monotonic() < until, f"nobody listens on port {port}"
            time.sleep(0.05)
        else:
            return


def main(wheels):
    """Follow it in a fresh environment; ``wheels`` is a folder that has this source's wheel."""
    folder = Path(tempfile.mkdtemp(prefix="hydrusd-tutorial-"))
    try:
        environ = {
            **os.environ,
            "PIP_FIND_LINKS": str(Path(wheels).absolute()),
            "HOME": str(folder),
        }
        environ.pop("PYTHONPATH", None)
        follower = Follower(folder, environ, installs=True)
        follower.follow(TUTORIAL.read_text(encoding="utf-8"))
        sys.stdout.write("\n".join([*follower.done, ""]))
    finally:
        shutil.rmtree(folder)


if __name__ == "__main__":
    main(sys.argv[1])
