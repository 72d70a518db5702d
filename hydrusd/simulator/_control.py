"""``/_simulator/…``: the way into a simulator that runs in another process.

No real client has these paths; they exist only where the config says ``control``.

- ``POST /_simulator/faults`` with ``{"kind": "status", "path": "/add_files/add_file",
  "times": 3, "status": 503, …}`` (the fields of ``Fault``) orders a fault;
  ``{"clear": true}`` cancels all. Answers ``{"waiting": n}``.
- ``GET /_simulator/state`` tells what the client holds and has committed, see ``State``.

No keys are asked for and none are told.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

from starlette.requests import Request
from starlette.responses import JSONResponse
from starlette.types import Receive, Scope, Send

from hydrusd.simulator._faults import Fault, FaultKind, Faults

_PREFIX = "/_simulator/"

State = dict[str, Any]
"""``{boot_id, files: {hash: {...}}, tags: {hash: {service name: {status: [tags]}}},
committed_files: [hash], imports: {hash: times answered 1}, committed_imports: {hash: times},
commits: [{number, time, boot_id, imported, changed}], requests: {path: n}, faults_waiting: n}``"""


class Control:
    """Answers the control paths."""

    def __init__(self, faults: Faults, state: Callable[[], State]) -> None:
        self._faults = faults
        self._state = state

    def owns(self, path: str) -> bool:
        """Say whether a path is one of these."""
        return path.startswith(_PREFIX)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer one control request."""
        request = Request(scope, receive)
        asked = (request.method, scope["path"].removeprefix(_PREFIX))
        if asked == ("POST", "faults"):
            answer = self._order(await request.body())
        elif asked == ("GET", "state"):
            answer = JSONResponse(self._state())
        else:
            answer = JSONResponse({"error": "no such control path"}, status_code=404)
        await answer(scope, receive, send)

    def _order(self, body: bytes) -> JSONResponse:
        try:
            members = json.loads(body)
            if members.pop("clear", False):
                self._faults.clear()
            else:
                self._faults.add(Fault(**{**members, "kind": FaultKind(members["kind"])}))
        except (ValueError, KeyError, TypeError, AttributeError) as error:
            return JSONResponse({"error": f"that is no fault: {error}"}, status_code=400)
        return JSONResponse({"waiting": self._faults.waiting()})
