"""The files of a new plugin: small, whole, and right from the first minute.

What is written here is what most plugins will look like, so it is all that a good one has: the
parameters with their descriptions, a plan, a test that it works, and one that it keeps the
contract. The test is part of what ``hydrusd plugin new`` promises, and is run by our own tests.
"""

from __future__ import annotations

from string import Template

_PLUGIN = '''\
"""$title: tags files.

    rules:
      - name: import
        on:
          watch_folder: {path: ~/Pictures/inbox}
        do:
          - add_file:
          - $name: {tag: hello}
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import ClassVar

from pydantic import Field

from hydrusd.plugin import Action, AnyAction, Call, Foreseen, Outcome, Permission, hookimpl


class $class_(Action):
    """Add a tag to the files that the rule is about."""

    action: ClassVar[str] = "$name"
    permissions: ClassVar[frozenset[Permission]] = frozenset({Permission.EDIT_TAGS})
    needs_files: ClassVar[bool] = True

    tag: str = Field(description="The tag to add.")
    service: str = Field(default="my tags", description="The tag service, by its name.")

    @classmethod
    async def plan(cls, calls: Sequence[Call[AnyAction]]) -> Sequence[Foreseen]:
        """Say what would be done, for `hydrusd plan`. Look as much as you like; change nothing."""
        actions = [call.action for call in calls]
        return [Foreseen(f"would add {a.tag!r}") for a in actions if isinstance(a, cls)]

    async def run(self, call: Call[Action]) -> Outcome:
        """Do it for one item. After a crash it is called again for the same one."""
        await call.client.add_tags(call.file_hashes, {self.service: [self.tag]})
        return Outcome.done(f"added {self.tag!r}")


@hookimpl
def hydrusd_register_actions(register: Callable[[type[AnyAction]], None]) -> None:
    """Register the action."""
    register($class_)
'''

_TEST = '''\
"""$title does what it says, and keeps the contract of hydrusd."""

$imports
from hydrusd.testing import Example

EXAMPLE = Example(
$plugins    drop=["inbox/a.jpg"],
    rules="""
rules:
  - name: import
    on:
      watch_folder: {path: inbox, settle: 100ms}
    do:
      - add_file:
      - $name: {tag: hello}
""",
)


def test_it_tags_the_file(project):
    made = project(EXAMPLE)
    made.run().assert_success()
    assert made.simulator.tags(made.sha256("inbox/a.jpg")) == {0: {"hello"}}


def test_it_keeps_the_contract(contract):
    contract(EXAMPLE)
'''

_README = """\
# $title

A plugin for hydrusd. It brings the step `$name`, which adds a tag to files:

```yaml
$rules
```

| parameter | | default |
|---|---|---|
| `tag` | the tag to add | needed |
| `service` | the tag service, by its name | `my tags` |

## Use it

$use

`hydrusd check` then knows `$name`, and `hydrusd plan` says what it would do.

## Change it

$change
"""

_RULES = """\
${folders}rules:
  - name: import
    on:
      watch_folder: {path: ~/Pictures/inbox}
    do:
      - add_file:
      - $name: {tag: hello}"""

_USE_FILE = """\
Keep this folder anywhere, and name it in your rules file under `plugins:`, as above (a relative
path starts at the rules file). Or copy `$name.py` into `plugins/` beside the rules file."""

_USE_PACKAGE = """\
Install it where hydrusd is installed; hydrusd finds it by its entry point:

```
pip install .
```"""

_CHANGE_FILE = """\
```
pip install hydrusd pytest
hydrusd plugin test .
```"""

_CHANGE_PACKAGE = """\
```
pip install --editable ".[test]"
hydrusd plugin test .
```"""

_CI = """\
name: test

on: [push, pull_request]

jobs:
  test:
    strategy:
      matrix:
        os: [ubuntu-latest, windows-latest, macos-latest]
        python: ["3.11", "3.13"]
    runs-on: ${{ matrix.os }}
    steps:
      - uses: actions/checkout@v4
      - uses: actions/setup-python@v5
        with:
          python-version: ${{ matrix.python }}
      - run: pip install $install
      - run: hydrusd plugin test .
"""

_PYPROJECT = """\
[build-system]
requires = ["hatchling"]
build-backend = "hatchling.build"

[project]
name = "$project"
version = "0.1.0"
description = "A plugin for hydrusd: tags files"
readme = "README.md"
requires-python = ">=3.11"
dependencies = ["hydrusd"]

[project.optional-dependencies]
test = ["pytest"]

# By this hydrusd finds it, wherever it is installed.
[project.entry-points.hydrusd]
$name = "$module"

[tool.hatch.build.targets.wheel]
packages = ["src/$module"]
"""


def files_of(name: str, *, package: bool) -> dict[str, str]:
    """Give the files of a new plugin, by their paths in its folder."""
    words = {
        "name": name,
        "title": name,
        "class_": "".join(word.capitalize() for word in name.split("_")),
        "module": f"hydrusd_{name}",
        "project": f"hydrusd-{name.replace('_', '-')}",
    }

    def filled(text: str, **more: str) -> str:
        # safe: the CI file has words with a dollar of its own.
        return Template(text).safe_substitute(words, **more)

    here = "Path(__file__).parents[1]"
    source = f"src/{words['module']}/__init__.py" if package else f"{name}.py"
    rules = filled(_RULES, folders="" if package else f"plugins: [{name}]\n\n")
    made = {
        source: filled(_PLUGIN),
        f"tests/test_{name}.py": filled(
            _TEST,
            imports="" if package else "from pathlib import Path\n",
            plugins="" if package else f"    plugins=[{here}],\n",
        ),
        "README.md": filled(
            _README,
            rules=rules,
            use=filled(_USE_PACKAGE if package else _USE_FILE),
            change=filled(_CHANGE_PACKAGE if package else _CHANGE_FILE),
        ),
        ".github/workflows/test.yml": filled(
            _CI, install='".[test]"' if package else "hydrusd pytest"
        ),
    }
    if package:
        made["pyproject.toml"] = filled(_PYPROJECT)
    return made
