"""Each room shows what it says it shows, and nothing else."""

from __future__ import annotations

import importlib
import inspect

import pytest

from hydrusd.daemon import load_plugins
from hydrusd.plugin import AnyAction

ROOMS = [
    "hydrusd.plugin",
    "hydrusd.rules",
    "hydrusd.hydrus",
    "hydrusd.ledger",
    "hydrusd.expressions",
    "hydrusd.engine",
    "hydrusd.simulator",
]


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
            if inspect.isfunction(function) and not member.startswith("_"):
                assert inspect.getdoc(getattr(value, member)), f"{name}.{member}"


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
