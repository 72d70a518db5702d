"""Ratings: a thumb, a number of stars, or a count, each in a service of its own."""

from __future__ import annotations

from collections.abc import Sequence

from hydrusd.errors import RequestRejected

from ._calls import FileReference, Route
from ._models import ServiceType
from ._permissions import Permission
from ._services import RATINGS, ServiceRoutes

SET_RATING = Route("POST", "/edit_ratings/set_rating", Permission.EDIT_RATINGS, since_api=48)


class RatingRoutes(ServiceRoutes):
    """The route about ratings; needs "edit file ratings"."""

    async def set_rating(
        self, files: Sequence[FileReference], service: str, rating: bool | int | None
    ) -> None:
        """Give files the same rating in a rating service, by its name or key.

        A like/dislike service takes True, False, or None for no rating; a numerical one a
        number of stars or None; a counting one a number from 0 on. What is of another kind
        is refused before anything is sent. ``files`` are hashes or ids, sent 256 a request:
        a failure may leave some done, and it is safe to repeat.

        Needs Client API ≥ 48.
        """
        self._require(SET_RATING)
        rated_in = self._service(service, RATINGS)
        is_number = isinstance(rating, int) and not isinstance(rating, bool)
        fits, wanted = {
            ServiceType.LIKE_RATING: (rating is None or isinstance(rating, bool), "a thumb"),
            ServiceType.NUMERICAL_RATING: (rating is None or is_number, "a number of stars"),
        }.get(ServiceType(rated_in.type), (is_number and (rating or 0) >= 0, "a count from 0 on"))
        if not fits:
            raise RequestRejected(f"{rated_in.name!r} takes {wanted}, and not {rating!r}")
        content = {"rating_service_key": rated_in.reference, "rating": rating}
        await self._tell_of(SET_RATING, files, content)
