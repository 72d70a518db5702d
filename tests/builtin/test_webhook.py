from __future__ import annotations

import hashlib
import hmac
import json
import logging
import socket
from contextlib import asynccontextmanager
from pathlib import Path

import anyio
import anyio.lowlevel
import httpx
import pytest
from anyio import to_thread
from scheduling import Context, Memory

from hydrusd.builtin.triggers import _listening
from hydrusd.builtin.triggers.webhook import AGAIN_SECONDS, Webhook
from hydrusd.clock import ManualClock
from hydrusd.errors import ConfigError, PermanentError
from hydrusd.model import JobState

pytestmark = pytest.mark.anyio

SECRET = "correct-horse-battery-staple"
BEARER = {"Authorization": f"Bearer {SECRET}"}
HASH = "AB" * 32


@pytest.fixture(autouse=True)
def secret(monkeypatch):
    monkeypatch.setenv("HOOK_SECRET", SECRET)


@pytest.fixture
def port():
    with socket.socket() as found:
        found.bind(("127.0.0.1", 0))
        return found.getsockname()[1]


def hook(port, **parameters):
    given = {"path": "/import", "port": port, "secret": "${env:HOOK_SECRET}"} | parameters
    return Webhook(**{name: value for name, value in given.items() if value is not None})


async def until(condition):
    with anyio.fail_after(10):
        while not condition():  # noqa: ASYNC110 - what is waited for is no event
            await anyio.sleep(0.002)


@asynccontextmanager
async def running(*triggers, clock=None):
    """Run triggers; give their contexts."""
    contexts = [Context(clock or ManualClock(), Memory()) for _ in triggers]
    async with anyio.create_task_group() as tasks:
        for trigger, context in zip(triggers, contexts, strict=True):
            tasks.start_soon(trigger.run, context)
        await until(lambda: all(context.told for context in contexts))
        yield contexts
        tasks.cancel_scope.cancel()


@asynccontextmanager
async def client(port):
    async with httpx.AsyncClient(base_url=f"http://127.0.0.1:{port}", trust_env=False) as made:
        yield made


async def post(port, path="/import", **request):
    async with client(port) as to:
        return await to.post(path, **request)


def seen(context):
    return [dict(event.data) for event in context.memory.fired]


# --- what is taken -----------------------------------------------------------------------


async def test_json_with_what_has_a_meaning(port):
    sent = {"hash": HASH, "hashes": [HASH, "cd" * 32], "url": "https://a.example/b", "n": [1.5]}
    async with running(hook(port)) as [context]:
        answer = await post(port, "/import?tag=a&tag=b&c=", json=sent, headers=BEARER)
    assert answer.status_code == 202
    [event] = context.memory.fired
    assert answer.json() == {"event": event.key}
    assert event.key.startswith(f"127.0.0.1:{port}/import ")
    assert event.data == {
        "webhook": {"path": "/import", "query": {"tag": ["a", "b"], "c": ""}, "json": sent},
        "hash": HASH.lower(),
        "hashes": [HASH.lower(), "cd" * 32],
        "url": "https://a.example/b",
    }
    assert context.told == [("working", f"listening at http://127.0.0.1:{port}/import")]


@pytest.mark.parametrize(
    "sent",
    [
        {"hash": "ab", "hashes": [HASH, 1], "url": "ftp://a.example/b"},
        {"hash": HASH + "0", "hashes": [], "url": "https:///b"},
        {"hash": [HASH], "hashes": HASH, "url": "https://a.example/ b"},
        {"hash": None, "hashes": {}, "url": "http://[b"},
        [HASH],
        "text",
    ],
    ids=str,
)
async def test_what_is_not_what_its_name_says_has_no_meaning(sent, port):
    async with running(hook(port)) as [context]:
        assert (await post(port, json=sent, headers=BEARER)).status_code == 202
    assert seen(context) == [{"webhook": {"path": "/import", "query": {}, "json": sent}}]


async def test_forms_and_text(port):
    async with running(hook(port)) as [context]:
        await post(port, data={"url": "http://a.example/", "t": ["a", "b"]}, headers=BEARER)
        text = {"Content-Type": "text/plain; charset=utf-8"}
        await post(port, content="grüß dich".encode(), headers=BEARER | text)
        await post(port, headers={"X-Hydrusd-Secret": SECRET})
    form, text, nothing = seen(context)
    assert form["webhook"]["form"] == {"url": "http://a.example/", "t": ["a", "b"]}
    assert form["url"] == "http://a.example/"
    assert text["webhook"]["text"] == "grüß dich"
    assert nothing["webhook"]["text"] == ""


async def test_the_same_key_twice_happens_once(port):
    async with running(hook(port)) as [context]:
        answers = [
            await post(port, json=n, headers=BEARER | {"Idempotency-Key": key})
            for n, key in enumerate("aab")
        ]
        await post(port, json=3, headers=BEARER)
        await post(port, json=3, headers=BEARER)
    assert [answer.status_code for answer in answers] == [202, 202, 202]
    assert answers[0].json() == answers[1].json() == {"event": f"127.0.0.1:{port}/import a"}
    assert [data["webhook"]["json"] for data in seen(context)] == [0, 2, 3, 3]


async def test_the_sender_hears_202_only_when_it_is_stored(port):
    async with running(hook(port)) as [context]:
        stored = anyio.Event()
        emit = context.emit

        async def slow(events, *, remember=None):
            await stored.wait()
            await emit(events)

        context.emit = slow
        answers = []

        async def send():
            answers.append(await post(port, json=1, headers=BEARER))

        async with anyio.create_task_group() as tasks:
            tasks.start_soon(send)
            await post(port, json=2)  # another request meanwhile goes its own way
            assert not answers
            stored.set()
        assert answers[0].status_code == 202
        assert len(seen(context)) == 1


async def test_what_cannot_be_stored_is_not_confirmed(port, caplog):
    async with running(hook(port)) as [context]:
        emit = context.emit

        async def fail(events, *, remember=None):
            raise OSError("the disk is full")

        context.emit = fail
        answer = await post(port, json=1, headers=BEARER | {"Idempotency-Key": "a"})
        assert answer.status_code == 500
        context.emit = emit
        answer = await post(port, json=1, headers=BEARER | {"Idempotency-Key": "a"})
        assert answer.status_code == 202
    assert len(seen(context)) == 1
    assert "the disk is full" in caplog.text
    assert SECRET not in caplog.text


# --- what is refused ---------------------------------------------------------------------


async def test_without_the_secret_nothing_is_taken(port):
    async with running(hook(port)) as [context]:
        for headers in (
            {},
            {"Authorization": f"Bearer {SECRET}x"},
            {"Authorization": f"Bearer {SECRET[:-1]}"},
            {"Authorization": f"Basic {SECRET}"},
            {"Authorization": SECRET},
            {"X-Hydrusd-Secret": ""},
            {"Cookie": f"secret={SECRET}"},
            {"X-Hub-Signature-256": "sha256=" + "0" * 64},
        ):
            answer = await post(port, f"/import?secret={SECRET}", json={}, headers=headers)
            assert answer.status_code == 401, headers
    assert not seen(context)


async def test_what_a_page_in_a_browser_can_send_is_refused(port):
    page = {"Origin": "https://evil.example", "Content-Type": "text/plain"}
    asks = page | {
        "Access-Control-Request-Method": "POST",
        "Access-Control-Request-Headers": "authorization",
    }
    async with running(hook(port)) as [context], client(port) as to:
        simple = await to.post("/import", content="{}", headers=page)
        preflight = await to.options("/import", headers=asks)
    assert simple.status_code == 401
    assert preflight.status_code == 405
    for answer in (simple, preflight):
        assert not [name for name in answer.headers if name.startswith("access-control")]
    assert not seen(context)


async def test_only_post(port):
    async with running(hook(port)) as [context], client(port) as to:
        for method in ("GET", "HEAD", "PUT", "DELETE", "OPTIONS"):
            answer = await to.request(method, "/import", headers=BEARER)
            assert answer.status_code == 405
            assert answer.headers["Allow"] == "POST"
            assert answer.headers["Connection"] == "close"
    assert not seen(context)


async def test_another_path_is_none(port):
    async with running(hook(port)) as [context]:
        for path in ("/", "/import/", "/Import", "/imports"):
            assert (await post(port, path, json={}, headers=BEARER)).status_code == 404
        # What stands in Host is no part of it.
        odd = BEARER | {"Host": "a.example/import?"}
        assert (await post(port, "/x", json={}, headers=odd)).status_code == 404
    assert not seen(context)


JSON = {"Content-Type": "application/json"}
FORM = {"Content-Type": "application/x-www-form-urlencoded"}


UNREADABLE = [
    (b"{", JSON, 400),
    (b"", JSON, 400),
    (b"\xff", JSON, 400),
    (b"[NaN]", JSON, 400),
    (b"[1e999]", JSON, 400),
    (b"[" * 30_000, JSON, 400),
    (b"[" + b"1" * 5000 + b"]", JSON, 400),
    (b"\xff", {"Content-Type": "text/plain"}, 400),
    (b"&".join(b"a=1" for _ in range(300)), FORM, 400),
    (b"{}", {}, 415),
    (b"<a/>", {"Content-Type": "application/xml"}, 415),
    (b"--a--", {"Content-Type": "multipart/form-data; boundary=a"}, 415),
    (b"{}", JSON | {"Idempotency-Key": "a b"}, 400),
    (b"{}", JSON | {"Idempotency-Key": ""}, 400),
    (b"{}", JSON | {"Idempotency-Key": "k" * 201}, 400),
]


async def test_what_cannot_be_read_is_refused(port):
    async with running(hook(port)) as [context]:
        for content, headers, status in UNREADABLE:
            answer = await post(port, content=content, headers=BEARER | headers)
            assert answer.status_code == status, content[:20]
            assert answer.json()["error"]
        assert (await post(port, json=1, headers=BEARER)).status_code == 202
    assert len(seen(context)) == 1


async def test_what_is_too_large_is_not_read(port):
    async def drip():
        yield b'["' + b"a" * 600
        yield b"a" * 600 + b'"]'

    async with running(hook(port, max_size="1 KB")) as [context]:
        fits = json.dumps("a" * 1022).encode()
        for content, status in ((fits, 202), (fits + b" ", 413), (drip(), 413)):
            answer = await post(port, content=content, headers=BEARER | JSON)
            assert answer.status_code == status
    assert len(seen(context)) == 1


async def test_too_many_are_told_when_to_come_again(port):
    clock = ManualClock()
    async with running(hook(port, per_minute=2), clock=clock) as [context]:
        for _ in range(5):
            assert (await post(port, json=1)).status_code == 401  # these do not use it up
        assert (await post(port, json=1, headers=BEARER)).status_code == 202
        await clock.advance(20.5)
        assert (await post(port, json=1, headers=BEARER)).status_code == 202
        answer = await post(port, json=1, headers=BEARER)
        assert answer.status_code == 429
        assert answer.headers["Retry-After"] == "40"
        await clock.advance(40)
        assert (await post(port, json=1, headers=BEARER)).status_code == 202
        assert (await post(port, json=1, headers=BEARER)).status_code == 429
    assert len(seen(context)) == 3


# --- signatures --------------------------------------------------------------------------


async def test_signed_messages(port):
    body = b'{"action": "published"}'
    signature = hmac.new(SECRET.encode(), body, hashlib.sha256).hexdigest()
    signed = hook(port, secret=None, hmac="${env:HOOK_SECRET}", key_header="X-GitHub-Delivery")
    async with running(signed) as [context]:
        for given, content, status in (
            (f"sha256={signature}", body, 202),
            (signature.upper(), body, 202),
            (f"sha256={signature}", body + b" ", 401),
            (f"sha256={signature[:-1]}", body, 401),
            (f"sha1={signature}", body, 401),
            (SECRET, body, 401),
        ):
            headers = JSON | {"X-Hub-Signature-256": given, "X-GitHub-Delivery": "d-1"}
            assert (await post(port, content=content, headers=headers)).status_code == status
        assert (await post(port, content=body, headers=JSON | BEARER)).status_code == 401
    assert [event.key for event in context.memory.fired] == [f"127.0.0.1:{port}/import d-1"]


async def test_a_header_of_ones_own(port):
    signature = hmac.new(SECRET.encode(), b"", hashlib.sha256).hexdigest()
    signed = hook(port, secret=None, hmac="${env:HOOK_SECRET}", hmac_header="X-Sign")
    async with running(signed):
        assert (await post(port, headers={"x-sign": signature})).status_code == 202
        assert (await post(port, headers={"X-Hub-Signature-256": signature})).status_code == 401


# --- the secret --------------------------------------------------------------------------


async def test_a_secret_that_is_changed_or_gone(port, tmp_path):
    file = tmp_path / "secret"
    file.write_text("the first of the secrets")
    async with running(hook(port, secret=f"${{file:{file.as_posix()}}}")) as [context]:

        async def status(secret):
            return (await post(port, headers={"X-Hydrusd-Secret": secret})).status_code

        assert await status("the first of the secrets") == 202
        await to_thread.run_sync(file.write_text, "the second of the secrets")
        assert await status("the first of the secrets") == 401
        assert await status("the second of the secrets") == 202
        await to_thread.run_sync(file.unlink)
        assert await status("the second of the secrets") == 503
        assert await status("") == 503
    [warning] = context.warnings
    assert "there is no file" in warning
    assert Path(file).name in warning


async def test_a_short_secret_opens_nothing(port, monkeypatch):
    monkeypatch.setenv("HOOK_SECRET", "fifteen-letters")
    with pytest.raises(PermanentError, match="fewer than 16 characters"):
        await hook(port).run(Context(ManualClock(), Memory()))


async def test_secrets_are_nowhere_to_be_seen(port, caplog, capfd):
    caplog.set_level(logging.DEBUG)
    trigger = hook(port)
    async with running(trigger) as [context]:
        await post(port, json={}, headers=BEARER)
        await post(port, json={}, headers={"X-Hydrusd-Secret": f"{SECRET}x"})
    shown = [repr(trigger), trigger.model_dump_json(), *map(str, context.told)]
    shown += [json.dumps(data) for data in seen(context)]
    shown += [r.getMessage() for r in caplog.records if not r.name.startswith(("http", "asyncio"))]
    out, err = capfd.readouterr()
    assert SECRET not in "".join([*shown, out, err])


# --- the port ----------------------------------------------------------------------------


async def test_rules_share_a_port(port):
    async with running(hook(port), hook(port, path="/b", max_size="2 KB")) as [first, second]:
        assert (await post(port, "/b", json="b", headers=BEARER)).status_code == 202
        assert (await post(port, json="a", headers=BEARER)).status_code == 202
    assert [d["webhook"]["json"] for d in seen(first)] == ["a"]
    assert [d["webhook"]["json"] for d in seen(second)] == ["b"]


async def test_one_leaves_and_the_other_stays_and_then_the_port_is_free(port):
    async with running(hook(port)):
        async with running(hook(port, path="/b")):
            assert (await post(port, "/b", headers=BEARER)).status_code == 202
        assert (await post(port, "/b", headers=BEARER)).status_code == 404
        assert (await post(port, headers=BEARER)).status_code == 202
    with socket.socket() as free:
        assert free.connect_ex(("127.0.0.1", port)) != 0
    async with running(hook(port)):
        assert (await post(port, headers=BEARER)).status_code == 202


async def test_a_port_in_use_is_waited_for(port):
    clock = ManualClock()
    with socket.socket() as other:
        other.bind(("127.0.0.1", port))
        other.listen()
        async with running(hook(port), clock=clock) as [context]:
            state, reason = context.told[0]
            assert state == "waiting"
            assert f"cannot listen on port {port} of 127.0.0.1: " in reason
            other.close()
            await clock.advance(AGAIN_SECONDS)
            await until(lambda: len(context.told) == 2)
            assert context.told[1][0] == "working"
            assert (await post(port, headers=BEARER)).status_code == 202


async def test_a_path_that_another_rule_has_is_waited_for(port):
    clock = ManualClock()
    async with running(hook(port, per_minute=5), clock=clock) as [second]:
        async with running(hook(port), clock=clock) as [first]:
            assert first.told == [
                ("waiting", "another rule, with other parameters, listens at /import")
            ]
            assert (await post(port, headers=BEARER)).status_code == 202
        assert len(seen(second)) == 1


async def test_what_is_under_way_when_it_stops_is_stored(port):
    stored = anyio.Event()
    answers = []
    async with anyio.create_task_group() as sender, running(hook(port)) as [context]:
        emit, asked = context.emit, anyio.Event()

        async def slow(events, *, remember=None):
            asked.set()
            await stored.wait()
            await emit(events)

        context.emit = slow

        async def send():
            answers.append(await post(port, json=1, headers=BEARER))

        async def store():
            await anyio.sleep(0.05)
            stored.set()

        sender.start_soon(send)
        await asked.wait()
        sender.start_soon(store)
    assert answers[0].status_code == 202
    assert len(seen(context)) == 1


# --- senders that mean no good -----------------------------------------------------------


def talk(port, *parts):
    """Send parts of a request and read until the other side ends it."""
    received = b""
    with socket.create_connection(("127.0.0.1", port), timeout=10) as sender:
        try:
            for part in parts:
                sender.sendall(part)
            while more := sender.recv(4096):
                received += more
        except ConnectionError:
            pass
    return received


@pytest.mark.parametrize(
    "parts",
    [
        (),
        (b"POST /import HTTP/1.1\r\nHost: a\r\n",),
        (b"POST /import HTTP/1.1\r\nHost: a\r\nContent-Length: 10\r\n\r\n", b"abc"),
    ],
    ids=["silent", "half a head", "half a body"],
)
async def test_who_takes_too_long_is_cut_off(parts, port, monkeypatch):
    monkeypatch.setattr(_listening, "REQUEST_SECONDS", 0.2)
    async with running(hook(port)) as [context]:
        assert await to_thread.run_sync(talk, port, *parts) == b""
        assert (await post(port, headers=BEARER)).status_code == 202
    assert len(seen(context)) == 1


async def test_those_who_are_too_many_are_cut_off(port, monkeypatch):
    monkeypatch.setattr(_listening, "MOST_CONNECTIONS", 3)
    async with running(hook(port)):
        idle = [socket.create_connection(("127.0.0.1", port)) for _ in range(3)]
        await anyio.sleep(0.05)
        assert await to_thread.run_sync(talk, port) == b""
        for each in idle:
            each.close()
        await anyio.sleep(0.05)
        assert (await post(port, headers=BEARER)).status_code == 202


async def test_a_head_without_end_and_what_is_no_http(port):
    async with running(hook(port)):
        long = b"POST /import HTTP/1.1\r\nHost: a\r\nX: " + b"a" * 100_000
        for parts in ((long,), (b"\x16\x03\x01\x00\xa5\x01\r\n\r\n",)):
            answer = await to_thread.run_sync(talk, port, *parts)
            assert answer.startswith((b"HTTP/1.1 400 ", b"HTTP/1.1 431 ")) or not answer
        assert (await post(port, headers=BEARER)).status_code == 202


async def test_one_request_for_each_connection(port):
    request = (
        f"POST /import HTTP/1.1\r\nHost: a\r\nContent-Length: 0\r\n"
        f"Authorization: Bearer {SECRET}\r\n\r\n"
    ).encode()
    async with running(hook(port)) as [context]:
        answer = await to_thread.run_sync(talk, port, request + request)
    assert answer.count(b"HTTP/1.1 202 ") == 1
    assert len(seen(context)) == 1


async def test_an_upgrade_is_not_made(port):
    upgrade = {"Connection": "Upgrade", "Upgrade": "websocket", "Sec-WebSocket-Key": "a"}
    async with running(hook(port)), client(port) as to:
        assert (await to.get("/import", headers=BEARER | upgrade)).status_code == 405


# --- what rules may say ------------------------------------------------------------------


@pytest.mark.parametrize(
    ("parameters", "problem"),
    [
        ("{path: /a}", "either a 'secret' or an 'hmac'; neither is given"),
        (
            "{path: /a, secret: '${env:HOOK_SECRET}', hmac: '${env:HOOK_SECRET}'}",
            "a webhook has either a 'secret' or an 'hmac'; both are given",
        ),
        ("{path: /a, secret: correct-horse-battery}", "a secret must not stand in a rules file"),
        ("{path: /a, secret: '${env:HOOK_SECRET_NOT}'}", "HOOK_SECRET_NOT is not set"),
        ("{secret: '${env:HOOK_SECRET}'}", "'path' is missing"),
        ("{path: import, secret: '${env:HOOK_SECRET}'}", "'path' must begin with /"),
        ("{path: '/a?b', secret: '${env:HOOK_SECRET}'}", "'path' must begin with /"),
        ("{path: /a, port: 0, secret: '${env:HOOK_SECRET}'}", "'port' must be at least 1"),
        (
            "{path: /a, host: 0.0.0.0, secret: '${env:HOOK_SECRET}'}",
            "other machines would reach 0.0.0.0; write 'allow_other_machines: true' if",
        ),
        ("{path: /a, host: '::', secret: '${env:HOOK_SECRET}'}", "other machines would reach ::"),
        ("{path: /a, host: a.example, secret: '${env:HOOK_SECRET}'}", "must be an address of"),
        ("{path: /a, max_size: 2 MB, secret: '${env:HOOK_SECRET}'}", "at most 1048576"),
        (
            "{path: /a, hmac_header: 'X Sign', hmac: '${env:HOOK_SECRET}'}",
            "'hmac_header' must be the name of a header",
        ),
    ],
)
async def test_what_is_wrong_with_the_parameters_is_said(parameters, problem, project):
    text = f"rules:\n- name: a\n  on:\n    webhook: {parameters}\n  do: [log: {{message: a}}]\n"
    with pytest.raises(ConfigError) as raised:
        project({"rules.yaml": text}).run()
    [found] = raised.value.problems
    assert problem in f"{found.message}; {found.hint}"
    assert "correct-horse" not in str(found)


async def test_addresses(port):
    assert hook(port, host="localhost").host == "127.0.0.1"
    assert hook(port, host="::1").host == "::1"
    assert hook(port, host="192.0.2.1", allow_other_machines=True).host == "192.0.2.1"


async def test_end_to_end_two_rules_of_the_same_parameters(project, port):
    on = f"{{webhook: {{path: /import, port: {port}, secret: '${{env:HOOK_SECRET}}'}}}}"
    made = project(
        {
            "rules.yaml": f"""
rules:
  - name: cats
    on: {on}
    if: webhook.json.kind == 'cat'
    do:
      - log: {{message: "{{{{ webhook.json.name }}}}"}}
  - name: all
    on: {on}
    do:
      - log: {{message: "{{{{ webhook.json.name }}}}"}}
"""
        }
    )

    async def send():
        async with client(port) as to:
            for n, kind in enumerate(("cat", "dog", "cat")):
                sent = {"kind": kind, "name": f"{kind} {n}"}
                headers = BEARER | {"Idempotency-Key": kind}
                while True:
                    try:
                        answer = await to.post("/import", json=sent, headers=headers)
                    except httpx.ConnectError:
                        await anyio.sleep(0.02)  # it has not started to listen
                    else:
                        break
                assert answer.status_code == 202

    async with anyio.create_task_group() as tasks:
        tasks.start_soon(send)
        await to_thread.run_sync(lambda: made.run(jobs=3))
    assert {job.state for job in made.jobs} == {JobState.DONE}
    told = sorted((job.rule, job.data["webhook"]["json"]["name"]) for job in made.jobs)
    assert told == [("all", "cat 0"), ("all", "dog 1"), ("cats", "cat 0")]
