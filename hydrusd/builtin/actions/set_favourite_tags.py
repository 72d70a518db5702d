"""Changes the tags that Hydrus offers first when somebody is about to write one."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import ClassVar, Self, cast

from pydantic import Field, model_validator

from hydrusd.builtin.actions._editing import too_old
from hydrusd.builtin.actions._tagging import Tags, cleaned_tags
from hydrusd.builtin.actions._taking_back import count_of, joined_receipt
from hydrusd.plugin import (
    AnyAction,
    Call,
    Fault,
    Foreseen,
    HydrusClient,
    Outcome,
    Permission,
    SetAction,
    Undo,
    keep_receipts,
)

_SINCE_API = 80
_NOT_THERE = "nothing: the favourites have changed since"


class SetFavouriteTags(SetAction):
    """Change the favourite tags: those which Hydrus suggests beside every box for tags.

    `set` replaces them all; `add` and `remove` change some. No file is needed for it.
    """

    action: ClassVar[str] = "set_favourite_tags"
    permissions: ClassVar[frozenset[Permission]] = frozenset({Permission.EDIT_TAGS})

    set: Tags | None = Field(default=None, description="the tags that are the favourites now")
    add: Tags = Field(default=(), description="tags to add to the favourites")
    remove: Tags = Field(default=(), description="tags to take from the favourites")

    @model_validator(mode="after")
    def _asks_for_one_thing(self) -> Self:
        if (self.set is None) == (not self.add and not self.remove):
            raise ValueError("it takes 'set', or 'add' and 'remove'")
        return self

    def preflight(self, client: HydrusClient) -> Iterable[Fault]:
        """Name what the client is too old for."""
        return too_old(self.action, _SINCE_API, client)

    @classmethod
    async def run_set(cls, calls: Sequence[Call[SetAction]]) -> None:
        """Change them call by call, asking only where something changes."""
        client = calls[0].client
        now = await client.get_favourite_tags()
        for call in calls:
            wanted = _action(call).wanted(now)
            if wanted == now:
                call.finish(Outcome.done("they are so already", receipt=joined_receipt(call, {})))
                continue
            change = _told(now, wanted)
            before = now
            kept = {"favourites": {"before": before, "after": wanted}}
            await keep_receipts({call: joined_receipt(call, kept)})
            now = await client.set_favourite_tags(wanted)
            receipt = joined_receipt(call, {"favourites": {"before": before, "after": now}})
            call.finish(Outcome.done(change, receipt=receipt))

    def wanted(self, now: Sequence[str]) -> list[str]:
        """Give the favourites as they shall be: in their order, what is new behind."""
        if self.set is not None:
            wanted = cleaned_tags(self.set)
            return list(now) if sorted(wanted) == sorted(now) else wanted
        gone = cleaned_tags(self.remove)
        kept = [tag for tag in now if tag not in gone]
        return [*kept, *(tag for tag in cleaned_tags(self.add) if tag not in kept)]

    @classmethod
    async def undo_set(cls, calls: Sequence[Call[Undo]]) -> None:
        """Take out what was new and put back what was gone, call by call."""
        client = calls[0].client
        now = await client.get_favourite_tags()
        for call in calls:
            wanted = _as_before(call, now)
            if wanted == now:
                done = Outcome.done(_NOT_THERE, receipt=joined_receipt(call, {}))
                call.finish(done)
                continue
            receipt = joined_receipt(call, {"favourites": {"before": now, "after": wanted}})
            await keep_receipts({call: receipt})
            words = _told(now, wanted)
            now = await client.set_favourite_tags(wanted)
            call.finish(Outcome.done(words, receipt=receipt))

    @classmethod
    async def undo_plan(cls, calls: Sequence[Call[Undo]]) -> Sequence[Foreseen]:
        """Say which tags would come and go."""
        now = await calls[0].client.get_favourite_tags()
        foreseen = []
        for call in calls:
            wanted = _as_before(call, now)
            same = Foreseen(_NOT_THERE, changes=False)
            foreseen.append(same if wanted == now else Foreseen(_told(now, wanted)))
            now = wanted
        return foreseen

    @classmethod
    async def lost(cls, calls: Sequence[Call[AnyAction]]) -> Sequence[Call[AnyAction]]:
        """Give those whose change is not there."""
        now = await calls[0].client.get_favourite_tags()
        return [call for call in calls if _action(call).wanted(now) != now]

    @classmethod
    async def plan(cls, calls: Sequence[Call[AnyAction]]) -> Sequence[Foreseen]:
        """Say which tags would come and go."""
        now = await calls[0].client.get_favourite_tags()
        foreseen = []
        for call in calls:
            wanted = _action(call).wanted(now)
            change = f"would change the favourites: {_told(now, wanted)}"
            same = Foreseen("nothing to do: they are so already", changes=False)
            foreseen.append(same if wanted == now else Foreseen(change))
            now = wanted
        return foreseen


def _action(call: Call[SetAction] | Call[AnyAction]) -> SetFavouriteTags:
    return cast("SetFavouriteTags", call.action)


def _told(before: Sequence[str], after: Sequence[str]) -> str:
    new, gone = ([t for t in a if t not in b] for a, b in ((after, before), (before, after)))
    told = [f"{count_of(len(tags), 'tag')} {word}" for tags, word in ((new, "new"), (gone, "gone"))]
    return ", ".join(told)


def _as_before(call: Call[Undo], now: Sequence[str]) -> list[str]:
    """Give the favourites without what a step has done to them."""
    change = call.action.receipt["favourites"]
    before, after = change["before"], change["after"]
    if list(now) == list(after):
        return list(before)
    new = set(after) - set(before)
    kept = [tag for tag in now if tag not in new]
    return [*kept, *(tag for tag in before if tag not in after and tag not in kept)]
