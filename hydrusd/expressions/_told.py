"""What the filters do, for the reference: in a sentence, and shown by an example.

The examples are expressions without data; a test works them out.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import NamedTuple

from hydrusd.expressions._words import FILTERS


class FilterWords(NamedTuple):
    """A filter in words. ``gives`` is what the example gives, as text."""

    words: str
    example: str = ""
    gives: str = ""


_TOLD: dict[str, FilterWords] = {
    "abs": FilterWords("The number without its sign.", "-3 | abs", "3"),
    "capitalize": FilterWords(
        "The first letter as a capital, the others small.", "'aN oWL' | capitalize", "An owl"
    ),
    "count": FilterWords("The same as `length`.", "[1, 2] | count", "2"),
    "d": FilterWords("The same as `default`.", "nothing | d('x')", "x"),
    "default": FilterWords(
        "The value, or another where there is none; with `true` behind it also for an empty one.",
        "nothing | default('x')",
        "x",
    ),
    "first": FilterWords("The first item, or character.", "'owl' | first", "o"),
    "float": FilterWords("A text as a number.", "'1.5' | float", "1.5"),
    "int": FilterWords("A text, or a number, as a whole number.", "'12' | int", "12"),
    "join": FilterWords("The items as one text.", "['a', 'b'] | join(', ')", "a, b"),
    "last": FilterWords("The last item, or character.", "'owl' | last", "l"),
    "length": FilterWords("How many items or characters there are.", "'owl' | length", "3"),
    "list": FilterWords("What can be counted through, as a list.", "range(3) | list | last", "2"),
    "lower": FilterWords("In small letters.", "'OWL' | lower", "owl"),
    "max": FilterWords("The largest item.", "[1, 3, 2] | max", "3"),
    "min": FilterWords("The smallest item.", "[1, 3, 2] | min", "1"),
    "replace": FilterWords(
        "One text put in the place of another.", "'a_b' | replace('_', ' ')", "a b"
    ),
    "reverse": FilterWords("From the end to the beginning.", "'owl' | reverse", "lwo"),
    "round": FilterWords("Rounded, to as many digits as are given.", "2.345 | round(1)", "2.3"),
    "sort": FilterWords(
        "The items in order; `sort(true)` the other way round.",
        "[2, 1] | sort | join(' ')",
        "1 2",
    ),
    "string": FilterWords("The value as text.", "5 | string ~ '!'", "5!"),
    "sum": FilterWords("The numbers added up.", "[1, 2] | sum", "3"),
    "title": FilterWords("Each word with a capital.", "'an owl' | title", "An Owl"),
    "trim": FilterWords("Without spaces at both ends.", "'  owl ' | trim", "owl"),
    "unique": FilterWords("Each item once.", "['a', 'b', 'a'] | unique | join", "ab"),
    "upper": FilterWords("In capitals.", "'owl' | upper", "OWL"),
}


def filters_told() -> Mapping[str, FilterWords]:
    """Give every filter of our own, by name, in words."""
    told = {name: _TOLD.get(name) or FilterWords(_first_line(FILTERS[name])) for name in FILTERS}
    return dict(sorted(told.items()))


def _first_line(function: object) -> str:
    return ((getattr(function, "__doc__", "") or "").strip().splitlines() or [""])[0]
