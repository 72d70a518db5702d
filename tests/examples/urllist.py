"""The examples of the triggers that notice URLs in lists, feeds and pages, and files in a search.

The feed and the page are where the documents say, on example.com: a proxy stands in for it.
"""

from __future__ import annotations

import hashlib
import os
import sys
from pathlib import Path

from exampling import Example

sys.path.insert(0, str(Path(__file__).parents[1] / "builtin"))

from noticing import Web
from url_site import HastyClock

from hydrusd.testing import paint

PROXIED = {"http_proxy": "", "no_proxy": "", "HTTP_PROXY": "", "NO_PROXY": "", "all_proxy": ""}

_WEBS = []


def _web():
    web = Web()
    web.__enter__()
    _WEBS.append(web)
    for name in ("1.png", "2.png"):
        web.pages[f"/{name}"] = paint(name)
    return web


def _lists(project):
    web = _web()
    project.write(
        {
            "lists/a.txt": f"# mine\n{web.url}/1.png  creator:x\n{web.url}/2.png later, x\n",
            "lists/below/b.txt": f"{web.url}/1.png#again",
            "lists/notes.md": f"{web.url}/none.png\n",
        }
    )


def _feed(project):
    web = _web()
    web.pages["http://example.com/artist/feed.xml"] = f"""
        <rss version="2.0"><channel><title>Artist</title><item><title>One</title>
        <link>http://example.com/1</link><enclosure url="{web.url}/1.png"/></item></channel></rss>
    """
    os.environ["http_proxy"] = web.url


def _page(project):
    web = _web()
    page = f"<title>Today</title><img src='{web.url}/1.png'><a href='{web.url}/2'>x</a>"
    web.pages["http://example.com/today"] = page
    os.environ["http_proxy"] = web.url


def _downloaded(*tags):
    def check(project):
        web = _WEBS.pop()
        web.__exit__()
        sha256 = hashlib.sha256(web.pages["/1.png"]).hexdigest()
        assert set(project.simulator.files) == {sha256}
        assert project.simulator.tags(sha256) == {0: set(tags)}

    return check


def _collection(project):
    client = project.simulator._client
    for name, tags in FOUND.items():
        sha256 = project.seed(name)
        with client.store.writing():
            entry = client.store.touch(sha256)
            entry.statuses(client.services.named("my tags").key)[0] = set(tags)


def _archived(project):
    files = project.simulator.files
    archived = {name for name in FOUND if not files[project.sha256(name)].inbox}
    assert archived == {"a.png", "b.png"}


FOUND = {
    "a.png": ["creator:x", "drawing"],
    "b.png": ["creator:y", "photo"],
    "c.png": ["creator:x", "photo", "sketch"],
    "d.png": ["drawing"],
    "e.png": ["creator:x"],
}

EXAMPLES = {
    "url_list": Example(
        page="urls.md",
        prepare=_lists,
        check=_downloaded("list:a.txt", "creator:x"),
        clock=HastyClock,
    ),
    "feed": Example(
        page="urls.md",
        prepare=_feed,
        check=_downloaded("from:artist", "title:one"),
        clock=HastyClock,
        environ=PROXIED,
    ),
    "page_links": Example(
        page="urls.md",
        prepare=_page,
        check=_downloaded("page:today"),
        clock=HastyClock,
        environ=PROXIED,
    ),
    "search": Example(page="library.md", prepare=_collection, check=_archived, run={"jobs": 2}),
}
