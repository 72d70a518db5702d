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
    "basename": FilterWords("The last part of a path.", "'a/b/owl.jpg' | basename", "owl.jpg"),
    "clean_tag": FilterWords(
        "A tag, or a list of them, as Hydrus would store it; what nothing is left of is left out.",
        "'  Big  OWL' | clean_tag",
        "big owl",
    ),
    "date": FilterWords(
        "A time (seconds or nanoseconds since 1970, or ISO text) as `strftime` writes it, in "
        "local time or in a zone by its name.",
        "0 | date('%d.%m.%Y', 'UTC')",
        "01.01.1970",
    ),
    "dirname": FilterWords("A path without its last part.", "'a/b/owl.jpg' | dirname", "a/b"),
    "matches": FilterWords(
        "Whether a pattern is found in a text; `^` and `$` are its ends.",
        "'owl 7' | matches('[0-9]$')",
        "true",
    ),
    "md5": FilterWords("The MD5 of a text.", "'owl' | md5 | first", "5"),
    "parse_date": FilterWords(
        "A text as a time, in seconds since 1970: the other way round.",
        "'02.01.1970' | parse_date('%d.%m.%Y', 'UTC')",
        "86400",
    ),
    "parts": FilterWords(
        "The folders and the name of a path, as a list.",
        "'a/b/owl.jpg' | parts | join(' ')",
        "a b owl.jpg",
    ),
    "regex": FilterWords(
        "The groups of a pattern where it is first found, by name and number; nothing where it "
        "is not.",
        "('owl_7' | regex('(?P<bird>[a-z]+)_')).bird",
        "owl",
    ),
    "regex_all": FilterWords(
        "All that a pattern finds: its first group, or the whole where it has none.",
        "'a1 b2' | regex_all('[0-9]') | join(' ')",
        "1 2",
    ),
    "regex_replace": FilterWords(
        "A text in which all that a pattern finds is another text.",
        "'owl_7' | regex_replace('_[0-9]+$', '')",
        "owl",
    ),
    "sha256": FilterWords("The SHA-256 of a text.", "'owl' | sha256 | length", "64"),
    "stem": FilterWords(
        "The name at the end of a path, without its suffix.", "'a/b/owl.jpg' | stem", "owl"
    ),
    "suffix": FilterWords(
        "The suffix of a path, with its dot and in small letters.", "'a/b/owl.JPG' | suffix", ".jpg"
    ),
    "upper": FilterWords("In capitals.", "'owl' | upper", "OWL"),
}


def filters_told() -> Mapping[str, FilterWords]:
    """Give every filter of our own, by name, in words."""
    told = {name: _TOLD.get(name) or FilterWords(_first_line(FILTERS[name])) for name in FILTERS}
    return dict(sorted(told.items()))


def _first_line(function: object) -> str:
    return ((getattr(function, "__doc__", "") or "").strip().splitlines() or [""])[0]
