"""Writes files of the client, their thumbnails or renderings, into a folder."""

from __future__ import annotations

import mimetypes
from collections.abc import Sequence
from pathlib import Path
from typing import ClassVar, Literal, Self

from anyio import to_thread
from pydantic import Field, model_validator

from hydrusd.builtin.actions._changing import no_file
from hydrusd.builtin.actions._disposing import failure
from hydrusd.builtin.actions._exporting import NameTaken, Place, Placed, Written, digest_of
from hydrusd.builtin.actions._placing import OnCollision
from hydrusd.builtin.actions._written_back import foresee_written, undo_written
from hydrusd.plugin import (
    Action,
    AnyAction,
    Call,
    Detail,
    FileMetadata,
    FolderPath,
    Foreseen,
    HydrusClient,
    Outcome,
    PermanentError,
    Permission,
    RenderFormat,
    Undo,
)

BASIC_SINCE_API = 29

_FORMATS = {
    "jpeg": RenderFormat.JPEG,
    "png": RenderFormat.PNG,
    "webp": RenderFormat.WEBP,
    "apng": RenderFormat.APNG,
    "animated_webp": RenderFormat.ANIMATED_WEBP,
}
_BEGINNINGS = {b"\x89PNG": ".png", b"\xff\xd8\xff": ".jpg", b"RIFF": ".webp"}
_LONGEST_BEGINNING = 4


class ExportFile(Action):
    """Write the file as Hydrus has it into a folder; or its thumbnail, or an image of it.

    What is written is compared with the hash and gets its name when it is whole. Nothing is
    ever overwritten: the same content there already counts as written, and where another file
    has the name, `on_collision` decides. The folder must lie outside of a watched one.

    Later steps see `steps.export_file.path`, and of several files `steps.export_file.paths`, by
    hash.
    """

    action: ClassVar[str] = "export_file"
    needs_files: ClassVar[bool] = True
    permissions: ClassVar[frozenset[Permission]] = frozenset({Permission.SEARCH_FILES})
    changes_client: ClassVar[bool] = False
    writes_into: ClassVar[tuple[str, ...]] = ("to",)

    to: FolderPath = Field(description="The folder; made if need be; may hold templates.")
    name: str | None = Field(
        default=None,
        description=(
            "The name; the suffix that fits is added. May hold templates. Without: the hash."
        ),
    )
    what: Literal["file", "thumbnail", "render"] = Field(
        default="file",
        description=(
            "The `file` itself; its `thumbnail`; or a `render`, an image of what Hydrus shows for "
            "a still image or a ugoira (Client API ≥ 52)."
        ),
    )
    on_collision: OnCollision = Field(
        default="rename",
        description=(
            "Where another file has the name: `rename` takes the next free one, as in "
            "`name (2).jpg`; `skip` leaves it out and ends the job, if nothing else was "
            "exported; `fail` makes it a dead letter."
        ),
    )
    format: Literal["jpeg", "png", "webp", "apng", "animated_webp"] | None = Field(
        default=None,
        description="Of a render: its format (Client API ≥ 68). Without: png, apng for a ugoira.",
    )
    quality: int | None = Field(
        default=None,
        ge=0,
        le=100,
        description="Of a render: a percentage, for png its compression from 0 to 9.",
    )
    width: int | None = Field(default=None, ge=1, description="Of a render: pixels, with `height`.")
    height: int | None = Field(default=None, ge=1, description="Of a render: pixels, with `width`.")

    @model_validator(mode="after")
    def _only_renders_have_choices(self) -> Self:
        choices = (self.format, self.quality, self.width, self.height)
        if self.what != "render" and any(choice is not None for choice in choices):
            raise ValueError("format, quality, width and height are for what: render")
        if (self.width is None) != (self.height is None):
            raise ValueError("width and height go together")
        return self

    async def run(self, call: Call[Action]) -> Outcome:
        """Write what is not there yet."""
        if not call.file_hashes:
            return no_file("export")
        written = Written(call)
        placed: dict[str, Placed] = {}
        taken = ""
        for row in await _look(call.client, call.file_hashes):
            try:
                placed[row.hash] = written.add(await self._export(call, row, written))
            except NameTaken as error:
                taken = str(error)
        if not placed:
            return Outcome.skipped(taken)
        paths = {sha256: str(one.path) for sha256, one in placed.items()}
        first = next(iter(paths.values()))
        detail = f"{'written' if written.new else 'there already'}: {first}"
        if len(paths) > 1:
            detail += f" and {len(paths) - 1} more"
        if taken:
            detail += f"; left out: {taken}"
        return Outcome.done(detail, values={"path": first, "paths": paths}, receipt=written.receipt)

    @classmethod
    async def plan(cls, calls: Sequence[Call[AnyAction]]) -> Sequence[Foreseen]:
        """Say which paths would be written."""
        foreseen = []
        for call in calls:
            assert isinstance(call.action, ExportFile)
            foreseen.append(await call.action._foresee(call))  # noqa: SLF001 - its own class
        return foreseen

    @classmethod
    async def undo_plan(cls, calls: Sequence[Call[Undo]]) -> Sequence[Foreseen]:
        """Say which files are as they were written."""
        return await foresee_written(calls)

    @classmethod
    async def undo_set(cls, calls: Sequence[Call[Undo]]) -> None:
        """Remove those that are; write again those that an undo has removed."""
        await undo_written(calls)

    async def _foresee(self, call: Call[AnyAction]) -> Foreseen:
        rows = await _look(call.client, call.file_hashes) if call.file_hashes else []
        if not rows or not all(row.is_known and row.size is not None for row in rows):
            return Foreseen(f"would export what the steps before it name to {self.to}")
        paths: dict[str, str] = {}
        new = 0
        for row in rows:
            content = await self._content(call.client, row)
            place = self._place(row, _suffix(row) if content is None else _suffix_of(content))
            try:
                place.check(call.source)
                if content is None:
                    found = await to_thread.run_sync(place.there, row.size, row.hash)
                else:
                    found = await to_thread.run_sync(place.holding, content)
            except (NameTaken, PermanentError) as error:
                return Foreseen.dead(f"would not export: {error}")
            new += found is None
            paths[row.hash] = str(place.folder / place.name if found is None else found.path)
        first = next(iter(paths.values()))
        words = f"{first}{f' and {len(paths) - 1} more' if len(paths) > 1 else ''}"
        detail = f"would write {words}" if new else f"nothing to do: {words} is there already"
        return Foreseen(detail, changes=bool(new), values={"path": first, "paths": paths})

    async def _content(self, client: HydrusClient, row: FileMetadata) -> bytes | None:
        """Give what would be written, where the hash alone does not tell."""
        if self.what == "thumbnail":
            return (await client.get_thumbnail(row.hash)).content
        if self.what == "render":
            fetched = await client.get_render(
                row.hash, render_format=self._format, quality=self.quality, size=self._size
            )
            return fetched.content
        return None

    async def _export(self, call: Call[Action], row: FileMetadata, written: Written) -> Placed:
        place = self._place(row, _suffix(row))
        await to_thread.run_sync(place.prepare, call.source, call.make_folder)
        try:
            async with place.room(call.job_id, f"{self.what}|{row.hash}") as part:
                if self.what == "file":
                    found = await to_thread.run_sync(place.there, row.size, row.hash)
                    if found is not None:
                        return found
                await self._save(call.client, row.hash, part)
                if self.what == "file":
                    return await to_thread.run_sync(place.settle, part, row.hash, written.announce)
                beginning, sha256 = await to_thread.run_sync(_known_by, part)
                place = self._place(row, _suffix_of(beginning))
                return await to_thread.run_sync(place.settle, part, sha256, written.announce)
        except OSError as error:
            raise failure(f"{self.to} cannot be written to", error) from error

    async def _save(self, client: HydrusClient, sha256: str, part: Path) -> None:
        if self.what == "file":
            await client.save_file(sha256, part)
        elif self.what == "thumbnail":
            await client.save_thumbnail(sha256, part)
        else:
            await client.save_render(
                sha256, part, render_format=self._format, quality=self.quality, size=self._size
            )

    def _place(self, row: FileMetadata, suffix: str) -> Place:
        name = self.name
        if name is None:
            name = row.hash if self.what == "file" else f"{row.hash}.{self.what}"
        if not name.lower().endswith(suffix.lower()):
            name += suffix
        return Place(self.to, name, self.on_collision)

    @property
    def _format(self) -> RenderFormat | None:
        return None if self.format is None else _FORMATS[self.format]

    @property
    def _size(self) -> tuple[int, int] | None:
        return (self.width, self.height) if self.width and self.height else None


async def _look(client: HydrusClient, hashes: Sequence[str]) -> list[FileMetadata]:
    basic = client.info.api_version >= BASIC_SINCE_API
    return await client.file_metadata(hashes, detail=Detail.BASIC if basic else Detail.FULL)


def _suffix(row: FileMetadata) -> str:
    # Clients before API 12 do not say.
    return row.ext or mimetypes.guess_extension(row.mime or "") or ""


def _suffix_of(content: bytes) -> str:
    for beginning, suffix in _BEGINNINGS.items():
        if content.startswith(beginning):
            return suffix
    return ""


def _known_by(path: Path) -> tuple[bytes, str]:
    with path.open("rb") as file:
        beginning = file.read(_LONGEST_BEGINNING)
    return beginning, digest_of(path)
