"""Puts files on a page of the client."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import ClassVar, Self

from pydantic import Field, model_validator

from hydrusd.builtin.actions._pages import (
    OnPage,
    Place,
    Places,
    by_page,
    gives_up,
    of,
    too_old,
    values_of,
)
from hydrusd.plugin import (
    AnyAction,
    Call,
    Fault,
    Foreseen,
    HydrusClient,
    Outcome,
    PageType,
    PermanentError,
    Permission,
    SetAction,
)

SINCE_API = 18

NO_FILE = "there is no file to show: put add_file or add_url before it"


class AddToPage(OnPage):
    """Put the job's files on a page of Hydrus, behind those that it shows.

    A file that the page shows already stays where it is. With `create` a page that is not
    there is made first; it must then be named by `name` (and stands in the outermost row) or
    by `path` (and the page of pages that it goes into must be there).

    Later steps see `steps.add_to_page.page_key` and `steps.add_to_page.page_name`. Needs Client
    API ≥ 18, and ≥ 93 to make a page. What is put on a page can be taken off only in Hydrus.
    """

    action: ClassVar[str] = "add_to_page"
    no_undo: ClassVar[str] = "Hydrus' API cannot take files off a page: remove them there in Hydrus"
    permissions: ClassVar[frozenset[Permission]] = frozenset({Permission.MANAGE_PAGES})
    changes_client: ClassVar[bool] = False

    create: bool = Field(default=False, description="Whether to make the page if it is not there.")

    @model_validator(mode="after")
    def _can_be_made(self) -> Self:
        if self.create and self.key:
            raise ValueError("a page can be made by 'name' or 'path', not by 'key'")
        return self

    def preflight(self, client: HydrusClient) -> Iterable[Fault]:
        """Name a client that is too old."""
        return too_old(self.action, client, SINCE_API)

    @classmethod
    async def run_set(cls, calls: Sequence[Call[SetAction]]) -> None:
        """Show all files of the set that go on one page with one request."""
        client = calls[0].client
        places = await Places.read(client)
        found: list[tuple[Call[SetAction], Place]] = []
        made: set[str] = set()
        for call in calls:
            try:
                found.append((call, await cls._place_for(call, places, made)))
            except PermanentError as error:
                call.finish(Outcome.dead(str(error)))
        for place, group in by_page(found):
            hashes = dict.fromkeys(h for call in group for h in call.file_hashes)
            await client.add_files_to_page(place.page.page_key, list(hashes))
            for call in group:
                former = call.earlier.receipt if call.earlier is not None else None
                is_new = place.page.page_key in made or bool((former or {}).get("made_page"))
                made.discard(place.page.page_key)
                receipt = {"page": list(place.way), "made_page": is_new}
                call.finish(Outcome.done(f"{place}", values=values_of(place.page), receipt=receipt))

    @classmethod
    async def _place_for(cls, call: Call[SetAction], places: Places, made: set[str]) -> Place:
        """Give the page that a call's files go on, made if that is wanted."""
        action = of(cls, call)
        if not call.file_hashes:
            raise PermanentError(NO_FILE)
        place = action.looked_for(places)
        if place is None and action.create:
            way = action.path or (action.name,)
            page = await call.client.new_page(
                PageType.FILE_SEARCH, page_name=way[-1], page_of_pages_key=places.parent_key(way)
            )
            made.add(page.page_key)
            return places.add(way, page)
        place = place or action.place(places)
        if place.holds_pages:
            raise PermanentError(_refusal(place))
        return place

    @classmethod
    async def plan(cls, calls: Sequence[Call[AnyAction]]) -> Sequence[Foreseen]:
        """Say which files a page does not show yet."""
        client = calls[0].client
        places = await Places.read(client)
        shown: dict[str, set[str]] = {}
        foreseen = []
        for call in calls:
            action = of(cls, call)
            try:
                place = action.looked_for(places)
                if place is None and not action.create:
                    place = action.place(places)
            except PermanentError as error:
                foreseen.append(gives_up(error))
                continue
            if place is not None and place.page.page_key not in shown:
                shown[place.page.page_key] = await _shown(client, place)
            foreseen.append(_foreseen(action, call.file_hashes, place, shown))
        return foreseen


def _refusal(place: Place) -> str:
    return f"{place} is a page of pages, which shows no files: name one in it"


async def _shown(client: HydrusClient, place: Place) -> set[str]:
    info = await client.get_page_info(place.page.page_key, simple=False)
    return set(info.media.hashes) if info.media else set()


def _foreseen(
    action: AddToPage,
    hashes: Sequence[str],
    place: Place | None,
    shown: Mapping[str, set[str]],
) -> Foreseen:
    if place is None:
        way = " > ".join(map(repr, action.path or (action.name,)))
        return Foreseen(f"would make {way} for it")
    if place.holds_pages:
        return gives_up(PermanentError(_refusal(place)))
    values = values_of(place.page)
    if not hashes:
        return Foreseen(f"would show what the steps before it name on {place}", values=values)
    new = len(set(hashes) - shown[place.page.page_key])
    if not new:
        return Foreseen(f"{place} shows it already", changes=False, values=values)
    return Foreseen(f"would show {new} file{'s' if new > 1 else ''} on {place}", values=values)
