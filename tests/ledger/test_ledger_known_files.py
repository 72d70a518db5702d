"""What the ledger vouches for: never a file that it would call unseen."""

from __future__ import annotations

import os
import shutil
import tempfile
from pathlib import Path

import pytest
from hypothesis import HealthCheck, Phase, settings, strategies as st
from hypothesis.stateful import (
    RuleBasedStateMachine,
    initialize,
    precondition,
    rule,
    run_state_machine_as_test,
)
from ledgering import NOW, claim, ended, noticed, rows

from hydrusd.file_groups import Tally, part_of
from hydrusd.ledger import Ledger, NewJob, NotMatched
from hydrusd.ledger._known_files import SPARE
from hydrusd.plugin import FileSource

ROOT = Path.cwd().anchor
FOLDER = os.path.join(ROOT, "inbox")  # noqa: PTH118
VIEW, OTHER = b"v" * 16, b"o" * 16


def source(name, folder=FOLDER, mtime=1):
    return FileSource(Path(folder, name), Path(ROOT), 5, mtime, 7)


def digests(sources, folder=FOLDER):
    tally = Tally()
    tally.add((s.path.name, s.size, s.mtime_ns, s.inode) for s in sources)
    return {(folder, part): digest for part, digest in tally.digests().items()}


def notice(ledger, *sources, matches=True):
    verdict = NewJob("tag", "r1", "hydrus", needs_client=False)
    verdict = verdict if matches else NotMatched("tag", "r1", "not so")
    pending = [noticed(s.key, verdict, data={"file": s.to_data()}) for s in sources]
    ledger.take_in("folder", pending, NOW)


def unseen(ledger, sources, revision="r1"):
    return ledger.unseen("folder", [s.key for s in sources], {"tag": revision})


def vouch(ledger, sources, *, view=VIEW, token=b"t" * 16, folder=FOLDER):
    given = digests(sources, folder)
    doubted = ledger.doubt(view, given, token)
    ledger.vouch(view, {group: given[group] for group in doubted}, token)


def doubted(ledger, sources, *, view=VIEW, folder=FOLDER):
    return ledger.doubt(view, digests(sources, folder), b"d" * 16)


def free(ledger):
    """Have every job end and its source be gone."""
    jobs = claim(ledger)
    updates = [ended(job, frees_event=True) for job in jobs]
    ledger.checkpoint("me", updates, [], NOW)


def test_what_was_vouched_for_is_doubted_no_more_even_after_a_restart(ledger, path):
    files = [source("a.jpg"), source("b.jpg")]
    assert doubted(ledger, files) == {(FOLDER, 1)}
    vouch(ledger, files)
    assert doubted(ledger, files) == frozenset()
    ledger.close()
    again = Ledger.open(path)
    assert doubted(again, files) == frozenset()
    again.close()


def test_what_was_only_doubted_is_doubted_again(ledger):
    files = [source("a.jpg")]
    assert doubted(ledger, files)
    assert doubted(ledger, files)


def test_any_change_is_doubted_and_so_is_its_taking_back(ledger):
    files = [source("a.jpg"), source("b.jpg")]
    vouch(ledger, files)
    assert doubted(ledger, [files[0], source("b.jpg", mtime=2)])
    assert doubted(ledger, files)


def test_nobody_can_vouch_without_having_doubted(ledger, path):
    ledger.vouch(VIEW, digests([source("a.jpg")]), b"t" * 16)
    assert rows(path, "SELECT * FROM known_files") == []


def test_of_two_who_doubt_only_the_later_can_vouch(ledger):
    files = [source("a.jpg")]
    given = digests(files)
    ledger.doubt(VIEW, given, b"1" * 16)
    ledger.doubt(VIEW, given, b"2" * 16)
    ledger.vouch(VIEW, given, b"1" * 16)
    assert doubted(ledger, files)


@pytest.mark.parametrize("when", ["after it was vouched for", "while it was asked about"])
def test_a_file_whose_event_is_free_is_doubted(ledger, when):
    files = [source("a.jpg")]
    notice(ledger, *files)
    given = digests(files)
    assert ledger.doubt(VIEW, given, b"t" * 16)
    assert unseen(ledger, files) == set()
    if when == "while it was asked about":
        free(ledger)
    ledger.vouch(VIEW, given, b"t" * 16)
    if when == "after it was vouched for":
        assert doubted(ledger, files) == frozenset()
        free(ledger)
    assert unseen(ledger, files) == {files[0].key}
    assert doubted(ledger, files) == {(FOLDER, 1)}


def test_a_freed_event_disturbs_its_group_only_whoever_looks(ledger):
    files = [source(f"{n}.jpg") for n in range(1000)]
    elsewhere = [source("0.jpg", f"{FOLDER}2")]
    for view in (VIEW, OTHER):
        vouch(ledger, files, view=view)
        vouch(ledger, elsewhere, view=view, folder=f"{FOLDER}2")
    notice(ledger, files[0])
    free(ledger)
    for view in (VIEW, OTHER):
        assert doubted(ledger, files, view=view) == {(FOLDER, part_of("0.jpg", 2))}
        assert not doubted(ledger, elsewhere, view=view, folder=f"{FOLDER}2")


def test_keys_that_are_no_files_are_freed_as_well(ledger):
    verdict = NewJob("tag", "r1", "hydrus", needs_client=False)
    keys = ["plain", '"unfinished', '["a", "list"]|1', "17", '"a url list"|http://x/']
    ledger.take_in("folder", [noticed(key, verdict) for key in keys], NOW)
    free(ledger)
    assert ledger.unseen("folder", keys, {"tag": "r1"}) == {*keys}


def test_names_that_are_no_unicode(ledger):
    files = [source(os.fsdecode(b"caf\xe9.jpg"))]
    notice(ledger, *files)
    vouch(ledger, files)
    assert not doubted(ledger, files)
    free(ledger)
    assert doubted(ledger, files)


def test_other_views_are_strangers_and_are_forgotten(ledger, path):
    files = [source("a.jpg")]
    vouch(ledger, files)
    assert doubted(ledger, files, view=OTHER)
    ledger.forget_other_views([OTHER])
    assert doubted(ledger, files)
    ledger.forget_other_views([])
    assert rows(path, "SELECT * FROM known_files") == []


def test_a_folder_leaves_no_groups_of_another_size_behind(ledger, path):
    files = [source(f"{n}.jpg") for n in range(1000)]
    vouch(ledger, files)
    assert len(rows(path, "SELECT * FROM known_files")) == 4
    vouch(ledger, files[:10])
    assert len(rows(path, "SELECT * FROM known_files")) == 1
    assert not doubted(ledger, files[:10])


def test_folders_that_are_gone_do_not_pile_up(ledger, path):
    def many(count):
        return {(f"{FOLDER}{n}", 1): b"d" * 16 for n in range(count)}

    ledger.doubt(VIEW, many(SPARE + 21), b"t" * 16)
    ledger.doubt(OTHER, many(3), b"t" * 16)
    ledger.forget_if_stale(VIEW, 11)
    assert len(rows(path, "SELECT * FROM known_files")) == SPARE + 24
    ledger.forget_if_stale(VIEW, 10)
    assert len(rows(path, "SELECT * FROM known_files")) == 3


NAMES = st.sampled_from(["a.jpg", "b.jpg"])
WALKS = st.sampled_from("ab")


class Vouching(RuleBasedStateMachine):
    """Files come, change, are dealt with, go and come back, while two walks take their time."""

    @initialize(fresh=st.just(None))
    def open(self, fresh):
        del fresh
        self.folder = tempfile.mkdtemp()
        shutil.copy(self.fresh_ledger, self.folder)
        self.ledger = Ledger.open(Path(self.folder, "ledger.sqlite"))
        with self.ledger._engine.connect() as connection:
            connection.exec_driver_sql("ROLLBACK")
            connection.exec_driver_sql("PRAGMA synchronous=OFF")  # nothing crashes here
            connection.exec_driver_sql("BEGIN")
        self.there = {"a.jpg": source("a.jpg")}
        self.walks = {}
        self.count = 0

    def teardown(self):
        self.ledger.close()
        shutil.rmtree(self.folder)

    @rule(name=NAMES, mtime=st.integers(1, 2))
    def write(self, name, mtime):
        self.there[name] = source(name, mtime=mtime)

    @rule(matches=st.sampled_from([True, True, False]))
    def scan(self, matches):
        self.begin("a")
        self.ask("a")
        self.end("a")
        notice(self.ledger, *self.there.values(), matches=matches)
        self.begin("a")
        self.ask("a")
        self.end("a")

    @rule(name=NAMES)
    def remove(self, name):
        self.there.pop(name, None)

    @rule()
    def take_in(self):
        notice(self.ledger, *self.there.values())

    @rule()
    def dispose(self):
        free(self.ledger)

    @rule(walk=WALKS)
    def begin(self, walk):
        self.count += 1
        files = list(self.there.values())
        token = self.count.to_bytes(16, "big")
        groups = self.ledger.doubt(VIEW, digests(files), token)
        if not groups:
            assert unseen(self.ledger, files) == set()
        self.walks[walk] = (files, token, groups)

    @precondition(lambda self: self.walks)
    @rule(walk=WALKS)
    def ask(self, walk):
        if walk in self.walks:
            files, token, groups = self.walks[walk][:3]
            if unseen(self.ledger, files):
                del self.walks[walk]
            else:
                self.walks[walk] = (files, token, groups, "asked")

    @precondition(lambda self: self.walks)
    @rule(walk=WALKS)
    def end(self, walk):
        if len(self.walks.get(walk, ())) == 4:
            files, token, groups, _ = self.walks.pop(walk)
            given = digests(files)
            self.ledger.vouch(VIEW, {group: given[group] for group in groups}, token)


def test_whatever_happens_no_unseen_file_is_vouched_for(fresh_ledger):
    class Machine(Vouching):
        pass

    Machine.fresh_ledger = fresh_ledger
    run_state_machine_as_test(
        Machine,
        settings=settings(
            max_examples=50,
            stateful_step_count=20,
            deadline=None,
            phases=[Phase.generate],  # to shrink a failure would take many minutes
            suppress_health_check=list(HealthCheck),
        ),
    )
