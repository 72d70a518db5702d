"""What an expression reads is told with its place, whatever the expression."""

from __future__ import annotations

import pytest
from hypothesis import example, given, settings, strategies as st

from hydrusd.expressions import Expressions, ExpressionSyntaxError

EXPRESSIONS = Expressions()

FRAGMENTS = st.sampled_from(
    [
        "a", "bc", "file", "name", ".", ".name", "[", "]", "['x']", "[0]", "(", ")", " ", "\n", "|",
        " | default(1)", " is defined", " and ", " or ", " not ", " in ", " if ", " else ", "1",
        "'t'", "~", "+", ",", "==", "KB", "loop", "range(2)", ".lower()", "{", "}", ":",
    ]
)  # fmt: skip
MARKUP = FRAGMENTS | st.sampled_from(
    ["{{ ", " }}", "{% for p in a %}", "{% endfor %}", "{% if b.c %}", "{% endif %}", "{# x #}"]
)


def check(text, *, condition):
    try:
        reads = EXPRESSIONS.reads(text, condition=condition)
    except ExpressionSyntaxError:
        return
    lines = text.split("\n")
    for read in reads:
        assert len(read.names) == len(read.places)
        for name, (line, column) in zip(read.names, read.places, strict=True):
            assert lines[line - 1][column - 1 :].startswith(name)


@settings(max_examples=300, deadline=None)
@given(st.lists(FRAGMENTS, min_size=1, max_size=12).map("".join))
@example("file\n.name == file['x'].y")
def test_the_places_of_any_condition_hold_the_names(text):
    check(text, condition=True)


@settings(max_examples=300, deadline=None)
@given(st.lists(MARKUP, min_size=1, max_size=12).map("".join))
@example("é{{ a.b }}\n{{ a['b'] }}")
def test_the_places_of_any_template_hold_the_names(text):
    check(text, condition=False)


@pytest.mark.parametrize(
    ("text", "names"),
    [
        ("a.b.c == 1", [("a", "b", "c")]),
        ("a['b'].c", [("a", "b", "c")]),
        ("a[0].b", [("a",)]),
        ("a[b.c]", [("a",), ("b", "c")]),
        ("a.b.lower()", [("a", "b")]),
        ("a | default(b)", [("b",)]),
        ("a.b is defined and a.b.c", []),
        ("a is defined or b", [("b",)]),
        ("range(a) | length > KB", [("a",)]),
        ("'a' in b", [("b",)]),
    ],
)
def test_a_condition_reads(text, names):
    assert [read.names for read in EXPRESSIONS.reads(text, condition=True)] == names


@pytest.mark.parametrize(
    ("text", "names"),
    [
        ("{% for p in a %}{{ p.x }}{{ loop.index }}{% endfor %}", [("a",)]),
        ("{% set x = a.b %}{{ x }}", [("a", "b")]),
        ("{# a #}b", []),
    ],
)
def test_a_template_reads(text, names):
    assert [read.names for read in EXPRESSIONS.reads(text)] == names


def test_what_is_no_expression_is_refused():
    with pytest.raises(ExpressionSyntaxError):
        EXPRESSIONS.reads("a ==", condition=True)
