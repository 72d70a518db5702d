"""Noticing cookies that will die: each once, in time, and without its value."""

from __future__ import annotations

import json
from datetime import datetime, timedelta

import anyio
import pytest

from hydrusd.builtin.triggers.cookie_expiring import CookieExpiring
from hydrusd.clock import ManualClock
from hydrusd.errors import HydrusUnavailable
from hydrusd.hydrus import Cookie

pytestmark = pytest.mark.anyio

START = ManualClock().now()
HOUR, DAY = 3600, 86_400
SECRET = "v4lue-nobody-may-see"


def at(days):
    return int((START + timedelta(days=days)).timestamp())


class Client:
    """A client that answers with the cookies of the second-level domain, sisters included."""

    def __init__(self):
        self.cookies = []
        self.away = False
        self.asked = 0

    async def get_cookies(self, domain):
        self.asked += 1
        if self.away:
            raise HydrusUnavailable("nobody is there")
        return self.cookies


class Context:
    """What the trigger sees of the engine."""

    def __init__(self):
        self.clock = ManualClock()
        self.client = Client()
        self.events = {}
        self.said = []

    async def emit(self, events, *, remember=None):
        for event in events:
            self.events.setdefault(event.key, event)

    def waiting(self, reason):
        self.said.append(reason)

    def working(self, detail=""):
        self.said.append("")


@pytest.fixture
async def watch():
    """Start a trigger on a manual clock."""
    async with anyio.create_task_group() as tasks:

        async def start(**config):
            context = Context()
            trigger = CookieExpiring.model_validate({"domains": "example.com", **config})
            tasks.start_soon(trigger.run, context)
            await context.clock.advance(0)
            return context

        yield start
        tasks.cancel_scope.cancel()


def names(context):
    return [event.data["cookie"]["name"] for event in context.events.values()]


async def test_a_cookie_is_noticed_when_its_time_has_come_and_once(watch):
    context = await watch(before="7d", every="6h")
    context.client.cookies = [Cookie("id", SECRET, ".example.com", expires=at(10) + 60)]
    await context.clock.advance(3 * DAY - HOUR)
    assert names(context) == []
    await context.clock.advance(8 * HOUR)
    [event] = context.events.values()
    assert event.data == {
        "cookie": {
            "domain": ".example.com",
            "name": "id",
            "path": "/",
            "expires": datetime.fromtimestamp(at(10) + 60, START.tzinfo).isoformat(),
            "days_left": 6,
        }
    }
    await context.clock.advance(20 * DAY)
    assert len(context.events) == 1
    context.client.cookies = [Cookie("id", SECRET, ".example.com", expires=at(25))]
    await context.clock.advance(7 * HOUR)
    assert len(context.events) == 2
    assert SECRET not in json.dumps([[e.key, e.data] for e in context.events.values()])


async def test_only_those_that_matter(watch):
    context = await watch(domains=["example.com", "shop.example.org"], names=["id"])
    context.client.cookies = [
        Cookie("id", "1", "www.example.com", expires=at(1)),
        Cookie("ad", "1", ".example.com", expires=at(1)),
        Cookie("id", "1", ".example.org", expires=at(1)),
        Cookie("id", "1", "notexample.com", expires=at(1)),
        Cookie("id", "1", ".example.com"),
        Cookie("id", "1", ".example.com", "/later", at(100)),
        Cookie("id", "1", "shop.example.org", expires=at(1)),
    ]
    await context.clock.advance(7 * HOUR)
    found = [event.data["cookie"]["domain"] for event in context.events.values()]
    assert found == ["www.example.com", "shop.example.org"]


async def test_one_that_is_dead_already_is_noticed_too(watch):
    context = await watch()
    context.client.cookies = [Cookie("id", "1", ".example.com", expires=at(-3))]
    await context.clock.advance(7 * HOUR)
    [event] = context.events.values()
    assert event.data["cookie"]["days_left"] == 0


async def test_dates_beyond_all_calendars(watch):
    context = await watch(before="3660d")
    context.client.cookies = [
        Cookie("a", "1", ".example.com", expires=10**15),
        Cookie("b", "1", ".example.com", expires=-5),
    ]
    await context.clock.advance(7 * HOUR)
    assert names(context) == ["b"]


async def test_two_rules_with_other_times_are_both_told():
    cookie = Cookie("id", "1", ".example.com", expires=at(1))
    keys = {
        CookieExpiring.model_validate({"domains": "e.com", "before": before})._key(cookie)
        for before in ("7d", "1d")
    }
    assert len(keys) == 2


async def test_while_the_client_is_away_it_says_so_once_and_looks_again_soon(watch):
    context = await watch(every="6h")
    context.client.away = True
    context.client.cookies = [Cookie("id", "1", ".example.com", expires=at(1))]
    await context.clock.advance(12 * HOUR)
    assert [said for said in context.said if said] == ["nobody is there"]
    assert context.client.asked > 300
    context.client.away = False
    await context.clock.advance(60)
    assert names(context) == ["id"]
    assert context.said[-1] == ""


RULES = """
rules:
  - name: warn
    on: {cookie_expiring: {domains: example.com, names: [id], before: 30d, every: 1m}}
    if: cookie.days_left < 25
    do:
      - set_headers: {headers: {X-Dies: "{{ cookie.name }} {{ cookie.days_left }}"}, domain: e.com}
"""


def test_in_a_rule_once_even_over_restarts(project):
    made = project({"rules.yaml": RULES})
    network = made.simulator._client.network
    soon = int(datetime.now(START.tzinfo).timestamp()) + 20 * DAY + HOUR
    network.set_cookie(("id", SECRET, ".example.com", "/", soon))
    network.set_cookie(("ad", "x", ".example.com", "/", soon))
    made.run(jobs=1).assert_success()
    assert network.headers("e.com")["X-Dies"].value == "id 20"
    made.run(jobs=1)
    network.set_cookie(("id", SECRET, ".example.com", "/", soon + 60))
    made.run(jobs=2).assert_success()
    assert len(made.jobs) == 2
    kept = b"".join(path.read_bytes() for path in made.state_dir.rglob("*") if path.is_file())
    assert SECRET.encode() not in kept
