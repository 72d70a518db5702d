"""Duplicates and alternates; the long story was played on a real client (v682) first."""

from __future__ import annotations

import pytest

FAVOURITES = "6661766f757269746573"
MY_TAGS = "6c6f63616c2074616773"
PREFIX = "/manage_file_relationships/"
POTENTIAL, NOT_RELATED, SAME, ALTERNATE, BETTER, WORSE = 0, 1, 2, 3, 4, 7


class Cast:
    """Six files, called by their numbers."""

    def __init__(self, simulator, http, picture):
        self.simulator, self.http = simulator, http
        # One is larger than the other, so that sorting by size has something to do.
        self.hashes = [http.add(picture(n, size=(64 - n, 64)))["hash"] for n in range(6)]

    def relate(self, kind, one, other, *, merge=False, **more):
        row = {
            "hash_a": self.hashes[one],
            "hash_b": self.hashes[other],
            "relationship": kind,
            "do_default_content_merge": merge,
            **more,
        }
        answer = self.http.post(PREFIX + "set_file_relationships", json={"relationships": [row]})
        assert answer.status_code == 200, answer.text

    def post(self, name, *numbers):
        hashes = [self.hashes[number] for number in numbers]
        assert self.http.post(PREFIX + name, json={"hashes": hashes}).status_code == 200

    def of(self, number):
        """King, potential, unrelated, alternate, duplicate files of one, by number."""
        params = {"hash": self.hashes[number]}
        answer = self.http.get(PREFIX + "get_file_relationships", params=params).json()
        found = answer["file_relationships"][self.hashes[number]]
        numbers = [[self.hashes.index(h) for h in found[kind]] for kind in "0138"]
        return self.hashes.index(found["king"]), *numbers

    def pairs(self, **params):
        answer = self.http.get(PREFIX + "get_potential_pairs", params=params).json()
        return [
            [self.hashes.index(h) for h in pair] for pair in answer["potential_duplicate_pairs"]
        ]


@pytest.fixture
def cast(started, picture):
    return Cast(*started(), picture)


def test_a_long_story(cast):
    cast.relate(BETTER, 0, 1)
    assert (cast.of(0), cast.of(1)) == ((0, [], [], [], [1]), (0, [], [], [], [0]))
    cast.relate(SAME, 2, 3)
    cast.relate(ALTERNATE, 0, 2)
    assert (cast.of(1), cast.of(3)) == ((0, [], [], [2], [0]), (2, [], [], [0], [2]))
    cast.relate(NOT_RELATED, 0, 4)
    assert cast.of(4) == (4, [], [0, 2], [], [])
    cast.relate(POTENTIAL, 4, 5)
    assert (cast.of(4)[1], cast.of(5)[1]) == ([5], [4])
    cast.relate(BETTER, 1, 0)
    assert cast.of(0)[0] == 1
    cast.post("set_kings", 3)
    assert (cast.of(2)[0], cast.of(0)[3]) == (3, [3])
    cast.relate(WORSE, 5, 0)
    assert cast.of(5) == (1, [], [4], [3], [0, 1]), "its potential became an unrelated one"
    cast.relate(ALTERNATE, 0, 4)
    assert cast.of(4) == (4, [], [], [1, 3], [])
    cast.relate(POTENTIAL, 0, 4)
    assert cast.of(4)[1] == [], "it is known what they are"
    cast.relate(BETTER, 0, 5, delete_b=True)
    assert cast.simulator.files[cast.hashes[5]].status == "trashed"
    assert cast.of(0)[4] == [1], "what is not in the searched domain is left out"


def test_files_leave_groups(cast):
    cast.relate(BETTER, 0, 1)
    cast.relate(BETTER, 2, 3)
    cast.relate(BETTER, 0, 3)
    assert (cast.of(3)[0], cast.of(2)[4]) == (0, []), "a member that is worse changes sides"
    cast.relate(ALTERNATE, 0, 1)
    assert (cast.of(1), cast.of(0)[3]) == ((1, [], [], [0], []), [1])
    cast.relate(SAME, 2, 3)
    assert cast.of(2)[0] == 0, "the king of the larger group is better than both"


def test_potential_pairs(cast):
    simulator, hashes = cast.simulator, cast.hashes
    simulator.add_potential_duplicates(hashes[1], hashes[0], 2)
    simulator.add_potential_duplicates(hashes[2], hashes[3], 0, same_pixels=True)
    simulator.add_potential_duplicates(hashes[3], hashes[4], 8)
    assert cast.pairs() == [[0, 1], [2, 3]], "eight bits are too far by default"
    assert cast.pairs(max_hamming_distance=8) == [[0, 1], [2, 3], [3, 4]]
    assert cast.pairs(max_hamming_distance=8, duplicate_pair_sort_asc="true") == [
        [3, 4], [2, 3], [0, 1]
    ]  # fmt: skip
    assert cast.pairs(max_hamming_distance=8, max_num_pairs=1) == [[0, 1]]
    assert cast.pairs(max_hamming_distance=8, duplicate_pair_sort_type=2, group_mode="true") == [
        [0, 1]
    ]
    assert cast.pairs(pixel_duplicates=0) == [[2, 3]]
    assert cast.pairs(pixel_duplicates=2) == [[0, 1]]
    cast.http.tag([hashes[0], hashes[2], hashes[3]], ["a"])
    asked = {"tags_1": '["a"]', "tags_2": '["-a"]'}
    assert cast.pairs(**asked) == [[0, 1], [2, 3]]
    assert cast.pairs(**asked, potentials_search_type=1) == [[2, 3]]
    assert cast.pairs(**asked, potentials_search_type=2) == [[0, 1]]
    count = cast.http.get(PREFIX + "get_potentials_count", params={"pixel_duplicates": 0}).json()
    assert count["potential_duplicates_count"] == 1
    asked = {"pixel_duplicates": 0}
    group = cast.http.get(PREFIX + "get_random_potentials", params=asked).json()
    assert set(group["random_potential_duplicate_hashes"]) == {hashes[2], hashes[3]}
    cast.post("remove_potentials", 0, 3)
    assert cast.pairs(max_hamming_distance=8) == []


@pytest.mark.parametrize("kind", [BETTER, SAME, ALTERNATE])
def test_content_is_merged(cast, kind):
    http, (one, other) = cast.http, cast.hashes[:2]
    http.tag([one], ["ta"])
    http.tag([other], ["tb"])
    for sha256, name in ((one, "a"), (other, "b")):
        http.post("/add_notes/set_notes", json={"hash": sha256, "notes": {name: name}})
    rating = {"hash": other, "rating_service_key": FAVOURITES, "rating": True}
    http.post("/edit_ratings/set_rating", json=rating)
    http.post("/add_files/archive_files", json={"hash": one})
    cast.relate(kind, 0, 1, merge=True)
    rows = http.get(
        "/get_files/file_metadata",
        params={"hashes": f'["{one}", "{other}"]', "include_notes": "true"},
    ).json()["metadata"]
    found = [
        (r["tags"][MY_TAGS]["storage_tags"], r["notes"], r["ratings"][FAVOURITES], r["is_inbox"])
        for r in rows
    ]
    both_tags, both_notes = {"0": ["ta", "tb"]}, {"a": "a", "b": "b"}
    assert (
        found
        == {
            BETTER: [
                (both_tags, both_notes, True, False),
                ({"2": ["tb"]}, {"b": "b"}, None, False),
            ],
            SAME: [(both_tags, both_notes, True, False)] * 2,
            ALTERNATE: [
                ({"0": ["ta"]}, {"a": "a"}, None, False),
                ({"0": ["tb"]}, {"b": "b"}, True, True),
            ],
        }[kind]
    )


@pytest.mark.parametrize(
    ("row", "words"),
    [
        ({"relationship": 9}, "allowed values"),
        ({"hash_b": "00"}, "1 bytes long"),
        ({"hash_b": "zz"}, "did not understand one of the hashes"),
        ({"hash_b": None}, '"hash_b" was missing'),
        ({"do_default_content_merge": None}, '"do_default_content_merge" was missing'),
        ({"delete_a": 1}, "boolean"),
    ],
)
def test_decisions_that_are_refused(started, row, words):
    _, http = started()
    whole = {"hash_a": "ab" * 32, "hash_b": "cd" * 32, "relationship": 4}
    whole |= {"do_default_content_merge": False, **row}
    answer = http.post(PREFIX + "set_file_relationships", json={"relationships": [whole]})
    assert answer.status_code == 400
    assert words in answer.json()["error"]


def test_a_crash_forgets_decisions(started, picture, tmp_path):
    simulator, http = started(state_dir=tmp_path)
    cast = Cast(simulator, http, picture)
    cast.relate(BETTER, 0, 1)
    http.commit()
    cast.relate(BETTER, 2, 3)
    simulator.crash()
    assert (cast.of(1)[0], cast.of(3)[0]) == (0, 3)
    simulator.close()
    _, cast.http = started(state_dir=tmp_path)
    assert cast.of(1)[0] == 0
