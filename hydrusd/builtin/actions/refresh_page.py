"""Has a page of the client search again."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import ClassVar

from hydrusd.builtin.actions._pages import (
    OnPage,
    Place,
    Places,
    by_page,
    gives_up,
    located,
    of,
    too_old,
)
from hydrusd.plugin import (
    AnyAction,
    Call,
    Fault,
    Foreseen,
    HydrusClient,
    Outcome,
    PermanentError,
    Permission,
    SetAction,
)

SINCE_API = 39


class RefreshPage(OnPage):
    """Have a page of Hydrus search again, as F5 does; one that does not search sorts again.

    Needs Client API ≥ 39. The page must be there, and the only one of its name or path.
    """

    action: ClassVar[str] = "refresh_page"
    no_undo: ClassVar[str] = "what was refreshed is as it is"
    permissions: ClassVar[frozenset[Permission]] = frozenset({Permission.MANAGE_PAGES})
    changes_client: ClassVar[bool] = False

    def preflight(self, client: HydrusClient) -> Iterable[Fault]:
        """Name a client that is too old."""
        return too_old(self.action, client, SINCE_API)

    @classmethod
    async def run_set(cls, calls: Sequence[Call[SetAction]]) -> None:
        """Refresh each page once."""
        client = calls[0].client
        for place, group in by_page(located(calls, await Places.read(client))):
            outcome = Outcome.dead(_refusal(place))
            if not place.holds_pages:
                await client.refresh_page(place.page.page_key)
                outcome = Outcome.done(f"{place}", receipt={"refreshed": list(place.way)})
            for call in group:
                call.finish(outcome)

    @classmethod
    async def plan(cls, calls: Sequence[Call[AnyAction]]) -> Sequence[Foreseen]:
        """Say which page would be refreshed."""
        places = await Places.read(calls[0].client)
        return [_foreseen(of(cls, call), places) for call in calls]


def _refusal(place: Place) -> str:
    return f"{place} is a page of pages, which has nothing to refresh: name one in it"


def _foreseen(action: RefreshPage, places: Places) -> Foreseen:
    try:
        place = action.place(places)
        if place.holds_pages:
            raise PermanentError(_refusal(place))
    except PermanentError as error:
        return gives_up(error)
    return Foreseen(f"would refresh {place}")
