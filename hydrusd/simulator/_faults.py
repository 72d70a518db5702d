"""Mishaps on order: what a network and a busy client do now and then, when a test wants it.

Faults wait in a queue; the first one that fits a request's path is used up by it.
"""

from __future__ import annotations

import threading
from dataclasses import dataclass
from enum import Enum

from hydrusd.simulator._errors import Refusal


class FaultKind(Enum):
    """What goes wrong.

    ``STATUS``: an error answer, nothing is done. ``SLOW``: the answer comes later.
    ``CUT``: the connection is closed before any work. ``WORK_THEN_CUT``: the work is done and
    the connection closed without a word: for the caller the outcome is unknown. ``CUT_BODY``:
    the work is done, the answer breaks off in mid-body. ``NOT_JSON``: nothing is done, status
    200 with a web page (a proxy, a captive portal).
    """

    STATUS = "status"
    SLOW = "slow"
    CUT = "cut"
    WORK_THEN_CUT = "work_then_cut"
    CUT_BODY = "cut_body"
    NOT_JSON = "not_json"


@dataclass(frozen=True, slots=True, kw_only=True)
class Fault:
    """A mishap for the next ``times`` requests on ``path`` ("" for any path).

    ``status``, ``words`` and ``exception_name`` are for STATUS; the empty ones are filled in as a
    real client would. ``seconds`` is for SLOW. ``skip`` requests on the path go well first.
    """

    kind: FaultKind
    path: str = ""
    times: int = 1
    skip: int = 0
    status: int = 503
    words: str = "This server is busy, please try again later."
    exception_name: str = ""
    seconds: float = 0.0

    def __post_init__(self) -> None:
        """Refuse a fault that would never happen."""
        if self.times < 1 or self.skip < 0:
            raise ValueError("a fault happens at least once")

    @property
    def refusal(self) -> Refusal:
        """The error answer of a STATUS."""
        return Refusal(self.status, self.words, self.exception_name)


class Faults:
    """The queue of faults. Thread-safe."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._waiting: list[tuple[Fault, int, int]] = []  # fault, still to skip, still to do

    def add(self, fault: Fault) -> None:
        """Order a fault."""
        with self._lock:
            self._waiting.append((fault, fault.skip, fault.times))

    def clear(self) -> None:
        """Cancel all that were ordered."""
        with self._lock:
            self._waiting.clear()

    def waiting(self) -> int:
        """Count the requests that will still go wrong."""
        with self._lock:
            return sum(times for _, _, times in self._waiting)

    def take(self, path: str) -> Fault | None:
        """Use up the first fault that fits a path."""
        if not self._waiting:
            return None
        with self._lock:
            for place, (fault, skip, times) in enumerate(self._waiting):
                if fault.path not in {"", path}:
                    continue
                if skip:
                    self._waiting[place] = (fault, skip - 1, times)
                    return None
                if times == 1:
                    del self._waiting[place]
                else:
                    self._waiting[place] = (fault, 0, times - 1)
                return fault
        return None
