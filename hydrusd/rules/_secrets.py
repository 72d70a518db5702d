"""The access key: named in the rules file, kept elsewhere.

A rules file is shown around, put under version control and pasted into questions.
So it names where the key is. A key is registered for redaction before anything else
can happen to it. What turns out to be no key is neither kept nor shown; it is not
registered, because it may be any word (``${env:HOME}``), which every log would then hide.
"""

from __future__ import annotations

import importlib
import re
from collections.abc import Mapping
from pathlib import Path

from hydrusd import redaction
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
    if kind == "env":
        key, origin = _from_env(name, environ), f"the environment variable {name}"
    elif kind == "file":
        key, origin = _from_file(name, folder), f"the file {name}"
    else:
        key, origin = _from_keyring(name), f"the keyring entry {name}"
    return _checked(key, f"what {origin} holds")


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
