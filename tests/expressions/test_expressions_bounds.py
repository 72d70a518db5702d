"""Nothing that a rule can say takes the daemon's time or memory."""

from __future__ import annotations

import threading

import pytest
from hypothesis import given, settings, strategies as st

from hydrusd.errors import ExpressionError
from hydrusd.expressions import Expressions, ExpressionSyntaxError

BIG = {
    "text": "a" * 65_000,
    "items": [str(number) for number in range(5000)],
    "nested": [[0] * 10] * 500,
}

HOSTILE = [
    "{{ 'a' * 10**9 }}",
    "{{ 10**9 * 'a' }}",
    "{{ ([1] * 10**9)|length }}",
    "{{ '%999999999d' % 1 }}",
    "{{ '%999999999d' is divisibleby 1 }}",
    "{{ '%999999999d' is odd }}",
    "{{ 9**9**9**9 }}",
    "{{ 2**100000 }}",
    "{{ (10**60) * (10**60) }}",
    "{{ (-8)**0.5 }}",
    "{{ range(10**9)|length }}",
    "{{ range(0, 10**30)|length }}",
    "{% for i in range(10**9) %}{% endfor %}",
    "{% for i in range(9999) %}{% for j in range(9999) %}{% endfor %}{% endfor %}",
    "{% for i in range(9999) %}{% for j in range(9999) if i == j %}{% endfor %}{% endfor %}",
    "{% for i in range(9999) %}0123456789{% endfor %}",
    "{% set x = 'a' %}" + "{% set x = x ~ x %}" * 40 + "{{ x }}",
    "{% set x = 'a' %}" + "{% set x = x + x %}" * 40 + "{{ x }}",
    "{% set x = [1] %}" + "{% set x = [x, x] %}" * 40 + "{{ x == x }}",
    "{% set x = (1,) %}" + "{% set x = {'a': x, 'b': x} %}" * 40 + "{{ x == x }}",
    "{{ text.replace('a', text)|length }}",
    "{{ text|replace('a', text)|length }}",
    "{{ text.join(items)|length }}",
    "{{ items|join(text)|length }}",
    "{{ text.split('a')|length }}",
    "{{ text|list|length }}",
    "{{ text ~ text }}",
    "{% for i in range(9999) %}{% if 'b' in text %}{% endif %}{% endfor %}",
    "{% for i in range(9999) %}{% if text == text|upper %}{% endif %}{% endfor %}",
    "{% for i in range(9999) %}{% if items == items[0:] %}{% endif %}{% endfor %}",
    "{% for i in range(2000) %}" + "{% if text is lower %}{% endif %}" * 20 + "{% endfor %}",
    "{% for i in range(9999) %}{% if nested|sort %}{% endif %}{% endfor %}",
    "{% for i in items %}{% if i in items %}{% endif %}{% endfor %}",
]


@pytest.mark.parametrize("text", HOSTILE, ids=lambda text: text[:50])
def test_it_ends_in_an_error(text):
    template = Expressions().template(text)
    with pytest.raises(ExpressionError):
        template.render(BIG)


@pytest.mark.parametrize(
    "text",
    [
        "{{ " + "(" * 4000 + "1" + ")" * 4000 + " }}",
        "{{ " + "-" * 9000 + "1 }}",
        "{{ x" + ".a" * 4000 + " }}",
        "{{ x" + "|d" * 4000 + " }}",
        "{{ " + "1+" * 4000 + "1 }}",
        "{{ " + "[" * 4000 + "]" * 4000 + " }}",
        "{{ " + "a if b else " * 700 + "c }}",
        "{% if 1 %}" * 300 + "{% endif %}" * 300,
        "{% for a in b %}" * 30 + "{% endfor %}" * 30,
        "{{ " + "1" * 9000 + " }}",
        "a" * 10_001,
    ],
    ids=lambda text: text[:20],
)
def test_it_is_not_even_compiled(text):
    with pytest.raises(ExpressionSyntaxError):
        Expressions().template(text)


def test_what_is_large_but_bearable_works():
    render = Expressions().template
    assert render("{{ text|length }}").render(BIG) == "65000"
    assert render("{{ items|join(',')|length }}").render(BIG) == "23889"
    longest = render(
        "{% for item in items %}{% if item == '4999' %}{{ item }}{% endif %}{% endfor %}"
    )
    assert longest.render(BIG) == "4999"
    assert len(render("{{ 'a' * 65536 }}").render({})) == 65_536


def test_data_beyond_all_measure_is_refused():
    template = Expressions().template("x")
    with pytest.raises(ExpressionError, match="more than 100,000 values"):
        template.render({"a": [0] * 100_001})
    deep: object = []
    for _ in range(40):
        deep = [deep]
    with pytest.raises(ExpressionError, match="nested deeper than 32"):
        template.render({"a": deep})
    endless: list[object] = []
    endless.append(endless)
    with pytest.raises(ExpressionError, match="nested deeper than 32"):
        template.render({"a": endless})


def test_each_evaluation_has_its_own_allowance():
    """Shared between threads, an allowance would run out, or never."""
    template = Expressions().template("{% for i in range(9999) %}{% endfor %}{{ n }}")
    found = []

    def work(number):
        found.extend(template.render({"n": number}) for _ in range(50))

    threads = [threading.Thread(target=work, args=(number,)) for number in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted(found) == sorted(str(number) for number in range(4) for _ in range(50))


ATOMS = st.sampled_from(
    [
        "file.name",
        "file.size",
        "n",
        "s",
        "t",
        "1",
        "'a'",
        "2.5",
        "[]",
        "{}",
        "[1,'a']",
        "none",
        "true",
        "range(3)",
        "nope",
        "file.nope",
        "loop",
        "self",
        "KB",
        "-1",
        "10**50",
        "t[0]",
        "s[1:]",
        "{'a':t}",
        "(1,)",
        "5[1:]",
        "'%d'",
    ]
)
OPERATORS = [
    "+",
    "-",
    "*",
    "/",
    "//",
    "%",
    "**",
    "~",
    "==",
    "!=",
    "<",
    ">",
    "<=",
    "in",
    "and",
    "or",
]
SUFFIXES = [
    "|abs",
    "|first",
    "|int",
    "|join",
    "|length",
    "|lower",
    "|max",
    "|replace('a','b')",
    "|reverse",
    "|round",
    "|sort",
    "|sum",
    "|unique",
    "|upper",
    "|default('x')",
    ".split()",
    ".items()",
    ".get('a')",
    ".count(1)",
    "[0]",
    "[1:]",
    "['a']",
    ".upper",
    ".format()",
    ".__class__",
]


def combined(inner):
    return st.one_of(
        st.builds("({} {} {})".format, inner, st.sampled_from(OPERATORS), inner),
        st.builds("({}){}".format, inner, st.sampled_from(SUFFIXES)),
        st.builds("({} if {} else {})".format, inner, inner, inner),
        st.builds("[{}, {}]".format, inner, inner),
        st.builds("not {}".format, inner),
    )


@settings(max_examples=300, deadline=None)
@given(st.recursive(ATOMS, combined, max_leaves=8), st.booleans())
def test_any_expression_gives_a_value_or_an_expression_error(text, looped):
    context = {"file": {"name": "a", "size": 3}, "n": 7, "s": "text", "t": [3, 1, 2]}
    expressions = Expressions()
    source = (
        f"{{% for v in [{text}] %}}{{{{ v }}}}{{% endfor %}}" if looped else f"{{{{ {text} }}}}"
    )
    try:
        rendered = expressions.template(source).render(context)
    except ExpressionError as error:
        rendered = str(error)
    assert isinstance(rendered, str)


@settings(max_examples=300, deadline=None)
@given(st.text(st.sampled_from("{}%|().'\"#[] \n-x1afi~\\")), st.booleans())
def test_any_text_compiles_or_is_a_syntax_error_with_a_place(text, condition):
    expressions = Expressions()
    line, column = 1, 1
    try:
        (expressions.condition if condition else expressions.template)(text)
    except ExpressionSyntaxError as error:
        line, column = error.line, error.column
    lines = text.split("\n")
    assert 1 <= line <= len(lines)
    assert 1 <= column <= len(lines[line - 1]) + 1
