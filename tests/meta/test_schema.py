"""The schema takes what hydrusd takes, and refuses what is plainly wrong."""

from __future__ import annotations

import json

import pytest
from jsonschema import Draft202012Validator
from test_docs import ROOT, blocks

from hydrusd.cli import cli
from hydrusd.daemon import load_plugins, schema_of
from hydrusd.rules import _yaml
from hydrusd.rules._problems import Problems


@pytest.fixture(scope="module")
def schema():
    return schema_of(load_plugins([]))


@pytest.fixture(scope="module")
def validator(schema):
    Draft202012Validator.check_schema(schema)
    return Draft202012Validator(schema)


def data_of(text):
    """Read YAML as hydrusd does."""
    problems = Problems("rules.yaml", text)
    document = _yaml.read(text, problems)
    assert not problems
    return document.data


def complaints(validator, text):
    return [
        f"{error.json_path}: {error.message[:200]}"
        for error in validator.iter_errors(data_of(text))
    ]


def test_the_example_is_valid(validator):
    text = (ROOT / "rules.example.yaml").read_text(encoding="utf-8")
    assert complaints(validator, text) == []


@pytest.mark.parametrize("text", list(blocks("yaml")))
def test_every_block_of_yaml_in_the_documents_is_valid(validator, text):
    assert complaints(validator, text) == []


GOOD = """\
client: {url: 'http://127.0.0.1:45869', access_key: '${env:KEY}'}
rules:
  - name: r
    on: {watch_folder: {path: in, settle: 2s}}
    do:
      - add_file:
      - add_tags: {my tags: [a, 2024]}
"""


@pytest.mark.parametrize(
    ("good", "bad"),
    [
        ("client: {", "clinet: {"),
        ("url: 'http://127.0.0.1:45869', ", ""),
        ("access_key:", "access_kye:"),
        ("url:", "timeout: 2, url:"),
        ("url:", "transfer: pigeon, url:"),
        ("name: r", "nmae: r"),
        ("on: {", "when: {"),
        ("watch_folder: {path", "watch_fodler: {path"),
        ("path: in, ", ""),
        ("path: in", "path: in, recursive: maybe"),
        ("path: in", "path: in, include: '*.jpg'"),
        ("path: in", "path: in, unknown: 1"),
        ("settle: 2s", "settle: 2"),
        ("settle: 2s", "settle: soon"),
        ("watch_folder: {path: in, settle: 2s}", "watch_folder: {path: in}, startup: {}"),
        ("watch_folder: {path: in, settle: 2s}", ""),
        ("- add_file:", "- add_flie:"),
        ("- add_file:", "- add_flie"),
        ("- add_file:", "- add_file: {a: b}"),
        ("- add_file:", "- {add_file: , trash_source: }"),
        ("[a, 2024]", "{a: b}"),
        ("- add_tags: {my tags: [a, 2024]}", "- move_source:"),
        ("rules:", "history: {keep: 1}\nrules:"),
        ("rules:", "allow: [add_file]\nrules:"),
        ("rules:", "client_: 1\nrules:"),
        ("  - name: r", "  - enabled: 'no'\n    name: r"),
        ("  - name: r", "  - limits: {per_hour: 0}\n    name: r"),
        ("rules:", "tests: [{name: a}]\nrules:"),
        ("rules:", "tests: [{name: a, expect: {importd: []}}]\nrules:"),
        ("  - name: r", "  - tests: [{name: a, given: {files: {a: 7}}, expect: {}}]\n    name: r"),
    ],
)
def test_what_is_wrong_is_refused(validator, good, bad):
    assert complaints(validator, GOOD) == []
    assert GOOD.count(good) == 1
    assert complaints(validator, GOOD.replace(good, bad)) != []


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ("[a, 2024]", "a"),
        ("[a, 2024]", "7"),
        ("add_file:", "add_file"),
        ("add_file:", "add_file: {}"),
        ("rules:", "x-any: {a: [b]}\nrules:"),
        ("rules:", "history: {keep: forever}\nrules:"),
        ("rules:", "tests: [{name: a, expect: {imported: a.png, skipped: {b: why}}}]\nrules:"),
        (
            "rules:",
            "tests: [{name: a, given: {files: {a: }}, when: {fire: r}, expect: {}}]\nrules:",
        ),
        ("rules:", "allow: run_command\nrules:"),
        ("client: {", "clients: {main: {"),
    ],
)
def test_what_may_be_written_otherwise_is_taken(validator, one, other):
    text = GOOD.replace(one, other)
    if "clients" in other:
        text = text.replace("}\nrules", "}}\nrules")
    assert complaints(validator, text) == []


def test_descriptions_come_from_the_code(schema):
    folder = schema["$defs"]["trigger.watch_folder"]
    assert folder["description"].startswith("Notice each new file in a folder, once")
    assert folder["properties"]["path"]["description"] == "The folder to watch."
    for kind, named in (("trigger", "triggers"), ("action", "actions")):
        for name, model in getattr(load_plugins([]), named).items():
            about = schema["$defs"][f"{kind}.{name}"]
            assert about["description"], name
            assert set(about.get("properties", {})) == {
                field.alias or each for each, field in model.model_fields.items()
            }


def test_a_plugin_of_ones_own_is_in_it(tmp_path):
    (tmp_path / "mine.py").write_text(
        "from hydrusd.plugin import Action, Outcome, hookimpl\n"
        "class Mine(Action):\n"
        "    'Do what I want.'\n"
        "    action = 'mine'\n"
        "    how: int\n"
        "    def run(self, call):\n"
        "        return Outcome.done()\n"
        "@hookimpl\n"
        "def hydrusd_register_actions(register):\n"
        "    register(Mine)\n",
        encoding="utf-8",
    )
    host = load_plugins([tmp_path])
    assert not host.faults
    validator = Draft202012Validator(schema_of(host))
    assert complaints(validator, GOOD.replace("- add_file:", "- mine: {how: 3}")) == []
    assert complaints(validator, GOOD.replace("- add_file:", "- mine: {how: x}")) != []


def test_the_command_prints_it(schema, tmp_path, monkeypatch):
    from click.testing import CliRunner

    monkeypatch.chdir(tmp_path)
    result = CliRunner().invoke(cli, ["schema"])
    assert result.exit_code == 0
    assert json.loads(result.output) == schema


@pytest.fixture(scope="module")
def included():
    made = schema_of(load_plugins([]), included=True)
    Draft202012Validator.check_schema(made)
    return Draft202012Validator(made)


@pytest.mark.parametrize(
    "text",
    [
        GOOD.partition("\n")[2],
        "vars: {a: 1}\n",
        "blueprints: {a: {rule: {name: b}}}\ninclude: more.yaml\n",
        "x-tags: &tags [a]\ndefaults: {limits: {per_run: 3}}\n",
    ],
)
def test_an_included_file_needs_no_client(included, validator, text):
    assert complaints(included, text) == []
    assert complaints(validator, text) != []


@pytest.mark.parametrize(
    "text", [GOOD, "rules: []\nplugins: [a]\n", "rulse: []\n", "rules: [{name: 3}]\n"]
)
def test_an_included_file_has_nothing_of_the_first(included, text):
    assert complaints(included, text) != []


def test_the_command_prints_the_schema_of_included_files(included, tmp_path, monkeypatch):
    from click.testing import CliRunner

    monkeypatch.chdir(tmp_path)
    result = CliRunner().invoke(cli, ["schema", "--included"])
    assert result.exit_code == 0
    assert json.loads(result.output) == included.schema


def test_whole_files_in_the_repository_name_the_schema():
    example = (ROOT / "rules.example.yaml").read_text(encoding="utf-8")
    assert example.startswith("# yaml-language-server: $schema=hydrusd.schema.json\n")
