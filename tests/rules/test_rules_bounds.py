"""Whatever stands in a file, the answer is rules or problems, soon and with little memory."""

from __future__ import annotations

import contextlib
import tracemalloc
from itertools import pairwise

import pytest
from hypothesis import example, given, settings, strategies as st
from rules_vocabulary import HEAD, KEY, VOCABULARY

from hydrusd.errors import ConfigError
from hydrusd.rules import parse

MIB = 1024 * 1024
LETTERS = "abcdefghijklm"


def bomb():
    lines = ["a: &a [x, x, x, x, x, x, x, x, x]"]
    lines += [f"{new}: &{new} [{', '.join([f'*{old}'] * 9)}]" for old, new in pairwise(LETTERS)]
    return "\n".join(lines)


def merge_bomb():
    lines = ["a: &a {x: 1}"]
    lines += [
        f"{new}: &{new} {{<<: [{', '.join([f'*{old}'] * 9)}], {new}: *{old}}}"
        for old, new in pairwise(LETTERS)
    ]
    return "\n".join(lines)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (bomb(), "more than 100,000 values"),
        (merge_bomb(), "more than 100,000 values"),
        ("[" * MIB, "nested deeper than 50"),
        ("{a: " * (MIB // 4), "nested deeper than 50"),
        ("- " * (MIB // 2), "nested deeper than 50"),
        ("a: &a [*a]", "this refers to itself"),
        ("&a {<<: *a}", "this refers to itself"),
    ],
    ids=["aliases", "merges", "lists", "mappings", "dashes", "itself", "merges itself"],
)
def test_what_would_never_end_is_one_problem(problems, text, message):
    found = [problem.message for problem in problems(text)]
    assert found.count(message) == 1


def test_a_text_of_more_than_a_mebibyte(problems):
    (found,) = problems("#" * (MIB + 1))
    assert found.message == "the file is larger than 1 MiB: too large for rules"


def test_an_alias_bomb_takes_little_memory(problems):
    tracemalloc.start()
    try:
        problems(bomb())
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert peak < 100 * MIB


def run(text):
    """Give the problems; any other exception than a ConfigError fails the test."""
    with contextlib.suppress(ConfigError):
        parse(text, VOCABULARY, file="rules.yaml", environ={"KEY": KEY})
        return ()
    with pytest.raises(ConfigError) as caught:
        parse(text, VOCABULARY, file="rules.yaml", environ={"KEY": KEY})
    return caught.value.problems


def check_places(text):
    lines = text.replace("\r\n", "\n").count("\n") + 1
    for problem in run(text):
        assert problem.message
        assert problem.render()
        assert problem.line == 0 or (1 <= problem.line <= lines + text.count("\r") + 9)
        assert problem.column >= (1 if problem.line else 0)


FRAGMENTS = st.sampled_from(
    [
        *"{}[],:-?#&*!|>'\"%@`\\~\t\n\r ax0é\u2028\x85\ufeff\x00\x07",
        "{{", "}}", "- ", "  ", "\n  ", ": ", "&a ", "*a", "<<: ", "!!int ", "!!set ", "!!x ",
        "---", "...", "${env:KEY}", "${", "\\ud800", "\\UFFFFFFFF", "1e999", "0x", "!<",
        "%YAML 1.1\n", "%TAG ! x\n", "rules:", "client:", "name: ", "on: ", "do:", "null",
        "\U0001f408", "9" * 5000,
    ]
)  # fmt: skip


@settings(max_examples=300, deadline=None)
@given(st.lists(FRAGMENTS, max_size=30).map("".join))
@example("\ufeff\ufeffa: b")
@example('a: "\\UFFFFFFFF"')
@example("%YAML 9" + "9" * 5000 + ".1\n---\na")
@example("!!int 'x': !!float {}")
def test_any_text(text):
    check_places(text)


RIGHT = f"""{HEAD}rules:
  - name: r
    on:
      watch_folder: {{path: a, include: ["*.jpg"], settle: 2s}}
    if: a
    do:
      - add_tags: {{mine: [a, "{{{{ b }}}}"]}}
      - move_source:
          to: b
          larger_than: 5 KB
"""


@settings(max_examples=300, deadline=None)
@given(st.data())
def test_a_right_file_with_anything_done_to_it(data):
    text = RIGHT
    for _ in range(data.draw(st.integers(1, 4))):
        start = data.draw(st.integers(0, len(text)))
        end = data.draw(st.integers(start, min(len(text), start + 20)))
        text = text[:start] + data.draw(FRAGMENTS | st.just("")) + text[end:]
    check_places(text)


SCALARS = st.sampled_from(
    [
        "null",
        "true",
        "7",
        "-1.5",
        "1e3",
        ".inf",
        "text",
        "''",
        "2s",
        "10KB",
        "'{{",
        "a",
        "}}'",
        "'{{",
        "?",
        "}}'",
        "[]",
        "{}",
        "'*'",
    ]
)
KEYS = st.sampled_from(
    [
        "name",
        "on",
        "if",
        "do",
        "enabled",
        "path",
        "include",
        "settle",
        "method",
        "add_file",
        "add_tags",
        "move_source",
        "startup",
        "watch_folder",
        "to",
        "names",
        "attempts",
        "x",
        "'2'",
        "''",
    ]
)


def flow(inner):
    return st.one_of(
        st.lists(inner, max_size=3).map(lambda items: f"[{', '.join(items)}]"),
        st.dictionaries(KEYS, inner, max_size=3).map(
            lambda items: "{" + ", ".join(f"{key}: {item}" for key, item in items.items()) + "}"
        ),
    )


VALUES = st.recursive(SCALARS, flow, max_leaves=6)


@settings(max_examples=300, deadline=None)
@given(VALUES, VALUES, VALUES, VALUES)
def test_any_structure(on, do, condition, client):
    rule = f"{{name: r, on: {on}, if: {condition}, do: [{do}]}}"
    check_places(f"{HEAD}rules: [{rule}, {do}]\n")
    check_places(f"client: {client}\nplugins: {do}\nrules: {on}\n")
