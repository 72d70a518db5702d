"""Links on a page: found as a browser would find them, new ones noticed once."""

from __future__ import annotations

import pytest
from hypothesis import given, strategies as st
from noticing import Context, Web, noticing
from pydantic import ValidationError

from hydrusd.builtin.triggers._page_links import read_page
from hydrusd.builtin.triggers.page_links import PageLinks

URL = "https://site.example/tags/cat?page=2"


def links(html, content_type="text/html; charset=utf-8"):
    body = html if isinstance(html, bytes) else html.encode()
    return read_page(body, content_type, URL).links


@pytest.mark.parametrize(
    ("html", "found"),
    [
        ("<a href=/posts/1>One</a>", {"https://site.example/posts/1": "One"}),
        (
            '<A HREF=" /?a=1&amp;b=2 "> a <b>b</b>\n c</A>',
            {"https://site.example/?a=1&b=2": "a b c"},
        ),
        ("<base href='//other.example/d/'><a href=x>", {"https://other.example/d/x": ""}),
        ("<img src=1.jpg><video><source src=/2.webm></video>", ...),
        ("<a href=/1><img src=/1></a><a href=/1>later</a>", {"https://site.example/1": "later"}),
        ("<a href='javascript:x()'><a href='mailto:a@b'><a><a href=''><a href='http://['>", {}),
        ("<!-- <a href=/1> --><script>'<a href=/2>'</script>", {}),
        ("<a href=/1 href=/2>x</a>", {"https://site.example/1": "x"}),
    ],
)
def test_links_are_found(html, found):
    if found is ...:
        found = {"https://site.example/tags/1.jpg": "", "https://site.example/2.webm": ""}
    assert links(html) == found


@pytest.mark.parametrize(
    ("body", "content_type"),
    [
        ("<a href=/1>\xfc".encode("latin-1") + b"</a>", "text/html; charset=ISO-8859-1"),
        (b'<meta charset="latin-1"><a href=/1>\xfc</a>', "text/html"),
        ("<a href=/1>\xfc</a>".encode(), "text/html; charset=no-such-thing"),
        ("<a href=/1>\xfc</a>".encode(), "text/html; charset=undefined"),
        ("<a href=/1>\xfc</a>".encode(), "text/html; charset=hex"),
        ("<a href=/1>\xfc</a>".encode(), ""),
    ],
)
def test_text_is_decoded_as_declared(body, content_type):
    assert links(body, content_type) == {"https://site.example/1": "\xfc"}


def test_a_page_has_a_title():
    page = read_page(b"<title> My\n page </title><svg><title>x</title></svg>", "", URL)
    assert page.title == "My page"


@given(st.text("<>a href='\"/=&#;!-[]\n", max_size=80) | st.binary(max_size=60))
def test_no_page_is_too_broken_to_be_read(html):
    links(html)


@pytest.mark.anyio
async def test_new_links_that_fit_are_noticed_once():
    with Web() as web:
        page = "<title>Cats</title><a href=/posts/1>One</a><a href=/about>x</a>"
        web.pages["/"] = page
        trigger = PageLinks(url=f"{web.url}/", pattern=r"/posts/\d+$", every="1h")
        async with noticing(trigger, Context(step_seconds=60)) as context:
            await context.until(lambda: context.passed)
            web.pages["/"] = page + "<a href=/posts/2>Two</a><a href=/posts/2#c>c</a>"
            await context.until(lambda: context.events)
            await context.until(lambda: len(web.asked) == 4)
    (event,) = context.events
    about = {"title": "Cats", "url": f"{web.url}/"}
    assert event.data == {"url": f"{web.url}/posts/2", "text": "Two", "page": about}
    assert len(context.passed) == 1


def test_parameters_are_checked():
    for wrong in ({"pattern": "("}, {"pattern": ""}, {"url": "about:blank", "pattern": "x"}):
        with pytest.raises(ValidationError):
            PageLinks(**{"url": URL, **wrong})
