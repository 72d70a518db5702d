"""What goes back to a caller."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import anyio
from starlette.types import Send

from hydrusd.simulator._eras import Era
from hydrusd.simulator._errors import Refusal, Unforeseen
from hydrusd.simulator._uploads import CHUNK_BYTES

JSON_TYPE = "application/json"


@dataclass(frozen=True, slots=True, kw_only=True)
class Answer:
    """One HTTP answer. ``start`` and ``length`` choose a part of a body that lies in a file."""

    status: int = 200
    body: bytes | Path = b""
    content_type: str = ""
    headers: Mapping[str, str] = field(default_factory=dict)
    start: int = 0
    length: int | None = None

    @property
    def size(self) -> int:
        """How many bytes the body has."""
        if self.length is not None:
            return self.length
        return self.body.stat().st_size if isinstance(self.body, Path) else len(self.body)

    async def chunks(self) -> AsyncIterator[bytes]:
        """Give the body in pieces."""
        if isinstance(self.body, bytes):
            yield self.body[self.start : self.start + self.size]
            return
        left = self.size
        async with await anyio.open_file(self.body, "rb") as stream:
            await stream.seek(self.start)
            while left and (piece := await stream.read(min(left, CHUNK_BYTES))):
                left -= len(piece)
                yield piece


EMPTY = Answer()


def json_answer(era: Era, body: Mapping[str, Any], *, status: int = 200) -> Answer:
    """Give a JSON answer with the version members that the era adds."""
    if era.has("version_in_bodies"):
        body = {**body, "version": era.api, "hydrus_version": era.hydrus}
    return Answer(
        status=status,
        body=json.dumps(body).encode(),
        content_type=JSON_TYPE,
        headers={"Cache-Control": "max-age=4"} if status == 200 else {},
    )


def refusal_answer(era: Era, refusal: Refusal) -> Answer:
    """Give an error answer: JSON since API 52, before that the bare words."""
    words = refusal.words
    if isinstance(refusal, Unforeseen):
        words = (
            era.words["unforeseen"]
            + "Traceback (most recent call last):\n  [frames of the simulator]\n"
            + refusal.last_line
        )
    if not era.has("json_errors"):
        return Answer(status=refusal.status, body=words.encode(), content_type=era.html_type)
    body = {
        "error": words,
        "exception_type": refusal.exception_name,
        "status_code": refusal.status,
    }
    return json_answer(era, body, status=refusal.status)


def missing_page(era: Era, *, in_folder: bool) -> Answer:
    """Give the page for a path that no route has."""
    page = era.missing_in_folder if in_folder else era.missing_page
    return Answer(
        status=404,
        body=page.encode(),
        content_type="text/html; charset=utf-8",
        headers={"Server": era.missing_server},
    )


def unknown_method(era: Era, method: str) -> Answer:
    """Give the page for a verb that the server's library does not do."""
    page = f"<html><head><title>501</title></head><body><p>No {method} here.</p></body></html>"
    return Answer(
        status=501,
        body=page.encode(),
        content_type="text/html; charset=utf-8",
        headers={"Server": era.missing_server},
    )


async def send_answer(
    send: Send, era: Era, answer: Answer, *, cut_after: int | None = None
) -> None:
    """Send an answer, or its head and only the first ``cut_after`` bytes of its body."""
    headers = {"Server": era.server}
    if era.has("hydrus_server_header"):
        headers["Hydrus-Server"] = era.server
    if answer.content_type:
        headers["Content-Type"] = answer.content_type
    headers |= {"Content-Length": str(answer.size), **answer.headers}
    await send(
        {
            "type": "http.response.start",
            "status": answer.status,
            "headers": [(k.lower().encode(), v.encode("latin-1")) for k, v in headers.items()],
        }
    )
    async for piece in answer.chunks():
        last = isinstance(answer.body, bytes) and cut_after is None
        part = piece if cut_after is None else piece[:cut_after]
        await send({"type": "http.response.body", "body": part, "more_body": not last})
        if last or cut_after is not None:
            return
    await send({"type": "http.response.body", "body": b"", "more_body": False})
