"""Rates the files that the job is about."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, ClassVar

from pydantic import Field, StrictBool, StrictInt

from hydrusd.builtin.actions._editing import FileEdit, Wish, unrendered
from hydrusd.builtin.actions._taking_back import Change
from hydrusd.plugin import (
    Fault,
    FileMetadata,
    HydrusClient,
    PermanentError,
    Permission,
    RequestRejected,
    Service,
    ServiceType,
)

Rating = bool | int | None

_NONE = "none"
_THUMBS: Mapping[str, Rating] = {
    "like": True,
    "true": True,
    "dislike": False,
    "false": False,
    _NONE: None,
}
_NUMBER = re.compile(r"(\d{1,9})(?:\s*/\s*(\d{1,9}))?", re.ASCII)


class SetRating(FileEdit):
    """Rate the file in a rating service.

    A like/dislike service takes `like`, `dislike` or `none`; one with stars a number of them,
    alone (`3`) or out of all that it has (`3/5`), or `none`; a counting one a number from 0 on.
    A rating that the service does not have is refused, never rounded.
    """

    action: ClassVar[str] = "set_rating"
    verb: ClassVar[str] = "rate"
    permissions: ClassVar[frozenset[Permission]] = frozenset({Permission.EDIT_RATINGS})
    since_api: ClassVar[int] = 48

    service: str = Field(description="the rating service, by the name it has in Hydrus or by key")
    rating: StrictBool | StrictInt | str | None = Field(
        description="`like`, `dislike`, `none`, `3`, `3/5`: what the service knows"
    )

    def preflight(self, client: HydrusClient) -> Iterable[Fault]:
        """Name a service that is not there, and a rating that it does not have."""
        yield from super().preflight(client)
        if unrendered(self.service):
            return
        try:
            service = client.rating_service(self.service)
        except RequestRejected as error:
            yield Fault(error.message, path=("service",))
            return
        if not unrendered(self.rating):
            try:
                _rating(service, self.rating)
            except PermanentError as error:
                yield Fault(str(error), path=("rating",))

    @classmethod
    def taking_back(
        cls, client: HydrusClient, file_hash: str, taken: Mapping[str, Any], state: FileMetadata
    ) -> tuple[_Rate | None, Sequence[str]]:
        """Rate it as before, where it is still rated as this left it."""
        del file_hash
        change = taken["changed"]
        try:
            service = client.rating_service(change["service"])
        except RequestRejected:
            return None, ["the rating service is gone"]
        if _standing(service, state) != change["after"]:
            return None, ["the rating has changed since"]
        return _Rate(service, change["before"]), []

    def wish(self, client: HydrusClient) -> _Rated:
        """Find the service, and the rating in it."""
        service = client.rating_service(self.service)
        return _Rated(_Rate(service, _rating(service, self.rating)))


@dataclass(frozen=True, slots=True)
class _Rate(Change):
    """A rating in a service."""

    service: Service
    rating: Rating

    async def send(self, client: HydrusClient, hashes: Sequence[str]) -> None:
        await client.set_rating(hashes, self.service.reference, self.rating)

    def words(self, answer: object = None) -> str:
        del answer
        return f"rated {_shown(self.service, self.rating)}"

    def kept(self, state: FileMetadata, answer: object) -> Mapping[str, object]:
        del answer
        before = _standing(self.service, state)
        rated = {"service": self.service.reference, "before": before, "after": self.rating}
        return {"changed": rated}


@dataclass(frozen=True, slots=True)
class _Rated(Wish):
    nothing: ClassVar[str] = "it is rated so already"

    rate: _Rate

    def change(self, file_hash: str, state: FileMetadata | None) -> _Rate | None:
        del file_hash
        if state is not None and _standing(self.rate.service, state) == self.rate.rating:
            return None
        return self.rate


def _standing(service: Service, file: FileMetadata) -> object:
    unrated = 0 if service.type == ServiceType.COUNTING_RATING else None
    return file.ratings.get(service.reference, unrated)


def _rating(service: Service, given: Rating | str) -> Rating:
    """Give a rating as the service keeps it. Raises PermanentError for what is none there."""
    if service.type == ServiceType.LIKE_RATING:
        word = str(given).strip().lower()
        if word in _THUMBS:
            return _THUMBS[word]
        raise PermanentError(f"{service.name!r} takes like, dislike or none, and not {given!r}")
    has_stars = service.type == ServiceType.NUMERICAL_RATING
    if has_stars and str(given).strip().lower() == _NONE:
        return None
    found = None if isinstance(given, bool) else _NUMBER.fullmatch(str(given).strip())
    if found is None or (found[2] and not has_stars):
        takes = "a number of stars, as 3 or 3/5, or none" if has_stars else "a number from 0 on"
        raise PermanentError(f"{service.name!r} takes {takes}, and not {given!r}")
    number = int(found[1])
    if has_stars:
        _check_stars(service, number, int(found[2]) if found[2] else None)
    return number


def _check_stars(service: Service, number: int, out_of: int | None) -> None:
    if service.max_stars is None or service.min_stars is None:
        return  # a client that does not say
    if out_of not in {None, service.max_stars}:
        raise PermanentError(f"{service.name!r} has {service.max_stars} stars, and not {out_of}")
    if not service.min_stars <= number <= service.max_stars:
        raise PermanentError(
            f"{service.name!r} takes {service.min_stars} to {service.max_stars} stars, "
            f"and not {number}"
        )


def _shown(service: Service, rating: Rating) -> str:
    if rating is None:
        return _NONE
    if isinstance(rating, bool):
        return "like" if rating else "dislike"
    return f"{rating}/{service.max_stars}" if service.max_stars else str(rating)
