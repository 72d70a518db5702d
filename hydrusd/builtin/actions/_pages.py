"""Which page of the client is meant.

Names are all that lasts: keys die with the client, so a page is looked for anew in every
set. But names need not be unique, and a wrong page focused or filled is a guess: where
two fit, neither is taken, and both are told with the way to them. A way is a list, because
a name may hold any character that could part names in a text.
"""

from __future__ import annotations

import difflib
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Self, TypeVar

from pydantic import Field, model_validator

from hydrusd.plugin import (
    AnyAction,
    Call,
    Fault,
    Foreseen,
    HydrusClient,
    NewPage,
    Outcome,
    Page,
    PageType,
    PermanentError,
    SetAction,
)

MOST_TOLD = 10
NESTED_SELECTION_SINCE_API = 20
"""Older clients call pages selected that are not to be seen."""

Way = tuple[str, ...]
"""The names of pages from the outermost row down to one."""

A = TypeVar("A", bound=AnyAction)


@dataclass(frozen=True, slots=True)
class Place:
    """A page and the way to it. ``in_front``: it is to be seen now."""

    way: Way
    page: Page
    in_front: bool

    def __str__(self) -> str:
        return " > ".join(map(repr, self.way))

    @property
    def holds_pages(self) -> bool:
        """Whether it is a page of pages."""
        return self.page.page_type == PageType.PAGE_OF_PAGES


class Places:
    """All pages of the client, as they were when asked and with those made since."""

    def __init__(self, top: Page) -> None:
        self._places = list(_walk(top, (), in_front=True))

    @classmethod
    async def read(cls, client: HydrusClient) -> Self:
        """Ask the client."""
        return cls(await client.get_pages())

    def add(self, way: Way, made: NewPage) -> Place:
        """Take up a page that was just made."""
        page = Page(made.page_name, made.page_key, made.page_type)
        place = Place((*way[:-1], made.page_name), page, in_front=False)
        self._places.append(place)
        return place

    @property
    def in_front(self) -> Way:
        """The way to the page that the user sees."""
        return next((p.way for p in reversed(self._places) if p.in_front), ())

    def named(self, name: str) -> Place | None:
        """Give the page of a name, wherever it is. Raises PermanentError where there are two."""
        return _only([p for p in self._places if p.way[-1] == name], f"are called {name!r}")

    def at(self, way: Way) -> Place | None:
        """Give the page at the end of a way. Raises PermanentError where there are two."""
        found = [p for p in self._places if p.way == way]
        return _only(found, f"are at {' > '.join(map(repr, way))}", "rename one of them in Hydrus")

    def with_key(self, key: str) -> Place | None:
        """Give the page with a key."""
        return next((p for p in self._places if p.page.page_key == key.lower()), None)

    def parent_key(self, way: Way) -> str:
        """Give the key of the page of pages that a new page at ``way`` goes into.

        Nothing for the outermost. Raises PermanentError where there is none.
        """
        if len(way) == 1:
            return ""
        parent = self.at(way[:-1])
        if parent is None:
            raise PermanentError(f"there is no page of pages {' > '.join(map(repr, way[:-1]))}")
        if not parent.holds_pages:
            raise PermanentError(f"{parent} is no page of pages")
        return parent.page.page_key

    def near(self, name: str) -> str:
        """Give pages whose names are much like this one, in words; nothing where none is."""
        close = difflib.get_close_matches(name, {p.way[-1] for p in self._places})
        found = [str(p) for p in self._places if p.way[-1] in close]
        return f"; there is {' and '.join(found[:MOST_TOLD])}" if found else ""


def _walk(page: Page, way: Way, *, in_front: bool) -> Iterable[Place]:
    for inner in page.pages:
        place = Place((*way, inner.name), inner, in_front=in_front and inner.selected)
        yield place
        yield from _walk(inner, place.way, in_front=place.in_front)


def _only(
    found: Sequence[Place], what: str, advice: str = "say with `path` which is meant"
) -> Place | None:
    if len(found) < 2:
        return found[0] if found else None
    told = ", ".join(map(str, found[:MOST_TOLD]))
    more = f" and {len(found) - MOST_TOLD} more" if len(found) > MOST_TOLD else ""
    raise PermanentError(f"{len(found)} pages {what}: {told}{more}; {advice}")


class OnPage(SetAction):
    """What actions share that do something to one page that is there."""

    name: str = Field(default="", description="The page's name, as its tab shows it.")
    path: tuple[str, ...] = Field(
        default=(),
        description=(
            "In place of `name`: the names from the outermost row of pages down to it, as in "
            "`[downloads, new]`."
        ),
    )
    key: str = Field(
        default="",
        description=(
            "In place of `name`: the page's key, as in `{{ steps.new_page.page_key }}`. It is "
            "good until Hydrus restarts."
        ),
    )

    @model_validator(mode="after")
    def _one_way(self) -> Self:
        if sum(map(bool, (self.name, self.path, self.key))) != 1:
            raise ValueError("say which page with one of 'name', 'path' and 'key'")
        return self

    def looked_for(self, places: Places) -> Place | None:
        """Give the page meant. Raises PermanentError where several are."""
        if self.key:
            return places.with_key(self.key)
        return places.at(self.path) if self.path else places.named(self.name)

    def missing(self, places: Places) -> str:
        """Say that the page is not there, and what is."""
        if self.key:
            return "no page has this key (any more): keys die when Hydrus restarts"
        way = self.path or (self.name,)
        return f"there is no page {' > '.join(map(repr, way))}{places.near(way[-1])}"

    def place(self, places: Places) -> Place:
        """Give the page meant. Raises PermanentError where there is none, or not only one."""
        found = self.looked_for(places)
        if found is None:
            raise PermanentError(self.missing(places))
        return found


def of(kind: type[A], call: Call[SetAction] | Call[AnyAction]) -> A:
    """Give the action of a call, which is of this kind."""
    assert isinstance(call.action, kind)
    return call.action


def by_page(
    calls: Iterable[tuple[Call[SetAction], Place]],
) -> list[tuple[Place, list[Call[SetAction]]]]:
    """Put the calls about one page together; the page that came last is last."""
    groups: dict[str, tuple[Place, list[Call[SetAction]]]] = {}
    for call, place in calls:
        _, group = groups.pop(place.page.page_key, (place, []))
        group.append(call)
        groups[place.page.page_key] = (place, group)
    return list(groups.values())


def located(
    calls: Sequence[Call[SetAction]], places: Places
) -> list[tuple[Call[SetAction], Place]]:
    """Find the page of each call; a call without one is finished."""
    found = []
    for call in calls:
        try:
            found.append((call, of(OnPage, call).place(places)))
        except PermanentError as error:
            call.finish(Outcome.dead(str(error)))
    return found


def values_of(page: Page | NewPage) -> dict[str, object]:
    """Give what later steps see of a page."""
    name = page.name if isinstance(page, Page) else page.page_name
    return {"page_key": page.page_key, "page_name": name}


def gives_up(error: PermanentError) -> Foreseen:
    """Say that a step would find no page that it can use, as things stand."""
    return Foreseen.dead(f"would become a dead letter, if that is so by then: {error}")


def too_old(action: str, client: HydrusClient, since_api: int) -> Iterable[Fault]:
    """Name a client that speaks an older API than an action needs."""
    spoken = client.info.api_version
    if spoken < since_api:
        yield Fault(
            f"{action} needs Client API ≥ {since_api}, this client speaks {spoken}",
            "update Hydrus",
        )
