"""``system:`` predicates and wildcards. What is refused was refused by a real client (v682)."""

from __future__ import annotations

import hashlib
import json

import pytest

from hydrusd.simulator import Service

MY_FILES = "6c6f63616c2066696c6573"
LOCAL_MEDIA = "616c6c206c6f63616c206d65646961"
FAVOURITES = "6661766f757269746573"
STARS = "0a" * 32
OTHER = "0f" * 32
WIDE, SQUARE, TALL = range(3)


@pytest.fixture
def gallery(started, picture):
    """A wide JPEG, a square PNG and a tall GIF; much is said of the first, a little of the last."""
    _, http = started(extra_services=(Service("my stars", 6, STARS), Service("other", 2, OTHER)))
    contents = [
        picture(1, "JPEG", size=(100, 50)),
        picture(2, size=(64, 64)),
        picture(3, "GIF", size=(20, 40)),
    ]
    hashes = [http.add(content)["hash"] for content in contents]
    wide = {"hash": hashes[WIDE]}
    http.tag(hashes[:1], ["red", "page:7", "a:b:c", "ruddy brown"])
    http.tag(hashes[2:], ["ns:ruddy"])
    http.post("/add_files/archive_files", json=wide)
    http.post("/add_notes/set_notes", json={**wide, "notes": {"title": "x", "Title": "y"}})
    for key, rating in ((FAVOURITES, True), (STARS, 4)):
        body = {**wide, "rating_service_key": key, "rating": rating}
        http.post("/edit_ratings/set_rating", json=body)
    http.post("/add_urls/associate_url", json={**wide, "url_to_add": "https://img.e.com/post/5"})
    times = {"hash": hashes[TALL], "timestamp": 1_600_000_000, "timestamp_type": 3}
    for key in (MY_FILES, LOCAL_MEDIA):
        http.post("/edit_times/set_time", json={**times, "file_service_key": key})
    return http, hashes, contents


def search(http, hashes, *tags):
    params = {"tags": json.dumps(tags), "return_hashes": "true"}
    answer = http.get("/get_files/search_files", params=params)
    assert answer.status_code == 200, answer.text
    return sorted(map(hashes.index, answer.json()["hashes"]))


@pytest.mark.parametrize(
    ("predicate", "found"),
    [
        ("everything", [0, 1, 2]),
        ("everything ", [0, 1, 2]),
        ("inbox", [1, 2]),
        ("archive", [0]),
        ("archived", [0]),
        ("untagged", [1]),
        ("no tags", [1]),
        ("has tags", [0, 2]),
        ("has_tags", [0, 2]),
        ("number of tags > 1", [0]),
        ("num tags = 0", [1]),
        ("number of tags is 1", [2]),
        ("number of ns tags > 0", [2]),
        ("tag as number page < 8", [0]),
        ("tag as number page > 8", []),
        ("filetype = image/jpg", [0]),
        ("filetype is jpeg, image/png", [0, 1]),
        ("filetype = image", [0, 1, 2]),
        ("filetype = video", []),
        ("filetype is not image/png", [0, 2]),
        ("time imported < 1 day", [0, 1]),
        ("time imported > 1 day", [2]),
        ("time imported < 90 years 1 month 2 days 3 hours ago", [0, 1, 2]),
        ("import time > 2024-01-31", [0, 1]),
        ("time imported: since 2024-01-31", [0, 1]),
        ("imported before 2024-01-31", [2]),
        ("time imported = 2020-09-13", [2]),
        ("time imported ~= 2020-09-20", [2]),
        ("time imported > 5 minutes ago", [0, 1]),
        ("time imported < 1 hour 5 minutes", [0, 1]),
        ("modified date < 2 hours", [0, 1, 2]),
        ("archived time < 1 day", [0]),
        ("last viewed time < 1 day", []),
        ("filesize > 8 KB", [1]),
        ("file size < 1 megabytes", [0, 1, 2]),
        ("filesize ~= 12 kb", [1]),
        ("width > 64", [0]),
        ("width >= 64 pixels", [0, 1]),
        ("width != 64", [0, 2]),
        ("height is 64px", [1]),
        ("height <= 50", [0, 2]),
        ("width about 60", [1]),
        ("ratio = 2:1", [0]),
        ("ratio wider than 1:1", [0]),
        ("ratio is taller than 1:1", [2]),
        ("ratio ~= 11:10", [1]),
        ("ratio is landscape", [0]),
        ("ratio is portrait", [2]),
        ("ratio is square", [1]),
        ("num pixels > 4 kilopixels", [0, 1]),
        ("number of pixels = 5000 px", [0]),
        ("num pixels < 1 megapixel", [0, 1, 2]),
        ("hash = 0123456789", []),
        ("has url https://img.e.com/post/5", [0]),
        ("does not have url https://img.e.com/post/5", [1, 2]),
        ("has domain e.com", [0]),
        ("has url with domain img.e.com", [0]),
        ("has domain mg.e.com", []),
        ("doesn't have domain e.com", [1, 2]),
        ("has a url matching regex post/\\d", [0]),
        ("has urls", [0]),
        ("no urls", [1, 2]),
        ("number of urls > 0", [0]),
        ("rating for favourites = like", [0]),
        ("rating for favourites is dislike", []),
        ("rating for favourites like", [0]),
        ("rating for my stars > 3/5", [0]),
        ("rating for my stars = 3/5", []),
        ("rating for favourites > 3/5", []),
        ("has a rating for favourites", [0]),
        ("no rating for my stars", [1, 2]),
        ("file service currently in my files", [0, 1, 2]),
        ("file service is currently in other", []),
        ("file service is not currently in other", [0, 1, 2]),
        ("file service is pending to my files", []),
        ("file service currently in trash", []),
        ("has notes", [0]),
        ("no notes", [1, 2]),
        ("has no notes", [1, 2]),
        ("num notes > 1", [0]),
        ("has note with name title", [0]),
        ("has a note named title", [0]),
        ("no note with name title", [1, 2]),
        ("has duration", []),
        ("no duration", [0, 1, 2]),
        ("has transparency", []),
        ("duration < 5 seconds", [0, 1, 2]),
        ("best quality of group", [0, 1, 2]),
    ],
)
def test_predicates(gallery, predicate, found):
    http, hashes, _ = gallery
    assert search(http, hashes, f"system:{predicate}") == found


def test_hashes_of_every_kind(gallery):
    http, hashes, contents = gallery
    named = " ".join(hashes[:2])
    md5 = hashlib.md5(contents[2]).hexdigest()
    assert search(http, hashes, f"system:hash = {named}") == [0, 1]
    assert search(http, hashes, f"system:hash is {named} sha256") == [0, 1]
    assert search(http, hashes, f"system:hash is not {hashes[0]}") == [1, 2]
    assert search(http, hashes, f"system:hash = {md5} md5") == [2]
    assert search(http, hashes, f"system:hash (md5) = {md5.upper()}") == [2]


@pytest.mark.parametrize(
    "predicate",
    [
        "nonsense", "limit 5", "limit = 1.5", "limit: 2", "filetype=nonsense", "filesize > 1",
        "filesize >= 1 b", "number of tags >= 1", "num pixels > 5", "width = -1", "ratio > 1:1",
        "rating for nonesuch = like", "has a rating for nonesuch", "hash ab",
        "hash = ab", "ratio != 1:1", "num notes != 1", "file service currently in all known files",
        "file service currently in nonesuch", "time imported < soon", "has url matching regex (",
        "has url with class safebooru", "inboxed", "",
    ],
)  # fmt: skip
def test_nonsense_is_refused(gallery, predicate):
    http, _, _ = gallery
    whole = f"system:{predicate}"
    answer = http.get("/get_files/search_files", params={"tags": json.dumps([whole])})
    assert answer.status_code == 400
    assert f'"{whole}"!' in answer.json()["error"]


@pytest.mark.parametrize(
    ("tag", "found"),
    [
        ("ruddy brown", [0]),
        ("ruddy*", [0]),
        ("*brown", [0]),
        ("*r*d*", [0]),
        ("ns:*", [2]),
        ("ns:ru*", [2]),
        ("*:*", [0, 2]),
        ("*:ruddy", [2]),
        ("*", [0]),
        ("-*", [1, 2]),
        ("-ns:*", [0, 1]),
        ("ns*", []),
        ("a:b:*", [0]),
        ("SYSTEM:inbox", []),
        ("-system:inbox", [0, 1, 2]),
    ],
)
def test_wildcards_keep_to_their_namespace(gallery, tag, found):
    http, hashes, _ = gallery
    assert search(http, hashes, tag) == found


def test_groups_and_limits(gallery):
    http, hashes, _ = gallery
    assert search(http, hashes, ["system:archive", "ns:*"]) == [0, 2]
    assert search(http, hashes, ["system:archive", "ns:*"], "-red") == [2]
    assert search(http, hashes, []) == []
    assert len(search(http, hashes, "system:everything", "system:limit = 2")) == 2
    assert search(http, hashes, "system:limit is 9", 3) == [0, 1, 2]


@pytest.mark.parametrize("sort_type", [*range(17), *range(18, 28)])
def test_all_sorts_are_understood(gallery, sort_type):
    http, hashes, _ = gallery
    params = {"tags": '["system:everything"]', "file_sort_type": sort_type}
    answer = http.get("/get_files/search_files", params={**params, "return_hashes": "true"})
    assert sorted(answer.json()["hashes"]) == sorted(hashes)
