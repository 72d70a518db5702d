"""Each room shows what it says it shows, and nothing else."""

from __future__ import annotations

import ast
import importlib
import inspect
import itertools
import re
from functools import cached_property
from pathlib import Path

import pytest

from hydrusd.daemon import load_plugins
from hydrusd.plugin import AnyAction, hookspecs

ROOMS = [
    "hydrusd.plugin",
    "hydrusd.rules",
    "hydrusd.hydrus",
    "hydrusd.ledger",
    "hydrusd.expressions",
    "hydrusd.engine",
    "hydrusd.simulator",
    "hydrusd.testing",
]
FOR_AUTHORS = ["hydrusd.plugin", "hydrusd.testing"]
ROOT = Path(__file__).parents[2]


@pytest.mark.parametrize("room", ROOMS)
def test_all_is_complete(room):
    module = importlib.import_module(room)
    assert len(set(module.__all__)) == len(module.__all__)
    for name in module.__all__:
        assert hasattr(module, name)
    public = {
        name
        for name, value in vars(module).items()
        if not name.startswith("_") and (inspect.isclass(value) or inspect.isfunction(value))
    }
    assert public <= set(module.__all__)


@pytest.mark.parametrize("room", ROOMS)
def test_everything_public_has_a_docstring(room):
    module = importlib.import_module(room)
    for name in module.__all__:
        value = getattr(module, name)
        if inspect.isclass(value) or inspect.isfunction(value):
            assert inspect.getdoc(value), name
        if not inspect.isclass(value):
            continue
        for member, function in vars(value).items():
            documented = inspect.isfunction(function) or isinstance(
                function, property | cached_property | classmethod | staticmethod
            )
            if documented and not member.startswith("_"):
                text = inspect.getdoc(getattr(function, "__func__", function))
                assert text, f"{name}.{member}"


def told_beside(tree):
    """Give the names that a text stands below, as constants and type aliases have it."""
    for statement, after in itertools.pairwise(tree.body):
        told = isinstance(after, ast.Expr) and isinstance(after.value, ast.Constant)
        if told and isinstance(statement, ast.Assign):
            yield from (each.id for each in statement.targets if isinstance(each, ast.Name))
        elif (
            told and isinstance(statement, ast.AnnAssign) and isinstance(statement.target, ast.Name)
        ):
            yield statement.target.id


@pytest.mark.parametrize("room", FOR_AUTHORS)
def test_every_constant_and_alias_for_authors_is_told(room):
    module = importlib.import_module(room)
    plain = {
        name
        for name in module.__all__
        if not (inspect.isclass(getattr(module, name)) or inspect.isfunction(getattr(module, name)))
        and not callable(getattr(module, name))
    }
    trees = (ast.parse(p.read_text(encoding="utf-8")) for p in (ROOT / "hydrusd").rglob("*.py"))
    told = set().union(*(set(told_beside(tree)) for tree in trees))
    assert plain <= told, sorted(plain - told)


def test_everything_for_testing_is_in_the_documents():
    text = (ROOT / "docs" / "testing-plugins.md").read_text(encoding="utf-8")
    module = importlib.import_module("hydrusd.testing")
    wanted = [name for name in module.__all__ if not name.startswith("pytest_")]  # pytest's hooks
    missing = [name for name in wanted if not re.search(rf"\b{name}\b", text)]
    assert not missing


def test_every_hook_has_a_test():
    """One that has it called: a test with a plugin that implements it."""
    hooks = [name for name in vars(hookspecs) if name.startswith("hydrusd_")]
    assert len(hooks) >= 5
    texts = "\n".join(
        path.read_text(encoding="utf-8") for path in sorted((ROOT / "tests").rglob("test_*.py"))
    )
    assert not [hook for hook in hooks if f"def {hook}(" not in texts]


def test_every_action_says_how_it_is_undone_or_why_not():
    for name, action in load_plugins([]).actions.items():
        assert action.can_undo() != bool(action.no_undo), name
        if action.can_undo():
            assert action.undo_plan.__func__ is not AnyAction.undo_plan.__func__, name
        else:
            assert action.undo_refusal({}) == action.no_undo


def test_every_action_says_what_it_would_change():
    actions = load_plugins([]).actions
    assert len(actions) > 40
    for name, action in actions.items():
        assert action.plan.__func__ is not AnyAction.plan.__func__, name
