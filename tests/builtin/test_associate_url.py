"""Known URLs: only what is missing is added, only what is there is taken away, and receipts."""

from __future__ import annotations

import json

import httpx
import pytest

from hydrusd.builtin.actions.associate_url import AssociateUrl
from hydrusd.clock import ManualClock
from hydrusd.errors import ConfigError
from hydrusd.hydrus import HydrusClient
from hydrusd.model import OutcomeKind, StepRecord
from hydrusd.plugin import Call
from hydrusd.simulator import DEFAULT_ACCESS_KEY, Permissions, SimulatorConfig

ASSOCIATE_URL = "/add_urls/associate_url"
URL = "https://x.example/one two#part"
NORMAL = "https://x.example/one%20two"
OTHER = "https://x.example/other"
HASH = "ab" * 32


@pytest.fixture
def make(project):
    def make(parameters, before="- add_file:", **simulator):
        written = f"""
client: {{url: '{{url}}', access_key: '{{access_key}}', commit_wait: 100ms}}
rules:
  - name: note
    on: {{watch_folder: {{path: inbox, settle: 50ms}}}}
    do:
      {before}
      - associate_url: {json.dumps(parameters)}
"""
        return project({"rules.yaml": written}, SimulatorConfig(**simulator))

    return make


def known(made, sha256):
    return list(made.simulator._client.store.entries[sha256].known_urls)


def note(made, sha256, *urls):
    """Let the client know these URLs of a file."""
    with httpx.Client(base_url=made.url) as http:
        body = {"hashes": [sha256], "urls_to_add": list(urls), "normalise_urls": False}
        headers = {"Hydrus-Client-API-Access-Key": made.access_key}
        http.post(ASSOCIATE_URL, json=body, headers=headers).raise_for_status()


def step(made, name):
    return made.job(name).steps[-1]


@pytest.mark.parametrize("api_version", [95, 32, 11])
def test_the_receipt_names_what_was_new_and_what_was_there(make, api_version):
    parameters = {"add": [URL, OTHER], "delete": ["https://x.example/b c", "https://x.example/no"]}
    made = make(parameters, api_version=api_version).drop("inbox/a.jpg")
    sha256 = made.sha256("inbox/a.jpg")
    note(made, sha256, OTHER, "https://x.example/b%20c", "https://x.example/stays")
    made.run().assert_success()
    assert sorted(known(made, sha256)) == [NORMAL, OTHER, "https://x.example/stays"]
    assert step(made, "inbox/a.jpg").receipt == {
        "added": {sha256: [NORMAL]},
        "deleted": {sha256: ["https://x.example/b%20c"]},
    }
    assert step(made, "inbox/a.jpg").detail == "1 URL added, 1 URL taken away"


def test_where_all_is_so_already_nothing_is_sent(make):
    made = make({"add": URL, "delete": OTHER}).drop("inbox/a.jpg")
    note(made, made.sha256("inbox/a.jpg"), NORMAL)
    before = made.simulator.requests[ASSOCIATE_URL]
    made.run().assert_success()
    assert made.simulator.requests[ASSOCIATE_URL] == before
    assert step(made, "inbox/a.jpg").receipt == {}
    assert step(made, "inbox/a.jpg").detail == "the URLs are so already"


def test_files_that_lack_the_same_share_a_request(make):
    made = make({"add": URL})
    for number in range(8):
        made.drop(f"inbox/{number}.jpg")
    made.run().assert_success()
    assert all(known(made, made.sha256(f"inbox/{n}.jpg")) == [NORMAL] for n in range(8))
    assert 1 <= made.simulator.requests[ASSOCIATE_URL] < 8


def test_a_url_may_be_kept_as_it_is_written(make):
    made = make({"add": URL, "normalise": False}).drop("inbox/a.jpg")
    made.run().assert_success()
    assert known(made, made.sha256("inbox/a.jpg")) == [URL]
    assert step(made, "inbox/a.jpg").receipt["added"] == {made.sha256("inbox/a.jpg"): [URL]}


def test_a_key_that_may_not_look_sends_all_and_claims_nothing(make):
    keys = {DEFAULT_ACCESS_KEY: Permissions(name="few", basic=frozenset({0, 1}))}
    made = make({"add": URL, "delete": "https://x.example/b c"}, access_keys=keys)
    made.drop("inbox/a.jpg")
    note(made, made.sha256("inbox/a.jpg"), "https://x.example/b%20c")
    made.run().assert_success()
    assert known(made, made.sha256("inbox/a.jpg")) == [NORMAL]
    assert step(made, "inbox/a.jpg").receipt is None


def test_without_a_file_there_is_nothing_to_note_it_on(make):
    made = make({"add": URL}, before="").drop("inbox/a.jpg").run()
    assert "put add_file or add_url before it" in made.dead_letters[0].detail


def test_what_is_no_url_is_a_dead_letter_of_that_file_alone(make):
    made = make({"add": "{{ 'https://x.example/' if file.stem == 'a' else 'nonsense' }}"})
    made.drop("inbox/a.jpg").drop("inbox/b.jpg").run()
    assert known(made, made.sha256("inbox/a.jpg")) == ["https://x.example/"]
    assert "'nonsense' is no URL" in made.dead_letters[0].detail


@pytest.mark.parametrize(
    ("parameters", "words"),
    [
        ({}, "give URLs"),
        ({"add": [], "normalise": True}, "give URLs"),
        ({"add": URL, "delete": [URL]}, "to be added and to be taken away"),
        ({"add": {"a": "b"}}, "add"),
    ],
)
def test_wrong_parameters_are_named(make, parameters, words):
    with pytest.raises(ConfigError, match=words):
        make(parameters).run()


def test_a_client_too_old_to_leave_urls_alone_is_named(make):
    with pytest.raises(ConfigError, match="needs Client API ≥ 64"):
        make({"add": URL, "normalise": False}, api_version=32).run()


# --- looking ahead, and looking back --------------------------------------------------------


@pytest.fixture
async def client(make):
    made = make({"add": URL})
    async with HydrusClient(made.url, made.access_key) as hydrus:
        await hydrus.connect()
        yield made, hydrus


def call_of(hydrus, hashes=(HASH,), record=None, **parameters):
    return Call(
        action=AssociateUrl.model_validate(parameters),
        job_id=1,
        rule="note",
        data={},
        client=hydrus,
        clock=ManualClock(),
        file_hashes=hashes,
        steps=[record] if record else [],
    )


@pytest.mark.anyio
async def test_a_plan_says_what_a_run_would_do_and_writes_nothing(client):
    made, hydrus = client
    call = call_of(hydrus, add=[URL, OTHER], delete=["https://x.example/b c"])
    note(made, HASH, OTHER, "https://x.example/b%20c")
    before = dict(made.simulator.requests)
    [planned] = await AssociateUrl.plan([call])
    assert planned.changes
    assert planned.detail == "would change: 1 URL added, 1 URL taken away"
    no_file, wrong = await AssociateUrl.plan(
        [call_of(hydrus, (), add=URL), call_of(hydrus, add="nonsense")]
    )
    assert no_file.changes
    assert "the steps before it" in no_file.detail
    assert not wrong.changes
    assert "'nonsense' is no URL" in wrong.detail
    assert made.simulator.requests[ASSOCIATE_URL] == before[ASSOCIATE_URL]
    await AssociateUrl.run_set([call])
    [after] = await AssociateUrl.plan([call])
    assert (after.changes, after.detail) == (False, "nothing to do: the URLs are so already")


@pytest.mark.anyio
async def test_lost_is_what_is_not_as_it_was_left(client):
    made, hydrus = client
    one, two = "11" * 32, "22" * 32
    note(made, one, NORMAL)
    note(made, two, OTHER)
    fine = call_of(hydrus, (one,), add=URL, delete=OTHER)
    half = call_of(hydrus, (one, two), add=URL)
    back = call_of(hydrus, (two,), delete=OTHER)
    assert await AssociateUrl.lost([fine, half, back]) == [half, back]


@pytest.mark.anyio
async def test_several_files_each_get_what_they_lack(client):
    made, hydrus = client
    one, two = "11" * 32, "22" * 32
    note(made, one, NORMAL)
    call = call_of(hydrus, (one, two), add=URL)
    await AssociateUrl.run_set([call])
    assert call.outcome.receipt == {"added": {two: [NORMAL]}}
    assert known(made, two) == [NORMAL]


@pytest.mark.anyio
async def test_done_again_what_was_ours_stays_ours(client):
    _, hydrus = client
    receipt = {"added": {HASH: [OTHER]}}
    record = StepRecord(0, "associate_url", OutcomeKind.DONE, "", {}, receipt)
    call = call_of(hydrus, record=record, add=[URL])
    await AssociateUrl.run_set([call])
    assert call.outcome.receipt == {"added": {HASH: [OTHER, NORMAL]}}
