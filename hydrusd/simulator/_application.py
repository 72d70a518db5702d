"""The ASGI application: transport rules in the real client's order, then the route.

No web framework's router, because nearly every answer that one would give by
itself (404, 405, redirects, parsing) differs from what a real client answers.
"""

from __future__ import annotations

import asyncio
import threading
from collections import Counter
from typing import Any

from starlette.datastructures import Headers
from starlette.types import Receive, Scope, Send

from hydrusd.simulator._answers import (
    JSON_TYPE,
    Answer,
    missing_page,
    refusal_answer,
    send_answer,
    unknown_method,
)
from hydrusd.simulator._arguments import (
    ACCESS_KEY,
    SESSION_KEY,
    Arguments,
    parse_json_body,
    parse_query,
)
from hydrusd.simulator._client import Client
from hydrusd.simulator._config import Permissions
from hydrusd.simulator._control import Control
from hydrusd.simulator._errors import Refusal, Unforeseen, bad_request
from hydrusd.simulator._faults import Fault, FaultKind, Faults
from hydrusd.simulator._routing import Call, Route
from hydrusd.simulator._uploads import Spool, Upload
from hydrusd.simulator.routes import ROUTES

CUT_EXTENSION = "hydrusd.simulator.cut"
"""In ``scope["extensions"]``: what closes the connection, if the server can (see ``_serving``)."""

OTHER_PATHS = "(other)"

# The content types that say "the body is a file". Any other is refused.
_FILE_TYPES = frozenset({
    "application/octet-stream", "application/pdf", "application/zip", "text/html", "text/plain",
})  # fmt: skip
_FILE_FAMILIES = ("image/", "video/", "audio/")
_WEB_PAGE = Answer(
    body=b"<!DOCTYPE html><html><body>Please log in to the network.</body></html>",
    content_type="text/html",
)


class Application:
    """Answers requests for a simulated client."""

    def __init__(self, client: Client, faults: Faults, control: Control | None) -> None:
        self._client = client
        self._faults = faults
        self._control = control
        self._counting = threading.Lock()
        self._requests: Counter[str] = Counter()
        self._routes: dict[str, dict[str, Route]] = {}
        for route in ROUTES:
            if route.since <= client.era.api < route.until:
                self._routes.setdefault(route.path, {})[route.method] = route
        self._folders = {path.rsplit("/", 1)[0] for path in self._routes} - {""}

    def requests(self) -> Counter[str]:
        """Count the requests so far by path."""
        with self._counting:
            return self._requests.copy()

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer one request."""
        if scope["type"] != "http":
            return
        path = scope["path"]
        if self._control and self._control.owns(path):
            await self._control(scope, receive, send)
            return
        with self._counting:
            self._requests[path if path in self._routes else OTHER_PATHS] += 1
        fault = self._faults.take(path)
        if fault:
            await self._go_wrong(fault, scope, receive, send)
        else:
            answer = await self._answer(scope, receive)
            await send_answer(send, self._client.era, answer)

    async def _go_wrong(self, fault: Fault, scope: Scope, receive: Receive, send: Send) -> None:
        era = self._client.era
        if fault.kind is FaultKind.CUT:
            await _cut(scope, at_once=True)
            return
        if fault.kind in {FaultKind.STATUS, FaultKind.NOT_JSON}:
            body = await _read_body(receive, self._client, to_spool=True)
            if isinstance(body, Upload):
                body.discard()
            wanted_status = fault.kind is FaultKind.STATUS
            answer = refusal_answer(era, fault.refusal) if wanted_status else _WEB_PAGE
            await send_answer(send, era, answer)
            return
        if fault.kind is FaultKind.SLOW:
            await asyncio.sleep(fault.seconds)
        answer = await self._answer(scope, receive)
        if fault.kind is FaultKind.SLOW:
            await send_answer(send, era, answer)
        elif fault.kind is FaultKind.WORK_THEN_CUT:
            await _cut(scope, at_once=True)
        else:
            await send_answer(send, era, answer, cut_after=answer.size // 2)
            await _cut(scope, at_once=False)

    async def _answer(self, scope: Scope, receive: Receive) -> Answer:
        era = self._client.era
        method = "GET" if scope["method"] == "HEAD" else scope["method"]
        headers = Headers(scope=scope)
        content_type = headers.get("content-type", "")
        body = await _read_body(receive, self._client, to_spool=not _is_json(content_type))
        upload = body if isinstance(body, Upload) else None
        try:
            if method not in {"GET", "POST", "OPTIONS"}:
                return unknown_method(era, method)
            methods = self._routes.get(scope["path"])
            if methods is None:
                folder = scope["path"].rsplit("/", 1)[0]
                return missing_page(era, in_folder=folder in self._folders)
            call, route = self._checked(scope, method, methods, headers, body)
            return await route.handler(call)
        except Refusal as refusal:
            return refusal_answer(era, refusal)
        finally:
            if upload:
                upload.discard()

    def _checked(
        self,
        scope: Scope,
        method: str,
        methods: dict[str, Route],
        headers: Headers,
        body: bytes | Upload,
    ) -> tuple[Call, Route]:
        """Check a request in the order of the real client, and give what its route needs."""
        client = self._client
        route = methods.get(method)
        if client.locked and not (route and route.while_locked):
            raise Refusal(503, "This server is busy, please try again later.")
        try:
            client.check_caller(headers.get("user-agent", ""))
        except ValueError as error:
            raise Unforeseen("ValueError", f"builtins.ValueError: {error}") from error
        if method == "OPTIONS":
            raise Refusal(401, "This service does not support CORS.", "DoesNotSupportCORSException")
        keys = {
            name: client.access.check_header(name, headers[name])
            for name in (ACCESS_KEY, SESSION_KEY)
            if name in headers
        }
        identity = client.access.identify(keys)
        values, upload = self._values(scope, method, headers, body)
        if identity is None:
            presented = {n: values[n] for n in (ACCESS_KEY, SESSION_KEY) if n in values}
            identity = client.access.identify(presented)
        public = route is not None and route.permissions is None
        if identity is None and not public:
            raise Refusal(401, "No access key or session key provided!")
        access_key, permissions = identity or ("", Permissions(name=""))
        if route is None:
            raise Refusal(404, "This service does not support that request!")
        client.access.demand(permissions, route.permissions or frozenset())
        call = Call(
            client=client,
            arguments=Arguments(values, null_is_absent=client.era.has("null_is_absent")),
            upload=upload,
            access_key=access_key,
            permissions=permissions,
            range_header=headers.get("range", ""),
        )
        return call, route

    def _values(
        self, scope: Scope, method: str, headers: Headers, body: bytes | Upload
    ) -> tuple[dict[str, Any], Upload | None]:
        """Give the arguments of a request, and the file it carries instead of them."""
        if method != "POST":
            return parse_query(scope["query_string"]), None
        content_type = headers.get("content-type")
        if content_type is None:
            return {}, None
        bare = _bare(content_type)
        if bare == JSON_TYPE and isinstance(body, bytes):
            if bare != content_type.strip() and not self._client.era.has("content_type_suffix"):
                raise bad_request(f'Did not recognise the content type "{content_type}"!')
            return parse_json_body(body), None
        if bare not in _FILE_TYPES and not bare.startswith(_FILE_FAMILIES):
            raise bad_request(f'Did not recognise the content type "{content_type}"!')
        return {}, body if isinstance(body, Upload) else None


def _bare(content_type: str) -> str:
    return content_type.split(";", 1)[0].strip().lower()


def _is_json(content_type: str) -> bool:
    return _bare(content_type) == JSON_TYPE


async def _read_body(receive: Receive, client: Client, *, to_spool: bool) -> bytes | Upload:
    """Take the whole body, as the real server does before it looks at the request."""
    pieces: list[bytes] = []
    spool = Spool(client.store.scratch) if to_spool else None
    try:
        more = True
        while more:
            message = await receive()
            if message["type"] == "http.disconnect":
                raise ConnectionAbortedError("the caller went away in mid-request")
            piece = message.get("body", b"")
            if spool:
                spool.write(piece)
            else:
                pieces.append(piece)
            more = message.get("more_body", False)
    except BaseException:
        if spool:
            spool.abandon()
        raise
    return spool.finish() if spool else b"".join(pieces)


async def _cut(scope: Scope, *, at_once: bool) -> None:
    """Close the connection under the request; ``at_once`` drops what was not yet sent."""
    cut = scope.get("extensions", {}).get(CUT_EXTENSION)
    if cut is None:
        raise ConnectionAbortedError("the simulator cut the connection")
    await cut(at_once)
