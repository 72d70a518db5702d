"""Cookies and headers: nothing bad is sent, nothing secret is shown."""

from __future__ import annotations

import json
import math
import traceback
from pathlib import Path

import anyio
import pytest
from hypothesis import HealthCheck, given, settings, strategies as st

from hydrusd import redaction
from hydrusd.errors import HydrusFailed, PermissionMissing, RequestRejected, VersionTooOld
from hydrusd.hydrus import Cookie, Header, HeaderApproval, Permission

pytestmark = pytest.mark.anyio

SECRET = "s3cr3t-c00kie-value"
GET, SET = "/manage_cookies/get_cookies", "/manage_cookies/set_cookies"
GET_HEADERS, SET_HEADERS = "/manage_headers/get_headers", "/manage_headers/set_headers"

RECORDED = Path(__file__).parent / "recorded"
ENTRIES = [
    pytest.param(int(path.stem[1:3]), entry, id=f"{path.stem}-{entry['name']}")
    for path in sorted(RECORDED.glob("*.json"))
    for entry in json.loads(path.read_text("utf-8"))
    if entry["path"].startswith(("/manage_cookies/", "/manage_headers/"))
]
# What hydrusd never sends: the row is refused here, in the same spirit.
NEVER_SENT = {"get_cookies_no_dot", "set_cookies_bad", "set_cookies_float"}


@pytest.mark.parametrize(("era", "entry"), ENTRIES)
async def test_every_recorded_answer(speaking, reply, era, entry):
    client, network = await speaking(era)
    network.replays(entry["name"])
    asked, body = next(iter(entry["request"].values()), {}), entry["body"]
    route = entry["path"].rpartition("/")[2]
    if entry["name"] in NEVER_SENT:
        assert entry["status"] == 400
        with pytest.raises(RequestRejected):
            await client.get_cookies("localhost")
    elif entry["name"] == "set_cookies_clear_absent":
        network.says(GET, reply(body={"cookies": [["zz", "1", ".nothere.com", "/", None]]}))
        with pytest.raises(HydrusFailed, match="KeyError"):
            await client.set_cookies([Cookie("zz", None, ".nothere.com")])
    elif route == "get_cookies":
        found = await client.get_cookies(asked["domain"])
        assert found == [Cookie(*row) for row in body["cookies"]]
    elif route == "set_cookies":
        network.replays("get_cookies2")
        await client.set_cookies([Cookie(*row) for row in asked["cookies"]])
        assert network.asked[-1].json == asked
    elif route == "get_headers":
        found = await client.get_headers(asked.get("domain"))
        assert found == {name: Header(**header) for name, header in body["headers"].items()}
    elif route == "set_headers":
        values = {name: header["value"] for name, header in asked["headers"].items()}
        await client.set_headers(values, asked["domain"])
        assert network.asked[-1].json == asked
    else:
        assert route == "set_user_agent"
        await client.set_user_agent(asked["user-agent"])
        assert network.asked[-1].json == asked


def test_recordings_are_found():
    assert {param.values[0] for param in ENTRIES} == {11, 32, 95}
    assert {param.values[1]["name"] for param in ENTRIES} >= NEVER_SENT


@pytest.mark.parametrize(
    ("given", "sent"),
    [(None, None), (0, None), (0.0, None), (0.9, None), (1999999999.5, 1999999999), (-5, -5)],
)
def test_expiry(given, sent):
    cookie = Cookie("a", "1", ".example.com", expires=given)
    assert cookie.expires == sent
    assert sent is None or type(cookie.expires) is int


@pytest.mark.parametrize("expires", [True, False, math.nan, math.inf, "1999999999", [1]])
def test_expiry_refused(expires):
    with pytest.raises(RequestRejected, match="expiry"):
        Cookie("a", SECRET, ".example.com", expires=expires)


@pytest.mark.parametrize(
    ("row", "why"),
    [
        ((1, SECRET, "example.com"), "its name is no text"),
        (("a", 12345678, "example.com"), "its value is no text"),
        (("a", SECRET, None), "its domain is no text"),
        (("a", SECRET, "example.com", None), "its path is no text"),
        (("a", SECRET, ""), "it has no domain"),
        (("a", SECRET, "example.com", ""), "it has no domain or no path"),
        (("a", f"{SECRET}\udc80", "example.com"), "its value is not valid Unicode"),
        (("a\udc80", SECRET, "example.com"), "its name is not valid Unicode"),
    ],
)
def test_bad_rows_never_come_to_be(row, why):
    with pytest.raises(RequestRejected, match=why) as caught:
        Cookie(*row)
    shown = "".join(traceback.format_exception(caught.value))
    assert SECRET not in shown.replace(Path(__file__).read_text("utf-8"), "")
    assert "12345678" not in str(caught.value)


class Jar:
    """A client with cookies: rows are applied one by one, as Hydrus does it."""

    def __init__(self, reply):
        self.rows = {}
        self.reply = reply

    def get(self, asked):
        rows = [
            [name, value, domain, path, expires]
            for (domain, path, name), (value, expires) in self.rows.items()
        ]
        return self.reply(body={"cookies": rows})

    def set(self, asked):
        for name, value, domain, path, expires in asked.json["cookies"]:
            if value is None:
                del self.rows[domain, path, name]
            else:
                assert expires is None or type(expires) is int
                self.rows[domain, path, name] = (value, expires)
        return self.reply()


@pytest.fixture
async def jar(speaking, reply):
    client, network = await speaking(95)
    jar = Jar(reply)
    network.says(GET, jar.get)
    network.says(SET, jar.set)
    return client, network, jar


TEXT = st.text(st.characters(exclude_categories=["Cs"]), min_size=1, max_size=20)
COOKIES = st.builds(
    Cookie,
    st.one_of(st.sampled_from("ab"), TEXT),
    st.one_of(st.none(), st.just(""), TEXT),
    st.one_of(st.sampled_from([".e.com", "e.com"]), TEXT.map(lambda text: f".{text}")),
    st.just("/"),
    st.one_of(st.none(), st.integers(-(2**40), 2**40), st.floats(-1e12, 1e12)),
)


@given(batches=st.lists(st.lists(COOKIES, max_size=4), max_size=4))
@settings(max_examples=60, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_any_cookies_are_held_as_they_were_set(client_of, network_of, reply, batches):
    async def scenario():
        network, held, expected = network_of(95), Jar(reply), {}
        network.says(GET, held.get)
        network.says(SET, held.set)
        async with client_of(network) as client:
            await client.connect()
            for batch in batches:
                await client.set_cookies(batch)
                for cookie in batch:
                    expected.pop(cookie.identity, None)
                    if cookie.value is not None:
                        expected[cookie.identity] = cookie
            found = await client.get_cookies("e.com")
        assert {cookie.identity: cookie for cookie in found} == expected

    anyio.run(scenario)


async def test_removing_looks_first(jar):
    client, network, held = jar
    await client.set_cookies([Cookie("a", "1", ".example.com"), Cookie("b", "2", ".example.com")])
    assert [asked.path for asked in network.asked] == [SET]
    # One that is there, and three that are not: by name, by path, by domain.
    await client.set_cookies(
        [
            Cookie("a", None, ".example.com"),
            Cookie("zz", None, ".example.com"),
            Cookie("b", None, ".example.com", "/other"),
            Cookie("b", None, "example.com"),
        ]
    )
    assert network.asked[-1].json == {"cookies": [["a", None, ".example.com", "/", None]]}
    assert set(held.rows) == {(".example.com", "/", "b")}
    network.asked.clear()
    await client.set_cookies([Cookie("a", None, ".example.com")])
    await client.set_cookies([])
    assert [asked.path for asked in network.asked] == [GET]


async def test_the_last_of_several_counts(jar):
    client, network, held = jar
    rows = [Cookie("a", "1", ".e.com"), Cookie("a", None, ".e.com"), Cookie("a", None, ".e.com")]
    await client.set_cookies(rows)
    assert not network.asked_for(SET)
    await client.set_cookies([*rows, Cookie("a", "2", ".e.com", expires=7.9)])
    assert held.rows == {(".e.com", "/", "a"): ("2", 7)}


async def test_a_cookie_without_a_value_is_not_one_to_remove(speaking, reply):
    client, network = await speaking(95)
    rows = [["a", None, ".e.com", "/", 12.5, "one column more"], ["b", "", ".e.com", "/", 0]]
    network.says(GET, reply(body={"cookies": rows}))
    assert await client.get_cookies("e.com") == [
        Cookie("a", "", ".e.com", "/", 12),
        Cookie("b", "", ".e.com", "/", None),
    ]


@pytest.mark.parametrize("domain", ["localhost", "", "com"])
async def test_a_domain_has_a_dot(speaking, domain):
    client, network = await speaking(95)
    calls = [client.get_cookies(domain), client.get_headers(domain)]
    calls += [client.set_headers({"A": "b"}, domain)]
    if domain:
        calls += [client.set_cookies([Cookie("a", None, domain), Cookie("b", "1", "e.com")])]
    for call in calls:
        with pytest.raises(RequestRejected, match="no dot"):
            await call
    assert not network.asked


def test_a_value_is_shown_nowhere():
    cookie = Cookie("a", SECRET, ".example.com")
    header = Header("Bearer abcdefgh")
    assert cookie.value == SECRET
    assert SECRET not in f"{cookie!r} {cookie!s} {[cookie]!r}"
    assert "Bearer" not in repr(header)
    assert redaction.redact(f"x {SECRET} y") == "x [hidden] y"


@pytest.mark.parametrize("value", [SECRET, "xyz"])
async def test_a_value_is_in_no_error(speaking, reply, value):
    client, network = await speaking(95)
    network.says(SET, reply(400, {"error": f"The cookie \"['a', '{value}']\" did not come in"}))
    with pytest.raises(RequestRejected) as caught:
        await client.set_cookies([Cookie("a", value, ".example.com")])
    shown = f"{caught.value} {caught.value!r} {caught.value.excerpt} {vars(caught.value)}"
    assert value not in shown
    network.says(GET, reply(200, f'{{"cookies": [["a", "{value}", "e.com", "/", null', "text/html"))
    with pytest.raises(HydrusFailed) as caught:
        await client.get_cookies("e.com")
    assert value not in f"{caught.value} {vars(caught.value)} {caught.value.__context__}"


async def test_values_that_were_read_are_hidden_too(speaking, reply):
    client, network = await speaking(95)
    network.says(GET, reply(body={"cookies": [["a", "read-from-there", "e.com", "/", None]]}))
    await client.get_cookies("e.com")
    assert redaction.redact("read-from-there") == "[hidden]"
    headers = {"Authorization": {"value": "Bearer 12345678"}, "Accept": {"value": "image/jpeg"}}
    network.says(GET_HEADERS, reply(body={"headers": headers}))
    found = await client.get_headers()
    assert found["Accept"] == Header("image/jpeg")
    assert redaction.redact("Bearer 12345678 image/jpeg") == "[hidden] image/jpeg"


async def test_setting_headers(speaking):
    client, network = await speaking(95)
    network.replays("set_headers")
    await client.set_headers(
        {
            "A": "1",
            "B": None,
            "C": Header("3", HeaderApproval.PENDING, "because"),
            "D": Header(approved=HeaderApproval.DENIED),
        }
    )
    values, details = (asked.json for asked in network.asked)
    pending = {"approved": "pending", "reason": "because"}
    assert values == {
        "headers": {"A": {"value": "1"}, "B": {"value": None}, "C": {"value": "3", **pending}}
    }
    # Once more: with a value that was there before, the client overlooks the rest.
    assert details == {"headers": {"C": pending, "D": {"approved": "denied"}}}
    with pytest.raises(RequestRejected, match="nothing is given for the header 'E'"):
        await client.set_headers({"A": "2", "E": Header()})
    assert len(network.asked) == 2


async def test_user_agent_in_each_era(speaking, reply):
    client, network = await speaking(42)
    network.says("/manage_headers/set_user_agent", reply())
    await client.set_user_agent("Mozilla")
    assert network.asked[0].json == {"user-agent": "Mozilla"}
    client, network = await speaking(43)
    network.replays("set_headers")
    await client.set_user_agent("Mozilla")
    assert network.asked[0].json == {"headers": {"User-Agent": {"value": "Mozilla"}}}


@pytest.mark.parametrize(
    ("since", "call"),
    [
        (43, lambda client: client.get_headers()),
        (43, lambda client: client.set_headers({"A": "b"})),
        (17, lambda client: client.set_user_agent("")),
    ],
)
async def test_what_is_too_new_is_not_sent(speaking, reply, since, call):
    client, network = await speaking(since - 1)
    with pytest.raises(VersionTooOld, match=f"≥ {since}, this client speaks {since - 1}"):
        await call(client)
    assert not network.asked
    client, network = await speaking(since)
    network.says(GET_HEADERS, reply(body={"headers": {}}))
    network.says(SET_HEADERS, reply())
    network.says("/manage_headers/set_user_agent", reply())
    await call(client)
    assert len(network.asked) == 1


async def test_the_permission_has_had_other_words(limited):
    for version, words in ((95, "manage cookies and headers"), (42, "manage cookies")):
        client, network = await limited(Permission.SEARCH_FILES, version=version)
        with pytest.raises(PermissionMissing) as caught:
            await client.set_cookies([Cookie("a", "1", "e.com")])
        assert caught.value.permission == words
        assert not network.asked
