"""Every transition of a job is on the disk when it is said to be stored; a claim need not be."""

from __future__ import annotations

from datetime import UTC, datetime

import pytest
from sqlalchemy import event as happening

from hydrusd.ledger import ClaimFilter, JobUpdate, Ledger, NewJob, PendingEvent
from hydrusd.ledger._ledger import _MADE
from hydrusd.model import Event, JobState

NOW = datetime(2026, 1, 1, tzinfo=UTC)
FULL, NORMAL = 2, 1


@pytest.fixture
def opened(tmp_path):
    ledger = Ledger.open(tmp_path / "ledger.sqlite")
    yield ledger
    ledger.close()


@pytest.fixture
def syncs(opened):
    """How each commit was synced, in order."""
    seen = []

    @happening.listens_for(opened._engine, "commit")
    def note(connection):
        raw = connection.connection.dbapi_connection
        seen.append(raw.execute("PRAGMA synchronous").fetchone()[0])

    return seen


def take_in(ledger, count):
    pending = [
        PendingEvent(Event(f"key {n}", {"n": n}), [NewJob("rule", "r1", "hydrus", True)])
        for n in range(count)
    ]
    ledger.take_in("trigger", pending, NOW)


def test_only_a_claim_does_not_wait_for_the_disk(opened, syncs):
    take_in(opened, 1)
    [job] = opened.claim(ClaimFilter("hydrus"), "me", 256, NOW)
    done = JobUpdate(
        job_id=job.id,
        event_id=job.event_id,
        claimed_attempt=job.attempt,
        state=JobState.SETTLING,
        step=1,
        needs_client=True,
        attempt=0,
        run_at=NOW,
        file_hash=None,
        boot="boot",
        ending=JobState.DONE,
    )
    opened.checkpoint("me", [done], [], NOW)
    assert opened.settle([job.id], "boot", NOW) == [job.id]
    assert syncs == [FULL, NORMAL, FULL, FULL]


@pytest.mark.parametrize("count", [1, 2, 3, 255, 256, 257, 500])
def test_a_list_of_any_length_gives_each_row_once(opened, count):
    take_in(opened, 600)
    with opened._engine.connect() as connection:
        rows = _MADE.rows(connection, list(range(1, count + 1)))
        assert sorted(rows) == [(n, "rule") for n in range(1, count + 1)]
        assert _MADE.rows(connection, []) == []
