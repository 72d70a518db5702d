"""A rule at work, told once and run as often as a test needs it."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

from hydrusd.clock import Clock
from hydrusd.model import JobState
from hydrusd.simulator import SimulatorConfig
from hydrusd.testing._project import RULES_FILE, Project

if TYPE_CHECKING:
    from hydrusd.testing._contract import Promise


def nothing(project: Project) -> object:
    """Leave a project as it is."""
    return project


@dataclass(frozen=True, kw_only=True)
class Example:
    """A rules file, what there is for it to work on, and how one sees that it worked.

    ``plugins`` are folders with plugin files. ``drop`` are files for a trigger to notice,
    ``seed`` files that the client has already, ``files`` others, by their paths. ``prepare`` is
    called with the project before the daemon starts, ``check`` afterwards. It is over when there
    are ``jobs`` and all have ended (in one of ``states``), or when ``until`` says so. ``environ``
    is what ``${env:…}`` in the rules stands for. ``filters`` are values to try a filter on, beside
    the usual ones: its name → lists of arguments; ``sidecars`` contents of real sidecars: the name
    of the format → some. ``waived`` are promises of the contract which do not fit, each with the
    reason.
    """

    rules: str
    plugins: Sequence[Path] = ()
    drop: Sequence[str] = ()
    seed: Sequence[str] = ()
    files: Mapping[str, str | bytes] = field(default_factory=dict)
    prepare: Callable[[Project], object] = nothing
    check: Callable[[Project], object] = nothing
    jobs: int = 1
    until: Callable[[Project], bool] | None = None
    states: frozenset[JobState] = frozenset({JobState.DONE})
    timeout_seconds: float = 20.0
    simulator: SimulatorConfig | None = None
    clock: Callable[[], Clock] | None = None
    environ: Mapping[str, str] = field(default_factory=dict)
    filters: Mapping[str, Sequence[Sequence[object]]] = field(default_factory=dict)
    sidecars: Mapping[str, Sequence[bytes]] = field(default_factory=dict)
    waived: Mapping[Promise, str] = field(default_factory=dict)

    @contextmanager
    def project(self, folder: Path) -> Iterator[Project]:
        """Make a project of it in an empty folder, ready to run; ``~`` is that folder."""
        folder.mkdir(parents=True, exist_ok=True)
        home = dict.fromkeys(("HOME", "USERPROFILE"), str(folder))
        with _environ({**home, **self.environ}):
            files = {**self.files, RULES_FILE: self.rules}
            project = Project(folder, files, self.simulator, self.plugins)
            try:
                for name in self.seed:
                    project.seed(name)
                for name in self.drop:
                    project.drop(name)
                self.prepare(project)
                yield project
            finally:
                project.close()


@contextmanager
def _environ(changes: Mapping[str, str]) -> Iterator[None]:
    before = {name: os.environ.get(name) for name in changes}
    os.environ.update(changes)
    try:
        yield
    finally:
        for name, value in before.items():
            if value is None:
                os.environ.pop(name, None)
            else:
                os.environ[name] = value
