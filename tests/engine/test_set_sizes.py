"""Sets grow where they take a moment, and are small again where they do not."""

from __future__ import annotations

from hydrusd.engine.set_sizes import LARGEST_SET, QUICK_SECONDS, SMALLEST_SET, SetSizes


def test_a_quick_full_set_makes_the_next_larger_up_to_a_limit():
    sizes = SetSizes()
    seen = []
    for _ in range(5):
        size = sizes.of("a", 0)
        seen.append(size)
        sizes.took("a", 0, jobs=size, seconds=QUICK_SECONDS / 2)
    assert seen[:3] == [SMALLEST_SET, 2 * SMALLEST_SET, 4 * SMALLEST_SET]
    assert seen[3:] == [LARGEST_SET, LARGEST_SET]


def test_sizes_belong_to_one_step_of_one_rule():
    sizes = SetSizes()
    sizes.took("a", 1, jobs=SMALLEST_SET, seconds=0.0)
    assert dict(sizes.grown) == {("a", 1): 2 * SMALLEST_SET}
    assert sizes.of("a", 0) == sizes.of("b", 1) == SMALLEST_SET


def test_a_set_that_was_not_full_says_nothing():
    sizes = SetSizes()
    sizes.took("a", 0, jobs=SMALLEST_SET - 1, seconds=0.0)
    assert sizes.of("a", 0) == SMALLEST_SET


def test_a_slow_set_makes_the_next_small_and_one_in_between_changes_nothing():
    sizes = SetSizes()
    sizes.took("a", 0, jobs=SMALLEST_SET, seconds=0.0)
    sizes.took("a", 0, jobs=2 * SMALLEST_SET, seconds=1.5 * QUICK_SECONDS)
    assert sizes.of("a", 0) == 2 * SMALLEST_SET
    sizes.took("a", 0, jobs=3, seconds=2.5 * QUICK_SECONDS)
    assert sizes.of("a", 0) == SMALLEST_SET
    assert not sizes.grown
