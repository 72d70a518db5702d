"""Does a rule want an event: yes, no with a reason, or a dead letter where it cannot be said."""

from __future__ import annotations

import pytest
from ruling import FILE, compiled

from hydrusd.engine.matching import judge
from hydrusd.ledger import NewJob, NotMatched

ADD = "      - add_file:\n"


def test_a_rule_without_a_condition_wants_everything(tmp_path):
    rule = compiled(ADD, tmp_path)
    assert judge(rule, FILE) == NewJob("one", rule.revision, "hydrus", needs_client=True)
    assert judge(rule, {}) == NewJob("one", rule.revision, "hydrus", needs_client=True)


@pytest.mark.parametrize(
    ("condition", "wanted"),
    [
        ("file.size > 999", True),
        ("file.size > 1 * KB", False),
        ("file.suffix == '.jpg' and file.parent.name == 'Cats'", True),
        ("rule.name == 'one'", True),
        ("rule.name != 'one'", False),
        ("file.note is defined", False),
    ],
)
def test_a_condition_decides(tmp_path, condition, wanted):
    verdict = judge(compiled(ADD, tmp_path, condition), FILE)
    assert isinstance(verdict, NewJob if wanted else NotMatched)
    if not wanted:
        assert verdict.reason == f"not so: {condition}"


@pytest.mark.parametrize("condition", ["file.nothing > 3", "file.size / 0 > 1", "1 > file.name"])
def test_a_condition_that_cannot_be_judged_is_neither_yes_nor_no(tmp_path, condition):
    verdict = judge(compiled(ADD, tmp_path, condition), FILE)
    assert isinstance(verdict, NewJob)
    assert verdict.failure.startswith("`if` cannot be judged: ")


def test_what_is_matched_knows_whether_its_first_step_needs_the_client(tmp_path):
    verdict = judge(compiled("      - move_source: {to: moved}\n", tmp_path), FILE)
    assert verdict.needs_client is False


def test_no_event_can_pose_as_the_rule_or_its_steps(tmp_path):
    rule = compiled(ADD, tmp_path, "rule.name == 'one' and not steps")
    assert isinstance(judge(rule, {**FILE, "rule": {"name": "x"}, "steps": {"a": 1}}), NewJob)
