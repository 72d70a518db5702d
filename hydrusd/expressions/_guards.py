"""What a condition asks first, where that can be looked up.

Most conditions begin with ``file.suffix == '.png'`` or ``file.suffix in ['.jpg', '.png']``. Where
that part is not so, the whole is not, whatever comes behind its ``and``. Of a thousand rules that
begin like this, a look into a table finds the few that have to be asked at all.
"""

from __future__ import annotations

from dataclasses import dataclass

from jinja2 import nodes


@dataclass(frozen=True, slots=True)
class Guard:
    """A place in the data, and the texts of which one must stand there.

    It says nothing of data in which no text stands there.
    """

    names: tuple[str, ...]
    texts: frozenset[str]


def guard_of(tree: nodes.Template) -> Guard | None:
    """Give the guard of a condition, of its tree as ``parse`` gives it; None where it has none."""
    [assign] = tree.body
    assert isinstance(assign, nodes.Assign)
    first: nodes.Node = assign.node
    while isinstance(first, nodes.And):
        first = first.left
    if isinstance(first, nodes.Filter) and first.name == "_in" and first.node is not None:
        return _guard(first.node, _texts(first.args[0]))
    if isinstance(first, nodes.Compare) and first.ops[0].op == "eq":
        sides = (first.expr, first.ops[0].expr)
        for place, constant in (sides, sides[::-1]):
            if isinstance(constant, nodes.Const) and isinstance(constant.value, str):
                return _guard(place, frozenset({constant.value}))
    return None


def roots_of(tree: nodes.Template) -> frozenset[str]:
    """Give the names at which the data is entered."""
    return frozenset(node.name for node in tree.find_all(nodes.Name) if node.ctx == "load")


def _texts(node: nodes.Expr) -> frozenset[str] | None:
    if not isinstance(node, nodes.List | nodes.Tuple):
        return None
    texts = [item.value for item in node.items if isinstance(item, nodes.Const)]
    whole = len(texts) == len(node.items) and all(isinstance(text, str) for text in texts)
    return frozenset(texts) if whole else None


def _guard(node: nodes.Node, texts: frozenset[str] | None) -> Guard | None:
    names: list[str] = []
    while isinstance(node, nodes.Getattr):
        names.append(node.attr)
        node = node.node
    if texts is None or not isinstance(node, nodes.Name):
        return None
    return Guard((node.name, *reversed(names)), texts)
