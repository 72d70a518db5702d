"""Who we are to the client: the access key, and the session key bought with it.

The access key travels once per session, in a header, to one route; everything else goes
with the session key, which dies with the client. That death is also news: before API 92
nothing else tells that a client has restarted and may have forgotten what it had
acknowledged, so each session has a ``token`` that changes with it.
"""

from __future__ import annotations

import contextlib
import re
import secrets

import anyio
from pydantic import BaseModel, SecretStr

from hydrusd.clock import Clock
from hydrusd.errors import AccessDenied
from hydrusd.redaction import register

from ._failures import WHERE_TO_LOOK, failure, nonsense, session_died
from ._http import Answer, Request, Wire

_KEY = re.compile(r"[0-9a-fA-F]{64}")
# The client forgets a session that was not used for 24 hours, and some versions fall over
# an expired one with a traceback in the user's log: let it lie before that.
_IDLE_SECONDS = 23 * 3600


class _SessionAnswer(BaseModel):
    session_key: SecretStr


class Session:
    """Sends requests in the name of one access key; opens and renews the session itself."""

    def __init__(self, wire: Wire, access_key: str, clock: Clock) -> None:
        self._wire = wire
        self._clock = clock
        self._access_key = SecretStr(access_key.strip())
        register(access_key.strip())
        self._key: SecretStr | None = None
        self._used_at = 0.0
        self._opening = anyio.Lock()
        self.token = ""

    def __repr__(self) -> str:
        return f"<Session with {self._wire.address}>"

    async def send(self, request: Request) -> Answer:
        """Send the request with a live session key; once more if the session had died."""
        if self._clock.monotonic() - self._used_at > _IDLE_SECONDS:
            self._key = None
        used = self._key or await self._opened(instead_of=None)
        answer = await self._send(request, used)
        if session_died(answer):
            answer = await self._send(request, await self._opened(instead_of=used))
        return answer

    async def send_with_access_key(self, request: Request) -> Answer:
        """Send a request without a session: to open one, or where none can be had."""
        return await self._wire.send(
            request.with_header("Hydrus-Client-API-Access-Key", self._checked_access_key())
        )

    async def _send(self, request: Request, key: SecretStr) -> Answer:
        self._used_at = self._clock.monotonic()
        return await self._wire.send(
            request.with_header("Hydrus-Client-API-Session-Key", key.get_secret_value())
        )

    async def _opened(self, *, instead_of: SecretStr | None) -> SecretStr:
        async with self._opening:
            if self._key is not None and self._key is not instead_of:
                return self._key  # another task met the dead session first
            self._key = None
            request = Request("GET", "/session_key")
            answer = await self.send_with_access_key(request)
            if answer.status != 200:
                raise failure(request, answer, api_version=0)
            key = None
            with contextlib.suppress(ValueError):
                key = _SessionAnswer.model_validate_json(answer.body).session_key
            if key is None:
                raise nonsense(request, answer, "no session key")
            register(key.get_secret_value())
            self.token = secrets.token_hex(16)
            self._key = key
            return key

    def _checked_access_key(self) -> str:
        access_key = self._access_key.get_secret_value()
        if not _KEY.fullmatch(access_key):
            raise AccessDenied(
                "this is no Hydrus access key: it has 64 hexadecimal digits, and this has "
                f"{len(access_key)} characters; copy it again {WHERE_TO_LOOK}"
            )
        return access_key
