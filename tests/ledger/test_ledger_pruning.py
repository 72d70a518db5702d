"""What ended long ago is let go; what it was stays known, and what is not over is not touched."""

from __future__ import annotations

import re
from contextlib import contextmanager
from datetime import timedelta

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
)
from sqlalchemy import event as sqlalchemy_event

from hydrusd.ledger import (
    FOR_GOOD,
    ClaimFilter,
    History,
    Intake,
    Ledger,
    LedgerReader,
    Listener,
    Memory,
    NewJob,
    NotMatched,
    Retention,
    keep_steps,
)
from hydrusd.ledger._pruning import BATCH, MOST_WORDS_LEFT
from hydrusd.model import UNDO_RULE, JobState, OutcomeKind

HASH = "ab" * 32
YEAR = timedelta(days=365)
OLD = Retention(later(60), None)
RULES = {"tag": "r1"}


def work(ledger, *keys, state=JobState.DONE, now=NOW, receipt=None, **changes):
    """Have these noticed and worked to an end."""
    enqueue(ledger, *keys, now=now)
    jobs = claim(ledger, now=now)
    updates = [ended(job, state, file_hash=HASH, **changes) for job in jobs]
    steps = [record(job, receipt=receipt or {"imported": HASH}) for job in jobs]
    ledger.checkpoint("me", updates, steps, now)
    return [job.id for job in jobs]


def prune(ledger, retention=OLD, **options):
    """Prune to the end, as the daemon does; the newest job is always another's."""
    after, total = None, None
    while total is None or after is not None:
        part = ledger.prune_events(retention, later(100), after=after, **options)
        total, after = part if total is None else total + part, part.cursor
    return total


def young(ledger):
    """One more job, which is the newest, and not over."""
    enqueue(ledger, "young", now=later(90))


def claimed(ledger, key):
    """Claim set after set until there is one of this event."""
    while jobs := claim(ledger, now=later(200)):
        if mine := [job for job in jobs if job.event_key == key]:
            return mine
    return []


@pytest.fixture
def history(ledger, path):
    opened = History.open(path)
    yield opened
    opened.close()


# --- identity --------------------------------------------------------------------------------


def test_a_pruned_file_is_known_and_not_had_again(ledger, path):
    work(ledger, "a", "b")
    young(ledger)
    pruned = prune(ledger)
    assert (pruned.events, pruned.jobs, pruned.steps) == (2, 2, 2)
    assert rows(path, "SELECT count(*) FROM job") == [(1,)]
    assert rows(path, "SELECT count(*) FROM step") == [(0,)]
    assert rows(path, "SELECT key, data FROM event WHERE pruned_at IS NOT NULL ORDER BY key") == [
        ("a", "{}"),
        ("b", "{}"),
    ]
    assert ledger.unseen("folder", ["a", "b", "c"], RULES) == {"c"}
    # A rewritten rule has had it, too; one that is new has not.
    assert ledger.unseen("folder", ["a"], {"tag": "r2"}) == set()
    assert ledger.unseen("folder", ["a"], {"tag": "r1", "other": "r1"}) == {"a"}
    assert enqueue(ledger, "a", "b", verdicts=[match("tag", "r9")]) == Intake(0, 0)


def test_a_rule_that_is_new_gets_a_pruned_file_with_all_that_is_known_of_it(ledger, history):
    work(ledger, "a")
    young(ledger)
    prune(ledger)
    verdicts = [match("tag"), match("other")]
    ledger.take_in("folder", [noticed("a", *verdicts, data={"url": "https://a"})], later(200))
    [made] = claimed(ledger, "a")
    assert (made.rule, made.data) == ("other", {"url": "https://a"})
    [trace] = history.about_word("https://a", 10)
    assert trace.pruned_at is None
    assert [left.rule for left in trace.pruned] == ["tag"]
    assert [item.rule for item in trace.jobs] == ["other"]


def test_what_was_there_and_is_gone_may_come_again_after_pruning(ledger):
    work(ledger, "a", frees_event=True)
    young(ledger)
    prune(ledger)
    assert ledger.unseen("folder", ["a"], RULES) == {"a"}
    assert enqueue(ledger, "a", now=later(200)) == Intake(1, 1)


def test_verdicts_outlive_their_reasons(ledger, path):
    passed = [NotMatched("tag", "r1", "not so: x"), NotMatched("other", FOR_GOOD, "was there")]
    ledger.take_in("folder", [noticed("a", *passed)], NOW)
    young(ledger)
    assert prune(ledger).reasons == 2
    both = {"tag": "r1", "other": "r5"}
    assert ledger.unseen("folder", ["a"], both) == set()
    assert ledger.unseen("folder", ["a"], {"tag": "r2"}) == {"a"}
    assert rows(path, "SELECT DISTINCT reason FROM not_matched") == [("",)]
    # Rewritten, the rule wants it: it gets it whole.
    rewritten = [match("tag", "r2"), match("other")]
    ledger.take_in("folder", [noticed("a", *rewritten, data={"n": 1})], later(200))
    made = claimed(ledger, "a")
    assert [(job.rule, job.data) for job in made] == [("tag", {"n": 1})]


def test_numbers_of_jobs_and_runs_are_never_given_twice(ledger):
    [last] = work(ledger, "a")
    assert prune(ledger).events == 0
    [after] = work(ledger, "b", now=later(1))
    assert after > last
    assert prune(ledger).events == 1
    _, runs = ledger.prune_runs(OLD, after=0)
    assert runs == 1
    assert work(ledger, "c", now=later(2)) == [after + 1]


# --- what is not touched -----------------------------------------------------------------------


@pytest.mark.parametrize("state", ["open", "running", "settling", "dead"])
def test_what_is_not_over_is_never_pruned(ledger, path, state):
    enqueue(ledger, "a")
    if state != "open":
        [job] = claim(ledger)
        update = {
            "settling": settling(job, ending=JobState.DONE),
            "dead": ended(job, JobState.DEAD),
        }.get(state)
        if update:
            ledger.checkpoint("me", [update], [record(job)], NOW)
    young(ledger)
    before = rows(path, "SELECT * FROM job"), rows(path, "SELECT * FROM event")
    assert prune(ledger, Retention(later(10**8), later(10**8))).events == 0
    assert before == (rows(path, "SELECT * FROM job"), rows(path, "SELECT * FROM event"))


def test_age_counts_from_the_last_that_happened(ledger):
    enqueue(ledger, "a")
    work(ledger, "b", now=later(59))  # claims both
    young(ledger)
    assert prune(ledger, Retention(later(59), None)).events == 0
    assert prune(ledger, Retention(later(59.5), None)).events == 2


def test_an_event_waits_for_the_youngest_of_its_jobs(ledger):
    enqueue(ledger, "a", verdicts=[match("tag"), match("other")])
    first = claim(ledger)
    ledger.checkpoint("me", [ended(j) for j in first], [record(j) for j in first], NOW)
    young(ledger)
    assert prune(ledger).events == 0
    second = claim(ledger, limit=1)
    assert [job.event_key for job in second] == ["a"]
    ledger.checkpoint("me", [ended(j) for j in second], [record(j) for j in second], NOW)
    assert prune(ledger).jobs == 2


def test_dull_work_goes_sooner(ledger, path):
    work(ledger, "useful", "also useful")
    work(ledger, "dull", receipt={"added": []}, state=JobState.SKIPPED)
    ledger.take_in("folder", [noticed("unwanted", NotMatched("tag", "r1", "no"))], NOW)
    young(ledger)
    assert prune(ledger, Retention(None, later(60))).events == 2
    gone = rows(path, "SELECT key FROM event WHERE pruned_at IS NOT NULL ORDER BY key")
    assert gone == [("dull",), ("unwanted",)]
    assert prune(ledger, Retention(None, None)).events == 0
    assert prune(ledger, Retention(later(60), None)).events == 2


def test_an_undo_that_changed_nothing_is_kept_as_long_as_what_it_undid(ledger):
    enqueue(ledger, "undone", verdicts=(match(f"{UNDO_RULE}tag"),))
    [job] = claim(ledger)
    ledger.checkpoint("me", [ended(job)], [record(job, receipt={"added": []})], NOW)
    young(ledger)
    assert prune(ledger, Retention(None, later(60))).events == 0
    assert prune(ledger, Retention(later(60), later(60))).events == 1


def test_a_dry_run_counts_the_same_and_changes_nothing(ledger, path):
    work(ledger, *map(str, range(BATCH + 5)))
    young(ledger)
    tables = ("event", "job", "step", "mention", "pruned_job", "run")
    before = [rows(path, f"SELECT * FROM {table}") for table in tables]
    foreseen = prune(ledger, dry_run=True)
    assert foreseen.events == BATCH + 5
    assert before == [rows(path, f"SELECT * FROM {table}") for table in tables]
    assert prune(ledger) == foreseen
    assert prune(ledger).events == 0


def test_dead_letters_at_the_beginning_are_in_nobodys_way(ledger):
    for number in range(3):
        work(ledger, *(f"{number} {each}" for each in range(BATCH // 2)), state=JobState.DEAD)
    work(ledger, "a")
    young(ledger)
    assert prune(ledger).events == 1


# --- runs and signals --------------------------------------------------------------------------


def test_runs_go_when_their_last_job_has_gone(ledger, history):
    work(ledger, "a")
    work(ledger, "b", state=JobState.DEAD)
    young(ledger)
    prune(ledger)
    assert ledger.prune_runs(OLD, after=0, dry_run=True) == (None, 1)
    assert ledger.prune_runs(OLD, after=0) == (None, 1)
    assert history.run(1) is None
    assert history.run_was_there(1)
    assert history.run(2) is not None
    assert not history.run_was_there(99)
    assert not history.run_was_there(0)


def test_signals_go_when_all_who_listen_have_read_them(ledger, path):
    for topic in ("fired x", "fired y", "fired x", "fired z"):
        ledger.post(topic, {}, NOW)
    ledger.post("fired x", {}, later(100))
    mine = Listener("manual", "one", frozenset({"fired x"}))
    slow = Listener("manual", "two", frozenset({"fired y"}))
    ledger.remember("manual", Memory("one", {"signal": 3}))
    assert ledger.prune_signals(later(60), [mine, slow], after=0) == (None, 3)
    left = rows(path, "SELECT id, topic FROM signal ORDER BY id")
    assert left == [(2, "fired y"), (5, "fired x")]  # unread, and young
    ledger.remember("manual", Memory("two", {"signal": 2}))
    assert ledger.prune_signals(later(60), [mine, slow], after=0) == (None, 1)
    assert ledger.newest_signal() == 5
    assert ledger.prune_signals(None, [], after=0) == (None, 0)


# --- what is told afterwards -------------------------------------------------------------------


def test_what_was_pruned_is_still_found(ledger, history):
    words = {"hash": "cd" * 32, "url": "https://a/b"}
    ledger.take_in("folder", [noticed("a|", data=words)], NOW)
    [job] = claim(ledger)
    ledger.checkpoint("me", [ended(job, file_hash=HASH)], [record(job)], later(1))
    young(ledger)
    prune(ledger)
    for found in (
        history.about_hash(HASH, 10),
        history.about_hash("cd" * 32, 10),
        history.about_word("https://a/b", 10),
        history.about_key("a|", 10),
    ):
        [trace] = found
        assert (trace.key, trace.data, trace.pruned_at) == ("a|", {}, later(100))
        [left] = trace.pruned
        assert (left.rule, left.state, left.finished_at) == ("tag", JobState.DONE, later(1))
    assert history.about_job(job.id) is None
    assert history.job_was_there(job.id)
    assert not history.job_was_there(99)


def test_of_an_event_about_many_files_only_what_it_was_stays(ledger, path):
    many = [f"{n:064x}" for n in range(MOST_WORDS_LEFT + 1)]
    ledger.take_in("folder", [noticed("a", data={"hash": many[0], "hashes": many})], NOW)
    [job] = claim(ledger)
    ledger.checkpoint("me", [ended(job, file_hash=many[0])], [record(job)], NOW)
    young(ledger)
    assert rows(path, "SELECT count(*) FROM mention") == [(len(many),)]
    prune(ledger)
    assert rows(path, "SELECT word FROM mention") == [(many[0],)]


def test_a_count_of_what_ended_outlives_it(ledger, path):
    work(ledger, "a", "b")
    work(ledger, "c", state=JobState.SKIPPED)
    young(ledger)
    reader = LedgerReader.open(path)
    before = reader.counts()
    prune(ledger)
    assert reader.counts() == before
    assert {(c.state, c.jobs) for c in before} == {
        (JobState.DONE, 2),
        (JobState.SKIPPED, 1),
        (JobState.READY, 1),
    }
    reader.close()


def test_begun_jobs_are_counted_by_the_minute(ledger):
    for seconds, jobs in ((0, 3), (20, 4), (61, 5)):
        enqueue(ledger, str(seconds))
        [job] = claim(ledger)
        ledger.checkpoint("me", [ended(job)], [], later(seconds), began={"tag": jobs})
    assert ledger.begun_since(NOW) == [("tag", NOW, 7), ("tag", later(60), 5)]
    ledger.forget_begun(later(60))
    assert ledger.begun_since(NOW) == [("tag", later(60), 5)]


# --- a million jobs ----------------------------------------------------------------------------

WALKS = re.compile(
    r"SCAN (?!CONSTANT ROW|\(subquery|condition\b|ended\b|begun\b|trigger_memory\b|alembic"
    r"|job USING (?:COVERING )?INDEX ix_job_(?:open|open_rule|dead)\b)"
)
"""Walks through tables that grow with what was ever done. What is still to be done, and dead
letters, are few: their own small indexes may be read."""


@contextmanager
def plans(engine):
    found = []

    def explain(connection, cursor, statement, parameters, context, executemany):
        if statement.split(maxsplit=1)[0] in {"SELECT", "UPDATE", "DELETE", "INSERT"}:
            given = parameters[0] if executemany else parameters
            plan = connection.connection.cursor().execute(f"EXPLAIN QUERY PLAN {statement}", given)
            found.extend((row[3], statement) for row in plan.fetchall())

    sqlalchemy_event.listen(engine, "before_cursor_execute", explain)
    yield found
    sqlalchemy_event.remove(engine, "before_cursor_execute", explain)


def test_no_statement_of_the_daemon_walks_through_what_was_ever_done(ledger, path):
    """A year's work must not slow down a start, a claim or a checkpoint."""
    ledger.listen(["finished tag"])
    with plans(ledger._engine) as found:
        ledger.clear_conditions()
        ledger.release(NOW)
        ledger.open_rules()
        ledger.latest_time()
        ledger.newest_signal()
        ledger.begun_since(NOW)
        ledger.unbegun({"tag": "r1", "other": "r1"}, 500)
        ledger.unseen("folder", ["a", "b"], RULES)
        verdicts = [match("tag"), NotMatched("other", "r1", "no")]
        memory = Memory("me", {"x": 1})
        ledger.take_in("folder", [noticed("a", *verdicts), noticed("b", *verdicts)], NOW, memory)
        dead = [NewJob("tag", "r1", "hydrus", needs_client=True, failure="cannot be judged")]
        ledger.take_in("folder", [noticed("c", *dead)], NOW)
        ledger.take_in("folder", [noticed("a", match("other", "r2"))], NOW)
        first, *others = claim(ledger, limit=2)
        ledger.renew("me", NOW)
        updates = [settling(first, ending=JobState.DONE), *(onward(job) for job in others)]
        steps = [record(job, outcome=OutcomeKind.DONE) for job in (first, *others)]
        keep_steps(ledger, "me", steps, NOW)
        ledger.checkpoint("me", updates, steps, NOW, began={"tag": 2})
        ledger.next_due(ClaimFilter("hydrus", True, frozenset({"other"})))
        ledger.bring_forward("hydrus", timedelta(seconds=1), NOW - timedelta(seconds=9))
        ledger.settling("hydrus")
        ledger.unsettled_elsewhere("hydrus", "boot 2", 100)
        ledger.resettle({first.id: None}, "boot 2", NOW)
        ledger.settle([first.id], "boot 2", NOW)
        ledger.finished([first.id])
        ledger.give_up([first.id], "x", NOW)
        ledger.retry(NOW)
        ledger.retry(NOW, ids=[3])
        ledger.retry(NOW, rule="tag")
        ledger.take_up("tag", "r1")
        ledger.drop(NOW, rule="tag")
        ledger.signals(["finished tag"], 0, 10)
        ledger.prune_events(Retention(later(60), None), later(99), after=(NOW, 0))
        ledger.prune_runs(OLD, after=0)
        ledger.prune_signals(later(60), [], after=0)
        ledger.forget_begun(NOW)
    assert len(found) > 60
    assert [plan for plan in found if WALKS.search(plan[0])] == []


@pytest.mark.parametrize(
    "asked",
    [
        LedgerReader.counts,
        LedgerReader.conditions,
        lambda reader: reader.dead(20),
        lambda reader: reader.newest_job(),
        lambda reader: reader.open_jobs("hydrus", NOW),
        lambda reader: reader.ended("tag", 1, NOW),
        lambda reader: reader.files_of("tag", 1, NOW, 10),
    ],
)
def test_no_question_of_status_walks_through_what_was_ever_done(ledger, path, asked):
    work(ledger, "a")
    reader = LedgerReader.open(path)
    with plans(reader._engine) as found:
        asked(reader)
    reader.close()
    assert found
    assert [plan for plan in found if WALKS.search(plan[0])] == []


def test_pruning_is_there_again_after_opening_anew(ledger, path):
    work(ledger, "a")
    young(ledger)
    prune(ledger)
    ledger.close()
    again = Ledger.open(path)
    assert again.unseen("folder", ["a"], RULES) == set()
    again.close()
