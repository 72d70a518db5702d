"""How much a rule may do before a person has to look at it. Pure: told the time, told what ended.

A rule that is wrong is wrong fast: a glob that matches a whole disk, a service that was deleted.
What it has not begun yet can still be stopped, so a rule that does more than its limit in an hour
waits, and one that only fails waits too, and is then tried with a single job.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Mapping
from dataclasses import dataclass, field
from itertools import takewhile

from hydrusd.rules import LimitsSpec

HOUR_SECONDS = 3600.0
MINUTE_SECONDS = 60.0
FIRST_PAUSE_SECONDS = 600.0
LONGEST_PAUSE_SECONDS = 6 * HOUR_SECONDS


@dataclass(frozen=True, slots=True)
class Pause:
    """A rule has to wait, so long (seconds), for that reason."""

    seconds: float
    reason: str


@dataclass(slots=True)
class _Past:
    """What a rule did lately, on a clock that never jumps."""

    begun: deque[tuple[float, int]] = field(default_factory=deque)
    failures: int = 0
    pauses: int = 0
    probing: bool = False

    def since(self, moment: float) -> list[tuple[float, int]]:
        """Give what began later than that, the oldest first."""
        return [*takewhile(lambda each: each[0] > moment, reversed(self.begun))][::-1]


class Limits:
    """Counts what rules begin and how it ends.

    What it must not forget with the daemon, which may be one that is started over and over, is
    in the ledger: ``begun`` and ``restore`` tell it again.
    """

    def __init__(self) -> None:
        self._past: dict[str, _Past] = {}

    def restore(self, rule: str, kept: object) -> None:
        """Take up what ``failing`` gave in a former life. What is none of that is passed over."""
        if not isinstance(kept, Mapping):
            return
        past = self._of(rule)
        past.failures = _number(kept.get("failures"))
        past.pauses = _number(kept.get("pauses"))
        past.probing = kept.get("probing") is True

    def rewritten(self, rule: str) -> None:
        """Forget how a rule was failing: it is another one now. What it has begun counts on."""
        past = self._of(rule)
        past.failures = past.pauses = 0
        past.probing = False

    def failing(self, rule: str) -> Mapping[str, object] | None:
        """Give how a rule is failing, as plain data; None where it is not."""
        past = self._of(rule)
        if not (past.failures or past.pauses or past.probing):
            return None
        return {"failures": past.failures, "pauses": past.pauses, "probing": past.probing}

    def allowance(self, rule: str, spec: LimitsSpec, wanted: int, now: float) -> int:
        """Say how many of so many jobs the rule may begin now."""
        past = self._of(rule)
        while past.begun and past.begun[0][0] <= now - HOUR_SECONDS:
            past.begun.popleft()
        left = spec.per_hour - sum(count for _, count in past.begun)
        if spec.per_minute is not None:
            left = min(left, spec.per_minute - sum(n for _, n in past.since(now - MINUTE_SECONDS)))
        return max(0, min(wanted, left, 1 if past.probing else wanted))

    def begun(self, rule: str, count: int, now: float) -> None:
        """Note that so many jobs have begun."""
        self._of(rule).begun.append((now, count))

    def taken_back(self, rule: str, count: int) -> None:
        """Note that so many of the jobs that began last have not begun after all."""
        begun = self._of(rule).begun
        while begun and count > 0:
            at, last = begun.pop()
            if last > count:
                begun.append((at, last - count))
            count -= last

    def exhausted(self, rule: str, spec: LimitsSpec, now: float) -> Pause:
        """Say how long a rule without an allowance has to wait."""
        past = self._of(rule)
        while past.begun and past.begun[0][0] <= now - HOUR_SECONDS:
            past.begun.popleft()
        limit, span, words = spec.per_hour, HOUR_SECONDS, "hour"
        if sum(count for _, count in past.begun) < limit and spec.per_minute is not None:
            limit, span, words = spec.per_minute, MINUTE_SECONDS, "minute"
        first = next(iter(past.since(now - span)), (now, 0))
        article = "an" if words == "hour" else "a"
        return Pause(
            max(first[0] + span - now, 1.0),
            f"it began {limit:,} jobs within {article} {words}, which is its limit; it goes on by "
            f"itself as the {words} passes (limits: per_{words} says how many)",
        )

    def is_probing(self, rule: str) -> bool:
        """Say whether a rule that only failed is being tried with one job."""
        return self._of(rule).probing

    def ended(
        self, rule: str, spec: LimitsSpec, *, failed: int, well: int, why: str
    ) -> Pause | None:
        """Note how jobs ended; give a pause where they only fail.

        ``failed`` are those that gave up for no fault of their item, ``why`` is what one said.
        """
        past = self._of(rule)
        if well:
            past.failures = past.pauses = 0
            past.probing = False
            return None
        past.failures += failed
        if not failed or (past.failures < spec.failures and not past.probing):
            return None
        doubled = 2 ** min(past.pauses, 16)  # in a year of failing there are thousands
        seconds = min(FIRST_PAUSE_SECONDS * doubled, LONGEST_PAUSE_SECONDS)
        past.pauses += 1
        past.probing = True
        return Pause(
            seconds,
            f"{past.failures} of its jobs gave up in a row, the last because {why}; after "
            f"{seconds / 60:.0f} minutes it is tried with one job",
        )

    def _of(self, rule: str) -> _Past:
        return self._past.setdefault(rule, _Past())


def _number(kept: object) -> int:
    return max(kept, 0) if isinstance(kept, int) else 0
