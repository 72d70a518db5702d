"""The fixtures. They live where pytest finds them: in the plugin module's own namespace.

pytest imports this into every test run of every project in the same environment, so nothing
of hydrusd is imported before a test asks for it.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack
from pathlib import Path
from typing import TYPE_CHECKING, Protocol

import pytest

if TYPE_CHECKING:
    from hydrusd.simulator import SimulatorConfig
    from hydrusd.testing._example import Example
    from hydrusd.testing._project import Project


class MakeProject(Protocol):
    """What the fixture ``project`` gives."""

    def __call__(
        self,
        files: Mapping[str, str | bytes] | Example,
        simulator: SimulatorConfig | None = None,
        plugins: Sequence[Path] = (),
    ) -> Project:
        """Write the files (``rules.yaml`` is one) into a folder and start a simulated client.

        ``plugins`` are folders with plugin files. An ``Example`` says all this itself.
        """
        ...


class KeepContract(Protocol):
    """What the fixture ``contract`` gives."""

    def __call__(self, example: Example, *names: str) -> None:
        """Fail unless what has these names keeps its promises.

        Without names it is about all that the example uses, or its plugins bring, and that is not
        hydrusd's own.
        """
        ...


@pytest.fixture
def project(tmp_path: Path) -> Iterator[MakeProject]:
    """Make projects, each with a folder and a client of its own; stopped after the test."""
    from hydrusd.testing._example import Example
    from hydrusd.testing._project import Project

    with ExitStack() as closing:
        count = 0

        def make(
            files: Mapping[str, str | bytes] | Example,
            simulator: SimulatorConfig | None = None,
            plugins: Sequence[Path] = (),
        ) -> Project:
            nonlocal count
            count += 1
            # Not resolved: the project sees the path which the system gave.
            folder = tmp_path / f"project-{count}"
            if isinstance(files, Example):
                return closing.enter_context(files.project(folder))
            made = Project(folder, files, simulator, plugins)
            closing.callback(made.close)
            return made

        yield make


@pytest.fixture
def contract(tmp_path_factory: pytest.TempPathFactory) -> KeepContract:
    """Try whether what a plugin brings keeps the contract: see ``Promise``."""
    from hydrusd.testing._contract import keep_contract

    def keep(example: Example, *names: str) -> None:
        __tracebackhide__ = True
        keep_contract(example, *names, folder=tmp_path_factory.mktemp("contract"))

    return keep
