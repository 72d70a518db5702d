"""Ratings: like and dislike, stars, and counts."""

from __future__ import annotations

from hydrusd.simulator._answers import EMPTY, Answer
from hydrusd.simulator._config import Service
from hydrusd.simulator._entries import Rating
from hydrusd.simulator._errors import Refusal, bad_request
from hydrusd.simulator._routing import Call, Route
from hydrusd.simulator._services import COUNTING_RATING, LIKE_RATING, RATING_TYPES

EDIT_RATINGS = frozenset({9})


async def _set_rating(call: Call) -> Answer:
    key = call.arguments.text("rating_service_key")
    hashes = call.hashes()
    if not call.arguments.sent("rating"):
        raise bad_request("Sorry, you need to give a rating to set it to!")
    service = call.client.services.by_key.get(key)
    if service is None:
        raise Refusal(404, "That service was not found!", "DataMissing")
    if service.type not in RATING_TYPES:
        raise bad_request("That service is not a rating service!")
    rating = _checked(service, call.arguments.value("rating"))
    await call.client.turn()
    with call.client.store.writing():
        for sha256 in hashes:
            ratings = call.client.store.touch(sha256).ratings
            if rating is None:
                ratings.pop(key, None)
            else:
                ratings[key] = rating
    return EMPTY


def _checked(service: Service, rating: object) -> Rating | None:
    """Give a rating as the service keeps it: too many stars are all it has, too few the fewest."""
    expected = bool if service.type == LIKE_RATING else int
    if rating is None:
        if service.type == COUNTING_RATING:
            raise bad_request("Sorry, this service does not allow a null rating!")
        return None
    if not isinstance(rating, expected):
        raise bad_request(f'Sorry, this service expects a "{expected.__name__}" rating!')
    if service.type == LIKE_RATING:
        return rating
    if service.type == COUNTING_RATING:
        return max(0, int(rating))
    return min(service.stars, max(0 if service.allows_zero else 1, int(rating)))


ROUTES = (
    Route(
        method="POST",
        path="/edit_ratings/set_rating",
        permissions=EDIT_RATINGS,
        handler=_set_rating,
        since=48,
    ),
)
