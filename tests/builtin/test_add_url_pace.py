"""The rate: slots that are promised in order, and promises that do not pile up."""

from __future__ import annotations

import pytest
from hypothesis import given, strategies as st
from pydantic import TypeAdapter, ValidationError

from hydrusd.builtin.actions._url_pace import MOST_HOSTS, Pace, Rate, Slots, host

TWO_A_MINUTE = Pace(2, 60.0)
URL = "https://x.example/a"


def waits(slots, now, promises, pace=TWO_A_MINUTE, url=URL):
    return [slots.take("rule", url, pace, promise, now) for promise in promises]


def test_what_finds_no_slot_is_promised_the_next_one():
    taken = waits(Slots(), 100.0, [{}] * 5)
    assert [seconds for seconds, _ in taken] == [0.0, 0.0, 60.0, 60.0, 120.0]


def test_a_promise_is_kept_and_takes_no_second_slot():
    slots = Slots()
    promise = waits(slots, 0.0, [{}] * 3)[2][1]
    assert waits(slots, 30.0, [promise])[0][0] == 30.0
    assert waits(slots, 61.0, [promise])[0][0] == 0.0
    assert waits(slots, 61.0, [{}])[0][0] == 0.0, "of the second pair one is left"
    assert waits(slots, 61.0, [{}])[0][0] == 59.0


def test_promises_that_piled_up_are_void():
    slots = Slots()
    promises = [promise for _, promise in waits(slots, 0.0, [{}] * 8)]
    late = waits(slots, 10_000.0, promises[2:])
    assert [seconds for seconds, _ in late] == [0.0, 0.0, 60.0, 60.0, 120.0, 120.0]


def test_promises_of_another_run_are_void():
    slots = Slots()
    waits(slots, 0.0, [{}] * 2)
    [(seconds, _)] = waits(slots, 0.0, [{"due": -1.0, "by": "another"}])
    assert seconds == 60.0


def test_hosts_and_rules_do_not_share_slots():
    slots = Slots()
    waits(slots, 0.0, [{}] * 2)
    assert waits(slots, 0.0, [{}], url="https://y.example/")[0][0] == 0.0
    assert slots.take("another", URL, TWO_A_MINUTE, {}, 0.0)[0] == 0.0


def test_hosts_that_were_left_alone_are_forgotten():
    slots = Slots()
    for number in range(MOST_HOSTS):
        waits(slots, 0.0, [{}], url=f"https://{number}.example/")
    assert len(slots._taken) == MOST_HOSTS
    waits(slots, 61.0, [{}])
    assert len(slots._taken) == 1


@given(
    st.integers(1, 5),
    st.lists(st.integers(0, 20), min_size=1, max_size=60),
)
def test_there_are_never_more_than_the_rate_says(urls, pauses):
    slots, pace, now, dues = Slots(), Pace(urls, 60.0), 0, []
    for pause in pauses:
        now += pause
        dues.append(now + waits(slots, now, [{}], pace)[0][0])
    assert dues == sorted(dues)
    for first, over in zip(dues, dues[urls:], strict=False):
        assert over - first >= 60


@pytest.mark.parametrize(
    ("text", "pace"), [("60/1m", Pace(60, 60.0)), (" 1 / 1500ms", Pace(1, 1.5))]
)
def test_how_a_rate_is_written(text, pace):
    assert TypeAdapter(Rate).validate_python(text) == pace


@pytest.mark.parametrize("text", ["", "60", "/1m", "x/1m", "60/", "60/1", "-1/1m", "99999/1m", 5])
def test_what_is_no_rate(text):
    with pytest.raises(ValidationError):
        TypeAdapter(Rate).validate_python(text)


def test_the_host_of_what_is_no_url():
    assert [host(url) for url in ("https://X.example:1/", "http://[", "a b")] == [
        "x.example",
        "",
        "",
    ]
