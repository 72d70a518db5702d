"""Brings a page of the client to the front."""

from __future__ import annotations

from collections.abc import Sequence
from typing import ClassVar

from hydrusd.builtin.actions._pages import (
    NESTED_SELECTION_SINCE_API,
    OnPage,
    Places,
    by_page,
    gives_up,
    located,
    of,
    values_of,
)
from hydrusd.plugin import (
    AnyAction,
    Call,
    Foreseen,
    Outcome,
    PermanentError,
    Permission,
    SetAction,
)


class FocusPage(OnPage):
    """Bring a page of Hydrus to the front.

    It must be there, and the only one of its name or path; otherwise the job becomes a dead
    letter that says which there are.
    """

    action: ClassVar[str] = "focus_page"
    no_undo: ClassVar[str] = "what was brought to the front was seen"
    permissions: ClassVar[frozenset[Permission]] = frozenset({Permission.MANAGE_PAGES})
    changes_client: ClassVar[bool] = False

    @classmethod
    async def run_set(cls, calls: Sequence[Call[SetAction]]) -> None:
        """Focus each page once, the one named last at the end."""
        client = calls[0].client
        places = await Places.read(client)
        before = places.in_front
        for place, group in by_page(located(calls, places)):
            await client.focus_page(place.page.page_key)
            for call in group:
                receipt = {"focused": list(place.way), "before": list(before)}
                call.finish(Outcome.done(f"{place}", values=values_of(place.page), receipt=receipt))
            before = place.way

    @classmethod
    async def plan(cls, calls: Sequence[Call[AnyAction]]) -> Sequence[Foreseen]:
        """Say which page would come to the front, unless it is there."""
        client = calls[0].client
        places = await Places.read(client)
        told = client.info.api_version >= NESTED_SELECTION_SINCE_API
        foreseen = []
        for call in calls:
            try:
                place = of(cls, call).place(places)
            except PermanentError as error:
                foreseen.append(gives_up(error))
                continue
            front = told and place.in_front
            detail = f"{place} is in front" if front else f"would bring {place} to the front"
            foreseen.append(Foreseen(detail, changes=not front, values=values_of(place.page)))
        return foreseen
