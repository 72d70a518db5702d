"""From a rule's text to a syntax tree in which nothing can run away.

Three things that Jinja does not do by itself. Its tokens know their line only, so
they are given their offset *as* their line, which makes every error it raises carry
the exact place. Its language is larger than what can be bounded, so the tree is
checked against a list of what is allowed. And what it compiles to plain Python
(loops, comparisons, ``~``, literals) is rewritten so that the cost is counted.
"""

from __future__ import annotations

import difflib
import math
import re
from collections.abc import Callable, Collection, Iterator, Sequence
from dataclasses import dataclass
from functools import cache
from types import UnionType

from jinja2 import Environment, TemplateSyntaxError, nodes
from jinja2.lexer import Token, TokenStream
from jinja2.parser import Parser
from jinja2.sandbox import ImmutableSandboxedEnvironment
from jinja2.visitor import NodeTransformer

from hydrusd.errors import ExpressionError
from hydrusd.expressions._bounds import calculate
from hydrusd.expressions._library import PATTERNS, check_pattern
from hydrusd.expressions._words import CONSTANTS, TESTS

MAX_SOURCE = 10_000
MAX_NESTING = 64
SURELY_COMPILED = 16
"""What is nested no deeper is far from what Python's compiler gives up on."""

_OPERATORS: dict[type[nodes.BinExpr], str] = {
    nodes.Add: "+",
    nodes.Sub: "-",
    nodes.Mul: "*",
    nodes.Div: "/",
    nodes.FloorDiv: "//",
    nodes.Mod: "%",
    nodes.Pow: "**",
}
_ALLOWED = (
    nodes.And, nodes.Assign, nodes.BinExpr, nodes.Call, nodes.Compare, nodes.Concat,
    nodes.CondExpr, nodes.Const, nodes.Dict, nodes.Filter, nodes.For, nodes.Getattr,
    nodes.Getitem, nodes.If, nodes.Keyword, nodes.List, nodes.Name, nodes.Neg, nodes.Not,
    nodes.Operand, nodes.Or, nodes.Output, nodes.Pair, nodes.Pos, nodes.Slice,
    nodes.Template, nodes.TemplateData, nodes.Test, nodes.Tuple,
)  # fmt: skip
_ESCAPES = frozenset("\\'\"abfnrtvxuUN01234567\n")
_ALLOWED_TAGS = "for, if, set"
_TAKEN = {"load": {"self"}, "store": {"self", "loop"}, "param": {"self", "loop"}}
"""Names that mean something of Jinja's own, where they are read and where they are made."""

# What people write who think of another language → what to write here.
_HINTS = (
    (r"unexpected char '&'", "write 'and'"),
    (r"unexpected char '!'", "write 'not'"),
    (r"expected token 'name', got '\|'", "write 'or'; one '|' applies a filter"),
    (r"got '='|chunk after expression, got '='", "write '==' to compare"),
)


class ExpressionSyntaxError(ExpressionError):
    """A text that is no template or condition.

    ``line`` and ``column`` count from 1 within that text; ``message`` says what is
    wrong there, and ``hint`` what to write instead (or is empty).
    """

    def __init__(self, message: str, text: str, offset: int, *, hint: str = "") -> None:
        before = text[: max(0, min(offset, len(text)))]
        self.message = message
        self.hint = hint
        self.line = before.count("\n") + 1
        self.column = len(before) - (before.rfind("\n") + 1) + 1
        super().__init__(f"{message}; {hint}" if hint else message)


class OffsetEnvironment(ImmutableSandboxedEnvironment):
    """Gives tokens whose line number is their offset, from 1."""

    def _tokenize(
        self,
        source: str,
        name: str | None,
        filename: str | None = None,
        state: str | None = None,
    ) -> TokenStream:
        return TokenStream(_tokens(self, source, name, state), name, filename)


def _tokens(
    environment: Environment, source: str, name: str | None, state: str | None
) -> Iterator[Token]:
    """Give Jinja's tokens, each one looked up in the source to learn its offset."""
    end = 0

    def raw() -> Iterator[tuple[int, str, str]]:
        nonlocal end
        for _, kind, value in environment.lexer.tokeniter(source, name, None, state):
            start = source.find(value, end)
            if start < 0:
                start = end
            else:
                end = start + len(value)
            yield start + 1, kind, _kept_backslashes(value) if kind == "string" else value

    try:
        yield from environment.lexer.wrap(raw(), name)
    except TemplateSyntaxError as error:
        blank = re.compile(r"\s*").match(source, end)
        at = blank.end() if blank else end
        message = re.sub(r" at \d+$", "", error.message or "")
        raise TemplateSyntaxError(message, at + 1, name) from error
    except ValueError as error:  # a number of more than 4,300 digits
        raise TemplateSyntaxError("a number that is too large", end + 1, name) from error


def _kept_backslashes(literal: str) -> str:
    """Keep the backslash of what is no escape: patterns are full of them."""
    return re.sub(
        r"\\(.)",
        lambda found: found[0] if found[1] in _ESCAPES else f"\\\\{found[1]}",
        literal,
        flags=re.DOTALL,
    )


@dataclass(frozen=True, slots=True)
class Read:
    """One place where a text reads data: ``file.parent.name``.

    ``places`` gives line and column (from 1, within the text) of each name.
    """

    names: tuple[str, ...]
    places: tuple[tuple[int, int], ...]


@dataclass(frozen=True, slots=True)
class Parsed:
    """A text that is right: its tree, checked and rewritten, and what it must find in the data.

    ``small`` says that Python's own compiler surely takes what is made of the tree.
    """

    tree: nodes.Template
    reads: Sequence[Read]
    small: bool


def parse(
    environment: Environment, text: str, filters: Collection[str], *, condition: bool
) -> Parsed:
    """Give what a text says. A condition's value becomes ``_result``."""
    text = text.replace("\r\n", "\n").replace("\r", "\n")
    if len(text) > MAX_SOURCE:
        raise ExpressionSyntaxError(
            f"longer than {MAX_SOURCE:,} characters: too long for an expression", text, 0
        )
    if condition and not text.strip():
        raise ExpressionSyntaxError("the condition is empty", text, 0)
    if condition and (found := re.match(r"\s*\{[{%]", text)):
        raise ExpressionSyntaxError(
            "a condition is written without braces",
            text,
            found.end() - 2,
            hint="write 'file.size > 10 * KB', not '{{ file.size > 10 * KB }}'",
        )
    stream: TokenStream | None = None
    try:
        parser = Parser(environment, text, state="variable" if condition else None)
        stream = parser.stream
        tree = _condition(parser) if condition else parser.parse()
        depth = _Check(text, filters).check(tree)
        read = _reads(tree, text)
        rewritten = _Rewrite().visit(tree)
    except TemplateSyntaxError as error:
        ended = stream is not None and stream.current.type == "eof"
        offset = len(text) if ended and error.lineno >= stream.current.lineno else error.lineno - 1  # type: ignore[union-attr]
        raise _in_words(error.message or "", text, offset) from error
    except RecursionError:
        raise ExpressionSyntaxError("nested too deeply", text, 0) from None
    assert isinstance(rewritten, nodes.Template)
    rewritten.set_environment(environment)
    plain = all(isinstance(part, nodes.Output) for part in rewritten.body)
    return Parsed(rewritten, read, depth <= SURELY_COMPILED and (condition or plain))


def _condition(parser: Parser) -> nodes.Template:
    expression = parser.parse_expression()
    current = parser.stream.current
    if not parser.stream.eos:
        raise TemplateSyntaxError(
            f"the condition should end here, but there is {str(current.value)!r}", current.lineno
        )
    result = nodes.Assign(nodes.Name("_result", "store"), expression, lineno=1)
    return nodes.Template([result], lineno=1)


def _in_words(message: str, text: str, offset: int) -> ExpressionSyntaxError:
    hint = ""
    if text[offset : offset + 1] == "=" and text[offset : offset + 2] != "==":
        hint = "write '==' to compare"
    for pattern, words in _HINTS:
        if not hint and re.search(pattern, message):
            hint = words
    if unknown := re.match(r"Encountered unknown tag '(\w+)'", message):
        message = f"there is no tag {unknown[1]!r}"
        hint = f"there are: {_ALLOWED_TAGS}"
    if re.match(r"[\d.]*\s*[KMGT]i?B\b", text[max(0, offset) :]) and "should end" in message:
        hint = "multiply: 10 * KB"
    message = message.replace("print statement", "expression").rstrip(".")
    return ExpressionSyntaxError(message[:1].lower() + message[1:], text, offset, hint=hint)


def _reads(tree: nodes.Template, text: str) -> list[Read]:
    """Give all that a text must find in the data, of its tree before it is rewritten.

    Left out is what it may do without (``default``, ``is defined``) or makes itself.
    """
    own = {node.name for node in tree.find_all(nodes.Name) if node.ctx != "load"}
    known = own | {*CONSTANTS, "loop", "range"}
    chains: list[list[tuple[str, int]]] = []
    spared: set[tuple[str, ...]] = set()
    waiting: list[nodes.Node] = [tree]
    while waiting:
        node = waiting.pop()
        if isinstance(node, nodes.Filter | nodes.Test) and node.name in _SPARING and node.node:
            spared.add(tuple(name for name, _ in _names(node.node, text)))
        if isinstance(node, nodes.Call) and isinstance(node.node, nodes.Getattr):
            waiting += [node.node.node, *node.args, *node.kwargs]  # a method is no data
        elif chain := _names(node, text):
            if chain[0][0] not in known:
                chains.append(chain)
            if isinstance(node, nodes.Getitem) and not isinstance(node.arg, nodes.Const):
                waiting.append(node.arg)
        else:
            waiting += node.iter_child_nodes()
    found = []
    for chain in chains:
        names = tuple(name for name, _ in chain)
        if not any(names[: len(each)] == each for each in spared if each):
            found.append(Read(names, tuple(_line_and_column(text, at) for _, at in chain)))
    return sorted(found, key=lambda read: read.places)


_SPARING = frozenset({"default", "d", "defined", "undefined"})


def _names(node: nodes.Node, text: str) -> list[tuple[str, int]]:
    """Give the names of ``file.name`` or ``file['name']`` with their offsets, or nothing."""
    parts: list[tuple[str, int]] = []
    while isinstance(node, nodes.Getattr | nodes.Getitem):
        if isinstance(node, nodes.Getattr):
            name = node.attr
        elif isinstance(node.arg, nodes.Const) and isinstance(node.arg.value, str):
            name = node.arg.value
        else:
            parts.clear()  # an item of a list: what is before it can be told
            node = node.node
            continue
        # A node knows where its dot or bracket is; the name comes right behind.
        at = text.find(name, node.lineno - 1)
        parts.append((name, at if at >= 0 else node.lineno - 1))
        node = node.node
    if not isinstance(node, nodes.Name) or node.ctx != "load":
        return []
    return [*reversed([*parts, (node.name, node.lineno - 1)])]


def _line_and_column(text: str, offset: int) -> tuple[int, int]:
    before = text[: max(0, min(offset, len(text)))]
    return before.count("\n") + 1, len(before) - before.rfind("\n")


class _Check:
    """Refuses whatever is not on the list."""

    def __init__(self, text: str, filters: Collection[str]) -> None:
        self._text = text
        self._filters = filters

    def check(self, tree: nodes.Template) -> int:
        """Refuse the first that is not; give how deep the tree is."""
        deepest = 0
        waiting: list[tuple[nodes.Node, int]] = [(tree, 0)]
        while waiting:
            node, depth = waiting.pop()
            if depth > MAX_NESTING:
                self._refuse(node, "nested too deeply")
            deepest = max(deepest, depth)
            self._check_node(node)
            waiting += [(child, depth + 1) for child in node.iter_child_nodes()]
        return deepest

    def _check_node(self, node: nodes.Node) -> None:
        if not isinstance(node, _ALLOWED):
            self._refuse(node, "this cannot be used here", hint=f"there are: {_ALLOWED_TAGS}")
        if isinstance(node, nodes.For) and node.recursive:
            self._refuse(node, "a loop cannot be recursive")
        if isinstance(node, nodes.Name) and node.ctx == "store" and node.name in CONSTANTS:
            self._refuse(node, f"{node.name} is a constant")
        if isinstance(node, nodes.Name) and node.name in _TAKEN[node.ctx]:
            self._refuse(node, f"{node.name!r} cannot be used as a name here")
        if isinstance(node, nodes.Compare) and len(node.ops) > 1:
            for operand in node.ops:
                if operand.op in {"in", "notin"}:
                    self._refuse(operand.expr, "'in' cannot be part of a chain", hint="use 'and'")
        if isinstance(node, nodes.Const) and node.value == math.inf:
            self._refuse(node, "a number that is too large")
        if isinstance(node, nodes.Call | nodes.Filter | nodes.Test):
            self._check_call(node)

    def _check_call(self, node: nodes.Call | nodes.Filter | nodes.Test) -> None:
        if node.node is None:
            self._refuse(node, "this cannot be used here")
        if node.dyn_args is not None or node.dyn_kwargs is not None:
            self._refuse(node, "'*' cannot be used in a call")
        if isinstance(node, nodes.Filter) and node.name not in self._filters:
            self._unknown(node, "filter", node.name, self._filters)
        if isinstance(node, nodes.Filter) and node.name in PATTERNS and node.args:
            self._check_pattern(node.args[0])
        if isinstance(node, nodes.Test) and node.name not in {*TESTS, "in"}:
            self._unknown(node, "test", node.name, TESTS)

    def _check_pattern(self, node: nodes.Expr) -> None:
        if isinstance(node, nodes.Const) and isinstance(node.value, str):
            try:
                check_pattern(node.value)
            except ExpressionError as error:
                self._refuse(node, str(error))

    def _unknown(self, node: nodes.Node, kind: str, name: str, known: Collection[str]) -> None:
        near = difflib.get_close_matches(name, known, n=1)
        hint = f"did you mean {near[0]!r}?" if near else f"there are: {', '.join(sorted(known))}"
        found = re.compile(rf"\b{re.escape(name)}\b").search(self._text, max(0, node.lineno - 1))
        offset = found.start() if found else node.lineno - 1
        raise ExpressionSyntaxError(f"there is no {kind} {name!r}", self._text, offset, hint=hint)

    def _refuse(self, node: nodes.Node, message: str, *, hint: str = "") -> None:
        raise ExpressionSyntaxError(message, self._text, node.lineno - 1, hint=hint)


class _Rewrite(NodeTransformer):
    """Puts the counting in."""

    def visit(self, node: nodes.Node, *args: object, **kwargs: object) -> nodes.Node:
        """Rewrite a node, after all that is inside it."""
        node = self.generic_visit(node, *args, **kwargs)
        rewrite = _rewrite_of(type(node))
        return node if rewrite is None else rewrite(node)


@cache
def _rewrite_of(kind: type[nodes.Node]) -> Callable[..., nodes.Node] | None:
    return next((rewrite for known, rewrite in _REWRITES if issubclass(kind, known)), None)


def _calculation(node: nodes.BinExpr) -> nodes.Expr:
    """Work out ``10 * KB`` once, and not each time."""
    sign = _OPERATORS.get(type(node))
    left, right = node.left, node.right
    if not (sign and isinstance(left, nodes.Const) and isinstance(right, nodes.Const)):
        return node
    if not {type(left.value), type(right.value)} <= {int, float}:
        return node
    try:
        result = calculate(sign, left.value, right.value)
    except (ExpressionError, ArithmeticError):
        return node  # said when it is evaluated, and only if it ever is
    # What is beyond all numbers cannot be written down, only worked out.
    finite = isinstance(result, int | float) and math.isfinite(result)
    return nodes.Const(result, lineno=node.lineno) if finite else node


def _negation(node: nodes.Neg) -> nodes.Expr:
    inner = node.node
    if isinstance(inner, nodes.Const) and type(inner.value) in {int, float}:
        return nodes.Const(-inner.value, lineno=node.lineno)
    return node


def _constant(node: nodes.Name) -> nodes.Expr:
    if node.ctx == "load" and node.name in CONSTANTS:
        return nodes.Const(CONSTANTS[node.name], lineno=node.lineno)
    return node


def _loop(node: nodes.For) -> nodes.Node:
    cost = nodes.Const(sum(1 for _ in node.find_all(nodes.Node)))
    assert isinstance(node.iter, nodes.Expr)
    node.iter = _filter("_each", node.iter, cost)
    return node


def _concatenation(node: nodes.Concat) -> nodes.Node:
    return _filter("_concatenate", *node.nodes)


def _comparison(node: nodes.Compare) -> nodes.Node:
    """Turn ``a < b < c`` into pairs: each can then be counted."""
    result = _pair(node.expr, node.ops[0])
    for before, operand in zip(node.ops, node.ops[1:], strict=False):
        result = nodes.And(result, _pair(before.expr, operand), lineno=node.lineno)
    return result


_SIGNS = {"eq": "eq", "ne": "ne", "gt": "gt", "gteq": "ge", "lt": "lt", "lteq": "le"}


def _pair(left: nodes.Expr, operand: nodes.Operand) -> nodes.Expr:
    right = operand.expr
    if operand.op == "in":
        return _filter("_in", left, right)
    if operand.op == "notin":
        return nodes.Not(_filter("_in", left, right), lineno=left.lineno)
    # Comparing with a single constant costs next to nothing, and is what most rules do.
    if isinstance(left, nodes.Const) or isinstance(right, nodes.Const):
        return nodes.Compare(left, [operand], lineno=left.lineno)
    return _filter("_compare", left, nodes.Const(_SIGNS[operand.op]), right)


def _test(node: nodes.Test) -> nodes.Node:
    return _filter("_in", node.node, *node.args) if node.name == "in" else node


def _item(node: nodes.Getitem) -> nodes.Node:
    if not isinstance(node.arg, nodes.Slice):
        return node
    limits = (node.arg.start, node.arg.stop, node.arg.step)
    return _filter("_slice", node.node, *(limit or nodes.Const(None) for limit in limits))


def _built(node: nodes.List | nodes.Tuple) -> nodes.Node:
    stored = isinstance(node, nodes.Tuple) and node.ctx != "load"
    if stored or all(isinstance(item, nodes.Const) for item in node.items):
        return node
    return _filter("_built", node)


def _mapping(node: nodes.Dict) -> nodes.Node:
    return _filter("_built", node)


_REWRITES: tuple[tuple[type | UnionType, Callable[..., nodes.Node]], ...] = (
    (nodes.BinExpr, _calculation),
    (nodes.Neg, _negation),
    (nodes.Name, _constant),
    (nodes.For, _loop),
    (nodes.Concat, _concatenation),
    (nodes.Compare, _comparison),
    (nodes.Test, _test),
    (nodes.Getitem, _item),
    (nodes.List | nodes.Tuple, _built),
    (nodes.Dict, _mapping),
)


def _filter(name: str, value: nodes.Expr, *arguments: nodes.Expr) -> nodes.Filter:
    return nodes.Filter(value, name, list(arguments), [], None, None, lineno=value.lineno)
