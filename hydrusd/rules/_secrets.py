"""Secrets: named in the rules file, kept elsewhere.

A rules file is shown around, put under version control and pasted into questions, and
rules are kept in the ledger. So they name where a secret is. It is registered for
redaction before anything else can happen to it. What turns out to be no access key is
neither kept nor shown; it is not registered, because it may be any word
(``${env:HOME}``), which every log would then hide.
"""

from __future__ import annotations

import importlib
import os
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from pydantic import GetCoreSchemaHandler, GetJsonSchemaHandler, ValidationInfo
from pydantic_core import CoreSchema, PydanticCustomError, core_schema

from hydrusd import redaction
from hydrusd.errors import PermanentError
from hydrusd.rules._rehearsing import MADE_UP_SECRET, is_rehearsal
from hydrusd.rules._units import resolve_path

REFERENCE = re.compile(r"\$\{\s*(\w+)\s*:\s*([^}]*?)\s*\}")
KINDS = ("env", "file", "keyring")
MAX_SECRET_BYTES = 64 * 1024

_KEY = re.compile(r"[0-9a-fA-F]{64}")
_FORMS = "write ${env:NAME}, ${file:path} or ${keyring:service/user}"


class SecretError(Exception):
    """A secret that cannot be had. Holds what to tell the user, never the secret."""

    def __init__(self, message: str, hint: str = "") -> None:
        self.message = message
        self.hint = hint
        super().__init__(message)


def check_form(text: str) -> re.Match[str] | None:
    """Give the parts of a reference, or None for a plain value.

    Raises SecretError for what is meant as a reference and is none.
    """
    found = REFERENCE.fullmatch(text.strip())
    if found is None:
        if text.strip().startswith(("$", "{")):
            raise SecretError("this is not a reference to a secret", _FORMS)
        return None
    kind, name = found.groups()
    if kind not in KINDS:
        raise SecretError(f"there is no kind of secret called '{kind}'", _FORMS)
    if not name:
        raise SecretError(f"${{{kind}:…}} names nothing", _FORMS)
    if kind == "keyring" and not all(name.rpartition("/")):
        raise SecretError("a keyring entry is named by its service and user", _FORMS)
    return found


def access_key(text: str, *, environ: Mapping[str, str], folder: Path, resolve: bool) -> str:
    """Give the access key that the text is or refers to; empty where not to resolve.

    Raises SecretError.
    """
    reference = check_form(text)
    if reference is None:
        return _checked(text.strip(), "this")
    if not resolve:
        return ""
    kind, name = reference.groups()
    key = _look_up(kind, name, environ, folder)
    return _checked(key, f"what {_ORIGINS[kind]} {name} holds")


class Rendered(str):
    """Text that came out of a template: it may hold a file's name, which is anybody's."""

    __slots__ = ()


class Secret:
    """The value of a parameter that is kept elsewhere: text with references in it.

    ``Bearer ${env:TOKEN}`` is one, and so is ``${file:token.txt}``. What it stands for is
    looked up each time, so that a changed secret needs no restart.
    """

    __slots__ = ("_folder", "_text")

    def __init__(self, text: str, folder: Path | None = None) -> None:
        """Take the text; relative files start at ``folder``. Raises SecretError."""
        references = REFERENCE.findall(text)
        if not references:
            raise SecretError("a secret must not stand in a rules file", _FORMS)
        for found in REFERENCE.finditer(text):
            check_form(found[0])
        self._text = text
        self._folder = folder

    def reveal(self) -> str:
        """Give the secret itself. Raises PermanentError where it cannot be had."""
        if is_rehearsal():
            return MADE_UP_SECRET
        try:
            return self.resolve(os.environ)
        except SecretError as error:
            raise PermanentError(f"{error.message}; {error.hint}".rstrip("; ")) from error

    def resolve(self, environ: Mapping[str, str]) -> str:
        """Do the same with another environment. Raises SecretError."""
        folder = self._folder or Path()

        def look_up(found: re.Match[str]) -> str:
            value = _look_up(found[1], found[2], environ, folder)
            redaction.register(value)
            return value

        revealed = REFERENCE.sub(look_up, self._text)
        redaction.register(revealed)
        return revealed

    def __repr__(self) -> str:
        return f"Secret({', '.join(found[0] for found in REFERENCE.finditer(self._text))})"

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Secret) and self._text == other._text

    def __hash__(self) -> int:
        return hash(self._text)

    @classmethod
    def __get_pydantic_core_schema__(cls, source: Any, handler: GetCoreSchemaHandler) -> CoreSchema:
        """Read it from text; write the text, never the value."""
        del source, handler
        return core_schema.with_info_plain_validator_function(
            _secret,
            serialization=core_schema.plain_serializer_function_ser_schema(lambda s: s._text),  # noqa: SLF001 - its own
        )

    @classmethod
    def __get_pydantic_json_schema__(
        cls, schema: CoreSchema, handler: GetJsonSchemaHandler
    ) -> dict[str, Any]:
        """Describe it for editors."""
        del schema, handler
        pattern = r"\$\{\s*(env|file|keyring)\s*:"
        return {"type": "string", "pattern": pattern, "description": _FORMS}


def _secret(value: object, info: ValidationInfo) -> Secret:
    """Read a secret; where the context has an ``environ``, prove that it can be had."""
    if isinstance(value, Secret):
        return value
    context = info.context if isinstance(info.context, Mapping) else {}
    try:
        if not isinstance(value, str):
            raise SecretError("must be text that says where the secret is", _FORMS)
        # A file called ${env:TOKEN}.jpg must not be able to ask for one.
        if isinstance(value, Rendered) or any(mark in value for mark in ("{{", "{%", "{#")):
            raise SecretError("a secret cannot come from a template", _FORMS)
        secret = Secret(value, context.get("folder"))
        if (environ := context.get("environ")) is not None:
            secret.resolve(environ)
    except SecretError as error:
        raise PydanticCustomError(
            "hydrusd_secret", "{message}", {"message": error.message, "hint": error.hint}
        ) from None
    return secret


_ORIGINS = {"env": "the environment variable", "file": "the file", "keyring": "the keyring entry"}


def _look_up(kind: str, name: str, environ: Mapping[str, str], folder: Path) -> str:
    if kind == "env":
        return _from_env(name, environ)
    return _from_file(name, folder) if kind == "file" else _from_keyring(name)


def _checked(key: str, what: str) -> str:
    if not _KEY.fullmatch(key):
        raise SecretError(
            f"{what} is not an access key: it has {len(key)} characters"
            if len(key) != 64
            else f"{what} is not an access key: it holds other characters than 0-9 and a-f",
            "a key has 64 characters, 0-9 and a-f; in Hydrus: services > review services > "
            "local > client api, 'copy api access key'",
        )
    redaction.register(key)
    return key


def _from_env(name: str, environ: Mapping[str, str]) -> str:
    value = environ.get(name, "").strip()
    if not value:
        state = "empty" if name in environ else "not set"
        raise SecretError(
            f"the environment variable {name} is {state}",
            f"set it where hydrusd is started, as in: export {name}=…",
        )
    return value


def _from_file(name: str, folder: Path) -> str:
    try:
        path = resolve_path(name, folder)
        if path.exists() and not path.is_file():
            raise SecretError(f"{path} is not a file")
        with path.open("rb") as opened:
            content = opened.read(MAX_SECRET_BYTES + 1)
        value = content.decode("utf-8-sig").strip("\r\n")
    except FileNotFoundError:
        raise SecretError(
            f"there is no file {path}", "relative paths start at the rules file's folder"
        ) from None
    except UnicodeDecodeError:
        raise SecretError(f"{path} is not a text file") from None
    except (OSError, RuntimeError, ValueError) as error:
        reason = error.strerror if isinstance(error, OSError) and error.strerror else str(error)
        raise SecretError(f"{name} cannot be read: {reason}") from error
    if not value or len(content) > MAX_SECRET_BYTES:
        raise SecretError(f"{path} is empty" if not value else f"{path} is too large for a key")
    return value


def _from_keyring(name: str) -> str:
    try:
        keyring = importlib.import_module("keyring")
        errors = importlib.import_module("keyring.errors")
    except ImportError:
        raise SecretError(
            "reading the keyring needs the package 'keyring'", "pip install hydrusd[keyring]"
        ) from None
    service, _, user = name.rpartition("/")
    try:
        value = keyring.get_password(service, user)
    except errors.KeyringError as error:
        raise SecretError(
            f"the keyring cannot be read: {type(error).__name__}",
            "a server without a desktop often has none: use ${file:…}",
        ) from error
    if not value:
        raise SecretError(
            f"the keyring has no entry for {service}, user {user}",
            f"store it with: keyring set {service} {user}",
        )
    return str(value).strip()
