"""Files that are touched, replaced, doubled or taken away with their disk, from end to end."""

from __future__ import annotations

import hashlib
import os
import shutil
import sys
from pathlib import Path

import anyio
import pytest

sys.path.insert(0, str(Path(__file__).parents[1] / "builtin"))

from mounting import CAN_MOUNT, Disk

from hydrusd.clock import SystemClock
from hydrusd.hydrus import HydrusClient
from hydrusd.model import JobState
from hydrusd.simulator import Fault, FaultKind, SimulatorConfig
from hydrusd.testing import paint

ADD_FILE = "/add_files/add_file"
HEAD = """
client: {url: '{url}', access_key: '{access_key}', commit_wait: 100ms}
rules:
  - name: import
    on: {watch_folder: {path: inbox, settle: 50ms}}
    do:
      - add_file:
      - add_tags: {my tags: ["name:{{ file.stem }}"]}
"""
MOVING = HEAD + "      - move_source: {to: moved}\n"
WAYS = ["moved", "mounted"] if CAN_MOUNT else ["moved"]


class HurriedClock(SystemClock):
    """Sixty times as fast, so that a rule that waits for a minute waits for a second."""

    def __init__(self, *, hurry=60):
        self._hurry = hurry
        self._began = super().now()

    def now(self):
        return self._began + (super().now() - self._began) * self._hurry

    def monotonic(self):
        return super().monotonic() * self._hurry

    async def sleep(self, seconds):
        await anyio.sleep(seconds / self._hurry)


def sha256(content):
    return hashlib.sha256(content).hexdigest()


def outcomes(job):
    return {step.action: step.detail for step in job.steps}


# --- one file, one import --------------------------------------------------------------------


def test_file_that_is_only_touched_is_recognised_and_nothing_is_sent_again(project):
    made = project({"rules.yaml": HEAD})
    made.drop("inbox/a.jpg").run().assert_success()
    os.utime(made.folder / "inbox/a.jpg", (1_700_000_000, 1_700_000_000))
    made.run(jobs=2).assert_success()
    first, second = made.jobs
    assert outcomes(first)["add_file"] == "imported"
    assert outcomes(second)["add_file"] == "already in Hydrus"
    assert made.simulator.requests[ADD_FILE] == 1
    assert made.simulator.tags(made.sha256("inbox/a.jpg")) == {0: {"name:a"}}


def test_touched_back_it_is_the_file_that_it_was(project):
    made = project({"rules.yaml": HEAD})
    made.drop("inbox/a.jpg")
    before = (made.folder / "inbox/a.jpg").stat().st_mtime_ns
    made.run().assert_success()
    os.utime(made.folder / "inbox/a.jpg", ns=(before, 10**18))
    made.run(jobs=2)
    os.utime(made.folder / "inbox/a.jpg", ns=(before, before))
    made.drop("inbox/b.jpg").run().assert_success()
    assert len(made.jobs) == 3


def test_same_bytes_under_two_names_are_one_file_with_the_tags_of_both(project):
    made = project({"rules.yaml": MOVING})
    made.drop("inbox/a.jpg")
    content = (made.folder / "inbox/a.jpg").read_bytes()
    made.drop("inbox/b.jpg", content).drop("inbox/album/a.jpg", content)
    (made.folder / "inbox/c.jpg").hardlink_to(made.folder / "inbox/a.jpg")
    made.run(jobs=4).assert_success()
    assert made.simulator.files.keys() == {sha256(content)}
    assert made.simulator.tags(sha256(content)) == {0: {"name:a", "name:b", "name:c"}}
    assert not [path for path in (made.folder / "inbox").rglob("*") if path.is_file()]
    assert {sha256(path.read_bytes()) for path in (made.folder / "moved").iterdir()} == {
        sha256(content)
    }


# --- replaced on the way ---------------------------------------------------------------------


def rewrite_in_place(path, content):
    """Leave nothing to tell by: same size, same time, same inode."""
    status = path.stat()
    with path.open("r+b") as file:
        file.write(content)
    os.utime(path, ns=(status.st_atime_ns, status.st_mtime_ns))


def put_another(path, content):
    (path.parent / "new.tmp").write_bytes(content)
    (path.parent / "new.tmp").replace(path)


@pytest.mark.parametrize("meddle", [rewrite_in_place, put_another])
def test_what_is_replaced_while_it_is_sent_is_sent_as_what_it_is_then(project, monkeypatch, meddle):
    made = project({"rules.yaml": MOVING})
    made.drop("inbox/a.jpg").drop("inbox/b.jpg")
    path = made.folder / "inbox/a.jpg"
    old = path.read_bytes()
    new = old[:-1] + bytes([old[-1] ^ 1])  # behind the end of the picture: still one
    add_file = HydrusClient.add_file
    meddled = []

    async def meddling(self, source, **arguments):
        if source == path and not meddled:
            meddled.append(True)
            meddle(path, new)
        return await add_file(self, source, **arguments)

    monkeypatch.setattr(HydrusClient, "add_file", meddling)
    moved = made.folder / "moved"
    made.run(
        until=lambda p: len(list(moved.glob("*"))) == 2 and not (p.folder / "inbox/a.jpg").exists(),
        clock=HurriedClock(),
    )
    # The old bytes were hashed, the new ones were there: neither was sent under the other's name.
    assert made.simulator.files.keys() == {sha256(new), made.sha256("inbox/b.jpg")}
    assert (moved / "a.jpg").read_bytes() == new


# --- a disk that goes ------------------------------------------------------------------------


@pytest.fixture(params=WAYS)
def disk(request, tmp_path):
    folder = tmp_path / "place"
    folder.mkdir()
    disk = Disk(folder, real=request.param == "mounted")
    yield disk
    disk.close()


def until_parked(made, clock):
    made.run(
        until=lambda p: any(c.kind == "rule" and c.state == "parked" for c in p.conditions),
        clock=clock,
    )


def test_disk_that_goes_before_the_import_takes_nothing_with_it(project, tmp_path, disk):
    made = project({"place/rules.yaml": ""})
    made.folder = tmp_path / "place"
    made.write({"rules.yaml": MOVING})
    made.simulator.inject(Fault(kind=FaultKind.STATUS, times=10**6))
    for name in ("a", "b", "c"):
        made.drop(f"inbox/{name}.jpg")
    made.run(until=lambda p: len(p.jobs) == 3)
    assert {job.state for job in made.jobs} == {JobState.READY}
    disk.unplug()
    made.simulator.clear_faults()
    # The daemon starts anew, and finds an empty folder.
    until_parked(made, HurriedClock())
    assert {job.state for job in made.jobs} == {JobState.READY}
    reason = next(c.reason for c in made.conditions if c.kind == "rule")
    assert "away" in reason
    assert made.simulator.files == {}
    disk.plug()
    made.run(clock=HurriedClock(), jobs=3).assert_success()
    assert len(made.jobs) == 3
    assert made.simulator.files.keys() == {made.sha256(f"inbox/{n}.jpg") for n in "abc"}
    assert made.simulator.requests[ADD_FILE] == 3
    assert not any((tmp_path / "place/inbox").iterdir())


def test_disk_that_goes_after_the_import_is_cleared_when_it_is_back(project, tmp_path, disk):
    rules = MOVING.replace("move_source: {to: moved}", "trash_source: {folder: moved}")
    # This client cannot be told to commit, and is waited for.
    made = project({"place/rules.yaml": ""}, SimulatorConfig(api_version=32))
    made.folder = tmp_path / "place"
    made.write({"rules.yaml": rules.replace("100ms", "1h")})
    made.drop("inbox/a.jpg")
    made.run(until=lambda p: any(job.state is JobState.SETTLING for job in p.jobs))
    disk.unplug()
    made.write({"rules.yaml": rules})
    until_parked(made, HurriedClock())
    assert made.jobs[0].state not in {JobState.DONE, JobState.SKIPPED, JobState.DEAD}
    disk.plug()
    made.run(clock=HurriedClock()).assert_success()
    assert len(made.jobs) == 1
    assert sha256((tmp_path / "place/moved/a.jpg").read_bytes()) == made.sha256("inbox/a.jpg")


# --- odd names -------------------------------------------------------------------------------

if sys.platform == "linux":

    def test_files_with_odd_names_come_through(project):
        made = project({"rules.yaml": MOVING})
        names = ["two\nlines.jpg", "{{ 7 * 7 }}.png", "-rf.gif", "x" * 251 + ".jpg", "con.webp",
                 "a:b.png", "😀.jpg", " spaces .png"]  # fmt: skip
        for number, name in enumerate(names):
            made.drop(f"inbox/{name}", paint(f"{number}{Path(name).suffix}"))
        shutil.copy(made.folder / "inbox/-rf.gif", made.folder / "original.gif")
        os.mkfifo(made.folder / "inbox" / "pipe.jpg")
        (made.folder / "inbox" / "link.jpg").symlink_to(made.folder / "original.gif")
        made.run()
        assert sorted(path.name for path in (made.folder / "moved").iterdir()) == sorted(names)
        assert made.simulator.files.keys() == {made.sha256(f"inbox/{name}") for name in names}
        assert sorted(p.name for p in (made.folder / "inbox").iterdir()) == ["link.jpg", "pipe.jpg"]
        assert made.simulator.tags(made.sha256("inbox/{{ 7 * 7 }}.png")) == {
            0: {"name:{{ 7 * 7 }}"}
        }

    def test_file_whose_name_is_no_text_comes_through_where_no_tag_is_made_of_it(project):
        made = project({"rules.yaml": MOVING.replace("name:{{ file.stem }}", "from:inbox")})
        name = os.fsdecode(b"caf\xe9.jpg")
        made.drop(f"inbox/{name}", paint("a.jpg")).run().assert_success()
        assert (made.folder / "moved" / name).exists()
