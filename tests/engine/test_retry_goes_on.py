"""A dead letter goes on where it failed: what was done before is done, and the source is gone."""

from __future__ import annotations

import pytest

from hydrusd.ledger import Ledger
from hydrusd.model import JobState
from hydrusd.testing import Project

RULES = """
rules:
  - name: import
    on: {watch_folder: {path: inbox, settle: 100ms}}
    do: [add_file, {trash_source: {folder: bin}}, tell]
"""


@pytest.fixture
def failed(project, telling) -> Project:
    made = project({"rules.yaml": RULES, "plugins/telling.py": telling})
    made.drop("inbox/a.png").run()
    [dead] = made.dead_letters
    assert dead.detail == "nobody listens"
    assert not (made.folder / "inbox" / "a.png").exists()
    return made


def mend_and_retry(made):
    made.write({"plugins/mended": ""})
    ledger = Ledger.open(made.state_dir / "ledger.sqlite", exclusive=False)
    try:
        assert ledger.retry(made.finished[-1].finished_at) == 1
    finally:
        ledger.close()


def test_it_goes_on_behind_the_disposal(failed):
    mend_and_retry(failed)
    failed.run(until=lambda p: p.jobs[0].state is JobState.DONE)
    [job] = failed.jobs
    assert [step.detail for step in job.steps][2] == "told"
    assert failed.simulator.imports()[failed.sha256("inbox/a.png")] == 1


def test_under_a_rewritten_rule_it_begins_again_and_says_that_the_source_is_gone(failed):
    failed.write({"rules.yaml": RULES.replace("tell]", "tell, tell]")})
    mend_and_retry(failed)
    failed.run(until=lambda p: p.jobs[0].state is JobState.SKIPPED)
    assert "no longer there" in failed.jobs[0].steps[0].detail
