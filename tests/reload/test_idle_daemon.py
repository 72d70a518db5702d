"""A daemon that has nothing to do asks nothing, and takes up what others leave it all the same."""

from __future__ import annotations

import pytest

from hydrusd import daemon, parts
from hydrusd.ledger import Ledger, LedgerWatch, LedgerWriter
from hydrusd.model import JobState

RULES = """
rules:
  - name: one
    on: {watch_folder: {path: inbox, settle: 200ms, scan_every: 1h}}
    do: [tell]
  - name: two
    on: {rule_finished: {rule: one}}
    do: [tell]
"""
LOOKS = 10


@pytest.fixture
def seldom(monkeypatch):
    """Have lanes wait for word, and not look by themselves."""
    monkeypatch.setattr(parts, "TOLD_IDLE_SECONDS", 1e6)


@pytest.fixture
def counted(monkeypatch):
    """Give how often the ledger was asked, and how often whether it has changed."""
    counts = {"asked": 0, "looked": 0}

    class Counting(LedgerWriter):
        async def __call__(self, *args, **kwargs):
            counts["asked"] += 1
            return await super().__call__(*args, **kwargs)

    has_changed = LedgerWatch.has_changed

    def count(watch):
        counts["looked"] += 1
        return has_changed(watch)

    monkeypatch.setattr(daemon, "LedgerWriter", Counting)
    monkeypatch.setattr(LedgerWatch, "has_changed", count)
    return counts


def asked_while_it_looks(living, counts):
    asked, looked = counts["asked"], counts["looked"]
    living.wait_until(lambda: counts["looked"] >= looked + LOOKS)
    return counts["asked"] - asked


@pytest.mark.usefixtures("seldom")
def test_while_nothing_happens_the_ledger_is_not_asked(living, counted, telling):
    there = living({"rules.yaml": RULES, "plugins/telling.py": telling, "inbox/.keep": ""})
    there.wait_until(lambda: there.condition("client").state == "connected")
    there.wait_until(lambda: not asked_while_it_looks(there, counted))
    assert not asked_while_it_looks(there, counted)


@pytest.mark.usefixtures("seldom")
def test_what_another_process_puts_back_is_taken_up(living, telling):
    there = living({"rules.yaml": RULES, "plugins/telling.py": telling})
    there.drop("inbox/a.png")
    there.wait_for_jobs(1)
    assert there.project.jobs[0].state is JobState.DEAD
    there.write({"plugins/mended": ""})
    ledger = Ledger.open(there.project.state_dir / "ledger.sqlite", exclusive=False)
    try:
        assert ledger.retry(there.project.finished[-1].finished_at) == 1
    finally:
        ledger.close()
    there.wait_until(lambda: [j.state for j in there.project.jobs] == [JobState.DONE] * 2)
