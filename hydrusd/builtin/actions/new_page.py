"""Makes a page in the client, once."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import replace
from typing import ClassVar, Literal, Self

from pydantic import Field, model_validator

from hydrusd.builtin.actions._pages import (
    Place,
    Places,
    Way,
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
    RequestRejected,
    SetAction,
)

SINCE_API = 93
PAGE_OF_PAGES_SINCE_API = 94

Kind = Literal[
    "file_search",
    "url_downloader",
    "gallery_downloader",
    "watcher",
    "duplicates",
    "page_of_pages",
]
"""Those whose name one can choose: Hydrus calls all other pages what it likes, so that they
could not be recognised, and would be made again and again."""

_NOT_EMPTY_FOR = {"tags": {"file_search"}, "tag_service": {"file_search"}}
_NOT_EMPTY_FOR["file_service"] = {"file_search", "duplicates"}


class NewPage(SetAction):
    """Make a page in Hydrus, unless there is one of that name: then that one is taken.

    So a rule that runs a thousand times makes one page. Where a new one is wanted each time, put
    something into the name that differs, such as a date. Without `within` a page of the name
    may be anywhere; with it, it must be right there.

    Files are put on a page by `add_to_page`, which can make it, too.

    Later steps see `steps.new_page.page_key` and `steps.new_page.page_name`. Needs Client
    API ≥ 93, for a page of pages ≥ 94.
    """

    action: ClassVar[str] = "new_page"
    no_undo: ClassVar[str] = "Hydrus' API cannot close a page: close it in Hydrus"
    permissions: ClassVar[frozenset[Permission]] = frozenset({Permission.MANAGE_PAGES})
    changes_client: ClassVar[bool] = False
    repeat_shows: ClassVar[bool] = True

    name: str = Field(min_length=1, description="What the page is called.")
    kind: Kind = Field(
        default="file_search",
        description=(
            "`file_search`, `url_downloader`, `gallery_downloader`, `watcher`, `duplicates` or "
            "`page_of_pages`."
        ),
    )
    within: tuple[str, ...] = Field(
        default=(),
        description=(
            "The page of pages that it is made in: the names from the outermost row down to it, "
            "as in `[downloads]`. Without: the outermost row."
        ),
    )
    tags: tuple[str | tuple[str, ...], ...] = Field(
        default=(),
        description=(
            "What a `file_search` looks for, as in `['creator:me', 'system:inbox']`. A list "
            "within the list means any of its tags."
        ),
    )
    file_service: str = Field(
        default="",
        description="Where a `file_search` or `duplicates` page looks, by name or key.",
    )
    tag_service: str = Field(
        default="", description="Whose tags a `file_search` goes by, by name or key."
    )
    focus: bool = Field(default=False, description="Whether to bring it to the front when made.")

    @model_validator(mode="after")
    def _fits(self) -> Self:
        for name, kinds in _NOT_EMPTY_FOR.items():
            if getattr(self, name) and self.kind not in kinds:
                raise ValueError(f"a page of the kind {self.kind!r} takes no '{name}'")
        return self

    @property
    def way(self) -> Way:
        """Where it is to stand."""
        return (*self.within, self.name)

    @property
    def page_type(self) -> PageType:
        """Its kind, as the API calls it."""
        return PageType[self.kind.upper()]

    def preflight(self, client: HydrusClient) -> Iterable[Fault]:
        """Name a client that is too old, and file services that it does not have."""
        since = PAGE_OF_PAGES_SINCE_API if self.kind == "page_of_pages" else SINCE_API
        yield from too_old(self.action, client, since)
        if self.file_service and "{{" not in self.file_service and "{%" not in self.file_service:
            try:
                client.file_service(self.file_service)
            except RequestRejected as error:
                yield Fault(error.message, path=("file_service",))

    @classmethod
    async def run_set(cls, calls: Sequence[Call[SetAction]]) -> None:
        """Make what is not there; of several calls for one page the first makes it."""
        client = calls[0].client
        places = await Places.read(client)
        for call in calls:
            try:
                outcome = await of(cls, call).take_or_make(client, places)
                former = call.earlier.receipt if call.earlier is not None else None
                if former and former.get("made"):
                    outcome = replace(outcome, receipt=former)  # done again: it is our own page
                call.finish(outcome)
            except PermanentError as error:
                call.finish(Outcome.dead(str(error)))

    async def take_or_make(self, client: HydrusClient, places: Places) -> Outcome:
        """Give the page meant, made if it is not there. Raises PermanentError."""
        there = self._there(places)
        if there is not None:
            values = values_of(there.page)
            return Outcome.done(f"{there} is there", values=values, receipt={"made": None})
        made = await client.new_page(
            self.page_type,
            page_name=self.name,
            page_of_pages_key=places.parent_key(self.way),
            focus_page=self.focus,
            tags=self.tags,
            file_service=self.file_service,
            tag_service=self.tag_service,
        )
        place = places.add(self.way, made)
        receipt = {"made": list(place.way)}
        return Outcome.done(f"made {place}", values=values_of(made), receipt=receipt)

    def _there(self, places: Places) -> Place | None:
        found = places.at(self.way) if self.within else places.named(self.name)
        if found is not None and found.page.page_type != self.page_type:
            raise PermanentError(f"{found} is there, but is no page of the kind {self.kind!r}")
        return found

    @classmethod
    async def plan(cls, calls: Sequence[Call[AnyAction]]) -> Sequence[Foreseen]:
        """Say which pages would be made; only the first of several calls for one makes it."""
        places = await Places.read(calls[0].client)
        made: set[Way] = set()
        return [of(cls, call).foresee(places, made) for call in calls]

    def foresee(self, places: Places, made: set[Way]) -> Foreseen:
        """Say whether the page would be made; ``made`` are those that earlier calls make."""
        name = " > ".join(map(repr, self.way))
        try:
            there = self._there(places)
            if there is None and self.way[:-1] not in made:
                places.parent_key(self.way)
        except PermanentError as error:
            return gives_up(error)
        if there is not None:
            return Foreseen(f"{there} is there", changes=False, values=values_of(there.page))
        if self.way in made:
            return Foreseen(f"{name} is there by then", changes=False)
        made.add(self.way)
        return Foreseen(f"would make {name}", values={"page_name": self.name})
