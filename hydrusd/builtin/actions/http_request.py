"""Sends a request to a server that is not Hydrus."""

from __future__ import annotations

import hashlib
import ipaddress
import json
from collections.abc import Sequence
from http import HTTPStatus
from typing import Any, ClassVar, Literal, Self
from urllib.parse import urlencode, urlsplit

from pydantic import Field, model_validator

from hydrusd.plugin import (
    CHAIN_HEADER,
    AnswerLost,
    AnyAction,
    Call,
    Duration,
    Foreseen,
    HttpReply,
    Outcome,
    OutsideAction,
    SecretText,
    TextOrSecret,
    fetch,
    revealed,
)

KEPT_BYTES = 64 * 1024
_LONGEST_ASKED_SECONDS = 3600.0
_READING = frozenset({"GET", "HEAD"})
_NOT_NOW = frozenset({425, 429, 503})
"""The server has done nothing and says so."""
_SICK = frozenset({408, 500, 502, 504})
"""Nobody knows what it has done before it failed."""
_TOLD_CHARACTERS = 200


class HttpRequest(OutsideAction):
    """Send a request to a server that is not Hydrus: a webhook, a service of your own.

    Redirects are followed as long as nothing but reading is repeated. 429 and 503 are tried
    again, `GET` and `HEAD` also after a failure of the server. Other methods carry an
    `Idempotency-Key`, the same each time that a step is repeated: servers that know it do
    nothing twice.

    Later steps see `steps.http_request.status`, `.text` (up to 64 KB), and `.json` where the
    answer is JSON.
    """

    action: ClassVar[str] = "http_request"
    repeat_shows: ClassVar[bool] = True
    no_undo: ClassVar[str] = "only the other side knows how it is undone"

    url: TextOrSecret = Field(
        description='Where to; may hold templates. A secret address as `{secret: "${env:NAME}"}`.'
    )
    query: dict[str, TextOrSecret] = Field(
        default={},
        description="What to add to it, as in `?name=value`, each encoded as an address needs it.",
    )
    method: Literal["GET", "HEAD", "POST", "PUT", "PATCH", "DELETE"] = Field(
        default="GET", description="What to do there."
    )
    headers: dict[str, TextOrSecret] = Field(
        default={},
        description='Headers to send; secrets as `{secret: "Bearer ${env:TOKEN}"}`.',
    )
    json_: Any = Field(default=None, alias="json", description="What to send, as JSON.")
    form: dict[str, str] | None = Field(default=None, description="What to send, as a web form.")
    body: str | None = Field(default=None, description="What to send, as text.")
    ok: list[int] = Field(
        default=[], description="The statuses that mean success. Without: all from 200 to 299."
    )
    timeout: Duration = Field(default=30.0, gt=0, description="How long it may take in all.")

    @model_validator(mode="after")
    def _makes_sense(self) -> Self:
        bodies = sum(each is not None for each in (self.json_, self.form, self.body))
        if bodies > 1:
            raise ValueError("give one of json, form and body")
        if bodies and self.method in _READING:
            raise ValueError(f"{self.method} sends nothing along; did you mean method: POST?")
        return self

    @property
    def harmless(self) -> bool:
        """Say whether it only reads."""
        return self.method in _READING

    @classmethod
    async def plan(cls, calls: Sequence[Call[AnyAction]]) -> Sequence[Foreseen]:
        """Say what would be sent where."""
        plans = []
        for call in calls:
            action = call.action
            assert isinstance(action, HttpRequest)
            detail = f"would send {action.method} to {action._place}"  # noqa: SLF001 - its own
            plans.append(Foreseen(detail, changes=not action.harmless))
        return plans

    @property
    def _place(self) -> str:
        """Where it goes, as far as that may be told."""
        if isinstance(self.url, SecretText):
            return "a secret address"
        try:
            parts = urlsplit(self.url)
            port = f":{parts.port}" if parts.port else ""
        except ValueError:
            return "an address that is none"
        return f"{parts.scheme}://{parts.hostname or ''}{port}{parts.path}"

    @classmethod
    async def perform(cls, calls: Sequence[Call[Any]]) -> Outcome:
        """Send it for one item."""
        call = calls[0]
        action = call.action
        assert isinstance(action, HttpRequest)
        secret = isinstance(action.url, SecretText)
        body, content_type = action._body()  # noqa: SLF001 - its own
        own = {"Content-Type": content_type} if content_type else {}
        if not action.harmless:
            own["Idempotency-Key"] = _idempotency_key(call)
        if action._stays_here():  # noqa: SLF001 - its own
            own[CHAIN_HEADER] = json.dumps(call.chain)
        given = revealed(action.headers)
        names = {name.lower() for name in given}
        try:
            reply = await fetch(
                action._address(),  # noqa: SLF001 - its own
                method=action.method,
                headers={n: v for n, v in own.items() if n.lower() not in names} | given,
                body=body,
                timeout_seconds=action.timeout,
                max_bytes=KEPT_BYTES,
                cut=True,
                shown_as=action._place if secret else "",  # noqa: SLF001 - its own
            )
        except AnswerLost as error:
            return action.unknown(str(error))
        return action._outcome(reply)  # noqa: SLF001 - its own

    def _address(self) -> str:
        address = revealed({"url": self.url})["url"]
        if not self.query:
            return address
        between = "&" if "?" in address else "?"
        return f"{address}{between}{urlencode(revealed(self.query))}"

    def _stays_here(self) -> bool:
        """Say whether it goes to this machine, where it may come back as a webhook's message."""
        try:
            host = urlsplit(self._address()).hostname or ""
            return host == "localhost" or ipaddress.ip_address(host).is_loopback
        except ValueError:
            return False

    def _body(self) -> tuple[bytes, str]:
        if self.json_ is not None:
            return json.dumps(self.json_).encode(), "application/json"
        if self.form is not None:
            return urlencode(self.form).encode(), "application/x-www-form-urlencoded"
        if self.body is not None:
            return self.body.encode("utf-8", "replace"), "text/plain; charset=utf-8"
        return b"", ""

    def _outcome(self, reply: HttpReply) -> Outcome:
        text = _text(reply)
        detail = f"{self.method} {self._place} → {reply.status} {_phrase(reply.status)}".rstrip()
        values: dict[str, object] = {"status": reply.status, "text": text}
        if reply.whole and (found := _json(text)) is not None:
            values["json"] = found
        if reply.status in self.ok or (not self.ok and 200 <= reply.status < 300):
            return Outcome.done(detail, values=values)
        said = " ".join(text.split())[:_TOLD_CHARACTERS]
        detail = f"{detail}: {said}" if said else detail
        if reply.status in _NOT_NOW:
            return Outcome.retry(detail, delay_seconds=_asked_to_wait(reply))
        if reply.status in _SICK:
            return self.unknown(detail)
        if 300 <= reply.status < 400 and "location" in reply.headers:
            detail += "; it was redirected, and is not sent again elsewhere: write that address"
        return Outcome.dead(detail, values=values)


def _idempotency_key(call: Call[Any]) -> str:
    """Give the same key each time that this step is done, and another for every other."""
    what = json.dumps([call.rule, call.job_id, call.position, call.data], sort_keys=True)
    return hashlib.sha256(what.encode()).hexdigest()[:32]


def _text(reply: HttpReply) -> str:
    _, _, charset = reply.headers.get("content-type", "").lower().partition("charset=")
    try:
        return reply.body.decode(charset.split(";")[0].strip("\"' ") or "utf-8", "replace")
    except (LookupError, ValueError):
        return reply.body.decode("utf-8", "replace")


def _json(text: str) -> object:
    try:
        return json.loads(text)
    except (ValueError, RecursionError):
        return None


def _phrase(status: int) -> str:
    try:
        return HTTPStatus(status).phrase
    except ValueError:
        return ""


def _asked_to_wait(reply: HttpReply) -> float | None:
    seconds = reply.headers.get("retry-after", "")
    return min(float(seconds), _LONGEST_ASKED_SECONDS) if seconds.isdecimal() else None
