"""How fast URLs of one host are handed to a client.

A client has its own bandwidth rules, but a list of ten thousand lines should neither fill
its queue at one go nor hold up the other rules. So each rule has slots for each host, and
a URL that finds none free is promised a later one. Promises live in memory: those of
another run of the daemon are void, and so are those kept waiting too long, or all that
piled up while the client was away would go out at once.
"""

from __future__ import annotations

import uuid
from collections import deque
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Annotated
from urllib.parse import urlsplit
from weakref import WeakKeyDictionary

from pydantic import PlainValidator, TypeAdapter, ValidationError, WithJsonSchema

from hydrusd.plugin import Duration, HydrusClient

MOST_AT_ONCE = 10_000
MOST_HOSTS = 1000
"""Beyond so many, those that no URL was sent to lately are forgotten."""

_DURATION: TypeAdapter[float] = TypeAdapter(Duration)


@dataclass(frozen=True, slots=True)
class Pace:
    """At most ``urls`` in any ``per_seconds``, of one host."""

    urls: int
    per_seconds: float


def _pace(value: object) -> Pace:
    if isinstance(value, Pace):
        return value
    number, slash, time = str(value).partition("/")
    number = number.strip()
    if not (slash and number.isascii() and number.isdigit() and len(number) <= len("10000")):
        raise ValueError("write it as a number of URLs and a time, as in 60/1m")
    try:
        seconds = _DURATION.validate_python(time)
    except ValidationError as error:
        raise ValueError(error.errors()[0]["msg"]) from None
    if not (1 <= int(number) <= MOST_AT_ONCE and seconds > 0):
        raise ValueError(f"must be 1 to {MOST_AT_ONCE} URLs, in more than no time")
    return Pace(int(number), seconds)


Rate = Annotated[
    Pace,
    PlainValidator(_pace),
    WithJsonSchema(
        {"type": "string", "description": "a number of URLs and a time, such as 60/1m or 1/2s"}
    ),
]
"""Written ``60/1m``: at most 60 URLs a minute."""


class Slots:
    """The slots of one client, on a clock that never jumps."""

    def __init__(self) -> None:
        self._name = uuid.uuid4().hex
        self._taken: dict[tuple[str, str, Pace], deque[float]] = {}

    def take(
        self, rule: str, url: str, pace: Pace, promise: Mapping[str, object], now: float
    ) -> tuple[float, dict[str, object]]:
        """Give the seconds to wait, 0 for now, and the promise to come back with then."""
        due = promise.get("due") if promise.get("by") == self._name else None
        if not isinstance(due, float) or now >= due + pace.per_seconds:
            self._forget(now)
            key = (rule, host(url), pace)
            taken = self._taken.setdefault(key, deque(maxlen=pace.urls))
            due = max(now, taken[0] + pace.per_seconds) if len(taken) == pace.urls else now
            taken.append(due)
        return max(due - now, 0.0), {"due": due, "by": self._name}

    def _forget(self, now: float) -> None:
        if len(self._taken) < MOST_HOSTS:
            return
        for key, taken in list(self._taken.items()):
            if taken[-1] + key[2].per_seconds < now:
                del self._taken[key]


_SLOTS: WeakKeyDictionary[HydrusClient, Slots] = WeakKeyDictionary()


def slots_of(client: HydrusClient) -> Slots:
    """Give the slots of a client, the same as long as it is in use."""
    return _SLOTS.setdefault(client, Slots())


def host(url: str) -> str:
    """Give the host of a URL, empty where it has none."""
    try:
        return urlsplit(url).hostname or ""
    except ValueError:
        return ""


def is_url(text: str) -> bool:
    """Say whether a text has what every URL has: a scheme and a host."""
    return bool(host(text) and urlsplit(text).scheme)
