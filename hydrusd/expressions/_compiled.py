"""Compiled templates and conditions, and what happens when they are evaluated."""

from __future__ import annotations

import difflib
import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from types import MappingProxyType
from typing import NoReturn, TypeVar

from jinja2 import StrictUndefined, Template as JinjaTemplate, TemplateError, nodes
from jinja2.runtime import LoopContext
from jinja2.utils import missing

from hydrusd.errors import ExpressionError
from hydrusd.expressions._bounds import (
    MAX_TEXT,
    NAMES,
    Evaluation,
    calculate,
    name_of,
    refuse_missing,
)
from hydrusd.expressions._conjuncts import (
    MAX_CONJUNCTS,
    TERM_WORK,
    Asks,
    names_of,
    questions_of,
    roots_of,
)
from hydrusd.expressions._plain import PlainData, plain
from hydrusd.expressions._syntax import (
    ExpressionSyntaxError,
    OffsetEnvironment,
    Parsed,
    Read,
    parse,
)
from hydrusd.expressions._words import (
    CONSTANTS,
    INTERNAL_FILTERS,
    LOOP_ATTRIBUTES,
    METHODS,
    TESTS,
    all_filters,
    bounded_range,
    written,
)

# What Python itself raises when a rule's text and the data do not fit together.
_EVALUATION_ERRORS = (
    ArithmeticError,
    AttributeError,
    LookupError,
    RecursionError,
    TemplateError,
    TypeError,
    ValueError,
)
_ONE_VALUE = re.compile(r"\s*\{\{[-+]?((?:(?!\{\{|\}\}|\{%|\{#).)*?)[-+]?\}\}\s*", re.DOTALL)

T = TypeVar("T")

KEPT = 512
"""So many texts of a kind are kept ready: rules are read one by one, and each text several times;
and many rules have the same."""

_GLOBALS: Mapping[str, object] = {"range": bounded_range}
_Root = Callable[[Evaluation], Iterator[str]]


def is_template(text: str) -> bool:
    """Tell whether the text holds anything to render."""
    return "{{" in text or "{%" in text or "{#" in text


class _MissingError(ExpressionError):
    """Used what is not there. ``holder`` is where it was looked for, or ``missing``."""

    def __init__(self, holder: object, name: object) -> None:
        self.holder = holder
        self.name = name
        super().__init__(f"there is no {name!r}")


class _Missing(StrictUndefined):
    @property
    def _undefined_message(self) -> NoReturn:
        # Every refused use asks for its message first: the one door to all of them.
        raise _MissingError(self._undefined_obj, self._undefined_name)


class _Method:
    """A method of a value, the only kind of thing besides ``range`` that can be called."""

    __slots__ = ("function", "value")

    def __init__(self, function: Callable[..., object], value: object) -> None:
        self.function = function
        self.value = value


class _Sandbox(OffsetEnvironment):
    """Nothing is reachable but keys of plain data and the methods listed in _words.py."""

    intercepted_binops = frozenset({"+", "-", "*", "/", "//", "%", "**"})
    context_class = Evaluation

    def call_binop(self, context: object, operator: str, left: object, right: object) -> object:
        assert isinstance(context, Evaluation)
        result = calculate(operator, left, right)
        return result if isinstance(result, int | float) else context.admit(result)

    def getattr(self, obj: object, attribute: str) -> object:
        if type(obj) is dict and attribute in obj:
            return obj[attribute]
        method = METHODS.get(type(obj), {}).get(attribute)
        if method is not None:
            return _Method(method, obj)
        if isinstance(obj, LoopContext) and attribute in LOOP_ATTRIBUTES:
            return getattr(obj, attribute)
        return self._absent(obj, attribute)

    def getitem(self, obj: object, argument: object) -> object:
        if isinstance(obj, dict | str | list | tuple | range):
            try:
                return obj[argument]  # type: ignore[call-overload, index]
            except (LookupError, TypeError):
                pass
        return self._absent(obj, argument)

    def _absent(self, obj: object, name: object) -> _Missing:
        if isinstance(obj, StrictUndefined):
            str(obj)
        return _Missing(obj=obj, name=name)  # type: ignore[arg-type]

    def call(
        self, context: object, function: object, /, *values: object, **named: object
    ) -> object:
        # Jinja passes these along in loops, for functions that we do not have.
        named.pop("_loop_vars", None)
        named.pop("_block_vars", None)
        if type(function) is _Method:
            return function.function(context, function.value, *values, **named)
        if function is bounded_range:
            return bounded_range(*values, **named)
        if isinstance(function, StrictUndefined):
            str(function)
        raise ExpressionError(f"{name_of(function)} cannot be called")


class Expressions:
    """Compiles templates and conditions. Several may live side by side; nothing is shared.

    ``filters`` are added to our own by name; they get and give plain data. What they
    raise becomes an ExpressionError that names the filter.
    """

    def __init__(
        self, *, filters: Mapping[str, Callable[..., object]] = MappingProxyType({})
    ) -> None:
        self._parsed = lru_cache(KEPT)(self._parse)
        self._template = lru_cache(KEPT)(self._make_template)
        self._condition = lru_cache(KEPT)(self._make_condition)
        self._environment = environment = _Sandbox(
            autoescape=False,
            cache_size=0,
            finalize=written,
            keep_trailing_newline=True,
            optimized=False,
            undefined=_Missing,
        )
        public = all_filters(filters)
        self._filters = frozenset(public)
        environment.filters = public | INTERNAL_FILTERS
        environment.tests = dict(TESTS)
        environment.globals = {}

    def template(self, text: str) -> Template:
        """Compile a template. Raises ExpressionSyntaxError."""
        return self._template(text)

    def value(self, text: str) -> Value | None:
        """Compile a text that is one ``{{ … }}`` and nothing else; None for any other.

        Raises ExpressionSyntaxError.
        """
        found = _ONE_VALUE.fullmatch(text)
        if found is None:
            return None
        return Value(text, self._code(found[1], condition=True), self.template(text))

    def result(self, text: str) -> Result | None:
        """Compile a text that is one ``{{ … }}`` and nothing else, for what it is worth, of any
        kind; None for any other text.

        Raises ExpressionSyntaxError.
        """
        found = _ONE_VALUE.fullmatch(text)
        if found is None:
            return None
        self.template(text)  # what is wrong with it is told by its place in the whole text
        return Result(text, self._code(found[1], condition=True))

    def condition(self, text: str) -> Condition:
        """Compile a condition. Raises ExpressionSyntaxError."""
        return self._condition(text)

    def reads(self, text: str, *, condition: bool = False) -> Sequence[Read]:
        """Give the names that a template or condition needs, in order of place.

        Raises ExpressionSyntaxError.
        """
        return self._parsed(text, condition=condition).reads

    def _make_template(self, text: str) -> Template:
        return Template(text, self._code(text, condition=False))

    def _make_condition(self, text: str) -> Condition:
        conjuncts = [
            Conjunct(Term(self._environment, each.node), each.asks, each.constants)
            for each in questions_of(self._parsed(text, condition=True).tree)
        ]
        return Condition(text, self._code(text, condition=True), conjuncts)

    def _parse(self, text: str, *, condition: bool) -> Parsed:
        return parse(self._environment, text, self._filters, condition=condition)

    def _code(self, text: str, *, condition: bool) -> _Code:
        parsed = self._parsed(text, condition=condition)
        code = _Code(self._environment, text, parsed.tree)
        if not parsed.small:
            code.root()  # whether it can be is known only then
        return code


class _Code:
    """A tree that is compiled when it is first run: many never are, where a table answers."""

    __slots__ = ("_root", "_text", "_tree", "chains", "environment")

    def __init__(self, environment: _Sandbox, text: str, tree: nodes.Template) -> None:
        self.environment = environment
        self.chains: Sequence[tuple[str, ...]] = ()
        """The paths that it takes into the data, once it has run."""
        self._text = text
        self._tree: nodes.Template | None = tree
        self._root: _Root | None = None

    def root(self) -> _Root:
        """Give what runs it. Raises ExpressionSyntaxError."""
        tree = self._tree  # looked at first: another thread takes it away once there is a root
        if self._root is None:
            assert tree is not None
            try:
                code = self.environment.compile(tree)
                compiled = JinjaTemplate.from_code(self.environment, code, {}, None)
            except (MemoryError, RecursionError, SyntaxError, TemplateError):
                # Python's own compiler gives up on what is nested beyond its limits.
                raise ExpressionSyntaxError("nested too deeply", self._text, 0) from None
            self.chains = [*filter(None, map(_chain, tree.find_all(nodes.Getattr)))]
            self._root = compiled.root_render_func
            self._tree = None
        return self._root


class _Compiled:
    """A text ready to be evaluated, as often and in as many threads as wanted."""

    __slots__ = ("_code", "text")

    def __init__(self, text: str, code: _Code) -> None:
        self.text = text
        self._code = code

    def __repr__(self) -> str:
        return f"{type(self).__name__}({self.text!r})"

    def _start(self, data: PlainData) -> Evaluation:
        return Evaluation(self._code.environment, {**data, **_GLOBALS})

    def _explain(self, error: Exception, data: PlainData) -> ExpressionError:
        if isinstance(error, _MissingError):
            return self._explain_missing(error, data)
        if isinstance(error, ExpressionError):
            return error
        if isinstance(error, ZeroDivisionError):
            return ExpressionError("a division by zero")
        if isinstance(error, RecursionError):
            return ExpressionError("nested too deeply")
        if isinstance(error, TypeError) and re.search(r"\(\) |argument", str(error)):
            return ExpressionError("a filter or method was given too few or too many values")
        # Python names its types: "'>' not supported between instances of 'int' and 'str'".
        words = re.sub(
            r"'(\w+)'( object)?", lambda found: NAMES.get(found[1], found[0]), str(error)
        )
        return ExpressionError(words.replace("instances of ", "") or type(error).__name__)

    def _explain_missing(self, error: _MissingError, data: PlainData) -> ExpressionError:
        name, holder = error.name, error.holder
        place, known = str(name), list[str]()
        if holder is missing:
            known = [*data, *CONSTANTS, *_GLOBALS]
        elif isinstance(holder, dict):
            known = [key for key in holder if isinstance(key, str)]
        if holder is not missing:
            place = self._place(name, holder, data) or f"{name_of(holder)}.{name}"
        message = f"{place}: there is no {name!r}"
        if holder is not missing and not isinstance(holder, dict):
            message = f"{place}: {name_of(holder)} has no {name!r}"
        near = difflib.get_close_matches(str(name), known[:1000], n=1, cutoff=0.5)
        if near:
            return ExpressionError(f"{message}; did you mean {near[0]!r}?")
        if 0 < len(known) <= 20 and holder is not missing:
            message += f"; there are: {', '.join(sorted(known))}"
        return ExpressionError(message)

    def _place(self, name: object, holder: object, data: PlainData) -> str:
        """Find how the text reached the place where the name was missing."""
        for chain in self._code.chains:
            if chain[-1] != name:
                continue
            value: object = data
            for part in chain[:-1]:
                value = value.get(part) if isinstance(value, dict) else None
            if value is holder:
                return ".".join(chain)
        return ""


class Template(_Compiled):
    """A text with ``{{ … }}`` in it. ``text`` is what was compiled."""

    __slots__ = ()

    def render(self, context: Mapping[str, object]) -> str:
        """Give the text with the data filled in, at most 65,536 characters.

        Raises ExpressionError, with what was missing or did not fit.
        """
        data = plain(context)
        parts: list[str] = []
        length = 0
        try:
            for part in self._code.root()(self._start(data)):
                length += len(part)
                if length > MAX_TEXT:
                    raise ExpressionError(f"the text is longer than {MAX_TEXT:,} characters")
                parts.append(part)
        except (ExpressionError, *_EVALUATION_ERRORS) as error:
            explained = self._explain(error, data)
            if explained is error:
                raise
            raise explained from error
        return "".join(parts)


class _Evaluated(_Compiled):
    """An expression ready to be evaluated."""

    __slots__ = ()

    def _evaluate(self, context: Mapping[str, object], use: Callable[[object], T]) -> T:
        data = plain(context)
        evaluation = self._start(data)
        try:
            for _ in self._code.root()(evaluation):
                pass
            return use(evaluation.vars["_result"])
        except (ExpressionError, *_EVALUATION_ERRORS) as error:
            explained = self._explain(error, data)
            if explained is error:
                raise
            raise explained from error


UNKNOWN = object()
"""What stands for a value that only the whole condition can tell."""


class Term:
    """A piece of a condition that can be worked out by itself, once for many conditions.

    Terms of the same ``key`` have the same value. ``roots`` are the names at which it enters the
    data.
    """

    __slots__ = ("_code", "_names", "key", "roots")

    def __init__(self, environment: _Sandbox, node: nodes.Expr) -> None:
        self._names = names = names_of(node)
        self._code: _Code | None = None
        if not names:
            result = nodes.Assign(nodes.Name("_result", "store"), node, lineno=1)
            tree = nodes.Template([result], lineno=1).set_environment(environment)
            assert isinstance(tree, nodes.Template)
            self._code = _Code(environment, "", tree)
        self.key: object = names or repr(node)
        self.roots = frozenset(names[:1]) or roots_of(node)

    def value(self, data: PlainData) -> object:
        """Give its value, or ``UNKNOWN`` where that is for the whole condition to say."""
        if self._code is None:
            value: object = data
            for name in self._names:
                if not isinstance(value, dict) or name not in value:
                    return UNKNOWN
                value = value[name]
            return value
        evaluation = Evaluation(self._code.environment, {**data, **_GLOBALS})
        evaluation.work_left = TERM_WORK
        try:
            for _ in self._code.root()(evaluation):
                pass
        except (ExpressionError, *_EVALUATION_ERRORS):
            return UNKNOWN
        return evaluation.vars["_result"]


@dataclass(frozen=True, slots=True)
class Conjunct:
    """What a condition asks of one of its terms, and against which constants."""

    term: Term
    asks: Asks
    constants: tuple[str | int | float | bool | None, ...]


class Condition(_Evaluated):
    """A text that is true or false of the data. ``text`` is what was compiled.

    ``conjuncts`` are its parts, all of which must hold, in the order in which they are asked;
    ``whole`` says that there are no more of them than these.
    """

    __slots__ = ("conjuncts", "whole")

    def __init__(self, text: str, code: _Code, conjuncts: Sequence[Conjunct]) -> None:
        super().__init__(text, code)
        self.conjuncts = conjuncts[:MAX_CONJUNCTS]
        self.whole = len(conjuncts) <= MAX_CONJUNCTS

    def holds(self, context: Mapping[str, object]) -> bool:
        """Tell whether the condition is true of the data (not empty, not zero, not None).

        Raises ExpressionError, with what was missing or did not fit.
        """
        return self._evaluate(context, bool)


class Result(_Evaluated):
    """A text that is one ``{{ … }}``, for the value and not for the text that it makes."""

    __slots__ = ()

    def evaluate(self, context: Mapping[str, object]) -> object:
        """Give what comes of it: plain data. Raises ExpressionError."""
        return self._evaluate(context, _plainly)


def _plainly(value: object) -> object:
    refuse_missing(value)
    if isinstance(value, range):
        value = list(value)
    return plain({"result": value})["result"]


class Value(_Evaluated):
    """A text that is one ``{{ … }}``: where that gives a list, a list is what comes of it."""

    __slots__ = ("_template",)

    def __init__(self, text: str, code: _Code, template: Template) -> None:
        super().__init__(text, code)
        self._template = template

    def render(self, context: Mapping[str, object]) -> str | list[str]:
        """Give the texts of a list, or else the text that a template gives.

        Raises ExpressionError.
        """
        texts = self._evaluate(context, _texts)
        return self._template.render(context) if texts is None else texts


def _texts(value: object) -> list[str] | None:
    if not isinstance(value, list | tuple | range):
        return None
    texts = []
    for item in value:
        if not isinstance(item, str | int | float):
            raise ExpressionError(f"a list of texts cannot hold {name_of(item)}")
        texts.append(item if isinstance(item, str) else str(item).lower())
    if sum(map(len, texts)) > MAX_TEXT:
        raise ExpressionError(f"the text is longer than {MAX_TEXT:,} characters")
    return texts


def _chain(node: nodes.Getattr) -> tuple[str, ...]:
    """Give ``("file", "parent", "name")`` for ``file.parent.name``, or nothing."""
    parts: list[str] = [node.attr]
    inner = node.node
    while isinstance(inner, nodes.Getattr):
        parts.append(inner.attr)
        inner = inner.node
    return (*reversed([*parts, inner.name]),) if isinstance(inner, nodes.Name) else ()
