"""Sets how often and how long the files that the job is about were viewed."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any, ClassVar

from pydantic import Field

from hydrusd.builtin.actions._editing import FileEdit, Wish, rendered
from hydrusd.builtin.actions._taking_back import Change, count_of
from hydrusd.builtin.actions._timing import (
    Canvas,
    Moment,
    Viewed,
    Views,
    ViewTime,
    canvas_type,
    same_time,
)
from hydrusd.plugin import CanvasType, FileMetadata, HydrusClient, Permission


class SetViewingTime(FileEdit):
    """Set how often and how long the file was viewed, whatever Hydrus has counted so far."""

    action: ClassVar[str] = "set_viewing_time"
    verb: ClassVar[str] = "set the viewing time of"
    permissions: ClassVar[frozenset[Permission]] = frozenset({Permission.EDIT_TIMES})
    since_api: ClassVar[int] = 78

    views: Views = Field(description="how often, in all")
    time: ViewTime = Field(description="how long, in all, as `90s` or `1h30m`")
    canvas: Canvas = Field(
        default="media_viewer", description="where: `media_viewer`, `preview` or `client_api`"
    )
    last: Moment = Field(
        default=None, description="when for the last time, as in `set_time`; without: as it is"
    )

    @classmethod
    async def look(cls, client: HydrusClient, hashes: Sequence[str]) -> Mapping[str, FileMetadata]:
        """Give the files with exact times."""
        rows = await client.file_metadata(hashes, milliseconds=True)
        return {row.hash: row for row in rows}

    @classmethod
    def taking_back(
        cls, client: HydrusClient, file_hash: str, taken: Mapping[str, Any], state: FileMetadata
    ) -> tuple[_Totals | None, Sequence[str]]:
        """Set what was counted before, where nothing was added since."""
        del client, file_hash
        change = taken["changed"]
        canvas = canvas_type(change["canvas"])
        before = Viewed.from_data(change["before"])
        if not Viewed.of(state, canvas).is_like(Viewed.from_data(change["after"])):
            return None, ["it was viewed since"]
        return _Totals(canvas, before.views, before.seconds, before.last_at), []

    def wish(self, client: HydrusClient) -> _Wanted:
        """Take the numbers as they were rendered."""
        del client
        seconds = round(rendered(self.time, "time"), 3)
        views, last = rendered(self.views, "views"), rendered(self.last, "last")
        return _Wanted(_Totals(canvas_type(self.canvas), views, seconds, last))


@dataclass(frozen=True, slots=True)
class _Totals(Change):
    canvas: CanvasType
    views: int
    seconds: float
    last: datetime | None

    async def send(self, client: HydrusClient, hashes: Sequence[str]) -> None:
        await client.set_file_viewtime(
            hashes, self.canvas, seconds=self.seconds, views=self.views, at=self.last
        )

    def words(self, answer: object = None) -> str:
        del answer
        return f"{count_of(self.views, 'view')} of {self.seconds:g} s set"

    def kept(self, state: FileMetadata, answer: object) -> Mapping[str, object]:
        del answer
        before = Viewed.of(state, self.canvas)
        after = Viewed(self.views, self.seconds, self.last or before.last_at)
        return {
            "changed": {
                "canvas": self.canvas.name.lower(),
                "before": before.to_data(),
                "after": after.to_data(),
            }
        }


@dataclass(frozen=True, slots=True)
class _Wanted(Wish):
    nothing: ClassVar[str] = "it is counted so already"

    totals: _Totals

    def change(self, file_hash: str, state: FileMetadata | None) -> _Totals | None:
        del file_hash
        if state is None:
            return self.totals
        now, wanted = Viewed.of(state, self.totals.canvas), self.totals
        is_so = (
            now.views == wanted.views
            and abs(now.seconds - wanted.seconds) < Viewed.SECONDS_APART
            and (wanted.last is None or same_time(now.last_at, wanted.last))
        )
        return None if is_so else wanted
