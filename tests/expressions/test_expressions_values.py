"""A text that is one `{{ … }}` and gives a list is that list; any other is text."""

from __future__ import annotations

import pytest

from hydrusd.errors import ExpressionError
from hydrusd.expressions import Expressions

EXPRESSIONS = Expressions()
DATA = {"tags": ["a", "b:c"], "n": 7, "name": "x", "numbers": [1, 2.5, True], "deep": [["a"]]}


@pytest.mark.parametrize(
    ("text", "given"),
    [
        ("{{ tags }}", ["a", "b:c"]),
        ("  {{- tags -}}  ", ["a", "b:c"]),
        ("{{ tags + ['d'] }}", ["a", "b:c", "d"]),
        ("{{ numbers }}", ["1", "2.5", "true"]),
        ("{{ [] }}", []),
        ("{{ n }}", "7"),
        ("{{ name }}", "x"),
        ("{{ tags[0] }}", "a"),
        ("{{ '}' + name }}", "}x"),
    ],
)
def test_one_value_is_what_it_is(text, given):
    assert EXPRESSIONS.value(text).render(DATA) == given


@pytest.mark.parametrize(
    "text", ["x{{ tags }}", "{{ tags }}{{ tags }}", "{% if n %}{{ tags }}{% endif %}", "plain"]
)
def test_anything_else_is_a_text(text):
    assert EXPRESSIONS.value(text) is None


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("{{ deep }}", "a list of texts cannot hold"),
        ("{{ tagz }}", "did you mean 'tags'"),
    ],
)
def test_what_is_no_list_of_texts_is_said(text, message):
    with pytest.raises(ExpressionError, match=message):
        EXPRESSIONS.value(text).render(DATA)


def test_a_list_of_texts_is_bounded():
    with pytest.raises(ExpressionError, match="longer than"):
        EXPRESSIONS.value("{{ many }}").render({"many": ["x" * 1000] * 100})
