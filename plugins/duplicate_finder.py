"""Finds what Hydrus takes for duplicates, and hands the files to the steps after it.

    rules:
      - name: duplicates to look at
        on:
          schedule: {every: 1d}
        do:
          - find_duplicates: {alike: pixels, most_pairs: 50}
          - add_to_page: {page: duplicates}

Hydrus compares pictures by itself and keeps a list of pairs that may be duplicates. Which of two
is the better one is a question of taste, and to answer it wrongly costs a file: so this finds
and decides nothing. What is done with the files is said by the steps after it, as for any other.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from typing import ClassVar, Literal, cast

from pydantic import Field

from hydrusd.plugin import (
    Action,
    AnyAction,
    Call,
    Fault,
    Foreseen,
    HydrusClient,
    Outcome,
    Permission,
    PixelDuplicates,
    Potentials,
    PotentialsSearch,
    hookimpl,
)

SINCE_API = 41
_DISTANCES = {"pixels": 0, "exactly": 0, "very": 2, "similar": 4, "perhaps": 8}

Alike = Literal["pixels", "exactly", "very", "similar", "perhaps"]


class FindDuplicates(Action):
    """Find pairs of files that Hydrus takes for duplicates, and that nobody has judged yet.

    The steps after it are about these files: tag them, put them on a page. The job ends, skipped,
    where there are none. They see `steps.find_duplicates.count` (how many pairs there are in
    all), `.pairs` (those found, each a list of two hashes), and `.hashes`.

    Needs Client API ≥ 41.
    """

    action: ClassVar[str] = "find_duplicates"
    permissions: ClassVar[frozenset[Permission]] = frozenset({Permission.EDIT_RELATIONSHIPS})
    changes_client: ClassVar[bool] = False
    names_files: ClassVar[bool] = True
    no_undo: ClassVar[str] = "it only asks"

    alike: Alike = Field(
        default="similar",
        description=(
            "How alike they must be: `pixels` to the last pixel; `exactly`, `very`, `similar`, "
            "`perhaps` as in Hydrus' duplicate filter (distances 0, 2, 4 and 8)."
        ),
    )
    search: tuple[str, ...] = Field(
        default=(), description="Tags and predicates that one of the two must match."
    )
    both: bool = Field(default=False, description="Both of the two must match `search`.")
    at_least: int = Field(default=1, ge=1, description="How many pairs there must be in all.")
    most_pairs: int = Field(default=100, ge=1, le=1000, description="How many pairs to take.")

    @property
    def potentials(self) -> Potentials:
        """What Hydrus is asked for."""
        return Potentials(
            first=self.search,
            max_distance=_DISTANCES[self.alike],
            pixel_duplicates=PixelDuplicates.MUST_BE
            if self.alike == "pixels"
            else PixelDuplicates.MAY_BE,
            matching=PotentialsSearch.BOTH_MATCH_FIRST
            if self.both
            else PotentialsSearch.ONE_MATCHES_FIRST,
        )

    def preflight(self, client: HydrusClient) -> Iterable[Fault]:
        """Name a client that is too old."""
        if client.info.api_version < SINCE_API:
            yield Fault(
                f"find_duplicates needs Client API ≥ {SINCE_API}, this client speaks "
                f"{client.info.api_version}",
                "update Hydrus",
            )

    @classmethod
    async def plan(cls, calls: Sequence[Call[AnyAction]]) -> Sequence[Foreseen]:
        """Find them, which changes nothing."""
        plans = []
        for call in calls:
            outcome = await cast("FindDuplicates", call.action)._found(call.client)  # noqa: SLF001
            plans.append(Foreseen(outcome.detail, changes=False, values=outcome.values))
        return plans

    async def run(self, call: Call[Action]) -> Outcome:
        """Find them."""
        return await self._found(call.client)

    async def _found(self, client: HydrusClient) -> Outcome:
        count = await client.get_potentials_count(self.potentials)
        if count < self.at_least:
            return Outcome.skipped(f"{count} pairs may be duplicates", values={"count": count})
        pairs = await client.get_potential_pairs(self.potentials, max_pairs=self.most_pairs)
        hashes = list(dict.fromkeys(file_hash for pair in pairs for file_hash in pair))
        if not hashes:
            return Outcome.skipped("they were judged meanwhile", values={"count": 0})
        return Outcome.done(
            f"{count} pairs may be duplicates, {len(pairs)} taken",
            values={
                "count": count,
                "pairs": [list(pair) for pair in pairs],
                "hash": hashes[0],
                "hashes": hashes,
            },
        )


@hookimpl
def hydrusd_register_actions(register: Callable[[type[AnyAction]], None]) -> None:
    """Register the action."""
    register(FindDuplicates)
