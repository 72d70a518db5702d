"""The reference of the author API: every name, with its signature, its words and since when.

It is read from the source and not from what is imported: only there stand the texts below
constants and fields, and annotations as their author wrote them. Names are followed through the
modules that pass them on, and classes through private ones that only hold a part of them.
"""

from __future__ import annotations

import ast
import importlib.util
import inspect
import itertools
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path

from hydrusd.plugin.hookspecs import API_VERSION, SINCE

FIRST = (1, 0)
"""Since when what ``SINCE`` does not name is there."""

_PACKAGE = "hydrusd"
_WIDEST = 100
_REST_CODE = re.compile(r"``([^`]+)``")

Definition = ast.ClassDef | ast.FunctionDef | ast.AsyncFunctionDef | ast.Assign | ast.AnnAssign
Function = ast.FunctionDef | ast.AsyncFunctionDef


def author_pages() -> dict[str, list[str]]:
    """Give both pages, as lines, by the names of their files."""
    version = ".".join(map(str, API_VERSION))
    return {
        "author-api.md": [
            *_AUTHOR_API.format(version=version).split("\n"),
            *_page("hydrusd.plugin"),
        ],
        "testing-api.md": [
            *_TESTING_API.format(version=version).split("\n"),
            *_page("hydrusd.testing"),
        ],
    }


_AUTHOR_API = """\
# The author API

Everything that `hydrusd.plugin` shows to plugins: version {version}. What the two numbers promise,
and how a plugin says which version it was written for: [plugins](../plugins.md). What it can hook
into: [hooks](hooks.md).
"""
_TESTING_API = """\
# The test kit

Everything that `hydrusd.testing` shows, as part of version {version} of the author API. How it is
used: [testing plugins](../testing-plugins.md).
"""


def _page(module: str) -> Iterator[str]:
    names = sorted(_exported(module), key=lambda name: (name.lower(), name))
    found = {name: _find(module, name) for name in names}
    yield f"{', '.join(f'[`{n}`](#{anchor})' for n, anchor in _anchors(names))}."
    for name, at in found.items():
        yield from ("", f"## {name}", "")
        since = ".".join(map(str, SINCE.get(name, FIRST)))
        yield from (*_told(name, at), "", f"Since {since}.")


def _anchors(names: Sequence[str]) -> Iterator[tuple[str, str]]:
    """Give each name with the anchor of its heading: the second `Action` is `#action-1`."""
    counts: dict[str, int] = {}
    for name in names:
        count = counts[name.lower()] = counts.get(name.lower(), -1) + 1
        yield name, f"{name.lower()}-{count}" if count else name.lower()


# --- finding ---------------------------------------------------------------------------------


@dataclass(frozen=True)
class _Found:
    """Where a name is made, and the text below it, where that is how it is told."""

    module: str
    node: Definition
    below: str = ""


@cache
def _tree(module: str) -> ast.Module:
    spec = importlib.util.find_spec(module)
    assert spec is not None
    assert spec.origin is not None
    return ast.parse(Path(spec.origin).read_text(encoding="utf-8"))


def _exported(module: str) -> Sequence[str]:
    for statement in _statements(_tree(module).body):
        if isinstance(statement, ast.Assign) and _targets(statement) == ["__all__"]:
            given = ast.literal_eval(statement.value)
            assert isinstance(given, list)
            return given
    raise LookupError(f"{module} does not say what it shows")


def _statements(body: Sequence[ast.stmt]) -> Iterator[ast.stmt]:
    """Give all statements of a module, those in its ``if`` and ``try``, too."""
    for statement in body:
        yield statement
        if isinstance(statement, ast.If | ast.Try):
            yield from _statements(statement.body)


def _find(module: str, name: str) -> _Found:
    """Find where a name is made. Raises LookupError."""
    body = [*_statements(_tree(module).body)]
    # The last one counts: of overloads that is the function itself.
    for statement, after in reversed([*itertools.pairwise([*body, ast.Pass()])]):
        match statement:
            case ast.ClassDef() | ast.FunctionDef() | ast.AsyncFunctionDef():
                if statement.name == name:
                    return _Found(module, statement)
            case ast.Assign() | ast.AnnAssign():
                if name in _targets(statement):
                    return _Found(module, statement, _text(after))
    for statement in body:
        if isinstance(statement, ast.ImportFrom) and (source := _source(module, statement)):
            for alias in statement.names:
                if (alias.asname or alias.name) == name:
                    return _find(source, alias.name)
    raise LookupError(f"{module} has no {name}")


def _source(module: str, statement: ast.ImportFrom) -> str:
    """Give the module that something is imported from; nothing where it is not ours."""
    name = statement.module or ""
    if statement.level:
        spec = importlib.util.find_spec(module)
        assert spec is not None
        package = module if spec.submodule_search_locations else module.rpartition(".")[0]
        name = importlib.util.resolve_name(f"{'.' * statement.level}{name}", package)
    return name if name.partition(".")[0] == _PACKAGE else ""


def _targets(statement: ast.Assign | ast.AnnAssign) -> list[str]:
    given = statement.targets if isinstance(statement, ast.Assign) else [statement.target]
    return [each.id for each in given if isinstance(each, ast.Name)]


def _text(statement: ast.stmt) -> str:
    """Give the text that a statement is, if it is one."""
    if isinstance(statement, ast.Expr) and isinstance(statement.value, ast.Constant):
        value = statement.value.value
        return inspect.cleandoc(value) if isinstance(value, str) else ""
    return ""


def _written(node: ast.AST) -> str:
    """Give code as text, with the quotes that are usual here."""
    return re.sub(r"'([^'\"\\]*)'", r'"\1"', ast.unparse(node))


# --- telling ---------------------------------------------------------------------------------


def _told(name: str, at: _Found) -> Iterator[str]:
    match at.node:
        case ast.ClassDef():
            yield from _code([*_dataclass(at.node), _class_line(at.node)])
            yield from _words(ast.get_docstring(at.node) or "")
            yield from _members(at)
        case ast.FunctionDef() | ast.AsyncFunctionDef():
            shapes = _overloads(at) or [at.node]
            lines = [_signature(shape, fixture=_is_fixture(shape)) for shape in shapes]
            yield from _code([line for shape in lines for line in shape])
            yield from _words(ast.get_docstring(at.node) or "")
        case _:
            yield from _code([_value(name, at.node)])
            yield from _words(at.below)


def _code(lines: Sequence[str]) -> Iterator[str]:
    yield from ("```py", *lines, "```")


def _words(docstring: str) -> Iterator[str]:
    if docstring:
        yield from ("", *_REST_CODE.sub(r"`\1`", docstring).splitlines())


def _overloads(at: _Found) -> list[Function]:
    """Give the shapes in which a function may be called, where there are several."""
    return [
        each
        for each in _statements(_tree(at.module).body)
        if isinstance(each, ast.FunctionDef | ast.AsyncFunctionDef)
        and isinstance(at.node, ast.FunctionDef | ast.AsyncFunctionDef)
        and each.name == at.node.name
        and any(_written(mark) == "overload" for mark in each.decorator_list)
    ]


def _dataclass(node: ast.ClassDef) -> list[str]:
    marks = [_written(each) for each in node.decorator_list]
    return [f"@{mark}" for mark in marks if mark.startswith("dataclass")]


def _class_line(node: ast.ClassDef) -> str:
    public = [text for base in node.bases if not (text := _written(base)).startswith("_")]
    return f"class {node.name}({', '.join(public)})" if public else f"class {node.name}"


def _value(name: str, node: Definition) -> str:
    assert isinstance(node, ast.Assign | ast.AnnAssign)
    value = _written(node.value) if node.value is not None else ""
    line = f"{name} = {value}"
    return line if len(line) <= _WIDEST else f"{name} = …"


def _signature(node: Function, *, fixture: bool = False) -> list[str]:
    """Write a signature as one would: on one line, or a parameter a line."""
    before = "async def " if isinstance(node, ast.AsyncFunctionDef) else "def "
    kinds = [text for each in node.decorator_list if (text := _written(each)) in _SHOWN]
    lines = ["@pytest.fixture"] if fixture else [f"@{kind}" for kind in kinds]
    gives = f" -> {_written(node.returns)}" if node.returns is not None else ""
    arguments = _written(node.args)
    line = f"{before}{node.name}({arguments}){gives}"
    if len(line) <= _WIDEST:
        return [*lines, line]
    each = [f"    {one}," for one in _arguments(node.args)]
    return [*lines, f"{before}{node.name}(", *each, f"){gives}"]


_SHOWN = frozenset(
    {
        *("property", "cached_property", "classmethod", "staticmethod", "abstractmethod"),
        *("contextmanager", "asynccontextmanager"),
    }
)


def _is_fixture(node: Function) -> bool:
    return any(_written(each).startswith("pytest.fixture") for each in node.decorator_list)


def _arguments(given: ast.arguments) -> Iterator[str]:
    plain = [*given.posonlyargs, *given.args]
    defaults = [None] * (len(plain) - len(given.defaults)) + [*given.defaults]
    for number, (one, default) in enumerate(zip(plain, defaults, strict=True), 1):
        yield _argument(one, default)
        if given.posonlyargs and number == len(given.posonlyargs):
            yield "/"
    if given.vararg is not None:
        yield f"*{_argument(given.vararg, None)}"
    elif given.kwonlyargs:
        yield "*"
    for one, default in zip(given.kwonlyargs, given.kw_defaults, strict=True):
        yield _argument(one, default)
    if given.kwarg is not None:
        yield f"**{_argument(given.kwarg, None)}"


def _argument(one: ast.arg, default: ast.expr | None) -> str:
    told = one.arg if one.annotation is None else f"{one.arg}: {_written(one.annotation)}"
    if default is None:
        return told
    return f"{told} = {_written(default)}" if one.annotation else f"{told}={_written(default)}"


# --- members ---------------------------------------------------------------------------------


def _members(at: _Found) -> Iterator[str]:
    fields: list[str] = []
    functions: list[str] = []
    seen: set[str] = set()
    for part in _parts(at):
        assert isinstance(part.node, ast.ClassDef)
        body = part.node.body
        for statement, after in itertools.pairwise([*body, ast.Pass()]):
            if isinstance(statement, ast.Assign | ast.AnnAssign):
                for name in _targets(statement):
                    if not name.startswith("_") and name != "model_config" and name not in seen:
                        seen.add(name)
                        fields.append(_field(name, statement, _text(after)))
            elif isinstance(statement, ast.FunctionDef | ast.AsyncFunctionDef):
                wanted = not statement.name.startswith("_") or (
                    statement.name in {"__init__", "__call__"} and ast.get_docstring(statement)
                )
                if wanted and statement.name not in seen and not _hidden(statement):
                    seen.add(statement.name)
                    functions += ["", *_code(_signature(statement))]
                    functions += _words(ast.get_docstring(statement) or "")
    if fields:
        yield from ("", "| member | | |", "|---|---|---|", *fields)
    yield from functions


def _hidden(node: Function) -> bool:
    """Say whether it only checks or types: nobody calls it."""
    marks = [_written(each) for each in node.decorator_list]
    return any(m.startswith(("overload", "field_validator", "model_validator")) for m in marks)


def _parts(at: _Found) -> Iterator[_Found]:
    """Give a class, and the private ones that it is put together of."""
    assert isinstance(at.node, ast.ClassDef)
    yield at
    for base in at.node.bases:
        text = _written(base).partition("[")[0]
        try:
            found = _find(at.module, text)
        except LookupError:
            continue  # of a library
        if isinstance(found.node, ast.ClassDef) and not _is_shown(text):
            yield from _parts(found)


@cache
def _shown() -> frozenset[str]:
    return frozenset(_exported("hydrusd.plugin")) | frozenset(_exported("hydrusd.testing"))


def _is_shown(name: str) -> bool:
    return name in _shown()


def _field(name: str, statement: ast.Assign | ast.AnnAssign, below: str) -> str:
    kind = _written(statement.annotation) if isinstance(statement, ast.AnnAssign) else ""
    value, words = "", below
    given = statement.value
    if isinstance(given, ast.Call) and _written(given.func) in {"Field", "field"}:
        named = {each.arg: each.value for each in given.keywords}
        value = _written(named["default"]) if "default" in named else ""
        if "description" in named and not words:
            words = str(ast.literal_eval(named["description"]))
    elif given is not None:
        value = _written(given)
    told = f"{kind} = {value}" if kind and value else kind or value
    words = " ".join(_REST_CODE.sub(r"`\1`", words).split())
    cells = (f"`{name}`", f"`{told}`" if told else "", words)
    return f"| {' | '.join(cell.replace('|', chr(92) + '|') for cell in cells)} |"
