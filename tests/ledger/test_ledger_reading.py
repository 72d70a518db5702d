from __future__ import annotations

import threading

import pytest
from ledgering import LANE, NOW, claim, ended, enqueue, later, match, onward, record, settling

from hydrusd.errors import LedgerError
from hydrusd.ledger import LedgerReader, NewJob, RuleCount
from hydrusd.model import JobState, OutcomeKind


@pytest.fixture
def reader(ledger, path):
    opened = LedgerReader.open(path)
    yield opened
    opened.close()


def test_counts_by_rule_and_state(ledger, reader):
    assert reader.counts() == []
    enqueue(ledger, "a", "b", "c", verdicts=[match("tag")])
    enqueue(ledger, "a", verdicts=[match("move")])
    a, b, _ = claim(ledger)
    ledger.checkpoint("me", [ended(a), settling(b)], [], NOW)
    counts = reader.counts()
    assert [count.rule for count in counts] == ["move", "tag", "tag", "tag"]
    assert set(counts) == {
        RuleCount("move", JobState.READY, 1),
        RuleCount("tag", JobState.RUNNING, 1),
        RuleCount("tag", JobState.DONE, 1),
        RuleCount("tag", JobState.SETTLING, 1),
    }


def test_dead_letters_newest_first(ledger, reader):
    enqueue(ledger, "a", "b")
    a, b = claim(ledger)
    failed = record(b, outcome=OutcomeKind.DEAD, values={})
    update = ended(b, JobState.DEAD, step=0, attempt=7, detail="the file is broken")
    ledger.checkpoint("me", [update], [failed], later(1))
    ledger.checkpoint("me", [ended(a, JobState.SKIPPED)], [], later(2))
    enqueue(
        ledger,
        "c",
        verdicts=[NewJob("tag", "r1", LANE, True, failure="no such name")],
        now=later(3),
    )
    newest, older = reader.dead(10)
    assert (newest.action, newest.detail, newest.data) == ("", "no such name", {"name": "c"})
    assert (older.job_id, older.action, older.detail, older.attempts, older.ended_at) == (
        b.id,
        "add_file",
        "the file is broken",
        7,
        later(1),
    )
    assert reader.dead(1) == [newest]


def test_the_newest_jobs_with_their_steps(ledger, reader):
    enqueue(ledger, "a", "b", "c")
    _, b, _ = claim(ledger)
    ledger.checkpoint("me", [onward(b, file_hash="ab" * 32)], [record(b)], NOW)
    b_view, c_view = reader.jobs(2)
    assert (b_view.state, b_view.file_hash, b_view.data) == (
        JobState.READY,
        "ab" * 32,
        {"name": "b"},
    )
    assert [(step.action, step.outcome) for step in b_view.steps] == [("add_file", "done")]
    assert (c_view.job_id, c_view.state, c_view.steps) == (c_view.job_id, JobState.RUNNING, ())


def test_reading_while_the_daemon_writes_sees_whole_transactions(ledger, reader):
    """Five jobs appear at a time, and five go on at a time: nobody ever sees four."""
    done = threading.Event()

    def work():
        try:
            for n in range(40):
                enqueue(ledger, *(f"{n} {i}" for i in range(5)))
                jobs = claim(ledger, limit=5)
                ledger.checkpoint("me", [ended(j) for j in jobs], [record(j) for j in jobs], NOW)
        finally:
            done.set()

    writer = threading.Thread(target=work)
    writer.start()
    while not done.is_set():
        assert [count.jobs % 5 for count in reader.counts() if count.jobs % 5] == []
        views = reader.jobs(1000)
        assert len(views) % 5 == 0
        assert all(len(v.steps) == (v.state is JobState.DONE) for v in views)
    writer.join()
    assert reader.counts() == [RuleCount("tag", JobState.DONE, 200)]


def test_a_reader_keeps_nobody_from_writing(ledger, reader):
    enqueue(ledger, "a")
    with reader._engine.connect() as connection:
        connection.exec_driver_sql("SELECT * FROM job").fetchall()
        enqueue(ledger, "b")
        ledger.close()


def test_a_reader_cannot_write(reader):
    with reader._engine.connect() as connection, pytest.raises(LedgerError, match="readonly"):
        connection.exec_driver_sql("DELETE FROM event")


def test_what_a_killed_daemon_left_behind_can_be_read(ledger, path, tmp_path):
    """The newest transactions are still in the log beside the file then."""
    enqueue(ledger, "a")
    copy = tmp_path / "copy"
    copy.mkdir()
    for name in ("ledger.sqlite", "ledger.sqlite-wal"):
        (copy / name).write_bytes((tmp_path / name).read_bytes())
    reader = LedgerReader.open(copy / "ledger.sqlite")
    assert reader.counts() == [RuleCount("tag", JobState.READY, 1)]
    reader.close()
