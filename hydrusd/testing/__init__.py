"""Test help for plugin authors, and for hydrusd itself: a whole project in three lines.

Ask for it in your ``conftest.py`` with ``pytest_plugins = ("hydrusd.testing",)``. Then::

    def test_my_action(project):
        made = project({"rules.yaml": RULES, "plugins/mine.py": SOURCE})
        made.drop("inbox/a.jpg").run().assert_success()
        assert made.simulator.tags(made.sha256("inbox/a.jpg")) == {0: {"mine"}}

Nothing is mocked: files on the disk, a daemon, its ledger, and HTTP to a simulated client.
What passes here has worked once. Needs pytest.

The tests that rules files carry (``tests:``) are collected, too.
"""

from hydrusd.rehearsal import paint
from hydrusd.testing._collecting import pytest_addoption, pytest_collect_file
from hydrusd.testing._fixtures import MakeProject, project
from hydrusd.testing._project import Project

__all__ = [
    "MakeProject",
    "Project",
    "paint",
    "project",
    "pytest_addoption",
    "pytest_collect_file",
]
