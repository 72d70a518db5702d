"""What people ask: found by path, name, URL, hash and number, and never by walking the ledger."""

from __future__ import annotations

import json
import re
from pathlib import Path

import pytest
from alembic import command
from alembic.config import Config
from ledgering import NOW, claim, ended, enqueue, later, match, onward, record, rows, settling
from sqlalchemy import event as sqlalchemy_event

from hydrusd.ledger import (
    FOR_GOOD,
    History,
    NewJob,
    NotMatched,
    PendingEvent,
    _migrating,
    waits_for,
)
from hydrusd.ledger._mentioning import words_in_event, words_in_values
from hydrusd.ledger._migrating import migrate
from hydrusd.ledger._sqlite import open_engine
from hydrusd.model import Event, JobState, OutcomeKind

HASH = "ab" * 32
OTHER = "cd" * 32


@pytest.fixture
def history(ledger, path):
    opened = History.open(path)
    yield opened
    opened.close()


def a_file(path: str, size: int = 1, *verdicts) -> PendingEvent:
    data = {"file": {"path": path, "name": path.rpartition("/")[2]}}
    return PendingEvent(Event(f"{json.dumps(path)}|{size}|0|", data), verdicts or (match(),))


def keys(traces):
    return [trace.key for trace in traces]


# --- items -----------------------------------------------------------------------------------


def test_a_path_finds_all_that_was_noticed_there_and_nothing_else(ledger, history):
    ledger.take_in("folder", [a_file("/in/a.png"), a_file("/in/a.png", 2)], NOW)
    ledger.take_in("other", [a_file("/in/a.png")], later(1))
    ledger.take_in("folder", [a_file("/in/a.png.jpg"), a_file("/in/A.png")], NOW)
    traces = history.about_key('"/in/a.png"|', 10)
    assert [(t.trigger, t.key) for t in traces] == [
        ("folder", '"/in/a.png"|1|0|'),
        ("folder", '"/in/a.png"|2|0|'),
        ("other", '"/in/a.png"|1|0|'),
    ]
    assert history.about_key('"/in/a.png"|', 1) == traces[-1:]


def test_a_trace_has_jobs_with_steps_and_verdicts(ledger, history):
    refusal = NotMatched("gifs", "r2", "not so: file.suffix == '.gif'")
    passed = NotMatched("old", FOR_GOOD, "was there before the rule")
    ledger.take_in("folder", [a_file("/in/a.png", 1, match(), refusal, passed)], NOW)
    (job,) = claim(ledger)
    step = record(job, receipt={"imported": HASH}, began_at=later(1))
    update = ended(job, file_hash=HASH, detail="imported", frees_event=True)
    ledger.checkpoint("me", [update], [step], later(3))
    (trace,) = history.about_key('"/in/a.png"|', 10)
    assert not trace.there
    (item,) = trace.jobs
    assert (item.rule, item.revision, item.state) == ("tag", "r1", JobState.DONE)
    assert (item.created_at, item.finished_at) == (NOW, later(3))
    (done,) = item.steps
    assert (done.action, done.outcome, done.receipt) == (
        "add_file",
        OutcomeKind.DONE,
        {"imported": HASH},
    )
    assert (done.began_at, done.ended_at, done.seconds) == (later(1), later(3), 2.0)
    assert [(v.rule, v.revision, v.reason, v.for_good) for v in trace.not_taken] == [
        ("gifs", "r2", "not so: file.suffix == '.gif'", False),
        ("old", FOR_GOOD, "was there before the rule", True),
    ]
    assert history.about_job(job.id) == trace
    assert history.about_job(job.id + 1) is None


def test_words_find_names_urls_and_hashes(ledger, history):
    url = {"url": "https://site/1?a=b", "normalised": "https://site/1"}
    noticed = [
        a_file("/in/caf\udce9.png"),
        PendingEvent(Event("u", url), [match()]),
        PendingEvent(Event("h", {"hash": HASH}), [NotMatched("tag", "r1", "no")]),
        PendingEvent(Event("hs", {"hashes": [OTHER, HASH]}), [match()]),
    ]
    ledger.take_in("folder", noticed, NOW)
    assert keys(history.about_word("caf\udce9.png", 9)) == ['"/in/caf\\udce9.png"|1|0|']
    assert keys(history.about_word("https://site/1", 9)) == ["u"]
    assert keys(history.about_word("https://site/1?a=b", 9)) == ["u"]
    assert keys(history.about_hash(HASH, 9)) == ["h", "hs"]
    assert keys(history.about_hash(HASH, 1)) == ["hs"]
    assert history.about_word("site", 9) == []


def test_a_hash_that_a_step_found_leads_back_to_the_event(ledger, history):
    enqueue(ledger, "url", "none")
    job, other = claim(ledger)
    found = record(job, values={"hash": HASH, "hashes": [HASH, OTHER]})
    ledger.checkpoint("me", [onward(job, file_hash=HASH), onward(other)], [found], NOW)
    assert keys(history.about_hash(HASH, 9)) == ["url"]
    assert keys(history.about_hash(OTHER, 9)) == ["url"]
    (job,) = claim(ledger, limit=1)
    ledger.checkpoint("me", [ended(job)], [record(job, values={"hashes": [OTHER]})], NOW)
    assert keys(history.about_hash(OTHER, 9)) == ["url"]


def test_only_what_can_be_asked_for_is_a_word():
    assert words_in_event({"file": {"path": "/a"}, "url": 7, "hash": "ab", "hashes": "x"}) == set()
    assert words_in_event({"file": {"name": "n" * 3000}, "url": ""}) == set()
    assert words_in_values({"hash": HASH.upper(), "hashes": [OTHER, 1, None, "z" * 64]}) == {OTHER}
    many = [f"{number:064x}" for number in range(2000)]
    assert words_in_values({"hashes": many}) == set(many[:1000])


# --- dead letters ----------------------------------------------------------------------------


def test_what_is_dropped_ends_and_stays_known(ledger, history, path):
    dead = [NewJob("tag", "r1", "hydrus", True, failure="no such name")]
    enqueue(ledger, "a", "b", verdicts=dead)
    enqueue(ledger, "c", verdicts=[NewJob("move", "r1", "hydrus", True, failure="why")])
    enqueue(ledger, "d")
    assert ledger.drop(later(5), ids=[1, 4]) == 1
    assert ledger.drop(later(5), rule="move") == 1
    assert rows(path, "SELECT state, detail FROM job ORDER BY id") == [
        ("skipped", "dropped by a person: no such name"),
        ("dead", "no such name"),
        ("skipped", "dropped by a person: why"),
        ("ready", ""),
    ]
    assert history.about_job(1).jobs[0].finished_at == later(5)
    # The same thing once more, or under the rule's next form: still dealt with.
    assert enqueue(ledger, "a", verdicts=[match(revision="r2")]).jobs == 0
    assert ledger.retry(later(6), ids=[1]) == 0
    assert ledger.drop(later(6)) == 1
    assert ledger.drop(later(6)) == 0


def test_dead_letters_of_a_rule(ledger, history):
    enqueue(ledger, "a", verdicts=[NewJob("tag", "r1", "hydrus", True, failure="x")])
    enqueue(ledger, "b", verdicts=[NewJob("move", "r1", "hydrus", True, failure="y")])
    assert [letter.detail for letter in history.dead(9, rule="tag")] == ["x"]
    assert [letter.detail for letter in history.dead(9)] == ["y", "x"]


# --- runs ------------------------------------------------------------------------------------


def work(ledger, *keys, rule="tag", **changes):
    """A run of which every job ends with one step like that."""
    enqueue(ledger, *keys, verdicts=[match(rule)])
    jobs = claim(ledger)
    state = JobState.DEAD if changes.get("outcome") is OutcomeKind.DEAD else JobState.DONE
    steps = [record(job, began_at=NOW, **changes) for job in jobs]
    ledger.checkpoint("me", [ended(job, state) for job in jobs], steps, later(4))


@pytest.mark.parametrize(
    ("changes", "eventful"),
    [
        ({"receipt": {"imported": HASH}}, True),
        ({"receipt": {"imported": None}}, False),
        ({"receipt": {"added": {}}}, False),
        ({"receipt": {"added": {HASH: {"tags": []}}}}, False),
        ({"receipt": {"added": {HASH: {"tags": ["new"]}}}}, True),
        ({"receipt": {"rating": 0}}, True),
        ({"receipt": {"made": False}}, False),
        ({"receipt": None}, True),  # nobody knows
        ({"outcome": OutcomeKind.SKIPPED}, False),
        ({"outcome": OutcomeKind.DEAD}, True),
    ],
    ids=str,
)
def test_a_run_is_eventful_if_something_was_changed_or_gave_up(ledger, history, changes, eventful):
    work(ledger, "a", "b", **changes)
    assert [run.eventful for run in history.runs(9, dull=True)] == [eventful]
    assert bool(history.runs(9)) == eventful


def test_a_condition_that_cannot_be_judged_is_an_event_of_its_run(ledger, history):
    enqueue(ledger, "a", verdicts=[NewJob("tag", "r1", "hydrus", True, failure="x")])
    (run,) = history.runs(9)
    assert (run.eventful, run.jobs) == (True, {JobState.DEAD: 1})


def test_dull_runs_do_not_push_out_the_others(ledger, history):
    work(ledger, "first", receipt={"imported": HASH})
    for number in range(30):
        work(ledger, f"dull {number}", receipt={"imported": None})
    enqueue(ledger, "waits")
    assert [run.run_id for run in history.runs(20)] == [32, 1]
    assert [run.run_id for run in history.runs(3, dull=True)] == [32, 31, 30]
    assert history.runs(1)[0].ended_at is None


def test_runs_of_a_rule(ledger, history):
    work(ledger, "a", rule="one", receipt={"imported": HASH})
    work(ledger, "b", rule="two", receipt={"imported": None})
    work(ledger, "c", rule="one", receipt={"imported": None})
    enqueue(ledger, "d", verdicts=[match("two")])
    assert [run.run_id for run in history.runs(9, rule="one")] == [1]
    assert [run.run_id for run in history.runs(9, rule="one", dull=True)] == [3, 1]
    assert [run.run_id for run in history.runs(9, rule="two")] == [4]


def test_a_run_has_counts_steps_and_times(ledger, history):
    enqueue(ledger, "a", "b", "c")
    a, b, c = claim(ledger)
    ledger.checkpoint(
        "me",
        [ended(a), ended(b, JobState.DEAD, detail="broken"), onward(c)],
        [
            record(a, began_at=later(1)),
            record(b, began_at=later(2), outcome=OutcomeKind.DEAD),
            record(c, began_at=None),
        ],
        later(5),
    )
    run = history.run(1)
    assert (run.rule, run.trigger, run.started_at, run.ended_at) == ("tag", "folder", NOW, None)
    assert run.jobs == {JobState.DONE: 1, JobState.DEAD: 1, JobState.READY: 1}
    (step,) = history.steps_of(1)
    assert step.outcomes == {OutcomeKind.DONE: 2, OutcomeKind.DEAD: 1}
    assert (step.began_at, step.ended_at) == (later(1), later(5))
    assert [job.detail for job in history.jobs_of(1, 2)] == ["", "broken"]
    (c,) = claim(ledger)
    ledger.checkpoint("me", [ended(c)], [record(c)], later(9))
    assert history.run(1).ended_at == later(9)
    assert history.run(2) is None


# --- what it waits for -----------------------------------------------------------------------


@pytest.fixture
def waiting(ledger, history):
    """Say what the only job waits for."""

    def ask(*, running=True, at=NOW):
        trace = history.about_job(1)
        return waits_for(trace.jobs[0], history.conditions(), at, running=running)

    enqueue(ledger, "a")
    return ask


def test_it_waits_for_its_turn_or_for_a_daemon(waiting, ledger):
    assert waiting() == "its turn, for its step 1"
    assert "hydrusd is not running" in waiting(running=False)
    (job,) = claim(ledger)
    assert waiting() == "its step 1 is being worked on"
    ledger.checkpoint("me", [ended(job)], [record(job)], NOW)
    assert waiting() == waiting(running=False) == ""


def test_it_waits_for_a_client_or_a_rule(waiting, ledger):
    ledger.set_condition("client", "hydrus", "waiting", "cannot connect", NOW)
    assert waiting() == "the client 'hydrus' is away: cannot connect"
    ledger.set_condition("rule", "tag", "parked", "the key lacks 'edit tags'", NOW)
    assert waiting() == "the rule waits: the key lacks 'edit tags'"
    ledger.set_condition("rule", "tag", "working", "", NOW)
    ledger.set_condition("client", "hydrus", "connected", "v682", NOW)
    assert waiting() == "its turn, for its step 1"


def test_it_waits_for_a_commit(waiting, ledger):
    (job,) = claim(ledger)
    ledger.checkpoint("me", [settling(job)], [record(job)], NOW)
    assert waiting() == "until Hydrus has committed what was done"


@pytest.mark.parametrize(
    ("outcome", "said"),
    [
        (OutcomeKind.RETRY, r"tried again at .* \(tried 3 times\): it is busy"),
        (OutcomeKind.LATER, r"it is busy; looked at again at "),
    ],
)
def test_it_waits_for_a_time(waiting, ledger, outcome, said):
    (job,) = claim(ledger)
    update = onward(job, step=0, run_at=later(90), attempt=3)
    ledger.checkpoint("me", [update], [record(job, outcome=outcome, detail="it is busy")], NOW)
    assert re.match(said, waiting())
    assert f"{later(90).astimezone():%H:%M:%S}" in waiting()
    assert waiting(at=later(91)) == "its turn, for its step 1"


# --- a million jobs --------------------------------------------------------------------------

ASKED = [
    lambda h: h.about_key('"/in/a.png"|', 50),
    lambda h: h.about_word("a.png", 50),
    lambda h: h.about_hash(HASH, 50),
    lambda h: h.about_job(1),
    lambda h: h.definition("tag", "r1"),
    lambda h: h.dead(20),
    lambda h: h.dead(20, rule="tag"),
    lambda h: h.runs(20),
    lambda h: h.runs(20, dull=True),
    lambda h: h.runs(20, rule="tag"),
    lambda h: h.runs(20, rule="tag", dull=True),
    lambda h: h.run(1),
    lambda h: h.jobs_of(1, 20),
    lambda h: h.steps_of(1),
]
WALKS = re.compile(
    r"SCAN (?!CONSTANT ROW|\(subquery|job USING INDEX ix_job_(?:open|open_rule|dead)\b"
    r"|job USING COVERING INDEX ix_job_hashed\b)"
)


@pytest.mark.parametrize("asked", range(len(ASKED)))
def test_nothing_is_found_by_walking_the_ledger(ledger, history, asked):
    """What is still to be done, and dead letters, are few: their own small indexes may be read.

    So may the hashes alone, which takes less than a tenth of a second for a million jobs.
    """
    work(ledger, "a", receipt={"imported": HASH})
    plans = []

    def explain(connection, cursor, statement, parameters, context, executemany):
        plan = connection.connection.cursor().execute(f"EXPLAIN QUERY PLAN {statement}", parameters)
        plans.extend((row[3], statement) for row in plan.fetchall())

    sqlalchemy_event.listen(history._engine, "before_cursor_execute", explain)
    ASKED[asked](history)
    assert plans
    assert [plan for plan in plans if WALKS.search(plan[0])] == []
    # The newest runs are the end of an index: to sort them, all would have to be read.
    by_id = [plan for plan, statement in plans if "SELECT run.id \n" in statement]
    assert not [plan for plan in by_id if "B-TREE" in plan]


# --- older ledgers ---------------------------------------------------------------------------

OLD = (
    """INSERT INTO event VALUES (1, 'folder', 'k1', 0, '{"url": "https://a"}', :now)""",
    """INSERT INTO event VALUES (2, 'folder', 'k2', 0, '{"name": "x"}', :now)""",
    """INSERT INTO run VALUES (1, 'tag', 'folder', :now)""",
    """INSERT INTO job VALUES (1, 2, 1, 'tag', 'r1', 'hydrus', 'done', 1, 1, 0, :now,
       NULL, NULL, :hash, NULL, NULL, '', :now, :now)""",
    """INSERT INTO step VALUES (1, 0, 'add_url', 'done', '', :values, NULL, :now)""",
)


def test_words_are_found_in_what_an_older_hydrusd_stored(tmp_path):
    path = tmp_path / "old.sqlite"
    values = json.dumps({"hashes": [HASH, OTHER]})
    told = {"now": "2026-01-01T12:00:00.000000Z", "hash": HASH, "values": values}
    engine = open_engine(path, writes=True)
    with engine.begin() as connection:
        upgrade_to(connection, "0002")
        for statement in OLD:
            connection.exec_driver_sql(statement, told)
        migrate(connection)
    engine.dispose()
    history = History.open(path)
    assert keys(history.about_word("https://a", 9)) == ["k1"]
    assert keys(history.about_hash(OTHER, 9)) == ["k2"]
    assert keys(history.about_hash(HASH, 9)) == ["k2"]
    # The file of a job is found by the job: it needs no word.
    assert set(rows(path, "SELECT * FROM mention")) == {(1, "https://a"), (2, OTHER)}
    (run,) = history.runs(9)
    assert run.eventful
    assert history.jobs_of(1, 9)[0].steps[0].seconds is None
    history.close()


def upgrade_to(connection, revision):
    config = Config()
    folder = Path(_migrating.__file__).parent / "migrations"
    config.set_main_option("script_location", str(folder).replace("%", "%%"))
    config.attributes["connection"] = connection
    command.upgrade(config, revision)
