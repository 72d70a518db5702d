"""What a right file gives, and the files that are none."""

from __future__ import annotations

import json
import os
import sys
from dataclasses import replace
from pathlib import Path

import pytest
from rules_vocabulary import HEAD, KEY, VOCABULARY, AddTags, WatchFolder, check

from hydrusd.errors import ConfigError
from hydrusd.rules import (
    Position,
    RuleFault,
    Vocabulary,
    load,
    parse,
    read_plugin_folders,
    rule_from_definition,
)

EXAMPLE = """\
client:
  url: http://127.0.0.1:45869/
  access_key: ${env:KEY}      # or ${file:…}
  commit_wait: 1m30s
plugins: [mine]
rules:
  - name: import my downloads
    on:
      watch_folder: {path: inbox, include: ["*.jpg", no, 012, 2024-01-01, 1:30], settle: 1.5s}
    if: file.size > 10 * KB and file.suffix != '.gif'
    do:
      - add_file:
      - add_tags:
          my tags: ["from:inbox", "folder:{{ file.parent.name }}"]
          2: [on, 1e3, 0x1F, true]
      - trash_source
"""


@pytest.fixture
def example(tmp_path):
    (tmp_path / "mine").mkdir()
    path = tmp_path / "rules.yaml"
    path.write_text(EXAMPLE, encoding="utf-8")
    return path


def test_the_whole_of_a_file(example, tmp_path, vocabulary):
    rules = load(example, vocabulary, environ={"KEY": KEY})
    assert rules.file == example
    assert rules.plugin_folders == (tmp_path / "mine",)
    assert rules.clients["hydrus"].url == "http://127.0.0.1:45869"
    assert rules.clients["hydrus"].access_key.get_secret_value() == KEY
    assert rules.clients["hydrus"].commit_wait_seconds == 90.0
    assert rules.clients["hydrus"].timeout_seconds == 120.0

    (rule,) = rules.rules
    assert (rule.name, rule.enabled) == ("import my downloads", True)
    assert rule.position == Position(str(example), 7, 5)
    assert rule.trigger == "watch_folder"
    assert rule.condition == "file.size > 10 * KB and file.suffix != '.gif'"
    config = rule.trigger_config
    assert isinstance(config, WatchFolder)
    assert config.path == tmp_path / "inbox"
    assert config.include == ["*.jpg", "no", "012", "2024-01-01", "1:30"]
    assert config.settle == 1.5

    assert [step.action for step in rule.steps] == ["add_file", "add_tags", "trash_source"]
    assert [step.position.line for step in rule.steps] == [12, 13, 16]
    tags = rule.steps[1]
    assert isinstance(tags.config, AddTags)
    # Numbers and booleans are taken as they were written where text is meant.
    assert tags.raw == {
        "my tags": ["from:inbox", "folder:{{ file.parent.name }}"],
        "2": ["on", "1e3", "0x1F", "true"],
    }
    assert tags.config.model_extra == tags.raw
    assert rule.steps[0].raw == rule.steps[2].raw == {}


def test_a_revision_is_the_meaning_and_not_the_writing(read):
    def revision(on, do, extra=""):
        text = f"{HEAD}rules:\n  - name: r\n    {extra}\n    on: {on}\n    do: {do}\n"
        return read(text).rules[0].revision

    written = revision("{watch_folder: {path: a, settle: 2s}}", "[{add_file: }, trash_source]")
    assert written == revision(
        "\n      # a comment\n      watch_folder:\n        'settle': \"2s\"\n        path: a",
        "[{add_file: {}}, {trash_source: null}]",
        extra="enabled: false",
    )
    assert len({
        written,
        revision("{watch_folder: {path: b, settle: 2s}}", "[{add_file: }, trash_source]"),
        revision("{watch_folder: {path: a, settle: 2s}}", "[trash_source, {add_file: }]"),
        revision("{watch_folder: {path: a, settle: 2s}}", "[{add_file: }, trash_source]", "if: a"),
    }) == 4  # fmt: skip


def test_a_rule_is_rebuilt_from_its_definition(example, tmp_path, vocabulary):
    rule = load(example, vocabulary, environ={"KEY": KEY}).rules[0]
    rebuilt = rule_from_definition(rule.name, rule.definition, vocabulary, folder=tmp_path)
    nowhere = Position("rule 'import my downloads' as stored", 0, 0)
    assert rebuilt == replace(
        rule,
        position=nowhere,
        body=tuple(replace(step, position=nowhere) for step in rule.body),
    )
    assert set(json.loads(rule.definition)) == {"on", "if", "do"}


def test_a_definition_that_is_no_longer_understood(vocabulary):
    def problems(definition):
        with pytest.raises(ConfigError) as caught:
            rule_from_definition("r", definition, vocabulary)
        return [problem.render().split("\n")[0] for problem in caught.value.problems]

    assert problems('{"on":{"startup":{}},"do":[{"gone":{}}]}') == [
        "rule 'r' as stored: there is no action 'gone'"
    ]
    assert problems('{"on":{"watch_folder":{"path":"x"}},"do":[{"add_file":{}}]}') == [
        "rule 'r' as stored: 'path' is a relative path, and it is not known from where"
    ]
    assert problems("{") == ["rule 'r' as stored: the stored definition is damaged"]


def test_a_disabled_rule_is_read_and_checked(read, problems):
    text = f"{HEAD}rules:\n  - {{name: 7, enabled: false, on: startup, do: [add_file]}}\n"
    (rule,) = read(text).rules
    assert (rule.name, rule.enabled) == ("7", False)
    assert problems(text.replace("add_file", "add_fool"))[0].hint == "did you mean 'add_file'?"


def test_all_problems_are_told_at_once_in_the_order_of_the_file(problems):
    text = """\
rules:
  - name: one
    on: {watch_folder: {pth: a, settle: 2, include: x}}
    if: a ?
    do:
      - add_tags: {a: ["{{ ? }}", {}]}
      - ad_file:
  - name: one
    on: startup
    do: [add_file]
client:
  url: nowhere
  access_key: ${env:NOT}
"""
    found = problems(text)
    assert [(problem.line, problem.column) for problem in found] == [
        (3, 25), (3, 41), (3, 53), (4, 11), (6, 28), (6, 35), (7, 9), (8, 11), (12, 8), (13, 15),
    ]  # fmt: skip


def test_more_than_a_hundred_problems_are_counted(problems):
    found = problems(f"{HEAD}rules: []\n" + "".join(f"key{n}: 1\n" for n in range(150)))
    assert len(found) == 101
    assert found[-1].message == "… and 50 more problems"


def test_the_caller_checks_whole_rules():
    seen = []

    def check_rule(rule):
        seen.append(rule.name)
        return [
            RuleFault(("do", 1), "the source is gone by then", "put it last"),
            RuleFault(("on",), "too slow"),
            RuleFault(("do", 0, "add_tags", "a"), "no such service"),
        ]

    vocabulary = Vocabulary(
        VOCABULARY.triggers, VOCABULARY.actions, check, check, check_rule=check_rule
    )
    text = f"""{HEAD}rules:
  - name: good
    on: startup
    do:
      - add_tags: {{a: [b]}}
      - trash_source
  - name: bad
    on: startup
    do: [nothing]
"""
    with pytest.raises(ConfigError) as caught:
        parse(text, vocabulary, file="r.yaml", environ={"KEY": KEY})
    assert seen == ["good"]
    assert [(p.place, p.message, p.hint) for p in caught.value.problems] == [
        ("r.yaml:6:5", "too slow", ""),
        ("r.yaml:8:20", "no such service", ""),
        ("r.yaml:9:9", "the source is gone by then", "put it last"),
        ("r.yaml:12:10", "there is no action 'nothing'", caught.value.problems[3].hint),
    ]


def test_anchors_aliases_and_merge_keys(read, problems):
    text = f"""{HEAD}x-common:
  watch: &watch {{path: a, settle: 5s}}
  tags: &tags [one, two]
rules:
  - name: r
    on:
      watch_folder: {{<<: *watch, path: b}}
    do:
      - add_tags: {{mine: *tags}}
"""
    (rule,) = read(text).rules
    assert json.loads(rule.definition) == {
        "on": {"watch_folder": {"path": "b", "settle": "5s"}},
        "if": None,
        "do": [{"add_tags": {"mine": ["one", "two"]}}],
    }
    # What comes from elsewhere is wrong where it is written.
    (problem,) = problems(text.replace("5s", "5x"))
    assert (problem.line, problem.column) == (5, 35)


def test_the_place_in_a_text_is_found_in_every_kind_of_text(problems):
    text = f"""{HEAD}rules:
  - name: r
    on: startup
    do:
      - add_tags:
          a:
            - plain {{{{ ? }}}}
            - 'single {{{{ ? }}}}'
            - "double {{{{ ? }}}}"
            - |
              block
                {{{{ ? }}}}
            - "escaped \\t {{{{ ? }}}}"
"""
    places = [(problem.line, problem.column) for problem in problems(text)]
    # Only where the source does not show the text as it is, the text's own place is given.
    assert places == [(10, 24), (11, 26), (12, 26), (15, 20), (16, 15)]


def test_the_caret_stands_under_the_character(problems):
    (found,) = problems(f"{HEAD}rules: []\n'\U0001f408é日': 1\n")
    assert found.render().split("\n")[1:3] == ["    '\U0001f408é日': 1", "    ^"]
    step = '      - add_tags: {a: ["é\t", {}]}'
    (found,) = problems(f"{HEAD}rules:\n  - name: r\n    on: startup\n    do:\n{step}\n")
    shown, caret = found.render().split("\n")[1:3]
    assert caret.index("^") == shown.index("{}")
    assert caret[: caret.index("^")].count("\t") == 1


def test_a_long_line_is_cut_and_a_place_beyond_it_has_no_excerpt(problems):
    long = "x" * 500
    early, late = problems(f"{HEAD}rules: []\nnope: [{long}]\nplugins: [{long}, [a]]\n")[:2]
    assert len(early.excerpt) == 240
    assert late.column < 240
    assert problems(f"{HEAD}rules: []\nplugins: [., {long}, [a]]\n")[-1].excerpt == ""


def test_the_terminal_is_not_commanded(problems):
    (found,) = problems(f'{HEAD}rules: []\n"\\e[31mred": 1\n')
    assert found.message == "there is no '\ufffd[31mred' here"


# -- files --------------------------------------------------------------------------


def only_problem(path, vocabulary=VOCABULARY):
    with pytest.raises(ConfigError) as caught:
        load(path, vocabulary, environ={})
    (problem,) = caught.value.problems
    assert read_plugin_folders(path) == ()
    return problem.render().removeprefix(str(path))


def test_files_that_are_none(tmp_path):
    path = tmp_path / "rules.yaml"
    assert only_problem(path).startswith(": there is no such file")
    path.mkdir()
    assert only_problem(path).startswith(": this is a folder")
    path = tmp_path / "other.yaml"
    path.write_bytes("name: é\n".encode("utf-16"))
    assert only_problem(path).startswith(":1:1: the file is not UTF-8 text")
    path.write_bytes(b"\xef\xbb\xbfa: b\nc: \xff\n")
    assert only_problem(path).startswith(":2:4: the file is not UTF-8 text")
    path.write_bytes(b"# " + b"x" * 1024 * 1024)
    assert only_problem(path).startswith(": the file is larger than 1 MiB")
    path.write_bytes(b"\x00\x01\x02")
    assert only_problem(path).startswith(":1:1: the file holds a NUL character")


def test_a_byte_order_mark_is_no_character(example, vocabulary):
    example.write_bytes(b"\xef\xbb\xbf" + EXAMPLE.encode())
    assert load(example, vocabulary, environ={"KEY": KEY}).rules[0].position.line == 7
    example.write_bytes(b"\xef\xbb\xbf" + b"nope: 1\n")
    with pytest.raises(ConfigError) as caught:
        load(example, vocabulary, environ={})
    assert caught.value.problems[0].column == 1


def test_a_file_that_must_not_be_read(tmp_path, monkeypatch):
    path = tmp_path / "rules.yaml"
    path.write_text("a: b")
    # Root may read everything, so the refusal is the system's own words, raised here.
    monkeypatch.setattr(Path, "open", lambda *_: (_ for _ in ()).throw(PermissionError(13, "no")))
    assert only_problem(path) == ": the file cannot be read: no"


if sys.platform != "win32":

    def test_a_pipe_is_not_waited_for(tmp_path):
        path = tmp_path / "rules.yaml"
        os.mkfifo(path)
        assert only_problem(path).startswith(": this is not a file")


def test_plugin_folders_are_read_before_anything_is_known(example, tmp_path):
    assert read_plugin_folders(example) == (tmp_path / "mine",)
    example.write_text("plugins: [mine, 3, /abs, '']\nrules: nonsense\n")
    assert read_plugin_folders(example) == (tmp_path / "mine", tmp_path / "/abs")
    example.write_text("plugins: mine\n")
    assert read_plugin_folders(example) == (tmp_path / "mine",)
    example.write_text("plugins: [")
    assert read_plugin_folders(example) == ()


def test_a_plugin_folder_that_is_missing(problems, tmp_path):
    (tmp_path / "file").write_text("")
    found = problems(f"{HEAD}rules: []\nplugins: [nowhere, 3, file]\n")
    assert [(problem.column, problem.message) for problem in found] == [
        (11, f"there is no folder {tmp_path / 'nowhere'}"),
        (20, "this must be the path of a folder"),
        (23, f"there is no folder {tmp_path / 'file'}"),
    ]
