"""Blueprints, defaults and variables: what is written once, and where it is wrong."""

from __future__ import annotations

import json
from dataclasses import replace

import pytest
from hypothesis import given, settings, strategies as st
from rules_vocabulary import HEAD, KEY, VOCABULARY

from hydrusd.errors import ConfigError
from hydrusd.rules import _assembling, parse, rule_from_definition

INBOX = """\
blueprints:
  inbox:
    description: A folder whose files get a tag
    parameters:
      folder: {type: text, description: the folder to watch}
      tags: {type: list, default: []}
      least: {type: number, default: 10}
      all: {type: boolean, default: true}
    rule:
      name: import ${folder}
      on:
        watch_folder: {path: "in/${folder}", recursive: "${all}"}
      if: file.size > ${least} and file.name != ${folder}
      do:
        - add_file
        - add_tags:
            my tags: ["from:${folder}", "${tags}", "{{ file.name ~ ${folder} }}", "$${tags}"]
        - move_source: {to: done, attempts: "${least}"}
rules:
"""


def test_ten_folders_are_ten_lines(read):
    lines = [f"  - {{use: inbox, with: {{folder: f{n}, tags: [a, b]}}}}" for n in range(10)]
    rules = read(HEAD + INBOX + "\n".join(lines)).rules
    assert [rule.name for rule in rules] == [f"import f{n}" for n in range(10)]
    one = rules[3]
    assert one.trigger_config.path.parts[-2:] == ("in", "f3")
    assert one.trigger_config.recursive is True
    assert one.condition == "file.size > 10 and file.name != 'f3'"
    assert one.steps[1].raw == {
        "my tags": ["from:f3", "a", "b", "{{ file.name ~ 'f3' }}", "${tags}"]
    }
    assert one.steps[2].config.attempts == 10


def test_a_use_may_say_more_and_the_ledger_keeps_what_is_meant(read, vocabulary, tmp_path):
    use = "  - {use: inbox, name: mine, enabled: false, with: {folder: a, all: false}}\n"
    [rule] = read(HEAD + INBOX + use).rules
    assert (rule.name, rule.enabled, rule.trigger_config.recursive) == ("mine", False, False)
    assert "${" not in rule.definition.replace("${tags}", "")
    again = rule_from_definition("mine", rule.definition, vocabulary, folder=tmp_path)
    assert (again.definition, again.revision) == (rule.definition, rule.revision)


def test_a_parameter_in_an_expression_is_a_value_whatever_is_in_it(read):
    hostile = """"' or true or '\\\\ }} {{ x"'"""
    use = f"  - {{use: inbox, name: x, with: {{folder: {hostile[:-1]}}}}}\n"
    [rule] = read(HEAD + INBOX + use).rules
    assert rule.condition == r"file.size > 10 and file.name != '\' or true or \'\\ }} {{ x'"


@pytest.mark.parametrize(
    ("use", "place", "message"),
    [
        ("{use: inbxo}", (23, 11), "there is no blueprint 'inbxo'"),
        ("{use: [a]}", (23, 11), "there is no blueprint '['a']'"),
        ("{use: inbox}", (23, 11), "'folder' is missing: the blueprint 'inbox' needs it"),
        ("{use: inbox, with: [a]}", (23, 24), "'with' must be a mapping"),
        (
            "{use: inbox, with: {folder: a, tgas: []}}",
            (23, 36),
            "the blueprint 'inbox' has no parameter 'tgas'",
        ),
        ("{use: inbox, with: {folder: 7}}", (23, 33), "'folder' must be text"),
        ("{use: inbox, with: {folder: a, least: true}}", (23, 43), "'least' must be a number"),
        (
            "{use: inbox, with: {folder: a, tags: [[b]]}}",
            (23, 43),
            "'my tags[2]' must be text, not a list",
        ),
        (
            "{use: inbox, with: {folder: a, least: 99}}",
            (23, 43),
            "'attempts' must be at most 10, not 99",
        ),
        ("{use: inbox, with: {folder: a}, fi: b}", (23, 37), "there is no 'fi' here"),
    ],
)
def test_what_is_given_is_wrong_where_it_is_given(problems, use, place, message):
    [problem] = problems(HEAD + INBOX + f"  - {use}\n")
    assert ((problem.line, problem.column), problem.message) == (place, message)


@pytest.mark.parametrize(
    ("old", "new", "place", "message"),
    [
        (
            "${folder}\n      on",
            "${fodler}\n      on",
            (13, 20),
            "the blueprint has no parameter 'fodler'",
        ),
        ("- add_file\n", "- add_fiel\n", (18, 11), "there is no action 'add_fiel'"),
        (
            "!= ${folder}",
            "!= '${folder}'",
            (16, 50),
            "in an expression ${folder} stands for the whole value",
        ),
        (
            "from:${folder}",
            "from:${tags}",
            (20, 29),
            "'tags' is a list, and cannot be part of a text",
        ),
        ("recursive:", "recusrive:", (15, 46), "there is no 'recusrive' here"),
        (
            "name: import ${folder}",
            "use: inbox",
            (13, 7),
            "the rule of a blueprint cannot use a blueprint",
        ),
        ("type: boolean", "type: bool", (11, 19), "there is no type 'bool'"),
        ("parameters:", "parameter:", (7, 5), "there is no 'parameter' here"),
        ("default: 10", "default: ten", (10, 38), "'least' must be a number"),
    ],
)
def test_what_a_blueprint_says_is_wrong_where_it_says_it(problems, old, new, place, message):
    assert INBOX.count(old) == 1
    use = "  - {use: inbox, with: {folder: a}}\n"
    found = problems(HEAD + INBOX.replace(old, new) + use)
    assert ((found[0].line, found[0].column), found[0].message) == (place, message)


def test_a_mistake_in_a_blueprint_is_said_once_and_counts_each_time(vocabulary, tmp_path):
    judged = []
    strict = replace(vocabulary, check_rule=lambda rule: judged.append(rule.name) or ())
    text = HEAD + INBOX.replace("{{ file.name ~", "{{ ? ~")
    text += "".join(f"  - {{use: inbox, with: {{folder: f{n}}}}}\n" for n in range(3))
    with pytest.raises(ConfigError) as caught:
        parse(text, strict, file="rules.yaml", folder=tmp_path, environ={"KEY": KEY})
    [first, *others] = caught.value.problems
    assert first.message == "a '?' means nothing"
    assert not judged, "a rule that is wrong is not looked at as a whole"
    assert len(others) == 0


def test_a_blueprint_in_one_file_is_used_in_another(tmp_path):
    (tmp_path / "more.yaml").write_text(INBOX.replace("rules:\n", ""), encoding="utf-8")
    text = f"{HEAD}include: more.yaml\nrules:\n  - {{use: inbox, with: {{folder: a, least: 99}}}}\n"
    with pytest.raises(ConfigError) as caught:
        parse(text, VOCABULARY, file="rules.yaml", folder=tmp_path, environ={"KEY": KEY})
    [problem] = caught.value.problems
    assert problem.place == "rules.yaml:6:43"
    text = text.replace(", least: 99", "")
    more = (tmp_path / "more.yaml").read_text(encoding="utf-8").replace("- add_file", "- add_fiel")
    (tmp_path / "more.yaml").write_text(more, encoding="utf-8")
    with pytest.raises(ConfigError) as caught:
        parse(text, VOCABULARY, file="rules.yaml", folder=tmp_path, environ={"KEY": KEY})
    [problem] = caught.value.problems
    assert (problem.place, problem.excerpt) == ("more.yaml:15:11", "        - add_fiel")


def test_a_parameter_without_effect_is_doubted(read):
    text = INBOX.replace('recursive: "${all}"', "recursive: true")
    [warning] = read(HEAD + text + "  - {use: inbox, with: {folder: a}}\n").warnings
    assert warning.message == "the rule of this blueprint has no ${all}"


def test_blueprints_cannot_multiply_without_bound(problems, monkeypatch):
    monkeypatch.setattr(_assembling, "MAX_VALUES", 10_000)
    big = INBOX.replace("default: []", f"default: [{', '.join(['a'] * 3_000)}]")
    found = problems(HEAD + big + "  - {use: inbox, with: {folder: a}}\n" * 40)
    message = "by here, the rules come to more than 10,000 values"
    assert any(problem.message == message for problem in found)


DEFAULTS = """\
defaults:
  enabled: false
  on: {watch_folder: {settle: 5s, recursive: false}}
  do: {add_file: {}, move_source: {to: default, attempts: 7}}
  limits: {per_hour: 5}
rules:
  - name: a
    on: {watch_folder: {path: x, settle: 1s}}
    limits: {failures: 3}
    do:
      - add_file
      - if: "a"
        do:
          - {move_source: {attempts: 2}, if: b}
        else: [move_source]
"""


def test_defaults_hold_where_a_rule_says_nothing_else(read):
    [rule] = read(HEAD + DEFAULTS).rules
    assert not rule.enabled
    assert (rule.trigger_config.settle, rule.trigger_config.recursive) == (1.0, False)
    assert (rule.limits.per_hour, rule.limits.failures) == (5, 3)
    one, two = rule.steps[1:]
    assert (one.config.to.name, one.config.attempts, one.condition) == ("default", 2, "b")
    assert (two.config.to.name, two.config.attempts) == ("default", 7)


@pytest.mark.parametrize(
    ("old", "new", "place", "message"),
    [
        ("enabled", "name", (5, 3), "'name' can have no default"),
        ("add_file: {}", "add_fiel: {}", (7, 8), "there is no action 'add_fiel'"),
        ("add_file: {}", "add_file: 3", (7, 18), "the defaults of 'add_file' must be a mapping"),
        ("settle: 5s", "setle: 5s", (6, 23), "there is no 'setle' here"),
        ("attempts: 7", "attempts: 70", (7, 59), "'attempts' must be at most 10, not 70"),
    ],
)
def test_wrong_defaults_are_wrong_where_they_stand(problems, old, new, place, message):
    found = problems(HEAD + DEFAULTS.replace(old, new, 1))
    assert ((found[0].line, found[0].column), found[0].message) == (place, message)


def test_only_variables_that_a_rule_uses_are_part_of_it(read):
    text = f"""{HEAD}
vars:
  z: "{{{{ vars.a }}}}!"
  a: 1
  other: 2
rules:
  - name: r
    on: startup
    if: vars.z
    do: [add_file]
"""
    [rule] = read(text).rules
    assert rule.variables == (("a", 1), ("z", "{{ vars.a }}!"))
    assert json.loads(rule.definition)["vars"] == {"a": 1, "z": "{{ vars.a }}!"}
    [same] = read(text.replace("other: 2", "other: 3")).rules
    [new] = read(text.replace("a: 1", "a: 2")).rules
    assert (same.revision == rule.revision, new.revision == rule.revision) == (True, False)


@pytest.mark.parametrize(
    ("variables", "message"),
    [
        (
            "{a: '{{ vars.b }}', b: '{{ vars.a }}'}",
            "the variable 'a' uses itself, maybe by a detour",
        ),
        ("{a: '{{ vars.a }}'}", "the variable 'a' uses itself, maybe by a detour"),
        ("{a-b: 1}", "a variable is called by letters, digits and _"),
        ("[a]", "'vars' must be a mapping"),
        ("{a: '{{ ? }}'}", "a '?' means nothing"),
    ],
)
def test_what_is_wrong_with_variables_is_said(problems, variables, message):
    rule = f"rules:\n  - {{name: r, on: startup, vars: {variables}, if: vars.a, do: [add_file]}}\n"
    assert [problem.message for problem in problems(HEAD + rule)] == [message]


@pytest.mark.parametrize(
    ("steps", "message"),
    [
        ("[{if: a}]", "'do' is missing"),
        ("[{do: [add_file]}]", "'if' is missing"),
        ("[{if: a, do: []}]", "'do' is empty: leave the block out"),
        ("[{if: a, do: [add_file], esle: []}]", "there is no 'esle' here"),
        ("[{if: [a], do: [add_file]}]", "'if' must be a condition"),
        (
            "[{for_each: a, do: [add_file]}]",
            "'for_each' must be a list, or one {{ … }} that gives one",
        ),
        ("[{for_each: [a]}]", "'do' is missing"),
        ("[{for_each: [a], as: rule, do: [add_file]}]", "'as' must be a name for the item"),
        ("[{for_each: [a], if: b, do: [add_file]}]", "there is no 'if' here"),
        (f"[{{for_each: [{'a, ' * 101}], do: [add_file]}}]", "a loop goes over 100 items at most"),
        (
            "[{for_each: [a], do: [{for_each: [b], do: [{for_each: [c], do: [add_file]}]}]}]",
            "loops go 2 deep at most",
        ),
        ("[{stop: [a]}]", "'stop' may have a reason, as text"),
        ("[{add_file: {}, trash_source: {}, if: a}]", "a step names one action, this one 2"),
        ("[{add_tags: {'{{ ? }}': [a]}}]", "a '?' means nothing"),
        ("[{add_file: {}, if: '?'}]", "a '?' means nothing"),
    ],
)
def test_what_is_wrong_with_a_block_is_said(problems, steps, message):
    rule = f"rules:\n  - {{name: r, on: startup, do: {steps}}}\n"
    assert [problem.message for problem in problems(HEAD + rule)] == [message]


PIECES = st.sampled_from(
    [
        "use: b",
        "with: {p: 1}",
        "with: {p: [x]}",
        "with: {p: '${p}'}",
        "name: n",
        "on: startup",
        "do: [add_file]",
        "do: [{if: a, do: [add_file]}]",
        "do: [{for_each: [1], do: ['${p}']}]",
        "do: [stop]",
        "do: [{stop: , if: }]",
        "if: ${p}",
        "vars: {a: '{{ vars.b }}', b: '${p}'}",
        "limits: {}",
        "enabled: ${p}",
    ]
)
TOPS = st.sampled_from(
    [
        "include: rules.yaml",
        "include: [.]",
        "include: [more.yaml]",
        "vars: {a: 1}",
        "vars: 3",
        "defaults: {do: {add_file: {}}, on: {startup: }}",
        "defaults: {on: 3, do: [a], limits: 7}",
        "blueprints: {b: {parameters: [p], rule: {name: '${p}', on: startup, do: [add_file]}}}",
        "blueprints: {b: {rule: {use: b}}}",
        "blueprints: {b: {parameters: {p: {type: list}}, rule: {do: '${p}'}}}",
        "blueprints: [b]",
        "blueprints: {b: 3}",
        "blueprints: {b: {parameters: {p: 3}, rule: 3}}",
    ]
)


@settings(max_examples=150, deadline=None)
@given(
    st.lists(st.lists(PIECES, max_size=5, unique_by=lambda p: p.split(":")[0]), max_size=3),
    st.lists(TOPS, max_size=4, unique_by=lambda p: p.split(":")[0]),
    st.lists(TOPS, max_size=3, unique_by=lambda p: p.split(":")[0]),
)
def test_any_of_it_is_rules_or_problems(rules, first, second):
    """Whatever is combined: an answer, with places that are in the files."""
    listed = "".join("  - {" + ", ".join(rule) + "}\n" for rule in rules)
    files = {
        "rules.yaml": HEAD + "\n".join(first) + "\nrules:\n" + listed,
        "more.yaml": "\n".join(second) + "\nrules:\n" + listed,
    }
    FOLDER.write(files)
    try:
        parse(
            files["rules.yaml"],
            VOCABULARY,
            file="rules.yaml",
            folder=FOLDER.path,
            environ={"KEY": KEY},
        )
    except ConfigError as error:
        for problem in error.problems:
            lines = files.get(problem.file, "").count("\n") + 1
            assert 0 <= problem.line <= lines, problem
            assert problem.message
            assert problem.render()


class _Folder:
    """One folder for all examples of a test."""

    def __init__(self):
        self.path = None

    def write(self, files):
        for name, text in files.items():
            (self.path / name).write_text(text, encoding="utf-8")


FOLDER = _Folder()


@pytest.fixture(autouse=True, scope="module")
def folder_of_examples(tmp_path_factory):
    FOLDER.path = tmp_path_factory.mktemp("any")
