"""How files relate: duplicates, alternates, and pairs that nobody has looked at yet."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from enum import IntEnum

from pydantic import BaseModel, ConfigDict, Field

from hydrusd.errors import RequestRejected

from ._calls import FileReference, Route, checked_hashes, in_requests
from ._permissions import Permission
from ._search import SearchRoutes, SearchTags


def _route(method: str, name: str, since_api: int = 40) -> Route:
    path = f"/manage_file_relationships/{name}"
    return Route(method, path, Permission.EDIT_RELATIONSHIPS, since_api)


GET_FILE_RELATIONSHIPS = _route("GET", "get_file_relationships")
GET_POTENTIALS_COUNT = _route("GET", "get_potentials_count")
GET_POTENTIAL_PAIRS = _route("GET", "get_potential_pairs")
GET_RANDOM_POTENTIALS = _route("GET", "get_random_potentials")
REMOVE_POTENTIALS = _route("POST", "remove_potentials", since_api=66)
SET_KINGS = _route("POST", "set_kings")
SET_FILE_RELATIONSHIPS = _route("POST", "set_file_relationships", since_api=41)

_DOMAIN_SINCE_API = 41
_SORTING_PAIRS_SINCE_API = 81


class Relation(IntEnum):
    """What a file becomes to another. The values are the protocol's."""

    POTENTIAL = 0
    FALSE_POSITIVE = 1
    SAME_QUALITY = 2
    ALTERNATE = 3
    A_IS_BETTER = 4
    B_IS_BETTER = 7


class PotentialsSearch(IntEnum):
    """Which of two files must match which search. The values are the protocol's."""

    ONE_MATCHES_FIRST = 0
    BOTH_MATCH_FIRST = 1
    EACH_MATCHES_ONE = 2


class PixelDuplicates(IntEnum):
    """Whether pairs must show the same, pixel for pixel. The values are the protocol's."""

    MUST_BE = 0
    MAY_BE = 1
    MUST_NOT_BE = 2


class PairSort(IntEnum):
    """What pairs are sorted by. The values are the protocol's."""

    LARGER_FILESIZE = 0
    SIMILARITY = 1
    SMALLER_FILESIZE = 2
    RANDOM = 3


@dataclass(frozen=True, slots=True)
class Potentials:
    """Which potential duplicates are meant; by default all among the local files.

    ``first`` and ``second`` are searches as ``search_files`` takes them, empty for everything,
    with their tags in ``first_tag_service`` and ``second_tag_service`` (all, if None).
    ``max_distance`` is how much two pictures may differ: 0 exactly alike, 4 similar, 8 a guess.
    ``domains`` and ``deleted_from`` are as for ``search_files`` (API ≥ 41).
    """

    first: SearchTags = ()
    second: SearchTags = ()
    first_tag_service: str | None = None
    second_tag_service: str | None = None
    matching: PotentialsSearch = PotentialsSearch.ONE_MATCHES_FIRST
    pixel_duplicates: PixelDuplicates = PixelDuplicates.MAY_BE
    max_distance: int = 4
    domains: tuple[str, ...] = ()
    deleted_from: tuple[str, ...] = ()


ANY_POTENTIALS = Potentials()


@dataclass(frozen=True, slots=True)
class FileRelationships:
    """What one file is to others, all by hash.

    The ``king`` is the best of its ``duplicates``, the file itself where it has none, None where
    the client does not say. Of the last two, None means that the client does not say either.
    """

    is_king: bool
    king: str | None
    potentials: tuple[str, ...]
    false_positives: tuple[str, ...]
    alternates: tuple[str, ...]
    duplicates: tuple[str, ...]
    king_is_on_file_domain: bool | None = None
    king_is_local: bool | None = None


@dataclass(frozen=True, slots=True)
class Pair:
    """Two files, by hash, and what they are to be to each other.

    ``merge`` has the client carry tags, ratings and the like over, as its user set it up for
    that relation. ``delete_a`` and ``delete_b`` send that file to the trash.
    """

    a: str
    b: str
    relation: Relation
    merge: bool
    delete_a: bool = False
    delete_b: bool = False


class _Related(BaseModel):
    model_config = ConfigDict(validate_by_name=True, validate_by_alias=True)

    is_king: bool
    king: str | None = None
    king_is_on_file_domain: bool | None = None
    king_is_local: bool | None = None
    potentials: list[str] = Field(default=[], alias="0")
    false_positives: list[str] = Field(default=[], alias="1")
    alternates: list[str] = Field(default=[], alias="3")
    duplicates: list[str] = Field(default=[], alias="8")


class _RelationshipsAnswer(BaseModel):
    file_relationships: dict[str, _Related]


class _CountAnswer(BaseModel):
    potential_duplicates_count: int


class _PairsAnswer(BaseModel):
    potential_duplicate_pairs: list[tuple[str, str]]


class _RandomAnswer(BaseModel):
    random_potential_duplicate_hashes: list[str]


class RelationshipRoutes(SearchRoutes):
    """Routes about relationships; all need "edit file relationships" and Client API ≥ 40."""

    async def get_file_relationships(
        self,
        files: Sequence[FileReference],
        *,
        domains: Sequence[str] = (),
        deleted_from: Sequence[str] = (),
    ) -> dict[str, FileRelationships]:
        """Give what files are to others, by hash, in the order asked as far as by hash.

        Only related files in ``domains`` count (API ≥ 41), by default all local ones. ``files``
        are hashes or ids, sent 256 a request.
        """
        self._require(GET_FILE_RELATIONSHIPS)
        searched = self._related_in(domains, deleted_from)
        found: dict[str, FileRelationships] = {}
        for some in self._requests_for(files, "the relationships of files"):
            answer = await self._ask(
                _RelationshipsAnswer, GET_FILE_RELATIONSHIPS, params={**some, **searched}
            )
            rows = answer.file_relationships
            order = [one for one in some.get("hashes", ()) if one in rows]
            for one in dict.fromkeys([*map(str, order), *rows]):
                found[one] = _relationships(rows[one])
        return found

    async def get_potentials_count(self, potentials: Potentials = ANY_POTENTIALS) -> int:
        """Count the pairs that may be duplicates."""
        self._require(GET_POTENTIALS_COUNT)
        params = self._potentials(potentials)
        answer = await self._ask(_CountAnswer, GET_POTENTIALS_COUNT, params=params)
        return answer.potential_duplicates_count

    async def get_potential_pairs(
        self,
        potentials: Potentials = ANY_POTENTIALS,
        *,
        max_pairs: int | None = None,
        group_mode: bool = False,
        sort: PairSort | None = None,
        ascending: bool = False,
    ) -> list[tuple[str, str]]:
        """Give pairs that may be duplicates, by hash, the better of each probably first.

        As many as the user's duplicate filter takes at once, or ``max_pairs``. ``group_mode``
        gives all pairs of one group of similar files; that and sorting need API ≥ 81.
        """
        self._require(GET_POTENTIAL_PAIRS)
        params = self._potentials(potentials)
        if max_pairs is not None:
            if max_pairs < 1:
                raise RequestRejected(f"{max_pairs} pairs cannot be asked for")
            params["max_num_pairs"] = max_pairs
        if group_mode or sort is not None or ascending:
            self._require_api(_SORTING_PAIRS_SINCE_API, "sorting or grouping pairs")
            params |= {
                "group_mode": group_mode,
                "duplicate_pair_sort_type": (sort or PairSort.LARGER_FILESIZE).value,
                "duplicate_pair_sort_asc": ascending,
            }
        answer = await self._ask(_PairsAnswer, GET_POTENTIAL_PAIRS, params=params)
        return answer.potential_duplicate_pairs

    async def get_random_potentials(self, potentials: Potentials = ANY_POTENTIALS) -> list[str]:
        """Give the hashes of some group of files that may be duplicates of one another."""
        self._require(GET_RANDOM_POTENTIALS)
        params = self._potentials(potentials)
        answer = await self._ask(_RandomAnswer, GET_RANDOM_POTENTIALS, params=params)
        return answer.random_potential_duplicate_hashes

    async def remove_potentials(self, files: Sequence[FileReference]) -> None:
        """Forget that the files may be duplicates of any others.

        ``files`` are hashes or ids, sent 256 a request. Safe to repeat. Needs Client API ≥ 66.
        """
        self._require(REMOVE_POTENTIALS)
        await self._tell_of(REMOVE_POTENTIALS, files, {})

    async def set_kings(self, files: Sequence[FileReference]) -> None:
        """Make each file the best of its group of duplicates, in the order given.

        ``files`` are hashes or ids, sent 256 a request. Safe to repeat.
        """
        self._require(SET_KINGS)
        await self._tell_of(SET_KINGS, files, {})

    async def set_file_relationships(self, pairs: Sequence[Pair]) -> None:
        """Say what files are to each other, in the order given, 256 pairs a request.

        With ``merge`` or a deletion this does as much as a person in the duplicate filter, so
        look twice at what is asked; a failure may leave some done. Needs Client API ≥ 41.
        """
        self._require(SET_FILE_RELATIONSHIPS)
        rows = [_row(pair) for pair in pairs]
        for some in in_requests(rows):
            await self._tell(SET_FILE_RELATIONSHIPS, {"relationships": some})

    def _potentials(self, potentials: Potentials) -> dict[str, object]:
        params = {
            "potentials_search_type": potentials.matching.value,
            "pixel_duplicates": potentials.pixel_duplicates.value,
            "max_hamming_distance": potentials.max_distance,
            **self._related_in(potentials.domains, potentials.deleted_from),
        }
        for number, tags, service in (
            (1, potentials.first, potentials.first_tag_service),
            (2, potentials.second, potentials.second_tag_service),
        ):
            if tags:
                params[f"tags_{number}"] = self._searched_for(tags)["tags"]
            if service is not None:
                params[f"tag_service_key_{number}"] = self._searched_tag_service(service).reference
        return params

    def _related_in(
        self, domains: Sequence[str], deleted_from: Sequence[str]
    ) -> Mapping[str, object]:
        if domains or deleted_from:
            self._require_api(_DOMAIN_SINCE_API, "relationships in one file domain")
        return self._searched_in(domains, deleted_from)


def _row(pair: Pair) -> dict[str, object]:
    hashes = checked_hashes([pair.a, pair.b])
    if len(hashes) != 2:
        raise RequestRejected(f"a file cannot be related to itself: {pair.a}")
    return {
        "hash_a": hashes[0],
        "hash_b": hashes[1],
        "relationship": pair.relation.value,
        "do_default_content_merge": pair.merge,
        "delete_a": pair.delete_a,
        "delete_b": pair.delete_b,
    }


def _relationships(row: _Related) -> FileRelationships:
    return FileRelationships(
        is_king=row.is_king,
        king=row.king,
        potentials=tuple(row.potentials),
        false_positives=tuple(row.false_positives),
        alternates=tuple(row.alternates),
        duplicates=tuple(row.duplicates),
        king_is_on_file_domain=row.king_is_on_file_domain,
        king_is_local=row.king_is_local,
    )
