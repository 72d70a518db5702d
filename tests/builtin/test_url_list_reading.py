"""Lines and lists as bytes on a disk: what is taken, what waits, what is named."""

from __future__ import annotations

import os
import string

import pytest
from hypothesis import example, given, strategies as st

from hydrusd.builtin.triggers._list_files import BLOCK_BYTES, ListFile
from hydrusd.builtin.triggers._normal_forms import PART, NormalForms
from hydrusd.builtin.triggers._url_lines import BadLine, plain_form, read_line

SETTLE_SECONDS = 5
A, B, C = (f"https://site.example/posts/{number}" for number in (1, 2, 3))


# --- lines -----------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("raw", "url", "tags"),
    [
        (b"https://a.example/1", "https://a.example/1", ()),
        (b"  https://a.example/1\r", "https://a.example/1", ()),
        (b"https://a.example/1#part", "https://a.example/1#part", ()),
        (b"https://a.example/1 # seen on tuesday", "https://a.example/1", ()),
        (b"https://a.example/1\tone tag, creator:x ,, c#", "https://a.example/1", ...),
        (b"https://a.example/1 tag # , not a tag", "https://a.example/1", ("tag",)),
        ("http://b\xfccher.example/\xe4 \xfc".encode(), "http://b\xfccher.example/\xe4", ("\xfc",)),
        (b"HTTPS://A.example", "HTTPS://A.example", ()),
    ],
)
def test_a_line_has_a_url_and_tags(raw, url, tags):
    line = read_line(7, raw)
    assert (line.number, line.url) == (7, url)
    assert line.tags == (("one tag", "creator:x", "c#") if tags is ... else tags)


@pytest.mark.parametrize("raw", [b"", b"   ", b"\r", b"# https://a.example", b"  # x", b"\t#"])
def test_comments_and_blank_lines_say_nothing(raw):
    assert read_line(1, raw) is None


@pytest.mark.parametrize(
    "raw",
    [
        b"site.example/posts/1",
        b"ftp://a.example/1",
        b"https://",
        b"https:///1",
        b"https://a.example:port/",
        b"http://[::1/",
        b"http://a.example/\x00",
        b"\xff\xfe",
        b"caf\xe9 https://a.example",
    ],
)
def test_what_is_no_url_is_named(raw):
    assert isinstance(read_line(3, raw), BadLine)
    assert read_line(3, raw).number == 3


def test_a_missing_scheme_is_guessed_for_nobody_but_hinted_at():
    assert "https://" in read_line(1, b"site.example/posts/1").problem


def test_a_byte_order_mark_is_none_of_the_url():
    assert read_line(1, b"\xef\xbb\xbfhttps://a.example/").url == "https://a.example/"


@pytest.mark.parametrize(
    ("url", "same"),
    [
        ("HTTP://A.Example:80", "http://a.example/"),
        ("https://a.example:443/X?b=1&a=2#f", "https://a.example/X?b=1&a=2#f"),
        ("https://A.example:8443/", "https://a.example:8443/"),
        ("http://a.example:443/", "http://a.example:443/"),
        ("https://Me:Secret@A.example/", "https://Me:Secret@a.example/"),
    ],
)
def test_only_what_is_surely_the_same_is_made_alike(url, same):
    assert plain_form(url) == same
    assert plain_form(same) == same


@given(st.text(max_size=60) | st.text(string.printable).map("http://a".__add__))
@example("http://a.example/\ud800")
def test_the_plain_form_of_a_plain_form_is_itself(text):
    plain = plain_form(text)
    assert plain is None or plain_form(plain) == plain


@given(st.binary(max_size=80), st.integers(1, 3))
@example(b"http://[", 1)
@example("http://\N{FULLWIDTH SOLIDUS}a".encode(), 1)
def test_no_line_is_too_odd_to_be_read(raw, number):
    read_line(number, raw)


# --- lists -----------------------------------------------------------------------------------


class Reader:
    """Reads a list over and over, at times that the test says."""

    def __init__(self, path):
        self.path = path
        self.file = ListFile(path, SETTLE_SECONDS)
        self.now = 100.0
        self.bad = []
        self._ticks = 0

    def write(self, text, mode="wb"):
        with self.path.open(mode) as file:
            file.write(text if isinstance(text, bytes) else text.encode())
        self._ticks += 1  # coarse clocks of disks must not hide a change
        os.utime(self.path, ns=(self._ticks * 10**9, self._ticks * 10**9))

    def read(self):
        found, more = [], True
        while more:
            piece = self.file.read(self.now)
            found += [(line.number, line.url) for line in piece.lines]
            self.bad += [(line.number, line.problem) for line in piece.bad]
            more = piece.more
        return found

    def settle(self):
        self.now += SETTLE_SECONDS
        return self.read()


@pytest.fixture
def reader(tmp_path):
    return Reader(tmp_path / "list.txt")


def test_complete_lines_are_taken_at_once_and_once(reader):
    reader.write(f"{A}\n\n# no\n{B}\r\n")
    assert reader.read() == [(1, A), (4, B)]
    assert reader.read() == reader.settle() == []


def test_what_is_appended_is_taken_at_once_without_the_rest(reader):
    reader.write(f"{A}\n")
    reader.read()
    reader.write(f"{B}\n{C}", "ab")
    assert reader.read() == [(2, B)]


def test_half_a_last_line_waits_for_its_other_half(reader):
    reader.write(f"{A}\nhttps://site.example/pos")
    assert reader.read() == [(1, A)]
    reader.now += SETTLE_SECONDS - 1
    assert reader.read() == []
    reader.write("ts/2\n", "ab")
    assert reader.read() == [(2, B)]
    assert reader.settle() == []


def test_a_last_line_without_a_line_break_counts_when_all_is_still(reader):
    reader.write(f"{A}\n{B}")
    assert reader.read() == [(1, A)]
    assert reader.settle() == [(2, B)]
    assert reader.settle() == []
    reader.write(f"\n{C}\n", "ab")
    assert reader.read() == [(2, B), (3, C)]


def test_a_list_written_all_the_time_is_read_all_the_same(reader):
    for number in range(20):
        reader.write(f"{A}{number}\n", "ab")
        reader.now += 1
        assert reader.read() == [(number + 1, f"{A}{number}")]


def test_a_rewritten_list_is_not_read_while_it_changes(reader):
    reader.write(f"{A}\n{B}\n")
    reader.read()
    reader.write(f"{C}\n")
    assert reader.read() == []
    reader.now += SETTLE_SECONDS - 1
    reader.write(f"{C}\n{C}\n{A}\n")
    assert reader.read() == []
    reader.now += SETTLE_SECONDS - 1
    assert reader.read() == []
    reader.now += 1
    assert reader.read() == [(1, C), (2, C), (3, A)]


def test_a_list_half_overwritten_is_not_read(reader):
    reader.write(f"{A}\n{A}\n")
    reader.read()
    with reader.path.open("r+b") as file:  # as long as before, and half of it is new
        file.write(f"{B}\n".encode())
    os.utime(reader.path, ns=(1, 1))
    assert reader.read() == []
    assert reader.settle() == [(1, B), (2, A)]


def test_a_list_put_in_the_place_of_another_is_read_once_it_is_left_alone(reader, tmp_path):
    reader.write(f"{A}\n")
    reader.read()
    new = tmp_path / "new"
    new.write_text(f"{B}\n{A}\n")
    new.replace(reader.path)
    assert reader.read() == []
    assert reader.settle() == [(1, B), (2, A)]


def test_a_list_that_goes_on_where_the_one_before_it_ended_goes_on(reader, tmp_path):
    reader.write(f"{A}\n")
    reader.read()
    new = tmp_path / "new"
    new.write_bytes(f"{A}\n{B}\n".encode())
    new.replace(reader.path)
    assert reader.read() == [(2, B)]


def test_what_is_written_to_while_it_is_read_is_left_for_later(reader, monkeypatch):
    reader.write(f"{A}\n")
    real = os.fstat
    monkeypatch.setattr(os, "fstat", lambda fd: (real(fd), reader.write(f"{B}\n", "ab"))[0])
    assert reader.file.read(reader.now).lines == []
    monkeypatch.undo()
    assert reader.read()[:2] == [(1, A), (2, B)]


def test_a_long_list_comes_in_pieces(reader):
    urls = [f"https://site.example/posts/{number}" for number in range(20_000)]
    reader.write("\n".join(urls))
    assert len(reader.file.read(reader.now).lines) < BLOCK_BYTES / 20
    reader.read()
    again = Reader(reader.path)
    found = again.read()
    assert [url for _, url in found] == urls[:-1]
    assert [number for number, _ in found] == list(range(1, 20_000))


def test_broken_bytes_cost_their_line_only(reader):
    reader.write(f"{A}\n".encode() + b"https://a.example/\xff\xff\n" + f"{B}\n".encode())
    assert reader.read() == [(1, A), (3, B)]
    assert reader.bad == [(2, "is not UTF-8")]


def test_a_line_without_end_is_given_up_and_what_follows_is_read(reader):
    reader.write(f"{A}\n" + "x" * (2 * BLOCK_BYTES + 5) + f" {B}\n{C}\n")
    assert reader.read() == [(1, A), (3, C)]
    assert [number for number, _ in reader.bad] == [2]


def test_utf_16_is_told_as_what_it_is(reader):
    reader.write(f"{A}\n{B}\n".encode("utf-16"))
    assert reader.read() == []
    assert "UTF-16" in reader.bad[0][1]
    assert len(reader.bad) == 1


def test_a_list_that_is_gone_says_so(reader):
    with pytest.raises(FileNotFoundError):
        reader.read()


# --- what is remembered of the client's answers ----------------------------------------------


class Memory(dict):
    async def recall(self, name):
        return self.get(name)


@pytest.mark.anyio
async def test_forms_are_remembered_in_parts_and_found_again():
    memory = Memory()
    forms = NormalForms(memory)
    expected = {}
    assert list(await forms.parts()) == []
    for start in range(0, 3 * PART, 250):
        new = {f"http://a/{n}": f"http://a/{n}?x=1" for n in range(start, start + 250)}
        expected |= new
        remembered = forms.add(new)
        assert len(remembered) == 1
        memory.update(remembered)
    again = NormalForms(memory)
    found = {}
    for part in await again.parts():
        found |= part
    assert found == expected
    assert len(memory) == 3
    assert sum(map(len, memory.values())) < 20 * len(expected)
    memory.update(again.add({"http://b/": "http://b/x"}))
    parts = list(await NormalForms(memory).parts())
    assert {"http://b/": "http://b/x"}.items() <= parts[-1].items()
    assert sum(map(len, parts)) == len(expected) + 1


@pytest.mark.parametrize("form", ["http://a/", "http://a/x y"])
def test_what_is_no_news_or_would_not_come_back_as_it_is_is_not_remembered(form):
    assert NormalForms(Memory()).add({"http://a/": form}) == {}
