"""Backups: whole, made beside whoever writes, few, and made before tables are changed."""

from __future__ import annotations

import os
import random
import sqlite3
import threading
from contextlib import closing
from datetime import timedelta

import pytest
from ledgering import NOW, claim, enqueue, rows

from hydrusd.errors import LedgerDamaged, LedgerError
from hydrusd.ledger import Ledger, LedgerReader, Occasion, back_up, backups, export
from hydrusd.ledger._backups import KEPT, problems_of
from hydrusd.ledger._migrating import HEAD, migrate
from hydrusd.ledger._sqlite import open_engine

DAILY = Occasion.DAILY


def spoil(path, page=None, *, seed=1):
    """Overwrite a page of a closed ledger; the one in the middle, if none is said."""
    content = bytearray(path.read_bytes())
    page = len(content) // 4096 // 2 if page is None else page
    content[page * 4096 : (page + 1) * 4096] = random.Random(seed).randbytes(4096)
    path.write_bytes(content)


def names(path):
    return sorted(p.name for p in (path.parent / "backups").iterdir())


def test_a_backup_is_a_ledger_in_one_file(ledger, path):
    enqueue(ledger, "a", "b")
    made = back_up(path, DAILY, NOW)
    assert names(path) == ["ledger-20260101T120000Z-daily.sqlite"]
    assert made.path.stat().st_mode == path.stat().st_mode
    assert made.size == made.path.stat().st_size > 0
    assert problems_of(made.path) == []
    assert rows(made.path, "SELECT key FROM event") == [("a",), ("b",)]
    reader = LedgerReader.open(made.path)
    assert sum(count.jobs for count in reader.counts()) == 2
    reader.close()


def test_it_is_one_snapshot_and_keeps_nobody_from_writing(ledger, path):
    for number in range(40):
        enqueue(ledger, *(f"{number}/{i}" for i in range(100)))
    over, written = threading.Event(), []

    def write():
        while not over.is_set():
            written.append(len(written))
            enqueue(ledger, f"later {written[-1]}", f"with it {written[-1]}")

    writing = threading.Thread(target=write)
    writing.start()
    try:
        during = len(written)
        made = [back_up(path, DAILY, NOW + timedelta(seconds=i)) for i in range(3)]
        during = len(written) - during
    finally:
        over.set()
        writing.join()
    assert during > 0
    for backup in made:
        whole = rows(backup.path, "SELECT count(*) FROM event WHERE key LIKE 'later%'")
        assert whole == rows(backup.path, "SELECT count(*) FROM event WHERE key LIKE 'with it%'")


def test_only_a_few_of_each_kind_are_kept(ledger, path):
    made = [back_up(path, DAILY, NOW + timedelta(days=i), keep=2) for i in range(4)]
    asked = [back_up(path, Occasion.ASKED, NOW) for _ in range(KEPT[Occasion.ASKED] + 2)]
    left = [backup.path for backup in backups(path)]
    assert [b.path for b in reversed(made)][:2] == [p for p in left if "daily" in p.name]
    assert [b.path for b in reversed(asked)][: KEPT[Occasion.ASKED]] == [
        p for p in left if "asked" in p.name
    ]
    assert names(path) == sorted(p.name for p in left)


def test_what_was_just_made_stays_though_the_clock_was_put_back(ledger, path):
    back_up(path, DAILY, NOW + timedelta(days=400), keep=1)
    made = back_up(path, DAILY, NOW, keep=1)
    assert made.path.exists()
    assert len(backups(path)) == 1


def test_called_off_it_leaves_nothing_behind(ledger, path):
    enqueue(ledger, *map(str, range(3000)))

    class CalledOffError(Exception):
        pass

    for after in (0, 1):
        asked = []

        def still_wanted(asked=asked, after=after):
            asked.append(1)
            if len(asked) > after:
                raise CalledOffError

        with pytest.raises(CalledOffError):
            back_up(path, DAILY, NOW, still_wanted=still_wanted)
        assert names(path) == []


def test_what_a_killed_one_left_is_cleared_away(ledger, path):
    folder = path.parent / "backups"
    folder.mkdir()
    (folder / "ledger-20250101T000000Z-daily.sqlite.unfinished").write_bytes(b"half")
    (folder / "ledger-20250101T000000Z-daily.sqlite.unfinished-journal").write_bytes(b"half")
    (folder / "mine.txt").write_text("left alone", encoding="utf-8")
    made = back_up(path, DAILY, NOW)
    assert names(path) == [made.path.name, "mine.txt"]


def test_making_one_shows_that_the_ledger_is_damaged(path):
    first = Ledger.open(path)
    enqueue(first, *map(str, range(2000)))
    first.close()
    back_up(path, DAILY, NOW)
    spoil(path)
    with pytest.raises(LedgerDamaged, match="hydrusd ledger repair"):
        back_up(path, DAILY, NOW + timedelta(days=1), keep=1)
    # The good one is not pushed out by what is none.
    assert names(path) == ["ledger-20260101T120000Z-daily.sqlite"]


def test_where_it_cannot_be_written_it_says_so(ledger, path):
    (path.parent / "backups").write_text("in the way", encoding="utf-8")
    with pytest.raises(LedgerError, match="no backup of the ledger can be made in"):
        back_up(path, DAILY, NOW)


def test_a_copy_for_elsewhere_overwrites_nothing(ledger, path, tmp_path):
    enqueue(ledger, "a")
    target = tmp_path / "elsewhere.sqlite"
    export(path, target)
    assert rows(target, "SELECT key FROM event") == [("a",)]
    with pytest.raises(LedgerError, match="exists already"):
        export(path, target)
    with pytest.raises(LedgerError, match="no backup of the ledger can be made at"):
        export(path, tmp_path / "no such folder" / "x.sqlite")


# --- before tables are changed ---------------------------------------------------------------


@pytest.fixture
def old(tmp_path):
    """A ledger of the first version, with something in it."""
    path = tmp_path / "ledger.sqlite"
    engine = open_engine(path, writes=True)
    with engine.begin() as connection:
        migrate(connection, "0001")
        connection.exec_driver_sql(
            "INSERT INTO event (trigger, key, data, noticed_at) "
            "VALUES ('folder', 'a', '{}', '2026-01-01T00:00:00.000000Z')"
        )
    engine.dispose()
    return path


def test_before_an_upgrade_there_is_a_backup_of_what_was(old):
    Ledger.open(old).close()
    assert rows(old, "SELECT version_num FROM alembic_version") == [(HEAD,)]
    [backup] = backups(old)
    assert backup.occasion is Occasion.UPGRADE
    assert rows(backup.path, "SELECT version_num FROM alembic_version") == [("0001",)]
    assert rows(backup.path, "SELECT key FROM event") == [("a",)]
    Ledger.open(old).close()
    assert len(backups(old)) == 1


def test_without_a_backup_there_is_no_upgrade(old):
    (old.parent / "backups").write_text("in the way", encoding="utf-8")
    with pytest.raises(LedgerError, match="no backup of the ledger can be made"):
        Ledger.open(old)
    assert rows(old, "SELECT version_num FROM alembic_version") == [("0001",)]


def test_a_new_ledger_needs_none(tmp_path):
    Ledger.open(tmp_path / "ledger.sqlite").close()
    assert not (tmp_path / "backups").exists()


# --- a ledger that is damaged, or gone -------------------------------------------------------


@pytest.mark.parametrize("how", ["gone", "empty"])
def test_no_empty_ledger_takes_the_place_of_one_that_has_vanished(path, how):
    first = Ledger.open(path)
    enqueue(first, "a")
    back_up(path, DAILY, NOW)
    first.close()
    path.unlink() if how == "gone" else os.truncate(path, 0)
    for exclusive in (True, False):
        with pytest.raises(LedgerDamaged, match=f"is {how}, but there is .*hydrusd ledger repair"):
            Ledger.open(path, exclusive=exclusive)
    assert path.exists() is (how == "empty")


def test_after_a_crash_every_page_is_looked_at_before_work_begins(path):
    first = Ledger.open(path)
    enqueue(first, *map(str, range(2000)))
    first.close()
    spoil(path)
    # Nobody asks for that page at a start, so it opens.
    Ledger.open(path).close()
    with closing(sqlite3.connect(path)) as holder:
        holder.execute("SELECT count(*) FROM sqlite_master").fetchone()
        with closing(sqlite3.connect(path)) as other:
            other.execute("CREATE TABLE written (x)")
            other.commit()
        log = path.with_name(path.name + "-wal")
        assert log.stat().st_size > 0
        with pytest.raises(LedgerDamaged, match="hydrusd ledger check"):
            Ledger.open(path)


def test_damage_in_mid_run_is_told_with_what_helps(path):
    first = Ledger.open(path)
    enqueue(first, *map(str, range(2000)))
    first.close()
    content = path.read_bytes()
    for page in range(60, len(content) // 4096):  # behind those that a start looks at
        spoil(path, page, seed=page)
    ledger = Ledger.open(path)
    with pytest.raises(LedgerDamaged, match=r"malformed.*hydrusd ledger repair"):
        claim(ledger)
    ledger.close()
