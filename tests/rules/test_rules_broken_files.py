"""Files that are wrong in one way each, and what is said about them."""

from __future__ import annotations

from itertools import pairwise

import pytest
from rules_vocabulary import HEAD


def rule(body):
    return f"{HEAD}rules:\n  - name: r\n{body}"


def do(step):
    return rule(f"    on: startup\n    do:\n{step}")


CLIENTS = """\
clients:
  main: {url: 'http://127.0.0.1:1', access_key: '${env:KEY}'}
  nas: {url: 'http://127.0.0.1:2', access_key: '${env:KEY}'}
"""
# name: (the file, [(line, column, message)])
BROKEN = {
    "empty": ("", [(0, 0, "the file is empty")]),
    "comment_only": ("# nothing\n", [(0, 0, "the file is empty")]),
    "a_list": ("- a\n", [(1, 1, "a rules file is a mapping")]),
    "a_text": ("hello", [(1, 1, "a rules file is a mapping")]),
    "nul": ("a: \x00", [(1, 4, "the file holds a NUL character")]),
    "control": ("a: b\x07c", [(1, 5, "the character U+0007 cannot stand in YAML")]),
    "no_client": ("rules: []\n", [(1, 1, "'client' is missing")]),
    "no_rules": (HEAD, [(1, 1, "'rules' is missing")]),
    "client_empty": ("client:\nrules: []\n", [(1, 8, "'client' must be a mapping")]),
    "client_misspelt": (
        "clinet:\n  url: http://a\nrules: []\n",
        [(1, 1, "there is no 'clinet' here")],
    ),
    "unknown_top": (HEAD + "rule: []\n", [(4, 1, "there is no 'rule' here")]),
    "rules_mapping": (HEAD + "rules:\n  name: x\n", [(5, 3, "'rules' must be a list")]),
    "rules_empty": (HEAD + "rules:\n", [(4, 7, "'rules' must be a list")]),
    "url_missing": ("client:\n  access_key: ${env:KEY}\nrules: []\n", [(1, 1, "'url' is missing")]),
    "url_scheme": (
        "client:\n  url: 127.0.0.1:45869\n  access_key: ${env:KEY}\nrules: []\n",
        [(2, 8, "'url' must begin with http:// or https://")],
    ),
    "url_host": (
        "client:\n  url: http://\n  access_key: ${env:KEY}\nrules: []\n",
        [(2, 8, "'url' names no host")],
    ),
    "url_port": (
        "client:\n  url: http://a:b\n  access_key: ${env:KEY}\nrules: []\n",
        [(2, 8, "'url' is not an address")],
    ),
    "url_user": (
        "client:\n  url: http://me:secretword@a\n  access_key: ${env:KEY}\nrules: []\n",
        [(2, 8, "'url' must not hold a user or a password")],
    ),
    "timeout": (
        "client:\n  url: http://a\n  access_key: ${env:KEY}\n  timeout: 30\nrules: []\n",
        [(4, 12, "'timeout': 30 has no unit")],
    ),
    "client_unknown": (
        "client:\n  url: http://a\n  access_key: ${env:KEY}\n  timout: 30s\nrules: []\n",
        [(4, 3, "there is no 'timout' here")],
    ),
    "duplicate": (
        HEAD + "rules: []\nclient: {}\n",
        [(5, 1, "'client' is here twice: also in line 1, column 1")],
    ),
    "duplicate_param": (
        rule("    on:\n      watch_folder: {path: a, path: b}\n    do: [add_file]\n"),
        [(7, 31, "'path' is here twice: also in line 7, column 22")],
    ),
    "tab": (HEAD + "rules:\n\t- name: x\n", [(5, 1, "a tab: YAML is indented with spaces")]),
    "colon": (HEAD + "rules:\n  - name: a: b\n", [(5, 12, "a ':' is not allowed here")]),
    "quote": (
        HEAD + "rules:\n  - name: 'a\n    on: startup\n",
        [(5, 11, "a quote is opened here and not closed")],
    ),
    "bracket": (
        HEAD + "rules:\n  - name: r\n    on: {watch_folder: {include: [a, b}}\n",
        [(6, 34, "the list that begins here is not closed, or a ',' is missing")],
    ),
    "indent": (
        HEAD + "rules:\n  - name: r\n   on: startup\n",
        [(6, 4, "this does not fit what stands above it")],
    ),
    "star": (
        rule("    on:\n      watch_folder: {path: a, include: [*.jpg]}\n"),
        [(7, 41, "text that begins with '*' needs quotes")],
    ),
    "percent": (HEAD + "rules:\n  - name: %x\n", [(5, 11, "text cannot begin with '%'")]),
    "at": (HEAD + "rules:\n  - name: @x\n", [(5, 11, "text cannot begin with '@'")]),
    "escape": (
        HEAD + 'rules:\n  - name: "C:\\Downloads"\n',
        [(5, 15, "'\\D' means nothing in double quotes")],
    ),
    "backslash": (
        do('      - move_source: {to: "C:\\temp"}\n'),
        [(8, 27, "'to' must be a path: this holds a special character")],
    ),
    "alias": (HEAD + "rules: *x\n", [(4, 8, "there is no '&x' for this '*x'")]),
    "tag": (
        HEAD + "rules: !!python/object:os.system ls\n",
        [(4, 8, "the tag !!python/object:os.system cannot be used in a rules file")],
    ),
    "second": (HEAD + "rules: []\n---\na: b\n", [(5, 1, "the file should end here")]),
    "braces": (
        do("      - add_tags:\n          a: {{ file.name }}\n"),
        [(9, 14, "YAML reads '{{' as the start of a mapping")],
    ),
    "braces_list": (
        do("      - add_tags:\n          a: [ {{ x }} ]\n"),
        [(9, 16, "YAML reads '{{' as the start of a mapping")],
    ),
    "nokeycolon": (
        HEAD + "rules:\n  - name: r\n    on\n    do: []\n",
        [(6, 5, "a ':' is missing after this")],
    ),
    "nested": ("a: " + "[" * 60, [(1, 53, "nested deeper than 50")]),
    "complexkey": (
        "? [a]\n: b\n",
        [(1, 1, "'client' is missing"), (1, 1, "'rules' is missing"), (1, 3, "a key must be text")],
    ),
    "surrogate": (
        'a: "\\ud800"\n',
        [
            (1, 1, "there is no 'a' here"),
            (1, 1, "'client' is missing"),
            (1, 1, "'rules' is missing"),
            (1, 4, "this holds half a character"),
        ],
    ),
    "recursive": (HEAD + "rules: &r [*r]\n", [(4, 8, "this refers to itself")]),
    "merge": (
        HEAD + "rules: []\n<<: [1]\n",
        [(5, 6, "'<<' takes in the keys of a mapping; this is none")],
    ),
    "rule_text": (HEAD + "rules:\n  - add_file\n", [(5, 5, "a rule is a mapping")]),
    "no_name": (
        HEAD + "rules:\n  - on: startup\n    do: [add_file]\n",
        [(5, 5, "'name' is missing")],
    ),
    "name_empty": (
        HEAD + "rules:\n  - name:\n    on: startup\n    do: [add_file]\n",
        [(5, 10, "'name' must be text")],
    ),
    "name_twice": (
        HEAD + "rules:\n" + "  - name: a\n    on: startup\n    do: [add_file]\n" * 2,
        [(8, 11, "there is another rule called 'a'")],
    ),
    "no_on": (rule("    do: [add_file]\n"), [(5, 5, "'on' is missing")]),
    "no_do": (rule("    on: startup\n"), [(5, 5, "'do' is missing")]),
    "on_two": (
        rule("    on:\n      startup:\n      watch_folder: {path: a}\n    do: [add_file]\n"),
        [(8, 7, "'on' names 2 triggers; a rule has one")],
    ),
    "on_empty": (rule("    on:\n    do: [add_file]\n"), [(6, 8, "'on' must name a trigger")]),
    "on_unknown": (
        rule("    on:\n      watchfolder: {path: a}\n    do: [add_file]\n"),
        [(7, 7, "there is no trigger 'watchfolder'")],
    ),
    "on_list": (
        rule("    on: [startup]\n    do: [add_file]\n"),
        [(6, 9, "'on' must name a trigger")],
    ),
    "unknown_key": (
        rule("    on: startup\n    when: x\n    do: [add_file]\n"),
        [(7, 5, "there is no 'when' here")],
    ),
    "do_empty": (
        rule("    on: startup\n    do: []\n"),
        [(7, 9, "'do' is empty: this rule would do nothing")],
    ),
    "do_mapping": (
        rule("    on: startup\n    do:\n      add_file:\n      add_tags: {a: [b]}\n"),
        [(8, 7, "'do' must be a list of steps")],
    ),
    "enabled": (
        rule("    on: startup\n    enabled: no\n    do: [add_file]\n"),
        [(7, 14, "'enabled' must be true or false")],
    ),
    "if_list": (
        rule("    on: startup\n    if: [a]\n    do: [add_file]\n"),
        [(7, 9, "'if' must be a condition")],
    ),
    "if_wrong": (
        rule("    on: startup\n    if: file.size ? 3\n    do: [add_file]\n"),
        [(7, 19, "a '?' means nothing")],
    ),
    "if_block": (
        rule("    on: startup\n    if: |\n      a and\n        b ?\n    do: [add_file]\n"),
        [(9, 11, "a '?' means nothing")],
    ),
    "if_quoted": (
        rule("    on: startup\n    if: 'a ?'\n    do: [add_file]\n"),
        [(7, 12, "a '?' means nothing")],
    ),
    "if_folded": (
        rule("    on: startup\n    if: a\n      and ?\n    do: [add_file]\n"),
        [(7, 9, "a '?' means nothing")],
    ),
    "action_unknown": (do("      - add_flie:\n"), [(8, 9, "there is no action 'add_flie'")]),
    "action_text": (do("      - add_flie\n"), [(8, 9, "there is no action 'add_flie'")]),
    "two_keys": (
        do("      - add_file:\n        add_tags: {a: [b]}\n"),
        [(9, 9, "a step names one action, this one 2")],
    ),
    "unindented": (
        do("      - add_tags:\n        my tags: [b]\n"),
        [(9, 9, "a step names one action, this one 2")],
    ),
    "step_empty": (do("      -\n"), [(8, 8, "a step names an action")]),
    "step_list": (do("      - [add_file]\n"), [(8, 9, "a step names an action")]),
    "params_text": (
        do("      - move_source: /x\n"),
        [(8, 22, "the parameters of 'move_source' must be a mapping")],
    ),
    "param_missing": (do("      - move_source:\n"), [(8, 9, "'to' is missing")]),
    "param_unknown": (
        do("      - move_source: {to: a, lrger_than: 3}\n"),
        [(8, 30, "there is no 'lrger_than' here")],
    ),
    "param_misspelt": (do("      - move_source: {too: a}\n"), [(8, 23, "there is no 'too' here")]),
    "int": (
        do("      - move_source: {to: a, attempts: many}\n"),
        [(8, 40, "'attempts' must be a whole number, not 'many'")],
    ),
    "limit": (
        do("      - move_source: {to: a, attempts: 11}\n"),
        [(8, 40, "'attempts' must be at most 10, not 11")],
    ),
    "size": (
        do("      - move_source: {to: a, larger_than: 5 XB}\n"),
        [(8, 43, "'larger_than': '5 XB' is no size")],
    ),
    "path": (do("      - move_source: {to: [a]}\n"), [(8, 27, "'to' must be a path")]),
    "path_empty": (
        do("      - move_source: {to: ''}\n"),
        [(8, 27, "'to' must be a path, not an empty text")],
    ),
    "union": (
        do("      - move_source: {to: a, names: {b: c}}\n"),
        [(8, 37, "'names' must be text or a list, not a mapping")],
    ),
    "union_deep": (
        do("      - move_source: {to: a, names: [b, {c: d}]}\n"),
        [(8, 41, "'names[2]' must be text, not a mapping")],
    ),
    "value": (
        do("      - move_source: {to: a, code: a b}\n"),
        [(8, 36, "'code': 'code' must hold no {spaces}")],
    ),
    "extra": (
        do("      - add_tags:\n          one: [a]\n          two: b\n"),
        [(10, 16, "'two' must be a list, not 'b'")],
    ),
    "extra_item": (
        do("      - add_tags:\n          one: [a, [b]]\n"),
        [(9, 20, "'one[2]' must be text, not a list")],
    ),
    "null_item": (
        do("      - add_tags:\n          one:\n            - a\n            -\n"),
        [(11, 14, "'one[2]' must be text, not empty")],
    ),
    "plugin": (
        do("      - faulty: {value: x}\n"),
        [(8, 9, "this could not be checked: RuntimeError: boom: x")],
    ),
    "literal": (
        rule("    on: {watch_folder: {path: a, method: pol}}\n    do: [add_file]\n"),
        [(6, 42, "'method' must be one of 'auto', 'native' or 'poll', not 'pol'")],
    ),
    "boolean": (
        rule("    on: {watch_folder: {path: a, recursive: maybe}}\n    do: [add_file]\n"),
        [(6, 45, "'recursive' must be true or false, not 'maybe'")],
    ),
    "list": (
        rule("    on: {watch_folder: {path: a, include: '*.jpg'}}\n    do: [add_file]\n"),
        [(6, 43, "'include' must be a list, not '*.jpg'")],
    ),
    "duration": (
        rule("    on: {watch_folder: {path: a, settle: 2}}\n    do: [add_file]\n"),
        [(6, 42, "'settle': 2 has no unit")],
    ),
    "duration2": (
        rule("    on: {watch_folder: {path: a, settle: soon}}\n    do: [add_file]\n"),
        [(6, 42, "'settle': 'soon' is no duration")],
    ),
    "template": (
        do("      - add_tags:\n          one: [ok, 'é{{ ? }}']\n"),
        [(9, 26, "a '?' means nothing")],
    ),
    "template_block": (
        do(
            "      - add_tags:\n          one:\n"
            "            - |-\n              first\n              {{ ? }}\n"
        ),
        [(12, 18, "a '?' means nothing")],
    ),
    "plugins": (
        HEAD + "plugins: {a: b}\nrules: []\n",
        [(4, 10, "'plugins' must be a list of folders")],
    ),
    "unicode": (
        do("      - add_tags: {'日本': ['猫', {a: b}]}\n"),
        [(8, 32, "'日本[2]' must be text, not a mapping")],
    ),
    "tabs": (
        do('      - add_tags: {a: ["x\ty", {c: d}]}\n'),
        [(8, 31, "'a[2]' must be text, not a mapping")],
    ),
    "crlf": (
        (HEAD + "rules:\n  - nam: x\n").replace("\n", "\r\n"),
        [(5, 5, "there is no 'nam' here"), (5, 5, "'on' is missing"), (5, 5, "'do' is missing")],
    ),
    "dash_no_space": (
        HEAD + "rules:\n  -name: r\n    on: startup\n",
        [(6, 7, "a ':' is not allowed here")],
    ),
    "flow_tab": (
        rule("    on:\tstartup\n    do:\n\t- add_file\n"),
        [(6, 8, "a tab: YAML is indented with spaces")],
    ),
    "block_text": (
        do("      - add_tags:\n          a:\n            - |\n           short\n"),
        [(11, 12, "this does not fit what stands above it")],
    ),
    "deeper_key": (
        HEAD + "rules:\n  - name: r\n      on: startup\n",
        [(6, 9, "a ':' is not allowed here")],
    ),
    "brace_open": (
        rule("    on: {watch_folder: {path: a}\n    do: [add_file]\n"),
        [(6, 9, "the mapping that begins here is not closed, or a ',' is missing")],
    ),
    "anchor_twice": (
        HEAD + "x-a: &a 1\nx-b: &a 2\nrules: *a\n",
        [(5, 6, "the name '&a' is used twice")],
    ),
    "anchor_text": (
        HEAD + "rules:\n  - name: &\n",
        [(5, 11, "text that begins with '&' needs quotes")],
    ),
    "number_key": (HEAD + "1: 2\nrules: []\n", [(4, 1, "there is no '1' here")]),
    "binary_tag": (
        HEAD + "rules:\n  - name: !!binary aGk=\n    on: startup\n    do: [add_file]\n",
        [(5, 11, "the tag !!binary cannot be used in a rules file")],
    ),
    "int_tag": (
        rule("    on: startup\n    limits: {per_hour: !!int many}\n    do: [add_file]\n"),
        [(7, 24, "'many' is not of the kind !!int")],
    ),
    "directive": ("%FOO bar\n" + HEAD + "rules: []\n", [(2, 1, "the file should end here")]),
    "limits_zero": (
        rule("    on: startup\n    limits: {per_hour: 0}\n    do: [add_file]\n"),
        [(7, 24, "'per_hour' must be at least 1, not 0")],
    ),
    "limits_word": (
        rule("    on: startup\n    limits: lots\n    do: [add_file]\n"),
        [(7, 13, "'limits' must be a mapping")],
    ),
    "limits_misspelt": (
        rule("    on: startup\n    limits: {per_our: 3}\n    do: [add_file]\n"),
        [(7, 14, "there is no 'per_our' here")],
    ),
    "history_unit": (
        HEAD + "history: {keep: 90}\nrules: []\n",
        [(4, 17, "'keep': 90 has no unit")],
    ),
    "history_short": (
        HEAD + "history: {keep: 3h}\nrules: []\n",
        [(4, 17, "'keep' must be a day or more")],
    ),
    "backups_often": (
        HEAD + "backups: {every: 5m}\nrules: []\n",
        [(4, 18, "'every': it must be at least 1h")],
    ),
    "backups_many": (
        HEAD + "backups: {keep: 1000}\nrules: []\n",
        [(4, 17, "'keep' must be at most 100, not 1000")],
    ),
    "clients_both": (
        HEAD + "clients: {}\nrules: []\n",
        [(1, 1, "there are 'client' and 'clients'; one of them is too many")],
    ),
    "client_name": (
        "clients:\n  Main One: {url: 'http://a', access_key: '${env:KEY}'}\nrules: []\n",
        [(2, 3, "'Main One' is no name for a client")],
    ),
    "client_of_rule": (
        CLIENTS + "rules:\n  - name: r\n    client: nsa\n    on: startup\n    do: [add_file]\n",
        [(6, 13, "there is no client 'nsa'")],
    ),
    "client_not_said": (
        CLIENTS + "rules:\n  - name: r\n    on: startup\n    do: [add_file]\n",
        [(5, 5, "'client' is missing")],
    ),
    "key_short": (
        "client:\n  url: http://127.0.0.1:1\n  access_key: 0123abcd\nrules: []\n",
        [(3, 15, "this is not an access key: it has 8 characters")],
    ),
    "key_of_nothing": (
        "client:\n  url: http://127.0.0.1:1\n  access_key: ${env:}\nrules: []\n",
        [(3, 15, "${env:…} names nothing")],
    ),
    "key_kind": (
        "client:\n  url: http://127.0.0.1:1\n  access_key: ${vault:x}\nrules: []\n",
        [(3, 15, "there is no kind of secret called 'vault'")],
    ),
    "size_negative": (
        do("      - move_source: {to: a, larger_than: -5}\n"),
        [(8, 43, "'larger_than' must not be negative")],
    ),
    "size_list": (
        do("      - move_source: {to: a, larger_than: [5]}\n"),
        [(8, 43, "'larger_than' must be a size")],
    ),
    "duration_long": (
        rule("    on: {watch_folder: {path: a, settle: 40000d}}\n    do: [add_file]\n"),
        [(6, 42, "'settle' is longer than ten years")],
    ),
    "duration_comma": (
        rule("    on: {watch_folder: {path: a, settle: '1,5s'}}\n    do: [add_file]\n"),
        [(6, 42, "'settle': '1,5s' is no duration")],
    ),
    "fraction": (
        do("      - move_source: {to: a, attempts: 1.5}\n"),
        [(8, 40, "'attempts' must be a whole number, not 1.5")],
    ),
    "list_empty": (
        rule(
            "    on:\n      watch_folder:\n        path: a\n        include:\n    do: [add_file]\n"
        ),
        [(9, 17, "'include' must be a list, not empty")],
    ),
    "enabled_text": (
        rule("    on: startup\n    enabled: 'true'\n    do: [add_file]\n"),
        [(7, 14, "'enabled' must be true or false")],
    ),
    "name_long": (
        HEAD + f"rules:\n  - name: {'x' * 201}\n    on: startup\n    do: [add_file]\n",
        [(5, 11, "'name' must be one line of at most 200 characters")],
    ),
    "name_lines": (
        HEAD + "rules:\n  - name: |\n      a\n      b\n    on: startup\n    do: [add_file]\n",
        [(5, 11, "'name' must be one line of at most 200 characters")],
    ),
    "allow_unknown": (
        HEAD + "allow: [add_file]\nrules: []\n",
        [(4, 9, "this is no action that needs to be allowed")],
    ),
    "merge_unknown": (
        HEAD + "rules: []\n<<: *nothing\n",
        [(5, 5, "there is no '&nothing' for this '*nothing'")],
    ),
    "step_twice": (
        do("      - move_source: {to: a}\n        move_source: {to: b}\n"),
        [(9, 9, "'move_source' is here twice: also in line 8, column 9")],
    ),
    "behind_a_list": (
        rule("    on: startup\n    do: [add_file] add_tags\n"),
        [(7, 20, "this does not fit what stands above it")],
    ),
    "colon_in_tag": (
        do("      - add_tags:\n          a: creator: me\n"),
        [(9, 21, "a ':' is not allowed here")],
    ),
    "behind_a_quote": (
        HEAD + 'rules:\n  - name: "a" b\n    on: startup\n',
        [(5, 15, "this does not fit what stands above it")],
    ),
    "comment_in_list": (
        do("      - add_tags: {a: [x, #y]}\n"),
        [(8, 31, "the file ends, and a list or mapping is still open")],
    ),
    "unindented_do": (
        rule("    on: startup\n    do:\n    add_file:\n"),
        [(7, 8, "'do' must be a list of steps"), (8, 5, "there is no 'add_file' here")],
    ),
    "list_under_on": (
        rule("    on:\n      - startup\n    do: [add_file]\n"),
        [(7, 7, "'on' must name a trigger")],
    ),
    "special_space": (
        HEAD + "rules:\n\u00a0\u00a0- name: r\n",
        [(4, 7, "'rules' must be a list"), (5, 1, "there is no '\xa0\xa0- name' here")],
    ),
    "at_end": (
        HEAD + "rules:\n  - name: [a\n\n\n",
        [(5, 11, "the list that begins here is not closed, or a ',' is missing")],
    ),
}
BROKEN["bomb"] = (
    "x-a: &a [lol, lol, lol, lol, lol, lol, lol, lol, lol]\n"
    + "".join(
        f"x-{name}: &{name} [{', '.join([f'*{before}'] * 9)}]\n"
        for before, name in pairwise("abcdefg")
    )
    + f"{HEAD}rules: []\n",
    [(1, 15, "more than 100,000 values")],
)


def test_there_are_enough_and_all_are_different():
    assert len(BROKEN) >= 60
    assert len({text for text, _ in BROKEN.values()}) == len(BROKEN)


@pytest.mark.parametrize(("text", "expected"), BROKEN.values(), ids=BROKEN.keys())
def test_a_broken_file(problems, text, expected):
    found = problems(text)
    assert [(problem.line, problem.column, problem.message) for problem in found] == expected
    for problem in found:
        if problem.line:
            line = text.replace("\r\n", "\n").split("\n")[problem.line - 1]
            assert problem.excerpt.rstrip("\r")[: problem.column - 1] == line[: problem.column - 1]


@pytest.mark.parametrize(
    ("name", "hint"),
    [
        ("client_misspelt", "did you mean 'client'?"),
        ("on_unknown", "did you mean 'watch_folder'?"),
        ("action_unknown", "did you mean 'add_file'?"),
        ("param_unknown", "did you mean 'larger_than'?"),
        ("literal", "did you mean 'poll'?"),
        (
            "unknown_key",
            (
                "there are: allowed, client, cooldown, do, enabled, if, limits, mode, name, on, "
                "priority, tests, vars"
            ),
        ),
        ("two_keys", "begin a step of its own: '- add_tags:'"),
        ("unindented", "indent 'my tags' further if it belongs to 'add_tags'"),
        ("duration", "write it with its unit, as in 500ms, 2s, 15m, 1h30m or 1d"),
        ("star", "write '*.jpg' with the quotes"),
        ("braces", 'put the whole text in quotes, as in "{{ file.name }}"'),
        ("backslash", "in double quotes a backslash begins one; write the path in single quotes"),
        ("comment_in_list", "' #' begins a comment: text with a # in it needs quotes"),
        ("special_space", "begin each rule with '- name: …'"),
        ("limits_misspelt", "did you mean 'per_hour'?"),
        ("client_of_rule", "did you mean 'nas'?"),
        ("history_short", "as in 90d, or forever"),
        ("plugin", "this is a fault of the plugin that brought it"),
    ],
)
def test_the_hint_says_what_to_do(problems, name, hint):
    assert problems(BROKEN[name][0])[0].hint == hint
