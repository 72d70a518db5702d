"""Writes what the client knows of a file into a small file beside it."""

from __future__ import annotations

import contextlib
import hashlib
import json
import mimetypes
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Annotated, ClassVar, Literal, Self, TypeVar

from anyio import to_thread
from pydantic import BeforeValidator, Field, model_validator

from hydrusd.builtin.actions._changing import as_list, no_file
from hydrusd.builtin.actions._exporting import NameTaken, Place, Placed, Written
from hydrusd.builtin.actions._placing import OnCollision
from hydrusd.builtin.actions._written_back import foresee_written, undo_written
from hydrusd.plugin import (
    OR_ONE,
    AnyAction,
    Call,
    Fault,
    FileMetadata,
    FileSource,
    FolderPath,
    Foreseen,
    HydrusClient,
    Outcome,
    PermanentError,
    Permission,
    RequestRejected,
    Service,
    ServiceType,
    SetAction,
    TagStatus,
    TemporaryError,
    Undo,
    found_no_room,
)

NOTES_SINCE_API = 27

Value = TypeVar("Value")

Part = Literal["tags", "urls", "notes", "ratings", "times"]
_PARTS: tuple[Part, ...] = ("tags", "urls", "notes", "ratings", "times")


class WriteSidecar(SetAction):
    """Write a file with the tags, or with all that Hydrus knows, beside a file or into a folder.

    As `txt` it holds the tags, one a line, which Hydrus' own import can read; a file without
    tags gets none. As `json` it holds what `include` names. It is called as the file that it
    belongs to, with `.txt` or `.json` after that: `a.jpg.txt`.

    Nothing is ever overwritten: the same content there already counts as written, and where
    another file has the name, `on_collision` decides.
    """

    action: ClassVar[str] = "write_sidecar"
    permissions: ClassVar[frozenset[Permission]] = frozenset({Permission.SEARCH_FILES})
    changes_client: ClassVar[bool] = False
    writes_into: ClassVar[tuple[str, ...]] = ("to",)

    beside: Literal["export", "source"] | None = Field(
        default=None,
        description=(
            "Beside what `export_file` wrote before (`export`), or beside the file that was "
            "noticed (`source`). This or `to`."
        ),
    )
    to: FolderPath | None = Field(
        default=None, description="The folder to write it into; made if need be. This or `beside`."
    )
    name: str | None = Field(
        default=None,
        description=(
            "With `to`: the name of the file that it belongs to. Without: the hash, and its suffix."
        ),
    )
    format: Literal["txt", "json"] = Field(
        default="txt", description="`txt`: the tags, one a line; `json`: what `include` names."
    )
    tag_services: Annotated[tuple[str, ...], BeforeValidator(as_list), OR_ONE] = Field(
        default=(), description="Tags of these tag services only, by name or key. Without: of all."
    )
    siblings: bool = Field(
        default=False,
        description=(
            "Tags as Hydrus shows them, with siblings and parents; `false`: as they were given."
        ),
    )
    include: Annotated[tuple[Part, ...], BeforeValidator(as_list), OR_ONE] = Field(
        default=_PARTS, description="What a `json` holds, besides the hash."
    )
    on_collision: OnCollision = Field(
        default="rename",
        description=(
            "Where another file has the name: `rename` takes the next free one; `skip` leaves it "
            "out and ends the job, if nothing else was written; `fail` makes it a dead letter."
        ),
    )

    @model_validator(mode="after")
    def _one_place(self) -> Self:
        if (self.beside is None) == (self.to is None):
            raise ValueError("say where: beside (export or source), or to (a folder)")
        if self.name is not None and self.to is None:
            raise ValueError("name goes with to")
        return self

    def preflight(self, client: HydrusClient) -> Iterable[Fault]:
        """Name the services that the client does not have, or has twice."""
        for position, service in enumerate(self.tag_services):
            if "{{" in service or "{%" in service:
                continue  # which one it is, each file will tell
            try:
                client.tag_service(service)
            except RequestRejected as error:
                yield Fault(error.message, path=("tag_services", position))

    @classmethod
    async def run_set(cls, calls: Sequence[Call[SetAction]]) -> None:
        """Look all files up at once, and write what is not there yet."""
        rows = await _look(calls)
        due: dict[Call[SetAction], list[_Sidecar]] = {}
        for call in calls:
            try:
                due[call] = _action(call).due(call, [rows[h] for h in call.file_hashes])
            except PermanentError as error:
                call.finish(Outcome.dead(str(error)))
        written = {call: Written(call) for call in due}
        await Written.expect(await to_thread.run_sync(_expected, due, written))
        for call, sidecars in due.items():
            try:
                call.finish(await _action(call).write(call, sidecars, written[call]))
            except PermanentError as error:
                call.finish(Outcome.dead(str(error)))
            except TemporaryError as error:
                if found_no_room(error):
                    raise  # what is left of the set waits for room, at no cost
                call.finish(Outcome.retry(str(error)))

    @classmethod
    async def plan(cls, calls: Sequence[Call[AnyAction]]) -> Sequence[Foreseen]:
        """Say which paths would be written."""
        rows = await _look(calls)
        return [
            await _action(call).foresee(call, [rows[h] for h in call.file_hashes]) for call in calls
        ]

    @classmethod
    async def undo_plan(cls, calls: Sequence[Call[Undo]]) -> Sequence[Foreseen]:
        """Say which files are as they were written."""
        return await foresee_written(calls)

    @classmethod
    async def undo_set(cls, calls: Sequence[Call[Undo]]) -> None:
        """Remove those that are; write again those that an undo has removed."""
        await undo_written(calls)

    def due(self, call: Call[SetAction], rows: Sequence[FileMetadata]) -> list[_Sidecar]:
        """Give the sidecars of one job's files. Raises PermanentError where none can be said."""
        return [
            _Sidecar(row.hash, self.place(call, row), content)
            for row in rows
            if (content := self.content(call.client, row)) is not None
        ]

    async def write(
        self, call: Call[SetAction], sidecars: Sequence[_Sidecar], written: Written
    ) -> Outcome:
        """Write the sidecars of one job's files."""
        if not call.file_hashes:
            return no_file("write a sidecar for")
        placed: dict[str, Placed] = {}
        taken = ""
        for one in sidecars:
            try:
                watched, make_folder = self._watched(call.source), call.make_folder
                await to_thread.run_sync(one.place.prepare, watched, make_folder)
                made = await to_thread.run_sync(
                    one.place.write, one.content, call.job_id, one.of, written.announce
                )
                placed[one.of] = written.add(made)
            except NameTaken as error:
                taken = str(error)
        if not placed and taken:
            return Outcome.skipped(taken)
        paths = {sha256: str(one.path) for sha256, one in placed.items()}
        if not paths:
            return Outcome.done("no tags: nothing to write", receipt=written.receipt)
        first = next(iter(paths.values()))
        detail = f"{'written' if written.new else 'there already'}: {first}"
        if len(paths) > 1:
            detail += f" and {len(paths) - 1} more"
        if taken:
            detail += f"; left out: {taken}"
        return Outcome.done(detail, values={"path": first, "paths": paths}, receipt=written.receipt)

    async def foresee(self, call: Call[AnyAction], rows: Sequence[FileMetadata]) -> Foreseen:
        """Say what ``write`` would do."""
        if not rows or not all(row.is_known for row in rows):
            return Foreseen("would write what Hydrus knows by then")
        found: dict[str, Placed | None] = {}
        try:
            for row in rows:
                if (content := self.content(call.client, row)) is None:
                    continue
                place = self.place(call, row)
                place.check(self._watched(call.source))
                path = str(place.folder / place.name)
                found[path] = await to_thread.run_sync(place.holding, content)
        except (NameTaken, PermanentError) as error:
            return Foreseen.dead(f"would not write: {error}")
        new = [path for path, placed in found.items() if placed is None]
        if new:
            return Foreseen(f"would write {', '.join(new)}")
        why = "it is there already" if found else "there are no tags"
        return Foreseen(f"nothing to do: {why}", changes=False)

    def place(self, call: Call[SetAction] | Call[AnyAction], row: FileMetadata) -> Place:
        """Say where the sidecar of a file goes. Raises PermanentError where that is not known."""
        if self.to is not None:
            suffix = row.ext or mimetypes.guess_extension(row.mime or "") or ""
            folder, name = self.to, self.name or f"{row.hash}{suffix}"
        else:
            main = _main_file(call, row.hash, self.beside)
            folder, name = main.parent, main.name
        return Place(folder, f"{name}.{self.format}", self.on_collision)

    def content(self, client: HydrusClient, row: FileMetadata) -> bytes | None:
        """Give what a sidecar holds; None where there is nothing to hold."""
        tags = self._tags(client, row)
        if self.format == "txt":
            flat = sorted({tag for of_service in tags.values() for tag in of_service})
            return "".join(f"{tag}\n" for tag in flat).encode() if flat else None
        parts: dict[Part, object] = {
            "tags": tags,
            "urls": sorted(row.urls),
            "notes": dict(sorted(row.notes.items())),
            "ratings": _by_name(client, row.ratings),
            "times": _times(client, row),
        }
        body = {"hash": row.hash} | {part: parts[part] for part in self.include}
        return (json.dumps(body, ensure_ascii=False, indent=2, sort_keys=True) + "\n").encode()

    def _tags(self, client: HydrusClient, row: FileMetadata) -> dict[str, list[str]]:
        if self.tag_services:
            services = [client.tag_service(one) for one in self.tag_services]
        else:
            services = [s for s in client.services if s.takes_tags]
        found = {}
        for service in services:
            tags = row.tags.get(service.reference)
            if tags is None:
                continue
            statuses = tags.display if self.siblings else tags.storage
            current = statuses.get(TagStatus.CURRENT, frozenset())
            pending = statuses.get(TagStatus.PENDING, frozenset())
            if both := current | pending:
                found[service.reference] = sorted(both)
        return _by_name(client, found)

    def _watched(self, source: FileSource | None) -> FileSource | None:
        # Beside the source lies in the watched folder, and is asked for in so many words.
        return None if self.beside == "source" else source


@dataclass(frozen=True, slots=True)
class _Sidecar:
    """What is to be written about a file of the client, and where."""

    of: str
    place: Place
    content: bytes

    @property
    def sha256(self) -> str:
        return hashlib.sha256(self.content).hexdigest()


def _expected(
    due: Mapping[Call[SetAction], Sequence[_Sidecar]], written: Mapping[Call[SetAction], Written]
) -> dict[Written, dict[Path, str]]:
    """Give the names that the sidecars will take if nobody is quicker. Blocks."""
    expected: dict[Written, dict[Path, str]] = {}
    given: set[Path] = set()
    for call, sidecars in due.items():
        files = expected[written[call]] = {}
        for one in sidecars:
            with contextlib.suppress(OSError, ValueError):  # told when it is written
                path = one.place.free_name(one.content)
                if path is not None and path not in given:
                    given.add(path)
                    files[path] = one.sha256
    return expected


def _action(call: Call[SetAction] | Call[AnyAction]) -> WriteSidecar:
    assert isinstance(call.action, WriteSidecar)
    return call.action


async def _look(
    calls: Sequence[Call[SetAction]] | Sequence[Call[AnyAction]],
) -> Mapping[str, FileMetadata]:
    hashes = list(dict.fromkeys(h for call in calls for h in call.file_hashes))
    if not hashes:
        return {}
    client = calls[0].client
    notes = client.info.api_version >= NOTES_SINCE_API
    return {row.hash: row for row in await client.file_metadata(hashes, notes=notes)}


def _main_file(call: Call[SetAction] | Call[AnyAction], sha256: str, beside: str | None) -> Path:
    if beside == "source":
        if call.source is None:
            raise PermanentError("what this rule's trigger notices is not a file")
        return call.source.path
    for record in reversed(call.steps):
        paths = record.values.get("paths") if record.action == "export_file" else None
        if isinstance(paths, Mapping) and isinstance(path := paths.get(sha256), str):
            return Path(path)
    raise PermanentError("no export_file before this step has written the file")


def _by_name(client: HydrusClient, values: Mapping[str, Value]) -> dict[str, Value]:
    """Put services' names for their keys, where only one has that name."""
    names: dict[str, list[Service]] = {}
    for service in client.services:
        if service.reference in values:
            names.setdefault(service.name, []).append(service)
    return {
        (name if len(some) == 1 else service.reference): values[service.reference]
        for name, some in names.items()
        for service in some
    }


def _times(client: HydrusClient, row: FileMetadata) -> dict[str, object]:
    local = {
        s.reference
        for s in client.services
        if s.type in {ServiceType.LOCAL_FILE_DOMAIN, ServiceType.COMBINED_LOCAL_FILE_DOMAINS}
    }
    imported = {key: _text(place.imported_at) for key, place in row.current.items() if key in local}
    return {
        "imported": _by_name(client, imported),
        "modified": {domain: _text(at) for domain, at in row.modified_times.items()},
        "archived": _text(row.archived_at),
    }


def _text(at: datetime | None) -> str | None:
    return None if at is None else at.isoformat()
