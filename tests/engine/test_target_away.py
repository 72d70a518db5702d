"""A disk that is away while files are to be written to it: nothing is put where it was."""

from __future__ import annotations

import os
import sys
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).parents[1] / "builtin"))

from mounting import CAN_MOUNT, Disk, mounted

from hydrusd.engine import targets
from hydrusd.engine.targets import AWAY_SECONDS, Targets, _missing, waits_for
from hydrusd.errors import TemporaryError
from hydrusd.ledger import Ledger, forget_mount, mounts_written_to
from hydrusd.mounts import FolderIdentity, Ground
from hydrusd.plugin import Call

pytestmark = pytest.mark.anyio

RULE = """
  - name: import
    on: {{watch_folder: {{path: inbox}}}}
    do:
      - add_file:
      - {step}
"""
STEPS = {
    "move_source": "move_source: {to: disk/done}",
    "copy_source": "copy_source: {to: 'disk/{{ file.stem }}'}",
    "trash_source": "trash_source: {folder: disk/trash}",
    "export_file": "export_file: {to: disk}",
    "write_sidecar": "write_sidecar: {to: disk/notes, format: json}",
}
HOURS = 1.01 * AWAY_SECONDS / 3600


# --- what is concluded -----------------------------------------------------------------------


def ground(real, mount):
    return Ground(os.path.normpath(real), os.path.normpath(mount) if mount else "", 1)


@pytest.mark.parametrize(
    ("real", "mount", "missing"),
    [
        ("/mnt/a/done", "/mnt/a", None),
        ("/mnt/a/done", "/", "/mnt/a"),
        ("/mnt/a", "/", "/mnt/a"),
        ("/mnt/a/done", "/mnt", "/mnt/a"),
        ("/mnt/a/done", "", "/mnt/a"),  # a drive of Windows has nothing above it
        ("/mnt/a/done", "/mnt/a/done", None),
        ("/mnt/a/in/done", "/mnt/a", "/mnt/a/in"),
        ("/mnt/a/in/done", "/", "/mnt/a/in"),
        ("/mnt/ab", "/", None),
        ("/mnt/b", "/", None),
        ("/elsewhere", "/", None),
    ],
)
def test_a_target_waits_where_a_mount_is_missing_that_it_lay_on(real, mount, missing):
    known = {os.path.normpath(point): "" for point in ("/mnt/a", "/mnt/a/in")}
    expected = None if missing is None else os.path.normpath(missing)
    assert _missing(ground(real, mount), known) == expected


def test_a_folder_that_is_there_without_its_mount_is_no_other(tmp_path):
    identity = FolderIdentity.of(tmp_path)
    above = ground(tmp_path / "done", tmp_path.parents[-1])
    known = {str(tmp_path): identity.to_text()}
    assert _missing(above, known) is None
    other = FolderIdentity(identity.mount, identity.device, identity.inode + 1, 0)
    assert _missing(above, {str(tmp_path): other.to_text()}) == str(tmp_path)


def test_what_to_say_can_be_copied():
    assert "`hydrusd ledger forget-mount /mnt/a`" in waits_for(Path("/mnt/a/done"), "/mnt/a")
    assert 'forget-mount "/media/my disk"`' in waits_for(Path("/media/my disk"), "/media/my disk")


def test_a_folder_that_is_no_longer_on_the_disk_that_was_looked_at_is_refused(tmp_path):
    call = Call(None, 1, "r", {}, None, None)
    folder = tmp_path / "a" / "b"
    call.make_folder(folder)
    call.devices = {folder: folder.stat().st_dev}
    call.make_folder(folder)
    call.devices = {folder: folder.stat().st_dev + 1}
    with pytest.raises(TemporaryError, match="no longer there"):
        call.make_folder(folder)


async def test_what_is_on_no_disk_of_its_own_is_written_to_as_ever(bench):
    at = bench()
    async with at.running(RULE.format(step=STEPS["move_source"])):
        await at.notice("a.jpg")
        await at.rest()
        assert at.state("a.jpg") == "done"
    assert (at.folder / "disk" / "done" / "a.jpg").exists()


# --- disks that are pulled out ---------------------------------------------------------------

if CAN_MOUNT:

    @pytest.fixture
    def disk(tmp_path):
        disk = Disk(tmp_path, real=True, name="disk")
        yield disk
        disk.close()

    def files_in(folder):
        return sorted(path.name for path in folder.rglob("*") if path.is_file())

    async def wrote(at, step):
        """Have a step write to the disk, so that it is known."""
        async with at.running(RULE.format(step=step)):
            await at.notice("a.jpg")
            await at.rest()
            assert at.state("a.jpg") == "done"

    def is_waiting(at, *names):
        assert [at.state(name) for name in names] == ["ready"] * len(names)
        state, reason = at.condition("rule", "import")
        return state == "working" and "waits, the rest goes on" in reason and reason

    @pytest.mark.parametrize("name", STEPS)
    async def test_what_comes_to_a_disk_that_is_away_waits_for_it(bench, disk, name):
        at = bench()
        await wrote(at, STEPS[name])
        there = files_in(disk.root)
        assert len(there) == 1
        disk.unplug()
        async with at.running(RULE.format(step=STEPS[name])):  # known from another life
            await at.notice("b.jpg", "c.jpg")
            for _ in range(10):  # an error would have been given up by now
                await at.skip(HOURS)
            reason = is_waiting(at, "b.jpg", "c.jpg")
            assert f"what comes to {name} waits" in reason
            assert f"{disk.root} is not mounted" in reason
            assert at.steps("b.jpg")[name][0] == "later"
            assert list(disk.root.iterdir()) == []
            assert {"b.jpg", "c.jpg"} <= {path.name for path in (at.folder / "inbox").iterdir()}
            assert len(at.simulator.files) == 3
            disk.plug()
            await at.skip(HOURS)
            assert [at.state(each) for each in ("b.jpg", "c.jpg")] == ["done", "done"]
            assert at.condition("rule", "import") == ("working", "")
        assert len(files_in(disk.root)) == 3
        assert set(there) < set(files_in(disk.root))

    async def test_a_mount_point_that_is_taken_away_is_not_made_anew(bench, disk):
        at = bench()
        await wrote(at, STEPS["move_source"])
        disk.unplug()
        disk.root.rmdir()
        async with at.running(RULE.format(step=STEPS["move_source"])):
            await at.notice("b.jpg")
            await at.rest()
            assert is_waiting(at, "b.jpg")
        assert not disk.root.exists()
        disk.root.mkdir()

    async def test_what_lies_in_its_place_is_no_reason_to_put_more_there(bench, disk):
        (disk.root.parent / "link").symlink_to(disk.root / "done")
        at, step = bench(), "move_source: {to: link}"
        (disk.root / "done").mkdir()
        await wrote(at, step)
        disk.unplug()
        (disk.root / "done").mkdir()  # as one has left it that did not look
        (disk.root / "done" / "old.jpg").write_bytes(b"old")
        async with at.running(RULE.format(step=step)):
            await at.notice("b.jpg")
            await at.rest()
            assert f"{disk.root} is not mounted" in is_waiting(at, "b.jpg")
            assert files_in(disk.root) == ["old.jpg"]
            # Until a person says that it will not come back.
            ledger = Ledger.open(at.ledger_path, exclusive=False)
            assert list(mounts_written_to(ledger)) == [str(disk.root)]
            assert forget_mount(ledger, str(disk.root))
            assert not forget_mount(ledger, str(disk.root))
            ledger.close()
            await at.skip(HOURS)
            assert at.state("b.jpg") == "done"
            assert files_in(disk.root) == ["b.jpg", "old.jpg"]
            # One that is mounted there again is known again.
            disk.plug()
            await at.notice("c.jpg")
            await at.rest()
            disk.unplug()
            await at.notice("d.jpg")
            await at.rest()
            assert is_waiting(at, "d.jpg")

    async def test_a_disk_that_is_pulled_out_when_its_set_has_begun(bench, disk, monkeypatch):
        at = bench()
        await wrote(at, STEPS["move_source"])
        look = Targets.look

        async def pulled_out_then(self, folders, **options):
            looked = await look(self, folders, **options)
            disk.unplug()
            return looked

        async with at.running(RULE.format(step=STEPS["move_source"])):
            with monkeypatch.context() as pulling:
                pulling.setattr(Targets, "look", pulled_out_then)
                await at.notice("b.jpg", "c.jpg")
                await at.rest()
            outcome, detail = at.steps("b.jpg")["move_source"]
            assert (outcome, files_in(disk.root)) == ("retry", [])
            assert detail == f"the disk on which {disk.root / 'done'} was is no longer there"
            await at.skip(HOURS)
            assert is_waiting(at, "b.jpg", "c.jpg")
            disk.plug()
            await at.skip(HOURS)
            assert [at.state(each) for each in ("b.jpg", "c.jpg")] == ["done", "done"]
        assert files_in(disk.root) == ["a.jpg", "b.jpg", "c.jpg"]

    async def test_a_folder_that_was_mounted_upon_itself_is_not_waited_for(bench, tmp_path):
        at, step = bench(), STEPS["move_source"]
        folder = tmp_path / "disk"
        folder.mkdir()
        with mounted("--bind", folder, at=folder):
            await wrote(at, step)
        async with at.running(RULE.format(step=step)):
            await at.notice("b.jpg")
            await at.rest()
            assert at.state("b.jpg") == "done"

    async def test_only_what_goes_to_the_disk_waits(bench, disk):
        step = "move_source: {to: \"{{ 'disk' if file.stem == 'b' else 'here' }}\"}"
        at = bench()
        await wrote(at, STEPS["move_source"])
        disk.unplug()
        async with at.running(RULE.format(step=step)):
            await at.notice("b.jpg", "c.jpg")
            await at.rest()
            assert is_waiting(at, "b.jpg")
            assert at.state("c.jpg") == "done"

    async def test_looks_are_not_repeated_for_what_is_known(bench, disk, monkeypatch):
        at, kept = bench(), []
        monkeypatch.setattr(targets, "_kept", lambda mount: kept.append(mount) or "")
        async with at.running(RULE.format(step=STEPS["copy_source"])):
            for name in ("a.jpg", "b.jpg"):
                await at.notice(name)
                await at.rest()
        assert kept == [str(disk.root)]
