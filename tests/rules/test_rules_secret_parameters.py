"""Secrets in the parameters of triggers and actions: said where they are, never what they are."""

from __future__ import annotations

import dataclasses

import pytest
from pydantic import BaseModel, ConfigDict, ValidationError
from rules_vocabulary import HEAD, KEY, VOCABULARY

from hydrusd.errors import ConfigError, PermanentError
from hydrusd.redaction import redact
from hydrusd.rules import Rendered, Secret, parse, rule_from_definition

ENVIRON = {"KEY": KEY, "TOKEN": "hunter2hunter2"}


class Send(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)
    token: Secret
    header: Secret | str = ""


class Execute(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


Send.needs_allowing = False
Execute.needs_allowing = True
WORDS = dataclasses.replace(
    VOCABULARY, actions={**VOCABULARY.actions, "send": Send, "execute": Execute}
)


def read(text, folder, environ=ENVIRON, **options):
    return parse(text, WORDS, file="rules.yaml", folder=folder, environ=environ, **options)


def rule(step, head=HEAD):
    return f"{head}rules:\n  - name: r\n    on: startup\n    do:\n      - {step}\n"


def problem(text, folder, **options):
    with pytest.raises(ConfigError) as caught:
        read(text, folder, **options)
    [problem] = caught.value.problems
    return problem


def test_a_secret_is_looked_up_when_it_is_used(tmp_path, monkeypatch):
    (tmp_path / "t.txt").write_text("from the file\n", encoding="utf-8")
    text = rule("send: {token: 'Bearer ${env:TOKEN} ${file:t.txt}', header: plain}")
    [found] = read(text, tmp_path).rules
    send = found.steps[0].config
    monkeypatch.setenv("TOKEN", "changed since then")
    assert send.token.reveal() == "Bearer changed since then from the file"
    assert send.header == "plain"
    assert redact("x changed since then y from the file z") == "x [hidden] y [hidden] z"


def test_what_is_kept_of_a_rule_says_only_where_the_secret_is(tmp_path, monkeypatch):
    [found] = read(rule("send: {token: '${env:TOKEN}'}"), tmp_path).rules
    assert "${env:TOKEN}" in found.definition
    for text in (found.definition, repr(found), found.steps[0].config.model_dump_json()):
        assert "hunter2" not in text
    again = rule_from_definition("r", found.definition, WORDS, folder=tmp_path)
    monkeypatch.setenv("TOKEN", "hunter2hunter2")
    assert again.steps[0].config.token.reveal() == "hunter2hunter2"
    assert again.steps[0].config.token == found.steps[0].config.token


@pytest.mark.parametrize("value", ["hunter2hunter2", "'12345678'", "12345678", "[hunter2hunter2]"])
def test_a_secret_that_stands_in_the_file_is_refused_and_not_shown(tmp_path, value):
    found = problem(rule(f"send: {{token: {value}}}"), tmp_path)
    assert "secret" in found.message
    assert "${env:NAME}" in found.hint
    assert (found.line, found.column) == (8, 23)
    assert "hunter2" not in found.render()
    assert "12345678" not in found.render()


@pytest.mark.parametrize(
    ("reference", "message"),
    [
        ("${env:NOBODY}", "the environment variable NOBODY is not set"),
        ("${vault:x}", "no kind of secret called 'vault'"),
        ("${file:nowhere.txt}", "there is no file"),
    ],
)
def test_a_secret_that_cannot_be_had_is_said_at_the_start(tmp_path, reference, message):
    text = rule(f"send: {{token: '{reference}'}}")
    assert message in problem(text, tmp_path).message


def test_checking_looks_up_no_secret(tmp_path):
    text = rule("send: {token: '${env:NOBODY}'}")
    [found] = read(text, tmp_path, resolve_secrets=False).rules
    with pytest.raises(PermanentError, match="NOBODY is not set"):
        found.steps[0].config.token.reveal()


def test_a_secret_cannot_come_from_a_template(tmp_path):
    found = problem(rule("send: {token: '{{ x }} ${env:TOKEN}'}"), tmp_path)
    assert "cannot come from a template" in found.message
    made = Send.model_validate({"token": "${env:A}", "header": Rendered("${env:TOKEN}.jpg")})
    assert made.header == "${env:TOKEN}.jpg"  # a file may be called so: it stays a text
    with pytest.raises(ValidationError, match="template"):
        Send.model_validate({"token": Rendered("${env:TOKEN}")})


def test_an_action_that_must_be_allowed_is_refused_where_it_is_not(tmp_path):
    found = problem(rule("execute:"), tmp_path)
    assert (found.line, found.column) == (8, 9)
    assert found.message == "execute is off until the rules file allows it"
    assert "allow: [execute]" in found.hint
    assert read(rule("execute:", f"{HEAD}allow: [execute]\n"), tmp_path).allow == {"execute"}


@pytest.mark.parametrize(
    ("allow", "message"),
    [
        ("{execute: true}", "'allow' must be a list of actions"),
        ("[excute]", "no action that needs to be allowed"),
        ("[add_file]", "no action that needs to be allowed"),
    ],
)
def test_what_is_allowed_has_to_exist(tmp_path, allow, message):
    assert message in problem(rule("add_file:", f"{HEAD}allow: {allow}\n"), tmp_path).message
