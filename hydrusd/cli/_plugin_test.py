"""``hydrusd plugin test``."""

from __future__ import annotations

import importlib.util
import subprocess
import sys
import tempfile
import tomllib
from collections.abc import Iterator, Sequence
from importlib import metadata
from pathlib import Path

import click

from hydrusd.cli._failing import EXIT_FAILED
from hydrusd.cli._terminal import configure_logs, plain
from hydrusd.errors import HydrusdError
from hydrusd.plugin.host import ENTRY_POINT_GROUP
from hydrusd.redaction import redact

_NOTHING_COLLECTED = 5


def run_tests(path: Path, arguments: Sequence[str]) -> None:
    """Run the tests of a plugin, or, without pytest, its contract alone."""
    tests = list(_tests_of(path))
    if not tests:
        raise HydrusdError(
            f"there is no test at {path}. `hydrusd plugin new` shows what one looks like: "
            f"tests/test_NAME.py, with an Example of the plugin at work."
        )
    _look_for_entry_points(path)
    if _has_pytest():
        _run_pytest(tests, arguments)
    else:
        _run_contract(tests, arguments)


def _tests_of(path: Path) -> Iterator[Path]:
    """Find the test files: in a folder, or of a plugin file."""
    if path.is_file() and path.name.startswith("test_"):
        yield path
    elif path.is_file():
        for folder in (path.parent / "tests", path.parent):
            yield from sorted(folder.glob(f"test_{path.stem}.py"))
    elif path.is_dir():
        hidden = (p for p in path.rglob("test_*.py") if not _is_hidden(p.relative_to(path)))
        yield from sorted(hidden)
    else:
        raise HydrusdError(f"there is no {path}")


def _is_hidden(path: Path) -> bool:
    return any(part.startswith(".") or part in {"venv", "node_modules"} for part in path.parts)


def _look_for_entry_points(path: Path) -> None:
    """Say so where a package's tests would not find it, as it is not installed."""
    project = (path if path.is_dir() else path.parent) / "pyproject.toml"
    if not project.is_file():
        return
    try:
        told = tomllib.loads(project.read_text(encoding="utf-8")).get("project", {})
    except (OSError, ValueError) as error:
        raise HydrusdError(f"{project} cannot be read: {error}") from error
    wanted = set(told.get("entry-points", {}).get(ENTRY_POINT_GROUP, {}))
    found = {entry.name for entry in metadata.entry_points(group=ENTRY_POINT_GROUP)}
    if missing := sorted(wanted - found):
        raise HydrusdError(
            f"the plugin {missing[0]} is a package and not installed here, so hydrusd does not "
            f'find it. Run: pip install --editable "{project.parent}"'
        )


def _has_pytest() -> bool:
    try:
        import pytest
    except ModuleNotFoundError:
        return False
    return bool(pytest)


def _run_pytest(tests: Sequence[Path], arguments: Sequence[str]) -> None:
    # A process of its own: pytest wants to be there before what it looks at is imported.
    command = [sys.executable, "-m", "pytest", "-p", "hydrusd.testing"]
    code = subprocess.run([*command, *arguments, *map(str, tests)], check=False).returncode  # noqa: S603 - pytest, on the user's own tests
    if code == _NOTHING_COLLECTED:
        click.echo("hydrusd: pytest found no test in these files", err=True)
    if code:
        sys.exit(EXIT_FAILED)


def _run_contract(tests: Sequence[Path], arguments: Sequence[str]) -> None:
    """Try the contract on the examples that the test files tell."""
    from hydrusd.testing import ContractBroken, Example, NotAsExpected, keep_contract

    configure_logs(level="error")
    click.echo(
        "pytest is not installed: only the contract is tried, and your own tests are not run.\n"
        "  pip install pytest"
    )
    if arguments:
        raise HydrusdError(f"nobody is there to understand {arguments[0]}: it is for pytest")
    count = failed = 0
    for test in tests:
        for name, example in vars(_imported(test)).items():
            if not isinstance(example, Example):
                continue
            count += 1
            told = plain(f"{test.name}: {name}")
            try:
                with tempfile.TemporaryDirectory(prefix="hydrusd-") as folder:
                    keep_contract(example, folder=Path(folder))
            except (ContractBroken, NotAsExpected, ValueError) as error:
                failed += 1
                click.echo(f"{told}: failed\n{plain(redact(str(error)), keep=chr(10))}")
            else:
                click.echo(f"{told}: keeps the contract")
    if not count:
        raise HydrusdError("there is no Example in the test files, so there was nothing to try")
    if failed:
        sys.exit(EXIT_FAILED)


def _imported(test: Path) -> object:
    spec = importlib.util.spec_from_file_location(f"hydrusd_test_{test.stem}", test)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    try:
        spec.loader.exec_module(module)
    except Exception as error:
        raise HydrusdError(f"{test} cannot be imported without pytest: {error!r}") from error
    return module
