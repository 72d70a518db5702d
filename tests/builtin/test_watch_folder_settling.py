from __future__ import annotations

from dataclasses import replace
from pathlib import Path

from hypothesis import given, strategies as st

from hydrusd.builtin.triggers._settling import EMPTY_SECONDS, Settling
from hydrusd.plugin import FileSource

ROOT = Path("/inbox")
FILE = FileSource(ROOT / "a.jpg", ROOT, size=5, mtime_ns=1, inode=7)
GROWN = replace(FILE, size=6)


def test_two_equal_looks_apart_settle_a_file():
    settling = Settling(2.0)
    settling.saw(FILE, 10.0, hinted=True)
    assert settling.next_due == 12.0
    assert settling.due(11.9, 10) == []
    assert settling.due(12.0, 10) == [FILE.text]
    assert settling.settle([FILE.text], [FILE], 12.0) == [(FILE, True, False)]
    assert (len(settling), settling.next_due) == (0, None)


def test_another_look_that_is_the_same_delays_nothing():
    settling = Settling(2.0)
    settling.saw(FILE, 10.0, hinted=False)
    settling.saw(FILE, 11.0, hinted=True)
    assert settling.due(12.0, 10) == [FILE.text]
    assert settling.settle([FILE.text], [FILE], 12.0) == [(FILE, True, False)]


def test_what_is_seen_to_change_while_it_is_looked_at_has_only_begun_to_wait():
    settling = Settling(2.0)
    settling.saw(FILE, 10.0, hinted=True)
    assert settling.due(12.0, 10) == [FILE.text]
    settling.saw(GROWN, 12.1, hinted=True)  # by a scan, and the look has seen the same
    assert settling.settle([FILE.text], [GROWN], 12.2) == []
    assert settling.next_due == 14.1
    assert settling.due(14.1, 10) == [FILE.text]
    assert settling.settle([FILE.text], [GROWN], 14.1) == [(GROWN, True, False)]


def test_a_look_from_before_a_change_that_somebody_saw_begins_anew():
    settling = Settling(2.0)
    settling.saw(FILE, 10.0, hinted=True)
    assert settling.due(12.0, 10) == [FILE.text]
    settling.saw(GROWN, 12.1, hinted=False)
    assert settling.settle([FILE.text], [FILE], 12.2) == []
    assert settling.next_due == 14.2


def test_change_begins_anew():
    settling = Settling(2.0)
    settling.saw(FILE, 10.0, hinted=True)
    settling.saw(GROWN, 11.0, hinted=False)
    assert settling.next_due == 13.0
    assert settling.due(12.5, 10) == []
    assert settling.due(13.0, 10) == [FILE.text]
    again = replace(FILE, size=7)
    assert settling.settle([FILE.text], [again], 13.0) == []
    assert settling.due(15.0, 10) == [FILE.text]
    assert settling.settle([FILE.text], [again], 15.0) == [(again, True, False)]


def test_changes_at_the_same_moment_make_one_turn():
    settling = Settling(2.0)
    settling.saw(FILE, 10.0, hinted=True)
    settling.saw(GROWN, 10.0, hinted=True)
    assert settling.due(12.0, 10) == [FILE.text]
    assert settling.due(12.0, 10) == []
    assert settling.settle([FILE.text], [GROWN], 12.0) == [(GROWN, True, False)]


def test_file_that_is_gone_is_dropped():
    settling = Settling(2.0)
    settling.saw(FILE, 10.0, hinted=True)
    assert settling.settle(settling.due(12.0, 10), [], 12.0) == []
    assert len(settling) == 0


def test_what_was_asked_about_is_known_as_long_as_the_file_looks_so():
    settling = Settling(2.0)
    settling.saw(FILE, 10.0, hinted=True, asked=True)
    settling.saw(FILE, 11.0, hinted=False)
    assert settling.settle(settling.due(12.0, 10), [FILE], 12.0) == [(FILE, True, True)]
    settling.saw(FILE, 20.0, hinted=True, asked=True)
    settling.saw(GROWN, 21.0, hinted=True)
    assert settling.settle(settling.due(23.0, 10), [GROWN], 23.0) == [(GROWN, True, False)]


def test_empty_file_waits_for_longer():
    settling = Settling(2.0)
    settling.saw(replace(FILE, size=0), 10.0, hinted=True)
    assert settling.next_due == 10.0 + EMPTY_SECONDS
    settling.saw(FILE, 11.0, hinted=True)
    assert settling.next_due == 13.0


def test_limit_leaves_the_rest_for_the_next_time():
    settling = Settling(2.0)
    files = [replace(FILE, path=ROOT / f"{n}.jpg") for n in range(5)]
    for n, file in enumerate(files):
        settling.saw(file, 10.0 + n, hinted=True)
    assert settling.due(100.0, 3) == [file.text for file in files[:3]]
    assert settling.due(100.0, 3) == [file.text for file in files[3:]]


@given(
    st.lists(st.tuples(st.floats(0.01, 5.0), st.integers(1, 3)), min_size=1, max_size=30),
    st.floats(0.1, 4.0),
)
def test_nothing_settles_that_was_seen_to_change_within_the_time(looks, settle_seconds):
    settling = Settling(settle_seconds)
    now, unchanged_since, seen = 0.0, 0.0, None
    for wait, size in looks:
        now += wait
        file = replace(FILE, size=size)
        for settled, *_ in settling.settle(settling.due(now, 10), [file], now):
            assert settled == seen == file
            assert now - unchanged_since >= settle_seconds * (1 - 1e-9)
        settling.saw(file, now, hinted=False)
        if file != seen:
            seen, unchanged_since = file, now
