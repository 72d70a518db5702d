"""The trigger that notices files entering a search.

A client tells nobody when something changes; all that can be done is to ask for the whole
result again and compare. That is cheap as long as nothing new is in it: the last result
stays in memory, and the ledger is asked about the difference alone.

Leaving a search means nothing here, so a result that is empty because the client is not
ready does no harm, but for the very first: taken for "nothing was there", it would make
every file that is there a new one. So it is believed only when it is given twice.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping, Sequence
from hashlib import sha256
from typing import Annotated, Any, ClassVar

from pydantic import BeforeValidator, Field, StringConstraints

from hydrusd.plugin import (
    OR_ONE,
    Detail,
    Duration,
    Event,
    Fault,
    HydrusClient,
    Prospect,
    RequestRejected,
    Trigger,
    TriggerContext,
    VersionTooOld,
)

BATCH = 500
"""How many files are asked about and handed over at once."""
CONFIRM_SECONDS = 10.0
"""After which an empty first result is asked for once more."""
GROWTH = 1.5
MOST_GROWTH = 5.0
"""How the pause grows while nothing comes, and up to how many times ``every``."""
REST = 20.0
"""How many times as long as it took to answer the client is left alone."""

_BEGUN = "begun"


def _listed(value: object) -> object:
    return [value] if isinstance(value, str) else value


Term = Annotated[str, StringConstraints(strip_whitespace=True, min_length=1)]
Alternatives = Annotated[tuple[Term, ...], Field(min_length=1)]


class Search(Trigger):
    """Notice each file that enters a search, once.

    All of `tags` must apply, as on a search page of Hydrus: tags, `-` before those that must
    not, `*` as a wildcard, and `system:…` as Hydrus writes it. A list among them applies if
    one of its entries does.

    The files that are in the search when the rule begins are passed over, for good, unless
    `backfill`. A file that leaves the search and enters again is not noticed again. While
    hydrusd is not running, files that enter and stay are noticed afterwards.

    Hydrus is asked every `every`; while nothing comes, up to five times less often, and the
    less often the longer it takes to answer.

    The steps of the rule are about the file found. Conditions and templates see `hash`,
    `search.tags`, `search.file_service` and `search.tag_service`.
    """

    trigger: ClassVar[str] = "search"
    shared: ClassVar[bool] = False
    in_portions: ClassVar[bool] = True
    gives: ClassVar[Mapping[str, Any] | None] = {"hash": None, "search": None}

    tags: Annotated[tuple[Term | Alternatives, ...], BeforeValidator(_listed), OR_ONE] = Field(
        min_length=1, description="What to search for: a list of terms, or a single one."
    )
    file_service: str | None = Field(
        default=None,
        min_length=1,
        description="The file service to search in, by name or key; without it, all local files.",
    )
    tag_service: str | None = Field(
        default=None,
        min_length=1,
        description="The tag service to search in, by name or key; without it, all known tags.",
    )
    every: Duration = Field(
        default=60.0,
        gt=0,
        description="How often to ask while files are coming.",
        json_schema_extra={"default": "1m"},
    )
    backfill: bool = Field(
        default=False,
        description="Whether to take the files that are there when the rule begins, too.",
    )

    def preflight(self, client: HydrusClient) -> Iterable[Fault]:
        """Name the services that the client does not have, or has twice."""
        if self.file_service is not None:
            try:
                client.file_service(self.file_service)
            except RequestRejected as error:
                yield Fault(error.message, path=("file_service",))
        named = {name for s in client.services for name in (s.name, s.key)}
        if self.tag_service is not None and self.tag_service not in named:
            try:
                client.tag_service(self.tag_service)
            except RequestRejected as error:
                yield Fault(error.message, path=("tag_service",))

    @property
    def patience(self) -> float:
        """Give how seldom it asks at most, where Hydrus answers at once."""
        return 5 * self.every + 1

    async def preview(self, context: TriggerContext) -> Prospect:
        """Search once, and compare with what is known."""
        return await _Poll(self, context).foresee()

    async def run(self, context: TriggerContext) -> None:
        """Notice files until cancelled."""
        await _Poll(self, context).run()


class _Poll:
    """One run of the trigger. Forgets everything when it ends, as when the client goes away."""

    def __init__(self, trigger: Search, context: TriggerContext) -> None:
        self._trigger = trigger
        self._context = context
        self._data = {
            "tags": [t if isinstance(t, str) else list(t) for t in trigger.tags],
            "file_service": trigger.file_service,
            "tag_service": trigger.tag_service,
        }
        self._digest = sha256(json.dumps(self._data).encode()).hexdigest()[:16]
        self._last: set[bytes] = set()
        self._hashes: dict[int, str] = {}  # by file id, of clients that cannot search for hashes

    async def run(self) -> None:
        context, every = self._context, self._trigger.every
        if not self._trigger.backfill and await context.recall(_BEGUN) is None:
            await self._begin()
        context.working()
        pause = every
        while True:
            began = context.clock.monotonic()
            found = await self._found()
            took = context.clock.monotonic() - began
            entered = await self._compare(found)
            del found  # it may be large, and the pause long
            pause = every if entered else min(pause * GROWTH, every * MOST_GROWTH)
            await context.clock.sleep(max(pause, took * REST))

    async def foresee(self) -> Prospect:
        begins = not self._trigger.backfill and await self._context.recall(_BEGUN) is None
        found = await self._found()
        if begins:
            return Prospect(
                detail=f"{len(found):,} files are in the search and would be passed over, for "
                f"good, as the rule begins; those that enter later are noticed"
            )
        events: list[Event] = []
        for some in _batches(found):
            here = list(map(self._event, some))
            unseen = await self._context.unseen([event.key for event in here])
            events += [event for event in here if event.key in unseen]
        return Prospect(events, f"{len(found):,} files in the search, {len(events):,} new")

    async def _compare(self, found: Sequence[str]) -> bool:
        """Hand over what was not there the last time; say whether anything was."""
        entered = [one for one in found if bytes.fromhex(one) not in self._last]
        for some in _batches(entered):
            events = list(map(self._event, some))
            unseen = await self._context.unseen([event.key for event in events])
            if unseen:
                await self._context.emit([event for event in events if event.key in unseen])
        if found:
            self._last = set(map(bytes.fromhex, found))
        return bool(entered)

    async def _begin(self) -> None:
        """Pass over what is there, and remember that it was."""
        found = await self._found()
        if not found:
            await self._context.clock.sleep(min(self._trigger.every, CONFIRM_SECONDS))
            found = await self._found()
        batches = _batches(found) or [()]
        for number, some in enumerate(batches, start=1):
            # With the last: begun is what is passed over as a whole.
            at_end = number == len(batches)
            await self._context.pass_over(
                list(map(self._event, some)),
                "was in the search already when the rule began",
                remember={_BEGUN: self._context.clock.now().isoformat()} if at_end else None,
            )

    async def _found(self) -> Sequence[str]:
        """Give the hashes of all files that are in the search, in the order of their import."""
        trigger, client = self._trigger, self._context.client
        domains = [trigger.file_service] if trigger.file_service is not None else []
        tag_service = trigger.tag_service
        try:
            found = await client.search_files(
                trigger.tags, domains=domains, tag_service=tag_service, file_ids=False, hashes=True
            )
        except VersionTooOld:
            found = await client.search_files(
                trigger.tags, domains=domains, tag_service=tag_service
            )
            return await self._hashes_of(found.file_ids)
        return found.hashes

    async def _hashes_of(self, file_ids: Sequence[int]) -> Sequence[str]:
        new = [one for one in file_ids if one not in self._hashes]
        for row in await self._context.client.file_metadata(new, detail=Detail.IDENTIFIERS):
            assert row.file_id is not None
            self._hashes[row.file_id] = row.hash
        return [self._hashes[one] for one in file_ids]

    def _event(self, file_hash: str) -> Event:
        return Event(f"{self._digest}|{file_hash}", {"hash": file_hash, "search": self._data})


def _batches(hashes: Sequence[str]) -> list[Sequence[str]]:
    return [hashes[start : start + BATCH] for start in range(0, len(hashes), BATCH)]
