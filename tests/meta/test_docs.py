"""What the documents say is true: their YAML loads, and nothing that exists is missing."""

from __future__ import annotations

import ast
import re
from pathlib import Path

import click
import pytest

from hydrusd.cli import cli
from hydrusd.daemon import load_plugins, read_configuration
from hydrusd.plugin import hookspecs

ROOT = Path(__file__).parents[2]
DOCUMENTS = [ROOT / "README.md", *sorted((ROOT / "docs").glob("*.md"))]
KEY = "0123456789abcdef" * 4


def blocks(language):
    """Give every block of a language in the documents, with where it stands."""
    for document in [*DOCUMENTS, *sorted((ROOT / "docs" / "reference").glob("*.md"))]:
        if document.name == "your-first-plugin.md":
            continue  # test_tutorial.py does all that it says
        text = document.read_text(encoding="utf-8")
        fenced = re.compile(rf"^( *)```{language}\n(.*?)^\1```", re.MULTILINE | re.DOTALL)
        for found in fenced.finditer(text):
            lines = found[2].splitlines()
            margin = len(found[1])
            line = text[: found.start()].count("\n") + 1
            yield pytest.param(
                "\n".join(each[margin:] for each in lines), id=f"{document.name}:{line}"
            )


def test_there_are_blocks_to_look_at():
    assert len(list(blocks("yaml"))) >= 2
    assert len(list(blocks("python"))) >= 1
    readme = (ROOT / "README.md").read_text(encoding="utf-8")
    assert readme.count("\n```sh\n") == 2  # .ci/run takes them by their number


@pytest.mark.parametrize("text", list(blocks("yaml")))
def test_every_block_of_yaml_loads(text, tmp_path, monkeypatch):
    for variable in re.findall(r"\$\{env:(\w+)\}", text):
        monkeypatch.setenv(variable, KEY)
    for file in re.findall(r"\$\{file:([^/}]+)\}", text):
        (tmp_path / file).write_text(KEY, encoding="utf-8")
    rules = tmp_path / "rules.yaml"
    rules.write_text(text, encoding="utf-8")
    assert read_configuration(rules).rules.rules


@pytest.mark.parametrize("text", [b for b in blocks("python") if "@hookimpl" in b.values[0]])
def test_every_plugin_in_the_documents_loads(text, tmp_path):
    (tmp_path / "documented.py").write_text(text, encoding="utf-8")
    host = load_plugins([tmp_path])
    assert not host.faults
    [plugin] = [p for p in host.plugins if p.name == "documented"]
    assert plugin.actions or plugin.triggers or plugin.sidecar_formats


def test_the_example_rules_load(monkeypatch):
    monkeypatch.setenv("HYDRUS_ACCESS_KEY", KEY)
    configuration = read_configuration(ROOT / "rules.example.yaml")
    steps = {step.action for rule in configuration.rules.rules for step in rule.steps}
    assert {"add_file", "add_tags", "trash_source", "move_source"} <= steps
    assert not configuration.host.faults


def test_every_hook_is_documented():
    text = (ROOT / "docs" / "plugins.md").read_text(encoding="utf-8")
    hooks = [name for name in vars(hookspecs) if name.startswith("hydrusd_")]
    assert hooks
    for hook in hooks:
        function = getattr(hookspecs, hook)
        arguments = ", ".join(function.__code__.co_varnames[: function.__code__.co_argcount])
        assert f"`{hook}({arguments})`" in text


def test_every_command_is_documented():
    text = (ROOT / "docs" / "commands.md").read_text(encoding="utf-8")
    for name, command in cli.commands.items():
        assert f"`hydrusd {name}" in text
        assert command.help


def test_every_trigger_and_action_is_documented_with_its_parameters():
    text = "\n".join(page.read_text(encoding="utf-8") for page in DOCUMENTS)
    host = load_plugins([])
    for name, kind in {**host.actions, **host.triggers}.items():
        assert kind.__doc__
        assert f"`{name}`" in text
        for field, about in kind.model_fields.items():
            assert re.search(rf"`{about.alias or field}\b", text), f"{name}: {field}"


def test_every_option_of_a_command_says_what_it_does():
    for command in cli.commands.values():
        for parameter in command.params:
            if isinstance(parameter, click.Option) and parameter.name != "port":
                assert parameter.help or parameter.show_default, (command.name, parameter.name)


@pytest.mark.parametrize("plugin", sorted((ROOT / "plugins").glob("*.py")), ids=lambda p: p.name)
def test_shipped_plugins_use_the_author_api_only(plugin):
    imported = set()
    for node in ast.walk(ast.parse(plugin.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            imported |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            imported.add(node.module or "")
    ours = {name for name in imported if name.split(".")[0] == "hydrusd"}
    assert ours == {"hydrusd.plugin"}
