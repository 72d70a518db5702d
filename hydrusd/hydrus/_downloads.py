"""Files on their way out of the client: their bytes, their thumbnails, and where they lie.

What is saved is written beside its place under another name, compared with its hash where
that is known, and put in its place only when it is whole. Nothing is ever overwritten.
"""

from __future__ import annotations

import hashlib
import os
import re
import secrets
from collections.abc import Mapping
from dataclasses import dataclass
from enum import IntEnum
from pathlib import Path
from typing import BinaryIO, Protocol

from anyio import to_thread

from hydrusd.errors import HydrusFailed, RequestRejected

from ._calls import FileReference, Route, checked_files
from ._failures import nonsense
from ._http import Answer, Request, encode_query
from ._models import (
    FilePath,
    FilePathAnswer,
    StorageLocation,
    StorageLocationsAnswer,
    ThumbnailPath,
    ThumbnailPathAnswer,
)
from ._permissions import Permission
from ._search import SEARCH_FILES, SearchRoutes

GET_FILE = Route("GET", "/get_files/file", Permission.SEARCH_FILES)
GET_THUMBNAIL = Route("GET", "/get_files/thumbnail", Permission.SEARCH_FILES)
GET_RENDER = Route("GET", "/get_files/render", Permission.SEARCH_FILES, since_api=52)
FILE_PATH = Route("GET", "/get_files/file_path", Permission.SEE_LOCAL_PATHS, since_api=71)
THUMBNAIL_PATH = Route("GET", "/get_files/thumbnail_path", Permission.SEE_LOCAL_PATHS, since_api=71)
STORAGE_LOCATIONS = Route(
    "GET", "/get_files/local_file_storage_locations", Permission.SEE_LOCAL_PATHS, since_api=72
)

_RANGE_SINCE_API = 16  # hydrus v432 had it first, in the middle of API 15
_RENDER_CHOICES_SINCE_API = 68

_CONTENT_RANGE = re.compile(r"bytes (\d+)-(\d+)/(\d+|\*)")


class RenderFormat(IntEnum):
    """What ``get_render`` can make. The last two are for animated ugoiras only."""

    JPEG = 1
    PNG = 2
    WEBP = 33
    APNG = 23
    ANIMATED_WEBP = 83


@dataclass(frozen=True, slots=True)
class Fetched:
    """Bytes from the client, all in memory, and their type as the client says it."""

    content: bytes
    content_type: str


@dataclass(frozen=True, slots=True)
class Saved:
    """What was saved where: its size in bytes, and its type as the client says it."""

    path: Path
    size: int
    content_type: str


class DownloadRoutes(SearchRoutes):
    """Routes that give bytes and places; all need "search for and fetch files".

    A file is named by its SHA-256 in hexadecimal or by its id. Raises RequestRejected (404)
    for one that the client does not have.

    What ``save_…`` writes goes to a new file at ``path``, whose folder must exist. Memory
    is not needed for it. Raises OSError, of which FileExistsError where there is something.
    """

    async def get_file(
        self, file: FileReference, *, start: int = 0, length: int | None = None
    ) -> Fetched:
        """Give the file's bytes, or those from ``start`` on, at most ``length`` of them.

        A part needs API ≥ 16, and RequestRejected means that the file ends before it. The
        whole is compared with the hash, where that was given: HydrusFailed if it differs.
        """
        return await self._fetched(GET_FILE, file, start=start, length=length, whole=True)

    async def save_file(
        self, file: FileReference, path: Path, *, start: int = 0, length: int | None = None
    ) -> Saved:
        """Save the file, or a part of it, as ``get_file`` gives it."""
        return await self._saved(GET_FILE, file, path, start=start, length=length, whole=True)

    async def get_thumbnail(self, file: FileReference) -> Fetched:
        """Give the thumbnail, JPEG or PNG: a stock icon where the file has none."""
        return await self._fetched(GET_THUMBNAIL, file)

    async def save_thumbnail(self, file: FileReference, path: Path) -> Saved:
        """Save the thumbnail, as ``get_thumbnail`` gives it."""
        return await self._saved(GET_THUMBNAIL, file, path)

    async def get_render(
        self,
        file: FileReference,
        *,
        render_format: RenderFormat | None = None,
        quality: int | None = None,
        size: tuple[int, int] | None = None,
    ) -> Fetched:
        """Give what the client shows for a still image or a ugoira, as an image.

        PNG, or APNG for a ugoira, unless ``render_format`` says otherwise. ``quality`` is a
        percentage, for PNG the compression from 0 to 9; ``size`` is width and height in
        pixels of a still image. Needs Client API ≥ 52, and 68 for these choices. Raises
        RequestRejected for other kinds of files.
        """
        return await self._fetched(
            GET_RENDER, file, choices=self._choices(render_format, quality, size)
        )

    async def save_render(
        self,
        file: FileReference,
        path: Path,
        *,
        render_format: RenderFormat | None = None,
        quality: int | None = None,
        size: tuple[int, int] | None = None,
    ) -> Saved:
        """Save what ``get_render`` gives."""
        return await self._saved(
            GET_RENDER, file, path, choices=self._choices(render_format, quality, size)
        )

    async def file_path(self, file: FileReference) -> FilePath:
        """Give where the client keeps the file, as its machine writes it: never write there.

        Needs Client API ≥ 71 and "see local file paths".
        """
        self._require_paths(FILE_PATH)
        answer = await self._ask(FilePathAnswer, FILE_PATH, params=_named(file))
        return FilePath(answer.path, answer.filetype, answer.size)

    async def thumbnail_path(
        self, file: FileReference, *, include_filetype: bool = False
    ) -> ThumbnailPath:
        """Give where the client keeps the thumbnail, on demand with its type.

        Needs Client API ≥ 71 and "see local file paths". Raises RequestRejected for a file of
        a kind that has none.
        """
        self._require_paths(THUMBNAIL_PATH)
        params = _named(file)
        if include_filetype:
            params["include_thumbnail_filetype"] = True
        answer = await self._ask(ThumbnailPathAnswer, THUMBNAIL_PATH, params=params)
        return ThumbnailPath(answer.path, answer.filetype)

    async def local_file_storage_locations(self) -> list[StorageLocation]:
        """Give the folders which the client spreads its files over.

        Needs Client API ≥ 72 and "see local file paths".
        """
        self._require_paths(STORAGE_LOCATIONS)
        answer = await self._ask(StorageLocationsAnswer, STORAGE_LOCATIONS)
        return [
            StorageLocation(one.path, one.ideal_weight, one.max_num_bytes, tuple(one.prefixes))
            for one in answer.locations
        ]

    def _require_paths(self, route: Route) -> None:
        self._require(route)
        self._require(SEARCH_FILES)  # the client wants both

    def _choices(
        self, render_format: RenderFormat | None, quality: int | None, size: tuple[int, int] | None
    ) -> dict[str, object]:
        choices: dict[str, object] = {}
        if render_format is not None:
            choices["render_format"] = render_format.value
        if quality is not None:
            choices["render_quality"] = quality
        if size is not None:
            if min(size) < 1:
                raise RequestRejected(f"no image is {size[0]} pixels wide and {size[1]} high")
            choices |= {"width": size[0], "height": size[1]}
        if choices:
            self._require(GET_RENDER)
            self._require_api(_RENDER_CHOICES_SINCE_API, "choosing how an image is rendered")
        return choices

    async def _fetched(
        self,
        route: Route,
        file: FileReference,
        *,
        choices: Mapping[str, object] | None = None,
        start: int = 0,
        length: int | None = None,
        whole: bool = False,
    ) -> Fetched:
        held = _Held()
        part = _Part(start, length)
        head = await self._pour(held, route, file, choices or {}, part, whole=whole)
        return Fetched(b"".join(held.pieces), head.content_type)

    async def _saved(
        self,
        route: Route,
        file: FileReference,
        path: Path,
        *,
        choices: Mapping[str, object] | None = None,
        start: int = 0,
        length: int | None = None,
        whole: bool = False,
    ) -> Saved:
        if await to_thread.run_sync(os.path.lexists, path):
            raise FileExistsError(f"there is something at {path} already")
        growing = path.with_name(f".{secrets.token_hex(8)}.part")
        try:
            with await to_thread.run_sync(lambda: growing.open("xb", buffering=0)) as out:
                written = _Written(out)
                part = _Part(start, length)
                head = await self._pour(written, route, file, choices or {}, part, whole=whole)
                await to_thread.run_sync(os.fsync, out.fileno())
            await to_thread.run_sync(_put_in_place, growing, path)
        finally:
            growing.unlink(missing_ok=True)
        return Saved(path, written.size, head.content_type)

    async def _pour(
        self,
        vessel: _Vessel,
        route: Route,
        file: FileReference,
        choices: Mapping[str, object],
        part: _Part,
        *,
        whole: bool,
    ) -> Answer:
        self._require(route)
        request = Request(route.method, route.path, query=encode_query({**_named(file), **choices}))
        if part.header is not None:
            self._require_api(_RANGE_SINCE_API, "fetching a part of a file")
            part = await self._within(file, part)
            assert part.header is not None
            request = request.with_header("Range", part.header)
        sink = _Checking(vessel, part)
        head = await self._session.send(request.into(sink))
        if head.status != 206:
            self._succeeded(request, head)
        if sink.wrong:
            raise nonsense(request, head, sink.wrong)
        expected = file.lower() if whole and part.header is None and isinstance(file, str) else ""
        if expected and sink.digest.hexdigest() != expected:
            raise HydrusFailed(
                f"what came is not the file that was asked for: its hash is "
                f"{sink.digest.hexdigest()}, and not {expected}",
                method=route.method,
                path=route.path,
                status=head.status,
            )
        return head

    async def _within(self, file: FileReference, part: _Part) -> _Part:
        # Asked for one byte too many, or for what lies behind the end, v682 promises more than
        # it has and then says nothing for ever. So the size is asked for first.
        (metadata,) = await self.file_metadata([file])
        size = metadata.size
        if size is None:
            return part
        if part.start >= size:
            raise RequestRejected(f"nothing lies behind byte {part.start}: the file has {size}")
        if part.length is None or part.start + part.length <= size:
            return part
        return _Part(part.start, size - part.start)


def _named(file: FileReference) -> dict[str, object]:
    (one,) = checked_files([file])
    return {"file_id" if isinstance(one, int) else "hash": one}


@dataclass(frozen=True, slots=True)
class _Part:
    """Which bytes of a file are wanted."""

    start: int
    length: int | None

    def __post_init__(self) -> None:
        if self.start < 0 or (self.length is not None and self.length < 1):
            raise RequestRejected(f"no part of a file: {self.length} bytes from {self.start} on")

    @property
    def header(self) -> str | None:
        if self.length is None:
            return f"bytes={self.start}-" if self.start else None
        return f"bytes={self.start}-{self.start + self.length - 1}"

    def differs(self, head: Answer) -> str:
        """Tell what is wrong with the answer's idea of it, or nothing."""
        if self.header is None:
            return "a part came of what was asked for whole" if head.status == 206 else ""
        given = _CONTENT_RANGE.fullmatch(head.content_range)
        if head.status != 206 or given is None or int(given[1]) != self.start:
            return "another part of the file came than was asked for"
        return ""


class _Vessel(Protocol):
    """What takes bytes, and can be emptied when they come anew."""

    async def empty(self) -> None: ...
    async def take(self, piece: bytes) -> None: ...


class _Held:
    """Bytes in memory."""

    def __init__(self) -> None:
        self.pieces: list[bytes] = []

    async def empty(self) -> None:
        self.pieces.clear()

    async def take(self, piece: bytes) -> None:
        self.pieces.append(piece)


class _Written:
    """Bytes in a file."""

    def __init__(self, out: BinaryIO) -> None:
        self.size = 0
        self._out = out

    async def empty(self) -> None:
        self.size = 0
        self._out.seek(0)
        self._out.truncate()

    async def take(self, piece: bytes) -> None:
        await to_thread.run_sync(self._write, memoryview(piece))
        self.size += len(piece)

    def _write(self, piece: memoryview) -> None:
        while piece:
            piece = piece[self._out.write(piece) :]


class _Checking:
    """Passes bytes on, and knows in the end whether they were the right ones."""

    def __init__(self, vessel: _Vessel, part: _Part) -> None:
        self.digest = hashlib.sha256()
        self.wrong = ""
        self._vessel = vessel
        self._part = part

    async def begin(self, answer: Answer) -> None:
        self.digest = hashlib.sha256()
        self.wrong = self._part.differs(answer)
        await self._vessel.empty()

    async def take(self, piece: bytes) -> None:
        if not self.wrong:
            self.digest.update(piece)
            await self._vessel.take(piece)


def _put_in_place(growing: Path, path: Path) -> None:
    try:
        os.link(growing, path)  # fails where there is something, which a rename would replace
    except FileExistsError:
        raise
    except OSError:  # a file system without hard links
        if os.path.lexists(path):
            raise FileExistsError(f"there is something at {path} already") from None
        growing.rename(path)
