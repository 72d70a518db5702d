"""Turns an answer that is not a success into the error that says what to do about it.

Every route fails in the same ways, and the engine decides by the error's class, so the
whole table stands here and nowhere else. Clients before API 52 answer with plain text or
HTML, later ones with JSON; a proxy or another program on the port answers with anything.
"""

from __future__ import annotations

import html
import json
import re
from typing import Any

from hydrusd.errors import (
    EXCERPT_LENGTH,
    AccessDenied,
    HydrusError,
    HydrusFailed,
    HydrusUnavailable,
    PermissionMissing,
    RequestRejected,
)
from hydrusd.redaction import redact

from ._http import Answer, Request
from ._permissions import Permission

WHERE_TO_LOOK = "in the client under services > review services > local > client api"

_MISSING_PERMISSION = re.compile(r"(?:permission to|these permissions): *(.+)", re.DOTALL)
# What a client says to a key that may search, but only for some tags.
_TAG_FILTER = re.compile(
    r"permission to (?:see all files|search everything|do this search)|access to all those files"
)
_MALFORMED_KEY = re.compile(r"(?i)problem parsing \S*(?:access|session)-key")
_TRACEBACK = "Traceback (most recent call last)"


_DENIED = {
    400: f"the access key is malformed: copy it again {WHERE_TO_LOOK}",
    401: f"the client saw no access key: make or copy one {WHERE_TO_LOOK}",
    403: f"the client refuses this access key: look whether it exists {WHERE_TO_LOOK}",
}
_NOT_LOCAL = (
    "the client answers only to its own machine: allow non-local connections "
    "under services > manage services > client api"
)
_UNAVAILABLE = {
    503: "the client is busy, locked or shutting down",
    509: "the client's bandwidth rule for its API is used up",
    # Says nothing of what was asked, and would be said to everything.
    419: "the client does not know the session which it has just opened",
}
_FAILED = {
    408: "the client did not wait for the request",
    409: "the client cannot do that now",
    422: "the client cannot do that before its user has had a look",
    429: "the client asks for fewer requests",
}


def failure(request: Request, answer: Answer, api_version: int) -> HydrusError:
    """Give the error for an answer whose status is not a success."""
    status = answer.status
    said, _ = words_of(answer)
    details: dict[str, Any] = {
        "method": request.method,
        "path": request.path,
        "status": status,
        "excerpt": redact(said)[:EXCERPT_LENGTH],
    }
    if status == 403:
        return _forbidden(said, api_version, details)
    if status == 401 or (status == 400 and _MALFORMED_KEY.search(said)):
        return AccessDenied(_DENIED[status], **details)
    if status in _UNAVAILABLE:
        return HydrusUnavailable(_UNAVAILABLE[status], **details)
    if status in _FAILED:
        return HydrusFailed(_FAILED[status], **details)
    if status >= 500:
        return HydrusFailed("the client failed at it", **details)
    if status >= 400:
        return RequestRejected("the client refuses that", **details)
    return nonsense(request, answer, "a redirect" if status >= 300 else "a partial success")


def _forbidden(said: str, api_version: int, details: dict[str, Any]) -> HydrusError:
    if match := _MISSING_PERMISSION.search(said):
        words = redact(match[1].strip())
        return PermissionMissing(
            f'the access key may not "{words}": tick it {WHERE_TO_LOOK}',
            permission=words,
            **details,
        )
    if _TAG_FILTER.search(said):
        words = Permission.SEARCH_FILES.words(api_version)
        return PermissionMissing(
            f'the access key may "{words}", but only by some tags: '
            f"let it search all tags, {WHERE_TO_LOOK}",
            permission=words,
            **details,
        )
    if "disabled file viewing statistics" in said:
        return RequestRejected("the client keeps no viewing statistics, by its options", **details)
    message = _NOT_LOCAL if "local access" in said.lower() else _DENIED[403]
    return AccessDenied(message, **details)


def nonsense(request: Request, answer: Answer, why: str) -> HydrusFailed:
    """Give the error for a success that is none: not the answer which the route gives."""
    said, _ = words_of(answer)
    return HydrusFailed(
        f"the answer makes no sense ({why}): is there a Hydrus client at this address?",
        method=request.method,
        path=request.path,
        status=answer.status,
        excerpt=redact(said)[:EXCERPT_LENGTH],
    )


def session_died(answer: Answer) -> bool:
    """Tell whether the answer means that the session key is no longer known.

    Some clients fall over an expired session with a KeyError in place of a 419.
    """
    if answer.status != 500:
        return answer.status == 419
    said, exception_type = words_of(answer)
    if exception_type:
        return exception_type == "KeyError"
    return re.match(r"(?:builtins\.)?KeyError: ", said) is not None


def words_of(answer: Answer) -> tuple[str, str]:
    """Give the client's own words as one line, not redacted, and the exception's name if told."""
    text = answer.body[:65536].decode("utf-8", "replace")
    exception_type = ""
    try:
        body = json.loads(answer.body)
    except ValueError:
        if text.lstrip()[:9].lower().startswith(("<html", "<!doctype")):
            text = re.sub(r"(?is)<(head|style|script)\b.*?</\1>|<[^>]*>", " ", text)
            text = html.unescape(text)
    else:
        if isinstance(body, dict):
            text = str(body.get("error", ""))
            exception_type = str(body.get("exception_type", ""))
    return last_words(text), exception_type


def last_words(text: str) -> str:
    """Give the text as one line; of a traceback, which says the news at its end, the last one."""
    if _TRACEBACK in text:
        lines = [line for line in text.splitlines() if line.strip()]
        text = lines[-1]
    return " ".join(text.split())
