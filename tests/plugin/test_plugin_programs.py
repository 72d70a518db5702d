"""What authors get for starting programs, and for what takes long beside the lane."""

from __future__ import annotations

import sys
from collections.abc import Mapping

import anyio
import pytest

from hydrusd.clock import ManualClock
from hydrusd.model import JobId, OutcomeKind, StepRecord
from hydrusd.plugin import (
    BesideAction,
    Call,
    Outcome,
    ProgramEnd,
    TemporaryError,
    find_program,
    program_environment,
    run_program,
)
from hydrusd.redaction import register

SECRET = "open-sesame-4711"


@pytest.fixture(autouse=True)
def _registered():
    register(SECRET)


def python(code):
    return [sys.executable, "-c", code]


@pytest.mark.anyio
async def test_no_more_is_kept_of_what_it_prints_than_wanted(tmp_path):
    end = await run_program(
        python("print('x' * 100_000)"), folder=tmp_path, timeout_seconds=20, most_bytes=70_000
    )
    assert (len(end.stdout), end.whole, end.exit_code) == (70_000, False, 0)


@pytest.mark.anyio
async def test_it_gets_what_it_reads_and_no_secrets(tmp_path, monkeypatch):
    monkeypatch.setenv("LC_SECRET", SECRET)
    monkeypatch.setenv("SOME_TOKEN", "of somebody")
    code = "import os, sys; print(sys.stdin.read(), 'SOME_TOKEN' in os.environ, os.getcwd())"
    end = await run_program(
        python(code), folder=tmp_path, timeout_seconds=20, stdin="grüße".encode()
    )
    assert end.stdout.decode().split() == ["grüße", "False", str(tmp_path.resolve())]
    assert "LC_SECRET" not in program_environment(whole=True)
    assert program_environment(whole=True)["SOME_TOKEN"] == "of somebody"


@pytest.mark.parametrize(
    ("code", "stdout", "stderr", "story"),
    [
        (0, b"fine", b"", "exit code 0: fine"),
        (3, b"out", b"no\n luck ", "exit code 3: no luck"),
        (-9, b"", b"", "killed by signal 9"),
        (None, b"", b"slow", "stopped, because its time was up: slow"),
        (1, b"", b"\xff", "exit code 1: \ufffd"),
    ],
)
def test_how_it_ended_is_told_in_a_line(code, stdout, stderr, story):
    assert ProgramEnd(code, stdout, stderr, whole=True).story == story


def test_a_story_holds_no_half_of_a_secret():
    for length in range(280, 310):
        said = f"{SECRET}{'x' * length}".encode()
        story = ProgramEnd(1, b"", said, whole=True).story
        assert "sesame" not in story
        assert "4711" not in story


def test_a_program_is_found_by_its_name_or_its_path(tmp_path):
    assert find_program(sys.executable, tmp_path) == sys.executable
    assert find_program("no-such-program", tmp_path) is None
    assert find_program("./python", tmp_path) is None


class Half(BesideAction):
    """Succeeds for even jobs."""

    action = "half"
    no_undo = "it is a test"

    @classmethod
    def groups(cls, calls):
        return [calls]

    @classmethod
    async def perform(cls, calls) -> Mapping[JobId, Outcome]:
        if any(call.job_id == 13 for call in calls):
            raise TemporaryError("bad luck")
        done, failed = Outcome.done("even"), Outcome.retry("odd")
        return {call.job_id: failed if call.job_id % 2 else done for call in calls}


def calls(*jobs, values=None, attempt=1):
    kept = (StepRecord(0, "half", OutcomeKind.LATER, "", values or {}, None),)
    return [
        Call(
            Half(),
            JobId(job),
            "r",
            {},
            None,
            ManualClock(),
            attempt=attempt,
            steps=kept if values else (),
        )
        for job in jobs
    ]


@pytest.mark.anyio
async def test_each_job_of_a_group_has_an_outcome_of_its_own():
    made = calls(1, 2, 3)
    await Half.run_set(made)
    assert [call.outcome.kind for call in made] == ["retry", "done", "retry"]
    made = calls(12, 13)
    await Half.run_set(made)
    assert [call.outcome.detail for call in made] == ["bad luck", "bad luck"]


@pytest.mark.anyio
async def test_tries_are_counted_for_each_job():
    tired, fresh = calls(1, values={"tries": 8}), calls(3)
    await Half.run_set([*tired, *fresh])
    assert (tired[0].outcome.kind, tired[0].outcome.detail) == ("dead", "odd (after 8 tries)")
    assert fresh[0].outcome.kind is OutcomeKind.RETRY
    await anyio.lowlevel.checkpoint()
