"""What an expression may see: text, numbers, booleans, nothing, lists and mappings.

An object with behaviour in a context is how sandboxes are escaped and how a render
comes to do something. The copy made here is also what keeps a template from
changing the caller's data.
"""

from __future__ import annotations

from collections.abc import Mapping

from hydrusd.errors import ExpressionError

MAX_VALUES = 100_000
MAX_DEPTH = 32

SCALARS = frozenset({str, int, float, bool, type(None)})


class PlainData(dict[str, object]):
    """A checked copy of a context. Rendering with it again skips the check."""


def plain(context: Mapping[str, object]) -> PlainData:
    """Give a checked copy of the data.

    Raises ExpressionError for anything but text, numbers, booleans, None, lists,
    tuples and mappings with text as keys; for more than 100,000 values; and for
    data nested deeper than 32.
    """
    if type(context) is PlainData:
        return context
    data = PlainData()
    budget = [MAX_VALUES]
    # This runs for each evaluation: what is plain already costs no call.
    for key, item in context.items():
        data[key] = item if type(item) in SCALARS else _copy(item, budget, (key,))
        if type(key) is not str:
            raise ExpressionError(f"the key {key!r} is not text")
    return data


def _copy(value: object, budget: list[int], path: tuple[object, ...]) -> object:
    # Mostly a dict itself; to ask for a mapping of any kind takes longer.
    if type(value) is dict or isinstance(value, Mapping):
        _spend(len(value), budget, path)
        copy: dict[str, object] = {}
        for key, item in value.items():
            if type(key) is not str:
                raise ExpressionError(f"{_place(path)}: the key {key!r} is not text")
            copy[key] = item if type(item) in SCALARS else _copy(item, budget, (*path, key))
        return copy
    if isinstance(value, list | tuple):
        _spend(len(value), budget, path)
        return [
            item if type(item) in SCALARS else _copy(item, budget, (*path, index))
            for index, item in enumerate(value)
        ]
    # Subclasses (an enum's member, marked-up text) lose their behaviour here.
    if isinstance(value, str):
        return str.__str__(value)
    if isinstance(value, int):
        return int.__int__(value)
    if isinstance(value, float):
        return float.__float__(value)
    raise ExpressionError(
        f"{_place(path)} is a {type(value).__name__}: expressions see plain data only"
    )


def _spend(values: int, budget: list[int], path: tuple[object, ...]) -> None:
    budget[0] -= values
    if budget[0] < 0:
        raise ExpressionError(f"more than {MAX_VALUES:,} values are too many for an expression")
    if len(path) > MAX_DEPTH:
        raise ExpressionError(f"{_place(path)[:80]}: nested deeper than {MAX_DEPTH}")


def _place(path: tuple[object, ...]) -> str:
    return ".".join(map(str, path))
