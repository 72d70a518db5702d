"""The trigger that notices what other programs send it.

A sender is told that its message was taken only when it is stored; what it gets no answer to
it may send again under the same key, and nothing happens twice. A browser can be made by any
page to post to this machine, so whatever lacks the secret is refused, and the secret is taken
from a header alone: one that no page can set without asking first, which is answered with no.
"""

from __future__ import annotations

import hashlib
import ipaddress
import json
import math
import re
import uuid
from collections import deque
from collections.abc import Mapping
from hmac import compare_digest, new as hmac_of
from typing import TYPE_CHECKING, Annotated, Any, ClassVar, Self, TypeGuard
from urllib.parse import parse_qs, urlsplit

import anyio
from anyio import to_thread
from pydantic import AfterValidator, Field, StrictBool, model_validator

from hydrusd.plugin import (
    CHAIN_HEADER,
    Event,
    PermanentError,
    Secret,
    Size,
    Trigger,
    TriggerContext,
)

if TYPE_CHECKING:
    from hydrusd.builtin.triggers._listening import Delivery, Reply

AGAIN_SECONDS = 15.0
"""How soon a port that could not be had is tried again."""
WINDOW_SECONDS = 60.0
SHORTEST_SECRET = 16
MOST_FIELDS = 200
MOST_HASHES = 1000
LONGEST_KEY = 200

_PATH = re.compile(r"/[A-Za-z0-9._~/-]{0,200}")
_HEADER = re.compile(r"[A-Za-z0-9-]{1,100}")
_HASH = re.compile(r"[0-9a-fA-F]{64}")
_KEY = re.compile(r"[\x21-\x7e]+")


def _path(text: str) -> str:
    if not _PATH.fullmatch(text):
        raise ValueError("must begin with / and hold letters, digits, / and . _ ~ - only")
    return text


def _header(text: str) -> str:
    if not _HEADER.fullmatch(text):
        raise ValueError("must be the name of a header: letters, digits and - only")
    return text


def _host(text: str) -> str:
    try:
        return str(ipaddress.ip_address("127.0.0.1" if text == "localhost" else text))
    except ValueError:
        raise ValueError("must be an address of this machine, as in 127.0.0.1") from None


HeaderName = Annotated[str, AfterValidator(_header)]


class Webhook(Trigger):
    """Notice each message that another program sends by HTTP (`POST`) with the right secret.

    Give `secret`, which the sender repeats in the header `Authorization: Bearer …` or
    `X-Hydrusd-Secret`; or `hmac`, with which it signs the body (SHA-256, hexadecimal, with or
    without `sha256=` before it) in the header `hmac_header`. Either has at least 16 characters.

    The answer is 202 as soon as the message is stored. One with an `Idempotency-Key` that was
    there before is answered in the same way and does nothing. Others: 400 and 415 for a body that
    cannot be read, 401 without the right secret, 413 too large, 429 too many (`Retry-After` says
    when), 500 and 503 try again.

    Bodies may be JSON, a form (`application/x-www-form-urlencoded`) or plain text. Conditions and
    templates see them as `webhook.json`, `webhook.form` or `webhook.text`, whichever was sent,
    and `webhook.query` and `webhook.path`. Where JSON or form have a `hash` or `hashes` (SHA-256)
    or a `url` (http, https) that are such, these are there by their names too, and the steps are
    about those files of Hydrus.

    It listens on this machine only. Rules may share a port, each with its own path.
    """

    trigger: ClassVar[str] = "webhook"
    outside: ClassVar[bool] = True
    gives: ClassVar[Mapping[str, Any] | None] = {
        "webhook": {"path": None, "query": None, "json": None, "form": None, "text": None},
        "hash": None,
        "hashes": None,
        "url": None,
    }

    path: Annotated[str, AfterValidator(_path)] = Field(
        description="What comes after host and port in the address, as in /import."
    )
    host: Annotated[str, AfterValidator(_host)] = Field(
        default="127.0.0.1", description="The address to listen on."
    )
    port: int = Field(default=45870, ge=1, le=65535, description="The port to listen on.")
    allow_other_machines: StrictBool = Field(
        default=False,
        description="Must be true for a `host` that other machines reach. They send the secret "
        "in plain text, unless something before hydrusd speaks HTTPS.",
    )
    secret: Secret | None = Field(default=None, description="What a sender must know.")
    hmac: Secret | None = Field(default=None, description="What a sender must sign with.")
    hmac_header: HeaderName = Field(
        default="X-Hub-Signature-256", description="The header with the signature."
    )
    key_header: HeaderName = Field(
        default="Idempotency-Key",
        description="The header with what tells one message from another.",
    )
    max_size: Size = Field(
        default=64 * 1024,
        ge=1,
        le=1024 * 1024,
        description="The largest body that is taken, at most 1 MB.",
        json_schema_extra={"default": "64 KB"},
    )
    per_minute: int = Field(
        default=60, ge=1, le=6000, description="How many messages are taken in a minute."
    )

    @model_validator(mode="after")
    def _is_guarded(self) -> Self:
        if (self.secret is None) == (self.hmac is None):
            said = "neither is given" if self.secret is None else "both are given"
            raise ValueError(f"a webhook has either a 'secret' or an 'hmac'; {said}")
        if not ipaddress.ip_address(self.host).is_loopback and not self.allow_other_machines:
            raise ValueError(
                f"other machines would reach {self.host}; "
                "write 'allow_other_machines: true' if that is meant"
            )
        return self

    async def run(self, context: TriggerContext) -> None:
        """Take messages until cancelled."""
        # Imported late: a server takes longer to import than all the rest of this trigger.
        from hydrusd.builtin.triggers._listening import ListenerError, Place, listening

        desk = _Desk(self, context)
        await desk.secret()  # said now rather than to the first sender
        place = Place(desk.receive, self.max_size)
        while True:
            try:
                async with listening(self.host, self.port, self.path, place):
                    context.working(f"listening at {self._address}")
                    await anyio.sleep_forever()
            except ListenerError as reason:
                context.waiting(str(reason))
            await context.clock.sleep(AGAIN_SECONDS)

    @property
    def _address(self) -> str:
        host = f"[{self.host}]" if ":" in self.host else self.host
        return f"http://{host}:{self.port}{self.path}"


class _Refused(Exception):
    """A message that is not taken, with the status of the answer."""

    def __init__(self, status: int, reason: str, headers: Mapping[str, str] | None = None) -> None:
        self.status = status
        self.headers = headers or {}
        super().__init__(reason)


class _Desk:
    """Where messages are looked at and handed on."""

    def __init__(self, trigger: Webhook, context: TriggerContext) -> None:
        self._trigger = trigger
        self._context = context
        self._taken: deque[float] = deque()
        self._told = ""

    async def receive(self, delivery: Delivery) -> Reply:
        from hydrusd.builtin.triggers._listening import Reply

        try:
            await self._authenticate(delivery)
            self._count()
            event = self._event(delivery)
        except _Refused as refused:
            return Reply(refused.status, {"error": str(refused)}, refused.headers)
        await self._context.emit([event])
        return Reply(202, {"event": event.key})

    # --- who may -------------------------------------------------------------------------

    async def secret(self) -> bytes:
        """Look the secret up. Raises PermanentError where it cannot be had, or is too short."""
        wanted = self._trigger.secret or self._trigger.hmac
        assert wanted is not None
        # A keyring may ask somebody, a file may be far away.
        secret = (await to_thread.run_sync(wanted.reveal, abandon_on_cancel=True)).encode()
        if len(secret) < SHORTEST_SECRET:
            raise PermanentError(f"the secret has fewer than {SHORTEST_SECRET} characters")
        return secret

    async def _authenticate(self, delivery: Delivery) -> None:
        try:
            secret = await self.secret()
        except PermanentError as error:
            if str(error) != self._told:
                self._told = str(error)
                self._context.warn(self._told)
            raise _Refused(503, "the secret cannot be had", {"Retry-After": "60"}) from error
        self._told = ""
        headers = delivery.headers
        if self._trigger.hmac is None:
            scheme, _, token = headers.get("authorization", "").partition(" ")
            given = [headers.get("x-hydrusd-secret", "")]
            given += [token.strip()] if scheme.lower() == "bearer" else []
            wanted = secret
        else:
            signature = headers.get(self._trigger.hmac_header.lower(), "").lower()
            given = [signature.removeprefix("sha256=")]
            wanted = hmac_of(secret, delivery.body, hashlib.sha256).hexdigest().encode()
        # Headers come as latin-1 text, whatever their bytes meant.
        if not any(compare_digest(each.encode("latin-1"), wanted) for each in given):
            raise _Refused(401, "the secret is missing or wrong", {"WWW-Authenticate": "Bearer"})

    def _count(self) -> None:
        now = self._context.clock.monotonic()
        while self._taken and now - self._taken[0] >= WINDOW_SECONDS:
            self._taken.popleft()
        if len(self._taken) >= self._trigger.per_minute:
            seconds = math.ceil(self._taken[0] + WINDOW_SECONDS - now)
            raise _Refused(429, "too many messages", {"Retry-After": str(max(seconds, 1))})
        self._taken.append(now)

    # --- what it says --------------------------------------------------------------------

    def _event(self, delivery: Delivery) -> Event:
        name = self._trigger.key_header.lower()
        key = delivery.headers.get(name)
        if key is not None and not (len(key) <= LONGEST_KEY and _KEY.fullmatch(key)):
            raise _Refused(400, f"the header {name} must be up to {LONGEST_KEY} characters of text")
        kind, content = _content(delivery)
        query = _fields(delivery.query)
        return Event(
            f"{self._trigger.host}:{self._trigger.port}{delivery.path} {key or uuid.uuid4().hex}",
            {
                "webhook": {"path": delivery.path, "query": query, kind: content},
                **_named(content),
                **_chain(delivery.headers.get(CHAIN_HEADER.lower(), "")),
            },
        )


def _chain(text: str) -> dict[str, object]:
    """Give the rules of this hydrusd that led to the message, where it is from one of them."""
    try:
        chain = json.loads(text)
    except (ValueError, RecursionError):
        return {}
    if not isinstance(chain, list) or not all(isinstance(name, str) for name in chain):
        return {}
    return {"chain": chain}


def _content(delivery: Delivery) -> tuple[str, Any]:
    """Give what kind of body it is, and the body as plain data."""
    media, _, _ = delivery.headers.get("content-type", "").partition(";")
    media = media.strip().lower()
    try:
        text = delivery.body.decode("utf-8-sig")
        if media == "application/json" or media.endswith("+json"):
            return "json", json.loads(text, parse_constant=_no_number, parse_float=_finite)
        if media == "application/x-www-form-urlencoded":
            return "form", _fields(text)
    except (ValueError, RecursionError):
        raise _Refused(400, "the body cannot be read as what it is said to be") from None
    if media == "text/plain" or not delivery.body:
        return "text", text
    raise _Refused(415, "the body must be JSON, a form or plain text, with its Content-Type")


def _fields(text: str) -> dict[str, str | list[str]]:
    try:
        fields = parse_qs(text, keep_blank_values=True, max_num_fields=MOST_FIELDS)
    except ValueError:
        raise _Refused(400, f"there are more than {MOST_FIELDS} fields") from None
    return {name: values[0] if len(values) == 1 else values for name, values in fields.items()}


def _no_number(text: str) -> float:
    raise ValueError(f"{text} is no JSON")


def _finite(text: str) -> float:
    number = float(text)
    if not math.isfinite(number):
        raise ValueError(f"{text} is too large")
    return number


def _named(content: object) -> dict[str, object]:
    """Give what has a meaning of its own, where it is what its name says."""
    if not isinstance(content, Mapping):
        return {}
    named: dict[str, object] = {}
    if _is_hash(file_hash := content.get("hash")):
        named["hash"] = file_hash.lower()
    hashes = content.get("hashes")
    if isinstance(hashes, list) and 0 < len(hashes) <= MOST_HASHES and all(map(_is_hash, hashes)):
        named["hashes"] = [each.lower() for each in hashes]
    if _is_url(url := content.get("url")):
        named["url"] = url
    return named


def _is_hash(value: object) -> TypeGuard[str]:
    return isinstance(value, str) and _HASH.fullmatch(value) is not None


def _is_url(value: object) -> TypeGuard[str]:
    if not isinstance(value, str) or any(c.isspace() or not c.isprintable() for c in value):
        return False
    try:
        parts = urlsplit(value)
    except ValueError:
        return False
    return parts.scheme in {"http", "https"} and bool(parts.hostname)
