"""Feeds: what is new in them, once, and without being a nuisance to their servers."""

from __future__ import annotations

import contextlib
from datetime import timedelta

import pytest
from hypothesis import given, settings, strategies as st
from noticing import Context, Kept, Web, noticing
from pydantic import ValidationError

from hydrusd.builtin.triggers._feeds import read_feed
from hydrusd.builtin.triggers._visits import LONGEST_PAUSE_SECONDS, Unreadable
from hydrusd.builtin.triggers.feed import Feed
from hydrusd.plugin import HttpReply

pytestmark = pytest.mark.anyio

HOUR, MINUTE = 3600.0, 60.0


def listening(kept=None):
    return Context(kept, step_seconds=MINUTE)


def rss(*numbers, title="News"):
    items = "".join(
        f"<item><title>Post {n} &amp; more</title><link>/posts/{n}</link>"
        f"<author>me</author><category>cat</category><category>fluffy</category>"
        f"<pubDate>Mon, 02 Mar 2026 10:{n:02}:00 +0100</pubDate>"
        f'<enclosure url="/files/{n}.jpg" type="image/jpeg" length="9"/>'
        f'<enclosure url="magnet:?x={n}" type="x" length="9"/></item>'
        for n in numbers
    )
    return f'<rss version="2.0"><channel><title>{title}</title>{items}</channel></rss>'


ATOM = """<?xml version="1.0"?><feed xmlns="http://www.w3.org/2005/Atom"><title>Atom</title>
<entry><title>One</title><link href="https://site.example/posts/1"/><id>a</id>
<updated>2026-03-02T10:00:00Z</updated></entry></feed>"""


@pytest.fixture
def web():
    with Web() as web:
        yield web


def following(web, context, **parameters):
    return noticing(Feed(url=f"{web.url}/feed", **{"every": "1h", **parameters}), context)


async def test_an_entry_is_an_event(web):
    web.pages["/feed"] = rss(1)
    async with following(web, listening(), backfill=True) as context:
        await context.until(lambda: context.events)
    assert context.events[0].data == {
        "url": f"{web.url}/posts/1",
        "title": "Post 1 & more",
        "author": "me",
        "published": "2026-03-02T09:01:00+00:00",
        "tags": ["cat", "fluffy"],
        "enclosures": [f"{web.url}/files/1.jpg"],
        "feed": {"title": "News", "url": f"{web.url}/feed"},
    }


async def test_atom_is_read_as_well(web):
    web.pages["/feed"] = (200, {"Content-Type": "application/atom+xml"}, ATOM)
    async with following(web, listening(), backfill=True) as context:
        await context.until(lambda: context.events)
    assert context.data("url") == ["https://site.example/posts/1"]
    assert context.data("published") == ["2026-03-02T10:00:00+00:00"]


async def test_what_is_there_at_first_is_passed_over_with_the_reason(web):
    web.pages["/feed"] = rss(2, 1)
    async with following(web, listening()) as context:
        await context.until(lambda: context.passed)
        web.pages["/feed"] = rss(4, 3, 2, 1)
        await context.until(lambda: context.events)
    assert context.data("url") == [f"{web.url}/posts/3", f"{web.url}/posts/4"]
    assert len(context.kept.passed) == 2
    assert set(context.kept.passed.values()) == {
        f"was there already when {web.url}/feed was looked at first"
    }


async def test_the_beginning_and_its_memory_are_one(web):
    web.pages["/feed"] = rss(1)
    context = listening()
    context.fail_emits = 1
    with pytest.raises(ExceptionGroup):
        async with following(web, context):
            await context.until(lambda: False)
    assert not context.kept.memory
    web.pages["/feed"] = rss(2, 1)
    async with following(web, listening(context.kept)) as again:
        await again.until(lambda: again.passed)
    assert len(again.passed) == 2


async def test_a_restart_goes_on_where_it_was_and_asks_no_earlier(web):
    web.pages["/feed"] = rss(1)
    kept = Kept()
    async with following(web, listening(kept)) as context:
        await context.until(lambda: context.passed)
    web.pages["/feed"] = rss(2, 1)
    async with following(web, listening(kept)) as again:  # whose clock stands where that one began
        await again.until(lambda: again.events)
        assert again.clock.asked_for[0] == pytest.approx(HOUR, abs=MINUTE)
    assert again.data("url") == [f"{web.url}/posts/2"]
    assert not again.passed


async def test_a_clock_set_back_delays_nothing_for_long(web):
    web.pages["/feed"] = rss(1)
    kept = Kept()
    context = listening(kept)
    await context.clock.advance(timedelta(days=400).total_seconds())
    async with following(web, context):
        await context.until(lambda: context.passed)
    async with following(web, listening(kept)) as again:
        await again.until(lambda: len(web.asked) == 2)
        assert again.clock.asked_for[0] == HOUR


async def test_an_unchanged_feed_is_not_sent_again(web):
    headers = {"ETag": '"one"', "Last-Modified": "Mon, 02 Mar 2026 10:00:00 GMT"}
    web.pages["/feed"] = (200, headers, rss(1))
    kept = Kept()
    async with following(web, listening(kept)) as context:
        await context.until(lambda: context.passed)
    assert "if-none-match" not in web.asked[0][1]
    web.pages["/feed"] = (304, {}, b"")
    async with following(web, listening(kept)) as again:
        await again.until(lambda: len(web.asked) == 3)
        web.pages["/feed"] = (200, {}, rss(2, 1))
        await again.until(lambda: again.events)
        await again.until(lambda: len(web.asked) == 5)
    for _, asked in web.asked[1:4]:
        assert asked["if-none-match"] == '"one"'
        assert asked["if-modified-since"] == headers["Last-Modified"]
    assert "if-none-match" not in web.asked[4][1]
    assert again.data("url") == [f"{web.url}/posts/2"]


async def test_an_entry_may_lack_everything(web):
    bare = "<item><link>/1</link></item><item><pubDate>soon</pubDate></item><item/>"
    web.pages["/feed"] = f'<rss version="2.0"><channel>{bare}</channel></rss>'
    async with following(web, listening(), backfill=True) as context:
        await context.until(lambda: context.events)
    (event,) = context.events
    assert event.data == {
        "url": f"{web.url}/1",
        "title": "",
        "author": "",
        "published": "",
        "tags": [],
        "enclosures": [],
        "feed": {"title": "", "url": f"{web.url}/feed"},
    }


async def test_files_attached_can_be_taken_in_place_of_the_page(web):
    web.pages["/feed"] = rss(2, 1)
    async with following(web, listening(), backfill=True, take="enclosures") as context:
        await context.until(lambda: context.events)
    assert context.data("url") == [f"{web.url}/files/1.jpg", f"{web.url}/files/2.jpg"]


async def test_the_same_link_is_noticed_once(web):
    web.pages["/feed"] = rss(1, 1).replace("/posts/1", "HTTP://Site.example:80/posts/1", 1)
    web.pages["/feed"] = web.pages["/feed"].replace(">/posts/1", ">http://site.example/posts/1")
    async with following(web, listening(), backfill=True) as context:
        await context.until(lambda: len(web.asked) == 3)
    assert len(context.events) == 1


@pytest.mark.parametrize(
    ("page", "told"),
    [
        ((404, {}, b""), "answered with status 404"),
        ("<html><p>We are sorry</p></html>", "this is no feed"),
        (b"\xff\xfe\x00", "this is no feed"),
        ((200, {"Content-Type": "application/rss+xml"}, b""), "this is no feed"),
        ((200, {"Content-Type": "text/xml; charset=undefined"}, rss(1)), "that can be read"),
    ],
)
async def test_what_is_no_feed_is_told_and_no_beginning(web, page, told):
    web.pages["/feed"] = page
    async with following(web, listening()) as context:
        await context.until_told("waiting")
        assert told in context.told[-1][1]
        assert not context.kept.memory
        web.pages["/feed"] = rss(1)
        await context.until(lambda: context.passed)
        await context.until_told("working")


async def test_a_broken_feed_gives_what_can_be_read(web):
    web.pages["/feed"] = rss(2, 1).replace("</channel></rss>", "<item><link>/x &oops")
    async with following(web, listening(), backfill=True) as context:
        await context.until(lambda: context.events)
    assert f"{web.url}/posts/1" in context.data("url")


@settings(max_examples=40)
@given(st.binary(max_size=12), st.integers(0, 400), st.integers(0, 40))
def test_no_feed_is_too_broken_to_be_judged(noise, place, lost):
    whole = rss(1, 2).encode()
    body = whole[:place] + noise + whole[place + lost :]
    with contextlib.suppress(Unreadable):
        read_feed(HttpReply(200, {}, body, "http://site.example/feed"))


async def test_a_server_that_fails_is_asked_less_and_less_often(web):
    async with following(web, Context(step_seconds=900), every="10m") as context:
        await context.until(lambda: len(web.asked) == 9)
    pauses = [1200, 2400, 4800, 9600, 19200, *[LONGEST_PAUSE_SECONDS] * 3]
    assert context.clock.asked_for[1:9] == pauses


@pytest.mark.parametrize("wish", ["7200", "Thu, 01 Jan 2026 02:00:00 GMT"])
async def test_a_server_that_asks_for_time_gets_it(web, wish):
    web.pages["/feed"] = (503, {"Retry-After": wish}, b"")
    async with following(web, listening(), every="1m") as context:
        await context.until_told("waiting")
        web.pages["/feed"] = rss(1)
        await context.until(lambda: context.passed)
    assert context.clock.asked_for[1] == pytest.approx(7200, abs=120)


async def test_nobody_there_is_told_without_what_the_address_may_hide():
    with Web() as web:
        pass
    context = listening()
    async with noticing(Feed(url=f"{web.url}/feed?key=s3cr3t", every="1h"), context):
        await context.until_told("waiting")
    assert "cannot be reached" in context.told[-1][1]
    assert "s3cr3t" not in str(context.told)


async def test_the_reason_does_not_tell_what_the_address_may_hide(web):
    web.pages["/feed?key=s3cr3t"] = rss(1)
    url = f"{web.url}/feed?key=s3cr3t".replace("http://", "http://me:pa55@")
    context = listening()
    async with noticing(Feed(url=url), context):
        await context.until(lambda: context.passed)
    assert "s3cr3t" not in str(context.kept.passed.values())
    assert "pa55" not in str(context.kept.passed.values())


async def test_thousands_of_entries_are_handed_over_in_parts(web):
    count = 1_100
    items = "".join(f"<item><link>/{n}</link></item>" for n in range(count))
    web.pages["/feed"] = f'<rss version="2.0"><channel>{items}</channel></rss>'
    async with following(web, listening(), backfill=True) as context:
        await context.until(lambda: len(context.events) == count)
        await context.until(lambda: context.kept.memory)


def test_parameters_are_checked():
    for wrong in (
        {"url": "site.example/feed"},
        {"url": "https://site.example/feed", "every": "10s"},
        {"url": "https://site.example/feed", "take": "all"},
    ):
        with pytest.raises(ValidationError):
            Feed(**wrong)
