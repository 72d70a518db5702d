"""The filters, tests, methods and constants that an expression may use.

Few on purpose, and each one strict: Jinja's own turn a number that cannot be read
into 0 and nothing into ``None``, which would end up as a tag on somebody's files.
Each guards its own size where the result may be larger than what went in.
"""

from __future__ import annotations

import operator
from collections.abc import Callable, Iterable, Mapping
from typing import Any

from jinja2 import StrictUndefined, pass_context
from jinja2.filters import do_title
from jinja2.tests import TESTS as JINJA_TESTS

from hydrusd.errors import ExpressionError, text_of
from hydrusd.expressions._bounds import (
    LISTS,
    MAX_ITEMS,
    MAX_TEXT,
    Evaluation,
    name_of,
    refuse_missing,
)
from hydrusd.expressions._library import LIBRARY
from hydrusd.expressions._plain import plain

CONSTANTS = {"KB": 1024, "MB": 1024**2, "GB": 1024**3, "TB": 1024**4}

_NEEDS = "{} needs {}, not {}"


def bounded_range(*numbers: object) -> range:
    """Count, up to 10,000 numbers."""
    if not all(type(number) is int for number in numbers) or not 1 <= len(numbers) <= 3:
        raise ExpressionError("range needs one to three whole numbers")
    counted = range(*numbers)  # type: ignore[call-overload]
    # A range may be longer than what len() can say.
    if counted and (abs(counted[-1] - counted[0]) // abs(counted.step)) >= MAX_ITEMS:
        raise ExpressionError(f"a range of more than {MAX_ITEMS:,} numbers")
    return counted  # type: ignore[no-any-return]


def _text(name: str, value: object) -> str:
    if not isinstance(value, str):
        raise ExpressionError(_NEEDS.format(name, "text", name_of(value)))
    return value


def _items(name: str, value: object) -> list[object]:
    if isinstance(value, dict | list | tuple | range):
        return list(value)
    raise ExpressionError(_NEEDS.format(name, "a list", name_of(value)))


def _of_text(name: str, function: Callable[[str], object]) -> Callable[[object], object]:
    return lambda value: function(_text(name, value))


def _replace(value: object, old: object, new: object, count: int = -1) -> str:
    text, old, new = _text("replace", value), _text("replace", old), _text("replace", new)
    if not old:
        raise ExpressionError("replace needs a text to look for")
    if len(text) + text.count(old) * len(new) > MAX_TEXT + len(text):
        raise ExpressionError(f"a text longer than {MAX_TEXT:,} characters")
    return text.replace(old, new, count)


def _join(value: object, between: object = "") -> str:
    between, parts = _text("join", between), _items("join", value)
    texts = [part if isinstance(part, str) else _string(part) for part in parts]
    if sum(map(len, texts)) + len(between) * len(texts) > 2 * MAX_TEXT:
        raise ExpressionError(f"a text longer than {MAX_TEXT:,} characters")
    return between.join(texts)


def _string(value: object) -> str:
    if isinstance(value, str):
        return value
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, int | float):
        return str(value)
    refuse_missing(value)
    if value is None:
        raise ExpressionError("there is nothing here to write; give a text with |default(…, true)")
    raise ExpressionError(f"{name_of(value)} cannot be written as text; use |join(', ')")


def _default(value: object, other: object = "", boolean: object = False) -> object:
    if isinstance(value, StrictUndefined) or (boolean and not value):
        return other
    return value


def _int(value: object, default: object = None) -> object:
    return _number("int", int, value, default)


def _float(value: object, default: object = None) -> object:
    return _number("float", float, value, default)


def _number(name: str, kind: type, value: object, default: object) -> object:
    if not isinstance(value, str | int | float):
        raise ExpressionError(_NEEDS.format(name, "a number or text", name_of(value)))
    try:
        if kind is int and isinstance(value, str) and len(value) > 80:
            raise ValueError
        return kind(value)
    except (ValueError, OverflowError):
        if default is None:
            raise ExpressionError(f"{value!r:.80} is not a number") from None
        return default


def _round(value: object, digits: object = 0) -> object:
    if not isinstance(value, int | float) or not isinstance(digits, int):
        raise ExpressionError(_NEEDS.format("round", "numbers", name_of(value)))
    return round(value, max(-30, min(30, digits))) if digits else round(value)


def _abs(value: object) -> object:
    if not isinstance(value, int | float):
        raise ExpressionError(_NEEDS.format("abs", "a number", name_of(value)))
    return abs(value)


def _length(value: object) -> int:
    if isinstance(value, str | dict | list | tuple | range):
        return len(value)
    raise ExpressionError(_NEEDS.format("length", "text or a list", name_of(value)))


def _end(name: str, index: int) -> Callable[[object], object]:
    def take(value: object) -> object:
        parts = value if isinstance(value, str) else _items(name, value)
        if not parts:
            raise ExpressionError(f"{name}: there is nothing in {name_of(value)} that is empty")
        return parts[index]

    return take


def _sort(value: object, reverse: object = False) -> list[object]:
    return sorted(_items("sort", value), reverse=bool(reverse))  # type: ignore[type-var]


def _unique(value: object) -> list[object]:
    parts = _items("unique", value)
    return list(dict.fromkeys(parts))


def _reverse(value: object) -> object:
    return value[::-1] if isinstance(value, str) else _items("reverse", value)[::-1]


def _extreme(
    name: str, function: Callable[[Iterable[object]], object]
) -> Callable[[object], object]:
    def take(value: object) -> object:
        parts = _items(name, value)
        if not parts:
            raise ExpressionError(f"{name}: the list is empty")
        return function(parts)

    return take


def _sum(value: object) -> object:
    parts = _items("sum", value)
    if not all(isinstance(part, int | float) for part in parts):
        raise ExpressionError("sum needs a list of numbers")
    return sum(parts)  # type: ignore[arg-type]


def _in(value: object, holder: object) -> bool:
    refuse_missing(value)
    refuse_missing(holder)
    if isinstance(holder, str):
        return _text("'in' a text", value) in holder
    if isinstance(holder, dict | list | tuple | range):
        return value in holder
    raise ExpressionError(f"nothing can be 'in' {name_of(holder)}")


FILTERS: dict[str, Callable[..., object]] = {
    "abs": _abs,
    "capitalize": _of_text("capitalize", str.capitalize),
    "count": _length,
    "d": _default,
    "default": _default,
    "first": _end("first", 0),
    "float": _float,
    "int": _int,
    "join": _join,
    "last": _end("last", -1),
    "length": _length,
    "list": lambda value: _items("list", value),
    "lower": _of_text("lower", str.lower),
    "max": _extreme("max", max),  # type: ignore[arg-type]
    "min": _extreme("min", min),  # type: ignore[arg-type]
    "replace": _replace,
    "reverse": _reverse,
    "round": _round,
    "sort": _sort,
    "string": _string,
    "sum": _sum,
    "title": _of_text("title", do_title),
    "trim": _of_text("trim", str.strip),
    "unique": _unique,
    "upper": _of_text("upper", str.upper),
    **LIBRARY,
}

_PLAIN_TESTS = (
    "boolean", "defined", "eq", "false", "float", "ge", "gt", "integer", "iterable", "le",
    "lower", "lt", "mapping", "ne", "none", "number", "sequence", "string", "true", "undefined",
    "upper", "==", "!=", ">", ">=", "<", "<=", "equalto", "greaterthan", "lessthan",
)  # fmt: skip


def _divisible(name: str, value: object, number: object) -> bool:
    # Jinja's own would format a text with '%'.
    if not isinstance(value, int) or not isinstance(number, int):
        raise ExpressionError(f"{name} needs whole numbers")
    return value % number == 0


_TEXT_METHODS = (
    "capitalize", "casefold", "count", "endswith", "find", "isalnum", "isalpha", "isdecimal",
    "isdigit", "islower", "isnumeric", "isspace", "isupper", "lower", "lstrip", "partition",
    "removeprefix", "removesuffix", "rfind", "rpartition", "rsplit", "rstrip", "split",
    "splitlines", "startswith", "strip", "swapcase", "title", "upper",
)  # fmt: skip

_METHODS: dict[type, dict[str, Callable[..., object]]] = {
    str: {
        **{name: getattr(str, name) for name in _TEXT_METHODS},
        "join": lambda between, parts: _join(parts, between),
        "replace": _replace,
    },
    dict: {
        "get": dict.get,
        "items": lambda mapping: list(mapping.items()),
        "keys": list,
        "values": lambda mapping: list(mapping.values()),
    },
    list: {"count": list.count, "index": list.index},
    tuple: {"count": tuple.count, "index": tuple.index},
}


def _guarded(function: Callable[..., object]) -> Callable[..., object]:
    @pass_context
    def call(context: Evaluation, *values: object, **named: object) -> object:
        for value in values:
            context.charge(value)
        if function is not _default:
            for value in (*values, *named.values()):
                refuse_missing(value)
        return context.admit(function(*values, **named))

    return call


def _foreign(name: str, function: Callable[..., object]) -> Callable[..., object]:
    """Guard a filter that a plugin brought: it may fail in any way, and give anything."""

    def call(*values: object, **named: object) -> object:
        try:
            result = function(*values, **named)
        except Exception as error:  # noqa: BLE001 - the plugin boundary: what fails there is named
            text = text_of(error)
            raise ExpressionError(
                f"the filter {name!r} failed: {type(error).__name__}: {text or ''}".rstrip(": ")
            ) from (error if text is not None else None)
        return plain({"result": result})["result"]

    return _guarded(call)


def _guarded_test(name: str, function: Callable[..., object]) -> Callable[..., object]:
    @pass_context
    def call(context: Evaluation, *values: object) -> bool:
        for value in values:
            context.charge(value)
            if name not in {"defined", "undefined"}:
                refuse_missing(value)
        if len(values) > 1:
            return bool(function(*map(context.admit, values)))
        return bool(function(*values))

    return call


_TESTS: dict[str, Any] = {
    **{name: JINJA_TESTS[name] for name in _PLAIN_TESTS},
    "divisibleby": lambda value, number: _divisible("divisibleby", value, number),
    "even": lambda value: _divisible("even", value, 2),
    "odd": lambda value: not _divisible("odd", value, 2),
}
TESTS = {name: _guarded_test(name, function) for name, function in _TESTS.items()}


@pass_context
def _each(context: Evaluation, value: object, cost: int) -> object:
    """Pay for a whole loop before its first turn."""
    refuse_missing(value)
    if not isinstance(value, (dict, *LISTS)):
        raise ExpressionError(f"a loop needs a list, not {name_of(value)}")
    context.spend(1 + len(value) * cost)
    return value


_COMPARISONS: dict[str, Callable[[Any, Any], object]] = {
    "eq": operator.eq,
    "ge": operator.ge,
    "gt": operator.gt,
    "le": operator.le,
    "lt": operator.lt,
    "ne": operator.ne,
}


@pass_context
def _compare(context: Evaluation, left: object, sign: str, right: object) -> object:
    context.charge(left)
    context.charge(right)
    if isinstance(left, (dict, *LISTS)) and isinstance(right, (dict, *LISTS)):
        context.admit(left)
        context.admit(right)
    return _COMPARISONS[sign](left, right)


@pass_context
def _concatenate(context: Evaluation, *values: object) -> object:
    return context.admit("".join([_string(value) for value in values]))


@pass_context
def _slice(context: Evaluation, value: object, *limits: Any) -> object:
    refuse_missing(value)
    if not isinstance(value, str | list | tuple | range):
        raise ExpressionError(f"{name_of(value)} has no parts to take")
    if not all(limit is None or type(limit) is int for limit in limits):
        raise ExpressionError("the parts of a list are counted in whole numbers")
    part = value[slice(*limits)]
    context.charge(part)
    return part


@pass_context
def _built(context: Evaluation, value: object) -> object:
    return context.admit(value)


# Put into the syntax tree by _syntax.py; users cannot write these names.
INTERNAL_FILTERS: dict[str, Callable[..., object]] = {
    "_built": _built,
    "_compare": _compare,
    "_concatenate": _concatenate,
    "_each": _each,
    "_in": _guarded(_in),
    "_slice": _slice,
}

METHODS = {
    kind: {name: _guarded(function) for name, function in methods.items()}
    for kind, methods in _METHODS.items()
}
LOOP_ATTRIBUTES = frozenset(
    {"depth", "first", "index", "index0", "last", "length", "nextitem", "previtem", "revindex"}
)


def all_filters(foreign: Mapping[str, Callable[..., object]]) -> dict[str, Callable[..., object]]:
    """Give our own filters and the caller's, each of them guarded."""
    own = {name: _guarded(function) for name, function in FILTERS.items()}
    return own | {name: _foreign(name, function) for name, function in foreign.items()}


@pass_context
def written(context: Evaluation, value: object) -> str:
    """Turn the value of ``{{ … }}`` into text. Jinja's ``finalize``."""
    context.spend(1)
    return value if type(value) is str else _string(value)
