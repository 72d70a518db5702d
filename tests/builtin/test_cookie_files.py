"""Cookie files as people have them: every good row is read, every bad one named, none shown."""

from __future__ import annotations

import json
import os
from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given, strategies as st

from hydrusd.builtin.actions._cookie_files import QUIET_SECONDS, read_cookie_file
from hydrusd.plugin import Cookie, PermanentError, TemporaryError

NOW = datetime(2026, 3, 1, tzinfo=UTC)
LATER = 1_900_000_000
SECRET = "v4lue-nobody-may-see"
HEAD = "# Netscape HTTP Cookie File\n# https://curl.se/docs/http-cookies.html\n\n"


@pytest.fixture
def read(tmp_path):
    def read(content, age_seconds=3600):
        path = tmp_path / "cookies.txt"
        path.write_bytes(content if isinstance(content, bytes) else content.encode())
        when = (NOW - timedelta(seconds=age_seconds)).timestamp()
        os.utime(path, (when, when))
        return read_cookie_file(path, NOW)

    return read


def line(*columns):
    return "\t".join(map(str, columns)) + "\n"


def row(name="id", value=SECRET, domain=".example.com", below="TRUE", path="/", expires=LATER):
    return line(domain, below, path, "TRUE", expires, name, value)


def shown(cookie):
    return cookie.name, cookie.value, cookie.domain, cookie.path, cookie.expires


def test_a_cookies_txt(read):
    text = (
        HEAD + row() + "#HttpOnly_" + row("sid", "1") + "\n# a comment\n" + row("s", "2", expires=0)
    )
    found = read(text)
    assert found.cookies == [
        Cookie("id", SECRET, ".example.com", "/", LATER),
        Cookie("sid", "1", ".example.com", "/", LATER),
        Cookie("s", "2", ".example.com", "/", None),
    ]
    assert found.faults == []
    assert SECRET not in repr(found)


@pytest.mark.parametrize(
    ("domain", "below", "kept"),
    [
        (".example.com", "TRUE", ".example.com"),
        ("example.com", "TRUE", ".example.com"),  # the standard library gives up on these two
        (".example.com", "FALSE", ".example.com"),
        ("example.com", "FALSE", "example.com"),
        ("WWW.Example.COM", "false", "www.example.com"),
        ("127.0.0.1", "TRUE", "127.0.0.1"),
        ("localhost", "FALSE", "localhost"),
    ],
)
def test_whether_a_cookie_is_for_subdomains_too(read, domain, below, kept):
    assert read(row(domain=domain, below=below)).cookies[0].domain == kept


@pytest.mark.parametrize(
    ("written", "seconds"),
    [
        ("0", None),
        ("", None),
        ("-1", None),
        ("1900000000", 1_900_000_000),
        ("1900000000.75", 1_900_000_000),
        ("1900000000123", 1_900_000_000),  # milliseconds
        ("253402300799", 253_402_300_799),  # the year 9999, as some mean "never"
        ("9223372036854775807", 253_402_300_799),
        ("1e300", 253_402_300_799),
    ],
)
def test_expiry(read, written, seconds):
    [cookie] = read(row(expires=written)).cookies
    assert cookie.expires == seconds
    assert seconds is None or type(cookie.expires) is int
    if written:
        [exported] = read(
            json.dumps([{"name": "a", "domain": "e.com", "expires": written}])
        ).cookies
        assert exported.expires == seconds


def test_odd_but_good_rows(read):
    text = (
        row("crlf", "1").replace("\n", "\r\n")
        + row("empty", "")
        + row("lost-tab", "").replace("\t\n", "\n")
        + row("unicode", "é\x85\u2028 x")
        + row("quoted", '"a b=c"', path="deep")
        + row("last", "2").rstrip("\n")
    )
    found = read(f"\ufeff{text}")
    assert [shown(c)[:2] for c in found.cookies] == [
        ("crlf", "1"),
        ("empty", ""),
        ("lost-tab", ""),
        ("unicode", "é\x85\u2028 x"),
        ("quoted", '"a b=c"'),
        ("last", "2"),
    ]
    assert {cookie.path for cookie in found.cookies} == {"/"}
    assert found.faults == []
    assert read(text.encode("utf-16")).cookies == found.cookies


@pytest.mark.parametrize(
    ("bad", "why"),
    [
        (line(SECRET, "TRUE", "/"), "it has 3 columns, not 7"),
        (row().rstrip("\n") + f"\t{SECRET}\n", "it has 8 columns, not 7"),
        (row().replace("\t", "    "), "it has 1 columns, not 7, its tabs have become spaces"),
        (row(below=SECRET), "its columns 2 and 4 are not TRUE or FALSE"),
        (row(expires=SECRET), "its expiry is no number"),
        (row(expires="nan"), "its expiry is no number"),
        (row(name=""), "it has no name"),
        (row(domain=""), "it has no domain"),
        (row(domain="https://example.com/"), "what it has for a domain is none"),
        (row("odd").encode().replace(b"v4", b"\xff\xfe").decode("latin-1"), None),
    ],
)
def test_a_bad_row_costs_itself_and_is_named_by_its_number(read, bad, why):
    content = HEAD.encode() + row().encode() + bad.encode("latin-1") + row("other").encode()
    found = read(content)
    assert [cookie.name for cookie in found.cookies] == ["id", "other"]
    [fault] = found.faults
    assert fault == f"line 5: {why}" if why else "not valid Unicode" in fault
    assert SECRET not in fault


CHROME = {
    "domain": ".example.com",
    "expirationDate": 1900000000.123,
    "hostOnly": False,
    "httpOnly": True,
    "name": "id",
    "path": "/",
    "sameSite": "lax",
    "secure": True,
    "session": False,
    "storeId": "0",
    "value": SECRET,
}


@pytest.mark.parametrize("wrap", [lambda rows: rows, lambda rows: {"cookies": rows, "url": "x"}])
def test_the_export_of_an_add_on(read, wrap):
    rows = [
        CHROME,
        {**CHROME, "name": "host", "domain": "example.com", "hostOnly": True},
        {**CHROME, "name": "below", "domain": "example.com"},
        {**CHROME, "name": "session", "session": True},
        {"name": "playwright", "value": "1", "domain": "e.com", "path": "/a", "expires": -1},
        {"name": "selenium", "value": "", "domain": "e.com", "expiry": 1900000000},
        {"name": "bare", "value": None, "domain": ".e.com", "path": None, "expires": None},
    ]
    found = read("\n " + json.dumps(wrap(rows)))
    assert [shown(cookie) for cookie in found.cookies] == [
        ("id", SECRET, ".example.com", "/", 1900000000),
        ("host", SECRET, "example.com", "/", 1900000000),
        ("below", SECRET, ".example.com", "/", 1900000000),
        ("session", SECRET, ".example.com", "/", None),
        ("playwright", "1", "e.com", "/a", None),
        ("selenium", "", "e.com", "/", 1900000000),
        ("bare", "", ".e.com", "/", None),
    ]
    assert found.faults == []


@pytest.mark.parametrize(
    ("bad", "why"),
    [
        (SECRET, "it is no object"),
        ({**CHROME, "value": {"a": SECRET}}, "its name, value, domain or path is no text"),
        ({**CHROME, "expirationDate": True}, "its expiry is no number"),
        ({**CHROME, "expirationDate": [SECRET]}, "its expiry is no number"),
        ({**CHROME, "expirationDate": 10**400}, "its expiry is no number"),
        ({**CHROME, "name": ""}, "it has no name"),
        ({"name": "a", "value": SECRET}, "it has no domain"),
    ],
)
def test_a_bad_cookie_of_an_export_is_named_by_its_number(read, bad, why):
    found = read(json.dumps([CHROME, bad, CHROME]))
    assert len(found.cookies) == 2
    assert found.faults == [f"cookie 2: {why}"]


def test_a_lone_surrogate_of_an_export_is_named_too(read):
    [fault] = read(json.dumps([CHROME, {**CHROME, "value": f"\ud800{SECRET}"}])).faults
    assert fault.startswith("cookie 2: ")
    assert SECRET not in fault


@pytest.mark.parametrize(
    ("content", "why"),
    [
        ("", "is empty"),
        ("\ufeff\n \n", "is empty"),
        (HEAD, "holds no cookies"),
        (f"{SECRET}\nor what\n", "holds no cookies: line 1: it has 1 columns"),
        ("[]", "holds no cookies"),
        ('{"a": 1}', "is JSON, but holds no list of cookies"),
        ('{"cookies": {}}', "is JSON, but holds no list of cookies"),
        ("[" * 100_000, "is JSON, but holds no list of cookies"),
        (f'[["{SECRET}"]]', "holds no cookies: cookie 1: it is no object"),
        (b"SQLite format 3\0" + bytes(100), "set_browser_cookies reads those"),
        (b"# x\n" * (4 * 1024 * 1024 + 1), "is too large"),
    ],
)
def test_what_is_no_cookie_file(read, content, why):
    with pytest.raises(PermanentError, match=why) as caught:
        read(content)
    assert SECRET not in str(caught.value)


@pytest.mark.parametrize("cut", [1, 20, 60])
def test_a_file_that_is_cut_off_is_tried_again(read, cut):
    with pytest.raises(TemporaryError, match="it may still be written"):
        read(json.dumps([CHROME, CHROME])[:-cut])
    with pytest.raises(TemporaryError, match=r"cut off in line 5"):
        read(HEAD + row() + row()[: 20 - cut // 10])


@pytest.mark.parametrize("age", [0, QUIET_SECONDS - 0.1, -1])
def test_a_file_that_is_being_written_is_tried_again(read, age):
    with pytest.raises(TemporaryError, match="just being written") as caught:
        read(row(), age_seconds=age)
    assert caught.value.delay_seconds == QUIET_SECONDS
    assert read(row(), age_seconds=QUIET_SECONDS + 0.1).cookies
    assert read(row(), age_seconds=-3600).cookies  # a clock that is wrong does not stop it


def test_a_file_that_is_not_there_or_none(tmp_path):
    with pytest.raises(TemporaryError, match="there is no file"):
        read_cookie_file(tmp_path / "cookies.txt", NOW)
    with pytest.raises(PermanentError, match="is not a file"):
        read_cookie_file(tmp_path, NOW)


@given(
    content=st.binary(max_size=300)
    | st.text(max_size=300).map(lambda t: t.encode("utf-8", "ignore"))
)
def test_whatever_it_holds_the_reader_keeps_its_word(tmp_path_factory, content):
    path = tmp_path_factory.mktemp("any") / "cookies.txt"
    path.write_bytes(content)
    try:
        found = read_cookie_file(path, datetime(2020, 1, 1, tzinfo=UTC))
    except (PermanentError, TemporaryError):
        return
    assert found.cookies


COLUMNS = st.text(st.characters(exclude_characters="\t\n\r", exclude_categories=["Cs"]), max_size=8)


@given(
    rows=st.lists(
        st.tuples(COLUMNS.filter(bool), COLUMNS, st.sampled_from(["a.b", ".a.b", "c.a.b"])),
        min_size=1,
        max_size=5,
    )
)
def test_what_was_written_is_read(tmp_path_factory, rows):
    path = tmp_path_factory.mktemp("any") / "cookies.txt"
    written = [
        row(name, value, domain, str(domain[0] == ".").upper()) for name, value, domain in rows
    ]
    path.write_bytes("".join(written).encode())
    found = read_cookie_file(path, datetime(2020, 1, 1, tzinfo=UTC))
    assert [(c.name, c.value, c.domain) for c in found.cookies] == rows
