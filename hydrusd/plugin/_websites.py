"""Types for fields that say which website is meant, and what is told to it."""

from __future__ import annotations

import re
from typing import Annotated

from pydantic import AfterValidator, BeforeValidator

from hydrusd.rules import OR_ONE

_DOMAIN = re.compile(r"[a-z0-9_-]+(\.[a-z0-9_-]+)+")
_PORT = re.compile(r":[0-9]{1,5}$")
_TEMPLATE = re.compile(r"\{\{|\{%")
_CONTROL = re.compile(r"[\x00-\x08\x0a-\x1f\x7f]")


def _domain(text: str) -> str:
    if _TEMPLATE.search(text):
        return text
    bare = text.strip().lower().removeprefix("*.").strip(".")
    try:
        bare = bare.encode("idna").decode()
    except UnicodeError:
        bare = ""
    if not _DOMAIN.fullmatch(bare):
        raise ValueError("is no domain: write it as in example.com")
    return bare


def _site(text: str) -> str:
    if _TEMPLATE.search(text):
        return text
    found = _PORT.search(text.strip())
    port = found[0] if found else ""
    return _domain(text.strip().removesuffix(port)) + port


def header_text(text: str) -> str:
    """Give the text if it can be sent as a header. Raises ValueError, which does not show it."""
    try:
        text.encode("latin-1")
    except UnicodeEncodeError:
        raise ValueError("is no header: it holds a character that a header cannot") from None
    if _CONTROL.search(text):
        raise ValueError("is no header: it holds a line break or another control character")
    return text


WebDomain = Annotated[str, AfterValidator(_domain)]
"""A website's domain with a dot in it, in lower case, without a dot in front; may be a template."""

WebSite = Annotated[str, AfterValidator(_site)]
"""A domain as above, with its port if it has one: Hydrus takes that for a part of the domain."""

WebDomains = Annotated[
    tuple[WebDomain, ...],
    BeforeValidator(lambda value: [value] if isinstance(value, str) else value),
    OR_ONE,
]
"""Some of them: a list, or only one."""

HeaderText = Annotated[str, AfterValidator(header_text)]
"""What can be sent as the value of a header."""


def covers(domain: str, host: str) -> bool:
    """Say whether a host, or what a cookie has for a domain, is the domain or below it."""
    return f".{host.lstrip('.').lower()}".endswith(f".{domain}")
