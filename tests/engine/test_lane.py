"""The lane against a client over HTTP: what goes wrong, and what becomes of the jobs."""

from __future__ import annotations

import os
import shutil
import socket

import anyio
import pytest
from bench import IMPORT_ONLY, RULE, key_for

from hydrusd.engine.retrying import MAX_ATTEMPTS
from hydrusd.ledger import progress
from hydrusd.simulator import DEFAULT_ACCESS_KEY, Fault, FaultKind
from hydrusd.testing import paint

pytestmark = pytest.mark.anyio

ADD_FILE = "/add_files/add_file"
ADD_TAGS = "/add_tags/add_tags"
SEARCH = "/get_files/search_files"

TWO_RULES = """
  - name: import
    on: {watch_folder: {path: inbox}}
    do: [add_file]
  - name: tag
    on: {watch_folder: {path: inbox}}
    do:
      - add_file:
      - add_tags: {my tags: mine}
"""


def refuse(status, path="", times=1, words="I would rather not.", name=""):
    return Fault(
        kind=FaultKind.STATUS,
        path=path,
        times=times,
        status=status,
        words=words,
        exception_name=name,
    )


# --- all is well -------------------------------------------------------------------------


async def test_a_picture_is_imported_tagged_and_disposed_of(bench):
    at = bench()
    async with at.running():
        await at.notice("a.jpg")
        await at.rest()
    assert at.state("a.jpg") == "done"
    assert at.tags("a.jpg") == {0: {"one", "two"}}
    assert at.simulator.committed_files() == {at.hash_of("a.jpg")}
    assert at.is_moved("a.jpg")
    assert not at.is_there("a.jpg")


async def test_sets_are_of_256_and_known_files_are_recognised_by_the_set(bench):
    at = bench()
    names = [f"{n}.png" for n in range(600)]
    async with at.running(IMPORT_ONLY):
        await at.notice("first.png")
        await at.rest()
        before = at.simulator.requests
        await at.notice(*names, content=paint("first.png"))
        await at.rest()
    now = at.simulator.requests
    assert now[ADD_FILE] == before[ADD_FILE] == 1
    assert now[SEARCH] - before[SEARCH] == 3
    assert {job.state.value for job in at.jobs} == {"done"}
    assert at.values("0.png", "add_file")["status"] == "already in Hydrus"
    assert at.receipt("0.png", "add_file") == {"imported": None}


async def test_tags_go_to_many_files_in_one_request(bench):
    at = bench()
    async with at.running():
        await at.notice(*(f"{n}.png" for n in range(40)))
        await at.rest()
    assert at.simulator.requests[ADD_TAGS] == 1
    assert len(at.simulator.files) == 40


async def test_observers_hear_of_each_job_once_when_it_has_ended(bench):
    at = bench()
    async with at.running():
        await at.notice("a.jpg", "b.jpg")
        await at.notice("damaged.jpg", content=b"no picture")
        await at.rest()
        await at.passes(30)
    told = sorted((entry.data["file"]["name"], entry.state.value) for entry in at.told)
    assert told == [("a.jpg", "done"), ("b.jpg", "done"), ("damaged.jpg", "dead")]
    assert all(entry.finished_at is not None for entry in at.told)


# --- the client is away ------------------------------------------------------------------


async def test_a_client_that_is_away_is_waited_for_at_no_cost(bench):
    at = bench()
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
    at.url = f"http://127.0.0.1:{port}"
    async with at.running():
        await at.notice("a.jpg")
        await at.rest()
        state, reason = at.condition("client", "hydrus")
        assert state == "waiting"
        assert "cannot connect to" in reason
        await at.skip()
        assert (at.state("a.jpg"), at.attempts("a.jpg")) == ("ready", 0)
        async with at.simulator.serve(port=port):
            await at.passes(60)
            assert at.state("a.jpg") == "done"
            state, reason = at.condition("client", "hydrus")
            assert state == "connected"
            assert "Client API 95" in reason


async def test_a_client_that_goes_away_is_asked_ever_less_often(bench):
    at = bench()
    async with at.running():
        await at.rest()
        at.simulator.inject(refuse(503, times=1000))
        before = sum(at.simulator.requests.values())
        await at.notice("a.jpg")
        await at.passes(600)
        asked = sum(at.simulator.requests.values()) - before
        assert 10 <= asked <= 20
        assert at.attempts("a.jpg") == 0
        at.simulator.clear_faults()
        await at.passes(60)
        assert at.state("a.jpg") == "done"


@pytest.mark.parametrize("status", [503, 509])
@pytest.mark.parametrize("path", [SEARCH, ADD_FILE, ADD_TAGS, "/manage_database/force_commit"])
async def test_a_busy_client_parks_the_lane_wherever_it_says_so(bench, status, path):
    at = bench()
    async with at.running():
        await at.rest()
        at.simulator.inject(refuse(status, path))
        await at.notice("a.jpg")
        await at.rest()
        assert at.condition("client", "hydrus")[0] == "waiting"
        assert at.state("a.jpg") != "done"
        assert at.is_there("a.jpg")
        assert at.attempts("a.jpg") == 0
        await at.passes(1)
    assert at.state("a.jpg") == "done"
    assert at.is_moved("a.jpg")


async def test_while_the_client_is_away_steps_that_need_none_go_on(bench):
    rules = """
  - name: import
    on: {watch_folder: {path: inbox}}
    do: [add_file]
  - name: move
    on: {watch_folder: {path: inbox}}
    do: [move_source: {to: moved}]
"""
    at = bench()
    at.simulator.inject(refuse(503, times=1000))
    async with at.running(rules):
        await at.notice("a.jpg")
        await at.rest()
    assert at.state("a.jpg", "move") == "done"
    assert at.state("a.jpg", "import") == "ready"
    assert at.is_moved("a.jpg")


@pytest.mark.parametrize(
    ("path", "kind"),
    [
        (ADD_FILE, FaultKind.CUT),
        (ADD_FILE, FaultKind.WORK_THEN_CUT),
        (ADD_FILE, FaultKind.CUT_BODY),
        (ADD_TAGS, FaultKind.CUT),
        (ADD_TAGS, FaultKind.WORK_THEN_CUT),
    ],
)
async def test_a_write_that_was_cut_off_is_repeated_and_costs_one_attempt(bench, kind, path):
    at = bench()
    async with at.running():
        await at.rest()
        at.simulator.inject(Fault(kind=kind, path=path))
        await at.notice("a.jpg")
        await at.rest()
        assert (at.state("a.jpg"), at.attempts("a.jpg")) == ("ready", 1)
        await at.passes(10)
    assert at.state("a.jpg") == "done"
    assert at.tags("a.jpg") == {0: {"one", "two"}}
    assert at.simulator.imports()[at.hash_of("a.jpg")] == 1


async def test_a_file_that_makes_the_client_stumble_bears_the_attempt_alone(bench):
    at = bench()
    async with at.running():
        await at.rest()
        at.simulator.inject(Fault(kind=FaultKind.CUT, path=ADD_FILE))
        await at.notice(*(f"{n}.png" for n in range(20)))
        await at.rest()
        assert sorted(job.state.value for job in at.jobs) == ["done"] * 19 + ["ready"]
        await at.passes(10)
    assert {job.state.value for job in at.jobs} == {"done"}


async def test_a_look_up_that_was_cut_off_costs_nothing(bench):
    at = bench()
    async with at.running():
        await at.rest()
        at.simulator.inject(Fault(kind=FaultKind.CUT, path=SEARCH))
        await at.notice("a.jpg")
        await at.rest()
        assert (at.state("a.jpg"), at.attempts("a.jpg")) == ("ready", 0)
        await at.passes(2)
    assert at.state("a.jpg") == "done"


async def test_a_client_that_answers_too_late_has_done_the_work_once(bench):
    at = bench(import_seconds=0.4)
    async with at.running(timeout_seconds=0.15):
        await at.notice("a.jpg")
        await at.rest()
        assert at.attempts("a.jpg") == 1
        await at.wait(lambda: at.simulator.files)
        await at.passes(10)
    assert at.state("a.jpg") == "done"
    assert list(at.simulator.imports().values()) == [1]


# --- sessions, keys and permissions ------------------------------------------------------


@pytest.mark.parametrize("api_version", [95, 32, 11])
async def test_a_session_that_dies_in_the_middle_is_renewed(bench, api_version):
    at = bench(api_version=api_version)
    async with at.running(IMPORT_ONLY):
        await at.rest()
        at.simulator.expire_sessions()
        await at.notice("a.jpg")
        await at.rest()
        assert at.steps("a.jpg")["add_file"] == ("done", "imported")
        assert at.condition("client", "hydrus")[0] == "connected"
        assert at.attempts("a.jpg") == 0


async def test_a_wrong_key_parks_the_lane_and_says_what_to_do(bench):
    at = bench(access_keys={"ff" * 32: key_for(0)[DEFAULT_ACCESS_KEY]})
    async with at.running():
        await at.notice("a.jpg")
        await at.skip()
        state, reason = at.condition("client", "hydrus")
        assert state == "waiting"
        assert "review services" in reason
        assert DEFAULT_ACCESS_KEY not in reason
        assert (at.state("a.jpg"), at.attempts("a.jpg")) == ("ready", 0)


async def test_a_key_that_is_deleted_in_the_middle_parks_the_lane(bench):
    at = bench()
    async with at.running():
        await at.rest()
        at.simulator.revoke(DEFAULT_ACCESS_KEY)
        await at.notice("a.jpg")
        await at.rest()
        assert at.condition("client", "hydrus")[0] == "waiting"
        assert (at.state("a.jpg"), at.attempts("a.jpg")) == ("ready", 0)


async def test_a_missing_permission_parks_its_rule_and_no_other(bench):
    keys = key_for(1, 3, 6)
    at = bench(access_keys=keys)
    async with at.running(TWO_RULES):
        await at.notice("a.jpg")
        await at.rest()
        assert at.state("a.jpg", "import") == "done"
        assert at.state("a.jpg", "tag") == "ready"
        state, reason = at.condition("rule", "tag")
        assert state == "parked"
        assert "edit file tags" in reason
        await at.skip()
        assert (at.state("a.jpg", "tag"), at.attempts("a.jpg")) == ("ready", 0)

        grant(at, 1, 2, 3, 6)
        await at.passes(61)
        assert at.state("a.jpg", "tag") == "done"
        assert at.condition("rule", "tag") == ("working", "")


async def test_a_rule_without_jobs_is_no_longer_called_parked_once_it_is_permitted(bench):
    at = bench(access_keys=key_for(1, 3, 6))
    async with at.running(TWO_RULES):
        await at.rest()
        assert at.condition("rule", "tag")[0] == "parked"
        grant(at, 1, 2, 3, 6)
        await at.passes(61)
        assert at.condition("rule", "tag") == ("working", "")


async def test_a_permission_that_is_taken_away_in_the_middle_parks_the_rule(bench):
    at = bench(access_keys=key_for(1, 2, 3, 6))
    async with at.running(TWO_RULES):
        await at.rest()
        grant(at, 1, 3, 6)
        await at.notice("a.jpg")
        await at.rest()
        assert at.state("a.jpg", "import") == "done"
        assert at.state("a.jpg", "tag") == "ready"
        assert "edit file tags" in at.condition("rule", "tag")[1]
        grant(at, 1, 2, 3, 6)
        await at.passes(61)
        assert at.state("a.jpg", "tag") == "done"


SORTED = """
  - name: sort
    on: {watch_folder: {path: inbox}}
    do:
      - add_file:
      - if: file.name == 'tagged.jpg'
        do:
          - add_tags: {my tags: [x]}
      - move_source: {to: moved}
"""
BOTH_WAYS = """
  - name: sort
    on: {watch_folder: {path: inbox}}
    do:
      - add_file:
      - if: file.name == 'tagged.jpg'
        do: [add_tags: {my tags: [x]}]
        else: [add_tags: {my tags: [y]}]
"""


async def test_what_comes_to_a_step_that_is_not_permitted_waits_and_the_rest_goes_on(bench):
    at = bench(access_keys=key_for(1, 3, 6))
    async with at.running(SORTED):
        await at.notice("tagged.jpg", "plain.jpg")
        await at.rest()
        assert at.state("plain.jpg") == "done"
        assert (at.state("tagged.jpg"), at.attempts("tagged.jpg")) == ("ready", 0)
        assert (at.folder / "inbox" / "tagged.jpg").exists()
        outcome, detail = at.steps("tagged.jpg")["add_tags"]
        assert outcome == "later"
        assert "'edit file tags'" in detail
        state, reason = at.condition("rule", "sort")
        assert state == "working"
        assert reason.startswith("what comes to add_tags waits, the rest goes on: add_tags needs")

        await at.passes(200)  # looked at again and again, at no cost
        assert (at.state("tagged.jpg"), at.attempts("tagged.jpg")) == ("ready", 0)
        await at.notice("later.jpg")
        await at.rest()
        assert at.state("later.jpg") == "done"

        grant(at, 1, 2, 3, 6)
        await at.passes(61)
        assert at.state("tagged.jpg") == "done"
        assert at.condition("rule", "sort") == ("working", "")
    assert not (at.folder / "inbox" / "tagged.jpg").exists()


async def test_a_permission_that_each_way_needs_parks_the_rule(bench):
    at = bench(access_keys=key_for(1, 3, 6))
    async with at.running(BOTH_WAYS):
        await at.rest()
        assert at.condition("rule", "sort")[0] == "parked"
        grant(at, 1, 2, 3, 6)
        await at.notice("tagged.jpg")
        await at.passes(61)
        assert at.state("tagged.jpg") == "done"


async def test_what_waits_for_a_permission_goes_on_after_a_restart(bench):
    at = bench(access_keys=key_for(1, 3, 6))
    async with at.running(SORTED):
        await at.notice("tagged.jpg")
        await at.rest()
        assert at.state("tagged.jpg") == "ready"
    grant(at, 1, 2, 3, 6)
    async with at.running(SORTED):
        await at.passes(61)
        assert at.state("tagged.jpg") == "done"
        assert at.attempts("tagged.jpg") == 0


def grant(at, *numbers):
    """Tick boxes for the key, as its user can at any time."""
    at.simulator._client.access._keys.update(key_for(*numbers))


# --- one item among many -----------------------------------------------------------------


POISONED = '''
from hydrusd.plugin import SetAction, RequestRejected, hookimpl

class Stamp(SetAction):
    """Refuses a whole set for one item in it."""

    action = "stamp"

    @classmethod
    async def run_set(cls, calls):
        if any("poison" in call.data["file"]["name"] for call in calls):
            raise {error}
        for call in calls:
            call.finish(Outcome.done("stamped"))

from hydrusd.plugin import HydrusClient, Outcome, PermanentError, TemporaryError
from hydrusd.errors import HydrusFailed

@hookimpl
def hydrusd_register_actions(register):
    register(Stamp)
'''

STAMP = """
  - name: stamp
    on: {watch_folder: {path: inbox}}
    do: [stamp]
"""


def plugin(at, source):
    (at.folder / "plugins").mkdir(exist_ok=True)
    (at.folder / "plugins" / "mine.py").write_text(source, encoding="utf-8")


@pytest.mark.parametrize(
    "error", ["RequestRejected('400')", "PermanentError('no')", "ValueError('bug')"]
)
async def test_one_poisoned_item_among_many_is_found_and_the_others_go_through(bench, error):
    at = bench()
    plugin(at, POISONED.format(error=error))
    async with at.running(STAMP):
        await at.notice(*(f"{n}.png" for n in range(100)), "poison.png")
        await at.rest()
        states = sorted(job.state.value for job in at.jobs)
        assert states[1:] == ["done"] * 99 + states[100:]
        assert at.state("poison.png") == ("ready" if "bug" in error else "dead")
        assert sum(job.state.value == "done" for job in at.jobs) == 100
        await at.skip(times=MAX_ATTEMPTS)
    assert at.state("poison.png") == "dead"
    assert len(at.dead) == 1


async def test_a_sick_client_is_not_asked_item_by_item_at_the_first_failure(bench):
    at = bench()
    plugin(at, POISONED.format(error="HydrusFailed('500')"))
    async with at.running(STAMP):
        await at.notice("poison.png", *(f"{n}.png" for n in range(30)))
        await at.rest()
        assert {job.state.value for job in at.jobs} == {"ready"}
        await at.skip(times=MAX_ATTEMPTS)
    assert list(at.dead) == ["poison.png"]
    assert at.dead["poison.png"].attempts == MAX_ATTEMPTS


async def test_the_client_refuses_one_file_of_a_set_with_400(bench):
    at = bench()
    async with at.running(IMPORT_ONLY):
        await at.rest()
        at.simulator.inject(refuse(400, ADD_FILE, words="I do not like this one."))
        await at.notice(*(f"{n}.png" for n in range(12)))
        await at.rest()
    # Sent again by itself the refused one goes through: the set was split, not sentenced.
    assert sorted(job.state.value for job in at.jobs) == ["done"] * 12


async def test_a_client_that_always_refuses_makes_a_dead_letter_in_its_words(bench):
    at = bench()
    async with at.running(IMPORT_ONLY):
        await at.rest()
        at.simulator.inject(refuse(400, ADD_FILE, times=9, words="I do not like this one."))
        await at.notice("a.jpg")
        await at.rest()
    assert at.state("a.jpg") == "dead"
    assert "I do not like this one." in at.dead["a.jpg"].detail
    assert at.is_there("a.jpg")


async def test_500_is_tried_again_ever_later_and_then_given_up(bench):
    at = bench()
    async with at.running(IMPORT_ONLY):
        await at.rest()
        at.simulator.inject(refuse(500, ADD_FILE, times=1000, words="disk I/O error"))
        await at.notice("a.jpg")
        await at.rest()
        waits = []
        while at.state("a.jpg") != "dead":
            waits.append(at.waits("a.jpg"))
            at.clock.move(at.clock.elapsed + waits[-1])
            await at.rest()
        assert len(waits) == MAX_ATTEMPTS - 1
        assert waits == sorted(waits)
        assert waits[0] < 10
        assert waits[-1] > 200
    assert at.simulator.requests[ADD_FILE] == MAX_ATTEMPTS
    assert "disk I/O error" in at.dead["a.jpg"].detail
    assert at.dead["a.jpg"].attempts == MAX_ATTEMPTS
    assert at.is_there("a.jpg")


async def test_an_answer_that_makes_no_sense_is_tried_again(bench):
    at = bench()
    async with at.running(IMPORT_ONLY):
        await at.rest()
        at.simulator.inject(Fault(kind=FaultKind.NOT_JSON, path=ADD_FILE))
        await at.notice("a.jpg")
        await at.rest()
        assert (at.state("a.jpg"), at.attempts("a.jpg")) == ("ready", 1)
        await at.passes(10)
    assert at.state("a.jpg") == "done"


# --- the source --------------------------------------------------------------------------


async def test_a_file_that_changed_meanwhile_is_left_to_its_next_event(bench):
    at = bench()
    async with at.running():
        at.picture("a.jpg")
        async with parked(at):
            await at.notice_there("a.jpg")
            (at.folder / "inbox" / "a.jpg").write_bytes(b"another thing altogether")
        assert at.state("a.jpg") == "skipped"
        assert at.simulator.files == {}
        assert (at.folder / "inbox" / "a.jpg").read_bytes() == b"another thing altogether"
        # The event is free: what is there now is noticed.
        await at.notice("a.jpg")
        await at.rest()
        assert at.state("a.jpg") == "done"


async def test_a_file_that_was_replaced_by_one_of_the_same_size_and_time_is_not_sent(bench):
    at = bench()
    async with at.running():
        path = at.picture("a.jpg")
        status = path.stat()
        async with parked(at):
            await at.notice_there("a.jpg")
            path.rename(at.folder / "kept.jpg")
            path.write_bytes(b"x" * status.st_size)
            os.utime(path, ns=(status.st_atime_ns, status.st_mtime_ns))
        assert at.state("a.jpg") == "skipped"
        assert at.simulator.files == {}


async def test_a_file_that_vanished_is_skipped_and_noticed_again_should_it_return(bench):
    at = bench()
    async with at.running():
        path = at.picture("a.jpg")
        async with parked(at):
            await at.notice_there("a.jpg")
            path.rename(at.folder / "away.jpg")
        assert at.state("a.jpg") == "skipped"
        (at.folder / "away.jpg").rename(path)
        await at.notice_there("a.jpg")
        await at.rest()
        assert at.state("a.jpg") == "done"
    assert len(at.jobs) == 2


async def test_a_folder_that_is_away_parks_its_rule_until_it_is_back(bench):
    at = bench()
    async with at.running():
        at.picture("a.jpg")
        async with parked(at):
            await at.notice_there("a.jpg")
            shutil.move(at.folder / "inbox", at.folder / "unplugged")
        state, reason = at.condition("rule", "import")
        assert state == "parked"
        assert str(at.folder / "inbox") in reason
        await at.passes(600)
        assert (at.state("a.jpg"), at.attempts("a.jpg")) == ("ready", 0)
        shutil.move(at.folder / "unplugged", at.folder / "inbox")
        await at.passes(61)
        assert at.state("a.jpg") == "done"
        assert at.condition("rule", "import") == ("working", "")


class parked:  # noqa: N801 - reads as a state
    """``async with parked(at)``: the client is busy meanwhile, and asked again afterwards."""

    def __init__(self, at):
        self.at = at

    async def __aenter__(self):
        await self.at.rest()
        self.at.simulator.inject(refuse(503, times=1000))
        self.at.lane._parked = None
        await self.at.lane._park("for a test")

    async def __aexit__(self, *_):
        self.at.simulator.clear_faults()
        await self.at.passes(61)


# --- rules -------------------------------------------------------------------------------


async def test_two_rules_on_one_folder_each_do_their_part(bench):
    at = bench()
    async with at.running(TWO_RULES):
        await at.notice("a.jpg")
        await at.rest()
    assert {(job.rule, job.state.value) for job in at.jobs} == {("import", "done"), ("tag", "done")}
    assert list(at.simulator.imports().values()) == [1]
    assert at.tags("a.jpg") == {0: {"mine"}}


async def test_the_same_bytes_under_two_names_are_imported_once_and_both_disposed_of(bench):
    at = bench()
    async with at.running():
        content = at.picture("seed.jpg").read_bytes()
        await at.notice("a.jpg", "b.jpg", content=content)
        await at.rest()
        assert at.state("a.jpg") == at.state("b.jpg") == "done"
        assert at.hash_of("a.jpg") == at.hash_of("b.jpg")
        assert at.simulator.imports() == {at.hash_of("a.jpg"): 1}
        imported = [at.receipt(name, "add_file")["imported"] for name in ("a.jpg", "b.jpg")]
        assert sorted(imported, key=str) == sorted([None, at.hash_of("a.jpg")], key=str)
    assert at.is_moved("a.jpg")
    assert at.is_moved("b.jpg")


async def test_a_rewritten_rule_takes_over_jobs_that_have_not_begun(bench):
    at = bench()
    at.simulator.inject(refuse(503, times=1000))
    async with at.running():
        await at.notice("a.jpg")
        await at.notice("b.png")
        await at.rest()
    at.simulator.clear_faults()
    rewritten = RULE.replace("one, two", "three").replace(
        "    do:", "    if: file.suffix == '.jpg'\n    do:"
    )
    async with at.running(rewritten):
        await at.rest()
    assert [(job.data["file"]["name"], job.state.value) for job in at.jobs] == [("a.jpg", "done")]
    assert at.tags("a.jpg") == {0: {"three"}}
    assert at.is_there("b.png")


async def test_a_rewritten_rule_leaves_jobs_that_have_begun_to_its_former_self(bench):
    at = bench()
    async with at.running():
        await at.rest()
        at.simulator.inject(refuse(503, ADD_TAGS, times=1000))
        await at.notice("a.jpg")
        await at.rest()
        assert at.steps("a.jpg")["add_file"][0] == "done"
    at.simulator.clear_faults()
    async with at.running(RULE.replace("one, two", "three")):
        await at.rest()
        await at.notice("b.jpg")
        await at.rest()
    assert at.tags("a.jpg") == {0: {"one", "two"}}
    assert at.tags("b.jpg") == {0: {"three"}}


async def test_a_begun_job_whose_former_rule_no_longer_loads_becomes_a_dead_letter(bench):
    at = bench()
    plugin(at, POISONED.format(error="ValueError('bug')"))
    rules = RULE.replace("      - move_source: {to: moved}", "      - stamp:")
    async with at.running(rules):
        await at.rest()
        at.simulator.inject(refuse(503, ADD_TAGS, times=1000))
        await at.notice("a.jpg")
        await at.rest()
    at.simulator.clear_faults()
    (at.folder / "plugins" / "mine.py").unlink()
    async with at.running(RULE):
        await at.rest()
        assert at.state("a.jpg") == "dead"
        assert "older form of the rule" in at.dead["a.jpg"].detail
        assert "'stamp'" in at.dead["a.jpg"].detail
        assert await at.retry() == 1
        await at.passes(6)
    assert at.state("a.jpg") == "done"
    assert at.is_moved("a.jpg")


async def test_jobs_of_a_rule_that_was_taken_out_wait_and_it_is_named(bench):
    at = bench()
    at.simulator.inject(refuse(503, times=1000))
    async with at.running():
        await at.notice("a.jpg")
        await at.rest()
    at.simulator.clear_faults()
    async with at.running(IMPORT_ONLY.replace("name: import", "name: other")):
        await at.skip()
        assert (at.state("a.jpg"), at.attempts("a.jpg")) == ("ready", 0)
        state, reason = at.condition("rule", "import")
        assert (state, "no longer in the rules file" in reason) == ("parked", True)
        await at.notice("b.jpg")
        await at.rest()
        assert at.state("b.jpg") == "done"
    async with at.running():
        await at.rest()
    assert at.state("a.jpg") == "done"


async def test_a_dead_letter_put_back_after_its_rule_was_taken_out_waits_too(bench):
    at = bench()
    async with at.running():
        await at.notice("a.jpg", content=b"no picture")
        await at.rest()
        assert at.state("a.jpg") == "dead"
    async with at.running(IMPORT_ONLY.replace("name: import", "name: other")):
        await at.rest()
        assert at.condition("rule", "import") is None
        assert await at.retry() == 1
        await at.passes(60)
        assert (at.state("a.jpg"), at.attempts("a.jpg")) == ("ready", 0)
        assert at.condition("rule", "import")[0] == "parked"


async def test_a_condition_that_cannot_be_judged_makes_a_dead_letter_to_retry(bench):
    at = bench()
    broken = RULE.replace(
        "    do:", "    if: file.stem | int > 10 / (file.size - file.size)\n    do:"
    )
    async with at.running(broken):
        await at.notice("1.jpg")
        await at.rest()
        assert at.state("1.jpg") == "dead"
        assert "`if` cannot be judged" in at.dead["1.jpg"].detail
        assert await at.retry() == 1
        await at.passes(6)
        assert at.state("1.jpg") == "dead"
    async with at.running(RULE.replace("    do:", "    if: file.stem | int < 10\n    do:")):
        assert await at.retry() == 1
        await at.passes(6)
        assert at.state("1.jpg") == "done"


async def test_a_dead_letter_put_back_goes_under_the_rule_as_it_is_now(bench):
    at = bench()
    async with at.running(RULE.replace("my tags", "no tags")):
        await at.notice("a.jpg")
        await at.passes(1)
        # preflight parks such a rule: its service is not there
        assert at.condition("rule", "import")[0] == "parked"
    async with at.running(RULE.replace("[one, two]", "['{{ file.nothing }}']")):
        await at.rest()
        assert at.state("a.jpg") == "dead"
        assert "nothing" in at.dead["a.jpg"].detail
    async with at.running():
        await at.rest()
        assert at.state("a.jpg") == "dead"
        assert await at.retry() == 1
        await at.passes(6)
        assert at.state("a.jpg") == "done"
        assert at.simulator.imports() == {at.hash_of("a.jpg"): 1}
        assert at.receipt("a.jpg", "add_file") == {"imported": at.hash_of("a.jpg")}


# --- plugins -----------------------------------------------------------------------------


SINGLE = '''
import sys
from pathlib import Path
import anyio
from hydrusd.plugin import Action, Outcome, PermanentError, TemporaryError, hookimpl

class Odd(Action):
    """Does odd things with files whose names say so."""

    action = "odd"

    {define} run(self, call):
        if "odd" in call.data["file"]["name"]:
            {body}
        return Outcome.done("fine")

@hookimpl
def hydrusd_register_actions(register):
    register(Odd)
'''

ODD = """
  - name: odd
    on: {watch_folder: {path: inbox}}
    do: [odd]
"""


@pytest.mark.parametrize(
    ("body", "state", "told"),
    [
        ("raise RuntimeError('oh')", "ready", "the action failed with RuntimeError: oh"),
        ("raise PermanentError('never')", "dead", "never"),
        ("raise TemporaryError('later', delay_seconds=9e99)", "ready", "later"),
        ("raise TemporaryError('later', delay_seconds=float('nan'))", "ready", "cannot be kept"),
        ("raise OSError(5, 'Input/output error')", "ready", "Input/output error"),
        ("return None", "ready", "did not say how it ended"),
        ("return 'done'", "ready", "gave str for an outcome"),
        ("return Outcome.done(values={'path': Path('x')})", "ready", "cannot be kept"),
        ("return Outcome.done(receipt={'set': {1}})", "ready", "cannot be kept"),
        ("return Outcome.done(3)", "ready", "cannot be kept"),
        ("sys.exit('bye')", "ready", "it called sys.exit('bye')"),
        ("call.finish(Outcome.done('mine')); return Outcome.dead('no')", "done", "mine"),
        ("call.finish(Outcome.done('mine')); call.finish(Outcome.dead('no'))", "done", "mine"),
        ("call.finish(Outcome.done('mine')); return None", "done", "mine"),
        ("raise BaseExceptionGroup('many', [ValueError('one')])", "ready", "many"),
    ],
)
async def test_an_odd_action_harms_nothing_but_its_item(bench, body, state, told):
    at = bench()
    # Every other one in a thread: what is raised there has a longer way.
    define = "def" if len(body) % 2 else "async def"
    plugin(at, SINGLE.format(define=define, body=body))
    async with at.running(ODD):
        await at.notice("a.png", "odd.png", "z.png")
        await at.rest()
        assert at.state("a.png") == at.state("z.png") == "done"
        assert at.state("odd.png") == state
        outcome, detail = at.steps("odd.png")["odd"]
        assert told in detail
        waits = "later" if "OSError(28" in body else "retry"  # room may be made
        assert outcome == (waits if state == "ready" else state)
        await at.skip(times=2)
        assert at.state("odd.png") == ("done" if state == "done" else at.state("odd.png"))


async def test_an_odd_set_action_harms_nothing_but_its_set(bench):
    at = bench()
    plugin(
        at,
        POISONED.format(error="None")
        .replace("stamped", "stamped")
        .replace("raise None", "call = calls[0]; call.finish('done'); call.finish('again')"),
    )
    async with at.running(STAMP):
        await at.notice("poison.png", "a.png")
        await at.rest()
        assert "gave str for an outcome" in at.steps("poison.png")["stamp"][1]
        await at.skip(times=MAX_ATTEMPTS)
    assert at.state("poison.png") == "dead"
    assert at.state("a.png") == "done"


async def test_an_action_that_sees_the_client_go_stops_its_whole_set_at_no_cost(bench):
    at = bench()
    body = "await call.client.add_tags(['ab' * 32], {'my tags': ['x']})"
    plugin(at, SINGLE.format(define="async def", body=body))
    async with at.running(ODD):
        await at.rest()
        at.simulator.inject(refuse(503, ADD_TAGS))
        await at.notice(*(f"odd {n}.png" for n in range(10)))
        await at.rest()
        assert at.condition("client", "hydrus")[0] == "waiting"
        assert all(at.attempts(f"odd {n}.png") == 0 for n in range(10))
        await at.passes(2)
    assert {job.state.value for job in at.jobs} == {"done"}


async def test_outcomes_are_stored_while_the_set_is_still_under_way(bench):
    at = bench()
    body = "while not (call.source.root.parent / 'go').exists(): await anyio.sleep(0.01)"
    plugin(at, SINGLE.format(define="async def", body=body))
    async with at.running(ODD):
        await at.rest()
        await at.notice("a.png", "odd.png")
        await at.wait(lambda: not at.clock.lane_rests and at.clock._sleepers)
        await anyio.sleep(0.05)
        at.clock.move(at.clock.soonest())
        await at.wait(lambda: at.state("a.png") == "settling")
        assert at.state("odd.png") == "running"
        (at.folder / "go").touch()
        await at.rest()
        assert {job.state.value for job in at.jobs} == {"done"}


async def test_a_stop_in_the_middle_costs_no_attempt_and_the_work_is_taken_up_again(bench):
    at = bench()
    plugin(at, SINGLE.format(define="async def", body="await anyio.sleep_forever()"))
    async with at.running(ODD):
        await at.rest()
        await at.notice("a.png", "odd.png")
        await at.wait(lambda: at.state("odd.png") == "running")
        await anyio.sleep(0.05)
    assert (at.state("odd.png"), at.attempts("odd.png")) == ("ready", 0)
    assert at.state("a.png") == "settling"
    plugin(at, SINGLE.format(define="async def", body="pass"))
    async with at.running(ODD):
        await at.rest()
    assert {job.state.value for job in at.jobs} == {"done"}


async def test_what_was_imported_and_what_was_known_is_counted(bench):
    at = bench()
    async with at.running(TWO_RULES):
        await at.notice("0.png", "1.png")
        await at.notice("same.png", content=paint("0.png"))
        await at.notice("broken.png", content=b"this is no picture")
        await at.rest()
        counted = at._read(lambda reader: progress(reader, at.clock.now()))
    # Two rules import each file: one of them finds it there.
    assert {rule.rule: (rule.imported, rule.known, rule.dead) for rule in counted} == {
        "import": (2, 1, 1),
        "tag": (0, 3, 1),
    }
