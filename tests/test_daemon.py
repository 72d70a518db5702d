"""The composition root: what it refuses to start with, and what it keeps from itself."""

from __future__ import annotations

import threading

import anyio
import pytest

from hydrusd.daemon import Daemon, read_configuration
from hydrusd.engine import Stores
from hydrusd.errors import ConfigError, LedgerLocked
from hydrusd.hydrus import HydrusClient
from hydrusd.model import JobState
from hydrusd.simulator import DEFAULT_ACCESS_KEY, Permissions, Service, SimulatorConfig
from hydrusd.testing import NotAsExpected

ON = "    on: {watch_folder: {path: inbox, settle: 50ms}}\n"
RULES = f"""
rules:
  - name: import
{ON}    do:
      - add_file:
      - add_tags: {{my tags: new}}
      - move_source: {{to: moved}}
"""


def steps(*lines):
    listed = "".join(f"      - {line}\n" for line in lines)
    return f"rules:\n  - name: one\n{ON}    do:\n{listed}"


# --- rules that cannot work ---------------------------------------------------------------


def test_a_service_that_the_client_does_not_have_is_refused_with_its_place(project):
    made = project({"rules.yaml": RULES.replace("my tags", "my tagz")})
    with pytest.raises(ConfigError) as caught:
        made.run()
    [problem] = caught.value.problems
    lines = (made.folder / "rules.yaml").read_text(encoding="utf-8").splitlines()
    assert problem.file == str(made.folder / "rules.yaml")
    assert "my tagz" in lines[problem.line - 1]
    assert problem.excerpt == lines[problem.line - 1]
    assert "did you mean 'my tags'" in problem.message
    assert made.jobs == []


def test_a_service_whose_name_two_have_is_refused_and_its_key_accepted(project):
    twins = (Service("twins", 5, "aa" * 32), Service("twins", 5, "bb" * 32))
    rules = RULES.replace("my tags", "twins")
    made = project({"rules.yaml": rules}, SimulatorConfig(extra_services=twins))
    with pytest.raises(ConfigError, match="bb" * 32):
        made.run()
    made.write({"rules.yaml": rules.replace("twins", "bb" * 32)})
    made.drop("inbox/a.jpg").run().assert_success()


def test_a_service_that_a_template_names_is_found_out_file_by_file(project):
    rules = RULES.replace("{my tags: new}", "{'{{ file.parent.name }}': new}")
    made = project({"rules.yaml": rules})
    made.drop("inbox/my tags/a.jpg").drop("inbox/no tags/b.jpg").run()
    assert made.job("inbox/my tags/a.jpg").state is JobState.DONE
    assert made.simulator.tags(made.sha256("inbox/my tags/a.jpg")) == {0: {"new"}}
    [letter] = made.dead_letters
    assert "'no tags'" in letter.detail
    assert (made.folder / "inbox/no tags/b.jpg").exists()


@pytest.mark.parametrize(
    ("order", "column", "told", "hint"),
    [
        (("trash_source:", "add_file:"), 1, "trash_source would dispose", "put add_file before"),
        (("delete_source:",), 1, "delete_source would dispose", "use move_source"),
        (("add_tags: {my tags: x}", "trash_source:"), 2, "trash_source would dispose", "add_file"),
        (
            ("move_source: {to: moved}", "add_file:"),
            2,
            "add_file needs the source, but move_source has disposed of it",
            "put add_file before move_source",
        ),
        (
            ("add_file:", "move_source: {to: moved}", "trash_source:"),
            3,
            "trash_source needs the source",
            "can dispose of its source once",
        ),
    ],
)
def test_an_order_of_steps_that_could_lose_a_file_is_refused(project, order, column, told, hint):
    made = project({"rules.yaml": steps(*order)})
    with pytest.raises(ConfigError) as caught:
        made.run()
    problem = caught.value.problems[0]
    assert told in problem.message
    assert hint in problem.hint
    lines = (made.folder / "rules.yaml").read_text(encoding="utf-8").splitlines()
    assert lines[problem.line - 1].strip() == f"- {order[column - 1]}"


@pytest.mark.parametrize(
    "order",
    [
        ("move_source: {to: moved}",),
        ("add_file:", "delete_source:"),
        ("add_file:", "trash_source: {folder: bin}", "add_tags: {my tags: late}"),
    ],
)
def test_an_order_of_steps_that_loses_nothing_is_accepted_and_works(project, order):
    made = project({"rules.yaml": steps(*order)})
    made.drop("inbox/a.jpg").run().assert_success()
    assert not (made.folder / "inbox/a.jpg").exists()


def test_a_client_that_is_away_at_start_keeps_nobody_from_starting(project):
    rules = f"client: {{url: 'http://127.0.0.1:9', access_key: {DEFAULT_ACCESS_KEY}}}\n{RULES}"
    made = project({"rules.yaml": rules})
    made.drop("inbox/a.jpg")
    made.run(until=lambda p: p.jobs and any(c.kind == "client" for c in p.conditions))
    assert [job.state for job in made.jobs] == [JobState.READY]
    made.write({"rules.yaml": RULES})
    made.run().assert_success()
    assert made.simulator.tags(made.sha256("inbox/a.jpg")) == {0: {"new"}}


def test_a_missing_permission_is_no_reason_to_refuse(project):
    allowed = {DEFAULT_ACCESS_KEY: Permissions(name="few", basic=frozenset({1, 3}))}
    rules = f"{RULES}  - name: plain\n{ON}    do: [add_file]\n"
    made = project({"rules.yaml": rules}, SimulatorConfig(access_keys=allowed, commit_seconds=0.1))
    made.write(
        {
            "rules.yaml": f"client: {{url: '{{url}}', access_key: '{{access_key}}', "
            f"commit_wait: 200ms}}\n{rules}"
        }
    )
    made.drop("inbox/a.jpg")
    made.run(until=lambda p: any(e.rule == "plain" for e in p.finished))
    [reason] = [c.reason for c in made.conditions if c.kind == "rule"]
    assert "'edit file tags'" in reason


# --- one daemon, one ledger ---------------------------------------------------------------


def test_a_second_daemon_on_the_same_ledger_is_refused(project):
    made = project({"rules.yaml": RULES})
    refused = []

    def try_another(p):
        daemon = Daemon(read_configuration(p.folder / "rules.yaml"), p.state_dir)
        with pytest.raises(LedgerLocked, match="already running") as caught:
            anyio.run(daemon.run)
        refused.append(caught.value)
        return True

    made.run(until=try_another)
    assert len(refused) == 1
    made.drop("inbox/a.jpg").run().assert_success()


def test_a_daemon_that_is_stopped_and_started_does_nothing_twice(project):
    made = project({"rules.yaml": RULES.replace("      - move_source: {to: moved}\n", "")})
    made.drop("inbox/a.jpg").run().assert_success()
    made.drop("inbox/b.jpg").run().assert_success()
    assert len(made.jobs) == 2
    assert made.simulator.imports() == {made.sha256(f"inbox/{n}.jpg"): 1 for n in "ab"}
    assert len(made.finished) == 2


def test_stopping_leaves_no_thread_of_ours_behind(project):
    before = set(threading.enumerate())
    made = project({"rules.yaml": RULES})
    made.drop("inbox/a.jpg").run().assert_success()
    ours = [
        thread
        for thread in set(threading.enumerate()) - before
        if "AnyIO" in thread.name or "watch" in thread.name.lower()
    ]
    for thread in ours:
        thread.join(10)  # told to end, it may not have come to that yet
    assert not [thread.name for thread in ours if thread.is_alive()]


def test_a_client_is_closed_wherever_in_its_start_hydrusd_is_stopped(project, monkeypatch):
    made = project({"rules.yaml": RULES})
    daemon = Daemon(read_configuration(made.folder / "rules.yaml"), made.state_dir)
    opened, closed, close = [], [], HydrusClient.close

    async def closing(client):
        closed.append(client)
        await close(client)

    async def stopping(stores, name):
        opened.append(name)  # the first look has connected by now
        daemon.stop()
        await anyio.sleep_forever()

    monkeypatch.setattr(HydrusClient, "close", closing)
    monkeypatch.setattr(Stores, "recall", stopping)
    anyio.run(daemon.run)
    assert (opened, len(closed)) == (["hydrus"], 1)


# --- plugins ------------------------------------------------------------------------------


OBSERVER = """
from hydrusd.plugin import hookimpl

@hookimpl
def hydrusd_job_finished(entry):
    with open({path!r}, "a", encoding="utf-8") as file:
        file.write(f"{{entry.job_id}} {{entry.state}} {{entry.file_hash}}\\n")
    if entry.state == "dead":
        raise {raised}
"""


@pytest.mark.parametrize("raised", ["RuntimeError('mine')", "SystemExit(1)"])
def test_observers_are_called_once_for_each_job_and_may_fail(project, tmp_path, raised):
    heard = tmp_path / "heard.txt"
    source = OBSERVER.format(path=str(heard), raised=raised)
    made = project({"rules.yaml": RULES, "plugins/observer.py": source})
    made.drop("inbox/a.jpg").drop("inbox/broken.png", b"no picture").run()
    made.drop("inbox/b.jpg").run()
    lines = sorted(line.split() for line in heard.read_text(encoding="utf-8").splitlines())
    assert [(number, state) for number, state, _ in lines] == [
        (str(job.job_id), job.state.value) for job in made.jobs
    ]
    assert {line[2] for line in lines if line[1] == "done"} == {
        made.sha256("inbox/a.jpg"),
        made.sha256("inbox/b.jpg"),
    }


LOOKING = '''
from hydrusd.plugin import Action, Fault, Outcome, hookimpl

class Looking(Action):
    """Looks at the client before it starts."""

    action = "look"
    def preflight(self, client):
        {body}

    async def run(self, call):
        return Outcome.done()

@hookimpl
def hydrusd_register_actions(register):
    register(Looking)
'''


@pytest.mark.parametrize("body", ["raise RuntimeError('oh')", "raise SystemExit(2)", "return None"])
def test_a_plugin_that_fails_at_looking_ahead_stops_nobody(project, body):
    made = project({"rules.yaml": steps("look:"), "plugins/mine.py": LOOKING.format(body=body)})
    made.drop("inbox/a.jpg").run().assert_success()


def test_what_a_plugin_finds_wrong_is_told_at_the_place_of_its_parameter(project):
    source = LOOKING.format(body="yield Fault('not today', 'come back tomorrow')")
    made = project({"rules.yaml": steps("add_file:", "look:"), "plugins/mine.py": source})
    with pytest.raises(ConfigError) as caught:
        made.run()
    [problem] = caught.value.problems
    assert (problem.message, problem.hint) == ("not today", "come back tomorrow")
    assert problem.excerpt.strip() == "- look:"


# --- the help for tests itself ------------------------------------------------------------


def test_a_run_that_is_not_over_in_time_tells_what_the_ledger_knows(project):
    allowed = {DEFAULT_ACCESS_KEY: Permissions(name="few", basic=frozenset({3}))}
    made = project({"rules.yaml": RULES}, SimulatorConfig(access_keys=allowed))
    made.drop("inbox/a.jpg").drop("other/b.jpg")
    with pytest.raises(NotAsExpected) as caught:
        made.run(timeout_seconds=1.5)
    story = str(caught.value)
    assert "rule import: parked" in story
    assert "import and delete files" in story
    assert "job 1 of 'import', a.jpg: ready" in story
    assert f"not noticed: {made.folder / 'other' / 'b.jpg'}" in story
    assert DEFAULT_ACCESS_KEY not in story


def test_success_is_not_claimed_where_there_is_none(project):
    made = project({"rules.yaml": RULES})
    with pytest.raises(NotAsExpected, match="no jobs"):
        made.assert_success()
    made.drop("inbox/a.png", b"no picture").run()
    with pytest.raises(NotAsExpected, match="add_file: dead"):
        made.assert_success()


def test_a_file_that_no_rule_wants_is_waited_for_until_it_is_judged(project):
    made = project(
        {"rules.yaml": RULES.replace("    do:", "    if: file.suffix == '.gif'\n    do:")}
    )
    made.drop("inbox/a.jpg").drop("inbox/b.gif").run().assert_success()
    assert [job.data["file"]["name"] for job in made.jobs] == ["b.gif"]
