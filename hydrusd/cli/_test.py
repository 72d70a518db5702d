"""``hydrusd test``: runs the tests that rules carry, and shows what is not as expected."""

from __future__ import annotations

import sys
import time
import xml.etree.ElementTree as ET
from collections.abc import Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path

import click
from rich.console import Console
from rich.text import Text

from hydrusd.cli._dead import to_json
from hydrusd.cli._failing import EXIT_FAILED
from hydrusd.cli._paths import rules_path
from hydrusd.cli._telling import some
from hydrusd.cli._terminal import configure_logs, make_console, plain
from hydrusd.errors import ConfigError, Problem
from hydrusd.redaction import redact
from hydrusd.rehearsal import Rehearsal, Result, told
from hydrusd.rules import RuleTest

NAMES_TOLD = 20
STYLES = {"- ": "red", "+ ": "green"}


@dataclass(frozen=True, slots=True)
class _File:
    """A rules file with those of its tests that are to be run."""

    path: Path
    rehearsal: Rehearsal
    tests: Sequence[RuleTest]


def run_tests(
    files: Sequence[Path],
    names: Sequence[str],
    *,
    safe_mode: bool,
    as_json: bool,
    junit: Path | None,
) -> None:
    """Run them, one after the other. Raises ConfigError with the problems of all files."""
    configure_logs(level="error", as_json=as_json)
    console = make_console()
    began = time.monotonic()
    results: dict[Path, list[Result]] = {}
    with ExitStack() as closing:
        opened = _open(list(files) or [rules_path(None)], closing, safe_mode=safe_mode)
        chosen = [_File(each.path, each.rehearsal, _chosen(each, names)) for each in opened]
        if names and not any(each.tests for each in chosen):
            _refuse(names, [test.name for each in opened for test in each.tests])
        for file in chosen:
            results[file.path] = []
            if not as_json:
                _tell_file(console, file, len(file.rehearsal.tests))
            for test in file.tests:
                result = file.rehearsal.run(test)
                results[file.path].append(result)
                if not as_json:
                    _tell(console, result)
    seconds = time.monotonic() - began
    everything = [result for found in results.values() for result in found]
    failed = sum(not result.passed for result in everything)
    if junit is not None:
        _write_junit(junit, results)
    if as_json:
        click.echo(to_json(_as_data(results, seconds)))
    elif everything:
        console.print()
        verdict = f"{failed} of {some(len(everything), 'test')} failed" if failed else "all passed"
        of_all = "" if failed else f"{some(len(everything), 'test')}, "
        console.print(Text(f"{of_all}{verdict} ({seconds:.1f} s)", "red" if failed else "green"))
    if failed:
        sys.exit(EXIT_FAILED)


def _open(paths: Sequence[Path], closing: ExitStack, *, safe_mode: bool) -> list[_File]:
    problems: list[Problem] = []
    opened = []
    for path in dict.fromkeys(paths):
        try:
            rehearsal = closing.enter_context(Rehearsal(path, safe_mode=safe_mode))
        except ConfigError as error:
            problems += error.problems
        else:
            opened.append(_File(path, rehearsal, rehearsal.tests))
    if any(problem.severity == "error" for problem in problems):
        raise ConfigError(problems)
    return opened


def _chosen(file: _File, names: Sequence[str]) -> list[RuleTest]:
    wanted = [name.casefold() for name in names]
    return [
        test
        for test in file.tests
        if not wanted or any(name in test.name.casefold() for name in wanted)
    ]


def _refuse(names: Sequence[str], known: Sequence[str]) -> None:
    asked = " or ".join(repr(name) for name in names)
    there = ", ".join(repr(name) for name in known[:NAMES_TOLD]) or "none"
    raise click.UsageError(f"no test has {asked} in its name; there are {there}")


# --- for people ------------------------------------------------------------------------------


def _tell_file(console: Console, file: _File, count: int) -> None:
    if not count:
        hint = "a `tests:` beside the rules, or in one of them, says what they are to do"
        console.print(Text(plain(f"{file.path}: there are no tests; {hint}")), soft_wrap=True)
        return
    of_all = (
        some(count, "test") if len(file.tests) == count else f"{len(file.tests)} of {count} tests"
    )
    console.print(Text(plain(f"{file.path}: {of_all}")), soft_wrap=True)


def _tell(console: Console, result: Result) -> None:
    mark, style = ("ok  ", "green") if result.passed else ("FAIL", "bold red")
    name = plain(redact(result.test.name))
    console.print(
        Text.assemble("  ", (mark, style), f"  {name} ({result.seconds:.1f} s)"), soft_wrap=True
    )
    for line in told(result):
        style = next((s for mark, s in STYLES.items() if line.lstrip().startswith(mark)), "")
        console.print(Text(f"        {plain(line)}", style), soft_wrap=True)


# --- for programs ----------------------------------------------------------------------------


def _as_data(results: dict[Path, list[Result]], seconds: float) -> object:
    everything = [result for found in results.values() for result in found]
    return {
        "tests": len(everything),
        "failed": sum(not result.passed for result in everything),
        "seconds": round(seconds, 3),
        "files": [
            {"file": str(path), "tests": [_result_as_data(result) for result in found]}
            for path, found in results.items()
        ],
    }


def _result_as_data(result: Result) -> object:
    return {
        "name": result.test.name,
        "rules": list(result.test.rules),
        "line": result.test.position.line,
        "passed": result.passed,
        "seconds": round(result.seconds, 3),
        "failure": redact(result.failure),
        "differences": [
            {
                "file": each.place.file,
                "line": each.place.line,
                "column": each.place.column,
                "what": each.what,
                "lines": [redact(line) for line in each.lines],
                "items": list(each.items),
            }
            for each in result.differences
        ],
        "stories": {
            item: [redact(line) for line in story] for item, story in result.stories.items()
        },
    }


def _write_junit(path: Path, results: dict[Path, list[Result]]) -> None:
    suites = ET.Element("testsuites")
    for file, found in results.items():
        failed = sum(not result.passed for result in found)
        seconds = sum(result.seconds for result in found)
        suite = ET.SubElement(
            suites,
            "testsuite",
            name=plain(str(file)),
            tests=str(len(found)),
            failures=str(failed),
            errors="0",
            time=f"{seconds:.3f}",
        )
        for result in found:
            case = ET.SubElement(
                suite,
                "testcase",
                name=plain(result.test.name),
                classname=plain(file.stem),
                file=plain(str(file)),
                line=str(result.test.position.line),
                time=f"{result.seconds:.3f}",
            )
            if not result.passed:
                lines = [plain(line) for line in told(result)]
                failure = ET.SubElement(case, "failure", message=next(iter(lines), ""))
                failure.text = "\n".join(lines)
    ET.indent(suites)
    path.write_bytes(ET.tostring(suites, encoding="utf-8", xml_declaration=True))
