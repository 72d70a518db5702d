"""Sets times of the files that the job is about."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any, ClassVar, Literal, Self

from pydantic import Field, model_validator

from hydrusd.builtin.actions._editing import FileEdit, Wish, rendered, unrendered
from hydrusd.builtin.actions._taking_back import Change
from hydrusd.builtin.actions._timing import (
    Canvas,
    Moment,
    Viewed,
    canvas_type,
    read,
    same_time,
    written,
)
from hydrusd.plugin import (
    CanvasType,
    Fault,
    FileMetadata,
    HydrusClient,
    PermanentError,
    Permission,
    RequestRejected,
    TimeKind,
)

_NEEDS: Mapping[TimeKind, str] = {
    TimeKind.MODIFIED_ON_WEB: "domain",
    TimeKind.IMPORTED: "file_service",
    TimeKind.DELETED: "file_service",
    TimeKind.PREVIOUSLY_IMPORTED: "file_service",
    TimeKind.LAST_VIEWED: "canvas",
}


class SetTime(FileEdit):
    """Set one of the times that Hydrus keeps of the file. The file on the disk keeps its own.

    A time of a website (`modified_on_web`) can be added, and removed with `at: none`; every
    other must be there already: a file that was never archived has no `archived` time.
    """

    action: ClassVar[str] = "set_time"
    verb: ClassVar[str] = "set a time of"
    permissions: ClassVar[frozenset[Permission]] = frozenset({Permission.EDIT_TIMES})
    since_api: ClassVar[int] = 59

    kind: Literal[
        "modified_on_web",
        "modified_on_disk",
        "imported",
        "deleted",
        "archived",
        "last_viewed",
        "previously_imported",
    ] = Field(description="which of its times")
    at: Moment = Field(
        description=(
            "when: `2026-11-24T09:30:00Z`, always with a time zone; or a number with its unit "
            "(`s`, `ms`, `us`, `ns`) since 1970, as `{{ file.mtime_ns }} ns`; or `none`"
        )
    )
    domain: str | None = Field(default=None, description="for `modified_on_web`: the website")
    file_service: str | None = Field(
        default=None,
        description="for `imported`, `deleted` and `previously_imported`: the file domain",
    )
    canvas: Canvas | None = Field(
        default=None, description="for `last_viewed`: `media_viewer`, `preview` or `client_api`"
    )

    @property
    def _kind(self) -> TimeKind:
        return TimeKind[self.kind.upper()]

    @model_validator(mode="after")
    def _fits_together(self) -> Self:
        needed = _NEEDS.get(self._kind)
        for name in ("domain", "file_service", "canvas"):
            if (getattr(self, name) is not None) != (name == needed):
                raise ValueError(
                    f"kind: {self.kind} {'needs' if name == needed else 'has no'} {name}"
                )
        if self.at is None and self._kind is not TimeKind.MODIFIED_ON_WEB:
            raise ValueError(f"at: none is for modified_on_web; {self.kind} cannot be removed")
        if self.domain is not None and self.domain.strip() in {"", "local"}:
            raise ValueError("domain: must be a website; the time on disk is modified_on_disk")
        return self

    def preflight(self, client: HydrusClient) -> Iterable[Fault]:
        """Name a file service that is not there."""
        yield from super().preflight(client)
        if self.file_service is not None and not unrendered(self.file_service):
            try:
                client.file_service(self.file_service)
            except RequestRejected as error:
                yield Fault(error.message, path=("file_service",))

    @classmethod
    async def look(cls, client: HydrusClient, hashes: Sequence[str]) -> Mapping[str, FileMetadata]:
        """Give the files with exact times."""
        rows = await client.file_metadata(hashes, milliseconds=True)
        return {row.hash: row for row in rows}

    @classmethod
    def taking_back(
        cls, client: HydrusClient, file_hash: str, taken: Mapping[str, Any], state: FileMetadata
    ) -> tuple[_Time | None, Sequence[str]]:
        """Set the time that was there before, where it is still the one that this set."""
        del client, file_hash
        change = taken["changed"]
        canvas = change.get("canvas")
        time = _Time(
            TimeKind[change["kind"].upper()],
            read(change["before"]),
            change.get("domain"),
            change.get("file_service"),
            None if canvas is None else canvas_type(canvas),
        )
        if not same_time(time.standing(state), read(change["after"])):
            return None, [f"the {time.name} time has changed since"]
        return time, []

    def wish(self, client: HydrusClient) -> _Timed:
        """Find the file service."""
        service = self.file_service
        return _Timed(
            _Time(
                self._kind,
                rendered(self.at, "at"),
                None if self.domain is None else self.domain.strip(),
                None if service is None else client.file_service(service).reference,
                None if self.canvas is None else canvas_type(self.canvas),
            )
        )


@dataclass(frozen=True, slots=True)
class _Time(Change):
    kind: TimeKind
    at: datetime | None
    domain: str | None
    file_service: str | None
    canvas: CanvasType | None

    async def send(self, client: HydrusClient, hashes: Sequence[str]) -> None:
        await client.set_time(
            hashes,
            self.kind,
            self.at,
            domain=self.domain,
            file_service=self.file_service,
            canvas=self.canvas,
        )

    def words(self, answer: object = None) -> str:
        del answer
        return f"{self.name} time {'removed' if self.at is None else f'set to {written(self.at)}'}"

    def kept(self, state: FileMetadata, answer: object) -> Mapping[str, object]:
        del answer
        of = {
            "domain": self.domain,
            "file_service": self.file_service,
            "canvas": None if self.canvas is None else self.canvas.name.lower(),
        }
        return {
            "changed": {
                "kind": self.kind.name.lower(),
                **{name: value for name, value in of.items() if value is not None},
                "before": written(self.standing(state)),
                "after": written(self.at),
            }
        }

    @property
    def name(self) -> str:
        return self.kind.name.lower().replace("_", " ")

    def standing(self, file: FileMetadata) -> datetime | None:
        """Give the time as it is now; None where there is none."""
        match self.kind:
            case TimeKind.MODIFIED_ON_WEB:
                return file.modified_times.get(self.domain or "")
            case TimeKind.MODIFIED_ON_DISK:
                return file.modified_times.get("local")
            case TimeKind.ARCHIVED:
                return file.archived_at
            case TimeKind.LAST_VIEWED:
                assert self.canvas is not None
                return Viewed.of(file, self.canvas).last_at
            case TimeKind.IMPORTED:
                place = file.current.get(self.file_service or "")
                return place.imported_at if place else None
            case TimeKind.DELETED | TimeKind.PREVIOUSLY_IMPORTED:
                place = file.deleted.get(self.file_service or "")
                if place is None:
                    return None
                deleted = self.kind is TimeKind.DELETED
                return place.deleted_at if deleted else place.imported_at


@dataclass(frozen=True, slots=True)
class _Timed(Wish):
    nothing: ClassVar[str] = "the time is so already"

    time: _Time

    def change(self, file_hash: str, state: FileMetadata | None) -> _Time | None:
        if state is None:
            return self.time
        now = self.time.standing(state)
        if same_time(now, self.time.at):
            return None
        if now is None and self.time.kind is not TimeKind.MODIFIED_ON_WEB:
            # One such file would have Hydrus refuse all others of the request.
            raise PermanentError(f"file {file_hash} has no {self.time.name} time to be set")
        return self.time
