"""What is not as a test expects is shown, with its line; and nothing of the user's is touched."""

from __future__ import annotations

import os
import re
import sys
from pathlib import Path

import pytest

from hydrusd.daemon import read_configuration
from hydrusd.errors import ConfigError
from hydrusd.rehearsal import Rehearsal, told

HEAD = """\
client: {url: 'http://127.0.0.1:1', access_key: '${env:NOBODY_HAS_SET_THIS}'}
allow: run_command
rules:
  - name: import
    on: {watch_folder: {path: inbox, include: ['*.png']}}
    if: file.stem != 'no'
    do:
      - add_file: {deleted_before: keep}
      - add_tags: {my tags: ["from:{{ file.parent.name }}", two]}
"""

PLUGIN = """\
from typing import ClassVar
from hydrusd.plugin import Action, Outcome, hookimpl
class Mine(Action):
    "Do it."
    action: ClassVar[str] = "mine"
    def run(self, call):
        return Outcome.done("mine did it", values={"said": call.source.path.name})
class Far(Action):
    "Reach far."
    action: ClassVar[str] = "far"
    outside: ClassVar[bool] = True
    what: str
    def run(self, call):
        raise AssertionError("it was run")
class Moon(Action):
    "Wait."
    action: ClassVar[str] = "wait_for_the_moon"
    def run(self, call):
        return Outcome.park_rule("the moon is away")
@hookimpl
def hydrusd_register_actions(register):
    register(Mine)
    register(Far)
    register(Moon)
"""


@pytest.fixture
def rehearse(tmp_path):
    """Write rules, run their only test, and give the result."""

    def rehearse(text):
        path = tmp_path / "rules.yaml"
        path.write_text(text, encoding="utf-8")
        with Rehearsal(path) as rehearsal:
            [test] = rehearsal.tests
            return rehearsal.run(test)

    return rehearse


def lines(result, tmp_path):
    return [line.replace(f"{tmp_path}{os.sep}", "") for line in told(result)]


def test_each_difference_has_its_line_and_the_story_of_its_item(rehearse, tmp_path):
    result = rehearse(
        f"""{HEAD}    tests:
      - name: wrong in every way
        given:
          files:
            inbox/a.png: a picture
            inbox/no.png: a picture
            inbox/c.jpg: a picture
            inbox/broken.png: a damaged picture
        expect:
          imported: [no.png, a.png]
          passed_over: {{no.png: because it is Tuesday}}
          unnoticed: []
          tags:
            a.png: [two, three]
          sources: {{a.png: trashed}}
          files: {{inbox/a.png: gone, inbox/sub/x: there}}
          ran: [run_command]
"""
    )
    assert not result.passed
    assert lines(result, tmp_path) == [
        "rules.yaml:18:9: dead",
        "  + inbox/broken.png: Hydrus cannot import it: Unknown filetype!",
        "rules.yaml:19:11: imported",
        "  = inbox/a.png",
        "  - inbox/no.png",
        "rules.yaml:20:11: passed over",
        "  - inbox/no.png: because it is Tuesday",
        "  + inbox/no.png: not so: file.stem != 'no'",
        "rules.yaml:21:11: unnoticed",
        "  + inbox/c.jpg: `include` does not match 'c.jpg'",
        "rules.yaml:23:13: tags of a.png",
        "  = two",
        "  - three",
        "  + from:inbox",
        "rules.yaml:24:21: what became of a.png",
        "  - trashed",
        "  + stays",
        "rules.yaml:25:19: inbox/a.png",
        "  - gone",
        "  + there",
        "rules.yaml:25:38: inbox/sub/x",
        "  - there",
        "  + gone",
        "rules.yaml:26:11: what would have been run",
        "  - run_command",
        "what happened to inbox/broken.png:",
        "  rule 'import': dead",
        "    add_file: dead: Hydrus cannot import it: Unknown filetype!",
        "what happened to inbox/no.png:",
        "  rule 'import' passed it over: not so: file.stem != 'no'",
        "what happened to inbox/c.jpg:",
        "  no trigger noticed it: `include` does not match 'c.jpg'",
        "what happened to inbox/a.png:",
        "  rule 'import': done",
        "    add_file: imported",
        "    add_tags: 2 tags added",
    ]


def test_a_service_that_the_client_does_not_have_is_told_with_its_line(rehearse):
    result = rehearse(
        f"""{HEAD}      - run_command: {{command: [echo, "{{{{ file.name }}}}"]}}
      - set_rating: {{service: stars, rating: 3}}
    tests:
      - name: says nothing
        given: {{files: {{inbox/a.png: a picture, inbox/broken.png: a damaged picture}}}}
        expect: {{}}
"""
    )
    assert "no rating service is called 'stars'" in result.failure
    assert "rules.yaml:11:22" in result.failure


def test_what_would_run_and_is_not_expected_fails_and_nothing_runs(rehearse, tmp_path):
    marker = tmp_path / "ran"
    program = f"open({str(marker)!r}, 'w')"
    result = rehearse(
        f"""{HEAD}      - run_command: {{command: [{sys.executable!r}, -c, {program!r}]}}
    tests:
      - name: a
        given: {{files: {{inbox/a.png: a picture}}}}
        expect: {{done: a.png}}
"""
    )
    [difference] = result.differences
    assert difference.what == "what would have been run"
    [line] = difference.lines
    assert line.startswith("+ run_command {")
    assert not marker.exists()


def test_no_real_folder_is_read_or_written(rehearse, tmp_path, monkeypatch):
    home = tmp_path / "home"
    for name in ("HOME", "USERPROFILE"):
        monkeypatch.setenv(name, str(home))
    for folder in (home / "inbox", tmp_path / "inbox"):
        folder.mkdir(parents=True)
        (folder / "real.png").write_bytes(b"of the user")
    result = rehearse(
        HEAD.replace("path: inbox", "path: ~/inbox").replace("'*.png'", "'*'")
        + f"""\
      - copy_source: {{to: "{(tmp_path / "copies").as_posix()}/{{{{ file.stem }}}}"}}
      - export_file: {{to: "{{{{ file.parent.path }}}}/../beside", name: x}}
      - write_sidecar: {{format: txt, to: "{{{{ file.parent.path }}}}/../beside"}}
      - trash_source:
    tests:
      - name: a
        given: {{files: {{~/inbox/made-up.png: a picture}}}}
        expect:
          imported: made-up.png
          done: made-up.png
          files:
            {(tmp_path / "copies").as_posix()}/made-up/made-up.png: there
            ~/beside/x.png: there
          sources: {{made-up.png: trashed}}
"""
    )
    assert result.passed, list(told(result))
    there = {p.relative_to(tmp_path).as_posix() for p in tmp_path.rglob("*") if p.is_file()}
    assert there == {"rules.yaml", "home/inbox/real.png", "inbox/real.png"}


def test_a_secret_is_made_up_and_the_real_one_is_not_read(rehearse, monkeypatch):
    monkeypatch.setenv("REAL_SECRET", "nobody-may-see-this")
    result = rehearse(
        f"""{HEAD}      - set_headers:
          domain: a.example
          headers: {{X-Key: {{secret: "${{env:REAL_SECRET}}"}}}}
      - run_command: {{command: [x], env: {{K: {{secret: "${{env:REAL_SECRET}}"}}}}}}
    tests:
      - name: a
        given: {{files: {{inbox/a.png: a picture}}}}
        expect: {{done: a.png}}
"""
    )
    [difference] = result.differences
    assert "${env:REAL_SECRET}" in difference.lines[0]
    assert "nobody-may-see-this" not in repr(result)


def test_what_waits_is_told_with_what_it_waits_for(rehearse, tmp_path):
    (tmp_path / "plugins").mkdir()
    (tmp_path / "plugins/mine.py").write_text(PLUGIN, encoding="utf-8")
    rules = f"{HEAD}      - wait_for_the_moon:\n"
    given = "given: {files: {inbox/a.png: a picture}}"
    result = rehearse(f"{rules}tests:\n  - name: a\n    {given}\n    expect: {{}}\n")
    [difference] = result.differences
    assert difference.what == "waiting"
    assert difference.lines == ["+ inbox/a.png: the rule waits: the moon is away"]
    expect = "expect: {waiting: {a.png: the moon}}"
    assert rehearse(f"{rules}tests:\n  - name: a\n    {given}\n    {expect}\n").passed


@pytest.mark.parametrize(
    ("test", "said"),
    [
        ("given: {files: {inbox/a.tiff: a picture}}", "only .gif, .jpeg, .jpg, .png, .webp"),
        ("given: {files: {inbox/a.png: {size: 10}}}", "at least, not 10"),
        ("given: {files: {inbox/a.png: {copy_of: there-is-none.png}}}", "there-is-none.png"),
        ("when: [{at: 2026-01-02 10:00}, {at: 2026-01-01 10:00}]", "cannot become 2026-01-01"),
        ("when: {fire: import}", "it is not `on: manual`"),
        ("given: {client: {has: {x.png: {tags: {nowhere: a}}}}}", "no tag service 'nowhere'"),
    ],
)
def test_what_makes_no_sense_only_when_it_is_run_is_told(rehearse, test, said):
    result = rehearse(f"{HEAD}tests:\n  - name: a\n    {test}\n    expect: {{}}\n")
    assert said in result.failure
    assert not result.passed


def test_a_real_file_can_be_used(rehearse, tmp_path):
    from hydrusd.testing import paint

    (tmp_path / "samples").mkdir()
    (tmp_path / "samples/my own.webp").write_bytes(paint("x.webp"))
    result = rehearse(
        f"""{HEAD}    tests:
      - name: a
        given:
          files: {{inbox/a.png: {{copy_of: samples/my own.webp}}}}
          client: {{has: a.png}}
        expect: {{known: a.png}}
"""
    )
    assert result.passed, list(told(result))


def test_several_clients_hold_what_is_theirs(rehearse):
    text = f"""{HEAD}    client: one
    tests:
      - name: a
        given:
          files: {{inbox/a.png: a picture, inbox/b.png: a picture}}
          clients: {{one: {{has: a.png}}, two: {{has: b.png}}}}
        expect: {{known: a.png, imported: b.png}}
"""
    one = "url: 'http://127.0.0.1:1', access_key: '${env:NOBODY}'"
    text = text.replace(text.splitlines()[0], f"clients: {{one: {{{one}}}, two: {{{one}}}}}")
    result = rehearse(text)
    assert result.passed, list(told(result))


def test_an_action_of_ones_own_works_and_one_that_reaches_outside_is_noted(rehearse, tmp_path):
    (tmp_path / "plugins").mkdir()
    (tmp_path / "plugins/mine.py").write_text(PLUGIN, encoding="utf-8")
    result = rehearse(
        f"""{HEAD}      - mine:
      - far: {{what: "{{{{ steps.mine.said }}}}"}}
    tests:
      - name: a
        given: {{files: {{inbox/a.png: a picture}}}}
        expect: {{done: a.png, ran: [{{far: {{what: a.png}}}}]}}
"""
    )
    assert result.passed, list(told(result))


BROKEN = {
    "a misspelt part": ("givn: {}\nexpect: {}", 12, 5, "there is no 'givn' here", "'given'"),
    "nothing expected": ("given: {}", 11, 5, "'expect' is missing", ""),
    "a misspelt word": (
        "expect: {importd: []}",
        12,
        14,
        "there is no 'importd' here",
        "'imported'",
    ),
    "an unknown file": (
        "given: {files: {inbox/tom.png: a picture}}\nexpect: {imported: [ton.png]}",
        13,
        25,
        "'ton.png' is nothing of this test",
        "'tom.png'",
    ),
    "one of two": (
        "given: {files: {inbox/a.png: , inbox/b/a.png: }}\nexpect: {tags: {a.png: x}}",
        13,
        21,
        "'a.png' may be several files",
        "inbox/a.png, inbox/b/a.png",
    ),
    "an unknown rule": ("rules: [impart]\nexpect: {}", 12, 13, "no rule 'impart'", "'import'"),
    "two contents": (
        "given: {files: {inbox/a.png: {text: x, copy_of: y}}}\nexpect: {}",
        12,
        34,
        "a file has one content",
        "",
    ),
    "no time": ("when: {at: five}\nexpect: {}", 12, 16, "must be a date and a time", ""),
    "no such day": ("when: {at: 2026-02-30 05:00}\nexpect: {}", 12, 16, "does not exist", ""),
    "no such zone": ("when: {at: 2026-02-20 05:00 Mars/A}\nexpect: {}", 12, 16, "time zone", ""),
    "two things at once": ("when: [{wait: 1s, fire: import}]\nexpect: {}", 12, 12, "one thing", ""),
    "an unknown fate": (
        "given: {files: {inbox/a.png: }}\nexpect: {sources: {a.png: trashd}}",
        13,
        31,
        "'trashd' is nothing that becomes of a file",
        "'trashed'",
    ),
    "an unknown action": ("expect: {ran: [run_comand]}", 12, 20, "no action", "'run_command'"),
    "a kind of picture": (
        "given: {files: {inbox/a.png: a pictur}}\nexpect: {}",
        12,
        34,
        "'a picture'",
        "",
    ),
    "same as nothing": (
        "given: {files: {inbox/a.png: {same_as: b.png}}}\nexpect: {}",
        12,
        35,
        "'b.png' is nothing of this test",
        "",
    ),
}


@pytest.mark.parametrize("name", BROKEN)
def test_what_is_wrong_with_a_test_is_said_at_its_place(name, tmp_path):
    body, line, column, message, hint = BROKEN[name]
    indented = "".join(f"    {each}\n" for each in body.splitlines())
    path = tmp_path / "rules.yaml"
    path.write_text(f"{HEAD}tests:\n  - name: a\n{indented}", encoding="utf-8")
    with pytest.raises(ConfigError) as caught:
        read_configuration(path, resolve_secrets=False)
    [problem] = caught.value.problems
    assert (problem.line, problem.column) == (line, column), problem.render()
    assert message in problem.message
    assert hint in problem.hint


def test_the_tests_of_a_rule_are_no_part_of_what_it_means(tmp_path):
    path = tmp_path / "rules.yaml"
    revisions = []
    for tests in ("", "    tests: [{name: a, expect: {}}]\n"):
        path.write_text(HEAD + tests, encoding="utf-8")
        [rule] = read_configuration(path, resolve_secrets=False).rules.rules
        revisions.append((rule.revision, rule.definition))
    assert revisions[0] == revisions[1]


@pytest.mark.parametrize("name", ["rules.example.yaml"])
def test_the_rules_that_ship_pass_their_tests(name):
    with Rehearsal(Path(__file__).parents[2] / name) as rehearsal:
        assert {test.rules for test in rehearsal.tests} == {
            (rule.name,) for rule in rehearsal.configuration.rules.rules
        }
        for test in rehearsal.tests:
            result = rehearsal.run(test)
            assert result.passed, list(told(result))


def documented():
    """Give the YAML in the documents that has tests, with where it stands."""
    root = Path(__file__).parents[2]
    for page in sorted((root / "docs").glob("*.md")):
        text = page.read_text(encoding="utf-8")
        for found in re.finditer(r"^```yaml\n(.*?)^```", text, re.MULTILINE | re.DOTALL):
            if "\n    tests:\n" in found[1]:
                line = text[: found.start()].count("\n") + 1
                yield pytest.param(found[1], id=f"{page.name}:{line}")


@pytest.mark.parametrize("text", list(documented()))
def test_the_tests_in_the_documents_pass(text, tmp_path):
    path = tmp_path / "rules.yaml"
    path.write_text(text, encoding="utf-8")
    with Rehearsal(path) as rehearsal:
        assert rehearsal.tests
        for test in rehearsal.tests:
            result = rehearsal.run(test)
            assert result.passed, list(told(result))
