"""What one evaluation may cost, in size and in work.

Time is counted in units of work, not in seconds: a rule must not fail only because
the machine was busy or asleep. One unit is about a tenth to a third of a
microsecond, so the allowance is spent in well under a second. Everything that could
multiply (operators, loops, filters, methods) passes through here *before* it is
carried out; what is left costs no more than its own length in the source.
"""

from __future__ import annotations

import operator
from collections.abc import Callable

from jinja2 import Environment, StrictUndefined
from jinja2.runtime import Context

from hydrusd.errors import ExpressionError

MAX_TEXT = 65_536
MAX_ITEMS = 10_000
MAX_WORK = 1_000_000
MAX_BITS = 256

NAMES = {
    "bool": "true or false",
    "dict": "a mapping",
    "float": "a number",
    "int": "a number",
    "list": "a list",
    "NoneType": "nothing",
    "range": "a list",
    "str": "text",
    "tuple": "a list",
}
LISTS = (list, tuple, range)


class Evaluation(Context):
    """One evaluation: Jinja's context, and the work that it may still do."""

    def __init__(
        self, environment: Environment, parent: dict[str, object], *_: object, **__: object
    ) -> None:
        super().__init__(environment, parent, None, {})
        self.work_left = MAX_WORK

    def spend(self, work: int) -> None:
        """Take this much off what is left. Raises ExpressionError when it is used up."""
        self.work_left -= work
        if self.work_left < 0:
            raise ExpressionError("this takes too long: its loops do too much work")

    def admit(self, value: object) -> object:
        """Give the value back if it is plain data of a bearable size."""
        kind = type(value)
        if kind is str:
            self.spend(len(value) >> 6)  # type: ignore[arg-type]
            if len(value) > MAX_TEXT:  # type: ignore[arg-type]
                raise ExpressionError(f"a text longer than {MAX_TEXT:,} characters")
        elif kind is int:
            if value.bit_length() > MAX_BITS:  # type: ignore[attr-defined]
                raise ExpressionError("a number too large to work with")
        elif kind is range:
            pass
        elif kind is list or kind is tuple or kind is dict:
            self.spend(_weight(value))
        else:
            refuse_missing(value)
            if kind not in (bool, float, type(None)):
                raise ExpressionError(f"{name_of(value)} cannot be used here")
        return value

    def charge(self, value: object) -> None:
        """Pay for reading a value once."""
        kind = type(value)
        if kind is str:
            self.spend(1 + (len(value) >> 6))  # type: ignore[arg-type]
        elif kind in (list, tuple, dict, range):
            self.spend(1 + len(value))  # type: ignore[arg-type]


def name_of(value: object) -> str:
    """Say what kind of value this is, in a user's words."""
    return NAMES.get(type(value).__name__, f"a {type(value).__name__}")


def refuse_missing(value: object) -> None:
    """Raise the error of a value that is not there, if it is such a one."""
    if isinstance(value, StrictUndefined):
        str(value)


def _weight(value: object) -> int:
    """Count what a container holds, all the way down. Shared parts count each time."""
    weight = 0
    waiting = [value]
    while waiting:
        part = waiting.pop()
        weight += 1
        if isinstance(part, str):
            weight += len(part) >> 6
        elif isinstance(part, dict | list | tuple):
            weight += len(part)
            waiting += part.values() if isinstance(part, dict) else part
        else:
            refuse_missing(part)
        if weight > 4 * MAX_ITEMS:
            raise ExpressionError(f"a list that holds more than {MAX_ITEMS:,} values")
    return weight


_OPERATORS: dict[str, Callable[[object, object], object]] = {
    "+": operator.add,
    "-": operator.sub,
    "*": operator.mul,
    "/": operator.truediv,
    "//": operator.floordiv,
    "%": operator.mod,
    "**": operator.pow,
}
_NUMBERS = (int, float, bool)


def calculate(sign: str, left: object, right: object) -> object:
    """Apply an operator, after making sure that the result will be small."""
    if isinstance(left, _NUMBERS) and isinstance(right, _NUMBERS):
        if sign == "**":
            _check_power(left, right)
        result = _OPERATORS[sign](left, right)
        if type(result) is int and result.bit_length() > MAX_BITS:
            raise ExpressionError("a number too large to work with")
        return result
    refuse_missing(left)
    refuse_missing(right)
    if sign == "*":
        sized, times = (left, right) if not isinstance(left, int) else (right, left)
        if isinstance(sized, str | list | tuple) and isinstance(times, int):
            limit = MAX_TEXT if isinstance(sized, str) else MAX_ITEMS
            if len(sized) * times > limit:
                raise ExpressionError(f"{name_of(sized)} repeated {times} times is too long")
            return sized * times
    same = type(left) is type(right) and isinstance(left, str | list | tuple)
    if sign == "+" and same:
        return left + right  # type: ignore[operator]
    hint = ""
    if isinstance(left, str) and sign in "+%":
        hint = "; join text with '~'"
    raise ExpressionError(f"{name_of(left)} {sign} {name_of(right)} makes no sense{hint}")


def _check_power(number: float, exponent: float) -> None:
    if isinstance(number, int) and isinstance(exponent, int):
        if abs(number) > 1 and number.bit_length() * exponent > 2 * MAX_BITS:
            raise ExpressionError("a number too large to work with")
    elif number < 0:
        raise ExpressionError("a root of a negative number makes no sense")
