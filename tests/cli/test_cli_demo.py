"""The demo does what it says, and leaves nothing behind."""

from __future__ import annotations

import json
import subprocess
import sys

import pytest
from rich.cells import cell_len
from rich.console import Console

from hydrusd.cli._demo import _Progress


def left_behind(terminal):
    return [p.name for p in terminal.temporary.iterdir() if p.name.startswith("hydrusd-demo-")]


def test_json_tells_that_every_picture_came_to_its_end(terminal):
    ended = terminal.run("demo", "--pictures", "6", "--json")
    assert (ended.returncode, ended.stderr) == (0, "")
    found = json.loads(ended.stdout)
    assert (found["committed"], found["trashed"], found["left"]) == (6, 6, ["notes.txt"])
    assert len({file["hash"] for file in found["files"]}) == 6
    for number, file in enumerate(found["files"], 1):
        album, _, name = file["file"].partition("/")
        suffix = name.removeprefix(f"{number:04}.")
        assert file["state"] == "done"
        assert file["tags"] == ["from:inbox", f"album:{album}", f"type:{suffix}"]
        assert file["source"].startswith("moved to ")
    assert not left_behind(terminal)


@pytest.mark.parametrize("encoding", ["utf-8", "ascii"])
def test_without_a_terminal_it_is_plain(terminal, encoding):
    ended = terminal.run("demo", "--pictures", "1", PYTHONIOENCODING=encoding, COLUMNS="80")
    assert (ended.returncode, ended.stderr) == (0, "")
    assert all(c == "\n" or c.isprintable() for c in ended.stdout)
    assert max(map(len, ended.stdout.splitlines())) <= 80
    assert "imported 0" not in ended.stdout  # no progress
    assert "0123456789abcdef" * 4 not in ended.stdout
    lines = ended.stdout.splitlines()
    assert any(line.startswith("1 files in ") for line in lines)
    assert lines[-1].endswith("moved to the trash (1). Left in the folder: notes.txt.")
    assert not left_behind(terminal)


def test_stopped_in_the_middle_it_leaves_nothing_behind(terminal):
    running = terminal.start("demo", "--pictures", "2000")
    running.wait_for("Dropping 2000 pictures")
    assert left_behind(terminal)
    assert running.stop() == 0
    assert running.output.endswith("Stopped; nothing is left behind.\n")
    assert not left_behind(terminal)


def test_nobody_reading_is_no_reason_for_a_traceback(terminal):
    with subprocess.Popen(
        [sys.executable, "-m", "hydrusd", "demo", "--pictures", "2"],
        env=terminal.environment,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
    ) as process:
        process.stdout.readline()
        process.stdout.close()
        assert process.stderr.read() == b""
        assert process.wait(60) == 1
    assert not left_behind(terminal)


@pytest.mark.parametrize("width", [20, 80, 120])
@pytest.mark.parametrize("pictures", [1, 24, 5000])
def test_progress_fits_its_line(width, pictures):
    console = Console(width=width)
    lines = [
        _Progress(imported=i, committed=c, trashed=t).line(pictures, console).plain
        for i, c, t in [(0, 0, 0), (pictures, 0, 0), (pictures, pictures, pictures)]
    ]
    for line in lines:
        assert width < 80 or cell_len(line) < width
    assert f"trashed {pictures} of {pictures}" in lines[-1]
    if width >= 80:
        assert [("█" in line, "░" in line) for line in lines] == [
            (False, True),
            (True, True),
            (True, False),
        ]
