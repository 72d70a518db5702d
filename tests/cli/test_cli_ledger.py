"""``hydrusd ledger``: what it says, asks and does, on the ledger of a real run."""

from __future__ import annotations

import json
import random

import pytest
from invoking import invoke

from hydrusd.ledger import Ledger, backups, examine, mounts_written_to, remember_mounts

RULES = """
rules:
  - name: import
    on: {watch_folder: {path: inbox, settle: 100ms}}
    do:
      - add_file:
"""


@pytest.fixture
def ran(project):
    made = project({"rules.yaml": RULES})
    made.drop("inbox/one.png").drop("inbox/two.png")
    return made.run(jobs=2)


@pytest.fixture
def ledger_file(ran):
    return ran.state_dir / "ledger.sqlite"


@pytest.fixture
def ask(ran):
    def ask(*arguments, code=0, answers=()):
        ended = invoke("ledger", *arguments, "--state-dir", ran.state_dir, answers=answers)
        assert ended.exit_code == code, ended.output
        return ended

    return ask


def spoil(path):
    """Leave the first page, so that it opens, and little behind it."""
    content = bytearray(path.read_bytes())
    content[3 * 4096 :] = random.Random(1).randbytes(len(content) - 3 * 4096)
    path.write_bytes(content)


def test_a_sound_ledger_and_its_backups(ask, ledger_file):
    told = ask("check").output
    assert str(ledger_file) in told
    assert "sound, 2 events, 2 jobs" in told
    assert "no backups" in told
    ask("backup")
    told = ask("check").output
    assert "asked for, sound" in told
    found = json.loads(ask("check", "--json").stdout)
    assert (found["sound"], found["problems"], found["rows"]["job"]) == (True, [], 2)
    assert [b["sound"] for b in found["backups"]] == [True]
    assert ask("repair", "--yes", code=1).stderr.strip().endswith("there is nothing to repair")


def test_a_backup_goes_where_it_is_wanted(ask, ledger_file, tmp_path):
    told = ask("backup").output
    [made] = backups(ledger_file)
    assert str(made.path) in told.replace("\n", "")
    target = tmp_path / "mine.sqlite"
    assert json.loads(ask("backup", "--to", target, "--json").stdout)["path"] == str(target)
    assert examine(target).rows["job"] == 2
    assert "exists already" in ask("backup", "--to", target, code=1).stderr


def test_while_a_daemon_runs_it_is_checked_and_backed_up_but_not_repaired(ask, ledger_file):
    running = Ledger.open(ledger_file)
    try:
        ask("check")
        ask("backup")
        spoilt = ledger_file.with_name("elsewhere.sqlite")
        spoilt.write_bytes(b"")
        assert "sound" in ask("repair", "--yes", code=1).stderr
    finally:
        running.close()


def test_a_damaged_one_is_told_and_repaired_once_a_person_agrees(ask, ran, ledger_file):
    ask("backup")
    spoil(ledger_file)
    before = ledger_file.read_bytes()

    told = ask("check", code=1)
    assert "damaged" in told.stdout
    assert "hydrusd ledger repair" in told.stderr
    assert not json.loads(ask("check", "--json", code=1).stdout)["sound"]
    refused = ask("repair", code=1, answers=["n"])
    assert "Put the repaired ledger in its place?" in refused.output
    assert "no file is lost" in refused.output
    assert ledger_file.read_bytes() == before

    done = ask("repair", answers=["y"]).output
    assert "The new ledger has 2 events and 2 jobs." in done
    assert "from the backup of" in done
    [kept] = ran.state_dir.glob("ledger.damaged-*.sqlite")
    assert kept.read_bytes() == before
    assert "sound, 2 events, 2 jobs" in ask("check").output
    # And the work goes on: what is there is known, what is new is imported.
    ran.drop("inbox/three.png").run(jobs=3).assert_success()
    assert set(ran.simulator.imports().values()) == {1}


def test_a_mount_that_is_gone_for_good_is_forgotten(ask, ledger_file):
    assert "known are: none" in ask("forget-mount", "/mnt/old", code=1).output
    ledger = Ledger.open(ledger_file)
    try:
        remember_mounts(ledger, {"/mnt/old": "", "/media/my \udce9 disk": "1 2 3 /media"})
        told = ask("forget-mount", "/mnt/olde", code=1).output
        assert r"known are: /media/my \udce9 disk, /mnt/old" in " ".join(told.split())
        assert "within five minutes: /mnt/old" in " ".join(
            ask("forget-mount", "/mnt/old").output.split()
        )
        assert mounts_written_to(ledger) == {"/media/my \udce9 disk": "1 2 3 /media"}
        # By the name as the system has it.
        told = ask("forget-mount", "/media/my \udce9 disk", "--json").stdout
        assert json.loads(told) == {"forgotten": "/media/my \udce9 disk"}
        assert mounts_written_to(ledger) == {}
    finally:
        ledger.close()


def test_for_programs(ask, ledger_file):
    ask("backup")
    ledger_file.unlink()
    found = json.loads(ask("repair", "--yes", "--json").stdout)
    assert (found["from_backup"], found["source"], found["kept"]) == (2, None, None)
    assert found["rows"]["job"] == 2


def test_where_there_is_nothing(hydrusd, tmp_path):
    for command in ("check", "backup"):
        code, _, complaints = hydrusd("ledger", command)
        assert code == 1
        assert "there is no ledger at" in complaints
    code, _, complaints = hydrusd("ledger", "repair", "--yes")
    assert code == 1
    assert "no backup" in complaints
    assert not (tmp_path / "state" / "ledger.sqlite").exists()


@pytest.mark.parametrize("command", ["check", "backup", "forget-mount", "repair"])
def test_help_fits(hydrusd, command):
    code, printed, _ = hydrusd("ledger", command, "--help")
    assert code == 0
    assert max(map(len, printed.splitlines())) <= 80
