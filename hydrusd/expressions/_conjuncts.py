"""What a condition asks, part by part, in a form in which many conditions can be asked at once.

Most conditions are a few plain questions joined by ``and``: ``file.suffix == '.png' and file.size >
10 * KB``. A hundred rules mostly ask the same things and hold them against other constants. So a
condition is taken apart into its conjuncts, in their order, and each conjunct into the *term* that
it looks at and the constants that it holds it against: who has many conditions works out a term
once and finds by look-up which of them it satisfies.

Nothing is left out by that: a part that is no comparison with a constant is a term itself, asked
for being true. What the parts say is said of *plain* answers only. Where a term cannot be worked
out, is of an unexpected kind, or takes long, it has no value here, and the condition has to be
asked as a whole: how it fails, and in which words, is its own affair.
"""

from __future__ import annotations

import enum
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from jinja2 import nodes

from hydrusd.expressions._bounds import MAX_WORK

MAX_CONJUNCTS = 16
TERM_WORK = MAX_WORK // (2 * MAX_CONJUNCTS)
"""What a term may cost: what a condition may in all is not overrun by any of its parts."""

NO_DATA = frozenset({"range"})
"""Names that are no data for the language, even where there is data of that name."""


class Asks(enum.Enum):
    """What is asked of a term. All but the last two hold it against constants."""

    EQUAL = "is one of"
    UNEQUAL = "is none of"
    BELOW = "<"
    UP_TO = "<="
    ABOVE = ">"
    FROM = ">="
    BEGINS = "begins with"
    ENDS = "ends with"
    HOLDS = "holds"
    TRUE = "is true"
    FALSE = "is not true"


_NOT = {
    Asks.EQUAL: Asks.UNEQUAL,
    Asks.BELOW: Asks.FROM,
    Asks.UP_TO: Asks.ABOVE,
    Asks.TRUE: Asks.FALSE,
}
_NOT |= {after: before for before, after in _NOT.items()}
_TURNED = {
    Asks.BELOW: Asks.ABOVE,
    Asks.UP_TO: Asks.FROM,
    Asks.ABOVE: Asks.BELOW,
    Asks.FROM: Asks.UP_TO,
}
_COMPARISONS = {
    "eq": Asks.EQUAL,
    "ne": Asks.UNEQUAL,
    "lt": Asks.BELOW,
    "lteq": Asks.UP_TO,
    "gt": Asks.ABOVE,
    "gteq": Asks.FROM,
}
_METHODS = {"startswith": Asks.BEGINS, "endswith": Asks.ENDS}


@dataclass(frozen=True, slots=True)
class Question:
    """One conjunct as it stands in the tree: what it asks of a piece, and the constants."""

    node: nodes.Expr
    asks: Asks
    constants: tuple[Any, ...] = ()


def questions_of(tree: nodes.Template) -> Iterator[Question]:
    """Give the conjuncts of a condition, of its tree as ``parse`` gives it, in their order."""
    [assign] = tree.body
    assert isinstance(assign, nodes.Assign)
    waiting: list[nodes.Node] = [assign.node]
    while waiting:
        part = waiting.pop()
        assert isinstance(part, nodes.Expr)
        if isinstance(part, nodes.And):
            waiting += (part.right, part.left)
        else:
            yield _question(part)


def names_of(node: nodes.Node) -> tuple[str, ...]:
    """Give ``("file", "parent", "name")`` for ``file.parent.name``; nothing for what is no path."""
    names: list[str] = []
    while True:
        if isinstance(node, nodes.Getattr):
            names.append(node.attr)
        elif isinstance(node, nodes.Getitem) and isinstance(node.arg, nodes.Const):
            if not isinstance(node.arg.value, str):
                return ()
            names.append(node.arg.value)
        else:
            break
        node = node.node
    if not isinstance(node, nodes.Name) or node.name in NO_DATA:
        return ()
    return (node.name, *reversed(names))


def roots_of(tree: nodes.Node) -> frozenset[str]:
    """Give the names at which the data is entered."""
    own = {tree.name} if isinstance(tree, nodes.Name) else set()
    return frozenset(own | {name.name for name in tree.find_all(nodes.Name) if name.ctx == "load"})


def _question(part: nodes.Expr) -> Question:
    match part:
        case nodes.Not():
            inner = _question(part.node)
            if inner.asks in _NOT:
                return Question(inner.node, _NOT[inner.asks], inner.constants)
            return Question(part.node, Asks.FALSE)
        case nodes.Compare():
            found = _comparison(part)
        case nodes.Filter(name="_in"):
            found = _membership(part)
        case nodes.Call():
            found = _call(part)
        case nodes.Or():
            found = _either(part)
        case _:
            found = None
    return found or Question(part, Asks.TRUE)


def _comparison(part: nodes.Compare) -> Question | None:
    [operand] = part.ops
    asks = _COMPARISONS[operand.op]
    node, constant = part.expr, operand.expr
    if isinstance(node, nodes.Const):
        node, constant, asks = constant, node, _TURNED.get(asks, asks)
    if isinstance(node, nodes.Const) or not isinstance(constant, nodes.Const):
        return None
    if asks in _TURNED and not isinstance(constant.value, str | int | float):
        return None
    return Question(node, asks, (constant.value,))


def _membership(part: nodes.Filter) -> Question | None:
    node, [holder] = part.node, part.args
    if isinstance(node, nodes.Const):
        held = isinstance(node.value, str) and not isinstance(holder, nodes.Const)
        return Question(holder, Asks.HOLDS, (node.value,)) if held else None
    if node is None or not isinstance(holder, nodes.List | nodes.Tuple):
        return None
    constants = [item.value for item in holder.items if isinstance(item, nodes.Const)]
    return (
        Question(node, Asks.EQUAL, (*constants,)) if len(constants) == len(holder.items) else None
    )


def _call(part: nodes.Call) -> Question | None:
    method = part.node
    if not isinstance(method, nodes.Getattr) or part.kwargs or len(part.args) != 1:
        return None
    asks, [text] = _METHODS.get(method.attr), part.args
    if asks is None or not isinstance(text, nodes.Const) or not isinstance(text.value, str):
        return None
    return Question(method.node, asks, (text.value,))


def _either(part: nodes.Or) -> Question | None:
    """Take ``a == 1 or a == 2`` for what it means."""
    left, right = _question(part.left), _question(part.right)
    if left.asks is right.asks is Asks.EQUAL and repr(left.node) == repr(right.node):
        return Question(left.node, Asks.EQUAL, (*left.constants, *right.constants))
    return None
