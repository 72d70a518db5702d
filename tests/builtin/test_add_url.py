"""Downloading a URL: sent once, followed to its end, and no end made up."""

from __future__ import annotations

import hashlib
import json
import math
import time
from datetime import UTC, datetime

import anyio
import httpx
import pytest
from url_site import TRIGGER, HastyClock, Site

from hydrusd.builtin.actions.add_url import AddUrl
from hydrusd.clock import ManualClock
from hydrusd.daemon import LEDGER_FILE
from hydrusd.errors import ConfigError
from hydrusd.hydrus import HydrusClient
from hydrusd.ledger import Ledger
from hydrusd.model import JobState, OutcomeKind, StepRecord
from hydrusd.plugin import Call
from hydrusd.simulator import (
    DEFAULT_ACCESS_KEY,
    Fault,
    FaultKind,
    Permissions,
    Service,
    SimulatorConfig,
)

ADD_URL = "/add_urls/add_url"
KEY = "Hydrus-Client-API-Access-Key"
PAGE_INFO = "/manage_pages/get_page_info"


@pytest.fixture
def site():
    site = Site()
    yield site
    site.close()


@pytest.fixture
def make(project):
    """Make a project with one rule: these URLs, add_url with these parameters, more steps."""

    def make(urls, parameters=None, steps=(), **simulator):
        rule = {
            "name": "fetch",
            "on": {"links": {"urls": list(urls)}},
            "do": [{"add_url": parameters or {}}, *steps],
        }
        written = f"""
client: {{url: '{{url}}', access_key: '{{access_key}}', commit_wait: 1s}}
rules: {json.dumps([rule])}
"""
        return project(
            {"rules.yaml": written, "plugins/links.py": TRIGGER}, SimulatorConfig(**simulator)
        )

    return make


def run(made, jobs=1, **more):
    return made.run(jobs=jobs, clock=HastyClock(), **more)


def step(made, number=0):
    """The step add_url of a job."""
    return made.jobs[number].steps[0]


def hash_of(content):
    return hashlib.sha256(content).hexdigest()


def pages(made):
    """The pages of the client's window: name to the URLs in their queues."""
    client = made.simulator._client
    return {page.name: list(page.items) for page in client.pages.media_pages()}


@pytest.mark.parametrize("api_version", [95, 32, 11])
def test_a_new_file_is_downloaded_and_later_steps_are_about_it(make, site, api_version):
    url = site.picture("a.png")
    made = make([url], steps=[{"add_tags": {"my tags": ["from:url"]}}], api_version=api_version)
    run(made).assert_success()
    sha256 = hash_of(site.pages["/a.png"])
    assert dict(step(made).values) == {
        "url": url,
        "status": "imported",
        "hash": sha256,
        "hashes": [sha256],
    }
    assert step(made).receipt == {"imported": [sha256]}
    assert made.simulator.tags(sha256) == {0: {"from:url"}}
    assert pages(made)["hydrusd"] == [url]


@pytest.mark.parametrize("api_version", [95, 11])
def test_every_end_is_told_as_it_is(make, site, api_version):
    site.pages |= {
        "/moved": (302, {"Location": "/target.png"}, b""),
        "/text.bin": b"no picture",
        "/secret": (403, {}, b""),
        "/broken": (500, {}, b""),
        "/small.png": b"x" * 3000,
    }
    site.picture("target.png")
    names = ["moved", "gone", "text.bin", "secret", "broken"]
    made = make([f"{site.url}/{name}" for name in names], api_version=api_version)
    run(made, len(names))
    ends = {job.data["url"].rpartition("/")[2]: job for job in made.jobs}
    assert {
        name: (str(job.state), job.steps[0].values["status"]) for name, job in ends.items()
    } == {
        "moved": ("done", "imported"),
        "gone": ("skipped", "gone"),
        "text.bin": ("dead", "failed"),
        "secret": ("dead", "ignored"),
        "broken": ("dead", "failed"),
    }
    details = {name: job.steps[0].detail for name, job in ends.items()}
    assert details["gone"] == "the link leads nowhere any more (404)"
    assert details["secret"] == "Hydrus ignored it: 403"
    assert details["broken"] == (
        "Hydrus cannot import it: ServerException('500: Internal Server Error')"
    )
    assert "Unknown filetype" in details["text.bin"] or "recognise" in details["text.bin"]
    assert ends["moved"].steps[0].values["hash"] == hash_of(site.pages["/target.png"])


def keys(*permissions):
    """An access key that may do only this."""
    return {DEFAULT_ACCESS_KEY: Permissions(name="few", basic=frozenset(permissions))}


def import_from(made, site, name, *urls):
    """Let the client have a file that it knows to come from these URLs."""
    client = made.simulator._client
    sha256 = hash_of(site.pages[f"/{name}"])
    with httpx.Client(base_url=made.url, headers={KEY: made.access_key}) as http:
        sent = {"Content-Type": "application/octet-stream"}
        http.post("/add_files/add_file", content=site.pages[f"/{name}"], headers=sent)
        if urls:
            body = {"hashes": [sha256], "urls_to_add": list(urls)}
            http.post("/add_urls/associate_url", json=body)
    assert client.store.entries[sha256].file
    return sha256


@pytest.mark.parametrize("api_version", [95, 11])
def test_what_hydrus_knows_by_its_url_is_not_sent(make, site, api_version):
    url = site.picture("a.png")
    made = make([url], {"tags": {"my tags": "late"}}, api_version=api_version)
    sha256 = import_from(made, site, "a.png", url)
    run(made).assert_success()
    assert made.simulator.requests[ADD_URL] == 0
    assert step(made).values["status"] == "already there"
    assert step(made).receipt["imported"] == []
    assert "late" in str(step(made).receipt["added"])
    assert made.simulator.tags(sha256) == {0: {"late"}}
    assert not site.asked


def test_two_files_of_one_url_are_both_named(make, site):
    url = f"{site.url}/post"
    for name in ("a.png", "b.png"):
        site.picture(name)
    made = make([url], {"tags": {"my tags": ["pair"]}})
    both = [import_from(made, site, name, url) for name in ("a.png", "b.png")]
    run(made).assert_success()
    assert sorted(step(made).values["hashes"]) == sorted(both)
    assert [made.simulator.tags(sha256) for sha256 in both] == [{0: {"pair"}}] * 2


@pytest.mark.parametrize("known_by_url", [True, False])
def test_what_was_deleted_before_stays_deleted(make, site, known_by_url):
    url = site.picture("a.png")
    made = make([url])
    sha256 = import_from(made, site, "a.png", *[url] * known_by_url)
    with httpx.Client(base_url=made.url, headers={KEY: made.access_key}) as http:
        http.post("/add_files/delete_files", json={"hash": sha256, "reason": "ugly"})
    run(made)
    assert made.jobs[0].state is JobState.SKIPPED
    assert step(made).values["status"] == "deleted before"
    assert "ugly" in step(made).detail
    assert made.simulator.requests[ADD_URL] == (0 if known_by_url else 1)
    assert made.simulator.files[sha256].status == "trashed"


@pytest.mark.parametrize("api_version", [95, 11])
def test_tags_are_given_and_those_somebody_removed_are_not(make, site, api_version):
    urls = [site.picture("new.png"), site.picture("known.png")]
    parameters = {"tags": {"my tags": ["  One ", "two"]}}
    made = make(urls, parameters, api_version=api_version)
    known = import_from(made, site, "known.png")
    client = made.simulator._client
    with client.store.writing():
        key = client.services.named("my tags").key
        client.store.touch(known).statuses(key).update({2: {"one"}})
    run(made, 2).assert_success()
    assert made.simulator.tags(hash_of(site.pages["/new.png"])) == {0: {"one", "two"}}
    assert made.simulator.tags(known) == {0: {"two"}, 2: {"one"}}
    assert [step(made, n).values["status"] for n in (0, 1)] == ["imported", "already there"]


def test_a_page_is_made_once_and_read_once_a_look(make, site):
    urls = [site.picture(f"{number}.png") for number in range(30)]
    made = make(urls, {"page": "my page"})
    run(made, 30).assert_success()
    assert pages(made) == {"files": [], "my page": urls}
    assert made.simulator.requests[ADD_URL] == 30
    assert made.simulator.requests[PAGE_INFO] < 15


def test_a_page_of_that_name_is_used_whichever_of_two_it_is(make, site):
    url = site.picture("a.png")
    made = make([url], {"page": "twice"})
    with httpx.Client(base_url=made.url, headers={KEY: made.access_key}) as http:
        for _ in range(2):
            body = {"page_type": 7, "page_name": "twice"}
            http.post("/manage_pages/new_page", json=body).raise_for_status()
    run(made).assert_success()
    assert step(made).values["status"] == "imported"


def test_a_key_that_may_not_see_pages_learns_of_success(make, site):
    urls = [site.picture("a.png"), f"{site.url}/gone"]
    made = make(urls, {"give_up_after": "5s"}, access_keys=keys(0, 3))
    run(made, 2)
    assert made.jobs[0].state is JobState.DONE
    assert step(made, 0).values["hash"] == hash_of(site.pages["/a.png"])
    assert step(made, 0).receipt == {"imported": None}, "nobody can tell whether it was new"
    assert made.jobs[1].state is JobState.DEAD
    assert step(made, 1).detail.startswith("unknown: ")
    assert "'manage pages'" in step(made, 1).detail
    assert made.simulator.requests[ADD_URL] == 2


def test_tags_that_the_key_may_not_give_park_the_rule(make, site):
    made = make([site.picture("a.png")], {"tags": {"my tags": "x"}}, access_keys=keys(0, 3, 4))
    run(made, until=lambda m: any("edit file tags" in c.reason for c in m.conditions))
    assert made.jobs[0].state is not JobState.DEAD


def test_what_takes_too_long_is_given_up_as_unknown(make, site):
    url = site.picture("slow.png")
    site.held.add("/slow.png")
    made = make([url], {"give_up_after": "5s"})
    run(made)
    assert made.jobs[0].state is JobState.DEAD
    assert step(made).detail.startswith("unknown: ")
    assert "waiting on the page 'hydrusd'" in step(made).detail
    assert step(made).values["status"] == "unknown"


def test_a_host_gets_no_more_than_its_rate_at_once(make, site):
    urls = [site.picture(f"{number}.png") for number in range(5)]
    made = make(urls, {"rate": "2/1h"})
    run(made, until=lambda m: sum(job.state is JobState.DONE for job in m.jobs) == 2)
    assert made.simulator.requests[ADD_URL] == 2
    waiting = [job.steps[0] for job in made.jobs if job.state is not JobState.DONE]
    assert [(s.outcome, "its turn comes in" in s.detail) for s in waiting] == [
        (OutcomeKind.LATER, True)
    ] * 3
    assert set(site.asked) == {"/0.png", "/1.png"}


def test_those_whose_turn_was_later_are_sent_in_the_end(make, site):
    urls = [site.picture(f"{number}.png") for number in range(5)]
    made = make(urls, {"rate": "2/5s"})
    run(made, 5).assert_success()
    assert made.simulator.requests[ADD_URL] == 5


@pytest.mark.parametrize("basic", [(0, 2, 3), (0, 2, 3, 4)])
@pytest.mark.parametrize("kind", ["gallery", "thread"])
def test_what_stands_for_many_files_is_handed_over_with_its_tags(make, site, kind, basic):
    site.pages["/gallery/cats"] = b'<a href="/a.png">'
    url = f"{site.url}/gallery/cats" if kind == "gallery" else "https://site.example/t/12"
    made = make([url], {"tags": {"my tags": ["x"]}}, access_keys=keys(*basic))
    run(made).assert_success()
    assert step(made).values == {"url": url, "status": "handed over", "hashes": []}
    assert step(made).receipt == {"imported": []}
    assert made.simulator.requests[ADD_URL] == 1
    [page] = [p for p in made.simulator._client.pages.media_pages() if p.name == "hydrusd"]
    assert [w.url for w in page.watchers] == [url] * (kind == "thread")
    assert ["x" in str(g.tags) for g in page.galleries.values()] == [True] * (kind == "gallery")


def test_a_gallery_that_hydrus_has_read_already_is_a_dead_letter(make, site):
    site.pages["/gallery/cats"] = b"nothing yet"
    url = f"{site.url}/gallery/cats"
    made = make([url])
    with httpx.Client(base_url=made.url, headers={KEY: made.access_key}) as http:
        body = {"url": url, "destination_page_name": "hydrusd"}
        http.post("/add_urls/add_url", json=body).raise_for_status()
        while not any(g.status for p in _client_pages(made) for g in p.galleries.values()):
            time.sleep(0.005)
    run(made)
    assert made.jobs[0].state is JobState.DEAD
    assert "has read this gallery already" in step(made).detail
    assert site.asked["/gallery/cats"] == 1


def _client_pages(made):
    return list(made.simulator._client.pages.media_pages())


def test_a_thread_that_is_watched_already_is_not_sent(make):
    url = "https://site.example/t/12"
    made = make([url])
    with httpx.Client(base_url=made.url, headers={KEY: made.access_key}) as http:
        body = {"page_type": 9, "page_name": "hydrusd", "url": url}
        http.post("/manage_pages/new_page", json=body).raise_for_status()
    run(made).assert_success()
    assert step(made).values["status"] == "handed over"
    assert made.simulator.requests[ADD_URL] == 0


@pytest.mark.parametrize(
    ("url", "words"),
    [
        ("https://site.example/blog/1", "cannot be parsed"),
        ("no url", "is no URL"),
        ("", "there is no URL"),
    ],
)
def test_what_hydrus_does_not_take_is_refused(make, url, words):
    made = make([url])
    run(made)
    assert made.jobs[0].state is JobState.DEAD
    assert words in step(made).detail
    assert pages(made) == {"files": []}


def test_the_url_may_be_written_in_the_rule(make, site):
    site.picture("a.png")
    made = make(["/a.png"], {"url": site.url + "{{ url }}"})
    run(made).assert_success()
    assert step(made).values["url"] == f"{site.url}/a.png"


def test_a_file_domain_is_where_it_goes(make, site):
    other = Service("other files", 2, "ab" * 32)
    made = make([site.picture("a.png")], {"file_domain": "other files"}, extra_services=(other,))
    run(made).assert_success()
    file = made.simulator._client.store.entries[step(made).values["hash"]].file
    assert set(file.domains) == {other.key}


@pytest.mark.parametrize(
    ("parameters", "words"),
    [
        ({"rate": "60"}, "60/1m"),
        ({"rate": "60/1"}, "has no unit"),
        ({"rate": "0/1s"}, "must be 1 to"),
        ({"page": ""}, "page"),
        ({"tags": {"none such": ["x"]}}, "none such"),
        ({"file_domain": "none such"}, "none such"),
        ({"file_domain": "trash"}, "no local file domain"),
    ],
)
def test_wrong_parameters_are_named(make, parameters, words):
    made = make(["https://x.example/"], parameters)
    with pytest.raises(ConfigError, match=words):
        run(made)


def test_a_client_too_old_for_file_domains_is_named(make):
    made = make(["https://x.example/"], {"file_domain": "my files"}, api_version=32)
    with pytest.raises(ConfigError, match="needs Client API ≥ 68"):
        run(made)


# --- interruptions ------------------------------------------------------------------------


def asked(site, number):
    return lambda _: site.asked.total() >= number


@pytest.mark.parametrize("basic", [(0, 3, 4), (0, 3)])
def test_a_client_that_died_gets_the_url_again(make, site, basic):
    url = site.picture("slow.png")
    site.held.add("/slow.png")
    made = make([url], access_keys=keys(*basic), commit_seconds=math.inf)
    run(made, until=asked(site, 1))
    made.simulator.crash()
    site.let_go()
    run(made).assert_success()
    assert made.simulator.requests[ADD_URL] == 2
    assert step(made).values["hash"] in made.simulator.files


def test_a_client_that_was_closed_and_opened_does_not(make, site):
    url = site.picture("slow.png")
    site.held.add("/slow.png")
    made = make([url])
    run(made, until=asked(site, 1))
    made.simulator.shut_down()
    site.let_go()
    run(made).assert_success()
    assert made.simulator.requests[ADD_URL] == 1
    assert step(made).values["status"] == "imported"


def test_an_answer_that_never_came_does_not_send_it_twice(make, site):
    url = site.picture("slow.png")
    site.held.add("/slow.png")
    made = make([url])
    made.simulator.inject(Fault(kind=FaultKind.WORK_THEN_CUT, path=ADD_URL))

    def waits(m):
        return any(job.steps and job.steps[0].outcome is OutcomeKind.LATER for job in m.jobs)

    run(made, until=waits)
    site.let_go()
    run(made).assert_success()
    assert made.simulator.requests[ADD_URL] == 1
    assert step(made).values["status"] == "imported"


def test_a_dead_letter_put_back_is_sent_again(make, site):
    made = make([f"{site.url}/late.png"])
    site.pages["/late.png"] = (500, {}, b"")
    run(made)
    assert made.jobs[0].state is JobState.DEAD
    site.picture("late.png")
    ledger = Ledger.open(made.state_dir / LEDGER_FILE)
    ledger.retry(datetime.now(UTC), ids=[made.jobs[0].job_id])
    ledger.close()
    run(made).assert_success()
    assert step(made).values["status"] == "imported"


# --- looking ahead, and looking back --------------------------------------------------------


@pytest.fixture
async def client(make):
    """A client on a simulator, and calls of the action on it."""
    made = make([])
    async with HydrusClient(made.url, made.access_key) as hydrus:
        await hydrus.connect()
        yield made, hydrus


def call_of(hydrus, url, record=None, **parameters):
    return Call(
        action=AddUrl.model_validate(parameters),
        job_id=1,
        rule="fetch",
        data={"url": url},
        client=hydrus,
        clock=ManualClock(),
        steps=[record] if record else [],
    )


def done(hashes, status="imported"):
    receipt = {"imported": hashes}
    values = {"hashes": hashes, "status": status}
    return StepRecord(0, "add_url", OutcomeKind.DONE, "", values, receipt)


@pytest.mark.anyio
async def test_a_plan_says_what_a_run_would_do_and_writes_nothing(client, site):
    made, hydrus = client
    urls = {name: site.picture(name) for name in ("new.png", "known.png", "deleted.png")}
    known = import_from(made, site, "known.png", urls["known.png"])
    gone = import_from(made, site, "deleted.png", urls["deleted.png"])
    await hydrus.delete_files([gone], reason="ugly")
    before = dict(made.simulator.requests)
    calls = [call_of(hydrus, url) for url in (*urls.values(), "no url")]
    new, there, deleted, wrong = await AddUrl.plan(calls)
    assert (new.changes, new.values["status"]) == (True, "imported")
    assert urls["new.png"] in new.detail
    assert "'hydrusd'" in new.detail
    assert (there.changes, there.values["hash"]) == (False, known)
    assert (deleted.changes, deleted.values["status"]) == (False, "deleted before")
    assert not wrong.changes
    [tagged] = await AddUrl.plan([call_of(hydrus, urls["known.png"], tags={"my tags": ["x"]})])
    assert tagged.changes
    asked = {path for path, n in made.simulator.requests.items() if n > before.get(path, 0)}
    assert asked <= {*READING, "/get_files/file_metadata"}
    assert made.simulator.tags(known) == {}
    assert pages(made) == {"files": []}
    assert not site.asked


READING = {"/add_urls/get_url_info", "/add_urls/get_url_files"}


@pytest.mark.anyio
async def test_lost_is_what_the_client_does_not_have(client, site):
    made, hydrus = client
    site.picture("a.png")
    kept = import_from(made, site, "a.png")
    fine = call_of(hydrus, "https://x.example/1", done([kept]))
    gone = call_of(hydrus, "https://x.example/2", done(["ab" * 32]))
    half = call_of(hydrus, "https://x.example/3", done([kept, "ab" * 32]))
    handed = call_of(hydrus, "https://x.example/4", done([], "handed over"))
    untagged = call_of(hydrus, "https://x.example/5", done([kept]), tags={"my tags": ["x"]})
    calls = [fine, gone, half, handed, untagged]
    assert await AddUrl.lost(calls) == [gone, half, handed, untagged]


@pytest.mark.anyio
async def test_done_again_what_was_ours_stays_ours(client, site):
    made, hydrus = client
    url = site.picture("a.png")
    kept = import_from(made, site, "a.png", url)
    call = call_of(hydrus, url, done([kept]))
    await AddUrl.run_set([call])
    assert call.outcome.kind is OutcomeKind.DONE
    assert call.outcome.values["status"] == "imported"
    assert call.outcome.receipt == {"imported": [kept]}


@pytest.mark.anyio
async def test_what_was_sent_and_tagged_is_known_when_every_answer_is_lost(client, site):
    made, hydrus = client
    url, noted = site.picture("a.png"), {}

    async def keep(receipts):
        noted.update(receipts)

    async def forgetful():
        record = StepRecord(0, "add_url", OutcomeKind.LATER, "", {}, noted.get(1))
        call = call_of(hydrus, url, record, tags={"my tags": ["x"]})
        call.keeper = keep
        await AddUrl.run_set([call])
        return call.outcome

    for _ in range(1000):
        if (outcome := await forgetful()).kind is not OutcomeKind.LATER:
            break
        await anyio.sleep(0.01)
    assert made.simulator.requests[ADD_URL] == 1
    assert outcome.receipt.keys() == {"imported", "added"}
    assert outcome.receipt["imported"] == [hash_of(site.pages["/a.png"])]
    again = await forgetful()
    assert again.receipt["added"] == outcome.receipt["added"]
    assert again.values["status"] == "imported"
