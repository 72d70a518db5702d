"""The access key is found where it is kept, and shown nowhere."""

from __future__ import annotations

import sys
from types import ModuleType

import pytest
from rules_vocabulary import KEY

from hydrusd.errors import ConfigError
from hydrusd.redaction import redact

OTHER = "fedcba9876543210" * 4


def text(access_key, rest="rules: []\n"):
    return f"client:\n  url: http://a\n  access_key: {access_key}\n{rest}"


def key_of(rules):
    return rules.clients["hydrus"].access_key.get_secret_value()


def test_where_a_key_may_be(read, tmp_path, monkeypatch):
    (tmp_path / "key.txt").write_bytes(OTHER.encode() + b"\r\n")
    keyring, errors = ModuleType("keyring"), ModuleType("keyring.errors")
    keyring.get_password = lambda service, user: {("a/hydrus", "me"): OTHER}[service, user]
    errors.KeyringError = RuntimeError
    monkeypatch.setitem(sys.modules, "keyring", keyring)
    monkeypatch.setitem(sys.modules, "keyring.errors", errors)

    assert key_of(read(text("${env:MINE}"), environ={"MINE": f"{OTHER}\n"})) == OTHER
    assert key_of(read(text('"${ env: MINE }"'), environ={"MINE": OTHER})) == OTHER
    assert key_of(read(text("${file:key.txt}"))) == OTHER
    assert key_of(read(text(f"${{file:{tmp_path / 'key.txt'}}}"))) == OTHER
    assert key_of(read(text("${keyring:a/hydrus/me}"))) == OTHER
    assert key_of(read(text(OTHER))) == OTHER
    assert key_of(read(text("7" * 64))) == "7" * 64
    assert OTHER not in repr(read(text(OTHER)))
    assert redact(f"x {OTHER} y") == "x [hidden] y"


@pytest.mark.parametrize(
    ("reference", "message", "hint"),
    [
        ("${env:NOT}", "the environment variable NOT is not set", "export NOT=…"),
        ("${env:EMPTY}", "the environment variable EMPTY is empty", "export EMPTY=…"),
        ("${env:BAD}", "what the environment variable BAD holds is not an access key", "64"),
        ("${file:nowhere}", "there is no file ", "relative paths start at the rules file"),
        ("${file:.}", "", ""),
        ("${file:empty}", "", ""),
        ("${file:binary}", "", ""),
        ("${keyring:hydrus/me}", "reading the keyring needs", "pip install hydrusd[keyring]"),
        ("${keyring:hydrus}", "a keyring entry is named by its service and user", "${keyring:"),
        ("${evn:KEY}", "there is no kind of secret called 'evn'", "${env:NAME}"),
        ("${env:}", "${env:…} names nothing", "${env:NAME}"),
        ("$env:KEY", "this is not a reference to a secret", "${env:NAME}"),
        ("too-short", "this is not an access key: it has 9 characters", "64 characters"),
        ("g" * 64, "this is not an access key: it holds other characters", "0-9 and a-f"),
    ],
)
def test_a_key_that_cannot_be_had(problems, tmp_path, monkeypatch, reference, message, hint):
    monkeypatch.setitem(sys.modules, "keyring", None)
    (tmp_path / "empty").write_bytes(b"\n")
    (tmp_path / "binary").write_bytes(b"\xff\xfe")
    (found,) = problems(text(reference), environ={"BAD": "g" * 64, "EMPTY": " "})
    assert (found.line, found.column) == (3, 15)
    assert message in found.message
    assert hint in found.hint


def test_a_keyring_without_the_entry_or_without_a_backend(problems, monkeypatch):
    keyring, errors = ModuleType("keyring"), ModuleType("keyring.errors")
    errors.KeyringError = type("KeyringError", (Exception,), {})
    keyring.get_password = lambda *_: None
    monkeypatch.setitem(sys.modules, "keyring", keyring)
    monkeypatch.setitem(sys.modules, "keyring.errors", errors)
    (found,) = problems(text("${keyring:hydrus/me}"))
    assert found.message == "the keyring has no entry for hydrus, user me"
    assert found.hint == "store it with: keyring set hydrus me"

    def locked(*_):
        raise errors.KeyringError(OTHER)

    keyring.get_password = locked
    (found,) = problems(text("${keyring:hydrus/me}"))
    assert found.message == "the keyring cannot be read: KeyringError"


def test_a_word_that_is_no_key_is_not_hidden_from_now_on(problems):
    problems(text("not-a-key-at-all"))
    problems(text("${env:HOME}"), environ={"HOME": "home-of-somebody"})
    assert redact("not-a-key-at-all home-of-somebody") == "not-a-key-at-all home-of-somebody"


def test_checking_a_file_needs_no_secrets(read, problems):
    rules = read(text("${env:NOT}"), environ={}, resolve_secrets=False)
    assert key_of(rules) == ""
    assert key_of(read(text("${file:nowhere}"), resolve_secrets=False)) == ""
    (found,) = problems(text("${evn:NOT}"), resolve_secrets=False)
    assert found.message == "there is no kind of secret called 'evn'"


SECRET = "a1b2c3d4" * 8
PASSWORD = "hunter2-hunter2"


@pytest.mark.parametrize(
    "broken",
    [
        text(SECRET + "9"),
        text(f"'{SECRET}9'"),
        text(PASSWORD),
        text(f"{PASSWORD}  # and {SECRET}"),
        text(f">-\n    {PASSWORD}\n    {PASSWORD}"),
        text(f"[{PASSWORD}]"),
        text(f"{{{PASSWORD}: {SECRET}}}"),
        text("${env:A}" + PASSWORD),
        text(f"{PASSWORD}: {SECRET}"),
        text(f"'{PASSWORD}"),
        text(f"!!python/name {PASSWORD}"),
        text(f"&k {PASSWORD}", f"rules: *k\nx: {SECRET}\n"),
        f"client: {{access_key: {PASSWORD}, urk: b}}\nrules: []\n",
        f"client: {{urk: b, access_key: {PASSWORD}}}\nrules: []\n",
        f"client:\n  acces_key: {SECRET}\n  url: http://a\nrules: []\n",
        f"client:\n  access_key:{SECRET}\n  url: http://a\nrules: []\n",
        f"client:\n  Access-Key: {PASSWORD}\n  url: http://a\nrules: []\n",
        f"client:\n  access_key {PASSWORD} {SECRET}\nrules: []\n",
        f"client:\n  url: http://me:{PASSWORD}@a\n  access_key: ${{env:KEY}}\nrules: []\n",
        f"client: {SECRET}\nrules: []\n",
        f"{SECRET}: x\nrules: []\n",
        text("${env:KEY}", f"rules:\n  - {SECRET}\n"),
    ],
)
def test_no_problem_shows_a_secret(read, broken):
    with pytest.raises(ConfigError) as caught:
        read(broken)
    shown = str(caught.value) + repr(caught.value.problems)
    assert SECRET not in shown
    assert PASSWORD not in shown
    assert caught.value.__cause__ is None
    assert caught.value.__context__ is None


def test_a_reference_is_no_secret_and_may_be_shown(problems):
    (found,) = problems(text("${env:NOT}  # where it is"))
    assert found.excerpt == "  access_key: ${env:NOT}  # where it is"
    (found,) = problems("client: {access_key: '${env:KEY}', url: b}\nrules: []\n")
    assert "${env:KEY}', url: b" in found.excerpt


def test_what_is_covered_keeps_its_width(problems):
    (found,) = problems(f"client: {{url: http://a, access_key: {KEY}0, x: y}}\nrules: []\n")[:1]
    assert found.column == 37
    assert found.excerpt.startswith("client: {url: http://a, access_key: ****")
