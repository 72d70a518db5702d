"""Requests to other servers: what is sent, what an answer means, and nothing sent twice."""

from __future__ import annotations

import json

import pytest
from outside import Hook, call_of, rules, to_the_end

from hydrusd.builtin.actions.http_request import KEPT_BYTES, HttpRequest
from hydrusd.errors import ConfigError
from hydrusd.model import JobState, OutcomeKind
from hydrusd.plugin import _outside

FORM = "application/x-www-form-urlencoded"
DONE, DEAD, RETRY = OutcomeKind.DONE, OutcomeKind.DEAD, OutcomeKind.RETRY


@pytest.fixture
def hook():
    hook = Hook()
    yield hook
    hook.close()


@pytest.fixture(autouse=True)
def _nothing_left():
    yield
    _outside._by_loop.clear()


def step(**parameters):
    return {"http_request": parameters}


# --- what is sent ----------------------------------------------------------------------------


def test_sends_json_with_what_templates_yield_and_later_steps_see_the_answer(project, hook):
    hook.answer(201, b'{"id": [1, 2]}')
    what = {"name": "{{ file.name }}", "tags": ["{{ file.suffix }}", 1]}
    send = step(url=f"{hook.url}/new?from={{{{ rule.name }}}}", method="POST", json=what)
    log = {"log": {"message": "{{ steps.http_request.json.id[1] }}"}}
    made = project({"rules.yaml": rules(send, log)}).drop("inbox/a b.jpg")
    made.run().assert_success()
    [(method, path, headers, body)] = hook.requests
    assert (method, path) == ("POST", "/new?from=outside")
    assert json.loads(body) == {"name": "a b.jpg", "tags": [".jpg", 1]}
    assert headers["content-type"] == "application/json"
    record = made.job("inbox/a b.jpg").steps[0]
    assert record.values == {"status": 201, "text": '{"id": [1, 2]}', "json": {"id": [1, 2]}}
    assert record.detail == f"POST {hook.url}/new → 201 Created"


@pytest.mark.anyio
@pytest.mark.parametrize(
    ("given", "sent", "content_type"),
    [
        (
            {"form": {"a": "b c", "ü": "&"}},
            b"a=b+c&%C3%BC=%26",
            "application/x-www-form-urlencoded",
        ),
        ({"body": "ü"}, "ü".encode(), "text/plain; charset=utf-8"),
        ({"body": "<a/>", "headers": {"content-type": "text/xml"}}, b"<a/>", "text/xml"),
        ({"json": [1]}, b"[1]", "application/json"),
        ({}, b"", None),
    ],
)
async def test_what_a_body_can_be(hook, given, sent, content_type):
    await to_the_end(HttpRequest(url=hook.url, method="PUT", **given))
    [(_, _, headers, body)] = hook.requests
    assert (body, headers.get("content-type")) == (sent, content_type)


def test_what_a_name_holds_does_not_change_the_address(project, hook, monkeypatch):
    monkeypatch.setenv("KEY", "x&y")
    query = {"name": "{{ file.name }}", "key": {"secret": "${env:KEY}"}}
    send = step(url=f"{hook.url}/a?b=c", query=query)
    made = project({"rules.yaml": rules(send)}).drop("inbox/1&admin=yes #ü?.jpg").run()
    made.assert_success()
    [(_, path, _, _)] = hook.requests
    assert path == "/a?b=c&name=1%26admin%3Dyes+%23%C3%BC%3F.jpg&key=x%26y"


@pytest.mark.parametrize(
    ("given", "told"),
    [
        ({}, "'url' is missing"),
        ({"url": "${env:PATH}"}, "does not look up a secret here"),
        ({"url": "http://a/", "method": "POST", "form": {}, "body": ""}, "one of json, form and"),
        ({"url": "http://a/", "body": "x"}, "GET sends nothing along"),
        (
            {"url": "http://a/", "headers": {"X": {"secret": "plain"}}},
            "must not stand in a rules file",
        ),
        ({"url": {"secret": "${env:PATH}/{{ file.name }}"}}, "hold a template"),
        ({"url": "http://a/", "methud": "GET"}, "there is no 'methud'"),
    ],
)
def test_what_makes_no_sense_is_told_at_once(project, given, told):
    made = project({"rules.yaml": rules(step(**given))})
    with pytest.raises(ConfigError, match=told):
        made.run()


@pytest.mark.anyio
async def test_an_address_that_is_none_is_dead():
    outcome = await to_the_end(HttpRequest(url="example.org/x"))
    assert (outcome.kind, outcome.detail) == (
        DEAD,
        "'example.org/x' is no URL of http:// or https://",
    )


# --- secrets ---------------------------------------------------------------------------------


def test_secrets_reach_the_server_and_nothing_else(project, hook, monkeypatch, capsys):
    monkeypatch.setenv("TOKEN", "open-sesame-2002")
    monkeypatch.setenv("HOOK", f"{hook.url}/hooks/abracadabra-3003?key=k")
    hook.answer(403, b"open-sesame-2002 is not welcome at /hooks/abracadabra-3003")
    headers = {"Authorization": {"secret": "Bearer ${env:TOKEN}"}, "X": "y"}
    send = step(url={"secret": "${env:HOOK}"}, method="POST", headers=headers)
    made = project({"rules.yaml": rules(send)}).drop("inbox/a.jpg").run()
    [(_, path, headers, _)] = hook.requests
    assert path == "/hooks/abracadabra-3003?key=k"
    assert headers["authorization"] == "Bearer open-sesame-2002"
    [letter] = made.dead_letters
    assert letter.detail.startswith(
        "POST a secret address → 403 Forbidden: [hidden] is not welcome"
    )
    kept = b"".join(file.read_bytes() for file in made.state_dir.iterdir())
    told = capsys.readouterr()
    assert b"sesame" not in kept
    assert "sesame" not in told.out + told.err


@pytest.mark.anyio
async def test_an_address_that_is_a_secret_is_in_no_error(monkeypatch):
    hook = Hook()
    hook.close()
    monkeypatch.setenv("HOOK", f"{hook.url}/hooks/hocus")
    outcome = await to_the_end(HttpRequest(url={"secret": "${env:HOOK}"}))
    assert outcome.kind is RETRY
    assert outcome.detail.startswith("a secret address cannot be reached")


def test_what_a_template_yields_is_never_looked_up(project, hook, monkeypatch):
    monkeypatch.setenv("TOKEN", "open-sesame-4004")
    send = step(
        url=f"{hook.url}/", method="POST", headers={"X": "{{ file.name }}"}, body="{{ file.name }}"
    )
    made = project({"rules.yaml": rules(send)}).drop("inbox/${env:TOKEN}.jpg").run()
    made.assert_success()
    [(_, _, headers, body)] = hook.requests
    assert headers["x"] == "${env:TOKEN}.jpg"
    assert body == b"${env:TOKEN}.jpg"


# --- what an answer means --------------------------------------------------------------------


@pytest.mark.anyio
@pytest.mark.parametrize(
    ("given", "status", "kind"),
    [
        ({}, 200, DONE),
        ({}, 204, DONE),
        ({}, 404, DEAD),
        ({"ok": [200, 404]}, 404, DONE),
        ({"ok": [200]}, 204, DEAD),
        ({}, 500, RETRY),
        ({}, 429, RETRY),
        ({"method": "POST"}, 429, RETRY),
        ({"method": "POST"}, 503, RETRY),
        ({"method": "POST"}, 500, DEAD),
        ({"method": "POST"}, 504, DEAD),
        ({"method": "POST", "if_interrupted": "repeat"}, 500, RETRY),
        ({"method": "POST", "if_interrupted": "repeat"}, 400, DEAD),
        ({"method": "POST", "ok": [500]}, 500, DONE),
        ({"method": "HEAD"}, 502, RETRY),
    ],
)
async def test_what_a_status_means(hook, given, status, kind):
    hook.answer(status)
    outcome = await to_the_end(HttpRequest(url=hook.url, **given))
    assert outcome.kind is kind
    assert len(hook.requests) == 1


@pytest.mark.anyio
async def test_a_server_may_say_how_long_to_wait_but_not_for_ever(hook):
    hook.answer(503, Retry_After=77)
    hook.answer(429, Retry_After=10**9)
    hook.answer(429, Retry_After="Wed, 21 Oct 2026 07:28:00 GMT")
    waits = [(await to_the_end(HttpRequest(url=hook.url))).delay_seconds for _ in range(3)]
    assert waits == [77, 3600, 5]


@pytest.mark.anyio
async def test_an_answer_is_kept_up_to_a_size(hook):
    hook.answer(200, b"1" * KEPT_BYTES)
    hook.answer(200, b"1" * (KEPT_BYTES + 1))
    hook.answer(200, "grün".encode("latin-1"), Content_Type="text/plain; charset=ISO-8859-1")
    hook.answer(200, b"x\xff", Content_Type="text/plain; charset=nonsense")
    whole, cut, latin, odd = [
        (await to_the_end(HttpRequest(url=hook.url))).values for _ in range(4)
    ]
    assert len(cut["text"]) == len(whole["text"]) == KEPT_BYTES
    assert "json" not in cut
    assert latin["text"] == "grün"
    assert odd["text"] == "x\ufffd"


@pytest.mark.anyio
async def test_a_redirected_post_is_not_taken_for_done(hook):
    hook.answer(302, Location="/elsewhere")
    outcome = await to_the_end(HttpRequest(url=hook.url, method="POST"))
    assert outcome.kind is DEAD
    assert "it was redirected, and is not sent again elsewhere" in outcome.detail
    hook.answer(302, Location="/elsewhere")
    assert (await to_the_end(HttpRequest(url=hook.url))).kind is DONE


# --- once ------------------------------------------------------------------------------------


@pytest.mark.anyio
@pytest.mark.parametrize(
    ("given", "kind"),
    [
        ({"method": "GET"}, RETRY),
        ({"method": "POST"}, DEAD),
        ({"method": "POST", "if_interrupted": "repeat"}, RETRY),
    ],
)
async def test_an_answer_that_was_lost_may_mean_that_it_was_done(hook, given, kind):
    hook.answer(None)
    outcome = await to_the_end(HttpRequest(url=hook.url, **given))
    assert outcome.kind is kind
    assert ("whether it was done, nobody knows" in outcome.detail) is (kind is DEAD)


@pytest.mark.anyio
async def test_what_never_left_is_tried_again():
    hook = Hook()
    hook.close()
    outcome = await to_the_end(HttpRequest(url=hook.url, method="POST"))
    assert outcome.kind is RETRY


@pytest.mark.anyio
async def test_each_repetition_of_a_step_has_the_same_key_and_every_other_another(hook):
    action = HttpRequest(url=hook.url, method="POST")
    for job_id in (1, 1, 2):
        await to_the_end(action, job_id=job_id)
    await to_the_end(action, data={"other": 1}, job_id=1)
    await to_the_end(HttpRequest(url=hook.url))
    own = HttpRequest(url=hook.url, method="POST", headers={"idempotency-key": "mine"})
    await to_the_end(own)
    keys = [headers.get("idempotency-key") for _, _, headers, _ in hook.requests]
    assert keys[0] == keys[1]
    assert len({*keys[1:4]}) == 3
    assert keys[4:] == [None, "mine"]


def test_stopped_while_a_post_is_under_way_it_is_not_sent_again(project, hook):
    hook.held.clear()
    made = project({"rules.yaml": rules(step(url=hook.url, method="POST", body="pay"))})
    made.drop("inbox/a.jpg").run(until=lambda _: bool(hook.requests))
    hook.held.set()
    made.run(jobs=1)
    assert made.job("inbox/a.jpg").state is JobState.DEAD
    assert len(hook.requests) == 1


def test_stopped_while_a_get_is_under_way_it_is_sent_again(project, hook):
    hook.held.clear()
    made = project({"rules.yaml": rules(step(url=hook.url))})
    made.drop("inbox/a.jpg").run(until=lambda _: bool(hook.requests))
    hook.held.set()
    made.run(jobs=1).assert_success()
    assert len(hook.requests) == 2


@pytest.mark.anyio
async def test_planning_says_what_would_be_sent_and_sends_nothing(hook):
    calls = [
        call_of(HttpRequest(url=f"{hook.url}/a?key=hocus", method="POST")),
        call_of(HttpRequest(url=f"http://me:hocus@127.0.0.1:{hook.port}/b")),
        call_of(HttpRequest(url={"secret": "${env:HOOK}"})),
        call_of(HttpRequest(url="http://[")),
    ]
    plans = await HttpRequest.plan(calls)
    assert [(p.detail, p.changes) for p in plans] == [
        (f"would send POST to {hook.url}/a", True),
        (f"would send GET to {hook.url}/b", False),
        ("would send GET to a secret address", False),
        ("would send GET to an address that is none", False),
    ]
    assert hook.requests == []
