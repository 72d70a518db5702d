from __future__ import annotations

import os

from hypothesis import given, strategies as st

from hydrusd.file_groups import DEEPEST, MOST_IN_GROUP, Tally, depth_of, groups_ever_of, part_of

names = st.text(min_size=1, max_size=8).map(lambda text: text.replace("/", "_"))
facts = st.tuples(
    st.integers(0, 2**50), st.integers(0, 2**62), st.one_of(st.none(), st.integers(1, 2**62))
)
folders = st.dictionaries(names, facts, min_size=1, max_size=12)


def many(count):
    return [(f"picture {n:05}.jpg", n, 10**18 + n, n + 1) for n in range(count)]


def digests(files, *, at_once=None, depth=None):
    tally = Tally(depth)
    at_once = at_once or max(len(files), 1)
    for start in range(0, len(files), at_once):
        tally.add(files[start : start + at_once])
    return tally.digests()


@given(folders, st.data())
def test_digest_tells_the_same_files_in_any_order_from_any_others(folder, data):
    files = [(name, *facts) for name, facts in folder.items()]
    assert digests(data.draw(st.permutations(files))) == digests(files)
    which = data.draw(st.integers(0, len(files) - 1))
    other = (data.draw(names), *data.draw(facts))
    changed = [*files[:which], other, *files[which + 1 :]]
    if {*changed} != {*files}:
        assert digests(changed) != digests(files)
    assert digests(files[:which] + files[which + 1 :]) != digests(files)


def test_two_files_that_exchange_their_names_are_noticed():
    one, two = ("one.jpg", 5, 7, 11), ("two.jpg", 6, 8, 12)
    exchanged = [("two.jpg", *one[1:]), ("one.jpg", *two[1:])]
    assert digests([one, two]) != digests(exchanged)


def test_no_files_have_no_digest():
    assert digests([]) == digests([], depth=3) == {}


def test_slices_make_no_difference():
    files = many(3000)
    assert digests(files, at_once=7) == digests(files) == digests(files[::-1], at_once=1000)


def test_larger_folders_have_more_groups_and_small_enough_ones():
    assert len(digests(many(MOST_IN_GROUP))) == 1
    assert len(digests(many(MOST_IN_GROUP + 1))) == 2
    files = many(20_000)
    groups = digests(files)
    assert {depth_of(part) for part in groups} == {7}
    sizes = [sum(part_of(f[0], 7) == part for f in files) for part in groups]
    assert sum(sizes) == len(files)
    assert max(sizes) < 2 * MOST_IN_GROUP


def test_a_new_file_disturbs_one_group():
    files = many(3000)
    before, after = digests(files), digests([*files, ("new.jpg", 1, 2, 3)])
    assert {p for p in after if after[p] != before.get(p)} == {part_of("new.jpg", 4)}


def test_some_parts_alone_have_the_same_digests():
    files = many(3000)
    wanted = {part_of("new.jpg", 4), part_of(files[0][0], 4)}
    some = [f for f in files if part_of(f[0], 4) in wanted]
    all_of_them = digests(files)
    assert digests(some, depth=4) == {part: all_of_them[part] for part in wanted}


@given(st.one_of(names, st.just(os.fsdecode(b"caf\xe9.jpg"))), st.integers(0, DEEPEST))
def test_whoever_has_a_path_knows_all_its_groups(name, depth):
    path = os.path.join("folder", "below", name)  # noqa: PTH118 - a Path would change odd names
    ever = groups_ever_of(path)
    assert (os.path.join("folder", "below"), part_of(name, depth)) in ever  # noqa: PTH118
    assert len(ever) == DEEPEST + 1
