"""Killed in the middle of doing or undoing: nothing is lost, and the receipts are true."""

from __future__ import annotations

import asyncio
import subprocess
import sys

import pytest
from stage import wait_until

RULES = """
rules:
  - name: import
    on: {watch_folder: {path: inbox, settle: 100ms}}
    do:
      - add_file:
      - add_tags: {my tags: ["from:inbox", "new"]}
      - move_source: {to: done}
"""
FILES = 24
KNOWN = 6


class Killing:
    """Kills a process when the client has done something for it, before it can hear of it."""

    def __init__(self, it):
        self.it = it
        self.process = None
        self.path = None
        self.skip = 0
        self.killed = False
        application = it.made.simulator._application
        inner = application._answer

        async def answer(scope, receive):
            answered = await inner(scope, receive)
            if scope["path"] == self.path and self.process is not None and not self.killed:
                self.skip -= 1
                if self.skip >= 0:
                    return answered
                self.killed = True
                self.process.kill()
                await asyncio.to_thread(self.process.wait)
            return answered

        application._answer = answer

    def start(self, *arguments, at=None, skip=0):
        self.path, self.skip, self.killed = at, skip, False
        folder = self.it.folder
        with (folder / "killed.log").open("ab") as log:
            self.process = subprocess.Popen(
                [
                    *(sys.executable, "-m", "hydrusd"),
                    *map(str, arguments),
                    *("--state-dir", str(self.it.made.state_dir)),
                ],
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                cwd=folder,
            )
        return self.process

    def die(self):
        """Wait until it is dead."""
        wait_until(lambda: self.process.poll() is not None, "killed")
        assert self.killed


@pytest.fixture
def story(undoing):
    """A project with files, some known to the client and tagged; and what kills its processes."""
    it = undoing(RULES)
    for number in range(KNOWN):
        it.tag(it.made.seed(f"inbox/{number}.png"), add=["from:inbox", "mine"])
    it.before = it.library()
    for number in range(FILES):
        it.made.drop(f"inbox/{number}.png")
    it.dropped = it.remains()
    killing = Killing(it)
    yield it, killing
    if killing.process is not None:
        killing.process.kill()
        killing.process.wait()


def own(remains):
    return {name: content for name, content in remains.items() if not name.endswith(".log")}


@pytest.mark.parametrize("at", ["/add_tags/add_tags", "/add_files/delete_files"])
def test_an_undo_that_was_killed_is_finished_and_its_receipts_are_whole(story, at):
    it, killing = story
    it.run(jobs=FILES)
    after, moved = it.library(), own(it.remains())
    killing.start("undo", "run", it.newest_run(), "--yes", at=at)
    killing.die()
    it.run(jobs=2 * FILES)
    assert it.library() == it.before
    assert own(it.remains()) == it.dropped
    it.undo("run", it.newest_run())
    assert it.library() == after
    assert own(it.remains()) == moved


def test_an_undo_killed_between_two_files_loses_none(story):
    it, killing = story
    it.run(jobs=FILES)
    after, moved = it.library(), own(it.remains())
    process = killing.start("undo", "run", it.newest_run(), "--yes")
    inbox = it.folder / "inbox"
    wait_until(lambda: len(list(inbox.glob("*.png"))) >= FILES // 4, "some are back", pause=0.001)
    process.kill()
    process.wait()
    assert set(it.dropped.values()) == set(own(it.remains()).values())
    it.run(jobs=2 * FILES)
    assert it.library() == it.before
    assert own(it.remains()) == it.dropped
    it.undo("run", it.newest_run())
    assert it.library() == after
    assert own(it.remains()) == moved


def test_what_a_killed_daemon_had_just_done_is_its_own_all_the_same(story):
    it, killing = story
    # The second request is about the files that the client had before.
    killing.start("run", "rules.yaml", at="/add_tags/add_tags", skip=1)
    killing.die()
    it.run(jobs=FILES)
    assert len(it.library()) == FILES
    it.undo("run", 1)
    assert it.library() == it.before
    assert own(it.remains()) == it.dropped


WRITES = """
rules:
  - name: copy
    on: {watch_folder: {path: inbox, settle: 100ms}}
    do:
      - add_file:
      - copy_source: {to: copies}
      - export_file: {to: exports}
      - write_sidecar: {beside: export, format: json}
"""


@pytest.mark.parametrize("of", ["copies/*.png", "exports/*.png", "exports/*.json"])
def test_what_a_killed_daemon_had_just_written_is_its_own_all_the_same(story, of):
    it, killing = story
    it.made.write({"rules.yaml": WRITES})
    process = killing.start("run", "rules.yaml")
    wait_until(lambda: any(it.folder.glob(of)), "the first is written", pause=0.001)
    process.kill()
    process.wait()
    it.run(jobs=FILES)
    assert len(own(it.remains())) == 4 * FILES, sorted(own(it.remains()))
    it.undo("run", 1)
    assert it.library() == it.before
    assert own(it.remains()) == it.dropped
