"""Adds to how often and how long the files that the job is about were viewed.

Adding is the one edit that a repeat would do twice, and a lost answer or a crash at the wrong
moment leaves nobody knowing whether it was done. So it goes in two steps: first the totals as
they are are stored in the ledger, then it is added. Who finds stored totals that this very
process did not store a moment ago looks again: what has grown by what was to be added was
added. Should the user have viewed the file meanwhile, one viewing too few is counted; never
one too many.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any, ClassVar, cast
from weakref import WeakKeyDictionary

from pydantic import Field

from hydrusd.builtin.actions._editing import in_rounds, looked_up, rendered, too_old
from hydrusd.builtin.actions._taking_back import (
    TakesBack,
    count_of,
    joined_receipt,
    looked_up_again,
    undo_rounds,
)
from hydrusd.builtin.actions._timing import (
    Canvas,
    Moment,
    Viewed,
    Views,
    ViewTime,
    canvas_type,
)
from hydrusd.plugin import (
    AnyAction,
    Call,
    CanvasType,
    Data,
    Fault,
    FileMetadata,
    Foreseen,
    HydrusClient,
    Outcome,
    PermanentError,
    Permission,
    SetAction,
    Undo,
    keep_receipts,
)

_SINCE_API = 78

_unsent: WeakKeyDictionary[HydrusClient, set[int]] = WeakKeyDictionary()
"""The jobs whose totals this process has stored, and for which it has sent nothing since."""


class AddViewingTime(TakesBack):
    """Add to how often and how long the file was viewed.

    Never counted twice: after a crash or a lost answer it looks whether it was done. Where the
    access key may not look, it is then left as it is.
    """

    action: ClassVar[str] = "add_viewing_time"
    permissions: ClassVar[frozenset[Permission]] = frozenset({Permission.EDIT_TIMES})
    repeat_shows: ClassVar[bool] = True

    views: Views = Field(default=1, description="how often it was viewed")
    time: ViewTime = Field(description="how long it was viewed, as `90s` or `1h30m`")
    canvas: Canvas = Field(
        default="media_viewer", description="where: `media_viewer`, `preview` or `client_api`"
    )
    at: Moment = Field(
        default=None, description="when for the last time, as in `set_time`; without: now"
    )

    def preflight(self, client: HydrusClient) -> Sequence[Fault]:
        """Name what the client is too old for."""
        return list(too_old(self.action, _SINCE_API, client))

    @classmethod
    async def look(cls, client: HydrusClient, hashes: Sequence[str]) -> Mapping[str, FileMetadata]:
        """Give the files with exact times."""
        return await _look(client, hashes)

    @classmethod
    async def run_set(cls, calls: Sequence[Call[SetAction]]) -> None:
        """Store what is there; called again, add to it."""
        for some in in_rounds(calls, "add viewing time to"):
            await cls._run_round(some)

    @classmethod
    async def _run_round(cls, calls: Sequence[Call[SetAction]]) -> None:
        client = calls[0].client
        unsent = _unsent.setdefault(client, set())
        unsure = [call for call in calls if call.progress and call.job_id not in unsent]
        begun = [call for call in calls if not call.progress]
        looked = [*unsure, *begun]
        states = await looked_up(_look, looked) if looked else {}
        groups: dict[_Viewing, list[tuple[Call[SetAction], list[str]]]] = {}
        for call in calls:
            try:
                viewing = _viewing(call)
            except PermanentError as error:
                call.finish(Outcome.dead(str(error)))
                continue
            if not call.progress:
                before = _before(call, viewing, states)
                if (former := _before_earlier(call)) is None:
                    unsent.add(call.job_id)
                elif before is not None:
                    # Done before, and perhaps not lost: held against what was there at that time.
                    before = {**before, **former}
                call.finish(_stored(before))
            elif call.job_id not in unsent and not _can_tell(call, states):
                call.finish(Outcome.done("it may have been added before: not added once more"))
            elif files := _to_send(call, viewing, states, sure=call.job_id in unsent):
                groups.setdefault(viewing, []).append((call, files))
            else:
                call.finish(_done(call, viewing))
        for viewing, group in groups.items():
            # Before the request: what happens from here on, nobody knows before looking.
            unsent.difference_update(call.job_id for call, _ in group)
            await client.increment_file_viewtime(
                [file_hash for _, files in group for file_hash in files],
                viewing.canvas,
                seconds=viewing.seconds,
                views=viewing.views,
                at=viewing.at,
            )
            for call, _ in group:
                call.finish(_done(call, viewing))

    @classmethod
    async def undo_set(cls, calls: Sequence[Call[Undo]]) -> None:
        """Take off again what was added; what was viewed since stays counted."""
        for some in undo_rounds(calls):
            states = await looked_up_again(cls, some)
            back = {call: _to_take_off(call, states) for call in some}
            await keep_receipts({call: {"added": rows} for call, rows in back.items() if rows})
            for call, rows in back.items():
                for file_hash, row in rows.items():
                    before = Viewed.from_data(row["before"])
                    await call.client.set_file_viewtime(
                        [file_hash],
                        canvas_type(row["canvas"]),
                        views=before.views + row["views"],
                        seconds=max(before.seconds + row["seconds"], 0.0),
                    )
                receipt = joined_receipt(call, {"added": rows})
                words = "viewing time taken off" if rows else "nothing: it is no longer counted"
                call.finish(Outcome.done(words, receipt=receipt))

    @classmethod
    async def undo_plan(cls, calls: Sequence[Call[Undo]]) -> Sequence[Foreseen]:
        """Say whether it is still counted."""
        states = await looked_up_again(cls, calls)
        return [
            Foreseen("viewing time taken off")
            if _to_take_off(call, states)
            else Foreseen("nothing: it is no longer counted", changes=False)
            for call in calls
        ]

    @classmethod
    async def lost(cls, calls: Sequence[Call[AnyAction]]) -> Sequence[Call[AnyAction]]:
        """Give those whose files have not even what was there before together with ours."""
        states = await looked_up(_look, calls)
        if states is None:
            return []
        return [call for call in calls if _is_lost(call, states)]

    @classmethod
    async def plan(cls, calls: Sequence[Call[AnyAction]]) -> Sequence[Foreseen]:
        """Say what would be added."""
        return [_foreseen(call) for call in calls]


@dataclass(frozen=True, slots=True)
class _Viewing:
    """What is to be added."""

    canvas: CanvasType
    views: int
    seconds: float
    at: datetime | None

    @property
    def words(self) -> str:
        return f"{count_of(self.views, 'view')} of {self.seconds:g} s"

    def is_in(self, now: Viewed, before: Viewed) -> bool:
        """Say whether a file has grown by this."""
        seconds = before.seconds + self.seconds - Viewed.SECONDS_APART
        return now.views >= before.views + self.views and now.seconds >= seconds


async def _look(client: HydrusClient, hashes: Sequence[str]) -> Mapping[str, FileMetadata]:
    rows = await client.file_metadata(hashes, milliseconds=True)
    return {row.hash: row for row in rows}


def _viewing(call: Call[SetAction] | Call[AnyAction]) -> _Viewing:
    action = call.action
    assert isinstance(action, AddViewingTime)
    return _Viewing(
        canvas_type(action.canvas),
        rendered(action.views, "views"),
        round(rendered(action.time, "time"), 3),
        rendered(action.at, "at"),
    )


def _before(
    call: Call[SetAction], viewing: _Viewing, states: Mapping[str, FileMetadata] | None
) -> Data | None:
    """Give the totals of each file as they are; None where nobody can look."""
    if states is None:
        return None
    return {h: Viewed.of(states[h], viewing.canvas).to_data() for h in call.file_hashes}


def _before_earlier(call: Call[SetAction]) -> Data | None:
    """Give the totals before an earlier run of this step; None where there was none."""
    if call.earlier is None:
        return None
    added = (call.earlier.receipt or {}).get("added")
    rows = added.items() if isinstance(added, Mapping) else ()
    return {h: row["before"] for h, row in rows if h in call.file_hashes}


def _stored(before: Data | None) -> Outcome:
    return Outcome.later("about to be added", delay_seconds=0, values={"before": before})


def _can_tell(call: Call[SetAction], states: Mapping[str, FileMetadata] | None) -> bool:
    return states is not None and isinstance(call.progress.get("before"), Mapping)


def _to_send(
    call: Call[SetAction],
    viewing: _Viewing,
    states: Mapping[str, FileMetadata] | None,
    *,
    sure: bool,
) -> list[str]:
    """Give the files to which nothing was added yet."""
    if sure:
        return list(call.file_hashes)
    before = call.progress["before"]
    assert states is not None
    assert isinstance(before, Mapping)
    return [
        h
        for h in call.file_hashes
        if not viewing.is_in(Viewed.of(states[h], viewing.canvas), Viewed.from_data(before[h]))
    ]


def _done(call: Call[SetAction], viewing: _Viewing) -> Outcome:
    stored = call.progress.get("before")
    if not isinstance(stored, Mapping):
        return Outcome.done(f"{viewing.words} added")
    added = {
        h: {
            "canvas": viewing.canvas.name.lower(),
            "views": viewing.views,
            "seconds": viewing.seconds,
            "before": stored[h],
        }
        for h in call.file_hashes
    }
    return Outcome.done(f"{viewing.words} added", receipt=joined_receipt(call, {"added": added}))


def _is_lost(call: Call[AnyAction], states: Mapping[str, FileMetadata]) -> bool:
    receipt = call.earlier.receipt if call.earlier is not None else None
    added = (receipt or {}).get("added")
    if not isinstance(added, Mapping):
        return False
    viewing = _viewing(call)
    return any(
        h in added
        and not viewing.is_in(
            Viewed.of(states[h], viewing.canvas),
            Viewed.from_data(cast("Mapping[str, object]", added[h])["before"]),
        )
        for h in call.file_hashes
    )


def _foreseen(call: Call[AnyAction]) -> Foreseen:
    try:
        viewing = _viewing(call)
    except PermanentError as error:
        return Foreseen.dead(f"would become a dead letter: {error}")
    if not call.file_hashes:
        return Foreseen(f"would add {viewing.words} to the file that the steps before it name")
    return Foreseen(f"would add {viewing.words} to {count_of(len(call.file_hashes), 'file')}")


def _to_take_off(call: Call[Undo], states: Mapping[str, FileMetadata]) -> dict[str, dict[str, Any]]:
    """Give what is to be added to each file, which is less than nothing, and what it has now.

    What a try before this one had begun to take off is what it was at that time.
    """
    earlier = call.earlier.receipt if call.earlier is not None else None
    begun = (earlier or {}).get("added")
    if isinstance(begun, Mapping):
        return dict(begun)
    rows: dict[str, dict[str, Any]] = {}
    for file_hash, row in call.action.receipt.get("added", {}).items():
        now = Viewed.of(states[file_hash], canvas_type(row["canvas"]))
        added = _Viewing(canvas_type(row["canvas"]), row["views"], row["seconds"], None)
        if row["views"] < 0 or added.is_in(now, Viewed.from_data(row["before"])):
            rows[file_hash] = {
                "canvas": row["canvas"],
                "views": -row["views"],
                "seconds": -row["seconds"],
                "before": now.to_data(),
            }
    return rows
