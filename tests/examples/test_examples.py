"""Every trigger and action has an example in the documents, and every example works.

Together they reach every writing route of the Client API: what the API can do, a rule can do.
"""

from __future__ import annotations

import importlib
import pkgutil
from pathlib import Path

import pytest
from exampling import run_example

import hydrusd.hydrus
from hydrusd.daemon import load_plugins
from hydrusd.hydrus._calls import Route

MODULES = sorted(
    path.stem
    for path in Path(__file__).parent.glob("*.py")
    if path.stem != "exampling" and not path.stem.startswith("test_")
)
EXAMPLES = {
    name: example
    for module in MODULES
    for name, example in importlib.import_module(module).EXAMPLES.items()
}

# Routes that no rule should use, or that only old clients still need, each with its reason.
UNREACHABLE = {
    "/add_files/generate_hashes": "imports nothing; hydrusd hashes by itself",
    "/manage_headers/set_user_agent": "deprecated; set_headers falls back to it below API 43",
    "/manage_popups/finish_popup": "only those that can be cancelled are ever unfinished; none is",
    "/manage_popups/cancel_popup": "presses a button that is the user's",
    "/manage_popups/call_user_callable": "presses a button of somebody else's popup",
}

_RAN: dict[str, set[str]] = {}


def ran(name, tmp_path_factory):
    """Run an example once, however many tests want to know what it did."""
    if name not in _RAN:
        _RAN[name] = run_example(name, EXAMPLES[name], tmp_path_factory.mktemp(name))
    return _RAN[name]


def writing_routes():
    modules = pkgutil.iter_modules(hydrusd.hydrus.__path__)
    found = (vars(importlib.import_module(f"hydrusd.hydrus.{m.name}")).values() for m in modules)
    return {
        value.path
        for values in found
        for value in values
        if isinstance(value, Route) and value.method == "POST"
    }


def test_every_trigger_and_action_has_an_example():
    host = load_plugins([])
    assert set(EXAMPLES) == {*host.actions, *host.triggers}


@pytest.mark.parametrize("name", sorted(EXAMPLES))
def test_the_example_does_what_it_says(name, tmp_path_factory):
    assert ran(name, tmp_path_factory)


def test_every_writing_route_can_be_reached_by_a_rule(tmp_path_factory):
    reached = set().union(*(ran(name, tmp_path_factory) for name in EXAMPLES))
    unreached = writing_routes() - reached
    assert unreached == set(UNREACHABLE)
