"""How a failed test is told, on a terminal as in pytest's report."""

from __future__ import annotations

from collections.abc import Iterator

from hydrusd.redaction import redact
from hydrusd.rehearsal._judging import unspoken
from hydrusd.rehearsal._running import Result

MOST_STORIES = 5


def told(result: Result) -> Iterator[str]:
    """Give the lines that say what was not as expected, and what happened instead. No secrets."""
    yield from map(redact, _told(result))


def _told(result: Result) -> Iterator[str]:
    if result.failure:
        yield f"{_place(result)}: it cannot be run"
        yield from (f"  {line}" for line in result.failure.splitlines())
    for difference in result.differences:
        place = difference.place
        yield f"{place.file}:{place.line}:{place.column}: {difference.what}"
        yield from (f"  {line}" for line in difference.lines)
    items = unspoken(result.differences, result.stories)
    for item in items[:MOST_STORIES]:
        yield f"what happened to {item}:"
        yield from (f"  {line}" for line in result.stories[item])
    if (more := len(items) - MOST_STORIES) > 0:
        yield f"… and to {more} more"


def _place(result: Result) -> str:
    position = result.test.position
    return f"{position.file}:{position.line}:{position.column}"
