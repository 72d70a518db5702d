"""Test help for plugin authors, and for hydrusd itself: a whole project in three lines.

pytest finds it by itself wherever hydrusd is installed (``-p no:hydrusd.testing`` turns it off)::

    def test_my_action(project):
        made = project({"rules.yaml": RULES, "plugins/mine.py": SOURCE})
        made.drop("inbox/a.jpg").run().assert_success()
        assert made.simulator.tags(made.sha256("inbox/a.jpg")) == {0: {"mine"}}

    def test_it_keeps_the_contract(contract):
        contract(Example(rules=RULES, plugins=[FOLDER], drop=["inbox/a.jpg"]))

Nothing is mocked: files on the disk, a daemon, its ledger, and HTTP to a simulated client.
What passes here has worked once; what keeps the contract works when things go wrong, too.

The tests that rules files carry (``tests:``) are collected as well, where the setting
``hydrusd_rules`` names such files.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING

try:
    from hydrusd.testing._collecting import pytest_addoption, pytest_collect_file
    from hydrusd.testing._fixtures import KeepContract, MakeProject, contract, project
except ModuleNotFoundError as error:
    if error.name != "pytest":
        raise  # without pytest there is nothing of its own; the rest works

if TYPE_CHECKING:
    from hydrusd.rehearsal import paint
    from hydrusd.testing._contract import Broken, ContractBroken, Promise, keep_contract
    from hydrusd.testing._example import Example
    from hydrusd.testing._project import NotAsExpected, Project

__all__ = [
    "Broken",
    "ContractBroken",
    "Example",
    "KeepContract",
    "MakeProject",
    "NotAsExpected",
    "Project",
    "Promise",
    "contract",
    "keep_contract",
    "paint",
    "project",
    "pytest_addoption",
    "pytest_collect_file",
]

_LATE = {
    "Broken": "hydrusd.testing._contract",
    "ContractBroken": "hydrusd.testing._contract",
    "Example": "hydrusd.testing._example",
    "NotAsExpected": "hydrusd.testing._project",
    "Project": "hydrusd.testing._project",
    "Promise": "hydrusd.testing._contract",
    "keep_contract": "hydrusd.testing._contract",
    "paint": "hydrusd.rehearsal",
}


def __getattr__(name: str) -> object:
    """Import the rest when it is asked for: other projects' tests do not wait for it."""
    if name not in _LATE:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(importlib.import_module(_LATE[name]), name)
