"""The ledger fails under a real daemon: it stops, says so, and nothing is lost or done twice."""

from __future__ import annotations

import os
import random
import signal
import subprocess
import sys
import time
from datetime import UTC, datetime

import pytest
from stage import digest, paint, wait_until

from hydrusd.errors import LedgerDamaged
from hydrusd.ledger import Occasion, Repair, back_up, examine

PAGE = 4096


@pytest.fixture(scope="module")
def pictures(tmp_path_factory):
    return paint(tmp_path_factory.mktemp("originals"), 60)


def drop(place, pictures, first, last):
    for relative, original in list(pictures.items())[first:last]:
        place.drop(relative, original)


def hydrusd(place, *arguments):
    state = place.ledger.parent
    return subprocess.run(
        [sys.executable, "-m", "hydrusd", *arguments, "--state-dir", str(state)],
        capture_output=True,
        encoding="utf-8",
        env=os.environ | {"PYTHONIOENCODING": "utf-8"},
        timeout=60,
        check=False,
    )


def check(place, simulator, pictures):
    """See that every picture is in the client, was sent once, and has left the inbox."""
    hashes = {digest(path) for path in pictures.values()}
    assert simulator.committed_files() == hashes
    assert simulator.imports() == dict.fromkeys(hashes, 1)
    assert place.waiting() == set()
    assert {digest(path) for path in place.trashed()} == hashes
    assert len(place.trashed()) == len(hashes)


def damage(path, *, seed):
    """Overwrite one page in five, but for the first ones, which SQLite opens a file by."""
    content = bytearray(path.read_bytes())
    chance = random.Random(seed)
    pages = range(30, len(content) // PAGE)
    for number in chance.sample(pages, max(len(pages) // 5, 3)):
        content[number * PAGE : (number + 1) * PAGE] = chance.randbytes(PAGE)
    path.write_bytes(content)


def test_a_damaged_ledger_stops_the_daemon_and_is_repaired(place, simulator, daemon, pictures):
    drop(place, pictures, 0, 30)
    wait_until(lambda: place.ended(30), "the first half imported")
    back_up(place.ledger, Occasion.DAILY, datetime.now(UTC))
    drop(place, pictures, 30, 50)
    wait_until(lambda: place.ended(50), "some more imported")
    assert daemon.stop() == 0

    damage(place.ledger, seed=4)
    assert examine(place.ledger).problems
    drop(place, pictures, 50, 60)
    daemon.start()
    wait_until(daemon.is_dead, "the daemon stopped")
    assert daemon.process.returncode == 1
    assert "`hydrusd ledger repair`" in daemon.words()
    assert "Traceback" not in daemon.words()

    mended = hydrusd(place, "ledger", "repair", "--yes")
    assert mended.returncode == 0, mended.stderr
    assert "The damaged ledger is kept as" in mended.stdout
    assert examine(place.ledger).problems == []

    daemon.start()
    wait_until(lambda: not place.waiting() and place.ended(1), "all imported")
    wait_until(lambda: place.states()["settling"] + place.states()["ready"] == 0, "all ended")
    check(place, simulator, pictures)
    assert place.states()["dead"] == 0
    assert daemon.stop() == 0


IN_PLACE = """
rules:
  - name: import
    on: {watch_folder: {path: inbox, settle: 50ms}}
    do: [add_file]
  - name: tell
    on: {watch_folder: {path: inbox, settle: 50ms}}
    do: [add_file, log: {message: "{{ file.name }}"}]
"""


def test_a_ledger_that_has_vanished_is_brought_back_from_its_backup(project):
    made = project({"rules.yaml": IN_PLACE})
    made.drop("inbox/a.jpg").run().assert_success()
    path = made.state_dir / "ledger.sqlite"
    back_up(path, Occasion.DAILY, datetime.now(UTC))
    made.drop("inbox/b.jpg").run(jobs=4).assert_success()
    path.unlink()

    with pytest.raises(LedgerDamaged, match="is gone, but there is"):
        made.run()
    assert not path.exists()
    mending = Repair.begin(path)
    mending.prepare(datetime.now(UTC), careful=lambda _: True)
    mending.finish(datetime.now(UTC))
    mending.close()
    assert [job.state.value for job in made.jobs] == ["done", "done"]
    # The file that was done since is noticed again, looked for in the client, and not sent again.
    made.drop("inbox/c.jpg").run(jobs=6).assert_success()
    assert set(made.simulator.imports().values()) == {1}
    assert len(made.simulator.imports()) == 3


@pytest.mark.skipif(sys.platform != "linux", reason="only Linux limits another process")
def test_a_disk_that_refuses_to_write_ends_it_and_it_goes_on_later(
    place, simulator, daemon, pictures
):
    """A quota, a disk that was pulled out: SQLite is told of an I/O error, not of a full disk."""
    import resource

    drop(place, pictures, 0, 20)
    wait_until(lambda: place.ended(20), "the first ones imported")
    resource.prlimit(daemon.process.pid, resource.RLIMIT_FSIZE, (PAGE, resource.RLIM_INFINITY))
    drop(place, pictures, 20, 60)
    wait_until(daemon.is_dead, "the daemon stopped")
    assert daemon.process.returncode == 1
    words = daemon.words()
    assert "disk I/O error" in words
    assert "within its quota" in words
    assert "Traceback" not in words

    daemon.start()
    wait_until(lambda: place.ended(60), "the rest imported")
    check(place, simulator, pictures)
    assert examine(place.ledger).problems == []
    assert daemon.stop() == 0


@pytest.mark.skipif(os.name == "nt", reason="Windows cannot stop a process and let it go on")
def test_stopped_in_the_middle_and_let_go_on_it_loses_nothing(place, simulator, daemon, pictures):
    """As a machine that is suspended: nobody is told, and meanwhile the client restarts."""
    drop(place, pictures, 0, 30)
    wait_until(lambda: simulator.imports().total() > 10, "some imported", pause=0.001)
    daemon.process.send_signal(signal.SIGSTOP)
    simulator.crash()
    drop(place, pictures, 30, 60)
    time.sleep(1.5)
    assert daemon.process.poll() is None
    daemon.process.send_signal(signal.SIGCONT)
    wait_until(lambda: place.ended(60), "all imported")
    hashes = {digest(path) for path in pictures.values()}
    assert simulator.committed_files() == hashes
    assert place.waiting() == set()
    assert daemon.stop() == 0
