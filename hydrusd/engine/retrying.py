"""What becomes of a job when its step fails: one table, in one place.

Retries live in the ledger alone. Nothing below the lane repeats a request by itself
(but for one renewed session), so an attempt counted here is an attempt made.
"""

from __future__ import annotations

import math
import random
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, cast

from hydrusd.errors import (
    AccessDenied,
    ExpressionError,
    HydrusError,
    HydrusUnavailable,
    LedgerDamaged,
    LedgerFull,
    PermanentError,
    PermissionMissing,
    RequestRejected,
    TemporaryError,
    VersionTooOld,
    found_no_room,
)
from hydrusd.exact_json import glance
from hydrusd.model import Outcome, OutcomeKind, ParkScope
from hydrusd.plugin.calling import Misbehaviour
from hydrusd.redaction import redact, redact_strings

MAX_ATTEMPTS = 8
FIRST_DELAY_SECONDS = 5.0
LONGEST_DELAY_SECONDS = 3600.0
NO_ROOM_SECONDS = 300.0
"""When what finds a disk full is tried again."""
LONGEST_ASKED_SECONDS = 30 * 24 * 3600.0
"""The longest delay that an action may ask for."""

_SIMPLE = frozenset({OutcomeKind.DONE, OutcomeKind.SKIPPED, OutcomeKind.DEAD, OutcomeKind.PARK})


@dataclass(frozen=True, slots=True)
class Verdict:
    """The outcome for each item of a failed call.

    ``splits``: one item may have spoilt the whole set, so the others are worth trying
    without it.
    """

    outcome: Outcome
    splits: bool = False


def judge_error(error: BaseException, *, attempt: int) -> Verdict:
    """Turn what an action raised into the fate of its items.

    ``attempt`` counts the tries of this step so far, this one included. Cancellation is
    not an error and must not be passed in.
    """
    text = str(error) or type(error).__name__
    match error:
        case PermissionMissing():
            return Verdict(Outcome.park_rule(text))
        case HydrusUnavailable(outcome_unknown=True):
            # It may have been carried out: every action looks before it repeats. It costs an
            # attempt, or an item that makes the client fall over would do so for ever.
            return Verdict(Outcome.retry(text))
        case HydrusUnavailable() | AccessDenied():
            return Verdict(Outcome.park(text))
        case LedgerFull() | LedgerDamaged():
            # What it was about to do could not be kept, and so was not done: no item's fault.
            return Verdict(Outcome.park(text))
        case RequestRejected() | VersionTooOld():
            return Verdict(Outcome.dead(text), splits=True)
        case HydrusError():
            # A sick client fails at everything; only a second failure points at an item.
            return Verdict(Outcome.retry(text), splits=attempt > 1)
        case TemporaryError() | OSError() if found_no_room(error):
            # Nobody knows when there will be room; to give all items up meanwhile helps no one.
            # One that is too large need not keep up the others, which may fit.
            wait = f"{text}; it waits for room"
            return Verdict(Outcome.later(wait, delay_seconds=NO_ROOM_SECONDS), splits=True)
        case TemporaryError(delay_seconds=delay):
            return Verdict(Outcome.retry(text, delay_seconds=delay), splits=attempt > 1)
        case PermanentError() | ExpressionError():
            return Verdict(Outcome.dead(text), splits=True)
        case Misbehaviour(delay_seconds=delay):
            outcome = Outcome.retry(f"the action misbehaved: {text}", delay_seconds=delay)
            return Verdict(outcome, splits=delay is None)
        case OSError():
            return Verdict(Outcome.retry(f"{type(error).__name__}: {text}"), splits=True)
        case _:
            return Verdict(
                Outcome.retry(f"the action failed with {type(error).__name__}: {text}"),
                splits=True,
            )


def backoff_seconds(attempt: int, chance: random.Random) -> float:
    """Give the wait before the next try: doubling, with jitter, at most an hour."""
    delay = min(FIRST_DELAY_SECONDS * 2.0 ** (attempt - 1), LONGEST_DELAY_SECONDS)
    return min(delay * chance.uniform(0.75, 1.25), LONGEST_DELAY_SECONDS)


def sound(outcome: object) -> Outcome:
    """Give what an action said, as far as the ledger can and may keep it.

    Actions are other people's, and may put into their words what they should keep to themselves.
    """
    if not isinstance(outcome, Outcome):
        return Outcome.retry(f"the action gave {type(outcome).__name__} for an outcome")
    if wrong := _misshapen(outcome):
        return Outcome.retry(f"the action gave an outcome that cannot be kept: {wrong}")
    if outcome.kind is OutcomeKind.PASSED:
        return Outcome.retry("the action passed itself over, which is for the rule to do")
    try:
        detail = outcome.detail
        if not detail.isascii():
            detail = detail.encode("utf-8", "backslashreplace").decode()
        left = glance([detail, outcome.values, outcome.receipt])
        delay = outcome.delay_seconds
        if delay is not None and not (math.isfinite(delay) and delay >= 0):
            raise ValueError(f"a delay of {delay} s")
        if outcome.kind is OutcomeKind.LATER and delay is None:
            raise ValueError("a step that goes on later has to say when")
        for firing in outcome.fires:
            glance([firing.rule, firing.data])
    except (AttributeError, RecursionError, TypeError, ValueError) as error:
        return Outcome.retry(f"the action gave an outcome that cannot be kept: {error}")
    if redact(left) == left:
        return outcome
    values, receipt = (redact_strings(each) for each in (outcome.values, outcome.receipt))
    return replace(outcome, detail=redact(outcome.detail), values=values, receipt=receipt)


def sound_all(outcomes: Sequence[object]) -> Sequence[Outcome]:
    """Do it for the outcomes of a set; mostly there is nothing to do for any of them.

    To look through what all of them say at once takes a fraction of the time.
    """
    try:
        said = [_plain(each) for each in outcomes]
        left = glance(said)
    except (AttributeError, RecursionError, TypeError, ValueError):
        return [sound(each) for each in outcomes]
    if None in said or redact(left) != left:
        return [sound(each) for each in outcomes]
    return cast("Sequence[Outcome]", outcomes)


def _plain(outcome: object) -> list[object] | None:
    """Give what an outcome says, where nothing else of it can be wrong; else None."""
    if (
        not isinstance(outcome, Outcome)
        or outcome.kind not in _SIMPLE
        or outcome.delay_seconds is not None
        or outcome.fires
        or not outcome.detail.isascii()
        or _misshapen(outcome)
    ):
        return None
    return [outcome.detail, outcome.values, outcome.receipt]


def _misshapen(outcome: Any) -> str:
    """Say what of it is of another kind than it must be: who writes Python may put anything in."""
    if not isinstance(outcome.kind, OutcomeKind) or not isinstance(outcome.scope, ParkScope):
        return "its kind is none that there is; use Outcome.done() and its like"
    values, receipt = outcome.values, outcome.receipt
    if type(values) is not dict and not isinstance(values, Mapping):
        return f"its values are a {type(values).__name__}, and have to be a mapping"
    if receipt is not None and type(receipt) is not dict and not isinstance(receipt, Mapping):
        return f"its receipt is a {type(receipt).__name__}, and has to be a mapping"
    return ""
