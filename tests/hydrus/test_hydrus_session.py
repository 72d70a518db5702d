"""The session: bought once, renewed once, and its death as a sign of a restart."""

from __future__ import annotations

import anyio
import httpx
import pytest

from hydrusd.errors import AccessDenied, HydrusFailed, HydrusUnavailable
from hydrusd.hydrus import HydrusClient

pytestmark = pytest.mark.anyio

FRESH = "f" * 64


@pytest.fixture
def dead(era, network_of, reply):
    """What a client of the era says to a session key that it no longer knows."""
    return reply(419, network_of(era).recorded["bad_session"]["body"])


async def test_the_access_key_opens_the_session_and_goes_nowhere_else(
    network_of, client_of, era, access_key
):
    network = network_of(era)
    network.replays("add_tags")
    async with client_of(network) as client:
        await client.connect()
        await client.add_tags(["ab" * 32], {"my tags": ["a"]})
        await client.boot()
    session_key = network.recorded["session_key"]["body"]["session_key"]
    for asked in network.asked:
        has_access_key = "hydrus-client-api-access-key" in asked.headers
        assert has_access_key == (asked.path == "/session_key")
        keyless = asked.path in {"/session_key", "/api_version"}
        sent = asked.headers.get("hydrus-client-api-session-key")
        assert sent == (None if keyless else session_key)
        for key in (access_key, session_key):
            assert key not in asked.target
            assert key.encode() not in asked.body
    assert len(network.asked_for("/session_key")) == 1


async def test_every_request_names_hydrusd_and_asks_for_json(network, client_of):
    async with client_of(network) as client:
        await client.connect()
    for asked in network.asked:
        assert asked.headers["user-agent"].startswith("hydrusd/")
        assert "hydrus/" not in asked.headers["user-agent"]
        assert asked.headers["host"] == "127.0.0.1:45869"
        assert "cookie" not in asked.headers


async def test_a_dead_session_is_renewed_and_the_request_repeated_once(
    network_of, client_of, era, dead, reply
):
    network = network_of(era)
    async with client_of(network) as client:
        info = await client.connect()
        network.asked.clear()
        network.says("/session_key", reply(body={"session_key": FRESH}))
        network.says("/add_tags/add_tags", dead, reply())
        await client.add_tags(["ab" * 32], {"my tags": ["a"]})
        first, _, second = network.asked
        assert [asked.path for asked in network.asked] == [
            "/add_tags/add_tags",
            "/session_key",
            "/add_tags/add_tags",
        ]
        assert first.body == second.body
        assert second.headers["hydrus-client-api-session-key"] == FRESH
        # Before API 92 nothing else tells of a restart; from there on the client does.
        assert (await client.boot() == info.boot) == (era == 95)


@pytest.mark.parametrize(
    "answer",
    [
        {"error": "b'\\x12'", "exception_type": "KeyError", "status_code": 500},
        "It failed!\n\nTraceback (most recent call last):\n  File \"a.py\"\nKeyError: b'\\x12'\n",
        "Traceback (most recent call last):\n  in x\nbuiltins.KeyError: 1700000000\n\n",
    ],
    ids=["json", "text", "twisted"],
)
async def test_an_expired_session_may_show_as_a_key_error(network, client_of, reply, answer):
    async with client_of(network) as client:
        await client.connect()
        network.says("/manage_database/force_commit", reply(500, answer), reply())
        await client.force_commit()
        assert len(network.asked_for("/session_key")) == 2


async def test_other_failures_do_not_cost_the_session(network, client_of, reply):
    body = {"error": "KeyError was here", "exception_type": "ValueError", "status_code": 500}
    async with client_of(network) as client:
        await client.connect()
        network.says("/manage_database/force_commit", reply(500, body))
        with pytest.raises(HydrusFailed):
            await client.force_commit()
        assert len(network.asked_for("/session_key")) == 1
        assert len(network.asked_for("/manage_database/force_commit")) == 1


async def test_a_session_that_dies_again_at_once_is_a_failure_not_a_loop(
    network_of, client_of, era, dead
):
    network = network_of(era)
    async with client_of(network) as client:
        await client.connect()
        network.says("/add_tags/add_tags", dead)
        with pytest.raises(HydrusUnavailable) as caught:
            await client.add_tags(["ab" * 32], {"my tags": ["a"]})
    assert caught.value.status == 419
    assert not caught.value.outcome_unknown
    assert len(network.asked_for("/add_tags/add_tags")) == 2


async def test_many_tasks_that_meet_the_dead_session_renew_it_once(network, client_of, reply):
    def by_key(asked):
        return reply() if asked.headers["hydrus-client-api-session-key"] == FRESH else reply(419)

    async with client_of(network) as client:
        await client.connect()
        network.says("/session_key", reply(body={"session_key": FRESH}))
        network.says("/manage_database/force_commit", by_key)
        async with anyio.create_task_group() as tasks:
            for _ in range(20):
                tasks.start_soon(client.force_commit)
    assert len(network.asked_for("/session_key")) == 2  # connecting, and this once


async def test_a_session_unused_for_a_day_is_replaced_before_it_is_refused(
    network_of, client_of, clock, era
):
    network = network_of(era)
    async with client_of(network) as client:
        info = await client.connect()
        await clock.advance(22 * 3600)
        assert await client.boot() == info.boot
        assert len(network.asked_for("/session_key")) == 1
        await clock.advance(23.5 * 3600)
        assert (await client.boot() == info.boot) == (era == 95)
        assert len(network.asked_for("/session_key")) == 2


async def test_connecting_again_keeps_a_live_session(network_of, client_of, era):
    network = network_of(era)
    async with client_of(network) as client:
        first = await client.connect()
        assert await client.connect() == first
        assert await client.boot() == first.boot
    assert len(network.asked_for("/session_key")) == 1


async def test_connecting_again_after_a_restart_tells_another_boot(
    network_of, client_of, era, dead, reply
):
    network = network_of(era)
    async with client_of(network) as client:
        first = await client.connect()
        alive = reply(200, network.recorded["verify"]["body"])
        network.says("/verify_access_key", dead, alive)
        network.says("/client_info", reply(body={"boot_id": "another"}))
        second = await client.connect()
        assert second.boot != first.boot
        assert await client.boot() == second.boot


async def test_an_access_key_that_is_refused(network_of, client_of, era):
    network = network_of(era)
    network.replays("bad_key_unknown", at="/session_key")
    async with client_of(network) as client:
        with pytest.raises(AccessDenied, match="look whether it exists") as caught:
            await client.connect()
    assert caught.value.status == 403
    assert caught.value.path == "/session_key"


async def test_an_access_key_deleted_while_the_session_lived(network, client_of):
    async with client_of(network) as client:
        await client.connect()
        network.replays("bad_key_unknown", at="/manage_database/force_commit")
        with pytest.raises(AccessDenied):
            await client.force_commit()


@pytest.mark.parametrize("bad", ["", "0123", "g" * 64, "0" * 65, "ключ" * 16])
async def test_what_is_no_access_key_is_never_sent(network, bad):
    async with HydrusClient("http://127.0.0.1:45869", bad, transport=network) as client:
        with pytest.raises(AccessDenied, match="64 hexadecimal digits") as caught:
            await client.connect()
    assert not network.asked_for("/session_key")
    assert not bad or bad not in str(caught.value)


@pytest.mark.parametrize(
    "body", [{"session_key": None}, {"key": "x"}, "<html><body>Log in</body></html>", ""]
)
async def test_no_session_key_in_the_answer(network, client_of, reply, body):
    network.says("/session_key", reply(200, body))
    async with client_of(network) as client:
        with pytest.raises(HydrusFailed, match="no session key"):
            await client.connect()


async def test_a_write_whose_session_could_not_be_renewed_was_not_carried_out(
    network, client_of, reply
):
    async with client_of(network) as client:
        await client.connect()
        network.says("/manage_database/force_commit", reply(419))
        network.says("/session_key", httpx.ReadTimeout("slow"))
        with pytest.raises(HydrusUnavailable) as caught:
            await client.force_commit()
        assert caught.value.outcome_unknown is False
