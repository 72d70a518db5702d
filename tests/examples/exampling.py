"""Takes the example of a trigger or an action out of the documents and runs it for real.

The first block of YAML under the heading ``### `name` `` is a whole rules file. It runs as it
stands, but for the client, which is the simulator, and ``~``, which is the project's folder.
"""

from __future__ import annotations

import re
import sys
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path

import pytest

from hydrusd import testing
from hydrusd.clock import Clock
from hydrusd.model import JobState
from hydrusd.simulator import SimulatorConfig
from hydrusd.testing import Project, Promise

sys.path.append(str(Path(__file__).parents[1] / "builtin"))

from hurrying import HurryingClock

DOCS = Path(__file__).parents[2] / "docs"


def nothing(_: Project) -> None:
    """Leave the project as it is."""


@dataclass(frozen=True)
class Example:
    """How an example of the documents is run, and how one sees that it did what it says.

    ``page`` is a file in docs/. ``prepare`` gets the project before the daemon starts (drop
    files, seed the simulator), ``check`` afterwards. ``run`` are arguments of ``Project.run``.
    ``states`` are the endings that its jobs may have. ``environ`` is what the rules refer to.
    """

    page: str
    check: Callable[[Project], None]
    prepare: Callable[[Project], None] = nothing
    run: Mapping[str, object] = field(default_factory=lambda: {"jobs": 1})
    files: Mapping[str, str | bytes] = field(default_factory=dict)
    simulator: SimulatorConfig | None = None
    clock: Callable[[], Clock] = HurryingClock
    states: frozenset[JobState] = frozenset({JobState.DONE})
    environ: Mapping[str, str] = field(default_factory=dict)
    waived: Mapping[Promise, str] = field(default_factory=dict)

    def told(self, name: str) -> testing.Example:
        """Give it as the contract wants it."""
        text = documented(self.page, name)
        return testing.Example(
            rules=re.sub(r"^client:\n(?:[ #].*\n|\n)*", "", text, flags=re.MULTILINE),
            files=self.files,
            prepare=self.prepare,
            check=self.check,
            states=self.states,
            simulator=self.simulator,
            clock=self.clock,
            environ=self.environ,
            waived=self.waived,
            **self.run,
        )


def documented(page: str, name: str) -> str:
    """Give the rules file under the heading of a trigger or action."""
    text = (DOCS / page).read_text(encoding="utf-8")
    found = re.search(rf"^### `{name}`.*?\n(.*?)(?=^##|\Z)", text, re.MULTILINE | re.DOTALL)
    assert found, f"docs/{page} has no heading ### `{name}`"
    block = re.search(r"^```yaml\n(.*?)^```", found[1], re.MULTILINE | re.DOTALL)
    assert block, f"docs/{page}: there is no example under ### `{name}`"
    return block[1]


def run_example(name: str, example: Example, folder: Path) -> set[str]:
    """Run an example, fail unless it did what it says; give the paths that it asked for."""
    text = documented(example.page, name)
    own = re.sub(r"^client:\n(?:[ #].*\n|\n)*", "", text, flags=re.MULTILINE)
    with pytest.MonkeyPatch.context() as patch:
        for variable in ("HOME", "USERPROFILE"):
            patch.setenv(variable, str(folder))
        for variable, value in example.environ.items():
            patch.setenv(variable, value)
        project = Project(folder, {**example.files, "rules.yaml": own}, example.simulator)
        try:
            example.prepare(project)
            project.run(**example.run, clock=example.clock())
            states = {job.state for job in project.jobs}
            assert states, project.story()
            assert states <= example.states, project.story()
            example.check(project)
            return {path for path, count in project.simulator.requests.items() if count}
        finally:
            project.close()
