"""How sidecars are read: shapes as Hydrus, gallery-dl and write_sidecar write them."""

from __future__ import annotations

import json

import pytest
from hypothesis import HealthCheck, given, settings, strategies as st

from hydrusd.builtin.sidecars import FORMATS
from hydrusd.builtin.triggers._sidecars import merged
from hydrusd.plugin import MalformedSidecar, SidecarData

READ = {each.name: each.read for each in FORMATS}
HASH = "0123456789abcdef" * 4


def from_json(**body):
    return READ["json"](json.dumps(body).encode())


@pytest.mark.parametrize(
    "content",
    [
        b"flowers\nblue sky\n",
        b"flowers\r\n\r\n  blue sky  ",
        "flowers\nblue sky".encode("utf-8-sig"),
        "flowers\nblue sky\n".encode("utf-16"),
        b"flowers\rblue sky\rflowers\r",
    ],
)
def test_tags_are_one_a_line(content):
    assert READ["txt"](content).tags == ("flowers", "blue sky")


def test_tags_with_commas_are_for_those_who_say_so():
    content = b"1girl, blue sky,\nsolo\n"
    assert READ["txt"](content).tags == ("1girl, blue sky,", "solo")
    assert READ["txt_commas"](content).tags == ("1girl", "blue sky", "solo")


def test_urls_and_notes():
    assert READ["urls"](b"https://a.example/1\nhttp://b.example\n").urls == (
        "https://a.example/1",
        "http://b.example",
    )
    assert READ["notes"](b"artist: says: hello\ntitle:x\n").notes == {
        "artist": "says: hello",
        "title": "x",
    }


def test_nothing_is_nothing():
    for name in ("txt", "txt_commas", "urls", "notes"):
        said = READ[name](b"\n \n")
        assert (list(said.tags), list(said.urls), dict(said.notes)) == ([], [], {})


@pytest.mark.parametrize(
    ("name", "content", "said"),
    [
        ("txt", b"fine\n\xff\xfe", "line 2: it is not UTF-8"),
        ("urls", b"https://a.example\nexample.com/b\n", "line 2: 'example.com/b' is no URL"),
        ("notes", b"no colon\n", "line 1: 'no colon' is no note: write `name: text`"),
        ("notes", b"a: 1\na: 2\n", "line 2: there are two notes 'a'"),
        ("json", b"", "line 1, column 1: it is not JSON"),
        ("json", b'{"a": 1,\n "b" 2}', "line 2, column 6: it is not JSON"),
        ("json", b"[1, 2]", "it must hold an object"),
        ("json", b'{"a": NaN}', "NaN is no number"),
        ("json", b'{"a": "\\ud800"}', "it holds half of a character"),
        ("json", b"[" * 100_000, "it is not JSON"),
        ("json", b'{"tags": [1]}', "tags: '1' is no text"),
        ("json", b'{"tags": 7}', "tags: '7' is no list of tags"),
        ("json", b'{"urls": ["x"]}', "urls: 'x' is no URL"),
        ("json", b'{"notes": {"a": 1}}', "notes: 'a' must be a text"),
        ("json", b'{"notes": ["text"]}', "notes: 'text' is no note"),
        ("json", b'{"ratings": [1]}', "are no ratings by service"),
        ("json", b'{"times": {"modified": {"a.example": "2024-01-01"}}}', "has no time zone"),
        ("json", b'{"times": {"archived": "yesterday"}}', "times: archived: 'yesterday' is no"),
        ("json", b'{"url": "https://a.example", "date": "soon"}', "date: 'soon' is no time"),
    ],
)
def test_what_is_malformed_says_where_and_why(name, content, said):
    with pytest.raises(MalformedSidecar) as refused:
        READ[name](content)
    assert said in str(refused.value)


def test_what_gallery_dl_writes_for_boorus():
    said = from_json(
        category="danbooru",
        tag_string="alice blue_sky somebody",
        tag_string_artist="somebody",
        tag_string_character="alice",
        tag_string_copyright="wonderland",
        tag_string_general="blue_sky",
        tag_string_meta="",
        source="https://www.pixiv.example/artworks/7",
        file_url="https://cdn.example/1.png",
        rating="s",
        date="2024-03-01 12:30:00",
    )
    assert set(said.tags) == {
        "creator:somebody", "character:alice", "series:wonderland", "blue_sky",
    }  # fmt: skip
    assert set(said.urls) == {"https://www.pixiv.example/artworks/7", "https://cdn.example/1.png"}
    # The page is not named, so nobody knows whose time that is; nor is "s" anybody's rating.
    assert not said.times
    assert not said.ratings
    assert said.raw["rating"] == "s"


def test_what_gallery_dl_writes_elsewhere():
    by_kind = from_json(tags={"general": ["blue sky"], "artist": ["somebody"], "lore": []})
    assert set(by_kind.tags) == {"blue sky", "creator:somebody"}
    by_name = from_json(tags=[{"name": "空", "translated_name": "sky"}], caption="An afternoon.")
    assert by_name.tags == ("空",)
    assert by_name.notes == {"caption": "An afternoon."}
    as_text = from_json(tags="blue_sky 1girl", source="a text")
    assert as_text.tags == ("blue_sky", "1girl")
    assert not as_text.urls
    posted = from_json(post_url="https://www.a.example/1", date="2024-03-01T12:30:00+02:00")
    assert posted.times == {"modified": {"a.example": "2024-03-01T12:30:00+02:00"}}
    in_utc = from_json(url="https://a.example/1", date="2024-03-01 12:30:00")
    assert in_utc.times == {"modified": {"a.example": "2024-03-01T12:30:00+00:00"}}


def test_what_hydrus_writes_where_its_help_shows_it():
    said = from_json(
        metadata={
            "tags": ["blonde hair", "skirt"],
            "urls": ["http://example.com/123456"],
            "notes": ["artist: hello"],
        }
    )
    assert said.tags == ("blonde hair", "skirt")
    assert said.urls == ("http://example.com/123456",)
    assert said.notes == {"artist": "hello"}


def test_what_write_sidecar_writes():
    said = from_json(
        hash=HASH,
        tags={"my tags": ["a"], "downloader tags": ["b", "c"]},
        urls=["https://a.example/1"],
        notes={"title": "two\nlines"},
        ratings={"favourites": True, "stars": 3, "none": None},
        times={
            "imported": {"my files": "2024-01-01T00:00:00+00:00"},
            "modified": {"local": "2023-01-01T00:00:00+00:00", "a.example": None},
            "archived": None,
        },
    )
    assert said.sha256 == HASH
    assert said.tags == ()
    assert said.services == {"my tags": ["a"], "downloader tags": ["b", "c"]}
    assert said.notes == {"title": "two\nlines"}
    assert said.ratings == {"favourites": True, "stars": 3}
    assert said.times == {
        "modified": {"local": "2023-01-01T00:00:00+00:00"},
        "imported": {"my files": "2024-01-01T00:00:00+00:00"},
    }


@given(st.binary(max_size=200))
def test_any_bytes_are_read_or_malformed(content):
    for read in READ.values():
        try:
            said = read(content)
        except MalformedSidecar:
            continue
        json.dumps(merged([("any", said)]))


json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner),
    max_leaves=8,
)


@settings(suppress_health_check=[HealthCheck.too_slow])  # of a busy machine, not of the strategy
@given(
    st.dictionaries(
        st.sampled_from(
            ["tags", "tag_string", "tags_artist", "urls", "url", "date", "notes", "times",
             "ratings", "hash", "metadata", "source"]
        ),
        json_values,
    )
)  # fmt: skip
def test_any_json_is_read_or_malformed(body):
    try:
        said = READ["json"](json.dumps(body).encode())
    except MalformedSidecar:
        return
    assert all(isinstance(tag, str) for tag in said.tags)
    json.dumps(merged([("json", said)]))


def test_of_several_the_first_counts_where_they_disagree():
    one = SidecarData(tags=["a", "b"], notes={"n": "1"}, ratings={"r": 1}, raw={"x": 1})
    two = SidecarData(
        tags=["b", "c"],
        services={"my tags": ["d"]},
        notes={"n": "2", "m": "3"},
        ratings={"r": 2},
        times={"modified": {"local": "t"}},
        sha256=HASH,
        raw="y" * 100_000,
    )
    told = merged([("txt", one), ("json", two)])
    assert told["tags"] == ["a", "b", "c"]
    assert told["services"] == {"my tags": ["d"]}
    assert told["notes"] == {"n": "1", "m": "3"}
    assert told["ratings"] == {"r": 1}
    assert told["hash"] == HASH
    # What is very long is not kept for templates.
    assert told["raw"] == {"txt": {"x": 1}}
