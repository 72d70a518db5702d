"""The filters for tags, paths, dates and patterns."""

from __future__ import annotations

import hashlib

import pytest
from hypothesis import given, settings, strategies as st

from hydrusd.errors import ExpressionError
from hydrusd.expressions import Expressions, ExpressionSyntaxError
from hydrusd.simulator._tags import clean_tag as as_a_client_does

EXPRESSIONS = Expressions()


def worth(text, **data):
    return EXPRESSIONS.result(f"{{{{ {text} }}}}").evaluate(data)


@settings(max_examples=500, deadline=None)
@given(
    st.text(max_size=30)
    | st.text("aB:- \t\n\u200b\u200d\u3164\u1100é猫\ufeff\ue000", max_size=12)
    | st.lists(st.sampled_from(["system:", "-", ":", " ", "a", "A:b", "\u200c"]), max_size=6).map(
        "".join
    )
)
def test_tags_are_cleaned_as_a_client_does(tag):
    assert worth("tag | clean_tag", tag=tag) == as_a_client_does(tag)


def test_a_list_of_tags_is_cleaned_and_what_is_left_of_nothing_left_out():
    assert worth("['A', ' a ', '--', 'B:c'] | clean_tag") == ["a", "b:c"]


@pytest.mark.parametrize(
    ("text", "result"),
    [
        (r"'C:\\x/y\\z.tar.GZ' | parts", ["C:", "x", "y", "z.tar.GZ"]),
        (r"'a\\b/c.JPG' | dirname", r"a\b"),
        ("'/c.jpg' | dirname", ""),
        ("'a/b/' | basename", "b"),
        ("'' | basename", ""),
        ("'a/.hidden' | suffix", ""),
        ("'a/.hidden' | stem", ".hidden"),
        ("'a/b.' | suffix", ""),
        ("1700000000 | date('%Y-%m-%d %H:%M', 'UTC')", "2023-11-14 22:13"),
        ("1700000000123456789 | date('%Y', 'UTC')", "2023"),
        ("'2024-02-29T23:30:00Z' | date('%d %H', 'Asia/Tokyo')", "01 08"),
        ("'2024-02-29' | date('%d.%m.')", "29.02."),
        ("'29.02.2024 1:30' | parse_date('%d.%m.%Y %H:%M', 'Europe/Berlin')", 1709166600),
        ("('ab_12' | regex('(?P<n>[0-9]+)$')).n", "12"),
        ("'ab_12' | regex('(a)(x)?')", {"0": "a", "1": "a", "2": None}),
        ("'ab' | regex('x')", None),
        (r"'a1b22' | regex_all('\d+')", ["1", "22"]),
        (r"'a1b22' | regex_all('([a-z])\d')", ["a", "b"]),
        (r"'a-b' | regex_replace('(\w)-(\w)', '\\2+\\1')", "b+a"),
        (r"'ab' | regex_replace('', '-')", "-a-b-"),
        (r"'owl 7' | matches('^owl\s\d$')", True),
        (r"'\n\t\\' | length", 3),
        ("'猫' | sha256", hashlib.sha256("猫".encode()).hexdigest()),
    ],
)
def test_what_comes_of_it(text, result):
    assert worth(text) == result


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("'a' | matches('(')", "the pattern '(' is not right: missing ) at position 1"),
        ("'a' | matches('[z-a]')", "the pattern '[z-a]' is not right: bad character range"),
        ("'a' | matches('(' * 499 + ')' * 499)", "the pattern '((((((((((((((((((((((((((("),
        (r"'a' | matches('\ba')", r"the pattern holds U+0008; in quotes a backslash before"),
        ("'a' | matches('a' * 1001)", "a pattern of more than 1,000 characters"),
        (r"'a' | regex_replace('a', '\\1')", "regex_replace: there is no group 1"),
        ("'a' | date", "date: 'a' is no time"),
        ("1e300 | date", "date: 1e+300 is no time"),
        ("0 | date('%Q')", "date: %Q is not known in a form of dates"),
        ("0 | date('%')", "date: % is not known"),
        ("0 | date('%Y', 'Mars/Olympus')", "date: there is no time zone 'Mars/Olympus'"),
        ("0 | date('%Y', '../../etc/passwd')", "date: there is no time zone '../../etc/passwd'"),
        ("'x' | parse_date", "parse_date: time data 'x' does not match"),
        ("7 | stem", "parts needs text, not a number"),
        ("7 | clean_tag", "clean_tag needs text, not a number"),
        ("none | clean_tag", "clean_tag needs text, not nothing"),
        ("('a' * 60000) | regex_replace('a', 'bbb')", "a text longer than 65,536 characters"),
        ("('a' * 60000) | regex_all('a')", "a list that holds more than 10,000 values"),
    ],
)
def test_what_does_not_fit_is_said(text, message):
    with pytest.raises(ExpressionError) as caught:
        worth(text)
    assert str(caught.value).startswith(message)


@pytest.mark.parametrize(
    "text",
    [
        "given | matches(pattern)",
        "given | regex(pattern)",
        "given | regex_all(pattern)",
        "given | regex_replace(pattern, '')",
    ],
)
@pytest.mark.parametrize("pattern", ["(a+)+$", "(?:a|aa)+$"])
def test_no_pattern_takes_for_ever(text, pattern):
    """Python's own would take longer than there are years."""
    with pytest.raises(ExpressionError, match=r"takes too long over this text \(more than 0.5 s\)"):
        worth(text, given="a" * 20_000 + "!", pattern=pattern)


@pytest.mark.parametrize(
    "pattern",
    [
        "(?R)",
        "a(?0)?b",
        "(a(?1)?b)",
        "(a)(?+1)(b)",
        r"\\\\(?R)",
        "(?P<x>a(?&x)?b)",
        "(?P<x>a(?P>x)?b)",
    ],
)
def test_no_pattern_refers_to_itself(pattern):
    """Such a one takes half a gigabyte until its time is over."""
    with pytest.raises(ExpressionError, match="a pattern cannot refer to itself, as '"):
        worth("given | matches(pattern)", given="ab", pattern=pattern)


def test_what_only_looks_like_it_is_allowed():
    assert worth(r"given | matches('\\(?R?(?-i:x)')", given="(Rx") is True


@pytest.mark.parametrize(
    ("text", "column", "message"),
    [
        ("file.name | matches('a(')", 21, "the pattern 'a(' is not right: missing )"),
        ("'x' | regex('(?R)?')", 13, "a pattern cannot refer to itself, as '(?R' does"),
    ],
)
def test_a_wrong_pattern_is_told_by_its_place(text, column, message):
    with pytest.raises(ExpressionSyntaxError) as caught:
        Expressions().condition(text)
    assert str(caught.value).startswith(message)
    assert (caught.value.line, caught.value.column) == (1, column)


@pytest.mark.parametrize(
    "text", ["given | matches('a')", "given | regex_all('a')", "given | regex_replace('a', '')"]
)
def test_no_pattern_searches_a_text_without_end(text):
    with pytest.raises(ExpressionError, match="a text longer than 65,536 characters"):
        worth(text, given="b" * 65_537)


def test_many_finds_share_one_time_limit():
    with pytest.raises(ExpressionError, match="takes too long over this text"):
        worth("given | regex_all('(?:a|aa){20,22}c|b')", given=("a" * 24 + "b") * 2000)


@pytest.mark.parametrize("pattern", ["(.*)(.*)(.*)(.*)x", "((a{0,30}){0,30}){0,30}b", "(?:a|aa)*b"])
def test_what_only_looks_dangerous_is_no_error(pattern):
    assert worth("given | matches(pattern)", given="a" * 20_000 + "!", pattern=pattern) is False


def test_half_a_character_of_a_file_name_is_searched_like_any():
    assert worth("name | regex_replace('[0-9]+', '') | length", name="\udcff12") == 1


def test_a_pattern_that_means_another_thing_one_day_does_not_warn():
    assert worth("'[a' | regex_all('[[a]')") == ["[", "a"]
