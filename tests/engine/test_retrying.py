"""The table of outcomes, row by row, and the waits between tries."""

from __future__ import annotations

import errno
import random

import pytest
from hypothesis import given, settings, strategies as st

from hydrusd.engine.retrying import (
    FIRST_DELAY_SECONDS,
    LONGEST_DELAY_SECONDS,
    MAX_ATTEMPTS,
    backoff_seconds,
    judge_error,
    sound,
    sound_all,
)
from hydrusd.errors import (
    AccessDenied,
    ExpressionError,
    HydrusFailed,
    HydrusUnavailable,
    LedgerError,
    PermanentError,
    PermissionMissing,
    RequestRejected,
    TemporaryError,
    VersionTooOld,
)
from hydrusd.hydrus._failures import failure
from hydrusd.hydrus._http import Answer, Request
from hydrusd.model import Firing, Outcome, OutcomeKind, ParkScope
from hydrusd.redaction import register

PARK, RETRY, DEAD = OutcomeKind.PARK, OutcomeKind.RETRY, OutcomeKind.DEAD
LATER = OutcomeKind.LATER
NO_RIGHT = b'{"error": "You do not have permission to: edit file tags"}'
NO_KEY = b'{"error": "Did not find an entry for that access key!"}'


def raised_from(origin):
    """As actions tell what the system said to them."""
    error = TemporaryError(f"a.jpg cannot be moved: {origin.strerror}")
    error.__cause__ = origin
    return error


@pytest.mark.parametrize(
    ("status", "body", "kind", "scope"),
    [
        (503, b"", PARK, ParkScope.LANE),
        (509, b"", PARK, ParkScope.LANE),
        (401, b"", PARK, ParkScope.LANE),
        (403, NO_KEY, PARK, ParkScope.LANE),
        (403, NO_RIGHT, PARK, ParkScope.RULE),
        (400, b"", DEAD, None),
        (404, b"", DEAD, None),
        (406, b"", DEAD, None),
        (416, b"", DEAD, None),
        (426, b"", DEAD, None),
        (500, b"", RETRY, None),
        (409, b"", RETRY, None),
        (422, b"", RETRY, None),
        (419, b"", PARK, ParkScope.LANE),  # of a session that was opened a moment ago
        (302, b"", RETRY, None),  # no Hydrus client does that
    ],
)
def test_each_status_has_its_outcome(status, body, kind, scope):
    error = failure(Request("POST", "/add_tags/add_tags"), Answer(status, "", body), 95)
    outcome = judge_error(error, attempt=1).outcome
    assert outcome.kind is kind
    if scope is not None:
        assert outcome.scope is scope
    assert str(status) in outcome.detail


@pytest.mark.parametrize(
    ("error", "kind", "splits_at_once", "splits_later"),
    [
        (HydrusUnavailable("refused"), PARK, False, False),
        (HydrusUnavailable("no answer", outcome_unknown=True), RETRY, False, False),
        (AccessDenied("what key?"), PARK, False, False),
        (PermissionMissing("no", permission="edit file tags"), PARK, False, False),
        (RequestRejected("400"), DEAD, True, True),
        (VersionTooOld("too old"), DEAD, True, True),
        (HydrusFailed("500"), RETRY, False, True),
        (TemporaryError("later"), RETRY, False, True),
        (PermanentError("never"), DEAD, True, True),
        (ExpressionError("{{"), DEAD, True, True),
        (OSError(5, "Input/output error"), RETRY, True, True),
        (OSError(errno.ENOSPC, "No space left on device"), LATER, True, True),
        (raised_from(OSError(errno.ENOSPC, "No space left on device")), LATER, True, True),
        (TimeoutError(), RETRY, True, True),
        (RuntimeError("a bug"), RETRY, True, True),
        (SystemExit(2), RETRY, True, True),
        (LedgerError("not an action's"), RETRY, True, True),
        (ExceptionGroup("several", [ValueError("one")]), RETRY, True, True),
    ],
    ids=lambda value: type(value).__name__ if isinstance(value, BaseException) else None,
)
def test_each_error_has_its_outcome(error, kind, splits_at_once, splits_later):
    first, later = judge_error(error, attempt=1), judge_error(error, attempt=2)
    assert first.outcome.kind is later.outcome.kind is kind
    assert (first.splits, later.splits) == (splits_at_once, splits_later)
    assert first.outcome.detail


def test_a_missing_permission_concerns_the_rule_and_everything_else_the_lane():
    missing = PermissionMissing("tick it", permission="edit file tags")
    assert judge_error(missing, attempt=1).outcome.scope is ParkScope.RULE
    assert judge_error(HydrusUnavailable("away"), attempt=1).outcome.scope is ParkScope.LANE
    assert judge_error(AccessDenied("who?"), attempt=1).outcome.scope is ParkScope.LANE


def test_an_author_may_say_when_to_try_again():
    assert judge_error(TemporaryError("x", delay_seconds=7), attempt=1).outcome.delay_seconds == 7
    assert judge_error(TemporaryError("x"), attempt=1).outcome.delay_seconds is None


@pytest.mark.parametrize("error", [ValueError(), OSError(), PermanentError(), SystemExit()])
def test_an_error_without_words_is_told_by_its_name(error):
    assert type(error).__name__ in judge_error(error, attempt=1).outcome.detail


@given(st.integers(1, 1000), st.integers())
def test_waits_are_never_shorter_than_a_moment_nor_longer_than_an_hour(attempt, seed):
    seconds = backoff_seconds(attempt, random.Random(seed))
    assert 0.75 * FIRST_DELAY_SECONDS <= seconds <= LONGEST_DELAY_SECONDS


@given(st.integers(1, 8), st.integers(), st.integers())
def test_each_wait_is_longer_than_the_one_before_whatever_the_jitter(attempt, one, other):
    # As long as it doubles: 1.25 times the shorter is less than 0.75 times the longer.
    shorter = backoff_seconds(attempt, random.Random(one))
    assert shorter < backoff_seconds(attempt + 1, random.Random(other))


@given(st.integers(1, MAX_ATTEMPTS))
def test_items_that_fail_together_do_not_come_back_together(attempt):
    chance = random.Random(attempt)
    assert len({backoff_seconds(attempt, chance) for _ in range(50)}) > 40


plain = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(),
    lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner),
    max_leaves=10,
)


@settings(max_examples=30)
@given(
    st.dictionaries(st.text(), plain),
    st.none() | st.dictionaries(st.text(), plain),
    st.none() | st.floats(0, 1e300),
)
def test_an_outcome_of_plain_data_is_taken_as_it_is(values, receipt, delay):
    outcome = Outcome(OutcomeKind.RETRY, "so", values, receipt, delay)
    assert sound(outcome) is outcome


@pytest.mark.parametrize(
    "outcome",
    [
        "done",
        True,
        Outcome.done(values={"a": object()}),
        Outcome.done(receipt={"a": b"bytes"}),
        Outcome.done(values={("a", "b"): 1}),
        Outcome.done(None),
        Outcome.retry("x", delay_seconds=float("inf")),
        Outcome.retry("x", delay_seconds=float("nan")),
        Outcome.retry("x", delay_seconds=-1),
        Outcome.retry("x", delay_seconds="5"),
    ],
)
def test_what_the_ledger_could_not_keep_is_tried_again(outcome):
    judged = sound(outcome)
    assert judged.kind is RETRY
    assert judged.detail
    assert judged.delay_seconds is None


def test_data_that_holds_itself_is_refused():
    endless = {}
    endless["again"] = endless
    assert sound(Outcome.done(values=endless)).kind is RETRY


ODD = [
    Outcome.done("a secret: abcdefghijklmno"),
    Outcome.done(values={"said": "abcdefghijklmno"}),
    Outcome.done(receipt={"n": float("nan")}),
    Outcome.done("caf\xe9 \udce9"),
    Outcome.later("not yet", delay_seconds=3),
    Outcome.later("not yet", delay_seconds=float("inf")),
    Outcome(OutcomeKind.PASSED),
    Outcome.done(values=["no mapping"]),
    Outcome.done(values={1: object()}),
    Outcome.done(fires=[Firing("rule", {"bad": object()})]),
    "no outcome",
    None,
]


@given(st.lists(st.sampled_from([*ODD, *(Outcome.done(f"d{n}") for n in range(3))]), max_size=6))
def test_the_outcomes_of_a_set_are_judged_as_each_by_itself(outcomes):
    register("abcdefghijklmno")
    judged = sound_all(outcomes)
    assert list(map(repr, judged)) == [repr(sound(each)) for each in outcomes]
    assert "abcdefghijklmno" not in repr(judged)


def test_outcomes_with_nothing_wrong_stay_what_they_are():
    outcomes = [Outcome.done("imported", values={"n": n}) for n in range(300)]
    assert all(a is b for a, b in zip(sound_all(outcomes), outcomes, strict=True))
