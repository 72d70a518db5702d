"""What is read from a page about a URL: ends that the simulator's downloads do not have."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest

from hydrusd.builtin.actions._url_following import Entry, Found, Kind, Sending, _entry, judge
from hydrusd.hydrus import GalleryLog, Importer, ImportQueue
from hydrusd.plugin import GalleryItem, ImportItem, OutcomeKind, PageInfo, PageType, UrlFile

URL = "https://x.example/post/1"
NOW = datetime(2026, 1, 1, tzinfo=UTC)
ONE, TWO = "11" * 32, "22" * 32


def sending(kind=Kind.FILE, **more):
    return Sending(URL, (URL,), kind, NOW, "boot", **more)


def page(*items, log=(), **importer):
    queue = ImportQueue(import_items=items)
    one = Importer(imports=queue, gallery_log=GalleryLog(log_items=log), **importer)
    return PageInfo("hydrusd", "ab", PageType.URL_DOWNLOADER, 0, (one,), None, None)


def item(url, status, seconds=0, note="", file_hash=None):
    made = NOW + timedelta(seconds=seconds)
    return ImportItem(url, status, note, file_hash, made, made)


def seen(*items, **more):
    return _entry(page(*items), sending(**more))


def known(*hashes):
    return [UrlFile(2, file_hash, "") for file_hash in hashes]


def test_a_sending_survives_the_ledger():
    one = Sending(URL, (URL, "other"), Kind.GALLERY, NOW, "boot", "before")
    assert Sending.from_data(one.to_data()) == one
    assert Sending.from_data({}) is None
    assert Sending.from_data({"due": 1.0, "by": "x"}) is None


def test_in_another_run_of_the_client_waiting_begins_anew():
    later = NOW + timedelta(hours=5)
    assert sending().in_boot("boot", later) == sending()
    assert sending().in_boot("next", later) == replace(sending(), boot="next", since=later)


def test_it_is_known_by_any_of_its_forms():
    one = replace(sending(), forms=(URL, URL + "?normal"))
    assert _entry(page(item(URL + "?normal", 2, file_hash=ONE)), one).hash == ONE
    assert _entry(page(item(URL + "?other", 2)), one) is None


def test_a_post_is_over_when_all_that_was_found_in_it_is():
    post = item(URL, 9, 10, "Found 2 new URLs.")
    before = item("https://x.example/before", 0, 1)
    first, second = item("a", 1, 10, file_hash=ONE), item("b", 2, 11, file_hash=TWO)
    assert seen(before, post, first, replace(second, status=0)).is_open
    entry = seen(before, post, first, second)
    assert not entry.is_open
    assert judge(sending(), entry, known(ONE, TWO)) == Found((ONE, TWO), (ONE,))


def test_a_post_within_a_post_is_waited_for_as_well():
    inner = item("https://x.example/inner", 9, 10)
    deep = item("deep", 0, 300)
    inner = replace(inner, modified=NOW + timedelta(seconds=300))
    assert seen(item(URL, 9, 10), inner, deep).is_open
    assert not seen(item(URL, 9, 10), inner, replace(deep, status=4)).is_open


def test_what_merely_was_sent_at_that_time_is_not_waited_for():
    post, child = item(URL, 9, 10), item("a", 1, 10, file_hash=ONE)
    older, stuck = item("older", 1, 1), item("stuck", 0, 10)
    assert not seen(post, child, older, stuck).is_open
    assert not seen(stuck, post, child).is_open
    assert seen(post, child, stuck).is_open


def test_the_trace_behind_an_error_is_left_to_hydrus():
    note = "ServerException('500: oops')… (Copy note to see full error)\nTraceback …\n"
    end = judge(sending(), seen(item(URL, 4, note=note)), [])
    assert end.detail == "Hydrus cannot import it: ServerException('500: oops')"


def test_files_are_only_those_known_by_the_url():
    entry = seen(item(URL, 9, 10), item("somebody else's", 1, 10, file_hash=TWO))
    assert judge(sending(), entry, known(ONE)) == Found((ONE,), ())
    nothing = judge(sending(), entry, [])
    assert nothing.kind is OutcomeKind.DEAD
    deleted = judge(sending(), entry, [UrlFile(3, ONE, "ugly")])
    assert deleted.kind is OutcomeKind.SKIPPED
    assert "ugly" in deleted.detail


@pytest.mark.parametrize(
    ("status", "note", "kind", "named"),
    [
        (3, "trash", OutcomeKind.SKIPPED, "deleted before"),
        (4, "Unknown filetype!", OutcomeKind.DEAD, "failed"),
        (7, "404", OutcomeKind.SKIPPED, "gone"),
        (7, "403", OutcomeKind.DEAD, "ignored"),
        (7, "file was 4 GB", OutcomeKind.DEAD, "ignored"),
        (8, "", OutcomeKind.SKIPPED, "skipped"),
        (42, "", OutcomeKind.DEAD, "unknown"),
    ],
)
def test_ends_that_leave_no_file(status, note, kind, named):
    end = judge(sending(), seen(item(URL, status, note=note)), [])
    assert (end.kind, end.values["status"]) == (kind, named)
    assert note in end.detail


def test_an_old_client_gives_no_hash_with_an_entry():
    assert judge(sending(), seen(item(URL, 1)), known(ONE)) == Found((ONE,), (ONE,))
    assert judge(sending(), seen(item(URL, 2)), known(ONE)) == Found((ONE,), ())


def test_what_hydrus_did_not_try_again_is_said_to_be_so():
    entry = seen(item(URL, 7, note="403"))
    end = judge(sending(before=entry.changed), entry, [])
    assert "remove it there" in end.detail
    assert "remove it there" not in judge(sending(), entry, []).detail


def test_a_gallery_is_over_when_hydrus_has_read_it():
    line = GalleryItem(URL, 0)
    looked = sending(Kind.GALLERY)
    assert _entry(page(item(URL, 1), log=(line,)), looked).is_open
    read = replace(line, status=1, note="12 new urls found")
    end = judge(looked, _entry(page(log=(read,)), looked), [])
    assert end.kind is OutcomeKind.DONE
    assert end.values == {"url": URL, "status": "handed over", "hashes": []}
    assert "12 new urls found" in end.detail
    gone = judge(looked, _entry(page(log=(replace(line, status=7, note="404"),)), looked), [])
    assert gone.kind is OutcomeKind.SKIPPED


def test_a_thread_is_there_when_it_is_watched():
    watched = sending(Kind.WATCHER)
    info = page(url=URL, created=NOW)
    assert isinstance(_entry(info, watched), Entry)
    assert not _entry(info, watched).is_open
    assert _entry(page(item(URL, 1)), watched) is None
