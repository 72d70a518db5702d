"""Running programs: arguments stay arguments, and nothing runs twice, for ever, or unasked."""

from __future__ import annotations

import json
import os
import sys
from pathlib import Path

import anyio
import pytest
from outside import call_of, rules, to_the_end

from hydrusd.builtin.actions.run_command import RunCommand
from hydrusd.errors import ConfigError
from hydrusd.model import JobState, OutcomeKind
from hydrusd.plugin import _outside, _processes
from hydrusd.redaction import register

PYTHON = sys.executable


@pytest.fixture(autouse=True)
def _nothing_left():
    yield
    _outside._by_loop.clear()


def run_command(code, *arguments, **more):
    return RunCommand(command=[PYTHON, "-c", code, *arguments], **{"folder": Path.cwd(), **more})


def step(code, *arguments, **more):
    return {"run_command": {"command": [PYTHON, "-c", code, *arguments], **more}}


# --- what is run -----------------------------------------------------------------------------


def test_each_entry_is_one_argument_whatever_a_name_holds(project):
    code = "import sys, json; print(json.dumps(sys.argv[1:]))"
    name = "a b; touch oops $(touch oops) `touch oops` '\" && {{ 7 * 6 }}.jpg"
    later = {"log": {"message": "{{ steps.run_command.json[1] }}"}}
    made = project({"rules.yaml": rules(step(code, "--", "<{{ file.name }}>"), later)})
    made.drop(f"inbox/{name}").run().assert_success()
    [ran, _] = made.job(f"inbox/{name}").steps
    assert ran.values["json"] == ["--", f"<{name}>"]
    assert ran.values["exit_code"] == 0
    assert ran.detail == "exit code 0"
    assert not list(made.folder.rglob("oops"))


def test_it_is_off_until_the_rules_allow_it(project):
    made = project({"rules.yaml": rules(step("pass"), allow="")})
    with pytest.raises(ConfigError, match="run_command is off until the rules file allows it"):
        made.run()


@pytest.mark.parametrize("program", ["{{ file.path }}", "{% if x %}sh{% endif %}", " "])
def test_the_program_must_be_named(project, program):
    made = project({"rules.yaml": rules({"run_command": {"command": [program]}})})
    with pytest.raises(ConfigError, match="the program must be named"):
        made.run()


def test_a_program_that_is_not_there_is_told_before_anything_runs(project):
    made = project({"rules.yaml": rules({"run_command": {"command": ["no-such-program"]}})})
    with pytest.raises(ConfigError, match="there is no program 'no-such-program'"):
        made.run()


def test_it_runs_in_the_folder_of_the_rules_unless_told(project):
    code = "import os; print(os.getcwd())"
    made = project(
        {"rules.yaml": rules(step(code), step(code, folder="sub")), "sub/there.txt": "x"}
    )
    made.drop("inbox/a.jpg").run().assert_success()
    first, second = (Path(s.values["stdout"].strip()) for s in made.job("inbox/a.jpg").steps)
    assert first.samefile(made.folder)
    assert second.samefile(made.folder / "sub")


@pytest.mark.anyio
async def test_a_program_can_be_named_by_its_path_from_the_folder(tmp_path):
    (tmp_path / "mine").symlink_to(PYTHON)
    action = RunCommand(command=[str(Path("mine")), "-c", "print(1)"], folder=tmp_path)
    assert (await to_the_end(action)).kind is OutcomeKind.DEAD  # without a path, PATH decides
    action = RunCommand(command=[f".{os.sep}mine", "-c", "print(1)"], folder=tmp_path)
    assert (await to_the_end(action)).values["json"] == 1


@pytest.mark.anyio
@pytest.mark.parametrize(
    ("given", "told"),
    [
        ({"command": ["no-such-program"]}, "there is no program 'no-such-program'"),
        ({"folder": Path("no such folder")}, "there is no folder"),
        ({"command": [PYTHON, "a\0b"]}, "cannot be started: embedded null byte"),
        ({"env": {"A=B": "c"}}, "cannot be started: illegal environment variable name"),
    ],
)
async def test_what_cannot_be_started_is_dead(given, told):
    action = RunCommand(**{"command": [PYTHON, "-c", ""], "folder": Path.cwd(), **given})
    outcome = await to_the_end(action)
    assert outcome.kind is OutcomeKind.DEAD
    assert told in outcome.detail


# --- how it ends -----------------------------------------------------------------------------


@pytest.mark.anyio
async def test_exit_codes_decide():
    exits = "import sys; print('out'); print('no', 'luck', file=sys.stderr); sys.exit(3)"
    outcome = await to_the_end(run_command(exits))
    assert outcome.kind is OutcomeKind.DEAD
    assert outcome.detail == "exit code 3: no luck"
    assert outcome.values == {"exit_code": 3, "stdout": "out\n", "stderr": "no luck\n"}
    outcome = await to_the_end(run_command(exits, ok=[0, 3]))
    assert outcome.kind is OutcomeKind.DONE
    outcome = await to_the_end(run_command(exits, retry_on=[3]))
    assert outcome.kind is OutcomeKind.RETRY
    assert outcome.delay_seconds > 0


@pytest.mark.anyio
async def test_a_signal_is_no_success():
    outcome = await to_the_end(run_command("import os; os.kill(os.getpid(), 9)"))
    assert (outcome.kind, outcome.detail) == (OutcomeKind.DEAD, "killed by signal 9")


def test_it_is_tried_again_so_often_and_no_more(project, monkeypatch):
    monkeypatch.setattr(_outside, "_FIRST_DELAY_SECONDS", 0.001)
    monkeypatch.setattr(_outside, "MOST_TRIES", 3)
    code = "import sys; open('tries', 'a').write('x'); sys.exit(75)"
    made = project({"rules.yaml": rules(step(code, retry_on=[75]))})
    made.drop("inbox/a.jpg").run()
    assert (made.folder / "tries").read_text() == "xxx"
    [letter] = made.dead_letters
    assert letter.detail == "exit code 75 (after 3 tries)"


@pytest.mark.anyio
async def test_what_it_prints_is_bounded_and_never_stops_it():
    code = """
import sys
sys.stdout.write('a' * 100_000 + 'z'); sys.stdout.flush()
sys.stderr.write('a' * 100_000 + 'z')
"""
    values = (await to_the_end(run_command(code))).values
    assert values["stdout"] == "a" * _processes.KEPT_BYTES
    assert values["stderr"] == "a" * (_processes.KEPT_BYTES - 1) + "z"
    numbers = "print('1' * 70_000)"
    assert "json" not in (await to_the_end(run_command(numbers))).values


@pytest.mark.anyio
async def test_what_is_no_text_is_shown_as_far_as_it_is():
    code = r"import sys; sys.stdout.buffer.write(b'\xff\x00ok')"
    assert (await to_the_end(run_command(code))).values["stdout"] == "\ufffd\x00ok"


def _alive(pid):
    """Say whether a process runs; one that only waits to be buried does not."""
    try:
        state = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0]
    except FileNotFoundError:
        return False
    return state != "Z"


# It starts another that is deaf to the polite signal and says who it is, and waits for ever.
PARENT = """
import subprocess, sys
code = 'trap "" TERM; echo $$ > "$0.new"; mv "$0.new" "$0"; sleep 99; sleep 99'
subprocess.Popen(['sh', '-c', code, sys.argv[1]]).wait()
"""


@pytest.mark.anyio
async def test_when_its_time_is_up_it_is_stopped_with_all_that_it_started(tmp_path, monkeypatch):
    monkeypatch.setattr(_processes, "GRACE_SECONDS", 0.2)
    pid_file = tmp_path / "pid"
    outcome = await to_the_end(run_command(PARENT, str(pid_file), timeout="1500ms"))
    assert outcome.kind is OutcomeKind.DEAD
    assert "not over within 1.5 s; stopped" in outcome.detail
    with anyio.fail_after(10):  # it dies when the system comes to it
        while _alive(int(pid_file.read_text())):  # noqa: ASYNC110 - nothing tells of it
            await anyio.sleep(0.01)
    outcome = await to_the_end(run_command("while 1: 0", timeout="50ms", if_interrupted="repeat"))
    assert outcome.kind is OutcomeKind.RETRY


@pytest.mark.anyio
async def test_a_program_left_behind_with_the_pipe_is_not_waited_for(tmp_path, monkeypatch):
    monkeypatch.setattr(_processes, "LINGER_SECONDS", 0.1)
    code = """
import subprocess, sys
child = subprocess.Popen([sys.executable, '-c', 'import time; time.sleep(20)'])
print(child.pid)
"""
    outcome = await to_the_end(run_command(code))
    assert outcome.kind is OutcomeKind.DONE
    os.kill(outcome.values["json"], 9)


# --- what it is given ------------------------------------------------------------------------


@pytest.mark.anyio
async def test_the_environment_holds_the_basics_and_what_is_added(monkeypatch):
    monkeypatch.setenv("HYDRUS_ACCESS_KEY", "ab" * 32)
    monkeypatch.setenv("SOME_TOKEN", "of somebody")
    monkeypatch.setenv("MINE", "a secret word")
    code = "import os, json; print(json.dumps(dict(os.environ)))"
    action = run_command(code, env={"ADDED": "1", "PASSWORD": {"secret": "${env:MINE}"}})
    seen = (await to_the_end(action)).values["json"]
    assert seen["PATH"] == os.environ["PATH"]
    assert seen["ADDED"] == "1"
    assert seen["PASSWORD"] == "a secret word"
    assert not {"HYDRUS_ACCESS_KEY", "SOME_TOKEN", "MINE"} & seen.keys()


@pytest.mark.anyio
async def test_the_whole_environment_is_passed_on_but_for_secrets(monkeypatch):
    register("cd" * 32)
    monkeypatch.setenv("ANY_NAME", "cd" * 32)
    monkeypatch.setenv("ANY_OTHER", "word")
    code = "import os, json; print(json.dumps(dict(os.environ)))"
    seen = (await to_the_end(run_command(code, inherit_env=True))).values["json"]
    assert seen["ANY_OTHER"] == "word"
    assert "ANY_NAME" not in seen


def test_a_secret_that_it_prints_is_kept_nowhere(project, monkeypatch):
    monkeypatch.setenv("MINE", "open-sesame-1001")
    code = "import os, sys; print(os.environ['PASSWORD']); sys.exit(1)"
    env = {"PASSWORD": {"secret": "${env:MINE}"}}
    made = project({"rules.yaml": rules(step(code, env=env))})
    made.drop("inbox/a.jpg").run()
    [letter] = made.dead_letters
    assert letter.detail == "exit code 1: [hidden]"
    for file in made.state_dir.iterdir():
        assert b"open-sesame" not in file.read_bytes()


@pytest.mark.parametrize(
    ("value", "told"),
    [
        ({"secret": "${env:PATH}{{ file.name }}"}, "a secret must not hold a template"),
        ({"secret": "open-sesame"}, "a secret must not stand in a rules file"),
        ("${env:PATH}", "does not look up a secret here"),
    ],
)
def test_how_a_secret_is_written(project, value, told):
    made = project({"rules.yaml": rules(step("pass", env={"PASSWORD": value}))})
    with pytest.raises(ConfigError, match=told) as caught:
        made.run()
    assert "sesame" not in str(caught.value)


@pytest.mark.anyio
async def test_it_may_read_the_event():
    code = "import sys; print(sys.stdin.read())"
    action = run_command(code, stdin="event")
    values = (await to_the_end(action, hashes=("ab" * 32,), data={"name": "ü"})).values
    assert values["json"] == {"rule": "a rule", "event": {"name": "ü"}, "hashes": ["ab" * 32]}
    assert (await to_the_end(run_command(code))).values["stdout"] == "\n"
    # One that reads nothing is no failure.
    large = {"text": "x" * 1_000_000}
    outcome = await to_the_end(run_command("pass", stdin="event"), data=large)
    assert outcome.kind is OutcomeKind.DONE


# --- once ------------------------------------------------------------------------------------


@pytest.mark.anyio
async def test_that_it_is_about_to_begin_is_stored_before_it_begins(tmp_path):
    action = run_command(f"open({str(tmp_path / 'ran')!r}, 'a').write('x')")
    first = call_of(action)
    await RunCommand.run_set([first])
    assert first.outcome.kind is OutcomeKind.LATER
    assert not (tmp_path / "ran").exists()
    note = (OutcomeKind.LATER, first.outcome.values)
    second = call_of(action, step=note)
    await RunCommand.run_set([second])
    assert second.outcome.kind is OutcomeKind.DONE
    # A third call with this note is one of a daemon that did not hear of the end.
    third = call_of(action, step=note)
    await RunCommand.run_set([third])
    assert third.outcome.kind is OutcomeKind.DEAD
    assert "stopped while this was under way; whether it was done, nobody" in third.outcome.detail
    assert (tmp_path / "ran").read_text() == "x"


@pytest.mark.anyio
async def test_a_note_of_another_life_means_to_repeat_only_where_the_rule_says_so():
    note = (OutcomeKind.LATER, {"begun": "of another daemon", "tries": 2})
    call = call_of(run_command("pass", if_interrupted="repeat"), step=note)
    await RunCommand.run_set([call])
    assert call.outcome.kind is OutcomeKind.LATER
    assert call.outcome.values["begun"] != "of another daemon"


@pytest.mark.anyio
async def test_what_is_under_way_is_not_begun_a_second_time_whatever_came_between(
    tmp_path, monkeypatch
):
    monkeypatch.setattr(_outside, "QUICK_SECONDS", 0)
    ran, go = tmp_path / "ran", tmp_path / "go"
    code = f"""
import pathlib, time
pathlib.Path({str(ran)!r}).open('a').write('x')
while not pathlib.Path({str(go)!r}).exists(): time.sleep(0.01)
"""
    action = run_command(code)
    first = call_of(action)
    await RunCommand.run_set([first])
    # The lane may have failed since, and counted an attempt.
    for kind, attempt in [(OutcomeKind.LATER, 1), (OutcomeKind.RETRY, 2), (OutcomeKind.LATER, 1)]:
        call = call_of(action, step=(kind, first.outcome.values), attempt=attempt)
        await RunCommand.run_set([call])
        assert call.outcome.detail == "under way for 0 s"
        assert call.outcome.values == first.outcome.values
    go.touch()
    outcome = call.outcome
    while outcome.kind is OutcomeKind.LATER:
        await anyio.sleep(0.01)
        call = call_of(action, step=(OutcomeKind.LATER, first.outcome.values))
        await RunCommand.run_set([call])
        outcome = call.outcome
    assert outcome.kind is OutcomeKind.DONE
    assert ran.read_text() == "x"


@pytest.mark.anyio
async def test_what_was_done_is_not_done_again_with_the_steps_before_it(tmp_path):
    action = run_command(f"open({str(tmp_path / 'ran')!r}, 'a').write('x')")
    call = call_of(action, step=(OutcomeKind.DONE, {"exit_code": 0}))
    await RunCommand.run_set([call])
    assert call.outcome.kind is OutcomeKind.DONE
    assert call.outcome.values == {"exit_code": 0}
    assert not (tmp_path / "ran").exists()


@pytest.mark.anyio
async def test_only_a_few_begin_at_once_and_the_others_wait():
    calls = [call_of(run_command("pass"), job_id=n) for n in range(10)]
    await RunCommand.run_set(calls)
    begun = [call for call in calls if "begun" in call.outcome.values]
    assert [call.job_id for call in begun] == [0, 1, 2, 3]
    assert {call.outcome.detail for call in calls[4:]} == {"waits until others are over"}
    # They get their turn when these are over.
    again = [
        call_of(c.action, job_id=c.job_id, step=(OutcomeKind.LATER, c.outcome.values))
        for c in calls
    ]
    await RunCommand.run_set(again[:4])
    assert {call.outcome.kind for call in again[:4]} == {OutcomeKind.DONE}
    await RunCommand.run_set(again[4:])
    assert [c.job_id for c in again[4:] if "begun" in c.outcome.values] == [4, 5, 6, 7]


def test_stopped_in_the_middle_it_is_stopped_too_and_becomes_a_dead_letter(project):
    code = """
import pathlib, time
pathlib.Path('begun').open('a').write('x')
time.sleep(30)
pathlib.Path('ended').touch()
"""
    made = project({"rules.yaml": rules(step(code))})
    made.drop("inbox/a.jpg")
    made.run(until=lambda p: (p.folder / "begun").exists())
    assert made.job("inbox/a.jpg").state is JobState.READY
    made.run(jobs=1)
    [letter] = made.dead_letters
    assert letter.detail.startswith("hydrusd was stopped while this was under way")
    assert (made.folder / "begun").read_text() == "x"
    assert not (made.folder / "ended").exists()


def test_stopped_in_the_middle_it_is_done_again_where_the_rule_says_so(project):
    code = """
import pathlib, time
pathlib.Path('begun').open('a').write('x')
if len(pathlib.Path('begun').read_text()) == 1:
    time.sleep(30)
"""
    made = project({"rules.yaml": rules(step(code, if_interrupted="repeat"))})
    made.drop("inbox/a.jpg")
    made.run(until=lambda p: (p.folder / "begun").exists())
    made.run(jobs=1).assert_success()
    assert (made.folder / "begun").read_text() == "xx"


def test_a_slow_program_holds_up_no_other_rule(project):
    slow = step("import pathlib, time\nwhile not pathlib.Path('go').exists(): time.sleep(0.02)")
    other = """
  - name: other
    on: {watch_folder: {path: other, settle: 50ms}}
    do: [add_file]
"""
    made = project({"rules.yaml": rules(slow) + other})
    made.drop("inbox/a.jpg").drop("other/b.jpg")

    def other_is_done(project):
        states = {job.rule: job.state for job in project.jobs}
        if states.get("other") is JobState.DONE and not (project.folder / "go").exists():
            assert states["outside"] in {JobState.READY, JobState.RUNNING}
            (project.folder / "go").touch()
        return set(states.values()) == {JobState.DONE}

    made.run(until=other_is_done)
    made.assert_success()


@pytest.mark.anyio
async def test_planning_says_what_would_be_run_and_runs_nothing(tmp_path):
    action = run_command(f"open({str(tmp_path / 'ran')!r}, 'a')", "a b")
    [foreseen] = await RunCommand.plan([call_of(action)])
    assert foreseen.changes
    assert foreseen.detail.startswith("would run ")
    assert json.loads(foreseen.detail.removeprefix("would run ")) == action.command
    assert not (tmp_path / "ran").exists()
