"""Rules from several files: one set, and every problem in the file in which it stands."""

from __future__ import annotations

from itertools import pairwise

import pytest
from rules_vocabulary import HEAD, KEY, VOCABULARY

from hydrusd.errors import ConfigError
from hydrusd.rules import load, read_sources

RULE = """\
rules:
  - name: {name}
    on: startup
    do: [add_file]
"""


@pytest.fixture
def folder(tmp_path):
    """Write files by their names, and load the first."""

    class Folder:
        path = tmp_path

        def write(self, **files):
            for name, text in files.items():
                path = tmp_path / f"{name.replace('__', '/')}.yaml"
                path.parent.mkdir(exist_ok=True)
                path.write_text(text, encoding="utf-8")
            return self

        def load(self):
            return load(tmp_path / "rules.yaml", VOCABULARY, environ={"KEY": KEY})

        def problems(self):
            with pytest.raises(ConfigError) as caught:
                self.load()
            return [
                (p.file.removeprefix(f"{tmp_path}/"), p.line, p.column, p.message)
                for p in caught.value.problems
            ]

    return Folder()


def test_files_and_folders_are_read_in_the_order_in_which_they_are_named(folder):
    folder.write(
        rules=f"{HEAD}include: [rules.d, other.yaml]\n{RULE.format(name='first')}",
        other=RULE.format(name="last"),
    )
    (folder.path / "rules.d").mkdir()
    for name in ("b", "a"):
        text = RULE.format(name=name)
        (folder.path / "rules.d" / f"{name}.yml").write_text(text, encoding="utf-8")
    (folder.path / "rules.d" / "notes.txt").write_text("none", encoding="utf-8")
    (folder.path / "rules.d" / ".hidden.yaml").write_text("none", encoding="utf-8")
    rules = folder.load()
    assert [rule.name for rule in rules.rules] == ["first", "a", "b", "last"]
    names = [path.name for path in rules.sources.files]
    assert names == ["rules.yaml", "a.yml", "b.yml", "other.yaml"]
    assert [path.name for path in rules.sources.folders] == ["rules.d"]
    assert [rule.position.line for rule in rules.rules] == [6, 2, 2, 2]
    assert read_sources(folder.path / "rules.yaml") == rules.sources


def test_every_problem_is_in_the_file_in_which_it_stands(folder):
    folder.write(
        rules=f"{HEAD}include: [more.yaml, gone.yaml]\nrules: [{{name: a}}]\n",
        more="rules:\n  - name: b\n    on: startup\n    do: [add_fiel]\n"
        "  - {name: a, on: startup}\n",
    )
    assert folder.problems() == [
        ("rules.yaml", 4, 22, f"there is no file {folder.path / 'gone.yaml'}"),
        ("rules.yaml", 5, 9, "'on' is missing"),
        ("rules.yaml", 5, 9, "'do' is missing"),
        ("more.yaml", 4, 10, "there is no action 'add_fiel'"),
        ("more.yaml", 5, 5, "'do' is missing"),
        ("more.yaml", 5, 12, "there is another rule called 'a'"),
    ]


def test_what_is_no_yaml_or_no_text_is_said_at_its_place(folder):
    folder.write(
        rules=f"{HEAD}include: [a.yaml, b.yaml, c.yaml]\nrules: []\n", a="x:\n  [1, 2\n", b=""
    )
    (folder.path / "c.yaml").write_bytes(b"rules:\n  - \xff\n")
    assert folder.problems() == [
        ("a.yaml", 2, 3, "the list that begins here is not closed, or a ',' is missing"),
        ("b.yaml", 0, 0, "the file is empty"),
        ("c.yaml", 2, 5, "the file is not UTF-8 text"),
    ]


def test_only_the_first_file_says_what_is_there_once(folder):
    folder.write(
        rules=f"{HEAD}include: more.yaml\nrules: []\n",
        more="client: {url: x}\nruels: []\nbackups: {}\nx-tags: [a]\n",
    )
    assert folder.problems() == [
        ("more.yaml", 1, 1, "'client' belongs in the first file, which is rules.yaml"),
        ("more.yaml", 2, 1, "there is no 'ruels' here"),
        ("more.yaml", 3, 1, "'backups' belongs in the first file, which is rules.yaml"),
    ]


def test_a_circle_is_a_problem_and_a_file_that_two_include_is_not(folder):
    folder.write(
        rules=f"{HEAD}include: [a.yaml, b.yaml]\n",
        a=f"include: [b.yaml]\n{RULE.format(name='a')}",
        b=f"include: [a.yaml, rules.yaml, ./b.yaml]\n{RULE.format(name='b')}",
    )
    assert folder.problems() == [
        ("b.yaml", 1, 11, "this file includes itself: a.yaml → b.yaml → a.yaml"),
        ("b.yaml", 1, 19, "this file includes itself: rules.yaml → a.yaml → b.yaml → rules.yaml"),
        ("b.yaml", 1, 31, "this file includes itself: b.yaml → b.yaml"),
    ]
    folder.write(b=RULE.format(name="b"))
    assert [rule.name for rule in folder.load().rules] == ["a", "b"]


def test_thousands_of_files_and_a_long_way_down_are_refused(folder):
    folder.write(rules=f"{HEAD}include: many\n")
    (folder.path / "many").mkdir()
    for number in range(300):
        text = RULE.format(name=f"r{number}")
        (folder.path / "many" / f"{number:03}.yaml").write_text(text, encoding="utf-8")
    assert folder.problems() == [("rules.yaml", 4, 10, "more than 256 files, or 16 MiB, of rules")]
    names = [f"f{number}" for number in range(40)]
    chain = {a: f"include: {b}.yaml\n" for a, b in pairwise(names)}
    folder.write(rules=f"{HEAD}include: f0.yaml\nrules: []\n", **chain)
    assert folder.problems() == [("f19.yaml", 1, 10, "this is included through more than 20 files")]


@pytest.mark.parametrize("include", ["7", "{a: b}", "['']", "[[a]]", '["a\\0b"]', "[~nobody/x]"])
def test_what_is_no_path_cannot_be_included(folder, include):
    folder.write(rules=f"{HEAD}include: {include}\nrules: []\n")
    [(file, line, _, _)] = folder.problems()
    assert (file, line) == ("rules.yaml", 4)
    assert read_sources(folder.path / "rules.yaml").files[0].name == "rules.yaml"
