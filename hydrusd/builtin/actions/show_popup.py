"""Tells the client's user something, in the corner of the client's window."""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from contextlib import suppress
from typing import ClassVar, NamedTuple, TypedDict

from pydantic import Field

from hydrusd.builtin.actions._pages import of, too_old
from hydrusd.builtin.actions._popups import Mark, token
from hydrusd.plugin import (
    AnyAction,
    Call,
    Duration,
    Fault,
    Foreseen,
    HydrusClient,
    Outcome,
    Permission,
    Popup,
    RequestRejected,
    SetAction,
)

SINCE_API = 57
MOST_LINES = 10
"""How many different messages one popup shows; the others are counted."""
MOST_FILES = 10_000
APPEARS_SECONDS = 1.0
APPEARS_LOOKS = 10
"""A popup may answer to its key only when the client's window has got round to showing it."""

NO_FILE = "there is no file to show: put add_file or add_url before it"

_KEY, _LOOKS = "popup_key", "looks"


class ShowPopup(SetAction):
    """Show a popup in Hydrus.

    Jobs that come to this step together share one popup: it shows their messages, each
    once and ten at most, and all their files. Popups are never left unfinished: the user can
    always put them away. They are gone when Hydrus is closed.

    Popups of one `name` are one: as long as it is there, a later one changes it in place
    and adds its files to it (up to 10,000). When the user puts it away, the trigger `popup`
    can tell.

    Later steps see `steps.show_popup.popup_key`. Needs Client API ≥ 57.
    """

    action: ClassVar[str] = "show_popup"
    no_undo: ClassVar[str] = "what was shown was seen"
    permissions: ClassVar[frozenset[Permission]] = frozenset({Permission.MANAGE_POPUPS})
    changes_client: ClassVar[bool] = False
    repeat_shows: ClassVar[bool] = True

    message: str = Field(min_length=1, description="The text.")
    title: str = Field(default="", description="The line above it. Without: the rule's name.")
    name: str = Field(default="", description="Makes it one popup for all that have this name.")
    files: bool = Field(
        default=False, description="Whether to offer the job's files behind a button."
    )
    files_label: str = Field(
        default="",
        description="What the button says before `- show 12 files`. Without: the rule's name.",
    )
    dismiss_after: Duration | None = Field(
        default=None,
        ge=1,
        description="After which time it goes by itself. Without: when the user puts it away.",
    )

    def preflight(self, client: HydrusClient) -> Iterable[Fault]:
        """Name a client that is too old."""
        return too_old(self.action, client, SINCE_API)

    @classmethod
    async def run_set(cls, calls: Sequence[Call[SetAction]]) -> None:
        """Show one popup for all that differ in the message at most."""
        client = calls[0].client
        marked = await _marked(client)
        before: dict[str, list[Call[SetAction]]] = {}
        groups: dict[ShowPopup, list[Call[SetAction]]] = {}
        for call in calls:
            action = of(cls, call)
            if key := _shown_before(call, marked):
                before.setdefault(key, []).append(call)
            elif action.files and not call.file_hashes:
                call.finish(Outcome.dead(NO_FILE))
            else:
                groups.setdefault(action.model_copy(update={"message": ""}), []).append(call)
        for key, group in before.items():
            await of(cls, group[0]).see_through(group, key)
        for alike, group in groups.items():
            shown = await alike.show(group, marked)
            marked.append(shown)  # another group may go by the same name
            await alike.see_through(group, shown.popup.key)

    async def show(self, calls: Sequence[Call[SetAction]], marked: Sequence[Marked]) -> Marked:
        """Show what these calls tell, in the popup of the name or a new one."""
        client, rule = calls[0].client, calls[0].rule
        former = await self._former(client, marked)
        hashes = dict.fromkeys(former.files.hashes if former and former.files else ())
        if self.files:
            hashes |= dict.fromkeys(h for call in calls for h in call.file_hashes)
        mark = Mark(self.name, frozenset(map(token, calls)), self.dismiss_after is not None)
        files = list(hashes)[-MOST_FILES:]
        content = _Content(
            status_title=self.title or rule,
            status_text_1=_lines([of(ShowPopup, call).message for call in calls]),
            api_data=mark.to_data(),
            hashes=files,
            files_label=(self.files_label or rule) if files else "",
        )
        if former is not None:
            with suppress(RequestRejected):  # its user was quicker; what else it is, is said below
                return Marked(await client.update_popup(former.key, **content), mark)
        return Marked(await client.add_popup(**content), mark)

    async def _former(self, client: HydrusClient, marked: Sequence[Marked]) -> Popup | None:
        """Give the popup of this name that can be changed; one that cannot is taken away."""
        named = [each for each in marked if self.name and each.mark.name == self.name]
        if self.dismiss_after is None:
            for popup, mark in named:
                if mark.passing:  # its time cannot be stopped, and the news would go with it
                    with suppress(RequestRejected):
                        await client.dismiss_popup(popup.key)
            named = [each for each in named if not each.mark.passing]
        return named[-1].popup if named else None

    async def see_through(self, calls: Sequence[Call[SetAction]], key: str) -> None:
        """Have a popup that is shown go in time, and finish its calls."""
        detail = "shown"
        if self.dismiss_after is not None:
            client, seconds = calls[0].client, math.ceil(self.dismiss_after)
            try:
                await client.finish_and_dismiss_popup(key, seconds=seconds)
            except RequestRejected:
                looks = max(_looks(call) for call in calls) + 1
                if looks < APPEARS_LOOKS:
                    kept = {_KEY: key, _LOOKS: looks}
                    for call in calls:
                        why = "sent; Hydrus does not show it yet"
                        call.finish(Outcome.later(why, delay_seconds=APPEARS_SECONDS, values=kept))
                    return
                detail = "shown, and put away by now"
        for call in calls:
            call.finish(Outcome.done(detail, values={_KEY: key}, receipt={"shown": key}))

    @classmethod
    async def plan(cls, calls: Sequence[Call[AnyAction]]) -> Sequence[Foreseen]:
        """Say what would be shown, unless it is there already."""
        marked = await _marked(calls[0].client)
        foreseen = []
        for call in calls:
            if key := _shown_before(call, marked):
                foreseen.append(Foreseen("shown already", changes=False, values={_KEY: key}))
            else:
                foreseen.append(Foreseen(f"would show: {of(cls, call).message}"))
        return foreseen


class Marked(NamedTuple):
    """A popup of ours that is there now."""

    popup: Popup
    mark: Mark


class _Content(TypedDict):
    status_title: str
    status_text_1: str
    api_data: dict[str, object]
    hashes: Sequence[str]
    files_label: str


async def _marked(client: HydrusClient) -> list[Marked]:
    return [Marked(p, mark) for p in await client.get_popups() if (mark := Mark.of(p))]


def _shown_before(call: Call[SetAction] | Call[AnyAction], marked: Sequence[Marked]) -> str:
    """Give the key of the popup that an earlier run of this step has shown; nothing if none."""
    key = call.progress.get(_KEY)
    if isinstance(key, str):
        return key
    mine = token(call)
    return next((popup.key for popup, mark in marked if mine in mark.told), "")


def _looks(call: Call[SetAction]) -> int:
    looks = call.progress.get(_LOOKS)
    return looks if isinstance(looks, int) else 0


def _lines(messages: Sequence[str]) -> str:
    lines = list(dict.fromkeys(messages))
    more = len(lines) - MOST_LINES
    return "\n".join([*lines[:MOST_LINES], *([f"… and {more:,} more"] if more > 0 else [])])
