"""What templates and conditions give for real data."""

from __future__ import annotations

from enum import StrEnum
from pathlib import PurePosixPath
from types import MappingProxyType

import pytest
from hypothesis import given, strategies as st

from hydrusd.errors import ExpressionError
from hydrusd.expressions import (
    Expressions,
    ExpressionSyntaxError,
    PlainData,
    is_template,
    plain,
)

CONTEXT = {
    "file": {
        "name": "a cat.jpg",
        "suffix": ".jpg",
        "size": 20_480,
        "rating": None,
        "items": "a key called like a method",
        "parent": {"name": "inbox"},
    },
    "tags": ["cat", "creator:someone"],
}


@pytest.fixture(scope="module")
def expressions():
    return Expressions()


@pytest.mark.parametrize(
    ("text", "rendered"),
    [
        ("folder:{{ file.parent.name }}", "folder:inbox"),
        ("{{ file['name'] }}", "a cat.jpg"),
        ("{{ file.items }}", "a key called like a method"),
        ("{{ tags|join(', ') }}", "cat, creator:someone"),
        ("{{ tags[0] }} {{ tags[-1] }} {{ tags[1:]|length }}", "cat creator:someone 1"),
        ("{{ file.name.removesuffix('.jpg').title() }}", "A Cat"),
        ("{{ file.name|replace(' ', '_')|upper }}", "A_CAT.JPG"),
        ("{{ file.size // KB }} KB", "20 KB"),
        ("{{ 1.5 * MB }}", "1572864.0"),
        ("{{ file.nothing|default('x') }}{{ file.rating|default('y', true) }}", "xy"),
        ("{{ file.nothing is defined }}", "false"),
        ("{{ 'a' ~ 1 ~ true }}", "a1true"),
        (
            "{% for tag in tags %}{{ loop.index }}:{{ tag }};{% endfor %}",
            "1:cat;2:creator:someone;",
        ),
        ("{% for t in tags if ':' in t %}{{ t }}{% else %}none{% endfor %}", "creator:someone"),
        ("{% set name = file.name %}{% if name %}{{ name }}{% endif %}", "a cat.jpg"),
        ("{{ [3, 1, 2]|sort|join }}{{ [1, 1]|unique|list|length }}", "1231"),
        ("{{ '7'|int + 1 }} {{ 'x'|int(0) }}", "8 0"),
        ("line\n", "line\n"),
        ("{# not shown #}x", "x"),
        ("{% raw %}{{ x }}{% endraw %}", "{{ x }}"),
    ],
)
def test_templates(expressions, text, rendered):
    assert expressions.template(text).render(CONTEXT) == rendered


@pytest.mark.parametrize(
    ("text", "holds"),
    [
        ("file.size > 10 * KB and file.suffix != '.gif'", True),
        ("file.size == 20 * KB", True),
        ("0 < file.size <= 20 * KB", True),
        ("0 < file.size < 20 * KB", False),
        ("file.suffix in ['.jpg', '.png']", True),
        ("file.suffix not in ('.gif',)", True),
        ("'cat' in tags or nothing_of_the_kind", True),
        ("not file.rating", True),
        ("file.name.startswith('a')", True),
        ("tags|length is even", True),
        ("KB == 1024 and MB == KB * KB and GB == KB * MB and TB == MB * MB", True),
        ("file.size < 1e300 * 1e300 and file.size > -(1e300 * 1e300) and file.size > -1", True),
        ("file", True),
        ("[]", False),
    ],
)
def test_conditions(expressions, text, holds):
    condition = expressions.condition(text)
    assert condition.text == text
    assert condition.holds(CONTEXT) is holds


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("{{ file.nmae }}", "file.nmae: there is no 'nmae'; did you mean 'name'?"),
        ("{{ file.parent.nam }}", "file.parent.nam: there is no 'nam'; did you mean 'name'?"),
        ("{{ file.parent.size }}", "file.parent.size: there is no 'size'; there are: name"),
        ("{{ fiel.name }}", "fiel: there is no 'fiel'; did you mean 'file'?"),
        ("{{ file.size > KG }}", "KG: there is no 'KG'; did you mean 'KB'?"),
        ("{{ tags.name }}", "tags.name: a list has no 'name'"),
        ("{{ file.name.format(1) }}", "file.name.format: text has no 'format'"),
        ("{{ file.nothing.name }}", "file.nothing: there is no 'nothing'"),
        ("{{ file.nothing|upper }}", "file.nothing: there is no 'nothing'"),
        ("{{ file.nothing ~ '' }}", "file.nothing: there is no 'nothing'"),
        ("{{ [file.nothing]|length }}", "file.nothing: there is no 'nothing'"),
        ("{% for x in file.nothing %}{% endfor %}", "file.nothing: there is no 'nothing'"),
        ("{{ file.rating }}", "there is nothing here to write"),
        ("{{ tags }}", "a list cannot be written as text; use |join(', ')"),
        ("{{ file.size > 'x' }}", "'>' not supported between a number and text"),
        ("{{ 'x' + 1 }}", "text + a number makes no sense; join text with '~'"),
        ("{{ 1 / 0 }}", "a division by zero"),
        ("{{ 'x'|int }}", "'x' is not a number"),
        ("{{ tags|upper }}", "upper needs text, not a list"),
        ("{{ 'x'|replace }}", "a filter or method was given too few or too many values"),
        ("{{ 'x'() }}", "text cannot be called"),
        ("{% for x in file.name %}{% endfor %}", "a loop needs a list, not text"),
        ("{{ 1 in 2 }}", "nothing can be 'in' a number"),
    ],
)
def test_what_does_not_fit_is_said_in_words(expressions, text, message):
    template = expressions.template(text)
    with pytest.raises(ExpressionError) as caught:
        template.render(CONTEXT)
    assert str(caught.value).startswith(message)


@pytest.mark.parametrize(
    ("text", "line", "column", "message"),
    [
        ("file.size = 3", 1, 11, "the condition should end here, but there is '='; write '=='"),
        ("file.size > 10 KB", 1, 16, "the condition should end here, but there is 'KB'; multiply"),
        ("file.size >", 1, 12, "unexpected 'end of template'"),
        ("a &&\n b", 1, 3, "unexpected char '&'; write 'and'"),
        ("a\n  || b", 2, 4, "expected token 'name', got '|'; write 'or'"),
        ("!a", 1, 1, "unexpected char '!'; write 'not'"),
        ("a and\r\n  b c", 2, 5, "the condition should end here, but there is 'c'"),
        ("{{ a }}", 1, 1, "a condition is written without braces"),
        ("  ", 1, 1, "the condition is empty"),
        ("'é' == 'ü' == 'ö' x", 1, 19, "the condition should end here"),
        ("a < b in c", 1, 10, "'in' cannot be part of a chain; use 'and'"),
        ("a|uper", 1, 3, "there is no filter 'uper'; did you mean 'upper'?"),
        ("a is evn", 1, 6, "there is no test 'evn'; did you mean 'even'?"),
        ("f(*a)", 1, 2, "'*' cannot be used in a call"),
        ("(a", 1, 3, "unexpected end of template, expected ')'"),
        ("a)", 1, 2, "unexpected ')'"),
        ("a < 1e999", 1, 5, "a number that is too large"),
    ],
)
def test_a_wrong_condition_has_a_place(expressions, text, line, column, message):
    with pytest.raises(ExpressionSyntaxError) as caught:
        expressions.condition(text)
    assert str(caught.value).startswith(message)
    assert (caught.value.line, caught.value.column) == (line, column)


@pytest.mark.parametrize(
    ("text", "line", "column", "message"),
    [
        ("{{ x", 1, 5, "unexpected end of template"),
        ("a\nb {{ x y }}", 2, 8, "expected token 'end of expression', got 'y'"),
        ("{% foo %}", 1, 4, "there is no tag 'foo'; there are: for, if, set"),
        ("{% macro m() %}{% endmacro %}", 1, 4, "this cannot be used here"),
        ("{% include 'x' %}", 1, 4, "this cannot be used here"),
        ("{% set x %}a{% endset %}", 1, 4, "this cannot be used here"),
        ("{% set KB = 1 %}", 1, 8, "KB is a constant"),
        ("{% for loop in a %}{% endfor %}", 1, 8, "'loop' cannot be used as a name here"),
        ("{{ self.x }}", 1, 4, "'self' cannot be used as a name here"),
        ("a {{ 1e999 }}", 1, 6, "a number that is too large"),
        ("{% for x in y recursive %}{% endfor %}", 1, 4, "a loop cannot be recursive"),
        ("{# a #}{{ x|lowr }}", 1, 13, "there is no filter 'lowr'; did you mean 'lower'?"),
    ],
)
def test_a_wrong_template_has_a_place(expressions, text, line, column, message):
    with pytest.raises(ExpressionSyntaxError) as caught:
        expressions.template(text)
    assert str(caught.value).startswith(message)
    assert (caught.value.line, caught.value.column) == (line, column)


@given(st.text())
def test_data_is_never_compiled(name):
    name = f"{{{{ 7*7 }}}}{{% for %}}{name}"
    rendered = Expressions().template("{{ file.name }}").render({"file": {"name": name}})
    assert rendered == name


def test_the_sandbox_shows_nothing_of_python(expressions):
    for text in (
        "{{ ''.__class__ }}",
        "{{ file['__class__'] }}",
        "{{ range.__globals__ }}",
        "{{ self }}",
        "{{ self._TemplateReference__context }}",
        "{{ loop }}",
        "{{ cycler }}",
        "{{ dict }}",
        "{{ namespace }}",
        "{{ file.items.__func__ }}",
        "{% for x in tags %}{{ loop.__init__ }}{% endfor %}",
        "{% for x in tags %}{{ loop._iterable }}{% endfor %}",
        "{{ tags.append(1) }}",
        "{{ file.clear() }}",
        "{{ 'a'.__mod__(1) }}",
    ):
        with pytest.raises(ExpressionError):
            expressions.template(text).render(CONTEXT)


def test_a_context_holds_plain_data_only(expressions):
    template = expressions.template("{{ file.path }}")
    with pytest.raises(ExpressionError, match=r"file\.path is a PurePosixPath"):
        template.render({"file": {"path": PurePosixPath("/x")}})
    with pytest.raises(ExpressionError, match=r"file: the key 1 is not text"):
        template.render({"file": {1: "x"}})


def test_a_copy_of_the_context_is_used_and_loses_behaviour():
    class Colour(StrEnum):
        RED = "red"

    inner = ["x"]
    copied = plain(MappingProxyType({"a": inner, "b": (1, True), "c": Colour.RED}))
    inner.append("y")
    assert copied == {"a": ["x"], "b": [1, True], "c": "red"}
    assert type(copied["c"]) is str
    assert type(copied) is PlainData
    assert plain(copied) is copied


def test_filters_of_the_caller():
    def boom(value):
        raise OSError(value)

    expressions = Expressions(
        filters={
            "shout": lambda value, mark="!": value.upper() + mark,
            "boom": boom,
            "thing": lambda _: object(),
        }
    )
    assert expressions.template("{{ 'a'|shout('?') }}").render({}) == "A?"
    with pytest.raises(ExpressionError, match=r"the filter 'boom' failed: OSError: a"):
        expressions.template("{{ 'a'|boom }}").render({})
    with pytest.raises(ExpressionError, match="result is a object: expressions see plain data"):
        expressions.template("{{ 'a'|thing }}").render({})
    with pytest.raises(ExpressionSyntaxError, match="there is no filter 'shout'"):
        Expressions().template("{{ 'a'|shout }}")


def test_what_is_a_template():
    assert is_template("{{ x }}")
    assert is_template("{% if x %}")
    assert is_template("{# x #}")
    assert not is_template("{ x } 100%")


def test_an_error_is_not_its_own_cause(expressions):
    """A cycle of causes would be followed for ever by whoever logs it."""
    for text in ("{{ tags }}", "{{ file.nmae }}", "{{ 1 / 0 }}"):
        with pytest.raises(ExpressionError) as caught:
            expressions.template(text).render(CONTEXT)
        assert caught.value.__cause__ is not caught.value
