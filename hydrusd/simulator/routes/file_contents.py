"""The files themselves: whole and in part, small and rendered, where they lie, their hashes."""

from __future__ import annotations

import asyncio
import re
from pathlib import Path

from hydrusd.simulator._answers import Answer
from hydrusd.simulator._entries import StoredFile
from hydrusd.simulator._errors import Refusal, bad_request
from hydrusd.simulator._pictures import (
    PICTURES,
    RENDER_FORMATS,
    STILL_PICTURES,
    render,
    thumbnail_of,
)
from hydrusd.simulator._routing import HASH_BYTES, Call, Route, wrong_length
from hydrusd.simulator.routes.get_files import FETCH_FILES

SEE_PATHS = frozenset({13})

_RANGE = re.compile(r"bytes=(\d*)-(\d*)\Z")
_YEAR_SECONDS = 365 * 24 * 60 * 60
_FOR_A_YEAR = {"Cache-Control": f"max-age={_YEAR_SECONDS}"}
_THUMBNAIL_PIXELS = 200
_PNG = 2
_PREFIXES = sorted(f"{kind}{number:02x}" for kind in "ft" for number in range(256))


def _asked(call: Call) -> tuple[str, StoredFile | None, bytes | Path | None]:
    """Give the one file that a request is about, and its content if that is on disk."""
    arguments, store = call.arguments, call.client.store
    with store.lock:
        if "file_id" in arguments:
            sha256 = store.hash_of(arguments.number("file_id")) or ""
        elif "hash" in arguments or not call.era.has("json_errors"):
            sha256 = arguments.text("hash")
        else:
            raise bad_request("Please include a file_id or hash parameter!")
        entry = store.entries.get(sha256)
        file = entry.file if entry else None
        return sha256, file, store.content(sha256) if file and file.on_disk else None


def _missing(call: Call) -> Refusal:
    return Refusal(404, call.era.words["file_missing"], "FileMissingException")


async def _file(call: Call) -> Answer:
    await call.client.turn()
    sha256, file, content = _asked(call)
    if file is None or content is None:
        raise _missing(call)
    answer = Answer(
        body=content,
        content_type=file.mime,
        headers=_FOR_A_YEAR | _named(call, sha256 + file.ext),
    )
    return _part(answer, call.range_header) if call.era.has("range") else answer


def _named(call: Call, name: str) -> dict[str, str]:
    disposition = "attachment" if call.arguments.flag("download", default=False) else "inline"
    return {"Content-Disposition": f'{disposition}; filename="{name}"'}


def _part(answer: Answer, asked: str) -> Answer:
    headers = {**answer.headers, "Accept-Ranges": "bytes"}
    whole = Answer(body=answer.body, content_type=answer.content_type, headers=headers)
    if not asked:
        return whole
    match = _RANGE.match(asked)
    if not match or not any(match.groups()):
        raise Refusal(416, f'Could not serve the range "{asked}"!')
    size = answer.size
    if match[1]:
        start = int(match[1])
        end = min(int(match[2]), size - 1) if match[2] else size - 1
    else:
        start, end = max(0, size - int(match[2])), size - 1
    if not 0 <= start <= end:
        raise Refusal(416, f'Could not serve the range "{asked}"!')
    return Answer(
        status=206,
        body=answer.body,
        content_type=answer.content_type,
        headers={**headers, "Content-Range": f"bytes {start}-{end}/{size}"},
        start=start,
        length=end - start + 1,
    )


async def _thumbnail(call: Call) -> Answer:
    await call.client.turn()
    _, file, content = _asked(call)
    if file is None and not call.era.has("default_thumbnails"):
        raise _missing(call)
    picture, mime = await _small(call, content)
    if not call.era.has("thumbnail_types"):
        mime = "application/octet-stream"
    return Answer(body=picture, content_type=mime, headers=_FOR_A_YEAR)


async def _small(call: Call, content: bytes | Path | None) -> tuple[bytes, str]:
    # What is not there any more has the icon of its kind, which here is a grey square.
    as_jpeg = content is not None and call.era.has("thumbnail_types")
    return await asyncio.to_thread(
        lambda: thumbnail_of(content or b"", longest=_THUMBNAIL_PIXELS, jpeg=as_jpeg)
    )


async def _render(call: Call) -> Answer:
    arguments = call.arguments
    await call.client.turn()
    sha256, file, content = _asked(call)
    if file is None or file.filetype_enum not in STILL_PICTURES:
        raise bad_request("Requested file is not an image!")
    wanted = arguments.number("render_format", _PNG)
    if wanted not in RENDER_FORMATS:
        raise bad_request("Invalid render format!")
    size = None
    if "width" in arguments and "height" in arguments:
        size = arguments.number("width"), arguments.number("height")
        for name, length in zip(("Width", "Height"), size, strict=True):
            if length < 1:
                raise bad_request(f"{name} must be greater than 0!")
    quality = arguments.number("render_quality", 80)
    if content is None:
        raise _missing(call)
    picture, mime = await asyncio.to_thread(
        lambda: render(content, wanted, quality=quality, size=size)
    )
    name = f"{sha256}.{mime.rsplit('/', 1)[1]}"
    return Answer(body=picture, content_type=mime, headers=_FOR_A_YEAR | _named(call, name))


async def _file_path(call: Call) -> Answer:
    call.client.access.demand(call.permissions, FETCH_FILES)
    await call.client.turn()
    sha256, file, content = _asked(call)
    if file is None or content is None:
        raise _missing(call)
    path = await asyncio.to_thread(
        call.client.store.lay_out, f"f{sha256[:2]}", sha256 + file.ext, content
    )
    return call.json({"path": str(path), "filetype": file.mime, "size": file.size})


async def _thumbnail_path(call: Call) -> Answer:
    call.client.access.demand(call.permissions, FETCH_FILES)
    await call.client.turn()
    sha256, file, content = _asked(call)
    if file is None or file.filetype_enum not in PICTURES:
        raise bad_request("Sorry, this file type does not have a thumbnail!")
    picture, mime = await _small(call, content)
    path = await asyncio.to_thread(
        call.client.store.lay_out, f"t{sha256[:2]}", f"{sha256}.thumbnail", picture
    )
    body = {"path": str(path)}
    if call.arguments.flag("include_thumbnail_filetype", default=False):
        body["filetype"] = mime
    return call.json(body)


async def _local_file_storage_locations(call: Call) -> Answer:
    call.client.access.demand(call.permissions, FETCH_FILES)
    location = {
        "path": str(call.client.store.files_root),
        "ideal_weight": 1,
        "max_num_bytes": None,
        "prefixes": _PREFIXES,
    }
    return call.json({"locations": [location]})


async def _file_hashes(call: Call) -> Answer:
    arguments = call.arguments
    source = arguments.text("source_hash_type", "sha256")
    desired = arguments.text("desired_hash_type")
    if not {source, desired} <= HASH_BYTES.keys():
        raise bad_request("I do not support that hash type!")
    asked = arguments.union("hash", "hashes")
    if not asked:
        raise bad_request("You have to specify a hash to look up!")
    for hash_ in asked:
        if len(hash_) != HASH_BYTES[source] * 2:
            raise wrong_length(hash_, source)
    await call.client.turn()
    hashes = await asyncio.to_thread(_converted, call, asked, source, desired)
    return call.json({"hashes": hashes})


def _converted(call: Call, asked: list[str], source: str, desired: str) -> dict[str, str]:
    store = call.client.store
    with store.lock:
        if source == "sha256":
            known = {sha256: sha256 for sha256 in asked}
        else:
            known = {store.digests(sha256).get(source, ""): sha256 for sha256 in store.entries}
        found = {hash_: store.digests(known[hash_]) for hash_ in asked if hash_ in known}
        return {hash_: digests[desired] for hash_, digests in found.items() if digests}


ROUTES = (
    Route(method="GET", path="/get_files/file", permissions=FETCH_FILES, handler=_file),
    Route(method="GET", path="/get_files/thumbnail", permissions=FETCH_FILES, handler=_thumbnail),
    Route(
        method="GET",
        path="/get_files/render",
        permissions=FETCH_FILES,
        handler=_render,
        since=52,
    ),
    Route(
        method="GET",
        path="/get_files/file_hashes",
        permissions=FETCH_FILES,
        handler=_file_hashes,
        since=37,
    ),
    Route(
        method="GET",
        path="/get_files/file_path",
        permissions=SEE_PATHS,
        handler=_file_path,
        since=71,
    ),
    Route(
        method="GET",
        path="/get_files/thumbnail_path",
        permissions=SEE_PATHS,
        handler=_thumbnail_path,
        since=71,
    ),
    Route(
        method="GET",
        path="/get_files/local_file_storage_locations",
        permissions=SEE_PATHS,
        handler=_local_file_storage_locations,
        since=72,
    ),
)
