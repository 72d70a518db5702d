"""`hydrusd test`: what it prints, writes and exits with; and how pytest runs the same tests."""

from __future__ import annotations

import json
import subprocess
import sys
import xml.etree.ElementTree as ET

import pytest
from invoking import invoke

RULES = """\
client: {url: 'http://127.0.0.1:1', access_key: '${env:NOBODY_HAS_SET_THIS}'}
rules:
  - name: import
    on: {watch_folder: {path: inbox}}
    do:
      - add_file:
    tests:
      - name: comes in
        given: {files: {inbox/a.png: a picture}}
        expect: {imported: a.png}
"""
FAILING = """\
      - name: stays out
        given: {files: {inbox/a.png: a picture}}
        expect: {imported: []}
"""


@pytest.fixture
def folder(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    return tmp_path


def write(folder, text, name="rules.yaml"):
    (folder / name).write_text(text, encoding="utf-8")


def test_all_green(folder):
    write(folder, RULES)
    result = invoke("test")
    assert result.exit_code == 0, result.output
    first, second, *_, last = result.output.splitlines()
    assert first == "rules.yaml: 1 test"
    assert second.startswith("  ok    comes in (")
    assert last.startswith("1 test, all passed (")
    assert [path.name for path in folder.iterdir()] == ["rules.yaml"]


def test_a_failure_is_shown_with_its_line_and_in_all_forms(folder):
    write(folder, RULES + FAILING)
    result = invoke("test", "--json", "--junit", "junit.xml", "rules.yaml")
    assert result.exit_code == 1
    told = json.loads(result.stdout)
    assert (told["tests"], told["failed"]) == (2, 1)
    [file] = told["files"]
    good, bad = file["tests"]
    assert (good["name"], good["passed"], good["line"]) == ("comes in", True, 8)
    [difference] = bad["differences"]
    assert difference["what"] == "imported"
    assert (difference["line"], difference["column"]) == (13, 18)
    assert difference["lines"] == ["+ inbox/a.png"]
    assert bad["stories"] == {"inbox/a.png": ["rule 'import': done", "  add_file: imported"]}

    suite = ET.parse(folder / "junit.xml").getroot().find("testsuite")
    assert (suite.get("tests"), suite.get("failures")) == ("2", "1")
    passed, failed = suite.findall("testcase")
    assert passed.find("failure") is None
    assert failed.get("name") == "stays out"
    assert "rules.yaml:13:18: imported" in failed.find("failure").text


def test_only_some_of_several_files(folder):
    write(folder, RULES + FAILING)
    write(folder, RULES.replace("comes in", "comes in, too"), "more.yaml")
    result = invoke("test", "rules.yaml", "more.yaml", "--only", "COMES")
    assert result.exit_code == 0, result.output
    assert "rules.yaml: 1 of 2 tests" in result.output
    assert "ok    comes in, too" in result.output
    assert "2 tests, all passed" in result.output

    result = invoke("test", "--only", "goes")
    assert result.exit_code == 2
    assert "no test has 'goes' in its name; there are 'comes in', 'stays out'" in result.output


def test_where_there_are_none_that_is_said(folder):
    write(folder, RULES.partition("    tests:")[0])
    result = invoke("test")
    assert result.exit_code == 0
    assert "rules.yaml: there are no tests" in result.output


@pytest.mark.parametrize("command", ["test", "check"])
def test_what_is_wrong_with_a_test_stops_all_of_them(folder, command):
    write(folder, RULES.replace("expect:", "expcet:"))
    result = invoke(command)
    assert result.exit_code == 2
    assert "rules.yaml:10:9: there is no 'expcet' here" in result.output
    assert "did you mean 'expect'?" in result.output
    assert "nothing was done" in result.output


def pytest_in(folder, *options):
    command = [sys.executable, "-m", "pytest", "-q", "-rA", "-W", "error", *options]
    command += ["-p", "no:cacheprovider", "-p", "hydrusd.testing"]
    return subprocess.run(command, capture_output=True, text=True, check=False, cwd=folder)


def test_pytest_runs_them_where_it_is_told_to(folder):
    write(folder, RULES + FAILING)
    write(folder, RULES.partition("    tests:")[0], "rules-without.yaml")
    write(folder, RULES.replace("expect:", "expcet:"), "rules-broken.yaml")
    write(folder, RULES.replace("comes in", "of another name"), "other.yaml")
    write(folder, "[pytest]\nhydrusd_rules = rules*.yaml other.yaml\n", "pytest.ini")
    ended = pytest_in(folder, "--continue-on-collection-errors")
    said = ended.stdout
    assert ended.returncode == 1, said
    assert "PASSED rules.yaml::comes in" in said
    assert "PASSED other.yaml::of another name" in said
    assert "FAILED rules.yaml::stays out" in said
    assert "rules.yaml:13:18: imported" in said
    assert "ERROR rules-broken.yaml" in said
    assert "rules-broken.yaml:10:9: there is no 'expcet' here" in said
    assert "2 passed" in said
    assert "1 failed" in said
    assert "1 error" in said


def test_other_projects_have_rules_files_of_their_own(folder):
    write(folder, "tests: [{alert: it is not about hydrusd}]\n")
    ended = pytest_in(folder)
    assert "no tests ran" in ended.stdout, ended.stdout
