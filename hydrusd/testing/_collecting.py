"""Has pytest run the tests that rules files carry, one item a test.

Which files are rules files says the setting ``hydrusd_rules``, patterns of file names. Without it
there are none: pytest loads this in every project of an environment that has hydrusd, and others
have files of such names, too. For the same reason nothing of hydrusd is imported before there is a
file to read.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

if TYPE_CHECKING:
    from hydrusd.rehearsal import Rehearsal
    from hydrusd.rules import RuleTest

SETTING = "hydrusd_rules"

_TESTS = re.compile(rb"^[\s-]*[\"']?tests[\"']?\s*:", re.MULTILINE)


def pytest_addoption(parser: pytest.Parser) -> None:
    """Add the setting."""
    about = "which files are rules of hydrusd, whose tests are run: patterns of their names"
    parser.addini(SETTING, about, type="args", default=[])


def pytest_collect_file(file_path: Path, parent: pytest.Collector) -> pytest.Collector | None:
    """Take a rules file that has tests."""
    patterns = parent.config.getini(SETTING)
    if not any(file_path.match(pattern) for pattern in patterns):
        return None
    # Reading one for real means loading all plugins: not for those that have none.
    if not _TESTS.search(file_path.read_bytes()):
        return None
    return RulesFile.from_parent(parent, path=file_path)


class RulesFile(pytest.File):
    """A rules file with tests."""

    def collect(self) -> Iterator[RulesItem]:
        """Give the tests."""
        from hydrusd.errors import ConfigError
        from hydrusd.rehearsal import Rehearsal

        try:
            rehearsal = Rehearsal(self.path)
        except ConfigError as error:
            raise self.CollectError(str(error)) from error
        self.config.add_cleanup(rehearsal.close)
        for test in rehearsal.tests:
            yield RulesItem.from_parent(self, name=test.name, rehearsal=rehearsal, test=test)


class RulesItem(pytest.Item):
    """One test of a rules file."""

    def __init__(self, *, rehearsal: Rehearsal, test: RuleTest, **about: Any) -> None:
        super().__init__(**about)
        self._rehearsal = rehearsal
        self._test = test

    def runtest(self) -> None:
        """Run it."""
        from hydrusd.rehearsal import told

        result = self._rehearsal.run(self._test)
        if not result.passed:
            raise RulesTestFailed("\n".join(told(result)))

    def repr_failure(self, excinfo: pytest.ExceptionInfo[BaseException], style: Any = None) -> Any:
        """Tell what was not as expected; where it is no such thing, tell as usual."""
        if isinstance(excinfo.value, RulesTestFailed):
            return str(excinfo.value)
        return super().repr_failure(excinfo, style)

    def reportinfo(self) -> tuple[Path, int, str]:
        """Say where it stands."""
        return self.path, self._test.position.line - 1, self.name


class RulesTestFailed(Exception):
    """A test of rules of which not all is as expected; the text says what."""
