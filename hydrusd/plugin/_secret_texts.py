"""Types for fields that hold a text which may be a secret: a header, a variable, a key.

A secret is named in the rules file and kept elsewhere. Where any text will do, it is written as
a map of its own, so that nobody sends a reference in place of what it refers to.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Annotated

from pydantic import AfterValidator, BaseModel, BeforeValidator, ConfigDict, ValidationInfo

from hydrusd.rules import Secret

_REFERENCE = re.compile(r"\$\{\s*(env|file|keyring)\s*:")


def _no_template(value: object) -> object:
    # A file could be called ${env:…}: what a template yields must never be looked up.
    if isinstance(value, str) and ("{{" in value or "{%" in value):
        raise ValueError("a secret must not hold a template")
    return value


def _no_reference(text: str, info: ValidationInfo) -> str:
    # Only of what stands in the rules: it would be sent as it is, and be of no use.
    if "environ" in (info.context or {}) and _REFERENCE.search(text) and "{{" not in text:
        raise ValueError("does not look up a secret here: write it as {secret: …} for that")
    return text


PlainSecret = Annotated[Secret, BeforeValidator(_no_template)]
"""A secret in which no template may stand."""


class SecretText(BaseModel):
    """A text that is kept elsewhere: `{secret: "${env:NAME}"}` in place of it."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    secret: PlainSecret


TextOrSecret = Annotated[str, AfterValidator(_no_reference)] | SecretText
"""A text as it is, or one that is kept elsewhere; `revealed` gives either."""


def revealed(texts: Mapping[str, str | SecretText]) -> dict[str, str]:
    """Give the texts themselves. Raises PermanentError where one cannot be had."""
    return {n: t.secret.reveal() if isinstance(t, SecretText) else t for n, t in texts.items()}
