"""Rules that fire rules: by command, by a step, by an ending; never in a circle, never twice."""

from __future__ import annotations

import json
import socket
import sys
import urllib.request

import pytest

from hydrusd.cli._fire import fire_rule
from hydrusd.errors import ConfigError
from hydrusd.model import JobState
from hydrusd.simulator import Fault, FaultKind, SimulatorConfig

PLUGIN = '''
from hydrusd.plugin import Action, Outcome, hookimpl

class Note(Action):
    """Note something down."""
    action = "note"
    needs_client = False
    changes_client = False
    text: str = ""

    def run(self, call):
        if self.text == "fail":
            return Outcome.dead("as told")
        return Outcome.done(values={"text": self.text, "hashes": list(call.file_hashes)})

@hookimpl
def hydrusd_register_actions(register):
    register(Note)
'''


@pytest.fixture
def rules(project):
    """Make a project of these rules, with an action that notes things down."""

    def make(text):
        return project({"rules.yaml": text, "plugins/noting.py": PLUGIN})

    return make


def fire(project, rule, *values):
    fire_rule(rule, values, rules_file=project.folder / "rules.yaml", state_dir=project.state_dir)


def noted(project, rule):
    return [job.steps[0].values["text"] for job in project.jobs if job.rule == rule]


MANUAL = """
rules:
  - {name: greet, on: manual, do: [{note: {text: "{{ who }} by {{ fired.by }}"}}]}
"""


def test_a_rule_is_fired_by_command_once_each_time(rules):
    made = rules(MANUAL)
    fire(made, "greet", "who=Ann")
    fire(made, "greet", "who=Ann")
    made.run(jobs=2).run(jobs=2)
    assert noted(made, "greet") == ["Ann by command"] * 2


def test_a_running_daemon_takes_a_firing_up(rules):
    made = rules(MANUAL)
    fire(made, "greet", "who=Ann")

    def fired_again_meanwhile(project):
        jobs = [job for job in project.jobs if job.state is JobState.DONE]
        if len(jobs) == 1 and not again:
            again.append(fire(project, "greet", "who=Bob"))
        return len(jobs) == 2

    again = []
    made.run(until=fired_again_meanwhile)
    assert noted(made, "greet") == ["Ann by command", "Bob by command"]


CHAIN = """
rules:
  - {name: first, on: manual, do: [{fire: {rule: second, values: {who: "{{ who }}"}}}]}
  - {name: second, on: manual, do: [{note: {text: "{{ who }} by {{ fired.by }}"}}]}
  - name: third
    on: {rule_finished: {rule: second}}
    do: [{note: {text: "{{ finished.rule }} {{ finished.state }} {{ event.who }}"}}]
"""


def test_a_chain_hands_on_values_and_files(rules):
    made = rules(CHAIN)
    file_hash = made.seed("there.png")
    fire(made, "first", "who=Ann", f"hash={file_hash}")
    made.run(jobs=3).assert_success()
    assert noted(made, "second") == ["Ann by first"]
    assert noted(made, "third") == ["second done Ann"]
    third = next(job for job in made.jobs if job.rule == "third")
    assert third.steps[0].values["hashes"] == [file_hash]


def test_a_chain_goes_on_after_a_stop_in_the_middle(rules):
    made = rules(CHAIN)
    fire(made, "first", "who=Ann")
    made.run(until=lambda p: any(job.rule == "second" for job in p.jobs))
    made.run(jobs=3).assert_success()
    made.run(jobs=3)
    assert [job.rule for job in made.jobs] == ["first", "second", "third"]


def test_endings_before_the_rule_was_there_do_not_count(rules):
    made = rules(MANUAL)
    fire(made, "greet", "who=Ann")
    made.run(jobs=1)
    made.write(
        {
            "rules.yaml": MANUAL
            + "  - {name: late, on: {rule_finished: {rule: greet}}, do: [{note: {text: x}}]}\n"
        }
    )
    made.run(until=lambda p: any(c.name.startswith("rule_finished") for c in p.conditions))
    fire(made, "greet", "who=Bob")
    made.run(jobs=3)
    [late] = [job for job in made.jobs if job.rule == "late"]
    assert late.data["event"]["who"] == "Bob"


def test_only_the_endings_asked_for_count(rules):
    made = rules("""
rules:
  - {name: work, on: manual, do: [{note: {text: "{{ text }}"}}]}
  - {name: sorry, on: {rule_finished: {rule: work, state: dead}},
     do: [{note: {text: "{{ finished.detail }}"}}]}
""")
    fire(made, "work", "text=well")
    fire(made, "work", "text=fail")
    made.run(jobs=3)
    assert noted(made, "sorry") == ["as told"]


def test_a_job_that_is_dead_when_it_is_made_has_ended_too(rules):
    made = rules("""
rules:
  - {name: work, on: manual, if: "missing > 1", do: [{note: {text: x}}]}
  - {name: sorry, on: {rule_finished: {rule: work, state: dead}},
     do: [{note: {text: "{{ finished.detail }}"}}]}
""")
    fire(made, "work")
    made.run(jobs=2)
    [text] = noted(made, "sorry")
    assert "missing" in text


def test_a_circle_of_fires_ends_in_a_dead_letter_that_shows_it(rules):
    made = rules("""
rules:
  - {name: a, on: manual, do: [{fire: {rule: b}}]}
  - {name: b, on: manual, do: [{fire: {rule: a}}]}
""")
    fire(made, "a")
    made.run(jobs=2)
    [dead] = made.dead_letters
    assert dead.rule == "b"
    assert "a → b → a" in dead.detail


def test_a_circle_of_endings_is_passed_over_with_the_reason(rules):
    made = rules("""
rules:
  - {name: a, on: manual, do: [{note: {text: x}}]}
  - {name: b, on: {rule_finished: {rule: [a, c]}}, do: [{note: {text: x}}]}
  - {name: c, on: {rule_finished: {rule: b}}, do: [{note: {text: x}}]}
""")
    fire(made, "a")
    made.run(until=lambda p: "a → b → c → b" in reasons(p))
    assert sorted(job.rule for job in made.jobs) == ["a", "b", "c"]


def reasons(project):
    return " ".join(passed.reason for passed in project.passed_over)


def test_a_target_that_only_shows_when_it_runs_is_looked_up_then(rules):
    made = rules("""
rules:
  - {name: a, on: manual, do: [{fire: {rule: "{{ target }}"}}]}
""")
    fire(made, "a", "target=nobody")
    made.run(jobs=1)
    [dead] = made.dead_letters
    assert "no rule 'nobody' that is `on: manual`" in dead.detail


@pytest.mark.parametrize(
    ("step", "message"),
    [
        ("do: [{fire: {rule: secnod}}]", "did you mean 'second'"),
        ("do: [{fire: {rule: watching}}]", "rule 'watching' listens to watch_folder"),
    ],
)
def test_a_target_that_cannot_be_fired_is_refused_with_its_place(rules, step, message):
    made = rules(f"""
rules:
  - name: first
    on: manual
    {step}
  - {{name: second, on: manual, do: [{{note: {{text: x}}}}]}}
  - {{name: watching, on: {{watch_folder: {{path: .}}}}, do: [{{note: {{text: x}}}}]}}
""")
    with pytest.raises(ConfigError) as caught:
        made.run(jobs=1)
    [problem] = caught.value.problems
    assert message in f"{problem.message} {problem.hint}"
    assert problem.line
    assert "fire" in problem.excerpt


def test_waiting_for_a_rule_that_is_not_there_is_refused(rules):
    made = rules("""
rules:
  - {name: a, on: {rule_finished: {rule: nobody}}, do: [{note: {text: x}}]}
""")
    with pytest.raises(ConfigError, match="'nobody', and there is no such rule"):
        made.run(jobs=1)


def test_what_is_done_again_after_a_loss_does_not_fire_again(project):
    made = project(
        {
            "rules.yaml": """
rules:
  - name: import
    on: {watch_folder: {path: inbox, settle: 100ms}}
    do: [add_file, {fire: {rule: count}}, {log: {message: x}}]
  - {name: count, on: manual, do: [{log: {message: counted}}]}
"""
        },
        SimulatorConfig(commit_seconds=1000),
    )
    made.simulator.inject(
        Fault(kind=FaultKind.STATUS, path="/manage_database/force_commit", status=503, times=1)
    )
    crashed = []

    def crash_once_all_is_done(_):
        if not crashed and made.simulator.faults_waiting == 0:
            crashed.append(made.simulator.crash())
        return bool(crashed) and {job.state for job in made.jobs} == {JobState.DONE}

    made.drop("inbox/a.png").run(until=crash_once_all_is_done)
    assert made.simulator.imports()[made.sha256("inbox/a.png")] == 2
    assert [job.rule for job in made.jobs] == ["import", "count"]


COMMAND = """
allow: [run_command]
rules:
  - name: again
    on: manual
    do:
      - run_command:
          command: [{python}, -m, hydrusd, fire, again, --rules-file, {rules}, --state-dir, {state}]
          inherit_env: true
"""


def test_a_command_that_fires_the_rule_that_ran_it_ends_there(rules, tmp_path):
    made = rules("rules: []")
    places = {
        "python": json.dumps(sys.executable),
        "rules": json.dumps(str(made.folder / "rules.yaml")),
        "state": json.dumps(str(made.state_dir)),
    }
    made.write({"rules.yaml": COMMAND.format(**places)})
    fire(made, "again")

    def is_over(project):
        [job] = project.jobs or [None]
        circles = [o for o in project.passed_over if "again → again" in o.reason]
        return circles and job.state is JobState.DONE

    made.run(until=is_over)
    assert len(made.passed_over) == 1


WEBHOOK = """
rules:
  - name: echo
    on: {{webhook: {{port: {port}, path: /in, secret: "${{file:secret.txt}}"}}}}
    do:
      - http_request:
          url: http://127.0.0.1:{port}/in
          method: POST
          headers: {{X-Hydrusd-Secret: {{secret: "${{file:secret.txt}}"}}}}
          json: {{again: true}}
"""


def test_a_request_that_comes_back_as_a_message_ends_there(rules):
    made = rules("rules: []")
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    secret = "s" * 40
    made.write({"secret.txt": secret, "rules.yaml": WEBHOOK.format(port=port)})

    def send_once(project):
        if not sent:
            request = urllib.request.Request(
                f"http://127.0.0.1:{port}/in",
                data=b"{}",
                headers={"Content-Type": "application/json", "X-Hydrusd-Secret": secret},
            )
            try:
                sent.append(urllib.request.urlopen(request, timeout=5).status)
            except OSError:
                return False
        return any("echo → echo" in o.reason for o in project.passed_over)

    sent = []
    made.run(until=send_once)
    assert len(made.jobs) == 1
