from __future__ import annotations

import os
import shutil
import sqlite3
import subprocess
import sys
import tempfile
import threading
from contextlib import closing, contextmanager
from pathlib import Path

import pytest
from alembic.autogenerate import compare_metadata
from alembic.migration import MigrationContext
from alembic.script import ScriptDirectory
from ledgering import NOW, claim, enqueue, rows

import hydrusd
from hydrusd.errors import LedgerError, LedgerLocked
from hydrusd.ledger import Ledger, LedgerReader, _migrating
from hydrusd.ledger._migrating import HEAD, KNOWN, migrate
from hydrusd.ledger._sqlite import open_engine
from hydrusd.ledger._tables import metadata

HOLDER = """
import os, sys
from pathlib import Path
from hydrusd.ledger import Ledger
ledger = Ledger.open(Path(sys.argv[1]))
print(os.getpid(), flush=True)
sys.stdin.read()
"""


def refused(path: Path, *, opening=Ledger.open) -> str:
    """The text of the error, which a person reads as it is."""
    with pytest.raises(LedgerError) as caught:
        opening(path)
    text = str(caught.value)
    assert "sqlalche" not in text
    assert "sqlite3." not in text
    return text


# --- one daemon a ledger ---------------------------------------------------------------------


def test_a_second_process_is_told_who_has_the_ledger(path):
    with subprocess.Popen(
        [sys.executable, "-c", HOLDER, str(path)],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    ) as holder:
        pid = int(holder.stdout.readline())
        with pytest.raises(LedgerLocked, match=rf"process {pid}\b") as caught:
            Ledger.open(path)
        assert caught.value.pid == pid
        assert "--state-dir" in str(caught.value)
        assert Ledger.in_use(path)
        # Reading and `retry` are allowed beside it.
        LedgerReader.open(path).close()
        beside = Ledger.open(path, exclusive=False)
        assert beside.retry(NOW) == 0
        beside.close()
        holder.kill()
    # Whoever died without closing is in nobody's way.
    assert not Ledger.in_use(path)
    Ledger.open(path).close()


def test_two_in_one_process_are_two_daemons_too(path):
    first = Ledger.open(path)
    with pytest.raises(LedgerLocked) as caught:
        Ledger.open(path)
    assert caught.value.pid == os.getpid()
    first.close()
    Ledger.open(path).close()


def test_any_thread_may_close(path):
    opened = Ledger.open(path)
    closing_thread = threading.Thread(target=opened.close)
    closing_thread.start()
    closing_thread.join()
    Ledger.open(path).close()


def test_without_a_readable_pid_the_text_says_so(path):
    holder = Ledger.open(path)
    path.with_suffix(".pid").write_text("", encoding="utf-8")
    with pytest.raises(LedgerLocked, match="another process") as caught:
        Ledger.open(path)
    assert caught.value.pid is None
    holder.close()


def test_what_is_stored_is_there_after_closing(path):
    first = Ledger.open(path)
    enqueue(first, "a")
    first.close()
    second = Ledger.open(path)
    assert [job.event_key for job in claim(second)] == ["a"]
    second.close()


def test_missing_folders_are_made(tmp_path):
    path = tmp_path / "state" / "of ümläut #1 100%?" / "ledger.sqlite"
    Ledger.open(path).close()
    LedgerReader.open(path).close()


def test_every_commit_reaches_the_disk(ledger):
    with ledger._engine.connect() as connection:
        pragmas = {
            name: connection.exec_driver_sql(f"PRAGMA {name}").scalar()
            for name in ("journal_mode", "synchronous", "foreign_keys")
        }
    assert pragmas == {"journal_mode": "wal", "synchronous": 2, "foreign_keys": 1}


# --- what is no ledger -----------------------------------------------------------------------


@pytest.mark.parametrize("opening", [Ledger.open, LedgerReader.open])
def test_a_file_that_is_no_database(tmp_path, opening):
    path = tmp_path / "ledger.sqlite"
    path.write_text("a letter to my aunt\n" * 1000, encoding="utf-8")
    before = path.read_bytes()
    assert "file is not a database" in refused(path, opening=opening)
    assert path.read_bytes() == before
    # The lock went back: the next attempt fails at the file again, not at the lock.
    assert "file is not a database" in refused(path, opening=opening)


def test_a_folder_where_the_ledger_should_be(tmp_path):
    path = tmp_path / "ledger.sqlite"
    path.mkdir()
    assert str(path) in refused(path)
    assert "there is no ledger" in refused(path, opening=LedgerReader.open)


def test_a_file_where_the_folder_should_be(tmp_path):
    (tmp_path / "state").write_text("", encoding="utf-8")
    path = tmp_path / "state" / "ledger.sqlite"
    assert "cannot be kept in" in refused(path)
    assert "there is no ledger" in refused(path, opening=LedgerReader.open)


def test_something_in_the_way_of_the_lock(tmp_path):
    (tmp_path / "ledger.lock").mkdir()
    assert "cannot be kept in" in refused(tmp_path / "ledger.sqlite")


def test_something_in_the_way_of_the_pid(tmp_path):
    (tmp_path / "ledger.pid").mkdir()
    path = tmp_path / "ledger.sqlite"
    assert "cannot be kept in" in refused(path)
    (tmp_path / "ledger.pid").rmdir()
    Ledger.open(path).close()


@contextmanager
def nobody_writes(folder: Path):
    """Make a folder read-only, for the superuser of a container too."""
    if os.name == "nt":
        everyone = "*S-1-1-0"
        subprocess.run(["icacls", folder, "/deny", f"{everyone}:(W)"], check=True)
        yield
        subprocess.run(["icacls", folder, "/remove:d", everyone], check=True)
        return
    folder.chmod(0o555)
    me = os.geteuid()
    if me == 0:
        os.seteuid(65534)
    try:
        yield
    finally:
        os.seteuid(me)
        folder.chmod(0o755)


def test_a_folder_that_cannot_be_written(fresh_ledger):
    # Not tmp_path, which nobody else may enter.
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        with nobody_writes(folder):
            assert "cannot be kept in" in refused(folder / "ledger.sqlite")
            assert "cannot be kept in" in refused(folder / "state" / "ledger.sqlite")
        assert list(folder.iterdir()) == []


def test_there_is_no_ledger_yet(tmp_path):
    path = tmp_path / "ledger.sqlite"
    assert "there is no ledger" in refused(path, opening=LedgerReader.open)
    assert list(tmp_path.iterdir()) == []


def test_the_database_of_another_program_is_left_alone(tmp_path):
    path = tmp_path / "ledger.sqlite"
    with closing(sqlite3.connect(path)) as connection:
        connection.execute("CREATE TABLE account (name TEXT)")
        connection.execute("INSERT INTO account VALUES ('mine')")
        connection.commit()
    assert "belongs to something else" in refused(path)
    assert "is at no version" in refused(path, opening=LedgerReader.open)
    assert rows(path, "SELECT name FROM sqlite_master") == [("account",)]
    assert rows(path, "SELECT * FROM account") == [("mine",)]


def test_a_damaged_ledger(path):
    content = bytearray(path.read_bytes())
    content[4096:] = b"\xff" * (len(content) - 4096)
    path.write_bytes(content)
    assert f"{path} cannot be used: database disk image is malformed" in refused(path)


def test_damage_that_shows_only_later(path):
    with closing(sqlite3.connect(path)) as connection:
        connection.execute("DROP TABLE step")
    ledger = Ledger.open(path)
    enqueue(ledger, "a")
    with pytest.raises(LedgerError, match="cannot be used: no such table: step"):
        claim(ledger)
    assert rows(path, "SELECT state FROM job") == [("ready",)]
    ledger.close()
    reader = LedgerReader.open(path)
    with pytest.raises(LedgerError, match="cannot be used: no such table: step"):
        reader.jobs(1)
    reader.close()


@pytest.mark.parametrize("opening", [Ledger.open, LedgerReader.open])
def test_a_ledger_of_a_newer_version_is_not_touched(path, opening):
    with closing(sqlite3.connect(path)) as connection:
        connection.execute("UPDATE alembic_version SET version_num = '0999'")
        connection.commit()
    before = path.read_bytes()
    text = refused(path, opening=opening)
    assert "newer hydrusd" in text
    assert "'0999'" in text
    assert path.read_bytes() == before


def test_an_older_ledger_is_not_read(path, monkeypatch):
    monkeypatch.setattr(_migrating, "HEAD", "0999")
    assert "start `hydrusd run` once" in refused(path, opening=LedgerReader.open)


# --- migrations ------------------------------------------------------------------------------


FIRST = KNOWN[0]


def migrated(path, *to):
    """Make a ledger and take it through these migrations."""
    engine = open_engine(path, writes=True)
    for revision in to:
        with engine.begin() as connection:
            migrate(connection, revision)
    engine.dispose()
    return path


@pytest.mark.parametrize("way", [[HEAD], [FIRST, HEAD]], ids=["made", "migrated"])
def test_a_ledger_is_what_the_tables_say(tmp_path, way):
    engine = open_engine(migrated(tmp_path / "ledger.sqlite", *way), writes=True)
    with engine.connect() as connection:
        context = MigrationContext.configure(
            connection, opts={"compare_type": True, "compare_server_default": True}
        )
        assert compare_metadata(context, metadata) == []
    engine.dispose()


def test_a_new_ledger_is_as_one_that_was_migrated(tmp_path):
    made = migrated(tmp_path / "made.sqlite", HEAD)
    brought = migrated(tmp_path / "brought.sqlite", *KNOWN)
    names = "SELECT type, name, tbl_name FROM sqlite_master ORDER BY type, name"
    assert rows(made, names) == rows(brought, names)
    tables = [name for kind, name, _ in rows(made, names) if kind == "table"]
    assert {"event", "job", "step", "alembic_version"} <= set(tables)
    for about in ("table_xinfo", "foreign_key_list", "index_list"):
        for table in tables:
            told = [
                sorted(row[1:] for row in rows(path, f"PRAGMA {about}({table})"))
                if about != "table_xinfo"
                else rows(path, f"PRAGMA {about}({table})")
                for path in (made, brought)
            ]
            assert told[0] == told[1], (about, table)
    indexes = "SELECT sql FROM sqlite_master WHERE type = 'index' ORDER BY name"
    assert rows(made, indexes) == rows(brought, indexes)


def test_the_newest_migration_is_the_one_that_is_asked_for():
    folder = ScriptDirectory(str(Path(_migrating.__file__).parent / "migrations"))
    assert folder.get_heads() == [HEAD]
    assert {script.revision for script in folder.walk_revisions()} == set(KNOWN)


@pytest.mark.parametrize("way", [[HEAD], [FIRST, HEAD]], ids=["made", "migrated"])
def test_migrating_is_all_or_nothing(tmp_path, way):
    path = tmp_path / "ledger.sqlite"
    engine = open_engine(path, writes=True)
    with engine.connect() as connection:
        for revision in way:
            migrate(connection, revision)
        assert connection.exec_driver_sql("SELECT count(*) FROM job").scalar() == 0
    engine.dispose()  # nobody has committed
    assert rows(path, "SELECT name FROM sqlite_master") == []


def test_migrating_leaves_an_up_to_date_ledger_alone(path):
    before = rows(path, "SELECT * FROM sqlite_master")
    Ledger.open(path).close()
    assert rows(path, "SELECT * FROM sqlite_master") == before


def test_migrations_are_found_whatever_the_folder_is_called(tmp_path):
    home = tmp_path / "100% (mine)"
    shutil.copytree(
        Path(hydrusd.__file__).parent,
        home / "hydrusd",
        ignore=lambda folder, names: [n for n in names if n in {"__pycache__", "simulator"}],
    )
    code = (
        "import sys; from pathlib import Path; import hydrusd; from hydrusd.ledger import Ledger;"
        "print(hydrusd.__file__); Ledger.open(Path(sys.argv[1])).close()"
    )
    older = migrated(tmp_path / "ledger.sqlite", FIRST)
    done = subprocess.run(
        [sys.executable, "-c", code, str(older)],
        cwd=home,
        env=os.environ | {"PYTHONPATH": str(home)},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.stderr == ""
    assert Path(done.stdout.strip()).is_relative_to(home)
    assert rows(tmp_path / "ledger.sqlite", "SELECT * FROM alembic_version") == [(HEAD,)]
