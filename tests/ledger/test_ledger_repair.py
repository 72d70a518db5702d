"""A damaged ledger: what can be read of it, what its backup knows, and what is made of both."""

from __future__ import annotations

import json
import random
import shutil
import sqlite3
from contextlib import closing

import pytest
from ledgering import (
    NOW,
    claim,
    ended,
    enqueue,
    later,
    match,
    noticed,
    onward,
    record,
    rows,
    settling,
    states,
)

from hydrusd.errors import LedgerDamaged, LedgerError, LedgerLocked
from hydrusd.ledger import (
    FOR_GOOD,
    Ledger,
    LedgerReader,
    Memory,
    NotMatched,
    Occasion,
    Repair,
    back_up,
    examine,
)
from hydrusd.ledger._backups import problems_of
from hydrusd.ledger._migrating import HEAD, migrate
from hydrusd.ledger._sqlite import open_engine

PAGE = 4096
STEPS = {"do": [{"add_file": None}, {"add_tags": {"my tags": "a"}}, {"notify": {"to": "me"}}]}


def careful(action):
    return action not in {"add_file", "add_tags"}


def repair(path, *, told=None):
    tell = (told if told is not None else []).append
    mending = Repair.begin(path)
    try:
        result = mending.prepare(later(1e6), careful=careful, tell=tell)
        kept = mending.finish(later(1e6))
    finally:
        mending.close()
    return result, kept


def sound(path):
    """See that it is a ledger like any other, in which everything belongs to something."""
    assert problems_of(path) == []
    health = examine(path)
    assert health.problems == []
    with closing(sqlite3.connect(path)) as connection:
        made = {r[0] for r in connection.execute("SELECT name FROM sqlite_master")}
    assert not any("repair" in name or "found" in name for name in made)
    reader = LedgerReader.open(path)
    reader.counts()
    reader.close()
    assert sorted(p.name for p in path.parent.iterdir() if "unfinished" in p.name) == []


def table_pages(path, *names):
    """Give the pages on which the rows of these tables and indexes lie, without their roots."""
    with closing(sqlite3.connect(path)) as connection:
        try:
            found = connection.execute(
                f"SELECT pageno FROM dbstat WHERE name IN ({','.join('?' * len(names))}) "
                "AND pagetype = 'leaf' AND path <> '/'",
                names,
            ).fetchall()
        except sqlite3.OperationalError:
            pytest.fail("this SQLite cannot tell which page is whose")
    return [row[0] for row in found]


def spoil(path, pages, *, seed=1, with_zeroes=False):
    content = bytearray(path.read_bytes())
    chance = random.Random(seed)
    for number in pages:
        junk = bytes(PAGE) if with_zeroes else chance.randbytes(PAGE)
        content[(number - 1) * PAGE : number * PAGE] = junk
    path.write_bytes(content)


def everything(path):
    """All rows that tell of the past, by table."""
    with closing(sqlite3.connect(path)) as connection:
        return {
            table: set(connection.execute(f"SELECT * FROM {table} {order}"))
            for table, order in (("event", ""), ("job", ""), ("step", ""), ("mention", ""))
        }


def unfinished(path):
    return {row[0] for row in rows(path, "SELECT id FROM job WHERE finished_at IS NULL")}


@pytest.fixture
def lived(tmp_path, a_life):
    """A ledger with 1,200 jobs of which half are done, a backup, and as much again since then."""
    shutil.copytree(a_life, tmp_path / "state")
    return tmp_path / "state" / "ledger.sqlite"


@pytest.fixture(scope="session")
def a_life(tmp_path_factory, fresh_ledger):
    path = tmp_path_factory.mktemp("life") / "ledger.sqlite"
    shutil.copy(fresh_ledger, path)
    ledger = Ledger.open(path)
    ledger.remember_rules([("tag", "r1", json.dumps(STEPS)), ("plain", "r1", "{}")], NOW)

    def live(first, count):
        for start in range(first, first + count, 400):
            enqueue(ledger, *(f"key {n}" for n in range(start, start + 400)))
        for _ in range(3):
            jobs = claim(ledger, limit=count // 6)
            hashes = {job.id: f"{job.id:064x}" for job in jobs}
            ledger.checkpoint(
                "me",
                [ended(job, file_hash=hashes[job.id]) for job in jobs],
                [record(job, values={"hash": hashes[job.id]}) for job in jobs],
                NOW,
            )

    live(0, 1200)
    back_up(path, Occasion.DAILY, later(3600))
    live(1200, 1200)
    ledger.close()
    return path.parent


# --- nothing is made worse -------------------------------------------------------------------


def test_of_a_sound_ledger_all_is_read(lived):
    before = everything(lived)
    result, kept = repair(lived)
    assert result.whole
    assert (result.from_backup, result.lost_jobs, result.unjudged, result.asking) == (0, 0, 0, 0)
    assert everything(lived) == before
    assert everything(kept) == before
    sound(lived)


@pytest.mark.parametrize("seed", range(5))
@pytest.mark.parametrize("with_backup", [True, False])
def test_whatever_is_damaged_what_is_made_is_sound_and_true(lived, seed, with_backup):
    truth, open_before = everything(lived), unfinished(lived)
    [backup] = list((lived.parent / "backups").iterdir())
    known, open_then = everything(backup), unfinished(backup)
    if not with_backup:
        backup.unlink()
    pages = lived.stat().st_size // PAGE
    chance = random.Random(seed)
    damaged = chance.sample(range(2, pages + 1), chance.choice([1, 5, pages // 10]))
    spoil(lived, damaged, seed=seed, with_zeroes=bool(seed % 2))
    result, _ = repair(lived)
    sound(lived)
    made = everything(lived)
    for table in ("event", "step"):
        # Nothing is made up: each row is as it is, or as it was.
        assert made[table] <= truth[table] | known[table]
    told_anew = {row[0] for row in made["job"] - truth["job"] - known["job"]}
    assert told_anew <= open_before | open_then
    if with_backup:
        assert {row[0] for row in made["event"]} >= {row[0] for row in known["event"]}
        assert {row[0] for row in made["job"]} >= {row[0] for row in known["job"]}
    assert len(made["job"]) + result.lost_jobs <= len(truth["job"])
    events = {row[0]: row for row in made["event"]}
    assert {pair for pair in truth["mention"] if pair[0] in events} >= {
        pair for pair in made["mention"] if pair[1].startswith("key")
    }


@pytest.mark.parametrize("how", ["zeroes", "junk", "another file"])
def test_with_the_first_page_gone_the_rest_is_still_read(lived, how):
    before = everything(lived)
    content = bytearray(lived.read_bytes())
    head = {"zeroes": bytes(PAGE), "junk": random.Random(1).randbytes(PAGE)}
    content[:PAGE] = head.get(how, b"a letter to my aunt\n" * 205)[:PAGE]
    lived.write_bytes(content)
    assert examine(lived).problems
    result, _ = repair(lived)
    assert result.whole
    assert everything(lived) == before
    sound(lived)


def test_a_file_that_was_cut_off_gives_what_was_before_the_cut(lived):
    before = everything(lived)
    lived.write_bytes(lived.read_bytes()[: lived.stat().st_size * 2 // 3 + 100])
    result, _ = repair(lived)
    assert sum(salvage.rows for salvage in result.tables.values()) > 1000
    assert not result.whole
    made = everything(lived)
    assert len(made["event"]) >= 1200
    assert made["event"] <= before["event"]
    sound(lived)


@pytest.mark.parametrize("how", ["empty", "gone", "junk"])
def test_with_nothing_to_read_the_backup_takes_its_place(lived, how):
    [backup] = list((lived.parent / "backups").iterdir())
    known = everything(backup)
    if how == "gone":
        lived.unlink()
    else:
        lived.write_bytes(b"" if how == "empty" else random.Random(1).randbytes(300_000))
    result, kept = repair(lived)
    assert result.backup.path == backup
    assert result.tables == {}
    assert result.from_backup == 1200
    assert everything(lived)["event"] == known["event"]
    assert (kept is None) is (how == "gone")
    sound(lived)
    Ledger.open(lived).close()


def test_a_backup_that_is_damaged_itself_is_passed_over(lived):
    ledger = Ledger.open(lived)
    newer = back_up(lived, Occasion.ASKED, later(7200)).path
    ledger.close()
    spoil(newer, range(10, 30))
    lived.unlink()
    result, _ = repair(lived)
    assert "daily" in result.backup.path.name
    sound(lived)


def test_with_nothing_at_all_nothing_is_done(path):
    path.write_bytes(random.Random(1).randbytes(50_000))
    before = path.read_bytes()
    with pytest.raises(LedgerDamaged, match=r"nothing can be read .*begin anew"):
        repair(path)
    assert path.read_bytes() == before
    assert {p.name for p in path.parent.iterdir()} <= {path.name, "ledger.lock", "ledger.pid"}


# --- rows from two times ---------------------------------------------------------------------


def lose(path, table, *more):
    """Damage every page with rows of a table, but not what else there is."""
    spoil(path, table_pages(path, table, *more), with_zeroes=True)


def test_a_page_full_of_well_formed_lies_is_not_believed(lived):
    content = lived.read_bytes()
    # The same length, and wrong: what a stuck memory chip does.
    lies = content.replace(b"2026-01-01T12:00:00.000000Z", b"2026-01-01T12:00\xff\x00\x01lies are")
    lived.write_bytes(lies.replace(b'"done"', b'"dine"'))
    result, _ = repair(lived)
    assert sum(salvage.refused for salvage in result.tables.values()) > 1000
    sound(lived)
    [(odd,)] = rows(lived, "SELECT count(*) FROM event WHERE noticed_at NOT LIKE '2026-01-01T12%Z'")
    assert odd == 0


def test_jobs_from_the_backup_go_on_unless_doing_them_twice_would_show(path):
    ledger = Ledger.open(path)
    plain = json.dumps({"do": [{"add_file": None}, "add_tags"]})
    late = json.dumps({"do": [{"notify": None}, {"add_file": None}]})
    rules = [("loud", "r1", json.dumps(STEPS)), ("quiet", "r1", plain), ("early", "r1", late)]
    ledger.remember_rules(rules, NOW)
    for rule in ("loud", "quiet", "early", "unknown"):
        enqueue(ledger, f"of {rule}", verdicts=[match(rule)])
    [job] = [j for j in _claim_all(ledger) if j.rule == "early"]
    done = record(job, action="notify")
    ledger.checkpoint("me", [onward(job)], [done], NOW)  # its message is sent by then
    ledger.release(NOW)
    back_up(path, Occasion.DAILY, later(3600))
    ledger.close()
    path.unlink()
    result, _ = repair(path)
    assert states(path) == {
        "of loud": "dead",
        "of quiet": "ready",
        "of early": "ready",
        "of unknown": "dead",
    }
    assert (result.from_backup, result.going_on, result.asking) == (4, 2, 2)
    ledger = Ledger.open(path)
    reader = LedgerReader.open(path)
    letters = reader.dead(10)
    reader.close()
    assert all("2026-01-01 13:00" in letter.detail for letter in letters)
    # A person may have them done all the same.
    assert ledger.retry(later(2e6)) == 2
    ledger.close()


def _claim_all(ledger):
    jobs = []
    while more := claim(ledger):
        jobs += more
    return jobs


def test_what_was_read_of_the_ledger_itself_is_not_doubted(lived):
    lose(lived, "run")
    result, _ = repair(lived)
    assert (result.from_backup, result.asking, result.beginning) == (0, 0, 0)
    assert rows(lived, "SELECT count(*) FROM job WHERE state = 'dead'") == [(0,)]


def test_jobs_begin_again_where_it_is_not_known_what_their_steps_did(path):
    """What is not known to have been done would not be missed after the client's next restart."""
    ledger = Ledger.open(path)
    ledger.remember_rules([("tag", "r1", json.dumps({"do": ["add_file", "add_tags"]}))], NOW)
    enqueue(ledger, *(f"key {n}" for n in range(600)))
    while jobs := claim(ledger, limit=200):
        if jobs[0].step == 1:
            break
        updates = [
            settling(job, step=2) if job.id % 2 else onward(job, step=1, run_at=later(60))
            for job in jobs
        ]
        ledger.checkpoint("me", updates, [record(job, detail="x" * 500) for job in jobs], NOW)
    ledger.release(NOW)
    ledger.close()
    lose(path, "step")
    result, _ = repair(path)
    assert result.tables["step"].rows < 600
    known = {row[0] for row in rows(path, "SELECT job_id FROM step")}
    begun = rows(path, "SELECT id, step, boot FROM job WHERE state = 'ready'")
    assert result.beginning > 100
    # Settling ones have done two steps, of which at most one is known.
    assert all(step == 0 and boot is None for i, step, boot in begun if i not in known)
    assert rows(path, "SELECT count(*) FROM job WHERE state = 'settling'") == [(0,)]
    sound(path)


def test_what_was_deleted_stays_deleted_and_what_was_freed_stays_free(path):
    ledger = Ledger.open(path)
    ledger.take_in("folder", [noticed("a", NotMatched("tag", "r1", "no"))], NOW)
    ledger.remember("folder", Memory("f", {"gone": 1, "kept": 1}))
    enqueue(ledger, "b")
    back_up(path, Occasion.DAILY, later(3600))
    ledger.take_in("folder", [noticed("a", match(revision="r2"))], NOW)
    ledger.remember("folder", Memory("f", {"gone": None, "kept": 2}))
    [job] = [j for j in claim(ledger) if j.event_key == "b"]
    ledger.checkpoint("me", [ended(job, frees_event=True)], [record(job)], NOW)
    enqueue(ledger, "b")
    ledger.close()
    before = everything(path)
    result, _ = repair(path)
    assert result.whole
    assert everything(path) == before
    assert rows(path, "SELECT name, value FROM trigger_memory") == [("kept", 2)]
    assert rows(path, "SELECT * FROM not_matched") == []


def test_an_event_of_the_backup_whose_key_stands_for_a_newer_one_is_free(lived):
    ledger = Ledger.open(lived)
    jobs = claim(ledger, limit=200)
    ledger.checkpoint("me", [ended(j, frees_event=True) for j in jobs], [], NOW)
    keys = [job.event_key for job in jobs]
    for start in range(0, len(keys), 100):
        enqueue(ledger, *keys[start : start + 100])
    ledger.close()
    # The oldest rows are lost, the newest are not.
    pages = table_pages(lived, "event")
    spoil(lived, sorted(pages)[: len(pages) // 2])
    repair(lived)
    sound(lived)
    twice = "SELECT count(*) FROM event WHERE freed = 0 GROUP BY key HAVING count(*) > 1"
    assert rows(lived, twice) == []
    assert rows(lived, "SELECT count(*) FROM event WHERE freed = id")[0][0] > 0


def test_an_event_without_its_jobs_is_noticed_again(lived):
    lose(lived, "job")
    [backup] = list((lived.parent / "backups").iterdir())
    backup.unlink()
    result, _ = repair(lived)
    sound(lived)
    assert result.unjudged > 100
    unjudged = rows(
        lived, "SELECT key FROM event WHERE id NOT IN (SELECT event_id FROM job) LIMIT 5"
    )
    keys = [key for (key,) in unjudged]
    ledger = Ledger.open(lived)
    assert ledger.unseen("folder", keys, {"tag": "r1"}) == set(keys)
    assert enqueue(ledger, *keys).jobs == 5
    ledger.close()


def test_jobs_without_their_event_are_gone_and_told(lived):
    [backup] = list((lived.parent / "backups").iterdir())
    backup.unlink()
    # With the indexes, or their keys would still be known.
    lose(lived, "event")
    result, _ = repair(lived)
    sound(lived)
    assert result.lost_jobs > 100
    assert result.lost[0].rule == "tag"
    assert {job.state for job in result.lost} <= {"done", "ready", "running"}
    # So the same file is news, and is done again.
    ledger = Ledger.open(lived)
    gone = f"key {result.lost[0].job_id - 1}"
    assert ledger.unseen("folder", [gone], {"tag": "r1"}) == {gone}
    ledger.close()


def test_no_listener_takes_a_new_signal_for_an_old_one(path):
    ledger = Ledger.open(path)
    ledger.post("t", {"n": 1}, NOW)
    back_up(path, Occasion.DAILY, later(3600))
    for n in range(2, 60):
        ledger.post("t", {"n": n, "padding": "x" * 2000}, NOW)
    ledger.remember("rule_finished", Memory("mine", {"signal": 59}))
    ledger.close()
    lose(path, "signal")
    repair(path)
    ledger = Ledger.open(path)
    ledger.post("t", {"n": "new"}, later(2e6))
    [new] = ledger.signals(["t"], 59, 10)
    assert new.id >= 60
    ledger.close()


def test_what_was_passed_over_for_good_stays_so(path):
    ledger = Ledger.open(path)
    ledger.take_in("folder", [noticed("a", NotMatched("tag", FOR_GOOD, "no"))], NOW)
    ledger.close()
    repair(path)
    ledger = Ledger.open(path)
    assert enqueue(ledger, "a").jobs == 0
    ledger.close()


def test_a_ledger_of_an_older_version_is_repaired_and_brought_up_to_date(tmp_path):
    path = tmp_path / "ledger.sqlite"
    engine = open_engine(path, writes=True)
    with engine.begin() as connection:
        migrate(connection, "0001")
        for n in range(300):
            connection.exec_driver_sql(
                "INSERT INTO event (trigger, key, data, noticed_at) VALUES "
                f"""('folder', 'k{n}', '{{"file": {{"name": "{n}.jpg"}}}}', """
                "'2026-01-01T00:00:00.000000Z')"
            )
    engine.dispose()
    result, _ = repair(path)
    assert result.whole
    assert rows(path, "SELECT version_num FROM alembic_version") == [(HEAD,)]
    assert rows(path, "SELECT count(*) FROM event JOIN mention ON event_id = id") == [(300,)]
    sound(path)


# --- being interrupted -----------------------------------------------------------------------


def test_no_daemon_meanwhile(path):
    ledger = Ledger.open(path)
    with pytest.raises(LedgerLocked):
        Repair.begin(path)
    ledger.close()
    mending = Repair.begin(path)
    with pytest.raises(LedgerLocked):
        Ledger.open(path)
    mending.close()
    Ledger.open(path).close()


def test_given_up_it_has_changed_nothing(lived):
    spoil(lived, [lived.stat().st_size // PAGE // 2])
    before = lived.read_bytes()
    mending = Repair.begin(lived)
    mending.prepare(NOW, careful=careful)
    mending.give_up()
    mending.close()
    assert lived.read_bytes() == before
    left = {p.name for p in lived.parent.iterdir() if p.stat().st_size}
    assert left <= {"backups", "ledger.lock", "ledger.pid", "ledger.sqlite", "ledger.sqlite-shm"}


@pytest.mark.parametrize("after", [1, 2])
def test_killed_between_two_renames_it_is_ended_by_the_next_one(lived, after, monkeypatch):
    spoil(lived, [lived.stat().st_size // PAGE // 2])
    # As a killed daemon leaves it; it must not be taken for that of the new ledger.
    lived.with_name("ledger.sqlite-wal").write_bytes(b"of the old one" * 100)

    class KilledError(BaseException):
        pass

    mending = Repair.begin(lived)
    mending.prepare(NOW, careful=careful)
    renamed, replace = [], type(lived).replace

    def kill(self, target):
        if len(renamed) == after:
            raise KilledError
        renamed.append(target)
        return replace(self, target)

    with monkeypatch.context() as patched:
        patched.setattr(type(lived), "replace", kill)
        with pytest.raises(KilledError):
            mending.finish(NOW)
    mending._lock.release()
    assert not lived.exists()
    with pytest.raises(LedgerDamaged, match="hydrusd ledger repair"):
        Ledger.open(lived)

    result, _ = repair(lived)
    assert result.finished_before
    sound(lived)
    assert not lived.with_name("ledger.sqlite-wal").exists()
    Ledger.open(lived).close()


def test_the_backups_are_left_as_they_are(lived):
    [backup] = list((lived.parent / "backups").iterdir())
    before = backup.read_bytes()
    lived.unlink()
    repair(lived)
    assert backup.read_bytes() == before
    assert [backup] == list((lived.parent / "backups").iterdir())


def test_looking_at_what_is_not_there_or_is_no_ledger(tmp_path):
    with pytest.raises(LedgerError, match="there is no ledger"):
        examine(tmp_path / "ledger.sqlite")
    with closing(sqlite3.connect(tmp_path / "other.sqlite")) as connection:
        connection.execute("CREATE TABLE account (name TEXT)")
    assert "not a ledger" in examine(tmp_path / "other.sqlite").problems[0]


def test_missing_tables_and_stray_rows_are_named(path):
    with closing(sqlite3.connect(path)) as connection:
        connection.execute("DROP TABLE signal")
        connection.execute(
            "INSERT INTO step VALUES (9, 0, 'a', 'done', '', '{}', NULL, "
            "'2026-01-01T00:00:00.000000Z', NULL)"
        )
        connection.commit()
    problems = examine(path).problems
    assert "the table signal is missing" in problems
    assert any("1 rows of step" in problem for problem in problems)
    result, _ = repair(path)
    assert not result.tables["signal"].whole if "signal" in result.tables else True
    sound(path)


def test_of_a_damaged_ledger_the_newest_time_counts(lived):
    """What is older in the backup never overwrites what the ledger itself says."""
    truth = {row[0]: row for row in everything(lived)["job"]}
    finished = truth.keys() - unfinished(lived)
    spoil(lived, table_pages(lived, "job")[3:5])
    repair(lived)
    made = {row[0]: row for row in everything(lived)["job"]}
    assert sum(made[i] == truth[i] for i in made) > 2000
    assert len(finished - unfinished(lived)) > 1000


def test_nothing_is_vouched_for_after_a_repair(lived):
    group = {("/inbox", 1): b"d" * 16}
    ledger = Ledger.open(lived)
    ledger.doubt(b"v" * 16, group, b"t" * 16)
    ledger.vouch(b"v" * 16, group, b"t" * 16)
    assert ledger.doubt(b"v" * 16, group, b"u" * 16) == frozenset()
    ledger.close()
    back_up(lived, Occasion.DAILY, later(9e5))  # the backup vouches as well
    spoil(lived, table_pages(lived, "step"))
    repair(lived)
    sound(lived)
    assert rows(lived, "SELECT * FROM known_files") == []
    again = Ledger.open(lived)
    assert again.doubt(b"v" * 16, group, b"u" * 16) == group.keys()
    again.close()
