"""How many jobs a set may have: as many as are dealt with in a moment.

Part of what a set costs is the same for any number of jobs: a dozen statements, a commit that the
disk has to confirm, the turns of the event loop. Where files are only recognised, that was a third
of all. Where each is imported, a set takes long anyhow, and the other rules wait for it: there it
stays small. Which of the two it is, the sets before have shown.
"""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType

SMALLEST_SET = 256
LARGEST_SET = 2048
QUICK_SECONDS = 0.5
"""A full set that took less makes the next one twice as large; one that took more than twice as
long, as small as the first.
"""


class SetSizes:
    """How many jobs are taken at once, by rule and step."""

    def __init__(self) -> None:
        self._sizes: dict[tuple[str, int], int] = {}
        self.smallest = SMALLEST_SET
        self._largest = LARGEST_SET

    @property
    def grown(self) -> Mapping[tuple[str, int], int]:
        """The sizes that are not the smallest, by rule and step; it follows what changes."""
        return MappingProxyType(self._sizes)

    def of(self, rule: str, step: int) -> int:
        """Give the size of a full set."""
        return self._sizes.get((rule, step), self.smallest)

    def took(self, rule: str, step: int, *, jobs: int, seconds: float) -> None:
        """Take in how long a set was under way."""
        size = self.of(rule, step)
        if seconds > 2 * QUICK_SECONDS:
            self._sizes.pop((rule, step), None)
        elif seconds < QUICK_SECONDS and jobs >= size < self._largest:
            self._sizes[rule, step] = min(2 * size, self._largest)
