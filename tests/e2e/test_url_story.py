"""A list of 200 URLs of every sort: each ends as it should, whatever is restarted meanwhile."""

from __future__ import annotations

import hashlib
import random
import sys
from collections import Counter
from pathlib import Path

import httpx
import pytest

from hydrusd.hydrus._http import MAX_CONNECTIONS
from hydrusd.model import JobState
from hydrusd.simulator import SimulatorConfig
from hydrusd.simulator._pages import Page
from hydrusd.testing import paint

sys.path.insert(0, str(Path(__file__).parents[1] / "builtin"))

from url_site import HastyClock, Site

RULES = """
client: {url: '{url}', access_key: '{access_key}'}
rules:
  - name: fetch
    on:
      url_list: {path: urls.txt}
    do:
      - add_url: {page: story, rate: 10000/1s, tags: {my tags: from the list}}
      - add_tags: {my tags: ["came by:{{ steps.add_url.status }}"]}
"""
KEY = "Hydrus-Client-API-Access-Key"
LAST = "/slow0.png"
ENDED = {JobState.DONE, JobState.SKIPPED, JobState.DEAD}


class Story:
    """The website, the list, and how each URL has to end."""

    def __init__(self, site):
        self.site = site
        self.ends = {}
        for number in range(90):
            self._add(f"new{number}.png", "imported", paint(f"new{number}.png"))
        for number in range(25):
            self._add(f"known{number}.png", "already there", paint(f"known{number}.png"))
        for number in range(10):
            self._add(f"seen{number}.png", "already there", paint(f"seen{number}.png"))
        for number in range(10):
            self._add(f"deleted{number}.png", "deleted before", paint(f"deleted{number}.png"))
        for number in range(20):
            self._add(f"gone{number}.png", "gone")
        for number in range(20):
            self._add(f"text{number}.html", "failed", b"<p>no picture</p>")
        for number in range(15):
            content = paint(f"target{number}.png")
            site.pages[f"/target{number}.png"] = content
            self._add(
                f"moved{number}", "imported", (302, {"Location": f"/target{number}.png"}, b"")
            )
        for number in range(10):
            self._add(f"slow{number}.png", "imported", paint(f"slow{number}.png"))
            site.slow[f"/slow{number}.png"] = 0.05

    def _add(self, name, end, page=None):
        self.ends[f"{self.site.url}/{name}"] = end
        if page is not None:
            self.site.pages[f"/{name}"] = page

    @property
    def text(self):
        """The list, its sorts well mixed; one of the slow ones is the last."""
        urls = list(self.ends)
        random.Random(1).shuffle(urls)
        return "\n".join(sorted(urls, key=lambda url: url.endswith(LAST))) + "\n"

    def prepare(self, made):
        """Have the client know what it is to know: files by URL, files by content, deleted ones."""
        with httpx.Client(base_url=made.url, headers={KEY: made.access_key}) as http:
            for url in self.ends:
                name = url.rpartition("/")[2]
                if not name.startswith(("known", "seen", "deleted")):
                    continue
                content = self.site.pages[f"/{name}"]
                headers = {"Content-Type": "application/octet-stream"}
                sent = http.post("/add_files/add_file", content=content, headers=headers).json()
                body = {"hash": sent["hash"]}
                if name.startswith("known"):
                    http.post("/add_urls/associate_url", json={**body, "url_to_add": url})
                if name.startswith("deleted"):
                    http.post("/add_files/delete_files", json=body)
            http.post("/manage_database/force_commit")

    def sha256(self, url):
        """Give the hash of the file that a URL leads to in the end."""
        path = "/" + url.rpartition("/")[2].replace("moved", "target")
        path += ".png" * path.startswith("/target")
        return hashlib.sha256(self.site.pages[path]).hexdigest()

    def check(self, made, *, forgotten=0):
        """See that each URL ended in its true state.

        With its page a client that crashed forgot which files were new to it, and one that closes
        does not answer what it has just been asked: of so many, at most, nothing is claimed then,
        but the files are there.
        """
        unclaimed = 0
        ended = {job.data["url"]: job for job in made.jobs}
        assert len(made.jobs) == len(ended) == len(self.ends) == 200
        states = {"deleted before": "skipped", "gone": "skipped", "failed": "dead"}
        for url, end in self.ends.items():
            job = ended[url]
            values, receipt = job.steps[0].values, job.steps[0].receipt
            if unclaimed < forgotten and end == "imported" and receipt["imported"] is None:
                unclaimed += 1
                end = "already there"  # noqa: PLW2901 - what can be known
            assert values["status"] == end, (url, values)
            assert job.state == states.get(end, "done"), (url, job)
            if job.state is JobState.DONE:
                assert values["hashes"] == [self.sha256(url)], url
                tags = made.simulator.committed_tags(self.sha256(url))
                assert tags == {0: {"from the list", f"came by:{values['status']}"}}, url
        here = {h for h, file in made.simulator.files.items() if file.status == "current"}
        good = {"imported", "already there"}
        assert here == {self.sha256(url) for url, end in self.ends.items() if end in good}
        assert here <= made.simulator.committed_files()


@pytest.fixture
def story():
    site = Site()
    yield Story(site)
    site.close()


@pytest.fixture
def sent(monkeypatch):
    """How often each URL was put into a queue."""
    counts = Counter()
    really = Page.add_item

    def add_item(self, data, tags):
        counts[data] += 1
        really(self, data, tags)

    monkeypatch.setattr(Page, "add_item", add_item)
    return counts


@pytest.fixture
def made(project, story):
    made = project({"rules.yaml": RULES, "urls.txt": story.text}, SimulatorConfig())
    story.prepare(made)
    return made


def ended(made):
    return sum(job.state in ENDED for job in made.jobs)


def run(made, **more):
    return made.run(clock=HastyClock(), timeout_seconds=60, **more)


def unknown(story):
    return {url for url in story.ends if "/known" not in url}


def test_200_urls_end_in_their_true_states(made, story, sent):
    run(made, jobs=200)
    story.check(made)
    assert sent == dict.fromkeys(unknown(story), 1)
    assert set(story.site.asked.values()) == {1}
    assert not [path for path in story.site.asked if path.startswith("/known")]
    names = [page.name for page in made.simulator._client.pages.media_pages()]
    assert names == ["files", "story"]


def test_a_daemon_stopped_again_and_again_loses_none_and_sends_none_twice(made, story, sent):
    story.site.held.add(LAST)
    for number in (1, 60, 120):
        run(made, until=lambda m, number=number: ended(m) >= number)
    assert ended(made) < 200
    story.site.let_go()
    run(made, jobs=200)
    story.check(made)
    assert sent == dict.fromkeys(unknown(story), 1)
    assert set(story.site.asked.values()) == {1}


def test_a_client_that_crashes_gets_again_what_it_lost_and_nothing_else(made, story, sent):
    safe = set()

    def crash_and_go_on(m):
        if not safe and ended(m) >= 60:
            safe.update(made.simulator.committed_files())
            made.simulator.crash()
        return bool(safe) and ended(m) == 200

    run(made, until=crash_and_go_on)
    story.check(made, forgotten=200)
    good = {"imported", "already there"}
    kept = {u for u, end in story.ends.items() if end in good and story.sha256(u) in safe}
    known_by_content = {url for url in story.ends if "/seen" in url}
    assert len(kept - known_by_content) > 25
    assert all(sent[url] <= 1 for url in kept - known_by_content)
    assert all(sent[url] <= 2 for url in story.ends)


def test_a_client_closed_and_opened_again_is_not_sent_a_thing_twice(made, story, sent):
    closed = []

    def close_and_go_on(m):
        if not closed and ended(m) >= 60:
            made.simulator.shut_down()
            closed.append(True)
        return bool(closed) and ended(m) == 200

    run(made, until=close_and_go_on)
    # What it was asked on any of its connections when it closed has no answer.
    story.check(made, forgotten=MAX_CONNECTIONS)
    assert sent == dict.fromkeys(unknown(story), 1)
