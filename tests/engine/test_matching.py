"""Does a rule want an event: yes, no with a reason, or a dead letter where it cannot be said."""

from __future__ import annotations

import pytest
from hypothesis import example, given, settings, strategies as st
from ruling import EXPRESSIONS, FILE, compiled, rule_set

from hydrusd.engine.compiling import compile_rule
from hydrusd.engine.matching import Matching, judge
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


CONDITIONS = [
    "file.suffix == '.jpg'",
    "'.jpg' == file.suffix and file.size > 10",
    "file.suffix in ['.jpg', '.png']",
    "file.suffix in ('.png', '.gif') and file.size > 10",
    "file.suffix in ['.jpg', 3]",
    "file.suffix not in ['.jpg']",
    "file.suffix == '.jpg' or file.size > 10",
    "file.suffix == '.jpg' and file.nothing > 3",
    "file.nothing == 'x'",
    "file.parent.name == 'Cats' and rule.name == 'rule 3'",
    "rule.name == 'rule 3'",
    "file.size > 10",
    "file.size > 10 and file.suffix == '.jpg'",
    "file['suffix'] == '.jpg'",
    "not file.suffix == '.jpg'",
    "file.suffix.upper() == '.JPG'",
    "name == 'a'",
    "file.size / 0 > 1",
]
TEXTS = st.sampled_from([".jpg", ".png", "Cats", "a", ""])
VALUES = st.one_of(TEXTS, st.integers(0, 20), st.booleans(), st.none(), st.lists(TEXTS, max_size=2))
FILES = st.fixed_dictionaries(
    {},
    optional={
        "suffix": VALUES,
        "size": VALUES,
        "parent": st.one_of(VALUES, st.fixed_dictionaries({}, optional={"name": VALUES})),
    },
)
EVENTS = st.fixed_dictionaries({}, optional={"file": st.one_of(FILES, VALUES), "name": VALUES})


@pytest.fixture(scope="module")
def rules(tmp_path_factory):
    """Each condition twice, and a rule without any."""
    text = "  - {name: all, on: {watch_folder: {path: inbox}}, do: [add_file]}\n"
    for number, condition in enumerate([*CONDITIONS, *CONDITIONS]):
        text += (
            f"  - name: rule {number}\n    on: {{watch_folder: {{path: inbox}}}}\n"
            f"    if: >-\n      {condition}\n    do: [add_file]\n"
        )
    folder = tmp_path_factory.mktemp("rules")
    return [compile_rule(spec, EXPRESSIONS, folder) for spec in rule_set(text, folder).rules]


@settings(max_examples=150, deadline=None)
@given(data=EVENTS)
@example(data={"file": {"suffix": ".jpg", "size": 20, "parent": {"name": "Cats"}}})
@example(data={"file": {"suffix": object()}})
def test_all_together_judge_as_each_for_itself(rules, data):
    assert Matching(rules).judge(data) == [judge(rule, data) for rule in rules]


def test_what_is_looked_up_is_not_asked(rules, monkeypatch):
    asked = []
    monkeypatch.setattr(
        "hydrusd.expressions._compiled.Condition.holds",
        lambda self, context: asked.append(self.text) or False,
    )
    Matching(rules).judge({"file": {"suffix": ".txt", "size": 1, "parent": {"name": "Dogs"}}})
    assert "file.suffix == '.jpg'" not in asked
    assert "file.suffix in ('.png', '.gif') and file.size > 10" not in asked
    assert "file.size > 10" in asked
    assert asked.count("file.size > 10") == 1
    assert asked.count("rule.name == 'rule 3'") == 2
