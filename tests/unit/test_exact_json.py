from __future__ import annotations

import json
import math
from datetime import UTC, datetime
from enum import StrEnum
from typing import Any, NamedTuple

import pytest
from hypothesis import example, given, strategies as st

from hydrusd.exact_json import decode, encode, glance


class Pair(NamedTuple):
    left: Any
    right: Any


class Colour(StrEnum):
    RED = "red"


plain = st.recursive(
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats()
    | st.text(st.characters(exclude_categories=()))
    | st.sampled_from([2**53, 2**63, 2**64, -(2**63) - 1, -0.0, 1e400, Colour.RED, "\udc80"]),
    lambda inner: (
        st.lists(inner, max_size=4)
        | st.tuples(inner, inner)
        | st.builds(Pair, inner, inner)
        | st.dictionaries(st.text(max_size=5) | st.integers(), inner, max_size=4)
    ),
    max_leaves=12,
)


def told(value: object) -> str:
    """All that there is to a value: 1 is not 1.0, and -0.0 is not 0.0."""
    return repr(value)


@given(plain)
@example({"a": math.nan, "b": None})
@example({"a": 2**64})
@example({"said": 'she said": so'})
@example({"a": {"b": [None, {"c": math.inf}]}})
def test_what_is_written_is_read_as_the_standard_library_has_it(value):
    assert told(decode(encode(value))) == told(json.loads(json.dumps(value)))


@given(plain)
def test_what_the_standard_library_wrote_is_read_as_it_reads_it(value):
    for text in (json.dumps(value), json.dumps(value, ensure_ascii=False, indent=1)):
        assert told(decode(text)) == told(json.loads(text))


@pytest.mark.parametrize("value", [datetime.now(UTC), {1, 2}, b"bytes", object(), 1j])
@pytest.mark.parametrize("wrap", [lambda v: v, lambda v: {"a": [v]}])
def test_what_has_no_form_in_json_is_refused(value, wrap):
    with pytest.raises(TypeError):
        encode(wrap(value))


def test_what_holds_itself_is_refused():
    circle: list[object] = []
    circle.append(circle)
    with pytest.raises(ValueError, match="Circular"):
        encode({"a": circle})


@pytest.mark.parametrize("text", ["", "{", '{"a":', "nothing", '{"a":1}}'])
def test_what_is_no_json_is_refused(text):
    with pytest.raises(json.JSONDecodeError):
        decode(text)


def test_text_that_is_not_unicode_is_escaped_or_left_as_it_is():
    assert encode({"a": "ü\udc80"}) == '{"a": "\\u00fc\\udc80"}'
    assert glance({"a": "ü\udc80"}) == '{"a": "ü\udc80"}'
    assert encode({"a": "ü"}) == '{"a":"ü"}'
