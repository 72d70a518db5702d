"""Which files have been left alone for long enough to be taken.

A picture that is still being written is imported as it is, cut in the middle, without
an error. No system says reliably that a writer is done (a download may close its file
after each piece, a file moved in was never open here), so the one thing asked of every
file, however it was noticed, is that two looks some time apart see the same. The
modification time alone proves nothing: a downloader may set any, past or future.

Pure bookkeeping: the caller looks at the disk and brings the time.
"""

from __future__ import annotations

import itertools
import os
from collections import deque
from collections.abc import Iterable
from dataclasses import dataclass
from typing import NamedTuple

from hydrusd.plugin import FileSource

EMPTY_SECONDS = 10.0
"""How long an empty file must stay so: many programs create a file long before they fill it."""


@dataclass(slots=True)
class _Candidate:
    source: FileSource
    turn: tuple[float, int]
    hinted: bool
    asked: bool


class Settled(NamedTuple):
    """A file that was left alone, whether anything hinted at it, and whether it is known to be
    news.
    """

    source: FileSource
    hinted: bool
    asked: bool


class Settling:
    """The files that wait to be taken. Times are monotonic seconds."""

    def __init__(self, settle_seconds: float) -> None:
        self._settle_seconds = settle_seconds
        # By the paths as the system tells them apart: for Windows, two ways to write a name
        # are one file.
        self._candidates: dict[str, _Candidate] = {}
        # Files that wait equally long come due in the order in which they were seen, so that a
        # queue for each of the two waits there are puts them in order by itself.
        self._queues: dict[float, deque[tuple[tuple[float, int], str]]] = {}
        self._count = itertools.count()
        # Those that are being looked at, with the turn by which they are.
        self._looked_at: dict[str, tuple[float, int]] = {}

    def __len__(self) -> int:
        return len(self._candidates)

    @property
    def next_due(self) -> float | None:
        """When the next file should be looked at again; None where none waits."""
        first = self._first()
        return None if first is None else first[0][0][0]

    def _first(self) -> deque[tuple[tuple[float, int], str]] | None:
        """Give the queue in which a file waits that is due before all others."""
        earliest: deque[tuple[tuple[float, int], str]] | None = None
        for queue in self._queues.values():
            while queue:
                turn, place = queue[0]
                candidate = self._candidates.get(place)
                if candidate is not None and candidate.turn == turn:
                    break
                queue.popleft()  # the file was seen to change, or was dropped, meanwhile
            if queue and (earliest is None or queue[0] < earliest[0]):
                earliest = queue
        return earliest

    def saw(self, source: FileSource, now: float, *, hinted: bool, asked: bool = False) -> None:
        """Take in how a file looks. One that looks as before goes on waiting as before.

        ``asked``: that it is news, as it looks now, was just found out.
        """
        place = os.path.normcase(source.text)
        candidate = self._candidates.get(place)
        if candidate is None or candidate.source != source:
            hinted = hinted or (candidate is not None and candidate.hinted)
            wait = self._wait_seconds(source)
            turn = (now + wait, next(self._count))
            self._candidates[place] = _Candidate(source, turn, hinted, asked)
            queue = self._queues.get(wait)
            if queue is None:
                queue = self._queues[wait] = deque()
            queue.append((turn, place))
        else:
            candidate.hinted |= hinted
            candidate.asked |= asked

    def due(self, now: float, limit: int) -> list[str]:
        """Give the paths to look at again by now, those that waited longest first."""
        paths: list[str] = []
        while len(paths) < limit and (queue := self._first()) is not None:
            if queue[0][0][0] > now:
                break
            turn, place = queue.popleft()
            self._looked_at[place] = turn
            paths.append(self._candidates[place].source.text)
        return paths

    def settle(
        self, paths: Iterable[str], looks: Iterable[FileSource], now: float
    ) -> list[Settled]:
        """Give those of the due files that look the same as when they began to wait.

        ``looks`` is what was found at ``paths``: a file that is missing in it is gone, one
        that looks different begins anew.
        """
        by_path = {source.text: source for source in looks}
        settled = []
        for path in paths:
            place = os.path.normcase(path)
            candidate, source = self._candidates[place], by_path.get(path)
            if candidate.turn != self._looked_at.pop(place):
                # Somebody else saw it change while it was looked at: it has only begun to wait,
                # even if this look has shown it as it is now.
                if source is not None:
                    self.saw(source, now, hinted=candidate.hinted)
                continue
            del self._candidates[place]
            if source is None:
                continue
            if source == candidate.source:
                # The one that has its key worked out already; where it lay now is what counts.
                candidate.source.root_identity = source.root_identity
                candidate.source.linked = source.linked
                settled.append(Settled(candidate.source, candidate.hinted, candidate.asked))
            else:
                self.saw(source, now, hinted=candidate.hinted)
        return settled

    def _wait_seconds(self, source: FileSource) -> float:
        return max(self._settle_seconds, 0 if source.size else EMPTY_SECONDS)
