"""A project whose runs can be taken back by the command, and what is there before and after."""

from __future__ import annotations

import importlib
import sys
from pathlib import Path

import pytest

sys.path[:0] = [str(Path(__file__).parents[1] / folder) for folder in ("builtin", "cli", "crash")]


@pytest.fixture
def undoing(project):
    """Make a project from the text of its rules."""
    made = importlib.import_module("undoing").Undoing
    return lambda rules: made(project({"rules.yaml": rules}))
