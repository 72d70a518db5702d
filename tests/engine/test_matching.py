"""Does a rule want an event: yes, no with a reason, or a dead letter where it cannot be said."""

from __future__ import annotations

import json
import math
from dataclasses import replace

import pytest
from hypothesis import example, given, settings, strategies as st
from ruling import EXPRESSIONS, FILE, compiled, rule_set

from hydrusd.engine import indexing
from hydrusd.engine.compiling import compile_rule
from hydrusd.engine.matching import Matching, judge
from hydrusd.expressions import Expressions
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


@pytest.fixture(scope="module")
def rule(rules):
    return rules[0]


@settings(max_examples=150, deadline=None)
@given(data=EVENTS)
@example(data={"file": {"suffix": ".jpg", "size": 20, "parent": {"name": "Cats"}}})
@example(data={"file": {"suffix": object()}})
def test_all_together_judge_as_each_for_itself(rules, data):
    assert list(Matching(rules).judge(data)) == [judge(rule, data) for rule in rules]


PATHS = [
    "file.size",
    "file.suffix",
    "file['name']",
    "file.parent.name",
    "file.items",
    "tags",
    "gone",
    "range",
]
TERMS = st.sampled_from([*PATHS, "(file.suffix | lower)", "(file.size * 2)", "file.size / n"])
CONSTANTS = st.sampled_from(
    ["'.jpg'", "'.JPG'", "'a'", "''", "0", "7", "-7", "7.0", "2.5", "true", "none", "10 ** 30"]
)
COMPARED = st.builds(
    "{} {} {}".format, TERMS, st.sampled_from(["==", "!=", "<", "<=", ">", ">="]), CONSTANTS
)
TURNED = st.builds(
    "{} {} {}".format, CONSTANTS, st.sampled_from(["==", "!=", "<", "<=", ">", ">="]), TERMS
)
AMONG = st.builds(
    "{} {} [{}]".format,
    TERMS,
    st.sampled_from(["in", "not in"]),
    st.lists(CONSTANTS, max_size=3).map(", ".join),
)
HELD = st.builds("{} {} {}".format, CONSTANTS, st.sampled_from(["in", "not in"]), TERMS)
BEGUN = st.builds(
    "{}.{}({})".format, TERMS, st.sampled_from(["startswith", "endswith", "upper"]), CONSTANTS
)
BARE = st.sampled_from(
    [*PATHS, "file.suffix is defined", "rule.name == 'rule 3'", "file.size < n < 7", "7 < 8"]
)
SIMPLE = st.one_of(COMPARED, TURNED, AMONG, HELD, BEGUN, BARE)
CONDITION_TEXTS = st.recursive(
    SIMPLE,
    lambda inner: st.one_of(
        st.builds("({} and {})".format, inner, inner),
        st.builds("({} or {})".format, inner, inner),
        inner.map("not ({})".format),
    ),
    max_leaves=5,
)
ANY_VALUE = st.one_of(
    st.sampled_from([".jpg", ".JPG", "a", "", "x.jpg", "7"]),
    st.sampled_from([0, 7, -7, 7.0, 2.5, True, None, 10**30, math.inf, -math.inf, math.nan]),
    st.integers(-9, 9),
    st.lists(st.sampled_from([".jpg", "a", 7, None]), max_size=3),
    st.dictionaries(st.sampled_from([".jpg", "a", "items"]), st.integers(0, 9), max_size=2),
)
ANY_FILE = st.fixed_dictionaries(
    {"size": ANY_VALUE, "suffix": ANY_VALUE, "name": ANY_VALUE},
    optional={
        "items": ANY_VALUE,
        "parent": st.fixed_dictionaries({}, optional={"name": ANY_VALUE}),
    },
)
ANY_EVENT = st.fixed_dictionaries(
    {"file": st.one_of(ANY_FILE, ANY_VALUE)},
    optional=dict.fromkeys(["tags", "n", "range", "rule"], ANY_VALUE),
)


@settings(max_examples=300, deadline=None)
@given(
    texts=st.lists(CONDITION_TEXTS, min_size=1, max_size=6),
    events=st.lists(ANY_EVENT, min_size=1, max_size=4),
)
def test_no_condition_is_decided_in_another_way_than_by_itself(rule, texts, events):
    asking = [replace(rule, condition=EXPRESSIONS.condition(text)) for text in (*texts, texts[0])]
    matching = Matching(asking)
    for data in events:
        assert list(matching.judge(data)) == [judge(rule, data) for rule in asking]


@pytest.mark.parametrize(
    ("condition", "value"),
    [
        (" and ".join(["'b' in value"] * 16), "b" * 4_200_000),
        (" and ".join(["value not in ['b']"] * 16), "b" * 4_200_000),
        (" and ".join(["value.endswith('b')"] * 16), "b" * 4_200_000),
        ("value > 'a'", "b" * 70_000),
        (" and ".join(["'b' in value"] * 16), ["b"] * 70_000),
        (" and ".join(["value not in ['b']"] * 16), ["b"] * 70_000),
        (" and ".join(["value == 7"] * 40), 7),
        (" and ".join(["value == 7"] * 40), 8),
        (" and ".join([*["value == 7"] * 39, "value == 8"]), 7),
        ("(value | sort | unique | list) == []", ["b"] * 9_000),
    ],
)
def test_what_is_large_is_decided_as_by_itself(rule, condition, value):
    asking = [replace(rule, condition=EXPRESSIONS.condition(condition))] * 2
    assert list(Matching(asking).judge({"value": value})) == [
        judge(rule, {"value": value}) for rule in asking
    ]


@pytest.mark.parametrize("asks", ["value {} {}", "not (value {} {})"])
@pytest.mark.parametrize("sign", ["<", "<=", ">", ">=", "==", "!="])
def test_thousands_of_sizes_are_decided_as_by_themselves(rule, monkeypatch, asks, sign):
    monkeypatch.setattr(indexing, "SUMS", 7)
    texts = [asks.format(sign, number) for number in range(0, 100, 2)]
    asking = [replace(rule, condition=EXPRESSIONS.condition(text)) for text in texts]
    matching = Matching(asking)
    for value in (-1, 0, 1, 49, 50, 50.5, 98, 99, True, None, "50", math.nan, math.inf):
        data = {"value": value}
        assert list(matching.judge(data)) == [judge(rule, data) for rule in asking], value


ARTIST = {"artist": "{{ (file.name | regex('(?P<who>.+)_')).who }}"}


@pytest.mark.parametrize(
    ("condition", "name", "said"),
    [
        ("file.suffix == '.jpg' and vars.artist == 'me'", "me_1", "wanted"),
        ("file.suffix == '.jpg' and vars.artist == 'me'", "you_1", "not so"),
        ("file.suffix == '.jpg' and vars.artist == 'me'", "nobody", "the variable 'artist'"),
        ("file.suffix == '.png' and vars.artist == 'me'", "nobody", "not so"),
        ("file.suffix == '.jpg' or vars.artist == 'me'", "nobody", "wanted"),
        ("vars is defined or vars.artist == 'me'", "nobody", "the variable 'artist'"),
        ("(vars | default('')) == '' or vars.artist", "nobody", "the variable 'artist'"),
    ],
)
def test_a_variable_that_cannot_be_had_is_nothing_to_what_is_decided_before_it(
    tmp_path, condition, name, said
):
    text = (
        "  - name: one\n    on: {watch_folder: {path: inbox}}\n    do: [add_file]\n"
        f"    vars: {json.dumps(ARTIST)}\n    if: {condition}\n"
    )
    one = compile_rule(rule_set(text, tmp_path).rules[0], EXPRESSIONS, tmp_path)
    data = {"file": {"suffix": ".jpg", "name": name}}
    verdict = judge(one, data)
    assert list(Matching([one, one]).judge(data)) == [verdict] * 2
    reason = verdict.failure if isinstance(verdict, NewJob) else verdict.reason
    assert said in (reason or "wanted")


def test_pieces_of_a_name_are_found_as_by_themselves(rule):
    pieces = ["", "a", "b", "ab", "ba", "abc", "bca", "é", "éa", "zz", "aé", *map(str, range(30))]
    asking = [replace(rule, condition=EXPRESSIONS.condition(f"'{p}' in value")) for p in pieces]
    matching = Matching(asking)
    for value in ("", "a", "é", "abca", "zz1", "2930", "x" * 99 + "ab", ["ab", "1"], {"é": 1}, 7):
        data = {"value": value}
        assert list(matching.judge(data)) == [judge(each, data) for each in asking], value


def test_what_is_asked_for_by_many_is_worked_out_once_and_only_if_it_is_needed(rule):
    worked_out = []

    def noted(value):
        worked_out.append(value)
        return value

    expressions = Expressions(filters={"noted": noted})
    texts = [f"file.suffix == '.jpg' and (file.size | noted) > {least}" for least in range(9)]
    matching = Matching([replace(rule, condition=expressions.condition(text)) for text in texts])
    kinds = [type(verdict) for verdict in matching.judge({"file": {"suffix": ".jpg", "size": 5}})]
    assert kinds == [NewJob] * 5 + [NotMatched] * 4
    assert worked_out == [5]
    assert {type(each) for each in matching.judge({"file": {"suffix": ".png", "size": 5}})} == {
        NotMatched
    }
    assert worked_out == [5]
