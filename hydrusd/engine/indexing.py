"""Many comparisons of one value, decided together.

A hundred rules that ask for another size each are one list of sizes, sorted: where an event's file
has its place in it decides them all. A thousand that ask for another folder each are one table.
So the comparisons of a value with constants are put into tables by what they ask, and a table
answers for all that have entered: with the set of those that hold, as the bits of a number. Sets
of that kind are joined and cut in a step, however many are in them.

A table answers only where each single comparison would have been answered without an error: it
says nothing of a text that is held against numbers, or of what is not there at all.
"""

from __future__ import annotations

import itertools
import operator
from abc import ABC, abstractmethod
from bisect import bisect_left, bisect_right
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from hydrusd.expressions import Asks, Conjunct

Bits = int
"""A set of small numbers: 2 to the power of each, summed up."""

LONGEST_TEXT = 65_536
LONGEST_LIST = 1_000
"""What is longer is work to look at, and a condition has to count what it may do of that."""

SUMS = 1_000
"""So many sums are kept of a sorted list; what lies between two of them is added up when asked."""

_SCALARS = frozenset({str, int, float, bool, type(None)})
_LISTS = frozenset({list, tuple, dict, range})
_NUMBERS = frozenset({int, float, bool})


class Table(ABC):
    """Comparisons of one value with constants, of one kind."""

    def __init__(self) -> None:
        self.members: Bits = 0

    def enter(self, conjunct: Conjunct, bit: Bits) -> None:
        """Add a comparison; ``bit`` is the set of it alone, or of it and others."""
        self.members |= bit
        self._enter(conjunct, bit)

    @abstractmethod
    def _enter(self, conjunct: Conjunct, bit: Bits) -> None: ...

    @abstractmethod
    def holding(self, value: object) -> Bits | None:
        """Give those that hold of a value; None where that has to be asked one by one."""


class _Same(Table):
    """Those that ask for one of some constants."""

    def __init__(self) -> None:
        super().__init__()
        self._by_constant: dict[object, Bits] = {}

    def _enter(self, conjunct: Conjunct, bit: Bits) -> None:
        for constant in conjunct.constants:
            self._by_constant[constant] = self._by_constant.get(constant, 0) | bit

    def holding(self, value: object) -> Bits | None:
        kind = type(value)
        if kind in _SCALARS:
            if kind is str and len(value) > LONGEST_TEXT:  # type: ignore[arg-type]
                return None
            return self._by_constant.get(value, 0)
        return 0 if _is_short_list(value) else None  # no list is the same as any constant


class _Different(_Same):
    """Those that ask for none of some constants."""

    def holding(self, value: object) -> Bits | None:
        same = super().holding(value)
        return None if same is None else self.members & ~same


class _Sorted:
    """Constants in their order, and for each place among them the set of those before it."""

    def __init__(self, by_constant: Mapping[Any, Bits]) -> None:
        self.constants = sorted(by_constant)
        self._bits = [by_constant[constant] for constant in self.constants]
        self._step = len(self._bits) // SUMS + 1
        sums = itertools.accumulate(self._bits, operator.or_, initial=0)
        self._sums = list(itertools.islice(sums, 0, None, self._step))

    def before(self, place: int) -> Bits:
        at = place // self._step
        found = self._sums[at]
        for bits in self._bits[at * self._step : place]:
            found |= bits
        return found


class _Ordered(Table):
    """Those that ask for less or more than a constant: all of these texts, or all numbers."""

    def __init__(self) -> None:
        super().__init__()
        self._entered: dict[Asks, dict[Any, Bits]] = {}
        self._sorted: Sequence[tuple[Asks, Bits, _Sorted]] | None = None

    def _enter(self, conjunct: Conjunct, bit: Bits) -> None:
        [constant] = conjunct.constants
        entered = self._entered.setdefault(conjunct.asks, {})
        entered[constant] = entered.get(constant, 0) | bit
        self._sorted = None

    def _sort(self) -> Sequence[tuple[Asks, Bits, _Sorted]]:
        self._sorted = [
            (asks, _together(entered.values()), _Sorted(entered))
            for asks, entered in self._entered.items()
        ]
        return self._sorted

    def _holding(self, value: Any) -> Bits:
        found = 0
        for asks, members, constants in self._sorted or self._sort():
            # Those before the value's place are less than it (or as much), the others more.
            bisect = bisect_left if asks in {Asks.ABOVE, Asks.UP_TO} else bisect_right
            before = constants.before(bisect(constants.constants, value))
            found |= before if asks in {Asks.ABOVE, Asks.FROM} else members ^ before
        return found


class _Numbers(_Ordered):
    def holding(self, value: object) -> Bits | None:
        if type(value) not in _NUMBERS or value != value:  # noqa: PLR0124 - what is no number has no place
            return None
        return self._holding(value)


class _Texts(_Ordered):
    def holding(self, value: object) -> Bits | None:
        return self._holding(value) if _is_short_text(value) else None


class _Begins(Table):
    """Those that ask for how a text begins."""

    def __init__(self) -> None:
        super().__init__()
        self._by_length: dict[int, dict[str, Bits]] = {}

    def _enter(self, conjunct: Conjunct, bit: Bits) -> None:
        for text in conjunct.constants:
            assert isinstance(text, str)
            alike = self._by_length.setdefault(len(text), {})
            alike[text] = alike.get(text, 0) | bit

    def holding(self, value: object) -> Bits | None:
        if not _is_short_text(value):
            return None
        assert isinstance(value, str)
        found = 0
        for length, bits in self._by_length.items():
            if length <= len(value):
                found |= bits.get(self._piece(value, length), 0)
        return found

    def _piece(self, text: str, length: int) -> str:
        return text[:length]


class _Ends(_Begins):
    """Those that ask for how a text ends."""

    def _piece(self, text: str, length: int) -> str:
        return text[len(text) - length :]


class _Holds(Table):
    """Those that ask for a text somewhere in a text, or in a list."""

    def __init__(self) -> None:
        super().__init__()
        self._by_text: dict[str, Bits] = {}
        self._by_start: dict[str, list[str]] = {}
        self._letters: list[str] = []

    def _enter(self, conjunct: Conjunct, bit: Bits) -> None:
        for text in conjunct.constants:
            assert isinstance(text, str)
            if text not in self._by_text:
                long = len(text) > 1
                (self._by_start.setdefault(text[:2], []) if long else self._letters).append(text)
            self._by_text[text] = self._by_text.get(text, 0) | bit

    def holding(self, value: object) -> Bits | None:
        if not (_is_short_text(value) or _is_short_list(value)):
            return None
        asked, found = self._by_text, 0
        if isinstance(value, str) and len(value) < len(asked):
            # Of many texts most begin with two letters that are nowhere in it.
            for place in range(len(value) - 1):
                for text in self._by_start.get(value[place : place + 2], ()):
                    if value.startswith(text, place):
                        found |= asked[text]
            for text in self._letters:
                if text in value:
                    found |= asked[text]
            return found
        held = [bits for text, bits in asked.items() if text in value]  # type: ignore[operator]
        return _together(held)


class _Truth(Table):
    """Those that ask for the value itself."""

    def _enter(self, conjunct: Conjunct, bit: Bits) -> None:
        """Nothing more: all that enter ask the same."""

    def holding(self, value: object) -> Bits | None:
        if type(value) not in _SCALARS and type(value) not in _LISTS:
            return None
        return self.members if value else 0


class _Untruth(_Truth):
    def holding(self, value: object) -> Bits | None:
        holding = super().holding(value)
        return None if holding is None else self.members ^ holding


def table_for(conjunct: Conjunct) -> type[Table]:
    """Give the kind of table into which a comparison goes."""
    kind = _TABLES.get(conjunct.asks)
    if kind is None:
        kind = _Texts if isinstance(conjunct.constants[0], str) else _Numbers
    return kind


_TABLES: Mapping[Asks, type[Table]] = {
    Asks.EQUAL: _Same,
    Asks.UNEQUAL: _Different,
    Asks.BEGINS: _Begins,
    Asks.ENDS: _Ends,
    Asks.HOLDS: _Holds,
    Asks.TRUE: _Truth,
    Asks.FALSE: _Untruth,
}


def _is_short_text(value: object) -> bool:
    return type(value) is str and len(value) <= LONGEST_TEXT


def _is_short_list(value: object) -> bool:
    return type(value) in _LISTS and len(value) <= LONGEST_LIST  # type: ignore[arg-type]


def _together(sets: Iterable[Bits]) -> Bits:
    found = 0
    for bits in sets:
        found |= bits
    return found
