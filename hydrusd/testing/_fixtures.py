"""The fixtures. They live where pytest finds them: in the plugin module's own namespace."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Protocol

import pytest

from hydrusd.simulator import SimulatorConfig
from hydrusd.testing._project import Project


class MakeProject(Protocol):
    """What the fixture ``project`` gives."""

    def __call__(
        self, files: Mapping[str, str | bytes], simulator: SimulatorConfig | None = None
    ) -> Project:
        """Write the files (``rules.yaml`` is one) into a folder and start a simulated client."""
        ...


@pytest.fixture
def project(tmp_path: Path) -> Iterator[MakeProject]:
    """Make projects, each with a folder and a client of its own; stopped after the test."""
    made: list[Project] = []

    def make(files: Mapping[str, str | bytes], simulator: SimulatorConfig | None = None) -> Project:
        # Not resolved: the project sees the path which the system gave.
        made.append(Project(tmp_path / f"project-{len(made) + 1}", files, simulator))
        return made[-1]

    yield make
    for one in made:
        one.close()
