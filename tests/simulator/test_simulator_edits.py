"""Ratings, times, notes, favourites and siblings: what was written is what is told."""

from __future__ import annotations

import pytest

from hydrusd.simulator import Service, TagRules

UNKNOWN = "12" * 32
MY_TAGS = "6c6f63616c2074616773"
MY_FILES = "6c6f63616c2066696c6573"
LOCAL_MEDIA = "616c6c206c6f63616c206d65646961"
STORAGE = "616c6c206c6f63616c2066696c6573"
FAVOURITES = "6661766f757269746573"
STARS, COUNT, NO_ZERO = "0a" * 32, "0b" * 32, "0c" * 32
RATINGS = (
    Service("stars", 6, STARS, stars=5),
    Service("count", 22, COUNT),
    Service("one to three", 6, NO_ZERO, stars=3, allows_zero=False),
)


@pytest.fixture
def one(started, picture):
    """``one(**config)``: a simulator with one file, a caller, and the file's hash."""

    def make(**config):
        simulator, http = started(**config)
        return simulator, http, http.add(picture())["hash"]

    return make


def row_of(http, sha256, **params):
    params = {"hash": sha256, "include_notes": "true", **params}
    return http.get("/get_files/file_metadata", params=params).json()["metadata"][0]


def rate(http, sha256, key, rating):
    body = {"hash": sha256, "rating_service_key": key, "rating": rating}
    return http.post("/edit_ratings/set_rating", json=body)


@pytest.mark.parametrize(
    ("key", "rating", "kept"),
    [
        (FAVOURITES, True, True),
        (FAVOURITES, False, False),
        (FAVOURITES, None, None),
        (STARS, 4, 4),
        (STARS, 9, 5),
        (STARS, 0, 0),
        (NO_ZERO, 0, 1),
        (COUNT, 12, 12),
        (COUNT, -3, 0),
    ],
)
def test_ratings(one, key, rating, kept):
    _, http, sha256 = one(extra_services=RATINGS)
    before = row_of(http, sha256)["ratings"]
    assert before == {FAVOURITES: None, STARS: None, NO_ZERO: None, COUNT: 0}
    assert rate(http, sha256, key, rating).content == b""
    assert row_of(http, sha256)["ratings"] == {**before, key: kept}


@pytest.mark.parametrize(
    ("key", "rating", "status", "words"),
    [
        (FAVOURITES, 1, 400, '"bool" rating'),
        (STARS, "3", 400, '"int" rating'),
        (COUNT, None, 400, "null rating"),
        (MY_TAGS, True, 400, "not a rating service"),
        ("00ff", True, 404, "not found"),
    ],
)
def test_ratings_that_are_refused(one, key, rating, status, words):
    _, http, sha256 = one(extra_services=RATINGS)
    answer = rate(http, sha256, key, rating)
    assert answer.status_code == status
    assert words in answer.json()["error"]


def test_rating_services_are_described(one):
    _, http, _ = one(extra_services=RATINGS)
    services = http.get("/get_services").json()["services"]
    assert services[NO_ZERO]["min_stars"] == 1
    assert services[STARS]["max_stars"] == 5
    assert set(services[COUNT]["colours"]) == {"like", "mixed"}


def set_time(http, sha256, when, kind, **more):
    body = {"hash": sha256, "timestamp": when, "timestamp_type": kind, **more}
    return http.post("/edit_times/set_time", json=body)


def test_times_of_web_sites_come_and_go(one):
    _, http, sha256 = one()
    assert set_time(http, sha256, 1000.5, 0, domain="a.com").status_code == 200
    body = {"hash": sha256, "timestamp_ms": 2000500, "timestamp_type": 0, "domain": "b.com"}
    http.post("/edit_times/set_time", json=body)
    row = row_of(http, sha256, include_milliseconds="true")
    assert row["time_modified"] == row["time_modified_details"]["a.com"] == 1000.5
    assert row["time_modified_details"]["b.com"] == 2000.5
    set_time(http, sha256, None, 0, domain="a.com")
    assert set(row_of(http, sha256)["time_modified_details"]) == {"b.com", "local"}
    assert set_time(http, UNKNOWN, 1, 0, domain="a.com").status_code == 200


def test_times_that_are_there_can_be_set(one):
    _, http, sha256 = one()
    for kind, more in [
        (0, {"domain": "local"}),
        (3, {"file_service_key": MY_FILES}),
        (3, {"file_service_key": LOCAL_MEDIA}),
        (3, {"file_service_key": STORAGE}),
    ]:
        assert set_time(http, sha256, 1000 + kind, kind, **more).status_code == 200
    row = row_of(http, sha256)
    assert row["time_modified_details"] == {"local": 1000}
    current = row["file_services"]["current"]
    assert {k: s["time_imported"] for k, s in current.items()} == dict.fromkeys(
        (MY_FILES, LOCAL_MEDIA, STORAGE), 1003
    )
    http.post("/add_files/archive_files", json={"hash": sha256})
    http.post("/add_files/delete_files", json={"hash": sha256})
    body = {"hash": sha256, "canvas_type": 0, "viewtime": 1}
    http.post("/edit_times/increment_file_viewtime", json=body)
    for kind, more in [
        (5, {}),
        (6, {}),
        (4, {"file_service_key": MY_FILES}),
        (7, {"file_service_key": MY_FILES}),
    ]:
        assert set_time(http, sha256, 1000 + kind, kind, **more).status_code == 200
    row = row_of(http, sha256)
    assert row["time_archived"] == 1005
    assert row["file_viewing_statistics"][0]["last_viewed_timestamp"] == 1006
    gone = row["file_services"]["deleted"][MY_FILES]
    assert (gone["time_deleted"], gone["time_imported"]) == (1004, 1007)


@pytest.mark.parametrize(
    ("body", "words"),
    [
        ({"timestamp": 1, "timestamp_type": 5}, "(archived time)"),
        ({"timestamp": 1, "timestamp_type": 6}, "(media viewer last viewed time)"),
        ({"timestamp": 1, "timestamp_type": 6, "canvas_type": 2}, "0, 1, or 4"),
        ({"timestamp": 1, "timestamp_type": 4, "file_service_key": MY_FILES}, '("my files" del'),
        ({"timestamp": 1, "timestamp_type": 3, "file_service_key": "00ff"}, "do not know"),
        ({"timestamp": 1, "timestamp_type": 3, "file_service_key": MY_TAGS}, "file service"),
        ({"timestamp": 1, "timestamp_type": 3}, '"file_service_key" was missing'),
        ({"timestamp": 1, "timestamp_type": 0}, '"domain" was missing'),
        ({"timestamp": None, "timestamp_type": 1}, "only delete web domain timestamps"),
        ({"timestamp": "1", "timestamp_type": 1}, "expected type: float"),
        ({"timestamp": 1, "timestamp_type": 2}, 'timestamp type "2"'),
        ({"timestamp": 1}, '"timestamp_type" was missing'),
        ({"timestamp_type": 1}, "have to specify a timestamp"),
        ({"hash": UNKNOWN, "timestamp": 1, "timestamp_type": 1}, UNKNOWN),
    ],
)
def test_times_that_are_refused(one, body, words):
    _, http, sha256 = one()
    answer = http.post("/edit_times/set_time", json={"hash": sha256, **body})
    assert answer.status_code == 400
    assert words in answer.json()["error"]


def test_viewing(one):
    _, http, sha256 = one()
    body = {"hash": sha256, "canvas_type": 0, "viewtime": 1.25}
    http.post("/edit_times/increment_file_viewtime", json={**body, "timestamp": 100})
    http.post("/edit_times/increment_file_viewtime", json={**body, "views": 2, "timestamp": 50})
    body = {"hash": sha256, "canvas_type": 4, "viewtime": 3, "views": 7}
    http.post("/edit_times/set_file_viewtime", json=body)
    seen = row_of(http, sha256)["file_viewing_statistics"]
    assert [(s["views"], s["viewtime"], s["last_viewed_timestamp"]) for s in seen] == [
        (3, 2.5, 100),
        (0, 0, None),
        (7, 3, None),
    ]
    for wrong in ({"views": -1}, {"viewtime": -1}, {"canvas_type": 2}):
        answer = http.post("/edit_times/set_file_viewtime", json={**body, **wrong})
        assert answer.status_code == 400


def test_viewing_statistics_may_be_off(one):
    _, http, sha256 = one(viewing_statistics=False)
    body = {"hash": sha256, "canvas_type": 0, "viewtime": 1.25}
    assert http.post("/edit_times/increment_file_viewtime", json=body).status_code == 403


def set_notes(http, sha256, notes, **more):
    answer = http.post("/add_notes/set_notes", json={"hash": sha256, "notes": notes, **more})
    assert answer.status_code == 200, answer.text
    return answer.json()["notes"]


@pytest.mark.parametrize(
    ("new", "options", "changed"),
    [
        ({"b": "abc"}, {}, {}),
        ({"a": "abc"}, {}, {}),
        ({"a": "abcdef"}, {}, {"a": "abcdef"}),
        ({"a": "abcdef"}, {"extend_existing_note_if_possible": False}, {"a (1)": "abcdef"}),
        ({"a": "x"}, {}, {"a (1)": "x"}),
        ({"a": "x"}, {"conflict_resolution": 0}, {"a": "x"}),
        ({"a": "x"}, {"conflict_resolution": 1}, {}),
        ({"a": "x"}, {"conflict_resolution": 2}, {"a": "abc\n\nx"}),
        ({"a": "b"}, {"conflict_resolution": 2}, {}),
        ({"c": "x", "d": "x"}, {}, {"c": "x"}),
    ],
)
def test_notes_are_merged_cleverly(one, new, options, changed):
    _, http, sha256 = one()
    set_notes(http, sha256, {"a": "abc"})
    assert set_notes(http, sha256, new, merge_cleverly=True, **options) == changed
    assert row_of(http, sha256)["notes"] == {"a": "abc", **changed}
    assert set_notes(http, sha256, new, merge_cleverly=True, **options) == {}, "once is enough"


def test_a_renamed_note_is_found_again(one):
    _, http, sha256 = one()
    set_notes(http, sha256, {"a": "abc"})
    set_notes(http, sha256, {"a": "x"}, merge_cleverly=True)
    assert set_notes(http, sha256, {"a": "xyz"}, merge_cleverly=True) == {"a (1)": "xyz"}


def test_notes_are_overwritten_and_deleted(one):
    _, http, sha256 = one()
    set_notes(http, sha256, {"a": " 1 ", "b": "2", "c": ""})
    assert row_of(http, sha256)["notes"] == {"a": " 1 ", "b": "2"}
    http.post("/add_notes/delete_notes", json={"hash": sha256, "note_names": ["a", "zz"]})
    assert row_of(http, sha256)["notes"] == {"b": "2"}
    for wrong in (
        {"hashes": [sha256, UNKNOWN], "notes": {}},
        {"hash": sha256},
        {"hash": sha256, "notes": {"a": 1}},
        {"hash": sha256, "notes": {}, "merge_cleverly": True, "conflict_resolution": 9},
    ):
        assert http.post("/add_notes/set_notes", json=wrong).status_code == 400


def test_favourite_tags_survive_commits_only(started, tmp_path):
    simulator, http = started(state_dir=tmp_path)

    def change(**body):
        return http.post("/add_tags/set_favourite_tags", json=body).json()["favourite_tags"]

    assert change(set=["b10", "b9", "A "]) == ["a", "b9", "b10"]
    http.commit()
    assert change(add=["c"], remove=["a", "B9 "]) == ["b10", "c"]
    simulator.crash()
    assert change() == ["a", "b9", "b10"]


def test_edits_are_lost_by_a_crash(one, tmp_path):
    simulator, http, sha256 = one(state_dir=tmp_path, extra_services=RATINGS)
    rate(http, sha256, STARS, 3)
    set_notes(http, sha256, {"a": "1"})
    set_time(http, sha256, 5, 0, domain="a.com")
    http.commit()
    committed = row_of(http, sha256)
    rate(http, sha256, STARS, 4)
    set_notes(http, sha256, {"b": "2"})
    set_time(http, sha256, None, 0, domain="a.com")
    http.post("/add_files/archive_files", json={"hash": sha256})
    body = {"hash": sha256, "canvas_type": 4, "viewtime": 3}
    http.post("/edit_times/increment_file_viewtime", json=body)
    assert row_of(http, sha256) != committed
    simulator.crash()
    assert row_of(http, sha256) == committed
    simulator.close()
    _, http, _ = one(state_dir=tmp_path, extra_services=RATINGS)
    assert row_of(http, sha256) == committed, "and what was committed lies on disk"


RULES = TagRules(
    service_key=MY_TAGS,
    siblings={"colour": "color", "blu": "blue", "azure": "blue"},
    parents={"blu": ("colour",), "color": ("look",)},
)


def test_siblings_and_parents(one):
    _, http, sha256 = one(tag_rules=(RULES,))
    params = {"tags": '["azure", "Look", "red"]'}
    tags = http.get("/add_tags/get_siblings_and_parents", params=params).json()["tags"]
    assert tags["azure"][MY_TAGS] == {
        "siblings": ["azure", "blu", "blue"],
        "ideal_tag": "blue",
        "descendants": [],
        "ancestors": ["color", "look"],
    }
    assert tags["look"][MY_TAGS]["descendants"] == ["blue", "color"]
    assert tags["red"][MY_TAGS]["siblings"] == ["red"]
    http.tag([sha256], ["azure"])
    shown = row_of(http, sha256)["tags"][MY_TAGS]
    assert shown["storage_tags"] == {"0": ["azure"]}
    assert shown["display_tags"] == {"0": ["blue", "color", "look"]}
    for tag, found in (("blue", 1), ("blu", 1), ("azure", 1), ("colour", 1), ("red", 0)):
        answer = http.get("/get_files/search_files", params={"tags": f'["{tag}"]'}).json()
        assert len(answer["file_ids"]) == found, tag
    refused = http.get("/add_tags/get_siblings_and_parents", params={"tags": '[""]'})
    assert (refused.status_code, refused.json()["error"]) == (400, 'Tag "" was empty!')


@pytest.mark.parametrize(
    ("text", "found"),
    [
        ("zq", ["zqx", "ns:zqy", "q-zq", "zq one"]),
        ("ZQ ", ["zqx", "ns:zqy", "q-zq", "zq one"]),
        ("zq*", ["zqx", "ns:zqy", "q-zq", "zq one"]),
        ("*q", ["zqx", "ns:zqy", "q-zq", "zq one"]),
        ("two", ["zq:two three"]),
        ("three", ["zq:two three"]),
        ("ns:z", ["ns:zqy"]),
        ("q", ["q-zq"]),
        ("zq on", ["zq one"]),
        ("one zq", []),
        ("zq:", []),
        ("zq:*", []),
        ("*", []),
        ("", []),
    ],
)
def test_tags_are_found_by_the_beginnings_of_their_words(started, picture, text, found):
    _, http = started()
    hashes = [http.add(picture(n))["hash"] for n in range(2)]
    http.tag(hashes[:1], ["zq one", "zq:two three", "zqx", "ns:zqy", "q-zq"])
    http.tag(hashes[1:], ["zqx"])
    http.tag([UNKNOWN], ["zqz"])
    answer = http.get("/add_tags/search_tags", params={"search": text}).json()
    assert [tag["value"] for tag in answer["tags"]] == found
    assert [tag["count"] for tag in answer["tags"]] == [2 if t == "zqx" else 1 for t in found]
    assert answer["autocomplete_text"] == {"search_text": text.strip().lower(), "inclusive": True}


def test_tags_are_looked_up_as_they_are_shown(one):
    _, http, sha256 = one(tag_rules=(RULES,))
    http.tag([sha256], ["azure"])
    params = {"search": "look", "tag_display_type": "display"}
    assert http.get("/add_tags/search_tags", params=params).json()["tags"] == [
        {"value": "look", "count": 1}
    ]
    params["tag_display_type"] = "storage"
    assert http.get("/add_tags/search_tags", params=params).json()["tags"] == []
    params = {"search": "-az", "tag_service_key": FAVOURITES}
    assert http.get("/add_tags/search_tags", params=params).status_code == 400
    del params["tag_service_key"]
    assert not http.get("/add_tags/search_tags", params=params).json()["autocomplete_text"][
        "inclusive"
    ]
